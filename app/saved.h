/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The saved state of a machine that stands still: the folder "saved" in the machine's folder, with
 * guest RAM and device state (vmm/save.h) and a record, the key file "machine", that says when it
 * was made and what the disks were like, with every image behind them (backing images, data files).
 * A machine whose disks were written since must not be restored: its memory and its disks would not
 * belong together. (saved-record.c)
 *
 * The folder appears by one rename when everything in it is on stable storage. Only the holder of
 * the machine's lock changes it. Thread: any. */
#pragma once
#include <gio/gio.h>
#include "app/definition.h"

#define ALCOVE_SAVED_FOLDER "saved"
#define ALCOVE_SAVED_RECORD "machine"
#define ALCOVE_SAVED_MEDIA  "media" /* a key file: what lay in the drives */

/* (transfer full): the folder of the saved state, there or not. */
char *alcove_saved_dup_folder (const char *machine_folder);
gboolean alcove_saved_exists (const char *machine_folder);
/* It is there and was taken from a snapshot: the guest goes back in time and is told so. Such a state
 * has no record until a machine goes on from it. */
gboolean alcove_saved_is_snapshot (const char *machine_folder);
/* Writes the record into folder (not yet published or published): the disks as they are now. They
 * may be open in this process, with nothing writing to them. from_snapshot: what is_snapshot says
 * later. Errors: an image or one behind it cannot be read. */
gboolean alcove_saved_write_record (const char *folder,
                                    AlcoveDefinition *definition,
                                    gboolean from_snapshot,
                                    GError **error);
/* Errors: ALCOVE_ERROR_INVALID names the disk, or the image behind it, that is not as it was, and
 * the remedy. A folder without a record was put in place with its disks by a revert and has nothing
 * to check. */
gboolean
alcove_saved_check_record (const char *folder, AlcoveDefinition *definition, GError **error);
/* Writes down what lies in the CD-ROM drives; part of a snapshot's folder too. */
gboolean
alcove_saved_write_media (const char *folder, AlcoveDefinition *definition, GError **error);
/* *ret_drives: (transfer full): the names of the drives with another medium than then, or none any
 * more, or one again: the guest must see that. Nothing changed where nothing was written down.
 * Errors: ALCOVE_ERROR_INVALID: the drive cannot tell its guest. */
gboolean alcove_saved_list_changed_media (const char *folder,
                                          AlcoveDefinition *definition,
                                          char ***ret_drives,
                                          GError **error);
/* Gives partial its final name; what has that name already is replaced in the same instant. */
gboolean alcove_saved_publish (const char *partial, const char *folder, GError **error);
/* Takes the folder away at once (a rename), then frees its space. No folder is no error. */
gboolean alcove_saved_remove (const char *folder, GError **error);
