/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Split virtqueues, device side. Everything the driver shares is read once into our own memory and
 * vetted there; what fails marks the queue broken, whatever the device does next.
 *
 * Chains come from a free list and carry their segments and pins inside, so that a request of a
 * few segments allocates nothing. */
#include "devices/virtio/virtqueue.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* Virtio 1.2, 2.7.5: struct virtq_desc. */
typedef struct
{
  guint64 addr;
  guint32 len;
  guint16 flags;
  guint16 next;
} WireDesc;
G_STATIC_ASSERT (sizeof (WireDesc) == 16);

/* Virtio 1.2, 2.7.8: struct virtq_used_elem. */
typedef struct
{
  guint32 id;
  guint32 len;
} WireUsed;
G_STATIC_ASSERT (sizeof (WireUsed) == 8);

enum
{
  DESC_F_NEXT = 1,
  DESC_F_WRITE = 2,
  DESC_F_INDIRECT = 4,
  AVAIL_F_NO_INTERRUPT = 1,
  USED_F_NO_NOTIFY = 1,
};

#define RING_FLAGS 0 /* offset of flags in the driver and the device area */
#define RING_INDEX 2
#define RING_DATA  4

#define INLINE_SEGMENTS 10
#define INLINE_IOVECS   12
#define KEEP_SEGMENTS   160 /* a chain keeps a larger array up to this size when it is freed */

typedef struct
{
  guint64 gpa;
  guint32 length;
} Segment;

typedef struct _PinChunk PinChunk;
struct _PinChunk
{
  PinChunk *next;
  guint capacity, used;
  gboolean for_write;
  struct iovec *iov;
};

typedef struct
{
  guint segment;  /* index of the segment the cursor is in */
  guint32 offset; /* bytes into it */
  guint32 left;   /* bytes after the cursor */
} Cursor;

struct _VirtqueueChain
{
  Virtqueue *queue;
  VirtqueueChain *next; /* in the free list */
  guint64 generation;   /* of the queue when popped */
  guint16 head;
  guint16 position; /* the avail index it came from */
  guint n_segments, n_readable, capacity;
  Segment *segments;
  Cursor readable, writable;
  PinChunk first, *pins;
  gpointer data;
  Segment inline_segments[INLINE_SEGMENTS];
  struct iovec inline_iov[INLINE_IOVECS];
};

struct _Virtqueue
{
  VmmGuestMemory *memory;
  guint max_size;

  /* latched by enable */
  gboolean enabled, broken, indirect, event_idx;
  guint size;
  guint64 desc, driver, device;

  guint16 avail_next;  /* next entry of the available ring to take */
  guint16 avail_known; /* the driver's index as last read */
  guint16 used_next;
  guint16 used_notified; /* used_next when the driver was last told, or asked */
  gboolean used_notified_valid;
  gboolean kicks_off;

  guint64 generation;
  guint n_out; /* chains with the device */
  guint64 in_flight[VIRTQUEUE_MAX_SIZE / 64];
  VirtqueueChain *free_chains;
  WireDesc *table; /* VIRTQUEUE_MAX_CHAIN entries: the copy of an indirect table */
};

Virtqueue *
virtqueue_new (VmmGuestMemory *memory, guint max_size)
{
  Virtqueue *queue = g_new0 (Virtqueue, 1);

  g_assert (max_size >= 1 && max_size <= VIRTQUEUE_MAX_SIZE);
  queue->memory = memory;
  queue->max_size = max_size;
  return queue;
}

static void
chain_destroy (VirtqueueChain *chain)
{
  if (chain->segments != chain->inline_segments)
    g_free (chain->segments);
  g_free (chain);
}

void
virtqueue_free (Virtqueue *queue)
{
  VirtqueueChain *chain;

  if (queue == NULL)
    return;
  g_assert (queue->n_out == 0);
  while ((chain = queue->free_chains) != NULL)
    {
      queue->free_chains = chain->next;
      chain_destroy (chain);
    }
  g_free (queue->table);
  g_free (queue);
}

void
virtqueue_reset (Virtqueue *queue)
{
  queue->enabled = queue->broken = FALSE;
  queue->indirect = queue->event_idx = FALSE;
  queue->size = 0;
  queue->desc = queue->driver = queue->device = 0;
  queue->avail_next = queue->avail_known = queue->used_next = 0;
  queue->used_notified = 0;
  queue->used_notified_valid = queue->kicks_off = FALSE;
  memset (queue->in_flight, 0, sizeof queue->in_flight);
  /* A chain of before is no longer the driver's: push of it only frees. */
  queue->generation++;
}

