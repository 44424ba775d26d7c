/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/cli/cli.h"

#include <stdio.h>
#include <string.h>
#include "app/cli/cli-private.h"
#include "app/locale.h"
#include "app/suggest.h"

static const CliVerb verbs[] = {
  { "check", "", "what this host can do, and what mends what it cannot",
    "The exit status is 1 when no machine can run.", cli_check },
  { "list", "", "the machines and what they do", NULL, cli_list },
  { "show", "NAME", "one machine: its definition and state", NULL, cli_show },
  { "create", "NAME", "make a machine",
    "Prints the new machine's folder name, which the other verbs take as NAME.", cli_create },
  { "delete", "NAME", "move a stopped machine to the trash",
    "Prints a token; \"alcove delete --undo TOKEN\" brings the machine back.", cli_delete },
  { "disk", "VERB", "disks: add, remove, create, info, check, resize, convert, compact, backup...",
    NULL, cli_disk },
  { "snapshot", "COMMAND NAME...", "keep a machine's state and come back to it",
    "Commands:\n"
    "  create NAME [TITLE]             take a snapshot, running or not; prints its id\n"
    "  list NAME                       the tree; * is where the machine is now\n"
    "  show NAME SNAPSHOT              one of them\n"
    "  revert NAME SNAPSHOT            go back to it; the present state is kept as a snapshot\n"
    "  delete NAME SNAPSHOT...         its children stay\n"
    "  rename NAME SNAPSHOT TITLE      give it another title\n"
    "  note NAME SNAPSHOT TEXT         give it another note\n"
    "  export NAME SNAPSHOT NEW-NAME   a new machine from it; prints its folder name\n"
    "SNAPSHOT is an id, the beginning of one, or a title that only one has.",
    cli_snapshot },
  { "clone", "NAME NEW-NAME", "copy a machine that is off, or one of its snapshots",
    "Prints the new machine's folder name. A linked clone shares a read-only base with others of\n"
    "its snapshot and is made at once; \"alcove base\" shows the bases.",
    cli_clone },
  { "base", "list | delete BASE...", "the shared disks under linked clones", NULL, cli_base },
  { "import", "FILE", "make a machine from another program's",
    "FILE is an OVA or OVF appliance, a libvirt domain's XML, a quickemu .conf, a disk image "
    "(vmdk,\n"
    "vhd, vhdx, vdi, qcow2, raw), or the name of a GNOME Boxes machine. What will be lost or "
    "changed\n"
    "is said first; with --dry-run nothing else is done.",
    cli_import },
  { "export", "NAME TO", "write a machine for other programs",
    "TO is the file (ova: for VMware, VirtualBox and others) or the folder to make (qcow2: a "
    "machine\n"
    "of Alcove; libvirt: domain XML; kubevirt: a VirtualMachine). What is lost is said first.",
    cli_export },
  { "pci", "VERB", "graphics cards and other devices to give to machines", NULL, cli_pci },
  { "start", "NAME", "start a machine; it goes on when this command ends", NULL, cli_start },
  { "run", "", "run a throw-away machine made from options",
    "Ends when the machine does. The exit status is the guest's: (value << 1) | 1 where it wrote\n"
    "value to the debug exit port, 0 after it powered off, 1 after a failure.\n"
    "A comma in a file name after --disk is written twice.",
    cli_run },
  { "stop", "NAME", "press the power button and wait until the machine is off",
    "With --force alone the machine is off at once; with --force and --timeout, when the guest "
    "did\n"
    "not shut down in time.",
    cli_stop },
  { "pause", "NAME", "halt a machine's CPUs", NULL, cli_pause },
  { "resume", "NAME", "let a paused machine go on", NULL, cli_resume },
  { "save", "NAME", "save a running machine and end it; start goes on from there",
    "Ctrl-C while it saves lets the machine go on. \"alcove start --discard-saved\" boots instead.",
    cli_save },
  { "reset", "NAME", "press the reset button", NULL, cli_reset },
  { "view", "[NAME]", "open the window of a machine, or the library", NULL, cli_view },
  { "console", "NAME [PORT]", "the terminal of a serial or console port (Ctrl-] leaves)", NULL,
    cli_console },
  { "cd", "insert|eject NAME [DRIVE] [FILE]", "change the medium of a CD-ROM drive",
    "alcove cd insert NAME [DRIVE] FILE\n"
    "alcove cd eject NAME [DRIVE]\n"
    "DRIVE is the name of a [cdrom], where the machine has several. A running machine's guest "
    "sees\n"
    "the change; the definition is changed too, so that the next start has the same medium.",
    cli_cd },
  { "screenshot", "NAME [FILE]", "save the picture as PNG",
    "FILE \"-\" is stdout; without FILE a name is made from the machine's and the time, and "
    "printed.",
    cli_screenshot },
  { "send-keys", "NAME KEYS...", "press keys: ctrl-alt-delete, f1, enter",
    "Each argument is pressed and released before the next one.", cli_send_keys },
  { "type", "NAME [TEXT]", "type text on a US keyboard; from stdin without TEXT", NULL, cli_type },
  { "stats", "NAME", "counters of a running machine", NULL, cli_stats },
};

