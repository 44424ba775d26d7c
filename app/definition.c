/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/definition.h"

#include <errno.h>
#include <string.h>
#include "app/definition-pci.h"
#include "app/definition-private.h"
#include "app/files.h"
#include "app/suggest.h"

struct _AlcoveDefinition
{
  GObject parent_instance;
  char *path, *folder; /* (nullable) */
  AlcoveConfFile *file;
  char *saved_text; /* what is on disk, as far as we know; NULL: never was */
  AlcoveParsed parsed;
};

G_DEFINE_FINAL_TYPE (AlcoveDefinition, alcove_definition, G_TYPE_OBJECT)

enum
{
  CHANGED,
  N_SIGNALS
};
static guint signals[N_SIGNALS];

static void
alcove_definition_finalize (GObject *object)
{
  AlcoveDefinition *self = ALCOVE_DEFINITION (object);

  alcove_parsed_clear (&self->parsed);
  alcove_conf_file_free (self->file);
  g_free (self->path);
  g_free (self->folder);
  g_free (self->saved_text);
  G_OBJECT_CLASS (alcove_definition_parent_class)->finalize (object);
}

static void
alcove_definition_class_init (AlcoveDefinitionClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = alcove_definition_finalize;
  /* The text, and with it every struct, is new. */
  signals[CHANGED] = g_signal_new ("changed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL,
                                   NULL, NULL, G_TYPE_NONE, 0);
}

static void
alcove_definition_init (AlcoveDefinition *self)
{
}

/* file: (transfer full). NULL or a whole new text is in place. problems: syntax mistakes so far. */
static gboolean
take_file (AlcoveDefinition *self, AlcoveConfFile *file, AlcoveProblems *problems, GError **error)
{
  AlcoveParsed parsed;

  alcove_parsed_init (&parsed);
  alcove_parsed_read (&parsed, file, self->folder, problems);
  if (!alcove_problems_to_error (problems, error))
    {
      alcove_parsed_clear (&parsed);
      alcove_conf_file_free (file);
      return FALSE;
    }
  alcove_parsed_clear (&self->parsed);
  alcove_conf_file_free (self->file);
  self->parsed = parsed;
  self->file = file;
  return TRUE;
}

static const char *
source_name (AlcoveDefinition *self)
{
  return self->path != NULL ? self->path : ALCOVE_DEFINITION_FILE;
}

AlcoveDefinition *
alcove_definition_new_from_text (const char *text, gssize length, const char *path, GError **error)
{
  g_autoptr (AlcoveDefinition) self = g_object_new (ALCOVE_TYPE_DEFINITION, NULL);
  g_auto (AlcoveProblems) problems = { 0 };
  AlcoveConfFile *file;

  if (path != NULL)
    {
      self->path = g_canonicalize_filename (path, NULL);
      self->folder = g_path_get_dirname (self->path);
    }
  alcove_problems_init (&problems, source_name (self));
  file = alcove_conf_file_parse (text, length < 0 ? strlen (text) : (gsize)length, &problems);
  if (!take_file (self, file, &problems, error))
    return NULL;
  return g_steal_pointer (&self);
}

/* The whole file, refused unread above the limit. */
static gboolean
read_bounded (const char *path, char **ret_text, gsize *ret_length, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInfo) info = NULL;

  info = g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE "," G_FILE_ATTRIBUTE_STANDARD_TYPE,
                            G_FILE_QUERY_INFO_NONE, NULL, NULL);
  if (info != NULL && g_file_info_get_file_type (info) != G_FILE_TYPE_REGULAR)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "%s: this is no regular file, so no machine definition", path);
      return FALSE;
    }
  if (info != NULL && g_file_info_get_size (info) > ALCOVE_CONF_FILE_SIZE_MAX)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "%s: the file has more than %d bytes: this is no machine definition", path,
                   ALCOVE_CONF_FILE_SIZE_MAX);
      return FALSE;
    }
  return g_file_get_contents (path, ret_text, ret_length, error);
}

