/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/display/keymap.h"

#include <linux/input-event-codes.h>

/* Keys above the typewriter block. Below KEY_F12 the evdev number is the set 1 code: Linux took
 * its numbering from there. Codes: "Keyboard Scan Code Specification" (Microsoft, 2000), set 1. */
static const guint16 extended[] = {
  [KEY_RO] = 0x73,
  [KEY_KATAKANA] = 0x78,
  [KEY_HIRAGANA] = 0x77,
  [KEY_HENKAN] = 0x79,
  [KEY_KATAKANAHIRAGANA] = 0x70,
  [KEY_MUHENKAN] = 0x7b,
  [KEY_KPJPCOMMA] = 0x5c,
  [KEY_KPENTER] = 0x11c,
  [KEY_RIGHTCTRL] = 0x11d,
  [KEY_KPSLASH] = 0x135,
  [KEY_SYSRQ] = 0x137,
  [KEY_RIGHTALT] = 0x138,
  [KEY_HOME] = 0x147,
  [KEY_UP] = 0x148,
  [KEY_PAGEUP] = 0x149,
  [KEY_LEFT] = 0x14b,
  [KEY_RIGHT] = 0x14d,
  [KEY_END] = 0x14f,
  [KEY_DOWN] = 0x150,
  [KEY_PAGEDOWN] = 0x151,
  [KEY_INSERT] = 0x152,
  [KEY_DELETE] = 0x153,
  [KEY_MUTE] = 0x120,
  [KEY_VOLUMEDOWN] = 0x12e,
  [KEY_VOLUMEUP] = 0x130,
  [KEY_POWER] = 0x15e,
  [KEY_KPEQUAL] = 0x59,
  [KEY_PAUSE] = ALCOVE_XT_PAUSE_PREFIX,
  [KEY_KPCOMMA] = 0x7e,
  [KEY_HANGEUL] = 0x72,
  [KEY_HANJA] = 0x71,
  [KEY_YEN] = 0x7d,
  [KEY_LEFTMETA] = 0x15b,
  [KEY_RIGHTMETA] = 0x15c,
  [KEY_COMPOSE] = 0x15d,
  [KEY_CALC] = 0x121,
  [KEY_SLEEP] = 0x15f,
  [KEY_WAKEUP] = 0x163,
  [KEY_MAIL] = 0x16c,
  [KEY_BOOKMARKS] = 0x166,
  [KEY_COMPUTER] = 0x16b,
  [KEY_BACK] = 0x16a,
  [KEY_FORWARD] = 0x169,
  [KEY_NEXTSONG] = 0x119,
  [KEY_PLAYPAUSE] = 0x122,
  [KEY_PREVIOUSSONG] = 0x110,
  [KEY_STOPCD] = 0x124,
  [KEY_HOMEPAGE] = 0x132,
  [KEY_REFRESH] = 0x167,
  [KEY_F13] = 0x64,
  [KEY_F14] = 0x65,
  [KEY_F15] = 0x66,
  [KEY_SEARCH] = 0x165,
  [KEY_MEDIA] = 0x16d,
};

/**
 * alcove_keymap_evdev_to_xt:
 * @evdev: a KEY_ number of linux/input-event-codes.h
 *
 * Returns: the set 1 scan code (bit 8: e0 prefix), %ALCOVE_XT_PAUSE_PREFIX for Pause, or 0 for a
 *   key that PC keyboards do not have
 */
guint
alcove_keymap_evdev_to_xt (guint evdev)
{
  if (evdev >= KEY_ESC && evdev <= KEY_F12 && evdev != 84)
    return evdev == KEY_ZENKAKUHANKAKU ? 0x76 : evdev;
  if (evdev < G_N_ELEMENTS (extended))
    return extended[evdev];
  return 0;
}

/**
 * alcove_keymap_hardware_to_evdev:
 * @keycode: the key code of a GDK event
 *
 * XKB key codes are evdev numbers plus 8; GDK passes them through on X11 and Wayland.
 *
 * Returns: the evdev number, or 0
 */
guint
alcove_keymap_hardware_to_evdev (guint keycode)
{
  return keycode > 8 && keycode < 0x300 ? keycode - 8 : 0;
}
