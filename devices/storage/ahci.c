/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The PCI function of ICH9's AHCI controller (8086:2922): set-up, interrupts, pause, reset, state.
 *
 * BAR 5 is the memory of registers, BAR 4 the index and data pair that reaches the same registers
 * by port I/O (AHCI 1.3.1, 2.3.2 and ICH9 datasheet, 14.1). Configuration space: MSI, the SATA
 * capability, and ICH9's MAP (90h, AHCI mode) and PCS (92h) registers. */
#include "devices/storage/ahci-private.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define IDP_SIZE 32
#define SATA_MAP 0x90
#define SATA_PCS 0x92

Ahci *
ahci_from_device (VmmDevice *device)
{
  return device != NULL && device->ops == &ahci_device_ops ? (Ahci *)device : NULL;
}

gboolean
ahci_enter (Ahci *ahci)
{
  if (ahci->inside)
    return FALSE;
  g_mutex_lock (&ahci->parent.parent.lock);
  ahci->inside = TRUE;
  return TRUE;
}

void
ahci_leave (Ahci *ahci, gboolean entered)
{
  if (!entered)
    return;
  ahci->inside = FALSE;
  g_mutex_unlock (&ahci->parent.parent.lock);
}

void
ahci_schedule (Ahci *ahci)
{
  const guint64 one = 1;

  while (write (ahci->doorbell, &one, sizeof one) < 0 && errno == EINTR)
    continue;
}

static void
work (gpointer user_data)
{
  Ahci *ahci = user_data;
  gboolean entered = ahci_enter (ahci);

  for (guint i = 0; i < AHCI_N_PORTS; i++)
    ahci_port_work (&ahci->ports[i]);
  ahci_leave (ahci, entered);
}

/* AHCI 1.3.1, 10.7.1: a port's bit in IS follows PxIS & PxIE; a message is sent when a bit appears,
 * and again when software cleared some and others are left (10.7.2.1). */
void
ahci_update_interrupt (Ahci *ahci, gboolean again)
{
  guint32 before = ahci->guest.is;
  gboolean on;

  for (guint i = 0; i < AHCI_N_PORTS; i++)
    if (ahci_port_get_is (&ahci->ports[i]) & ahci->ports[i].guest.ie)
      ahci->guest.is |= 1u << i;
  on = (ahci->guest.ghc & AHCI_GHC_IE) != 0 && ahci->guest.is != 0;
  pci_device_set_intx (&ahci->parent, on);
  if (on && (again || (ahci->guest.is & ~before) != 0))
    {
      ahci->n_interrupts++;
      (void)pci_device_raise_msi (&ahci->parent); /* FALSE: INTx does it */
    }
}

/* ---- life cycle ---- */

/* Bus mastering was turned on: commands may wait for it. */
static void
config_written (PciDevice *pci, guint offset, guint size)
{
  Ahci *ahci = (Ahci *)pci;

  if (offset > PCI_COMMAND || offset + size <= PCI_COMMAND || !pci_device_can_dma (pci))
    return;
  g_mutex_lock (&pci->parent.lock);
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    ahci_port_kick (&ahci->ports[i]);
  g_mutex_unlock (&pci->parent.lock);
}

static gboolean
add_registers (Ahci *ahci, GError **error)
{
  PciDevice *pci = &ahci->parent;
  PciBar abar = { .kind = PCI_BAR_MMIO32, .size = AHCI_ABAR_LEN, .region = &ahci->abar };
  PciBar idp = { .kind = PCI_BAR_PIO, .size = IDP_SIZE, .region = &ahci->idp };
  guint cap;

  vmm_region_init (&ahci->abar, &ahci_abar_ops, ahci, &pci->parent.lock, AHCI_ABAR_LEN);
  vmm_region_init (&ahci->idp, &ahci_idp_ops, ahci, &pci->parent.lock, IDP_SIZE);
  if (!pci_device_add_bar (pci, AHCI_IDP_BAR, &idp, error) ||
      !pci_device_add_bar (pci, AHCI_ABAR, &abar, error))
    return FALSE;
  pci_device_add_msi (pci);
  /* 2.4: revision 1.0, the pair is at offset 4 dwords of BAR 4. */
  cap = pci_device_add_capability (pci, PCI_CAP_ID_SATA, 8);
  pci_device_set_config (pci, cap + 2, 1, 0x10);
  pci_device_set_config (pci, cap + 4, 4, 4 << 4 | 8);
  pci_device_set_config (pci, SATA_MAP, 1, 0x40);
  pci_device_set_wmask (pci, SATA_PCS, 2, 0x3f);
  pci_device_set_config_hooks (pci, NULL, config_written);
  return TRUE;
}

