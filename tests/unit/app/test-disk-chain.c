/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Chains of three images and one aside, each beside a model in memory: written at the top, committed
 * into what is below, put on other images, compacted, resized, in random order. qemu-img is the judge
 * of every image after each batch.
 *
 *   test-app-disk-chain [--seed N] [--seconds N]
 *
 * Without arguments: about a second, with a fixed seed. It prints the seed of a round that fails. */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "app/disk-tools.h"

#define N_LEVELS      4 /* the last is aside: nothing stands on it at first */
#define TOP           2
#define ASIDE         3
#define SIZE_MAX      (3u << 20)
#define OPS_PER_BATCH 6

typedef struct
{
  char *name, *path;
  BlockFormat format;
  BlockCreateOptions options;
  int below; /* the level it stands on; -1: none */
  guint8 *model;
  guint64 size;
} Level;

typedef struct
{
  GRand *rand;
  char *folder;
  Level levels[N_LEVELS];
  guint64 seed;
  GString *log;
} Round;

static guint64
pick (Round *r, guint64 n)
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
  g_printerr ("seed %" G_GUINT64_FORMAT ": %s\n%s", r->seed, text, r->log->str);
  g_assert_not_reached ();
}

static void G_GNUC_PRINTF (2, 3) note (Round *r, const char *format, ...)
{
  va_list args;

  va_start (args, format);
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
  *ret_output = g_strconcat (out, err, NULL);
  return g_spawn_check_wait_status (status, NULL);
}

static void
judge (Round *r, const Level *level)
{
  g_autofree char *raw = g_build_filename (r->folder, "raw", NULL);
  const char *format = block_format_to_string (level->format);
  const char *check[] = { "qemu-img", "check", "-q", "-f", "qcow2", level->path, NULL };
  const char *compare[] = { "qemu-img", "compare", "-q", "-f",        "raw",
                            "-F",       format,    raw,  level->path, NULL };
  g_autofree char *checked = NULL, *compared = NULL;
  const BlockImageFlags flags = { .readonly = TRUE };
  BlockImage *image;

  if (level->format == BLOCK_FORMAT_QCOW2 && !run (check, &checked))
    fail (r, "qemu-img check %s: %s", level->name, checked);
  g_assert_true (g_file_set_contents (raw, (char *)level->model, (gssize)level->size, NULL));
  if (!run (compare, &compared))
    fail (r, "qemu-img compare %s: %s", level->name, compared);
  g_unlink (raw);
  image = block_image_open (level->path, level->format, &flags, NULL);
  g_assert_nonnull (image);
  g_assert_cmpuint (block_image_get_size (image), ==, level->size);
  block_image_close (image);
}

/* ---- making ---- */

static guint64
pick_size (Round *r)
{
  return (1 + pick (r, SIZE_MAX / 512)) * 512;
}

static void
show_below (Round *r, Level *level)
{
  const Level *below = level->below >= 0 ? &r->levels[level->below] : NULL;

  memset (level->model, 0, level->size);
  if (below != NULL)
    memcpy (level->model, below->model, MIN (level->size, below->size));
}

static void
scribble (Round *r, Level *level, guint n)
{
  const BlockImageFlags flags = { .discard = pick (r, 2) };
  g_autoptr (GError) error = NULL;
  BlockImage *image = block_image_open (level->path, level->format, &flags, &error);

  if (image == NULL)
    fail (r, "open %s: %s", level->name, error->message);
  for (guint i = 0; i < n; i++)
    {
      guint64 at = pick (r, level->size), length = 1 + pick (r, MIN (level->size - at, 200000));
      guint what = (guint)pick (r, 4);
      int result;

      if (what == 0)
        {
          memset (level->model + at, 0, length);
          result = block_image_write_zeroes (image, at, length, pick (r, 2));
        }
      else
        {
          for (guint64 k = 0; k < length; k++)
            level->model[at + k] = what == 1 ? (guint8)at : (guint8)g_rand_int (r->rand);
          result = block_image_write (image, at, level->model + at, length);
        }
      if (result != 0)
        fail (r, "write %s: %s", level->name, g_strerror (-result));
    }
  block_image_close (image);
}

