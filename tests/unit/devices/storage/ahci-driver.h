/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guest's side of an AHCI controller, for the tests and the fuzz target. */
#pragma once
#include "devices/backends/block/block.h"
#include "devices/pci/pci.h"
#include "devices/storage/ahci.h"
#include "tests/unit/harness/harness.h"

#define AHCI_DRIVER_RAM  (4 * 1024 * 1024)
#define AHCI_DRIVER_ABAR G_GUINT64_CONSTANT (0xfe000000)
#define AHCI_DRIVER_IDP  0xc100
#define AHCI_DRIVER_MSI  0x4141
#define AHCI_DRIVER_DATA 0x40000 /* bytes of data area of a port */

typedef struct
{
  guint64 clb, fb, tables, data;
} AhciDriverPort;

typedef struct
{
  HarnessMachine *h;
  PciBus *bus;
  VmmDevice *controller;
  AhciDriverPort ports[2]; /* memory for the first two */
} AhciDriver;

void ahci_driver_init (AhciDriver *d);
void ahci_driver_finish (AhciDriver *d);
void ahci_driver_set_bars (AhciDriver *d);
void ahci_driver_enable_msi (AhciDriver *d);
/* Plugs a drive: ops, port, (nullable) back end. */
VmmDevice *
ahci_driver_plug (AhciDriver *d, const VmmDeviceOps *ops, guint port, BlockBackend *backend);
/* Offsets as in the specification. */
guint32 ahci_driver_read (AhciDriver *d, guint offset);
void ahci_driver_write (AhciDriver *d, guint offset, guint32 value);
guint32 ahci_port_read (AhciDriver *d, guint port, guint offset);
void ahci_port_write (AhciDriver *d, guint port, guint offset, guint32 value);
/* FRE, interrupts, ST. */
void ahci_driver_start (AhciDriver *d, guint port);
void ahci_driver_stop (AhciDriver *d, guint port);

typedef struct
{
  guint8 command, device, control;
  guint16 features, count;
  guint64 lba;
  gboolean write, queued, no_command, clear;
  const guint8 *packet; /* (nullable) 12 bytes */
  guint32 length;       /* one PRD of the data area at `at`; 0: none */
  guint32 at;
} AhciRequest;

guint64 ahci_driver_table (AhciDriver *d, guint port, guint slot);
void ahci_driver_put_prd (
    AhciDriver *d, guint port, guint slot, guint index, guint64 address, guint32 count);
/* Fills in a slot; does not issue. */
void ahci_driver_prepare (AhciDriver *d, guint port, guint slot, const AhciRequest *request);
void ahci_driver_set_n_prds (AhciDriver *d, guint port, guint slot, guint n);
void ahci_driver_issue (AhciDriver *d, guint port, guint32 slots, guint32 queued);
/* Prepare, issue in slot 0, run; returns PxTFD. */
guint32 ahci_driver_request (AhciDriver *d, guint port, const AhciRequest *request);
