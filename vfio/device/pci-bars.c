/* SPDX-License-Identifier: GPL-3.0-or-later */
/* BARs. What the kernel lets us map becomes memory of the guest at the BAR's place: no access of it
 * comes here. The rest is trapped: pages with the MSI-X table or its pending bits, what the kernel
 * keeps for itself, BARs of less than a page, I/O ports. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <sys/mman.h>

#include "vfio/device/pci-private.h"

#define PAGE      G_GUINT64_CONSTANT (4096)
#define ALIGN_MAX (G_GUINT64_CONSTANT (1) << 30)

/* ---- trapped accesses ---- */

typedef enum
{
  PLACE_DEVICE,
  PLACE_TABLE,
  PLACE_PENDING,
  PLACE_ACROSS, /* a part of the table and something else: no driver does it */
} Place;

static Place
find_place (VfioPciBar *bar, guint64 offset, guint size, guint64 *ret_offset)
{
  const VfioMsix *msix = &bar->pci->host.msix;
  guint64 table_end = msix->table_offset + msix->n * PCI_MSIX_ENTRY_SIZE;
  guint64 pba_end = msix->pba_offset + (msix->n + 63) / 64 * 8;

  if (msix->cap != 0 && bar->index == msix->table_bar && offset < table_end &&
      offset + size > msix->table_offset)
    {
      *ret_offset = offset - msix->table_offset;
      return offset >= msix->table_offset && offset + size <= table_end ? PLACE_TABLE
                                                                        : PLACE_ACROSS;
    }
  if (msix->cap != 0 && bar->index == msix->pba_bar && offset < pba_end &&
      offset + size > msix->pba_offset)
    {
      *ret_offset = offset - msix->pba_offset;
      return offset >= msix->pba_offset && offset + size <= pba_end ? PLACE_PENDING : PLACE_ACROSS;
    }
  return PLACE_DEVICE;
}

static VmmIoResult
bar_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  VfioPciBar *bar = opaque;
  VfioPci *pci = bar->pci;
  guint64 inner = 0;

  switch (find_place (bar, offset, size, &inner))
    {
    case PLACE_TABLE:
      return pci_device_msix_read (&pci->parent, inner, size, value);
    case PLACE_PENDING:
      return pci_device_msix_read_pending (&pci->parent, inner, size, value);
    case PLACE_ACROSS:
      return VMM_IO_UNKNOWN;
    case PLACE_DEVICE:
    default:
      break;
    }
  __atomic_fetch_add (&pci->host.n_reads, 1, __ATOMIC_RELAXED);
  if (vfio_pci_quirk_read (bar, offset, size, value))
    return VMM_IO_OK;
  *value = vfio_device_read_le (pci->host.device, bar->source, offset, size);
  vfio_pci_acknowledge (pci);
  return VMM_IO_OK;
}

static VmmIoResult
bar_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  VfioPciBar *bar = opaque;
  VfioPci *pci = bar->pci;
  guint64 inner = 0, le = GUINT64_TO_LE (value);
  VmmIoResult result;

  switch (find_place (bar, offset, size, &inner))
    {
    case PLACE_TABLE:
      result = pci_device_msix_write (&pci->parent, inner, size, value);
      vfio_pci_update_irqs (pci);
      return result;
    case PLACE_PENDING:
    case PLACE_ACROSS:
      return VMM_IO_UNKNOWN;
    case PLACE_DEVICE:
    default:
      break;
    }
  __atomic_fetch_add (&pci->host.n_writes, 1, __ATOMIC_RELAXED);
  if (vfio_pci_quirk_write (bar, offset, size, value))
    return VMM_IO_OK;
  (void)vfio_device_write (pci->host.device, bar->source, offset, &le, size);
  vfio_pci_acknowledge (pci);
  return VMM_IO_OK;
}

static const VmmRegionOps memory_ops = {
  .name = "vfio-bar",
  .min_size = 1,
  .max_size = 8,
  .flags = VMM_REGION_LOCKLESS | VMM_REGION_UNALIGNED,
  .read = bar_read,
  .write = bar_write,
};

static const VmmRegionOps port_ops = {
  .name = "vfio-ports",
  .min_size = 1,
  .max_size = 4,
  .flags = VMM_REGION_LOCKLESS | VMM_REGION_UNALIGNED,
  .read = bar_read,
  .write = bar_write,
};

/* ---- what is mapped ---- */

