/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a machine's state is called and what it looks like. Main thread. */
#pragma once

#include <adwaita.h>

#include "app/machine.h"

G_BEGIN_DECLS

const char *alcove_state_get_label (AlcoveMachineState state);
const char *alcove_state_get_css_class (AlcoveMachineState state);
char *alcove_state_dup_summary (AlcoveMachine *machine);
char *alcove_state_dup_size (AlcoveMachine *machine);
char *alcove_state_dup_memory (guint64 mib);

G_END_DECLS
