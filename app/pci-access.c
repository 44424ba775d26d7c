/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/pci-access.h"

#include <fcntl.h>
#include <unistd.h>

#include "vmm/error.h"

#define HELPER_NAME "io.github.alcove_vm.Helper1"
#define HELPER_PATH "/io/github/alcove_vm/Helper1"

gboolean
alcove_pci_may_write (VfioTree *tree)
{
  int fd = vfio_tree_open_fd (tree, "/sys/bus/pci/drivers_probe", O_WRONLY);

  if (fd < 0)
    return FALSE;
  close (fd);
  return TRUE;
}

static VfioLedger *
open_ledger (VfioTree *tree, gboolean change, GError **error)
{
  g_autofree char *folder = g_build_filename (vfio_tree_get_root (tree), BIND_LEDGER_FOLDER, NULL);
  g_autoptr (GError) problem = NULL;
  VfioLedger *ledger = vfio_ledger_open (folder, change, &problem);

  if (ledger != NULL && (!change || access (folder, W_OK) == 0))
    return ledger;
  vfio_ledger_free (ledger);
  if (!change && g_error_matches (problem, VMM_ERROR, VMM_ERROR_NOT_FOUND))
    return NULL;
  if (geteuid () != 0 && alcove_pci_may_write (tree))
    {
      g_autofree char *own =
          g_build_filename (g_get_user_runtime_dir (), "alcove", "bindings", NULL);

      return vfio_ledger_open (own, change, error);
    }
  if (problem != NULL)
    g_propagate_error (error, g_steal_pointer (&problem));
  else
    g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION, "%s can be changed by root alone", folder);
  return NULL;
}

gboolean
alcove_pci_open (gboolean change, VfioBindHost *ret, GError **error)
{
  g_autoptr (GError) problem = NULL;

  *ret = (VfioBindHost){ .ops = &vfio_bind_ops_kernel };
  ret->tree = vfio_tree_open_host (&problem);
  if (ret->tree != NULL)
    ret->ledger = open_ledger (ret->tree, change, &problem);
  if (problem == NULL)
    return TRUE;
  alcove_pci_close (ret);
  alcove_pci_convert_error (problem);
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}

void
alcove_pci_close (VfioBindHost *host)
{
  g_clear_pointer (&host->ledger, vfio_ledger_free);
  g_clear_pointer (&host->tree, vfio_tree_free);
}

void
alcove_pci_convert_error (GError *error)
{
  if (error == NULL || error->domain != VMM_ERROR)
    return;
  error->domain = ALCOVE_ERROR;
  switch ((VmmErrorCode)error->code)
    {
    case VMM_ERROR_INVALID:
      error->code = ALCOVE_ERROR_INVALID;
      break;
    case VMM_ERROR_NOT_FOUND:
      error->code = ALCOVE_ERROR_NOT_FOUND;
      break;
    case VMM_ERROR_BUSY:
      error->code = ALCOVE_ERROR_BUSY;
      break;
    case VMM_ERROR_NOT_SUPPORTED:
      error->code = ALCOVE_ERROR_NOT_SUPPORTED;
      break;
    case VMM_ERROR_CANCELLED:
      error->code = ALCOVE_ERROR_CANCELLED;
      break;
    case VMM_ERROR_FAILED:
    case VMM_ERROR_UNAVAILABLE:
    case VMM_ERROR_PERMISSION:
    case VMM_ERROR_NO_MEMORY:
    default:
      error->code = ALCOVE_ERROR_FAILED;
      break;
    }
}

GDBusConnection *
alcove_pci_helper_connect (GError **error)
{
  g_autofree char *address = g_dbus_address_get_for_bus_sync (G_BUS_TYPE_SYSTEM, NULL, error);
  GDBusConnection *bus;

  if (address == NULL)
    return NULL;
  bus = g_dbus_connection_new_for_address_sync (address,
                                                G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                                    G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                                NULL, NULL, error);
  if (bus != NULL)
    g_dbus_connection_set_exit_on_close (bus, FALSE);
  return bus;
}

static gboolean
is_missing (const GError *error)
{
  return g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN) ||
         g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER) ||
         (error->domain == G_DBUS_ERROR && error->code >= G_DBUS_ERROR_SPAWN_EXEC_FAILED &&
          error->code <= G_DBUS_ERROR_SPAWN_NO_MEMORY);
}

GVariant *
alcove_pci_helper_call (GDBusConnection *bus,
                        const char *method,
                        GVariant *parameters,
                        GCancellable *cancellable,
                        gboolean *ret_missing,
                        GError **error)
{
  g_autoptr (GError) problem = NULL;
  GVariant *answer = g_dbus_connection_call_sync (
      bus, HELPER_NAME, HELPER_PATH, HELPER_NAME, method, parameters, NULL,
      G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION, G_MAXINT, cancellable, &problem);

  *ret_missing = FALSE;
  if (answer != NULL)
    return answer;
  *ret_missing = is_missing (problem);
  if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_CANCELLED, "Cancelled");
  else
    {
      alcove_error_strip_remote (problem);
      if (problem->domain != ALCOVE_ERROR)
        {
          problem->domain = ALCOVE_ERROR;
          problem->code = ALCOVE_ERROR_FAILED;
        }
      g_propagate_error (error, g_steal_pointer (&problem));
    }
  return NULL;
}
