/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove disk info, map, compare, check, repair. */
#include <stdio.h>
#include <string.h>

#include "app/cli/disk-private.h"

static const char *const kind_words[] = {
  [BLOCK_EXTENT_UNALLOCATED] = "unallocated",
  [BLOCK_EXTENT_ZERO] = "zero",
  [BLOCK_EXTENT_DATA] = "data",
  [BLOCK_EXTENT_COMPRESSED] = "compressed",
};

static void
print_array (JsonArray *array)
{
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);

  json_node_take_array (node, array);
  cli_print_json (node);
}

static void
print_object (JsonObject *object)
{
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  json_node_take_object (node, object);
  cli_print_json (node);
}

static void
set_text (JsonObject *object, const char *name, const char *text)
{
  if (text != NULL)
    json_object_set_string_member (object, name, text);
}

/* ---- info ---- */

static JsonArray *
snapshots_to_json (GPtrArray *snapshots)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < snapshots->len; i++)
    {
      const BlockSnapshot *snapshot = g_ptr_array_index (snapshots, i);
      JsonObject *object = json_object_new ();

      set_text (object, "id", snapshot->id);
      set_text (object, "name", snapshot->name);
      json_object_set_int_member (object, "time", snapshot->time_ns / 1000000000);
      json_object_set_int_member (object, "disk-size", (gint64)snapshot->disk_size);
      json_object_set_int_member (object, "state-size", (gint64)snapshot->state_size);
      json_array_add_object_element (array, object);
    }
  return array;
}

static JsonArray *
bitmaps_to_json (GPtrArray *bitmaps)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < bitmaps->len; i++)
    {
      const BlockBitmap *bitmap = g_ptr_array_index (bitmaps, i);
      JsonObject *object = json_object_new ();

      set_text (object, "name", bitmap->name);
      json_object_set_int_member (object, "granularity", (gint64)bitmap->granularity);
      json_object_set_boolean_member (object, "recording", bitmap->recording);
      json_object_set_boolean_member (object, "consistent", bitmap->consistent);
      json_object_set_int_member (object, "dirty", (gint64)bitmap->dirty_bytes);
      json_array_add_object_element (array, object);
    }
  return array;
}

static JsonObject *
image_to_json (const AlcoveDiskImage *image)
{
  JsonObject *object = json_object_new ();

  set_text (object, "file", image->path);
  set_text (object, "format", block_format_to_string (image->format));
  json_object_set_int_member (object, "size", (gint64)image->size);
  json_object_set_int_member (object, "allocated", (gint64)image->allocated);
  if (image->info.cluster_size != 0)
    {
      json_object_set_int_member (object, "cluster-size", image->info.cluster_size);
      json_object_set_int_member (object, "subcluster-size", image->info.subcluster_size);
    }
  if (image->format == BLOCK_FORMAT_QCOW2)
    {
      json_object_set_int_member (object, "version", image->info.version);
      json_object_set_boolean_member (object, "lazy-refcounts", image->info.lazy_refcounts);
      json_object_set_string_member (object, "compression",
                                     image->info.compressed_zstd ? "zstd" : "zlib");
    }
  json_object_set_boolean_member (object, "dirty", image->info.dirty);
  json_object_set_boolean_member (object, "corrupt", image->info.corrupt);
  json_object_set_boolean_member (object, "encrypted", image->info.encrypted);
  set_text (object, "backing-file", image->backing_file);
  set_text (object, "backing-format", image->backing_format);
  set_text (object, "data-file", image->data_file);
  set_text (object, "problem", image->problem);
  json_object_set_array_member (object, "snapshots", snapshots_to_json (image->snapshots));
  json_object_set_array_member (object, "bitmaps", bitmaps_to_json (image->bitmaps));
  return object;
}

static void
print_size (const char *indent, const char *label, guint64 bytes)
{
  g_autofree char *text = g_format_size_full (bytes, G_FORMAT_SIZE_IEC_UNITS);

  printf ("%s%-14s%s (%" G_GUINT64_FORMAT " bytes)\n", indent, label, text, bytes);
}

