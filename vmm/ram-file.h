/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The file that holds a machine's RAM.
 *
 * Every page of a block has one fixed place, so that pages can be written in any order, by several
 * threads, directly and again, and a restore can map the file. Pages of zeroes are not written: the
 * file is sparse. All integers are little endian.
 *
 *   header  0     8  magic "ALCOVRAM"
 *           8     4  format version (1)
 *          12     4  page size (4096)
 *          16    16  id of the save, the same as in its state file
 *          32     4  number of blocks (1..VMM_RAM_FILE_MAX_BLOCKS)
 *          36     4  CRC32C of the page table
 *          40     8  offset of the page table (4096), 48 8 its length in bytes
 *          56     8  length of the file in bytes
 *          64        blocks, 96 bytes each: name (64 bytes, ends with zeroes), 64 8 size in bytes,
 *                    72 8 offset of its data (multiple of 2 MiB), 80 zeroes
 *        4092     4  CRC32C of bytes 0..4091
 *   table   4096     4 bytes a page, block after block: 0: all zeroes; else the page's CRC32C (a CRC
 *                    of 0 is written as 1)
 *   data             each block's pages
 *
 * The header is written last: a file without one is not a saved machine.
 * Threads: a writer's put may run on several threads for different pages, and in a forked child
 * (it calls only what is async-signal-safe). The rest: one thread. */
#pragma once
#include <glib.h>
#include "vmm/error.h"

#define VMM_RAM_FILE_PAGE       4096u
#define VMM_RAM_FILE_ALIGN      (G_GUINT64_CONSTANT (2) << 20) /* of each block's data */
#define VMM_RAM_FILE_MAX_BLOCKS 32
#define VMM_RAM_FILE_NAME_SIZE  64
#define VMM_RAM_FILE_MAX_SIZE   (G_GUINT64_CONSTANT (1) << 46) /* bytes of all blocks */

typedef struct
{
  char name[VMM_RAM_FILE_NAME_SIZE];
  guint64 size;   /* bytes, multiple of the page size */
  guint64 offset; /* of its data in the file; set by the writer */
} VmmRamFileBlock;

typedef struct _VmmRamWriter VmmRamWriter;

/* Makes the file, which must not exist. blocks: n, names unique. Errors name the path. */
VmmRamWriter *vmm_ram_writer_new (
    const char *path, const guint8 id[16], const VmmRamFileBlock *blocks, guint n, GError **error);
/* Writes n pages of a block from data, the first being page first. -errno or 0. */
int vmm_ram_writer_put (
    VmmRamWriter *writer, guint block, guint64 first, gconstpointer data, guint64 n);
/* Table and header, then everything to stable storage. */
gboolean vmm_ram_writer_finish (VmmRamWriter *writer, GError **error);
/* Bytes of RAM that are in the file. */
guint64 vmm_ram_writer_get_stored (VmmRamWriter *writer);
/* The file, for a child that closes all others. */
int vmm_ram_writer_get_fd (VmmRamWriter *writer);
void vmm_ram_writer_free (VmmRamWriter *writer);

typedef struct _VmmRamReader VmmRamReader;

/* Checks header and table whole. fd: (transfer full) in every case. max_size: more bytes of RAM than
 * this are refused before anything is allocated. Errors: INVALID says what is wrong. */
VmmRamReader *vmm_ram_reader_new (int fd, guint64 max_size, GError **error);
void vmm_ram_reader_free (VmmRamReader *reader);
const guint8 *vmm_ram_reader_get_id (VmmRamReader *reader); /* 16 bytes */
guint vmm_ram_reader_get_n_blocks (VmmRamReader *reader);
const VmmRamFileBlock *vmm_ram_reader_get_block (VmmRamReader *reader, guint block);
/* One entry a page of the block. */
const guint32 *vmm_ram_reader_get_table (VmmRamReader *reader, guint block);
int vmm_ram_reader_get_fd (VmmRamReader *reader);
/* Reads pages that are in the file into data and checks them; pages of zeroes are not touched in
 * data. Errors: INVALID when a page is not what was written, or the file is too short. */
gboolean vmm_ram_reader_read (
    VmmRamReader *reader, guint block, guint64 first, gpointer data, guint64 n, GError **error);

/* TRUE when a page's bytes are all zero. */
gboolean vmm_ram_page_is_zero (gconstpointer page);
/* What the table says of a page that is not all zeroes. */
guint32 vmm_ram_page_check (gconstpointer page);
