/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command line of alcove-vmm, which people do not type: alcove does (app/launch.c). */
#pragma once
#include <glib.h>

typedef struct
{
  char *machine;     /* --machine: a machine's folder */
  char *conf;        /* --conf: a definition of a throw-away machine instead */
  char *runtime_dir; /* --runtime-dir: where the control socket goes */
  int ready_fd;      /* --ready-fd: told in one JSON line how starting went; -1 none */
  gboolean paused;   /* --paused: do not run the guest yet */
  char *restore;     /* --restore: a folder of a save or snapshot to go on from */
  gboolean consume;  /* --consume: the folder goes when the machine needs it no more */
  gboolean discard;  /* --discard-saved: a state that a cut-off revert brings is not gone on from */
  gboolean disposable; /* nothing of the run stays */
  gboolean generation; /* --new-generation: the guest is told that it went back in time */
  gboolean wait;       /* --linger: stay after the guest stopped, until Quit */
} RunnerOptions;

/* argv is not changed. Errors: G_OPTION_ERROR. */
gboolean runner_options_parse (RunnerOptions *options, int argc, char **argv, GError **error);
void runner_options_clear (RunnerOptions *options);
