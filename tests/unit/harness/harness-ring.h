/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The driver's side of a split virtqueue (Virtio 1.2, 2.7), in the harness's guest memory. Sound
 * chains by harness_ring_add; anything else by the raw functions, which check nothing. */
#pragma once
#include "harness.h"

#define HARNESS_DESC_NEXT     1
#define HARNESS_DESC_WRITE    2
#define HARNESS_DESC_INDIRECT 4

typedef struct
{
  HarnessMachine *h;
  guint16 num;               /* queue size */
  guint64 desc, avail, used; /* guest addresses */
  gboolean event_idx;        /* VIRTIO_F_EVENT_IDX was negotiated */

  guint16 avail_idx; /* next entry to write; published by harness_ring_publish */
  guint16 published; /* what the device sees */
  guint16 last_used; /* next used entry to take */
  guint16 next_desc; /* descriptors are taken in turn; num chains must not be in flight twice */
} HarnessRing;

typedef struct
{
  guint64 gpa;
  guint32 length;
  gboolean write; /* device writes */
} HarnessSegment;

typedef struct
{
  guint32 id;
  guint32 length;
} HarnessUsed;

/* Lays an empty ring out in memory from harness_alloc. num: a power of two, 1..32768. */
void harness_ring_init (HarnessRing *ring, HarnessMachine *h, guint16 num);
/* Zeroes everything: after a device reset. */
void harness_ring_reset (HarnessRing *ring);

/* Builds a chain and puts it into the available ring without publishing it. Returns its head. */
guint16 harness_ring_add (HarnessRing *ring, const HarnessSegment *segments, guint n);
/* The same through an indirect table. */
guint16 harness_ring_add_indirect (HarnessRing *ring, const HarnessSegment *segments, guint n);
/* Publishes what was added. Returns TRUE when the device asks for a notification. */
gboolean harness_ring_publish (HarnessRing *ring);
/* Add, publish. */
guint16 harness_ring_send (HarnessRing *ring, const HarnessSegment *segments, guint n);

/* Takes the next used element. FALSE when there is none. */
gboolean harness_ring_take_used (HarnessRing *ring, HarnessUsed *ret_used);
/* Used elements not taken yet. */
guint harness_ring_get_n_used (HarnessRing *ring);
/* EVENT_IDX: an interrupt is wanted when used index goes past value. */
void harness_ring_set_used_event (HarnessRing *ring, guint16 value);
/* Without EVENT_IDX: VIRTQ_AVAIL_F_NO_INTERRUPT. */
void harness_ring_set_avail_flags (HarnessRing *ring, guint16 flags);
guint16 harness_ring_get_used_flags (HarnessRing *ring);
guint16 harness_ring_get_avail_event (HarnessRing *ring);

/* Raw, for hostile tests. */
void harness_ring_set_desc (
    HarnessRing *ring, guint16 index, guint64 gpa, guint32 length, guint16 flags, guint16 next);
/* A descriptor of any table in guest memory. */
void harness_write_desc (HarnessMachine *h,
                         guint64 table,
                         guint16 index,
                         guint64 gpa,
                         guint32 length,
                         guint16 flags,
                         guint16 next);
void harness_ring_put_avail (HarnessRing *ring, guint16 head);
void harness_ring_set_avail_idx (HarnessRing *ring, guint16 idx);
