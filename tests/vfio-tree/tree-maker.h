/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Makes a faked host (ALCOVE_HOST_ROOT) from a short description: README.md. */
#pragma once
#include <glib.h>

/**
 * tree_maker_make:
 * @text: the description, and lines that change it
 * @folder: made when it is not there
 *
 * FALSE with the number of the line that is wrong.
 */
gboolean tree_maker_make (const char *text, const char *folder, GError **error);
