/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opening an image with everything behind it, and making new ones. A backing image is whatever the
 * header of the one before names, so that a hostile image is refused: without a format, with a
 * network address, in a cycle, or too deep. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/backends/block/image.h"

typedef BlockImage *(*OpenFunc) (BlockFile *file, const BlockImageFlags *flags, GError **error);

/* A format a line. */
static const OpenFunc openers[BLOCK_N_FORMATS] = {
  [BLOCK_FORMAT_RAW] = block_image_open_raw,   [BLOCK_FORMAT_QCOW2] = block_image_open_qcow2,
  [BLOCK_FORMAT_VMDK] = block_image_open_vmdk, [BLOCK_FORMAT_VHD] = block_image_open_vhd,
  [BLOCK_FORMAT_VHDX] = block_image_open_vhdx, [BLOCK_FORMAT_VDI] = block_image_open_vdi,
};

typedef gboolean (*FormatFunc) (BlockFile *file,
                                const BlockCreateOptions *options,
                                const BlockProgress *progress,
                                GError **error);

static gboolean format_raw (BlockFile *file,
                            const BlockCreateOptions *options,
                            const BlockProgress *progress,
                            GError **error);

static const FormatFunc formatters[BLOCK_N_FORMATS] = {
  [BLOCK_FORMAT_RAW] = format_raw,
  [BLOCK_FORMAT_QCOW2] = block_qcow2_format,
};

typedef struct
{
  dev_t device;
  ino_t inode;
} FileId;

typedef struct
{
  GString *names; /* "“a” → “b”" */
  GArray *seen;   /* of FileId */
} Chain;

gboolean
block_path_is_nbd (const char *path)
{
  return g_str_has_prefix (path, "nbd://") || g_str_has_prefix (path, "nbd+unix://") ||
         g_str_has_prefix (path, "nbds://") || g_str_has_prefix (path, "nbds+unix://");
}

/* Notes the file's identity. FALSE: it is in the chain already. */
static gboolean
see (Chain *chain, BlockFile *file)
{
  int fd = file->ops->get_fd (file);
  struct stat st;
  FileId id;

  if (fd < 0 || fstat (fd, &st) < 0)
    return TRUE;
  id = S_ISBLK (st.st_mode) ? (FileId){ 0, st.st_rdev } : (FileId){ st.st_dev, st.st_ino };
  for (guint i = 0; i < chain->seen->len; i++)
    {
      const FileId *other = &g_array_index (chain->seen, FileId, i);

      if (other->device == id.device && other->inode == id.inode)
        return FALSE;
    }
  g_array_append_val (chain->seen, id);
  return TRUE;
}

static gboolean
refuse (GError **error, VmmErrorCode code, const Chain *chain, const char *why)
{
  g_set_error (error, VMM_ERROR, code, "%s: %s", chain->names->str, why);
  return FALSE;
}

static BlockImage *
open_one (Chain *chain,
          const char *path,
          BlockFormat format,
          const BlockImageFlags *flags,
          GError **error)
{
  const BlockFileFlags file_flags = { .readonly = flags->readonly,
                                      .direct = flags->direct,
                                      .draft = flags->draft };
  const BlockLock lock = flags->no_lock || flags->force_share ? BLOCK_LOCK_NONE
                         : flags->readonly                    ? BLOCK_LOCK_SHARED
                                                              : BLOCK_LOCK_EXCLUSIVE;
  g_autofree char *reason = NULL;
  BlockImageInfo info;
  BlockImage *image;
  BlockFile *file;

  g_string_append_printf (chain->names, "%s“%s”", chain->names->len > 0 ? " → " : "", path);
  if (openers[format] == NULL)
    {
      reason = g_strdup_printf ("the format %s is not supported", block_format_to_string (format));
      (void)refuse (error, VMM_ERROR_NOT_SUPPORTED, chain, reason);
      return NULL;
    }
  file = block_path_is_nbd (path) ? block_file_open_nbd (path, &file_flags, error)
                                  : block_file_open (path, &file_flags, error);
  if (file == NULL)
    return NULL;
  if (!see (chain, file))
    {
      block_file_close (file);
      (void)refuse (error, VMM_ERROR_INVALID, chain,
                    "the backing images form a circle; give the last one another backing image");
      return NULL;
    }
  /* After the circle, in which we would be in our own way. */
  if (!block_file_change_lock (file, lock, error))
    {
      block_file_close (file);
      return NULL;
    }
  image = openers[format](file, flags, error);
  if (image == NULL)
    return NULL;
  image->ops->get_info (image, &info);
  if (info.encrypted)
    {
      block_image_close (image);
      (void)refuse (error, VMM_ERROR_NOT_SUPPORTED, chain,
                    "encrypted images (LUKS) are not supported; decrypt it with another program");
      return NULL;
    }
  return image;
}

