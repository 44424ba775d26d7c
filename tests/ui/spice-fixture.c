/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/ui/spice-fixture.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <spice.h>
#include <spice/qxl_dev.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FOURCC_XR24 0x34325258u
#define CURSOR_SIZE 32

struct _SpiceFixture
{
  SpiceFixtureMode mode;
  SpiceFixtureLog log;
  gpointer log_data;

  SpiceServer *server;
  QXLInstance qxl;
  SpiceKbdInstance kbd;
  SpiceMouseInstance mouse;
  SpiceTabletInstance tablet;

  guint width;
  guint height;
  guint32 *pixels;
  gsize size;
  int fd;
  bool surface;
  guint64 next_id;

  struct
  {
    bool in_flight;
    guint next_width; /* a size that waits for the frame in flight */
    guint next_height;
    guint x0, y0, x1, y1; /* what waits to be announced; nothing if x0 == x1 */
    guint acked;
  } draw;

  GMutex lock;    /* guards the queues: the worker thread takes from them */
  GQueue draws;   /* of Draw */
  GQueue cursors; /* of Cursor */
};

typedef struct
{
  QXLDrawable drawable;
  QXLImage image;
  guint32 pixels[];
} Draw;

typedef struct
{
  QXLCursorCmd cmd;
  struct
  {
    QXLCursor cursor;
    guint32 pixels[CURSOR_SIZE * CURSOR_SIZE];
  } shape;
} Cursor;

static void announce (SpiceFixture *self);
static void damage (SpiceFixture *self, guint x, guint y, guint w, guint h);

G_GNUC_PRINTF (2, 3)
static void
note (SpiceFixture *self, const char *format, ...)
{
  g_autofree char *line = NULL;
  va_list args;

  va_start (args, format);
  line = g_strdup_vprintf (format, args);
  va_end (args);
  if (self->log)
    self->log (line, self->log_data);
}

/* --- the main loop, for spice-server --- */

struct SpiceTimer
{
  SpiceTimerFunc func;
  void *opaque;
  guint source;
};

static gboolean
timer_fired (gpointer data)
{
  SpiceTimer *timer = data;

  timer->source = 0;
  timer->func (timer->opaque);
  return G_SOURCE_REMOVE;
}

static SpiceTimer *
timer_add (SpiceTimerFunc func, void *opaque)
{
  SpiceTimer *timer = g_new0 (SpiceTimer, 1);

  timer->func = func;
  timer->opaque = opaque;
  return timer;
}

static void
timer_cancel (SpiceTimer *timer)
{
  g_clear_handle_id (&timer->source, g_source_remove);
}

static void
timer_start (SpiceTimer *timer, uint32_t ms)
{
  timer_cancel (timer);
  timer->source = g_timeout_add (ms, timer_fired, timer);
}

static void
timer_remove (SpiceTimer *timer)
{
  timer_cancel (timer);
  g_free (timer);
}

struct SpiceWatch
{
  int fd;
  SpiceWatchFunc func;
  void *opaque;
  guint source;
};

static gboolean
watch_fired (int fd, GIOCondition condition, gpointer data)
{
  SpiceWatch *watch = data;
  int events = 0;

  if (condition & (G_IO_IN | G_IO_HUP | G_IO_ERR))
    events |= SPICE_WATCH_EVENT_READ;
  if (condition & G_IO_OUT)
    events |= SPICE_WATCH_EVENT_WRITE;
  watch->func (fd, events, watch->opaque);
  return G_SOURCE_CONTINUE;
}

static void
watch_update_mask (SpiceWatch *watch, int mask)
{
  GIOCondition condition = 0;

  g_clear_handle_id (&watch->source, g_source_remove);
  if (mask & SPICE_WATCH_EVENT_READ)
    condition |= G_IO_IN | G_IO_HUP | G_IO_ERR;
  if (mask & SPICE_WATCH_EVENT_WRITE)
    condition |= G_IO_OUT;
  if (condition)
    watch->source = g_unix_fd_add (watch->fd, condition, watch_fired, watch);
}

static SpiceWatch *
watch_add (int fd, int mask, SpiceWatchFunc func, void *opaque)
{
  SpiceWatch *watch = g_new0 (SpiceWatch, 1);

  watch->fd = fd;
  watch->func = func;
  watch->opaque = opaque;
  watch_update_mask (watch, mask);
  return watch;
}

static void
watch_remove (SpiceWatch *watch)
{
  g_clear_handle_id (&watch->source, g_source_remove);
  g_free (watch);
}

static void
channel_event (int event, SpiceChannelEventInfo *info)
{
}

