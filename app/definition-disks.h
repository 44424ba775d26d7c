/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Disks that come and go: edits of a definition that the command line makes in machine.conf, and the
 * running machine in its copy of it. Thread: as AlcoveDefinition. */
#pragma once
#include "app/definition.h"

/* (nullable) no such disk */
const AlcoveDiskConfig *alcove_definition_find_disk (AlcoveDefinition *self, const char *name);
/* (transfer full) (nullable): the text of [disk NAME]. */
char *alcove_definition_dup_disk_group (AlcoveDefinition *self, const char *name);

/**
 * alcove_definition_add_disk:
 * @text: the text of one [disk NAME] group
 * @live: the machine runs: only a slot for hot-plug will do
 *
 * Adds the group. A disk that needs a place on PCI and names none gets a free slot for hot-plug
 * (else, when not @live, none: alcove_definition_assign gives it one on bus 00); an NVMe disk gets
 * its namespace.
 *
 * Returns: (transfer full): the disk's name. Errors: INVALID, EXISTS, BUSY when no slot is free.
 */
char *alcove_definition_add_disk (AlcoveDefinition *self,
                                  const char *text,
                                  gboolean live,
                                  GError **error);
/* Removes [disk NAME]. When it is the first of several on an NVMe controller, the next one takes
 * over the controller's keys, and so its place. Errors: NOT_FOUND. */
gboolean alcove_definition_remove_disk (AlcoveDefinition *self, const char *name, GError **error);
