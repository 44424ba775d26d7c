/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove pci attach and detach as scripts see them, on a faked host and a machine that is off. (A
 * running machine gets and releases devices in the lab.) */
#include <string.h>

#include "app-dirs.h"
#include "app/definition-pci.h"
#include "tests/unit/vfio/host/fake-host.h"

static int
run (char **ret_out, char **ret_err, const char *arguments)
{
  g_auto (GStrv) words = NULL;
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *line = g_strconcat (ALCOVE_PROGRAM " ", arguments, NULL);

  g_assert_true (g_shell_parse_argv (line, NULL, &words, &error));
  process =
      g_subprocess_newv ((const char *const *)words,
                         G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE, &error);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (process, NULL, NULL, ret_out, ret_err, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (process));
  return g_subprocess_get_exit_status (process);
}

static void
assert_run (int status, const char *arguments, const char *out_word, const char *err_word)
{
  g_autofree char *out = NULL, *err = NULL;
  int got = run (&out, &err, arguments);

  if (got != status || (out_word != NULL && strstr (out, out_word) == NULL) ||
      (err_word != NULL && strstr (err, err_word) == NULL))
    g_error ("alcove %s: status %d\n%s\n%s", arguments, got, out, err);
}

static AlcoveDefinition *
load (void)
{
  g_autofree char *path =
      g_build_filename (app_dirs_root, "data/alcove/machines/gamer", ALCOVE_DEFINITION_FILE, NULL);
  g_autoptr (GError) error = NULL;
  AlcoveDefinition *definition = alcove_definition_load (path, &error);

  g_assert_no_error (error);
  return definition;
}

static void
assert_place (const char *host, const char *address)
{
  g_autoptr (AlcoveDefinition) definition = load ();
  const AlcovePciConfig *pci = alcove_definition_find_pci_host (definition, host);
  g_autofree char *text = NULL;

  if (address == NULL)
    {
      g_assert_null (pci);
      return;
    }
  g_assert_nonnull (pci);
  text = alcove_pci_address_to_string (&pci->base.address);
  g_assert_cmpstr (text, ==, address);
}

static void
test_attach (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("desktop", NULL);
  g_autofree char *line = NULL;
  VfioFunction *gpu = NULL, *sound;
  g_autofree char *command = NULL;

  /* The first graphics card with a second function. */
  for (guint i = 0; i < host->inventory->functions->len && gpu == NULL; i++)
    {
      VfioFunction *function = g_ptr_array_index (host->inventory->functions, i);

      if (!function->bridge && function->card->main == function &&
          function->card->functions->len == 2)
        gpu = function;
    }
  g_assert_nonnull (gpu);
  sound = g_ptr_array_index (gpu->card->functions, 1);
  g_setenv ("ALCOVE_HOST_ROOT", host->folder, TRUE);
  assert_run (0, "create gamer --no-disk", NULL, NULL);

  command = g_strdup_printf ("pci attach gamer %s --vga", gpu->id);
  assert_run (0, command, "gpu\ngpu.1\n", NULL);
  assert_place (gpu->id, "01:00.0");
  assert_place (sound->id, "01:00.1");
  {
    g_autoptr (AlcoveDefinition) definition = load ();

    g_assert_true (alcove_definition_find_pci (definition, "gpu")->vga);
    g_assert_false (alcove_definition_find_pci (definition, "gpu.1")->vga);
  }
  assert_run (1, command, NULL, "already");

  /* By any of its names the whole card goes. */
  line = g_strdup_printf ("pci detach gamer %s", sound->id);
  assert_run (0, line, NULL, NULL);
  assert_place (gpu->id, NULL);
  assert_place (sound->id, NULL);
  assert_run (1, line, NULL, "no device");

  g_free (line);
  line = g_strdup_printf ("pci attach gamer %s --only --name sound --no-rom", sound->id);
  assert_run (0, line, "sound\n", NULL);
  assert_place (sound->id, "01:00.0");
  assert_place (gpu->id, NULL);
  assert_run (0, "pci detach gamer sound", NULL, NULL);
  g_unsetenv ("ALCOVE_HOST_ROOT");
}

