/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The read-only images under linked clones, and who needs them. */
#include <string.h>
#include <unistd.h>
#include "app/clone.h"
#include "app/files.h"
#include "devices/backends/block/image.h"

void
alcove_base_free (AlcoveBase *base)
{
  if (base == NULL)
    return;
  g_free (base->name);
  g_ptr_array_unref (base->users);
  g_free (base);
}

static void
free_base (gpointer data)
{
  alcove_base_free (data);
}

char *
alcove_bases_dup_folder (const char *machines_folder)
{
  g_autofree char *parent = g_path_get_dirname (machines_folder);

  return g_build_filename (parent, "bases", NULL);
}

static GPtrArray *
list_files (const char *folder, GError **error)
{
  g_autoptr (GPtrArray) bases = g_ptr_array_new_with_free_func (free_base);
  g_autoptr (GError) local = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &local);
  const char *name;

  if (dir == NULL && !g_error_matches (local, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      AlcoveBase *base;

      if (!g_str_has_suffix (name, ".qcow2"))
        continue;
      base = g_new0 (AlcoveBase, 1);
      base->name = g_strdup (name);
      base->size = alcove_files_get_allocated (path);
      base->users = g_ptr_array_new_with_free_func (g_free);
      g_ptr_array_add (bases, base);
    }
  return g_steal_pointer (&bases);
}

static void
note_user (GPtrArray *bases, const char *folder, const char *backing, const char *user)
{
  for (guint i = 0; i < bases->len; i++)
    {
      AlcoveBase *base = g_ptr_array_index (bases, i);
      g_autofree char *path = g_build_filename (folder, base->name, NULL);

      if (strcmp (path, backing) == 0 &&
          !g_ptr_array_find_with_equal_func (base->users, user, g_str_equal, NULL))
        g_ptr_array_add (base->users, g_strdup (user));
    }
}

/* The whole chain of one image, each link looked at alone and without locks. */
static void
ask_image (GPtrArray *bases, const char *folder, const char *image_path, const char *user)
{
  BlockImageFlags flags = { .readonly = TRUE, .no_lock = TRUE, .no_backing = TRUE };
  g_autofree char *path = g_strdup (image_path);

  for (guint depth = 0; path != NULL && depth < BLOCK_CHAIN_MAX; depth++)
    {
      BlockImage *image = block_image_open (path, BLOCK_FORMAT_QCOW2, &flags, NULL);
      g_autofree char *parent = g_path_get_dirname (path);
      BlockImageInfo info = { 0 };

      g_clear_pointer (&path, g_free);
      if (image == NULL)
        return;
      image->ops->get_info (image, &info);
      if (info.backing_file != NULL)
        {
          path = g_canonicalize_filename (info.backing_file, parent);
          note_user (bases, folder, path, user);
        }
      block_image_close (image);
    }
}

/* Every image in a machine's folder, in the definition or not: a snapshot may need it, and a clone
 * that is being made has no definition yet. */
static void
ask_machine (GPtrArray *bases, const char *folder, const char *machine, const char *user)
{
  g_autoptr (GDir) dir = g_dir_open (machine, 0, NULL);
  g_autofree char *conf = g_build_filename (machine, ALCOVE_DEFINITION_FILE, NULL);
  g_autoptr (AlcoveDefinition) definition = NULL;
  const char *name;
  guint n = 0;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (machine, name, NULL);

      if (g_str_has_suffix (name, ".qcow2"))
        ask_image (bases, folder, path, user);
    }
  definition = alcove_definition_load (conf, NULL);
  if (definition != NULL)
    {
      const AlcoveDiskConfig *const *disks = alcove_definition_get_disks (definition, &n);

      for (guint i = 0; i < n; i++)
        if (disks[i]->format == ALCOVE_DISK_QCOW2)
          ask_image (bases, folder, disks[i]->file, user);
    }
}

static void
ask_machines (GPtrArray *bases, const char *folder, const char *machines, const char *where)
{
  g_autoptr (GDir) dir = g_dir_open (machines, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *machine = g_build_filename (machines, name, NULL);
      g_autofree char *user = g_strconcat (name, where, NULL);

      ask_machine (bases, folder, machine, user);
    }
}

GPtrArray *
alcove_bases_list (const char *machines_folder, GError **error)
{
  g_autofree char *folder = alcove_bases_dup_folder (machines_folder);
  g_autofree char *trash = g_build_filename (g_get_user_data_dir (), "Trash", "files", NULL);
  GPtrArray *bases = list_files (folder, error);

  if (bases == NULL || bases->len == 0)
    return bases;
  ask_machines (bases, folder, machines_folder, "");
  ask_machines (bases, folder, trash, " (in the trash)");
  return bases;
}

gboolean
alcove_bases_delete (const char *machines_folder, const char *name, GError **error)
{
  g_autofree char *folder = alcove_bases_dup_folder (machines_folder);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GPtrArray) bases = alcove_bases_list (machines_folder, error);

  if (bases == NULL)
    return FALSE;
  for (guint i = 0; i < bases->len; i++)
    {
      AlcoveBase *base = g_ptr_array_index (bases, i);

      if (strcmp (base->name, name) != 0)
        continue;
      if (base->users->len == 0)
        return alcove_files_remove (path, error);
      g_ptr_array_add (base->users, NULL);
      {
        g_autofree char *users = g_strjoinv (", ", (GStrv)base->users->pdata);

        g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                     "The base %s is needed by: %s. Delete these machines first (and empty the "
                     "trash)",
                     name, users);
      }
      return FALSE;
    }
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND, "There is no base %s in %s", name,
               folder);
  return FALSE;
}
