/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What was taken from the host and must go back: a folder with one small file for each function
 * that is (or is about to be) bound to vfio-pci for a machine, and one for each device node that was
 * given to a user. A file is on the disk before the first change that it tells of and goes after the
 * last one is undone; so whatever ends the process or the machine in between, the folder says what
 * to put back. Bindings do not outlive the kernel: a file that an earlier boot wrote tells of nothing
 * (its boot id says so) and is cleared away.
 *
 * The folder is in /run/alcove/bindings for root, readable by everybody. What lies in it is not
 * trusted: a file that is not exactly what this code writes is refused by name.
 *
 * Where a function only reads, NULL stands for a ledger that was never made: it is empty.
 *
 * Life cycle: open, lock for changes, free. Thread: any, one at a time. */
#pragma once
#include <sys/types.h>
#include "vfio/host/tree.h"

typedef struct _VfioLedger VfioLedger;

#define BIND_LEDGER_FOLDER      "/run/alcove/bindings"
#define BIND_LEDGER_FILE_MAX    2048
#define BIND_LEDGER_ENTRIES_MAX 256
#define BIND_WORD_MAX           64 /* of a driver's name, of a node's */

/* One function. */
typedef struct
{
  VfioAddress address;
  guint16 vendor, device; /* what sat there: another card in the slot is left alone */
  char *driver;           /* (nullable) what drove it before */
  char *driver_override;  /* (nullable) what was asked for before */
  guint32 uid;            /* for whom */
  char *owner;            /* (nullable) the bus name with whose end it is given back: ":1.42" */
  char *boot;             /* the boot that wrote it */
  gint64 since;           /* seconds since 1970 */
  gboolean held;          /* not in the file: it was taken already before the plan at hand */
} VfioBinding;

VfioBinding *vfio_binding_copy (const VfioBinding *binding);
void vfio_binding_free (VfioBinding *binding);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfioBinding, vfio_binding_free)

/* One node that was given away: /dev/vfio/NAME. */
typedef struct
{
  char *name; /* "13" or "devices/vfio0" */
  guint group;
  guint32 uid; /* to whom */
  guint32 old_uid, old_gid, old_mode;
  char *boot;
} VfioGrant;

void vfio_grant_free (VfioGrant *grant);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfioGrant, vfio_grant_free)

/* "13", "devices/vfio0": what can be below /dev/vfio, and nothing else. */
gboolean vfio_grant_is_name (const char *name);
/* A kernel driver's name: letters, digits, "_-.+", at most BIND_WORD_MAX, not "." or "..". */
gboolean vfio_binding_is_driver (const char *name);

/**
 * vfio_ledger_open:
 * @folder: its path
 * @create: make it where it is missing (its parent too)
 *
 * Errors: NOT_FOUND (not there, and not to be made); PERMISSION (others may write to it, so that
 * nothing in it can be believed; or it cannot be made).
 *
 * Returns: (transfer full)
 */
VfioLedger *vfio_ledger_open (const char *folder, gboolean create, GError **error);
void vfio_ledger_free (VfioLedger *ledger);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfioLedger, vfio_ledger_free)
const char *vfio_ledger_get_folder (VfioLedger *ledger);

/* Waits at most 10 seconds for another process that changes bindings. Errors: BUSY. One lock at a
 * time; it goes with vfio_ledger_unlock, or the process. */
gboolean vfio_ledger_lock (VfioLedger *ledger, GError **error);
void vfio_ledger_unlock (VfioLedger *ledger);

/* This boot's id, "" where the kernel does not tell. (transfer full) */
char *vfio_ledger_dup_boot (VfioTree *tree);

/**
 * vfio_ledger_list:
 * @ret_problems: (out) (transfer full): one sentence for each file that is refused; NULL-terminated
 *
 * Returns: (transfer full) (element-type VfioBinding): by address; those of other boots too.
 */
GPtrArray *vfio_ledger_list (VfioLedger *ledger, GStrv *ret_problems);
/* (transfer full) (element-type VfioGrant) */
GPtrArray *vfio_ledger_list_grants (VfioLedger *ledger);

/* Errors: NOT_FOUND (not in it), INVALID (what is in it is refused). (transfer full) */
VfioBinding *vfio_ledger_find (VfioLedger *ledger, VfioAddress address, GError **error);

/* On stable storage when they return TRUE. The lock must be held. An entry that is there already is
 * replaced. */
gboolean vfio_ledger_put (VfioLedger *ledger, const VfioBinding *binding, GError **error);
gboolean vfio_ledger_remove (VfioLedger *ledger, VfioAddress address, GError **error);
gboolean vfio_ledger_put_grant (VfioLedger *ledger, const VfioGrant *grant, GError **error);
gboolean vfio_ledger_remove_grant (VfioLedger *ledger, const char *name, GError **error);

/* The file's text and back; for the tests and the fuzzer too. text need not end. */
char *vfio_binding_to_text (const VfioBinding *binding);
VfioBinding *vfio_binding_from_text (const char *text, gsize length, GError **error);
char *vfio_grant_to_text (const VfioGrant *grant);
VfioGrant *vfio_grant_from_text (const char *text, gsize length, GError **error);
