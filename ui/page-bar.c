/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/page-bar.h"

#include "ui/accessible.h"
#include "ui/compat.h"
#include "ui/spinner.h"

struct _AlcovePageBar
{
  AdwBin parent;

  GtkRevealer *busy_revealer;
  GtkWidget *busy_spinner;
  GtkLabel *busy_label;
  GtkProgressBar *busy_bar;
  GtkWidget *busy_cancel;
  GtkRevealer *problem_revealer;
  GtkLabel *problem_label;
};

G_DEFINE_FINAL_TYPE (AlcovePageBar, alcove_page_bar, ADW_TYPE_BIN)

void
alcove_page_bar_begin (AlcovePageBar *self, const char *what, gboolean steps, gboolean cancellable)
{
  alcove_page_bar_hide_problem (self);
  gtk_label_set_text (self->busy_label, what);
  gtk_widget_set_visible (self->busy_spinner, !steps);
  gtk_widget_set_hexpand (GTK_WIDGET (self->busy_label), !steps);
  gtk_widget_set_visible (GTK_WIDGET (self->busy_bar), steps);
  gtk_progress_bar_set_fraction (self->busy_bar, 0);
  gtk_widget_set_visible (self->busy_cancel, cancellable);
  gtk_revealer_set_reveal_child (self->busy_revealer, TRUE);
}

void
alcove_page_bar_set_progress (AlcovePageBar *self, guint64 done, guint64 total)
{
  if (total > 0)
    gtk_progress_bar_set_fraction (self->busy_bar, (double)MIN (done, total) / (double)total);
}

void
alcove_page_bar_end (AlcovePageBar *self)
{
  gtk_revealer_set_reveal_child (self->busy_revealer, FALSE);
}

void
alcove_page_bar_show_problem (AlcovePageBar *self, const char *message)
{
  gtk_label_set_text (self->problem_label, message);
  gtk_revealer_set_reveal_child (self->problem_revealer, TRUE);
  alcove_compat_announce (GTK_WIDGET (self), message);
}

void
alcove_page_bar_hide_problem (AlcovePageBar *self)
{
  gtk_revealer_set_reveal_child (self->problem_revealer, FALSE);
}

void
alcove_page_bar_report (AlcovePageBar *self, const char *message)
{
  g_autofree char *escaped = g_markup_escape_text (message, -1);
  GtkWidget *overlay = gtk_widget_get_ancestor (GTK_WIDGET (self), ADW_TYPE_TOAST_OVERLAY);

  if (overlay)
    adw_toast_overlay_add_toast (ADW_TOAST_OVERLAY (overlay), adw_toast_new (escaped));
  alcove_compat_announce (GTK_WIDGET (self), message);
}

static void
on_cancel (AlcovePageBar *self)
{
  g_signal_emit_by_name (self, "cancel");
}

static void
alcove_page_bar_class_init (AlcovePageBarClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  g_type_ensure (ALCOVE_TYPE_SPINNER);
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/page-bar.ui");
#define BIND(child) gtk_widget_class_bind_template_child (widget_class, AlcovePageBar, child)
  BIND (busy_revealer);
  BIND (busy_spinner);
  BIND (busy_label);
  BIND (busy_bar);
  BIND (busy_cancel);
  BIND (problem_revealer);
  BIND (problem_label);
#undef BIND
  gtk_widget_class_bind_template_callback (widget_class, on_cancel);
  gtk_widget_class_bind_template_callback (widget_class, alcove_page_bar_hide_problem);
  g_signal_new ("cancel", ALCOVE_TYPE_PAGE_BAR, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE,
                0);
}

static void
alcove_page_bar_init (AlcovePageBar *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  alcove_accessible_watch_revealer (self->busy_revealer);
  alcove_accessible_watch_revealer (self->problem_revealer);
}
