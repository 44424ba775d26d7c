/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two PS/2 devices behind the keyboard controller, as state machines without threads or locks:
 * i8042.c owns them, feeds them the guest's bytes and the viewer's events, and takes their answers.
 * Spec: IBM PS/2 Hardware Interface Technical Reference, Keyboard and Auxiliary Device; IntelliMouse
 * extensions as in Microsoft's mouse design guide. */
#pragma once
#include "vmm/state.h"

#define PS2_QUEUE_SIZE 32

/* Bytes on their way to the controller. */
typedef struct
{
  guint8 bytes[PS2_QUEUE_SIZE];
  guint8 head, length;
} Ps2Queue;

gboolean ps2_queue_pop (Ps2Queue *queue, guint8 *ret_byte);
/* All or nothing. */
gboolean ps2_queue_push (Ps2Queue *queue, const guint8 *bytes, guint length);

/* Save and load, with values checked: the queue's indices, and fields of the devices. */
typedef struct
{
  Ps2Queue queue;
  guint8 command;  /* that waits for its argument, or 0 */
  guint8 set;      /* scan code set 1 or 2 */
  guint8 leds;     /* scroll, num, caps from bit 0 */
  guint8 scanning; /* enabled */
} Ps2Keyboard;

/* Power-on state, without the self-test answer. */
void ps2_keyboard_reset (Ps2Keyboard *keyboard);
/* A byte from the guest. Returns: TRUE when the LEDs changed. */
gboolean ps2_keyboard_command (Ps2Keyboard *keyboard, guint8 byte);
/* evdev code; keys the keyboard does not have, and events while scanning is off, do nothing. */
void ps2_keyboard_key (Ps2Keyboard *keyboard, guint keycode, gboolean down);
/* The controller's translation of a scan code byte, set 2 to set 1. */
guint8 ps2_keyboard_translate (guint8 byte);

typedef struct
{
  Ps2Queue queue;
  guint8 command; /* that waits for its argument, or 0 */
  guint8 id;      /* 0, 3 with a wheel, 4 with five buttons */
  guint8 rate, resolution, scaling, reporting, remote, wrap;
  guint8 knock[2]; /* the last two sample rates: the way to the extensions */
  guint8 buttons;  /* left, right, middle, side, extra from bit 0 */
  guint8 sent_buttons;
  guint32 dx, dy, dz; /* two's complement, not reported yet; dy upwards */
} Ps2Mouse;

void ps2_mouse_reset (Ps2Mouse *mouse);
void ps2_mouse_command (Ps2Mouse *mouse, guint8 byte);
/* dy, as on the screen, grows downwards. */
void ps2_mouse_move (Ps2Mouse *mouse, int dx, int dy);
/* buttons: InputButtons. */
void ps2_mouse_buttons (Ps2Mouse *mouse, guint buttons);
/* clicks: away from the user is +. */
void ps2_mouse_wheel (Ps2Mouse *mouse, int clicks);
/* Queues packets for what happened, as far as the queue has room. */
void ps2_mouse_report (Ps2Mouse *mouse);
