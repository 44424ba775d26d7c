/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/machine-actions.h"

#include <glib/gi18n.h>
#include <linux/input-event-codes.h>

#include "ui/compat.h"
#include "ui/screenshot.h"

struct _AlcoveMachineActions
{
  GSimpleActionGroup parent;

  AlcoveMachine *machine;
  GtkWidget *widget;  /* weak */
  GCancellable *save; /* while the machine is being saved */
};

G_DEFINE_FINAL_TYPE (AlcoveMachineActions, alcove_machine_actions, G_TYPE_SIMPLE_ACTION_GROUP)

enum
{
  PROBLEM,
  DONE,
  DELETE,
  SAVING,
  SAVED,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

/* How long a combination is held, so that guests that poll their keyboard see it. */
#define HOLD_MS 50

static void
report (AlcoveMachineActions *self, const char *message)
{
  g_signal_emit (self, signals[PROBLEM], 0, message);
}

static void
on_finished (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveMachineActions) self = data;
  g_autoptr (GError) error = NULL;

  if (!alcove_machine_finish (ALCOVE_MACHINE (source), result, &error) &&
      !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    report (self, error->message);
}

static void
on_start (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;

  if (self->widget)
    gtk_widget_activate_action (self->widget, "app.start", "s",
                                alcove_machine_get_folder (self->machine));
}

static void
on_view (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;

  if (self->widget)
    gtk_widget_activate_action (self->widget, "app.view", "s",
                                alcove_machine_get_folder (self->machine));
}

static void
on_export (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;

  if (self->widget)
    gtk_widget_activate_action (self->widget, "app.export", "s",
                                alcove_machine_get_folder (self->machine));
}

static void
on_pause (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;

  alcove_machine_pause_async (self->machine, NULL, on_finished, g_object_ref (self));
}

static void
on_resume (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;

  alcove_machine_resume_async (self->machine, NULL, on_finished, g_object_ref (self));
}

static void
on_toggle_pause (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;

  if (alcove_machine_get_state (self->machine) == ALCOVE_MACHINE_PAUSED)
    on_resume (action, parameter, data);
  else
    on_pause (action, parameter, data);
}

static void update (AlcoveMachineActions *self);

static void
on_save_progress (AlcoveMachineActions *self, guint64 done, guint64 total)
{
  if (self->save && total > 0)
    g_signal_emit (self, signals[SAVING], 0, true, (double)done / (double)total);
}

static void
on_saved (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveMachineActions) self = data;
  g_autoptr (GError) error = NULL;
  bool saved = alcove_machine_finish (ALCOVE_MACHINE (source), result, &error);

  g_clear_object (&self->save);
  update (self);
  g_signal_emit (self, signals[SAVING], 0, false, 0.0);
  if (saved)
    g_signal_emit (self, signals[SAVED], 0);
  else if (!g_error_matches (error, ALCOVE_ERROR, ALCOVE_ERROR_CANCELLED))
    report (self, error->message);
}

static void
on_save (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;

  if (self->save)
    return;
  self->save = g_cancellable_new ();
  update (self);
  g_signal_emit (self, signals[SAVING], 0, true, 0.0);
  alcove_machine_save_async (self->machine, self->save, on_saved, g_object_ref (self));
}

static void
on_cancel_save (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;

  if (self->save)
    g_cancellable_cancel (self->save);
}

static void
discard_now (gpointer data)
{
  AlcoveMachineActions *self = data;
  g_autoptr (GError) error = NULL;

  if (!alcove_machine_discard_saved (self->machine, &error))
    report (self, error->message);
}

static void
on_discard_saved (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;
  g_autofree char *heading = g_strdup_printf (_ ("Discard the Saved State of “%s”?"),
                                              alcove_machine_get_name (self->machine));

  alcove_compat_confirm (self->widget, heading,
                         _ ("The machine will boot when it is started next, as after its plug was "
                            "pulled. Programs that were open inside it are lost."),
                         _ ("_Discard"), discard_now, g_object_ref (self), g_object_unref);
}

static void
on_shut_down (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;

  alcove_machine_power_button_async (self->machine, NULL, on_finished, g_object_ref (self));
  g_signal_emit (self, signals[DONE], 0,
                 _ ("The power button was pressed. The system inside decides what it does."));
}

static void
reset_now (gpointer data)
{
  AlcoveMachineActions *self = data;

  alcove_machine_reset_async (self->machine, NULL, on_finished, g_object_ref (self));
}

static void
force_off_now (gpointer data)
{
  AlcoveMachineActions *self = data;

  alcove_machine_force_off_async (self->machine, NULL, on_finished, g_object_ref (self));
}

static void
on_reset (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;
  g_autofree char *heading =
      g_strdup_printf (_ ("Reset “%s”?"), alcove_machine_get_name (self->machine));

  alcove_compat_confirm (self->widget, heading,
                         _ ("The machine starts anew at once, as with the reset button of a "
                            "computer. Work that is not saved inside it is lost."),
                         _ ("_Reset"), reset_now, g_object_ref (self), g_object_unref);
}

