/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/fw-cfg.h"

#include "vmm/machine.h"

#include <string.h>

#define MAX_FILES    256
#define NAME_LENGTH  56
#define MAX_WRITABLE 4096

#define DMA_ERROR  (1u << 0)
#define DMA_READ   (1u << 1)
#define DMA_SKIP   (1u << 2)
#define DMA_SELECT (1u << 3)
#define DMA_WRITE  (1u << 4)

/* Read at the DMA address register: "QEMU CFG". */
#define DMA_SIGNATURE G_GUINT64_CONSTANT (0x51454d5520434647)

typedef struct
{
  guint32 control, length;
  guint64 address;
} DmaDescriptor; /* all big endian */
G_STATIC_ASSERT (sizeof (DmaDescriptor) == 16);

typedef struct
{
  guint32 size;
  guint16 select, reserved;
  char name[NAME_LENGTH];
} DirectoryEntry; /* big endian */
G_STATIC_ASSERT (sizeof (DirectoryEntry) == 64);

typedef struct
{
  char *name;
  guint16 key;
  GBytes *bytes;  /* or */
  guint8 *buffer; /* writable files */
  gsize buffer_size;
  void (*select) (gpointer user_data);
  void (*written) (gpointer user_data, const guint8 *data);
  gpointer user_data;
} Item;

struct _FwCfg
{
  VmmDevice parent;
  struct
  {
    guint64 port;
  } config;
  struct
  {
    guint16 key;
    guint32 offset;
    guint32 dma_high;
  } guest;
  struct
  {
    VmmRegion region;
    GHashTable *items; /* key -> Item */
    GPtrArray *files;  /* Item *, by key */
    GBytes *directory; /* built when selected */
  } host;
};

static void
item_free (gpointer data)
{
  Item *item = data;

  g_free (item->name);
  g_clear_pointer (&item->bytes, g_bytes_unref);
  g_free (item->buffer);
  g_free (item);
}

static Item *
add_item (FwCfg *fw_cfg, guint16 key)
{
  Item *item = g_new0 (Item, 1);

  item->key = key;
  g_hash_table_replace (fw_cfg->host.items, GUINT_TO_POINTER (key), item);
  return item;
}

void
fw_cfg_add_item (FwCfg *fw_cfg, guint16 key, GBytes *bytes)
{
  add_item (fw_cfg, key)->bytes = g_bytes_ref (bytes);
}

void
fw_cfg_add_uint (FwCfg *fw_cfg, guint16 key, guint64 value, guint size)
{
  guint64 le = GUINT64_TO_LE (value);

  g_assert (size <= sizeof le);
  add_item (fw_cfg, key)->bytes = g_bytes_new (&le, size);
}

static Item *
find_file (FwCfg *fw_cfg, const char *name)
{
  for (guint i = 0; i < fw_cfg->host.files->len; i++)
    {
      Item *item = g_ptr_array_index (fw_cfg->host.files, i);

      if (g_str_equal (item->name, name))
        return item;
    }
  return NULL;
}

static Item *
add_file (FwCfg *fw_cfg, const char *name, GError **error)
{
  gsize length = strlen (name);
  Item *item;

  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isgraph (name[i]))
      length = 0;
  if (length == 0 || length >= NAME_LENGTH)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” cannot be the name of a firmware file: use 1 to %u printable characters.",
                   name, NAME_LENGTH - 1);
      return NULL;
    }
  if (find_file (fw_cfg, name) != NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY, "The firmware file “%s” is there already.",
                   name);
      return NULL;
    }
  if (fw_cfg->host.files->len == MAX_FILES)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "The firmware file “%s” finds no room: there are %u already.", name, MAX_FILES);
      return NULL;
    }
  item = add_item (fw_cfg, (guint16)(FW_CFG_KEY_FILE_FIRST + fw_cfg->host.files->len));
  item->name = g_strdup (name);
  g_ptr_array_add (fw_cfg->host.files, item);
  return item;
}

gboolean
fw_cfg_add_file (FwCfg *fw_cfg, const char *name, GBytes *bytes, GError **error)
{
  return fw_cfg_add_late_file (fw_cfg, name, bytes, NULL, NULL, error);
}

gboolean
fw_cfg_add_late_file (FwCfg *fw_cfg,
                      const char *name,
                      GBytes *bytes,
                      void (*select) (gpointer user_data),
                      gpointer user_data,
                      GError **error)
{
  Item *item = add_file (fw_cfg, name, error);

  if (item == NULL)
    return FALSE;
  item->bytes = g_bytes_ref (bytes);
  item->select = select;
  item->user_data = user_data;
  return TRUE;
}

