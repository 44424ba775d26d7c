/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/ps2.h"

#include <linux/input-event-codes.h>
#include <string.h>

#define ACK    0xfa
#define RESEND 0xfe
#define PASSED 0xaa

/* A key's scan code in set 2, and the code the controller makes of it (set 1). E0: after the prefix
 * e0. */
typedef struct
{
  guint16 keycode;
  guint8 set2, set1;
  gboolean e0;
} Key;

/* clang-format off */
static const Key keys[] = {
  { KEY_ESC, 0x76, 0x01 }, { KEY_1, 0x16, 0x02 }, { KEY_2, 0x1e, 0x03 }, { KEY_3, 0x26, 0x04 },
  { KEY_4, 0x25, 0x05 }, { KEY_5, 0x2e, 0x06 }, { KEY_6, 0x36, 0x07 }, { KEY_7, 0x3d, 0x08 },
  { KEY_8, 0x3e, 0x09 }, { KEY_9, 0x46, 0x0a }, { KEY_0, 0x45, 0x0b }, { KEY_MINUS, 0x4e, 0x0c },
  { KEY_EQUAL, 0x55, 0x0d }, { KEY_BACKSPACE, 0x66, 0x0e }, { KEY_TAB, 0x0d, 0x0f },
  { KEY_Q, 0x15, 0x10 }, { KEY_W, 0x1d, 0x11 }, { KEY_E, 0x24, 0x12 }, { KEY_R, 0x2d, 0x13 },
  { KEY_T, 0x2c, 0x14 }, { KEY_Y, 0x35, 0x15 }, { KEY_U, 0x3c, 0x16 }, { KEY_I, 0x43, 0x17 },
  { KEY_O, 0x44, 0x18 }, { KEY_P, 0x4d, 0x19 }, { KEY_LEFTBRACE, 0x54, 0x1a },
  { KEY_RIGHTBRACE, 0x5b, 0x1b }, { KEY_ENTER, 0x5a, 0x1c }, { KEY_LEFTCTRL, 0x14, 0x1d },
  { KEY_A, 0x1c, 0x1e }, { KEY_S, 0x1b, 0x1f }, { KEY_D, 0x23, 0x20 }, { KEY_F, 0x2b, 0x21 },
  { KEY_G, 0x34, 0x22 }, { KEY_H, 0x33, 0x23 }, { KEY_J, 0x3b, 0x24 }, { KEY_K, 0x42, 0x25 },
  { KEY_L, 0x4b, 0x26 }, { KEY_SEMICOLON, 0x4c, 0x27 }, { KEY_APOSTROPHE, 0x52, 0x28 },
  { KEY_GRAVE, 0x0e, 0x29 }, { KEY_LEFTSHIFT, 0x12, 0x2a }, { KEY_BACKSLASH, 0x5d, 0x2b },
  { KEY_Z, 0x1a, 0x2c }, { KEY_X, 0x22, 0x2d }, { KEY_C, 0x21, 0x2e }, { KEY_V, 0x2a, 0x2f },
  { KEY_B, 0x32, 0x30 }, { KEY_N, 0x31, 0x31 }, { KEY_M, 0x3a, 0x32 }, { KEY_COMMA, 0x41, 0x33 },
  { KEY_DOT, 0x49, 0x34 }, { KEY_SLASH, 0x4a, 0x35 }, { KEY_RIGHTSHIFT, 0x59, 0x36 },
  { KEY_KPASTERISK, 0x7c, 0x37 }, { KEY_LEFTALT, 0x11, 0x38 }, { KEY_SPACE, 0x29, 0x39 },
  { KEY_CAPSLOCK, 0x58, 0x3a }, { KEY_F1, 0x05, 0x3b }, { KEY_F2, 0x06, 0x3c },
  { KEY_F3, 0x04, 0x3d }, { KEY_F4, 0x0c, 0x3e }, { KEY_F5, 0x03, 0x3f }, { KEY_F6, 0x0b, 0x40 },
  { KEY_F7, 0x83, 0x41 }, { KEY_F8, 0x0a, 0x42 }, { KEY_F9, 0x01, 0x43 }, { KEY_F10, 0x09, 0x44 },
  { KEY_NUMLOCK, 0x77, 0x45 }, { KEY_SCROLLLOCK, 0x7e, 0x46 }, { KEY_KP7, 0x6c, 0x47 },
  { KEY_KP8, 0x75, 0x48 }, { KEY_KP9, 0x7d, 0x49 }, { KEY_KPMINUS, 0x7b, 0x4a },
  { KEY_KP4, 0x6b, 0x4b }, { KEY_KP5, 0x73, 0x4c }, { KEY_KP6, 0x74, 0x4d },
  { KEY_KPPLUS, 0x79, 0x4e }, { KEY_KP1, 0x69, 0x4f }, { KEY_KP2, 0x72, 0x50 },
  { KEY_KP3, 0x7a, 0x51 }, { KEY_KP0, 0x70, 0x52 }, { KEY_KPDOT, 0x71, 0x53 },
  { KEY_102ND, 0x61, 0x56 }, { KEY_F11, 0x78, 0x57 }, { KEY_F12, 0x07, 0x58 },
  { KEY_KATAKANAHIRAGANA, 0x13, 0x70 }, { KEY_RO, 0x51, 0x73 }, { KEY_HENKAN, 0x64, 0x79 },
  { KEY_MUHENKAN, 0x67, 0x7b }, { KEY_YEN, 0x6a, 0x7d }, { KEY_KPCOMMA, 0x6d, 0x7e },
  { KEY_KPENTER, 0x5a, 0x1c, TRUE }, { KEY_RIGHTCTRL, 0x14, 0x1d, TRUE },
  { KEY_KPSLASH, 0x4a, 0x35, TRUE }, { KEY_SYSRQ, 0x7c, 0x37, TRUE },
  { KEY_RIGHTALT, 0x11, 0x38, TRUE }, { KEY_HOME, 0x6c, 0x47, TRUE }, { KEY_UP, 0x75, 0x48, TRUE },
  { KEY_PAGEUP, 0x7d, 0x49, TRUE }, { KEY_LEFT, 0x6b, 0x4b, TRUE }, { KEY_RIGHT, 0x74, 0x4d, TRUE },
  { KEY_END, 0x69, 0x4f, TRUE }, { KEY_DOWN, 0x72, 0x50, TRUE }, { KEY_PAGEDOWN, 0x7a, 0x51, TRUE },
  { KEY_INSERT, 0x70, 0x52, TRUE }, { KEY_DELETE, 0x71, 0x53, TRUE }, { KEY_MUTE, 0x23, 0x20, TRUE },
  { KEY_VOLUMEDOWN, 0x21, 0x2e, TRUE }, { KEY_VOLUMEUP, 0x32, 0x30, TRUE },
  { KEY_LEFTMETA, 0x1f, 0x5b, TRUE }, { KEY_RIGHTMETA, 0x27, 0x5c, TRUE },
  { KEY_COMPOSE, 0x2f, 0x5d, TRUE }, { KEY_POWER, 0x37, 0x5e, TRUE }, { KEY_SLEEP, 0x3f, 0x5f, TRUE },
  { KEY_WAKEUP, 0x5e, 0x63, TRUE },
};
/* clang-format on */

