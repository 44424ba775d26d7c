/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/display/display-private.h"

#include <glib/gi18n.h>
#include <math.h>

#include "ui/compat.h"

/* How long the widget's size must rest before the guest is asked to follow it. */
#define RESIZE_DELAY_MS 200

/* Guests refuse smaller screens, and windows pass through tiny sizes while they open. */
#define MIN_GUEST_WIDTH  320
#define MIN_GUEST_HEIGHT 200

G_DEFINE_ENUM_TYPE (AlcoveChord,
                    alcove_chord,
                    G_DEFINE_ENUM_VALUE (ALCOVE_CHORD_LEFT_CTRL_ALT, "left-ctrl-alt"),
                    G_DEFINE_ENUM_VALUE (ALCOVE_CHORD_RIGHT_CTRL, "right-ctrl"),
                    G_DEFINE_ENUM_VALUE (ALCOVE_CHORD_BOTH_SHIFTS, "both-shifts"))

G_DEFINE_FINAL_TYPE (AlcoveDisplay, alcove_display, GTK_TYPE_WIDGET)

enum
{
  PROP_CONNECTED = 1,
  PROP_GRABBED,
  PROP_GUEST_WIDTH,
  PROP_GUEST_HEIGHT,
  PROP_RESIZE_GUEST,
  PROP_RELEASE_CHORD,
  N_PROPS,
};

static GParamSpec *props[N_PROPS];

/**
 * alcove_display_new:
 *
 * Returns: a display without a connection
 */
GtkWidget *
alcove_display_new (void)
{
  return g_object_new (ALCOVE_TYPE_DISPLAY, NULL);
}

/* Puts the picture into the widget: pixel by pixel if it fits exactly, else as large as its aspect
 * allows, on whole device pixels. */
static void
place_picture (AlcoveDisplay *self)
{
  guint width = alcove_framebuffer_get_width (self->framebuffer);
  guint height = alcove_framebuffer_get_height (self->framebuffer);

  if (!width || !height || self->view.width <= 0 || self->view.height <= 0)
    return;
  self->view.zoom =
      MIN ((double)self->view.width / (double)width, (double)self->view.height / (double)height);
  self->view.x = floor ((self->view.width - width * self->view.zoom) / 2);
  self->view.y = floor ((self->view.height - height * self->view.zoom) / 2);
}

static bool
is_pixel_exact (AlcoveDisplay *self)
{
  return fabs (self->view.zoom - 1.0) < 1e-9;
}

/* The guest's picture has a new size. */
void
alcove_display_geometry_changed (AlcoveDisplay *self)
{
  place_picture (self);
  gtk_widget_queue_draw (GTK_WIDGET (self));
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_GUEST_WIDTH]);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_GUEST_HEIGHT]);
}

void
alcove_display_set_connected (AlcoveDisplay *self, bool connected)
{
  if (self->spice.connected == connected)
    return;
  self->spice.connected = connected;
  if (connected)
    {
      self->resize.asked_width = self->resize.asked_height = 0;
      alcove_display_schedule_resize (self);
    }
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_CONNECTED]);
}

/* Widget coordinates to guest pixels, clamped to the picture. FALSE without a picture. */
bool
alcove_display_to_guest (AlcoveDisplay *self, double x, double y, int *guest_x, int *guest_y)
{
  guint width = alcove_framebuffer_get_width (self->framebuffer);
  guint height = alcove_framebuffer_get_height (self->framebuffer);

  if (!width || !height || self->view.zoom <= 0)
    return false;
  *guest_x = CLAMP ((int)floor ((x * self->view.scale - self->view.x) / self->view.zoom), 0,
                    (int)width - 1);
  *guest_y = CLAMP ((int)floor ((y * self->view.scale - self->view.y) / self->view.zoom), 0,
                    (int)height - 1);
  return true;
}

static gboolean
ask_for_size (gpointer data)
{
  AlcoveDisplay *self = data;
  guint width = (guint)MIN (self->view.width, ALCOVE_FRAMEBUFFER_MAX_SIZE);
  guint height = (guint)MIN (self->view.height, ALCOVE_FRAMEBUFFER_MAX_SIZE);

  self->resize.source = 0;
  if (!self->resize.func || !self->resize.enabled || !self->spice.connected ||
      width < MIN_GUEST_WIDTH || height < MIN_GUEST_HEIGHT)
    return G_SOURCE_REMOVE;
  if (width == self->resize.asked_width && height == self->resize.asked_height)
    return G_SOURCE_REMOVE;
  self->resize.asked_width = width;
  self->resize.asked_height = height;
  self->resize.func (self, width, height, self->resize.data);
  return G_SOURCE_REMOVE;
}

void
alcove_display_schedule_resize (AlcoveDisplay *self)
{
  g_clear_handle_id (&self->resize.source, g_source_remove);
  if (self->resize.func && self->resize.enabled && self->spice.connected)
    self->resize.source = g_timeout_add (RESIZE_DELAY_MS, ask_for_size, self);
}

