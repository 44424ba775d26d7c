/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What both ways have in common: following guest memory, and saying why it cannot be done. */
#include "vfio/device/container-private.h"

#include <errno.h>
#include <sys/resource.h>

VfioContainer *
vfio_container_new (VmmMachine *machine, VfioKernel *kernel, VfioWay way)
{
  VfioContainer *container = g_new0 (VfioContainer, 1);

  container->machine = machine;
  container->kernel = kernel;
  container->wanted = way;
  container->fd = -1;
  container->ranges = g_array_new (FALSE, TRUE, sizeof (VfioRange));
  container->peers = vfio_container_new_peers ();
  container->groups = g_array_new (FALSE, TRUE, sizeof (VfioOpenGroup));
  g_mutex_init (&container->lock);
  return container;
}

void
vfio_container_free (VfioContainer *container)
{
  if (container == NULL)
    return;
  g_assert (container->n_devices == 0 && container->fd < 0);
  g_array_unref (container->ranges);
  g_array_unref (container->peers);
  g_array_unref (container->groups);
  g_mutex_clear (&container->lock);
  g_free (container);
}

VfioKernel *
vfio_container_get_kernel (VfioContainer *container)
{
  return container->kernel;
}

VmmMachine *
vfio_container_get_machine (VfioContainer *container)
{
  return container->machine;
}

VfioWay
vfio_container_get_way (VfioContainer *container)
{
  return container->ops == &vfio_way_groups    ? VFIO_WAY_GROUPS
         : container->ops == &vfio_way_iommufd ? VFIO_WAY_IOMMUFD
                                               : VFIO_WAY_AUTO;
}

guint64
vfio_container_get_n_mapped (VfioContainer *container)
{
  guint64 n;

  g_mutex_lock (&container->lock);
  n = container->n_mapped;
  g_mutex_unlock (&container->lock);
  return n;
}

gboolean
vfio_container_set_missing_error (GError **error, const char *path, const char *name)
{
  /* A mediated device has no other name. */
  if (g_uuid_string_is_valid (name))
    g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND,
                 "There is no virtual device %s on this computer: they do not outlive a restart. "
                 "Make it again (alcove pci list shows which kinds there are), or give the machine "
                 "another one",
                 name);
  else
    g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND,
                 "%s is not ready for passing through: %s is not there. Bind it to vfio-pci first "
                 "(alcove pci bind)",
                 name, path);
  return FALSE;
}

gboolean
vfio_container_set_open_error (GError **error, int r, const char *path, const char *name)
{
  switch (r)
    {
    case -EACCES:
    case -EPERM:
      /* One node for everybody: no device's owner gets it. */
      if (g_str_equal (path, CONTAINER_IOMMU_PATH))
        g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                     "You may not open " CONTAINER_IOMMU_PATH
                     ", which this kernel needs for %s: install "
                     "Alcove's udev rule (70-alcove-vfio.rules), restart the computer, and be a "
                     "member of the group kvm, as for /dev/kvm",
                     name);
      /* Nobody takes a virtual device from a driver, so nothing hands its file out either. */
      else if (g_uuid_string_is_valid (name))
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_PERMISSION,
            "You may not open %s, which the virtual device %s needs: give yourself the right "
            "to it (sudo chown), or start the machine as a user who has it",
            path, name);
      else
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_PERMISSION,
            "You may not open %s, which %s needs: give yourself the right to it (alcove pci "
            "bind does), or start the machine as a user who has it",
            path, name);
      break;
    case -EBUSY:
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "%s is in use by another program (%s is open there): another machine may have "
                   "it; stop that first",
                   name, path);
      break;
    case -ENOENT:
    case -ENODEV:
      return vfio_container_set_missing_error (error, path, name);
    default:
      vmm_error_set_errno (error, r, "Cannot open %s for %s", path, name);
    }
  return FALSE;
}

