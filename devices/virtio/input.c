/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-input (Virtio 1.2, 5.8): an evdev device over two queues, fed by the input router.
 *
 * Events come from any thread and wait in a ring of our own until SYN; the worker moves whole
 * reports into the driver's buffers. A guest that does not read loses reports, never half of one,
 * and when it reads again it is told of every key whose state it missed. */
#include "devices/virtio/input.h"

#include <linux/input.h>
#include <string.h>

#include "devices/input/router.h"

#define QUEUE_SIZE  64
#define PENDING_MAX 1024 /* events; a power of two */
#define CONFIG_SIZE 136  /* select, subsel, size, 5 reserved, 128 bytes of union */
#define UNION       8

/* Virtio 1.2, 5.8.2 */
enum
{
  CFG_ID_NAME = 0x01,
  CFG_ID_SERIAL = 0x02,
  CFG_ID_DEVIDS = 0x03,
  CFG_PROP_BITS = 0x10,
  CFG_EV_BITS = 0x11,
  CFG_ABS_INFO = 0x12,
};

/* struct virtio_input_event */
typedef struct
{
  guint16 type;
  guint16 code;
  guint32 value;
} WireEvent;
G_STATIC_ASSERT (sizeof (WireEvent) == 8);

typedef enum
{
  KIND_KEYBOARD,
  KIND_TABLET,
  KIND_MOUSE,
} Kind;

typedef struct
{
  VirtioDevice parent;
  struct
  {
    char *kind_name;
    char *serial;
    InputRouter *router;
  } config;
  struct
  {
    guint8 select, subsel;
    guint32 leds;
  } guest;
  struct
  {
    Kind kind;
    gboolean registered;
    GMutex lock; /* the events below; taken under the router's lock, takes none itself */
    WireEvent pending[PENDING_MAX];
    guint head, tail, complete; /* complete: end of the last whole report */
    gboolean lost;              /* the report being built does not fit */
    gboolean resync;            /* reports were lost: told may differ from wanted */
    guint8 wanted[KEY_CNT / 8 + 1], told[KEY_CNT / 8 + 1]; /* keys and buttons that are down */
    guint buttons;                                         /* as last reported */
    gboolean listening;
    guint64 n_events, n_lost; /* lock */
  } host;
} VirtioInput;

static const struct
{
  const char *name;
  const char *label;
  guint16 product;
} kinds[] = {
  [KIND_KEYBOARD] = { "keyboard", "Alcove virtio keyboard", 1 },
  [KIND_TABLET] = { "tablet", "Alcove virtio tablet", 2 },
  [KIND_MOUSE] = { "mouse", "Alcove virtio mouse", 3 },
};

/* ---- configuration ---- */

static void
set_bit (guint8 *bits, guint bit)
{
  bits[bit / 8] |= 1 << (bit % 8);
}

static void
put_le32 (guint8 *at, guint32 value)
{
  value = GUINT32_TO_LE (value);
  memcpy (at, &value, 4);
}

static gboolean
has_buttons (const VirtioInput *input)
{
  return input->host.kind != KIND_KEYBOARD;
}

/* EV_BITS (5.8.2): which codes of an event type there are. Returns the bytes used. */
static guint
event_bits (const VirtioInput *input, guint type, guint8 *bits)
{
  guint size = 0;

  switch (type)
    {
    case EV_KEY:
      if (has_buttons (input))
        for (guint code = BTN_LEFT; code <= BTN_EXTRA; code++)
          set_bit (bits, code);
      else
        /* All that are keys; KEY_MACRO and above are of another age. */
        for (guint code = KEY_ESC; code < 248; code++)
          set_bit (bits, code);
      break;
    case EV_REL:
      if (input->host.kind == KIND_MOUSE)
        {
          set_bit (bits, REL_X);
          set_bit (bits, REL_Y);
        }
      if (has_buttons (input))
        {
          set_bit (bits, REL_WHEEL);
          set_bit (bits, REL_HWHEEL);
        }
      break;
    case EV_ABS:
      if (input->host.kind == KIND_TABLET)
        {
          set_bit (bits, ABS_X);
          set_bit (bits, ABS_Y);
        }
      break;
    case EV_LED:
      if (input->host.kind == KIND_KEYBOARD)
        {
          set_bit (bits, LED_NUML);
          set_bit (bits, LED_CAPSL);
          set_bit (bits, LED_SCROLLL);
        }
      break;
    case EV_REP:
      /* 5.8.2: any non-zero size says that the guest shall repeat keys itself. */
      if (input->host.kind == KIND_KEYBOARD)
        size = 1;
      break;
    default:
      break;
    }
  for (guint i = 0; i < 128; i++)
    if (bits[i] != 0)
      size = i + 1;
  return size;
}

