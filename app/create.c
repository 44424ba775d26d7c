/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/create.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app/disk-tools.h"
#include "app/files.h"
#include "app/paths.h"

#define MIB            (1024 * 1024)
#define GIB            (1024ULL * MIB)
#define DISK_BYTES_MIN (1ULL * MIB)
#define DISK_BYTES_MAX (64ULL * 1024 * GIB)
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
  spec->disk_format = BLOCK_FORMAT_QCOW2;
  spec->source_format = BLOCK_FORMAT_RAW;
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

static const char *
own_disk_name (const AlcoveCreateSpec *spec)
{
  return spec->disk_format == BLOCK_FORMAT_QCOW2 ? "system.qcow2" : "system.img";
}

char *
alcove_create_dup_text (const AlcoveCreateSpec *spec, const char *disk, BlockFormat disk_format)
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
      alcove_conf_file_set_value (file, "disk system", "format",
                                  block_format_to_string (disk_format));
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

/* What the copy does, told and ended as the caller asked. */
typedef struct
{
  Job *job;
  GCancellable *cancellable;
} Copy;

static gboolean
on_step (guint64 done, guint64 total, gpointer user_data)
{
  Copy *copy = user_data;

  report (copy->job, done, total);
  return !g_cancellable_is_cancelled (copy->cancellable);
}

/* A folder or a device is no image to copy; what looks like another format was named wrongly: a raw
 * copy of it would start no guest. */
static gboolean
check_source (const AlcoveCreateSpec *spec, GError **error)
{
  BlockFormat looks;
  struct stat st;

  if (stat (spec->disk_source, &st) < 0)
    return alcove_files_set_error (error, errno, spec->disk_source, "cannot be opened");
  if (!S_ISREG (st.st_mode) || st.st_size == 0)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "%s is no disk image: it must be a file with something in it",
                   spec->disk_source);
      return FALSE;
    }
  looks = alcove_disk_guess_format (spec->disk_source);
  if (spec->source_format == BLOCK_FORMAT_RAW && looks != BLOCK_FORMAT_RAW)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "%s looks like a %s image, and is to be copied as a raw one: name its format",
                   spec->disk_source, block_format_to_string (looks));
      return FALSE;
    }
  return TRUE;
}

static gboolean
copy_disk (Job *job, const char *path, GCancellable *cancellable, GError **error)
{
  const AlcoveDiskConvertSpec spec = {
    .from = job->spec.disk_source,
    .from_format = job->spec.source_format,
    .to = path,
    .to_format = job->spec.disk_format,
  };
  Copy copy = { job, cancellable };
  const BlockProgress progress = { on_step, &copy };
  GError *local = NULL;

  if (!check_source (&job->spec, error))
    return FALSE;
  if (alcove_disk_convert (&spec, &progress, &local))
    return TRUE;
  if (!g_error_matches (local, VMM_ERROR, VMM_ERROR_CANCELLED) ||
      !g_cancellable_set_error_if_cancelled (cancellable, error))
    g_propagate_error (error, g_steal_pointer (&local));
  g_clear_error (&local);
  return FALSE;
}

static gboolean
make_disk (Job *job, const char *folder, GCancellable *cancellable, GError **error)
{
  const AlcoveCreateSpec *spec = &job->spec;
  g_autofree char *path = g_build_filename (folder, own_disk_name (spec), NULL);
  /* Whole sectors, as every guest expects. */
  const BlockCreateOptions options = { .size = (spec->disk_bytes + 511) / 512 * 512 };
  GPtrArray *chain;
  guint64 size;

  if (spec->disk_source == NULL
          ? !block_image_create (path, spec->disk_format, &options, NULL, error)
          : !copy_disk (job, path, cancellable, error))
    return FALSE;
  /* The guest's files are nobody else's business. */
  if (g_chmod (path, 0600) < 0)
    return alcove_files_set_error (error, errno, path, "cannot be made private");
  if (spec->disk_source == NULL)
    return TRUE;
  chain = alcove_disk_get_chain (path, spec->disk_format, error);
  if (chain == NULL)
    return FALSE;
  size = ((const AlcoveDiskImage *)g_ptr_array_index (chain, 0))->size;
  g_ptr_array_unref (chain);
  return size >= options.size ||
         alcove_disk_resize (path, spec->disk_format, options.size, FALSE, NULL, error);
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
        {
          if (alcove_files_sync_folder (machines, error))
            return g_steal_pointer (&path);
          alcove_paths_remove_tree (path); /* what failed is not there */
          return NULL;
        }
      if (errno != EEXIST)
        {
          (void)alcove_files_set_error (error, errno, path, "cannot be made");
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
  g_autofree char *text =
      own_disk ? alcove_create_dup_text (spec, own_disk_name (spec), spec->disk_format)
               : alcove_create_dup_text (spec, spec->disk_use, spec->source_format);
  g_autoptr (AlcoveDefinition) definition = NULL;

  /* First the definition: a wrong answer is named before gigabytes are copied. */
  definition = alcove_definition_new_from_text (text, -1, path, error);
  if (definition == NULL || !alcove_definition_assign (definition, error) ||
      !alcove_definition_create (definition, error))
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
      (void)alcove_files_set_error (&error, errno, job->machines, "cannot be made");
      g_task_return_error (task, error);
      return;
    }
  folder = g_build_filename (job->machines, ".new-XXXXXX", NULL);
  if (g_mkdtemp_full (folder, 0700) == NULL)
    {
      (void)alcove_files_set_error (&error, errno, job->machines, "cannot take a new machine");
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
  else if (spec->disk_format != BLOCK_FORMAT_RAW && spec->disk_format != BLOCK_FORMAT_QCOW2)
    problem = "A machine's disk is a qcow2 or a raw image";
  else if (spec->disk_use != NULL && spec->source_format != BLOCK_FORMAT_RAW &&
           spec->source_format != BLOCK_FORMAT_QCOW2)
    problem = "Only qcow2 and raw images can be used where they are: copy or import this one";
  if (problem != NULL)
    {
      g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, problem);
      return FALSE;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    if (paths[i] != NULL && g_access (paths[i], R_OK) < 0)
      return alcove_files_set_error (error, errno, paths[i], "cannot be read");
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
