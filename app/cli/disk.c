/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove disk: its verbs, and what they share. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/disk-private.h"
#include "app/saved.h"
#include "app/suggest.h"

#define IMAGE_WORDS "(NAME [DISK] | FILE --format F)"

static const CliVerb disk_verbs[] = {
  { "disk add", "NAME --file FILE --format F", "give a machine a disk, also while it runs",
    "Prints the disk's name.", cli_disk_add },
  { "disk remove", "NAME DISK", "take a disk away, also while the machine runs",
    "A running guest is asked to release it, and unmounts nothing by itself: do that first. The\n"
    "image file stays.",
    cli_disk_remove },
  { "disk create", "FILE SIZE", "make an empty image", NULL, cli_disk_create },
  { "disk info", IMAGE_WORDS, "format, sizes, backing images, snapshots", NULL, cli_disk_info },
  { "disk check", IMAGE_WORDS, "look for damage",
    "The exit status is 1 when there is damage; space that is lost but harmless is no damage.",
    cli_disk_check },
  { "disk repair", IMAGE_WORDS, "mend what check finds", NULL, cli_disk_repair },
  { "disk resize", IMAGE_WORDS " SIZE", "make a disk larger or smaller",
    "Partitions and file systems in the guest stay as they are: extend them there afterwards, or\n"
    "shrink them before. A disk is made smaller only where nothing but zeroes is cut off.",
    cli_disk_resize },
  { "disk convert", IMAGE_WORDS " TO", "copy a disk into another format",
    "Reads raw, qcow2, vmdk, vhd, vhdx and vdi; writes raw and qcow2.", cli_disk_convert },
  { "disk compact", IMAGE_WORDS, "give back the space of zeroes and leaks", NULL,
    cli_disk_compact },
  { "disk compare", "FILE FILE", "compare the contents of two images",
    "The exit status is 1 when they differ.", cli_disk_compare },
  { "disk map", IMAGE_WORDS, "what lies where", NULL, cli_disk_map },
  { "disk backup", IMAGE_WORDS " TO", "full and incremental backups",
    "alcove disk backup NAME monday.qcow2 --bitmap daily\n"
    "alcove disk backup NAME tuesday.qcow2 --bitmap daily --since monday.qcow2",
    cli_disk_backup },
  { "disk rebase", IMAGE_WORDS, "give an image another backing image", NULL, cli_disk_rebase },
  { "disk commit", IMAGE_WORDS, "write an image's changes into its backing image", NULL,
    cli_disk_commit },
};

static void
print_disk_help (FILE *to)
{
  fputs ("Usage: alcove disk VERB [options]\n\nVerbs:\n", to);
  for (gsize i = 0; i < G_N_ELEMENTS (disk_verbs); i++)
    fprintf (to, "  %-10s %s\n", disk_verbs[i].name + strlen ("disk "), disk_verbs[i].summary);
  fputs ("\n\"alcove disk VERB --help\" for a verb's options.\n", to);
}

int
cli_disk (Cli *cli, int argc, char **argv)
{
  const char *names[G_N_ELEMENTS (disk_verbs)];
  const char *nearest;

  if (argc < 2 || strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0)
    {
      print_disk_help (argc < 2 ? stderr : stdout);
      return argc < 2 ? ALCOVE_EXIT_USAGE : ALCOVE_EXIT_DONE;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (disk_verbs); i++)
    {
      names[i] = disk_verbs[i].name + strlen ("disk ");
      if (strcmp (argv[1], names[i]) == 0)
        {
          cli->verb = &disk_verbs[i];
          return cli->verb->run (cli, argc - 1, argv + 1);
        }
    }
  nearest = alcove_suggest (argv[1], names, G_N_ELEMENTS (names));
  if (nearest != NULL)
    return cli_usage (cli, "there is no verb \"%s\": did you mean \"%s\"?", argv[1], nearest);
  return cli_usage (cli, "there is no verb \"%s\"", argv[1]);
}

/* ---- which image ---- */

void
cli_disk_clear (CliDisk *disk)
{
  g_clear_pointer (&disk->path, g_free);
  g_clear_pointer (&disk->lock, alcove_lock_release);
}

gboolean
cli_disk_parse_format (Cli *cli, const char *word, BlockFormat *ret, int *ret_status)
{
  if (word != NULL && block_format_from_string (word, ret))
    return TRUE;
  *ret_status = cli_usage (cli, "\"%s\" is no format: raw, qcow2, vmdk, vhd, vhdx, vdi",
                           word != NULL ? word : "");
  return FALSE;
}

gboolean
cli_disk_parse_size (Cli *cli, const char *text, guint64 *ret_bytes, int *ret_status)
{
  g_autoptr (GError) error = NULL;
  guint64 mib = 0;

  if (!alcove_parse_mib (text, &mib, &error))
    {
      *ret_status = cli_usage (cli, "%s", error->message);
      return FALSE;
    }
  if (mib == 0 || mib > (guint64)G_MAXINT64 / (1024 * 1024))
    {
      *ret_status = cli_usage (cli, "a size of %s is not possible", text);
      return FALSE;
    }
  *ret_bytes = mib * 1024 * 1024;
  return TRUE;
}

