/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random operations on qcow2 images beside a model in memory; qemu-img is the judge after each batch.
 *
 *   test-qcow2-random [--seed N] [--seconds N] [--keep]
 *
 * Without arguments: a few seconds, with a fixed seed. It prints the seed of a round that fails;
 * --keep leaves the files. */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/backends/block/image.h"

#define MAX_SNAPSHOTS 6
#define OPS_PER_BATCH 40

typedef struct
{
  char *id;
  guint8 *data;
  guint64 size;
} Shadow;

typedef struct
{
  GRand *rand;
  char *folder, *path, *backing_path, *data_path, *raw_path;
  BlockCreateOptions options;
  BlockImage *image;
  guint8 *model; /* size bytes */
  guint64 size, backing_size, max_size;
  guint8 *backing;
  Shadow snapshots[MAX_SNAPSHOTS];
  guint n_snapshots;
  guint64 seed;
  GString *log;
} Round;

static guint64
below (Round *r, guint64 n)
{
  return n <= 1 ? 0 : ((guint64)g_rand_int (r->rand) << 32 | g_rand_int (r->rand)) % n;
}

static void G_GNUC_NORETURN G_GNUC_PRINTF (2, 3) fail (Round *r, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_printerr ("seed %" G_GUINT64_FORMAT ": %s\nlast operations:\n%s", r->seed, text, r->log->str);
  g_assert_not_reached ();
}

static void G_GNUC_PRINTF (2, 3) note (Round *r, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  if (r->log->len > 6000)
    g_string_erase (r->log, 0, 3000);
  g_string_append_vprintf (r->log, format, args);
  g_string_append_c (r->log, '\n');
  va_end (args);
}

/* ---- the judge ---- */

static gboolean
run (const char *const *argv, char **ret_output)
{
  g_autofree char *out = NULL, *err = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  if (!g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err,
                     &status, &error))
    g_error ("%s", error->message);
  if (ret_output != NULL)
    *ret_output = g_strconcat (out, err, NULL);
  return g_spawn_check_wait_status (status, NULL);
}

static void
judge (Round *r)
{
  const char *check[] = { "qemu-img", "check", "-q", "-f", "qcow2", r->path, NULL };
  const char *compare[] = { "qemu-img", "compare", "-q",        "-f",    "raw",
                            "-F",       "qcow2",   r->raw_path, r->path, NULL };
  g_autofree char *output = NULL;

  if (!run (check, &output))
    fail (r, "qemu-img check: %s", output);
  g_clear_pointer (&output, g_free);
  g_assert_true (g_file_set_contents (r->raw_path, (char *)r->model, (gssize)r->size, NULL));
  if (!run (compare, &output))
    fail (r, "qemu-img compare: %s", output);
  for (guint i = 0; i < r->n_snapshots; i++)
    {
      g_autofree char *option = g_strdup_printf ("snapshot.id=%s", r->snapshots[i].id);
      g_autofree char *copy = g_strconcat (r->raw_path, ".snapshot", NULL);
      const char *convert[] = { "qemu-img", "convert", "-f",    "qcow2", "-O", "raw",
                                "-l",       option,    r->path, copy,    NULL };
      g_autofree char *bytes = NULL, *said = NULL;
      gsize n;

      if (below (r, 3) != 0)
        continue;
      if (!run (convert, &said))
        fail (r, "qemu-img convert -l: %s", said);
      g_assert_true (g_file_get_contents (copy, &bytes, &n, NULL));
      /* It gives every snapshot the size of the disk now. */
      if (n < MIN (r->size, r->snapshots[i].size) ||
          memcmp (bytes, r->snapshots[i].data, MIN (n, r->snapshots[i].size)) != 0)
        fail (r, "snapshot %s differs", r->snapshots[i].id);
      g_unlink (copy);
    }
}

/* ---- making and opening ---- */

static void
open_it (Round *r)
{
  g_autoptr (GError) error = NULL;
  BlockImageFlags flags = { .discard = below (r, 2), .cache_size = below (r, 2) ? 65536 : 0 };

  r->image = block_image_open (r->path, BLOCK_FORMAT_QCOW2, &flags, &error);
  if (r->image == NULL)
    fail (r, "open: %s", error->message);
}

