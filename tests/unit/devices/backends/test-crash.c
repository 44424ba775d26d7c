/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The crash harness judged itself: a raw image keeps what was flushed; a file that only says that it
 * flushed, or that loses a write, is found out. Then faults at every call. */
#include <errno.h>
#include <string.h>

#include "tests/unit/harness/disk-workload.h"
#include "tests/unit/harness/fault-file.h"

#define SIZE (1u << 20)

static BlockImage *
open_raw (BlockFile *file)
{
  /* What a raw image discards reads as the file likes; here, as garbage. */
  const BlockImageFlags flags = { .discard = FALSE };
  g_autoptr (GError) error = NULL;
  BlockImage *image = block_image_open_raw (file, &flags, &error);

  g_assert_no_error (error);
  return image;
}

/* What the cut leaves, compared. (transfer full) the first complaint. */
static char *
judge (HarnessRecord *record, DiskModel *model, guint position, HarnessCut cut, GRand *rand)
{
  BlockImage *image = open_raw (harness_record_cut (record, position, cut, rand));
  char *complaint = disk_model_compare (model, image, position);

  block_image_close (image);
  return complaint;
}

static HarnessRecord *
record_work (DiskModel *model, GRand *rand, BlockFile *(*wrap) (BlockFile *))
{
  BlockFile *base = block_file_new_memory ("base", SIZE);
  HarnessRecord *record = harness_record_new (base);
  const DiskWorkload workload = { .n_ops = 150, .unit = 4096, .record = record };
  BlockFile *file = harness_record_open (record);
  BlockImage *image = open_raw (wrap != NULL ? wrap (file) : file);

  disk_workload_run (model, image, rand, &workload);
  block_image_close (image);
  block_file_close (base);
  return record;
}

static void
test_raw (void)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  DiskModel *model = disk_model_new (SIZE);
  HarnessRecord *record = record_work (model, rand, NULL);

  for (guint i = 0; i < harness_record_get_length (record); i++)
    for (HarnessCut cut = HARNESS_CUT_ALL; cut <= HARNESS_CUT_RANDOM; cut++)
      {
        g_autofree char *complaint = judge (record, model, i, cut, rand);

        g_assert_cmpstr (complaint, ==, NULL);
      }
  harness_record_free (record);
  disk_model_free (model);
}

/* Files that lie. */
typedef struct
{
  BlockFile parent;
  BlockFile *inner;
  BlockFileOps ops;
} Liar;

static void
liar_close (BlockFile *file)
{
  block_file_close (((Liar *)file)->inner);
  g_free (file->name);
  g_free (file);
}

static int
liar_readv (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  BlockFile *inner = ((Liar *)file)->inner;

  return inner->ops->readv (inner, offset, iov, n_iov);
}

static int
liar_writev (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  BlockFile *inner = ((Liar *)file)->inner;

  return inner->ops->writev (inner, offset, iov, n_iov);
}

static int
liar_zero (BlockFile *file, guint64 offset, guint64 length, BlockFileZeroFlags flags)
{
  BlockFile *inner = ((Liar *)file)->inner;

  return inner->ops->zero (inner, offset, length, flags);
}

static int
liar_discard (BlockFile *file, guint64 offset, guint64 length)
{
  return 0;
}

static int
liar_flush (BlockFile *file)
{
  return 0; /* the lie */
}

static int
honest_flush (BlockFile *file)
{
  BlockFile *inner = ((Liar *)file)->inner;

  return inner->ops->flush (inner);
}

static int
misplacing_writev (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  BlockFile *inner = ((Liar *)file)->inner;

  return inner->ops->writev (inner, offset == 8192 ? 12288 : offset, iov, n_iov);
}

static gint64
liar_get_size (BlockFile *file)
{
  return SIZE;
}

static BlockFile *
new_liar (BlockFile *inner)
{
  Liar *liar = g_new0 (Liar, 1);

  liar->ops = (BlockFileOps){ .readv = liar_readv,
                              .writev = liar_writev,
                              .zero = liar_zero,
                              .discard = liar_discard,
                              .flush = liar_flush,
                              .get_size = liar_get_size,
                              .close = liar_close };
  liar->parent.ops = &liar->ops;
  liar->parent.name = g_strdup ("liar");
  liar->inner = inner;
  return &liar->parent;
}

static BlockFile *
new_misplacing (BlockFile *inner)
{
  BlockFile *file = new_liar (inner);
  Liar *liar = (Liar *)file;

  liar->ops.flush = honest_flush;
  liar->ops.writev = misplacing_writev;
  return file;
}

static void
find_lie (BlockFile *(*wrap) (BlockFile *))
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  DiskModel *model = disk_model_new (SIZE);
  HarnessRecord *record = record_work (model, rand, wrap);
  guint n_found = 0;

  for (guint i = 0; i <= harness_record_get_length (record); i++)
    {
      g_autofree char *complaint = judge (record, model, i, HARNESS_CUT_FLUSHED, rand);

      n_found += complaint != NULL;
    }
  g_assert_cmpuint (n_found, >, 0);
  harness_record_free (record);
  disk_model_free (model);
}

static void
test_lying_flush (void)
{
  find_lie (new_liar);
}

static void
test_misplaced_write (void)
{
  find_lie (new_misplacing);
}

/* Every call fails once, or from then on; then all is well again. */
static void
test_faults (void)
{
  static const int errors[] = { ENOSPC, EIO };

  for (guint n = 1;; n++)
    {
      g_autoptr (GRand) rand = g_rand_new_with_seed (9);
      HarnessFault fault = { .calls = HARNESS_FAULT_WRITE | HARNESS_FAULT_FLUSH,
                             .at = n,
                             .stays = n % 3 == 0,
                             .in_part = n % 2 == 0,
                             .error = errors[n % 2] };
      const DiskWorkload workload = { .n_ops = 40, .unit = 4096, .may_fail = TRUE };
      DiskModel *model = disk_model_new (SIZE);
      BlockImage *image =
          open_raw (harness_fault_file_new (block_file_new_memory ("memory", SIZE), &fault));
      g_autofree char *complaint = NULL;

      disk_workload_run (model, image, rand, &workload);
      complaint = disk_model_compare (model, image, G_MAXUINT);
      g_assert_cmpstr (complaint, ==, NULL);
      block_image_close (image);
      disk_model_free (model);
      if (fault.n_failed == 0)
        break;
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/crash/raw", test_raw);
  g_test_add_func ("/crash/lying-flush", test_lying_flush);
  g_test_add_func ("/crash/misplaced-write", test_misplaced_write);
  g_test_add_func ("/crash/faults", test_faults);
  return g_test_run ();
}
