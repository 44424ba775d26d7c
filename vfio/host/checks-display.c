/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Screens: the one the computer started on, what still holds a picture in the card's memory, and the
 * card's start-up program. */
#include <string.h>
#include "vfio/host/checks-private.h"

#define VENDOR_INTEL 0x8086

static void
add_boot (VfioJudge *judge, const VfioFunction *function)
{
  gboolean only = host_count_graphics (judge->inventory) == 1;
  /* Nothing of the host draws on it any more. */
  gboolean free =
      (function->driver == NULL || function->driver_vfio) && function->framebuffers == NULL;
  VfioCheck *check;

  if (function->boot_vga != 1 || vfio_function_is_desktop (judge->inventory, function))
    return; /* the desktop's card has a check of its own */
  check = host_check_add (
      judge->verdict->checks, only ? "only-graphics" : "boot-display",
      only ? _ ("The only graphics card") : _ ("The screen at start-up"),
      free ? HOST_SEVERITY_NOTE : HOST_SEVERITY_STEP, function,
      g_strdup_printf (only ? _ ("%s (%s) is this computer's only graphics card")
                            : _ ("%s (%s) is the card your screen started on"),
                       function->name, function->id),
      g_strdup (only ? _ ("The host has no screen while a machine has the card")
                     : _ ("The host's start-up messages and text screens are on it")));
  check->remedy =
      g_strdup (only ? _ ("Make sure that you can reach the host over the network, or put in a "
                          "second graphics card")
                     : _ ("Choose the other graphics card as the primary one in the BIOS setup"));
}

/* The kernel clears boot framebuffers away for cards of class VGA only. */
static void
add_framebuffer (VfioJudge *judge, const VfioFunction *function)
{
  gboolean cleared = HOST_CLASS_SUB (function) == 0x0300 && !function->driver_vfio;
  g_autofree char *names = NULL;
  VfioCheck *check;

  if (function->framebuffers == NULL)
    return;
  names = g_strjoinv (", ", function->framebuffers);
  check = host_check_add (
      judge->verdict->checks, "framebuffer", _ ("Picture from start-up"),
      cleared ? HOST_SEVERITY_NOTE : HOST_SEVERITY_STEP, function,
      g_strdup_printf (_ ("The picture from start-up (%s) still lies in the memory of %s"), names,
                       function->id),
      g_strdup (cleared ? _ ("The kernel clears it away when the machine gets the card; the screen "
                             "then stays as it is")
                        : _ ("The machine cannot use that memory, and would not start")));
  if (!cleared)
    check->remedy = host_count_graphics (judge->inventory) > 1
                        ? g_strdup (_ ("Choose the other graphics card as the primary one in the "
                                       "BIOS setup, and restart"))
                        : host_reserve_remedy (judge);
}

static void
add_screens (VfioJudge *judge, const VfioFunction *function)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (guint i = 0; i < function->connectors->len; i++)
    {
      const VfioConnector *connector = g_ptr_array_index (function->connectors, i);

      if (connector->connected)
        g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "", connector->name);
    }
  if (names->len > 0 && !vfio_function_is_desktop (judge->inventory, function))
    host_check_add (judge->verdict->checks, "screens", _ ("Screens"), HOST_SEVERITY_NOTE, function,
                    g_strdup_printf (_ ("A screen is plugged into it: %s"), names->str),
                    g_strdup (_ ("It shows the machine's picture while the machine has the card")));
  else if (names->len == 0 && function->connectors->len > 0)
    host_check_add (judge->verdict->checks, "screens", _ ("Screens"), HOST_SEVERITY_NOTE, function,
                    g_strdup (_ ("No screen is plugged into it")),
                    g_strdup (_ ("Guests show a picture on such a card only with a screen or a "
                                 "dummy plug")));
}

/* In a processor of Intel's it sits at one place in every computer. Its machine needs a part of what
 * the firmware left for it (vfio/device/README.md). */
static void
add_processor (VfioJudge *judge, const VfioFunction *function)
{
  VfioCheck *check;

  if (function->vendor != VENDOR_INTEL || function->is_vf || function->address.bus != 0 ||
      function->address.slot != 2)
    return;
  check = host_check_add (
      judge->verdict->checks, "processor-graphics", _ ("Graphics in the processor"),
      HOST_SEVERITY_NOTE, function,
      g_strdup_printf (_ ("%s (%s) is built into the processor"), function->name, function->id),
      g_strdup (_ ("The machine gets a copy of the list of its screens; there is a picture on them "
                   "when the guest's driver runs, not before")));
  check->remedy =
      g_strdup (_ ("If the guest's driver does not start, give the device the place that it "
                   "has on the host (address=00:02.0 in the machine's definition)"));
}

/* Reading the ROM switches it on, which is not done to a card in use; what can be told without. */
static void
add_rom (VfioJudge *judge, const VfioFunction *function)
{
  VfioCheck *check;

  if (function->bars[VFIO_HOST_ROM].size == 0)
    {
      host_check_add (judge->verdict->checks, "rom", _ ("Start-up program"), HOST_SEVERITY_NOTE,
                      function, g_strdup (_ ("The card has no start-up program of its own")),
                      g_strdup (_ ("There is no picture until the guest's driver runs; for a "
                                   "processor's own graphics that is normal")));
      return;
    }
  if (function->boot_vga != 1)
    {
      g_autofree char *size = host_format_size (function->bars[VFIO_HOST_ROM].size);

      host_check_add (judge->verdict->checks, "rom", _ ("Start-up program"), HOST_SEVERITY_OK,
                      function, g_strdup_printf (_ ("The card has one (%s)"), size),
                      g_strdup (_ ("The machine reads it from the card; no file is needed")));
      return;
    }
  check = host_check_add (judge->verdict->checks, "rom", _ ("Start-up program"), HOST_SEVERITY_NOTE,
                          function,
                          g_strdup (_ ("The computer has run the card's start-up program already")),
                          g_strdup (_ ("What is left of it may be changed or unreadable; then "
                                       "there is no picture until the guest's driver runs")));
  check->remedy =
      g_strdup (_ ("If that happens, choose a file with the card's ROM for the machine"));
}

void
host_checks_add_display (VfioJudge *judge)
{
  GPtrArray *takes = judge->verdict->takes;

  for (guint i = 0; i < takes->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (takes, i);

      if (HOST_CLASS_BASE (function) != 0x03)
        continue;
      add_boot (judge, function);
      add_framebuffer (judge, function);
      add_processor (judge, function);
      add_screens (judge, function);
      if (function->card == judge->verdict->card && !function->is_vf)
        add_rom (judge, function);
    }
}
