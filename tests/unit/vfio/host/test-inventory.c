/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>
#include "tests/unit/vfio/host/fake-host.h"
#include "vfio/host/inventory-private.h"

static void
assert_card (FakeHost *host, const char *address, VfioCardKind kind, const char *members)
{
  VfioCard *card = fake_host_get (host, address)->card;
  g_autoptr (GString) text = g_string_new (NULL);

  g_assert_nonnull (card);
  for (guint i = 0; i < card->functions->len; i++)
    g_string_append_printf (text, "%s%s", i > 0 ? " " : "",
                            ((VfioFunction *)g_ptr_array_index (card->functions, i))->id + 5);
  g_assert_cmpstr (text->str, ==, members);
  g_assert_cmpint (card->kind, ==, kind);
}

static void
test_desktop (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("desktop", NULL);
  const VfioPlatform *platform = &host->inventory->platform;
  VfioFunction *f;
  const VfioConnector *connector;
  const VfioHolder *holder;

  g_assert_cmpint (platform->iommu, ==, HOST_IOMMU_ON);
  g_assert_true (platform->amd);
  g_assert_cmpint (platform->interrupt_remapping, ==, 1);
  g_assert_cmpuint (platform->kernel_version, ==, 6 << 16 | 8);
  g_assert_cmpuint (platform->memlock, ==, G_GUINT64_CONSTANT (68719476736));
  g_assert_cmpint (platform->initramfs, ==, HOST_INITRAMFS_TOOLS);
  g_assert_true (platform->vfio_loaded);
  g_assert_true (platform->vfio_node);
  g_assert_false (platform->iommufd_node);
  g_assert_true (platform->root_disk_known);
  g_assert_true (platform->processes_complete);
  g_assert_cmpuint (platform->dma_entry_limit, ==, 65535);
  g_assert_cmpuint (host->inventory->functions->len, ==, 23);

  f = fake_host_get (host, "0000:0d:00.0");
  g_assert_cmpstr (f->name, ==, "NVIDIA GeForce RTX 3070");
  g_assert_cmpstr (f->class_name, ==, "graphics card");
  g_assert_cmpstr (f->driver, ==, "nouveau");
  g_assert_null (f->driver_override);
  g_assert_cmpuint (f->group->id, ==, 15);
  g_assert_cmpuint (f->group->functions->len, ==, 2);
  g_assert_cmpuint (f->group->reserved->len, ==, 1);
  g_assert_cmphex (g_array_index (f->group->reserved, VfioReservedRegion, 0).end, ==, 0xfeefffff);
  g_assert_cmpuint (f->bars[1].size, ==, 256u << 20);
  g_assert_true (f->bars[1].is_64bit && f->bars[1].prefetchable && !f->bars[1].io);
  g_assert_cmphex (f->bars[1].resizable, ==, 0x3fc0); /* 64 MiB to 8 GiB */
  g_assert_true (f->bars[5].io);
  g_assert_cmpuint (f->bars[2].size, ==, 0);
  g_assert_cmpuint (f->bars[VFIO_HOST_ROM].size, ==, 512u << 10);
  g_assert_cmpint (f->boot_vga, ==, 0);
  g_assert_false (f->reset); /* not alone on its bus */
  g_assert_true (fake_host_get (host, "0000:01:00.0")->reset);
  g_assert_cmpstr (fake_host_get (host, "0000:01:00.0")->reset_methods[1], ==, "bus");
  g_assert_cmpuint (f->link_speed, ==, 25);
  g_assert_cmpuint (f->link_speed_max, ==, 160);
  g_assert_cmpuint (f->link_width_max, ==, 16);
  g_assert_true (f->has_parent);
  g_assert_cmpuint (f->parent.slot, ==, 3);
  g_assert_cmpint (f->numa_node, ==, -1);
  g_assert_cmphex (f->subsystem_vendor, ==, 0x1043);
  g_assert_cmpuint (f->connectors->len, ==, 2);
  g_assert_cmpuint (f->holders->len, ==, 0);
  g_assert_cmpuint (f->nodes->len, ==, 2);
  assert_card (host, "0000:0d:00.1", HOST_CARD_GRAPHICS, "0d:00.0 0d:00.1");

  f = fake_host_get (host, "0000:0c:00.0");
  g_assert_cmpint (f->boot_vga, ==, 1);
  connector = g_ptr_array_index (f->connectors, 0);
  g_assert_cmpstr (connector->name, ==, "DP-1");
  g_assert_true (connector->connected && connector->enabled);
  connector = g_ptr_array_index (f->connectors, 1);
  g_assert_false (connector->connected || connector->enabled);
  g_assert_cmpuint (f->holders->len, ==, 2);
  holder = g_ptr_array_index (f->holders, 0);
  g_assert_cmpstr (holder->name, ==, "gnome-shell");
  g_assert_cmpint (holder->pid, ==, 1893);
  g_assert_cmpstr (holder->node, ==, "dri/card0");
  /* AMD's cards have their parts in groups of their own, and are one card all the same. */
  assert_card (host, "0000:0c:00.0", HOST_CARD_GRAPHICS, "0c:00.0 0c:00.1");

  /* What the processor has built in is no card together. */
  assert_card (host, "0000:0f:00.1", HOST_CARD_CHIPSET, "0f:00.1");
  assert_card (host, "0000:0f:00.3", HOST_CARD_USB, "0f:00.3");
  assert_card (host, "0000:0f:00.4", HOST_CARD_AUDIO, "0f:00.4");
  assert_card (host, "0000:00:14.0", HOST_CARD_CHIPSET, "00:14.0");
  g_assert_true (fake_host_get (host, "0000:00:01.1")->bridge);
  g_assert_null (fake_host_get (host, "0000:00:01.1")->card);
  g_assert_null (fake_host_get (host, "0000:00:00.2")->group);

  f = fake_host_get (host, "0000:01:00.0");
  {
    const VfioDisk *disk = g_ptr_array_index (f->disks, 0);

    g_assert_cmpuint (f->disks->len, ==, 1);
    g_assert_cmpstr (disk->name, ==, "nvme0n1");
    g_assert_true (disk->root);
    g_assert_cmpuint (g_strv_length (disk->mounts), ==, 2);
    g_assert_cmpstr (disk->mounts[1], ==, "/boot/efi");
  }
  f = fake_host_get (host, "0000:04:00.0");
  {
    const VfioNet *net = g_ptr_array_index (f->nets, 0);

    g_assert_cmpstr (net->name, ==, "enp4s0");
    g_assert_true (net->up && net->default_route);
  }
}

