/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/create.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app/paths.h"

#define MIB            (1024 * 1024)
#define GIB            (1024ULL * MIB)
#define DISK_BYTES_MIN (1ULL * MIB)
#define DISK_BYTES_MAX (64ULL * 1024 * GIB)
#define COPY_CHUNK     (4 * MIB)
#define DISK_NAME      "system.img"
#define FOLDERS_MAX    1000

void
alcove_create_spec_init (AlcoveCreateSpec *spec)
{
  guint64 pages = (guint64)MAX (sysconf (_SC_PHYS_PAGES), 0);
  guint64 page = (guint64)MAX (sysconf (_SC_PAGESIZE), 0);
  guint64 host_mib = pages * page / MIB;

  memset (spec, 0, sizeof *spec);
  spec->memory_mib = CLAMP (host_mib / 4 / 256 * 256, 1024, 4096);
  spec->cpus = CLAMP (g_get_num_processors () / 2, 1, 4);
  spec->firmware = ALCOVE_FIRMWARE_UEFI;
  spec->disk_bytes = 32 * GIB;
}

char *
alcove_create_dup_folder_name (const char *name)
{
  g_autofree char *ascii = g_str_to_ascii (name, "C");
  GString *folder = g_string_new (NULL);

  for (const char *p = ascii; *p != '\0' && folder->len < 48; p++)
    {
      if (g_ascii_isalnum (*p))
        g_string_append_c (folder, g_ascii_tolower (*p));
      else if (folder->len > 0 && folder->str[folder->len - 1] != '-')
        g_string_append_c (folder, '-');
    }
  while (folder->len > 0 && folder->str[folder->len - 1] == '-')
    g_string_truncate (folder, folder->len - 1);
  if (folder->len == 0)
    g_string_assign (folder, "machine");
  return g_string_free (folder, FALSE);
}

static void
set_machine (AlcoveConfFile *file, const AlcoveCreateSpec *spec)
{
  static const char *const firmware[] = { "uefi", "bios", "none" };
  g_autofree char *uuid = g_uuid_string_random ();
  g_autofree char *memory = g_strdup_printf ("%" G_GUINT64_FORMAT "M", spec->memory_mib);
  g_autofree char *cpus = g_strdup_printf ("%u", spec->cpus);

  alcove_conf_file_set_value (file, "machine", "uuid", uuid);
  alcove_conf_file_set_value (file, "machine", "name", spec->name);
  if (spec->os != NULL)
    alcove_conf_file_set_value (file, "machine", "os", spec->os);
  alcove_conf_file_set_value (file, "machine", "memory", memory);
  alcove_conf_file_set_value (file, "machine", "cpus", cpus);
  alcove_conf_file_set_value (file, "machine", "firmware", firmware[spec->firmware]);
  if (spec->kernel != NULL)
    alcove_conf_file_set_value (file, "machine", "kernel", spec->kernel);
  if (spec->initrd != NULL)
    alcove_conf_file_set_value (file, "machine", "initrd", spec->initrd);
  if (spec->cmdline != NULL)
    alcove_conf_file_set_value (file, "machine", "cmdline", spec->cmdline);
}

char *
alcove_create_dup_text (const AlcoveCreateSpec *spec, const char *disk)
{
  g_auto (AlcoveProblems) problems = { 0 };
  g_autoptr (AlcoveConfFile) file = NULL;
  static const char header[] = "# A virtual machine of Alcove. Comments and order are kept when "
                               "Alcove changes a value.\n\n";

  alcove_problems_init (&problems, ALCOVE_DEFINITION_FILE);
  file = alcove_conf_file_parse (header, strlen (header), &problems);
  set_machine (file, spec);
  if (disk != NULL)
    {
      alcove_conf_file_set_value (file, "disk system", "file", disk);
      alcove_conf_file_set_value (file, "disk system", "format", "raw");
      alcove_conf_file_set_value (file, "disk system", "boot-index", "1");
    }
  if (spec->medium != NULL)
    {
      alcove_conf_file_set_value (file, "cdrom install", "file", spec->medium);
      alcove_conf_file_set_value (file, "cdrom install", "boot-index", "2");
    }
  if (!spec->no_network)
    alcove_conf_file_set_value (file, "nic lan", "backend", "user");
  alcove_conf_file_set_value (file, "display main", "type",
                              spec->no_display ? "none" : "virtio-vga");
  alcove_conf_file_set_value (file, "input keyboard", "type", "keyboard");
  alcove_conf_file_set_value (file, "input tablet", "type", "tablet");
  alcove_conf_file_set_value (file, "serial com1", "backend", "console");
  alcove_conf_file_set_value (file, "console main", "backend", "console");
  alcove_conf_file_add_group (file, "rng main", NULL);
  return alcove_conf_file_to_text (file, NULL);
}

/* The job, with answers of its own. */
typedef struct
{
  AlcoveCreateSpec spec; /* strings owned, see job_free */
  char *machines;
  AlcoveProgressFunc progress;
  gpointer progress_data;
  GMainContext *context;
  guint64 done, total; /* for the progress source; atomic enough: reported under the lock */
  GMutex lock;
  gboolean report_pending;
  int ref_count;
} Job;

