/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/definition-json.h"

#include <string.h>
#include "app/definition-private.h"

static char *
forwards_to_text (GArray *forwards)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < forwards->len; i++)
    {
      const AlcoveForward *forward = &g_array_index (forwards, AlcoveForward, i);
      guint32 host = forward->host_address, guest = forward->guest_address;

      g_string_append_printf (text, "%s%s:%u.%u.%u.%u:%u:", i > 0 ? ";" : "",
                              forward->udp ? "udp" : "tcp", host >> 24, host >> 16 & 255,
                              host >> 8 & 255, host & 255, forward->host_port);
      if (guest != 0)
        g_string_append_printf (text, "%u.%u.%u.%u:", guest >> 24, guest >> 16 & 255,
                                guest >> 8 & 255, guest & 255);
      g_string_append_printf (text, "%u", forward->guest_port);
    }
  return g_string_free (text, FALSE);
}

static char *
listen_to_text (const AlcoveListen *listen)
{
  if (listen->kind == ALCOVE_LISTEN_UNIX)
    return g_strconcat ("unix:", listen->path, NULL);
  return g_strdup_printf (strchr (listen->host, ':') != NULL ? "tcp:[%s]:%u" : "tcp:%s:%u",
                          listen->host, listen->port);
}

/* Adds the value of one key, nothing where it has none. */
static void
add_key (JsonObject *object, const AlcoveKeySpec *key, gconstpointer config)
{
  gconstpointer place = (const char *)config + key->offset;
  g_autofree char *text = NULL;

  switch (key->type)
    {
    case ALCOVE_KEY_STRING:
    case ALCOVE_KEY_PATH:
    case ALCOVE_KEY_UUID:
      text = g_strdup (*(char *const *)place);
      break;
    case ALCOVE_KEY_WORD:
      text = g_strdup (key->words[*(const guint *)place]);
      break;
    case ALCOVE_KEY_BOOLEAN:
      json_object_set_boolean_member (object, key->name, *(const gboolean *)place);
      return;
    case ALCOVE_KEY_NUMBER:
      if (*(const guint *)place != 0)
        json_object_set_int_member (object, key->name, *(const guint *)place);
      return;
    case ALCOVE_KEY_MIB:
      json_object_set_int_member (object, key->name, (gint64) * (const guint64 *)place);
      return;
    case ALCOVE_KEY_MAC:
      text = alcove_mac_to_string (place);
      break;
    case ALCOVE_KEY_ADDRESS:
      if (((const AlcovePciAddress *)place)->set)
        text = alcove_pci_address_to_string (place);
      break;
    case ALCOVE_KEY_FORWARDS:
      if ((*(GArray *const *)place)->len > 0)
        text = forwards_to_text (*(GArray *const *)place);
      break;
    case ALCOVE_KEY_LISTEN:
      text = listen_to_text (place);
      break;
    default:
      break;
    }
  if (text != NULL)
    json_object_set_string_member (object, key->name, text);
}

static void
add_group (JsonObject *root, const AlcoveDeviceConfig *config)
{
  const AlcoveGroupSpec *spec = &alcove_group_specs[config->kind];
  g_autofree char *name =
      spec->named ? g_strdup_printf ("%s %s", spec->word, config->name) : g_strdup (spec->word);
  JsonObject *object = json_object_new ();

  for (gsize i = 0; i < spec->n_keys; i++)
    add_key (object, &spec->keys[i], config);
  json_object_set_object_member (root, name, object);
}

JsonNode *
alcove_definition_to_json (AlcoveDefinition *definition)
{
  JsonObject *root = json_object_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  const AlcoveSpiceConfig *spice = alcove_definition_get_spice (definition);
  const AlcoveSnapshotsConfig *snapshots = alcove_definition_get_snapshots (definition);
  guint n;
  const AlcoveDeviceConfig *const *devices = alcove_definition_get_devices (definition, &n);

  add_group (root, &alcove_definition_get_machine (definition)->base);
  for (guint i = 0; i < n; i++)
    add_group (root, devices[i]);
  if (spice != NULL)
    add_group (root, &spice->base);
  if (snapshots != NULL)
    add_group (root, &snapshots->base);
  json_node_take_object (node, root);
  return node;
}
