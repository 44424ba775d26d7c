/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/board/root-port.h"

#include <linux/pci_regs.h>

typedef struct
{
  PciDevice parent;
  struct
  {
    guint64 slot_number;
  } config;
  struct
  {
    PciBus *bus;
    guint cap; /* PCI Express capability */
    guint reserve_cap;
    guint32 reserve_memory; /* bytes; G_MAXUINT32, G_MAXUINT64: none asked for */
    guint64 reserve_prefetchable;
    guint16 slotctl;   /* as before the last write */
    gboolean asserted; /* hot-plug interrupt condition */
    void (*ejected) (gpointer user_data);
    gpointer eject_data;
    VmmClock *clock;
    VmmTimer *rouse; /* the card in the slot has not been switched on */
  } host;
} RootPort;

/* Linux (pciehp) rests for a second after it has switched a slot off, and then drops what the slot
 * said in between: a card that comes in that second would wait for ever. */
#define ROUSE_NS (3 * VMM_NSEC_PER_SEC)

/* The capability by which firmware learns how much address space to leave behind the port for what
 * comes later: that of QEMU's bridges (docs/pcie_pci_bridge.txt there), which SeaBIOS and OVMF look
 * for at this vendor's ports. Vendor specific, 32 bytes, all values little endian:
 *   2  1  length           8   8  I/O, bytes
 *   3  1  type, 1          16  4  memory          24  8  prefetchable memory, 64 bit
 *   4  4  buses            20  4  prefetchable memory, 32 bit (only one of the two)
 * All ones: the firmware's own rule. */
#define RESERVE_LENGTH          32u
#define RESERVE_TYPE            1u
#define RESERVE_MEMORY          16u
#define RESERVE_PREFETCHABLE_64 24u

#define SLOT_EVENTS                                                                                \
  (PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PFD | PCI_EXP_SLTSTA_MRLSC | PCI_EXP_SLTSTA_PDC |           \
   PCI_EXP_SLTSTA_CC)

/* 6.7.3.4: an event is signalled when its enable bit and the hot-plug interrupt enable are set.
 * INTx follows the condition; MSI-X is sent when it becomes true. */
static void
update_interrupt (RootPort *port)
{
  PciDevice *device = &port->parent;
  guint control = pci_device_get_config (device, port->host.cap + PCI_EXP_SLTCTL, 2);
  guint status = pci_device_get_config (device, port->host.cap + PCI_EXP_SLTSTA, 2);
  gboolean wanted =
      (status & control & SLOT_EVENTS) != 0 ||
      ((status & PCI_EXP_SLTSTA_DLLSC) != 0 && (control & PCI_EXP_SLTCTL_DLLSCE) != 0);

  wanted = wanted && (control & PCI_EXP_SLTCTL_HPIE) != 0;
  if (wanted && !port->host.asserted)
    (void)pci_device_raise (device, 0); /* FALSE: INTx does it */
  port->host.asserted = wanted;
  pci_device_set_intx (device, wanted);
}

static void
set_bits (RootPort *port, guint offset, guint clear, guint set)
{
  guint value = pci_device_get_config (&port->parent, port->host.cap + offset, 2);

  pci_device_set_config (&port->parent, port->host.cap + offset, 2, (value & ~clear) | set);
}

