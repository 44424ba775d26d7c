/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcovePassthroughPage: the host's cards, and which of them a machine is given: verdicts with their
 * remedies, a dry run before anything changes, where a card is while the machine runs, giving it
 * back. It looks when it is shown, when the machine's definition or state changes, and after what it
 * does. Toasts go to the AdwToastOverlay that it is in. Main thread only. */
#pragma once

#include <adwaita.h>

#include "app/machine.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_PASSTHROUGH_PAGE (alcove_passthrough_page_get_type ())
G_DECLARE_FINAL_TYPE (
    AlcovePassthroughPage, alcove_passthrough_page, ALCOVE, PASSTHROUGH_PAGE, AdwBin)

/* Once. */
void alcove_passthrough_page_set_machine (AlcovePassthroughPage *self, AlcoveMachine *machine);

G_END_DECLS
