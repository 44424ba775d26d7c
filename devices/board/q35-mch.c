/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The host bridge 8086:29c0: configuration accesses by 0xcf8/0xcfc and PCIEXBAR, reset by 0xcf9,
 * PAM, and SMRAM registers that remember (there is no SMM). Datasheet 316966, chapter 5.
 *
 * Registers with an effect:
 *   60 PCIEXBAR 64 RW 0: bit 0 enable, 2:1 length 256/128/64 MiB, base
 *   90..96 PAM  8 RW 0: read and write enable of the segments between 0xc0000 and 0xfffff */
#include "devices/board/q35-private.h"

#define PCIEXBAR   0x60
#define PAM0       0x90
#define SMRAM      0x9d
#define ESMRAMC    0x9e
#define SMRAM_LOCK (1u << 4)

#define CONFIG_ENABLE (1u << 31)
#define CF9_SYS_RST   (1u << 1)
#define CF9_RST_CPU   (1u << 2)
#define CF9_FULL_RST  (1u << 3)

struct _Q35Mch
{
  PciDevice parent;
  struct
  {
    Q35Memory *memory;
    gboolean direct_boot;
  } config;
  struct
  {
    guint32 address; /* 0xcf8; atomic */
    guint8 reset;    /* 0xcf9; atomic */
  } guest;
  struct
  {
    VmmRegion ports, ecam;
    guint64 ecam_base;
  } host;
};

static PciBus *
root_bus (Q35Mch *mch)
{
  return mch->parent.pci_config.bus;
}

/* 0xcf8 is a register for 4-byte accesses only; byte 1 of it, for byte accesses, is 0xcf9. */
static VmmIoResult
ports_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  Q35Mch *mch = opaque;
  guint32 address = __atomic_load_n (&mch->guest.address, __ATOMIC_RELAXED);

  if (offset >= 4)
    {
      *value = (address & CONFIG_ENABLE) == 0
                   ? G_MAXUINT64 >> (64 - size * 8)
                   : pci_bus_config_read (root_bus (mch), address >> 16 & 0xff, address >> 8 & 0xff,
                                          (address & 0xfc) | ((guint)offset & 3), size);
      return VMM_IO_OK;
    }
  if (offset == 0 && size == 4)
    *value = address;
  else if (offset == 1 && size == 1)
    *value = __atomic_load_n (&mch->guest.reset, __ATOMIC_RELAXED);
  else
    return VMM_IO_UNKNOWN;
  return VMM_IO_OK;
}

static void
write_reset (Q35Mch *mch, guint8 value)
{
  /* ICH9 13.7.5: RST_CPU going from 0 to 1 resets. It always reads as zero: the reset clears it. */
  __atomic_store_n (&mch->guest.reset, value & (CF9_SYS_RST | CF9_FULL_RST), __ATOMIC_RELAXED);
  if ((value & CF9_RST_CPU) != 0)
    vmm_machine_request (mch->parent.parent.machine, VMM_REQUEST_RESET, value, "port 0xcf9");
}

static VmmIoResult
ports_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Q35Mch *mch = opaque;
  guint32 address = __atomic_load_n (&mch->guest.address, __ATOMIC_RELAXED);

  if (offset >= 4)
    {
      if ((address & CONFIG_ENABLE) != 0)
        pci_bus_config_write (root_bus (mch), address >> 16 & 0xff, address >> 8 & 0xff,
                              (address & 0xfc) | ((guint)offset & 3), size, (guint32)value);
      return VMM_IO_OK;
    }
  if (offset == 0 && size == 4)
    __atomic_store_n (&mch->guest.address, (guint32)value & 0x80fffffc, __ATOMIC_RELAXED);
  else if (offset == 1 && size == 1)
    write_reset (mch, (guint8)value);
  else
    return VMM_IO_UNKNOWN;
  return VMM_IO_OK;
}

static const VmmRegionOps ports_ops = {
  .name = "pci-config",
  .min_size = 1,
  .max_size = 4,
  .flags = VMM_REGION_LOCKLESS,
  .read = ports_read,
  .write = ports_write,
};

/* PCI Express Base 5.0, 7.2.2: bus 27:20, device 19:15, function 14:12, register 11:0. */
static VmmIoResult
ecam_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  *value = pci_bus_config_read (root_bus (opaque), (guint)(offset >> 20) & 0xff,
                                (guint)(offset >> 12) & 0xff, (guint)offset & 0xfff, size);
  return VMM_IO_OK;
}

static VmmIoResult
ecam_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  pci_bus_config_write (root_bus (opaque), (guint)(offset >> 20) & 0xff,
                        (guint)(offset >> 12) & 0xff, (guint)offset & 0xfff, size, (guint32)value);
  return VMM_IO_OK;
}

