/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/harness/harness.h"

typedef struct
{
  guint64 offset, value;
  guint size, n_reads, n_writes;
  guint64 answer;
  VmmIoResult result;
} Probe;

static VmmIoResult
probe_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  Probe *p = opaque;

  g_assert_cmpuint (*value, ==, 0);
  p->offset = offset;
  p->size = size;
  p->n_reads++;
  *value = p->answer >> (8 * (offset % 8));
  return p->result;
}

static VmmIoResult
probe_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Probe *p = opaque;

  p->offset = offset;
  p->size = size;
  p->value = value;
  p->n_writes++;
  return p->result;
}

#define OPS(ident, min, max, f)                                                                    \
  static const VmmRegionOps ident = { .name = #ident,                                              \
                                      .min_size = min,                                             \
                                      .max_size = max,                                             \
                                      .flags = f,                                                  \
                                      .read = probe_read,                                          \
                                      .write = probe_write }
OPS (byte_ops, 1, 1, VMM_REGION_NONE);
OPS (split_ops, 1, 1, VMM_REGION_SPLIT);
OPS (dword_ops, 4, 4, VMM_REGION_NONE);
OPS (widen_ops, 4, 4, VMM_REGION_WIDEN);
OPS (any_ops, 1, 8, VMM_REGION_UNALIGNED);
OPS (aligned_ops, 1, 8, VMM_REGION_SPLIT);

static void
test_map (void)
{
  VmmBus *bus = vmm_bus_new ("test", 0xffff);
  VmmRegion a, b, c;
  Probe p = { .answer = 0x1122334455667788 };
  GError *error = NULL;
  guint64 value;

  vmm_region_init (&a, &any_ops, &p, NULL, 0x10);
  vmm_region_init (&b, &byte_ops, &p, NULL, 0x10);
  vmm_region_init (&c, &byte_ops, &p, NULL, 2);
  g_assert_true (vmm_bus_map (bus, 0x100, &a, NULL));
  g_assert_false (vmm_bus_map (bus, 0x10f, &b, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "any_ops"));
  g_clear_error (&error);
  g_assert_false (vmm_bus_map (bus, 0xf1, &b, NULL));
  g_assert_false (vmm_bus_map (bus, 0x200, &a, NULL));
  g_assert_false (vmm_bus_map (bus, 0xfff1, &b, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_true (vmm_bus_map (bus, 0xfff0, &b, NULL));
  g_assert_true (vmm_bus_map (bus, 0x110, &c, NULL));

  g_assert_true (vmm_bus_read (bus, 0x100, 8, &value));
  g_assert_cmphex (value, ==, 0x1122334455667788);
  g_assert_true (vmm_bus_read (bus, 0x100, 2, &value));
  g_assert_cmphex (value, ==, 0x7788);
  g_assert_false (vmm_bus_read (bus, 0x120, 4, &value));
  g_assert_cmphex (value, ==, 0xffffffff);
  g_assert_false (vmm_bus_write (bus, 0x112, 1, 1));
  g_assert_cmpuint (vmm_bus_get_n_unclaimed (bus), ==, 2);
  g_assert_true (vmm_bus_write (bus, 0xffff, 1, 0x5a));
  g_assert_cmpuint (p.offset, ==, 15);

  /* past the region's end: refused as a whole, although a neighbour follows */
  p.n_writes = 0;
  g_assert_true (vmm_bus_write (bus, 0x10f, 2, 0));
  g_assert_cmpuint (p.n_writes, ==, 0);
  g_assert_cmpuint (a.n_unknown, ==, 1);

  vmm_bus_unmap (&a);
  vmm_bus_unmap (&a);
  g_assert_false (vmm_bus_read (bus, 0x100, 1, &value));
  vmm_bus_free (bus);
  g_assert_null (b.bus);
}

static void
test_sizes (void)
{
  VmmBus *bus = vmm_bus_new ("test", G_MAXUINT64);
  VmmRegion byte, split, dword, widen, aligned;
  Probe p = { .answer = 0x8877665544332211 };
  guint64 value;

  vmm_region_init (&byte, &byte_ops, &p, NULL, 8);
  vmm_region_init (&split, &split_ops, &p, NULL, 8);
  vmm_region_init (&dword, &dword_ops, &p, NULL, 8);
  vmm_region_init (&widen, &widen_ops, &p, NULL, 8);
  vmm_region_init (&aligned, &aligned_ops, &p, NULL, 8);
  g_assert_true (vmm_bus_map (bus, 0, &byte, NULL));
  g_assert_true (vmm_bus_map (bus, 8, &split, NULL));
  g_assert_true (vmm_bus_map (bus, 16, &dword, NULL));
  g_assert_true (vmm_bus_map (bus, 24, &widen, NULL));
  g_assert_true (vmm_bus_map (bus, G_MAXUINT64 - 7, &aligned, NULL));

  g_assert_true (vmm_bus_read (bus, 0, 2, &value));
  g_assert_cmphex (value, ==, 0xffff);
  g_assert_cmpuint (p.n_reads, ==, 0);
  g_assert_true (vmm_bus_write (bus, 2, 4, 0));
  g_assert_cmpuint (byte.n_unknown, ==, 2);

  g_assert_true (vmm_bus_read (bus, 9, 4, &value));
  g_assert_cmphex (value, ==, 0x55443322);
  g_assert_cmpuint (p.n_reads, ==, 4);
  g_assert_true (vmm_bus_write (bus, 8, 2, 0xa1b2));
  g_assert_cmpuint (p.n_writes, ==, 2);
  g_assert_cmphex (p.value, ==, 0xa1);

  p.n_reads = 0;
  g_assert_true (vmm_bus_read (bus, 18, 4, &value)); /* unaligned */
  g_assert_true (vmm_bus_read (bus, 16, 1, &value)); /* too small */
  g_assert_cmphex (value, ==, 0xff);
  g_assert_cmpuint (p.n_reads, ==, 0);
  g_assert_true (vmm_bus_read (bus, 25, 1, &value));
  g_assert_cmphex (value, ==, 0x22);
  g_assert_cmpuint (p.size, ==, 4);
  g_assert_cmpuint (p.offset, ==, 0);
  g_assert_true (vmm_bus_write (bus, 24, 1, 0));
  g_assert_cmpuint (widen.n_unknown, ==, 1);

  p.n_reads = 0;
  g_assert_true (vmm_bus_read (bus, G_MAXUINT64 - 6, 4, &value)); /* 1 + 2 + 1 */
  g_assert_cmphex (value, ==, 0x55443322);
  g_assert_cmpuint (p.n_reads, ==, 3);
  g_assert_true (vmm_bus_read (bus, G_MAXUINT64 - 1, 4, &value)); /* over the end of the world */
  g_assert_cmphex (value, ==, 0xffffffff);

  p.result = VMM_IO_UNKNOWN;
  g_assert_true (vmm_bus_read (bus, 0, 1, &value));
  g_assert_cmphex (value, ==, 0x11);
  g_assert_cmpuint (byte.n_unknown, ==, 3);
  vmm_bus_free (bus);
}

/* A handler that unmaps its own region and maps another: the bus holds no lock. */
typedef struct
{
  VmmBus *bus;
  VmmRegion region, other;
  GMutex lock;
} Mover;

static VmmIoResult
mover_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Mover *m = opaque;

  g_assert_false (g_mutex_trylock (&m->lock));
  vmm_bus_unmap (&m->region);
  g_assert_true (vmm_bus_map (m->bus, value, &m->region, NULL));
  return VMM_IO_OK;
}

static const VmmRegionOps mover_ops = {
  .name = "mover",
  .min_size = 1,
  .max_size = 4,
  .read = probe_read,
  .write = mover_write,
};

static void
test_handler_maps (void)
{
  Mover m = { .bus = vmm_bus_new ("test", 0xffff) };

  g_mutex_init (&m.lock);
  vmm_region_init (&m.region, &mover_ops, &m, &m.lock, 4);
  g_assert_true (vmm_bus_map (m.bus, 0x10, &m.region, NULL));
  g_assert_true (vmm_bus_write (m.bus, 0x10, 2, 0x400));
  g_assert_false (vmm_bus_write (m.bus, 0x10, 2, 0x400));
  g_assert_true (vmm_bus_write (m.bus, 0x400, 2, 0x10));
  g_assert_true (g_mutex_trylock (&m.lock));
  g_mutex_unlock (&m.lock);
  vmm_bus_unmap (&m.region);
  vmm_region_drain (&m.region);
  vmm_bus_free (m.bus);
  g_mutex_clear (&m.lock);
}

/* unmap and drain while another thread is inside the handler */
typedef struct
{
  VmmBus *bus;
  GMutex lock;
  GCond cond;
  gboolean inside, release, left;
} Slow;

static VmmIoResult
slow_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Slow *s = opaque;

  g_mutex_lock (&s->lock);
  s->inside = TRUE;
  g_cond_broadcast (&s->cond);
  while (!s->release)
    g_cond_wait (&s->cond, &s->lock);
  s->left = TRUE;
  g_mutex_unlock (&s->lock);
  return VMM_IO_OK;
}

