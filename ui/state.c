/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/state.h"

#include <glib/gi18n.h>
#include <string.h>

/**
 * alcove_state_get_label:
 *
 * Returns: the state in one or two words, capitalized
 */
const char *
alcove_state_get_label (AlcoveMachineState state)
{
  switch (state)
    {
    case ALCOVE_MACHINE_INVALID:
      return _ ("Cannot Be Used");
    case ALCOVE_MACHINE_STOPPED:
      return _ ("Off");
    case ALCOVE_MACHINE_SAVED:
      return _ ("Saved");
    case ALCOVE_MACHINE_STARTING:
      return _ ("Starting");
    case ALCOVE_MACHINE_RUNNING:
      return _ ("Running");
    case ALCOVE_MACHINE_PAUSED:
      return _ ("Paused");
    case ALCOVE_MACHINE_STOPPING:
      return _ ("Shutting Down");
    case ALCOVE_MACHINE_FAILED:
      return _ ("Failed");
    case ALCOVE_MACHINE_BUSY:
    default:
      return _ ("Not Answering");
    }
}

/**
 * alcove_state_get_css_class:
 *
 * Returns: (nullable): the style class of the state's mark
 */
const char *
alcove_state_get_css_class (AlcoveMachineState state)
{
  switch (state)
    {
    case ALCOVE_MACHINE_RUNNING:
      return "running";
    case ALCOVE_MACHINE_PAUSED:
    case ALCOVE_MACHINE_STARTING:
    case ALCOVE_MACHINE_STOPPING:
      return "waiting";
    case ALCOVE_MACHINE_INVALID:
    case ALCOVE_MACHINE_FAILED:
    case ALCOVE_MACHINE_BUSY:
      return "failed";
    case ALCOVE_MACHINE_STOPPED:
    case ALCOVE_MACHINE_SAVED:
    default:
      return "off";
    }
}

/**
 * alcove_state_dup_memory:
 * @mib: MiB
 *
 * Returns: (transfer full): an amount of memory as people write it
 */
char *
alcove_state_dup_memory (guint64 mib)
{
  if (mib >= 1024 && mib % 512 == 0)
    return mib % 1024 ? g_strdup_printf (_ ("%.1f GiB"), (double)mib / 1024)
                      : g_strdup_printf (_ ("%u GiB"), (guint)(mib / 1024));
  return g_strdup_printf (_ ("%u MiB"), (guint)mib);
}

/**
 * alcove_state_dup_size:
 *
 * Returns: (transfer full) (nullable): "2 CPUs · 2 GiB", %NULL without a definition
 */
char *
alcove_state_dup_size (AlcoveMachine *machine)
{
  AlcoveDefinition *definition = alcove_machine_get_definition (machine);
  const AlcoveMachineConfig *config;
  g_autofree char *cpus = NULL;
  g_autofree char *memory = NULL;

  if (!definition)
    return NULL;
  config = alcove_definition_get_machine (definition);
  cpus = g_strdup_printf (ngettext ("%u CPU", "%u CPUs", config->cpus), config->cpus);
  memory = alcove_state_dup_memory (config->memory_mib);
  return g_strdup_printf ("%s · %s", cpus, memory);
}

/**
 * alcove_state_dup_summary:
 *
 * Returns: (transfer full): one line that says what the machine does, with the reason if it failed or paused by itself
 */
char *
alcove_state_dup_summary (AlcoveMachine *machine)
{
  AlcoveMachineState state = alcove_machine_get_state (machine);
  const char *label = alcove_state_get_label (state);
  const char *detail = NULL;
  g_autofree char *size = NULL;

  if (state == ALCOVE_MACHINE_INVALID)
    detail = alcove_machine_get_error (machine);
  else if (state == ALCOVE_MACHINE_FAILED || state == ALCOVE_MACHINE_PAUSED)
    detail = alcove_machine_get_state_detail (machine);
  if (detail && *detail)
    {
      g_auto (GStrv) lines = g_strsplit (detail, "\n", 2);
      g_autofree char *prefix = g_strconcat (alcove_machine_get_folder (machine), "/", NULL);
      /* Mistakes in machine.conf begin with its path, which the row says already. */
      const char *text =
          g_str_has_prefix (lines[0], prefix) ? lines[0] + strlen (prefix) : lines[0];

      return g_strdup_printf ("%s: %s", label, text);
    }
  size = alcove_state_dup_size (machine);
  return size ? g_strdup_printf ("%s · %s", label, size) : g_strdup (label);
}
