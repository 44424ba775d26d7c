/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guest sound DEVICE MILLISECONDS: plays silence on an ALSA playback device (/dev/snd/pcmC0D0p) and
 * watches the card's position in the stream.
 *   prints SOUND FRAMES MILLISECONDS STEPS    how far the position came in what time, how often it
 *                                             was seen to move
 */
#include "guest.h"

#include <fcntl.h>
#include <sound/asound.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define RATE     48000
#define CHANNELS 2
#define PERIOD   1024
#define PERIODS  4
#define BOUNDARY ((uint64_t)PERIOD * PERIODS << 20)

static void
set_mask (struct snd_pcm_hw_params *p, unsigned parameter, unsigned value)
{
  struct snd_mask *mask = &p->masks[parameter - SNDRV_PCM_HW_PARAM_FIRST_MASK];

  memset (mask, 0, sizeof *mask);
  mask->bits[value / 32] = 1u << value % 32;
}

static void
set_interval (struct snd_pcm_hw_params *p, unsigned parameter, unsigned value)
{
  struct snd_interval *i = &p->intervals[parameter - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL];

  *i = (struct snd_interval){ .min = value, .max = value, .integer = 1 };
}

static bool
set_up (int fd)
{
  struct snd_pcm_hw_params hw = { .rmask = ~0u, .info = ~0u };
  struct snd_pcm_sw_params sw = {
    .period_step = 1,
    .avail_min = PERIOD,
    .start_threshold = PERIOD * PERIODS,
    .stop_threshold = BOUNDARY, /* a guest that came too late goes on */
    .boundary = BOUNDARY,
  };

  memset (hw.masks, 0xff, sizeof hw.masks);
  for (size_t i = 0; i < sizeof hw.intervals / sizeof hw.intervals[0]; i++)
    hw.intervals[i].max = ~0u;
  set_mask (&hw, SNDRV_PCM_HW_PARAM_ACCESS, SNDRV_PCM_ACCESS_RW_INTERLEAVED);
  set_mask (&hw, SNDRV_PCM_HW_PARAM_FORMAT, SNDRV_PCM_FORMAT_S16_LE);
  set_mask (&hw, SNDRV_PCM_HW_PARAM_SUBFORMAT, SNDRV_PCM_SUBFORMAT_STD);
  set_interval (&hw, SNDRV_PCM_HW_PARAM_CHANNELS, CHANNELS);
  set_interval (&hw, SNDRV_PCM_HW_PARAM_RATE, RATE);
  set_interval (&hw, SNDRV_PCM_HW_PARAM_PERIOD_SIZE, PERIOD);
  set_interval (&hw, SNDRV_PCM_HW_PARAM_PERIODS, PERIODS);
  return ioctl (fd, SNDRV_PCM_IOCTL_HW_PARAMS, &hw) == 0 &&
         ioctl (fd, SNDRV_PCM_IOCTL_SW_PARAMS, &sw) == 0 &&
         ioctl (fd, SNDRV_PCM_IOCTL_PREPARE) == 0;
}

static uint64_t
now_ms (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool
feed (int fd, unsigned periods)
{
  static int16_t silence[PERIOD * CHANNELS];

  for (unsigned i = 0; i < periods; i++)
    {
      struct snd_xferi x = { .buf = silence, .frames = PERIOD };

      if (ioctl (fd, SNDRV_PCM_IOCTL_WRITEI_FRAMES, &x) < 0)
        return false;
    }
  return true;
}

int
guest_sound (int argc, char **argv)
{
  uint64_t begin, spent, frames = 0, last = 0;
  unsigned steps = 0, length;
  int fd;

  if (argc != 3)
    {
      fprintf (stderr, "usage: sound DEVICE MILLISECONDS\n");
      return 2;
    }
  length = (unsigned)atoi (argv[2]);
  fd = open (argv[1], O_RDWR | O_CLOEXEC);
  if (fd < 0 || !set_up (fd) || !feed (fd, PERIODS))
    {
      perror (argv[1]);
      return 1;
    }
  begin = now_ms ();
  do
    {
      struct snd_pcm_status status = { 0 };

      if (!feed (fd, 1)) /* blocks until a period has been played */
        {
          perror ("playing");
          return 1;
        }
      if (ioctl (fd, SNDRV_PCM_IOCTL_STATUS, &status) < 0)
        {
          perror ("status");
          return 1;
        }
      if (status.hw_ptr != last)
        steps++;
      frames += (status.hw_ptr + BOUNDARY - last) % BOUNDARY;
      last = status.hw_ptr;
      spent = now_ms () - begin;
    }
  while (spent < length);
  printf ("SOUND %llu %llu %u\n", (unsigned long long)frames, (unsigned long long)spent, steps);
  ioctl (fd, SNDRV_PCM_IOCTL_DROP);
  close (fd);
  return frames == 0;
}
