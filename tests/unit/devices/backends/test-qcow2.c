/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qcow2: images of qemu-img's with every option, hostile headers and tables, repair, several threads,
 * what an allocating write costs. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/backends/block/image.h"
#include "tests/unit/harness/fault-file.h"

#define SIZE (8u << 20)

typedef struct
{
  char *folder, *path, *raw;
  guint8 *model;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("alcove-qcow2-XXXXXX", NULL);
  g_assert_nonnull (f->folder);
  f->path = g_build_filename (f->folder, "image", NULL);
  f->raw = g_build_filename (f->folder, "raw", NULL);
  f->model = g_malloc0 (SIZE);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  GDir *dir = g_dir_open (f->folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (f->folder, name, NULL);

      g_unlink (path);
    }
  g_dir_close (dir);
  g_rmdir (f->folder);
  g_free (f->folder);
  g_free (f->path);
  g_free (f->raw);
  g_free (f->model);
}

/* ---- qemu-img ---- */

static gboolean
is_there (const char *program)
{
  g_autofree char *path = g_find_program_in_path (program);

  return path != NULL;
}

static gboolean
have (const char *program)
{
  if (!is_there (program))
    g_test_skip ("qemu-img is not installed");
  return is_there (program);
}

/* In the folder. (transfer full) what it said. */
static char *
run (Fixture *f, const char *line)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) argv = NULL;
  g_autofree char *out = NULL, *err = NULL;
  int status;

  g_assert_true (g_shell_parse_argv (line, NULL, &argv, NULL));
  g_spawn_sync (f->folder, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status,
                &error);
  g_assert_no_error (error);
  if (!g_spawn_check_wait_status (status, NULL))
    g_error ("%s: %s%s", line, out, err);
  return g_strconcat (out, err, NULL);
}

static void
must (Fixture *f, const char *line)
{
  g_free (run (f, line));
}

static BlockImage *
open_with (Fixture *f, BlockImageFlags flags)
{
  g_autoptr (GError) error = NULL;
  BlockImage *image = block_image_open (f->path, BLOCK_FORMAT_QCOW2, &flags, &error);

  g_assert_no_error (error);
  return image;
}

static BlockImage *
open_image (Fixture *f)
{
  return open_with (f, (BlockImageFlags){ .discard = TRUE });
}

static void
put (Fixture *f, BlockImage *image, guint64 offset, guint64 length, guint8 seed)
{
  for (guint64 i = 0; i < length; i++)
    f->model[offset + i] = (guint8)(seed + i / 512 * 7 + i);
  g_assert_cmpint (block_image_write (image, offset, f->model + offset, length), ==, 0);
}

static void
compare (Fixture *f, BlockImage *image)
{
  g_autofree guint8 *bytes = g_malloc (SIZE);

  g_assert_cmpint (block_image_read (image, 0, bytes, SIZE), ==, 0);
  for (guint i = 0; i < SIZE; i++)
    if (bytes[i] != f->model[i])
      g_error ("byte %u is %02x, not %02x", i, bytes[i], f->model[i]);
}

static void
work (Fixture *f, BlockImage *image)
{
  put (f, image, 100, 70000, 1);
  put (f, image, 1 << 20, 4096, 2);
  put (f, image, (3 << 20) + 4096, 1 << 20, 3);
  put (f, image, SIZE - 700, 700, 4);
  g_assert_cmpint (block_image_write_zeroes (image, 5000, 200000, TRUE), ==, 0);
  memset (f->model + 5000, 0, 200000);
  g_assert_cmpint (block_image_flush (image), ==, 0);
  put (f, image, 6000, 100, 5);
}

static void
judge (Fixture *f)
{
  g_assert_true (g_file_set_contents (f->raw, (char *)f->model, SIZE, NULL));
  must (f, "qemu-img check -q -f qcow2 image");
  must (f, "qemu-img compare -q -f raw -F qcow2 raw image");
}

