/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app/clone-private.h"
#include "app/files.h"

#define CHUNK (1024 * 1024) /* bytes */

static gboolean
fail (GError **error, int negative_errno, const char *path, const char *what)
{
  return alcove_files_set_error (error, -negative_errno, path, what);
}

static gboolean
is_zero (const guint8 *data, gsize length)
{
  return length == 0 || (data[0] == 0 && memcmp (data, data + 1, length - 1) == 0);
}

static gboolean
go_on (AlcoveCloneJob *job, guint64 bytes, GError **error)
{
  job->done += bytes;
  alcove_reporter_report (job->reporter, MIN (job->done, job->total), job->total);
  if (!g_cancellable_is_cancelled (job->cancellable))
    return TRUE;
  g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_CANCELLED, "Cancelled");
  return FALSE;
}

/* What is not in any image of the chain, or reads as zeroes, stays unallocated in to. */
static gboolean
copy_image (AlcoveCloneJob *job, BlockImage *from, BlockImage *to, const char *path, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (CHUNK);
  guint64 size = block_image_get_size (from), at = 0;

  while (at < size)
    {
      BlockExtent extent;
      int result = block_image_map (from, at, size - at, &extent);
      gboolean data;

      if (result < 0)
        return fail (error, result, from->name, "cannot be read");
      data = extent.kind == BLOCK_EXTENT_DATA || extent.kind == BLOCK_EXTENT_COMPRESSED;
      for (guint64 left = MIN (extent.length, size - at); left > 0;)
        {
          gsize n = data ? MIN (left, CHUNK - at % CHUNK) : left;

          if (data && (result = block_image_read (from, at, buffer, n)) < 0)
            return fail (error, result, from->name, "cannot be read");
          if (data && !is_zero (buffer, n) && (result = block_image_write (to, at, buffer, n)) < 0)
            return fail (error, result, path, "cannot be written");
          at += n;
          left -= n;
          if (!go_on (job, n, error))
            return FALSE;
        }
    }
  return TRUE;
}

/* A new image at path with what from shows. On error nothing remains. */
static gboolean
write_copy (AlcoveCloneJob *job, BlockImage *from, const char *path, GError **error)
{
  BlockImageInfo info = { 0 };
  BlockCreateOptions options = { 0 };
  BlockImageFlags flags = { 0 };
  BlockImage *to;
  gboolean good;
  int result;

  from->ops->get_info (from, &info);
  options.size = info.size;
  options.cluster_size = info.cluster_size;
  options.extended_l2 = info.subcluster_size != 0 && info.subcluster_size < info.cluster_size;
  if (!block_image_create (path, BLOCK_FORMAT_QCOW2, &options, NULL, error))
    return FALSE;
  to = block_image_open (path, BLOCK_FORMAT_QCOW2, &flags, error);
  good = to != NULL && copy_image (job, from, to, path, error);
  if (good && (result = block_image_flush (to)) < 0)
    good = fail (error, result, path, "cannot be written");
  block_image_close (to);
  if (!good)
    (void)unlink (path);
  return good;
}

/* *ret_unlocked: the machine that runs has the lock, and only a snapshot may be read. */
static BlockImage *
open_image (AlcoveCloneJob *job,
            const AlcoveDiskConfig *disk,
            gboolean *ret_unlocked,
            GError **error)
{
  BlockFormat format = disk->format == ALCOVE_DISK_RAW ? BLOCK_FORMAT_RAW : BLOCK_FORMAT_QCOW2;
  BlockImageFlags flags = { .readonly = TRUE };
  g_autoptr (GError) local = NULL;
  BlockImage *image = block_image_open (disk->file, format, &flags, &local);

  *ret_unlocked = image == NULL && job->runner != 0 && job->set != NULL &&
                  g_error_matches (local, VMM_ERROR, VMM_ERROR_BUSY);
  if (*ret_unlocked)
    {
      flags.no_lock = TRUE;
      return block_image_open (disk->file, format, &flags, error);
    }
  if (image == NULL)
    g_propagate_error (error, g_steal_pointer (&local));
  return image;
}

/* The source's contents as an image. *ret_parent: (nullable) is closed after it. */
static BlockImage *
open_source (AlcoveCloneJob *job,
             const AlcoveDiskConfig *disk,
             BlockImage **ret_parent,
             gboolean *ret_unlocked,
             GError **error)
{
  BlockImage *image, *view;

  *ret_parent = NULL;
  image = open_image (job, disk, ret_unlocked, error);
  if (image == NULL || job->set == NULL || (disk->readonly && !*ret_unlocked))
    return image;
  if (!alcove_disk_find_snapshot (image, job->set->id, NULL))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "The disk “%s” (%s) is not the one that the snapshot “%s” was made of: put the "
                   "right image in its place",
                   disk->base.name, disk->file, job->set->name);
      block_image_close (image);
      return NULL;
    }
  view = block_image_snapshot_open (image, job->set->id, error);
  if (view == NULL)
    block_image_close (image);
  else
    *ret_parent = image;
  return view;
}

