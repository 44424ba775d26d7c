/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "virtio-driver.h"

#include <linux/pci_regs.h>
#include <string.h>

#define BAR4_BASE 0xe0000000
#define MSIX_BASE 0xe0010000
#define PIO_BASE  0xc000
#define DEVFN     VIRTIO_DRIVER_DEVFN

static void
ignore_intx (gpointer opaque, guint slot, guint pin, gboolean level)
{
  HarnessMachine *h = opaque;

  h->gsi[20] = level; /* where tests look for INTx */
}

static const PciBusOps bus_ops = { .set_intx = ignore_intx };

void
virtio_driver_init (VirtioDriver *d)
{
  memset (d, 0, sizeof *d);
  d->h = harness_new (VIRTIO_DRIVER_RAM);
  d->bus = pci_bus_new (d->h->machine, "pcie.0", &bus_ops, d->h);
  d->arena = harness_alloc (d->h, 0x10000, 4096);
}

void
virtio_driver_finish (VirtioDriver *d)
{
  harness_free (d->h);
  pci_bus_free (d->bus);
}

void
virtio_driver_unplug (VirtioDriver *d)
{
  VmmDevice *device = &g_steal_pointer (&d->device)->parent.parent;

  vmm_device_unrealize (device);
  vmm_device_free (device);
}

VmmDevice *
virtio_driver_new_device (VirtioDriver *d, const VmmDeviceOps *ops)
{
  VmmDevice *device = vmm_device_new (ops, "test");
  g_autoptr (GError) error = NULL;

  vmm_device_set_pointer (device, "bus", d->bus, &error);
  g_assert_no_error (error);
  vmm_device_set_uint (device, "devfn", DEVFN, &error);
  g_assert_no_error (error);
  return device;
}

static guint32
config_read (VirtioDriver *d, guint offset, guint size)
{
  return pci_bus_config_read (d->bus, 0, DEVFN, offset, size);
}

static void
config_write (VirtioDriver *d, guint offset, guint size, guint32 value)
{
  pci_bus_config_write (d->bus, 0, DEVFN, offset, size, value);
}