static void
test_laptop (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("laptop", NULL);
  const VfioPlatform *platform = &host->inventory->platform;
  VfioFunction *f;
  const VfioDisk *disk;

  g_assert_cmpuint (platform->iommu_bits, ==, 39);
  g_assert_true (platform->intel && platform->selinux_enforcing);
  g_assert_cmpint (platform->initramfs, ==, HOST_INITRAMFS_DRACUT);
  g_assert_false (platform->vfio_loaded);
  g_assert_true (platform->vfio_available);
  g_assert_true (platform->root_disk_known);
  f = fake_host_get (host, "0000:01:00.0");
  g_assert_cmpstr (f->power_state, ==, "D3cold");
  g_assert_cmpstr (f->runtime_status, ==, "suspended");
  g_assert_cmpuint (f->nodes->len, ==, 3);
  g_assert_cmpstr (((VfioNode *)g_ptr_array_index (f->nodes, 2))->name, ==, "nvidia0");
  /* btrfs on LUKS on a partition. */
  disk = g_ptr_array_index (fake_host_get (host, "0000:02:00.0")->disks, 0);
  g_assert_true (disk->root && disk->swap);
  g_assert_cmpuint (g_strv_length (disk->mounts), ==, 3);
  g_assert_cmpuint (fake_host_get (host, "0000:00:02.0")->sriov_total, ==, 7);
  /* In one slot, but nothing that belongs together. */
  assert_card (host, "0000:00:1f.3", HOST_CARD_AUDIO, "00:1f.3");
  assert_card (host, "0000:00:1f.5", HOST_CARD_CHIPSET, "00:1f.5");
  assert_card (host, "0000:00:14.3", HOST_CARD_NETWORK, "00:14.3");
}

