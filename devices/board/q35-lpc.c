/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The LPC bridge 8086:2918 at 00:1f.0: PM block base, interrupt routing, RCRB. Datasheet 316972,
 * chapter 13.
 *
 * Registers with an effect:
 *   40 PMBASE    32 RW 1: I/O base of the PM block, bits 15:7
 *   44 ACPI_CNTL  8 RW 0: bit 7 decodes it
 *   60..63, 68..6b PIRQA..H routing 8 RW 80h: bit 7 off, 3:0 PIC interrupt
 *   f0 RCBA      32 RW 0: bit 0 enables the 16 KiB RCRB at bits 31:14 */
#include "devices/board/q35-private.h"

#include <string.h>

#define PMBASE       0x40
#define ACPI_CNTL    0x44
#define PIRQ_A       0x60
#define PIRQ_E       0x68
#define RCBA         0xf0
#define PIRQ_DISABLE 0x80
#define RCRB_SIZE    0x4000
#define N_PIRQS      8

struct _Q35Lpc
{
  PciDevice parent;
  struct
  {
    Pm *pm;
    gboolean direct_boot;
  } config;
  struct
  {
    guint8 rcrb[RCRB_SIZE];
    guint8 pirq_level[N_PIRQS];
  } guest;
  struct
  {
    VmmRegion rcrb;
    guint64 rcrb_base;
    int pm_base;
    GMutex irq_mutex; /* routing and levels; innermost */
    VmmIrqLine apic[N_PIRQS];
    VmmIrqLine pic[N_PIRQS];
    guint8 pic_irq[N_PIRQS]; /* 0: not routed */
  } host;
};

/* Every PIRQ drives its IOAPIC pin 16..23, and the PIC interrupt it is routed to as well. */
void
q35_lpc_set_pirq (Q35Lpc *lpc, guint pirq, gboolean level)
{
  g_assert (pirq < N_PIRQS);
  g_mutex_lock (&lpc->host.irq_mutex);
  lpc->guest.pirq_level[pirq] = level != FALSE;
  vmm_irq_line_set (&lpc->host.apic[pirq], level);
  if (lpc->host.pic_irq[pirq] != 0)
    vmm_irq_line_set (&lpc->host.pic[pirq], level);
  g_mutex_unlock (&lpc->host.irq_mutex);
}

/* Interrupts 0, 1, 2, 8 and 13 cannot be chosen (13.1.13). */
static guint8
routed_irq (guint8 value)
{
  guint irq = value & 15;

  if ((value & PIRQ_DISABLE) != 0 || irq < 3 || irq == 8 || irq == 13)
    return 0;
  return (guint8)irq;
}

static void
apply_routing (Q35Lpc *lpc)
{
  g_mutex_lock (&lpc->host.irq_mutex);
  for (guint i = 0; i < N_PIRQS; i++)
    {
      guint offset = i < 4 ? PIRQ_A + i : PIRQ_E + i - 4;
      guint8 irq = routed_irq ((guint8)pci_device_get_config (&lpc->parent, offset, 1));

      if (irq == lpc->host.pic_irq[i])
        continue;
      if (lpc->host.pic_irq[i] != 0)
        vmm_irq_line_set (&lpc->host.pic[i], FALSE);
      lpc->host.pic_irq[i] = irq;
      if (irq == 0)
        continue;
      vmm_irq_line_init (&lpc->host.pic[i], lpc->parent.parent.machine, irq);
      vmm_irq_line_set (&lpc->host.pic[i], lpc->guest.pirq_level[i] != 0);
    }
  g_mutex_unlock (&lpc->host.irq_mutex);
}

static void
apply_pm_base (Q35Lpc *lpc)
{
  guint base = pci_device_get_config (&lpc->parent, PMBASE, 4) & 0xff80;
  gboolean decoded = (pci_device_get_config (&lpc->parent, ACPI_CNTL, 1) & 0x80) != 0;
  int wanted = decoded && base != 0 ? (int)base : -1;

  if (wanted == lpc->host.pm_base)
    return;
  lpc->host.pm_base = wanted;
  pm_set_base (lpc->config.pm, wanted);
}

