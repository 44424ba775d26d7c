/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/machine-window-private.h"

#include <glib/gi18n.h>
#include <unistd.h>

#include "ui/accessible.h"
#include "ui/compat.h"
#include "ui/disks-page.h"
#include "ui/display/display.h"
#include "ui/machine-actions.h"
#include "ui/passthrough-page.h"
#include "ui/snapshots-page.h"
#include "ui/spinner.h"
#include "ui/state.h"

/* How long the machine may be running without its screen before the user is told. */
#define LOST_DELAY_MS 1500

/* In full screen the header comes when the pointer touches the top edge and goes when it is this
 * far away. */
#define HEADER_ZONE 60

G_DEFINE_FINAL_TYPE (AlcoveMachineWindow, alcove_machine_window, ADW_TYPE_APPLICATION_WINDOW)

static void
report (AlcoveMachineWindow *self, const char *message)
{
  g_autofree char *escaped = g_markup_escape_text (message, -1);

  adw_toast_overlay_add_toast (self->toasts, adw_toast_new (escaped));
  alcove_compat_announce (GTK_WIDGET (self), message);
}

/* --- the screen's connection --- */

static bool
has_screen (AlcoveMachineWindow *self)
{
  AlcoveMachineState state = alcove_machine_get_state (self->machine);

  return state == ALCOVE_MACHINE_RUNNING || state == ALCOVE_MACHINE_PAUSED;
}

static void
set_screen_error (AlcoveMachineWindow *self, const char *message)
{
  g_free (self->screen_error);
  self->screen_error = g_strdup (message);
}

/* A closed window must not live on until its calls have ended: what is left of it would still be
 * there for assistive technologies. So calls hold it weakly. */
gpointer
alcove_machine_window_hold_weakly (AlcoveMachineWindow *self)
{
  GWeakRef *ref = g_new0 (GWeakRef, 1);

  g_weak_ref_init (ref, self);
  return ref;
}

AlcoveMachineWindow *
alcove_machine_window_take_weak (gpointer data)
{
  AlcoveMachineWindow *self = g_weak_ref_get (data);

  g_weak_ref_clear (data);
  g_free (data);
  return self;
}

static void
on_attached (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveMachineWindow) self = alcove_machine_window_take_weak (data);
  g_autoptr (GError) error = NULL;

  if (alcove_machine_finish (ALCOVE_MACHINE (source), result, &error) || !self ||
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  /* A machine that has gone meanwhile has its own page. */
  if (!has_screen (self))
    return;
  set_screen_error (self, error->message);
  alcove_display_disconnect (self->display);
  alcove_machine_window_update (self);
}

static void
attach (AlcoveDisplay *display, int fd, gpointer data)
{
  AlcoveMachineWindow *self = data;

  alcove_machine_attach_spice_async (self->machine, fd, self->cancellable, on_attached,
                                     alcove_machine_window_hold_weakly (self));
}

static void
on_resized (GObject *source, GAsyncResult *result, gpointer data)
{
  /* A guest without a driver for its screen cannot follow; the picture is scaled instead. */
  alcove_machine_finish (ALCOVE_MACHINE (source), result, NULL);
}

static void
resize (AlcoveDisplay *display, guint width, guint height, gpointer data)
{
  AlcoveMachineWindow *self = data;

  alcove_machine_resize_display_async (self->machine, 0, width, height, self->cancellable,
                                       on_resized, NULL);
}

static void
connect_display (AlcoveMachineWindow *self)
{
  g_autoptr (GError) error = NULL;

  set_screen_error (self, NULL);
  if (!alcove_display_connect (self->display, attach, self, NULL, &error))
    set_screen_error (self, error->message);
}

static gboolean
screen_is_lost (gpointer data)
{
  AlcoveMachineWindow *self = data;

  self->lost_source = 0;
  if (has_screen (self) && !alcove_display_get_connected (self->display) && !self->screen_error)
    set_screen_error (self,
                      _ ("The connection to the machine’s screen was closed. Another window may "
                         "have taken it."));
  alcove_machine_window_update (self);
  return G_SOURCE_REMOVE;
}