static gboolean
area_ok (Virtqueue *queue, guint64 gpa, guint64 length, guint64 alignment, gboolean writable)
{
  return gpa % alignment == 0 && gpa <= G_MAXUINT64 - length &&
         vmm_guest_memory_check (queue->memory, vmm_gpa (gpa), length, writable);
}

gboolean
virtqueue_enable (Virtqueue *queue,
                  guint size,
                  guint64 desc,
                  guint64 driver,
                  guint64 device,
                  gboolean indirect,
                  gboolean event_idx)
{
  /* Virtio 1.2, 2.7: sizes and alignments of the three areas. The event fields are part of them
   * whether or not they are negotiated. */
  if (queue->enabled || size == 0 || size > queue->max_size || (size & (size - 1)) != 0 ||
      !area_ok (queue, desc, 16 * (guint64)size, 16, FALSE) ||
      !area_ok (queue, driver, 6 + 2 * (guint64)size, 2, FALSE) ||
      !area_ok (queue, device, 6 + 8 * (guint64)size, 4, TRUE))
    return FALSE;

  virtqueue_reset (queue);
  queue->size = size;
  queue->desc = desc;
  queue->driver = driver;
  queue->device = device;
  queue->indirect = indirect;
  queue->event_idx = event_idx;
  queue->enabled = TRUE;
  return TRUE;
}

gboolean
virtqueue_is_enabled (Virtqueue *queue)
{
  return queue->enabled;
}

gboolean
virtqueue_is_broken (Virtqueue *queue)
{
  return queue->broken;
}

guint
virtqueue_get_size (Virtqueue *queue)
{
  return queue->size;
}

guint
virtqueue_get_max_size (Virtqueue *queue)
{
  return queue->max_size;
}

guint64
virtqueue_get_desc (Virtqueue *queue)
{
  return queue->desc;
}

guint64
virtqueue_get_driver (Virtqueue *queue)
{
  return queue->driver;
}

guint64
virtqueue_get_device (Virtqueue *queue)
{
  return queue->device;
}

guint16
virtqueue_get_avail_index (Virtqueue *queue)
{
  return queue->avail_next;
}

void
virtqueue_set_broken (Virtqueue *queue)
{
  queue->broken = TRUE;
}

void
virtqueue_set_avail_index (Virtqueue *queue, guint16 index)
{
  guint16 used = 0;

  if (!queue->enabled)
    return;
  queue->avail_next = queue->avail_known = index;
  queue->used_notified_valid = FALSE;
  /* Entries between the two are with nobody: a device gives everything back before it stops. */
  if (!vmm_guest_memory_load_le16 (queue->memory, vmm_gpa (queue->device + RING_INDEX), &used) ||
      (guint16)(index - used) > queue->size)
    virtqueue_set_broken (queue);
  queue->used_next = used;
}

/* ---- chains ---- */

static VirtqueueChain *
chain_take (Virtqueue *queue)
{
  VirtqueueChain *chain = queue->free_chains;

  if (chain != NULL)
    queue->free_chains = chain->next;
  else
    {
      chain = g_new0 (VirtqueueChain, 1);
      chain->queue = queue;
      chain->segments = chain->inline_segments;
      chain->capacity = INLINE_SEGMENTS;
      chain->first.iov = chain->inline_iov;
      chain->first.capacity = INLINE_IOVECS;
    }
  chain->next = NULL;
  chain->generation = queue->generation;
  chain->n_segments = chain->n_readable = 0;
  chain->readable = chain->writable = (Cursor){ 0 };
  chain->pins = NULL;
  chain->data = NULL;
  queue->n_out++;
  return chain;
}

