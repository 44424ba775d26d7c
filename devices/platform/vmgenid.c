/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/vmgenid.h"

#include <string.h>

#include "devices/platform/fw-cfg.h"
#include "devices/platform/pm.h"
#include "vmm/boot/acpi-tables.h"
#include "vmm/machine.h"

struct _Vmgenid
{
  VmmDevice parent;
  struct
  {
    FwCfg *fw_cfg;
    Pm *pm;
  } config;
  struct
  {
    guint8 id[16];
    guint64 address; /* of the page in guest RAM, 0: not placed */
  } guest;
};

static GBytes *
make_page (Vmgenid *vmgenid)
{
  guint8 *page = g_malloc0 (VMM_ACPI_VMGENID_FILE_SIZE);

  memcpy (page + VMM_ACPI_VMGENID_OFFSET, vmgenid->guest.id, sizeof vmgenid->guest.id);
  return g_bytes_new_take (page, VMM_ACPI_VMGENID_FILE_SIZE);
}

/* The firmware reads the file when it places the page: it gets the present id. */
static void
on_select (gpointer user_data)
{
  Vmgenid *vmgenid = user_data;
  g_autoptr (GBytes) page = make_page (vmgenid);

  fw_cfg_replace_file (vmgenid->config.fw_cfg, VMM_ACPI_FILE_VMGENID_GUID, page);
}

static void
on_address (gpointer user_data, const guint8 *data)
{
  Vmgenid *vmgenid = user_data;
  guint64 address;

  memcpy (&address, data, sizeof address);
  vmgenid_set_address (vmgenid, GUINT64_FROM_LE (address));
}

void
vmgenid_set_address (Vmgenid *vmgenid, guint64 address)
{
  g_mutex_lock (&vmgenid->parent.lock);
  vmgenid->guest.address = address;
  g_mutex_unlock (&vmgenid->parent.lock);
}

void
vmgenid_set_id (Vmgenid *vmgenid, const guint8 id[16])
{
  guint64 address;
  gboolean told = FALSE;

  g_mutex_lock (&vmgenid->parent.lock);
  memcpy (vmgenid->guest.id, id, sizeof vmgenid->guest.id);
  address = vmgenid->guest.address;
  /* The address is the guest's word: a place outside RAM is its own loss. */
  if (address != 0 && address <= G_MAXUINT64 - VMM_ACPI_VMGENID_FILE_SIZE)
    told = vmm_guest_memory_write (vmm_machine_get_memory (vmgenid->parent.machine),
                                   vmm_gpa (address + VMM_ACPI_VMGENID_OFFSET), id,
                                   sizeof vmgenid->guest.id);
  g_mutex_unlock (&vmgenid->parent.lock);
  if (told)
    pm_raise_gpe (vmgenid->config.pm, VMM_ACPI_VMGENID_GPE_BIT);
}

void
vmgenid_get_id (Vmgenid *vmgenid, guint8 ret_id[16])
{
  g_mutex_lock (&vmgenid->parent.lock);
  memcpy (ret_id, vmgenid->guest.id, sizeof vmgenid->guest.id);
  g_mutex_unlock (&vmgenid->parent.lock);
}

static gboolean
realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  Vmgenid *vmgenid = (Vmgenid *)device;
  g_autoptr (GBytes) page = make_page (vmgenid);

  return fw_cfg_add_late_file (vmgenid->config.fw_cfg, VMM_ACPI_FILE_VMGENID_GUID, page, on_select,
                               vmgenid, error) &&
         fw_cfg_add_writable_file (vmgenid->config.fw_cfg, VMM_ACPI_FILE_VMGENID_ADDR,
                                   sizeof (guint64), on_address, vmgenid, error);
}

/* The files belong to fw_cfg, which goes with the machine. */
static void
unrealize (VmmDevice *device)
{
}

static void
reset (VmmDevice *device, VmmResetKind kind)
{
  vmgenid_set_address ((Vmgenid *)device, 0);
}

static void
quiesce (VmmDevice *device)
{
}

static void
resume (VmmDevice *device)
{
}

static const VmmStateField fields[] = {
  VMM_STATE_ARRAY (Vmgenid, guest.id, VMM_STATE_U8, 16),
  VMM_STATE_FIELD (Vmgenid, guest.address, VMM_STATE_U64),
};

static gboolean
save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), device);
  return TRUE;
}

static gboolean
load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  return vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), device, error);
}

static const VmmProperty properties[] = {
  { "fw-cfg", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (Vmgenid, config.fw_cfg), .required = TRUE },
  { "pm", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (Vmgenid, config.pm), .required = TRUE },
  { NULL },
};

const VmmDeviceOps vmgenid_ops = {
  .name = "vmgenid",
  .summary = "Virtual machine generation id",
  .spec = "Virtual Machine Generation ID 2012",
  .instance_size = sizeof (Vmgenid),
  .state_version = 1,
  .properties = properties,
  .realize = realize,
  .unrealize = unrealize,
  .reset = reset,
  .quiesce = quiesce,
  .resume = resume,
  .save = save,
  .load = load,
};
