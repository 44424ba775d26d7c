/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inventory as JSON: numbers that fit are numbers, 64-bit ones and ids are text. */
#include "app/cli/pci-private.h"

static void
set_text (JsonObject *object, const char *name, const char *text)
{
  if (text != NULL)
    json_object_set_string_member (object, name, text);
}

static void
set_hex (JsonObject *object, const char *name, guint64 value, int digits)
{
  g_autofree char *text = g_strdup_printf ("0x%0*" G_GINT64_MODIFIER "x", digits, value);

  json_object_set_string_member (object, name, text);
}

static void
set_words (JsonObject *object, const char *name, char **words)
{
  JsonArray *array;

  if (words == NULL)
    return;
  array = json_array_new ();
  for (guint i = 0; words[i] != NULL; i++)
    json_array_add_string_element (array, words[i]);
  json_object_set_array_member (object, name, array);
}

static void
set_address (JsonObject *object, const char *name, VfioAddress address)
{
  char text[VFIO_ADDRESS_TEXT_SIZE];

  json_object_set_string_member (object, name, vfio_address_format (address, text));
}

static JsonArray *
bars_to_json (const VfioFunction *function)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i <= VFIO_HOST_ROM; i++)
    {
      const VfioBar *bar = &function->bars[i];
      JsonObject *object;

      if (bar->size == 0)
        continue;
      object = json_object_new ();
      json_object_set_string_member (object, "kind",
                                     i == VFIO_HOST_ROM ? "rom"
                                     : bar->io          ? "io"
                                     : bar->is_64bit    ? "memory64"
                                                        : "memory32");
      json_object_set_int_member (object, "index", i);
      set_hex (object, "start", bar->start, 0);
      json_object_set_int_member (object, "size", (gint64)MIN (bar->size, G_MAXINT64));
      json_object_set_boolean_member (object, "prefetchable", bar->prefetchable);
      if (bar->resizable != 0)
        {
          JsonArray *sizes = json_array_new ();

          for (guint bit = 0; bit < 43; bit++)
            if ((bar->resizable >> bit & 1) != 0)
              json_array_add_int_element (sizes, (gint64)1 << (20 + bit));
          json_object_set_array_member (object, "possible-sizes", sizes);
        }
      json_array_add_object_element (array, object);
    }
  return array;
}

static JsonArray *
users_to_json (const VfioFunction *function)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < function->holders->len; i++)
    {
      const VfioHolder *holder = g_ptr_array_index (function->holders, i);
      JsonObject *object = json_object_new ();

      json_object_set_int_member (object, "pid", holder->pid);
      json_object_set_string_member (object, "name", holder->name);
      json_object_set_string_member (object, "node", holder->node);
      json_array_add_object_element (array, object);
    }
  return array;
}

static void
add_things (JsonObject *object, const VfioFunction *function)
{
  JsonArray *connectors = json_array_new (), *nets = json_array_new (), *disks = json_array_new ();

  for (guint i = 0; i < function->connectors->len; i++)
    {
      const VfioConnector *connector = g_ptr_array_index (function->connectors, i);
      JsonObject *o = json_object_new ();

      json_object_set_string_member (o, "name", connector->name);
      json_object_set_boolean_member (o, "connected", connector->connected);
      json_object_set_boolean_member (o, "enabled", connector->enabled);
      json_array_add_object_element (connectors, o);
    }
  for (guint i = 0; i < function->nets->len; i++)
    {
      const VfioNet *net = g_ptr_array_index (function->nets, i);
      JsonObject *o = json_object_new ();

      json_object_set_string_member (o, "name", net->name);
      json_object_set_boolean_member (o, "up", net->up);
      json_object_set_boolean_member (o, "default-route", net->default_route);
      json_array_add_object_element (nets, o);
    }
  for (guint i = 0; i < function->disks->len; i++)
    {
      const VfioDisk *disk = g_ptr_array_index (function->disks, i);
      JsonObject *o = json_object_new ();

      json_object_set_string_member (o, "name", disk->name);
      set_words (o, "mounts", disk->mounts);
      json_object_set_boolean_member (o, "system", disk->root);
      json_object_set_boolean_member (o, "swap", disk->swap);
      json_array_add_object_element (disks, o);
    }
  json_object_set_array_member (object, "connectors", connectors);
  json_object_set_array_member (object, "networks", nets);
  json_object_set_array_member (object, "disks", disks);
}

