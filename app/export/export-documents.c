/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The machine in the words of others: libvirt, KubeVirt, OVF (DSP0243 1.1), our own. */
#include <string.h>

#include "app/export/export-private.h"

static void G_GNUC_PRINTF (2, 3) add (GString *text, const char *format, ...)
{
  va_list args;
  g_autofree char *escaped = NULL;

  va_start (args, format);
  escaped = g_markup_vprintf_escaped (format, args);
  va_end (args);
  g_string_append (text, escaped);
}

static gboolean
is_uefi (const Export *export)
{
  return export->machine->firmware == ALCOVE_FIRMWARE_UEFI;
}

static gboolean
has_display (const Export *export)
{
  guint n = 0;
  const AlcoveDisplayConfig *const *displays =
      alcove_definition_get_displays (export->definition, &n);

  return n > 0 && displays[0]->type != ALCOVE_DISPLAY_NONE;
}

static char *
dup_bus (const ExportDisk *disk, AlcoveDefinition *definition)
{
  g_autofree char *group = g_strconcat ("disk ", disk->config->base.name, NULL);
  char *bus = alcove_definition_dup_value (definition, group, "bus");

  return bus != NULL ? bus : g_strdup ("virtio");
}

/* ---- libvirt ---- */

static void
add_libvirt_disk (const Export *export, const ExportDisk *disk, guint index, GString *text)
{
  g_autofree char *bus = dup_bus (disk, export->definition);
  g_autofree char *path = g_build_filename (export->to, disk->file, NULL);
  const char *prefix = strcmp (bus, "virtio") == 0 ? "vd" : "sd";

  /* libvirt has no NVMe disks made of files. */
  if (strcmp (bus, "virtio") != 0 && strcmp (bus, "scsi") != 0)
    {
      g_free (bus);
      bus = g_strdup ("sata");
    }
  add (text,
       "    <disk type='file' device='disk'>\n      <driver name='qemu' type='qcow2'/>\n"
       "      <source file='%s'/>\n      <target dev='%s%c' bus='%s'/>\n",
       path, prefix, 'a' + (char)(index % 22), bus);
  if (disk->config->readonly)
    g_string_append (text, "      <readonly/>\n");
  if (disk->config->base.boot_index > 0)
    add (text, "      <boot order='%u'/>\n", disk->config->base.boot_index);
  g_string_append (text, "    </disk>\n");
}

static void
add_libvirt_devices (const Export *export, GString *text)
{
  guint n = 0;
  const AlcoveDiskConfig *const *cdroms = alcove_definition_get_cdroms (export->definition, &n);
  const AlcoveNicConfig *const *nics;

  for (guint i = 0; i < export->disks->len; i++)
    add_libvirt_disk (export, g_ptr_array_index (export->disks, i), i, text);
  for (guint i = 0; i < n; i++)
    add (text,
         "    <disk type='file' device='cdrom'>\n      <driver name='qemu' type='raw'/>\n"
         "      <source file='%s'/>\n      <target dev='sd%c' bus='sata'/>\n      <readonly/>\n"
         "    </disk>\n",
         cdroms[i]->file, 'w' + (char)(i % 4));
  nics = alcove_definition_get_nics (export->definition, &n);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *mac = alcove_mac_to_string (nics[i]->mac);

      add (text,
           "    <interface type='user'>\n      <mac address='%s'/>\n      <model type='virtio'/>\n"
           "    </interface>\n",
           mac);
    }
  if (has_display (export))
    g_string_append (text, "    <graphics type='spice'/>\n"
                           "    <video>\n      <model type='virtio'/>\n    </video>\n"
                           "    <input type='tablet' bus='usb'/>\n");
  g_string_append (text, "    <serial type='pty'/>\n    <console type='pty'/>\n"
                         "    <rng model='virtio'>\n"
                         "      <backend model='random'>/dev/urandom</backend>\n    </rng>\n");
}

char *
export_dup_libvirt (const Export *export)
{
  const AlcoveMachineConfig *machine = export->machine;
  GString *text = g_string_new (NULL);

  add (text,
       "<domain type='kvm'>\n  <name>%s</name>\n  <uuid>%s</uuid>\n  <title>%s</title>\n"
       "  <memory unit='MiB'>%" G_GUINT64_FORMAT "</memory>\n  <vcpu>%u</vcpu>\n",
       export->id, machine->uuid, machine->title, machine->memory_mib, machine->cpus);
  g_string_append (text, is_uefi (export) ? "  <os firmware='efi'>\n" : "  <os>\n");
  g_string_append (text, "    <type arch='x86_64' machine='q35'>hvm</type>\n  </os>\n"
                         "  <features>\n    <acpi/>\n    <apic/>\n  </features>\n");
  g_string_append (text, "  <cpu mode='host-passthrough'>\n");
  if (machine->sockets > 0 || machine->cores > 0 || machine->threads > 0)
    add (text, "    <topology sockets='%u' cores='%u' threads='%u'/>\n", MAX (machine->sockets, 1),
         MAX (machine->cores, 1), MAX (machine->threads, 1));
  add (text, "  </cpu>\n  <clock offset='%s'/>\n",
       machine->clock == ALCOVE_CLOCK_LOCALTIME ? "localtime" : "utc");
  g_string_append (text, "  <devices>\n");
  add_libvirt_devices (export, text);
  g_string_append (text, "  </devices>\n</domain>\n");
  return g_string_free (text, FALSE);
}

