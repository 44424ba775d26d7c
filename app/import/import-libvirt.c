/* SPDX-License-Identifier: GPL-3.0-or-later */
/* libvirt domain XML (https://libvirt.org/formatdomain.html), as virt-manager, virsh dumpxml and GNOME
 * Boxes have it. */
#include <string.h>

#include "app/import/import-private.h"

static guint64
parse_number (const char *text, guint64 fallback)
{
  guint64 value;

  return text != NULL && g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT64, &value, NULL)
             ? value
             : fallback;
}

static void
read_memory (AlcoveImport *import, xmlNode *domain)
{
  xmlNode *node = import_xml_child (domain, "currentMemory");
  g_autofree char *text = NULL, *unit = NULL;
  guint64 value, bytes = 1024;

  if (node == NULL)
    node = import_xml_child (domain, "memory");
  text = import_xml_text (node);
  unit = import_xml_attribute (node, "unit");
  value = parse_number (text, 0);
  if (value == 0)
    return;
  if (unit != NULL)
    switch (g_ascii_tolower (*unit))
      {
      case 'b':
        bytes = 1;
        break;
      case 'm':
        bytes = 1024 * 1024;
        break;
      case 'g':
        bytes = 1024 * 1024 * 1024;
        break;
      case 't':
        bytes = 1ULL << 40;
        break;
      default:
        break;
      }
  if (value > G_MAXUINT64 / bytes)
    value = G_MAXUINT64 / bytes;
  import_set_memory (import, value * bytes / (1024 * 1024));
}

static void
read_cpu (AlcoveImport *import, xmlNode *domain)
{
  xmlNode *cpu = import_xml_child (domain, "cpu");
  xmlNode *topology = import_xml_child (cpu, "topology");
  g_autofree char *vcpu = import_xml_child_text (domain, "vcpu");
  g_autofree char *mode = import_xml_attribute (cpu, "mode");
  g_autofree char *model = import_xml_child_text (cpu, "model");
  g_autofree char *sockets = import_xml_attribute (topology, "sockets");
  g_autofree char *cores = import_xml_attribute (topology, "cores");
  g_autofree char *threads = import_xml_attribute (topology, "threads");
  guint64 s = parse_number (sockets, 0), c = parse_number (cores, 0), t = parse_number (threads, 0);

  import_set_cpus (import, parse_number (vcpu, 1));
  if (s > 0 && s < 256 && c > 0 && c < 256 && t > 0 && t < 256 && s * c * t == import->cpus)
    {
      import->sockets = (guint)s;
      import->cores = (guint)c;
      import->threads = (guint)t;
    }
  if (model != NULL && g_strcmp0 (mode, "host-passthrough") != 0)
    alcove_findings_add (import->findings, ALCOVE_FINDING_CHANGED, "CPU model",
                         "%s becomes the host's own CPU.", model);
  if (import_xml_child (domain, "cputune") != NULL)
    alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, "CPU pinning and shares",
                         "The host's scheduler decides.");
  if (import_xml_child (domain, "memoryBacking") != NULL)
    alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, "Memory backing",
                         "Huge pages and locking are chosen by Alcove.");
}

static gboolean
read_os (AlcoveImport *import, xmlNode *domain, GError **error)
{
  xmlNode *os = import_xml_child (domain, "os"), *type = import_xml_child (os, "type");
  xmlNode *loader = import_xml_child (os, "loader");
  g_autofree char *kind = import_xml_text (type), *arch = import_xml_attribute (type, "arch");
  g_autofree char *machine = import_xml_attribute (type, "machine");
  g_autofree char *firmware = import_xml_attribute (os, "firmware");
  g_autofree char *loader_kind = import_xml_attribute (loader, "type");
  g_autofree char *secure = import_xml_attribute (loader, "secure");
  g_autofree char *kernel = import_xml_child_text (os, "kernel");

  if (kind != NULL && strcmp (kind, "hvm") != 0)
    return import_set_invalid (error, import->path,
                               "its virtualization type is “%s”; Alcove runs “hvm” machines", kind);
  if (arch != NULL && strcmp (arch, "x86_64") != 0 && strcmp (arch, "i686") != 0)
    return import_set_invalid (error, import->path,
                               "it is made for %s processors; Alcove runs x86 machines", arch);
  if (g_strcmp0 (firmware, "efi") == 0 || g_strcmp0 (loader_kind, "pflash") == 0)
    {
      import->firmware = ALCOVE_FIRMWARE_UEFI;
      alcove_findings_add (
          import->findings, ALCOVE_FINDING_LOST, "UEFI variables",
          "Boot entries are found anew. If none is, choose the loader's file in the "
          "firmware's boot menu once.");
    }
  if (g_strcmp0 (secure, "yes") == 0)
    alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, "Secure Boot",
                         "Alcove has no Secure Boot yet; the guest starts without it.");
  if (machine != NULL && strstr (machine, "q35") == NULL)
    alcove_findings_add (import->findings, ALCOVE_FINDING_CHANGED, "Board",
                         "%s becomes q35 with PCI Express. Windows may look for drivers.", machine);
  if (kernel != NULL)
    alcove_findings_add (
        import->findings, ALCOVE_FINDING_LOST, "Direct kernel start",
        "The machine starts from its disk; add the keys kernel, initrd and cmdline "
        "to have “%s” again.",
        kernel);
  return TRUE;
}

