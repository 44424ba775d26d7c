/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing a streamOptimized VMDK, as appliances (OVA) carry it: "Virtual Disk Format 5.0" (VMware,
 * 2011), chapter "Stream-Optimized Compressed Sparse Extents". Grains are compressed by several threads
 * and written in order by the caller's. */
#include "devices/backends/block/vmdk-private.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#define GRAIN         65536u
#define GRAIN_SECTORS (GRAIN / VMDK_SECTOR)
#define N_ENTRIES     512u /* of a grain table */
#define BATCH         32u  /* grains a thread takes at a time; a divisor of N_ENTRIES */
#define OVERHEAD      128u /* sectors before the first grain */
#define N_DESCRIPTOR  20u  /* sectors */
#define THREADS_MAX   8

enum
{
  MARKER_TABLE = 1,
  MARKER_DIRECTORY = 2,
  MARKER_FOOTER = 3,
};

typedef struct
{
  guint64 batch; /* that it holds, or will next */
  gboolean ready;
  guint8 *data;      /* grains packed as they go into the file */
  gsize length;      /* bytes */
  guint32 at[BATCH]; /* of each grain in data, sectors; G_MAXUINT32: not there */
} Slot;

typedef struct
{
  BlockImage *from;
  BlockFile *to;
  guint64 size, n_grains, n_batches;
  guint n_slots;
  Slot *slots;
  GMutex lock;
  GCond changed;
  /* Below: under the lock. */
  guint64 next_batch;
  int result;
  gboolean stop;
  /* The writer's. */
  guint64 sector;
  guint8 *table;     /* of the grain table being filled */
  guint8 *directory; /* n_tables 32-bit sectors */
  guint32 n_tables;
} Writer;

static void
put_le32 (guint8 *at, guint32 value)
{
  value = GUINT32_TO_LE (value);
  memcpy (at, &value, 4);
}

static void
put_le64 (guint8 *at, guint64 value)
{
  value = GUINT64_TO_LE (value);
  memcpy (at, &value, 8);
}

static gboolean
is_zero (const guint8 *data, gsize length)
{
  return data[0] == 0 && memcmp (data, data + 1, length - 1) == 0;
}

/* Appends the grain to the slot, packed; nothing when it is zeroes. */
static int
pack_grain (Slot *slot, guint index, guint64 grain, const guint8 *data)
{
  guint8 *to = slot->data + slot->length;
  uLongf length = compressBound (GRAIN);
  gsize whole;

  slot->at[index] = G_MAXUINT32;
  if (is_zero (data, GRAIN))
    return 0;
  if (compress2 (to + 12, &length, data, GRAIN, Z_BEST_SPEED) != Z_OK)
    return -ENOMEM;
  put_le64 (to, grain * GRAIN_SECTORS);
  put_le32 (to + 8, (guint32)length);
  whole = (12 + length + VMDK_SECTOR - 1) / VMDK_SECTOR * VMDK_SECTOR;
  memset (to + 12 + length, 0, whole - 12 - length);
  slot->at[index] = (guint32)(slot->length / VMDK_SECTOR);
  slot->length += whole;
  return 0;
}

static int
fill_slot (Writer *self, Slot *slot, guint64 batch, guint8 *buffer)
{
  guint64 offset = batch * BATCH * GRAIN;
  guint64 length = MIN ((guint64)BATCH * GRAIN, self->size - offset), done = 0;
  int result = 0;

  slot->length = 0;
  memset (buffer + length, 0, BATCH * GRAIN - (gsize)length);
  while (done < length && result == 0)
    {
      BlockExtent extent;
      gsize n;

      result = block_image_map (self->from, offset + done, length - done, &extent);
      if (result < 0)
        break;
      n = (gsize)extent.length;
      if (extent.kind == BLOCK_EXTENT_ZERO || extent.kind == BLOCK_EXTENT_UNALLOCATED)
        memset (buffer + done, 0, n);
      else
        result = block_image_read (self->from, offset + done, buffer + done, n);
      done += n;
    }
  for (guint i = 0; result == 0 && i < BATCH; i++)
    result = pack_grain (slot, i, batch * BATCH + i, buffer + (gsize)i * GRAIN);
  return result;
}

