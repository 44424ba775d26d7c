/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One scanout shown by spice-server, as a memfd scanout or as QXL drawables.
 *
 * Producer threads only note what changed (under lock) and wake the SPICE thread. The server's own
 * worker thread (one a display) fetches commands and reports completions; it too only takes lock.
 * Damage is one rectangle that grows until it is taken, so a slow client gets the newest picture,
 * never a queue of old ones.
 *
 * QXL addresses are host pointers here (one memory slot that covers everything), so only this file
 * fills QXL structures, never guest data. */
#include "devices/backends/spice/spice-private.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FOURCC_XRGB8888       0x34325258 /* DRM_FORMAT_XRGB8888, "XR24" */
#define MAX_DRAWABLES         64
#define MAX_DRAWABLE_BYTES    (48 * 1024 * 1024)
#define CURSOR_AGAIN_MS       200
#define DRAW_WAIT_US          (G_USEC_PER_SEC)
#define MONITORS_COOKIE       1
#define DRAW_COOKIE           2
#define QXL_SURFACE_KEEP_DATA 1 /* QXL_SURF_FLAG_KEEP_DATA: the memory already holds the picture */

typedef struct
{
  guint x0, y0, x1, y1; /* empty when x0 == x1 */
} Damage;

typedef enum
{
  COMMAND_DRAW,
  COMMAND_CURSOR,
} CommandKind;

/* What release_info.id points to. */
typedef struct
{
  CommandKind kind;
} Command;

typedef struct
{
  Command command;
  gsize size; /* bytes of pixels */
  QXLDrawable drawable;
  QXLImage image;
  guint32 pixels[];
} DrawCommand;

typedef struct
{
  Command command;
  QXLCursorCmd cmd;
  QXLCursor shape; /* its chunk's data is argb */
  guint8 argb[];
} CursorCommand;

struct _SpiceDisplay
{
  QXLInstance qxl;
  SpiceBackend *spice;
  DisplayScanout *scanout;
  guint index;
  GSource *wake;

  /* SPICE thread */
  SpiceShow show;     /* what is wanted */
  gboolean held;      /* the client changes: no draws until set_show */
  SpiceShow shown_as; /* how `shown` is there now */
  DisplaySurface *shown;
  guint8 *primary;
  union
  {
    QXLMonitorsConfig config;
    guint8 bytes[sizeof (QXLMonitorsConfig) + sizeof (QXLHead)];
  } monitors;

  GMutex lock;
  /* lock: from the producer */
  DisplaySurface *next;
  gboolean surface_changed;
  Damage damage;
  gboolean cursor_changed, cursor_moved, cursor_visible;
  guint cursor_width, cursor_height, cursor_hot_x, cursor_hot_y;
  guint32 *cursor_argb;
  int cursor_x, cursor_y;
  guint32 cursor_unique;
  GSource *cursor_again; /* (nullable) SPICE thread */
  /* lock: between the SPICE thread and the server's worker */
  gboolean draw_in_flight;
  GCond draw_done;
  DisplaySurface *drawn; /* what drawables are taken from; NULL: no primary surface */
  guint n_drawables;     /* the server keeps them until covered or asked to let go */
  gsize drawable_bytes;
  guint32 image_unique;
  GHashTable *commands; /* Command set: not yet released by the server */
};

static SpiceDisplay *
from_qxl (QXLInstance *qxl)
{
  return SPICE_CONTAINEROF (qxl, SpiceDisplay, qxl);
}

static gboolean
damage_is_empty (const Damage *damage)
{
  return damage->x0 >= damage->x1 || damage->y0 >= damage->y1;
}

static void
damage_add (Damage *damage, guint x, guint y, guint width, guint height)
{
  Damage add = { x, y, x + width, y + height };

  if (damage_is_empty (damage))
    {
      *damage = add;
      return;
    }
  damage->x0 = MIN (damage->x0, add.x0);
  damage->y0 = MIN (damage->y0, add.y0);
  damage->x1 = MAX (damage->x1, add.x1);
  damage->y1 = MAX (damage->y1, add.y1);
}