gboolean
ps2_queue_pop (Ps2Queue *queue, guint8 *ret_byte)
{
  if (queue->length == 0)
    return FALSE;
  *ret_byte = queue->bytes[queue->head];
  queue->head = (queue->head + 1) % PS2_QUEUE_SIZE;
  queue->length--;
  return TRUE;
}

gboolean
ps2_queue_push (Ps2Queue *queue, const guint8 *bytes, guint length)
{
  if (length + queue->length > PS2_QUEUE_SIZE)
    return FALSE;
  for (guint i = 0; i < length; i++)
    queue->bytes[(queue->head + queue->length++) % PS2_QUEUE_SIZE] = bytes[i];
  return TRUE;
}

static void
answer (Ps2Keyboard *keyboard, guint8 byte)
{
  ps2_queue_push (&keyboard->queue, &byte, 1);
}

static void
set_defaults (Ps2Keyboard *keyboard)
{
  keyboard->command = 0;
  keyboard->set = 2;
  keyboard->queue.length = 0;
}

void
ps2_keyboard_reset (Ps2Keyboard *keyboard)
{
  memset (keyboard, 0, sizeof *keyboard);
  set_defaults (keyboard);
  keyboard->scanning = TRUE;
}

/* The argument of a command that was acknowledged before. */
static gboolean
take_argument (Ps2Keyboard *keyboard, guint8 byte)
{
  guint8 command = keyboard->command;
  gboolean leds_changed = FALSE;

  keyboard->command = 0;
  if (command == 0xf0 && byte > 2)
    {
      /* DEVIATION: no scan code set 3; no driver of an operating system asks for it by default. */
      answer (keyboard, RESEND);
      return FALSE;
    }
  answer (keyboard, ACK);
  if (command == 0xed)
    {
      leds_changed = keyboard->leds != (byte & 7);
      keyboard->leds = byte & 7;
    }
  else if (command == 0xf0 && byte == 0)
    answer (keyboard, keyboard->set);
  else if (command == 0xf0)
    keyboard->set = byte;
  return leds_changed;
}

