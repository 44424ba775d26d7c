/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The map of guest physical memory.
 *
 * Locks: map_lock serializes map, unmap and listeners; table_lock guards the sorted table itself and
 * is held for reading while bytes are copied, so an unmap returns only when no copy uses the
 * mapping. map_lock is taken first. Pinned ranges keep their block by reference instead. */
#include "vmm/memory-private.h"

#include <errno.h>
#include <string.h>

#include "vmm/error.h"

struct _VmmMapping
{
  VmmRamBlock *block;
  guint64 gpa;
  guint64 length;
  guint64 offset;
  VmmMapFlags flags;
  guint slot;
  gboolean logged; /* the listeners log dirty pages for it */
};

/* A block that is mapped or pinned here. */
typedef struct
{
  VmmRamBlock *block;
  guint n_mappings; /* table_lock */
  gint n_pins;      /* atomic */
} BlockUse;

typedef struct
{
  const VmmMemoryListener *ops;
  gpointer user_data;
} Listener;

struct _VmmGuestMemory
{
  GMutex map_lock;
  GArray *listeners; /* Listener */
  gboolean logging;
  GArray *slots; /* guint8: 1 = taken */

  GRWLock table_lock;
  GPtrArray *table;  /* VmmMapping, sorted by gpa */
  GPtrArray *blocks; /* BlockUse */
  guint hint;        /* atomic: index of the last hit */
};

VmmGuestMemory *
vmm_guest_memory_new (void)
{
  VmmGuestMemory *memory = g_new0 (VmmGuestMemory, 1);

  g_mutex_init (&memory->map_lock);
  g_rw_lock_init (&memory->table_lock);
  memory->listeners = g_array_new (FALSE, TRUE, sizeof (Listener));
  memory->slots = g_array_new (FALSE, TRUE, sizeof (guint8));
  memory->table = g_ptr_array_new ();
  memory->blocks = g_ptr_array_new ();
  return memory;
}

void
vmm_guest_memory_free (VmmGuestMemory *memory)
{
  if (memory == NULL)
    return;
  while (memory->table->len > 0)
    vmm_guest_memory_unmap (memory, g_ptr_array_index (memory->table, memory->table->len - 1));
  for (guint i = 0; i < memory->blocks->len; i++)
    {
      BlockUse *use = g_ptr_array_index (memory->blocks, i);

      vmm_ram_block_unref (use->block);
      g_free (use);
    }
  g_ptr_array_unref (memory->blocks);
  g_ptr_array_unref (memory->table);
  g_array_unref (memory->slots);
  g_array_unref (memory->listeners);
  g_rw_lock_clear (&memory->table_lock);
  g_mutex_clear (&memory->map_lock);
  g_free (memory);
}

/* Index of the first mapping that ends past gpa; table->len when there is none. */
static guint
lower_bound (VmmGuestMemory *memory, guint64 gpa)
{
  guint low = 0, high = memory->table->len;

  while (low < high)
    {
      guint mid = low + (high - low) / 2;
      VmmMapping *mapping = g_ptr_array_index (memory->table, mid);

      if (mapping->gpa + mapping->length - 1 < gpa)
        low = mid + 1;
      else
        high = mid;
    }
  return low;
}

/* table_lock is held. The mapping that holds gpa, or NULL; what is VMM_RAM_IO is never found. */
static VmmMapping *
find_locked (VmmGuestMemory *memory, guint64 gpa)
{
  guint i = __atomic_load_n (&memory->hint, __ATOMIC_RELAXED);
  VmmMapping *mapping;

  if (i < memory->table->len)
    {
      mapping = g_ptr_array_index (memory->table, i);
      if (gpa - mapping->gpa < mapping->length && (mapping->block->flags & VMM_RAM_IO) == 0)
        return mapping;
    }
  i = lower_bound (memory, gpa);
  if (i >= memory->table->len)
    return NULL;
  mapping = g_ptr_array_index (memory->table, i);
  if (gpa < mapping->gpa || (mapping->block->flags & VMM_RAM_IO) != 0)
    return NULL;
  __atomic_store_n (&memory->hint, i, __ATOMIC_RELAXED);
  return mapping;
}

