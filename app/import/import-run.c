/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Making the machine: everything in a hidden folder, which gets its name at the end. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/disk-tools.h"
#include "app/import/import-private.h"
#include "app/paths.h"

#define HASH_CHUNK (1u << 20)

/* One scale for all parts of the work: bytes that pass through. */
typedef struct
{
  const BlockProgress *progress;
  guint64 before, part, total;
} Meter;

static gboolean
on_part (guint64 done, guint64 total, gpointer user_data)
{
  Meter *meter = user_data;
  guint64 now = meter->part;

  if (meter->progress == NULL || meter->progress->step == NULL)
    return TRUE;
  if (total > 0)
    now = (guint64)((double)meter->part * ((double)MIN (done, total) / (double)total));
  return meter->progress->step (MIN (meter->before + now, meter->total), meter->total,
                                meter->progress->user_data);
}

static void
next_part (Meter *meter, guint64 part)
{
  meter->before += meter->part;
  meter->part = part;
}

/* ---- definition ---- */

/* Whether this build has that controller. */
static gboolean
bus_is_known (const char *bus)
{
  g_autofree char *text =
      g_strdup_printf ("[machine]\nuuid=00000000-0000-4000-8000-000000000001\nname=x\nmemory=64\n"
                       "[disk x]\nfile=/x\nbus=%s\n",
                       bus);
  g_autoptr (AlcoveDefinition) definition = alcove_definition_new_from_text (text, -1, NULL, NULL);

  return definition != NULL;
}

/* What the guest has a driver for, where there is such a controller; NULL: our usual one. */
static const char *
choose_bus (const char *bus)
{
  static const struct
  {
    const char *from;
    const char *to[3];
  } table[] = {
    { "sata", { "sata", "ahci", NULL } }, { "ide", { "sata", "ahci", NULL } },
    { "nvme", { "nvme", "sata", NULL } }, { "scsi", { "sata", "ahci", NULL } },
    { "usb", { "sata", "ahci", NULL } },
  };

  for (gsize i = 0; bus != NULL && i < G_N_ELEMENTS (table); i++)
    if (strcmp (bus, table[i].from) == 0)
      for (guint k = 0; table[i].to[k] != NULL; k++)
        if (bus_is_known (table[i].to[k]))
          return table[i].to[k];
  return NULL;
}

void
import_note_buses (AlcoveImport *import)
{
  for (guint i = 0; i < import->disks->len; i++)
    {
      const AlcoveImportDisk *disk = g_ptr_array_index (import->disks, i);
      const char *to = choose_bus (disk->bus);

      if (disk->bus == NULL || strcmp (disk->bus, "virtio") == 0 ||
          (to != NULL && strcmp (to, disk->bus) == 0))
        continue;
      if (to != NULL)
        alcove_findings_add (import->findings, ALCOVE_FINDING_CHANGED, disk->source,
                             "Its controller (%s) becomes %s.", disk->bus, to);
      else
        alcove_findings_add (
            import->findings, ALCOVE_FINDING_CHANGED, disk->source,
            "Its controller (%s) becomes virtio. Linux has the driver; Windows does "
            "not start before it is installed.",
            disk->bus);
    }
}

static char *
dup_disk_name (guint index)
{
  return index == 0 ? g_strdup ("system") : g_strdup_printf ("disk%u", index + 1);
}

static char *
dup_disk_file (guint index, BlockFormat format)
{
  g_autofree char *name = dup_disk_name (index);

  return g_strconcat (name, format == BLOCK_FORMAT_RAW ? ".img" : ".qcow2", NULL);
}

static void
set_number (AlcoveConfFile *file, const char *key, guint value)
{
  g_autofree char *text = g_strdup_printf ("%u", value);

  alcove_conf_file_set_value (file, "machine", key, text);
}

