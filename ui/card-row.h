/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveCardRow: one card of the host: its parts, what comes along, who uses it, the verdict with
 * reasons and remedies, a switch that gives it to the machine (none where there is a hard stop) and
 * a button that gives it back to the host. Signal "request" (what: "give", "take", "back",
 * "release"): the page does it. Main thread only. */
#pragma once

#include <gtk/gtk.h>

#include "app/passthrough.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_CARD_ROW (alcove_card_row_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveCardRow, alcove_card_row, ALCOVE, CARD_ROW, GtkListBoxRow)

/* host: (element-type AlcoveCardCheck) what is said of the host as a whole is not said again. */
GtkWidget *alcove_card_row_new (AlcoveCard *card, GPtrArray *host);
AlcoveCard *alcove_card_row_get_card (AlcoveCardRow *self);
/* The switch shows what is, after somebody thought better of it. */
void alcove_card_row_settle (AlcoveCardRow *self);
void alcove_card_row_focus_switch (AlcoveCardRow *self);

G_END_DECLS
