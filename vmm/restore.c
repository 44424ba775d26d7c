/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/fingerprint.h"
#include "vmm/memory-private.h"
#include "vmm/ram-file.h"
#include "vmm/save.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define CHUNK_PAGES    512                            /* 2 MiB: mapped or not as a whole */
#define MAX_MAPPINGS   8192                           /* of the kernel's 65530 a process */
#define MAX_STATE_SIZE (G_GUINT64_CONSTANT (1) << 30) /* bytes of the state file */
#define MAX_RAM_SIZE   VMM_RAM_FILE_MAX_SIZE

struct _VmmRestore
{
  char *folder;
  int ram_fd; /* until apply: the reader's then */
  struct timespec changed;
  GBytes *state;
  VmmStateReader *state_reader;
  VmmRamReader *ram;
  VmmRamBlock *blocks[VMM_RAM_FILE_MAX_BLOCKS]; /* in the file's order */
  guint64 *mapped[VMM_RAM_FILE_MAX_BLOCKS];     /* (nullable) one bit a chunk */
  guint64 mapped_bytes;
  GThread *thread;
  guint delay_ms;
  GMutex lock;
  GCond wake;
  gint cancelled; /* atomic; set with lock held */
  VmmRestoreDone done;
  gpointer user_data;
};

static int
open_file (const char *folder, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

  if (fd < 0)
    vmm_error_set_errno (error, -errno, "Cannot open “%s” of the saved machine", path);
  return fd;
}

static gboolean
read_state (VmmRestore *restore, GError **error)
{
  int fd = open_file (restore->folder, VMM_SAVE_STATE_FILE, error);
  struct stat st;
  guint8 *data;
  gsize done = 0;

  if (fd < 0)
    return FALSE;
  if (fstat (fd, &st) < 0 || !S_ISREG (st.st_mode) || (guint64)st.st_size > MAX_STATE_SIZE)
    {
      close (fd);
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state in “%s” cannot be used: it is no file, or too long",
                   restore->folder);
      return FALSE;
    }
  data = g_malloc ((gsize)st.st_size + 1);
  while (done < (gsize)st.st_size)
    {
      ssize_t n = read (fd, data + done, (gsize)st.st_size - done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        break; /* the reader finds that it ends too early */
      done += (gsize)n;
    }
  close (fd);
  restore->state = g_bytes_new_take (data, done);
  restore->state_reader = vmm_state_reader_new (restore->state, error);
  return restore->state_reader != NULL;
}