static void
chain_release (Virtqueue *queue, VirtqueueChain *chain)
{
  PinChunk *chunk, *next;

  for (chunk = chain->pins; chunk != NULL; chunk = next)
    {
      next = chunk->next;
      vmm_guest_memory_unpin (queue->memory, chunk->iov, chunk->used, chunk->for_write);
      chunk->used = 0;
      if (chunk != &chain->first)
        g_free (chunk);
    }
  chain->pins = NULL;
  g_clear_pointer (&chain->data, g_free);
  if (chain->capacity > KEEP_SEGMENTS)
    {
      g_free (chain->segments);
      chain->segments = chain->inline_segments;
      chain->capacity = INLINE_SEGMENTS;
    }
  g_assert (queue->n_out > 0);
  queue->n_out--;
  chain->next = queue->free_chains;
  queue->free_chains = chain;
}

static gboolean
in_flight_get (Virtqueue *queue, guint16 head)
{
  return (queue->in_flight[head / 64] >> (head % 64)) & 1;
}

static void
in_flight_set (Virtqueue *queue, guint16 head, gboolean on)
{
  if (on)
    queue->in_flight[head / 64] |= G_GUINT64_CONSTANT (1) << (head % 64);
  else
    queue->in_flight[head / 64] &= ~(G_GUINT64_CONSTANT (1) << (head % 64));
}

static gboolean
chain_append (Virtqueue *queue, VirtqueueChain *chain, const WireDesc *desc)
{
  gboolean writable = (GUINT16_FROM_LE (desc->flags) & DESC_F_WRITE) != 0;
  guint32 length = GUINT32_FROM_LE (desc->len);
  guint64 gpa = GUINT64_FROM_LE (desc->addr);
  Cursor *total = writable ? &chain->writable : &chain->readable;

  /* Virtio 1.2, 2.7.4.2: device-readable parts come first. */
  if (!writable && chain->n_segments > chain->n_readable)
    return FALSE;
  if (length == 0)
    return TRUE;
  if ((guint64)chain->readable.left + chain->writable.left + length > G_MAXUINT32 ||
      chain->n_segments >= VIRTQUEUE_MAX_CHAIN || gpa > G_MAXUINT64 - length ||
      !vmm_guest_memory_check (queue->memory, vmm_gpa (gpa), length, writable))
    return FALSE;

  if (chain->n_segments == chain->capacity)
    {
      guint capacity = MIN (chain->capacity * 4, VIRTQUEUE_MAX_CHAIN);
      Segment *segments = g_new (Segment, capacity);

      memcpy (segments, chain->segments, chain->n_segments * sizeof (Segment));
      if (chain->segments != chain->inline_segments)
        g_free (chain->segments);
      chain->segments = segments;
      chain->capacity = capacity;
    }
  chain->segments[chain->n_segments++] = (Segment){ gpa, length };
  if (!writable)
    chain->n_readable++;
  total->left += length;
  return TRUE;
}

/* Copies an indirect table (Virtio 1.2, 2.7.5.3). Returns its number of entries, 0 when it is not
 * valid. */
static guint
fetch_table (Virtqueue *queue, const WireDesc *desc)
{
  guint32 length = GUINT32_FROM_LE (desc->len);
  guint64 gpa = GUINT64_FROM_LE (desc->addr);

  if (length == 0 || length % sizeof (WireDesc) != 0 ||
      length / sizeof (WireDesc) > VIRTQUEUE_MAX_CHAIN || gpa > G_MAXUINT64 - length)
    return 0;
  if (queue->table == NULL)
    queue->table = g_new (WireDesc, VIRTQUEUE_MAX_CHAIN);
  if (!vmm_guest_memory_read (queue->memory, vmm_gpa (gpa), queue->table, length))
    return 0;
  return length / sizeof (WireDesc);
}

static gboolean
chain_collect (Virtqueue *queue, VirtqueueChain *chain)
{
  const WireDesc *table = NULL;
  WireDesc copy;
  guint count = queue->size, index = chain->head, n_seen = 0;

  while (TRUE)
    {
      const WireDesc *desc = &copy;
      guint16 flags;

      /* A chain that visits more entries than its table has is a loop. */
      if (index >= count || n_seen++ >= count)
        return FALSE;
      if (table != NULL)
        desc = &table[index];
      else if (!vmm_guest_memory_read (queue->memory, vmm_gpa (queue->desc + 16 * (guint64)index),
                                       &copy, sizeof copy))
        return FALSE;
      flags = GUINT16_FROM_LE (desc->flags);

      if (flags & DESC_F_INDIRECT)
        {
          /* 2.7.5.3.1: not without the feature, not nested, not together with NEXT. */
          if (!queue->indirect || table != NULL || (flags & DESC_F_NEXT))
            return FALSE;
          count = fetch_table (queue, desc);
          table = queue->table;
          index = n_seen = 0;
          continue; /* count 0 ends the loop above */
        }
      if (!chain_append (queue, chain, desc))
        return FALSE;
      if (!(flags & DESC_F_NEXT))
        break;
      index = GUINT16_FROM_LE (desc->next);
    }
  chain->writable.segment = chain->n_readable;
  return TRUE;
}