static gboolean
copy_qcow2 (AlcoveCloneJob *job, const AlcoveDiskConfig *disk, const char *path, GError **error)
{
  gboolean unlocked;
  BlockImage *parent, *image = open_source (job, disk, &parent, &unlocked, error);
  gboolean good = image != NULL && write_copy (job, image, path, error);

  block_image_close (image);
  block_image_close (parent);
  if (good && !alcove_clone_check_source (job, disk, unlocked, error))
    {
      (void)unlink (path);
      return FALSE;
    }
  return good;
}

/* (transfer full): the base of a disk in the job's snapshot, made when it is not there yet. */
static char *
ensure_base (AlcoveCloneJob *job, const AlcoveDiskConfig *disk, GError **error)
{
  g_autofree char *folder = alcove_bases_dup_folder (job->machines);
  g_autofree char *name =
      g_strdup_printf ("%s-%s-%s.qcow2", alcove_definition_get_machine (job->definition)->uuid,
                       job->set->id, disk->base.name);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *partial = g_strconcat (path, ".part", NULL);

  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&path);
  if (!alcove_files_make_folder (folder, error))
    return NULL;
  (void)unlink (partial); /* of a process that was killed */
  if (!copy_qcow2 (job, disk, partial, error))
    return NULL;
  if (chmod (partial, 0400) < 0 || !alcove_files_rename (partial, path, TRUE, error))
    {
      (void)unlink (partial);
      return NULL;
    }
  return g_steal_pointer (&path);
}

static gboolean
link_qcow2 (AlcoveCloneJob *job, const AlcoveDiskConfig *disk, const char *path, GError **error)
{
  g_autofree char *base = ensure_base (job, disk, error);
  BlockCreateOptions options = { .backing_file = base, .backing_format = "qcow2" };

  return base != NULL && block_image_create (path, BLOCK_FORMAT_QCOW2, &options, NULL, error);
}

static gboolean
is_excluded (AlcoveCloneJob *job, const char *name)
{
  for (guint i = 0; job->set != NULL && i < job->set->excluded->len; i++)
    if (strcmp (g_ptr_array_index (job->set->excluded, i), name) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
is_inside (const char *path, const char *folder)
{
  gsize n = strlen (folder);

  return strncmp (path, folder, n) == 0 && path[n] == '/';
}

static gboolean
clone_disk (AlcoveCloneJob *job,
            AlcoveConfFile *conf,
            const AlcoveDiskConfig *disk,
            const char *folder,
            GError **error)
{
  g_autofree char *group =
      g_strdup_printf ("%s %s", alcove_kind_to_string (disk->base.kind), disk->base.name);
  g_autofree char *file = g_strdup_printf ("%s.%s", disk->base.name,
                                           disk->format == ALCOVE_DISK_QCOW2      ? "qcow2"
                                           : disk->base.kind == ALCOVE_KIND_CDROM ? "iso"
                                                                                  : "img");
  g_autofree char *path = g_build_filename (folder, file, NULL);
  gboolean good;

  if (is_excluded (job, disk->base.name))
    {
      (void)alcove_conf_file_remove_group (conf, group);
      return TRUE;
    }
  if (disk->file == NULL)
    return TRUE; /* an empty drive */
  /* What nobody writes is used where it is, unless it would go with the source. */
  if (disk->readonly && !is_inside (disk->file, job->source))
    {
      alcove_conf_file_set_value (conf, group, "file", disk->file);
      return TRUE;
    }
  if (disk->format != ALCOVE_DISK_QCOW2)
    good = alcove_files_copy (disk->file, path, job->cancellable, error);
  else if (job->spec.linked && !disk->readonly)
    good = link_qcow2 (job, disk, path, error);
  else
    good = copy_qcow2 (job, disk, path, error);
  if (!good)
    {
      g_prefix_error (error, "[%s]: ", group);
      return FALSE;
    }
  alcove_conf_file_set_value (conf, group, "file", file);
  return go_on (job, 0, error);
}

static guint64
disk_size (const AlcoveDiskConfig *disk)
{
  BlockImageFlags flags = { .readonly = TRUE, .no_backing = TRUE, .no_lock = TRUE };
  BlockImage *image = disk->format == ALCOVE_DISK_QCOW2
                          ? block_image_open (disk->file, BLOCK_FORMAT_QCOW2, &flags, NULL)
                          : NULL;
  guint64 size = image != NULL ? block_image_get_size (image) : 0;

  block_image_close (image);
  return size;
}

gboolean
alcove_clone_disks (AlcoveCloneJob *job, AlcoveConfFile *conf, const char *folder, GError **error)
{
  guint n_disks, n_cdroms;
  const AlcoveDiskConfig *const *disks = alcove_definition_get_disks (job->definition, &n_disks);
  const AlcoveDiskConfig *const *cdroms = alcove_definition_get_cdroms (job->definition, &n_cdroms);

  for (guint i = 0; i < n_disks; i++)
    job->total += disk_size (disks[i]);
  for (guint i = 0; i < n_disks; i++)
    if (!clone_disk (job, conf, disks[i], folder, error))
      return FALSE;
  for (guint i = 0; i < n_cdroms; i++)
    if (!clone_disk (job, conf, cdroms[i], folder, error))
      return FALSE;
  return TRUE;
}