static void
make_level (Round *r, guint index)
{
  static const char *const names[N_LEVELS] = { "base", "middle", "top", "aside" };
  Level *level = &r->levels[index];
  BlockCreateOptions *o = &level->options;
  g_autoptr (GError) error = NULL;

  level->name = g_strdup (names[index]);
  level->path = g_build_filename (r->folder, level->name, NULL);
  level->below = index == 0 || index == ASIDE ? -1 : (int)index - 1;
  level->format = level->below < 0 && pick (r, 2) ? BLOCK_FORMAT_RAW : BLOCK_FORMAT_QCOW2;
  level->size = pick_size (r);
  o->size = level->size;
  if (level->format == BLOCK_FORMAT_QCOW2)
    {
      o->cluster_size = 512u << pick (r, 9);
      o->version = pick (r, 5) == 0 ? 2 : 3;
      o->extended_l2 = o->version == 3 && o->cluster_size >= 16384 && pick (r, 2);
      o->lazy_refcounts = o->version == 3 && pick (r, 4) == 0;
    }
  if (level->below >= 0)
    {
      o->backing_file = names[level->below];
      o->backing_format = block_format_to_string (r->levels[level->below].format);
    }
  note (r, "%s: %s of %" G_GUINT64_FORMAT ", clusters %u, v%u, ext %d, lazy %d", level->name,
        block_format_to_string (level->format), level->size, o->cluster_size, o->version,
        o->extended_l2, o->lazy_refcounts);
  if (!block_image_create (level->path, level->format, o, NULL, &error))
    fail (r, "create %s: %s", level->name, error->message);
  level->model = g_malloc (level->size);
  show_below (r, level);
  scribble (r, level, 6);
}

/* ---- operations ---- */

/* Nothing stands on it: it may change. */
static gboolean
is_free (Round *r, int index)
{
  for (guint i = 0; i < N_LEVELS; i++)
    if (r->levels[i].below == index)
      return FALSE;
  return TRUE;
}

static gboolean
stands_on (Round *r, int index, int other)
{
  for (int at = index; at >= 0; at = r->levels[at].below)
    if (at == other)
      return TRUE;
  return FALSE;
}

static void
set_size (Level *level, guint64 size)
{
  level->model = g_realloc (level->model, size);
  if (size > level->size)
    memset (level->model + level->size, 0, size - level->size);
  level->size = size;
}

/* What stands between and above shows what it did: only the one below changes. It must have no other
 * user than the image that is committed. */
static void
do_commit (Round *r, int index)
{
  Level *level = &r->levels[index], *below;
  g_autoptr (GError) error = NULL;

  if (level->below < 0)
    return;
  for (int i = 0; i < N_LEVELS; i++)
    if (i != index && r->levels[i].below == level->below)
      return;
  below = &r->levels[level->below];
  note (r, "commit %s into %s", level->name, below->name);
  if (!alcove_disk_commit (level->path, level->format, NULL, &error))
    fail (r, "commit: %s", error->message);
  if (below->size < level->size)
    set_size (below, level->size);
  memcpy (below->model, level->model, level->size);
}

static void
do_rebase (Round *r, int index)
{
  int onto = (int)pick (r, N_LEVELS + 1) - 1;
  Level *level = &r->levels[index];
  const char *name = onto >= 0 ? r->levels[onto].name : NULL;
  const char *format = onto >= 0 ? block_format_to_string (r->levels[onto].format) : NULL;
  g_autoptr (GError) error = NULL;
  gboolean good;

  if (level->format != BLOCK_FORMAT_QCOW2)
    return;
  note (r, "rebase %s onto %s", level->name, name != NULL ? name : "nothing");
  good = alcove_disk_rebase (level->path, level->format, name, format, FALSE, NULL, &error);
  if (onto >= 0 && stands_on (r, onto, index))
    {
      if (good)
        fail (r, "%s stands on itself", level->name);
      return;
    }
  if (!good)
    fail (r, "rebase: %s", error->message);
  level->below = onto;
}

static void
do_compact (Round *r, int index)
{
  const Level *level = &r->levels[index];
  g_autoptr (GError) error = NULL;

  note (r, "compact %s", level->name);
  if (!alcove_disk_compact (level->path, level->format, NULL, NULL, NULL, &error))
    fail (r, "compact: %s", error->message);
}

static void
do_resize (Round *r, int index)
{
  Level *level = &r->levels[index];
  guint64 size = pick_size (r);
  g_autoptr (GError) error = NULL;

  if (!is_free (r, index))
    return;
  note (r, "resize %s from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, level->name, level->size,
        size);
  if (!alcove_disk_resize (level->path, level->format, size, TRUE, NULL, &error))
    fail (r, "resize: %s", error->message);
  set_size (level, size);
}

static void
do_convert (Round *r, int index)
{
  Level copy = { .name = (char *)"copy" };
  const Level *level = &r->levels[index];
  g_autofree char *path = g_build_filename (r->folder, "copy", NULL);
  AlcoveDiskConvertSpec spec = { .from = level->path,
                                 .from_format = level->format,
                                 .to = path,
                                 .to_format = BLOCK_FORMAT_QCOW2,
                                 .compress = pick (r, 2) };
  g_autoptr (GError) error = NULL;

  note (r, "convert %s, compressed %d", level->name, spec.compress);
  if (!alcove_disk_convert (&spec, NULL, &error))
    fail (r, "convert: %s", error->message);
  copy.path = path;
  copy.format = BLOCK_FORMAT_QCOW2;
  copy.model = level->model;
  copy.size = level->size;
  judge (r, &copy);
  g_unlink (path);
}