static void
test_others (void)
{
  {
    g_autoptr (FakeHost) host = fake_host_new ("apu", NULL);

    assert_card (host, "0000:0b:00.0", HOST_CARD_GRAPHICS, "0b:00.0 0b:00.1");
    assert_card (host, "0000:0b:00.3", HOST_CARD_USB, "0b:00.3");
    assert_card (host, "0000:03:00.0", HOST_CARD_GRAPHICS, "03:00.0 03:00.1");
    g_assert_cmpuint (host->inventory->platform.memlock, ==, G_MAXUINT64);
    g_assert_cmpint (host->inventory->platform.initramfs, ==, HOST_INITRAMFS_MKINITCPIO);
    g_assert_cmpuint (fake_host_get (host, "0000:0c:00.0")->disks->len, ==, 2);
    g_assert_false (fake_host_get (host, "0000:0b:00.1")->reset);
    g_assert_cmpuint (g_strv_length (fake_host_get (host, "0000:0b:00.1")->reset_methods), ==, 0);
  }
  {
    g_autoptr (FakeHost) host = fake_host_new ("acs-poor", NULL);

    g_assert_cmpint (host->inventory->platform.initramfs, ==, HOST_INITRAMFS_TOOLS);
    g_assert_cmpuint (fake_host_get (host, "0000:05:00.0")->group->functions->len, ==, 8);
    assert_card (host, "0000:05:00.0", HOST_CARD_GRAPHICS, "05:00.0 05:00.1");
  }
  {
    g_autoptr (FakeHost) host = fake_host_new ("sriov", NULL);
    VfioFunction *f = fake_host_get (host, "0000:03:02.1");

    g_assert_true (f->is_vf && f->driver_vfio);
    g_assert_cmpstr (f->driver_override, ==, "vfio-pci");
    g_assert_cmpuint (f->physfn.slot, ==, 0);
    assert_card (host, "0000:03:02.0", HOST_CARD_NETWORK, "03:02.0");
    assert_card (host, "0000:03:00.0", HOST_CARD_NETWORK, "03:00.0");
    g_assert_cmpuint (fake_host_get (host, "0000:03:00.0")->sriov_on, ==, 4);
    g_assert_true (((VfioNet *)g_ptr_array_index (fake_host_get (host, "0000:03:00.0")->nets, 0))
                       ->default_route);
    /* A mirrored pair: both halves, also the one with several ways to it. */
    g_assert_true (
        ((VfioDisk *)g_ptr_array_index (fake_host_get (host, "0000:05:00.0")->disks, 0))->root);
    g_assert_true (
        ((VfioDisk *)g_ptr_array_index (fake_host_get (host, "0000:06:00.0")->disks, 0))->root);
    g_assert_true (host->inventory->platform.iommufd_node);
    g_assert_true (fake_host_get (host, "0000:02:00.0")->bridge);
  }
  {
    g_autoptr (FakeHost) host = fake_host_new ("threadripper", NULL);

    assert_card (host, "0000:21:00.0", HOST_CARD_GRAPHICS, "21:00.0 21:00.1 21:00.2 21:00.3");
    assert_card (host, "0000:41:00.3", HOST_CARD_GRAPHICS, "41:00.0 41:00.1 41:00.2 41:00.3");
    g_assert_cmpstr (host->inventory->platform.acs_override, ==, "downstream,multifunction");
    g_assert_cmpint (host->inventory->platform.initramfs, ==, HOST_INITRAMFS_OSTREE);
    g_assert_cmpuint (host->inventory->groups->len, ==, 53);
  }
}

