/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Key codes: the desktop gives hardware key codes (Linux evdev numbers, on X11 and Wayland alike,
 * shifted by 8); SPICE carries PC/XT scan codes (set 1), where 0x100 marks the e0 prefix.
 * Pure functions, any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

G_BEGIN_DECLS

/* The code spice-client-glib turns into the e1 1d prefix that only the Pause key has. */
#define ALCOVE_XT_PAUSE_PREFIX 0x21d

guint alcove_keymap_evdev_to_xt (guint evdev);
guint alcove_keymap_hardware_to_evdev (guint keycode);

G_END_DECLS