static void
apply_rcba (Q35Lpc *lpc)
{
  guint32 value = pci_device_get_config (&lpc->parent, RCBA, 4);
  guint64 base = (value & 1) != 0 ? value & 0xffffc000u : 0;

  if (base == lpc->host.rcrb_base)
    return;
  vmm_bus_unmap (&lpc->host.rcrb);
  lpc->host.rcrb_base = 0;
  if (base != 0 &&
      vmm_bus_map (vmm_machine_get_mmio (lpc->parent.parent.machine), base, &lpc->host.rcrb, NULL))
    lpc->host.rcrb_base = base;
  pci_bus_retry_bars (lpc->parent.pci_config.bus);
}

static void
apply (Q35Lpc *lpc)
{
  apply_routing (lpc);
  apply_pm_base (lpc);
  apply_rcba (lpc);
}

static void
config_written (PciDevice *device, guint offset, guint size)
{
  Q35Lpc *lpc = (Q35Lpc *)device;

  if (offset >= 0x40)
    apply (lpc);
}

/* The RCRB remembers what is written; device interrupt routes D25IR..D31IR do not change, since the
 * _PRT and firmware count on their reset value. */
static gboolean
is_route (guint64 offset)
{
  return offset >= 0x3140 && offset < 0x3150;
}

static VmmIoResult
rcrb_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  Q35Lpc *lpc = opaque;
  guint64 le = 0;

  memcpy (&le, lpc->guest.rcrb + offset, size);
  *value = GUINT64_FROM_LE (le);
  return VMM_IO_OK;
}

static VmmIoResult
rcrb_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Q35Lpc *lpc = opaque;
  guint64 le = GUINT64_TO_LE (value);

  if (!is_route (offset))
    memcpy (lpc->guest.rcrb + offset, &le, size);
  return VMM_IO_OK;
}

static const VmmRegionOps rcrb_ops = {
  .name = "rcrb",
  .min_size = 1,
  .max_size = 4,
  .flags = VMM_REGION_SPLIT,
  .read = rcrb_read,
  .write = rcrb_write,
};

static void
reset_rcrb (Q35Lpc *lpc)
{
  memset (lpc->guest.rcrb, 0, sizeof lpc->guest.rcrb);
  for (guint offset = 0x3140; offset < 0x3150; offset += 2)
    {
      lpc->guest.rcrb[offset] = 0x10;
      lpc->guest.rcrb[offset + 1] = 0x32;
    }
}

static void
lpc_reset (VmmDevice *device, VmmResetKind kind)
{
  Q35Lpc *lpc = (Q35Lpc *)device;
  PciDevice *pci = &lpc->parent;

  pci_device_reset (pci);
  reset_rcrb (lpc);
  if (lpc->config.direct_boot)
    {
      /* No firmware: what it would have set up. PIRQs on 10, 10, 11, 11 for guests without ACPI. */
      pci_device_set_config (pci, PMBASE, 4, Q35_PM_BASE | 1);
      pci_device_set_config (pci, ACPI_CNTL, 1, 0x80);
      pci_device_set_config (pci, PIRQ_A, 4, 0x0b0b0a0a);
      pci_device_set_config (pci, PIRQ_E, 4, 0x0b0b0a0a);
    }
  apply (lpc);
}

