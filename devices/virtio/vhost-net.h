/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kernel's data path of a virtio-net device (vhost-net): receive and transmit queues are served
 * by a kernel thread that hears the doorbells and raises the interrupts itself.
 * Life: new in realize, start and stop on the device's worker or with the device stopped, free in
 * unrealize. The memory table follows the guest's memory map. */
#pragma once
#include "devices/virtio/virtio.h"

typedef struct _VhostNet VhostNet;

/* vhost_fd, tap_fd: borrowed. Errors: the kernel lacks something; the message names it. */
VhostNet *
vhost_net_new (VirtioDevice *device, VmmMachine *machine, int vhost_fd, int tap_fd, GError **error);
void vhost_net_free (VhostNet *vhost);
/* Queues 0 and 1 as they are enabled now. On the worker with the device lock. Returns -errno, and
 * then nothing has changed. */
int vhost_net_start (VhostNet *vhost);
/* Takes both queues back, with their positions. Nothing when not started. */
void vhost_net_stop (VhostNet *vhost);
