/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/error.h"

#include <errno.h>

GQuark
vmm_error_quark (void)
{
  return g_quark_from_static_string ("alcove-vmm-error");
}

static VmmErrorCode
code_from_errno (int err)
{
  switch (err)
    {
    case EACCES:
    case EPERM:
      return VMM_ERROR_PERMISSION;
    case ENOENT:
      return VMM_ERROR_NOT_FOUND;
    case ENOMEM:
      return VMM_ERROR_NO_MEMORY;
    case EBUSY:
      return VMM_ERROR_BUSY;
    default:
      return VMM_ERROR_FAILED;
    }
}

/* What people can do about it, where the number alone says so. */
static const char *
get_remedy (int err)
{
  switch (err)
    {
    case ENOSPC:
    case EDQUOT:
      return ". Free some space there and try again";
    case EROFS:
      return ". Make the file system writable";
    default:
      return "";
    }
}

gboolean
vmm_error_set_errno (GError **error, int negative_errno, const char *format, ...)
{
  g_autofree char *message = NULL, *valid = NULL;
  int err = -negative_errno;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  valid = g_utf8_make_valid (message, -1); /* file names can be any bytes */
  g_set_error (error, VMM_ERROR, code_from_errno (err), "%s: %s%s", valid, g_strerror (err),
               get_remedy (err));
  return FALSE;
}
