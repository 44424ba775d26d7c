/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/ram-file.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/crc32c.h"

#define PAGE       VMM_RAM_FILE_PAGE
#define LOW_PAGES  16
#define HIGH_PAGES 5
#define MUTATIONS  10000

static const guint8 id[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

typedef struct
{
  char *folder, *path;
  guint8 low[LOW_PAGES * PAGE], high[HIGH_PAGES * PAGE];
} Fixture;

static void
fill (guint8 *page, guint seed)
{
  for (guint i = 0; i < PAGE; i++)
    page[i] = (guint8)(seed + i * 31 + (i >> 8));
}

static VmmRamWriter *
make_writer (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  const VmmRamFileBlock blocks[] = { { .name = "low", .size = sizeof f->low },
                                     { .name = "high", .size = sizeof f->high } };
  VmmRamWriter *writer = vmm_ram_writer_new (f->path, id, blocks, 2, &error);

  g_assert_no_error (error);
  return writer;
}

/* Pages 1, 2, 7 and 15 of one block and 4 of the other hold something. */
static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  VmmRamWriter *writer;

  f->folder = g_dir_make_tmp ("ram-file-XXXXXX", &error);
  g_assert_no_error (error);
  f->path = g_build_filename (f->folder, "ram", NULL);
  fill (f->low + PAGE, 1);
  fill (f->low + 2 * PAGE, 2);
  fill (f->low + 7 * PAGE, 7);
  fill (f->low + 15 * PAGE, 15);
  fill (f->high + 4 * PAGE, 4);
  writer = make_writer (f);
  g_assert_cmpint (vmm_ram_writer_put (writer, 0, 0, f->low, LOW_PAGES), ==, 0);
  g_assert_cmpint (vmm_ram_writer_put (writer, 1, 0, f->high, HIGH_PAGES), ==, 0);
  g_assert_cmpuint (vmm_ram_writer_get_stored (writer), ==, 5 * PAGE);
  g_assert_true (vmm_ram_writer_finish (writer, &error));
  g_assert_no_error (error);
  vmm_ram_writer_free (writer);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  (void)g_unlink (f->path);
  g_assert_cmpint (g_rmdir (f->folder), ==, 0);
  g_free (f->folder);
  g_free (f->path);
}

static VmmRamReader *
open_reader (const char *path, GError **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  return vmm_ram_reader_new (fd, 1 << 20, error);
}

static void
check_contents (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  VmmRamReader *reader = open_reader (f->path, &error);
  guint8 low[LOW_PAGES * PAGE] = { 0 }, high[HIGH_PAGES * PAGE] = { 0 };

  g_assert_no_error (error);
  g_assert_cmpuint (vmm_ram_reader_get_n_blocks (reader), ==, 2);
  g_assert_cmpstr (vmm_ram_reader_get_block (reader, 0)->name, ==, "low");
  g_assert_cmpuint (vmm_ram_reader_get_block (reader, 1)->size, ==, sizeof high);
  g_assert_cmpuint (vmm_ram_reader_get_block (reader, 1)->offset % VMM_RAM_FILE_ALIGN, ==, 0);
  g_assert_cmpmem (vmm_ram_reader_get_id (reader), 16, id, 16);
  g_assert_true (vmm_ram_reader_read (reader, 0, 0, low, LOW_PAGES, &error));
  g_assert_true (vmm_ram_reader_read (reader, 1, 0, high, HIGH_PAGES, &error));
  g_assert_no_error (error);
  g_assert_cmpmem (low, sizeof low, f->low, sizeof f->low);
  g_assert_cmpmem (high, sizeof high, f->high, sizeof f->high);
  vmm_ram_reader_free (reader);
}

