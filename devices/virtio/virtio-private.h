/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The PCI transport's own structs: virtio-pci.c (set-up, interrupts, life cycle), virtio-regs.c
 * (registers) and virtio-state.c (save and load). */
#pragma once
#include "devices/virtio/virtio.h"

#define VIRTIO_VENDOR         0x1af4
#define VIRTIO_DEVICE_BASE    0x1040
#define VIRTIO_SUBSYSTEM      0x1100
#define VIRTIO_NO_VECTOR      0xffff
#define VIRTIO_COMMON_OFFSET  0x0000
#define VIRTIO_ISR_OFFSET     0x1000
#define VIRTIO_CONFIG_OFFSET  0x2000
#define VIRTIO_NOTIFY_OFFSET  0x3000
#define VIRTIO_PART_SIZE      0x1000
#define VIRTIO_BAR_SIZE       0x4000
/* With a first page of the device's own */
#define VIRTIO_SHIFTED_COMMON 0x1000
#define VIRTIO_SHIFTED_ISR    0x1800
#define VIRTIO_SHIFTED_SIZE   0x0800
#define VIRTIO_NOTIFY_STEP    4 /* notify_off_multiplier */
#define VIRTIO_PIO_BAR        0
#define VIRTIO_PROMOTE_KICKS  8 /* doorbell exits before an ioeventfd is made */
#define VIRTIO_MAX_CONFIG     VIRTIO_PART_SIZE

/* Virtio 1.2, 2.1: device status. */
enum
{
  STATUS_ACKNOWLEDGE = 1,
  STATUS_DRIVER = 2,
  STATUS_DRIVER_OK = 4,
  STATUS_FEATURES_OK = 8,
  STATUS_NEEDS_RESET = 64,
  STATUS_FAILED = 128,
};

/* Virtio 1.2, 4.1.4.5: ISR status. */
enum
{
  ISR_QUEUE = 1,
  ISR_CONFIG = 2,
};

/* Virtio 1.2, 6: bits the transport offers for every device. */
#define FEATURE_INDIRECT_DESC 28
#define FEATURE_EVENT_IDX     29
#define FEATURE_VERSION_1     32
#define FEATURE_BIT(n)        (G_GUINT64_CONSTANT (1) << (n))

typedef struct
{
  VirtioDevice *device;
  guint index;
  Virtqueue *vq;
  VmmWorker *worker;
  GMutex own_lock;
  GMutex *lock;

  /* registers; device lock */
  guint16 size, vector;
  guint8 enable;
  guint64 desc, driver, used;
  guint16 saved_avail; /* between load and resume */

  int doorbell; /* eventfd */
  VmmSource *source;
  gboolean taken; /* a kernel back end reads the doorbell */
  /* Doorbell exits and the ioeventfds made after some of them; doorbell_lock. */
  guint pio_exits, mmio_exits;
  guint64 pio_address, mmio_address; /* registered there, or PCI_BAR_UNMAPPED */
  guint64 n_kicks, n_interrupts;     /* atomic */
} VirtioQueueState;

typedef struct _VirtioTransport VirtioTransport;
struct _VirtioTransport
{
  VirtioDevice *device;
  VmmMachine *machine;
  guint n_queues;
  guint modern_bar;
  gboolean has_pio;
  guint cfg_window; /* offset of the PCI configuration access capability */
  guint64 features; /* offered */
  VmmRegion modern, pio;
  const VmmRegionOps *first_page; /* (nullable) */
  gpointer first_page_opaque;

  /* guest */
  guint32 device_feature_select, driver_feature_select;
  guint64 driver_features;
  guint16 config_vector;
  guint16 queue_select;
  gint status;     /* atomic */
  gint generation; /* atomic */
  guint isr;       /* isr_lock */

  GMutex isr_lock;      /* ISR and the level of INTx */
  GMutex doorbell_lock; /* ioeventfd registrations; taken last */
  guint64 pio_base, mmio_base;
  gboolean resetting;                           /* device lock: a reset runs without it */
  gboolean activated;                           /* activate was called, deactivate not yet */
  gboolean load_activate;                       /* resume must activate */
  gint active;                                  /* atomic: DRIVER_OK and not broken */
  gint quiesced;                                /* atomic */
  guint64 n_doorbell_exits, n_resets, n_broken; /* atomic */
  VirtioQueueState *queues;
};

extern const VmmRegionOps virtio_modern_region_ops;
extern const VmmRegionOps virtio_pio_region_ops;
/* Accesses by the configuration window; device lock held. */
guint32 virtio_transport_read (VirtioTransport *t, guint64 offset, guint size);
void virtio_transport_write (VirtioTransport *t, guint64 offset, guint size, guint64 value);

/* The driver wrote status 0, or the machine resets. Device lock held on entry and return, not
 * meanwhile. */
void virtio_transport_reset_locked (VirtioTransport *t);
/* DRIVER_OK: device lock held. */
void virtio_transport_activate (VirtioTransport *t);
void virtio_transport_ring (VirtioTransport *t, guint queue, gboolean pio);
void virtio_transport_raise (VirtioTransport *t, guint vector, guint isr);
