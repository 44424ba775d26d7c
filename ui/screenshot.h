/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Saves a machine's picture as a PNG among the user's pictures. Main thread; the work is done on
 * another. */
#pragma once

#include <gio/gio.h>

#include "app/machine.h"

G_BEGIN_DECLS

void alcove_screenshot_async (AlcoveMachine *machine,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data);
char *alcove_screenshot_finish (GAsyncResult *result, GError **error);

G_END_DECLS
