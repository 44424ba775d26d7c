/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine's definition: machine.conf, read, checked and edited.
 *
 * The file is a key file with one group per device: [machine], [disk NAME], [cdrom NAME],
 * [nic NAME], [display NAME], [serial NAME], [console NAME], [input NAME], [rng NAME], [spice],
 * [snapshots], [scsi NAME], [pci NAME], [frames NAME].
 * definition-schema.c has every key with its range, default and meaning; an unknown group or key is
 * refused by name. The text is the definition: the structs below are what it says, parsed anew at
 * each edit, so a struct is valid until the next edit or the last unref. Comments survive.
 *
 * Thread: one at a time; the "changed" signal comes on the editing thread. */
#pragma once
#include <gio/gio.h>
#include "app/conf-file.h"
#include "app/error.h"

#define ALCOVE_DEFINITION_FILE "machine.conf"

/* Where a device sits. On bus 00, slots 00 (host bridge) and 1f (LPC, AHCI) are the board's, 1c to 1e
 * are kept for root ports; assignment hands out 02 to 1b, displays first take 01. Bus NN, from 01 to
 * 08, is what is behind the NNth root port: one device, NN:00.0 (the functions of one card: NN:00.0 to NN:00.7), which can come and go while the
 * machine runs. (The guest counts buses by itself.) */
typedef struct
{
  gboolean set;
  guint8 bus, slot, function;
} AlcovePciAddress;
#define ALCOVE_PCI_SLOT_FIRST   0x02
#define ALCOVE_PCI_SLOT_LAST    0x1b
#define ALCOVE_PCI_SLOT_DISPLAY 0x01
#define ALCOVE_PCI_SLOT_IGD     0x02 /* graphics of Intel's processors, where software counts on it */
#define ALCOVE_PCI_N_PORTS      8

typedef enum
{
  ALCOVE_KIND_MACHINE,
  ALCOVE_KIND_DISK,
  ALCOVE_KIND_CDROM,
  ALCOVE_KIND_NIC,
  ALCOVE_KIND_DISPLAY,
  ALCOVE_KIND_SERIAL,
  ALCOVE_KIND_CONSOLE,
  ALCOVE_KIND_INPUT,
  ALCOVE_KIND_RNG,
  ALCOVE_KIND_SPICE,
  ALCOVE_KIND_SNAPSHOTS,
  ALCOVE_KIND_SCSI,
  ALCOVE_KIND_PCI,
  ALCOVE_KIND_FRAMES,
} AlcoveKind;
#define ALCOVE_N_KINDS (ALCOVE_KIND_FRAMES + 1)
/* "disk", ... */
const char *alcove_kind_to_string (AlcoveKind kind);

/* First in every struct below. */
typedef struct
{
  AlcoveKind kind;
  char *name;               /* NAME of [disk NAME]; the kind for unnamed groups */
  guint line;               /* of the group header, from 1 */
  AlcovePciAddress address; /* devices on PCI */
  guint boot_index;         /* disk, cdrom, nic: 1 is tried first; 0 not given */
} AlcoveDeviceConfig;

typedef enum
{
  ALCOVE_CPU_HOST,
  ALCOVE_CPU_X86_64_V2,
  ALCOVE_CPU_X86_64_V3,
  ALCOVE_CPU_X86_64_V4,
} AlcoveCpuLevel;
typedef enum
{
  ALCOVE_FIRMWARE_UEFI,
  ALCOVE_FIRMWARE_BIOS,
  ALCOVE_FIRMWARE_NONE
} AlcoveFirmware;
typedef enum
{
  ALCOVE_MSR_FAULT,
  ALCOVE_MSR_IGNORE
} AlcoveUnknownMsr;
typedef enum
{
  ALCOVE_CLOCK_UTC,
  ALCOVE_CLOCK_LOCALTIME
} AlcoveClock;
typedef enum
{
  ALCOVE_ON_RESET,
  ALCOVE_ON_STOP
} AlcoveOnEvent;

