/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Errors of app: one GError domain. What a person reads is the message (it names the object, the
 * act and the remedy); the code is for callers that act differently, such as the command line,
 * which turns NOT_FOUND into exit status 3 and WRONG_STATE into 4. Also the names these errors have
 * on the control connection. */
#pragma once
#include <gio/gio.h>

#define ALCOVE_ERROR (alcove_error_quark ())
GQuark alcove_error_quark (void);

typedef enum
{
  ALCOVE_ERROR_FAILED,        /* none of the others */
  ALCOVE_ERROR_INVALID,       /* a value or a file is malformed */
  ALCOVE_ERROR_NOT_FOUND,     /* no such machine, device or console */
  ALCOVE_ERROR_WRONG_STATE,   /* the machine does not run, or runs and must not */
  ALCOVE_ERROR_BUSY,          /* somebody else holds it */
  ALCOVE_ERROR_EXISTS,        /* the name is taken */
  ALCOVE_ERROR_NOT_SUPPORTED, /* refused by design, with a reason */
  ALCOVE_ERROR_CANCELLED,     /* somebody asked for the end of a long task */
} AlcoveErrorCode;

/**
 * alcove_error_strip_remote:
 * @error: (nullable): an error of a D-Bus call
 *
 * Takes the "GDBus.Error:name:" prefix off a remote error's message and makes it an ALCOVE_ERROR
 * where its D-Bus name is one of io.github.alcove_vm.Error.*; a vanished peer becomes WRONG_STATE.
 * Thread: any.
 */
void alcove_error_strip_remote (GError *error);

/* The message, if it is not UTF-8 (GLib's own ones quote a file's bytes), is made so: D-Bus and GTK
 * take nothing else. Thread: any. */
void alcove_error_make_valid (GError **error);

/* The code a D-Bus error name stands for, ALCOVE_ERROR_FAILED for an unknown one. Thread: any. */
AlcoveErrorCode alcove_error_code_from_dbus (const char *name);
/* "io.github.alcove_vm.Error.Failed" and so on. Thread: any. */
const char *alcove_error_code_to_dbus (AlcoveErrorCode code);
