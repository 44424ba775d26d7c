/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Blocks of guest memory: sealed memfds (or, for huge pages, anonymous memory) mapped between guard
 * pages, with a dirty bitmap. */
#include "vmm/memory-private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <fcntl.h>

#include "vmm/error.h"

#define HUGE_2M (G_GUINT64_CONSTANT (2) << 20)
#ifndef PR_SET_VMA
#define PR_SET_VMA           0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif

/* Bytes of the named lines of /proc/meminfo, summed; G_MAXUINT64 when it cannot be read. */
static guint64
meminfo_sum (const char *first, const char *second)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  guint64 sum = 0;
  const char *const keys[] = { first, second };

  if (!g_file_get_contents ("/proc/meminfo", &text, NULL, &error))
    return G_MAXUINT64;
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      const char *line = keys[i] != NULL ? strstr (text, keys[i]) : NULL;

      if (line != NULL)
        sum += g_ascii_strtoull (line + strlen (keys[i]), NULL, 10) * 1024;
    }
  return sum;
}

guint64
vmm_host_memory_available (void)
{
  return meminfo_sum ("MemAvailable:", NULL);
}

static gboolean
check_available (const char *name, guint64 size, GError **error)
{
  guint64 available = meminfo_sum ("MemAvailable:", "SwapFree:");

  if (size <= available)
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_NO_MEMORY,
               "Memory “%s” needs %" G_GUINT64_FORMAT " MiB, but only %" G_GUINT64_FORMAT
               " MiB are free on this computer. Give the machine less memory or close other "
               "programs.",
               name, size >> 20, available >> 20);
  return FALSE;
}

/* The choice between brackets in a file of /sys/kernel/mm/transparent_hugepage. */
static gboolean
thp_choice_is (const char *file, const char *first, const char *second)
{
  g_autofree char *path = g_build_filename ("/sys/kernel/mm/transparent_hugepage", file, NULL);
  g_autofree char *text = NULL;
  g_autofree char *one = g_strdup_printf ("[%s]", first);
  g_autofree char *two = g_strdup_printf ("[%s]", second);

  return g_file_get_contents (path, &text, NULL, NULL) &&
         (strstr (text, one) != NULL || strstr (text, two) != NULL);
}

/* Distributions leave huge pages off for shared memory and on, when asked for, for anonymous memory.
 * There guest RAM is anonymous: thousands of page faults and most TLB misses are worth more than a
 * descriptor that nobody has asked for. */
static gboolean
wants_anonymous (guint64 size, VmmRamFlags flags)
{
  return (flags & VMM_RAM_THP) != 0 && (flags & VMM_RAM_HUGETLB_2M) == 0 && size >= HUGE_2M &&
         thp_choice_is ("shmem_enabled", "never", "deny") &&
         thp_choice_is ("enabled", "madvise", "always");
}

/* Core dumps of the VMM must not hold the guest's memory; forks of it must not share it. */
static void
advise (VmmRamBlock *block, gpointer data, guint64 length)
{
  (void)madvise (data, length, MADV_DONTDUMP);
  (void)madvise (data, length, MADV_DONTFORK);
  if ((block->flags & VMM_RAM_THP) != 0)
    (void)madvise (data, length, MADV_HUGEPAGE);
}

/* Reserves address space with a guard page at each end, aligned to 2 MiB where that helps, and maps
 * the file into it. */