char *
vfio_container_describe_mates (VfioContainer *container, const char *sysfs)
{
  g_autofree char *folder = g_build_filename (sysfs, "iommu_group", "devices", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_autoptr (GString) text = g_string_new (NULL);
  const char *mate;

  while (dir != NULL && (mate = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, mate, "driver", NULL);
      g_autofree char *driver = container->kernel->ops->read_link (container->kernel, path);

      if (driver == NULL || g_str_equal (driver, "vfio-pci") || g_str_equal (driver, "pcieport") ||
          g_str_equal (driver, "pci-stub"))
        continue;
      g_string_append_printf (text, "%s%s (in use by “%s”)", text->len > 0 ? ", " : "", mate,
                              driver);
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

gboolean
vfio_container_set_token_error (
    VfioContainer *container, const char *sysfs, const char *name, gboolean given, GError **error)
{
  g_autofree char *link = g_build_filename (sysfs, "physfn", NULL);
  g_autofree char *whole = container->kernel->ops->read_link (container->kernel, link);

  if (given)
    g_set_error (
        error, VMM_ERROR, VMM_ERROR_PERMISSION,
        "%s cannot be opened: its vf-token= is not the one of the program that has %s. Ask "
        "for the UUID that was given to that program",
        name, whole != NULL ? whole : "the whole device");
  else
    g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                 "%s is a part of %s, which another program has: give it vf-token= with the UUID "
                 "that was given to that program",
                 name, whole != NULL ? whole : "a device");
  return FALSE;
}

void
vfio_container_tell_accel (VfioContainer *container, int fd, gboolean add)
{
  VmmAccel *accel = vmm_machine_get_accel (container->machine);

  if (accel->ops->set_vfio != NULL)
    (void)accel->ops->set_vfio (accel, fd, add);
}

/* ---- the guest's memory ---- */

static gboolean
is_dma_memory (VmmMapping *mapping)
{
  return (vmm_ram_block_get_flags (vmm_mapping_get_block (mapping)) &
          (VMM_RAM_DEVICE | VMM_RAM_IO)) == 0;
}

gboolean
vfio_container_is_reachable (VfioContainer *container, guint64 first, guint64 last)
{
  if (container->ranges->len == 0)
    return TRUE;
  for (guint i = 0; i < container->ranges->len; i++)
    {
      const VfioRange *range = &g_array_index (container->ranges, VfioRange, i);

      if (first >= range->start && last <= range->last)
        return TRUE;
    }
  return FALSE;
}

typedef struct
{
  guint64 bytes;
} Sum;

static void
add_ram (VmmMapping *mapping, gpointer user_data)
{
  Sum *sum = user_data;

  if (is_dma_memory (mapping))
    sum->bytes += vmm_mapping_get_length (mapping);
}

static gboolean
set_map_error (VfioContainer *container, VmmMapping *mapping, int r, GError **error)
{
  guint64 gpa = vmm_mapping_get_gpa (mapping).value, length = vmm_mapping_get_length (mapping);
  struct rlimit limit = { 0 };

  /* ENOSPC is the kernel's limit on their number, not a disk's. */
  if (r == -ENOSPC)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NO_MEMORY,
                   "The host keeps no more parts of memory mapped for one machine, and the part at "
                   "0x%" G_GINT64_MODIFIER "x is still missing: raise "
                   "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit (it is 65535 unless "
                   "somebody lowered it)",
                   gpa);
      return FALSE;
    }
  if (r != -ENOMEM)
    return vmm_error_set_errno (
        error, r,
        "Cannot give the device the machine's memory at 0x%" G_GINT64_MODIFIER
        "x (%" G_GUINT64_FORMAT " MiB)",
        gpa, length >> 20);
  (void)getrlimit (RLIMIT_MEMLOCK, &limit);
  if (limit.rlim_cur == RLIM_INFINITY)
    g_set_error (error, VMM_ERROR, VMM_ERROR_NO_MEMORY,
                 "A device that is passed through needs all of the machine's memory at hand, and "
                 "this computer could not keep %" G_GUINT64_FORMAT " MiB more. Give the machine "
                 "less memory or close other programs",
                 length >> 20);
  else
    {
      guint64 needed = MAX (container->n_ram, container->n_mapped + length);

      /* iommufd counts what a user has locked, not what a process has. */
      g_set_error (
          error, VMM_ERROR, VMM_ERROR_NO_MEMORY,
          "A device that is passed through needs all of the machine's memory locked: "
          "%" G_GUINT64_FORMAT " MiB, and your limit is "
          "%" G_GUINT64_FORMAT " MiB%s. Raise the limit (RLIMIT_MEMLOCK: alcove pci bind does, "
          "or a line in /etc/security/limits.d), or give the machine less memory",
          needed >> 20, (guint64)limit.rlim_cur >> 20,
          needed <= limit.rlim_cur ? ", part of which your other machines have locked" : "");
    }
  return FALSE;
}

