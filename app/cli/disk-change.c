/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove disk create, resize, convert, compact, backup, rebase, commit. */
#include <stdio.h>
#include <string.h>

#include "app/cli/disk-private.h"

static gboolean
parse_preallocation (const char *word, BlockPreallocate *ret)
{
  static const char *const words[] = { "off", "metadata", "falloc", "full" };

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (strcmp (word, words[i]) == 0)
      {
        *ret = (BlockPreallocate)i;
        return TRUE;
      }
  return FALSE;
}

/* What create and convert can say about a new image. */
typedef struct
{
  char *format, *preallocation, *compression, *cluster;
  gboolean extended_l2, lazy_refcounts;
  int version;
} NewImage;

static void
new_image_clear (NewImage *new_image)
{
  g_free (new_image->format);
  g_free (new_image->preallocation);
  g_free (new_image->compression);
  g_free (new_image->cluster);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (NewImage, new_image_clear)

#define NEW_IMAGE_ENTRIES(word)                                                                    \
  { word,                                                                                          \
    0,                                                                                             \
    0,                                                                                             \
    G_OPTION_ARG_STRING,                                                                           \
    &new_image.format,                                                                             \
    "Format of the new image: raw or qcow2 (qcow2)",                                               \
    "F" },                                                                                         \
      { "cluster-size",                                                                            \
        0,                                                                                         \
        0,                                                                                         \
        G_OPTION_ARG_STRING,                                                                       \
        &new_image.cluster,                                                                        \
        "qcow2: KiB of a cluster (64)",                                                            \
        "KIB" },                                                                                   \
      { "extended-l2",                                                                             \
        0,                                                                                         \
        0,                                                                                         \
        G_OPTION_ARG_NONE,                                                                         \
        &new_image.extended_l2,                                                                    \
        "qcow2: 32 subclusters a cluster",                                                         \
        NULL },                                                                                    \
      { "lazy-refcounts",        0,   0, G_OPTION_ARG_NONE, &new_image.lazy_refcounts,             \
        "qcow2: lazy refcounts", NULL },                                                           \
      { "compression",                                                                             \
        0,                                                                                         \
        0,                                                                                         \
        G_OPTION_ARG_STRING,                                                                       \
        &new_image.compression,                                                                    \
        "qcow2: zlib or zstd (zlib)",                                                              \
        "WORD" },                                                                                  \
      { "image-version", 0, 0, G_OPTION_ARG_INT, &new_image.version, "qcow2: 2 or 3 (3)", "N" },   \
  {                                                                                                \
    "preallocation", 0, 0, G_OPTION_ARG_STRING, &new_image.preallocation,                          \
        "off, metadata, falloc or full (off)", "WORD"                                              \
  }

static gboolean
new_image_use (Cli *cli,
               const NewImage *new_image,
               BlockFormat *ret_format,
               BlockCreateOptions *options,
               int *ret_status)
{
  const char *problem = NULL;
  guint64 kib = 0;

  *ret_format = BLOCK_FORMAT_QCOW2;
  if (new_image->format != NULL &&
      !cli_disk_parse_format (cli, new_image->format, ret_format, ret_status))
    return FALSE;
  if (*ret_format != BLOCK_FORMAT_RAW && *ret_format != BLOCK_FORMAT_QCOW2)
    problem = "new images can be raw or qcow2";
  else if (new_image->version != 0 && new_image->version != 2 && new_image->version != 3)
    problem = "--image-version must be 2 or 3";
  else if (new_image->preallocation != NULL &&
           !parse_preallocation (new_image->preallocation, &options->preallocate))
    problem = "--preallocation must be off, metadata, falloc or full";
  else if (new_image->compression != NULL && strcmp (new_image->compression, "zlib") != 0 &&
           strcmp (new_image->compression, "zstd") != 0)
    problem = "--compression must be zlib or zstd";
  else if (new_image->cluster != NULL &&
           !g_ascii_string_to_unsigned (new_image->cluster, 10, 1, 2048, &kib, NULL))
    problem = "--cluster-size must be 1 to 2048";
  else if (*ret_format == BLOCK_FORMAT_RAW &&
           (new_image->cluster != NULL || new_image->extended_l2 || new_image->lazy_refcounts ||
            new_image->compression != NULL || new_image->version != 0))
    problem = "raw images have no such properties: choose qcow2";
  if (problem != NULL)
    {
      *ret_status = cli_usage (cli, "%s", problem);
      return FALSE;
    }
  options->cluster_size = (guint32)kib * 1024;
  options->version = (guint32)new_image->version;
  options->extended_l2 = new_image->extended_l2;
  options->lazy_refcounts = new_image->lazy_refcounts;
  options->compress_zstd = g_strcmp0 (new_image->compression, "zstd") == 0;
  return TRUE;
}

int
cli_disk_create (Cli *cli, int argc, char **argv)
{
  g_auto (NewImage) new_image = { 0 };
  g_autofree char *backing = NULL, *backing_format = NULL, *data_file = NULL;
  const GOptionEntry entries[] = {
    NEW_IMAGE_ENTRIES ("format"),
    { "backing", 'b', 0, G_OPTION_ARG_FILENAME, &backing, "qcow2: stand on this image", "FILE" },
    { "backing-format", 'F', 0, G_OPTION_ARG_STRING, &backing_format, "Its format", "F" },
    { "data-file", 0, 0, G_OPTION_ARG_FILENAME, &data_file, "qcow2: guest data lies there",
      "FILE" },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  BlockCreateOptions options = { 0 };
  GError *error = NULL;
  BlockFormat format;
  CliWork work;
  gboolean good;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 2, &arguments, &status) ||
      !new_image_use (cli, &new_image, &format, &options, &status))
    return status;
  if (arguments[1] == NULL && backing == NULL)
    return cli_usage (cli, "the size is missing, such as 32G");
  if (arguments[1] != NULL && !cli_disk_parse_size (cli, arguments[1], &options.size, &status))
    return status;
  if (backing != NULL && backing_format == NULL)
    return cli_usage (cli, "--backing needs --backing-format");
  options.backing_file = backing;
  options.backing_format = backing_format;
  options.data_file = data_file;
  cli_work_begin (&work);
  good = block_image_create (arguments[0], format, &options, &work.progress, &error);
  cli_work_end (&work);
  return good ? ALCOVE_EXIT_DONE : cli_fail (cli, error);
}

