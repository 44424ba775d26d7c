/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Images converted, compacted, resized, compared, backed up, rebased; qemu-img judges what we wrote. */
#include "app/disk-tools.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB  (1024 * 1024)
#define SIZE (24 * MIB + 512)

typedef struct
{
  char *folder, *qemu_img;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("alcove-disk-XXXXXX", NULL);
  f->qemu_img = g_find_program_in_path ("qemu-img");
}

static guint
count_files (Fixture *f)
{
  g_autoptr (GDir) dir = g_dir_open (f->folder, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_autoptr (GDir) dir = g_dir_open (f->folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (f->folder, name, NULL);

      /* No part of a file that was not finished. */
      g_assert_false (g_str_has_prefix (name, "."));
      g_assert_cmpint (g_unlink (path), ==, 0);
    }
  g_assert_cmpint (g_rmdir (f->folder), ==, 0);
  g_free (f->folder);
  g_free (f->qemu_img);
}

static char *
path_of (Fixture *f, const char *name)
{
  return g_build_filename (f->folder, name, NULL);
}

static void
scribble (const char *path, guint32 seed, guint n, guint64 size)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  g_autofree guint8 *buffer = g_malloc (200000);
  int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

  g_assert_cmpint (ftruncate (fd, (off_t)size), ==, 0);
  for (guint i = 0; i < n; i++)
    {
      guint32 length = (guint32)g_rand_int_range (rand, 1, 200000);
      gint32 at = g_rand_int_range (rand, 0, (gint32)(size - length));

      for (guint32 k = 0; k < length; k++)
        buffer[k] = i % 3 == 0 ? 'a' : (guint8)g_rand_int (rand);
      g_assert_cmpint (pwrite (fd, buffer, length, at), ==, length);
    }
  close (fd);
}

static BlockImage *
open_for_writing (const char *path, BlockFormat format)
{
  const BlockImageFlags flags = { 0 };
  g_autoptr (GError) error = NULL;
  BlockImage *image = block_image_open (path, format, &flags, &error);

  g_assert_no_error (error);
  return image;
}

static guint64
allocated (const char *path)
{
  struct stat st;

  g_assert_cmpint (stat (path, &st), ==, 0);
  return (guint64)st.st_blocks * 512;
}

static void
expect_identical (const char *a, BlockFormat format_a, const char *b, BlockFormat format_b)
{
  AlcoveDiskComparison comparison;
  g_autoptr (GError) error = NULL;

  g_assert_true (alcove_disk_compare (a, format_a, b, format_b, NULL, &comparison, &error));
  g_assert_no_error (error);
  g_assert_true (comparison.identical);
}

static void
qemu_img (Fixture *f, const char *const *arguments)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autofree char *out = NULL, *err = NULL;
  int status = 0;

  if (f->qemu_img == NULL)
    return;
  g_ptr_array_add (argv, f->qemu_img);
  for (; *arguments != NULL; arguments++)
    g_ptr_array_add (argv, (char *)*arguments);
  g_ptr_array_add (argv, NULL);
  g_assert_true (g_spawn_sync (NULL, (char **)argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out,
                               &err, &status, NULL));
  if (!g_spawn_check_wait_status (status, NULL))
    g_error ("qemu-img: %s%s", out, err);
}
#define QEMU_IMG(f, ...) qemu_img (f, (const char *const[]){ __VA_ARGS__, NULL })

static void
convert (const char *from, BlockFormat from_format, const char *to, BlockFormat to_format)
{
  const AlcoveDiskConvertSpec spec = {
    .from = from, .from_format = from_format, .to = to, .to_format = to_format
  };
  g_autoptr (GError) error = NULL;

  g_assert_true (alcove_disk_convert (&spec, NULL, &error));
  g_assert_no_error (error);
}

