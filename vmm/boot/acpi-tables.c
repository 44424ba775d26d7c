/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/boot/acpi-tables.h"
#include "vmm/boot/acpi-loader.h"
#include "vmm/boot/aml.h"

#include <string.h>

#define HEADER_SIZE     36
#define CHECKSUM_OFFSET 9
#define RSDP_SIZE       36
#define SCRIPT_SIZE     8192 /* fixed: fw_cfg announces it before the tables are made */
#define TABLES_ALIGN    (64 * 1024)
#define TABLES_SLACK    4096 /* what a later build may add: windows, MCFG */
#define MAX_TABLES      16

typedef struct
{
  const VmmAcpiConfig *config;
  GByteArray *bytes;  /* etc/acpi/tables */
  GByteArray *script; /* etc/table-loader */
  gsize table;        /* offset of the table being written */
  gsize listed[MAX_TABLES];
  guint n_listed; /* tables that RSDT and XSDT name */
} Builder;

void
vmm_acpi_config_init (VmmAcpiConfig *config)
{
  memset (config, 0, sizeof *config);
  config->pm_base = 0x600;
  config->sci_irq = 9;
  config->lapic_base = 0xfee00000;
  config->ioapic_base = 0xfec00000;
  config->pciexbar_n_buses = 256;
  config->serial_mask = 1;
}

static gboolean
bad (GError **error, const char *what)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "ACPI tables: %s", what);
  return FALSE;
}

gboolean
vmm_acpi_config_validate (const VmmAcpiConfig *config, GError **error)
{
  guint64 end = 0x100000;

  if (config->n_cpus == 0 || config->n_cpus > VMM_ACPI_MAX_CPUS || config->apic_ids == NULL)
    return bad (error, "the number of processors must be 1 to 1024");
  if (config->n_windows32 > VMM_ACPI_MAX_WINDOWS)
    return bad (error, "more than 8 PCI windows below 4 GiB");
  for (guint i = 0; i < config->n_windows32; i++)
    {
      const VmmAcpiWindow *window = &config->windows32[i];

      if (window->length == 0 || window->base < end || window->base >= 1ull << 32 ||
          window->length > (1ull << 32) - window->base)
        return bad (error, "the PCI windows below 4 GiB must ascend and not overlap");
      end = window->base + window->length;
    }
  if (config->window64.length != 0 &&
      (config->window64.base < 1ull << 32 ||
       config->window64.base + config->window64.length <= config->window64.base))
    return bad (error, "the 64-bit PCI window must lie above 4 GiB");
  if ((config->placed_file != NULL) != (config->placed_address_file != NULL) ||
      (config->placed_file != NULL &&
       (strlen (config->placed_file) > 55 || strlen (config->placed_address_file) > 55)))
    return bad (error, "the file to place needs two names of at most 55 bytes");
  if (config->pciexbar != 0 &&
      (config->pciexbar_n_buses == 0 || config->pciexbar_n_buses > 256 ||
       config->pciexbar % (1 << 20) != 0 || config->pciexbar >= 1ull << 52))
    return bad (error, "PCIEXBAR is malformed");
  if (config->n_root_ports > VMM_ACPI_MAX_ROOT_PORTS)
    return bad (error, "more than 64 PCIe root ports");
  if (config->sci_irq > 15 || config->lapic_base >= 1ull << 32 || config->ioapic_base >= 1ull << 32)
    return bad (error, "interrupt controller addresses must lie below 4 GiB and the SCI below 16");
  return TRUE;
}

static void
put (Builder *b, const void *data, gsize length)
{
  g_byte_array_append (b->bytes, data, (guint)length);
}

static void
put_le (Builder *b, guint64 value, guint n)
{
  guint64 le = GUINT64_TO_LE (value);

  put (b, &le, n);
}

static void
put8 (Builder *b, guint8 value)
{
  put (b, &value, 1);
}

static void
put_zeros (Builder *b, gsize n)
{
  gsize old = b->bytes->len;

  g_byte_array_set_size (b->bytes, (guint)(old + n));
  memset (b->bytes->data + old, 0, n);
}

