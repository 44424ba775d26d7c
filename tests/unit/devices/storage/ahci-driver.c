/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ahci-driver.h"

#include <linux/pci_regs.h>
#include <string.h>

#define DEVFN PCI_MAKE_DEVFN (0x1f, 2)

static void
set_intx (gpointer opaque, guint slot, guint pin, gboolean level)
{
  HarnessMachine *h = opaque;

  h->gsi[20] = level;
}

static const PciBusOps bus_ops = { .set_intx = set_intx };

void
ahci_driver_set_bars (AhciDriver *d)
{
  pci_bus_config_write (d->bus, 0, DEVFN, PCI_BASE_ADDRESS_4, 4, AHCI_DRIVER_IDP);
  pci_bus_config_write (d->bus, 0, DEVFN, PCI_BASE_ADDRESS_5, 4, AHCI_DRIVER_ABAR);
  pci_bus_config_write (d->bus, 0, DEVFN, PCI_COMMAND, 2,
                        PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void
ahci_driver_enable_msi (AhciDriver *d)
{
  guint cap = pci_bus_config_read (d->bus, 0, DEVFN, PCI_CAPABILITY_LIST, 1);

  while (cap != 0 && pci_bus_config_read (d->bus, 0, DEVFN, cap, 1) != PCI_CAP_ID_MSI)
    cap = pci_bus_config_read (d->bus, 0, DEVFN, cap + 1, 1);
  g_assert_cmpuint (cap, !=, 0);
  pci_bus_config_write (d->bus, 0, DEVFN, cap + PCI_MSI_ADDRESS_LO, 4, 0xfee00000);
  pci_bus_config_write (d->bus, 0, DEVFN, cap + PCI_MSI_DATA_64, 2, AHCI_DRIVER_MSI);
  pci_bus_config_write (d->bus, 0, DEVFN, cap + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
}

void
ahci_driver_init (AhciDriver *d)
{
  g_autoptr (GError) error = NULL;

  memset (d, 0, sizeof *d);
  d->h = harness_new (AHCI_DRIVER_RAM);
  d->bus = pci_bus_new (d->h->machine, "pcie.0", &bus_ops, d->h);
  d->controller = vmm_device_new (&ahci_device_ops, "board.sata");
  vmm_device_set_pointer (d->controller, "bus", d->bus, &error);
  g_assert_no_error (error);
  vmm_device_set_uint (d->controller, "devfn", DEVFN, &error);
  g_assert_no_error (error);
  harness_realize (d->h, d->controller);
  for (guint i = 0; i < G_N_ELEMENTS (d->ports); i++)
    d->ports[i] = (AhciDriverPort){
      .clb = harness_alloc (d->h, 1024, 1024),
      .fb = harness_alloc (d->h, 256, 256),
      .tables = harness_alloc (d->h, 32 * 4096, 4096),
      .data = harness_alloc (d->h, AHCI_DRIVER_DATA, 4096),
    };
  ahci_driver_set_bars (d);
}

void
ahci_driver_finish (AhciDriver *d)
{
  harness_free (d->h);
  pci_bus_free (d->bus);
}

VmmDevice *
ahci_driver_plug (AhciDriver *d, const VmmDeviceOps *ops, guint port, BlockBackend *backend)
{
  g_autofree char *id = g_strdup_printf ("disk.%u", port);
  VmmDevice *device = vmm_device_new (ops, id);
  g_autoptr (GError) error = NULL;

  vmm_device_set_pointer (device, "controller", d->controller, &error);
  g_assert_no_error (error);
  vmm_device_set_uint (device, "port", port, &error);
  g_assert_no_error (error);
  vmm_device_set_pointer (device, "backend", backend, &error);
  g_assert_no_error (error);
  vmm_device_set_string (device, "serial", "ROOM-0001", &error);
  g_assert_no_error (error);
  return harness_realize (d->h, device);
}

guint32
ahci_driver_read (AhciDriver *d, guint offset)
{
  return harness_mmio_read (d->h, AHCI_DRIVER_ABAR + offset, 4);
}

void
ahci_driver_write (AhciDriver *d, guint offset, guint32 value)
{
  harness_mmio_write (d->h, AHCI_DRIVER_ABAR + offset, 4, value);
}

guint32
ahci_port_read (AhciDriver *d, guint port, guint offset)
{
  return ahci_driver_read (d, 0x100 + 0x80 * port + offset);
}

void
ahci_port_write (AhciDriver *d, guint port, guint offset, guint32 value)
{
  ahci_driver_write (d, 0x100 + 0x80 * port + offset, value);
}

void
ahci_driver_start (AhciDriver *d, guint port)
{
  ahci_port_write (d, port, 0x00, d->ports[port].clb);
  ahci_port_write (d, port, 0x04, 0);
  ahci_port_write (d, port, 0x08, d->ports[port].fb);
  ahci_port_write (d, port, 0x0c, 0);
  ahci_port_write (d, port, 0x30, G_MAXUINT32);
  ahci_port_write (d, port, 0x10, G_MAXUINT32);
  ahci_port_write (d, port, 0x14, 0x7dc0007f);
  ahci_driver_write (d, 0x08, G_MAXUINT32);
  ahci_driver_write (d, 0x04, 0x80000002);
  ahci_port_write (d, port, 0x18, 0x16);
  ahci_port_write (d, port, 0x18, 0x17);
  harness_run (d->h);
}

void
ahci_driver_stop (AhciDriver *d, guint port)
{
  ahci_port_write (d, port, 0x18, 0x16);
}

guint64
ahci_driver_table (AhciDriver *d, guint port, guint slot)
{
  return d->ports[port].tables + slot * 4096;
}

void
ahci_driver_put_prd (
    AhciDriver *d, guint port, guint slot, guint index, guint64 address, guint32 count)
{
  guint64 at = ahci_driver_table (d, port, slot) + 0x80 + 16 * index;

  harness_write_le (d->h, at, 8, address);
  harness_write_le (d->h, at + 8, 4, 0);
  harness_write_le (d->h, at + 12, 4, count);
}

void
ahci_driver_set_n_prds (AhciDriver *d, guint port, guint slot, guint n)
{
  harness_write_le (d->h, d->ports[port].clb + 32 * slot + 2, 2, n);
}

void
ahci_driver_prepare (AhciDriver *d, guint port, guint slot, const AhciRequest *r)
{
  guint64 header = d->ports[port].clb + 32 * slot, table = ahci_driver_table (d, port, slot);
  guint16 features = r->queued ? r->count : r->features;
  guint16 count = r->queued ? slot << 3 : r->count;
  const guint8 fis[20] = {
    0x27,
    r->no_command ? 0 : 0x80,
    r->command,
    (guint8)features,
    (guint8)r->lba,
    (guint8)(r->lba >> 8),
    (guint8)(r->lba >> 16),
    (guint8)(r->device | 0x40),
    (guint8)(r->lba >> 24),
    (guint8)(r->lba >> 32),
    (guint8)(r->lba >> 40),
    (guint8)(features >> 8),
    (guint8)count,
    (guint8)(count >> 8),
    0,
    r->control,
  };

  harness_write (d->h, table, fis, sizeof fis);
  if (r->packet != NULL)
    harness_write (d->h, table + 0x40, r->packet, 12);
  harness_write_le (d->h, header, 2,
                    5 | (r->packet != NULL ? 0x20 : 0) | (r->write ? 0x40 : 0) |
                        (r->clear ? 0x400 : 0));
  harness_write_le (d->h, header + 2, 2, r->length > 0 ? 1 : 0);
  harness_write_le (d->h, header + 4, 4, 0);
  harness_write_le (d->h, header + 8, 8, table);
  if (r->length > 0)
    ahci_driver_put_prd (d, port, slot, 0, d->ports[port].data + r->at, r->length - 1);
}

void
ahci_driver_issue (AhciDriver *d, guint port, guint32 slots, guint32 queued)
{
  if (queued != 0)
    ahci_port_write (d, port, 0x34, queued);
  ahci_port_write (d, port, 0x38, slots);
}

guint32
ahci_driver_request (AhciDriver *d, guint port, const AhciRequest *request)
{
  ahci_driver_prepare (d, port, 0, request);
  ahci_driver_issue (d, port, 1, request->queued ? 1 : 0);
  harness_run (d->h);
  return ahci_port_read (d, port, 0x20);
}