static void
test_zero (void)
{
  g_autofree guint8 *buffer = g_malloc0 (5000);

  for (gsize length = 1; length < 5000; length += 37)
    {
      g_assert_true (alcove_disk_is_zero (buffer, length));
      for (gsize at = 0; at < length; at += MAX (length / 9, 1))
        {
          buffer[at] = 1;
          g_assert_false (alcove_disk_is_zero (buffer, length));
          buffer[at] = 0;
        }
      buffer[length - 1] = 0x80;
      g_assert_false (alcove_disk_is_zero (buffer, length));
      buffer[length - 1] = 0;
    }
}

static void
test_convert_raw (Fixture *f, gconstpointer data)
{
  g_autofree char *a = path_of (f, "a.raw"), *b = path_of (f, "b.raw");
  g_autoptr (GError) error = NULL;
  const AlcoveDiskConvertSpec spec = {
    .from = a, .from_format = BLOCK_FORMAT_RAW, .to = b, .to_format = BLOCK_FORMAT_RAW
  };
  int fd;

  scribble (a, 1, 20, SIZE);
  /* Written zeroes become holes. */
  fd = open (a, O_WRONLY | O_CLOEXEC);
  for (guint i = 0; i < 64; i++)
    {
      static const guint8 zeroes[65536];

      g_assert_cmpint (pwrite (fd, zeroes, sizeof zeroes, 8 * MIB + i * 65536), ==, sizeof zeroes);
    }
  close (fd);
  convert (a, BLOCK_FORMAT_RAW, b, BLOCK_FORMAT_RAW);
  expect_identical (a, BLOCK_FORMAT_RAW, b, BLOCK_FORMAT_RAW);
  g_assert_cmpuint (allocated (b), <, allocated (a));
  QEMU_IMG (f, "compare", "-f", "raw", "-F", "raw", a, b);
  g_assert_false (alcove_disk_convert (&spec, NULL, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "there already"));
}

typedef struct
{
  guint n, limit;
  guint64 last;
} Steps;

static gboolean
on_step (guint64 done, guint64 total, gpointer user_data)
{
  Steps *steps = user_data;

  g_assert_cmpuint (done, <=, total);
  g_assert_cmpuint (done, >=, steps->last);
  steps->last = done;
  return ++steps->n < steps->limit;
}