static void
align (Builder *b, gsize to)
{
  if (b->bytes->len % to != 0)
    put_zeros (b, to - b->bytes->len % to);
}

/* ACPI 6.4, 5.2.6: the header; length and checksum come at the end. */
static void
begin_table (Builder *b, const char signature[4], guint8 revision)
{
  align (b, 16);
  b->table = b->bytes->len;
  put (b, signature, 4);
  put_zeros (b, 4);
  put8 (b, revision);
  put8 (b, 0);
  put (b, "ALCOVE", 6);
  put (b, "ALCOVEVM", 8);
  put_le (b, 1, 4);
  put (b, "ALCV", 4);
  put_le (b, 1, 4);
}

/* patched: pointers are added by the script, which then sums too. */
static void
end_table (Builder *b, gboolean patched, gboolean listed)
{
  guint8 *table = b->bytes->data + b->table;
  gsize length = b->bytes->len - b->table;
  guint32 le = GUINT32_TO_LE ((guint32)length);
  guint8 sum = 0;

  memcpy (table + 4, &le, 4);
  if (patched)
    vmm_acpi_loader_add_checksum (b->script, VMM_ACPI_FILE_TABLES, b->table + CHECKSUM_OFFSET,
                                  b->table, length);
  else
    {
      for (gsize i = 0; i < length; i++)
        sum = (guint8)(sum + table[i]);
      table[CHECKSUM_OFFSET] = (guint8)-sum;
    }
  if (listed)
    {
      g_assert (b->n_listed < MAX_TABLES);
      b->listed[b->n_listed++] = b->table;
    }
}

/* A pointer to a table in our own file, patched by the script. */
static void
put_pointer (Builder *b, gsize target, guint size)
{
  vmm_acpi_loader_add_pointer (b->script, VMM_ACPI_FILE_TABLES, VMM_ACPI_FILE_TABLES, b->bytes->len,
                               size);
  put_le (b, target, size);
}

/* Generic address of an I/O port register (5.2.3.2). */
static void
put_io_gas (Builder *b, guint16 port, guint8 n_bits)
{
  put8 (b, 1);
  put8 (b, n_bits);
  put8 (b, 0);
  put8 (b, 0);
  put_le (b, port, 8);
}

static gsize
build_facs (Builder *b)
{
  gsize start;

  align (b, 64); /* 5.2.10 */
  start = b->bytes->len;
  put (b, "FACS", 4);
  put_le (b, 64, 4);
  put_zeros (b, 24);
  put8 (b, 1);
  put_zeros (b, 31);
  g_assert (b->bytes->len - start == 64);
  return start;
}

static gsize
build_raw (Builder *b, const char signature[4], guint8 revision, GBytes *body)
{
  gsize size;
  const void *data = g_bytes_get_data (body, &size);

  begin_table (b, signature, revision);
  put (b, data, size);
  end_table (b, FALSE, FALSE);
  return b->table;
}

