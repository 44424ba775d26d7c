/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/device/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int
kernel_open (VfioKernel *kernel, const char *path)
{
  int fd = open (path, O_RDWR | O_CLOEXEC);

  return fd < 0 ? -errno : fd;
}

static void
kernel_close (VfioKernel *kernel, int fd)
{
  close (fd);
}

static int
kernel_ioctl (VfioKernel *kernel, int fd, gulong request, gpointer argument)
{
  int r;

  do
    r = ioctl (fd, request, argument);
  while (r < 0 && errno == EINTR);
  return r < 0 ? -errno : r;
}

static gssize
kernel_pread (VfioKernel *kernel, int fd, gpointer buffer, gsize size, guint64 offset)
{
  gssize n = pread (fd, buffer, size, (off_t)offset);

  return n < 0 ? -errno : n;
}

static gssize
kernel_pwrite (VfioKernel *kernel, int fd, gconstpointer buffer, gsize size, guint64 offset)
{
  gssize n = pwrite (fd, buffer, size, (off_t)offset);

  return n < 0 ? -errno : n;
}

static int
kernel_map (VfioKernel *kernel, gpointer address, gsize length, int prot, int fd, guint64 offset)
{
  gpointer at = mmap (address, length, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);

  return at == MAP_FAILED ? -errno : 0;
}

static char *
kernel_read_link (VfioKernel *kernel, const char *path)
{
  g_autofree char *target = g_file_read_link (path, NULL);

  return target != NULL ? g_path_get_basename (target) : NULL;
}

static char *
kernel_find_name (VfioKernel *kernel, const char *folder, const char *prefix)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name = NULL;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, prefix))
      return g_strdup (name);
  return NULL;
}

static const VfioKernelOps ops = {
  .open = kernel_open,
  .close = kernel_close,
  .ioctl = kernel_ioctl,
  .pread = kernel_pread,
  .pwrite = kernel_pwrite,
  .map = kernel_map,
  .read_link = kernel_read_link,
  .find_name = kernel_find_name,
};

VfioKernel *
vfio_kernel_new (void)
{
  VfioKernel *kernel = g_new0 (VfioKernel, 1);

  kernel->ops = &ops;
  return kernel;
}

void
vfio_kernel_free (VfioKernel *kernel)
{
  g_free (kernel);
}
