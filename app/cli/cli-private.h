/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the verbs share. */
#pragma once
#include <json-glib/json-glib.h>
#include "app/cli/cli.h"
#include "app/clone.h"
#include "app/definition-edit.h"
#include "app/library.h"

typedef struct _Cli Cli;

typedef struct
{
  const char *name;
  const char *arguments;   /* "NAME [FILE]", for --help */
  const char *summary;     /* one line */
  const char *description; /* (nullable) after the options in --help */
  int (*run) (Cli *cli, int argc, char **argv);
} CliVerb;

struct _Cli
{
  const CliVerb *verb;
  AlcoveCliWindow window;
  AlcoveLibrary *library; /* made when first asked for */
};

/* The verbs. argv[0] is the verb. */
int cli_check (Cli *cli, int argc, char **argv);
int cli_list (Cli *cli, int argc, char **argv);
int cli_show (Cli *cli, int argc, char **argv);
int cli_create (Cli *cli, int argc, char **argv);
int cli_delete (Cli *cli, int argc, char **argv);
int cli_disk (Cli *cli, int argc, char **argv);
int cli_export (Cli *cli, int argc, char **argv);
int cli_import (Cli *cli, int argc, char **argv);
int cli_start (Cli *cli, int argc, char **argv);
int cli_run (Cli *cli, int argc, char **argv);
int cli_stop (Cli *cli, int argc, char **argv);
int cli_pci (Cli *cli, int argc, char **argv);
int cli_pause (Cli *cli, int argc, char **argv);
int cli_resume (Cli *cli, int argc, char **argv);
int cli_save (Cli *cli, int argc, char **argv);
int cli_reset (Cli *cli, int argc, char **argv);
int cli_view (Cli *cli, int argc, char **argv);
int cli_console (Cli *cli, int argc, char **argv);
int cli_screenshot (Cli *cli, int argc, char **argv);
int cli_send_keys (Cli *cli, int argc, char **argv);
int cli_type (Cli *cli, int argc, char **argv);
int cli_snapshot (Cli *cli, int argc, char **argv);
/* Prints the new machine. */
int cli_run_clone (Cli *cli, AlcoveMachine *machine, const AlcoveCloneSpec *spec);
int cli_clone (Cli *cli, int argc, char **argv);
int cli_base (Cli *cli, int argc, char **argv);
int cli_stats (Cli *cli, int argc, char **argv);
int cli_cd (Cli *cli, int argc, char **argv);

/**
 * cli_parse:
 * @entries: (nullable): the verb's options, ended as GOption wants
 * @min, @max: number of arguments after the verb; max -1: any
 * @ret_arguments: (transfer full): the arguments, NULL-terminated; g_strfreev
 *
 * Returns: TRUE to go on; FALSE when it is over with *ret_status (--help was asked for, or a
 * mistake was named).
 */
gboolean cli_parse (Cli *cli,
                    const GOptionEntry *entries,
                    int argc,
                    char **argv,
                    int min,
                    int max,
                    GStrv *ret_arguments,
                    int *ret_status);

/* Says what is wrong and returns the exit status for it. error: (transfer full). */
int cli_fail (Cli *cli, GError *error);
int cli_usage (Cli *cli, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* A line for people on stderr. */
void cli_say (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* Runs the main context until a GAsyncReadyCallback of this kind has its result:
 *   GAsyncResult *result = NULL;
 *   something_async (..., cli_on_ready, &result);
 *   cli_wait (&result);
 */
void cli_on_ready (GObject *source, GAsyncResult *result, gpointer user_data);
void cli_wait (GAsyncResult **result);

/* An edit of its definition; the machine follows when it runs. what: as for alcove_definition_edit_begin. */
AlcoveDefinitionEdit *cli_begin_edit (AlcoveMachine *machine, const char *what, GError **error);
/* The same for its devices: a machine that is saved is refused. */
AlcoveDefinitionEdit *cli_edit_devices (AlcoveMachine *machine, const char *what, GError **error);
/* alcove_machine_remove_disk_async, alcove_machine_remove_pci_async */
typedef void (*CliRemoveFunc) (AlcoveMachine *machine,
                               const char *name,
                               gboolean force,
                               guint timeout_ms,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data);
/* Out of the running machine; what it does not have is out. */
gboolean cli_take_out (AlcoveMachine *machine,
                       CliRemoveFunc remove,
                       const char *name,
                       gboolean force,
                       guint seconds,
                       GError **error);

/* Progress on a terminal, and Ctrl-C as a wish to cancel. (transfer full); cli_end_long after it. */
GCancellable *cli_begin_long (void);
void cli_end_long (GCancellable *cancellable);
/* An AlcoveProgressFunc. */
void cli_on_progress (guint64 done, guint64 total, gpointer user_data);

AlcoveLibrary *cli_get_library (Cli *cli);
/* Finds a machine by name, or by the path of its folder, and learns its state. (transfer full).
 * On error says so: *ret_status. */
AlcoveMachine *cli_find (Cli *cli, const char *what, int *ret_status);

/* FALSE for an unknown word. */
gboolean cli_parse_firmware (const char *text, AlcoveFirmware *ret);

/* Prints on stdout, with a newline. node: (transfer full). */
void cli_print_json (JsonNode *node);
/* A table: cells row by row, n_columns each; the last column is not padded. */
void cli_print_table (GPtrArray *cells, guint n_columns);
/* What list and show say about a machine. (transfer full) */
JsonObject *cli_machine_to_json (AlcoveMachine *machine);