static void
ahci_unrealize (VmmDevice *device)
{
  Ahci *ahci = (Ahci *)device;

  /* Drives came later and are gone. */
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    g_assert (ahci->ports[i].drive == NULL);
  vmm_source_remove (ahci->source);
  close (ahci->doorbell);
  pci_device_finish (&ahci->parent);
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    for (guint s = 0; s < AHCI_N_SLOTS; s++)
      g_free (ahci->ports[i].commands[s].iov);
}

static gboolean
ahci_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  Ahci *ahci = (Ahci *)device;
  PciDeviceInfo info = {
    .vendor = 0x8086,
    .device = 0x2922,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = 2,
    .class_base = 0x01,
    .class_sub = 0x06,
    .class_prog = 0x01, /* AHCI */
    .intx_pin = 1,
  };

  if (!pci_device_init (&ahci->parent, machine, &info, error))
    return FALSE;
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    {
      ahci->ports[i].ahci = ahci;
      ahci->ports[i].index = i;
      for (guint s = 0; s < AHCI_N_SLOTS; s++)
        {
          ahci->ports[i].commands[s].port = &ahci->ports[i];
          ahci->ports[i].commands[s].slot = s;
        }
    }
  ahci->worker = vmm_machine_add_worker (machine, "ahci", VMM_WORKER_NONE, error);
  ahci->doorbell = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (ahci->doorbell < 0 && ahci->worker != NULL)
    vmm_error_set_errno (error, -errno, "Cannot make the SATA controller");
  if (ahci->doorbell < 0 || ahci->worker == NULL || !add_registers (ahci, error))
    {
      pci_device_finish (&ahci->parent);
      if (ahci->doorbell >= 0)
        close (ahci->doorbell);
      return FALSE;
    }
  ahci->source = vmm_worker_add_eventfd (ahci->worker, ahci->doorbell, work, ahci);
  ahci_reset_registers (ahci);
  return TRUE;
}

static void
drain_all (gpointer user_data)
{
  Ahci *ahci = user_data;

  for (guint i = 0; i < AHCI_N_PORTS; i++)
    ahci_port_drain (&ahci->ports[i]);
}

/* What waits for the host's storage (block.h: settle) stays in flight. */
static void
settle_all (gpointer user_data)
{
  Ahci *ahci = user_data;

  for (guint i = 0; i < AHCI_N_PORTS; i++)
    ahci_port_settle (&ahci->ports[i]);
}

static void
ahci_quiesce (VmmDevice *device)
{
  Ahci *ahci = (Ahci *)device;

  g_mutex_lock (&device->lock);
  ahci->quiesced = TRUE;
  g_mutex_unlock (&device->lock);
  /* Commands not fetched yet stay in PxCI: they run after resume, or after load. */
  vmm_worker_call (ahci->worker, settle_all, ahci);
}

static void
ahci_resume (VmmDevice *device)
{
  Ahci *ahci = (Ahci *)device;

  g_mutex_lock (&device->lock);
  ahci->quiesced = FALSE;
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    ahci_port_kick (&ahci->ports[i]);
  g_mutex_unlock (&device->lock);
  ahci_schedule (ahci);
}

static void
abort_and_drain (Ahci *ahci)
{
  g_mutex_lock (&ahci->parent.parent.lock);
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    ahci_port_abort (&ahci->ports[i]);
  g_mutex_unlock (&ahci->parent.parent.lock);
  vmm_worker_call (ahci->worker, drain_all, ahci);
}

static void
ahci_reset (VmmDevice *device, VmmResetKind kind)
{
  Ahci *ahci = (Ahci *)device;

  abort_and_drain (ahci);
  g_mutex_lock (&device->lock);
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    ahci->ports[i].guest.clb = ahci->ports[i].guest.fb = 0;
  ahci_reset_registers (ahci);
  ahci->guest.idp_index = 0;
  g_mutex_unlock (&device->lock);
  pci_device_reset (&ahci->parent);
}

/* ---- state ---- */

#define FIELD(member, type)                                                                        \
  {                                                                                                \
#member, VMM_STATE_##type, 1, G_STRUCT_OFFSET(Ahci, guest.member)                              \
  }
static const VmmStateField ahci_fields[] = {
  FIELD (ghc, U32),
  FIELD (is, U32),
  FIELD (idp_index, U32),
};
#undef FIELD

#define FIELD(member, type)                                                                        \
  {                                                                                                \
#member, VMM_STATE_##type, 1, G_STRUCT_OFFSET(AhciPort, guest.member)                          \
  }
static const VmmStateField port_fields[] = {
  FIELD (clb, U64), FIELD (fb, U64),   FIELD (is, U32),    FIELD (ie, U32),   FIELD (cmd, U32),
  FIELD (tfd, U32), FIELD (sig, U32),  FIELD (sctl, U32),  FIELD (serr, U32), FIELD (sact, U32),
  FIELD (ci, U32),  FIELD (sntf, U32), FIELD (halted, U8), FIELD (srst, U8),  FIELD (held_fis, U8),
};
#undef FIELD

