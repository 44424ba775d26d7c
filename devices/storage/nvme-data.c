/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a command's data is: physical region pages and scatter gather lists (Base 1.4, 4.3, 4.4).
 *
 * Lists are read a piece at a time into private memory, once, and each step is bounded: a PRP list
 * page carries at least one page of data, an SGL has at most MAX_IOV descriptors in at most
 * MAX_SEGMENTS segments. What comes out are extents that make exactly the length asked for; that
 * they lie in RAM is for whoever copies or pins. */
#include "devices/storage/nvme-private.h"

#include <string.h>

#define MAX_SEGMENTS 64
#define PIECE        64 /* list entries read at once */

typedef struct
{
  NvmeExtent *list;
  guint n;
  guint64 left; /* bytes not covered yet */
} Walk;

static gboolean
add_extent (Walk *walk, guint64 gpa, guint64 length)
{
  NvmeExtent *last = walk->n > 0 ? &walk->list[walk->n - 1] : NULL;

  if (length > G_MAXUINT64 - gpa)
    return FALSE;
  walk->left -= length;
  if (last != NULL && last->gpa + last->length == gpa)
    {
      last->length += length;
      return TRUE;
    }
  if (walk->n == NVME_MAX_IOV)
    return FALSE;
  walk->list[walk->n++] = (NvmeExtent){ gpa, length };
  return TRUE;
}

/* ---- PRP ---- */

/* The data behind PRP1 needs more than one further page: list is where their addresses are. */
static NvmeStatus
walk_prp_list (Nvme *nvme, Walk *walk, guint64 list)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (nvme->host.machine);
  guint64 page = G_GUINT64_CONSTANT (1) << nvme_page_bits (nvme);
  guint64 entries[PIECE];

  if (list % 8 != 0)
    return NVME_PRP_OFFSET;
  for (;;)
    {
      guint64 in_list = (page - (list & (page - 1))) / 8;
      guint64 pages = (walk->left + page - 1) / page;
      /* The last entry of a list that does not suffice is the address of the next one. */
      gboolean chained = pages > in_list;
      guint64 n = chained ? in_list - 1 : pages;
      guint64 next = 0;

      for (guint64 i = 0; i < n; i += PIECE)
        {
          guint piece = (guint)MIN (n - i, PIECE);

          if (!vmm_guest_memory_read (memory, vmm_gpa (list + i * 8), entries, piece * 8))
            return NVME_DATA_TRANSFER;
          for (guint j = 0; j < piece; j++)
            {
              guint64 entry = GUINT64_FROM_LE (entries[j]);

              if ((entry & (page - 1)) != 0)
                return NVME_PRP_OFFSET;
              if (!add_extent (walk, entry, MIN (page, walk->left)))
                return NVME_DATA_TRANSFER;
            }
        }
      if (!chained)
        return NVME_OK;
      if (!vmm_guest_memory_read (memory, vmm_gpa (list + n * 8), &next, 8))
        return NVME_DATA_TRANSFER;
      list = GUINT64_FROM_LE (next);
      /* 4.3: only the first list may begin inside a page, so every further one makes progress. */
      if ((list & (page - 1)) != 0)
        return NVME_PRP_OFFSET;
    }
}

static NvmeStatus
walk_prp (Nvme *nvme, const NvmeCommand *command, Walk *walk)
{
  guint64 page = G_GUINT64_CONSTANT (1) << nvme_page_bits (nvme);
  guint64 first = page - (command->prp1 & (page - 1));

  if (command->prp1 % 4 != 0)
    return NVME_PRP_OFFSET;
  if (!add_extent (walk, command->prp1, MIN (first, walk->left)))
    return NVME_DATA_TRANSFER;
  if (walk->left == 0)
    return NVME_OK;
  if (walk->left > page)
    return walk_prp_list (nvme, walk, command->prp2);
  if ((command->prp2 & (page - 1)) != 0)
    return NVME_PRP_OFFSET;
  return add_extent (walk, command->prp2, walk->left) ? NVME_OK : NVME_DATA_TRANSFER;
}

/* ---- SGL ---- */

enum
{
  SGL_DATA = 0,
  SGL_SEGMENT = 2,
  SGL_LAST_SEGMENT = 3,
};

typedef struct
{
  guint64 address;
  guint32 length;
  guint8 reserved[3];
  guint8 type; /* type 7:4, subtype 3:0 */
} SglDescriptor;
G_STATIC_ASSERT (sizeof (SglDescriptor) == 16);

static NvmeStatus
add_sgl_data (Walk *walk, guint64 address, guint32 length)
{
  if (length > walk->left)
    return NVME_SGL_LENGTH;
  if (length == 0)
    return NVME_OK;
  return add_extent (walk, address, length) ? NVME_OK : NVME_SGL_COUNT;
}

