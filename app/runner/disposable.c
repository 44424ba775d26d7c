/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/disposable.h"

#include <unistd.h>

#include "app/files.h"
#include "app/paths.h"
#include "devices/backends/block/image.h"

#define FOLDER ".disposable"

struct _RunnerDisposable
{
  char *folder;
  AlcoveDefinition *definition;
  GPtrArray *overlays; /* of char *: paths */
};

void
runner_disposable_clean (const char *machine_folder)
{
  g_autofree char *folder = g_build_filename (machine_folder, FOLDER, NULL);

  alcove_paths_remove_tree (folder);
}

static gboolean
add_disk (RunnerDisposable *self,
          AlcoveConfFile *conf,
          const AlcoveDiskConfig *disk,
          GError **error)
{
  g_autofree char *group = g_strconcat ("disk ", disk->base.name, NULL);
  g_autofree char *name = g_strconcat (disk->base.name, ".qcow2", NULL);
  char *path = g_build_filename (self->folder, name, NULL);
  BlockCreateOptions options = {
    .backing_file = disk->file,
    .backing_format = disk->format == ALCOVE_DISK_QCOW2 ? "qcow2" : "raw",
  };

  g_ptr_array_add (self->overlays, path);
  if (!block_image_create (path, BLOCK_FORMAT_QCOW2, &options, NULL, error))
    {
      g_prefix_error (error, "[%s]: cannot make an overlay that is thrown away: ", group);
      return FALSE;
    }
  alcove_conf_file_set_value (conf, group, "file", path);
  alcove_conf_file_set_value (conf, group, "format", "qcow2");
  return TRUE;
}

static gboolean
add_firmware_variables (RunnerDisposable *self,
                        AlcoveConfFile *conf,
                        AlcoveDefinition *definition,
                        GError **error)
{
  const AlcoveMachineConfig *machine = alcove_definition_get_machine (definition);
  g_autofree char *path = g_build_filename (self->folder, "firmware-vars.fd", NULL);

  if (machine->firmware != ALCOVE_FIRMWARE_UEFI)
    return TRUE;
  if (g_file_test (machine->firmware_vars, G_FILE_TEST_EXISTS) &&
      !alcove_files_copy (machine->firmware_vars, path, NULL, error))
    return FALSE;
  alcove_conf_file_set_value (conf, "machine", "firmware-vars", path);
  return TRUE;
}

RunnerDisposable *
runner_disposable_new (const char *machine_folder, AlcoveDefinition *definition, GError **error)
{
  RunnerDisposable *self = g_new0 (RunnerDisposable, 1);
  g_autoptr (AlcoveConfFile) conf = alcove_definition_dup_conf (definition);
  g_autofree char *absolute = g_canonicalize_filename (machine_folder, NULL);
  g_autofree char *text = NULL;
  const AlcoveDiskConfig *const *disks;
  guint n;

  self->folder = g_build_filename (absolute, FOLDER, NULL);
  self->overlays = g_ptr_array_new_with_free_func (g_free);
  disks = alcove_definition_get_disks (definition, &n);
  if (!alcove_files_make_folder (self->folder, error) ||
      !add_firmware_variables (self, conf, definition, error))
    goto fail;
  for (guint i = 0; i < n; i++)
    if (!disks[i]->readonly && !add_disk (self, conf, disks[i], error))
      goto fail;
  text = alcove_conf_file_to_text (conf, NULL);
  self->definition =
      alcove_definition_new_from_text (text, -1, alcove_definition_get_path (definition), error);
  if (self->definition != NULL)
    return self;

fail:
  runner_disposable_free (self);
  return NULL;
}

AlcoveDefinition *
runner_disposable_get_definition (RunnerDisposable *self)
{
  return self->definition;
}

void
runner_disposable_opened (RunnerDisposable *self)
{
  for (guint i = 0; i < self->overlays->len; i++)
    (void)unlink (g_ptr_array_index (self->overlays, i));
}

void
runner_disposable_free (RunnerDisposable *self)
{
  if (self == NULL)
    return;
  alcove_paths_remove_tree (self->folder);
  g_clear_object (&self->definition);
  g_ptr_array_unref (self->overlays);
  g_free (self->folder);
  g_free (self);
}
