/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/spinner.h"

#include <math.h>

#define DOTS    8
#define STEP_MS 110
#define SIZE    16 /* pixels, unless the widget is given more */

struct _AlcoveSpinner
{
  GtkWidget parent;

  guint source;
  guint step; /* the brightest dot, clockwise from the top */
};

G_DEFINE_FINAL_TYPE (AlcoveSpinner, alcove_spinner, GTK_TYPE_WIDGET)

static gboolean
turn (gpointer data)
{
  AlcoveSpinner *self = data;

  self->step = (self->step + 1) % DOTS;
  gtk_widget_queue_draw (GTK_WIDGET (self));
  return G_SOURCE_CONTINUE;
}

static void
alcove_spinner_map (GtkWidget *widget)
{
  AlcoveSpinner *self = ALCOVE_SPINNER (widget);
  gboolean animations = TRUE;

  GTK_WIDGET_CLASS (alcove_spinner_parent_class)->map (widget);
  g_object_get (gtk_widget_get_settings (widget), "gtk-enable-animations", &animations, NULL);
  /* After redraws (GDK_PRIORITY_REDRAW) and after idle work (G_PRIORITY_DEFAULT_IDLE), on which SPICE's
   * channels depend: a frame clock would ask for the next frame before either had its turn. */
  if (animations)
    self->source = g_timeout_add_full (G_PRIORITY_LOW, STEP_MS, turn, self, NULL);
}

static void
alcove_spinner_unmap (GtkWidget *widget)
{
  AlcoveSpinner *self = ALCOVE_SPINNER (widget);

  g_clear_handle_id (&self->source, g_source_remove);
  GTK_WIDGET_CLASS (alcove_spinner_parent_class)->unmap (widget);
}

static void
alcove_spinner_snapshot (GtkWidget *widget, GtkSnapshot *snapshot)
{
  AlcoveSpinner *self = ALCOVE_SPINNER (widget);
  float width = gtk_widget_get_width (widget);
  float height = gtk_widget_get_height (widget);
  float side = MIN (width, height);
  float radius = side / 11;
  float ring = side / 2 - radius;
  GdkRGBA color;

  gtk_style_context_get_color (gtk_widget_get_style_context (widget), &color);
  for (guint i = 0; i < DOTS; i++)
    {
      /* The dot that was lit last is the faintest but one; none goes out. */
      guint age = (self->step + DOTS - i) % DOTS;
      double angle = 2 * G_PI * i / DOTS;
      float x = width / 2 + ring * sin (angle);
      float y = height / 2 - ring * cos (angle);
      graphene_rect_t area = GRAPHENE_RECT_INIT (x - radius, y - radius, 2 * radius, 2 * radius);
      GskRoundedRect dot;
      GdkRGBA shade = color;

      shade.alpha *= 1 - 0.85 * age / (DOTS - 1);
      gsk_rounded_rect_init_from_rect (&dot, &area, radius);
      gtk_snapshot_push_rounded_clip (snapshot, &dot);
      gtk_snapshot_append_color (snapshot, &shade, &area);
      gtk_snapshot_pop (snapshot);
    }
}

static void
alcove_spinner_measure (GtkWidget *widget,
                        GtkOrientation orientation,
                        int for_size,
                        int *minimum,
                        int *natural,
                        int *minimum_baseline,
                        int *natural_baseline)
{
  (void)widget;
  (void)orientation;
  (void)for_size;
  *minimum = *natural = SIZE;
  *minimum_baseline = *natural_baseline = -1;
}

static void
alcove_spinner_class_init (AlcoveSpinnerClass *class)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (class);

  widget_class->map = alcove_spinner_map;
  widget_class->unmap = alcove_spinner_unmap;
  widget_class->snapshot = alcove_spinner_snapshot;
  widget_class->measure = alcove_spinner_measure;
  gtk_widget_class_set_css_name (widget_class, "alcove-spinner");
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_PROGRESS_BAR);
}

static void
alcove_spinner_init (AlcoveSpinner *self)
{
  gtk_accessible_update_state (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_STATE_BUSY, TRUE, -1);
}
