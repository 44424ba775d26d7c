/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The [pci NAME] groups of a definition as devices of the machine. */
#include "app/runner/passthrough-private.h"

#include <string.h>

#include "app/definition-pci.h"
#include "devices/board/root-port.h"
#include "vfio/host/address.h"

/* What people hear of a function: each thing once, however often the guest provokes it. */
#define NOTES_MAX 16
#define TELL_MS   250 /* changes of that time are told at once: a guest can make many */

/* Any thread. */
static void
on_note (const char *text, gpointer user_data)
{
  RunnerPci *pci = user_data;
  gboolean known;

  g_mutex_lock (&pci->notes_lock);
  known = pci->notes->len >= NOTES_MAX ||
          g_ptr_array_find_with_equal_func (pci->notes, text,
                                            (GEqualFunc)(void (*) (void))g_str_equal, NULL);
  if (!known)
    g_ptr_array_add (pci->notes, g_strdup (text));
  g_mutex_unlock (&pci->notes_lock);
  if (!known)
    runner_passthrough_mark_changed (pci->machine);
}

static void
on_changed (gpointer user_data)
{
  runner_passthrough_mark_changed (((RunnerPci *)user_data)->machine);
}

static GVariant *
list_notes (RunnerPci *pci)
{
  g_autoptr (GPtrArray) notes = g_ptr_array_new ();
  GVariant *list;
  VfioP2p p2p;

  vfio_container_get_p2p (pci->machine->vfio, &p2p);
  g_mutex_lock (&pci->notes_lock);
  g_ptr_array_extend (notes, pci->notes, NULL, NULL);
  if (p2p.on && p2p.n_failed > 0 && pci->machine->pcis->len > 1)
    g_ptr_array_add (notes,
                     (gpointer) "Not all devices of this machine reach each other's memory, as "
                                "pci-p2p=true would have it: this computer's kernel or IOMMU "
                                "does not take some of it");
  list = g_variant_new_strv ((const char *const *)notes->pdata, (gssize)notes->len);
  g_mutex_unlock (&pci->notes_lock);
  return list;
}

static gboolean
on_tell (gpointer user_data)
{
  RunnerMachine *self = user_data;

  g_atomic_int_set (&self->cards_marked, 0);
  if (self->cards_changed != NULL)
    self->cards_changed (self->cards_changed_data);
  return G_SOURCE_REMOVE;
}

void
runner_passthrough_mark_changed (RunnerMachine *self)
{
  if (g_atomic_int_compare_and_exchange (&self->cards_marked, 0, 1))
    g_timeout_add (TELL_MS, on_tell, self);
}

void
runner_passthrough_watch (RunnerMachine *self,
                          void (*func) (gpointer user_data),
                          gpointer user_data)
{
  self->cards_changed = func;
  self->cards_changed_data = user_data;
}

void
runner_pci_free (gpointer data)
{
  RunnerPci *pci = data;

  g_free (pci->name);
  g_free (pci->host);
  g_ptr_array_unref (pci->notes);
  g_mutex_clear (&pci->notes_lock);
  g_free (pci);
}

RunnerPci *
runner_passthrough_find (RunnerMachine *self, const char *name)
{
  for (guint i = 0; i < self->pcis->len; i++)
    {
      RunnerPci *pci = g_ptr_array_index (self->pcis, i);

      if (strcmp (pci->name, name) == 0)
        return pci;
    }
  return NULL;
}

/* Its address as the kernel writes it, and its folder. */
static void
find_place (const char *host, char **ret_name, char **ret_sysfs)
{
  VfioAddress address;

  if (vfio_address_parse (host, &address))
    {
      *ret_name = vfio_address_to_string (address);
      *ret_sysfs = g_build_filename ("/sys/bus/pci/devices", *ret_name, NULL);
      return;
    }
  *ret_name = g_ascii_strdown (host, -1);
  *ret_sysfs = g_build_filename ("/sys/bus/mdev/devices", *ret_name, NULL);
}

static gboolean
read_rom (const AlcovePciConfig *config, GBytes **ret_rom, GError **error)
{
  g_autoptr (GMappedFile) file = NULL;

  *ret_rom = NULL;
  if (config->rom_file == NULL)
    return TRUE;
  file = g_mapped_file_new (config->rom_file, FALSE, error);
  if (file == NULL)
    {
      g_prefix_error (error, "[pci %s] rom-file: ", config->base.name);
      return FALSE;
    }
  if (g_mapped_file_get_length (file) == 0 || g_mapped_file_get_length (file) > PCI_ROM_MAX)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "[pci %s] rom-file: “%s” is %zu bytes long, and a ROM has 1 to %u",
                   config->base.name, config->rom_file, g_mapped_file_get_length (file),
                   PCI_ROM_MAX);
      return FALSE;
    }
  *ret_rom = g_bytes_new (g_mapped_file_get_contents (file), g_mapped_file_get_length (file));
  return TRUE;
}

