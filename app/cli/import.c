/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove import. */
#include <stdio.h>
#include <string.h>

#include "app/cli/disk-private.h"
#include "app/cli/report-private.h"
#include "app/create.h"
#include "app/import/import.h"
#include "app/paths.h"

JsonArray *
cli_findings_to_json (GPtrArray *findings)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < findings->len; i++)
    {
      const AlcoveFinding *finding = g_ptr_array_index (findings, i);
      JsonObject *object = json_object_new ();

      json_object_set_string_member (object, "kind", alcove_finding_kind_to_string (finding->kind));
      json_object_set_string_member (object, "what", finding->what);
      json_object_set_string_member (object, "meaning", finding->meaning);
      json_array_add_object_element (array, object);
    }
  return array;
}

void
cli_print_findings (FILE *to, GPtrArray *findings)
{
  static const char *const titles[] = { [ALCOVE_FINDING_NOTE] = "Good to know",
                                        [ALCOVE_FINDING_CHANGED] = "Changed",
                                        [ALCOVE_FINDING_LOST] = "Lost" };

  for (int kind = ALCOVE_FINDING_LOST; kind >= ALCOVE_FINDING_NOTE; kind--)
    {
      gboolean first = TRUE;

      for (guint i = 0; i < findings->len; i++)
        {
          const AlcoveFinding *finding = g_ptr_array_index (findings, i);

          if ((int)finding->kind != kind)
            continue;
          if (first)
            fprintf (to, "%s:\n", titles[kind]);
          first = FALSE;
          fprintf (to, "  %s: %s\n", finding->what, finding->meaning);
        }
    }
}

static JsonObject *
import_to_json (const AlcoveImport *import)
{
  JsonObject *object = json_object_new ();
  JsonArray *disks = json_array_new (), *cdroms = json_array_new ();

  json_object_set_string_member (object, "kind", import->kind);
  json_object_set_string_member (object, "name", import->title);
  if (import->os != NULL)
    json_object_set_string_member (object, "os", import->os);
  json_object_set_int_member (object, "memory", (gint64)import->memory_mib);
  json_object_set_int_member (object, "cpus", import->cpus);
  json_object_set_string_member (object, "firmware",
                                 import->firmware == ALCOVE_FIRMWARE_UEFI ? "uefi" : "bios");
  json_object_set_int_member (object, "nics", import->nics->len);
  for (guint i = 0; i < import->disks->len; i++)
    {
      const AlcoveImportDisk *disk = g_ptr_array_index (import->disks, i);
      JsonObject *entry = json_object_new ();

      json_object_set_string_member (entry, "source", disk->source);
      json_object_set_string_member (entry, "format", block_format_to_string (disk->format));
      json_object_set_int_member (entry, "size", (gint64)disk->size);
      json_array_add_object_element (disks, entry);
    }
  for (guint i = 0; i < import->cdroms->len; i++)
    json_array_add_string_element (cdroms, g_ptr_array_index (import->cdroms, i));
  json_object_set_array_member (object, "disks", disks);
  json_object_set_array_member (object, "cdroms", cdroms);
  json_object_set_array_member (object, "findings", cli_findings_to_json (import->findings));
  return object;
}

static void
print_import (FILE *to, const AlcoveImport *import)
{
  fprintf (to, "%s (%s): %" G_GUINT64_FORMAT " MiB, %u CPUs, %s\n", import->title, import->kind,
           import->memory_mib, import->cpus,
           import->firmware == ALCOVE_FIRMWARE_UEFI ? "UEFI" : "BIOS");
  for (guint i = 0; i < import->disks->len; i++)
    {
      const AlcoveImportDisk *disk = g_ptr_array_index (import->disks, i);
      g_autofree char *size = g_format_size_full (disk->size, G_FORMAT_SIZE_IEC_UNITS);

      fprintf (to, "  disk %s (%s, %s)\n", disk->source, block_format_to_string (disk->format),
               disk->size > 0 ? size : "size not known");
    }
  cli_print_findings (to, import->findings);
}

