/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the methods do, on a thread. */
#include <string.h>

#include "app/helper/helper-private.h"
#include "app/helper/memlock.h"
#include "vmm/error.h"

#define DESCRIBE_MAX      512
#define DESCRIBE_WORD_MAX 64

static gboolean
parse_functions (GVariant *list, HelperArguments *ret, GError **error)
{
  gsize n = g_variant_n_children (list);

  if (n > BIND_SET_MAX)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%" G_GSIZE_FORMAT " devices are named: %d is the most at once", n,
                   BIND_SET_MAX);
      return FALSE;
    }
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) item = g_variant_get_child_value (list, i);

      if (!vfio_address_parse_error (g_variant_get_string (item, NULL), &ret->functions[i], error))
        return FALSE;
    }
  ret->n_functions = (guint)n;
  return TRUE;
}

/* (nullable): no call has it. */
static const char *
get_type (HelperMethod method)
{
  switch (method)
    {
    case HELPER_BIND:
      return "(asb)";
    case HELPER_RELEASE:
      return "(as)";
    case HELPER_GRANT_GROUP:
      return "(u)";
    case HELPER_RAISE_MEMLOCK:
      return "(ut)";
    case HELPER_LIST_BOUND:
      return "()";
    case HELPER_GIVE_BACK:
    default:
      return NULL;
    }
}

gboolean
helper_arguments_parse (HelperMethod method,
                        GVariant *parameters,
                        HelperArguments *ret,
                        GError **error)
{
  g_autoptr (GVariant) list = NULL;
  const char *type = get_type (method);

  memset (ret, 0, sizeof *ret);
  ret->method = method;
  /* GDBus looks too; here nothing depends on that. */
  if (type == NULL || !g_variant_is_of_type (parameters, G_VARIANT_TYPE (type)))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "The call's arguments are not of type %s",
                   type != NULL ? type : "any call's");
      return FALSE;
    }
  switch (method)
    {
    case HELPER_BIND:
      g_variant_get (parameters, "(@asb)", &list, &ret->when_gone);
      if (!parse_functions (list, ret, error))
        return FALSE;
      if (ret->n_functions == 0)
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "No device is named");
          return FALSE;
        }
      return TRUE;
    case HELPER_RELEASE:
      g_variant_get (parameters, "(@as)", &list);
      return parse_functions (list, ret, error);
    case HELPER_GRANT_GROUP:
      g_variant_get (parameters, "(u)", &ret->group);
      if (ret->group <= G_MAXINT32)
        return TRUE;
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "%u is no isolation group", ret->group);
      return FALSE;
    case HELPER_RAISE_MEMLOCK:
      g_variant_get (parameters, "(ut)", &ret->pid, &ret->bytes);
      return TRUE;
    case HELPER_LIST_BOUND:
    case HELPER_GIVE_BACK:
    default:
      return TRUE;
    }
}

/* At most so much of one value, and whole characters. */
static void
append_word (GString *text, const char *word)
{
  g_autofree char *start = g_strndup (word, DESCRIBE_WORD_MAX);
  g_autofree char *valid = g_utf8_make_valid (start, -1);

  g_string_append (text, valid);
}

static void
describe (GString *text, GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING) ||
      g_variant_is_of_type (value, G_VARIANT_TYPE_OBJECT_PATH) ||
      g_variant_is_of_type (value, G_VARIANT_TYPE_SIGNATURE))
    append_word (text, g_variant_get_string (value, NULL));
  else if (g_variant_is_container (value))
    {
      gsize n = g_variant_n_children (value);

      for (gsize i = 0; i < n && text->len < DESCRIBE_MAX; i++)
        {
          g_autoptr (GVariant) child = g_variant_get_child_value (value, i);

          if (i > 0)
            g_string_append_c (text, ' ');
          describe (text, child);
        }
      if (text->len >= DESCRIBE_MAX)
        g_string_append_printf (text, " (%" G_GSIZE_FORMAT " in all)", n);
    }
  else
    {
      g_autofree char *word = g_variant_print (value, FALSE);

      append_word (text, word);
    }
}

char *
helper_arguments_describe (GVariant *parameters)
{
  GString *text = g_string_new (NULL);

  describe (text, parameters);
  return g_string_free (text, FALSE);
}

static GVariant *
list_bound (const VfioBindHost *host)
{
  g_autoptr (GPtrArray) bindings = vfio_ledger_list (host->ledger, NULL);
  g_autofree char *boot = vfio_ledger_dup_boot (host->tree);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(sussx)"));
  for (guint i = 0; i < bindings->len; i++)
    {
      const VfioBinding *binding = g_ptr_array_index (bindings, i);
      char id[VFIO_ADDRESS_TEXT_SIZE];

      if (strcmp (binding->boot, boot) == 0)
        g_variant_builder_add (&builder, "(sussx)", vfio_address_format (binding->address, id),
                               binding->uid, binding->driver != NULL ? binding->driver : "",
                               binding->owner != NULL ? binding->owner : "", binding->since);
    }
  return g_variant_new ("(a(sussx))", &builder);
}