static void
damage_all (Damage *damage, DisplaySurface *surface)
{
  *damage =
      (Damage){ 0, 0, display_surface_get_width (surface), display_surface_get_height (surface) };
}

/* The rectangle may have been noted for a larger picture than the present one. */
static gboolean
damage_take (Damage *damage, DisplaySurface *surface, Damage *ret_damage)
{
  *ret_damage = *damage;
  *damage = (Damage){ 0 };
  ret_damage->x1 = MIN (ret_damage->x1, display_surface_get_width (surface));
  ret_damage->y1 = MIN (ret_damage->y1, display_surface_get_height (surface));
  return !damage_is_empty (ret_damage);
}

/* Producer's thread, perhaps with its device's lock held. */

static void
consumer_surface (gpointer consumer, DisplaySurface *surface)
{
  SpiceDisplay *display = consumer;
  DisplaySurface *old;

  g_mutex_lock (&display->lock);
  old = display->next;
  display->next = surface != NULL ? display_surface_ref (surface) : NULL;
  display->surface_changed = TRUE;
  g_mutex_unlock (&display->lock);
  display_surface_unref (old);
  spice_wake (display->wake);
}

static void
consumer_damage (gpointer consumer, guint x, guint y, guint width, guint height)
{
  SpiceDisplay *display = consumer;

  g_mutex_lock (&display->lock);
  damage_add (&display->damage, x, y, width, height);
  g_mutex_unlock (&display->lock);
  spice_wake (display->wake);
}

/* SPICE wants straight alpha; scanouts carry premultiplied. */
static guint32
unpremultiply (guint32 argb)
{
  guint32 alpha = argb >> 24, result = alpha << 24;

  if (alpha == 0)
    return 0;
  for (guint shift = 0; shift < 24; shift += 8)
    result |= MIN ((((argb >> shift) & 0xff) * 255 + alpha / 2) / alpha, 255) << shift;
  return result;
}

static void
consumer_cursor (gpointer consumer, const DisplayCursor *cursor)
{
  SpiceDisplay *display = consumer;
  gsize n = (gsize)cursor->width * cursor->height;
  guint32 *argb = NULL;

  if (n > 0)
    {
      argb = g_new (guint32, n);
      for (gsize i = 0; i < n; i++)
        argb[i] = GUINT32_TO_LE (unpremultiply (cursor->argb[i]));
    }
  g_mutex_lock (&display->lock);
  g_free (display->cursor_argb);
  display->cursor_argb = argb;
  display->cursor_width = cursor->width;
  display->cursor_height = cursor->height;
  display->cursor_hot_x = cursor->hot_x;
  display->cursor_hot_y = cursor->hot_y;
  display->cursor_unique++;
  display->cursor_changed = TRUE;
  g_mutex_unlock (&display->lock);
  spice_wake (display->wake);
}

static void
consumer_cursor_moved (gpointer consumer, int x, int y, gboolean visible)
{
  SpiceDisplay *display = consumer;

  g_mutex_lock (&display->lock);
  /* A hidden cursor comes back with its shape: HIDE forgets it on the client's side. */
  if (visible && !display->cursor_visible)
    display->cursor_changed = TRUE;
  display->cursor_x = x;
  display->cursor_y = y;
  display->cursor_visible = visible;
  display->cursor_moved = TRUE;
  g_mutex_unlock (&display->lock);
  spice_wake (display->wake);
}

static const DisplayConsumerOps consumer_ops = {
  .surface = consumer_surface,
  .damage = consumer_damage,
  .cursor = consumer_cursor,
  .cursor_moved = consumer_cursor_moved,
};

/* The server's worker thread. */

static void
qxl_get_init_info (QXLInstance *qxl, QXLDevInitInfo *info)
{
  *info = (QXLDevInitInfo){
    .num_memslots_groups = 1,
    .num_memslots = 1,
    .memslot_gen_bits = 8,
    .memslot_id_bits = 8,
    .qxl_ram_size = 16 * 1024 * 1024,
    .n_surfaces = 1024,
  };
}

static void
qxl_attached_worker (QXLInstance *qxl)
{
}

