/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the files of checks add one. */
#pragma once
#include <glib/gi18n-lib.h>
#include "vfio/host/checks.h"
#include "vfio/host/inventory-private.h"

/* All text (transfer full); remedy, command and undo (nullable). Returns: the check, for more. */
VfioCheck *host_check_add (GPtrArray *checks,
                           const char *id,
                           const char *title,
                           VfioSeverity severity,
                           const VfioFunction *function,
                           char *fact,
                           char *meaning);
void host_check_free (gpointer check);
/* "16 GiB", "512 MiB", "128 KiB". (transfer full) */
char *host_format_size (guint64 bytes);
/* "A, B and C" of descriptions. (transfer full) */
char *host_describe_list (GPtrArray *functions);

/* What stands around a verdict while it is made. */
typedef struct
{
  VfioTree *tree;
  const VfioInventory *inventory;
  const VfioQuirks *quirks;
  const VfioDemand *demand;
  VfioVerdict *verdict;
} VfioJudge;

/* checks-use.c: who needs it now. */
void host_checks_add_use (VfioJudge *judge);
/* checks-group.c: what goes with it; fills takes, mates and stays first. */
void host_checks_find_group (VfioJudge *judge);
void host_checks_add_group (VfioJudge *judge);
/* checks-display.c: screens and framebuffers. */
void host_checks_add_display (VfioJudge *judge);
/* checks-card.c: resets, power, memory windows, parts of it. */
void host_checks_add_card (VfioJudge *judge);

gboolean host_verdict_takes (const VfioVerdict *verdict, const VfioFunction *function);
guint host_count_graphics (const VfioInventory *inventory);
/* How a card is reserved at start-up, as a remedy's second half. (transfer full) */
char *host_reserve_remedy (const VfioJudge *judge);