/* 5.2.9, in its revision 3 form (ACPI 2.0, 244 bytes), which every guest of interest reads. */
static void
build_fadt (Builder *b, gsize facs, gsize dsdt)
{
  const VmmAcpiConfig *config = b->config;
  guint16 pm = config->pm_base;
  guint32 flags = 1 << 0 |  /* WBINVD works */
                  1 << 2 |  /* C1 on every processor */
                  1 << 5 |  /* no fixed sleep button; the power button is fixed (bit 4 clear) */
                  1 << 7 |  /* RTC wakes from S4 */
                  1 << 10 | /* reset register */
                  1 << 15;  /* the platform timer is to be preferred */

  if (config->n_cpus > 8)
    flags |= 1 << 18; /* logical destinations only in cluster mode */
  begin_table (b, "FACP", 3);
  put_pointer (b, facs, 4);
  put_pointer (b, dsdt, 4);
  put8 (b, 0);
  put8 (b, 0); /* profile: unspecified */
  put_le (b, config->sci_irq, 2);
  /* No SMI command port: there is no SMM, and ACPI mode is always on. */
  put_zeros (b, 8);
  put_le (b, pm, 4);
  put_le (b, 0, 4);
  put_le (b, pm + 4u, 4);
  put_le (b, 0, 4);
  put_le (b, 0, 4);
  put_le (b, pm + 8u, 4);
  put_le (b, pm + 0x20u, 4);
  put_le (b, 0, 4);
  put8 (b, 4);  /* PM1_EVT_LEN */
  put8 (b, 2);  /* PM1_CNT_LEN */
  put8 (b, 0);  /* PM2_CNT_LEN */
  put8 (b, 4);  /* PM_TMR_LEN */
  put8 (b, 16); /* GPE0_BLK_LEN */
  put_zeros (b, 3);
  put_le (b, 0xfff, 2); /* no C2 */
  put_le (b, 0xfff, 2); /* no C3 */
  put_zeros (b, 8);
  put8 (b, 0x32); /* century in CMOS */
  put_le (b, 1 | (config->i8042 ? 2 : 0), 2);
  put8 (b, 0);
  put_le (b, flags, 4);
  put_io_gas (b, 0xcf9, 8);
  put8 (b, 0x0e); /* full reset */
  put_zeros (b, 3);
  put_le (b, 0, 8); /* X_FIRMWARE_CTRL: the 32-bit one is used */
  put_pointer (b, dsdt, 8);
  put_io_gas (b, pm, 32);
  put_zeros (b, 12);
  put_io_gas (b, (guint16)(pm + 4), 16);
  put_zeros (b, 12);
  put_zeros (b, 12);
  put_io_gas (b, (guint16)(pm + 8), 32);
  put_io_gas (b, (guint16)(pm + 0x20), 128);
  put_zeros (b, 12);
  g_assert (b->bytes->len - b->table == 244);
  end_table (b, TRUE, TRUE);
}

static void
put_override (Builder *b, guint8 irq, guint32 gsi, guint16 flags)
{
  put8 (b, 2);
  put8 (b, 10);
  put8 (b, 0); /* ISA */
  put8 (b, irq);
  put_le (b, gsi, 4);
  put_le (b, flags, 2);
}

/* 5.2.12 */
static void
build_madt (Builder *b)
{
  const VmmAcpiConfig *config = b->config;
  /* The ISA interrupts that PCI links and the SCI may be routed to. */
  const guint8 level_irqs[] = { 5, 10, 11, config->sci_irq };
  const guint16 level_high = 0x0d;
  gboolean x2apic = FALSE;

  begin_table (b, "APIC", 3);
  put_le (b, config->lapic_base, 4);
  put_le (b, 1, 4); /* 8259s are there too */
  for (guint i = 0; i < config->n_cpus; i++)
    {
      guint32 id = config->apic_ids[i];

      if (id < 255)
        {
          put8 (b, 0);
          put8 (b, 8);
          put8 (b, (guint8)i); /* UID; below 255 because ids ascend with processors */
          put8 (b, (guint8)id);
          put_le (b, 1, 4);
          continue;
        }
      x2apic = TRUE;
      put8 (b, 9);
      put8 (b, 16);
      put_le (b, 0, 2);
      put_le (b, id, 4);
      put_le (b, 1, 4);
      put_le (b, i, 4);
    }
  put8 (b, 1); /* I/O APIC */
  put8 (b, 12);
  put8 (b, 0);
  put8 (b, 0);
  put_le (b, config->ioapic_base, 4);
  put_le (b, 0, 4);
  put_override (b, 0, 2, 0);
  for (guint i = 0; i < G_N_ELEMENTS (level_irqs); i++)
    if (memchr (level_irqs, level_irqs[i], i) == NULL)
      put_override (b, level_irqs[i], level_irqs[i], level_high);
  put8 (b, 4); /* NMI at LINT1 of all */
  put8 (b, 6);
  put8 (b, 0xff);
  put_le (b, 0, 2);
  put8 (b, 1);
  if (x2apic)
    {
      put8 (b, 0x0a);
      put8 (b, 12);
      put_le (b, 0, 2);
      put_le (b, G_MAXUINT32, 4);
      put8 (b, 1);
      put_zeros (b, 3);
    }
  end_table (b, FALSE, TRUE);
}

