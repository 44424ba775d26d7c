/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/board/q35-acpi.h"
#include "devices/board/q35.h"
#include "tests/unit/harness/harness.h"
#include "tests/unit/vmm/boot/iasl.h"
#include "vmm/boot/acpi-loader.h"
#include "vmm/boot/e820.h"

#define TABLES_AT 0x7ff00000u
#define RSDP_AT   0xf5a00u
#define GUID_AT   0x7fe00000u

static guint64
le (const guint8 *data, guint n)
{
  guint64 value = 0;

  for (guint i = 0; i < n; i++)
    value |= (guint64)data[i] << (8 * i);
  return value;
}

static guint8
sum (const guint8 *data, gsize n)
{
  guint8 total = 0;

  for (gsize i = 0; i < n; i++)
    total = (guint8)(total + data[i]);
  return total;
}

typedef struct
{
  VmmAcpiConfig config;
  guint32 ids[VMM_ACPI_MAX_CPUS];
  VmmAcpiBlobs blobs;
  guint8 *tables, *rsdp, guid[VMM_ACPI_VMGENID_FILE_SIZE], addr[8];
  gsize size, rsdp_size;
} Fixture;

static void
fill (Fixture *f, guint n_cpus)
{
  vmm_acpi_config_init (&f->config);
  f->config.n_cpus = n_cpus;
  f->config.apic_ids = f->ids;
  for (guint i = 0; i < n_cpus; i++)
    f->ids[i] = i;
  f->config.hpet_base = Q35_HPET_BASE;
  f->config.pciexbar = 0xb0000000;
  f->config.i8042 = TRUE;
  f->config.pvpanic = f->config.fw_cfg = f->config.vmgenid = TRUE;
  f->config.serial_mask = 0xf;
  f->config.window64 = (VmmAcpiWindow){ 0xe000000000, 0x2000000000 };
  f->config.n_root_ports = 3;
  f->config.root_ports[0] = 0x1c << 3;
  f->config.root_ports[1] = 0x1c << 3 | 1;
  f->config.root_ports[2] = 0x1c << 3 | 2;
  q35_acpi_set_windows (&f->config, 0x80000000);
}

/* Builds and links as a firmware would. */
static void
link_tables (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (q35_acpi_build (&f->config, &f->blobs, &error));
  g_assert_no_error (error);
  f->tables =
      g_memdup2 (g_bytes_get_data (f->blobs.tables, &f->size), g_bytes_get_size (f->blobs.tables));
  f->rsdp =
      g_memdup2 (g_bytes_get_data (f->blobs.rsdp, &f->rsdp_size), g_bytes_get_size (f->blobs.rsdp));
  VmmAcpiLoaderFile files[] = {
    { VMM_ACPI_FILE_TABLES, f->tables, f->size, TABLES_AT },
    { VMM_ACPI_FILE_RSDP, f->rsdp, f->rsdp_size, RSDP_AT },
    { VMM_ACPI_FILE_VMGENID_GUID, f->guid, sizeof f->guid, GUID_AT },
    { VMM_ACPI_FILE_VMGENID_ADDR, f->addr, sizeof f->addr, 0 },
  };
  g_assert_true (vmm_acpi_loader_run (f->blobs.loader, files, G_N_ELEMENTS (files), &error));
  g_assert_no_error (error);
}

static void
clear (Fixture *f)
{
  vmm_acpi_blobs_clear (&f->blobs);
  g_clear_pointer (&f->tables, g_free);
  g_clear_pointer (&f->rsdp, g_free);
}

static guint8 *
at (Fixture *f, guint64 address)
{
  g_assert_cmpuint (address, >=, TABLES_AT);
  g_assert_cmpuint (address - TABLES_AT, <, f->size);
  return f->tables + (address - TABLES_AT);
}

