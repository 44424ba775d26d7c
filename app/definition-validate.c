/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What concerns more than one key of a definition. */
#include "app/definition-private.h"

#include <string.h>

#include "vfio/host/address.h"

typedef struct
{
  AlcoveParsed *parsed;
  const AlcoveConfFile *file;
  AlcoveProblems *problems;
} Validation;

static void
find_line (guint line, const char *key, const char *value, gpointer user_data)
{
  struct
  {
    const char *key;
    guint line;
  } *wanted = user_data;

  if (strcmp (key, wanted->key) == 0)
    wanted->line = line;
}

/* The line of a key, or of its group when it is not given. */
static guint
line_of (Validation *v, const char *group, const char *key, guint group_line)
{
  struct
  {
    const char *key;
    guint line;
  } wanted = { key, group_line };

  alcove_conf_file_foreach_key (v->file, group, find_line, &wanted);
  return wanted.line;
}

static char *
group_of (const AlcoveDeviceConfig *device)
{
  const AlcoveGroupSpec *spec = &alcove_group_specs[device->kind];

  return spec->named ? g_strdup_printf ("%s %s", spec->word, device->name) : g_strdup (spec->word);
}

static void G_GNUC_PRINTF (4, 5) complain (
    Validation *v, const AlcoveDeviceConfig *device, const char *key, const char *format, ...)
{
  g_autofree char *group = group_of (device);
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  alcove_problems_add (v->problems, line_of (v, group, key, device->line), group, key, "%s", text);
}

static void
validate_machine (Validation *v, const AlcoveMachineConfig *machine)
{
  guint product = MAX (machine->sockets, 1) * MAX (machine->cores, 1) * MAX (machine->threads, 1);

  if ((machine->sockets | machine->cores | machine->threads) != 0 && product != machine->cpus)
    complain (v, &machine->base, "cpus",
              "%u, but sockets x cores x threads is %u: make them agree, or remove the three keys",
              machine->cpus, product);
  if (machine->firmware == ALCOVE_FIRMWARE_NONE && machine->kernel == NULL)
    complain (v, &machine->base, "firmware",
              "none starts nothing by itself: give a kernel, or use uefi or bios");
  if (machine->kernel == NULL && machine->initrd != NULL)
    complain (v, &machine->base, "initrd", "it is used with a kernel only: add kernel");
  if (machine->kernel == NULL && machine->cmdline != NULL)
    complain (v, &machine->base, "cmdline", "it is used with a kernel only: add kernel");
}

static void
validate_scsi_disk (Validation *v, const AlcoveDiskConfig *disk)
{
  if (disk->base.address.set)
    complain (v, &disk->base, "address",
              "a SCSI disk has a target, and the address is that of its controller: remove the "
              "key, or write it into [scsi main]");
  if (disk->queues != 0)
    complain (v, &disk->base, "queues",
              "the queues are the controller's: write the key into [scsi main]");
  if (disk->passthrough && disk->format != ALCOVE_DISK_RAW)
    complain (v, &disk->base, "format", "a device that is passed through has no format: remove it");
  if (disk->passthrough && disk->serial != NULL)
    complain (v, &disk->base, "serial", "a device that is passed through has its own: remove it");
  if (disk->passthrough && disk->readonly)
    complain (v, &disk->base, "readonly",
              "it cannot be promised for a device that is passed through: remove passthrough");
}

