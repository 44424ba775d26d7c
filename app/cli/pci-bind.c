/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove pci bind, release, list-bound: taking devices from the host and giving them back. */
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app/cli/pci-private.h"
#include "app/pci-access.h"
#include "vmm/error.h"

static void
add_text (JsonObject *object, const char *name, const char *text)
{
  if (text != NULL)
    json_object_set_string_member (object, name, text);
}

static JsonNode *
plan_to_json (const VfioPlan *plan)
{
  JsonArray *steps = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);

  for (guint i = 0; i < plan->steps->len; i++)
    {
      const VfioStep *step = g_ptr_array_index (plan->steps, i);
      JsonObject *object = json_object_new ();
      g_autofree char *value = step->value != NULL ? g_strchomp (g_strdup (step->value)) : NULL;

      json_object_set_string_member (object, "step", vfio_step_kind_to_string (step->kind));
      if (step->id[0] != 0)
        json_object_set_string_member (object, "function", step->id);
      add_text (object, "file", step->path);
      add_text (object, "value", value);
      add_text (object, "driver", step->driver);
      add_text (object, "text", step->text);
      add_text (object, "undo", step->undo);
      json_array_add_object_element (steps, object);
    }
  json_node_take_array (node, steps);
  return node;
}

static void
print_plan (const VfioPlan *plan)
{
  for (guint i = 0; i < plan->steps->len; i++)
    {
      const VfioStep *step = g_ptr_array_index (plan->steps, i);

      printf ("%2u. %s\n", i + 1, step->text);
      if (step->value != NULL)
        printf ("      \"%.*s\" to %s\n", (int)strcspn (step->value, "\n"), step->value,
                step->path);
      if (step->undo != NULL)
        printf ("      Undone: %s\n", step->undo);
    }
}

static void
show_plan (const VfioPlan *plan, gboolean json)
{
  if (json)
    cli_print_json (plan_to_json (plan));
  else
    print_plan (plan);
}

/* vfio's error as the command line's. error: (transfer full) */
static int
fail (Cli *cli, GError *error)
{
  alcove_pci_convert_error (error);
  return cli_fail (cli, error);
}

/* (transfer full) (nullable): said why */
static GArray *
parse (Cli *cli, char **arguments, int *ret_status)
{
  g_autoptr (GArray) set = g_array_new (FALSE, FALSE, sizeof (VfioAddress));

  for (guint i = 0; arguments[i] != NULL; i++)
    {
      g_autoptr (GError) error = NULL;
      VfioAddress address;

      if (!vfio_address_parse_error (arguments[i], &address, &error))
        {
          *ret_status = cli_usage (cli, "%s", error->message);
          return NULL;
        }
      g_array_append_val (set, address);
    }
  return g_steal_pointer (&set);
}

static GStrv
to_strv (GArray *set)
{
  GStrv list = g_new0 (char *, set->len + 1);

  for (guint i = 0; i < set->len; i++)
    list[i] = vfio_address_to_string (g_array_index (set, VfioAddress, i));
  return list;
}

/* What goes along is said. (transfer full) (nullable): said why */
static GArray *
complete (Cli *cli, VfioTree *tree, GArray *named, int *ret_status)
{
  g_autoptr (VfioInventory) inventory = vfio_inventory_new (tree);
  GError *error = NULL;
  GArray *set =
      vfio_bind_complete (inventory, (VfioAddress *)(void *)named->data, named->len, &error);

  if (set == NULL)
    {
      *ret_status = fail (cli, error);
      return NULL;
    }
  for (guint i = 0; i < set->len; i++)
    {
      VfioAddress address = g_array_index (set, VfioAddress, i);
      const VfioFunction *function = vfio_inventory_find (inventory, address);
      gboolean was_named = FALSE;

      for (guint j = 0; j < named->len; j++)
        was_named =
            was_named || vfio_address_compare (address, g_array_index (named, VfioAddress, j)) == 0;
      if (!was_named)
        cli_say ("%s (%s) goes along: it is a part of the same card or isolation group",
                 function->id, function->name);
    }
  return set;
}

/* A dry run shows the steps even where this user may not do them. */
static int
bind_dry (Cli *cli, const VfioBindHost *host, GArray *set, const VfioBindFor *whom, gboolean json)
{
  const VfioAddress *addresses = (VfioAddress *)(void *)set->data;
  g_autoptr (VfioPlan) plan = NULL;
  g_autoptr (GError) error = NULL;
  GError *problem = NULL;

  if (!vfio_bind_check (host, addresses, set->len, whom, &error))
    {
      if (!g_error_matches (error, VMM_ERROR, VMM_ERROR_PERMISSION))
        return fail (cli, g_steal_pointer (&error));
      cli_say ("%s", error->message);
    }
  plan = vfio_plan_new_take (host, addresses, set->len, whom, &problem);
  if (plan == NULL)
    return fail (cli, problem);
  show_plan (plan, json);
  return ALCOVE_EXIT_DONE;
}

