/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-console (Virtio 1.2, 5.3) with MULTIPORT: a pair of queues for each port and one for
 * control messages. A driver without MULTIPORT sees port 0 only, open at once.
 *
 * Both directions push back: output that the back end does not take leaves its buffer in the ring;
 * input is asked for only while the guest has opened the port and has buffers. Messages to the
 * driver wait in a bounded queue until it gives buffers. All of it runs on the device's worker with
 * the device lock, taken by the back end's callbacks too. */
#include "devices/virtio/console.h"

#include <string.h>

#define QUEUE_SIZE      128
#define QUEUE_CTRL_RX   2
#define QUEUE_CTRL_TX   3
#define CONFIG_SIZE     12
#define NAME_MAX_LENGTH 127
#define PENDING_MAX     256 /* control messages */
#define CHUNK           4096

enum
{
  FEATURE_SIZE = 0,
  FEATURE_MULTIPORT = 1,

  /* 5.3.6.2 */
  MESSAGE_DEVICE_READY = 0,
  MESSAGE_PORT_ADD = 1,
  MESSAGE_PORT_REMOVE = 2,
  MESSAGE_PORT_READY = 3,
  MESSAGE_CONSOLE_PORT = 4,
  MESSAGE_RESIZE = 5,
  MESSAGE_PORT_OPEN = 6,
  MESSAGE_PORT_NAME = 7,
};
#define BIT(n) (G_GUINT64_CONSTANT (1) << (n))

/* struct virtio_console_control */
typedef struct
{
  guint32 id;
  guint16 event;
  guint16 value;
} WireControl;
G_STATIC_ASSERT (sizeof (WireControl) == 8);

typedef struct _VirtioConsole VirtioConsole;

typedef struct
{
  VirtioConsole *console;
  guint index;
  char *name;
  gboolean is_console;
  CharBackend *backend;
  gboolean host_open;  /* device lock */
  gboolean guest_open; /* device lock; saved */
  guint32 out_done;    /* bytes of the first buffer in the ring that are out already; saved */
  gboolean waiting;    /* the back end takes no more for now */
} Port;

struct _VirtioConsole
{
  VirtioDevice parent;
  struct
  {
    const VirtioConsolePorts *ports;
  } config;
  struct
  {
    gboolean ready; /* the driver speaks MULTIPORT */
  } guest;
  struct
  {
    Port ports[VIRTIO_CONSOLE_MAX_PORTS];
    guint n_ports;
    guint16 columns, rows;
    GQueue messages; /* GBytes to the driver */
    gboolean running, inside, attached;
    guint64 n_in, n_out, n_lost; /* device lock */
  } host;
};

static guint
rx_queue (const Port *port)
{
  return port->index == 0 ? 0 : 2 + 2 * port->index;
}

static guint
tx_queue (const Port *port)
{
  return rx_queue (port) + 1;
}

/* Queues come in the order: port 0, control, port 1, ... (5.3.2). NULL for control. */
static Port *
port_of_queue (VirtioConsole *console, guint queue)
{
  guint index = queue < 2 ? 0 : queue / 2 - 1;

  if (queue == QUEUE_CTRL_RX || queue == QUEUE_CTRL_TX || index >= console->host.n_ports)
    return NULL;
  return &console->host.ports[index];
}

static void
enter (VirtioConsole *console, gboolean *ret_inside)
{
  *ret_inside = console->host.inside && vmm_worker_is_current (console->parent.worker);
  if (!*ret_inside)
    virtio_device_lock_queue (&console->parent, 0);
}

static void
leave (VirtioConsole *console, gboolean inside)
{
  if (!inside)
    virtio_device_unlock_queue (&console->parent, 0);
}

/* ---- configuration ---- */

static void
console_config_read (VirtioDevice *device, gsize offset, void *buffer, gsize size)
{
  VirtioConsole *console = (VirtioConsole *)device;
  guint8 config[CONFIG_SIZE] = { 0 };

  config[0] = console->host.columns & 0xff;
  config[1] = console->host.columns >> 8;
  config[2] = console->host.rows & 0xff;
  config[3] = console->host.rows >> 8;
  config[4] = console->host.n_ports;
  memcpy (buffer, config + offset, size);
}

