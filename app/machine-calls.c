/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The operations of a running machine: each connects when need be, calls, and ends. */
#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app/lock.h"
#include "app/machine-private.h"
#include "app/saved.h"

#define SIDE_MAX       16384 /* pixels of a picture */
#define TYPE_MS        60    /* a character, with room */
#define FORCE_OFF_MS   10000
#define FORCE_CHECK_MS 50

/* One call under way. */
typedef struct
{
  const char *method;
  GVariant *arguments;
  GUnixFDList *fds;
  int timeout_ms;
  GVariant *result;
  GUnixFDList *result_fds;
} Call;

static void
call_free (gpointer data)
{
  Call *call = data;

  g_clear_pointer (&call->arguments, g_variant_unref);
  g_clear_object (&call->fds);
  g_clear_pointer (&call->result, g_variant_unref);
  g_clear_object (&call->result_fds);
  g_free (call);
}

static void
on_called (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Call *call = g_task_get_task_data (task);
  GError *error = NULL;

  /* What was handed over is the peer's now: its end must close when the peer closes it. */
  g_clear_object (&call->fds);
  call->result = g_dbus_proxy_call_with_unix_fd_list_finish (G_DBUS_PROXY (source),
                                                             &call->result_fds, result, &error);
  if (call->result == NULL)
    {
      alcove_error_strip_remote (error);
      g_task_return_error (task, error);
      return;
    }
  g_task_return_boolean (task, TRUE);
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = ALCOVE_MACHINE (source);
  Call *call = g_task_get_task_data (task);
  GError *error = NULL;

  if (!alcove_machine_connect_finish (self, result, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  if (self->proxy == NULL)
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE, "%s has just stopped",
                               alcove_machine_get_name (self));
      return;
    }
  g_dbus_proxy_call_with_unix_fd_list (
      G_DBUS_PROXY (self->proxy), call->method, call->arguments, G_DBUS_CALL_FLAGS_NONE,
      call->timeout_ms, call->fds, g_task_get_cancellable (task), on_called, g_object_ref (task));
}

/* arguments: floating, or NULL. fds: (transfer full) (nullable). */
static void
run_call (GTask *task, const char *method, GVariant *arguments, GUnixFDList *fds, int timeout_ms)
{
  Call *call = g_new0 (Call, 1);

  call->method = method;
  call->arguments =
      g_variant_ref_sink (arguments != NULL ? arguments : g_variant_new_tuple (NULL, 0));
  call->fds = fds;
  call->timeout_ms = timeout_ms;
  g_task_set_task_data (task, call, call_free);
  alcove_machine_connect_async (g_task_get_source_object (task), g_task_get_cancellable (task),
                                on_connected, g_object_ref (task));
}

static void
simple_call (AlcoveMachine *self,
             const char *method,
             GVariant *arguments,
             GUnixFDList *fds,
             int timeout_ms,
             GCancellable *cancellable,
             GAsyncReadyCallback callback,
             gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, simple_call);
  run_call (task, method, arguments, fds, timeout_ms);
}

gboolean
alcove_machine_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  return g_task_propagate_boolean (G_TASK (result), error);
}

void
alcove_machine_pause_async (AlcoveMachine *self,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data)
{
  simple_call (self, "Pause", NULL, NULL, -1, cancellable, callback, user_data);
}

void
alcove_machine_resume_async (AlcoveMachine *self,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer user_data)
{
  simple_call (self, "Resume", NULL, NULL, -1, cancellable, callback, user_data);
}

/* Saving: the call, then the end of the process, as the machine's state tells it. */

typedef struct
{
  gulong cancel_handler, state_handler;
} Saving;

static void
on_save_cancelled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  (void)alcove_machine_finish (ALCOVE_MACHINE (source), result, NULL); /* the save's end tells */
}

