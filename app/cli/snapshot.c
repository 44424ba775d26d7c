/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove snapshot. */
#include <stdio.h>
#include <string.h>
#include "app/cli/cli-private.h"
#include "app/clone.h"
#include "app/machine-snapshots.h"
#include "app/snapshot-work.h"

typedef struct
{
  gboolean json, discard;
  char *note;
  GStrv arguments; /* the machine's name first */
} Options;

static char *
dup_time (const AlcoveSnapshot *set, const char *format)
{
  g_autoptr (GDateTime) utc = g_date_time_new_from_unix_utc (set->time / G_USEC_PER_SEC);
  g_autoptr (GDateTime) local = g_date_time_to_local (utc);

  return g_date_time_format (local, format);
}

static guint64
disk_size (const AlcoveSnapshot *set)
{
  guint64 sum = 0;

  for (guint i = 0; i < set->disks->len; i++)
    sum += ((const AlcoveSnapshotDisk *)g_ptr_array_index (set->disks, i))->size;
  return sum;
}

static JsonObject *
to_json (AlcoveSnapshots *tree, const AlcoveSnapshot *set)
{
  JsonObject *object = json_object_new ();
  JsonArray *disks = json_array_new ();
  g_autoptr (GDateTime) utc = g_date_time_new_from_unix_utc (set->time / G_USEC_PER_SEC);
  g_autofree char *time = g_date_time_format_iso8601 (utc);

  json_object_set_string_member (object, "id", set->id);
  if (set->parent != NULL)
    json_object_set_string_member (object, "parent", set->parent);
  json_object_set_string_member (object, "name", set->name);
  json_object_set_string_member (object, "note", set->note);
  json_object_set_string_member (object, "time", time);
  json_object_set_boolean_member (object, "current", g_strcmp0 (tree->current, set->id) == 0);
  json_object_set_boolean_member (object, "automatic", set->automatic);
  if (set->reason != NULL)
    json_object_set_string_member (object, "reason", set->reason);
  json_object_set_boolean_member (object, "memory", set->with_memory);
  json_object_set_boolean_member (object, "quiesced", set->quiesced);
  json_object_set_int_member (object, "size", (gint64)set->size);
  if (set->problem != NULL)
    json_object_set_string_member (object, "problem", set->problem);
  for (guint i = 0; i < set->disks->len; i++)
    {
      const AlcoveSnapshotDisk *disk = g_ptr_array_index (set->disks, i);
      JsonObject *item = json_object_new ();

      json_object_set_string_member (item, "name", disk->name);
      json_object_set_string_member (item, "file", disk->file);
      json_object_set_string_member (item, "format", disk->format);
      json_object_set_int_member (item, "size", (gint64)disk->size);
      json_object_set_int_member (item, "allocated", (gint64)disk->allocated);
      json_array_add_object_element (disks, item);
    }
  json_object_set_array_member (object, "disks", disks);
  return object;
}

static int
list (Cli *cli, AlcoveMachine *machine, const Options *options)
{
  GError *error = NULL;
  g_autoptr (AlcoveSnapshots) tree =
      alcove_snapshots_load (alcove_machine_get_folder (machine), &error);
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (g_free);

  if (tree == NULL)
    return cli_fail (cli, error);
  if (options->json)
    {
      JsonNode *node = json_node_new (JSON_NODE_ARRAY);
      JsonArray *array = json_array_new ();

      for (guint i = 0; i < tree->snapshots->len; i++)
        json_array_add_object_element (array,
                                       to_json (tree, g_ptr_array_index (tree->snapshots, i)));
      json_node_take_array (node, array);
      cli_print_json (node);
      return ALCOVE_EXIT_DONE;
    }
  if (tree->snapshots->len == 0)
    {
      cli_say ("%s has no snapshots: \"alcove snapshot create %s\" takes one",
               alcove_machine_get_name (machine), alcove_machine_get_id (machine));
      return ALCOVE_EXIT_DONE;
    }
  for (guint i = 0; i < 5; i++)
    {
      static const char *const heads[] = { "", "ID", "TIME", "MEMORY", "TITLE" };

      g_ptr_array_add (cells, g_strdup (heads[i]));
    }
  for (guint i = 0; i < tree->snapshots->len; i++)
    {
      const AlcoveSnapshot *set = g_ptr_array_index (tree->snapshots, i);

      g_ptr_array_add (cells, g_strdup (g_strcmp0 (tree->current, set->id) == 0 ? "*" : " "));
      g_ptr_array_add (cells, g_strdup (set->id));
      g_ptr_array_add (cells,
                       set->problem != NULL ? g_strdup ("?") : dup_time (set, "%Y-%m-%d %H:%M"));
      g_ptr_array_add (cells, set->with_memory
                                  ? g_format_size_full (set->size, G_FORMAT_SIZE_IEC_UNITS)
                                  : g_strdup ("-"));
      g_ptr_array_add (cells,
                       g_strdup_printf ("%*s%s%s", (int)MIN (set->depth, 20) * 2, "", set->name,
                                        set->problem != NULL ? " (damaged)" : ""));
    }
  cli_print_table (cells, 5);
  return ALCOVE_EXIT_DONE;
}

