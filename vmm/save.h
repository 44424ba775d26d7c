/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Saving a machine: guest RAM and device state into two files of a folder, running or paused.
 *
 * A save has one point: the instant whose state is kept. At the point all vCPUs stand, the devices
 * are quiesced (in-flight I/O is done) and the device state is taken; the caller's at_point runs
 * there, which is where disks make their snapshots. How RAM of that instant gets into the file
 * while the guest goes on is the method:
 *
 *   fork           point at the start; a child process holds private guest RAM copy-on-write and
 *                  writes it. Needs no privilege. Not for shared (memfd) RAM.
 *   write-protect  point at the start; userfaultfd holds writers back until their page is saved.
 *                  Needs vm.unprivileged_userfaultfd, /dev/userfaultfd or CAP_SYS_PTRACE.
 *   dirty-log      point at the end: RAM is copied while the guest runs, and again what it wrote
 *                  meanwhile, until the rest is small. Works everywhere; ends by a round limit.
 *   paused         the machine stands until all is written.
 *
 * Files in the folder: VMM_SAVE_RAM_FILE (vmm/ram-file.h) and VMM_SAVE_STATE_FILE (vmm/state.h).
 * Both are complete and on stable storage when the save ends well; publishing the folder (a rename)
 * is the caller's. On error and cancel both are removed, and the machine goes on as it was.
 *
 * Life: vmm_save_new starts it; done comes once; vmm_save_free. The machine outlives it.
 * Threads: all functions from the control thread, cancel and get_progress from any. Callbacks come
 * on the save's own thread: forward them. */
#pragma once
#include <glib.h>
#include "vmm/vm.h"

#define VMM_SAVE_RAM_FILE   "ram"
#define VMM_SAVE_STATE_FILE "state"

typedef struct _VmmSave VmmSave;

typedef enum
{
  VMM_SAVE_AUTO, /* the first of fork, write-protect, dirty-log that works; paused machines: paused */
  VMM_SAVE_PAUSED,
  VMM_SAVE_FORK,
  VMM_SAVE_WRITE_PROTECT,
  VMM_SAVE_DIRTY_LOG,
} VmmSaveMethod;
/* "auto", "paused", "fork", "write-protect", "dirty-log". */
const char *vmm_save_method_to_string (VmmSaveMethod method);
/* FALSE when text is none of them. */
gboolean vmm_save_method_from_string (const char *text, VmmSaveMethod *ret_method);

typedef struct
{
  const char *folder; /* exists; belongs to this save alone */
  VmmSaveMethod method;
  /* The machine stays paused (state PAUSED) after a save that ended well: it is to be ended. */
  gboolean keep_paused;
  /* (nullable) Machine standing, devices quiesced. FALSE ends the save with its error. It may call
   * anything but the machine's life cycle; the pause lasts as long as it does. */
  gboolean (*at_point) (gpointer user_data, GError **error);
  /* (nullable) At most about ten times a second. Bytes of RAM looked at, of how many. With dirty-log
   * both may grow. */
  void (*progress) (guint64 done, guint64 total, gpointer user_data);
  /* Once, at the end, with vmm_save_get_result ready. */
  void (*done) (VmmSave *save, gpointer user_data);
  gpointer user_data;
} VmmSaveOptions;

typedef struct
{
  VmmSaveMethod method;
  guint64 pause_ns;   /* how long the vCPUs stood */
  guint64 ram_size;   /* bytes of guest RAM */
  guint64 ram_stored; /* bytes of it that are in the file; the rest is zero */
  guint64 duration_ns;
  guint rounds; /* of dirty-log, else 1 */
} VmmSaveResult;

/* Errors: BUSY when the machine is neither running nor paused, or is being saved; NOT_SUPPORTED when
 * the asked method does not work here. */
VmmSave *vmm_save_new (VmmVm *vm, const VmmSaveOptions *options, GError **error);
/* The save ends soon, with an error (VMM_ERROR_CANCELLED). Too late: it ends well. */
void vmm_save_cancel (VmmSave *save);
/* FALSE while it runs (no error) and when it failed. Thread: any after done was called. */
gboolean vmm_save_get_result (VmmSave *save, VmmSaveResult *ret_result, GError **error);
/* Cancels and waits for the end when need be. */
void vmm_save_free (VmmSave *save);