static void
test_contents (Fixture *f, gconstpointer data)
{
  struct stat st;

  check_contents (f);
  g_assert_cmpint (stat (f->path, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 0777, ==, 0400);
  /* Zero pages take no space; file systems may round a little. */
  g_assert_cmpint (st.st_blocks * 512, <, 40 * PAGE);
}

/* As the dirty log does: pages come again, change, become zero. */
static void
test_rewrite (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  VmmRamWriter *writer;

  g_assert_cmpint (g_unlink (f->path), ==, 0);
  writer = make_writer (f);
  g_assert_cmpint (vmm_ram_writer_put (writer, 0, 0, f->low, LOW_PAGES), ==, 0);
  g_assert_cmpint (vmm_ram_writer_put (writer, 1, 0, f->high, HIGH_PAGES), ==, 0);
  memset (f->low + PAGE, 0, 2 * PAGE);
  fill (f->low + 7 * PAGE, 77);
  fill (f->low, 99);
  g_assert_cmpint (vmm_ram_writer_put (writer, 0, 0, f->low, 8), ==, 0);
  g_assert_cmpuint (vmm_ram_writer_get_stored (writer), ==, 4 * PAGE);
  g_assert_true (vmm_ram_writer_finish (writer, &error));
  vmm_ram_writer_free (writer);
  check_contents (f);
}

static void
test_unfinished (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  VmmRamWriter *writer;

  g_assert_cmpint (g_unlink (f->path), ==, 0);
  writer = make_writer (f);
  g_assert_cmpint (vmm_ram_writer_put (writer, 0, 0, f->low, LOW_PAGES), ==, 0);
  vmm_ram_writer_free (writer);
  g_assert_null (open_reader (f->path, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
}

static void
write_at (const char *path, guint64 offset, gconstpointer data, gsize length)
{
  int fd;

  g_assert_cmpint (chmod (path, 0600), ==, 0);
  fd = open (path, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (pwrite (fd, data, length, (off_t)offset), ==, (ssize_t)length);
  close (fd);
}

static void
test_damaged_page (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  guint8 buffer[LOW_PAGES * PAGE];
  VmmRamReader *reader = open_reader (f->path, NULL);

  write_at (f->path, vmm_ram_reader_get_block (reader, 0)->offset + 7 * PAGE + 99, "x", 1);
  g_assert_true (vmm_ram_reader_read (reader, 0, 0, buffer, 7, NULL));
  g_assert_false (vmm_ram_reader_read (reader, 0, 0, buffer, LOW_PAGES, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "page 7 of “low”"));
  vmm_ram_reader_free (reader);
}

static void
test_too_large (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  int fd = open (f->path, O_RDONLY | O_CLOEXEC);

  g_assert_null (vmm_ram_reader_new (fd, (LOW_PAGES + HIGH_PAGES - 1) * PAGE, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
}

/* The header's own checksum mended, so that what follows it is reached. */
static void
mend (guint8 *head)
{
  guint32 crc = GUINT32_TO_LE (vmm_crc32c (0, head, 4092));

  memcpy (head + 4092, &crc, sizeof crc);
}

static void
test_mutations (Fixture *f, gconstpointer data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (20261121);
  guint8 head[PAGE + (LOW_PAGES + HIGH_PAGES) * 4], mutant[sizeof head];
  int fd = open (f->path, O_RDONLY | O_CLOEXEC), out;
  guint n_refused = 0, n_same = 0;
  guint64 length = 3 * VMM_RAM_FILE_ALIGN;

  g_assert_cmpint (pread (fd, head, sizeof head, 0), ==, (ssize_t)sizeof head);
  close (fd);
  g_assert_cmpint (chmod (f->path, 0600), ==, 0);
  out = open (f->path, O_RDWR | O_CLOEXEC);
  for (guint i = 0; i < MUTATIONS; i++)
    {
      guint n = (guint)g_rand_int_range (rand, 1, 5);
      gboolean cut = g_rand_int_range (rand, 0, 20) == 0;
      VmmRamReader *reader;
      g_autoptr (GError) error = NULL;

      memcpy (mutant, head, sizeof head);
      for (guint j = 0; j < n; j++)
        {
          /* Mostly where there is something. */
          gsize at = g_rand_boolean (rand) ? (gsize)g_rand_int_range (rand, 0, 64 + 2 * 96)
                                           : (gsize)g_rand_int_range (rand, 0, sizeof head);

          mutant[at] = g_rand_boolean (rand) ? (guint8)g_rand_int (rand)
                                             : mutant[at] ^ (guint8)(1u << (g_rand_int (rand) & 7));
        }
      if (g_rand_int_range (rand, 0, 4) != 0)
        mend (mutant);
      g_assert_cmpint (pwrite (out, mutant, sizeof mutant, 0), ==, (ssize_t)sizeof mutant);
      if (cut)
        g_assert_cmpint (ftruncate (out, g_rand_int_range (rand, 0, (gint32)length)), ==, 0);
      reader = open_reader (f->path, &error);
      if (reader == NULL)
        {
          g_assert_nonnull (error);
          g_assert_cmpuint (strlen (error->message), >, 20);
          n_refused++;
        }
      else
        {
          guint8 low[LOW_PAGES * PAGE];

          /* What is accepted says what was saved, or that it does not: names and id are free. */
          g_assert_cmpuint (vmm_ram_reader_get_n_blocks (reader), ==, 2);
          (void)vmm_ram_reader_read (reader, 0, 0, low, LOW_PAGES, NULL);
          n_same++;
          vmm_ram_reader_free (reader);
        }
      if (cut)
        {
          g_assert_cmpint (ftruncate (out, 0), ==, 0);
          g_assert_cmpint (ftruncate (out, (off_t)(2 * VMM_RAM_FILE_ALIGN + HIGH_PAGES * PAGE)), ==,
                           0);
        }
    }
  close (out);
  g_assert_cmpuint (n_refused, >, MUTATIONS / 2);
  g_test_message ("%u refused, %u accepted", n_refused, n_same);
}

/* The layout of this release: a change of it needs a new version. */
static void
test_golden (Fixture *f, gconstpointer data)
{
  guint8 head[PAGE + (LOW_PAGES + HIGH_PAGES) * 4];
  int fd = open (f->path, O_RDONLY | O_CLOEXEC);

  g_assert_cmpint (pread (fd, head, sizeof head, 0), ==, (ssize_t)sizeof head);
  close (fd);
  g_assert_cmphex (vmm_crc32c (0, head, sizeof head), ==, 0xd643b652);
}

static void
test_crc32c (void)
{
  guint8 bytes[64];

  /* RFC 3720, B.4. */
  g_assert_cmphex (vmm_crc32c (0, "123456789", 9), ==, 0xe3069283);
  memset (bytes, 0, 32);
  g_assert_cmphex (vmm_crc32c (0, bytes, 32), ==, 0x8a9136aa);
  memset (bytes, 0xff, 32);
  g_assert_cmphex (vmm_crc32c (0, bytes, 32), ==, 0x62a8ab43);
  for (guint i = 0; i < sizeof bytes; i++)
    bytes[i] = (guint8)(i * 7);
  for (guint cut = 0; cut <= sizeof bytes; cut++)
    g_assert_cmphex (vmm_crc32c (vmm_crc32c (0, bytes, cut), bytes + cut, sizeof bytes - cut), ==,
                     vmm_crc32c (0, bytes, sizeof bytes));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ram-file/crc32c", test_crc32c);
#define ADD(name, func) g_test_add (name, Fixture, NULL, set_up, func, tear_down)
  ADD ("/ram-file/contents", test_contents);
  ADD ("/ram-file/rewrite", test_rewrite);
  ADD ("/ram-file/unfinished", test_unfinished);
  ADD ("/ram-file/damaged-page", test_damaged_page);
  ADD ("/ram-file/too-large", test_too_large);
  ADD ("/ram-file/mutations", test_mutations);
  ADD ("/ram-file/golden", test_golden);
  return g_test_run ();
}
