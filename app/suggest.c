/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/suggest.h"

#include <string.h>

#define LENGTH_MAX 40

/* Optimal string alignment distance; both words are at most LENGTH_MAX bytes. */
static guint
distance (const char *a, gsize n_a, const char *b, gsize n_b)
{
  guint rows[3][LENGTH_MAX + 1];
  guint *before = rows[0], *last = rows[1], *now = rows[2];

  for (gsize j = 0; j <= n_b; j++)
    {
      last[j] = (guint)j;
      before[j] = 0;
    }
  for (gsize i = 1; i <= n_a; i++)
    {
      guint *spare;

      now[0] = (guint)i;
      for (gsize j = 1; j <= n_b; j++)
        {
          guint cost = a[i - 1] == b[j - 1] ? 0 : 1;
          guint best = MIN (last[j] + 1, now[j - 1] + 1);

          best = MIN (best, last[j - 1] + cost);
          if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
            best = MIN (best, before[j - 2] + 1);
          now[j] = best;
        }
      spare = before;
      before = last;
      last = now;
      now = spare;
    }
  return last[n_b];
}

const char *
alcove_suggest (const char *word, const char *const *words, gsize n_words)
{
  const char *nearest = NULL;
  guint fewest = G_MAXUINT;
  gsize n_word = strlen (word);

  if (n_word > LENGTH_MAX)
    return NULL;
  for (gsize i = 0; i < n_words; i++)
    {
      gsize n = strlen (words[i]);
      guint edits;

      if (n > LENGTH_MAX)
        continue;
      edits = distance (word, n_word, words[i], n);
      if (edits < fewest && edits <= MAX (1, n / 3))
        {
          fewest = edits;
          nearest = words[i];
        }
    }
  return nearest;
}
