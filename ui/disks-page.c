/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/disks-page.h"

#include <glib/gi18n.h>
#include <stdbool.h>

#include "app/disk-tools.h"
#include "app/error.h"
#include "app/machine-disks.h"
#include "ui/accessible.h"
#include "ui/compat.h"
#include "ui/disk-row.h"
#include "ui/disk-words.h"
#include "ui/page-bar.h"

#define MIB        ((guint64)1024 * 1024)
#define GIB        (1024 * MIB)
#define RELEASE_MS 30000 /* how long a guest may take to release a disk */

/* What the last check of a disk said. */
typedef struct
{
  char *text;
  bool found; /* something that can be repaired */
} Check;

struct _AlcoveDisksPage
{
  AdwBin parent;

  AlcoveMachine *machine;
  GCancellable *busy;  /* of the operation under way */
  GHashTable *removed; /* names whose toast is still there */
  GHashTable *checks;  /* name -> Check */
  char *shown;         /* what the rows show */
  bool looking, again; /* a look is under way; what it sees is old */
  bool refocus;        /* the list was insensitive, and lost the keyboard */

  AlcovePageBar *bar;
  GtkStack *stack;
  GtkListBox *list;
};

G_DEFINE_FINAL_TYPE (AlcoveDisksPage, alcove_disks_page, ADW_TYPE_BIN)

static void
check_free (gpointer data)
{
  Check *check = data;

  g_free (check->text);
  g_free (check);
}

static AdwToastOverlay *
get_overlay (AlcoveDisksPage *self)
{
  return ADW_TOAST_OVERLAY (gtk_widget_get_ancestor (GTK_WIDGET (self), ADW_TYPE_TOAST_OVERLAY));
}

/* --- the list --- */

static void reload (AlcoveDisksPage *self);
static void on_request (AlcoveDiskRow *row, const char *what, AlcoveDisksPage *self);

static void
clear_list (AlcoveDisksPage *self)
{
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self->list))))
    gtk_list_box_remove (self->list, child);
}

static bool
is_hidden (AlcoveDisksPage *self, const AlcoveMachineDisk *disk)
{
  return !disk->cdrom && g_hash_table_contains (self->removed, disk->name);
}

static const Check *
get_check (AlcoveDisksPage *self, const AlcoveMachineDisk *disk)
{
  return disk->cdrom ? NULL : g_hash_table_lookup (self->checks, disk->name);
}

/* (transfer full): everything that is shown, to see whether it changed. */
static char *
dup_shown (AlcoveDisksPage *self, GPtrArray *disks)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < disks->len; i++)
    {
      const AlcoveMachineDisk *disk = g_ptr_array_index (disks, i);
      const Check *check = get_check (self, disk);
      g_autofree char *backing = disk->backing ? g_strjoinv ("\n", disk->backing) : NULL;

      if (is_hidden (self, disk))
        continue;
      g_string_append_printf (text, "%s %d %s %d %d %d\n", disk->name, disk->cdrom,
                              disk->file ? disk->file : "", (int)disk->format, (int)disk->bus,
                              disk->readonly);
      g_string_append_printf (
          text, "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %u %u %d %s\n%s\n%s\n", disk->size,
          disk->allocated, disk->n_snapshots, disk->n_bitmaps, disk->corrupt,
          backing ? backing : "", disk->problem ? disk->problem : "", check ? check->text : "");
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
add_row (AlcoveDisksPage *self, AlcoveMachineDisk *disk, const char *selected)
{
  const Check *check = get_check (self, disk);
  GtkWidget *row = alcove_disk_row_new (disk, check ? check->text : NULL, check && check->found);

  g_signal_connect (row, "request", G_CALLBACK (on_request), self);
  gtk_list_box_append (self->list, row);
  if (g_strcmp0 (selected, disk->name) == 0)
    gtk_list_box_select_row (self->list, GTK_LIST_BOX_ROW (row));
}

static void
show_disks (AlcoveDisksPage *self, GPtrArray *disks)
{
  GtkListBoxRow *row = gtk_list_box_get_selected_row (self->list);
  g_autofree char *selected =
      row ? g_strdup (alcove_disk_row_get_disk (ALCOVE_DISK_ROW (row))->name) : NULL;
  g_autofree char *shown = dup_shown (self, disks);
  guint n = 0;

  /* Rows that stay what they are keep the focus, and the menu that is open over them. */
  if (g_strcmp0 (shown, self->shown) != 0)
    {
      g_free (self->shown);
      self->shown = g_steal_pointer (&shown);
      clear_list (self);
      for (guint i = 0; i < disks->len; i++)
        {
          if (is_hidden (self, g_ptr_array_index (disks, i)))
            continue;
          add_row (self, g_ptr_array_index (disks, i), selected);
          n++;
        }
      gtk_stack_set_visible_child_name (self->stack, n > 0 ? "list" : "empty");
    }
  row = gtk_list_box_get_selected_row (self->list);
  if (self->refocus && row && gtk_widget_get_mapped (GTK_WIDGET (row)))
    gtk_widget_grab_focus (GTK_WIDGET (row));
  self->refocus = false;
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveDisksPage) self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) disks =
      alcove_machine_look_at_disks_finish (ALCOVE_MACHINE (source), result, &error);

  self->looking = false;
  if (!self->machine)
    return;
  if (!disks)
    alcove_page_bar_show_problem (self->bar, error->message);
  else if (!self->again)
    show_disks (self, disks);
  if (self->again)
    reload (self);
}

