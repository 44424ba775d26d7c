/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The log of a VHDX that was not closed: [MS-VHDX] 2.3. Its changes are laid over the file in memory;
 * the file stays as it is. */
#include "devices/backends/block/vhdx-private.h"

#include <errno.h>
#include <string.h>

#define LOG_SECTOR      4096
#define LOG_SIZE_MAX    (16 << 20) /* 1 MiB is what programs make */
#define LOG_PATCHES_MAX 65536
#define CHECKSUM_TIMES  16 /* how often a hostile log may make us read all of it */

/* [MS-VHDX] 2.3.1.1: log entry header. */
enum
{
  ENTRY_SIGNATURE = 0,
  ENTRY_CHECKSUM = 4,
  ENTRY_LENGTH = 8,
  ENTRY_TAIL = 12,
  ENTRY_SEQUENCE = 16,
  ENTRY_N_DESCRIPTORS = 24,
  ENTRY_GUID = 32,
  ENTRY_FLUSHED = 48, /* the file's size when it was written */
  ENTRY_HEADER_SIZE = 64,
};
/* 2.3.1.2, 2.3.1.3: descriptors; both have 32 bytes. */
enum
{
  DESCRIPTOR_TRAILING = 4,
  DESCRIPTOR_LEADING = 8,
  DESCRIPTOR_ZERO_LENGTH = 8,
  DESCRIPTOR_OFFSET = 16,
  DESCRIPTOR_SEQUENCE = 24,
  DESCRIPTOR_SIZE = 32,
};

typedef struct
{
  guint64 offset, length;
  guint8 *data; /* NULL: zeroes */
} Patch;

typedef struct
{
  BlockFile base;
  BlockFile *under;
  GArray *patches; /* of Patch, in the order they were written */
} PatchedFile;

static void
patch_clear (gpointer data)
{
  g_free (((Patch *)data)->data);
}

static void
patch_buffer (PatchedFile *self, guint64 offset, guint8 *buffer, gsize length)
{
  for (guint i = 0; i < self->patches->len; i++)
    {
      const Patch *patch = &g_array_index (self->patches, Patch, i);
      guint64 from = MAX (patch->offset, offset);
      guint64 to = MIN (patch->offset + patch->length, offset + length);

      if (from >= to)
        continue;
      if (patch->data != NULL)
        memcpy (buffer + (from - offset), patch->data + (from - patch->offset), (gsize)(to - from));
      else
        memset (buffer + (from - offset), 0, (gsize)(to - from));
    }
}

static int
patched_readv (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  PatchedFile *self = (PatchedFile *)file;
  int result = self->under->ops->readv (self->under, offset, iov, n_iov);

  for (guint i = 0; result == 0 && i < n_iov; i++)
    {
      patch_buffer (self, offset, iov[i].iov_base, iov[i].iov_len);
      offset += iov[i].iov_len;
    }
  return result;
}

static int
patched_writev (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  return -EROFS;
}

static int
patched_flush (BlockFile *file)
{
  return 0;
}

static int
patched_truncate (BlockFile *file, guint64 size)
{
  return -EROFS;
}

static int
patched_zero (BlockFile *file, guint64 offset, guint64 length, BlockFileZeroFlags flags)
{
  return -EROFS;
}

static int
patched_discard (BlockFile *file, guint64 offset, guint64 length)
{
  return 0;
}

static gint64
patched_get_size (BlockFile *file)
{
  PatchedFile *self = (PatchedFile *)file;
  gint64 size = self->under->ops->get_size (self->under);

  for (guint i = 0; size >= 0 && i < self->patches->len; i++)
    {
      const Patch *patch = &g_array_index (self->patches, Patch, i);

      size = MAX (size, (gint64)(patch->offset + patch->length));
    }
  return size;
}

static gint64
patched_get_allocated (BlockFile *file)
{
  PatchedFile *self = (PatchedFile *)file;

  return self->under->ops->get_allocated (self->under);
}

static int
patched_map (
    BlockFile *file, guint64 offset, guint64 length, guint64 *ret_length, gboolean *ret_data)
{
  *ret_length = length;
  *ret_data = TRUE;
  return 0;
}

static int
patched_get_fd (BlockFile *file)
{
  return -1;
}

static void
patched_close (BlockFile *file)
{
  PatchedFile *self = (PatchedFile *)file;

  block_file_close (self->under);
  g_array_unref (self->patches);
  g_free (file->name);
  g_free (self);
}

static const BlockFileOps patched_ops = {
  .name = "replayed",
  .readv = patched_readv,
  .writev = patched_writev,
  .flush = patched_flush,
  .truncate = patched_truncate,
  .zero = patched_zero,
  .discard = patched_discard,
  .get_size = patched_get_size,
  .get_allocated = patched_get_allocated,
  .map = patched_map,
  .get_fd = patched_get_fd,
  .close = patched_close,
};