static void
qxl_set_compression_level (QXLInstance *qxl, int level)
{
}

static gboolean
can_draw_locked (SpiceDisplay *display)
{
  return display->drawn != NULL && !damage_is_empty (&display->damage) &&
         display->n_drawables < MAX_DRAWABLES && display->drawable_bytes < MAX_DRAWABLE_BYTES;
}

/* There is something to draw, but the server sits on too much. */
static gboolean
is_stuck_locked (SpiceDisplay *display)
{
  return display->drawn != NULL && !damage_is_empty (&display->damage) &&
         !can_draw_locked (display);
}

static DrawCommand *
make_drawable (SpiceDisplay *display, DisplaySurface *surface, const Damage *area, guint32 unique)
{
  guint width = area->x1 - area->x0, height = area->y1 - area->y0;
  guint stride = display_surface_get_stride (surface);
  const guint8 *from =
      display_surface_get_data (surface) + (gsize)area->y0 * stride + (gsize)area->x0 * 4;
  DrawCommand *draw = g_malloc0 (sizeof (DrawCommand) + (gsize)width * height * 4);
  QXLRect box = {
    .top = (gint)area->y0, .left = (gint)area->x0, .bottom = (gint)area->y1, .right = (gint)area->x1
  };

  for (guint y = 0; y < height; y++)
    memcpy (draw->pixels + (gsize)y * width, from + (gsize)y * stride, (gsize)width * 4);

  draw->command.kind = COMMAND_DRAW;
  draw->size = (gsize)width * height * 4;
  draw->drawable.release_info.id = (guintptr)draw;
  draw->drawable.type = QXL_DRAW_COPY;
  draw->drawable.effect = QXL_EFFECT_OPAQUE;
  draw->drawable.bbox = box;
  draw->drawable.clip.type = SPICE_CLIP_TYPE_NONE;
  for (guint i = 0; i < G_N_ELEMENTS (draw->drawable.surfaces_dest); i++)
    draw->drawable.surfaces_dest[i] = -1;
  draw->drawable.u.copy.rop_descriptor = SPICE_ROPD_OP_PUT;
  draw->drawable.u.copy.src_bitmap = (guintptr)&draw->image;
  draw->drawable.u.copy.src_area = (QXLRect){ .right = (gint)width, .bottom = (gint)height };

  draw->image.descriptor.id = ((guint64)unique << 32) | QXL_IMAGE_GROUP_DEVICE;
  draw->image.descriptor.type = SPICE_IMAGE_TYPE_BITMAP;
  draw->image.descriptor.width = width;
  draw->image.descriptor.height = height;
  draw->image.bitmap.format = SPICE_BITMAP_FMT_32BIT;
  draw->image.bitmap.flags = QXL_BITMAP_DIRECT | QXL_BITMAP_TOP_DOWN;
  draw->image.bitmap.x = width;
  draw->image.bitmap.y = height;
  draw->image.bitmap.stride = width * 4;
  draw->image.bitmap.data = (guintptr)draw->pixels;
  return draw;
}

static int
qxl_get_command (QXLInstance *qxl, QXLCommandExt *ext)
{
  SpiceDisplay *display = from_qxl (qxl);
  DisplaySurface *surface;
  DrawCommand *draw;
  Damage area;
  guint32 unique;

  g_mutex_lock (&display->lock);
  if (!can_draw_locked (display) || !damage_take (&display->damage, display->drawn, &area))
    {
      g_mutex_unlock (&display->lock);
      return 0;
    }
  surface = display_surface_ref (display->drawn);
  display->n_drawables++;
  display->drawable_bytes += (gsize)(area.x1 - area.x0) * (area.y1 - area.y0) * 4;
  unique = ++display->image_unique;
  g_mutex_unlock (&display->lock);

  draw = make_drawable (display, surface, &area, unique);
  display_surface_unref (surface);

  g_mutex_lock (&display->lock);
  g_hash_table_add (display->commands, draw);
  g_mutex_unlock (&display->lock);
  *ext = (QXLCommandExt){
    .cmd = { .type = QXL_CMD_DRAW, .data = (guintptr)&draw->drawable },
  };
  return 1;
}

