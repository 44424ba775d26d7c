/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/i8042.h"

#include <string.h>

#include "devices/input/router.h"
#include "devices/platform/ps2.h"
#include "vmm/machine.h"

#define PORT_DATA    0x60
#define PORT_COMMAND 0x64
#define IRQ_KEYBOARD 1
#define IRQ_MOUSE    12

/* Status register, port 0x64 read. */
#define STATUS_OUTPUT_FULL (1u << 0)
#define STATUS_SYSTEM      (1u << 2)
#define STATUS_COMMAND     (1u << 3) /* the last write went to 0x64 */
#define STATUS_UNLOCKED    (1u << 4)
#define STATUS_AUX         (1u << 5) /* the byte is the mouse's */

/* Command byte, command 0x20/0x60. */
#define MODE_INT_KEYBOARD (1u << 0)
#define MODE_INT_MOUSE    (1u << 1)
#define MODE_SYSTEM       (1u << 2)
#define MODE_KEYBOARD_OFF (1u << 4)
#define MODE_MOUSE_OFF    (1u << 5)
#define MODE_TRANSLATE    (1u << 6)

/* Output port, command 0xd0/0xd1. */
#define OUTPUT_NO_RESET (1u << 0)
#define OUTPUT_A20      (1u << 1)

/* Where the byte in the output buffer comes from. */
enum
{
  FROM_NOBODY,
  FROM_CONTROLLER,
  FROM_KEYBOARD,
  FROM_MOUSE,
};

typedef struct
{
  VmmDevice parent;
  struct
  {
    InputRouter *router;
  } config;
  struct
  {
    guint8 ram[32]; /* ram[0] is the command byte */
    guint8 output_port;
    guint8 command;      /* that waits for its byte at port 0x60, or 0 */
    guint8 last_command; /* the last write was to 0x64 */
    guint8 byte, from;   /* the output buffer */
    guint8 breaking;     /* translation saw f0 */
    Ps2Keyboard keyboard;
    Ps2Mouse mouse;
  } guest;
  struct
  {
    VmmRegion data, command;
    VmmIrqLine keyboard, mouse;
  } host;
} I8042;

static guint8
mode (I8042 *self)
{
  return self->guest.ram[0];
}

/* Lock held. The lines follow the output buffer. */
static void
update_lines (I8042 *self)
{
  guint from = self->guest.from;

  vmm_irq_line_set (&self->host.keyboard, (from == FROM_KEYBOARD || from == FROM_CONTROLLER) &&
                                              (mode (self) & MODE_INT_KEYBOARD) != 0);
  vmm_irq_line_set (&self->host.mouse, from == FROM_MOUSE && (mode (self) & MODE_INT_MOUSE) != 0);
}

/* The next byte of the keyboard, translated when the guest wants set 1. FALSE: none. */
static gboolean
pop_keyboard (I8042 *self, guint8 *ret_byte)
{
  while (ps2_queue_pop (&self->guest.keyboard.queue, ret_byte))
    {
      if ((mode (self) & MODE_TRANSLATE) == 0)
        return TRUE;
      if (*ret_byte == 0xf0)
        {
          self->guest.breaking = TRUE;
          continue;
        }
      if (*ret_byte != 0xe0 && *ret_byte != 0xe1)
        {
          *ret_byte = ps2_keyboard_translate (*ret_byte) | (self->guest.breaking ? 0x80 : 0);
          self->guest.breaking = FALSE;
        }
      return TRUE;
    }
  return FALSE;
}

/* Lock held. Fills an empty output buffer. */
static void
refill (I8042 *self)
{
  if (self->guest.from != FROM_NOBODY)
    return;
  if ((mode (self) & MODE_KEYBOARD_OFF) == 0 && pop_keyboard (self, &self->guest.byte))
    self->guest.from = FROM_KEYBOARD;
  else if ((mode (self) & MODE_MOUSE_OFF) == 0 &&
           ps2_queue_pop (&self->guest.mouse.queue, &self->guest.byte))
    self->guest.from = FROM_MOUSE;
  update_lines (self);
}

/* The controller's own answers go before what the devices have to say. */
static void
put (I8042 *self, guint8 byte, guint from)
{
  self->guest.byte = byte;
  self->guest.from = (guint8)from;
  update_lines (self);
}

