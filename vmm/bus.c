/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Dispatch of port and memory accesses.
 *
 * The map is a sorted array under a reader-writer lock. A dispatch takes the lock for reading only
 * to find the region and to count itself in region->in_flight; the handler then runs without it, so
 * it may map and unmap. in_flight keeps a region alive: vmm_region_drain waits on it as a futex. */
#include "vmm/bus.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/error.h"

/* Set in in_flight while somebody waits in vmm_region_drain. */
#define DRAIN_WAITER (1 << 30)

struct _VmmBus
{
  char *name;
  guint64 limit;
  GRWLock lock;
  GPtrArray *regions; /* VmmRegion, sorted by base */
  guint hint;         /* atomic: index of the last hit */
  guint64 n_unclaimed;
};

static void
count (guint64 *counter)
{
  __atomic_fetch_add (counter, 1, __ATOMIC_RELAXED);
}

void
vmm_region_init (
    VmmRegion *region, const VmmRegionOps *ops, gpointer opaque, GMutex *lock, guint64 size)
{
  *region = (VmmRegion){ .ops = ops, .opaque = opaque, .lock = lock, .size = size };
}

void
vmm_region_drain (VmmRegion *region)
{
  for (;;)
    {
      gint now = __atomic_load_n (&region->in_flight, __ATOMIC_ACQUIRE);

      if ((now & ~DRAIN_WAITER) == 0)
        {
          __atomic_fetch_and (&region->in_flight, ~DRAIN_WAITER, __ATOMIC_RELAXED);
          return;
        }
      if ((now & DRAIN_WAITER) == 0 &&
          !__atomic_compare_exchange_n (&region->in_flight, &now, now | DRAIN_WAITER, FALSE,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
      syscall (SYS_futex, &region->in_flight, FUTEX_WAIT_PRIVATE, now | DRAIN_WAITER, NULL, NULL,
               0);
    }
}

VmmBus *
vmm_bus_new (const char *name, guint64 limit)
{
  VmmBus *bus = g_new0 (VmmBus, 1);

  bus->name = g_strdup (name);
  bus->limit = limit;
  g_rw_lock_init (&bus->lock);
  bus->regions = g_ptr_array_new ();
  return bus;
}

void
vmm_bus_free (VmmBus *bus)
{
  if (bus == NULL)
    return;
  for (guint i = 0; i < bus->regions->len; i++)
    ((VmmRegion *)g_ptr_array_index (bus->regions, i))->bus = NULL;
  g_ptr_array_unref (bus->regions);
  g_rw_lock_clear (&bus->lock);
  g_free (bus->name);
  g_free (bus);
}

/* Index of the first region that ends past address; len when there is none. */
static guint
lower_bound (VmmBus *bus, guint64 address)
{
  guint low = 0, high = bus->regions->len;

  while (low < high)
    {
      guint mid = low + (high - low) / 2;
      VmmRegion *region = g_ptr_array_index (bus->regions, mid);

      if (region->base + (region->size - 1) < address)
        low = mid + 1;
      else
        high = mid;
    }
  return low;
}

gboolean
vmm_bus_map (VmmBus *bus, guint64 base, VmmRegion *region, GError **error)
{
  VmmRegion *other = NULL;
  guint at;

  if (region->size == 0 || base > bus->limit || region->size - 1 > bus->limit - base)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "Cannot map “%s” at 0x%" G_GINT64_MODIFIER "x: it does not fit on the %s bus",
                   region->ops->name, base, bus->name);
      return FALSE;
    }
  g_rw_lock_writer_lock (&bus->lock);
  at = lower_bound (bus, base);
  if (region->bus != NULL)
    other = region;
  else if (at < bus->regions->len)
    {
      other = g_ptr_array_index (bus->regions, at);
      if (other->base > base + (region->size - 1))
        other = NULL;
    }
  if (other == NULL)
    {
      region->base = base;
      region->bus = bus;
      g_ptr_array_insert (bus->regions, (gint)at, region);
    }
  else
    g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                 "Cannot map “%s” at 0x%" G_GINT64_MODIFIER "x on the %s bus: “%s” is already "
                 "mapped at 0x%" G_GINT64_MODIFIER "x",
                 region->ops->name, base, bus->name, other->ops->name, other->base);
  g_rw_lock_writer_unlock (&bus->lock);
  return other == NULL;
}

void
vmm_bus_unmap (VmmRegion *region)
{
  VmmBus *bus = region->bus;

  if (bus == NULL)
    return;
  g_rw_lock_writer_lock (&bus->lock);
  g_ptr_array_remove (bus->regions, region);
  region->bus = NULL;
  g_rw_lock_writer_unlock (&bus->lock);
}

/* The region that holds address, counted in flight; release with put_region. */
static inline VmmRegion *
get_region (VmmBus *bus, guint64 address, guint64 *ret_offset)
{
  VmmRegion *region = NULL;
  guint i;

  g_rw_lock_reader_lock (&bus->lock);
  i = __atomic_load_n (&bus->hint, __ATOMIC_RELAXED);
  if (i < bus->regions->len)
    region = g_ptr_array_index (bus->regions, i);
  if (region == NULL || address - region->base >= region->size)
    {
      i = lower_bound (bus, address);
      region = i < bus->regions->len ? g_ptr_array_index (bus->regions, i) : NULL;
      if (region != NULL && address < region->base)
        region = NULL;
      if (region != NULL)
        __atomic_store_n (&bus->hint, i, __ATOMIC_RELAXED);
    }
  if (region != NULL)
    {
      *ret_offset = address - region->base;
      __atomic_fetch_add (&region->in_flight, 1, __ATOMIC_ACQUIRE);
    }
  g_rw_lock_reader_unlock (&bus->lock);
  return region;
}

