/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/definition-pci.h"

#include <string.h>

#include "app/definition-private.h"
#include "vfio/host/address.h"

#define PREFIX "pci "

static char *
group_of (const char *name)
{
  return g_strconcat (PREFIX, name, NULL);
}

const AlcovePciConfig *
alcove_definition_find_pci (AlcoveDefinition *self, const char *name)
{
  guint n;
  const AlcovePciConfig *const *pcis = alcove_definition_get_pcis (self, &n);

  for (guint i = 0; i < n; i++)
    if (strcmp (pcis[i]->base.name, name) == 0)
      return pcis[i];
  return NULL;
}

const AlcovePciConfig *
alcove_definition_find_pci_host (AlcoveDefinition *self, const char *host)
{
  guint n;
  const AlcovePciConfig *const *pcis = alcove_definition_get_pcis (self, &n);
  VfioAddress wanted, address;
  gboolean known = vfio_address_parse (host, &wanted);

  for (guint i = 0; i < n; i++)
    if (known ? vfio_address_parse (pcis[i]->host, &address) &&
                    vfio_address_compare (address, wanted) == 0
              : g_ascii_strcasecmp (pcis[i]->host, host) == 0)
      return pcis[i];
  return NULL;
}

gboolean
alcove_pci_config_same_card (const AlcovePciConfig *a, const AlcovePciConfig *b)
{
  VfioAddress x, y;

  if (a == b)
    return TRUE;
  return vfio_address_parse (a->host, &x) && vfio_address_parse (b->host, &y) &&
         vfio_address_same_slot (x, y);
}

/* ---- where they sit ---- */

typedef struct
{
  const AlcovePciConfig *members[8]; /* by the host's function; a mediated device is alone */
  guint bus;                         /* 0: none yet */
  guint taken;                       /* bit n: the guest's function n */
} Card;

static guint
function_of (const AlcovePciConfig *pci)
{
  VfioAddress address;

  return vfio_address_parse (pci->host, &address) ? address.function : 0;
}

static void
find_card (const AlcovePciConfig *const *pcis, guint n, const AlcovePciConfig *pci, Card *ret)
{
  *ret = (Card){ 0 };
  for (guint i = 0; i < n; i++)
    {
      const AlcovePciAddress *address = &pcis[i]->base.address;

      if (!alcove_pci_config_same_card (pci, pcis[i]))
        continue;
      ret->members[function_of (pcis[i])] = pcis[i];
      if (address->set && address->bus != 0)
        {
          ret->bus = address->bus;
          ret->taken |= 1u << address->function;
        }
    }
}

static void
place_card (Card *card, AlcoveConfFile *file)
{
  for (guint i = 0; i < G_N_ELEMENTS (card->members); i++)
    {
      g_autofree char *group = NULL, *text = NULL;
      AlcovePciAddress address = { .set = TRUE, .bus = (guint8)card->bus };
      guint function = (card->taken & 1) != 0 ? i : 0;

      if (card->members[i] == NULL || card->members[i]->base.address.set)
        continue;
      while ((card->taken >> function & 1) != 0)
        function = (function + 1) % 8;
      card->taken |= 1u << function;
      address.function = (guint8)function;
      group = group_of (card->members[i]->base.name);
      text = alcove_pci_address_to_string (&address);
      alcove_conf_file_set_value (file, group, "address", text);
    }
}

/* The one place that igd=legacy has. */
static gboolean
place_igd (AlcoveDefinition *self, AlcoveConfFile *file, const AlcovePciConfig *pci, GError **error)
{
  guint n;
  const AlcoveDeviceConfig *const *devices = alcove_definition_get_devices (self, &n);
  AlcovePciAddress address = { .set = TRUE, .slot = ALCOVE_PCI_SLOT_IGD };
  g_autofree char *group = group_of (pci->base.name);
  g_autofree char *text = alcove_pci_address_to_string (&address);

  for (guint i = 0; i < n; i++)
    if (devices[i]->address.set && devices[i]->address.bus == 0 &&
        devices[i]->address.slot == ALCOVE_PCI_SLOT_IGD)
      {
        g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
                     "[%s] with igd=legacy needs the place %s, and “%s” has it: move that (its "
                     "address), or use igd=on",
                     group, text, devices[i]->name);
        return FALSE;
      }
  alcove_conf_file_set_value (file, group, "address", text);
  return TRUE;
}

