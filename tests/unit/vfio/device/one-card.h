/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine with one bus for one passed card, over the model of the kernel. */
#pragma once
#include "fake-kernel.h"
#include "tests/unit/harness/harness.h"
#include "vfio/device/pci.h"

typedef struct
{
  HarnessMachine *h;
  FakeKernel fake;
  FakeFunction *card;
  VfioContainer *container;
  PciBus *root;
  VfioPciEvents events;
  GPtrArray *notes; /* (element-type utf8) what the card said */
} OneCard;

/* card: (transfer full). ram: bytes. */
void one_card_init (OneCard *one, FakeFunction *card, guint64 ram);
/* The card is unplugged: nothing of it may be left in the machine. */
void one_card_clear (OneCard *one);
/* (transfer full): not realized yet. id: of the device; name: the host's address. */
VmmDevice *one_card_make (OneCard *one, const char *id, const char *name, guint slot);
/* device: (nullable) (transfer full). */
void one_card_unplug (VmmDevice *device);
