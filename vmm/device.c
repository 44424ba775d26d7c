/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/device.h"

#include <string.h>

#include "vmm/machine.h"

#define ID_MAX_BYTES 200

static void *
property_at (VmmDevice *device, const VmmProperty *property)
{
  return (guint8 *)device + property->offset;
}

VmmDevice *
vmm_device_new (const VmmDeviceOps *ops, const char *id)
{
  VmmDevice *device;

  g_assert (ops->instance_size >= sizeof (VmmDevice));
  device = g_malloc0 (ops->instance_size);
  device->ops = ops;
  device->id = g_strdup (id);
  g_mutex_init (&device->lock);
  for (const VmmProperty *p = ops->properties; p != NULL && p->name != NULL; p++)
    switch (p->type)
      {
      case VMM_PROPERTY_BOOL:
        *(gboolean *)property_at (device, p) = p->default_uint != 0;
        break;
      case VMM_PROPERTY_UINT:
        *(guint64 *)property_at (device, p) = p->default_uint;
        break;
      case VMM_PROPERTY_STRING:
        *(char **)property_at (device, p) = g_strdup (p->default_string);
        break;
      case VMM_PROPERTY_POINTER:
        break;
      }
  return device;
}

void
vmm_device_free (VmmDevice *device)
{
  if (device == NULL)
    return;
  g_assert (!device->realized);
  for (const VmmProperty *p = device->ops->properties; p != NULL && p->name != NULL; p++)
    if (p->type == VMM_PROPERTY_STRING)
      g_free (*(char **)property_at (device, p));
  g_mutex_clear (&device->lock);
  g_free (device->id);
  g_free (device);
}

static const VmmProperty *
find_property (VmmDevice *device, const char *name, VmmPropertyType type, GError **error)
{
  if (device->realized)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "Device “%s”: “%s” can only be set before the machine is built", device->id,
                   name);
      return NULL;
    }
  for (const VmmProperty *p = device->ops->properties; p != NULL && p->name != NULL; p++)
    if (g_str_equal (p->name, name))
      {
        if (p->type == type)
          return p;
        g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                     "Device “%s” (%s): “%s” is not of that type", device->id, device->ops->name,
                     name);
        return NULL;
      }
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "Device “%s” (%s) has no property “%s”",
               device->id, device->ops->name, name);
  return NULL;
}

gboolean
vmm_device_set_uint (VmmDevice *device, const char *name, guint64 value, GError **error)
{
  const VmmProperty *p = find_property (device, name, VMM_PROPERTY_UINT, error);

  if (p == NULL)
    return FALSE;
  if (value < p->min || (p->max != 0 && value > p->max))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "Device “%s”: %s = %" G_GUINT64_FORMAT " is not between %" G_GUINT64_FORMAT
                   " and %" G_GUINT64_FORMAT,
                   device->id, name, value, p->min, p->max != 0 ? p->max : G_MAXUINT64);
      return FALSE;
    }
  *(guint64 *)property_at (device, p) = value;
  return TRUE;
}

gboolean
vmm_device_set_bool (VmmDevice *device, const char *name, gboolean value, GError **error)
{
  const VmmProperty *p = find_property (device, name, VMM_PROPERTY_BOOL, error);

  if (p == NULL)
    return FALSE;
  *(gboolean *)property_at (device, p) = value != FALSE;
  return TRUE;
}

gboolean
vmm_device_set_string (VmmDevice *device, const char *name, const char *value, GError **error)
{
  const VmmProperty *p = find_property (device, name, VMM_PROPERTY_STRING, error);
  char **at;

  if (p == NULL)
    return FALSE;
  if (value != NULL && p->max != 0 && strlen (value) > p->max)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "Device “%s”: %s is longer than %" G_GUINT64_FORMAT " bytes", device->id, name,
                   p->max);
      return FALSE;
    }
  at = property_at (device, p);
  g_free (*at);
  *at = g_strdup (value);
  return TRUE;
}

gboolean
vmm_device_set_pointer (VmmDevice *device, const char *name, gpointer value, GError **error)
{
  const VmmProperty *p = find_property (device, name, VMM_PROPERTY_POINTER, error);

  if (p == NULL)
    return FALSE;
  *(gpointer *)property_at (device, p) = value;
  return TRUE;
}

static gboolean
check_required (VmmDevice *device, GError **error)
{
  for (const VmmProperty *p = device->ops->properties; p != NULL && p->name != NULL; p++)
    {
      gboolean set = TRUE;

      if (!p->required)
        continue;
      if (p->type == VMM_PROPERTY_STRING || p->type == VMM_PROPERTY_POINTER)
        set = *(gpointer *)property_at (device, p) != NULL;
      else if (p->type == VMM_PROPERTY_UINT)
        set = *(guint64 *)property_at (device, p) >= p->min;
      if (set)
        continue;
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "Device “%s” (%s): “%s” must be set",
                   device->id, device->ops->name, p->name);
      return FALSE;
    }
  return TRUE;
}

gboolean
vmm_device_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  if (device->realized || strlen (device->id) > ID_MAX_BYTES)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "Device “%s” is already part of a machine, or its name is too long", device->id);
      return FALSE;
    }
  if (vmm_machine_find_device (machine, device->id) != NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "The machine already has a device “%s”: give this one another name", device->id);
      return FALSE;
    }
  if (!check_required (device, error))
    return FALSE;
  device->machine = machine;
  if (!device->ops->realize (device, machine, error))
    {
      device->machine = NULL;
      return FALSE;
    }
  device->realized = TRUE;
  vmm_machine_add_device (machine, device);
  return TRUE;
}

void
vmm_device_unrealize (VmmDevice *device)
{
  if (!device->realized)
    return;
  device->ops->unrealize (device);
  vmm_machine_remove_device (device->machine, device);
  device->realized = FALSE;
  device->machine = NULL;
}

gboolean
vmm_device_ops_validate (const VmmDeviceOps *ops, GError **error)
{
  const char *missing = NULL;

  if (ops->name == NULL || *ops->name == '\0')
    missing = "name";
  else if (ops->summary == NULL)
    missing = "summary";
  else if (ops->spec == NULL)
    missing = "spec";
  else if (ops->instance_size < sizeof (VmmDevice))
    missing = "instance_size";
  else if (ops->state_version == 0)
    missing = "state_version";
  else if (ops->realize == NULL)
    missing = "realize";
  else if (ops->unrealize == NULL)
    missing = "unrealize";
  else if (ops->reset == NULL)
    missing = "reset";
  else if (ops->quiesce == NULL)
    missing = "quiesce";
  else if (ops->resume == NULL)
    missing = "resume";
  else if (ops->save == NULL)
    missing = "save";
  else if (ops->load == NULL)
    missing = "load";
  for (const VmmProperty *p = ops->properties; missing == NULL && p != NULL && p->name != NULL; p++)
    if (p->offset < sizeof (VmmDevice) || p->offset >= ops->instance_size)
      missing = p->name;
  if (missing == NULL)
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "Device type “%s” lacks a valid “%s”",
               ops->name != NULL ? ops->name : "?", missing);
  return FALSE;
}
