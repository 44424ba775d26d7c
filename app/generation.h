/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The generation of a machine: what its guest is told by VMGENID ("Virtual Machine Generation ID",
 * Microsoft 2012). It stays the same from start to start, differs between machines, and changes with
 * each revert. Thread: any. */
#pragma once
#include <gio/gio.h>

/* folder: (nullable) the machine's. uuid: its. */
void alcove_generation_get (const char *folder, const char *uuid, guint8 ret_id[16]);
/* From the next start on it is another one. */
gboolean alcove_generation_renew (const char *folder, GError **error);