static void
print_object (JsonObject *object)
{
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  json_node_take_object (node, object);
  cli_print_json (node);
}

static int
list_boxes (void)
{
  g_autoptr (GPtrArray) names = alcove_import_list_boxes ();

  for (guint i = 0; i < names->len; i++)
    puts (g_ptr_array_index (names, i));
  if (names->len == 0)
    cli_say ("There are no GNOME Boxes machines");
  return ALCOVE_EXIT_DONE;
}

/* An import never writes over a machine: one of the same name keeps its folder. */
static void
say_of_namesake (const AlcoveImport *import, const AlcoveImportSpec *spec, const char *id)
{
  g_autofree char *wanted = alcove_create_dup_folder_name (
      spec->name != NULL && *spec->name != '\0' ? spec->name : import->title);

  if (strcmp (wanted, id) != 0)
    cli_say ("There is a machine %s already, which stays as it is: the new one is %s", wanted, id);
}

static int
run_import (Cli *cli, AlcoveImport *import, const AlcoveImportSpec *spec, gboolean json)
{
  g_autofree char *folder = NULL, *id = NULL;
  GError *error = NULL;
  CliWork work;

  if (!json)
    print_import (stderr, import);
  cli_work_begin (&work);
  folder = alcove_import_run (import, spec, &work.progress, &error);
  cli_work_end (&work);
  if (folder == NULL)
    return cli_fail (cli, error);
  id = g_path_get_basename (folder);
  say_of_namesake (import, spec, id);
  if (json)
    {
      JsonObject *object = import_to_json (import);

      json_object_set_string_member (object, "id", id);
      json_object_set_string_member (object, "folder", folder);
      print_object (object);
    }
  else
    {
      puts (id);
    }
  return ALCOVE_EXIT_DONE;
}

int
cli_import (Cli *cli, int argc, char **argv)
{
  g_autofree char *name = NULL, *format = NULL, *to = NULL, *firmware = NULL;
  gboolean dry_run = FALSE, json = FALSE, boxes = FALSE;
  const GOptionEntry entries[] = {
    { "name", 0, 0, G_OPTION_ARG_STRING, &name, "Name of the new machine", "NAME" },
    { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry_run, "Only say what would be, and what is lost",
      NULL },
    { "format", 'f', 0, G_OPTION_ARG_STRING, &format, "FILE is a disk image of this format", "F" },
    { "to", 0, 0, G_OPTION_ARG_STRING, &to, "Format of the machine's disks: qcow2 or raw (qcow2)",
      "F" },
    { "firmware", 0, 0, G_OPTION_ARG_STRING, &firmware, "uefi or bios, instead of what FILE says",
      "WORD" },
    { "boxes", 0, 0, G_OPTION_ARG_NONE, &boxes, "List the GNOME Boxes machines", NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_autofree char *machines = alcove_paths_dup_machines ();
  AlcoveImportSpec spec = { .machines = machines, .disk_format = BLOCK_FORMAT_QCOW2 };
  g_autoptr (AlcoveImport) import = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 0, 1, &arguments, &status))
    return status;
  if (boxes)
    return list_boxes ();
  if (arguments[0] == NULL)
    return cli_usage (cli, "something is missing: alcove import FILE");
  if (to != NULL && !cli_disk_parse_format (cli, to, &spec.disk_format, &status))
    return status;
  import = alcove_import_open (arguments[0], format, &error);
  if (import == NULL)
    return cli_fail (cli, error);
  if (firmware != NULL && (!cli_parse_firmware (firmware, &import->firmware) ||
                           import->firmware == ALCOVE_FIRMWARE_NONE))
    return cli_usage (cli, "--firmware must be uefi or bios");
  spec.name = name;
  if (!dry_run)
    return run_import (cli, import, &spec, json);
  if (json)
    print_object (import_to_json (import));
  else
    print_import (stdout, import);
  return ALCOVE_EXIT_DONE;
}
