/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/serial.h"

#include "devices/backends/char/char.h"
#include "vmm/machine.h"

#include <string.h>

#define FIFO_SIZE 16
#define CLOCK_HZ  115200 /* bits per second at divisor 1 */

#define IER_RDI  (1u << 0)
#define IER_THRI (1u << 1)
#define IER_RLSI (1u << 2)
#define IER_MSI  (1u << 3)

#define IIR_NONE    0x01
#define IIR_MSI     0x00
#define IIR_THRI    0x02
#define IIR_RDI     0x04
#define IIR_RLSI    0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO    0xc0

#define FCR_ENABLE   (1u << 0)
#define FCR_CLEAR_RX (1u << 1)
#define FCR_CLEAR_TX (1u << 2)

#define LCR_DLAB  (1u << 7)
#define LCR_BREAK (1u << 6)

#define MCR_DTR  (1u << 0)
#define MCR_RTS  (1u << 1)
#define MCR_OUT1 (1u << 2)
#define MCR_OUT2 (1u << 3) /* gates the interrupt on a PC */
#define MCR_LOOP (1u << 4)

#define LSR_DR   (1u << 0)
#define LSR_OE   (1u << 1)
#define LSR_BI   (1u << 4)
#define LSR_THRE (1u << 5)
#define LSR_TEMT (1u << 6)

#define MSR_DELTA 0x0f
#define MSR_CTS   (1u << 4)
#define MSR_DSR   (1u << 5)
#define MSR_RI    (1u << 6)
#define MSR_DCD   (1u << 7)

/* Where nobody tells when the back end has room again, look after this time. */
#define RETRY_NS G_GINT64_CONSTANT (2000000)

typedef struct
{
  VmmDevice parent;
  struct
  {
    guint64 port, gsi;
    CharBackend *chardev;
  } config;
  struct
  {
    guint8 ier, fcr, lcr, mcr, lsr, msr, scratch;
    guint16 divisor;
    guint8 rx[FIFO_SIZE], rx_head, rx_count;
    guint8 tx[FIFO_SIZE], tx_head, tx_count;
    guint8 thr_interrupt; /* transmitter empty, not yet acknowledged */
    guint8 timeout_interrupt;
  } guest;
  struct
  {
    VmmRegion region;
    VmmIrqLine irq;
    VmmTimer *timeout; /* receiver idle for four characters */
    VmmTimer *retry;
    VmmTimer *room; /* tells the back end that there is room again */
    gboolean attached;
    gboolean waiting; /* for the back end to take bytes */
    gboolean starved; /* the back end was told there is no room */
  } host;
} Serial;

static gboolean
fifo_enabled (Serial *serial)
{
  return (serial->guest.fcr & FCR_ENABLE) != 0;
}

static guint
rx_capacity (Serial *serial)
{
  return fifo_enabled (serial) ? FIFO_SIZE : 1;
}

static guint
rx_trigger (Serial *serial)
{
  static const guint8 levels[] = { 1, 4, 8, 14 };

  return fifo_enabled (serial) ? levels[serial->guest.fcr >> 6] : 1;
}

/* PC16550D, table 3: priorities line status, received data, timeout, transmitter, modem. */
static guint8
interrupt_id (Serial *serial)
{
  if ((serial->guest.ier & IER_RLSI) != 0 && (serial->guest.lsr & (LSR_OE | LSR_BI)) != 0)
    return IIR_RLSI;
  if ((serial->guest.ier & IER_RDI) != 0 && serial->guest.rx_count >= rx_trigger (serial))
    return IIR_RDI;
  if ((serial->guest.ier & IER_RDI) != 0 && serial->guest.timeout_interrupt != 0 &&
      serial->guest.rx_count > 0)
    return IIR_TIMEOUT;
  if ((serial->guest.ier & IER_THRI) != 0 && serial->guest.thr_interrupt != 0)
    return IIR_THRI;
  if ((serial->guest.ier & IER_MSI) != 0 && (serial->guest.msr & MSR_DELTA) != 0)
    return IIR_MSI;
  return IIR_NONE;
}

