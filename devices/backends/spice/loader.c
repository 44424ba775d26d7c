/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions of spice.h for a program: they open the module and go through it. */
#include "devices/backends/spice/module.h"

/* A backend as the program holds it. */
typedef struct
{
  const SpiceModule *module;
  SpiceBackend *spice;
} Loaded;

static const SpiceModule *
load_module (GError **error)
{
  const char *dir = g_getenv ("ALCOVE_SPICE_MODULE_DIR");
  g_autofree char *path =
      g_build_filename (dir != NULL ? dir : ALCOVE_SPICE_MODULE_DIR, "libalcove-spice.so", NULL);
  GModule *module = g_module_open (path, G_MODULE_BIND_LOCAL);
  gpointer symbol = NULL;

  if (module == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                   "the display cannot be served: %s. Reinstall Alcove, or start the machine "
                   "without a display",
                   g_module_error ());
      return NULL;
    }
  /* spice-server keeps threads and GObject types: it is never unloaded. */
  g_module_make_resident (module);
  if (!g_module_symbol (module, SPICE_MODULE_SYMBOL, &symbol) ||
      ((const SpiceModule *)symbol)->abi != SPICE_MODULE_ABI)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                   "%s belongs to another version of Alcove: reinstall it", path);
      return NULL;
    }
  return symbol;
}

SpiceBackend *
spice_backend_new (const SpiceConfig *config, GError **error)
{
  const SpiceModule *module = load_module (error);
  SpiceBackend *spice;
  Loaded *loaded;

  if (module == NULL)
    return NULL;
  spice = module->backend_new (config, error);
  if (spice == NULL)
    return NULL;
  loaded = g_new (Loaded, 1);
  *loaded = (Loaded){ module, spice };
  return (SpiceBackend *)loaded;
}

void
spice_backend_free (SpiceBackend *spice)
{
  Loaded *loaded = (Loaded *)spice;

  if (loaded == NULL)
    return;
  loaded->module->backend_free (loaded->spice);
  g_free (loaded);
}

gboolean
spice_backend_add_client (SpiceBackend *spice, int fd, GError **error)
{
  Loaded *loaded = (Loaded *)spice;

  return loaded->module->add_client (loaded->spice, fd, error);
}

void
spice_backend_set_running (SpiceBackend *spice, gboolean running)
{
  Loaded *loaded = (Loaded *)spice;

  loaded->module->set_running (loaded->spice, running);
}

guint
spice_backend_get_n_clients (SpiceBackend *spice)
{
  Loaded *loaded = (Loaded *)spice;

  return loaded->module->get_n_clients (loaded->spice);
}