static void
on_force_off (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;
  g_autofree char *heading =
      g_strdup_printf (_ ("Force “%s” Off?"), alcove_machine_get_name (self->machine));

  alcove_compat_confirm (self->widget, heading,
                         _ ("The machine stops at once, as if its plug were pulled. Work that is "
                            "not saved inside it is lost."),
                         _ ("_Force Off"), force_off_now, g_object_ref (self), g_object_unref);
}

static void
on_screenshot_saved (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveMachineActions) self = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *path = alcove_screenshot_finish (result, &error);
  g_autofree char *message = NULL;
  g_autofree char *shown = NULL;

  if (!path)
    {
      report (self, error->message);
      return;
    }
  shown = g_filename_display_basename (path);
  message = g_strdup_printf (_ ("Screenshot saved as “%s” in the folder Screenshots"), shown);
  g_signal_emit (self, signals[DONE], 0, message);
}

static void
on_screenshot (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;

  alcove_screenshot_async (self->machine, NULL, on_screenshot_saved, g_object_ref (self));
}

static void
on_send_keys (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;
  gsize n = 0;
  const guint32 *keys = g_variant_get_fixed_array (parameter, &n, sizeof *keys);

  alcove_machine_send_keys_async (self->machine, keys, (guint)n, HOLD_MS, NULL, on_finished,
                                  g_object_ref (self));
}

static void
on_clipboard_text (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveMachineActions) self = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = gdk_clipboard_read_text_finish (GDK_CLIPBOARD (source), result, &error);

  if (!text || !*text)
    {
      report (self, _ ("There is no text on the clipboard to type"));
      return;
    }
  alcove_machine_type_async (self->machine, text, NULL, on_finished, g_object_ref (self));
}

static void
on_type_clipboard (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineActions *self = data;

  if (self->widget)
    gdk_clipboard_read_text_async (gtk_widget_get_clipboard (self->widget), NULL, on_clipboard_text,
                                   g_object_ref (self));
}

static void
on_delete (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  g_signal_emit (data, signals[DELETE], 0);
}

static const GActionEntry entries[] = {
  { .name = "start", .activate = on_start },
  { .name = "view", .activate = on_view },
  { .name = "pause", .activate = on_pause },
  { .name = "resume", .activate = on_resume },
  { .name = "toggle-pause", .activate = on_toggle_pause },
  { .name = "save", .activate = on_save },
  { .name = "cancel-save", .activate = on_cancel_save },
  { .name = "discard-saved", .activate = on_discard_saved },
  { .name = "shut-down", .activate = on_shut_down },
  { .name = "reset", .activate = on_reset },
  { .name = "force-off", .activate = on_force_off },
  { .name = "screenshot", .activate = on_screenshot },
  { .name = "send-keys", .activate = on_send_keys, .parameter_type = "au" },
  { .name = "type-clipboard", .activate = on_type_clipboard },
  { .name = "export", .activate = on_export },
  { .name = "delete", .activate = on_delete },
};

static void
enable (AlcoveMachineActions *self, const char *name, bool enabled)
{
  GAction *action = g_action_map_lookup_action (G_ACTION_MAP (self), name);

  g_simple_action_set_enabled (G_SIMPLE_ACTION (action), enabled);
}

static void
update (AlcoveMachineActions *self)
{
  AlcoveMachineState state = alcove_machine_get_state (self->machine);
  bool running = state == ALCOVE_MACHINE_RUNNING && !self->save;
  bool paused = state == ALCOVE_MACHINE_PAUSED && !self->save;
  bool active = alcove_machine_is_active (self->machine);

  enable (self, "start",
          state == ALCOVE_MACHINE_STOPPED || state == ALCOVE_MACHINE_SAVED ||
              state == ALCOVE_MACHINE_FAILED);
  enable (self, "pause", running);
  enable (self, "resume", paused);
  enable (self, "toggle-pause", running || paused);
  enable (self, "save", running || paused);
  enable (self, "cancel-save", self->save != NULL);
  enable (self, "discard-saved", state == ALCOVE_MACHINE_SAVED);
  enable (self, "shut-down", running);
  enable (self, "reset", running || paused);
  enable (self, "force-off", active);
  enable (self, "screenshot", running || paused);
  enable (self, "send-keys", running);
  enable (self, "type-clipboard", running);
  enable (self, "export", !active && alcove_machine_get_definition (self->machine) != NULL);
  enable (self, "delete", !active);
}

static void
alcove_machine_actions_dispose (GObject *object)
{
  AlcoveMachineActions *self = ALCOVE_MACHINE_ACTIONS (object);

  g_clear_object (&self->save);
  g_clear_weak_pointer (&self->widget);
  g_clear_object (&self->machine);
  G_OBJECT_CLASS (alcove_machine_actions_parent_class)->dispose (object);
}

