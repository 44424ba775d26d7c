/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by vmm/ram-block.c, vmm/memory.c and the KVM memory listener. */
#pragma once
#include "vmm/memory.h"

#define VMM_PAGE_SHIFT 12
#define VMM_PAGE_SIZE  (G_GUINT64_CONSTANT (1) << VMM_PAGE_SHIFT)
#define VMM_PAGE_MASK  (VMM_PAGE_SIZE - 1)

struct _VmmRamBlock
{
  gint ref_count; /* atomic */
  char *name;
  guint64 size; /* bytes */
  VmmRamFlags flags;
  int fd;
  guint8 *data;
  gpointer reserved; /* the PROT_NONE reservation that holds data between guard pages */
  gsize reserved_size;
  /* One bit a page; NULL while nobody asked. Set once, freed with the block. */
  guint64 *dirty;   /* atomic pointer and atomic words */
  gsize n_dirty;    /* words */
  gint dirty_users; /* atomic: marks are taken only while > 0 */
};

/* Starts and stops taking marks; starting clears the bitmap when it was off. Thread: any. */
void vmm_ram_block_dirty_on (VmmRamBlock *block);
void vmm_ram_block_dirty_off (VmmRamBlock *block);
/* Ors a bitmap of n_pages pages, the first being page first_page of the block. */
void vmm_ram_block_merge_dirty (VmmRamBlock *block,
                                guint64 first_page,
                                const guint64 *bitmap,
                                guint64 n_pages);
/* Moves the bitmap out and clears it. n_words must be the block's. */
void vmm_ram_block_take_dirty (VmmRamBlock *block, guint64 *bitmap, gsize n_words);

/* Bytes that the host can give without trouble; G_MAXUINT64 when that is not known. Thread: any. */
guint64 vmm_host_memory_available (void);

/* Restoring (vmm/restore.c). The machine does not run, nothing is pinned. -errno or 0. */
/* Makes the block anonymous memory, zeroed, when nobody can need its descriptor (VMM_RAM_THP).
 * FALSE: it must stay shared memory. */
gboolean vmm_ram_block_make_private (VmmRamBlock *block);
/* Puts a private mapping of a file in place of [offset, offset+length), in multiples of pages. The fd
 * may be closed afterwards. Private blocks only. */
int vmm_ram_block_map_private (
    VmmRamBlock *block, guint64 offset, guint64 length, int fd, guint64 file_offset);
