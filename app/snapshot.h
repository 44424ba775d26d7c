/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Snapshots of a machine, as they lie on disk.
 *
 * A snapshot is a folder snapshots/ID in the machine's folder: snapshot.conf (this file's structs as
 * a key file), machine.conf, firmware-vars.fd, tpm/ when the machine has one, state and ram when it
 * ran, thumbnail.png. Each of its disks holds an internal snapshot with the same ID. It is
 * immutable but for name, note and parent. The file snapshots/current names the snapshot that the
 * machine's present state comes from.
 *
 * What is published has a plain name; folders whose name begins with a dot are work under way or
 * left over (snapshot-work.h). A parent that is such a folder counts as its own parent, so the tree
 * is right at every instant.
 *
 * Threads: any, one at a time for one object; reading needs no lock. */
#pragma once
#include <gio/gio.h>

#define ALCOVE_SNAPSHOTS_FOLDER   "snapshots"
#define ALCOVE_SNAPSHOT_CONF      "snapshot.conf"
#define ALCOVE_SNAPSHOT_VARS      "firmware-vars.fd"
#define ALCOVE_SNAPSHOT_TPM       "tpm"
#define ALCOVE_SNAPSHOT_THUMBNAIL "thumbnail.png"
#define ALCOVE_SNAPSHOT_NAME_MAX  128  /* bytes */
#define ALCOVE_SNAPSHOT_NOTE_MAX  4096 /* bytes */

typedef struct
{
  char *name;   /* of [disk NAME] */
  char *file;   /* relative to the machine's folder when inside, else absolute */
  char *format; /* "qcow2" */
  /* What tells this image from another one: of the internal snapshot and the image. */
  guint64 size; /* bytes of the disk then */
  gint64 time_ns;
  guint32 cluster_size;
  guint64 allocated; /* bytes the image took on the host then */
} AlcoveSnapshotDisk;

typedef struct
{
  char *id;
  char *parent; /* (nullable) id */
  char *name;
  char *note;         /* never NULL */
  gint64 time;        /* microseconds since 1970, UTC */
  gboolean automatic; /* made by itself: the cap of a schedule may delete it */
  char *reason;       /* (nullable) of an automatic one: "schedule", "revert"... */
  gboolean with_memory, quiesced;
  GPtrArray *disks;    /* of AlcoveSnapshotDisk */
  GPtrArray *excluded; /* of char *: disks that are not part of it */
  /* From the folder, not the file: */
  char *folder;    /* absolute path */
  char *problem;   /* (nullable) why it cannot be used */
  guint64 size;    /* bytes its folder takes on the host: mostly guest memory */
  guint depth;     /* 0: no parent */
  gboolean hidden; /* work under way */
} AlcoveSnapshot;

AlcoveSnapshot *alcove_snapshot_new (const char *id);
AlcoveSnapshot *alcove_snapshot_ref (AlcoveSnapshot *self);
void alcove_snapshot_unref (AlcoveSnapshot *self); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AlcoveSnapshot, alcove_snapshot_unref)
AlcoveSnapshotDisk *alcove_snapshot_disk_new (void);
void alcove_snapshot_disk_free (AlcoveSnapshotDisk *disk);

/* 1 to 64 of a-z, 0-9 and "-", not "-" first. */
gboolean alcove_snapshot_id_is_valid (const char *id);
/* (transfer full): from the time and chance. */
char *alcove_snapshot_dup_new_id (void);
/* (transfer full): the name of the state that is kept before a revert to a snapshot. */
char *alcove_snapshot_dup_kept_name (const AlcoveSnapshot *target);
/* Errors: ALCOVE_ERROR_INVALID says what is wrong with a name or note. */
gboolean alcove_snapshot_check_words (const char *name, const char *note, GError **error);

/* folder: of the snapshot. Its last part is the id, after a prefix for hidden ones. Errors:
 * ALCOVE_ERROR_INVALID with the path and what is wrong. */
AlcoveSnapshot *alcove_snapshot_read (const char *folder, const char *id, GError **error);
/* Writes snapshot.conf into self->folder. */
gboolean alcove_snapshot_write (AlcoveSnapshot *self, GError **error);
/* (transfer full): absolute. */
char *alcove_snapshot_disk_dup_path (const AlcoveSnapshotDisk *disk, const char *machine_folder);

/* A machine's tree. */
typedef struct
{
  char *folder;         /* the machine's */
  GPtrArray *snapshots; /* of AlcoveSnapshot, published: a parent comes before its children */
  GPtrArray *hidden;    /* of AlcoveSnapshot: left over */
  char *current;        /* (nullable) id: where the present state hangs */
} AlcoveSnapshots;

/* Never fails for one bad snapshot: it is listed with its problem. Errors: the folder cannot be
 * read. A missing one is an empty tree. */
AlcoveSnapshots *alcove_snapshots_load (const char *machine_folder, GError **error);
void alcove_snapshots_free (AlcoveSnapshots *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AlcoveSnapshots, alcove_snapshots_free)
/* By id, by the beginning of one, or by name when only one has it. (transfer none). Errors:
 * ALCOVE_ERROR_NOT_FOUND. */
AlcoveSnapshot *alcove_snapshots_find (AlcoveSnapshots *self, const char *what, GError **error);
/* (transfer full): "PATH/snapshots", with a name in it. name: (nullable). */
char *alcove_snapshots_dup_path (const char *machine_folder, const char *name);
gboolean
alcove_snapshots_write_current (const char *machine_folder, const char *id, GError **error);