static guint
fill_union (const VirtioInput *input, guint8 *data)
{
  const char *text = NULL;

  switch (input->guest.select)
    {
    case CFG_ID_NAME:
      text = input->guest.subsel == 0 ? kinds[input->host.kind].label : NULL;
      break;
    case CFG_ID_SERIAL:
      text = input->guest.subsel == 0 ? input->config.serial : NULL;
      break;
    case CFG_ID_DEVIDS:
      if (input->guest.subsel != 0)
        break;
      data[0] = BUS_VIRTUAL;
      data[2] = 0x27, data[3] = 0x06; /* vendor 0x0627 */
      data[4] = kinds[input->host.kind].product;
      data[6] = 1;
      return 8;
    case CFG_PROP_BITS:
      if (input->host.kind != KIND_TABLET || input->guest.subsel != 0)
        break;
      set_bit (data, INPUT_PROP_POINTER);
      return 1;
    case CFG_EV_BITS:
      return event_bits (input, input->guest.subsel, data);
    case CFG_ABS_INFO:
      if (input->host.kind != KIND_TABLET || input->guest.subsel > ABS_Y)
        break;
      put_le32 (data + 4, INPUT_ABS_MAX); /* min 0, max */
      return 20;
    default:
      break;
    }
  if (text == NULL)
    return 0;
  memcpy (data, text, MIN (strlen (text), 128));
  return MIN (strlen (text), 128);
}

static void
input_config_read (VirtioDevice *device, gsize offset, void *buffer, gsize size)
{
  VirtioInput *input = (VirtioInput *)device;
  guint8 config[CONFIG_SIZE] = { 0 };

  config[0] = input->guest.select;
  config[1] = input->guest.subsel;
  config[2] = fill_union (input, config + UNION);
  memcpy (buffer, config + offset, size);
}

static void
input_config_write (VirtioDevice *device, gsize offset, const void *data, gsize size)
{
  VirtioInput *input = (VirtioInput *)device;
  const guint8 *bytes = data;

  for (gsize i = 0; i < size; i++)
    if (offset + i == 0)
      input->guest.select = bytes[i];
    else if (offset + i == 1)
      input->guest.subsel = bytes[i];
}

/* ---- events ---- */

static guint
n_pending (const VirtioInput *input, guint end)
{
  return end - input->host.head;
}

static void
write_bit (guint8 *bits, guint bit, gboolean on)
{
  if (on)
    bits[bit / 8] |= 1 << (bit % 8);
  else
    bits[bit / 8] &= ~(1 << (bit % 8));
}

static void
drop_report (VirtioInput *input)
{
  for (guint i = input->host.complete; i != input->host.tail; i++)
    {
      const WireEvent *event = &input->host.pending[i % PENDING_MAX];

      if (GUINT16_FROM_LE (event->type) == EV_KEY)
        write_bit (input->host.told, GUINT16_FROM_LE (event->code), event->value == 0);
    }
  input->host.n_lost += input->host.tail - input->host.complete + 1;
  input->host.tail = input->host.complete;
  input->host.lost = input->host.resync = TRUE;
}

/* From the router, any thread. */
static void
add_event (VirtioInput *input, guint16 type, guint16 code, guint32 value)
{
  g_mutex_lock (&input->host.lock);
  if (type == EV_KEY)
    write_bit (input->host.wanted, code, value != 0);
  if (!input->host.listening || input->host.lost)
    goto out;
  if (input->host.tail - input->host.head >= PENDING_MAX - 1)
    {
      drop_report (input);
      goto out;
    }
  if (type == EV_KEY)
    write_bit (input->host.told, code, value != 0);
  input->host.pending[input->host.tail++ % PENDING_MAX] =
      (WireEvent){ GUINT16_TO_LE (type), GUINT16_TO_LE (code), GUINT32_TO_LE (value) };
out:
  g_mutex_unlock (&input->host.lock);
}