static void
reload (AlcoveDisksPage *self)
{
  self->again = self->looking;
  if (self->looking || !gtk_widget_get_mapped (GTK_WIDGET (self)))
    return; /* a page that nobody sees looks when it is shown */
  self->looking = true;
  alcove_machine_look_at_disks_async (self->machine, NULL, on_looked, g_object_ref (self));
}

static void
on_map (AlcoveDisksPage *self)
{
  if (self->machine)
    reload (self);
}

/* --- operations --- */

static void
on_progress (guint64 done, guint64 total, gpointer data)
{
  AlcoveDisksPage *self = data;

  if (self->bar)
    alcove_page_bar_set_progress (self->bar, done, total);
}

static void
begin (AlcoveDisksPage *self, const char *what)
{
  self->busy = g_cancellable_new ();
  alcove_page_bar_begin (self->bar, what, TRUE, TRUE);
  gtk_widget_set_sensitive (GTK_WIDGET (self->stack), FALSE);
}

static bool
is_cancelled (AlcoveDisksPage *self, const GError *error)
{
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
         g_error_matches (error, ALCOVE_ERROR, ALCOVE_ERROR_CANCELLED) ||
         /* Images have errors of their own. */
         g_cancellable_is_cancelled (self->busy);
}

/* Calls hold the page: progress goes to it until they end. */
static void
end (AlcoveDisksPage *self, GError *error)
{
  if (self->machine)
    {
      alcove_page_bar_end (self->bar);
      gtk_widget_set_sensitive (GTK_WIDGET (self->stack), TRUE);
      if (error && !is_cancelled (self, error))
        alcove_page_bar_show_problem (self->bar, error->message);
      self->refocus = true;
      reload (self);
    }
  g_clear_object (&self->busy);
  g_clear_error (&error);
}

static void
on_cancel (AlcoveDisksPage *self)
{
  if (self->busy)
    g_cancellable_cancel (self->busy);
}

/* What a piece of work is about, until it ends. */
typedef struct
{
  AlcoveDisksPage *self;
  AlcoveDiskWorkKind kind;
  char *name;
} Work;

static void
work_free (Work *work)
{
  g_object_unref (work->self);
  g_free (work->name);
  g_free (work);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Work, work_free)

static void
take_check (AlcoveDisksPage *self, const char *name, const AlcoveDiskResult *result)
{
  Check *check = g_new0 (Check, 1);

  check->text = alcove_disk_dup_check_text (result);
  check->found = result->corruptions + result->leaks > 0;
  g_hash_table_replace (self->checks, g_strdup (name), check);
  alcove_compat_announce (GTK_WIDGET (self), check->text);
}

static void
show_result (AlcoveDisksPage *self, const Work *work, const AlcoveDiskResult *result)
{
  g_autofree char *message = alcove_disk_dup_done (work->kind, work->name, result);

  if (message)
    alcove_page_bar_report (self->bar, message);
  else
    take_check (self, work->name, result);
}