static void
on_cancel_wanted (GCancellable *cancellable, gpointer user_data)
{
  alcove_machine_cancel_save_async (user_data, NULL, on_save_cancelled, NULL);
}

static void
end_saving (GTask *task)
{
  Saving *saving = g_object_get_data (G_OBJECT (task), "saving");
  GCancellable *cancellable = g_object_get_data (G_OBJECT (task), "wanted");
  gpointer self = g_task_get_source_object (task);

  if (saving->cancel_handler != 0)
    g_signal_handler_disconnect (cancellable, saving->cancel_handler);
  saving->cancel_handler = 0;
  if (saving->state_handler != 0)
    g_signal_handler_disconnect (self, saving->state_handler);
  saving->state_handler = 0;
}

static void
on_save_state (AlcoveMachine *self, GParamSpec *pspec, gpointer user_data)
{
  GTask *task = user_data;

  if (alcove_machine_is_active (self))
    return;
  end_saving (task);
  g_task_return_boolean (task, TRUE);
  g_object_unref (task);
}

static void
on_saved (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  AlcoveMachine *self = ALCOVE_MACHINE (source);
  Saving *saving = g_object_get_data (G_OBJECT (task), "saving");
  GError *error = NULL;

  if (!alcove_machine_finish (self, result, &error))
    {
      end_saving (task);
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }
  saving->state_handler =
      g_signal_connect (self, "notify::state", G_CALLBACK (on_save_state), task);
  on_save_state (self, NULL, task);
}

void
alcove_machine_save_async (AlcoveMachine *self,
                           GCancellable *cancellable,
                           GAsyncReadyCallback callback,
                           gpointer user_data)
{
  GTask *task = g_task_new (self, NULL, callback, user_data);
  g_autofree char *folder = alcove_saved_dup_folder (self->folder);
  GVariantBuilder options;
  Saving *saving = g_new0 (Saving, 1);

  g_task_set_source_tag (task, alcove_machine_save_async);
  g_object_set_data_full (G_OBJECT (task), "saving", saving, g_free);
  /* A cancelled call would leave the process saving: it is asked to stop instead. */
  if (cancellable != NULL)
    {
      g_object_set_data_full (G_OBJECT (task), "wanted", g_object_ref (cancellable),
                              g_object_unref);
      saving->cancel_handler =
          g_signal_connect (cancellable, "cancelled", G_CALLBACK (on_cancel_wanted), self);
    }
  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&options, "{sv}", "quit", g_variant_new_boolean (TRUE));
  simple_call (self, "Save", g_variant_new ("(sa{sv})", folder, &options), NULL, G_MAXINT, NULL,
               on_saved, task);
}

void
alcove_machine_cancel_save_async (AlcoveMachine *self,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer user_data)
{
  simple_call (self, "CancelSave", NULL, NULL, -1, cancellable, callback, user_data);
}

void
alcove_machine_reset_async (AlcoveMachine *self,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data)
{
  simple_call (self, "Reset", NULL, NULL, -1, cancellable, callback, user_data);
}

void
alcove_machine_power_button_async (AlcoveMachine *self,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data)
{
  simple_call (self, "PowerButton", NULL, NULL, -1, cancellable, callback, user_data);
}

void
alcove_machine_send_keys_async (AlcoveMachine *self,
                                const guint *keys,
                                guint n_keys,
                                guint hold_ms,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data)
{
  GVariant *array = g_variant_new_fixed_array (G_VARIANT_TYPE_UINT32, keys, n_keys, sizeof *keys);

  simple_call (self, "SendKeys", g_variant_new ("(@auu)", array, hold_ms), NULL,
               25000 + (int)MIN (hold_ms, 600000), cancellable, callback, user_data);
}

void
alcove_machine_type_async (AlcoveMachine *self,
                           const char *text,
                           GCancellable *cancellable,
                           GAsyncReadyCallback callback,
                           gpointer user_data)
{
  gsize n = MIN (strlen (text), 1000000);

  simple_call (self, "Type", g_variant_new ("(s)", text), NULL, 25000 + (int)n * TYPE_MS,
               cancellable, callback, user_data);
}