/* A copy that shares the file's blocks and has no name: nobody else can write it. */
static void
take_own_copy (VmmRestore *restore)
{
  int copy = open (restore->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

  if (copy < 0)
    return;
  if (ioctl (copy, FICLONE, restore->ram_fd) < 0)
    {
      close (copy);
      return;
    }
  close (restore->ram_fd);
  restore->ram_fd = copy;
}

VmmRestore *
vmm_restore_open (const char *folder, GError **error)
{
  VmmRestore *restore = g_new0 (VmmRestore, 1);
  struct stat st;

  g_mutex_init (&restore->lock);
  g_cond_init (&restore->wake);

  restore->folder = g_strdup (folder);
  restore->ram_fd = -1;
  if (!read_state (restore, error) ||
      (restore->ram_fd = open_file (folder, VMM_SAVE_RAM_FILE, error)) < 0)
    {
      vmm_restore_free (restore);
      return NULL;
    }
  take_own_copy (restore);
  if (fstat (restore->ram_fd, &st) == 0)
    restore->changed = st.st_mtim;
  return restore;
}

/* Placing RAM */

typedef struct
{
  VmmRestore *restore;
  guint64 total;
  guint n;
} Match;

static void
match_block (VmmRamBlock *block, gpointer user_data)
{
  Match *match = user_data;
  VmmRestore *restore = match->restore;

  if ((vmm_ram_block_get_flags (block) & VMM_RAM_DEVICE) != 0)
    return;
  match->n++;
  match->total += vmm_ram_block_get_size (block);
  for (guint i = 0; restore->ram != NULL && i < vmm_ram_reader_get_n_blocks (restore->ram); i++)
    {
      const VmmRamFileBlock *saved = vmm_ram_reader_get_block (restore->ram, i);

      if (strcmp (saved->name, vmm_ram_block_get_name (block)) == 0 &&
          saved->size == vmm_ram_block_get_size (block))
        restore->blocks[i] = block;
    }
}

static gboolean
match_blocks (VmmRestore *restore, VmmGuestMemory *memory, GError **error)
{
  Match match = { .restore = restore };
  gboolean same;

  vmm_guest_memory_foreach_block (memory, match_block, &match);
  restore->ram = vmm_ram_reader_new (restore->ram_fd, match.total, error);
  restore->ram_fd = -1;
  if (restore->ram == NULL)
    return FALSE;
  match = (Match){ .restore = restore };
  vmm_guest_memory_foreach_block (memory, match_block, &match);
  same = match.n == vmm_ram_reader_get_n_blocks (restore->ram);
  for (guint i = 0; same && i < match.n; i++)
    same = restore->blocks[i] != NULL;
  for (guint i = 0; same && i < match.n; i++)
    vmm_ram_block_ref (restore->blocks[i]);
  if (same)
    return TRUE;
  memset (restore->blocks, 0, sizeof restore->blocks);
  g_set_error_literal (error, VMM_ERROR, VMM_ERROR_INVALID,
                       "The saved memory has other parts than this machine's: the machine was "
                       "changed after it was saved. Undo the change, or discard the saved state.");
  return FALSE;
}

/* Does the chunk have anything in the file? */
static gboolean
chunk_has_data (VmmRestore *restore, guint block, guint64 chunk)
{
  const guint32 *table = vmm_ram_reader_get_table (restore->ram, block);
  guint64 n_pages = vmm_ram_reader_get_block (restore->ram, block)->size / VMM_RAM_FILE_PAGE;
  guint64 end = MIN ((chunk + 1) * CHUNK_PAGES, n_pages);

  for (guint64 page = chunk * CHUNK_PAGES; page < end; page++)
    if (table[page] != 0)
      return TRUE;
  return FALSE;
}

/* Marks the chunks to map, whole neighbourhoods when there would be too many mappings. */
static void
choose_chunks (VmmRestore *restore, guint block)
{
  guint64 size = vmm_ram_reader_get_block (restore->ram, block)->size;
  guint64 n = (size + VMM_RAM_FILE_ALIGN - 1) / VMM_RAM_FILE_ALIGN;
  guint64 group = 1 + n / (2 * MAX_MAPPINGS);

  restore->mapped[block] = g_new0 (guint64, (n + 63) / 64);
  for (guint64 first = 0; first < n; first += group)
    {
      gboolean any = FALSE;

      for (guint64 c = first; !any && c < MIN (first + group, n); c++)
        any = chunk_has_data (restore, block, c);
      for (guint64 c = first; any && c < MIN (first + group, n); c++)
        restore->mapped[block][c / 64] |= G_GUINT64_CONSTANT (1) << (c % 64);
    }
}

static gboolean
is_mapped (VmmRestore *restore, guint block, guint64 chunk)
{
  return (restore->mapped[block][chunk / 64] >> (chunk % 64) & 1) != 0;
}

static gboolean
map_block (VmmRestore *restore, guint block, GError **error)
{
  const VmmRamFileBlock *saved = vmm_ram_reader_get_block (restore->ram, block);
  guint64 n = (saved->size + VMM_RAM_FILE_ALIGN - 1) / VMM_RAM_FILE_ALIGN;

  choose_chunks (restore, block);
  for (guint64 chunk = 0; chunk < n;)
    {
      gboolean map = is_mapped (restore, block, chunk);
      guint64 first = chunk, from = chunk * VMM_RAM_FILE_ALIGN, length;
      int r;

      while (chunk < n && is_mapped (restore, block, chunk) == map)
        chunk++;
      length = MIN (chunk * VMM_RAM_FILE_ALIGN, saved->size) - first * VMM_RAM_FILE_ALIGN;
      r = map ? vmm_ram_block_map_private (restore->blocks[block], from, length,
                                           vmm_ram_reader_get_fd (restore->ram),
                                           saved->offset + from)
              : vmm_ram_block_clear (restore->blocks[block], from, length);
      if (r < 0)
        return vmm_error_set_errno (error, r, "Cannot put the saved memory into place");
      restore->mapped_bytes += map ? length : 0;
    }
  return TRUE;
}

static gboolean
read_block (VmmRestore *restore, guint block, GError **error)
{
  VmmRamBlock *ram = restore->blocks[block];
  guint64 size = vmm_ram_block_get_size (ram);
  int r = vmm_ram_block_clear (ram, 0, size);

  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot clear the machine's memory");
  return vmm_ram_reader_read (restore->ram, block, 0, vmm_ram_block_get_data (ram),
                              size / VMM_RAM_FILE_PAGE, error);
}

VmmStateReader *
vmm_restore_apply (VmmRestore *restore, VmmMachine *machine, GError **error)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (machine);
  guint8 id[16];

  if (!vmm_fingerprint_load (machine, restore->state_reader, id, error) ||
      !match_blocks (restore, memory, error))
    return NULL;
  if (memcmp (id, vmm_ram_reader_get_id (restore->ram), sizeof id) != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The files “%s” and “%s” in “%s” are not of the same save: bring back the right "
                   "ones, or discard the saved state.",
                   VMM_SAVE_RAM_FILE, VMM_SAVE_STATE_FILE, restore->folder);
      return NULL;
    }
  for (guint b = 0; b < vmm_ram_reader_get_n_blocks (restore->ram); b++)
    if (!(vmm_ram_block_make_private (restore->blocks[b]) ? map_block (restore, b, error)
                                                          : read_block (restore, b, error)))
      return NULL;
  return restore->state_reader;
}

guint64
vmm_restore_get_mapped (VmmRestore *restore)
{
  return restore->mapped_bytes;
}

/* Prefetch */

