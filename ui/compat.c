/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/compat.h"

#include <glib/gi18n.h>
#include <math.h>

static GtkWindow *
get_window (GtkWidget *widget)
{
  GtkRoot *root = widget ? gtk_widget_get_root (widget) : NULL;

  return root && GTK_IS_WINDOW (root) ? GTK_WINDOW (root) : NULL;
}

/**
 * alcove_compat_snapshot_scaled_texture:
 *
 * Paints @texture into @bounds; sharp for whole factors and smooth for others where GTK can choose.
 */
void
alcove_compat_snapshot_scaled_texture (GtkSnapshot *snapshot,
                                       GdkTexture *texture,
                                       const graphene_rect_t *bounds)
{
#if GTK_CHECK_VERSION(4, 10, 0)
  float factor = bounds->size.width / (float)gdk_texture_get_width (texture);
  GskScalingFilter filter = GSK_SCALING_FILTER_LINEAR;

  if (factor < 1)
    filter = GSK_SCALING_FILTER_TRILINEAR;
  else if (fabsf (factor - roundf (factor)) < 1e-3f)
    filter = GSK_SCALING_FILTER_NEAREST;
  gtk_snapshot_append_scaled_texture (snapshot, texture, filter, bounds);
#else
  gtk_snapshot_append_texture (snapshot, texture, bounds);
#endif
}

typedef struct
{
  AlcoveCompatConfirmFunc func;
  gpointer data;
  GDestroyNotify destroy;
} Confirm;

static void
on_response (GObject *dialog, const char *response, gpointer data)
{
  Confirm *confirm = data;

  if (g_str_equal (response, "confirm"))
    confirm->func (confirm->data);
}

static void
confirm_free (gpointer data, GClosure *closure)
{
  Confirm *confirm = data;

  if (confirm->destroy)
    confirm->destroy (confirm->data);
  g_free (confirm);
}

/**
 * alcove_compat_ask:
 * @parent: a widget in the window that asks
 * @body: (nullable): a sentence
 * @extra: (nullable): what else to show: entries, a check button
 * @action_label: what the button that means yes says, with a mnemonic
 * @destructive: it cannot be undone: Enter means no
 * @func: called if the user agrees
 *
 * A question with a button for yes, one for no, and room for answers.
 */
void
alcove_compat_ask (GtkWidget *parent,
                   const char *heading,
                   const char *body,
                   GtkWidget *extra,
                   const char *action_label,
                   gboolean destructive,
                   AlcoveCompatConfirmFunc func,
                   gpointer user_data,
                   GDestroyNotify destroy)
{
  Confirm *confirm = g_new0 (Confirm, 1);
  AdwResponseAppearance appearance =
      destructive ? ADW_RESPONSE_DESTRUCTIVE : ADW_RESPONSE_SUGGESTED;
  const char *fallback = destructive ? "cancel" : "confirm";

  confirm->func = func;
  confirm->data = user_data;
  confirm->destroy = destroy;
#if ADW_CHECK_VERSION(1, 5, 0)
  AdwDialog *dialog = adw_alert_dialog_new (heading, body);
  AdwAlertDialog *alert = ADW_ALERT_DIALOG (dialog);

  adw_alert_dialog_add_responses (alert, "cancel", _ ("_Cancel"), "confirm", action_label, NULL);
  adw_alert_dialog_set_response_appearance (alert, "confirm", appearance);
  adw_alert_dialog_set_default_response (alert, fallback);
  adw_alert_dialog_set_close_response (alert, "cancel");
  adw_alert_dialog_set_extra_child (alert, extra);
  g_signal_connect_data (dialog, "response", G_CALLBACK (on_response), confirm, confirm_free, 0);
  adw_dialog_present (dialog, parent);
#else
  GtkWidget *dialog = adw_message_dialog_new (get_window (parent), heading, body);
  AdwMessageDialog *message = ADW_MESSAGE_DIALOG (dialog);

  adw_message_dialog_add_responses (message, "cancel", _ ("_Cancel"), "confirm", action_label,
                                    NULL);
  adw_message_dialog_set_response_appearance (message, "confirm", appearance);
  adw_message_dialog_set_default_response (message, fallback);
  adw_message_dialog_set_close_response (message, "cancel");
  adw_message_dialog_set_extra_child (message, extra);
  g_signal_connect_data (dialog, "response", G_CALLBACK (on_response), confirm, confirm_free, 0);
  gtk_window_present (GTK_WINDOW (dialog));
#endif
}

