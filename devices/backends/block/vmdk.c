/* SPDX-License-Identifier: GPL-3.0-or-later */
/* VMDK, VMware's disk image, read only: one sparse file with its descriptor inside (monolithicSparse,
 * streamOptimized), or a descriptor whose extents lie beside it (monolithicFlat, vmfs,
 * twoGbMaxExtentFlat, twoGbMaxExtentSparse). Specification: "Virtual Disk Format 5.0" (2011). */
#include "devices/backends/block/vmdk-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

typedef struct
{
  VmdkExtentKind kind;
  guint64 start, length; /* bytes of the disk */
  guint64 file_offset;   /* FLAT */
  BlockFile *file;       /* owned, unless it is the image's own */
  VmdkSparse *sparse;
} VmdkExtent;

typedef struct
{
  BlockForeign base;
  GPtrArray *extents; /* of VmdkExtent, by start */
} VmdkImage;

static void
extent_free (gpointer data)
{
  VmdkExtent *extent = data;

  vmdk_sparse_free (extent->sparse);
  block_file_close (extent->file);
  g_free (extent);
}

static int
vmdk_find (BlockForeign *foreign, guint64 offset, BlockForeignRun *ret_run)
{
  VmdkImage *self = (VmdkImage *)foreign;
  guint low = 0, high = self->extents->len;
  VmdkExtent *extent;
  int result;

  while (high - low > 1)
    {
      guint middle = (low + high) / 2;

      extent = g_ptr_array_index (self->extents, middle);
      if (extent->start <= offset)
        low = middle;
      else
        high = middle;
    }
  extent = g_ptr_array_index (self->extents, low);
  offset -= extent->start;
  switch (extent->kind)
    {
    case VMDK_EXTENT_FLAT:
      ret_run->kind = BLOCK_EXTENT_DATA;
      ret_run->file = extent->file;
      ret_run->file_offset = extent->file_offset + offset;
      break;
    case VMDK_EXTENT_SPARSE:
      result = vmdk_sparse_find (extent->sparse, offset, ret_run);
      if (result < 0)
        return result;
      ret_run->length = MIN (ret_run->length, extent->length - offset);
      return 0;
    case VMDK_EXTENT_ZERO:
    default:
      ret_run->kind = BLOCK_EXTENT_ZERO;
      break;
    }
  ret_run->length = extent->length - offset;
  return 0;
}

static int
vmdk_read_unit (BlockForeign *foreign, const BlockForeignRun *run, guint8 *buffer)
{
  return vmdk_sparse_read_grain (run->priv, run->file_offset, buffer);
}

static void
vmdk_clear (BlockForeign *foreign)
{
  g_ptr_array_unref (((VmdkImage *)foreign)->extents);
}

static const BlockForeignFormat vmdk_format = { .find = vmdk_find,
                                                .read_unit = vmdk_read_unit,
                                                .clear = vmdk_clear };
static const BlockImageOps vmdk_ops = BLOCK_FOREIGN_OPS ("vmdk");

static void
use_sparse (VmdkImage *self, const VmdkSparse *sparse)
{
  if (sparse->compressed)
    self->base.unit_size = MAX (self->base.unit_size, (gsize)sparse->grain_size);
  self->base.info.cluster_size = self->base.info.subcluster_size = (guint32)sparse->grain_size;
}

/* One file with everything. */
static gboolean
open_monolithic (VmdkImage *self, GError **error)
{
  BlockFile *file = self->base.base.file;
  VmdkExtent *extent = g_new0 (VmdkExtent, 1);
  g_autofree char *text = NULL;
  VmdkDescriptor descriptor = { 0 };
  gboolean good = FALSE;

  extent->kind = VMDK_EXTENT_SPARSE;
  g_ptr_array_add (self->extents, extent);
  extent->sparse = vmdk_sparse_open (file, error);
  if (extent->sparse == NULL)
    return FALSE;
  if (extent->sparse->descriptor_len == 0)
    return block_foreign_invalid (error, file, VMDK_FORMAT,
                                  "it is one part of a split image. Name the small file that "
                                  "describes the parts");
  text = block_foreign_load (file, extent->sparse->descriptor_at, extent->sparse->descriptor_len,
                             "descriptor", error);
  if (text == NULL)
    return FALSE;
  if (vmdk_descriptor_parse (&descriptor, text, extent->sparse->descriptor_len, file, error))
    {
      good = descriptor.lines->len == 1;
      if (!good)
        (void)block_foreign_invalid (error, file, VMDK_FORMAT,
                                     "its descriptor names %u extents, where the file is one",
                                     descriptor.lines->len);
    }
  vmdk_descriptor_clear (&descriptor);
  extent->length = extent->sparse->size;
  self->base.info.size = extent->length;
  use_sparse (self, extent->sparse);
  return good;
}

/* A name in the descriptor's own folder and nothing else: an image from elsewhere must not be able
 * to name this computer's files. */
static gboolean
name_is_plain (const char *name)
{
  return *name != '\0' && strcmp (name, ".") != 0 && strcmp (name, "..") != 0 &&
         strpbrk (name, "/\\") == NULL;
}

