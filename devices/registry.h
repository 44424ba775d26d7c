/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The list of all device types: one line a device in registry.c. Thread: any. */
#pragma once
#include "vmm/device.h"

/* NULL when there is no such type. */
const VmmDeviceOps *device_registry_find (const char *name);
/* Ends with NULL. */
const VmmDeviceOps *const *device_registry_get (void);
/* Checks every entry (mandatory ops, unique names). */
gboolean device_registry_validate (GError **error);