static SpiceCoreInterface core = {
  .base = { .type = "core", .major_version = 1, .minor_version = 3 },
  .timer_add = timer_add,
  .timer_start = timer_start,
  .timer_cancel = timer_cancel,
  .timer_remove = timer_remove,
  .watch_add = watch_add,
  .watch_update_mask = watch_update_mask,
  .watch_remove = watch_remove,
  .channel_event = channel_event,
};

/* --- display --- */

static void
attached_worker (QXLInstance *qin)
{
}

static void
set_compression_level (QXLInstance *qin, int level)
{
}

static void
get_init_info (QXLInstance *qin, QXLDevInitInfo *info)
{
  memset (info, 0, sizeof *info);
  info->memslot_gen_bits = 8;
  info->memslot_id_bits = 8;
  info->num_memslots = 1;
  info->num_memslots_groups = 1;
  info->qxl_ram_size = 16 * 1024 * 1024;
  info->n_surfaces = 1024;
}

static int
get_command (QXLInstance *qin, QXLCommandExt *ext)
{
  SpiceFixture *self = SPICE_CONTAINEROF (qin, SpiceFixture, qxl);
  Draw *draw;

  g_mutex_lock (&self->lock);
  draw = g_queue_pop_head (&self->draws);
  g_mutex_unlock (&self->lock);
  if (!draw)
    return 0;
  memset (ext, 0, sizeof *ext);
  ext->cmd.type = QXL_CMD_DRAW;
  ext->cmd.data = (QXLPHYSICAL)(uintptr_t)&draw->drawable;
  draw->drawable.release_info.id = (uintptr_t)draw;
  return 1;
}

static int
get_cursor_command (QXLInstance *qin, QXLCommandExt *ext)
{
  SpiceFixture *self = SPICE_CONTAINEROF (qin, SpiceFixture, qxl);
  Cursor *cursor;

  g_mutex_lock (&self->lock);
  cursor = g_queue_pop_head (&self->cursors);
  g_mutex_unlock (&self->lock);
  if (!cursor)
    return 0;
  memset (ext, 0, sizeof *ext);
  ext->cmd.type = QXL_CMD_CURSOR;
  ext->cmd.data = (QXLPHYSICAL)(uintptr_t)&cursor->cmd;
  cursor->cmd.release_info.id = (uintptr_t)cursor;
  return 1;
}

static int
req_notification (QXLInstance *qin)
{
  return 1;
}

static void
release_resource (QXLInstance *qin, QXLReleaseInfoExt info)
{
  g_free ((void *)(uintptr_t)info.info->id);
}

static void
notify_update (QXLInstance *qin, uint32_t id)
{
}

static int
flush_resources (QXLInstance *qin)
{
  return 0;
}

static gboolean
frame_acknowledged (gpointer data)
{
  SpiceFixture *self = data;

  self->draw.acked++;
  self->draw.in_flight = false;
  if (self->draw.next_width)
    spice_fixture_set_size (self, self->draw.next_width, self->draw.next_height);
  announce (self);
  return G_SOURCE_REMOVE;
}

static void
async_complete (QXLInstance *qin, uint64_t cookie)
{
  SpiceFixture *self = SPICE_CONTAINEROF (qin, SpiceFixture, qxl);

  if (cookie)
    g_idle_add (frame_acknowledged, self);
}

static void
update_area_complete (QXLInstance *qin, uint32_t id, QXLRect *rects, uint32_t n)
{
}

/* The server itself sends the scanout to a new client, but no frame. */
static gboolean
client_present (gpointer data)
{
  SpiceFixture *self = data;

  damage (self, 0, 0, self->width, self->height);
  return G_SOURCE_REMOVE;
}

static void
set_client_capabilities (QXLInstance *qin, uint8_t present, uint8_t caps[SPICE_CAPABILITIES_SIZE])
{
  SpiceFixture *self = SPICE_CONTAINEROF (qin, SpiceFixture, qxl);

  if (present && self->mode != SPICE_FIXTURE_DRAWABLES)
    g_idle_add (client_present, self);
}

static int
client_monitors_config (QXLInstance *qin, VDAgentMonitorsConfig *config)
{
  return 1;
}

static const QXLInterface qxl_interface = {
  .base = { .type = SPICE_INTERFACE_QXL,
            .description = "picture",
            .major_version = SPICE_INTERFACE_QXL_MAJOR,
            .minor_version = SPICE_INTERFACE_QXL_MINOR },
  .attached_worker = attached_worker,
  .set_compression_level = set_compression_level,
  .get_init_info = get_init_info,
  .get_command = get_command,
  .req_cmd_notification = req_notification,
  .release_resource = release_resource,
  .get_cursor_command = get_cursor_command,
  .req_cursor_notification = req_notification,
  .notify_update = notify_update,
  .flush_resources = flush_resources,
  .async_complete = async_complete,
  .update_area_complete = update_area_complete,
  .set_client_capabilities = set_client_capabilities,
  .client_monitors_config = client_monitors_config,
};

