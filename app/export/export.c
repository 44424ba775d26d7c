/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/disk-tools.h"
#include "app/export/export-private.h"
#include "app/files.h"
#include "app/lock.h"
#include "app/paths.h"
#include "app/work.h"

static const char *const kind_words[ALCOVE_N_EXPORT_KINDS] = { "ova", "qcow2", "libvirt",
                                                               "kubevirt" };

const char *
alcove_export_kind_to_string (AlcoveExportKind kind)
{
  return kind_words[kind];
}

gboolean
alcove_export_kind_from_string (const char *word, AlcoveExportKind *ret)
{
  for (guint i = 0; i < ALCOVE_N_EXPORT_KINDS; i++)
    if (strcmp (word, kind_words[i]) == 0)
      {
        *ret = (AlcoveExportKind)i;
        return TRUE;
      }
  return FALSE;
}

/* ---- what will be lost ---- */

static void
look_at_machine (AlcoveDefinition *definition, AlcoveExportKind kind, GPtrArray *findings)
{
  const AlcoveMachineConfig *machine = alcove_definition_get_machine (definition);

  if (machine->firmware == ALCOVE_FIRMWARE_UEFI)
    alcove_findings_add (findings, ALCOVE_FINDING_LOST, "UEFI variables",
                         "Boot entries are found anew by the other program's firmware.");
  if (machine->kernel != NULL)
    alcove_findings_add (findings, ALCOVE_FINDING_LOST, "Direct kernel start",
                         "The machine starts from its disks there.");
  if (machine->cpu != ALCOVE_CPU_HOST)
    alcove_findings_add (findings, ALCOVE_FINDING_CHANGED, "CPU level",
                         "The other program chooses the CPU's features.");
  if (machine->clock == ALCOVE_CLOCK_LOCALTIME && kind != ALCOVE_EXPORT_LIBVIRT)
    alcove_findings_add (findings, ALCOVE_FINDING_LOST, "Local time of the clock",
                         "Set it there again; Windows expects it.");
  alcove_findings_add (findings, ALCOVE_FINDING_LOST, "Snapshots",
                       "Only the present state of the disks is exported.");
}

static void
look_at_devices (AlcoveDefinition *definition, AlcoveExportKind kind, GPtrArray *findings)
{
  guint n = 0;
  const AlcoveNicConfig *const *nics = alcove_definition_get_nics (definition, &n);

  for (guint i = 0; i < n; i++)
    {
      if (nics[i]->forwards->len > 0)
        alcove_findings_add (findings, ALCOVE_FINDING_LOST, "Forwarded ports",
                             "Set them up in the other program.");
      if (nics[i]->backend == ALCOVE_NIC_TAP)
        alcove_findings_add (findings, ALCOVE_FINDING_CHANGED, "Network",
                             "%s becomes the other program's own network.", nics[i]->ifname);
      if (i > 0 && kind == ALCOVE_EXPORT_KUBEVIRT)
        alcove_findings_add (findings, ALCOVE_FINDING_LOST, "Network card",
                             "Only the first is on the pod's network.");
    }
  if (n > 0 && kind == ALCOVE_EXPORT_OVA)
    alcove_findings_add (findings, ALCOVE_FINDING_CHANGED, "Network card",
                         "virtio becomes E1000, which VMware and VirtualBox have.");
  (void)alcove_definition_get_cdroms (definition, &n);
  if (n > 0 && kind != ALCOVE_EXPORT_LIBVIRT)
    alcove_findings_add (findings, ALCOVE_FINDING_LOST, "CD-ROM", "Media are not exported.");
  if (kind == ALCOVE_EXPORT_OVA)
    alcove_findings_add (findings, ALCOVE_FINDING_CHANGED, "Disk controller",
                         "It becomes SATA, which VMware and VirtualBox have.");
  (void)alcove_definition_get_consoles (definition, &n);
  if (n > 0)
    alcove_findings_add (findings, ALCOVE_FINDING_LOST, "virtio consoles",
                         "A serial port stays where the other program makes one.");
}

static gint
compare_findings (gconstpointer a, gconstpointer b)
{
  const AlcoveFinding *const *x = a, *const *y = b;

  return (gint)(*y)->kind - (gint)(*x)->kind;
}

GPtrArray *
alcove_export_look (AlcoveDefinition *definition, AlcoveExportKind kind)
{
  GPtrArray *findings = alcove_findings_new ();
  guint n = 0;

  if (kind == ALCOVE_EXPORT_QCOW2)
    {
      alcove_findings_add (findings, ALCOVE_FINDING_LOST, "Snapshots",
                           "Only the present state of the disks is exported.");
      (void)alcove_definition_get_cdroms (definition, &n);
      if (n > 0)
        alcove_findings_add (findings, ALCOVE_FINDING_NOTE, "CD-ROM",
                             "Media stay where they are on this computer.");
    }
  else
    {
      look_at_machine (definition, kind, findings);
      look_at_devices (definition, kind, findings);
    }
  g_ptr_array_sort (findings, compare_findings);
  return findings;
}

