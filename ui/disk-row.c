/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/disk-row.h"

#include <glib/gi18n.h>
#include <stdbool.h>

struct _AlcoveDiskRow
{
  GtkListBoxRow parent;

  AlcoveMachineDisk *disk;
  GtkImage *icon;
  GtkLabel *title;
  GtkLabel *details;
  GtkLabel *file;
  GtkLabel *check;
  GtkLabel *problem;
  GtkButton *check_button;
  GtkButton *insert_button;
  GtkButton *eject_button;
  GtkMenuButton *menu_button;
  GtkPopover *context;
};

G_DEFINE_FINAL_TYPE (AlcoveDiskRow, alcove_disk_row, GTK_TYPE_LIST_BOX_ROW)

enum
{
  REQUEST,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

static const char *
get_bus_label (AlcoveDiskBus bus)
{
  switch (bus)
    {
    case ALCOVE_DISK_NVME:
      return "NVMe";
    case ALCOVE_DISK_SCSI:
      return "SCSI";
    case ALCOVE_DISK_SATA:
      return "SATA";
    case ALCOVE_DISK_VIRTIO:
    default:
      return "virtio";
    }
}

static void
append_counts (GString *text, const AlcoveMachineDisk *disk)
{
  if (disk->n_snapshots > 0)
    {
      g_string_append (text, " · ");
      g_string_append_printf (text, ngettext ("%u snapshot", "%u snapshots", disk->n_snapshots),
                              disk->n_snapshots);
    }
  if (disk->n_bitmaps > 0)
    {
      g_string_append (text, " · ");
      g_string_append_printf (text, ngettext ("%u bitmap", "%u bitmaps", disk->n_bitmaps),
                              disk->n_bitmaps);
    }
  if (disk->readonly && !disk->cdrom)
    g_string_append (text, _ (" · read-only"));
}

static char *
dup_details (const AlcoveMachineDisk *disk)
{
  g_autofree char *size = g_format_size_full (disk->size, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *used = g_format_size_full (disk->allocated, G_FORMAT_SIZE_IEC_UNITS);
  g_autoptr (GString) text = g_string_new (get_bus_label (disk->bus));

  if (disk->file == NULL)
    g_string_append (text, _ (" · empty"));
  else if (!disk->cdrom)
    g_string_append (text, disk->format == ALCOVE_DISK_QCOW2 ? " · qcow2" : " · raw");
  if (disk->size > 0)
    {
      g_string_append (text, " · ");
      /* Translators: a disk's size, and how much room its image takes on the host */
      if (disk->cdrom)
        g_string_append (text, size);
      else
        g_string_append_printf (text, _ ("%s, %s used"), size, used);
    }
  append_counts (text, disk);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* The file, and what it stands on. */
static char *
dup_file (const AlcoveMachineDisk *disk)
{
  g_autofree char *chain = NULL;

  if (disk->file == NULL)
    return NULL;
  if (disk->backing == NULL || disk->backing[0] == NULL)
    return g_filename_display_name (disk->file);
  chain = g_strjoinv (" → ", disk->backing);
  /* Translators: an image file, and the image files that hold what it does not */
  return g_strdup_printf (_ ("%s, on top of %s"), disk->file, chain);
}

static const char *
get_problem (const AlcoveMachineDisk *disk)
{
  if (disk->problem != NULL)
    return disk->problem;
  return disk->corrupt ? _ ("The image says that it is damaged: check and repair it.") : NULL;
}

static void
show_label (GtkLabel *label, const char *text)
{
  g_autofree char *valid = text != NULL ? g_utf8_make_valid (text, -1) : NULL;

  gtk_label_set_text (label, valid != NULL ? valid : "");
  gtk_widget_set_visible (GTK_WIDGET (label), valid != NULL);
}

static void
enable (AlcoveDiskRow *self, const char *action, bool enabled)
{
  gtk_widget_action_set_enabled (GTK_WIDGET (self), action, enabled);
}

static void
show (AlcoveDiskRow *self, const char *check, bool found)
{
  const AlcoveMachineDisk *disk = self->disk;
  g_autofree char *details = dup_details (disk);
  g_autofree char *file = dup_file (disk);
  g_autofree char *valid = file != NULL ? g_utf8_make_valid (file, -1) : g_strdup ("");
  g_autofree char *description = g_strdup_printf ("%s\n%s", details, valid);
  bool checkable = !disk->cdrom && disk->format == ALCOVE_DISK_QCOW2;

  gtk_image_set_from_icon_name (self->icon,
                                disk->cdrom ? "media-optical-symbolic" : "drive-harddisk-symbolic");
  gtk_label_set_text (self->title, disk->name);
  show_label (self->details, details);
  show_label (self->file, file);
  show_label (self->check, check);
  if (found)
    gtk_widget_add_css_class (GTK_WIDGET (self->check), "warning");
  show_label (self->problem, get_problem (disk));
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, disk->name,
                                  GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, description, -1);
  enable (self, "disk.check", checkable);
  enable (self, "disk.repair", checkable && (found || disk->corrupt));
  enable (self, "disk.compact", !disk->cdrom && !disk->readonly);
  enable (self, "disk.resize", !disk->cdrom && !disk->readonly && disk->size > 0);
  enable (self, "disk.remove", !disk->cdrom);
  enable (self, "disk.insert", disk->tray);
  enable (self, "disk.eject", disk->tray && disk->file != NULL);
  gtk_widget_set_visible (GTK_WIDGET (self->check_button), checkable);
  gtk_widget_set_visible (GTK_WIDGET (self->insert_button), disk->tray && disk->file == NULL);
  gtk_widget_set_visible (GTK_WIDGET (self->eject_button), disk->tray && disk->file != NULL);
  gtk_widget_set_visible (GTK_WIDGET (self->menu_button), !disk->cdrom || disk->tray);
}

static void
on_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  g_signal_emit (widget, signals[REQUEST], 0, name + strlen ("disk."));
}

static void
show_context (AlcoveDiskRow *self, double x, double y)
{
  if (!gtk_widget_get_visible (GTK_WIDGET (self->menu_button)))
    return;
  gtk_popover_set_pointing_to (self->context, &(GdkRectangle){ (int)x, (int)y, 1, 1 });
  gtk_popover_popup (self->context);
}

static void
on_right_click (AlcoveDiskRow *self, int n_press, double x, double y)
{
  show_context (self, x, y);
}

static gboolean
on_menu_key (GtkWidget *widget, GVariant *args, gpointer data)
{
  show_context (ALCOVE_DISK_ROW (widget), gtk_widget_get_width (widget) / 2.0,
                gtk_widget_get_height (widget) / 2.0);
  return TRUE;
}

static void
alcove_disk_row_size_allocate (GtkWidget *widget, int width, int height, int baseline)
{
  GTK_WIDGET_CLASS (alcove_disk_row_parent_class)->size_allocate (widget, width, height, baseline);
  gtk_popover_present (ALCOVE_DISK_ROW (widget)->context);
}

static void
alcove_disk_row_dispose (GObject *object)
{
  AlcoveDiskRow *self = ALCOVE_DISK_ROW (object);

  g_clear_pointer ((GtkWidget **)&self->context, gtk_widget_unparent);
  g_clear_pointer (&self->disk, alcove_machine_disk_unref);
  G_OBJECT_CLASS (alcove_disk_row_parent_class)->dispose (object);
}

static void
alcove_disk_row_class_init (AlcoveDiskRowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);
  static const char *const actions[] = { "disk.check",  "disk.repair", "disk.compact",
                                         "disk.resize", "disk.remove", "disk.insert",
                                         "disk.eject" };

