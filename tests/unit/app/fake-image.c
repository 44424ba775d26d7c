/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fake-image.h"

#include <string.h>
#include "app/files.h"

typedef struct
{
  BlockImage parent;
  GKeyFile *file;
  char *path;
  gboolean writable;
} FakeImage;

static GKeyFile *
load (const char *path, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();

  return g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, error) ? g_steal_pointer (&file)
                                                                        : NULL;
}

static gboolean
save (GKeyFile *file, const char *path, GError **error)
{
  gsize length;
  g_autofree char *text = g_key_file_to_data (file, &length, NULL);

  return alcove_files_write (path, text, length, error);
}

void
fake_image_make (const char *path, const char *contents)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();

  g_key_file_set_string (file, "disk", "contents", contents);
  g_assert_true (save (file, path, NULL));
}

void
fake_image_write (const char *path, const char *contents)
{
  g_autoptr (GKeyFile) file = load (path, NULL);

  g_key_file_set_string (file, "disk", "contents", contents);
  g_assert_true (save (file, path, NULL));
}

char *
fake_image_read (const char *path)
{
  g_autoptr (GKeyFile) file = load (path, NULL);

  return g_key_file_get_string (file, "disk", "contents", NULL);
}

static int
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

GStrv
fake_image_list (const char *path)
{
  g_autoptr (GKeyFile) file = load (path, NULL);
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);
  g_autoptr (GPtrArray) ids = g_ptr_array_new ();

  for (guint i = 0; groups[i] != NULL; i++)
    if (strcmp (groups[i], "disk") != 0)
      g_ptr_array_add (ids, g_strdup (groups[i]));
  g_ptr_array_sort (ids, compare);
  g_ptr_array_add (ids, NULL);
  return (GStrv)g_ptr_array_free (g_steal_pointer (&ids), FALSE);
}

static void
fake_get_info (BlockImage *image, BlockImageInfo *ret_info)
{
  *ret_info =
      (BlockImageInfo){ .format = BLOCK_FORMAT_QCOW2, .size = 1 << 20, .cluster_size = 65536 };
}

static int
fake_flush (BlockImage *image)
{
  return 0;
}

static void
free_snapshot (gpointer data)
{
  block_snapshot_free (data);
}

static GPtrArray *
fake_list (BlockImage *image)
{
  FakeImage *self = (FakeImage *)image;
  g_auto (GStrv) ids = fake_image_list (self->path);
  GPtrArray *list = g_ptr_array_new_with_free_func (free_snapshot);

  for (guint i = 0; ids[i] != NULL; i++)
    {
      BlockSnapshot *snapshot = g_new0 (BlockSnapshot, 1);

      snapshot->id = g_strdup (ids[i]);
      snapshot->name = g_key_file_get_string (self->file, ids[i], "name", NULL);
      snapshot->time_ns = g_key_file_get_int64 (self->file, ids[i], "time", NULL);
      snapshot->disk_size = 1 << 20;
      g_ptr_array_add (list, snapshot);
    }
  return list;
}

static gboolean
fake_create (BlockImage *image, const BlockSnapshot *snapshot, GError **error)
{
  FakeImage *self = (FakeImage *)image;
  g_autofree char *contents = g_key_file_get_string (self->file, "disk", "contents", NULL);

  g_assert_true (self->writable);
  g_assert_false (g_key_file_has_group (self->file, snapshot->id));
  g_key_file_set_string (self->file, snapshot->id, "contents", contents);
  g_key_file_set_string (self->file, snapshot->id, "name", snapshot->name);
  g_key_file_set_int64 (self->file, snapshot->id, "time", snapshot->time_ns);
  return save (self->file, self->path, error);
}

static gboolean
fake_apply (BlockImage *image, const char *id, GError **error)
{
  FakeImage *self = (FakeImage *)image;
  g_autofree char *contents = g_key_file_get_string (self->file, id, "contents", NULL);

  g_assert_true (self->writable);
  g_key_file_set_string (self->file, "disk", "contents", contents);
  return save (self->file, self->path, error);
}

static gboolean
fake_delete (BlockImage *image, const char *id, GError **error)
{
  FakeImage *self = (FakeImage *)image;

  g_assert_true (self->writable);
  g_assert_true (g_key_file_remove_group (self->file, id, NULL));
  return save (self->file, self->path, error);
}

static void
fake_close (BlockImage *image)
{
  FakeImage *self = (FakeImage *)image;

  g_key_file_unref (self->file);
  g_free (self->path);
  g_free (self);
}

static const BlockImageOps fake_ops = {
  .name = "fake",
  .get_info = fake_get_info,
  .flush = fake_flush,
  .snapshot_list = fake_list,
  .snapshot_create = fake_create,
  .snapshot_apply = fake_apply,
  .snapshot_delete = fake_delete,
  .close = fake_close,
};

static BlockImage *
fake_open (const AlcoveDiskAccess *access,
           const char *path,
           const char *format,
           gboolean writable,
           GError **error)
{
  g_autoptr (GKeyFile) file = load (path, error);
  FakeImage *self;

  g_assert_cmpstr (format, ==, "qcow2");
  if (file == NULL)
    return NULL;
  self = g_new0 (FakeImage, 1);
  self->parent.ops = &fake_ops;
  self->file = g_steal_pointer (&file);
  self->path = g_strdup (path);
  self->writable = writable;
  return &self->parent;
}

const AlcoveDiskAccess *
fake_image_get_access (void)
{
  static const AlcoveDiskAccess access = { .open = fake_open, .forget = alcove_disk_access_forget };

  return &access;
}
