/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Virtio devices driven as a guest does: identity, negotiation, block I/O, entropy, and the answers
 * to what a driver must not do. */
#include "virtio.h"

static Virtio blk;
static uint8_t *buffer;

static void
test_block (void)
{
  uint32_t capacity;
  bool same = true;

  if (!check (virtio_open (&blk, 2, 0), "virtio-blk is there with its structures"))
    return;
  check (pci_read (0, blk.devfn, 8, 1) == 1, "virtio-blk: revision 1");
  check (pci_read (0, blk.devfn, 0x2c, 4) == 0x11001af4, "virtio-blk: subsystem 1af4:1100");
  check (pci_capability (blk.devfn, 0x11, 0) != 0, "virtio-blk: MSI-X");
  check (virtio_features (&blk) >> 32 & 1 && virtio_features (&blk) >> 63 == 0,
         "virtio-blk: VERSION_1");
  check ((virtio_features (&blk) >> 28 & 3) == 3, "virtio-blk: INDIRECT_DESC and EVENT_IDX");
  if (!check (virtio_start (&blk, 1ull << 9), "virtio-blk: negotiates and starts"))
    return;
  capacity = read32 (blk.config);
  check (capacity >= 2048, "virtio-blk: %u sectors", capacity);
  for (unsigned i = 0; i < 4096; i++)
    buffer[i] = (uint8_t)(i * 7 + (i >> 8));
  check (virtio_block_request (&blk, 1, 8, buffer, 4096) == 0, "virtio-blk: writes");
  check (virtio_block_request (&blk, 4, 0, NULL, 0) == 0, "virtio-blk: flushes");
  memset (buffer + 4096, 0, 4096);
  check (virtio_block_request (&blk, 0, 8, buffer + 4096, 4096) == 0, "virtio-blk: reads");
  for (unsigned i = 0; i < 4096; i++)
    same = same && buffer[4096 + i] == (uint8_t)(i * 7 + (i >> 8));
  check (same, "virtio-blk: what was written is read");
  check (virtio_block_request (&blk, 0, capacity, buffer, 512) == 1,
         "virtio-blk: past the end is an I/O error");
  check (virtio_block_request (&blk, 0, ~0ull, buffer, 512) == 1,
         "virtio-blk: far past the end too");
  check (virtio_block_request (&blk, 0x55, 0, NULL, 0) == 2,
         "virtio-blk: an unknown request is UNSUPP");
  check (virtio_block_request (&blk, 8, 0, buffer, 20) == 0, "virtio-blk: tells its serial number");
  /* A descriptor that points outside RAM breaks the queue, not the machine. */
  virtio_describe (&blk.queues[0].desc[0], (void *)0xfed20000, 16, DESC_NEXT, 2);
  virtio_submit (&blk.queues[0], 0);
  virtio_kick (&blk, 0);
  delay_us (20000);
  check (virtio_status (&blk) & 0x40, "virtio-blk: a bad address sets DEVICE_NEEDS_RESET");
  check (virtio_start (&blk, 1ull << 9), "virtio-blk: a reset mends it");
  check (virtio_block_request (&blk, 0, 8, buffer, 512) == 0, "virtio-blk: and it reads again");
  virtio_set_status (&blk, 0);
  check (virtio_status (&blk) == 0, "virtio-blk: status 0 resets");
}

static void
test_rng (void)
{
  static Virtio rng;
  Queue *queue = &rng.queues[0];
  int n, zeroes = 0;

  if (!virtio_open (&rng, 4, 0))
    {
      skip ("virtio-rng", "the machine has none");
      return;
    }
  check (virtio_start (&rng, 0), "virtio-rng: starts");
  memset (buffer, 0, 256);
  virtio_describe (&queue->desc[0], buffer, 256, DESC_WRITE, 0);
  virtio_submit (queue, 0);
  virtio_kick (&rng, 0);
  n = virtio_wait (queue);
  check (n > 0 && n <= 256, "virtio-rng: gives %d bytes", n);
  for (int i = 0; i < n; i++)
    zeroes += buffer[i] == 0;
  check (zeroes < n / 4 + 1, "virtio-rng: they look random (%d of %d are zero)", zeroes, n);
}

static void
test_identity (uint16_t type, const char *name)
{
  static Virtio device;

  if (!virtio_open (&device, type, 0))
    {
      skip (name, "the machine has none");
      return;
    }
  check (virtio_start (&device, 0), "%s: negotiates and starts", name);
  virtio_set_status (&device, 0);
  check (virtio_status (&device) == 0, "%s: resets", name);
}

uint32_t
payload_main (uint32_t magic, uint32_t info)
{
  (void)magic;
  (void)info;
  pci_write (0, 0xf8, 0x40, 4, 0x601);
  pci_write (0, 0xf8, 0x44, 1, 0x80);
  pci_write (0, 0, 0x60, 4, 0xb0000001); /* PCIEXBAR: away from where BARs go */
  buffer = alloc_pages (16);
  test_block ();
  test_rng ();
  test_identity (1, "virtio-net");
  test_identity (3, "virtio-console");
  test_identity (18, "virtio-input");
  test_identity (16, "virtio-gpu");
  return payload_done ();
}