static void
print_help (FILE *to)
{
  fputs ("Usage: alcove                      open the window\n"
         "       alcove PATH                 the window of the machine in a folder, or the import\n"
         "                                   assistant for a file; PATH has a /\n"
         "       alcove VERB [NAME] [options]\n\n"
         "Virtual machines on /dev/kvm.\n\nVerbs:\n",
         to);
  for (gsize i = 0; i < G_N_ELEMENTS (verbs); i++)
    {
      g_autofree char *left = g_strconcat (verbs[i].name, " ", verbs[i].arguments, NULL);

      fprintf (to, "  %-22s %s\n", left, verbs[i].summary);
    }
  fputs ("\nOptions:\n"
         "  --help                 this text; \"alcove VERB --help\" for a verb's options\n"
         "  --version              print the version\n\n"
         "NAME is a machine's folder name, uuid, title, or the path of its folder.\n"
         "Exit status: 0 done, 1 failed, 2 usage, 3 no such machine, 4 wrong state.\n",
         to);
}

static int
unknown_verb (const char *word)
{
  const char *names[G_N_ELEMENTS (verbs)];
  const char *nearest;

  for (gsize i = 0; i < G_N_ELEMENTS (verbs); i++)
    names[i] = verbs[i].name;
  nearest = alcove_suggest (word, names, G_N_ELEMENTS (verbs));
  if (nearest != NULL)
    cli_say ("There is no verb \"%s\": did you mean \"%s\"?", word, nearest);
  else
    cli_say ("There is no verb \"%s\": \"alcove --help\" lists them", word);
  return ALCOVE_EXIT_USAGE;
}

static int
run_verb (const CliVerb *verb, int argc, char **argv, AlcoveCliWindow window)
{
  Cli cli = { .verb = verb, .window = window };
  int status = verb->run (&cli, argc, argv);

  g_clear_object (&cli.library);
  if (fflush (stdout) != 0 && status == ALCOVE_EXIT_DONE)
    status = ALCOVE_EXIT_FAILED; /* the data did not arrive */
  return status;
}

/* What the desktop opens with us. */
static int
open_path (const char *path, AlcoveCliWindow window)
{
  /* The window may be another process's, with another working folder. */
  g_autofree char *absolute = g_canonicalize_filename (path, NULL);

  if (!g_file_test (absolute, G_FILE_TEST_EXISTS))
    {
      cli_say ("\"%s\" is not there: check the path", absolute);
      return ALCOVE_EXIT_FAILED;
    }
  if (window == NULL)
    {
      cli_say ("This build has no window: \"alcove import\" does the same here");
      return ALCOVE_EXIT_FAILED;
    }
  return window (g_file_test (absolute, G_FILE_TEST_IS_DIR) ? "--view" : "--import", absolute);
}

int
alcove_cli_main (int argc, char **argv, AlcoveCliWindow window)
{
  alcove_locale_init ();
  g_set_prgname ("alcove");
  if (argc < 2)
    {
      if (window != NULL)
        return window (NULL, NULL);
      print_help (stderr);
      return ALCOVE_EXIT_USAGE;
    }
  if (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0 ||
      strcmp (argv[1], "help") == 0)
    {
      print_help (stdout);
      return fflush (stdout) == 0 ? ALCOVE_EXIT_DONE : ALCOVE_EXIT_FAILED;
    }
  if (strcmp (argv[1], "--version") == 0)
    {
      puts ("alcove " ALCOVE_VERSION);
      return fflush (stdout) == 0 ? ALCOVE_EXIT_DONE : ALCOVE_EXIT_FAILED;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (strcmp (argv[1], verbs[i].name) == 0)
      return run_verb (&verbs[i], argc - 1, argv + 1, window);
  if (argc == 2 && strchr (argv[1], '/') != NULL)
    return open_path (argv[1], window);
  return unknown_verb (argv[1]);
}