static NvmeStatus
walk_sgl (Nvme *nvme, const NvmeCommand *command, Walk *walk)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (nvme->host.machine);
  SglDescriptor list[PIECE], at;
  guint n_seen = 0;

  at.address = command->prp1;
  at.length = (guint32)command->prp2;
  at.type = command->prp2 >> 56;
  if (at.type >> 4 == SGL_DATA)
    {
      NvmeStatus status =
          at.type & 0xf ? NVME_SGL_TYPE : add_sgl_data (walk, at.address, at.length);

      return status != NVME_OK || walk->left == 0 ? status : NVME_SGL_LENGTH;
    }
  for (guint segment = 0; segment < MAX_SEGMENTS; segment++)
    {
      gboolean last = at.type >> 4 == SGL_LAST_SEGMENT;
      guint64 address = at.address;
      guint n = at.length / sizeof (SglDescriptor);
      gboolean followed = FALSE;

      if ((at.type >> 4 != SGL_SEGMENT && !last) || (at.type & 0xf) != 0)
        return NVME_SGL_TYPE;
      if (n == 0 || at.length % sizeof (SglDescriptor) != 0)
        return NVME_SGL_SEGMENT;
      if (n > NVME_MAX_IOV - n_seen || (guint64)n * 16 > G_MAXUINT64 - address)
        return NVME_SGL_COUNT;
      n_seen += n;
      for (guint i = 0; i < n; i += PIECE)
        {
          guint piece = MIN (n - i, PIECE);

          if (!vmm_guest_memory_read (memory, vmm_gpa (address + i * 16), list, piece * 16))
            return NVME_DATA_TRANSFER;
          for (guint j = 0; j < piece; j++)
            {
              NvmeStatus status;

              at = list[j];
              at.address = GUINT64_FROM_LE (at.address);
              at.length = GUINT32_FROM_LE (at.length);
              if (at.type >> 4 == SGL_SEGMENT || at.type >> 4 == SGL_LAST_SEGMENT)
                {
                  /* 4.4: only as the last descriptor of a segment that is not the last. */
                  if (last || i + j + 1 != n)
                    return NVME_SGL_SEGMENT;
                  followed = TRUE;
                  continue;
                }
              if (at.type != SGL_DATA << 4)
                return NVME_SGL_TYPE;
              status = add_sgl_data (walk, at.address, at.length);
              if (status != NVME_OK)
                return status;
            }
        }
      if (last)
        return walk->left == 0 ? NVME_OK : NVME_SGL_LENGTH;
      if (!followed)
        return NVME_SGL_SEGMENT;
    }
  return NVME_SGL_COUNT;
}

NvmeStatus
nvme_data_walk (
    Nvme *nvme, const NvmeCommand *command, guint32 length, NvmeExtent *extents, guint *ret_n)
{
  Walk walk = { extents, 0, length };
  NvmeStatus status;

  if (command->flags >> 6 == 0)
    status = walk_prp (nvme, command, &walk);
  else if (command->flags >> 6 == 1)
    status = walk_sgl (nvme, command, &walk);
  else
    status = NVME_INVALID_FIELD; /* PSDT: metadata by SGL is not offered */
  *ret_n = walk.n;
  return status;
}

/* ---- use ---- */

NvmeStatus
nvme_data_pin (NvmeRequest *request, guint32 length, gboolean to_guest)
{
  Nvme *nvme = request->nvme;
  VmmGuestMemory *memory = vmm_machine_get_memory (nvme->host.machine);
  NvmeExtent *extents = request->lane->extents;
  guint n;
  NvmeStatus status = nvme_data_walk (nvme, &request->command, length, extents, &n);

  if (status != NVME_OK)
    return status;
  request->to_guest = to_guest;
  request->n_iov = 0;
  for (guint i = 0; i < n; i++)
    {
      int r;

      /* An extent is more than one iovec only where RAM blocks meet: room for a few of these. */
      if (request->iov_max < request->n_iov + 4 && request->iov_max < NVME_MAX_IOV)
        {
          request->iov_max = MIN (MAX (request->iov_max * 2, MAX (n + 4, 16)), NVME_MAX_IOV);
          request->iov = g_renew (struct iovec, request->iov, request->iov_max);
        }
      r = vmm_guest_memory_pin (memory, vmm_gpa (extents[i].gpa), extents[i].length, to_guest,
                                request->iov + request->n_iov, request->iov_max - request->n_iov);
      if (r < 0)
        {
          vmm_guest_memory_unpin (memory, request->iov, request->n_iov, FALSE);
          request->n_iov = 0;
          return NVME_DATA_TRANSFER;
        }
      request->n_iov += (guint)r;
    }
  return NVME_OK;
}

void
nvme_data_unpin (NvmeRequest *request)
{
  if (request->n_iov > 0)
    vmm_guest_memory_unpin (vmm_machine_get_memory (request->nvme->host.machine), request->iov,
                            request->n_iov, request->to_guest);
  request->n_iov = 0;
}

NvmeStatus
nvme_data_copy (
    NvmeLane *lane, const NvmeCommand *command, gpointer buffer, guint32 length, gboolean to_guest)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (lane->nvme->host.machine);
  guint8 *at = buffer;
  guint n;
  NvmeStatus status = nvme_data_walk (lane->nvme, command, length, lane->extents, &n);

  for (guint i = 0; i < n && status == NVME_OK; i++)
    {
      const NvmeExtent *extent = &lane->extents[i];

      if (to_guest ? !vmm_guest_memory_write (memory, vmm_gpa (extent->gpa), at, extent->length)
                   : !vmm_guest_memory_read (memory, vmm_gpa (extent->gpa), at, extent->length))
        status = NVME_DATA_TRANSFER;
      at += extent->length;
    }
  return status;
}
