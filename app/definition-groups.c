/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Groups of one device each, as texts that come and go: what disks and passed devices share. */
#include <string.h>

#include "app/definition-private.h"

char *
alcove_definition_dup_group (AlcoveDefinition *self, const char *group)
{
  g_autoptr (AlcoveConfFile) from = alcove_definition_dup_conf (self);
  g_auto (AlcoveProblems) problems = { 0 };
  g_autoptr (AlcoveConfFile) to = NULL;

  if (!alcove_conf_file_has_group (from, group))
    return NULL;
  alcove_problems_init (&problems, group);
  to = alcove_conf_file_parse ("", 0, &problems);
  alcove_conf_file_copy_group (to, from, group);
  return alcove_conf_file_to_text (to, NULL);
}

/* (transfer full): the one group of a text. */
static AlcoveConfFile *
parse_group (
    const char *text, const char *prefix, const char *what, char **ret_group, GError **error)
{
  g_auto (AlcoveProblems) problems = { 0 };
  g_autoptr (AlcoveConfFile) file = NULL;
  const char *group;

  alcove_problems_init (&problems, "group");
  file = alcove_conf_file_parse (text, strlen (text), &problems);
  if (!alcove_problems_to_error (&problems, error))
    return NULL;
  group =
      alcove_conf_file_get_n_groups (file) == 1 ? alcove_conf_file_get_group (file, 0, NULL) : "";
  if (!g_str_has_prefix (group, prefix) || !alcove_device_name_is_valid (group + strlen (prefix)))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "%s is described by one group [%sNAME]; its name is lower case letters, digits, "
                   "\"-\", \"_\" and \".\"",
                   what, prefix);
      return NULL;
    }
  *ret_group = g_strdup (group);
  return g_steal_pointer (&file);
}

char *
alcove_definition_put_group (AlcoveDefinition *self,
                             const char *text,
                             const char *prefix,
                             const char *what,
                             AlcoveConfFile **ret_file,
                             GError **error)
{
  g_autofree char *group = NULL;
  g_autoptr (AlcoveConfFile) added = parse_group (text, prefix, what, &group, error);
  g_autoptr (AlcoveConfFile) file = alcove_definition_dup_conf (self);

  if (added == NULL)
    return NULL;
  if (alcove_conf_file_has_group (file, group))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_EXISTS,
                   "The machine already has a [%s]: choose another name", group);
      return NULL;
    }
  alcove_conf_file_copy_group (file, added, group);
  if (!alcove_definition_take_conf (self, alcove_conf_file_copy (file), error))
    return NULL;
  *ret_file = g_steal_pointer (&file);
  return g_steal_pointer (&group);
}

gboolean
alcove_definition_check_live (const char *group,
                              const AlcoveDeviceConfig *config,
                              gboolean live,
                              GError **error)
{
  if (!live || !config->address.set || config->address.bus != 0)
    return TRUE;
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
               "[%s] address: while the machine runs, only slots for hot-plug can be used, "
               "01:00.0 to %02x:00.0: remove the key and a free one is taken",
               group, ALCOVE_PCI_N_PORTS);
  return FALSE;
}
