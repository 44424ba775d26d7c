/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qcow2 under power cuts and failing calls: no corruption, nothing lost that a flush acknowledged,
 * leaks freed by the next open.
 *
 *   test-qcow2-crash [--seed N] [--cuts N]     cuts of each kind for each image */
#include <errno.h>
#include <string.h>

#include "tests/unit/harness/disk-workload.h"
#include "tests/unit/harness/fault-file.h"

#define SIZE (4u << 20)

static gint64 first_seed = 1, n_cuts = 12, n_ops = 90;

static const BlockCreateOptions configs[] = {
  { .size = SIZE, .cluster_size = 65536 },
  { .size = SIZE, .cluster_size = 4096, .refcount_bits = 64 },
  { .size = SIZE, .cluster_size = 512 },
  { .size = SIZE, .cluster_size = 16384, .extended_l2 = TRUE, .refcount_bits = 8 },
  { .size = SIZE, .cluster_size = 4096, .version = 2 },
  { .size = SIZE, .cluster_size = 65536, .lazy_refcounts = TRUE },
};

static BlockFile *
format (const BlockCreateOptions *options)
{
  BlockFile *file = block_file_new_memory ("image", 0);
  g_autoptr (GError) error = NULL;

  block_qcow2_format (file, options, NULL, &error);
  g_assert_no_error (error);
  return file;
}

static BlockImage *
open_image (BlockFile *file)
{
  const BlockImageFlags flags = { .discard = TRUE, .cache_size = 65536 };
  g_autoptr (GError) error = NULL;
  BlockImage *image = block_image_open_qcow2 (file, &flags, &error);

  g_assert_no_error (error);
  return image;
}

static void
assert_clean (BlockImage *image, gboolean leaks_too, const char *what)
{
  BlockCheckReport report;
  g_autoptr (GError) error = NULL;

  image->ops->check (image, BLOCK_CHECK_LOOK, &report, NULL, &error);
  g_assert_no_error (error);
  if (report.corruptions + report.errors + (leaks_too ? report.leaks : 0) > 0)
    {
      for (guint i = 0; i < report.messages->len; i++)
        g_printerr ("%s\n", (char *)g_ptr_array_index (report.messages, i));
      g_error ("%s: check", what);
    }
  block_check_report_clear (&report);
}

static void
repair (BlockImage *image)
{
  BlockCheckReport report;
  g_autoptr (GError) error = NULL;

  image->ops->check (image, BLOCK_CHECK_REPAIR_LEAKS | BLOCK_CHECK_REPAIR_ALL, &report, NULL,
                     &error);
  g_assert_no_error (error);
  g_assert_cmpuint (report.corruptions, ==, report.corruptions_fixed);
  block_check_report_clear (&report);
}

static void
judge (HarnessRecord *record,
       DiskModel *model,
       const BlockCreateOptions *options,
       guint position,
       HarnessCut cut,
       GRand *rand,
       gboolean ask_qemu)
{
  BlockFile *file = harness_record_cut (record, position, cut, rand);
  g_autofree char *complaint = NULL, *what = NULL;
  BlockImage *image;

  what = g_strdup_printf ("cut %d at %u, clusters of %u", cut, position, options->cluster_size);
  image = open_image (file);
  complaint = disk_model_compare (model, image, position);
  if (complaint != NULL)
    g_error ("%s: %s", what, complaint);
  /* Version 2 has no mark to say that it was not closed: somebody has to look. */
  if (options->version == 2)
    {
      g_autofree char *after = NULL;

      repair (image);
      after = disk_model_compare (model, image, position);
      if (after != NULL)
        g_error ("%s, repaired: %s", what, after);
    }
  assert_clean (image, TRUE, what);
  if (ask_qemu)
    {
      HarnessRecord *after = harness_record_new (file);
      BlockFile *copy = harness_record_open (after);
      g_autofree char *said = disk_judge_qemu_check (copy, "qcow2");

      if (said != NULL)
        g_error ("%s: %s", what, said);
      block_file_close (copy);
      harness_record_free (after);
    }
  block_image_close (image);
}

