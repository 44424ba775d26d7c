/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Raw images: errors of open, sizes, the slow paths. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/backends/block/block.h"

typedef struct
{
  char *folder, *path;
  VmmWorker *worker;
  int result;
  gboolean done;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{

  f->folder = g_dir_make_tmp ("alcove-raw-XXXXXX", NULL);
  g_assert_nonnull (f->folder);
  f->path = g_build_filename (f->folder, "disk", NULL);
  f->worker = vmm_worker_new_manual ("io", VMM_WORKER_NONE);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vmm_worker_free (f->worker);
  g_unlink (f->path);
  g_rmdir (f->folder);
  g_free (f->path);
  g_free (f->folder);
}

static void
make (Fixture *f, gsize size)
{
  g_autofree guint8 *bytes = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    bytes[i] = i / 512 + 1;
  g_assert_true (g_file_set_contents (f->path, (char *)bytes, size, NULL));
}

static BlockBackend *
open_disk (Fixture *f, BlockOpenFlags flags)
{
  g_autoptr (GError) error = NULL;
  BlockBackend *disk = block_raw_open (f->path, &flags, &error);

  g_assert_no_error (error);
  return disk;
}

static void
on_done (BlockRequest *request, int result)
{
  Fixture *f = request->user_data;

  f->result = result;
  f->done = TRUE;
}

static int
run (Fixture *f,
     BlockBackend *disk,
     BlockOp op,
     guint64 offset,
     void *data,
     gsize length,
     BlockRequestFlags flags)
{
  struct iovec iov[2] = { { data, length / 2 },
                          { (guint8 *)data + length / 2, length - length / 2 } };
  BlockRequest request = {
    .op = op,
    .flags = flags,
    .offset = offset,
    .length = length,
    .iov = data != NULL ? iov : NULL,
    .n_iov = data != NULL ? 2 : 0,
    .done = on_done,
    .user_data = f,
  };

  f->done = FALSE;
  disk->ops->submit (disk, f->worker, &request);
  for (guint i = 0; !f->done && i < 1000; i++)
    vmm_worker_iterate (f->worker, 100);
  g_assert_true (f->done);
  return f->result;
}

static void
assert_refused (Fixture *f, const char *path, BlockOpenFlags flags, int code, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (block_raw_open (path, &flags, &error));
  g_assert_error (error, VMM_ERROR, code);
  g_assert_nonnull (strstr (error->message, words));
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  BlockOpenFlags flags = { 0 };

  assert_refused (f, f->path, flags, VMM_ERROR_NOT_FOUND, f->path);
  assert_refused (f, f->folder, (BlockOpenFlags){ .readonly = TRUE }, VMM_ERROR_INVALID, "neither");
  assert_refused (f, f->folder, flags, VMM_ERROR_FAILED, f->folder);
  assert_refused (f, "/dev/null", flags, VMM_ERROR_INVALID, "neither");
  g_assert_true (g_file_set_contents (f->path, "", 0, NULL));
  assert_refused (f, f->path, flags, VMM_ERROR_INVALID, "empty");
  g_unlink (f->path);
  g_assert_cmpint (mkfifo (f->path, 0600), ==, 0);
  assert_refused (f, f->path, flags, VMM_ERROR_INVALID, "neither");
}

/* 512 n + 100 bytes: the last sector is there, with zeroes after the end. */
static void
test_odd_size (Fixture *f, gconstpointer data)
{
  BlockBackend *disk;
  BlockInfo info;
  guint8 buffer[1024];
  struct stat st;

  make (f, 2 * 512 + 100);
  disk = open_disk (f, (BlockOpenFlags){ 0 });
  disk->ops->get_info (disk, &info);
  g_assert_cmpuint (info.size, ==, 3 * 512);
  memset (buffer, 0xee, sizeof buffer);
  g_assert_cmpint (run (f, disk, BLOCK_OP_READ, 512, buffer, 1024, 0), ==, 0);
  g_assert_cmphex (buffer[0], ==, 2);
  g_assert_cmphex (buffer[512 + 99], ==, 3);
  for (guint i = 512 + 100; i < 1024; i++)
    g_assert_cmphex (buffer[i], ==, 0);
  memset (buffer, 0x77, 512);
  g_assert_cmpint (run (f, disk, BLOCK_OP_WRITE, 1024, buffer, 512, BLOCK_REQUEST_FUA), ==, 0);
  g_assert_cmpint (stat (f->path, &st), ==, 0);
  g_assert_cmpint (st.st_size, ==, 1536);
  g_assert_cmpint (run (f, disk, BLOCK_OP_READ, 1536, buffer, 512, 0), ==, -EINVAL);
  g_assert_cmpint (run (f, disk, BLOCK_OP_WRITE, G_MAXUINT64 - 511, buffer, 512, 0), ==, -EINVAL);
  block_backend_close (disk);
}

/* Cut short by somebody else while it is open: an error, not zeroes. */
static void
test_truncated (Fixture *f, gconstpointer data)
{
  BlockBackend *disk;
  guint8 buffer[1024];

  make (f, 8192);
  disk = open_disk (f, (BlockOpenFlags){ 0 });
  g_assert_cmpint (truncate (f->path, 4096), ==, 0);
  g_assert_cmpint (run (f, disk, BLOCK_OP_READ, 4096, buffer, 1024, 0), ==, -EIO);
  g_assert_cmpint (run (f, disk, BLOCK_OP_READ, 4096 - 512, buffer, 1024, BLOCK_REQUEST_ALONE), ==,
                   -EIO);
  g_assert_cmpint (run (f, disk, BLOCK_OP_READ, 4096 - 1024, buffer, 1024, 0), ==, 0);
  block_backend_close (disk);
}

static void
test_readonly (Fixture *f, gconstpointer data)
{
  BlockBackend *disk;
  guint8 buffer[512];
  g_autoptr (GError) error = NULL;

  make (f, 4096);
  disk = open_disk (f, (BlockOpenFlags){ .readonly = TRUE });
  g_assert_cmpint (run (f, disk, BLOCK_OP_READ, 512, buffer, 512, BLOCK_REQUEST_ALONE), ==, 0);
  g_assert_cmphex (buffer[5], ==, 2);
  g_assert_cmpint (run (f, disk, BLOCK_OP_WRITE, 0, buffer, 512, 0), ==, -EROFS);
  g_assert_cmpint (run (f, disk, BLOCK_OP_WRITE_ZEROES, 0, NULL, 512, 0), ==, -EROFS);
  g_assert_cmpint (run (f, disk, BLOCK_OP_DISCARD, 0, NULL, 512, 0), ==, -EROFS);
  g_assert_true (disk->ops->flush_sync (disk, &error));
  block_backend_close (disk);
}

static void
test_zeroes (Fixture *f, gconstpointer data)
{
  BlockBackend *disk;
  guint8 *buffer = g_malloc (3 << 20);

  make (f, 3 << 20);
  disk = open_disk (f, (BlockOpenFlags){ .discard = data != NULL });
  /* Crosses several pieces where it has to be written. */
  g_assert_cmpint (run (f, disk, BLOCK_OP_WRITE_ZEROES, 512, NULL, (2 << 20) + 1024,
                        BLOCK_REQUEST_UNMAP | BLOCK_REQUEST_FUA),
                   ==, 0);
  g_assert_cmpint (run (f, disk, BLOCK_OP_READ, 0, buffer, 3 << 20, 0), ==, 0);
  g_assert_cmphex (buffer[511], ==, 1);
  for (guint i = 512; i < 512 + (2 << 20) + 1024; i++)
    g_assert_cmphex (buffer[i], ==, 0);
  g_assert_cmphex (buffer[512 + (2 << 20) + 1024], !=, 0);
  g_assert_cmpint (run (f, disk, BLOCK_OP_DISCARD, 0, NULL, 4096, 0), ==, 0);
  g_assert_cmpint (run (f, disk, BLOCK_OP_FLUSH, 0, NULL, 0, 0), ==, 0);
  block_backend_close (disk);
  g_free (buffer);
}

static void
test_direct (Fixture *f, gconstpointer data)
{
  BlockOpenFlags flags = { .direct = TRUE };
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *raw = g_malloc0 (3 << 20);
  guint8 *odd = raw + 3; /* aligned to nothing */
  BlockBackend *disk;
  BlockInfo info;

  make (f, 4 << 20);
  disk = block_raw_open (f->path, &flags, &error);
  if (disk == NULL)
    {
      g_test_skip (error->message);
      return;
    }
  disk->ops->get_info (disk, &info);
  g_assert_cmpint (run (f, disk, BLOCK_OP_READ, 512, odd, (2 << 20) + 512, 0), ==, 0);
  for (guint i = 0; i < (2 << 20) + 512; i++)
    g_assert_cmphex (odd[i], ==, (guint8)((512 + i) / 512 + 1));
  for (guint i = 0; i < (2 << 20); i++)
    odd[i] = i * 5;
  g_assert_cmpint (run (f, disk, BLOCK_OP_WRITE, 4096, odd, 2 << 20, BLOCK_REQUEST_FUA), ==, 0);
  memset (odd, 0, 2 << 20);
  g_assert_cmpint (run (f, disk, BLOCK_OP_READ, 4096, odd, 2 << 20, 0), ==, 0);
  for (guint i = 0; i < (2 << 20); i++)
    g_assert_cmphex (odd[i], ==, (guint8)(i * 5));
  if (info.logical_block > 512)
    g_assert_cmpint (run (f, disk, BLOCK_OP_WRITE, 512, odd, 512, 0), ==, -EINVAL);
  block_backend_close (disk);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, data) g_test_add ("/raw/" name, Fixture, data, set_up, func, tear_down)
  ADD ("refused", test_refused, NULL);
  ADD ("odd-size", test_odd_size, NULL);
  ADD ("truncated", test_truncated, NULL);
  ADD ("readonly", test_readonly, NULL);
  ADD ("zeroes", test_zeroes, NULL);
  ADD ("zeroes-unmap", test_zeroes, "discard");
  ADD ("direct", test_direct, NULL);
  return g_test_run ();
}