static void
close_it (Round *r)
{
  g_clear_pointer (&r->image, block_image_close);
}

static void
fill (Round *r, guint8 *data, gsize length)
{
  switch (below (r, 4))
    {
    case 0:
      memset (data, 0, length);
      break;
    case 1:
      memset (data, (int)below (r, 256), length);
      break;
    case 2: /* half of it compresses */
      for (gsize i = 0; i < length; i++)
        data[i] = i / 64 % 2 ? (guint8)i : (guint8)g_rand_int (r->rand);
      break;
    default:
      for (gsize i = 0; i < length; i += 4)
        {
          guint32 v = g_rand_int (r->rand);

          memcpy (data + i, &v, MIN (4, length - i));
        }
      break;
    }
}

static void
make_backing (Round *r)
{
  g_autoptr (GError) error = NULL;
  BlockCreateOptions options = { .size = r->backing_size, .cluster_size = 512u << below (r, 8) };
  BlockFormat format = below (r, 2) ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
  BlockImageFlags flags = { 0 };
  BlockImage *image;

  if (!block_image_create (r->backing_path, format, &options, NULL, &error))
    fail (r, "create backing: %s", error->message);
  image = block_image_open (r->backing_path, format, &flags, &error);
  g_assert_no_error (error);
  r->backing = g_malloc0 (r->backing_size);
  for (guint i = 0; i < 10; i++)
    {
      guint64 offset = below (r, r->backing_size), n = 1 + below (r, r->backing_size - offset);

      fill (r, r->backing + offset, n);
      g_assert_cmpint (block_image_write (image, offset, r->backing + offset, n), ==, 0);
    }
  block_image_close (image);
  r->options.backing_file = "backing";
  r->options.backing_format = format == BLOCK_FORMAT_RAW ? "raw" : "qcow2";
}

static void
make (Round *r)
{
  static const guint refcounts[] = { 1, 2, 4, 8, 16, 32, 64 };
  g_autoptr (GError) error = NULL;
  BlockCreateOptions *o = &r->options;

  o->cluster_size = 512u << below (r, 13);
  o->version = below (r, 4) == 0 ? 2 : 3;
  r->max_size = MIN (MAX ((guint64)o->cluster_size * 48, 1u << 18), 24u << 20);
  r->size = (1 + below (r, r->max_size / 512)) * 512;
  if (o->version == 3)
    {
      o->refcount_bits = refcounts[below (r, G_N_ELEMENTS (refcounts))];
      o->extended_l2 = o->cluster_size >= 16384 && below (r, 2);
      o->lazy_refcounts = below (r, 4) == 0;
      o->compress_zstd = below (r, 2);
      if (below (r, 6) == 0)
        {
          o->data_file = r->data_path; /* qemu-img takes relative names from where it runs */
          o->data_file_raw = below (r, 2);
        }
    }
  o->size = r->size;
  if (!o->data_file_raw && below (r, 2))
    {
      r->backing_size = (1 + below (r, r->max_size / 512)) * 512;
      make_backing (r);
    }
  if (o->backing_file == NULL || o->extended_l2)
    o->preallocate = below (r, 3) == 0 ? below (r, 4) : 0;
  note (r,
        "create size %" G_GUINT64_FORMAT " cluster %u v%u refcount %u ext %d lazy %d zstd %d "
        "data %s raw %d backing %s (%" G_GUINT64_FORMAT ") prealloc %d",
        r->size, o->cluster_size, o->version, o->refcount_bits, o->extended_l2, o->lazy_refcounts,
        o->compress_zstd, o->data_file, o->data_file_raw, o->backing_format, r->backing_size,
        o->preallocate);
  if (!block_image_create (r->path, BLOCK_FORMAT_QCOW2, o, NULL, &error))
    fail (r, "create: %s", error->message);
  r->model = g_malloc0 (r->size);
  if (r->backing != NULL)
    memcpy (r->model, r->backing, MIN (r->size, r->backing_size));
}

