/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One PCI function, from its folder in sysfs and its configuration space (PCI Express Base
 * Specification 5.0, 7.5 and 7.8.6). */
#include <string.h>
#include "vfio/host/inventory-private.h"

/* The kernel's include/linux/ioport.h; the file "resource" shows these bits to users. */
#define RESOURCE_IO       0x00000100u
#define RESOURCE_PREFETCH 0x00002000u
#define RESOURCE_64BIT    0x00100000u

#define CONFIG_HEADER_TYPE 0x0e
#define CONFIG_EXTENDED    0x100
#define EXTENDED_REBAR     0x15

static char *
path_in (const VfioFunction *function, const char *name)
{
  return g_strconcat (function->path, "/", name, NULL);
}

static char *
read_in (VfioTree *tree, const VfioFunction *function, const char *name)
{
  g_autofree char *path = path_in (function, name);

  return vfio_tree_read_line (tree, path);
}

static guint64
number_in (VfioTree *tree, const VfioFunction *function, const char *name, guint64 otherwise)
{
  g_autofree char *path = path_in (function, name);
  guint64 value;

  return vfio_tree_read_number (tree, path, &value) ? value : otherwise;
}

void
host_function_parse_resources (VfioFunction *function, const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", VFIO_HOST_N_BARS + 2);

  for (guint i = 0; lines[i] != NULL && i <= VFIO_HOST_ROM; i++)
    {
      g_auto (GStrv) words = g_strsplit (lines[i], " ", 4);
      guint64 value[3];
      VfioBar *bar = &function->bars[i];
      gboolean good = g_strv_length (words) == 3;

      for (guint k = 0; good && k < 3; k++)
        good = g_str_has_prefix (words[k], "0x") &&
               g_ascii_string_to_unsigned (words[k] + 2, 16, 0, G_MAXUINT64, &value[k], NULL);
      if (!good)
        continue;
      if ((value[0] == 0 && value[1] == 0) || value[1] < value[0] ||
          value[1] - value[0] == G_MAXUINT64)
        continue;
      bar->start = value[0];
      bar->size = value[1] - value[0] + 1;
      bar->flags = value[2];
      bar->io = (bar->flags & RESOURCE_IO) != 0;
      bar->is_64bit = (bar->flags & RESOURCE_64BIT) != 0;
      bar->prefetchable = (bar->flags & RESOURCE_PREFETCH) != 0;
    }
}

static guint32
get_le32 (const guint8 *data, gsize offset)
{
  return (guint32)data[offset] | (guint32)data[offset + 1] << 8 | (guint32)data[offset + 2] << 16 |
         (guint32)data[offset + 3] << 24;
}

/* 7.8.6: a capability and a control register a BAR, behind the header. */
static void
parse_rebar (VfioFunction *function, const guint8 *data, gsize size, gsize offset)
{
  guint n_bars = 1;

  for (guint i = 0; i < n_bars && offset + 12 + 8 * (gsize)i <= size; i++)
    {
      guint32 sizes = get_le32 (data, offset + 4 + 8 * (gsize)i);
      guint32 control = get_le32 (data, offset + 8 + 8 * (gsize)i);
      guint bar = control & 7;

      if (i == 0)
        n_bars = MIN (control >> 5 & 7, VFIO_HOST_N_BARS);
      if (bar < VFIO_HOST_N_BARS && function->bars[bar].resizable == 0)
        function->bars[bar].resizable = sizes >> 4 | (guint64)(control >> 16) << 28;
    }
}

void
host_function_parse_config (VfioFunction *function, const guint8 *data, gsize size)
{
  gsize offset = CONFIG_EXTENDED;

  function->config_size = size;
  if (size < 64)
    return;
  function->config_dead = TRUE;
  for (guint i = 0; i < 64; i++)
    function->config_dead = function->config_dead && data[i] == 0xff;
  if (function->config_dead)
    return;
  function->header_type = data[CONFIG_HEADER_TYPE] & 0x7f;
  /* 7.6: each entry names the next; 0 ends. More steps than fit is a loop. */
  for (guint step = 0; step < (4096 - CONFIG_EXTENDED) / 4; step++)
    {
      guint32 header;

      if (offset < CONFIG_EXTENDED || offset % 4 != 0 || offset + 4 > size)
        return;
      header = get_le32 (data, offset);
      if (header == 0 || header == G_MAXUINT32)
        return;
      if ((header & 0xffff) == EXTENDED_REBAR)
        {
          parse_rebar (function, data, size, offset);
          return;
        }
      offset = header >> 20;
    }
}