static PatchedFile *
patched_new (BlockFile *under)
{
  PatchedFile *self = g_new0 (PatchedFile, 1);

  self->base.ops = &patched_ops;
  self->base.name = g_strdup (under->name);
  self->base.readonly = TRUE;
  self->base.request_align = self->base.memory_align = 1;
  self->under = under;
  self->patches = g_array_new (FALSE, FALSE, sizeof (Patch));
  g_array_set_clear_func (self->patches, patch_clear);
  return self;
}

/* The log, read whole. */
typedef struct
{
  guint8 *ring;
  guint32 length;
  const guint8 *guid;
  guint64 budget; /* bytes that may still be summed */
} Log;

/* Entries in a row. */
typedef struct
{
  guint64 last;       /* sequence number of the newest entry; 0: no entry */
  guint32 start, end; /* of the ring; end is behind the newest entry */
  guint32 head, tail; /* the newest entry, and where it says the oldest one lies */
  gboolean has_tail;
} Sequence;

static void
copy_from_ring (const Log *log, guint32 at, guint8 *buffer, guint32 length)
{
  guint32 first = MIN (length, log->length - at);

  memcpy (buffer, log->ring + at, first);
  memcpy (buffer + first, log->ring, length - first);
}

/* (transfer full) (nullable): a valid entry, in one piece. */
static guint8 *
get_entry (Log *log, guint32 at, guint32 *ret_length)
{
  const guint8 *header = log->ring + at; /* at is a multiple of 4096: in one piece */
  guint32 length = get_le32 (header + ENTRY_LENGTH);
  guint64 n = get_le32 (header + ENTRY_N_DESCRIPTORS), n_data = 0, table;
  g_autofree guint8 *entry = NULL;
  guint8 none[4] = { 0 };
  guint32 sum;

  if (memcmp (header, "loge", 4) != 0 || length < LOG_SECTOR || length > log->length ||
      length % LOG_SECTOR != 0 || get_le32 (header + ENTRY_TAIL) % LOG_SECTOR != 0 ||
      get_le32 (header + ENTRY_TAIL) >= log->length || get_le64 (header + ENTRY_SEQUENCE) == 0 ||
      memcmp (header + ENTRY_GUID, log->guid, 16) != 0 || log->budget < length)
    return NULL;
  table = (ENTRY_HEADER_SIZE + n * DESCRIPTOR_SIZE + LOG_SECTOR - 1) / LOG_SECTOR * LOG_SECTOR;
  if (table > length)
    return NULL;
  log->budget -= length;
  entry = g_malloc (length);
  copy_from_ring (log, at, entry, length);
  sum = block_foreign_crc32c (0, entry, ENTRY_CHECKSUM);
  sum = block_foreign_crc32c (sum, none, 4);
  sum = block_foreign_crc32c (sum, entry + ENTRY_LENGTH, length - ENTRY_LENGTH);
  if (sum != get_le32 (entry + ENTRY_CHECKSUM))
    return NULL;
  for (guint64 i = 0; i < n; i++)
    {
      const guint8 *descriptor = entry + ENTRY_HEADER_SIZE + i * DESCRIPTOR_SIZE;

      if (get_le64 (descriptor + DESCRIPTOR_SEQUENCE) != get_le64 (entry + ENTRY_SEQUENCE) ||
          get_le64 (descriptor + DESCRIPTOR_OFFSET) % LOG_SECTOR != 0 ||
          get_le64 (descriptor + DESCRIPTOR_OFFSET) > BLOCK_FOREIGN_SIZE_MAX)
        return NULL;
      if (memcmp (descriptor, "desc", 4) == 0)
        n_data++;
      else if (memcmp (descriptor, "zero", 4) != 0 ||
               get_le64 (descriptor + DESCRIPTOR_ZERO_LENGTH) > BLOCK_FOREIGN_SIZE_MAX)
        return NULL;
    }
  if (table + n_data * LOG_SECTOR > length)
    return NULL;
  *ret_length = length;
  return g_steal_pointer (&entry);
}

/* As many entries in a row as there are from at. */
static Sequence
get_sequence (Log *log, guint32 at)
{
  Sequence sequence = { .start = at, .end = at };
  guint64 total = 0;

  while (TRUE)
    {
      guint32 length = 0;
      g_autofree guint8 *entry = get_entry (log, sequence.end, &length);

      if (entry == NULL)
        break;
      if ((sequence.last != 0 && get_le64 (entry + ENTRY_SEQUENCE) != sequence.last + 1) ||
          total + length > log->length)
        break;
      total += length;
      sequence.last = get_le64 (entry + ENTRY_SEQUENCE);
      sequence.head = sequence.end;
      sequence.tail = get_le32 (entry + ENTRY_TAIL);
      sequence.end = (guint32)(((guint64)sequence.end + length) % log->length);
    }
  if (sequence.last != 0)
    {
      guint32 tail_from_start = (sequence.tail + log->length - sequence.start) % log->length;
      guint32 head_from_start = (sequence.head + log->length - sequence.start) % log->length;

      sequence.has_tail = tail_from_start <= head_from_start;
    }
  return sequence;
}