void
alcove_machine_set_medium_async (AlcoveMachine *self,
                                 const char *drive,
                                 const char *path,
                                 gboolean force,
                                 GCancellable *cancellable,
                                 GAsyncReadyCallback callback,
                                 gpointer user_data)
{
  if (path != NULL)
    simple_call (self, "ChangeMedium", g_variant_new ("(ssb)", drive, path, force), NULL, -1,
                 cancellable, callback, user_data);
  else
    simple_call (self, "EjectMedium", g_variant_new ("(sb)", drive, force), NULL, -1, cancellable,
                 callback, user_data);
}

void
alcove_machine_move_pointer_async (AlcoveMachine *self,
                                   double x,
                                   double y,
                                   guint buttons,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data)
{
  simple_call (self, "MovePointer", g_variant_new ("(ddu)", x, y, buttons), NULL, -1, cancellable,
               callback, user_data);
}

void
alcove_machine_resize_display_async (AlcoveMachine *self,
                                     guint scanout,
                                     guint width,
                                     guint height,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data)
{
  simple_call (self, "ResizeDisplay", g_variant_new ("(uuu)", scanout, width, height), NULL, -1,
               cancellable, callback, user_data);
}

void
alcove_machine_attach_spice_async (AlcoveMachine *self,
                                   int fd,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data)
{
  simple_call (self, "AttachSpice", g_variant_new ("(h)", 0),
               g_unix_fd_list_new_from_array (&fd, 1), /* takes the fd */
               -1, cancellable, callback, user_data);
}

/* The answers with something in them. */

static void
return_call (GTask *task, const char *method, GVariant *arguments)
{
  run_call (task, method, arguments, NULL, -1);
}

void
alcove_picture_free (AlcovePicture *picture)
{
  if (picture == NULL)
    return;
  g_clear_pointer (&picture->pixels, g_bytes_unref);
  g_free (picture);
}

void
alcove_machine_screenshot_async (AlcoveMachine *self,
                                 guint scanout,
                                 GCancellable *cancellable,
                                 GAsyncReadyCallback callback,
                                 gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_machine_screenshot_async);
  return_call (task, "Screenshot", g_variant_new ("(u)", scanout));
}

static gboolean
read_whole (int fd, guint8 *to, gsize n)
{
  gsize done = 0;

  while (done < n)
    {
      ssize_t got = pread (fd, to + done, n - done, (off_t)done);

      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        return FALSE;
      done += (gsize)got;
    }
  return TRUE;
}

/* Read, not mapped: memory of another process may shrink under a mapping. */
static AlcovePicture *
read_picture (int fd, guint width, guint height, guint stride, GError **error)
{
  struct stat st;
  gsize n;
  guint8 *pixels;
  AlcovePicture *picture;

  if (width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX || stride < width * 4 ||
      stride > SIDE_MAX * 4)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "The machine sent a picture of %u x %u pixels with %u bytes a line", width,
                   height, stride);
      return NULL;
    }
  n = (gsize)stride * height;
  if (fstat (fd, &st) < 0 || st.st_size < (off_t)n)
    {
      g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                           "The machine sent a picture that is shorter than it says");
      return NULL;
    }
  pixels = g_try_malloc (n);
  if (pixels == NULL || !read_whole (fd, pixels, n))
    {
      g_free (pixels);
      g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
                           "The machine's picture cannot be read");
      return NULL;
    }
  picture = g_new0 (AlcovePicture, 1);
  picture->width = width;
  picture->height = height;
  picture->stride = stride;
  picture->pixels = g_bytes_new_take (pixels, n);
  return picture;
}

