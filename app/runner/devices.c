/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The PCI devices of a definition with their back ends. Each device's address is the one written
 * there. */
#include <errno.h>
#include <string.h>

#include "app/runner/machine-private.h"
#include "devices/registry.h"
#include "devices/virtio/console.h"

char *
runner_device_id (const AlcoveDeviceConfig *config)
{
  return g_strdup_printf ("%s.%s", alcove_kind_to_string (config->kind), config->name);
}

VmmDevice *
runner_device_begin (RunnerMachine *self,
                     const char *type,
                     const char *id,
                     const AlcoveDeviceConfig *config,
                     GError **error)
{
  const VmmDeviceOps *ops = device_registry_find (type);

  g_assert (ops != NULL);
  return runner_device_begin_ops (self, ops, id, config, error);
}

VmmDevice *
runner_device_begin_ops (RunnerMachine *self,
                         const VmmDeviceOps *ops,
                         const char *id,
                         const AlcoveDeviceConfig *config,
                         GError **error)
{
  AlcovePciAddress address = config->address;
  PciBus *bus = q35_board_get_root_bus (self->board);
  VmmDevice *device;

  if (!address.set)
    {
      int slot = q35_board_find_free_slot (self->board);

      if (slot < 0)
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                       "[%s %s]: no PCI slot is free: remove a device",
                       alcove_kind_to_string (config->kind), config->name);
          return NULL;
        }
      address.slot = slot;
    }
  if (address.bus != 0)
    bus = q35_board_get_port_bus (self->board, address.bus - 1u);
  g_assert (bus != NULL); /* the definition was checked */
  device = vmm_device_new (ops, id);
  if (!vmm_device_set_pointer (device, "bus", bus, error) ||
      !vmm_device_set_uint (device, "devfn", PCI_MAKE_DEVFN (address.slot, address.function),
                            error))
    g_clear_pointer (&device, vmm_device_free);
  return device;
}

static VmmDevice *
begin (RunnerMachine *self, const char *type, const AlcoveDeviceConfig *config, GError **error)
{
  g_autofree char *id = runner_device_id (config);

  return runner_device_begin (self, type, id, config, error);
}

gboolean
runner_device_finish (RunnerMachine *self,
                      const AlcoveDeviceConfig *config,
                      VmmDevice *device,
                      gboolean ok,
                      GError **error)
{
  if (ok && vmm_device_realize (device, vmm_vm_get_machine (self->vm), error))
    return TRUE;
  g_prefix_error (error, "[%s %s]: ", alcove_kind_to_string (config->kind), config->name);
  vmm_device_free (device);
  return FALSE;
}

static NetBackend *
make_net_backend (const AlcoveNicConfig *config, const char *hostname, GError **error)
{
  g_autofree NetForward *forwards = g_new0 (NetForward, config->forwards->len);
  NetUserConfig user = { forwards, config->forwards->len, FALSE, hostname };

  if (config->backend == ALCOVE_NIC_TAP)
    return net_tap_new (config->ifname, -1, config->vhost, error);
  for (guint i = 0; i < config->forwards->len; i++)
    {
      const AlcoveForward *forward = &g_array_index (config->forwards, AlcoveForward, i);

      forwards[i].udp = forward->udp;
      g_snprintf (forwards[i].host_address, sizeof forwards[i].host_address, "%u.%u.%u.%u",
                  forward->host_address >> 24, forward->host_address >> 16 & 255,
                  forward->host_address >> 8 & 255, forward->host_address & 255);
      forwards[i].host_port = forward->host_port;
      forwards[i].guest_port = forward->guest_port;
    }
  return net_user_new (&user, error);
}

static gboolean
make_nic (RunnerMachine *self, const AlcoveNicConfig *config, GError **error)
{
  g_autofree char *mac = alcove_mac_to_string (config->mac);
  NetBackend *backend = NULL;
  VmmDevice *device;

  if (config->backend != ALCOVE_NIC_NONE)
    {
      backend = make_net_backend (config, NULL, error);
      if (backend == NULL)
        {
          g_prefix_error (error, "[nic %s]: ", config->base.name);
          return FALSE;
        }
      g_ptr_array_add (self->nets, backend);
    }
  device = begin (self, "virtio-net", &config->base, error);
  return device != NULL &&
         runner_device_finish (self, &config->base, device,
                               vmm_device_set_pointer (device, "backend", backend, error) &&
                                   vmm_device_set_string (device, "mac", mac, error),
                               error);
}