static BlockUse *
find_use_locked (VmmGuestMemory *memory, VmmRamBlock *block)
{
  for (guint i = 0; i < memory->blocks->len; i++)
    {
      BlockUse *use = g_ptr_array_index (memory->blocks, i);

      if (use->block == block)
        return use;
    }
  return NULL;
}

/* table_lock is held for writing. Returns the block to unref after the lock, or NULL. */
static VmmRamBlock *
drop_use_locked (VmmGuestMemory *memory, BlockUse *use)
{
  VmmRamBlock *block = use->block;

  if (use->n_mappings > 0 || g_atomic_int_get (&use->n_pins) > 0)
    return NULL;
  g_ptr_array_remove_fast (memory->blocks, use);
  g_free (use);
  return block;
}

static void
start_log (VmmGuestMemory *memory, VmmMapping *mapping)
{
  if (mapping->logged)
    return;
  mapping->logged = TRUE;
  vmm_ram_block_dirty_on (mapping->block);
}

static void
stop_log (VmmMapping *mapping)
{
  if (!mapping->logged)
    return;
  mapping->logged = FALSE;
  vmm_ram_block_dirty_off (mapping->block);
}

gboolean
vmm_guest_memory_add_listener (VmmGuestMemory *memory,
                               const VmmMemoryListener *listener,
                               gpointer user_data,
                               GError **error)
{
  Listener entry = { listener, user_data };

  g_mutex_lock (&memory->map_lock);
  for (guint i = 0; i < memory->table->len; i++)
    {
      VmmMapping *mapping = g_ptr_array_index (memory->table, i);

      if (listener->map (user_data, mapping, error))
        {
          if (mapping->logged && listener->set_log_dirty != NULL)
            listener->set_log_dirty (user_data, mapping, TRUE);
          continue;
        }
      while (i-- > 0)
        listener->unmap (user_data, g_ptr_array_index (memory->table, i));
      g_mutex_unlock (&memory->map_lock);
      return FALSE;
    }
  g_array_append_val (memory->listeners, entry);
  g_mutex_unlock (&memory->map_lock);
  return TRUE;
}

void
vmm_guest_memory_remove_listener (VmmGuestMemory *memory, gpointer user_data)
{
  g_mutex_lock (&memory->map_lock);
  for (guint i = 0; i < memory->listeners->len; i++)
    {
      Listener listener = g_array_index (memory->listeners, Listener, i);

      if (listener.user_data != user_data)
        continue;
      for (guint j = 0; j < memory->table->len; j++)
        listener.ops->unmap (user_data, g_ptr_array_index (memory->table, j));
      g_array_remove_index (memory->listeners, i);
      break;
    }
  g_mutex_unlock (&memory->map_lock);
}

static guint
take_slot (VmmGuestMemory *memory)
{
  const guint8 taken = 1;

  for (guint i = 0; i < memory->slots->len; i++)
    if (g_array_index (memory->slots, guint8, i) == 0)
      {
        g_array_index (memory->slots, guint8, i) = 1;
        return i;
      }
  g_array_append_val (memory->slots, taken);
  return memory->slots->len - 1;
}

static gboolean
check_map (VmmGuestMemory *memory,
           VmmRamBlock *block,
           guint64 offset,
           guint64 gpa,
           guint64 length,
           GError **error)
{
  guint at;

  if (length == 0 || ((offset | gpa | length) & VMM_PAGE_MASK) != 0 || length > block->size ||
      offset > block->size - length || gpa + length < gpa)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "Cannot map memory “%s” at 0x%" G_GINT64_MODIFIER "x: the range is not page "
                   "aligned or not inside the block",
                   block->name, gpa);
      return FALSE;
    }
  at = lower_bound (memory, gpa);
  if (at < memory->table->len)
    {
      VmmMapping *other = g_ptr_array_index (memory->table, at);

      if (other->gpa < gpa + length)
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                       "Cannot map memory “%s” at 0x%" G_GINT64_MODIFIER
                       "x: “%s” is already mapped at 0x%" G_GINT64_MODIFIER "x",
                       block->name, gpa, other->block->name, other->gpa);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
