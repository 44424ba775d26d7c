/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Identify (Base 1.4, 5.15): what the controller and its namespaces are. */
#include "devices/storage/nvme-private.h"

#include <string.h>

enum
{
  CNS_NAMESPACE = 0x00,
  CNS_CONTROLLER = 0x01,
  CNS_ACTIVE_LIST = 0x02,
  CNS_DESCRIPTORS = 0x03,
};

/* ASCII, padded with spaces. Base 1.4, 1.5. */
static void
put_string (guint8 *at, const char *text, guint length)
{
  gsize n = MIN (strlen (text), length);

  memset (at, ' ', length);
  memcpy (at, text, n);
}

static void
identify_controller (Nvme *nvme, guint8 *data)
{
  g_autofree char *nqn = g_strdup_printf ("nqn.2014-08.org.nvmexpress:uuid:%s", nvme->config.uuid);

  nvme_put_le (data + 0, 0x1b36, 2);
  nvme_put_le (data + 2, 0x1af4, 2);
  put_string (data + 4, nvme->config.serial, 20);
  put_string (data + 24, "Alcove NVMe", 40);
  put_string (data + 64, "1.0", 8);
  data[72] = 6; /* RAB: bursts of 64 */
  memcpy (data + 73, nvme_oui, 3);
  data[77] = NVME_MDTS;
  nvme_put_le (data + 80, 0x00010400, 4); /* VER */
  nvme_put_le (data + 92, 1u << 8, 4);    /* OAES: namespace attribute notices */
  data[111] = 1;                          /* CNTRLTYPE: I/O controller */
  nvme_put_le (data + 256, 1u << 8, 2);   /* OACS: Doorbell Buffer Config; no Format NVM */
  data[258] = 3;                          /* ACL */
  data[259] = NVME_N_AERS - 1;            /* AERL */
  data[260] = 1 << 1 | 1;                 /* FRMW: one slot, read-only */
  data[261] = 1 << 2 | 1 << 1;            /* LPA: offsets and long reads; effects */
  data[262] = NVME_N_ERRORS - 1;          /* ELPE */
  nvme_put_le (data + 266, 343, 2);       /* WCTEMP */
  nvme_put_le (data + 268, 353, 2);       /* CCTEMP */
  data[512] = 6 << 4 | 6;                 /* SQES */
  data[513] = 4 << 4 | 4;                 /* CQES */
  nvme_put_le (data + 516, NVME_MAX_NAMESPACES, 4);
  /* ONCS: Compare, Dataset Management, Write Zeroes */
  nvme_put_le (data + 520, 1 << 0 | 1 << 2 | 1 << 3, 2);
  data[525] = 3 << 1 | 1;         /* VWC: there is one; Flush takes the broadcast identifier */
  nvme_put_le (data + 536, 1, 4); /* SGLS: supported, no alignment asked for */
  put_string (data + 768, nqn, (guint)strlen (nqn)); /* SUBNQN, NUL terminated */
  nvme_put_le (data + 2048, 2500, 2);                /* power state 0: 25 W */
}

static guint
hint (guint bytes, guint block)
{
  return bytes > block ? bytes / block - 1 : 0; /* zero based */
}

static void
identify_namespace (const NvmeNamespace *ns, guint8 *data)
{
  guint block = 1u << ns->block_bits;
  guint physical = hint (ns->info.physical_block, block);
  guint discard = hint (ns->info.discard_granularity, block);

  nvme_put_le (data + 0, ns->n_blocks, 8);
  nvme_put_le (data + 8, ns->n_blocks, 8);
  nvme_put_le (data + 16, ns->n_blocks, 8);
  data[24] = 1 << 4; /* NSFEAT: the hints below hold */
  data[25] = 0;      /* one format */
  data[26] = 0;
  /* DLFEAT: what was deallocated reads as zeroes, Write Zeroes may deallocate. */
  data[33] = ns->info.can_discard ? 1 << 3 | 1 : 0;
  nvme_put_le (data + 48, ns->n_blocks << ns->block_bits, 8); /* NVMCAP */
  nvme_put_le (data + 64, MIN (physical, 0xffff), 2);         /* NPWG */
  nvme_put_le (data + 66, MIN (physical, 0xffff), 2);         /* NPWA */
  nvme_put_le (data + 68, MIN (discard, 0xffff), 2);          /* NPDG */
  nvme_put_le (data + 70, MIN (discard, 0xffff), 2);          /* NPDA */
  nvme_put_le (data + 72, MIN (hint (ns->info.optimal_io, block), 0xffff), 2);
  data[99] = ns->info.readonly ? 1 : 0;              /* NSATTR: write protected */
  nvme_put_le (data + 128, ns->block_bits << 16, 4); /* LBAF0: LBADS */
}

static NvmeStatus
list_active (Nvme *nvme, guint32 after, guint8 *data)
{
  if (after >= 0xfffffffe)
    return NVME_INVALID_NAMESPACE;
  for (guint i = 0; i < NVME_MAX_NAMESPACES; i++)
    if (i + 1 > after && g_atomic_int_get (&nvme->host.ns[i].active))
      {
        nvme_put_le (data, i + 1, 4);
        data += 4;
      }
  return NVME_OK;
}

NvmeStatus
nvme_identify (Nvme *nvme, const NvmeCommand *command, guint8 data[4096])
{
  const NvmeNamespace *ns = nvme_find_namespace (nvme, command->nsid);
  gboolean valid = command->nsid >= 1 && command->nsid <= NVME_MAX_NAMESPACES;

  switch (command->dw[0] & 0xff)
    {
    case CNS_NAMESPACE:
      /* 5.15.2.1: zeroes for an inactive one. */
      if (!valid)
        return NVME_INVALID_NAMESPACE;
      if (ns != NULL)
        identify_namespace (ns, data);
      return NVME_OK;
    case CNS_CONTROLLER:
      identify_controller (nvme, data);
      return NVME_OK;
    case CNS_ACTIVE_LIST:
      return list_active (nvme, command->nsid, data);
    case CNS_DESCRIPTORS:
      if (ns == NULL)
        return NVME_INVALID_NAMESPACE;
      data[0] = 3; /* a UUID */
      data[1] = 16;
      memcpy (data + 4, ns->uuid, 16);
      return NVME_OK;
    default:
      return NVME_INVALID_FIELD;
    }
}