/* PCI Firmware 3.3, 4.1.2 */
static void
build_mcfg (Builder *b)
{
  begin_table (b, "MCFG", 1);
  put_zeros (b, 8);
  put_le (b, b->config->pciexbar, 8);
  put_le (b, 0, 2);
  put8 (b, 0);
  put8 (b, (guint8)(b->config->pciexbar_n_buses - 1));
  put_zeros (b, 4);
  end_table (b, FALSE, TRUE);
}

/* IA-PC HPET 1.0a, 3.2.4: 3 comparators, 64-bit counter, legacy replacement */
static void
build_hpet (Builder *b)
{
  begin_table (b, "HPET", 1);
  put_le (b, 0x8086a201, 4);
  put8 (b, 0);
  put8 (b, 0);
  put8 (b, 0);
  put8 (b, 0);
  put_le (b, b->config->hpet_base, 8);
  put8 (b, 0);
  put_le (b, 0, 2);
  put8 (b, 0);
  end_table (b, FALSE, TRUE);
}

/* Windows ACPI Emulated Devices Table: one read of the PM timer is enough. */
static void
build_waet (Builder *b)
{
  begin_table (b, "WAET", 1);
  put_le (b, 1 << 1, 4);
  end_table (b, FALSE, TRUE);
}

/* Virtual Machine Generation ID (Microsoft, 2012): the page's address is patched into VGIA. */
static gboolean
build_vmgenid (Builder *b, GError **error)
{
  g_autoptr (VmmAml) aml = vmm_aml_new ();
  g_autoptr (GBytes) body = NULL;
  gsize at, size;
  const void *data;

  at = vmm_aml_name_dword_fixed (aml, "VGIA", 0);
  vmm_aml_begin_scope (aml, "\\_SB");
  vmm_aml_begin_device (aml, "VGEN");
  vmm_aml_name_string (aml, "_HID", "ALCV0001");
  vmm_aml_name_string (aml, "_CID", "VM_Gen_Counter");
  vmm_aml_name_string (aml, "_DDN", "VM_Gen_Counter");
  vmm_aml_begin_method (aml, "_STA", 0, FALSE);
  vmm_aml_begin_if (aml);
  vmm_aml_op (aml, VMM_AML_LEQUAL);
  vmm_aml_path (aml, "VGIA");
  vmm_aml_int (aml, 0);
  vmm_aml_op (aml, VMM_AML_RETURN);
  vmm_aml_int (aml, 0);
  vmm_aml_end (aml);
  vmm_aml_op (aml, VMM_AML_RETURN);
  vmm_aml_int (aml, 0xf);
  vmm_aml_end (aml);
  vmm_aml_begin_method (aml, "ADDR", 0, TRUE);
  vmm_aml_op (aml, VMM_AML_STORE);
  vmm_aml_begin_package (aml, 2);
  vmm_aml_int (aml, 0);
  vmm_aml_int (aml, 0);
  vmm_aml_end (aml);
  vmm_aml_local (aml, 0);
  vmm_aml_op (aml, VMM_AML_ADD);
  vmm_aml_path (aml, "VGIA");
  vmm_aml_int (aml, VMM_ACPI_VMGENID_OFFSET);
  vmm_aml_op (aml, VMM_AML_INDEX);
  vmm_aml_local (aml, 0);
  vmm_aml_int (aml, 0);
  vmm_aml_null (aml);
  vmm_aml_op (aml, VMM_AML_RETURN);
  vmm_aml_local (aml, 0);
  vmm_aml_end (aml);
  vmm_aml_end (aml);
  vmm_aml_end (aml);
  G_STATIC_ASSERT (VMM_ACPI_VMGENID_GPE_BIT == 5);
  vmm_aml_begin_method (aml, "\\_GPE._E05", 0, FALSE);
  vmm_aml_op (aml, VMM_AML_NOTIFY);
  vmm_aml_path (aml, "\\_SB.VGEN");
  vmm_aml_int (aml, 0x80);
  vmm_aml_end (aml);
  body = vmm_aml_steal (aml, error);
  if (body == NULL)
    return FALSE;
  data = g_bytes_get_data (body, &size);

  begin_table (b, "SSDT", 1);
  vmm_acpi_loader_add_pointer (b->script, VMM_ACPI_FILE_TABLES, VMM_ACPI_FILE_VMGENID_GUID,
                               b->bytes->len + at, 4);
  put (b, data, size);
  end_table (b, TRUE, TRUE);
  /* Tells us where the firmware put it, so that a new identifier can be written there. */
  vmm_acpi_loader_write_pointer (b->script, VMM_ACPI_FILE_VMGENID_ADDR, 0,
                                 VMM_ACPI_FILE_VMGENID_GUID, VMM_ACPI_VMGENID_OFFSET, 8);
  return TRUE;
}

