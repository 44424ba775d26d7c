/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A hostile guest: garbage to every register of every device and to every field of every ring, for
 * a time given on the command line (seconds=N seed=N). What it leaves alone: the debug exit, COM1
 * (its own voice), the power-off request, and the last block device, whose first sectors it wrote
 * and flushed before: the test outside looks whether they are intact.
 *
 * A storm resets the machine again and again; it goes on where it was, by what it keeps in RAM. */
#include "virtio.h"

#define STATE           0x6100
#define STATE_MAGIC     0x57042b1d
#define SCRATCH         0x02000000 /* 32 MiB up: where rings and buffers of the storm are */
#define PRECIOUS_LENGTH 65536

typedef struct
{
  uint32_t magic, lives;
  uint64_t random, deadline_ticks, last_tsc, tsc_per_ms, steps;
} State;

#define state ((volatile State *)STATE)

static Virtio devices[24];
static unsigned n_devices;
static int precious = -1; /* its devfn */
static uint32_t memory_bars[64][2], port_bars[32][2];
static unsigned n_memory_bars, n_port_bars;
static uint8_t functions[64];
static unsigned n_functions;

static uint32_t
random32 (void)
{
  uint64_t x = state->random;

  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  state->random = x;
  return (uint32_t)(x >> 16);
}

static uint32_t
below (uint32_t n)
{
  return random32 () % n;
}

/* Values that find mistakes: edges, sizes, addresses of RAM, holes and devices. */
static uint32_t
value (void)
{
  switch (below (10))
    {
    case 0:
      return 0;
    case 1:
      return 0xffffffff;
    case 2:
      return 1u << below (32);
    case 3:
      return (1u << below (32)) - 1;
    case 4:
      return below (16);
    case 5:
      return SCRATCH + below (0x100000);
    case 6:
      return 0xf0000000 + (below (0x10000000) & ~3u);
    case 7:
      return below (256) * 0x01010101;
    default:
      return random32 ();
    }
}

static bool
port_is_ours (uint32_t port, unsigned size)
{
  for (uint32_t p = port; p < port + size; p++)
    if ((p >= COM1 && p < COM1 + 8) || (p >= DEBUG_EXIT && p < DEBUG_EXIT + 4))
      return true;
  return false;
}

static void
poke_port (uint32_t port)
{
  unsigned size = 1u << below (3);

  port &= 0xffff;
  if (port + size > 0x10000 || port_is_ours (port, size))
    return;
  if (below (3) == 0)
    {
      (void)(size == 1   ? inb ((uint16_t)port)
             : size == 2 ? inw ((uint16_t)port)
                         : inl ((uint16_t)port));
      return;
    }
  uint32_t v = value ();
  if (port < 0x608 && port + size > 0x604) /* SLP_EN would power off: the storm would end */
    v &= ~(0x2000u << (port < 0x604 ? (0x604 - port) * 8 : 0)) & ~0x20u;
  if (size == 1)
    outb ((uint16_t)port, (uint8_t)v);
  else if (size == 2)
    outw ((uint16_t)port, (uint16_t)v);
  else
    outl ((uint16_t)port, v);
}

static void
poke_memory (uint32_t address)
{
  unsigned size = 1u << below (3);

  if (below (4) != 0)
    address &= ~(size - 1);
  if (below (3) == 0)
    {
      (void)(size == 1 ? read8 (address) : size == 2 ? read16 (address) : read32 (address));
      return;
    }
  if (size == 1)
    write8 (address, (uint8_t)value ());
  else if (size == 2)
    write16 (address, (uint16_t)value ());
  else
    write32 (address, value ());
}

static void
poke_config (void)
{
  unsigned devfn =
      n_functions != 0 && below (8) != 0 ? functions[below (n_functions)] : below (256);
  unsigned offset = below (256), size = 1u << below (3);

  /* The PM block stays where the storm knows it; the precious disk's registers stay alone. */
  if ((int)devfn == precious || (devfn == 0xf8 && offset >= 0x3c && offset < 0x48))
    return;
  if (below (3) == 0)
    pci_read (0, devfn, offset & ~(size - 1), size);
  else
    pci_write (0, devfn, offset & ~(size - 1), size, value ());
}