static void
validate_disk (Validation *v, const AlcoveDiskConfig *disk)
{
  if (disk->bus == ALCOVE_DISK_SCSI)
    validate_scsi_disk (v, disk);
  if (disk->bus != ALCOVE_DISK_SCSI && disk->target != 0)
    complain (v, &disk->base, "target", "only disks of bus scsi have one");
  if (disk->bus != ALCOVE_DISK_SCSI && disk->passthrough)
    complain (v, &disk->base, "passthrough", "only SCSI can do it: use bus scsi");
  if (disk->bus != ALCOVE_DISK_SCSI && disk->bus != ALCOVE_DISK_SATA && disk->file == NULL)
    complain (v, &disk->base, "file",
              "this bus has no empty drives: name an image, or use bus sata");
  if (disk->serial != NULL)
    for (const char *p = disk->serial; *p != '\0'; p++)
      if (!g_ascii_isprint (*p))
        {
          complain (v, &disk->base, "serial", "only printable ASCII characters are possible");
          break;
        }
  if (disk->controller != NULL && disk->bus != ALCOVE_DISK_NVME)
    complain (v, &disk->base, "controller", "only disks of bus nvme share a controller");
  if (disk->nsid != 0 && disk->bus != ALCOVE_DISK_NVME)
    complain (v, &disk->base, "namespace", "only disks of bus nvme have one");
  if (disk->controller != NULL && !alcove_device_name_is_valid (disk->controller))
    complain (v, &disk->base, "controller",
              "a name is 1 to 32 lower case letters, digits, \"-\", \"_\" and \".\", a letter or "
              "digit first");
  if (disk->base.kind == ALCOVE_KIND_CDROM && disk->bus == ALCOVE_DISK_NVME)
    complain (v, &disk->base, "bus", "there are no NVMe CD-ROM drives: use another bus");
  if (disk->bus == ALCOVE_DISK_NVME && disk->queues > 16)
    complain (v, &disk->base, "queues", "an NVMe controller has at most 16");
  if (disk->bus != ALCOVE_DISK_SATA && disk->port != 0)
    complain (v, &disk->base, "port", "only bus sata has ports");
  if (disk->bus == ALCOVE_DISK_SATA && disk->base.address.set)
    complain (v, &disk->base, "address",
              "a drive of bus sata has none, its controller is at 00:1f.2: remove the key");
  if (disk->bus == ALCOVE_DISK_SATA && disk->queues != 0)
    complain (v, &disk->base, "queues", "bus sata has one queue: remove the key");
  if (disk->base.kind == ALCOVE_KIND_CDROM && !disk->readonly)
    complain (v, &disk->base, "readonly", "a cdrom is read-only: remove the key, or use [disk]");
}

/* TRUE when one of its bytes could not be in the name of a network interface. */
static gboolean
ifname_is_bad (const char *ifname)
{
  return strcmp (ifname, ".") == 0 || strcmp (ifname, "..") == 0 || strpbrk (ifname, "/: ") != NULL;
}

static void
validate_nic (Validation *v, const AlcoveNicConfig *nic)
{
  if (nic->forwards->len > 0 && nic->backend != ALCOVE_NIC_USER)
    complain (v, &nic->base, "forward", "only backend user forwards ports");
  if (nic->backend == ALCOVE_NIC_TAP && nic->ifname == NULL)
    complain (v, &nic->base, "ifname", "backend tap needs the name of the interface");
  if (nic->backend != ALCOVE_NIC_TAP && nic->ifname != NULL)
    complain (v, &nic->base, "ifname", "only backend tap has an interface");
  if (nic->ifname != NULL && ifname_is_bad (nic->ifname))
    complain (v, &nic->base, "ifname", "\"%s\" cannot be an interface's name", nic->ifname);
}

static void
validate_frames (Validation *v, const AlcoveFramesConfig *frames)
{
  if ((frames->size & (frames->size - 1)) != 0)
    complain (v, &frames->base, "size", "must be a power of two (32, 64, 128, ...)");
}

static void
validate_char (Validation *v, const AlcoveCharConfig *config)
{
  if (config->backend == ALCOVE_CHAR_FILE && config->file == NULL)
    complain (v, &config->base, "file", "backend file needs a file name");
  if (config->backend != ALCOVE_CHAR_FILE && config->file != NULL)
    complain (v, &config->base, "file", "only backend file has a file");
}

static void
validate_spice (Validation *v, const AlcoveSpiceConfig *spice)
{
  gboolean tls = spice->tls_certificate != NULL && spice->tls_key != NULL;

  if ((spice->tls_certificate != NULL) != (spice->tls_key != NULL))
    complain (v, &spice->base, "tls-certificate", "tls-certificate and tls-key go together");
  if (spice->listen.kind != ALCOVE_LISTEN_TCP)
    return;
  if (spice->password_file == NULL)
    complain (v, &spice->base, "password-file", "a tcp listener needs a password: add the key");
  if (!tls && strcmp (spice->listen.host, "127.0.0.1") != 0 &&
      strcmp (spice->listen.host, "::1") != 0)
    complain (v, &spice->base, "listen",
              "%s can be reached from other computers: add tls-certificate and tls-key, or listen "
              "on 127.0.0.1",
              spice->listen.host);
}

