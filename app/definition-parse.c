/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the groups of machine.conf to structs. */
#include <string.h>
#include "app/definition-private.h"
#include "app/suggest.h"

void
alcove_parsed_init (AlcoveParsed *parsed)
{
  for (guint i = 0; i < ALCOVE_N_KINDS; i++)
    parsed->by_kind[i] = g_ptr_array_new ();
  parsed->devices = g_ptr_array_new ();
}

void
alcove_parsed_clear (AlcoveParsed *parsed)
{
  for (guint i = 0; i < ALCOVE_N_KINDS; i++)
    {
      for (guint j = 0; parsed->by_kind[i] != NULL && j < parsed->by_kind[i]->len; j++)
        alcove_group_config_free (&alcove_group_specs[i],
                                  g_ptr_array_index (parsed->by_kind[i], j));
      g_clear_pointer (&parsed->by_kind[i], g_ptr_array_unref);
    }
  g_clear_pointer (&parsed->devices, g_ptr_array_unref);
}

const AlcoveGroupSpec *
alcove_group_spec_find (const char *group, const char **ret_name)
{
  gsize n = strcspn (group, " \t");

  for (guint i = 0; i < ALCOVE_N_KINDS; i++)
    if (strlen (alcove_group_specs[i].word) == n &&
        strncmp (group, alcove_group_specs[i].word, n) == 0)
      {
        *ret_name = group + n + strspn (group + n, " \t");
        return &alcove_group_specs[i];
      }
  return NULL;
}

typedef struct
{
  const AlcoveGroupSpec *spec;
  const char *group, *folder;
  gpointer config;
  guint64 seen; /* bit a key of the spec */
  AlcoveProblems *problems;
} GroupParse;

static void
complain_unknown_key (GroupParse *parse, guint line, const char *key)
{
  const char *names[64];
  const char *nearest;

  for (gsize i = 0; i < parse->spec->n_keys; i++)
    names[i] = parse->spec->keys[i].name;
  nearest = alcove_suggest (key, names, parse->spec->n_keys);
  if (nearest != NULL)
    alcove_problems_add (parse->problems, line, parse->group, key,
                         "this key is not known: did you mean \"%s\"?", nearest);
  else
    alcove_problems_add (parse->problems, line, parse->group, key,
                         "this key is not known: remove it, or comment it out with #");
}

static void
parse_key (guint line, const char *key, const char *value, gpointer user_data)
{
  GroupParse *parse = user_data;
  const AlcoveKeySpec *spec = alcove_group_spec_find_key (parse->spec, key);
  g_autofree char *problem = NULL;

  if (spec == NULL)
    {
      complain_unknown_key (parse, line, key);
      return;
    }
  parse->seen |= G_GUINT64_CONSTANT (1) << (spec - parse->spec->keys);
  if (!alcove_key_parse (spec, value, parse->folder, parse->config, &problem))
    alcove_problems_add (parse->problems, line, parse->group, key, "%s", problem);
}

/* What a key that is not in the text is. */
static void
complete_key (GroupParse *parse, const AlcoveKeySpec *spec, guint line)
{
  g_autofree char *problem = NULL;
  g_autofree char *uuid = NULL;

  if (spec->fallback != NULL)
    {
      gboolean good =
          alcove_key_parse (spec, spec->fallback, parse->folder, parse->config, &problem);

      g_assert (good); /* our own table; the unit test walks it */
    }
  else if (spec->type == ALCOVE_KEY_FORWARDS)
    {
      *(GArray **)G_STRUCT_MEMBER_P (parse->config, spec->offset) =
          g_array_new (FALSE, FALSE, sizeof (AlcoveForward));
    }
  if (!spec->required)
    return;
  if (spec->type == ALCOVE_KEY_UUID)
    {
      uuid = g_uuid_string_random ();
      alcove_problems_add (parse->problems, line, parse->group, spec->name,
                           "it is missing: add %s = %s", spec->name, uuid);
      return;
    }
  alcove_problems_add (parse->problems, line, parse->group, spec->name,
                       "it is missing: add it (%s)", spec->help);
}

static gboolean
group_name_is_good (const AlcoveGroupSpec *spec,
                    const char *group,
                    const char *name,
                    guint line,
                    AlcoveProblems *problems)
{
  g_autofree char *canonical = NULL;

  if (!spec->named)
    {
      if (*name == '\0')
        return TRUE;
      alcove_problems_add (problems, line, group, NULL, "this group has no name: write [%s]",
                           spec->word);
      return FALSE;
    }
  if (*name == '\0')
    {
      alcove_problems_add (problems, line, group, NULL, "this group needs a name: write [%s NAME]",
                           spec->word);
      return FALSE;
    }
  if (!alcove_device_name_is_valid (name))
    {
      alcove_problems_add (
          problems, line, group, NULL,
          "a device's name is 1 to 32 lower case letters, digits, \"-\", \"_\" and "
          "\".\", a letter or digit first");
      return FALSE;
    }
  canonical = g_strdup_printf ("%s %s", spec->word, name);
  if (strcmp (canonical, group) != 0)
    {
      alcove_problems_add (problems, line, group, NULL, "write it with one space: [%s]", canonical);
      return FALSE;
    }
  return TRUE;
}

