/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/fingerprint.h"

#include <string.h>

#define SECTION_ID      "machine"
#define SECTION_CLASS   "fingerprint"
#define SECTION_VERSION 1
#define MAX_ITEMS       8192
#define MAX_TEXT        512

/* A thing and what it is, as people read them. */
typedef struct
{
  char *name, *value;
} Item;

static void
item_free (gpointer data)
{
  Item *item = data;

  g_free (item->name);
  g_free (item->value);
  g_free (item);
}

/* Both are (transfer full). */
static void
add (GPtrArray *items, char *name, char *value)
{
  Item *item = g_new0 (Item, 1);

  item->name = name;
  item->value = value;
  g_ptr_array_add (items, item);
}

static void
add_block (VmmRamBlock *block, gpointer user_data)
{
  if ((vmm_ram_block_get_flags (block) & VMM_RAM_DEVICE) == 0)
    add (user_data, g_strdup_printf ("memory “%s”", vmm_ram_block_get_name (block)),
         g_strdup_printf ("%" G_GUINT64_FORMAT " KiB", vmm_ram_block_get_size (block) >> 10));
}

/* The numbers among a device's properties are what the guest sees of it: its address, its queues,
 * its size. Texts and back ends may be others. */
static void
add_device (VmmDevice *device, gpointer user_data)
{
  add (user_data, g_strdup_printf ("device “%s”", device->id), g_strdup (device->ops->name));
  for (const VmmProperty *p = device->ops->properties; p != NULL && p->name != NULL; p++)
    {
      gpointer at = (guint8 *)device + p->offset;

      if (p->type == VMM_PROPERTY_UINT)
        add (user_data, g_strdup_printf ("%s of “%s”", p->name, device->id),
             g_strdup_printf ("%" G_GUINT64_FORMAT, *(guint64 *)at));
      else if (p->type == VMM_PROPERTY_BOOL)
        add (user_data, g_strdup_printf ("%s of “%s”", p->name, device->id),
             g_strdup (*(gboolean *)at ? "on" : "off"));
    }
}

static GPtrArray *
make_items (VmmMachine *machine)
{
  GPtrArray *items = g_ptr_array_new_with_free_func (item_free);

  vmm_guest_memory_foreach_block (vmm_machine_get_memory (machine), add_block, items);
  vmm_machine_foreach_device (machine, add_device, items);
  return items;
}

void
vmm_fingerprint_save (VmmMachine *machine, const guint8 id[16], VmmStateWriter *writer)
{
  g_autoptr (GPtrArray) items = make_items (machine);

  vmm_state_writer_begin (writer, SECTION_ID, SECTION_CLASS, SECTION_VERSION);
  vmm_state_put_bytes (writer, "save-id", id, 16);
  vmm_state_put_uint (writer, "n_items", items->len);
  for (guint i = 0; i < items->len; i++)
    {
      Item *item = g_ptr_array_index (items, i);

      vmm_state_put_bytes (writer, "name", item->name, MIN (strlen (item->name), MAX_TEXT));
      vmm_state_put_bytes (writer, "value", item->value, MIN (strlen (item->value), MAX_TEXT));
    }
  vmm_state_writer_end (writer);
}

/* (transfer full), or NULL. What a damaged file holds is made fit to be shown. */
static char *
get_text (VmmStateReader *reader, const char *key, GError **error)
{
  const guint8 *data;
  gsize length;

  if (!vmm_state_get_blob (reader, key, MAX_TEXT, &data, &length, error))
    return NULL;
  return g_utf8_make_valid ((const char *)data, (gssize)length);
}

static gboolean
differ (GError **error, const char *name, const char *saved, const char *now)
{
  if (now == NULL)
    g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                 "The machine was changed after it was saved: it had %s (%s) and has no more. Undo "
                 "the change, or discard the saved state.",
                 name, saved);
  else if (saved == NULL)
    g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                 "The machine was changed after it was saved: it had no %s (%s). Undo the change, "
                 "or discard the saved state.",
                 name, now);
  else
    g_set_error (
        error, VMM_ERROR, VMM_ERROR_INVALID,
        "The machine was changed after it was saved: %s was %s and is %s. Undo the change, "
        "or discard the saved state.",
        name, saved, now);
  return FALSE;
}

static gboolean
load_items (VmmStateReader *reader, guint64 n, GHashTable *saved, GError **error)
{
  for (guint64 i = 0; i < n; i++)
    {
      g_autofree char *name = get_text (reader, "name", error);
      g_autofree char *value = name != NULL ? get_text (reader, "value", error) : NULL;

      if (value == NULL)
        return FALSE;
      g_hash_table_insert (saved, g_steal_pointer (&name), g_steal_pointer (&value));
    }
  return vmm_state_reader_end (reader, error);
}

static gboolean
compare (GPtrArray *items, GHashTable *saved, GError **error)
{
  GHashTableIter iter;
  gpointer name, value;

  for (guint i = 0; i < items->len; i++)
    {
      Item *item = g_ptr_array_index (items, i);
      const char *was = g_hash_table_lookup (saved, item->name);

      if (g_strcmp0 (was, item->value) != 0)
        return differ (error, item->name, was, item->value);
      g_hash_table_remove (saved, item->name);
    }
  g_hash_table_iter_init (&iter, saved);
  if (g_hash_table_iter_next (&iter, &name, &value))
    return differ (error, name, value, NULL);
  return TRUE;
}

gboolean
vmm_fingerprint_load (VmmMachine *machine,
                      VmmStateReader *reader,
                      guint8 ret_id[16],
                      GError **error)
{
  g_autoptr (GHashTable) saved = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (GPtrArray) items = NULL;
  const char *id = "", *class_name = "";
  guint32 version = 0;
  GError *local = NULL;
  guint64 n;

  if (!vmm_state_reader_next (reader, &id, &class_name, &version, &local) && local != NULL)
    {
      g_propagate_error (error, local);
      return FALSE;
    }
  if (!g_str_equal (id, SECTION_ID) || !g_str_equal (class_name, SECTION_CLASS))
    {
      g_set_error_literal (error, VMM_ERROR, VMM_ERROR_INVALID,
                           "The saved state cannot be used: it does not begin with what machine it "
                           "is of");
      return FALSE;
    }
  if (version != SECTION_VERSION)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state is of another version of Alcove (%u, this one reads %u)",
                   version, SECTION_VERSION);
      return FALSE;
    }
  if (!vmm_state_get_bytes (reader, "save-id", ret_id, 16, error) ||
      !vmm_state_get_uint (reader, "n_items", MAX_ITEMS, &n, error) ||
      !load_items (reader, n, saved, error))
    return FALSE;
  items = make_items (machine);
  return compare (items, saved, error);
}
