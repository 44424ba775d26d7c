/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Interrupts. Each vector is one eventfd from the kernel's handler to the hypervisor, which injects it
 * by its route: nothing comes here. A masked vector's eventfd is taken off the hypervisor, and what
 * collects in it shows as a pending bit.
 *
 * MSI-X is enabled at the kernel with all vectors of the table, those that the guest has masked
 * without a signal: a vector that it opens later is then only given one, and none that is in use has
 * to be taken down for it.
 *
 * INTx begins the slow way, here: the line goes up, the kernel holds the device's interrupt masked, and
 * the guest's next access to the device (nothing is mapped meanwhile) is taken as the answer. That
 * reaches the old interrupt controllers too. As soon as the guest has opened the pin at the I/O APIC,
 * the hypervisor does it alone: an irqfd that is signalled again when the guest ends the interrupt. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vfio/device/pci-private.h"

#define TRAPPED_NS (VMM_NSEC_PER_SEC + VMM_NSEC_PER_SEC / 10) /* after the last slow interrupt */

static VmmMachine *
get_machine (VfioPci *pci)
{
  return vfio_container_get_machine (pci->config.container);
}

/* ---- INTx ---- */

static void
set_trapped (VfioPci *pci, gboolean trapped)
{
  PciBus *bus = pci_device_get_bus (&pci->parent);

  pci_bus_lock_config (bus);
  pci->host.intx_trapped = trapped;
  vfio_pci_update_slots (pci);
  pci_bus_unlock_config (bus);
}

/* irq_lock is held, as in all functions that end so. */
static gboolean
go_fast_locked (VfioPci *pci)
{
  VmmAccel *accel = vmm_machine_get_accel (get_machine (pci));
  VfioDevice *device = pci->host.device;
  gint32 fd = pci->host.intx_fast_fd;

  if (pci->host.intx_gsi < 0 || accel->ops->gsi_is_open == NULL ||
      !accel->ops->gsi_is_open (accel, (guint)pci->host.intx_gsi))
    return FALSE;
  if (accel->ops->irqfd (accel, fd, pci->host.unmask_fd, (guint)pci->host.intx_gsi, TRUE) < 0)
    {
      pci->host.intx_gsi = -1; /* it will not do it another time either */
      return FALSE;
    }
  if (vfio_device_set_unmask_fd (device, pci->host.unmask_fd) < 0 ||
      vfio_device_set_irqs (device, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &fd) != 0)
    {
      gint32 slow = pci->host.intx_fd;

      (void)vfio_device_set_unmask_fd (device, -1);
      (void)vfio_device_set_irqs (device, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &slow);
      (void)accel->ops->irqfd (accel, fd, -1, (guint)pci->host.intx_gsi, FALSE);
      pci->host.intx_gsi = -1;
      return FALSE;
    }
  pci->host.intx_fast = TRUE;
  return TRUE;
}

/* A worker: the device pulls its line, and the kernel keeps it masked. */
static void
on_intx (gpointer user_data)
{
  VfioPci *pci = user_data;
  gboolean raise = FALSE;

  __atomic_fetch_add (&pci->host.n_slow, 1, __ATOMIC_RELAXED);
  g_mutex_lock (&pci->host.irq_lock);
  if (pci->host.mode == VFIO_IRQ_MODE_INTX && !pci->host.intx_fast)
    {
      /* Fast from now on: the line is level triggered and comes again. */
      if (go_fast_locked (pci))
        (void)vfio_device_unmask_intx (pci->host.device);
      else
        raise = pci->host.intx_pending = TRUE;
    }
  g_mutex_unlock (&pci->host.irq_lock);
  if (!raise)
    return;
  set_trapped (pci, TRUE);
  pci_device_set_intx (&pci->parent, TRUE);
  vmm_timer_set (pci->host.intx_timer,
                 vmm_clock_get_ns (vmm_machine_get_clock (get_machine (pci))) + TRAPPED_NS);
}

static void
on_intx_quiet (gpointer user_data)
{
  VfioPci *pci = user_data;
  gboolean pending;

  g_mutex_lock (&pci->host.irq_lock);
  pending = pci->host.intx_pending;
  g_mutex_unlock (&pci->host.irq_lock);
  /* A guest that has not looked yet must still be seen when it does. */
  if (pending)
    vmm_timer_set (pci->host.intx_timer,
                   vmm_clock_get_ns (vmm_machine_get_clock (get_machine (pci))) + TRAPPED_NS);
  else
    set_trapped (pci, FALSE);
}

