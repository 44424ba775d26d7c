/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The transport, under a device of the test's own. */
#include <linux/pci_regs.h>
#include <string.h>

#include "virtio-driver.h"

#define DEVFN     VIRTIO_DRIVER_DEVFN
#define FEATURE_A 3
#define BIT(n)    (G_GUINT64_CONSTANT (1) << (n))

typedef struct
{
  VirtioDevice parent;
  guint8 config[12];
  guint n_activated, n_deactivated, n_kicks[3], n_quiesced, n_resumed, n_enabled;
  gboolean echo;
} Toy;

static void
toy_config_read (VirtioDevice *device, gsize offset, void *buffer, gsize size)
{
  memcpy (buffer, ((Toy *)device)->config + offset, size);
}

static void
toy_config_write (VirtioDevice *device, gsize offset, const void *data, gsize size)
{
  memcpy (((Toy *)device)->config + offset, data, size);
}

static void
toy_activate (VirtioDevice *device)
{
  ((Toy *)device)->n_activated++;
}

static void
toy_deactivate (VirtioDevice *device)
{
  ((Toy *)device)->n_deactivated++;
}

static void
toy_kick (VirtioDevice *device, guint index)
{
  Toy *toy = (Toy *)device;
  Virtqueue *vq = virtio_device_get_queue (device, index);
  VirtqueueChain *chain;
  VirtqueueStatus status;

  toy->n_kicks[index]++;
  while ((status = virtqueue_pop (vq, &chain)) == VIRTQUEUE_READY)
    virtqueue_push (vq, chain, 0);
  if (status == VIRTQUEUE_BROKEN)
    virtio_device_set_broken (device);
  else
    virtio_device_notify_queue (device, index);
}

static void
toy_quiesce (VirtioDevice *device)
{
  ((Toy *)device)->n_quiesced++;
}

static void
toy_resume (VirtioDevice *device)
{
  ((Toy *)device)->n_resumed++;
}

static void
toy_enabled (VirtioDevice *device, guint queue, gboolean enabled)
{
  ((Toy *)device)->n_enabled++;
}

static const VirtioDeviceOps toy_virtio_ops = {
  .type = 18,
  .class_base = 0x09,
  .class_sub = 0x80,
  .n_queues = 3,
  .queue_size = 64,
  .features = BIT (FEATURE_A),
  .config_size = 12,
  .config_read = toy_config_read,
  .config_write = toy_config_write,
  .activate = toy_activate,
  .deactivate = toy_deactivate,
  .kick = toy_kick,
  .queue_enabled = toy_enabled,
  .quiesce = toy_quiesce,
  .resume = toy_resume,
};

static gboolean
toy_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  return virtio_device_init ((VirtioDevice *)device, machine, &toy_virtio_ops, NULL, NULL, error);
}

static void
toy_unrealize (VmmDevice *device)
{
  virtio_device_finish ((VirtioDevice *)device);
}

static void
toy_reset (VmmDevice *device, VmmResetKind kind)
{
  virtio_device_reset ((VirtioDevice *)device);
}

static void
toy_device_quiesce (VmmDevice *device)
{
  virtio_device_quiesce ((VirtioDevice *)device);
}

static void
toy_device_resume (VmmDevice *device)
{
  virtio_device_resume ((VirtioDevice *)device);
}

static gboolean
toy_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  virtio_device_save ((VirtioDevice *)device, writer);
  return TRUE;
}

static gboolean
toy_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  return virtio_device_load ((VirtioDevice *)device, reader, error);
}

static const VmmProperty toy_properties[] = { VIRTIO_DEVICE_PROPERTIES, { NULL } };

static const VmmDeviceOps toy_ops = {
  .name = "toy",
  .summary = "toy",
  .spec = "none",
  .instance_size = sizeof (Toy),
  .state_version = 1,
  .properties = toy_properties,
  .realize = toy_realize,
  .unrealize = toy_unrealize,
  .reset = toy_reset,
  .quiesce = toy_device_quiesce,
  .resume = toy_device_resume,
  .save = toy_save,
  .load = toy_load,
};

