/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/virtio/virtqueue.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/harness/harness-ring.h"

#define RAM_SIZE 0x400000
#define NUM      8

typedef struct
{
  HarnessMachine *h;
  HarnessRing ring;
  Virtqueue *vq;
  guint64 buffer;
} Fixture;

static void
start (Fixture *f, gboolean indirect, gboolean event_idx)
{
  f->ring.event_idx = event_idx;
  g_assert_true (virtqueue_enable (f->vq, NUM, f->ring.desc, f->ring.avail, f->ring.used, indirect,
                                   event_idx));
}

static void
set_up (Fixture *f, gconstpointer data)
{
  f->h = harness_new (RAM_SIZE);
  harness_ring_init (&f->ring, f->h, NUM);
  f->vq = virtqueue_new (vmm_machine_get_memory (f->h->machine), 256);
  f->buffer = harness_alloc (f->h, 0x10000, 4096);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  virtqueue_free (f->vq);
  harness_free (f->h);
}

static VirtqueueChain *
pop (Fixture *f)
{
  VirtqueueChain *chain = NULL;

  g_assert_cmpint (virtqueue_pop (f->vq, &chain), ==, VIRTQUEUE_READY);
  g_assert_nonnull (chain);
  return chain;
}

static void
assert_pop (Fixture *f, VirtqueueStatus expected)
{
  VirtqueueChain *chain = NULL;
  VirtqueueStatus status = virtqueue_pop (f->vq, &chain);

  g_assert_cmpint (status, ==, expected);
  g_assert_null (chain);
}

static void
assert_broken (Fixture *f)
{
  assert_pop (f, VIRTQUEUE_BROKEN);
  g_assert_true (virtqueue_is_broken (f->vq));
  /* And stays so. */
  assert_pop (f, VIRTQUEUE_BROKEN);
  g_assert_false (virtqueue_should_notify (f->vq));
  virtqueue_reset (f->vq);
  g_assert_false (virtqueue_is_broken (f->vq));
  assert_pop (f, VIRTQUEUE_EMPTY);
}

static void
test_enable (Fixture *f, gconstpointer data)
{
  static const struct
  {
    guint size;
    guint64 desc, driver, device;
  } bad[] = {
    { 0, 0x1000, 0x2000, 0x3000 },
    { 3, 0x1000, 0x2000, 0x3000 },
    { 512, 0x1000, 0x2000, 0x3000 },
    { 8, 0x1008, 0x2000, 0x3000 },
    { 8, 0x1000, 0x2001, 0x3000 },
    { 8, 0x1000, 0x2000, 0x3002 },
    { 8, RAM_SIZE - 0x40, 0x2000, 0x3000 },
    { 8, 0x1000, RAM_SIZE - 20, 0x3000 },
    { 8, 0x1000, 0x2000, RAM_SIZE - 68 },
    { 8, 0xfffffffffffffff0, 0x2000, 0x3000 },
    { 8, 0x1000, 0xfffffffffffffffe, 0x3000 },
    { 8, 0x1000, 0x2000, 0xfffffffffffffffc },
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_false (virtqueue_enable (f->vq, bad[i].size, bad[i].desc, bad[i].driver,
                                        bad[i].device, TRUE, TRUE));
      g_assert_false (virtqueue_is_enabled (f->vq));
    }
  g_assert_true (virtqueue_enable (f->vq, 8, RAM_SIZE - 0x80, 0x2000, 0x3000, TRUE, TRUE));
  /* Latched: not a second time. */
  g_assert_false (virtqueue_enable (f->vq, 16, 0x1000, 0x2000, 0x3000, TRUE, TRUE));
  g_assert_cmpuint (virtqueue_get_size (f->vq), ==, 8);
  g_assert_cmpuint (virtqueue_get_desc (f->vq), ==, RAM_SIZE - 0x80);
  virtqueue_reset (f->vq);
  g_assert_cmpuint (virtqueue_get_size (f->vq), ==, 0);
}