void
vfio_pci_acknowledge (VfioPci *pci)
{
  if (!__atomic_load_n (&pci->host.intx_pending, __ATOMIC_ACQUIRE))
    return;
  g_mutex_lock (&pci->host.irq_lock);
  if (pci->host.intx_pending)
    {
      __atomic_store_n (&pci->host.intx_pending, FALSE, __ATOMIC_RELEASE);
      pci_device_set_intx (&pci->parent, FALSE);
      if (pci->host.mode == VFIO_IRQ_MODE_INTX)
        (void)vfio_device_unmask_intx (pci->host.device);
    }
  g_mutex_unlock (&pci->host.irq_lock);
}

static void
enable_intx_locked (VfioPci *pci)
{
  gint32 fd = pci->host.intx_fd;

  if (vfio_device_get_n_irqs (pci->host.device, VFIO_PCI_INTX_IRQ_INDEX) == 0 || fd < 0)
    return;
  if (vfio_device_set_irqs (pci->host.device, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, &fd) == 0)
    pci->host.mode = VFIO_IRQ_MODE_INTX;
}

static void
disable_intx_locked (VfioPci *pci)
{
  VmmAccel *accel = vmm_machine_get_accel (get_machine (pci));

  (void)vfio_device_disable_irqs (pci->host.device, VFIO_PCI_INTX_IRQ_INDEX);
  if (pci->host.intx_fast)
    (void)accel->ops->irqfd (accel, pci->host.intx_fast_fd, -1, (guint)pci->host.intx_gsi, FALSE);
  pci->host.intx_fast = FALSE;
  __atomic_store_n (&pci->host.intx_pending, FALSE, __ATOMIC_RELEASE);
  pci_device_set_intx (&pci->parent, FALSE);
}

/* ---- MSI and MSI-X ---- */

/* fds[i] of the vectors that the guest may get now, -1 for the others. */
static guint
collect_locked (VfioPci *pci, VfioIrqMode mode, guint n, gint32 *fds)
{
  guint n_open = 0;

  for (guint v = 0; v < n; v++)
    {
      fds[v] = -1;
      if (mode == VFIO_IRQ_MODE_MSI)
        fds[v] = pci_device_get_msi_eventfd (&pci->parent, v, NULL);
      else if (!pci_device_msix_is_masked (&pci->parent, v))
        {
          fds[v] = pci_device_get_vector_eventfd (&pci->parent, v, NULL);
          pci->host.in_use[v] = fds[v] >= 0;
        }
      fds[v] = MAX (fds[v], -1);
      n_open += fds[v] >= 0;
    }
  return n_open;
}

static void
hold_routes (VfioPci *pci, gboolean hold)
{
  VmmAccel *accel = vmm_machine_get_accel (get_machine (pci));

  if (hold && accel->ops->hold_routes != NULL)
    accel->ops->hold_routes (accel);
  else if (!hold && accel->ops->release_routes != NULL)
    accel->ops->release_routes (accel);
}

static void
enable_vectors_locked (VfioPci *pci, VfioIrqMode mode, guint n)
{
  guint index = mode == VFIO_IRQ_MODE_MSI ? VFIO_PCI_MSI_IRQ_INDEX : VFIO_PCI_MSIX_IRQ_INDEX;
  g_autofree gint32 *fds = g_new0 (gint32, n);
  int r;

  hold_routes (pci, TRUE);
  collect_locked (pci, mode, n, fds);
  hold_routes (pci, FALSE);
  r = vfio_device_set_irqs (pci->host.device, index, 0, n, fds);
  /* The host has fewer to give: those then, from the first. */
  if (r > 0 && (guint)r < n)
    {
      n = (guint)r;
      r = vfio_device_set_irqs (pci->host.device, index, 0, n, fds);
    }
  if (r != 0)
    {
      vfio_pci_note (pci, "The host has no interrupt for it (%s)",
                     g_strerror (r < 0 ? -r : ENOSPC));
      return;
    }
  pci->host.mode = mode;
  pci->host.n_vectors = n;
}

