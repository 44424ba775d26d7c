/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The arguments of alcove-helper's methods. The first byte chooses the method, the second the type of
 * what is given to it (the methods' own and others), a type of one's own follows where the second says
 * so; the rest is the value, as it came from outside. What is refused says why; what is taken names
 * nothing but addresses and numbers within their limits; the journal's text is short and valid. */
#include <string.h>
#include "app/helper/helper-private.h"
#include "fuzz-input.h"
#include "fuzz.h"

#define TYPE_MAX     64
#define DESCRIBE_MAX 8192 /* 512 bytes, a last word, and a count for each level of a deep value */

static const char *const types[] = {
  "(asb)", "(as)", "(u)",  "(ut)", "()",    "s",     "as",    "v",      "(v)",
  "av",    "(o)",  "(ao)", "(g)",  "a{sv}", "(aas)", "(aay)", "(asas)", "aaaaaaaas",
};

/* (transfer full): a type; whatever the input says, one that there is. */
static char *
take_type (FuzzInput *input)
{
  guint choice = (guint)fuzz_take (input, 1);
  g_autofree char *own = NULL;
  gsize n;

  if (choice < 0x80)
    return g_strdup (types[choice % G_N_ELEMENTS (types)]);
  n = MIN (choice - 0x80, MIN (input->left, TYPE_MAX));
  own = g_strndup ((const char *)input->data, n);
  input->data += n;
  input->left -= n;
  if (!g_variant_type_string_is_valid (own) || !g_variant_type_is_definite (G_VARIANT_TYPE (own)))
    return g_strdup ("(asb)");
  return g_steal_pointer (&own);
}

static void
check_arguments (const HelperArguments *arguments)
{
  g_assert_cmpuint (arguments->n_functions, <=, BIND_SET_MAX);
  g_assert_true (arguments->method != HELPER_BIND || arguments->n_functions > 0);
  g_assert_cmpuint (arguments->group, <=, G_MAXINT32);
  for (guint i = 0; i < arguments->n_functions; i++)
    {
      char text[VFIO_ADDRESS_TEXT_SIZE];
      VfioAddress again;

      g_assert_true (
          vfio_address_parse (vfio_address_format (arguments->functions[i], text), &again));
      g_assert_cmpint (vfio_address_compare (again, arguments->functions[i]), ==, 0);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzInput input = { data, size };
  HelperMethod method = (HelperMethod)(fuzz_take (&input, 1) % (HELPER_GIVE_BACK + 1));
  g_autofree char *type = take_type (&input), *text = NULL;
  g_autoptr (GBytes) bytes = g_bytes_new (input.data, input.left);
  g_autoptr (GVariant) value =
      g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), bytes, FALSE));
  g_autoptr (GError) error = NULL;
  HelperArguments arguments;

  text = helper_arguments_describe (value);
  g_assert_true (g_utf8_validate (text, -1, NULL));
  g_assert_cmpuint (strlen (text), <=, DESCRIBE_MAX);
  if (helper_arguments_parse (method, value, &arguments, &error))
    {
      g_assert_no_error (error);
      g_assert_cmpint (arguments.method, ==, method);
      check_arguments (&arguments);
    }
  else
    {
      g_assert_nonnull (error);
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
    }
  return 0;
}