static const VmmRegionOps ecam_ops = {
  .name = "ecam",
  .min_size = 1,
  .max_size = 4,
  .flags = VMM_REGION_LOCKLESS | VMM_REGION_SPLIT,
  .read = ecam_read,
  .write = ecam_write,
};

guint64
q35_mch_get_pciexbar (Q35Mch *mch, guint *ret_n_buses)
{
  PciDevice *pci = &mch->parent;
  guint64 value = pci_device_get_config (pci, PCIEXBAR, 4) |
                  (guint64)pci_device_get_config (pci, PCIEXBAR + 4, 4) << 32;
  guint length = (guint)(value >> 1) & 3;
  guint64 size;

  *ret_n_buses = 0;
  if ((value & 1) == 0 || length == 3)
    return 0;
  *ret_n_buses = 256u >> length;
  size = (guint64)*ret_n_buses * Q35_ECAM_BUS_SIZE;
  /* 36 bits of address; the length masks low bits of the base. */
  return value & G_GUINT64_CONSTANT (0xfffffffff) & ~(size - 1);
}

/* PCI lock held, as everything that follows the registers. */
static void
apply_pciexbar (Q35Mch *mch)
{
  guint n_buses;
  guint64 base = q35_mch_get_pciexbar (mch, &n_buses);
  guint64 size = (guint64)n_buses * Q35_ECAM_BUS_SIZE;

  if (base == mch->host.ecam_base && (base == 0 || size == mch->host.ecam.size))
    return;
  vmm_bus_unmap (&mch->host.ecam);
  mch->host.ecam_base = 0;
  if (base != 0)
    {
      mch->host.ecam.size = size;
      if (vmm_bus_map (vmm_machine_get_mmio (mch->parent.parent.machine), base, &mch->host.ecam,
                       NULL))
        mch->host.ecam_base = base;
    }
  pci_bus_retry_bars (root_bus (mch));
}

/* PAM0 bits 5:4 are 0xf0000; PAM1..6 hold two 16 KiB segments each from 0xc0000, low nibble first. */
static void
apply_pam (Q35Mch *mch)
{
  PciDevice *pci = &mch->parent;

  for (guint i = 0; i < 6; i++)
    {
      guint value = pci_device_get_config (pci, PAM0 + 1 + i, 1);

      q35_memory_set_pam (mch->config.memory, i * 2, value & 3);
      q35_memory_set_pam (mch->config.memory, i * 2 + 1, value >> 4 & 3);
    }
  q35_memory_set_pam (mch->config.memory, 12, pci_device_get_config (pci, PAM0, 1) >> 4 & 3);
}

/* D_LCK freezes the SMRAM registers until reset. */
static void
apply_smram (Q35Mch *mch)
{
  PciDevice *pci = &mch->parent;

  if ((pci_device_get_config (pci, SMRAM, 1) & SMRAM_LOCK) == 0)
    return;
  pci_device_set_wmask (pci, SMRAM, 1, 0x20);
  pci_device_set_wmask (pci, ESMRAMC, 1, 0x80);
}

static void
config_written (PciDevice *device, guint offset, guint size)
{
  Q35Mch *mch = (Q35Mch *)device;

  if (offset < PCIEXBAR + 8 && offset + size > PCIEXBAR)
    apply_pciexbar (mch);
  if (offset < PAM0 + 7 && offset + size > PAM0)
    apply_pam (mch);
  if (offset <= ESMRAMC && offset + size > SMRAM)
    apply_smram (mch);
}

static void
set_smram_masks (PciDevice *pci)
{
  pci_device_set_wmask (pci, SMRAM, 1, 0x78);
  pci_device_set_wmask (pci, ESMRAMC, 1, 0x87);
}

static void
mch_reset (VmmDevice *device, VmmResetKind kind)
{
  Q35Mch *mch = (Q35Mch *)device;
  PciDevice *pci = &mch->parent;

  pci_device_reset (pci);
  set_smram_masks (pci);
  __atomic_store_n (&mch->guest.address, 0, __ATOMIC_RELAXED);
  __atomic_store_n (&mch->guest.reset, 0, __ATOMIC_RELAXED);
  if (mch->config.direct_boot)
    {
      /* No firmware: what it would have set up. */
      pci_device_set_config (pci, PCIEXBAR, 4, (guint32)Q35_DIRECT_PCIEXBAR | 1);
      pci_device_set_config (pci, PAM0, 1, 0x30);
      pci_device_set_config (pci, PAM0 + 1, 4, 0x33333333);
      pci_device_set_config (pci, PAM0 + 5, 2, 0x3333);
    }
  apply_pciexbar (mch);
  apply_pam (mch);
}

