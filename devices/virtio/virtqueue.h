/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A split virtqueue (Virtio 1.2, 2.7), device side. Addresses and size are latched when the driver
 * enables the queue; later writes to the registers change nothing until reset. pop vets the whole
 * chain: indices in range, no loop, at most queue-size descriptors (indirect: at most its stated
 * length, capped at VIRTQUEUE_MAX_CHAIN), readable before writable, every byte in RAM, total below
 * 4 GiB, a head that is not in flight already. The table is copied once, then used.
 *
 * Devices read and write through cursors, or pin pieces for back ends; they never see descriptors.
 * A broken queue stays broken until reset, and the transport sets DEVICE_NEEDS_RESET.
 * Threads: the queue's worker (or under the device lock). */
#pragma once
#include "vmm/memory.h"

#define VIRTQUEUE_MAX_SIZE  1024
#define VIRTQUEUE_MAX_CHAIN 1024

typedef struct _Virtqueue Virtqueue;
typedef struct _VirtqueueChain VirtqueueChain;

typedef enum
{
  VIRTQUEUE_EMPTY,
  VIRTQUEUE_READY,
  VIRTQUEUE_BROKEN,
} VirtqueueStatus;

Virtqueue *virtqueue_new (VmmGuestMemory *memory, guint max_size);
void virtqueue_free (Virtqueue *queue);
/* Stops the queue and forgets everything; chains in flight must have been pushed or dropped. */
void virtqueue_reset (Virtqueue *queue);
/* FALSE when size is no power of two, > max, or an area is misaligned or outside RAM. */
gboolean virtqueue_enable (Virtqueue *queue,
                           guint size,
                           guint64 desc,
                           guint64 driver,
                           guint64 device,
                           gboolean indirect,
                           gboolean event_idx);
gboolean virtqueue_is_enabled (Virtqueue *queue);
gboolean virtqueue_is_broken (Virtqueue *queue);
guint virtqueue_get_size (Virtqueue *queue);
guint virtqueue_get_max_size (Virtqueue *queue);
guint64 virtqueue_get_desc (Virtqueue *queue);
guint64 virtqueue_get_driver (Virtqueue *queue);
guint64 virtqueue_get_device (Virtqueue *queue);
/* Ring positions, for vhost and save. */
guint16 virtqueue_get_avail_index (Virtqueue *queue);
void virtqueue_set_avail_index (Virtqueue *queue, guint16 index);

/* READY: *ret_chain is (transfer full): give it to push or drop. */
VirtqueueStatus virtqueue_pop (Virtqueue *queue,
                               VirtqueueChain **ret_chain) G_GNUC_WARN_UNUSED_RESULT;
/* Returns the chain to the driver, having written `written` bytes from the start of its writable
 * part. Frees the chain. */
void virtqueue_push (Virtqueue *queue, VirtqueueChain *chain, guint32 written);
/* Several at once: the driver sees all of them or none (merged receive buffers). */
void virtqueue_push_batch (Virtqueue *queue,
                           VirtqueueChain *const *chains,
                           const guint32 *written,
                           guint n);
/* Un-pops the chain last popped (no room now): it will be popped again. */
void virtqueue_unpop (Virtqueue *queue, VirtqueueChain *chain);
/* Frees a chain without returning it (reset). */
void virtqueue_drop (Virtqueue *queue, VirtqueueChain *chain);
/* After a batch of pushes: TRUE when the driver wants an interrupt (flags or EVENT_IDX). */
gboolean virtqueue_should_notify (Virtqueue *queue);
/* Doorbells off while draining, and on again: TRUE from enable means more came in, go on. */
void virtqueue_disable_kicks (Virtqueue *queue);
gboolean virtqueue_enable_kicks (Virtqueue *queue) G_GNUC_WARN_UNUSED_RESULT;
/* As enable, for a device that un-popped chains because they were too few: asks for a doorbell when
 * there are more than it has seen. TRUE: there are by now. */
gboolean virtqueue_wait_for_more (Virtqueue *queue) G_GNUC_WARN_UNUSED_RESULT;
/* Marks it broken (a request that violates the device's own rules beyond repair). */
void virtqueue_set_broken (Virtqueue *queue);

/* Cursors: each keeps its own position in the readable and the writable part. */
guint32 virtqueue_chain_readable_left (VirtqueueChain *chain);
guint32 virtqueue_chain_writable_left (VirtqueueChain *chain);
/* Copies up to length bytes; returns bytes copied. */
gsize
virtqueue_chain_read (VirtqueueChain *chain, void *buffer, gsize length) G_GNUC_WARN_UNUSED_RESULT;
gsize virtqueue_chain_write (VirtqueueChain *chain,
                             const void *buffer,
                             gsize length) G_GNUC_WARN_UNUSED_RESULT;
gsize virtqueue_chain_skip_readable (VirtqueueChain *chain, gsize length);
gsize virtqueue_chain_skip_writable (VirtqueueChain *chain, gsize length);
/* Pins the next length bytes for a back end, advancing the cursor; (transfer none) iovecs live as
 * long as the chain, which unpins on push or drop. Returns the number, or -errno. for_write: the
 * writable part. */
int virtqueue_chain_pin (VirtqueueChain *chain,
                         gboolean for_write,
                         guint32 length,
                         const struct iovec **ret_iov);
/* A slot for the device's per-request struct; freed with g_free when the chain is. */
void virtqueue_chain_set_data (VirtqueueChain *chain, gpointer data);
gpointer virtqueue_chain_get_data (VirtqueueChain *chain);