/* ---- the run ---- */

static void
disk_free (gpointer data)
{
  ExportDisk *disk = data;

  g_free (disk->file);
  g_free (disk);
}

typedef struct
{
  const BlockProgress *progress;
  guint part, n_parts;
} Meter;

/* Every part counts the same: sizes of what is not written yet are not known. */
static gboolean
on_part (guint64 done, guint64 total, gpointer user_data)
{
  Meter *meter = user_data;
  double share = total > 0 ? (double)MIN (done, total) / (double)total : 0;

  if (meter->progress == NULL || meter->progress->step == NULL)
    return TRUE;
  return meter->progress->step ((guint64)((meter->part + share) * 1000), meter->n_parts * 1000ULL,
                                meter->progress->user_data);
}

static gboolean
write_vmdk (BlockImage *from,
            const char *path,
            const char *name,
            const BlockProgress *progress,
            GError **error)
{
  const BlockFileFlags flags = { .create = TRUE, .lock = BLOCK_LOCK_EXCLUSIVE };
  BlockFile *file = block_file_open (path, &flags, error);
  gboolean good;

  if (file == NULL)
    return FALSE;
  good = block_vmdk_write_stream (from, file, name, progress, error);
  block_file_close (file);
  return good;
}

static gboolean
write_disk (Export *export,
            ExportDisk *disk,
            const char *folder,
            gboolean vmdk,
            const BlockProgress *progress,
            GError **error)
{
  const BlockImageFlags flags = { .readonly = TRUE };
  g_autofree char *group = g_strconcat ("disk ", disk->config->base.name, NULL);
  g_autofree char *word = alcove_definition_dup_value (export->definition, group, "format");
  g_autofree char *path = NULL;
  BlockFormat format = BLOCK_FORMAT_RAW;
  BlockImage *from;
  struct stat st;
  gboolean good;

  disk->file = g_strdup_printf ("%s%s%s.%s", vmdk ? export->id : "", vmdk ? "-" : "",
                                disk->config->base.name, vmdk ? "vmdk" : "qcow2");
  path = g_build_filename (folder, disk->file, NULL);
  if (word != NULL)
    (void)block_format_from_string (word, &format);
  from = block_image_open (disk->config->file, format, &flags, error);
  if (from == NULL)
    return FALSE;
  disk->size = block_image_get_size (from);
  if (vmdk)
    {
      good = write_vmdk (from, path, disk->file, progress, error);
    }
  else
    {
      const AlcoveDiskConvertSpec spec = { .to = path, .to_format = BLOCK_FORMAT_QCOW2 };

      good = alcove_disk_convert_image (from, &spec, progress, error);
    }
  block_image_close (from);
  if (good && stat (path, &st) == 0)
    disk->file_bytes = (guint64)st.st_size;
  return good;
}

static gboolean
write_document (Export *export, AlcoveExportKind kind, const char *folder, GError **error)
{
  g_autofree char *text = NULL, *name = NULL, *path = NULL;

  switch (kind)
    {
    case ALCOVE_EXPORT_LIBVIRT:
      text = export_dup_libvirt (export);
      name = g_strconcat (export->id, ".xml", NULL);
      break;
    case ALCOVE_EXPORT_KUBEVIRT:
      text = export_dup_kubevirt (export);
      name = g_strconcat (export->id, ".yaml", NULL);
      break;
    case ALCOVE_EXPORT_QCOW2:
    case ALCOVE_EXPORT_OVA:
    default:
      text = export_dup_definition (export);
      name = g_strdup (ALCOVE_DEFINITION_FILE);
      break;
    }
  path = g_build_filename (folder, name, NULL);
  return alcove_files_write (path, text, strlen (text), error);
}

/* The UEFI variables go with a folder of our own. */
static gboolean
copy_firmware_vars (Export *export, const char *folder, GError **error)
{
  const char *from = export->machine->firmware_vars;
  g_autofree char *name = NULL, *to = NULL, *data = NULL;
  gsize length;

  if (export->machine->firmware != ALCOVE_FIRMWARE_UEFI || from == NULL ||
      !g_file_test (from, G_FILE_TEST_IS_REGULAR))
    return TRUE;
  name = g_path_get_basename (from);
  to = g_build_filename (folder, name, NULL);
  return g_file_get_contents (from, &data, &length, error) &&
         alcove_files_write (to, data, length, error);
}