/* ---- control ---- */

static void
flush_messages (VirtioConsole *console)
{
  VirtioDevice *device = &console->parent;
  Virtqueue *vq = virtio_device_get_queue (device, QUEUE_CTRL_RX);
  gboolean sent = FALSE;
  GBytes *message;

  if (!virtio_device_is_active (device))
    return;
  while ((message = g_queue_peek_head (&console->host.messages)) != NULL)
    {
      VirtqueueChain *chain;
      VirtqueueStatus status = virtqueue_pop (vq, &chain);
      gsize length;
      gconstpointer data = g_bytes_get_data (message, &length);

      if (status == VIRTQUEUE_BROKEN)
        {
          virtio_device_set_broken (device);
          return;
        }
      if (status == VIRTQUEUE_EMPTY)
        {
          if (virtqueue_enable_kicks (vq))
            continue;
          break;
        }
      virtqueue_push (vq, chain, virtqueue_chain_write (chain, data, length));
      g_bytes_unref (g_queue_pop_head (&console->host.messages));
      sent = TRUE;
    }
  if (sent)
    virtio_device_notify_queue (device, QUEUE_CTRL_RX);
}

static void
tell (VirtioConsole *console, guint id, guint event, guint value, const void *more, gsize length)
{
  WireControl control = { GUINT32_TO_LE (id), GUINT16_TO_LE (event), GUINT16_TO_LE (value) };
  guint8 data[sizeof control + NAME_MAX_LENGTH];

  if (!console->guest.ready)
    return;
  /* A driver that asks and never reads. */
  if (g_queue_get_length (&console->host.messages) >= PENDING_MAX)
    {
      console->host.n_lost++;
      return;
    }
  memcpy (data, &control, sizeof control);
  if (length > 0)
    memcpy (data + sizeof control, more, length);
  g_queue_push_tail (&console->host.messages, g_bytes_new (data, sizeof control + length));
}

static void
tell_size (VirtioConsole *console, const Port *port)
{
  guint16 size[2] = { GUINT16_TO_LE (console->host.rows), GUINT16_TO_LE (console->host.columns) };

  if (console->host.columns != 0)
    tell (console, port->index, MESSAGE_RESIZE, 0, size, sizeof size);
}

static void
set_guest_open (Port *port, gboolean open)
{
  if (port->guest_open == open)
    return;
  port->guest_open = open;
  if (open)
    port->backend->ops->can_receive_more (port->backend);
}

static void
handle_message (VirtioConsole *console, const WireControl *control)
{
  guint id = GUINT32_FROM_LE (control->id), value = GUINT16_FROM_LE (control->value);
  Port *port = id < console->host.n_ports ? &console->host.ports[id] : NULL;

  switch (GUINT16_FROM_LE (control->event))
    {
    case MESSAGE_DEVICE_READY:
      console->guest.ready = value != 0;
      for (guint i = 0; value != 0 && i < console->host.n_ports; i++)
        tell (console, i, MESSAGE_PORT_ADD, 1, NULL, 0);
      break;
    case MESSAGE_PORT_READY:
      if (port == NULL || value == 0)
        break;
      if (port->name != NULL)
        tell (console, id, MESSAGE_PORT_NAME, 1, port->name, strlen (port->name));
      if (port->is_console)
        {
          tell (console, id, MESSAGE_CONSOLE_PORT, 1, NULL, 0);
          tell_size (console, port);
        }
      if (port->host_open)
        tell (console, id, MESSAGE_PORT_OPEN, 1, NULL, 0);
      break;
    case MESSAGE_PORT_OPEN:
      if (port != NULL)
        set_guest_open (port, value != 0);
      break;
    default:
      break;
    }
}