static gpointer
pack_thread (gpointer data)
{
  Writer *self = data;
  g_autofree guint8 *buffer = g_malloc (BATCH * GRAIN);

  g_mutex_lock (&self->lock);
  while (!self->stop && self->next_batch < self->n_batches)
    {
      guint64 batch = self->next_batch++;
      Slot *slot = &self->slots[batch % self->n_slots];
      int result;

      while (!self->stop && (slot->ready || slot->batch != batch))
        g_cond_wait (&self->changed, &self->lock);
      if (self->stop)
        break;
      g_mutex_unlock (&self->lock);
      result = fill_slot (self, slot, batch, buffer);
      g_mutex_lock (&self->lock);
      slot->ready = TRUE;
      if (result < 0)
        {
          self->result = result;
          self->stop = TRUE;
        }
      g_cond_broadcast (&self->changed);
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}

static int
write_sectors (Writer *self, const guint8 *data, gsize length)
{
  int result = block_file_write (self->to, self->sector * VMDK_SECTOR, data, length);

  self->sector += length / VMDK_SECTOR;
  return result;
}

static int
write_marker (Writer *self, guint64 sectors, guint32 kind)
{
  guint8 marker[VMDK_SECTOR] = { 0 };

  put_le64 (marker, sectors);
  put_le32 (marker + 12, kind);
  return write_sectors (self, marker, sizeof marker);
}

static int
end_table (Writer *self, guint64 index)
{
  const gsize length = N_ENTRIES * 4;
  int result;

  if (is_zero (self->table, length))
    return 0;
  result = write_marker (self, length / VMDK_SECTOR, MARKER_TABLE);
  put_le32 (self->directory + index * 4, (guint32)self->sector);
  if (result == 0)
    result = write_sectors (self, self->table, length);
  memset (self->table, 0, length);
  return result;
}

static int
write_slot (Writer *self, const Slot *slot)
{
  guint64 first = slot->batch * BATCH;
  int result = 0;

  if (self->sector + slot->length / VMDK_SECTOR > G_MAXUINT32 - 65536)
    return -EFBIG; /* sector numbers have 32 bits */
  for (guint i = 0; i < BATCH; i++)
    if (slot->at[i] != G_MAXUINT32)
      put_le32 (self->table + (first + i) % N_ENTRIES * 4, (guint32)self->sector + slot->at[i]);
  if (slot->length > 0)
    result = write_sectors (self, slot->data, slot->length);
  if (result == 0 && ((first + BATCH) % N_ENTRIES == 0 || slot->batch + 1 == self->n_batches))
    result = end_table (self, first / N_ENTRIES);
  return result;
}

static void
fill_header (Writer *self, guint8 *header, guint64 directory)
{
  memset (header, 0, VMDK_SECTOR);
  put_le32 (header, VMDK_SPARSE_MAGIC);
  put_le32 (header + 4, 3);                          /* version */
  put_le32 (header + 8, 1 << 0 | 1 << 16 | 1 << 17); /* newlines, compressed, markers */
  put_le64 (header + 12, (self->size + VMDK_SECTOR - 1) / VMDK_SECTOR);
  put_le64 (header + 20, GRAIN_SECTORS);
  put_le64 (header + 28, 1);
  put_le64 (header + 36, N_DESCRIPTOR);
  put_le32 (header + 44, N_ENTRIES);
  put_le64 (header + 56, directory);
  put_le64 (header + 64, OVERHEAD);
  memcpy (header + 73, "\n \r\n", 4);
  header[77] = 1; /* deflate */
}

static int
write_head (Writer *self, const char *name)
{
  guint64 sectors = (self->size + VMDK_SECTOR - 1) / VMDK_SECTOR;
  g_autofree guint8 *head = g_malloc0 (OVERHEAD * VMDK_SECTOR);
  g_autofree char *text = g_strdup_printf (
      "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=ffffffff\n"
      "createType=\"streamOptimized\"\n\n# Extent description\n"
      "RW %" G_GUINT64_FORMAT " SPARSE \"%s\"\n\n# The Disk Data Base\n#DDB\n\n"
      "ddb.virtualHWVersion = \"10\"\nddb.geometry.cylinders = \"%" G_GUINT64_FORMAT "\"\n"
      "ddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\n"
      "ddb.adapterType = \"lsilogic\"\n",
      g_random_int_range (0, G_MAXINT32) & 0x7ffffffe, sectors, name,
      MAX (sectors / (255 * 63), 1));

  fill_header (self, head, G_MAXUINT64);
  memcpy (head + VMDK_SECTOR, text, MIN (strlen (text), N_DESCRIPTOR * VMDK_SECTOR));
  return write_sectors (self, head, OVERHEAD * VMDK_SECTOR);
}

static int
write_tail (Writer *self)
{
  gsize length = ((gsize)self->n_tables * 4 + VMDK_SECTOR - 1) / VMDK_SECTOR * VMDK_SECTOR;
  guint8 sector[VMDK_SECTOR];
  guint64 directory;
  int result = write_marker (self, length / VMDK_SECTOR, MARKER_DIRECTORY);

  directory = self->sector;
  if (result == 0)
    result = write_sectors (self, self->directory, length);
  if (result == 0)
    result = write_marker (self, 1, MARKER_FOOTER);
  fill_header (self, sector, directory);
  if (result == 0)
    result = write_sectors (self, sector, sizeof sector);
  memset (sector, 0, sizeof sector); /* end of stream */
  if (result == 0)
    result = write_sectors (self, sector, sizeof sector);
  return result == 0 ? self->to->ops->flush (self->to) : result;
}

/* Slots in their order. FALSE: cancelled. */
static gboolean
write_batches (Writer *self, const BlockProgress *progress)
{
  for (guint64 batch = 0; batch < self->n_batches; batch++)
    {
      Slot *slot = &self->slots[batch % self->n_slots];
      int result;

      g_mutex_lock (&self->lock);
      while (!self->stop && !(slot->ready && slot->batch == batch))
        g_cond_wait (&self->changed, &self->lock);
      result = self->result;
      g_mutex_unlock (&self->lock);
      if (result == 0)
        result = write_slot (self, slot);
      if (result < 0)
        {
          self->result = result;
          return TRUE;
        }
      g_mutex_lock (&self->lock);
      slot->ready = FALSE;
      slot->batch = batch + self->n_slots;
      g_cond_broadcast (&self->changed);
      g_mutex_unlock (&self->lock);
      if (progress != NULL && progress->step != NULL &&
          !progress->step (MIN ((batch + 1) * BATCH * GRAIN, self->size), self->size,
                           progress->user_data))
        return FALSE;
    }
  return TRUE;
}

static gboolean
run_threads (Writer *self, const BlockProgress *progress)
{
  guint n_threads = CLAMP (g_get_num_processors (), 1, THREADS_MAX);
  GThread *threads[THREADS_MAX];
  gboolean finished;

  for (guint i = 0; i < n_threads; i++)
    threads[i] = g_thread_new ("vmdk-write", pack_thread, self);
  finished = write_batches (self, progress);
  g_mutex_lock (&self->lock);
  self->stop = TRUE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < n_threads; i++)
    g_thread_join (threads[i]);
  return finished;
}

