/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside vmm/boot: what the loaders of direct boot share. A loader's probe reads headers from the
 * open file and fills in the image; its load writes guest memory, from the image alone. */
#pragma once
#include "vmm/boot/image.h"

#define VMM_BOOT_MAX_SEGMENTS 32
#define VMM_BOOT_MAX_MODULES  16
#define VMM_BOOT_HEAD_SIZE    16384 /* bytes read for the probes */
#define VMM_BOOT_MAX_CMDLINE  16384 /* bytes with the terminating zero */

/* What direct boot puts into conventional memory, below the extended BIOS data area. */
#define VMM_BOOT_DATA_BASE   0x90000
#define VMM_BOOT_GDT         0x90000
#define VMM_BOOT_INFO        0x91000 /* boot_params, start_info or multiboot information */
#define VMM_BOOT_PAGE_TABLES 0x92000 /* 6 pages: identity map of 4 GiB */
#define VMM_BOOT_STACK       0x99000 /* top */
#define VMM_BOOT_LISTS       0x99000 /* memory map and modules, 8 KiB */
#define VMM_BOOT_LISTS_END   0x9b000
#define VMM_BOOT_STRINGS     0x9b000
#define VMM_BOOT_DATA_END    0x9f000

G_STATIC_ASSERT (VMM_BOOT_STRINGS + VMM_BOOT_MAX_CMDLINE <= VMM_BOOT_DATA_END);

typedef struct
{
  guint64 file_offset, file_size; /* bytes, inside the file */
  guint64 gpa, mem_size;          /* mem_size >= file_size: the rest is zeroed */
} VmmBootSegment;

typedef struct
{
  char *path;
  int fd;
  guint64 size;
} VmmBootFile;

typedef struct
{
  VmmBootFile file;
  char *string; /* multiboot: the module's words, path first */
} VmmBootModule;

struct _VmmBootImage
{
  VmmBootProtocol protocol;
  const struct _VmmBootLoader *loader;
  VmmBootFile kernel;
  char *cmdline;   /* never NULL */
  guint n_modules; /* Linux and PVH: 0 or 1, the initial RAM disk */
  VmmBootModule modules[VMM_BOOT_MAX_MODULES];
  VmmBootPlatform platform;

  /* The first bytes of the file; only while probing. */
  guint8 *head;
  gsize head_size;

  /* What the probe found. */
  guint n_segments;
  VmmBootSegment segments[VMM_BOOT_MAX_SEGMENTS];
  guint64 entry;     /* ELF and multiboot: physical address */
  guint64 pvh_entry; /* from the note; PVH only */
  guint8 linux_header[0x290 - 0x1f1];
  gsize linux_header_size;
  guint64 linux_setup_size, linux_payload_size;
};

typedef enum
{
  VMM_BOOT_PROBE_NO,    /* another kind of file */
  VMM_BOOT_PROBE_YES,   /* image filled in */
  VMM_BOOT_PROBE_ERROR, /* of this kind, but faulty: error set */
} VmmBootProbe;

typedef struct
{
  VmmBootImage *image;
  VmmGuestMemory *memory;
  VmmE820 map;
  guint64 low_end; /* first byte of low RAM that is not free for images (tables follow) */
  VmmGpa rsdp;     /* 0: none */
  VmmEntry *entry;
} VmmBootLoad;

typedef struct _VmmBootLoader
{
  VmmBootProtocol protocol;
  VmmBootProbe (*probe) (VmmBootImage *image, GError **error);
  gboolean (*load) (VmmBootLoad *load, GError **error);
} VmmBootLoader;

extern const VmmBootLoader vmm_boot_linux;
extern const VmmBootLoader vmm_boot_pvh;
extern const VmmBootLoader vmm_boot_multiboot;

/* Errors. All return FALSE and name the kernel's file. */
gboolean vmm_boot_invalid (VmmBootImage *image, GError **error, const char *format, ...)
    G_GNUC_PRINTF (3, 4);
gboolean vmm_boot_no_room (VmmBootLoad *load, GError **error, const char *what, guint64 needed);

/* Little-endian reads of a buffer the caller has bounded. */
static inline guint64
vmm_boot_le (const guint8 *data, guint n)
{
  guint64 value = 0;

  for (guint i = 0; i < n; i++)
    value |= (guint64)data[i] << (8 * i);
  return value;
}

static inline void
vmm_boot_put_le (guint8 *data, guint64 value, guint n)
{
  for (guint i = 0; i < n; i++)
    data[i] = (guint8)(value >> (8 * i));
}

/* Exactly length bytes at offset, or an error naming the file. */
gboolean vmm_boot_file_read (
    const VmmBootFile *file, guint64 offset, void *buffer, gsize length, GError **error);
/* The same, into guest memory. The range must be RAM. */
gboolean vmm_boot_file_to_guest (VmmBootLoad *load,
                                 const VmmBootFile *file,
                                 guint64 offset,
                                 guint64 gpa,
                                 guint64 length,
                                 GError **error);
gboolean
vmm_boot_write (VmmBootLoad *load, guint64 gpa, const void *data, gsize length, GError **error);

/* Checks that all segments lie in free RAM and away from the boot data, and copies them. ret_end:
 * the first byte after them all. */
gboolean vmm_boot_load_segments (VmmBootLoad *load, guint64 *ret_end, GError **error);
/* The initial RAM disk, as high as allowed. min: first byte it may use; max: last byte, inclusive.
 * ret_gpa is 0 without one. */
gboolean vmm_boot_load_initrd (
    VmmBootLoad *load, guint64 min, guint64 max, guint64 *ret_gpa, GError **error);

/* Fills segments and entry from an ELF executable of either class for x86. note (nullable): called
 * for each note of each PT_NOTE segment. Returns FALSE with an error when malformed. */
typedef void (*VmmBootNoteFunc) (
    VmmBootImage *image, const char *name, guint32 type, const guint8 *desc, gsize length);
gboolean vmm_boot_elf_parse (VmmBootImage *image, VmmBootNoteFunc note, GError **error);