  G_OBJECT_CLASS (klass)->dispose = alcove_disk_row_dispose;
  widget_class->size_allocate = alcove_disk_row_size_allocate;
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/disk-row.ui");
#define BIND(child) gtk_widget_class_bind_template_child (widget_class, AlcoveDiskRow, child)
  BIND (icon);
  BIND (title);
  BIND (details);
  BIND (file);
  BIND (check);
  BIND (problem);
  BIND (check_button);
  BIND (insert_button);
  BIND (eject_button);
  BIND (menu_button);
#undef BIND
  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    gtk_widget_class_install_action (widget_class, actions[i], NULL, on_action);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Delete, 0, "disk.remove", NULL);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_F10, GDK_SHIFT_MASK, on_menu_key, NULL);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_Menu, 0, on_menu_key, NULL);
  signals[REQUEST] = g_signal_new ("request", ALCOVE_TYPE_DISK_ROW, G_SIGNAL_RUN_LAST, 0, NULL,
                                   NULL, NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void
alcove_disk_row_init (AlcoveDiskRow *self)
{
  GtkGesture *click = gtk_gesture_click_new ();

  gtk_widget_init_template (GTK_WIDGET (self));
  gtk_gesture_single_set_button (GTK_GESTURE_SINGLE (click), GDK_BUTTON_SECONDARY);
  g_signal_connect_swapped (click, "pressed", G_CALLBACK (on_right_click), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (click));
  self->context = GTK_POPOVER (
      gtk_popover_menu_new_from_model (gtk_menu_button_get_menu_model (self->menu_button)));
  gtk_popover_set_has_arrow (self->context, FALSE);
  gtk_widget_set_halign (GTK_WIDGET (self->context), GTK_ALIGN_START);
  gtk_widget_set_parent (GTK_WIDGET (self->context), GTK_WIDGET (self));
}

/**
 * alcove_disk_row_new:
 * @check: (nullable): what the last check said
 * @check_found: it found something that can be repaired
 */
GtkWidget *
alcove_disk_row_new (AlcoveMachineDisk *disk, const char *check, gboolean check_found)
{
  AlcoveDiskRow *self = g_object_new (ALCOVE_TYPE_DISK_ROW, NULL);

  self->disk = alcove_machine_disk_ref (disk);
  show (self, check, check_found);
  return GTK_WIDGET (self);
}

AlcoveMachineDisk *
alcove_disk_row_get_disk (AlcoveDiskRow *self)
{
  return self->disk;
}