/* The controller's keys stand in the group of its first disk. */
static void
validate_controllers (Validation *v)
{
  GPtrArray *disks = v->parsed->by_kind[ALCOVE_KIND_DISK];

  for (guint i = 0; i < disks->len; i++)
    {
      gboolean shares = FALSE;

      for (guint j = 0; j < i; j++)
        {
          const AlcoveDiskConfig *disk = g_ptr_array_index (disks, i);
          const AlcoveDiskConfig *first = g_ptr_array_index (disks, j);

          if (disk->bus != ALCOVE_DISK_NVME || first->bus != ALCOVE_DISK_NVME ||
              strcmp (alcove_disk_get_controller (disk), alcove_disk_get_controller (first)) != 0)
            continue;
          if (disk->nsid != 0 && disk->nsid == first->nsid)
            complain (v, &disk->base, "namespace", "[disk %s] has the same one", first->base.name);
          if (shares)
            continue;
          shares = TRUE;
          if (disk->base.address.set)
            complain (v, &disk->base, "address",
                      "the controller's place is that of [disk %s]: remove the key",
                      first->base.name);
          if (disk->queues != 0)
            complain (v, &disk->base, "queues", "the controller's number is that of [disk %s]",
                      first->base.name);
        }
    }
}

static gboolean
is_uuid (const char *text)
{
  return strlen (text) == 36 && g_uuid_string_is_valid (text);
}

static void
validate_pci (Validation *v, const AlcovePciConfig *pci)
{
  GPtrArray *pcis = v->parsed->by_kind[ALCOVE_KIND_PCI];
  VfioAddress address;

  if (!vfio_address_parse (pci->host, &address) && !is_uuid (pci->host))
    complain (v, &pci->base, "host",
              "“%s” is no device: write its address, such as 0000:01:00.0 (alcove pci list shows "
              "them), or the UUID of a mediated device",
              pci->host);
  for (guint i = 0; i < pcis->len && g_ptr_array_index (pcis, i) != pci; i++)
    {
      const AlcovePciConfig *other = g_ptr_array_index (pcis, i);

      if (g_ascii_strcasecmp (other->host, pci->host) == 0)
        complain (v, &pci->base, "host", "[pci %s] has the same one", other->base.name);
    }
  if (pci->rom_file != NULL && !pci->rom)
    complain (v, &pci->base, "rom-file", "it is not used with rom=false: remove one of them");
  if (pci->igd == ALCOVE_IGD_LEGACY && pci->base.address.set &&
      !(pci->base.address.bus == 0 && pci->base.address.slot == ALCOVE_PCI_SLOT_IGD &&
        pci->base.address.function == 0))
    complain (v, &pci->base, "address",
              "with igd=legacy only 00:%02x.0 will do: write that, or "
              "remove the key",
              ALCOVE_PCI_SLOT_IGD);
}

static void
validate_addresses (Validation *v)
{
  const AlcoveDeviceConfig *at[ALCOVE_PCI_N_PORTS + 1][32][8] = { 0 };

  for (guint i = 0; i < v->parsed->devices->len; i++)
    {
      const AlcoveDeviceConfig *device = g_ptr_array_index (v->parsed->devices, i);
      const AlcovePciAddress *address = &device->address;
      const AlcoveDeviceConfig **place = &at[address->bus][address->slot][address->function];

      if (!address->set)
        continue;
      if (address->bus != 0 && address->function != 0 && device->kind != ALCOVE_KIND_PCI)
        {
          complain (v, device, "address", "a slot for hot-plug holds one device: write %02x:00.0",
                    address->bus);
          continue;
        }
      if (*place != NULL)
        {
          g_autofree char *other = group_of (*place);

          complain (v, device, "address",
                    "%02x:%02x.%u is taken by [%s]: remove the key and a free one is written",
                    address->bus, address->slot, address->function, other);
          continue;
        }
      *place = device;
    }
  /* PCI Local Bus 3.0, 3.2.2.3.4: a device must have function 0, software looks no further
   * without. */
  for (guint bus = 0; bus <= ALCOVE_PCI_N_PORTS; bus++)
    for (guint slot = 0; slot < 32; slot++)
      for (guint function = 1; function < 8; function++)
        if (at[bus][slot][function] != NULL && at[bus][slot][0] == NULL)
          complain (v, at[bus][slot][function], "address",
                    "nothing is at %02x:%02x.0, so no guest would find this one: use function 0",
                    bus, slot);
        else if (bus != 0 && at[bus][slot][function] != NULL &&
                 at[bus][slot][0]->kind != ALCOVE_KIND_PCI)
          complain (v, at[bus][slot][function], "address",
                    "another device has the slot %02x:00: use a slot of its own", bus);
}

