/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A port: its link, the FISes that it receives, and which command runs when.
 *
 * What is aborted (ST cleared, COMRESET, software reset, HBA reset, unplug) may still be with the
 * back end, which owns guest memory and the order of writes. So an abort only marks commands; the
 * port is `draining` until all have come back, shows that as CR, HR or BSY where the specification
 * has the HBA busy, and fetches nothing meanwhile. */
#include "devices/storage/ahci-private.h"

/* Received FIS structure (AHCI 1.3.1, 4.2.1) */
enum
{
  RX_DMA_SETUP = 0x00,
  RX_PIO_SETUP = 0x20,
  RX_D2H = 0x40,
  RX_SDB = 0x58,
};

/* FIS types and bits (SATA 3.1, 10.5) */
enum
{
  FIS_H2D = 0x27,
  FIS_D2H = 0x34,
  FIS_DMA_SETUP = 0x41,
  FIS_PIO_SETUP = 0x5f,
  FIS_SDB = 0xa1,

  FIS_C = 0x80, /* byte 1 of H2D: a command */
  FIS_I = 0x40, /* byte 1: interrupt */
  FIS_D = 0x20, /* byte 1: device to host */
  FIS_N = 0x80, /* byte 1 of SDB: notification */
  CONTROL_SRST = 0x04,
};

static void port_run (AhciPort *port);

static VmmGuestMemory *
get_memory (AhciPort *port)
{
  return vmm_machine_get_memory (port->ahci->parent.parent.machine);
}

guint32
ahci_port_get_is (AhciPort *port)
{
  return port->guest.is | (port->guest.serr & AHCI_SERR_DIAG_X ? AHCI_IS_PCS : 0) |
         (port->guest.serr & AHCI_SERR_DIAG_N ? AHCI_IS_PRCS : 0);
}

guint32
ahci_port_get_ssts (AhciPort *port)
{
  guint det = port->guest.sctl & 0xf;

  /* 3.3.10: IPM active, 6 Gb/s, device present and communicating. */
  if (det == 4)
    return 4;
  return det == 1 || port->drive == NULL ? 0 : 0x133;
}

/* ---- FISes from the drive ---- */

static void
stop_fatal (AhciPort *port, guint32 is)
{
  port->guest.halted = TRUE;
  port->guest.is |= is;
  port->ahci->n_errors++;
  ahci_update_interrupt (port->ahci, FALSE);
}

static void
post_fis (AhciPort *port, guint offset, const guint8 *fis, gsize length)
{
  if (!(port->guest.cmd & AHCI_CMD_FRE) || !pci_device_can_dma (&port->ahci->parent))
    return;
  if (!vmm_guest_memory_write (get_memory (port), vmm_gpa (port->guest.fb + offset), fis, length))
    stop_fatal (port, AHCI_IS_HBFS);
}

static void
set_task_file (AhciPort *port, guint8 status, guint8 error)
{
  port->guest.tfd = (guint32)error << 8 | status;
  if (status & ATA_ERR)
    {
      port->guest.is |= AHCI_IS_TFES;
      port->guest.halted = TRUE;
      port->ahci->n_errors++;
    }
}

static void
fill_registers (guint8 *fis, guint64 lba, guint8 device, guint16 count)
{
  for (guint i = 0; i < 3; i++)
    {
      fis[4 + i] = lba >> (8 * i);
      fis[8 + i] = lba >> (24 + 8 * i);
    }
  fis[7] = device;
  fis[12] = (guint8)count;
  fis[13] = count >> 8;
}

static void
post_d2h (AhciPort *port,
          guint8 status,
          guint8 error,
          guint64 lba,
          guint8 device,
          guint16 count,
          gboolean interrupt)
{
  guint8 fis[20] = { FIS_D2H, interrupt ? FIS_I : 0, status, error };

  fill_registers (fis, lba, device, count);
  set_task_file (port, status, error);
  post_fis (port, RX_D2H, fis, sizeof fis);
  if (interrupt)
    port->guest.is |= AHCI_IS_DHRS;
}

