/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/host-check.h"

#include <string.h>

#include "vmm/vm.h"

/* The first that is loaded. kvm_pvm comes first: where it is loaded next to the others it was put
 * there on purpose, since only one can be active. */
static const char *const backends[] = { "kvm_pvm", "kvm_intel", "kvm_amd" };

const char *
vmm_host_check_backend (const char *sysfs_root)
{
  for (guint i = 0; i < G_N_ELEMENTS (backends); i++)
    {
      g_autofree char *path = g_build_filename (sysfs_root, "module", backends[i], NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        return backends[i];
    }
  return "unknown";
}

gboolean
vmm_host_check_is_hardware (const char *backend)
{
  return g_str_equal (backend, "kvm_intel") || g_str_equal (backend, "kvm_amd");
}

void
vmm_host_check_probe (VmmHostCheck *ret_check)
{
  g_autoptr (GError) error = NULL;
  VmmKvm *kvm = vmm_kvm_open (NULL, &error);
  const VmmKvmCaps *caps;

  *ret_check = (VmmHostCheck){ .available = kvm != NULL };
  if (kvm == NULL)
    {
      ret_check->sentence = g_strdup (error->message);
      return;
    }
  caps = vmm_kvm_get_caps (kvm);
  ret_check->hardware = caps->hardware;
  g_strlcpy (ret_check->backend, caps->backend, sizeof ret_check->backend);
  if (caps->hardware)
    ret_check->sentence =
        g_strdup_printf ("KVM works and uses the processor's virtualization (%s).", caps->backend);
  else
    {
      ret_check->sentence =
          g_strdup_printf ("KVM works, but without the processor's virtualization (%s): only small "
                           "test guests run, no unmodified operating system.",
                           caps->backend);
      ret_check->remedy =
          g_strdup ("Use a computer with VT-x or AMD-V, or turn on nested virtualization in the "
                    "machine that this system itself runs in.");
    }
  vmm_kvm_close (kvm);
}

void
vmm_host_check_clear (VmmHostCheck *check)
{
  g_clear_pointer (&check->sentence, g_free);
  g_clear_pointer (&check->remedy, g_free);
}