static void
validate_targets (Validation *v)
{
  const AlcoveDeviceConfig *at[256] = { 0 };

  for (guint i = 0; i < v->parsed->devices->len; i++)
    {
      const AlcoveDeviceConfig *device = g_ptr_array_index (v->parsed->devices, i);
      const AlcoveDiskConfig *disk = (const AlcoveDiskConfig *)device;
      g_autofree char *other = NULL;

      if ((device->kind != ALCOVE_KIND_DISK && device->kind != ALCOVE_KIND_CDROM) ||
          disk->bus != ALCOVE_DISK_SCSI || disk->target == 0)
        continue;
      if (at[disk->target] == NULL)
        {
          at[disk->target] = device;
          continue;
        }
      other = group_of (at[disk->target]);
      complain (v, device, "target",
                "%u is taken by [%s]: remove the key and a free one is written", disk->target,
                other);
    }
}

static void
validate_boot_indexes (Validation *v)
{
  const AlcoveDeviceConfig *with[100] = { 0 };

  for (guint i = 0; i < v->parsed->devices->len; i++)
    {
      const AlcoveDeviceConfig *device = g_ptr_array_index (v->parsed->devices, i);
      g_autofree char *other = NULL;

      if (device->boot_index == 0)
        continue;
      if (with[device->boot_index] == NULL)
        {
          with[device->boot_index] = device;
          continue;
        }
      other = group_of (with[device->boot_index]);
      complain (v, device, "boot-index", "%u is also that of [%s]", device->boot_index, other);
    }
}

static void
validate_macs (Validation *v)
{
  GPtrArray *nics = v->parsed->by_kind[ALCOVE_KIND_NIC];

  for (guint i = 0; i < nics->len; i++)
    for (guint j = 0; j < i; j++)
      {
        const AlcoveNicConfig *a = g_ptr_array_index (nics, i), *b = g_ptr_array_index (nics, j);

        if (memcmp (a->mac, b->mac, 6) == 0)
          complain (v, &a->base, "mac", "[nic %s] has the same one", b->base.name);
      }
}

/* Ports given are checked, the others are handed out in file order. */
static void
assign_serial_ports (Validation *v)
{
  GPtrArray *serials = v->parsed->by_kind[ALCOVE_KIND_SERIAL];
  guint used = 0;

  for (guint i = 0; i < serials->len; i++)
    {
      AlcoveCharConfig *serial = g_ptr_array_index (serials, i);

      if (serial->port == 0)
        continue;
      if (used & 1u << serial->port)
        complain (v, &serial->base, "port", "%u is given twice", serial->port);
      used |= 1u << serial->port;
    }
  for (guint i = 0; i < serials->len; i++)
    {
      AlcoveCharConfig *serial = g_ptr_array_index (serials, i);

      if (serial->port != 0)
        continue;
      for (guint port = 1; port <= 4 && serial->port == 0; port++)
        if (!(used & 1u << port))
          serial->port = port;
      used |= 1u << serial->port;
    }
}

/* Before there were drives with a tray, a cdrom was a virtio disk and got a PCI address. What says
 * nothing of its bus and has an address stays that: guests would notice. */
static void
keep_old_cdroms (Validation *v)
{
  GPtrArray *cdroms = v->parsed->by_kind[ALCOVE_KIND_CDROM];

  for (guint i = 0; i < cdroms->len; i++)
    {
      AlcoveDiskConfig *cdrom = g_ptr_array_index (cdroms, i);
      g_autofree char *group = group_of (&cdrom->base);
      g_autofree char *bus = alcove_conf_file_dup_value (v->file, group, "bus");

      if (bus == NULL && cdrom->base.address.set)
        cdrom->bus = ALCOVE_DISK_VIRTIO;
    }
}

static void
take_sata_port (Validation *v, const AlcoveDiskConfig *drive, guint *used)
{
  if (drive->bus != ALCOVE_DISK_SATA || drive->port == 0)
    return;
  if (*used & 1u << drive->port)
    complain (v, &drive->base, "port", "%u is given twice", drive->port);
  *used |= 1u << drive->port;
}