static void
on_connected_changed (AlcoveMachineWindow *self)
{
  g_clear_handle_id (&self->lost_source, g_source_remove);
  if (alcove_display_get_connected (self->display))
    {
      set_screen_error (self, NULL);
      gtk_widget_grab_focus (GTK_WIDGET (self->display));
    }
  else
    /* The machine may just be stopping; its own word about that comes a little later. */
    self->lost_source = g_timeout_add (LOST_DELAY_MS, screen_is_lost, self);
  alcove_machine_window_update (self);
}

static void
on_reconnect (GtkWidget *widget, const char *name, GVariant *parameter)
{
  AlcoveMachineWindow *self = ALCOVE_MACHINE_WINDOW (widget);

  connect_display (self);
  alcove_machine_window_update (self);
}

/* --- what is shown --- */

static void
update_title (AlcoveMachineWindow *self)
{
  AlcoveMachineState state = alcove_machine_get_state (self->machine);
  const char *name = alcove_machine_get_name (self->machine);
  g_autofree char *subtitle = NULL;

  if (alcove_display_get_grabbed (self->display))
    subtitle = g_strdup_printf (_ ("Press %s to release the keyboard"),
                                alcove_display_get_chord_label (self->display));
  else if (alcove_machine_is_disposable (self->machine))
    subtitle = g_strdup (_ ("Disposable: changes are dropped at power-off"));
  else if (state != ALCOVE_MACHINE_RUNNING)
    subtitle = g_strdup (alcove_state_get_label (state));
  adw_window_title_set_title (self->title, name);
  adw_window_title_set_subtitle (self->title, subtitle ? subtitle : "");
  gtk_window_set_title (GTK_WINDOW (self), name);
}

static void
update_pause_button (AlcoveMachineWindow *self)
{
  bool paused = alcove_machine_get_state (self->machine) == ALCOVE_MACHINE_PAUSED;
  const char *label = paused ? _ ("Resume") : _ ("Pause");

  gtk_button_set_icon_name (self->pause_button, paused ? "media-playback-start-symbolic"
                                                       : "media-playback-pause-symbolic");
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->pause_button), label);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->pause_button),
                                  GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
}

static const char *
stop_reason (AlcoveMachineWindow *self)
{
  const char *reason = alcove_machine_get_state_reason (self->machine);

  if (!g_strcmp0 (reason, "guest-shutdown"))
    return _ ("The system inside shut it down.");
  if (!g_strcmp0 (reason, "user"))
    return _ ("You turned it off.");
  if (!g_strcmp0 (reason, "guest-reset"))
    return _ ("The system inside asked for a restart, and the machine is set to stop then.");
  return NULL;
}

static void
show_failed (AlcoveMachineWindow *self, const char *title, const char *detail, bool can_start)
{
  adw_status_page_set_title (self->failed_page, title);
  gtk_label_set_text (self->failed_detail, detail ? detail : "");
  gtk_widget_set_visible (GTK_WIDGET (self->failed_detail), detail && *detail);
  gtk_widget_set_visible (GTK_WIDGET (self->failed_start), can_start);
  gtk_stack_set_visible_child_name (self->stack, "failed");
  /* Or the text would take the focus and show itself selected. */
  if (can_start)
    gtk_widget_grab_focus (GTK_WIDGET (self->failed_start));
  gtk_label_select_region (self->failed_detail, 0, 0);
}

static void
show_off (AlcoveMachineWindow *self)
{
  g_autofree char *size = alcove_state_dup_size (self->machine);
  const char *reason = stop_reason (self);
  g_autofree char *text =
      reason && size ? g_strdup_printf ("%s\n%s", reason, size) : g_strdup (reason ? reason : size);
  g_autofree char *escaped = text ? g_markup_escape_text (text, -1) : NULL;

  bool saved = alcove_machine_get_state (self->machine) == ALCOVE_MACHINE_SAVED;

  adw_status_page_set_title (self->off_page,
                             saved ? _ ("The Machine Is Saved") : _ ("The Machine Is Off"));
  gtk_button_set_label (self->off_start, saved ? _ ("_Go On") : _ ("_Start"));
  adw_status_page_set_description (self->off_page, escaped);
  gtk_stack_set_visible_child_name (self->stack, "off");
}

/* The picture itself belongs to nobody who is not there: without one, say what is going on. */
static void
show_screen (AlcoveMachineWindow *self)
{
  bool has_picture = alcove_display_get_guest_width (self->display) > 0;

  if (self->screen_error)
    {
      g_autofree char *escaped = g_markup_escape_text (self->screen_error, -1);

      adw_status_page_set_description (self->lost_page, escaped);
      gtk_stack_set_visible_child_name (self->stack, "lost");
    }
  else if (has_picture || alcove_display_get_connected (self->display))
    gtk_stack_set_visible_child_name (self->stack, "screen");
  else
    gtk_stack_set_visible_child_name (self->stack, "starting");
}

