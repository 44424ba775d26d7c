/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cards on their way into a running machine. The host is asked for them on a thread, which may take as
 * long as somebody looks for a password; only what was got is plugged in. Until then nothing of it is
 * in the machine or its definition, so that whatever ends the wait leaves nothing behind. */
#include <stdio.h>
#include <string.h>

#include "app/error.h"
#include "app/runner/passthrough-private.h"

#define HELD_MS 200 /* how often a hold is looked at */

typedef struct
{
  RunnerMachine *machine;
  GStrv groups;
  GPtrArray *names; /* of char * */
  RunnerWanted wanted;
  GCancellable *cancellable; /* ours */
  GCancellable *outer;       /* (nullable) the caller's */
  gulong outer_handler;
  AlcoveBinding *binding; /* (nullable) got, and not yet the machine's */
  GError *error;          /* (nullable) while it is given back */
  guint timer;
  RunnerAddFunc done;
  RunnerRemoveFunc removed; /* (nullable) who had it cancelled */
  gpointer user_data, removed_data;
} CardAdd;

static void
add_free (CardAdd *add)
{
  if (add->outer != NULL)
    g_cancellable_disconnect (add->outer, add->outer_handler);
  g_clear_object (&add->outer);
  g_object_unref (add->cancellable);
  g_clear_handle_id (&add->timer, g_source_remove);
  g_strfreev (add->groups);
  g_strfreev (add->wanted.hosts);
  g_ptr_array_unref (add->names);
  g_clear_error (&add->error);
  g_free (add);
}

/* groups: (nullable). error: (transfer full) (nullable). */
static void
end_add (CardAdd *add, const char *const *groups, GError *error)
{
  g_autoptr (GError) owned = error;

  g_ptr_array_remove (add->machine->card_adds, add);
  add->done (groups, owned, add->user_data);
  if (add->removed != NULL)
    add->removed (NULL, add->removed_data);
  add_free (add);
}

static GError *
make_cancelled_error (CardAdd *add)
{
  const char *name = g_ptr_array_index (add->names, 0);

  if (add->machine->no_more_adds)
    return g_error_new (ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                        "The machine stopped before “%s” was added", name);
  return g_error_new (ALCOVE_ERROR, ALCOVE_ERROR_CANCELLED,
                      "Adding “%s” was cancelled: the host keeps it", name);
}

static void
on_given_back (GObject *source, GAsyncResult *result, gpointer user_data)
{
  CardAdd *add = user_data;
  g_autoptr (GError) error = NULL;

  if (!alcove_binding_give_back_finish (result, &error))
    fprintf (stderr, "alcove-vmm: %s\n", error->message);
  g_clear_pointer (&add->binding, alcove_binding_free);
  end_add (add, NULL, g_steal_pointer (&add->error));
}

/* error: (transfer full). */
static void
fail_add (CardAdd *add, GError *error)
{
  if (add->binding == NULL)
    {
      end_add (add, NULL, error);
      return;
    }
  add->error = error;
  alcove_binding_give_back_async (add->binding, on_given_back, add);
}

/* What was to be got is there. */
static gboolean
go_on (gpointer user_data)
{
  CardAdd *add = user_data;
  g_auto (GStrv) results = NULL;
  GError *error = NULL;

  add->timer = 0;
  if (g_cancellable_is_cancelled (add->cancellable))
    {
      fail_add (add, make_cancelled_error (add));
      return G_SOURCE_REMOVE;
    }
  if (runner_hotplug_is_held (add->machine))
    {
      add->timer = g_timeout_add (HELD_MS, go_on, add);
      return G_SOURCE_REMOVE;
    }
  results = runner_passthrough_plug (add->machine, (const char *const *)add->groups, &add->binding,
                                     &error);
  if (results != NULL)
    end_add (add, (const char *const *)results, NULL);
  else
    fail_add (add, error);
  return G_SOURCE_REMOVE;
}

static void
on_prepared (GObject *source, GAsyncResult *result, gpointer user_data)
{
  CardAdd *add = user_data;
  GError *error = NULL;

  add->binding = alcove_binding_prepare_finish (result, &error);
  /* What is ready can be tried: where the limit on locked memory is too low, that is said then. */
  if (add->binding == NULL && add->wanted.ready)
    g_clear_error (&error);
  if (error == NULL || g_cancellable_is_cancelled (add->cancellable))
    {
      g_clear_error (&error);
      go_on (add);
      return;
    }
  g_prefix_error (&error, "[pci %s]: ", (char *)g_ptr_array_index (add->names, 0));
  fail_add (add, error);
}