static void
read_disk (AlcoveImport *import, xmlNode *node)
{
  xmlNode *source = import_xml_child (node, "source"), *target = import_xml_child (node, "target");
  g_autofree char *device = import_xml_attribute (node, "device");
  g_autofree char *file = import_xml_attribute (source, "file");
  g_autofree char *format = import_xml_attribute (import_xml_child (node, "driver"), "type");
  g_autofree char *bus = import_xml_attribute (target, "bus");
  g_autofree char *name = import_xml_attribute (target, "dev");
  g_autofree char *what = g_strdup_printf ("Disk %s", name != NULL ? name : "?");

  if (file == NULL)
    file = import_xml_attribute (source, "dev");
  if (g_strcmp0 (device, "cdrom") == 0)
    {
      if (file == NULL || import->cdroms->len >= IMPORT_CDROMS_MAX)
        alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, "CD-ROM drive",
                             file == NULL ? "It is empty; add a medium when one is needed."
                                          : "A machine can have 4 of them.");
      else
        g_ptr_array_add (import->cdroms, g_strdup (file));
      return;
    }
  if (device != NULL && strcmp (device, "disk") != 0)
    {
      alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, what,
                           "Alcove has no device of type “%s”.", device);
      return;
    }
  if (file == NULL || !g_path_is_absolute (file))
    {
      alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, what,
                           "Its contents are not in a file of this computer (a volume or a network "
                           "disk). Copy them into a file and import that as well.");
      return;
    }
  if (import_xml_child (node, "iotune") != NULL)
    alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, what, "Its limits of speed.");
  /* Without a driver element libvirt means raw. */
  import_add_file_disk (import, file, format != NULL ? format : "raw", bus,
                        import_xml_child (node, "readonly") != NULL);
}

static void
read_interface (AlcoveImport *import, xmlNode *node)
{
  g_autofree char *type = import_xml_attribute (node, "type");
  g_autofree char *mac = import_xml_attribute (import_xml_child (node, "mac"), "address");
  g_autofree char *model = import_xml_attribute (import_xml_child (node, "model"), "type");
  AlcoveImportNic *nic = import_add_nic (import);

  if (nic == NULL)
    return;
  nic->has_mac = mac != NULL && alcove_mac_parse (mac, nic->mac);
  if (model != NULL && strncmp (model, "virtio", 6) != 0)
    alcove_findings_add (import->findings, ALCOVE_FINDING_CHANGED, "Network card",
                         "%s becomes virtio. Linux has the driver; Windows needs it installed.",
                         model);
  if (g_strcmp0 (type, "user") != 0 && g_strcmp0 (type, "network") != 0)
    alcove_findings_add (
        import->findings, ALCOVE_FINDING_CHANGED, "Network",
        "“%s” becomes user networking: the guest reaches everything, others do not "
        "reach the guest but by forwarded ports.",
        type != NULL ? type : "?");
}

typedef struct
{
  const char *element;
  const char *what, *meaning; /* NULL: fine, or made anew by Alcove */
} Device;

/* What Alcove has not, or has by itself. */
static const Device devices[] = {
  { "emulator", NULL, NULL },
  { "controller", NULL, NULL },
  { "input", NULL, NULL },
  { "graphics", NULL, NULL },
  { "rng", NULL, NULL },
  { "console", NULL, NULL },
  { "serial", NULL, NULL },
  { "memballoon", "Memory balloon", "The guest keeps the memory it was given." },
  { "sound", "Sound card", "Alcove machines have no sound yet." },
  { "audio", NULL, NULL },
  { "channel", "Channel for an agent", "Guest agents are not reached yet." },
  { "redirdev", "USB redirection", "Alcove machines have no USB yet." },
  { "hub", "USB hub", "Alcove machines have no USB yet." },
  { "hostdev", "Device of the host", "Handing devices to a guest comes later." },
  { "tpm", "TPM",
    "What the guest sealed in it (such as BitLocker's key) is lost: have the recovery "
    "key ready." },
  { "filesystem", "Shared folder", "Shared folders come later." },
  { "watchdog", "Watchdog", "The guest has no watchdog." },
  { "smartcard", "Smart card reader", "Alcove has none." },
  { "parallel", "Parallel port", "Alcove has none." },
  { "panic", "Panic notifier", "Alcove has none." },
  { "vsock", "Host-guest sockets (vsock)", "They come later." },
  { "shmem", "Shared memory device", "Alcove has none." },
  { "nvram", NULL, NULL },
  { "iommu", "IOMMU", "The guest has none." },
  { "crypto", "Crypto device", "Alcove has none." },
  { "memory", "Memory module", "The machine's memory is one piece." },
};