static gsize
build_root_table (Builder *b, gboolean extended)
{
  begin_table (b, extended ? "XSDT" : "RSDT", 1);
  for (guint i = 0; i < b->n_listed; i++)
    put_pointer (b, b->listed[i], extended ? 8 : 4);
  end_table (b, TRUE, FALSE);
  return b->table;
}

/* 5.2.5.3 */
static GBytes *
build_rsdp (Builder *b, gsize rsdt, gsize xsdt)
{
  guint8 rsdp[RSDP_SIZE] = { 0 };
  guint32 rsdt_le = GUINT32_TO_LE ((guint32)rsdt);
  guint64 xsdt_le = GUINT64_TO_LE (xsdt);

  memcpy (rsdp, "RSD PTR ", 8);
  memcpy (rsdp + 9, "ALCOVE", 6);
  rsdp[15] = 2;
  memcpy (rsdp + 16, &rsdt_le, 4);
  rsdp[20] = RSDP_SIZE;
  memcpy (rsdp + 24, &xsdt_le, 8);
  vmm_acpi_loader_add_pointer (b->script, VMM_ACPI_FILE_RSDP, VMM_ACPI_FILE_TABLES, 16, 4);
  vmm_acpi_loader_add_pointer (b->script, VMM_ACPI_FILE_RSDP, VMM_ACPI_FILE_TABLES, 24, 8);
  vmm_acpi_loader_add_checksum (b->script, VMM_ACPI_FILE_RSDP, 8, 0, 20);
  vmm_acpi_loader_add_checksum (b->script, VMM_ACPI_FILE_RSDP, 32, 0, RSDP_SIZE);
  return g_bytes_new (rsdp, sizeof rsdp);
}

gboolean
vmm_acpi_build (const VmmAcpiConfig *config, GBytes *dsdt, VmmAcpiBlobs *ret_blobs, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GByteArray) script = g_byte_array_new ();
  Builder b = { .config = config, .bytes = bytes, .script = script };
  gsize facs, dsdt_at, rsdt, size;

  if (!vmm_acpi_config_validate (config, error))
    return FALSE;
  if (g_bytes_get_size (dsdt) > VMM_AML_MAX_SIZE)
    return bad (error, "the DSDT is too large");

  vmm_acpi_loader_allocate (script, VMM_ACPI_FILE_RSDP, 16, VMM_ACPI_ZONE_FSEG);
  vmm_acpi_loader_allocate (script, VMM_ACPI_FILE_TABLES, 64, VMM_ACPI_ZONE_HIGH);
  if (config->vmgenid)
    vmm_acpi_loader_allocate (script, VMM_ACPI_FILE_VMGENID_GUID, 4096, VMM_ACPI_ZONE_HIGH);

  if (config->placed_file != NULL)
    {
      vmm_acpi_loader_allocate (script, config->placed_file, 4096, VMM_ACPI_ZONE_HIGH);
      vmm_acpi_loader_write_pointer (script, config->placed_address_file, 0, config->placed_file, 0,
                                     8);
    }
  facs = build_facs (&b);
  dsdt_at = build_raw (&b, "DSDT", 2, dsdt);
  build_fadt (&b, facs, dsdt_at);
  build_madt (&b);
  if (config->hpet_base != 0)
    build_hpet (&b);
  if (config->pciexbar != 0)
    build_mcfg (&b);
  build_waet (&b);
  if (config->vmgenid && !build_vmgenid (&b, error))
    return FALSE;
  rsdt = build_root_table (&b, FALSE);
  ret_blobs->rsdp = build_rsdp (&b, rsdt, build_root_table (&b, TRUE));

  size = config->tables_size;
  if (size == 0)
    size = (bytes->len + TABLES_SLACK + TABLES_ALIGN - 1) / TABLES_ALIGN * TABLES_ALIGN;
  if (bytes->len > size || script->len > SCRIPT_SIZE)
    {
      g_clear_pointer (&ret_blobs->rsdp, g_bytes_unref);
      return bad (error, "they outgrew the size that was announced for them");
    }
  put_zeros (&b, size - bytes->len);
  ret_blobs->tables = g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
  size = script->len;
  g_byte_array_set_size (script, SCRIPT_SIZE);
  memset (script->data + size, 0, SCRIPT_SIZE - size);
  ret_blobs->loader = g_byte_array_free_to_bytes (g_steal_pointer (&script));
  return TRUE;
}