static void
add_mediated (JsonObject *object, const VfioFunction *function)
{
  JsonArray *types = json_array_new (), *made = json_array_new ();

  for (guint i = 0; i < function->mediated_types->len; i++)
    {
      const VfioMediatedType *type = g_ptr_array_index (function->mediated_types, i);
      JsonObject *o = json_object_new ();

      json_object_set_string_member (o, "id", type->id);
      set_text (o, "name", type->name);
      set_text (o, "description", type->description);
      json_object_set_int_member (o, "available", type->available);
      json_array_add_object_element (types, o);
    }
  for (guint i = 0; i < function->mediated->len; i++)
    {
      const VfioMediated *mediated = g_ptr_array_index (function->mediated, i);
      JsonObject *o = json_object_new ();

      json_object_set_string_member (o, "uuid", mediated->uuid);
      json_object_set_string_member (o, "type", mediated->type);
      if (mediated->group >= 0)
        json_object_set_int_member (o, "group", mediated->group);
      json_array_add_object_element (made, o);
    }
  json_object_set_array_member (object, "mediated-types", types);
  json_object_set_array_member (object, "mediated-devices", made);
}

static JsonObject *
function_to_json (const VfioFunction *function)
{
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "address", function->id);
  json_object_set_string_member (object, "name", function->name);
  set_text (object, "kind", function->class_name);
  set_hex (object, "class", function->class_code, 6);
  set_hex (object, "vendor", function->vendor, 4);
  set_hex (object, "device", function->device, 4);
  set_hex (object, "subsystem-vendor", function->subsystem_vendor, 4);
  set_hex (object, "subsystem-device", function->subsystem_device, 4);
  set_text (object, "vendor-name", function->vendor_name);
  set_text (object, "device-name", function->device_name);
  json_object_set_boolean_member (object, "bridge", function->bridge);
  if (function->has_parent)
    set_address (object, "parent", function->parent);
  if (function->group != NULL)
    json_object_set_int_member (object, "group", function->group->id);
  if (function->card != NULL)
    json_object_set_string_member (object, "card", function->card->id);
  set_text (object, "driver", function->driver);
  set_text (object, "driver-override", function->driver_override);
  json_object_set_array_member (object, "bars", bars_to_json (function));
  json_object_set_boolean_member (object, "answers", !function->config_dead);
  json_object_set_boolean_member (object, "reset", function->reset);
  set_words (object, "reset-methods", function->reset_methods);
  set_text (object, "power-state", function->power_state);
  set_text (object, "runtime-status", function->runtime_status);
  if (function->d3cold_allowed >= 0)
    json_object_set_boolean_member (object, "d3cold-allowed", function->d3cold_allowed != 0);
  if (function->link_width_max != 0)
    {
      json_object_set_double_member (object, "link-speed", function->link_speed / 10.0);
      json_object_set_int_member (object, "link-width", function->link_width);
      json_object_set_double_member (object, "link-speed-max", function->link_speed_max / 10.0);
      json_object_set_int_member (object, "link-width-max", function->link_width_max);
    }
  if (function->boot_vga >= 0)
    json_object_set_boolean_member (object, "boot-display", function->boot_vga != 0);
  set_words (object, "framebuffers", function->framebuffers);
  set_text (object, "drm-card", function->drm_card);
  add_things (object, function);
  json_object_set_array_member (object, "users", users_to_json (function));
  if (function->sriov_total > 0)
    {
      json_object_set_int_member (object, "virtual-functions", function->sriov_on);
      json_object_set_int_member (object, "virtual-functions-max", function->sriov_total);
    }
  if (function->is_vf)
    set_address (object, "physical-function", function->physfn);
  add_mediated (object, function);
  if (function->numa_node >= 0)
    json_object_set_int_member (object, "numa-node", function->numa_node);
  return object;
}

static JsonArray *
addresses_to_json (GPtrArray *functions)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < functions->len; i++)
    json_array_add_string_element (array, ((VfioFunction *)g_ptr_array_index (functions, i))->id);
  return array;
}

static JsonObject *
group_to_json (const VfioInventory *inventory, const VfioGroup *group)
{
  JsonObject *object = json_object_new ();
  JsonArray *reserved = json_array_new (), *others = json_array_new ();

  json_object_set_int_member (object, "id", group->id);
  set_text (object, "type", group->type);
  json_object_set_array_member (object, "functions", addresses_to_json (group->functions));
  for (guint i = 0; i < group->others->len; i++)
    json_array_add_string_element (others,
                                   ((VfioGroupOther *)g_ptr_array_index (group->others, i))->name);
  for (guint i = 0; i < group->reserved->len; i++)
    {
      const VfioReservedRegion *region = &g_array_index (group->reserved, VfioReservedRegion, i);
      JsonObject *o = json_object_new ();

      set_hex (o, "start", region->start, 0);
      set_hex (o, "end", region->end, 0);
      json_object_set_string_member (o, "type", region->type);
      json_array_add_object_element (reserved, o);
    }
  json_object_set_array_member (object, "others", others);
  json_object_set_array_member (object, "reserved", reserved);
  json_object_set_boolean_member (object, "viable",
                                  vfio_inventory_group_is_viable (inventory, group));
  return object;
}