/* Each mapping is one entry of the IOMMU's table, so that it can go alone: a machine has a few. */
static gboolean
on_map (gpointer user_data, VmmMapping *mapping, GError **error)
{
  VfioContainer *container = user_data;
  guint64 gpa = vmm_mapping_get_gpa (mapping).value, length = vmm_mapping_get_length (mapping);
  gboolean ok;
  int r = 0;

  if (!is_dma_memory (mapping))
    {
      vfio_container_map_peer (container, mapping);
      return TRUE;
    }
  g_mutex_lock (&container->lock);
  ok = vfio_container_is_reachable (container, gpa, gpa + length - 1);
  if (ok)
    {
      r = container->ops->map (container, gpa,
                               vmm_ram_block_get_data (vmm_mapping_get_block (mapping)) +
                                   vmm_mapping_get_offset (mapping),
                               length);
      if (r >= 0)
        container->n_mapped += length;
      else
        ok = set_map_error (container, mapping, r, error);
    }
  else
    {
      const VfioRange *last =
          &g_array_index (container->ranges, VfioRange, container->ranges->len - 1);

      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "The machine's memory from 0x%" G_GINT64_MODIFIER "x to 0x%" G_GINT64_MODIFIER
                   "x lies where this computer's IOMMU cannot take a device (it reaches up to "
                   "0x%" G_GINT64_MODIFIER "x, less what firmware reserves). Give the machine less "
                   "memory",
                   gpa, gpa + length - 1, last->last);
    }
  g_mutex_unlock (&container->lock);
  return ok;
}

static void
on_unmap (gpointer user_data, VmmMapping *mapping)
{
  VfioContainer *container = user_data;
  guint64 length = vmm_mapping_get_length (mapping);

  if (!is_dma_memory (mapping))
    {
      vfio_container_unmap_peer (container, mapping);
      return;
    }
  g_mutex_lock (&container->lock);
  if (container->ops->unmap (container, vmm_mapping_get_gpa (mapping).value, length) >= 0)
    container->n_mapped -= MIN (length, container->n_mapped);
  g_mutex_unlock (&container->lock);
}

/* What a device writes is in no log, which is one reason why such a machine is not saved. */
static int
on_sync_dirty (gpointer user_data, VmmMapping *mapping)
{
  return is_dma_memory (mapping) ? -EOPNOTSUPP : 0;
}

static const VmmMemoryListener listener = {
  .map = on_map,
  .unmap = on_unmap,
  .sync_dirty = on_sync_dirty,
};

/* As much of the limit as this process may take by itself. Whether it is enough the kernel says,
 * which knows what other rights we have. */
static void
raise_memlock (VfioContainer *container)
{
  struct rlimit limit;
  Sum sum = { 0 };

  vmm_guest_memory_foreach (vmm_machine_get_memory (container->machine), add_ram, &sum);
  container->n_ram = sum.bytes;
  if (getrlimit (RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
      limit.rlim_cur >= limit.rlim_max)
    return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit (RLIMIT_MEMLOCK, &limit);
}

/* A further device may reach less than those before it. */
typedef struct
{
  VfioContainer *container;
  guint64 first, last;
  gboolean found;
} Outside;

static void
find_outside (VmmMapping *mapping, gpointer user_data)
{
  Outside *outside = user_data;
  guint64 gpa = vmm_mapping_get_gpa (mapping).value;
  guint64 last = gpa + vmm_mapping_get_length (mapping) - 1;

  if (outside->found || !is_dma_memory (mapping) ||
      vfio_container_is_reachable (outside->container, gpa, last))
    return;
  outside->first = gpa;
  outside->last = last;
  outside->found = TRUE;
}

static gboolean
check_reach (VfioContainer *container, const char *name, GError **error)
{
  Outside outside = { .container = container };

  vmm_guest_memory_foreach (vmm_machine_get_memory (container->machine), find_outside, &outside);
  if (!outside.found)
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
               "%s cannot reach the machine's memory from 0x%" G_GINT64_MODIFIER
               "x to 0x%" G_GINT64_MODIFIER "x: this computer's firmware reserves a part of it, or "
               "the IOMMU is not wide enough. Give the machine less memory",
               name, outside.first, outside.last);
  return FALSE;
}

