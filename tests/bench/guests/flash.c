/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Paints a square in the middle of the screen, of another colour at each key press: what a press
 * and its picture need from client to client is measured from outside. Bochs VBE, polled i8042. */
#include "payload.h"

#define WIDTH  640
#define HEIGHT 480
#define SIDE   64

static void
vbe (uint16_t index, uint16_t value)
{
  outw (0x1ce, index);
  outw (0x1cf, value);
}

static void
paint (uint32_t frame_buffer, uint32_t colour)
{
  for (unsigned y = (HEIGHT - SIDE) / 2; y < (HEIGHT + SIDE) / 2; y++)
    {
      uintptr_t to = frame_buffer + (y * WIDTH + (WIDTH - SIDE) / 2) * 4;
      uint32_t n = SIDE;

      __asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(colour) : "memory");
    }
}

static void
keyboard_write (uint16_t port, uint8_t value)
{
  while ((inb (0x64) & 2) != 0)
    continue;
  outb (port, value);
}

uint32_t
payload_main (uint32_t magic, uint32_t info)
{
  int devfn = pci_find (0x1234, 0x1111, 0);
  uint32_t frame_buffer;
  bool on = false;

  (void)magic;
  (void)info;
  if (devfn < 0)
    {
      print ("FLASH no adapter\n");
      return 1;
    }
  pci_place ((unsigned)devfn);
  frame_buffer = pci_bar ((unsigned)devfn, 0);
  vbe (4, 0);
  vbe (1, WIDTH);
  vbe (2, HEIGHT);
  vbe (3, 32);
  vbe (4, 0x41);
  (void)inb (0x3da);
  outb (0x3c0, 0x20); /* the screen is on */
  paint (frame_buffer, 0);

  while ((inb (0x64) & 1) != 0)
    (void)inb (0x60);
  keyboard_write (0x64, 0x60); /* translated, both ports on, no interrupts */
  keyboard_write (0x60, 0x40);
  keyboard_write (0x60, 0xf4);
  print ("FLASH ready\n");
  for (;;)
    {
      uint8_t status = inb (0x64), code;

      if ((status & 1) == 0)
        continue;
      code = inb (0x60);
      if ((status & 0x20) == 0 && code == 0x1e) /* A pressed */
        {
          on = !on;
          paint (frame_buffer, on ? 0xffffff : 0);
        }
    }
}