static int
qxl_req_cmd_notification (QXLInstance *qxl)
{
  SpiceDisplay *display = from_qxl (qxl);
  gboolean more;

  g_mutex_lock (&display->lock);
  more = can_draw_locked (display);
  g_mutex_unlock (&display->lock);
  return !more;
}

static CursorCommand *
make_cursor_locked (SpiceDisplay *display)
{
  gsize size = (gsize)display->cursor_width * display->cursor_height * 4;
  CursorCommand *cursor = g_malloc0 (sizeof (CursorCommand) + size);
  QXLPoint16 position = { (gint16)CLAMP (display->cursor_x, G_MININT16, G_MAXINT16),
                          (gint16)CLAMP (display->cursor_y, G_MININT16, G_MAXINT16) };

  cursor->command.kind = COMMAND_CURSOR;
  cursor->cmd.release_info.id = (guintptr)cursor;
  if (size == 0 || !display->cursor_visible)
    {
      cursor->cmd.type = QXL_CURSOR_HIDE;
    }
  else if (display->cursor_changed)
    {
      cursor->cmd.type = QXL_CURSOR_SET;
      cursor->cmd.u.set.position = position;
      cursor->cmd.u.set.visible = TRUE;
      cursor->cmd.u.set.shape = (guintptr)&cursor->shape;
      cursor->shape.header.unique = display->cursor_unique;
      cursor->shape.header.type = SPICE_CURSOR_TYPE_ALPHA;
      cursor->shape.header.width = (guint16)display->cursor_width;
      cursor->shape.header.height = (guint16)display->cursor_height;
      cursor->shape.header.hot_spot_x = (guint16)display->cursor_hot_x;
      cursor->shape.header.hot_spot_y = (guint16)display->cursor_hot_y;
      cursor->shape.data_size = (guint32)size;
      cursor->shape.chunk.data_size = (guint32)size;
      memcpy (cursor->argb, display->cursor_argb, size);
    }
  else
    {
      cursor->cmd.type = QXL_CURSOR_MOVE;
      cursor->cmd.u.position = position;
    }
  /* Clients take the place from MOVE only: one follows each SET. */
  display->cursor_moved = cursor->cmd.type == QXL_CURSOR_SET;
  display->cursor_changed = FALSE;
  return cursor;
}

static int
qxl_get_cursor_command (QXLInstance *qxl, QXLCommandExt *ext)
{
  SpiceDisplay *display = from_qxl (qxl);
  CursorCommand *cursor = NULL;

  g_mutex_lock (&display->lock);
  if (display->cursor_changed || display->cursor_moved)
    {
      cursor = make_cursor_locked (display);
      g_hash_table_add (display->commands, cursor);
    }
  g_mutex_unlock (&display->lock);
  if (cursor == NULL)
    return 0;
  *ext = (QXLCommandExt){
    .cmd = { .type = QXL_CMD_CURSOR, .data = (guintptr)&cursor->cmd },
  };
  return 1;
}

static int
qxl_req_cursor_notification (QXLInstance *qxl)
{
  SpiceDisplay *display = from_qxl (qxl);
  gboolean more;

  g_mutex_lock (&display->lock);
  more = display->cursor_changed || display->cursor_moved;
  g_mutex_unlock (&display->lock);
  return !more;
}

static void
qxl_release_resource (QXLInstance *qxl, QXLReleaseInfoExt info)
{
  SpiceDisplay *display = from_qxl (qxl);
  Command *command = (Command *)(guintptr)info.info->id;
  gboolean more = FALSE;

  g_mutex_lock (&display->lock);
  if (g_hash_table_contains (display->commands, command))
    {
      if (command->kind == COMMAND_DRAW)
        {
          display->n_drawables--;
          display->drawable_bytes -= ((DrawCommand *)(gpointer)command)->size;
        }
      g_hash_table_remove (display->commands, command);
    }
  more = can_draw_locked (display);
  g_mutex_unlock (&display->lock);
  if (more)
    spice_wake (display->wake);
}

static void
qxl_notify_update (QXLInstance *qxl, uint32_t update_id)
{
}