/* A virtual device that a driver made goes by its UUID. */
static void
test_mediated (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("laptop", FAKE_MEDIATED_THERE);

  g_setenv ("ALCOVE_HOST_ROOT", host->folder, TRUE);
  assert_run (0, "pci attach gamer " FAKE_MEDIATED_UUID, "virtual\n", NULL);
  assert_place (FAKE_MEDIATED_UUID, "01:00.0");
  assert_run (1, "pci attach gamer " FAKE_MEDIATED_UUID, NULL, "already");
  assert_run (0, "pci detach gamer " FAKE_MEDIATED_UUID, NULL, NULL);
  assert_place (FAKE_MEDIATED_UUID, NULL);
  assert_run (1, "pci attach gamer 22222222-2222-4333-8444-555555555555", NULL,
              "no virtual device");
  g_unsetenv ("ALCOVE_HOST_ROOT");
}

/* What comes along: said what happens to it, and given too when that is wanted. */
static void
test_mates (void)
{
  g_autoptr (FakeHost) host =
      fake_host_new ("desktop", "function 0000:0f:00.3\ngroup 15\nremove /proc/1893");

  g_setenv ("ALCOVE_HOST_ROOT", host->folder, TRUE);
  assert_run (0, "pci attach gamer 0000:0d:00.0", "gpu\ngpu.1\n", "nobody has it");
  assert_place ("0000:0f:00.3", NULL);
  assert_run (0, "pci detach gamer gpu", NULL, NULL);
  assert_run (0, "pci attach gamer 0000:0d:00.0 --mates", "gpu\ngpu.1\nmate", "gets it too");
  assert_place ("0000:0d:00.1", "01:00.1");
  assert_place ("0000:0f:00.3", "02:00.0");
  assert_run (0, "pci list gamer", "0000:0f:00.3  02:00.0  -           when it starts", NULL);
  assert_run (0, "pci list gamer --json", "\"live\" : false", NULL);
  assert_run (0, "pci detach gamer 0000:0f:00.3", NULL, NULL);
  assert_place ("0000:0f:00.3", NULL);
  assert_run (0, "pci detach gamer gpu", NULL, NULL);
  assert_run (2, "pci attach gamer 0000:0d:00.0 --only --mates", NULL, "exclude");
  assert_run (3, "pci list nobody", NULL, NULL);
  g_unsetenv ("ALCOVE_HOST_ROOT");
}

static void
test_mistakes (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("desktop", NULL);

  g_setenv ("ALCOVE_HOST_ROOT", host->folder, TRUE);
  assert_run (2, "pci attach", NULL, NULL);
  assert_run (2, "pci attach gamer", NULL, NULL);
  assert_run (2, "pci attach gamer ../../etc/passwd", NULL, "address");
  assert_run (1, "pci attach gamer ffff:01:00.0", NULL, NULL);
  assert_run (3, "pci attach nobody 0000:01:00.0", NULL, NULL);
  assert_run (2, "pci attach gamer 0000:01:00.0 --no-rom --rom-file x", NULL, "exclude");
  assert_run (2, "pci attach gamer 0000:01:00.0 --name 'A B'", NULL, "name");
  assert_run (2, "pci detach gamer x --timeout 0", NULL, "timeout");
  assert_run (1, "pci detach gamer x", NULL, "no device");
  g_unsetenv ("ALCOVE_HOST_ROOT");
}

int
main (int argc, char **argv)
{
  int status;

  app_dirs_init ();
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli-pci-attach/attach", test_attach);
  g_test_add_func ("/cli-pci-attach/mediated", test_mediated);
  g_test_add_func ("/cli-pci-attach/mates", test_mates);
  g_test_add_func ("/cli-pci-attach/mistakes", test_mistakes);
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
