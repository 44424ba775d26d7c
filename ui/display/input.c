/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/display/display-private.h"

#include <glib/gi18n.h>
#include <linux/input-event-codes.h>
#include <math.h>
#include <string.h>

#include "ui/compat.h"
#include "ui/display/keymap.h"
#include "ui/display/pointer-lock.h"

/* --- keyboard --- */

static const guint chord_keys[][2] = {
  [ALCOVE_CHORD_LEFT_CTRL_ALT] = { KEY_LEFTCTRL, KEY_LEFTALT },
  [ALCOVE_CHORD_RIGHT_CTRL] = { KEY_RIGHTCTRL, 0 },
  [ALCOVE_CHORD_BOTH_SHIFTS] = { KEY_LEFTSHIFT, KEY_RIGHTSHIFT },
};

/**
 * alcove_display_get_chord_label:
 *
 * Returns: the keys that give the keyboard back, as people call them
 */
const char *
alcove_display_get_chord_label (AlcoveDisplay *self)
{
  switch (self->input.chord)
    {
    case ALCOVE_CHORD_RIGHT_CTRL:
      return _ ("right Ctrl");
    case ALCOVE_CHORD_BOTH_SHIFTS:
      return _ ("both Shift keys");
    case ALCOVE_CHORD_LEFT_CTRL_ALT:
    default:
      return _ ("left Ctrl+Alt");
    }
}

static bool
is_pressed (AlcoveDisplay *self, guint evdev)
{
  return self->input.pressed[evdev / 8] & (1u << evdev % 8);
}

static void
send_key (AlcoveDisplay *self, guint evdev, bool down)
{
  guint xt = alcove_keymap_evdev_to_xt (evdev);

  if (!self->spice.inputs || !xt)
    return;
  if (xt == ALCOVE_XT_PAUSE_PREFIX)
    {
      /* Pause has no release: the keyboard sends e1 1d 45 e1 9d c5 at once. */
      if (!down)
        return;
      spice_inputs_channel_key_press (self->spice.inputs, ALCOVE_XT_PAUSE_PREFIX);
      spice_inputs_channel_key_press (self->spice.inputs, 0x45);
      spice_inputs_channel_key_release (self->spice.inputs, ALCOVE_XT_PAUSE_PREFIX);
      spice_inputs_channel_key_release (self->spice.inputs, 0x45);
    }
  else if (down)
    spice_inputs_channel_key_press (self->spice.inputs, xt);
  else
    spice_inputs_channel_key_release (self->spice.inputs, xt);
}

static bool
is_chord_key (AlcoveDisplay *self, guint evdev)
{
  const guint *keys = chord_keys[self->input.chord];

  return evdev == keys[0] || (keys[1] && evdev == keys[1]);
}

static bool
chord_is_down (AlcoveDisplay *self)
{
  const guint *keys = chord_keys[self->input.chord];

  return is_pressed (self, keys[0]) && (!keys[1] || is_pressed (self, keys[1])) &&
         self->input.n_pressed == (keys[1] ? 2 : 1);
}

/* The chord counts when its keys alone were down and one comes up: Ctrl+Alt+Delete and its like
 * still reach the guest. */
static void
key_event (AlcoveDisplay *self, guint evdev, bool down)
{
  guint8 bit = (guint8)(1u << evdev % 8);
  bool released = false;

  if (down)
    {
      if (!is_pressed (self, evdev))
        {
          self->input.pressed[evdev / 8] |= bit;
          self->input.n_pressed++;
          self->input.chord_armed = chord_is_down (self);
        }
      /* A repeat is sent again: that is what a PC keyboard does. */
      send_key (self, evdev, true);
      return;
    }

  if (!is_pressed (self, evdev))
    return;
  released = self->input.chord_armed && is_chord_key (self, evdev);
  self->input.chord_armed = false;
  self->input.pressed[evdev / 8] &= (guint8)~bit;
  self->input.n_pressed--;
  send_key (self, evdev, false);
  if (released)
    {
      alcove_display_input_release_all (self);
      alcove_display_ungrab (self);
      g_signal_emit_by_name (self, "released");
    }
}

/* Lets the guest see every key and button up: the focus has gone and their releases with it. */
void
alcove_display_input_release_all (AlcoveDisplay *self)
{
  for (guint evdev = 0; self->input.n_pressed && evdev < ALCOVE_DISPLAY_MAX_KEYS; evdev++)
    if (is_pressed (self, evdev))
      {
        self->input.pressed[evdev / 8] &= (guint8) ~(1u << evdev % 8);
        self->input.n_pressed--;
        send_key (self, evdev, false);
      }
  memset (self->input.pressed, 0, sizeof self->input.pressed);
  self->input.n_pressed = 0;
  self->input.chord_armed = false;
  for (int button = SPICE_MOUSE_BUTTON_LEFT; button <= SPICE_MOUSE_BUTTON_EXTRA; button++)
    {
      int mask = 1 << (button - 1);

      if (!(self->input.buttons & mask))
        continue;
      self->input.buttons &= ~mask;
      if (self->spice.inputs)
        spice_inputs_channel_button_release (self->spice.inputs, button, self->input.buttons);
    }
}