static void
alcove_machine_actions_class_init (AlcoveMachineActionsClass *klass)
{
  GType type = G_TYPE_FROM_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = alcove_machine_actions_dispose;
  /**
   * AlcoveMachineActions::problem:
   * @message: a sentence for people
   */
  signals[PROBLEM] = g_signal_new ("problem", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                   G_TYPE_NONE, 1, G_TYPE_STRING);
  /**
   * AlcoveMachineActions::done:
   * @message: a sentence for people, about something that does not show by itself
   */
  signals[DONE] = g_signal_new ("done", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE,
                                1, G_TYPE_STRING);
  /**
   * AlcoveMachineActions::delete:
   *
   * The user wants the machine moved to the trash; whoever holds the library does it.
   */
  signals[DELETE] =
      g_signal_new ("delete", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
  /**
   * AlcoveMachineActions::saving:
   * @active: whether the machine is being saved
   * @fraction: how far, 0 to 1
   */
  signals[SAVING] = g_signal_new ("saving", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                  G_TYPE_NONE, 2, G_TYPE_BOOLEAN, G_TYPE_DOUBLE);
  /**
   * AlcoveMachineActions::saved:
   *
   * The machine was saved and its process has ended.
   */
  signals[SAVED] =
      g_signal_new ("saved", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
alcove_machine_actions_init (AlcoveMachineActions *self)
{
  g_action_map_add_action_entries (G_ACTION_MAP (self), entries, G_N_ELEMENTS (entries), self);
}

/**
 * alcove_machine_actions_new:
 * @machine: what they act on
 * @widget: whose window asks questions
 *
 * Returns: (transfer full): the actions
 */
AlcoveMachineActions *
alcove_machine_actions_new (AlcoveMachine *machine, GtkWidget *widget)
{
  AlcoveMachineActions *self = g_object_new (ALCOVE_TYPE_MACHINE_ACTIONS, NULL);

  self->machine = g_object_ref (machine);
  g_set_weak_pointer (&self->widget, widget);
  g_signal_connect_object (machine, "notify::state", G_CALLBACK (update), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (machine, "save-progress", G_CALLBACK (on_save_progress), self,
                           G_CONNECT_SWAPPED);
  update (self);
  return self;
}

static void
append_keys (GMenu *menu, const char *label, const guint32 *keys, gsize n_keys)
{
  g_autoptr (GMenuItem) item = g_menu_item_new (label, NULL);

  g_menu_item_set_action_and_target_value (
      item, "machine.send-keys",
      g_variant_new_fixed_array (G_VARIANT_TYPE_UINT32, keys, n_keys, sizeof *keys));
  g_menu_append_item (menu, item);
}

/**
 * alcove_machine_actions_create_keys_menu:
 *
 * Returns: (transfer full): a menu of key combinations that the desktop would keep for itself
 */
GMenuModel *
alcove_machine_actions_create_keys_menu (void)
{
  static const struct
  {
    const char *label;
    guint32 keys[3];
    gsize n;
  } combinations[] = {
    { "Ctrl+Alt+Delete", { KEY_LEFTCTRL, KEY_LEFTALT, KEY_DELETE }, 3 },
    { "Ctrl+Alt+Backspace", { KEY_LEFTCTRL, KEY_LEFTALT, KEY_BACKSPACE }, 3 },
    { "Ctrl+Alt+F1", { KEY_LEFTCTRL, KEY_LEFTALT, KEY_F1 }, 3 },
    { "Ctrl+Alt+F2", { KEY_LEFTCTRL, KEY_LEFTALT, KEY_F2 }, 3 },
    { "Ctrl+Alt+F3", { KEY_LEFTCTRL, KEY_LEFTALT, KEY_F3 }, 3 },
    { "Ctrl+Alt+F7", { KEY_LEFTCTRL, KEY_LEFTALT, KEY_F7 }, 3 },
    { "Alt+Tab", { KEY_LEFTALT, KEY_TAB }, 2 },
    { "Alt+F4", { KEY_LEFTALT, KEY_F4 }, 2 },
    { "Super", { KEY_LEFTMETA }, 1 },
    { "Super+L", { KEY_LEFTMETA, KEY_L }, 2 },
    { "Print Screen", { KEY_SYSRQ }, 1 },
  };
  GMenu *menu = g_menu_new ();
  g_autoptr (GMenu) keys = g_menu_new ();
  g_autoptr (GMenu) text = g_menu_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (combinations); i++)
    append_keys (keys, combinations[i].label, combinations[i].keys, combinations[i].n);
  g_menu_append_section (menu, _ ("Send Keys"), G_MENU_MODEL (keys));
  g_menu_append (text, _ ("_Type the Clipboard’s Text"), "machine.type-clipboard");
  g_menu_append_section (menu, NULL, G_MENU_MODEL (text));
  return G_MENU_MODEL (menu);
}
