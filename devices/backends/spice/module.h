/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What libalcove-spice.so exports: one struct named by SPICE_MODULE_SYMBOL. loader.c opens it when
 * a machine wants a display, so a machine without one never maps spice-server and what it pulls in.
 * Module and program are built together: abi changes whenever an interface between them does. */
#pragma once
#include <gmodule.h>
#include "devices/backends/spice/spice.h"

#define SPICE_MODULE_SYMBOL "alcove_spice_module"
#define SPICE_MODULE_ABI    1

typedef struct
{
  guint abi;
  SpiceBackend *(*backend_new) (const SpiceConfig *config, GError **error);
  void (*backend_free) (SpiceBackend *spice);
  gboolean (*add_client) (SpiceBackend *spice, int fd, GError **error);
  void (*set_running) (SpiceBackend *spice, gboolean running);
  guint (*get_n_clients) (SpiceBackend *spice);
} SpiceModule;

extern const SpiceModule alcove_spice_module;
