/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/board/q35-acpi.h"
#include "devices/board/q35.h"
#include "vmm/boot/aml.h"
#include "vmm/boot/e820.h"

#define N_PIRQS     8
#define N_SLOTS     32
#define LPC_ADDRESS 0x1f0000 /* slot 0x1f, function 0 */
#define RCBA_BASE   0xfed1c000

/* PIRQ routing registers of the LPC bridge: A..D at 0x60, E..H at 0x68 (ICH9 datasheet, 13.1.17). */
static const char *const pirq_fields[N_PIRQS] = { "PRQA", "PRQB", "PRQC", "PRQD",
                                                  "PRQE", "PRQF", "PRQG", "PRQH" };
static const char *const link_names[N_PIRQS] = { "LNKA", "LNKB", "LNKC", "LNKD",
                                                 "LNKE", "LNKF", "LNKG", "LNKH" };
static const char *const gsi_names[N_PIRQS] = { "GSIA", "GSIB", "GSIC", "GSID",
                                                "GSIE", "GSIF", "GSIG", "GSIH" };

static void
op2 (VmmAml *aml, VmmAmlOp op, const char *name, guint64 value)
{
  vmm_aml_op (aml, op);
  vmm_aml_path (aml, name);
  vmm_aml_int (aml, value);
}

/* name = name OP value */
static void
update (VmmAml *aml, VmmAmlOp op, const char *name, guint64 value)
{
  op2 (aml, op, name, value);
  vmm_aml_path (aml, name);
}

static void
return_int (VmmAml *aml, guint64 value)
{
  vmm_aml_op (aml, VMM_AML_RETURN);
  vmm_aml_int (aml, value);
}

static void
return_path (VmmAml *aml, const char *path)
{
  vmm_aml_op (aml, VMM_AML_RETURN);
  vmm_aml_path (aml, path);
}

/* ISA-style device with one or two I/O ranges and an interrupt. irq: -1 none. */
static void
simple_device (VmmAml *aml,
               const char *name,
               const char *eisa_id,
               guint16 port,
               guint8 length,
               guint16 port2,
               int irq)
{
  vmm_aml_begin_device (aml, name);
  vmm_aml_name_eisa (aml, "_HID", eisa_id);
  vmm_aml_name_int (aml, "_STA", 0xf);
  vmm_aml_name (aml, "_CRS");
  vmm_aml_begin_resources (aml);
  if (length != 0)
    vmm_aml_res_io (aml, port, port, 1, length);
  if (port2 != 0)
    vmm_aml_res_io (aml, port2, port2, 1, length);
  if (irq >= 0)
    vmm_aml_res_irq (aml, (guint)irq);
  vmm_aml_end (aml);
  vmm_aml_end (aml);
}

/* PCI Firmware 3.3, 4.5: control over hot-plug, power events, errors and the capability structure
 * goes to the system when it asks; there is no SHPC. */
static void
add_osc (VmmAml *aml)
{
  vmm_aml_begin_method (aml, "_OSC", 4, TRUE);
  vmm_aml_create_dword_field (aml, NULL, 3, 0, "CDW1");
  vmm_aml_begin_if (aml);
  vmm_aml_op (aml, VMM_AML_LEQUAL);
  vmm_aml_arg (aml, 0);
  vmm_aml_uuid (aml, "33DB4D5B-1FF7-401C-9657-7441C03DD766");
  {
    vmm_aml_create_dword_field (aml, NULL, 3, 4, "CDW2");
    vmm_aml_create_dword_field (aml, NULL, 3, 8, "CDW3");
    vmm_aml_op (aml, VMM_AML_AND);
    vmm_aml_path (aml, "CDW3");
    vmm_aml_int (aml, 0x1d);
    vmm_aml_local (aml, 0);
    vmm_aml_begin_if (aml); /* unknown revision */
    vmm_aml_op (aml, VMM_AML_LNOT);
    vmm_aml_op (aml, VMM_AML_LEQUAL);
    vmm_aml_arg (aml, 1);
    vmm_aml_int (aml, 1);
    update (aml, VMM_AML_OR, "CDW1", 0x08);
    vmm_aml_end (aml);
    vmm_aml_begin_if (aml); /* some were not granted */
    vmm_aml_op (aml, VMM_AML_LNOT);
    vmm_aml_op (aml, VMM_AML_LEQUAL);
    vmm_aml_path (aml, "CDW3");
    vmm_aml_local (aml, 0);
    update (aml, VMM_AML_OR, "CDW1", 0x10);
    vmm_aml_end (aml);
    vmm_aml_op (aml, VMM_AML_STORE);
    vmm_aml_local (aml, 0);
    vmm_aml_path (aml, "CDW3");
  }
  vmm_aml_end (aml);
  vmm_aml_begin_else (aml); /* unknown UUID */
  update (aml, VMM_AML_OR, "CDW1", 0x04);
  vmm_aml_end (aml);
  vmm_aml_op (aml, VMM_AML_RETURN);
  vmm_aml_arg (aml, 3);
  vmm_aml_end (aml);
}

