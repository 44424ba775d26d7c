/* SPDX-License-Identifier: GPL-3.0-or-later */
/* vfio-tree DESCRIPTION FOLDER: makes a faked host. Then: ALCOVE_HOST_ROOT=FOLDER alcove pci list */
#include <stdio.h>
#include "tests/vfio-tree/tree-maker.h"

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) text = g_string_new (NULL);

  if (argc < 3)
    {
      fputs ("Usage: vfio-tree DESCRIPTION... FOLDER\n", stderr);
      return 2;
    }
  for (int i = 1; i + 1 < argc; i++)
    {
      g_autofree char *part = NULL;

      if (!g_file_get_contents (argv[i], &part, NULL, &error))
        break;
      g_string_append (text, part);
      g_string_append_c (text, '\n');
    }
  if (error != NULL || !tree_maker_make (text->str, argv[argc - 1], &error))
    {
      fprintf (stderr, "vfio-tree: %s\n", error->message);
      return 1;
    }
  return 0;
}