static void
test_round_trip (Fixture *f, gconstpointer indirect)
{
  guint8 out[300], in[300], back[300];
  HarnessSegment segments[] = {
    { f->buffer, 100, FALSE },         { f->buffer + 0x1000, 200, FALSE },
    { f->buffer + 0x2000, 50, TRUE },  { f->buffer + 0x3000, 0, TRUE },
    { f->buffer + 0x4000, 250, TRUE },
  };
  HarnessUsed used;

  for (guint i = 0; i < sizeof out; i++)
    out[i] = i * 7;
  start (f, indirect != NULL, FALSE);
  assert_pop (f, VIRTQUEUE_EMPTY);
  for (guint round = 0; round < 3 * NUM; round++)
    {
      VirtqueueChain *chain;
      guint16 head;

      harness_write (f->h, f->buffer, out, 100);
      harness_write (f->h, f->buffer + 0x1000, out + 100, 200);
      head = indirect != NULL ? harness_ring_add_indirect (&f->ring, segments, 5)
                              : harness_ring_add (&f->ring, segments, 5);
      harness_ring_publish (&f->ring);
      chain = pop (f);
      g_assert_cmpuint (virtqueue_chain_readable_left (chain), ==, 300);
      g_assert_cmpuint (virtqueue_chain_writable_left (chain), ==, 300);
      g_assert_cmpuint (virtqueue_chain_read (chain, in, 7), ==, 7);
      g_assert_cmpuint (virtqueue_chain_skip_readable (chain, 100), ==, 100);
      g_assert_cmpuint (virtqueue_chain_read (chain, in + 107, 1000), ==, 193);
      g_assert_cmpuint (virtqueue_chain_read (chain, in, 1), ==, 0);
      g_assert_cmpmem (in, 7, out, 7);
      g_assert_cmpmem (in + 107, 193, out + 107, 193);
      g_assert_cmpuint (virtqueue_chain_skip_writable (chain, 10), ==, 10);
      g_assert_cmpuint (virtqueue_chain_write (chain, out, 500), ==, 290);
      g_assert_cmpuint (virtqueue_chain_writable_left (chain), ==, 0);
      virtqueue_push (f->vq, chain, 300);
      g_assert_true (harness_ring_take_used (&f->ring, &used));
      g_assert_cmpuint (used.id, ==, head);
      g_assert_cmpuint (used.length, ==, 300);
      harness_read (f->h, f->buffer + 0x2000, back, 50);
      g_assert_cmpmem (back + 10, 40, out, 40);
      harness_read (f->h, f->buffer + 0x4000, back, 250);
      g_assert_cmpmem (back, 250, out + 40, 250);
      assert_pop (f, VIRTQUEUE_EMPTY);
    }
  g_assert_cmpuint (virtqueue_get_avail_index (f->vq), ==, 3 * NUM);
}

static void
test_pin (Fixture *f, gconstpointer data)
{
  HarnessSegment segments[40];
  const struct iovec *iov, *iov2;
  VirtqueueChain *chain;
  guint8 byte;
  int n;

  for (guint i = 0; i < 40; i++)
    segments[i] = (HarnessSegment){ f->buffer + i * 0x400, 0x100, i >= 20 };
  start (f, TRUE, FALSE);
  harness_ring_add_indirect (&f->ring, segments, 40);
  harness_ring_publish (&f->ring);
  chain = pop (f);
  g_assert_cmpint (virtqueue_chain_pin (chain, TRUE, 20 * 0x100 + 1, &iov), ==, -EINVAL);
  g_assert_cmpint (virtqueue_chain_pin (chain, TRUE, 0, &iov), ==, 0);
  n = virtqueue_chain_pin (chain, TRUE, 20 * 0x100 - 1, &iov);
  g_assert_cmpint (n, ==, 20);
  g_assert_cmpuint (iov[19].iov_len, ==, 0xff);
  memset (iov[19].iov_base, 0xab, 0xff);
  g_assert_cmpuint (virtqueue_chain_write (chain, "\x5a", 1), ==, 1);
  /* Both directions, and small after large: earlier iovecs stay where they are. */
  g_assert_cmpint (virtqueue_chain_pin (chain, FALSE, 0x80, &iov2), ==, 1);
  g_assert_cmpint (virtqueue_chain_pin (chain, FALSE, 0x80, &iov2), ==, 1);
  g_assert_cmpint (virtqueue_chain_pin (chain, FALSE, 19 * 0x100, &iov2), ==, 19);
  g_assert_cmpuint (iov[0].iov_len, ==, 0x100);
  virtqueue_push (f->vq, chain, 20 * 0x100);
  harness_read (f->h, f->buffer + 39 * 0x400 + 0xfe, &byte, 1);
  g_assert_cmpuint (byte, ==, 0xab);
  harness_read (f->h, f->buffer + 39 * 0x400 + 0xff, &byte, 1);
  g_assert_cmpuint (byte, ==, 0x5a);
}

