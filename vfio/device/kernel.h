/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The system calls through which everything here reaches VFIO, as a table. One implementation is the
 * kernel; the unit tests have a model of a device behind the same ioctls.
 * Every op returns -errno on failure. Threads: any. */
#pragma once
#include <glib.h>
#include <sys/types.h>

typedef struct _VfioKernel VfioKernel;

typedef struct
{
  /* O_RDWR | O_CLOEXEC */
  int (*open) (VfioKernel *kernel, const char *path);
  void (*close) (VfioKernel *kernel, int fd);
  int (*ioctl) (VfioKernel *kernel, int fd, gulong request, gpointer argument);
  gssize (*pread) (VfioKernel *kernel, int fd, gpointer buffer, gsize size, guint64 offset);
  gssize (*pwrite) (VfioKernel *kernel, int fd, gconstpointer buffer, gsize size, guint64 offset);
  /* Shared, readable and writable as asked, in place of what is mapped at address. */
  int (*map) (VfioKernel *kernel, gpointer address, gsize length, int prot, int fd, guint64 offset);
  /* (transfer full) (nullable): the last part of what a symbolic link points to. */
  char *(*read_link) (VfioKernel *kernel, const char *path);
  /* (transfer full) (nullable): the name in a folder that begins so. */
  char *(*find_name) (VfioKernel *kernel, const char *folder, const char *prefix);
} VfioKernelOps;

struct _VfioKernel
{
  const VfioKernelOps *ops;
};

/* The real one; it has no state. (transfer full), freed by vfio_kernel_free. */
VfioKernel *vfio_kernel_new (void);
void vfio_kernel_free (VfioKernel *kernel);