static void
on_worked (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (Work) work = data;
  AlcoveDisksPage *self = work->self;
  AlcoveDiskResult done = { 0 };
  GError *error = NULL;

  if (alcove_machine_work_on_disk_finish (ALCOVE_MACHINE (source), result, &done, &error) &&
      self->machine)
    show_result (self, work, &done);
  end (self, error);
}

static void
start_work (AlcoveDisksPage *self, const AlcoveDiskWork *spec)
{
  Work *work = g_new0 (Work, 1);
  g_autofree char *text = alcove_disk_dup_doing (spec);

  work->self = g_object_ref (self);
  work->kind = spec->kind;
  work->name = g_strdup (spec->disk);
  begin (self, text);
  alcove_machine_work_on_disk_async (self->machine, spec, on_progress, self, self->busy, on_worked,
                                     work);
}

static void
on_edited (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveDisksPage) self = data;
  GError *error = NULL;

  alcove_machine_finish (ALCOVE_MACHINE (source), result, &error);
  end (self, error);
}

static void
on_added (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveDisksPage) self = data;
  GError *error = NULL;
  g_autofree char *name = alcove_machine_new_disk_finish (ALCOVE_MACHINE (source), result, &error);

  if (name && self->machine)
    {
      g_autofree char *message = g_strdup_printf (_ ("“%s” added"), name);

      g_hash_table_remove (self->checks, name);
      alcove_page_bar_report (self->bar, message);
    }
  end (self, error);
}

/* --- questions --- */

/* What a dialog asks for, and about which disk or file. */
typedef struct
{
  AlcoveDisksPage *self;
  AlcoveMachineDisk *disk; /* NULL: a new one */
  char *file;              /* of a new one; NULL: a new image */
  GtkEditable *size;
  GtkCheckButton *keep;
  AdwComboRow *format, *bus;
} Question;

static void
question_free (gpointer data)
{
  Question *question = data;

  g_object_unref (question->self);
  g_clear_pointer (&question->disk, alcove_machine_disk_unref);
  g_free (question->file);
  g_free (question);
}

static Question *
question_new (AlcoveDisksPage *self, AlcoveMachineDisk *disk)
{
  Question *question = g_new0 (Question, 1);

  question->self = g_object_ref (self);
  question->disk = disk ? alcove_machine_disk_ref (disk) : NULL;
  return question;
}

static GtkEditable *
add_size (GtkWidget *group, guint64 size)
{
  GtkWidget *row = adw_entry_row_new ();
  g_autofree char *text =
      size % GIB == 0
          ? g_strdup_printf ("%" G_GUINT64_FORMAT " GiB", size / GIB)
          : g_strdup_printf ("%" G_GUINT64_FORMAT " MiB", size / MIB + (size % MIB != 0));

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), _ ("Size"));
  gtk_editable_set_text (GTK_EDITABLE (row), text);
  adw_entry_row_set_activates_default (ADW_ENTRY_ROW (row), TRUE);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), row);
  return GTK_EDITABLE (row);
}

static AdwComboRow *
add_combo (GtkWidget *group, const char *title, const char *const *words, guint selected)
{
  GtkWidget *row = adw_combo_row_new ();
  g_autoptr (GtkStringList) list = gtk_string_list_new (words);

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  adw_combo_row_set_model (ADW_COMBO_ROW (row), G_LIST_MODEL (list));
  adw_combo_row_set_selected (ADW_COMBO_ROW (row), selected);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), row);
  return ADW_COMBO_ROW (row);
}

/* 0: it is none, and that was said. */
static guint64
read_size (AlcoveDisksPage *self, GtkEditable *entry)
{
  g_autofree char *text = g_strstrip (g_strdup (gtk_editable_get_text (entry)));
  g_autofree char *message = NULL;
  g_autoptr (GError) error = NULL;
  guint64 mib = 0;

  if (text[0] != '\0' && text[strspn (text, "0123456789")] == '\0')
    message = g_strdup_printf (_ ("“%s” has no unit: write %s GiB or %s MiB"), text, text, text);
  else if (!alcove_parse_mib (text, &mib, &error) || mib == 0 || mib > G_MAXINT64 / MIB)
    message = g_strdup_printf (_ ("“%s” is no size: write one such as 40 GiB or 512 MiB"), text);
  if (!message)
    return mib * MIB;
  alcove_page_bar_show_problem (self->bar, message);
  return 0;
}