/* --- input --- */

static void
kbd_push (SpiceKbdInstance *sin, uint8_t byte)
{
  note (SPICE_CONTAINEROF (sin, SpiceFixture, kbd), "key %02x", byte);
}

static uint8_t
kbd_leds (SpiceKbdInstance *sin)
{
  return 0;
}

static const SpiceKbdInterface kbd_interface = {
  .base = { .type = SPICE_INTERFACE_KEYBOARD,
            .major_version = SPICE_INTERFACE_KEYBOARD_MAJOR,
            .minor_version = SPICE_INTERFACE_KEYBOARD_MINOR },
  .push_scan_freg = kbd_push,
  .get_leds = kbd_leds,
};

static void
mouse_motion (SpiceMouseInstance *sin, int dx, int dy, int dz, uint32_t buttons)
{
  note (SPICE_CONTAINEROF (sin, SpiceFixture, mouse), "motion %d %d %d %u", dx, dy, dz, buttons);
}

static void
mouse_buttons (SpiceMouseInstance *sin, uint32_t buttons)
{
  note (SPICE_CONTAINEROF (sin, SpiceFixture, mouse), "mouse-buttons %u", buttons);
}

static const SpiceMouseInterface mouse_interface = {
  .base = { .type = SPICE_INTERFACE_MOUSE,
            .major_version = SPICE_INTERFACE_MOUSE_MAJOR,
            .minor_version = SPICE_INTERFACE_MOUSE_MINOR },
  .motion = mouse_motion,
  .buttons = mouse_buttons,
};

static void
tablet_size (SpiceTabletInstance *tablet, int width, int height)
{
}

static void
tablet_position (SpiceTabletInstance *tablet, int x, int y, uint32_t buttons)
{
  note (SPICE_CONTAINEROF (tablet, SpiceFixture, tablet), "position %d %d %u", x, y, buttons);
}

static void
tablet_wheel (SpiceTabletInstance *tablet, int motion, uint32_t buttons)
{
  SpiceFixture *self = SPICE_CONTAINEROF (tablet, SpiceFixture, tablet);

  /* The server reports a button that goes down as a wheel that did not turn. */
  if (motion)
    note (self, "wheel %d", motion);
  else
    note (self, "buttons %u", buttons);
}

static void
tablet_buttons (SpiceTabletInstance *tablet, uint32_t buttons)
{
  note (SPICE_CONTAINEROF (tablet, SpiceFixture, tablet), "buttons %u", buttons);
}

static const SpiceTabletInterface tablet_interface = {
  .base = { .type = SPICE_INTERFACE_TABLET,
            .major_version = SPICE_INTERFACE_TABLET_MAJOR,
            .minor_version = SPICE_INTERFACE_TABLET_MINOR },
  .set_logical_size = tablet_size,
  .position = tablet_position,
  .wheel = tablet_wheel,
  .buttons = tablet_buttons,
};

/* --- the picture --- */

guint32
spice_fixture_pattern (guint x, guint y)
{
  return (x & 0xff) << 16 | (y & 0xff) << 8 | ((x >> 8) * 37 + (y >> 8) * 91) % 256;
}

static void
queue_drawable (SpiceFixture *self, guint x, guint y, guint w, guint h)
{
  Draw *draw = g_malloc0 (sizeof (Draw) + (gsize)w * h * 4);
  QXLRect area = { .top = (int)y, .left = (int)x, .bottom = (int)(y + h), .right = (int)(x + w) };

  for (guint line = 0; line < h; line++)
    memcpy (&draw->pixels[(gsize)line * w], &self->pixels[(gsize)(y + line) * self->width + x],
            (gsize)w * 4);
  draw->drawable.surface_id = 0;
  draw->drawable.type = QXL_DRAW_COPY;
  draw->drawable.effect = QXL_EFFECT_OPAQUE;
  draw->drawable.clip.type = SPICE_CLIP_TYPE_NONE;
  draw->drawable.bbox = area;
  for (int i = 0; i < 3; i++)
    draw->drawable.surfaces_dest[i] = -1;
  draw->drawable.u.copy.rop_descriptor = SPICE_ROPD_OP_PUT;
  draw->drawable.u.copy.src_bitmap = (QXLPHYSICAL)(uintptr_t)&draw->image;
  draw->drawable.u.copy.src_area = (QXLRect){ .bottom = (int)h, .right = (int)w };
  QXL_SET_IMAGE_ID (&draw->image, QXL_IMAGE_GROUP_DEVICE, ++self->next_id);
  draw->image.descriptor.type = SPICE_IMAGE_TYPE_BITMAP;
  draw->image.descriptor.width = w;
  draw->image.descriptor.height = h;
  draw->image.bitmap.format = SPICE_BITMAP_FMT_32BIT;
  draw->image.bitmap.flags = SPICE_BITMAP_FLAGS_TOP_DOWN | QXL_BITMAP_DIRECT;
  draw->image.bitmap.x = w;
  draw->image.bitmap.y = h;
  draw->image.bitmap.stride = w * 4;
  draw->image.bitmap.data = (QXLPHYSICAL)(uintptr_t)draw->pixels;

  g_mutex_lock (&self->lock);
  g_queue_push_tail (&self->draws, draw);
  g_mutex_unlock (&self->lock);
  spice_qxl_wakeup (&self->qxl);
}

