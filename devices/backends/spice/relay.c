/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A display channel's bytes between its client and the server.
 *
 * The server's worker waits for the client's first message (SPICE_MSGC_DISPLAY_INIT) as part of
 * connecting the channel, for up to 30 seconds, and libspice-server 0.15.1 does so without a
 * reference of its own: when the client goes, or says something that is refused, just then, it frees
 * the channel and goes on with it (dcc_start). A window that is closed while it opens would end the
 * machine. So nothing but a good first message, ours when the client has none, gets to the worker
 * until it is through with that, and neither does the client's end. That it is through is seen by
 * what it sends next.
 *
 * On the gate's thread, so that it goes on while the SPICE thread waits for the worker. */
#include "devices/backends/spice/spice-private.h"
#include <errno.h>
#include <spice/protocol.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_SIZE    (64 * 1024)
#define LINK_SIZE_MAX 4096 /* the server's limit */
#define TICKET_SIZE   (SPICE_TICKET_KEY_PAIR_LENGTH / 8)
#define RESULT_SIZE   4 /* after the ticket: SpiceLinkErr */
#define FIRST_US      (10 * G_USEC_PER_SEC)
#define TURNS         16 /* of copying, then others get theirs */

typedef enum
{
  PHASE_LINK,   /* the link message and the ticket: errors there do no harm */
  PHASE_FIRST,  /* the client's first message, which is kept until it is whole */
  PHASE_SETTLE, /* the worker has it: the client waits until it was taken */
  PHASE_OPEN,
} Phase;

typedef struct __attribute__ ((packed))
{
  guint8 pixmap_cache_id;
  gint64 pixmap_cache_size; /* pixels */
  guint8 glz_dictionary_id;
  gint32 glz_dictionary_window_size; /* pixels */
} DisplayInit;
G_STATIC_ASSERT (sizeof (DisplayInit) == 14);

typedef struct
{
  guint8 bytes[CHUNK_SIZE];
  gsize length, done;
  int fd; /* -1: none comes with it */
} Chunk;

typedef struct
{
  GSource source;
  GPtrArray *registry; /* of the gate */
  int client, server;
  gpointer client_tag, server_tag; /* NULL: nothing is wanted, a hang-up must not spin then */
  Phase phase;
  gboolean gone; /* the client: what comes for it is dropped */
  gboolean mini;
  gsize link_size;  /* of the message, mechanism and ticket; 0: not known yet */
  gsize up_size;    /* got in this phase */
  gsize reply_size; /* to the link message, with its result; 0: not known yet */
  gsize down_size;  /* got from the server while there is a handshake */
  Chunk up, down;
} Relay;

static gboolean
chunk_is_empty (const Chunk *chunk)
{
  return chunk->done == chunk->length;
}

static void
chunk_clear (Chunk *chunk)
{
  if (chunk->fd >= 0)
    close (chunk->fd);
  chunk->fd = -1;
  chunk->length = chunk->done = 0;
}

/* Appends at most so many bytes; those, 0 at the end, -EAGAIN or another error. */
static ssize_t
chunk_read (Chunk *chunk, int from, gsize most)
{
  union
  {
    struct cmsghdr header;
    guint8 space[CMSG_SPACE (sizeof (int))];
  } control = { 0 };
  struct iovec vec = { chunk->bytes + chunk->length, MIN (most, CHUNK_SIZE - chunk->length) };
  struct msghdr message = {
    .msg_iov = &vec, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
  };
  const struct cmsghdr *header;
  ssize_t n;

  do
    n = recvmsg (from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n <= 0)
    return n < 0 ? -errno : 0;
  header = CMSG_FIRSTHDR (&message);
  if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len == CMSG_LEN (sizeof (int)))
    {
      int fd;

      memcpy (&fd, CMSG_DATA (header), sizeof fd);
      if (chunk->fd >= 0)
        close (chunk->fd);
      chunk->fd = fd;
    }
  chunk->length += (gsize)n;
  return n;
}