static void
complain_unknown_group (const char *group, guint line, AlcoveProblems *problems)
{
  const char *words[ALCOVE_N_KINDS];
  const char *nearest;
  g_autofree char *all = NULL;
  g_autofree char *word = g_strndup (group, strcspn (group, " \t"));

  for (guint i = 0; i < ALCOVE_N_KINDS; i++)
    words[i] = alcove_group_specs[i].word;
  nearest = alcove_suggest (word, words, ALCOVE_N_KINDS);
  if (nearest != NULL)
    {
      alcove_problems_add (problems, line, group, NULL,
                           "this group is not known: did you mean \"%s\"?", nearest);
      return;
    }
  for (guint i = 0; i < ALCOVE_N_KINDS; i++)
    {
      char *longer = g_strconcat (all != NULL ? all : "", all != NULL ? ", " : "", words[i], NULL);

      g_free (all);
      all = longer;
    }
  alcove_problems_add (problems, line, group, NULL, "this group is not known: there are %s", all);
}

static void
parse_group (AlcoveParsed *parsed,
             const AlcoveConfFile *file,
             const char *group,
             guint line,
             const char *folder,
             AlcoveProblems *problems)
{
  GroupParse parse = { .group = group, .folder = folder, .problems = problems };
  const char *name;
  AlcoveDeviceConfig *base;

  parse.spec = alcove_group_spec_find (group, &name);
  if (parse.spec == NULL)
    {
      complain_unknown_group (group, line, problems);
      return;
    }
  if (!group_name_is_good (parse.spec, group, name, line, problems))
    return;
  if (parsed->by_kind[parse.spec->kind]->len >= parse.spec->max)
    {
      alcove_problems_add (problems, line, group, NULL,
                           "there can be %u %s group%s, this is one more: remove it",
                           parse.spec->max, parse.spec->word, parse.spec->max == 1 ? "" : "s");
      return;
    }
  parse.config = g_malloc0 (parse.spec->size);
  base = parse.config;
  base->kind = parse.spec->kind;
  base->name = g_strdup (parse.spec->named ? name : parse.spec->word);
  base->line = line;
  g_ptr_array_add (parsed->by_kind[base->kind], base);
  if (parse.spec->named)
    g_ptr_array_add (parsed->devices, base);
  alcove_conf_file_foreach_key (file, group, parse_key, &parse);
  for (gsize i = 0; i < parse.spec->n_keys; i++)
    if (!(parse.seen & G_GUINT64_CONSTANT (1) << i))
      complete_key (&parse, &parse.spec->keys[i], line);
}

/* NICs without an address in the text get theirs from the machine's identity. */
static void
derive_macs (AlcoveParsed *parsed)
{
  static const guint8 none[6];
  AlcoveMachineConfig *machine;

  if (parsed->by_kind[ALCOVE_KIND_MACHINE]->len == 0)
    return;
  machine = g_ptr_array_index (parsed->by_kind[ALCOVE_KIND_MACHINE], 0);
  for (guint i = 0; i < parsed->by_kind[ALCOVE_KIND_NIC]->len && machine->uuid != NULL; i++)
    {
      AlcoveNicConfig *nic = g_ptr_array_index (parsed->by_kind[ALCOVE_KIND_NIC], i);

      if (memcmp (nic->mac, none, 6) == 0)
        alcove_mac_derive (machine->uuid, nic->base.name, nic->mac);
    }
}

void
alcove_parsed_read (AlcoveParsed *parsed,
                    const AlcoveConfFile *file,
                    const char *folder,
                    AlcoveProblems *problems)
{
  guint n = alcove_conf_file_get_n_groups (file);

  for (guint i = 0; i < n; i++)
    {
      guint line = 0;
      const char *group = alcove_conf_file_get_group (file, i, &line);

      parse_group (parsed, file, group, line, folder, problems);
    }
  if (parsed->by_kind[ALCOVE_KIND_MACHINE]->len == 0)
    alcove_problems_add (problems, 0, NULL, NULL,
                         "there is no [machine] group: this is no machine definition");
  derive_macs (parsed);
  /* Conflicts between values are worth naming only when the values themselves are good. */
  if (!alcove_problems_any (problems))
    alcove_parsed_validate (parsed, file, problems);
}
