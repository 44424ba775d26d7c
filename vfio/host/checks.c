/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/host/checks.h"

#include <string.h>
#include "vfio/host/checks-private.h"

const char *
vfio_severity_to_string (VfioSeverity severity)
{
  static const char *const words[] = { "ok", "note", "needs-step", "blocked" };

  return words[severity];
}

void
host_check_free (gpointer data)
{
  VfioCheck *check = data;

  g_free (check->fact);
  g_free (check->meaning);
  g_free (check->remedy);
  g_free (check->command);
  g_free (check->undo);
  g_free (check);
}

VfioCheck *
host_check_add (GPtrArray *checks,
                const char *id,
                const char *title,
                VfioSeverity severity,
                const VfioFunction *function,
                char *fact,
                char *meaning)
{
  VfioCheck *check = g_new0 (VfioCheck, 1);

  check->id = id;
  check->title = title;
  check->severity = severity;
  check->function = function;
  check->fact = fact;
  check->meaning = meaning;
  g_ptr_array_add (checks, check);
  return check;
}

char *
host_format_size (guint64 bytes)
{
  static const struct
  {
    guint shift;
    const char *unit;
  } units[] = { { 40, "TiB" }, { 30, "GiB" }, { 20, "MiB" }, { 10, "KiB" } };

  for (guint i = 0; i < G_N_ELEMENTS (units); i++)
    if (bytes >> units[i].shift != 0)
      {
        guint64 tenths = (bytes >> (units[i].shift - 10)) * 10 / 1024;

        if (tenths % 10 == 0)
          return g_strdup_printf ("%" G_GUINT64_FORMAT " %s", tenths / 10, units[i].unit);
        return g_strdup_printf ("%" G_GUINT64_FORMAT ".%u %s", tenths / 10, (guint)(tenths % 10),
                                units[i].unit);
      }
  return g_strdup_printf ("%" G_GUINT64_FORMAT " B", bytes);
}

char *
vfio_function_describe (const VfioFunction *function)
{
  return g_strdup_printf ("%s (%s)", function->name, function->id);
}

char *
host_describe_list (GPtrArray *functions)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < functions->len; i++)
    {
      g_autofree char *one = vfio_function_describe (g_ptr_array_index (functions, i));

      if (i > 0)
        g_string_append (text, i + 1 < functions->len ? ", " : _ (" and "));
      g_string_append (text, one);
    }
  return g_string_free (text, FALSE);
}

gboolean
host_verdict_takes (const VfioVerdict *verdict, const VfioFunction *function)
{
  return g_ptr_array_find (verdict->takes, function, NULL);
}

guint
host_count_graphics (const VfioInventory *inventory)
{
  guint n = 0;

  for (guint i = 0; i < inventory->cards->len; i++)
    n += ((VfioCard *)g_ptr_array_index (inventory->cards, i))->kind == HOST_CARD_GRAPHICS &&
         !((VfioCard *)g_ptr_array_index (inventory->cards, i))->main->is_vf;
  return n;
}

char *
host_reserve_remedy (const VfioJudge *judge)
{
  return g_strdup_printf (_ ("Have it reserved for machines when the host starts: \"alcove pci "
                             "check --boot-files %s\" shows what to write, and how to undo it"),
                          judge->verdict->card->id);
}

/* Gravest first; among equals as they were added. */
static void
sort_checks (GPtrArray *checks)
{
  g_autoptr (GPtrArray) sorted = g_ptr_array_new ();

  for (int severity = HOST_SEVERITY_BLOCK; severity >= HOST_SEVERITY_OK; severity--)
    for (guint i = 0; i < checks->len; i++)
      if ((int)((VfioCheck *)g_ptr_array_index (checks, i))->severity == severity)
        g_ptr_array_add (sorted, g_ptr_array_index (checks, i));
  for (guint i = 0; i < sorted->len; i++)
    checks->pdata[i] = sorted->pdata[i];
}

