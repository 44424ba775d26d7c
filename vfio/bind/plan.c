/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/bind/plan.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "vfio/bind/bind-private.h"
#include "vmm/error.h"

const char *
vfio_step_kind_to_string (VfioStepKind kind)
{
  static const char *const names[] = {
    [BIND_STEP_RECORD] = "record", [BIND_STEP_OVERRIDE] = "override", [BIND_STEP_UNBIND] = "unbind",
    [BIND_STEP_PROBE] = "probe",   [BIND_STEP_ATTACH] = "attach",     [BIND_STEP_CHECK] = "check",
    [BIND_STEP_NODE] = "node",     [BIND_STEP_FORGET] = "forget",
  };

  return (gsize)kind < G_N_ELEMENTS (names) ? names[kind] : "unknown";
}

static void
step_free (gpointer data)
{
  VfioStep *step = data;

  g_free (step->path);
  g_free (step->value);
  g_free (step->driver);
  g_free (step->text);
  g_free (step->undo);
  g_free (step);
}

static VfioPlan *
plan_new (gboolean give_back)
{
  VfioPlan *plan = g_new0 (VfioPlan, 1);

  plan->give_back = give_back;
  plan->bindings = g_ptr_array_new_with_free_func ((GDestroyNotify)vfio_binding_free);
  plan->grants = g_ptr_array_new_with_free_func ((GDestroyNotify)vfio_grant_free);
  plan->steps = g_ptr_array_new_with_free_func (step_free);
  return plan;
}

void
vfio_plan_free (VfioPlan *plan)
{
  if (plan == NULL)
    return;
  g_ptr_array_unref (plan->steps);
  g_ptr_array_unref (plan->grants);
  g_ptr_array_unref (plan->bindings);
  g_free (plan);
}

char *
bind_dup_path (VfioAddress address, const char *name)
{
  char id[VFIO_ADDRESS_TEXT_SIZE];

  return g_strdup_printf (BIND_DEVICES "/%s/%s", vfio_address_format (address, id), name);
}

gboolean
bind_exists (VfioTree *tree, VfioAddress address)
{
  g_autofree char *path = bind_dup_path (address, "vendor");

  return vfio_tree_exists (tree, path);
}

char *
bind_dup_driver (VfioTree *tree, VfioAddress address)
{
  g_autofree char *path = bind_dup_path (address, "driver");

  return vfio_tree_read_link_name (tree, path);
}

/* The kernel writes an override that is not set as "(null)". */
static char *
dup_override (VfioTree *tree, VfioAddress address)
{
  g_autofree char *path = bind_dup_path (address, "driver_override");
  char *text = vfio_tree_read_line (tree, path);

  if (text != NULL && (text[0] == 0 || strcmp (text, "(null)") == 0))
    g_clear_pointer (&text, g_free);
  return text;
}

static guint16
read_id (VfioTree *tree, VfioAddress address, const char *name)
{
  g_autofree char *path = bind_dup_path (address, name);
  guint64 value = 0;

  return vfio_tree_read_number (tree, path, &value) && value <= G_MAXUINT16 ? (guint16)value : 0;
}

static VfioStep *
add_step (VfioPlan *plan, VfioStepKind kind, VfioBinding *binding)
{
  VfioStep *step = g_new0 (VfioStep, 1);

  step->kind = kind;
  step->binding = binding;
  if (binding != NULL)
    {
      step->address = binding->address;
      vfio_address_format (binding->address, step->id);
    }
  g_ptr_array_add (plan->steps, step);
  return step;
}

/* driver: (nullable): none any more. */
static void
add_override (VfioPlan *plan, VfioBinding *binding, const char *driver, const char *before)
{
  VfioStep *step = add_step (plan, BIND_STEP_OVERRIDE, binding);

  step->path = bind_dup_path (binding->address, "driver_override");
  step->value = g_strconcat (driver != NULL ? driver : "", "\n", NULL);
  if (driver != NULL)
    step->text = g_strdup_printf (_ ("Reserve %s for the driver %s"), step->id, driver);
  else
    step->text = g_strdup_printf (_ ("Let any driver have %s again"), step->id);
  if (!plan->give_back && before != NULL)
    step->undo = g_strdup_printf (_ ("Reserve it for the driver %s, as before"), before);
  else if (!plan->give_back)
    step->undo = g_strdup (_ ("Let any driver have it again"));
}

static void
add_unbind (VfioPlan *plan, VfioBinding *binding, const char *driver)
{
  VfioStep *step = add_step (plan, BIND_STEP_UNBIND, binding);

  step->path = g_strdup_printf (BIND_DRIVERS "/%s/unbind", driver);
  step->value = g_strconcat (step->id, "\n", NULL);
  step->driver = g_strdup (driver);
  step->text = g_strdup_printf (_ ("Take %s from the driver %s"), step->id, driver);
  if (!plan->give_back)
    step->undo = g_strdup_printf (_ ("The driver %s takes it back"), driver);
}

