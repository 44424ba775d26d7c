/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What giving a card changes, in order, with how each step is undone; and for what comes along with the
 * card the choice whether the machine is given that too. */
#pragma once
#include <adwaita.h>

#include "app/passthrough.h"

#define ALCOVE_TYPE_CARD_STEPS (alcove_card_steps_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveCardSteps, alcove_card_steps, ALCOVE, CARD_STEPS, AdwBin)

/* runs: the machine does. */
GtkWidget *alcove_card_steps_new (AlcoveCard *card, gboolean runs);
/* (transfer full): addresses of the mates that were chosen. */
GStrv alcove_card_steps_dup_with (AlcoveCardSteps *self);
