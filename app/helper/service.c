/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/helper/service.h"

#include <string.h>

#include "app/helper/helper-private.h"
#include "app/helper/helper1.h"
#include "vmm/error.h"

#define CALLS_MAX        64 /* under way, of everybody */
#define CALLS_SENDER_MAX 4  /* of one caller */

typedef struct
{
  const char *name;
  HelperMethod method;
  const char *action; /* (nullable): everybody may */
} Method;

static const Method methods[] = {
  { "Bind", HELPER_BIND, "io.github.alcove-vm.helper.bind" },
  { "Release", HELPER_RELEASE, "io.github.alcove-vm.helper.release" },
  { "GrantGroup", HELPER_GRANT_GROUP, "io.github.alcove-vm.helper.grant" },
  { "RaiseMemlock", HELPER_RAISE_MEMLOCK, "io.github.alcove-vm.helper.memlock" },
  { "ListBound", HELPER_LIST_BOUND, NULL },
};

struct _HelperService
{
  int refs;
  HelperConfig config;
  gboolean closed;
  guint object; /* registration */
  HelperOwners *owners;
  GQueue waiting;    /* (element-type Call) for the thread */
  gboolean running;  /* one is on it */
  GHashTable *calls; /* sender -> number under way */
  guint n_calls;
  guint idle_timer;
};

/* One call, or with no invocation the giving back for an owner. */
typedef struct
{
  HelperService *service;
  GDBusMethodInvocation *invocation; /* (nullable) */
  const Method *method;              /* (nullable) */
  HelperArguments arguments;
  char *text;           /* the arguments, for the journal */
  char *owner;          /* (nullable) */
  HelperCaller *caller; /* (nullable) not known yet */
  gboolean check_only;
} Call;

static void run_next (HelperService *service);
static void start_idle_timer (HelperService *service);

static HelperService *
service_ref (HelperService *service)
{
  service->refs++;
  return service;
}

static void
service_unref (HelperService *service)
{
  if (--service->refs > 0)
    return;
  g_hash_table_unref (service->calls);
  g_object_unref (service->config.bus);
  g_free ((char *)service->config.root);
  g_free ((char *)service->config.vmm_path);
  g_free (service);
}

static void
call_free (Call *call)
{
  g_clear_object (&call->invocation);
  g_free (call->text);
  g_free (call->owner);
  helper_caller_free (call->caller);
  service_unref (call->service);
  g_free (call);
}

static void
count_call (HelperService *service, const char *sender, int change)
{
  int n = GPOINTER_TO_INT (g_hash_table_lookup (service->calls, sender)) + change;

  if (n > 0)
    g_hash_table_insert (service->calls, g_strdup (sender), GINT_TO_POINTER (n));
  else
    g_hash_table_remove (service->calls, sender);
  service->n_calls = (guint)((int)service->n_calls + change);
}

static void
record (const Call *call, HelperOutcome outcome, const char *detail)
{
  HelperAudit audit = {
    .method = call->method != NULL ? call->method->name : "GiveBack",
    .arguments = call->text,
    .sender = call->owner != NULL ? call->owner : "",
    .uid = call->caller != NULL ? (gint64)call->caller->uid : -1,
    .pid = call->caller != NULL ? call->caller->pid : -1,
  };

  if (call->invocation != NULL)
    audit.sender = g_dbus_method_invocation_get_sender (call->invocation);
  helper_audit (&audit, outcome, detail);
}

static const char *
get_dbus_name (const GError *error)
{
  if (error->domain != VMM_ERROR)
    return "io.github.alcove_vm.Error.Failed";
  switch ((VmmErrorCode)error->code)
    {
    case VMM_ERROR_INVALID:
      return "io.github.alcove_vm.Error.InvalidArgument";
    case VMM_ERROR_NOT_FOUND:
      return "io.github.alcove_vm.Error.NotFound";
    case VMM_ERROR_BUSY:
      return "io.github.alcove_vm.Error.Busy";
    case VMM_ERROR_NOT_SUPPORTED:
      return "io.github.alcove_vm.Error.NotSupported";
    case VMM_ERROR_CANCELLED:
      return "io.github.alcove_vm.Error.Cancelled";
    case VMM_ERROR_PERMISSION:
      return "org.freedesktop.DBus.Error.AccessDenied";
    case VMM_ERROR_FAILED:
    case VMM_ERROR_UNAVAILABLE:
    case VMM_ERROR_NO_MEMORY:
    default:
      return "io.github.alcove_vm.Error.Failed";
    }
}

static gboolean
is_refusal (const GError *error)
{
  return error->domain == VMM_ERROR && error->code != VMM_ERROR_FAILED &&
         error->code != VMM_ERROR_NO_MEMORY;
}

/* Answers, writes down, frees. answer: (transfer floating) (nullable): NULL with error, which is
 * consumed. */