int
cli_disk_convert (Cli *cli, int argc, char **argv)
{
  g_auto (NewImage) new_image = { 0 };
  g_autofree char *format = NULL, *snapshot = NULL;
  gboolean compress = FALSE;
  const GOptionEntry entries[] = {
    { "format", 'f', 0, G_OPTION_ARG_STRING, &format, "The file's format", "F" },
    NEW_IMAGE_ENTRIES ("to"),
    { "compress", 'c', 0, G_OPTION_ARG_NONE, &compress, "qcow2: compress", NULL },
    { "snapshot", 0, 0, G_OPTION_ARG_STRING, &snapshot, "This internal snapshot of the image",
      "ID" },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_auto (CliDisk) disk = { 0 };
  AlcoveDiskConvertSpec spec = { 0 };
  GError *error = NULL;
  CliWork work;
  gboolean good;
  guint n;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 2, 3, &arguments, &status) ||
      !new_image_use (cli, &new_image, &spec.to_format, &spec.create, &status))
    return status;
  n = g_strv_length (arguments);
  if (!cli_disk_find (cli, arguments, n - 1, format, FALSE, &disk, &status))
    return status;
  spec.from = disk.path;
  spec.from_format = disk.format;
  spec.from_snapshot = snapshot;
  spec.to = arguments[n - 1];
  spec.compress = compress;
  cli_work_begin (&work);
  good = alcove_disk_convert (&spec, &work.progress, &error);
  cli_work_end (&work);
  return good ? ALCOVE_EXIT_DONE : cli_fail (cli, error);
}

int
cli_disk_resize (Cli *cli, int argc, char **argv)
{
  g_autofree char *format = NULL;
  gboolean force = FALSE;
  const GOptionEntry entries[] = {
    { "format", 'f', 0, G_OPTION_ARG_STRING, &format, "The file's format", "F" },
    { "force", 0, 0, G_OPTION_ARG_NONE, &force, "Cut off even what holds data: it is lost", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_auto (CliDisk) disk = { 0 };
  GError *error = NULL;
  guint64 size = 0;
  CliWork work;
  gboolean good;
  guint n;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 2, 3, &arguments, &status))
    return status;
  n = g_strv_length (arguments);
  if (!cli_disk_parse_size (cli, arguments[n - 1], &size, &status) ||
      !cli_disk_find (cli, arguments, n - 1, format, TRUE, &disk, &status))
    return status;
  cli_work_begin (&work);
  good = alcove_disk_resize (disk.path, disk.format, size, force, &work.progress, &error);
  cli_work_end (&work);
  if (!good)
    return cli_fail (cli, error);
  cli_say (
      "Done. Partitions and file systems are as they were: extend them in the guest, and never "
      "let them reach past the disk's end");
  return ALCOVE_EXIT_DONE;
}

int
cli_disk_compact (Cli *cli, int argc, char **argv)
{
  g_autofree char *format = NULL;
  const GOptionEntry entries[] = { { "format", 'f', 0, G_OPTION_ARG_STRING, &format,
                                     "The file's format", "F" },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_auto (CliDisk) disk = { 0 };
  g_autofree char *from = NULL, *to = NULL;
  GError *error = NULL;
  guint64 before = 0, after = 0;
  CliWork work;
  gboolean good;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 2, &arguments, &status) ||
      !cli_disk_find (cli, arguments, g_strv_length (arguments), format, TRUE, &disk, &status))
    return status;
  cli_work_begin (&work);
  good = alcove_disk_compact (disk.path, disk.format, &work.progress, &before, &after, &error);
  cli_work_end (&work);
  if (!good)
    return cli_fail (cli, error);
  from = g_format_size_full (before, G_FORMAT_SIZE_IEC_UNITS);
  to = g_format_size_full (after, G_FORMAT_SIZE_IEC_UNITS);
  cli_say ("It took %s on the host, and takes %s now", from, to);
  return ALCOVE_EXIT_DONE;
}