static void
update_irq (Serial *serial)
{
  /* PC wiring: OUT2 gates the line. Loopback takes OUT2 off the pin. */
  gboolean gate = (serial->guest.mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

  vmm_irq_line_set (&serial->host.irq, gate && interrupt_id (serial) != IIR_NONE);
}

static gint64
character_ns (Serial *serial)
{
  guint divisor = MAX (serial->guest.divisor, 1);

  return VMM_NSEC_PER_SEC * 10 * divisor / CLOCK_HZ;
}

static void
push_rx (Serial *serial, guint8 byte)
{
  if (serial->guest.rx_count >= rx_capacity (serial))
    {
      serial->guest.lsr |= LSR_OE;
      return;
    }
  serial->guest.rx[(serial->guest.rx_head + serial->guest.rx_count) % FIFO_SIZE] = byte;
  serial->guest.rx_count++;
  serial->guest.lsr |= LSR_DR;
  serial->guest.timeout_interrupt = 0;
  if (fifo_enabled (serial))
    vmm_timer_set (serial->host.timeout,
                   vmm_clock_get_ns (vmm_machine_get_clock (serial->parent.machine)) +
                       4 * character_ns (serial));
}

static void
on_timeout (gpointer user_data)
{
  Serial *serial = user_data;

  g_mutex_lock (&serial->parent.lock);
  if (serial->guest.rx_count > 0)
    serial->guest.timeout_interrupt = 1;
  update_irq (serial);
  g_mutex_unlock (&serial->parent.lock);
}

static void drain_tx (Serial *serial);

static void
on_writable (gpointer user_data)
{
  Serial *serial = user_data;

  g_mutex_lock (&serial->parent.lock);
  serial->host.waiting = FALSE;
  drain_tx (serial);
  update_irq (serial);
  g_mutex_unlock (&serial->parent.lock);
}

/* Hands the transmit FIFO to the back end; what it does not take waits, and THRE stays clear. */
static void
drain_tx (Serial *serial)
{
  CharBackend *chardev = serial->config.chardev;

  while (serial->guest.tx_count > 0 && !serial->host.waiting)
    {
      guint8 head = serial->guest.tx_head;
      gsize run = MIN (serial->guest.tx_count, (guint)FIFO_SIZE - head);
      gsize taken =
          chardev == NULL ? run : chardev->ops->write (chardev, serial->guest.tx + head, run);

      taken = MIN (taken, run);
      serial->guest.tx_head = (guint8)((head + taken) % FIFO_SIZE);
      serial->guest.tx_count -= (guint8)taken;
      if (taken == run)
        continue;
      serial->host.waiting = TRUE;
      if (chardev->ops->notify_writable != NULL)
        chardev->ops->notify_writable (chardev, on_writable, serial);
      else
        vmm_timer_set (serial->host.retry,
                       vmm_clock_get_ns (vmm_machine_get_clock (serial->parent.machine)) +
                           RETRY_NS);
    }
  if (serial->guest.tx_count > 0)
    return;
  if ((serial->guest.lsr & LSR_THRE) == 0)
    serial->guest.thr_interrupt = 1;
  serial->guest.lsr |= LSR_THRE | LSR_TEMT;
}

static void
transmit (Serial *serial, guint8 byte)
{
  guint capacity = fifo_enabled (serial) ? FIFO_SIZE : 1;

  serial->guest.thr_interrupt = 0;
  if ((serial->guest.mcr & MCR_LOOP) != 0)
    {
      push_rx (serial, byte);
      serial->guest.thr_interrupt = 1;
      return;
    }
  serial->guest.lsr &= (guint8) ~(LSR_THRE | LSR_TEMT);
  /* Overrun of the transmitter loses the new byte, as on hardware. */
  if (serial->guest.tx_count < capacity)
    {
      serial->guest.tx[(serial->guest.tx_head + serial->guest.tx_count) % FIFO_SIZE] = byte;
      serial->guest.tx_count++;
    }
  drain_tx (serial);
}

/* MSR: in loopback the modem lines come from MCR (PC16550D, 8.7); else a plugged-in peer is ready. */
static void
update_msr (Serial *serial)
{
  guint8 old = serial->guest.msr, now = 0, delta = 0;

  if ((serial->guest.mcr & MCR_LOOP) != 0)
    {
      now |= (serial->guest.mcr & MCR_RTS) != 0 ? MSR_CTS : 0;
      now |= (serial->guest.mcr & MCR_DTR) != 0 ? MSR_DSR : 0;
      now |= (serial->guest.mcr & MCR_OUT1) != 0 ? MSR_RI : 0;
      now |= (serial->guest.mcr & MCR_OUT2) != 0 ? MSR_DCD : 0;
    }
  else if (serial->config.chardev != NULL)
    now = MSR_CTS | MSR_DSR | MSR_DCD;
  delta = (guint8)((old ^ now) >> 4);
  /* Ring counts only when it ends: TERI. */
  if ((now & MSR_RI) != 0)
    delta &= (guint8) ~(1u << 2);
  serial->guest.msr = (guint8)(now | (old & MSR_DELTA) | (delta & MSR_DELTA));
}

static guint8
pop_rx (Serial *serial)
{
  guint8 byte;

  if (serial->guest.rx_count == 0)
    return 0;
  byte = serial->guest.rx[serial->guest.rx_head];
  serial->guest.rx_head = (guint8)((serial->guest.rx_head + 1) % FIFO_SIZE);
  serial->guest.rx_count--;
  serial->guest.timeout_interrupt = 0;
  if (serial->guest.rx_count == 0)
    {
      serial->guest.lsr &= (guint8) ~(LSR_DR | LSR_BI);
      vmm_timer_set (serial->host.timeout, VMM_CLOCK_NEVER);
    }
  else if (fifo_enabled (serial))
    vmm_timer_set (serial->host.timeout,
                   vmm_clock_get_ns (vmm_machine_get_clock (serial->parent.machine)) +
                       4 * character_ns (serial));
  return byte;
}

static void
tell_room (gpointer user_data)
{
  Serial *serial = user_data;

  if (serial->config.chardev->ops->can_receive_more != NULL)
    serial->config.chardev->ops->can_receive_more (serial->config.chardev);
}

/* The back end may call receive at once: never under our lock, so from the worker. A timer, since
 * freeing it ends what is still on its way. */
static void
offer_room (Serial *serial)
{
  if (!serial->host.starved || serial->config.chardev == NULL ||
      serial->guest.rx_count >= rx_capacity (serial))
    return;
  serial->host.starved = FALSE;
  vmm_timer_set (serial->host.room,
                 vmm_clock_get_ns (vmm_machine_get_clock (serial->parent.machine)));
}

static VmmIoResult
serial_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  Serial *serial = opaque;
  guint8 id;

  switch (offset)
    {
    case 0:
      if ((serial->guest.lcr & LCR_DLAB) != 0)
        *value = serial->guest.divisor & 0xff;
      else
        {
          *value = pop_rx (serial);
          offer_room (serial);
        }
      break;
    case 1:
      *value =
          (serial->guest.lcr & LCR_DLAB) != 0 ? serial->guest.divisor >> 8u : serial->guest.ier;
      break;
    case 2:
      id = interrupt_id (serial);
      if (id == IIR_THRI)
        serial->guest.thr_interrupt = 0;
      *value = id | (fifo_enabled (serial) ? IIR_FIFO : 0);
      break;
    case 3:
      *value = serial->guest.lcr;
      break;
    case 4:
      *value = serial->guest.mcr;
      break;
    case 5:
      *value = serial->guest.lsr;
      serial->guest.lsr &= (guint8) ~(LSR_OE | LSR_BI);
      break;
    case 6:
      *value = serial->guest.msr;
      serial->guest.msr &= (guint8)~MSR_DELTA;
      break;
    default:
      *value = serial->guest.scratch;
      break;
    }
  update_irq (serial);
  return VMM_IO_OK;
}