/* The fd at an index of the answer, -1 with error set. (transfer full) */
static int
take_fd (Call *call, gint32 handle, GError **error)
{
  int fd;

  if (call->result_fds == NULL || handle < 0 ||
      handle >= g_unix_fd_list_get_length (call->result_fds))
    {
      g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                           "The machine's answer lacks its file descriptor");
      return -1;
    }
  fd = g_unix_fd_list_get (call->result_fds, handle, error); /* a close-on-exec copy */
  return fd;
}

AlcovePicture *
alcove_machine_screenshot_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  Call *call = g_task_get_task_data (G_TASK (result));
  AlcovePicture *picture;
  gint32 handle;
  guint width, height, stride;
  int fd;

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return NULL;
  g_variant_get (call->result, "(huuu)", &handle, &width, &height, &stride);
  fd = take_fd (call, handle, error);
  if (fd < 0)
    return NULL;
  picture = read_picture (fd, width, height, stride, error);
  close (fd);
  return picture;
}

void
alcove_machine_list_consoles_async (AlcoveMachine *self,
                                    GCancellable *cancellable,
                                    GAsyncReadyCallback callback,
                                    gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_machine_list_consoles_async);
  return_call (task, "ListConsoles", NULL);
}

GStrv
alcove_machine_list_consoles_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  Call *call = g_task_get_task_data (G_TASK (result));
  GStrv names;

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return NULL;
  g_variant_get (call->result, "(^as)", &names);
  return names;
}

static void
on_consoles_listed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;
  g_auto (GStrv) names =
      alcove_machine_list_consoles_finish (ALCOVE_MACHINE (source), result, &error);

  if (names == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  if (names[0] == NULL)
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                               "%s has no serial or console port: add a [serial NAME] group",
                               alcove_machine_get_name (ALCOVE_MACHINE (source)));
      return;
    }
  return_call (task, "OpenConsole", g_variant_new ("(s)", names[0]));
}

void
alcove_machine_open_console_async (AlcoveMachine *self,
                                   const char *name,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_machine_open_console_async);
  if (name != NULL)
    return_call (task, "OpenConsole", g_variant_new ("(s)", name));
  else
    alcove_machine_list_consoles_async (self, cancellable, on_consoles_listed, g_object_ref (task));
}

int
alcove_machine_open_console_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  Call *call = g_task_get_task_data (G_TASK (result));
  gint32 handle;

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return -1;
  g_variant_get (call->result, "(h)", &handle);
  return take_fd (call, handle, error);
}

void
alcove_machine_get_stats_async (AlcoveMachine *self,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_machine_get_stats_async);
  return_call (task, "GetStats", NULL);
}

GVariant *
alcove_machine_get_stats_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  Call *call = g_task_get_task_data (G_TASK (result));

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return NULL;
  return g_variant_get_child_value (call->result, 0);
}

/* Disks that come and go. */

void
alcove_machine_add_disk_async (AlcoveMachine *self,
                               const char *group,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_machine_add_disk_async);
  return_call (task, "AddDisk", g_variant_new ("(s)", group));
}

char *
alcove_machine_add_disk_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  Call *call = g_task_get_task_data (G_TASK (result));
  char *group;

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return NULL;
  g_variant_get (call->result, "(s)", &group);
  return group;
}

/* RemoveDisk and RemovePci: the guest is asked first, and has its time. */
static void
remove_call (AlcoveMachine *self,
             const char *method,
             const char *name,
             gboolean force,
             guint timeout_ms,
             GCancellable *cancellable,
             GAsyncReadyCallback callback,
             gpointer user_data)
{
  GVariantBuilder options;

  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&options, "{sv}", "force", g_variant_new_boolean (force));
  g_variant_builder_add (&options, "{sv}", "timeout-ms", g_variant_new_uint32 (timeout_ms));
  /* The process answers in that time, and some. */
  simple_call (self, method, g_variant_new ("(sa{sv})", name, &options), NULL,
               (int)MIN (timeout_ms, G_MAXINT - 60000) + 60000, cancellable, callback, user_data);
}