static void
take_messages (VirtioConsole *console)
{
  VirtioDevice *device = &console->parent;
  Virtqueue *vq = virtio_device_get_queue (device, QUEUE_CTRL_TX);
  guint budget = virtqueue_get_size (vq);
  VirtqueueStatus status = VIRTQUEUE_EMPTY;
  VirtqueueChain *chain;

  while (budget-- > 0 && (status = virtqueue_pop (vq, &chain)) == VIRTQUEUE_READY)
    {
      WireControl control;

      if (virtqueue_chain_read (chain, &control, sizeof control) == sizeof control)
        handle_message (console, &control);
      virtqueue_push (vq, chain, 0);
    }
  if (status == VIRTQUEUE_BROKEN)
    {
      virtio_device_set_broken (device);
      return;
    }
  virtio_device_notify_queue (device, QUEUE_CTRL_TX);
  flush_messages (console);
  if (status == VIRTQUEUE_READY || virtqueue_enable_kicks (vq))
    virtio_device_schedule_kick (device, QUEUE_CTRL_TX);
}

/* ---- from the guest ---- */

static void
on_writable (gpointer user_data)
{
  Port *port = user_data;
  gboolean inside;

  enter (port->console, &inside);
  port->waiting = FALSE;
  leave (port->console, inside);
  virtio_device_schedule_kick (&port->console->parent, tx_queue (port));
}

/* FALSE: the back end is full; out_done says how far the buffer went. */
static gboolean
send_buffer (Port *port, VirtqueueChain *chain)
{
  const CharBackendOps *ops = port->backend->ops;
  guint8 buffer[CHUNK];
  gsize length;

  virtqueue_chain_skip_readable (chain, port->out_done);
  while ((length = virtqueue_chain_read (chain, buffer, sizeof buffer)) > 0)
    {
      gsize taken = ops->write (port->backend, buffer, length);

      port->console->host.n_out += taken;
      port->out_done += taken;
      if (taken < length && ops->notify_writable != NULL)
        return FALSE;
      if (taken < length)
        port->console->host.n_lost += length - taken;
    }
  port->out_done = 0;
  return TRUE;
}

/* Output of a port. What the back end does not take stays in the ring. */
static void
send_output (Port *port)
{
  VirtioConsole *console = port->console;
  VirtioDevice *device = &console->parent;
  Virtqueue *vq = virtio_device_get_queue (device, tx_queue (port));
  guint budget = virtqueue_get_size (vq);
  VirtqueueStatus status = VIRTQUEUE_EMPTY;
  VirtqueueChain *chain;

  while (!port->waiting && budget-- > 0 && (status = virtqueue_pop (vq, &chain)) == VIRTQUEUE_READY)
    {
      if (send_buffer (port, chain))
        virtqueue_push (vq, chain, 0);
      else
        {
          virtqueue_unpop (vq, chain);
          port->waiting = TRUE;
          port->backend->ops->notify_writable (port->backend, on_writable, port);
        }
    }
  if (status == VIRTQUEUE_BROKEN)
    {
      virtio_device_set_broken (device);
      return;
    }
  virtio_device_notify_queue (device, tx_queue (port));
  if (!port->waiting && (status == VIRTQUEUE_READY || virtqueue_enable_kicks (vq)))
    virtio_device_schedule_kick (device, tx_queue (port));
}

/* ---- to the guest ---- */

/* Room in the next buffer; 0: none, and a kick will come. */
static gsize
input_room (Port *port)
{
  VirtioDevice *device = &port->console->parent;
  Virtqueue *vq;

  if (!virtio_device_is_active (device) || !port->guest_open)
    return 0;
  vq = virtio_device_get_queue (device, rx_queue (port));
  for (;;)
    {
      VirtqueueChain *chain;
      VirtqueueStatus status = virtqueue_pop (vq, &chain);
      gsize room;

      if (status == VIRTQUEUE_BROKEN)
        {
          virtio_device_set_broken (device);
          return 0;
        }
      if (status == VIRTQUEUE_EMPTY)
        {
          if (virtqueue_enable_kicks (vq))
            continue;
          return 0;
        }
      room = virtqueue_chain_writable_left (chain);
      if (room > 0)
        {
          virtqueue_unpop (vq, chain);
          return room;
        }
      virtqueue_push (vq, chain, 0); /* a buffer that holds nothing */
    }
}

