/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The input router: sources (SPICE, the control protocol) on one side, input devices (i8042,
 * virtio-input) on the other. A key goes to the keyboard that the guest drives last became ready,
 * so virtio-keyboard takes over from i8042 when its driver is up, and hands back on reset.
 * A release follows its press: it goes to the device that got the press.
 * Threads: any. Sinks are called with the router's delivery lock held and must not send events; a
 * sink may take its device's lock. set_ready and set_leds wait for no delivery, so devices call them
 * with their lock held; add_sink and remove_sink do wait: call those without it. The mode and LED
 * functions may be called with a device's lock held: they forward and return. */
#pragma once
#include <glib.h>

typedef struct _InputRouter InputRouter;

typedef enum
{
  INPUT_BUTTON_LEFT = 1 << 0,
  INPUT_BUTTON_MIDDLE = 1 << 1,
  INPUT_BUTTON_RIGHT = 1 << 2,
  INPUT_BUTTON_SIDE = 1 << 3,
  INPUT_BUTTON_EXTRA = 1 << 4,
} InputButtons;

#define INPUT_ABS_MAX 0x7fff

typedef struct
{
  /* Linux evdev key code (linux/input-event-codes.h KEY_*), down or up. */
  void (*key) (gpointer sink, guint keycode, gboolean down);
  /* x, y: 0..INPUT_ABS_MAX of the picture. */
  void (*absolute) (gpointer sink, guint x, guint y);
  void (*relative) (gpointer sink, int dx, int dy);
  /* All buttons now held. */
  void (*buttons) (gpointer sink, guint buttons);
  /* Clicks: + is up (away from the user) and right. */
  void (*wheel) (gpointer sink, int vertical, int horizontal);
  /* A report is complete (SYN). */
  void (*sync) (gpointer sink);
} InputSinkOps; /* each op (nullable): the sink does not take it */

InputRouter *input_router_new (void);
void input_router_free (InputRouter *router);
void input_router_add_sink (InputRouter *router, const InputSinkOps *ops, gpointer sink);
void input_router_remove_sink (InputRouter *router, gpointer sink);
/* The guest's driver is (not) listening; the last ready sink of each kind gets the events. */
void input_router_set_ready (InputRouter *router, gpointer sink, gboolean ready);
/* TRUE when a ready sink takes absolute positions. */
gboolean input_router_has_absolute (InputRouter *router);
/* Told (any thread) when has_absolute changes. */
void input_router_set_mode_func (InputRouter *router,
                                 void (*func) (gpointer user_data, gboolean absolute),
                                 gpointer user_data);
/* Keyboard LEDs set by the guest: bit 0 scroll, 1 num, 2 caps (any thread). */
void input_router_set_leds_func (InputRouter *router,
                                 void (*func) (gpointer user_data, guint leds),
                                 gpointer user_data);
void input_router_set_leds (InputRouter *router, guint leds);

void input_router_key (InputRouter *router, guint keycode, gboolean down);
void input_router_absolute (InputRouter *router, guint x, guint y);
void input_router_relative (InputRouter *router, int dx, int dy);
void input_router_buttons (InputRouter *router, guint buttons);
void input_router_wheel (InputRouter *router, int vertical, int horizontal);
void input_router_sync (InputRouter *router);
/* Releases every key and button that is held (focus lost, client gone). */
void input_router_release_all (InputRouter *router);