static void
job_unref (gpointer data)
{
  Job *job = data;

  if (!g_atomic_int_dec_and_test (&job->ref_count))
    return;
  g_free ((char *)job->spec.name);
  g_free ((char *)job->spec.os);
  g_free ((char *)job->spec.medium);
  g_free ((char *)job->spec.disk_source);
  g_free ((char *)job->spec.disk_use);
  g_free ((char *)job->spec.kernel);
  g_free ((char *)job->spec.initrd);
  g_free ((char *)job->spec.cmdline);
  g_free (job->machines);
  g_main_context_unref (job->context);
  g_mutex_clear (&job->lock);
  g_free (job);
}

static char *
dup_absolute (const char *path)
{
  return path != NULL ? g_canonicalize_filename (path, NULL) : NULL;
}

static gboolean
on_report (gpointer user_data)
{
  Job *job = user_data;
  guint64 done, total;

  g_mutex_lock (&job->lock);
  done = job->done;
  total = job->total;
  job->report_pending = FALSE;
  g_mutex_unlock (&job->lock);
  job->progress (done, total, job->progress_data);
  return G_SOURCE_REMOVE;
}

static void
report (Job *job, guint64 done, guint64 total)
{
  gboolean post;

  if (job->progress == NULL)
    return;
  g_mutex_lock (&job->lock);
  job->done = done;
  job->total = total;
  post = !job->report_pending;
  job->report_pending = TRUE;
  g_mutex_unlock (&job->lock);
  if (post)
    {
      g_atomic_int_inc (&job->ref_count);
      g_main_context_invoke_full (job->context, G_PRIORITY_DEFAULT, on_report, job, job_unref);
    }
}

static gboolean
fail_errno (GError **error, int saved, const char *path, const char *what)
{
  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (saved), "%s %s: %s", path, what,
               g_strerror (saved));
  return FALSE;
}

/* Copies what holds data, leaves holes as they are; a file system that can share blocks does. */
static gboolean
copy_contents (Job *job,
               int from,
               int to,
               guint64 size,
               const char *path,
               GCancellable *cancellable,
               GError **error)
{
  off_t at = 0;

  if (ioctl (to, FICLONE, from) == 0)
    {
      report (job, size, size);
      return TRUE;
    }
  while ((guint64)at < size)
    {
      off_t data = lseek (from, at, SEEK_DATA), hole;

      if (data < 0 && errno == ENXIO)
        break; /* nothing but a hole from here */
      if (data < 0)
        data = at; /* the file system does not tell */
      hole = lseek (from, data, SEEK_HOLE);
      if (hole <= data)
        hole = (off_t)size;
      at = data;
      while (at < hole)
        {
          off_t in = at, out = at;
          gsize n = MIN ((gsize)(hole - at), (gsize)COPY_CHUNK);
          ssize_t copied;

          if (g_cancellable_set_error_if_cancelled (cancellable, error))
            return FALSE;
          copied = copy_file_range (from, &in, to, &out, n, 0);
          if (copied < 0 && errno == EINTR)
            continue;
          if (copied < 0)
            return fail_errno (error, errno, path, "cannot be copied");
          if (copied == 0)
            return fail_errno (error, EIO, path, "became shorter while it was copied");
          at += copied;
          report (job, (guint64)at, size);
        }
    }
  report (job, size, size);
  return TRUE;
}

static gboolean
open_source (const char *path, int *ret_fd, guint64 *ret_size, GError **error)
{
  struct stat st;
  int fd = open (path, O_RDONLY | O_CLOEXEC);

  if (fd < 0)
    return fail_errno (error, errno, path, "cannot be opened");
  if (fstat (fd, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size == 0)
    {
      close (fd);
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "%s is no disk image: it must be a file with something in it", path);
      return FALSE;
    }
  *ret_fd = fd;
  *ret_size = (guint64)st.st_size;
  return TRUE;
}

static gboolean
make_disk (Job *job, const char *folder, GCancellable *cancellable, GError **error)
{
  g_autofree char *path = g_build_filename (folder, DISK_NAME, NULL);
  guint64 source_size = 0, size;
  int from = -1, to;
  gboolean good = TRUE;

  if (job->spec.disk_source != NULL &&
      !open_source (job->spec.disk_source, &from, &source_size, error))
    return FALSE;
  to = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (to < 0)
    {
      good = fail_errno (error, errno, path, "cannot be made");
    }
  else
    {
      if (from >= 0)
        good =
            copy_contents (job, from, to, source_size, job->spec.disk_source, cancellable, error);
      /* Whole sectors, as every guest expects. */
      size = (MAX (source_size, job->spec.disk_bytes) + 511) / 512 * 512;
      if (good && ftruncate (to, (off_t)size) < 0)
        good = fail_errno (error, errno, path, "cannot be made that large");
      if (good && fsync (to) < 0)
        good = fail_errno (error, errno, path, "cannot be written");
      close (to);
    }
  if (from >= 0)
    close (from);
  return good;
}

