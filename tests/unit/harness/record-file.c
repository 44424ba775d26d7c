/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/harness/record-file.h"

#include <errno.h>
#include <string.h>

#define SECTOR 512u

typedef enum
{
  ENTRY_WRITE,
  ENTRY_ZERO,
  ENTRY_DISCARD,
  ENTRY_TRUNCATE,
  ENTRY_FLUSH,
} EntryKind;

typedef struct
{
  EntryKind kind;
  guint64 offset, length;
  guint8 *data;
} Entry;

struct _HarnessRecord
{
  BlockFile *base, *file; /* at the beginning, now */
  GArray *log;            /* of Entry */
};

typedef struct
{
  BlockFile parent;
  HarnessRecord *record;
} RecordFile;

static void
clear_entry (gpointer data)
{
  g_free (((Entry *)data)->data);
}

static BlockFile *
copy (BlockFile *from)
{
  gint64 size = from != NULL ? from->ops->get_size (from) : 0;
  BlockFile *to = block_file_new_memory ("disk", (guint64)size);
  g_autofree guint8 *buffer = g_malloc (65536);

  for (guint64 at = 0; at < (guint64)size;)
    {
      guint64 length;
      gboolean has_data;

      g_assert_cmpint (from->ops->map (from, at, (guint64)size - at, &length, &has_data), ==, 0);
      if (has_data)
        {
          length = MIN (length, 65536);
          g_assert_cmpint (block_file_read (from, at, buffer, length), ==, 0);
          g_assert_cmpint (block_file_write (to, at, buffer, length), ==, 0);
        }
      at += length;
    }
  return to;
}

HarnessRecord *
harness_record_new (BlockFile *base)
{
  HarnessRecord *record = g_new0 (HarnessRecord, 1);

  record->base = copy (base);
  record->file = copy (base);
  record->log = g_array_new (FALSE, FALSE, sizeof (Entry));
  g_array_set_clear_func (record->log, clear_entry);
  return record;
}

void
harness_record_free (HarnessRecord *record)
{
  block_file_close (record->base);
  block_file_close (record->file);
  g_array_unref (record->log);
  g_free (record);
}

guint
harness_record_get_length (HarnessRecord *record)
{
  return record->log->len;
}

gboolean
harness_record_is_flush (HarnessRecord *record, guint position)
{
  return position < record->log->len &&
         g_array_index (record->log, Entry, position).kind == ENTRY_FLUSH;
}

/* ---- the file ---- */

static HarnessRecord *
get_record (BlockFile *file)
{
  return ((RecordFile *)file)->record;
}

static Entry *
note (BlockFile *file, EntryKind kind, guint64 offset, guint64 length)
{
  GArray *log = get_record (file)->log;
  const Entry entry = { kind, offset, length, NULL };

  g_array_append_val (log, entry);
  return &g_array_index (log, Entry, log->len - 1);
}

static int
record_readv (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  BlockFile *inner = get_record (file)->file;

  return inner->ops->readv (inner, offset, iov, n_iov);
}

static int
record_writev (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  BlockFile *inner = get_record (file)->file;
  guint64 length = 0, at = 0;
  Entry *entry;

  for (guint i = 0; i < n_iov; i++)
    length += iov[i].iov_len;
  entry = note (file, ENTRY_WRITE, offset, length);
  entry->data = g_malloc (length);
  for (guint i = 0; i < n_iov; at += iov[i++].iov_len)
    memcpy (entry->data + at, iov[i].iov_base, iov[i].iov_len);
  return inner->ops->writev (inner, offset, iov, n_iov);
}

static int
record_flush (BlockFile *file)
{
  note (file, ENTRY_FLUSH, 0, 0);
  return 0;
}

static int
record_truncate (BlockFile *file, guint64 size)
{
  BlockFile *inner = get_record (file)->file;

  note (file, ENTRY_TRUNCATE, size, 0);
  return inner->ops->truncate (inner, size);
}

static int
record_zero (BlockFile *file, guint64 offset, guint64 length, BlockFileZeroFlags flags)
{
  BlockFile *inner = get_record (file)->file;

  note (file, ENTRY_ZERO, offset, length);
  return inner->ops->zero (inner, offset, length, flags);
}

/* What a discarded place reads as is not said: garbage finds who relies on it. */
static int
record_discard (BlockFile *file, guint64 offset, guint64 length)
{
  BlockFile *inner = get_record (file)->file;
  g_autofree guint8 *garbage = NULL;
  gint64 size = inner->ops->get_size (inner);

  note (file, ENTRY_DISCARD, offset, length);
  if (offset >= (guint64)size)
    return 0;
  length = MIN (length, (guint64)size - offset);
  garbage = g_malloc (length);
  memset (garbage, 0xdb, length);
  return block_file_write (inner, offset, garbage, length);
}

