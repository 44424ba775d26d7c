/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/error.h"

#include <string.h>

G_DEFINE_QUARK (alcove - error - quark, alcove_error)

#define PREFIX "io.github.alcove_vm.Error."

static const struct
{
  AlcoveErrorCode code;
  const char *name;
} names[] = {
  { ALCOVE_ERROR_FAILED, PREFIX "Failed" },
  { ALCOVE_ERROR_INVALID, PREFIX "InvalidArgument" },
  { ALCOVE_ERROR_NOT_FOUND, PREFIX "NotFound" },
  { ALCOVE_ERROR_WRONG_STATE, PREFIX "WrongState" },
  { ALCOVE_ERROR_BUSY, PREFIX "Busy" },
  { ALCOVE_ERROR_EXISTS, PREFIX "Exists" },
  { ALCOVE_ERROR_NOT_SUPPORTED, PREFIX "NotSupported" },
  { ALCOVE_ERROR_CANCELLED, PREFIX "Cancelled" },
};

AlcoveErrorCode
alcove_error_code_from_dbus (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_strcmp0 (name, names[i].name) == 0)
      return names[i].code;
  return ALCOVE_ERROR_FAILED;
}

const char *
alcove_error_code_to_dbus (AlcoveErrorCode code)
{
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (names[i].code == code)
      return names[i].name;
  return names[0].name;
}

void
alcove_error_strip_remote (GError *error)
{
  g_autofree char *name = NULL;

  if (error == NULL)
    return;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CLOSED))
    {
      error->domain = ALCOVE_ERROR;
      error->code = ALCOVE_ERROR_WRONG_STATE;
      g_free (error->message);
      error->message = g_strdup ("The machine has stopped: its control connection is closed.");
      return;
    }
  if (!g_dbus_error_is_remote_error (error))
    return;
  name = g_dbus_error_get_remote_error (error);
  g_dbus_error_strip_remote_error (error);
  if (name != NULL && g_str_has_prefix (name, PREFIX))
    {
      error->domain = ALCOVE_ERROR;
      error->code = (int)alcove_error_code_from_dbus (name);
    }
}

void
alcove_error_make_valid (GError **error)
{
  char *valid;

  if (error == NULL || *error == NULL)
    return;
  valid = g_utf8_make_valid ((*error)->message, -1);
  g_free ((*error)->message);
  (*error)->message = valid;
}
