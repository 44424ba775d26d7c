/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guest frame paint DEVICE            the picture of "guest draw" into a framebuffer (fbdev)
 *   prints FRAME WIDTHxHEIGHT PIXELS-THAT-READ-BACK-WRONG
 * guest frame fill DEVICE SECONDS     writes all of it, again and again
 *   prints BENCH fill BYTES-PER-SECOND
 *
 * The framebuffer is the card's memory, so what is read back has been to the card.
 */
#include "guest.h"

#include <fcntl.h>
#include <linux/fb.h>
#include <linux/kd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef struct
{
  uint32_t width;
  uint32_t height;
  uint32_t stride;
  uint8_t *pixels;
} Frame;

/* The text console keeps off the screen from here on, its cursor too. */
static void
silence_console (void)
{
  int fd = open ("/dev/tty0", O_RDWR | O_CLOEXEC | O_NOCTTY);

  if (fd < 0 || ioctl (fd, KDSETMODE, KD_GRAPHICS) < 0)
    perror ("/dev/tty0");
  close (fd);
}

static bool
frame_open (Frame *f, const char *path)
{
  struct fb_var_screeninfo var;
  struct fb_fix_screeninfo fix;
  int fd = open (path, O_RDWR | O_CLOEXEC);

  if (fd < 0 || ioctl (fd, FBIOGET_VSCREENINFO, &var) < 0)
    return false;
  if (var.bits_per_pixel != 32)
    {
      var.bits_per_pixel = 32;
      var.activate = FB_ACTIVATE_NOW;
      if (ioctl (fd, FBIOPUT_VSCREENINFO, &var) < 0)
        return false;
    }
  if (ioctl (fd, FBIOGET_VSCREENINFO, &var) < 0 || ioctl (fd, FBIOGET_FSCREENINFO, &fix) < 0)
    return false;
  if (var.bits_per_pixel != 32 || var.red.offset != 16 || var.blue.offset != 0)
    {
      fprintf (stderr, "frame: %u bits, red at %u\n", var.bits_per_pixel, var.red.offset);
      return false;
    }
  f->width = var.xres;
  f->height = var.yres;
  f->stride = fix.line_length;
  f->pixels = mmap (NULL, (size_t)f->stride * f->height, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close (fd);
  return f->pixels != MAP_FAILED;
}

static int
paint (const Frame *f)
{
  uint32_t *row = malloc ((size_t)f->width * 4), wrong = 0;

  for (int reading = 0; reading < 2; reading++)
    for (uint32_t y = 0; y < f->height; y++)
      {
        volatile uint32_t *there = (volatile uint32_t *)(f->pixels + (size_t)y * f->stride);

        for (uint32_t x = 0; x < f->width; x++)
          {
            uint32_t want = guest_picture (x, y, f->width, f->height);

            if (!reading)
              row[x] = want;
            else if ((there[x] & 0xffffff) != want)
              wrong++;
          }
        if (!reading)
          memcpy (f->pixels + (size_t)y * f->stride, row, (size_t)f->width * 4);
      }
  free (row);
  printf ("FRAME %ux%u %u\n", f->width, f->height, wrong);
  return wrong != 0;
}

static uint64_t
now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int
fill (const Frame *f, unsigned seconds)
{
  uint64_t begin = now (), limit = begin + seconds * (uint64_t)1000000000, end, total = 0;
  uint8_t value = 0;

  do
    {
      memset (f->pixels, value++, (size_t)f->stride * f->height);
      total += (uint64_t)f->stride * f->height;
      end = now ();
    }
  while (end < limit);
  printf ("BENCH fill %llu\n", (unsigned long long)(total * 1000000000 / (end - begin)));
  return 0;
}

int
guest_frame (int argc, char **argv)
{
  Frame f;

  if (!(argc == 3 && strcmp (argv[1], "paint") == 0) &&
      !(argc == 4 && strcmp (argv[1], "fill") == 0))
    {
      fprintf (stderr, "usage: frame paint DEVICE | fill DEVICE SECONDS\n");
      return 2;
    }
  if (!frame_open (&f, argv[2]))
    {
      perror (argv[2]);
      return 1;
    }
  silence_console ();
  return argc == 3 ? paint (&f) : fill (&f, (unsigned)atoi (argv[3]));
}