/* What "/" can lie on, and what is found of it. */
static void
test_root (void)
{
  static const struct
  {
    const char *changes;
    gboolean known, disk; /* is it known; is it the NVMe drive */
  } cases[] = {
    { "mount 259:2 /", TRUE, TRUE },
    { "mount 0:34 / btrfs /dev/nvme0n1p2", TRUE, TRUE },
    /* btrfs over two disks names the other one. */
    { "function 0000:0f:00.3\ndisk sdx 65:0\nmount 0:34 / btrfs /dev/sdx\n"
      "dir /sys/fs/btrfs/11-22/devices/sdx\ndir /sys/fs/btrfs/11-22/devices/nvme0n1p2",
      TRUE, TRUE },
    { "mount 0:50 / zfs rpool/ROOT/x\n"
      "file /run/udev/data/b259:2 \"E:ID_FS_TYPE=zfs_member\\nE:ID_FS_LABEL=rpool\"\n"
      "file /run/udev/data/b259:1 \"E:ID_FS_TYPE=vfat\"",
      TRUE, TRUE },
    { "mount 0:50 / zfs rpool/ROOT/x\n"
      "file /run/udev/data/b259:2 \"E:ID_FS_TYPE=zfs_member\\nE:ID_FS_LABEL=other\"",
      FALSE, FALSE },
    { "mount 0:50 / zfs rpool", FALSE, FALSE },
    /* A live system: an overlay of RAM over a file on a stick's file system. */
    { "volume loop0 7:0 nvme0n1p1\nremove /sys/devices/virtual/block/loop0/slaves\n"
      "file /sys/devices/virtual/block/loop0/loop/backing_file /run/live/os.img\n"
      "mount 259:2 /run/live\nmount 7:0 /run/base squashfs /dev/loop0\n"
      "mount 0:40 /run/over tmpfs tmpfs\n"
      "mount 0:41 / overlay overlay "
      "rw,lowerdir=/run/base,upperdir=/run/over/up,workdir=/run/over/w",
      TRUE, TRUE },
    /* Its layers are out of sight. */
    { "mount 0:41 / overlay overlay rw,lowerdir=/gone/a,upperdir=/gone/b", FALSE, FALSE },
    { "mount 0:41 / overlay overlay rw", FALSE, FALSE },
    /* An overlay of itself. */
    { "mount 0:41 /a overlay overlay lowerdir=/a\nmount 0:41 / overlay overlay lowerdir=/a", FALSE,
      FALSE },
    { "mount 0:60 / nfs4 server:/root", TRUE, FALSE },
    { "mount 0:61 / 9p root", TRUE, FALSE },
    { "mount 0:62 / strange x", FALSE, FALSE },
    { "mount 7:7 /", FALSE, FALSE },
    { "", FALSE, FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *changes = g_strconcat ("remove /proc/1/mountinfo\n", cases[i].changes, NULL);
      g_autoptr (FakeHost) host = fake_host_new ("desktop", changes);
      const VfioDisk *disk = g_ptr_array_index (fake_host_get (host, "0000:01:00.0")->disks, 0);

      g_test_message ("case %u", i);
      g_assert_cmpint (host->inventory->platform.root_disk_known, ==, cases[i].known);
      g_assert_cmpint (disk->root, ==, cases[i].disk);
    }
}

static void
test_framebuffer (void)
{
  /* As root sees it, and as a user, for whom every address is zero. */
  static const char *const texts[] = {
    "iomem \"    d0000000-d07fffff : BOOTFB\"",
    "iomem \"00000000-00000000 : PCI Bus 0000:00\"\n"
    "iomem \"  00000000-00000000 : PCI Bus 0000:0d\"\n"
    "iomem \"    00000000-00000000 : 0000:0d:00.0\"\n"
    "iomem \"      00000000-00000000 : BOOTFB\"\n"
    "iomem \"    00000000-00000000 : 0000:0d:00.1\"\n",
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (FakeHost) host = fake_host_new ("desktop", texts[i]);
      VfioFunction *f = fake_host_get (host, "0000:0d:00.0");

      g_assert_nonnull (f->framebuffers);
      g_assert_cmpstr (f->framebuffers[0], ==, "BOOTFB");
      g_assert_null (f->framebuffers[1]);
      g_assert_null (fake_host_get (host, "0000:0d:00.1")->framebuffers);
      g_assert_null (fake_host_get (host, "0000:0c:00.0")->framebuffers);
    }
  {
    g_autoptr (FakeHost) host = fake_host_new ("desktop", NULL);

    g_assert_null (fake_host_get (host, "0000:0d:00.0")->framebuffers);
  }
}

/* The kernel's rule, on every kind of member. */
static void
test_viable (void)
{
  static const struct
  {
    const char *changes;
    gboolean viable;
  } cases[] = {
    { "", FALSE },
    { "function 0000:0d:00.0\ndriver vfio-pci", FALSE },
    { "function 0000:0d:00.0\ndriver vfio-pci\nfunction 0000:0d:00.1\ndriver vfio-pci", TRUE },
    { "function 0000:0d:00.0\ndriver vfio-pci\nfunction 0000:0d:00.1\ndriver none", TRUE },
    { "function 0000:0d:00.0\ndriver vfio-pci\nfunction 0000:0d:00.1\ndriver pci-stub", TRUE },
    { "function 0000:0d:00.0\ndriver mlx5_vfio_pci\nfunction 0000:0d:00.1\ndriver none", TRUE },
    /* pcieport only leaves DMA alone on bridges, which is where it binds. */
    { "function 0000:0d:00.0\ndriver none\nfunction 0000:0d:00.1\ndriver none\n"
      "function 0000:00:03.2\ngroup 15",
      TRUE },
    { "function 0000:0d:00.0\ndriver none\nfunction 0000:0d:00.1\ndriver none\n"
      "function 0000:00:03.2\ngroup 15\ndriver shpchp",
      FALSE },
    { "kernel 5.15.0\nfunction 0000:0d:00.0\ndriver none\nfunction 0000:0d:00.1\ndriver none\n"
      "function 0000:00:03.2\ngroup 15\ndriver shpchp",
      TRUE },
    /* A member that is no PCI function. */
    { "function 0000:0d:00.0\ndriver none\nfunction 0000:0d:00.1\ndriver none\n"
      "dir /sys/devices/platform/AMDI0030:00\n"
      "link /sys/devices/platform/AMDI0030:00/driver /sys/bus/platform/drivers/amd_gpio\n"
      "link /sys/kernel/iommu_groups/15/devices/AMDI0030:00 /sys/devices/platform/AMDI0030:00",
      FALSE },
    { "function 0000:0d:00.0\ndriver none\nfunction 0000:0d:00.1\ndriver none\n"
      "dir /sys/devices/platform/AMDI0030:00\n"
      "link /sys/kernel/iommu_groups/15/devices/AMDI0030:00 /sys/devices/platform/AMDI0030:00",
      TRUE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (FakeHost) host = fake_host_new ("desktop", cases[i].changes);

      g_test_message ("case %u", i);
      g_assert_cmpint (vfio_inventory_group_is_viable (host->inventory,
                                                       fake_host_get (host, "0000:0d:00.0")->group),
                       ==, cases[i].viable);
    }
}

static void
test_config (void)
{
  guint8 config[4096] = { 0 };
  VfioFunction f = { 0 };
  const gsize at = 0x100, next = 0x200;

  config[0x0e] = 0x80;
  /* An extended capability that leads on to the resizable BARs: two of them, BAR 0 and BAR 2. */
  memcpy (config + at, (guint8[]){ 0x01, 0x00, 0x01, 0x20 }, 4);
  memcpy (config + next, (guint8[]){ 0x15, 0x00, 0x01, 0x00 }, 4);
  memcpy (config + next + 4, (guint8[]){ 0x00, 0xfc, 0x03, 0x00 }, 4); /* 64 MiB to 8 GiB */
  memcpy (config + next + 8, (guint8[]){ 0x40, 0x08, 0x00, 0x00 }, 4); /* 2 BARs, this is 0 */
  memcpy (config + next + 12, (guint8[]){ 0x10, 0x00, 0x00, 0x00 }, 4);
  memcpy (config + next + 16, (guint8[]){ 0x02, 0x00, 0x00, 0x00 }, 4);
  host_function_parse_config (&f, config, sizeof config);
  g_assert_false (f.config_dead);
  g_assert_cmpuint (f.header_type, ==, 0);
  g_assert_cmphex (f.bars[0].resizable, ==, 0x3fc0);
  g_assert_cmphex (f.bars[2].resizable, ==, 1);

  /* Cut in the middle of it, and before it. */
  for (gsize size = 0; size < 0x220; size++)
    {
      g_autofree guint8 *part = g_memdup2 (config, size);
      VfioFunction g = { 0 };

      host_function_parse_config (&g, part, size);
      g_assert_cmphex (g.bars[2].resizable, ==, size >= next + 20 ? 1 : 0);
    }
  /* A list that leads in a circle, to itself, below its beginning, and out of the space. */
  for (guint i = 0; i < 4; i++)
    {
      static const guint16 to[] = { 0x200, 0x100, 0x040, 0xffc };
      VfioFunction g = { 0 };

      memset (config + next, 0, 32);
      config[next] = 0x02;
      config[next + 2] = (guint8)(1 | (to[i] & 0xf) << 4);
      config[next + 3] = (guint8)(to[i] >> 4);
      host_function_parse_config (&g, config, sizeof config);
      g_assert_cmphex (g.bars[0].resizable, ==, 0);
    }
  {
    VfioFunction g = { 0 };

    memset (config, 0xff, sizeof config);
    host_function_parse_config (&g, config, sizeof config);
    g_assert_true (g.config_dead);
  }
}

static void
test_resources (void)
{
  static const struct
  {
    const char *text;
    guint64 start, size;
  } cases[] = {
    { "0x00000000f0000000 0x00000000f0ffffff 0x0000000000040200", 0xf0000000, 0x1000000 },
    { "0x0000000000000000 0x0000000000000fff 0x0000000020040200", 0, 0x1000 }, /* no address */
    { "0x0000000000000000 0x0000000000000000 0x0000000000000000", 0, 0 },
    { "0x0000000000000001 0x0000000000000000 0x0000000000000200", 0, 0 },
    { "0x0000000000000000 0xffffffffffffffff 0x0000000000000200", 0, 0 },
    { "0x1 0x2", 0, 0 },
    { "0x1 0x2 0x3 0x4", 0, 0 },
    { "0xg 0x2 0x3", 0, 0 },
    { "1 2 3", 0, 0 },
    { "0x11111111111111111 0x2 0x3", 0, 0 },
    { "", 0, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      VfioFunction f = { 0 };

      host_function_parse_resources (&f, cases[i].text);
      g_assert_cmphex (f.bars[0].start, ==, cases[i].start);
      g_assert_cmphex (f.bars[0].size, ==, cases[i].size);
    }
  g_assert_cmpuint (host_function_parse_speed ("2.5 GT/s PCIe"), ==, 25);
  g_assert_cmpuint (host_function_parse_speed ("16.0 GT/s PCIe"), ==, 160);
  g_assert_cmpuint (host_function_parse_speed ("8 GT/s"), ==, 80);
  g_assert_cmpuint (host_function_parse_speed ("Unknown"), ==, 0);
  g_assert_cmpuint (host_function_parse_speed ("99999999999999 GT/s"), ==, 0);
  g_assert_cmpuint (host_function_parse_speed (NULL), ==, 0);
}

/* Nothing at all, and everything broken: a result all the same. */
static void
test_broken (void)
{
  static const char *const changes[] = {
    "remove /sys/bus/pci/devices/0000:0d:00.0\n"
    "link /sys/bus/pci/devices/0000:0d:00.0 0000:0d:00.0",
    "function 0000:0d:00.0\nconfig ones 4096\nattr vendor 0xfffffffff\nattr class rubbish\n"
    "attr reset_method \"a b c d e f g h i j k l m n o p q r s t\"",
    "function 0000:0d:00.0\nconfig zeros 10\nattr resource \"\\001\\377\\376\"",
    "file /proc/1/mountinfo \"1 2\\n\\n30 1 0:1 / - - -\\n- - - - - - - - - - - - - - -\\n\"",
    "file /proc/1/mountinfo \"30 1 ../../x / / rw shared:1 - ext4 /dev/../../x rw\"",
    "volume dm-1 253:1 dm-2\nvolume dm-2 253:2 dm-1\nmount 253:1 /", /* a loop of volumes */
    "bridge br0 br1\nbridge br1 br0\nroute br0",
    "file /proc/net/route \"\\377\\376\\n\\t\\t\\t\"",
    "file /proc/iomem \"                                                                        "
    "                      0-0 : BOOTFB\\n : \\nx : 0000:0d:00.0\"",
    "remove /proc",
    "remove /sys",
    "file /usr/share/misc/pci.ids \"\\t\\n10de\\n10de  \\n\\t2484\"",
    "dir /sys/bus/pci/devices/rubbish\ndir /sys/kernel/iommu_groups/99999999999999\n"
    "dir /sys/kernel/iommu_groups/007",
    "link /proc/5/fd /",
    "process 77 x /dev/dri/card0/../card0 /dev/ relative",
    "link /sys/dev/char/226:x /nowhere\nlink /sys/dev/char/99999999999:1 ../0000:0d:00.0",
  };

  for (guint i = 0; i < G_N_ELEMENTS (changes); i++)
    {
      g_autoptr (FakeHost) host = NULL;

      g_test_message ("case %u", i);
      host = fake_host_new ("desktop", changes[i]);
      for (guint k = 0; k < host->inventory->functions->len; k++)
        {
          const VfioFunction *f = g_ptr_array_index (host->inventory->functions, k);

          g_assert_true (g_utf8_validate (f->name, -1, NULL));
        }
    }
  {
    g_autoptr (FakeHost) host = fake_host_new ("desktop", changes[1]);
    VfioFunction *f = fake_host_get (host, "0000:0d:00.0");

    g_assert_true (f->config_dead);
    g_assert_cmphex (f->class_code, ==, 0);
    g_assert_cmpuint (g_strv_length (f->reset_methods), <=, 16);
  }
  {
    g_autoptr (FakeHost) host = fake_host_new ("desktop", "remove /proc");

    g_assert_false (host->inventory->platform.root_disk_known);
    g_assert_cmpint (host->inventory->platform.interrupt_remapping, ==, -1);
  }
}

static void
test_iommu_off (void)
{
  static const char off[] = "remove /sys/kernel/iommu_groups\nremove /sys/class/iommu\n";
  g_autofree char *none = g_strconcat (off, "remove /sys/firmware", NULL);
  g_autoptr (FakeHost) kernel = fake_host_new ("desktop", off);
  g_autoptr (FakeHost) firmware = fake_host_new ("desktop", none);

  g_assert_cmpint (kernel->inventory->platform.iommu, ==, HOST_IOMMU_OFF_KERNEL);
  g_assert_cmpint (firmware->inventory->platform.iommu, ==, HOST_IOMMU_OFF_FIRMWARE);
  g_assert_null (fake_host_get (kernel, "0000:0d:00.0")->group);
}

/* This machine, whatever it is. */
static void
test_live (void)
{
  g_autoptr (VfioTree) tree = vfio_tree_open ("/", NULL);
  g_autoptr (VfioInventory) inventory = vfio_inventory_new (tree);

  g_test_message ("%u functions, %u groups, %u cards", inventory->functions->len,
                  inventory->groups->len, inventory->cards->len);
  for (guint i = 0; i < inventory->functions->len; i++)
    {
      const VfioFunction *f = g_ptr_array_index (inventory->functions, i);

      g_assert_true (g_str_has_prefix (f->real_path, "/sys/devices/"));
      g_assert_cmphex (f->vendor, !=, 0);
      g_assert_cmpint (f->card == NULL, ==, f->bridge);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vfio/host/inventory/desktop", test_desktop);
  g_test_add_func ("/vfio/host/inventory/laptop", test_laptop);
  g_test_add_func ("/vfio/host/inventory/others", test_others);
  g_test_add_func ("/vfio/host/inventory/root", test_root);
  g_test_add_func ("/vfio/host/inventory/framebuffer", test_framebuffer);
  g_test_add_func ("/vfio/host/inventory/viable", test_viable);
  g_test_add_func ("/vfio/host/inventory/config", test_config);
  g_test_add_func ("/vfio/host/inventory/resources", test_resources);
  g_test_add_func ("/vfio/host/inventory/broken", test_broken);
  g_test_add_func ("/vfio/host/inventory/iommu-off", test_iommu_off);
  g_test_add_func ("/vfio/host/inventory/live", test_live);
  return g_test_run ();
}