static void
add_routing_table (VmmAml *aml, const char *name, const char *const *links)
{
  vmm_aml_name (aml, name);
  vmm_aml_begin_package (aml, N_SLOTS * 4);
  for (guint slot = 0; slot < N_SLOTS; slot++)
    for (guint pin = 0; pin < 4; pin++)
      {
        vmm_aml_begin_package (aml, 4);
        vmm_aml_int (aml, slot << 16 | 0xffff);
        vmm_aml_int (aml, pin);
        vmm_aml_path (aml, links[q35_intx_to_pirq (slot, pin)]);
        vmm_aml_int (aml, 0);
        vmm_aml_end (aml);
      }
  vmm_aml_end (aml);
}

/* _CRS of the host bridge: configuration ports, I/O, legacy VGA memory, and the windows. */
static void
add_windows (VmmAml *aml, const VmmAcpiConfig *config)
{
  vmm_aml_name (aml, "_CRS");
  vmm_aml_begin_resources (aml);
  vmm_aml_res_bus_window (aml, 0, 0xff);
  vmm_aml_res_io (aml, 0xcf8, 0xcf8, 1, 8);
  vmm_aml_res_io_window (aml, 0, 0xcf7);
  vmm_aml_res_io_window (aml, 0xd00, 0xffff);
  vmm_aml_res_memory32_window (aml, 0xa0000, 0xbffff, TRUE);
  for (guint i = 0; i < config->n_windows32; i++)
    {
      const VmmAcpiWindow *window = &config->windows32[i];

      vmm_aml_res_memory32_window (aml, (guint32)window->base,
                                   (guint32)(window->base + window->length - 1), FALSE);
    }
  if (config->window64.length != 0)
    vmm_aml_res_memory64_window (aml, config->window64.base,
                                 config->window64.base + config->window64.length - 1, TRUE);
  vmm_aml_end (aml);
}

static void
add_host_bridge (VmmAml *aml, const VmmAcpiConfig *config)
{
  vmm_aml_begin_device (aml, "PCI0");
  vmm_aml_name_eisa (aml, "_HID", "PNP0A08");
  vmm_aml_name_eisa (aml, "_CID", "PNP0A03");
  vmm_aml_name_int (aml, "_SEG", 0);
  vmm_aml_name_int (aml, "_BBN", 0);
  vmm_aml_name_int (aml, "_UID", 0);
  add_windows (aml, config);
  add_osc (aml);
  add_routing_table (aml, "PRTP", link_names);
  add_routing_table (aml, "PRTA", gsi_names);
  vmm_aml_begin_method (aml, "_PRT", 0, FALSE);
  vmm_aml_begin_if (aml);
  op2 (aml, VMM_AML_LEQUAL, "\\PICF", 0);
  return_path (aml, "PRTP");
  vmm_aml_end (aml);
  return_path (aml, "PRTA");
  vmm_aml_end (aml);
  for (guint i = 0; i < config->n_root_ports; i++)
    {
      guint8 devfn = config->root_ports[i];
      char name[5];

      g_snprintf (name, sizeof name, "RP%02X", devfn);
      vmm_aml_begin_device (aml, name);
      vmm_aml_name_int (aml, "_ADR", (guint64)(devfn >> 3) << 16 | (devfn & 7));
      vmm_aml_end (aml);
    }
  vmm_aml_end (aml);
}