static JsonObject *
platform_to_json (const VfioPlatform *platform)
{
  static const char *const states[] = { "on", "off-kernel", "off-firmware" };
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "iommu", states[platform->iommu]);
  if (platform->iommu_bits != 0)
    json_object_set_int_member (object, "iommu-address-bits", platform->iommu_bits);
  if (platform->interrupt_remapping >= 0)
    json_object_set_boolean_member (object, "interrupt-remapping",
                                    platform->interrupt_remapping != 0);
  json_object_set_boolean_member (object, "unsafe-interrupts", platform->unsafe_interrupts);
  json_object_set_boolean_member (object, "no-iommu-mode", platform->noiommu_mode);
  set_text (object, "acs-override", platform->acs_override);
  set_text (object, "kernel", platform->kernel);
  set_text (object, "system", platform->os_name);
  json_object_set_boolean_member (object, "image-based", platform->ostree);
  if (platform->memlock != G_MAXUINT64)
    json_object_set_int_member (object, "memory-lock-limit",
                                (gint64)MIN (platform->memlock, G_MAXINT64));
  json_object_set_boolean_member (object, "processes-complete", platform->processes_complete);
  return object;
}

JsonNode *
cli_pci_inventory_to_json (const VfioInventory *inventory)
{
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *object = json_object_new ();
  JsonArray *functions = json_array_new (), *groups = json_array_new (), *cards = json_array_new ();

  for (guint i = 0; i < inventory->functions->len; i++)
    json_array_add_object_element (functions,
                                   function_to_json (g_ptr_array_index (inventory->functions, i)));
  for (guint i = 0; i < inventory->groups->len; i++)
    json_array_add_object_element (
        groups, group_to_json (inventory, g_ptr_array_index (inventory->groups, i)));
  for (guint i = 0; i < inventory->cards->len; i++)
    {
      const VfioCard *card = g_ptr_array_index (inventory->cards, i);
      JsonObject *o = json_object_new ();

      json_object_set_string_member (o, "id", card->id);
      json_object_set_string_member (o, "kind", vfio_card_kind_to_string (card->kind));
      json_object_set_string_member (o, "name", card->name);
      json_object_set_array_member (o, "functions", addresses_to_json (card->functions));
      json_array_add_object_element (cards, o);
    }
  json_object_set_object_member (object, "platform", platform_to_json (&inventory->platform));
  json_object_set_array_member (object, "functions", functions);
  json_object_set_array_member (object, "groups", groups);
  json_object_set_array_member (object, "cards", cards);
  json_node_take_object (node, object);
  return node;
}

static JsonArray *
checks_to_json (GPtrArray *checks)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < checks->len; i++)
    {
      const VfioCheck *check = g_ptr_array_index (checks, i);
      JsonObject *object = json_object_new ();

      json_object_set_string_member (object, "id", check->id);
      json_object_set_string_member (object, "title", check->title);
      json_object_set_string_member (object, "severity", vfio_severity_to_string (check->severity));
      if (check->function != NULL)
        json_object_set_string_member (object, "address", check->function->id);
      json_object_set_string_member (object, "fact", check->fact);
      json_object_set_string_member (object, "meaning", check->meaning);
      set_text (object, "remedy", check->remedy);
      set_text (object, "command", check->command);
      set_text (object, "undo", check->undo);
      json_array_add_object_element (array, object);
    }
  return array;
}

JsonNode *
cli_pci_verdicts_to_json (GPtrArray *platform, GPtrArray *verdicts)
{
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *object = json_object_new ();
  JsonArray *cards = json_array_new ();

  for (guint i = 0; i < verdicts->len; i++)
    {
      const VfioVerdict *verdict = g_ptr_array_index (verdicts, i);
      JsonObject *o = json_object_new ();

      json_object_set_string_member (o, "id", verdict->card->id);
      json_object_set_string_member (o, "name", verdict->card->name);
      json_object_set_string_member (o, "kind", vfio_card_kind_to_string (verdict->card->kind));
      json_object_set_string_member (o, "severity", vfio_severity_to_string (verdict->severity));
      json_object_set_string_member (o, "summary", verdict->summary);
      json_object_set_array_member (o, "takes", addresses_to_json (verdict->takes));
      json_object_set_array_member (o, "mates", addresses_to_json (verdict->mates));
      json_object_set_array_member (o, "stays", addresses_to_json (verdict->stays));
      json_object_set_boolean_member (o, "reserved", verdict->bound);
      json_object_set_boolean_member (o, "viable", verdict->viable);
      json_object_set_boolean_member (o, "warn-second-start", verdict->second_start);
      json_object_set_array_member (o, "checks", checks_to_json (verdict->checks));
      json_array_add_object_element (cards, o);
    }
  json_object_set_array_member (object, "platform", checks_to_json (platform));
  json_object_set_array_member (object, "cards", cards);
  json_node_take_object (node, object);
  return node;
}