char *
alcove_create_publish (const char *machines, const char *from, const char *title, GError **error)
{
  g_autofree char *base = alcove_create_dup_folder_name (title);

  for (guint i = 1; i <= FOLDERS_MAX; i++)
    {
      g_autofree char *name = i == 1 ? g_strdup (base) : g_strdup_printf ("%s-%u", base, i);
      g_autofree char *path = g_build_filename (machines, name, NULL);

      if (renameat2 (AT_FDCWD, from, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return g_steal_pointer (&path);
      if (errno != EEXIST)
        {
          (void)fail_errno (error, errno, path, "cannot be made");
          return NULL;
        }
    }
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_EXISTS,
               "There are already %d machines named %s: choose another name", FOLDERS_MAX, title);
  return NULL;
}

static gboolean
fill_folder (Job *job, const char *folder, GCancellable *cancellable, GError **error)
{
  const AlcoveCreateSpec *spec = &job->spec;
  gboolean own_disk = spec->disk_source != NULL || (spec->disk_bytes > 0 && spec->disk_use == NULL);
  g_autofree char *path = g_build_filename (folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autofree char *text = alcove_create_dup_text (spec, own_disk ? DISK_NAME : spec->disk_use);
  g_autoptr (AlcoveDefinition) definition = NULL;

  /* First the definition: a wrong answer is named before gigabytes are copied. */
  definition = alcove_definition_new_from_text (text, -1, path, error);
  if (definition == NULL || !alcove_definition_assign (definition, error) ||
      !alcove_definition_save (definition, error))
    return FALSE;
  return !own_disk || make_disk (job, folder, cancellable, error);
}

static void
create_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Job *job = task_data;
  g_autofree char *folder = NULL;
  char *path;
  GError *error = NULL;

  if (g_mkdir_with_parents (job->machines, 0700) < 0)
    {
      (void)fail_errno (&error, errno, job->machines, "cannot be made");
      g_task_return_error (task, error);
      return;
    }
  folder = g_build_filename (job->machines, ".new-XXXXXX", NULL);
  if (g_mkdtemp_full (folder, 0700) == NULL)
    {
      (void)fail_errno (&error, errno, job->machines, "cannot take a new machine");
      g_task_return_error (task, error);
      return;
    }
  if (!fill_folder (job, folder, cancellable, &error) ||
      (path = alcove_create_publish (job->machines, folder, job->spec.name, &error)) == NULL)
    {
      alcove_paths_remove_tree (folder);
      g_task_return_error (task, error);
      return;
    }
  g_task_return_pointer (task, path, g_free);
}

static gboolean
check_spec (const AlcoveCreateSpec *spec, GError **error)
{
  const char *const paths[] = { spec->medium, spec->disk_use, spec->kernel, spec->initrd };
  const char *problem = NULL;

  if (spec->name == NULL || *spec->name == '\0')
    problem = "A machine needs a name";
  else if (spec->disk_bytes != 0 &&
           (spec->disk_bytes < DISK_BYTES_MIN || spec->disk_bytes > DISK_BYTES_MAX))
    problem = "The disk's size must be 1 MiB to 64 TiB";
  else if (spec->disk_source != NULL && spec->disk_use != NULL)
    problem = "A disk image is either copied or used where it is";
  if (problem != NULL)
    {
      g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, problem);
      return FALSE;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    if (paths[i] != NULL && g_access (paths[i], R_OK) < 0)
      return fail_errno (error, errno, paths[i], "cannot be read");
  return TRUE;
}

void
alcove_create_async (const char *machines_folder,
                     const AlcoveCreateSpec *spec,
                     AlcoveProgressFunc progress,
                     gpointer progress_data,
                     GCancellable *cancellable,
                     GAsyncReadyCallback callback,
                     gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Job *job;
  GError *error = NULL;

  g_task_set_source_tag (task, alcove_create_async);
  if (!check_spec (spec, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  job = g_new0 (Job, 1);
  job->ref_count = 1;
  g_mutex_init (&job->lock);
  job->spec = *spec;
  job->spec.name = g_strdup (spec->name);
  job->spec.os = g_strdup (spec->os);
  job->spec.medium = dup_absolute (spec->medium);
  job->spec.disk_source = dup_absolute (spec->disk_source);
  job->spec.disk_use = dup_absolute (spec->disk_use);
  job->spec.kernel = dup_absolute (spec->kernel);
  job->spec.initrd = dup_absolute (spec->initrd);
  job->spec.cmdline = g_strdup (spec->cmdline);
  job->machines = g_strdup (machines_folder);
  job->progress = progress;
  job->progress_data = progress_data;
  job->context = g_main_context_ref_thread_default ();
  g_task_set_task_data (task, job, job_unref);
  /* A half-made folder is removed by the thread: the task must not end before that. */
  g_task_set_return_on_cancel (task, FALSE);
  g_task_run_in_thread (task, create_thread);
}

char *
alcove_create_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