static void
show_state (AlcoveMachineWindow *self)
{
  switch (alcove_machine_get_state (self->machine))
    {
    case ALCOVE_MACHINE_INVALID:
      show_failed (self, _ ("This Machine Cannot Be Used"),
                   alcove_machine_get_error (self->machine), false);
      break;
    case ALCOVE_MACHINE_FAILED:
      show_failed (self, _ ("The Machine Stopped by Itself"),
                   alcove_machine_get_state_detail (self->machine), true);
      break;
    case ALCOVE_MACHINE_BUSY:
      show_failed (self, _ ("The Machine Does Not Answer"),
                   _ ("Something holds this machine but does not talk to Alcove. It may be "
                      "starting, or used by another program. If it stays so, force it off."),
                   false);
      break;
    case ALCOVE_MACHINE_STARTING:
      gtk_stack_set_visible_child_name (self->stack, "starting");
      break;
    case ALCOVE_MACHINE_RUNNING:
    case ALCOVE_MACHINE_PAUSED:
    case ALCOVE_MACHINE_STOPPING:
      show_screen (self);
      break;
    case ALCOVE_MACHINE_STOPPED:
    case ALCOVE_MACHINE_SAVED:
    default:
      if (self->start_error)
        show_failed (self, _ ("The Machine Did Not Start"), self->start_error, true);
      else
        show_off (self);
      break;
    }
}

/* A machine that paused by itself says why. */
static void
update_paused (AlcoveMachineWindow *self)
{
  bool paused = alcove_machine_get_state (self->machine) == ALCOVE_MACHINE_PAUSED;
  const char *detail = paused ? alcove_machine_get_state_detail (self->machine) : NULL;
  bool has_detail = detail && *detail;

  if (has_detail && g_strcmp0 (gtk_label_get_text (self->paused_detail), detail))
    alcove_compat_announce (GTK_WIDGET (self), detail);
  gtk_label_set_text (self->paused_detail, has_detail ? detail : "");
  gtk_widget_set_visible (GTK_WIDGET (self->paused_detail), has_detail);
  gtk_revealer_set_reveal_child (self->paused_revealer, paused);
}

void
alcove_machine_window_update (AlcoveMachineWindow *self)
{
  AlcoveMachineState state = alcove_machine_get_state (self->machine);
  const char *page;

  update_title (self);
  update_pause_button (self);
  update_paused (self);

  if (self->saving)
    gtk_stack_set_visible_child_name (self->stack, "saving");
  else if (self->starting && !has_screen (self))
    gtk_stack_set_visible_child_name (self->stack, "starting");
  else
    show_state (self);

  page = gtk_stack_get_visible_child_name (self->stack);
  gtk_widget_set_sensitive (GTK_WIDGET (self->grab_button), g_str_equal (page, "screen"));
  gtk_widget_set_sensitive (GTK_WIDGET (self->keys_button), state == ALCOVE_MACHINE_RUNNING);
}

/* The screen is there while the machine runs: each run gets a connection of its own, whatever became
 * of the one before. */
static void
on_state_changed (AlcoveMachineWindow *self)
{
  bool runs = has_screen (self);
  /* A machine that is stopping still shows its screen. */
  bool stopping = alcove_machine_get_state (self->machine) == ALCOVE_MACHINE_STOPPING;

  g_clear_handle_id (&self->lost_source, g_source_remove);
  if (runs && !self->runs)
    {
      g_clear_pointer (&self->start_error, g_free);
      connect_display (self);
    }
  else if (!runs && !stopping)
    {
      alcove_display_disconnect (self->display);
      g_clear_handle_id (&self->lost_source, g_source_remove);
      set_screen_error (self, NULL);
    }
  if (!stopping)
    self->runs = runs;
  alcove_machine_window_update (self);
}

/* --- saving --- */

static void
on_saving (AlcoveMachineWindow *self, gboolean active, double fraction)
{
  gtk_progress_bar_set_fraction (self->saving_bar, CLAMP (fraction, 0, 1));
  if (self->saving == (bool)active)
    return;
  self->saving = active;
  alcove_machine_window_update (self);
  if (active)
    alcove_compat_announce (GTK_WIDGET (self), _ ("Saving the machine"));
}

