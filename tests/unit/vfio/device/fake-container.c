/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Groups in a container, as drivers/vfio (group.c, container.c) and vfio_iommu_type1.c of Linux answer. */
#include "fake-kernel-private.h"

#include <errno.h>
#include <string.h>

/* ---- mappings, for iommufd too ---- */

File *
fake_kernel_find_group (FakeKernel *fake, int group)
{
  for (guint i = 0; i < fake->fds->len; i++)
    {
      File *file = &g_array_index (fake->fds, File, i);

      if (file->kind == FILE_GROUP && file->group == group)
        return file;
    }
  return NULL;
}

FakeMap *
fake_kernel_find_map (FakeKernel *fake, guint32 ioas, guint64 first, guint64 last)
{
  for (guint i = 0; i < fake->maps->len; i++)
    {
      FakeMap *map = &g_array_index (fake->maps, FakeMap, i);

      if (map->ioas == ioas && map->iova <= last && map->iova + map->length - 1 >= first)
        return map;
    }
  return NULL;
}

guint64
fake_kernel_sum_maps (FakeKernel *fake)
{
  guint64 sum = 0;

  for (guint i = 0; i < fake->maps->len; i++)
    sum += g_array_index (fake->maps, FakeMap, i).length;
  return sum;
}

static gboolean
is_bar (FakeKernel *fake, gconstpointer address)
{
  for (guint i = 0; i < fake->bars->len; i++)
    {
      const FakeMap *bar = &g_array_index (fake->bars, FakeMap, i);

      if ((guintptr)address >= (guintptr)bar->address &&
          (guintptr)address - (guintptr)bar->address < bar->length)
        return TRUE;
    }
  return FALSE;
}

/* Registers of devices are no pages: vfio_iommu_type1 maps them without counting them against the
 * limit, iommufd (pin_user_pages) refuses. */
int
fake_kernel_add_map (FakeKernel *fake, FakeMap map, gboolean pinned)
{
  if (is_bar (fake, map.address))
    {
      if (fake->no_p2p || map.ioas != 0)
        return -EFAULT;
      pinned = FALSE;
    }
  if (pinned && fake->memlock != 0 && fake_kernel_sum_maps (fake) + map.length > fake->memlock)
    return -ENOMEM;
  g_array_append_val (fake->maps, map);
  return 0;
}

void
fake_kernel_remove_map (FakeKernel *fake, FakeMap *map)
{
  g_array_remove_index_fast (fake->maps, (guint)(map - (FakeMap *)(gpointer)fake->maps->data));
}

void
fake_kernel_drop_maps (FakeKernel *fake, guint32 ioas)
{
  for (guint i = fake->maps->len; i > 0; i--)
    if (g_array_index (fake->maps, FakeMap, i - 1).ioas == ioas)
      g_array_remove_index_fast (fake->maps, i - 1);
}

gboolean
fake_kernel_is_reachable (FakeKernel *fake, guint64 iova, guint64 length)
{
  for (guint i = 0; i < fake->n_ranges; i++)
    if (iova >= fake->ranges[i].start && iova + length - 1 <= fake->ranges[i].end)
      return TRUE;
  return FALSE;
}

/* ---- tokens ---- */

gboolean
fake_kernel_parse_token (const char *text, guint8 *ret_bytes)
{
  guint n = 0;

  if (!g_uuid_string_is_valid (text))
    return FALSE;
  for (; *text != '\0'; text++)
    if (*text != '-')
      {
        if (n % 2 == 0)
          ret_bytes[n / 2] = 0;
        ret_bytes[n / 2] = (guint8)(ret_bytes[n / 2] << 4 | (guint8)g_ascii_xdigit_value (*text));
        n++;
      }
  return TRUE;
}

int
fake_kernel_match_token (FakeFunction *function, const guint8 *token)
{
  guint8 wanted[16] = { 0 };

  if (function->token == NULL)
    return token == NULL ? 0 : -EINVAL;
  g_assert_true (fake_kernel_parse_token (function->token, wanted));
  return token != NULL && memcmp (token, wanted, sizeof wanted) == 0 ? 0 : -EACCES;
}

/* ---- containers ---- */

/* Any device that does DMA by itself: what it maps is pinned and limited. */
static gboolean
has_physical (FakeKernel *fake)
{
  for (guint i = 0; i < fake->n_functions; i++)
    if (!fake->functions[i]->emulated && fake_kernel_find_group (fake, fake->functions[i]->group))
      return TRUE;
  return FALSE;
}

/* VFIO_IOMMU_MAP_DMA, drivers/vfio/vfio_iommu_type1.c */
static int
map_dma (FakeKernel *fake, const struct vfio_iommu_type1_dma_map *map)
{
  const guint known = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE | VFIO_DMA_MAP_FLAG_VADDR;

  if (map->argsz < sizeof *map || (map->flags & ~known) != 0 ||
      (map->flags & (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)) == 0 || map->size == 0 ||
      ((map->iova | map->size | map->vaddr) & 0xfff) != 0 || map->iova + map->size - 1 < map->iova)
    return -EINVAL;
  if (fake_kernel_find_map (fake, 0, map->iova, map->iova + map->size - 1) != NULL)
    return -EEXIST;
  if (fake->no_entries)
    return -ENOSPC;
  if (has_physical (fake) && !fake_kernel_is_reachable (fake, map->iova, map->size))
    return -EINVAL;
  return fake_kernel_add_map (fake,
                              (FakeMap){ map->iova, map->size, (gpointer)(guintptr)map->vaddr, 0 },
                              has_physical (fake));
}