/* FALSE: the other side is gone. */
static gboolean
chunk_write (Chunk *chunk, int to)
{
  while (!chunk_is_empty (chunk))
    {
      union
      {
        struct cmsghdr header;
        guint8 space[CMSG_SPACE (sizeof (int))];
      } control = { 0 };
      gsize left = chunk->length - chunk->done;
      gboolean with_fd = chunk->fd >= 0 && left == 1;
      /* A descriptor comes with the last byte of what is read, and must go with no other. */
      struct iovec vec = { chunk->bytes + chunk->done,
                           chunk->fd >= 0 && !with_fd ? left - 1 : left };
      struct msghdr message = { .msg_iov = &vec, .msg_iovlen = 1 };
      ssize_t n;

      if (with_fd)
        {
          message.msg_control = &control;
          message.msg_controllen = sizeof control;
          control.header.cmsg_level = SOL_SOCKET;
          control.header.cmsg_type = SCM_RIGHTS;
          control.header.cmsg_len = CMSG_LEN (sizeof (int));
          memcpy (CMSG_DATA (&control.header), &chunk->fd, sizeof chunk->fd);
        }
      n = sendmsg (to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return errno == EAGAIN;
      if (with_fd)
        {
          close (chunk->fd);
          chunk->fd = -1;
        }
      chunk->done += (gsize)n;
    }
  chunk_clear (chunk);
  return TRUE;
}

/* The link message is whole in `up`: what the client sends until the server answers. */
static void
parse_link (Relay *relay, gsize size)
{
  const guint8 *bytes = relay->up.bytes + sizeof (SpiceLinkHeader);
  SpiceLinkMess link;
  guint64 end;
  guint32 caps = 0;

  memcpy (&link, bytes, sizeof link);
  end = (guint64)GUINT32_FROM_LE (link.caps_offset) + sizeof caps;
  if (link.num_common_caps != 0 && end <= size)
    {
      memcpy (&caps, bytes + end - sizeof caps, sizeof caps);
      caps = GUINT32_FROM_LE (caps);
    }
  relay->mini = (caps >> SPICE_COMMON_CAP_MINI_HEADER) & 1;
  relay->link_size = sizeof (SpiceLinkHeader) + size + TICKET_SIZE;
  if ((caps >> SPICE_COMMON_CAP_PROTOCOL_AUTH_SELECTION) & 1)
    relay->link_size += sizeof (SpiceLinkAuthMechanism);
}

static gsize
get_link_message_size (const Chunk *chunk)
{
  SpiceLinkHeader header;

  memcpy (&header, chunk->bytes, sizeof header);
  return GUINT32_FROM_LE (header.size);
}

/* The message goes to the server when it is whole. */
static ssize_t
read_link (Relay *relay)
{
  gsize most = sizeof (SpiceLinkHeader), size = 0;
  ssize_t n;

  if (relay->link_size != 0)
    {
      n = chunk_read (&relay->up, relay->client, relay->link_size - relay->up_size);
      relay->up_size += (gsize)MAX (n, 0);
      return n;
    }
  if (relay->up_size >= sizeof (SpiceLinkHeader))
    {
      size = get_link_message_size (&relay->up);
      most += size;
    }
  n = chunk_read (&relay->up, relay->client, most - relay->up_size);
  relay->up_size += (gsize)MAX (n, 0);
  if (n <= 0 || relay->up_size < most)
    return n;
  if (size == 0)
    {
      size = get_link_message_size (&relay->up);
      return size >= sizeof (SpiceLinkMess) && size <= LINK_SIZE_MAX ? n : -EPROTO;
    }
  parse_link (relay, size);
  return n;
}

static gsize
get_first_size (const Relay *relay)
{
  return (relay->mini ? sizeof (SpiceMiniDataHeader) : sizeof (SpiceDataHeader)) +
         sizeof (DisplayInit);
}

/* Into `up`; values that every client may have. */
static void
make_first (Relay *relay)
{
  const DisplayInit init = { .pixmap_cache_size = GINT64_TO_LE (1024 * 1024),
                             .glz_dictionary_window_size = GINT32_TO_LE (1024 * 1024) };
  const SpiceMiniDataHeader mini = { .type = GUINT16_TO_LE (SPICE_MSGC_DISPLAY_INIT),
                                     .size = GUINT32_TO_LE (sizeof init) };
  const SpiceDataHeader full = { .serial = GUINT64_TO_LE (1),
                                 .type = GUINT16_TO_LE (SPICE_MSGC_DISPLAY_INIT),
                                 .size = GUINT32_TO_LE (sizeof init) };
  gsize header_size = get_first_size (relay) - sizeof init;

  chunk_clear (&relay->up);
  memcpy (relay->up.bytes, relay->mini ? (const void *)&mini : (const void *)&full, header_size);
  memcpy (relay->up.bytes + header_size, &init, sizeof init);
  relay->up.length = header_size + sizeof init;
}

/* What the server would abort on, or take for no first message, is none. */
static gboolean
first_is_good (const Relay *relay)
{
  const guint8 *bytes = relay->up.bytes;
  gsize header_size = get_first_size (relay) - sizeof (DisplayInit);
  SpiceMiniDataHeader mini;
  SpiceDataHeader full;
  DisplayInit init;

  memcpy (&init, bytes + header_size, sizeof init);
  if (relay->mini)
    {
      memcpy (&mini, bytes, sizeof mini);
    }
  else
    {
      memcpy (&full, bytes, sizeof full);
      if (full.sub_list != 0)
        return FALSE;
      mini = (SpiceMiniDataHeader){ full.type, full.size };
    }
  return GUINT16_FROM_LE (mini.type) == SPICE_MSGC_DISPLAY_INIT &&
         GUINT32_FROM_LE (mini.size) == sizeof init &&
         GINT64_FROM_LE (init.pixmap_cache_size) > 0 &&
         GINT32_FROM_LE (init.glz_dictionary_window_size) > 0 &&
         GINT32_FROM_LE (init.glz_dictionary_window_size) <= 1 << 24;
}

/* The client is gone, or as good as gone. FALSE: and so is the channel. */
static gboolean
lose_client (Relay *relay)
{
  relay->gone = TRUE;
  chunk_clear (&relay->down);
  if (relay->phase == PHASE_FIRST)
    {
      make_first (relay);
      relay->phase = PHASE_SETTLE;
    }
  return relay->phase == PHASE_SETTLE;
}

static ssize_t
read_first (Relay *relay)
{
  gsize size = get_first_size (relay);
  ssize_t n = chunk_read (&relay->up, relay->client, size - relay->up_size);

  if (n <= 0)
    return n;
  relay->up_size += (gsize)n;
  if (relay->up_size < size)
    return n;
  if (!first_is_good (relay))
    return -EPROTO;
  relay->phase = PHASE_SETTLE;
  return n;
}

/* Whether `up` may be written now: messages of the handshake only when they are whole. */
static gboolean
up_is_ready (const Relay *relay)
{
  return relay->phase == PHASE_LINK ? relay->link_size != 0 : relay->phase != PHASE_FIRST;
}

static gboolean
wants_client (const Relay *relay)
{
  return !relay->gone && relay->phase != PHASE_SETTLE &&
         (chunk_is_empty (&relay->up) || !up_is_ready (relay));
}

/* FALSE: the channel is over. *ret_moved: there may be more. */
static gboolean
move_up (Relay *relay, gboolean *ret_moved)
{
  ssize_t n = -EAGAIN;

  if (wants_client (relay))
    {
      n = relay->phase == PHASE_LINK    ? read_link (relay)
          : relay->phase == PHASE_FIRST ? read_first (relay)
                                        : chunk_read (&relay->up, relay->client, CHUNK_SIZE);
      if (n <= 0 && n != -EAGAIN && !lose_client (relay))
        return FALSE;
    }
  *ret_moved |= n > 0;
  if (up_is_ready (relay) && !chunk_write (&relay->up, relay->server))
    return FALSE;
  if (relay->phase == PHASE_LINK && relay->link_size != 0 && relay->up_size == relay->link_size &&
      chunk_is_empty (&relay->up))
    {
      relay->phase = PHASE_FIRST;
      relay->up_size = 0;
      g_source_set_ready_time (&relay->source, g_get_monotonic_time () + FIRST_US);
    }
  return TRUE;
}

/* Follows the server's answers, until it sends what comes after them. */
static void
note_reply (Relay *relay, gsize n)
{
  relay->down_size += n;
  if (relay->reply_size == 0 && relay->down.length >= sizeof (SpiceLinkHeader))
    relay->reply_size =
        sizeof (SpiceLinkHeader) + get_link_message_size (&relay->down) + RESULT_SIZE;
  if (relay->phase == PHASE_SETTLE && relay->reply_size != 0 &&
      relay->down_size > relay->reply_size)
    relay->phase = PHASE_OPEN;
}

static gboolean
move_down (Relay *relay, gboolean *ret_moved)
{
  /* The first bytes are kept together until their size is known. */
  gboolean whole = relay->reply_size != 0;
  ssize_t n = -EAGAIN;

  if (chunk_is_empty (&relay->down) || !whole)
    {
      n = chunk_read (&relay->down, relay->server, whole ? CHUNK_SIZE : sizeof (SpiceLinkHeader));
      if (n <= 0 && n != -EAGAIN)
        return FALSE;
      if (n > 0 && relay->phase != PHASE_OPEN)
        note_reply (relay, (gsize)n);
    }
  *ret_moved |= n > 0;
  if (relay->gone)
    chunk_clear (&relay->down);
  else if (relay->reply_size != 0 && !chunk_write (&relay->down, relay->client) &&
           !lose_client (relay))
    return FALSE;
  /* One that went before the worker was through. */
  return !relay->gone || relay->phase != PHASE_OPEN;
}

static void
watch (Relay *relay, int fd, gpointer *tag, gboolean in, gboolean out)
{
  GIOCondition condition =
      (in ? G_IO_IN | G_IO_HUP | G_IO_ERR : 0) | (out ? G_IO_OUT | G_IO_HUP | G_IO_ERR : 0);

  if (condition == 0 && *tag != NULL)
    g_source_remove_unix_fd (&relay->source, g_steal_pointer (tag));
  else if (condition != 0 && *tag == NULL)
    *tag = g_source_add_unix_fd (&relay->source, fd, condition);
  else if (condition != 0)
    g_source_modify_unix_fd (&relay->source, *tag, condition);
}

static gboolean
relay_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  Relay *relay = (Relay *)source;
  gboolean alive = TRUE, moved = TRUE;
  gint64 due = g_source_get_ready_time (source);

  if (due >= 0 && due <= g_source_get_time (source))
    {
      g_source_set_ready_time (source, -1);
      if (relay->phase == PHASE_FIRST)
        alive = lose_client (relay);
    }
  for (guint i = 0; alive && moved && i < TURNS; i++)
    {
      moved = FALSE;
      alive = move_up (relay, &moved) && move_down (relay, &moved);
    }
  if (!alive)
    {
      g_ptr_array_remove_fast (relay->registry, source);
      return G_SOURCE_REMOVE;
    }
  watch (relay, relay->client, &relay->client_tag, wants_client (relay),
         !chunk_is_empty (&relay->down) && relay->reply_size != 0);
  watch (relay, relay->server, &relay->server_tag,
         chunk_is_empty (&relay->down) || relay->reply_size == 0,
         !chunk_is_empty (&relay->up) && up_is_ready (relay));
  return G_SOURCE_CONTINUE;
}

static void
relay_finalize (GSource *source)
{
  Relay *relay = (Relay *)source;

  chunk_clear (&relay->up);
  chunk_clear (&relay->down);
  close (relay->client);
  close (relay->server);
}

static const GSourceFuncs relay_funcs = { .dispatch = relay_dispatch, .finalize = relay_finalize };

GSource *
spice_relay_new (int client, int server, GPtrArray *registry)
{
  Relay *relay = (Relay *)g_source_new ((GSourceFuncs *)&relay_funcs, sizeof (Relay));

  relay->registry = registry;
  relay->client = client;
  relay->server = server;
  relay->up.fd = relay->down.fd = -1;
  watch (relay, client, &relay->client_tag, TRUE, FALSE);
  watch (relay, server, &relay->server_tag, TRUE, FALSE);
  return &relay->source;
}

void
spice_relay_hurry (GSource *source)
{
  Relay *relay = (Relay *)source;

  if (relay->phase == PHASE_FIRST)
    g_source_set_ready_time (source, 0);
}