static void
resize_now (gpointer data)
{
  Question *question = data;
  AlcoveDisksPage *self = question->self;
  AlcoveDiskWork work = { .kind = ALCOVE_DISK_WORK_RESIZE, .disk = question->disk->name };

  if (self->busy || !self->machine || (work.size = read_size (self, question->size)) == 0 ||
      work.size == question->disk->size)
    return;
  work.keep = work.size < question->disk->size && question->keep &&
              gtk_check_button_get_active (question->keep);
  start_work (self, &work);
}

static void
ask_resize (AlcoveDisksPage *self, AlcoveMachineDisk *disk)
{
  Question *question = question_new (self, disk);
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 12);
  GtkWidget *group = adw_preferences_group_new ();
  g_autofree char *heading = g_strdup_printf (_ ("Resize “%s”"), disk->name);

  question->size = add_size (group, disk->size);
  gtk_box_append (GTK_BOX (box), group);
  if (disk->format == ALCOVE_DISK_QCOW2)
    {
      GtkWidget *keep = gtk_check_button_new_with_mnemonic (_ ("_Keep the present state first"));

      gtk_check_button_set_active (GTK_CHECK_BUTTON (keep), TRUE);
      gtk_widget_set_tooltip_text (keep, _ ("A snapshot of the machine is taken before the disk is "
                                            "made smaller."));
      gtk_box_append (GTK_BOX (box), keep);
      question->keep = GTK_CHECK_BUTTON (keep);
    }
  alcove_compat_ask (
      GTK_WIDGET (self), heading,
      _ ("To use a larger disk, extend partition and file system in the guest afterwards. To make "
         "the disk smaller, shrink them in the guest first: it is refused while the part to be cut "
         "off holds data."),
      box, _ ("_Resize"), false, resize_now, question, question_free);
}

static const char *const bus_words[] = { "virtio", "nvme", "scsi", "sata", NULL };
static const char *const format_words[] = { "raw", "qcow2", NULL };

static void
add_now (gpointer data)
{
  Question *question = data;
  AlcoveDisksPage *self = question->self;
  AlcoveNewDisk disk = { .file = question->file };

  if (self->busy || !self->machine ||
      (question->size && (disk.size = read_size (self, question->size)) == 0))
    return;
  if (question->format)
    disk.format = format_words[adw_combo_row_get_selected (question->format)];
  disk.bus = bus_words[adw_combo_row_get_selected (question->bus)];
  begin (self, _ ("Adding a disk…"));
  alcove_machine_new_disk_async (self->machine, &disk, self->busy, on_added, g_object_ref (self));
}

static void
add_bus (Question *question, GtkWidget *group)
{
  const char *const names[] = { "virtio", "NVMe", "SCSI", "SATA", NULL };

  question->bus = add_combo (group, _ ("Bus"), names, 0);
}

static void
on_new (GtkWidget *widget, const char *action, GVariant *parameter)
{
  AlcoveDisksPage *self = ALCOVE_DISKS_PAGE (widget);
  Question *question = question_new (self, NULL);
  GtkWidget *group = adw_preferences_group_new ();

  question->size = add_size (group, 32 * GIB);
  add_bus (question, group);
  alcove_compat_ask (widget, _ ("New Disk"),
                     _ ("An empty disk in the machine’s folder. Its file grows with what is "
                        "written."),
                     group, _ ("_Add"), false, add_now, question, question_free);
}

static void
on_guessed (GObject *source, GAsyncResult *result, gpointer data)
{
  AlcoveDisksPage *self = ALCOVE_DISKS_PAGE (source);
  Question *question = data;
  GtkWidget *group;
  g_autofree char *name = g_filename_display_basename (question->file);
  gssize guess = g_task_propagate_int (G_TASK (result), NULL);

  if (!self->machine)
    {
      question_free (question);
      return;
    }
  group = adw_preferences_group_new ();
  question->format = add_combo (group, _ ("Format"), format_words, guess == 1);
  add_bus (question, group);
  alcove_compat_ask (GTK_WIDGET (self), _ ("Add an Existing File"), name, group, _ ("_Add"), false,
                     add_now, question, question_free);
}