static inline void
put_region (VmmRegion *region)
{
  /* The region may be freed as soon as the count is zero: only its address is used after that. */
  gint *word = &region->in_flight;

  if (__atomic_fetch_sub (word, 1, __ATOMIC_RELEASE) == (DRAIN_WAITER | 1))
    syscall (SYS_futex, word, FUTEX_WAKE_PRIVATE, G_MAXINT, NULL, NULL, 0);
}

static inline guint64
size_mask (guint size)
{
  return size >= 8 ? G_MAXUINT64 : (G_GUINT64_CONSTANT (1) << (size * 8)) - 1;
}

static inline guint64
call_read (VmmRegion *region, guint64 offset, guint size)
{
  gboolean lock = region->lock != NULL && (region->ops->flags & VMM_REGION_LOCKLESS) == 0;
  guint64 value = 0;
  VmmIoResult result;

  if (lock)
    g_mutex_lock (region->lock);
  result = region->ops->read (region->opaque, offset, size, &value);
  if (lock)
    g_mutex_unlock (region->lock);
  if (G_UNLIKELY (result == VMM_IO_UNKNOWN))
    count (&region->n_unknown);
  return value & size_mask (size);
}

static inline void
call_write (VmmRegion *region, guint64 offset, guint size, guint64 value)
{
  gboolean lock = region->lock != NULL && (region->ops->flags & VMM_REGION_LOCKLESS) == 0;
  VmmIoResult result;

  if (lock)
    g_mutex_lock (region->lock);
  result = region->ops->write (region->opaque, offset, size, value & size_mask (size));
  if (lock)
    g_mutex_unlock (region->lock);
  if (G_UNLIKELY (result == VMM_IO_UNKNOWN))
    count (&region->n_unknown);
}

static inline gboolean
fits (VmmRegion *region, guint64 offset, guint size)
{
  const VmmRegionOps *ops = region->ops;

  return size >= ops->min_size && size <= ops->max_size && size <= region->size - offset &&
         ((offset & (size - 1)) == 0 || (ops->flags & VMM_REGION_UNALIGNED) != 0);
}

/* The largest access the region takes at offset that is no larger than size; 0 when none. */
static guint
piece (VmmRegion *region, guint64 offset, guint size)
{
  for (guint n = 8; n >= 1; n /= 2)
    if (n <= size && fits (region, offset, n))
      return n;
  return 0;
}

/* Can [offset, offset+size) be done in pieces? Decided before the first piece has effects. */
static gboolean
can_split (VmmRegion *region, guint64 offset, guint size)
{
  if ((region->ops->flags & VMM_REGION_SPLIT) == 0 || size > region->size - offset)
    return FALSE;
  while (size > 0)
    {
      guint n = piece (region, offset, size);

      if (n == 0)
        return FALSE;
      offset += n;
      size -= n;
    }
  return TRUE;
}

static guint64
read_odd (VmmRegion *region, guint64 offset, guint size)
{
  guint min = region->ops->min_size;
  guint64 value = 0;

  if (can_split (region, offset, size))
    {
      for (guint done = 0; done < size;)
        {
          guint n = piece (region, offset + done, size - done);

          value |= call_read (region, offset + done, n) << (done * 8);
          done += n;
        }
      return value;
    }
  if ((region->ops->flags & VMM_REGION_WIDEN) != 0 && size < min)
    {
      guint64 start = offset & ~(guint64)(min - 1);

      if (offset + size <= start + min && fits (region, start, min))
        return (call_read (region, start, min) >> ((offset - start) * 8)) & size_mask (size);
    }
  count (&region->n_unknown);
  return size_mask (size);
}

static void
write_odd (VmmRegion *region, guint64 offset, guint size, guint64 value)
{
  if (!can_split (region, offset, size))
    {
      count (&region->n_unknown);
      return;
    }
  for (guint done = 0; done < size;)
    {
      guint n = piece (region, offset + done, size - done);

      call_write (region, offset + done, n, value >> (done * 8));
      done += n;
    }
}

gboolean
vmm_bus_read (VmmBus *bus, guint64 address, guint size, guint64 *ret_value)
{
  guint64 offset = 0;
  VmmRegion *region = get_region (bus, address, &offset);

  if (G_UNLIKELY (region == NULL))
    {
      count (&bus->n_unclaimed);
      *ret_value = size_mask (size);
      return FALSE;
    }
  if (G_LIKELY (fits (region, offset, size)))
    *ret_value = call_read (region, offset, size);
  else
    *ret_value = read_odd (region, offset, size);
  put_region (region);
  return TRUE;
}

gboolean
vmm_bus_write (VmmBus *bus, guint64 address, guint size, guint64 value)
{
  guint64 offset = 0;
  VmmRegion *region = get_region (bus, address, &offset);

  if (G_UNLIKELY (region == NULL))
    {
      count (&bus->n_unclaimed);
      return FALSE;
    }
  if (G_LIKELY (fits (region, offset, size)))
    call_write (region, offset, size, value);
  else
    write_odd (region, offset, size, value);
  put_region (region);
  return TRUE;
}

guint64
vmm_bus_get_n_unclaimed (VmmBus *bus)
{
  return __atomic_load_n (&bus->n_unclaimed, __ATOMIC_RELAXED);
}

void
vmm_bus_foreach (VmmBus *bus,
                 void (*func) (VmmRegion *region, gpointer user_data),
                 gpointer user_data)
{
  g_rw_lock_reader_lock (&bus->lock);
  for (guint i = 0; i < bus->regions->len; i++)
    func (g_ptr_array_index (bus->regions, i), user_data);
  g_rw_lock_reader_unlock (&bus->lock);
}