static gboolean
lpc_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  Q35Lpc *lpc = (Q35Lpc *)device;
  PciDevice *pci = &lpc->parent;
  static const PciDeviceInfo info = {
    .vendor = 0x8086,
    .device = 0x2918,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = 2,
    .class_base = 0x06,
    .class_sub = 0x01,
  };

  device->machine = machine;
  if (!pci_device_init (pci, machine, &info, error))
    return FALSE;
  pci_device_set_config (pci, PMBASE, 4, 1);
  pci_device_set_wmask (pci, PMBASE, 4, 0xff80);
  pci_device_set_wmask (pci, ACPI_CNTL, 1, 0x87);
  pci_device_set_config (pci, 0x48, 4, 1); /* GPIOBASE */
  pci_device_set_wmask (pci, 0x48, 4, 0xff80);
  pci_device_set_wmask (pci, 0x4c, 1, 0x10); /* GC */
  for (guint i = 0; i < 4; i++)
    {
      pci_device_set_config (pci, PIRQ_A + i, 1, PIRQ_DISABLE);
      pci_device_set_config (pci, PIRQ_E + i, 1, PIRQ_DISABLE);
      pci_device_set_wmask (pci, PIRQ_A + i, 1, 0x8f);
      pci_device_set_wmask (pci, PIRQ_E + i, 1, 0x8f);
    }
  pci_device_set_config (pci, 0x64, 1, 0x10); /* SIRQ_CNTL */
  pci_device_set_wmask (pci, 0x64, 1, 0xff);
  pci_device_set_wmask (pci, 0x80, 4, 0x3f0fffff); /* LPC_I/O_DEC, LPC_EN */
  for (guint offset = 0x84; offset < 0x94; offset += 4)
    pci_device_set_wmask (pci, offset, 4, 0x00fcfffd); /* GEN1..4_DEC */
  pci_device_set_wmask (pci, 0xa0, 4, 0x00ff06bf);     /* GEN_PMCON_1, _2 */
  pci_device_set_wmask (pci, 0xa4, 1, 0xff);           /* GEN_PMCON_3 */
  pci_device_set_config (pci, 0xd0, 4, 0x00112233);    /* FWH_SEL1 */
  pci_device_set_wmask (pci, 0xd0, 4, 0xffffffff);
  pci_device_set_config (pci, 0xd8, 2, 0xffcf); /* FWH_DEC_EN1 */
  pci_device_set_wmask (pci, 0xd8, 2, 0x7fcf);
  pci_device_set_wmask (pci, 0xdc, 1, 0x1f); /* BIOS_CNTL */
  pci_device_set_wmask (pci, RCBA, 4, 0xffffc001);
  pci_device_set_config_hooks (pci, NULL, config_written);

  g_mutex_init (&lpc->host.irq_mutex);
  for (guint i = 0; i < N_PIRQS; i++)
    vmm_irq_line_init (&lpc->host.apic[i], machine, Q35_PIRQ_GSI (i));
  vmm_region_init (&lpc->host.rcrb, &rcrb_ops, lpc, &device->lock, RCRB_SIZE);
  lpc->host.pm_base = -1;
  reset_rcrb (lpc);
  return TRUE;
}

static void
lpc_unrealize (VmmDevice *device)
{
  Q35Lpc *lpc = (Q35Lpc *)device;

  vmm_bus_unmap (&lpc->host.rcrb);
  vmm_region_drain (&lpc->host.rcrb);
  for (guint i = 0; i < N_PIRQS; i++)
    {
      vmm_irq_line_set (&lpc->host.apic[i], FALSE);
      if (lpc->host.pic_irq[i] != 0)
        vmm_irq_line_set (&lpc->host.pic[i], FALSE);
    }
  pci_device_finish (&lpc->parent);
  g_mutex_clear (&lpc->host.irq_mutex);
}

static void
lpc_quiesce (VmmDevice *device)
{
}

static void
lpc_resume (VmmDevice *device)
{
}

/* PIRQ levels are not saved: the devices that drive them raise them again as they load. */
static gboolean
lpc_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  Q35Lpc *lpc = (Q35Lpc *)device;

  pci_device_save (&lpc->parent, writer);
  vmm_state_put_bytes (writer, "rcrb", lpc->guest.rcrb, sizeof lpc->guest.rcrb);
  return TRUE;
}

static gboolean
lpc_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  Q35Lpc *lpc = (Q35Lpc *)device;

  if (!pci_device_load (&lpc->parent, reader, error) ||
      !vmm_state_get_bytes (reader, "rcrb", lpc->guest.rcrb, sizeof lpc->guest.rcrb, error))
    return FALSE;
  apply (lpc);
  return TRUE;
}

static const VmmProperty properties[] = {
  PCI_DEVICE_PROPERTIES,
  { "pm", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (Q35Lpc, config.pm), .required = TRUE },
  { "direct-boot", VMM_PROPERTY_BOOL, G_STRUCT_OFFSET (Q35Lpc, config.direct_boot), 0, 1, 0 },
  { NULL },
};

const VmmDeviceOps q35_lpc_ops = {
  .name = "ich9-lpc",
  .summary = "LPC bridge",
  .spec = "Intel ICH9 datasheet 316972",
  .instance_size = sizeof (Q35Lpc),
  .state_version = 1,
  .properties = properties,
  .realize = lpc_realize,
  .unrealize = lpc_unrealize,
  .reset = lpc_reset,
  .quiesce = lpc_quiesce,
  .resume = lpc_resume,
  .save = lpc_save,
  .load = lpc_load,
};
