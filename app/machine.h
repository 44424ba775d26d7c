/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One machine: its folder, its definition, and what it is doing now.
 *
 * The state comes from outside: the machine's lock says whether it runs, its control connection
 * says how. refresh looks; while a connection is there, changes arrive by themselves. Properties,
 * all with notify: "name", "uuid", "folder", "state", "state-reason", "state-detail", "error"
 * (why the definition cannot be used, NULL when it can), "definition".
 *
 * Every operation is asynchronous, takes a GCancellable, and ends with a GError whose message is
 * for people (ALCOVE_ERROR_WRONG_STATE when the machine does not run or runs and must not).
 *
 * Thread: the main context it was made on, nothing blocks on the VM. */
#pragma once
#include <gio/gio.h>
#include "app/definition.h"

typedef enum
{
  ALCOVE_MACHINE_INVALID, /* the definition cannot be used: see "error" */
  ALCOVE_MACHINE_STOPPED,
  ALCOVE_MACHINE_STARTING,
  ALCOVE_MACHINE_RUNNING,
  ALCOVE_MACHINE_PAUSED,
  ALCOVE_MACHINE_STOPPING,
  ALCOVE_MACHINE_FAILED, /* stopped by a fault: state-detail says which */
  ALCOVE_MACHINE_SAVED,  /* stopped; starting it goes on where it was saved */
  ALCOVE_MACHINE_BUSY,   /* the lock is held, but nobody answers: starting, moved or stuck */
} AlcoveMachineState;
#define ALCOVE_TYPE_MACHINE_STATE (alcove_machine_state_get_type ())
GType alcove_machine_state_get_type (void);
/* "stopped", "running"...: the words of the command line and the protocol. */
const char *alcove_machine_state_to_string (AlcoveMachineState state);

#define ALCOVE_TYPE_MACHINE (alcove_machine_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveMachine, alcove_machine, ALCOVE, MACHINE, GObject)

/* Never fails: a folder whose definition cannot be used is a machine in state INVALID. */
AlcoveMachine *alcove_machine_new (const char *folder);

const char *alcove_machine_get_folder (AlcoveMachine *self);
/* The folder's name: what the command line calls the machine. */
const char *alcove_machine_get_id (AlcoveMachine *self);
/* What people see; the folder's name when the definition cannot be used. */
const char *alcove_machine_get_name (AlcoveMachine *self);
const char *alcove_machine_get_uuid (AlcoveMachine *self);             /* (nullable) */
AlcoveDefinition *alcove_machine_get_definition (AlcoveMachine *self); /* (nullable) */
const char *alcove_machine_get_error (AlcoveMachine *self);            /* (nullable) */
AlcoveMachineState alcove_machine_get_state (AlcoveMachine *self);
const char *alcove_machine_get_state_reason (AlcoveMachine *self); /* (nullable) */
const char *alcove_machine_get_state_detail (AlcoveMachine *self); /* (nullable) */
guint alcove_machine_get_pid (AlcoveMachine *self);                /* of its VM process, or 0 */
/* RUNNING, PAUSED, STOPPING, STARTING or BUSY. */
gboolean alcove_machine_is_active (AlcoveMachine *self);
/* It runs, and what it writes is dropped at its end. */
gboolean alcove_machine_is_disposable (AlcoveMachine *self);
/* (transfer full): log/vmm.log in the folder. */
char *alcove_machine_dup_log_path (AlcoveMachine *self);

/* Reads the definition again; a definition with unsaved edits is kept. */
void alcove_machine_reload (AlcoveMachine *self);
/* Finds out the state: looks at the lock, connects when it is held. Never fails but by cancel. */
void alcove_machine_refresh_async (AlcoveMachine *self,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data);

typedef enum
{
  ALCOVE_START_NONE = 0,
  ALCOVE_START_PAUSED = 1 << 0,
  /* The saved state is removed and the machine boots; without it the machine goes on from there, or
   * refuses by name when it cannot. */
  ALCOVE_START_DISCARD_SAVED = 1 << 1,
  /* What the guest writes is dropped at its end. Not of a machine that is saved. */
  ALCOVE_START_DISPOSABLE = 1 << 2,
} AlcoveStartFlags;

/* Done when the VM process says it is ready; what it says when it is not is the error. */
void alcove_machine_start_async (AlcoveMachine *self,
                                 AlcoveStartFlags flags,
                                 GCancellable *cancellable,
                                 GAsyncReadyCallback callback,
                                 gpointer user_data);
/* Saves the machine to its folder and ends its process; done when both is so. The signal
 * "save-progress" (done, total: guint64, bytes) tells how far it is. Cancelling the cancellable, or
 * alcove_machine_cancel_save_async, lets the machine go on (ALCOVE_ERROR_CANCELLED). */
void alcove_machine_save_async (AlcoveMachine *self,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data);
/* Plugs a disk into the running machine. group: the text of a [disk NAME] group. finish returns the
 * group as it is then, with its slot (transfer full). machine.conf is the caller's to edit. */
void alcove_machine_add_disk_async (AlcoveMachine *self,
                                    const char *group,
                                    GCancellable *cancellable,
                                    GAsyncReadyCallback callback,
                                    gpointer user_data);
char *alcove_machine_add_disk_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);
/* Takes one out, when the guest has released it; force does not ask the guest. timeout_ms: how long
 * the guest may take. */
