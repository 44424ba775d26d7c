/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove-vmm: the process of one running machine. Opens what the machine needs, confines itself,
 * runs the guest, serves the control connection, and ends with the machine.
 *
 * Exit status: 0 after an orderly stop, the debug-exit status ((value << 1) | 1) where the guest
 * wrote one, 1 when the machine failed or could not start, 2 usage. */
#include <glib-unix.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <unistd.h>

#include "app/lock.h"
#include "app/runner/confine.h"
#include "app/runner/control.h"
#include "app/runner/disposable.h"
#include "app/runner/machine.h"
#include "app/runner/options.h"
#include "app/runner/recovery.h"
#include "app/runner/restoring.h"
#include "app/runner/schedule.h"
#include "app/saved.h"

typedef struct
{
  RunnerOptions options;
  GMainLoop *loop;
  AlcoveDefinition *definition;
  AlcoveLock *lock; /* (nullable) throw-away machines need none */
  RunnerMachine *machine;
  RunnerControl *control;       /* (nullable) */
  RunnerRestoring *restoring;   /* (nullable) */
  RunnerDisposable *disposable; /* (nullable) */
  RunnerSchedule *schedule;     /* (nullable) */
  char *saved;                  /* (nullable) the folder that the machine was saved to: it ends */
  gboolean ended;               /* in good order */
  int status;
} Program;

/* A state change on its way from a vCPU thread to the main loop. */
typedef struct
{
  Program *program;
  VmmStateChange change;
  char *detail;
} Event;

static void
report_ready (Program *program, const GError *error)
{
  g_autoptr (JsonBuilder) builder = json_builder_new_immutable ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *line = NULL;

  if (program->options.ready_fd < 0)
    return;
  json_builder_begin_object (builder);
  if (error == NULL)
    {
      json_builder_set_member_name (builder, "ok");
      json_builder_add_boolean_value (builder, TRUE);
    }
  else
    {
      json_builder_set_member_name (builder, "error");
      json_builder_add_string_value (builder, error->message);
    }
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  line = json_to_string (root, FALSE);
  /* Whoever started us may be gone: then nobody wants to know. */
  if (dprintf (program->options.ready_fd, "%s\n", line) < 0)
    g_debug ("nobody reads the start report");
  close (program->options.ready_fd);
  program->options.ready_fd = -1;
}

static const char *
state_name (VmmRunState state)
{
  switch (state)
    {
    case VMM_STATE_RUNNING:
      return "running";
    case VMM_STATE_PAUSED:
      return "paused";
    case VMM_STATE_STOPPED:
      return "stopped";
    case VMM_STATE_FAILED:
      return "failed";
    case VMM_STATE_CREATED:
    default:
      return "starting";
    }
}

static int
exit_status (const VmmStateChange *change)
{
  if (change->reason == VMM_REASON_DEBUG_EXIT)
    return ((change->value << 1) | 1) & 0xff;
  return change->state == VMM_STATE_FAILED ? 1 : 0;
}

static void
stop (Program *program, const VmmStateChange *change, const char *detail)
{
  g_autoptr (GError) error = NULL;

  vmm_vm_stop (runner_machine_get_vm (program->machine));
  program->status = exit_status (change);
  program->ended = change->state == VMM_STATE_STOPPED;
  if (!runner_machine_flush (program->machine, &error))
    {
      fprintf (stderr, "alcove-vmm: %s\n", error->message);
      program->status = 1;
    }
  if (change->state == VMM_STATE_FAILED)
    fprintf (stderr, "alcove-vmm: the machine failed (%s): %s\n",
             vmm_reason_to_string (change->reason), detail);
  if (!program->options.wait)
    g_main_loop_quit (program->loop);
}

static gboolean
on_event (gpointer user_data)
{
  Event *event = user_data;
  Program *program = event->program;
  const char *detail = event->detail != NULL ? event->detail : "";
  SpiceBackend *spice = runner_machine_get_spice (program->machine);

  /* A server that believes the machine is stopped draws nothing for clients of its listener. */
  if (spice != NULL)
    spice_backend_set_running (spice, event->change.state == VMM_STATE_RUNNING);
  if (event->change.state == VMM_STATE_RUNNING)
    runner_machine_retry_disks (program->machine);
  if (program->control != NULL)
    runner_control_set_state (program->control, state_name (event->change.state),
                              vmm_reason_to_string (event->change.reason), detail);
  if (event->change.state == VMM_STATE_STOPPED || event->change.state == VMM_STATE_FAILED)
    stop (program, &event->change, detail);
  return G_SOURCE_REMOVE;
}

static void
free_event (gpointer data)
{
  Event *event = data;

  g_free (event->detail);
  g_free (event);
}

/* Any thread. */
static void
on_state (VmmVm *vm, const VmmStateChange *change, gpointer user_data)
{
  Event *event = g_new0 (Event, 1);

  event->program = user_data;
  event->change = *change;
  event->change.detail = NULL;
  event->detail = g_strdup (change->detail);
  g_idle_add_full (G_PRIORITY_DEFAULT, on_event, event, free_event);
}

/* Quit of the control protocol, SIGTERM, SIGINT: an orderly end, whatever the guest does. */
static void
quit (gpointer user_data)
{
  Program *program = user_data;
  VmmStateChange change = { VMM_STATE_STOPPED, VMM_REASON_USER, 0, NULL };

  program->options.wait = FALSE;
  if (program->control != NULL)
    runner_control_set_state (program->control, "stopped", "user", "");
  stop (program, &change, "");
}

