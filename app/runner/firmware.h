/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The firmware of a machine: finds the images and makes the machine's own variable store from the
 * template at the first start. Thread: the main thread, before confinement. */
#pragma once
#include <glib.h>

#include "app/definition.h"

/* ret_code, ret_vars: (transfer full) paths; vars NULL for BIOS. Errors name the package to install,
 * or the file that cannot be made. */
gboolean runner_firmware_prepare (const AlcoveMachineConfig *config,
                                  char **ret_code,
                                  char **ret_vars,
                                  GError **error);