void
vmm_acpi_blobs_clear (VmmAcpiBlobs *blobs)
{
  g_clear_pointer (&blobs->tables, g_bytes_unref);
  g_clear_pointer (&blobs->rsdp, g_bytes_unref);
  g_clear_pointer (&blobs->loader, g_bytes_unref);
}

gboolean
vmm_acpi_place (const VmmAcpiConfig *config,
                GBytes *dsdt,
                VmmGuestMemory *memory,
                VmmGpa area,
                guint64 length,
                VmmGpa *ret_rsdp,
                VmmGpa *ret_vmgenid,
                GError **error)
{
  VmmAcpiConfig direct = *config;
  VmmAcpiBlobs blobs = { 0 };
  g_autoptr (GBytes) script = NULL;
  g_autofree guint8 *tables = NULL, *rsdp = NULL;
  g_autofree guint8 *guid = g_malloc0 (VMM_ACPI_VMGENID_FILE_SIZE);
  guint8 addr[8] = { 0 };
  VmmGpa at_rsdp = { VMM_ACPI_LEGACY_RSDP };
  gsize size, rsdp_size;

  direct.tables_size = 0;
  if (!vmm_acpi_build (&direct, dsdt, &blobs, error))
    return FALSE;
  script = g_steal_pointer (&blobs.loader);
  tables = g_bytes_unref_to_data (g_steal_pointer (&blobs.tables), &size);
  rsdp = g_bytes_unref_to_data (g_steal_pointer (&blobs.rsdp), &rsdp_size);
  memcpy (guid + VMM_ACPI_VMGENID_OFFSET, config->vmgenid_guid, 16);

  /* Tables, then the identifier's page, then the RSDP if nowhere better. */
  if (length < size + 2 * VMM_ACPI_VMGENID_FILE_SIZE || area.value % 4096 != 0 ||
      area.value + length > 1ull << 32)
    return bad (error, "the area for them is too small or not below 4 GiB");
  if (!vmm_guest_memory_check (memory, at_rsdp, RSDP_SIZE, TRUE))
    at_rsdp = vmm_gpa (area.value + size + VMM_ACPI_VMGENID_FILE_SIZE);
  VmmAcpiLoaderFile files[] = {
    { VMM_ACPI_FILE_TABLES, tables, size, area.value },
    { VMM_ACPI_FILE_RSDP, rsdp, rsdp_size, at_rsdp.value },
    { VMM_ACPI_FILE_VMGENID_GUID, guid, VMM_ACPI_VMGENID_FILE_SIZE, area.value + size },
    { VMM_ACPI_FILE_VMGENID_ADDR, addr, sizeof addr, 0 },
  };

  if (!vmm_acpi_loader_run (script, files, G_N_ELEMENTS (files), error))
    return FALSE;
  for (guint i = 0; i < 3; i++)
    if (!vmm_guest_memory_write (memory, vmm_gpa (files[i].address), files[i].data, files[i].size))
      return bad (error, "the area for them is not RAM");
  *ret_rsdp = at_rsdp;
  if (ret_vmgenid != NULL)
    *ret_vmgenid = vmm_gpa (config->vmgenid ? files[2].address + VMM_ACPI_VMGENID_OFFSET : 0);
  return TRUE;
}