static void
unmap_bar (VfioPci *pci, VfioPciBar *bar)
{
  VmmGuestMemory *memory =
      vmm_machine_get_memory (vfio_container_get_machine (pci->config.container));

  for (guint i = 0; i < bar->n_slots; i++)
    {
      vmm_guest_memory_unmap (memory, bar->slots[i].mapping);
      bar->slots[i].mapping = NULL;
    }
}

/* A place that is taken leaves the part trapped: slower, and as right. */
static void
map_bar (VfioPciBar *bar)
{
  VmmGuestMemory *memory =
      vmm_machine_get_memory (vfio_container_get_machine (bar->pci->config.container));

  for (guint i = 0; i < bar->n_slots; i++)
    {
      VfioSlot *slot = &bar->slots[i];

      if (slot->mapping == NULL)
        slot->mapping =
            vmm_guest_memory_map (memory, slot->block, 0, vmm_gpa (bar->base + slot->offset),
                                  slot->size, VMM_MAP_NONE, NULL);
    }
}

void
vfio_pci_unmap_slots (VfioPci *pci)
{
  for (guint i = 0; i < PCI_ALCOVE_N_BARS; i++)
    unmap_bar (pci, &pci->host.bars[i]);
}

void
vfio_pci_update_slots (VfioPci *pci)
{
  /* While it is switched off the BARs lose their places one after the other: those that still have
   * one are not decoded any more. */
  gboolean decodes =
      (pci_device_get_config (&pci->parent, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY) != 0;

  for (guint i = 0; i < PCI_ALCOVE_N_BARS; i++)
    {
      VfioPciBar *bar = &pci->host.bars[i];

      if (!decodes || bar->base == PCI_BAR_UNMAPPED || pci->host.asleep || pci->host.intx_trapped)
        unmap_bar (pci, bar);
      else
        map_bar (bar);
    }
}

/* Config lock held. */
static void
on_moved (PciDevice *device, guint index, guint64 base)
{
  VfioPci *pci = (VfioPci *)device;
  VfioPciBar *bar = &pci->host.bars[index];

  unmap_bar (pci, bar);
  vfio_pci_quirk_moved (pci, index);
  bar->base = base;
  vfio_pci_update_slots (pci);
}

/* ---- setting up ---- */

/* Leaves [first, last] of the parts out, whole pages. */
static void
cut (GArray *parts, guint64 first, guint64 last)
{
  first &= ~(PAGE - 1);
  last |= PAGE - 1;
  for (guint i = parts->len; i-- > 0;)
    {
      VfioArea part = g_array_index (parts, VfioArea, i);
      guint64 end = part.offset + part.size;

      if (last < part.offset || first >= end)
        continue;
      g_array_remove_index (parts, i);
      if (last + 1 < end)
        {
          VfioArea after = { last + 1, end - last - 1 };

          g_array_insert_val (parts, i, after);
        }
      if (first > part.offset)
        {
          VfioArea before = { part.offset, first - part.offset };

          g_array_insert_val (parts, i, before);
        }
    }
}

static GArray *
find_parts (VfioPciBar *bar)
{
  const VfioMsix *msix = &bar->pci->host.msix;
  GArray *parts = g_array_new (FALSE, TRUE, sizeof (VfioArea));
  guint64 offset, size;

  g_array_append_vals (parts, bar->source->areas, bar->source->n_areas);
  if (msix->cap != 0 && msix->table_bar == bar->index)
    cut (parts, msix->table_offset, msix->table_offset + msix->n * PCI_MSIX_ENTRY_SIZE - 1);
  if (msix->cap != 0 && msix->pba_bar == bar->index)
    cut (parts, msix->pba_offset, msix->pba_offset + (msix->n + 63) / 64 * 8 - 1);
  for (guint i = 0; vfio_pci_get_watched (bar->pci, bar->index, i, &offset, &size); i++)
    cut (parts, offset, offset + size - 1);
  return parts;
}

/* Address space for a BAR on a multiple of its size, up to 1 GiB, so that kernels which can map
 * large pages do. */
static guint8 *
reserve (VfioPciBar *bar)
{
  guint64 align = CLAMP (bar->size, PAGE, ALIGN_MAX);

  bar->reserved_size = bar->size + align;
  bar->reserved = mmap (NULL, bar->reserved_size, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (bar->reserved == MAP_FAILED)
    {
      bar->reserved = NULL;
      return NULL;
    }
  return (guint8 *)(gpointer)(((guintptr)bar->reserved + align - 1) & ~(guintptr)(align - 1));
}

static gboolean
make_slots (VfioPciBar *bar, GError **error)
{
  g_autoptr (GArray) parts = find_parts (bar);
  const char *name = vfio_device_get_name (bar->pci->host.device);
  guint8 *at;

  if (parts->len == 0)
    return TRUE;
  at = reserve (bar);
  if (at == NULL)
    return vmm_error_set_errno (error, -ENOMEM,
                                "No address space for BAR %u of %s (%" G_GUINT64_FORMAT " MiB)",
                                bar->index, name, bar->size >> 20);
  bar->slots = g_new0 (VfioSlot, parts->len);
  for (guint i = 0; i < parts->len; i++)
    {
      const VfioArea *part = &g_array_index (parts, VfioArea, i);
      g_autofree char *label = g_strdup_printf ("%s.bar%u", bar->pci->parent.parent.id, bar->index);
      int r = vfio_device_map (bar->pci->host.device, bar->source, part, at + part->offset);

      if (r < 0)
        {
          /* Trapped then. */
          vfio_pci_note (bar->pci,
                         "A part of its BAR %u cannot be mapped (%s): the guest reaches it "
                         "slowly",
                         bar->index, g_strerror (-r));
          continue;
        }
      bar->slots[bar->n_slots++] =
          (VfioSlot){ .offset = part->offset,
                      .size = part->size,
                      .block = vmm_ram_block_new_io (label, at + part->offset, part->size) };
    }
  return TRUE;
}

static gboolean
init_bar (VfioPci *pci, guint index, guint32 value, GError **error)
{
  VfioPciBar *bar = &pci->host.bars[index];
  gboolean ports = (value & PCI_BASE_ADDRESS_SPACE_IO) != 0;
  gboolean wide =
      !ports && (value & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;
  PciBar shown = {
    .kind = ports  ? PCI_BAR_PIO
            : wide ? PCI_BAR_MMIO64
                   : PCI_BAR_MMIO32,
    .prefetchable = !ports && (value & PCI_BASE_ADDRESS_MEM_PREFETCH) != 0,
    .region = &bar->region,
    .moved = on_moved,
  };

  bar->source = vfio_device_get_region (pci->host.device, index);
  if (bar->source == NULL)
    return TRUE;
  bar->size = ports ? 4 : 16;
  while (bar->size < bar->source->size)
    bar->size *= 2;
  shown.size = bar->size;
  vmm_region_init (&bar->region, ports ? &port_ops : &memory_ops, bar, NULL, bar->source->size);
  return pci_device_add_bar (&pci->parent, index, &shown, error) &&
         (ports || make_slots (bar, error));
}

gboolean
vfio_pci_init_bars (VfioPci *pci, GError **error)
{
  for (guint i = 0; i < PCI_ALCOVE_N_BARS; i++)
    {
      pci->host.bars[i].pci = pci;
      pci->host.bars[i].index = i;
      pci->host.bars[i].base = PCI_BAR_UNMAPPED;
    }
  for (guint i = 0; i < PCI_ALCOVE_N_BARS; i++)
    {
      guint32 value = vfio_pci_le (pci->host.physical + PCI_BASE_ADDRESS_0 + i * 4, 4);

      if (!init_bar (pci, i, value, error))
        return FALSE;
      if (pci->host.bars[i].source != NULL &&
          (value & (PCI_BASE_ADDRESS_SPACE_IO | PCI_BASE_ADDRESS_MEM_TYPE_64)) ==
              PCI_BASE_ADDRESS_MEM_TYPE_64)
        i++;
    }
  return TRUE;
}

void
vfio_pci_finish_bars (VfioPci *pci)
{
  for (guint i = 0; i < PCI_ALCOVE_N_BARS; i++)
    {
      VfioPciBar *bar = &pci->host.bars[i];

      for (guint j = 0; j < bar->n_slots; j++)
        vmm_ram_block_unref (bar->slots[j].block);
      g_clear_pointer (&bar->slots, g_free);
      bar->n_slots = 0;
      if (bar->reserved != NULL)
        munmap (bar->reserved, bar->reserved_size);
      bar->reserved = NULL;
    }
}

guint64
vfio_pci_get_window_size (VmmDevice *device)
{
  VfioPci *pci = (VfioPci *)device;
  guint64 sum = 0;

  for (guint i = 0; i < PCI_ALCOVE_N_BARS; i++)
    if (pci->host.bars[i].source != NULL &&
        (pci->host.bars[i].source->flags & VFIO_REGION_INFO_FLAG_READ) != 0 &&
        (vfio_pci_le (pci->host.physical + PCI_BASE_ADDRESS_0 + i * 4, 1) & 7) ==
            PCI_BASE_ADDRESS_MEM_TYPE_64)
      sum += pci->host.bars[i].size;
  return sum;
}