static void
finish (Call *call, GVariant *answer, GError *error)
{
  HelperService *service = call->service;

  if (error == NULL)
    record (call, HELPER_DONE, NULL);
  else
    record (call, is_refusal (error) ? HELPER_REFUSED : HELPER_FAILED, error->message);
  count_call (service, g_dbus_method_invocation_get_sender (call->invocation), -1);
  if (error == NULL)
    g_dbus_method_invocation_return_value (g_steal_pointer (&call->invocation), answer);
  else
    g_dbus_method_invocation_return_dbus_error (g_steal_pointer (&call->invocation),
                                                get_dbus_name (error), error->message);
  g_clear_error (&error);
  start_idle_timer (service);
  call_free (call);
}

/* --- the thread ------------------------------------------------------------------------------- */

static void
work_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const Call *call = data;
  GError *error = NULL;
  GVariant *answer = helper_work (&call->service->config, &call->arguments,
                                  call->caller != NULL ? call->caller->uid : 0, call->owner,
                                  call->check_only, &error);

  if (answer != NULL)
    g_task_return_pointer (task, g_variant_ref_sink (answer), (GDestroyNotify)g_variant_unref);
  else
    g_task_return_error (task, error);
}

static void
enqueue (Call *call)
{
  g_queue_push_tail (&call->service->waiting, call);
  run_next (call->service);
}

static void
finish_give_back (Call *call, GError *error)
{
  HelperOwners *owners = call->service->owners;
  gboolean again = g_error_matches (error, VMM_ERROR, VMM_ERROR_BUSY);

  if (owners != NULL && again)
    helper_owners_retry (owners, call->owner);
  else if (owners != NULL)
    helper_owners_forget (owners, call->owner);
  if (error == NULL)
    record (call, HELPER_DONE, NULL);
  else if (!again)
    record (call, HELPER_FAILED, error->message);
  g_clear_error (&error);
  start_idle_timer (call->service);
  call_free (call);
}

static void
on_authorized (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Call *call = user_data;
  GError *error = NULL;

  if (!helper_caller_authorize_finish (result, &error))
    {
      finish (call, NULL, error);
      return;
    }
  call->check_only = FALSE;
  if (call->owner != NULL && call->service->owners != NULL &&
      !helper_owners_is_here (call->service->owners, call->owner))
    {
      finish (call, NULL,
              g_error_new (VMM_ERROR, VMM_ERROR_CANCELLED,
                           "The caller has left before the password was given"));
      return;
    }
  enqueue (call);
}

static void
authorize (Call *call)
{
  helper_caller_authorize_async (call->service->config.bus, call->caller, call->method->action,
                                 call->text, on_authorized, call);
}

static void
on_worked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Call *call = user_data;
  HelperService *service = service_ref (call->service);
  GError *error = NULL;
  g_autoptr (GVariant) answer = g_task_propagate_pointer (G_TASK (result), &error);

  service->running = FALSE;
  if (call->invocation == NULL)
    finish_give_back (call, error);
  else if (answer != NULL && call->check_only)
    authorize (call);
  else
    finish (call, answer, error);
  run_next (service);
  service_unref (service);
}