gboolean
fw_cfg_add_writable_file (FwCfg *fw_cfg,
                          const char *name,
                          gsize size,
                          void (*written) (gpointer user_data, const guint8 *data),
                          gpointer user_data,
                          GError **error)
{
  Item *item;

  g_assert (size <= MAX_WRITABLE);
  item = add_file (fw_cfg, name, error);
  if (item == NULL)
    return FALSE;
  item->buffer = g_malloc0 (size);
  item->buffer_size = size;
  item->written = written;
  item->user_data = user_data;
  return TRUE;
}

void
fw_cfg_replace_file (FwCfg *fw_cfg, const char *name, GBytes *bytes)
{
  Item *item = find_file (fw_cfg, name);

  g_assert (item != NULL && item->buffer == NULL);
  g_bytes_ref (bytes);
  g_bytes_unref (item->bytes);
  item->bytes = bytes;
}

static const guint8 *
item_data (FwCfg *fw_cfg, Item *item, gsize *ret_size)
{
  if (item->buffer != NULL)
    {
      *ret_size = item->buffer_size;
      return item->buffer;
    }
  return g_bytes_get_data (item->bytes, ret_size);
}

GBytes *
fw_cfg_dup_file (FwCfg *fw_cfg, const char *name)
{
  GBytes *bytes = NULL;
  Item *item;

  g_mutex_lock (&fw_cfg->parent.lock);
  item = find_file (fw_cfg, name);
  if (item != NULL)
    {
      gsize size;
      const guint8 *data = item_data (fw_cfg, item, &size);

      bytes = g_bytes_new (data, size);
    }
  g_mutex_unlock (&fw_cfg->parent.lock);
  return bytes;
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  const Item *left = *(Item *const *)a, *right = *(Item *const *)b;

  return strcmp (left->name, right->name);
}

/* A count, then one entry a file, sorted by name. */
static void
build_directory (FwCfg *fw_cfg)
{
  g_autoptr (GPtrArray) sorted = g_ptr_array_copy (fw_cfg->host.files, NULL, NULL);
  GByteArray *out = g_byte_array_new ();
  guint32 count = GUINT32_TO_BE (sorted->len);

  g_ptr_array_set_free_func (sorted, NULL);
  g_ptr_array_sort (sorted, compare_names);
  g_byte_array_append (out, (const guint8 *)&count, sizeof count);
  for (guint i = 0; i < sorted->len; i++)
    {
      Item *item = g_ptr_array_index (sorted, i);
      DirectoryEntry entry = { 0 };
      gsize size;

      item_data (fw_cfg, item, &size);
      entry.size = GUINT32_TO_BE ((guint32)size);
      entry.select = GUINT16_TO_BE (item->key);
      g_strlcpy (entry.name, item->name, sizeof entry.name);
      g_byte_array_append (out, (const guint8 *)&entry, sizeof entry);
    }
  g_clear_pointer (&fw_cfg->host.directory, g_bytes_unref);
  fw_cfg->host.directory = g_byte_array_free_to_bytes (out);
}

static void
select_key (FwCfg *fw_cfg, guint16 key)
{
  Item *item;

  fw_cfg->guest.key = key;
  fw_cfg->guest.offset = 0;
  if (key == FW_CFG_KEY_DIRECTORY)
    {
      /* Late files of one kind share a callback, which does nothing when nothing changed. */
      for (guint i = 0; i < fw_cfg->host.files->len; i++)
        {
          item = g_ptr_array_index (fw_cfg->host.files, i);
          if (item->select != NULL)
            item->select (item->user_data);
        }
      build_directory (fw_cfg);
      return;
    }
  item = g_hash_table_lookup (fw_cfg->host.items, GUINT_TO_POINTER (key));
  if (item != NULL && item->select != NULL)
    item->select (item->user_data);
}

/* The selected item's bytes; a key that is not there is an empty item (reads as zero). */
static const guint8 *
selected (FwCfg *fw_cfg, gsize *ret_size)
{
  Item *item;

  *ret_size = 0;
  if (fw_cfg->guest.key == FW_CFG_KEY_DIRECTORY)
    {
      if (fw_cfg->host.directory == NULL)
        build_directory (fw_cfg);
      return g_bytes_get_data (fw_cfg->host.directory, ret_size);
    }
  item = g_hash_table_lookup (fw_cfg->host.items, GUINT_TO_POINTER (fw_cfg->guest.key));
  return item == NULL ? NULL : item_data (fw_cfg, item, ret_size);
}

static void
advance (FwCfg *fw_cfg, guint32 length)
{
  guint32 room = G_MAXUINT32 - fw_cfg->guest.offset;

  fw_cfg->guest.offset += MIN (room, length);
}