typedef struct
{
  AlcoveDeviceConfig base;
  char *uuid;                    /* lower case */
  char *title;                   /* the key "name": what people see */
  char *os;                      /* (nullable) libosinfo short id, such as "debian12" */
  guint64 memory_mib;            /* 1..4194304 */
  guint cpus;                    /* 1..255 */
  guint sockets, cores, threads; /* product = cpus; all 0: one socket of cpus cores */
  AlcoveCpuLevel cpu;
  gboolean nested;  /* show VMX or SVM */
  gboolean pci_p2p; /* [pci] devices reach each other's memory */
  gboolean hide_hypervisor;
  gboolean invariant_tsc; /* shown when the host has it */
  AlcoveUnknownMsr unknown_msr;
  AlcoveClock clock;
  AlcoveFirmware firmware;
  char *firmware_vars;     /* absolute path; UEFI only */
  gboolean boot_menu;      /* BIOS */
  char *kernel, *initrd;   /* (nullable) absolute paths; direct boot */
  char *cmdline;           /* (nullable) up to 2047 bytes */
  AlcoveOnEvent on_reboot; /* what a guest's reset does */
  AlcoveOnEvent on_triple_fault;
  guint debug_exit;    /* I/O port of the debug exit device, 0: none */
  char *debug_console; /* (nullable) file for bytes written to port 0x402 */
} AlcoveMachineConfig;

typedef enum
{
  ALCOVE_DISK_RAW,
  ALCOVE_DISK_QCOW2
} AlcoveDiskFormat;
typedef enum
{
  ALCOVE_DISK_VIRTIO,
  ALCOVE_DISK_NVME,
  ALCOVE_DISK_SCSI,
  ALCOVE_DISK_SATA
} AlcoveDiskBus;
#define ALCOVE_N_SATA_PORTS 6
typedef enum
{
  ALCOVE_CACHE_WRITEBACK,
  ALCOVE_CACHE_DIRECT
} AlcoveDiskCache;
/* Errors of the host's storage but a lack of space, which always pauses. */
typedef enum
{
  ALCOVE_ON_ERROR_REPORT, /* to the guest */
  ALCOVE_ON_ERROR_PAUSE
} AlcoveOnError;

/* [disk NAME]; also [cdrom NAME], with readonly TRUE: on SATA and SCSI a drive with a tray, on virtio
 * a read-only disk with the medium's contents (no eject, no MMC commands). */
typedef struct
{
  AlcoveDeviceConfig base;
  char *file; /* absolute path: image or block device; NULL: an empty drive (cdrom, SATA, SCSI) */
  AlcoveDiskFormat format;
  AlcoveDiskBus bus;
  char *controller;     /* (nullable) nvme: disks with the same one share it, as namespaces */
  guint nsid;           /* nvme: the key "namespace", 1..32; 0 not given */
  guint target;         /* SCSI: 1 to 255, 0 not given */
  gboolean passthrough; /* SCSI: file is a device, and the guest talks to it by SCSI commands */
  char *serial;         /* (nullable) up to 20 printable ASCII characters */
  gboolean readonly;
  gboolean discard;
  gboolean snapshot; /* disk: part of the machine's snapshots */
  AlcoveDiskCache cache;
  guint queues; /* 0: as many as vCPUs, at most 4 */
  guint port;   /* sata: 1..6, assigned in file order when left out */
  AlcoveOnError on_error;
  /* Limits a second, 0: none. Bandwidths in MiB. */
  guint iops, iops_read, iops_write;
  guint64 bandwidth, bandwidth_read, bandwidth_write;
  guint burst_ms;
} AlcoveDiskConfig;

typedef enum
{
  ALCOVE_NIC_USER,
  ALCOVE_NIC_TAP,
  ALCOVE_NIC_NONE
} AlcoveNicBackend;