static void
print_image (const AlcoveDiskImage *image, guint depth)
{
  g_autofree char *indent = g_strnfill (depth * 3 + 2, ' ');
  const BlockImageInfo *info = &image->info;

  /* The chain as a tree: each image stands on the one below. */
  printf ("%*s%s%s\n", (int)(depth > 0 ? (depth - 1) * 3 : 0), "", depth > 0 ? "└─ " : "",
          image->path);
  printf ("%s%-14s%s", indent, "format", block_format_to_string (image->format));
  if (image->format == BLOCK_FORMAT_QCOW2)
    printf (", version %u, %s compression%s", info->version,
            info->compressed_zstd ? "zstd" : "zlib",
            info->lazy_refcounts ? ", lazy refcounts" : "");
  putchar ('\n');
  print_size (indent, "size", image->size);
  print_size (indent, "on the host", image->allocated);
  if (info->cluster_size != 0)
    print_size (indent, "clusters", info->cluster_size);
  if (info->subcluster_size != info->cluster_size)
    print_size (indent, "subclusters", info->subcluster_size);
  if (image->data_file != NULL)
    printf ("%s%-14s%s\n", indent, "data file", image->data_file);
  if (info->corrupt)
    printf ("%sIt is damaged: \"alcove disk check\" tells more.\n", indent);
  else if (info->dirty)
    printf ("%sIt was not closed by who wrote it last; that is mended when it is next written.\n",
            indent);
  for (guint i = 0; i < image->snapshots->len; i++)
    {
      const BlockSnapshot *snapshot = g_ptr_array_index (image->snapshots, i);
      g_autoptr (GDateTime) time = g_date_time_new_from_unix_local (snapshot->time_ns / 1000000000);
      g_autofree char *when = time != NULL ? g_date_time_format (time, "%F %T") : g_strdup ("?");

      printf ("%s%-14s%s  %s  %s%s\n", indent, i == 0 ? "snapshots" : "", snapshot->id, when,
              snapshot->name, snapshot->state_size > 0 ? " (with the machine's state)" : "");
    }
  for (guint i = 0; i < image->bitmaps->len; i++)
    {
      const BlockBitmap *bitmap = g_ptr_array_index (image->bitmaps, i);
      g_autofree char *dirty = g_format_size_full (bitmap->dirty_bytes, G_FORMAT_SIZE_IEC_UNITS);

      printf ("%s%-14s%s  %s changed%s%s\n", indent, i == 0 ? "bitmaps" : "", bitmap->name, dirty,
              bitmap->recording ? "" : ", not recording",
              bitmap->consistent ? "" : ", of no use after a crash");
    }
  if (image->problem != NULL)
    printf ("%s%-14s%s\n", indent, "problem", image->problem);
}

int
cli_disk_info (Cli *cli, int argc, char **argv)
{
  g_autofree char *format = NULL;
  gboolean json = FALSE;
  const GOptionEntry entries[] = { { "format", 'f', 0, G_OPTION_ARG_STRING, &format,
                                     "The file's format", "F" },
                                   { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_auto (CliDisk) disk = { 0 };
  g_autoptr (GPtrArray) chain = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 2, &arguments, &status) ||
      !cli_disk_find (cli, arguments, g_strv_length (arguments), format, FALSE, &disk, &status))
    return status;
  chain = alcove_disk_get_chain (disk.path, disk.format, &error);
  if (chain == NULL)
    return cli_fail (cli, error);
  if (json)
    {
      JsonArray *array = json_array_new ();

      for (guint i = 0; i < chain->len; i++)
        json_array_add_object_element (array, image_to_json (g_ptr_array_index (chain, i)));
      print_array (array);
    }
  else
    {
      for (guint i = 0; i < chain->len; i++)
        print_image (g_ptr_array_index (chain, i), i);
    }
  return ALCOVE_EXIT_DONE;
}

/* ---- map ---- */

static void
print_map_json (GArray *map)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < map->len; i++)
    {
      const BlockExtent *extent = &g_array_index (map, BlockExtent, i);
      JsonObject *object = json_object_new ();

      json_object_set_int_member (object, "offset", (gint64)extent->offset);
      json_object_set_int_member (object, "length", (gint64)extent->length);
      json_object_set_string_member (object, "kind", kind_words[extent->kind]);
      json_object_set_int_member (object, "depth", extent->depth);
      if (extent->file_offset >= 0)
        json_object_set_int_member (object, "file-offset", extent->file_offset);
      json_array_add_object_element (array, object);
    }
  print_array (array);
}

