/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions of the host that a machine has passed through: where they sit in the guest, and edits
 * of a definition that go with attaching and detaching one. Thread: as the definition. */
#pragma once
#include "app/definition.h"

/* (nullable) */
const AlcovePciConfig *alcove_definition_find_pci (AlcoveDefinition *self, const char *name);
/* (nullable) by the host's address, however it is written. */
const AlcovePciConfig *alcove_definition_find_pci_host (AlcoveDefinition *self, const char *host);
/* TRUE when both are functions of one card of the host. */
gboolean alcove_pci_config_same_card (const AlcovePciConfig *a, const AlcovePciConfig *b);

/* Writes addresses of [pci] groups that have none into file: a slot for hot-plug of its own for each
 * card. Its lowest function is the guest's function 0, the others keep their numbers where they can.
 * Returns: TRUE when something was written. Errors: FAILED when all slots are taken. */
gboolean
alcove_definition_assign_pcis (AlcoveDefinition *self, AlcoveConfFile *file, GError **error);

/**
 * alcove_definition_add_pci:
 * @text: one group [pci NAME]
 * @live: the machine runs
 *
 * Returns: (transfer full): NAME; the group has an address then. Errors as
 * alcove_definition_add_disk; on error nothing has changed.
 */
char *
alcove_definition_add_pci (AlcoveDefinition *self, const char *text, gboolean live, GError **error);
gboolean alcove_definition_remove_pci (AlcoveDefinition *self, const char *name, GError **error);
/* (transfer full) (nullable): what a machine with devices of the host has to do without, for people: its
 * state cannot be saved while it runs, with RAM and all, by a snapshot, by hand or by the schedule. NULL:
 * it is given none. */
char *alcove_definition_dup_unsavable (AlcoveDefinition *self);
/* (transfer full): word, word2, ...: the first that no [pci NAME] has. */
char *alcove_definition_dup_free_pci_name (AlcoveDefinition *self, const char *word);
/* (transfer full) (nullable): the text of [pci NAME]. */
char *alcove_definition_dup_pci_group (AlcoveDefinition *self, const char *name);
