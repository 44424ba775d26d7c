/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Saving with userfaultfd write protection: at the point all RAM becomes read-only; whoever writes
 * waits until the page is in the file. (Linux Documentation/admin-guide/mm/userfaultfd.rst) */
#include "vmm/save-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/memory-private.h"

#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO (0xAA, 0x00)
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define CHUNK_PAGES 64 /* short: a writer that waits must not wait long */
#define MAX_EVENTS  16

typedef struct
{
  int fd;
  gboolean unpopulated;                    /* protects pages that nobody has touched too */
  guint64 *saved[VMM_RAM_FILE_MAX_BLOCKS]; /* one bit a page */
  guint64 done;
} Protect;

static gboolean
refuse (GError **error, const char *what, int err)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
               "The machine cannot be saved by write protection: %s: %s", what, g_strerror (err));
  return FALSE;
}

static int
open_uffd (void)
{
  int fd = (int)syscall (SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

  /* The call needs a privilege or a setting; the device only its file mode. */
  if (fd < 0)
    {
      int device = open ("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

      if (device < 0)
        return -1;
      fd = ioctl (device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
      close (device);
    }
  return fd;
}

static gboolean
negotiate (Protect *protect, gboolean shared, GError **error)
{
  struct uffdio_api api = { .api = UFFD_API };
  guint64 want = UFFD_FEATURE_PAGEFAULT_FLAG_WP | (shared ? UFFD_FEATURE_WP_HUGETLBFS_SHMEM : 0);
  int probe = open_uffd ();

  if (probe < 0)
    return refuse (error,
                   "userfaultfd is not for this user (the setting vm.unprivileged_userfaultfd, or "
                   "the mode of /dev/userfaultfd)",
                   errno);
  /* The first handshake tells what there is and can be made once. */
  if (ioctl (probe, UFFDIO_API, &api) < 0 || (api.features & want) != want)
    {
      close (probe);
      return refuse (error, "this kernel has no write protection for such memory", ENOSYS);
    }
  close (probe);
  protect->unpopulated = (api.features & UFFD_FEATURE_WP_UNPOPULATED) != 0;
  api = (struct uffdio_api){
    .api = UFFD_API,
    .features = want | (protect->unpopulated ? UFFD_FEATURE_WP_UNPOPULATED : 0),
  };
  protect->fd = open_uffd ();
  if (protect->fd < 0 || ioctl (protect->fd, UFFDIO_API, &api) < 0)
    return refuse (error, "userfaultfd", errno);
  return TRUE;
}

static gboolean
register_blocks (VmmSave *save, Protect *protect, GError **error)
{
  for (guint b = 0; b < save->n_blocks; b++)
    {
      struct uffdio_register reg = {
        .range = { (guintptr)save->blocks[b].data, save->blocks[b].size },
        .mode = UFFDIO_REGISTER_MODE_WP,
      };

      if (ioctl (protect->fd, UFFDIO_REGISTER, &reg) < 0 ||
          (reg.ioctls & (G_GUINT64_CONSTANT (1) << _UFFDIO_WRITEPROTECT)) == 0)
        return refuse (error, "its memory is of a kind that cannot be protected", errno);
      /* What nobody has touched would slip through: let every page be something. */
      if (!protect->unpopulated &&
          madvise (save->blocks[b].data, save->blocks[b].size, MADV_POPULATE_READ) < 0)
        return refuse (error, "its memory cannot be populated", errno);
    }
  return TRUE;
}

static int
set_protection (Protect *protect, gpointer data, guint64 size, gboolean on)
{
  struct uffdio_writeprotect wp = {
    .range = { (guintptr)data, size },
    .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
  };

  while (ioctl (protect->fd, UFFDIO_WRITEPROTECT, &wp) < 0)
    if (errno != EINTR && errno != EAGAIN)
      return -errno;
  return 0;
}

static gboolean
capture (VmmSave *save, gpointer data, GError **error)
{
  for (guint b = 0; b < save->n_blocks; b++)
    {
      int r = set_protection (data, save->blocks[b].data, save->blocks[b].size, TRUE);

      if (r < 0)
        return vmm_error_set_errno (error, r, "Cannot protect the machine's memory");
    }
  return TRUE;
}

/* Saves the pages of the range that are not saved yet, then lets their writers go on. */
static gboolean
save_range (VmmSave *save, Protect *protect, guint block, guint64 first, guint64 n, GError **error)
{
  guint64 *saved = protect->saved[block];
  int r;

  for (guint64 page = first; page < first + n;)
    {
      guint64 run = 0;

      while (page + run < first + n && (saved[(page + run) / 64] >> ((page + run) % 64) & 1) == 0)
        {
          saved[(page + run) / 64] |= G_GUINT64_CONSTANT (1) << ((page + run) % 64);
          run++;
        }
      if (run > 0 && !vmm_save_put (save, block, page, run, error))
        return FALSE;
      protect->done += run * VMM_RAM_FILE_PAGE;
      page += MAX (run, 1);
    }
  r = set_protection (protect, save->blocks[block].data + first * VMM_RAM_FILE_PAGE,
                      n * VMM_RAM_FILE_PAGE, FALSE);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot release the machine's memory");
  return TRUE;
}

static gboolean
serve_writers (VmmSave *save, Protect *protect, GError **error)
{
  struct uffd_msg events[MAX_EVENTS];
  ssize_t n;

  while ((n = read (protect->fd, events, sizeof events)) > 0)
    for (gsize i = 0; i < (gsize)n / sizeof events[0]; i++)
      for (guint b = 0; b < save->n_blocks; b++)
        {
          guint64 into = events[i].arg.pagefault.address - (guintptr)save->blocks[b].data;

          if (events[i].event == UFFD_EVENT_PAGEFAULT && into < save->blocks[b].size &&
              !save_range (save, protect, b, into / VMM_RAM_FILE_PAGE, 1, error))
            return FALSE;
        }
  return TRUE;
}

static gboolean
save_all (VmmSave *save, Protect *protect, GError **error)
{
  for (guint b = 0; b < save->n_blocks; b++)
    for (guint64 at = 0; at < save->blocks[b].n_pages; at += CHUNK_PAGES)
      {
        guint64 n = MIN (CHUNK_PAGES, save->blocks[b].n_pages - at);

        if (vmm_save_check_cancel (save, error) || !serve_writers (save, protect, error) ||
            !save_range (save, protect, b, at, n, error))
          return FALSE;
        vmm_save_tell (save, protect->done, save->total);
      }
  return TRUE;
}

gboolean
vmm_save_by_protect (VmmSave *save, GError **error)
{
  Protect protect = { .fd = -1 };
  gboolean shared = FALSE, ok;

  for (guint b = 0; b < save->n_blocks; b++)
    {
      shared |= vmm_ram_block_get_fd (save->blocks[b].block) >= 0;
      protect.saved[b] = g_new0 (guint64, (save->blocks[b].n_pages + 63) / 64);
    }
  ok = negotiate (&protect, shared, error) && register_blocks (save, &protect, error) &&
       vmm_save_take_point (save, capture, &protect, error) && save_all (save, &protect, error);
  /* Closing ends all protection and wakes all that wait. */
  if (protect.fd >= 0)
    close (protect.fd);
  for (guint b = 0; b < save->n_blocks; b++)
    g_free (protect.saved[b]);
  return ok;
}