static void
sink_key (gpointer sink, guint keycode, gboolean down)
{
  if (keycode > 0 && keycode < 248)
    add_event (sink, EV_KEY, keycode, down ? 1 : 0);
}

static void
sink_absolute (gpointer sink, guint x, guint y)
{
  add_event (sink, EV_ABS, ABS_X, MIN (x, INPUT_ABS_MAX));
  add_event (sink, EV_ABS, ABS_Y, MIN (y, INPUT_ABS_MAX));
}

static void
sink_relative (gpointer sink, int dx, int dy)
{
  if (dx != 0)
    add_event (sink, EV_REL, REL_X, dx);
  if (dy != 0)
    add_event (sink, EV_REL, REL_Y, dy);
}

static void
sink_buttons (gpointer sink, guint buttons)
{
  static const guint16 codes[] = { BTN_LEFT, BTN_MIDDLE, BTN_RIGHT, BTN_SIDE, BTN_EXTRA };
  VirtioInput *input = sink;
  guint changed = buttons ^ input->host.buttons;

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    if (changed & (1u << i))
      add_event (input, EV_KEY, codes[i], (buttons >> i) & 1);
  input->host.buttons = buttons;
}

static void
sink_wheel (gpointer sink, int vertical, int horizontal)
{
  if (vertical != 0)
    add_event (sink, EV_REL, REL_WHEEL, vertical);
  if (horizontal != 0)
    add_event (sink, EV_REL, REL_HWHEEL, horizontal);
}

static void
sink_sync (gpointer sink)
{
  VirtioInput *input = sink;
  gboolean any;

  g_mutex_lock (&input->host.lock);
  any = input->host.tail != input->host.complete;
  g_mutex_unlock (&input->host.lock);
  if (any)
    add_event (input, EV_SYN, SYN_REPORT, 0);
  g_mutex_lock (&input->host.lock);
  input->host.complete = input->host.tail;
  input->host.lost = FALSE;
  g_mutex_unlock (&input->host.lock);
  if (any)
    virtio_device_schedule_kick (&input->parent, 0);
}

static const InputSinkOps keyboard_sink = { .key = sink_key, .sync = sink_sync };
static const InputSinkOps tablet_sink = {
  .absolute = sink_absolute,
  .buttons = sink_buttons,
  .wheel = sink_wheel,
  .sync = sink_sync,
};
static const InputSinkOps mouse_sink = {
  .relative = sink_relative,
  .buttons = sink_buttons,
  .wheel = sink_wheel,
  .sync = sink_sync,
};
static const InputSinkOps *const sinks[] = { &keyboard_sink, &tablet_sink, &mouse_sink };

/* The ring is empty again after reports were lost: what keys are really down. Lock held. */
static void
resync (VirtioInput *input)
{
  guint n = 0;

  input->host.resync = FALSE;
  for (guint code = 0; code < KEY_CNT && n < PENDING_MAX - 1; code++)
    if (((input->host.wanted[code / 8] ^ input->host.told[code / 8]) >> (code % 8)) & 1)
      {
        gboolean down = (input->host.wanted[code / 8] >> (code % 8)) & 1;

        input->host.pending[input->host.tail++ % PENDING_MAX] =
            (WireEvent){ GUINT16_TO_LE (EV_KEY), GUINT16_TO_LE (code), GUINT32_TO_LE (down) };
        write_bit (input->host.told, code, down);
        n++;
      }
  if (n > 0)
    input->host.pending[input->host.tail++ % PENDING_MAX] = (WireEvent){ EV_SYN, SYN_REPORT, 0 };
  input->host.complete = input->host.tail;
}