static void
step (Round *r)
{
  guint what = (guint)pick (r, 20);
  int index = (int)pick (r, N_LEVELS);

  if (what < 6)
    {
      note (r, "write %s", r->levels[index].name);
      if (is_free (r, index))
        scribble (r, &r->levels[index], 4);
    }
  else if (what < 10)
    do_commit (r, index);
  else if (what < 15)
    do_rebase (r, index);
  else if (what < 17)
    do_compact (r, index);
  else if (what < 19)
    do_resize (r, index);
  else
    do_convert (r, index);
}

static void
play (const char *folder, guint64 seed, guint batches)
{
  Round r = { .seed = seed, .folder = (char *)folder };

  r.rand = g_rand_new_with_seed ((guint32)seed);
  r.log = g_string_new (NULL);
  for (guint i = 0; i < N_LEVELS; i++)
    make_level (&r, i);
  for (guint b = 0; b < batches; b++)
    {
      for (guint i = 0; i < OPS_PER_BATCH; i++)
        step (&r);
      for (guint i = 0; i < N_LEVELS; i++)
        judge (&r, &r.levels[i]);
    }
  for (guint i = 0; i < N_LEVELS; i++)
    {
      g_unlink (r.levels[i].path);
      g_free (r.levels[i].name);
      g_free (r.levels[i].path);
      g_free (r.levels[i].model);
    }
  g_string_free (r.log, TRUE);
  g_rand_free (r.rand);
}

static gint64 seconds = 1, first_seed = 1;

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
  folder = g_strdup (access ("/dev/shm", W_OK) == 0 ? "/dev/shm/alcove-chain-XXXXXX"
                                                    : "/tmp/alcove-chain-XXXXXX");
  g_assert_nonnull (g_mkdtemp (folder));
  do
    play (folder, seed++, 4);
  while (g_get_monotonic_time () < end);
  g_test_message ("%" G_GUINT64_FORMAT " chains", seed - (guint64)first_seed);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

/* Compacting writes an image whose backing image is not open: nothing of it may be needed, not behind
 * the end of the disk and not round zeroes. */
static void
test_compact_odd (void)
{
  enum
  {
    CLUSTER = 131072,
    SIZE = 6 * CLUSTER + 101376,
  };
  g_autofree char *folder = g_dir_make_tmp ("alcove-chain-XXXXXX", NULL);
  g_autofree char *base = g_build_filename (folder, "base", NULL);
  g_autofree char *top = g_build_filename (folder, "top", NULL);
  g_autofree char *filled = g_strnfill (SIZE, 'b');

  g_assert_true (g_file_set_contents (base, filled, SIZE, NULL));
  for (guint version = 2; version <= 3; version++)
    {
      const BlockCreateOptions options = { .size = SIZE,
                                           .cluster_size = CLUSTER,
                                           .version = version,
                                           .backing_file = "base",
                                           .backing_format = "raw" };
      const BlockImageFlags flags = { 0 };
      g_autofree char *expected = g_strdup (filled), *found = g_malloc (SIZE);
      g_autoptr (GError) error = NULL;
      BlockImage *image;

      g_assert_true (block_image_create (top, BLOCK_FORMAT_QCOW2, &options, NULL, &error));
      image = block_image_open (top, BLOCK_FORMAT_QCOW2, &flags, &error);
      g_assert_no_error (error);
      memset (expected + CLUSTER, 0, 3 * CLUSTER);
      memset (expected + SIZE - 5000, 'c', 5000);
      g_assert_cmpint (block_image_write_zeroes (image, CLUSTER, 3 * CLUSTER, FALSE), ==, 0);
      g_assert_cmpint (block_image_write (image, SIZE - 5000, expected + SIZE - 5000, 5000), ==, 0);
      block_image_close (image);
      g_assert_true (alcove_disk_compact (top, BLOCK_FORMAT_QCOW2, NULL, NULL, NULL, &error));
      g_assert_no_error (error);
      image = block_image_open (top, BLOCK_FORMAT_QCOW2, &flags, &error);
      g_assert_no_error (error);
      g_assert_cmpint (block_image_read (image, 0, found, SIZE), ==, 0);
      g_assert_cmpmem (found, SIZE, expected, SIZE);
      block_image_close (image);
      g_unlink (top);
    }
  g_unlink (base);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

int
main (int argc, char **argv)
{
  const GOptionEntry entries[] = {
    { "seed", 0, 0, G_OPTION_ARG_INT64, &first_seed, "First seed", "N" },
    { "seconds", 0, 0, G_OPTION_ARG_INT64, &seconds, "How long", "N" },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_ignore_unknown_options (context, TRUE);
  if (!g_option_context_parse (context, &argc, &argv, NULL)) /* GLib has a --seed too */
    return 2;
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/disk-chain/compact-odd", test_compact_odd);
  g_test_add_func ("/disk-chain/random", test_random);
  return g_test_run ();
}
