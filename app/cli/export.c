/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove export. */
#include <stdio.h>

#include "app/cli/disk-private.h"
#include "app/cli/report-private.h"
#include "app/export/export.h"

static void
print_findings (GPtrArray *findings, gboolean dry_run, gboolean json)
{
  JsonNode *node;

  if (!json)
    {
      cli_print_findings (dry_run ? stdout : stderr, findings);
      return;
    }
  node = json_node_new (JSON_NODE_ARRAY);
  json_node_take_array (node, cli_findings_to_json (findings));
  cli_print_json (node);
}

int
cli_export (Cli *cli, int argc, char **argv)
{
  g_autofree char *to = NULL;
  gboolean dry_run = FALSE, json = FALSE;
  const GOptionEntry entries[] = {
    { "to", 0, 0, G_OPTION_ARG_STRING, &to, "ova, qcow2, libvirt or kubevirt (ova)", "WORD" },
    { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry_run, "Only say what would be lost", NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print what is lost as JSON", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autoptr (GPtrArray) findings = NULL;
  AlcoveExportKind kind = ALCOVE_EXPORT_OVA;
  GError *error = NULL;
  CliWork work;
  gboolean good;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 2, &arguments, &status))
    return status;
  if (to != NULL && !alcove_export_kind_from_string (to, &kind))
    return cli_usage (cli, "--to must be ova, qcow2, libvirt or kubevirt");
  if (arguments[1] == NULL && !dry_run)
    return cli_usage (cli, "name the file (ova) or the folder to make");
  machine = cli_find (cli, arguments[0], &status);
  if (machine == NULL)
    return status;
  if (alcove_machine_get_definition (machine) == NULL)
    {
      cli_say ("%s", alcove_machine_get_error (machine));
      return ALCOVE_EXIT_FAILED;
    }
  findings = alcove_export_look (alcove_machine_get_definition (machine), kind);
  print_findings (findings, dry_run, json);
  if (dry_run)
    return ALCOVE_EXIT_DONE;
  cli_work_begin (&work);
  good = alcove_export_run (alcove_machine_get_folder (machine), kind, arguments[1], &work.progress,
                            &error);
  cli_work_end (&work);
  return good ? ALCOVE_EXIT_DONE : cli_fail (cli, error);
}