static int
qxl_flush_resources (QXLInstance *qxl)
{
  return 0;
}

static void
qxl_async_complete (QXLInstance *qxl, uint64_t cookie)
{
  SpiceDisplay *display = from_qxl (qxl);

  if (cookie != DRAW_COOKIE)
    return;
  g_mutex_lock (&display->lock);
  display->draw_in_flight = FALSE;
  g_cond_signal (&display->draw_done);
  g_mutex_unlock (&display->lock);
  spice_wake (display->wake);
}

static void
qxl_update_area_complete (QXLInstance *qxl, uint32_t surface_id, QXLRect *rects, uint32_t n_rects)
{
}

/* A display channel came: it has the scanout, and gets the picture with a first draw. */
static void
qxl_set_client_capabilities (QXLInstance *qxl,
                             uint8_t present,
                             uint8_t caps[SPICE_CAPABILITIES_SIZE])
{
  SpiceDisplay *display = from_qxl (qxl);

  if (!present)
    return;
  g_mutex_lock (&display->lock);
  if (display->next != NULL)
    damage_all (&display->damage, display->next);
  /* A new client knows the shape from its greeting, not the place. */
  display->cursor_changed = display->cursor_argb != NULL;
  g_mutex_unlock (&display->lock);
  spice_wake (display->wake);
}

/* SPICE thread. Returning 1 keeps the sizes from the guest's agent: the display device tells the
 * guest. A disabled monitor comes as 0x0. */
static int
qxl_client_monitors_config (QXLInstance *qxl, VDAgentMonitorsConfig *config)
{
  SpiceDisplay *display = from_qxl (qxl);

  if (config != NULL && display->index < config->num_of_monitors)
    display_scanout_request_resize (display->scanout, config->monitors[display->index].width,
                                    config->monitors[display->index].height);
  return 1;
}

static const QXLInterface qxl_interface = {
  .base = { SPICE_INTERFACE_QXL, "alcove display", SPICE_INTERFACE_QXL_MAJOR,
            SPICE_INTERFACE_QXL_MINOR },
  .attached_worker = qxl_attached_worker,
  .set_compression_level = qxl_set_compression_level,
  .get_init_info = qxl_get_init_info,
  .get_command = qxl_get_command,
  .req_cmd_notification = qxl_req_cmd_notification,
  .release_resource = qxl_release_resource,
  .get_cursor_command = qxl_get_cursor_command,
  .req_cursor_notification = qxl_req_cursor_notification,
  .notify_update = qxl_notify_update,
  .flush_resources = qxl_flush_resources,
  .async_complete = qxl_async_complete,
  .update_area_complete = qxl_update_area_complete,
  .set_client_capabilities = qxl_set_client_capabilities,
  .client_monitors_config = qxl_client_monitors_config,
};

/* SPICE thread. */

static void
hide (SpiceDisplay *display)
{
  DisplaySurface *drawn;

  if (display->shown == NULL)
    return;
  if (display->shown_as == SPICE_SHOW_SCANOUT)
    {
      spice_qxl_gl_scanout (&display->qxl, -1, 0, 0, 0, 0, FALSE);
    }
  else
    {
      g_mutex_lock (&display->lock);
      drawn = g_steal_pointer (&display->drawn);
      g_mutex_unlock (&display->lock);
      display_surface_unref (drawn);
      spice_qxl_destroy_primary_surface (&display->qxl, 0); /* returns when all is released */
      g_clear_pointer (&display->primary, g_free);
    }
  g_clear_pointer (&display->shown, display_surface_unref);
}

static void
show_scanout (SpiceDisplay *display, DisplaySurface *surface)
{
  int fd = fcntl (display_surface_get_fd (surface), F_DUPFD_CLOEXEC, 3);

  if (fd < 0)
    return; /* out of fds: the client keeps what it has */
  g_clear_pointer (&display->shown, display_surface_unref);
  display->shown = display_surface_ref (surface);
  display->shown_as = SPICE_SHOW_SCANOUT;
  spice_qxl_gl_scanout (&display->qxl, fd, display_surface_get_width (surface),
                        display_surface_get_height (surface), display_surface_get_stride (surface),
                        FOURCC_XRGB8888, TRUE);
}