/* Locked memory is for who has a device: polkit was asked about that. */
static GVariant *
raise_memlock (const HelperConfig *config,
               const VfioBindHost *host,
               const HelperArguments *arguments,
               guint32 uid,
               GError **error)
{
  g_autoptr (GPtrArray) bindings = vfio_ledger_list (host->ledger, NULL);
  g_autofree char *boot = vfio_ledger_dup_boot (host->tree);
  gboolean any = FALSE;
  guint64 limit;

  for (guint i = 0; i < bindings->len && !any; i++)
    {
      const VfioBinding *binding = g_ptr_array_index (bindings, i);

      any = binding->uid == uid && strcmp (binding->boot, boot) == 0;
    }
  if (!any)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                   "Only a machine that is given a device may lock its memory, and none was taken "
                   "for you");
      return NULL;
    }
  if (!helper_raise_memlock (arguments->pid, uid, config->vmm_path, arguments->bytes, &limit,
                             error))
    return NULL;
  return g_variant_new ("(t)", limit);
}

static gboolean
bind (const VfioBindHost *host,
      const HelperArguments *arguments,
      guint32 uid,
      const char *owner,
      gboolean check_only,
      GError **error)
{
  VfioBindFor whom = { .uid = uid, .owner = owner };

  if (check_only)
    return vfio_bind_check (host, arguments->functions, arguments->n_functions, &whom, error);
  return vfio_bind_take (host, arguments->functions, arguments->n_functions, &whom, FALSE, NULL,
                         error);
}

static gboolean
open_host (const HelperConfig *config, VfioBindHost *ret, GError **error)
{
  g_autofree char *folder = g_build_filename (config->root, BIND_LEDGER_FOLDER, NULL);

  ret->ops = config->ops;
  ret->tree = vfio_tree_open (config->root, error);
  if (ret->tree == NULL)
    return FALSE;
  ret->ledger = vfio_ledger_open (folder, TRUE, error);
  if (ret->ledger == NULL)
    g_clear_pointer (&ret->tree, vfio_tree_free);
  return ret->ledger != NULL;
}

static void
close_host (VfioBindHost *host)
{
  vfio_ledger_free (host->ledger);
  vfio_tree_free (host->tree);
}

static GVariant *
work (const HelperConfig *config,
      const VfioBindHost *host,
      const HelperArguments *arguments,
      guint32 uid,
      const char *owner,
      gboolean check_only,
      GError **error)
{
  gboolean ok = TRUE;

  switch (arguments->method)
    {
    case HELPER_BIND:
      ok = bind (host, arguments, uid, owner, check_only, error);
      break;
    case HELPER_RELEASE:
      ok = vfio_bind_give_back (host, arguments->functions, arguments->n_functions,
                                uid == 0 ? BIND_ANY_UID : uid, FALSE, NULL, error);
      break;
    case HELPER_GRANT_GROUP:
      ok = vfio_bind_grant (host, arguments->group, uid, error);
      break;
    case HELPER_RAISE_MEMLOCK:
      return raise_memlock (config, host, arguments, uid, error);
    case HELPER_GIVE_BACK:
      ok = vfio_bind_give_back_owner (host, owner, error);
      break;
    case HELPER_LIST_BOUND:
    default:
      return list_bound (host);
    }
  return ok ? g_variant_new ("()") : NULL;
}

GVariant *
helper_work (const HelperConfig *config,
             const HelperArguments *arguments,
             guint32 uid,
             const char *owner,
             gboolean check_only,
             GError **error)
{
  VfioBindHost host;
  GVariant *answer;

  if (!open_host (config, &host, error))
    return NULL;
  answer = work (config, &host, arguments, uid, owner, check_only, error);
  close_host (&host);
  return answer;
}

GPtrArray *
helper_list (const HelperConfig *config, GError **error)
{
  VfioBindHost host;
  GPtrArray *bindings;
  g_autofree char *boot = NULL;

  if (!open_host (config, &host, error))
    return NULL;
  boot = vfio_ledger_dup_boot (host.tree);
  bindings = vfio_ledger_list (host.ledger, NULL);
  for (guint i = bindings->len; i-- > 0;)
    if (strcmp (((VfioBinding *)g_ptr_array_index (bindings, i))->boot, boot) != 0)
      g_ptr_array_remove_index (bindings, i);
  close_host (&host);
  return bindings;
}