static void
guess_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  BlockFormat format = alcove_disk_guess_format (data);

  g_task_return_int (task, format == BLOCK_FORMAT_QCOW2);
}

/* The format is proposed, and people confirm it: it is never guessed later. */
static void
on_file_chosen (GFile *file, gpointer data)
{
  g_autoptr (AlcoveDisksPage) self = data;
  g_autoptr (GTask) task = NULL;
  Question *question;

  if (!file || !g_file_peek_path (file) || !self->machine)
    return;
  question = question_new (self, NULL);
  question->file = g_file_get_path (file);
  task = g_task_new (self, NULL, on_guessed, question);
  g_task_set_task_data (task, g_strdup (question->file), g_free);
  g_task_run_in_thread (task, guess_in_thread);
}

static void
on_existing (GtkWidget *widget, const char *action, GVariant *parameter)
{
  static const char *const patterns[] = { "*.qcow2", "*.img", "*.raw", NULL };

  alcove_compat_choose_file (widget, _ ("Choose a Disk Image"), patterns, _ ("Disk images"),
                             on_file_chosen, g_object_ref (widget));
}

/* --- media --- */

static void
change_medium (AlcoveDisksPage *self, const char *drive, const char *path)
{
  begin (self, path ? _ ("Inserting the medium…") : _ ("Ejecting the medium…"));
  alcove_machine_change_medium_async (self->machine, drive, path, self->busy, on_edited,
                                      g_object_ref (self));
}

static void
on_medium_chosen (GFile *file, gpointer data)
{
  Question *question = data;
  AlcoveDisksPage *self = question->self;

  if (file && g_file_peek_path (file) && self->machine && !self->busy)
    change_medium (self, question->disk->name, g_file_peek_path (file));
  question_free (question);
}

static void
ask_medium (AlcoveDisksPage *self, AlcoveMachineDisk *disk)
{
  static const char *const patterns[] = { "*.iso", NULL };

  alcove_compat_choose_file (GTK_WIDGET (self), _ ("Choose a Medium"), patterns,
                             _ ("CD and DVD images"), on_medium_chosen, question_new (self, disk));
}

/* --- removing --- */

typedef struct
{
  AlcoveDisksPage *self;
  char *name;
  bool undone;
} Removal;

static void
on_dropped (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveDisksPage) self = data;
  g_autoptr (GError) error = NULL;
  bool good = alcove_machine_finish (ALCOVE_MACHINE (source), result, &error);

  if (!self->machine)
    return;
  if (!good)
    alcove_page_bar_show_problem (self->bar, error->message);
  g_hash_table_remove_all (self->removed);
  reload (self);
}

static void
on_undo (Removal *removal)
{
  removal->undone = true;
  g_hash_table_remove (removal->self->removed, removal->name);
  if (removal->self->machine)
    reload (removal->self);
}

/* The toast has gone: now it is meant. */
static void
on_dismissed (Removal *removal)
{
  AlcoveDisksPage *self = removal->self;

  if (!removal->undone && self->machine)
    alcove_machine_drop_disk_async (self->machine, removal->name, RELEASE_MS, NULL, on_dropped,
                                    g_object_ref (self));
  removal->undone = true;
}

static void
removal_free (gpointer data, GClosure *closure)
{
  Removal *removal = data;

  g_object_unref (removal->self);
  g_free (removal->name);
  g_free (removal);
}

static void
remove_soon (AlcoveDisksPage *self, AlcoveMachineDisk *disk)
{
  g_autofree char *message =
      g_strdup_printf (_ ("“%s” removed. Its image file is kept"), disk->name);
  g_autofree char *escaped = g_markup_escape_text (message, -1);
  AdwToast *toast = adw_toast_new (escaped);
  Removal *removal = g_new0 (Removal, 1);

  removal->self = g_object_ref (self);
  removal->name = g_strdup (disk->name);
  adw_toast_set_button_label (toast, _ ("_Undo"));
  g_signal_connect_swapped (toast, "button-clicked", G_CALLBACK (on_undo), removal);
  g_signal_connect_data (toast, "dismissed", G_CALLBACK (on_dismissed), removal, removal_free,
                         G_CONNECT_SWAPPED);
  g_hash_table_add (self->removed, g_strdup (disk->name));
  reload (self);
  adw_toast_overlay_add_toast (get_overlay (self), toast);
  alcove_compat_announce (GTK_WIDGET (self), message);
}