static void
write_fcr (Serial *serial, guint8 value)
{
  gboolean toggled = ((value ^ serial->guest.fcr) & FCR_ENABLE) != 0;

  if (toggled || (value & FCR_CLEAR_RX) != 0)
    {
      serial->guest.rx_count = serial->guest.rx_head = 0;
      serial->guest.timeout_interrupt = 0;
      serial->guest.lsr &= (guint8) ~(LSR_DR | LSR_BI);
      vmm_timer_set (serial->host.timeout, VMM_CLOCK_NEVER);
    }
  if (toggled || (value & FCR_CLEAR_TX) != 0)
    {
      serial->guest.tx_count = serial->guest.tx_head = 0;
      serial->guest.lsr |= LSR_THRE | LSR_TEMT;
      serial->guest.thr_interrupt = 1;
    }
  serial->guest.fcr = (value & FCR_ENABLE) != 0 ? value & 0xc1 : 0;
  offer_room (serial);
}

static VmmIoResult
serial_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Serial *serial = opaque;
  guint8 byte = (guint8)value;

  switch (offset)
    {
    case 0:
      if ((serial->guest.lcr & LCR_DLAB) != 0)
        serial->guest.divisor = (guint16)((serial->guest.divisor & 0xff00) | byte);
      else
        transmit (serial, byte);
      break;
    case 1:
      if ((serial->guest.lcr & LCR_DLAB) != 0)
        serial->guest.divisor = (guint16)((serial->guest.divisor & 0xff) | (guint)byte << 8);
      else
        {
          /* Enabling the transmitter interrupt while it is empty raises it. */
          if ((byte & ~serial->guest.ier & IER_THRI) != 0 && (serial->guest.lsr & LSR_THRE) != 0)
            serial->guest.thr_interrupt = 1;
          serial->guest.ier = byte & 0x0f;
        }
      break;
    case 2:
      write_fcr (serial, byte);
      break;
    case 3:
      serial->guest.lcr = byte;
      break;
    case 4:
      serial->guest.mcr = byte & 0x1f;
      update_msr (serial);
      break;
    case 5: /* for factory tests only */
    case 6:
      break;
    default:
      serial->guest.scratch = byte;
      break;
    }
  update_irq (serial);
  return VMM_IO_OK;
}

