/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is done for single kinds of card, over the model of the kernel. */
#include "one-card.h"

#include <linux/pci_regs.h>
#include <string.h>

#define RAM  (G_GUINT64_CONSTANT (4) << 20)
#define NAME "0000:03:00.0"
#define BAR0 G_GUINT64_CONSTANT (0xc1000000)
#define BAR2 G_GUINT64_CONSTANT (0xd0000000)
#define BAR4 G_GUINT64_CONSTANT (0xe0000000)

static void
set_up (OneCard *f, gconstpointer data)
{
  one_card_init (f, fake_function_new (NAME, 3, 0x10ec, 0x8168), RAM);
}

static void
unplug (OneCard *f)
{
  one_card_unplug (vmm_machine_find_device (f->h->machine, "card"));
}

static void
tear_down (OneCard *f, gconstpointer data)
{
  unplug (f);
  one_card_clear (f);
}

static VmmDevice *
plug (OneCard *f)
{
  VmmDevice *device = one_card_make (f, "card", NAME, 3);

  g_assert_true (vmm_device_set_bool (device, "vga", f->card->has_vga, NULL));
  harness_realize (f->h, device);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
  return device;
}

static guint32
cfg (OneCard *f, guint offset, guint size)
{
  return pci_bus_config_read (f->root, 0, PCI_MAKE_DEVFN (3, 0), offset, size);
}

static void
cfg_write (OneCard *f, guint offset, guint size, guint32 value)
{
  pci_bus_config_write (f->root, 0, PCI_MAKE_DEVFN (3, 0), offset, size, value);
}

typedef struct
{
  guint64 gpa;
  gboolean found;
} Look;

static void
look (VmmMapping *mapping, gpointer user_data)
{
  Look *l = user_data;
  guint64 base = vmm_mapping_get_gpa (mapping).value;

  l->found |= l->gpa >= base && l->gpa - base < vmm_mapping_get_length (mapping);
}

static gboolean
is_direct (OneCard *f, guint64 gpa)
{
  Look l = { .gpa = gpa };

  vmm_guest_memory_foreach (vmm_machine_get_memory (f->h->machine), look, &l);
  return l.found;
}

/* ---- RTL8168 ---- */

