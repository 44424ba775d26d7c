/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The steps of a plan, executed; and the kernel's table of how. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vfio/bind/bind-private.h"
#include "vmm/error.h"

/* fd was opened with O_PATH: it stays what it is, whatever becomes of the name. */
static int
change_node (int fd, const VfioNodeOwner *to)
{
  char name[32];

  if (fchownat (fd, "", to->uid, to->gid, AT_EMPTY_PATH) < 0)
    return -errno;
  g_snprintf (name, sizeof name, "/proc/self/fd/%d", fd);
  return chmod (name, to->mode) < 0 ? -errno : 0;
}

static int
set_owner (VfioTree *tree,
           const char *path,
           guint major,
           guint minor,
           guint32 from,
           const VfioNodeOwner *to,
           VfioNodeOwner *ret_before)
{
  struct stat status;
  int result = 0, fd = vfio_tree_open_fd (tree, path, O_PATH | O_NOFOLLOW);

  if (fd < 0)
    return fd == -ENOENT || fd == -ENOTDIR ? -ENODEV : fd;
  if (fstat (fd, &status) < 0)
    result = -errno;
  else if (!S_ISCHR (status.st_mode) || status.st_rdev != makedev (major, minor))
    result = -ENODEV;
  else if (from != G_MAXUINT32 && status.st_uid != from)
    result = -EPERM;
  if (result == 0)
    {
      ret_before->uid = status.st_uid;
      ret_before->gid = status.st_gid;
      ret_before->mode = status.st_mode & 0666;
      if (to != NULL)
        result = change_node (fd, to);
    }
  close (fd);
  return result;
}

const VfioBindOps vfio_bind_ops_kernel = { .write = vfio_tree_write, .set_owner = set_owner };

/* "242:0" of sysfs. */
gboolean
bind_node_numbers (VfioTree *tree, const char *name, guint *ret_major, guint *ret_minor)
{
  g_autofree char *path = NULL, *text = NULL;
  g_auto (GStrv) parts = NULL;
  guint64 major, minor;

  if (g_str_has_prefix (name, "devices/"))
    path = g_strconcat ("/sys/class/vfio-dev/", name + strlen ("devices/"), "/dev", NULL);
  else
    path = g_strconcat ("/sys/class/vfio/", name, "/dev", NULL);
  text = vfio_tree_read_line (tree, path);
  if (text == NULL)
    return FALSE;
  parts = g_strsplit (text, ":", 2);
  if (g_strv_length (parts) != 2 ||
      !g_ascii_string_to_unsigned (parts[0], 10, 1, G_MAXUINT16, &major, NULL) ||
      !g_ascii_string_to_unsigned (parts[1], 10, 0, 1 << 20, &minor, NULL))
    return FALSE;
  *ret_major = (guint)major;
  *ret_minor = (guint)minor;
  return TRUE;
}

/* What to do about a write that failed. */
static const char *
get_remedy (const VfioStep *step, int result)
{
  if (result == -EACCES || result == -EPERM)
    return ". It takes root's rights: the command with sudo in front, or alcove-helper installed";
  if (result == -ENOENT && step->kind == BIND_STEP_ATTACH)
    return ". The driver is not loaded any more: load it with modprobe, then give the device back "
           "once more";
  if (result == -ENOENT && step->kind == BIND_STEP_UNBIND)
    return ". The driver went away meanwhile: try again";
  if (result == -ENODEV && step->kind == BIND_STEP_UNBIND)
    return ". Another driver took it meanwhile: try again";
  return ". \"journalctl -k\" may say more";
}

static gboolean
fail_write (const VfioStep *step, int result, GError **error)
{
  VmmErrorCode code = VMM_ERROR_FAILED;

  if (result == -EACCES || result == -EPERM)
    code = VMM_ERROR_PERMISSION;
  else if (result == -EBUSY)
    code = VMM_ERROR_BUSY;
  g_set_error (error, VMM_ERROR, code, "%s: %s did not take “%.*s” (%s)%s", step->text, step->path,
               (int)strcspn (step->value, "\n"), step->value, g_strerror (-result),
               get_remedy (step, result));
  return FALSE;
}

/* The device may have gone at any time: that is what people are told then. */
static gboolean
fail_gone (const VfioStep *step, GError **error)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "%s: the device %s is gone", step->text,
               step->id);
  return FALSE;
}

static gboolean
check_driver (const VfioBindHost *host, const VfioStep *step, GError **error)
{
  g_autofree char *driver = bind_dup_driver (host->tree, step->address);

  if (g_strcmp0 (driver, step->driver) == 0)
    return TRUE;
  if (!bind_exists (host->tree, step->address))
    return fail_gone (step, error);
  if (step->driver == NULL)
    g_set_error (error, VMM_ERROR, VMM_ERROR_FAILED,
                 "%s had no driver before and has %s now: nothing was lost, take it away with that "
                 "driver's own tools if it is not wanted",
                 step->id, driver);
  else if (strcmp (step->driver, BIND_VFIO) == 0)
    g_set_error (error, VMM_ERROR, VMM_ERROR_FAILED,
                 "The driver " BIND_VFIO " did not take %s: it has %s now. \"journalctl -k\" says "
                 "why; an IOMMU that is switched off and a framebuffer of the boot screen are the "
                 "usual reasons",
                 step->id, driver != NULL ? driver : "no driver");
  else
    g_set_error (error, VMM_ERROR, VMM_ERROR_FAILED,
                 "The driver %s did not take %s back: it has %s now. \"journalctl -k\" says why; "
                 "\"alcove pci release %s\" tries once more, and a restart of the computer gives "
                 "the device back in any case",
                 step->driver, step->id, driver != NULL ? driver : "no driver", step->id);
  return FALSE;
}

