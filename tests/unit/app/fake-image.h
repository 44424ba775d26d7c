/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A disk image that is a key file: one word of contents, and internal snapshots of it. Every
 * operation is whole or not done, as the interface promises. */
#pragma once
#include "app/disk-access.h"

const AlcoveDiskAccess *fake_image_get_access (void);

void fake_image_make (const char *path, const char *contents);
void fake_image_write (const char *path, const char *contents);
char *fake_image_read (const char *path);
/* The ids of its internal snapshots, sorted. */
GStrv fake_image_list (const char *path);
