/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/helper/helper-private.h"

/* A process that was killed closes its devices a moment after it has left the bus; one that holds
 * them still is asked for less and less often. */
#define RETRY_MS     100
#define RETRY_MAX_MS 5000
#define RETRIES_FAST 50

typedef struct
{
  HelperOwners *owners;
  char *name;
  guint watch, timer; /* sources; 0: none */
  guint tries;
  gboolean gone;
} Owner;

struct _HelperOwners
{
  GDBusConnection *bus;
  HelperOwnerGone func;
  gpointer user_data;
  GHashTable *all; /* name -> Owner */
};

static void
owner_free (gpointer data)
{
  Owner *owner = data;

  if (owner->watch != 0)
    g_bus_unwatch_name (owner->watch);
  if (owner->timer != 0)
    g_source_remove (owner->timer);
  g_free (owner->name);
  g_free (owner);
}

HelperOwners *
helper_owners_new (GDBusConnection *bus, HelperOwnerGone gone, gpointer user_data)
{
  HelperOwners *owners = g_new0 (HelperOwners, 1);

  owners->bus = g_object_ref (bus);
  owners->func = gone;
  owners->user_data = user_data;
  owners->all = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, owner_free);
  return owners;
}

void
helper_owners_free (HelperOwners *owners)
{
  if (owners == NULL)
    return;
  g_hash_table_unref (owners->all);
  g_object_unref (owners->bus);
  g_free (owners);
}

static void
on_vanished (GDBusConnection *bus, const char *name, gpointer user_data)
{
  Owner *owner = user_data;

  if (owner->gone)
    return;
  owner->gone = TRUE;
  owner->owners->func (owner->name, owner->owners->user_data);
}

void
helper_owners_watch (HelperOwners *owners, const char *name)
{
  Owner *owner;

  if (g_hash_table_contains (owners->all, name))
    return;
  owner = g_new0 (Owner, 1);
  owner->owners = owners;
  owner->name = g_strdup (name);
  g_hash_table_insert (owners->all, owner->name, owner);
  owner->watch = g_bus_watch_name_on_connection (owners->bus, name, G_BUS_NAME_WATCHER_FLAGS_NONE,
                                                 NULL, on_vanished, owner, NULL);
}

static gboolean
on_retry (gpointer user_data)
{
  Owner *owner = user_data;

  owner->timer = 0;
  owner->owners->func (owner->name, owner->owners->user_data);
  return G_SOURCE_REMOVE;
}

void
helper_owners_retry (HelperOwners *owners, const char *name)
{
  Owner *owner = g_hash_table_lookup (owners->all, name);

  if (owner == NULL || owner->timer != 0)
    return;
  owner->tries++;
  owner->timer =
      g_timeout_add (owner->tries < RETRIES_FAST ? RETRY_MS : RETRY_MAX_MS, on_retry, owner);
}

void
helper_owners_forget (HelperOwners *owners, const char *name)
{
  g_hash_table_remove (owners->all, name);
}

gboolean
helper_owners_is_here (HelperOwners *owners, const char *name)
{
  Owner *owner = g_hash_table_lookup (owners->all, name);

  return owner != NULL && !owner->gone;
}

guint
helper_owners_get_n_gone (HelperOwners *owners)
{
  GHashTableIter iter;
  gpointer owner;
  guint n = 0;

  g_hash_table_iter_init (&iter, owners->all);
  while (g_hash_table_iter_next (&iter, NULL, &owner))
    n += ((Owner *)owner)->gone ? 1 : 0;
  return n;
}
