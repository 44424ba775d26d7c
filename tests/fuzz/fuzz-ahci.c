/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AHCI by bytes: registers, command lists, FISes and PRDs of any kind, ends of requests, resets,
 * plugging, pauses, change of medium. Port 0 has a hard disk, port 1 a CD-ROM drive. */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "tests/fuzz/fuzz-input.h"
#include "tests/unit/devices/storage/ahci-driver.h"
#include "tests/unit/devices/storage/fake-block.h"

#define DISK_SECTORS 256

typedef struct
{
  AhciDriver d;
  FakeBlock disk, medium;
  VmmDevice *drives[2];
} Fuzz;

static void
put_command (Fuzz *f, FuzzInput *in)
{
  guint place = fuzz_take (in, 1);
  guint port = place & 1, slot = (place >> 1) & 31;
  guint64 header = f->d.ports[port].clb + 32 * slot, table = ahci_driver_table (&f->d, port, slot);
  guint kind = fuzz_take (in, 1);
  guint8 fis[20] = { 0x27, 0x80 };

  fis[2] = fuzz_take (in, 1);
  fis[3] = fuzz_take (in, 1);
  fis[4] = fuzz_take (in, 1);
  fis[7] = 0x40;
  fis[12] = fuzz_take (in, 1);
  if (kind & 1) /* a tag that fits */
    {
      fis[3] = fis[12];
      fis[12] = slot << 3;
    }
  if (kind & 2)
    for (guint i = 0; i < sizeof fis; i++)
      fis[i] ^= fuzz_take (in, 1);
  harness_write (f->d.h, table, fis, sizeof fis);
  harness_write_le (f->d.h, header, 4, 5 | (kind & 4 ? 0x20 : 0) | fuzz_take (in, 1) % 8 << 16);
  harness_write_le (f->d.h, header + 8, 8, table);
  if (kind & 4)
    for (guint i = 0; i < 12; i++)
      harness_write_le (f->d.h, table + 0x40 + i, 1, fuzz_take (in, 1));
  if (kind & 8)
    harness_write_le (f->d.h, header + 4 * (fuzz_take (in, 1) % 8), 4, fuzz_take (in, 4));
}

static void
put_prd (Fuzz *f, FuzzInput *in)
{
  guint place = fuzz_take (in, 1), index = fuzz_take (in, 1);
  guint port = place & 1, slot = (place >> 1) & 31;
  guint64 address = f->d.ports[port].data + fuzz_take (in, 2) * 2;

  if (index & 0x80)
    address = fuzz_take (in, 8);
  ahci_driver_put_prd (&f->d, port, slot, index % 64, address,
                       fuzz_take (in, index & 0x40 ? 4 : 2));
}

static void
access_register (Fuzz *f, FuzzInput *in, gboolean write)
{
  guint where = fuzz_take (in, 2);
  guint64 address = AHCI_DRIVER_ABAR + where % 0x200;
  guint size = 1u << (where >> 14);

  if (write)
    harness_mmio_write (f->d.h, address, size, fuzz_take (in, size));
  else
    (void)harness_mmio_read (f->d.h, address, size);
}

static void
plug (Fuzz *f, guint port)
{
  if (f->drives[port] != NULL)
    {
      vmm_device_unrealize (f->drives[port]);
      g_clear_pointer (&f->drives[port], vmm_device_free);
      return;
    }
  f->drives[port] =
      ahci_driver_plug (&f->d, port == 0 ? &ahci_disk_device_ops : &ahci_cdrom_device_ops, port,
                        port == 0 ? &f->disk.parent : &f->medium.parent);
}

static void
step (Fuzz *f, FuzzInput *in)
{
  BlockBackend *old;
  guint byte;

  switch (fuzz_take (in, 1) % 12)
    {
    case 0:
    case 1:
      put_command (f, in);
      break;
    case 2:
      put_prd (f, in);
      break;
    case 3:
    case 4:
      byte = fuzz_take (in, 1);
      ahci_driver_issue (&f->d, byte & 1, 1u << (byte >> 1 & 31), fuzz_take (in, 4));
      if (byte & 0x40)
        harness_run (f->d.h);
      break;
    case 5:
      access_register (f, in, TRUE);
      break;
    case 6:
      access_register (f, in, FALSE);
      break;
    case 7:
      byte = fuzz_take (in, 1);
      f->disk.hold = f->medium.hold = byte & 1;
      f->disk.result = f->medium.result = byte & 2 ? -EIO : 0;
      if (f->disk.hold)
        break;
      fake_block_finish (&f->disk);
      fake_block_finish (&f->medium);
      break;
    case 8:
      ahci_driver_stop (&f->d, fuzz_take (in, 1) & 1);
      break;
    case 9:
      ahci_driver_start (&f->d, fuzz_take (in, 1) & 1);
      break;
    case 10:
      byte = fuzz_take (in, 1);
      if (byte < 32)
        plug (f, byte & 1);
      else if (byte < 64)
        harness_check_save_load (f->d.h);
      else if (byte < 96)
        {
          vmm_machine_reset_devices (f->d.h->machine, VMM_RESET_WARM);
          ahci_driver_set_bars (&f->d);
        }
      else if (f->drives[1] != NULL)
        (void)!ahci_cdrom_set_medium (f->drives[1], byte & 1 ? &f->medium.parent : NULL, byte & 2,
                                      &old, NULL);
      break;
    default:
      harness_run (f->d.h);
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree Fuzz *f = g_new0 (Fuzz, 1);
  FuzzInput in = { data, MIN (size, 4096) };

  fake_block_init (&f->disk, DISK_SECTORS * 512);
  ahci_driver_init (&f->d);
  fake_block_init (&f->medium, DISK_SECTORS * 512);
  f->medium.info.readonly = TRUE;
  plug (f, 0);
  plug (f, 1);
  ahci_driver_start (&f->d, 0);
  ahci_driver_start (&f->d, 1);
  while (in.left > 0)
    step (f, &in);
  ahci_driver_finish (&f->d);
  fake_block_clear (&f->disk);
  fake_block_clear (&f->medium);
  return 0;
}
