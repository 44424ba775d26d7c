/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/signal-port.h"

#include "vmm/machine.h"

#define PANICKED     (1u << 0)
#define CRASH_LOADED (1u << 1)

typedef struct
{
  VmmDevice parent;
  struct
  {
    guint64 port;
  } config;
  struct
  {
    guint64 last; /* the value last written */
  } guest;
  struct
  {
    VmmRegion region;
  } host;
} SignalPort;

static VmmIoResult
debug_exit_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  return VMM_IO_OK; /* zero */
}

static VmmIoResult
debug_exit_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  SignalPort *port = opaque;

  port->guest.last = value;
  vmm_machine_request (port->parent.machine, VMM_REQUEST_DEBUG_EXIT, value, NULL);
  return VMM_IO_OK;
}

static const VmmRegionOps debug_exit_region_ops = {
  .name = "debug-exit",
  .min_size = 1,
  .max_size = 4,
  .read = debug_exit_read,
  .write = debug_exit_write,
};

static VmmIoResult
pvpanic_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  *value = PANICKED | CRASH_LOADED;
  return VMM_IO_OK;
}

static VmmIoResult
pvpanic_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  SignalPort *port = opaque;

  if ((value & (PANICKED | CRASH_LOADED)) == 0)
    return VMM_IO_UNKNOWN;
  port->guest.last = value;
  vmm_machine_request (port->parent.machine, VMM_REQUEST_PANIC, value,
                       (value & PANICKED) != 0 ? "The guest system reported that it crashed."
                                               : "The guest system crashed and writes its dump.");
  return VMM_IO_OK;
}

static const VmmRegionOps pvpanic_region_ops = {
  .name = "pvpanic",
  .min_size = 1,
  .max_size = 1,
  .read = pvpanic_read,
  .write = pvpanic_write,
};

static gboolean
signal_port_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  SignalPort *port = (SignalPort *)device;
  gboolean is_exit = device->ops == &debug_exit_ops;

  device->machine = machine;
  vmm_region_init (&port->host.region, is_exit ? &debug_exit_region_ops : &pvpanic_region_ops, port,
                   &device->lock, is_exit ? 4 : 1);
  return vmm_bus_map (vmm_machine_get_pio (machine), port->config.port, &port->host.region, error);
}

static void
signal_port_unrealize (VmmDevice *device)
{
  SignalPort *port = (SignalPort *)device;

  vmm_bus_unmap (&port->host.region);
  vmm_region_drain (&port->host.region);
}

static void
signal_port_reset (VmmDevice *device, VmmResetKind kind)
{
  ((SignalPort *)device)->guest.last = 0;
}

static void
signal_port_quiesce (VmmDevice *device)
{
}

static void
signal_port_resume (VmmDevice *device)
{
}

static gboolean
signal_port_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  vmm_state_put_uint (writer, "last", ((SignalPort *)device)->guest.last);
  return TRUE;
}

static gboolean
signal_port_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  return vmm_state_get_uint (reader, "last", G_MAXUINT32, &((SignalPort *)device)->guest.last,
                             error);
}

static const VmmProperty debug_exit_properties[] = {
  { "port", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (SignalPort, config.port), 0, 0xfffc, 0xf4 },
  { NULL },
};

static const VmmProperty pvpanic_properties[] = {
  { "port", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (SignalPort, config.port), 0, 0xffff, 0x505 },
  { NULL },
};

#define SIGNAL_PORT_OPS                                                                            \
  .instance_size = sizeof (SignalPort), .state_version = 1, .realize = signal_port_realize,        \
  .unrealize = signal_port_unrealize, .reset = signal_port_reset, .quiesce = signal_port_quiesce,  \
  .resume = signal_port_resume, .save = signal_port_save, .load = signal_port_load

const VmmDeviceOps debug_exit_ops = {
  .name = "debug-exit",
  .summary = "Exit port for test guests",
  .spec = "isa-debug-exit",
  .properties = debug_exit_properties,
  SIGNAL_PORT_OPS,
};

const VmmDeviceOps pvpanic_ops = {
  .name = "pvpanic",
  .summary = "Crash notification",
  .spec = "QEMU docs/specs/pvpanic",
  .properties = pvpanic_properties,
  SIGNAL_PORT_OPS,
};