static void
test_unpop (Fixture *f, gconstpointer data)
{
  HarnessSegment segment = { f->buffer, 64, FALSE };
  VirtqueueChain *a, *b;
  HarnessUsed used;
  guint16 head_a, head_b;

  start (f, FALSE, FALSE);
  head_a = harness_ring_send (&f->ring, &segment, 1);
  head_b = harness_ring_send (&f->ring, &segment, 1);
  a = pop (f);
  b = pop (f);
  virtqueue_unpop (f->vq, b);
  virtqueue_unpop (f->vq, a);
  g_assert_cmpuint (virtqueue_get_avail_index (f->vq), ==, 0);
  a = pop (f);
  b = pop (f);
  virtqueue_push (f->vq, b, 0);
  virtqueue_push (f->vq, a, 0);
  g_assert_true (harness_ring_take_used (&f->ring, &used));
  g_assert_cmpuint (used.id, ==, head_b);
  g_assert_true (harness_ring_take_used (&f->ring, &used));
  g_assert_cmpuint (used.id, ==, head_a);
}

/* Chains of before a reset are freed, and nothing of them reaches the new ring. */
static void
test_reset_in_flight (Fixture *f, gconstpointer data)
{
  HarnessSegment segment = { f->buffer, 64, FALSE };
  VirtqueueChain *a, *b, *c;

  start (f, FALSE, FALSE);
  for (guint i = 0; i < 3; i++)
    harness_ring_send (&f->ring, &segment, 1);
  a = pop (f);
  b = pop (f);
  c = pop (f);
  virtqueue_reset (f->vq);
  virtqueue_push (f->vq, a, 5);
  harness_ring_reset (&f->ring);
  start (f, FALSE, FALSE);
  virtqueue_push (f->vq, b, 5);
  virtqueue_unpop (f->vq, c);
  g_assert_cmpuint (harness_ring_get_n_used (&f->ring), ==, 0);
  assert_pop (f, VIRTQUEUE_EMPTY);
  harness_ring_send (&f->ring, &segment, 1);
  virtqueue_drop (f->vq, pop (f));
}

static void
test_notify_flags (Fixture *f, gconstpointer data)
{
  HarnessSegment segment = { f->buffer, 64, FALSE };

  start (f, FALSE, FALSE);
  harness_ring_send (&f->ring, &segment, 1);
  virtqueue_disable_kicks (f->vq);
  g_assert_cmpuint (harness_ring_get_used_flags (&f->ring), ==, 1);
  virtqueue_push (f->vq, pop (f), 0);
  g_assert_true (virtqueue_should_notify (f->vq));
  harness_ring_set_avail_flags (&f->ring, 1);
  g_assert_false (virtqueue_should_notify (f->vq));
  g_assert_false (virtqueue_enable_kicks (f->vq));
  g_assert_cmpuint (harness_ring_get_used_flags (&f->ring), ==, 0);
  harness_ring_send (&f->ring, &segment, 1);
  g_assert_true (virtqueue_enable_kicks (f->vq));
  virtqueue_drop (f->vq, pop (f));
}

