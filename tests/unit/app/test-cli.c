/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The alcove program as scripts see it: output, messages, exit statuses; with a VM process without
 * a VM (fake-vmm.c). And the pieces that turn options into definitions. */
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>
#include "app-dirs.h"
#include "app/cli/run-options.h"
#include "app/definition.h"
#include "app/keys.h"
#include "app/lock.h"
#include "app/suggest.h"

static char *last_out, *last_err;

/* Runs `alcove ARGUMENTS` with input on stdin; returns the exit status. */
static int
run_with (const char *input, const char *arguments)
{
  g_auto (GStrv) words = NULL;
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GError) error = NULL;
  char program[] = ALCOVE_PROGRAM;

  g_clear_pointer (&last_out, g_free);
  g_clear_pointer (&last_err, g_free);
  g_ptr_array_add (argv, program);
  if (*arguments != '\0')
    {
      g_assert_true (g_shell_parse_argv (arguments, NULL, &words, &error));
      for (guint i = 0; words[i] != NULL; i++)
        g_ptr_array_add (argv, words[i]);
    }
  g_ptr_array_add (argv, NULL);
  process = g_subprocess_newv ((const char *const *)argv->pdata,
                               G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE |
                                   G_SUBPROCESS_FLAGS_STDERR_PIPE,
                               &error);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (process, input, NULL, &last_out, &last_err, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (process));
  return g_subprocess_get_exit_status (process);
}

static int
run (const char *arguments)
{
  return run_with ("", arguments);
}

static void
assert_in (const char *text, const char *expected)
{
  if (strstr (text, expected) == NULL)
    g_error ("\"%s\" is not in \"%s\"", expected, text);
}

