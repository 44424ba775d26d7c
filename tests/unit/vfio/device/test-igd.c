/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Graphics of Intel's processors: what is known of them, and what a guest sees of one. */
#include "one-card.h"
#include "vfio/device/igd.h"

#include <linux/pci_regs.h>
#include <string.h>

#define RAM  (G_GUINT64_CONSTANT (4) << 20)
#define NAME "0000:00:02.0"
#define BAR0 G_GUINT64_CONSTANT (0xc1000000)
#define MIB  (G_GUINT64_CONSTANT (1) << 20)

static void
test_families (void)
{
  static const struct
  {
    guint16 device;
    guint generation; /* 0: none */
    gboolean own_window;
  } cases[] = {
    { 0x0102, 6, FALSE },  { 0x0126, 6, FALSE },  { 0x0152, 7, FALSE },  { 0x0166, 7, FALSE },
    { 0x0412, 7, FALSE },  { 0x0a16, 7, FALSE },  { 0x0a84, 9, FALSE },  { 0x1616, 8, FALSE },
    { 0x1912, 9, FALSE },  { 0x5912, 9, FALSE },  { 0x5a85, 9, FALSE },  { 0x5a52, 10, FALSE },
    { 0x3e98, 9, FALSE },  { 0x9bc5, 9, FALSE },  { 0x8a52, 11, FALSE }, { 0x4e61, 11, FALSE },
    { 0x4571, 11, FALSE }, { 0x9a49, 12, FALSE }, { 0x4c8a, 12, FALSE }, { 0x4680, 12, FALSE },
    { 0x46d1, 12, FALSE }, { 0xa780, 12, FALSE }, { 0x7d55, 12, TRUE },  { 0x64a0, 20, TRUE },
    { 0xb080, 30, TRUE },  { 0x0042, 0, FALSE },  { 0x0f31, 0, FALSE },  { 0x22b1, 0, FALSE },
    { 0x4905, 0, FALSE },  { 0x56a0, 0, FALSE },  { 0xe20b, 0, FALSE },  { 0xffff, 0, FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const VfioIgdFamily *family = vfio_igd_find (cases[i].device);

      g_test_message ("%04x", cases[i].device);
      g_assert_cmpuint (family != NULL ? family->generation : 0, ==, cases[i].generation);
      g_assert_cmpint (family != NULL && family->own_window, ==, cases[i].own_window);
    }
}

static void
test_stolen (void)
{
  const VfioIgdFamily *ivy = vfio_igd_find (0x0162), *broad = vfio_igd_find (0x1616);
  const VfioIgdFamily *alder = vfio_igd_find (0x4680), *meteor = vfio_igd_find (0x7d55);

  g_assert_cmpuint (vfio_igd_get_stolen_size (ivy, 0x0211), ==, 64 * MIB);
  g_assert_cmpuint (vfio_igd_get_stolen_size (ivy, 0x0280), ==, 512 * MIB);
  g_assert_cmpuint (vfio_igd_get_stolen_size (ivy, 0x0288), ==, 0);
  g_assert_cmphex (vfio_igd_without_stolen (ivy, 0x0213), ==, 0x0203);
  g_assert_cmpuint (vfio_igd_get_stolen_size (broad, 0x02c1), ==, 64 * MIB);
  g_assert_cmpuint (vfio_igd_get_stolen_size (broad, 0xf0c1), ==, 0);
  g_assert_cmpuint (vfio_igd_get_stolen_size (alder, 0x00c1), ==, 0);
  g_assert_cmpuint (vfio_igd_get_stolen_size (alder, 0x02c1), ==, 64 * MIB);
  g_assert_cmpuint (vfio_igd_get_stolen_size (alder, 0xf0c1), ==, 4 * MIB);
  g_assert_cmpuint (vfio_igd_get_stolen_size (alder, 0xfec1), ==, 60 * MIB);
  g_assert_cmpuint (vfio_igd_get_stolen_size (alder, 0xefc1), ==, 239 * 32 * MIB);
  g_assert_cmphex (vfio_igd_without_stolen (alder, 0xfec1), ==, 0x00c1);
  g_assert_cmpuint (vfio_igd_get_stolen_size (meteor, 0x02c1), ==, 0);
  g_assert_cmphex (vfio_igd_without_stolen (meteor, 0x02c1), ==, 0x02c1);
}

/* ---- OpRegion ---- */

#define TABLE 0x1000u /* behind */
#define LONG  (VFIO_IGD_OPREGION_SIZE + TABLE)

static guint8 *
make_opregion (guint version, guint64 rvda, guint32 rvds)
{
  guint8 *bytes = g_malloc0 (LONG);

  memcpy (bytes, "IntelGraphicsMem", 16);
  bytes[0x10] = 8;
  bytes[0x16] = (guint8)version;
  bytes[0x17] = (guint8)(version >> 8);
  for (guint i = 0; i < 8; i++)
    bytes[0x3ba + i] = (guint8)(rvda >> (i * 8));
  for (guint i = 0; i < 4; i++)
    bytes[0x3c2 + i] = (guint8)(rvds >> (i * 8));
  memcpy (bytes + VFIO_IGD_OPREGION_SIZE, "$VBT", 4);
  return bytes;
}

static void
test_opregion (void)
{
  static const struct
  {
    guint version;
    guint64 rvda;
    guint32 rvds;
    gboolean kept;
  } cases[] = {
    { 0x0201, 0x2000, TABLE, TRUE },
    { 0x0300, 0x2000, 8, TRUE },
    { 0x0201, 0x2000, TABLE + 1, FALSE }, /* ends behind */
    { 0x0201, 0x2fff, 4, FALSE },
    { 0x0201, 0x1000, 0x1000, FALSE },     /* in the OpRegion itself */
    { 0x0201, 0x6e5d4018, 0x2000, FALSE }, /* far away */
    { 0x0201, G_MAXUINT64 - 3, 16, FALSE },
    { 0x0200, 0x2000, TABLE, FALSE }, /* an address of the host */
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree guint8 *bytes = make_opregion (cases[i].version, cases[i].rvda, cases[i].rvds);
      gboolean has_vbt;
      guint8 nothing[12] = { 0 };

      g_test_message ("case %u", i);
      g_assert_null (vfio_igd_check_opregion (bytes, LONG, &has_vbt));
      g_assert_cmpint (has_vbt, ==, cases[i].kept);
      g_assert_cmpint (memcmp (bytes + 0x3ba, nothing, sizeof nothing) != 0, ==, cases[i].kept);
    }
}

static void
assert_wrong (guint8 *bytes, gsize size, const char *expected)
{
  gboolean has_vbt;
  g_autofree char *wrong = vfio_igd_check_opregion (bytes, size, &has_vbt);

  g_assert_nonnull (wrong);
  g_assert_nonnull (strstr (wrong, expected));
  g_assert_false (has_vbt);
}

static void
test_opregion_garbage (void)
{
  g_autofree guint8 *bytes = make_opregion (0x0100, 0x1234, 0x5678);
  gboolean has_vbt;

  assert_wrong (NULL, 0, "0 bytes long");
  assert_wrong (bytes, VFIO_IGD_OPREGION_SIZE - 1, "8191 bytes long");
  assert_wrong (bytes, VFIO_IGD_OPREGION_MAX + 1, "bytes long");
  /* Before version 2 these bytes mean nothing, and stay; without a table there is none. */
  g_assert_null (vfio_igd_check_opregion (bytes, LONG, &has_vbt));
  g_assert_false (has_vbt);
  g_assert_cmphex (bytes[0x3ba], ==, 0x34);
  memcpy (bytes + 0x400, "$VBT", 4);
  g_assert_null (vfio_igd_check_opregion (bytes, LONG, &has_vbt));
  g_assert_true (has_vbt);
  bytes[0x10] = 7;
  assert_wrong (bytes, LONG, "says to be 7168");
  memset (bytes + 0x10, 0xff, 4);
  assert_wrong (bytes, LONG, "12288 are there");
  bytes[3] = 'E';
  assert_wrong (bytes, LONG, "does not begin");
}

/* ---- the function ---- */

static void
set_up (OneCard *f, gconstpointer data)
{
  one_card_init (f, fake_igd_new (NAME, 3), RAM);
}

static void
tear_down (OneCard *f, gconstpointer data)
{
  one_card_unplug (vmm_machine_find_device (f->h->machine, "igd"));
  one_card_clear (f);
}

static VmmDevice *
make (OneCard *f, VfioPciIgd igd, guint slot)
{
  VmmDevice *device = one_card_make (f, "igd", NAME, slot);

  g_assert_true (vmm_device_set_uint (device, "igd", igd, NULL));
  return device;
}

static VmmDevice *
plug (OneCard *f, VfioPciIgd igd)
{
  VmmDevice *device = harness_realize (f->h, make (f, igd, 2));

  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
  return device;
}

static guint32
cfg (OneCard *f, guint offset, guint size)
{
  return pci_bus_config_read (f->root, 0, PCI_MAKE_DEVFN (2, 0), offset, size);
}

static void
cfg_write (OneCard *f, guint offset, guint size, guint32 value)
{
  pci_bus_config_write (f->root, 0, PCI_MAKE_DEVFN (2, 0), offset, size, value);
}

static void
decode (OneCard *f)
{
  cfg_write (f, PCI_BASE_ADDRESS_0, 4, (guint32)BAR0);
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
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

static void
test_on (OneCard *f, gconstpointer data)
{
  VmmDevice *device = plug (f, VFIO_PCI_IGD_ON);
  const VfioPciGraphics *graphics = vfio_pci_get_graphics (device);

  g_assert_cmpuint (f->notes->len, ==, 0);
  g_assert_cmphex (device->ops->flags & VMM_DEVICE_UNSAVABLE, !=, 0);
  g_assert_nonnull (graphics);
  g_assert_cmpmem (g_bytes_get_data (graphics->opregion, NULL),
                   g_bytes_get_size (graphics->opregion), f->card->extras[0].data, 0x2000);
  g_assert_cmpuint (graphics->stolen_size, ==, 0);
  g_assert_false (graphics->host_bridge.known || graphics->lpc_bridge.known);

  /* Nothing of the host's. */
  g_assert_cmphex (cfg (f, 0xfc, 4), ==, 0);
  g_assert_cmphex (cfg (f, 0x50, 4), ==, 0x000000c1);
  g_assert_cmphex (cfg (f, 0xc0, 4) | cfg (f, 0xc4, 4), ==, 0);
  f->card->n_writes = 0;
  cfg_write (f, 0x50, 4, G_MAXUINT32);
  cfg_write (f, 0xc0, 4, G_MAXUINT32);
  cfg_write (f, 0xc4, 4, G_MAXUINT32);
  g_assert_cmphex (cfg (f, 0x50, 4), ==, 0x000000c1);
  g_assert_cmphex (cfg (f, 0xc0, 4) | cfg (f, 0xc4, 4), ==, 0);

  /* The place of the OpRegion: firmware's word comes first, and a reset forgets it. */
  vfio_pci_set_opregion_address (device, G_GUINT64_CONSTANT (0x100000000));
  g_assert_cmphex (cfg (f, 0xfc, 4), ==, 0);
  vfio_pci_set_opregion_address (device, 0x7ff20000);
  g_assert_cmphex (cfg (f, 0xfc, 4), ==, 0x7ff20000);
  vfio_pci_set_opregion_address (device, 0x7ff30000);
  g_assert_cmphex (cfg (f, 0xfc, 4), ==, 0x7ff20000);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  g_assert_cmphex (cfg (f, 0xfc, 4), ==, 0);
  f->card->n_writes = 0;
  cfg_write (f, 0xfc, 4, 0x12345000);
  vfio_pci_set_opregion_address (device, 0x7ff20000);
  g_assert_cmphex (cfg (f, 0xfc, 4), ==, 0x12345000);
  g_assert_cmpuint (f->card->n_writes, ==, 0);
  g_assert_cmphex (f->card->config[0xfc], ==, 0x18);
}

/* The registers once more in BAR 0. What lies beside them is the device's. */
static void
test_mirrors (OneCard *f, gconstpointer data)
{
  plug (f, VFIO_PCI_IGD_ON);
  decode (f);
  fake_function_poke (f->card, 0, 0x108040, 0x000002c1);
  fake_function_poke (f->card, 0, 0x108044, 0x11223344);
  fake_function_poke (f->card, 0, 0x10803c, 0x55667788);
  fake_function_poke (f->card, 0, 0x1080c0, 0x7b800000);
  fake_function_poke (f->card, 0, 0x1080c8, 0x99aabbcc);
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x108040, 4), ==, 0xc1);
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x108041, 1), ==, 0);
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x108044, 4), ==, 0x11223344);
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x108040, 8), ==,
                   G_GUINT64_CONSTANT (0x11223344000000c1));
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x10803c, 8), ==,
                   G_GUINT64_CONSTANT (0x000000c155667788));
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x1080c0, 8), ==, 0);
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x1080c4, 8), ==,
                   G_GUINT64_CONSTANT (0x99aabbcc00000000));
  f->card->n_writes = 0;
  harness_mmio_write (f->h, BAR0 + 0x108040, 4, G_MAXUINT32);
  harness_mmio_write (f->h, BAR0 + 0x1080c0, 8, G_MAXUINT64);
  harness_mmio_write (f->h, BAR0 + 0x108040, 8, G_MAXUINT64);
  g_assert_cmpuint (f->card->n_writes, ==, 0);
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x108040, 4), ==, 0xc1);
  harness_mmio_write (f->h, BAR0 + 0x1080c8, 4, 7);
  g_assert_cmphex (fake_function_peek (f->card, 0, 0x1080c8), ==, 7);
  /* One page costs exits, no other. */
  g_assert_true (is_direct (f, BAR0 + 0x107fff));
  g_assert_false (is_direct (f, BAR0 + 0x108000));
  g_assert_false (is_direct (f, BAR0 + 0x108fff));
  g_assert_true (is_direct (f, BAR0 + 0x109000));
}

