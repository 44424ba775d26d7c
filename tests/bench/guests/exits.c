/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an exit costs, in TSC cycles, and a guest that does nothing. The command line's last word
 * chooses: "exits" measures and ends; "idle" prints a line and halts for ever. */
#include "payload.h"

#define ROUNDS   100
#define ACCESSES 50

/* The same instruction many times over, with nothing between: where guest instructions are emulated
 * one by one (a software KVM without paging), a loop around it would count as much as the exit. */
#define REPEAT(instruction, address)                                                               \
  __asm__ volatile(".rept 50\n\t" instruction "\n\t.endr" : : "d"(address) : "eax", "memory")
#define IN_LONG  "inl %%dx, %%eax"
#define IN_BYTE  "inb %%dx, %%al"
#define OUT_BYTE "outb %%al, %%dx"
#define LOAD     "movl (%%edx), %%eax"

typedef void (*Accesses) (uint32_t address);

static void
in_long (uint32_t address)
{
  REPEAT (IN_LONG, address);
}
static void
in_byte (uint32_t address)
{
  REPEAT (IN_BYTE, address);
}
static void
out_byte (uint32_t address)
{
  REPEAT (OUT_BYTE, address);
}
static void
load (uint32_t address)
{
  REPEAT (LOAD, address);
}

/* The least of many short rounds: whatever else the host does only adds to it. */
static uint32_t
measure (Accesses accesses, uint32_t address)
{
  uint32_t least = 0xffffffff;

  for (unsigned r = 0; r < ROUNDS; r++)
    {
      uint64_t begin = rdtsc ();
      uint32_t cycles;

      accesses (address);
      cycles = (uint32_t)(rdtsc () - begin) / ACCESSES;
      if (cycles < least)
        least = cycles;
    }
  return least;
}

static const struct
{
  const char *name;
  Accesses accesses;
  uint32_t address;
} kinds[] = {
  { "pm-timer", in_long, 0x608 },  { "unclaimed", in_long, 0x1234 },
  { "serial", in_byte, COM1 + 5 }, { "rtc", in_byte, 0x71 },
  { "config", in_long, 0xcfc },    { "post", out_byte, 0x80 },
  { "hpet", load, 0xfed000f0 },    { "in-kernel", load, 0xfee00020 },
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
  for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    print ("EXIT %s %u\n", kinds[i].name, measure (kinds[i].accesses, kinds[i].address));
  print ("END\n");
  return 0;
}