static void
read_config (VfioTree *tree, VfioFunction *function)
{
  g_autofree char *path = path_in (function, "config");
  g_autofree guint8 *data = NULL;
  gssize size;

  data = vfio_tree_read_bytes (tree, path, 4096, &size);
  if (data != NULL)
    host_function_parse_config (function, data, (gsize)size);
  /* What cannot be read, or reads as ones, is known by its class, which the kernel remembers. */
  if (function->config_size < 64 || function->config_dead)
    function->header_type = HOST_CLASS_SUB (function) == 0x0604   ? 1
                            : HOST_CLASS_SUB (function) == 0x0607 ? 2
                                                                  : 0;
  function->bridge = function->header_type != 0;
}

static void
read_bars (VfioTree *tree, VfioFunction *function)
{
  g_autofree char *path = path_in (function, "resource");
  g_autofree char *text = vfio_tree_read_text (tree, path, 4096);

  if (text != NULL)
    host_function_parse_resources (function, text);
  for (guint i = 0; i < VFIO_HOST_N_BARS; i++)
    {
      g_autofree char *name = g_strdup_printf ("resource%u_resize", i);
      g_autofree char *line = read_in (tree, function, name);
      guint64 sizes;

      if (line != NULL && g_ascii_string_to_unsigned (line, 16, 0, G_MAXUINT64, &sizes, NULL))
        function->bars[i].resizable = sizes;
    }
}

guint
host_function_parse_speed (const char *text)
{
  guint whole = 0, tenth = 0;
  const char *p = text;

  if (p == NULL || !g_ascii_isdigit (*p))
    return 0;
  for (; g_ascii_isdigit (*p) && whole < 1000; p++)
    whole = whole * 10 + (guint)(*p - '0');
  if (*p == '.' && g_ascii_isdigit (p[1]))
    {
      tenth = (guint)(p[1] - '0');
      p += 2;
    }
  return g_str_has_prefix (p, " GT/s") ? whole * 10 + tenth : 0;
}

static void
read_link (VfioTree *tree, VfioFunction *function)
{
  g_autofree char *speed = read_in (tree, function, "current_link_speed");
  g_autofree char *speed_max = read_in (tree, function, "max_link_speed");

  function->link_speed = host_function_parse_speed (speed);
  function->link_speed_max = host_function_parse_speed (speed_max);
  /* 255 is the kernel's word for "no link". */
  function->link_width =
      (guint)MIN (number_in (tree, function, "current_link_width", 0), 255) % 255;
  function->link_width_max =
      (guint)MIN (number_in (tree, function, "max_link_width", 0), 255) % 255;
}

static void
read_driver (VfioTree *tree, VfioFunction *function)
{
  g_autofree char *driver = path_in (function, "driver");
  g_autofree char *vfio = path_in (function, "vfio-dev");
  g_auto (GStrv) names = vfio_tree_list (tree, vfio);
  char *override = read_in (tree, function, "driver_override");

  function->driver = vfio_tree_read_link_name (tree, driver);
  if (override != NULL && *override != '\0' && strcmp (override, "(null)") != 0)
    function->driver_override = override;
  else
    g_free (override);
  if (names != NULL && names[0] != NULL)
    function->vfio_dev = g_strdup (names[0]);
  /* Variants for single devices are named so: mlx5_vfio_pci, nvgrace_gpu_vfio_pci, xe_vfio_pci. */
  function->driver_vfio =
      function->driver != NULL &&
      (function->vfio_dev != NULL || strcmp (function->driver, "vfio-pci") == 0 ||
       g_str_has_suffix (function->driver, "-vfio-pci") ||
       g_str_has_suffix (function->driver, "_vfio_pci"));
}

static void
read_power (VfioTree *tree, VfioFunction *function)
{
  g_autofree char *reset = path_in (function, "reset");
  g_autofree char *methods = read_in (tree, function, "reset_method");
  guint64 d3cold = number_in (tree, function, "d3cold_allowed", G_MAXUINT64);

  function->reset = vfio_tree_exists (tree, reset);
  if (methods != NULL)
    {
      g_auto (GStrv) words = g_strsplit_set (methods, " \t", 16);
      g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

      for (guint i = 0; words[i] != NULL; i++)
        if (*words[i] != '\0')
          g_strv_builder_add (builder, words[i]);
      function->reset_methods = g_strv_builder_end (builder);
    }
  function->power_state = read_in (tree, function, "power_state");
  function->runtime_status = read_in (tree, function, "power/runtime_status");
  function->d3cold_allowed = d3cold == G_MAXUINT64 ? -1 : d3cold != 0;
}

