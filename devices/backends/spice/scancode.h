/* SPDX-License-Identifier: GPL-3.0-or-later */
/* PC scan code set 1, as SPICE's inputs channel carries it byte by byte, to evdev key codes. */
#pragma once
#include <glib.h>

/* Zeroed at first, and when the client goes. */
typedef struct
{
  guint8 prefix, pause_bytes, pause_first;
} SpiceScanState;

/* TRUE when byte completes a key: *ret_keycode (linux/input-event-codes.h) and *ret_down are set.
 * Unknown codes are skipped. Thread: any. */
gboolean
spice_input_decode (SpiceScanState *state, guint8 byte, guint *ret_keycode, gboolean *ret_down);
