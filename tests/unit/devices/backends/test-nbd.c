/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The NBD client against the servers that there are: qemu-nbd and nbdkit, on unix sockets. */
#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/backends/block/image.h"

#define SIZE           (1u << 20)
#define SOCKET_ACCEPTS 0x10000 /* __SO_ACCEPTCON in /proc/net/unix */

typedef struct
{
  char *folder, *image, *socket, *uri;
  GSubprocess *server;
} Fixture;

/* Its file is there a moment before anybody listens, and a connection to try would take the only
 * place that qemu-nbd has. */
static gboolean
is_listening (const char *path)
{
  g_autofree char *table = NULL;
  g_auto (GStrv) lines = NULL;

  g_assert_true (g_file_get_contents ("/proc/net/unix", &table, NULL, NULL));
  lines = g_strsplit (table, "\n", 0);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      guint flags;

      if (g_str_has_suffix (lines[i], path) && sscanf (lines[i], "%*s %*x %*x %x", &flags) == 1 &&
          (flags & SOCKET_ACCEPTS) != 0)
        return TRUE;
    }
  return FALSE;
}

/* The test's time limit ends a wait for nothing. */
static void
wait_for_socket (Fixture *f)
{
  while (!is_listening (f->socket))
    g_usleep (5000);
}

static gboolean
start (Fixture *f, const char *const *argv)
{
  g_autofree char *path = g_find_program_in_path (argv[0]);
  g_autoptr (GError) error = NULL;

  if (path == NULL)
    {
      g_test_skip ("the server is not installed");
      return FALSE;
    }
  f->server = g_subprocess_newv (argv, G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error);
  g_assert_no_error (error);
  wait_for_socket (f);
  return TRUE;
}

static void
stop (Fixture *f)
{
  if (f->server == NULL)
    return;
  g_subprocess_force_exit (f->server);
  g_subprocess_wait (f->server, NULL, NULL);
  g_clear_object (&f->server);
  g_unlink (f->socket);
}

static gboolean
start_qemu (Fixture *f, const char *option)
{
  const char *const argv[] = { "qemu-nbd", "-f",     "raw",  "-t", "-k",
                               f->socket,  f->image, option, NULL };

  return start (f, argv);
}

static gboolean
start_nbdkit (Fixture *f)
{
  const char *const argv[] = { "nbdkit",
                               "-f",
                               "-U",
                               f->socket,
                               "--filter=blocksize-policy",
                               "memory",
                               "1M",
                               "blocksize-minimum=4096",
                               "blocksize-preferred=4096",
                               "blocksize-error-policy=error",
                               NULL };

  return start (f, argv);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("alcove-nbd-XXXXXX", NULL);
  f->image = g_build_filename (f->folder, "disk", NULL);
  f->socket = g_build_filename (f->folder, "socket", NULL);
  f->uri = g_strdup_printf ("nbd+unix:///?socket=%s", f->socket);
  g_assert_true (g_file_set_contents (f->image, "", 0, NULL));
  g_assert_cmpint (truncate (f->image, SIZE), ==, 0);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  stop (f);
  g_unlink (f->image);
  g_rmdir (f->folder);
  g_free (f->folder);
  g_free (f->image);
  g_free (f->socket);
  g_free (f->uri);
}

static BlockFile *
open_file (Fixture *f, gboolean readonly)
{
  const BlockFileFlags flags = { .readonly = readonly };
  g_autoptr (GError) error = NULL;
  BlockFile *file = block_file_open_nbd (f->uri, &flags, &error);

  g_assert_no_error (error);
  return file;
}

/* Any offsets and lengths against a shadow. */
static void
torture (BlockFile *file)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (4);
  g_autofree guint8 *shadow = g_malloc0 (SIZE), *buffer = g_malloc (SIZE);

  g_assert_cmpint (file->ops->get_size (file), ==, SIZE);
  for (guint i = 0; i < 120; i++)
    {
      guint32 offset = g_rand_int_range (rand, 0, SIZE - 1);
      guint32 length = g_rand_int_range (rand, 1, MIN (SIZE - offset, 70000) + 1);
      guint64 mapped;
      gboolean has_data;

      switch (g_rand_int_range (rand, 0, 4))
        {
        case 0:
          memset (buffer, (int)i + 1, length);
          g_assert_cmpint (block_file_write (file, offset, buffer, length), ==, 0);
          memcpy (shadow + offset, buffer, length);
          break;
        case 1:
          g_assert_cmpint (file->ops->zero (file, offset, length, i % 2), ==, 0);
          memset (shadow + offset, 0, length);
          break;
        case 2:
          g_assert_cmpint (file->ops->map (file, offset, length, &mapped, &has_data), ==, 0);
          g_assert_cmpuint (mapped, >, 0);
          g_assert_cmpuint (mapped, <=, length);
          for (guint at = 0; !has_data && at < mapped; at++)
            g_assert_cmphex (shadow[offset + at], ==, 0);
          break;
        default:
          g_assert_cmpint (block_file_read (file, offset, buffer, length), ==, 0);
          g_assert_cmpmem (buffer, length, shadow + offset, length);
          break;
        }
    }
  g_assert_cmpint (file->ops->flush (file), ==, 0);
  g_assert_cmpint (block_file_read (file, 0, buffer, SIZE), ==, 0);
  g_assert_cmpmem (buffer, SIZE, shadow, SIZE);
  memset (buffer, 1, 1024);
  g_assert_cmpint (block_file_read (file, SIZE - 512, buffer, 1024), ==, 0);
  g_assert_cmphex (buffer[1023], ==, 0);
  g_assert_cmpint (block_file_write (file, SIZE - 512, buffer, 1024), ==, -ENOSPC);
  g_assert_cmpint (file->ops->truncate (file, SIZE + 1), ==, -ENOSPC);
  g_assert_cmpint (file->ops->discard (file, 0, 65536), ==, 0);
}