gboolean
block_vmdk_write_stream (BlockImage *from,
                         BlockFile *to,
                         const char *name,
                         const BlockProgress *progress,
                         GError **error)
{
  Writer self = { .from = from, .to = to, .size = block_image_get_size (from) };
  gboolean finished = TRUE;

  self.n_grains = (self.size + GRAIN - 1) / GRAIN;
  self.n_batches = (self.n_grains + BATCH - 1) / BATCH;
  self.n_tables = (guint32)((self.n_grains + N_ENTRIES - 1) / N_ENTRIES);
  self.n_slots = 2 * THREADS_MAX;
  self.slots = g_new0 (Slot, self.n_slots);
  self.table = g_malloc0 (N_ENTRIES * 4);
  self.directory = g_malloc0 (((gsize)self.n_tables * 4 / VMDK_SECTOR + 1) * VMDK_SECTOR);
  for (guint i = 0; i < self.n_slots; i++)
    {
      self.slots[i].batch = i;
      self.slots[i].data = g_malloc (BATCH * (gsize)(compressBound (GRAIN) + 2 * VMDK_SECTOR));
    }
  g_mutex_init (&self.lock);
  g_cond_init (&self.changed);
  self.result = write_head (&self, name);
  if (self.result == 0)
    finished = run_threads (&self, progress);
  if (finished && self.result == 0)
    self.result = write_tail (&self);
  for (guint i = 0; i < self.n_slots; i++)
    g_free (self.slots[i].data);
  g_free (self.slots);
  g_free (self.table);
  g_free (self.directory);
  g_mutex_clear (&self.lock);
  g_cond_clear (&self.changed);
  if (!finished)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_CANCELLED, "Writing “%s” was cancelled", to->name);
      return FALSE;
    }
  return self.result == 0 ||
         vmm_error_set_errno (error, self.result, "“%s” cannot be copied to “%s”", from->name,
                              to->name);
}