static void
add_probe (VfioPlan *plan, VfioBinding *binding)
{
  VfioStep *step = add_step (plan, BIND_STEP_PROBE, binding);

  step->path = g_strdup (BIND_PROBE);
  step->value = g_strconcat (step->id, "\n", NULL);
  step->driver = g_strdup (BIND_VFIO);
  step->text = g_strdup_printf (_ ("Give %s to the driver %s"), step->id, BIND_VFIO);
  step->undo = g_strdup_printf (_ ("Take it from the driver %s"), BIND_VFIO);
}

static void
add_attach (VfioPlan *plan, VfioBinding *binding)
{
  VfioStep *step = add_step (plan, BIND_STEP_ATTACH, binding);

  step->path = g_strdup_printf (BIND_DRIVERS "/%s/bind", binding->driver);
  step->value = g_strconcat (step->id, "\n", NULL);
  step->driver = g_strdup (binding->driver);
  step->text = g_strdup_printf (_ ("Give %s back to the driver %s"), step->id, binding->driver);
}

static void
add_check (VfioPlan *plan, VfioBinding *binding, const char *driver)
{
  VfioStep *step = add_step (plan, BIND_STEP_CHECK, binding);

  step->driver = g_strdup (driver);
  if (driver != NULL)
    step->text = g_strdup_printf (_ ("See that the driver %s has %s"), driver, step->id);
  else
    step->text = g_strdup_printf (_ ("See that %s has no driver, as before"), step->id);
}

/* What is known before anything changes, or what the ledger knows from an earlier time. */
static VfioBinding *
make_binding (const VfioBindHost *host,
              VfioAddress address,
              const VfioBindFor *whom,
              const char *boot,
              GError **error)
{
  g_autoptr (VfioBinding) binding = NULL;
  g_autoptr (GError) problem = NULL;

  binding = vfio_ledger_find (host->ledger, address, &problem);
  if (binding == NULL && !g_error_matches (problem, VMM_ERROR, VMM_ERROR_NOT_FOUND))
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return NULL;
    }
  if (binding != NULL && strcmp (binding->boot, boot) == 0)
    {
      g_autofree char *driver = bind_dup_driver (host->tree, address);

      binding->held = g_strcmp0 (driver, BIND_VFIO) == 0;
    }
  else
    {
      vfio_binding_free (binding);
      binding = g_new0 (VfioBinding, 1);
      binding->address = address;
      binding->vendor = read_id (host->tree, address, "vendor");
      binding->device = read_id (host->tree, address, "device");
      binding->driver = bind_dup_driver (host->tree, address);
      binding->driver_override = dup_override (host->tree, address);
      binding->boot = g_strdup (boot);
      binding->since = g_get_real_time () / G_USEC_PER_SEC;
      if ((binding->driver != NULL && !vfio_binding_is_driver (binding->driver)) ||
          (binding->driver_override != NULL && !vfio_binding_is_driver (binding->driver_override)))
        {
          char id[VFIO_ADDRESS_TEXT_SIZE];

          g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                       "%s has a driver whose name cannot be recorded, so it could not be given "
                       "back",
                       vfio_address_format (address, id));
          return NULL;
        }
    }
  binding->uid = whom->uid;
  g_free (binding->owner);
  binding->owner = g_strdup (whom->owner);
  return g_steal_pointer (&binding);
}

static void
add_take (const VfioBindHost *host, VfioPlan *plan, VfioBinding *binding)
{
  g_autofree char *driver = bind_dup_driver (host->tree, binding->address);
  g_autofree char *override = dup_override (host->tree, binding->address);

  if (g_strcmp0 (driver, BIND_VFIO) != 0)
    {
      if (g_strcmp0 (override, BIND_VFIO) != 0)
        add_override (plan, binding, BIND_VFIO, binding->driver_override);
      if (driver != NULL)
        add_unbind (plan, binding, driver);
      add_probe (plan, binding);
    }
  add_check (plan, binding, BIND_VFIO);
}

