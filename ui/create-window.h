/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveCreateWindow: a new machine on one page. Main thread only. */
#pragma once

#include <adwaita.h>

#include "app/library.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_CREATE_WINDOW (alcove_create_window_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveCreateWindow, alcove_create_window, ALCOVE, CREATE_WINDOW, AdwWindow)

AlcoveCreateWindow *alcove_create_window_new (GtkWindow *parent, AlcoveLibrary *library);

G_END_DECLS
