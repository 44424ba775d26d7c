/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A definition as JSON: one object a group, in file order, each key with its value or default in
 * its own type (numbers, booleans, strings; memory in MiB). Thread: as the definition. */
#pragma once
#include <json-glib/json-glib.h>
#include "app/definition.h"

/* (transfer full) */
JsonNode *alcove_definition_to_json (AlcoveDefinition *definition);
