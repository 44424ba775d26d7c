/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by machine-window.c (what is shown) and machine-window-start.c (what a start has to go through). */
#pragma once
#include "ui/disks-page.h"
#include "ui/display/display.h"
#include "ui/machine-actions.h"
#include "ui/machine-window.h"
#include "ui/passthrough-page.h"
#include "ui/snapshots-page.h"

struct _AlcoveMachineWindow
{
  AdwApplicationWindow parent;

  AlcoveMachine *machine;
  AlcoveMachineActions *actions;
  GCancellable *cancellable;
  char *start_error;  /* why the last start failed */
  char *screen_error; /* why there is no screen although the machine runs */
  guint lost_source;
  bool starting;
  AlcoveStartFlags start_flags; /* of the next start */
  guint clear_source;           /* a start that waits for what is left of a machine that failed */
  guint clear_left;
  bool runs; /* as of the last change of state */
  bool saving;

  AdwToastOverlay *toasts;
  AdwBin *header_place;
  GtkRevealer *fullscreen_revealer;
  AdwBin *fullscreen_place;
  AdwHeaderBar *header;
  AdwWindowTitle *title;
  GtkButton *pause_button;
  GtkMenuButton *power_button;
  GtkMenuButton *keys_button;
  GtkToggleButton *grab_button;
  GtkButton *fullscreen_button;
  GtkToggleButton *snapshots_button;
  GtkToggleButton *disks_button;
  GtkToggleButton *passthrough_button;
  GtkStack *pages; /* the machine, its snapshots, its disks, the host's cards */
  AlcoveSnapshotsPage *snapshots_page;
  AlcoveDisksPage *disks_page;
  AlcovePassthroughPage *passthrough_page;
  GtkStack *stack; /* of the machine */
  AlcoveDisplay *display;
  GtkRevealer *paused_revealer;
  GtkLabel *paused_detail;
  AdwStatusPage *starting_page;
  AdwStatusPage *off_page;
  GtkButton *off_start;
  GtkProgressBar *saving_bar;
  AdwStatusPage *failed_page;
  GtkLabel *failed_detail;
  GtkButton *failed_start;
  AdwStatusPage *lost_page;
};

/* Shows what is. */
void alcove_machine_window_update (AlcoveMachineWindow *self);
/* A closed window must not live on until its calls have ended: what is left of it would still be
 * there for assistive technologies. So calls hold it weakly. */
gpointer alcove_machine_window_hold_weakly (AlcoveMachineWindow *self);
/* (transfer full) (nullable): data: (transfer full) */
AlcoveMachineWindow *alcove_machine_window_take_weak (gpointer data);

/* machine-window-start.c: actions. */
void alcove_machine_window_on_start (GtkWidget *widget, const char *name, GVariant *parameter);
void alcove_machine_window_on_start_disposable (GtkWidget *widget,
                                                const char *name,
                                                GVariant *parameter);