static gsize
port_can_receive (gpointer user_data)
{
  Port *port = user_data;
  gboolean inside;
  gsize room;

  enter (port->console, &inside);
  room = input_room (port);
  leave (port->console, inside);
  return room;
}

static void
port_receive (gpointer user_data, const guint8 *data, gsize length)
{
  Port *port = user_data;
  VirtioConsole *console = port->console;
  Virtqueue *vq = virtio_device_get_queue (&console->parent, rx_queue (port));
  gboolean inside;
  gsize done = 0;

  enter (console, &inside);
  while (done < length && input_room (port) > 0)
    {
      VirtqueueChain *chain;
      gsize piece;

      if (virtqueue_pop (vq, &chain) != VIRTQUEUE_READY)
        break;
      piece = virtqueue_chain_write (chain, data + done, length - done);
      virtqueue_push (vq, chain, piece);
      done += piece;
      if (piece == 0)
        break;
    }
  console->host.n_in += done;
  console->host.n_lost += length - done; /* the guest went away between asking and giving */
  if (done > 0)
    virtio_device_notify_queue (&console->parent, rx_queue (port));
  leave (console, inside);
}

static void
port_open_changed (gpointer user_data, gboolean open)
{
  Port *port = user_data;
  VirtioConsole *console = port->console;
  gboolean inside;

  enter (console, &inside);
  if (port->host_open != open)
    {
      port->host_open = open;
      tell (console, port->index, MESSAGE_PORT_OPEN, open, NULL, 0);
      flush_messages (console);
    }
  leave (console, inside);
}

static const CharReceiver port_receiver = {
  .can_receive = port_can_receive,
  .receive = port_receive,
  .open_changed = port_open_changed,
};

static void
console_kick (VirtioDevice *device, guint queue)
{
  VirtioConsole *console = (VirtioConsole *)device;
  Port *port = port_of_queue (console, queue);

  console->host.inside = TRUE;
  if (queue == QUEUE_CTRL_RX)
    flush_messages (console);
  else if (queue == QUEUE_CTRL_TX)
    take_messages (console);
  else if (port != NULL && queue == tx_queue (port))
    send_output (port);
  else if (port != NULL && port->guest_open)
    port->backend->ops->can_receive_more (port->backend);
  console->host.inside = FALSE;
}

void
virtio_console_set_size (VmmDevice *device, guint columns, guint rows)
{
  VirtioConsole *console = (VirtioConsole *)device;
  gboolean inside;

  enter (console, &inside);
  console->host.columns = MIN (columns, G_MAXUINT16);
  console->host.rows = MIN (rows, G_MAXUINT16);
  for (guint i = 0; i < console->host.n_ports; i++)
    if (console->host.ports[i].is_console)
      tell_size (console, &console->host.ports[i]);
  flush_messages (console);
  virtio_device_notify_config (&console->parent);
  leave (console, inside);
}

/* ---- life cycle ---- */

static void
console_activate (VirtioDevice *device)
{
  VirtioConsole *console = (VirtioConsole *)device;

  /* After a load, what the driver opened is open still. */
  if (!virtio_device_has_feature (device, FEATURE_MULTIPORT))
    console->host.ports[0].guest_open = TRUE;
  for (guint i = 0; i < console->host.n_ports; i++)
    console->host.ports[i].waiting = FALSE;
}

static void
console_deactivate (VirtioDevice *device)
{
  VirtioConsole *console = (VirtioConsole *)device;

  virtio_device_lock_queue (device, 0);
  console->guest.ready = FALSE;
  g_queue_clear_full (&console->host.messages, (GDestroyNotify)g_bytes_unref);
  for (guint i = 0; i < console->host.n_ports; i++)
    {
      console->host.ports[i].guest_open = FALSE;
      console->host.ports[i].out_done = 0;
      console->host.ports[i].waiting = FALSE;
    }
  virtio_device_unlock_queue (device, 0);
}

static void
console_quiesce_queues (VirtioDevice *device)
{
  /* No chain is ever kept; callbacks of back ends see that the device is not active. */
}

static void
console_resume_queues (VirtioDevice *device)
{
}

