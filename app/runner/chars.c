/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Serial ports and console ports: each is a hub that OpenConsole connects to; what else takes its
 * output (standard output, a log file) is the hub's tee. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "app/runner/machine-private.h"

static CharBackend *
make_stdio (GError **error)
{
  int in_fd = fcntl (STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
  int out_fd = fcntl (STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);

  if (out_fd < 0)
    {
      int saved = -errno;

      if (in_fd >= 0)
        close (in_fd);
      vmm_error_set_errno (error, saved, "Cannot use the standard output for a serial port");
      return NULL;
    }
  return char_fd_new (in_fd, out_fd, error); /* in_fd -1: output only */
}

CharBackend *
runner_chars_make_file (RunnerMachine *self, const char *path, GError **error)
{
  CharBackend *backend = char_file_new (path, self->goes_on, error);

  if (backend != NULL)
    g_ptr_array_add (self->chars, backend);
  return backend;
}

CharBackend *
runner_chars_make (RunnerMachine *self, const AlcoveCharConfig *config, GError **error)
{
  CharBackend *backend = NULL;

  switch (config->backend)
    {
    case ALCOVE_CHAR_NULL:
      backend = char_null_new ();
      break;
    case ALCOVE_CHAR_STDIO:
      /* The terminal is a two-way client: it is the back end itself. */
      backend = make_stdio (error);
      break;
    case ALCOVE_CHAR_FILE:
      {
        CharBackend *file = char_file_new (config->file, self->goes_on, error);

        backend = file != NULL ? char_hub_new (file) : NULL;
        break;
      }
    case ALCOVE_CHAR_CONSOLE:
      backend = char_hub_new (NULL);
      break;
    }
  if (backend == NULL)
    {
      g_prefix_error (error, "[%s %s]: ", alcove_kind_to_string (config->base.kind),
                      config->base.name);
      return NULL;
    }
  g_ptr_array_add (self->chars, backend);
  if (config->backend == ALCOVE_CHAR_CONSOLE || config->backend == ALCOVE_CHAR_FILE)
    {
      g_ptr_array_add (self->console_names, g_strdup (config->base.name));
      g_hash_table_insert (self->consoles, g_strdup (config->base.name), backend);
    }
  return backend;
}
