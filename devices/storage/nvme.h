/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An NVM Express controller on PCI, each namespace over a block back end of its own. Properties:
 * PCI ("bus", "devfn"), "namespaces" (NvmeNamespaces, copied), "num-queues" (I/O queue pairs, 1 to
 * 16), "iothreads" (1: a worker a queue pair, 0: the machine's worker), "serial" (20 bytes), "uuid"
 * (of the subsystem, 36 characters). Spec: NVM Express Base 1.4c. */
#pragma once
#include "devices/backends/block/block.h"
#include "devices/pci/pci.h"

#define NVME_MAX_NAMESPACES 32

typedef struct
{
  guint nsid;            /* 1..NVME_MAX_NAMESPACES */
  BlockBackend *backend; /* borrowed */
  guint block_size;      /* 512 or 4096; 0: the back end's logical block */
  guint8 uuid[16];       /* RFC 4122 order: what the guest tells namespaces apart by */
} NvmeNamespaceConfig;

typedef struct
{
  const NvmeNamespaceConfig *list;
  guint n;
} NvmeNamespaces;

extern const VmmDeviceOps nvme_device_ops;

/* While the machine runs: the guest is told by an asynchronous event and the Changed Namespace
 * List. Errors: BUSY when the identifier is taken, INVALID for a back end whose size or blocks do
 * not fit. Control thread. */
gboolean nvme_add_namespace (VmmDevice *device, const NvmeNamespaceConfig *config, GError **error);
/* Commands under way are finished first; after return the back end is not used any more. Errors:
 * NOT_FOUND. Control thread. */
gboolean nvme_remove_namespace (VmmDevice *device, guint nsid, GError **error);
guint nvme_get_n_namespaces (VmmDevice *device);
/* 0 when all are taken. */
guint nvme_find_free_nsid (VmmDevice *device);
