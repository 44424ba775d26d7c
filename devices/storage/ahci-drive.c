/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What hard disks and CD-ROM drives have in common: coming and going, and the forms of ATA. */
#include "devices/storage/ahci-private.h"

#include <string.h>

gboolean
ahci_drive_attach (AhciDrive *drive, const AhciDriveOps *ops, GError **error)
{
  Ahci *ahci = ahci_from_device (drive->drive_config.controller);
  AhciPort *port;

  if (ahci == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” needs a SATA controller to be plugged into", drive->parent.id);
      return FALSE;
    }
  port = &ahci->ports[drive->drive_config.port];
  drive->drive_ops = ops;
  g_mutex_lock (&ahci->parent.parent.lock);
  if (port->drive != NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "SATA port %u is taken by “%s”: use another port for “%s”", port->index,
                   port->drive->parent.id, drive->parent.id);
      g_mutex_unlock (&ahci->parent.parent.lock);
      return FALSE;
    }
  port->drive = drive;
  drive->port = port;
  ahci_port_link_up (port);
  ahci_update_interrupt (ahci, FALSE);
  g_mutex_unlock (&ahci->parent.parent.lock);
  return TRUE;
}

static void
drain_port (gpointer user_data)
{
  ahci_port_drain (user_data);
}

void
ahci_drive_detach (AhciDrive *drive)
{
  AhciPort *port = drive->port;
  Ahci *ahci;

  if (port == NULL)
    return;
  ahci = port->ahci;
  g_mutex_lock (&ahci->parent.parent.lock);
  port->detaching = TRUE;
  ahci_port_abort (port);
  g_mutex_unlock (&ahci->parent.parent.lock);
  vmm_worker_call (ahci->worker, drain_port, port);
  g_mutex_lock (&ahci->parent.parent.lock);
  ahci_port_link_down (port);
  port->drive = NULL;
  port->detaching = FALSE;
  drive->port = NULL;
  ahci_update_interrupt (ahci, FALSE);
  g_mutex_unlock (&ahci->parent.parent.lock);
}

void
ahci_drive_lock (AhciDrive *drive)
{
  g_mutex_lock (&drive->port->ahci->parent.parent.lock);
}

void
ahci_drive_unlock (AhciDrive *drive)
{
  g_mutex_unlock (&drive->port->ahci->parent.parent.lock);
}

void
ahci_put_string (guint16 *words, const char *text, guint n_words)
{
  gsize length = text != NULL ? strlen (text) : 0;

  for (guint i = 0; i < n_words; i++)
    {
      guint8 first = 2 * i < length ? (guint8)text[2 * i] : ' ';
      guint8 second = 2 * i + 1 < length ? (guint8)text[2 * i + 1] : ' ';

      words[i] = (guint16)(first << 8 | second);
    }
}

void
ahci_seal_identify (guint16 *words)
{
  guint8 sum = 0xa5;

  /* ACS-3, 7.12.7.78: the sum of all 512 bytes is 0. */
  for (guint i = 0; i < 255; i++)
    {
      sum += (guint8)words[i] + (guint8)(words[i] >> 8);
      words[i] = GUINT16_TO_LE (words[i]);
    }
  words[255] = GUINT16_TO_LE ((guint16)((guint8)-sum << 8 | 0xa5));
}

void
ahci_command_answer (AhciCommand *command, gconstpointer data, gsize length, gboolean pio)
{
  AhciData result = ahci_command_give (command, data, length);

  if (result != AHCI_DATA_OK)
    {
      ahci_command_data_failed (command, result);
      return;
    }
  command->pio_in = pio;
  ahci_command_finish (command, ATA_GOOD, 0);
}

gboolean
ahci_drive_find (VmmDevice *device, VmmDevice **ret_controller, guint *ret_port)
{
  AhciDrive *drive = (AhciDrive *)device;

  if (device == NULL ||
      (device->ops != &ahci_disk_device_ops && device->ops != &ahci_cdrom_device_ops))
    return FALSE;
  *ret_controller = drive->drive_config.controller;
  *ret_port = (guint)drive->drive_config.port;
  return TRUE;
}
