/* SPDX-License-Identifier: GPL-3.0-or-later */
/* OVF envelopes: "Open Virtualization Format Specification", DSP0243 1.1 and 2.1; the hardware items'
 * numbers are CIM_ResourceAllocationSettingData's ResourceType. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/import/import-private.h"

enum
{
  TYPE_CPU = 3,
  TYPE_MEMORY = 4,
  TYPE_IDE = 5,
  TYPE_SCSI = 6,
  TYPE_ETHERNET = 10,
  TYPE_FLOPPY = 14,
  TYPE_CD = 15,
  TYPE_DVD = 16,
  TYPE_DISK = 17,
  TYPE_STORAGE = 20,
  TYPE_SERIAL = 21,
  TYPE_PARALLEL = 22,
  TYPE_USB = 23,
  TYPE_GRAPHICS = 24,
  TYPE_SOUND = 35,
};

typedef struct
{
  AlcoveImport *import;
  GHashTable *members; /* (nullable) */
  xmlNode *envelope;
} Reader;

static xmlNode *
find_by_id (xmlNode *list, const char *element, const char *attribute, const char *id)
{
  for (xmlNode *node = import_xml_child (list, element); node != NULL;
       node = import_xml_next (node, element))
    {
      g_autofree char *value = import_xml_attribute (node, attribute);

      if (g_strcmp0 (value, id) == 0)
        return node;
    }
  return NULL;
}

/* "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized" and the like. */
static gboolean
parse_format (const char *uri, BlockFormat *ret)
{
  static const struct
  {
    const char *word;
    BlockFormat format;
  } words[] = { { "vmdk", BLOCK_FORMAT_VMDK },   { "vhdx", BLOCK_FORMAT_VHDX },
                { "vhd", BLOCK_FORMAT_VHD },     { "vdi", BLOCK_FORMAT_VDI },
                { "qcow2", BLOCK_FORMAT_QCOW2 }, { "gnome.org/~markmc/qcow", BLOCK_FORMAT_QCOW2 },
                { "raw", BLOCK_FORMAT_RAW } };
  g_autofree char *lower = uri != NULL ? g_ascii_strdown (uri, -1) : NULL;

  for (gsize i = 0; lower != NULL && i < G_N_ELEMENTS (words); i++)
    if (strstr (lower, words[i].word) != NULL)
      {
        *ret = words[i].format;
        return TRUE;
      }
  return FALSE;
}

/* "byte * 2^20", "MegaBytes". The power of two. */
static guint
parse_unit (const char *text, guint fallback)
{
  const char *power = text != NULL ? strstr (text, "2^") : NULL;
  guint64 value = 0;

  if (text == NULL || *text == '\0')
    return fallback;
  if (power != NULL)
    {
      value = strtoull (power + 2, NULL, 10);
      return value <= 50 ? (guint)value : fallback;
    }
  switch (g_ascii_tolower (*text))
    {
    case 'k':
      return 10;
    case 'm':
      return 20;
    case 'g':
      return 30;
    case 't':
      return 40;
    default:
      return strcmp (text, "byte") == 0 ? 0 : fallback;
    }
}

static guint64
shift (guint64 value, guint bits)
{
  return bits < 64 && value <= G_MAXUINT64 >> bits ? value << bits : G_MAXUINT64;
}

static guint64
parse_number (const char *text, guint64 fallback)
{
  guint64 value;

  return text != NULL && g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT64, &value, NULL)
             ? value
             : fallback;
}

static void
lose (Reader *reader, const char *what, const char *meaning)
{
  alcove_findings_add (reader->import->findings, ALCOVE_FINDING_LOST, what, "%s", meaning);
}

/* A file of the References section lies where it may. */
static gboolean
check_file (Reader *reader, xmlNode *file, const char *href, GError **error)
{
  AlcoveImport *import = reader->import;
  g_autofree char *compression = import_xml_attribute (file, "compression");
  g_autofree char *chunk = import_xml_attribute (file, "chunkSize");

  if (href == NULL || !import_name_is_plain (href))
    return import_set_invalid (
        error, import->path,
        "its file “%s” does not lie beside it. Put the files side by side and "
        "correct the name",
        href != NULL ? href : "?");
  if ((compression != NULL && *compression != '\0' && strcmp (compression, "identity") != 0) ||
      chunk != NULL)
    return import_set_invalid (error, import->path,
                               "its file “%s” is %s. Unpack it, then remove the attribute", href,
                               chunk != NULL ? "cut into pieces" : "compressed");
  if (reader->members != NULL && !g_hash_table_contains (reader->members, href))
    return import_set_invalid (error, import->path, "its file “%s” is not in the archive", href);
  return TRUE;
}

