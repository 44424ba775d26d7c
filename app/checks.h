/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What this host can do for machines: one list, shown by the first-run page, `alcove check` and
 * `alcove check --json`. Each check names the fact it read, what it means in plain words, and the
 * command or setting that mends it. Thread: any; reads files and opens /dev/kvm, under 100 ms. */
#pragma once
#include <gio/gio.h>

typedef enum
{
  ALCOVE_CHECK_GOOD,
  ALCOVE_CHECK_NOTE,    /* something optional is not there */
  ALCOVE_CHECK_WARNING, /* machines run, but some not or not well */
  ALCOVE_CHECK_BAD,     /* machines do not run */
} AlcoveCheckResult;
/* "good", "note", "warning", "bad" */
const char *alcove_check_result_to_string (AlcoveCheckResult result);

typedef struct
{
  const char *id; /* static, stable: "kvm", "memory" */
  const char *title;
  AlcoveCheckResult result;
  char *fact;
  char *meaning;
  char *remedy; /* (nullable) */
} AlcoveCheck;

/* Returns: (transfer full) (element-type AlcoveCheck): all checks, in the order to show them. */
GPtrArray *alcove_checks_run (void);
/* The gravest of them. */
AlcoveCheckResult alcove_checks_get_worst (GPtrArray *checks);