/* A chain that is right but for a few fields, in a ring that is right but for a few fields. */
static void
poke_ring (Virtio *device)
{
  Queue *queue;
  unsigned index, n, first;

  if (below (64) == 0 || (below (8) == 0 && (virtio_status (device) & 0x4f) != 15))
    virtio_start (device, below (2) != 0 ? ~0ull : random32 ());
  index = below (device->n_queues != 0 && device->n_queues <= 8 ? device->n_queues : 1);
  queue = &device->queues[index];
  if (queue->desc == NULL || queue->notify == 0)
    return;
  n = 1 + below (4);
  first = below (VIRTIO_RING_SIZE);
  for (unsigned i = 0; i < n; i++)
    {
      Descriptor *desc = &queue->desc[(first + i) % VIRTIO_RING_SIZE];
      uint32_t address = SCRATCH + below (256) * 4096;

      for (unsigned j = 0; j < 6; j++)
        write32 (address + j * 4, below (3) != 0 ? below (0x120) : value ());
      desc->address = address;
      desc->length = below (4) != 0 ? 16 : below (8192);
      desc->flags = (uint16_t)((i + 1 < n ? DESC_NEXT : 0) | (i > 0 && below (2) ? DESC_WRITE : 0));
      desc->next = (uint16_t)((first + i + 1) % VIRTIO_RING_SIZE);
      switch (below (12))
        {
        case 0:
          desc->address = value ();
          break;
        case 1:
          desc->address |= (uint64_t)value () << 32;
          break;
        case 2:
          desc->length = value ();
          break;
        case 3:
          desc->flags = (uint16_t)value ();
          break;
        case 4:
          desc->next = (uint16_t)value ();
          break;
        default:
          break;
        }
    }
  if (below (16) == 0)
    queue->avail->index = (uint16_t)value ();
  if (below (16) == 0)
    queue->avail->flags = (uint16_t)value ();
  if (below (8) == 0)
    queue->avail->used_event = (uint16_t)value ();
  if (below (16) == 0)
    first = value ();
  virtio_submit (queue, first);
  virtio_kick (device, below (16) == 0 ? below (8) : index);
}

/* Garbage in the virtio structures themselves. */
static void
poke_virtio (Virtio *device)
{
  if (below (2) == 0)
    poke_memory (device->common + below (64));
  else if (device->config != 0)
    poke_memory (device->config + below (64));
}

static bool
time_is_up (void)
{
  uint64_t now = rdtsc ();

  /* Ticks count only while we live: a reset sets the TSC back. */
  if (now > state->last_tsc)
    {
      uint64_t passed = now - state->last_tsc;

      state->deadline_ticks = state->deadline_ticks > passed ? state->deadline_ticks - passed : 0;
    }
  state->last_tsc = now;
  return state->deadline_ticks == 0;
}

static void
find_devices (void)
{
  n_functions = n_devices = n_memory_bars = n_port_bars = 0;
  for (unsigned devfn = 0; devfn < 256 && n_functions < 64; devfn++)
    if (pci_read (0, devfn, 0, 4) != 0xffffffff &&
        ((devfn & 7) == 0 || (pci_read (0, devfn & ~7u, 0xe, 1) & 0x80) != 0))
      functions[n_functions++] = (uint8_t)devfn;
  for (unsigned i = 0; i < n_functions && n_devices < 24; i++)
    if (pci_read (0, functions[i], 0, 2) == 0x1af4 && pci_read (0, functions[i], 2, 2) > 0x1040 &&
        virtio_open_function (&devices[n_devices], functions[i]))
      n_devices++;
  /* The last block device is the precious one. */
  for (unsigned i = 0; i < n_devices; i++)
    if (pci_read (0, devices[i].devfn, 2, 2) == 0x1042)
      precious = (int)devices[i].devfn;
  for (unsigned i = 0; i < n_functions; i++)
    {
      unsigned devfn = functions[i];

      if ((int)devfn == precious || (pci_read (0, devfn, 0xe, 1) & 0x7f) != 0)
        continue;
      if (pci_read (0, devfn, 0, 2) != 0x1af4)
        pci_place (devfn);
      for (unsigned bar = 0; bar < 6; bar++)
        {
          uint32_t raw = pci_read (0, devfn, 0x10 + bar * 4, 4);

          if (raw & 1 && n_port_bars < 32)
            port_bars[n_port_bars++][0] = raw & ~3u;
          else if ((raw & ~15u) != 0 && n_memory_bars < 64)
            memory_bars[n_memory_bars++][0] = raw & ~15u;
          if ((raw & 7) == 4)
            bar++;
        }
    }
}

static bool
write_precious (void)
{
  static struct
  {
    uint32_t type, reserved;
    uint64_t sector;
  } header;
  static volatile uint8_t status;
  uint8_t *data = (uint8_t *)SCRATCH;

  for (unsigned i = 0; i < n_devices; i++)
    if ((int)devices[i].devfn == precious)
      {
        Queue *queue = &devices[i].queues[0];

        if (!virtio_start (&devices[i], 1ull << 9))
          return false;
        for (unsigned j = 0; j < PRECIOUS_LENGTH; j++)
          data[j] = (uint8_t)(j ^ j >> 8 ^ 0x5a);
        for (uint32_t type = 1; type <= 4; type += 3) /* write, then flush */
          {
            header.type = type;
            header.sector = 0;
            status = 0xee;
            queue->desc[0] = (Descriptor){ (uint32_t)&header, 16, DESC_NEXT, type == 1 ? 1 : 2 };
            queue->desc[1] = (Descriptor){ SCRATCH, PRECIOUS_LENGTH, DESC_NEXT, 2 };
            queue->desc[2] = (Descriptor){ (uint32_t)&status, 1, DESC_WRITE, 0 };
            virtio_submit (queue, 0);
            virtio_kick (&devices[i], 0);
            if (virtio_wait (queue) < 0 || status != 0)
              return false;
          }
        virtio_set_status (&devices[i], 0);
        return true;
      }
  return false;
}

