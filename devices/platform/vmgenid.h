/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Virtual machine generation id: 16 bytes in guest RAM that change when the machine goes back in
 * time or becomes two (restore, clone), so that the guest renews its random numbers and ids.
 * Firmware places the page through the table loader and writes its address back; direct boot tells
 * it with vmgenid_set_address.
 * Spec: Virtual Machine Generation ID (Microsoft, 2012); QEMU docs/specs/vmgenid.
 * Threads: control thread; the address comes on a vCPU thread. */
#pragma once
#include "vmm/device.h"

typedef struct _Vmgenid Vmgenid;
extern const VmmDeviceOps vmgenid_ops;

/* Properties: "fw-cfg" (pointer, FwCfg), "pm" (pointer, Pm). */

/* id: as the firmware tables and the guest see it (mixed byte order). Writes it to guest RAM when
 * the guest has a place for it, and raises the GPE so that it looks. */
void vmgenid_set_id (Vmgenid *vmgenid, const guint8 id[16]);
void vmgenid_get_id (Vmgenid *vmgenid, guint8 ret_id[16]);
/* Direct boot: where the page is; 0: nowhere. */
void vmgenid_set_address (Vmgenid *vmgenid, guint64 address);