/* By signature, from the XSDT; checks that the RSDT says the same and that every sum is right. */
static guint8 *
find_table (Fixture *f, const char *signature)
{
  guint8 *xsdt = at (f, le (f->rsdp + 24, 8)), *rsdt = at (f, le (f->rsdp + 16, 4));
  gsize n = (le (xsdt + 4, 4) - 36) / 8;
  guint8 *found = NULL;

  g_assert_cmpmem (f->rsdp, 8, "RSD PTR ", 8);
  g_assert_cmpuint (sum (f->rsdp, 20), ==, 0);
  g_assert_cmpuint (sum (f->rsdp, 36), ==, 0);
  g_assert_cmpuint ((le (rsdt + 4, 4) - 36) / 4, ==, n);
  g_assert_cmpuint (sum (xsdt, le (xsdt + 4, 4)), ==, 0);
  g_assert_cmpuint (sum (rsdt, le (rsdt + 4, 4)), ==, 0);
  for (gsize i = 0; i < n; i++)
    {
      guint8 *table = at (f, le (xsdt + 36 + 8 * i, 8));

      g_assert_cmpuint (le (rsdt + 36 + 4 * i, 4), ==, le (xsdt + 36 + 8 * i, 8));
      g_assert_cmpuint (sum (table, le (table + 4, 4)), ==, 0);
      if (memcmp (table, signature, 4) == 0)
        found = table;
    }
  return found;
}

static void
test_fadt (void)
{
  g_autofree Fixture *f = g_new0 (Fixture, 1);
  guint8 *fadt, *dsdt, *facs;

  fill (f, 2);
  link_tables (f);
  fadt = find_table (f, "FACP");
  g_assert_nonnull (fadt);
  g_assert_cmpuint (fadt[8], >=, 3);
  facs = at (f, le (fadt + 36, 4));
  g_assert_cmpmem (facs, 4, "FACS", 4);
  g_assert_cmpuint (le (fadt + 36, 4) % 64, ==, 0);
  dsdt = at (f, le (fadt + 40, 4));
  g_assert_cmpmem (dsdt, 4, "DSDT", 4);
  g_assert_cmpuint (le (fadt + 140, 8), ==, le (fadt + 40, 4));
  g_assert_cmpuint (sum (dsdt, le (dsdt + 4, 4)), ==, 0);
  g_assert_cmpuint (le (fadt + 46, 2), ==, 9);
  g_assert_cmpuint (le (fadt + 48, 4), ==, 0); /* SMI_CMD */
  g_assert_cmpuint (le (fadt + 56, 4), ==, 0x600);
  g_assert_cmpuint (le (fadt + 64, 4), ==, 0x604);
  g_assert_cmpuint (le (fadt + 76, 4), ==, 0x608);
  g_assert_cmpuint (le (fadt + 80, 4), ==, 0x620);
  g_assert_cmpuint (fadt[92], ==, 16);
  g_assert_cmpuint (fadt[108], ==, 0x32);
  g_assert_cmpuint (le (fadt + 109, 2), ==, 3);
  g_assert_cmpuint (le (fadt + 112, 4) & 1 << 10, !=, 0);
  g_assert_cmpuint (fadt[116], ==, 1);
  g_assert_cmpuint (le (fadt + 120, 8), ==, 0xcf9);
  g_assert_cmpuint (fadt[128], ==, 0x0e);
  g_assert_cmpuint (le (fadt + 148 + 4, 8), ==, 0x600);
  g_assert_cmpuint (le (fadt + 172 + 4, 8), ==, 0x604);
  g_assert_cmpuint (le (fadt + 208 + 4, 8), ==, 0x608);
  g_assert_cmpuint (le (fadt + 220 + 4, 8), ==, 0x620);
  clear (f);
}