/* One port of the host handed to the guest (user networking). */
typedef struct
{
  gboolean udp;
  guint32 host_address; /* host byte order; 127.0.0.1 when the file left it out */
  guint16 host_port;
  guint32 guest_address; /* host byte order; 0: the guest's DHCP address */
  guint16 guest_port;
} AlcoveForward;

typedef struct
{
  AlcoveDeviceConfig base;
  AlcoveNicBackend backend;
  guint8 mac[6];    /* from the file, or derived from uuid and name */
  GArray *forwards; /* of AlcoveForward, never NULL */
  char *ifname;     /* (nullable) tap: the interface, up to 15 characters */
  gboolean vhost;   /* tap: use /dev/vhost-net when it can be opened */
} AlcoveNicConfig;

typedef enum
{
  ALCOVE_DISPLAY_VIRTIO_VGA,
  ALCOVE_DISPLAY_VGA,
  ALCOVE_DISPLAY_NONE,
} AlcoveDisplayType;

typedef struct
{
  AlcoveDeviceConfig base;
  AlcoveDisplayType type;
  guint width, height; /* device pixels, the preferred mode at start */
} AlcoveDisplayConfig;

typedef enum
{
  ALCOVE_CHAR_CONSOLE, /* kept by the VMM, reached with OpenConsole */
  ALCOVE_CHAR_NULL,
  ALCOVE_CHAR_FILE,
  ALCOVE_CHAR_STDIO,
} AlcoveCharBackend;

/* [serial NAME]: a 16550; [console NAME]: a virtio console port. */
typedef struct
{
  AlcoveDeviceConfig base; /* console: address of the virtio-serial device on the first group */
  AlcoveCharBackend backend;
  char *file; /* FILE: absolute path */
  guint port; /* serial: COM port 1..4, assigned in file order when left out */
} AlcoveCharConfig;

typedef enum
{
  ALCOVE_INPUT_KEYBOARD,
  ALCOVE_INPUT_TABLET,
  ALCOVE_INPUT_MOUSE,
} AlcoveInputType;

typedef struct
{
  AlcoveDeviceConfig base;
  AlcoveInputType type;
} AlcoveInputConfig;

typedef struct
{
  AlcoveDeviceConfig base;
} AlcoveRngConfig;

/* [frames NAME]: memory that guest and host share, for the pictures of a passed-through GPU
 * (Looking Glass). Size 0: what its client needs for width x height. */
typedef struct
{
  AlcoveDeviceConfig base;
  guint size;          /* MiB, a power of two; 0: by the mode */
  guint width, height; /* the largest mode, in pixels */
} AlcoveFramesConfig;

/* [scsi NAME]: the controller that disks and cdroms of bus=scsi are on. Without the group there is
 * one when such a disk is; with it there is one in any case, for what is plugged in later. */
typedef struct
{
  AlcoveDeviceConfig base;
  guint queues; /* 0: as many as vCPUs, at most 4 */
} AlcoveScsiConfig;

/* What is done about graphics that Intel builds into processors. */
typedef enum
{
  ALCOVE_IGD_ON,
  ALCOVE_IGD_OFF,
  ALCOVE_IGD_LEGACY
} AlcoveIgd;

/* [pci NAME]: a PCI function of the host, passed through. Functions of one card of the host sit in one
 * slot of the guest. */
typedef struct
{
  AlcoveDeviceConfig base;
  char *host;     /* "0000:01:00.0", or the UUID of a mediated device */
  gboolean rom;   /* show the card's start-up program */
  char *rom_file; /* (nullable) absolute path: this one instead */
  gboolean vga;   /* the legacy VGA ports and memory are this card's */
  AlcoveIgd igd;  /* of other devices without a meaning */
  char *vf_token; /* (nullable) UUID */
} AlcovePciConfig;

typedef enum
{
  ALCOVE_LISTEN_NONE,
  ALCOVE_LISTEN_UNIX,
  ALCOVE_LISTEN_TCP
} AlcoveListenKind;

