/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by fake-kernel.c (files, devices), fake-container.c (groups) and fake-iommufd.c. */
#pragma once
#include "fake-kernel.h"
#include "vfio/uapi/newer.h"

#define FIRST_FD 100000 /* no descriptor of the process */

typedef enum
{
  FILE_CLOSED,
  FILE_CONTAINER,
  FILE_GROUP,
  FILE_IOMMU,
  FILE_CDEV,
  FILE_DEVICE,
} FileKind;

typedef struct
{
  FileKind kind;
  FakeFunction *function;
  int group;
  gboolean attached, has_iommu;
  int iommufd;    /* that a device's own file is bound to; 0: none */
  guint32 dev_id; /* there */
  gboolean is_iommufd;
  guint refs; /* of an iommufd: its descriptor, and each device bound to it */
} File;

typedef enum
{
  OBJECT_IOAS,
  OBJECT_DEVICE,
  OBJECT_HWPT, /* a page table of the hardware */
} ObjectKind;

typedef struct
{
  ObjectKind kind;
  guint32 id;
  int iommufd;
  guint32 ioas;  /* a page table's, and what a device is attached to; 0: nothing */
  guint n_users; /* what keeps it from being destroyed */
  FakeFunction *function;
} FakeObject;

File *fake_kernel_get_file (FakeKernel *fake, int fd);
int fake_kernel_new_file (FakeKernel *fake, File file);
/* (nullable): the open file of this group. */
File *fake_kernel_find_group (FakeKernel *fake, int group);

/* ioas 0: the container's. */
FakeMap *fake_kernel_find_map (FakeKernel *fake, guint32 ioas, guint64 first, guint64 last);
/* pinned: counted as locked. -ENOMEM */
int fake_kernel_add_map (FakeKernel *fake, FakeMap map, gboolean pinned);
void fake_kernel_remove_map (FakeKernel *fake, FakeMap *map);
guint64 fake_kernel_sum_maps (FakeKernel *fake);
void fake_kernel_drop_maps (FakeKernel *fake, guint32 ioas);
gboolean fake_kernel_is_reachable (FakeKernel *fake, guint64 iova, guint64 length);

gboolean fake_kernel_parse_token (const char *text, guint8 *ret_bytes);
/* vfio_pci_core_match_token_uuid; token: (nullable) 16 bytes. */
int fake_kernel_match_token (FakeFunction *function, const guint8 *token);

int fake_container_ioctl (FakeKernel *fake, File *file, gulong request, gpointer argument);
int fake_group_ioctl (FakeKernel *fake, File *file, gulong request, gpointer argument);
int fake_iommufd_ioctl (FakeKernel *fake, int fd, gulong request, gpointer argument);
int fake_iommufd_bind (FakeKernel *fake, File *file, gpointer argument);
int fake_iommufd_attach (FakeKernel *fake, File *file, gpointer argument);
int fake_iommufd_detach (FakeKernel *fake, File *file, gpointer argument);
/* A device's own file is closed. */
void fake_iommufd_unbind (FakeKernel *fake, File *file);
void fake_iommufd_unref (FakeKernel *fake, int fd);
