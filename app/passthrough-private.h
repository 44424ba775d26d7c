/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by passthrough.c (looking) and passthrough-changes.c. */
#pragma once
#include "app/passthrough.h"
#include "vfio/bind/ledger.h"

/* The ledger of the host, or of the faked one that the tree is. (transfer full) (nullable): nothing
 * was ever taken, or it is not believed. */
VfioLedger *alcove_passthrough_open_ledger (VfioTree *tree, GError **error);