static gboolean
fill (Export *export,
      AlcoveExportKind kind,
      const char *folder,
      const char *archive,
      const BlockProgress *outer,
      GError **error)
{
  Meter meter = { .progress = outer, .n_parts = export->disks->len + 1 };
  const BlockProgress progress = { on_part, &meter };

  for (guint i = 0; i < export->disks->len; i++, meter.part++)
    if (!write_disk (export, g_ptr_array_index (export->disks, i), folder,
                     kind == ALCOVE_EXPORT_OVA, &progress, error))
      return FALSE;
  if (kind == ALCOVE_EXPORT_OVA)
    return export_write_ova (export, folder, archive, &progress, error);
  return (kind != ALCOVE_EXPORT_QCOW2 || copy_firmware_vars (export, folder, error)) &&
         write_document (export, kind, folder, error);
}

static gboolean
publish_folder (const char *folder, const char *to, GError **error)
{
  if (renameat2 (AT_FDCWD, folder, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
    return TRUE;
  return vmm_error_set_errno (error, -errno, "“%s” cannot be made", to);
}

static gboolean
run (Export *export, AlcoveExportKind kind, const BlockProgress *progress, GError **error)
{
  g_autofree char *folder = alcove_disk_dup_part_path (export->to);
  g_autofree char *archive = alcove_disk_dup_part_path (export->to);
  gboolean good;

  if (g_mkdir (folder, 0700) < 0)
    return vmm_error_set_errno (error, -errno, "“%s” cannot be made", export->to);
  good = fill (export, kind, folder, archive, progress, error);
  if (good && kind == ALCOVE_EXPORT_OVA)
    good = alcove_disk_publish (archive, export->to, FALSE, error);
  else if (good)
    good = publish_folder (folder, export->to, error);
  else
    (void)unlink (archive);
  if (!good || kind == ALCOVE_EXPORT_OVA)
    alcove_paths_remove_tree (folder);
  return good;
}

gboolean
alcove_export_run (const char *machine_folder,
                   AlcoveExportKind kind,
                   const char *to,
                   const BlockProgress *progress,
                   GError **error)
{
  g_autofree char *conf = g_build_filename (machine_folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autofree char *absolute = g_canonicalize_filename (to, NULL);
  g_autoptr (AlcoveDefinition) definition = NULL;
  g_autoptr (AlcoveLock) lock = NULL;
  g_autoptr (GPtrArray) disks = g_ptr_array_new_with_free_func (disk_free);
  g_autofree char *id = NULL;
  Export export = { .to = absolute, .disks = disks };
  const AlcoveDiskConfig *const *configs;
  guint n = 0;

  if (g_file_test (absolute, G_FILE_TEST_EXISTS))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_EXISTS,
                   "“%s” is there already: choose another name, or remove it first", absolute);
      return FALSE;
    }
  lock = alcove_lock_acquire (machine_folder, "exports it", error);
  if (lock == NULL)
    return FALSE;
  definition = alcove_definition_load (conf, error);
  if (definition == NULL)
    return FALSE;
  export.definition = definition;
  export.machine = alcove_definition_get_machine (definition);
  export.id = id = alcove_create_dup_folder_name (export.machine->title);
  configs = alcove_definition_get_disks (definition, &n);
  for (guint i = 0; i < n; i++)
    {
      ExportDisk *disk = g_new0 (ExportDisk, 1);

      disk->config = configs[i];
      g_ptr_array_add (disks, disk);
    }
  return run (&export, kind, progress, error);
}

/* ---- off the main thread ---- */

typedef struct
{
  char *folder, *to;
  AlcoveExportKind kind;
  AlcoveWork *work;
} Job;

static void
job_free (gpointer data)
{
  Job *job = data;

  g_free (job->folder);
  g_free (job->to);
  alcove_work_unref (job->work);
  g_free (job);
}

static void
run_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Job *job = task_data;
  GError *error = NULL;

  if (alcove_export_run (job->folder, job->kind, job->to, alcove_work_get_progress (job->work),
                         &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

void
alcove_export_run_async (const char *machine_folder,
                         AlcoveExportKind kind,
                         const char *to,
                         AlcoveProgressFunc progress,
                         gpointer progress_data,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Job *job = g_new0 (Job, 1);

  job->folder = g_strdup (machine_folder);
  job->to = g_strdup (to);
  job->kind = kind;
  job->work = alcove_work_new (progress, progress_data, cancellable);
  g_task_set_source_tag (task, alcove_export_run_async);
  g_task_set_task_data (task, job, job_free);
  g_task_run_in_thread (task, run_thread);
}

gboolean
alcove_export_run_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
