/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A configuration file in GKeyFile syntax ("Desktop Entry Specification 1.5", chapter "Basic format
 * of the file"), kept line by line: it knows the line of every group and key, an edit leaves every
 * other byte (comments, blank lines, order) as it was, and a group or key given twice is a mistake
 * rather than merged.
 *
 * Differences to GKeyFile: spaces at the end of a value are dropped (write \s to keep one), a
 * localized key (name[de]) is refused, the whole file must be UTF-8.
 *
 * Owner: one caller; no locking. Thread: any, one at a time. */
#pragma once
#include <glib.h>

#define ALCOVE_CONF_FILE_SIZE_MAX  (256 * 1024)
#define ALCOVE_CONF_FILE_LINES_MAX 8192
#define ALCOVE_PROBLEMS_MAX        20

/* What is wrong with a file: messages "SOURCE:LINE: [GROUP] KEY: CAUSE AND REMEDY". */
typedef struct
{
  const char *source;  /* borrowed: the file's name, for the messages */
  GPtrArray *messages; /* char *, at most ALCOVE_PROBLEMS_MAX */
  guint n_more;        /* found after that */
} AlcoveProblems;

void alcove_problems_init (AlcoveProblems *problems, const char *source);
void alcove_problems_clear (AlcoveProblems *problems);
/* line: from 1, 0 for the whole file. group, key: (nullable). */
void alcove_problems_add (AlcoveProblems *problems,
                          guint line,
                          const char *group,
                          const char *key,
                          const char *format,
                          ...) G_GNUC_PRINTF (5, 6);
gboolean alcove_problems_any (const AlcoveProblems *problems);
/* Sets an ALCOVE_ERROR_INVALID with all messages, one a line, and returns FALSE; TRUE when there
 * are none. */
gboolean alcove_problems_to_error (const AlcoveProblems *problems, GError **error);

typedef struct _AlcoveConfFile AlcoveConfFile;

/**
 * alcove_conf_file_parse:
 * @text: (array length=length): any bytes
 * @problems: syntax mistakes are added here
 *
 * Returns: (transfer full): the file; lines that make no sense are kept, but are no keys. A file
 * above a limit is reported and comes back empty.
 */
AlcoveConfFile *alcove_conf_file_parse (const char *text, gsize length, AlcoveProblems *problems);
AlcoveConfFile *alcove_conf_file_copy (const AlcoveConfFile *file);
void alcove_conf_file_free (AlcoveConfFile *file);
/* (transfer full): the text, exactly as parsed where nothing was edited. */
char *alcove_conf_file_to_text (const AlcoveConfFile *file, gsize *ret_length);

/* Groups in file order; line from 1. The name is borrowed until the next edit. */
guint alcove_conf_file_get_n_groups (const AlcoveConfFile *file);
const char *alcove_conf_file_get_group (const AlcoveConfFile *file, guint index, guint *ret_line);
gboolean alcove_conf_file_has_group (const AlcoveConfFile *file, const char *group);

/* Calls func for each key of a group in file order, value unescaped. */
typedef void (*AlcoveConfKeyFunc) (guint line,
                                   const char *key,
                                   const char *value,
                                   gpointer user_data);
void alcove_conf_file_foreach_key (const AlcoveConfFile *file,
                                   const char *group,
                                   AlcoveConfKeyFunc func,
                                   gpointer user_data);
/* Sets every key of a group of from in the group of the same name of to, which is made when it is not
 * there and from's has keys. Comments stay behind. */
void
alcove_conf_file_copy_group (AlcoveConfFile *to, const AlcoveConfFile *from, const char *group);
/* (transfer full) (nullable): the value of a key, unescaped. */
char *alcove_conf_file_dup_value (const AlcoveConfFile *file, const char *group, const char *key);

/* Edits. The group is added at the end of the file when missing; a key stays on its line or goes
 * after the group's last key. value: valid UTF-8, escaped as needed here. */
void alcove_conf_file_set_value (AlcoveConfFile *file,
                                 const char *group,
                                 const char *key,
                                 const char *value);
/* A comment line in front of a group header (added at the end when missing); text: one line. */
void alcove_conf_file_add_group (AlcoveConfFile *file, const char *group, const char *comment);
gboolean alcove_conf_file_remove_key (AlcoveConfFile *file, const char *group, const char *key);
/* With the comments directly above it, unless they start the file; comments directly above the
 * next group stay. */
gboolean alcove_conf_file_remove_group (AlcoveConfFile *file, const char *group);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AlcoveConfFile, alcove_conf_file_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (AlcoveProblems, alcove_problems_clear)
