/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guest draw [SECONDS]: shows a known picture through the kernel's DRM driver (a dumb buffer, set
 * on the first connected connector in its preferred mode) and draws it anew in the new size when
 * the display says that its modes changed. A 64x64 cursor (red square, white edge) is shown at
 * 100,50. Prints "ALCOVE-GUEST: drew WIDTHxHEIGHT" each time.
 *
 * The picture, for checking from outside: the outermost pixels are white; else
 * red = x mod 256, green = y mod 256, blue = (x / 4 + y / 2 + width + height) mod 256.
 */
#include "guest.h"

#include <drm.h>
#include <drm_mode.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_OBJECTS 16
#define MAX_MODES   128

typedef struct
{
  uint32_t handle;
  uint32_t stride;
  uint64_t size;
  uint32_t *pixels;
} Buffer;

typedef struct
{
  uint32_t connector;
  uint32_t crtc;
  struct drm_mode_modeinfo mode;
} Output;

static bool
buffer_new (int fd, Buffer *b, uint32_t width, uint32_t height)
{
  struct drm_mode_create_dumb create = { .width = width, .height = height, .bpp = 32 };
  struct drm_mode_map_dumb map = { 0 };

  if (ioctl (fd, DRM_IOCTL_MODE_CREATE_DUMB, &create) < 0)
    return false;
  map.handle = create.handle;
  if (ioctl (fd, DRM_IOCTL_MODE_MAP_DUMB, &map) < 0)
    return false;
  b->handle = create.handle;
  b->stride = create.pitch;
  b->size = create.size;
  b->pixels = mmap (NULL, create.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)map.offset);
  return b->pixels != MAP_FAILED;
}

/* The first connected connector, its preferred mode and a CRTC that can drive it. */
static bool
find_output (int fd, Output *out)
{
  uint32_t crtcs[MAX_OBJECTS], connectors[MAX_OBJECTS];
  struct drm_mode_card_res res = { 0 };

  res.crtc_id_ptr = (uintptr_t)crtcs;
  res.connector_id_ptr = (uintptr_t)connectors;
  res.count_crtcs = res.count_connectors = MAX_OBJECTS;
  if (ioctl (fd, DRM_IOCTL_MODE_GETRESOURCES, &res) < 0 || res.count_crtcs == 0 ||
      res.count_connectors > MAX_OBJECTS)
    return false;
  for (uint32_t i = 0; i < res.count_connectors; i++)
    {
      static struct drm_mode_modeinfo modes[MAX_MODES];
      struct drm_mode_get_connector c = { .connector_id = connectors[i] };

      /* The call without room for modes makes the kernel ask the display again. */
      if (ioctl (fd, DRM_IOCTL_MODE_GETCONNECTOR, &c) < 0 || c.connection != 1 ||
          c.count_modes == 0 || c.count_modes > MAX_MODES)
        continue;
      c.count_encoders = c.count_props = 0;
      c.modes_ptr = (uintptr_t)modes;
      if (ioctl (fd, DRM_IOCTL_MODE_GETCONNECTOR, &c) < 0)
        continue;
      out->connector = connectors[i];
      out->crtc = crtcs[0];
      out->mode = modes[0];
      for (uint32_t m = 0; m < c.count_modes && m < MAX_MODES; m++)
        if (modes[m].type & DRM_MODE_TYPE_PREFERRED)
          {
            out->mode = modes[m];
            break;
          }
      return true;
    }
  errno = ENODEV;
  return false;
}

uint32_t
guest_picture (uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
  if (x == 0 || y == 0 || x == width - 1 || y == height - 1)
    return 0xffffff;
  return (x & 255) << 16 | (y & 255) << 8 | ((x / 4 + y / 2 + width + height) & 255);
}

static void
paint (Buffer *b, uint32_t width, uint32_t height)
{
  for (uint32_t y = 0; y < height; y++)
    {
      uint32_t *row = (uint32_t *)((char *)b->pixels + (size_t)y * b->stride);

      for (uint32_t x = 0; x < width; x++)
        row[x] = guest_picture (x, y, width, height);
    }
}

