/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Finds firmware images by the descriptor files that distributions install for QEMU (QEMU,
 * docs/interop/firmware.json), and, where a distribution describes none, at well-known paths.
 *
 * Directories, strongest first: $XDG_CONFIG_HOME/qemu/firmware, /etc/qemu/firmware,
 * /usr/local/share/qemu/firmware, /usr/share/qemu/firmware. Files are taken in the order of their
 * names; a file hides those of the same name in weaker directories, an empty one hides them without
 * replacement. Descriptors are read as untrusted: 64 KiB and 16 levels at most.
 * Threads: any; reads files, so not after confinement. */
#pragma once
#include <glib.h>
#include "vmm/error.h"

typedef enum
{
  VMM_FIRMWARE_UEFI,
  VMM_FIRMWARE_BIOS,
} VmmFirmwareKind;

typedef enum
{
  VMM_SECURE_BOOT_ANY,      /* first without, then with */
  VMM_SECURE_BOOT_OFF,      /* images without the feature only */
  VMM_SECURE_BOOT_REQUIRED, /* images with the feature only */
} VmmSecureBoot;

typedef struct
{
  VmmFirmwareKind kind;
  VmmSecureBoot secure_boot;
  gboolean smm; /* the machine has system management mode; otherwise requires-smm is refused */
  /* (nullable) NULL-terminated, strongest first, instead of the directories above. */
  const char *const *directories;
  /* (nullable) put before every well-known path (tests). */
  const char *root;
} VmmFirmwareQuery;

typedef struct
{
  VmmFirmwareKind kind;
  char *code;          /* path: flash image (UEFI) or memory image (BIOS) */
  char *vars_template; /* (nullable) path: UEFI variable store to copy; NULL: stateless */
  char *description;   /* for people */
  char *descriptor;    /* (nullable) path of the descriptor; NULL: a well-known path */
  gboolean secure_boot, enrolled_keys;
} VmmFirmware;

/* The first that fits. Errors: NOT_FOUND names the package to install, and what was seen and refused
 * (why). */
VmmFirmware *vmm_firmware_find (const VmmFirmwareQuery *query, GError **error);
/* All that fit, best first, (element-type VmmFirmware) (transfer full); may be empty. */
GPtrArray *vmm_firmware_list (const VmmFirmwareQuery *query);
void vmm_firmware_free (VmmFirmware *firmware);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmFirmware, vmm_firmware_free)
