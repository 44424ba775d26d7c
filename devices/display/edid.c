/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/display/edid.h"
#include <string.h>

#define BLOCK       128
#define DPI         96
#define REFRESH     60
#define MAX_PIXELS  4095
#define MAX_CLOCK   65535u /* in 10 kHz */
#define MAX_BLANK_H 160

/* 3.10.2: detailed timing descriptor, with reduced blanking as CVT-RB has it: 160 dots. */
static void
put_timing (guint8 *d, guint width, guint height, guint width_mm, guint height_mm)
{
  const guint front = 48, sync = 32, v_front = 3, v_sync = 6;
  guint blank = MAX_BLANK_H, v_blank = MAX (height / 30, 20);
  guint64 clock = (guint64)(width + blank) * (height + v_blank) * REFRESH / 10000;

  clock = MIN (clock, MAX_CLOCK);
  d[0] = clock & 0xff;
  d[1] = clock >> 8;
  d[2] = width & 0xff;
  d[3] = blank & 0xff;
  d[4] = (width >> 8) << 4 | blank >> 8;
  d[5] = height & 0xff;
  d[6] = v_blank & 0xff;
  d[7] = (height >> 8) << 4 | v_blank >> 8;
  d[8] = front;
  d[9] = sync;
  d[10] = v_front << 4 | v_sync;
  d[11] = 0;
  d[12] = width_mm & 0xff;
  d[13] = height_mm & 0xff;
  d[14] = (width_mm >> 8) << 4 | height_mm >> 8;
  d[17] = 0x1a; /* digital separate sync, + horizontal, - vertical */
}

/* 3.10.3: a display descriptor with text. */
static void
put_text (guint8 *d, guint8 tag, const char *text)
{
  gsize length = MIN (strlen (text), 13);

  d[3] = tag;
  memset (d + 5, ' ', 13);
  memcpy (d + 5, text, length);
  if (length < 13)
    d[5 + length] = '\n';
}

static void
put_checksum (guint8 *block)
{
  guint8 sum = 0;

  for (guint i = 0; i < BLOCK - 1; i++)
    sum += block[i];
  block[BLOCK - 1] = (guint8)-sum;
}

/* 3.9: standard timings, all 60 Hz. Aspect: 0 16:10, 1 4:3, 2 5:4, 3 16:9. */
static const struct
{
  guint16 width;
  guint8 aspect;
} standard[8] = { { 1920, 3 }, { 1680, 0 }, { 1600, 1 }, { 1440, 0 },
                  { 1280, 2 }, { 1280, 0 }, { 1280, 3 }, { 1024, 1 } };

void
edid_make (guint width, guint height, guint32 serial, guint8 ret_edid[EDID_SIZE])
{
  guint8 *e = ret_edid;
  guint width_mm, height_mm;

  width = CLAMP (width, 1, MAX_PIXELS);
  height = CLAMP (height, 1, MAX_PIXELS);
  width_mm = MAX (width * 254 / (DPI * 10), 1);
  height_mm = MAX (height * 254 / (DPI * 10), 1);
  memset (e, 0, EDID_SIZE);

  memset (e + 1, 0xff, 6);                     /* 3.3 header */
  e[8] = ('A' - '@') << 2 | ('L' - '@') >> 3;  /* 3.4 manufacturer "ALC" */
  e[9] = (('L' - '@') & 7) << 5 | ('C' - '@'); /* big endian, 5 bits a letter */
  e[10] = 0x01;
  for (guint i = 0; i < 4; i++)
    e[12 + i] = serial >> (i * 8) & 0xff;
  e[16] = 1;
  e[17] = 2024 - 1990;
  e[18] = 1; /* version 1.4 */
  e[19] = 4;
  e[20] = 0xa5; /* 3.6: digital, 8 bits a colour, DisplayPort */
  e[21] = (guint8)MIN (width_mm / 10, 255);
  e[22] = (guint8)MIN (height_mm / 10, 255);
  e[23] = 120;  /* gamma 2.2 */
  e[24] = 0x06; /* sRGB is the default; the first timing is the native one */
  /* 3.7: sRGB chromaticity */
  memcpy (e + 25, (const guint8[]){ 0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54 },
          10);
  e[35] = 0x21; /* 3.8: 640x480, 800x600 at 60 Hz */
  e[36] = 0x08; /* 1024x768 at 60 Hz */
  for (guint i = 0; i < G_N_ELEMENTS (standard); i++)
    {
      e[38 + i * 2] = standard[i].width / 8 - 31;
      e[39 + i * 2] = (guint8)(standard[i].aspect << 6);
    }
  put_timing (e + 54, width, height, width_mm, height_mm);
  /* 3.10.3.3: range limits; vertical, horizontal kHz, clock in 10 MHz. */
  memcpy (e + 72, (const guint8[]){ 0, 0, 0, 0xfd, 0, 50, 75, 30, 160, 66, 1, '\n' }, 12);
  memset (e + 84, ' ', 6);
  put_text (e + 90, 0xfc, "Alcove");
  e[108 + 3] = 0x10; /* dummy */
  e[126] = 1;
  put_checksum (e);

  /* CTA-861 extension without data blocks: more detailed timings. */
  e += BLOCK;
  e[0] = 0x02;
  e[1] = 3;
  e[2] = 4; /* timings start here */
  put_timing (e + 4, 2560, 1440, 677, 381);
  put_timing (e + 22, 3840, 2160, 1016, 571);
  put_timing (e + 40, 1366, 768, 361, 203);
  put_checksum (e);
}