static gboolean
has_keyboard (AlcoveDisplay *self)
{
  return self->spice.inputs && self->input.root &&
         gtk_root_get_focus (GTK_ROOT (self->input.root)) == GTK_WIDGET (self);
}

static gboolean
on_key_pressed (AlcoveDisplay *self, guint keyval, guint keycode, GdkModifierType state)
{
  guint evdev = alcove_keymap_hardware_to_evdev (keycode);

  if (!has_keyboard (self))
    return GDK_EVENT_PROPAGATE;
  if (evdev)
    key_event (self, evdev, true);
  return GDK_EVENT_STOP;
}

static void
on_key_released (AlcoveDisplay *self, guint keyval, guint keycode, GdkModifierType state)
{
  guint evdev = alcove_keymap_hardware_to_evdev (keycode);

  if (evdev && has_keyboard (self))
    key_event (self, evdev, false);
}

static void
on_active_changed (AlcoveDisplay *self)
{
  if (!gtk_window_is_active (GTK_WINDOW (self->input.root)))
    alcove_display_input_release_all (self);
}

static void
on_focus_leave (AlcoveDisplay *self)
{
  alcove_display_input_release_all (self);
  alcove_display_ungrab (self);
}

/* --- grab --- */

static GdkToplevel *
get_toplevel (AlcoveDisplay *self)
{
  GtkNative *native = gtk_widget_get_native (GTK_WIDGET (self));
  GdkSurface *surface = native ? gtk_native_get_surface (native) : NULL;

  return surface && GDK_IS_TOPLEVEL (surface) ? GDK_TOPLEVEL (surface) : NULL;
}

static void
set_grabbed (AlcoveDisplay *self, bool grabbed)
{
  if (self->input.grabbed == grabbed)
    return;
  self->input.grabbed = grabbed;
  self->input.last_valid = false;
  alcove_display_input_update_cursor (self);
  g_object_notify (G_OBJECT (self), "grabbed");
}

static void
on_inhibited_changed (AlcoveDisplay *self)
{
  GdkToplevel *toplevel = get_toplevel (self);
  gboolean inhibited = FALSE;

  if (toplevel)
    g_object_get (toplevel, "shortcuts-inhibited", &inhibited, NULL);
  /* The compositor took the shortcuts back, by a chord of its own for instance. */
  if (self->input.inhibited && !inhibited)
    set_grabbed (self, false);
  self->input.inhibited = inhibited;
}

/**
 * alcove_display_grab:
 *
 * Takes the keyboard with all its shortcuts, and the pointer if the guest has only a mouse. The
 * compositor may refuse to hand over its own shortcuts; ordinary keys still go to the guest.
 */
void
alcove_display_grab (AlcoveDisplay *self)
{
  GdkToplevel *toplevel = get_toplevel (self);

  if (self->input.grabbed || !toplevel || !self->spice.connected)
    return;
  gtk_widget_grab_focus (GTK_WIDGET (self));
  if (!self->input.inhibited_handler)
    self->input.inhibited_handler =
        g_signal_connect_object (toplevel, "notify::shortcuts-inhibited",
                                 G_CALLBACK (on_inhibited_changed), self, G_CONNECT_SWAPPED);
  set_grabbed (self, true);
  gdk_toplevel_inhibit_system_shortcuts (toplevel, NULL);
}

/**
 * alcove_display_ungrab:
 *
 * Gives shortcuts and pointer back.
 */
void
alcove_display_ungrab (AlcoveDisplay *self)
{
  GdkToplevel *toplevel = get_toplevel (self);

  if (!self->input.grabbed)
    return;
  self->input.inhibited = false;
  set_grabbed (self, false);
  if (toplevel)
    gdk_toplevel_restore_system_shortcuts (toplevel);
}

bool
alcove_display_get_grabbed (AlcoveDisplay *self)
{
  return self->input.grabbed;
}

/* --- pointer --- */