static int
map_block (VmmRamBlock *block)
{
  gboolean large = block->size >= HUGE_2M;
  guint64 align = large ? HUGE_2M : VMM_PAGE_SIZE;
  guint64 start;
  gpointer data;

  block->reserved_size = block->size + align + 2 * VMM_PAGE_SIZE;
  block->reserved = mmap (NULL, block->reserved_size, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (block->reserved == MAP_FAILED)
    {
      block->reserved = NULL;
      return -errno;
    }
  start = ((guintptr)block->reserved + VMM_PAGE_SIZE + align - 1) & ~(align - 1);
  data =
      mmap ((gpointer)(guintptr)start, block->size, PROT_READ | PROT_WRITE,
            MAP_FIXED | MAP_NORESERVE | (block->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS),
            block->fd, 0);
  if (data == MAP_FAILED)
    return -errno;
  block->data = data;
  (void)prctl (PR_SET_VMA, PR_SET_VMA_ANON_NAME, data, block->size, block->name);
  advise (block, data, block->size);
  return 0;
}

static int
make_memfd (VmmRamBlock *block, gboolean huge)
{
  block->fd = memfd_create (block->name, MFD_CLOEXEC | MFD_ALLOW_SEALING |
                                             (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
  if (block->fd < 0 || ftruncate (block->fd, (off_t)block->size) < 0)
    return -errno;
  /* A peer that holds the fd (vhost, virtiofsd) must not be able to take pages from under us. */
  return fcntl (block->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0 ? -errno : 0;
}

static gboolean
set_hugetlb_error (const char *name, guint64 size, GError **error)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_NO_MEMORY,
               "Memory “%s” needs %" G_GUINT64_FORMAT " huge pages of 2 MiB, but %" G_GUINT64_FORMAT
               " are free. Raise vm.nr_hugepages, or turn huge pages off for this machine.",
               name, size >> 21, meminfo_sum ("HugePages_Free:", NULL) / 1024);
  return FALSE;
}

VmmRamBlock *
vmm_ram_block_new (const char *name, guint64 size, VmmRamFlags flags, GError **error)
{
  VmmRamBlock *block;
  gboolean huge = (flags & VMM_RAM_HUGETLB_2M) != 0;
  guint64 unit = huge ? HUGE_2M : VMM_PAGE_SIZE;
  int r;

  if (size == 0 || size % unit != 0 || size > G_GUINT64_CONSTANT (1) << 46)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "Memory “%s”: %" G_GUINT64_FORMAT
                   " bytes is not a positive multiple of %" G_GUINT64_FORMAT,
                   name, size, unit);
      return NULL;
    }
  if (!huge && !check_available (name, size, error))
    return NULL;

  block = g_new0 (VmmRamBlock, 1);
  block->ref_count = 1;
  block->name = g_strdup (name);
  block->size = size;
  block->flags = flags;
  block->n_dirty = (size / VMM_PAGE_SIZE + 63) / 64;
  block->fd = -1;
  r = wants_anonymous (size, flags) ? 0 : make_memfd (block, huge);
  if (r == 0)
    r = map_block (block);
  if (r < 0)
    {
      if (huge)
        set_hugetlb_error (name, size, error);
      else
        vmm_error_set_errno (error, r, "Cannot set up memory “%s” of %" G_GUINT64_FORMAT " MiB",
                             name, size >> 20);
      vmm_ram_block_unref (block);
      return NULL;
    }
  return block;
}

VmmRamBlock *
vmm_ram_block_new_io (const char *name, gpointer data, guint64 size)
{
  VmmRamBlock *block = g_new0 (VmmRamBlock, 1);

  g_assert (size != 0 && ((size | (guintptr)data) & VMM_PAGE_MASK) == 0);
  block->ref_count = 1;
  block->name = g_strdup (name);
  block->size = size;
  block->flags = VMM_RAM_DEVICE | VMM_RAM_IO;
  block->fd = -1;
  block->data = data;
  return block;
}

VmmRamBlock *
vmm_ram_block_ref (VmmRamBlock *block)
{
  g_atomic_int_inc (&block->ref_count);
  return block;
}

void
vmm_ram_block_unref (VmmRamBlock *block)
{
  if (block == NULL || !g_atomic_int_dec_and_test (&block->ref_count))
    return;
  if (block->reserved != NULL)
    munmap (block->reserved, block->reserved_size);
  if (block->fd >= 0)
    close (block->fd);
  g_free (block->dirty);
  g_free (block->name);
  g_free (block);
}

const char *
vmm_ram_block_get_name (VmmRamBlock *block)
{
  return block->name;
}

guint64
vmm_ram_block_get_size (VmmRamBlock *block)
{
  return block->size;
}

int
vmm_ram_block_get_fd (VmmRamBlock *block)
{
  return block->fd;
}

VmmRamFlags
vmm_ram_block_get_flags (VmmRamBlock *block)
{
  return block->flags;
}

guint8 *
vmm_ram_block_get_data (VmmRamBlock *block)
{
  return block->data;
}

gboolean
vmm_ram_block_make_private (VmmRamBlock *block)
{
  gpointer data;

  if (block->fd < 0)
    return TRUE;
  if ((block->flags & VMM_RAM_THP) == 0 || (block->flags & VMM_RAM_HUGETLB_2M) != 0)
    return FALSE;
  data = mmap (block->data, block->size, PROT_READ | PROT_WRITE,
               MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED)
    return FALSE;
  close (block->fd);
  block->fd = -1;
  advise (block, data, block->size);
  return TRUE;
}

int
vmm_ram_block_map_private (
    VmmRamBlock *block, guint64 offset, guint64 length, int fd, guint64 file_offset)
{
  gpointer data;

  g_assert (block->fd < 0 && offset <= block->size && length <= block->size - offset);
  data = mmap (block->data + offset, length, PROT_READ | PROT_WRITE,
               MAP_FIXED | MAP_PRIVATE | MAP_NORESERVE, fd, (off_t)file_offset);
  if (data == MAP_FAILED)
    return -errno;
  advise (block, data, length);
  return 0;
}

