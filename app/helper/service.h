/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The helper on its bus: data/dbus/io.github.alcove_vm.Helper1.xml. For each call: the arguments are
 * looked at, the bus is asked who calls, the rules are looked at, polkit is asked, the rules are
 * looked at again under the ledger's lock and the work done on a thread, one call after the other;
 * the outcome is answered and written to the journal.
 *
 * Owners: a function that was taken with give_back_when_gone is given back when its taker has left
 * the bus, as soon as nobody has it open. That holds too after the helper itself was restarted.
 *
 * Life cycle: new, run the main context, free. Thread: the main context's. */
#pragma once
#include <gio/gio.h>
#include "vfio/bind/plan.h"

#define HELPER_NAME "io.github.alcove_vm.Helper1"
#define HELPER_PATH "/io/github/alcove_vm/Helper1"

typedef struct
{
  GDBusConnection *bus;
  const char *root;       /* of the host's files: "/" */
  const VfioBindOps *ops; /* how the kernel is written to */
  const char *vmm_path;   /* the program whose limits may be raised */
  guint idle_ms;          /* nothing to do for so long: idle is called */
  void (*idle) (gpointer user_data);
  gpointer user_data;
} HelperConfig;

typedef struct _HelperService HelperService;

/* Exports the object; the name is for the caller to own. Errors: the host's files cannot be opened,
 * the ledger's folder cannot be made or is not to be trusted, the object is there already. */
HelperService *helper_service_new (const HelperConfig *config, GError **error);
/* Waits for the work that is under way. */
void helper_service_free (HelperService *service);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (HelperService, helper_service_free)
/* Calls that are under way, and functions that are to be given back: nothing of that kind. */
gboolean helper_service_is_idle (HelperService *service);
