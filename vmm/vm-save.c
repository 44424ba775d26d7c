/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a save (vmm/save.c) does with a machine on KVM. */
#include "vmm/save-private.h"
#include "vmm/vm-private.h"

static gboolean
is_running (gpointer owner)
{
  return vmm_vm_get_state (owner) == VMM_STATE_RUNNING;
}

static gboolean
freeze (gpointer owner, GError **error)
{
  return vmm_vm_freeze (owner, error);
}

static void
thaw (gpointer owner, gboolean keep_paused)
{
  vmm_vm_thaw (owner, keep_paused);
}

static gboolean
save_state (gpointer owner, VmmStateWriter *writer, GError **error)
{
  return vmm_vm_save (owner, writer, error);
}

VmmSave *
vmm_save_new (VmmVm *vm, const VmmSaveOptions *options, GError **error)
{
  const VmmSaveTarget target = {
    .owner = vm,
    .machine = vm->machine,
    .is_running = is_running,
    .freeze = freeze,
    .thaw = thaw,
    .save_state = save_state,
  };
  VmmRunState state = vmm_vm_get_state (vm);

  if (state != VMM_STATE_RUNNING && state != VMM_STATE_PAUSED)
    {
      g_set_error_literal (error, VMM_ERROR, VMM_ERROR_BUSY,
                           "Only a running or paused machine can be saved");
      return NULL;
    }
  return vmm_save_new_for (&target, options, error);
}