static void
make_rtl8168 (OneCard *f, gboolean msix)
{
  fake_function_add_bar (f->card, 2, 4096, PCI_BASE_ADDRESS_MEM_TYPE_64);
  fake_function_add_bar (f->card, 4, 16384, PCI_BASE_ADDRESS_MEM_TYPE_64);
  fake_function_set (f->card, PCI_CLASS_REVISION, 4, 0x02000015);
  if (!msix)
    return;
  f->card->n_irqs[VFIO_PCI_MSIX_IRQ_INDEX] = 4;
  fake_function_set (f->card, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
  fake_function_set (f->card, PCI_CAPABILITY_LIST, 1, 0xb0);
  fake_function_set (f->card, 0xb0, 4, 0x00030011);
  fake_function_set (f->card, 0xb4, 4, 0x00000004); /* table: BAR 4 */
  fake_function_set (f->card, 0xb8, 4, 0x00000804);
}

static void
decode_rtl8168 (OneCard *f)
{
  cfg_write (f, PCI_BASE_ADDRESS_2, 4, (guint32)BAR2);
  cfg_write (f, PCI_BASE_ADDRESS_4, 4, (guint32)BAR4);
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void
test_rtl8168 (OneCard *f, gconstpointer data)
{
  make_rtl8168 (f, TRUE);
  plug (f);
  decode_rtl8168 (f);
  g_assert_false (is_direct (f, BAR2));

  /* What else is addressed is the card's. */
  fake_function_poke (f->card, 2, 0x70, 0xaaaa5555);
  fake_function_poke (f->card, 2, 0x74, 0x12345678);
  harness_mmio_write (f->h, BAR2 + 0x74, 4, 0x0002f010);
  g_assert_cmphex (fake_function_peek (f->card, 2, 0x74), ==, 0x0002f010);
  g_assert_cmphex (harness_mmio_read (f->h, BAR2 + 0x74, 4), ==, 0x0002f010);
  g_assert_cmphex (harness_mmio_read (f->h, BAR2 + 0x70, 4), ==, 0xaaaa5555);

  /* The guest's table, written and read. The card hears of no write to its own. */
  fake_function_poke (f->card, 4, 0, 0xfee00398); /* the host's address */
  harness_mmio_write (f->h, BAR2 + 0x70, 4, 0xfee01000);
  f->card->n_writes = 0;
  harness_mmio_write (f->h, BAR2 + 0x74, 4, 0x8001f000);
  g_assert_cmpuint (f->card->n_writes, ==, 0);
  g_assert_cmphex (harness_mmio_read (f->h, BAR2 + 0x74, 4), ==, 0x0001f000); /* done */
  g_assert_cmphex (harness_mmio_read (f->h, BAR4, 4), ==, 0xfee01000);
  harness_mmio_write (f->h, BAR2 + 0x74, 4, 0x0001f000);
  g_assert_cmphex (harness_mmio_read (f->h, BAR2 + 0x74, 4), ==, 0x8001f000); /* latched */
  g_assert_cmphex (harness_mmio_read (f->h, BAR2 + 0x70, 4), ==, 0xfee01000);
  g_assert_cmphex (fake_function_peek (f->card, 4, 0), ==, 0xfee00398);

  /* An entry behind the table, an odd one, other sizes. */
  harness_mmio_write (f->h, BAR2 + 0x74, 4, 0x0001fffc);
  g_assert_cmphex (harness_mmio_read (f->h, BAR2 + 0x70, 4), ==, 0);
  harness_mmio_write (f->h, BAR2 + 0x74, 4, 0x8001ffff);
  harness_mmio_write (f->h, BAR2 + 0x74, 4, 0x0001f002);
  g_assert_cmphex (harness_mmio_read (f->h, BAR2 + 0x70, 4), ==, 0);
  harness_mmio_write (f->h, BAR2 + 0x74, 2, 0x1111);
  (void)harness_mmio_read (f->h, BAR2 + 0x72, 4);

  /* A vector opened through it signals. */
  cfg_write (f, 0xb2, 2, PCI_MSIX_FLAGS_ENABLE);
  for (guint i = 0; i < 4; i++)
    {
      static const guint32 entry[] = { 0xfee01000, 0, 0x4041, 0 };

      harness_mmio_write (f->h, BAR2 + 0x70, 4, entry[i]);
      harness_mmio_write (f->h, BAR2 + 0x74, 4, 0x8001f010 + i * 4);
    }
  g_assert_true (fake_function_interrupt (f->card, VFIO_PCI_MSIX_IRQ_INDEX, 1));

  /* A reset closes the window. */
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  decode_rtl8168 (f);
  fake_function_poke (f->card, 2, 0x74, 0x77);
  g_assert_cmphex (harness_mmio_read (f->h, BAR2 + 0x74, 4), ==, 0x77);
}

/* Nothing to watch without MSI-X, nor on another card. */
static void
test_rtl8168_not (OneCard *f, gconstpointer data)
{
  make_rtl8168 (f, FALSE);
  plug (f);
  decode_rtl8168 (f);
  g_assert_true (is_direct (f, BAR2));
  unplug (f);
  make_rtl8168 (f, TRUE);
  fake_function_set (f->card, PCI_DEVICE_ID, 2, 0x8125);
  plug (f);
  decode_rtl8168 (f);
  g_assert_true (is_direct (f, BAR2));
}

/* ---- Bonaire and Hawaii ---- */

/* Registers behind an index, and what the word that resets does. */
typedef struct
{
  guint32 index, clock, counter, fuses, misc, smc;
  gboolean whole; /* what the last reset hit */
  gboolean stuck; /* it never comes back */
  guint n_resets, n_polls;
  guint command;
} Radeon;

static guint32 *
find_register (Radeon *radeon)
{
  switch (radeon->index)
    {
    case 0x80000000:
      return &radeon->smc;
    case 0x80000004:
      return &radeon->clock;
    case 0x80000370:
      return &radeon->counter;
    case 0xc00c0000:
      return &radeon->fuses;
    case 0xc0000010:
      return &radeon->misc;
    default:
      g_assert_not_reached ();
    }
}

static gboolean
access_radeon (
    FakeFunction *function, guint bar, guint64 offset, guint size, gboolean write, guint64 *value)
{
  Radeon *radeon = function->registers;

  if (bar != 5 || size != 4)
    return FALSE;
  if (function->config[0x7c] == 0x6b)
    {
      g_assert_cmphex (function->config[0x7f], ==, 0x39);
      function->config[0x7c] = 0;
      radeon->n_resets++;
      radeon->n_polls = 3;
      radeon->whole = ((radeon->misc & 2) != 0) == ((radeon->fuses & 64) != 0);
      radeon->command = function->config[PCI_COMMAND];
    }
  if (offset == 0x200 && write)
    radeon->index = (guint32)*value;
  else if (offset == 0x204 && write)
    *find_register (radeon) = (guint32)*value;
  else if (offset == 0x204)
    *value = *find_register (radeon);
  else if (offset == 0x5428)
    *value = radeon->stuck || radeon->n_polls-- > 0 ? G_MAXUINT32 : 4096;
  return TRUE;
}

static void
test_radeon (OneCard *f, gconstpointer data)
{
  Radeon radeon = { .counter = 0x20100 };

  fake_function_set (f->card, PCI_VENDOR_ID, 4, 0x67b01002);
  fake_function_set (f->card, PCI_CLASS_REVISION, 4, 0x03000000);
  fake_function_add_bar (f->card, 0, 256 << 20, PCI_BASE_ADDRESS_MEM_TYPE_64);
  fake_function_add_bar (f->card, 5, 256 << 10, 0);
  memset (f->card->wmask + 0x7c, 0xff, 4);
  f->card->access = access_radeon;
  f->card->registers = &radeon;
  f->card->has_hot_reset = TRUE;

  /* Its controller runs: by its registers, the drawing part, and the bus is left alone. */
  plug (f);
  g_assert_cmpuint (radeon.n_resets, ==, 1);
  g_assert_false (radeon.whole);
  g_assert_cmphex (radeon.command, ==, PCI_COMMAND_MEMORY);
  g_assert_cmphex (radeon.misc, ==, 2);
  g_assert_cmphex (radeon.smc & radeon.clock & 1, ==, 1);
  g_assert_cmpuint (f->card->n_hot_resets, ==, 0);
  g_assert_cmphex (f->card->config[PCI_COMMAND], ==, 0);

  /* It does not (no driver has been at work since): the bus. */
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  g_assert_cmpuint (radeon.n_resets, ==, 1);
  g_assert_cmpuint (f->card->n_hot_resets, ==, 1);
  radeon.clock = 0;
  radeon.counter = 0x200ff;
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  g_assert_cmpuint (f->card->n_hot_resets, ==, 2);

  /* It goes wrong, or the card is gone: the bus after all. */
  radeon.counter = 0x20100;
  radeon.fuses = 64;
  radeon.misc = 0;
  radeon.stuck = TRUE;
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  g_assert_cmpuint (radeon.n_resets, ==, 2);
  g_assert_false (radeon.whole);
  g_assert_cmpuint (f->card->n_hot_resets, ==, 3);
  f->card->gone = TRUE;
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  g_assert_cmpuint (radeon.n_resets, ==, 2);
  f->card->gone = FALSE;
  unplug (f);

  /* The kernel knows a way: that one. And no other card is touched. */
  radeon = (Radeon){ .counter = 0x20100 };
  f->card->has_reset = TRUE;
  plug (f);
  unplug (f);
  f->card->has_reset = FALSE;
  fake_function_set (f->card, PCI_DEVICE_ID, 2, 0x7310);
  plug (f);
  unplug (f);
  g_assert_cmpuint (radeon.n_resets, ==, 0);
}

/* BAR 5 is too small, or of ports: not that card. */
static void
test_radeon_hostile (OneCard *f, gconstpointer data)
{
  Radeon radeon = { .counter = 0x20100 };

  fake_function_set (f->card, PCI_VENDOR_ID, 4, 0x66581002);
  f->card->access = access_radeon;
  f->card->registers = &radeon;
  plug (f);
  unplug (f);
  fake_function_add_bar (f->card, 5, 4096, 0);
  plug (f);
  unplug (f);
  fake_function_add_bar (f->card, 5, 256, PCI_BASE_ADDRESS_SPACE_IO);
  plug (f);
  unplug (f);
  g_assert_cmpuint (radeon.n_resets, ==, 0);
}

/* ---- the legacy VGA places ---- */

static void
test_nvidia_vga (OneCard *f, gconstpointer data)
{
  fake_function_set (f->card, PCI_VENDOR_ID, 4, 0x01d110de);
  fake_function_set (f->card, PCI_CLASS_REVISION, 4, 0x03000000);
  fake_function_add_bar (f->card, 0, 16 << 20, 0);
  fake_function_add_bar (f->card, 1, 16 << 20, 0);
  f->card->has_vga = TRUE;
  plug (f);
  cfg_write (f, PCI_BASE_ADDRESS_0, 4, (guint32)BAR0);
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  f->card->vga[0x3d0] = 0x5a;

  /* Out of its order it is the card's. */
  harness_out (f->h, 0x3d4, 2, 0x538);
  g_assert_cmphex (harness_in (f->h, 0x3d0, 1), ==, 0x5a);
  g_assert_cmphex (f->card->vga[0x3d5], ==, 5);

  harness_out (f->h, 0x3d4, 2, 0x338);
  harness_out (f->h, 0x3d0, 4, 0x1800 + PCI_BASE_ADDRESS_0);
  harness_out (f->h, 0x3d4, 2, 0x538);
  g_assert_cmphex (harness_in (f->h, 0x3d0, 4), ==, BAR0);
  f->card->vga[0x3d0] = 0x5a;
  g_assert_cmphex (harness_in (f->h, 0x3d0, 1), ==, 0x5a); /* once */
  harness_out (f->h, 0x3d4, 2, 0x338);
  harness_out (f->h, 0x3d0, 4, 0x1800 + PCI_INTERRUPT_LINE);
  harness_out (f->h, 0x3d4, 2, 0x738);
  harness_out (f->h, 0x3d0, 1, 7);
  g_assert_cmphex (cfg (f, PCI_INTERRUPT_LINE, 1), ==, 7);
  /* Across the end, and elsewhere. */
  harness_out (f->h, 0x3d4, 2, 0x338);
  harness_out (f->h, 0x3d0, 4, 0x18ff);
  harness_out (f->h, 0x3d4, 2, 0x538);
  (void)harness_in (f->h, 0x3d0, 4);
  harness_out (f->h, 0x3d4, 2, 0x338);
  harness_out (f->h, 0x3d0, 4, 0x1900);
  harness_out (f->h, 0x3d4, 2, 0x738);
  harness_out (f->h, 0x3d0, 4, 0x11223344);
  g_assert_cmphex (f->card->vga[0x3d0], ==, 0x44);
  /* Looking at the index ends it. */
  harness_out (f->h, 0x3d4, 2, 0x338);
  (void)harness_in (f->h, 0x3d4, 1);
  harness_out (f->h, 0x3d0, 4, 0x1800);
  g_assert_cmphex (f->card->vga[0x3d1], ==, 0x18);

  /* The mirror for start-up programs in BAR 0; accesses of 8 bytes, and half in it. */
  fake_function_poke (f->card, 0, 0x17fc, 0x44444444);
  g_assert_false (is_direct (f, BAR0 + 0x1800));
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x1800, 4), ==, 0x01d110de);
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x17fc, 8), ==,
                   G_GUINT64_CONSTANT (0x01d110de44444444));
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x88008, 8) & 0xffffffff, ==, 0x03000000);
  harness_mmio_write (f->h, BAR0 + 0x88038, 8, G_GUINT64_CONSTANT (0x0000000900000000));
  g_assert_cmphex (cfg (f, PCI_INTERRUPT_LINE, 1), ==, 9);
  /* 256 bytes of configuration space are there, the mirror has 4096. */
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x880fc, 8) >> 32, ==, 0);
  (void)harness_mmio_read (f->h, BAR0 + 0x88ffc, 8);
  harness_mmio_write (f->h, BAR0 + 0x88ffc, 8, G_MAXUINT64);
}