/* As before there was anything of this. */
static void
test_off (OneCard *f, gconstpointer data)
{
  VmmDevice *device = plug (f, VFIO_PCI_IGD_OFF);

  g_assert_null (vfio_pci_get_graphics (device));
  g_assert_cmpuint (f->notes->len, ==, 0);
  g_assert_cmphex (cfg (f, 0xfc, 4), ==, 0x6e5d4018);
  g_assert_cmphex (cfg (f, 0x50, 4), ==, 0x000002c1);
  g_assert_cmphex (cfg (f, 0xc0, 4), ==, 0x7b800000);
  vfio_pci_set_opregion_address (device, 0x7ff20000);
  g_assert_cmphex (cfg (f, 0xfc, 4), ==, 0x6e5d4018);
  decode (f);
  g_assert_true (is_direct (f, BAR0 + 0x108000));
}

static void
test_legacy (OneCard *f, gconstpointer data)
{
  VmmDevice *device;
  const VfioPciGraphics *graphics;
  g_autoptr (GError) error = NULL;

  device = make (f, VFIO_PCI_IGD_LEGACY, 3);
  g_assert_false (vmm_device_realize (device, f->h->machine, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "address=00:02.0"));
  vmm_device_free (device);

  device = plug (f, VFIO_PCI_IGD_LEGACY);
  graphics = vfio_pci_get_graphics (device);
  g_assert_cmpuint (graphics->stolen_size, ==, 64 * MIB);
  g_assert_true (graphics->host_bridge.known && graphics->lpc_bridge.known);
  g_assert_cmphex (graphics->host_bridge.device, ==, 0x4610);
  g_assert_cmphex (graphics->lpc_bridge.device, ==, 0x7a84);
  g_assert_cmphex (graphics->lpc_bridge.revision, ==, 5);
  g_assert_cmphex (graphics->lpc_bridge.subsystem_vendor, ==, 0x1462);
  g_assert_cmphex (graphics->lpc_bridge.subsystem, ==, 0x7d99);
  g_assert_cmphex (cfg (f, 0x50, 4), ==, 0x000002c1);
  g_assert_cmphex (cfg (f, 0xc0, 4), ==, 0);
  cfg_write (f, 0xc0, 4, 0x74000001);
  g_assert_cmphex (cfg (f, 0xc0, 4), ==, 0x74000001);
  decode (f);
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x1080c0, 8), ==, 0x74000001);
  g_assert_cmphex (f->card->config[0xc3], ==, 0x7b);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  g_assert_cmphex (cfg (f, 0xc0, 4), ==, 0);
}