typedef struct
{
  VirtioDriver d;
  Toy *toy;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  VmmDevice *device;

  virtio_driver_init (&f->d);
  device = virtio_driver_new_device (&f->d, &toy_ops);
  f->toy = (Toy *)device;
  virtio_driver_probe (&f->d, device);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  virtio_driver_finish (&f->d);
}

static guint32
cfg (Fixture *f, guint offset, guint size)
{
  return pci_bus_config_read (f->d.bus, 0, DEVFN, offset, size);
}

static void
test_identity (Fixture *f, gconstpointer data)
{
  g_assert_cmphex (cfg (f, PCI_VENDOR_ID, 2), ==, 0x1af4);
  g_assert_cmphex (cfg (f, PCI_DEVICE_ID, 2), ==, 0x1040 + 18);
  g_assert_cmphex (cfg (f, PCI_SUBSYSTEM_VENDOR_ID, 2), ==, 0x1af4);
  g_assert_cmphex (cfg (f, PCI_SUBSYSTEM_ID, 2), ==, 0x1100);
  g_assert_cmphex (cfg (f, PCI_REVISION_ID, 1), ==, 1);
  g_assert_cmphex (cfg (f, PCI_CLASS_DEVICE, 2), ==, 0x0980);
  g_assert_cmpuint (f->d.notify_step, ==, 4);
  g_assert_cmpuint (f->d.notify_pio, !=, 0);
  g_assert_cmpuint (f->d.config, !=, 0);
}

static void
test_reset_values (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;
  static const struct
  {
    guint offset, size;
    guint64 value;
  } regs[] = {
    { 0x00, 4, 0 },      { 0x04, 4, BIT (28) | BIT (29) | BIT (FEATURE_A) },
    { 0x08, 4, 0 },      { 0x0c, 4, 0 },
    { 0x10, 2, 0xffff }, { 0x12, 2, 3 },
    { 0x14, 1, 0 },      { 0x15, 1, 0 },
    { 0x16, 2, 0 },      { 0x18, 2, 64 },
    { 0x1a, 2, 0xffff }, { 0x1c, 2, 0 },
    { 0x1e, 2, 0 },      { 0x20, 4, 0 },
    { 0x24, 4, 0 },      { 0x28, 4, 0 },
    { 0x2c, 4, 0 },      { 0x30, 4, 0 },
    { 0x34, 4, 0 },      { 0x38, 2, 0 },
    { 0x3a, 2, 0 },
  };

  for (guint pass = 0; pass < 3; pass++)
    {
      for (guint i = 0; i < G_N_ELEMENTS (regs); i++)
        g_assert_cmphex (virtio_driver_read (d, regs[i].offset, regs[i].size), ==, regs[i].value);
      /* Everything written, then reset by the driver and by the machine. */
      for (guint i = 0; i < G_N_ELEMENTS (regs); i++)
        if (regs[i].offset != 0x14)
          virtio_driver_write (d, regs[i].offset, regs[i].size, 0x01010101);
      if (pass == 0)
        virtio_driver_write (d, 0x14, 1, 0);
      else
        {
          vmm_machine_reset_devices (d->h->machine, VMM_RESET_COLD);
          g_assert_cmphex (virtio_driver_read (d, 0x12, 2), ==, 0xffff); /* BARs are gone */
          virtio_driver_set_bars (d);
        }
    }
}