/* Save of the control protocol: the machine stands and ends. */
static void
saved (const char *folder, gpointer user_data)
{
  Program *program = user_data;

  program->saved = g_strdup (folder);
  program->options.wait = FALSE;
  runner_control_set_state (program->control, "stopped", "saved", "");
  vmm_vm_stop (runner_machine_get_vm (program->machine));
  g_main_loop_quit (program->loop);
}

static gboolean
on_signal (gpointer user_data)
{
  quit (user_data);
  return G_SOURCE_REMOVE;
}

/* From here on the definition is that of the overlays. */
static gboolean
make_disposable (Program *program, GError **error)
{
  program->disposable =
      runner_disposable_new (program->options.machine, program->definition, error);
  if (program->disposable == NULL)
    return FALSE;
  g_clear_object (&program->definition);
  program->definition = g_object_ref (runner_disposable_get_definition (program->disposable));
  return TRUE;
}

/* A card that was written in by hand gets a slot for hot-plug, with all of its functions in it, for this
 * run: on bus 00 a guest's driver would take it for a part of the board. */
static gboolean
place_cards (AlcoveDefinition *definition, GError **error)
{
  guint n;
  const AlcovePciConfig *const *pcis = alcove_definition_get_pcis (definition, &n);

  for (guint i = 0; i < n; i++)
    if (!pcis[i]->base.address.set)
      return alcove_definition_assign (definition, error);
  return TRUE;
}

static gboolean
load (Program *program, GError **error)
{
  g_autofree char *path = NULL;

  if (program->options.machine != NULL)
    {
      program->lock = alcove_lock_acquire (program->options.machine, ALCOVE_LOCK_RUNS, error);
      if (program->lock == NULL || !runner_recover (&program->options, error))
        return FALSE;
      runner_disposable_clean (program->options.machine);
      path = g_build_filename (program->options.machine, ALCOVE_DEFINITION_FILE, NULL);
    }
  else
    path = g_strdup (program->options.conf);
  program->definition = alcove_definition_load (path, error);
  return program->definition != NULL && place_cards (program->definition, error) &&
         (!program->options.disposable || make_disposable (program, error));
}

static gboolean
start (Program *program, GError **error)
{
  VmmVm *vm;

  if (!load (program, error))
    return FALSE;
  if (program->options.restore != NULL)
    {
      program->restoring = runner_restoring_new (&program->options, program->definition, error);
      if (program->restoring == NULL)
        return FALSE;
    }
  program->machine =
      runner_machine_new (program->definition, program->options.restore != NULL, error);
  if (program->machine == NULL)
    return FALSE;
  if (program->disposable != NULL)
    runner_disposable_opened (program->disposable);
  vm = runner_machine_get_vm (program->machine);
  if (program->options.runtime_dir != NULL)
    {
      program->control =
          runner_control_new (program->machine, program->definition, program->options.runtime_dir,
                              quit, saved, program, error);
      if (program->control == NULL)
        return FALSE;
      runner_control_set_disposable (program->control, program->options.disposable);
    }
  vmm_vm_set_state_func (vm, on_state, program);
  if (!runner_confine (error))
    return FALSE;
  if (program->restoring != NULL)
    return runner_restoring_start (program->restoring, program->machine, program->options.paused,
                                   error);
  return vmm_vm_start (vm, program->options.paused, error);
}

int
main (int argc, char **argv)
{
  Program program = { 0 };
  g_autoptr (GError) error = NULL;

  if (!runner_options_parse (&program.options, argc, argv, &error))
    {
      fprintf (stderr, "alcove-vmm: %s\n", error->message);
      return 2;
    }
  program.loop = g_main_loop_new (NULL, FALSE);
  g_unix_signal_add (SIGTERM, on_signal, &program);
  g_unix_signal_add (SIGINT, on_signal, &program);
  if (start (&program, &error))
    {
      report_ready (&program, NULL);
      if (program.options.machine != NULL && program.control != NULL && !program.options.disposable)
        program.schedule = runner_schedule_new (program.options.machine, program.definition);
      g_main_loop_run (program.loop);
    }
  else
    {
      gboolean told = program.options.ready_fd >= 0 && program.options.conf != NULL;

      report_ready (&program, error);
      /* A machine's log keeps it; on the terminal of "alcove run" once is enough. */
      if (!told)
        fprintf (stderr, "alcove-vmm: %s\n", error->message);
      program.status = 1;
    }
  runner_schedule_free (program.schedule);
  runner_control_free (program.control);
  runner_restoring_free (program.restoring, program.ended);
  runner_machine_free (program.machine);
  runner_disposable_free (program.disposable);
  /* Closing an image may still write to it; the record must tell of it as it lies there. */
  if (program.saved != NULL &&
      !alcove_saved_write_record (program.saved, program.definition, FALSE, &error))
    {
      fprintf (stderr, "alcove-vmm: %s\n", error->message);
      program.status = 1;
    }
  g_free (program.saved);
  g_clear_object (&program.definition);
  alcove_lock_release (program.lock);
  runner_options_clear (&program.options);
  g_main_loop_unref (program.loop);
  return program.status;
}
