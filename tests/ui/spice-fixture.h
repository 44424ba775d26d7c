/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SpiceFixture: a SPICE server with a picture of its own and ears for input, standing where a
 * machine would. It runs in the default main context of whoever makes it and listens on nothing:
 * clients come as fds.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

G_BEGIN_DECLS

typedef struct _SpiceFixture SpiceFixture;

typedef enum
{
  SPICE_FIXTURE_MEMFD,          /* a sealed memfd scanout */
  SPICE_FIXTURE_MEMFD_UNSEALED, /* one that could shrink: the client must read, not map */
  SPICE_FIXTURE_DRAWABLES,      /* a primary surface and draw commands */
} SpiceFixtureMode;

/* One line per event, for instance "key 1e", "position 10 20 0", "buttons 1", "wheel -1". */
typedef void (*SpiceFixtureLog) (const char *line, gpointer user_data);

SpiceFixture *spice_fixture_new (SpiceFixtureMode mode,
                                 guint width,
                                 guint height,
                                 bool tablet,
                                 SpiceFixtureLog log,
                                 gpointer user_data);
void spice_fixture_free (SpiceFixture *self);
bool spice_fixture_add_client (SpiceFixture *self, int fd);
void spice_fixture_set_size (SpiceFixture *self, guint width, guint height);
void spice_fixture_fill (SpiceFixture *self, guint x, guint y, guint w, guint h, guint32 xrgb);
void spice_fixture_set_cursor (SpiceFixture *self, bool visible);
guint spice_fixture_get_frames_acked (SpiceFixture *self);
const guint32 *spice_fixture_get_pixels (SpiceFixture *self, guint *width, guint *height);

/* The colour (xRGB, the top byte 0) that the pattern has at a place. */
guint32 spice_fixture_pattern (guint x, guint y);

G_END_DECLS