/* Virtio 1.2, 4.1.3.1: a field is read with its own width; what is not such an access reads 0. */
static void
test_widths (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;
  static const guint8 widths[0x3c] = {
    [0x00] = 4, [0x04] = 4, [0x08] = 4, [0x0c] = 4, [0x10] = 2, [0x12] = 2, [0x14] = 1,
    [0x15] = 1, [0x16] = 2, [0x18] = 2, [0x1a] = 2, [0x1c] = 2, [0x1e] = 2, [0x20] = 4,
    [0x24] = 4, [0x28] = 4, [0x2c] = 4, [0x30] = 4, [0x34] = 4, [0x38] = 2, [0x3a] = 2,
  };

  for (guint offset = 0; offset < 0x80; offset++)
    for (guint size = 1; size <= 4; size *= 2)
      if (offset >= sizeof widths || widths[offset] != size)
        {
          virtio_driver_write (d, offset, size, 0xffffffff);
          g_assert_cmphex (virtio_driver_read (d, offset, size), ==, 0);
        }
  g_assert_cmphex (virtio_driver_read (d, 0x18, 2), ==, 64);
  g_assert_cmphex (virtio_driver_get_status (d), ==, 0);
  /* 64-bit accesses are two 32-bit ones. */
  virtio_driver_write (d, 0x20, 8, 0x1122334455667788);
  g_assert_cmphex (virtio_driver_read (d, 0x24, 4), ==, 0x11223344);
  g_assert_cmphex (virtio_driver_read (d, 0x20, 8), ==, 0x1122334455667788);
}

static void
test_negotiation (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;

  g_assert_cmphex (virtio_driver_get_features (d), ==,
                   BIT (28) | BIT (29) | BIT (32) | BIT (FEATURE_A));
  virtio_driver_write (d, 0, 4, 2);
  g_assert_cmphex (virtio_driver_read (d, 4, 4), ==, 0);
  /* A feature that was not offered; no VERSION_1. */
  g_assert_false (virtio_driver_negotiate (d, BIT (5)));
  virtio_driver_write (d, 0x14, 1, 0xf);
  g_assert_cmphex (virtio_driver_get_status (d), ==, 3);
  virtio_driver_write (d, 0x14, 1, 0);
  virtio_driver_write (d, 0x14, 1, 0xb);
  g_assert_cmphex (virtio_driver_get_status (d), ==, 3);
  g_assert_cmpuint (f->toy->n_activated, ==, 0);

  g_assert_true (virtio_driver_negotiate (d, BIT (FEATURE_A)));
  g_assert_true (virtio_device_has_feature (d->device, FEATURE_A));
  /* Final now. */
  virtio_driver_write (d, 8, 4, 0);
  virtio_driver_write (d, 0xc, 4, 0);
  g_assert_true (virtio_device_has_feature (d->device, FEATURE_A));
  virtio_driver_write (d, 0x14, 1, 0xf);
  g_assert_cmpuint (f->toy->n_activated, ==, 1);
  virtio_driver_write (d, 0x14, 1, 0xf);
  g_assert_cmpuint (f->toy->n_activated, ==, 1);
  g_assert_true (virtio_device_is_active (d->device));
  virtio_driver_write (d, 0x14, 1, 0);
  g_assert_cmpuint (f->toy->n_deactivated, ==, 1);
  g_assert_false (virtio_device_is_active (d->device));
  g_assert_false (virtio_device_has_feature (d->device, FEATURE_A));
}

static void
test_latched (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;

  virtio_driver_start (d, ~G_GUINT64_CONSTANT (0), 1);
  virtio_driver_write (d, 0x16, 2, 0);
  virtio_driver_write (d, 0x18, 2, 2);
  virtio_driver_write (d, 0x20, 4, 0x666000);
  virtio_driver_write (d, 0x1c, 2, 0);
  g_assert_cmphex (virtio_driver_read (d, 0x18, 2), ==, VIRTIO_DRIVER_QUEUE);
  g_assert_cmphex (virtio_driver_read (d, 0x20, 4), ==, d->rings[0].desc);
  g_assert_cmphex (virtio_driver_read (d, 0x1c, 2), ==, 1);
  /* Queues that are not there. */
  virtio_driver_write (d, 0x16, 2, 3);
  g_assert_cmphex (virtio_driver_read (d, 0x18, 2), ==, 0);
  virtio_driver_write (d, 0x1c, 2, 1);
  virtio_driver_write (d, 0x16, 2, 0xffff);
  g_assert_cmphex (virtio_driver_read (d, 0x18, 2), ==, 0);
  g_assert_cmphex (virtio_driver_read (d, 0x1a, 2), ==, 0xffff);
  g_assert_cmphex (virtio_driver_get_status (d), ==, 0xf);
  /* A vector that is not there. */
  virtio_driver_write (d, 0x16, 2, 1);
  virtio_driver_write (d, 0x1a, 2, 4);
  g_assert_cmphex (virtio_driver_read (d, 0x1a, 2), ==, 0xffff);
  virtio_driver_write (d, 0x10, 2, 4);
  g_assert_cmphex (virtio_driver_read (d, 0x10, 2), ==, 0xffff);
  /* A queue enabled late. */
  virtio_driver_set_up_queue (d, 1, 16);
  g_assert_cmpuint (f->toy->n_enabled, ==, 1);
}

