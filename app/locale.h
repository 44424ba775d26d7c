/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The language of what people read. */
#pragma once

/* The user's locale, and the catalogues of our words for it: in $ALCOVE_LOCALE_DIR (a build tree), else
 * where they were installed. For programs' beginnings; twice is fine. Thread: the only one. */
void alcove_locale_init (void);
