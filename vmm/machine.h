/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The machine as devices see it: memory, buses, clock, interrupts, workers, lifecycle requests.
 * It works without KVM (tests give it a fake accel); vmm/vm.h adds vCPUs and the run state.
 * Threads: any, unless stated. */
#pragma once
#include <glib.h>
#include "vmm/accel.h"
#include "vmm/bus.h"
#include "vmm/clock.h"
#include "vmm/device.h"
#include "vmm/irq.h"
#include "vmm/memory.h"
#include "vmm/state.h"
#include "vmm/worker.h"

#define VMM_MACHINE_N_GSI 24 /* IOAPIC pins; MSI routes come after */

typedef enum
{
  VMM_REQUEST_NONE,
  VMM_REQUEST_RESET,      /* cf9, 0x64 fe, port 92, triple fault */
  VMM_REQUEST_POWEROFF,   /* ACPI S5 */
  VMM_REQUEST_SUSPEND,    /* ACPI S3: refused for the present, see board */
  VMM_REQUEST_DEBUG_EXIT, /* value written to the debug-exit port: status = (value << 1) | 1 */
  VMM_REQUEST_PANIC,      /* pvpanic; value = event bits */
  VMM_REQUEST_ERROR,      /* the VMM cannot go on: detail says why */
  VMM_REQUEST_PAUSE,      /* a disk cannot go on for the present; value = errno, detail says why;
                           * EREMOTEIO: a device that is passed through failed */
} VmmRequest;

/* Called from any thread (vCPU threads mostly), must not block: the owner notes it and kicks. */
typedef void (*VmmRequestFunc) (
    VmmMachine *machine, VmmRequest request, guint64 value, const char *detail, gpointer user_data);

/* accel: borrowed, outlives the machine. clock: (transfer full). */
VmmMachine *vmm_machine_new (VmmAccel *accel, VmmClock *clock, GError **error);
/* Unrealizes and frees all devices in reverse order first. */
void vmm_machine_free (VmmMachine *machine);
VmmAccel *vmm_machine_get_accel (VmmMachine *machine);
VmmGuestMemory *vmm_machine_get_memory (VmmMachine *machine);
VmmBus *vmm_machine_get_pio (VmmMachine *machine);
VmmBus *vmm_machine_get_mmio (VmmMachine *machine);
VmmClock *vmm_machine_get_clock (VmmMachine *machine);

/* The default worker ("io", timers of slow devices), made on first use. With a fake clock all
 * workers are manual ones (vmm_worker_new_manual), run by vmm_machine_iterate. */
VmmWorker *vmm_machine_get_worker (VmmMachine *machine);
/* A worker of its own, owned by the machine, freed after all devices. */
VmmWorker *vmm_machine_add_worker (VmmMachine *machine,
                                   const char *name,
                                   VmmWorkerFlags flags,
                                   GError **error);

/* Stops and frees one before the machine's end, for a device that is taken out. Its calls that were
 * posted run first. Not on a worker. Thread: control. */
void vmm_machine_remove_worker (VmmMachine *machine, VmmWorker *worker);

/* For tests: one turn of every worker of a machine with a fake clock; waits for submitted disk I/O.
 * Returns TRUE when anything ran. */
gboolean vmm_machine_iterate (VmmMachine *machine);

/* Takes ownership of a realized device (called by vmm_device_realize) and finds it by id. */
void vmm_machine_add_device (VmmMachine *machine, VmmDevice *device);
void vmm_machine_remove_device (VmmMachine *machine, VmmDevice *device);
VmmDevice *vmm_machine_find_device (VmmMachine *machine, const char *id);
void vmm_machine_foreach_device (VmmMachine *machine,
                                 void (*func) (VmmDevice *device, gpointer user_data),
                                 gpointer user_data);

/* All devices, registration order (quiesce and unrealize in reverse). vCPUs are stopped. */
void vmm_machine_reset_devices (VmmMachine *machine, VmmResetKind kind);
void vmm_machine_quiesce_devices (VmmMachine *machine);
void vmm_machine_resume_devices (VmmMachine *machine);
/* Before a save is begun. Errors: NOT_SUPPORTED names the device whose state cannot be read. */
gboolean vmm_machine_check_savable (VmmMachine *machine, GError **error);
gboolean vmm_machine_save_devices (VmmMachine *machine, VmmStateWriter *writer, GError **error);
/* Every section must find its device with the same class, and the other way round. */
gboolean vmm_machine_load_devices (VmmMachine *machine, VmmStateReader *reader, GError **error);

void vmm_machine_set_request_func (VmmMachine *machine, VmmRequestFunc func, gpointer user_data);
void
vmm_machine_request (VmmMachine *machine, VmmRequest request, guint64 value, const char *detail);

/* GSI level with wired-OR over its lines; used by VmmIrqLine. */
void vmm_machine_gsi_raise (VmmMachine *machine, guint gsi);
void vmm_machine_gsi_lower (VmmMachine *machine, guint gsi);

/* Ioeventfd with a fall-back: FALSE when the accel cannot (the register handler must do it). */
gboolean vmm_machine_add_ioeventfd (VmmMachine *machine,
                                    int eventfd,
                                    gboolean pio,
                                    guint64 address,
                                    guint size,
                                    gboolean has_match,
                                    guint64 match);
void vmm_machine_remove_ioeventfd (VmmMachine *machine,
                                   int eventfd,
                                   gboolean pio,
                                   guint64 address,
                                   guint size,
                                   gboolean has_match,
                                   guint64 match);