static void
test_ati_vga (OneCard *f, gconstpointer data)
{
  fake_function_set (f->card, PCI_VENDOR_ID, 4, 0x68181002);
  fake_function_set (f->card, PCI_CLASS_REVISION, 4, 0x03000000);
  fake_function_add_bar (f->card, 4, 256, PCI_BASE_ADDRESS_SPACE_IO);
  f->card->has_vga = TRUE;
  f->card->vga[0x3c3] = 0x99; /* the host's */
  plug (f);
  cfg_write (f, PCI_BASE_ADDRESS_4, 4, 0xd000);
  g_assert_cmphex (harness_in (f->h, 0x3c3, 1), ==, 0xd0);
  unplug (f);
  /* NVIDIA's ports are nothing here, and 3c3 is not with a smaller BAR. */
  fake_function_add_bar (f->card, 4, 128, PCI_BASE_ADDRESS_SPACE_IO);
  plug (f);
  g_assert_cmphex (harness_in (f->h, 0x3c3, 1), ==, 0x99);
  harness_out (f->h, 0x3d4, 2, 0x338);
  harness_out (f->h, 0x3d0, 4, 0x1800);
  harness_out (f->h, 0x3d4, 2, 0x538);
  g_assert_cmphex (harness_in (f->h, 0x3d0, 4), ==, 0x1800);
}

/* ---- ROM ---- */

static void
test_no_rom (OneCard *f, gconstpointer data)
{
  static const guint8 rom[4096] = { 0x55, 0xaa };

  fake_function_set (f->card, PCI_VENDOR_ID, 4, 0x168e14e4);
  f->card->has_reset = TRUE;
  f->card->rom = rom;
  f->card->rom_size = sizeof rom;
  plug (f);
  g_assert_cmpuint (f->card->rom_read_after_resets, ==, 0);
  g_assert_cmpuint (f->notes->len, ==, 1);
  g_assert_nonnull (strstr (f->notes->pdata[0], "hang"));
}

#define ADD(path, func) g_test_add ("/vfio/quirks/" path, OneCard, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("rtl8168", test_rtl8168);
  ADD ("rtl8168-not", test_rtl8168_not);
  ADD ("radeon", test_radeon);
  ADD ("radeon-hostile", test_radeon_hostile);
  ADD ("nvidia-vga", test_nvidia_vga);
  ADD ("ati-vga", test_ati_vga);
  ADD ("no-rom", test_no_rom);
  return g_test_run ();
}
