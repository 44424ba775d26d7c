/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Guest physical memory: RAM blocks (memfds) and the flat map of where the guest sees them.
 *
 * A VmmRamBlock is a piece of host memory. Mapping it, or part of it, at a guest address makes a
 * memory slot of the hypervisor. The board maps and unmaps (RAM, PAM shadowing, ROM, RAM-backed
 * BARs); devices only read and write. Nothing here ever reaches an MMIO handler, so DMA
 * re-entrancy cannot happen.
 *
 * Owner: VmmMachine. Threads: all functions may be called from any thread; map and unmap are
 * serialized inside. Byte order: none is applied; use the le accessors for guest structures. */
#pragma once
#include <glib.h>
#include <sys/uio.h>

/* A guest physical address. A struct, so that it cannot mix with sizes or host pointers. */
typedef struct
{
  guint64 value;
} VmmGpa;

static inline VmmGpa
vmm_gpa (guint64 value)
{
  return (VmmGpa){ value };
}

typedef struct _VmmGuestMemory VmmGuestMemory;
typedef struct _VmmRamBlock VmmRamBlock;
typedef struct _VmmMapping VmmMapping;

typedef enum
{
  VMM_RAM_NONE = 0,
  VMM_RAM_HUGETLB_2M = 1 << 0, /* MFD_HUGETLB; error when none are free */
  VMM_RAM_THP = 1 << 1,        /* advise transparent huge pages */
  VMM_RAM_DEVICE = 1 << 2,     /* device memory (ROM, video RAM): not counted as guest RAM */
  /* Registers of a host's device: only the guest's processors reach them. Reads, writes and pins of
   * ours refuse them: a device that is asleep or gone would end the process. */
  VMM_RAM_IO = 1 << 3,
} VmmRamFlags;

typedef enum
{
  VMM_MAP_NONE = 0,
  VMM_MAP_READONLY = 1 << 0,  /* guest writes exit as MMIO; device DMA writes fail */
  VMM_MAP_LOG_DIRTY = 1 << 1, /* hypervisor dirty log on */
} VmmMapFlags;

/* size: bytes, multiple of 4096. fd: -1 makes a memfd; otherwise an fd taken over (transfer full).
 * Errors: NO_MEMORY names size and what is free. */
VmmRamBlock *vmm_ram_block_new (const char *name, guint64 size, VmmRamFlags flags, GError **error);
/* A block over memory that the caller mapped, keeps mapped until the last unref, and unmaps then:
 * VMM_RAM_DEVICE and VMM_RAM_IO. data: page aligned; size: bytes, multiple of 4096. */
VmmRamBlock *vmm_ram_block_new_io (const char *name, gpointer data, guint64 size);
VmmRamBlock *vmm_ram_block_ref (VmmRamBlock *block);
void vmm_ram_block_unref (VmmRamBlock *block);
const char *vmm_ram_block_get_name (VmmRamBlock *block);
guint64 vmm_ram_block_get_size (VmmRamBlock *block);
/* -1 for VMM_RAM_THP where the host gives shared memory no huge pages: the block is anonymous. */
int vmm_ram_block_get_fd (VmmRamBlock *block);
VmmRamFlags vmm_ram_block_get_flags (VmmRamBlock *block);
/* The host mapping, for the block's OWNER only (flash contents, video RAM the device made).
 * Guest RAM is reached through vmm_guest_memory_*. */
guint8 *vmm_ram_block_get_data (VmmRamBlock *block);
/* Bytes up to the last one that is not zero, rounded up to 8; pages never touched stay so. For the
 * owner, while nobody writes. */
gsize vmm_ram_block_get_used (VmmRamBlock *block);
/* Makes the range zero and gives its memory back; marks nothing. For the owner. -errno or 0. */
int vmm_ram_block_clear (VmmRamBlock *block, guint64 offset, guint64 length);
/* Marks bytes of a block dirty that its owner wrote through get_data. */
void vmm_ram_block_mark_dirty (VmmRamBlock *block, guint64 offset, guint64 length);

/* Called under the map lock when slots come and go; the hypervisor and vhost follow the map so. */
typedef struct
{
  gboolean (*map) (gpointer user_data, VmmMapping *mapping, GError **error);
  void (*unmap) (gpointer user_data, VmmMapping *mapping);
  void (*set_log_dirty) (gpointer user_data, VmmMapping *mapping, gboolean on);
  /* Merges the hypervisor's dirty bitmap for this mapping into the block's. */
  int (*sync_dirty) (gpointer user_data, VmmMapping *mapping);
} VmmMemoryListener;