/* Every option of its, written by it with some contents, read and written by us, judged by it. */
static void
test_made_by_qemu (Fixture *f, gconstpointer data)
{
  static const char *const options[] = {
    "compat=0.10",
    "compat=0.10,cluster_size=512",
    "compat=1.1,cluster_size=2M",
    "cluster_size=1024,refcount_bits=1",
    "cluster_size=4096,refcount_bits=2",
    "refcount_bits=4",
    "refcount_bits=8,preallocation=metadata",
    "refcount_bits=32,preallocation=falloc",
    "cluster_size=512,refcount_bits=64",
    "cluster_size=16384,preallocation=full",
    "lazy_refcounts=on",
    "extended_l2=on,cluster_size=16384",
    "extended_l2=on,cluster_size=2M",
    "extended_l2=on,preallocation=metadata",
    "compression_type=zstd",
    "data_file=data",
    "data_file=data,data_file_raw=on",
  };

  if (!have ("qemu-img"))
    return;
  for (guint i = 0; i < G_N_ELEMENTS (options); i++)
    {
      g_autofree char *create =
          g_strdup_printf ("qemu-img create -q -f qcow2 -o %s image %u", options[i], SIZE);
      BlockImage *image;

      g_test_message ("%s", options[i]);
      memset (f->model, 0, SIZE);
      must (f, create);
      memset (f->model + (2 << 20), 0xa5, 300000);
      must (f, "qemu-io -f qcow2 -c 'write -q -P 0xa5 2M 300000' image");
      image = open_image (f);
      compare (f, image);
      work (f, image);
      compare (f, image);
      block_image_close (image);
      judge (f);
      image = open_image (f);
      compare (f, image);
      block_image_close (image);
      g_unlink (f->path);
    }
}

static void
test_converted_by_qemu (Fixture *f, gconstpointer data)
{
  static const char *const options[] = { "cluster_size=512", "cluster_size=65536",
                                         "cluster_size=2M",
                                         "compression_type=zstd,cluster_size=4096",
                                         "compression_type=zstd,extended_l2=on" };

  if (!have ("qemu-img"))
    return;
  for (guint i = 0; i < G_N_ELEMENTS (options); i++)
    {
      g_autofree char *convert =
          g_strdup_printf ("qemu-img convert -q -c -f raw -O qcow2 -o %s raw image", options[i]);
      BlockCheckReport report;
      BlockImage *image;

      for (guint k = 0; k < SIZE; k++)
        f->model[k] = (guint8)(k >> 9 & 3 ? k >> 12 : 0);
      g_assert_true (g_file_set_contents (f->raw, (char *)f->model, SIZE, NULL));
      must (f, convert);
      image = open_image (f);
      compare (f, image);
      g_assert_true (image->ops->check (image, BLOCK_CHECK_LOOK, &report, NULL, NULL));
      g_assert_cmpuint (report.clusters_compressed, >, 0);
      g_assert_cmpuint (report.corruptions + report.leaks, ==, 0);
      block_check_report_clear (&report);
      work (f, image);
      compare (f, image);
      block_image_close (image);
      judge (f);
      g_unlink (f->path);
    }
}