/* Older ones have the narrow register; too much set aside is none. */
static void
test_generations (OneCard *f, gconstpointer data)
{
  VmmDevice *device;

  fake_function_set (f->card, PCI_DEVICE_ID, 2, 0x1912);
  fake_function_set (f->card, 0x5c, 4, 0x7b800001);
  device = plug (f, VFIO_PCI_IGD_LEGACY);
  g_assert_cmphex (cfg (f, 0x5c, 4), ==, 0);
  g_assert_cmphex (cfg (f, 0xc0, 4), ==, 0x7b800000); /* not that register here */
  cfg_write (f, 0x5c, 4, 0x70000000);
  decode (f);
  fake_function_poke (f->card, 0, 0x1080c4, 0x12345678);
  g_assert_cmphex (harness_mmio_read (f->h, BAR0 + 0x1080c0, 8), ==,
                   G_GUINT64_CONSTANT (0x1234567870000000));
  one_card_unplug (device);

  fake_function_set (f->card, 0x50, 4, 0x000020c1); /* 1 GiB */
  device = plug (f, VFIO_PCI_IGD_LEGACY);
  g_assert_cmpuint (vfio_pci_get_graphics (device)->stolen_size, ==, 0);
  g_assert_cmphex (cfg (f, 0x50, 4), ==, 0x000000c1);
  g_assert_cmpuint (f->notes->len, ==, 1);
  g_assert_nonnull (strstr (f->notes->pdata[0], "1024 MiB"));
  one_card_unplug (device);

  /* A virtual function has no such registers, a newer generation reaches it by itself. */
  g_ptr_array_set_size (f->notes, 0);
  fake_function_set (f->card, 0x50, 4, 0);
  device = plug (f, VFIO_PCI_IGD_ON);
  g_assert_cmphex (cfg (f, 0x5c, 4), ==, 0x7b800001);
  decode (f);
  g_assert_true (is_direct (f, BAR0 + 0x108000));
  one_card_unplug (device);
  fake_function_set (f->card, 0x50, 4, 0x000002c1);
  fake_function_set (f->card, PCI_DEVICE_ID, 2, 0x7d55);
  device = plug (f, VFIO_PCI_IGD_ON);
  g_assert_cmphex (cfg (f, 0x50, 4), ==, 0x000002c1);
  g_assert_nonnull (vfio_pci_get_graphics (device)->opregion);
  g_assert_cmpuint (f->notes->len, ==, 0);
  one_card_unplug (device);

  /* Not known, but it has an OpRegion. */
  fake_function_set (f->card, PCI_DEVICE_ID, 2, 0xd999);
  device = plug (f, VFIO_PCI_IGD_ON);
  g_assert_nonnull (vfio_pci_get_graphics (device)->opregion);
  g_assert_cmphex (cfg (f, 0x50, 4), ==, 0x000002c1);
  g_assert_cmphex (cfg (f, 0xfc, 4), ==, 0);
  g_assert_nonnull (strstr (f->notes->pdata[0], "does not know its generation"));
}