static VmmIoResult
read_data (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  I8042 *self = opaque;

  *value = self->guest.byte;
  if (self->guest.from != FROM_NOBODY)
    {
      self->guest.from = FROM_NOBODY;
      update_lines (self); /* down, so that the next byte is a new edge */
      refill (self);
    }
  return VMM_IO_OK;
}

static VmmIoResult
read_status (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  I8042 *self = opaque;

  *value = STATUS_UNLOCKED | (mode (self) & MODE_SYSTEM ? STATUS_SYSTEM : 0) |
           (self->guest.last_command ? STATUS_COMMAND : 0);
  if (self->guest.from != FROM_NOBODY)
    *value |= STATUS_OUTPUT_FULL;
  if (self->guest.from == FROM_MOUSE)
    *value |= STATUS_AUX;
  return VMM_IO_OK;
}

static void
set_mode (I8042 *self, guint8 value)
{
  self->guest.ram[0] = value;
  update_lines (self);
  refill (self);
}

static void
set_output_port (I8042 *self, guint8 value)
{
  self->guest.output_port = value | OUTPUT_NO_RESET;
  if ((value & OUTPUT_NO_RESET) == 0)
    vmm_machine_request (self->parent.machine, VMM_REQUEST_RESET, 0, "keyboard controller");
}

/* The second byte of a controller command. FALSE: the byte is for the keyboard. */
static gboolean
take_argument (I8042 *self, guint8 value)
{
  guint8 command = self->guest.command;

  self->guest.command = 0;
  if (command == 0)
    return FALSE;
  if (command == 0x60)
    set_mode (self, value);
  else if (command > 0x60 && command < 0x80)
    self->guest.ram[command & 31] = value;
  else if (command == 0xd1)
    set_output_port (self, value);
  else if (command == 0xd2)
    put (self, value, FROM_KEYBOARD);
  else if (command == 0xd3)
    put (self, value, FROM_MOUSE);
  else /* 0xd4 */
    {
      ps2_mouse_command (&self->guest.mouse, value);
      refill (self);
    }
  return TRUE;
}

static VmmIoResult
write_data (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  I8042 *self = opaque;

  self->guest.last_command = FALSE;
  if (take_argument (self, (guint8)value))
    return VMM_IO_OK;
  /* Talking to the keyboard turns it on. */
  self->guest.ram[0] &= (guint8)~MODE_KEYBOARD_OFF;
  if (ps2_keyboard_command (&self->guest.keyboard, (guint8)value) && self->config.router != NULL)
    input_router_set_leds (self->config.router, self->guest.keyboard.leds);
  refill (self);
  return VMM_IO_OK;
}

static VmmIoResult
write_command (gpointer opaque, guint64 offset, guint size, guint64 raw)
{
  I8042 *self = opaque;
  guint8 value = (guint8)raw;

  self->guest.last_command = TRUE;
  self->guest.command = 0;
  if (value >= 0x20 && value < 0x40)
    put (self, self->guest.ram[value & 31], FROM_CONTROLLER);
  else if (value >= 0x60 && value < 0x80)
    self->guest.command = value;
  else if (value >= 0xf0)
    {
      /* Pulses output lines low; bit 0 is the reset line. */
      if ((value & 1) == 0)
        vmm_machine_request (self->parent.machine, VMM_REQUEST_RESET, 0, "keyboard controller");
    }
  else
    switch (value)
      {
      case 0xa7:
        set_mode (self, mode (self) | MODE_MOUSE_OFF);
        break;
      case 0xa8:
        set_mode (self, mode (self) & (guint8)~MODE_MOUSE_OFF);
        break;
      case 0xa9: /* auxiliary interface test: no fault */
      case 0xab: /* keyboard interface test: no fault */
      case 0xc0: /* input port */
        put (self, value == 0xc0 ? 0x80 : 0, FROM_CONTROLLER);
        break;
      case 0xaa: /* self test */
        self->guest.ram[0] |= MODE_SYSTEM;
        put (self, 0x55, FROM_CONTROLLER);
        break;
      case 0xad:
        set_mode (self, mode (self) | MODE_KEYBOARD_OFF);
        break;
      case 0xae:
        set_mode (self, mode (self) & (guint8)~MODE_KEYBOARD_OFF);
        break;
      case 0xd0:
        put (self,
             self->guest.output_port | (self->guest.from == FROM_MOUSE ? 0x20 : 0) |
                 (self->guest.from == FROM_KEYBOARD ? 0x10 : 0),
             FROM_CONTROLLER);
        break;
      case 0xd1:
      case 0xd2:
      case 0xd3:
      case 0xd4:
        self->guest.command = value;
        break;
      case 0xdd: /* A20 off: kept, not acted upon; the address line is always on */
        self->guest.output_port &= (guint8)~OUTPUT_A20;
        break;
      case 0xdf:
        self->guest.output_port |= OUTPUT_A20;
        break;
      case 0xe0: /* test inputs */
        put (self, 0, FROM_CONTROLLER);
        break;
      default:
        return VMM_IO_UNKNOWN;
      }
  return VMM_IO_OK;
}