static void
post_signature_fis (AhciPort *port)
{
  guint8 fis[20] = { FIS_D2H, 0, (guint8)port->guest.tfd, (guint8)(port->guest.tfd >> 8) };

  fill_registers (fis, port->guest.sig >> 8, 0, port->guest.sig & 0xff);
  post_fis (port, RX_D2H, fis, sizeof fis);
}

void
ahci_port_post_held_fis (AhciPort *port)
{
  if (!port->guest.held_fis)
    return;
  port->guest.held_fis = FALSE;
  post_signature_fis (port);
}

/* SATA 3.1, 11.3: after a reset the drive sends its signature, without an interrupt. The first such
 * FIS is accepted with FRE clear too (AHCI 1.3.1, 3.3.7, FRE). */
static void
send_signature (AhciPort *port)
{
  port->signature = FALSE;
  if (port->drive == NULL)
    return;
  port->guest.sig = port->drive->drive_ops->signature;
  port->guest.tfd = 0x0100 | port->drive->drive_ops->reset_status;
  if (port->guest.cmd & AHCI_CMD_FRE)
    post_signature_fis (port);
  else
    port->guest.held_fis = TRUE;
}

void
ahci_port_notify (AhciPort *port)
{
  guint8 fis[8] = { FIS_SDB, FIS_N | FIS_I, (guint8)port->guest.tfd & 0x77,
                    (guint8)(port->guest.tfd >> 8) };

  if (!(port->guest.cmd & AHCI_CMD_FRE) || port->draining)
    return;
  if (port->ahci->quiesced)
    {
      port->wants_notify = TRUE; /* paused: nothing is written to memory now */
      return;
    }
  post_fis (port, RX_SDB, fis, sizeof fis);
  port->guest.sntf |= 1; /* PM port 0 */
  port->guest.is |= AHCI_IS_SDBS;
  ahci_update_interrupt (port->ahci, FALSE);
}

/* Tells of all queued commands that ended since the last time, in one FIS. */
static void
flush_sdb (AhciPort *port, guint8 status, guint8 error)
{
  guint8 fis[8] = { FIS_SDB, FIS_I, status & 0x77, error };

  if (port->sdb_done == 0 && !(status & ATA_ERR))
    return;
  for (guint i = 0; i < 4; i++)
    fis[4 + i] = port->sdb_done >> (8 * i);
  port->guest.sact &= ~port->sdb_done;
  port->sdb_done = 0;
  /* SATA 3.1, 10.5.7: BSY and DRQ stay as they are. */
  set_task_file (port, (status & 0x77) | (port->guest.tfd & (ATA_BSY | ATA_DRQ)), error);
  post_fis (port, RX_SDB, fis, sizeof fis);
  port->guest.is |= AHCI_IS_SDBS;
  ahci_update_interrupt (port->ahci, FALSE);
}

/* ---- link and reset ---- */

void
ahci_port_abort (AhciPort *port)
{
  for (guint i = 0; i < AHCI_N_SLOTS; i++)
    if (port->commands[i].in_flight)
      port->commands[i].aborted = TRUE;
  port->active = NULL;
  port->queued = port->sdb_done = 0;
  port->draining = port->n_in_flight > 0;
  if (port->draining)
    {
      port->wants_work = TRUE;
      ahci_schedule (port->ahci);
    }
}

/* The last aborted command came back. */
static void
drained (AhciPort *port)
{
  Ahci *ahci = port->ahci;
  gboolean others = FALSE;

  port->draining = FALSE;
  if (!(port->guest.cmd & AHCI_CMD_ST))
    port->guest.cmd &= ~AHCI_CMD_CR;
  if (port->signature)
    send_signature (port);
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    others |= ahci->ports[i].draining;
  if (!others)
    ahci->guest.ghc &= ~AHCI_GHC_HR;
}

