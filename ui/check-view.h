/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One finding about a card or the host: what was found, what it means, what to do, the commands with a
 * button to copy them, and the way back. Main thread only. */
#pragma once

#include <adwaita.h>

#include "app/passthrough.h"

G_BEGIN_DECLS

/* An icon and a word for a verdict: colour alone says nothing. */
const char *alcove_verdict_get_icon (AlcoveVerdict verdict);
const char *alcove_verdict_get_class (AlcoveVerdict verdict); /* (nullable) */

GtkWidget *alcove_check_view_new (const AlcoveCardCheck *check);
/* What to do about it alone, as for a page that says the rest itself. */
GtkWidget *alcove_check_view_new_remedy (const AlcoveCardCheck *check);

G_END_DECLS
