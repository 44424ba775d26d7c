/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One edit of a machine's definition: the only way to write the machine.conf of a machine that exists.
 *
 * From begin to end nobody else edits it (a lock of its own, AlcoveLock), also while a running machine
 * is asked in between; a machine that is off stays off (its lock). The definition is loaded by
 * begin, so nothing that was written since it was shown is lost. Thread: any, one at a time. */
#pragma once
#include "app/definition.h"

typedef struct _AlcoveDefinitionEdit AlcoveDefinitionEdit;

/**
 * alcove_definition_edit_begin:
 * @folder: a machine's folder
 * @conf: its definition
 * @running: the machine runs, and follows the edit
 * @what: what the edit does, as "changes its disks"
 *
 * Never waits. Returns: (transfer full): the edit. Errors: ALCOVE_ERROR_BUSY when somebody else edits
 * it, or uses a machine that is to be off; those of alcove_definition_load.
 */
AlcoveDefinitionEdit *alcove_definition_edit_begin (
    const char *folder, const char *conf, gboolean running, const char *what, GError **error);
/* To change; belongs to the edit. */
AlcoveDefinition *alcove_definition_edit_get_definition (AlcoveDefinitionEdit *edit);
/**
 * alcove_definition_edit_save:
 *
 * Writes the definition, if it is not as it was. Errors: ALCOVE_ERROR_BUSY when the file was changed
 * by hand meanwhile, or the machine ended and somebody else uses it; G_FILE_ERROR.
 */
gboolean alcove_definition_edit_save (AlcoveDefinitionEdit *edit, GError **error);
/* What was not saved is forgotten. NULL is fine. */
void alcove_definition_edit_end (AlcoveDefinitionEdit *edit);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AlcoveDefinitionEdit, alcove_definition_edit_end)
