/* SPDX-License-Identifier: GPL-3.0-or-later */
/* [pci NAME] groups: what is refused, where cards sit, attaching and detaching. */
#include "app/definition-pci.h"

#include <string.h>

#define UUID    "0f3c8a52-5c1f-4a36-9d55-0f6a8f1f2b10"
#define MACHINE "[machine]\nuuid = " UUID "\nname = Test\nmemory = 512M\n"
#define MDEV    "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

static AlcoveDefinition *
load (const char *text, GError **error)
{
  return alcove_definition_new_from_text (text, -1, "/m/machine.conf", error);
}

static void
assert_refused (const char *text, const char *expected)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (load (text, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  if (strstr (error->message, expected) == NULL)
    g_error ("\"%s\" is not in \"%s\"", expected, error->message);
}

static void
assert_address (AlcoveDefinition *definition, const char *name, const char *expected)
{
  g_autofree char *group = g_strconcat ("pci ", name, NULL);
  g_autofree char *address = alcove_definition_dup_value (definition, group, "address");

  g_assert_cmpstr (address, ==, expected);
}

static void
test_values (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveDefinition) definition =
      load (MACHINE "[pci gpu]\nhost=0000:01:00.0\nrom-file=card.rom\nvga=true\naddress=02:00.0\n"
                    "[pci m]\nhost=" MDEV "\nrom=false\nvf-token=" UUID "\n",
            &error);
  const AlcovePciConfig *pci;

  g_assert_no_error (error);
  pci = alcove_definition_find_pci (definition, "gpu");
  g_assert_cmpstr (pci->host, ==, "0000:01:00.0");
  g_assert_cmpstr (pci->rom_file, ==, "/m/card.rom");
  g_assert_true (pci->rom && pci->vga);
  g_assert_cmpuint (pci->base.address.bus, ==, 2);
  g_assert_true (alcove_definition_find_pci_host (definition, "01:00.0") == pci);
  g_assert_null (alcove_definition_find_pci_host (definition, "01:00.1"));
  pci = alcove_definition_find_pci (definition, "m");
  g_assert_false (pci->rom);
  g_assert_cmpstr (pci->vf_token, ==, UUID);
  g_assert_true (alcove_definition_find_pci_host (definition, MDEV) == pci);
  g_assert_null (alcove_definition_find_pci (definition, "x"));
}

static void
test_refused (void)
{
  assert_refused (MACHINE "[pci a]\n", "host");
  assert_refused (MACHINE "[pci a]\nhost=1:0.0\n", "0000:01:00.0");
  assert_refused (MACHINE "[pci a]\nhost=../../etc\n", "is no device");
  assert_refused (MACHINE "[pci a]\nhost=0000:01:00.8\n", "is no device");
  assert_refused (MACHINE "[pci a]\nhost=0000:01:00.0\n[pci b]\nhost=0000:01:00.0\n",
                  "[pci a] has the same one");
  assert_refused (MACHINE "[pci a]\nhost=0000:01:00.0\nrom=false\nrom-file=x\n", "rom-file");
  assert_refused (MACHINE "[pci a]\nhost=0000:01:00.0\nvf-token=x\n", "vf-token");
  assert_refused (MACHINE "[pci a]\nhost=0000:01:00.0\naddress=01:00.1\n", "use function 0");
  assert_refused (MACHINE "[pci a]\nhost=0000:01:00.0\naddress=01:01.0\n", "one device");
  assert_refused (MACHINE "[pci a]\nhost=0000:01:00.0\naddress=09:00.0\n", "no bus 09");
  assert_refused (MACHINE "[rng r]\naddress=01:00.0\n[pci a]\nhost=0000:01:00.0\naddress=01:00.0\n",
                  "taken by [rng r]");
  assert_refused (MACHINE "[rng r]\naddress=01:00.0\n[pci a]\nhost=0000:01:00.0\naddress=01:00.1\n",
                  "a slot of its own");
  assert_refused (MACHINE "[rng r]\naddress=01:00.1\n[pci a]\nhost=0000:01:00.0\naddress=01:00.0\n",
                  "holds one device");
}

/* A slot for each card; its lowest function is the guest's function 0. */
static void
test_assign (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveDefinition) definition =
      load (MACHINE "[pci usb]\nhost=0000:01:00.2\n[disk d]\nfile=d\naddress=01:00.0\n"
                    "[pci nvme]\nhost=0000:03:00.0\n[pci sound]\nhost=0000:01:00.1\n"
                    "[pci virtual]\nhost=" MDEV "\n[pci lone]\nhost=0001:01:00.3\n",
            &error);

  g_assert_no_error (error);
  g_assert_true (alcove_definition_assign (definition, &error));
  g_assert_no_error (error);
  assert_address (definition, "sound", "02:00.0");
  assert_address (definition, "usb", "02:00.2");
  assert_address (definition, "nvme", "03:00.0");
  assert_address (definition, "virtual", "04:00.0");
  assert_address (definition, "lone", "05:00.0");
  /* A function that comes later joins its card. */
  g_assert_true (
      alcove_definition_set_value (definition, "pci gpu", "host", "0000:01:00.0", &error));
  g_assert_true (alcove_definition_assign (definition, &error));
  assert_address (definition, "gpu", "02:00.1");
  assert_address (definition, "sound", "02:00.0");
}

