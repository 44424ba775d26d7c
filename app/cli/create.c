/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove create, delete. */
#include <stdio.h>
#include <unistd.h>
#include "app/cli/cli-private.h"
#include "app/trash.h"

static void
on_progress (guint64 done, guint64 total, gpointer user_data)
{
  if (isatty (STDERR_FILENO) && total > 0)
    fprintf (stderr, "\r%3u %%%s", (guint)(done * 100 / total), done == total ? "\r     \r" : "");
}

/* Sizes take the words of machine.conf. TRUE when text is NULL. */
static gboolean
parse_size (const char *text, guint64 *ret_mib, GError **error)
{
  return text == NULL || alcove_parse_mib (text, ret_mib, error);
}

static int
finish_create (Cli *cli, AlcoveMachine *machine, gboolean json)
{
  if (json)
    {
      JsonNode *node = json_node_new (JSON_NODE_OBJECT);

      json_node_take_object (node, cli_machine_to_json (machine));
      cli_print_json (node);
    }
  else
    {
      puts (alcove_machine_get_id (machine));
    }
  return ALCOVE_EXIT_DONE;
}

gboolean
cli_parse_firmware (const char *text, AlcoveFirmware *ret)
{
  static const char *const words[] = { "uefi", "bios", "none" };

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (g_strcmp0 (text, words[i]) == 0)
      {
        *ret = (AlcoveFirmware)i;
        return TRUE;
      }
  return FALSE;
}

int
cli_create (Cli *cli, int argc, char **argv)
{
  g_autofree char *memory = NULL, *disk_size = NULL, *medium = NULL, *disk = NULL, *use = NULL;
  g_autofree char *disk_format = NULL, *source_format = NULL;
  g_autofree char *firmware = NULL, *os = NULL, *kernel = NULL, *initrd = NULL, *append = NULL;
  gboolean no_network = FALSE, no_display = FALSE, no_disk = FALSE, json = FALSE;
  int cpus = 0;
  const GOptionEntry entries[] = {
    { "memory", 'm', 0, G_OPTION_ARG_STRING, &memory, "Memory, such as 4G", "SIZE" },
    { "cpus", 'c', 0, G_OPTION_ARG_INT, &cpus, "Number of virtual CPUs", "N" },
    { "disk-size", 0, 0, G_OPTION_ARG_STRING, &disk_size, "Size of the disk (32G)", "SIZE" },
    { "disk-format", 0, 0, G_OPTION_ARG_STRING, &disk_format,
      "Format of the machine's disk: qcow2, which can have snapshots, or raw (qcow2)", "WORD" },
    { "disk", 0, 0, G_OPTION_ARG_FILENAME, &disk, "Copy this image as the disk", "FILE" },
    { "use-disk", 0, 0, G_OPTION_ARG_FILENAME, &use, "Use this image or block device where it is",
      "FILE" },
    { "source-format", 0, 0, G_OPTION_ARG_STRING, &source_format,
      "Format of the image given with --disk or --use-disk (raw)", "WORD" },
    { "no-disk", 0, 0, G_OPTION_ARG_NONE, &no_disk, "No disk", NULL },
    { "medium", 0, 0, G_OPTION_ARG_FILENAME, &medium, "ISO image to install from", "FILE" },
    { "firmware", 0, 0, G_OPTION_ARG_STRING, &firmware, "uefi, bios or none (uefi)", "WORD" },
    { "os", 0, 0, G_OPTION_ARG_STRING, &os, "What the guest is, such as debian12", "ID" },
    { "kernel", 0, 0, G_OPTION_ARG_FILENAME, &kernel, "Start this kernel", "FILE" },
    { "initrd", 0, 0, G_OPTION_ARG_FILENAME, &initrd, "Its initial RAM disk", "FILE" },
    { "append", 0, 0, G_OPTION_ARG_STRING, &append, "Its command line", "TEXT" },
    { "no-network", 0, 0, G_OPTION_ARG_NONE, &no_network, "No network card", NULL },
    { "no-display", 0, 0, G_OPTION_ARG_NONE, &no_display, "No display adapter", NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  GError *error = NULL;
  AlcoveCreateSpec spec;
  guint64 disk_mib = 0;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 1, &arguments, &status))
    return status;
  alcove_create_spec_init (&spec);
  if (!parse_size (memory, &spec.memory_mib, &error) || !parse_size (disk_size, &disk_mib, &error))
    {
      status = cli_usage (cli, "%s", error->message);
      g_error_free (error);
      return status;
    }
  if (firmware != NULL && !cli_parse_firmware (firmware, &spec.firmware))
    return cli_usage (cli, "--firmware must be uefi, bios or none");
  if (disk_format != NULL && !block_format_from_string (disk_format, &spec.disk_format))
    return cli_usage (cli, "--disk-format must be qcow2 or raw");
  if (source_format != NULL && !block_format_from_string (source_format, &spec.source_format))
    return cli_usage (cli, "--source-format must be raw, qcow2, vmdk, vhd, vhdx or vdi");
  if (source_format != NULL && disk == NULL && use == NULL)
    return cli_usage (cli, "--source-format goes with --disk or --use-disk");
  if (cpus < 0 || cpus > 255)
    return cli_usage (cli, "--cpus must be 1 to 255");
  if (disk_mib > G_MAXUINT64 / (1024 * 1024))
    return cli_usage (cli, "--disk-size is too large");
  if (no_disk && (disk != NULL || use != NULL || disk_size != NULL))
    return cli_usage (cli, "--no-disk goes without --disk, --use-disk and --disk-size");
  spec.name = arguments[0];
  spec.os = os;
  if (cpus > 0)
    spec.cpus = (guint)cpus;
  spec.medium = medium;
  spec.disk_source = disk;
  spec.disk_use = use;
  spec.kernel = kernel;
  spec.initrd = initrd;
  spec.cmdline = append;
  spec.no_network = no_network;
  spec.no_display = no_display;
  if (disk_size != NULL)
    spec.disk_bytes = disk_mib * 1024 * 1024;
  else if (no_disk || disk != NULL || use != NULL)
    spec.disk_bytes = 0;
  alcove_library_create_async (cli_get_library (cli), &spec, on_progress, NULL, NULL, cli_on_ready,
                               &result);
  cli_wait (&result);
  machine = alcove_library_create_finish (cli_get_library (cli), result, &error);
  return machine != NULL ? finish_create (cli, machine, json) : cli_fail (cli, error);
}