static void
test_event_idx (Fixture *f, gconstpointer data)
{
  HarnessSegment segment = { f->buffer, 64, FALSE };

  start (f, FALSE, TRUE);
  harness_ring_set_used_event (&f->ring, 2);
  g_assert_true (harness_ring_publish (&f->ring) == FALSE);
  for (guint i = 0; i < 4; i++)
    harness_ring_send (&f->ring, &segment, 1);
  virtqueue_push (f->vq, pop (f), 0);
  /* The first after enabling always tells: nothing is known of before. */
  g_assert_true (virtqueue_should_notify (f->vq));
  virtqueue_push (f->vq, pop (f), 0);
  g_assert_false (virtqueue_should_notify (f->vq));
  virtqueue_push (f->vq, pop (f), 0);
  g_assert_true (virtqueue_should_notify (f->vq));
  g_assert_false (virtqueue_should_notify (f->vq));
  virtqueue_push (f->vq, pop (f), 0);
  g_assert_false (virtqueue_should_notify (f->vq));

  virtqueue_disable_kicks (f->vq);
  g_assert_cmpuint (harness_ring_get_used_flags (&f->ring), ==, 0);
  g_assert_false (virtqueue_enable_kicks (f->vq));
  g_assert_cmpuint (harness_ring_get_avail_event (&f->ring), ==, 4);
  harness_ring_add (&f->ring, &segment, 1);
  g_assert_true (harness_ring_publish (&f->ring));
  harness_ring_add (&f->ring, &segment, 1);
  g_assert_false (harness_ring_publish (&f->ring));
  g_assert_true (virtqueue_enable_kicks (f->vq));
}

static void
test_wait_for_more (Fixture *f, gconstpointer event_idx)
{
  HarnessSegment segment = { f->buffer, 64, FALSE };

  start (f, FALSE, event_idx != NULL);
  harness_ring_send (&f->ring, &segment, 1);
  virtqueue_disable_kicks (f->vq);
  virtqueue_unpop (f->vq, pop (f));
  /* One is there, and known. */
  g_assert_false (virtqueue_wait_for_more (f->vq));
  g_assert_true (virtqueue_enable_kicks (f->vq));
  g_assert_false (virtqueue_wait_for_more (f->vq));
  harness_ring_add (&f->ring, &segment, 1);
  g_assert_true (harness_ring_publish (&f->ring));
  g_assert_true (virtqueue_wait_for_more (f->vq));
  g_assert_false (virtqueue_wait_for_more (f->vq));
}

static void
test_set_avail_index (Fixture *f, gconstpointer data)
{
  HarnessSegment segment = { f->buffer, 64, FALSE };

  start (f, FALSE, FALSE);
  harness_ring_send (&f->ring, &segment, 1);
  harness_ring_send (&f->ring, &segment, 1);
  virtqueue_push (f->vq, pop (f), 0);
  virtqueue_reset (f->vq);
  start (f, FALSE, FALSE);
  virtqueue_set_avail_index (f->vq, 1);
  g_assert_false (virtqueue_is_broken (f->vq));
  virtqueue_push (f->vq, pop (f), 0);
  g_assert_cmpuint (harness_ring_get_n_used (&f->ring), ==, 2);
  virtqueue_set_avail_index (f->vq, 300);
  assert_broken (f);
}

/* ---- hostile rings ---- */

typedef void (*Attack) (Fixture *f);

static void
attack_head (Fixture *f)
{
  harness_ring_put_avail (&f->ring, NUM);
}

static void
attack_head_high (Fixture *f)
{
  harness_ring_put_avail (&f->ring, 0xffff);
}

static void
attack_index (Fixture *f)
{
  harness_ring_set_avail_idx (&f->ring, NUM + 1);
}

static void
attack_loop (Fixture *f)
{
  harness_ring_set_desc (&f->ring, 0, f->buffer, 16, HARNESS_DESC_NEXT, 1);
  harness_ring_set_desc (&f->ring, 1, f->buffer, 16, HARNESS_DESC_NEXT, 0);
  harness_ring_put_avail (&f->ring, 0);
}

static void
attack_self_loop (Fixture *f)
{
  harness_ring_set_desc (&f->ring, 0, f->buffer, 0, HARNESS_DESC_NEXT, 0);
  harness_ring_put_avail (&f->ring, 0);
}

static void
attack_next (Fixture *f)
{
  harness_ring_set_desc (&f->ring, 0, f->buffer, 16, HARNESS_DESC_NEXT, NUM);
  harness_ring_put_avail (&f->ring, 0);
}

static void
attack_order (Fixture *f)
{
  harness_ring_set_desc (&f->ring, 0, f->buffer, 16, HARNESS_DESC_NEXT | HARNESS_DESC_WRITE, 1);
  harness_ring_set_desc (&f->ring, 1, f->buffer, 16, 0, 0);
  harness_ring_put_avail (&f->ring, 0);
}

