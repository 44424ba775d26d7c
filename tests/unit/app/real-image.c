/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fake-image.h over real qcow2 files: the word is at the beginning of the disk. */
#include "fake-image.h"

#include <string.h>

#define WORD_MAX 32

const AlcoveDiskAccess *
fake_image_get_access (void)
{
  return &alcove_disk_access_files;
}

static BlockImage *
open_image (const char *path, gboolean readonly)
{
  BlockImageFlags flags = { .readonly = readonly };
  g_autoptr (GError) error = NULL;
  BlockImage *image = block_image_open (path, BLOCK_FORMAT_QCOW2, &flags, &error);

  g_assert_no_error (error);
  return image;
}

void
fake_image_make (const char *path, const char *contents)
{
  BlockCreateOptions options = { .size = 1 << 20, .cluster_size = 65536 };
  g_autoptr (GError) error = NULL;

  g_assert_true (block_image_create (path, BLOCK_FORMAT_QCOW2, &options, NULL, &error));
  g_assert_no_error (error);
  fake_image_write (path, contents);
}

void
fake_image_write (const char *path, const char *contents)
{
  BlockImage *image = open_image (path, FALSE);
  char word[WORD_MAX] = "";

  g_strlcpy (word, contents, sizeof word);
  g_assert_cmpint (block_image_write (image, 0, word, sizeof word), ==, 0);
  g_assert_cmpint (block_image_flush (image), ==, 0);
  block_image_close (image);
}

static char *
read_word (BlockImage *image)
{
  char word[WORD_MAX + 1] = "";

  g_assert_cmpint (block_image_read (image, 0, word, WORD_MAX), ==, 0);
  return g_strdup (word);
}

char *
fake_image_read (const char *path)
{
  BlockImage *image = open_image (path, TRUE);
  char *word = read_word (image);

  block_image_close (image);
  return word;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

GStrv
fake_image_list (const char *path)
{
  BlockImage *image = open_image (path, TRUE);
  g_autoptr (GPtrArray) list = image->ops->snapshot_list (image);
  GPtrArray *ids = g_ptr_array_new ();
  BlockCheckReport report = { 0 };

  for (guint i = 0; i < list->len; i++)
    g_ptr_array_add (ids, g_strdup (((BlockSnapshot *)g_ptr_array_index (list, i))->id));
  g_ptr_array_sort (ids, compare);
  g_ptr_array_add (ids, NULL);
  /* Whatever happened to it: it is sound. */
  g_assert_true (image->ops->check (image, BLOCK_CHECK_LOOK, &report, NULL, NULL));
  g_assert_cmpuint (report.corruptions, ==, 0);
  block_check_report_clear (&report);
  block_image_close (image);
  return (GStrv)g_ptr_array_free (ids, FALSE);
}
