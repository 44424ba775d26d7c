/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by save.c and its methods: save-fork.c, save-protect.c, save-log.c. All of it runs on the
 * save's own thread. */
#pragma once
#include "vmm/ram-file.h"
#include "vmm/save.h"

/* What a save does with a machine. vmm/vm-state.c has one for KVM, the unit tests another. */
typedef struct
{
  gpointer owner;
  VmmMachine *machine;
  gboolean (*is_running) (gpointer owner);
  /* After it nothing of the machine changes until thaw. */
  gboolean (*freeze) (gpointer owner, GError **error);
  /* Lets it go on when it was running and keep_paused is FALSE. */
  void (*thaw) (gpointer owner, gboolean keep_paused);
  /* Frozen: all sections after the fingerprint. */
  gboolean (*save_state) (gpointer owner, VmmStateWriter *writer, GError **error);
} VmmSaveTarget;

typedef struct
{
  VmmRamBlock *block;
  guint8 *data;
  guint64 size, n_pages;
} VmmSaveBlock;

struct _VmmSave
{
  VmmSaveTarget target;
  char *folder;
  VmmSaveOptions options; /* folder: not valid */
  guint8 id[16];
  VmmSaveBlock blocks[VMM_RAM_FILE_MAX_BLOCKS];
  guint n_blocks;
  guint64 total; /* bytes of RAM */
  VmmRamWriter *writer;
  GBytes *state; /* taken at the point */
  GThread *thread;
  gint cancelled; /* atomic */
  gint finished;  /* atomic */
  gint64 told_us; /* of the last progress */
  gint64 begun_ns;
  gboolean kept; /* the machine was left paused */
  GError *error;
  VmmSaveResult result;
};

/* As vmm_save_new, for any target. */
VmmSave *
vmm_save_new_for (const VmmSaveTarget *target, const VmmSaveOptions *options, GError **error);

/* Machine standing: at_point, device state, then capture (nullable). */
typedef gboolean (*VmmSaveCapture) (VmmSave *save, gpointer data, GError **error);
gboolean vmm_save_take_point (VmmSave *save, VmmSaveCapture capture, gpointer data, GError **error);
/* TRUE after a cancel, with the error set. */
gboolean vmm_save_check_cancel (VmmSave *save, GError **error);
void vmm_save_tell (VmmSave *save, guint64 done, guint64 total);
/* Pages of a block from the machine's memory to the file. */
gboolean vmm_save_put (VmmSave *save, guint block, guint64 first, guint64 n_pages, GError **error);
/* All RAM, from the machine's memory, with progress and cancel. */
gboolean vmm_save_put_all (VmmSave *save, GError **error);

/* The methods. NOT_SUPPORTED before anything was done: the next one may try. */
gboolean vmm_save_by_fork (VmmSave *save, GError **error);
gboolean vmm_save_by_protect (VmmSave *save, GError **error);
gboolean vmm_save_by_log (VmmSave *save, GError **error);