/* The slot shows the guest the link that the card really has. */
static void
show_link (RunnerMachine *self, VmmDevice *device)
{
  PciDevice *port = q35_board_find_port (self->board, pci_device_get_bus ((PciDevice *)device));
  guint speed, width;

  if (port != NULL && vfio_pci_get_link (device, &speed, &width))
    pcie_root_port_set_link (port, speed, width);
}

static VfioPciIgd
igd_choice (AlcoveIgd igd)
{
  switch (igd)
    {
    case ALCOVE_IGD_OFF:
      return VFIO_PCI_IGD_OFF;
    case ALCOVE_IGD_LEGACY:
      return VFIO_PCI_IGD_LEGACY;
    case ALCOVE_IGD_ON:
    default:
      return VFIO_PCI_IGD_ON;
    }
}

static gboolean
has_other_functions (RunnerMachine *self, const AlcovePciConfig *config)
{
  guint n;
  const AlcovePciConfig *const *pcis = alcove_definition_get_pcis (self->definition, &n);

  for (guint i = 0; i < n; i++)
    if (pcis[i] != config && pcis[i]->base.address.bus == config->base.address.bus &&
        pcis[i]->base.address.slot == config->base.address.slot)
      return TRUE;
  return FALSE;
}

RunnerPci *
runner_passthrough_make (RunnerMachine *self, const AlcovePciConfig *config, GError **error)
{
  g_autofree char *id = runner_device_id (&config->base);
  g_autofree char *name = NULL, *sysfs = NULL;
  g_autoptr (GBytes) rom = NULL;
  RunnerPci *pci;
  gboolean ok;

  if (self->vfio == NULL)
    {
      self->vfio_kernel = vfio_kernel_new ();
      self->vfio =
          vfio_container_new (vmm_vm_get_machine (self->vm), self->vfio_kernel, VFIO_WAY_AUTO);
      vfio_container_set_p2p (self->vfio,
                              alcove_definition_get_machine (self->definition)->pci_p2p);
    }
  if (!read_rom (config, &rom, error) || !runner_passthrough_get_card (self, config, error))
    return NULL;
  find_place (config->host, &name, &sysfs);
  pci = g_new0 (RunnerPci, 1);
  pci->name = g_strdup (config->base.name);
  pci->host = g_strdup (name);
  pci->address = config->base.address;
  pci->notes = g_ptr_array_new_with_free_func (g_free);
  g_mutex_init (&pci->notes_lock);
  pci->machine = self;
  pci->events = (VfioPciEvents){ runner_passthrough_on_requested, on_note, on_changed, pci };
  pci->device = runner_device_begin_ops (self, &vfio_pci_ops, id, &config->base, error);
  ok = pci->device != NULL &&
       vmm_device_set_pointer (pci->device, "container", self->vfio, error) &&
       vmm_device_set_string (pci->device, "host", name, error) &&
       vmm_device_set_string (pci->device, "sysfs", sysfs, error) &&
       (config->vf_token == NULL ||
        vmm_device_set_string (pci->device, "vf-token", config->vf_token, error)) &&
       vmm_device_set_bool (pci->device, "rom", config->rom, error) &&
       vmm_device_set_bool (pci->device, "vga", config->vga, error) &&
       vmm_device_set_uint (pci->device, "igd", igd_choice (config->igd), error) &&
       (rom == NULL || vmm_device_set_pointer (pci->device, "rom-image", rom, error)) &&
       vmm_device_set_pointer (pci->device, "events", &pci->events, error) &&
       vmm_device_set_uint (pci->device, "multifunction",
                            has_other_functions (self, config) ? 1 : 0, error);
  if (pci->device == NULL || !runner_device_finish (self, &config->base, pci->device, ok, error))
    {
      runner_pci_free (pci);
      return NULL;
    }
  if (config->base.address.function == 0)
    show_link (self, pci->device);
  g_ptr_array_add (self->pcis, pci);
  return pci;
}

/* Cards with much memory of their own need as much address space; a processor with few bits has none
 * for them. */