/* A link that the system may route to an ISA interrupt through its PIRQ register. */
static void
add_link (VmmAml *aml, guint n)
{
  static const guint32 choices[] = { 5, 10, 11 };
  static const guint32 none = 0;

  vmm_aml_begin_device (aml, link_names[n]);
  vmm_aml_name_eisa (aml, "_HID", "PNP0C0F");
  vmm_aml_name_int (aml, "_UID", n);
  vmm_aml_name (aml, "_PRS");
  vmm_aml_begin_resources (aml);
  vmm_aml_res_interrupts (aml, choices, G_N_ELEMENTS (choices));
  vmm_aml_end (aml);

  vmm_aml_begin_method (aml, "_STA", 0, FALSE);
  vmm_aml_begin_if (aml); /* bit 7: not routed */
  op2 (aml, VMM_AML_AND, pirq_fields[n], 0x80);
  vmm_aml_null (aml);
  return_int (aml, 0x09);
  vmm_aml_end (aml);
  return_int (aml, 0x0b);
  vmm_aml_end (aml);

  vmm_aml_begin_method (aml, "_DIS", 0, FALSE);
  update (aml, VMM_AML_OR, pirq_fields[n], 0x80);
  vmm_aml_end (aml);

  vmm_aml_begin_method (aml, "_CRS", 0, TRUE);
  vmm_aml_name (aml, "PRR0");
  vmm_aml_begin_resources (aml);
  vmm_aml_res_interrupts (aml, &none, 1);
  vmm_aml_end (aml);
  vmm_aml_create_dword_field (aml, "PRR0", 0, 5, "PRRI");
  vmm_aml_begin_if (aml);
  vmm_aml_op (aml, VMM_AML_LNOT);
  op2 (aml, VMM_AML_AND, pirq_fields[n], 0x80);
  vmm_aml_null (aml);
  op2 (aml, VMM_AML_AND, pirq_fields[n], 0x0f);
  vmm_aml_path (aml, "PRRI");
  vmm_aml_end (aml);
  return_path (aml, "PRR0");
  vmm_aml_end (aml);

  vmm_aml_begin_method (aml, "_SRS", 1, TRUE);
  vmm_aml_create_dword_field (aml, NULL, 0, 5, "PRRI");
  vmm_aml_op (aml, VMM_AML_STORE);
  vmm_aml_path (aml, "PRRI");
  vmm_aml_path (aml, pirq_fields[n]);
  vmm_aml_end (aml);
  vmm_aml_end (aml);
}

/* In I/O APIC mode each PIRQ has a pin of its own. */
static void
add_gsi (VmmAml *aml, guint n)
{
  guint32 gsi = Q35_PIRQ_GSI (n);

  vmm_aml_begin_device (aml, gsi_names[n]);
  vmm_aml_name_eisa (aml, "_HID", "PNP0C0F");
  vmm_aml_name_int (aml, "_UID", 0x10 + n);
  vmm_aml_name (aml, "_PRS");
  vmm_aml_begin_resources (aml);
  vmm_aml_res_interrupts (aml, &gsi, 1);
  vmm_aml_end (aml);
  vmm_aml_name (aml, "_CRS");
  vmm_aml_begin_resources (aml);
  vmm_aml_res_interrupts (aml, &gsi, 1);
  vmm_aml_end (aml);
  vmm_aml_begin_method (aml, "_SRS", 1, FALSE);
  vmm_aml_end (aml);
  vmm_aml_end (aml);
}

static void
add_serial (VmmAml *aml, guint n)
{
  static const guint16 ports[4] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
  char name[5];

  g_snprintf (name, sizeof name, "COM%u", n + 1);
  vmm_aml_begin_device (aml, name);
  vmm_aml_name_eisa (aml, "_HID", "PNP0501");
  vmm_aml_name_int (aml, "_UID", n + 1);
  vmm_aml_name_int (aml, "_STA", 0xf);
  vmm_aml_name (aml, "_CRS");
  vmm_aml_begin_resources (aml);
  vmm_aml_res_io (aml, ports[n], ports[n], 8, 8);
  vmm_aml_res_irq (aml, n % 2 == 0 ? 4 : 3);
  vmm_aml_end (aml);
  vmm_aml_end (aml);
}

/* QEMU, docs/specs/pvpanic: one byte port; reads tell the events it knows. */
static void
add_pvpanic (VmmAml *aml)
{
  vmm_aml_begin_device (aml, "PEVT");
  vmm_aml_name_string (aml, "_HID", "QEMU0001");
  vmm_aml_name_int (aml, "_STA", 0xf);
  vmm_aml_name (aml, "_CRS");
  vmm_aml_begin_resources (aml);
  vmm_aml_res_io (aml, 0x505, 0x505, 1, 1);
  vmm_aml_end (aml);
  vmm_aml_region (aml, "PEOR", VMM_AML_SPACE_IO, 0x505, 1);
  vmm_aml_begin_field (aml, "PEOR", VMM_AML_ACCESS_BYTE, VMM_AML_UPDATE_PRESERVE);
  vmm_aml_field_unit (aml, "PEPT", 8);
  vmm_aml_end (aml);
  vmm_aml_begin_method (aml, "RDPT", 0, FALSE);
  return_path (aml, "PEPT");
  vmm_aml_end (aml);
  vmm_aml_begin_method (aml, "WRPT", 1, FALSE);
  vmm_aml_op (aml, VMM_AML_STORE);
  vmm_aml_arg (aml, 0);
  vmm_aml_path (aml, "PEPT");
  vmm_aml_end (aml);
  vmm_aml_end (aml);
}

