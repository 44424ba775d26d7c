/* SPDX-License-Identifier: GPL-3.0-or-later */
/* machine.conf: any bytes are either refused with a message, or a definition that can be written,
 * read again with the same result, given its addresses, and shown as JSON. */
#include "app/definition-json.h"
#include "app/definition.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveDefinition) definition = NULL, again = NULL;
  g_autofree char *text = NULL, *second = NULL;
  JsonNode *json;

  definition = alcove_definition_new_from_text (size > 0 ? (const char *)data : "", (gssize)size,
                                                "/m/machine.conf", &error);
  if (definition == NULL)
    {
      g_assert_nonnull (error);
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
      return 0;
    }
  if (alcove_definition_assign (definition, NULL))
    {
      text = alcove_definition_to_text (definition);
      again = alcove_definition_new_from_text (text, -1, "/m/machine.conf", &error);
      g_assert_no_error (error);
      g_assert_true (alcove_definition_assign (again, NULL));
      second = alcove_definition_to_text (again);
      g_assert_cmpstr (text, ==, second);
    }
  json = alcove_definition_to_json (definition);
  json_node_unref (json);
  return 0;
}
