/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Interrupts as devices see them. A VmmIrqLine is one device's level on a GSI; the machine ORs all
 * lines of a GSI (wired-OR), so sharing and spurious order cannot lose a level. A VmmMsi is one
 * message-signalled vector; its eventfd (for vhost, VFIO) is made on demand.
 * Threads: any; set is idempotent. */
#pragma once
#include <glib.h>
#include "vmm/error.h"

typedef struct _VmmMachine VmmMachine;

typedef struct
{
  VmmMachine *machine;
  guint gsi;
  gint level; /* atomic 0 or 1 */
} VmmIrqLine;

void vmm_irq_line_init (VmmIrqLine *line, VmmMachine *machine, guint gsi);
void vmm_irq_line_set (VmmIrqLine *line, gboolean level);
/* An edge: up, then down. */
void vmm_irq_line_pulse (VmmIrqLine *line);
gboolean vmm_irq_line_get (VmmIrqLine *line);

typedef struct _VmmMsi VmmMsi;
VmmMsi *vmm_msi_new (VmmMachine *machine);
void vmm_msi_free (VmmMsi *msi);
/* address and data as the guest wrote them. Updates the route when an eventfd exists. */
void vmm_msi_set_message (VmmMsi *msi, guint64 address, guint32 data);
/* enabled FALSE: raise does nothing, the eventfd is detached from the hypervisor (signals collect
 * in it, and are delivered when it is enabled again). */
void vmm_msi_set_enabled (VmmMsi *msi, gboolean enabled);
void vmm_msi_raise (VmmMsi *msi);
/* An eventfd that raises the vector when written, without user space where the hypervisor can
 * (irqfd). (transfer none). Errors: out of routes or fds. */
int vmm_msi_get_eventfd (VmmMsi *msi, GError **error);
/* While the vector is masked: TRUE if the eventfd was signalled (and clears it), for the PBA. */
gboolean vmm_msi_take_pending (VmmMsi *msi);