static void
read_parts (VfioTree *tree, VfioFunction *function)
{
  g_autofree char *physfn = path_in (function, "physfn");
  g_autofree char *of = vfio_tree_read_link_name (tree, physfn);

  function->is_vf = of != NULL && vfio_address_parse (of, &function->physfn);
  function->sriov_total = (guint)MIN (number_in (tree, function, "sriov_totalvfs", 0), 65535);
  function->sriov_on = (guint)MIN (number_in (tree, function, "sriov_numvfs", 0), 65535);
  host_mediated_read (tree, function);
}

static void
read_parent (VfioTree *tree, VfioFunction *function)
{
  g_auto (GStrv) parts = NULL;
  guint n;

  function->real_path = vfio_tree_resolve (tree, function->path);
  if (function->real_path == NULL)
    function->real_path = g_strdup (function->path);
  parts = g_strsplit (function->real_path, "/", -1);
  n = g_strv_length (parts);
  function->has_parent = n >= 2 && vfio_address_parse (parts[n - 2], &function->parent);
}

static void
node_free (gpointer data)
{
  VfioNode *node = data;

  g_free (node->name);
  g_free (node);
}

static void
holder_free (gpointer data)
{
  VfioHolder *holder = data;

  g_free (holder->name);
  g_free (holder->node);
  g_free (holder);
}

static void
connector_free (gpointer data)
{
  VfioConnector *connector = data;

  g_free (connector->name);
  g_free (connector);
}

static void
net_free (gpointer data)
{
  VfioNet *net = data;

  g_free (net->name);
  g_free (net);
}

static void
disk_free (gpointer data)
{
  VfioDisk *disk = data;

  g_free (disk->name);
  g_strfreev (disk->mounts);
  g_free (disk);
}

VfioFunction *
host_function_new (VfioTree *tree, VfioAddress address)
{
  VfioFunction *function = g_new0 (VfioFunction, 1);
  gint64 node;
  guint64 vga;
  g_autofree char *numa = NULL;

  function->address = address;
  vfio_address_format (address, function->id);
  function->path = g_strconcat ("/sys/bus/pci/devices/", function->id, NULL);
  function->connectors = g_ptr_array_new_with_free_func (connector_free);
  function->nodes = g_ptr_array_new_with_free_func (node_free);
  function->holders = g_ptr_array_new_with_free_func (holder_free);
  function->nets = g_ptr_array_new_with_free_func (net_free);
  function->disks = g_ptr_array_new_with_free_func (disk_free);

  function->vendor = (guint16)number_in (tree, function, "vendor", 0);
  function->device = (guint16)number_in (tree, function, "device", 0);
  function->subsystem_vendor = (guint16)number_in (tree, function, "subsystem_vendor", 0);
  function->subsystem_device = (guint16)number_in (tree, function, "subsystem_device", 0);
  function->class_code = (guint32)number_in (tree, function, "class", 0) & 0xffffff;
  function->revision = (guint8)number_in (tree, function, "revision", 0);
  numa = path_in (function, "numa_node");
  function->numa_node =
      vfio_tree_read_signed (tree, numa, &node) && node >= 0 && node < 4096 ? (int)node : -1;
  vga = number_in (tree, function, "boot_vga", G_MAXUINT64);
  function->boot_vga = vga == G_MAXUINT64 ? -1 : vga != 0;

  read_parent (tree, function);
  read_bars (tree, function);
  read_config (tree, function);
  read_driver (tree, function);
  read_power (tree, function);
  read_link (tree, function);
  read_parts (tree, function);
  return function;
}

void
host_function_free (gpointer data)
{
  VfioFunction *function = data;

  if (function == NULL)
    return;
  g_free (function->path);
  g_free (function->real_path);
  g_free (function->vendor_name);
  g_free (function->device_name);
  g_free (function->class_name);
  g_free (function->name);
  g_free (function->driver);
  g_free (function->driver_override);
  g_free (function->vfio_dev);
  g_strfreev (function->reset_methods);
  g_free (function->power_state);
  g_free (function->runtime_status);
  g_strfreev (function->framebuffers);
  g_free (function->drm_card);
  g_ptr_array_unref (function->connectors);
  g_ptr_array_unref (function->nodes);
  g_ptr_array_unref (function->holders);
  g_ptr_array_unref (function->nets);
  g_ptr_array_unref (function->disks);
  g_ptr_array_unref (function->mediated_types);
  g_ptr_array_unref (function->mediated);
  g_free (function);
}
