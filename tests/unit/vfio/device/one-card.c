/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "one-card.h"

static void
on_intx (gpointer opaque, guint slot, guint pin, gboolean level)
{
}

static guint
get_gsi (gpointer opaque, guint slot, guint pin)
{
  return 16 + pin;
}

static const PciBusOps bus_ops = { .set_intx = on_intx, .get_gsi = get_gsi };

static void
on_note (const char *text, gpointer user_data)
{
  g_ptr_array_add (((OneCard *)user_data)->notes, g_strdup (text));
}

void
one_card_init (OneCard *one, FakeFunction *card, guint64 ram)
{
  one->h = harness_new (ram);
  one->notes = g_ptr_array_new_with_free_func (g_free);
  one->events = (VfioPciEvents){ .note = on_note, .user_data = one };
  fake_kernel_init (&one->fake);
  one->card = card;
  fake_kernel_add (&one->fake, card);
  one->container = vfio_container_new (one->h->machine, &one->fake.kernel, VFIO_WAY_AUTO);
  one->root = pci_bus_new (one->h->machine, "root", &bus_ops, one);
}

VmmDevice *
one_card_make (OneCard *one, const char *id, const char *name, guint slot)
{
  VmmDevice *device = vmm_device_new (&vfio_pci_ops, id);
  g_autofree char *sysfs = g_strconcat ("/sys/bus/pci/devices/", name, NULL);

  g_assert_true (vmm_device_set_pointer (device, "bus", one->root, NULL));
  g_assert_true (vmm_device_set_uint (device, "devfn", PCI_MAKE_DEVFN (slot, 0), NULL));
  g_assert_true (vmm_device_set_pointer (device, "container", one->container, NULL));
  g_assert_true (vmm_device_set_string (device, "host", name, NULL));
  g_assert_true (vmm_device_set_string (device, "sysfs", sysfs, NULL));
  g_assert_true (vmm_device_set_pointer (device, "events", &one->events, NULL));
  return device;
}

void
one_card_unplug (VmmDevice *device)
{
  if (device == NULL)
    return;
  vmm_device_unrealize (device);
  vmm_device_free (device);
}

void
one_card_clear (OneCard *one)
{
  g_assert_cmpuint (one->h->n_slots, ==, 1);
  pci_bus_free (one->root);
  vfio_container_free (one->container);
  harness_free (one->h);
  fake_kernel_clear (&one->fake);
  g_ptr_array_unref (one->notes);
}
