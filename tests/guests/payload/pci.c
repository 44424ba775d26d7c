/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "payload.h"

/* Where pci_place puts BARs: below the top of the 32-bit hole and above the ISA ports. */
static uint32_t next_memory = 0xf0000000;
static uint16_t next_port = 0xc000;

static void
select_register (unsigned bus, unsigned devfn, unsigned offset)
{
  outl (0xcf8, 0x80000000 | bus << 16 | devfn << 8 | (offset & 0xfc));
}

uint32_t
pci_read (unsigned bus, unsigned devfn, unsigned offset, unsigned size)
{
  uint16_t port = 0xcfc + (offset & 3);

  select_register (bus, devfn, offset);
  return size == 1 ? inb (port) : size == 2 ? inw (port) : inl (port);
}

void
pci_write (unsigned bus, unsigned devfn, unsigned offset, unsigned size, uint32_t value)
{
  uint16_t port = 0xcfc + (offset & 3);

  select_register (bus, devfn, offset);
  if (size == 1)
    outb (port, (uint8_t)value);
  else if (size == 2)
    outw (port, (uint16_t)value);
  else
    outl (port, value);
}

int
pci_find (uint16_t vendor, uint16_t device, unsigned n)
{
  for (unsigned devfn = 0; devfn < 256; devfn++)
    {
      uint32_t ids;

      if ((devfn & 7) != 0 && (pci_read (0, devfn & ~7u, 0xe, 1) & 0x80) == 0)
        continue;
      ids = pci_read (0, devfn, 0, 4);
      if ((ids & 0xffff) == vendor && (device == 0xffff || ids >> 16 == device) && n-- == 0)
        return (int)devfn;
    }
  return -1;
}

void
pci_place (unsigned devfn)
{
  pci_write (0, devfn, 4, 2, pci_read (0, devfn, 4, 2) & ~7u);
  for (unsigned offset = 0x10; offset < 0x28; offset += 4)
    {
      uint32_t old = pci_read (0, devfn, offset, 4), mask;

      pci_write (0, devfn, offset, 4, 0xffffffff);
      mask = pci_read (0, devfn, offset, 4);
      if (mask == 0)
        continue;
      if (old & 1)
        {
          uint32_t size = (~(mask & ~3u) + 1) & 0xffff;

          next_port = (uint16_t)((next_port + size - 1) & ~(size - 1));
          pci_write (0, devfn, offset, 4, next_port);
          next_port = (uint16_t)(next_port + size);
        }
      else
        {
          uint32_t size = ~(mask & ~15u) + 1;

          next_memory = (next_memory - size) & ~(size - 1);
          pci_write (0, devfn, offset, 4, next_memory);
          if ((old & 6) == 4)
            {
              offset += 4;
              pci_write (0, devfn, offset, 4, 0);
            }
        }
    }
  pci_write (0, devfn, 4, 2, pci_read (0, devfn, 4, 2) | 7);
}

uint32_t
pci_bar (unsigned devfn, unsigned bar)
{
  uint32_t value = pci_read (0, devfn, 0x10 + bar * 4, 4);

  return value & (value & 1 ? ~3u : ~15u);
}

unsigned
pci_capability (unsigned devfn, uint8_t id, unsigned from)
{
  unsigned offset;

  if ((pci_read (0, devfn, 6, 2) & 0x10) == 0)
    return 0;
  offset = from != 0 ? pci_read (0, devfn, from + 1, 1) : pci_read (0, devfn, 0x34, 1);
  for (unsigned limit = 48; (offset & ~3u) != 0 && limit > 0; limit--)
    {
      if (pci_read (0, devfn, offset, 1) == id)
        return offset;
      offset = pci_read (0, devfn, offset + 1, 1);
    }
  return 0;
}