static void
attack_end_of_ram (Fixture *f)
{
  harness_ring_set_desc (&f->ring, 0, RAM_SIZE - 15, 16, 0, 0);
  harness_ring_put_avail (&f->ring, 0);
}

static void
attack_wrap (Fixture *f)
{
  harness_ring_set_desc (&f->ring, 0, G_MAXUINT64 - 3, 16, 0, 0);
  harness_ring_put_avail (&f->ring, 0);
}

static void
attack_huge (Fixture *f)
{
  harness_ring_set_desc (&f->ring, 0, 0, G_MAXUINT32, HARNESS_DESC_WRITE, 0);
  harness_ring_put_avail (&f->ring, 0);
}

static void
table (Fixture *f, guint64 gpa, guint32 length, guint16 flags)
{
  harness_ring_set_desc (&f->ring, 0, gpa, length, HARNESS_DESC_INDIRECT | flags, 1);
  harness_ring_set_desc (&f->ring, 1, f->buffer, 16, 0, 0);
  harness_ring_put_avail (&f->ring, 0);
}

static void
attack_table_empty (Fixture *f)
{
  table (f, f->buffer, 0, 0);
}

static void
attack_table_odd (Fixture *f)
{
  table (f, f->buffer, 24, 0);
}

static void
attack_table_large (Fixture *f)
{
  table (f, f->buffer, (VIRTQUEUE_MAX_CHAIN + 1) * 16, 0);
}

static void
attack_table_outside (Fixture *f)
{
  table (f, RAM_SIZE, 16, 0);
}

static void
attack_table_wrap (Fixture *f)
{
  table (f, G_MAXUINT64 - 7, 16, 0);
}

static void
attack_table_next (Fixture *f)
{
  harness_write_desc (f->h, f->buffer, 0, f->buffer + 0x100, 16, 0, 0);
  table (f, f->buffer, 16, HARNESS_DESC_NEXT);
}

static void
attack_table_nested (Fixture *f)
{
  harness_write_desc (f->h, f->buffer, 0, f->buffer + 0x100, 16, HARNESS_DESC_INDIRECT, 0);
  table (f, f->buffer, 16, 0);
}

static void
attack_table_index (Fixture *f)
{
  harness_write_desc (f->h, f->buffer, 0, f->buffer + 0x100, 16, HARNESS_DESC_NEXT, 1);
  table (f, f->buffer, 16, 0);
}

static void
attack_table_loop (Fixture *f)
{
  harness_write_desc (f->h, f->buffer, 0, f->buffer + 0x100, 16, HARNESS_DESC_NEXT, 1);
  harness_write_desc (f->h, f->buffer, 1, f->buffer + 0x100, 16, HARNESS_DESC_NEXT, 0);
  table (f, f->buffer, 32, 0);
}

static const struct
{
  const char *name;
  Attack attack;
} attacks[] = {
  { "head", attack_head },
  { "head-high", attack_head_high },
  { "index", attack_index },
  { "loop", attack_loop },
  { "self-loop", attack_self_loop },
  { "next", attack_next },
  { "order", attack_order },
  { "end-of-ram", attack_end_of_ram },
  { "wrap", attack_wrap },
  { "huge", attack_huge },
  { "table-empty", attack_table_empty },
  { "table-odd", attack_table_odd },
  { "table-large", attack_table_large },
  { "table-outside", attack_table_outside },
  { "table-wrap", attack_table_wrap },
  { "table-next", attack_table_next },
  { "table-nested", attack_table_nested },
  { "table-index", attack_table_index },
  { "table-loop", attack_table_loop },
};

static void
test_attack (Fixture *f, gconstpointer data)
{
  Attack attack = attacks[GPOINTER_TO_UINT (data)].attack;

  start (f, TRUE, TRUE);
  attack (f);
  harness_ring_publish (&f->ring);
  if (attack == attack_index)
    harness_ring_set_avail_idx (&f->ring, NUM + 1);
  assert_broken (f);
}

static void
test_indirect_not_negotiated (Fixture *f, gconstpointer data)
{
  start (f, FALSE, FALSE);
  harness_write_desc (f->h, f->buffer, 0, f->buffer + 0x100, 16, 0, 0);
  table (f, f->buffer, 16, 0);
  harness_ring_publish (&f->ring);
  assert_broken (f);
}

