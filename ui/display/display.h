/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * AlcoveDisplay: a machine's screen, keyboard and pointer as one widget.
 *
 * It speaks SPICE through spice-client-glib and opens no connection by itself: for every channel
 * it makes a socketpair and hands one end to the AlcoveDisplayAttachFunc it was given. The picture
 * is shown pixel by pixel in device pixels when the guest's size is the widget's, otherwise scaled
 * with its aspect kept. Size changes are reported to the AlcoveDisplayResizeFunc after they settle.
 *
 * While the widget has the focus every key goes to the guest, the application's own accelerators
 * included; the release chord (left Ctrl+Alt unless set otherwise) gives the keyboard back and
 * emits ::released. Grabbing also keeps the compositor's shortcuts away. Main thread only.
 *
 * DEVIATION from the design: a scanout that is a dmabuf (a guest rendering on a GPU) is not imported
 * yet; it is refused with a message through ::problem.
 */
#pragma once

#include <gtk/gtk.h>
#include <stdbool.h>

G_BEGIN_DECLS

typedef enum
{
  ALCOVE_CHORD_LEFT_CTRL_ALT,
  ALCOVE_CHORD_RIGHT_CTRL,
  ALCOVE_CHORD_BOTH_SHIFTS,
} AlcoveChord;

#define ALCOVE_TYPE_CHORD (alcove_chord_get_type ())
GType alcove_chord_get_type (void);

#define ALCOVE_TYPE_DISPLAY (alcove_display_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveDisplay, alcove_display, ALCOVE, DISPLAY, GtkWidget)

/**
 * AlcoveDisplayAttachFunc:
 * @fd: (transfer full): one end of a connected stream socket, for the machine
 *
 * Hands @fd to the machine's SPICE server. A failure is reported by calling
 * alcove_display_disconnect().
 */
typedef void (*AlcoveDisplayAttachFunc) (AlcoveDisplay *self, int fd, gpointer user_data);

/**
 * AlcoveDisplayResizeFunc:
 * @width: device pixels
 * @height: device pixels
 *
 * Asks the guest for a new screen size.
 */
typedef void (*AlcoveDisplayResizeFunc) (AlcoveDisplay *self,
                                         guint width,
                                         guint height,
                                         gpointer user_data);

GtkWidget *alcove_display_new (void);

void alcove_display_set_resize_func (AlcoveDisplay *self,
                                     AlcoveDisplayResizeFunc func,
                                     gpointer user_data,
                                     GDestroyNotify destroy);
bool alcove_display_connect (AlcoveDisplay *self,
                             AlcoveDisplayAttachFunc func,
                             gpointer user_data,
                             GDestroyNotify destroy,
                             GError **error);
void alcove_display_disconnect (AlcoveDisplay *self);
bool alcove_display_get_connected (AlcoveDisplay *self);

void alcove_display_grab (AlcoveDisplay *self);
void alcove_display_ungrab (AlcoveDisplay *self);
bool alcove_display_get_grabbed (AlcoveDisplay *self);
const char *alcove_display_get_chord_label (AlcoveDisplay *self);

guint alcove_display_get_guest_width (AlcoveDisplay *self);
guint alcove_display_get_guest_height (AlcoveDisplay *self);
GdkTexture *alcove_display_dup_texture (AlcoveDisplay *self);

G_END_DECLS
