/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/preferences-window.h"

struct _AlcovePreferencesWindow
{
  AdwPreferencesWindow parent;

  GSettings *settings;
  GtkSwitch *resize_switch;
  AdwComboRow *chord_row;
};

G_DEFINE_FINAL_TYPE (AlcovePreferencesWindow,
                     alcove_preferences_window,
                     ADW_TYPE_PREFERENCES_WINDOW)

/* The rows of the choice are in the order of the schema's values. */
static gboolean
chord_to_row (GValue *value, GVariant *variant, gpointer data)
{
  g_value_set_uint (value, (guint)g_settings_get_enum (data, "release-chord"));
  return TRUE;
}

static GVariant *
row_to_chord (const GValue *value, const GVariantType *type, gpointer data)
{
  static const char *const names[] = { "left-ctrl-alt", "right-ctrl", "both-shifts" };
  guint row = g_value_get_uint (value);

  return row < G_N_ELEMENTS (names) ? g_variant_new_string (names[row]) : NULL;
}

static void
alcove_preferences_window_dispose (GObject *object)
{
  AlcovePreferencesWindow *self = ALCOVE_PREFERENCES_WINDOW (object);

  g_clear_object (&self->settings);
  G_OBJECT_CLASS (alcove_preferences_window_parent_class)->dispose (object);
}

static void
alcove_preferences_window_class_init (AlcovePreferencesWindowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = alcove_preferences_window_dispose;
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/preferences-window.ui");
  gtk_widget_class_bind_template_child (widget_class, AlcovePreferencesWindow, resize_switch);
  gtk_widget_class_bind_template_child (widget_class, AlcovePreferencesWindow, chord_row);
}

static void
alcove_preferences_window_init (AlcovePreferencesWindow *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
}

/**
 * alcove_preferences_window_new:
 *
 * Returns: (transfer none): the settings, which take effect as they are changed
 */
AlcovePreferencesWindow *
alcove_preferences_window_new (GtkWindow *parent, GSettings *settings)
{
  AlcovePreferencesWindow *self =
      g_object_new (ALCOVE_TYPE_PREFERENCES_WINDOW, "transient-for", parent, NULL);

  self->settings = g_object_ref (settings);
  g_settings_bind (settings, "resize-guest", self->resize_switch, "active",
                   G_SETTINGS_BIND_DEFAULT);
  g_settings_bind_with_mapping (settings, "release-chord", self->chord_row, "selected",
                                G_SETTINGS_BIND_DEFAULT, chord_to_row, row_to_chord, settings,
                                NULL);
  return self;
}