AlcoveDefinition *
alcove_definition_load (const char *path, GError **error)
{
  g_autofree char *text = NULL;
  gsize length;
  AlcoveDefinition *self;

  if (!read_bounded (path, &text, &length, error))
    return NULL;
  self = alcove_definition_new_from_text (text, (gssize)length, path, error);
  if (self != NULL)
    self->saved_text = g_steal_pointer (&text);
  return self;
}

gboolean
alcove_definition_create (AlcoveDefinition *self, GError **error)
{
  if (g_file_test (self->path, G_FILE_TEST_EXISTS))
    return alcove_files_set_error (error, EEXIST, self->path, "cannot be made");
  return alcove_definition_write (self, error);
}

gboolean
alcove_definition_write (AlcoveDefinition *self, GError **error)
{
  g_autofree char *text = NULL, *on_disk = NULL;
  gsize length, n_on_disk;

  g_return_val_if_fail (self->path != NULL, FALSE);
  text = alcove_conf_file_to_text (self->file, &length);
  if (read_bounded (self->path, &on_disk, &n_on_disk, NULL))
    {
      if (g_strcmp0 (on_disk, text) == 0)
        {
          g_free (self->saved_text);
          self->saved_text = g_steal_pointer (&text);
          return TRUE;
        }
      if (g_strcmp0 (on_disk, self->saved_text) != 0)
        {
          g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                       "%s was changed by somebody else since it was read, and is not overwritten: "
                       "load it again and repeat the change",
                       self->path);
          return FALSE;
        }
    }
  if (!alcove_files_write (self->path, text, length, error))
    return FALSE;
  g_free (self->saved_text);
  self->saved_text = g_steal_pointer (&text);
  return TRUE;
}

gboolean
alcove_definition_is_modified (AlcoveDefinition *self)
{
  g_autofree char *text = alcove_conf_file_to_text (self->file, NULL);

  return g_strcmp0 (text, self->saved_text) != 0;
}

const char *
alcove_definition_get_path (AlcoveDefinition *self)
{
  return self->path;
}

const char *
alcove_definition_get_folder (AlcoveDefinition *self)
{
  return self->folder;
}

char *
alcove_definition_to_text (AlcoveDefinition *self)
{
  return alcove_conf_file_to_text (self->file, NULL);
}

const AlcoveMachineConfig *
alcove_definition_get_machine (AlcoveDefinition *self)
{
  return g_ptr_array_index (self->parsed.by_kind[ALCOVE_KIND_MACHINE], 0);
}

const AlcoveSpiceConfig *
alcove_definition_get_spice (AlcoveDefinition *self)
{
  GPtrArray *spice = self->parsed.by_kind[ALCOVE_KIND_SPICE];

  return spice->len > 0 ? g_ptr_array_index (spice, 0) : NULL;
}

const AlcoveScsiConfig *
alcove_definition_get_scsi (AlcoveDefinition *self)
{
  GPtrArray *scsi = self->parsed.by_kind[ALCOVE_KIND_SCSI];

  return scsi->len > 0 ? g_ptr_array_index (scsi, 0) : NULL;
}

const AlcoveSnapshotsConfig *
alcove_definition_get_snapshots (AlcoveDefinition *self)
{
  GPtrArray *snapshots = self->parsed.by_kind[ALCOVE_KIND_SNAPSHOTS];

  return snapshots->len > 0 ? g_ptr_array_index (snapshots, 0) : NULL;
}

#define DEFINE_GETTER(Type, plural, KIND)                                                          \
  const Type *const *alcove_definition_get_##plural (AlcoveDefinition *self, guint *ret_n)         \
  {                                                                                                \
    *ret_n = self->parsed.by_kind[KIND]->len;                                                      \
    return (const Type *const *)self->parsed.by_kind[KIND]->pdata;                                 \
  }