static guint8
read_data (FwCfg *fw_cfg)
{
  gsize size;
  const guint8 *data = selected (fw_cfg, &size);
  guint8 byte = fw_cfg->guest.offset < size ? data[fw_cfg->guest.offset] : 0;

  advance (fw_cfg, 1);
  return byte;
}

static gboolean
dma_read (FwCfg *fw_cfg, VmmGpa gpa, guint32 length)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (fw_cfg->parent.machine);
  gsize size, have = 0;
  const guint8 *data = selected (fw_cfg, &size);

  if (!vmm_guest_memory_check (memory, gpa, length, TRUE))
    return FALSE;
  if (fw_cfg->guest.offset < size)
    have = MIN (size - fw_cfg->guest.offset, length);
  if (have > 0 && !vmm_guest_memory_write (memory, gpa, data + fw_cfg->guest.offset, have))
    return FALSE;
  if (length > have &&
      !vmm_guest_memory_fill (memory, vmm_gpa (gpa.value + have), 0, length - have))
    return FALSE;
  advance (fw_cfg, length);
  return TRUE;
}

static gboolean
dma_write (FwCfg *fw_cfg, VmmGpa gpa, guint32 length)
{
  Item *item = g_hash_table_lookup (fw_cfg->host.items, GUINT_TO_POINTER (fw_cfg->guest.key));

  if (item == NULL || item->buffer == NULL || fw_cfg->guest.offset > item->buffer_size ||
      length > item->buffer_size - fw_cfg->guest.offset)
    return FALSE;
  if (!vmm_guest_memory_read (vmm_machine_get_memory (fw_cfg->parent.machine), gpa,
                              item->buffer + fw_cfg->guest.offset, length))
    return FALSE;
  advance (fw_cfg, length);
  if (item->written != NULL)
    item->written (item->user_data, item->buffer);
  return TRUE;
}

/* One descriptor, fetched once. The result goes to its control field: 0 or ERROR. */
static void
run_dma (FwCfg *fw_cfg, VmmGpa gpa)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (fw_cfg->parent.machine);
  DmaDescriptor descriptor;
  guint32 control, length, result;
  VmmGpa address;
  gboolean ok = TRUE;

  if (gpa.value > G_MAXUINT64 - sizeof descriptor ||
      !vmm_guest_memory_read (memory, gpa, &descriptor, sizeof descriptor))
    return;
  control = GUINT32_FROM_BE (descriptor.control);
  length = GUINT32_FROM_BE (descriptor.length);
  address = vmm_gpa (GUINT64_FROM_BE (descriptor.address));
  if ((control & DMA_SELECT) != 0)
    select_key (fw_cfg, (guint16)(control >> 16));
  if (length == 0)
    ;
  else if ((control & DMA_READ) != 0)
    ok = dma_read (fw_cfg, address, length);
  else if ((control & DMA_WRITE) != 0)
    ok = dma_write (fw_cfg, address, length);
  else if ((control & DMA_SKIP) != 0)
    advance (fw_cfg, length);
  result = GUINT32_TO_BE (ok ? 0 : DMA_ERROR);
  ok = vmm_guest_memory_write (memory, gpa, &result, sizeof result);
  (void)ok; /* a descriptor in ROM: the guest sees no answer */
}

static VmmIoResult
fw_cfg_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  FwCfg *fw_cfg = opaque;

  if (offset == 1 && size == 1)
    *value = read_data (fw_cfg);
  else if (offset == 4 && size == 4)
    *value = GUINT32_TO_BE ((guint32)(DMA_SIGNATURE >> 32));
  else if (offset == 8 && size == 4)
    *value = GUINT32_TO_BE ((guint32)DMA_SIGNATURE);
  else
    return VMM_IO_UNKNOWN;
  return VMM_IO_OK;
}

static VmmIoResult
fw_cfg_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  FwCfg *fw_cfg = opaque;

  if (offset == 0 && size == 2)
    select_key (fw_cfg, (guint16)value);
  else if (offset == 4 && size == 4)
    fw_cfg->guest.dma_high = GUINT32_FROM_BE ((guint32)value);
  else if (offset == 8 && size == 4)
    {
      guint64 address = (guint64)fw_cfg->guest.dma_high << 32 | GUINT32_FROM_BE ((guint32)value);

      fw_cfg->guest.dma_high = 0;
      run_dma (fw_cfg, vmm_gpa (address));
    }
  else
    return VMM_IO_UNKNOWN; /* the data port takes no writes any more */
  return VMM_IO_OK;
}

static const VmmRegionOps region_ops = {
  .name = "fw-cfg",
  .min_size = 1,
  .max_size = 4,
  .read = fw_cfg_read,
  .write = fw_cfg_write,
};