tell_map (VmmGuestMemory *memory, VmmMapping *mapping, GError **error)
{
  for (guint i = 0; i < memory->listeners->len; i++)
    {
      Listener *listener = &g_array_index (memory->listeners, Listener, i);

      if (listener->ops->map (listener->user_data, mapping, error))
        {
          if (mapping->logged && listener->ops->set_log_dirty != NULL)
            listener->ops->set_log_dirty (listener->user_data, mapping, TRUE);
          continue;
        }
      while (i-- > 0)
        {
          listener = &g_array_index (memory->listeners, Listener, i);
          listener->ops->unmap (listener->user_data, mapping);
        }
      return FALSE;
    }
  return TRUE;
}

VmmMapping *
vmm_guest_memory_map (VmmGuestMemory *memory,
                      VmmRamBlock *block,
                      guint64 offset,
                      VmmGpa gpa,
                      guint64 length,
                      VmmMapFlags flags,
                      GError **error)
{
  VmmMapping *mapping;
  BlockUse *use;

  g_mutex_lock (&memory->map_lock);
  if (!check_map (memory, block, offset, gpa.value, length, error))
    {
      g_mutex_unlock (&memory->map_lock);
      return NULL;
    }
  mapping = g_new0 (VmmMapping, 1);
  mapping->block = block;
  mapping->gpa = gpa.value;
  mapping->length = length;
  mapping->offset = offset;
  mapping->flags = flags;
  mapping->slot = take_slot (memory);
  if ((flags & VMM_MAP_LOG_DIRTY) != 0 ||
      (memory->logging && (flags & VMM_MAP_READONLY) == 0 && (block->flags & VMM_RAM_IO) == 0))
    start_log (memory, mapping);
  if (!tell_map (memory, mapping, error))
    {
      stop_log (mapping);
      g_array_index (memory->slots, guint8, mapping->slot) = 0;
      g_free (mapping);
      g_mutex_unlock (&memory->map_lock);
      return NULL;
    }

  g_rw_lock_writer_lock (&memory->table_lock);
  g_ptr_array_insert (memory->table, (gint)lower_bound (memory, mapping->gpa), mapping);
  use = find_use_locked (memory, block);
  if (use == NULL)
    {
      use = g_new0 (BlockUse, 1);
      use->block = vmm_ram_block_ref (block);
      g_ptr_array_add (memory->blocks, use);
    }
  use->n_mappings++;
  g_rw_lock_writer_unlock (&memory->table_lock);
  g_mutex_unlock (&memory->map_lock);
  return mapping;
}

void
vmm_guest_memory_unmap (VmmGuestMemory *memory, VmmMapping *mapping)
{
  VmmRamBlock *unused;
  BlockUse *use;

  if (mapping == NULL)
    return;
  g_mutex_lock (&memory->map_lock);
  for (guint i = 0; i < memory->listeners->len; i++)
    {
      Listener *listener = &g_array_index (memory->listeners, Listener, i);

      /* The last dirty pages would be lost with the slot. */
      if (mapping->logged && listener->ops->sync_dirty != NULL)
        (void)listener->ops->sync_dirty (listener->user_data, mapping);
      listener->ops->unmap (listener->user_data, mapping);
    }
  g_rw_lock_writer_lock (&memory->table_lock);
  g_ptr_array_remove (memory->table, mapping);
  use = find_use_locked (memory, mapping->block);
  use->n_mappings--;
  stop_log (mapping);
  unused = drop_use_locked (memory, use);
  g_rw_lock_writer_unlock (&memory->table_lock);
  g_array_index (memory->slots, guint8, mapping->slot) = 0;
  g_mutex_unlock (&memory->map_lock);
  vmm_ram_block_unref (unused);
  g_free (mapping);
}

VmmGpa
vmm_mapping_get_gpa (VmmMapping *mapping)
{
  return vmm_gpa (mapping->gpa);
}

guint64
vmm_mapping_get_length (VmmMapping *mapping)
{
  return mapping->length;
}

guint64
vmm_mapping_get_offset (VmmMapping *mapping)
{
  return mapping->offset;
}