void
alcove_machine_remove_disk_async (AlcoveMachine *self,
                                  const char *name,
                                  gboolean force,
                                  guint timeout_ms,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer user_data)
{
  remove_call (self, "RemoveDisk", name, force, timeout_ms, cancellable, callback, user_data);
}

/* A card that the host is asked for. The call itself is not cancelled: whether the card came or not is
 * what its answer tells. */
typedef struct
{
  AlcoveMachine *machine;
  char *name;                /* (nullable) of the first group */
  GCancellable *cancellable; /* (nullable) the caller's */
  gulong handler;
} AddPci;

static void
add_pci_free (gpointer data)
{
  AddPci *add = data;

  g_object_unref (add->machine);
  g_clear_object (&add->cancellable);
  g_free (add->name);
  g_free (add);
}

/* On the main context: the question is to end. Where it has been answered already nothing happens. */
static gboolean
end_question (gpointer user_data)
{
  AddPci *add = user_data;
  GVariantBuilder options;

  if (add->machine->proxy == NULL)
    return G_SOURCE_REMOVE;
  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&options, "{sv}", "waiting", g_variant_new_boolean (TRUE));
  g_dbus_proxy_call (G_DBUS_PROXY (add->machine->proxy), "RemovePci",
                     g_variant_new ("(sa{sv})", add->name, &options), G_DBUS_CALL_FLAGS_NONE, -1,
                     NULL, NULL, NULL);
  return G_SOURCE_REMOVE;
}

/* Any thread. */
static void
on_add_pci_cancelled (GCancellable *cancellable, gpointer user_data)
{
  AddPci *add = user_data;
  AddPci *copy = g_new0 (AddPci, 1);

  copy->machine = g_object_ref (add->machine);
  copy->name = g_strdup (add->name);
  g_idle_add_full (G_PRIORITY_DEFAULT, end_question, copy, add_pci_free);
}

/* The name in "[pci NAME]". (transfer full) (nullable) */
static char *
dup_pci_name (const char *group)
{
  const char *start = group != NULL ? strstr (group, "[pci ") : NULL;
  const char *end = start != NULL ? strchr (start, ']') : NULL;

  return end != NULL ? g_strndup (start + strlen ("[pci "), (gsize)(end - start) - strlen ("[pci "))
                     : NULL;
}

static void
on_pci_added (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AddPci *add = g_task_get_task_data (task);
  Call *call = g_task_get_task_data (G_TASK (result));
  GError *error = NULL;

  g_cancellable_disconnect (add->cancellable, add->handler);
  if (g_task_propagate_boolean (G_TASK (result), &error))
    g_task_return_pointer (task, g_variant_ref (call->result), (GDestroyNotify)g_variant_unref);
  else
    g_task_return_error (task, error);
}

void
alcove_machine_add_pci_async (AlcoveMachine *self,
                              const char *const *groups,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  g_autoptr (GTask) inner = g_task_new (self, NULL, on_pci_added, g_object_ref (task));
  AddPci *add = g_new0 (AddPci, 1);

  g_task_set_source_tag (task, alcove_machine_add_pci_async);
  g_task_set_check_cancellable (task, FALSE);
  add->machine = g_object_ref (self);
  add->name = dup_pci_name (groups[0]);
  g_task_set_task_data (task, add, add_pci_free);
  if (cancellable != NULL && add->name != NULL)
    {
      add->cancellable = g_object_ref (cancellable);
      add->handler =
          g_cancellable_connect (cancellable, G_CALLBACK (on_add_pci_cancelled), add, NULL);
    }
  if (g_task_return_error_if_cancelled (task))
    {
      g_cancellable_disconnect (add->cancellable, add->handler);
      g_object_unref (task); /* inner's */
      return;
    }
  /* Somebody looks for a password, and then there are resets and memory to be locked. The end of the
   * machine ends it. */
  run_call (inner, "AddPci", g_variant_new ("(^as)", groups), NULL, G_MAXINT);
}