static void
give_sata_port (Validation *v, AlcoveDiskConfig *drive, guint *used)
{
  if (drive->bus != ALCOVE_DISK_SATA || drive->port != 0)
    return;
  for (guint port = 1; port <= ALCOVE_N_SATA_PORTS && drive->port == 0; port++)
    if (!(*used & 1u << port))
      drive->port = port;
  if (drive->port == 0)
    complain (v, &drive->base, "bus",
              "the SATA controller has %d ports and all are taken: use another bus",
              ALCOVE_N_SATA_PORTS);
  *used |= 1u << drive->port;
}

/* As with serial ports: those given are checked, the others handed out, disks first. */
static void
assign_sata_ports (Validation *v)
{
  GPtrArray *disks = v->parsed->by_kind[ALCOVE_KIND_DISK];
  GPtrArray *cdroms = v->parsed->by_kind[ALCOVE_KIND_CDROM];
  guint used = 0;

  for (guint i = 0; i < disks->len; i++)
    take_sata_port (v, g_ptr_array_index (disks, i), &used);
  for (guint i = 0; i < cdroms->len; i++)
    take_sata_port (v, g_ptr_array_index (cdroms, i), &used);
  for (guint i = 0; i < disks->len; i++)
    give_sata_port (v, g_ptr_array_index (disks, i), &used);
  for (guint i = 0; i < cdroms->len; i++)
    give_sata_port (v, g_ptr_array_index (cdroms, i), &used);
}

static void
validate_stdio (Validation *v)
{
  const AlcoveCharConfig *first = NULL;

  for (guint i = 0; i < v->parsed->devices->len; i++)
    {
      const AlcoveDeviceConfig *device = g_ptr_array_index (v->parsed->devices, i);
      const AlcoveCharConfig *config = (const AlcoveCharConfig *)device;

      if (device->kind != ALCOVE_KIND_SERIAL && device->kind != ALCOVE_KIND_CONSOLE)
        continue;
      if (config->backend != ALCOVE_CHAR_STDIO)
        continue;
      if (first != NULL)
        complain (v, device, "backend", "only one device can have stdio");
      first = config;
    }
}

void
alcove_parsed_validate (AlcoveParsed *parsed, const AlcoveConfFile *file, AlcoveProblems *problems)
{
  Validation v = { parsed, file, problems };
  GPtrArray **by_kind = parsed->by_kind;

  if (by_kind[ALCOVE_KIND_MACHINE]->len > 0)
    validate_machine (&v, g_ptr_array_index (by_kind[ALCOVE_KIND_MACHINE], 0));
  keep_old_cdroms (&v);
  for (guint i = 0; i < by_kind[ALCOVE_KIND_DISK]->len; i++)
    validate_disk (&v, g_ptr_array_index (by_kind[ALCOVE_KIND_DISK], i));
  for (guint i = 0; i < by_kind[ALCOVE_KIND_CDROM]->len; i++)
    validate_disk (&v, g_ptr_array_index (by_kind[ALCOVE_KIND_CDROM], i));
  for (guint i = 0; i < by_kind[ALCOVE_KIND_NIC]->len; i++)
    validate_nic (&v, g_ptr_array_index (by_kind[ALCOVE_KIND_NIC], i));
  for (guint i = 0; i < by_kind[ALCOVE_KIND_SERIAL]->len; i++)
    validate_char (&v, g_ptr_array_index (by_kind[ALCOVE_KIND_SERIAL], i));
  for (guint i = 0; i < by_kind[ALCOVE_KIND_CONSOLE]->len; i++)
    validate_char (&v, g_ptr_array_index (by_kind[ALCOVE_KIND_CONSOLE], i));
  for (guint i = 0; i < by_kind[ALCOVE_KIND_PCI]->len; i++)
    validate_pci (&v, g_ptr_array_index (by_kind[ALCOVE_KIND_PCI], i));
  if (by_kind[ALCOVE_KIND_FRAMES]->len > 0)
    validate_frames (&v, g_ptr_array_index (by_kind[ALCOVE_KIND_FRAMES], 0));
  if (by_kind[ALCOVE_KIND_SPICE]->len > 0)
    validate_spice (&v, g_ptr_array_index (by_kind[ALCOVE_KIND_SPICE], 0));
  validate_controllers (&v);
  validate_addresses (&v);
  validate_targets (&v);
  validate_boot_indexes (&v);
  validate_macs (&v);
  assign_serial_ports (&v);
  assign_sata_ports (&v);
  validate_stdio (&v);
}
