/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who calls, as the bus knows it, and whether they may, as polkit decides. Nothing that a caller says
 * about itself is used. Thread: the main context's. */
#pragma once
#include <gio/gio.h>

typedef struct
{
  char *sender; /* the unique name: the bus never gives it twice */
  guint32 uid;
  gint64 pid; /* -1: not told; for the record only */
} HelperCaller;

void helper_caller_free (HelperCaller *caller);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (HelperCaller, helper_caller_free)

/* Errors: FAILED (the caller left, or the bus does not tell). */
void helper_caller_identify_async (GDBusConnection *bus,
                                   const char *sender,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data);
HelperCaller *helper_caller_identify_finish (GAsyncResult *result, GError **error);

/**
 * helper_caller_authorize_async:
 * @action: "io.github.alcove-vm.helper.bind"
 * @detail: what for; polkit's rules see it as "functions", people as part of the question
 *
 * Asks polkit, which may ask the user. Where there is no polkit, root may and nobody else.
 */
void helper_caller_authorize_async (GDBusConnection *bus,
                                    const HelperCaller *caller,
                                    const char *action,
                                    const char *detail,
                                    GAsyncReadyCallback callback,
                                    gpointer user_data);
/* Errors: PERMISSION (no), CANCELLED (the question was dismissed). */
gboolean helper_caller_authorize_finish (GAsyncResult *result, GError **error);