int
cli_disk_backup (Cli *cli, int argc, char **argv)
{
  g_autofree char *format = NULL, *bitmap = NULL, *since = NULL;
  gboolean compress = FALSE;
  const GOptionEntry entries[] = {
    { "format", 'f', 0, G_OPTION_ARG_STRING, &format, "The file's format", "F" },
    { "bitmap", 0, 0, G_OPTION_ARG_STRING, &bitmap,
      "Note in this bitmap what changes from now on, for incremental backups", "NAME" },
    { "since", 0, 0, G_OPTION_ARG_FILENAME, &since,
      "Incremental: only what changed since this backup; the new one stands on it", "FILE" },
    { "compress", 'c', 0, G_OPTION_ARG_NONE, &compress, "Compress", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_auto (CliDisk) disk = { 0 };
  g_autofree char *text = NULL;
  AlcoveDiskBackupSpec spec = { 0 };
  AlcoveDiskCopyResult result = { 0 };
  GError *error = NULL;
  CliWork work;
  gboolean good;
  guint n;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 2, 3, &arguments, &status))
    return status;
  if (since != NULL && bitmap == NULL)
    return cli_usage (cli, "--since needs the --bitmap of the backup before");
  n = g_strv_length (arguments);
  if (!cli_disk_find (cli, arguments, n - 1, format, bitmap != NULL, &disk, &status))
    return status;
  spec = (AlcoveDiskBackupSpec){ .from = disk.path,
                                 .from_format = disk.format,
                                 .to = arguments[n - 1],
                                 .bitmap = bitmap,
                                 .base = since,
                                 .compress = compress };
  cli_work_begin (&work);
  good = alcove_disk_backup (&spec, &work.progress, &result, &error);
  cli_work_end (&work);
  if (!good)
    return cli_fail (cli, error);
  text = g_format_size_full (result.data_bytes, G_FORMAT_SIZE_IEC_UNITS);
  cli_say ("%s copied", text);
  return ALCOVE_EXIT_DONE;
}

int
cli_disk_rebase (Cli *cli, int argc, char **argv)
{
  g_autofree char *format = NULL, *backing = NULL, *backing_format = NULL;
  gboolean alone = FALSE, header_only = FALSE;
  const GOptionEntry entries[] = {
    { "format", 'f', 0, G_OPTION_ARG_STRING, &format, "The file's format", "F" },
    { "backing", 'b', 0, G_OPTION_ARG_FILENAME, &backing, "The new backing image", "FILE" },
    { "backing-format", 'F', 0, G_OPTION_ARG_STRING, &backing_format, "Its format", "F" },
    { "alone", 0, 0, G_OPTION_ARG_NONE, &alone, "No backing image: everything is copied", NULL },
    { "header-only", 0, 0, G_OPTION_ARG_NONE, &header_only,
      "Only write the name, for a backing image that was moved", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_auto (CliDisk) disk = { 0 };
  GError *error = NULL;
  CliWork work;
  gboolean good;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 2, &arguments, &status))
    return status;
  if (alone == (backing != NULL) || (backing != NULL && backing_format == NULL) ||
      (alone && header_only))
    return cli_usage (cli, "give --backing and --backing-format, or --alone");
  if (!cli_disk_find (cli, arguments, g_strv_length (arguments), format, TRUE, &disk, &status))
    return status;
  cli_work_begin (&work);
  good = alcove_disk_rebase (disk.path, disk.format, backing, backing_format, header_only,
                             &work.progress, &error);
  cli_work_end (&work);
  return good ? ALCOVE_EXIT_DONE : cli_fail (cli, error);
}

int
cli_disk_commit (Cli *cli, int argc, char **argv)
{
  g_autofree char *format = NULL;
  const GOptionEntry entries[] = { { "format", 'f', 0, G_OPTION_ARG_STRING, &format,
                                     "The file's format", "F" },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_auto (CliDisk) disk = { 0 };
  GError *error = NULL;
  CliWork work;
  gboolean good;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 2, &arguments, &status) ||
      !cli_disk_find (cli, arguments, g_strv_length (arguments), format, TRUE, &disk, &status))
    return status;
  cli_work_begin (&work);
  good = alcove_disk_commit (disk.path, disk.format, &work.progress, &error);
  cli_work_end (&work);
  return good ? ALCOVE_EXIT_DONE : cli_fail (cli, error);
}