static gboolean
ahci_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  Ahci *ahci = (Ahci *)device;
  gboolean busy = FALSE;

  pci_device_save (&ahci->parent, writer);
  g_mutex_lock (&device->lock);
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    busy |= ahci->ports[i].n_in_flight > 0;
  if (busy)
    {
      g_mutex_unlock (&device->lock);
      g_set_error (
          error, VMM_ERROR, VMM_ERROR_BUSY,
          "A disk has unfinished requests, because the host could not carry them out: make "
          "room or mend the storage, then resume the machine");
      return FALSE;
    }
  vmm_state_save_fields (writer, ahci_fields, G_N_ELEMENTS (ahci_fields), ahci);
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    vmm_state_save_fields (writer, port_fields, G_N_ELEMENTS (port_fields), &ahci->ports[i]);
  g_mutex_unlock (&device->lock);
  return TRUE;
}

/* Whatever a state file says, the registers hold what a guest could have put there. */
static void
sanitize_port (AhciPort *port)
{
  port->guest.clb &= ~G_GUINT64_CONSTANT (0x3ff);
  port->guest.fb &= ~G_GUINT64_CONSTANT (0xff);
  port->guest.is &= AHCI_IS_W1C;
  port->guest.ie &= AHCI_IS_ALL;
  port->guest.cmd &=
      AHCI_CMD_ST | AHCI_CMD_FRE | AHCI_CMD_ATAPI | AHCI_CMD_DLAE | 0x1fu << AHCI_CMD_CCS_SHIFT;
  port->guest.cmd |= AHCI_CMD_SUD | AHCI_CMD_POD;
  if (port->guest.cmd & AHCI_CMD_ST)
    port->guest.cmd |= AHCI_CMD_CR;
  else
    port->guest.ci = port->guest.sact = 0;
  if (port->guest.cmd & AHCI_CMD_FRE)
    port->guest.cmd |= AHCI_CMD_FR;
  port->guest.tfd &= 0xffff;
  port->guest.sctl &= 0xfff;
  port->guest.serr &= AHCI_SERR_ALL;
  port->guest.sntf &= 0xffff;
  port->guest.halted = port->guest.halted != 0;
  port->guest.srst = port->guest.srst != 0;
  port->guest.held_fis = port->guest.held_fis != 0;
  if (port->drive == NULL)
    {
      port->guest.held_fis = 0;
      port->guest.tfd = 0x7f;
    }
}

static gboolean
ahci_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  Ahci *ahci = (Ahci *)device;
  gboolean ok;

  if (!pci_device_load (&ahci->parent, reader, error))
    return FALSE;
  g_mutex_lock (&device->lock);
  ok = vmm_state_load_fields (reader, ahci_fields, G_N_ELEMENTS (ahci_fields), ahci, error);
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    {
      ok = ok && vmm_state_load_fields (reader, port_fields, G_N_ELEMENTS (port_fields),
                                        &ahci->ports[i], error);
      ahci->ports[i].next_slot = 0;
      sanitize_port (&ahci->ports[i]);
    }
  ahci->guest.ghc = (ahci->guest.ghc & AHCI_GHC_IE) | AHCI_GHC_AE;
  ahci->guest.is &= (1u << AHCI_N_PORTS) - 1;
  ahci->guest.idp_index &= AHCI_ABAR_LEN - 4;
  g_mutex_unlock (&device->lock);
  return ok;
}

static void
ahci_stats (VmmDevice *device,
            void (*add) (gpointer user_data, const char *name, guint64 value),
            gpointer user_data)
{
  Ahci *ahci = (Ahci *)device;

  g_mutex_lock (&device->lock);
  add (user_data, "commands", ahci->n_commands);
  add (user_data, "queued-commands", ahci->n_queued);
  add (user_data, "interrupts", ahci->n_interrupts);
  add (user_data, "errors", ahci->n_errors);
  add (user_data, "resets", ahci->n_resets);
  g_mutex_unlock (&device->lock);
}

static const VmmProperty ahci_properties[] = {
  PCI_DEVICE_PROPERTIES,
  { NULL },
};

const VmmDeviceOps ahci_device_ops = {
  .name = "ahci",
  .summary = "SATA controller (ICH9 AHCI)",
  .spec = "AHCI 1.3.1",
  .instance_size = sizeof (Ahci),
  .state_version = 1,
  .properties = ahci_properties,
  .realize = ahci_realize,
  .unrealize = ahci_unrealize,
  .reset = ahci_reset,
  .quiesce = ahci_quiesce,
  .resume = ahci_resume,
  .save = ahci_save,
  .load = ahci_load,
  .stats = ahci_stats,
};
