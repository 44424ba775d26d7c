/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/backends/spice/spice-private.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG       16
#define KEEPALIVE_S   600  /* without a byte, then a vanished client is looked for */
#define FULL_PAUSE_US 1000 /* no descriptor is left: not again at once */

/* Takes fd; -1 with an error. */
static int
listen_at (
    int fd, const struct sockaddr *address, socklen_t length, const char *name, GError **error)
{
  const char *private = address->sa_family == AF_UNIX ? name : NULL;

  /* Nobody can connect before listen, so a path is private from the start. */
  if (fd >= 0 && bind (fd, address, length) == 0 &&
      (private == NULL || chmod (private, 0600) == 0) && listen (fd, BACKLOG) == 0)
    return fd;
  vmm_error_set_errno (error, -errno, "cannot listen on %s", name);
  if (fd >= 0)
    close (fd);
  return -1;
}

int
spice_listener_open_unix (const char *path, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  struct stat st;

  g_assert (strlen (path) < sizeof address.sun_path);
  memcpy (address.sun_path, path, strlen (path));
  /* What an earlier run left. */
  if (lstat (path, &st) == 0 && S_ISSOCK (st.st_mode))
    (void)unlink (path);
  return listen_at (socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                    (const struct sockaddr *)&address, sizeof address, path, error);
}

static gboolean
parse_tcp (const char *text, char **ret_host, const char **ret_port, GError **error)
{
  const char *colon = strrchr (text, ':');
  guint64 port;
  gsize length;

  if (colon == NULL || !g_ascii_string_to_unsigned (colon + 1, 10, 1, 65535, &port, NULL))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "the SPICE listener address “%s” is not ADDRESS:PORT", text);
      return FALSE;
    }
  length = (gsize)(colon - text);
  if (length >= 2 && text[0] == '[' && text[length - 1] == ']')
    *ret_host = g_strndup (text + 1, length - 2);
  else
    *ret_host = g_strndup (text, length);
  *ret_port = colon + 1;
  return TRUE;
}

int
spice_listener_open_tcp (const char *address, GError **error)
{
  const struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
  g_autofree char *host = NULL;
  struct addrinfo *found = NULL;
  const char *port;
  int fd = -1, code;

  if (!parse_tcp (address, &host, &port, error))
    return -1;
  code = getaddrinfo (*host != '\0' ? host : NULL, port, &hints, &found);
  if (code != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_FAILED, "cannot listen on %s: %s", address,
                   gai_strerror (code));
      return -1;
    }
  for (struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
    {
      const int on = 1;

      g_clear_error (error);
      fd = socket (at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      if (fd >= 0)
        (void)setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      fd = listen_at (fd, at->ai_addr, at->ai_addrlen, address, error);
    }
  freeaddrinfo (found);
  return fd;
}

int
spice_listener_accept (int listener)
{
  const int on = 1, seconds = KEEPALIVE_S;
  int fd = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);

  if (fd < 0 && (errno == EMFILE || errno == ENFILE))
    g_usleep (FULL_PAUSE_US);
  if (fd < 0)
    return -1;
  /* Refused by unix sockets, which need none of it. */
  if (setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
      setsockopt (fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0)
    (void)setsockopt (fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
  return fd;
}