void
alcove_display_input_update_cursor (AlcoveDisplay *self)
{
  g_autoptr (GdkCursor) cursor = NULL;

  if (self->input.relative)
    {
      /* The guest draws its own pointer where it wants it; ours shows only outside a grab. */
      if (self->input.grabbed)
        cursor = gdk_cursor_new_from_name ("none", NULL);
      gtk_widget_queue_draw (GTK_WIDGET (self));
    }
  else if (!self->cursor.visible && self->spice.cursor)
    cursor = gdk_cursor_new_from_name ("none", NULL);
  else if (self->cursor.texture)
    cursor = gdk_cursor_new_from_texture (self->cursor.texture, self->cursor.hot_x,
                                          self->cursor.hot_y, NULL);
  gtk_widget_set_cursor (GTK_WIDGET (self), cursor);
}

void
alcove_display_input_set_relative (AlcoveDisplay *self, bool relative)
{
  if (self->input.relative == relative)
    return;
  self->input.relative = relative;
  self->input.last_valid = false;
  alcove_display_input_update_cursor (self);
}

/* Whole device pixels moved since the last call; fractions are kept for the next. */
static int
take_whole (double *rest, double delta)
{
  double whole = trunc (*rest + delta);

  *rest += delta - whole;
  return (int)whole;
}

static void
move_relative (AlcoveDisplay *self, double x, double y)
{
  double scale = self->view.scale;

  if (self->input.grabbed && self->input.last_valid)
    {
      int dx = take_whole (&self->input.rest_x, (x - self->input.last_x) * scale);
      int dy = take_whole (&self->input.rest_y, (y - self->input.last_y) * scale);

      if (dx || dy)
        spice_inputs_channel_motion (self->spice.inputs, dx, dy, self->input.buttons);
    }
  self->input.last_x = x;
  self->input.last_y = y;
  self->input.last_valid = true;

  if (self->input.grabbed)
    {
      double width = gtk_widget_get_width (GTK_WIDGET (self));
      double height = gtk_widget_get_height (GTK_WIDGET (self));

      /* Away from the edges, so that the next movement has room. */
      if ((fabs (x - width / 2) > width / 4 || fabs (y - height / 2) > height / 4) &&
          alcove_pointer_warp (GTK_WIDGET (self), width / 2, height / 2))
        self->input.last_valid = false;
    }
}

static void
move_pointer (AlcoveDisplay *self, double x, double y)
{
  int guest_x, guest_y;

  if (self->input.relative)
    move_relative (self, x, y);
  else if (alcove_display_to_guest (self, x, y, &guest_x, &guest_y))
    spice_inputs_channel_position (self->spice.inputs, guest_x, guest_y, 0, self->input.buttons);
}

static int
to_spice_button (guint button)
{
  switch (button)
    {
    case GDK_BUTTON_PRIMARY:
      return SPICE_MOUSE_BUTTON_LEFT;
    case GDK_BUTTON_MIDDLE:
      return SPICE_MOUSE_BUTTON_MIDDLE;
    case GDK_BUTTON_SECONDARY:
      return SPICE_MOUSE_BUTTON_RIGHT;
    case 8:
      return SPICE_MOUSE_BUTTON_SIDE;
    case 9:
      return SPICE_MOUSE_BUTTON_EXTRA;
    default:
      return SPICE_MOUSE_BUTTON_INVALID;
    }
}

static void
press_button (AlcoveDisplay *self, int button, bool down)
{
  int mask = 1 << (button - 1);

  if (down)
    {
      self->input.buttons |= mask;
      spice_inputs_channel_button_press (self->spice.inputs, button, self->input.buttons);
    }
  else if (self->input.buttons & mask)
    {
      self->input.buttons &= ~mask;
      spice_inputs_channel_button_release (self->spice.inputs, button, self->input.buttons);
    }
}

static bool
get_position (AlcoveDisplay *self, GdkEvent *event, double *x, double *y)
{
  GtkWidget *widget = GTK_WIDGET (self);
  GtkNative *native = gtk_widget_get_native (widget);
  double surface_x, surface_y;

  if (!native || !gdk_event_get_position (event, x, y))
    return false;
  gtk_native_get_surface_transform (native, &surface_x, &surface_y);
  return gtk_widget_translate_coordinates (GTK_WIDGET (native), widget, *x - surface_x,
                                           *y - surface_y, x, y);
}

