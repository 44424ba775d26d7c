/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Taking functions from the host for a machine and giving them back, by the rules: what root, the
 * helper and anybody with the permission may do, and what nobody may. Everything here is one
 * transaction under the ledger's lock. Thread: any, one at a time; they block (plan.h). */
#pragma once
#include "vfio/bind/plan.h"
#include "vfio/host/inventory.h"

#define BIND_SET_MAX 32

/* Anybody's, for whom says: root. */
#define BIND_ANY_UID G_MAXUINT32

/**
 * vfio_bind_check:
 * @whom: for whom
 *
 * May these functions be taken, together and now? Refused are: an empty or too long set, a function
 * that is there twice or not at all, bridges, functions without an isolation group, part of a card,
 * part of a group, what the host cannot be without (its disk, its only network, its screen), what is
 * in use (by whom is named), what another user or another machine has.
 *
 * Errors: INVALID, NOT_FOUND, NOT_SUPPORTED (a hard stop), BUSY, UNAVAILABLE (vfio-pci is not
 * loaded).
 */
gboolean vfio_bind_check (const VfioBindHost *host,
                          const VfioAddress *addresses,
                          guint n_addresses,
                          const VfioBindFor *whom,
                          GError **error);

/* What travels with these functions: the rest of their cards and all of their groups that must go
 * too, sorted. (transfer full): of VfioAddress. Errors: NOT_FOUND. */
GArray *vfio_bind_complete (const VfioInventory *inventory,
                            const VfioAddress *addresses,
                            guint n_addresses,
                            GError **error);

/**
 * vfio_bind_take:
 * @ret_plan: (out) (optional) (transfer full): what was done, or with dry_run would be
 *
 * Checks, plans, applies. A set that is taken already for the same user is fine.
 */
gboolean vfio_bind_take (const VfioBindHost *host,
                         const VfioAddress *addresses,
                         guint n_addresses,
                         const VfioBindFor *whom,
                         gboolean dry_run,
                         VfioPlan **ret_plan,
                         GError **error);
/**
 * vfio_bind_give_back:
 * @addresses: n_addresses 0: everything that @uid has
 * @uid: whose they must be, or BIND_ANY_UID
 *
 * Nodes that were given to a user are taken back first. Refused while a machine uses one of them
 * (BUSY, with its name): its driver would wait for it without end. Files of the ledger that cannot
 * be believed are named in the error, after everything else was given back.
 *
 * Errors: NOT_FOUND (nothing of that kind is in the ledger), PERMISSION (it is another user's), and
 * those of vfio_plan_apply.
 */
gboolean vfio_bind_give_back (const VfioBindHost *host,
                              const VfioAddress *addresses,
                              guint n_addresses,
                              guint32 uid,
                              gboolean dry_run,
                              VfioPlan **ret_plan,
                              GError **error);
/* The same for everything with this owner. Nothing of the kind is fine. */
gboolean vfio_bind_give_back_owner (const VfioBindHost *host, const char *owner, GError **error);

/**
 * vfio_bind_grant:
 *
 * Gives the nodes of a group (/dev/vfio/GROUP, and its functions' in /dev/vfio/devices, whichever of
 * the two the kernel has) to the user for whom its functions were taken.
 *
 * Errors: PERMISSION (the group has nothing that was taken for this user, or something of another),
 * NOT_FOUND (no such group, or the node is not what the kernel says it is).
 */
gboolean vfio_bind_grant (const VfioBindHost *host, guint group, guint32 uid, GError **error);

/* With vfio-pci already, and this process may open what a machine opens of it: its group's node, or
 * where the kernel has no groups the function's own and /dev/iommu. */
gboolean vfio_bind_is_ready (VfioTree *tree, VfioAddress address);

/* Who has /dev/vfio/GROUP or a function's node open: "alcove-vmm (process 4711)".
 * (transfer full) (nullable): NULL when nobody does, or nobody that can be seen. */
char *vfio_bind_dup_user (VfioTree *tree, VfioAddress address);
/* The group's number, or -1. */
int vfio_bind_get_group (VfioTree *tree, VfioAddress address);