VmmRamBlock *
vmm_mapping_get_block (VmmMapping *mapping)
{
  return mapping->block;
}

VmmMapFlags
vmm_mapping_get_flags (VmmMapping *mapping)
{
  return mapping->flags;
}

guint
vmm_mapping_get_slot (VmmMapping *mapping)
{
  return mapping->slot;
}

void
vmm_guest_memory_foreach (VmmGuestMemory *memory,
                          void (*func) (VmmMapping *mapping, gpointer user_data),
                          gpointer user_data)
{
  g_mutex_lock (&memory->map_lock);
  for (guint i = 0; i < memory->table->len; i++)
    func (g_ptr_array_index (memory->table, i), user_data);
  g_mutex_unlock (&memory->map_lock);
}

void
vmm_guest_memory_foreach_block (VmmGuestMemory *memory,
                                void (*func) (VmmRamBlock *block, gpointer user_data),
                                gpointer user_data)
{
  g_mutex_lock (&memory->map_lock);
  g_rw_lock_reader_lock (&memory->table_lock);
  for (guint i = 0; i < memory->blocks->len; i++)
    func (((BlockUse *)g_ptr_array_index (memory->blocks, i))->block, user_data);
  g_rw_lock_reader_unlock (&memory->table_lock);
  g_mutex_unlock (&memory->map_lock);
}

/* Bytes from gpa on that lie in mapping, at most length. */
static guint64
span (VmmMapping *mapping, guint64 gpa, guint64 length)
{
  return MIN (length, mapping->length - (gpa - mapping->gpa));
}

static guint8 *
host_at (VmmMapping *mapping, guint64 gpa)
{
  return mapping->block->data + mapping->offset + (gpa - mapping->gpa);
}

static void
mark (VmmMapping *mapping, guint64 gpa, guint64 length)
{
  vmm_ram_block_mark_dirty (mapping->block, mapping->offset + (gpa - mapping->gpa), length);
}

gboolean
vmm_guest_memory_read (VmmGuestMemory *memory, VmmGpa gpa, void *buffer, gsize length)
{
  guint8 *out = buffer;
  guint64 at = gpa.value;
  gboolean ok = TRUE;

  g_rw_lock_reader_lock (&memory->table_lock);
  while (length > 0)
    {
      VmmMapping *mapping = find_locked (memory, at);
      guint64 n;

      if (mapping == NULL)
        {
          ok = FALSE;
          break;
        }
      n = span (mapping, at, length);
      memcpy (out, host_at (mapping, at), n);
      out += n;
      at += n;
      length -= n;
    }
  g_rw_lock_reader_unlock (&memory->table_lock);
  return ok;
}

gboolean
vmm_guest_memory_write (VmmGuestMemory *memory, VmmGpa gpa, const void *buffer, gsize length)
{
  const guint8 *in = buffer;
  guint64 at = gpa.value;
  gboolean ok = TRUE;

  g_rw_lock_reader_lock (&memory->table_lock);
  while (length > 0)
    {
      VmmMapping *mapping = find_locked (memory, at);
      guint64 n;

      if (mapping == NULL || (mapping->flags & VMM_MAP_READONLY) != 0)
        {
          ok = FALSE;
          break;
        }
      n = span (mapping, at, length);
      memcpy (host_at (mapping, at), in, n);
      mark (mapping, at, n);
      in += n;
      at += n;
      length -= n;
    }
  g_rw_lock_reader_unlock (&memory->table_lock);
  return ok;
}

/* table_lock is held. */
static gboolean
check_locked (VmmGuestMemory *memory, guint64 at, guint64 length, gboolean writable)
{
  while (length > 0)
    {
      VmmMapping *mapping = find_locked (memory, at);
      guint64 n;

      if (mapping == NULL || (writable && (mapping->flags & VMM_MAP_READONLY) != 0))
        return FALSE;
      n = span (mapping, at, length);
      at += n;
      length -= n;
    }
  return TRUE;
}