gboolean
ps2_keyboard_command (Ps2Keyboard *keyboard, guint8 byte)
{
  gboolean leds_changed = FALSE;

  if (keyboard->command != 0 && byte < 0x80)
    return take_argument (keyboard, byte);
  keyboard->command = 0;
  switch (byte)
    {
    case 0xed: /* LEDs */
    case 0xf0: /* scan code set */
    case 0xf3: /* typematic rate: the viewer repeats keys, so the rate has no effect */
      answer (keyboard, ACK);
      keyboard->command = byte;
      break;
    case 0xee: /* echo */
      answer (keyboard, 0xee);
      break;
    case 0xf2: /* identify */
      answer (keyboard, ACK);
      answer (keyboard, 0xab);
      answer (keyboard, 0x83);
      break;
    case 0xf4: /* enable */
      keyboard->queue.length = 0;
      keyboard->scanning = TRUE;
      answer (keyboard, ACK);
      break;
    case 0xf5: /* defaults, disable */
    case 0xf6: /* defaults */
      set_defaults (keyboard);
      keyboard->scanning = byte == 0xf6;
      answer (keyboard, ACK);
      break;
    case 0xf7: /* set 3 key types: no effect in sets 1 and 2 */
    case 0xf8:
    case 0xf9:
    case 0xfa:
      answer (keyboard, ACK);
      break;
    case 0xff: /* reset */
      leds_changed = keyboard->leds != 0;
      ps2_keyboard_reset (keyboard);
      answer (keyboard, ACK);
      answer (keyboard, PASSED);
      break;
    default:
      answer (keyboard, RESEND);
    }
  return leds_changed;
}

static const Key *
find_key (guint keycode)
{
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    if (keys[i].keycode == keycode)
      return &keys[i];
  return NULL;
}

/* Pause has a make sequence only, with its break inside. */
static void
press_pause (Ps2Keyboard *keyboard)
{
  static const guint8 set1[] = { 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 };
  static const guint8 set2[] = { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 };

  if (keyboard->set == 1)
    ps2_queue_push (&keyboard->queue, set1, sizeof set1);
  else
    ps2_queue_push (&keyboard->queue, set2, sizeof set2);
}

void
ps2_keyboard_key (Ps2Keyboard *keyboard, guint keycode, gboolean down)
{
  const Key *key = find_key (keycode);
  guint8 bytes[3];
  guint n = 0;

  if (!keyboard->scanning)
    return;
  if (keycode == KEY_PAUSE && down)
    press_pause (keyboard);
  if (key == NULL)
    return;
  if (key->e0)
    bytes[n++] = 0xe0;
  if (keyboard->set == 1)
    bytes[n++] = key->set1 | (down ? 0 : 0x80);
  else
    {
      if (!down)
        bytes[n++] = 0xf0;
      bytes[n++] = key->set2;
    }
  /* A guest that does not read loses keys, as with the real thing; room is kept for answers. */
  if (keyboard->queue.length + n <= PS2_QUEUE_SIZE - 8)
    ps2_queue_push (&keyboard->queue, bytes, n);
}

guint8
ps2_keyboard_translate (guint8 byte)
{
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    if (keys[i].set2 == byte)
      return keys[i].set1;
  if (byte == 0x84) /* print screen with Alt held */
    return 0x54;
  return byte;
}
