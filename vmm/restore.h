/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Restoring what vmm/save.h saved. The RAM file is mapped privately: the guest runs at once, pages
 * come as they are touched, and a thread of low priority fetches and checks all others. RAM that
 * must be shared memory is read before the guest runs.
 *
 * Life: open -> vmm_vm_start_restored (vmm/vm.h) -> prefetch -> free. After the prefetch has ended
 * well, nothing of the file is needed any more; until then it may be deleted (unlink) but must not
 * be written. Where the file system can (reflinks), the machine runs from a copy of its own.
 * A change of the file and a damaged page are found by the prefetch and told by done.
 *
 * Mapped memory keeps 4 KiB pages until the machine is started afresh; chunks of 2 MiB that were all
 * zero keep huge pages.
 *
 * Thread: control, unless stated. */
#pragma once
#include <glib.h>
#include "vmm/machine.h"

typedef struct _VmmRestore VmmRestore;

/* Opens both files and checks what can be checked without the machine. Errors: NOT_FOUND; INVALID
 * says what is wrong with which file. */
VmmRestore *vmm_restore_open (const char *folder, GError **error);
/* Refuses a machine that differs by name (nothing is touched then), puts RAM into place, and returns
 * (transfer none) the reader at the first section after the fingerprint. machine: frozen. */
VmmStateReader *vmm_restore_apply (VmmRestore *restore, VmmMachine *machine, GError **error);

/* error: NULL when every page is in memory and was right; CANCELLED after free. Called once on the
 * prefetch's own thread. */
typedef void (*VmmRestoreDone) (const GError *error, gpointer user_data);
/* delay_ms: first the guest fetches by itself what it needs most. */
gboolean vmm_restore_prefetch (
    VmmRestore *restore, guint delay_ms, VmmRestoreDone done, gpointer user_data, GError **error);
/* Bytes that were mapped, not read. 0: there is nothing to prefetch. */
guint64 vmm_restore_get_mapped (VmmRestore *restore);
/* Ends the prefetch. The machine stays as it is. */
void vmm_restore_free (VmmRestore *restore);