static const VmmRegionOps slow_ops = {
  .name = "slow",
  .min_size = 1,
  .max_size = 4,
  .read = probe_read,
  .write = slow_write,
};

static gpointer
slow_thread (gpointer data)
{
  Slow *s = data;

  g_assert_true (vmm_bus_write (s->bus, 0, 1, 1));
  return NULL;
}

static gpointer
release_thread (gpointer data)
{
  Slow *s = data;

  g_mutex_lock (&s->lock);
  s->release = TRUE;
  g_cond_broadcast (&s->cond);
  g_mutex_unlock (&s->lock);
  return NULL;
}

static void
test_drain (void)
{
  Slow s = { .bus = vmm_bus_new ("test", 0xffff) };
  VmmRegion region;
  GThread *in, *out;

  g_mutex_init (&s.lock);
  g_cond_init (&s.cond);
  vmm_region_init (&region, &slow_ops, &s, NULL, 4);
  g_assert_true (vmm_bus_map (s.bus, 0, &region, NULL));
  in = g_thread_new ("in", slow_thread, &s);
  g_mutex_lock (&s.lock);
  while (!s.inside)
    g_cond_wait (&s.cond, &s.lock);
  g_mutex_unlock (&s.lock);
  vmm_bus_unmap (&region);
  out = g_thread_new ("out", release_thread, &s);
  vmm_region_drain (&region);
  g_assert_true (s.left);
  g_assert_cmpint (region.in_flight, ==, 0);
  g_thread_join (in);
  g_thread_join (out);
  vmm_bus_free (s.bus);
  g_cond_clear (&s.cond);
  g_mutex_clear (&s.lock);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmm/bus/map", test_map);
  g_test_add_func ("/vmm/bus/sizes", test_sizes);
  g_test_add_func ("/vmm/bus/handler-maps", test_handler_maps);
  g_test_add_func ("/vmm/bus/drain", test_drain);
  return g_test_run ();
}
