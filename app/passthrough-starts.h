/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which functions of the host were in a machine since the host's own start: one empty file each, in
 * $XDG_STATE_HOME/alcove/passed-through/BOOT-ID. For warnings only: nothing depends on it. Thread:
 * any; reads and makes files. */
#pragma once
#include "app/definition.h"

/* All of a definition's, and more by address (NULL-terminated, nullable). Failing is no error: a
 * warning is lost. Folders of earlier boots go. */
void alcove_passthrough_starts_add (AlcoveDefinition *definition, const char *const *hosts);
gboolean alcove_passthrough_starts_has (const char *host);
