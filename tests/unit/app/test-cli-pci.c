/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove pci list and check, as a person runs them, over faked hosts. */
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/wait.h>
#include "tests/unit/vfio/host/fake-host.h"

static int
run (FakeHost *host, const char *words, char **ret_output)
{
  g_auto (GStrv) environment =
      g_environ_setenv (g_get_environ (), "ALCOVE_HOST_ROOT", host->folder, TRUE);
  g_autofree char *line = g_strconcat (ALCOVE_PROGRAM, " pci ", words, NULL);
  g_autofree char *errors = NULL;
  g_auto (GStrv) argv = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  environment = g_environ_setenv (environment, "ALCOVE_QUIRKS", VFIO_QUIRKS, TRUE);
  g_assert_true (g_shell_parse_argv (line, NULL, &argv, NULL));
  g_spawn_sync (NULL, argv, environment, 0, NULL, NULL, ret_output, &errors, &status, &error);
  g_assert_no_error (error);
  g_test_message ("%s: %s%s", words, *ret_output, errors);
  g_assert_true (WIFEXITED (status));
  return WEXITSTATUS (status);
}

static void
assert_output (FakeHost *host, const char *words, int status, const char *const *wanted)
{
  g_autofree char *output = NULL;

  g_assert_cmpint (run (host, words, &output), ==, status);
  for (guint i = 0; wanted != NULL && wanted[i] != NULL; i++)
    if (strstr (output, wanted[i]) == NULL)
      g_error ("no \"%s\" in the output of %s:\n%s", wanted[i], words, output);
}

static JsonObject *
run_json (FakeHost *host, const char *words, int status, JsonNode **ret_node)
{
  g_autofree char *output = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (run (host, words, &output), ==, status);
  *ret_node = json_from_string (output, &error);
  g_assert_no_error (error);
  return json_node_get_object (*ret_node);
}

static void
test_list (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("desktop", NULL);
  g_autoptr (JsonNode) node = NULL;
  g_autofree char *plain = NULL;
  JsonObject *object;

  assert_output (host, "list", 0,
                 (const char *[]){ "0000:0d:00.0  15     nouveau", "NVIDIA GeForce RTX 3070\n",
                                   "gnome-shell (1893)", NULL });
  g_assert_cmpint (run (host, "list", &plain), ==, 0);
  g_assert_null (strstr (plain, "0000:00:01.1"));
  assert_output (host, "list --all", 0, (const char *[]){ "0000:00:01.1", "pcieport", NULL });
  object = run_json (host, "list --json", 0, &node);
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (object, "functions")), ==,
                    host->inventory->functions->len);
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (object, "groups")), ==,
                    host->inventory->groups->len);
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (object, "cards")), ==,
                    host->inventory->cards->len);
}

static void
test_check (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("desktop", NULL);
  g_autoptr (JsonNode) node = NULL;
  JsonObject *object, *card;

  assert_output (
      host, "check", 0,
      (const char *[]){ "This host", "Its cards", "Ready to be given to a machine", NULL });
  assert_output (host, "check 0d:00.0", 0,
                 (const char *[]){ "together    0000:0d:00.0", "0000:0d:00.1", NULL });
  assert_output (host, "check 0000:0c:00.0", 1,
                 (const char *[]){ "Blocked: The desktop's graphics card", "gnome-shell", NULL });
  assert_output (host, "check --boot-files 0d:00.0", 0,
                 (const char *[]){ "ids=10de:2484,10de:228b", "To undo it:", NULL });
  assert_output (host, "check --boot-files 01:00.0", 1, NULL); /* the system's disk */
  assert_output (host, "check --boot-files", 2, NULL);
  assert_output (host, "check --memory 1048576 0d:00.0", 1,
                 (const char *[]){ "needs 1 TiB of locked memory", NULL });
  assert_output (host, "check --memory -1", 2, NULL);
  assert_output (host, "check 00:01.1", 1, NULL); /* a bridge */
  assert_output (host, "check 00:1e.0", 1, NULL);
  assert_output (host, "check ../../etc", 2, NULL);
  assert_output (host, "chekc", 2, NULL);
  object = run_json (host, "check --json 0d:00.1", 0, &node);
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (object, "cards")), ==, 1);
  card = json_array_get_object_element (json_object_get_array_member (object, "cards"), 0);
  g_assert_cmpstr (json_object_get_string_member (card, "id"), ==, "0000:0d:00.0");
  g_assert_cmpstr (json_object_get_string_member (card, "severity"), ==, "note");
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (card, "takes")), ==, 2);
}

/* What a driver shares: kinds, and one that was made. */
static void
test_mediated (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("laptop", FAKE_MEDIATED_THERE);
  g_autoptr (JsonNode) node = NULL;
  JsonArray *functions, *types = NULL, *made = NULL;

  assert_output (host, "list", 0,
                 (const char *[]){ FAKE_MEDIATED_UUID "  40     -", "GVTg_V5_4 of 0000:00:02.0\n",
                                   "GVTg_V5_4 of 0000:00:02.0: 2 can be made (i915-GVTg_V5_4)",
                                   "i915-GVTg_V5_8 of 0000:00:02.0: 0 can be made", NULL });
  assert_output (host, "check 00:02.0", 1,
                 (const char *[]){ "GVTg_V5_4 (2 can be made), i915-GVTg_V5_8 (none left)",
                                   "/sys/bus/mdev/devices/" FAKE_MEDIATED_UUID "/remove", NULL });
  functions = json_object_get_array_member (run_json (host, "list --json", 0, &node), "functions");
  for (guint i = 0; i < json_array_get_length (functions); i++)
    {
      JsonObject *function = json_array_get_object_element (functions, i);

      if (strcmp (json_object_get_string_member (function, "address"), "0000:00:02.0") != 0)
        continue;
      types = json_object_get_array_member (function, "mediated-types");
      made = json_object_get_array_member (function, "mediated-devices");
    }
  g_assert_cmpuint (json_array_get_length (types), ==, 2); /* the third kind is no PCI function */
  g_assert_cmpint (
      json_object_get_int_member (json_array_get_object_element (types, 0), "available"), ==, 2);
  g_assert_cmpuint (json_array_get_length (made), ==, 1);
  g_assert_cmpstr (json_object_get_string_member (json_array_get_object_element (made, 0), "uuid"),
                   ==, FAKE_MEDIATED_UUID);
  g_assert_cmpint (json_object_get_int_member (json_array_get_object_element (made, 0), "group"),
                   ==, 40);
}

static void
test_bare (void)
{
  g_autoptr (FakeHost) off =
      fake_host_new ("laptop", "remove /sys/kernel/iommu_groups\nremove /sys/class/iommu");
  g_autoptr (FakeHost) empty = fake_host_new ("laptop", "remove /sys");

  assert_output (off, "check", 1, (const char *[]){ "intel_iommu=on", NULL });
  assert_output (empty, "list", 0, NULL);
  assert_output (empty, "check", 1, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/app/cli-pci/list", test_list);
  g_test_add_func ("/app/cli-pci/check", test_check);
  g_test_add_func ("/app/cli-pci/bare", test_bare);
  g_test_add_func ("/app/cli-pci/mediated", test_mediated);
  return g_test_run ();
}
