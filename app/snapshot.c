/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One snapshot: its structs and snapshot.conf. */
#include "app/snapshot.h"

#include <string.h>
#include "app/error.h"
#include "app/files.h"

#define VERSION       1
#define CONF_MAX      (256 * 1024) /* bytes */
#define DISKS_MAX     64
#define SIZE_MAX_DISK ((guint64)1 << 62)
#define TIME_MAX      G_GINT64_CONSTANT (253402300799) /* seconds: the end of the year 9999 */

AlcoveSnapshotDisk *
alcove_snapshot_disk_new (void)
{
  return g_new0 (AlcoveSnapshotDisk, 1);
}

void
alcove_snapshot_disk_free (AlcoveSnapshotDisk *disk)
{
  if (disk == NULL)
    return;
  g_free (disk->name);
  g_free (disk->file);
  g_free (disk->format);
  g_free (disk);
}

static void
free_disk (gpointer data)
{
  alcove_snapshot_disk_free (data);
}

AlcoveSnapshot *
alcove_snapshot_new (const char *id)
{
  AlcoveSnapshot *self = g_atomic_rc_box_new0 (AlcoveSnapshot);

  self->id = g_strdup (id);
  self->name = g_strdup (id);
  self->note = g_strdup ("");
  self->disks = g_ptr_array_new_with_free_func (free_disk);
  self->excluded = g_ptr_array_new_with_free_func (g_free);
  return self;
}

AlcoveSnapshot *
alcove_snapshot_ref (AlcoveSnapshot *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
clear (gpointer data)
{
  AlcoveSnapshot *self = data;

  g_free (self->id);
  g_free (self->parent);
  g_free (self->name);
  g_free (self->note);
  g_free (self->reason);
  g_free (self->folder);
  g_free (self->problem);
  g_ptr_array_unref (self->disks);
  g_ptr_array_unref (self->excluded);
}

void
alcove_snapshot_unref (AlcoveSnapshot *self)
{
  if (self != NULL)
    g_atomic_rc_box_release_full (self, clear);
}

gboolean
alcove_snapshot_id_is_valid (const char *id)
{
  gsize n = 0;

  for (; id[n] != '\0'; n++)
    if (n == 64 || !(g_ascii_islower (id[n]) || g_ascii_isdigit (id[n]) || (id[n] == '-' && n > 0)))
      return FALSE;
  return n > 0;
}

char *
alcove_snapshot_dup_new_id (void)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *time = g_date_time_format (now, "%Y%m%d-%H%M%S");

  return g_strdup_printf ("%s-%08x", time, g_random_int ());
}

char *
alcove_snapshot_dup_kept_name (const AlcoveSnapshot *target)
{
  static const char before[] = "Before reverting to ";
  const char *name = target->name;
  g_autofree char *whole = NULL;
  const char *end;

  while (g_str_has_prefix (name, before))
    name += strlen (before);
  whole =
      g_strdup_printf ("%s%.*s", before, (int)(ALCOVE_SNAPSHOT_NAME_MAX - strlen (before)), name);
  (void)g_utf8_validate (whole, -1, &end); /* not cut within a character */
  return g_strndup (whole, (gsize)(end - whole));
}

gboolean
alcove_snapshot_check_words (const char *name, const char *note, GError **error)
{
  const char *problem = NULL;

  if (name != NULL && (*name == '\0' || strlen (name) > ALCOVE_SNAPSHOT_NAME_MAX ||
                       !g_utf8_validate (name, -1, NULL) || strpbrk (name, "\r\n") != NULL))
    problem = "A snapshot's name is one line of 1 to 128 bytes";
  else if (note != NULL &&
           (strlen (note) > ALCOVE_SNAPSHOT_NOTE_MAX || !g_utf8_validate (note, -1, NULL)))
    problem = "A snapshot's note has at most 4096 bytes";
  if (problem != NULL)
    g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, problem);
  return problem == NULL;
}