static gboolean
check_unchanged (VmmRestore *restore, GError **error)
{
  struct stat st;

  if (fstat (vmm_ram_reader_get_fd (restore->ram), &st) == 0 &&
      st.st_mtim.tv_sec == restore->changed.tv_sec &&
      st.st_mtim.tv_nsec == restore->changed.tv_nsec)
    return TRUE;
  g_set_error (
      error, VMM_ERROR, VMM_ERROR_INVALID,
      "Somebody wrote to the file with the machine's saved memory (“%s”) while the machine "
      "ran from it: the machine cannot go on. Start it afresh or go back to a snapshot.",
      restore->folder);
  return FALSE;
}

/* Gives every page of the range memory of its own. What the guest wrote stays. */
static void
populate (guint8 *data, guint64 length)
{
  if (madvise (data, length, MADV_POPULATE_WRITE) == 0)
    return;
  /* Before Linux 5.14. An addition of nothing is a write that no other writer notices. */
  for (guint64 at = 0; at < length; at += VMM_RAM_FILE_PAGE)
    __atomic_fetch_add ((guint32 *)(gpointer)(data + at), 0, __ATOMIC_RELAXED);
}

static gboolean
prefetch_chunk (VmmRestore *restore, guint block, guint64 chunk, guint8 *buffer, GError **error)
{
  const VmmRamFileBlock *saved = vmm_ram_reader_get_block (restore->ram, block);
  guint64 first = chunk * CHUNK_PAGES,
          n = MIN (CHUNK_PAGES, saved->size / VMM_RAM_FILE_PAGE - first);

  if (g_atomic_int_get (&restore->cancelled) != 0)
    {
      g_set_error_literal (error, VMM_ERROR, VMM_ERROR_CANCELLED, "Fetching was ended");
      return FALSE;
    }
  /* Checked in a copy: the machine's page may be the guest's already. */
  if (!vmm_ram_reader_read (restore->ram, block, first, buffer, n, error))
    return FALSE;
  populate (vmm_ram_block_get_data (restore->blocks[block]) + first * VMM_RAM_FILE_PAGE,
            n * VMM_RAM_FILE_PAGE);
  return check_unchanged (restore, error);
}

static gboolean
prefetch_all (VmmRestore *restore, guint8 *buffer, GError **error)
{
  for (guint b = 0; b < vmm_ram_reader_get_n_blocks (restore->ram); b++)
    {
      guint64 size = vmm_ram_reader_get_block (restore->ram, b)->size;
      guint64 n = (size + VMM_RAM_FILE_ALIGN - 1) / VMM_RAM_FILE_ALIGN;

      for (guint64 chunk = 0; restore->mapped[b] != NULL && chunk < n; chunk++)
        if (is_mapped (restore, b, chunk) && !prefetch_chunk (restore, b, chunk, buffer, error))
          return FALSE;
    }
  return TRUE;
}

static void
wait_first (VmmRestore *restore)
{
  gint64 end = g_get_monotonic_time () + (gint64)restore->delay_ms * 1000;

  g_mutex_lock (&restore->lock);
  while (g_atomic_int_get (&restore->cancelled) == 0 &&
         g_cond_wait_until (&restore->wake, &restore->lock, end))
    ;
  g_mutex_unlock (&restore->lock);
}

static gpointer
prefetch_main (gpointer data)
{
  VmmRestore *restore = data;
  g_autofree guint8 *buffer = g_malloc (VMM_RAM_FILE_ALIGN);
  g_autoptr (GError) error = NULL;

  (void)setpriority (PRIO_PROCESS, (id_t)syscall (SYS_gettid), 10);
  wait_first (restore);
  (void)prefetch_all (restore, buffer, &error);
  restore->done (error, restore->user_data);
  return NULL;
}

gboolean
vmm_restore_prefetch (
    VmmRestore *restore, guint delay_ms, VmmRestoreDone done, gpointer user_data, GError **error)
{
  g_assert (restore->ram != NULL && restore->thread == NULL);
  restore->delay_ms = delay_ms;
  restore->done = done;
  restore->user_data = user_data;
  restore->thread = g_thread_try_new ("prefetch", prefetch_main, restore, error);
  return restore->thread != NULL;
}

void
vmm_restore_free (VmmRestore *restore)
{
  if (restore == NULL)
    return;
  if (restore->thread != NULL)
    {
      g_mutex_lock (&restore->lock);
      g_atomic_int_set (&restore->cancelled, 1);
      g_cond_signal (&restore->wake);
      g_mutex_unlock (&restore->lock);
      g_thread_join (restore->thread);
    }
  for (guint b = 0; b < VMM_RAM_FILE_MAX_BLOCKS; b++)
    {
      vmm_ram_block_unref (restore->blocks[b]);
      g_free (restore->mapped[b]);
    }
  vmm_ram_reader_free (restore->ram);
  if (restore->ram_fd >= 0)
    close (restore->ram_fd);
  vmm_state_reader_free (restore->state_reader);
  g_clear_pointer (&restore->state, g_bytes_unref);
  g_cond_clear (&restore->wake);
  g_mutex_clear (&restore->lock);
  g_free (restore->folder);
  g_free (restore);
}