gboolean
runner_passthrough_check_space (RunnerMachine *self, GError **error)
{
  guint64 sum = 0, largest = 0, space = q35_board_get_bar_space (self->board);
  const RunnerPci *worst = NULL;

  for (guint i = 0; i < self->pcis->len; i++)
    {
      const RunnerPci *pci = g_ptr_array_index (self->pcis, i);
      guint64 size = vfio_pci_get_window_size (pci->device);

      sum += size;
      if (size > largest)
        {
          largest = size;
          worst = pci;
        }
    }
  if (sum <= space || worst == NULL)
    return TRUE;
  g_set_error (
      error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
      "[pci %s]: %s has %" G_GUINT64_FORMAT
      " MiB of memory of its own, and the machine has addresses for %" G_GUINT64_FORMAT
      " MiB (%u bits, as this computer's processor): make the card's memory window smaller "
      "(resizable BAR, in the firmware or in its resource2_resize file), or pass fewer cards "
      "through",
      worst->name, worst->host, largest >> 20, space >> 20, vmm_vm_get_phys_bits (self->vm));
  return FALSE;
}

gboolean
runner_passthrough_make_all (RunnerMachine *self, GError **error)
{
  guint n;
  guint64 used = 0;
  const AlcovePciConfig *const *pcis = alcove_definition_get_pcis (self->definition, &n);

  for (guint i = 0; i < n; i++)
    {
      RunnerPci *pci = runner_passthrough_make (self, pcis[i], error);

      if (pci == NULL || !runner_passthrough_offer_graphics (self, pci, error))
        return FALSE;
    }
  if (!runner_passthrough_check_space (self, error))
    return FALSE;
  for (guint i = 0; i < self->pcis->len; i++)
    used +=
        vfio_pci_get_window_size (((const RunnerPci *)g_ptr_array_index (self->pcis, i))->device);
  q35_board_reserve_for_hotplug (self->board, used);
  return TRUE;
}

void
runner_passthrough_init (RunnerMachine *self)
{
  self->pcis = g_ptr_array_new_with_free_func (runner_pci_free);
  self->card_ejects = g_ptr_array_new ();
  self->card_adds = g_ptr_array_new ();
  runner_passthrough_init_cards (self);
  runner_passthrough_init_graphics (self);
}

/* The machine's devices are gone. */
void
runner_passthrough_finish (RunnerMachine *self)
{
  g_ptr_array_unref (self->pcis);
  g_ptr_array_unref (self->card_ejects);
  g_ptr_array_unref (self->card_adds);
  runner_passthrough_forget_requests (self);
  runner_passthrough_finish_cards (self);
  runner_passthrough_finish_graphics (self);
  vfio_container_free (self->vfio);
  vfio_kernel_free (self->vfio_kernel);
}

GVariant *
runner_passthrough_list (RunnerMachine *self)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->pcis->len; i++)
    {
      RunnerPci *pci = g_ptr_array_index (self->pcis, i);
      g_autofree char *address = alcove_pci_address_to_string (&pci->address);
      VfioPciStats stats;
      const char *interrupts;
      guint n_vectors;

      vfio_pci_get_stats (pci->device, &stats);
      interrupts = vfio_pci_get_interrupts (pci->device, &n_vectors);
      g_variant_builder_open (&builder, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&builder, "{sv}", "name", g_variant_new_string (pci->name));
      g_variant_builder_add (&builder, "{sv}", "host", g_variant_new_string (pci->host));
      g_variant_builder_add (&builder, "{sv}", "address", g_variant_new_string (address));
      g_variant_builder_add (
          &builder, "{sv}", "way",
          g_variant_new_string (
              vfio_container_get_way (self->vfio) == VFIO_WAY_IOMMUFD ? "iommufd" : "groups"));
      g_variant_builder_add (&builder, "{sv}", "leaving",
                             g_variant_new_boolean (runner_passthrough_is_leaving (self, pci)));
      g_variant_builder_add (&builder, "{sv}", "asked-back",
                             g_variant_new_boolean (g_atomic_int_get (&pci->asked_back)));
      g_variant_builder_add (&builder, "{sv}", "interrupts", g_variant_new_string (interrupts));
      g_variant_builder_add (&builder, "{sv}", "vectors", g_variant_new_uint32 (n_vectors));
      g_variant_builder_add (&builder, "{sv}", "notes", list_notes (pci));
      g_variant_builder_add (&builder, "{sv}", "trapped-reads", g_variant_new_uint64 (stats.reads));
      g_variant_builder_add (&builder, "{sv}", "trapped-writes",
                             g_variant_new_uint64 (stats.writes));
      g_variant_builder_add (&builder, "{sv}", "slow-interrupts",
                             g_variant_new_uint64 (stats.slow_interrupts));
      g_variant_builder_close (&builder);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}
