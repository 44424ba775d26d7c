/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an exit costs, in TSC cycles, and a guest that does nothing. The command line's last word
 * chooses: "exits" measures and ends; "idle" prints a line and halts for ever. */
#include "payload.h"

#define ROUNDS 11

typedef void (*Access) (void);

static void
pm_timer_in (void)
{
  (void)inl (0x608);
}
static void
unclaimed_in (void)
{
  (void)inl (0x1234);
}
static void
serial_in (void)
{
  (void)inb (COM1 + 5);
}
static void
rtc_in (void)
{
  (void)inb (0x71);
}
static void
config_in (void)
{
  (void)inl (0xcfc);
}
static void
post_out (void)
{
  outb (0x80, 0);
}
static void
hpet_read (void)
{
  (void)read32 (0xfed000f0);
}
static void
lapic_read (void)
{
  (void)read32 (0xfee00020);
}

/* The median of some rounds: a round that the host disturbed does not count. */
static uint32_t
measure (Access access, uint32_t n)
{
  uint32_t cost[ROUNDS];

  for (unsigned r = 0; r < ROUNDS; r++)
    {
      uint64_t begin = rdtsc ();
      uint32_t cycles;
      unsigned i;

      for (i = 0; i < n; i++)
        access ();
      cycles = (uint32_t)(rdtsc () - begin) / n;
      for (i = r; i > 0 && cost[i - 1] > cycles; i--)
        cost[i] = cost[i - 1];
      cost[i] = cycles;
    }
  return cost[ROUNDS / 2];
}

static const struct
{
  const char *name;
  Access access;
} accesses[] = {
  { "pm-timer", pm_timer_in }, { "unclaimed", unclaimed_in }, { "serial", serial_in },
  { "rtc", rtc_in },           { "config", config_in },       { "post", post_out },
  { "hpet", hpet_read },       { "in-kernel", lapic_read },
};

static bool
has_word (const char *line, const char *word)
{
  size_t length = strlen (word), n = strlen (line);

  return n >= length && memcmp (line + n - length, word, length) == 0;
}

uint32_t
payload_main (uint32_t magic, uint32_t info)
{
  const char *line = (const char *)(uintptr_t)read32 (info + 16);

  (void)magic;
  outl (0xcf8, 0x80000000);
  if (has_word (line, "idle"))
    {
      print ("IDLE\n");
      for (;;)
        __asm__ volatile("cli; hlt");
    }
  for (unsigned i = 0; i < sizeof accesses / sizeof accesses[0]; i++)
    print ("EXIT %s %u\n", accesses[i].name, measure (accesses[i].access, 1000));
  print ("END\n");
  return 0;
}