/* No card of anybody is taken for one. */
static void
test_others (OneCard *f, gconstpointer data)
{
  VmmDevice *device;
  g_autoptr (GError) error = NULL;

  fake_function_set (f->card, PCI_CLASS_REVISION, 4, 0x02000001);
  device = plug (f, VFIO_PCI_IGD_ON);
  g_assert_null (vfio_pci_get_graphics (device));
  g_assert_cmphex (cfg (f, 0xfc, 4), ==, 0x6e5d4018);
  one_card_unplug (device);
  device = make (f, VFIO_PCI_IGD_LEGACY, 2);
  g_assert_false (vmm_device_realize (device, f->h->machine, &error));
  g_assert_nonnull (strstr (error->message, "remove igd=legacy"));
  vmm_device_free (device);

  fake_function_set (f->card, PCI_CLASS_REVISION, 4, 0x03000001);
  fake_function_set (f->card, PCI_VENDOR_ID, 2, 0x10de);
  device = plug (f, VFIO_PCI_IGD_ON);
  g_assert_null (vfio_pci_get_graphics (device));
  g_assert_cmphex (cfg (f, 0xfc, 4), ==, 0x6e5d4018);
  one_card_unplug (device);

  /* A card of Intel's, whose kernel shows no OpRegion. */
  fake_function_set (f->card, PCI_VENDOR_ID, 4, 0x56a08086);
  f->card->extras[0].type = 0;
  device = plug (f, VFIO_PCI_IGD_ON);
  g_assert_null (vfio_pci_get_graphics (device));
  g_assert_cmphex (cfg (f, 0x50, 4), ==, 0x000002c1);
  g_assert_cmpuint (f->notes->len, ==, 0);
}

