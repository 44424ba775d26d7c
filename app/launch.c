/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "app/control.h"
#include "app/paths.h"

#define READY_FD       3 /* in the child */
#define READY_LINE_MAX (16 * 1024)

typedef struct
{
  GSubprocess *process;
  GInputStream *ready;
  char *log_path;
  char *program;
  char line[READY_LINE_MAX];
  gsize n;
} Launch;

static void
launch_free (gpointer data)
{
  Launch *launch = data;

  g_clear_object (&launch->process);
  g_clear_object (&launch->ready);
  g_free (launch->log_path);
  g_free (launch->program);
  g_free (launch);
}

gboolean
alcove_launch_parse_ready (const char *line, GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonNode *root, *ok, *message;
  JsonObject *object;

  if (!json_parser_load_from_data (parser, line, -1, NULL) ||
      (root = json_parser_get_root (parser)) == NULL || !JSON_NODE_HOLDS_OBJECT (root))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "The VM process said something else than that it is ready: %.200s", line);
      return FALSE;
    }
  object = json_node_get_object (root);
  ok = json_object_get_member (object, "ok");
  message = json_object_get_member (object, "error");
  if (ok != NULL && json_node_get_value_type (ok) == G_TYPE_BOOLEAN && json_node_get_boolean (ok))
    return TRUE;
  g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
                       message != NULL && json_node_get_value_type (message) == G_TYPE_STRING
                           ? json_node_get_string (message)
                           : "The VM process failed and did not say why");
  return FALSE;
}

/* The last line with something on it, for a process that died before it could say more. */
static char *
dup_last_log_line (const char *path)
{
  g_autofree char *text = NULL;
  g_autofree char *valid = NULL;
  char *newline;
  gsize length;

  if (path == NULL || !g_file_get_contents (path, &text, &length, NULL))
    return NULL;
  valid = g_utf8_make_valid (text + (length > 4096 ? length - 4096 : 0), -1);
  g_strchomp (valid);
  newline = strrchr (valid, '\n');
  return *valid == '\0' ? NULL : g_strdup (newline != NULL ? newline + 1 : valid);
}

static void
on_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Launch *launch = g_task_get_task_data (task);
  g_autofree char *last = NULL, *how = NULL;
  GError *error = NULL;

  if (!g_subprocess_wait_finish (launch->process, result, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  if (g_subprocess_get_if_signaled (launch->process))
    how =
        g_strdup_printf ("was ended by signal %d (%s)", g_subprocess_get_term_sig (launch->process),
                         g_strsignal (g_subprocess_get_term_sig (launch->process)));
  else
    how = g_strdup_printf ("ended with status %d", g_subprocess_get_exit_status (launch->process));
  last = dup_last_log_line (launch->log_path);
  g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
                           "The VM process %s before it was ready%s%s%s%s", how,
                           last != NULL ? ": " : "", last != NULL ? last : "",
                           launch->log_path != NULL ? ". Its log is " : "",
                           launch->log_path != NULL ? launch->log_path : "");
}

