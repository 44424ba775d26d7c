/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The device interface. A device is one const VmmDeviceOps and an instance that starts with
 * VmmDevice and holds three nested structs: config (fixed after realize), guest (exactly what save
 * writes), host (fds, timers, buffers).
 *
 * Life: vmm_device_new -> properties set -> realize -> [reset, quiesce/resume, save/load]* ->
 * unrealize -> free. Every op is mandatory (refused at registration when missing).
 * Threads: all ops run on the control thread; quiesce comes with all vCPUs stopped. Handlers of its
 * regions run on vCPU threads with device->lock held. */
#pragma once
#include <glib.h>
#include "vmm/bus.h"
#include "vmm/error.h"
#include "vmm/irq.h"
#include "vmm/state.h"

typedef struct _VmmDevice VmmDevice;

typedef enum
{
  VMM_RESET_COLD, /* power-on: all state to its reset values */
  VMM_RESET_WARM, /* platform reset (cf9, keyboard controller, triple fault) */
} VmmResetKind;

typedef enum
{
  VMM_DEVICE_NONE = 0,
  VMM_DEVICE_UNSAVABLE = 1 << 0, /* cannot be saved (passthrough); save tells the reason */
} VmmDeviceFlags;

typedef enum
{
  VMM_PROPERTY_BOOL,    /* gboolean */
  VMM_PROPERTY_UINT,    /* guint64, min..max */
  VMM_PROPERTY_STRING,  /* char *, owned; max = longest length in bytes, 0 no limit */
  VMM_PROPERTY_POINTER, /* gpointer, borrowed (a back end, another device) */
} VmmPropertyType;

typedef struct
{
  const char *name;
  VmmPropertyType type;
  gsize offset; /* into the instance */
  guint64 min, max;
  guint64 default_uint;
  const char *default_string;
  gboolean required;
} VmmProperty;

typedef struct
{
  const char *name;    /* "virtio-blk-pci" */
  const char *summary; /* for people, translatable by the application */
  const char *spec;    /* "Virtio 1.2" */
  gsize instance_size;
  guint32 state_version; /* >= 1 */
  VmmDeviceFlags flags;
  const VmmProperty *properties; /* ends with name NULL */

  gboolean (*realize) (VmmDevice *device, VmmMachine *machine, GError **error);
  void (*unrealize) (VmmDevice *device);
  void (*reset) (VmmDevice *device, VmmResetKind kind);
  /* After it no DMA, no timer, no callback of the device runs until resume; in-flight I/O is done. */
  void (*quiesce) (VmmDevice *device);
  void (*resume) (VmmDevice *device);
  gboolean (*save) (VmmDevice *device, VmmStateWriter *writer, GError **error);
  gboolean (*load) (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error);
  /* (nullable) Counters for GetStats: calls add once per counter. */
  void (*stats) (VmmDevice *device,
                 void (*add) (gpointer user_data, const char *name, guint64 value),
                 gpointer user_data);
} VmmDeviceOps;

struct _VmmDevice
{
  const VmmDeviceOps *ops;
  char *id;            /* unique in the machine, e.g. "disk.system" */
  VmmMachine *machine; /* set while realized */
  GMutex lock;         /* guards guest state; held in region handlers */
  gboolean realized;
};

/* Allocates an instance with default properties. */
VmmDevice *vmm_device_new (const VmmDeviceOps *ops, const char *id);
/* Unrealized devices only; frees owned strings. */
void vmm_device_free (VmmDevice *device);
gboolean vmm_device_set_uint (VmmDevice *device, const char *name, guint64 value, GError **error);
gboolean vmm_device_set_bool (VmmDevice *device, const char *name, gboolean value, GError **error);
gboolean
vmm_device_set_string (VmmDevice *device, const char *name, const char *value, GError **error);
gboolean
vmm_device_set_pointer (VmmDevice *device, const char *name, gpointer value, GError **error);
/* Checks required properties, calls ops->realize, adds it to the machine. On error nothing remains. */
gboolean vmm_device_realize (VmmDevice *device, VmmMachine *machine, GError **error);
void vmm_device_unrealize (VmmDevice *device);
/* NULL with INVALID when a mandatory op, the name or the version is missing. */
gboolean vmm_device_ops_validate (const VmmDeviceOps *ops, GError **error);
