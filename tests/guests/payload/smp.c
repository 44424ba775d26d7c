/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Several processors: INIT-SIPI brings each up, all meet, IPIs and the TSC agree. */
#include "payload.h"

#define LAPIC        0xfee00000
#define TRAMPOLINE   0x8000
#define STACKS       0x02000000
#define MAX_EXPECTED 64

extern char payload_ap_start[], payload_ap_end[];
uint32_t payload_ap_stack = STACKS + 4096;
static volatile uint32_t n_up;
static volatile uint8_t seen[256];
static volatile uint32_t go, sum;

void payload_ap_entry (void);

void
payload_ap_entry (void)
{
  seen[read32 (LAPIC + 0x20) >> 24] = 1;
  __atomic_add_fetch (&n_up, 1, __ATOMIC_SEQ_CST);
  while (!go)
    __asm__ volatile("pause");
  /* All add at once: a lost update would show. */
  for (unsigned i = 0; i < 1000; i++)
    __atomic_add_fetch (&sum, 1, __ATOMIC_SEQ_CST);
  __atomic_sub_fetch (&n_up, 1, __ATOMIC_SEQ_CST);
}

uint32_t
payload_main (uint32_t magic, uint32_t info)
{
  uint32_t expected, distinct = 0;

  (void)magic;
  (void)info;
  pci_write (0, 0xf8, 0x40, 4, 0x601);
  pci_write (0, 0xf8, 0x44, 1, 0x80);
  outw (0x510, 5);
  expected = inb (0x511);
  check (expected >= 1 && expected <= MAX_EXPECTED, "%u processors", expected);
  memcpy ((void *)TRAMPOLINE, payload_ap_start, (size_t)(payload_ap_end - payload_ap_start));
  write32 (LAPIC + 0xf0, 0x1ff);
  write32 (LAPIC + 0x300, 0x000c4500); /* INIT to all but self */
  delay_us (10000);
  for (unsigned i = 0; i < 2; i++)
    {
      write32 (LAPIC + 0x300, 0x000c4600 | TRAMPOLINE >> 12); /* SIPI */
      delay_us (1000);
    }
  for (unsigned i = 0; i < 2000 && n_up < expected - 1; i++)
    delay_us (1000);
  check (n_up == expected - 1, "%u other processors are up", n_up);
  for (unsigned i = 0; i < 256; i++)
    distinct += seen[i];
  check (distinct == expected - 1, "each has an APIC id of its own");
  go = 1;
  for (unsigned i = 0; i < 2000 && n_up != 0; i++)
    delay_us (1000);
  check (n_up == 0 && sum == 1000 * (expected - 1), "they run at the same time: %u", sum);
  return payload_done ();
}
