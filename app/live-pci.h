/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a running machine says about the functions of the host that it has: the answer of ListPci
 * (data/dbus), read as what another process says: bounded, valid UTF-8. Thread: any. */
#pragma once
#include <glib.h>

typedef struct
{
  char *name;       /* of its [pci NAME] */
  char *host;       /* its address as the host's kernel writes it, or a mediated device's UUID */
  char *address;    /* (nullable) in the guest */
  char *interrupts; /* "none", "intx", "msi" or "msix"; "" when the machine does not say */
  guint vectors;
  gboolean leaving;    /* the guest was asked to let go */
  gboolean asked_back; /* the host waits for it */
  GStrv notes;         /* sentences without their end */
} AlcoveLivePci;

/* (transfer full) (element-type AlcoveLivePci): list: the answer's aa{sv}; what makes no sense is left
 * out. */
GPtrArray *alcove_live_pcis_new (GVariant *list);
/* (transfer none) (nullable) */
const AlcoveLivePci *alcove_live_pcis_find (GPtrArray *pcis, const char *host);