/* One handler for all buttons: gestures would lose the release of a second one. */
static gboolean
on_pointer_event (AlcoveDisplay *self, GdkEvent *event)
{
  GdkEventType type = gdk_event_get_event_type (event);
  int button = SPICE_MOUSE_BUTTON_INVALID;
  double x, y;

  if (!self->spice.inputs ||
      (type != GDK_MOTION_NOTIFY && type != GDK_BUTTON_PRESS && type != GDK_BUTTON_RELEASE &&
       type != GDK_TOUCH_BEGIN && type != GDK_TOUCH_UPDATE && type != GDK_TOUCH_END))
    return GDK_EVENT_PROPAGATE;
  if (get_position (self, event, &x, &y))
    move_pointer (self, x, y);
  if (type == GDK_MOTION_NOTIFY || type == GDK_TOUCH_UPDATE)
    return GDK_EVENT_PROPAGATE;

  button = type == GDK_TOUCH_BEGIN || type == GDK_TOUCH_END
               ? SPICE_MOUSE_BUTTON_LEFT
               : to_spice_button (gdk_button_event_get_button (event));
  if (type == GDK_BUTTON_PRESS || type == GDK_TOUCH_BEGIN)
    {
      gtk_widget_grab_focus (GTK_WIDGET (self));
      if (self->input.relative && !self->input.grabbed)
        {
          /* The first click only takes the pointer. */
          alcove_display_grab (self);
          return GDK_EVENT_STOP;
        }
      if (button != SPICE_MOUSE_BUTTON_INVALID)
        press_button (self, button, true);
    }
  else if (button != SPICE_MOUSE_BUTTON_INVALID)
    press_button (self, button, false);
  return GDK_EVENT_STOP;
}

static gboolean
on_scroll (AlcoveDisplay *self, double dx, double dy)
{
  int button = dy < 0 ? SPICE_MOUSE_BUTTON_UP : SPICE_MOUSE_BUTTON_DOWN;
  int steps = (int)CLAMP (fabs (dy), 0, 20);

  if (!self->spice.inputs)
    return GDK_EVENT_PROPAGATE;
  for (int i = 0; i < steps; i++)
    {
      spice_inputs_channel_button_press (self->spice.inputs, button, self->input.buttons);
      spice_inputs_channel_button_release (self->spice.inputs, button, self->input.buttons);
    }
  return GDK_EVENT_STOP;
}

static void
on_pointer_leave (AlcoveDisplay *self)
{
  self->input.last_valid = false;
}

/* --- set-up --- */

void
alcove_display_input_init (AlcoveDisplay *self)
{
  GtkWidget *widget = GTK_WIDGET (self);
  GtkEventController *controller;

  controller = gtk_event_controller_focus_new ();
  g_signal_connect_swapped (controller, "leave", G_CALLBACK (on_focus_leave), self);
  gtk_widget_add_controller (widget, controller);

  controller = gtk_event_controller_legacy_new ();
  g_signal_connect_swapped (controller, "event", G_CALLBACK (on_pointer_event), self);
  gtk_widget_add_controller (widget, controller);

  controller = gtk_event_controller_motion_new ();
  g_signal_connect_swapped (controller, "leave", G_CALLBACK (on_pointer_leave), self);
  gtk_widget_add_controller (widget, controller);

  controller = gtk_event_controller_scroll_new (GTK_EVENT_CONTROLLER_SCROLL_VERTICAL |
                                                GTK_EVENT_CONTROLLER_SCROLL_DISCRETE);
  g_signal_connect_swapped (controller, "scroll", G_CALLBACK (on_scroll), self);
  gtk_widget_add_controller (widget, controller);
}

/* The keys are taken at the window, in the capture phase and (being added last) before the
 * application's accelerators, so that no shortcut of ours steals a key from the guest. */
void
alcove_display_input_root (AlcoveDisplay *self)
{
  GtkWidget *root = GTK_WIDGET (gtk_widget_get_root (GTK_WIDGET (self)));

  self->input.root = root;
  self->input.keys = gtk_event_controller_key_new ();
  gtk_event_controller_set_propagation_phase (self->input.keys, GTK_PHASE_CAPTURE);
  g_signal_connect_swapped (self->input.keys, "key-pressed", G_CALLBACK (on_key_pressed), self);
  g_signal_connect_swapped (self->input.keys, "key-released", G_CALLBACK (on_key_released), self);
  gtk_widget_add_controller (root, self->input.keys);
  if (GTK_IS_WINDOW (root))
    self->input.active_handler =
        g_signal_connect_swapped (root, "notify::is-active", G_CALLBACK (on_active_changed), self);
}

void
alcove_display_input_unroot (AlcoveDisplay *self)
{
  GdkToplevel *toplevel = get_toplevel (self);

  alcove_display_input_release_all (self);
  alcove_display_ungrab (self);
  if (toplevel && self->input.inhibited_handler)
    g_clear_signal_handler (&self->input.inhibited_handler, toplevel);
  self->input.inhibited_handler = 0;
  gtk_widget_remove_controller (self->input.root, g_steal_pointer (&self->input.keys));
  g_clear_signal_handler (&self->input.active_handler, self->input.root);
  self->input.root = NULL;
}