DEFINE_GETTER (AlcoveDiskConfig, disks, ALCOVE_KIND_DISK)
DEFINE_GETTER (AlcoveDiskConfig, cdroms, ALCOVE_KIND_CDROM)
DEFINE_GETTER (AlcoveNicConfig, nics, ALCOVE_KIND_NIC)
DEFINE_GETTER (AlcoveDisplayConfig, displays, ALCOVE_KIND_DISPLAY)
DEFINE_GETTER (AlcoveCharConfig, serials, ALCOVE_KIND_SERIAL)
DEFINE_GETTER (AlcoveCharConfig, consoles, ALCOVE_KIND_CONSOLE)
DEFINE_GETTER (AlcoveInputConfig, inputs, ALCOVE_KIND_INPUT)
DEFINE_GETTER (AlcoveRngConfig, rngs, ALCOVE_KIND_RNG)
DEFINE_GETTER (AlcovePciConfig, pcis, ALCOVE_KIND_PCI)
DEFINE_GETTER (AlcoveFramesConfig, frames, ALCOVE_KIND_FRAMES)

const AlcoveDeviceConfig *const *
alcove_definition_get_devices (AlcoveDefinition *self, guint *ret_n)
{
  *ret_n = self->parsed.devices->len;
  return (const AlcoveDeviceConfig *const *)self->parsed.devices->pdata;
}

static int
compare_boot_index (gconstpointer a, gconstpointer b)
{
  const AlcoveDeviceConfig *const *one = a, *const *two = b;

  return (int)(*one)->boot_index - (int)(*two)->boot_index;
}

const AlcoveDeviceConfig **
alcove_definition_get_boot_order (AlcoveDefinition *self, guint *ret_n)
{
  static const AlcoveKind kinds[] = { ALCOVE_KIND_DISK, ALCOVE_KIND_CDROM, ALCOVE_KIND_NIC };
  GPtrArray *order = g_ptr_array_new ();

  for (guint i = 0; i < self->parsed.devices->len; i++)
    {
      AlcoveDeviceConfig *device = g_ptr_array_index (self->parsed.devices, i);

      if (device->boot_index != 0)
        g_ptr_array_add (order, device);
    }
  g_ptr_array_sort (order, compare_boot_index);
  if (order->len == 0)
    for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
      for (guint j = 0; j < self->parsed.by_kind[kinds[i]]->len; j++)
        g_ptr_array_add (order, g_ptr_array_index (self->parsed.by_kind[kinds[i]], j));
  *ret_n = order->len;
  return (const AlcoveDeviceConfig **)g_ptr_array_free (order, FALSE);
}

AlcoveConfFile *
alcove_definition_dup_conf (AlcoveDefinition *self)
{
  return alcove_conf_file_copy (self->file);
}

gboolean
alcove_definition_take_conf (AlcoveDefinition *self, AlcoveConfFile *file, GError **error)
{
  g_auto (AlcoveProblems) problems = { 0 };
  g_autoptr (AlcoveConfFile) edited = file;
  g_autofree char *text = NULL;
  gsize length;
  AlcoveConfFile *parsed;

  /* Parsed from the text again: an edit cannot make what a file could not hold. */
  text = alcove_conf_file_to_text (edited, &length);
  alcove_problems_init (&problems, source_name (self));
  parsed = alcove_conf_file_parse (text, length, &problems);
  if (!take_file (self, parsed, &problems, error))
    return FALSE;
  g_signal_emit (self, signals[CHANGED], 0);
  return TRUE;
}

gboolean
alcove_definition_set_value (
    AlcoveDefinition *self, const char *group, const char *key, const char *value, GError **error)
{
  AlcoveConfFile *file = alcove_definition_dup_conf (self);

  if (value != NULL)
    alcove_conf_file_set_value (file, group, key, value);
  else
    alcove_conf_file_remove_key (file, group, key);
  return alcove_definition_take_conf (self, file, error);
}