static void
test_twice_in_flight (Fixture *f, gconstpointer data)
{
  HarnessSegment segment = { f->buffer, 64, TRUE };
  VirtqueueChain *chain;
  guint16 head;

  start (f, FALSE, FALSE);
  head = harness_ring_send (&f->ring, &segment, 1);
  chain = pop (f);
  harness_ring_put_avail (&f->ring, head);
  harness_ring_publish (&f->ring);
  assert_pop (f, VIRTQUEUE_BROKEN);
  /* The chain in flight is still whole, and given back into the void. */
  g_assert_cmpuint (virtqueue_chain_write (chain, "x", 1), ==, 1);
  virtqueue_push (f->vq, chain, 1);
  g_assert_cmpuint (harness_ring_get_n_used (&f->ring), ==, 0);
}

/* An index that becomes impossible between two reads must not be believed later. */
static void
test_index_while_draining (Fixture *f, gconstpointer data)
{
  start (f, FALSE, FALSE);
  assert_pop (f, VIRTQUEUE_EMPTY);
  harness_ring_set_avail_idx (&f->ring, 0x4000);
  g_assert_true (virtqueue_enable_kicks (f->vq));
  assert_broken (f);
}

static void
test_random (Fixture *f, gconstpointer data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (20240229);
  VirtqueueChain *held[NUM * 4];
  guint n_ready = 0;

  for (guint round = 0; round < 4000; round++)
    {
      guint n_held = 0;

      harness_ring_reset (&f->ring);
      start (f, TRUE, g_rand_boolean (rand));
      for (guint i = 0; i < NUM; i++)
        harness_ring_set_desc (
            &f->ring, i, g_rand_int_range (rand, 0, 8) ? f->buffer + i * 64 : g_rand_int (rand),
            g_rand_int_range (rand, 0, 4) * 16, g_rand_int_range (rand, 0, 8),
            g_rand_int_range (rand, 0, NUM));
      for (guint i = 0; i < 16; i++)
        harness_write_desc (f->h, f->buffer, i, f->buffer + 0x200, 16,
                            g_rand_int_range (rand, 0, 4), g_rand_int_range (rand, 0, 5));
      for (guint i = 0; i < NUM; i++)
        harness_ring_put_avail (&f->ring, g_rand_int_range (rand, 0, NUM + (round % 16 == 0)));
      harness_ring_publish (&f->ring);
      for (guint i = 0; i < NUM * 2; i++)
        {
          VirtqueueChain *chain;

          if (virtqueue_pop (f->vq, &chain) != VIRTQUEUE_READY)
            break;
          n_ready++;
          held[n_held++] = chain;
        }
      while (n_held > 0)
        virtqueue_push (f->vq, held[--n_held], 0);
      virtqueue_reset (f->vq);
    }
  g_assert_cmpuint (n_ready, >, 1000);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, data)                                                                      \
  g_test_add ("/virtio/virtqueue/" name, Fixture, data, set_up, func, tear_down)
  ADD ("enable", test_enable, NULL);
  ADD ("round-trip", test_round_trip, NULL);
  ADD ("round-trip-indirect", test_round_trip, "indirect");
  ADD ("pin", test_pin, NULL);
  ADD ("unpop", test_unpop, NULL);
  ADD ("reset-in-flight", test_reset_in_flight, NULL);
  ADD ("notify-flags", test_notify_flags, NULL);
  ADD ("event-idx", test_event_idx, NULL);
  ADD ("wait-for-more", test_wait_for_more, NULL);
  ADD ("wait-for-more-event-idx", test_wait_for_more, "event idx");
  ADD ("set-avail-index", test_set_avail_index, NULL);
  ADD ("indirect-not-negotiated", test_indirect_not_negotiated, NULL);
  ADD ("twice-in-flight", test_twice_in_flight, NULL);
  ADD ("index-while-draining", test_index_while_draining, NULL);
  ADD ("random", test_random, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (attacks); i++)
    {
      g_autofree char *path = g_strdup_printf ("/virtio/virtqueue/hostile/%s", attacks[i].name);

      g_test_add (path, Fixture, GUINT_TO_POINTER (i), set_up, test_attack, tear_down);
    }
  return g_test_run ();
}