VfioPlan *
vfio_plan_new_take (const VfioBindHost *host,
                    const VfioAddress *addresses,
                    guint n_addresses,
                    const VfioBindFor *whom,
                    GError **error)
{
  g_autoptr (VfioPlan) plan = plan_new (FALSE);
  g_autofree char *boot = vfio_ledger_dup_boot (host->tree);

  for (guint i = 0; i < n_addresses; i++)
    {
      char id[VFIO_ADDRESS_TEXT_SIZE];
      VfioBinding *binding;
      VfioStep *step;

      vfio_address_format (addresses[i], id);
      if (!bind_exists (host->tree, addresses[i]))
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "There is no PCI device %s", id);
          return NULL;
        }
      binding = make_binding (host, addresses[i], whom, boot, error);
      if (binding == NULL)
        return NULL;
      g_ptr_array_add (plan->bindings, binding);
      step = add_step (plan, BIND_STEP_RECORD, binding);
      if (binding->driver != NULL)
        step->text = g_strdup_printf (_ ("Write down that %s belongs to %s"), id, binding->driver);
      else
        step->text = g_strdup_printf (_ ("Write down that %s belongs to no driver"), id);
      step->undo = g_strdup (_ ("Remove the record"));
    }
  /* The sound of a card lets go before its graphics: the driver of the one uses that of the other. */
  for (guint i = n_addresses; i-- > 0;)
    add_take (host, plan, g_ptr_array_index (plan->bindings, i));
  return g_steal_pointer (&plan);
}

static void
add_forget (VfioPlan *plan, VfioBinding *binding, const char *why)
{
  VfioStep *step = add_step (plan, BIND_STEP_FORGET, binding);

  if (why != NULL)
    step->text = g_strdup_printf (_ ("Remove the record of %s: %s"), step->id, why);
  else
    step->text = g_strdup_printf (_ ("Remove the record of %s"), step->id);
}

static void
add_give_back (const VfioBindHost *host, VfioPlan *plan, VfioBinding *binding, const char *boot)
{
  g_autofree char *driver = NULL, *override = NULL;
  gboolean ours;

  if (strcmp (binding->boot, boot) != 0)
    {
      add_forget (plan, binding, _ ("the computer was restarted since, which gave it back"));
      return;
    }
  if (!bind_exists (host->tree, binding->address))
    {
      add_forget (plan, binding, _ ("the device is gone"));
      return;
    }
  if (read_id (host->tree, binding->address, "vendor") != binding->vendor ||
      read_id (host->tree, binding->address, "device") != binding->device)
    {
      add_forget (plan, binding, _ ("another device is there now"));
      return;
    }
  driver = bind_dup_driver (host->tree, binding->address);
  override = dup_override (host->tree, binding->address);
  /* Without a driver it was left half-way; another driver was given to it by somebody else. */
  ours = driver == NULL || strcmp (driver, BIND_VFIO) == 0;
  if (g_strcmp0 (override, BIND_VFIO) == 0 && g_strcmp0 (override, binding->driver_override) != 0)
    add_override (plan, binding, binding->driver_override, NULL);
  if (!ours)
    {
      add_forget (plan, binding,
                  g_strcmp0 (driver, binding->driver) == 0 ? _ ("its driver has it")
                                                           : _ ("another driver has it now"));
      return;
    }
  if (driver != NULL && g_strcmp0 (driver, binding->driver) != 0)
    add_unbind (plan, binding, driver);
  if (binding->driver != NULL && g_strcmp0 (driver, binding->driver) != 0)
    add_attach (plan, binding);
  add_check (plan, binding, binding->driver);
  add_forget (plan, binding, NULL);
}

static void
add_node (VfioPlan *plan, VfioGrant *grant)
{
  VfioStep *step = add_step (plan, BIND_STEP_NODE, NULL);

  step->grant = grant;
  step->path = g_strconcat (BIND_NODES "/", grant->name, NULL);
  step->text = g_strdup_printf (_ ("Take %s back from user %u"), step->path, grant->uid);
}

static VfioGrant *
copy_grant (const VfioGrant *grant)
{
  VfioGrant *copy = g_new (VfioGrant, 1);

  *copy = *grant;
  copy->name = g_strdup (grant->name);
  copy->boot = g_strdup (grant->boot);
  return copy;
}

VfioPlan *
vfio_plan_new_give_back (const VfioBindHost *host, GPtrArray *bindings, GPtrArray *grants)
{
  VfioPlan *plan = plan_new (TRUE);
  g_autofree char *boot = vfio_ledger_dup_boot (host->tree);

  for (guint i = 0; grants != NULL && i < grants->len; i++)
    {
      VfioGrant *grant = copy_grant (g_ptr_array_index (grants, i));

      g_ptr_array_add (plan->grants, grant);
      add_node (plan, grant);
    }
  for (guint i = 0; i < bindings->len; i++)
    {
      VfioBinding *binding = vfio_binding_copy (g_ptr_array_index (bindings, i));

      g_ptr_array_add (plan->bindings, binding);
      add_give_back (host, plan, binding, boot);
    }
  return plan;
}