static const VirtioDeviceOps console_virtio_ops = {
  .type = 3,
  .class_base = 0x07,
  .class_sub = 0x80,
  .n_queues = 4,
  .queue_size = QUEUE_SIZE,
  .features = BIT (FEATURE_SIZE) | BIT (FEATURE_MULTIPORT),
  .config_size = CONFIG_SIZE,
  .config_read = console_config_read,
  .activate = console_activate,
  .deactivate = console_deactivate,
  .kick = console_kick,
  .quiesce = console_quiesce_queues,
  .resume = console_resume_queues,
};

static gboolean
check_ports (VirtioConsole *console, GError **error)
{
  const VirtioConsolePorts *ports = console->config.ports;
  const char *id = console->parent.parent.parent.id;

  if (ports->n_ports < 1 || ports->n_ports > VIRTIO_CONSOLE_MAX_PORTS)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%s: a console device has 1 to %d ports, not %u", id, VIRTIO_CONSOLE_MAX_PORTS,
                   ports->n_ports);
      return FALSE;
    }
  for (guint i = 0; i < ports->n_ports; i++)
    if (ports->ports[i].backend == NULL ||
        (ports->ports[i].name != NULL && strlen (ports->ports[i].name) > NAME_MAX_LENGTH))
      {
        g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                     "%s: port %u needs a back end, and a name of at most %d bytes", id, i,
                     NAME_MAX_LENGTH);
        return FALSE;
      }
  return TRUE;
}

static void
free_ports (VirtioConsole *console)
{
  for (guint i = 0; i < console->host.n_ports; i++)
    g_free (console->host.ports[i].name);
  console->host.n_ports = 0;
  g_queue_clear_full (&console->host.messages, (GDestroyNotify)g_bytes_unref);
}

static gboolean
console_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  VirtioConsole *console = (VirtioConsole *)device;
  const VirtioConsolePorts *ports = console->config.ports;
  VirtioInitOptions options = { 0 };

  if (!check_ports (console, error))
    return FALSE;
  g_queue_init (&console->host.messages);
  console->host.n_ports = ports->n_ports;
  for (guint i = 0; i < ports->n_ports; i++)
    console->host.ports[i] = (Port){
      .console = console,
      .index = i,
      .name = g_strdup (ports->ports[i].name),
      .is_console = ports->ports[i].console,
      .backend = ports->ports[i].backend,
      .host_open = TRUE,
    };
  options.n_queues = 2 + 2 * ports->n_ports;
  options.n_queues = MAX (options.n_queues, 4);
  if (!virtio_device_init (&console->parent, machine, &console_virtio_ops, &options, NULL, error))
    {
      free_ports (console);
      return FALSE;
    }
  for (guint i = 0; i < console->host.n_ports; i++)
    {
      CharBackend *backend = console->host.ports[i].backend;

      backend->ops->attach (backend, console->parent.worker, &port_receiver,
                            &console->host.ports[i]);
    }
  console->host.attached = TRUE;
  return TRUE;
}

static void
console_unrealize (VmmDevice *device)
{
  VirtioConsole *console = (VirtioConsole *)device;

  if (console->parent.transport != NULL)
    virtio_device_reset (&console->parent);
  for (guint i = 0; console->host.attached && i < console->host.n_ports; i++)
    {
      CharBackend *backend = console->host.ports[i].backend;

      if (backend->ops->notify_writable != NULL)
        backend->ops->notify_writable (backend, NULL, NULL);
      backend->ops->detach (backend);
    }
  console->host.attached = FALSE;
  virtio_device_finish (&console->parent);
  free_ports (console);
}

static void
console_reset (VmmDevice *device, VmmResetKind kind)
{
  virtio_device_reset ((VirtioDevice *)device);
}

static void
console_quiesce (VmmDevice *device)
{
  virtio_device_quiesce ((VirtioDevice *)device);
}

static void
console_resume (VmmDevice *device)
{
  VirtioConsole *console = (VirtioConsole *)device;

  virtio_device_resume (&console->parent);
  /* A wait that began before a load is not this state's. */
  virtio_device_lock_queue (&console->parent, 0);
  for (guint i = 0; i < console->host.n_ports; i++)
    console->host.ports[i].waiting = FALSE;
  virtio_device_unlock_queue (&console->parent, 0);
}