/* The mapping is never split; what is not there is no error. */
static int
unmap_dma (FakeKernel *fake, struct vfio_iommu_type1_dma_unmap *unmap)
{
  guint64 last = unmap->iova + unmap->size - 1, n = 0;
  FakeMap *map;

  if (unmap->argsz < sizeof *unmap || unmap->flags != 0 || unmap->size == 0 ||
      ((unmap->iova | unmap->size) & 0xfff) != 0 || last < unmap->iova)
    return -EINVAL;
  while ((map = fake_kernel_find_map (fake, 0, unmap->iova, last)) != NULL)
    {
      if (map->iova < unmap->iova || map->iova + map->length - 1 > last)
        return -EINVAL;
      n += map->length;
      fake_kernel_remove_map (fake, map);
    }
  unmap->size = n;
  return 0;
}

static int
get_iommu_info (FakeKernel *fake, struct vfio_iommu_type1_info *info)
{
  struct vfio_iommu_type1_info_cap_iova_range *cap;
  gsize size = sizeof *info + sizeof *cap + fake->n_ranges * sizeof cap->iova_ranges[0];

  info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
  info->iova_pgsizes = 0x1000;
  /* What emulates its device limits nothing. */
  if (!has_physical (fake))
    {
      info->flags = VFIO_IOMMU_INFO_PGSIZES;
      return 0;
    }
  g_assert_cmpuint (info->argsz, >=, size);
  info->cap_offset = sizeof *info;
  cap = (gpointer)((guint8 *)info + sizeof *info);
  cap->header = (struct vfio_info_cap_header){ VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, 0 };
  cap->nr_iovas = fake->n_ranges;
  for (guint i = 0; i < fake->n_ranges; i++)
    {
      cap->iova_ranges[i].start = fake->ranges[i].start;
      cap->iova_ranges[i].end = fake->ranges[i].end;
    }
  return 0;
}

int
fake_container_ioctl (FakeKernel *fake, File *file, gulong request, gpointer argument)
{
  switch (request)
    {
    case VFIO_GET_API_VERSION:
      return VFIO_API_VERSION;
    case VFIO_CHECK_EXTENSION:
      return (guintptr)argument == VFIO_TYPE1v2_IOMMU;
    case VFIO_SET_IOMMU:
      g_assert_cmpuint ((guintptr)argument, ==, VFIO_TYPE1v2_IOMMU);
      file->has_iommu = TRUE;
      return 0;
    case VFIO_IOMMU_GET_INFO:
      g_assert_true (file->has_iommu);
      return get_iommu_info (fake, argument);
    case VFIO_IOMMU_MAP_DMA:
      return file->has_iommu ? map_dma (fake, argument) : -EINVAL;
    case VFIO_IOMMU_UNMAP_DMA:
      return file->has_iommu ? unmap_dma (fake, argument) : -EINVAL;
    default:
      return -ENOTTY;
    }
}

/* vfio_pci_core_match: the name, and perhaps a token. Of other drivers (those that emulate) the name. */
static int
match (FakeKernel *fake, FakeFunction *function, const char *text)
{
  const char *rest = text + strlen (function->name);
  guint8 token[16] = { 0 };

  if (!g_str_has_prefix (text, function->name) || (*rest != '\0' && *rest != ' '))
    return -ENODEV;
  if (*rest == '\0')
    return function->emulated ? 0 : fake_kernel_match_token (function, NULL);
  if (function->emulated)
    return -ENODEV;
  if (!g_str_has_prefix (rest, " vf_token=") ||
      !fake_kernel_parse_token (rest + strlen (" vf_token="), token))
    return -EINVAL;
  return fake_kernel_match_token (function, token);
}

static int
get_device_fd (FakeKernel *fake, File *file, const char *text)
{
  if (!file->attached)
    return -EINVAL;
  for (guint i = 0; i < fake->n_functions; i++)
    {
      FakeFunction *function = fake->functions[i];
      int r = function->group == file->group && !function->vanished ? match (fake, function, text)
                                                                    : -ENODEV;

      if (r == -ENODEV)
        continue;
      if (r < 0)
        return r;
      g_assert_false (function->open);
      function->open = TRUE;
      return fake_kernel_new_file (fake, (File){ .kind = FILE_DEVICE, .function = function });
    }
  return -ENODEV;
}

int
fake_group_ioctl (FakeKernel *fake, File *file, gulong request, gpointer argument)
{
  switch (request)
    {
    case VFIO_GROUP_GET_STATUS:
      ((struct vfio_group_status *)argument)->flags =
          fake->not_viable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
      return 0;
    case VFIO_GROUP_SET_CONTAINER:
      g_assert_cmpint (fake_kernel_get_file (fake, *(gint32 *)argument)->kind, ==, FILE_CONTAINER);
      file->attached = TRUE;
      return 0;
    case VFIO_GROUP_UNSET_CONTAINER:
      g_assert_true (file->attached);
      file->attached = FALSE;
      return 0;
    case VFIO_GROUP_GET_DEVICE_FD:
      return get_device_fd (fake, file, argument);
    default:
      return -ENOTTY;
    }
}
