/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/boot/firmware.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct
{
  char *root, *strong, *weak, *code, *vars;
  const char *directories[3];
  VmmFirmwareQuery query;
} Fixture;

static void
write_file (const char *dir, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  f->root = g_dir_make_tmp ("alcove-firmware-XXXXXX", &error);
  g_assert_no_error (error);
  f->strong = g_build_filename (f->root, "strong", NULL);
  f->weak = g_build_filename (f->root, "weak", NULL);
  f->code = g_build_filename (f->root, "CODE.fd", NULL);
  f->vars = g_build_filename (f->root, "VARS.fd", NULL);
  g_assert_cmpint (g_mkdir (f->strong, 0700) | g_mkdir (f->weak, 0700), ==, 0);
  write_file (f->root, "CODE.fd", "code");
  write_file (f->root, "VARS.fd", "vars");
  f->directories[0] = f->strong;
  f->directories[1] = f->weak;
  f->query = (VmmFirmwareQuery){ .directories = f->directories, .root = f->root };
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  char *argv[] = { (char *)"rm", (char *)"-r", f->root, NULL };

  g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free (f->root);
  g_free (f->strong);
  g_free (f->weak);
  g_free (f->code);
  g_free (f->vars);
}

static void
describe (Fixture *f, const char *dir, const char *name, const char *features, const char *machines)
{
  g_autofree char *text = g_strdup_printf (
      "{\"description\": \"%s\", \"interface-types\": [\"uefi\"], \"mapping\": {\"device\": "
      "\"flash\", \"executable\": {\"filename\": \"%s\", \"format\": \"raw\"}, "
      "\"nvram-template\": {\"filename\": \"%s\", \"format\": \"raw\"}}, \"targets\": "
      "[{\"architecture\": \"x86_64\", \"machines\": [\"%s\"]}], \"features\": [%s]}",
      name, f->code, f->vars, machines, features);

  write_file (dir, name, text);
}

static VmmFirmware *
find (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  VmmFirmware *firmware = vmm_firmware_find (&f->query, &error);

  g_assert_no_error (error);
  return firmware;
}

static void
test_order (Fixture *f, gconstpointer data)
{
  g_autoptr (VmmFirmware) a = NULL, b = NULL, c = NULL;
  g_autoptr (GPtrArray) list = NULL;

  describe (f, f->weak, "20-b.json", "", "pc-q35-*");
  describe (f, f->weak, "10-a.json", "", "pc-q35-*");
  a = find (f);
  g_assert_cmpstr (a->description, ==, "10-a.json");
  g_assert_cmpstr (a->code, ==, f->code);
  g_assert_cmpstr (a->vars_template, ==, f->vars);
  g_assert_true (g_str_has_prefix (a->descriptor, f->weak));

  describe (f, f->strong, "10-a.json", "", "pc-q35-*");
  b = find (f);
  g_assert_true (g_str_has_prefix (b->descriptor, f->strong));
  write_file (f->strong, "10-a.json", "");
  c = find (f);
  g_assert_cmpstr (c->description, ==, "20-b.json");
  list = vmm_firmware_list (&f->query);
  g_assert_cmpuint (list->len, ==, 1);
}

static void
test_features (Fixture *f, gconstpointer data)
{
  g_autoptr (VmmFirmware) any = NULL, required = NULL;
  g_autoptr (GError) error = NULL;

  describe (f, f->weak, "10-smm.json", "\"secure-boot\", \"requires-smm\"", "pc-q35-*");
  describe (f, f->weak, "15-other.json", "", "pc-i440fx-*");
  g_assert_null (vmm_firmware_find (&f->query, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "ovmf"));
  g_assert_nonnull (strstr (error->message, "10-smm.json requires system management mode"));
  g_clear_error (&error);

  describe (f, f->weak, "20-enrolled.json", "\"secure-boot\", \"enrolled-keys\"", "pc-q35-*");
  describe (f, f->weak, "30-plain.json", "", "pc-q35-*");
  any = find (f);
  g_assert_cmpstr (any->description, ==, "30-plain.json");
  f->query.secure_boot = VMM_SECURE_BOOT_REQUIRED;
  required = find (f);
  g_assert_cmpstr (required->description, ==, "20-enrolled.json");
  g_assert_true (required->enrolled_keys);
  f->query.smm = TRUE;
  vmm_firmware_free (required);
  required = find (f);
  g_assert_cmpstr (required->description, ==, "10-smm.json");
}

static void
test_missing_image (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  describe (f, f->weak, "10-a.json", "", "pc-q35-*");
  g_assert_cmpint (g_remove (f->code), ==, 0);
  g_assert_null (vmm_firmware_find (&f->query, &error));
  g_assert_nonnull (strstr (error->message, "not there"));
}

static void
test_well_known (Fixture *f, gconstpointer data)
{
  g_autofree char *dir = g_build_filename (f->root, "usr/share/seabios", NULL);
  g_autoptr (VmmFirmware) bios = NULL;
  g_autoptr (GError) error = NULL;

  f->query.kind = VMM_FIRMWARE_BIOS;
  g_assert_null (vmm_firmware_find (&f->query, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "seabios"));
  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  write_file (dir, "bios-256k.bin", "bios");
  bios = find (f);
  g_assert_true (g_str_has_suffix (bios->code, "/usr/share/seabios/bios-256k.bin"));
  g_assert_null (bios->vars_template);
  g_assert_null (bios->descriptor);
}

static void
test_hostile (Fixture *f, gconstpointer data)
{
  static const char *const texts[] = {
    "{",
    "[]",
    "null",
    "7",
    "\"x\"",
    "{}",
    "{\"interface-types\": 3}",
    "{\"interface-types\": [\"uefi\"], \"targets\": [7, {}, {\"architecture\": \"x86_64\"}]}",
    "{\"interface-types\": [\"uefi\"], \"targets\": [{\"architecture\": \"x86_64\", \"machines\": "
    "[\"q35\", 1]}], \"mapping\": []}",
    "{\"interface-types\": [\"uefi\"], \"targets\": [{\"architecture\": \"x86_64\", \"machines\": "
    "[\"q35\"]}], \"mapping\": {\"device\": \"flash\", \"executable\": {\"filename\": 1}}}",
    "{\"interface-types\": [\"uefi\"], \"targets\": [{\"architecture\": \"x86_64\", \"machines\": "
    "[\"q35\"]}], \"mapping\": {\"device\": \"flash\", \"executable\": {\"filename\": "
    "\"relative.fd\", \"format\": \"raw\"}}}",
    "{\"interface-types\": [\"uefi\"], \"targets\": [{\"architecture\": \"x86_64\", \"machines\": "
    "[\"q35\"]}], \"mapping\": {\"device\": \"memory\", \"filename\": \"/dev/zero\"}}",
    "\xff\xfe",
  };
  g_autofree char *deep = g_strnfill (60000, '[');
  g_autofree char *large = g_strnfill (100000, ' ');

  for (guint i = 0; i < G_N_ELEMENTS (texts) + 2; i++)
    {
      g_autoptr (GError) error = NULL;

      write_file (f->weak, "10-a.json",
                  i < G_N_ELEMENTS (texts)    ? texts[i]
                  : i == G_N_ELEMENTS (texts) ? deep
                                              : large);
      g_assert_null (vmm_firmware_find (&f->query, &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/boot/firmware/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("order", test_order);
  ADD ("features", test_features);
  ADD ("missing-image", test_missing_image);
  ADD ("well-known", test_well_known);
  ADD ("hostile", test_hostile);
  return g_test_run ();
}
