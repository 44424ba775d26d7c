/* SPDX-License-Identifier: GPL-3.0-or-later */
/* VMDK, inside of this folder: the descriptor (text) and the sparse extents are read apart. */
#pragma once
#include "devices/backends/block/foreign-private.h"

#define VMDK_FORMAT          "VMDK"
#define VMDK_SECTOR          512
#define VMDK_EXTENTS_MAX     512
#define VMDK_DESCRIPTOR_MAX  (1 << 20)
#define VMDK_TABLES_MAX      16          /* grain tables kept in memory for each extent */
#define VMDK_SPARSE_MAGIC    0x564d444bu /* "KDMV" */
#define VMDK_ESX_MAGIC       0x44574f43u /* "COWD" */
#define VMDK_SESPARSE_MAGIC  0xcafebabeu
#define VMDK_DESCRIPTOR_MARK "# Disk DescriptorFile"

typedef enum
{
  VMDK_EXTENT_FLAT,
  VMDK_EXTENT_SPARSE,
  VMDK_EXTENT_ZERO,
} VmdkExtentKind;

/* One line of a descriptor. */
typedef struct
{
  VmdkExtentKind kind;
  guint64 sectors;
  guint64 offset_sectors; /* FLAT: where it begins in the file */
  char *name;             /* (nullable) ZERO has none; as written: not checked */
} VmdkExtentLine;

typedef struct
{
  char *create_type; /* (nullable) */
  char *parent_cid;  /* (nullable) */
  GPtrArray *lines;  /* of VmdkExtentLine */
} VmdkDescriptor;

/* text: length bytes, any. Errors: what cannot be read is named. file: for messages. */
gboolean vmdk_descriptor_parse (
    VmdkDescriptor *descriptor, const char *text, gsize length, BlockFile *file, GError **error);
void vmdk_descriptor_clear (VmdkDescriptor *descriptor);

/* A sparse extent's header and directory. */
typedef struct
{
  BlockFile *file; /* (transfer none) */
  guint64 size;    /* bytes of the disk that it holds */
  guint64 grain_size;
  guint32 n_entries;      /* of a grain table */
  guint32 n_tables;       /* of the directory */
  guint8 *directory;      /* n_tables 32-bit sector numbers */
  guint64 descriptor_at;  /* bytes, 0: none inside */
  guint64 descriptor_len; /* bytes */
  gboolean compressed, zero_grains;
  GMutex lock;
  struct
  {
    guint32 index; /* of the directory */
    guint8 *table; /* NULL: free */
  } tables[VMDK_TABLES_MAX];
} VmdkSparse;

VmdkSparse *vmdk_sparse_open (BlockFile *file, GError **error);
void vmdk_sparse_free (VmdkSparse *sparse);
/* offset: below size. */
int vmdk_sparse_find (VmdkSparse *sparse, guint64 offset, BlockForeignRun *ret_run);
/* Unpacks the grain at file_offset; buffer has grain_size bytes. */
int vmdk_sparse_read_grain (VmdkSparse *sparse, guint64 file_offset, guint8 *buffer);