static void
add_fw_cfg (VmmAml *aml)
{
  vmm_aml_begin_device (aml, "FWCF");
  vmm_aml_name_string (aml, "_HID", "QEMU0002");
  vmm_aml_name_int (aml, "_STA", 0xb); /* not shown to people */
  vmm_aml_name (aml, "_CRS");
  vmm_aml_begin_resources (aml);
  vmm_aml_res_io (aml, 0x510, 0x510, 1, 12);
  vmm_aml_end (aml);
  vmm_aml_end (aml);
}

/* The LPC bridge: PIRQ registers and what hangs on its ISA side. */
static void
add_lpc (VmmAml *aml, const VmmAcpiConfig *config)
{
  vmm_aml_begin_scope (aml, "\\_SB.PCI0");
  vmm_aml_begin_device (aml, "LPC");
  vmm_aml_name_int (aml, "_ADR", LPC_ADDRESS);
  vmm_aml_region (aml, "PIRQ", VMM_AML_SPACE_PCI_CONFIG, 0x60, 0x0c);
  simple_device (aml, "RTC", "PNP0B00", 0x70, 2, 0, 8);
  if (config->i8042)
    {
      simple_device (aml, "KBD", "PNP0303", 0x60, 1, 0x64, 1);
      simple_device (aml, "MOU", "PNP0F13", 0, 0, 0, 12);
    }
  for (guint i = 0; i < 4; i++)
    if (config->serial_mask & 1u << i)
      add_serial (aml, i);
  if (config->pvpanic)
    add_pvpanic (aml);
  if (config->fw_cfg)
    add_fw_cfg (aml);

  /* Fixed addresses of the chipset, so that nothing else is put there. */
  vmm_aml_begin_device (aml, "MBRD");
  vmm_aml_name_eisa (aml, "_HID", "PNP0C02");
  vmm_aml_name_int (aml, "_UID", 1);
  vmm_aml_name (aml, "_CRS");
  vmm_aml_begin_resources (aml);
  vmm_aml_res_io (aml, 0x92, 0x92, 1, 1);
  vmm_aml_res_io (aml, 0xb2, 0xb2, 1, 2);
  vmm_aml_res_io (aml, 0x4d0, 0x4d0, 1, 2);
  vmm_aml_res_io (aml, config->pm_base, config->pm_base, 1, 0x80);
  vmm_aml_res_memory32_fixed (aml, RCBA_BASE, 0x4000, TRUE);
  vmm_aml_end (aml);
  vmm_aml_end (aml);

  vmm_aml_end (aml);
  vmm_aml_end (aml);

  /* Here, not in the bridge: _PRT finds names in its own scope and those above. */
  vmm_aml_begin_scope (aml, "\\_SB");
  vmm_aml_begin_field (aml, "PCI0.LPC.PIRQ", VMM_AML_ACCESS_BYTE, VMM_AML_UPDATE_PRESERVE);
  for (guint i = 0; i < N_PIRQS; i++)
    {
      if (i == 4)
        vmm_aml_field_skip (aml, 32);
      vmm_aml_field_unit (aml, pirq_fields[i], 8);
    }
  vmm_aml_end (aml);
  for (guint i = 0; i < N_PIRQS; i++)
    add_link (aml, i);
  vmm_aml_end (aml);
}

static void
add_hpet (VmmAml *aml, const VmmAcpiConfig *config)
{
  vmm_aml_begin_device (aml, "HPET");
  vmm_aml_name_eisa (aml, "_HID", "PNP0103");
  vmm_aml_name_int (aml, "_UID", 0);
  vmm_aml_name (aml, "_CRS");
  vmm_aml_begin_resources (aml);
  vmm_aml_res_memory32_fixed (aml, (guint32)config->hpet_base, 0x400, FALSE);
  vmm_aml_end (aml);
  vmm_aml_end (aml);
}

/* Claims the memory-mapped configuration space, without which Linux does not trust MCFG. */
static void
add_ecam (VmmAml *aml, const VmmAcpiConfig *config)
{
  guint64 length = (guint64)config->pciexbar_n_buses << 20;

  vmm_aml_begin_device (aml, "DRAC");
  vmm_aml_name_eisa (aml, "_HID", "PNP0C01");
  vmm_aml_name (aml, "_CRS");
  vmm_aml_begin_resources (aml);
  if (config->pciexbar + length <= 1ull << 32)
    vmm_aml_res_memory32_fixed (aml, (guint32)config->pciexbar, (guint32)length, TRUE);
  else
    vmm_aml_res_memory64_window (aml, config->pciexbar, config->pciexbar + length - 1, FALSE);
  vmm_aml_end (aml);
  vmm_aml_end (aml);
}

