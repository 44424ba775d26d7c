/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Clients that leave while they come, cut off after any byte of any channel: the machine goes on.
 *
 *   test-devices-backends-spice-leaving --rounds N --places SEED     more of them */
#include "spice-fixture.h"
#include <malloc.h>
#include <poll.h>
#include <spice/protocol.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TICKET_BYTES (4 + SPICE_TICKET_KEY_PAIR_LENGTH / 8) /* the mechanism and the ticket */
#define INIT_BYTES   (sizeof (SpiceMiniDataHeader) + 14)    /* SPICE_MSGC_DISPLAY_INIT */
#define NEVER        G_MAXINT32

static int rounds = 24;
static int seed = 1;

/* Which channel of the next client is cut off, so many bytes after the end of its link message and
 * ticket (negative: before that), and when it was. */
typedef struct
{
  int type, offset;
  const char *path; /* (nullable) of the listener that all its channels come by */
  gint done;        /* atomic */
} Plan;

typedef struct
{
  int client, server;
  int offset;
  gint *done; /* (nullable) */
} Line;

/* Bytes, and the descriptor that may come with them. */
static ssize_t
forward (int from, int to, gint64 most)
{
  char bytes[4096];
  union
  {
    struct cmsghdr header;
    char space[CMSG_SPACE (sizeof (int))];
  } control;
  struct iovec vec = { bytes, (gsize)MIN ((gint64)sizeof bytes, most) };
  struct msghdr message = {
    .msg_iov = &vec, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
  };
  ssize_t n = recvmsg (from, &message, MSG_CMSG_CLOEXEC), sent;
  gboolean has_fd = n > 0 && CMSG_FIRSTHDR (&message) != NULL;

  if (n <= 0)
    return n;
  /* A descriptor goes with the last byte, as it came. */
  sent = send (to, bytes, (gsize)n - (has_fd ? 1 : 0), MSG_NOSIGNAL);
  if (has_fd)
    {
      vec = (struct iovec){ bytes + n - 1, 1 };
      sent += sendmsg (to, &message, MSG_NOSIGNAL);
      close (*(int *)(gpointer)CMSG_DATA (&control.header));
    }
  return sent == n ? n : -1;
}

static gpointer
line_thread (gpointer data)
{
  Line *line = data;
  SpiceLinkHeader header = { 0 };
  gint64 left = NEVER;
  ssize_t n = recv (line->client, &header, sizeof header, MSG_PEEK | MSG_WAITALL);

  if (line->offset != NEVER)
    left = (gint64)sizeof header + header.size + TICKET_BYTES + line->offset;
  while (n > 0 && left > 0)
    {
      struct pollfd fds[2] = { { line->client, POLLIN, 0 }, { line->server, POLLIN, 0 } };

      poll (fds, 2, -1);
      if (fds[0].revents != 0)
        {
          n = forward (line->client, line->server, left);
          left -= MAX (n, 0);
        }
      if (n > 0 && fds[1].revents != 0)
        n = forward (line->server, line->client, G_MAXINT64);
    }
  close (line->server);
  close (line->client);
  if (line->done != NULL)
    g_atomic_int_set (line->done, TRUE);
  g_free (line);
  return NULL;
}

static int
connect_to (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  g_assert_cmpint (connect (fd, (const struct sockaddr *)&address, sizeof address), ==, 0);
  return fd;
}

static int
wrap (int type, int fd, gpointer user_data)
{
  Plan *plan = user_data;
  Line *line;
  int fds[2];

  if (type != plan->type && plan->path == NULL)
    return fd;
  if (plan->path != NULL)
    fds[0] = connect_to (plan->path), fds[1] = -1;
  else
    g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
  line = g_new (Line, 1);
  *line = (Line){ fd, fds[0], NEVER, NULL };
  if (type == plan->type)
    {
      line->offset = plan->offset;
      line->done = &plan->done;
    }
  g_thread_unref (g_thread_new ("line", line_thread, line));
  return fds[1];
}

/* A client that is cut off; the guest draws all the time. */
static void
come_and_go (Server *s, DisplaySurface *const pictures[2], int type, int offset)
{
  Plan plan = { .type = type, .offset = offset, .path = s->path };
  Client *c;
  guint n = 0;

  s->wrap = wrap;
  s->wrap_data = &plan;
  c = client_new (s, TRUE, NULL);
  WAIT ((n++ % 4 == 0 ? display_scanout_set_surface (s->scanout, pictures[n / 4 % 2])
                      : display_scanout_damage (s->scanout, n % 32, 0, 8, 8),
         g_atomic_int_get (&plan.done) || c->closed || c->n_draws > 3 || c->n_invalidates > 3));
  client_free (c);
  WAIT (g_atomic_int_get (&plan.done));
  s->wrap = NULL;
}