/* Sends what changed, one frame at a time. */
static void
announce (SpiceFixture *self)
{
  guint x = self->draw.x0, y = self->draw.y0;
  guint w = self->draw.x1 - x, h = self->draw.y1 - y;

  if (!w || self->draw.in_flight)
    return;
  self->draw.x0 = self->draw.x1 = 0;
  if (self->mode == SPICE_FIXTURE_DRAWABLES)
    {
      queue_drawable (self, x, y, w, h);
      return;
    }
  self->draw.in_flight = true;
  spice_qxl_gl_draw_async (&self->qxl, x, y, w, h, 1);
}

static void
damage (SpiceFixture *self, guint x, guint y, guint w, guint h)
{
  if (self->draw.x0 == self->draw.x1)
    {
      self->draw.x0 = x;
      self->draw.y0 = y;
      self->draw.x1 = x + w;
      self->draw.y1 = y + h;
    }
  else
    {
      self->draw.x0 = MIN (self->draw.x0, x);
      self->draw.y0 = MIN (self->draw.y0, y);
      self->draw.x1 = MAX (self->draw.x1, x + w);
      self->draw.y1 = MAX (self->draw.y1, y + h);
    }
  announce (self);
}

static void
create_primary (SpiceFixture *self)
{
  QXLDevSurfaceCreate surface = {
    .format = SPICE_SURFACE_FMT_32_xRGB,
    .width = self->width,
    .height = self->height,
    .stride = -(int)(self->width * 4),
    .mouse_mode = TRUE,
    .type = QXL_SURF_TYPE_PRIMARY,
    .flags = 0,
    .group_id = 0,
    .mem = (QXLPHYSICAL)(uintptr_t)g_malloc0 (self->size),
  };

  if (self->surface)
    spice_qxl_destroy_primary_surface (&self->qxl, 0);
  spice_qxl_create_primary_surface (&self->qxl, 0, &surface);
  self->surface = true;
}

/**
 * spice_fixture_set_size:
 *
 * A new picture of this size, showing the pattern.
 */
