/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Errors of the control path. One GError domain for vmm, devices and vfio: what a person reads is
 * the message; the code only tells callers apart that act differently. */
#pragma once
#include <glib.h>

#define VMM_ERROR (vmm_error_quark ())
GQuark vmm_error_quark (void);

typedef enum
{
  VMM_ERROR_FAILED,        /* none of the others */
  VMM_ERROR_UNAVAILABLE,   /* the host lacks something (KVM, a capability, a firmware file) */
  VMM_ERROR_PERMISSION,    /* the host has it, this user may not */
  VMM_ERROR_INVALID,       /* a value, a file or a stream is malformed */
  VMM_ERROR_NOT_FOUND,     /* a named thing does not exist */
  VMM_ERROR_BUSY,          /* overlap, lock held, wrong state */
  VMM_ERROR_NO_MEMORY,     /* the host has not enough memory */
  VMM_ERROR_NOT_SUPPORTED, /* refused by design, with a reason */
  VMM_ERROR_CANCELLED,     /* somebody asked for the end of a long task */
} VmmErrorCode;

/* Turns a negative errno of a leaf wrapper into a GError: "MESSAGE: strerror". EACCES and EPERM
 * become PERMISSION, ENOENT NOT_FOUND, ENOMEM NO_MEMORY, EBUSY BUSY, everything else FAILED. Full and
 * read-only storage have their remedy at the end. What is not UTF-8 in the message is made so.
 * Always returns FALSE, so callers can `return vmm_error_set_errno (...)`. Thread: any. */
gboolean vmm_error_set_errno (GError **error, int negative_errno, const char *format, ...)
    G_GNUC_PRINTF (3, 4);
