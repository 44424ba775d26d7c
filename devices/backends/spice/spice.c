/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/backends/spice/spice-private.h"
#include "devices/backends/spice/module.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spice/protocol.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LEAVE_MS 100

/* A call that another thread waits for. */
typedef struct
{
  void (*func) (gpointer data);
  gpointer data;
  GMutex lock;
  GCond cond;
  gboolean done;
} Call;

static gboolean
call_run (gpointer user_data)
{
  Call *call = user_data;

  call->func (call->data);
  g_mutex_lock (&call->lock);
  call->done = TRUE;
  g_cond_signal (&call->cond);
  g_mutex_unlock (&call->lock);
  return G_SOURCE_REMOVE;
}

/* Runs func on the SPICE thread and waits. */
static void
spice_call (SpiceBackend *spice, void (*func) (gpointer data), gpointer data)
{
  Call call = { .func = func, .data = data };
  GSource *source = g_idle_source_new ();

  g_mutex_init (&call.lock);
  g_cond_init (&call.cond);
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, call_run, &call, NULL);
  g_source_attach (source, spice->context);
  g_source_unref (source);
  g_mutex_lock (&call.lock);
  while (!call.done)
    g_cond_wait (&call.cond, &call.lock);
  g_mutex_unlock (&call.lock);
  g_mutex_clear (&call.lock);
  g_cond_clear (&call.cond);
}

static gpointer
spice_thread (gpointer data)
{
  SpiceBackend *spice = data;
  sigset_t pipe_signal;

  /* The server writes to sockets whose client may be gone. Its workers inherit the mask. */
  sigemptyset (&pipe_signal);
  sigaddset (&pipe_signal, SIGPIPE);
  pthread_sigmask (SIG_BLOCK, &pipe_signal, NULL);
  spice_core_set_current (spice);
  g_main_context_push_thread_default (spice->context);
  g_main_loop_run (spice->loop);
  g_main_context_pop_thread_default (spice->context);
  return NULL;
}

/* A passed fd is an end of a socketpair: its local address is an unnamed AF_UNIX one. Whatever the
 * listener accepted has the listener's address. */
static gboolean
came_by_fd (const SpiceChannelEventInfo *info)
{
  if (!(info->flags & SPICE_CHANNEL_EVENT_FLAG_ADDR_EXT))
    return FALSE;
  return info->laddr_ext.ss_family == AF_UNIX &&
         (info->llen_ext <= G_STRUCT_OFFSET (struct sockaddr_un, sun_path) ||
          ((const struct sockaddr_un *)&info->laddr_ext)->sun_path[0] == '\0');
}

static void
apply_client (gpointer user_data)
{
  SpiceBackend *spice = user_data;

  if (spice->input_release)
    {
      spice->input_release = FALSE;
      spice_input_client_gone (spice->input);
    }
  for (guint i = 0; i < spice->n_displays; i++)
    {
      spice_display_wait_for_draw (spice->displays[i]);
      spice_display_set_show (spice->displays[i], spice->show);
    }
}

/* Mostly the main channel matters: one client at a time, and a new one pushes the old one out. The
 * work waits for the loop's next turn: the server is in the middle of something here. The client's
 * other channels come later, after it has seen the main channel's answer. */
void
spice_backend_channel_event (SpiceBackend *spice, int event, SpiceChannelEventInfo *info)
{
  if (event == SPICE_CHANNEL_EVENT_CONNECTED)
    g_hash_table_insert (spice->arriving, info, GINT_TO_POINTER (spice->admitted_fd));
  else
    g_hash_table_remove (spice->arriving, info);
  if (info->type == SPICE_CHANNEL_CURSOR && event == SPICE_CHANNEL_EVENT_INITIALIZED)
    for (guint i = 0; i < spice->n_displays; i++)
      spice_display_repeat_cursor (spice->displays[i]);
  if (info->type != SPICE_CHANNEL_MAIN)
    return;
  if (event == SPICE_CHANNEL_EVENT_INITIALIZED)
    {
      spice->input_release = spice->has_client;
      spice->has_client = TRUE;
      spice->connection_id = info->connection_id;
      spice->show = came_by_fd (info) ? SPICE_SHOW_SCANOUT : SPICE_SHOW_DRAWABLES;
    }
  else if (event == SPICE_CHANNEL_EVENT_DISCONNECTED && spice->has_client &&
           info->connection_id == spice->connection_id)
    {
      spice->has_client = FALSE;
      spice->input_release = TRUE;
      spice->show = SPICE_SHOW_NOTHING;
    }
  else
    {
      return;
    }
  g_atomic_int_set (&spice->n_clients, spice->has_client);
  for (guint i = 0; i < spice->n_displays; i++)
    spice_display_hold (spice->displays[i]);
  if (spice->client_wake != NULL)
    spice_wake (spice->client_wake);
}

