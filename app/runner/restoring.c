/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/restoring.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

#include "app/saved.h"
#include "vmm/restore.h"

#define PREFETCH_DELAY_MS 500

struct _RunnerRestoring
{
  char *folder;
  gboolean consume, generation;
  AlcoveDefinition *definition;
  guint64 inode;          /* of the folder: another one in its place is not ours to remove */
  char **changed_media;   /* drives whose medium is another one now */
  VmmRestore *restore;    /* (nullable) until its memory is fetched */
  RunnerMachine *machine; /* borrowed */
  GError *error;          /* of the prefetch */
};

RunnerRestoring *
runner_restoring_new (const RunnerOptions *options, AlcoveDefinition *definition, GError **error)
{
  RunnerRestoring *self = g_new0 (RunnerRestoring, 1);
  GStatBuf st;

  self->folder = g_strdup (options->restore);
  self->consume = options->consume;
  self->generation = options->generation;
  self->definition = g_object_ref (definition);
  self->inode = g_stat (self->folder, &st) == 0 ? st.st_ino : 0;
  if (alcove_saved_check_record (self->folder, definition, error) &&
      alcove_saved_list_changed_media (self->folder, definition, &self->changed_media, error))
    self->restore = vmm_restore_open (self->folder, error);
  if (self->restore == NULL)
    {
      runner_restoring_free (self, FALSE);
      return NULL;
    }
  return self;
}

static void
consume (RunnerRestoring *self)
{
  g_autoptr (GError) error = NULL;
  GStatBuf st;

  if (self->consume && g_stat (self->folder, &st) == 0 && st.st_ino == self->inode &&
      !alcove_saved_remove (self->folder, &error))
    fprintf (stderr, "alcove-vmm: %s\n", error->message);
  self->consume = FALSE;
}

static gboolean
on_fetched (gpointer user_data)
{
  RunnerRestoring *self = user_data;

  g_clear_pointer (&self->restore, vmm_restore_free);
  if (self->error == NULL)
    consume (self);
  else
    vmm_machine_request (vmm_vm_get_machine (runner_machine_get_vm (self->machine)),
                         VMM_REQUEST_ERROR, 0, self->error->message);
  return G_SOURCE_REMOVE;
}

/* The prefetch's thread. */
static void
on_fetch_done (const GError *error, gpointer user_data)
{
  RunnerRestoring *self = user_data;

  self->error = error != NULL ? g_error_copy (error) : NULL;
  if (!g_error_matches (error, VMM_ERROR, VMM_ERROR_CANCELLED))
    g_idle_add_full (G_PRIORITY_DEFAULT, on_fetched, self, NULL);
}

static void
renew_generation (RunnerMachine *machine)
{
  guint8 id[16];

  for (guint i = 0; i < sizeof id; i += 4)
    {
      guint32 word = g_random_int ();

      memcpy (id + i, &word, sizeof word);
    }
  q35_board_set_generation_id (runner_machine_get_board (machine), id);
}

/* (transfer full) (nullable): what the definition puts into a drive. */
static char *
dup_medium (RunnerRestoring *self, const char *name)
{
  guint n;
  const AlcoveDiskConfig *const *drives = alcove_definition_get_cdroms (self->definition, &n);

  for (guint i = 0; i < n; i++)
    if (strcmp (drives[i]->base.name, name) == 0)
      return g_strdup (drives[i]->file);
  return NULL;
}

/* The drive was loaded as if its medium were still the one it was saved with. */
static gboolean
tell_of_media (RunnerRestoring *self, GError **error)
{
  for (guint i = 0; self->changed_media[i] != NULL; i++)
    {
      const char *name = self->changed_media[i];
      g_autofree char *path = dup_medium (self, name);

      /* By force: while a machine is off, no lock of its guest holds a tray. */
      if (!runner_machine_set_medium (self->machine, name, path, TRUE, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
runner_restoring_start (RunnerRestoring *self,
                        RunnerMachine *machine,
                        gboolean paused,
                        GError **error)
{
  VmmVm *vm = runner_machine_get_vm (machine);

  self->machine = machine;
  if (!vmm_vm_start_restored (vm, self->restore, TRUE, error))
    return FALSE;
  if (!tell_of_media (self, error))
    return FALSE;
  if (self->generation)
    renew_generation (machine);
  /* From here on the guest writes. Should the process die before the state is consumed, the next one
   * must find that the disks are not those of the snapshot any more. */
  if (self->consume && self->generation &&
      !alcove_saved_write_record (self->folder, self->definition, TRUE, error))
    return FALSE;
  if (!paused && !vmm_vm_resume (vm, error))
    return FALSE;
  return vmm_restore_prefetch (self->restore, PREFETCH_DELAY_MS, on_fetch_done, self, error);
}

void
runner_restoring_free (RunnerRestoring *self, gboolean ended)
{
  if (self == NULL)
    return;
  vmm_restore_free (self->restore);
  while (g_source_remove_by_user_data (self))
    ;
  if (ended)
    consume (self);
  g_clear_error (&self->error);
  g_object_unref (self->definition);
  g_strfreev (self->changed_media);
  g_free (self->folder);
  g_free (self);
}