/* ---- operations ---- */

static void
must (Round *r, int result, const char *what)
{
  if (result != 0)
    fail (r, "%s: %s", what, g_strerror (-result));
}

static void
pick (Round *r, guint64 *offset, guint64 *length)
{
  guint64 cluster = r->options.cluster_size, max = below (r, 4) ? cluster * 2 : cluster * 12;

  *offset = below (r, r->size);
  *length = 1 + below (r, MIN (max, r->size - *offset));
  if (below (r, 3) == 0)
    {
      *offset -= *offset % cluster;
      *length = MIN ((*length + cluster - 1) / cluster * cluster, r->size - *offset);
    }
  else if (below (r, 2))
    {
      *offset -= *offset % 512;
      *length = MIN ((*length + 511) / 512 * 512, r->size - *offset);
    }
}

static void
do_write (Round *r, guint64 offset, guint64 length, gboolean compressed)
{
  g_autofree guint8 *data = g_malloc (length);

  fill (r, data, length);
  if (compressed)
    must (r, r->image->ops->write_compressed (r->image, offset, data, length), "write compressed");
  else if (below (r, 2))
    {
      gsize half = below (r, length);
      struct iovec iov[2] = { { data, half }, { data + half, length - half } };

      must (r, r->image->ops->writev (r->image, offset, iov, 2), "writev");
    }
  else
    must (r, block_image_write (r->image, offset, data, length), "write");
  memcpy (r->model + offset, data, length);
}

static void
do_read (Round *r, guint64 offset, guint64 length)
{
  g_autofree guint8 *data = g_malloc (length);

  must (r, block_image_read (r->image, offset, data, length), "read");
  for (guint64 i = 0; i < length; i++)
    if (data[i] != r->model[offset + i])
      fail (r, "byte %" G_GUINT64_FORMAT " is %02x, not %02x", offset + i, data[i],
            r->model[offset + i]);
}

/* By the fast path where it says yes. */
static void
do_fast (Round *r, guint64 offset, guint64 length, gboolean write)
{
  g_autofree guint8 *data = g_malloc0 (length);
  guint64 done = 0;
  BlockPlan plan;

  if (write)
    fill (r, data, length);
  if (r->image->ops->begin == NULL ||
      !r->image->ops->begin (r->image, write, offset, length, &plan))
    {
      if (write)
        {
          must (r, block_image_write (r->image, offset, data, length), "write");
          memcpy (r->model + offset, data, length);
        }
      return;
    }
  for (guint i = 0; i < plan.n_pieces; i++)
    {
      const BlockPlanPiece *p = &plan.pieces[i];

      if (p->file_offset < 0)
        g_assert_false (write);
      else if (write)
        g_assert_cmpint (pwrite (plan.fd, data + done, p->length, p->file_offset), ==,
                         (gssize)p->length);
      else
        g_assert_cmpint (pread (plan.fd, data + done, p->length, p->file_offset), ==,
                         (gssize)p->length);
      done += p->length;
    }
  g_assert_cmpuint (done, ==, length);
  must (r, r->image->ops->end (r->image, &plan, 0), "end");
  if (write)
    memcpy (r->model + offset, data, length);
  else if (memcmp (data, r->model + offset, length) != 0)
    fail (r, "fast read differs at %" G_GUINT64_FORMAT, offset);
}

static void
do_discard (Round *r, guint64 offset, guint64 length)
{
  guint64 cluster = r->options.cluster_size;
  guint64 from = (offset + cluster - 1) / cluster * cluster, to = offset + length;

  if (to != r->size)
    to -= to % cluster;
  must (r, r->image->ops->discard (r->image, offset, length), "discard");
  if (from < to && (r->options.version == 3 || r->options.backing_file == NULL))
    memset (r->model + from, 0, to - from);
  else if (from < to) /* v2 over a backing image: as before or zeroes */
    must (r, block_image_read (r->image, from, r->model + from, to - from), "read");
}

