/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/display/vga-pci.h"
#include "devices/display/vga.h"
#include "devices/pci/pci.h"

#define ROM_NAME "vgabios-stdvga.bin"

typedef struct
{
  PciDevice parent;
  struct
  {
    DisplayScanout *scanout;
    guint64 width, height, rom;
  } config;
  Vga vga; /* its registers and memory are the guest state */
  struct
  {
    VmmRegion page;
  } host;
} VgaDevice;

static void
producer_resize (gpointer producer, guint width, guint height)
{
  VgaDevice *device = producer;

  /* The guest learns of it when it reads the EDID next: this adapter has no event for it. */
  g_mutex_lock (&device->parent.parent.lock);
  vga_set_preferred_locked (&device->vga, width, height);
  g_mutex_unlock (&device->parent.parent.lock);
}

static void
producer_update (gpointer producer)
{
  VgaDevice *device = producer;

  vga_update (&device->vga);
}

static void
producer_watched (gpointer producer, gboolean watched)
{
  VgaDevice *device = producer;

  vga_set_watched (&device->vga, watched);
}

static const DisplayProducerOps producer_ops = { producer_resize, producer_update,
                                                 producer_watched };

static gboolean
add_bars (VgaDevice *device, GError **error)
{
  PciDevice *pci = &device->parent;
  PciBar framebuffer = {
    .kind = PCI_BAR_MMIO32,
    .prefetchable = TRUE,
    .size = VGA_VRAM_SIZE,
    .block = device->vga.vram,
  };
  PciBar page = {
    .kind = PCI_BAR_MMIO32,
    .size = VGA_PAGE_SIZE,
    .region = &device->host.page,
  };
  g_autoptr (GBytes) rom = device->config.rom ? vga_find_rom (ROM_NAME) : NULL;

  vmm_region_init (&device->host.page, &vga_page_ops, &device->vga, &pci->parent.lock,
                   VGA_PAGE_SIZE);
  if (!pci_device_add_bar (pci, 0, &framebuffer, error) ||
      !pci_device_add_bar (pci, 2, &page, error))
    return FALSE;
  return rom == NULL ||
         pci_device_set_rom (pci, g_bytes_get_data (rom, NULL), g_bytes_get_size (rom), error);
}

static void
vga_device_unrealize (VmmDevice *base)
{
  VgaDevice *device = (VgaDevice *)base;

  vga_quiesce (&device->vga);
  display_scanout_set_producer (device->config.scanout, NULL, NULL);
  pci_device_finish (&device->parent);
  vga_finish (&device->vga);
}

static gboolean
vga_device_realize (VmmDevice *base, VmmMachine *machine, GError **error)
{
  VgaDevice *device = (VgaDevice *)base;
  PciDeviceInfo info = {
    .vendor = 0x1234,
    .device = 0x1111,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = 2,
    .class_base = 0x03,
  };

  if (!pci_device_init (&device->parent, machine, &info, error))
    return FALSE;
  if (!vga_init (&device->vga, machine, &base->lock, device->config.scanout,
                 (guint)device->config.width, (guint)device->config.height, error) ||
      !add_bars (device, error))
    {
      pci_device_finish (&device->parent);
      vga_finish (&device->vga);
      return FALSE;
    }
  display_scanout_set_producer (device->config.scanout, &producer_ops, device);
  return TRUE;
}

static void
vga_device_reset (VmmDevice *base, VmmResetKind kind)
{
  VgaDevice *device = (VgaDevice *)base;

  pci_device_reset (&device->parent);
  vga_reset (&device->vga);
}

static void
vga_device_quiesce (VmmDevice *base)
{
  vga_quiesce (&((VgaDevice *)base)->vga);
}

static void
vga_device_resume (VmmDevice *base)
{
  vga_resume (&((VgaDevice *)base)->vga);
}

static gboolean
vga_device_save (VmmDevice *base, VmmStateWriter *writer, GError **error)
{
  VgaDevice *device = (VgaDevice *)base;

  pci_device_save (&device->parent, writer);
  vga_save (&device->vga, writer);
  return TRUE;
}

static gboolean
vga_device_load (VmmDevice *base, VmmStateReader *reader, guint32 version, GError **error)
{
  VgaDevice *device = (VgaDevice *)base;

  return pci_device_load (&device->parent, reader, error) && vga_load (&device->vga, reader, error);
}

static void
vga_device_stats (VmmDevice *base,
                  void (*add) (gpointer user_data, const char *name, guint64 value),
                  gpointer user_data)
{
  VgaDevice *device = (VgaDevice *)base;

  g_mutex_lock (&base->lock);
  add (user_data, "updates", device->vga.n_updates);
  add (user_data, "unknown-registers", device->vga.n_unknown);
  g_mutex_unlock (&base->lock);
}

static const VmmProperty vga_device_properties[] = {
  PCI_DEVICE_PROPERTIES,
  { "scanout", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (VgaDevice, config.scanout),
    .required = TRUE },
  { "width", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VgaDevice, config.width), 0, DISPLAY_MAX_WIDTH,
    VGA_DEFAULT_WIDTH },
  { "height", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VgaDevice, config.height), 0, DISPLAY_MAX_HEIGHT,
    VGA_DEFAULT_HEIGHT },
  { "rom", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VgaDevice, config.rom), 0, 1, 1 },
  { NULL },
};

const VmmDeviceOps vga_device_ops = {
  .name = "vga",
  .summary = "Display (standard VGA)",
  .spec = "Bochs VBE 0xb0c5",
  .instance_size = sizeof (VgaDevice),
  .state_version = 1,
  .properties = vga_device_properties,
  .realize = vga_device_realize,
  .unrealize = vga_device_unrealize,
  .reset = vga_device_reset,
  .quiesce = vga_device_quiesce,
  .resume = vga_device_resume,
  .save = vga_device_save,
  .load = vga_device_load,
  .stats = vga_device_stats,
};
