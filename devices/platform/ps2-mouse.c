/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/ps2.h"

#include <string.h>

#include "devices/input/router.h"

#define ACK    0xfa
#define ERROR  0xfc
#define PASSED 0xaa

static void
answer (Ps2Mouse *mouse, guint8 byte)
{
  ps2_queue_push (&mouse->queue, &byte, 1);
}

static void
set_defaults (Ps2Mouse *mouse)
{
  mouse->rate = 100;
  mouse->resolution = 2;
  mouse->scaling = 0;
  mouse->reporting = FALSE;
  mouse->remote = FALSE;
  mouse->wrap = FALSE;
  mouse->command = 0;
  mouse->dx = mouse->dy = mouse->dz = 0;
}

void
ps2_mouse_reset (Ps2Mouse *mouse)
{
  memset (mouse, 0, sizeof *mouse);
  set_defaults (mouse);
}

static int
clamp (guint32 *value, int low, int high)
{
  int part = CLAMP ((gint32)*value, low, high);

  *value -= (guint32)part;
  return part;
}

/* One packet of 3 bytes, or 4 with the extensions; FALSE without room. */
static gboolean
push_packet (Ps2Mouse *mouse)
{
  guint8 bytes[4];
  guint n = mouse->id == 0 ? 3 : 4;
  int dx, dy, dz;

  if (mouse->queue.length + n > PS2_QUEUE_SIZE - 8)
    return FALSE;
  dx = clamp (&mouse->dx, -255, 255);
  dy = clamp (&mouse->dy, -255, 255);
  dz = clamp (&mouse->dz, mouse->id == 4 ? -8 : -127, mouse->id == 4 ? 7 : 127);
  if (mouse->id == 0)
    mouse->dz = 0;
  bytes[0] = 0x08 | (mouse->buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0);
  bytes[1] = (guint8)dx;
  bytes[2] = (guint8)dy;
  bytes[3] = (guint8)dz;
  if (mouse->id == 4)
    bytes[3] = (guint8)((dz & 0x0f) | (mouse->buttons >> 3 & 3) << 4);
  mouse->sent_buttons = mouse->buttons;
  return ps2_queue_push (&mouse->queue, bytes, n);
}

/* The sample rates 200, 100, 80 unlock the wheel; 200, 200, 80 after that, five buttons. */
static void
set_rate (Ps2Mouse *mouse, guint8 rate)
{
  if (rate == 80 && mouse->knock[0] == 200 && mouse->knock[1] == 100)
    mouse->id = 3;
  else if (rate == 80 && mouse->knock[0] == 200 && mouse->knock[1] == 200 && mouse->id == 3)
    mouse->id = 4;
  mouse->knock[0] = mouse->knock[1];
  mouse->knock[1] = rate;
  mouse->rate = rate;
}

static void
answer_status (Ps2Mouse *mouse)
{
  answer (mouse, ACK);
  answer (mouse, (guint8)((mouse->buttons & 1) << 2 | (mouse->buttons & 4) >> 1 |
                          (mouse->buttons & 2) >> 1 | mouse->scaling << 4 | mouse->reporting << 5 |
                          mouse->remote << 6));
  answer (mouse, mouse->resolution);
  answer (mouse, mouse->rate);
}

void
ps2_mouse_command (Ps2Mouse *mouse, guint8 byte)
{
  guint8 command = mouse->command;

  if (command != 0)
    {
      mouse->command = 0;
      if (command == 0xf3)
        set_rate (mouse, byte);
      else
        mouse->resolution = byte & 3;
      answer (mouse, ACK);
      return;
    }
  if (mouse->wrap && byte != 0xec && byte != 0xff)
    {
      answer (mouse, byte);
      return;
    }
  switch (byte)
    {
    case 0xe6: /* scaling 1:1 */
    case 0xe7: /* scaling 2:1 */
      mouse->scaling = byte & 1;
      answer (mouse, ACK);
      break;
    case 0xe8: /* resolution */
    case 0xf3: /* sample rate */
      mouse->command = byte;
      answer (mouse, ACK);
      break;
    case 0xe9:
      answer_status (mouse);
      break;
    case 0xea: /* stream mode */
    case 0xf0: /* remote mode */
      mouse->remote = byte == 0xf0;
      answer (mouse, ACK);
      break;
    case 0xeb: /* read data */
      answer (mouse, ACK);
      push_packet (mouse);
      break;
    case 0xec: /* reset wrap mode */
    case 0xee: /* wrap mode */
      mouse->wrap = byte == 0xee;
      answer (mouse, ACK);
      break;
    case 0xf2: /* identify */
      answer (mouse, ACK);
      answer (mouse, mouse->id);
      break;
    case 0xf4: /* enable */
    case 0xf5: /* disable */
      mouse->reporting = byte == 0xf4;
      answer (mouse, ACK);
      break;
    case 0xf6:
      set_defaults (mouse);
      answer (mouse, ACK);
      break;
    case 0xff:
      ps2_mouse_reset (mouse);
      answer (mouse, ACK);
      answer (mouse, PASSED);
      answer (mouse, 0);
      break;
    default:
      answer (mouse, ERROR);
    }
}

static gboolean
reports (Ps2Mouse *mouse)
{
  return mouse->reporting && !mouse->remote && !mouse->wrap;
}

void
ps2_mouse_move (Ps2Mouse *mouse, int dx, int dy)
{
  /* What piles up while nobody reads is bounded. */
  mouse->dx = (guint32)CLAMP ((gint64)(gint32)mouse->dx + dx, -4096, 4096);
  mouse->dy = (guint32)CLAMP ((gint64)(gint32)mouse->dy - dy, -4096, 4096);
}

void
ps2_mouse_buttons (Ps2Mouse *mouse, guint buttons)
{
  mouse->buttons =
      (guint8)((buttons & INPUT_BUTTON_LEFT ? 1 : 0) | (buttons & INPUT_BUTTON_RIGHT ? 2 : 0) |
               (buttons & INPUT_BUTTON_MIDDLE ? 4 : 0) | (buttons & INPUT_BUTTON_SIDE ? 8 : 0) |
               (buttons & INPUT_BUTTON_EXTRA ? 16 : 0));
  /* A press and its release must not melt into nothing. */
  if (reports (mouse) && mouse->buttons != mouse->sent_buttons)
    push_packet (mouse);
}

void
ps2_mouse_wheel (Ps2Mouse *mouse, int clicks)
{
  /* The wheel counts towards the user. */
  mouse->dz = (guint32)CLAMP ((gint64)(gint32)mouse->dz - clicks, -127, 127);
}

void
ps2_mouse_report (Ps2Mouse *mouse)
{
  if (!reports (mouse))
    {
      mouse->dx = mouse->dy = mouse->dz = 0;
      return;
    }
  while ((mouse->dx != 0 || mouse->dy != 0 || mouse->dz != 0 ||
          mouse->buttons != mouse->sent_buttons) &&
         push_packet (mouse))
    continue;
}