static void
reset_drive (AhciPort *port, gboolean hard)
{
  port->drive->drive_ops->reset (port->drive, hard);
  port->wants_work = TRUE;
  ahci_schedule (port->ahci);
}

void
ahci_port_link_down (AhciPort *port)
{
  ahci_port_abort (port);
  port->guest.ci = port->guest.sact = 0;
  port->guest.tfd = 0x7f;
  port->guest.sig = G_MAXUINT32;
  port->guest.held_fis = port->guest.srst = port->signature = FALSE;
  if (port->drive != NULL)
    port->guest.serr |= AHCI_SERR_DIAG_N;
}

void
ahci_port_link_up (AhciPort *port)
{
  guint det = port->guest.sctl & 0xf;

  if (port->drive == NULL || det == 1 || det == 4)
    return;
  port->guest.serr |= AHCI_SERR_DIAG_X | AHCI_SERR_DIAG_N;
  port->guest.sig = G_MAXUINT32;
  port->guest.tfd = ATA_BSY;
  reset_drive (port, TRUE);
  if (port->draining)
    port->signature = TRUE;
  else
    send_signature (port);
}

void
ahci_port_reset (AhciPort *port)
{
  ahci_port_link_down (port);
  port->guest.is = port->guest.ie = port->guest.serr = 0;
  port->guest.cmd = AHCI_CMD_SUD | AHCI_CMD_POD;
  port->guest.sctl = port->guest.sntf = 0;
  port->guest.halted = FALSE;
  port->next_slot = 0;
  ahci_port_link_up (port);
}

void
ahci_port_settle (AhciPort *port)
{
  Ahci *ahci = port->ahci;
  AhciDrive *drive;

  g_mutex_lock (&ahci->parent.parent.lock);
  drive = port->n_in_flight > 0 ? port->drive : NULL;
  g_mutex_unlock (&ahci->parent.parent.lock);
  if (drive != NULL && drive->drive_ops->settle == NULL)
    {
      ahci_port_drain (port);
      return;
    }
  if (drive != NULL)
    drive->drive_ops->settle (drive);
  g_mutex_lock (&ahci->parent.parent.lock);
  ahci->inside = TRUE;
  flush_sdb (port, ATA_GOOD, 0);
  ahci->inside = FALSE;
  g_mutex_unlock (&ahci->parent.parent.lock);
}

void
ahci_port_drain (AhciPort *port)
{
  Ahci *ahci = port->ahci;
  AhciDrive *drive;

  for (;;)
    {
      guint left;

      g_mutex_lock (&ahci->parent.parent.lock);
      left = port->n_in_flight;
      drive = port->drive;
      ahci->inside = TRUE;
      flush_sdb (port, ATA_GOOD, 0);
      ahci->inside = FALSE;
      g_mutex_unlock (&ahci->parent.parent.lock);
      if (left == 0 || drive == NULL)
        return;
      drive->drive_ops->drain (drive);
    }
}

/* ---- ends of commands ---- */

static void
take_back (AhciCommand *command)
{
  AhciPort *port = command->port;

  ahci_command_unpin (command);
  command->in_flight = FALSE;
  port->n_in_flight--;
  if (!command->aborted)
    {
      port->queued &= ~(1u << command->slot);
      if (port->active == command)
        port->active = NULL;
    }
}

static void
finish_queued (AhciCommand *command, guint8 status, guint8 error)
{
  AhciPort *port = command->port;

  if (!(status & ATA_ERR))
    {
      port->sdb_done |= 1u << command->slot; /* port_run tells, of all at once */
      return;
    }
  /* SATA 3.1, 13.6.3.4: all that is queued is aborted; PxSACT keeps their bits. */
  flush_sdb (port, ATA_GOOD, 0);
  if (command->released)
    flush_sdb (port, status, error);
  else
    post_d2h (port, status, error, command->out_lba, command->out_device, command->out_count, TRUE);
  ahci_port_abort (port);
}

