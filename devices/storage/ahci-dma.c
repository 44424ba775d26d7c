/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Command headers, command tables, and the memory that their PRDs describe (AHCI 1.3.1, 4.2). All
 * of it is the guest's and may change at any time: each word is read once and used as read. */
#include "devices/storage/ahci-private.h"

#include <errno.h>
#include <string.h>

#define HEADER_SIZE 32
#define PACKET_AT   0x40
#define PRDT_AT     0x80
#define PRD_SIZE    16

static VmmGuestMemory *
get_memory (AhciCommand *command)
{
  return vmm_machine_get_memory (command->port->ahci->parent.parent.machine);
}

static guint64
header_address (AhciCommand *command)
{
  return command->port->guest.clb + command->slot * HEADER_SIZE;
}

gboolean
ahci_command_fetch (AhciCommand *command)
{
  VmmGuestMemory *memory = get_memory (command);
  guint32 words[4];

  if (!vmm_guest_memory_read (memory, vmm_gpa (header_address (command)), words, sizeof words))
    return FALSE;
  command->header = GUINT32_FROM_LE (words[0]);
  command->n_prds = command->header >> 16;
  command->table = (GUINT32_FROM_LE (words[2]) & ~0x7fu) | (guint64)GUINT32_FROM_LE (words[3])
                                                               << 32;
  if (command->table > G_MAXUINT64 - PRDT_AT - 65536 * PRD_SIZE)
    return FALSE;
  command->next_prd = 0;
  command->prd_left = 0;
  command->prd_interrupt = FALSE;
  command->moved = 0;
  command->aborted = command->queued = command->released = command->pio_in = FALSE;
  command->block.flags = BLOCK_REQUEST_NONE;
  command->step = NULL;
  command->failed = NULL;
  memset (command->packet, 0, sizeof command->packet);
  if (!vmm_guest_memory_read (memory, vmm_gpa (command->table), command->fis, sizeof command->fis))
    return FALSE;
  command->out_lba = command->out_count = 0;
  command->out_device = command->fis[7];
  return !(command->header & AHCI_HEADER_ATAPI) ||
         vmm_guest_memory_read (memory, vmm_gpa (command->table + PACKET_AT), command->packet,
                                sizeof command->packet);
}

gboolean
ahci_command_write_count (AhciCommand *command)
{
  guint32 le = GUINT32_TO_LE (command->moved);

  return vmm_guest_memory_write (get_memory (command), vmm_gpa (header_address (command) + 4), &le,
                                 sizeof le);
}

/* Makes prd_left more than 0. */
static AhciData
next_prd (AhciCommand *command)
{
  guint32 words[4];

  if (command->prd_left > 0)
    return AHCI_DATA_OK;
  if (command->next_prd >= command->n_prds)
    return AHCI_DATA_OVERFLOW;
  if (!vmm_guest_memory_read (
          get_memory (command),
          vmm_gpa (command->table + PRDT_AT + (guint64)command->next_prd * PRD_SIZE), words,
          sizeof words))
    return AHCI_DATA_FAULT;
  command->next_prd++;
  /* 4.2.3.3: addresses and counts are even; the count is less one. */
  command->prd_address = (GUINT32_FROM_LE (words[0]) & ~1u) | (guint64)GUINT32_FROM_LE (words[1])
                                                                  << 32;
  command->prd_left = (GUINT32_FROM_LE (words[3]) & 0x3fffff & ~1u) + 2;
  command->prd_interrupt |= (GUINT32_FROM_LE (words[3]) & 1u << 31) != 0;
  if (command->prd_address > G_MAXUINT64 - command->prd_left)
    return AHCI_DATA_FAULT;
  return AHCI_DATA_OK;
}

static void
advance (AhciCommand *command, guint32 length)
{
  command->prd_address += length;
  command->prd_left -= length;
}

static gboolean
grow_iov (AhciCommand *command)
{
  if (command->iov_size == AHCI_IOV_MAX)
    return FALSE;
  command->iov_size = CLAMP (command->iov_size * 2, 32, AHCI_IOV_MAX);
  command->iov = g_renew (struct iovec, command->iov, command->iov_size);
  return TRUE;
}

static AhciData
pin_piece (AhciCommand *command, guint32 length)
{
  int n;

  do
    n = vmm_guest_memory_pin (get_memory (command), vmm_gpa (command->prd_address), length,
                              command->iov_write, command->iov + command->n_iov,
                              command->iov_size - command->n_iov);
  while (n == -E2BIG && grow_iov (command));
  if (n < 0)
    return AHCI_DATA_FAULT;
  command->n_iov += (guint)n;
  advance (command, length);
  return AHCI_DATA_OK;
}