static const VmmRegionOps data_ops = {
  .name = "i8042-data",
  .min_size = 1,
  .max_size = 1,
  .read = read_data,
  .write = write_data,
};

static const VmmRegionOps command_ops = {
  .name = "i8042-command",
  .min_size = 1,
  .max_size = 1,
  .read = read_status,
  .write = write_command,
};

/* -- Events -- */

static void
on_key (gpointer sink, guint keycode, gboolean down)
{
  I8042 *self = sink;

  g_mutex_lock (&self->parent.lock);
  ps2_keyboard_key (&self->guest.keyboard, keycode, down);
  refill (self);
  g_mutex_unlock (&self->parent.lock);
}

static void
on_relative (gpointer sink, int dx, int dy)
{
  I8042 *self = sink;

  g_mutex_lock (&self->parent.lock);
  ps2_mouse_move (&self->guest.mouse, dx, dy);
  g_mutex_unlock (&self->parent.lock);
}

static void
on_buttons (gpointer sink, guint buttons)
{
  I8042 *self = sink;

  g_mutex_lock (&self->parent.lock);
  ps2_mouse_buttons (&self->guest.mouse, buttons);
  refill (self);
  g_mutex_unlock (&self->parent.lock);
}

static void
on_wheel (gpointer sink, int vertical, int horizontal)
{
  I8042 *self = sink;

  g_mutex_lock (&self->parent.lock);
  ps2_mouse_wheel (&self->guest.mouse, vertical);
  g_mutex_unlock (&self->parent.lock);
}

static void
on_sync (gpointer sink)
{
  I8042 *self = sink;

  g_mutex_lock (&self->parent.lock);
  ps2_mouse_report (&self->guest.mouse);
  refill (self);
  g_mutex_unlock (&self->parent.lock);
}

static const InputSinkOps sink_ops = {
  .key = on_key,
  .relative = on_relative,
  .buttons = on_buttons,
  .wheel = on_wheel,
  .sync = on_sync,
};

/* -- Life -- */

static void
reset (VmmDevice *device, VmmResetKind kind)
{
  I8042 *self = (I8042 *)device;

  g_mutex_lock (&device->lock);
  memset (&self->guest, 0, sizeof self->guest);
  self->guest.ram[0] = MODE_KEYBOARD_OFF | MODE_MOUSE_OFF;
  self->guest.output_port = OUTPUT_NO_RESET | OUTPUT_A20;
  ps2_keyboard_reset (&self->guest.keyboard);
  ps2_mouse_reset (&self->guest.mouse);
  update_lines (self);
  g_mutex_unlock (&device->lock);
}

static gboolean
realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  I8042 *self = (I8042 *)device;
  VmmBus *pio = vmm_machine_get_pio (machine);

  vmm_region_init (&self->host.data, &data_ops, self, &device->lock, 1);
  vmm_region_init (&self->host.command, &command_ops, self, &device->lock, 1);
  vmm_irq_line_init (&self->host.keyboard, machine, IRQ_KEYBOARD);
  vmm_irq_line_init (&self->host.mouse, machine, IRQ_MOUSE);
  if (!vmm_bus_map (pio, PORT_DATA, &self->host.data, error))
    return FALSE;
  if (!vmm_bus_map (pio, PORT_COMMAND, &self->host.command, error))
    {
      vmm_bus_unmap (&self->host.data);
      return FALSE;
    }
  reset (device, VMM_RESET_COLD);
  if (self->config.router != NULL)
    {
      input_router_add_sink (self->config.router, &sink_ops, self);
      input_router_set_ready (self->config.router, self, TRUE);
    }
  return TRUE;
}

