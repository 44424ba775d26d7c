/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the devices of a machine reach of each other (P2P): BARs of one in the address space of DMA, at
 * the guest's addresses. They come and go as the guest places them. Nobody depends on it: what the
 * IOMMU or the kernel does not take (iommufd takes none) is counted, and drivers find out. Each page of
 * a large BAR costs time at its mapping, so it is a choice. */
#include "vfio/device/container-private.h"

typedef struct
{
  guint64 gpa, length;
} Peer;

static gboolean
is_register (VmmMapping *mapping)
{
  return (vmm_ram_block_get_flags (vmm_mapping_get_block (mapping)) & VMM_RAM_IO) != 0;
}

void
vfio_container_map_peer (VfioContainer *container, VmmMapping *mapping)
{
  Peer peer = { vmm_mapping_get_gpa (mapping).value, vmm_mapping_get_length (mapping) };

  if (!container->p2p || !is_register (mapping))
    return;
  g_mutex_lock (&container->lock);
  if (vfio_container_is_reachable (container, peer.gpa, peer.gpa + peer.length - 1) &&
      container->ops->map (container, peer.gpa,
                           vmm_ram_block_get_data (vmm_mapping_get_block (mapping)) +
                               vmm_mapping_get_offset (mapping),
                           peer.length) >= 0)
    g_array_append_val (container->peers, peer);
  else
    container->n_peers_failed++;
  g_mutex_unlock (&container->lock);
}

/* Before the device ends decoding. What was not mapped is not there. */
void
vfio_container_unmap_peer (VfioContainer *container, VmmMapping *mapping)
{
  guint64 gpa = vmm_mapping_get_gpa (mapping).value;

  if (!container->p2p || !is_register (mapping))
    return;
  g_mutex_lock (&container->lock);
  for (guint i = container->peers->len; i-- > 0;)
    {
      const Peer *peer = &g_array_index (container->peers, Peer, i);

      if (peer->gpa != gpa)
        continue;
      (void)container->ops->unmap (container, peer->gpa, peer->length);
      g_array_remove_index_fast (container->peers, i);
    }
  g_mutex_unlock (&container->lock);
}

void
vfio_container_set_p2p (VfioContainer *container, gboolean on)
{
  g_assert (container->n_devices == 0);
  container->p2p = on;
}

void
vfio_container_get_p2p (VfioContainer *container, VfioP2p *ret)
{
  g_mutex_lock (&container->lock);
  *ret = (VfioP2p){ .on = container->p2p, .n_failed = container->n_peers_failed };
  for (guint i = 0; i < container->peers->len; i++)
    ret->n_mapped += g_array_index (container->peers, Peer, i).length;
  g_mutex_unlock (&container->lock);
}

GArray *
vfio_container_new_peers (void)
{
  return g_array_new (FALSE, TRUE, sizeof (Peer));
}
