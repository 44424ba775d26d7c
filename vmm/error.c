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

gboolean
vmm_error_set_errno (GError **error, int negative_errno, const char *format, ...)
{
  g_autofree char *message = NULL;
  int err = -negative_errno;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, VMM_ERROR, code_from_errno (err), "%s: %s", message, g_strerror (err));
  return FALSE;
}