VmmGuestMemory *vmm_guest_memory_new (void);
void vmm_guest_memory_free (VmmGuestMemory *memory);
/* The listener is told of all existing mappings first. listener must outlive memory or be removed. */
gboolean vmm_guest_memory_add_listener (VmmGuestMemory *memory,
                                        const VmmMemoryListener *listener,
                                        gpointer user_data,
                                        GError **error);
void vmm_guest_memory_remove_listener (VmmGuestMemory *memory, gpointer user_data);

/* Maps [offset, offset+length) of block at gpa; all multiples of 4096. Errors: BUSY on overlap with
 * another mapping (named). Returns: (transfer none) valid until unmapped. */
VmmMapping *vmm_guest_memory_map (VmmGuestMemory *memory,
                                  VmmRamBlock *block,
                                  guint64 offset,
                                  VmmGpa gpa,
                                  guint64 length,
                                  VmmMapFlags flags,
                                  GError **error);
void vmm_guest_memory_unmap (VmmGuestMemory *memory, VmmMapping *mapping);
VmmGpa vmm_mapping_get_gpa (VmmMapping *mapping);
guint64 vmm_mapping_get_length (VmmMapping *mapping);
guint64 vmm_mapping_get_offset (VmmMapping *mapping);
VmmRamBlock *vmm_mapping_get_block (VmmMapping *mapping);
VmmMapFlags vmm_mapping_get_flags (VmmMapping *mapping);
/* Slot number for the hypervisor: small, unique, reused. */
guint vmm_mapping_get_slot (VmmMapping *mapping);
void vmm_guest_memory_foreach (VmmGuestMemory *memory,
                               void (*func) (VmmMapping *mapping, gpointer user_data),
                               gpointer user_data);

/* Every block that is mapped (or pinned), once. Mapping meanwhile waits. */
void vmm_guest_memory_foreach_block (VmmGuestMemory *memory,
                                     void (*func) (VmmRamBlock *block, gpointer user_data),
                                     gpointer user_data);

/* Copies between guest RAM and a host buffer. FALSE when any byte lies outside RAM (or in a
 * READONLY mapping, for write); nothing is promised about partial effects then. write marks dirty.
 * Must be looked at. */
gboolean vmm_guest_memory_read (VmmGuestMemory *memory, VmmGpa gpa, void *buffer, gsize length)
    G_GNUC_WARN_UNUSED_RESULT;
gboolean vmm_guest_memory_write (VmmGuestMemory *memory,
                                 VmmGpa gpa,
                                 const void *buffer,
                                 gsize length) G_GNUC_WARN_UNUSED_RESULT;
gboolean vmm_guest_memory_fill (VmmGuestMemory *memory, VmmGpa gpa, guint8 byte, guint64 length)
    G_GNUC_WARN_UNUSED_RESULT;
/* Whole range in RAM (and writable when asked)? */
gboolean vmm_guest_memory_check (VmmGuestMemory *memory,
                                 VmmGpa gpa,
                                 guint64 length,
                                 gboolean writable) G_GNUC_WARN_UNUSED_RESULT;
/* Naturally aligned 16-bit index accesses of virtqueues, with acquire and release ordering. */
gboolean vmm_guest_memory_load_le16 (VmmGuestMemory *memory,
                                     VmmGpa gpa,
                                     guint16 *ret_value) G_GNUC_WARN_UNUSED_RESULT;
gboolean vmm_guest_memory_store_le16 (VmmGuestMemory *memory,
                                      VmmGpa gpa,
                                      guint16 value) G_GNUC_WARN_UNUSED_RESULT;

/* Zero-copy I/O: pins [gpa, gpa+length) and appends host iovecs for back ends' reads and writes
 * (nothing may parse through them). Each pin is released with vmm_guest_memory_unpin with the same
 * iovecs; pinned blocks stay alive meanwhile, even when unmapped. For host writes (for_write) pages
 * are marked dirty at unpin. Returns the number of iovecs used (<= max), or -EFAULT, -E2BIG. */
int vmm_guest_memory_pin (VmmGuestMemory *memory,
                          VmmGpa gpa,
                          guint64 length,
                          gboolean for_write,
                          struct iovec *iov,
                          guint max);
void vmm_guest_memory_unpin (VmmGuestMemory *memory,
                             const struct iovec *iov,
                             guint n_iov,
                             gboolean wrote);

/* Dirty tracking hooks (snapshots, migration): start on all RAM, then collect and clear.
 * bitmap: one bit a 4096-byte page of the block, little endian words, ceil(size/4096/64)*8 bytes. */
gboolean vmm_guest_memory_start_dirty_log (VmmGuestMemory *memory, GError **error);
void vmm_guest_memory_stop_dirty_log (VmmGuestMemory *memory);
gboolean vmm_guest_memory_collect_dirty (
    VmmGuestMemory *memory, VmmRamBlock *block, guint64 *bitmap, gsize n_words, GError **error);