static void
print_map_table (GArray *map)
{
  static const char *const titles[] = { "OFFSET", "LENGTH", "DEPTH", "IN FILE AT", "KIND" };
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < G_N_ELEMENTS (titles); i++)
    g_ptr_array_add (cells, g_strdup (titles[i]));
  for (guint i = 0; i < map->len; i++)
    {
      const BlockExtent *extent = &g_array_index (map, BlockExtent, i);

      g_ptr_array_add (cells, g_strdup_printf ("%#" G_GINT64_MODIFIER "x", extent->offset));
      g_ptr_array_add (cells, g_strdup_printf ("%#" G_GINT64_MODIFIER "x", extent->length));
      g_ptr_array_add (cells, g_strdup_printf ("%u", extent->depth));
      g_ptr_array_add (
          cells, extent->file_offset >= 0
                     ? g_strdup_printf ("%#" G_GINT64_MODIFIER "x", (guint64)extent->file_offset)
                     : g_strdup ("-"));
      g_ptr_array_add (cells, g_strdup (kind_words[extent->kind]));
    }
  cli_print_table (cells, G_N_ELEMENTS (titles));
}

int
cli_disk_map (Cli *cli, int argc, char **argv)
{
  g_autofree char *format = NULL;
  gboolean json = FALSE;
  const GOptionEntry entries[] = { { "format", 'f', 0, G_OPTION_ARG_STRING, &format,
                                     "The file's format", "F" },
                                   { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_auto (CliDisk) disk = { 0 };
  g_autoptr (GArray) map = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 2, &arguments, &status) ||
      !cli_disk_find (cli, arguments, g_strv_length (arguments), format, FALSE, &disk, &status))
    return status;
  map = alcove_disk_get_map (disk.path, disk.format, &error);
  if (map == NULL)
    return cli_fail (cli, error);
  if (json)
    print_map_json (map);
  else
    print_map_table (map);
  return ALCOVE_EXIT_DONE;
}

/* ---- compare ---- */

int
cli_disk_compare (Cli *cli, int argc, char **argv)
{
  g_autofree char *format = NULL, *other = NULL;
  const GOptionEntry entries[] = { { "format", 'f', 0, G_OPTION_ARG_STRING, &format,
                                     "Format of the first file", "F" },
                                   { "other-format", 'F', 0, G_OPTION_ARG_STRING, &other,
                                     "Format of the second file (the first one's)", "F" },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_auto (CliDisk) a = { 0 }, b = { 0 };
  AlcoveDiskComparison comparison;
  GError *error = NULL;
  CliWork work;
  gboolean good;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 2, 2, &arguments, &status) ||
      !cli_disk_find (cli, arguments, 1, format, FALSE, &a, &status) ||
      !cli_disk_find (cli, arguments + 1, 1, other != NULL ? other : format, FALSE, &b, &status))
    return status;
  cli_work_begin (&work);
  good =
      alcove_disk_compare (a.path, a.format, b.path, b.format, &work.progress, &comparison, &error);
  cli_work_end (&work);
  if (!good)
    return cli_fail (cli, error);
  if (comparison.identical)
    puts (comparison.size_a == comparison.size_b
              ? "The disks are identical."
              : "The disks are identical but for their sizes: the longer one ends in zeroes.");
  else
    printf ("The disks differ at byte %" G_GUINT64_FORMAT ".\n", comparison.offset);
  return comparison.identical ? ALCOVE_EXIT_DONE : ALCOVE_EXIT_FAILED;
}

/* ---- check, repair ---- */