/* igd=legacy has one place, before anything else gets one. */
static void
test_igd (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveDefinition) definition =
      load (MACHINE "[disk d]\nfile=d\n[rng r]\n[pci other]\nhost=0000:01:00.0\n"
                    "[pci igd]\nhost=0000:00:02.0\nigd=legacy\n",
            &error);
  g_autofree char *rng = NULL;

  g_assert_no_error (error);
  g_assert_cmpint (alcove_definition_find_pci (definition, "igd")->igd, ==, ALCOVE_IGD_LEGACY);
  g_assert_cmpint (alcove_definition_find_pci (definition, "other")->igd, ==, ALCOVE_IGD_ON);
  g_assert_true (alcove_definition_assign (definition, &error));
  g_assert_no_error (error);
  assert_address (definition, "igd", "00:02.0");
  assert_address (definition, "other", "01:00.0");
  rng = alcove_definition_dup_value (definition, "rng r", "address");
  g_assert_cmpstr (rng, !=, "00:02.0");
  g_clear_object (&definition);

  definition = load (MACHINE "[rng r]\naddress=00:02.0\n"
                             "[pci igd]\nhost=0000:00:02.0\nigd=legacy\n",
                     &error);
  g_assert_false (alcove_definition_assign (definition, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "“r” has it"));
  assert_refused (MACHINE "[pci i]\nhost=0000:00:02.0\nigd=legacy\naddress=01:00.0\n", "00:02.0");
  assert_refused (MACHINE "[pci i]\nhost=0000:00:02.0\nigd=both\n", "legacy");
}

static void
test_full (void)
{
  g_autoptr (GString) text = g_string_new (MACHINE);
  g_autoptr (AlcoveDefinition) definition = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 1; i <= ALCOVE_PCI_N_PORTS + 1; i++)
    g_string_append_printf (text, "[pci c%u]\nhost=0000:%02x:00.0\n", i, i);
  definition = load (text->str, &error);
  g_assert_no_error (error);
  g_assert_false (alcove_definition_assign (definition, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "[pci c9]"));
}

static void
test_edits (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveDefinition) definition = load (MACHINE "[rng r]\naddress=01:00.0\n", &error);
  g_autofree char *before = alcove_definition_to_text (definition), *after = NULL;
  g_autofree char *name = NULL, *group = NULL;
  static const struct
  {
    const char *text;
    guint code;
  } bad[] = {
    { "", ALCOVE_ERROR_INVALID },
    { "[disk d]\nfile=d\n", ALCOVE_ERROR_INVALID },
    { "[pci A]\nhost=0000:01:00.0\n", ALCOVE_ERROR_INVALID },
    { "[pci a]\nhost=0000:01:00.0\n[pci b]\nhost=0000:01:00.1\n", ALCOVE_ERROR_INVALID },
    { "[pci a]\nhost=x\n", ALCOVE_ERROR_INVALID },
    { "[pci a]\nhost=0000:01:00.0\naddress=00:05.0\n", ALCOVE_ERROR_INVALID },
    { "[pci a]\nhost=0000:01:00.0\naddress=01:00.0\n", ALCOVE_ERROR_INVALID },
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_null (alcove_definition_add_pci (definition, bad[i].text, TRUE, &error));
      g_assert_error (error, ALCOVE_ERROR, (int)bad[i].code);
      g_clear_error (&error);
    }
  after = alcove_definition_to_text (definition);
  g_assert_cmpstr (before, ==, after);

  name = alcove_definition_add_pci (definition, "[pci gpu]\nhost=0000:01:00.0\n", TRUE, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (name, ==, "gpu");
  assert_address (definition, "gpu", "02:00.0");
  g_assert_null (
      alcove_definition_add_pci (definition, "[pci gpu]\nhost=0000:05:00.0\n", TRUE, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_EXISTS);
  g_clear_error (&error);
  g_free (name);
  name = alcove_definition_add_pci (definition, "[pci gpu.1]\nhost=0000:01:00.1\n", TRUE, &error);
  assert_address (definition, "gpu.1", "02:00.1");
  group = alcove_definition_dup_pci_group (definition, "gpu.1");
  g_assert_nonnull (strstr (group, "[pci gpu.1]"));
  g_assert_nonnull (strstr (group, "02:00.1"));
  /* Function 0 alone cannot go. */
  g_assert_false (alcove_definition_remove_pci (definition, "gpu", &error));
  g_clear_error (&error);
  g_assert_true (alcove_definition_remove_pci (definition, "gpu.1", &error));
  g_assert_true (alcove_definition_remove_pci (definition, "gpu", &error));
  g_assert_false (alcove_definition_remove_pci (definition, "gpu", &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
}

/* What a card takes away is said; the schedule's part where there is one. */
static void
test_unsavable (void)
{
  g_autoptr (AlcoveDefinition) none = load (MACHINE "[snapshots]\nevery=30\n", NULL);
  g_autoptr (AlcoveDefinition) one = load (MACHINE "[pci gpu]\nhost=0000:01:00.0\n", NULL);
  g_autoptr (AlcoveDefinition) two =
      load (MACHINE "[pci gpu]\nhost=0000:01:00.0\n[pci usb]\nhost=0000:02:00.0\n"
                    "[snapshots]\nevery=30\n",
            NULL);
  g_autofree char *said = alcove_definition_dup_unsavable (one);
  g_autofree char *more = alcove_definition_dup_unsavable (two);

  g_assert_null (alcove_definition_dup_unsavable (none));
  g_assert_nonnull (strstr (said, "(“gpu”)"));
  g_assert_null (strstr (said, "automatic"));
  g_assert_nonnull (strstr (more, "(“gpu” and others)"));
  g_assert_nonnull (strstr (more, "every 30 minutes"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/definition-pci/values", test_values);
  g_test_add_func ("/definition-pci/refused", test_refused);
  g_test_add_func ("/definition-pci/assign", test_assign);
  g_test_add_func ("/definition-pci/igd", test_igd);
  g_test_add_func ("/definition-pci/full", test_full);
  g_test_add_func ("/definition-pci/edits", test_edits);
  g_test_add_func ("/definition-pci/unsavable", test_unsavable);
  return g_test_run ();
}
