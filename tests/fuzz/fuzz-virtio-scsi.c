/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-scsi: a disk and a CD-ROM drive over back ends that answer at once, later, or with an
 * error, come and go and change, by the event bytes. */
#include "devices/virtio/scsi.h"

#include <errno.h>

#include "fuzz.h"
#include "tests/unit/devices/storage/fake-block.h"
#include "virtio.h"

typedef struct
{
  VmmDevice *device;
  FakeBlock disk, cd;
  BlockBackend *medium;
} Host;

static void
attach (Host *host, const char *name, guint target, guint lun, ScsiKind kind, FakeBlock *block)
{
  ScsiUnitOptions options = { .kind = kind, .backend = &block->parent, .serial = "FUZZ" };

  (void)virtio_scsi_attach (host->device, name, target, lun,
                            scsi_unit_new (virtio_scsi_get_worker (host->device), &options, NULL),
                            NULL);
}

static void
prepare (VmmDevice *device, gpointer user_data)
{
  Host *host = user_data;

  host->device = device;
  g_assert_true (vmm_device_set_uint (device, "num-queues", 2, NULL));
}

static void
event (guint8 byte, gpointer user_data)
{
  Host *host = user_data;
  BlockBackend *old;

  switch (byte & 7)
    {
    case 0:
      host->disk.result = host->cd.result = byte & 8 ? -EIO : 0;
      break;
    case 1:
      host->disk.hold = host->cd.hold = (byte & 8) != 0;
      break;
    case 2:
      fake_block_finish (&host->disk);
      fake_block_finish (&host->cd);
      break;
    case 3:
      attach (host, "disk", 1, 0, SCSI_KIND_DISK, &host->disk);
      break;
    case 4:
      attach (host, "cdrom", byte & 8 ? 1 : 2, 3, SCSI_KIND_CDROM, &host->cd);
      host->medium = &host->cd.parent;
      break;
    case 5:
      (void)virtio_scsi_detach (host->device, byte & 8 ? "disk" : "cdrom", NULL);
      break;
    case 6:
      (void)virtio_scsi_set_medium (host->device, "cdrom", byte & 8 ? NULL : &host->cd.parent,
                                    byte & 16, &old, NULL);
      break;
    default:
      host->disk.info.size = byte & 8 ? 512 * 10 : 512 * 64;
      (void)virtio_scsi_capacity_changed (host->device, "disk", NULL);
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree Host *host = g_new0 (Host, 1);

  fake_block_init (&host->disk, 64 * 512);
  fake_block_init (&host->cd, 16 * 2048);
  fuzz_virtio (data, size, &virtio_scsi_device_ops, 4, prepare, event, host);
  fake_block_clear (&host->disk);
  fake_block_clear (&host->cd);
  return 0;
}