/**
 * alcove_compat_confirm:
 * @parent: a widget in the window that asks
 * @action_label: what the destructive button says, with a mnemonic
 * @func: called if the user agrees
 *
 * Asks before something that cannot be undone.
 */
void
alcove_compat_confirm (GtkWidget *parent,
                       const char *heading,
                       const char *body,
                       const char *action_label,
                       AlcoveCompatConfirmFunc func,
                       gpointer user_data,
                       GDestroyNotify destroy)
{
  alcove_compat_ask (parent, heading, body, NULL, action_label, TRUE, func, user_data, destroy);
}

typedef struct
{
  AlcoveCompatFileFunc func;
  gpointer data;
} Choice;

#if GTK_CHECK_VERSION(4, 10, 0)
static void
on_opened (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Choice *choice = data;
  g_autoptr (GFile) file = gtk_file_dialog_open_finish (GTK_FILE_DIALOG (source), result, NULL);

  choice->func (file, choice->data);
}

static void
on_saved (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Choice *choice = data;
  g_autoptr (GFile) file = gtk_file_dialog_save_finish (GTK_FILE_DIALOG (source), result, NULL);

  choice->func (file, choice->data);
}
#else
static void
on_native_response (GtkNativeDialog *dialog, int response, gpointer data)
{
  g_autofree Choice *choice = data;
  g_autoptr (GFile) file = NULL;

  if (response == GTK_RESPONSE_ACCEPT)
    file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
  choice->func (file, choice->data);
  g_object_unref (dialog);
}

static void
run_chooser (GtkWidget *parent,
             const char *title,
             GtkFileChooserAction action,
             const char *accept,
             GListModel *filters,
             const char *name,
             GFile *folder,
             Choice *choice)
{
  GtkFileChooserNative *native =
      gtk_file_chooser_native_new (title, get_window (parent), action, accept, NULL);
  GtkFileChooser *chooser = GTK_FILE_CHOOSER (native);

  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (native), TRUE);
  for (guint i = 0; filters && i < g_list_model_get_n_items (filters); i++)
    {
      g_autoptr (GtkFileFilter) filter = g_list_model_get_item (filters, i);

      gtk_file_chooser_add_filter (chooser, filter);
    }
  if (name)
    gtk_file_chooser_set_current_name (chooser, name);
  if (folder)
    gtk_file_chooser_set_current_folder (chooser, folder, NULL);
  g_signal_connect (native, "response", G_CALLBACK (on_native_response), choice);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (native));
}
#endif

static GListModel *
make_filters (const char *const *patterns, const char *name)
{
  GListStore *store = g_list_store_new (GTK_TYPE_FILE_FILTER);
  g_autoptr (GtkFileFilter) all = gtk_file_filter_new ();

  if (patterns)
    {
      g_autoptr (GtkFileFilter) filter = gtk_file_filter_new ();

      gtk_file_filter_set_name (filter, name);
      for (; *patterns; patterns++)
        gtk_file_filter_add_pattern (filter, *patterns);
      g_list_store_append (store, filter);
    }
  gtk_file_filter_set_name (all, _ ("All files"));
  gtk_file_filter_add_pattern (all, "*");
  g_list_store_append (store, all);
  return G_LIST_MODEL (store);
}

/**
 * alcove_compat_choose_file:
 * @patterns: (nullable): shell patterns of the files to offer first
 * @func: called once, also if nothing was chosen
 */
