/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/harness/disk-workload.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECTOR 512u

static guint
get_position (const DiskWorkload *workload)
{
  return workload->record != NULL ? harness_record_get_length (workload->record) : 0;
}

static void
end (DiskModel *model, const DiskWorkload *workload, int result)
{
  disk_model_end (model, get_position (workload), result);
  if (!workload->may_fail)
    g_assert_cmpint (result, ==, 0);
}

/* A range; half of them at whole units, most of them in the first eighth of the disk. */
static void
choose (
    GRand *rand, guint64 size, guint64 unit, guint64 max, guint64 *ret_offset, guint64 *ret_length)
{
  guint64 room = g_rand_int_range (rand, 0, 4) != 0 ? MAX (size / 8, unit) : size;
  guint64 grain = g_rand_boolean (rand) ? unit : SECTOR;
  guint64 offset = g_rand_int_range (rand, 0, (gint32)(room / grain)) * grain;
  guint64 most = MIN (max, size - offset);
  guint64 length = g_rand_int_range (rand, 1, (gint32)MAX (most / grain, 1) + 1) * grain;

  *ret_offset = offset;
  *ret_length = MIN (length, size - offset);
}

static void
change_snapshots (BlockImage *image, GRand *rand, const DiskWorkload *workload)
{
  g_autoptr (GPtrArray) list = image->ops->snapshot_list (image);
  g_autoptr (GError) error = NULL;
  gboolean ok;

  if (list->len < 2 || (list->len < 4 && g_rand_boolean (rand)))
    {
      g_autofree char *name = g_strdup_printf ("s%u", g_rand_int (rand));

      ok = block_image_snapshot_create (image, NULL, name, 0, &error);
    }
  else
    {
      BlockSnapshot *victim =
          g_ptr_array_index (list, g_rand_int_range (rand, 0, (gint32)list->len));

      ok = block_image_snapshot_delete (image, victim->id, &error);
    }
  if (!workload->may_fail)
    g_assert_no_error (error);
  (void)ok;
}

void
disk_workload_run (DiskModel *model, BlockImage *image, GRand *rand, const DiskWorkload *workload)
{
  guint64 size = block_image_get_size (image), unit = MIN (workload->unit, size);
  guint64 max = MAX (unit * 3, 65536);
  g_autofree guint8 *buffer = g_malloc (max);

  for (guint i = 0; i < workload->n_ops; i++)
    {
      guint dice = g_rand_int_range (rand, 0, 100);
      guint64 offset, length;

      choose (rand, size, unit, max, &offset, &length);
      if (dice < 62)
        {
          length = MIN (length, max);
          disk_model_begin_write (model, get_position (workload), offset, length, buffer);
          end (model, workload, block_image_write (image, offset, buffer, length));
        }
      else if (dice < 72)
        {
          disk_model_begin_zeroes (model, get_position (workload), offset, length);
          end (model, workload,
               block_image_write_zeroes (image, offset, length, g_rand_boolean (rand)));
        }
      else if (dice < 80 && image->ops->discard != NULL)
        {
          disk_model_begin_discard (model, get_position (workload), offset, length);
          end (model, workload, image->ops->discard (image, offset, length));
        }
      else if (dice < 86 && workload->snapshots)
        change_snapshots (image, rand, workload);
      else if (dice < 98)
        {
          disk_model_begin_flush (model, get_position (workload));
          end (model, workload, block_image_flush (image));
        }
    }
}

/* ---- qemu-img ---- */

gboolean
disk_judge_have_qemu (void)
{
  g_autofree char *path = g_find_program_in_path ("qemu-img");

  return path != NULL;
}

static void
dump (BlockFile *file, int fd)
{
  gint64 size = file->ops->get_size (file);
  g_autofree guint8 *buffer = g_malloc (65536);

  g_assert_cmpint (ftruncate (fd, size), ==, 0);
  for (guint64 at = 0; at < (guint64)size;)
    {
      guint64 length;
      gboolean has_data;

      g_assert_cmpint (file->ops->map (file, at, (guint64)size - at, &length, &has_data), ==, 0);
      if (has_data)
        {
          length = MIN (length, 65536);
          g_assert_cmpint (block_file_read (file, at, buffer, length), ==, 0);
          g_assert_cmpint (pwrite (fd, buffer, length, (off_t)at), ==, (ssize_t)length);
        }
      at += length;
    }
}

char *
disk_judge_qemu_check (BlockFile *file, const char *format)
{
  g_autofree char *path = NULL, *output = NULL, *errors = NULL;
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("alcove-judge-XXXXXX", &path, &error), status = 0;
  const char *const argv[] = { "qemu-img", "check", "-f", format, path, NULL };
  char *complaint = NULL;

  g_assert_no_error (error);
  dump (file, fd);
  close (fd);
  g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, &errors,
                &status, &error);
  g_assert_no_error (error);
  /* 3: leaks and nothing else. */
  if (!WIFEXITED (status) || (WEXITSTATUS (status) != 0 && WEXITSTATUS (status) != 3))
    complaint =
        g_strdup_printf ("qemu-img check: status %d: %s%s", WEXITSTATUS (status), output, errors);
  g_unlink (path);
  return complaint;
}