static void
read_video (AlcoveImport *import, xmlNode *node)
{
  g_autofree char *model = import_xml_attribute (import_xml_child (node, "model"), "type");

  if (g_strcmp0 (model, "none") == 0)
    import->no_display = TRUE;
  else if (model != NULL && strcmp (model, "virtio") != 0)
    alcove_findings_add (import->findings, ALCOVE_FINDING_CHANGED, "Display adapter",
                         "%s becomes virtio-vga, which also works as a plain VGA.", model);
}

static void
read_device (AlcoveImport *import, xmlNode *node)
{
  const char *name = (const char *)node->name;
  g_autofree char *model = import_xml_attribute (node, "model");

  if (model == NULL)
    model = import_xml_attribute (node, "type");
  if (strcmp (name, "disk") == 0)
    return read_disk (import, node);
  if (strcmp (name, "interface") == 0)
    return read_interface (import, node);
  if (strcmp (name, "video") == 0)
    return read_video (import, node);
  if (strcmp (name, "memballoon") == 0 && g_strcmp0 (model, "none") == 0)
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (devices); i++)
    if (strcmp (name, devices[i].element) == 0)
      {
        g_autofree char *what = NULL;

        if (devices[i].what == NULL)
          return;
        what = model != NULL ? g_strdup_printf ("%s (%s)", devices[i].what, model)
                             : g_strdup (devices[i].what);
        alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, what, "%s", devices[i].meaning);
        return;
      }
  alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, name,
                       "Alcove does not know this device.");
}

/* libosinfo's address of a system, such as http://debian.org/debian/12, becomes debian12. */
static char *
read_os_id (xmlNode *domain)
{
  xmlNode *metadata = import_xml_child (domain, "metadata");
  xmlNode *os = import_xml_child (import_xml_child (metadata, "libosinfo"), "os");
  g_autofree char *id = import_xml_attribute (os, "id");
  g_auto (GStrv) parts = NULL;
  guint n;

  if (id == NULL || strlen (id) > 200)
    return NULL;
  parts = g_strsplit (id, "/", -1);
  n = g_strv_length (parts);
  if (n < 2 || strlen (parts[n - 2]) + strlen (parts[n - 1]) > 60)
    return NULL;
  if (strcmp (parts[n - 2], "win") == 0 || strcmp (parts[n - 2], "fedora") == 0 ||
      strcmp (parts[n - 2], "debian") == 0 || strcmp (parts[n - 2], "ubuntu") == 0 ||
      strcmp (parts[n - 2], "rhel") == 0)
    return g_strconcat (parts[n - 2], parts[n - 1], NULL);
  return g_strdup_printf ("%s-%s", parts[n - 2], parts[n - 1]);
}

static gboolean
read_domain (AlcoveImport *import, xmlNode *domain, GError **error)
{
  g_autofree char *offset = import_xml_attribute (import_xml_child (domain, "clock"), "offset");
  xmlNode *list;

  if (!import_xml_is (domain, "domain"))
    return import_set_invalid (error, import->path,
                               "it is neither a libvirt domain nor an OVF envelope but “%s”",
                               (const char *)domain->name);
  import->title = import_xml_child_text (domain, "title");
  if (import->title == NULL || *import->title == '\0')
    {
      g_free (import->title);
      import->title = import_xml_child_text (domain, "name");
    }
  import->os = read_os_id (domain);
  import->local_time = g_strcmp0 (offset, "localtime") == 0;
  read_memory (import, domain);
  read_cpu (import, domain);
  if (!read_os (import, domain, error))
    return FALSE;
  list = import_xml_child (domain, "devices");
  for (xmlNode *node = list != NULL ? list->children : NULL; node != NULL; node = node->next)
    if (node->type == XML_ELEMENT_NODE)
      read_device (import, node);
  for (xmlNode *node = domain->children; node != NULL; node = node->next)
    if (node->type == XML_ELEMENT_NODE && strcmp ((const char *)node->name, "commandline") == 0)
      alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, "Arguments for QEMU",
                           "They mean nothing to Alcove.");
  return TRUE;
}

gboolean
import_read_libvirt (AlcoveImport *import, const char *text, gsize length, GError **error)
{
  xmlDoc *document = import_xml_parse (import->path, text, length, error);
  gboolean good;

  if (document == NULL)
    return FALSE;
  good = read_domain (import, xmlDocGetRootElement (document), error);
  xmlFreeDoc (document);
  return good;
}