static void
test_bad_queue (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;

  virtio_driver_start (d, ~G_GUINT64_CONSTANT (0), 1);
  virtio_driver_write (d, 0x16, 2, 2);
  virtio_driver_write (d, 0x18, 2, 48);
  virtio_driver_write (d, 0x1c, 2, 1);
  g_assert_cmphex (virtio_driver_read (d, 0x1c, 2), ==, 0);
  g_assert_cmphex (virtio_driver_get_status (d), ==, 0x4f);
  g_assert_cmpuint (harness_count_msi (d->h, VIRTIO_DRIVER_MSI_DATA), ==, 1);
  g_assert_false (virtio_device_is_active (d->device));
  virtio_driver_start (d, ~G_GUINT64_CONSTANT (0), 3);
  g_assert_true (virtio_device_is_active (d->device));
}

static void
send_one (Fixture *f, guint queue)
{
  HarnessSegment segment = { f->d.arena, 16, FALSE };

  harness_ring_send (&f->d.rings[queue], &segment, 1);
}

static void
test_kick_and_interrupt (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;
  HarnessUsed used;

  virtio_driver_start (d, ~BIT (29), 3);
  harness_clear_msis (d->h);
  for (guint i = 0; i < 20; i++)
    {
      guint before = f->toy->n_kicks[1];

      send_one (f, 1);
      if (i % 2)
        virtio_driver_kick (d, 1);
      else
        {
          harness_mmio_write (d->h, d->notify_mmio + 4, 2, 1);
          harness_run (d->h);
        }
      g_assert_cmpuint (f->toy->n_kicks[1], ==, before + 1);
      g_assert_true (harness_ring_take_used (&d->rings[1], &used));
      g_assert_cmpuint (harness_count_msi (d->h, VIRTIO_DRIVER_MSI_DATA + 2), ==, i + 1);
    }
  g_assert_cmpuint (f->toy->n_kicks[0], ==, 1); /* at DRIVER_OK */
  /* Both doorbells of this queue are the kernel's now, nobody else's. */
  g_assert_true (harness_has_ioeventfd (d->h, TRUE, d->notify_pio + 4));
  g_assert_true (harness_has_ioeventfd (d->h, FALSE, d->notify_mmio + 4));
  g_assert_false (harness_has_ioeventfd (d->h, TRUE, d->notify_pio));
  /* They follow their BAR. */
  pci_bus_config_write (d->bus, 0, DEVFN, PCI_BASE_ADDRESS_0, 4, 0xd000);
  g_assert_false (harness_has_ioeventfd (d->h, TRUE, d->notify_pio + 4));
  for (guint i = 0; i < 10; i++)
    harness_out (d->h, 0xd000 + 4, 2, 1);
  g_assert_true (harness_has_ioeventfd (d->h, TRUE, 0xd004));
  pci_bus_config_write (d->bus, 0, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  g_assert_false (harness_has_ioeventfd (d->h, TRUE, 0xd004));
  harness_mmio_write (d->h, d->notify_mmio + 0xffc, 4, 0);
}

static void
test_intx (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;

  g_assert_true (virtio_driver_negotiate (d, 0));
  virtio_driver_set_up_queue (d, 0, 16);
  virtio_driver_write (d, 0x14, 1, 0xf);
  harness_run (d->h);
  (void)harness_mmio_read (d->h, d->isr, 1);
  g_assert_false (d->h->gsi[20]);
  send_one (f, 0);
  virtio_driver_kick (d, 0);
  g_assert_true (d->h->gsi[20]);
  g_assert_cmphex (harness_mmio_read (d->h, d->isr, 1), ==, 1);
  g_assert_false (d->h->gsi[20]);
  g_assert_cmphex (harness_mmio_read (d->h, d->isr, 1), ==, 0);
  virtio_device_notify_config (d->device);
  g_assert_cmphex (virtio_driver_read (d, 0x15, 1), ==, 1);
  g_assert_true (d->h->gsi[20]);
  harness_check_save_load (d->h);
  g_assert_true (d->h->gsi[20]);
  /* The kick that resume makes is an interrupt too. */
  g_assert_cmphex (harness_mmio_read (d->h, d->isr, 1) & 2, ==, 2);
  g_assert_cmpuint (harness_get_n_msis (d->h), ==, 0);
}

static void
test_config (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;

  for (guint i = 0; i < 12; i++)
    f->toy->config[i] = 0x10 + i;
  g_assert_cmphex (virtio_driver_read_config (d, 0, 8), ==, 0x1716151413121110);
  g_assert_cmphex (virtio_driver_read_config (d, 3, 2), ==, 0x1413);
  g_assert_cmphex (virtio_driver_read_config (d, 8, 4), ==, 0x1b1a1918);
  g_assert_cmphex (virtio_driver_read_config (d, 9, 4), ==, 0);
  g_assert_cmphex (virtio_driver_read_config (d, 12, 1), ==, 0);
  harness_mmio_write (d->h, d->config + 2, 4, 0xaabbccdd);
  g_assert_cmphex (virtio_driver_read_config (d, 2, 4), ==, 0xaabbccdd);
  harness_mmio_write (d->h, d->config + 11, 2, 0xffff);
  g_assert_cmphex (f->toy->config[11], ==, 0x1b);
}

static void
test_window (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;
  guint w = d->window;

  pci_bus_config_write (d->bus, 0, DEVFN, w + 4, 1, 4);
  pci_bus_config_write (d->bus, 0, DEVFN, w + 8, 4, 0x12);
  pci_bus_config_write (d->bus, 0, DEVFN, w + 12, 4, 2);
  g_assert_cmphex (cfg (f, w + 16, 4), ==, 3); /* num_queues */
  pci_bus_config_write (d->bus, 0, DEVFN, w + 8, 4, 0x16);
  pci_bus_config_write (d->bus, 0, DEVFN, w + 16, 4, 2);
  g_assert_cmphex (virtio_driver_read (d, 0x16, 2), ==, 2);
  /* Outside, odd sizes, another BAR: nothing happens. */
  static const guint32 bad[][3] = {
    { 4, 0x4000, 4 }, { 4, 0xffffffff, 4 }, { 4, 0x16, 3 }, { 4, 0x15, 2 }, { 1, 0x16, 2 },
  };
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      pci_bus_config_write (d->bus, 0, DEVFN, w + 4, 1, bad[i][0]);
      pci_bus_config_write (d->bus, 0, DEVFN, w + 8, 4, bad[i][1]);
      pci_bus_config_write (d->bus, 0, DEVFN, w + 12, 4, bad[i][2]);
      pci_bus_config_write (d->bus, 0, DEVFN, w + 16, 4, 1);
      g_assert_cmphex (virtio_driver_read (d, 0x16, 2), ==, 2);
    }
}