gboolean
alcove_definition_assign_pcis (AlcoveDefinition *self, AlcoveConfFile *file, GError **error)
{
  guint n, n_devices, ports = 0;
  const AlcovePciConfig *const *pcis = alcove_definition_get_pcis (self, &n);
  const AlcoveDeviceConfig *const *devices = alcove_definition_get_devices (self, &n_devices);
  gboolean any = FALSE;

  for (guint i = 0; i < n_devices; i++)
    if (devices[i]->address.set)
      ports |= 1u << devices[i]->address.bus;
  for (guint i = 0; i < n; i++)
    {
      Card card;
      gboolean done = pcis[i]->base.address.set;

      if (!done && pcis[i]->igd == ALCOVE_IGD_LEGACY)
        {
          if (!place_igd (self, file, pcis[i], error))
            return FALSE;
          any = done = TRUE;
        }
      for (guint j = 0; j < i && !done; j++)
        done = !pcis[j]->base.address.set && alcove_pci_config_same_card (pcis[i], pcis[j]);
      if (done)
        continue;
      find_card (pcis, n, pcis[i], &card);
      for (guint bus = 1; card.bus == 0 && bus <= ALCOVE_PCI_N_PORTS; bus++)
        if ((ports & 1u << bus) == 0)
          card.bus = bus;
      if (card.bus == 0)
        {
          g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
                       "All %d slots for hot-plug are taken, and [pci %s] needs one: move a device "
                       "that sits in one to bus 00 (its address), or remove it",
                       ALCOVE_PCI_N_PORTS, pcis[i]->base.name);
          return FALSE;
        }
      ports |= 1u << card.bus;
      place_card (&card, file);
      any = TRUE;
    }
  return any;
}

/* ---- edits ---- */

char *
alcove_definition_dup_unsavable (AlcoveDefinition *self)
{
  const AlcoveSnapshotsConfig *snapshots = alcove_definition_get_snapshots (self);
  g_autoptr (GString) text = g_string_new (NULL);
  guint n;
  const AlcovePciConfig *const *pcis = alcove_definition_get_pcis (self, &n);

  if (n == 0)
    return NULL;
  g_string_append_printf (
      text,
      "This machine is given devices of the host (“%s”%s), and what is in them cannot be read: "
      "while "
      "it runs with them it cannot be saved, and no snapshot of it can be taken. While it is off, "
      "snapshots of its disks can.",
      pcis[0]->base.name, n > 1 ? " and others" : "");
  if (snapshots != NULL && snapshots->every > 0)
    g_string_append_printf (
        text,
        " So the automatic snapshots, every %u minutes, are not taken: take one by "
        "hand before a start.",
        snapshots->every);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

char *
alcove_definition_dup_free_pci_name (AlcoveDefinition *self, const char *word)
{
  for (guint i = 1;; i++)
    {
      g_autofree char *name = i == 1 ? g_strdup (word) : g_strdup_printf ("%s%u", word, i);

      if (alcove_definition_find_pci (self, name) == NULL)
        return g_steal_pointer (&name);
    }
}

char *
alcove_definition_dup_pci_group (AlcoveDefinition *self, const char *name)
{
  g_autofree char *group = group_of (name);

  return alcove_definition_dup_group (self, group);
}

char *
alcove_definition_add_pci (AlcoveDefinition *self, const char *text, gboolean live, GError **error)
{
  g_autoptr (AlcoveConfFile) before = alcove_definition_dup_conf (self);
  g_autoptr (AlcoveConfFile) file = NULL;
  g_autofree char *group = alcove_definition_put_group (
      self, text, PREFIX, "A device that is passed through", &file, error);
  const char *name;
  GError *inner = NULL;

  if (group == NULL)
    return NULL;
  name = group + strlen (PREFIX);
  if (alcove_definition_check_live (group, &alcove_definition_find_pci (self, name)->base, live,
                                    &inner) &&
      alcove_definition_assign_pcis (self, file, &inner))
    (void)alcove_definition_take_conf (self, alcove_conf_file_copy (file), &inner);
  if (inner == NULL)
    return g_strdup (name);
  g_propagate_error (error, inner);
  (void)alcove_definition_take_conf (self, g_steal_pointer (&before), NULL);
  return NULL;
}

gboolean
alcove_definition_remove_pci (AlcoveDefinition *self, const char *name, GError **error)
{
  g_autofree char *group = group_of (name);

  if (alcove_definition_find_pci (self, name) != NULL)
    return alcove_definition_remove_group (self, group, error);
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND, "There is no [%s]", group);
  return FALSE;
}
