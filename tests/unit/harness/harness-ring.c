/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness-ring.h"

/* Virtio 1.2, 2.7.5, 2.7.6, 2.7.8: descriptor 16 bytes; avail flags, idx, ring[num], used_event;
 * used flags, idx, ring[num] of 8 bytes, avail_event. */
#define DESC_SIZE 16u

static guint64
avail_size (guint num)
{
  return 4u + 2u * num + 2u;
}

static guint64
used_size (guint num)
{
  return 4u + 8u * num + 2u;
}

void
harness_ring_init (HarnessRing *ring, HarnessMachine *h, guint16 num)
{
  g_assert_true (num > 0 && num <= 32768 && (num & (num - 1)) == 0);
  *ring = (HarnessRing){ .h = h, .num = num };
  ring->desc = harness_alloc (h, DESC_SIZE * num, 16);
  ring->avail = harness_alloc (h, avail_size (num), 2);
  ring->used = harness_alloc (h, used_size (num), 4);
  harness_ring_reset (ring);
}

void
harness_ring_reset (HarnessRing *ring)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (ring->h->machine);

  ring->avail_idx = ring->published = ring->last_used = ring->next_desc = 0;
  g_assert_true (vmm_guest_memory_fill (memory, vmm_gpa (ring->desc), 0, DESC_SIZE * ring->num));
  g_assert_true (vmm_guest_memory_fill (memory, vmm_gpa (ring->avail), 0, avail_size (ring->num)));
  g_assert_true (vmm_guest_memory_fill (memory, vmm_gpa (ring->used), 0, used_size (ring->num)));
}

void
harness_write_desc (HarnessMachine *h,
                    guint64 table,
                    guint16 index,
                    guint64 gpa,
                    guint32 length,
                    guint16 flags,
                    guint16 next)
{
  guint64 at = table + (guint64)index * DESC_SIZE;

  harness_write_le (h, at, 8, gpa);
  harness_write_le (h, at + 8, 4, length);
  harness_write_le (h, at + 12, 2, flags);
  harness_write_le (h, at + 14, 2, next);
}

void
harness_ring_set_desc (
    HarnessRing *ring, guint16 index, guint64 gpa, guint32 length, guint16 flags, guint16 next)
{
  harness_write_desc (ring->h, ring->desc, index, gpa, length, flags, next);
}

void
harness_ring_put_avail (HarnessRing *ring, guint16 head)
{
  harness_write_le (ring->h, ring->avail + 4 + 2 * (guint64)(ring->avail_idx % ring->num), 2, head);
  ring->avail_idx++;
}

void
harness_ring_set_avail_idx (HarnessRing *ring, guint16 idx)
{
  g_assert_true (vmm_guest_memory_store_le16 (vmm_machine_get_memory (ring->h->machine),
                                              vmm_gpa (ring->avail + 2), idx));
  ring->avail_idx = ring->published = idx;
}

static guint16
take_desc (HarnessRing *ring)
{
  return ring->next_desc++ % ring->num;
}

static guint16
segment_flags (const HarnessSegment *segment, gboolean last)
{
  return (guint16)((segment->write ? HARNESS_DESC_WRITE : 0) | (last ? 0 : HARNESS_DESC_NEXT));
}

guint16
harness_ring_add (HarnessRing *ring, const HarnessSegment *segments, guint n)
{
  guint16 head = ring->next_desc % ring->num;

  g_assert_true (n > 0 && n <= ring->num);
  for (guint i = 0; i < n; i++)
    {
      guint16 index = take_desc (ring);

      harness_ring_set_desc (ring, index, segments[i].gpa, segments[i].length,
                             segment_flags (&segments[i], i + 1 == n),
                             (guint16)(i + 1 == n ? 0 : (index + 1u) % ring->num));
    }
  harness_ring_put_avail (ring, head);
  return head;
}

guint16
harness_ring_add_indirect (HarnessRing *ring, const HarnessSegment *segments, guint n)
{
  guint64 table = harness_alloc (ring->h, (guint64)n * DESC_SIZE, 16);
  guint16 head = take_desc (ring);

  for (guint i = 0; i < n; i++)
    harness_write_desc (ring->h, table, (guint16)i, segments[i].gpa, segments[i].length,
                        segment_flags (&segments[i], i + 1 == n),
                        (guint16)(i + 1 == n ? 0 : i + 1));
  harness_ring_set_desc (ring, head, table, n * DESC_SIZE, HARNESS_DESC_INDIRECT, 0);
  harness_ring_put_avail (ring, head);
  return head;
}

gboolean
harness_ring_publish (HarnessRing *ring)
{
  guint16 old = ring->published, now = ring->avail_idx;

  harness_ring_set_avail_idx (ring, now);
  if (old == now)
    return FALSE;
  if (!ring->event_idx)
    return (harness_ring_get_used_flags (ring) & 1) == 0;
  /* Virtio 1.2, 2.7.7.2: notify when avail_event lies in [old, now). */
  return (guint16)(now - harness_ring_get_avail_event (ring) - 1) < (guint16)(now - old);
}

guint16
harness_ring_send (HarnessRing *ring, const HarnessSegment *segments, guint n)
{
  guint16 head = harness_ring_add (ring, segments, n);

  (void)harness_ring_publish (ring);
  return head;
}

static guint16
get_used_idx (HarnessRing *ring)
{
  guint16 idx;

  g_assert_true (vmm_guest_memory_load_le16 (vmm_machine_get_memory (ring->h->machine),
                                             vmm_gpa (ring->used + 2), &idx));
  return idx;
}

guint
harness_ring_get_n_used (HarnessRing *ring)
{
  return (guint16)(get_used_idx (ring) - ring->last_used);
}

gboolean
harness_ring_take_used (HarnessRing *ring, HarnessUsed *ret_used)
{
  guint64 at = ring->used + 4 + 8 * (guint64)(ring->last_used % ring->num);

  if (harness_ring_get_n_used (ring) == 0)
    return FALSE;
  ret_used->id = (guint32)harness_read_le (ring->h, at, 4);
  ret_used->length = (guint32)harness_read_le (ring->h, at + 4, 4);
  ring->last_used++;
  return TRUE;
}

void
harness_ring_set_used_event (HarnessRing *ring, guint16 value)
{
  harness_write_le (ring->h, ring->avail + 4 + 2 * (guint64)ring->num, 2, value);
}

void
harness_ring_set_avail_flags (HarnessRing *ring, guint16 flags)
{
  harness_write_le (ring->h, ring->avail, 2, flags);
}

guint16
harness_ring_get_used_flags (HarnessRing *ring)
{
  return (guint16)harness_read_le (ring->h, ring->used, 2);
}

guint16
harness_ring_get_avail_event (HarnessRing *ring)
{
  return (guint16)harness_read_le (ring->h, ring->used + 4 + 8 * (guint64)ring->num, 2);
}