/* (transfer full) where the image's header points to. NULL: refused. */
static char *
resolve_backing (Chain *chain,
                 const char *path,
                 const BlockImageInfo *info,
                 BlockFormat *ret_format,
                 GError **error)
{
  const char *name = info->backing_file;
  g_autofree char *folder = NULL, *reason = NULL;
  const char *colon;

  if (info->backing_format == NULL)
    reason = g_strdup_printf ("the backing image “%s” is named without its format; write it into "
                              "the image (qemu-img rebase -u -F FORMAT -b FILE IMAGE)",
                              name);
  else if (!block_format_from_string (info->backing_format, ret_format))
    reason =
        g_strdup_printf ("the backing image's format “%s” is not supported", info->backing_format);
  if (reason != NULL)
    {
      (void)refuse (error, VMM_ERROR_INVALID, chain, reason);
      return NULL;
    }
  if (g_str_has_prefix (name, "file:"))
    name += strlen ("file:");
  /* "json:", "nbd:", "ssh://": who gave us the image is not to choose whom we connect to. */
  colon = strchr (name, ':');
  if (colon != NULL && memchr (name, '/', (gsize)(colon - name)) == NULL)
    {
      reason = g_strdup_printf ("the backing image “%s” is not a local file; copy it here first, "
                                "or put “./” before a file's name that has a colon",
                                name);
      (void)refuse (error, VMM_ERROR_NOT_SUPPORTED, chain, reason);
      return NULL;
    }
  if (g_path_is_absolute (name))
    return g_strdup (name);
  folder = g_path_get_dirname (path);
  return g_build_filename (folder, name, NULL);
}

static gboolean
open_backing (
    Chain *chain, BlockImage *image, const char *path, const BlockImageFlags *flags, GError **error)
{
  BlockImageFlags backing_flags = *flags;
  g_autofree char *above = g_strdup (path);

  backing_flags.readonly = TRUE;
  backing_flags.discard = FALSE;
  backing_flags.draft = FALSE;
  for (guint depth = 1;; depth++)
    {
      g_autofree char *next = NULL;
      BlockFormat format;
      BlockImageInfo info;

      image->ops->get_info (image, &info);
      if (info.backing_file == NULL)
        return TRUE;
      if (depth >= BLOCK_CHAIN_MAX)
        return refuse (error, VMM_ERROR_INVALID, chain,
                       "the chain of backing images is too long; merge some of them");
      next = resolve_backing (chain, above, &info, &format, error);
      if (next == NULL)
        return FALSE;
      image->backing = open_one (chain, next, format, &backing_flags, error);
      if (image->backing == NULL)
        {
          g_prefix_error (error, "The backing image of “%s”: ", above);
          return FALSE;
        }
      image = image->backing;
      g_free (above);
      above = g_steal_pointer (&next);
    }
}

BlockImage *
block_image_open (const char *path,
                  BlockFormat format,
                  const BlockImageFlags *flags,
                  GError **error)
{
  Chain chain = { g_string_new (NULL), g_array_new (FALSE, FALSE, sizeof (FileId)) };
  BlockImage *image = open_one (&chain, path, format, flags, error);

  if (image != NULL && !flags->no_backing && !open_backing (&chain, image, path, flags, error))
    g_clear_pointer (&image, block_image_close);
  g_string_free (chain.names, TRUE);
  g_array_unref (chain.seen);
  return image;
}

/* ---- new images ---- */

