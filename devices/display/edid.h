/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Makes the EDID of a virtual monitor. Spec: VESA E-EDID 1.4. Thread: any. */
#pragma once
#include <glib.h>

#define EDID_SIZE 256

/* width, height: the preferred mode in pixels, 1..4095 (larger ones are shown as 4095, as detailed
 * timings can say no more). serial tells monitors of one machine apart. ret_edid: base block and an
 * extension block with further modes. */
void edid_make (guint width, guint height, guint32 serial, guint8 ret_edid[EDID_SIZE]);
