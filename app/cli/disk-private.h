/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the verbs of "alcove disk" share: which image is meant, progress, Ctrl-C. */
#pragma once
#include <signal.h>
#include "app/cli/cli-private.h"
#include "app/disk-tools.h"
#include "app/lock.h"

/* An image: FILE with --format, NAME DISK, or NAME alone for a machine with one disk. */
typedef struct
{
  char *path;
  BlockFormat format;
  AlcoveLock *lock; /* (nullable) the machine's, while it is changed */
} CliDisk;

/* words: 1 or 2 of them. format: (nullable) what --format says. writable: the machine's lock is
 * taken. FALSE: it was said why, *ret_status. */
gboolean cli_disk_find (Cli *cli,
                        char **words,
                        guint n_words,
                        const char *format,
                        gboolean writable,
                        CliDisk *ret,
                        int *ret_status);
void cli_disk_clear (CliDisk *disk);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CliDisk, cli_disk_clear)

/* word: (nullable). FALSE: unknown; said. */
gboolean cli_disk_parse_format (Cli *cli, const char *word, BlockFormat *ret, int *ret_status);
/* "4G", "512M"; plain numbers are MiB. In bytes. */
gboolean cli_disk_parse_size (Cli *cli, const char *text, guint64 *ret_bytes, int *ret_status);

/* Between begin and end Ctrl-C and SIGTERM end the work cleanly rather than the program, and a
 * terminal shows how far it is. */
typedef struct
{
  BlockProgress progress;
  sigset_t signals, saved;
  gboolean terminal, shown, cancelled;
} CliWork;
void cli_work_begin (CliWork *work);
void cli_work_end (CliWork *work);
/* TRUE once a signal came. */
gboolean cli_work_is_cancelled (CliWork *work);

/* The verbs of disk. argv[0] is "disk". */
int cli_disk_add (Cli *cli, int argc, char **argv);
int cli_disk_remove (Cli *cli, int argc, char **argv);
int cli_disk_create (Cli *cli, int argc, char **argv);
int cli_disk_info (Cli *cli, int argc, char **argv);
int cli_disk_check (Cli *cli, int argc, char **argv);
int cli_disk_repair (Cli *cli, int argc, char **argv);
int cli_disk_resize (Cli *cli, int argc, char **argv);
int cli_disk_convert (Cli *cli, int argc, char **argv);
int cli_disk_compact (Cli *cli, int argc, char **argv);
int cli_disk_compare (Cli *cli, int argc, char **argv);
int cli_disk_map (Cli *cli, int argc, char **argv);
int cli_disk_backup (Cli *cli, int argc, char **argv);
int cli_disk_rebase (Cli *cli, int argc, char **argv);
int cli_disk_commit (Cli *cli, int argc, char **argv);