GStrv
alcove_machine_add_pci_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  g_autoptr (GVariant) answer = g_task_propagate_pointer (G_TASK (result), error);
  GStrv groups;

  if (answer == NULL)
    return NULL;
  g_variant_get (answer, "(^as)", &groups);
  return groups;
}

void
alcove_machine_remove_pci_async (AlcoveMachine *self,
                                 const char *name,
                                 gboolean force,
                                 guint timeout_ms,
                                 GCancellable *cancellable,
                                 GAsyncReadyCallback callback,
                                 gpointer user_data)
{
  remove_call (self, "RemovePci", name, force, timeout_ms, cancellable, callback, user_data);
}

void
alcove_machine_list_pci_async (AlcoveMachine *self,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_machine_list_pci_async);
  return_call (task, "ListPci", NULL);
}

GVariant *
alcove_machine_list_pci_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  return alcove_machine_get_stats_finish (self, result, error);
}

/* Force off: ask, wait for the lock, then insist. */

typedef struct
{
  guint pid; /* who held the lock when we began */
  guint left_ms;
  gboolean killed;
} ForceOff;

/* The lock file can name any process: only one of ours is ended. */
static gboolean
is_vmm (guint pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%u/comm", pid);
  g_autofree char *comm = NULL;

  return g_file_get_contents (path, &comm, NULL, NULL) &&
         g_str_has_prefix (g_strchomp (comm), "alcove-vmm");
}

static gboolean
on_force_off_check (gpointer user_data)
{
  GTask *task = user_data;
  AlcoveMachine *self = g_task_get_source_object (task);
  ForceOff *off = g_task_get_task_data (task);
  guint pid;

  if (g_task_return_error_if_cancelled (task))
    return G_SOURCE_REMOVE;
  if (!alcove_machine_has_process (self))
    {
      g_task_return_boolean (task, TRUE);
      return G_SOURCE_REMOVE;
    }
  (void)alcove_lock_is_held (self->folder, &pid);
  if (off->left_ms > FORCE_CHECK_MS)
    {
      off->left_ms -= FORCE_CHECK_MS;
      return G_SOURCE_CONTINUE;
    }
  if (!off->killed && pid != 0 && pid == off->pid && is_vmm (pid))
    {
      off->killed = TRUE;
      off->left_ms = FORCE_OFF_MS;
      if (kill ((pid_t)pid, SIGKILL) == 0)
        return G_SOURCE_CONTINUE;
    }
  g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                           "%s does not stop: process %u still holds it",
                           alcove_machine_get_name (self), pid);
  return G_SOURCE_REMOVE;
}

static void
on_quit_called (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = ALCOVE_MACHINE (source);
  g_autoptr (GError) error = NULL;
  g_autoptr (GSource) timer = NULL;

  /* A process that quits may do so before it answers; one that does not answer gets the signal. */
  if (!alcove_machine_finish (self, result, &error) &&
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }
  timer = g_timeout_source_new (FORCE_CHECK_MS);
  g_task_attach_source (task, timer, on_force_off_check);
}

void
alcove_machine_force_off_async (AlcoveMachine *self,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  ForceOff *off;

  g_task_set_source_tag (task, alcove_machine_force_off_async);
  off = g_new0 (ForceOff, 1);
  off->left_ms = FORCE_OFF_MS;
  g_task_set_task_data (task, off, g_free);
  (void)alcove_lock_is_held (self->folder, &off->pid);
  if (!alcove_machine_has_process (self))
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE, "%s is not running",
                               alcove_machine_get_name (self));
      return;
    }
  simple_call (self, "Quit", NULL, NULL, FORCE_OFF_MS, cancellable, on_quit_called,
               g_object_ref (task));
}