void
virtio_driver_set_bars (VirtioDriver *d)
{
  config_write (d, PCI_BASE_ADDRESS_0, 4, PIO_BASE);
  config_write (d, PCI_BASE_ADDRESS_1, 4, MSIX_BASE);
  config_write (d, PCI_BASE_ADDRESS_4, 4, BAR4_BASE);
  config_write (d, PCI_BASE_ADDRESS_5, 4, 0);
  config_write (d, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void
virtio_driver_probe (VirtioDriver *d, VmmDevice *device)
{
  guint cap;

  d->device = (VirtioDevice *)harness_realize (d->h, device);
  virtio_driver_set_bars (d);
  for (cap = config_read (d, PCI_CAPABILITY_LIST, 1); cap != 0; cap = config_read (d, cap + 1, 1))
    {
      guint bar;
      guint64 address;

      if (config_read (d, cap, 1) != PCI_CAP_ID_VNDR)
        continue;
      bar = config_read (d, cap + 4, 1);
      address = (bar == 0 ? PIO_BASE : BAR4_BASE) + config_read (d, cap + 8, 4);
      switch (config_read (d, cap + 3, 1))
        {
        case 1:
          d->common = address;
          break;
        case 2:
          d->notify_step = config_read (d, cap + 16, 4);
          if (bar == 0)
            {
              /* Before the MMIO one, or drivers would take that. */
              g_assert_cmpuint (d->notify_mmio, ==, 0);
              d->notify_pio = address;
            }
          else
            d->notify_mmio = address;
          break;
        case 3:
          d->isr = address;
          break;
        case 4:
          d->config = address;
          break;
        case 5:
          d->window = cap;
          break;
        default:
          g_assert_not_reached ();
        }
    }
  g_assert_cmpuint (d->common, !=, 0);
  g_assert_cmpuint (d->isr, !=, 0);
  g_assert_cmpuint (d->notify_mmio, !=, 0);
  g_assert_cmpuint (d->window, !=, 0);
}

void
virtio_driver_enable_msix (VirtioDriver *d)
{
  guint cap = config_read (d, PCI_CAPABILITY_LIST, 1);
  guint n;

  while (cap != 0 && config_read (d, cap, 1) != PCI_CAP_ID_MSIX)
    cap = config_read (d, cap + 1, 1);
  g_assert_cmpuint (cap, !=, 0);
  n = (config_read (d, cap + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
  for (guint i = 0; i < n; i++)
    {
      harness_mmio_write (d->h, MSIX_BASE + 16 * i, 4, 0xfee00000);
      harness_mmio_write (d->h, MSIX_BASE + 16 * i + 4, 4, 0);
      harness_mmio_write (d->h, MSIX_BASE + 16 * i + 8, 4, VIRTIO_DRIVER_MSI_DATA + i);
      harness_mmio_write (d->h, MSIX_BASE + 16 * i + 12, 4, 0);
    }
  config_write (d, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
}

guint64
virtio_driver_read (VirtioDriver *d, guint64 offset, guint size)
{
  return harness_mmio_read (d->h, d->common + offset, size);
}

void
virtio_driver_write (VirtioDriver *d, guint64 offset, guint size, guint64 value)
{
  harness_mmio_write (d->h, d->common + offset, size, value);
}

guint64
virtio_driver_read_config (VirtioDriver *d, guint64 offset, guint size)
{
  return harness_mmio_read (d->h, d->config + offset, size);
}

guint64
virtio_driver_get_features (VirtioDriver *d)
{
  guint64 features;

  virtio_driver_write (d, 0, 4, 0);
  features = virtio_driver_read (d, 4, 4);
  virtio_driver_write (d, 0, 4, 1);
  return features | virtio_driver_read (d, 4, 4) << 32;
}

guint8
virtio_driver_get_status (VirtioDriver *d)
{
  return virtio_driver_read (d, 0x14, 1);
}

gboolean
virtio_driver_negotiate (VirtioDriver *d, guint64 features)
{
  features |= G_GUINT64_CONSTANT (1) << 32;
  virtio_driver_write (d, 0x14, 1, 0);
  g_assert_cmpuint (virtio_driver_get_status (d), ==, 0);
  virtio_driver_write (d, 0x14, 1, 1);
  virtio_driver_write (d, 0x14, 1, 3);
  virtio_driver_write (d, 8, 4, 0);
  virtio_driver_write (d, 0xc, 4, features & G_MAXUINT32);
  virtio_driver_write (d, 8, 4, 1);
  virtio_driver_write (d, 0xc, 4, features >> 32);
  virtio_driver_write (d, 0x14, 1, 0xb);
  return (virtio_driver_get_status (d) & 8) != 0;
}

static void
write_address (VirtioDriver *d, guint64 offset, guint64 value)
{
  virtio_driver_write (d, offset, 4, value & G_MAXUINT32);
  virtio_driver_write (d, offset + 4, 4, value >> 32);
}

void
virtio_driver_set_up_queue (VirtioDriver *d, guint index, guint size)
{
  HarnessRing *ring = &d->rings[index];

  if (ring->h == NULL)
    harness_ring_init (ring, d->h, size);
  else
    harness_ring_reset (ring);
  ring->event_idx = virtio_device_has_feature (d->device, 29);
  virtio_driver_write (d, 0x16, 2, index);
  g_assert_cmpuint (virtio_driver_read (d, 0x18, 2), >=, size);
  virtio_driver_write (d, 0x18, 2, size);
  virtio_driver_write (d, 0x1a, 2, index + 1);
  g_assert_cmpuint (virtio_driver_read (d, 0x1a, 2), ==, index + 1);
  write_address (d, 0x20, ring->desc);
  write_address (d, 0x28, ring->avail);
  write_address (d, 0x30, ring->used);
  virtio_driver_write (d, 0x1c, 2, 1);
  g_assert_cmpuint (virtio_driver_read (d, 0x1c, 2), ==, 1);
}

void
virtio_driver_start (VirtioDriver *d, guint64 mask, guint n_queues)
{
  guint64 features = virtio_driver_get_features (d) & mask;

  virtio_driver_enable_msix (d);
  g_assert_true (virtio_driver_negotiate (d, features));
  virtio_driver_write (d, 0x10, 2, 0);
  for (guint i = 0; i < n_queues; i++)
    virtio_driver_set_up_queue (d, i, VIRTIO_DRIVER_QUEUE);
  virtio_driver_write (d, 0x14, 1, 0xf);
  g_assert_cmpuint (virtio_driver_get_status (d), ==, 0xf);
  harness_run (d->h);
}

void
virtio_driver_kick (VirtioDriver *d, guint queue)
{
  harness_out (d->h, d->notify_pio + queue * d->notify_step, 2, queue);
  harness_run (d->h);
}

void
virtio_driver_storm (VirtioDriver *d, guint32 seed, guint n)
{
  static const guint8 sizes[] = { 1, 2, 4, 8 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);

  for (guint i = 0; i < n; i++)
    {
      guint size = sizes[g_rand_int_range (rand, 0, 4)];
      guint64 offset = g_rand_int_range (rand, 0, 0x4000 - 8);
      guint64 value = g_rand_int (rand);

      /* Mostly where registers are. */
      if (i % 4 != 0)
        offset = (offset & 0x3000) | (offset & 0x7f);
      if (i % 8 == 0)
        value = g_rand_int_range (rand, 0, 16);
      if (g_rand_boolean (rand))
        harness_mmio_write (d->h, d->common + offset, size, value);
      else
        (void)harness_mmio_read (d->h, d->common + offset, size);
      if (i % 16 == 0)
        harness_out (d->h, d->notify_pio + (offset & 0x1f), size == 8 ? 4 : size, value);
      if (i % 32 == 0)
        {
          config_write (d, d->window + 4 + (offset & 0xf & ~3), 4, value & 0x3fff);
          (void)config_read (d, d->window + 16, 4);
        }
      if (i % 64 == 0)
        harness_run (d->h);
    }
  harness_run (d->h);
}
