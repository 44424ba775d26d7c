/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What import and export say will be lost or changed. */
#pragma once
#include <stdio.h>
#include "app/cli/cli-private.h"

/* findings: of AlcoveFinding. (transfer full) */
JsonArray *cli_findings_to_json (GPtrArray *findings);
void cli_print_findings (FILE *to, GPtrArray *findings);