gboolean
vmm_guest_memory_check (VmmGuestMemory *memory, VmmGpa gpa, guint64 length, gboolean writable)
{
  gboolean ok;

  g_rw_lock_reader_lock (&memory->table_lock);
  ok = check_locked (memory, gpa.value, length, writable);
  g_rw_lock_reader_unlock (&memory->table_lock);
  return ok;
}

gboolean
vmm_guest_memory_fill (VmmGuestMemory *memory, VmmGpa gpa, guint8 byte, guint64 length)
{
  guint64 at = gpa.value;
  gboolean ok;

  g_rw_lock_reader_lock (&memory->table_lock);
  ok = check_locked (memory, at, length, TRUE);
  while (ok && length > 0)
    {
      VmmMapping *mapping = find_locked (memory, at);
      guint64 n = span (mapping, at, length);

      memset (host_at (mapping, at), byte, n);
      mark (mapping, at, n);
      at += n;
      length -= n;
    }
  g_rw_lock_reader_unlock (&memory->table_lock);
  return ok;
}

gboolean
vmm_guest_memory_load_le16 (VmmGuestMemory *memory, VmmGpa gpa, guint16 *ret_value)
{
  VmmMapping *mapping;

  *ret_value = 0;
  if ((gpa.value & 1) != 0)
    return FALSE;
  g_rw_lock_reader_lock (&memory->table_lock);
  mapping = find_locked (memory, gpa.value);
  if (mapping != NULL)
    *ret_value = GUINT16_FROM_LE (
        __atomic_load_n ((guint16 *)(gpointer)host_at (mapping, gpa.value), __ATOMIC_ACQUIRE));
  g_rw_lock_reader_unlock (&memory->table_lock);
  return mapping != NULL;
}

gboolean
vmm_guest_memory_store_le16 (VmmGuestMemory *memory, VmmGpa gpa, guint16 value)
{
  VmmMapping *mapping;
  gboolean ok;

  if ((gpa.value & 1) != 0)
    return FALSE;
  g_rw_lock_reader_lock (&memory->table_lock);
  mapping = find_locked (memory, gpa.value);
  ok = mapping != NULL && (mapping->flags & VMM_MAP_READONLY) == 0;
  if (ok)
    {
      __atomic_store_n ((guint16 *)(gpointer)host_at (mapping, gpa.value), GUINT16_TO_LE (value),
                        __ATOMIC_RELEASE);
      mark (mapping, gpa.value, sizeof value);
    }
  g_rw_lock_reader_unlock (&memory->table_lock);
  return ok;
}

int
vmm_guest_memory_pin (VmmGuestMemory *memory,
                      VmmGpa gpa,
                      guint64 length,
                      gboolean for_write,
                      struct iovec *iov,
                      guint max)
{
  guint64 at = gpa.value;
  guint n = 0;
  int r = 0;

  g_rw_lock_reader_lock (&memory->table_lock);
  if (!check_locked (memory, at, length, for_write))
    r = -EFAULT;
  while (r == 0 && length > 0)
    {
      VmmMapping *mapping = find_locked (memory, at);
      guint64 step = span (mapping, at, length);

      if (n == max)
        {
          r = -E2BIG;
          break;
        }
      iov[n].iov_base = host_at (mapping, at);
      iov[n].iov_len = step;
      g_atomic_int_inc (&find_use_locked (memory, mapping->block)->n_pins);
      n++;
      at += step;
      length -= step;
    }
  g_rw_lock_reader_unlock (&memory->table_lock);
  if (r < 0)
    {
      vmm_guest_memory_unpin (memory, iov, n, FALSE);
      return r;
    }
  return (int)n;
}