static void
add_cpus (VmmAml *aml, const VmmAcpiConfig *config)
{
  vmm_aml_begin_device (aml, "CPUS");
  vmm_aml_name_string (aml, "_HID", "ACPI0010");
  vmm_aml_name_eisa (aml, "_CID", "PNP0A05");
  for (guint i = 0; i < config->n_cpus; i++)
    {
      char name[5];

      g_snprintf (name, sizeof name, "C%03X", i);
      vmm_aml_begin_device (aml, name);
      vmm_aml_name_string (aml, "_HID", "ACPI0007");
      vmm_aml_name_int (aml, "_UID", i);
      vmm_aml_end (aml);
    }
  vmm_aml_end (aml);
}

GBytes *
q35_acpi_build_dsdt (const VmmAcpiConfig *config, GError **error)
{
  g_autoptr (VmmAml) aml = vmm_aml_new ();

  if (!vmm_acpi_config_validate (config, error))
    return NULL;

  /* The system tells which interrupt controller it uses: 0 the 8259s, 1 the I/O APIC. */
  vmm_aml_name_int (aml, "\\PICF", 0);
  vmm_aml_begin_method (aml, "\\_PIC", 1, FALSE);
  vmm_aml_op (aml, VMM_AML_STORE);
  vmm_aml_arg (aml, 0);
  vmm_aml_path (aml, "\\PICF");
  vmm_aml_end (aml);

  vmm_aml_begin_scope (aml, "\\_SB");
  add_host_bridge (aml, config);
  vmm_aml_end (aml);
  add_lpc (aml, config);
  vmm_aml_begin_scope (aml, "\\_SB");
  for (guint i = 0; i < N_PIRQS; i++)
    add_gsi (aml, i);
  if (config->hpet_base != 0)
    add_hpet (aml, config);
  if (config->pciexbar != 0)
    add_ecam (aml, config);
  add_cpus (aml, config);
  vmm_aml_end (aml);

  /* Soft off: SLP_TYP 0 in PM1_CNT. No other sleeping state is offered. */
  vmm_aml_name (aml, "\\_S5");
  vmm_aml_begin_package (aml, 4);
  for (guint i = 0; i < 4; i++)
    vmm_aml_int (aml, 0);
  vmm_aml_end (aml);
  return vmm_aml_steal (aml, error);
}

gboolean
q35_acpi_build (const VmmAcpiConfig *config, VmmAcpiBlobs *ret_blobs, GError **error)
{
  g_autoptr (GBytes) dsdt = q35_acpi_build_dsdt (config, error);

  return dsdt != NULL && vmm_acpi_build (config, dsdt, ret_blobs, error);
}

gboolean
q35_acpi_place (const VmmAcpiConfig *config,
                VmmGuestMemory *memory,
                guint64 low_ram,
                VmmGpa *ret_rsdp,
                VmmGpa *ret_vmgenid,
                GError **error)
{
  g_autoptr (GBytes) dsdt = NULL;
  guint64 area, length;

  *ret_rsdp = vmm_gpa (0);
  if (ret_vmgenid != NULL)
    *ret_vmgenid = vmm_gpa (0);
  if (!vmm_e820_get_acpi_area (low_ram, &area, &length))
    return TRUE; /* a toy machine: no tables */
  dsdt = q35_acpi_build_dsdt (config, error);
  if (dsdt == NULL)
    return FALSE;
  return vmm_acpi_place (config, dsdt, memory, vmm_gpa (area), VMM_ACPI_DIRECT_SIZE, ret_rsdp,
                         ret_vmgenid, error);
}

void
q35_acpi_set_windows (VmmAcpiConfig *config, guint64 low_ram)
{
  guint64 start = MAX (low_ram, 0x100000);
  guint64 ecam = config->pciexbar;
  guint64 ecam_end = ecam + ((guint64)config->pciexbar_n_buses << 20);

  config->n_windows32 = 0;
  if (ecam == 0 || ecam >= Q35_IOAPIC_BASE || ecam_end <= start)
    ecam = ecam_end = start;
  if (ecam > start)
    config->windows32[config->n_windows32++] = (VmmAcpiWindow){ start, ecam - start };
  if (ecam_end < Q35_IOAPIC_BASE)
    config->windows32[config->n_windows32++] =
        (VmmAcpiWindow){ ecam_end, Q35_IOAPIC_BASE - ecam_end };
}