/* Events to the driver: whole reports only, so that SYN is never missing. */
static void
send_events (VirtioInput *input)
{
  VirtioDevice *device = &input->parent;
  Virtqueue *vq = virtio_device_get_queue (device, 0);
  gboolean sent = FALSE;

  for (;;)
    {
      VirtqueueChain *chains[32];
      WireEvent events[32];
      guint n = 0, n_chains = 0;
      VirtqueueStatus status = VIRTQUEUE_READY;

      g_mutex_lock (&input->host.lock);
      if (input->host.resync && input->host.head == input->host.tail)
        resync (input);
      while (n < n_pending (input, input->host.complete) && n < G_N_ELEMENTS (events))
        {
          events[n] = input->host.pending[(input->host.head + n) % PENDING_MAX];
          n++;
          if (events[n - 1].type == EV_SYN)
            break;
        }
      g_mutex_unlock (&input->host.lock);
      if (n == 0)
        break;

      while (n_chains < n && (status = virtqueue_pop (vq, &chains[n_chains])) == VIRTQUEUE_READY)
        n_chains++;
      if (n_chains < n)
        {
          while (n_chains > 0)
            virtqueue_unpop (vq, chains[--n_chains]);
          if (status == VIRTQUEUE_BROKEN)
            virtio_device_set_broken (device);
          else if (virtqueue_wait_for_more (vq))
            virtio_device_schedule_kick (device, 0);
          break;
        }
      for (guint i = 0; i < n; i++)
        virtqueue_push (vq, chains[i],
                        virtqueue_chain_write (chains[i], &events[i], sizeof events[i]));
      sent = TRUE;
      g_mutex_lock (&input->host.lock);
      input->host.head += n;
      input->host.n_events += n;
      g_mutex_unlock (&input->host.lock);
    }
  if (sent)
    virtio_device_notify_queue (device, 0);
}

static void
take_status (VirtioInput *input)
{
  static const guint leds[] = { [LED_SCROLLL] = 1, [LED_NUML] = 2, [LED_CAPSL] = 4 };
  VirtioDevice *device = &input->parent;
  Virtqueue *vq = virtio_device_get_queue (device, 1);
  guint budget = virtqueue_get_size (vq), old = input->guest.leds;
  VirtqueueChain *chain;
  VirtqueueStatus status = VIRTQUEUE_EMPTY;

  while (budget-- > 0 && (status = virtqueue_pop (vq, &chain)) == VIRTQUEUE_READY)
    {
      WireEvent event;

      if (virtqueue_chain_read (chain, &event, sizeof event) == sizeof event &&
          GUINT16_FROM_LE (event.type) == EV_LED && input->host.kind == KIND_KEYBOARD &&
          GUINT16_FROM_LE (event.code) < G_N_ELEMENTS (leds))
        {
          guint bit = leds[GUINT16_FROM_LE (event.code)];

          input->guest.leds = event.value != 0 ? input->guest.leds | bit : input->guest.leds & ~bit;
        }
      virtqueue_push (vq, chain, 0);
    }
  if (input->guest.leds != old && input->config.router != NULL)
    input_router_set_leds (input->config.router, input->guest.leds);
  if (status == VIRTQUEUE_BROKEN)
    {
      virtio_device_set_broken (device);
      return;
    }
  virtio_device_notify_queue (device, 1);
  if (status == VIRTQUEUE_READY || virtqueue_enable_kicks (vq))
    virtio_device_schedule_kick (device, 1);
}

static void
input_kick (VirtioDevice *device, guint queue)
{
  if (queue == 0)
    send_events ((VirtioInput *)device);
  else
    take_status ((VirtioInput *)device);
}

/* ---- life cycle ---- */

static void
set_listening (VirtioInput *input, gboolean listening)
{
  g_mutex_lock (&input->host.lock);
  input->host.listening = listening;
  if (!listening)
    {
      input->host.head = input->host.tail = input->host.complete = 0;
      input->host.lost = input->host.resync = FALSE;
      memset (input->host.wanted, 0, sizeof input->host.wanted);
      memset (input->host.told, 0, sizeof input->host.told);
    }
  g_mutex_unlock (&input->host.lock);
  if (input->config.router != NULL)
    input_router_set_ready (input->config.router, input, listening);
}

static void
input_activate (VirtioDevice *device)
{
  set_listening ((VirtioInput *)device, TRUE);
}

static void
input_deactivate (VirtioDevice *device)
{
  VirtioInput *input = (VirtioInput *)device;

  set_listening (input, FALSE);
  input->guest.select = input->guest.subsel = 0;
  input->guest.leds = 0;
}

static const VirtioDeviceOps input_virtio_ops = {
  .type = 18,
  .class_base = 0x09,
  .class_sub = 0x80,
  .n_queues = 2,
  .queue_size = QUEUE_SIZE,
  .config_size = CONFIG_SIZE,
  .config_read = input_config_read,
  .config_write = input_config_write,
  .activate = input_activate,
  .deactivate = input_deactivate,
  .kick = input_kick,
};