/* What of the host stands in every card's way. */
static void
add_platform (VfioJudge *judge)
{
  GPtrArray *checks = vfio_checks_platform (judge->inventory, judge->demand);

  for (guint i = 0; i < checks->len;)
    {
      VfioCheck *check = g_ptr_array_index (checks, i);

      if (check->severity >= HOST_SEVERITY_STEP)
        g_ptr_array_add (judge->verdict->checks, g_ptr_array_steal_index (checks, i));
      else
        i++;
    }
  g_ptr_array_unref (checks);
}

/* Each BAR on a multiple of its size, the largest first: no gaps between them. */
static guint64
window_of (const VfioVerdict *verdict)
{
  guint64 sum = 0;

  for (guint i = 0; i < verdict->takes->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (verdict->takes, i);

      for (guint k = 0; k < VFIO_HOST_N_BARS; k++)
        {
          guint64 size = function->bars[k].size;

          if (function->bars[k].is_64bit && !function->bars[k].io && size <= G_MAXINT64 - sum)
            sum += size;
        }
    }
  return sum;
}

/* The gravest check's title, and whether it is about the card itself. */
static char *
summarize (const VfioVerdict *verdict)
{
  const VfioCheck *first = verdict->checks->len > 0 ? g_ptr_array_index (verdict->checks, 0) : NULL;
  gboolean mate;

  if (verdict->severity < HOST_SEVERITY_STEP)
    return g_strdup (verdict->bound ? _ ("Ready, and reserved for machines")
                                    : _ ("Ready to be given to a machine"));
  mate = first->function != NULL && g_ptr_array_find (verdict->mates, first->function, NULL) &&
         strcmp (first->id, "group-mates") != 0;
  if (verdict->severity == HOST_SEVERITY_BLOCK)
    return mate ? g_strdup_printf (_ ("Blocked: %s, in the same isolation group"), first->title)
                : g_strdup_printf (_ ("Blocked: %s"), first->title);
  return mate ? g_strdup_printf (_ ("Needs a step: %s, in the same isolation group"), first->title)
              : g_strdup_printf (_ ("Needs a step: %s"), first->title);
}

VfioVerdict *
vfio_verdict_new (VfioTree *tree,
                  const VfioInventory *inventory,
                  const VfioQuirks *quirks,
                  const VfioDemand *demand,
                  VfioCard *card)
{
  static const VfioDemand nothing;
  VfioVerdict *verdict = g_new0 (VfioVerdict, 1);
  VfioJudge judge = { tree, inventory, quirks, demand != NULL ? demand : &nothing, verdict };

  verdict->card = card;
  verdict->checks = g_ptr_array_new_with_free_func (host_check_free);
  verdict->takes = g_ptr_array_new ();
  verdict->mates = g_ptr_array_new ();
  verdict->stays = g_ptr_array_new ();
  host_checks_find_group (&judge);
  verdict->window = window_of (verdict);
  add_platform (&judge);
  host_checks_add_use (&judge);
  host_checks_add_group (&judge);
  host_checks_add_display (&judge);
  host_checks_add_card (&judge);
  sort_checks (verdict->checks);
  if (verdict->checks->len > 0)
    verdict->severity = ((VfioCheck *)g_ptr_array_index (verdict->checks, 0))->severity;
  verdict->summary = summarize (verdict);
  return verdict;
}

void
vfio_verdict_free (VfioVerdict *verdict)
{
  if (verdict == NULL)
    return;
  g_free (verdict->summary);
  g_ptr_array_unref (verdict->checks);
  g_ptr_array_unref (verdict->takes);
  g_ptr_array_unref (verdict->mates);
  g_ptr_array_unref (verdict->stays);
  g_free (verdict);
}

const VfioCheck *
vfio_verdict_find (const VfioVerdict *verdict, const char *id)
{
  for (guint i = 0; i < verdict->checks->len; i++)
    {
      const VfioCheck *check = g_ptr_array_index (verdict->checks, i);

      if (strcmp (check->id, id) == 0)
        return check;
    }
  return NULL;
}
