/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/firmware.h"

#include <gio/gio.h>

#include "vmm/boot/firmware.h"

/* A whole copy or none: the template is read, then written beside and renamed. */
static gboolean
copy_template (const char *template, const char *path, GError **error)
{
  g_autofree char *contents = NULL;
  g_autofree char *folder = g_path_get_dirname (path);
  gsize length;

  if (!g_file_get_contents (template, &contents, &length, error))
    {
      g_prefix_error (error, "Cannot read the firmware's variable template: ");
      return FALSE;
    }
  if (g_mkdir_with_parents (folder, 0700) < 0 ||
      !g_file_set_contents_full (path, contents, length,
                                 G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600,
                                 error))
    {
      g_prefix_error (error, "Cannot make the machine's firmware variable store: ");
      return FALSE;
    }
  return TRUE;
}

gboolean
runner_firmware_prepare (const AlcoveMachineConfig *config,
                         char **ret_code,
                         char **ret_vars,
                         GError **error)
{
  VmmFirmwareQuery query = { .secure_boot = VMM_SECURE_BOOT_OFF };
  g_autoptr (VmmFirmware) firmware = NULL;

  *ret_code = NULL;
  *ret_vars = NULL;
  if (config->firmware == ALCOVE_FIRMWARE_NONE)
    return TRUE;
  query.kind = config->firmware == ALCOVE_FIRMWARE_UEFI ? VMM_FIRMWARE_UEFI : VMM_FIRMWARE_BIOS;
  firmware = vmm_firmware_find (&query, error);
  if (firmware == NULL)
    return FALSE;
  if (query.kind == VMM_FIRMWARE_UEFI && firmware->vars_template != NULL)
    {
      if (!g_file_test (config->firmware_vars, G_FILE_TEST_EXISTS) &&
          !copy_template (firmware->vars_template, config->firmware_vars, error))
        return FALSE;
      *ret_vars = g_strdup (config->firmware_vars);
    }
  *ret_code = g_strdup (firmware->code);
  return TRUE;
}
