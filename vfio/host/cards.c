/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which functions a person takes for one card. */
#include "vfio/host/inventory-private.h"

#define VENDOR_AMD 0x1022

const char *
vfio_card_kind_to_string (VfioCardKind kind)
{
  static const char *const words[] = { "graphics", "audio",   "network", "storage",
                                       "usb",      "chipset", "other" };

  return words[kind];
}

static VfioCardKind
kind_of (const VfioFunction *function)
{
  switch (HOST_CLASS_BASE (function))
    {
    case 0x01:
      return HOST_CARD_STORAGE;
    case 0x02:
    case 0x0d:
      return HOST_CARD_NETWORK;
    case 0x03:
      return HOST_CARD_GRAPHICS;
    case 0x04:
      return HOST_CARD_AUDIO;
    case 0x0c:
      if (HOST_CLASS_SUB (function) == 0x0c03)
        return HOST_CARD_USB;
      /* On the root bus the rest of this class is the board's flash and sensors. */
      return HOST_CLASS_SUB (function) == 0x0c05 || !function->has_parent ? HOST_CARD_CHIPSET
                                                                          : HOST_CARD_OTHER;
    case 0x10:
      /* The processor's security processor, which the board's firmware needs too. */
      return function->vendor == VENDOR_AMD ? HOST_CARD_CHIPSET : HOST_CARD_OTHER;
    case 0x05:
    case 0x06:
    case 0x08:
    case 0x13:
      /* Card readers are the one thing among the system devices that is somebody's. */
      return HOST_CLASS_SUB (function) == 0x0805 ? HOST_CARD_OTHER : HOST_CARD_CHIPSET;
    case 0x0b:
    case 0x11:
      /* On the root bus these measure the processor's heat. */
      return function->has_parent ? HOST_CARD_OTHER : HOST_CARD_CHIPSET;
    default:
      return HOST_CARD_OTHER;
    }
}

/* Is the slot something inside the processor or the chipset? What is directly on a root bus is;
 * and an AMD processor's own graphics stand beside its security processor (class 10). */
static gboolean
is_built_in (GPtrArray *functions, const VfioFunction *of)
{
  if (!of->has_parent)
    return TRUE;
  for (guint i = 0; i < functions->len; i++)
    {
      const VfioFunction *other = g_ptr_array_index (functions, i);

      if (vfio_address_same_slot (other->address, of->address) && HOST_CLASS_BASE (other) == 0x10)
        return TRUE;
    }
  return FALSE;
}

/* Does this function go wherever the slot's first one of the card goes? */
static gboolean
belongs (GPtrArray *functions, const VfioFunction *first, const VfioFunction *function)
{
  guint base = HOST_CLASS_BASE (function), sub = HOST_CLASS_SUB (function);

  if (function->is_vf || first->is_vf)
    return FALSE;
  if (is_built_in (functions, first))
    /* Only its sound goes with built-in graphics; everything else there works alone. */
    return HOST_CLASS_BASE (first) == 0x03 && base == 0x04 && function->address.function == 1;
  if (HOST_CLASS_BASE (first) == 0x03)
    return base == 0x03 || base == 0x04 || sub == 0x0c03 || sub == 0x0c80;
  /* A plug-in card with several functions is one card, unless the kernel isolates them. */
  return first->group == NULL || first->group == function->group;
}

static void
card_free (gpointer data)
{
  VfioCard *card = data;

  g_ptr_array_unref (card->functions);
  g_free (card);
}

static VfioCard *
card_new (VfioFunction *first)
{
  VfioCard *card = g_new0 (VfioCard, 1);

  vfio_address_format (first->address, card->id);
  card->functions = g_ptr_array_new ();
  card->main = first;
  return card;
}

void
host_cards_fill (VfioInventory *inventory)
{
  GPtrArray *functions = inventory->functions;

  inventory->cards = g_ptr_array_new_with_free_func (card_free);
  for (guint i = 0; i < functions->len; i++)
    {
      VfioFunction *function = g_ptr_array_index (functions, i);

      if (function->bridge)
        continue;
      for (guint k = inventory->cards->len; k-- > 0 && function->card == NULL;)
        {
          VfioCard *card = g_ptr_array_index (inventory->cards, k);
          VfioFunction *first = g_ptr_array_index (card->functions, 0);

          if (!vfio_address_same_slot (first->address, function->address))
            break; /* they are sorted */
          if (belongs (functions, first, function))
            function->card = card;
        }
      if (function->card == NULL)
        {
          function->card = card_new (function);
          g_ptr_array_add (inventory->cards, function->card);
        }
      g_ptr_array_add (function->card->functions, function);
      if (HOST_CLASS_BASE (function) == 0x03 && HOST_CLASS_BASE (function->card->main) != 0x03)
        function->card->main = function;
    }
  for (guint i = 0; i < inventory->cards->len; i++)
    {
      VfioCard *card = g_ptr_array_index (inventory->cards, i);

      card->name = card->main->name;
      card->kind = kind_of (card->main);
    }
}
