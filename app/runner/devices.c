/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The PCI devices of a definition with their back ends. Each device's address is the one written
 * there. */
#include <errno.h>
#include <string.h>

#include "app/runner/machine-private.h"
#include "devices/backends/block/guard.h"
#include "devices/backends/block/image.h"
#include "devices/registry.h"
#include "devices/virtio/console.h"

char *
runner_device_id (const AlcoveDeviceConfig *config)
{
  return g_strdup_printf ("%s.%s", alcove_kind_to_string (config->kind), config->name);
}

/* (transfer full) a device of a type at its address; properties are set by the caller, who then
 * hands it to finish. */
static VmmDevice *
begin (RunnerMachine *self, const char *type, const AlcoveDeviceConfig *config, GError **error)
{
  const VmmDeviceOps *ops = device_registry_find (type);
  AlcovePciAddress address = config->address;
  g_autofree char *id = NULL;
  VmmDevice *device;

  g_assert (ops != NULL);
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
  id = runner_device_id (config);
  device = vmm_device_new (ops, id);
  if (!vmm_device_set_pointer (device, "bus", q35_board_get_root_bus (self->board), error) ||
      !vmm_device_set_uint (device, "devfn", PCI_MAKE_DEVFN (address.slot, address.function),
                            error))
    g_clear_pointer (&device, vmm_device_free);
  return device;
}

/* device: (transfer full). ok: all properties were set. */
static gboolean
finish (RunnerMachine *self,
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

/* The disk's contents, locked against other programs. */
static BlockBackend *
open_disk (const AlcoveDiskConfig *config, GError **error)
{
  const BlockOpenFlags raw_flags = {
    .readonly = config->readonly,
    .direct = config->cache == ALCOVE_CACHE_DIRECT,
    .discard = config->discard,
    .lock = config->readonly ? BLOCK_LOCK_SHARED : BLOCK_LOCK_EXCLUSIVE,
  };
  const BlockImageFlags flags = {
    .readonly = raw_flags.readonly,
    .direct = raw_flags.direct,
    .discard = raw_flags.discard,
  };
  BlockImage *image;

  if (config->format == ALCOVE_DISK_RAW)
    return block_raw_open (config->file, &raw_flags, error);
  image = block_image_open (config->file, BLOCK_FORMAT_QCOW2, &flags, error);
  return image != NULL ? block_image_backend_new (image, flags.discard) : NULL;
}

/* On a disk's worker: the machine has to wait for the host. */
static void
on_held (BlockBackend *backend, int error, gpointer user_data)
{
  RunnerMachine *self = user_data;
  g_autofree char *detail = NULL;

  if (error == -ENOSPC || error == -EDQUOT)
    detail = g_strdup_printf ("There is no space left on the host for “%s”. Nothing is lost: make "
                              "room, then resume the machine.",
                              backend->name);
  else
    detail =
        g_strdup_printf ("The host cannot use “%s” (%s). Nothing is lost: mend it, then resume "
                         "the machine.",
                         backend->name, g_strerror (-error));
  vmm_machine_request (vmm_vm_get_machine (self->vm), VMM_REQUEST_PAUSE, (guint64)-error, detail);
}

/* inner: (transfer full). */
static BlockBackend *
guard_disk (RunnerMachine *self, const AlcoveDiskConfig *config, BlockBackend *inner)
{
  const BlockGuardConfig guard = {
    .clock = vmm_machine_get_clock (vmm_vm_get_machine (self->vm)),
    .pause_on_error = config->on_error == ALCOVE_ON_ERROR_PAUSE,
    .throttle = { .rates = { [BLOCK_LIMIT_OPS] = config->iops,
                             [BLOCK_LIMIT_OPS_READ] = config->iops_read,
                             [BLOCK_LIMIT_OPS_WRITE] = config->iops_write,
                             [BLOCK_LIMIT_BYTES] = config->bandwidth << 20,
                             [BLOCK_LIMIT_BYTES_READ] = config->bandwidth_read << 20,
                             [BLOCK_LIMIT_BYTES_WRITE] = config->bandwidth_write << 20 },
                  .burst_ms = config->burst_ms },
    .held = on_held,
    .user_data = self,
  };

  return block_guard_new (inner, &guard);
}

static gboolean
make_disk (RunnerMachine *self, const AlcoveDiskConfig *config, GError **error)
{
  BlockBackend *backend = open_disk (config, error);
  guint queues = config->queues != 0
                     ? config->queues
                     : MIN (alcove_definition_get_machine (self->definition)->cpus, 4);
  VmmDevice *device;

  if (backend == NULL)
    {
      g_prefix_error (error, "[%s %s]: ", alcove_kind_to_string (config->base.kind),
                      config->base.name);
      return FALSE;
    }
  backend = guard_disk (self, config, backend);
  g_ptr_array_add (self->blocks, backend);
  g_ptr_array_add (self->block_ids, runner_device_id (&config->base));
  device = begin (self, "virtio-blk", &config->base, error);
  return device != NULL &&
         finish (self, &config->base, device,
                 vmm_device_set_pointer (device, "backend", backend, error) &&
                     vmm_device_set_uint (device, "num-queues", queues, error) &&
                     (config->serial == NULL ||
                      vmm_device_set_string (device, "serial", config->serial, error)),
                 error);
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
  return device != NULL && finish (self, &config->base, device,
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
         finish (self, &config->base, device,
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
         finish (self, &config->base, device,
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
  return device != NULL && finish (self, &consoles[0]->base, device,
                                   vmm_device_set_pointer (device, "ports", &list, error), error);
}

gboolean
runner_devices_make (RunnerMachine *self, GError **error)
{
  AlcoveDefinition *definition = self->definition;
  guint n;

  const AlcoveDisplayConfig *const *displays = alcove_definition_get_displays (definition, &n);
  for (guint i = 0; i < n; i++)
    if (!make_display (self, displays[i], error))
      return FALSE;
  const AlcoveDiskConfig *const *disks = alcove_definition_get_disks (definition, &n);
  for (guint i = 0; i < n; i++)
    if (!make_disk (self, disks[i], error))
      return FALSE;
  const AlcoveDiskConfig *const *cdroms = alcove_definition_get_cdroms (definition, &n);
  for (guint i = 0; i < n; i++)
    if (!make_disk (self, cdroms[i], error))
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

      if (device == NULL || !finish (self, &rngs[i]->base, device, TRUE, error))
        return FALSE;
    }
  return make_consoles (self, error);
}