static gboolean
console_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  VirtioConsole *console = (VirtioConsole *)device;

  virtio_device_save (&console->parent, writer);
  vmm_state_put_uint (writer, "ready", console->guest.ready);
  vmm_state_put_uint (writer, "n_ports", console->host.n_ports);
  for (guint i = 0; i < console->host.n_ports; i++)
    {
      vmm_state_put_uint (writer, "guest_open", console->host.ports[i].guest_open);
      vmm_state_put_uint (writer, "out_done", console->host.ports[i].out_done);
    }
  vmm_state_put_uint (writer, "n_messages", g_queue_get_length (&console->host.messages));
  for (GList *l = console->host.messages.head; l != NULL; l = l->next)
    {
      gsize length;
      gconstpointer data = g_bytes_get_data (l->data, &length);

      vmm_state_put_bytes (writer, "message", data, length);
    }
  return TRUE;
}

static gboolean
load_ports (VirtioConsole *console, VmmStateReader *reader, GError **error)
{
  guint64 ready, n_ports, n_messages;

  if (!vmm_state_get_uint (reader, "ready", 1, &ready, error) ||
      !vmm_state_get_uint (reader, "n_ports", VIRTIO_CONSOLE_MAX_PORTS, &n_ports, error))
    return FALSE;
  if (n_ports != console->host.n_ports)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%s: the state was saved with %u ports, and there are %u",
                   console->parent.parent.parent.id, (guint)n_ports, console->host.n_ports);
      return FALSE;
    }
  for (guint i = 0; i < n_ports; i++)
    {
      guint64 open, done;

      if (!vmm_state_get_uint (reader, "guest_open", 1, &open, error) ||
          !vmm_state_get_uint (reader, "out_done", G_MAXUINT32, &done, error))
        return FALSE;
      console->host.ports[i].guest_open = open;
      console->host.ports[i].out_done = done;
    }
  if (!vmm_state_get_uint (reader, "n_messages", PENDING_MAX, &n_messages, error))
    return FALSE;
  for (guint i = 0; i < n_messages; i++)
    {
      const guint8 *data;
      gsize length;

      if (!vmm_state_get_blob (reader, "message", sizeof (WireControl) + NAME_MAX_LENGTH, &data,
                               &length, error))
        return FALSE;
      g_queue_push_tail (&console->host.messages, g_bytes_new (data, length));
    }
  console->guest.ready = ready;
  return TRUE;
}

static gboolean
console_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  VirtioConsole *console = (VirtioConsole *)device;

  if (!virtio_device_load (&console->parent, reader, error))
    return FALSE;
  g_queue_clear_full (&console->host.messages, (GDestroyNotify)g_bytes_unref);
  return load_ports (console, reader, error);
}

static void
console_stats (VmmDevice *device,
               void (*add) (gpointer user_data, const char *name, guint64 value),
               gpointer user_data)
{
  VirtioConsole *console = (VirtioConsole *)device;

  virtio_device_lock_queue (&console->parent, 0);
  add (user_data, "bytes-in", console->host.n_in);
  add (user_data, "bytes-out", console->host.n_out);
  add (user_data, "lost", console->host.n_lost);
  virtio_device_unlock_queue (&console->parent, 0);
  virtio_device_stats (&console->parent, add, user_data);
}

static const VmmProperty console_properties[] = {
  VIRTIO_DEVICE_PROPERTIES,
  { "ports", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (VirtioConsole, config.ports),
    .required = TRUE },
  { NULL },
};

const VmmDeviceOps virtio_console_device_ops = {
  .name = "virtio-console",
  .summary = "Consoles and ports (virtio)",
  .spec = "Virtio 1.2, 5.3",
  .instance_size = sizeof (VirtioConsole),
  .state_version = 1,
  .properties = console_properties,
  .realize = console_realize,
  .unrealize = console_unrealize,
  .reset = console_reset,
  .quiesce = console_quiesce,
  .resume = console_resume,
  .save = console_save,
  .load = console_load,
  .stats = console_stats,
};