/* A regular file of that name in the descriptor's folder. */
static BlockFile *
open_beside (BlockFile *file, const char *name, const BlockImageFlags *flags, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (file->name);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  const BlockFileFlags file_flags = { .readonly = TRUE,
                                      .direct = flags->direct,
                                      .lock = flags->no_lock || flags->force_share
                                                  ? BLOCK_LOCK_NONE
                                                  : BLOCK_LOCK_SHARED };
  struct stat st;

  if (!name_is_plain (name))
    {
      (void)block_foreign_invalid (error, file, VMDK_FORMAT,
                                   "the extent \"%s\" does not lie in the image's own folder. Put "
                                   "the files side by side and correct the name in the descriptor",
                                   name);
      return NULL;
    }
  if (strcmp (file->ops->name, "file") != 0)
    {
      (void)block_foreign_unsupported (error, file, VMDK_FORMAT,
                                       "its data lies in other files, which only a file has");
      return NULL;
    }
  if (lstat (path, &st) == 0 && !S_ISREG (st.st_mode))
    {
      (void)block_foreign_invalid (
          error, file, VMDK_FORMAT,
          "the extent %s is no regular file. Put the files themselves, not "
          "links, side by side",
          path);
      return NULL;
    }
  return block_file_open (path, &file_flags, error);
}

static gboolean
add_extent (VmdkImage *self,
            const VmdkExtentLine *line,
            const BlockImageFlags *flags,
            GError **error)
{
  BlockFile *file = self->base.base.file;
  VmdkExtent *extent = g_new0 (VmdkExtent, 1);
  gint64 size;

  extent->kind = line->kind;
  extent->start = self->base.info.size;
  extent->length = line->sectors * VMDK_SECTOR;
  g_ptr_array_add (self->extents, extent);
  if (extent->length > BLOCK_FOREIGN_SIZE_MAX - extent->start)
    return block_foreign_invalid (error, file, VMDK_FORMAT, "its disk is larger than 2^48 bytes");
  self->base.info.size += extent->length;
  if (line->kind == VMDK_EXTENT_ZERO)
    return TRUE;
  extent->file = open_beside (file, line->name, flags, error);
  if (extent->file == NULL)
    return FALSE;
  if (line->kind == VMDK_EXTENT_SPARSE)
    {
      extent->sparse = vmdk_sparse_open (extent->file, error);
      if (extent->sparse == NULL)
        return FALSE;
      use_sparse (self, extent->sparse);
      if (extent->sparse->size < extent->length)
        return block_foreign_invalid (error, extent->file, VMDK_FORMAT,
                                      "it holds less than the descriptor says");
      return TRUE;
    }
  extent->file_offset = line->offset_sectors * VMDK_SECTOR;
  size = extent->file->ops->get_size (extent->file);
  if (size < 0)
    return vmm_error_set_errno (error, (int)size, "The size of %s cannot be found out",
                                extent->file->name);
  if (extent->file_offset > (guint64)size || extent->length > (guint64)size - extent->file_offset)
    return block_foreign_invalid (error, extent->file, VMDK_FORMAT,
                                  "it is cut short: %" G_GINT64_FORMAT " bytes are there. Copy the "
                                  "file anew",
                                  size);
  return TRUE;
}

static gboolean
open_descriptor (VmdkImage *self, const BlockImageFlags *flags, GError **error)
{
  BlockFile *file = self->base.base.file;
  gint64 size = file->ops->get_size (file);
  VmdkDescriptor descriptor = { 0 };
  g_autofree char *text = NULL;
  gboolean good;

  if (size > VMDK_DESCRIPTOR_MAX)
    return block_foreign_invalid (error, file, VMDK_FORMAT, "its descriptor is larger than 1 MiB");
  text = block_foreign_load (file, 0, (guint64)MAX (size, 0), "descriptor", error);
  if (text == NULL)
    return FALSE;
  good = vmdk_descriptor_parse (&descriptor, text, (gsize)size, file, error);
  for (guint i = 0; good && i < descriptor.lines->len; i++)
    good = add_extent (self, g_ptr_array_index (descriptor.lines, i), flags, error);
  vmdk_descriptor_clear (&descriptor);
  return good;
}

static gboolean
open_any (VmdkImage *self, const BlockImageFlags *flags, GError **error)
{
  BlockFile *file = self->base.base.file;
  guint8 start[sizeof VMDK_DESCRIPTOR_MARK - 1];
  guint32 magic;

  if (!block_foreign_read (file, 0, start, sizeof start, "header", error))
    return FALSE;
  magic = get_le32 (start);
  if (memcmp (start, VMDK_DESCRIPTOR_MARK, sizeof start) == 0)
    return open_descriptor (self, flags, error);
  if (magic == VMDK_ESX_MAGIC || magic == VMDK_SESPARSE_MAGIC)
    return block_foreign_unsupported (
        error, file, VMDK_FORMAT,
        "it holds only the changes of a snapshot on ESX. Clone the disk "
        "with \"vmkfstools -i\" there");
  return open_monolithic (self, error);
}

BlockImage *
block_image_open_vmdk (BlockFile *file, const BlockImageFlags *flags, GError **error)
{
  static const BlockImageFlags no_flags = { 0 };
  VmdkImage *self =
      block_foreign_new (sizeof *self, &vmdk_ops, &vmdk_format, BLOCK_FORMAT_VMDK, file);

  self->extents = g_ptr_array_new_with_free_func (extent_free);
  if (open_any (self, flags != NULL ? flags : &no_flags, error))
    return &self->base.base;
  block_foreign_close (&self->base.base);
  return NULL;
}
