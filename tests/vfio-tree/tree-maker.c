/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/vfio-tree/tree-maker.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESOURCES 13

typedef struct
{
  const char *root;
  char *function;   /* (nullable) address of the one that lines are about */
  char *path;       /* its folder: "/sys/devices/…" */
  GHashTable *made; /* folders that are there */
} Maker;

static char *
full (Maker *m, const char *path)
{
  return g_strconcat (m->root, path, NULL);
}

static void
parent_of (Maker *m, const char *path)
{
  char *parent = g_path_get_dirname (path);

  if (g_hash_table_contains (m->made, parent))
    {
      g_free (parent);
      return;
    }
  if (g_mkdir_with_parents (parent, 0755) < 0)
    g_printerr ("# %s: %s\n", parent, g_strerror (errno));
  g_hash_table_add (m->made, parent);
}

static gboolean
put_bytes (Maker *m, const char *path, const void *data, gsize size)
{
  g_autofree char *name = full (m, path);
  FILE *file;
  gboolean good;

  parent_of (m, name);
  file = fopen (name, "wb");
  if (file == NULL)
    return FALSE;
  good = fwrite (data, 1, size, file) == size;
  return fclose (file) == 0 && good;
}

static gboolean
put (Maker *m, const char *path, const char *text)
{
  g_autofree char *line = g_strconcat (text, "\n", NULL);

  return put_bytes (m, path, line, strlen (line));
}

static gboolean
append (Maker *m, const char *path, const char *text)
{
  g_autofree char *name = full (m, path);
  FILE *file;

  parent_of (m, name);
  file = fopen (name, "a");
  if (file == NULL)
    return FALSE;
  fprintf (file, "%s\n", text);
  return fclose (file) == 0;
}

static gboolean
put_link (Maker *m, const char *path, const char *target)
{
  g_autofree char *name = full (m, path);

  parent_of (m, name);
  g_unlink (name);
  return symlink (target, name) == 0;
}

static gboolean
put_dir (Maker *m, const char *path)
{
  g_autofree char *name = full (m, path);

  return g_mkdir_with_parents (name, 0755) == 0;
}