void alcove_machine_remove_disk_async (AlcoveMachine *self,
                                       const char *name,
                                       gboolean force,
                                       guint timeout_ms,
                                       GCancellable *cancellable,
                                       GAsyncReadyCallback callback,
                                       gpointer user_data);
/* Plugs a card of the host into the running machine: groups are texts of [pci NAME] groups, all
 * functions of one card. finish returns them as they are then (transfer full). machine.conf is the
 * caller's to edit. */
void alcove_machine_add_pci_async (AlcoveMachine *self,
                                   const char *const *groups,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data);
GStrv alcove_machine_add_pci_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);
/* Takes out the slot that a function sits in. As alcove_machine_remove_disk_async. */
void alcove_machine_remove_pci_async (AlcoveMachine *self,
                                      const char *name,
                                      gboolean force,
                                      guint timeout_ms,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data);
/* Functions of the host that the running machine has. */
void alcove_machine_list_pci_async (AlcoveMachine *self,
                                    GCancellable *cancellable,
                                    GAsyncReadyCallback callback,
                                    gpointer user_data);
/* (transfer full): aa{sv}: ListPci in data/dbus. */
GVariant *
alcove_machine_list_pci_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);
/* Ends any save or snapshot of the machine that is under way. */
void alcove_machine_cancel_save_async (AlcoveMachine *self,
                                       GCancellable *cancellable,
                                       GAsyncReadyCallback callback,
                                       gpointer user_data);
/* Removes the saved state of a machine that does not run. Nothing saved is no error. */
gboolean alcove_machine_discard_saved (AlcoveMachine *self, GError **error);
void alcove_machine_pause_async (AlcoveMachine *self,
                                 GCancellable *cancellable,
                                 GAsyncReadyCallback callback,
                                 gpointer user_data);
void alcove_machine_resume_async (AlcoveMachine *self,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer user_data);
void alcove_machine_reset_async (AlcoveMachine *self,
                                 GCancellable *cancellable,
                                 GAsyncReadyCallback callback,
                                 gpointer user_data);
/* Done when the button is pressed; the guest decides. */
void alcove_machine_power_button_async (AlcoveMachine *self,
                                        GCancellable *cancellable,
                                        GAsyncReadyCallback callback,
                                        gpointer user_data);
/* Done when the VM process has let go of the machine. A process that does not answer within ten
 * seconds is killed. */
void alcove_machine_force_off_async (AlcoveMachine *self,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data);
/* keys: Linux evdev codes, pressed in order, released in reverse order after hold_ms. */
void alcove_machine_send_keys_async (AlcoveMachine *self,
                                     const guint *keys,
                                     guint n_keys,
                                     guint hold_ms,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data);
/* Types text on a US keyboard. */
void alcove_machine_type_async (AlcoveMachine *self,
                                const char *text,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data);
/* x, y: 0 to 1; buttons: the mask now held, 1 left, 2 middle, 4 right. */
void alcove_machine_move_pointer_async (AlcoveMachine *self,
                                        double x,
                                        double y,
                                        guint buttons,
                                        GCancellable *cancellable,
                                        GAsyncReadyCallback callback,
                                        gpointer user_data);
/* width, height: device pixels. */
void alcove_machine_resize_display_async (AlcoveMachine *self,
                                          guint scanout,
                                          guint width,
                                          guint height,
                                          GCancellable *cancellable,
                                          GAsyncReadyCallback callback,
                                          gpointer user_data);
/* fd: (transfer full): our other end of a socketpair becomes a SPICE client's connection; the fd is
 * closed here in every case. */
void alcove_machine_attach_spice_async (AlcoveMachine *self,
                                        int fd,
                                        GCancellable *cancellable,
                                        GAsyncReadyCallback callback,
                                        gpointer user_data);
/* Puts an image into a CD-ROM drive of a running machine; path NULL takes out what is in it.
 * drive: the name of a [cdrom], "" for the only one. force: also when the guest has locked the tray
 * (ALCOVE_ERROR_WRONG_STATE otherwise). The definition is not changed. */
void alcove_machine_set_medium_async (AlcoveMachine *self,
                                      const char *drive,
                                      const char *path,
                                      gboolean force,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data);
/* Ends any of the above. */
gboolean alcove_machine_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);

/* A picture, XRGB8888 little endian (bytes B G R x), in memory of our own. */
typedef struct
{
  guint width, height, stride; /* pixels, pixels, bytes */
  GBytes *pixels;              /* stride * height bytes */
} AlcovePicture;
void alcove_picture_free (AlcovePicture *picture);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AlcovePicture, alcove_picture_free)

void alcove_machine_screenshot_async (AlcoveMachine *self,
                                      guint scanout,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data);
/* (transfer full) */
AlcovePicture *
alcove_machine_screenshot_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);

/* name: (nullable) "serial0", "console0"...; NULL: the first there is. */
void alcove_machine_open_console_async (AlcoveMachine *self,
                                        const char *name,
                                        GCancellable *cancellable,
                                        GAsyncReadyCallback callback,
                                        gpointer user_data);
/* Returns: (transfer full): a stream socket, close-on-exec; -1 on error. */
int alcove_machine_open_console_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);

void alcove_machine_list_consoles_async (AlcoveMachine *self,
                                         GCancellable *cancellable,
                                         GAsyncReadyCallback callback,
                                         gpointer user_data);
/* (transfer full) */
GStrv
alcove_machine_list_consoles_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);

void alcove_machine_get_stats_async (AlcoveMachine *self,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data);
/* (transfer full): a{sv} */
GVariant *
alcove_machine_get_stats_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);