gboolean
alcove_definition_remove_group (AlcoveDefinition *self, const char *group, GError **error)
{
  AlcoveConfFile *file = alcove_definition_dup_conf (self);

  if (!alcove_conf_file_remove_group (file, group))
    {
      alcove_conf_file_free (file);
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND, "%s has no group [%s]",
                   source_name (self), group);
      return FALSE;
    }
  return alcove_definition_take_conf (self, file, error);
}

const char *
alcove_disk_get_controller (const AlcoveDiskConfig *disk)
{
  return disk->controller != NULL ? disk->controller : disk->base.name;
}

gboolean
alcove_definition_disk_has_address (AlcoveDefinition *self, const AlcoveDiskConfig *disk)
{
  GPtrArray *disks = self->parsed.by_kind[ALCOVE_KIND_DISK];

  if (disk->bus == ALCOVE_DISK_SCSI || disk->bus == ALCOVE_DISK_SATA)
    return FALSE;
  if (disk->bus != ALCOVE_DISK_NVME)
    return TRUE;
  for (guint i = 0; i < disks->len; i++)
    {
      const AlcoveDiskConfig *other = g_ptr_array_index (disks, i);

      if (other->bus == ALCOVE_DISK_NVME &&
          strcmp (alcove_disk_get_controller (disk), alcove_disk_get_controller (other)) == 0)
        return other == disk;
    }
  return TRUE;
}

void
alcove_definition_find_free_port (AlcoveDefinition *self, AlcovePciAddress *address)
{
  guint32 used = 0;

  for (guint i = 0; i < self->parsed.devices->len; i++)
    {
      const AlcoveDeviceConfig *device = g_ptr_array_index (self->parsed.devices, i);

      if (device->address.set && device->address.bus != 0)
        used |= 1u << device->address.bus;
    }
  *address = (AlcovePciAddress){ 0 };
  for (guint bus = 1; bus <= ALCOVE_PCI_N_PORTS && !address->set; bus++)
    if (!(used & 1u << bus))
      *address = (AlcovePciAddress){ .set = TRUE, .bus = (guint8)bus };
}

static gboolean
is_scsi_disk (const AlcoveDeviceConfig *device)
{
  return (device->kind == ALCOVE_KIND_DISK || device->kind == ALCOVE_KIND_CDROM) &&
         ((const AlcoveDiskConfig *)device)->bus == ALCOVE_DISK_SCSI;
}

/* Devices that sit on PCI by themselves: consoles share the controller of the first one, a NIC or
 * display is there even when its cable or picture is not. */
static gboolean
needs_address (AlcoveDefinition *self, const AlcoveDeviceConfig *device)
{
  if (alcove_group_spec_find_key (&alcove_group_specs[device->kind], "address") == NULL)
    return FALSE;
  if (device->kind == ALCOVE_KIND_CONSOLE)
    return device == g_ptr_array_index (self->parsed.by_kind[ALCOVE_KIND_CONSOLE], 0);
  if ((device->kind == ALCOVE_KIND_DISK || device->kind == ALCOVE_KIND_CDROM) &&
      ((const AlcoveDiskConfig *)device)->bus == ALCOVE_DISK_SATA)
    return FALSE;
  if (device->kind == ALCOVE_KIND_DISK)
    return alcove_definition_disk_has_address (self, (const AlcoveDiskConfig *)device);
  if (device->kind == ALCOVE_KIND_DISPLAY)
    return ((const AlcoveDisplayConfig *)device)->type != ALCOVE_DISPLAY_NONE;
  if (device->kind == ALCOVE_KIND_PCI)
    return FALSE; /* slots for hot-plug: definition-pci.c */
  return !is_scsi_disk (device);
}