static int
undo_delete (Cli *cli, const char *token)
{
  GError *error = NULL;
  AlcoveMachine *machine = alcove_library_restore (cli_get_library (cli), token, &error);

  if (machine == NULL)
    {
      gboolean gone = g_error_matches (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
      int status = cli_fail (cli, error);

      return gone ? ALCOVE_EXIT_NO_MACHINE : status;
    }
  puts (alcove_machine_get_id (machine));
  return ALCOVE_EXIT_DONE;
}

int
cli_delete (Cli *cli, int argc, char **argv)
{
  g_autofree char *undo = NULL, *token = NULL;
  gboolean json = FALSE;
  const GOptionEntry entries[] = { { "undo", 0, 0, G_OPTION_ARG_STRING, &undo,
                                     "Bring a deleted machine back", "TOKEN" },
                                   { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 0, 1, &arguments, &status))
    return status;
  if ((undo != NULL) == (arguments[0] != NULL))
    return cli_usage (cli, "give the machine's name, or --undo and a token");
  if (undo != NULL)
    return undo_delete (cli, undo);
  machine = cli_find (cli, arguments[0], &status);
  if (machine == NULL)
    return status;
  if (!alcove_library_delete (cli_get_library (cli), machine, &token, &error))
    return cli_fail (cli, error);
  if (json)
    {
      JsonObject *object = json_object_new ();
      JsonNode *node = json_node_new (JSON_NODE_OBJECT);

      json_object_set_string_member (object, "token", token);
      json_node_take_object (node, object);
      cli_print_json (node);
    }
  else
    {
      puts (token);
    }
  return ALCOVE_EXIT_DONE;
}