static void
test_madt (void)
{
  g_autofree Fixture *f = g_new0 (Fixture, 1);
  guint n_lapic = 0, n_x2apic = 0, overrides = 0;
  guint8 *madt;

  fill (f, 300);
  link_tables (f);
  madt = find_table (f, "APIC");
  g_assert_nonnull (madt);
  g_assert_cmpuint (le (madt + 36, 4), ==, 0xfee00000);
  for (gsize i = 44; i < le (madt + 4, 4); i += madt[i + 1])
    {
      g_assert_cmpuint (madt[i + 1], >=, 2);
      switch (madt[i])
        {
        case 0:
          g_assert_cmpuint (madt[i + 3], ==, n_lapic++);
          break;
        case 9:
          g_assert_cmpuint (le (madt + i + 4, 4), ==, 255 + n_x2apic++);
          break;
        case 1:
          g_assert_cmpuint (le (madt + i + 4, 4), ==, 0xfec00000);
          break;
        case 2:
          overrides |= 1u << madt[i + 3];
          if (madt[i + 3] == 0)
            g_assert_cmpuint (le (madt + i + 4, 4), ==, 2);
          else
            g_assert_cmpuint (le (madt + i + 8, 2), ==, 0xd);
          break;
        default:
          g_assert_true (madt[i] == 4 || madt[i] == 10);
        }
    }
  g_assert_cmpuint (n_lapic, ==, 255);
  g_assert_cmpuint (n_x2apic, ==, 45);
  g_assert_cmpuint (overrides, ==, 1 << 0 | 1 << 5 | 1 << 9 | 1 << 10 | 1 << 11);
  clear (f);
}