static gboolean
fw_cfg_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  FwCfg *fw_cfg = (FwCfg *)device;

  device->machine = machine;
  fw_cfg->host.items = g_hash_table_new_full (NULL, NULL, NULL, item_free);
  fw_cfg->host.files = g_ptr_array_new ();
  fw_cfg_add_uint (fw_cfg, FW_CFG_KEY_SIGNATURE, 0x554d4551 /* "QEMU" */, 4);
  fw_cfg_add_uint (fw_cfg, FW_CFG_KEY_ID, 3 /* bit 0: ports, bit 1: DMA */, 4);
  vmm_region_init (&fw_cfg->host.region, &region_ops, fw_cfg, &device->lock, 12);
  if (vmm_bus_map (vmm_machine_get_pio (machine), fw_cfg->config.port, &fw_cfg->host.region, error))
    return TRUE;
  g_clear_pointer (&fw_cfg->host.files, g_ptr_array_unref);
  g_clear_pointer (&fw_cfg->host.items, g_hash_table_unref);
  return FALSE;
}

static void
fw_cfg_unrealize (VmmDevice *device)
{
  FwCfg *fw_cfg = (FwCfg *)device;

  vmm_bus_unmap (&fw_cfg->host.region);
  vmm_region_drain (&fw_cfg->host.region);
  g_clear_pointer (&fw_cfg->host.files, g_ptr_array_unref);
  g_clear_pointer (&fw_cfg->host.items, g_hash_table_unref);
  g_clear_pointer (&fw_cfg->host.directory, g_bytes_unref);
}

static void
fw_cfg_reset (VmmDevice *device, VmmResetKind kind)
{
  FwCfg *fw_cfg = (FwCfg *)device;

  g_mutex_lock (&device->lock);
  memset (&fw_cfg->guest, 0, sizeof fw_cfg->guest);
  for (guint i = 0; i < fw_cfg->host.files->len; i++)
    {
      Item *item = g_ptr_array_index (fw_cfg->host.files, i);

      if (item->buffer != NULL)
        memset (item->buffer, 0, item->buffer_size);
    }
  g_mutex_unlock (&device->lock);
}

static void
fw_cfg_quiesce (VmmDevice *device)
{
}

static void
fw_cfg_resume (VmmDevice *device)
{
}

static gboolean
fw_cfg_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  FwCfg *fw_cfg = (FwCfg *)device;

  vmm_state_put_uint (writer, "key", fw_cfg->guest.key);
  vmm_state_put_uint (writer, "offset", fw_cfg->guest.offset);
  vmm_state_put_uint (writer, "dma-high", fw_cfg->guest.dma_high);
  for (guint i = 0; i < fw_cfg->host.files->len; i++)
    {
      Item *item = g_ptr_array_index (fw_cfg->host.files, i);

      if (item->buffer != NULL)
        vmm_state_put_bytes (writer, item->name, item->buffer, item->buffer_size);
    }
  return TRUE;
}

static gboolean
fw_cfg_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  FwCfg *fw_cfg = (FwCfg *)device;
  guint64 key, offset, dma_high;

  if (!vmm_state_get_uint (reader, "key", G_MAXUINT16, &key, error) ||
      !vmm_state_get_uint (reader, "offset", G_MAXUINT32, &offset, error) ||
      !vmm_state_get_uint (reader, "dma-high", G_MAXUINT32, &dma_high, error))
    return FALSE;
  for (guint i = 0; i < fw_cfg->host.files->len; i++)
    {
      Item *item = g_ptr_array_index (fw_cfg->host.files, i);

      if (item->buffer == NULL)
        continue;
      if (!vmm_state_get_bytes (reader, item->name, item->buffer, item->buffer_size, error))
        return FALSE;
      if (item->written != NULL)
        item->written (item->user_data, item->buffer);
    }
  g_mutex_lock (&device->lock);
  select_key (fw_cfg, (guint16)key);
  fw_cfg->guest.offset = (guint32)offset;
  fw_cfg->guest.dma_high = (guint32)dma_high;
  g_mutex_unlock (&device->lock);
  return TRUE;
}

static const VmmProperty properties[] = {
  { "port", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (FwCfg, config.port), 0, 0xfff0, FW_CFG_PORT },
  { NULL },
};

const VmmDeviceOps fw_cfg_ops = {
  .name = "fw-cfg",
  .summary = "Firmware configuration",
  .spec = "QEMU docs/specs/fw_cfg, revision 3",
  .instance_size = sizeof (FwCfg),
  .state_version = 1,
  .properties = properties,
  .realize = fw_cfg_realize,
  .unrealize = fw_cfg_unrealize,
  .reset = fw_cfg_reset,
  .quiesce = fw_cfg_quiesce,
  .resume = fw_cfg_resume,
  .save = fw_cfg_save,
  .load = fw_cfg_load,
};
