/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by passthrough.c and passthrough-hotplug.c. */
#pragma once
#include "app/runner/machine-private.h"
#include "app/runner/passthrough.h"
#include "vfio/device/pci.h"

/* A function in the machine. */
typedef struct
{
  char *name, *host;
  AlcovePciAddress address;
  VmmDevice *device;
  GMutex notes_lock;
  GPtrArray *notes; /* of char *: what people should know; notes_lock */
  RunnerMachine *machine;
  VfioPciEvents events;
  gint wanted;     /* atomic: the host wants it back, and the main thread is to hear of it */
  gint asked_back; /* atomic: the host waits for it */
} RunnerPci;

void runner_pci_free (gpointer pci);
/* Whoever watches the machine's cards is told soon. Any thread. */
void runner_passthrough_mark_changed (RunnerMachine *self);
RunnerPci *runner_passthrough_find (RunnerMachine *self, const char *name); /* (nullable) */
/* Makes the device; the guest is not told. (transfer none) of the machine. */
RunnerPci *
runner_passthrough_make (RunnerMachine *self, const AlcovePciConfig *config, GError **error);
/* FALSE: there are too few addresses for what the cards bring. */
gboolean runner_passthrough_check_space (RunnerMachine *self, GError **error);

/* passthrough-cards.c */
/* Gets the card that the function belongs to from the host, once. Blocks, while somebody types a
 * password even. */
gboolean
runner_passthrough_get_card (RunnerMachine *self, const AlcovePciConfig *config, GError **error);
/* The functions of this slot are closed. */
void runner_passthrough_give_back (RunnerMachine *self, guint bus);
void runner_passthrough_init_cards (RunnerMachine *self);
void runner_passthrough_finish_cards (RunnerMachine *self);

/* passthrough-hotplug.c */
/* On a worker: the host wants it back. */
void runner_passthrough_on_requested (gpointer pci);
/* All devices are gone: nobody asks any more. */
void runner_passthrough_forget_requests (RunnerMachine *self);
gboolean runner_passthrough_is_leaving (RunnerMachine *self, const RunnerPci *pci);