static void
test_snapshots_of_qemu (Fixture *f, gconstpointer data)
{
  g_autoptr (GPtrArray) list = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *before = NULL;
  g_autofree char *said = NULL;
  BlockImage *image, *view;

  if (!have ("qemu-img"))
    return;
  must (f, "qemu-img create -q -f qcow2 image 8M");
  must (f, "qemu-io -f qcow2 -c 'write -q -P 1 0 1M' image");
  must (f, "qemu-img snapshot -c first image");
  must (f, "qemu-io -f qcow2 -c 'write -q -P 2 512k 1M' image");
  memset (f->model, 1, 1 << 20);
  before = g_memdup2 (f->model, SIZE);
  memset (f->model + (512 << 10), 2, 1 << 20);
  image = open_image (f);
  compare (f, image);
  list = image->ops->snapshot_list (image);
  g_assert_cmpuint (list->len, ==, 1);
  g_assert_cmpstr (((BlockSnapshot *)g_ptr_array_index (list, 0))->name, ==, "first");
  work (f, image);
  view = block_image_snapshot_open (image, "1", &error);
  g_assert_no_error (error);
  {
    g_autofree guint8 *bytes = g_malloc (SIZE);

    g_assert_cmpint (block_image_read (view, 0, bytes, SIZE), ==, 0);
    g_assert_cmpmem (bytes, SIZE, before, SIZE);
  }
  g_assert_false (block_image_snapshot_delete (image, "1", &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  block_image_close (view);
  g_assert_true (block_image_snapshot_create (image, NULL, "second", 7, &error));
  put (f, image, 4 << 20, 100000, 9);
  g_assert_false (block_image_snapshot_create (image, NULL, "second", 7, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  block_image_close (image);
  judge (f);
  said = run (f, "qemu-img snapshot -l image");
  g_assert_nonnull (strstr (said, "second"));
  must (f, "qemu-img snapshot -d first image");
  judge (f);
  must (f, "qemu-img snapshot -a second image");
  image = open_image (f);
  memset (f->model + (4 << 20) + 4096, 0, 0);
  g_assert_true (block_image_snapshot_delete (image, "2", NULL));
  block_image_close (image);
  must (f, "qemu-img check -q -f qcow2 image");
}

static void
test_bitmaps_of_qemu (Fixture *f, gconstpointer data)
{
  g_autoptr (GPtrArray) list = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *info = NULL;
  BlockBitmap *first;
  gboolean dirty;
  guint64 length;
  BlockImage *image;

  if (!have ("qemu-img"))
    return;
  must (f, "qemu-img create -q -f qcow2 image 8M");
  must (f, "qemu-img bitmap --add -g 64k image theirs");
  must (f, "qemu-img bitmap --add --disable image still");
  must (f, "qemu-io -f qcow2 -c 'write -q 1M 64k' image");
  image = open_image (f);
  list = image->ops->bitmap_list (image);
  g_assert_cmpuint (list->len, ==, 2);
  first = g_ptr_array_index (list, 0);
  g_assert_cmpstr (first->name, ==, "theirs");
  g_assert_true (first->recording && first->consistent);
  g_assert_cmpuint (first->granularity, ==, 65536);
  g_assert_cmpuint (first->dirty_bytes, ==, 65536);
  g_assert_true (image->ops->bitmap_map (image, "theirs", 0, &length, &dirty, NULL));
  g_assert_cmpuint (length, ==, 1 << 20);
  g_assert_false (dirty);
  put (f, image, 3 << 20, 100, 1);
  g_assert_true (image->ops->bitmap_add (image, "ours", 4096, &error));
  put (f, image, 4 << 20, 5000, 1);
  g_assert_true (image->ops->resize (image, 9 << 20, NULL, &error));
  block_image_close (image);
  must (f, "qemu-img check -q -f qcow2 image");
  info = run (f, "qemu-img info --output=json image");
  g_assert_nonnull (strstr (info, "\"ours\""));
  g_assert_nonnull (strstr (info, "\"theirs\""));
  g_assert_null (strstr (info, "in-use"));
  must (f, "qemu-io -f qcow2 -c 'write -q 8M 4k' image");
  image = open_image (f);
  g_ptr_array_unref (list);
  list = image->ops->bitmap_list (image);
  first = g_ptr_array_index (list, 0);
  g_assert_cmpuint (first->dirty_bytes, ==, 4 * 65536);
  g_assert_cmpuint (((BlockBitmap *)g_ptr_array_index (list, 2))->dirty_bytes, ==, 3 * 4096);
  g_assert_true (image->ops->bitmap_clear (image, "theirs", &error));
  g_assert_true (image->ops->bitmap_remove (image, "still", &error));
  g_assert_true (image->ops->bitmap_remove (image, "ours", &error));
  block_image_close (image);
  must (f, "qemu-img check -q -f qcow2 image");
  must (f, "qemu-img bitmap --remove image theirs");
  must (f, "qemu-img check -q -f qcow2 image");
}

/* ---- hostile ---- */

static BlockFile *
make_memory (const BlockCreateOptions *options)
{
  BlockFile *file = block_file_new_memory ("image", 0);
  g_autoptr (GError) error = NULL;

  block_qcow2_format (file, options, NULL, &error);
  g_assert_no_error (error);
  return file;
}

static void
poke (BlockFile *file, guint64 offset, guint size, guint64 value)
{
  guint64 be = GUINT64_TO_BE (value << (64 - size * 8));

  g_assert_cmpint (block_file_write (file, offset, &be, size), ==, 0);
}

static guint64
look (BlockFile *file, guint64 offset, guint size)
{
  guint64 be = 0;

  g_assert_cmpint (block_file_read (file, offset, &be, size), ==, 0);
  return GUINT64_FROM_BE (be) >> (64 - size * 8);
}

static void
test_hostile_headers (void)
{
  static const struct
  {
    guint offset, size;
    guint64 value;
    VmmErrorCode code;
    const char *words;
  } cases[] = {
    { 0, 4, 0x12345678, VMM_ERROR_INVALID, "not a qcow2 image" },
    { 4, 4, 4, VMM_ERROR_NOT_SUPPORTED, "version 4" },
    { 8, 8, 1 << 20, VMM_ERROR_INVALID, "outside its header" },
    { 20, 4, 8, VMM_ERROR_INVALID, "2^8" },
    { 20, 4, 22, VMM_ERROR_INVALID, "2^22" },
    { 20, 4, 0xffffffff, VMM_ERROR_INVALID, "2^4294967295" },
    { 24, 8, G_MAXUINT64, VMM_ERROR_INVALID, "too large" },
    { 24, 8, (guint64)1 << 50, VMM_ERROR_INVALID, "too small for the disk" },
    { 32, 4, 1, VMM_ERROR_NOT_SUPPORTED, "AES" },
    { 32, 4, 2, VMM_ERROR_NOT_SUPPORTED, "LUKS" },
    { 36, 4, 0xffffffff, VMM_ERROR_INVALID, "L1 table" },
    { 36, 4, 0, VMM_ERROR_INVALID, "L1 table is too small" },
    { 40, 8, 12345, VMM_ERROR_INVALID, "L1 table" },
    { 48, 8, G_MAXUINT64, VMM_ERROR_INVALID, "refcount table" },
    { 56, 4, 0xffffffff, VMM_ERROR_INVALID, "refcount table" },
    { 56, 4, 0, VMM_ERROR_INVALID, "no refcount table" },
    { 60, 4, 0xffffffff, VMM_ERROR_INVALID, "snapshot table" },
    { 72, 8, 2, VMM_ERROR_INVALID, "marked as damaged" },
    { 72, 8, 4, VMM_ERROR_INVALID, "another file" },
    { 72, 8, 8, VMM_ERROR_NOT_SUPPORTED, "compression" },
    { 72, 8, (guint64)1 << 40, VMM_ERROR_NOT_SUPPORTED, "bit 40" },
    { 96, 4, 7, VMM_ERROR_INVALID, "2^7 bits" },
    { 100, 4, 0xffffffff, VMM_ERROR_INVALID, "header has" },
    { 100, 4, 8, VMM_ERROR_INVALID, "header has 8" },
    { 116, 4, 0xfffffff0, VMM_ERROR_INVALID, "extension is longer" },
  };
  const BlockCreateOptions options = { .size = SIZE };
  const BlockImageFlags flags = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      BlockFile *file = make_memory (&options);
      g_autoptr (GError) error = NULL;

      poke (file, cases[i].offset, cases[i].size, cases[i].value);
      g_assert_null (block_image_open_qcow2 (file, &flags, &error));
      g_assert_error (error, VMM_ERROR, (int)cases[i].code);
      if (strstr (error->message, cases[i].words) == NULL)
        g_error ("case %u says: %s", i, error->message);
    }
}

static void
test_feature_named (void)
{
  const BlockCreateOptions options = { .size = SIZE };
  const BlockImageFlags flags = { 0 };
  BlockFile *file = make_memory (&options);
  g_autoptr (GError) error = NULL;

  /* The first name in the table becomes one of bit 9. */
  g_assert_cmphex (look (file, 112, 4), ==, 0x6803f857);
  poke (file, 121, 1, 9);
  g_assert_cmpint (block_file_write (file, 122, "time machine", 13), ==, 0);
  poke (file, 72, 8, 1 << 9);
  g_assert_null (block_image_open_qcow2 (file, &flags, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "time machine"));
}

/* An entry that points to metadata: nothing is written there, and the image says that it is damaged. */
static void
test_overlap (void)
{
  const BlockCreateOptions options = { .size = SIZE, .cluster_size = 4096 };
  const guint64 targets[] = { 0, 1, 2, 3 }; /* header, refcount table, block, L1 table */

  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      BlockFile *file = make_memory (&options), *copy;
      const BlockImageFlags flags = { 0 };
      g_autoptr (GError) error = NULL;
      BlockCheckReport report;
      BlockImage *image = block_image_open_qcow2 (file, &flags, NULL);
      g_autofree guint8 *bytes = g_malloc0 (1 << 20), *now = g_malloc0 (4096);
      guint64 l2, size, host = targets[i] * 4096;
      BlockImageInfo info;

      memset (bytes, 1, 4096);
      g_assert_cmpint (block_image_write (image, 0, bytes, 4096), ==, 0);
      g_assert_cmpint (block_image_flush (image), ==, 0);
      l2 = look (file, look (file, 40, 8), 8) & 0x00fffffffffffe00;
      size = (guint64)file->ops->get_size (file);
      g_assert_cmpuint (size, <=, 16 << 20);
      copy = block_file_new_memory ("copy", size);
      for (guint64 at = 0; at < size; at += 4096)
        {
          g_assert_cmpint (block_file_read (file, at, now, 4096), ==, 0);
          g_assert_cmpint (block_file_write (copy, at, now, 4096), ==, 0);
        }
      block_image_close (image);
      /* Not dirty: nobody counts anew at open. An offset of 0 is no place: the header is met by
       * a compressed cluster's. */
      poke (copy, 72, 8, 0);
      poke (copy, l2, 8, host | (guint64)1 << 63 | (host == 0 ? (guint64)1 << 62 : 0));
      image = block_image_open_qcow2 (copy, &flags, NULL);
      g_assert_nonnull (image);
      g_assert_cmpint (block_file_read (copy, host, bytes, 4096), ==, 0);
      memset (now, 0xee, 4096);
      if (host != 0)
        g_assert_cmpint (block_image_write (image, 0, now, 4096), ==, -EIO);
      else
        (void)block_image_write (image, 0, now, 4096);
      g_assert_cmpint (block_file_read (copy, host, now, 4096), ==, 0);
      if (host != 0)
        g_assert_cmpmem (now, 4096, bytes, 4096);
      image->ops->get_info (image, &info);
      g_assert_true (info.corrupt);
      g_assert_cmpint (block_image_write (image, 1 << 20, bytes, 4096), ==, -EIO);
      g_assert_cmphex (look (copy, 72, 8) & 2, ==, 2);
      g_assert_cmpint (block_image_read (image, 1 << 20, now, 4096), ==, 0);
      g_assert_true (image->ops->check (image, BLOCK_CHECK_REPAIR_ALL, &report, NULL, &error));
      /* The write took the compressed cluster's entry away before its place was looked at. */
      g_assert_cmpuint (report.corruptions > 0, ==, host != 0);
      g_assert_cmpuint (report.corruptions, ==, report.corruptions_fixed);
      block_check_report_clear (&report);
      g_assert_cmphex (look (copy, 72, 8) & 2, ==, 0);
      memset (bytes, 0x5a, 4096);
      g_assert_cmpint (block_image_write (image, 1 << 20, bytes, 4096), ==, 0);
      g_assert_cmpint (block_image_write (image, 0, bytes, 4096), ==, 0);
      g_assert_cmpint (block_image_read (image, 0, now, 4096), ==, 0);
      g_assert_cmpmem (now, 4096, bytes, 4096);
      block_image_close (image);
    }
}

/* ---- repair ---- */

static void
test_repair (Fixture *f, gconstpointer data)
{
  static const char *const breaks[] = { "counts", "table", "block", "entry", "marks" };

  for (guint i = 0; i < G_N_ELEMENTS (breaks); i++)
    {
      const BlockCreateOptions options = { .size = SIZE, .cluster_size = 4096 };
      const BlockFileFlags file_flags = { .lock = BLOCK_LOCK_EXCLUSIVE };
      g_autoptr (GError) error = NULL;
      BlockCheckReport report;
      BlockImage *image;
      BlockFile *file;
      guint64 table, block, l1, l2;

      memset (f->model, 0, SIZE);
      g_unlink (f->path);
      block_image_create (f->path, BLOCK_FORMAT_QCOW2, &options, NULL, &error);
      g_assert_no_error (error);
      image = open_image (f);
      work (f, image);
      g_assert_true (block_image_snapshot_create (image, NULL, "s", 0, NULL));
      put (f, image, 2 << 20, 200000, 8);
      block_image_close (image);
      file = block_file_open (f->path, &file_flags, &error);
      g_assert_no_error (error);
      table = look (file, 48, 8);
      block = look (file, table, 8);
      l1 = look (file, 40, 8);
      l2 = look (file, l1, 8) & 0x00fffffffffffe00;
      switch (i)
        {
        case 0: /* too low, too high */
          poke (file, block + l2 / 4096 * 2, 2, 0);
          poke (file, block + 12 * 2, 2, 9);
          break;
        case 1:
          poke (file, table, 8, 0x1234);
          break;
        case 2: /* in the L1 table's place */
          poke (file, table, 8, l1);
          break;
        case 3: /* a data cluster where the refcount table is */
          poke (file, l2 + 511 * 8, 8, table | (guint64)1 << 63);
          break;
        default:
          poke (file, l1, 8, look (file, l1, 8) ^ (guint64)1 << 63);
          break;
        }
      block_file_close (file);
      image = open_with (f, (BlockImageFlags){ .no_backing = TRUE });
      g_assert_true (image->ops->check (image, BLOCK_CHECK_LOOK, &report, NULL, &error));
      g_assert_no_error (error);
      if (report.corruptions == 0)
        g_error ("%s: not found", breaks[i]);
      block_check_report_clear (&report);
      g_assert_true (image->ops->check (image, BLOCK_CHECK_REPAIR_LEAKS | BLOCK_CHECK_REPAIR_ALL,
                                        &report, NULL, &error));
      if (report.corruptions != report.corruptions_fixed)
        g_error ("%s: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " repaired", breaks[i],
                 report.corruptions_fixed, report.corruptions);
      block_check_report_clear (&report);
      compare (f, image);
      put (f, image, 5 << 20, 300000, 3);
      block_image_close (image);
      if (is_there ("qemu-img"))
        judge (f);
      image = open_image (f);
      compare (f, image);
      g_assert_true (block_image_snapshot_delete (image, "1", &error));
      compare (f, image);
      block_image_close (image);
    }
}

/* ---- several threads ---- */

#define THREADS 4

typedef struct
{
  Fixture *f;
  BlockImage *image;
  guint number;
  gint *stop; /* atomic */
} Worker;

static gint64
fast_transfer (BlockPlan *plan, guint8 *bytes, gboolean write)
{
  gint64 done = 0;

  for (guint i = 0; i < plan->n_pieces; i++)
    {
      const BlockPlanPiece *p = &plan->pieces[i];

      if (p->file_offset < 0)
        memset (bytes + done, 0, p->length);
      else if (write)
        g_assert_cmpint (pwrite (plan->fd, bytes + done, p->length, p->file_offset), ==,
                         (gssize)p->length);
      else
        {
          ssize_t n = pread (plan->fd, bytes + done, p->length, p->file_offset);

          g_assert_cmpint (n, >=, 0);
          memset (bytes + done + n, 0, p->length - (gsize)n);
        }
      done += p->length;
    }
  return done;
}

/* Each has every fourth sector run of its own, so that clusters are everybody's. */
static gpointer
worker (gpointer data)
{
  Worker *w = data;
  g_autoptr (GRand) rand = g_rand_new_with_seed (w->number);
  guint8 bytes[2048];
  const BlockImageOps *ops = w->image->ops;

  for (guint i = 0; i < 1500; i++)
    {
      guint64 offset = ((guint64)g_rand_int_range (rand, 0, SIZE / 8192) * 4 + w->number) * 2048;
      guint64 length = 512 * (guint64)g_rand_int_range (rand, 1, 5);
      guint op = (guint)g_rand_int_range (rand, 0, 20);
      guint8 *model = w->f->model + offset;
      BlockPlan plan;

      if (op < 12)
        {
          gboolean write = op < 8;

          memset (bytes, (int)(i * 13 + w->number), length);
          if (op % 2 == 0 && ops->begin (w->image, write, offset, length, &plan))
            {
              g_assert_cmpint (fast_transfer (&plan, bytes, write), ==, (gint64)length);
              g_assert_cmpint (ops->end (w->image, &plan, 0), ==, 0);
            }
          else if (write)
            g_assert_cmpint (block_image_write (w->image, offset, bytes, length), ==, 0);
          else
            g_assert_cmpint (block_image_read (w->image, offset, bytes, length), ==, 0);
          if (write)
            memcpy (model, bytes, length);
          else
            g_assert_cmpmem (bytes, length, model, length);
        }
      else if (op < 17)
        {
          g_assert_cmpint (block_image_write_zeroes (w->image, offset, length, op & 1), ==, 0);
          memset (model, 0, length);
        }
      else if (op == 17 && i % 50 == 0)
        g_assert_cmpint (block_image_flush (w->image), ==, 0);
    }
  return NULL;
}

static gpointer
controller (gpointer data)
{
  Worker *w = data;
  g_autoptr (GError) error = NULL;

  for (guint i = 1; !g_atomic_int_get (w->stop) && i < 40; i++)
    {
      g_autofree char *id = g_strdup_printf ("%u", i);

      g_assert_true (block_image_snapshot_create (w->image, id, id, 0, &error));
      g_usleep (3000);
      if (i > 2)
        {
          g_autofree char *old = g_strdup_printf ("%u", i - 2);

          g_assert_true (block_image_snapshot_delete (w->image, old, &error));
        }
    }
  return NULL;
}

static void
test_threads (Fixture *f, gconstpointer data)
{
  static const BlockCreateOptions options[] = {
    { .size = SIZE, .cluster_size = 65536 },
    { .size = SIZE, .cluster_size = 16384, .extended_l2 = TRUE },
  };

  for (guint k = 0; k < G_N_ELEMENTS (options); k++)
    {
      g_autoptr (GError) error = NULL;
      Worker workers[THREADS], control;
      GThread *threads[THREADS], *other;
      BlockImage *image;
      gint stop = 0;

      memset (f->model, 0, SIZE);
      g_unlink (f->path);
      block_image_create (f->path, BLOCK_FORMAT_QCOW2, &options[k], NULL, &error);
      g_assert_no_error (error);
      image = open_with (f, (BlockImageFlags){ .discard = TRUE, .cache_size = 65536 });
      control = (Worker){ f, image, 0, &stop };
      other = g_thread_new ("control", controller, &control);
      for (guint i = 0; i < THREADS; i++)
        {
          workers[i] = (Worker){ f, image, i, &stop };
          threads[i] = g_thread_new ("worker", worker, &workers[i]);
        }
      for (guint i = 0; i < THREADS; i++)
        g_thread_join (threads[i]);
      g_atomic_int_set (&stop, 1);
      g_thread_join (other);
      compare (f, image);
      block_image_close (image);
      image = open_image (f);
      compare (f, image);
      block_image_close (image);
      if (is_there ("qemu-img"))
        judge (f);
    }
}

/* ---- what it costs ---- */

/* An allocating write in the steady state: one write, nothing else, until the flush. */
static void
test_cost (void)
{
  const BlockCreateOptions options = { .size = SIZE, .cluster_size = 16384 };
  HarnessFault count = { .calls = HARNESS_FAULT_ALL };
  const BlockImageFlags flags = { 0 };
  BlockImage *image = block_image_open_qcow2 (
      harness_fault_file_new (make_memory (&options), &count), &flags, NULL);
  guint8 bytes[4096] = { 1 };
  guint before;

  g_assert_cmpint (block_image_write (image, 0, bytes, 4096), ==, 0);
  g_assert_cmpint (block_image_flush (image), ==, 0);
  before = count.n_calls;
  for (guint i = 1; i < 100; i++)
    g_assert_cmpint (block_image_write (image, i * 65536, bytes, 4096), ==, 0);
  g_assert_cmpuint (count.n_calls - before, ==, 99);
  before = count.n_calls;
  g_assert_cmpint (block_image_flush (image), ==, 0);
  /* One slice of the L2 table, one barrier. */
  g_assert_cmpuint (count.n_calls - before, ==, 2);
  block_image_close (image);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add (name, Fixture, NULL, set_up, func, tear_down)
  ADD ("/qcow2/made-by-qemu", test_made_by_qemu);
  ADD ("/qcow2/converted-by-qemu", test_converted_by_qemu);
  ADD ("/qcow2/snapshots-of-qemu", test_snapshots_of_qemu);
  ADD ("/qcow2/bitmaps-of-qemu", test_bitmaps_of_qemu);
  g_test_add_func ("/qcow2/hostile-headers", test_hostile_headers);
  g_test_add_func ("/qcow2/feature-named", test_feature_named);
  g_test_add_func ("/qcow2/overlap", test_overlap);
  ADD ("/qcow2/repair", test_repair);
  ADD ("/qcow2/threads", test_threads);
  g_test_add_func ("/qcow2/cost", test_cost);
  return g_test_run ();
}
