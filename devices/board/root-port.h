/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A PCI Express root port with a hot-plug slot (native hot-plug: presence, link state, attention
 * button, power control). It owns the bus behind it. Properties: PCI, "slot-number" (shown to
 * people by the guest, unique). Spec: PCI Express Base 5.0, 6.7 and 7.5.3.
 * Threads: config accesses on vCPU threads; plug and eject on the control thread. */
#pragma once
#include "devices/pci/pci.h"

extern const VmmDeviceOps pcie_root_port_ops;

/* What the slot's link shows: speed as in the link status register (1: 2.5 GT/s ...), width in
 * lanes; 1, 1 is an empty slot's. Thread: any. */
void pcie_root_port_set_link (PciDevice *device, guint speed, guint width);
/* What firmware is to leave free behind the port, while it is empty at a reset, for a card that comes
 * later: bytes of memory below 4 GiB and of prefetchable memory above. G_MAXUINT32, G_MAXUINT64: what
 * the firmware thinks right. Thread: control. */
void pcie_root_port_set_reserve (PciDevice *port, guint32 memory, guint64 prefetchable);
PciBus *pcie_root_port_get_bus (PciDevice *port);
/* A driver of the guest hears the slot's events; without one a button is pressed in vain. */
gboolean pcie_root_port_is_heard (PciDevice *port);
/* The guest has switched the slot's power off: nothing of it uses the device. */
gboolean pcie_root_port_is_off (PciDevice *port);
/* Presses the attention button: the guest takes its driver off and switches the slot's power off.
 * done (nullable): once, when it did (or was reset, which is as good), on any thread with the PCI
 * lock held: forward it to the control thread, which then unrealizes the device. FALSE: the slot is
 * empty or its power is off already, so the device can be taken out at once. */
gboolean pcie_root_port_request_eject (PciDevice *port,
                                       void (*done) (gpointer user_data),
                                       gpointer user_data);
/* Forgets done; after return it is not called. */
void pcie_root_port_cancel_eject (PciDevice *port);