static void
run_next (HelperService *service)
{
  Call *call;
  GTask *task;

  if (service->running || service->closed || (call = g_queue_pop_head (&service->waiting)) == NULL)
    return;
  service->running = TRUE;
  task = g_task_new (NULL, NULL, on_worked, call);
  g_task_set_task_data (task, call, NULL);
  g_task_run_in_thread (task, work_in_thread);
  g_object_unref (task);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void
on_identified (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Call *call = user_data;
  GError *error = NULL;

  call->caller = helper_caller_identify_finish (result, &error);
  if (call->caller == NULL ||
      !helper_arguments_parse (call->method->method,
                               g_dbus_method_invocation_get_parameters (call->invocation),
                               &call->arguments, &error))
    {
      finish (call, NULL, error);
      return;
    }
  if (call->arguments.when_gone)
    {
      call->owner = g_strdup (call->caller->sender);
      /* From now on, so that one who leaves before the work is done is not missed. */
      if (call->service->owners != NULL)
        helper_owners_watch (call->service->owners, call->owner);
    }
  if (call->method->action == NULL)
    enqueue (call);
  else if (call->method->method == HELPER_BIND)
    {
      /* Nobody types a password for what is refused anyway. */
      call->check_only = TRUE;
      enqueue (call);
    }
  else
    authorize (call);
}

static gboolean
is_too_many (HelperService *service, const char *sender)
{
  return service->n_calls >= CALLS_MAX ||
         GPOINTER_TO_INT (g_hash_table_lookup (service->calls, sender)) >= CALLS_SENDER_MAX;
}

static void
on_method_call (GDBusConnection *bus,
                const char *sender,
                const char *path,
                const char *interface,
                const char *name,
                GVariant *parameters,
                GDBusMethodInvocation *invocation,
                gpointer user_data)
{
  HelperService *service = user_data;
  Call *call;

  if (service->closed || is_too_many (service, sender))
    {
      g_dbus_method_invocation_return_dbus_error (invocation, "io.github.alcove_vm.Error.Busy",
                                                  "Too many calls are under way: wait for their "
                                                  "answers");
      return;
    }
  call = g_new0 (Call, 1);
  call->service = service_ref (service);
  call->invocation = invocation;
  for (gsize i = 0; i < G_N_ELEMENTS (methods); i++)
    if (strcmp (methods[i].name, name) == 0)
      call->method = &methods[i];
  g_assert (call->method != NULL); /* GDBus knows the interface */
  call->text = helper_arguments_describe (parameters);
  count_call (service, sender, 1);
  helper_caller_identify_async (service->config.bus, sender, on_identified, call);
}

static GVariant *
on_get_property (GDBusConnection *bus,
                 const char *sender,
                 const char *path,
                 const char *interface,
                 const char *name,
                 GError **error,
                 gpointer user_data)
{
  return g_variant_new_string (ALCOVE_VERSION);
}

/* --- owners and idleness ---------------------------------------------------------------------- */

static void
on_owner_gone (const char *owner, gpointer user_data)
{
  HelperService *service = user_data;
  Call *call = g_new0 (Call, 1);

  call->service = service_ref (service);
  call->arguments.method = HELPER_GIVE_BACK;
  call->owner = g_strdup (owner);
  call->text = g_strdup (owner);
  enqueue (call);
}

gboolean
helper_service_is_idle (HelperService *service)
{
  g_autoptr (GPtrArray) bound = NULL;

  if (service->n_calls > 0 || service->running || service->waiting.length > 0 ||
      helper_owners_get_n_gone (service->owners) > 0)
    return FALSE;
  bound = helper_list (&service->config, NULL);
  return bound == NULL || bound->len == 0;
}

static gboolean
on_idle_timer (gpointer user_data)
{
  HelperService *service = user_data;

  if (!helper_service_is_idle (service))
    return G_SOURCE_CONTINUE;
  service->idle_timer = 0;
  service->config.idle (service->config.user_data);
  return G_SOURCE_REMOVE;
}

static void
start_idle_timer (HelperService *service)
{
  if (service->idle_timer != 0)
    g_source_remove (service->idle_timer);
  service->idle_timer = 0;
  if (!service->closed && service->config.idle != NULL)
    service->idle_timer = g_timeout_add (service->config.idle_ms, on_idle_timer, service);
}

/* An earlier helper watched for these. */
static gboolean
watch_old_owners (HelperService *service, GError **error)
{
  g_autoptr (GPtrArray) bound = helper_list (&service->config, error);

  for (guint i = 0; bound != NULL && i < bound->len; i++)
    {
      const VfioBinding *binding = g_ptr_array_index (bound, i);

      if (binding->owner != NULL)
        helper_owners_watch (service->owners, binding->owner);
    }
  return bound != NULL;
}

HelperService *
helper_service_new (const HelperConfig *config, GError **error)
{
  static const GDBusInterfaceVTable vtable = { .method_call = on_method_call,
                                               .get_property = on_get_property };
  g_autoptr (HelperService) service = g_new0 (HelperService, 1);

  service->refs = 1;
  service->config = *config;
  service->config.bus = g_object_ref (config->bus);
  service->config.root = g_strdup (config->root);
  service->config.vmm_path = g_strdup (config->vmm_path);
  service->calls = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  service->owners = helper_owners_new (config->bus, on_owner_gone, service);
  if (!watch_old_owners (service, error))
    return NULL;
  service->object = g_dbus_connection_register_object (
      config->bus, HELPER_PATH, alcove_helper1_interface_info (), &vtable, service, NULL, error);
  if (service->object == 0)
    return NULL;
  start_idle_timer (service);
  return g_steal_pointer (&service);
}

void
helper_service_free (HelperService *service)
{
  Call *call;

  if (service == NULL)
    return;
  service->closed = TRUE;
  if (service->object != 0)
    g_dbus_connection_unregister_object (service->config.bus, service->object);
  if (service->idle_timer != 0)
    g_source_remove (service->idle_timer);
  service->idle_timer = 0;
  g_clear_pointer (&service->owners, helper_owners_free);
  while (service->running)
    g_main_context_iteration (NULL, TRUE);
  while ((call = g_queue_pop_head (&service->waiting)) != NULL)
    {
      if (call->invocation != NULL)
        finish (call, NULL,
                g_error_new (VMM_ERROR, VMM_ERROR_BUSY, "The helper ends: call it again"));
      else
        call_free (call);
    }
  service_unref (service);
}