static gboolean
mch_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  Q35Mch *mch = (Q35Mch *)device;
  PciDevice *pci = &mch->parent;
  static const PciDeviceInfo info = {
    .vendor = 0x8086,
    .device = 0x29c0,
    /* SeaBIOS takes the machine for one with fw_cfg by this subsystem id. */
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = 2,
    .class_base = 0x06,
    .class_sub = 0x00,
  };

  device->machine = machine;
  if (!pci_device_init (pci, machine, &info, error))
    return FALSE;
  pci_device_set_wmask (pci, 0x52, 2, 0x0ff0);         /* GGC */
  pci_device_set_wmask (pci, PCIEXBAR, 4, 0xfc000007); /* bits the length excludes are not used */
  pci_device_set_wmask (pci, PCIEXBAR + 4, 4, 0x0000000f);
  pci_device_set_wmask (pci, PAM0, 1, 0x30);
  pci_device_set_wmask (pci, PAM0 + 1, 4, 0x33333333);
  pci_device_set_wmask (pci, PAM0 + 5, 2, 0x3333);
  pci_device_set_config (pci, SMRAM, 1, 0x02);
  pci_device_set_config (pci, ESMRAMC, 1, 0x38);
  set_smram_masks (pci);
  pci_device_set_wmask (pci, 0xa4, 4, 0xfff00000); /* GBSM */
  pci_device_set_wmask (pci, 0xa8, 4, 0xfff00000); /* BGSM */
  pci_device_set_wmask (pci, 0xac, 4, 0xfff00000); /* TSEGMB */
  pci_device_set_wmask (pci, 0xb0, 2, 0xfff0);     /* TOLUD */
  pci_device_set_config_hooks (pci, NULL, config_written);

  vmm_region_init (&mch->host.ports, &ports_ops, mch, NULL, 8);
  vmm_region_init (&mch->host.ecam, &ecam_ops, mch, NULL, 256u * Q35_ECAM_BUS_SIZE);
  if (vmm_bus_map (vmm_machine_get_pio (machine), 0xcf8, &mch->host.ports, error))
    return TRUE;
  pci_device_finish (pci);
  return FALSE;
}

static void
mch_unrealize (VmmDevice *device)
{
  Q35Mch *mch = (Q35Mch *)device;

  vmm_bus_unmap (&mch->host.ports);
  vmm_bus_unmap (&mch->host.ecam);
  vmm_region_drain (&mch->host.ports);
  vmm_region_drain (&mch->host.ecam);
  pci_device_finish (&mch->parent);
}

static void
mch_quiesce (VmmDevice *device)
{
}

static void
mch_resume (VmmDevice *device)
{
}

static gboolean
mch_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  Q35Mch *mch = (Q35Mch *)device;

  pci_device_save (&mch->parent, writer);
  vmm_state_put_uint (writer, "address", mch->guest.address);
  vmm_state_put_uint (writer, "reset", mch->guest.reset);
  return TRUE;
}

static gboolean
mch_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  Q35Mch *mch = (Q35Mch *)device;
  guint64 address, reset;

  /* The lock bit narrows what may be loaded; a locked state was reached unlocked. */
  set_smram_masks (&mch->parent);
  if (!pci_device_load (&mch->parent, reader, error) ||
      !vmm_state_get_uint (reader, "address", G_MAXUINT32, &address, error) ||
      !vmm_state_get_uint (reader, "reset", 0xff, &reset, error))
    return FALSE;
  mch->guest.address = (guint32)address & 0x80fffffc;
  mch->guest.reset = (guint8)reset & (CF9_SYS_RST | CF9_FULL_RST);
  apply_pciexbar (mch);
  apply_pam (mch);
  apply_smram (mch);
  return TRUE;
}

static const VmmProperty properties[] = {
  PCI_DEVICE_PROPERTIES,
  { "memory", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (Q35Mch, config.memory), .required = TRUE },
  { "direct-boot", VMM_PROPERTY_BOOL, G_STRUCT_OFFSET (Q35Mch, config.direct_boot), 0, 1, 0 },
  { NULL },
};

const VmmDeviceOps q35_mch_ops = {
  .name = "q35-mch",
  .summary = "Host bridge",
  .spec = "Intel 3 Series chipset datasheet 316966",
  .instance_size = sizeof (Q35Mch),
  .state_version = 1,
  .properties = properties,
  .realize = mch_realize,
  .unrealize = mch_unrealize,
  .reset = mch_reset,
  .quiesce = mch_quiesce,
  .resume = mch_resume,
  .save = mch_save,
  .load = mch_load,
};