static void
show_primary (SpiceDisplay *display, DisplaySurface *surface)
{
  guint width = display_surface_get_width (surface), height = display_surface_get_height (surface);
  gsize size = (gsize)width * height * 4;
  QXLDevSurfaceCreate create = {
    .width = width,
    .height = height,
    .stride = -(gint32)(width * 4),
    .format = SPICE_SURFACE_FMT_32_xRGB,
    .mouse_mode = TRUE,
    .flags = QXL_SURFACE_KEEP_DATA,
  };
  QXLHead *head = (QXLHead *)(display->monitors.bytes + sizeof (QXLMonitorsConfig));

  hide (display);
  display->primary = g_try_malloc (size);
  if (display->primary == NULL)
    return;
  /* A negative stride means rows from the bottom up. */
  for (guint y = 0; y < height; y++)
    memcpy (display->primary + (gsize)(height - 1 - y) * width * 4,
            display_surface_get_data (surface) + (gsize)y * width * 4, (gsize)width * 4);
  create.mem = (guintptr)display->primary;
  display->shown = display_surface_ref (surface);
  display->shown_as = SPICE_SHOW_DRAWABLES;
  spice_qxl_create_primary_surface (&display->qxl, 0, &create);
  display->monitors.config.count = 1;
  display->monitors.config.max_allowed = 1;
  *head = (QXLHead){ .width = width, .height = height };
  spice_qxl_monitors_config_async (&display->qxl, (guintptr)&display->monitors, 0, MONITORS_COOKIE);
  g_mutex_lock (&display->lock);
  display->drawn = display_surface_ref (surface);
  g_mutex_unlock (&display->lock);
}

/* The server takes no new scanout while a draw of the present one is on its way (it aborts). The
 * client's answer, or its going, completes the draw and wakes us. */
static gboolean
must_wait_locked (SpiceDisplay *display)
{
  return display->draw_in_flight && display->shown != NULL &&
         (display->surface_changed || display->show != display->shown_as);
}

/* Brings what the server has in line with what is wanted. FALSE: not yet. */
static gboolean
apply_surface (SpiceDisplay *display)
{
  DisplaySurface *surface = NULL;
  gboolean wait, changed = FALSE;

  g_mutex_lock (&display->lock);
  wait = must_wait_locked (display);
  if (!wait)
    {
      changed = display->surface_changed;
      display->surface_changed = FALSE;
      if (changed && display->next != NULL)
        {
          surface = display_surface_ref (display->next);
          damage_all (&display->damage, surface);
        }
    }
  g_mutex_unlock (&display->lock);
  if (wait)
    return FALSE;

  if (display->shown != NULL && (display->shown_as != display->show || (changed && !surface)))
    hide (display);
  if (surface != NULL && display->show == SPICE_SHOW_SCANOUT)
    show_scanout (display, surface);
  else if (surface != NULL && display->show == SPICE_SHOW_DRAWABLES)
    show_primary (display, surface);
  display_surface_unref (surface);
  return TRUE;
}

static void
display_update (gpointer user_data)
{
  SpiceDisplay *display = user_data;
  gboolean cursor, draw = FALSE, wake = FALSE, stuck = FALSE;
  Damage area;

  if (display->held || !apply_surface (display) || display->show == SPICE_SHOW_NOTHING)
    return;

  g_mutex_lock (&display->lock);
  cursor = display->cursor_changed || display->cursor_moved;
  if (display->show == SPICE_SHOW_DRAWABLES)
    {
      wake = can_draw_locked (display);
      stuck = is_stuck_locked (display);
    }
  else if (display->shown != NULL && !display->draw_in_flight)
    {
      draw = display->draw_in_flight = damage_take (&display->damage, display->shown, &area);
    }
  g_mutex_unlock (&display->lock);

  if (draw)
    spice_qxl_gl_draw_async (&display->qxl, area.x0, area.y0, area.x1 - area.x0, area.y1 - area.y0,
                             DRAW_COOKIE);
  /* Renders and releases some; the releases wake us. */
  if (stuck && display->spice->running)
    spice_qxl_oom (&display->qxl);
  if (cursor || wake)
    spice_qxl_wakeup (&display->qxl);
}

