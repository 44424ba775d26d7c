/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SPICE keyboard, tablet and mouse into the input router. The tablet exists only while the guest
 * listens to absolute positions: its presence is what lets clients choose client mouse mode. */
#include "devices/backends/spice/spice-private.h"

struct _SpiceInput
{
  SpiceBackend *spice;
  InputRouter *router;

  SpiceKbdInstance keyboard;
  SpiceTabletInstance tablet;
  SpiceMouseInstance mouse;

  SpiceScanState scan;
  gboolean tablet_present;
  guint width, height; /* what tablet positions refer to */

  GSource *wake; /* mode or LEDs changed */
  gint leds;     /* atomic */
  guint leds_told;
};

static void
keyboard_push (SpiceKbdInstance *instance, uint8_t byte)
{
  SpiceInput *input = SPICE_CONTAINEROF (instance, SpiceInput, keyboard);
  guint keycode;
  gboolean down;

  if (!spice_input_decode (&input->scan, byte, &keycode, &down))
    return;
  input_router_key (input->router, keycode, down);
  input_router_sync (input->router);
}

static uint8_t
keyboard_get_leds (SpiceKbdInstance *instance)
{
  SpiceInput *input = SPICE_CONTAINEROF (instance, SpiceInput, keyboard);

  return (uint8_t)g_atomic_int_get (&input->leds);
}

/* What the server hands to interfaces is not the protocol's SPICE_MOUSE_BUTTON_MASK: right and middle
 * are swapped, and the wheel (which comes separately) leaves a gap. */
enum
{
  SPICE_LOCAL_LEFT = 1 << 0,
  SPICE_LOCAL_RIGHT = 1 << 1,
  SPICE_LOCAL_MIDDLE = 1 << 2,
  SPICE_LOCAL_SIDE = 1 << 6,
  SPICE_LOCAL_EXTRA = 1 << 7,
};

static guint
convert_buttons (uint32_t mask)
{
  guint buttons = 0;

  if (mask & SPICE_LOCAL_LEFT)
    buttons |= INPUT_BUTTON_LEFT;
  if (mask & SPICE_LOCAL_MIDDLE)
    buttons |= INPUT_BUTTON_MIDDLE;
  if (mask & SPICE_LOCAL_RIGHT)
    buttons |= INPUT_BUTTON_RIGHT;
  if (mask & SPICE_LOCAL_SIDE)
    buttons |= INPUT_BUTTON_SIDE;
  if (mask & SPICE_LOCAL_EXTRA)
    buttons |= INPUT_BUTTON_EXTRA;
  return buttons;
}

/* wheel: clicks towards the user. */
static void
push_buttons (SpiceInput *input, int wheel, uint32_t mask)
{
  input_router_buttons (input->router, convert_buttons (mask));
  input_router_wheel (input->router, -CLAMP (wheel, -127, 127), 0);
  input_router_sync (input->router);
}

static void
tablet_set_logical_size (SpiceTabletInstance *instance, int width, int height)
{
  SpiceInput *input = SPICE_CONTAINEROF (instance, SpiceInput, tablet);

  input->width = width > 0 ? (guint)width : 0;
  input->height = height > 0 ? (guint)height : 0;
}

/* The middle of pixel `position`, so that a guest that scales back down hits the same pixel. */
static guint
scale_axis (int position, guint size)
{
  guint64 p = (guint64)CLAMP (position, 0, (int)size - 1);

  return (guint)((2 * p + 1) * (INPUT_ABS_MAX + 1) / (2 * (guint64)size));
}

static void
tablet_position (SpiceTabletInstance *instance, int x, int y, uint32_t mask)
{
  SpiceInput *input = SPICE_CONTAINEROF (instance, SpiceInput, tablet);

  if (input->width == 0 || input->height == 0)
    return;
  input_router_absolute (input->router, scale_axis (x, input->width),
                         scale_axis (y, input->height));
  push_buttons (input, 0, mask);
}

static void
tablet_wheel (SpiceTabletInstance *instance, int wheel, uint32_t mask)
{
  push_buttons (SPICE_CONTAINEROF (instance, SpiceInput, tablet), wheel, mask);
}