static void
print_set (AlcoveSnapshots *tree, const AlcoveSnapshot *set)
{
  g_autofree char *time = dup_time (set, "%Y-%m-%d %H:%M:%S");
  g_autofree char *size = g_format_size_full (set->size, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *disks = g_format_size_full (disk_size (set), G_FORMAT_SIZE_IEC_UNITS);

  printf ("Title:    %s\nId:       %s\nTime:     %s\n", set->name, set->id, time);
  if (set->parent != NULL)
    printf ("Parent:   %s\n", set->parent);
  if (g_strcmp0 (tree->current, set->id) == 0)
    puts ("Present:  the machine's state comes from here");
  if (set->automatic)
    printf ("Made by:  Alcove (%s)\n", set->reason != NULL ? set->reason : "automatic");
  printf ("Memory:   %s\nQuiesced: %s\nSize:     %s beside the disks\n",
          set->with_memory ? "yes, the machine ran" : "no, the machine was off",
          set->quiesced ? "yes" : "no", size);
  printf ("Disks:    %s in %u\n", disks, set->disks->len);
  for (guint i = 0; i < set->disks->len; i++)
    {
      const AlcoveSnapshotDisk *disk = g_ptr_array_index (set->disks, i);

      printf ("  %s: %s\n", disk->name, disk->file);
    }
  for (guint i = 0; i < set->excluded->len; i++)
    printf ("  %s: left out\n", (const char *)g_ptr_array_index (set->excluded, i));
  if (*set->note != '\0')
    printf ("\n%s\n", set->note);
  if (set->problem != NULL)
    cli_say ("%s", set->problem);
}

static int
show (Cli *cli, AlcoveMachine *machine, const Options *options)
{
  GError *error = NULL;
  g_autoptr (AlcoveSnapshots) tree =
      alcove_snapshots_load (alcove_machine_get_folder (machine), &error);
  AlcoveSnapshot *set =
      tree != NULL ? alcove_snapshots_find (tree, options->arguments[1], &error) : NULL;

  if (set == NULL)
    return cli_fail (cli, error);
  if (options->json)
    {
      JsonNode *node = json_node_new (JSON_NODE_OBJECT);

      json_node_take_object (node, to_json (tree, set));
      cli_print_json (node);
    }
  else
    {
      print_set (tree, set);
    }
  return set->problem != NULL ? ALCOVE_EXIT_FAILED : ALCOVE_EXIT_DONE;
}

static int
create (Cli *cli, AlcoveMachine *machine, const Options *options)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autofree char *id = NULL;
  GCancellable *cancellable = cli_begin_long ();
  GError *error = NULL;

  alcove_machine_create_snapshot_async (machine, options->arguments[1], options->note, NULL,
                                        cli_on_progress, NULL, cancellable, cli_on_ready, &result);
  cli_wait (&result);
  cli_end_long (cancellable);
  id = alcove_machine_create_snapshot_finish (machine, result, &error);
  if (id == NULL)
    return cli_fail (cli, error);
  puts (id);
  return ALCOVE_EXIT_DONE;
}