/* FALSE, and broken: the driver's index is impossible, or the ring left RAM. */
static gboolean
refresh_avail (Virtqueue *queue)
{
  guint16 index;

  if (!vmm_guest_memory_load_le16 (queue->memory, vmm_gpa (queue->driver + RING_INDEX), &index) ||
      (guint16)(index - queue->avail_next) > queue->size)
    {
      virtqueue_set_broken (queue);
      return FALSE;
    }
  queue->avail_known = index;
  return TRUE;
}

VirtqueueStatus
virtqueue_pop (Virtqueue *queue, VirtqueueChain **ret_chain)
{
  VirtqueueChain *chain;
  guint16 head;
  guint64 entry;

  *ret_chain = NULL;
  if (queue->broken)
    return VIRTQUEUE_BROKEN;
  if (!queue->enabled)
    return VIRTQUEUE_EMPTY;

  if (queue->avail_known == queue->avail_next)
    {
      if (!refresh_avail (queue))
        return VIRTQUEUE_BROKEN;
      if (queue->avail_known == queue->avail_next)
        return VIRTQUEUE_EMPTY;
    }

  entry = queue->driver + RING_DATA + 2 * (guint64)(queue->avail_next & (queue->size - 1));
  if (!vmm_guest_memory_load_le16 (queue->memory, vmm_gpa (entry), &head) || head >= queue->size ||
      in_flight_get (queue, head))
    goto broken;

  chain = chain_take (queue);
  chain->head = head;
  chain->position = queue->avail_next;
  if (!chain_collect (queue, chain))
    {
      chain_release (queue, chain);
      goto broken;
    }
  in_flight_set (queue, head, TRUE);
  queue->avail_next++;
  *ret_chain = chain;
  return VIRTQUEUE_READY;

broken:
  virtqueue_set_broken (queue);
  return VIRTQUEUE_BROKEN;
}

void
virtqueue_push_batch (Virtqueue *queue,
                      VirtqueueChain *const *chains,
                      const guint32 *written,
                      guint n)
{
  guint16 used_next = queue->used_next;

  for (guint i = 0; i < n; i++)
    {
      VirtqueueChain *chain = chains[i];

      if (chain->generation == queue->generation && queue->enabled)
        {
          WireUsed used = { GUINT32_TO_LE (chain->head), GUINT32_TO_LE (written[i]) };
          guint64 entry = queue->device + RING_DATA + 8 * (guint64)(used_next & (queue->size - 1));

          in_flight_set (queue, chain->head, FALSE);
          if (!queue->broken &&
              vmm_guest_memory_write (queue->memory, vmm_gpa (entry), &used, sizeof used))
            used_next++;
          else
            virtqueue_set_broken (queue);
        }
      chain_release (queue, chain);
    }
  /* 2.7.8.2: the elements are visible before the index. */
  if (used_next != queue->used_next && !queue->broken)
    {
      queue->used_next = used_next;
      if (!vmm_guest_memory_store_le16 (queue->memory, vmm_gpa (queue->device + RING_INDEX),
                                        used_next))
        virtqueue_set_broken (queue);
    }
}

void
virtqueue_push (Virtqueue *queue, VirtqueueChain *chain, guint32 written)
{
  virtqueue_push_batch (queue, &chain, &written, 1);
}

void
virtqueue_unpop (Virtqueue *queue, VirtqueueChain *chain)
{
  if (chain->generation == queue->generation && queue->enabled)
    {
      g_assert (chain->position == (guint16)(queue->avail_next - 1));
      queue->avail_next--;
      in_flight_set (queue, chain->head, FALSE);
    }
  chain_release (queue, chain);
}

void
virtqueue_drop (Virtqueue *queue, VirtqueueChain *chain)
{
  /* The head stays marked: the driver never got it back, so seeing it again is its mistake. */
  chain_release (queue, chain);
}