/* A slot nobody has, 0 when the bus is full. Bit n of used: slot n. */
static guint
pick_slot (const AlcoveDeviceConfig *device, guint32 used)
{
  if (device->kind == ALCOVE_KIND_DISPLAY && !(used & 1u << ALCOVE_PCI_SLOT_DISPLAY))
    return ALCOVE_PCI_SLOT_DISPLAY;
  for (guint slot = ALCOVE_PCI_SLOT_FIRST; slot <= ALCOVE_PCI_SLOT_LAST; slot++)
    if (!(used & 1u << slot))
      return slot;
  return 0;
}

guint
alcove_definition_get_nsid (AlcoveDefinition *self, const AlcoveDiskConfig *disk)
{
  GPtrArray *disks = self->parsed.by_kind[ALCOVE_KIND_DISK];
  guint64 taken = 0;

  if (disk->bus != ALCOVE_DISK_NVME || disk->nsid != 0)
    return disk->nsid;
  for (guint i = 0; i < disks->len; i++)
    {
      const AlcoveDiskConfig *other = g_ptr_array_index (disks, i);

      if (other->bus == ALCOVE_DISK_NVME &&
          strcmp (alcove_disk_get_controller (disk), alcove_disk_get_controller (other)) == 0)
        taken |= G_GUINT64_CONSTANT (1) << other->nsid;
    }
  /* Those without a key take what is free, in file order. */
  for (guint i = 0; i < disks->len; i++)
    {
      const AlcoveDiskConfig *other = g_ptr_array_index (disks, i);
      guint nsid = 1;

      if (other->bus != ALCOVE_DISK_NVME || other->nsid != 0 ||
          strcmp (alcove_disk_get_controller (disk), alcove_disk_get_controller (other)) != 0)
        continue;
      while (taken >> nsid & 1)
        nsid++;
      if (other == disk)
        return nsid;
      taken |= G_GUINT64_CONSTANT (1) << nsid;
    }
  return 0;
}

/* The controller when disks need one, and a target for each of them. Returns TRUE when something
 * was written; used: as in pick_slot. */
static gboolean
assign_scsi (AlcoveDefinition *self, AlcoveConfFile *file, guint32 *used)
{
  gboolean used_targets[256] = { TRUE }, any = FALSE, needed = FALSE;

  for (guint i = 0; i < self->parsed.devices->len; i++)
    {
      const AlcoveDiskConfig *disk = g_ptr_array_index (self->parsed.devices, i);

      if (is_scsi_disk (&disk->base))
        used_targets[disk->target] = needed = TRUE;
    }
  for (guint i = 0; i < self->parsed.devices->len; i++)
    {
      const AlcoveDiskConfig *disk = g_ptr_array_index (self->parsed.devices, i);
      g_autofree char *group = NULL, *text = NULL;
      guint target = 1;

      if (!is_scsi_disk (&disk->base) || disk->target != 0)
        continue;
      /* There are fewer disks than targets. */
      while (used_targets[target])
        target++;
      used_targets[target] = any = TRUE;
      group = g_strdup_printf ("%s %s", alcove_kind_to_string (disk->base.kind), disk->base.name);
      text = g_strdup_printf ("%u", target);
      alcove_conf_file_set_value (file, group, "target", text);
    }
  if (needed && alcove_definition_get_scsi (self) == NULL)
    {
      const AlcoveDeviceConfig controller = { .kind = ALCOVE_KIND_SCSI };
      AlcovePciAddress address = { .set = TRUE, .slot = (guint8)pick_slot (&controller, *used) };
      g_autofree char *text = alcove_pci_address_to_string (&address);

      /* A full bus is told of when the machine starts. */
      if (address.slot == 0)
        return any;
      *used |= 1u << address.slot;
      alcove_conf_file_set_value (file, "scsi main", "address", text);
      any = TRUE;
    }
  return any;
}

