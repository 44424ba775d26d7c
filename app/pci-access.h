/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How this process reaches the host's PCI bindings: itself where it has the rights, or through
 * alcove-helper on the system bus. What passthrough-binding and "alcove pci" share. Thread: any; the
 * calls block. */
#pragma once
#include <gio/gio.h>
#include "app/error.h"
#include "vfio/bind/bind.h"

/**
 * alcove_pci_open:
 * @change: the ledger is made where it is missing
 * @ret: (out): to be closed
 *
 * The host (or what ALCOVE_HOST_ROOT names) and the ledger of who may change it: /run/alcove/bindings
 * for root, $XDG_RUNTIME_DIR/alcove/bindings for a user who has write permission in sysfs. Without
 * change a missing ledger is NULL: an empty one.
 */
gboolean alcove_pci_open (gboolean change, VfioBindHost *ret, GError **error);
void alcove_pci_close (VfioBindHost *host);
/* May this process bind and unbind by itself? */
gboolean alcove_pci_may_write (VfioTree *tree);
/* Makes an error of vfio one of ALCOVE_ERROR. */
void alcove_pci_convert_error (GError *error);

/* A connection of our own: what was taken for it goes back when it is closed. (transfer full) */
GDBusConnection *alcove_pci_helper_connect (GError **error);
/**
 * alcove_pci_helper_call:
 * @parameters: (transfer floating)
 * @ret_missing: (out): on error, whether there is no helper at all
 *
 * Waits as long as somebody types a password. Returns: (transfer full)
 */
GVariant *alcove_pci_helper_call (GDBusConnection *bus,
                                  const char *method,
                                  GVariant *parameters,
                                  GCancellable *cancellable,
                                  gboolean *ret_missing,
                                  GError **error);
