/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fake-kernel.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The test program's own calls stand before the C library's: each that changes the ledger counts. */
static guint kill_at, kill_count, kill_paused;

void
fake_kernel_set_kill (guint n)
{
  kill_at = n;
  kill_count = 0;
}

guint
fake_kernel_get_steps (void)
{
  return kill_count;
}

static void
step (void)
{
  if (kill_paused > 0)
    return;
  kill_count++;
  if (kill_at != 0 && kill_count == kill_at)
    {
      kill (getpid (), SIGKILL);
      for (;;)
        pause ();
    }
}

#define EXPORT __attribute__ ((visibility ("default")))

EXPORT int
renameat (int from_fd, const char *from, int to_fd, const char *to)
{
  step ();
  return (int)syscall (SYS_renameat2, from_fd, from, to_fd, to, 0);
}

EXPORT int
unlinkat (int fd, const char *name, int flags)
{
  step ();
  return (int)syscall (SYS_unlinkat, fd, name, flags);
}

EXPORT int
fsync (int fd)
{
  step ();
  return 0;
}

EXPORT ssize_t
write (int fd, const void *data, size_t length)
{
  step ();
  return (ssize_t)syscall (SYS_write, fd, data, length);
}

VfioAddress
fake_address (const char *text)
{
  VfioAddress address;

  g_assert_true (vfio_address_parse (text, &address));
  return address;
}

static char *
full (const char *root, const char *path)
{
  return g_build_filename (root, path, NULL);
}

static void
put (const char *root, const char *path, const char *text)
{
  g_autofree char *name = full (root, path), *parent = g_path_get_dirname (name);
  FILE *file;

  g_assert_cmpint (g_mkdir_with_parents (parent, 0755), ==, 0);
  file = fopen (name, "w");
  g_assert_nonnull (file);
  g_assert_cmpint (fputs (text, file), >=, 0);
  g_assert_cmpint (fclose (file), ==, 0);
}

static void
put_link (const char *root, const char *path, const char *target)
{
  g_autofree char *name = full (root, path), *parent = g_path_get_dirname (name);

  g_assert_cmpint (g_mkdir_with_parents (parent, 0755), ==, 0);
  g_unlink (name);
  g_assert_cmpint (symlink (target, name), ==, 0);
}