static void
test_qemu (Fixture *f, gconstpointer data)
{
  BlockFile *file;

  if (!start_qemu (f, "--discard=unmap"))
    return;
  file = open_file (f, FALSE);
  torture (file);
  block_file_close (file);
}

static void
test_nbdkit (Fixture *f, gconstpointer data)
{
  BlockFile *file;

  if (!start_nbdkit (f))
    return;
  file = open_file (f, FALSE);
  torture (file);
  block_file_close (file);
}

static void
test_readonly (Fixture *f, gconstpointer data)
{
  const BlockFileFlags flags = { .readonly = FALSE };
  g_autoptr (GError) error = NULL;
  guint8 byte = 1;
  BlockFile *file;

  if (!start_qemu (f, "-r"))
    return;
  g_assert_null (block_file_open_nbd (f->uri, &flags, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_PERMISSION);
  file = open_file (f, TRUE);
  g_assert_cmpint (block_file_read (file, 0, &byte, 1), ==, 0);
  g_assert_cmphex (byte, ==, 0);
  g_assert_cmpint (block_file_write (file, 0, &byte, 1), ==, -EROFS);
  block_file_close (file);
}

/* The server dies: an error, then a new connection; a flush that cannot be true is refused. */
static void
test_gone (Fixture *f, gconstpointer data)
{
  guint8 byte = 7;
  BlockFile *file;

  if (!start_qemu (f, "--cache=writeback"))
    return;
  file = open_file (f, FALSE);
  g_assert_cmpint (block_file_write (file, 5, &byte, 1), ==, 0);
  g_assert_cmpint (file->ops->flush (file), ==, 0);
  stop (f);
  g_assert_cmpint (block_file_read (file, 5, &byte, 1), ==, -EIO);
  g_assert_cmpint (block_file_read (file, 5, &byte, 1), ==, -EIO);
  g_assert_true (start_qemu (f, "--cache=writeback"));
  byte = 0;
  g_assert_cmpint (block_file_read (file, 5, &byte, 1), ==, 0);
  g_assert_cmphex (byte, ==, 7);
  g_assert_cmpint (file->ops->flush (file), ==, 0);
  g_assert_cmpint (block_file_write (file, 6, &byte, 1), ==, 0);
  stop (f);
  g_assert_cmpint (file->ops->flush (file), ==, -EIO);
  g_assert_true (start_qemu (f, "--cache=writeback"));
  g_assert_cmpint (file->ops->flush (file), ==, -EIO);
  block_file_close (file);
}

/* By its name in a definition or on the command line, as any image. */
static void
test_image (Fixture *f, gconstpointer data)
{
  const BlockImageFlags flags = { .discard = TRUE };
  g_autoptr (GError) error = NULL;
  BlockImage *image;
  guint8 buffer[512] = { 1 };

  if (!start_qemu (f, "--discard=unmap"))
    return;
  image = block_image_open (f->uri, BLOCK_FORMAT_RAW, &flags, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (block_image_get_size (image), ==, SIZE);
  g_assert_cmpint (block_image_write (image, SIZE - 512, buffer, 512), ==, 0);
  block_image_close (image);
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  const BlockFileFlags flags = { .readonly = TRUE };
  static const char *const bad[] = { "nbd+unix:///", "nbd://", "nbd+vsock:///", "http://x/" };
  g_autoptr (GError) error = NULL;

  g_assert_null (block_file_open_nbd (f->uri, &flags, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, f->uri));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_null (block_file_open_nbd (bad[i], &flags, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/nbd/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("qemu-nbd", test_qemu);
  ADD ("nbdkit", test_nbdkit);
  ADD ("readonly", test_readonly);
  ADD ("gone", test_gone);
  ADD ("image", test_image);
  ADD ("refused", test_refused);
  return g_test_run ();
}