static void
test_optional (void)
{
  g_autofree Fixture *f = g_new0 (Fixture, 1);
  g_autoptr (GError) error = NULL;
  guint8 *table;

  fill (f, 1);
  link_tables (f);
  table = find_table (f, "MCFG");
  g_assert_nonnull (table);
  g_assert_cmpuint (le (table + 44, 8), ==, 0xb0000000);
  g_assert_cmpuint (table[55], ==, 255);
  table = find_table (f, "HPET");
  g_assert_nonnull (table);
  g_assert_cmpuint (le (table + 44, 8), ==, 0xfed00000);
  table = find_table (f, "SSDT");
  g_assert_nonnull (table);
  g_assert_cmpuint (le (table + 42, 4), ==, GUID_AT);
  g_assert_cmpuint (le (f->addr, 8), ==, GUID_AT + 40);
  g_assert_nonnull (find_table (f, "WAET"));

  /* A later build keeps the announced sizes although PCIEXBAR moved or went away. */
  f->config.tables_size = f->size;
  clear (f);
  f->config.pciexbar = 0;
  f->config.hpet_base = 0;
  f->config.vmgenid = FALSE;
  q35_acpi_set_windows (&f->config, 0x80000000);
  link_tables (f);
  g_assert_cmpuint (f->size, ==, f->config.tables_size);
  g_assert_null (find_table (f, "MCFG"));
  g_assert_null (find_table (f, "HPET"));
  g_assert_null (find_table (f, "SSDT"));
  clear (f);

  f->config.tables_size = 1024;
  g_assert_false (q35_acpi_build (&f->config, &f->blobs, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
}

static void
judge (Fixture *f, const char *signature)
{
  g_autofree char *text = NULL;
  guint8 *table;

  if (g_str_equal (signature, "DSDT"))
    table = at (f, le (find_table (f, "FACP") + 40, 4));
  else
    table = find_table (f, signature);
  g_assert_nonnull (table);
  text = iasl_check (table, le (table + 4, 4), signature);
  if (text == NULL || !g_str_equal (signature, "DSDT"))
    return;
  for (const char *const *name =
           (const char *const[]){ "PNP0A08", "PNP0103", "PNP0C01", "PNP0B00", "PNP0303", "PNP0F13",
                                  "PNP0501", "QEMU0001", "QEMU0002", "ACPI0007", "_OSC", "_S5",
                                  NULL };
       *name != NULL; name++)
    if (strstr (text, *name) == NULL)
      g_error ("the disassembled DSDT lacks %s", *name);
}

static void
test_iasl (void)
{
  static const char *const names[] = { "DSDT", "FACP", "APIC", "MCFG", "HPET", "WAET", "SSDT" };
  g_autofree Fixture *f = g_new0 (Fixture, 1);

  fill (f, 4);
  link_tables (f);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    judge (f, names[i]);
  clear (f);

  /* The smallest and the largest machine. */
  fill (f, 1);
  f->config.hpet_base = f->config.pciexbar = 0;
  f->config.i8042 = f->config.pvpanic = f->config.fw_cfg = f->config.vmgenid = FALSE;
  f->config.serial_mask = 0;
  f->config.n_root_ports = 0;
  f->config.window64.length = 0;
  link_tables (f);
  judge (f, "FACP");
  clear (f);
  fill (f, 288);
  link_tables (f);
  judge (f, "DSDT");
  judge (f, "APIC");
  clear (f);
}

static void
test_windows (void)
{
  VmmAcpiConfig config;

  vmm_acpi_config_init (&config);
  config.pciexbar = 0xb0000000;
  q35_acpi_set_windows (&config, 0x80000000);
  g_assert_cmpuint (config.n_windows32, ==, 2);
  g_assert_cmphex (config.windows32[0].base, ==, 0x80000000);
  g_assert_cmphex (config.windows32[0].length, ==, 0x30000000);
  g_assert_cmphex (config.windows32[1].base, ==, 0xc0000000);
  g_assert_cmphex (config.windows32[1].length, ==, 0x3ec00000);
  config.pciexbar = 0xe0000000;
  q35_acpi_set_windows (&config, 0x20000000);
  g_assert_cmpuint (config.n_windows32, ==, 2);
  g_assert_cmphex (config.windows32[1].base, ==, 0xf0000000);
  config.pciexbar = 0;
  q35_acpi_set_windows (&config, 0x20000000);
  g_assert_cmpuint (config.n_windows32, ==, 1);
  config.pciexbar = 0x100000000000;
  q35_acpi_set_windows (&config, 0x20000000);
  g_assert_cmpuint (config.n_windows32, ==, 1);
}

static void
test_refusals (void)
{
  g_autofree Fixture *f = g_new0 (Fixture, 1);

  for (guint i = 0; i < 7; i++)
    {
      g_autoptr (GError) error = NULL;

      fill (f, 1);
      if (i == 0)
        f->config.n_cpus = 0;
      else if (i == 1)
        f->config.n_cpus = VMM_ACPI_MAX_CPUS + 1;
      else if (i == 2)
        f->config.n_windows32 = VMM_ACPI_MAX_WINDOWS + 1;
      else if (i == 3)
        f->config.windows32[1].base = f->config.windows32[0].base;
      else if (i == 4)
        f->config.window64.base = 0x80000000;
      else if (i == 5)
        f->config.pciexbar = 0xb0000001;
      else
        f->config.windows32[0].length = G_MAXUINT64;
      g_assert_false (q35_acpi_build (&f->config, &f->blobs, &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
    }
}

/* A script is data: nothing in it may reach outside the files. */
static void
test_hostile_script (void)
{
  g_autofree Fixture *f = g_new0 (Fixture, 1);
  g_autofree guint8 *script = NULL;
  gsize size;

  fill (f, 1);
  link_tables (f);
  script =
      g_memdup2 (g_bytes_get_data (f->blobs.loader, &size), g_bytes_get_size (f->blobs.loader));
  for (guint i = 0; i < 20000; i++)
    {
      g_autofree guint8 *copy = g_memdup2 (script, size);
      g_autoptr (GBytes) bytes = NULL;
      VmmAcpiLoaderFile files[] = {
        { VMM_ACPI_FILE_TABLES, f->tables, f->size, TABLES_AT },
        { VMM_ACPI_FILE_RSDP, f->rsdp, f->rsdp_size, RSDP_AT },
        { VMM_ACPI_FILE_VMGENID_GUID, f->guid, sizeof f->guid, GUID_AT },
        { VMM_ACPI_FILE_VMGENID_ADDR, f->addr, sizeof f->addr, 0 },
      };

      for (guint n = 0; n < 4; n++)
        copy[g_test_rand_int_range (0, 4096)] = (guint8)g_test_rand_int_range (0, 256);
      bytes = g_bytes_new_take (g_steal_pointer (&copy), size);
      if (!vmm_acpi_loader_run (bytes, files, G_N_ELEMENTS (files), NULL))
        continue;
    }
  clear (f);
}

/* Direct boot: the tables in guest memory, reached from the RSDP as a kernel does. */
static void
test_place (void)
{
  const guint64 low_ram = 32 * 1024 * 1024;
  g_autofree Fixture *f = g_new0 (Fixture, 1);
  HarnessMachine *h = harness_new (low_ram);
  VmmGuestMemory *memory = vmm_machine_get_memory (h->machine);
  g_autoptr (GBytes) none = g_bytes_new_static ("", 0);
  g_autoptr (GError) error = NULL;
  guint64 area, length, xsdt, fadt;
  VmmGpa rsdp, vmgenid;
  guint8 head[36];

  fill (f, 2);
  memset (f->config.vmgenid_guid, 0xab, 16);
  g_assert_true (q35_acpi_place (&f->config, memory, low_ram, &rsdp, &vmgenid, &error));
  g_assert_no_error (error);
  g_assert_cmphex (rsdp.value, ==, VMM_ACPI_LEGACY_RSDP);
  g_assert_true (vmm_e820_get_acpi_area (low_ram, &area, &length));
  harness_read (h, rsdp.value, head, sizeof head);
  g_assert_cmpuint (sum (head, 20), ==, 0);
  g_assert_cmpuint (sum (head, 36), ==, 0);
  xsdt = le (head + 24, 8);
  g_assert_cmphex (xsdt, >=, area);
  g_assert_cmphex (xsdt, <, area + length);
  fadt = harness_read_le (h, xsdt + 36, 8);
  g_assert_cmphex (harness_read_le (h, fadt, 4), ==, 0x50434146);
  g_assert_cmphex (harness_read_le (h, harness_read_le (h, fadt + 140, 8), 4), ==, 0x54445344);
  g_assert_cmphex (vmgenid.value, >=, area);
  g_assert_cmphex (vmgenid.value % 4096, ==, VMM_ACPI_VMGENID_OFFSET);
  g_assert_cmphex (harness_read_le (h, vmgenid.value + 8, 8), ==, 0xababababababababu);

  /* A toy machine gets no tables; too many processors for the area is an error. */
  g_assert_true (q35_acpi_place (&f->config, memory, 1024 * 1024, &rsdp, &vmgenid, &error));
  g_assert_cmphex (rsdp.value, ==, 0);
  g_assert_false (
      vmm_acpi_place (&f->config, none, memory, vmm_gpa (area), 4096, &rsdp, NULL, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  harness_free (h);
}

/* The largest machine fits into what direct boot keeps free. */
static void
test_room (void)
{
  g_autofree Fixture *f = g_new0 (Fixture, 1);

  fill (f, VMM_ACPI_MAX_CPUS);
  link_tables (f);
  g_assert_cmpuint (f->size + 2 * VMM_ACPI_VMGENID_FILE_SIZE, <=, VMM_ACPI_DIRECT_SIZE);
  clear (f);
}

static void
test_swizzle (void)
{
  g_assert_cmpuint (q35_intx_to_pirq (0, 0), ==, 4);
  g_assert_cmpuint (q35_intx_to_pirq (1, 0), ==, 5);
  g_assert_cmpuint (q35_intx_to_pirq (3, 3), ==, 6);
  g_assert_cmpuint (q35_intx_to_pirq (24, 0), ==, 4);
  g_assert_cmpuint (q35_intx_to_pirq (31, 0), ==, 0);
  g_assert_cmpuint (q35_intx_to_pirq (28, 3), ==, 3);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/board/q35-acpi/fadt", test_fadt);
  g_test_add_func ("/board/q35-acpi/madt", test_madt);
  g_test_add_func ("/board/q35-acpi/optional", test_optional);
  g_test_add_func ("/board/q35-acpi/iasl", test_iasl);
  g_test_add_func ("/board/q35-acpi/windows", test_windows);
  g_test_add_func ("/board/q35-acpi/refusals", test_refusals);
  g_test_add_func ("/board/q35-acpi/hostile-script", test_hostile_script);
  g_test_add_func ("/board/q35-acpi/place", test_place);
  g_test_add_func ("/board/q35-acpi/room", test_room);
  g_test_add_func ("/board/q35-acpi/swizzle", test_swizzle);
  return g_test_run ();
}