static gboolean there (const char *root, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
there (const char *root, const char *format, ...)
{
  va_list args;
  g_autofree char *path = NULL, *name = NULL;

  va_start (args, format);
  path = g_strdup_vprintf (format, args);
  va_end (args);
  name = full (root, path);
  return access (name, F_OK) == 0;
}

/* (transfer full) (nullable): without its newline. */
static char *
get (const char *root, const char *path)
{
  g_autofree char *name = full (root, path);
  char *text = NULL;

  return g_file_get_contents (name, &text, NULL, NULL) ? g_strchomp (text) : NULL;
}

static char *
device_path (const char *id, const char *name)
{
  return g_strdup_printf ("sys/devices/pci0000:00/%s/%s", id, name);
}

static char *
get_driver (const char *root, const char *id)
{
  g_autofree char *path = device_path (id, "driver"), *name = full (root, path);
  g_autofree char *target = g_file_read_link (name, NULL);

  return target != NULL ? g_path_get_basename (target) : NULL;
}

static char *
get_group (const char *root, const char *id)
{
  g_autofree char *path = device_path (id, "iommu_group"), *name = full (root, path);
  g_autofree char *target = g_file_read_link (name, NULL);

  return target != NULL ? g_path_get_basename (target) : NULL;
}

/* vfio makes a group's node with its first function and takes it away with the last. */
static void
update_group (const char *root, const char *id)
{
  g_autofree char *group = get_group (root, id), *class = NULL, *node = NULL, *numbers = NULL;
  g_autofree char *folder = NULL, *name = NULL;
  const char *member;
  gboolean any = FALSE;
  GDir *dir;

  if (group == NULL)
    return;
  folder = g_strdup_printf ("%s/sys/kernel/iommu_groups/%s/devices", root, group);
  dir = g_dir_open (folder, 0, NULL);
  while (dir != NULL && (member = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *driver = get_driver (root, member);

      any = any || g_strcmp0 (driver, "vfio-pci") == 0;
    }
  g_clear_pointer (&dir, g_dir_close);
  class = g_strdup_printf ("sys/class/vfio/%s/dev", group);
  node = g_strdup_printf ("dev/vfio/%s", group);
  name = full (root, node);
  if (any && !there (root, "%s", class))
    {
      numbers = g_strdup_printf ("242:%s\n", group);
      put (root, class, numbers);
      put (root, node, "0 0 600");
    }
  else if (!any)
    {
      g_autofree char *path = full (root, class), *parent = g_path_get_dirname (path);

      g_unlink (name);
      g_unlink (path);
      g_rmdir (parent);
    }
}

static void
set_driver (const char *root, const char *id, const char *driver)
{
  g_autofree char *path = device_path (id, "driver"), *name = full (root, path), *target = NULL;

  g_unlink (name);
  if (driver != NULL)
    {
      target = g_strconcat ("../../../bus/pci/drivers/", driver, NULL);
      put_link (root, path, target);
    }
  update_group (root, id);
}

/* 0, or what probe answers. */
static int
probe (const char *root, const char *driver, const char *id)
{
  g_autofree char *path = g_strdup_printf ("fake/refuse/%s/%s", driver, id);
  g_autofree char *problem = get (root, path), *group = get_group (root, id);

  if (problem != NULL)
    return -atoi (problem);
  if (strcmp (driver, "vfio-pci") == 0 && group == NULL)
    return -EINVAL;
  set_driver (root, id, driver);
  return 0;
}

/* pci_match_device: an override excludes everybody else, and is enough for its own. */
static gboolean
matches (const char *root, const char *driver, const char *id)
{
  g_autofree char *path = device_path (id, "driver_override"), *override = get (root, path);

  if (override != NULL && strcmp (override, "(null)") != 0)
    return strcmp (override, driver) == 0;
  return there (root, "fake/match/%s/%s", driver, id);
}

static int
do_probe (const char *root, const char *id)
{
  g_autofree char *driver = get_driver (root, id), *folder = full (root, "sys/bus/pci/drivers");
  const char *name;
  GDir *dir;

  if (!there (root, "sys/devices/pci0000:00/%s", id))
    return -ENODEV;
  if (driver != NULL)
    return 0;
  dir = g_dir_open (folder, 0, NULL);
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (matches (root, name, id) && probe (root, name, id) == 0)
      break;
  g_clear_pointer (&dir, g_dir_close);
  return 0; /* the kernel does not tell whether anybody took it */
}

static int
do_bind (const char *root, const char *driver, const char *id)
{
  g_autofree char *now = get_driver (root, id);

  if (!there (root, "sys/devices/pci0000:00/%s", id) || !matches (root, driver, id))
    return -ENODEV;
  return now != NULL ? -EBUSY : probe (root, driver, id);
}

static int
do_unbind (const char *root, const char *driver, const char *id)
{
  g_autofree char *now = get_driver (root, id);

  if (!there (root, "sys/devices/pci0000:00/%s", id) || g_strcmp0 (now, driver) != 0)
    return -ENODEV;
  set_driver (root, id, NULL);
  return 0;
}

/* Counts down; TRUE with the number that was asked for. */
static gboolean
count_down (const char *root, const char *name, char **ret_rest)
{
  g_autofree char *path = g_strconcat ("fake/", name, NULL), *text = get (root, path);
  g_autofree char *file = full (root, path);
  char *rest;
  guint64 n;

  if (text == NULL)
    return FALSE;
  n = g_ascii_strtoull (text, &rest, 10);
  if (n <= 1)
    {
      g_unlink (file);
      *ret_rest = g_strdup (g_strchug (rest));
      return TRUE;
    }
  else
    {
      g_autofree char *next = g_strdup_printf ("%" G_GUINT64_FORMAT "%s", n - 1, rest);

      put (root, path, next);
      return FALSE;
    }
}

static void
vanish (const char *root, const char *id)
{
  g_autofree char *group = get_group (root, id);
  g_autofree char *link = g_strdup_printf ("%s/sys/bus/pci/devices/%s", root, id);
  g_autofree char *member =
      g_strdup_printf ("%s/sys/kernel/iommu_groups/%s/devices/%s", root, group, id);
  g_autofree char *folder = g_strdup_printf ("%s/sys/devices/pci0000:00/%s", root, id);
  const char *argv[] = { "rm", "-rf", folder, link, member, NULL };

  set_driver (root, id, NULL);
  g_assert_true (g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
}

static int
kernel_write (const char *root, const char *path, const char *value)
{
  g_autofree char *word = g_strchomp (g_strdup (value)), *rest = NULL, *gone = NULL;
  g_auto (GStrv) parts = g_strsplit (path + 1, "/", 0);
  guint n = g_strv_length (parts);

  if (count_down (root, "vanish", &gone))
    vanish (root, gone);
  if (count_down (root, "fail", &rest))
    return -atoi (rest);
  if (!g_str_has_prefix (path, "/sys/") || !there (root, "%s", path))
    return -ENOENT;
  if (n == 6 && strcmp (parts[5], "driver_override") == 0)
    {
      g_autofree char *file = device_path (parts[4], "driver_override");
      g_autofree char *text = g_strconcat (word[0] != 0 ? word : "(null)", "\n", NULL);

      put (root, file, text);
      return 0;
    }
  if (strcmp (path, "/sys/bus/pci/drivers_probe") == 0)
    return do_probe (root, word);
  if (n == 6 && strcmp (parts[5], "bind") == 0)
    return do_bind (root, parts[4], word);
  if (n == 6 && strcmp (parts[5], "unbind") == 0)
    return do_unbind (root, parts[4], word);
  g_error ("The kernel was written to at %s", path);
}

static int
fake_write (VfioTree *tree, const char *path, const char *value)
{
  int result;

  step ();
  kill_paused++;
  result = kernel_write (vfio_tree_get_root (tree), path, value);
  kill_paused--;
  step ();
  return result;
}

/* A node is a file with "uid gid mode" in it: making real ones takes root. */
static int
fake_set_owner (VfioTree *tree,
                const char *path,
                guint major,
                guint minor,
                guint32 from,
                const VfioNodeOwner *to,
                VfioNodeOwner *ret_before)
{
  const char *root = vfio_tree_get_root (tree);
  g_autofree char *name = full (root, path), *text = NULL;

  g_assert_true (g_str_has_prefix (path, "/dev/vfio/"));
  if (g_file_test (name, G_FILE_TEST_IS_SYMLINK) || major != 242)
    return -ENODEV;
  text = get (root, path);
  if (text == NULL || minor != (guint)atoi (strrchr (path, '/') + 1) ||
      sscanf (text, "%u %u %o", &ret_before->uid, &ret_before->gid, &ret_before->mode) != 3)
    return -ENODEV;
  if (from != G_MAXUINT32 && ret_before->uid != from)
    return -EPERM;
  if (to != NULL)
    {
      g_autofree char *next = g_strdup_printf (
          "%u %u %o", to->uid, to->gid == G_MAXUINT32 ? ret_before->gid : to->gid, to->mode);

      step ();
      kill_paused++;
      put (root, path, next);
      kill_paused--;
      step ();
    }
  return 0;
}

const VfioBindOps fake_kernel_ops = { .write = fake_write, .set_owner = fake_set_owner };

static void
add_driver (const char *root, const char *name)
{
  static const char *const files[] = { "bind", "unbind", "new_id" };

  for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_strdup_printf ("sys/bus/pci/drivers/%s/%s", name, files[i]);

      put (root, path, "");
    }
}

/* driver, group: (nullable) */
static void
add_function (const char *root,
              const char *id,
              guint32 ids,
              guint32 class_code,
              const char *driver,
              const char *group)
{
  g_autofree char *vendor = g_strdup_printf ("0x%04x\n", ids >> 16);
  g_autofree char *device = g_strdup_printf ("0x%04x\n", ids & 0xffff);
  g_autofree char *class = g_strdup_printf ("0x%06x\n", class_code);
  g_autofree char *link = g_strconcat ("sys/bus/pci/devices/", id, NULL);
  g_autofree char *target = g_strconcat ("../../../devices/pci0000:00/", id, NULL);
  g_autofree char *config = device_path (id, "config"), *name = full (root, config);
  guint8 bytes[64] = { (guint8)(ids >> 16), (guint8)(ids >> 24), (guint8)ids, (guint8)(ids >> 8) };
  const struct
  {
    const char *name, *text;
  } files[] = { { "vendor", vendor },
                { "device", device },
                { "class", class },
                { "driver_override", "(null)\n" } };

  for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = device_path (id, files[i].name);

      put (root, path, files[i].text);
    }
  bytes[9] = (guint8)class_code;
  bytes[10] = (guint8)(class_code >> 8);
  bytes[11] = (guint8)(class_code >> 16);
  bytes[14] = class_code >> 8 == 0x0604 ? 1 : 0;
  g_assert_true (g_file_set_contents (name, (char *)bytes, sizeof bytes, NULL));
  put_link (root, link, target);
  if (group != NULL)
    {
      g_autofree char *path = device_path (id, "iommu_group");
      g_autofree char *to = g_strconcat ("../../../kernel/iommu_groups/", group, NULL);
      g_autofree char *member =
          g_strdup_printf ("sys/kernel/iommu_groups/%s/devices/%s", group, id);
      g_autofree char *device_link = g_strconcat ("../../../../devices/pci0000:00/", id, NULL);

      put_link (root, path, to);
      put_link (root, member, device_link);
    }
  if (driver != NULL)
    {
      g_autofree char *match = g_strdup_printf ("fake/match/%s/%s", driver, id);

      put (root, match, "");
      set_driver (root, id, driver);
    }
}

void
fake_kernel_open (FakeKernel *kernel, const char *root)
{
  g_autofree char *folder = g_strconcat (root, BIND_LEDGER_FOLDER, NULL);
  g_autoptr (GError) error = NULL;

  kernel->root = g_strdup (root);
  kernel->tree = vfio_tree_open (root, &error);
  g_assert_no_error (error);
  kernel->ledger = vfio_ledger_open (folder, TRUE, &error);
  g_assert_no_error (error);
  kernel->host = (VfioBindHost){ kernel->tree, kernel->ledger, &fake_kernel_ops };
}

void
fake_kernel_init (FakeKernel *kernel)
{
  static const char *const drivers[] = { "ahci",     "amdgpu",        "e1000e",   "nvme",
                                         "pcieport", "snd_hda_intel", "vfio-pci", "xhci_hcd" };
  /* In RAM where that can be had: thousands of small files. */
  const char *base = access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir ();
  g_autofree char *root = g_mkdtemp (g_strconcat (base, "/alcove-bind-XXXXXX", NULL));
  g_autofree char *run = full (root, "run");

  for (gsize i = 0; i < G_N_ELEMENTS (drivers); i++)
    add_driver (root, drivers[i]);
  put (root, "sys/bus/pci/drivers_probe", "");
  put (root, "proc/sys/kernel/random/boot_id", "5d9c7a4e-0000-4000-8000-000000000001\n");
  put (root, "proc/cmdline", "quiet\n");
  put (root, "sys/module/vfio_pci/parameters/ids", "\n");
  put_link (root, "sys/class/iommu/ivhd0", "../../devices/virtual/iommu/ivhd0");
  g_assert_cmpint (g_mkdir (run, 0755), ==, 0);
  add_function (root, "0000:00:00.0", 0x808629c0, 0x060000, NULL, "0");
  add_function (root, "0000:00:01.0", 0x1b36000c, 0x060400, "pcieport", "1");
  add_function (root, FAKE_GPU, 0x100273bf, 0x030000, "amdgpu", "13");
  add_function (root, FAKE_SOUND, 0x1002ab28, 0x040300, "snd_hda_intel", "13");
  add_function (root, FAKE_NVME, 0x144da808, 0x010802, "nvme", "14");
  add_function (root, FAKE_NET, 0x808610d3, 0x020000, "e1000e", "15");
  add_function (root, FAKE_USB, 0x1912001f, 0x0c0330, "xhci_hcd", "16");
  add_function (root, FAKE_SATA, 0x1b4b9230, 0x010601, "ahci", "16");
  add_function (root, FAKE_PLAIN, 0x13a80154, 0x070002, NULL, "17");
  add_function (root, FAKE_VFIO, 0x10de1eb8, 0x030200, NULL, "18");
  put (root, "sys/devices/pci0000:00/" FAKE_VFIO "/driver_override", "vfio-pci\n");
  set_driver (root, FAKE_VFIO, "vfio-pci");
  fake_kernel_open (kernel, root);
}

void
fake_kernel_close (FakeKernel *kernel)
{
  g_clear_pointer (&kernel->ledger, vfio_ledger_free);
  g_clear_pointer (&kernel->tree, vfio_tree_free);
  g_clear_pointer (&kernel->root, g_free);
}

void
fake_kernel_clear (FakeKernel *kernel)
{
  const char *argv[] = { "rm", "-rf", kernel->root, NULL };

  g_assert_true (g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
  fake_kernel_close (kernel);
}

void
fake_kernel_put (FakeKernel *kernel, const char *path, const char *text)
{
  put (kernel->root, path, text);
}

void
fake_kernel_remove (FakeKernel *kernel, const char *path)
{
  g_autofree char *name = full (kernel->root, path);

  g_assert_cmpint (g_remove (name), ==, 0);
}

void
fake_kernel_link (FakeKernel *kernel, const char *path, const char *target)
{
  put_link (kernel->root, path, target);
}

void
fake_kernel_refuse (FakeKernel *kernel, const char *driver, const char *id, int problem)
{
  g_autofree char *path = g_strdup_printf ("fake/refuse/%s/%s", driver, id);
  g_autofree char *text = g_strdup_printf ("%d\n", problem);

  if (problem != 0)
    put (kernel->root, path, text);
  else
    fake_kernel_remove (kernel, path);
}

void
fake_kernel_fail (FakeKernel *kernel, guint n, int problem)
{
  g_autofree char *text = g_strdup_printf ("%u %d\n", n, problem);

  put (kernel->root, "fake/fail", text);
}

void
fake_kernel_vanish (FakeKernel *kernel, guint n, const char *id)
{
  g_autofree char *text = g_strdup_printf ("%u %s\n", n, id);

  put (kernel->root, "fake/vanish", text);
}

void
fake_kernel_add_process (FakeKernel *kernel, guint pid, const char *name, const char *node)
{
  g_autofree char *comm = g_strdup_printf ("proc/%u/comm", pid);
  g_autofree char *fd = g_strdup_printf ("proc/%u/fd/7", pid);
  g_autofree char *text = g_strconcat (name, "\n", NULL);
  g_autofree char *target = g_strconcat ("/dev/", node, NULL);

  put (kernel->root, comm, text);
  put_link (kernel->root, fd, target);
}

char *
fake_kernel_dup_driver (FakeKernel *kernel, const char *id)
{
  return get_driver (kernel->root, id);
}

char *
fake_kernel_dup_node (FakeKernel *kernel, const char *name)
{
  g_autofree char *path = g_strconcat ("dev/vfio/", name, NULL);

  return get (kernel->root, path);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *
list (const char *folder)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  GDir *dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (names, g_strdup (name));
  g_clear_pointer (&dir, g_dir_close);
  g_ptr_array_sort (names, compare_names);
  return names;
}

static void
append (GString *state, const char *root, const char *path)
{
  g_autofree char *folder = full (root, path);
  g_autoptr (GPtrArray) names = list (folder);

  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *below = g_strconcat (path, "/", g_ptr_array_index (names, i), NULL);
      g_autofree char *name = full (root, below);
      g_autofree char *target = g_file_read_link (name, NULL), *text = NULL;

      if (target != NULL)
        g_string_append_printf (state, "%s -> %s\n", below, target);
      else if (g_file_test (name, G_FILE_TEST_IS_DIR))
        append (state, root, below);
      else
        {
          text = get (root, below);
          g_string_append_printf (state, "%s: %s\n", below, text);
        }
    }
}

char *
fake_kernel_dup_state (FakeKernel *kernel)
{
  GString *state = g_string_new (NULL);

  append (state, kernel->root, "sys");
  append (state, kernel->root, "dev");
  return g_string_free (state, FALSE);
}

char *
fake_kernel_dup_ledger (FakeKernel *kernel)
{
  GString *all = g_string_new (NULL);
  g_autoptr (GPtrArray) names = list (vfio_ledger_get_folder (kernel->ledger));

  for (guint i = 0; i < names->len; i++)
    if (strcmp (g_ptr_array_index (names, i), ".lock") != 0)
      g_string_append_printf (all, "%s%s", all->len > 0 ? " " : "",
                              (char *)g_ptr_array_index (names, i));
  return g_string_free (all, FALSE);
}
