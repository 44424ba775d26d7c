/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parts of AlcoveDisplay: display.c (widget and layout), spice.c (connection), input.c (keys,
 * pointer, grab). Main thread only. */
#pragma once

#include <spice-client.h>

#include "ui/display/display.h"
#include "ui/display/framebuffer.h"

G_BEGIN_DECLS

#define ALCOVE_DISPLAY_MAX_KEYS 0x300

struct _AlcoveDisplay
{
  GtkWidget parent;

  AlcoveFramebuffer *framebuffer;

  struct
  {
    AlcoveDisplayAttachFunc attach;
    gpointer attach_data;
    GDestroyNotify attach_destroy;
    SpiceSession *session;
    SpiceMainChannel *main;
    SpiceDisplayChannel *display;
    SpiceCursorChannel *cursor;
    SpiceInputsChannel *inputs;
    bool connected;
    bool ack_due;     /* a gl-draw waits for its acknowledgement */
    guint ack_source; /* acknowledges although no frame is drawn */
  } spice;

  struct
  {
    AlcoveDisplayResizeFunc func;
    gpointer data;
    GDestroyNotify destroy;
    guint source;
    guint asked_width;
    guint asked_height;
    bool enabled;
  } resize;

  /* Where the picture is, in device pixels of the widget. */
  struct
  {
    int scale;
    int width;
    int height;
    double x;
    double y;
    double zoom;
  } view;

  struct
  {
    GdkTexture *texture;
    int hot_x;
    int hot_y;
    int x;
    int y;
    bool visible;
  } cursor;

  struct
  {
    GtkWidget *root;
    GtkEventController *keys;
    gulong active_handler;
    gulong inhibited_handler;
    guint8 pressed[ALCOVE_DISPLAY_MAX_KEYS / 8];
    guint n_pressed;
    bool chord_armed;
    AlcoveChord chord;
    bool grabbed;
    bool inhibited;
    int buttons; /* SPICE_MOUSE_BUTTON_MASK_* now held */
    bool relative;
    bool pointer_inside;
    double last_x; /* device pixels, relative pointer */
    double last_y;
    bool last_valid;
    double rest_x; /* movement below one pixel, carried over */
    double rest_y;
  } input;
};

/* display.c */
void alcove_display_geometry_changed (AlcoveDisplay *self);
void alcove_display_set_connected (AlcoveDisplay *self, bool connected);
void alcove_display_schedule_resize (AlcoveDisplay *self);
bool alcove_display_to_guest (AlcoveDisplay *self, double x, double y, int *guest_x, int *guest_y);

/* spice.c */
void alcove_display_spice_acknowledge (AlcoveDisplay *self);
void alcove_display_spice_finish (AlcoveDisplay *self);

/* input.c */
void alcove_display_input_init (AlcoveDisplay *self);
void alcove_display_input_root (AlcoveDisplay *self);
void alcove_display_input_unroot (AlcoveDisplay *self);
void alcove_display_input_release_all (AlcoveDisplay *self);
void alcove_display_input_set_relative (AlcoveDisplay *self, bool relative);
void alcove_display_input_update_cursor (AlcoveDisplay *self);

G_END_DECLS
