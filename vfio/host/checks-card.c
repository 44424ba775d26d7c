/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The card itself: whether it comes back from a reset and from sleep, its memory windows, and what
 * it can be split into. */
#include <string.h>
#include "vfio/host/checks-private.h"

#define GIB             ((guint64)1 << 30)
#define LARGE_BAR       (16 * GIB)
#define VENDOR_AMD_ATI  0x1002
#define HUGE_MAP_KERNEL (6u << 16 | 12) /* maps large BARs in large steps */

static gboolean
has_method (const VfioFunction *function, const char *method)
{
  return function->reset_methods != NULL &&
         g_strv_contains ((const char *const *)function->reset_methods, method);
}

/* ---- Reset ---- */

/* Behind the same port as the card, but not taken: a bus reset hits them too. (transfer full) */
static GPtrArray *
find_reach (const VfioJudge *judge)
{
  const VfioFunction *main = judge->verdict->card->main;
  GPtrArray *reach = g_ptr_array_new ();

  for (guint i = 0; main->has_parent && i < judge->inventory->functions->len; i++)
    {
      VfioFunction *function = g_ptr_array_index (judge->inventory->functions, i);

      if (function->address.domain == main->address.domain &&
          function->address.bus == main->address.bus && !function->is_vf &&
          !host_verdict_takes (judge->verdict, function))
        g_ptr_array_add (reach, function);
    }
  return reach;
}

static void
warn_second (VfioJudge *judge,
             const char *id,
             const VfioFunction *function,
             VfioSeverity severity,
             char *fact,
             char *meaning,
             const char *remedy)
{
  VfioCheck *check = host_check_add (judge->verdict->checks, id, _ ("Starting a second time"),
                                     severity, function, fact, meaning);

  check->remedy = g_strdup (remedy);
  judge->verdict->second_start = TRUE;
}

static void
add_reset (VfioJudge *judge)
{
  const VfioFunction *main = judge->verdict->card->main;
  g_autoptr (GPtrArray) reach = find_reach (judge);
  gboolean own =
      has_method (main, "flr") || has_method (main, "device_specific") || has_method (main, "acpi");
  gboolean bus = main->has_parent && reach->len == 0;
  gboolean pm_only = has_method (main, "pm") && !own && !bus;

  if (main->is_vf || own)
    {
      g_autofree char *methods = NULL;

      if (main->reset_methods != NULL)
        methods = g_strjoinv (", ", main->reset_methods);
      host_check_add (judge->verdict->checks, "reset", _ ("Reset"), HOST_SEVERITY_OK, main,
                      methods != NULL && *methods != '\0'
                          ? g_strdup_printf (_ ("The card can be reset by itself (%s)"), methods)
                          : g_strdup (_ ("The card can be reset by itself")),
                      g_strdup (_ ("Each machine gets it as after power-on")));
    }
  else if (bus)
    host_check_add (judge->verdict->checks, "reset", _ ("Reset"), HOST_SEVERITY_OK, main,
                    g_strdup (_ ("The slot can be reset, and nothing else is in it")),
                    g_strdup (_ ("Each machine gets the card as after power-on")));
  else if (reach->len > 0 && !pm_only)
    {
      g_autofree char *list = host_describe_list (reach);

      warn_second (judge, "reset-reach", main, HOST_SEVERITY_NOTE,
                   g_strdup_printf (_ ("Resetting this card would also reset %s"), list),
                   g_strdup (_ ("So it is not done, and the card may not start a second time until "
                                "you restart the host")),
                   _ ("Save your work on the host before a second start"));
    }
  else if (pm_only && main->vendor != VENDOR_AMD_ATI)
    host_check_add (judge->verdict->checks, "reset", _ ("Reset"), HOST_SEVERITY_OK, main,
                    g_strdup (_ ("The device is reset by switching it off and on (pm)")),
                    g_strdup (_ ("Each machine gets it as after power-on")));
  else
    warn_second (judge, "reset-none", main, HOST_SEVERITY_NOTE,
                 pm_only ? g_strdup (_ ("The kernel can only put this card to sleep and wake it"))
                         : g_strdup (_ ("The kernel knows no way to reset this card")),
                 g_strdup (_ ("It may not start a second time until you restart the host")),
                 _ ("Save your work on the host before a second start"));

  /* A sound part that alone cannot be reset goes with the slot. */
  for (guint i = 0; i < judge->verdict->card->functions->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (judge->verdict->card->functions, i);

      if (function == main || HOST_CLASS_BASE (function) != 0x04 || function->reset || bus)
        continue;
      host_check_add (
          judge->verdict->checks, "reset-sound", _ ("Reset of its sound"), HOST_SEVERITY_NOTE,
          function, g_strdup_printf (_ ("The sound part %s cannot be reset"), function->id),
          g_strdup (_ ("A machine that uses it may take long to shut down, or sound may "
                       "be missing after a second start")));
    }
}