static void
do_snapshot (Round *r)
{
  g_autofree char *name = g_strdup_printf ("name%u", g_rand_int (r->rand));
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) list = NULL;
  Shadow *s;

  if (r->n_snapshots == MAX_SNAPSHOTS)
    return;
  note (r, "snapshot %s", name);
  if (!block_image_snapshot_create (r->image, NULL, name, 5, &error))
    {
      /* Narrow counts and data files have no room for any. */
      if (r->options.data_file == NULL &&
          !(r->options.refcount_bits != 0 && r->options.refcount_bits < 16))
        fail (r, "snapshot: %s", error->message);
      return;
    }
  list = r->image->ops->snapshot_list (r->image);
  s = &r->snapshots[r->n_snapshots++];
  s->id = g_strdup (((BlockSnapshot *)g_ptr_array_index (list, list->len - 1))->id);
  s->data = g_memdup2 (r->model, r->size);
  s->size = r->size;
}

static void
check_view (Round *r, const Shadow *s)
{
  g_autoptr (GError) error = NULL;
  BlockImage *view = block_image_snapshot_open (r->image, s->id, &error);
  g_autofree guint8 *data = g_malloc (s->size);

  if (view == NULL)
    fail (r, "open snapshot: %s", error->message);
  g_assert_cmpuint (block_image_get_size (view), ==, s->size);
  must (r, block_image_read (view, 0, data, s->size), "read snapshot");
  if (memcmp (data, s->data, s->size) != 0)
    fail (r, "view of snapshot %s differs", s->id);
  block_image_close (view);
}

static void
do_snapshot_use (Round *r, guint what)
{
  g_autoptr (GError) error = NULL;
  guint i = (guint)below (r, r->n_snapshots);
  Shadow *s = &r->snapshots[i];

  if (r->n_snapshots == 0)
    return;
  note (r, "%s %s", what == 0 ? "apply" : what == 1 ? "delete" : "view", s->id);
  if (what == 0)
    {
      if (!block_image_snapshot_apply (r->image, s->id, &error))
        {
          if (r->options.refcount_bits != 0 && r->options.refcount_bits < 16)
            return;
          fail (r, "apply: %s", error->message);
        }
      g_free (r->model);
      r->model = g_memdup2 (s->data, s->size);
      r->size = s->size;
    }
  else if (what == 1)
    {
      if (!block_image_snapshot_delete (r->image, s->id, &error))
        fail (r, "delete: %s", error->message);
      g_free (s->id);
      g_free (s->data);
      *s = r->snapshots[--r->n_snapshots];
    }
  else
    check_view (r, s);
}