static gboolean
find_file (Cli *cli, const char *path, const char *format, CliDisk *ret, int *ret_status)
{
  if (format == NULL)
    {
      BlockFormat guess = alcove_disk_guess_format (path);

      *ret_status =
          cli_usage (cli,
                     "which format is %s? The contents look like %s: add --format %s if "
                     "you know that it is",
                     path, block_format_to_string (guess), block_format_to_string (guess));
      return FALSE;
    }
  if (!cli_disk_parse_format (cli, format, &ret->format, ret_status))
    return FALSE;
  ret->path = g_strdup (path);
  return TRUE;
}

static const AlcoveDiskConfig *
choose_disk (Cli *cli, AlcoveMachine *machine, const char *name, int *ret_status)
{
  AlcoveDefinition *definition = alcove_machine_get_definition (machine);
  const AlcoveDiskConfig *const *disks;
  g_autoptr (GString) names = g_string_new (NULL);
  guint n = 0;

  if (definition == NULL)
    {
      cli_say ("%s", alcove_machine_get_error (machine));
      *ret_status = ALCOVE_EXIT_FAILED;
      return NULL;
    }
  disks = alcove_definition_get_disks (definition, &n);
  for (guint i = 0; i < n; i++)
    {
      if (name != NULL ? strcmp (disks[i]->base.name, name) == 0 : n == 1)
        return disks[i];
      g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", disks[i]->base.name);
    }
  if (name == NULL)
    *ret_status =
        cli_usage (cli, n == 0 ? "%s has no disk%s" : "%s has several disks, name one: %s",
                   alcove_machine_get_id (machine), names->str);
  else
    *ret_status = cli_usage (cli, "%s has no disk \"%s\"; there are: %s",
                             alcove_machine_get_id (machine), name, n > 0 ? names->str : "none");
  return NULL;
}

gboolean
cli_disk_find (Cli *cli,
               char **words,
               guint n_words,
               const char *format,
               gboolean writable,
               CliDisk *ret,
               int *ret_status)
{
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autofree char *word = NULL;
  const AlcoveDiskConfig *disk;
  GError *error = NULL;

  if (n_words == 1 && (format != NULL || g_file_test (words[0], G_FILE_TEST_IS_REGULAR)))
    return find_file (cli, words[0], format, ret, ret_status);
  machine = cli_find (cli, words[0], ret_status);
  if (machine == NULL)
    return FALSE;
  disk = choose_disk (cli, machine, n_words > 1 ? words[1] : NULL, ret_status);
  if (disk == NULL)
    return FALSE;
  if (writable)
    {
      ret->lock =
          alcove_lock_acquire (alcove_machine_get_folder (machine), "works on a disk", &error);
      if (ret->lock == NULL)
        {
          *ret_status = cli_fail (cli, error);
          return FALSE;
        }
      /* What was saved would not fit a disk that was changed. */
      if (alcove_saved_exists (alcove_machine_get_folder (machine)))
        {
          g_set_error (&error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                       "%s is saved and needs its disks as they are: start it and turn it off "
                       "first, or give up what was saved with \"alcove start --discard-saved\"",
                       alcove_machine_get_id (machine));
          *ret_status = cli_fail (cli, error);
          return FALSE;
        }
    }
  ret->path = g_strdup (disk->file);
  {
    g_autofree char *group = g_strconcat ("disk ", disk->base.name, NULL);

    word = alcove_definition_dup_value (alcove_machine_get_definition (machine), group, "format");
  }
  return cli_disk_parse_format (cli, word, &ret->format, ret_status);
}

/* ---- work ---- */

gboolean
cli_work_is_cancelled (CliWork *work)
{
  sigset_t pending;

  if (!work->cancelled && sigpending (&pending) == 0)
    work->cancelled = sigismember (&pending, SIGINT) == 1 || sigismember (&pending, SIGTERM) == 1;
  return work->cancelled;
}

static gboolean
on_step (guint64 done, guint64 total, gpointer user_data)
{
  CliWork *work = user_data;

  if (work->terminal && total > 0)
    {
      fprintf (stderr, "\r%5.1f %%", (double)done * 100 / (double)total);
      work->shown = TRUE;
    }
  return !cli_work_is_cancelled (work);
}

void
cli_work_begin (CliWork *work)
{
  memset (work, 0, sizeof *work);
  work->progress.step = on_step;
  work->progress.user_data = work;
  work->terminal = isatty (STDERR_FILENO);
  /* Held back here and in every thread made from now on; on_step looks whether one waits. */
  sigemptyset (&work->signals);
  sigaddset (&work->signals, SIGINT);
  sigaddset (&work->signals, SIGTERM);
  pthread_sigmask (SIG_BLOCK, &work->signals, &work->saved);
}

void
cli_work_end (CliWork *work)
{
  const struct timespec now = { 0 };

  /* What asked for the end has been heard. */
  if (work->cancelled)
    while (sigtimedwait (&work->signals, NULL, &now) > 0)
      ;
  pthread_sigmask (SIG_SETMASK, &work->saved, NULL);
  if (work->shown)
    fputs ("\r         \r", stderr);
}
