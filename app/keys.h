/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names of keys and chords, as people write them ("ctrl-alt-delete"), and their Linux evdev codes
 * (linux/input-event-codes.h). Thread: any. */
#pragma once
#include <glib.h>

#define ALCOVE_CHORD_MAX 8

/**
 * alcove_keys_parse_chord:
 * @text: key names joined by "-" or "+", in any case: "ctrl-alt-f2", "a", "minus"
 * @ret_keys: evdev codes in the order given
 *
 * Returns: the number of keys, 0 on error. Errors: ALCOVE_ERROR_INVALID names the unknown key and
 * the nearest known one.
 */
guint alcove_keys_parse_chord (const char *text, guint ret_keys[ALCOVE_CHORD_MAX], GError **error);
/* All key names, for completion and tests; *ret_n of them, and the code of one. */
const char *const *alcove_keys_get_names (gsize *ret_n);
guint alcove_keys_get_code (const char *name); /* 0: unknown */