typedef struct
{
  AlcoveListenKind kind;
  char *path;   /* UNIX: absolute path */
  char *host;   /* TCP: an address */
  guint16 port; /* TCP */
} AlcoveListen;

typedef struct
{
  AlcoveDeviceConfig base;
  AlcoveListen listen;
  char *password_file;             /* (nullable) absolute path; TCP needs it */
  char *tls_certificate, *tls_key; /* (nullable) PEM, absolute paths; TCP off loopback needs them */
} AlcoveSpiceConfig;

/* [snapshots]: automatic ones while the machine runs. */
typedef struct
{
  AlcoveDeviceConfig base;
  guint every; /* minutes between them; 0: none */
  guint keep;  /* how many at most: the oldest automatic ones go first */
} AlcoveSnapshotsConfig;

#define ALCOVE_TYPE_DEFINITION (alcove_definition_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveDefinition, alcove_definition, ALCOVE, DEFINITION, GObject)

/**
 * alcove_definition_load:
 * @path: the file (a machine.conf, or any file given to `alcove-vmm --conf`)
 *
 * Returns: (transfer full): the definition. Errors: G_FILE_ERROR when it cannot be read;
 * ALCOVE_ERROR_INVALID with one "FILE:LINE: [GROUP] KEY: ..." line for each mistake.
 */
AlcoveDefinition *alcove_definition_load (const char *path, GError **error);
/* The same from memory. path: (nullable) what relative file names are relative to the folder of,
 * and where save writes. */
AlcoveDefinition *
alcove_definition_new_from_text (const char *text, gssize length, const char *path, GError **error);

/**
 * alcove_definition_create:
 *
 * Writes the text to a file that is not there yet, of a machine that nobody else knows: made, copied,
 * imported. What is there is changed by an AlcoveDefinitionEdit (definition-edit.h). Errors: G_FILE_ERROR.
 */
gboolean alcove_definition_create (AlcoveDefinition *self, GError **error);
/* TRUE when the text differs from what was loaded or saved last. */
gboolean alcove_definition_is_modified (AlcoveDefinition *self);

const char *alcove_definition_get_path (AlcoveDefinition *self);   /* (nullable) */
const char *alcove_definition_get_folder (AlcoveDefinition *self); /* (nullable) */
char *alcove_definition_to_text (AlcoveDefinition *self);          /* (transfer full) */

const AlcoveMachineConfig *alcove_definition_get_machine (AlcoveDefinition *self);
/* Each: devices in file order; ret_n their number. Never NULL with ret_n > 0. */
const AlcoveDiskConfig *const *alcove_definition_get_disks (AlcoveDefinition *self, guint *ret_n);
const AlcoveDiskConfig *const *alcove_definition_get_cdroms (AlcoveDefinition *self, guint *ret_n);
const AlcoveNicConfig *const *alcove_definition_get_nics (AlcoveDefinition *self, guint *ret_n);
const AlcoveDisplayConfig *const *alcove_definition_get_displays (AlcoveDefinition *self,
                                                                  guint *ret_n);
const AlcoveCharConfig *const *alcove_definition_get_serials (AlcoveDefinition *self, guint *ret_n);
const AlcoveCharConfig *const *alcove_definition_get_consoles (AlcoveDefinition *self,
                                                               guint *ret_n);
const AlcoveInputConfig *const *alcove_definition_get_inputs (AlcoveDefinition *self, guint *ret_n);
const AlcoveRngConfig *const *alcove_definition_get_rngs (AlcoveDefinition *self, guint *ret_n);
const AlcovePciConfig *const *alcove_definition_get_pcis (AlcoveDefinition *self, guint *ret_n);
const AlcoveFramesConfig *const *alcove_definition_get_frames (AlcoveDefinition *self,
                                                               guint *ret_n);
