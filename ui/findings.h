/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What import and export say will be lost or changed, as groups of rows. Main thread only. */
#pragma once

#include <adwaita.h>

#include "app/import/import.h"

G_BEGIN_DECLS

/**
 * AlcoveFindingsView:
 *
 * The groups that a page shows now; empty at first.
 */
typedef struct
{
  GtkWidget *groups[3]; /* borrowed: the page's; by AlcoveFindingKind */
} AlcoveFindingsView;

void
alcove_findings_view_show (AlcoveFindingsView *view, AdwPreferencesPage *page, GPtrArray *findings);

G_END_DECLS