static void
add_quirks (VfioJudge *judge)
{
  const VfioFunction *main = judge->verdict->card->main;
  const char *name = NULL;
  VfioQuirkFlags flags = judge->quirks != NULL ? vfio_quirks_find (judge->quirks, main, &name) : 0;

  if ((flags & HOST_QUIRK_RESET) != 0)
    warn_second (
        judge, "reset-known-bad", main, HOST_SEVERITY_NOTE,
        g_strdup_printf (_ ("Cards of the family %s do not come back from a reset"), name),
        g_strdup (_ ("It starts well once; a second machine, or the host, may then not get "
                     "a picture from it until you restart the host")),
        _ ("Save your work on the host before a second start"));
  else if ((flags & HOST_QUIRK_DISPUTED) != 0)
    warn_second (
        judge, "reset-known-bad", main, HOST_SEVERITY_NOTE,
        g_strdup_printf (_ ("Some cards of the family %s do not come back from a reset"), name),
        g_strdup (_ ("Most work; if yours does not start a second time, restart the host")), NULL);
  if ((flags & HOST_QUIRK_D3) != 0 && judge->inventory->platform.disable_idle_d3 != 1)
    {
      VfioCheck *check = host_check_add (
          judge->verdict->checks, "sleep-known-bad", _ ("Deep sleep"), HOST_SEVERITY_NOTE, main,
          g_strdup_printf (_ ("Some cards of the family %s do not wake up from deep sleep"), name),
          g_strdup (
              _ ("While it is reserved and no machine runs, the kernel lets the card sleep")));

      check->remedy = g_strdup (_ ("If it does not wake up, keep it awake with this file and "
                                   "restart"));
      check->command = g_strdup ("# /etc/modprobe.d/alcove-awake.conf\n"
                                 "options vfio-pci disable_idle_d3=1");
      check->undo = g_strdup ("sudo rm /etc/modprobe.d/alcove-awake.conf");
    }
}

/* ---- Power ---- */

static void
add_power (VfioJudge *judge, const VfioFunction *function)
{
  VfioCheck *check;

  if (!function->config_dead)
    return;
  check = host_check_add (
      judge->verdict->checks, "no-answer", _ ("Does not answer"), HOST_SEVERITY_STEP, function,
      function->power_state != NULL
          ? g_strdup_printf (_ ("%s (%s) does not answer; its power state is %s"), function->name,
                             function->id, function->power_state)
          : g_strdup_printf (_ ("%s (%s) does not answer"), function->name, function->id),
      g_strdup (_ ("It did not wake up, or a reset failed; no machine can use it like this")));
  check->remedy = g_strdup (_ ("Keep it awake with these commands and restart the host"));
  check->command = g_strdup_printf ("echo 0 | sudo tee %s/d3cold_allowed\n"
                                    "echo options vfio-pci disable_idle_d3=1 | sudo tee "
                                    "/etc/modprobe.d/alcove-awake.conf",
                                    function->path);
  check->undo = g_strdup_printf ("echo 1 | sudo tee %s/d3cold_allowed\n"
                                 "sudo rm /etc/modprobe.d/alcove-awake.conf",
                                 function->path);
}

/* ---- Memory windows ---- */

