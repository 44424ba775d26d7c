/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/irq.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/machine.h"

struct _VmmMsi
{
  VmmMachine *machine;
  GMutex lock;
  guint64 address;
  guint32 data;
  gboolean enabled;
  int eventfd; /* -1: none yet */
  int gsi;     /* of the route; -1: none, the eventfd is served by a worker */
  VmmSource *source;
};

void
vmm_irq_line_init (VmmIrqLine *line, VmmMachine *machine, guint gsi)
{
  *line = (VmmIrqLine){ .machine = machine, .gsi = gsi };
}

void
vmm_irq_line_set (VmmIrqLine *line, gboolean level)
{
  gint want = level ? 1 : 0;

  /* Devices set the same level again and again; only changes reach the machine. */
  if (g_atomic_int_get (&line->level) == want ||
      __atomic_exchange_n (&line->level, want, __ATOMIC_ACQ_REL) == want)
    return;
  if (want)
    vmm_machine_gsi_raise (line->machine, line->gsi);
  else
    vmm_machine_gsi_lower (line->machine, line->gsi);
}

void
vmm_irq_line_pulse (VmmIrqLine *line)
{
  vmm_irq_line_set (line, TRUE);
  vmm_irq_line_set (line, FALSE);
}

gboolean
vmm_irq_line_get (VmmIrqLine *line)
{
  return g_atomic_int_get (&line->level) != 0;
}

static int
set_irqfd (VmmMsi *msi, gboolean assign)
{
  VmmAccel *accel = vmm_machine_get_accel (msi->machine);

  return accel->ops->irqfd (accel, msi->eventfd, -1, (guint)msi->gsi, assign);
}

/* Where the hypervisor has no irqfd: a worker carries the signal. */
static void
on_eventfd (gpointer user_data)
{
  vmm_msi_raise (user_data);
}

VmmMsi *
vmm_msi_new (VmmMachine *machine)
{
  VmmMsi *msi = g_new0 (VmmMsi, 1);

  msi->machine = machine;
  msi->eventfd = msi->gsi = -1;
  g_mutex_init (&msi->lock);
  return msi;
}

/* lock is held (or nobody else has the object). */
static void
attach_locked (VmmMsi *msi, gboolean attach)
{
  if (msi->eventfd < 0)
    return;
  if (msi->gsi >= 0)
    (void)set_irqfd (msi, attach);
  else if (attach && msi->source == NULL)
    msi->source = vmm_worker_add_eventfd (vmm_machine_get_worker (msi->machine), msi->eventfd,
                                          on_eventfd, msi);
}

void
vmm_msi_free (VmmMsi *msi)
{
  VmmAccel *accel;

  if (msi == NULL)
    return;
  accel = vmm_machine_get_accel (msi->machine);
  if (msi->source != NULL)
    vmm_source_remove (msi->source);
  if (msi->enabled && msi->gsi >= 0)
    (void)set_irqfd (msi, FALSE);
  if (msi->gsi >= 0)
    accel->ops->free_msi_route (accel, (guint)msi->gsi);
  if (msi->eventfd >= 0)
    close (msi->eventfd);
  g_mutex_clear (&msi->lock);
  g_free (msi);
}

void
vmm_msi_set_message (VmmMsi *msi, guint64 address, guint32 data)
{
  VmmAccel *accel = vmm_machine_get_accel (msi->machine);

  g_mutex_lock (&msi->lock);
  if (msi->address != address || msi->data != data)
    {
      msi->address = address;
      msi->data = data;
      if (msi->gsi >= 0)
        (void)accel->ops->set_msi_route (accel, (guint)msi->gsi, address, data);
    }
  g_mutex_unlock (&msi->lock);
}

void
vmm_msi_set_enabled (VmmMsi *msi, gboolean enabled)
{
  VmmSource *source = NULL;

  g_mutex_lock (&msi->lock);
  if (msi->enabled != enabled)
    {
      msi->enabled = enabled;
      attach_locked (msi, enabled);
      if (!enabled)
        source = g_steal_pointer (&msi->source);
    }
  g_mutex_unlock (&msi->lock);
  /* Without the lock: it waits for the worker, which may be in vmm_msi_raise. */
  if (source != NULL)
    vmm_source_remove (source);
}

void
vmm_msi_raise (VmmMsi *msi)
{
  VmmAccel *accel = vmm_machine_get_accel (msi->machine);
  gboolean enabled;
  guint64 address;
  guint32 data;

  g_mutex_lock (&msi->lock);
  enabled = msi->enabled;
  address = msi->address;
  data = msi->data;
  g_mutex_unlock (&msi->lock);
  if (enabled)
    (void)accel->ops->signal_msi (accel, address, data);
}

int
vmm_msi_get_eventfd (VmmMsi *msi, GError **error)
{
  VmmAccel *accel = vmm_machine_get_accel (msi->machine);
  int r;

  g_mutex_lock (&msi->lock);
  if (msi->eventfd < 0)
    {
      msi->eventfd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
      r = msi->eventfd < 0 ? -errno : 0;
      if (r == 0)
        {
          msi->gsi = accel->ops->alloc_msi_route (accel, msi->address, msi->data);
          if (msi->gsi < 0 && msi->gsi != -ENOSYS)
            r = msi->gsi;
          if (msi->gsi < 0)
            msi->gsi = -1;
        }
      if (r < 0)
        {
          if (msi->eventfd >= 0)
            close (msi->eventfd);
          msi->eventfd = -1;
          vmm_error_set_errno (error, r, "Cannot make an interrupt descriptor");
        }
      else if (msi->enabled)
        attach_locked (msi, TRUE);
    }
  r = msi->eventfd;
  g_mutex_unlock (&msi->lock);
  return r;
}

gboolean
vmm_msi_take_pending (VmmMsi *msi)
{
  gboolean pending = FALSE;
  guint64 n;

  g_mutex_lock (&msi->lock);
  if (msi->eventfd >= 0 && !msi->enabled)
    pending = read (msi->eventfd, &n, sizeof n) == sizeof n;
  g_mutex_unlock (&msi->lock);
  return pending;
}
