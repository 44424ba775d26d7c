/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/frames.h"

#include <errno.h>
#include <unistd.h>

#include "app/runner/machine-private.h"
#include "devices/display/ivshmem.h"
#include "vmm/error.h"

#define LINK_NAME "frames"
#define MIB       (G_GUINT64_CONSTANT (1) << 20)

gboolean
runner_frames_make (RunnerMachine *self, GError **error)
{
  guint n;
  const AlcoveFramesConfig *const *frames = alcove_definition_get_frames (self->definition, &n);

  for (guint i = 0; i < n; i++)
    {
      const AlcoveFramesConfig *config = frames[i];
      guint64 size = config->size > 0 ? config->size * MIB
                                      : ivshmem_get_frames_size (config->width, config->height);
      g_autofree char *id = runner_device_id (&config->base);
      VmmDevice *device = runner_device_begin (self, "ivshmem", id, &config->base, error);

      if (device == NULL ||
          !runner_device_finish (self, &config->base, device,
                                 vmm_device_set_uint (device, "size", size, error), error))
        return FALSE;
      self->frames = device;
    }
  return TRUE;
}

static char *
dup_target (RunnerMachine *self)
{
  return g_strdup_printf ("/proc/%d/fd/%d", (int)getpid (), ivshmem_get_fd (self->frames));
}

gboolean
runner_frames_publish (RunnerMachine *self, const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename (folder, LINK_NAME, NULL);
  g_autofree char *target = NULL;

  if (self->frames == NULL)
    return TRUE;
  target = dup_target (self);
  if (unlink (path) < 0 && errno != ENOENT) /* a run that was killed left it */
    return vmm_error_set_errno (error, -errno, "Cannot replace “%s”", path);
  if (symlink (target, path) < 0)
    return vmm_error_set_errno (error, -errno, "Cannot name the shared memory “%s”", path);
  return TRUE;
}

void
runner_frames_withdraw (RunnerMachine *self, const char *folder)
{
  g_autofree char *path = g_build_filename (folder, LINK_NAME, NULL);
  g_autofree char *target = NULL;
  g_autofree char *there = NULL;

  if (self->frames == NULL)
    return;
  target = dup_target (self);
  there = g_file_read_link (path, NULL);
  if (g_strcmp0 (there, target) == 0)
    unlink (path);
}