static void
finish_plain (AhciCommand *command, guint8 status, guint8 error)
{
  AhciPort *port = command->port;

  if (!ahci_command_write_count (command))
    {
      stop_fatal (port, AHCI_IS_HBFS);
      return;
    }
  if (command->pio_in && !(status & ATA_ERR))
    {
      /* SATA 3.1, 10.5.11: status while the data moves, and E_STATUS after it. */
      guint8 fis[20] = { FIS_PIO_SETUP, FIS_I | FIS_D, status | ATA_DRQ, error };

      fill_registers (fis, command->out_lba, command->out_device, command->out_count);
      fis[15] = status;
      fis[16] = (guint8)command->moved;
      fis[17] = (guint8)(command->moved >> 8);
      set_task_file (port, status, error);
      post_fis (port, RX_PIO_SETUP, fis, sizeof fis);
      port->guest.is |= AHCI_IS_PSS;
    }
  else
    post_d2h (port, status, error, command->out_lba, command->out_device, command->out_count, TRUE);
  /* 5.3.14: an error keeps the bit; CCS says whose it was. */
  if (!(status & ATA_ERR))
    port->guest.ci &= ~(1u << command->slot);
  else if (port->queued != 0)
    ahci_port_abort (port); /* an unqueued command among queued ones (SATA 3.1, 13.6.2) */
}

/* The one place where commands end. */
void
ahci_command_finish (AhciCommand *command, guint8 status, guint8 error)
{
  AhciPort *port = command->port;

  take_back (command);
  if (!command->aborted)
    {
      if (command->prd_interrupt)
        port->guest.is |= AHCI_IS_DPS;
      if (command->queued)
        finish_queued (command, status, error);
      else
        finish_plain (command, status, error);
    }
  if (port->draining && port->n_in_flight == 0)
    drained (port);
  ahci_update_interrupt (port->ahci, FALSE);
  port_run (port);
}

void
ahci_command_fatal (AhciCommand *command, guint32 is)
{
  AhciPort *port = command->port;

  take_back (command);
  if (!command->aborted)
    {
      ahci_port_abort (port);
      stop_fatal (port, is);
    }
  if (port->draining && port->n_in_flight == 0)
    drained (port);
  ahci_update_interrupt (port->ahci, FALSE);
}

void
ahci_command_release (AhciCommand *command)
{
  AhciPort *port = command->port;
  guint8 setup[28] = { FIS_DMA_SETUP, 0 };

  command->released = TRUE;
  port->active = NULL;
  port->queued |= 1u << command->slot;
  port->guest.ci &= ~(1u << command->slot);
  port->ahci->n_queued++;
  post_d2h (port, ATA_GOOD, 0, 0, 0, 0, FALSE);
  /* SATA 3.1, 10.5.8: which tag the data is for. Data moves when the back end has it. */
  setup[1] = (command->fis[2] & 1) ? 0 : FIS_D;
  setup[4] = (guint8)command->slot;
  post_fis (port, RX_DMA_SETUP, setup, sizeof setup);
}

/* ---- fetching ---- */

static gboolean
can_fetch (AhciPort *port)
{
  Ahci *ahci = port->ahci;

  return port->guest.ci != 0 && (port->guest.cmd & AHCI_CMD_ST) && !port->guest.halted &&
         !port->draining && !port->detaching && !ahci->quiesced && port->active == NULL &&
         port->drive != NULL && !(port->guest.tfd & (ATA_BSY | ATA_DRQ)) &&
         pci_device_can_dma (&ahci->parent);
}

/* A Register FIS with C clear writes the device control register: software reset (SATA 3.1,
 * 11.4). */
