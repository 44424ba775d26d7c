/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A picture to a PNG file (PNG specification, second edition), RGB with 8 bits a channel. */
#pragma once
#include "app/machine.h"

/**
 * alcove_picture_save_png:
 * @path: a file; replaced when the whole picture is written, untouched on error
 *
 * Blocks for as long as the compression takes (a 1080p picture: about 50 ms). Thread: any.
 */
gboolean alcove_picture_save_png (const AlcovePicture *picture, const char *path, GError **error);
/* The same into memory. (transfer full) */
GBytes *alcove_picture_to_png (const AlcovePicture *picture, GError **error);
