/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Saving by fork: the kernel's copy-on-write keeps the RAM of the point for a child process, which
 * writes it while the guest goes on. The pause is the time the kernel takes to copy page tables.
 *
 * The child runs in a copy of a process with many threads: it calls only what is async-signal-safe,
 * allocates nothing, takes no lock, and lets go of every chunk that it has written, so that the
 * machine's next write to it copies nothing. */
#include "vmm/save-private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/memory-private.h"

#define CHUNK_PAGES 512
#define ROOM        (G_GUINT64_CONSTANT (256) << 20) /* bytes that must stay free */

/* Between the two processes, in shared memory. */
typedef struct
{
  guint64 done;   /* bytes */
  gint cancelled; /* the parent's wish */
  gint result;    /* -errno */
} Shared;

typedef struct
{
  Shared *shared;
  int pipe[2];
  pid_t child;
} Fork;

static void
close_but (int first, int second)
{
  guint low = (guint)MIN (first, second), high = (guint)MAX (first, second);

#ifdef SYS_close_range
  if (low > 0)
    (void)syscall (SYS_close_range, 0u, low - 1, 0u);
  if (high > low + 1)
    (void)syscall (SYS_close_range, low + 1, high - 1, 0u);
  (void)syscall (SYS_close_range, high + 1, ~0u, 0u);
#endif
}

/* In the child, to its end. */
static void G_GNUC_NORETURN
child_main (VmmSave *save, Fork *state, pid_t parent)
{
  Shared *shared = state->shared;
  int r = 0;

  (void)prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (1);
  (void)setpriority (PRIO_PROCESS, 0, 5);
  close_but (vmm_ram_writer_get_fd (save->writer), state->pipe[1]);
  for (guint b = 0; r == 0 && b < save->n_blocks; b++)
    for (guint64 at = 0; r == 0 && at < save->blocks[b].n_pages; at += CHUNK_PAGES)
      {
        guint64 n = MIN (CHUNK_PAGES, save->blocks[b].n_pages - at);
        guint8 *data = save->blocks[b].data + at * VMM_RAM_FILE_PAGE;

        r = vmm_ram_writer_put (save->writer, b, at, data, n);
        (void)madvise (data, n * VMM_RAM_FILE_PAGE, MADV_DONTNEED);
        __atomic_fetch_add (&shared->done, n * VMM_RAM_FILE_PAGE, __ATOMIC_RELAXED);
        if (r == 0 && __atomic_load_n (&shared->cancelled, __ATOMIC_RELAXED) != 0)
          r = -ECANCELED;
      }
  __atomic_store_n (&shared->result, r, __ATOMIC_RELEASE);
  _exit (r == 0 ? 0 : 1);
}

static void
set_inherited (VmmSave *save, gboolean inherited)
{
  for (guint b = 0; b < save->n_blocks; b++)
    (void)madvise (save->blocks[b].data, save->blocks[b].size,
                   inherited ? MADV_DOFORK : MADV_DONTFORK);
}

static gboolean
capture (VmmSave *save, gpointer data, GError **error)
{
  Fork *state = data;
  pid_t parent = getpid ();
  int err;

  set_inherited (save, TRUE);
  /* Not fork(): its handlers take locks of threads that the child does not have. */
  state->child = _Fork ();
  if (state->child == 0)
    child_main (save, state, parent);
  err = errno;
  set_inherited (save, FALSE);
  if (state->child > 0)
    return TRUE;
  vmm_error_set_errno (error, -err, "Cannot make a process to save the machine");
  return FALSE;
}

static gboolean
follow (VmmSave *save, Fork *state, GError **error)
{
  struct pollfd pfd = { .fd = state->pipe[0] };
  int status = 0, r;

  do
    {
      if (g_atomic_int_get (&save->cancelled) != 0)
        __atomic_store_n (&state->shared->cancelled, 1, __ATOMIC_RELAXED);
      vmm_save_tell (save, __atomic_load_n (&state->shared->done, __ATOMIC_RELAXED), save->total);
    }
  while (poll (&pfd, 1, 50) <= 0); /* hangs up when the child ends */
  while (waitpid (state->child, &status, 0) < 0 && errno == EINTR)
    ;
  if (vmm_save_check_cancel (save, error))
    return FALSE;
  r = __atomic_load_n (&state->shared->result, __ATOMIC_ACQUIRE);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot write the machine's memory to “%s”",
                                save->folder);
  if (!WIFEXITED (status) || WEXITSTATUS (status) != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_FAILED,
                   "The process that wrote the machine's memory ended early (%s %d): perhaps this "
                   "computer is short of memory. The machine goes on.",
                   WIFSIGNALED (status) ? "signal" : "status",
                   WIFSIGNALED (status) ? WTERMSIG (status) : WEXITSTATUS (status));
      return FALSE;
    }
  vmm_save_tell (save, save->total, save->total);
  return TRUE;
}

static gboolean
refuse (GError **error, const char *why)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
               "The machine cannot be saved by a copy of its process: %s", why);
  return FALSE;
}

/* Worst is a guest that writes all its memory before it is saved; usual is a small part. */
static gboolean
check_host (VmmSave *save, GError **error)
{
  for (guint b = 0; b < save->n_blocks; b++)
    if (vmm_ram_block_get_fd (save->blocks[b].block) >= 0)
      return refuse (error, "its memory is shared with other processes");
  if (vmm_host_memory_available () < save->total / 4 + ROOM)
    return refuse (error, "this computer has too little free memory");
  return TRUE;
}

gboolean
vmm_save_by_fork (VmmSave *save, GError **error)
{
  Fork state = { .pipe = { -1, -1 } };
  gboolean ok = FALSE;

  if (!check_host (save, error))
    return FALSE;
  state.shared =
      mmap (NULL, sizeof *state.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (state.shared == MAP_FAILED || pipe2 (state.pipe, O_CLOEXEC) < 0)
    vmm_error_set_errno (error, -errno, "Cannot save the machine");
  else if (vmm_save_take_point (save, capture, &state, error))
    {
      close (state.pipe[1]);
      state.pipe[1] = -1;
      ok = follow (save, &state, error);
    }
  for (guint i = 0; i < 2; i++)
    if (state.pipe[i] >= 0)
      close (state.pipe[i]);
  if (state.shared != MAP_FAILED)
    munmap (state.shared, sizeof *state.shared);
  return ok;
}
