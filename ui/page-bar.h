/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a page of a machine's window has above its contents: the operation under way, with its progress
 * and a button to cancel it, and the last problem, until it is dismissed.
 *
 * Signal "cancel": the user wants the operation to end. */
#pragma once
#include <adwaita.h>

#define ALCOVE_TYPE_PAGE_BAR (alcove_page_bar_get_type ())
G_DECLARE_FINAL_TYPE (AlcovePageBar, alcove_page_bar, ALCOVE, PAGE_BAR, AdwBin)

/* what: a sentence. An old problem goes. steps: there will be progress; else something turns. */
void
alcove_page_bar_begin (AlcovePageBar *self, const char *what, gboolean steps, gboolean cancellable);
void alcove_page_bar_set_progress (AlcovePageBar *self, guint64 done, guint64 total);
void alcove_page_bar_end (AlcovePageBar *self);

/* Errors name cause and remedy: they are longer than a toast, and stay until they are read. */
void alcove_page_bar_show_problem (AlcovePageBar *self, const char *message);
void alcove_page_bar_hide_problem (AlcovePageBar *self);
/* A toast. */
void alcove_page_bar_report (AlcovePageBar *self, const char *message);