static void
test_usage (void)
{
  static const char *const verbs[] = { "check", "list",  "show",     "create",     "delete",
                                       "start", "run",   "stop",     "pause",      "resume",
                                       "reset", "view",  "console",  "screenshot", "send-keys",
                                       "type",  "stats", "snapshot", "clone",      "base" };
  static const char *const mistakes[] = {
    "lits",
    "show",
    "show a b",
    "list x",
    "list --nope",
    "stop a --timeout -5",
    "stop a --timeout x",
    "send-keys a",
    "send-keys a ctrl-foo",
    "snapshot",
    "snapshot list",
    "snapshot frob a",
    "snapshot list a b",
    "snapshot show a",
    "snapshot rename a b",
    "snapshot export a b c d",
    "clone a",
    "base",
    "base frob",
    "base delete",
    "create",
    "create a --memory 1X",
    "create a --cpus 999",
    "create a --firmware efi",
    "create a --disk-format vmdk2",
    "create a --source-format qcow2",
    "create a --no-disk --disk-size 1G",
    "delete",
    "delete a --undo b",
    "run --cpus 256",
    "run --memory 0 --kernel k",
    "run --display x",
    "run --serial x",
    "run --nic bridge",
    "run --disk f,foo=1",
    "run --disk ,x",
    "run --disk f,=1",
    "run extra",
    "cd",
    "cd insert a",
    "cd eject a b c",
    "cd open a",
    "screenshot a --scanout 99",
    "run --debug-exit 1 --kernel k",
  };

  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    {
      g_autofree char *help = g_strdup_printf ("%s --help", verbs[i]);

      g_assert_cmpint (run (help), ==, 0);
      assert_in (last_out, "Usage:");
      assert_in (last_out, verbs[i]);
      g_assert_cmpstr (last_err, ==, "");
      g_assert_cmpint (run ("--help"), ==, 0);
      assert_in (last_out, verbs[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (mistakes); i++)
    {
      int status = run (mistakes[i]);

      if (status != 2)
        g_error ("alcove %s: status %d", mistakes[i], status);
      g_assert_cmpstr (last_out, ==, "");
      g_assert_cmpstr (last_err, !=, "");
    }
  g_assert_cmpint (run ("lits"), ==, 2);
  assert_in (last_err, "did you mean \"list\"");
  g_assert_cmpint (run ("run --memory 0 --kernel k"), ==, 2);
  g_assert_true (g_str_has_prefix (last_err, "alcove run: [machine] memory: 0 is out of range"));
  g_assert_cmpint (run ("/nowhere/appliance.ova"), ==, 1);
  assert_in (last_err, "/nowhere/appliance.ova\" is not there");
  g_assert_cmpint (run ("--version"), ==, 0);
  g_assert_cmpstr (last_out, ==, "alcove " ALCOVE_VERSION "\n");
}

static JsonNode *
parse_output (void)
{
  g_autoptr (GError) error = NULL;
  JsonNode *node = json_from_string (last_out, &error);

  g_assert_no_error (error);
  return node;
}

static void
test_life (void)
{
  g_autoptr (JsonNode) list = NULL, show = NULL, stats = NULL;
  g_autofree char *png = g_build_filename (app_dirs_root, "s.png", NULL);
  g_autofree char *screenshot = g_strdup_printf ("screenshot box %s", png);
  g_autofree char *log = NULL, *undo = NULL;
  g_autofree char *log_path =
      g_build_filename (app_dirs_root, "data/alcove/machines/box/log/fake", NULL);
  JsonObject *object;

  g_assert_cmpint (run ("list"), ==, 0);
  g_assert_cmpstr (last_out, ==, "");
  g_assert_cmpint (run ("list --json"), ==, 0);
  g_assert_cmpstr (last_out, ==, "[]\n");
  g_assert_cmpint (run ("create Box --disk-size 1M --memory 64M --cpus 2"), ==, 0);
  g_assert_cmpstr (last_out, ==, "box\n");
  g_assert_cmpint (run ("list --json"), ==, 0);
  list = parse_output ();
  object = json_array_get_object_element (json_node_get_array (list), 0);
  g_assert_cmpstr (json_object_get_string_member (object, "state"), ==, "stopped");
  g_assert_cmpint (json_object_get_int_member (object, "memory"), ==, 64);

  g_assert_cmpint (run ("pause box"), ==, 4);
  g_assert_cmpint (run ("stop box"), ==, 4);
  g_assert_cmpint (run ("start bok"), ==, 3);
  assert_in (last_err, "did you mean \"box\"");
  g_assert_cmpint (run ("start /nonexistent/box"), ==, 3);
  g_assert_cmpint (run ("start box"), ==, 0);
  g_assert_cmpstr (last_out, ==, "");
  g_assert_cmpint (run ("start box"), ==, 4);
  g_assert_cmpint (run ("delete box"), ==, 4);
  g_assert_cmpint (run ("show box --json"), ==, 0);
  show = parse_output ();
  object = json_node_get_object (show);
  g_assert_cmpstr (json_object_get_string_member (object, "state"), ==, "running");
  object = json_object_get_object_member (object, "definition");
  object = json_object_get_object_member (object, "machine");
  g_assert_cmpint (json_object_get_int_member (object, "cpus"), ==, 2);
  g_assert_cmpint (run ("pause box"), ==, 0);
  g_assert_cmpint (run ("pause box"), ==, 4);
  g_assert_cmpstr (last_err, ==, "alcove pause: The machine is paused already\n");
  g_assert_cmpint (run ("list"), ==, 0);
  assert_in (last_out, "box   paused  2     64 MiB  Box\n");
  g_assert_cmpint (run ("resume box"), ==, 0);
  g_assert_cmpint (run ("reset box"), ==, 0);
  g_assert_cmpint (run ("send-keys box ctrl-alt-delete F1 --hold 10"), ==, 0);
  g_assert_cmpint (run ("type box 'a\"b' --enter"), ==, 0);
  g_assert_cmpint (run_with ("from stdin\n", "type box"), ==, 0);
  g_assert_true (g_file_get_contents (log_path, &log, NULL, NULL));
  g_assert_cmpstr (log, ==,
                   "reset\nkeys [29, 56, 111] hold 10\nkeys [59] hold 10\n"
                   "type a\\\"b\\n\ntype from stdin\\n\n");
  g_assert_cmpint (run (screenshot), ==, 0);
  g_assert_true (g_file_test (png, G_FILE_TEST_IS_REGULAR));
  g_assert_cmpint (run ("screenshot box /nonexistent/x.png"), ==, 1);
  g_assert_cmpint (run ("stats box --json"), ==, 0);
  stats = parse_output ();
  g_assert_cmpint (json_object_get_int_member (json_node_get_object (stats), "vcpu.exits"), ==, 7);
  g_assert_cmpint (run ("console box --list"), ==, 0);
  g_assert_cmpstr (last_out, ==, "com1\n");
  g_assert_cmpint (run ("console box nope"), ==, 1);
  g_assert_cmpint (run ("stop box"), ==, 0);
  g_assert_cmpint (run ("delete box"), ==, 0);
  g_strchomp (last_out);
  undo = g_strdup_printf ("delete --undo '%s'", last_out);
  g_assert_cmpint (run ("show box"), ==, 3);
  g_assert_cmpint (run (undo), ==, 0);
  g_assert_cmpint (run (undo), ==, 3);
  g_assert_cmpint (run ("show box"), ==, 0);
  assert_in (last_out, "[disk system]\nfile = system.qcow2\n");
}

static void
set_conf (const char *name, const char *text)
{
  g_autofree char *path =
      g_build_filename (app_dirs_root, "data/alcove/machines", name, "machine.conf", NULL);
  g_autofree char *old = NULL, *all = NULL;

  g_assert_true (g_file_get_contents (path, &old, NULL, NULL));
  all = g_strconcat (old, text, NULL);
  g_assert_true (g_file_set_contents (path, all, -1, NULL));
}

static void
assert_snapshots (const char *command, guint n, const char *current)
{
  g_autoptr (JsonNode) list = NULL;
  JsonArray *array;

  g_assert_cmpint (run (command), ==, 0);
  list = parse_output ();
  array = json_node_get_array (list);
  g_assert_cmpuint (json_array_get_length (array), ==, n);
  for (guint i = 0; i < n; i++)
    {
      JsonObject *object = json_array_get_object_element (array, i);

      g_assert_cmpint (json_object_get_boolean_member (object, "current"), ==,
                       strcmp (json_object_get_string_member (object, "name"), current) == 0);
    }
}

static void
test_snapshots (void)
{
  g_autofree char *log_path =
      g_build_filename (app_dirs_root, "data/alcove/machines/snappy/log/fake", NULL);
  g_autofree char *log = NULL, *id = NULL, *show = NULL;
  g_autoptr (JsonNode) node = NULL;

  g_assert_cmpint (run ("create Snappy --no-disk --firmware bios"), ==, 0);
  g_assert_cmpint (run ("snapshot list nobody"), ==, 3);
  g_assert_cmpint (run ("snapshot list snappy"), ==, 0);
  g_assert_cmpstr (last_out, ==, "");
  g_assert_cmpint (run ("snapshot create snappy first --note 'how it was'"), ==, 0);
  id = g_strchomp (g_strdup (last_out));
  g_assert_cmpint (run ("snapshot create snappy second"), ==, 0);
  assert_snapshots ("snapshot list snappy --json", 2, "second");
  g_assert_cmpint (run ("snapshot list snappy"), ==, 0);
  assert_in (last_out, "*  ");
  assert_in (last_out, "  second\n");
  g_assert_cmpint (run ("snapshot show snappy first"), ==, 0);
  assert_in (last_out, "how it was");
  g_assert_cmpint (run ("snapshot show snappy frist"), ==, 1);
  assert_in (last_err, "did you mean “first”");
  g_assert_cmpint (run ("snapshot revert snappy first --discard"), ==, 0);
  assert_snapshots ("snapshot list snappy --json", 2, "first");
  g_assert_cmpint (run ("snapshot rename snappy first 'the first'"), ==, 0);
  g_assert_cmpint (run ("snapshot note snappy 'the first' other"), ==, 0);
  show = g_strdup_printf ("snapshot show snappy %s --json", id);
  g_assert_cmpint (run (show), ==, 0);
  node = parse_output ();
  g_assert_cmpstr (json_object_get_string_member (json_node_get_object (node), "name"), ==,
                   "the first");
  g_assert_cmpstr (json_object_get_string_member (json_node_get_object (node), "note"), ==,
                   "other");

  /* Running: the machine takes part; a revert turns it off, and on again. */
  g_assert_cmpint (run ("start snappy"), ==, 0);
  g_assert_cmpint (run ("snapshot create snappy live"), ==, 0);
  g_assert_cmpint (run ("snapshot show snappy live"), ==, 0);
  assert_in (last_out, "Memory:   yes");
  g_assert_cmpint (run ("snapshot revert snappy second"), ==, 0);
  assert_snapshots ("snapshot list snappy --json", 4, "second");
  g_assert_cmpint (run ("pause snappy"), ==, 0); /* it runs */
  g_assert_cmpint (run ("snapshot delete snappy live second"), ==, 0);
  g_assert_cmpint (run ("clone snappy Copy"), ==, 4);
  assert_in (last_err, "--snapshot");
  g_assert_cmpint (run ("clone snappy Copy --snapshot 'the first'"), ==, 0);
  g_assert_cmpint (run ("stop snappy --force"), ==, 0);
  g_assert_true (g_file_get_contents (log_path, &log, NULL, NULL));
  g_assert_cmpstr (log, ==,
                   "snapshot none\nsnapshot none\ndelete-disk-snapshot\ndelete-disk-snapshot\n");
  assert_snapshots ("snapshot list snappy --json", 2, "the first");

  /* A disk that cannot be part of it is named with the remedy. */
  set_conf ("snappy", "\n[disk raw]\nfile = raw.img\n");
  g_assert_cmpint (run ("snapshot create snappy"), ==, 1);
  assert_in (last_err, "“raw”");
  assert_in (last_err, "snapshot=false");
  set_conf ("snappy", "snapshot = false\n");
  g_assert_cmpint (run ("snapshot create snappy without"), ==, 0);
  g_assert_cmpint (run ("snapshot show snappy without"), ==, 0);
  assert_in (last_out, "raw: left out");
  g_assert_cmpint (run ("start snappy"), ==, 0);
  g_assert_cmpint (run ("snapshot create snappy"), ==, 1);
  assert_in (last_err, "“raw”");
  g_assert_cmpint (run ("stop snappy --force"), ==, 0);
}

/* A drive of a saved machine: its guest is told when it goes on, where the drive can. */
static void
test_cd_saved (void)
{
  g_autofree char *saved = NULL, *state = NULL, *iso = NULL, *command = NULL;

  g_assert_cmpint (run ("create Discs --no-disk --firmware bios"), ==, 0);
  set_conf ("discs", "\n[cdrom tray]\nbus = sata\n"
                     "\n[cdrom fixed]\nbus = virtio\nfile = machine.conf\n");
  saved = g_build_filename (app_dirs_root, "data/alcove/machines/discs/saved", NULL);
  state = g_build_filename (saved, "state", NULL);
  iso = g_build_filename (app_dirs_root, "some.iso", NULL);
  command = g_strdup_printf ("cd insert discs tray %s", iso);
  g_assert_cmpint (g_mkdir (saved, 0700), ==, 0);
  g_assert_true (g_file_set_contents (state, "as if it were saved", -1, NULL));
  g_assert_true (g_file_set_contents (iso, "a disc", -1, NULL));
  g_assert_cmpint (run (command), ==, 0);
  g_assert_cmpint (run ("show discs --json"), ==, 0);
  assert_in (last_out, iso);
  g_assert_cmpint (run ("cd eject discs tray"), ==, 0);
  g_assert_cmpint (run ("cd eject discs fixed"), ==, 4);
  assert_in (last_err, "without a tray");
  g_assert_cmpint (run ("show discs --json"), ==, 0);
  assert_in (last_out, "machine.conf");
  g_assert_null (strstr (last_out, iso));
}

/* A machine of the same name is never written over. */
static void
test_import_namesake (void)
{
  g_autofree char *disk = g_build_filename (app_dirs_root, "other.img", NULL);
  g_autofree char *conf =
      g_build_filename (app_dirs_root, "data/alcove/machines/namesake/machine.conf", NULL);
  g_autofree char *command = g_strdup_printf ("import %s --format raw --name Namesake", disk);
  g_autofree char *sector = g_strnfill (512, 'o');
  g_autofree char *before = NULL, *after = NULL;

  g_assert_true (g_file_set_contents (disk, sector, 512, NULL));
  g_assert_cmpint (run (command), ==, 0);
  g_assert_cmpstr (last_out, ==, "namesake\n");
  g_assert_null (strstr (last_err, "already"));
  g_assert_true (g_file_get_contents (conf, &before, NULL, NULL));
  g_assert_cmpint (run (command), ==, 0);
  g_assert_cmpstr (last_out, ==, "namesake-2\n");
  assert_in (last_err, "stays as it is");
  g_assert_true (g_file_get_contents (conf, &after, NULL, NULL));
  g_assert_cmpstr (before, ==, after);
}

static void
test_clone (void)
{
  g_autoptr (JsonNode) one = NULL, two = NULL;
  g_autofree char *saved = NULL, *state = NULL;
  JsonObject *machines[2], *nics[2];

  g_assert_cmpint (run ("create Origin --disk-size 1M --disk-format raw --firmware bios"), ==, 0);
  g_assert_cmpint (run ("clone origin 'The Copy'"), ==, 0);
  g_assert_cmpstr (last_out, ==, "the-copy\n");
  g_assert_cmpint (run ("show origin --json"), ==, 0);
  one = parse_output ();
  g_assert_cmpint (run ("show the-copy --json"), ==, 0);
  two = parse_output ();
  machines[0] = json_object_get_object_member (json_node_get_object (one), "definition");
  machines[1] = json_object_get_object_member (json_node_get_object (two), "definition");
  for (guint i = 0; i < 2; i++)
    nics[i] = json_object_get_object_member (machines[i], "nic lan");
  g_assert_cmpstr (json_object_get_string_member (nics[0], "mac"), !=,
                   json_object_get_string_member (nics[1], "mac"));
  g_assert_cmpstr (json_object_get_string_member (nics[0], "address"), ==,
                   json_object_get_string_member (nics[1], "address"));
  g_assert_cmpstr (json_object_get_string_member (json_node_get_object (one), "uuid"), !=,
                   json_object_get_string_member (json_node_get_object (two), "uuid"));
  g_assert_cmpint (run ("clone origin x --snapshot nope"), ==, 1);
  g_assert_cmpint (run ("clone origin x --linked"), ==, 1); /* a raw disk has no snapshots */
  assert_in (last_err, "convert");
  g_assert_cmpint (run ("create Source --disk-size 1M --firmware bios"), ==, 0);
  g_assert_cmpint (run ("clone source link --linked"), ==, 0);
  g_assert_cmpint (run ("disk compact source"), ==, 0);
  saved = g_build_filename (app_dirs_root, "data/alcove/machines/source/saved", NULL);
  state = g_build_filename (saved, "state", NULL);
  g_assert_cmpint (g_mkdir (saved, 0700), ==, 0);
  g_assert_true (g_file_set_contents (state, "as if it were saved", -1, NULL));
  g_assert_cmpint (run ("disk compact source"), ==, 4);
  assert_in (last_err, "--discard-saved");
  g_assert_cmpint (run ("disk check source"), ==, 0);
  g_assert_cmpint (run ("base list --json"), ==, 0);
  assert_in (last_out, "link");
  g_assert_cmpint (run ("base delete x"), ==, 1);
}

static void
test_stubborn (void)
{
  g_assert_cmpint (run ("create Mule --os fake-stubborn --no-disk"), ==, 0);
  g_assert_cmpint (run ("start mule"), ==, 0);
  g_assert_cmpint (run ("stop mule --timeout 0"), ==, 0);
  g_assert_cmpint (run ("stop mule --timeout 0.3"), ==, 1);
  assert_in (last_err, "--force");
  /* It does not answer Quit either: after ten seconds it is killed. */
  g_assert_cmpint (run ("stop mule --force"), ==, 0);
  g_assert_cmpint (run ("pause mule"), ==, 4);
  g_assert_cmpint (run ("create Wrong --os fake-refuse --no-disk"), ==, 0);
  g_assert_cmpint (run ("start wrong"), ==, 1);
  g_assert_cmpstr (last_err, ==, "alcove start: The fake refuses\n");
}

/* disk add and remove: the file is edited when the machine took the disk, and let it go. */
static void
test_disks_come_and_go (void)
{
  g_autofree char *log_path =
      g_build_filename (app_dirs_root, "data/alcove/machines/plugs/log/fake", NULL);
  g_autofree char *conf_path =
      g_build_filename (app_dirs_root, "data/alcove/machines/plugs/machine.conf", NULL);
  g_autofree char *log = NULL, *conf = NULL;

  g_assert_cmpint (run ("create Plugs --no-disk --firmware bios"), ==, 0);
  g_assert_cmpint (run ("disk add plugs"), ==, 2);
  g_assert_cmpint (run ("disk add plugs --file /x.img"), ==, 2);
  assert_in (last_err, "which format");
  g_assert_cmpint (run ("disk add nobody --file /x.img --format raw"), ==, 3);
  g_assert_cmpint (run ("disk add plugs --file /x.img --format raw"), ==, 0);
  g_assert_cmpstr (last_out, ==, "data\n");
  g_assert_cmpint (run ("disk add plugs --file /y.img --format qcow2 --bus nvme --serial S1"), ==,
                   0);
  g_assert_cmpstr (last_out, ==, "data2\n");
  g_assert_cmpint (run ("disk add plugs --file /y.img --format qcow2 --bus tape"), ==, 1);
  g_assert_cmpint (run ("disk add plugs --file /z.img --format raw --name data"), ==, 1);
  assert_in (last_err, "already has");

  g_assert_cmpint (run ("start plugs"), ==, 0);
  g_assert_cmpint (run ("disk add plugs --file /z.img --format raw --name stuck"), ==, 0);
  g_assert_cmpint (run ("disk remove plugs stuck"), ==, 1);
  assert_in (last_err, "did not release");
  g_assert_true (g_file_get_contents (conf_path, &conf, NULL, NULL));
  assert_in (conf, "[disk stuck]\nfile = /z.img\nformat = raw\naddress = 03:00.0\n");
  g_assert_cmpint (run ("disk remove plugs stuck --force"), ==, 0);
  g_assert_cmpint (run ("disk remove plugs data2"), ==, 0);
  g_assert_cmpint (run ("disk remove plugs data2"), ==, 1);
  g_assert_cmpint (run ("disk remove plugs data --timeout 0"), ==, 2);
  /* Written into the file while the machine ran: it only leaves the file. */
  set_conf ("plugs", "\n[disk later]\nfile = l.img\n");
  g_assert_cmpint (run ("disk remove plugs later"), ==, 0);
  g_assert_cmpint (run ("stop plugs --force"), ==, 0);
  g_assert_cmpint (run ("disk remove plugs data"), ==, 0);
  g_free (conf);
  g_assert_true (g_file_get_contents (conf_path, &conf, NULL, NULL));
  g_assert_null (strstr (conf, "[disk"));
  g_assert_true (g_file_get_contents (log_path, &log, NULL, NULL));
  g_assert_cmpstr (log, ==,
                   "add-disk\nremove-disk\nremove-disk by force\nremove-disk\nremove-disk\n");
}

static void
assert_medium (const char *folder, const char *drive, const char *expected)
{
  g_autofree char *path = g_build_filename (folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autofree char *group = g_strconcat ("cdrom ", drive, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveDefinition) definition = alcove_definition_load (path, &error);
  g_autofree char *file = NULL;

  g_assert_no_error (error);
  file = alcove_definition_dup_value (definition, group, "file");
  g_assert_cmpstr (file, ==, expected);
}

/* The medium of a drive: of a machine that is off, and of one that runs. */
static void
test_cd (void)
{
  g_autofree char *folder = g_build_filename (app_dirs_root, "data/alcove/machines/tower", NULL);
  g_autofree char *conf = g_build_filename (folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autofree char *log = g_build_filename (folder, "log", "fake", NULL);
  g_autofree char *iso = g_build_filename (app_dirs_root, "a.iso", NULL);
  g_autofree char *insert = g_strdup_printf ("cd insert tower tray %s", iso);
  g_autofree char *text = NULL, *with_drives = NULL, *notes = NULL;
  AlcoveLock *lock;

  g_assert_true (g_file_set_contents (iso, "x", 1, NULL));
  g_assert_cmpint (run ("create Tower --no-disk"), ==, 0);
  g_assert_cmpint (run ("cd eject tower"), ==, 1);
  assert_in (last_err, "has no CD-ROM drive: add a [cdrom]");
  g_assert_true (g_file_get_contents (conf, &text, NULL, NULL));
  with_drives = g_strconcat (text, "\n[cdrom tray]\n[cdrom locked]\n", NULL);
  g_assert_true (g_file_set_contents (conf, with_drives, -1, NULL));
  g_assert_cmpint (run ("cd eject tower"), ==, 1);
  assert_in (last_err, "say which");
  g_assert_cmpint (run ("cd insert tower nobody /dev/null"), ==, 1);
  assert_in (last_err, "no CD-ROM drive \"nobody\"");
  g_assert_cmpint (run ("cd insert tower tray /nowhere.iso"), ==, 1);
  assert_in (last_err, "no file /nowhere.iso");
  g_assert_cmpint (run (insert), ==, 0);
  assert_medium (folder, "tray", iso);
  /* Somebody else edits it just now. */
  lock = alcove_lock_acquire_definition (folder, NULL);
  g_assert_nonnull (lock);
  g_assert_cmpint (run ("cd eject tower tray"), !=, 0);
  assert_in (last_err, "try again");
  alcove_lock_release (lock);
  assert_medium (folder, "tray", iso);
  g_assert_cmpint (run ("cd eject tower tray"), ==, 0);
  assert_medium (folder, "tray", NULL);

  g_assert_cmpint (run ("start tower"), ==, 0);
  lock = alcove_lock_acquire_definition (folder, NULL);
  g_assert_nonnull (lock);
  g_assert_cmpint (run (insert), !=, 0);
  assert_in (last_err, "try again");
  alcove_lock_release (lock);
  assert_medium (folder, "tray", NULL);
  g_assert_cmpint (run (insert), ==, 0);
  assert_medium (folder, "tray", iso);
  g_assert_cmpint (run ("cd eject tower locked"), ==, 4);
  assert_in (last_err, "locked the tray");
  g_assert_cmpint (run ("cd eject tower locked --force"), ==, 0);
  g_assert_cmpint (run ("stop tower --force"), ==, 0);
  g_assert_true (g_file_get_contents (log, &notes, NULL, NULL));
  assert_in (notes, "medium tray a.iso\n");
  assert_in (notes, "eject locked by force\n");
  /* An empty drive is cloned as one. */
  g_assert_cmpint (run ("clone tower 'Second Tower'"), ==, 0);
}

static void
test_console (void)
{
  /* The fake answers in upper case; a stop ends the console. */
  g_assert_cmpint (run ("create Talk --no-disk"), ==, 0);
  g_assert_cmpint (run ("start talk"), ==, 0);
  {
    g_autoptr (GError) error = NULL;
    g_autoptr (GSubprocess) process =
        g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error,
                          ALCOVE_PROGRAM, "console", "talk", NULL);
    GInputStream *out = g_subprocess_get_stdout_pipe (process);
    GOutputStream *in = g_subprocess_get_stdin_pipe (process);
    char text[8] = "";

    g_assert_true (g_input_stream_read_all (out, text, 6, NULL, NULL, &error));
    g_assert_cmpstr (text, ==, "hello\n");
    g_assert_true (g_output_stream_write_all (in, "abc", 3, NULL, NULL, &error));
    g_assert_true (g_input_stream_read_all (out, text, 3, NULL, NULL, &error));
    g_assert_cmpmem (text, 3, "ABC", 3);
    g_assert_cmpint (run ("stop talk"), ==, 0);
    g_assert_true (g_subprocess_wait (process, NULL, &error));
    g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 0);
  }
}

/* A throw-away machine is shown and stopped by the path of its folder. */
static void
test_run_and_stop (const char *runtime)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSubprocess) process =
      g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error,
                        ALCOVE_PROGRAM, "run", "--name", "short", NULL);
  g_autoptr (GDir) dir = NULL;
  g_autofree char *path = NULL, *show = NULL, *stop = NULL;
  const char *name;
  char text[4] = "";

  g_assert_no_error (error);
  g_assert_true (g_input_stream_read_all (g_subprocess_get_stdout_pipe (process), text, 3, NULL,
                                          NULL, &error));
  g_assert_cmpstr (text, ==, "up\n"); /* the guest's own output */
  dir = g_dir_open (runtime, 0, &error);
  while (path == NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, "run-"))
      path = g_build_filename (runtime, name, NULL);
  g_assert_nonnull (path);
  show = g_strdup_printf ("show %s", path);
  g_assert_cmpint (run (show), ==, 0);
  assert_in (last_out, "State:  running");
  stop = g_strdup_printf ("stop --force %s", path);
  g_assert_cmpint (run (stop), ==, 0);
  g_assert_true (g_subprocess_wait (process, NULL, &error));
  g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 0);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
}

