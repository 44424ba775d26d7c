/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine for unit tests: no KVM, no threads, no real time.
 *
 * HarnessMachine is a VmmMachine with a fake accel that records interrupts, a fake clock, RAM at
 * guest address 0, and manual workers: posted calls, fd and eventfd sources and disk I/O happen
 * only in harness_run, timers only in harness_advance. All in the test's thread.
 *
 * The accesses of a guest are harness_out/in and harness_mmio_*: as with KVM, an ioeventfd that
 * matches takes a write before the bus sees it. */
#pragma once
#include "vmm/machine.h"

#define HARNESS_START_NS      (G_GINT64_CONSTANT (1000) * VMM_NSEC_PER_SEC)
/* 2024-02-29 12:34:56 UTC */
#define HARNESS_START_WALL_US (G_GINT64_CONSTANT (1709210096) * 1000000)

typedef struct
{
  guint64 address;
  guint32 data;
} HarnessMsi;

typedef struct
{
  VmmRequest request;
  guint64 value;
  char *detail;
} HarnessRequest;

typedef struct
{
  VmmAccel accel; /* first */
  VmmMachine *machine;
  VmmClock *clock; /* the machine's */
  VmmRamBlock *ram;
  guint64 ram_size;

  gboolean gsi[VMM_MACHINE_N_GSI];
  guint gsi_raised[VMM_MACHINE_N_GSI]; /* low to high changes */
  GArray *msis;                        /* HarnessMsi, in order */
  GArray *requests;                    /* HarnessRequest, in order */
  guint n_slots;                       /* memory slots now */

  /* switches: what the hypervisor refuses */
  gboolean no_irqfd;
  gboolean no_ioeventfd;

  guint32 open_gsis;     /* bit n: the guest has opened pin n of the I/O APIC */
  guint n_vfio;          /* groups or devices that the hypervisor was told of */
  guint n_route_commits; /* changes of routes, those between hold and release as one */

  /*< private >*/
  GArray *routes;
  GArray *irqfds;
  GArray *ioeventfds;
  guint64 alloc_next;
  guint routes_held;
  gboolean routes_changed;
} HarnessMachine;

/* ram_size: bytes, multiple of 4096; 0 for no RAM. */
HarnessMachine *harness_new (guint64 ram_size);
void harness_free (HarnessMachine *h);

/* Runs workers (and delivers irqfds) until nothing is left to do, disk I/O included. */
void harness_run (HarnessMachine *h);
/* Moves the clock, firing timers, then runs. */
void harness_advance (HarnessMachine *h, gint64 ns);

/* Port and memory accesses of a guest; size 1, 2, 4, 8. */
guint64 harness_in (HarnessMachine *h, guint16 port, guint size);
void harness_out (HarnessMachine *h, guint16 port, guint size, guint64 value);
guint64 harness_mmio_read (HarnessMachine *h, guint64 address, guint size);
void harness_mmio_write (HarnessMachine *h, guint64 address, guint size, guint64 value);
/* TRUE when an ioeventfd is registered there. */
gboolean harness_has_ioeventfd (HarnessMachine *h, gboolean pio, guint64 address);

/* The guest ends a level interrupt: the line goes down, and who resamples is signalled. */
void harness_end_interrupt (HarnessMachine *h, guint gsi);

/* Guest memory; a range outside RAM is a failed test. */
void harness_write (HarnessMachine *h, guint64 gpa, gconstpointer data, gsize length);
void harness_read (HarnessMachine *h, guint64 gpa, gpointer data, gsize length);
guint64 harness_read_le (HarnessMachine *h, guint64 gpa, guint size);
void harness_write_le (HarnessMachine *h, guint64 gpa, guint size, guint64 value);
/* Guest RAM for a test's own use, from 64 KiB upwards; align is a power of two. */
guint64 harness_alloc (HarnessMachine *h, guint64 size, guint64 align);

guint harness_get_n_msis (HarnessMachine *h);
HarnessMsi harness_get_msi (HarnessMachine *h, guint i);
void harness_clear_msis (HarnessMachine *h);
/* How many of the recorded MSIs carry this data. */
guint harness_count_msi (HarnessMachine *h, guint32 data);
/* The last request, NONE when there was none; clears the list. */
VmmRequest harness_take_request (HarnessMachine *h, guint64 *ret_value);

/* Builds a device on the harness's machine (which owns it); fails the test on error. */
VmmDevice *harness_realize (HarnessMachine *h, VmmDevice *device);
/* All devices' state. */
GBytes *harness_save (HarnessMachine *h);
gboolean harness_load (HarnessMachine *h, GBytes *state, GError **error);
/* save, load into the same machine, save: fails the test unless both are identical. */
void harness_check_save_load (HarnessMachine *h);
/* Same, but the state is loaded into a second machine, built the same way. */
void harness_check_save_load_into (HarnessMachine *from, HarnessMachine *to);
/* Loads every truncation (in steps) and single-byte damage of the state (CRCs mended) into h and
 * checks that the loader survives; h's state is undefined after. */
void harness_storm_load (HarnessMachine *h, GBytes *state, guint32 seed, guint n_rounds);