static gboolean
add_file_disk (Reader *reader,
               xmlNode *file,
               xmlNode *disk_node,
               const char *bus,
               guint64 size,
               GError **error)
{
  AlcoveImport *import = reader->import;
  g_autofree char *href = import_xml_attribute (file, "href");
  g_autofree char *uri = import_xml_attribute (disk_node, "format");
  BlockFormat format;
  AlcoveImportDisk *disk;

  if (!check_file (reader, file, href, error))
    return FALSE;
  if (!parse_format (uri, &format) && !parse_format (href, &format))
    return import_set_invalid (error, import->path, "the format “%s” of its disk is unknown",
                               uri != NULL ? uri : "");
  if (reader->members == NULL)
    {
      g_autofree char *folder = g_path_get_dirname (import->path);
      g_autofree char *path = g_build_filename (folder, href, NULL);
      struct stat st;

      if (lstat (path, &st) < 0 || !S_ISREG (st.st_mode))
        return import_set_invalid (error, import->path, "its file “%s” is not beside it", href);
      if (!import_check_alone (import, path, href, format, error))
        return FALSE;
      import_add_file_disk (import, path, block_format_to_string (format), bus, FALSE);
      return TRUE;
    }
  disk = import_add_disk (import, href, bus);
  if (disk != NULL)
    {
      disk->in_archive = TRUE;
      disk->format = format;
      disk->size = size;
      disk->file_bytes = *(guint64 *)g_hash_table_lookup (reader->members, href);
    }
  return TRUE;
}

/* HostResource: "ovf:/disk/ID" or "ovf:/file/ID"; old ones without "ovf:". */
static gboolean
add_disk (Reader *reader, const char *resource, const char *bus, GError **error)
{
  xmlNode *references = import_xml_child (reader->envelope, "References");
  xmlNode *section = import_xml_child (reader->envelope, "DiskSection");
  const char *id = resource != NULL ? strrchr (resource, '/') : NULL;
  g_autofree char *file_id = NULL, *capacity = NULL, *units = NULL, *parent = NULL;
  xmlNode *disk, *file;

  if (id == NULL)
    {
      lose (reader, "Disk", "It has no contents in this document.");
      return TRUE;
    }
  id++;
  if (strstr (resource, "/file/") != NULL)
    {
      file = find_by_id (references, "File", "id", id);
      return file != NULL
                 ? add_file_disk (reader, file, NULL, bus, 0, error)
                 : import_set_invalid (error, reader->import->path, "its file “%s” is missing", id);
    }
  disk = find_by_id (section, "Disk", "diskId", id);
  if (disk == NULL)
    return import_set_invalid (error, reader->import->path, "its disk “%s” is not described", id);
  file_id = import_xml_attribute (disk, "fileRef");
  capacity = import_xml_attribute (disk, "capacity");
  units = import_xml_attribute (disk, "capacityAllocationUnits");
  parent = import_xml_attribute (disk, "parentRef");
  if (parent != NULL && *parent != '\0')
    return import_set_invalid (error, reader->import->path,
                               "its disk “%s” holds only changes. Export it without snapshots", id);
  if (file_id == NULL)
    {
      g_autofree char *what = g_strdup_printf ("Disk %s", id);

      lose (reader, what, "It is empty; add a new disk when it is needed.");
      return TRUE;
    }
  file = find_by_id (references, "File", "id", file_id);
  if (file == NULL)
    return import_set_invalid (error, reader->import->path, "its file “%s” is missing", file_id);
  return add_file_disk (reader, file, disk, bus,
                        shift (parse_number (capacity, 0), parse_unit (units, 0)), error);
}