/* The set's i-th group, if it is not one before again; else -1. */
static int
get_new_group (VfioTree *tree, GArray *set, guint i)
{
  int group = vfio_bind_get_group (tree, g_array_index (set, VfioAddress, i));

  for (guint j = 0; j < i; j++)
    if (vfio_bind_get_group (tree, g_array_index (set, VfioAddress, j)) == group)
      return -1;
  return group;
}

static gboolean
grant_groups (const VfioBindHost *host, GArray *set, guint32 uid, GError **error)
{
  for (guint i = 0; i < set->len; i++)
    {
      int group = get_new_group (host->tree, set, i);

      if (group >= 0 && !vfio_bind_grant (host, (guint)group, uid, error))
        return FALSE;
    }
  return TRUE;
}

static int
bind_direct (Cli *cli, const VfioBindHost *host, GArray *set, guint32 uid, gboolean json)
{
  const VfioAddress *addresses = (VfioAddress *)(void *)set->data;
  VfioBindFor whom = { .uid = uid };
  g_autoptr (VfioPlan) plan = NULL;
  GError *error = NULL;

  if (!vfio_bind_take (host, addresses, set->len, &whom, FALSE, &plan, &error))
    return fail (cli, error);
  if (uid != getuid () && !grant_groups (host, set, uid, &error))
    {
      (void)vfio_bind_give_back (host, addresses, set->len, uid, FALSE, NULL, NULL);
      return fail (cli, error);
    }
  if (json)
    show_plan (plan, TRUE);
  return ALCOVE_EXIT_DONE;
}

static gboolean
helper_call (GDBusConnection *bus, const char *method, GVariant *parameters, GError **error)
{
  gboolean missing;
  g_autoptr (GVariant) answer =
      alcove_pci_helper_call (bus, method, parameters, NULL, &missing, error);

  if (answer == NULL && missing)
    {
      g_clear_error (error);
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
                   "This takes root's rights, and alcove-helper is not installed: put sudo in "
                   "front of the command");
    }
  return answer != NULL;
}

static int
bind_by_helper (Cli *cli, VfioTree *tree, GArray *set)
{
  g_auto (GStrv) addresses = to_strv (set);
  GError *error = NULL;
  g_autoptr (GDBusConnection) bus = alcove_pci_helper_connect (&error);

  if (bus == NULL)
    return cli_fail (cli, error);
  if (!helper_call (bus, "Bind", g_variant_new ("(^asb)", addresses, FALSE), &error))
    return cli_fail (cli, error);
  for (guint i = 0; i < set->len; i++)
    {
      int group = get_new_group (tree, set, i);

      if (group >= 0 &&
          !helper_call (bus, "GrantGroup", g_variant_new ("(u)", (guint32)group), &error))
        {
          (void)helper_call (bus, "Release", g_variant_new ("(^as)", addresses), NULL);
          return cli_fail (cli, error);
        }
    }
  return ALCOVE_EXIT_DONE;
}

static gboolean
find_user (const char *name, guint32 *ret_uid)
{
  struct passwd *user = getpwnam (name);
  guint64 number;

  if (user != NULL)
    *ret_uid = user->pw_uid;
  else if (g_ascii_string_to_unsigned (name, 10, 0, G_MAXUINT32 - 1, &number, NULL))
    *ret_uid = (guint32)number;
  else
    return FALSE;
  return TRUE;
}

int
cli_pci_bind (Cli *cli, int argc, char **argv)
{
  gboolean dry_run = FALSE, json = FALSE, write;
  g_autofree char *user = NULL;
  const GOptionEntry entries[] = { { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry_run,
                                     "Only show what would be done, in order", NULL },
                                   { "user", 0, 0, G_OPTION_ARG_STRING, &user,
                                     "As root: for this user, who may then open it", "NAME" },
                                   { "json", 0, 0, G_OPTION_ARG_NONE, &json,
                                     "Print the steps as JSON", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GArray) named = NULL, set = NULL;
  guint32 uid = getuid ();
  VfioBindHost host;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, -1, &arguments, &status))
    return status;
  if (user != NULL && !find_user (user, &uid))
    return cli_usage (cli, "there is no user \"%s\"", user);
  named = parse (cli, arguments, &status);
  if (named == NULL)
    return status;
  if (!alcove_pci_open (FALSE, &host, &error))
    return cli_fail (cli, error);
  write = alcove_pci_may_write (host.tree);
  set = complete (cli, host.tree, named, &status);
  if (set != NULL && dry_run)
    status = bind_dry (cli, &host, set, &(VfioBindFor){ .uid = uid }, json);
  else if (set != NULL && !write && uid != getuid ())
    status = cli_usage (cli, "--user is for root: put sudo in front of the command");
  else if (set != NULL && !write)
    status = bind_by_helper (cli, host.tree, set);
  alcove_pci_close (&host);
  if (set == NULL || dry_run || !write)
    return status;
  if (!alcove_pci_open (TRUE, &host, &error))
    return cli_fail (cli, error);
  status = bind_direct (cli, &host, set, uid, json);
  alcove_pci_close (&host);
  return status;
}