/* ---- KubeVirt ---- */

/* A YAML string in double quotes: YAML 1.2, 7.3.1, has JSON's escapes. */
static void
add_quoted (GString *text, const char *value)
{
  g_string_append_c (text, '"');
  for (const char *p = value; *p != '\0'; p++)
    {
      if (*p == '"' || *p == '\\')
        g_string_append_printf (text, "\\%c", *p);
      else if ((guchar)*p < 0x20)
        g_string_append_printf (text, "\\x%02x", (guchar)*p);
      else
        g_string_append_c (text, *p);
    }
  g_string_append_c (text, '"');
}

static void
add_kubevirt_devices (const Export *export, GString *text)
{
  guint n_nics = 0;
  const AlcoveNicConfig *const *nics = alcove_definition_get_nics (export->definition, &n_nics);

  g_string_append (text, "        devices:\n          rng: {}\n");
  if (!has_display (export))
    g_string_append (text, "          autoattachGraphicsDevice: false\n");
  if (export->disks->len > 0)
    g_string_append (text, "          disks:\n");
  for (guint i = 0; i < export->disks->len; i++)
    {
      const ExportDisk *disk = g_ptr_array_index (export->disks, i);
      g_autofree char *bus = dup_bus (disk, export->definition);

      g_string_append_printf (
          text,
          "            - name: disk%u\n              disk:\n"
          "                bus: %s\n",
          i, strcmp (bus, "virtio") == 0 || strcmp (bus, "scsi") == 0 ? bus : "sata");
      if (disk->config->base.boot_index > 0)
        g_string_append_printf (text, "              bootOrder: %u\n",
                                disk->config->base.boot_index);
    }
  if (n_nics == 0)
    {
      g_string_append (text, "          autoattachPodInterface: false\n");
      return;
    }
  {
    g_autofree char *mac = alcove_mac_to_string (nics[0]->mac);

    g_string_append_printf (text,
                            "          interfaces:\n            - name: default\n"
                            "              masquerade: {}\n              model: virtio\n"
                            "              macAddress: \"%s\"\n",
                            mac);
  }
}

char *
export_dup_kubevirt (const Export *export)
{
  const AlcoveMachineConfig *machine = export->machine;
  GString *text = g_string_new ("# Upload the disks first, then apply this file:\n");
  guint n_nics = 0;

  (void)alcove_definition_get_nics (export->definition, &n_nics);
  for (guint i = 0; i < export->disks->len; i++)
    {
      const ExportDisk *disk = g_ptr_array_index (export->disks, i);

      g_string_append_printf (text,
                              "#   virtctl image-upload pvc %s-disk%u --size=%" G_GUINT64_FORMAT
                              "Mi --image-path=%s\n",
                              export->id, i, (disk->size + (1 << 20) - 1) >> 20, disk->file);
    }
  g_string_append_printf (text,
                          "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata:\n"
                          "  name: %s\n  annotations:\n    description: ",
                          export->id);
  add_quoted (text, machine->title);
  g_string_append_printf (
      text,
      "\nspec:\n  runStrategy: Halted\n  template:\n    metadata:\n"
      "      labels:\n        kubevirt.io/domain: %s\n    spec:\n"
      "      domain:\n        machine:\n          type: q35\n        cpu:\n"
      "          sockets: %u\n          cores: %u\n          threads: %u\n"
      "        memory:\n          guest: %" G_GUINT64_FORMAT "Mi\n"
      "        firmware:\n          uuid: %s\n          bootloader:\n            %s\n"
      "        clock:\n          utc: {}\n",
      export->id, MAX (machine->sockets, 1),
      machine->sockets + machine->cores + machine->threads > 0 ? MAX (machine->cores, 1)
                                                               : machine->cpus,
      MAX (machine->threads, 1), machine->memory_mib, machine->uuid,
      is_uefi (export) ? "efi: {secureBoot: false}" : "bios: {}");
  add_kubevirt_devices (export, text);
  if (n_nics > 0)
    g_string_append (text, "      networks:\n        - name: default\n          pod: {}\n");
  if (export->disks->len > 0)
    g_string_append (text, "      volumes:\n");
  for (guint i = 0; i < export->disks->len; i++)
    g_string_append_printf (text,
                            "        - name: disk%u\n          persistentVolumeClaim:\n"
                            "            claimName: %s-disk%u\n",
                            i, export->id, i);
  return g_string_free (text, FALSE);
}

/* ---- OVF ---- */

#define RASD(name, format) "        <rasd:" name ">" format "</rasd:" name ">\n"