static void
print_report (const BlockCheckReport *report, BlockCheckFlags flags)
{
  for (guint i = 0; report->messages != NULL && i < report->messages->len; i++)
    puts (g_ptr_array_index (report->messages, i));
  if (report->corruptions + report->leaks + report->errors == 0 &&
      report->corruptions_fixed + report->leaks_fixed == 0)
    puts ("No damage was found.");
  if (report->corruptions_fixed + report->leaks_fixed > 0)
    printf ("Mended: %" G_GUINT64_FORMAT " damaged, %" G_GUINT64_FORMAT " lost clusters.\n",
            report->corruptions_fixed, report->leaks_fixed);
  if (report->corruptions > 0)
    printf ("%" G_GUINT64_FORMAT " clusters are damaged%s.\n", report->corruptions,
            flags == BLOCK_CHECK_LOOK ? ": \"alcove disk repair\" mends what can be mended" : "");
  if (report->leaks > 0)
    printf ("%" G_GUINT64_FORMAT " clusters are lost to no use, which is harmless%s.\n",
            report->leaks,
            flags == BLOCK_CHECK_LOOK ? ": \"alcove disk repair\" gives them back" : "");
  if (report->errors > 0)
    printf ("%" G_GUINT64_FORMAT " clusters cannot be read.\n", report->errors);
  if (report->clusters_total > 0)
    printf ("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " clusters in use, %" G_GUINT64_FORMAT
            " compressed, %" G_GUINT64_FORMAT " apart from their neighbours.\n",
            report->clusters_allocated, report->clusters_total, report->clusters_compressed,
            report->clusters_fragmented);
}

static void
print_report_json (const BlockCheckReport *report)
{
  JsonObject *object = json_object_new ();
  JsonArray *messages = json_array_new ();

  json_object_set_int_member (object, "corruptions", (gint64)report->corruptions);
  json_object_set_int_member (object, "corruptions-fixed", (gint64)report->corruptions_fixed);
  json_object_set_int_member (object, "leaks", (gint64)report->leaks);
  json_object_set_int_member (object, "leaks-fixed", (gint64)report->leaks_fixed);
  json_object_set_int_member (object, "errors", (gint64)report->errors);
  json_object_set_int_member (object, "clusters", (gint64)report->clusters_total);
  json_object_set_int_member (object, "clusters-allocated", (gint64)report->clusters_allocated);
  json_object_set_int_member (object, "clusters-compressed", (gint64)report->clusters_compressed);
  json_object_set_int_member (object, "clusters-fragmented", (gint64)report->clusters_fragmented);
  json_object_set_int_member (object, "end-offset", (gint64)report->end_offset);
  for (guint i = 0; report->messages != NULL && i < report->messages->len; i++)
    json_array_add_string_element (messages, g_ptr_array_index (report->messages, i));
  json_object_set_array_member (object, "messages", messages);
  print_object (object);
}

static int
run_check (Cli *cli, int argc, char **argv, BlockCheckFlags flags)
{
  g_autofree char *format = NULL;
  gboolean json = FALSE, leaks = FALSE;
  const GOptionEntry entries[] = {
    { "format", 'f', 0, G_OPTION_ARG_STRING, &format, "The file's format", "F" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
    { "leaks", 0, flags == BLOCK_CHECK_LOOK ? G_OPTION_FLAG_HIDDEN : 0, G_OPTION_ARG_NONE, &leaks,
      "Only give back lost space", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_auto (CliDisk) disk = { 0 };
  BlockCheckReport report = { 0 };
  GError *error = NULL;
  CliWork work;
  gboolean good, sound;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 2, &arguments, &status) ||
      !cli_disk_find (cli, arguments, g_strv_length (arguments), format, flags != BLOCK_CHECK_LOOK,
                      &disk, &status))
    return status;
  if (leaks && flags != BLOCK_CHECK_LOOK)
    flags = BLOCK_CHECK_REPAIR_LEAKS;
  cli_work_begin (&work);
  good = alcove_disk_check (disk.path, disk.format, flags, &work.progress, &report, &error);
  cli_work_end (&work);
  sound = report.corruptions == 0 && report.errors == 0;
  if (good && json)
    print_report_json (&report);
  else if (good)
    print_report (&report, flags);
  block_check_report_clear (&report);
  if (!good)
    return cli_fail (cli, error);
  return sound ? ALCOVE_EXIT_DONE : ALCOVE_EXIT_FAILED;
}

int
cli_disk_check (Cli *cli, int argc, char **argv)
{
  return run_check (cli, argc, argv, BLOCK_CHECK_LOOK);
}

int
cli_disk_repair (Cli *cli, int argc, char **argv)
{
  return run_check (cli, argc, argv, BLOCK_CHECK_REPAIR_LEAKS | BLOCK_CHECK_REPAIR_ALL);
}
