/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The schema of machine.conf: tables that the parser, the editor and the tests walk. */
#pragma once
#include "app/definition.h"

typedef enum
{
  ALCOVE_KEY_STRING,   /* char *; min, max: length in bytes */
  ALCOVE_KEY_PATH,     /* char *, made absolute */
  ALCOVE_KEY_WORD,     /* an enum; words */
  ALCOVE_KEY_BOOLEAN,  /* gboolean */
  ALCOVE_KEY_NUMBER,   /* guint, decimal or 0x; min, max */
  ALCOVE_KEY_MIB,      /* guint64; min, max */
  ALCOVE_KEY_UUID,     /* char *, lower case */
  ALCOVE_KEY_MAC,      /* guint8[6] */
  ALCOVE_KEY_ADDRESS,  /* AlcovePciAddress */
  ALCOVE_KEY_FORWARDS, /* GArray * of AlcoveForward */
  ALCOVE_KEY_LISTEN,   /* AlcoveListen */
} AlcoveKeyType;

typedef struct
{
  const char *name;
  AlcoveKeyType type;
  gsize offset; /* in the group's struct */
  guint64 min, max;
  const char *const *words; /* NULL-terminated, in the order of the enum */
  const char *fallback;     /* (nullable) the default, as text */
  gboolean required;
  const char *help;
} AlcoveKeySpec;

typedef struct
{
  AlcoveKind kind;
  const char *word; /* "disk" */
  gboolean named;
  guint max; /* groups of this kind */
  gsize size;
  const AlcoveKeySpec *keys;
  gsize n_keys;
} AlcoveGroupSpec;

extern const AlcoveGroupSpec alcove_group_specs[ALCOVE_N_KINDS];

/* The spec for a group header's text, NULL when it is not known; *ret_name borrowed from it, ""
 * where there is none. */
const AlcoveGroupSpec *alcove_group_spec_find (const char *group, const char **ret_name);
const AlcoveKeySpec *alcove_group_spec_find_key (const AlcoveGroupSpec *spec, const char *name);

/* Parses text into config + key->offset, freeing what was there. folder: (nullable) relative paths
 * are relative to it. On a mistake returns FALSE and sets *ret_problem (transfer full). */
gboolean alcove_key_parse (const AlcoveKeySpec *key,
                           const char *text,
                           const char *folder,
                           gpointer config,
                           char **ret_problem);
/* Frees what the keys of a struct hold, and the struct. */
void alcove_group_config_free (const AlcoveGroupSpec *spec, gpointer config);

typedef struct
{
  GPtrArray *by_kind[ALCOVE_N_KINDS]; /* of the config structs */
  GPtrArray *devices;                 /* borrowed, file order */
} AlcoveParsed;
void alcove_parsed_init (AlcoveParsed *parsed);
void alcove_parsed_clear (AlcoveParsed *parsed);
/* Every group of the text, and what they must be together. folder: (nullable), as above. */
void alcove_parsed_read (AlcoveParsed *parsed,
                         const AlcoveConfFile *file,
                         const char *folder,
                         AlcoveProblems *problems);
/* Everything that concerns more than one key: required together, unique, in range of another. */
void
alcove_parsed_validate (AlcoveParsed *parsed, const AlcoveConfFile *file, AlcoveProblems *problems);

/* definition-groups.c */
/* (transfer full) (nullable): the text of this group. */
char *alcove_definition_dup_group (AlcoveDefinition *self, const char *group);
/* Puts the one group of a text in: "disk NAME". prefix: "disk "; what: "A disk", for the message.
 * ret_file: (transfer full): the definition's text as it is now, to be edited on. Errors: INVALID,
 * EXISTS. Returns: (transfer full): the group's header. */
char *alcove_definition_put_group (AlcoveDefinition *self,
                                   const char *text,
                                   const char *prefix,
                                   const char *what,
                                   AlcoveConfFile **ret_file,
                                   GError **error);
/* FALSE: the machine runs (live), and this place can only be taken while it is off. */
gboolean alcove_definition_check_live (const char *group,
                                       const AlcoveDeviceConfig *config,
                                       gboolean live,
                                       GError **error);

/**
 * alcove_definition_write:
 *
 * Writes the text to a new file, syncs it and renames it over the old one. For definition-edit.c,
 * which has the locks. Errors: ALCOVE_ERROR_BUSY when the file was changed by somebody else since it
 * was read; G_FILE_ERROR.
 */
gboolean alcove_definition_write (AlcoveDefinition *self, GError **error);
