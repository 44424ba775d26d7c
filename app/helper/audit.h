/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the helper did for whom, in the journal: one structured record a call. Fields: MESSAGE,
 * MESSAGE_ID (always the same), PRIORITY, ALCOVE_METHOD, ALCOVE_ARGUMENTS, ALCOVE_CALLER (bus name),
 * ALCOVE_UID and ALCOVE_PID (as the bus knows them), ALCOVE_RESULT ("done", "refused", "failed"),
 * ALCOVE_DETAIL. Thread: any. */
#pragma once
#include <gio/gio.h>

#define HELPER_AUDIT_ID "c0a3c2e56fd8447fb1d40a1b0a3c8a51"

typedef enum
{
  HELPER_DONE,
  HELPER_REFUSED, /* may not, or is against the rules */
  HELPER_FAILED,
} HelperOutcome;

typedef struct
{
  const char *method;
  const char *arguments; /* shortened and made printable here */
  const char *sender;
  gint64 uid, pid; /* -1: not known (yet) */
} HelperAudit;

/* detail: (nullable) */
void helper_audit (const HelperAudit *audit, HelperOutcome outcome, const char *detail);