/* The kind of the controller that an item's Parent names. */
static const char *
find_bus (xmlNode *hardware, const char *parent)
{
  for (xmlNode *item = hardware->children; item != NULL && parent != NULL; item = item->next)
    {
      g_autofree char *id = NULL, *type = NULL, *subtype = NULL;

      if (item->type != XML_ELEMENT_NODE)
        continue;
      id = import_xml_child_text (item, "InstanceID");
      if (g_strcmp0 (id, parent) != 0)
        continue;
      type = import_xml_child_text (item, "ResourceType");
      subtype = import_xml_child_text (item, "ResourceSubType");
      switch (parse_number (type, 0))
        {
        case TYPE_IDE:
          return "ide";
        case TYPE_SCSI:
          return subtype != NULL && g_ascii_strcasecmp (subtype, "VirtioSCSI") == 0 ? "scsi"
                                                                                    : "lsi";
        case TYPE_STORAGE:
          if (subtype == NULL)
            return "sata";
          return strstr (subtype, "nvme") != NULL || strstr (subtype, "NVMe") != NULL ? "nvme"
                                                                                      : "sata";
        default:
          return NULL;
        }
    }
  return NULL;
}

static void
read_nic (Reader *reader, xmlNode *item)
{
  g_autofree char *model = import_xml_child_text (item, "ResourceSubType");
  g_autofree char *network = import_xml_child_text (item, "Connection");
  g_autofree char *address = import_xml_child_text (item, "Address");
  AlcoveImportNic *nic = import_add_nic (reader->import);

  if (nic == NULL)
    return;
  nic->has_mac = address != NULL && alcove_mac_parse (address, nic->mac);
  if (model == NULL || g_ascii_strncasecmp (model, "virtio", 6) != 0)
    alcove_findings_add (reader->import->findings, ALCOVE_FINDING_CHANGED, "Network card",
                         "%s becomes virtio. Linux has the driver; Windows needs it installed.",
                         model != NULL ? model : "It");
  if (network != NULL)
    alcove_findings_add (reader->import->findings, ALCOVE_FINDING_CHANGED, "Network",
                         "“%s” becomes user networking.", network);
}

static gboolean
read_item (Reader *reader, xmlNode *hardware, xmlNode *item, GError **error)
{
  AlcoveImport *import = reader->import;
  g_autofree char *type = import_xml_child_text (item, "ResourceType");
  g_autofree char *quantity = import_xml_child_text (item, "VirtualQuantity");
  g_autofree char *units = import_xml_child_text (item, "AllocationUnits");
  g_autofree char *resource = import_xml_child_text (item, "HostResource");
  g_autofree char *parent = import_xml_child_text (item, "Parent");
  g_autofree char *name = import_xml_child_text (item, "ElementName");

  switch (parse_number (type, 0))
    {
    case TYPE_CPU:
      import_set_cpus (import, parse_number (quantity, 1));
      return TRUE;
    case TYPE_MEMORY:
      import_set_memory (import,
                         shift (parse_number (quantity, 1024), parse_unit (units, 20)) >> 20);
      return TRUE;
    case TYPE_DISK:
      return add_disk (reader, resource, find_bus (hardware, parent), error);
    case TYPE_ETHERNET:
      read_nic (reader, item);
      return TRUE;
    case TYPE_CD:
    case TYPE_DVD:
      if (resource != NULL)
        lose (reader, "CD-ROM",
              "Its medium is not copied; unpack it from the archive if it is needed.");
      return TRUE;
    case TYPE_FLOPPY:
      lose (reader, "Floppy drive", "Alcove has none.");
      return TRUE;
    case TYPE_PARALLEL:
      lose (reader, "Parallel port", "Alcove has none.");
      return TRUE;
    case TYPE_USB:
      lose (reader, "USB controller",
            "Alcove machines have no USB yet; the tablet and keyboard work "
            "without.");
      return TRUE;
    case TYPE_SOUND:
      lose (reader, "Sound card", "Alcove machines have no sound yet.");
      return TRUE;
    case TYPE_IDE:
    case TYPE_SCSI:
    case TYPE_STORAGE:
    case TYPE_SERIAL:
    case TYPE_GRAPHICS:
      return TRUE;
    default:
      lose (reader, name != NULL ? name : "A device", "Alcove does not know its type.");
      return TRUE;
    }
}

