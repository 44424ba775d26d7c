/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Getting PCI functions for a machine and giving them back, whoever may do it here: nothing is done
 * where the functions are with vfio-pci already and their group can be opened; who has the rights
 * (root, or write permission) does it in this process; else alcove-helper is asked over the system
 * bus, which asks the user through polkit; without it the error says which commands do it by hand.
 *
 * What was got belongs to this process: whatever ends it (kill -9 too), the helper gives everything
 * back as soon as the functions are closed. Without the helper "alcove pci release" does, from the
 * ledger (vfio/bind/ledger.h). So alcove-vmm itself gets what its machine needs, before it confines
 * itself: the connection to the bus must exist by then, and lives as long as the object.
 *
 * Life cycle: prepare, close the functions, give back (or free: then the end of the process gives
 * back), free. Thread: any, one at a time. The plain functions block, while a password is typed even;
 * those with _async work on a thread and answer on the caller's main context. */
#pragma once
#include <gio/gio.h>
#include "app/error.h"

typedef struct _AlcoveBinding AlcoveBinding;

typedef enum
{
  ALCOVE_BINDING_NONE,   /* nothing had to be done */
  ALCOVE_BINDING_DIRECT, /* this process did it */
  ALCOVE_BINDING_HELPER, /* alcove-helper did it */
} AlcoveBindingWay;

/**
 * alcove_binding_prepare:
 * @addresses: "0000:01:00.0", NULL-terminated; all functions of each card and of its group that must
 *   go along (vfio_bind_complete gives them)
 * @memlock: bytes that this process must be able to lock (RAM and, with iommufd, BARs), or 0; its
 *   limit is raised to that, never lowered
 *
 * All or nothing.
 *
 * Errors: INVALID, NOT_FOUND, BUSY (in use, by whom is named; taken for another machine),
 * NOT_SUPPORTED (the host cannot be without it), CANCELLED (the user said no), FAILED (with the
 * commands that do it by hand, where nobody here may).
 *
 * Returns: (transfer full)
 */
AlcoveBinding *
alcove_binding_prepare (const char *const *addresses, guint64 memlock, GError **error);
AlcoveBindingWay alcove_binding_get_way (AlcoveBinding *binding);
/* Was this one of the addresses? */
gboolean alcove_binding_has (AlcoveBinding *binding, const char *address);
/* The functions must be closed. Errors: BUSY (somebody has one open), FAILED (a driver did not take
 * its function back: named). Given back is given back: a second call does nothing. */
gboolean alcove_binding_give_back (AlcoveBinding *binding, GError **error);
/* NULL is fine. Gives nothing back by itself, but ends the connection, upon which the helper does. */
void alcove_binding_free (AlcoveBinding *binding);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AlcoveBinding, alcove_binding_free)

/* Cancelled: as soon as the helper can be left alone with the question (its user's answer comes to
 * nothing then); the error is ALCOVE_ERROR_CANCELLED or G_IO_ERROR_CANCELLED, and nothing stays taken.
 * When the cancellation comes too late for that the binding is answered with all the same. */
void alcove_binding_prepare_async (const char *const *addresses,
                                   guint64 memlock,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data);
/* (transfer full) */
AlcoveBinding *alcove_binding_prepare_finish (GAsyncResult *result, GError **error);
/* binding must live until the answer. */
void alcove_binding_give_back_async (AlcoveBinding *binding,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data);
gboolean alcove_binding_give_back_finish (GAsyncResult *result, GError **error);