static void
test_run (void)
{
  g_autofree char *runtime = alcove_paths_dup_runtime ();
  g_autoptr (GDir) dir = NULL;
  const char *name;

  g_assert_cmpint (run ("run --name fake-exit-0"), ==, 0);
  g_assert_cmpstr (last_out, ==, "guest output\n");
  g_assert_cmpint (run ("run --name fake-exit-33"), ==, 33);
  g_assert_cmpint (run ("run --name fake-exit-3 --serial null"), ==, 3);
  g_assert_cmpstr (last_out, ==, "");
  test_run_and_stop (runtime);
  g_assert_cmpint (run ("run --name fake-refuse"), ==, 1);
  assert_in (last_err, "The fake refuses");
  /* Nothing is left. */
  dir = g_dir_open (runtime, 0, NULL);
  while ((name = g_dir_read_name (dir)) != NULL)
    g_assert_false (g_str_has_prefix (name, "run-"));
}

static void
test_run_options (void)
{
  char kernel[] = "/k", append[] = " a=\"b c\" ", disk[] = "/a,,b.img,readonly,serial=S1";
  char nic_none[] = "none", nic[] = "user,forward=tcp::2222:22", serial[] = "file:/s.log";
  char *disks[] = { disk, NULL }, *nics[] = { nic_none, nic, NULL };
  RunOptions options = {
    .kernel = kernel, .append = append, .disks = disks, .nics = nics, .serial = serial
  };
  g_autoptr (GError) error = NULL;
  g_autofree char *text = run_options_to_text (&options, &error);
  g_autoptr (AlcoveDefinition) definition = NULL;
  const AlcoveMachineConfig *machine;
  const AlcoveDiskConfig *config;
  guint n;

  g_assert_no_error (error);
  definition = alcove_definition_new_from_text (text, -1, NULL, &error);
  g_assert_no_error (error);
  machine = alcove_definition_get_machine (definition);
  g_assert_cmpint (machine->firmware, ==, ALCOVE_FIRMWARE_NONE);
  g_assert_cmpstr (machine->kernel, ==, "/k");
  g_assert_cmpstr (machine->cmdline, ==, " a=\"b c\" ");
  g_assert_cmpuint (machine->debug_exit, ==, 0xf4);
  g_assert_cmpuint (machine->memory_mib, ==, 512);
  config = alcove_definition_get_disks (definition, &n)[0];
  g_assert_cmpuint (n, ==, 1);
  g_assert_cmpstr (config->file, ==, "/a,b.img");
  g_assert_true (config->readonly);
  g_assert_cmpstr (config->serial, ==, "S1");
  g_assert_cmpuint (alcove_definition_get_nics (definition, &n)[0]->forwards->len, ==, 1);
  g_assert_cmpuint (n, ==, 1);
  g_assert_cmpint (alcove_definition_get_serials (definition, &n)[0]->backend, ==,
                   ALCOVE_CHAR_FILE);
  g_assert_cmpint (alcove_definition_get_displays (definition, &n)[0]->type, ==,
                   ALCOVE_DISPLAY_NONE);
  g_assert_false (run_options_use_stdio (&options));
}

