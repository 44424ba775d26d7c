/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/backends/spice/scancode.h"
#include <linux/input-event-codes.h>

/* Scan code set 1 (as the IBM PC keyboards sent it, and as the input channel carries it) without
 * prefix is the evdev code up to 0x53; these are the others. */
static guint
plain_to_evdev (guint8 code)
{
  switch (code)
    {
    case 0x54:
      return KEY_SYSRQ;
    case 0x56:
      return KEY_102ND;
    case 0x57:
      return KEY_F11;
    case 0x58:
      return KEY_F12;
    case 0x59:
      return KEY_KPEQUAL;
    case 0x70:
      return KEY_KATAKANAHIRAGANA;
    case 0x73:
      return KEY_RO;
    case 0x76:
      return KEY_F24;
    case 0x77:
      return KEY_HIRAGANA;
    case 0x78:
      return KEY_KATAKANA;
    case 0x79:
      return KEY_HENKAN;
    case 0x7b:
      return KEY_MUHENKAN;
    case 0x7d:
      return KEY_YEN;
    case 0x7e:
      return KEY_KPCOMMA;
    default:
      if (code >= 0x64 && code <= 0x6e)
        return KEY_F13 + (code - 0x64);
      return code <= 0x53 ? code : KEY_RESERVED;
    }
}

/* After e0. e0 2a and e0 36 are the false shifts of old keyboards: no key. */
static guint
extended_to_evdev (guint8 code)
{
  static const guint8 table[128] = {
    [0x10] = KEY_PREVIOUSSONG, [0x19] = KEY_NEXTSONG, [0x1c] = KEY_KPENTER,
    [0x1d] = KEY_RIGHTCTRL,    [0x20] = KEY_MUTE,     [0x21] = KEY_CALC,
    [0x22] = KEY_PLAYPAUSE,    [0x24] = KEY_STOPCD,   [0x2e] = KEY_VOLUMEDOWN,
    [0x30] = KEY_VOLUMEUP,     [0x32] = KEY_HOMEPAGE, [0x35] = KEY_KPSLASH,
    [0x37] = KEY_SYSRQ,        [0x38] = KEY_RIGHTALT, [0x46] = KEY_PAUSE,
    [0x47] = KEY_HOME,         [0x48] = KEY_UP,       [0x49] = KEY_PAGEUP,
    [0x4b] = KEY_LEFT,         [0x4d] = KEY_RIGHT,    [0x4f] = KEY_END,
    [0x50] = KEY_DOWN,         [0x51] = KEY_PAGEDOWN, [0x52] = KEY_INSERT,
    [0x53] = KEY_DELETE,       [0x5b] = KEY_LEFTMETA, [0x5c] = KEY_RIGHTMETA,
    [0x5d] = KEY_COMPOSE,      [0x5e] = KEY_POWER,    [0x5f] = KEY_SLEEP,
    [0x63] = KEY_WAKEUP,       [0x65] = KEY_SEARCH,   [0x66] = KEY_BOOKMARKS,
    [0x67] = KEY_REFRESH,      [0x68] = KEY_STOP,     [0x69] = KEY_FORWARD,
    [0x6a] = KEY_BACK,         [0x6b] = KEY_COMPUTER, [0x6c] = KEY_MAIL,
    [0x6d] = KEY_MEDIA,
  };

  return table[code & 0x7f];
}

gboolean
spice_input_decode (SpiceScanState *state, guint8 byte, guint *ret_keycode, gboolean *ret_down)
{
  guint keycode;

  /* Pause: e1 1d 45 down, e1 9d c5 up. */
  if (state->pause_bytes > 0)
    {
      if (--state->pause_bytes == 1)
        {
          state->pause_first = byte;
          return FALSE;
        }
      if ((state->pause_first & 0x7f) != 0x1d || (byte & 0x7f) != 0x45)
        return FALSE;
      *ret_keycode = KEY_PAUSE;
      *ret_down = !(byte & 0x80);
      return TRUE;
    }
  if (byte == 0xe1)
    {
      state->pause_bytes = 2;
      state->prefix = 0;
      return FALSE;
    }
  if (byte == 0xe0)
    {
      state->prefix = byte;
      return FALSE;
    }

  keycode = state->prefix != 0 ? extended_to_evdev (byte & 0x7f) : plain_to_evdev (byte & 0x7f);
  state->prefix = 0;
  if (keycode == KEY_RESERVED)
    return FALSE;
  *ret_keycode = keycode;
  *ret_down = !(byte & 0x80);
  return TRUE;
}