void
vmm_guest_memory_unpin (VmmGuestMemory *memory,
                        const struct iovec *iov,
                        guint n_iov,
                        gboolean wrote)
{
  gboolean drop = FALSE;

  if (n_iov == 0)
    return;
  g_rw_lock_reader_lock (&memory->table_lock);
  for (guint i = 0; i < n_iov; i++)
    for (guint j = 0; j < memory->blocks->len; j++)
      {
        BlockUse *use = g_ptr_array_index (memory->blocks, j);
        guintptr into = (guintptr)iov[i].iov_base - (guintptr)use->block->data;

        if (into >= use->block->size)
          continue;
        if (wrote)
          vmm_ram_block_mark_dirty (use->block, into, iov[i].iov_len);
        if (g_atomic_int_dec_and_test (&use->n_pins) && use->n_mappings == 0)
          drop = TRUE;
        break;
      }
  g_rw_lock_reader_unlock (&memory->table_lock);
  if (!drop)
    return;

  /* Rare: the block was unmapped while pinned. */
  g_rw_lock_writer_lock (&memory->table_lock);
  for (guint j = memory->blocks->len; j-- > 0;)
    vmm_ram_block_unref (drop_use_locked (memory, g_ptr_array_index (memory->blocks, j)));
  g_rw_lock_writer_unlock (&memory->table_lock);
}

gboolean
vmm_guest_memory_start_dirty_log (VmmGuestMemory *memory, GError **error)
{
  g_mutex_lock (&memory->map_lock);
  if (memory->logging)
    {
      g_mutex_unlock (&memory->map_lock);
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "The machine's memory is already being tracked: another snapshot or migration "
                   "is under way");
      return FALSE;
    }
  memory->logging = TRUE;
  for (guint i = 0; i < memory->table->len; i++)
    {
      VmmMapping *mapping = g_ptr_array_index (memory->table, i);

      if (mapping->logged || (mapping->flags & VMM_MAP_READONLY) != 0 ||
          (mapping->block->flags & VMM_RAM_IO) != 0)
        continue;
      start_log (memory, mapping);
      for (guint j = 0; j < memory->listeners->len; j++)
        {
          Listener *listener = &g_array_index (memory->listeners, Listener, j);

          if (listener->ops->set_log_dirty != NULL)
            listener->ops->set_log_dirty (listener->user_data, mapping, TRUE);
        }
    }
  g_mutex_unlock (&memory->map_lock);
  return TRUE;
}

void
vmm_guest_memory_stop_dirty_log (VmmGuestMemory *memory)
{
  g_mutex_lock (&memory->map_lock);
  for (guint i = 0; memory->logging && i < memory->table->len; i++)
    {
      VmmMapping *mapping = g_ptr_array_index (memory->table, i);

      if (!mapping->logged || (mapping->flags & VMM_MAP_LOG_DIRTY) != 0)
        continue;
      for (guint j = 0; j < memory->listeners->len; j++)
        {
          Listener *listener = &g_array_index (memory->listeners, Listener, j);

          if (listener->ops->set_log_dirty != NULL)
            listener->ops->set_log_dirty (listener->user_data, mapping, FALSE);
        }
      stop_log (mapping);
    }
  memory->logging = FALSE;
  g_mutex_unlock (&memory->map_lock);
}

gboolean
vmm_guest_memory_collect_dirty (
    VmmGuestMemory *memory, VmmRamBlock *block, guint64 *bitmap, gsize n_words, GError **error)
{
  int r = 0;

  if (n_words != block->n_dirty)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The dirty bitmap of memory “%s” has %" G_GSIZE_FORMAT
                   " words, not %" G_GSIZE_FORMAT,
                   block->name, block->n_dirty, n_words);
      return FALSE;
    }
  g_mutex_lock (&memory->map_lock);
  for (guint i = 0; r >= 0 && i < memory->table->len; i++)
    {
      VmmMapping *mapping = g_ptr_array_index (memory->table, i);

      if (mapping->block != block || !mapping->logged)
        continue;
      for (guint j = 0; r >= 0 && j < memory->listeners->len; j++)
        {
          Listener *listener = &g_array_index (memory->listeners, Listener, j);

          if (listener->ops->sync_dirty != NULL)
            r = listener->ops->sync_dirty (listener->user_data, mapping);
        }
    }
  vmm_ram_block_take_dirty (block, bitmap, n_words);
  g_mutex_unlock (&memory->map_lock);
  if (r == -EOPNOTSUPP)
    {
      g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                           "A network device writes the machine's memory from within the kernel "
                           "(vhost), which no dirty log sees: pause the machine first, or set "
                           "vhost=false for it");
      return FALSE;
    }
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot read the dirty pages of memory “%s”",
                                block->name);
  return TRUE;
}