/* Vectors that the guest has opened since. TRUE: there were any. */
static gboolean
add_vectors_locked (VfioPci *pci)
{
  gboolean any = FALSE;

  for (guint v = 0; v < pci->host.n_vectors; v++)
    {
      gint32 fd;

      if (pci->host.in_use[v] || pci_device_msix_is_masked (&pci->parent, v))
        continue;
      fd = pci_device_get_vector_eventfd (&pci->parent, v, NULL);
      if (fd >= 0 &&
          vfio_device_set_irqs (pci->host.device, VFIO_PCI_MSIX_IRQ_INDEX, v, 1, &fd) == 0)
        any = pci->host.in_use[v] = TRUE;
    }
  return any;
}

static void
disable_vectors_locked (VfioPci *pci)
{
  (void)vfio_device_disable_irqs (pci->host.device, pci->host.mode == VFIO_IRQ_MODE_MSI
                                                        ? VFIO_PCI_MSI_IRQ_INDEX
                                                        : VFIO_PCI_MSIX_IRQ_INDEX);
  for (guint v = 0; v < pci->host.msix.n; v++)
    pci->host.in_use[v] = FALSE;
  pci->host.n_vectors = 0;
}

/* ---- which of them ---- */

static void
disable_locked (VfioPci *pci)
{
  VfioIrqMode mode = pci->host.mode;

  if (mode == VFIO_IRQ_MODE_INTX)
    disable_intx_locked (pci);
  else if (mode != VFIO_IRQ_MODE_NONE)
    disable_vectors_locked (pci);
  pci->host.mode = VFIO_IRQ_MODE_NONE;
}

void
vfio_pci_disable_irqs (VfioPci *pci)
{
  g_mutex_lock (&pci->host.irq_lock);
  disable_locked (pci);
  g_mutex_unlock (&pci->host.irq_lock);
}

void
vfio_pci_update_irqs (VfioPci *pci)
{
  VfioIrqMode wanted = VFIO_IRQ_MODE_INTX;
  gboolean changed = FALSE;
  guint n = 0;

  g_mutex_lock (&pci->host.irq_lock);
  if (pci->host.closed)
    {
      g_mutex_unlock (&pci->host.irq_lock);
      return;
    }
  if (pci->host.msix.cap != 0 && pci_device_msix_enabled (&pci->parent))
    {
      wanted = VFIO_IRQ_MODE_MSIX;
      n = pci->host.msix.n;
    }
  else if (pci->host.msi_cap != 0 && (n = pci_device_msi_get_n_enabled (&pci->parent)) > 0)
    wanted = VFIO_IRQ_MODE_MSI;
  if (wanted != pci->host.mode || (wanted == VFIO_IRQ_MODE_MSI && n != pci->host.n_vectors))
    {
      disable_locked (pci);
      if (wanted == VFIO_IRQ_MODE_INTX)
        enable_intx_locked (pci);
      else
        enable_vectors_locked (pci, wanted, n);
      changed = TRUE;
    }
  else if (wanted == VFIO_IRQ_MODE_MSIX)
    changed = add_vectors_locked (pci);
  g_mutex_unlock (&pci->host.irq_lock);
  if (changed && pci->config.events != NULL && pci->config.events->changed != NULL)
    pci->config.events->changed (pci->config.events->user_data);
}

const char *
vfio_pci_get_interrupts (VmmDevice *device, guint *ret_n)
{
  static const char *const modes[] = { "none", "intx", "msi", "msix" };
  VfioPci *pci = (VfioPci *)device;
  VfioIrqMode mode;

  g_mutex_lock (&pci->host.irq_lock);
  mode = pci->host.mode;
  *ret_n = mode == VFIO_IRQ_MODE_INTX ? 1 : mode == VFIO_IRQ_MODE_MSI ? pci->host.n_vectors : 0;
  for (guint v = 0; mode == VFIO_IRQ_MODE_MSIX && v < pci->host.n_vectors; v++)
    *ret_n += pci->host.in_use[v];
  g_mutex_unlock (&pci->host.irq_lock);
  return modes[mode];
}

/* ---- errors and requests ---- */

/* PCI Express 5.0, 6.2: an error that the device cannot recover from. What it holds is not to be
 * believed any more, so the guest must not go on with it. */