static void
add_ovf_hardware (const Export *export, GString *text)
{
  guint n_nics = 0, id = 10;

  (void)alcove_definition_get_nics (export->definition, &n_nics);
  add (text,
       "      <Item>\n" RASD ("ElementName", "%u virtual CPUs") RASD ("InstanceID", "1")
           RASD ("ResourceType", "3") RASD ("VirtualQuantity", "%u") "      </Item>\n",
       export->machine->cpus, export->machine->cpus);
  add (text,
       "      <Item>\n" RASD ("AllocationUnits", "byte * 2^20") RASD ("ElementName", "Memory")
           RASD ("InstanceID", "2") RASD ("ResourceType", "4")
               RASD ("VirtualQuantity", "%" G_GUINT64_FORMAT) "      </Item>\n",
       export->machine->memory_mib);
  g_string_append (text,
                   "      <Item>\n" RASD ("Address", "0") RASD ("ElementName", "SATA controller")
                       RASD ("InstanceID", "3") RASD ("ResourceSubType", "AHCI")
                           RASD ("ResourceType", "20") "      </Item>\n");
  for (guint i = 0; i < export->disks->len; i++, id++)
    add (text,
         "      <Item>\n" RASD ("AddressOnParent", "%u") RASD ("ElementName", "Disk %u")
             RASD ("HostResource", "ovf:/disk/disk%u") RASD ("InstanceID", "%u")
                 RASD ("Parent", "3") RASD ("ResourceType", "17") "      </Item>\n",
         i, i + 1, i, id);
  for (guint i = 0; i < n_nics; i++, id++)
    add (text,
         "      <Item>\n" RASD ("AutomaticAllocation", "true") RASD ("Connection", "NAT")
             RASD ("ElementName", "Network card %u") RASD ("InstanceID", "%u")
                 RASD ("ResourceSubType", "E1000") RASD ("ResourceType", "10") "      </Item>\n",
         i + 1, id);
}

char *
export_dup_ovf (const Export *export)
{
  GString *text =
      g_string_new ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                    "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
                    "    xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
                    "    xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
                    "CIM_ResourceAllocationSettingData\"\n"
                    "    xmlns:vssd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
                    "CIM_VirtualSystemSettingData\"\n"
                    "    xmlns:vmw=\"http://www.vmware.com/schema/ovf\">\n  <References>\n");

  for (guint i = 0; i < export->disks->len; i++)
    {
      const ExportDisk *disk = g_ptr_array_index (export->disks, i);

      add (text,
           "    <File ovf:href=\"%s\" ovf:id=\"file%u\" ovf:size=\"%" G_GUINT64_FORMAT "\"/>\n",
           disk->file, i, disk->file_bytes);
    }
  g_string_append (text, "  </References>\n  <DiskSection>\n    <Info>Disks</Info>\n");
  for (guint i = 0; i < export->disks->len; i++)
    {
      const ExportDisk *disk = g_ptr_array_index (export->disks, i);

      add (text,
           "    <Disk ovf:capacity=\"%" G_GUINT64_FORMAT "\" ovf:capacityAllocationUnits=\"byte\" "
           "ovf:diskId=\"disk%u\" ovf:fileRef=\"file%u\" ovf:format=\"http://www.vmware.com/"
           "interfaces/specifications/vmdk.html#streamOptimized\"/>\n",
           disk->size, i, i);
    }
  g_string_append (text, "  </DiskSection>\n  <NetworkSection>\n    <Info>Networks</Info>\n"
                         "    <Network ovf:name=\"NAT\">\n"
                         "      <Description>The guest reaches the network through its host"
                         "</Description>\n    </Network>\n  </NetworkSection>\n");
  add (text,
       "  <VirtualSystem ovf:id=\"%s\">\n    <Info>A virtual machine</Info>\n    <Name>%s</Name>\n"
       "    <OperatingSystemSection ovf:id=\"1\">\n      <Info>The guest system</Info>\n"
       "      <Description>%s</Description>\n    </OperatingSystemSection>\n"
       "    <VirtualHardwareSection>\n      <Info>Hardware</Info>\n      <System>\n"
       "        <vssd:ElementName>Virtual hardware</vssd:ElementName>\n"
       "        <vssd:InstanceID>0</vssd:InstanceID>\n"
       "        <vssd:VirtualSystemIdentifier>%s</vssd:VirtualSystemIdentifier>\n"
       "        <vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType>\n      </System>\n",
       export->id, export->machine->title,
       export->machine->os != NULL ? export->machine->os : "other", export->id);
  add_ovf_hardware (export, text);
  add (text,
       "      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"%s\"/>\n"
       "    </VirtualHardwareSection>\n  </VirtualSystem>\n</Envelope>\n",
       is_uefi (export) ? "efi" : "bios");
  return g_string_free (text, FALSE);
}

/* ---- our own ---- */

char *
export_dup_definition (const Export *export)
{
  g_autoptr (AlcoveConfFile) file = alcove_definition_dup_conf (export->definition);

  for (guint i = 0; i < export->disks->len; i++)
    {
      const ExportDisk *disk = g_ptr_array_index (export->disks, i);
      g_autofree char *group = g_strconcat ("disk ", disk->config->base.name, NULL);

      alcove_conf_file_set_value (file, group, "file", disk->file);
      alcove_conf_file_set_value (file, group, "format", "qcow2");
    }
  return alcove_conf_file_to_text (file, NULL);
}