static gint64
record_get_size (BlockFile *file)
{
  BlockFile *inner = get_record (file)->file;

  return inner->ops->get_size (inner);
}

static gint64
record_get_allocated (BlockFile *file)
{
  BlockFile *inner = get_record (file)->file;

  return inner->ops->get_allocated (inner);
}

static int
record_map (
    BlockFile *file, guint64 offset, guint64 length, guint64 *ret_length, gboolean *ret_data)
{
  BlockFile *inner = get_record (file)->file;

  return inner->ops->map (inner, offset, length, ret_length, ret_data);
}

static int
record_get_fd (BlockFile *file)
{
  return -1;
}

static void
record_close (BlockFile *file)
{
  g_free (file->name);
  g_free (file);
}

static const BlockFileOps record_ops = {
  .name = "record",
  .readv = record_readv,
  .writev = record_writev,
  .flush = record_flush,
  .truncate = record_truncate,
  .zero = record_zero,
  .discard = record_discard,
  .get_size = record_get_size,
  .get_allocated = record_get_allocated,
  .map = record_map,
  .get_fd = record_get_fd,
  .close = record_close,
};

BlockFile *
harness_record_open (HarnessRecord *record)
{
  RecordFile *file = g_new0 (RecordFile, 1);

  file->parent.ops = &record_ops;
  file->parent.name = g_strdup ("recorded");
  file->parent.request_align = file->parent.memory_align = 1;
  file->record = record;
  return &file->parent;
}

/* ---- the cut ---- */

static void
apply (BlockFile *file, const Entry *entry)
{
  g_autofree guint8 *garbage = NULL;
  gint64 size = file->ops->get_size (file);
  int result = 0;

  switch (entry->kind)
    {
    case ENTRY_WRITE:
      result = block_file_write (file, entry->offset, entry->data, entry->length);
      break;
    case ENTRY_ZERO:
      result = file->ops->zero (file, entry->offset, entry->length, BLOCK_FILE_ZERO_NONE);
      break;
    case ENTRY_DISCARD:
      if (entry->offset < (guint64)size)
        {
          guint64 length = MIN (entry->length, (guint64)size - entry->offset);

          garbage = g_malloc (length);
          memset (garbage, 0xdb, length);
          result = block_file_write (file, entry->offset, garbage, length);
        }
      break;
    case ENTRY_TRUNCATE:
      result = file->ops->truncate (file, entry->offset);
      break;
    case ENTRY_FLUSH:
      break;
    }
  g_assert_cmpint (result, ==, 0);
}

/* Some of the sectors of a write or of zeroes. */
static void
apply_torn (BlockFile *file, const Entry *entry, GRand *rand)
{
  guint64 end = entry->offset + entry->length;

  for (guint64 at = entry->offset; at < end;)
    {
      guint64 next = MIN (end, at - at % SECTOR + SECTOR);
      Entry part = { entry->kind, at, next - at,
                     entry->data != NULL ? entry->data + (at - entry->offset) : NULL };

      if (g_rand_boolean (rand))
        apply (file, &part);
      at = next;
    }
}

static void
apply_some (BlockFile *file, GArray *log, guint from, guint to, GRand *rand)
{
  guint n = to - from;
  g_autofree guint *order = g_new (guint, MAX (n, 1));

  for (guint i = 0; i < n; i++)
    order[i] = from + i;
  for (guint i = n; i > 1; i--)
    {
      guint j = g_rand_int_range (rand, 0, i), swap = order[i - 1];

      order[i - 1] = order[j];
      order[j] = swap;
    }
  for (guint i = 0; i < n; i++)
    {
      const Entry *entry = &g_array_index (log, Entry, order[i]);

      switch (g_rand_int_range (rand, 0, 4))
        {
        case 0:
          break;
        case 1:
          if (entry->kind == ENTRY_WRITE || entry->kind == ENTRY_ZERO)
            {
              apply_torn (file, entry, rand);
              break;
            }
          G_GNUC_FALLTHROUGH;
        default:
          apply (file, entry);
          break;
        }
    }
}

BlockFile *
harness_record_cut (HarnessRecord *record, guint position, HarnessCut cut, GRand *rand)
{
  BlockFile *file = copy (record->base);
  guint flushed = 0;

  g_assert (position <= record->log->len);
  for (guint i = 0; i < position; i++)
    if (g_array_index (record->log, Entry, i).kind == ENTRY_FLUSH)
      flushed = i;
  for (guint i = 0; i < (cut == HARNESS_CUT_ALL ? position : flushed); i++)
    apply (file, &g_array_index (record->log, Entry, i));
  if (cut == HARNESS_CUT_RANDOM)
    apply_some (file, record->log, flushed, position, rand);
  return file;
}