static void
unrealize (VmmDevice *device)
{
  I8042 *self = (I8042 *)device;

  if (self->config.router != NULL)
    input_router_remove_sink (self->config.router, self);
  vmm_bus_unmap (&self->host.data);
  vmm_bus_unmap (&self->host.command);
  vmm_region_drain (&self->host.data);
  vmm_region_drain (&self->host.command);
  vmm_irq_line_set (&self->host.keyboard, FALSE);
  vmm_irq_line_set (&self->host.mouse, FALSE);
}

/* No DMA, no timers: nothing runs by itself. */
static void
quiesce (VmmDevice *device)
{
}

static void
resume (VmmDevice *device)
{
}

#define QUEUE_FIELDS(which)                                                                        \
  { #which ".queue", VMM_STATE_U8, PS2_QUEUE_SIZE,                                                 \
    G_STRUCT_OFFSET (I8042, guest.which.queue.bytes) },                                            \
      VMM_STATE_FIELD (I8042, guest.which.queue.head, VMM_STATE_U8),                               \
      VMM_STATE_FIELD (I8042, guest.which.queue.length, VMM_STATE_U8),                             \
      VMM_STATE_FIELD (I8042, guest.which.command, VMM_STATE_U8)

static const VmmStateField fields[] = {
  VMM_STATE_ARRAY (I8042, guest.ram, VMM_STATE_U8, 32),
  VMM_STATE_FIELD (I8042, guest.output_port, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.command, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.last_command, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.byte, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.from, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.breaking, VMM_STATE_U8),
  QUEUE_FIELDS (keyboard),
  VMM_STATE_FIELD (I8042, guest.keyboard.set, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.keyboard.leds, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.keyboard.scanning, VMM_STATE_U8),
  QUEUE_FIELDS (mouse),
  VMM_STATE_FIELD (I8042, guest.mouse.id, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.mouse.rate, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.mouse.resolution, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.mouse.scaling, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.mouse.reporting, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.mouse.remote, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.mouse.wrap, VMM_STATE_U8),
  VMM_STATE_ARRAY (I8042, guest.mouse.knock, VMM_STATE_U8, 2),
  VMM_STATE_FIELD (I8042, guest.mouse.buttons, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.mouse.sent_buttons, VMM_STATE_U8),
  VMM_STATE_FIELD (I8042, guest.mouse.dx, VMM_STATE_U32),
  VMM_STATE_FIELD (I8042, guest.mouse.dy, VMM_STATE_U32),
  VMM_STATE_FIELD (I8042, guest.mouse.dz, VMM_STATE_U32),
};

static gboolean
save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), device);
  return TRUE;
}

static gboolean
queue_is_valid (const Ps2Queue *queue)
{
  return queue->head < PS2_QUEUE_SIZE && queue->length <= PS2_QUEUE_SIZE;
}

static gboolean
load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  I8042 *self = (I8042 *)device;
  Ps2Mouse *mouse = &self->guest.mouse;

  if (!vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), device, error))
    return FALSE;
  if (!queue_is_valid (&self->guest.keyboard.queue) || !queue_is_valid (&mouse->queue) ||
      self->guest.from > FROM_MOUSE || mouse->id > 4 ||
      (self->guest.keyboard.set != 1 && self->guest.keyboard.set != 2))
    {
      reset (device, VMM_RESET_COLD);
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The keyboard controller's state is out of range");
      return FALSE;
    }
  /* Flags are used as numbers in the status byte. */
  mouse->scaling = mouse->scaling != 0;
  mouse->reporting = mouse->reporting != 0;
  mouse->remote = mouse->remote != 0;
  mouse->wrap = mouse->wrap != 0;
  ps2_mouse_move (mouse, 0, 0); /* bounds what piled up */
  ps2_mouse_wheel (mouse, 0);
  self->guest.keyboard.leds &= 7;
  update_lines (self);
  return TRUE;
}

static const VmmProperty properties[] = {
  { "router", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (I8042, config.router) },
  { NULL },
};

const VmmDeviceOps i8042_ops = {
  .name = "i8042",
  .summary = "Keyboard controller with PS/2 keyboard and mouse",
  .spec = "Intel 8042, IBM PS/2 Hardware Interface Technical Reference",
  .instance_size = sizeof (I8042),
  .state_version = 1,
  .properties = properties,
  .realize = realize,
  .unrealize = unrealize,
  .reset = reset,
  .quiesce = quiesce,
  .resume = resume,
  .save = save,
  .load = load,
};
