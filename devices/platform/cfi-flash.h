/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A parallel NOR flash with the Intel command set, one byte wide, 4 KiB blocks. In array mode it is
 * mapped read-only, so reads run at RAM speed and only writes come here; in command modes it is
 * trapped. Properties: "base" (guest address), "size", "path" (file), "read-only".
 *
 * The file is loaded at realize and written back whole, by a new file and rename, after writes have
 * been quiet for a second, at quiesce, and by cfi_flash_flush. Writes while the flash is in the
 * middle of a command wait for the end of it.
 * Spec: Intel 28F640J3 datasheet, JEDEC CFI JESD68.01 (command set 0001).
 * Threads: commands on vCPU threads; write-back on the machine's worker. */
#pragma once
#include "vmm/device.h"

typedef struct _CfiFlash CfiFlash;
extern const VmmDeviceOps cfi_flash_ops;

#define CFI_FLASH_BLOCK 4096

/* Writes changed contents to the file now. Errors name the file. Control thread. */
gboolean cfi_flash_flush (CfiFlash *flash, GError **error);
/* (transfer full): a copy of what the guest sees, written to the file or not. Quiesced devices. */
GBytes *cfi_flash_dup_contents (CfiFlash *flash);
guint64 cfi_flash_get_n_write_errors (CfiFlash *flash);