static void
on_saved (AlcoveMachineWindow *self)
{
  gtk_window_close (GTK_WINDOW (self));
}

/* --- keyboard grab --- */

static void
on_grabbed_changed (AlcoveMachineWindow *self)
{
  bool grabbed = alcove_display_get_grabbed (self->display);

  if (gtk_toggle_button_get_active (self->grab_button) != grabbed)
    gtk_toggle_button_set_active (self->grab_button, grabbed);
  update_title (self);
  if (grabbed)
    {
      g_autofree char *message =
          g_strdup_printf (_ ("The machine has the keyboard. Press %s to get it back."),
                           alcove_display_get_chord_label (self->display));

      report (self, message);
    }
}

static void
on_grab_toggled (AlcoveMachineWindow *self)
{
  bool wanted = gtk_toggle_button_get_active (self->grab_button);

  if (wanted == alcove_display_get_grabbed (self->display))
    return;
  if (wanted)
    alcove_display_grab (self->display);
  else
    alcove_display_ungrab (self->display);
}

/* --- snapshots, disks, passthrough --- */

/* At most one of the buttons is down. */
static void
show_page (AlcoveMachineWindow *self, GtkToggleButton *button, const char *page)
{
  GtkToggleButton *const buttons[] = { self->snapshots_button, self->disks_button,
                                       self->passthrough_button };
  bool wanted = gtk_toggle_button_get_active (button);

  for (gsize i = 0; i < G_N_ELEMENTS (buttons); i++)
    {
      if (buttons[i] == button || !gtk_toggle_button_get_active (buttons[i]))
        continue;
      if (!wanted)
        return; /* that one's page comes */
      gtk_toggle_button_set_active (buttons[i], FALSE);
    }
  gtk_stack_set_visible_child_name (self->pages, wanted ? page : "machine");
  if (!wanted && g_str_equal (gtk_stack_get_visible_child_name (self->stack), "screen"))
    gtk_widget_grab_focus (GTK_WIDGET (self->display));
}

static void
on_snapshots_toggled (AlcoveMachineWindow *self)
{
  show_page (self, self->snapshots_button, "snapshots");
}

static void
on_disks_toggled (AlcoveMachineWindow *self)
{
  show_page (self, self->disks_button, "disks");
}

static void
on_passthrough_toggled (AlcoveMachineWindow *self)
{
  show_page (self, self->passthrough_button, "passthrough");
}

static void
on_released (AlcoveMachineWindow *self)
{
  if (gtk_window_is_fullscreen (GTK_WINDOW (self)))
    gtk_revealer_set_reveal_child (self->fullscreen_revealer, TRUE);
  gtk_widget_grab_focus (GTK_WIDGET (self->grab_button));
}

/* --- full screen --- */

static void
on_fullscreened (AlcoveMachineWindow *self)
{
  bool fullscreen = gtk_window_is_fullscreen (GTK_WINDOW (self));
  const char *label = fullscreen ? _ ("Leave full screen") : _ ("Full screen");
  AdwBin *place = fullscreen ? self->fullscreen_place : self->header_place;

  g_object_ref (self->header);
  adw_bin_set_child (self->header_place, NULL);
  adw_bin_set_child (self->fullscreen_place, NULL);
  adw_bin_set_child (place, GTK_WIDGET (self->header));
  g_object_unref (self->header);
  adw_header_bar_set_show_end_title_buttons (self->header, !fullscreen);
  gtk_revealer_set_reveal_child (self->fullscreen_revealer, FALSE);
  gtk_button_set_icon_name (self->fullscreen_button,
                            fullscreen ? "view-restore-symbolic" : "view-fullscreen-symbolic");
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->fullscreen_button), label);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->fullscreen_button),
                                  GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
  if (fullscreen)
    {
      report (self, _ ("Move the pointer to the top edge to leave full screen"));
      gtk_widget_grab_focus (GTK_WIDGET (self->display));
      alcove_display_grab (self->display);
    }
  else
    alcove_display_ungrab (self->display);
}