/* Port ranges where devices live, and how often each is hit. */
static uint32_t
some_port (void)
{
  static const uint16_t ranges[][2] = {
    { 0x000, 0x100 }, { 0x060, 8 },    { 0x070, 8 }, { 0x092, 1 },    { 0x0cf8, 8 },
    { 0x510, 16 },    { 0x402, 2 },    { 0x505, 2 }, { 0x600, 0x80 }, { 0x3b0, 0x30 },
    { 0x1ce, 4 },     { 0x2e8, 0x18 }, { 0x4d0, 2 }, { 0x5658, 4 },   { 0x700, 0x40 },
    { 0x0b2, 2 },     { 0x020, 2 },    { 0x0a0, 2 }, { 0x040, 4 },
  };
  unsigned i = below (sizeof ranges / sizeof ranges[0] + 2);

  if (i < sizeof ranges / sizeof ranges[0])
    return ranges[i][0] + below (ranges[i][1]);
  if (n_port_bars != 0 && below (2) != 0)
    return port_bars[below (n_port_bars)][0] + below (64);
  return below (0x10000);
}

static uint32_t
some_memory (void)
{
  static const uint32_t ranges[][2] = {
    { 0xfed00000, 0x400 },  { 0xb0000000, 0x100000 }, { 0xa0000, 0x20000 },
    { 0xc0000, 0x40000 },   { 0xffc00000, 0x400000 }, { 0xfed1c000, 0x4000 },
    { 0xfed40000, 0x5000 },
  };
  unsigned i = below (sizeof ranges / sizeof ranges[0] + 4);

  if (i < sizeof ranges / sizeof ranges[0])
    return ranges[i][0] + below (ranges[i][1]);
  if (n_memory_bars != 0)
    return memory_bars[below (n_memory_bars)][0] + below (below (2) != 0 ? 0x100 : 0x4000);
  return 0xfec10000;
}

static void
begin (uint32_t info)
{
  const char *line = read32 (info) & 4 ? (const char *)read32 (info + 16) : "";
  uint64_t start;
  uint32_t seconds = payload_number (line, "seconds=", 10);

  memset ((void *)STATE, 0, sizeof (State));
  start = rdtsc ();
  delay_us (100000);
  /* 32 bits hold a tenth of a second; a 64-bit division would need a library. */
  state->tsc_per_ms = (uint32_t)(rdtsc () - start) / 100;
  state->random = 0x9e3779b97f4a7c15ull * (payload_number (line, "seed=", 1) + 1);
  state->deadline_ticks = state->tsc_per_ms * 1000 * seconds;
  print ("# storm: %u seconds\n", seconds);
}

uint32_t
payload_main (uint32_t magic, uint32_t info)
{
  uint32_t turn = 0;

  (void)magic;
  pci_write (0, 0xf8, 0x40, 4, 0x601);
  pci_write (0, 0xf8, 0x44, 1, 0x80);
  pci_write (0, 0, 0x60, 4, 0xb0000001);
  find_devices ();
  if (state->magic != STATE_MAGIC)
    {
      begin (info);
      check (n_devices >= 2, "%u virtio devices", n_devices);
      check (write_precious (), "the precious disk is written and flushed");
      payload_keep ();
      state->magic = STATE_MAGIC;
    }
  state->lives++;
  state->last_tsc = rdtsc ();
  while (!time_is_up ())
    {
      unsigned choice = below (16);
      Virtio *device = &devices[below (n_devices)];

      state->steps++;
      if (choice < 4)
        poke_port (some_port ());
      else if (choice < 6)
        poke_config ();
      else if (choice < 10)
        poke_memory (some_memory ());
      else if ((int)device->devfn == precious)
        continue;
      else if (choice < 12)
        poke_virtio (device);
      else
        poke_ring (device);
      /* Now and then everything is put right, so that the next garbage reaches deep again. */
      if (++turn % 512 == 0)
        {
          pci_write (0, 0, 0x60, 4, 0xb0000001);
          for (unsigned i = 0; i < n_functions; i++)
            if (pci_read (0, functions[i], 0, 2) == 0x1af4 && (int)functions[i] != precious)
              pci_write (0, functions[i], 4, 2, 7);
        }
      if (turn % 4096 == 0)
        {
          /* A new life: mostly by cf9, so that every device is reset under load. */
          outb (0xcf9, 0x06);
        }
    }
  payload_was_kept ();
  print ("# storm: %u steps, %u lives\n", (uint32_t)state->steps, state->lives);
  state->magic = 0;
  check (true, "the machine outlived the storm");
  return payload_done ();
}