static int
release_by_helper (Cli *cli, GArray *set)
{
  g_auto (GStrv) addresses = to_strv (set);
  GError *error = NULL;
  g_autoptr (GDBusConnection) bus = alcove_pci_helper_connect (&error);

  if (bus == NULL || !helper_call (bus, "Release", g_variant_new ("(^as)", addresses), &error))
    return cli_fail (cli, error);
  return ALCOVE_EXIT_DONE;
}

static int
release (Cli *cli, const VfioBindHost *host, GArray *set, gboolean dry_run, gboolean json)
{
  g_autoptr (VfioPlan) plan = NULL;
  GError *error = NULL;

  if (!vfio_bind_give_back (host, (VfioAddress *)(void *)set->data, set->len,
                            geteuid () == 0 || dry_run ? BIND_ANY_UID : getuid (), dry_run, &plan,
                            &error))
    return fail (cli, error);
  if (dry_run || json)
    show_plan (plan, json);
  else if (set->len == 0 && plan->bindings->len == 0)
    cli_say ("Nothing was taken from this host");
  return ALCOVE_EXIT_DONE;
}

int
cli_pci_release (Cli *cli, int argc, char **argv)
{
  gboolean dry_run = FALSE, json = FALSE, write;
  const GOptionEntry entries[] = { { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry_run,
                                     "Only show what would be done, in order", NULL },
                                   { "json", 0, 0, G_OPTION_ARG_NONE, &json,
                                     "Print the steps as JSON", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GArray) set = NULL;
  VfioBindHost host;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 0, -1, &arguments, &status))
    return status;
  set = parse (cli, arguments, &status);
  if (set == NULL)
    return status;
  if (!alcove_pci_open (FALSE, &host, &error))
    return cli_fail (cli, error);
  write = alcove_pci_may_write (host.tree);
  if (dry_run)
    status = release (cli, &host, set, TRUE, json);
  else if (!write)
    status = release_by_helper (cli, set);
  alcove_pci_close (&host);
  if (dry_run || !write)
    return status;
  if (!alcove_pci_open (TRUE, &host, &error))
    return cli_fail (cli, error);
  status = release (cli, &host, set, FALSE, json);
  alcove_pci_close (&host);
  return status;
}

static void
print_bound_json (GPtrArray *bindings)
{
  JsonArray *array = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);

  for (guint i = 0; i < bindings->len; i++)
    {
      const VfioBinding *binding = g_ptr_array_index (bindings, i);
      JsonObject *object = json_object_new ();
      char id[VFIO_ADDRESS_TEXT_SIZE];

      json_object_set_string_member (object, "function",
                                     vfio_address_format (binding->address, id));
      add_text (object, "driver", binding->driver);
      json_object_set_int_member (object, "uid", binding->uid);
      json_object_set_boolean_member (object, "until-machine-ends", binding->owner != NULL);
      json_object_set_int_member (object, "since", binding->since);
      json_array_add_object_element (array, object);
    }
  json_node_take_array (node, array);
  cli_print_json (node);
}

static void
print_bound (GPtrArray *bindings)
{
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (g_free);
  static const char *const heads[] = { "ADDRESS", "USER", "GOES BACK TO" };

  for (guint i = 0; i < G_N_ELEMENTS (heads); i++)
    g_ptr_array_add (cells, g_strdup (heads[i]));
  for (guint i = 0; i < bindings->len; i++)
    {
      const VfioBinding *binding = g_ptr_array_index (bindings, i);
      struct passwd *user = getpwuid (binding->uid);

      g_ptr_array_add (cells, vfio_address_to_string (binding->address));
      g_ptr_array_add (cells, user != NULL ? g_strdup (user->pw_name)
                                           : g_strdup_printf ("%u", binding->uid));
      g_ptr_array_add (cells, g_strdup (binding->driver != NULL ? binding->driver : "no driver"));
    }
  cli_print_table (cells, G_N_ELEMENTS (heads));
}

int
cli_pci_list_bound (Cli *cli, int argc, char **argv)
{
  gboolean json = FALSE;
  const GOptionEntry entries[] = { { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL, problems = NULL;
  g_autoptr (GPtrArray) bindings = NULL;
  g_autofree char *boot = NULL;
  VfioBindHost host;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 0, 0, &arguments, &status))
    return status;
  if (!alcove_pci_open (FALSE, &host, &error))
    return cli_fail (cli, error);
  boot = vfio_ledger_dup_boot (host.tree);
  bindings = vfio_ledger_list (host.ledger, &problems);
  for (guint i = bindings->len; i-- > 0;)
    if (strcmp (((VfioBinding *)g_ptr_array_index (bindings, i))->boot, boot) != 0)
      g_ptr_array_remove_index (bindings, i);
  if (json)
    print_bound_json (bindings);
  else if (bindings->len == 0)
    cli_say ("Nothing is taken from this host");
  else
    print_bound (bindings);
  for (guint i = 0; problems[i] != NULL; i++)
    cli_say ("%s", problems[i]);
  alcove_pci_close (&host);
  return problems[0] == NULL ? ALCOVE_EXIT_DONE : ALCOVE_EXIT_FAILED;
}