static void
test_cancel (Fixture *f, gconstpointer data)
{
  g_autofree char *a = path_of (f, "a.raw"), *b = path_of (f, "b.raw");
  g_autoptr (GError) error = NULL;
  Steps steps = { .limit = 1 };
  const BlockProgress progress = { on_step, &steps };
  const AlcoveDiskConvertSpec spec = {
    .from = a, .from_format = BLOCK_FORMAT_RAW, .to = b, .to_format = BLOCK_FORMAT_RAW
  };

  scribble (a, 1, 20, SIZE);
  g_assert_false (alcove_disk_convert (&spec, &progress, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_CANCELLED);
  g_assert_cmpuint (count_files (f), ==, 1);
  g_clear_error (&error);
  steps = (Steps){ .limit = G_MAXUINT };
  g_assert_true (alcove_disk_convert (&spec, &progress, &error));
  g_assert_cmpuint (steps.last, ==, SIZE);
}

static void
test_in_use (Fixture *f, gconstpointer data)
{
  g_autofree char *a = path_of (f, "a.raw"), *b = path_of (f, "b.raw");
  g_autoptr (GError) error = NULL;
  const AlcoveDiskConvertSpec spec = {
    .from = a, .from_format = BLOCK_FORMAT_RAW, .to = b, .to_format = BLOCK_FORMAT_RAW
  };
  g_autoptr (GPtrArray) chain = NULL;
  BlockImage *image;

  scribble (a, 1, 3, SIZE);
  image = open_for_writing (a, BLOCK_FORMAT_RAW);
  g_assert_false (alcove_disk_convert (&spec, NULL, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (alcove_disk_resize (a, BLOCK_FORMAT_RAW, 2 * SIZE, FALSE, NULL, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (alcove_disk_compact (a, BLOCK_FORMAT_RAW, NULL, NULL, NULL, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  /* Looking is always possible. */
  chain = alcove_disk_get_chain (a, BLOCK_FORMAT_RAW, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (chain->len, ==, 1);
  block_image_close (image);
  g_assert_true (alcove_disk_convert (&spec, NULL, &error));
}

static void
test_resize (Fixture *f, gconstpointer data)
{
  BlockFormat format = GPOINTER_TO_UINT (data);
  g_autofree char *raw = path_of (f, "raw"), *a = path_of (f, "a");
  g_autoptr (GError) error = NULL;
  AlcoveDiskComparison comparison;
  int fd = open (raw, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

  g_assert_cmpint (ftruncate (fd, 10 * MIB), ==, 0);
  g_assert_cmpint (pwrite (fd, "x", 1, 6 * MIB + 77), ==, 1);
  close (fd);
  convert (raw, BLOCK_FORMAT_RAW, a, format);
  g_assert_true (alcove_disk_resize (a, format, 20 * MIB, FALSE, NULL, &error));
  g_assert_no_error (error);
  expect_identical (raw, BLOCK_FORMAT_RAW, a, format);
  g_assert_true (alcove_disk_resize (a, format, 7 * MIB, FALSE, NULL, &error));
  g_assert_no_error (error);
  expect_identical (raw, BLOCK_FORMAT_RAW, a, format);
  g_assert_false (alcove_disk_resize (a, format, 6 * MIB, FALSE, NULL, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "6291533")); /* 6 MiB + 77 */
  g_clear_error (&error);
  expect_identical (raw, BLOCK_FORMAT_RAW, a, format);
  g_assert_false (alcove_disk_resize (a, format, 100, FALSE, NULL, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_true (alcove_disk_resize (a, format, 6 * MIB, TRUE, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (alcove_disk_compare (raw, BLOCK_FORMAT_RAW, a, format, NULL, &comparison, &error));
  g_assert_false (comparison.identical);
  g_assert_cmpuint (comparison.offset, ==, 6 * MIB + 77);
  g_assert_cmpuint (comparison.size_b, ==, 6 * MIB);
}

/* The disk is read back by the tool of others. */
static void
expect_same_by_judge (Fixture *f, const char *raw, const char *image)
{
  expect_identical (raw, BLOCK_FORMAT_RAW, image, BLOCK_FORMAT_QCOW2);
  QEMU_IMG (f, "check", "-f", "qcow2", image);
  QEMU_IMG (f, "compare", "-f", "raw", "-F", "qcow2", raw, image);
}

static void
test_convert_qcow2 (Fixture *f, gconstpointer data)
{
  static const struct
  {
    BlockCreateOptions create;
    gboolean compress;
  } cases[] = {
    { { 0 }, FALSE },
    { { 0 }, TRUE },
    { { .compress_zstd = TRUE }, TRUE },
    { { .cluster_size = 4096 }, FALSE },
    { { .cluster_size = 2 * MIB }, TRUE },
    { { .extended_l2 = TRUE }, FALSE },
    { { .version = 2 }, FALSE },
    { { .lazy_refcounts = TRUE }, FALSE },
  };
  g_autofree char *raw = path_of (f, "a.raw"), *again = path_of (f, "again.raw");

  scribble (raw, 2, 30, SIZE);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *to = g_strdup_printf ("%s/%zu.qcow2", f->folder, i);
      g_autoptr (GError) error = NULL;
      const AlcoveDiskConvertSpec spec = { .from = raw,
                                           .from_format = BLOCK_FORMAT_RAW,
                                           .to = to,
                                           .to_format = BLOCK_FORMAT_QCOW2,
                                           .create = cases[i].create,
                                           .compress = cases[i].compress };

      g_assert_true (alcove_disk_convert (&spec, NULL, &error));
      g_assert_no_error (error);
      expect_same_by_judge (f, raw, to);
      if (cases[i].compress && cases[i].create.cluster_size == 0)
        g_assert_cmpuint (allocated (to), <, allocated (raw));
    }
  {
    g_autofree char *first = g_build_filename (f->folder, "1.qcow2", NULL);

    convert (first, BLOCK_FORMAT_QCOW2, again, BLOCK_FORMAT_RAW);
    QEMU_IMG (f, "compare", "-f", "raw", "-F", "raw", raw, again);
  }
}

static void
fill (const char *path, BlockFormat format, guint64 offset, gsize length, int byte)
{
  g_autofree guint8 *buffer = g_malloc (length);
  BlockImage *image = open_for_writing (path, format);

  memset (buffer, byte, length);
  g_assert_cmpint (block_image_write (image, offset, buffer, length), ==, 0);
  g_assert_cmpint (block_image_flush (image), ==, 0);
  block_image_close (image);
}

static void
test_compact (Fixture *f, gconstpointer data)
{
  BlockFormat format = GPOINTER_TO_UINT (data) & 0xff;
  gboolean snapshots = (GPOINTER_TO_UINT (data) & 0x100) != 0;
  g_autofree char *raw = path_of (f, "a.raw"), *a = path_of (f, "a"), *snap = path_of (f, "snap");
  g_autoptr (GError) error = NULL;
  guint64 before = 0, after = 0;

  scribble (raw, 3, 30, SIZE);
  convert (raw, BLOCK_FORMAT_RAW, a, format);
  if (snapshots)
    {
      BlockImage *image = open_for_writing (a, format);

      g_assert_true (block_image_snapshot_create (image, NULL, "before", 0, &error));
      g_assert_no_error (error);
      block_image_close (image);
    }
  fill (a, format, 4 * MIB, 8 * MIB, 0);
  fill (raw, BLOCK_FORMAT_RAW, 4 * MIB, 8 * MIB, 0);
  g_assert_cmpint (g_chmod (a, 0640), ==, 0);
  g_assert_true (alcove_disk_compact (a, format, NULL, &before, &after, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (after, <, before);
  g_assert_cmpuint (after, ==, allocated (a));
  expect_identical (raw, BLOCK_FORMAT_RAW, a, format);
  if (format == BLOCK_FORMAT_QCOW2)
    {
      GStatBuf st;

      expect_same_by_judge (f, raw, a);
      g_assert_cmpint (g_stat (a, &st), ==, 0);
      g_assert_cmpuint (st.st_mode & 07777, ==, 0640);
    }
  if (snapshots)
    {
      const AlcoveDiskConvertSpec spec = { .from = a,
                                           .from_format = format,
                                           .from_snapshot = "1",
                                           .to = snap,
                                           .to_format = BLOCK_FORMAT_RAW };

      g_unlink (raw);
      scribble (raw, 3, 30, SIZE);
      g_assert_true (alcove_disk_convert (&spec, NULL, &error));
      g_assert_no_error (error);
      expect_identical (raw, BLOCK_FORMAT_RAW, snap, BLOCK_FORMAT_RAW);
    }
}

static void
make_overlay (Fixture *f, const char *path, const char *backing)
{
  const BlockCreateOptions options = { .backing_file = backing, .backing_format = "qcow2" };
  g_autoptr (GError) error = NULL;

  g_assert_true (block_image_create (path, BLOCK_FORMAT_QCOW2, &options, NULL, &error));
  g_assert_no_error (error);
}

/* A disk on a backing image: compacted it keeps what it hides; alone it is the same; committed the
 * backing image is. */
static void
test_chain (Fixture *f, gconstpointer data)
{
  g_autofree char *raw = path_of (f, "a.raw"), *base = path_of (f, "base"),
                  *top = path_of (f, "top");
  g_autofree char *other = path_of (f, "other");
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) chain = NULL;
  BlockImageInfo info;
  BlockImage *image;

  scribble (raw, 4, 30, SIZE);
  convert (raw, BLOCK_FORMAT_RAW, base, BLOCK_FORMAT_QCOW2);
  make_overlay (f, top, "base");
  fill (top, BLOCK_FORMAT_QCOW2, 3 * MIB + 5, 2 * MIB, 0); /* zeroes over data */
  fill (top, BLOCK_FORMAT_QCOW2, 9 * MIB, 100000, 'z');
  fill (raw, BLOCK_FORMAT_RAW, 3 * MIB + 5, 2 * MIB, 0);
  fill (raw, BLOCK_FORMAT_RAW, 9 * MIB, 100000, 'z');
  expect_same_by_judge (f, raw, top);
  chain = alcove_disk_get_chain (top, BLOCK_FORMAT_QCOW2, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (chain->len, ==, 2);
  g_assert_cmpstr (((AlcoveDiskImage *)g_ptr_array_index (chain, 0))->backing_file, ==, "base");

  g_assert_true (alcove_disk_compact (top, BLOCK_FORMAT_QCOW2, NULL, NULL, NULL, &error));
  g_assert_no_error (error);
  expect_same_by_judge (f, raw, top);
  image = open_for_writing (top, BLOCK_FORMAT_QCOW2);
  image->ops->get_info (image, &info);
  g_assert_cmpstr (info.backing_file, ==, "base");
  block_image_close (image);

  g_assert_cmpint (g_rename (base, other), ==, 0);
  g_clear_pointer (&chain, g_ptr_array_unref);
  chain = alcove_disk_get_chain (top, BLOCK_FORMAT_QCOW2, &error);
  g_assert_no_error (error);
  g_assert_nonnull (((AlcoveDiskImage *)g_ptr_array_index (chain, 0))->problem);
  g_assert_true (
      alcove_disk_rebase (top, BLOCK_FORMAT_QCOW2, "other", "qcow2", TRUE, NULL, &error));
  g_assert_no_error (error);
  expect_same_by_judge (f, raw, top);

  g_assert_true (alcove_disk_commit (top, BLOCK_FORMAT_QCOW2, NULL, &error));
  g_assert_no_error (error);
  expect_same_by_judge (f, raw, other);

  g_assert_true (alcove_disk_rebase (top, BLOCK_FORMAT_QCOW2, NULL, NULL, FALSE, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpint (g_unlink (other), ==, 0);
  expect_same_by_judge (f, raw, top);
}

static void
test_rebase_onto_other (Fixture *f, gconstpointer data)
{
  g_autofree char *a = path_of (f, "a.raw"), *b = path_of (f, "b.raw");
  g_autofree char *base = path_of (f, "base"), *other = path_of (f, "other"),
                  *top = path_of (f, "top");
  g_autoptr (GError) error = NULL;

  scribble (a, 5, 20, SIZE);
  scribble (b, 6, 20, SIZE - 3 * MIB); /* shorter */
  convert (a, BLOCK_FORMAT_RAW, base, BLOCK_FORMAT_QCOW2);
  convert (b, BLOCK_FORMAT_RAW, other, BLOCK_FORMAT_QCOW2);
  make_overlay (f, top, "base");
  fill (top, BLOCK_FORMAT_QCOW2, MIB, 50000, 'q');
  fill (a, BLOCK_FORMAT_RAW, MIB, 50000, 'q');
  g_assert_true (
      alcove_disk_rebase (top, BLOCK_FORMAT_QCOW2, "other", "qcow2", FALSE, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpint (g_unlink (base), ==, 0);
  expect_same_by_judge (f, a, top);
}

static void
test_backup (Fixture *f, gconstpointer data)
{
  g_autofree char *raw = path_of (f, "a.raw"), *disk = path_of (f, "disk");
  g_autofree char *full = path_of (f, "full"), *first = path_of (f, "first");
  g_autofree char *second = path_of (f, "second");
  AlcoveDiskBackupSpec spec = { .from = disk,
                                .from_format = BLOCK_FORMAT_QCOW2,
                                .bitmap = "daily" };
  AlcoveDiskCopyResult result = { 0 };
  g_autoptr (GError) error = NULL;

  scribble (raw, 7, 30, SIZE);
  convert (raw, BLOCK_FORMAT_RAW, disk, BLOCK_FORMAT_QCOW2);
  spec.to = first;
  spec.base = full;
  g_assert_false (alcove_disk_backup (&spec, NULL, &result, &error)); /* no bitmap yet */
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  spec.to = full;
  spec.base = NULL;
  g_assert_true (alcove_disk_backup (&spec, NULL, &result, &error));
  g_assert_no_error (error);
  expect_same_by_judge (f, raw, full);

  fill (disk, BLOCK_FORMAT_QCOW2, 2 * MIB, 70000, 'n');
  fill (disk, BLOCK_FORMAT_QCOW2, 12 * MIB, 2 * MIB, 0);
  fill (raw, BLOCK_FORMAT_RAW, 2 * MIB, 70000, 'n');
  fill (raw, BLOCK_FORMAT_RAW, 12 * MIB, 2 * MIB, 0);
  spec.to = first;
  spec.base = full;
  g_assert_true (alcove_disk_backup (&spec, NULL, &result, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (result.data_bytes, <, MIB);
  expect_same_by_judge (f, raw, first);

  fill (disk, BLOCK_FORMAT_QCOW2, 20 * MIB + 9, 10, 'm');
  fill (raw, BLOCK_FORMAT_RAW, 20 * MIB + 9, 10, 'm');
  spec.to = second;
  spec.base = first;
  g_assert_true (alcove_disk_backup (&spec, NULL, &result, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (result.data_bytes, <=, 2 * 65536);
  expect_same_by_judge (f, raw, second);
  QEMU_IMG (f, "check", "-f", "qcow2", disk);
}

static void
test_map (Fixture *f, gconstpointer data)
{
  g_autofree char *raw = path_of (f, "a.raw");
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) map = NULL;
  guint64 at = 0;
  int fd = open (raw, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

  g_assert_cmpint (ftruncate (fd, SIZE), ==, 0);
  g_assert_cmpint (pwrite (fd, "x", 1, MIB), ==, 1);
  close (fd);
  map = alcove_disk_get_map (raw, BLOCK_FORMAT_RAW, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (map->len, >=, 1);
  for (guint i = 0; i < map->len; i++)
    {
      const BlockExtent *extent = &g_array_index (map, BlockExtent, i);

      g_assert_cmpuint (extent->offset, ==, at);
      at += extent->length;
    }
  g_assert_cmpuint (at, ==, SIZE);
}

static gboolean
can_qcow2 (void)
{
  g_autofree char *path = g_strdup_printf ("/tmp/alcove-qcow2-%08x", g_random_int ());
  const BlockCreateOptions options = { .size = MIB };
  gboolean can = block_image_create (path, BLOCK_FORMAT_QCOW2, &options, NULL, NULL);

  g_unlink (path);
  return can;
}

#define ADD(path, function, data)                                                                  \
  g_test_add ("/disk-tools/" path, Fixture, GUINT_TO_POINTER (data), set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/disk-tools/zero", test_zero);
  ADD ("convert/raw", test_convert_raw, 0);
  ADD ("cancel", test_cancel, 0);
  ADD ("in-use", test_in_use, 0);
  ADD ("map", test_map, 0);
  ADD ("resize/raw", test_resize, BLOCK_FORMAT_RAW);
  ADD ("compact/raw", test_compact, BLOCK_FORMAT_RAW);
  if (can_qcow2 ())
    {
      ADD ("convert/qcow2", test_convert_qcow2, 0);
      ADD ("resize/qcow2", test_resize, BLOCK_FORMAT_QCOW2);
      ADD ("compact/qcow2", test_compact, BLOCK_FORMAT_QCOW2);
      ADD ("compact/snapshots", test_compact, BLOCK_FORMAT_QCOW2 | 0x100);
      ADD ("chain", test_chain, 0);
      ADD ("rebase", test_rebase_onto_other, 0);
      ADD ("backup", test_backup, 0);
    }
  return g_test_run ();
}
