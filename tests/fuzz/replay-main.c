/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs a fuzz target over the files of a folder (its corpus: seeds and past crashes), and over
 * mutations of them from a fixed seed. usage: fuzz-replay-NAME [--rounds N] FOLDER|FILE... */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define DEFAULT_ROUNDS 200

static guint n_inputs;

/* The input is copied to a block of its exact size, so that ASan sees a read past it. */
static void
run (const guint8 *data, gsize size)
{
  guint8 *copy = g_malloc (MAX (size, 1));

  if (size > 0)
    memcpy (copy, data, size);
  (void)LLVMFuzzerTestOneInput (copy, size);
  g_free (copy);
  n_inputs++;
}

static void
mutate (const guint8 *data, gsize size, guint rounds)
{
  GRand *rand = g_rand_new_with_seed (20240229);

  for (guint i = 0; i < rounds && size > 0; i++)
    {
      guint8 *copy = g_memdup2 (data, size);
      gsize length = size;

      if (i % 5 == 4)
        length = (gsize)g_rand_int_range (rand, 0, (gint)MIN (size, G_MAXINT));
      for (guint n = (guint)g_rand_int_range (rand, 1, 9); n > 0; n--)
        {
          gsize at = (gsize)g_rand_int_range (rand, 0, (gint)MIN (size, G_MAXINT));

          if (g_rand_boolean (rand))
            copy[at] = (guint8)g_rand_int (rand);
          else
            copy[at] = (guint8)(copy[at] ^ (1u << g_rand_int_range (rand, 0, 8)));
        }
      run (copy, length);
      g_free (copy);
    }
  g_rand_free (rand);
}

static gboolean
run_path (const char *path, guint rounds)
{
  GError *error = NULL;
  char *data;
  gsize size;

  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    {
      GDir *dir = g_dir_open (path, 0, NULL);
      const char *name;
      gboolean ok = dir != NULL;

      while (ok && (name = g_dir_read_name (dir)) != NULL)
        {
          char *child = g_build_filename (path, name, NULL);

          ok = run_path (child, rounds);
          g_free (child);
        }
      if (dir != NULL)
        g_dir_close (dir);
      return ok;
    }
  if (!g_file_get_contents (path, &data, &size, &error))
    {
      fprintf (stderr, "%s\n", error->message);
      g_clear_error (&error);
      return FALSE;
    }
  run ((const guint8 *)data, size);
  mutate ((const guint8 *)data, size, rounds);
  g_free (data);
  return TRUE;
}

int
main (int argc, char **argv)
{
  guint rounds = DEFAULT_ROUNDS;
  int first = 1;

  if (argc > 2 && strcmp (argv[1], "--rounds") == 0)
    {
      rounds = (guint)g_ascii_strtoull (argv[2], NULL, 10);
      first = 3;
    }
  run ((const guint8 *)"", 0);
  for (int i = first; i < argc; i++)
    if (!run_path (argv[i], rounds))
      return 1;
  /* A corpus that is missing must not pass for one that was replayed. */
  if (n_inputs < 2)
    {
      fprintf (stderr, "no input: the corpus folder is empty or missing\n");
      return 1;
    }
  printf ("%u inputs\n", n_inputs);
  return 0;
}
