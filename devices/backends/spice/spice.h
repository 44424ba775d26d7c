/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The SPICE server: one thread with its own GMainContext owns every spice-server call. It shows
 * scanouts (memfd scanouts to clients that connect by fd, drawables to clients of a listener),
 * takes keyboard, tablet and mouse into the router, and carries char devices (agent, ports).
 * Threads: functions may be called from any thread; new and free on the control thread. */
#pragma once
#include "devices/backends/char/char.h"
#include "devices/display/scanout.h"
#include "devices/input/router.h"
#include "vmm/error.h"

typedef struct _SpiceBackend SpiceBackend;

typedef struct
{
  const char *name; /* of the machine */
  guint8 uuid[16];
  DisplayScanout **scanouts;
  guint n_scanouts;
  InputRouter *router;
  /* An opt-in listener: NULL for none. Foreign clients use drawables; with a listener, scanouts
   * are sent as drawables to everyone but fd clients. */
  const char *listen_unix; /* (nullable) path */
  const char *listen_tcp;  /* (nullable) "address:port" */
  const char *password;    /* (nullable) ticket for the listener */
} SpiceConfig;

SpiceBackend *spice_backend_new (const SpiceConfig *config, GError **error);
void spice_backend_free (SpiceBackend *spice);
/* fd: (transfer full) a connected stream socket: a SPICE client's channel. Does not wait for it: a
 * client that is refused sees its socket close. */
gboolean spice_backend_add_client (SpiceBackend *spice, int fd, GError **error);
void spice_backend_set_running (SpiceBackend *spice, gboolean running);
guint spice_backend_get_n_clients (SpiceBackend *spice);
