/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fw_cfg: how the machine tells firmware about itself. Ports base+0 (selector, 16 bit), base+1
 * (data), base+4 and +8 (DMA address, big endian). Interface: QEMU docs/specs/fw_cfg.
 * Items are added before the guest runs. Threads: add on the control thread; the select callback
 * runs on a vCPU thread with the device's lock held and may call fw_cfg_replace_file only. */
#pragma once
#include "vmm/device.h"

typedef struct _FwCfg FwCfg;
extern const VmmDeviceOps fw_cfg_ops;

#define FW_CFG_PORT 0x510

/* Well-known keys; x86 ones have bit 15. */
#define FW_CFG_KEY_SIGNATURE     0x00
#define FW_CFG_KEY_ID            0x01
#define FW_CFG_KEY_UUID          0x02
#define FW_CFG_KEY_RAM_SIZE      0x03
#define FW_CFG_KEY_NOGRAPHIC     0x04
#define FW_CFG_KEY_N_CPUS        0x05
#define FW_CFG_KEY_KERNEL_SIZE   0x08
#define FW_CFG_KEY_INITRD_SIZE   0x0b
#define FW_CFG_KEY_NUMA          0x0d
#define FW_CFG_KEY_BOOT_MENU     0x0e
#define FW_CFG_KEY_MAX_CPUS      0x0f
#define FW_CFG_KEY_KERNEL_DATA   0x11
#define FW_CFG_KEY_INITRD_DATA   0x12
#define FW_CFG_KEY_CMDLINE_SIZE  0x14
#define FW_CFG_KEY_CMDLINE_DATA  0x15
#define FW_CFG_KEY_SETUP_SIZE    0x17
#define FW_CFG_KEY_SETUP_DATA    0x18
#define FW_CFG_KEY_DIRECTORY     0x19
#define FW_CFG_KEY_FILE_FIRST    0x20
#define FW_CFG_KEY_IRQ0_OVERRIDE 0x8002

/* bytes: (transfer none). Replaces an item with that key. */
void fw_cfg_add_item (FwCfg *fw_cfg, guint16 key, GBytes *bytes);
void fw_cfg_add_uint (FwCfg *fw_cfg, guint16 key, guint64 value, guint size);
/* name: 1..55 bytes of printable ASCII. Errors: INVALID name, BUSY when the name is taken or the
 * directory is full. */
gboolean fw_cfg_add_file (FwCfg *fw_cfg, const char *name, GBytes *bytes, GError **error);
/* select: called each time the guest selects the file or the directory. */
gboolean fw_cfg_add_late_file (FwCfg *fw_cfg,
                               const char *name,
                               GBytes *bytes,
                               void (*select) (gpointer user_data),
                               gpointer user_data,
                               GError **error);
/* A file the guest may write by DMA, size bytes, at first zero. written: after each write, vCPU
 * thread, lock held. Its bytes are part of the saved state. */
gboolean fw_cfg_add_writable_file (FwCfg *fw_cfg,
                                   const char *name,
                                   gsize size,
                                   void (*written) (gpointer user_data, const guint8 *data),
                                   gpointer user_data,
                                   GError **error);
/* Only from a select callback, or before the guest runs. */
void fw_cfg_replace_file (FwCfg *fw_cfg, const char *name, GBytes *bytes);
/* (transfer full) (nullable): the present bytes of a file, copied under the lock. */
GBytes *fw_cfg_dup_file (FwCfg *fw_cfg, const char *name);
