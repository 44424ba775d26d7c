/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * AlcoveFramebuffer: the guest's picture as GTK textures.
 *
 * The source is memory of the VMM (a memfd, mapped when it is sealed against shrinking and read
 * otherwise) or of the SPICE client (a surface painted from drawables). GdkTexture is immutable, so
 * the picture is kept as tiles and only tiles that were damaged are copied again; when the picture
 * is shown scaled one texture is used instead, because neighbouring tiles would show seams.
 *
 * Owned by the display widget; main thread only. Pixels are 32 bit little endian xRGB.
 */
#pragma once

#include <gtk/gtk.h>
#include <stdbool.h>

G_BEGIN_DECLS

#define ALCOVE_FRAMEBUFFER_MAX_SIZE 16384

typedef struct _AlcoveFramebuffer AlcoveFramebuffer;

AlcoveFramebuffer *alcove_framebuffer_new (void);
void alcove_framebuffer_free (AlcoveFramebuffer *self);

bool alcove_framebuffer_set_fd (AlcoveFramebuffer *self,
                                int fd,
                                guint width,
                                guint height,
                                guint stride,
                                guint32 fourcc,
                                bool y0_top,
                                GError **error);
bool alcove_framebuffer_set_memory (AlcoveFramebuffer *self,
                                    const guint8 *pixels,
                                    guint width,
                                    guint height,
                                    int stride,
                                    GError **error);
void alcove_framebuffer_clear (AlcoveFramebuffer *self);
void alcove_framebuffer_freeze (AlcoveFramebuffer *self);

bool alcove_framebuffer_has_picture (const AlcoveFramebuffer *self);
guint alcove_framebuffer_get_width (const AlcoveFramebuffer *self);
guint alcove_framebuffer_get_height (const AlcoveFramebuffer *self);

void alcove_framebuffer_damage (AlcoveFramebuffer *self, int x, int y, int width, int height);
guint alcove_framebuffer_update (AlcoveFramebuffer *self, bool tiled);
void alcove_framebuffer_snapshot (AlcoveFramebuffer *self,
                                  GtkSnapshot *snapshot,
                                  const graphene_rect_t *bounds);
GdkTexture *alcove_framebuffer_dup_texture (AlcoveFramebuffer *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AlcoveFramebuffer, alcove_framebuffer_free)

G_END_DECLS