static void
alcove_display_size_allocate (GtkWidget *widget, int width, int height, int baseline)
{
  AlcoveDisplay *self = ALCOVE_DISPLAY (widget);
  int scale = gtk_widget_get_scale_factor (widget);

  if (self->view.scale == scale && self->view.width == width * scale &&
      self->view.height == height * scale)
    return;
  self->view.scale = scale;
  self->view.width = width * scale;
  self->view.height = height * scale;
  place_picture (self);
  alcove_display_schedule_resize (self);
}

static void
alcove_display_measure (GtkWidget *widget,
                        GtkOrientation orientation,
                        int for_size,
                        int *minimum,
                        int *natural,
                        int *minimum_baseline,
                        int *natural_baseline)
{
  *minimum = 1;
  *natural = orientation == GTK_ORIENTATION_HORIZONTAL ? MIN_GUEST_WIDTH : MIN_GUEST_HEIGHT;
}

static void
snapshot_cursor (AlcoveDisplay *self, GtkSnapshot *snapshot)
{
  float zoom = (float)(self->view.zoom / self->view.scale);

  gtk_snapshot_append_texture (
      snapshot, self->cursor.texture,
      &GRAPHENE_RECT_INIT ((float)(self->view.x / self->view.scale) +
                               zoom * (float)(self->cursor.x - self->cursor.hot_x),
                           (float)(self->view.y / self->view.scale) +
                               zoom * (float)(self->cursor.y - self->cursor.hot_y),
                           zoom * (float)gdk_texture_get_width (self->cursor.texture),
                           zoom * (float)gdk_texture_get_height (self->cursor.texture)));
}

static void
alcove_display_snapshot (GtkWidget *widget, GtkSnapshot *snapshot)
{
  AlcoveDisplay *self = ALCOVE_DISPLAY (widget);
  float scale = (float)self->view.scale;
  float width = (float)gtk_widget_get_width (widget),
        height = (float)gtk_widget_get_height (widget);

  gtk_snapshot_append_color (snapshot, &(GdkRGBA){ 0, 0, 0, 1 },
                             &GRAPHENE_RECT_INIT (0, 0, width, height));
  if (!alcove_framebuffer_has_picture (self->framebuffer) || scale < 1)
    return;

  alcove_framebuffer_update (self->framebuffer, is_pixel_exact (self));
  alcove_display_spice_acknowledge (self);
  gtk_snapshot_push_clip (snapshot, &GRAPHENE_RECT_INIT (0, 0, width, height));
  alcove_framebuffer_snapshot (
      self->framebuffer, snapshot,
      &GRAPHENE_RECT_INIT (
          (float)self->view.x / scale, (float)self->view.y / scale,
          (float)(self->view.zoom * alcove_framebuffer_get_width (self->framebuffer)) / scale,
          (float)(self->view.zoom * alcove_framebuffer_get_height (self->framebuffer)) / scale));
  if (self->input.relative && self->cursor.visible && self->cursor.texture)
    snapshot_cursor (self, snapshot);
  gtk_snapshot_pop (snapshot);
}

static void
scale_factor_changed (AlcoveDisplay *self)
{
  gtk_widget_queue_resize (GTK_WIDGET (self));
}

static void
alcove_display_root (GtkWidget *widget)
{
  GTK_WIDGET_CLASS (alcove_display_parent_class)->root (widget);
  alcove_display_input_root (ALCOVE_DISPLAY (widget));
}

static void
alcove_display_unroot (GtkWidget *widget)
{
  alcove_display_input_unroot (ALCOVE_DISPLAY (widget));
  GTK_WIDGET_CLASS (alcove_display_parent_class)->unroot (widget);
}

static void
alcove_display_dispose (GObject *object)
{
  AlcoveDisplay *self = ALCOVE_DISPLAY (object);

  alcove_display_spice_finish (self);
  alcove_display_set_resize_func (self, NULL, NULL, NULL);
  g_clear_object (&self->cursor.texture);
  G_OBJECT_CLASS (alcove_display_parent_class)->dispose (object);
}

static void
alcove_display_finalize (GObject *object)
{
  AlcoveDisplay *self = ALCOVE_DISPLAY (object);

  alcove_framebuffer_free (self->framebuffer);
  G_OBJECT_CLASS (alcove_display_parent_class)->finalize (object);
}

