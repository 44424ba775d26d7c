/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/passthrough-binding.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/pci-access.h"

struct _AlcoveBinding
{
  AlcoveBindingWay way;
  GStrv addresses;
  GDBusConnection *bus; /* (nullable): of the helper's way */
  gboolean given_back;
};

static gboolean
parse (const char *const *addresses, GArray *set, GError **error)
{
  for (guint i = 0; addresses[i] != NULL; i++)
    {
      VfioAddress address;

      if (!vfio_address_parse_error (addresses[i], &address, error))
        {
          if (error != NULL)
            alcove_pci_convert_error (*error);
          return FALSE;
        }
      g_array_append_val (set, address);
    }
  return TRUE;
}

/* As far as this process may. */
static gboolean
raise_own_memlock (guint64 bytes)
{
  struct rlimit limit;

  if (bytes == 0)
    return TRUE;
  if (getrlimit (RLIMIT_MEMLOCK, &limit) < 0)
    return FALSE;
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes)
    return TRUE;
  limit.rlim_cur = bytes;
  if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < bytes)
    limit.rlim_max = bytes; /* takes CAP_SYS_RESOURCE */
  return setrlimit (RLIMIT_MEMLOCK, &limit) == 0;
}

static guint64
get_memlock_mib (void)
{
  struct rlimit limit;

  return getrlimit (RLIMIT_MEMLOCK, &limit) == 0 ? limit.rlim_max >> 20 : 0;
}

/* What a person does where neither we nor a helper may. */
static void
add_commands (GError *error, const char *const *addresses, guint64 memlock)
{
  g_autofree char *list = g_strjoinv (" ", (char **)addresses);
  GString *text = g_string_new (error->message);

  if (!g_str_has_suffix (error->message, "."))
    g_string_append_c (text, '.');
  g_string_append_printf (text,
                          " By hand: \"sudo alcove pci bind --user %s %s\", and afterwards \"sudo "
                          "alcove pci release %s\"",
                          g_get_user_name (), list, list);
  if (memlock > 0)
    g_string_append_printf (text,
                            "; and \"sudo prlimit --pid $$ --memlock=%" G_GUINT64_FORMAT
                            "\" in the shell that starts the machine",
                            memlock);
  g_free (error->message);
  error->message = g_string_free (text, FALSE);
}

static gboolean
prepare_direct (GArray *set, guint64 memlock, GError **error)
{
  VfioBindFor whom = { .uid = getuid () };
  VfioBindHost host;
  GError *problem = NULL;
  gboolean ok;

  if (!raise_own_memlock (memlock))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
                   "The machine needs %" G_GUINT64_FORMAT " MiB of locked memory, and the limit is "
                   "%" G_GUINT64_FORMAT
                   " MiB. Raise it with \"sudo prlimit --pid $$ --memlock=%" G_GUINT64_FORMAT
                   "\" in the shell that starts the machine",
                   memlock >> 20, get_memlock_mib (), memlock);
      return FALSE;
    }
  if (!alcove_pci_open (TRUE, &host, error))
    return FALSE;
  ok = vfio_bind_take (&host, (VfioAddress *)(void *)set->data, set->len, &whom, FALSE, NULL,
                       &problem);
  alcove_pci_close (&host);
  if (ok)
    return TRUE;
  alcove_pci_convert_error (problem);
  g_propagate_error (error, problem);
  return FALSE;
}

static gboolean
call (AlcoveBinding *binding,
      const char *method,
      GVariant *parameters,
      GCancellable *cancellable,
      gboolean *ret_missing,
      GError **error)
{
  g_autoptr (GVariant) answer =
      alcove_pci_helper_call (binding->bus, method, parameters, cancellable, ret_missing, error);

  return answer != NULL;
}