static void
on_motion (AlcoveMachineWindow *self, double x, double y)
{
  bool open = gtk_revealer_get_reveal_child (self->fullscreen_revealer);

  if (!gtk_window_is_fullscreen (GTK_WINDOW (self)))
    return;
  if (!open && y < 1)
    gtk_revealer_set_reveal_child (self->fullscreen_revealer, TRUE);
  else if (open && y > HEADER_ZONE &&
           !gtk_widget_get_focus_child (GTK_WIDGET (self->fullscreen_place)))
    gtk_revealer_set_reveal_child (self->fullscreen_revealer, FALSE);
}

static void
on_display_focus (AlcoveMachineWindow *self)
{
  if (gtk_widget_has_focus (GTK_WIDGET (self->display)))
    gtk_revealer_set_reveal_child (self->fullscreen_revealer, FALSE);
}

static void
on_fullscreen (GtkWidget *widget, const char *name, GVariant *parameter)
{
  GtkWindow *window = GTK_WINDOW (widget);

  if (gtk_window_is_fullscreen (window))
    gtk_window_unfullscreen (window);
  else
    gtk_window_fullscreen (window);
}

/* --- life --- */

static void
on_action_message (AlcoveMachineWindow *self, const char *message)
{
  report (self, message);
}

/* The window goes, the machine stays: that deserves a word, where it does not get in the way. */
static gboolean
alcove_machine_window_close_request (GtkWindow *window)
{
  AlcoveMachineWindow *self = ALCOVE_MACHINE_WINDOW (window);

  if (alcove_machine_is_active (self->machine))
    {
      g_autofree char *message = g_strdup_printf (_ ("“%s” goes on running without its window"),
                                                  alcove_machine_get_name (self->machine));

      g_action_group_activate_action (G_ACTION_GROUP (gtk_window_get_application (window)),
                                      "notice", g_variant_new_string (message));
    }
  g_cancellable_cancel (self->cancellable);
  alcove_display_disconnect (self->display);
  return GTK_WINDOW_CLASS (alcove_machine_window_parent_class)->close_request (window);
}

static void
alcove_machine_window_dispose (GObject *object)
{
  AlcoveMachineWindow *self = ALCOVE_MACHINE_WINDOW (object);

  g_clear_handle_id (&self->lost_source, g_source_remove);
  g_clear_handle_id (&self->clear_source, g_source_remove);
  if (self->display)
    {
      g_signal_handlers_disconnect_by_data (self->display, self);
      alcove_display_disconnect (self->display);
      alcove_display_set_resize_func (self->display, NULL, NULL, NULL);
      self->display = NULL;
    }
  if (self->machine)
    g_signal_handlers_disconnect_by_data (self->machine, self);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->actions);
  g_clear_object (&self->machine);
  G_OBJECT_CLASS (alcove_machine_window_parent_class)->dispose (object);
}

static void
alcove_machine_window_finalize (GObject *object)
{
  AlcoveMachineWindow *self = ALCOVE_MACHINE_WINDOW (object);

  g_free (self->start_error);
  g_free (self->screen_error);
  G_OBJECT_CLASS (alcove_machine_window_parent_class)->finalize (object);
}