static void
add_bars (VfioJudge *judge, const VfioFunction *function)
{
  for (guint i = 0; i < VFIO_HOST_N_BARS; i++)
    {
      const VfioBar *bar = &function->bars[i];
      g_autofree char *size = host_format_size (bar->size), *most = NULL;
      VfioCheck *check;

      if (bar->size == 0 || bar->io)
        continue;
      if (bar->start == 0)
        {
          check = host_check_add (
              judge->verdict->checks, "no-window", _ ("Memory window"), HOST_SEVERITY_STEP,
              function,
              g_strdup_printf (_ ("A memory window of %s (%s) of %s got no address"),
                               function->name, function->id, size),
              g_strdup (_ ("The board left no room for it; neither host nor machine can use it")));
          check->remedy = g_strdup (_ ("Turn on \"Above 4G decoding\" in the BIOS setup"));
          continue;
        }
      if (bar->resizable != 0)
        {
          guint top = 63;

          while ((bar->resizable >> top & 1) == 0)
            top--;
          most = top < 43 ? host_format_size ((guint64)1 << (20 + top)) : NULL;
          if (most != NULL && HOST_CLASS_BASE (function) == 0x03 && i < 2)
            {
              gboolean full = bar->size >> 20 >= (guint64)1 << top;

              check = host_check_add (
                  judge->verdict->checks, "resizable-window", _ ("Resizable memory window"),
                  HOST_SEVERITY_OK, function,
                  full ? g_strdup_printf (_ ("%s, the most it can have"), size)
                       : g_strdup_printf (_ ("%s now, up to %s possible"), size, most),
                  g_strdup (full ? _ ("The machine sees the card's whole memory at once")
                                 : _ ("The machine sees the card's memory through this window; a "
                                      "larger one can make games a little faster")));
              if (!full)
                check->remedy =
                    g_strdup (_ ("For a larger one turn on \"Resizable BAR\" and \"Above "
                                 "4G decoding\" in the BIOS setup"));
            }
        }
      if (bar->size >= LARGE_BAR && judge->inventory->platform.kernel_version != 0 &&
          judge->inventory->platform.kernel_version < HUGE_MAP_KERNEL)
        host_check_add (
            judge->verdict->checks, "slow-start", _ ("Time to start"), HOST_SEVERITY_NOTE, function,
            g_strdup_printf (_ ("The card has a memory window of %s, and the kernel is %s"), size,
                             judge->inventory->platform.kernel),
            g_strdup (_ ("Kernels before 6.12 set it up in small steps, so a machine can take a "
                         "minute longer to start")));
    }
}

static void
add_window (VfioJudge *judge)
{
  g_autofree char *size = NULL;
  guint bits = judge->inventory->platform.iommu_bits;

  if (judge->verdict->window == 0)
    return;
  size = host_format_size (judge->verdict->window);
  if (bits != 0 && bits < 63 && judge->verdict->window > ((guint64)1 << bits) / 2)
    {
      VfioCheck *check = host_check_add (
          judge->verdict->checks, "window", _ ("Room for the card"), HOST_SEVERITY_STEP, NULL,
          g_strdup_printf (
              _ ("Its memory windows need %s, and this computer's devices know only %u "
                 "address bits"),
              size, bits),
          g_strdup (_ ("The machine has no room left for its memory")));

      check->remedy = g_strdup (_ ("Turn off \"Resizable BAR\" in the BIOS setup, which makes them "
                                   "smaller"));
      return;
    }
  host_check_add (judge->verdict->checks, "window", _ ("Room for the card"), HOST_SEVERITY_OK, NULL,
                  g_strdup_printf (_ ("Its memory windows need %s of address space"), size),
                  g_strdup (_ ("Alcove lays the machine out for that by itself")));
}

/* ---- Parts that can be given away alone ---- */

static void
add_split (VfioJudge *judge, const VfioFunction *function)
{
  VfioCheck *check;

  if (function->sriov_on > 0)
    {
      check = host_check_add (
          judge->verdict->checks, "split", _ ("Split into parts"), HOST_SEVERITY_STEP, function,
          g_strdup_printf (
              g_dngettext (GETTEXT_PACKAGE, "%s (%s) is split: %u virtual function is there",
                           "%s (%s) is split: %u virtual functions are there", function->sriov_on),
              function->name, function->id, function->sriov_on),
          g_strdup (_ ("They end when the whole device goes to a machine")));
      check->remedy = g_strdup (_ ("Give the machine one of them, or take them away first"));
      check->command = g_strdup_printf ("echo 0 | sudo tee %s/sriov_numvfs", function->path);
      check->undo = g_strdup_printf ("echo %u | sudo tee %s/sriov_numvfs", function->sriov_on,
                                     function->path);
    }
  else if (function->sriov_total > 0)
    {
      check = host_check_add (
          judge->verdict->checks, "can-split", _ ("Can be split"), HOST_SEVERITY_OK, function,
          g_strdup_printf (_ ("Up to %u parts of this device can be given to machines singly"),
                           function->sriov_total),
          g_strdup (_ ("The host keeps the device then")));
      check->remedy = g_strdup (_ ("To split it, where its driver can"));
      check->command = g_strdup_printf ("echo 1 | sudo tee %s/sriov_numvfs", function->path);
      check->undo = g_strdup_printf ("echo 0 | sudo tee %s/sriov_numvfs", function->path);
    }
}