void
spice_fixture_set_size (SpiceFixture *self, guint width, guint height)
{
  self->draw.next_width = self->draw.next_height = 0;
  if (self->draw.in_flight)
    {
      self->draw.next_width = width;
      self->draw.next_height = height;
      return;
    }
  if (self->pixels)
    munmap (self->pixels, self->size);
  if (self->fd >= 0)
    close (self->fd);
  self->width = width;
  self->height = height;
  self->size = (gsize)width * height * 4;
  self->fd = memfd_create ("picture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  g_assert_cmpint (self->fd, >=, 0);
  g_assert_cmpint (ftruncate (self->fd, (off_t)self->size), ==, 0);
  if (self->mode != SPICE_FIXTURE_MEMFD_UNSEALED)
    g_assert_cmpint (fcntl (self->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), ==, 0);
  self->pixels = mmap (NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
  g_assert_true (self->pixels != MAP_FAILED);
  for (guint y = 0; y < height; y++)
    for (guint x = 0; x < width; x++)
      self->pixels[(gsize)y * width + x] = spice_fixture_pattern (x, y);

  self->draw.x0 = self->draw.x1 = 0;
  if (self->mode == SPICE_FIXTURE_DRAWABLES)
    create_primary (self);
  else
    spice_qxl_gl_scanout (&self->qxl, dup (self->fd), width, height, width * 4, FOURCC_XR24, TRUE);
  note (self, "size %u %u", width, height);
  damage (self, 0, 0, width, height);
}

/**
 * spice_fixture_fill:
 *
 * Paints a rectangle and announces only that.
 */
void
spice_fixture_fill (SpiceFixture *self, guint x, guint y, guint w, guint h, guint32 xrgb)
{
  for (guint line = y; line < y + h; line++)
    for (guint column = x; column < x + w; column++)
      self->pixels[(gsize)line * self->width + column] = xrgb;
  damage (self, x, y, w, h);
}

/**
 * spice_fixture_set_cursor:
 *
 * Shows a red square as the pointer, or hides it.
 */
void
spice_fixture_set_cursor (SpiceFixture *self, bool visible)
{
  Cursor *cursor = g_new0 (Cursor, 1);

  if (visible)
    {
      QXLCursor *shape = &cursor->shape.cursor;

      cursor->cmd.type = QXL_CURSOR_SET;
      cursor->cmd.u.set.visible = TRUE;
      cursor->cmd.u.set.shape = (QXLPHYSICAL)(uintptr_t)shape;
      shape->header.unique = ++self->next_id;
      shape->header.type = SPICE_CURSOR_TYPE_ALPHA;
      shape->header.width = shape->header.height = CURSOR_SIZE;
      shape->header.hot_spot_x = shape->header.hot_spot_y = 4;
      shape->data_size = sizeof cursor->shape.pixels;
      shape->chunk.data_size = shape->data_size;
      for (guint i = 0; i < CURSOR_SIZE * CURSOR_SIZE; i++)
        {
          const guint32 red = GUINT32_TO_LE (0xffff0000u);

          memcpy (shape->chunk.data + i * sizeof red, &red, sizeof red);
        }
    }
  else
    cursor->cmd.type = QXL_CURSOR_HIDE;
  g_mutex_lock (&self->lock);
  g_queue_push_tail (&self->cursors, cursor);
  g_mutex_unlock (&self->lock);
  spice_qxl_wakeup (&self->qxl);
}

guint
spice_fixture_get_frames_acked (SpiceFixture *self)
{
  return self->draw.acked;
}

const guint32 *
spice_fixture_get_pixels (SpiceFixture *self, guint *width, guint *height)
{
  *width = self->width;
  *height = self->height;
  return self->pixels;
}

/* --- life --- */

SpiceFixture *
spice_fixture_new (SpiceFixtureMode mode,
                   guint width,
                   guint height,
                   bool tablet,
                   SpiceFixtureLog log,
                   gpointer user_data)
{
  SpiceFixture *self = g_new0 (SpiceFixture, 1);
  QXLDevMemSlot slot = { .virt_end = ~0ul };

  self->mode = mode;
  self->log = log;
  self->log_data = user_data;
  self->fd = -1;
  g_mutex_init (&self->lock);
  self->qxl.base.sif = &qxl_interface.base;
  self->kbd.base.sif = &kbd_interface.base;
  self->mouse.base.sif = &mouse_interface.base;
  self->tablet.base.sif = &tablet_interface.base;

  self->server = spice_server_new ();
  spice_server_set_noauth (self->server);
  spice_server_set_image_compression (self->server, SPICE_IMAGE_COMPRESSION_OFF);
  spice_server_set_streaming_video (self->server, SPICE_STREAM_VIDEO_OFF);
  spice_server_set_agent_mouse (self->server, 0);
  g_assert_cmpint (spice_server_init (self->server, &core), ==, 0);
  g_assert_cmpint (spice_server_add_interface (self->server, &self->qxl.base), ==, 0);
  spice_qxl_set_device_info (&self->qxl, "pci/0000/02.0", 0, 1);
  spice_qxl_add_memslot (&self->qxl, &slot);
  g_assert_cmpint (spice_server_add_interface (self->server, &self->kbd.base), ==, 0);
  g_assert_cmpint (spice_server_add_interface (self->server, &self->mouse.base), ==, 0);
  if (tablet)
    g_assert_cmpint (spice_server_add_interface (self->server, &self->tablet.base), ==, 0);
  spice_server_vm_start (self->server);
  spice_fixture_set_size (self, width, height);
  return self;
}

bool
spice_fixture_add_client (SpiceFixture *self, int fd)
{
  return spice_server_add_client (self->server, fd, TRUE) == 0;
}

void
spice_fixture_free (SpiceFixture *self)
{
  if (!self)
    return;
  spice_server_vm_stop (self->server);
  spice_server_destroy (self->server);
  while (g_idle_remove_by_data (self))
    ;
  g_queue_clear_full (&self->draws, g_free);
  g_queue_clear_full (&self->cursors, g_free);
  munmap (self->pixels, self->size);
  close (self->fd);
  g_mutex_clear (&self->lock);
  g_free (self);
}