void
alcove_compat_choose_file (GtkWidget *parent,
                           const char *title,
                           const char *const *patterns,
                           const char *patterns_name,
                           AlcoveCompatFileFunc func,
                           gpointer user_data)
{
  g_autoptr (GListModel) filters = make_filters (patterns, patterns_name);
  Choice *choice = g_new0 (Choice, 1);

  choice->func = func;
  choice->data = user_data;
#if GTK_CHECK_VERSION(4, 10, 0)
  g_autoptr (GtkFileDialog) dialog = gtk_file_dialog_new ();

  gtk_file_dialog_set_title (dialog, title);
  gtk_file_dialog_set_filters (dialog, filters);
  gtk_file_dialog_open (dialog, get_window (parent), NULL, on_opened, choice);
#else
  run_chooser (parent, title, GTK_FILE_CHOOSER_ACTION_OPEN, _ ("_Open"), filters, NULL, NULL,
               choice);
#endif
}

/**
 * alcove_compat_save_file:
 * @name: the name that is proposed
 * @folder: (nullable): where
 * @func: called once, also if nothing was chosen
 */
void
alcove_compat_save_file (GtkWidget *parent,
                         const char *title,
                         const char *name,
                         GFile *folder,
                         AlcoveCompatFileFunc func,
                         gpointer user_data)
{
  Choice *choice = g_new0 (Choice, 1);

  choice->func = func;
  choice->data = user_data;
#if GTK_CHECK_VERSION(4, 10, 0)
  g_autoptr (GtkFileDialog) dialog = gtk_file_dialog_new ();

  gtk_file_dialog_set_title (dialog, title);
  gtk_file_dialog_set_initial_name (dialog, name);
  gtk_file_dialog_set_initial_folder (dialog, folder);
  gtk_file_dialog_save (dialog, get_window (parent), NULL, on_saved, choice);
#else
  run_chooser (parent, title, GTK_FILE_CHOOSER_ACTION_SAVE, _ ("_Save"), NULL, name, folder,
               choice);
#endif
}

/**
 * alcove_compat_present_about:
 */
void
alcove_compat_present_about (GtkWidget *parent, const char *app_id, const char *version)
{
  const char *comments = _ ("Runs other computers inside yours: Linux and Windows guests on a "
                            "virtual machine monitor of its own.");

#if ADW_CHECK_VERSION(1, 5, 0)
  AdwDialog *about = adw_about_dialog_new ();

  g_object_set (about,
#else
  GtkWidget *about = adw_about_window_new ();

  g_object_set (about, "transient-for", get_window (parent), "modal", TRUE,
#endif
                "application-name", _ ("Alcove"), "application-icon", app_id, "version", version,
                "developer-name", _ ("The Alcove developers"), "comments", comments, "license-type",
                GTK_LICENSE_GPL_3_0, "translator-credits", _ ("translator-credits"), NULL);
#if ADW_CHECK_VERSION(1, 5, 0)
  adw_dialog_present (about, parent);
#else
  gtk_window_present (GTK_WINDOW (about));
#endif
}

/**
 * alcove_compat_present_shortcuts:
 * @resource: path of a template with an object "shortcuts"
 *
 * Made anew each time and not kept as GTK would by itself: GTK 4.8 answers assistive technologies
 * that ask for a window which has just gone with the last window there is, and crashes when that one
 * is hidden and was never shown.
 */
void
alcove_compat_present_shortcuts (GtkWindow *parent, const char *resource)
{
  g_autoptr (GtkBuilder) builder = gtk_builder_new_from_resource (resource);
  GtkWindow *window = GTK_WINDOW (gtk_builder_get_object (builder, "shortcuts"));

  gtk_window_set_transient_for (window, parent);
  gtk_window_set_destroy_with_parent (window, TRUE);
  gtk_window_present (window);
}

/**
 * alcove_compat_announce:
 *
 * Tells assistive technologies about something that changed by itself, where GTK can (4.14).
 */
void
alcove_compat_announce (GtkWidget *widget, const char *message)
{
#if GTK_CHECK_VERSION(4, 14, 0)
  gtk_accessible_announce (GTK_ACCESSIBLE (widget), message,
                           GTK_ACCESSIBLE_ANNOUNCEMENT_PRIORITY_MEDIUM);
#endif
}
