/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/backends/char/char.h"

static gsize
null_write (CharBackend *backend, const guint8 *data, gsize length)
{
  return length;
}

static void
null_attach (CharBackend *backend, VmmWorker *worker, const CharReceiver *receiver, gpointer device)
{
}

static void
null_detach (CharBackend *backend)
{
}

static void
null_can_receive_more (CharBackend *backend)
{
}

static void
null_free (CharBackend *backend)
{
  g_free (backend);
}

static const CharBackendOps null_ops = {
  .name = "null",
  .write = null_write,
  .attach = null_attach,
  .detach = null_detach,
  .can_receive_more = null_can_receive_more,
  .free = null_free,
};

CharBackend *
char_null_new (void)
{
  CharBackend *backend = g_new0 (CharBackend, 1);

  backend->ops = &null_ops;
  return backend;
}
