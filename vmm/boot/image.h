/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Direct boot: a kernel started without firmware. The protocol is chosen by content: Linux bzImage
 * (boot protocol 2.12 or later, 64-bit entry), multiboot 1, ELF with a PVH entry note.
 *
 * vmm_boot_image_new opens all files, reads and vets their headers (they are untrusted) and keeps
 * the descriptors, so it comes before the process confines itself; the bulk of a kernel stays in
 * its file. vmm_boot_image_load, a VmmBootFunc, writes everything into guest memory, at start and
 * at each reset; a file that became shorter meanwhile is an error there.
 *
 * Owner: the caller; it outlives the machine's runs. Threads: control thread. */
#pragma once
#include "vmm/boot/e820.h"
#include "vmm/vm.h"

typedef struct _VmmBootImage VmmBootImage;

typedef enum
{
  VMM_BOOT_LINUX,
  VMM_BOOT_PVH,
  VMM_BOOT_MULTIBOOT,
} VmmBootProtocol;

typedef struct
{
  const char *kernel; /* path */
  /* (nullable) path of the initial RAM disk. Multiboot: modules, "path[ words],path[ words]…"; a
   * comma inside a path is written twice. */
  const char *initrd;
  const char *cmdline; /* (nullable) */
} VmmBootFiles;

/* Errors (file, fault and remedy named): NOT_FOUND, PERMISSION, INVALID (malformed, or no kernel of
 * a kind above), NOT_SUPPORTED (32-bit or too old kernels, compressed vmlinux). */
VmmBootImage *vmm_boot_image_new (const VmmBootFiles *files, GError **error);
void vmm_boot_image_free (VmmBootImage *image);
VmmBootProtocol vmm_boot_image_get_protocol (VmmBootImage *image);

typedef struct
{
  VmmE820Layout layout;
  /* (nullable) Writes ACPI and SMBIOS (q35_board_place_acpi); ret_rsdp is 0 without tables. */
  gboolean (*place_tables) (VmmMachine *machine,
                            VmmGpa *ret_rsdp,
                            gpointer user_data,
                            GError **error);
  gpointer user_data;
} VmmBootPlatform;

/* Copied. To be set before the first load. */
void vmm_boot_image_set_platform (VmmBootImage *image, const VmmBootPlatform *platform);

/* A VmmBootFunc; image is the VmmBootImage. Errors: NO_MEMORY when the images do not fit into the
 * machine's RAM (says how much it takes), INVALID when a file changed.
 *
 * Entry states (VmmEntry): selector 0x10 is flat code (64-bit for LINUX64, else 32-bit), 0x18 flat
 * data, both in the table at entry.gdt (4 entries, limit 31). */
gboolean
vmm_boot_image_load (VmmMachine *machine, VmmEntry *ret_entry, gpointer image, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmBootImage, vmm_boot_image_free)