static void
test_cuts (gconstpointer data)
{
  const BlockCreateOptions *options = data;
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32)first_seed);
  BlockFile *base = format (options);
  HarnessRecord *record = harness_record_new (base);
  DiskModel *model = disk_model_new (SIZE);
  const DiskWorkload workload = {
    .n_ops = (guint)n_ops, .unit = options->cluster_size, .snapshots = TRUE, .record = record
  };
  BlockImage *image = open_image (harness_record_open (record));
  gboolean qemu = disk_judge_have_qemu ();
  guint length;

  disk_workload_run (model, image, rand, &workload);
  block_image_close (image);
  length = harness_record_get_length (record);
  for (gint64 i = 0; i < n_cuts; i++)
    {
      guint position = (guint)g_rand_int_range (rand, 0, (gint32)length + 1);

      for (HarnessCut cut = HARNESS_CUT_ALL; cut <= HARNESS_CUT_RANDOM; cut++)
        judge (record, model, options, position, cut, rand, qemu && i % 6 == 0);
    }
  harness_record_free (record);
  disk_model_free (model);
  block_file_close (base);
}

/* The image is opened again by itself: what a failed call left behind is there or is not. */
static void
test_faults (gconstpointer data)
{
  static const int errors[] = { ENOSPC, EIO };
  const BlockCreateOptions *options = data;

  for (guint n = 1;; n += n < 20 ? 1 : 1 + n / (guint)n_cuts)
    {
      g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32)first_seed);
      HarnessFault fault = { .calls = n % 5 == 0 ? HARNESS_FAULT_ALL
                                                 : HARNESS_FAULT_WRITE | HARNESS_FAULT_FLUSH,
                             .stays = n % 3 == 0,
                             .in_part = n % 2 == 0,
                             .error = errors[n % 2] };
      const DiskWorkload workload = {
        .n_ops = 60, .unit = options->cluster_size, .snapshots = TRUE, .may_fail = TRUE
      };
      DiskModel *model = disk_model_new (SIZE);
      BlockFile *base = format (options);
      HarnessRecord *record = harness_record_new (base);
      BlockImage *image;
      g_autofree char *complaint = NULL, *again = NULL, *what = NULL;
      guint n_failed;

      image = open_image (harness_fault_file_new (harness_record_open (record), &fault));
      fault.at = fault.n_calls + n;
      disk_workload_run (model, image, rand, &workload);
      n_failed = fault.n_failed;
      fault.at = 0;
      what = g_strdup_printf ("fault %u, clusters of %u", n, options->cluster_size);
      complaint = disk_model_compare (model, image, G_MAXUINT);
      if (complaint != NULL)
        g_error ("%s: %s", what, complaint);
      /* Close, or else the next open, puts right what could not be undone meanwhile. */
      block_image_close (image);
      image = open_image (harness_record_open (record));
      again = disk_model_compare (model, image, G_MAXUINT);
      if (again != NULL)
        g_error ("%s, opened again: %s", what, again);
      assert_clean (image, options->version != 2, what);
      block_image_close (image);
      harness_record_free (record);
      disk_model_free (model);
      block_file_close (base);
      if (n_failed == 0)
        break;
    }
}

int
main (int argc, char **argv)
{
  const GOptionEntry entries[] = {
    { "seed", 0, 0, G_OPTION_ARG_INT64, &first_seed, "Seed", "N" },
    { "cuts", 0, 0, G_OPTION_ARG_INT64, &n_cuts, "Cuts for each image", "N" },
    { "ops", 0, 0, G_OPTION_ARG_INT64, &n_ops, "Operations on each image", "N" },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_ignore_unknown_options (context, TRUE);
  if (!g_option_context_parse (context, &argc, &argv, NULL)) /* GLib has a --seed too */
    return 2;
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (configs); i++)
    {
      g_autofree char *cuts = g_strdup_printf ("/qcow2/cuts/%u", i);
      g_autofree char *faults = g_strdup_printf ("/qcow2/faults/%u", i);

      g_test_add_data_func (cuts, &configs[i], test_cuts);
      g_test_add_data_func (faults, &configs[i], test_faults);
    }
  return g_test_run ();
}
