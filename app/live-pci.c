/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/live-pci.h"

#include <string.h>

#include "vfio/host/address.h"

#define PCIS_MAX  256
#define NOTES_MAX 32
#define TEXT_MAX  1024 /* bytes */

static void
live_free (gpointer data)
{
  AlcoveLivePci *live = data;

  g_free (live->name);
  g_free (live->host);
  g_free (live->address);
  g_free (live->interrupts);
  g_strfreev (live->notes);
  g_free (live);
}

/* (transfer full) (nullable) */
static char *
dup_text (GVariant *dict, const char *key)
{
  const char *text = NULL;

  if (!g_variant_lookup (dict, key, "&s", &text) || strlen (text) > TEXT_MAX)
    return NULL;
  return g_strdup (text);
}

/* (transfer full) */
static GStrv
dup_notes (GVariant *dict)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree const char **notes = NULL;

  (void)g_variant_lookup (dict, "notes", "^a&s", &notes);
  for (guint i = 0; notes != NULL && notes[i] != NULL && i < NOTES_MAX; i++)
    if (strlen (notes[i]) <= TEXT_MAX)
      g_strv_builder_add (builder, notes[i]);
  return g_strv_builder_end (builder);
}

/* As vfio_address_format writes it; other names stay. (transfer full) */
static char *
dup_canonical (const char *host)
{
  VfioAddress address;

  return vfio_address_parse (host, &address) ? vfio_address_to_string (address) : g_strdup (host);
}

static AlcoveLivePci *
live_new (GVariant *dict)
{
  g_autofree char *name = dup_text (dict, "name");
  g_autofree char *host = dup_text (dict, "host");
  AlcoveLivePci *live;

  if (name == NULL || host == NULL)
    return NULL;
  live = g_new0 (AlcoveLivePci, 1);
  live->name = g_steal_pointer (&name);
  live->host = dup_canonical (host);
  live->address = dup_text (dict, "address");
  live->interrupts = dup_text (dict, "interrupts");
  if (live->interrupts == NULL)
    live->interrupts = g_strdup ("");
  (void)g_variant_lookup (dict, "vectors", "u", &live->vectors);
  (void)g_variant_lookup (dict, "leaving", "b", &live->leaving);
  (void)g_variant_lookup (dict, "asked-back", "b", &live->asked_back);
  live->notes = dup_notes (dict);
  return live;
}

GPtrArray *
alcove_live_pcis_new (GVariant *list)
{
  GPtrArray *pcis = g_ptr_array_new_with_free_func (live_free);
  GVariantIter iter;
  GVariant *one;

  if (!g_variant_is_of_type (list, G_VARIANT_TYPE ("aa{sv}")))
    return pcis;
  g_variant_iter_init (&iter, list);
  while (pcis->len < PCIS_MAX && (one = g_variant_iter_next_value (&iter)) != NULL)
    {
      g_autoptr (GVariant) dict = one;
      AlcoveLivePci *live = live_new (dict);

      if (live != NULL)
        g_ptr_array_add (pcis, live);
    }
  return pcis;
}

const AlcoveLivePci *
alcove_live_pcis_find (GPtrArray *pcis, const char *host)
{
  for (guint i = 0; i < pcis->len; i++)
    {
      const AlcoveLivePci *live = g_ptr_array_index (pcis, i);

      if (strcmp (live->host, host) == 0)
        return live;
    }
  return NULL;
}