/* VMware writes configuration keys, VirtualBox its own machine description. */
static void
read_firmware (Reader *reader, xmlNode *system, xmlNode *hardware)
{
  xmlNode *machine = import_xml_child (system, "Machine");
  xmlNode *box = import_xml_child (import_xml_child (machine, "Hardware"), "Firmware");
  g_autofree char *box_type = import_xml_attribute (box, "type");

  if (box_type != NULL && g_ascii_strncasecmp (box_type, "EFI", 3) == 0)
    reader->import->firmware = ALCOVE_FIRMWARE_UEFI;
  for (xmlNode *config = import_xml_child (hardware, "Config"); config != NULL;
       config = import_xml_next (config, "Config"))
    {
      g_autofree char *key = import_xml_attribute (config, "key");
      g_autofree char *value = import_xml_attribute (config, "value");

      if (g_strcmp0 (key, "firmware") == 0 && g_strcmp0 (value, "efi") == 0)
        reader->import->firmware = ALCOVE_FIRMWARE_UEFI;
      if (g_strcmp0 (key, "uefi.secureBoot.enabled") == 0 && g_strcmp0 (value, "true") == 0)
        lose (reader, "Secure Boot", "Alcove has no Secure Boot yet; the guest starts without it.");
    }
  if (reader->import->firmware == ALCOVE_FIRMWARE_UEFI)
    lose (reader, "UEFI variables", "Boot entries are found anew.");
}

static gboolean
read_system (Reader *reader, xmlNode *system, GError **error)
{
  AlcoveImport *import = reader->import;
  xmlNode *hardware = import_xml_child (system, "VirtualHardwareSection");

  if (hardware == NULL)
    return import_set_invalid (error, import->path, "it describes no hardware");
  import->title = import_xml_child_text (system, "Name");
  if (import->title == NULL)
    import->title = import_xml_attribute (system, "id");
  for (xmlNode *item = hardware->children; item != NULL; item = item->next)
    if ((import_xml_is (item, "Item") || import_xml_is (item, "StorageItem") ||
         import_xml_is (item, "EthernetPortItem")) &&
        !read_item (reader, hardware, item, error))
      return FALSE;
  read_firmware (reader, system, hardware);
  if (import_xml_child (system, "ProductSection") != NULL)
    lose (reader, "Properties of the appliance",
          "Values that its maker lets be set at deployment are not handed to the guest.");
  return TRUE;
}

static gboolean
read_envelope (Reader *reader, GError **error)
{
  xmlNode *system = import_xml_child (reader->envelope, "VirtualSystem");
  xmlNode *several = import_xml_child (reader->envelope, "VirtualSystemCollection");

  if (!import_xml_is (reader->envelope, "Envelope"))
    return import_set_invalid (error, reader->import->path, "it is no OVF envelope");
  if (system == NULL && several != NULL)
    {
      system = import_xml_child (several, "VirtualSystem");
      if (import_xml_next (system != NULL ? system->next : NULL, "VirtualSystem") != NULL ||
          import_xml_next (system, "VirtualSystem") != NULL)
        lose (reader, "Further machines", "Only the first machine of the collection is imported.");
    }
  if (system == NULL)
    return import_set_invalid (error, reader->import->path, "it describes no machine");
  return read_system (reader, system, error);
}

/* The checksums beside an unpacked envelope: NAME.mf. */
static gboolean
check_beside (AlcoveImport *import, const char *text, gsize length, GError **error)
{
  g_autofree char *stem = NULL, *path = NULL, *manifest = NULL;
  g_autofree char *name = g_path_get_basename (import->path);
  g_autoptr (GChecksum) hash = NULL;
  struct stat st;

  if (!g_str_has_suffix (import->path, ".ovf"))
    return TRUE;
  stem = g_strndup (import->path, strlen (import->path) - strlen (".ovf"));
  path = g_strconcat (stem, ".mf", NULL);
  if (stat (path, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size > IMPORT_DOCUMENT_MAX)
    return TRUE;
  if (!g_file_get_contents (path, &manifest, NULL, error) ||
      !import_read_manifest (import, manifest, error))
    return FALSE;
  hash = import_hash_new (import, name);
  if (hash != NULL)
    g_checksum_update (hash, (const guchar *)text, (gssize)length);
  return import_hash_check (import, name, hash, error);
}

gboolean
import_read_ovf (
    AlcoveImport *import, const char *text, gsize length, GHashTable *members, GError **error)
{
  Reader reader = { .import = import, .members = members };
  xmlDoc *document;
  gboolean good;

  if (members == NULL && !check_beside (import, text, length, error))
    return FALSE;
  document = import_xml_parse (import->path, text, length, error);
  if (document == NULL)
    return FALSE;
  reader.envelope = xmlDocGetRootElement (document);
  good = read_envelope (&reader, error);
  xmlFreeDoc (document);
  return good;
}