static const VmmRegionOps region_ops = {
  .name = "serial",
  .min_size = 1,
  .max_size = 1,
  .flags = VMM_REGION_SPLIT | VMM_REGION_UNALIGNED,
  .read = serial_read,
  .write = serial_write,
};

static gsize
serial_can_receive (gpointer device)
{
  Serial *serial = device;
  gsize room;

  g_mutex_lock (&serial->parent.lock);
  room = (serial->guest.mcr & MCR_LOOP) != 0 ? 0 : rx_capacity (serial) - serial->guest.rx_count;
  if (room == 0)
    serial->host.starved = TRUE;
  g_mutex_unlock (&serial->parent.lock);
  return room;
}

static void
serial_receive (gpointer device, const guint8 *data, gsize length)
{
  Serial *serial = device;

  g_mutex_lock (&serial->parent.lock);
  for (gsize i = 0; i < length; i++)
    push_rx (serial, data[i]);
  update_irq (serial);
  g_mutex_unlock (&serial->parent.lock);
}

static const CharReceiver receiver = {
  .can_receive = serial_can_receive,
  .receive = serial_receive,
};

static gboolean
serial_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  Serial *serial = (Serial *)device;
  VmmWorker *worker = vmm_machine_get_worker (machine);

  device->machine = machine;
  vmm_region_init (&serial->host.region, &region_ops, serial, &device->lock, 8);
  if (!vmm_bus_map (vmm_machine_get_pio (machine), serial->config.port, &serial->host.region,
                    error))
    return FALSE;
  vmm_irq_line_init (&serial->host.irq, machine, (guint)serial->config.gsi);
  serial->host.timeout =
      vmm_timer_new (vmm_machine_get_clock (machine), worker, on_timeout, serial);
  serial->host.room = vmm_timer_new (vmm_machine_get_clock (machine), worker, tell_room, serial);
  serial->host.retry = vmm_timer_new (vmm_machine_get_clock (machine), worker, on_writable, serial);
  if (serial->config.chardev != NULL)
    {
      serial->config.chardev->ops->attach (serial->config.chardev, worker, &receiver, serial);
      serial->host.attached = TRUE;
    }
  return TRUE;
}

static void
serial_unrealize (VmmDevice *device)
{
  Serial *serial = (Serial *)device;

  vmm_bus_unmap (&serial->host.region);
  vmm_region_drain (&serial->host.region);
  /* It calls the back end, so it ends while the back end is still ours. */
  g_clear_pointer (&serial->host.room, vmm_timer_free);
  if (serial->host.attached)
    serial->config.chardev->ops->detach (serial->config.chardev);
  serial->host.attached = FALSE;
  g_clear_pointer (&serial->host.timeout, vmm_timer_free);
  g_clear_pointer (&serial->host.retry, vmm_timer_free);
  vmm_irq_line_set (&serial->host.irq, FALSE);
}