/* Presence and link of the slot as they are; events for what changed. */
static void
set_presence (RootPort *port, gboolean present, gboolean event)
{
  guint status = pci_device_get_config (&port->parent, port->host.cap + PCI_EXP_SLTSTA, 2);
  gboolean was = (status & PCI_EXP_SLTSTA_PDS) != 0;

  set_bits (port, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDS, present ? PCI_EXP_SLTSTA_PDS : 0);
  set_bits (port, PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_DLLLA, present ? PCI_EXP_LNKSTA_DLLLA : 0);
  if (event && was != present)
    set_bits (port, PCI_EXP_SLTSTA, 0, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
}

static gboolean
occupied (RootPort *port)
{
  for (guint function = 0; function < 8; function++)
    if (pci_bus_find (port->host.bus, function) != NULL)
      return TRUE;
  return FALSE;
}

/* A card that is there says itself what it needs; a reserve on top would be in the way of one whose
 * memory must lie below 4 GiB. PCI lock held. */
static void
update_reserve (RootPort *port)
{
  gboolean empty = !occupied (port);
  guint32 memory = empty ? port->host.reserve_memory : G_MAXUINT32;
  guint64 prefetchable = empty ? port->host.reserve_prefetchable : G_MAXUINT64;
  guint cap = port->host.reserve_cap;

  pci_device_set_config (&port->parent, cap + RESERVE_MEMORY, 4, memory);
  pci_device_set_config (&port->parent, cap + RESERVE_PREFETCHABLE_64, 4, (guint32)prefetchable);
  pci_device_set_config (&port->parent, cap + RESERVE_PREFETCHABLE_64 + 4, 4,
                         (guint32)(prefetchable >> 32));
}

void
pcie_root_port_set_reserve (PciDevice *device, guint32 memory, guint64 prefetchable)
{
  RootPort *port = (RootPort *)device;

  pci_bus_lock_config (port->host.bus);
  port->host.reserve_memory = memory;
  port->host.reserve_prefetchable = prefetchable;
  update_reserve (port);
  pci_bus_unlock_config (port->host.bus);
}

/* A card sits in a slot whose power the guest has switched off. PCI lock held. */
static gboolean
is_waiting (RootPort *port)
{
  return occupied (port) &&
         (pci_device_get_config (&port->parent, port->host.cap + PCI_EXP_SLTCTL, 2) &
          PCI_EXP_SLTCTL_PCC) != 0;
}

static void
on_presence (gpointer opaque, guint slot, gboolean present)
{
  RootPort *port = opaque;

  if (port->parent.core == NULL)
    return;
  pci_bus_lock_config (port->host.bus);
  set_presence (port, occupied (port), TRUE);
  update_interrupt (port);
  vmm_timer_set (port->host.rouse, is_waiting (port)
                                       ? vmm_clock_get_ns (port->host.clock) + ROUSE_NS
                                       : VMM_CLOCK_NEVER);
  pci_bus_unlock_config (port->host.bus);
}

/* The guest took note of the card and left it off: a press of the button asks for it again (6.7.1.5).
 * A guest that is only slow has not cleared the event yet; pressed then, the button would mean off. */
static void
on_rouse (gpointer user_data)
{
  RootPort *port = user_data;

  pci_bus_lock_config (port->host.bus);
  if (is_waiting (port))
    {
      if ((pci_device_get_config (&port->parent, port->host.cap + PCI_EXP_SLTSTA, 2) &
           PCI_EXP_SLTSTA_PDC) != 0)
        vmm_timer_set (port->host.rouse, vmm_clock_get_ns (port->host.clock) + ROUSE_NS);
      else
        {
          set_bits (port, PCI_EXP_SLTSTA, 0, PCI_EXP_SLTSTA_ABP);
          update_interrupt (port);
        }
    }
  pci_bus_unlock_config (port->host.bus);
}

/* PCI lock held. */
static void
eject (RootPort *port)
{
  void (*ejected) (gpointer user_data) = port->host.ejected;

  port->host.ejected = NULL;
  if (ejected != NULL)
    ejected (port->host.eject_data);
}

static const PciBusOps bus_ops = {
  .presence = on_presence,
};

/* PCI lock held. */
static void
config_written (PciDevice *device, guint offset, guint size)
{
  RootPort *port = (RootPort *)device;
  guint control;

  if (offset + size <= port->host.cap || offset >= port->host.cap + 0x3c)
    return;
  control = pci_device_get_config (device, port->host.cap + PCI_EXP_SLTCTL, 2);
  /* Power Controller Control: 1 is off. The guest is done with the device. */
  if ((control & ~(guint)port->host.slotctl & PCI_EXP_SLTCTL_PCC) != 0)
    eject (port);
  port->host.slotctl = (guint16)control;
  update_interrupt (port);
}

gboolean
pcie_root_port_request_eject (PciDevice *device,
                              void (*done) (gpointer user_data),
                              gpointer user_data)
{
  RootPort *port = (RootPort *)device;
  gboolean pressed;

  pci_bus_lock_config (port->host.bus);
  pressed = occupied (port) && (pci_device_get_config (device, port->host.cap + PCI_EXP_SLTCTL, 2) &
                                PCI_EXP_SLTCTL_PCC) == 0;
  if (pressed)
    {
      port->host.ejected = done;
      port->host.eject_data = user_data;
      set_bits (port, PCI_EXP_SLTSTA, 0, PCI_EXP_SLTSTA_ABP);
      update_interrupt (port);
    }
  pci_bus_unlock_config (port->host.bus);
  return pressed;
}

void
pcie_root_port_cancel_eject (PciDevice *device)
{
  RootPort *port = (RootPort *)device;

  pci_bus_lock_config (port->host.bus);
  port->host.ejected = NULL;
  pci_bus_unlock_config (port->host.bus);
}

static guint
read_control (RootPort *port)
{
  guint control;

  pci_bus_lock_config (port->host.bus);
  control = pci_device_get_config (&port->parent, port->host.cap + PCI_EXP_SLTCTL, 2);
  pci_bus_unlock_config (port->host.bus);
  return control;
}

gboolean
pcie_root_port_is_heard (PciDevice *device)
{
  guint needed = PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_ABPE;

  return (read_control ((RootPort *)device) & needed) == needed;
}

gboolean
pcie_root_port_is_off (PciDevice *device)
{
  return (read_control ((RootPort *)device) & PCI_EXP_SLTCTL_PCC) != 0;
}

void
pcie_root_port_set_link (PciDevice *device, guint speed, guint width)
{
  RootPort *port = (RootPort *)device;
  guint cap = port->host.cap, status;

  speed = CLAMP (speed, 1, 6);
  width = CLAMP (width, 1, 32);
  pci_bus_lock_config (port->host.bus);
  pci_device_set_config (device, cap + PCI_EXP_LNKCAP, 4,
                         (pci_device_get_config (device, cap + PCI_EXP_LNKCAP, 4) &
                          ~(guint32)(PCI_EXP_LNKCAP_SLS | PCI_EXP_LNKCAP_MLW)) |
                             speed | width << 4);
  status = pci_device_get_config (device, cap + PCI_EXP_LNKSTA, 2) &
           ~(guint)(PCI_EXP_LNKSTA_CLS | PCI_EXP_LNKSTA_NLW);
  pci_device_set_config (device, cap + PCI_EXP_LNKSTA, 2, status | speed | width << 4);
  /* 7.5.3.18: bit n of the vector, from bit 1, is speed n. */
  pci_device_set_config (device, cap + PCI_EXP_LNKCAP2, 4, ((2u << speed) - 2) & 0xfe);
  pci_device_set_config (device, cap + PCI_EXP_LNKCTL2, 2, speed);
  pci_bus_unlock_config (port->host.bus);
}

PciBus *
pcie_root_port_get_bus (PciDevice *device)
{
  return ((RootPort *)device)->host.bus;
}

static void
root_port_reset (VmmDevice *device, VmmResetKind kind)
{
  RootPort *port = (RootPort *)device;

  pci_bus_lock_config (port->host.bus);
  port->host.asserted = FALSE;
  vmm_timer_set (port->host.rouse, VMM_CLOCK_NEVER);
  eject (port); /* no driver holds the device any more */
  pci_device_reset (&port->parent);
  port->host.slotctl =
      (guint16)pci_device_get_config (&port->parent, port->host.cap + PCI_EXP_SLTCTL, 2);
  set_presence (port, occupied (port), FALSE);
  update_reserve (port);
  update_interrupt (port);
  pci_bus_unlock_config (port->host.bus);
}

static void
add_reserve (RootPort *port)
{
  guint cap = pci_device_add_capability (&port->parent, PCI_CAP_ID_VNDR, RESERVE_LENGTH);

  port->host.reserve_cap = cap;
  port->host.reserve_memory = G_MAXUINT32;
  port->host.reserve_prefetchable = G_MAXUINT64;
  pci_device_set_config (&port->parent, cap + 2, 1, RESERVE_LENGTH);
  pci_device_set_config (&port->parent, cap + 3, 1, RESERVE_TYPE);
  for (guint i = 4; i < RESERVE_LENGTH; i += 4)
    pci_device_set_config (&port->parent, cap + i, 4, G_MAXUINT32);
}

static gboolean
root_port_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  RootPort *port = (RootPort *)device;
  PciDevice *pci = &port->parent;
  static const PciDeviceInfo info = {
    .vendor = 0x1b36,
    .device = 0x000c,
    .class_base = 0x06,
    .class_sub = 0x04,
    .header_type = 1,
    .express = TRUE,
    .n_msix = 1,
    .msix_bar = 0,
    .intx_pin = 1,
  };
  guint cap, ssvid;

  if (!pci_device_init (pci, machine, &info, error))
    return FALSE;
  ssvid = pci_device_add_capability (pci, PCI_CAP_ID_SSVID, 8);
  pci_device_set_config (pci, ssvid + 4, 4, 0x11001af4);

  cap = port->host.cap = pci_device_get_express_capability (pci);
  pci_device_set_config (pci, cap + PCI_EXP_FLAGS, 2,
                         pci_device_get_config (pci, cap + PCI_EXP_FLAGS, 2) | PCI_EXP_FLAGS_SLOT);
  pci_device_set_config (pci, cap + PCI_EXP_LNKCAP, 4,
                         pci_device_get_config (pci, cap + PCI_EXP_LNKCAP, 4) |
                             PCI_EXP_LNKCAP_DLLLARC);
  /* Commands take effect at once: no command-completed events (NCCS). */
  pci_device_set_config (pci, cap + PCI_EXP_SLTCAP, 4,
                         PCI_EXP_SLTCAP_ABP | PCI_EXP_SLTCAP_PCP | PCI_EXP_SLTCAP_AIP |
                             PCI_EXP_SLTCAP_PIP | PCI_EXP_SLTCAP_HPS | PCI_EXP_SLTCAP_HPC |
                             PCI_EXP_SLTCAP_NCCS | (guint32)port->config.slot_number << 19);
  /* Indicators off (3), power on (0). */
  pci_device_set_config (pci, cap + PCI_EXP_SLTCTL, 2, 0x03c0);
  pci_device_set_wmask (pci, cap + PCI_EXP_SLTCTL, 2,
                        PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PFDE | PCI_EXP_SLTCTL_MRLSCE |
                            PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_CCIE | PCI_EXP_SLTCTL_HPIE |
                            PCI_EXP_SLTCTL_AIC | PCI_EXP_SLTCTL_PIC | PCI_EXP_SLTCTL_PCC |
                            PCI_EXP_SLTCTL_DLLSCE);
  pci_device_set_w1cmask (pci, cap + PCI_EXP_SLTSTA, 2, SLOT_EVENTS | PCI_EXP_SLTSTA_DLLSC);
  pci_device_set_wmask (pci, cap + PCI_EXP_RTCTL, 2,
                        PCI_EXP_RTCTL_SECEE | PCI_EXP_RTCTL_SENFEE | PCI_EXP_RTCTL_SEFEE |
                            PCI_EXP_RTCTL_PMEIE);
  pci_device_set_config_hooks (pci, NULL, config_written);
  add_reserve (port);

  port->host.clock = vmm_machine_get_clock (machine);
  port->host.rouse =
      vmm_timer_new (port->host.clock, vmm_machine_get_worker (machine), on_rouse, port);
  port->host.bus = pci_bus_new (machine, device->id, &bus_ops, port);
  pci_device_set_secondary_bus (pci, port->host.bus);
  return TRUE;
}

