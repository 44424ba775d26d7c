/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Graphics of Intel's processors take more than BARs: a table of the host's firmware (OpRegion) in the
 * guest's memory, with igd=legacy memory that the guest's firmware sets aside, and a chipset that is
 * called as the host's. Two ways for the table, and who comes first wins: firmware that knows of it
 * (SeaBIOS; a driver in the card's ROM) reads etc/igd-opregion and writes the device's register, any
 * other copies etc/alcove/igd-opregion with the ACPI tables, and we write it. */
#include "app/runner/passthrough-private.h"

#define OPREGION_FILE "etc/igd-opregion"
#define STOLEN_FILE   "etc/igd-bdsm-size"
#define PLACED_FILE   "etc/alcove/igd-opregion"

static void G_GNUC_PRINTF (2, 3) note (RunnerPci *pci, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_mutex_lock (&pci->notes_lock);
  g_ptr_array_add (pci->notes, g_strdup_vprintf (format, args));
  g_mutex_unlock (&pci->notes_lock);
  va_end (args);
}

/* On a vCPU thread, with fw_cfg's lock held. */
static void
on_placed (gpointer user_data, guint64 address)
{
  RunnerMachine *self = user_data;

  g_mutex_lock (&self->graphics.lock);
  if (self->graphics.device != NULL)
    vfio_pci_set_opregion_address (self->graphics.device, address);
  g_mutex_unlock (&self->graphics.lock);
}

static Q35Name
to_name (const VfioPciBridge *bridge)
{
  return (Q35Name){
    .vendor = bridge->vendor,
    .device = bridge->device,
    .subsystem_vendor = bridge->subsystem_vendor,
    .subsystem = bridge->subsystem,
    .revision = bridge->revision,
  };
}

/* SeaBIOS knows the board by these names: it would not set up interrupts and power management. */
static void
name_bridges (RunnerMachine *self, RunnerPci *pci, const VfioPciGraphics *graphics)
{
  const AlcoveMachineConfig *config = alcove_definition_get_machine (self->definition);
  Q35Name host = to_name (&graphics->host_bridge), lpc = to_name (&graphics->lpc_bridge);

  if (!graphics->lpc_bridge.known && !graphics->host_bridge.known)
    return;
  if (config->firmware != ALCOVE_FIRMWARE_UEFI)
    {
      note (pci, "The chipset keeps its own name: only UEFI firmware starts with the host's");
      return;
    }
  if (graphics->host_bridge.known)
    q35_board_name_host_bridge (self->board, &host);
  if (graphics->lpc_bridge.known)
    q35_board_name_lpc_bridge (self->board, &lpc);
}

gboolean
runner_passthrough_offer_graphics (RunnerMachine *self, RunnerPci *pci, GError **error)
{
  const VfioPciGraphics *graphics = vfio_pci_get_graphics (pci->device);
  guint64 size;
  g_autoptr (GBytes) bytes = NULL;

  if (graphics == NULL || (graphics->opregion == NULL && graphics->stolen_size == 0))
    return TRUE;
  if (self->graphics.device != NULL)
    {
      note (pci,
            "Another device of this machine is graphics of a processor too, and firmware serves "
            "one: this one has no OpRegion");
      return TRUE;
    }
  self->graphics.device = pci->device;
  size = GUINT64_TO_LE (graphics->stolen_size);
  bytes = g_bytes_new (&size, sizeof size);
  name_bridges (self, pci, graphics);
  return (graphics->stolen_size == 0 ||
          q35_board_add_fw_cfg_file (self->board, STOLEN_FILE, bytes, error)) &&
         (graphics->opregion == NULL ||
          (q35_board_add_fw_cfg_file (self->board, OPREGION_FILE, graphics->opregion, error) &&
           q35_board_add_placed_file (self->board, PLACED_FILE, graphics->opregion, on_placed, self,
                                      error)));
}

void
runner_passthrough_miss_graphics (RunnerPci *pci)
{
  const VfioPciGraphics *graphics = vfio_pci_get_graphics (pci->device);

  if (graphics != NULL && graphics->opregion != NULL)
    note (pci,
          "It came while the machine runs, and its OpRegion is for the firmware to place: start "
          "the machine with it for a picture on its outputs");
}

void
runner_passthrough_forget_graphics (RunnerMachine *self, VmmDevice *device)
{
  g_mutex_lock (&self->graphics.lock);
  if (self->graphics.device == device)
    self->graphics.device = NULL;
  g_mutex_unlock (&self->graphics.lock);
}

void
runner_passthrough_init_graphics (RunnerMachine *self)
{
  g_mutex_init (&self->graphics.lock);
}

void
runner_passthrough_finish_graphics (RunnerMachine *self)
{
  g_mutex_clear (&self->graphics.lock);
}