/* "GVTg_V5_4 (2 more), GVTg_V5_8 (none left)" (transfer full) */
static char *
describe_types (const VfioFunction *function)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < function->mediated_types->len; i++)
    {
      const VfioMediatedType *type = g_ptr_array_index (function->mediated_types, i);

      g_string_append_printf (text, "%s%s ", i > 0 ? ", " : "",
                              type->name != NULL ? type->name : type->id);
      if (type->available == 0)
        g_string_append (text, _ ("(none left)"));
      else
        g_string_append_printf (text, _ ("(%u can be made)"), type->available);
      if (i == 4 && function->mediated_types->len > 5)
        {
          g_string_append (text, ", …");
          break;
        }
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static const VfioMediatedType *
find_available (const VfioFunction *function)
{
  for (guint i = 0; i < function->mediated_types->len; i++)
    {
      const VfioMediatedType *type = g_ptr_array_index (function->mediated_types, i);

      if (type->available > 0)
        return type;
    }
  return NULL;
}

/* What a driver shares without SR-IOV. */
static void
add_mediated (VfioJudge *judge, const VfioFunction *function)
{
  g_autofree char *types = describe_types (function);
  const VfioMediatedType *available = find_available (function);
  VfioCheck *check;

  if (function->mediated_types->len > 0)
    {
      check = host_check_add (
          judge->verdict->checks, "mediated", _ ("Can be shared"), HOST_SEVERITY_OK, function,
          g_strdup_printf (_ ("Its driver can make virtual devices: %s"), types),
          g_strdup (_ ("Each can be given to a machine while the host keeps the card")));
      if (available != NULL)
        {
          g_autofree char *uuid = g_uuid_string_random ();

          check->remedy = g_strdup (_ ("To make one"));
          check->command = g_strdup_printf ("echo %s | sudo tee %s/mdev_supported_types/%s/create",
                                            uuid, function->path, available->id);
          check->undo = g_strdup_printf ("echo 1 | sudo tee /sys/bus/mdev/devices/%s/remove", uuid);
        }
    }
  if (function->mediated->len > 0)
    {
      g_autoptr (GString) commands = g_string_new (NULL);
      const VfioMediated *first = g_ptr_array_index (function->mediated, 0);

      for (guint i = 0; i < function->mediated->len; i++)
        g_string_append_printf (commands, "%secho 1 | sudo tee /sys/bus/mdev/devices/%s/remove",
                                i > 0 ? "\n" : "",
                                ((VfioMediated *)g_ptr_array_index (function->mediated, i))->uuid);
      check = host_check_add (
          judge->verdict->checks, "mediated-there", _ ("Shared with machines"), HOST_SEVERITY_STEP,
          function,
          g_strdup_printf (g_dngettext (GETTEXT_PACKAGE,
                                        "%s (%s) is shared: %u virtual device is there (%s)",
                                        "%s (%s) is shared: %u virtual devices are there (%s, …)",
                                        function->mediated->len),
                           function->name, function->id, function->mediated->len, first->uuid),
          g_strdup (_ ("They end when the whole device goes to a machine")));
      check->remedy = g_strdup (_ ("Give the machine one of them, or take them away first"));
      check->command = g_string_free (g_steal_pointer (&commands), FALSE);
    }
}

static void
add_vf (VfioJudge *judge, const VfioFunction *function)
{
  const VfioFunction *physical;

  if (!function->is_vf)
    return;
  physical = vfio_inventory_find (judge->inventory, function->physfn);
  if (physical == NULL)
    return;
  if (physical->driver_vfio)
    host_check_add (
        judge->verdict->checks, "part-of", _ ("Part of a device"), HOST_SEVERITY_NOTE, function,
        g_strdup_printf (_ ("It is a part of %s (%s), which itself is reserved for a "
                            "machine"),
                         physical->name, physical->id),
        g_strdup (_ ("Whoever has the whole device has power over its parts, so the kernel "
                     "opens them only to those who know its token")))
        ->remedy = g_strdup (_ ("Give the machine the token that the program with the whole device "
                                "was started with (vf-token)"));
  else
    host_check_add (judge->verdict->checks, "part-of", _ ("Part of a device"), HOST_SEVERITY_OK,
                    function,
                    g_strdup_printf (_ ("It is a part of %s (%s)"), physical->name, physical->id),
                    g_strdup (_ ("The host keeps the rest")));
}

void
host_checks_add_card (VfioJudge *judge)
{
  GPtrArray *own = judge->verdict->card->functions;

  for (guint i = 0; i < own->len; i++)
    add_power (judge, g_ptr_array_index (own, i));
  add_reset (judge);
  add_quirks (judge);
  for (guint i = 0; i < own->len; i++)
    {
      add_bars (judge, g_ptr_array_index (own, i));
      add_split (judge, g_ptr_array_index (own, i));
      add_mediated (judge, g_ptr_array_index (own, i));
      add_vf (judge, g_ptr_array_index (own, i));
    }
  add_window (judge);
}
