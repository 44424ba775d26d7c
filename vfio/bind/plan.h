/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What taking functions from the host, or giving them back, will change: a list of steps in order,
 * each with how it is undone. A dry run shows it; vfio_plan_apply executes the same object.
 *
 * Taking: the ledger's records first, then for each function driver_override, unbind, drivers_probe,
 * and a look at what came of it. new_id is never written: it would match every card of a kind. A
 * failure undoes everything that was done. Giving back looks at what is there now and changes only
 * what differs, so that it can be done after a crash at any step, and done twice.
 *
 * Life cycle: new, apply once or not at all, free. Thread: any, one at a time; a driver that lets go
 * slowly blocks apply for as long, so not one that must answer people. */
#pragma once
#include "vfio/bind/ledger.h"

typedef enum
{
  BIND_STEP_RECORD,   /* a ledger file comes */
  BIND_STEP_OVERRIDE, /* driver_override is written */
  BIND_STEP_UNBIND,   /* the driver lets go */
  BIND_STEP_PROBE,    /* the kernel looks for a driver */
  BIND_STEP_ATTACH,   /* a driver is told to take it */
  BIND_STEP_CHECK,    /* the driver must be the one wanted */
  BIND_STEP_NODE,     /* a node goes back to who had it */
  BIND_STEP_FORGET,   /* a ledger file goes */
} VfioStepKind;
/* "record", "override", … for JSON. */
const char *vfio_step_kind_to_string (VfioStepKind kind);

typedef struct
{
  VfioStepKind kind;
  VfioAddress address;
  char id[VFIO_ADDRESS_TEXT_SIZE];
  char *path;           /* (nullable) file that is written, within the tree */
  char *value;          /* (nullable) what is written to it, with its newline */
  char *driver;         /* (nullable) whom an unbind, attach or check is about */
  VfioBinding *binding; /* (nullable) borrowed from the plan */
  VfioGrant *grant;     /* (nullable) borrowed from the plan */
  char *text;           /* a sentence */
  char *undo;           /* (nullable) how it is undone; NULL: nothing is to be undone */
} VfioStep;

typedef struct
{
  gboolean give_back;
  GPtrArray *bindings; /* (element-type VfioBinding) */
  GPtrArray *grants;   /* (element-type VfioGrant) */
  GPtrArray *steps;    /* (element-type VfioStep) */
} VfioPlan;

void vfio_plan_free (VfioPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfioPlan, vfio_plan_free)

/* A node's owner and mode. */
typedef struct
{
  guint32 uid, gid, mode;
} VfioNodeOwner;

/* How the host is changed. One table is the kernel's; the tests have one of a pretended kernel. */
typedef struct
{
  /* As vfio_tree_write. */
  int (*write) (VfioTree *tree, const char *path, const char *value);
  /**
   * set_owner:
   * @path: of a node below /dev; never followed when it is a link
   * @major, @minor: what the node must be
   * @from: the uid that it must have now, or G_MAXUINT32: any
   * @to: (nullable): NULL only looks
   * @ret_before: (out): what it had
   *
   * Returns: 0; -ENODEV: another node, or none at all, is there; -EPERM: it is not from's; -errno.
   */
  int (*set_owner) (VfioTree *tree,
                    const char *path,
                    guint major,
                    guint minor,
                    guint32 from,
                    const VfioNodeOwner *to,
                    VfioNodeOwner *ret_before);
} VfioBindOps;
extern const VfioBindOps vfio_bind_ops_kernel;

/* Where bindings are made: all borrowed. */
typedef struct
{
  VfioTree *tree;
  VfioLedger *ledger;
  const VfioBindOps *ops;
} VfioBindHost;

/* Whom functions are taken for. */
typedef struct
{
  guint32 uid;
  const char *owner; /* (nullable) a bus name: VfioBinding.owner */
} VfioBindFor;

/**
 * vfio_plan_new_take:
 * @addresses: what is to be bound to vfio-pci, each once; the rules are not looked at here (bind.h)
 *
 * Errors: NOT_FOUND (a function is not there), INVALID (what the ledger has of it is refused).
 *
 * Returns: (transfer full)
 */
VfioPlan *vfio_plan_new_take (const VfioBindHost *host,
                              const VfioAddress *addresses,
                              guint n_addresses,
                              const VfioBindFor *whom,
                              GError **error);
/**
 * vfio_plan_new_give_back:
 * @bindings: (element-type VfioBinding): as the ledger has them
 * @grants: (element-type VfioGrant): nodes to take back before
 *
 * Returns: (transfer full)
 */
VfioPlan *
vfio_plan_new_give_back (const VfioBindHost *host, GPtrArray *bindings, GPtrArray *grants);

/**
 * vfio_plan_apply:
 *
 * The ledger must be locked. Taking: all or nothing; when what was done cannot be undone either, the
 * message says so and the ledger keeps it. Giving back: as much as can be; what could not be given
 * back stays in the ledger. Errors: the kernel's answer as VMM_ERROR, with the function, what was
 * attempted and what to do.
 */
gboolean vfio_plan_apply (const VfioBindHost *host, VfioPlan *plan, GError **error);
