/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "Did you mean": the word of a list that is nearest to a mistyped one. Thread: any. */
#pragma once
#include <glib.h>

/**
 * alcove_suggest:
 * @word: what was typed
 * @words: (array length=n_words): the known words
 *
 * Returns: (nullable): the known word with the fewest edits (insert, delete, replace, swap of two
 * neighbours), when they are at most a third of its length and at least 1; else NULL.
 */
const char *alcove_suggest (const char *word, const char *const *words, gsize n_words);