/* Writes the port that a SATA drive got. TRUE when it was not there. */
static gboolean
assign_sata_port (AlcoveConfFile *file, const char *group, const AlcoveDeviceConfig *device)
{
  const AlcoveDiskConfig *drive = (const AlcoveDiskConfig *)device;
  g_autofree char *present = alcove_conf_file_dup_value (file, group, "port");
  char text[16];

  if ((device->kind != ALCOVE_KIND_DISK && device->kind != ALCOVE_KIND_CDROM) ||
      drive->bus != ALCOVE_DISK_SATA || present != NULL)
    return FALSE;
  g_snprintf (text, sizeof text, "%u", drive->port);
  alcove_conf_file_set_value (file, group, "port", text);
  return TRUE;
}

gboolean
alcove_definition_assign (AlcoveDefinition *self, GError **error)
{
  g_autoptr (AlcoveConfFile) file = alcove_definition_dup_conf (self);
  GError *inner = NULL;
  guint32 used = 0;
  gboolean any = FALSE;

  for (guint i = 0; i < self->parsed.devices->len; i++)
    {
      const AlcoveDeviceConfig *device = g_ptr_array_index (self->parsed.devices, i);

      if (device->address.set && device->address.bus == 0)
        used |= 1u << device->address.slot;
      if (device->kind == ALCOVE_KIND_PCI &&
          ((const AlcovePciConfig *)device)->igd == ALCOVE_IGD_LEGACY)
        used |= 1u << ALCOVE_PCI_SLOT_IGD;
    }
  any = assign_scsi (self, file, &used);
  any |= alcove_definition_assign_pcis (self, file, &inner);
  if (inner != NULL)
    {
      g_propagate_error (error, inner);
      return FALSE;
    }
  for (guint i = 0; i < self->parsed.devices->len; i++)
    {
      const AlcoveDeviceConfig *device = g_ptr_array_index (self->parsed.devices, i);
      AlcovePciAddress address = { .set = TRUE };
      g_autofree char *group =
          g_strdup_printf ("%s %s", alcove_kind_to_string (device->kind), device->name);
      g_autofree char *text = NULL, *mac = NULL;

      if (device->kind == ALCOVE_KIND_NIC)
        {
          g_autofree char *present = alcove_conf_file_dup_value (file, group, "mac");

          if (present == NULL)
            {
              mac = alcove_mac_to_string (((const AlcoveNicConfig *)device)->mac);
              alcove_conf_file_set_value (file, group, "mac", mac);
              any = TRUE;
            }
        }
      if (device->kind == ALCOVE_KIND_DISK)
        {
          const AlcoveDiskConfig *disk = (const AlcoveDiskConfig *)device;

          if (disk->bus == ALCOVE_DISK_NVME && disk->nsid == 0)
            {
              g_autofree char *nsid =
                  g_strdup_printf ("%u", alcove_definition_get_nsid (self, disk));

              alcove_conf_file_set_value (file, group, "namespace", nsid);
              any = TRUE;
            }
        }
      any |= assign_sata_port (file, group, device);
      if (device->address.set || !needs_address (self, device))
        continue;
      address.slot = (guint8)pick_slot (device, used);
      if (address.slot == 0)
        {
          g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
                       "%s: no PCI slot is free for [%s]: remove a device", source_name (self),
                       group);
          return FALSE;
        }
      used |= 1u << address.slot;
      text = alcove_pci_address_to_string (&address);
      alcove_conf_file_set_value (file, group, "address", text);
      any = TRUE;
    }
  return !any || alcove_definition_take_conf (self, g_steal_pointer (&file), error);
}

char *
alcove_definition_dup_value (AlcoveDefinition *self, const char *group, const char *key)
{
  const char *name;
  const AlcoveGroupSpec *spec = alcove_group_spec_find (group, &name);
  const AlcoveKeySpec *key_spec;
  char *value;

  if (spec == NULL || (key_spec = alcove_group_spec_find_key (spec, key)) == NULL)
    return NULL;
  value = alcove_conf_file_dup_value (self->file, group, key);
  return value != NULL ? value : g_strdup (key_spec->fallback);
}