/* Whatever the kernel says of its regions, the function works, and people hear why it has none. */
static void
test_hostile_regions (OneCard *f, gconstpointer data)
{
  static const guint64 sizes[] = {
    0, 1, 0x1fff, 0x102001, G_GUINT64_CONSTANT (1) << 45, G_MAXUINT64
  };
  FakeExtra *opregion = &f->card->extras[0];

  for (guint i = 0; i < G_N_ELEMENTS (sizes) + 3; i++)
    {
      VmmDevice *device;

      opregion->size = i < G_N_ELEMENTS (sizes) ? sizes[i] : 0x2000;
      opregion->unreadable = i == G_N_ELEMENTS (sizes);
      opregion->data[0] = i == G_N_ELEMENTS (sizes) + 1 ? 'X' : 'I';
      opregion->data[0x400] = i == G_N_ELEMENTS (sizes) + 2 ? 0 : '$';
      f->card->extras[1].size = i % 2 == 0 ? 256 : 32;
      f->card->extras[2].unreadable = i % 3 == 0;
      g_ptr_array_set_size (f->notes, 0);
      device = plug (f, VFIO_PCI_IGD_LEGACY);
      g_test_message ("case %u: %s", i, f->notes->len > 0 ? (char *)f->notes->pdata[0] : "");
      g_assert_cmpuint (f->notes->len, ==, 1);
      g_assert_nonnull (strstr (f->notes->pdata[0], "OpRegion"));
      g_assert_cmpint (vfio_pci_get_graphics (device)->opregion != NULL, ==,
                       i == G_N_ELEMENTS (sizes) + 2);
      g_assert_cmpint (vfio_pci_get_graphics (device)->host_bridge.known, ==, i % 2 == 0);
      g_assert_cmpint (vfio_pci_get_graphics (device)->lpc_bridge.known, ==, i % 3 != 0);
      g_assert_cmphex (cfg (f, 0xfc, 4), ==, 0);
      vfio_pci_set_opregion_address (device, 0x7ff20000);
      one_card_unplug (device);
    }
}

