/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Machines of other programs: first a look (AlcoveImport: what the machine would be, and what of it
 * will be lost or changed), shown to people before anything is done; then the run, which makes a new
 * machine folder with disks of our own, or nothing at all.
 *
 * Understood: OVA and OVF, libvirt domain XML (so also GNOME Boxes and virt-manager), quickemu .conf,
 * bare disk images. Everything in them is hostile: no path leaves the document's folder or archive
 * (libvirt documents name files of this computer by their nature; the report shows each), sizes are
 * capped, checksums are compared.
 *
 * Threads: open and run block, on any thread; the _async functions work on a GTask thread and answer
 * on the caller's main context. An AlcoveImport is not changed after open. */
#pragma once
#include "app/create.h"
#include "devices/backends/block/image.h"

typedef enum
{
  ALCOVE_FINDING_NOTE,    /* good to know */
  ALCOVE_FINDING_CHANGED, /* will be something else */
  ALCOVE_FINDING_LOST,    /* will not be there */
} AlcoveFindingKind;
/* "note", "changed", "lost" */
const char *alcove_finding_kind_to_string (AlcoveFindingKind kind);
typedef struct
{
  AlcoveFindingKind kind;
  char *what;    /* "Sound card (ich9)" */
  char *meaning; /* a sentence */
} AlcoveFinding;
/* (transfer full) of AlcoveFinding. */
GPtrArray *alcove_findings_new (void);
void alcove_findings_add (GPtrArray *findings,
                          AlcoveFindingKind kind,
                          const char *what,
                          const char *format,
                          ...) G_GNUC_PRINTF (4, 5);

typedef struct
{
  char *source; /* a path, or the name in the archive */
  gboolean in_archive;
  BlockFormat format;
  guint64 size;       /* of the disk, bytes; 0: known when it is read */
  guint64 file_bytes; /* in_archive */
  char *bus;          /* (nullable) as the document calls it: "sata", "scsi", "virtio"... */
  gboolean readonly;
} AlcoveImportDisk;

/* "vmdk"; for the window, which does not see the block layer. */
const char *alcove_import_disk_get_format (const AlcoveImportDisk *disk);

typedef struct
{
  gboolean has_mac;
  guint8 mac[6];
  char *forwards; /* (nullable) value of the key "forward" */
} AlcoveImportNic;

typedef struct
{
  char *path;       /* of the document */
  const char *kind; /* "OVA", "OVF", "libvirt", "quickemu", "disk" */
  char *title;
  char *os; /* (nullable) */
  guint64 memory_mib;
  guint cpus, sockets, cores, threads; /* topology: all 0 when not said */
  AlcoveFirmware firmware;
  gboolean local_time;
  gboolean no_display;
  GPtrArray *disks;    /* of AlcoveImportDisk, the one to boot from first */
  GPtrArray *cdroms;   /* of char *: paths, used where they are */
  GPtrArray *nics;     /* of AlcoveImportNic */
  GPtrArray *findings; /* of AlcoveFinding, gravest first */
  GHashTable *sums;    /* (nullable) OVA, OVF: file name to "SHA256:hex" */
} AlcoveImport;

/**
 * alcove_import_open:
 * @path: the document or image, or the name of a GNOME Boxes machine
 * @format: (nullable): a bare image's format; NULL: what its contents look like, said in a finding
 *
 * Returns: (transfer full): what it would become. Nothing is written. Errors: ALCOVE_ERROR_INVALID or
 * NOT_SUPPORTED with cause and remedy, G_FILE_ERROR.
 */
AlcoveImport *alcove_import_open (const char *path, const char *format, GError **error);
void alcove_import_free (AlcoveImport *import);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AlcoveImport, alcove_import_free)

/* (transfer full) of char *: names of the GNOME Boxes machines of this user. */
GPtrArray *alcove_import_list_boxes (void);

typedef struct
{
  const char *machines;    /* folder of the machines */
  const char *name;        /* (nullable) another name than the document's */
  BlockFormat disk_format; /* raw or qcow2 */
} AlcoveImportSpec;

/**
 * alcove_import_run:
 *
 * Makes the machine. Returns: (transfer full): its folder. Errors: VMM_ERROR_CANCELLED when progress
 * asked for the end; a checksum that is wrong; anything of reading and writing. Then nothing is left.
 */
char *alcove_import_run (const AlcoveImport *import,
                         const AlcoveImportSpec *spec,
                         const BlockProgress *progress,
                         GError **error);

/* The same off the main thread. import: must stay until the callback. */
void alcove_import_open_async (const char *path,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data);
AlcoveImport *alcove_import_open_finish (GAsyncResult *result, GError **error);
void alcove_import_run_async (const AlcoveImport *import,
                              const AlcoveImportSpec *spec,
                              AlcoveProgressFunc progress,
                              gpointer progress_data,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data);
/* (transfer full): the machine's folder. */
char *alcove_import_run_finish (GAsyncResult *result, GError **error);
