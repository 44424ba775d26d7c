/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove disk add and remove: edit the definition and, while the machine runs, plug the disk in or
 * ask the guest to release it. */
#include <stdio.h>
#include <string.h>

#include "app/cli/disk-private.h"
#include "app/definition-disks.h"
#include "app/disk-tools.h"

#define TIMEOUT_S     30
#define TIMEOUT_S_MAX 600

typedef struct
{
  char *file, *format, *bus, *controller, *name, *serial;
  gboolean readonly;
} NewDisk;

static void
new_disk_clear (NewDisk *disk)
{
  g_free (disk->file);
  g_free (disk->format);
  g_free (disk->bus);
  g_free (disk->controller);
  g_free (disk->name);
  g_free (disk->serial);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (NewDisk, new_disk_clear)

/* "data", "data2", ... */
static char *
free_name (AlcoveDefinition *definition)
{
  for (guint i = 1;; i++)
    {
      g_autofree char *name = i == 1 ? g_strdup ("data") : g_strdup_printf ("data%u", i);

      if (alcove_definition_find_disk (definition, name) == NULL)
        return g_steal_pointer (&name);
    }
}

static void
set_key (AlcoveConfFile *file, const char *group, const char *key, const char *value)
{
  if (value != NULL)
    alcove_conf_file_set_value (file, group, key, value);
}

/* (transfer full): the text of the new group. */
static char *
describe (const NewDisk *disk, AlcoveDefinition *definition)
{
  g_auto (AlcoveProblems) problems = { 0 };
  g_autoptr (AlcoveConfFile) file = NULL;
  g_autofree char *name = disk->name != NULL ? g_strdup (disk->name) : free_name (definition);
  g_autofree char *group = g_strconcat ("disk ", name, NULL);
  g_autofree char *path = g_canonicalize_filename (disk->file, NULL);
  const char *folder = alcove_definition_get_folder (definition);
  g_autofree char *prefix = g_strconcat (folder != NULL ? folder : "", "/", NULL);

  alcove_problems_init (&problems, "disk");
  file = alcove_conf_file_parse ("", 0, &problems);
  /* What lies in the machine's folder moves with it. */
  set_key (file, group, "file",
           folder != NULL && g_str_has_prefix (path, prefix) ? path + strlen (prefix) : path);
  set_key (file, group, "format", disk->format);
  set_key (file, group, "bus", disk->bus);
  set_key (file, group, "controller", disk->controller);
  set_key (file, group, "serial", disk->serial);
  set_key (file, group, "readonly", disk->readonly ? "true" : NULL);
  return alcove_conf_file_to_text (file, NULL);
}

static gboolean
plug_in (AlcoveMachine *machine, AlcoveDefinition *definition, const char *name, GError **error)
{
  g_autofree char *group = alcove_definition_dup_disk_group (definition, name);
  g_autofree char *answer = NULL;
  g_autoptr (GAsyncResult) result = NULL;

  alcove_machine_add_disk_async (machine, group, NULL, cli_on_ready, &result);
  cli_wait (&result);
  answer = alcove_machine_add_disk_finish (machine, result, error);
  if (answer == NULL)
    return FALSE;
  /* The machine may have chosen a place. */
  if (strcmp (answer, group) != 0)
    {
      g_autofree char *again = NULL;

      if (!alcove_definition_remove_disk (definition, name, error))
        return FALSE;
      again = alcove_definition_add_disk (definition, answer, TRUE, error);
      return again != NULL;
    }
  return TRUE;
}

static gboolean
add (AlcoveMachine *machine, const NewDisk *disk, char **ret_name, GError **error)
{
  gboolean live = alcove_machine_is_active (machine);
  g_autoptr (AlcoveDefinitionEdit) edit = cli_edit_devices (machine, "changes its disks", error);
  AlcoveDefinition *definition;
  g_autofree char *text = NULL;

  if (edit == NULL)
    return FALSE;
  definition = alcove_definition_edit_get_definition (edit);
  text = describe (disk, definition);
  *ret_name = alcove_definition_add_disk (definition, text, live, error);
  return *ret_name != NULL &&
         (live ? plug_in (machine, definition, *ret_name, error)
               : alcove_definition_assign (definition, error)) &&
         alcove_definition_edit_save (edit, error);
}

int
cli_disk_add (Cli *cli, int argc, char **argv)
{
  g_auto (NewDisk) disk = { 0 };
  const GOptionEntry entries[] = {
    { "file", 'f', 0, G_OPTION_ARG_FILENAME, &disk.file, "The image or block device", "FILE" },
    { "format", 0, 0, G_OPTION_ARG_STRING, &disk.format, "Its format: raw or qcow2", "F" },
    { "bus", 'b', 0, G_OPTION_ARG_STRING, &disk.bus, "virtio (default), nvme or scsi", "BUS" },
    { "controller", 0, 0, G_OPTION_ARG_STRING, &disk.controller,
      "nvme: a namespace of the controller of this name", "NAME" },
    { "name", 'n', 0, G_OPTION_ARG_STRING, &disk.name, "What the disk is called (data)", "DISK" },
    { "serial", 0, 0, G_OPTION_ARG_STRING, &disk.serial, "Serial number the guest sees", "TEXT" },
    { "readonly", 'r', 0, G_OPTION_ARG_NONE, &disk.readonly, "The guest cannot write", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autofree char *name = NULL;
  GError *error = NULL;
  BlockFormat format;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 1, &arguments, &status))
    return status;
  if (disk.file == NULL)
    return cli_usage (cli, "which image? Add --file FILE (alcove disk create makes one)");
  if (disk.format == NULL)
    {
      const char *guess = block_format_to_string (alcove_disk_guess_format (disk.file));

      return cli_usage (cli,
                        "which format is %s? The contents look like %s: add --format %s if you "
                        "know that it is",
                        disk.file, guess, guess);
    }
  if (!cli_disk_parse_format (cli, disk.format, &format, &status) ||
      (machine = cli_find (cli, arguments[0], &status)) == NULL)
    return status;
  if (!add (machine, &disk, &name, &error))
    return cli_fail (cli, error);
  puts (name);
  return ALCOVE_EXIT_DONE;
}

static gboolean
drop (AlcoveMachine *machine, const char *name, gboolean force, guint seconds, GError **error)
{
  gboolean live = alcove_machine_is_active (machine);
  g_autoptr (AlcoveDefinitionEdit) edit = cli_edit_devices (machine, "changes its disks", error);

  return edit != NULL &&
         alcove_definition_remove_disk (alcove_definition_edit_get_definition (edit), name,
                                        error) &&
         (!live ||
          cli_take_out (machine, alcove_machine_remove_disk_async, name, force, seconds, error)) &&
         alcove_definition_edit_save (edit, error);
}

int
cli_disk_remove (Cli *cli, int argc, char **argv)
{
  gboolean force = FALSE;
  int seconds = TIMEOUT_S;
  const GOptionEntry entries[] = { { "force", 0, 0, G_OPTION_ARG_NONE, &force,
                                     "Do not ask the guest: what it has not written is lost",
                                     NULL },
                                   { "timeout", 't', 0, G_OPTION_ARG_INT, &seconds,
                                     "How long the guest may take (30)", "SECONDS" },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 2, 2, &arguments, &status))
    return status;
  if (seconds < 1 || seconds > TIMEOUT_S_MAX)
    return cli_usage (cli, "--timeout must be 1 to %d seconds", TIMEOUT_S_MAX);
  machine = cli_find (cli, arguments[0], &status);
  if (machine == NULL)
    return status;
  if (!drop (machine, arguments[1], force, (guint)seconds, &error))
    return cli_fail (cli, error);
  cli_say ("The image file was kept");
  return ALCOVE_EXIT_DONE;
}
