/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CRC-32C (Castagnoli, reflected 0x82f63b78) of what is kept in files. Thread: any; also safe after
 * a fork and in a signal handler. */
#pragma once
#include <glib.h>

/* Of length bytes; crc: 0, or the result for what comes before them. */
guint32 vmm_crc32c (guint32 crc, gconstpointer data, gsize length);