typedef struct
{
  SpiceBackend *spice;
  const SpiceConfig *config;
  GError *error;
} Setup;

static gboolean
set_up_password (SpiceBackend *spice, GError **error)
{
  if (spice->password == NULL)
    {
      spice_server_set_noauth (spice->server);
      return TRUE;
    }
  if (spice_server_set_ticket (spice->server, spice->password, 0, FALSE, FALSE) == 0)
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
               "the SPICE password was refused: use at most %d bytes", SPICE_MAX_PASSWORD_LENGTH);
  return FALSE;
}

static gboolean
start_server (SpiceBackend *spice, GError **error)
{
  spice->server = spice_server_new ();
  if (!set_up_password (spice, error))
    return FALSE;
  /* Local sockets: compressing and guessing at video costs more than it saves, and loses pixels. */
  spice_server_set_image_compression (spice->server, SPICE_IMAGE_COMPRESSION_OFF);
  spice_server_set_streaming_video (spice->server, SPICE_STREAM_VIDEO_OFF);
  spice_server_set_playback_compression (spice->server, FALSE);
  /* The agent must not take the pointer away from the tablet. */
  spice_server_set_agent_mouse (spice->server, FALSE);
  spice_server_set_name (spice->server, spice->name);
  spice_server_set_uuid (spice->server, spice->uuid);
  if (spice_server_init (spice->server, &spice->core) != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_FAILED, "the SPICE server of “%s” did not start",
                   spice->name);
      return FALSE;
    }
  return TRUE;
}

/* *ret_fd stays -1 when none is wanted. */
static gboolean
open_listener (SpiceBackend *spice, int *ret_fd, GError **error)
{
  if (spice->listen_unix != NULL)
    *ret_fd = spice_listener_open_unix (spice->listen_unix, error);
  else if (spice->listen_tcp != NULL)
    *ret_fd = spice_listener_open_tcp (spice->listen_tcp, error);
  else
    return TRUE;
  if (*ret_fd < 0)
    g_prefix_error (error, "the SPICE server of “%s”: ", spice->name);
  return *ret_fd >= 0;
}

typedef struct
{
  SpiceBackend *spice;
  int fd; /* -1: the server has it */
  gboolean trusted;
} Admission;

static void
admission_free (gpointer data)
{
  Admission *admission = data;

  if (admission->fd >= 0)
    close (admission->fd);
  g_free (admission);
}

static gboolean
admit_client (gpointer data)
{
  Admission *admission = data;

  SpiceBackend *spice = admission->spice;

  if (spice->closing)
    return G_SOURCE_REMOVE;
  spice->admitted_fd = admission->fd;
  if (spice_server_add_client (spice->server, admission->fd, admission->trusted) == 0)
    admission->fd = -1;
  return G_SOURCE_REMOVE;
}

/* Gate's thread. */
static void
on_admit (int fd, gboolean trusted, gpointer user_data)
{
  SpiceBackend *spice = user_data;
  Admission *admission = g_new (Admission, 1);
  GSource *source = g_idle_source_new ();

  *admission = (Admission){ spice, fd, trusted };
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, admit_client, admission, admission_free);
  g_source_attach (source, spice->context);
  g_source_unref (source);
}

static void
set_up (gpointer data)
{
  Setup *setup = data;
  SpiceBackend *spice = setup->spice;

  int listener = -1;

  if (!start_server (spice, &setup->error) || !open_listener (spice, &listener, &setup->error))
    {
      g_clear_pointer (&spice->server, spice_server_destroy);
      return;
    }
  spice->client_wake = spice_wake_new (spice, apply_client, spice);
  spice->displays = g_new0 (SpiceDisplay *, setup->config->n_scanouts);
  spice->n_displays = setup->config->n_scanouts;
  for (guint i = 0; i < spice->n_displays; i++)
    spice->displays[i] = spice_display_new (spice, setup->config->scanouts[i], i);
  spice->input = spice_input_new (spice, setup->config->router);
  spice->gate = spice_gate_new (listener, on_admit, spice);
}

/* spice_server_destroy forgets clients that are in the middle of their link message, and their sockets
 * go on calling it. They are ended first; that is seen at once. */
static void
turn_away (SpiceBackend *spice)
{
  gint64 end = g_get_monotonic_time () + LEAVE_MS * G_TIME_SPAN_MILLISECOND;
  GHashTableIter iter;
  gpointer fd;

  g_hash_table_iter_init (&iter, spice->arriving);
  while (g_hash_table_iter_next (&iter, NULL, &fd))
    shutdown (GPOINTER_TO_INT (fd), SHUT_RDWR);
  while (g_hash_table_size (spice->arriving) > 0 && g_get_monotonic_time () < end)
    if (!g_main_context_iteration (spice->context, FALSE))
      g_usleep (1000);
}