static void
alcove_machine_window_class_init (AlcoveMachineWindowClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  object_class->dispose = alcove_machine_window_dispose;
  object_class->finalize = alcove_machine_window_finalize;
  GTK_WINDOW_CLASS (klass)->close_request = alcove_machine_window_close_request;

  g_type_ensure (ALCOVE_TYPE_DISPLAY);
  g_type_ensure (ALCOVE_TYPE_DISKS_PAGE);
  g_type_ensure (ALCOVE_TYPE_PASSTHROUGH_PAGE);
  g_type_ensure (ALCOVE_TYPE_SNAPSHOTS_PAGE);
  g_type_ensure (ALCOVE_TYPE_SPINNER);
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/machine-window.ui");
#define BIND(child) gtk_widget_class_bind_template_child (widget_class, AlcoveMachineWindow, child)
  BIND (toasts);
  BIND (header_place);
  BIND (fullscreen_revealer);
  BIND (fullscreen_place);
  BIND (header);
  BIND (title);
  BIND (pause_button);
  BIND (power_button);
  BIND (keys_button);
  BIND (grab_button);
  BIND (fullscreen_button);
  BIND (snapshots_button);
  BIND (disks_button);
  BIND (passthrough_button);
  BIND (pages);
  BIND (snapshots_page);
  BIND (disks_page);
  BIND (passthrough_page);
  BIND (stack);
  BIND (display);
  BIND (paused_revealer);
  BIND (paused_detail);
  BIND (starting_page);
  BIND (off_page);
  BIND (off_start);
  BIND (saving_bar);
  BIND (failed_page);
  BIND (failed_detail);
  BIND (failed_start);
  BIND (lost_page);
#undef BIND
  gtk_widget_class_bind_template_callback (widget_class, on_grab_toggled);
  gtk_widget_class_bind_template_callback (widget_class, on_snapshots_toggled);
  gtk_widget_class_bind_template_callback (widget_class, on_disks_toggled);
  gtk_widget_class_bind_template_callback (widget_class, on_passthrough_toggled);
  gtk_widget_class_bind_template_callback (widget_class, on_grabbed_changed);
  gtk_widget_class_bind_template_callback (widget_class, on_connected_changed);
  gtk_widget_class_bind_template_callback (widget_class, on_released);
  gtk_widget_class_bind_template_callback (widget_class, on_action_message);
  gtk_widget_class_bind_template_callback (widget_class, on_fullscreened);
  gtk_widget_class_bind_template_callback (widget_class, on_motion);
  gtk_widget_class_bind_template_callback (widget_class, on_display_focus);
  gtk_widget_class_install_action (widget_class, "win.start", NULL, alcove_machine_window_on_start);
  gtk_widget_class_install_action (widget_class, "win.start-disposable", NULL,
                                   alcove_machine_window_on_start_disposable);
  gtk_widget_class_install_action (widget_class, "win.reconnect", NULL, on_reconnect);
  gtk_widget_class_install_action (widget_class, "win.fullscreen", NULL, on_fullscreen);
}

static void
alcove_machine_window_init (AlcoveMachineWindow *self)
{
  g_autoptr (GMenuModel) keys = alcove_machine_actions_create_keys_menu ();

  self->cancellable = g_cancellable_new ();
  gtk_widget_init_template (GTK_WIDGET (self));
  alcove_accessible_watch_stack (self->pages);
  alcove_accessible_watch_stack (self->stack);
  alcove_accessible_watch_revealer (self->paused_revealer);
  alcove_accessible_watch_revealer (self->fullscreen_revealer);
  gtk_menu_button_set_menu_model (self->keys_button, keys);
}

/**
 * alcove_machine_window_new:
 *
 * Returns: (transfer none): a window that shows @machine, whatever it does
 */
AlcoveMachineWindow *
alcove_machine_window_new (GtkApplication *application, AlcoveMachine *machine, GSettings *settings)
{
  AlcoveMachineWindow *self =
      g_object_new (ALCOVE_TYPE_MACHINE_WINDOW, "application", application, NULL);

  self->machine = g_object_ref (machine);
  self->actions = alcove_machine_actions_new (machine, GTK_WIDGET (self));
  gtk_widget_insert_action_group (GTK_WIDGET (self), "machine", G_ACTION_GROUP (self->actions));
  g_signal_connect_swapped (self->actions, "problem", G_CALLBACK (on_action_message), self);
  g_signal_connect_swapped (self->actions, "done", G_CALLBACK (on_action_message), self);
  g_signal_connect_object (self->actions, "saving", G_CALLBACK (on_saving), self,
                           G_CONNECT_SWAPPED);
  g_signal_connect_object (self->actions, "saved", G_CALLBACK (on_saved), self, G_CONNECT_SWAPPED);
  g_signal_connect_swapped (machine, "notify::state", G_CALLBACK (on_state_changed), self);
  g_signal_connect_swapped (machine, "notify", G_CALLBACK (alcove_machine_window_update), self);
  alcove_snapshots_page_set_machine (self->snapshots_page, machine);
  alcove_disks_page_set_machine (self->disks_page, machine);
  alcove_passthrough_page_set_machine (self->passthrough_page, machine);
  alcove_display_set_resize_func (self->display, resize, self, NULL);
  g_settings_bind (settings, "resize-guest", self->display, "resize-guest", G_SETTINGS_BIND_GET);
  g_settings_bind (settings, "release-chord", self->display, "release-chord", G_SETTINGS_BIND_GET);
  on_state_changed (self);
  return self;
}

AlcoveMachine *
alcove_machine_window_get_machine (AlcoveMachineWindow *self)
{
  return self->machine;
}