static void
set_machine (AlcoveConfFile *file, const AlcoveImport *import, const char *title)
{
  g_autofree char *uuid = g_uuid_string_random ();
  g_autofree char *memory = g_strdup_printf ("%" G_GUINT64_FORMAT "M", import->memory_mib);

  alcove_conf_file_set_value (file, "machine", "uuid", uuid);
  alcove_conf_file_set_value (file, "machine", "name", title);
  if (import->os != NULL)
    alcove_conf_file_set_value (file, "machine", "os", import->os);
  alcove_conf_file_set_value (file, "machine", "memory", memory);
  set_number (file, "cpus", import->cpus);
  if (import->sockets > 0)
    {
      set_number (file, "sockets", import->sockets);
      set_number (file, "cores", import->cores);
      set_number (file, "threads", import->threads);
    }
  alcove_conf_file_set_value (file, "machine", "firmware",
                              import->firmware == ALCOVE_FIRMWARE_UEFI ? "uefi" : "bios");
  if (import->local_time)
    alcove_conf_file_set_value (file, "machine", "clock", "localtime");
}

static void
set_disk (AlcoveConfFile *file, const AlcoveImportDisk *disk, guint index, BlockFormat format)
{
  g_autofree char *name = dup_disk_name (index), *group = g_strconcat ("disk ", name, NULL);
  g_autofree char *path = dup_disk_file (index, format);
  const char *bus = choose_bus (disk->bus);

  alcove_conf_file_set_value (file, group, "file", path);
  alcove_conf_file_set_value (file, group, "format", block_format_to_string (format));
  if (bus != NULL)
    alcove_conf_file_set_value (file, group, "bus", bus);
  if (disk->readonly)
    alcove_conf_file_set_value (file, group, "readonly", "true");
  if (index == 0)
    alcove_conf_file_set_value (file, group, "boot-index", "1");
}

static void
set_nic (AlcoveConfFile *file, const AlcoveImportNic *nic, guint index)
{
  g_autofree char *group =
      index == 0 ? g_strdup ("nic lan") : g_strdup_printf ("nic lan%u", index + 1);

  alcove_conf_file_set_value (file, group, "backend", "user");
  if (nic->has_mac)
    {
      g_autofree char *mac = alcove_mac_to_string (nic->mac);

      alcove_conf_file_set_value (file, group, "mac", mac);
    }
  if (nic->forwards != NULL)
    alcove_conf_file_set_value (file, group, "forward", nic->forwards);
}

static char *
dup_definition (const AlcoveImport *import, const char *title, BlockFormat format)
{
  static const char header[] =
      "# A virtual machine of Alcove, imported. Comments and order are kept "
      "when Alcove changes a value.\n\n";
  g_auto (AlcoveProblems) problems = { 0 };
  g_autoptr (AlcoveConfFile) file = NULL;

  alcove_problems_init (&problems, ALCOVE_DEFINITION_FILE);
  file = alcove_conf_file_parse (header, strlen (header), &problems);
  set_machine (file, import, title);
  for (guint i = 0; i < import->disks->len; i++)
    set_disk (file, g_ptr_array_index (import->disks, i), i, format);
  for (guint i = 0; i < import->cdroms->len; i++)
    {
      g_autofree char *group = g_strdup_printf ("cdrom cd%u", i + 1);

      alcove_conf_file_set_value (file, group, "file", g_ptr_array_index (import->cdroms, i));
      if (i == 0)
        alcove_conf_file_set_value (file, group, "boot-index", "2");
    }
  for (guint i = 0; i < import->nics->len; i++)
    set_nic (file, g_ptr_array_index (import->nics, i), i);
  alcove_conf_file_set_value (file, "display main", "type",
                              import->no_display ? "none" : "virtio-vga");
  alcove_conf_file_set_value (file, "input keyboard", "type", "keyboard");
  alcove_conf_file_set_value (file, "input tablet", "type", "tablet");
  alcove_conf_file_set_value (file, "serial com1", "backend", "console");
  alcove_conf_file_set_value (file, "console main", "backend", "console");
  alcove_conf_file_add_group (file, "rng main", NULL);
  return alcove_conf_file_to_text (file, NULL);
}

/* ---- disks ---- */