static void
tear_down (gpointer data)
{
  SpiceBackend *spice = data;

  if (spice->server == NULL)
    return;
  spice->closing = TRUE;
  spice_gate_close (spice->gate);
  turn_away (spice);
  spice_wake_free (g_steal_pointer (&spice->client_wake));
  spice_input_stop (spice->input);
  for (guint i = 0; i < spice->n_displays; i++)
    spice_display_set_show (spice->displays[i], SPICE_SHOW_NOTHING);
  if (spice->running)
    spice_server_vm_stop (spice->server);
  spice_server_destroy (spice->server);
  spice_core_set_current (NULL);
  g_clear_pointer (&spice->gate, spice_gate_free);
  for (guint i = 0; i < spice->n_displays; i++)
    spice_display_free (spice->displays[i]);
  spice_input_free (spice->input);
}

static gboolean
check_config (const SpiceConfig *config, GError **error)
{
  if (config->listen_unix != NULL && config->listen_tcp != NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” asks for two SPICE listeners: choose a unix socket or TCP", config->name);
      return FALSE;
    }
  if (config->listen_unix != NULL &&
      strlen (config->listen_unix) >= sizeof ((struct sockaddr_un *)NULL)->sun_path)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "the SPICE socket path %s is too long: use at most %zu bytes",
                   config->listen_unix, sizeof ((struct sockaddr_un *)NULL)->sun_path - 1);
      return FALSE;
    }
  if (config->listen_tcp != NULL && (config->password == NULL || config->password[0] == '\0'))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "the SPICE listener of “%s” on %s has no password: set one", config->name,
                   config->listen_tcp);
      return FALSE;
    }
  return TRUE;
}

static void
real_free (SpiceBackend *spice)
{
  if (spice == NULL)
    return;
  spice_call (spice, tear_down, spice);
  g_main_loop_quit (spice->loop);
  g_thread_join (spice->thread);
  g_main_loop_unref (spice->loop);
  g_main_context_unref (spice->context);
  g_hash_table_unref (spice->arriving);
  g_free (spice->displays);
  g_free (spice->name);
  g_free (spice->listen_unix);
  g_free (spice->listen_tcp);
  g_free (spice->password);
  g_free (spice);
}

static SpiceBackend *
real_new (const SpiceConfig *config, GError **error)
{
  SpiceBackend *spice;
  Setup setup;

  if (!check_config (config, error))
    return NULL;
  spice = g_new0 (SpiceBackend, 1);
  spice->name = g_strdup (config->name);
  memcpy (spice->uuid, config->uuid, sizeof spice->uuid);
  spice->listen_unix = g_strdup (config->listen_unix);
  spice->listen_tcp = g_strdup (config->listen_tcp);
  spice->password = g_strdup (config->password);
  spice_core_init (&spice->core);
  spice->arriving = g_hash_table_new (NULL, NULL);
  spice->context = g_main_context_new ();
  spice->loop = g_main_loop_new (spice->context, FALSE);
  spice->thread = g_thread_new ("spice", spice_thread, spice);
  setup = (Setup){ spice, config, NULL };
  spice_call (spice, set_up, &setup);
  if (setup.error != NULL)
    {
      g_propagate_error (error, setup.error);
      real_free (spice);
      return NULL;
    }
  return spice;
}

static gboolean
real_add_client (SpiceBackend *spice, int fd, GError **error)
{
  int type = 0;
  socklen_t length = sizeof type;

  if (getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_STREAM)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "a SPICE client of “%s” must come with a connected stream socket", spice->name);
      if (fd >= 0)
        close (fd);
      return FALSE;
    }
  spice_gate_add (spice->gate, fd, TRUE);
  return TRUE;
}

typedef struct
{
  SpiceBackend *spice;
  gboolean running;
} SetRunning;

static void
set_running (gpointer data)
{
  SetRunning *set = data;

  if (set->spice->running == set->running)
    return;
  set->spice->running = set->running;
  if (set->running)
    spice_server_vm_start (set->spice->server);
  else
    spice_server_vm_stop (set->spice->server);
}

static void
real_set_running (SpiceBackend *spice, gboolean running)
{
  SetRunning set = { spice, !!running };

  spice_call (spice, set_running, &set);
}

static guint
real_get_n_clients (SpiceBackend *spice)
{
  return (guint)g_atomic_int_get (&spice->n_clients);
}

G_MODULE_EXPORT const SpiceModule alcove_spice_module = {
  .abi = SPICE_MODULE_ABI,
  .backend_new = real_new,
  .backend_free = real_free,
  .add_client = real_add_client,
  .set_running = real_set_running,
  .get_n_clients = real_get_n_clients,
};