static void
test_broken (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;

  virtio_driver_start (d, ~G_GUINT64_CONSTANT (0), 3);
  harness_clear_msis (d->h);
  harness_ring_put_avail (&d->rings[2], 0x1234);
  harness_ring_publish (&d->rings[2]);
  virtio_driver_kick (d, 2);
  g_assert_cmphex (virtio_driver_get_status (d), ==, 0x4f);
  g_assert_cmpuint (harness_count_msi (d->h, VIRTIO_DRIVER_MSI_DATA), ==, 1);
  send_one (f, 0);
  virtio_driver_kick (d, 0);
  g_assert_cmpuint (harness_ring_get_n_used (&d->rings[0]), ==, 0);
  harness_check_save_load (d->h);
  g_assert_cmphex (virtio_driver_get_status (d), ==, 0x4f);
  virtio_driver_start (d, ~G_GUINT64_CONSTANT (0), 3);
  send_one (f, 0);
  virtio_driver_kick (d, 0);
  g_assert_cmpuint (harness_ring_get_n_used (&d->rings[0]), ==, 1);
}

static void
test_save_load (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;
  HarnessUsed used;
  g_autoptr (GBytes) state = NULL;

  harness_check_save_load (d->h);
  virtio_driver_start (d, ~G_GUINT64_CONSTANT (0), 2);
  for (guint i = 0; i < 5; i++)
    {
      send_one (f, 0);
      virtio_driver_kick (d, 0);
      g_assert_true (harness_ring_take_used (&d->rings[0], &used));
    }
  g_assert_cmpuint (f->toy->n_activated, ==, 1);
  harness_check_save_load (d->h);
  g_assert_cmpuint (f->toy->n_activated, ==, 2);
  g_assert_cmpuint (f->toy->n_deactivated, ==, 1);
  g_assert_cmphex (virtio_driver_get_status (d), ==, 0xf);
  send_one (f, 0);
  virtio_driver_kick (d, 0);
  g_assert_true (harness_ring_take_used (&d->rings[0], &used));
  g_assert_false (harness_ring_take_used (&d->rings[0], &used));
  state = harness_save (d->h);
  harness_storm_load (d->h, state, 1, 1500);
}