char *
alcove_snapshot_disk_dup_path (const AlcoveSnapshotDisk *disk, const char *machine_folder)
{
  return g_canonicalize_filename (disk->file, machine_folder);
}

/* -- snapshot.conf -- */

static gboolean
refuse (GError **error, const char *path, const char *what)
{
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s: %s", path, what);
  return FALSE;
}

static gboolean
read_disk (
    AlcoveSnapshot *self, GKeyFile *file, const char *group, const char *path, GError **error)
{
  AlcoveSnapshotDisk *disk = alcove_snapshot_disk_new ();
  g_autoptr (GError) number = NULL;

  g_ptr_array_add (self->disks, disk);
  disk->name = g_strdup (group + strlen ("disk "));
  disk->file = g_key_file_get_string (file, group, "file", NULL);
  disk->format = g_key_file_get_string (file, group, "format", NULL);
  disk->size = g_key_file_get_uint64 (file, group, "size", &number);
  if (number == NULL)
    disk->time_ns = g_key_file_get_int64 (file, group, "time-ns", &number);
  if (number == NULL)
    disk->allocated = g_key_file_get_uint64 (file, group, "allocated", &number);
  if (number == NULL)
    {
      guint64 cluster = g_key_file_get_uint64 (file, group, "cluster-size", &number);

      if (cluster > G_MAXUINT32)
        return refuse (error, path, "a disk's cluster size is too large");
      disk->cluster_size = (guint32)cluster;
    }
  if (disk->file == NULL || *disk->file == '\0' || disk->format == NULL || number != NULL ||
      disk->size > SIZE_MAX_DISK)
    return refuse (error, path, "a disk of it is not described");
  return TRUE;
}

static gboolean
read_head (AlcoveSnapshot *self, GKeyFile *file, const char *path, GError **error)
{
  g_autofree char *id = g_key_file_get_string (file, "snapshot", "id", NULL);
  g_autofree char *name = g_key_file_get_string (file, "snapshot", "name", NULL);
  g_autofree char *note = g_key_file_get_string (file, "snapshot", "note", NULL);
  g_autofree char *time = g_key_file_get_string (file, "snapshot", "time", NULL);
  g_autofree char *kind = g_key_file_get_string (file, "snapshot", "kind", NULL);
  g_autoptr (GDateTime) when = time != NULL ? g_date_time_new_from_iso8601 (time, NULL) : NULL;

  if (g_key_file_get_integer (file, "snapshot", "version", NULL) != VERSION)
    return refuse (error, path, "it was written by a newer Alcove, or is damaged");
  if (g_strcmp0 (id, self->id) != 0)
    return refuse (error, path, "it belongs to another snapshot");
  /* What lies in those years here may lie outside of them in UTC. */
  if (name == NULL || when == NULL || g_date_time_to_unix (when) < 0 ||
      g_date_time_to_unix (when) > TIME_MAX ||
      !alcove_snapshot_check_words (name, note != NULL ? note : "", NULL))
    return refuse (error, path, "name, note or time is damaged");
  g_free (self->name);
  self->name = g_steal_pointer (&name);
  if (note != NULL)
    {
      g_free (self->note);
      self->note = g_steal_pointer (&note);
    }
  self->time = g_date_time_to_unix (when) * G_USEC_PER_SEC + g_date_time_get_microsecond (when);
  self->automatic = g_strcmp0 (kind, "automatic") == 0;
  self->reason = g_key_file_get_string (file, "snapshot", "reason", NULL);
  self->with_memory = g_key_file_get_boolean (file, "snapshot", "with-memory", NULL);
  self->quiesced = g_key_file_get_boolean (file, "snapshot", "quiesced", NULL);
  self->parent = g_key_file_get_string (file, "snapshot", "parent", NULL);
  if (self->parent != NULL && !alcove_snapshot_id_is_valid (self->parent))
    return refuse (error, path, "its parent is damaged");
  return TRUE;
}