/* (nullable) */
const AlcoveScsiConfig *alcove_definition_get_scsi (AlcoveDefinition *self);
const AlcoveSpiceConfig *alcove_definition_get_spice (AlcoveDefinition *self); /* (nullable) */
const AlcoveSnapshotsConfig *
alcove_definition_get_snapshots (AlcoveDefinition *self); /* (nullable) */
/* All devices (no machine, spice or snapshots) in file order. */
const AlcoveDeviceConfig *const *alcove_definition_get_devices (AlcoveDefinition *self,
                                                                guint *ret_n);

/**
 * alcove_definition_get_boot_order:
 *
 * Returns: (transfer container): devices to boot from, first first, @ret_n of them: those with a
 * boot-index by that; when none has one, disks, cdroms, nics, each in file order.
 */
const AlcoveDeviceConfig **alcove_definition_get_boot_order (AlcoveDefinition *self, guint *ret_n);

/* TRUE when the disk has a PCI function of its own or is the first of those that share one: then
 * its address is the function's. */
gboolean alcove_definition_disk_has_address (AlcoveDefinition *self, const AlcoveDiskConfig *disk);
/* The namespace of an NVMe disk: its key, or the lowest number that is free; 0 for other disks. */
guint alcove_definition_get_nsid (AlcoveDefinition *self, const AlcoveDiskConfig *disk);
/* The name of the controller of an NVMe disk: its key, or the disk's own name. */
const char *alcove_disk_get_controller (const AlcoveDiskConfig *disk);
/* The first port, "03:00.0", that no device has; address->set is FALSE when there is none. */
void alcove_definition_find_free_port (AlcoveDefinition *self, AlcovePciAddress *address);

/* Edits. Each checks the whole result first and changes nothing when it is not valid (errors as
 * load). group: "machine", "disk system"... value: (nullable) removes the key. */
gboolean alcove_definition_set_value (
    AlcoveDefinition *self, const char *group, const char *key, const char *value, GError **error);
gboolean alcove_definition_remove_group (AlcoveDefinition *self, const char *group, GError **error);
/* Several edits that are valid only together: take a copy of the text, edit it, put it back.
 * file: (transfer full), also on error. */
AlcoveConfFile *alcove_definition_dup_conf (AlcoveDefinition *self);
gboolean alcove_definition_take_conf (AlcoveDefinition *self, AlcoveConfFile *file, GError **error);

/**
 * alcove_definition_assign:
 *
 * Writes into the text what must not move later and is not there: a free PCI address for each
 * device on PCI that has none, the MAC address of each NIC, the namespace of each NVMe disk. Addresses already there are kept; a
 * removed device leaves its slot empty until a new device takes it. Does not save.
 * Errors: ALCOVE_ERROR_FAILED when the bus is full.
 */
gboolean alcove_definition_assign (AlcoveDefinition *self, GError **error);

/* (transfer full): the value a key has in the text or by default, NULL for an unknown key and for
 * one that is not given and has no default. */
char *alcove_definition_dup_value (AlcoveDefinition *self, const char *group, const char *key);

/* "00:03.0". ret: may be NULL to check only. */
gboolean alcove_pci_address_parse (const char *text, AlcovePciAddress *ret);
char *alcove_pci_address_to_string (const AlcovePciAddress *address); /* (transfer full) */
/* "2048", "2048M", "2 GiB"; plain numbers are MiB. Errors: ALCOVE_ERROR_INVALID. */
gboolean alcove_parse_mib (const char *text, guint64 *ret_mib, GError **error);
/* "52:54:00:12:34:56", unicast and not zero. */
gboolean alcove_mac_parse (const char *text, guint8 ret[6]);
char *alcove_mac_to_string (const guint8 mac[6]); /* (transfer full) */
/* A locally administered unicast address that stays the same for one machine and NIC name. */
void alcove_mac_derive (const char *uuid, const char *nic_name, guint8 ret[6]);
/* TRUE for a device name: lower case letters, digits, "-", "_", ".", a letter or digit first, at
 * most 32 characters. */
gboolean alcove_device_name_is_valid (const char *name);