/* As much of the entry as is RAM: a driver may describe more memory than the command will use, and
 * what is not used may be anything. Returns bytes. */
static guint32
pin_prefix (AhciCommand *command, guint32 length)
{
  guint32 done = 0;

  for (guint32 piece = length; done < length && piece >= 2; piece /= 2)
    {
      piece = MIN (piece, length - done);
      if (pin_piece (command, piece) == AHCI_DATA_OK)
        done += piece;
    }
  return done;
}

AhciData
ahci_command_pin (
    AhciCommand *command, guint64 want, gboolean for_write, guint unit, guint64 *ret_length)
{
  guint64 length = 0;
  AhciData result = AHCI_DATA_OK;

  command->n_iov = 0;
  command->iov_write = for_write;
  while (length < want)
    {
      guint64 most = want - length;

      if (command->n_iov >= AHCI_PIECE)
        {
          /* Enough for one request, up to the end of this sector: it can be 256 PRDs more. */
          if (unit == 0 || length % unit == 0)
            break;
          most = MIN (most, unit - length % unit);
        }
      result = next_prd (command);
      if (result == AHCI_DATA_OK)
        {
          guint32 piece = (guint32)MIN (command->prd_left, most);

          if (unit == 0)
            {
              guint32 done = pin_prefix (command, piece);

              length += done;
              if (done < piece)
                break;
              continue;
            }
          result = pin_piece (command, piece);
          if (result == AHCI_DATA_OK)
            {
              length += piece;
              continue;
            }
        }
      break;
    }
  if (result == AHCI_DATA_OVERFLOW && unit == 0)
    result = AHCI_DATA_OK;
  if (result != AHCI_DATA_OK)
    ahci_command_unpin (command);
  *ret_length = length;
  return result;
}

void
ahci_command_unpin (AhciCommand *command)
{
  if (command->n_iov > 0)
    vmm_guest_memory_unpin (get_memory (command), command->iov, command->n_iov, command->iov_write);
  command->n_iov = 0;
}

static AhciData
copy (AhciCommand *command, guint8 *data, gsize length, gboolean give)
{
  while (length > 0)
    {
      AhciData result = next_prd (command);
      guint32 piece = (guint32)MIN (command->prd_left, length);
      VmmGpa gpa = vmm_gpa (command->prd_address);

      if (result != AHCI_DATA_OK)
        return result;
      if (!(give ? vmm_guest_memory_write (get_memory (command), gpa, data, piece)
                 : vmm_guest_memory_read (get_memory (command), gpa, data, piece)))
        return AHCI_DATA_FAULT;
      advance (command, piece);
      data += piece;
      length -= piece;
      command->moved += piece;
    }
  return AHCI_DATA_OK;
}

AhciData
ahci_command_give (AhciCommand *command, gconstpointer data, gsize length)
{
  return copy (command, (guint8 *)data, length, TRUE);
}

AhciData
ahci_command_take (AhciCommand *command, gpointer data, gsize length)
{
  return copy (command, data, length, FALSE);
}

void
ahci_command_data_failed (AhciCommand *command, AhciData why)
{
  ahci_command_fatal (command, why == AHCI_DATA_OVERFLOW ? AHCI_IS_OFS : AHCI_IS_HBFS);
}

/* ---- commands of several back end requests ---- */

static void
run_steps (AhciCommand *command)
{
  while (command->step (command))
    {
      command->submitting = TRUE;
      command->returned = FALSE;
      command->backend->ops->submit (command->backend, command->port->ahci->worker,
                                     &command->block);
      command->submitting = FALSE;
      if (!command->returned)
        return;
      ahci_command_unpin (command);
      if (command->aborted || command->result < 0)
        {
          command->failed (command, command->result);
          return;
        }
    }
}

static void
block_done (BlockRequest *request, int result)
{
  AhciCommand *command = (AhciCommand *)request;
  Ahci *ahci = command->port->ahci;
  gboolean entered;

  command->result = result;
  command->returned = TRUE;
  if (command->submitting)
    return;
  entered = ahci_enter (ahci);
  ahci_command_unpin (command);
  if (command->aborted || result < 0)
    command->failed (command, result);
  else
    run_steps (command);
  ahci_leave (ahci, entered);
}

void
ahci_command_run (AhciCommand *command)
{
  command->block.done = block_done;
  run_steps (command);
}