static void
test_keys (void)
{
  static const char *const bad[] = {
    "", "-", "ctrl-", "ctrl--a", "foo", "a-b-c-d-e-f-g-h-i", "\xff"
  };
  g_autoptr (GError) error = NULL;
  guint keys[ALCOVE_CHORD_MAX];
  gsize n;
  const char *const *names = alcove_keys_get_names (&n);

  g_assert_cmpuint (alcove_keys_parse_chord ("Ctrl+Alt-DELETE", keys, &error), ==, 3);
  g_assert_cmpuint (keys[0], ==, 29);
  g_assert_cmpuint (keys[1], ==, 56);
  g_assert_cmpuint (keys[2], ==, 111);
  for (gsize i = 0; i < n; i++)
    g_assert_cmpuint (alcove_keys_parse_chord (names[i], keys, NULL), ==, 1);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_cmpuint (alcove_keys_parse_chord (bad[i], keys, NULL), ==, 0);
  g_assert_cmpuint (alcove_keys_parse_chord ("ctrl-delte", keys, &error), ==, 0);
  assert_in (error->message, "did you mean \"delete\"");
}

static void
test_suggest (void)
{
  static const char *const words[] = { "memory", "cpus", "a" };
  const char long_word[] = "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm";

  g_assert_cmpstr (alcove_suggest ("memroy", words, 3), ==, "memory");
  g_assert_cmpstr (alcove_suggest ("cpu", words, 3), ==, "cpus");
  g_assert_cmpstr (alcove_suggest ("zebra", words, 3), ==, NULL);
  g_assert_cmpstr (alcove_suggest (long_word, words, 3), ==, NULL);
  g_assert_cmpstr (alcove_suggest ("x", words, 0), ==, NULL);
}

int
main (int argc, char **argv)
{
  int status;

  app_dirs_init ();
  g_setenv ("ALCOVE_LIBEXECDIR", ALCOVE_FAKE_LIBEXECDIR, TRUE);
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/usage", test_usage);
  g_test_add_func ("/cli/life", test_life);
  g_test_add_func ("/cli/stubborn", test_stubborn);
  g_test_add_func ("/cli/snapshots", test_snapshots);
  g_test_add_func ("/cli/disks-come-and-go", test_disks_come_and_go);
  g_test_add_func ("/cli/clone", test_clone);
  g_test_add_func ("/cli/import-namesake", test_import_namesake);
  g_test_add_func ("/cli/cd-saved", test_cd_saved);
  g_test_add_func ("/cli/cd", test_cd);
  g_test_add_func ("/cli/console", test_console);
  g_test_add_func ("/cli/run", test_run);
  g_test_add_func ("/cli/run-options", test_run_options);
  g_test_add_func ("/cli/keys", test_keys);
  g_test_add_func ("/cli/suggest", test_suggest);
  status = g_test_run ();
  app_dirs_finish ();
  g_free (last_out);
  g_free (last_err);
  return status;
}