static void
run_control (AhciPort *port, const AhciCommand *command)
{
  gboolean srst = (command->fis[15] & CONTROL_SRST) != 0;

  port->guest.ci &= ~(1u << command->slot);
  if (srst && !port->guest.srst)
    {
      port->guest.srst = TRUE;
      ahci_port_abort (port);
      reset_drive (port, FALSE);
      /* With C in the header (clear busy upon R_OK) the HBA goes on, to send the second FIS. */
      if (!(command->header & AHCI_HEADER_CLEAR))
        port->guest.tfd = ATA_BSY;
    }
  else if (!srst && port->guest.srst)
    {
      port->guest.srst = FALSE;
      port->guest.tfd = ATA_BSY;
      if (port->draining)
        port->signature = TRUE;
      else
        send_signature (port);
    }
}

static gboolean
fis_is_good (const AhciCommand *command)
{
  guint length = command->header & AHCI_HEADER_CFL;

  return length >= 5 && length <= 16 && command->fis[0] == FIS_H2D;
}

static void
run_slot (AhciPort *port, AhciCommand *command)
{
  Ahci *ahci = port->ahci;

  port->guest.cmd = (port->guest.cmd & ~(0x1fu << AHCI_CMD_CCS_SHIFT)) | (guint32)command->slot
                                                                             << AHCI_CMD_CCS_SHIFT;
  ahci->n_commands++;
  if (command->in_flight)
    {
      /* A tag that is still in use: all that is queued is aborted (SATA 3.1, 13.6.2). */
      post_d2h (port, ATA_GOOD | ATA_ERR, ATA_ABRT, 0, 0, 0, TRUE);
      ahci_port_abort (port);
      ahci_update_interrupt (ahci, FALSE);
      return;
    }
  if (!ahci_command_fetch (command))
    {
      stop_fatal (port, AHCI_IS_HBFS);
      return;
    }
  if (!fis_is_good (command))
    {
      /* The device answers such a FIS with R_ERR. */
      port->guest.serr |= AHCI_SERR_ERR_P | AHCI_SERR_DIAG_H;
      stop_fatal (port, AHCI_IS_IFS);
      return;
    }
  if (!(command->fis[1] & FIS_C))
    {
      run_control (port, command);
      return;
    }
  command->in_flight = TRUE;
  port->n_in_flight++;
  port->active = command;
  port->guest.tfd = (port->guest.tfd & ~(guint32)ATA_ERR) | ATA_BSY;
  port->drive->drive_ops->execute (port->drive, command);
}

/* Worker, lock held, inside set. */
static void
port_run (AhciPort *port)
{
  if (port->running)
    return;
  port->running = TRUE;
  while (can_fetch (port))
    {
      while (!(port->guest.ci & 1u << port->next_slot))
        port->next_slot = (port->next_slot + 1) % AHCI_N_SLOTS;
      run_slot (port, &port->commands[port->next_slot]);
      port->next_slot = (port->next_slot + 1) % AHCI_N_SLOTS;
    }
  port->running = FALSE;
  if (port->sdb_done == 0)
    return;
  if (port->n_in_flight == 0)
    flush_sdb (port, ATA_GOOD, 0);
  else if (!port->wants_sdb)
    {
      port->wants_sdb = TRUE;
      ahci_schedule (port->ahci);
    }
}

void
ahci_port_work (AhciPort *port)
{
  if (port->wants_work)
    {
      port->wants_work = FALSE;
      if (port->drive != NULL && port->drive->drive_ops->work != NULL)
        port->drive->drive_ops->work (port->drive);
    }
  if (port->wants_notify && !port->ahci->quiesced)
    {
      port->wants_notify = FALSE;
      ahci_port_notify (port);
    }
  if (port->wants_sdb)
    {
      port->wants_sdb = FALSE;
      flush_sdb (port, ATA_GOOD, 0);
    }
  port->wants_run = FALSE;
  port_run (port);
}

void
ahci_port_kick (AhciPort *port)
{
  if (port->wants_run || !can_fetch (port))
    return;
  port->wants_run = TRUE;
  ahci_schedule (port->ahci);
}
