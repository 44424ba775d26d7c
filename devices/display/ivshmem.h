/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "ivshmem": memory that the guest shares with programs of the host, 1af4:1110 revision 1 without
 * interrupts. BAR 0 are its registers, BAR 2 is the memory. It relays the pictures of a
 * passed-through GPU: the guest's Looking Glass writes frames there and the host's client reads them.
 *
 * The memory outlives the guest's resets, since the other side may be looking at it; it is a sealed
 * memfd, so that nobody can cut it short under the guest. What the host writes there is as hostile
 * to the guest as any device's memory, and the other way round; nothing in here reads it.
 * Properties: size (bytes, a power of two from 1 MiB to 1 GiB).
 * Spec: QEMU's docs/specs/ivshmem-spec (register layout). */
#pragma once
#include "vmm/device.h"

extern const VmmDeviceOps ivshmem_device_ops;

/* Bytes, a power of two, for frames of width x height pixels of 4 bytes: three frames with lines of
 * whole 256 bytes, and 4 MiB for pointer shapes and queues. width, height: up to 16384. */
guint64 ivshmem_get_frames_size (guint width, guint height);
/* The shared memory of a realized device. (transfer none) */
int ivshmem_get_fd (VmmDevice *device);
