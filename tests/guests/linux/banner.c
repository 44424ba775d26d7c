/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guest banner: paints a band of colour across the top of the frame buffer and keeps the text
 * console below it. Prints "ALCOVE-GUEST: drew band WIDTHxHEIGHT" when the pixels are there.
 *
 * The band is 64 rows high: blocks of 48 columns, left to right, in the eight colours below, over and
 * over. app/try.sh looks for the row of eight in the picture of the window.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fb.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROWS      64
#define BLOCK     48
#define TEXT_ROWS (ROWS / 16)

static const uint32_t colours[8] = { 0x1a5fb4, 0x26a269, 0xe5a50a, 0xc64600,
                                     0xa51d2d, 0x613583, 0x63452c, 0x3d3846 };

int
guest_banner (int argc, char **argv)
{
  struct fb_var_screeninfo var;
  struct fb_fix_screeninfo fix;
  int fd = open ("/dev/fb0", O_RDWR | O_CLOEXEC), tty;
  char *memory;

  (void)argc;
  (void)argv;
  if (fd < 0 || ioctl (fd, FBIOGET_VSCREENINFO, &var) < 0 ||
      ioctl (fd, FBIOGET_FSCREENINFO, &fix) < 0 || var.bits_per_pixel != 32)
    {
      printf ("ALCOVE-GUEST: drew nothing: /dev/fb0: %s\n", strerror (errno));
      return 1;
    }
  memory = mmap (NULL, fix.smem_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED || var.yres < ROWS)
    {
      printf ("ALCOVE-GUEST: drew nothing: %s\n", strerror (errno));
      return 1;
    }
  /* The text scrolls below the band, whose rows the console then leaves alone. */
  tty = open ("/dev/tty1", O_WRONLY | O_CLOEXEC | O_NOCTTY);
  if (tty >= 0)
    dprintf (tty, "\033[2J\033[%u;%ur\033[%u;1H", TEXT_ROWS + 1, var.yres / 16, TEXT_ROWS + 1);
  for (uint32_t y = 0; y < ROWS; y++)
    {
      uint32_t *row = (uint32_t *)(memory + (size_t)(y + var.yoffset) * fix.line_length);

      for (uint32_t x = 0; x < var.xres; x++)
        row[x] = colours[x / BLOCK % 8];
    }
  close (tty);
  close (fd);
  printf ("ALCOVE-GUEST: drew band %ux%u\n", var.xres, (unsigned)ROWS);
  return 0;
}
