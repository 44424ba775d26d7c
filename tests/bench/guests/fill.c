/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writes to every page of "mib=N" MiB of memory, from 16 MiB on, says FILLED, and then says that it
 * is there for ever, writing to a page now and then. */
#include "payload.h"

#define FROM 0x01000000u

uint32_t
payload_main (uint32_t magic, uint32_t info)
{
  const char *line = read32 (info) & 4 ? (const char *)read32 (info + 16) : "";
  uint32_t mib = 0, pages, at = 0;

  (void)magic;
  while (*line != 0 && memcmp (line, "mib=", 4) != 0)
    line++;
  for (line += *line != 0 ? 4 : 0; *line >= '0' && *line <= '9'; line++)
    mib = mib * 10 + (uint32_t)(*line - '0');
  pages = mib << 8;
  for (uint32_t i = 0; i < pages; i++)
    for (uint32_t word = 0; word < 4096; word += 512)
      write32 (FROM + i * 4096 + word, i * 2654435761u + word + 1);
  print ("FILLED\n");
  for (;;)
    {
      write32 (FROM + at * 4096, read32 (FROM + at * 4096) + 1);
      at = pages != 0 ? (at + 97) % pages : 0;
      outb (COM1, '.');
    }
}