static void
on_error (gpointer user_data)
{
  VfioPci *pci = user_data;
  g_autofree char *detail = g_strdup_printf ("%s reported a fatal error, so the machine was paused "
                                             "before it works with wrong data. Reset or "
                                             "stop the machine; if it happens again, the card, its "
                                             "slot or its power supply may be faulty.",
                                             vfio_device_get_name (pci->host.device));

  vfio_pci_note (pci,
                 "It reported a fatal error, for which the machine was paused: its driver in the "
                 "guest may not work before the next reset");
  vmm_machine_request (get_machine (pci), VMM_REQUEST_PAUSE, EREMOTEIO, detail);
}

static void
on_request (gpointer user_data)
{
  VfioPci *pci = user_data;

  if (pci->config.events != NULL && pci->config.events->requested != NULL)
    pci->config.events->requested (pci->config.events->user_data);
}

static gboolean
listen_to (VfioPci *pci,
           guint index,
           void (*func) (gpointer user_data),
           int *ret_fd,
           VmmSource **ret_source,
           GError **error)
{
  gint32 fd;

  if (vfio_device_get_n_irqs (pci->host.device, index) == 0)
    return TRUE;
  *ret_fd = fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0)
    return vmm_error_set_errno (error, -errno, "Cannot make an interrupt descriptor");
  *ret_source = vmm_worker_add_eventfd (vmm_machine_get_worker (get_machine (pci)), fd, func, pci);
  (void)vfio_device_set_irqs (pci->host.device, index, 0, 1, &fd);
  return TRUE;
}

static int
make_eventfd (GError **error)
{
  int fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);

  if (fd < 0)
    vmm_error_set_errno (error, -errno, "Cannot make an interrupt descriptor");
  return fd;
}

gboolean
vfio_pci_init_irqs (VfioPci *pci, GError **error)
{
  VmmMachine *machine = get_machine (pci);

  pci->host.in_use = g_new0 (gboolean, MAX (pci->host.msix.n, 1));
  if (vfio_device_get_n_irqs (pci->host.device, VFIO_PCI_INTX_IRQ_INDEX) > 0)
    {
      pci->host.intx_gsi = pci_device_get_intx_gsi (&pci->parent);
      pci->host.intx_fd = make_eventfd (error);
      pci->host.intx_fast_fd = pci->host.intx_fd >= 0 ? make_eventfd (error) : -1;
      pci->host.unmask_fd = pci->host.intx_fast_fd >= 0 ? make_eventfd (error) : -1;
      if (pci->host.unmask_fd < 0)
        return FALSE;
      pci->host.intx_timer = vmm_timer_new (vmm_machine_get_clock (machine),
                                            vmm_machine_get_worker (machine), on_intx_quiet, pci);
      pci->host.intx_source = vmm_worker_add_eventfd (vmm_machine_get_worker (machine),
                                                      pci->host.intx_fd, on_intx, pci);
    }
  if (!listen_to (pci, VFIO_PCI_ERR_IRQ_INDEX, on_error, &pci->host.error_fd,
                  &pci->host.error_source, error) ||
      !listen_to (pci, VFIO_PCI_REQ_IRQ_INDEX, on_request, &pci->host.request_fd,
                  &pci->host.request_source, error))
    return FALSE;
  vfio_pci_update_irqs (pci);
  return TRUE;
}

static void
drop (VmmSource **source, int *fd)
{
  if (*source != NULL)
    vmm_source_remove (*source);
  *source = NULL;
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/* Not with the config lock held: it waits for the worker. */
void
vfio_pci_finish_irqs (VfioPci *pci)
{
  VmmSource *none = NULL;

  g_mutex_lock (&pci->host.irq_lock);
  disable_locked (pci);
  pci->host.closed = TRUE;
  g_mutex_unlock (&pci->host.irq_lock);
  if (pci->host.error_fd >= 0)
    (void)vfio_device_disable_irqs (pci->host.device, VFIO_PCI_ERR_IRQ_INDEX);
  if (pci->host.request_fd >= 0)
    (void)vfio_device_disable_irqs (pci->host.device, VFIO_PCI_REQ_IRQ_INDEX);
  drop (&pci->host.error_source, &pci->host.error_fd);
  drop (&pci->host.request_source, &pci->host.request_fd);
  drop (&pci->host.intx_source, &pci->host.intx_fd);
  drop (&none, &pci->host.intx_fast_fd);
  drop (&none, &pci->host.unmask_fd);
  g_clear_pointer (&pci->host.intx_timer, vmm_timer_free);
  g_clear_pointer (&pci->host.in_use, g_free);
}