static void
alcove_display_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  AlcoveDisplay *self = ALCOVE_DISPLAY (object);

  switch (id)
    {
    case PROP_CONNECTED:
      g_value_set_boolean (value, self->spice.connected);
      break;
    case PROP_GRABBED:
      g_value_set_boolean (value, self->input.grabbed);
      break;
    case PROP_GUEST_WIDTH:
      g_value_set_uint (value, alcove_framebuffer_get_width (self->framebuffer));
      break;
    case PROP_GUEST_HEIGHT:
      g_value_set_uint (value, alcove_framebuffer_get_height (self->framebuffer));
      break;
    case PROP_RESIZE_GUEST:
      g_value_set_boolean (value, self->resize.enabled);
      break;
    case PROP_RELEASE_CHORD:
      g_value_set_enum (value, (int)self->input.chord);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
alcove_display_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  AlcoveDisplay *self = ALCOVE_DISPLAY (object);

  switch (id)
    {
    case PROP_GRABBED:
      if (g_value_get_boolean (value))
        alcove_display_grab (self);
      else
        alcove_display_ungrab (self);
      break;
    case PROP_RESIZE_GUEST:
      self->resize.enabled = g_value_get_boolean (value);
      alcove_display_schedule_resize (self);
      break;
    case PROP_RELEASE_CHORD:
      self->input.chord = (AlcoveChord)g_value_get_enum (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
alcove_display_class_init (AlcoveDisplayClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  object_class->dispose = alcove_display_dispose;
  object_class->finalize = alcove_display_finalize;
  object_class->get_property = alcove_display_get_property;
  object_class->set_property = alcove_display_set_property;
  widget_class->size_allocate = alcove_display_size_allocate;
  widget_class->measure = alcove_display_measure;
  widget_class->snapshot = alcove_display_snapshot;
  widget_class->root = alcove_display_root;
  widget_class->unroot = alcove_display_unroot;

  props[PROP_CONNECTED] = g_param_spec_boolean ("connected", NULL, NULL, FALSE,
                                                G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  props[PROP_GRABBED] =
      g_param_spec_boolean ("grabbed", NULL, NULL, FALSE,
                            G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  props[PROP_GUEST_WIDTH] =
      g_param_spec_uint ("guest-width", NULL, NULL, 0, ALCOVE_FRAMEBUFFER_MAX_SIZE, 0,
                         G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  props[PROP_GUEST_HEIGHT] =
      g_param_spec_uint ("guest-height", NULL, NULL, 0, ALCOVE_FRAMEBUFFER_MAX_SIZE, 0,
                         G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  props[PROP_RESIZE_GUEST] = g_param_spec_boolean ("resize-guest", NULL, NULL, TRUE,
                                                   G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
  props[PROP_RELEASE_CHORD] =
      g_param_spec_enum ("release-chord", NULL, NULL, ALCOVE_TYPE_CHORD, ALCOVE_CHORD_LEFT_CTRL_ALT,
                         G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);

  /**
   * AlcoveDisplay::released:
   *
   * The user pressed the release chord: the keyboard should go elsewhere in the window.
   */
  g_signal_new ("released", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                G_TYPE_NONE, 0);
  /**
   * AlcoveDisplay::problem:
   * @message: a sentence for people
   *
   * Something the machine sent cannot be shown, or the connection broke.
   */
  g_signal_new ("problem", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                G_TYPE_NONE, 1, G_TYPE_STRING);

  gtk_widget_class_set_css_name (widget_class, "alcove-display");
  gtk_widget_class_set_accessible_role (widget_class, ALCOVE_COMPAT_ROLE_APPLICATION);
}

static void
alcove_display_init (AlcoveDisplay *self)
{
  GtkWidget *widget = GTK_WIDGET (self);

  self->framebuffer = alcove_framebuffer_new ();
  self->view.scale = 1;
  self->view.zoom = 1;
  self->resize.enabled = true;
  gtk_widget_set_focusable (widget, TRUE);
  gtk_widget_set_hexpand (widget, TRUE);
  gtk_widget_set_vexpand (widget, TRUE);
  gtk_widget_set_overflow (widget, GTK_OVERFLOW_HIDDEN);
  gtk_accessible_update_property (
      GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, _ ("Screen of the machine"),
      GTK_ACCESSIBLE_PROPERTY_DESCRIPTION,
      _ ("Every key goes to the machine. Press the release keys to leave."), -1);
  g_signal_connect (self, "notify::scale-factor", G_CALLBACK (scale_factor_changed), NULL);
  alcove_display_input_init (self);
}

/**
 * alcove_display_set_resize_func:
 * @func: (nullable) (scope notified): asks the guest for a size, or %NULL to leave it alone
 *
 * Called some time after the widget changed its size, and once after a connection was made.
 */
void
alcove_display_set_resize_func (AlcoveDisplay *self,
                                AlcoveDisplayResizeFunc func,
                                gpointer user_data,
                                GDestroyNotify destroy)
{
  g_clear_handle_id (&self->resize.source, g_source_remove);
  if (self->resize.destroy)
    self->resize.destroy (self->resize.data);
  self->resize.func = func;
  self->resize.data = user_data;
  self->resize.destroy = destroy;
  alcove_display_schedule_resize (self);
}

bool
alcove_display_get_connected (AlcoveDisplay *self)
{
  return self->spice.connected;
}

guint
alcove_display_get_guest_width (AlcoveDisplay *self)
{
  return alcove_framebuffer_get_width (self->framebuffer);
}

guint
alcove_display_get_guest_height (AlcoveDisplay *self)
{
  return alcove_framebuffer_get_height (self->framebuffer);
}

/**
 * alcove_display_dup_texture:
 *
 * Returns: (transfer full) (nullable): the guest's picture now, in its own pixels
 */
GdkTexture *
alcove_display_dup_texture (AlcoveDisplay *self)
{
  return alcove_framebuffer_dup_texture (self->framebuffer);
}