gboolean
virtqueue_should_notify (Virtqueue *queue)
{
  guint16 value, old = queue->used_notified;
  gboolean valid = queue->used_notified_valid;

  if (!queue->enabled || queue->broken)
    return FALSE;
  /* 2.7.7.2 and 2.7.10.1: look at the driver's wish only after the index went out. */
  atomic_thread_fence (memory_order_seq_cst);
  if (!queue->event_idx)
    return vmm_guest_memory_load_le16 (queue->memory, vmm_gpa (queue->driver + RING_FLAGS),
                                       &value) &&
           !(value & AVAIL_F_NO_INTERRUPT);

  if (valid && old == queue->used_next)
    return FALSE;
  queue->used_notified = queue->used_next;
  queue->used_notified_valid = TRUE;
  if (!vmm_guest_memory_load_le16 (
          queue->memory, vmm_gpa (queue->driver + RING_DATA + 2 * (guint64)queue->size), &value))
    return FALSE;
  /* Did used_next step over the entry the driver waits for? */
  return !valid || (guint16)(queue->used_next - value - 1) < (guint16)(queue->used_next - old);
}

static void
set_avail_event (Virtqueue *queue, guint16 value)
{
  guint64 gpa = queue->device + RING_DATA + 8 * (guint64)queue->size;

  if (!vmm_guest_memory_store_le16 (queue->memory, vmm_gpa (gpa), value))
    virtqueue_set_broken (queue);
}

static void
set_used_flags (Virtqueue *queue, guint16 value)
{
  if (!vmm_guest_memory_store_le16 (queue->memory, vmm_gpa (queue->device + RING_FLAGS), value))
    virtqueue_set_broken (queue);
}

void
virtqueue_disable_kicks (Virtqueue *queue)
{
  if (!queue->enabled || queue->broken || queue->kicks_off)
    return;
  queue->kicks_off = TRUE;
  /* 2.7.10: with EVENT_IDX the flag is 0, and an old event index asks for nothing. */
  if (!queue->event_idx)
    set_used_flags (queue, USED_F_NO_NOTIFY);
}

/* A doorbell is wanted for the entry at index. TRUE: there is one already, or the queue is broken,
 * which pop will say. */
static gboolean
ask_for_kick (Virtqueue *queue, guint16 index)
{
  if (!queue->enabled || queue->broken)
    return FALSE;
  queue->kicks_off = FALSE;
  if (queue->event_idx)
    set_avail_event (queue, index);
  else
    set_used_flags (queue, 0);
  /* What came in before the driver could see this would never be announced. */
  atomic_thread_fence (memory_order_seq_cst);
  return queue->broken || !refresh_avail (queue) || queue->avail_known != index;
}

gboolean
virtqueue_enable_kicks (Virtqueue *queue)
{
  return ask_for_kick (queue, queue->avail_next);
}

gboolean
virtqueue_wait_for_more (Virtqueue *queue)
{
  return ask_for_kick (queue, queue->avail_known);
}

/* ---- cursors ---- */

guint32
virtqueue_chain_readable_left (VirtqueueChain *chain)
{
  return chain->readable.left;
}

guint32
virtqueue_chain_writable_left (VirtqueueChain *chain)
{
  return chain->writable.left;
}

static gsize
cursor_advance (VirtqueueChain *chain, Cursor *cursor, gsize length)
{
  gsize done = 0;

  length = MIN (length, cursor->left);
  while (done < length)
    {
      guint32 room = chain->segments[cursor->segment].length - cursor->offset;
      guint32 piece = MIN (length - done, room);

      cursor->offset += piece;
      done += piece;
      if (piece == room)
        {
          cursor->segment++;
          cursor->offset = 0;
        }
    }
  cursor->left -= length;
  return length;
}

/* The next piece of the cursor: one segment, or less. */
static guint32
cursor_peek (VirtqueueChain *chain, const Cursor *cursor, gsize length, VmmGpa *ret_gpa)
{
  const Segment *segment = &chain->segments[cursor->segment];

  *ret_gpa = vmm_gpa (segment->gpa + cursor->offset);
  return MIN (length, segment->length - cursor->offset);
}