static void
root_port_unrealize (VmmDevice *device)
{
  RootPort *port = (RootPort *)device;

  g_clear_pointer (&port->host.rouse, vmm_timer_free);
  pci_device_set_secondary_bus (&port->parent, NULL);
  g_clear_pointer (&port->host.bus, pci_bus_free);
  pci_device_finish (&port->parent);
}

static void
root_port_quiesce (VmmDevice *device)
{
}

static void
root_port_resume (VmmDevice *device)
{
}

static gboolean
root_port_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  pci_device_save ((PciDevice *)device, writer);
  return TRUE;
}

static gboolean
root_port_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  RootPort *port = (RootPort *)device;

  if (!pci_device_load (&port->parent, reader, error))
    return FALSE;
  port->host.slotctl =
      (guint16)pci_device_get_config (&port->parent, port->host.cap + PCI_EXP_SLTCTL, 2);
  set_presence (port, occupied (port), FALSE);
  port->host.asserted = TRUE; /* what was signalled before the save is not signalled again */
  update_interrupt (port);
  return TRUE;
}

static const VmmProperty properties[] = {
  PCI_DEVICE_PROPERTIES,
  { "slot-number", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (RootPort, config.slot_number), 0, 0x1fff,
    0 },
  { NULL },
};

const VmmDeviceOps pcie_root_port_ops = {
  .name = "pcie-root-port",
  .summary = "PCI Express slot",
  .spec = "PCI Express Base 5.0",
  .instance_size = sizeof (RootPort),
  .state_version = 1,
  .properties = properties,
  .realize = root_port_realize,
  .unrealize = root_port_unrealize,
  .reset = root_port_reset,
  .quiesce = root_port_quiesce,
  .resume = root_port_resume,
  .save = root_port_save,
  .load = root_port_load,
};