static void
test_pause (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;
  guint kicks;

  virtio_driver_start (d, ~G_GUINT64_CONSTANT (0), 1);
  vmm_machine_quiesce_devices (d->h->machine);
  kicks = f->toy->n_kicks[0];
  send_one (f, 0);
  virtio_driver_kick (d, 0);
  g_assert_cmpuint (f->toy->n_kicks[0], ==, kicks);
  vmm_machine_resume_devices (d->h->machine);
  harness_run (d->h);
  g_assert_cmpuint (harness_ring_get_n_used (&d->rings[0]), ==, 1);
  g_assert_cmpuint (f->toy->n_quiesced, ==, 1);
  g_assert_cmpuint (f->toy->n_resumed, ==, 1);
}

static void
test_no_ioeventfd (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;

  d->h->no_ioeventfd = d->h->no_irqfd = TRUE;
  virtio_driver_start (d, ~G_GUINT64_CONSTANT (0), 1);
  for (guint i = 0; i < 20; i++)
    {
      send_one (f, 0);
      virtio_driver_kick (d, 0);
    }
  g_assert_cmpuint (harness_ring_get_n_used (&d->rings[0]), ==, 20);
}

static void
test_storm (Fixture *f, gconstpointer data)
{
  virtio_driver_start (&f->d, ~G_GUINT64_CONSTANT (0), 3);
  virtio_driver_storm (&f->d, 7, 60000);
  virtio_driver_start (&f->d, ~G_GUINT64_CONSTANT (0), 3);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/virtio/pci/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("identity", test_identity);
  ADD ("reset-values", test_reset_values);
  ADD ("widths", test_widths);
  ADD ("negotiation", test_negotiation);
  ADD ("latched", test_latched);
  ADD ("bad-queue", test_bad_queue);
  ADD ("kick-and-interrupt", test_kick_and_interrupt);
  ADD ("intx", test_intx);
  ADD ("config", test_config);
  ADD ("window", test_window);
  ADD ("broken", test_broken);
  ADD ("save-load", test_save_load);
  ADD ("pause", test_pause);
  ADD ("no-ioeventfd", test_no_ioeventfd);
  ADD ("storm", test_storm);
  return g_test_run ();
}