static gboolean
input_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  VirtioInput *input = (VirtioInput *)device;
  guint kind = 0;

  while (kind < G_N_ELEMENTS (kinds) && g_strcmp0 (input->config.kind_name, kinds[kind].name) != 0)
    kind++;
  if (kind == G_N_ELEMENTS (kinds))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%s: there is no input device of kind “%s”; use keyboard, tablet or mouse",
                   device->id, input->config.kind_name);
      return FALSE;
    }
  input->host.kind = kind;
  g_mutex_init (&input->host.lock);
  if (!virtio_device_init (&input->parent, machine, &input_virtio_ops, NULL, NULL, error))
    {
      g_mutex_clear (&input->host.lock);
      return FALSE;
    }
  if (input->config.router != NULL)
    input_router_add_sink (input->config.router, sinks[kind], input);
  return TRUE;
}

static void
input_unrealize (VmmDevice *device)
{
  VirtioInput *input = (VirtioInput *)device;

  if (input->config.router != NULL)
    input_router_remove_sink (input->config.router, input);
  input->config.router = NULL;
  virtio_device_finish (&input->parent);
  g_mutex_clear (&input->host.lock);
}

static void
input_reset (VmmDevice *device, VmmResetKind kind)
{
  VirtioInput *input = (VirtioInput *)device;

  virtio_device_reset (&input->parent);
  input->guest.select = input->guest.subsel = 0;
  input->guest.leds = 0;
}

static void
input_quiesce (VmmDevice *device)
{
  virtio_device_quiesce ((VirtioDevice *)device);
}

static void
input_resume (VmmDevice *device)
{
  virtio_device_resume ((VirtioDevice *)device);
}

static gboolean
input_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  VirtioInput *input = (VirtioInput *)device;

  virtio_device_save (&input->parent, writer);
  vmm_state_put_uint (writer, "select", input->guest.select);
  vmm_state_put_uint (writer, "subsel", input->guest.subsel);
  vmm_state_put_uint (writer, "leds", input->guest.leds);
  return TRUE;
}

static gboolean
input_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  VirtioInput *input = (VirtioInput *)device;
  guint64 select, subsel, leds;

  if (!virtio_device_load (&input->parent, reader, error) ||
      !vmm_state_get_uint (reader, "select", 0xff, &select, error) ||
      !vmm_state_get_uint (reader, "subsel", 0xff, &subsel, error) ||
      !vmm_state_get_uint (reader, "leds", 7, &leds, error))
    return FALSE;
  input->guest.select = select;
  input->guest.subsel = subsel;
  input->guest.leds = leds;
  return TRUE;
}

static void
input_stats (VmmDevice *device,
             void (*add) (gpointer user_data, const char *name, guint64 value),
             gpointer user_data)
{
  VirtioInput *input = (VirtioInput *)device;

  g_mutex_lock (&input->host.lock);
  add (user_data, "events", input->host.n_events);
  add (user_data, "events-lost", input->host.n_lost);
  g_mutex_unlock (&input->host.lock);
  virtio_device_stats (&input->parent, add, user_data);
}

static const VmmProperty input_properties[] = {
  VIRTIO_DEVICE_PROPERTIES,
  { "kind", VMM_PROPERTY_STRING, G_STRUCT_OFFSET (VirtioInput, config.kind_name), 0, 16,
    .required = TRUE },
  { "serial", VMM_PROPERTY_STRING, G_STRUCT_OFFSET (VirtioInput, config.serial), 0, 64 },
  { "router", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (VirtioInput, config.router) },
  { NULL },
};

const VmmDeviceOps virtio_input_device_ops = {
  .name = "virtio-input",
  .summary = "Keyboard, tablet or mouse (virtio)",
  .spec = "Virtio 1.2, 5.8",
  .instance_size = sizeof (VirtioInput),
  .state_version = 1,
  .properties = input_properties,
  .realize = input_realize,
  .unrealize = input_unrealize,
  .reset = input_reset,
  .quiesce = input_quiesce,
  .resume = input_resume,
  .save = input_save,
  .load = input_load,
  .stats = input_stats,
};