static void
run (gboolean listener, const int *types, guint n_types, const int *offsets, guint n_offsets)
{
  Server *s = server_new (listener, NULL);
  DisplaySurface *pictures[2] = { new_picture (64, 48, 1), new_picture (48, 64, 2) };
  Client *c;

  for (guint i = 0; i < n_types; i++)
    for (guint j = 0; j < n_offsets; j++)
      come_and_go (s, pictures, types[i], offsets[j]);
  display_scanout_set_surface (s->scanout, pictures[0]);
  c = client_new (s, TRUE, NULL);
  WAIT (shows (c, pictures[0]) && c->n_draws > 0);
  client_free (c);
  server_free (s);
  display_surface_unref (pictures[0]);
  display_surface_unref (pictures[1]);
}

/* Linked, and gone before, in and right after its first message: the server's worker waits for
 * that, and 0.15's uses a channel that it has freed when the client goes there. */
static void
test_display_init (void)
{
  const int types[] = { SPICE_CHANNEL_DISPLAY };
  const int offsets[] = { 0, 1, sizeof (SpiceMiniDataHeader), INIT_BYTES - 1, INIT_BYTES };

  run (FALSE, types, G_N_ELEMENTS (types), offsets, G_N_ELEMENTS (offsets));
  run (TRUE, types, G_N_ELEMENTS (types), offsets, G_N_ELEMENTS (offsets));
}

static void
test_anywhere (void)
{
  const int types[] = { SPICE_CHANNEL_MAIN, SPICE_CHANNEL_DISPLAY, SPICE_CHANNEL_CURSOR,
                        SPICE_CHANNEL_INPUTS };
  g_autofree int *offsets = g_new (int, rounds);
  g_autoptr (GRand) random = g_rand_new_with_seed ((guint32)seed);

  for (int i = 0; i < rounds; i++)
    offsets[i] = g_rand_int_range (random, -180, 60);
  for (int i = 0; i < rounds; i += 3)
    run (i / 12 % 2 == 1, types + i / 3 % 4, 1, offsets + i, (guint)MIN (3, rounds - i));
}

static void
run_loop_for (gint64 us)
{
  gint64 end = g_get_monotonic_time () + us;

  do
    {
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_usleep (200);
    }
  while (g_get_monotonic_time () < end);
}

/* The server ends at any moment of a client's life, before or after the client does. */
static void
test_server_end (void)
{
  DisplaySurface *picture = new_picture (64, 48, 1);
  g_autoptr (GRand) random = g_rand_new_with_seed ((guint32)seed);

  for (int i = 0; i < rounds / 4; i++)
    {
      Server *s = server_new (FALSE, NULL);
      Client *c = client_new (s, TRUE, NULL);

      display_scanout_set_surface (s->scanout, picture);
      run_loop_for (g_rand_int_range (random, 0, 60000));
      display_scanout_damage (s->scanout, 0, 0, 8, 8);
      if (i % 2 == 0)
        {
          client_free (c);
          server_free (s);
        }
      else
        {
          server_free (s);
          client_free (c);
        }
    }
  display_surface_unref (picture);
}

int
main (int argc, char **argv)
{
  g_autofree char *module_dir = g_path_get_dirname (SPICE_MODULE_PATH);
  const GOptionEntry entries[] = {
    { "rounds", 0, 0, G_OPTION_ARG_INT, &rounds, "Clients to cut off anywhere", "N" },
    { "places", 0, 0, G_OPTION_ARG_INT, &seed, "Seed of where", "N" },
    G_OPTION_ENTRY_NULL
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  /* Memory that is freed and used does not look as before. */
  mallopt (M_PERTURB, 0x5a);
  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_ignore_unknown_options (context, TRUE);
  if (!g_option_context_parse (context, &argc, &argv, NULL))
    return 2;
  g_test_init (&argc, &argv, NULL);
  g_setenv ("ALCOVE_SPICE_MODULE_DIR", module_dir, TRUE);
  g_log_set_always_fatal (G_LOG_LEVEL_ERROR | G_LOG_FLAG_FATAL);
  g_test_add_func ("/spice-leaving/display-init", test_display_init);
  g_test_add_func ("/spice-leaving/anywhere", test_anywhere);
  g_test_add_func ("/spice-leaving/server-end", test_server_end);
  return g_test_run ();
}