gsize
virtqueue_chain_read (VirtqueueChain *chain, void *buffer, gsize length)
{
  gsize done = 0;

  length = MIN (length, chain->readable.left);
  while (done < length)
    {
      VmmGpa gpa;
      guint32 piece = cursor_peek (chain, &chain->readable, length - done, &gpa);

      /* Vetted by pop; it fails only when the memory was unmapped since. */
      if (!vmm_guest_memory_read (chain->queue->memory, gpa, (guint8 *)buffer + done, piece))
        break;
      done += cursor_advance (chain, &chain->readable, piece);
    }
  return done;
}

gsize
virtqueue_chain_write (VirtqueueChain *chain, const void *buffer, gsize length)
{
  gsize done = 0;

  length = MIN (length, chain->writable.left);
  while (done < length)
    {
      VmmGpa gpa;
      guint32 piece = cursor_peek (chain, &chain->writable, length - done, &gpa);

      if (!vmm_guest_memory_write (chain->queue->memory, gpa, (const guint8 *)buffer + done, piece))
        break;
      done += cursor_advance (chain, &chain->writable, piece);
    }
  return done;
}

gsize
virtqueue_chain_skip_readable (VirtqueueChain *chain, gsize length)
{
  return cursor_advance (chain, &chain->readable, length);
}

gsize
virtqueue_chain_skip_writable (VirtqueueChain *chain, gsize length)
{
  return cursor_advance (chain, &chain->writable, length);
}

/* ---- pins ---- */

/* A piece of length bytes may cross mappings: -E2BIG says that max iovecs do not do. */
static int
pin_range (VirtqueueChain *chain,
           const Cursor *from,
           gboolean for_write,
           guint32 length,
           struct iovec *iov,
           guint max)
{
  VmmGuestMemory *memory = chain->queue->memory;
  Cursor cursor = *from;
  guint n = 0;

  while (length > 0)
    {
      VmmGpa gpa;
      guint32 piece = cursor_peek (chain, &cursor, length, &gpa);
      int r =
          n < max ? vmm_guest_memory_pin (memory, gpa, piece, for_write, iov + n, max - n) : -E2BIG;

      if (r < 0)
        {
          vmm_guest_memory_unpin (memory, iov, n, FALSE);
          return r;
        }
      n += r;
      length -= cursor_advance (chain, &cursor, piece);
    }
  return n;
}

static PinChunk *
chunk_new (guint capacity)
{
  PinChunk *chunk = g_malloc0 (sizeof (PinChunk) + capacity * sizeof (struct iovec));

  chunk->iov = (struct iovec *)(chunk + 1);
  chunk->capacity = capacity;
  return chunk;
}

static void
chunk_link (VirtqueueChain *chain, PinChunk *chunk, gboolean for_write)
{
  chunk->for_write = for_write;
  chunk->used = 0;
  chunk->next = chain->pins;
  chain->pins = chunk;
}

int
virtqueue_chain_pin (VirtqueueChain *chain,
                     gboolean for_write,
                     guint32 length,
                     const struct iovec **ret_iov)
{
  Cursor *cursor = for_write ? &chain->writable : &chain->readable;
  PinChunk *chunk = chain->pins;
  struct iovec *iov;
  int r = -E2BIG;

  *ret_iov = NULL;
  if (length > cursor->left)
    return -EINVAL;
  if (length == 0)
    return 0;

  if (chunk == NULL)
    {
      chunk = &chain->first;
      chunk_link (chain, chunk, for_write);
    }
  iov = chunk->iov + chunk->used;
  if (chunk->for_write == for_write)
    r = pin_range (chain, cursor, for_write, length, iov, chunk->capacity - chunk->used);

  for (guint capacity = 2 * chain->n_segments + 2; r == -E2BIG && capacity <= 8192; capacity *= 2)
    {
      chunk = chunk_new (capacity);
      iov = chunk->iov;
      r = pin_range (chain, cursor, for_write, length, iov, capacity);
      if (r > 0)
        chunk_link (chain, chunk, for_write);
      else
        g_free (chunk);
    }
  if (r <= 0)
    return r;

  chunk->used += r;
  cursor_advance (chain, cursor, length);
  *ret_iov = iov;
  return r;
}

void
virtqueue_chain_set_data (VirtqueueChain *chain, gpointer data)
{
  g_free (chain->data);
  chain->data = data;
}

gpointer
virtqueue_chain_get_data (VirtqueueChain *chain)
{
  return chain->data;
}
