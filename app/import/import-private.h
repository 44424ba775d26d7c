/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
#include <libxml/tree.h>
#include "app/import/import.h"

#define IMPORT_DOCUMENT_MAX (4u << 20) /* bytes of an XML document, a manifest, a .conf */
#define IMPORT_DISKS_MAX    16
#define IMPORT_CDROMS_MAX   4
#define IMPORT_NICS_MAX     8

/* Readers: fill an import whose lists are empty. text: length bytes, NUL-terminated. */
gboolean import_read_libvirt (AlcoveImport *import, const char *text, gsize length, GError **error);
gboolean
import_read_quickemu (AlcoveImport *import, const char *text, gsize length, GError **error);
/* Files of the archive: name to size (guint64 *); NULL: they lie beside the document. */
gboolean import_read_ovf (
    AlcoveImport *import, const char *text, gsize length, GHashTable *members, GError **error);
gboolean import_read_ova (AlcoveImport *import, GError **error);

/* text: of a manifest (DSP0243 1.1, 5.1). Fills import->sums. */
gboolean import_read_manifest (AlcoveImport *import, const char *text, GError **error);
/* TRUE also when no sum is known. hash: what import_hash_new made for that name, (nullable). */
GChecksum *import_hash_new (const AlcoveImport *import, const char *name);
gboolean
import_hash_check (const AlcoveImport *import, const char *name, GChecksum *hash, GError **error);
/* Takes a member out of the archive into a new file. */
gboolean import_extract (const AlcoveImport *import,
                         const char *member,
                         const char *to,
                         const BlockProgress *progress,
                         GError **error);

AlcoveImportDisk *import_add_disk (AlcoveImport *import, const char *source, const char *bus);
AlcoveImportNic *import_add_nic (AlcoveImport *import);
void import_set_memory (AlcoveImport *import, guint64 mib);
void import_set_cpus (AlcoveImport *import, guint64 n);
/* A host file as a disk: its format is named by word (NULL: looked at). Says what is amiss. */
void import_add_file_disk (AlcoveImport *import,
                           const char *path,
                           const char *format_word,
                           const char *bus,
                           gboolean readonly);
/* The disk of an appliance, which comes from anywhere: an image that takes its contents from further
 * files could name any file of this computer. path: where it lies now; name: for people. */
gboolean import_check_alone (const AlcoveImport *import,
                             const char *path,
                             const char *name,
                             BlockFormat format,
                             GError **error);
/* TRUE for a file name without any folder. */
gboolean import_name_is_plain (const char *name);
gboolean import_set_invalid (GError **error, const char *path, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/* Says which disks get another controller. */
void import_note_buses (AlcoveImport *import);

/* XML, without network, external entities or document types. (transfer full): xmlFreeDoc. */
xmlDoc *import_xml_parse (const char *path, const char *text, gsize length, GError **error);
/* Names are compared without their namespace. */
xmlNode *import_xml_child (xmlNode *node, const char *name);
xmlNode *import_xml_next (xmlNode *node, const char *name);
gboolean import_xml_is (xmlNode *node, const char *name);
char *import_xml_attribute (xmlNode *node,
                            const char *name); /* (nullable) (transfer full): g_free */
char *import_xml_text (xmlNode *node);         /* (nullable) (transfer full), stripped */
/* Text of the child of that name. */
char *import_xml_child_text (xmlNode *node, const char *name);