static int
revert (Cli *cli, AlcoveMachine *machine, const Options *options)
{
  g_autoptr (GAsyncResult) result = NULL;
  GCancellable *cancellable = cli_begin_long ();
  GError *error = NULL;

  alcove_machine_revert_async (machine, options->arguments[1], !options->discard, cli_on_progress,
                               NULL, cancellable, cli_on_ready, &result);
  cli_wait (&result);
  cli_end_long (cancellable);
  return alcove_machine_finish (machine, result, &error) ? ALCOVE_EXIT_DONE : cli_fail (cli, error);
}

static int delete (Cli *cli, AlcoveMachine *machine, const Options *options)
{
  for (guint i = 1; options->arguments[i] != NULL; i++)
    {
      g_autoptr (GAsyncResult) result = NULL;
      g_autofree char *left = NULL;
      GError *error = NULL;

      alcove_machine_delete_snapshot_async (machine, options->arguments[i], NULL, cli_on_ready,
                                            &result);
      cli_wait (&result);
      if (!alcove_machine_delete_snapshot_finish (machine, result, &left, &error))
        return cli_fail (cli, error);
      if (left != NULL)
        cli_say ("%s is deleted; its space comes back later: %s", options->arguments[i], left);
    }
  return ALCOVE_EXIT_DONE;
}

static int
edit (Cli *cli, AlcoveMachine *machine, const char *id, const char *name, const char *note)
{
  GError *error = NULL;

  return alcove_snapshots_edit (alcove_machine_get_folder (machine), id, name, note, &error)
             ? ALCOVE_EXIT_DONE
             : cli_fail (cli, error);
}

static int
rename_set (Cli *cli, AlcoveMachine *machine, const Options *options)
{
  return edit (cli, machine, options->arguments[1], options->arguments[2], NULL);
}

static int
note (Cli *cli, AlcoveMachine *machine, const Options *options)
{
  return edit (cli, machine, options->arguments[1], NULL, options->arguments[2]);
}

static int export(Cli *cli, AlcoveMachine *machine, const Options *options)
{
  AlcoveCloneSpec spec = { .name = options->arguments[2], .snapshot = options->arguments[1] };

  return cli_run_clone (cli, machine, &spec);
}

static const struct
{
  const char *word;
  int min, max; /* arguments, the machine's name included; max -1: any */
  int (*run) (Cli *cli, AlcoveMachine *machine, const Options *options);
} commands[] = {
  { "create", 1, 2, create }, { "list", 1, 1, list },      { "show", 2, 2, show },
  { "revert", 2, 2, revert }, { "delete", 2, -1, delete }, { "rename", 3, 3, rename_set },
  { "note", 3, 3, note },     { "export", 3, 3, export },
};

int
cli_snapshot (Cli *cli, int argc, char **argv)
{
  Options options = { 0 };
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "list, show: print JSON", NULL },
    { "note", 0, 0, G_OPTION_ARG_STRING, &options.note, "create: a note for it", "TEXT" },
    { "discard", 0, 0, G_OPTION_ARG_NONE, &options.discard, "revert: the present state is lost",
      NULL },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_autofree char *owned_note = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  int n, status;

  if (!cli_parse (cli, entries, argc, argv, 2, -1, &arguments, &status))
    return status;
  owned_note = options.note;
  options.arguments = arguments + 1;
  n = (int)g_strv_length (options.arguments);
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      if (strcmp (commands[i].word, arguments[0]) != 0)
        continue;
      if (n < commands[i].min)
        return cli_usage (cli, "something is missing after \"%s\"", arguments[0]);
      if (commands[i].max >= 0 && n > commands[i].max)
        return cli_usage (cli, "\"%s\" is one argument too many",
                          options.arguments[commands[i].max]);
      machine = cli_find (cli, options.arguments[0], &status);
      return machine != NULL ? commands[i].run (cli, machine, &options) : status;
    }
  return cli_usage (cli, "there is no command \"%s\"", arguments[0]);
}