static gboolean
has_name (CardAdd *add, const char *name)
{
  return g_ptr_array_find_with_equal_func (add->names, name, g_str_equal, NULL);
}

/* One that is on its way already, by its name or of the host. */
static gboolean
is_coming (RunnerMachine *self, GPtrArray *names, const RunnerWanted *wanted, GError **error)
{
  for (guint i = 0; i < self->card_adds->len; i++)
    {
      CardAdd *other = g_ptr_array_index (self->card_adds, i);
      gboolean same = FALSE;

      for (guint j = 0; j < names->len; j++)
        same = same || has_name (other, g_ptr_array_index (names, j));
      for (guint j = 0; wanted->hosts != NULL && wanted->hosts[j] != NULL; j++)
        same =
            same || (other->wanted.hosts != NULL &&
                     g_strv_contains ((const char *const *)other->wanted.hosts, wanted->hosts[j]));
      if (!same)
        continue;
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                   "“%s” is being added already: answer the question for the password, or remove "
                   "the device to end it",
                   (char *)g_ptr_array_index (other->names, 0));
      return TRUE;
    }
  return FALSE;
}

/* Any thread: who asked has left. */
static void
on_outer_cancelled (GCancellable *outer, gpointer user_data)
{
  g_cancellable_cancel (user_data);
}

void
runner_passthrough_add (RunnerMachine *self,
                        const char *const *groups,
                        GCancellable *cancellable,
                        RunnerAddFunc done,
                        gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  RunnerWanted wanted = { 0 };
  GPtrArray *names = NULL;
  CardAdd *add;

  if (self->no_more_adds)
    g_set_error_literal (&error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE, "The machine is stopping");
  else if (runner_passthrough_check (self, groups, &names, &wanted, &error))
    is_coming (self, names, &wanted, &error);
  if (error != NULL)
    {
      g_clear_pointer (&names, g_ptr_array_unref);
      g_strfreev (wanted.hosts);
      done (NULL, error, user_data);
      return;
    }
  add = g_new0 (CardAdd, 1);
  add->machine = self;
  add->groups = g_strdupv ((char **)groups);
  add->names = names;
  add->wanted = wanted;
  add->cancellable = g_cancellable_new ();
  add->done = done;
  add->user_data = user_data;
  g_ptr_array_add (self->card_adds, add);
  if (cancellable != NULL)
    {
      add->outer = g_object_ref (cancellable);
      add->outer_handler = g_cancellable_connect (cancellable, G_CALLBACK (on_outer_cancelled),
                                                  g_object_ref (add->cancellable), g_object_unref);
    }
  if (wanted.hosts == NULL)
    go_on (add);
  else
    alcove_binding_prepare_async ((const char *const *)wanted.hosts, wanted.memlock,
                                  add->cancellable, on_prepared, add);
}

gboolean
runner_passthrough_cancel_add (RunnerMachine *self,
                               const char *name,
                               RunnerRemoveFunc done,
                               gpointer user_data)
{
  for (guint i = 0; i < self->card_adds->len; i++)
    {
      CardAdd *add = g_ptr_array_index (self->card_adds, i);

      if (!has_name (add, name))
        continue;
      if (add->removed != NULL)
        {
          g_autoptr (GError) error =
              g_error_new (ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                           "Adding “%s” is being cancelled already: wait a moment", name);

          done (error, user_data);
          return TRUE;
        }
      add->removed = done;
      add->removed_data = user_data;
      g_cancellable_cancel (add->cancellable);
      return TRUE;
    }
  return FALSE;
}

void
runner_passthrough_cancel (RunnerMachine *self,
                           const char *name,
                           RunnerRemoveFunc done,
                           gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  if (runner_passthrough_cancel_add (self, name, done, user_data))
    return;
  g_set_error (&error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND, "“%s” is not being added", name);
  done (error, user_data);
}

void
runner_passthrough_close_adds (RunnerMachine *self)
{
  self->no_more_adds = TRUE;
  for (guint i = 0; i < self->card_adds->len; i++)
    g_cancellable_cancel (((CardAdd *)g_ptr_array_index (self->card_adds, i))->cancellable);
  while (self->card_adds->len > 0)
    g_main_context_iteration (NULL, TRUE);
}