int
vmm_ram_block_clear (VmmRamBlock *block, guint64 offset, guint64 length)
{
  g_assert (offset <= block->size && length <= block->size - offset);
  if (block->fd >= 0 && fallocate (block->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                   (off_t)offset, (off_t)length) == 0)
    return 0;
  if (block->fd >= 0)
    return -errno;
  /* A mapping of its own: giving pages back would bring a file's contents into view. */
  if (mmap (block->data + offset, length, PROT_READ | PROT_WRITE,
            MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
    return -errno;
  advise (block, block->data + offset, length);
  return 0;
}

void
vmm_ram_block_dirty_on (VmmRamBlock *block)
{
  guint64 *old = g_atomic_pointer_get (&block->dirty);

  if (old == NULL)
    {
      guint64 *fresh = g_new0 (guint64, block->n_dirty);

      if (!g_atomic_pointer_compare_and_exchange (&block->dirty, NULL, fresh))
        g_free (fresh);
    }
  else if (g_atomic_int_get (&block->dirty_users) == 0)
    for (gsize i = 0; i < block->n_dirty; i++)
      __atomic_store_n (&old[i], 0, __ATOMIC_RELAXED);
  g_atomic_int_inc (&block->dirty_users);
}

void
vmm_ram_block_dirty_off (VmmRamBlock *block)
{
  g_atomic_int_add (&block->dirty_users, -1);
}

/* The end of the last page that was ever touched; looking at the others would make them. */
static gsize
get_touched (VmmRamBlock *block)
{
  off_t data, hole = 0;

  if (block->fd < 0)
    return block->size;
  while ((data = lseek (block->fd, hole, SEEK_DATA)) >= 0)
    {
      hole = lseek (block->fd, data, SEEK_HOLE);
      if (hole < 0)
        return block->size;
    }
  return errno == ENXIO ? MIN ((gsize)hole, block->size) : block->size;
}

gsize
vmm_ram_block_get_used (VmmRamBlock *block)
{
  gsize size = get_touched (block);

  while (size > 0 && *(const guint64 *)(gconstpointer)(block->data + size - 8) == 0)
    size -= 8;
  return size;
}

void
vmm_ram_block_mark_dirty (VmmRamBlock *block, guint64 offset, guint64 length)
{
  guint64 *dirty;
  guint64 first, last;

  if (length == 0 || g_atomic_int_get (&block->dirty_users) == 0)
    return;
  if (offset >= block->size)
    return;
  length = MIN (length, block->size - offset);
  dirty = g_atomic_pointer_get (&block->dirty);
  first = offset >> VMM_PAGE_SHIFT;
  last = (offset + length - 1) >> VMM_PAGE_SHIFT;
  for (guint64 page = first; page <= last; page++)
    {
      guint64 bit = G_GUINT64_CONSTANT (1) << (page % 64);

      if ((__atomic_load_n (&dirty[page / 64], __ATOMIC_RELAXED) & bit) == 0)
        __atomic_fetch_or (&dirty[page / 64], bit, __ATOMIC_RELEASE);
    }
}

void
vmm_ram_block_merge_dirty (VmmRamBlock *block,
                           guint64 first_page,
                           const guint64 *bitmap,
                           guint64 n_pages)
{
  guint64 *dirty = g_atomic_pointer_get (&block->dirty);
  guint shift = first_page % 64;

  if (dirty == NULL || first_page + n_pages > block->size >> VMM_PAGE_SHIFT)
    return;
  for (guint64 i = 0; i * 64 < n_pages; i++)
    {
      guint64 word = bitmap[i], at = first_page / 64 + i;

      if (n_pages - i * 64 < 64)
        word &= (G_GUINT64_CONSTANT (1) << (n_pages - i * 64)) - 1;
      if (word == 0)
        continue;
      __atomic_fetch_or (&dirty[at], word << shift, __ATOMIC_RELEASE);
      if (shift != 0 && word >> (64 - shift) != 0)
        __atomic_fetch_or (&dirty[at + 1], word >> (64 - shift), __ATOMIC_RELEASE);
    }
}

void
vmm_ram_block_take_dirty (VmmRamBlock *block, guint64 *bitmap, gsize n_words)
{
  guint64 *dirty = g_atomic_pointer_get (&block->dirty);

  for (gsize i = 0; i < n_words; i++)
    bitmap[i] = dirty == NULL || i >= block->n_dirty
                    ? 0
                    : __atomic_exchange_n (&dirty[i], 0, __ATOMIC_ACQ_REL);
}