/* 2.3.2.1: of all rows whose oldest entry is there, the one with the newest entry. */
static Sequence
find_active (Log *log)
{
  Sequence best = { 0 };
  guint32 at = 0;

  while (TRUE)
    {
      Sequence sequence = get_sequence (log, at);
      guint32 next =
          sequence.last != 0 && sequence.has_tail ? sequence.end : (at + LOG_SECTOR) % log->length;

      if (sequence.has_tail && sequence.last > best.last)
        best = sequence;
      if (next <= at)
        return best;
      at = next;
    }
}

static gboolean
add_entry (PatchedFile *self, const guint8 *entry, GError **error)
{
  guint64 n = get_le32 (entry + ENTRY_N_DESCRIPTORS);
  const guint8 *sector =
      entry + (ENTRY_HEADER_SIZE + n * DESCRIPTOR_SIZE + LOG_SECTOR - 1) / LOG_SECTOR * LOG_SECTOR;
  gint64 size = self->under->ops->get_size (self->under);

  if (size < 0 || get_le64 (entry + ENTRY_FLUSHED) > (guint64)size)
    return block_foreign_invalid (error, self->under, VHDX_FORMAT,
                                  "it is cut short: copy the file anew");
  for (guint64 i = 0; i < n; i++)
    {
      const guint8 *descriptor = entry + ENTRY_HEADER_SIZE + i * DESCRIPTOR_SIZE;
      Patch patch = { .offset = get_le64 (descriptor + DESCRIPTOR_OFFSET) };

      if (self->patches->len >= LOG_PATCHES_MAX)
        return block_foreign_invalid (error, self->under, VHDX_FORMAT,
                                      "its log has too many changes");
      if (memcmp (descriptor, "zero", 4) == 0)
        {
          patch.length = get_le64 (descriptor + DESCRIPTOR_ZERO_LENGTH);
        }
      else
        {
          /* 2.3.1.4: the sector's first 8 and last 4 bytes stand in the descriptor. */
          patch.length = LOG_SECTOR;
          patch.data = g_memdup2 (sector, LOG_SECTOR);
          memcpy (patch.data, descriptor + DESCRIPTOR_LEADING, 8);
          memcpy (patch.data + LOG_SECTOR - 4, descriptor + DESCRIPTOR_TRAILING, 4);
          sector += LOG_SECTOR;
        }
      g_array_append_val (self->patches, patch);
    }
  return TRUE;
}

static gboolean
replay (PatchedFile *self, Log *log, GError **error)
{
  Sequence active = find_active (log);
  guint32 at = active.tail;

  if (active.last == 0)
    return block_foreign_invalid (
        error, self->under, VHDX_FORMAT,
        "it was not closed and its log is damaged. Mount it once where it "
        "was made (Hyper-V: Mount-VHD, Dismount-VHD), then try again");
  log->budget = 2 * (guint64)log->length;
  while (TRUE)
    {
      guint32 length = 0;
      g_autofree guint8 *entry = get_entry (log, at, &length);

      if (entry == NULL)
        return block_foreign_invalid (error, self->under, VHDX_FORMAT, "its log is damaged");
      if (!add_entry (self, entry, error))
        return FALSE;
      if (at == active.head)
        return TRUE;
      at = (guint32)(((guint64)at + length) % log->length);
    }
}

BlockFile *
vhdx_log_replay (
    BlockFile *file, guint64 offset, guint64 length, const guint8 guid[16], GError **error)
{
  PatchedFile *self = patched_new (file);
  g_autofree guint8 *ring = NULL;
  gboolean good = FALSE;

  if (length == 0 || length % LOG_SECTOR != 0 || length > LOG_SIZE_MAX)
    {
      (void)block_foreign_unsupported (
          error, file, VHDX_FORMAT,
          "it was not closed and its log has %" G_GUINT64_FORMAT
          " bytes. Mount it once where it was made (Hyper-V: Mount-VHD, "
          "Dismount-VHD)",
          length);
    }
  else
    {
      ring = block_foreign_load (file, offset, length, "log", error);
      if (ring != NULL)
        {
          Log log = {
            .ring = ring, .length = (guint32)length, .guid = guid, .budget = CHECKSUM_TIMES * length
          };

          good = replay (self, &log, error);
        }
    }
  if (good)
    return &self->base;
  patched_close (&self->base);
  return NULL;
}