static gboolean
make_display (RunnerMachine *self, const AlcoveDisplayConfig *config, GError **error)
{
  DisplayScanout *scanout;
  VmmDevice *device;

  if (config->type == ALCOVE_DISPLAY_NONE)
    return TRUE;
  if (self->n_scanouts == RUNNER_MAX_DISPLAYS)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "[display %s]: a machine has at most %d displays", config->base.name,
                   RUNNER_MAX_DISPLAYS);
      return FALSE;
    }
  scanout = display_scanout_new (self->n_scanouts);
  self->scanouts[self->n_scanouts++] = scanout;
  device =
      begin (self, config->type == ALCOVE_DISPLAY_VGA ? "vga" : "virtio-vga", &config->base, error);
  return device != NULL &&
         runner_device_finish (self, &config->base, device,
                               vmm_device_set_pointer (device, "scanout", scanout, error) &&
                                   vmm_device_set_uint (device, "width", config->width, error) &&
                                   vmm_device_set_uint (device, "height", config->height, error),
                               error);
}

static gboolean
make_input (RunnerMachine *self, const AlcoveInputConfig *config, GError **error)
{
  static const char *const kinds[] = {
    [ALCOVE_INPUT_KEYBOARD] = "keyboard",
    [ALCOVE_INPUT_TABLET] = "tablet",
    [ALCOVE_INPUT_MOUSE] = "mouse",
  };
  VmmDevice *device = begin (self, "virtio-input", &config->base, error);

  return device != NULL &&
         runner_device_finish (self, &config->base, device,
                               vmm_device_set_string (device, "kind", kinds[config->type], error) &&
                                   vmm_device_set_pointer (device, "router", self->router, error),
                               error);
}

/* All console groups are ports of one device, which sits at the first group's address. A name with
 * dots is a port for a program in the guest ("org.qemu.guest_agent.0"); any other is a terminal. */
static gboolean
make_consoles (RunnerMachine *self, GError **error)
{
  VirtioConsolePort ports[VIRTIO_CONSOLE_MAX_PORTS];
  guint n;
  const AlcoveCharConfig *const *consoles = alcove_definition_get_consoles (self->definition, &n);
  VirtioConsolePorts list = { ports, n };
  VmmDevice *device;

  if (n == 0)
    return TRUE;
  if (n > VIRTIO_CONSOLE_MAX_PORTS)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "[console %s]: a machine has at most %d consoles",
                   consoles[VIRTIO_CONSOLE_MAX_PORTS]->base.name, VIRTIO_CONSOLE_MAX_PORTS);
      return FALSE;
    }
  for (guint i = 0; i < n; i++)
    {
      gboolean named = strchr (consoles[i]->base.name, '.') != NULL;

      ports[i] = (VirtioConsolePort){
        .name = consoles[i]->base.name,
        .console = !named,
        .backend = runner_chars_make (self, consoles[i], error),
      };
      if (ports[i].backend == NULL)
        return FALSE;
    }
  device = begin (self, "virtio-console", &consoles[0]->base, error);
  return device != NULL &&
         runner_device_finish (self, &consoles[0]->base, device,
                               vmm_device_set_pointer (device, "ports", &list, error), error);
}

gboolean
runner_devices_make (RunnerMachine *self, GError **error)
{
  AlcoveDefinition *definition = self->definition;
  guint n;

  if (!runner_scsi_make (self, error))
    return FALSE;
  const AlcoveDisplayConfig *const *displays = alcove_definition_get_displays (definition, &n);
  for (guint i = 0; i < n; i++)
    if (!make_display (self, displays[i], error))
      return FALSE;
  const AlcoveDiskConfig *const *disks = alcove_definition_get_disks (definition, &n);
  for (guint i = 0; i < n; i++)
    if (!runner_disk_make (self, disks[i], error))
      return FALSE;
  const AlcoveDiskConfig *const *cdroms = alcove_definition_get_cdroms (definition, &n);
  for (guint i = 0; i < n; i++)
    if (!runner_disk_make (self, cdroms[i], error))
      return FALSE;
  const AlcoveNicConfig *const *nics = alcove_definition_get_nics (definition, &n);
  for (guint i = 0; i < n; i++)
    if (!make_nic (self, nics[i], error))
      return FALSE;
  const AlcoveInputConfig *const *inputs = alcove_definition_get_inputs (definition, &n);
  for (guint i = 0; i < n; i++)
    if (!make_input (self, inputs[i], error))
      return FALSE;
  const AlcoveRngConfig *const *rngs = alcove_definition_get_rngs (definition, &n);
  for (guint i = 0; i < n; i++)
    {
      VmmDevice *device = begin (self, "virtio-rng", &rngs[i]->base, error);

      if (device == NULL || !runner_device_finish (self, &rngs[i]->base, device, TRUE, error))
        return FALSE;
    }
  return runner_frames_make (self, error) && make_consoles (self, error) &&
         runner_passthrough_make_all (self, error);
}