/* Of a file beside an unpacked envelope, against its manifest. */
static gboolean
check_file (const AlcoveImport *import,
            const char *path,
            const BlockProgress *progress,
            GError **error)
{
  g_autofree char *name = g_path_get_basename (path);
  g_autoptr (GChecksum) hash = import_hash_new (import, name);
  g_autofree guint8 *buffer = NULL;
  struct stat st;
  guint64 done = 0;
  ssize_t n;
  int fd;

  if (hash == NULL)
    return TRUE;
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat (fd, &st) < 0)
    {
      (void)vmm_error_set_errno (error, -errno, "“%s” cannot be read", path);
      if (fd >= 0)
        close (fd);
      return FALSE;
    }
  buffer = g_malloc (HASH_CHUNK);
  while ((n = read (fd, buffer, HASH_CHUNK)) > 0)
    {
      g_checksum_update (hash, buffer, n);
      done += (guint64)n;
      if (!progress->step (done, (guint64)st.st_size, progress->user_data))
        {
          close (fd);
          g_set_error (error, VMM_ERROR, VMM_ERROR_CANCELLED, "The import was cancelled");
          return FALSE;
        }
    }
  if (n < 0)
    (void)vmm_error_set_errno (error, -errno, "“%s” cannot be read", path);
  close (fd);
  return n == 0 && import_hash_check (import, name, hash, error);
}

static gboolean
run_disk (const AlcoveImport *import,
          guint index,
          const char *folder,
          BlockFormat format,
          Meter *meter,
          GError **error)
{
  const AlcoveImportDisk *disk = g_ptr_array_index (import->disks, index);
  const BlockProgress progress = { on_part, meter };
  g_autofree char *file = dup_disk_file (index, format),
                  *to = g_build_filename (folder, file, NULL);
  g_autofree char *unpacked = NULL;
  AlcoveDiskConvertSpec spec = {
    .from = disk->source, .from_format = disk->format, .to = to, .to_format = format
  };
  gboolean good;

  next_part (meter, disk->file_bytes);
  if (disk->in_archive)
    {
      /* Not by the name it has there, which may be one of the machine's own files. */
      unpacked = g_strdup_printf ("%s/.unpacked-%u", folder, index);
      spec.from = unpacked;
      if (!import_extract (import, disk->source, unpacked, &progress, error) ||
          !import_check_alone (import, unpacked, disk->source, disk->format, error))
        return FALSE;
    }
  else if (!check_file (import, disk->source, &progress, error))
    {
      return FALSE;
    }
  next_part (meter, MAX (disk->size, 1));
  good = alcove_disk_convert (&spec, &progress, error);
  if (unpacked != NULL)
    (void)unlink (unpacked);
  return good;
}

static gboolean
fill_folder (const AlcoveImport *import,
             const AlcoveImportSpec *spec,
             const char *folder,
             const char *title,
             const BlockProgress *progress,
             GError **error)
{
  g_autofree char *text = dup_definition (import, title, spec->disk_format);
  g_autofree char *path = g_build_filename (folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autoptr (AlcoveDefinition) definition = NULL;
  Meter meter = { .progress = progress };

  /* What is wrong with it is named before gigabytes are copied. */
  definition = alcove_definition_new_from_text (text, -1, path, error);
  if (definition == NULL || !alcove_definition_assign (definition, error) ||
      !alcove_definition_create (definition, error))
    return FALSE;
  for (guint i = 0; i < import->disks->len; i++)
    {
      const AlcoveImportDisk *disk = g_ptr_array_index (import->disks, i);

      meter.total += disk->file_bytes + MAX (disk->size, 1);
    }
  for (guint i = 0; i < import->disks->len; i++)
    if (!run_disk (import, i, folder, spec->disk_format, &meter, error))
      return FALSE;
  return TRUE;
}

char *
alcove_import_run (const AlcoveImport *import,
                   const AlcoveImportSpec *spec,
                   const BlockProgress *progress,
                   GError **error)
{
  const char *title = spec->name != NULL && *spec->name != '\0' ? spec->name : import->title;
  g_autofree char *folder = g_build_filename (spec->machines, ".new-XXXXXX", NULL);
  char *path = NULL;

  if (spec->disk_format != BLOCK_FORMAT_RAW && spec->disk_format != BLOCK_FORMAT_QCOW2)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "A machine's disks can be raw or qcow2, not %s",
                   block_format_to_string (spec->disk_format));
      return NULL;
    }
  if (g_mkdir_with_parents (spec->machines, 0700) < 0 || g_mkdtemp_full (folder, 0700) == NULL)
    {
      (void)vmm_error_set_errno (error, -errno, "“%s” cannot take a new machine", spec->machines);
      return NULL;
    }
  if (fill_folder (import, spec, folder, title, progress, error))
    path = alcove_create_publish (spec->machines, folder, title, error);
  if (path == NULL)
    alcove_paths_remove_tree (folder);
  return path;
}
