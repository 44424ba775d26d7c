/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keys from the control protocol: chords (SendKeys) and text on a US keyboard (Type), played into
 * the input router with the pauses that slow guests (firmware, boot loaders) need.
 * Thread: the main context. */
#pragma once
#include "devices/input/router.h"

typedef struct _RunnerTyping RunnerTyping;

RunnerTyping *runner_typing_new (InputRouter *router);
/* Releases what is held; requests that have not been played never call done. */
void runner_typing_free (RunnerTyping *typing);
/* Runs when the last key of a request is up. Requests queue. */
typedef void (*RunnerTypingDone) (gpointer user_data);
/* keys: evdev codes, 1..8 of them; hold_ms: 0 means 40. Errors: INVALID. */
gboolean runner_typing_send_keys (RunnerTyping *typing,
                                  const guint32 *keys,
                                  guint n_keys,
                                  guint hold_ms,
                                  RunnerTypingDone done,
                                  gpointer user_data,
                                  GError **error);
/* text: UTF-8, at most 64 KiB. Errors: INVALID names the first character a US keyboard lacks. */
gboolean runner_typing_type (RunnerTyping *typing,
                             const char *text,
                             RunnerTypingDone done,
                             gpointer user_data,
                             GError **error);
