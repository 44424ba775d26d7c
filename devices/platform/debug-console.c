/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/debug-console.h"

#include "devices/backends/char/char.h"
#include "vmm/machine.h"

#define PRESENT 0xe9

typedef struct
{
  VmmDevice parent;
  struct
  {
    guint64 port;
    CharBackend *chardev;
  } config;
  struct
  {
    guint64 dropped; /* bytes the back end had no room for */
  } guest;
  struct
  {
    VmmRegion region;
  } host;
} DebugConsole;

static VmmIoResult
debug_console_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  *value = PRESENT;
  return VMM_IO_OK;
}

/* Never waits: what the back end does not take is dropped and counted. */
static VmmIoResult
debug_console_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  DebugConsole *console = opaque;
  guint8 byte = (guint8)value;

  if (console->config.chardev == NULL ||
      console->config.chardev->ops->write (console->config.chardev, &byte, 1) != 1)
    console->guest.dropped++;
  return VMM_IO_OK;
}

static const VmmRegionOps region_ops = {
  .name = "debug-console",
  .min_size = 1,
  .max_size = 1,
  .read = debug_console_read,
  .write = debug_console_write,
};

static gboolean
debug_console_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  DebugConsole *console = (DebugConsole *)device;

  vmm_region_init (&console->host.region, &region_ops, console, &device->lock, 1);
  return vmm_bus_map (vmm_machine_get_pio (machine), console->config.port, &console->host.region,
                      error);
}

static void
debug_console_unrealize (VmmDevice *device)
{
  DebugConsole *console = (DebugConsole *)device;

  vmm_bus_unmap (&console->host.region);
  vmm_region_drain (&console->host.region);
}

static void
debug_console_reset (VmmDevice *device, VmmResetKind kind)
{
  ((DebugConsole *)device)->guest.dropped = 0;
}

static void
debug_console_quiesce (VmmDevice *device)
{
}

static void
debug_console_resume (VmmDevice *device)
{
}

static gboolean
debug_console_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  vmm_state_put_uint (writer, "dropped", ((DebugConsole *)device)->guest.dropped);
  return TRUE;
}

static gboolean
debug_console_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  return vmm_state_get_uint (reader, "dropped", G_MAXUINT64,
                             &((DebugConsole *)device)->guest.dropped, error);
}

static void
debug_console_stats (VmmDevice *device,
                     void (*add) (gpointer user_data, const char *name, guint64 value),
                     gpointer user_data)
{
  add (user_data, "dropped", ((DebugConsole *)device)->guest.dropped);
}

static const VmmProperty properties[] = {
  { "port", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (DebugConsole, config.port), 0, 0xffff, 0x402 },
  { "chardev", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (DebugConsole, config.chardev) },
  { NULL },
};

const VmmDeviceOps debug_console_ops = {
  .name = "debug-console",
  .summary = "Firmware debug console",
  .spec = "Bochs debug port, read as 0xe9",
  .instance_size = sizeof (DebugConsole),
  .state_version = 1,
  .properties = properties,
  .realize = debug_console_realize,
  .unrealize = debug_console_unrealize,
  .reset = debug_console_reset,
  .quiesce = debug_console_quiesce,
  .resume = debug_console_resume,
  .save = debug_console_save,
  .load = debug_console_load,
  .stats = debug_console_stats,
};