static void
on_ready_read (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Launch *launch = g_task_get_task_data (task);
  GError *error = NULL;
  gssize n = g_input_stream_read_finish (launch->ready, result, &error);
  char *newline;

  if (n < 0)
    {
      g_subprocess_send_signal (launch->process, SIGTERM);
      g_task_return_error (task, error);
      return;
    }
  launch->n += (gsize)n;
  launch->line[launch->n] = '\0';
  newline = memchr (launch->line, '\n', launch->n);
  if (newline == NULL && n > 0 && launch->n < sizeof launch->line - 1)
    {
      g_input_stream_read_async (launch->ready, launch->line + launch->n,
                                 sizeof launch->line - 1 - launch->n, G_PRIORITY_DEFAULT,
                                 g_task_get_cancellable (task), on_ready_read, g_object_ref (task));
      return;
    }
  if (launch->n == 0)
    {
      g_subprocess_wait_async (launch->process, g_task_get_cancellable (task), on_ended,
                               g_object_ref (task));
      return;
    }
  if (newline != NULL)
    *newline = '\0';
  if (!alcove_launch_parse_ready (launch->line, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  g_task_return_pointer (task, g_object_ref (launch->process), g_object_unref);
}

/* Between fork and exec: only async-signal-safe calls. */
static void
child_setup (gpointer user_data)
{
  (void)setsid ();
}

static gboolean
rotate_log (const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *older = g_strconcat (path, ".1", NULL);

  if (g_mkdir_with_parents (folder, 0700) < 0)
    {
      int saved = errno;

      g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (saved),
                   "The folder %s for the log cannot be made: %s", folder, g_strerror (saved));
      return FALSE;
    }
  (void)g_rename (path, older); /* usually the first time there is none */
  return TRUE;
}

static GSubprocess *
spawn (const AlcoveLaunchSpec *spec, const char *program, int ready_fd, GError **error)
{
  g_autoptr (GSubprocessLauncher) launcher = NULL;
  const char *argv[16];
  guint n = 0;
  GSubprocessFlags flags = G_SUBPROCESS_FLAGS_NONE;

  if (!spec->stdio && spec->log_path == NULL)
    flags |= G_SUBPROCESS_FLAGS_STDOUT_SILENCE;
  if (spec->stdio)
    flags |= G_SUBPROCESS_FLAGS_STDIN_INHERIT;
  launcher = g_subprocess_launcher_new (flags);
  argv[n++] = program;
  argv[n++] = spec->folder != NULL ? "--machine" : "--conf";
  argv[n++] = spec->folder != NULL ? spec->folder : spec->conf;
  argv[n++] = "--runtime-dir";
  argv[n++] = spec->runtime_dir;
  argv[n++] = "--ready-fd";
  argv[n++] = G_STRINGIFY (READY_FD);
  if (spec->paused)
    argv[n++] = "--paused";
  if (spec->disposable)
    argv[n++] = "--disposable";
  if (spec->discard_saved && spec->restore == NULL)
    argv[n++] = "--discard-saved";
  if (spec->restore != NULL)
    {
      argv[n++] = "--restore";
      argv[n++] = spec->restore;
    }
  if (spec->restore != NULL && spec->consume)
    argv[n++] = "--consume";
  if (spec->restore != NULL && spec->new_generation)
    argv[n++] = "--new-generation";
  argv[n++] = NULL;
  if (spec->log_path != NULL)
    {
      int fd;

      if (!rotate_log (spec->log_path, error))
        return NULL;
      fd = open (spec->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
      if (fd < 0)
        {
          int saved = errno;

          g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (saved),
                       "The log %s cannot be written: %s", spec->log_path, g_strerror (saved));
          return NULL;
        }
      if (!spec->stdio)
        g_subprocess_launcher_take_stdout_fd (launcher, fcntl (fd, F_DUPFD_CLOEXEC, 0));
      g_subprocess_launcher_take_stderr_fd (launcher, fd);
    }
  if (!spec->foreground)
    g_subprocess_launcher_set_child_setup (launcher, child_setup, NULL, NULL);
  g_subprocess_launcher_take_fd (launcher, ready_fd, READY_FD);
  return g_subprocess_launcher_spawnv (launcher, argv, error);
}

void
alcove_launch_async (const AlcoveLaunchSpec *spec,
                     GCancellable *cancellable,
                     GAsyncReadyCallback callback,
                     gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Launch *launch = g_new0 (Launch, 1);
  g_autofree char *runtime_root = g_path_get_dirname (spec->runtime_dir);
  GError *error = NULL;
  int fds[2];

  g_task_set_source_tag (task, alcove_launch_async);
  g_task_set_task_data (task, launch, launch_free);
  launch->program = alcove_paths_dup_vmm ();
  launch->log_path = g_strdup (spec->log_path);
  if (alcove_control_is_served (spec->runtime_dir))
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                               "Another machine with the same uuid runs: give a copied machine a "
                               "uuid of its own in its machine.conf");
      return;
    }
  if (!alcove_paths_ensure_private (runtime_root, &error) ||
      !g_unix_open_pipe (fds, FD_CLOEXEC, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  launch->process = spawn (spec, launch->program, fds[1], &error);
  if (launch->process == NULL)
    {
      close (fds[0]);
      g_prefix_error (&error, "The VM process %s cannot be started: ", launch->program);
      g_task_return_error (task, error);
      return;
    }
  launch->ready = g_unix_input_stream_new (fds[0], TRUE);
  g_input_stream_read_async (launch->ready, launch->line, sizeof launch->line - 1,
                             G_PRIORITY_DEFAULT, cancellable, on_ready_read, g_object_ref (task));
}

GSubprocess *
alcove_launch_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