static const VfioWayOps *
choose (VfioContainer *container, const char *sysfs)
{
  g_autofree char *folder = g_build_filename (sysfs, "vfio-dev", NULL);
  g_autofree char *device = NULL;
  int fd;

  if (container->wanted == VFIO_WAY_GROUPS)
    return &vfio_way_groups;
  if (container->wanted == VFIO_WAY_IOMMUFD)
    return &vfio_way_iommufd;
  /* Both are there on newer kernels. The older one is known to all of them; the newer one is taken
   * where the kernel was built without it. */
  fd = container->kernel->ops->open (container->kernel, "/dev/vfio/vfio");
  if (fd >= 0)
    {
      container->kernel->ops->close (container->kernel, fd);
      return &vfio_way_groups;
    }
  device = container->kernel->ops->find_name (container->kernel, folder, "vfio");
  return device != NULL ? &vfio_way_iommufd : &vfio_way_groups;
}

static void
release (VfioContainer *container)
{
  if (container->n_devices > 0)
    return;
  if (container->listening)
    vmm_guest_memory_remove_listener (vmm_machine_get_memory (container->machine), container);
  container->listening = FALSE;
}

gboolean
vfio_container_open (VfioContainer *container,
                     const char *sysfs,
                     const char *name,
                     const char *vf_token,
                     VfioOpen *ret_open,
                     GError **error)
{
  gboolean ok;

  if (container->ops == NULL)
    container->ops = choose (container, sysfs);
  if (!container->ops->open (container, sysfs, name, vf_token, ret_open, error))
    {
      if (container->n_devices == 0)
        container->ops = NULL;
      return FALSE;
    }
  container->n_devices++;
  g_mutex_lock (&container->lock);
  g_array_set_size (container->ranges, 0);
  ok = container->ops->read_ranges (container, error);
  g_mutex_unlock (&container->lock);
  if (!ok)
    g_prefix_error (error, "%s: ", name);
  else if (container->listening)
    ok = check_reach (container, name, error);
  else
    {
      raise_memlock (container);
      ok = container->listening = vmm_guest_memory_add_listener (
          vmm_machine_get_memory (container->machine), &listener, container, error);
      if (!ok)
        g_prefix_error (error, "%s: ", name);
    }
  if (!ok)
    vfio_container_close (container, ret_open);
  return ok;
}

void
vfio_container_close (VfioContainer *container, const VfioOpen *open)
{
  container->n_devices--;
  release (container);
  container->ops->close (container, open);
  if (container->n_devices > 0)
    return;
  container->ops->finish (container);
  container->ops = NULL;
}

int
vfio_container_get_group_fds (
    VfioContainer *container, const int *groups, guint n_groups, gint32 *ret_fds, guint max)
{
  guint n = 0;

  for (guint i = 0; i < n_groups; i++)
    {
      int fd = -1;

      for (guint j = 0; j < container->groups->len; j++)
        if (g_array_index (container->groups, VfioOpenGroup, j).number == groups[i])
          fd = g_array_index (container->groups, VfioOpenGroup, j).fd;
      if (fd < 0)
        return -ENOENT;
      for (guint j = 0; j < n && fd >= 0; j++)
        if (ret_fds[j] == fd)
          fd = -1; /* there already */
      if (fd < 0)
        continue;
      if (n == max)
        return -E2BIG;
      ret_fds[n++] = fd;
    }
  return (int)n;
}