static gboolean
format_raw (BlockFile *file,
            const BlockCreateOptions *options,
            const BlockProgress *progress,
            GError **error)
{
  const guint64 step = 64 << 20;
  int result;

  if (options->backing_file != NULL || options->data_file != NULL ||
      options->preallocate == BLOCK_PREALLOCATE_METADATA)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "“%s”: raw images have no backing image, data file or metadata; choose qcow2",
                   file->name);
      return FALSE;
    }
  result = file->ops->truncate (file, options->size);
  if (options->preallocate != BLOCK_PREALLOCATE_OFF)
    for (guint64 done = 0; result == 0 && done < options->size;)
      {
        guint64 piece = MIN (step, options->size - done);

        result = file->ops->zero (file, done, piece, BLOCK_FILE_ZERO_NONE);
        done += piece;
        if (progress != NULL && progress->step != NULL &&
            !progress->step (done, options->size, progress->user_data))
          {
            g_set_error (error, VMM_ERROR, VMM_ERROR_CANCELLED, "“%s” was not created: cancelled",
                         file->name);
            return FALSE;
          }
      }
  if (result == 0)
    result = file->ops->flush (file);
  return result == 0 ||
         vmm_error_set_errno (error, result, "Cannot give “%s” its size", file->name);
}

/* A qcow2 image's guest data in a file of its own: made as large as the disk. */
static gboolean
create_data_file (const char *path, guint64 size, char **ret_created, GError **error)
{
  const BlockFileFlags flags = { .create = TRUE, .lock = BLOCK_LOCK_EXCLUSIVE };
  const BlockCreateOptions options = { .size = size };
  BlockFile *file;
  gboolean ok;

  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  file = block_file_open (path, &flags, error);
  if (file == NULL)
    return FALSE;
  *ret_created = g_strdup (path);
  ok = format_raw (file, &options, NULL, error);
  block_file_close (file);
  return ok;
}

static char *
beside (const char *path, const char *name)
{
  g_autofree char *folder = g_path_get_dirname (path);

  return g_path_is_absolute (name) ? g_strdup (name) : g_build_filename (folder, name, NULL);
}

/* The backing image must be there and be what its format says. */
static gboolean
check_backing (const char *path, BlockCreateOptions *options, GError **error)
{
  /* It may be in use by another reader, or even a writer: its size is all that is wanted. */
  const BlockImageFlags flags = { .readonly = TRUE, .no_lock = TRUE };
  g_autofree char *backing = beside (path, options->backing_file);
  BlockFormat format;
  BlockImage *image;

  if (options->backing_format == NULL ||
      !block_format_from_string (options->backing_format, &format))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s”: the backing image “%s” needs the name of its format (raw, qcow2, ...)",
                   path, options->backing_file);
      return FALSE;
    }
  image = block_image_open (backing, format, &flags, error);
  if (image == NULL)
    return FALSE;
  if (options->size == 0)
    options->size = block_image_get_size (image);
  block_image_close (image);
  return TRUE;
}

gboolean
block_image_create (const char *path,
                    BlockFormat format,
                    const BlockCreateOptions *options,
                    const BlockProgress *progress,
                    GError **error)
{
  const BlockFileFlags flags = { .create = TRUE,
                                 .draft = options->draft,
                                 .lock = BLOCK_LOCK_EXCLUSIVE };
  BlockCreateOptions all = *options;
  g_autofree char *data_path = NULL, *data_created = NULL;
  BlockFile *file;
  gboolean ok;

  if (formatters[format] == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "“%s”: new images can be raw or qcow2, not %s", path,
                   block_format_to_string (format));
      return FALSE;
    }
  if (all.backing_file != NULL && !check_backing (path, &all, error))
    return FALSE;
  if (all.size == 0 || all.size > (guint64)G_MAXINT64 - 511)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "“%s” needs a size", path);
      return FALSE;
    }
  all.size = (all.size + 511) / 512 * 512;
  file = block_file_open (path, &flags, error);
  if (file == NULL)
    return FALSE;
  if (all.data_file != NULL)
    data_path = beside (path, all.data_file);
  ok = (data_path == NULL || create_data_file (data_path, all.size, &data_created, error)) &&
       formatters[format](file, &all, progress, error);
  block_file_close (file);
  if (!ok)
    {
      (void)unlink (path);
      if (data_created != NULL)
        (void)unlink (data_created);
    }
  return ok;
}