/* Each group once. */
static gboolean
grant_groups (AlcoveBinding *binding,
              VfioTree *tree,
              GArray *set,
              GCancellable *cancellable,
              gboolean *ret_missing,
              GError **error)
{
  g_autoptr (GHashTable) done = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < set->len; i++)
    {
      int group = vfio_bind_get_group (tree, g_array_index (set, VfioAddress, i));

      if (group >= 0 && g_hash_table_add (done, GINT_TO_POINTER (group)) &&
          !call (binding, "GrantGroup", g_variant_new ("(u)", (guint32)group), cancellable,
                 ret_missing, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
prepare_helper (AlcoveBinding *binding,
                VfioTree *tree,
                GArray *set,
                guint64 memlock,
                GCancellable *cancellable,
                GError **error)
{
  const char *const *addresses = (const char *const *)binding->addresses;
  g_autoptr (GError) problem = NULL;
  gboolean missing = FALSE, bound;

  binding->bus = alcove_pci_helper_connect (&problem);
  missing = binding->bus == NULL;
  bound = binding->bus != NULL && call (binding, "Bind", g_variant_new ("(^asb)", addresses, TRUE),
                                        cancellable, &missing, &problem);
  if (bound && grant_groups (binding, tree, set, cancellable, &missing, &problem) &&
      (raise_own_memlock (memlock) ||
       call (binding, "RaiseMemlock", g_variant_new ("(ut)", (guint32)getpid (), memlock),
             cancellable, &missing, &problem)))
    return TRUE;
  if (bound)
    {
      gboolean ignored;

      (void)call (binding, "Release", g_variant_new ("(^as)", addresses), NULL, &ignored, NULL);
    }
  if (!missing)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
               "The device must be taken from its driver, which takes root's rights, and there is "
               "no alcove-helper to do it (%s).",
               problem->message);
  if (error != NULL)
    add_commands (*error, addresses, raise_own_memlock (memlock) ? 0 : memlock);
  return FALSE;
}

static gboolean
prepare (AlcoveBinding *binding, guint64 memlock, GCancellable *cancellable, GError **error)
{
  g_autoptr (GArray) set = g_array_new (FALSE, FALSE, sizeof (VfioAddress));
  g_autoptr (VfioTree) tree = NULL;
  gboolean ready = TRUE;

  if (!parse ((const char *const *)binding->addresses, set, error))
    return FALSE;
  tree = vfio_tree_open_host (error);
  if (tree == NULL)
    {
      if (error != NULL)
        alcove_pci_convert_error (*error);
      return FALSE;
    }
  for (guint i = 0; i < set->len && ready; i++)
    ready = vfio_bind_is_ready (tree, g_array_index (set, VfioAddress, i));
  if (ready && raise_own_memlock (memlock))
    {
      binding->way = ALCOVE_BINDING_NONE;
      return TRUE;
    }
  if (alcove_pci_may_write (tree))
    {
      binding->way = ALCOVE_BINDING_DIRECT;
      return prepare_direct (set, memlock, error);
    }
  binding->way = ALCOVE_BINDING_HELPER;
  return prepare_helper (binding, tree, set, memlock, cancellable, error);
}

static AlcoveBinding *
binding_new (const char *const *addresses)
{
  AlcoveBinding *binding = g_new0 (AlcoveBinding, 1);

  binding->addresses = g_strdupv ((char **)addresses);
  return binding;
}

AlcoveBinding *
alcove_binding_prepare (const char *const *addresses, guint64 memlock, GError **error)
{
  g_autoptr (AlcoveBinding) binding = binding_new (addresses);

  return prepare (binding, memlock, NULL, error) ? g_steal_pointer (&binding) : NULL;
}

AlcoveBindingWay
alcove_binding_get_way (AlcoveBinding *binding)
{
  return binding->way;
}

gboolean
alcove_binding_has (AlcoveBinding *binding, const char *address)
{
  return g_strv_contains ((const char *const *)binding->addresses, address);
}

static gboolean
give_back_direct (AlcoveBinding *binding, GError **error)
{
  g_autoptr (GArray) set = g_array_new (FALSE, FALSE, sizeof (VfioAddress));
  GError *problem = NULL;
  VfioBindHost host;
  gboolean ok;

  if (!parse ((const char *const *)binding->addresses, set, error) ||
      !alcove_pci_open (TRUE, &host, error))
    return FALSE;
  ok = vfio_bind_give_back (&host, (VfioAddress *)(void *)set->data, set->len, getuid (), FALSE,
                            NULL, &problem);
  alcove_pci_close (&host);
  if (ok)
    return TRUE;
  alcove_pci_convert_error (problem);
  g_propagate_error (error, problem);
  return FALSE;
}

gboolean
alcove_binding_give_back (AlcoveBinding *binding, GError **error)
{
  gboolean ok = TRUE, missing;

  if (binding->given_back)
    return TRUE;
  if (binding->way == ALCOVE_BINDING_DIRECT)
    ok = give_back_direct (binding, error);
  else if (binding->way == ALCOVE_BINDING_HELPER)
    ok = call (binding, "Release", g_variant_new ("(^as)", binding->addresses), NULL, &missing,
               error);
  binding->given_back = ok;
  return ok;
}

void
alcove_binding_free (AlcoveBinding *binding)
{
  if (binding == NULL)
    return;
  if (binding->bus != NULL)
    g_dbus_connection_close_sync (binding->bus, NULL, NULL);
  g_clear_object (&binding->bus);
  g_strfreev (binding->addresses);
  g_free (binding);
}

/* --- on a thread ------------------------------------------------------------------------------ */

typedef struct
{
  AlcoveBinding *binding;
  guint64 memlock;
} Work;

static void
work_free (gpointer data)
{
  Work *work = data;

  alcove_binding_free (work->binding);
  g_free (work);
}

static void
prepare_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Work *work = data;
  GError *error = NULL;
  gboolean got = prepare (work->binding, work->memlock, cancellable, &error);

  /* What this process did by itself is not interrupted half-way; it is undone. */
  if (got && g_cancellable_set_error_if_cancelled (cancellable, &error))
    {
      got = FALSE;
      (void)alcove_binding_give_back (work->binding, NULL);
    }
  if (got)
    g_task_return_pointer (task, g_steal_pointer (&work->binding),
                           (GDestroyNotify)alcove_binding_free);
  else
    g_task_return_error (task, error);
}

void
alcove_binding_prepare_async (const char *const *addresses,
                              guint64 memlock,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Work *work = g_new0 (Work, 1);

  work->binding = binding_new (addresses);
  work->memlock = memlock;
  /* What was got is answered with, or given back above: never dropped. */
  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, work, work_free);
  g_task_run_in_thread (task, prepare_in_thread);
}

AlcoveBinding *
alcove_binding_prepare_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
give_back_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  GError *error = NULL;

  if (alcove_binding_give_back (data, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

void
alcove_binding_give_back_async (AlcoveBinding *binding,
                                GAsyncReadyCallback callback,
                                gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);

  g_task_set_task_data (task, binding, NULL);
  g_task_run_in_thread (task, give_back_in_thread);
}

gboolean
alcove_binding_give_back_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