/* The driver's own bind file first: it names the one wanted. Where it refuses, any driver that
 * wants the device may have it, and the check tells which one that is. */
static gboolean
attach (const VfioBindHost *host, const VfioStep *step, GError **error)
{
  int result = host->ops->write (host->tree, step->path, step->value);

  if (result < 0 && result != -EBUSY && host->ops->write (host->tree, BIND_PROBE, step->value) < 0)
    return fail_write (step, result, error);
  if (result < 0 && result != -ENODEV && result != -EBUSY)
    {
      g_autofree char *driver = bind_dup_driver (host->tree, step->address);

      if (driver == NULL)
        return fail_write (step, result, error);
    }
  return TRUE;
}

static gboolean
unbind (const VfioBindHost *host, const VfioStep *step, GError **error)
{
  g_autofree char *driver = bind_dup_driver (host->tree, step->address);
  int result;

  if (driver == NULL && bind_exists (host->tree, step->address))
    return TRUE;
  result = host->ops->write (host->tree, step->path, step->value);
  return result >= 0 || fail_write (step, result, error);
}

static gboolean
run_step (const VfioBindHost *host, const VfioStep *step, GError **error)
{
  int result = 0;

  switch (step->kind)
    {
    case BIND_STEP_RECORD:
      return vfio_ledger_put (host->ledger, step->binding, error);
    case BIND_STEP_FORGET:
      return vfio_ledger_remove (host->ledger, step->address, error);
    case BIND_STEP_NODE:
      return bind_take_back (host, step->grant, error);
    case BIND_STEP_CHECK:
      return check_driver (host, step, error);
    case BIND_STEP_ATTACH:
      return attach (host, step, error);
    case BIND_STEP_UNBIND:
      return unbind (host, step, error);
    case BIND_STEP_OVERRIDE:
    case BIND_STEP_PROBE:
    default:
      result = host->ops->write (host->tree, step->path, step->value);
      if (result < 0 && !bind_exists (host->tree, step->address))
        return fail_gone (step, error);
      return result >= 0 || fail_write (step, result, error);
    }
}

/* A function's steps after one that failed are left out; the other functions are given back. */
static gboolean
apply_give_back (const VfioBindHost *host, VfioPlan *plan, GError **error)
{
  g_autoptr (GString) problems = g_string_new (NULL);
  VmmErrorCode code = VMM_ERROR_FAILED;
  const VfioBinding *failed = NULL;

  for (guint i = 0; i < plan->steps->len; i++)
    {
      const VfioStep *step = g_ptr_array_index (plan->steps, i);
      g_autoptr (GError) problem = NULL;

      if ((step->binding != NULL && step->binding == failed) || run_step (host, step, &problem))
        continue;
      failed = step->binding;
      if (problems->len == 0)
        code = (VmmErrorCode)problem->code;
      g_string_append_printf (problems, "%s%s", problems->len > 0 ? ". " : "", problem->message);
    }
  if (problems->len == 0)
    return TRUE;
  g_set_error_literal (error, VMM_ERROR, code, problems->str);
  return FALSE;
}

/* What was taken before this plan stays. */
static GError *
roll_back (const VfioBindHost *host, VfioPlan *plan, GError *why)
{
  g_autoptr (GPtrArray) ours = g_ptr_array_new ();
  g_autoptr (VfioPlan) undo = NULL;
  g_autoptr (GError) problem = NULL;
  GError *both;

  for (guint i = 0; i < plan->bindings->len; i++)
    {
      VfioBinding *binding = g_ptr_array_index (plan->bindings, i);

      if (!binding->held)
        g_ptr_array_add (ours, binding);
    }
  undo = vfio_plan_new_give_back (host, ours, NULL);
  if (apply_give_back (host, undo, &problem))
    both = g_error_new (why->domain, why->code, "%s. Everything is as it was before", why->message);
  else
    both = g_error_new (why->domain, why->code,
                        "%s. And what had been changed could not all be put back: %s. \"alcove pci "
                        "release\" tries again",
                        why->message, problem->message);
  g_error_free (why);
  return both;
}

gboolean
vfio_plan_apply (const VfioBindHost *host, VfioPlan *plan, GError **error)
{
  GError *problem = NULL;

  if (plan->give_back)
    return apply_give_back (host, plan, error);
  for (guint i = 0; i < plan->steps->len && problem == NULL; i++)
    run_step (host, g_ptr_array_index (plan->steps, i), &problem);
  if (problem == NULL)
    return TRUE;
  g_propagate_error (error, roll_back (host, plan, problem));
  return FALSE;
}