AlcoveSnapshot *
alcove_snapshot_read (const char *folder, const char *id, GError **error)
{
  g_autoptr (AlcoveSnapshot) self = alcove_snapshot_new (id);
  g_autofree char *path = g_build_filename (folder, ALCOVE_SNAPSHOT_CONF, NULL);
  g_autofree char *text = NULL;
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_auto (GStrv) groups = NULL;
  gsize length;

  self->folder = g_strdup (folder);
  text = alcove_files_read (path, CONF_MAX, &length, error);
  if (text == NULL)
    return NULL;
  if (!g_key_file_load_from_data (file, text, length, G_KEY_FILE_NONE, error))
    {
      alcove_error_make_valid (error);
      g_prefix_error (error, "%s: ", path);
      return NULL;
    }
  if (!read_head (self, file, path, error))
    return NULL;
  groups = g_key_file_get_groups (file, NULL);
  for (guint i = 0; groups[i] != NULL; i++)
    {
      if (!g_str_has_prefix (groups[i], "disk "))
        continue;
      if (!g_utf8_validate (groups[i], -1, NULL))
        {
          (void)refuse (error, path, "a disk's name is damaged");
          return NULL;
        }
      if (self->disks->len + self->excluded->len == DISKS_MAX)
        {
          (void)refuse (error, path, "it has too many disks");
          return NULL;
        }
      if (g_key_file_get_boolean (file, groups[i], "excluded", NULL))
        g_ptr_array_add (self->excluded, g_strdup (groups[i] + strlen ("disk ")));
      else if (!read_disk (self, file, groups[i], path, error))
        return NULL;
    }
  return g_steal_pointer (&self);
}

gboolean
alcove_snapshot_write (AlcoveSnapshot *self, GError **error)
{
  g_autofree char *path = g_build_filename (self->folder, ALCOVE_SNAPSHOT_CONF, NULL);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GDateTime) whole = g_date_time_new_from_unix_utc (self->time / G_USEC_PER_SEC);
  g_autoptr (GDateTime) when = g_date_time_add (whole, self->time % G_USEC_PER_SEC);
  g_autofree char *time = g_date_time_format_iso8601 (when);
  g_autofree char *text = NULL;
  gsize length;

  g_key_file_set_integer (file, "snapshot", "version", VERSION);
  g_key_file_set_string (file, "snapshot", "id", self->id);
  g_key_file_set_string (file, "snapshot", "name", self->name);
  g_key_file_set_string (file, "snapshot", "note", self->note);
  g_key_file_set_string (file, "snapshot", "time", time);
  if (self->parent != NULL)
    g_key_file_set_string (file, "snapshot", "parent", self->parent);
  g_key_file_set_string (file, "snapshot", "kind", self->automatic ? "automatic" : "manual");
  if (self->reason != NULL)
    g_key_file_set_string (file, "snapshot", "reason", self->reason);
  g_key_file_set_boolean (file, "snapshot", "with-memory", self->with_memory);
  g_key_file_set_boolean (file, "snapshot", "quiesced", self->quiesced);
  for (guint i = 0; i < self->disks->len; i++)
    {
      const AlcoveSnapshotDisk *disk = g_ptr_array_index (self->disks, i);
      g_autofree char *group = g_strconcat ("disk ", disk->name, NULL);

      g_key_file_set_string (file, group, "file", disk->file);
      g_key_file_set_string (file, group, "format", disk->format);
      g_key_file_set_string (file, group, "snapshot", self->id);
      g_key_file_set_uint64 (file, group, "size", disk->size);
      g_key_file_set_uint64 (file, group, "cluster-size", disk->cluster_size);
      g_key_file_set_int64 (file, group, "time-ns", disk->time_ns);
      g_key_file_set_uint64 (file, group, "allocated", disk->allocated);
    }
  for (guint i = 0; i < self->excluded->len; i++)
    {
      g_autofree char *group =
          g_strconcat ("disk ", (char *)g_ptr_array_index (self->excluded, i), NULL);

      g_key_file_set_boolean (file, group, "excluded", TRUE);
    }
  text = g_key_file_to_data (file, &length, NULL);
  return alcove_files_write (path, text, length, error);
}
