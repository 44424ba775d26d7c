/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ledger of bindings: any bytes are refused, or are a record that is written as it was read and
 * names nothing but drivers, addresses and nodes. */
#include <string.h>
#include "fuzz.h"
#include "vfio/bind/ledger.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) binding_error = NULL, grant_error = NULL;
  g_autoptr (VfioBinding) binding =
      vfio_binding_from_text ((const char *)data, size, &binding_error);
  g_autoptr (VfioGrant) grant = vfio_grant_from_text ((const char *)data, size, &grant_error);
  g_autofree char *text = NULL;

  g_assert_true (binding == NULL || grant == NULL);
  if (binding == NULL)
    g_assert_nonnull (binding_error);
  else
    {
      g_assert_true (binding->driver == NULL || vfio_binding_is_driver (binding->driver));
      g_assert_true (binding->driver_override == NULL ||
                     vfio_binding_is_driver (binding->driver_override));
      text = vfio_binding_to_text (binding);
    }
  if (grant == NULL)
    g_assert_nonnull (grant_error);
  else
    {
      g_assert_true (vfio_grant_is_name (grant->name));
      g_assert_cmpuint (grant->old_mode, <=, 0666);
      text = vfio_grant_to_text (grant);
    }
  if (text != NULL)
    {
      g_autoptr (VfioBinding) again = vfio_binding_from_text (text, strlen (text), NULL);
      g_autoptr (VfioGrant) grant_again = vfio_grant_from_text (text, strlen (text), NULL);

      g_assert_true ((again != NULL) == (binding != NULL));
      g_assert_true ((grant_again != NULL) == (grant != NULL));
    }
  return 0;
}
