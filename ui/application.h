/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveApplication: one process for all windows of a session; a second start opens its window in
 * the first. Main thread only. */
#pragma once

#include <adwaita.h>

#include "app/library.h"

G_BEGIN_DECLS

#define ALCOVE_APP_ID "io.github.alcove_vm.Alcove"

#define ALCOVE_TYPE_APPLICATION (alcove_application_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveApplication, alcove_application, ALCOVE, APPLICATION, AdwApplication)

AlcoveApplication *alcove_application_new (GSettings *settings);

G_END_DECLS