static void
on_request (AlcoveDiskRow *row, const char *what, AlcoveDisksPage *self)
{
  g_autoptr (AlcoveMachineDisk) disk = alcove_machine_disk_ref (alcove_disk_row_get_disk (row));
  AlcoveDiskWork work = { .kind = ALCOVE_DISK_WORK_CHECK, .disk = disk->name };

  gtk_list_box_select_row (self->list, GTK_LIST_BOX_ROW (row));
  if (self->busy || !self->machine)
    return;
  if (g_str_equal (what, "check"))
    start_work (self, &work);
  else if (g_str_equal (what, "repair"))
    {
      work.kind = ALCOVE_DISK_WORK_REPAIR;
      start_work (self, &work);
    }
  else if (g_str_equal (what, "compact"))
    {
      work.kind = ALCOVE_DISK_WORK_COMPACT;
      start_work (self, &work);
    }
  else if (g_str_equal (what, "resize"))
    ask_resize (self, disk);
  else if (g_str_equal (what, "remove"))
    remove_soon (self, disk);
  else if (g_str_equal (what, "insert"))
    ask_medium (self, disk);
  else if (g_str_equal (what, "eject"))
    change_medium (self, disk->name, NULL);
}

/* --- life --- */

static void
on_dropped_at_end (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GApplication) application = data;

  alcove_machine_finish (ALCOVE_MACHINE (source), result, NULL);
  g_application_release (application);
}

/* Toasts that are still there go with the window: what they spoke of is done. */
static void
remove_all_now (AlcoveDisksPage *self)
{
  GApplication *application = g_application_get_default ();
  GHashTableIter iter;
  gpointer name;

  g_hash_table_iter_init (&iter, self->removed);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    {
      g_application_hold (application);
      alcove_machine_drop_disk_async (self->machine, name, RELEASE_MS, NULL, on_dropped_at_end,
                                      g_object_ref (application));
    }
  g_hash_table_remove_all (self->removed);
}

static void
alcove_disks_page_dispose (GObject *object)
{
  AlcoveDisksPage *self = ALCOVE_DISKS_PAGE (object);

  if (self->machine)
    {
      g_signal_handlers_disconnect_by_data (self->machine, self);
      remove_all_now (self);
    }
  g_clear_object (&self->machine);
  self->bar = NULL;
  G_OBJECT_CLASS (alcove_disks_page_parent_class)->dispose (object);
}

static void
alcove_disks_page_finalize (GObject *object)
{
  AlcoveDisksPage *self = ALCOVE_DISKS_PAGE (object);

  g_hash_table_unref (self->removed);
  g_hash_table_unref (self->checks);
  g_free (self->shown);
  G_OBJECT_CLASS (alcove_disks_page_parent_class)->finalize (object);
}

static void
alcove_disks_page_class_init (AlcoveDisksPageClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = alcove_disks_page_dispose;
  G_OBJECT_CLASS (klass)->finalize = alcove_disks_page_finalize;
  g_type_ensure (ALCOVE_TYPE_PAGE_BAR);
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/disks-page.ui");
#define BIND(child) gtk_widget_class_bind_template_child (widget_class, AlcoveDisksPage, child)
  BIND (bar);
  BIND (stack);
  BIND (list);
#undef BIND
  gtk_widget_class_bind_template_callback (widget_class, on_cancel);
  gtk_widget_class_install_action (widget_class, "disks.new", NULL, on_new);
  gtk_widget_class_install_action (widget_class, "disks.existing", NULL, on_existing);
}

static void
alcove_disks_page_init (AlcoveDisksPage *self)
{
  self->removed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->checks = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, check_free);
  gtk_widget_init_template (GTK_WIDGET (self));
  alcove_accessible_watch_stack (self->stack);
  g_signal_connect (self, "map", G_CALLBACK (on_map), NULL);
}

void
alcove_disks_page_set_machine (AlcoveDisksPage *self, AlcoveMachine *machine)
{
  self->machine = g_object_ref (machine);
  g_signal_connect_swapped (machine, "notify::definition", G_CALLBACK (reload), self);
  g_signal_connect_swapped (machine, "notify::state", G_CALLBACK (reload), self);
  reload (self);
}
