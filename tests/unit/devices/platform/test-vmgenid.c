/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/fw-cfg.h"
#include "devices/platform/pm.h"
#include "devices/platform/vmgenid.h"
#include "tests/unit/harness/harness.h"
#include "vmm/boot/acpi-tables.h"

#define PAGE 0x8000

typedef struct
{
  HarnessMachine *h;
  VmmDevice *fw_cfg, *pm, *vmgenid;
} Fixture;

static void
setup (Fixture *f, gconstpointer data)
{
  f->h = harness_new (1 << 20);
  f->fw_cfg = harness_realize (f->h, vmm_device_new (&fw_cfg_ops, "fw-cfg"));
  f->pm = harness_realize (f->h, vmm_device_new (&pm_ops, "pm"));
  f->vmgenid = vmm_device_new (&vmgenid_ops, "vmgenid");
  g_assert_true (vmm_device_set_pointer (f->vmgenid, "fw-cfg", f->fw_cfg, NULL));
  g_assert_true (vmm_device_set_pointer (f->vmgenid, "pm", f->pm, NULL));
  harness_realize (f->h, f->vmgenid);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
  pm_set_base ((Pm *)f->pm, 0x600);
}

static void
teardown (Fixture *f, gconstpointer data)
{
  harness_free (f->h);
}

static const guint8 id[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

static void
test_placed (Fixture *f, gconstpointer data)
{
  guint8 seen[16], back[16];

  vmgenid_set_address ((Vmgenid *)f->vmgenid, PAGE);
  vmgenid_set_id ((Vmgenid *)f->vmgenid, id);
  harness_read (f->h, PAGE + VMM_ACPI_VMGENID_OFFSET, seen, sizeof seen);
  g_assert_cmpmem (seen, 16, id, 16);
  vmgenid_get_id ((Vmgenid *)f->vmgenid, back);
  g_assert_cmpmem (back, 16, id, 16);
  g_assert_cmphex (harness_in (f->h, 0x620, 1) & 1u << VMM_ACPI_VMGENID_GPE_BIT, !=, 0);
}

static void
test_not_placed (Fixture *f, gconstpointer data)
{
  static const guint64 nowhere[] = { 0, G_GUINT64_CONSTANT (0xfed00000), G_MAXUINT64,
                                     G_MAXUINT64 - 50, (1 << 20) - 45 };

  for (guint i = 0; i < G_N_ELEMENTS (nowhere); i++)
    {
      vmgenid_set_address ((Vmgenid *)f->vmgenid, nowhere[i]);
      vmgenid_set_id ((Vmgenid *)f->vmgenid, id);
      g_assert_cmphex (harness_in (f->h, 0x620, 1), ==, 0);
    }
}

static void
test_reset_forgets (Fixture *f, gconstpointer data)
{
  guint8 seen[16], zero[16] = { 0 };

  vmgenid_set_address ((Vmgenid *)f->vmgenid, PAGE);
  f->vmgenid->ops->reset (f->vmgenid, VMM_RESET_WARM);
  vmgenid_set_id ((Vmgenid *)f->vmgenid, id);
  harness_read (f->h, PAGE + VMM_ACPI_VMGENID_OFFSET, seen, sizeof seen);
  g_assert_cmpmem (seen, 16, zero, 16);
}

static void
test_file (Fixture *f, gconstpointer data)
{
  g_autoptr (GBytes) page = fw_cfg_dup_file ((FwCfg *)f->fw_cfg, VMM_ACPI_FILE_VMGENID_GUID);

  g_assert_nonnull (page);
  g_assert_cmpuint (g_bytes_get_size (page), ==, VMM_ACPI_VMGENID_FILE_SIZE);
}

static void
test_state (Fixture *f, gconstpointer data)
{
  g_autoptr (GBytes) state = NULL;

  vmgenid_set_address ((Vmgenid *)f->vmgenid, PAGE);
  vmgenid_set_id ((Vmgenid *)f->vmgenid, id);
  harness_check_save_load (f->h);
  state = harness_save (f->h);
  harness_storm_load (f->h, state, 3, 100);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, func) g_test_add (path, Fixture, NULL, setup, func, teardown)
  ADD ("/vmgenid/placed", test_placed);
  ADD ("/vmgenid/not-placed", test_not_placed);
  ADD ("/vmgenid/reset-forgets", test_reset_forgets);
  ADD ("/vmgenid/file", test_file);
  ADD ("/vmgenid/state", test_state);
  return g_test_run ();
}