static void
do_resize (Round *r)
{
  guint64 size = (1 + below (r, r->max_size / 512)) * 512;
  g_autoptr (GError) error = NULL;

  note (r, "resize %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, r->size, size);
  if (r->options.version == 2 && r->n_snapshots > 0)
    return;
  if (size < r->size)
    {
      gboolean empty = TRUE;

      for (guint64 i = size; i < r->size; i++)
        empty = empty && r->model[i] == 0;
      if (!empty)
        {
          g_assert_false (r->image->ops->resize (r->image, size, NULL, &error));
          g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
          g_clear_error (&error);
          must (r, block_image_write_zeroes (r->image, size, r->size - size, TRUE), "zero tail");
          memset (r->model + size, 0, r->size - size);
        }
    }
  if (!r->image->ops->resize (r->image, size, NULL, &error))
    fail (r, "resize: %s", error->message);
  r->model = g_realloc (r->model, size);
  if (size > r->size)
    memset (r->model + r->size, 0, size - r->size);
  r->size = size;
}

static void
step (Round *r)
{
  guint op = (guint)below (r, 100);
  guint64 offset, length;

  pick (r, &offset, &length);
  if (op < 58)
    note (r, "op %u %" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT, op, offset, length);
  if (op < 14)
    do_write (r, offset, length, FALSE);
  else if (op < 26)
    do_fast (r, offset, length, TRUE);
  else if (op < 32)
    do_fast (r, offset, length, FALSE);
  else if (op < 40)
    {
      must (r, block_image_write_zeroes (r->image, offset, length, op < 36), "zero");
      memset (r->model + offset, 0, length);
    }
  else if (op < 46)
    do_discard (r, offset, length);
  else if (op < 54)
    {
      guint64 cluster = r->options.cluster_size;

      offset -= offset % cluster;
      length = MIN ((length + cluster - 1) / cluster * cluster, r->size - offset);
      if (r->options.data_file == NULL)
        do_write (r, offset, length, TRUE);
    }
  else if (op < 80)
    do_read (r, offset, length);
  else if (op < 84)
    must (r, block_image_flush (r->image), "flush");
  else if (op < 87)
    do_snapshot (r);
  else if (op < 95)
    do_snapshot_use (r, op < 89 ? 0 : op < 91 ? 1 : 2);
  else if (op < 98)
    do_resize (r);
  else
    {
      note (r, "reopen");
      close_it (r);
      open_it (r);
    }
}

static void
our_check (Round *r)
{
  BlockCheckReport report = { 0 };
  g_autoptr (GError) error = NULL;

  if (!r->image->ops->check (r->image, BLOCK_CHECK_LOOK, &report, NULL, &error))
    fail (r, "check: %s", error->message);
  if (report.corruptions + report.leaks + report.errors > 0)
    fail (r, "our check: %s", (char *)g_ptr_array_index (report.messages, 0));
  block_check_report_clear (&report);
}

static void
play (const char *folder, guint64 seed, guint batches)
{
  Round r = { .seed = seed, .folder = (char *)folder };

  r.rand = g_rand_new_with_seed ((guint32)seed);
  r.log = g_string_new (NULL);
  r.path = g_build_filename (folder, "image", NULL);
  r.backing_path = g_build_filename (folder, "backing", NULL);
  r.data_path = g_build_filename (folder, "data", NULL);
  r.raw_path = g_build_filename (folder, "raw", NULL);
  make (&r);
  for (guint b = 0; b < batches; b++)
    {
      open_it (&r);
      for (guint i = 0; i < OPS_PER_BATCH; i++)
        step (&r);
      do_read (&r, 0, r.size);
      if (below (&r, 2))
        our_check (&r);
      close_it (&r);
      note (&r, "judge");
      judge (&r);
    }
  for (guint i = 0; i < r.n_snapshots; i++)
    {
      g_free (r.snapshots[i].id);
      g_free (r.snapshots[i].data);
    }
  g_unlink (r.path);
  g_unlink (r.backing_path);
  g_unlink (r.data_path);
  g_unlink (r.raw_path);
  g_free (r.path);
  g_free (r.backing_path);
  g_free (r.data_path);
  g_free (r.raw_path);
  g_free (r.model);
  g_free (r.backing);
  g_string_free (r.log, TRUE);
  g_rand_free (r.rand);
}

static gint64 seconds = 2, first_seed = 1;
static gboolean keep;

static void
test_random (void)
{
  g_autofree char *program = g_find_program_in_path ("qemu-img"), *folder = NULL;
  gint64 end = g_get_monotonic_time () + seconds * G_USEC_PER_SEC;
  guint64 seed = (guint64)first_seed;

  if (program == NULL)
    {
      g_test_skip ("qemu-img is not installed");
      return;
    }
  folder = g_dir_make_tmp ("alcove-qcow2-XXXXXX", NULL);
  g_assert_nonnull (folder);
  if (keep)
    g_test_message ("files in %s", folder);
  do
    play (folder, seed++, 4);
  while (g_get_monotonic_time () < end);
  g_test_message ("%" G_GUINT64_FORMAT " images", seed - (guint64)first_seed);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  const GOptionEntry entries[] = {
    { "seed", 0, 0, G_OPTION_ARG_INT64, &first_seed, "First seed", "N" },
    { "seconds", 0, 0, G_OPTION_ARG_INT64, &seconds, "How long", "N" },
    { "keep", 0, 0, G_OPTION_ARG_NONE, &keep, "Say where the files are", NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_ignore_unknown_options (context, TRUE);
  if (!g_option_context_parse (context, &argc, &argv, NULL)) /* GLib has a --seed too */
    return 2;
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/qcow2/random", test_random);
  return g_test_run ();
}