static void
remove_all (const char *name)
{
  GDir *dir = g_file_test (name, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (name, 0, NULL);
  const char *entry;

  while (dir != NULL && (entry = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (name, entry, NULL);

      remove_all (child);
    }
  if (dir != NULL)
    g_dir_close (dir);
  g_remove (name);
}

/* Below the function's folder. (transfer full) */
static char *
in (Maker *m, const char *name)
{
  return g_strconcat (m->path, "/", name, NULL);
}

static gboolean
attr (Maker *m, const char *name, const char *value)
{
  g_autofree char *path = in (m, name);

  return put (m, path, value);
}

/* "name=value": value, else NULL. */
static const char *
option (char **words, const char *name)
{
  gsize len = strlen (name);

  for (guint i = 1; words[i] != NULL; i++)
    if (strncmp (words[i], name, len) == 0 && words[i][len] == '=')
      return words[i] + len + 1;
  return NULL;
}

static gboolean
flag (char **words, const char *name)
{
  return words[0] != NULL && g_strv_contains ((const char *const *)words + 1, name);
}

static guint64
parse_size (const char *text)
{
  char *end;
  guint64 value = g_ascii_strtoull (text, &end, 0);

  return value << (*end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0);
}

static gboolean
set_driver (Maker *m, const char *name)
{
  g_autofree char *path = in (m, "driver"), *driver = NULL, *back = NULL, *old = NULL;
  g_autofree char *full_path = full (m, path);

  old = g_file_read_link (full_path, NULL);
  if (old != NULL)
    {
      g_autofree char *old_back = g_strconcat (m->root, old, "/", m->function, NULL);

      g_unlink (old_back);
      g_unlink (full_path);
    }
  if (strcmp (name, "none") == 0)
    return TRUE;
  driver = g_strconcat ("/sys/bus/pci/drivers/", name, NULL);
  back = g_strconcat (driver, "/", m->function, NULL);
  return put_link (m, path, driver) && put_link (m, back, m->path);
}

static gboolean
set_group (Maker *m, const char *id)
{
  g_autofree char *path = in (m, "iommu_group"), *group = NULL, *member = NULL, *old = NULL;
  g_autofree char *full_path = full (m, path), *type = NULL, *reserved = NULL, *there = NULL;

  old = g_file_read_link (full_path, NULL);
  if (old != NULL)
    {
      g_autofree char *old_member = g_strconcat (m->root, old, "/devices/", m->function, NULL);

      g_unlink (old_member);
      g_unlink (full_path);
    }
  if (strcmp (id, "none") == 0)
    return TRUE;
  group = g_strconcat ("/sys/kernel/iommu_groups/", id, NULL);
  member = g_strconcat (group, "/devices/", m->function, NULL);
  type = g_strconcat (group, "/type", NULL);
  reserved = g_strconcat (group, "/reserved_regions", NULL);
  there = full (m, type);
  if (!g_file_test (there, G_FILE_TEST_EXISTS) &&
      (!put (m, type, "DMA-FQ") || !put (m, reserved, "0x00000000fee00000 0x00000000feefffff msi")))
    return FALSE;
  return put_link (m, path, group) && put_link (m, member, m->path);
}

/* The standard header: what the kernel shows a user. */
static gboolean
put_config (Maker *m, guint vendor, guint device, guint class_code, guint function_number)
{
  g_autofree char *path = in (m, "config");
  guint8 config[256] = { 0 };

  config[0] = (guint8)vendor;
  config[1] = (guint8)(vendor >> 8);
  config[2] = (guint8)device;
  config[3] = (guint8)(device >> 8);
  config[9] = (guint8)class_code;
  config[10] = (guint8)(class_code >> 8);
  config[11] = (guint8)(class_code >> 16);
  config[14] = class_code >> 8 == 0x0604 ? 1 : 0;
  if (function_number > 0)
    config[14] |= 0x80;
  return put_bytes (m, path, config, sizeof config);
}

static gboolean
do_function (Maker *m, char **words, guint n)
{
  const char *on = option (words, "on"), *class_text = option (words, "class");
  const char *sub = option (words, "sub"), *driver = option (words, "driver");
  const char *group = option (words, "group"), *colon;
  g_autofree char *bus_link = NULL, *above = NULL, *text = NULL, *name = NULL;
  guint vendor, device, class_code;
  GString *zeros;

  if (n < 2)
    return FALSE;
  g_free (m->function);
  g_free (m->path);
  m->function = g_strdup (words[1]);
  bus_link = g_strconcat ("/sys/bus/pci/devices/", words[1], NULL);
  name = full (m, bus_link);
  m->path = g_file_read_link (name, NULL);
  if (m->path == NULL)
    {
      if (n < 3 || class_text == NULL || (colon = strchr (words[2], ':')) == NULL)
        return FALSE;
      if (on != NULL)
        {
          g_autofree char *link = g_strconcat (m->root, "/sys/bus/pci/devices/", on, NULL);

          above = g_file_read_link (link, NULL);
          if (above == NULL)
            return FALSE;
        }
      else
        above = g_strdup_printf ("/sys/devices/pci%.*s", (int)strlen (words[1]) - 5, words[1]);
      m->path = g_strconcat (above, "/", words[1], NULL);
      vendor = (guint)strtoul (words[2], NULL, 16);
      device = (guint)strtoul (colon + 1, NULL, 16);
      class_code = (guint)strtoul (class_text, NULL, 16);
      if (!put_link (m, bus_link, m->path) ||
          !put_config (m, vendor, device, class_code,
                       (guint)(words[1][strlen (words[1]) - 1] - '0')))
        return FALSE;
      text = g_strdup_printf ("0x%04x", vendor);
      attr (m, "vendor", text);
      g_free (text);
      text = g_strdup_printf ("0x%04x", device);
      attr (m, "device", text);
      g_free (text);
      text = g_strdup_printf ("0x%06x", class_code);
      attr (m, "class", text);
      attr (m, "revision", "0x01");
      attr (m, "numa_node", "-1");
      attr (m, "driver_override", "(null)");
      attr (m, "power_state", "D0");
      attr (m, "d3cold_allowed", "1");
      attr (m, "power/runtime_status", "active");
      attr (m, "power/control", "on");
      zeros = g_string_new (NULL);
      for (guint i = 0; i < RESOURCES; i++)
        g_string_append (zeros, i + 1 < RESOURCES
                                    ? "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
                                    : "0x0000000000000000 0x0000000000000000 0x0000000000000000");
      attr (m, "resource", zeros->str);
      g_string_free (zeros, TRUE);
    }
  if (sub != NULL && (colon = strchr (sub, ':')) != NULL)
    {
      g_autofree char *sub_vendor = g_strdup_printf ("0x%.*s", (int)(colon - sub), sub);
      g_autofree char *sub_device = g_strdup_printf ("0x%s", colon + 1);

      attr (m, "subsystem_vendor", sub_vendor);
      attr (m, "subsystem_device", sub_device);
    }
  return (driver == NULL || set_driver (m, driver)) && (group == NULL || set_group (m, group));
}

static gboolean
do_bar (Maker *m, char **words, guint n, guint index)
{
  g_autofree char *path = in (m, "resource"), *name = full (m, path), *text = NULL, *joined = NULL;
  const char *at = option (words, "at"), *sizes = option (words, "sizes");
  guint64 size, start, flags = flag (words, "io") ? 0x40101 : 0x40200;
  g_auto (GStrv) lines = NULL;

  if (n < 2 || !g_file_get_contents (name, &text, NULL, NULL))
    return FALSE;
  lines = g_strsplit (text, "\n", -1);
  if (g_strv_length (lines) <= index)
    return FALSE;
  size = parse_size (words[1]);
  start = at != NULL ? g_ascii_strtoull (at, NULL, 0) : 0xf0000000;
  if (flag (words, "64"))
    flags |= 0x100000;
  if (flag (words, "pref"))
    flags |= 0x2000;
  g_free (lines[index]);
  lines[index] = g_strdup_printf ("0x%016" G_GINT64_MODIFIER "x 0x%016" G_GINT64_MODIFIER
                                  "x 0x%016" G_GINT64_MODIFIER "x",
                                  start, start + size - 1, flags);
  joined = g_strjoinv ("\n", lines);
  if (sizes != NULL)
    {
      const char *dash = strchr (sizes, '-');
      guint64 least = parse_size (sizes) >> 20,
              most = parse_size (dash != NULL ? dash + 1 : sizes) >> 20;
      g_autofree char *file = g_strdup_printf ("resource%u_resize", index);
      g_autofree char *bits = g_strdup_printf ("%016" G_GINT64_MODIFIER "x", (most << 1) - least);

      attr (m, file, bits);
    }
  return put_bytes (m, path, joined, strlen (joined));
}

static gboolean
do_reset (Maker *m, char **words)
{
  g_autofree char *path = in (m, "reset"), *name = full (m, path), *methods = NULL;

  if (words[1] == NULL || strcmp (words[1], "none") == 0)
    {
      g_unlink (name);
      return attr (m, "reset_method", "");
    }
  methods = g_strjoinv (" ", words + 1);
  return attr (m, "reset", "") && attr (m, "reset_method", methods);
}

static gboolean
put_node (Maker *m, const char *kind, const char *numbers, const char *devname, const char *path)
{
  g_autofree char *uevent = g_strconcat (path, "/uevent", NULL);
  g_autofree char *dev = g_strconcat (path, "/dev", NULL);
  g_autofree char *link = g_strconcat ("/sys/dev/", kind, "/", numbers, NULL);
  g_autofree char *text = g_strconcat ("DEVNAME=", devname, NULL);
  g_autofree char *node = g_strconcat ("/dev/", devname, NULL);

  return put (m, uevent, text) && put (m, dev, numbers) && put_link (m, link, path) &&
         put (m, node, numbers);
}

/* drm card1 renderD129 DP-1=connected HDMI-A-1=enabled DP-2 */
static gboolean
do_drm (Maker *m, char **words, guint n)
{
  if (n < 3)
    return FALSE;
  for (guint i = 1; i < n; i++)
    {
      const char *equal = strchr (words[i], '=');
      gsize len = equal != NULL ? (gsize)(equal - words[i]) : strlen (words[i]);
      g_autofree char *part = g_strndup (words[i], len);
      g_autofree char *name = i < 3 ? g_strdup (part) : g_strconcat (words[1], "-", part, NULL);
      g_autofree char *path = i < 3 ? g_strconcat (m->path, "/drm/", name, NULL)
                                    : g_strconcat (m->path, "/drm/", words[1], "/", name, NULL);
      g_autofree char *class_link = g_strconcat ("/sys/class/drm/", name, NULL);

      if (!put_dir (m, path) || !put_link (m, class_link, path))
        return FALSE;
      if (i < 3)
        {
          const char *digits = words[i] + strcspn (words[i], "0123456789");
          g_autofree char *numbers = g_strconcat ("226:", digits, NULL);
          g_autofree char *devname = g_strconcat ("dri/", words[i], NULL);

          put_node (m, "char", numbers, devname, path);
        }
      else
        {
          g_autofree char *status = g_strconcat (path, "/status", NULL);
          g_autofree char *enabled = g_strconcat (path, "/enabled", NULL);

          put (m, status, equal != NULL ? "connected" : "disconnected");
          put (m, enabled,
               equal != NULL && strcmp (equal, "=enabled") == 0 ? "enabled" : "disabled");
        }
    }
  return TRUE;
}

static gboolean
do_net (Maker *m, char **words, guint n)
{
  g_autofree char *path = NULL, *class_link = NULL, *state = NULL;

  if (n < 3)
    return FALSE;
  path = g_strconcat (m->path, "/net/", words[1], NULL);
  class_link = g_strconcat ("/sys/class/net/", words[1], NULL);
  state = g_strconcat (path, "/operstate", NULL);
  return put_link (m, class_link, path) && put (m, state, words[2]);
}

/* bridge br0 eth0 eth1 */
static gboolean
do_net_above (Maker *m, char **words, guint n)
{
  for (guint i = 2; i < n; i++)
    {
      g_autofree char *lower =
          g_strconcat ("/sys/devices/virtual/net/", words[1], "/lower_", words[i], NULL);
      g_autofree char *target = g_strconcat ("/sys/class/net/", words[i], NULL);
      g_autofree char *class_link = g_strconcat ("/sys/class/net/", words[1], NULL);
      g_autofree char *above = g_strconcat ("/sys/devices/virtual/net/", words[1], NULL);

      if (!put_link (m, lower, target) || !put_link (m, class_link, above))
        return FALSE;
    }
  return n >= 3;
}

/* disk nvme0n1 259:0 nvme0n1p1 259:1 …; where: the folder it hangs in */
static gboolean
put_disk (Maker *m, char **words, guint n, const char *where)
{
  g_autofree char *disk = NULL;

  if (n < 3 || n % 2 == 0)
    return FALSE;
  disk = g_strconcat (where, "/block/", words[1], NULL);
  for (guint i = 1; i < n; i += 2)
    {
      g_autofree char *path = i == 1 ? g_strdup (disk) : g_strconcat (disk, "/", words[i], NULL);
      g_autofree char *class_link = g_strconcat ("/sys/class/block/", words[i], NULL);
      g_autofree char *partition = g_strconcat (path, "/partition", NULL);

      if (!put_node (m, "block", words[i + 1], words[i], path) || !put_link (m, class_link, path) ||
          (i > 1 && !put (m, partition, "1")))
        return FALSE;
    }
  return TRUE;
}

/* volume dm-0 253:0 nvme0n1p2 … */
static gboolean
do_volume (Maker *m, char **words, guint n)
{
  char *own[] = { words[0], words[1], words[2], NULL };

  if (n < 4 || !put_disk (m, own, 3, "/sys/devices/virtual"))
    return FALSE;
  for (guint i = 3; i < n; i++)
    {
      g_autofree char *slave =
          g_strconcat ("/sys/devices/virtual/block/", words[1], "/slaves/", words[i], NULL);
      g_autofree char *target = g_strconcat ("/sys/class/block/", words[i], NULL);

      if (!put_link (m, slave, target))
        return FALSE;
    }
  return TRUE;
}

static gboolean
do_mount (Maker *m, char **words, guint n)
{
  g_autofree char *line = NULL;

  if (n < 3)
    return FALSE;
  line = g_strdup_printf ("30 1 %s / %s rw,relatime shared:1 - %s %s %s", words[1], words[2],
                          n > 3 ? words[3] : "ext4", n > 4 ? words[4] : "/dev/disk",
                          n > 5 ? words[5] : "rw");
  return append (m, "/proc/1/mountinfo", line);
}

static gboolean
do_process (Maker *m, char **words, guint n)
{
  g_autofree char *comm = NULL;

  if (n < 3)
    return FALSE;
  comm = g_strconcat ("/proc/", words[1], "/comm", NULL);
  if (!put (m, comm, words[2]))
    return FALSE;
  for (guint i = 3; i < n; i++)
    {
      g_autofree char *fd = g_strdup_printf ("/proc/%s/fd/%u", words[1], i);

      if (!put_link (m, fd, words[i]))
        return FALSE;
    }
  return TRUE;
}

static gboolean
do_config (Maker *m, char **words, guint n)
{
  g_autofree char *path = in (m, "config");
  g_autofree guint8 *bytes = NULL;
  gsize size;

  if (n < 2)
    return FALSE;
  size = n > 2 ? (gsize)strtoul (words[2], NULL, 0) : 256;
  if (size > 65536)
    return FALSE;
  bytes = g_malloc0 (size + 1);
  if (strcmp (words[1], "ones") == 0)
    memset (bytes, 0xff, size);
  return put_bytes (m, path, bytes, size);
}

static gboolean
do_vf (Maker *m, char **words, guint n)
{
  g_autofree char *physfn = in (m, "physfn"), *target = NULL;

  if (n < 2)
    return FALSE;
  target = g_strconcat ("/sys/bus/pci/devices/", words[1], NULL);
  {
    g_autofree char *name = full (m, target);
    g_autofree char *real = g_file_read_link (name, NULL);

    return real != NULL && put_link (m, physfn, real);
  }
}

static gboolean
do_iommu (Maker *m, char **words, guint n)
{
  const char *bits = option (words, "bits");
  g_autofree char *path = NULL, *cap = NULL, *class_link = NULL;

  if (n < 2)
    return FALSE;
  path = g_strconcat ("/sys/devices/virtual/iommu/", words[1], NULL);
  class_link = g_strconcat ("/sys/class/iommu/", words[1], NULL);
  if (!put_dir (m, path) || !put_link (m, class_link, path))
    return FALSE;
  if (bits == NULL)
    return TRUE;
  cap = g_strconcat (path, "/intel-iommu/cap", NULL);
  {
    g_autofree char *text =
        g_strdup_printf ("%" G_GINT64_MODIFIER "x", (g_ascii_strtoull (bits, NULL, 10) - 1) << 16);

    return put (m, cap, text);
  }
}

static gboolean
do_os (Maker *m, char **words, guint n)
{
  g_autofree char *text = NULL;

  if (n < 3)
    return FALSE;
  text = g_strdup_printf ("ID=%s\nPRETTY_NAME=\"%s\"", words[1], words[2]);
  return put (m, "/etc/os-release", text);
}

static gboolean
do_line (Maker *m, char **words, guint n)
{
  const char *verb = words[0];
  g_autofree char *path = NULL, *text = NULL;

#define IS(name, least) (strcmp (verb, name) == 0 && n > (least))
  if (IS ("file", 2))
    {
      text = g_strcompress (words[2]);
      return put (m, words[1], text);
    }
  if (IS ("append", 2))
    {
      text = g_strcompress (words[2]);
      return append (m, words[1], text);
    }
  if (IS ("link", 2))
    return put_link (m, words[1], words[2]);
  if (IS ("dir", 1))
    return put_dir (m, words[1]);
  if (IS ("remove", 1))
    {
      path = full (m, words[1]);
      remove_all (path);
      g_hash_table_remove_all (m->made);
      return TRUE;
    }
  if (IS ("cpu", 1))
    return put (m, "/proc/cpuinfo",
                strcmp (words[1], "intel") == 0 ? "vendor_id\t: GenuineIntel"
                                                : "vendor_id\t: AuthenticAMD");
  if (IS ("kernel", 1))
    {
      path = g_strconcat ("/lib/modules/", words[1], "/modules.dep", NULL);
      return put (m, "/proc/sys/kernel/osrelease", words[1]) &&
             put (m, path, "kernel/drivers/vfio/pci/vfio-pci.ko: kernel/drivers/vfio/vfio.ko");
    }
  if (IS ("cmdline", 1))
    return put (m, "/proc/cmdline", words[1]);
  if (IS ("os", 2))
    return do_os (m, words, n);
  if (IS ("iommu", 1))
    return do_iommu (m, words, n);
  if (IS ("iomem", 1))
    return append (m, "/proc/iomem", words[1]);
  if (IS ("route", 1))
    {
      text =
          g_strconcat (words[1], "\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0", NULL);
      return append (m, "/proc/net/route", text);
    }
  if (IS ("mount", 2))
    return do_mount (m, words, n);
  if (IS ("swap", 1))
    {
      text = g_strconcat (words[1], "\tpartition\t8388604\t0\t-2", NULL);
      return append (m, "/proc/swaps", text);
    }
  if (IS ("process", 2))
    return do_process (m, words, n);
  if (IS ("volume", 3))
    return do_volume (m, words, n);
  if (IS ("bridge", 2))
    return do_net_above (m, words, n);
  if (IS ("function", 1))
    return do_function (m, words, n);
  if (m->function == NULL)
    return FALSE;
  if (IS ("driver", 1))
    return set_driver (m, words[1]);
  if (IS ("group", 1))
    return set_group (m, words[1]);
  if (IS ("bar", 2))
    return do_bar (m, words + 1, n - 1, (guint)strtoul (words[1], NULL, 10));
  if (IS ("rom", 1))
    return do_bar (m, words, n, 6);
  if (IS ("reset", 1))
    return do_reset (m, words);
  if (IS ("attr", 2))
    return attr (m, words[1], words[2]);
  if (IS ("lanes", 4))
    {
      g_autofree char *now = g_strconcat (words[1], " GT/s PCIe", NULL);
      g_autofree char *most = g_strconcat (words[3], " GT/s PCIe", NULL);

      return attr (m, "current_link_speed", now) && attr (m, "current_link_width", words[2]) &&
             attr (m, "max_link_speed", most) && attr (m, "max_link_width", words[4]);
    }
  if (IS ("drm", 2))
    return do_drm (m, words, n);
  if (IS ("node", 3))
    {
      path = g_strconcat (m->path, "/", words[3], NULL);
      return put_node (m, words[1], words[2], words[3], path);
    }
  if (IS ("net", 2))
    return do_net (m, words, n);
  if (IS ("disk", 2))
    return put_disk (m, words, n, m->path);
  if (IS ("config", 1))
    return do_config (m, words, n);
  if (IS ("physfn", 1))
    return do_vf (m, words, n);
#undef IS
  return FALSE;
}

gboolean
tree_maker_make (const char *text, const char *folder, GError **error)
{
  Maker m = { .root = folder };
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  gboolean good = g_mkdir_with_parents (folder, 0755) == 0;

  m.made = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; good && lines[i] != NULL; i++)
    {
      g_auto (GStrv) words = NULL;
      int n;

      if (*g_strstrip (lines[i]) == '\0' || *lines[i] == '#')
        continue;
      good = g_shell_parse_argv (lines[i], &n, &words, NULL) && do_line (&m, words, (guint)n);
      if (!good)
        g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "line %u: %s", i + 1, lines[i]);
    }
  if (!good && error != NULL && *error == NULL)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s: %s", folder, g_strerror (errno));
  g_hash_table_unref (m.made);
  g_free (m.function);
  g_free (m.path);
  return good;
}
