/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by passthrough.c and its neighbours: -cards.c, -adds.c, -hotplug.c. */
#pragma once
#include "app/passthrough-binding.h"
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
/* What the host is to be asked for. */
typedef struct
{
  GStrv hosts;     /* (nullable): nothing: mediated devices are made, not taken */
  guint64 memlock; /* bytes that must be lockable */
  gboolean ready;  /* it can be tried even if the host is not asked, or refuses */
} RunnerWanted;
/* Of the definition's functions in this slot, with what must go along. The hosts are the caller's to
 * free. */
gboolean runner_passthrough_find_wanted (RunnerMachine *self,
                                         const AlcovePciAddress *at,
                                         RunnerWanted *ret,
                                         GError **error);
/* What was got for this slot. binding: (transfer full) (nullable). */
void runner_passthrough_take_card (RunnerMachine *self,
                                   const AlcovePciAddress *at,
                                   AlcoveBinding *binding);
/* Gets the card that the function belongs to from the host, once. Blocks, while somebody types a
 * password even. */
gboolean
runner_passthrough_get_card (RunnerMachine *self, const AlcovePciConfig *config, GError **error);
/* The functions of this slot are closed. What came along with them and is in the guest too keeps the
 * whole until it goes. */
void runner_passthrough_give_back (RunnerMachine *self, guint bus);
void runner_passthrough_init_cards (RunnerMachine *self);
void runner_passthrough_finish_cards (RunnerMachine *self);

/* passthrough-adds.c */
/* The host is being asked for [pci NAME]: that ends, and done is called when nothing is left of it.
 * FALSE: it is not. */
gboolean runner_passthrough_cancel_add (RunnerMachine *self,
                                        const char *name,
                                        RunnerRemoveFunc done,
                                        gpointer user_data);
/* All of them, and no more after: waits for their ends. */
void runner_passthrough_close_adds (RunnerMachine *self);

/* passthrough-graphics.c: what the firmware and the board are told of graphics of Intel's processors. */
void runner_passthrough_init_graphics (RunnerMachine *self);
/* The machine has not run yet. */
gboolean runner_passthrough_offer_graphics (RunnerMachine *self, RunnerPci *pci, GError **error);
/* The machine runs: it is too late, and pci's notes say so. */
void runner_passthrough_miss_graphics (RunnerPci *pci);
/* Before the device goes. */
void runner_passthrough_forget_graphics (RunnerMachine *self, VmmDevice *device);
void runner_passthrough_finish_graphics (RunnerMachine *self);

/* passthrough-hotplug.c */
/* Looks whether the groups could be plugged in, and changes nothing. ret_names: (out) (transfer full):
 * of char *. wanted: (out): of the host. */
gboolean runner_passthrough_check (RunnerMachine *self,
                                   const char *const *groups,
                                   GPtrArray **ret_names,
                                   RunnerWanted *ret_wanted,
                                   GError **error);
/* Plugs them in. binding: (inout) (nullable): what was got of the host; NULL when it is the machine's,
 * on success always. Returns: (transfer full): the groups as they are now. */
GStrv runner_passthrough_plug (RunnerMachine *self,
                               const char *const *groups,
                               AlcoveBinding **binding,
                               GError **error);
/* On a worker: the host wants it back. */
void runner_passthrough_on_requested (gpointer pci);
/* All devices are gone: nobody asks any more. */
void runner_passthrough_forget_requests (RunnerMachine *self);
gboolean runner_passthrough_is_leaving (RunnerMachine *self, const RunnerPci *pci);