/* A capability where the registers should be: it is something else. */
static void
test_other_layout (OneCard *f, gconstpointer data)
{
  static const guint8 places[] = { 0x50, 0xc0, 0xc4, 0xfc };

  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      VmmDevice *device;

      fake_function_set (f->card, 0xd0, 2, (guint32)places[i] << 8 | 1);
      fake_function_set (f->card, places[i], 4, 0x00060009);
      device = plug (f, VFIO_PCI_IGD_ON);
      g_assert_null (vfio_pci_get_graphics (device));
      g_assert_cmpuint (f->notes->len, ==, 1);
      g_assert_nonnull (strstr (f->notes->pdata[0], "not that of graphics"));
      g_assert_cmphex (cfg (f, places[i], 2), ==, 9);
      g_ptr_array_set_size (f->notes, 0);
      one_card_unplug (device);
    }
}

static void
test_every_call (OneCard *f, gconstpointer data)
{
  for (guint n = 1;; n++)
    {
      VmmDevice *device = make (f, VFIO_PCI_IGD_LEGACY, 2);
      g_autoptr (GError) error = NULL;

      f->fake.n_calls = 0;
      f->fake.fail_at = n;
      if (vmm_device_realize (device, f->h->machine, &error))
        vmm_device_unrealize (device);
      else
        g_assert_nonnull (error);
      vmm_device_free (device);
      g_assert_cmpuint (f->fake.n_open, ==, 0);
      if (f->fake.n_calls < n)
        break;
    }
  f->fake.fail_at = 0;
}

#define ADD(path, func) g_test_add ("/vfio/igd/" path, OneCard, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vfio/igd/families", test_families);
  g_test_add_func ("/vfio/igd/stolen", test_stolen);
  g_test_add_func ("/vfio/igd/opregion", test_opregion);
  g_test_add_func ("/vfio/igd/opregion-garbage", test_opregion_garbage);
  ADD ("on", test_on);
  ADD ("mirrors", test_mirrors);
  ADD ("off", test_off);
  ADD ("legacy", test_legacy);
  ADD ("generations", test_generations);
  ADD ("others", test_others);
  ADD ("hostile-regions", test_hostile_regions);
  ADD ("other-layout", test_other_layout);
  ADD ("every-call", test_every_call);
  return g_test_run ();
}