static void
serial_reset (VmmDevice *device, VmmResetKind kind)
{
  Serial *serial = (Serial *)device;

  g_mutex_lock (&device->lock);
  memset (&serial->guest, 0, sizeof serial->guest);
  serial->guest.lsr = LSR_THRE | LSR_TEMT;
  serial->guest.divisor = 12;
  update_msr (serial);
  serial->guest.msr &= (guint8)~MSR_DELTA;
  vmm_timer_set (serial->host.timeout, VMM_CLOCK_NEVER);
  update_irq (serial);
  offer_room (serial);
  g_mutex_unlock (&device->lock);
}

static void
serial_quiesce (VmmDevice *device)
{
}

static void
serial_resume (VmmDevice *device)
{
}

static const VmmStateField fields[] = {
  VMM_STATE_FIELD (Serial, guest.ier, VMM_STATE_U8),
  VMM_STATE_FIELD (Serial, guest.fcr, VMM_STATE_U8),
  VMM_STATE_FIELD (Serial, guest.lcr, VMM_STATE_U8),
  VMM_STATE_FIELD (Serial, guest.mcr, VMM_STATE_U8),
  VMM_STATE_FIELD (Serial, guest.lsr, VMM_STATE_U8),
  VMM_STATE_FIELD (Serial, guest.msr, VMM_STATE_U8),
  VMM_STATE_FIELD (Serial, guest.scratch, VMM_STATE_U8),
  VMM_STATE_FIELD (Serial, guest.divisor, VMM_STATE_U16),
  VMM_STATE_ARRAY (Serial, guest.rx, VMM_STATE_U8, FIFO_SIZE),
  VMM_STATE_FIELD (Serial, guest.rx_head, VMM_STATE_U8),
  VMM_STATE_FIELD (Serial, guest.rx_count, VMM_STATE_U8),
  VMM_STATE_ARRAY (Serial, guest.tx, VMM_STATE_U8, FIFO_SIZE),
  VMM_STATE_FIELD (Serial, guest.tx_head, VMM_STATE_U8),
  VMM_STATE_FIELD (Serial, guest.tx_count, VMM_STATE_U8),
  VMM_STATE_FIELD (Serial, guest.thr_interrupt, VMM_STATE_U8),
  VMM_STATE_FIELD (Serial, guest.timeout_interrupt, VMM_STATE_U8),
};

static gboolean
serial_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), device);
  return TRUE;
}

static gboolean
serial_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  Serial *serial = (Serial *)device;

  if (!vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), device, error))
    return FALSE;
  if (serial->guest.rx_head >= FIFO_SIZE || serial->guest.rx_count > FIFO_SIZE ||
      serial->guest.tx_head >= FIFO_SIZE || serial->guest.tx_count > FIFO_SIZE)
    {
      memset (&serial->guest, 0, sizeof serial->guest);
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state of “%s” has a FIFO position outside the FIFO.", device->id);
      return FALSE;
    }
  g_mutex_lock (&device->lock);
  serial->guest.ier &= 0x0f;
  serial->guest.fcr &= 0xc1;
  serial->guest.mcr &= 0x1f;
  drain_tx (serial);
  if (serial->guest.rx_count > 0)
    vmm_timer_set (serial->host.timeout,
                   vmm_clock_get_ns (vmm_machine_get_clock (device->machine)) +
                       4 * character_ns (serial));
  update_irq (serial);
  g_mutex_unlock (&device->lock);
  return TRUE;
}

static const VmmProperty properties[] = {
  { "port", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (Serial, config.port), 0, 0xfff8, 0x3f8 },
  { "gsi", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (Serial, config.gsi), 0, 23, 4 },
  { "chardev", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (Serial, config.chardev) },
  { NULL },
};

const VmmDeviceOps serial_ops = {
  .name = "serial-16550",
  .summary = "Serial port",
  .spec = "National Semiconductor PC16550D",
  .instance_size = sizeof (Serial),
  .state_version = 1,
  .properties = properties,
  .realize = serial_realize,
  .unrealize = serial_unrealize,
  .reset = serial_reset,
  .quiesce = serial_quiesce,
  .resume = serial_resume,
  .save = serial_save,
  .load = serial_load,
};