static bool
show (int fd, const Output *out)
{
  uint32_t width = out->mode.hdisplay, height = out->mode.vdisplay;
  uint32_t connector = out->connector;
  struct drm_mode_fb_cmd fb = { .width = width, .height = height, .bpp = 32, .depth = 24 };
  struct drm_mode_crtc crtc = { .crtc_id = out->crtc, .count_connectors = 1, .mode_valid = 1 };
  struct drm_mode_fb_dirty_cmd dirty = { 0 };
  Buffer b;

  if (!buffer_new (fd, &b, width, height))
    return false;
  paint (&b, width, height);
  fb.handle = b.handle;
  fb.pitch = b.stride;
  if (ioctl (fd, DRM_IOCTL_MODE_ADDFB, &fb) < 0)
    return false;
  crtc.fb_id = fb.fb_id;
  crtc.set_connectors_ptr = (uintptr_t)&connector;
  crtc.mode = out->mode;
  if (ioctl (fd, DRM_IOCTL_MODE_SETCRTC, &crtc) < 0)
    return false;
  dirty.fb_id = fb.fb_id;
  ioctl (fd, DRM_IOCTL_MODE_DIRTYFB, &dirty);
  return true;
}

static void
show_cursor (int fd, uint32_t crtc)
{
  struct drm_mode_cursor cursor = { .flags = DRM_MODE_CURSOR_BO | DRM_MODE_CURSOR_MOVE,
                                    .crtc_id = crtc,
                                    .x = 100,
                                    .y = 50,
                                    .width = 64,
                                    .height = 64 };
  Buffer b;

  if (!buffer_new (fd, &b, 64, 64))
    return;
  for (int y = 0; y < 64; y++)
    for (int x = 0; x < 64; x++)
      b.pixels[y * 64 + x] = x >= 32 || y >= 32                       ? 0
                             : x == 0 || y == 0 || x == 31 || y == 31 ? 0xffffffff
                                                                      : 0xffff0000;
  cursor.handle = b.handle;
  if (ioctl (fd, DRM_IOCTL_MODE_CURSOR, &cursor) < 0)
    printf ("ALCOVE-GUEST: no cursor: %s\n", strerror (errno));
  else
    printf ("ALCOVE-GUEST: cursor at 100,50\n");
}

static int
open_uevents (void)
{
  struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
  int s = socket (AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

  if (s >= 0 && bind (s, (struct sockaddr *)&address, sizeof address) < 0)
    {
      close (s);
      return -1;
    }
  return s;
}

int
guest_draw (int argc, char **argv)
{
  time_t end = time (NULL) + (argc > 1 ? atoi (argv[1]) : 86400);
  struct pollfd events = { .fd = open_uevents (), .events = POLLIN };
  int fd = open ("/dev/dri/card0", O_RDWR | O_CLOEXEC);
  Output now, next;

  if (fd < 0 || !find_output (fd, &now) || !show (fd, &now))
    {
      printf ("ALCOVE-GUEST: drew nothing: %s\n", strerror (errno));
      return 1;
    }
  show_cursor (fd, now.crtc);
  printf ("ALCOVE-GUEST: drew %ux%u\n", now.mode.hdisplay, now.mode.vdisplay);
  fflush (stdout);
  while (time (NULL) < end)
    {
      char text[4096];

      if (poll (&events, 1, 500) <= 0 || recv (events.fd, text, sizeof text, 0) <= 0 ||
          !strstr (text, "/drm/") || !find_output (fd, &next))
        continue;
      if (next.mode.hdisplay == now.mode.hdisplay && next.mode.vdisplay == now.mode.vdisplay)
        continue;
      now = next;
      if (show (fd, &now))
        printf ("ALCOVE-GUEST: drew %ux%u\n", now.mode.hdisplay, now.mode.vdisplay);
      else
        printf ("ALCOVE-GUEST: drew nothing: %s\n", strerror (errno));
      fflush (stdout);
    }
  return 0;
}