static void
tablet_buttons (SpiceTabletInstance *instance, uint32_t mask)
{
  push_buttons (SPICE_CONTAINEROF (instance, SpiceInput, tablet), 0, mask);
}

static void
mouse_motion (SpiceMouseInstance *instance, int dx, int dy, int dz, uint32_t mask)
{
  SpiceInput *input = SPICE_CONTAINEROF (instance, SpiceInput, mouse);

  if (dx != 0 || dy != 0)
    input_router_relative (input->router, dx, dy);
  push_buttons (input, dz, mask);
}

static void
mouse_buttons (SpiceMouseInstance *instance, uint32_t mask)
{
  push_buttons (SPICE_CONTAINEROF (instance, SpiceInput, mouse), 0, mask);
}

static const SpiceKbdInterface keyboard_interface = {
  .base = { SPICE_INTERFACE_KEYBOARD, "alcove keyboard", SPICE_INTERFACE_KEYBOARD_MAJOR,
            SPICE_INTERFACE_KEYBOARD_MINOR },
  .push_scan_freg = keyboard_push,
  .get_leds = keyboard_get_leds,
};

static const SpiceTabletInterface tablet_interface = {
  .base = { SPICE_INTERFACE_TABLET, "alcove tablet", SPICE_INTERFACE_TABLET_MAJOR,
            SPICE_INTERFACE_TABLET_MINOR },
  .set_logical_size = tablet_set_logical_size,
  .position = tablet_position,
  .wheel = tablet_wheel,
  .buttons = tablet_buttons,
};

static const SpiceMouseInterface mouse_interface = {
  .base = { SPICE_INTERFACE_MOUSE, "alcove mouse", SPICE_INTERFACE_MOUSE_MAJOR,
            SPICE_INTERFACE_MOUSE_MINOR },
  .motion = mouse_motion,
  .buttons = mouse_buttons,
};

/* Any thread, perhaps with a device's lock held. */
static void
mode_changed (gpointer user_data, gboolean absolute)
{
  SpiceInput *input = user_data;

  spice_wake (input->wake);
}

static void
leds_changed (gpointer user_data, guint leds)
{
  SpiceInput *input = user_data;

  g_atomic_int_set (&input->leds, (int)leds);
  spice_wake (input->wake);
}

static void
input_update (gpointer user_data)
{
  SpiceInput *input = user_data;
  gboolean absolute = input_router_has_absolute (input->router);
  guint leds = (guint)g_atomic_int_get (&input->leds);

  if (absolute != input->tablet_present)
    {
      input->tablet_present = absolute;
      if (absolute)
        spice_server_add_interface (input->spice->server, &input->tablet.base);
      else
        spice_server_remove_interface (&input->tablet.base);
    }
  if (leds != input->leds_told)
    {
      input->leds_told = leds;
      spice_server_kbd_leds (&input->keyboard, (int)leds);
    }
}

SpiceInput *
spice_input_new (SpiceBackend *spice, InputRouter *router)
{
  SpiceInput *input = g_new0 (SpiceInput, 1);

  input->spice = spice;
  input->router = router;
  input->keyboard.base.sif = &keyboard_interface.base;
  input->tablet.base.sif = &tablet_interface.base;
  input->mouse.base.sif = &mouse_interface.base;
  spice_server_add_interface (spice->server, &input->keyboard.base);
  spice_server_add_interface (spice->server, &input->mouse.base);
  input->wake = spice_wake_new (spice, input_update, input);
  input_router_set_mode_func (router, mode_changed, input);
  input_router_set_leds_func (router, leds_changed, input);
  input_update (input);
  return input;
}

void
spice_input_client_gone (SpiceInput *input)
{
  input->scan = (SpiceScanState){ 0 };
  input_router_release_all (input->router);
}

void
spice_input_stop (SpiceInput *input)
{
  if (input == NULL)
    return;
  input_router_set_mode_func (input->router, NULL, NULL);
  input_router_set_leds_func (input->router, NULL, NULL);
  spice_wake_free (g_steal_pointer (&input->wake));
  input_router_release_all (input->router);
}

void
spice_input_free (SpiceInput *input)
{
  g_free (input);
}
