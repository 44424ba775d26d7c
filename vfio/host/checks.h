/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Judges an inventory: what a person has to know before a card is given to a machine. Each check
 * names the fact that was read, says in one sentence why it matters, and one next step; the text is
 * translated, the ids are stable. Nothing here changes the host: what is to be changed is text to
 * show, with its undo.
 *
 * A verdict borrows from the inventory it was made of. Thread: any. */
#pragma once
#include "vfio/host/inventory.h"
#include "vfio/host/quirks.h"

typedef enum
{
  HOST_SEVERITY_OK,
  HOST_SEVERITY_NOTE,  /* it works; there is something to know */
  HOST_SEVERITY_STEP,  /* something has to be done first */
  HOST_SEVERITY_BLOCK, /* not on this host, or not this card: a hard stop without override */
} VfioSeverity;
/* "ok", "note", "needs-step", "blocked" */
const char *vfio_severity_to_string (VfioSeverity severity);

typedef struct
{
  const char *id;    /* static, stable: "iommu", "group-mates", "system-disk" */
  const char *title; /* "Device isolation" */
  VfioSeverity severity;
  const VfioFunction *function; /* (nullable) which part of the card, or which mate */
  char *fact;                   /* what was found */
  char *meaning;                /* why that matters, or what it means */
  char *remedy;                 /* (nullable) the next step, in words */
  char *command;                /* (nullable) the very commands or file for it, lines */
  char *undo;                   /* (nullable) what takes the step back, lines or words */
} VfioCheck;

/* What is asked of the host, where it is known; zeros: nothing in particular. */
typedef struct
{
  guint64 memory; /* bytes of the machine's RAM, all of which gets locked */
  gboolean other_user;
  guint32 user; /* for whom permissions are judged; the caller's own unless other_user */
} VfioDemand;

typedef struct
{
  VfioCard *card;
  VfioSeverity severity; /* the gravest of the checks */
  char *summary;         /* one line: "Ready …", "Blocked: the system's disk" */
  GPtrArray *checks;     /* (element-type VfioCheck), gravest first; what the host itself lacks is
                          * among them where it stands in the card's way */

  /* What would be bound to vfio-pci: the card's own functions, then mates. By address. */
  GPtrArray *takes; /* (element-type VfioFunction) */
  GPtrArray *mates; /* (element-type VfioFunction) those of takes that are no part of the card */
  GPtrArray *stays; /* (element-type VfioFunction) in its groups too, but left alone: bridges, and
                     * parts of the board without a driver */

  gboolean bound;        /* all of takes are on a driver of vfio now */
  gboolean viable;       /* the kernel would hand out its groups as they are now */
  gboolean second_start; /* it may not start twice between two boots of the host: warn then */
  guint64 window;        /* bytes of 64-bit address space its BARs need, each aligned to its size */
} VfioVerdict;

/**
 * vfio_checks_platform:
 * @demand: (nullable)
 *
 * Returns: (transfer full) (element-type VfioCheck): the host's own checks, in the order to show
 *   them; also the good ones.
 */
GPtrArray *vfio_checks_platform (const VfioInventory *inventory, const VfioDemand *demand);

/**
 * vfio_verdict_new:
 * @tree: what the inventory was read from: for permissions
 * @quirks: (nullable)
 * @demand: (nullable)
 *
 * Returns: (transfer full)
 */
VfioVerdict *vfio_verdict_new (VfioTree *tree,
                               const VfioInventory *inventory,
                               const VfioQuirks *quirks,
                               const VfioDemand *demand,
                               VfioCard *card);
void vfio_verdict_free (VfioVerdict *verdict);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfioVerdict, vfio_verdict_free)
/* (transfer none) (nullable): the first check with this id. */
const VfioCheck *vfio_verdict_find (const VfioVerdict *verdict, const char *id);

/* Is this where the running desktop shows its picture? */
gboolean vfio_function_is_desktop (const VfioInventory *inventory, const VfioFunction *function);
/* "NVIDIA GeForce RTX 3070 (0000:01:00.0)", as messages name it. (transfer full) */
char *vfio_function_describe (const VfioFunction *function);
