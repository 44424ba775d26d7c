/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a machine needs from the hypervisor, as an ops table: KVM implements it (vmm/kvm-*.c), the
 * test harness too (tests/unit/harness). The owner embeds VmmAccel first in its struct. */
#pragma once
#include <glib.h>
#include "vmm/memory.h"

typedef struct _VmmAccel VmmAccel;

typedef struct
{
  const char *name;
  VmmMemoryListener memory; /* user_data is the VmmAccel */
  /* -errno or 0. gsi: 0..23 are IOAPIC pins (0..15 also the PIC's). */
  int (*set_gsi) (VmmAccel *accel, guint gsi, gboolean level);
  int (*signal_msi) (VmmAccel *accel, guint64 address, guint32 data);
  /* Allocates a GSI (>= 24) routed to an MSI; then set_msi_route changes it. */
  int (*alloc_msi_route) (VmmAccel *accel, guint64 address, guint32 data); /* gsi or -errno */
  int (*set_msi_route) (VmmAccel *accel, guint gsi, guint64 address, guint32 data);
  void (*free_msi_route) (VmmAccel *accel, guint gsi);
  /* resamplefd: -1 for edge. */
  int (*irqfd) (VmmAccel *accel, int eventfd, int resamplefd, guint gsi, gboolean assign);
  /* size 0: any size. has_match: only when the written value equals match. */
  int (*ioeventfd) (VmmAccel *accel,
                    int eventfd,
                    gboolean pio,
                    guint64 address,
                    guint size,
                    gboolean has_match,
                    guint64 match,
                    gboolean assign);
  /* (nullable) Between hold and release, changes of MSI routes are only noted; release makes them
   * at once. They nest. */
  void (*hold_routes) (VmmAccel *accel);
  void (*release_routes) (VmmAccel *accel);
  /* (nullable) TRUE when the guest takes this GSI at the I/O APIC: the pin is not masked. */
  gboolean (*gsi_is_open) (VmmAccel *accel, guint gsi);
  /* (nullable) Tells of a VFIO group or device, or that it goes: the hypervisor asks it whether its
   * DMA is coherent. -errno or 0. */
  int (*set_vfio) (VmmAccel *accel, int fd, gboolean add);
} VmmAccelOps;

struct _VmmAccel
{
  const VmmAccelOps *ops;
};
