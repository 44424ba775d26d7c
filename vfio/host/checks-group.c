/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What goes with a card. The kernel hands out a whole group or nothing of it: each member must be on
 * a driver of vfio, or on none, or on one that leaves DMA alone, as pcieport does on a bridge. So
 * bridges are never asked for, and every other member with a driver is. */
#include <string.h>
#include "vfio/host/checks-private.h"

static int
compare_functions (gconstpointer a, gconstpointer b)
{
  return vfio_address_compare ((*(VfioFunction *const *)a)->address,
                               (*(VfioFunction *const *)b)->address);
}

static void
add_once (GPtrArray *array, VfioFunction *function)
{
  if (!g_ptr_array_find (array, function, NULL))
    g_ptr_array_add (array, function);
}

void
host_checks_find_group (VfioJudge *judge)
{
  VfioVerdict *verdict = judge->verdict;
  GPtrArray *own = verdict->card->functions;

  for (guint i = 0; i < own->len; i++)
    add_once (verdict->takes, g_ptr_array_index (own, i));
  for (guint i = 0; i < own->len; i++)
    {
      const VfioGroup *group = ((VfioFunction *)g_ptr_array_index (own, i))->group;

      for (guint k = 0; group != NULL && k < group->functions->len; k++)
        {
          VfioFunction *member = g_ptr_array_index (group->functions, k);

          if (g_ptr_array_find (own, member, NULL))
            continue;
          if (member->bridge || (member->driver == NULL && member->card->kind == HOST_CARD_CHIPSET))
            add_once (verdict->stays, member);
          else
            {
              add_once (verdict->takes, member);
              add_once (verdict->mates, member);
            }
        }
    }
  g_ptr_array_sort (verdict->takes, compare_functions);
  g_ptr_array_sort (verdict->mates, compare_functions);
  g_ptr_array_sort (verdict->stays, compare_functions);
  verdict->bound = TRUE;
  verdict->viable = judge->inventory->platform.iommu == HOST_IOMMU_ON;
  for (guint i = 0; i < verdict->takes->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (verdict->takes, i);

      verdict->bound = verdict->bound && function->driver_vfio;
      verdict->viable = verdict->viable && function->group != NULL &&
                        vfio_inventory_group_is_viable (judge->inventory, function->group);
    }
}

static void
add_parts (VfioJudge *judge)
{
  GPtrArray *own = judge->verdict->card->functions;
  g_autoptr (GString) kinds = g_string_new (NULL);
  g_autofree char *fact = NULL;

  if (own->len < 2)
    return;
  for (guint i = 0; i < own->len; i++)
    g_string_append_printf (kinds, "%s%s", i > 0 ? ", " : "",
                            ((VfioFunction *)g_ptr_array_index (own, i))->class_name);
  fact = g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "This card has %u part: %s",
                                       "This card has %u parts: %s", own->len),
                          own->len, kinds->str);
  host_check_add (judge->verdict->checks, "parts", _ ("Parts of the card"), HOST_SEVERITY_OK, NULL,
                  g_steal_pointer (&fact), g_strdup (_ ("They are given to the machine together")));
}

static void
add_mates (VfioJudge *judge)
{
  GPtrArray *mates = judge->verdict->mates;
  g_autofree char *list = NULL;
  VfioCheck *check;

  if (mates->len == 0)
    return;
  list = host_describe_list (mates);
  check = host_check_add (
      judge->verdict->checks, "group-mates", _ ("Shared isolation group"),
      judge->verdict->bound ? HOST_SEVERITY_OK : HOST_SEVERITY_STEP, g_ptr_array_index (mates, 0),
      g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "%s shares the card's isolation group",
                                    "%s share the card's isolation group", mates->len),
                       list),
      g_strdup (_ ("Devices of one group reach each other, so the kernel hands out all of them or "
                   "none")));
  if (check->severity == HOST_SEVERITY_STEP)
    check->remedy =
        g_strdup (_ ("Do without them on the host while a machine has the card, or move "
                     "the card to another slot"));
}

static void
add_strangers (VfioJudge *judge)
{
  GPtrArray *own = judge->verdict->card->functions;
  const VfioGroup *seen = NULL;

  for (guint i = 0; i < own->len; i++)
    {
      const VfioGroup *group = ((VfioFunction *)g_ptr_array_index (own, i))->group;

      if (group == NULL || group == seen)
        continue;
      seen = group;
      for (guint k = 0; k < group->others->len; k++)
        {
          const VfioGroupOther *other = g_ptr_array_index (group->others, k);
          VfioCheck *check;

          if (vfio_inventory_driver_is_harmless (judge->inventory, other->driver, FALSE, FALSE))
            continue;
          check = host_check_add (
              judge->verdict->checks, "group-board", _ ("Shared with the mainboard"),
              HOST_SEVERITY_BLOCK, NULL,
              g_strdup_printf (_ ("%s, a part of the mainboard with the driver %s, shares the "
                                  "card's isolation group"),
                               other->name, other->driver),
              g_strdup (_ ("The host needs it, and the kernel hands out whole groups only")));
          check->remedy = g_strdup (_ ("Move the card to another slot"));
        }
      for (guint k = 0; k < group->functions->len; k++)
        {
          const VfioFunction *member = g_ptr_array_index (group->functions, k);
          VfioCheck *check;

          if (!member->bridge || vfio_inventory_driver_is_harmless (
                                     judge->inventory, member->driver, member->driver_vfio, TRUE))
            continue;
          check = host_check_add (
              judge->verdict->checks, "group-bridge", _ ("Bridge with a driver of its own"),
              HOST_SEVERITY_STEP, member,
              g_strdup_printf (_ ("The bridge %s above the card is on the driver %s"), member->id,
                               member->driver),
              g_strdup (_ ("With that driver the kernel does not hand out the group")));
          check->remedy = g_strdup_printf (_ ("Keep the driver %s from loading, and restart the "
                                              "host"),
                                           member->driver);
          check->command = g_strdup_printf ("# /etc/modprobe.d/alcove-%s.conf\nblacklist %s",
                                            member->driver, member->driver);
          check->undo = g_strdup_printf ("sudo rm /etc/modprobe.d/alcove-%s.conf", member->driver);
        }
    }
}

/* Parts without any group, where others have one: the IOMMU does not reach them. */
static void
add_outside (VfioJudge *judge)
{
  if (judge->inventory->platform.iommu != HOST_IOMMU_ON)
    return;
  for (guint i = 0; i < judge->verdict->card->functions->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (judge->verdict->card->functions, i);

      if (function->group == NULL)
        {
          host_check_add (judge->verdict->checks, "no-group", _ ("Not isolated"),
                          HOST_SEVERITY_BLOCK, function,
                          g_strdup_printf (_ ("%s is in no isolation group"), function->id),
                          g_strdup (_ ("The kernel cannot keep it away from the host's memory")))
              ->remedy = g_strdup (_ ("Give the machine another device"));
          return;
        }
    }
}

void
host_checks_add_group (VfioJudge *judge)
{
  add_outside (judge);
  add_strangers (judge);
  add_mates (judge);
  add_parts (judge);
}
