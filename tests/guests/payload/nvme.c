/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An NVMe controller behind a PCIe port, driven by hand as firmware would: bus numbers and windows,
 * BARs, reset of the controller, one Identify command whose answer comes by DMA. It halts without
 * shutting the controller down, as a guest does that is switched off. NVM Express 1.4.
 *
 * With "stay" on its command line it then goes on for ever, and says "STAYS".
 */
#include "payload.h"

#define WINDOW     0xc0000000u /* of the first port; 16 MiB each */
#define DEPTH      16
#define IDENTIFY   0x06
#define CONTROLLER 1 /* what to identify (CNS) */

/* Offsets of registers, section 3.1. */
#define CAP  0x00
#define CC   0x14
#define CSTS 0x1c
#define AQA  0x24
#define ASQ  0x28
#define ACQ  0x30

typedef struct
{
  uint32_t dword0; /* opcode, command identifier from bit 16 */
  uint32_t nsid;
  uint32_t reserved[4];
  uint32_t prp1[2];
  uint32_t prp2[2];
  uint32_t dword10[6];
} Command;

typedef struct
{
  uint32_t result;
  uint32_t reserved;
  uint16_t head;
  uint16_t queue;
  uint16_t id;
  uint16_t status; /* bit 0: phase */
} Completion;

/* The controller's bus, with its port opened to it; 0 when there is none. */
static unsigned
find (uint32_t *ret_base)
{
  unsigned bus = 0;

  for (unsigned devfn = 0; devfn < 256; devfn++)
    {
      if ((pci_read (0, devfn, 0, 4) & 0xffff) == 0xffff ||
          (pci_read (0, devfn, 0xe, 1) & 0x7f) != 1)
        continue;
      bus++;
      *ret_base = WINDOW + (bus - 1) * 0x1000000;
      pci_write (0, devfn, 0x18, 4, bus << 16 | bus << 8);
      pci_write (0, devfn, 0x20, 4,
                 (*ret_base >> 16 & 0xfff0) | ((*ret_base + 0xf00000) & 0xfff00000));
      pci_write (0, devfn, 4, 2, 7);
      if (pci_read (bus, 0, 8, 4) >> 8 == 0x010802)
        return bus;
    }
  return 0;
}

static bool
wait_ready (uint32_t base, uint32_t ready)
{
  for (unsigned i = 0; i < 20000; i++)
    {
      if ((read32 (base + CSTS) & 1) == ready)
        return true;
      delay_us (100);
    }
  return false;
}

/* pages: three, for the two queues and the answer. */
static bool
identify (uint32_t base, uint8_t *pages, char *serial)
{
  volatile Command *queue = (void *)pages;
  volatile Completion *done = (void *)(pages + 4096);
  uint8_t *answer = pages + 8192;

  write32 (base + CC, 0);
  if (!wait_ready (base, 0))
    return false;
  memset (pages, 0, 3 * 4096);
  write32 (base + AQA, (DEPTH - 1) << 16 | (DEPTH - 1));
  write32 (base + ASQ, (uint32_t)(uintptr_t)queue);
  write32 (base + ASQ + 4, 0);
  write32 (base + ACQ, (uint32_t)(uintptr_t)done);
  write32 (base + ACQ + 4, 0);
  write32 (base + CC, 4 << 20 | 6 << 16 | 1); /* entry sizes of 16 and 64 bytes, 4 KiB pages */
  if (!wait_ready (base, 1))
    return false;
  queue[0].dword0 = IDENTIFY | 77 << 16;
  queue[0].prp1[0] = (uint32_t)(uintptr_t)answer;
  queue[0].dword10[0] = CONTROLLER;
  write32 (base + 0x1000, 1); /* the submission queue's doorbell */
  for (unsigned i = 0; i < 20000 && (done[0].status & 1) == 0; i++)
    delay_us (100);
  memcpy (serial, answer + 4, 20);
  serial[20] = '\0';
  return done[0].status == 1 && done[0].id == 77;
}

static bool
has_word (const char *line, const char *word)
{
  size_t n = strlen (word);

  for (; *line != '\0'; line++)
    if (memcmp (line, word, n) == 0)
      return true;
  return false;
}

uint32_t
payload_main (uint32_t magic, uint32_t info)
{
  uint32_t base = 0;
  unsigned bus;
  uint8_t *pages = alloc_pages (3);
  char serial[21] = "";

  (void)magic;
  bus = find (&base);
  if (!check (bus != 0, "an NVMe controller is behind a port"))
    return payload_done ();
  pci_write (bus, 0, 0x10, 4, base);
  pci_write (bus, 0, 0x14, 4, 0);
  pci_write (bus, 0, 4, 2, 6);
  check ((pci_read (bus, 0, 0x10, 4) & ~15u) == base, "its BAR stays where it is put");
  check (read32 (base + CAP) != 0xffffffff && (read32 (base + CAP) & 0xffff) != 0,
         "its registers answer");
  check (identify (base, pages, serial), "it answers a command");
  print ("SERIAL %s\n", serial);
  if ((read32 (info) & 4) != 0 && has_word ((const char *)read32 (info + 16), "stay"))
    {
      print ("STAYS\n");
      for (;;)
        identify (base, pages, serial);
    }
  return payload_done ();
}