static gboolean
on_cursor_again (gpointer user_data)
{
  SpiceDisplay *display = user_data;

  g_clear_pointer (&display->cursor_again, g_source_unref);
  g_mutex_lock (&display->lock);
  display->cursor_changed = display->cursor_argb != NULL;
  g_mutex_unlock (&display->lock);
  spice_wake (display->wake);
  return G_SOURCE_REMOVE;
}

/* The server's worker connects the channel some messages later and tells nobody. */
void
spice_display_repeat_cursor (SpiceDisplay *display)
{
  if (display->cursor_again != NULL)
    return;
  display->cursor_again = g_timeout_source_new (CURSOR_AGAIN_MS);
  g_source_set_callback (display->cursor_again, on_cursor_again, display, NULL);
  g_source_attach (display->cursor_again, g_main_context_get_thread_default ());
}

void
spice_display_hold (SpiceDisplay *display)
{
  display->held = TRUE;
}

/* A draw that went out just before the client did is completed by the server's worker alone. The
 * scanout must be gone before the next client's display channel comes: one that cannot take
 * scanouts would be dropped. */
void
spice_display_wait_for_draw (SpiceDisplay *display)
{
  gint64 end = g_get_monotonic_time () + DRAW_WAIT_US;

  g_mutex_lock (&display->lock);
  while (display->draw_in_flight && g_cond_wait_until (&display->draw_done, &display->lock, end))
    continue;
  g_mutex_unlock (&display->lock);
}

void
spice_display_set_show (SpiceDisplay *display, SpiceShow show)
{
  SpiceShow before = display->show;

  display->held = FALSE;
  if (before == show)
    {
      display_update (display);
      return;
    }
  if (show == SPICE_SHOW_NOTHING)
    display_scanout_remove_consumer (display->scanout, display);
  g_mutex_lock (&display->lock);
  display->damage = (Damage){ 0 };
  display->surface_changed = TRUE;
  if (show == SPICE_SHOW_NOTHING)
    g_clear_pointer (&display->next, display_surface_unref);
  g_mutex_unlock (&display->lock);
  display->show = show;
  if (before == SPICE_SHOW_NOTHING)
    display_scanout_add_consumer (display->scanout, &consumer_ops, display);
  display_update (display);
}

SpiceDisplay *
spice_display_new (SpiceBackend *spice, DisplayScanout *scanout, guint index)
{
  SpiceDisplay *display = g_new0 (SpiceDisplay, 1);
  QXLDevMemSlot slot = { .virt_end = ~(uintptr_t)0 };
  char address[32];

  g_mutex_init (&display->lock);
  g_cond_init (&display->draw_done);
  display->spice = spice;
  display->scanout = scanout;
  display->index = index;
  display->commands = g_hash_table_new_full (NULL, NULL, g_free, NULL);
  display->wake = spice_wake_new (spice, display_update, display);
  display->qxl.id = (int)index;
  display->qxl.base.sif = &qxl_interface.base;
  spice_server_add_interface (spice->server, &display->qxl.base);
  /* Names the monitor to agents; all of them are heads of the first display function. */
  g_snprintf (address, sizeof address, "pci/0000/01.0");
  spice_qxl_set_device_info (&display->qxl, address, index, 1);
  spice_qxl_add_memslot (&display->qxl, &slot);
  return display;
}

void
spice_display_free (SpiceDisplay *display)
{
  if (display == NULL)
    return;
  spice_wake_free (display->wake);
  display_surface_unref (display->shown);
  display_surface_unref (display->next);
  display_surface_unref (display->drawn);
  g_free (display->primary);
  if (display->cursor_again != NULL)
    {
      g_source_destroy (display->cursor_again);
      g_source_unref (display->cursor_again);
    }
  g_free (display->cursor_argb);
  g_hash_table_unref (display->commands);
  g_mutex_clear (&display->lock);
  g_cond_clear (&display->draw_done);
  g_free (display);
}
