/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/check-view.h"

#include <glib/gi18n.h>

#include "ui/compat.h"

const char *
alcove_verdict_get_icon (AlcoveVerdict verdict)
{
  switch (verdict)
    {
    case ALCOVE_VERDICT_BLOCKED:
      return "dialog-error-symbolic";
    case ALCOVE_VERDICT_STEP:
      return "dialog-warning-symbolic";
    case ALCOVE_VERDICT_NOTE:
      return "dialog-information-symbolic";
    case ALCOVE_VERDICT_READY:
    default:
      return "emblem-ok-symbolic";
    }
}

const char *
alcove_verdict_get_class (AlcoveVerdict verdict)
{
  switch (verdict)
    {
    case ALCOVE_VERDICT_BLOCKED:
      return "error";
    case ALCOVE_VERDICT_STEP:
      return "warning";
    case ALCOVE_VERDICT_READY:
      return "success";
    case ALCOVE_VERDICT_NOTE:
    default:
      return NULL;
    }
}

static GtkWidget *
new_label (const char *text, const char *css_class)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GtkWidget *label = gtk_label_new (valid);

  gtk_label_set_xalign (GTK_LABEL (label), 0);
  gtk_label_set_wrap (GTK_LABEL (label), TRUE);
  gtk_label_set_wrap_mode (GTK_LABEL (label), PANGO_WRAP_WORD_CHAR);
  gtk_widget_set_hexpand (label, TRUE);
  if (css_class)
    gtk_widget_add_css_class (label, css_class);
  return label;
}

static void
on_copy (GtkWidget *button, const char *text)
{
  GtkWidget *overlay = gtk_widget_get_ancestor (button, ADW_TYPE_TOAST_OVERLAY);

  gdk_clipboard_set_text (gtk_widget_get_clipboard (button), text);
  if (overlay)
    adw_toast_overlay_add_toast (ADW_TOAST_OVERLAY (overlay), adw_toast_new (_ ("Copied")));
  alcove_compat_announce (button, _ ("Copied"));
}

static GtkWidget *
new_commands (const char *text, const char *copy)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 6);
  GtkWidget *label = new_label (text, "monospace");
  GtkWidget *button = gtk_button_new_from_icon_name ("edit-copy-symbolic");

  gtk_widget_add_css_class (box, "commands");
  gtk_widget_add_css_class (button, "flat");
  gtk_widget_set_valign (button, GTK_ALIGN_START);
  gtk_widget_set_tooltip_text (button, copy);
  gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, copy, -1);
  g_signal_connect_data (button, "clicked", G_CALLBACK (on_copy), g_strdup (text),
                         (GClosureNotify)(void (*) (void))g_free, 0);
  gtk_box_append (GTK_BOX (box), label);
  gtk_box_append (GTK_BOX (box), button);
  return box;
}

static void
add_remedy (GtkBox *box, const AlcoveCardCheck *check)
{
  if (check->remedy)
    {
      /* Translators: what to do about a problem */
      g_autofree char *text = g_strdup_printf (
          check->command ? _ ("What to do: %s:") : _ ("What to do: %s."), check->remedy);

      gtk_box_append (box, new_label (text, NULL));
    }
  if (check->command)
    gtk_box_append (box, new_commands (check->command, _ ("Copy the commands")));
  if (check->undo)
    {
      GtkWidget *expander = gtk_expander_new (_ ("How to undo it"));

      gtk_expander_set_child (GTK_EXPANDER (expander),
                              new_commands (check->undo, _ ("Copy what undoes it")));
      gtk_box_append (box, expander);
    }
}

GtkWidget *
alcove_check_view_new_remedy (const AlcoveCardCheck *check)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 6);

  add_remedy (GTK_BOX (box), check);
  return box;
}

GtkWidget *
alcove_check_view_new (const AlcoveCardCheck *check)
{
  GtkWidget *view = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 9);
  GtkWidget *icon = gtk_image_new_from_icon_name (alcove_verdict_get_icon (check->verdict));
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 3);
  const char *css_class = alcove_verdict_get_class (check->verdict);

  gtk_widget_set_valign (icon, GTK_ALIGN_START);
  if (css_class)
    gtk_widget_add_css_class (icon, css_class);
  gtk_box_append (GTK_BOX (box), new_label (check->title, "caption-heading"));
  gtk_box_append (GTK_BOX (box), new_label (check->text, NULL));
  add_remedy (GTK_BOX (box), check);
  gtk_box_append (GTK_BOX (view), icon);
  gtk_box_append (GTK_BOX (view), box);
  return view;
}
