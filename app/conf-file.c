/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/conf-file.h"

#include <string.h>
#include "app/error.h"

typedef enum
{
  LINE_OTHER,
  LINE_COMMENT,
  LINE_GROUP,
  LINE_KEY
} LineType;

typedef struct
{
  LineType type;
  char *raw;        /* the line without its end */
  char *name;       /* GROUP, KEY */
  gsize value_from; /* KEY: offset of the value in raw */
} Line;

struct _AlcoveConfFile
{
  GPtrArray *lines; /* of Line */
  gboolean crlf;    /* lines end with \r\n, as the first one did */
  gboolean open;    /* the last line has no end */
};

void
alcove_problems_init (AlcoveProblems *problems, const char *source)
{
  problems->source = source;
  problems->messages = g_ptr_array_new_with_free_func (g_free);
  problems->n_more = 0;
}

void
alcove_problems_clear (AlcoveProblems *problems)
{
  g_clear_pointer (&problems->messages, g_ptr_array_unref);
}

void
alcove_problems_add (AlcoveProblems *problems,
                     guint line,
                     const char *group,
                     const char *key,
                     const char *format,
                     ...)
{
  GString *text;
  va_list args;

  if (problems->messages->len >= ALCOVE_PROBLEMS_MAX)
    {
      problems->n_more++;
      return;
    }
  text = g_string_new (problems->source);
  if (line != 0)
    g_string_append_printf (text, ":%u", line);
  g_string_append (text, ": ");
  if (group != NULL)
    g_string_append_printf (text, "[%s] ", group);
  if (key != NULL)
    g_string_append_printf (text, "%s: ", key);
  va_start (args, format);
  g_string_append_vprintf (text, format, args);
  va_end (args);
  g_ptr_array_add (problems->messages, g_string_free (text, FALSE));
}

gboolean
alcove_problems_any (const AlcoveProblems *problems)
{
  return problems->messages->len > 0;
}

gboolean
alcove_problems_to_error (const AlcoveProblems *problems, GError **error)
{
  g_autoptr (GString) all = NULL;

  if (!alcove_problems_any (problems))
    return TRUE;
  all = g_string_new (NULL);
  for (guint i = 0; i < problems->messages->len; i++)
    g_string_append_printf (all, "%s%s", i > 0 ? "\n" : "",
                            (const char *)g_ptr_array_index (problems->messages, i));
  if (problems->n_more > 0)
    g_string_append_printf (all, "\n%s: and %u more mistakes", problems->source, problems->n_more);
  g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, all->str);
  return FALSE;
}

static void
line_free (gpointer data)
{
  Line *line = data;

  g_free (line->raw);
  g_free (line->name);
  g_free (line);
}

static Line *
line_new (LineType type, char *raw, char *name, gsize value_from)
{
  Line *line = g_new0 (Line, 1);

  line->type = type;
  line->raw = raw;
  line->name = name;
  line->value_from = value_from;
  return line;
}

static Line *
line_at (const AlcoveConfFile *file, guint index)
{
  return g_ptr_array_index (file->lines, index);
}

static AlcoveConfFile *
conf_file_new (void)
{
  AlcoveConfFile *file = g_new0 (AlcoveConfFile, 1);

  file->lines = g_ptr_array_new_with_free_func (line_free);
  return file;
}

void
alcove_conf_file_free (AlcoveConfFile *file)
{
  if (file == NULL)
    return;
  g_ptr_array_unref (file->lines);
  g_free (file);
}

AlcoveConfFile *
alcove_conf_file_copy (const AlcoveConfFile *file)
{
  AlcoveConfFile *copy = conf_file_new ();

  copy->crlf = file->crlf;
  copy->open = file->open;
  for (guint i = 0; i < file->lines->len; i++)
    {
      Line *line = line_at (file, i);

      g_ptr_array_add (copy->lines, line_new (line->type, g_strdup (line->raw),
                                              g_strdup (line->name), line->value_from));
    }
  return copy;
}

static gboolean
is_blank (char c)
{
  return c == ' ' || c == '\t';
}

static gboolean
key_is_valid (const char *key, gsize length)
{
  if (length == 0 || length > 64)
    return FALSE;
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum (key[i]) && key[i] != '-')
      return FALSE;
  return TRUE;
}

/* Value text to value: \s \t \n \r \\ as in the key file syntax, the others are mistakes. */
static char *
unescape (const char *text, gsize length, gboolean *ret_bad)
{
  GString *value = g_string_sized_new (length);

  for (gsize i = 0; i < length; i++)
    {
      if (text[i] != '\\')
        {
          g_string_append_c (value, text[i]);
          continue;
        }
      i++;
      switch (i < length ? text[i] : '\0')
        {
        case 's':
          g_string_append_c (value, ' ');
          break;
        case 't':
          g_string_append_c (value, '\t');
          break;
        case 'n':
          g_string_append_c (value, '\n');
          break;
        case 'r':
          g_string_append_c (value, '\r');
          break;
        case '\\':
          g_string_append_c (value, '\\');
          break;
        default:
          if (ret_bad != NULL)
            *ret_bad = TRUE;
          break;
        }
    }
  return g_string_free (value, FALSE);
}

static char *
escape (const char *value)
{
  GString *text = g_string_new (NULL);
  gsize length = strlen (value);

  for (gsize i = 0; i < length; i++)
    switch (value[i])
      {
      case ' ':
        g_string_append (text, i == 0 || i + 1 == length ? "\\s" : " ");
        break;
      case '\t':
        g_string_append (text, "\\t");
        break;
      case '\n':
        g_string_append (text, "\\n");
        break;
      case '\r':
        g_string_append (text, "\\r");
        break;
      case '\\':
        g_string_append (text, "\\\\");
        break;
      default:
        g_string_append_c (text, value[i]);
        break;
      }
  return g_string_free (text, FALSE);
}

static gsize
value_length (const Line *line)
{
  gsize end = strlen (line->raw);

  while (end > line->value_from && is_blank (line->raw[end - 1]))
    end--;
  return end - line->value_from;
}

static char *
line_dup_value (const Line *line, gboolean *ret_bad)
{
  return unescape (line->raw + line->value_from, value_length (line), ret_bad);
}

/* The parser's place: which group it is in, and which names it has seen. */
typedef struct
{
  AlcoveProblems *problems;
  GHashTable *groups; /* name -> line number */
  GHashTable *keys;   /* of the present group */
  const char *group;  /* (nullable) borrowed from its line */
} Parser;

static Line *
parse_group (Parser *parser, const char *text, gsize length, guint number)
{
  gsize end = length;
  char *name;

  while (end > 0 && is_blank (text[end - 1]))
    end--;
  if (end < 3 || text[end - 1] != ']' || memchr (text + 1, '[', end - 1) != NULL ||
      (gsize)((const char *)memchr (text, ']', end) - text) != end - 1)
    {
      alcove_problems_add (parser->problems, number, NULL, NULL,
                           "a group header must read [machine] or [disk NAME]");
      return line_new (LINE_OTHER, g_strndup (text, length), NULL, 0);
    }
  name = g_strndup (text + 1, end - 2);
  g_hash_table_remove_all (parser->keys);
  if (g_hash_table_contains (parser->groups, name))
    alcove_problems_add (parser->problems, number, name, NULL,
                         "this group is already on line %u: put its keys there, or give this one "
                         "another name",
                         GPOINTER_TO_UINT (g_hash_table_lookup (parser->groups, name)));
  else
    g_hash_table_insert (parser->groups, g_strdup (name), GUINT_TO_POINTER (number));
  return line_new (LINE_GROUP, g_strndup (text, length), name, 0);
}

static Line *
parse_key (Parser *parser, const char *text, gsize length, gsize indent, guint number)
{
  const char *equals = memchr (text, '=', length);
  gsize key_end, value_from;
  gboolean bad = FALSE;
  g_autofree char *value = NULL;
  char *key;
  Line *line;

  if (equals == NULL)
    {
      alcove_problems_add (parser->problems, number, parser->group, NULL,
                           "this line is no group, key or comment: write key = value, or start it "
                           "with #");
      return line_new (LINE_OTHER, g_strndup (text, length), NULL, 0);
    }
  key_end = (gsize)(equals - text);
  value_from = key_end + 1;
  while (key_end > indent && is_blank (text[key_end - 1]))
    key_end--;
  while (value_from < length && is_blank (text[value_from]))
    value_from++;
  if (!key_is_valid (text + indent, key_end - indent))
    {
      alcove_problems_add (parser->problems, number, parser->group, NULL,
                           "the name before = must be letters, digits and dashes");
      return line_new (LINE_OTHER, g_strndup (text, length), NULL, 0);
    }
  key = g_strndup (text + indent, key_end - indent);
  if (parser->group == NULL)
    alcove_problems_add (parser->problems, number, NULL, key,
                         "this key stands before the first [group] header");
  else if (g_hash_table_contains (parser->keys, key))
    alcove_problems_add (parser->problems, number, parser->group, key,
                         "this key is already on line %u: remove one",
                         GPOINTER_TO_UINT (g_hash_table_lookup (parser->keys, key)));
  else
    g_hash_table_insert (parser->keys, g_strdup (key), GUINT_TO_POINTER (number));
  line = line_new (LINE_KEY, g_strndup (text, length), key, value_from);
  value = line_dup_value (line, &bad);
  if (bad)
    alcove_problems_add (
        parser->problems, number, parser->group, key,
        "only \\s \\t \\n \\r and \\\\ may follow a backslash: write \\\\ for one");
  return line;
}

static Line *
parse_line (Parser *parser, const char *text, gsize length, guint number)
{
  gsize indent = 0;
  Line *line;

  while (indent < length && is_blank (text[indent]))
    indent++;
  if (indent == length)
    return line_new (LINE_OTHER, g_strndup (text, length), NULL, 0);
  if (text[indent] == '#')
    return line_new (LINE_COMMENT, g_strndup (text, length), NULL, 0);
  for (gsize i = indent; i < length; i++)
    if (g_ascii_iscntrl (text[i]) && text[i] != '\t')
      {
        alcove_problems_add (parser->problems, number, parser->group, NULL,
                             "the line has a control character (byte 0x%02x): remove it",
                             (guint)(guchar)text[i]);
        return line_new (LINE_OTHER, g_strndup (text, length), NULL, 0);
      }
  if (text[indent] != '[')
    return parse_key (parser, text, length, indent, number);
  if (indent > 0)
    {
      alcove_problems_add (parser->problems, number, NULL, NULL,
                           "a group header must start its line: remove the space");
      return line_new (LINE_OTHER, g_strndup (text, length), NULL, 0);
    }
  line = parse_group (parser, text, length, number);
  if (line->type == LINE_GROUP)
    parser->group = line->name;
  return line;
}

/* TRUE when the text may be taken apart into lines. */
static gboolean
text_is_acceptable (const char *text, gsize length, AlcoveProblems *problems)
{
  const char *end;

  if (length > ALCOVE_CONF_FILE_SIZE_MAX)
    {
      alcove_problems_add (problems, 0, NULL, NULL,
                           "the file has %" G_GSIZE_FORMAT " bytes, more than %d: this is no "
                           "machine definition",
                           length, ALCOVE_CONF_FILE_SIZE_MAX);
      return FALSE;
    }
  if (!g_utf8_validate_len (text, length, &end))
    {
      guint line = 1;

      for (const char *p = text; p < end; p++)
        line += *p == '\n';
      alcove_problems_add (problems, line, NULL, NULL, "the text is not UTF-8");
      return FALSE;
    }
  return TRUE;
}

AlcoveConfFile *
alcove_conf_file_parse (const char *text, gsize length, AlcoveProblems *problems)
{
  AlcoveConfFile *file = conf_file_new ();
  Parser parser = { .problems = problems };
  gsize from = 0;

  if (!text_is_acceptable (text, length, problems))
    return file;
  parser.groups = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  parser.keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  while (from < length)
    {
      const char *newline = memchr (text + from, '\n', length - from);
      gsize end = newline != NULL ? (gsize)(newline - text) : length;
      gsize n = end - from;

      if (file->lines->len == ALCOVE_CONF_FILE_LINES_MAX)
        {
          alcove_problems_add (problems, file->lines->len, NULL, NULL,
                               "the file has more than %d lines", ALCOVE_CONF_FILE_LINES_MAX);
          break;
        }
      if (n > 0 && text[end - 1] == '\r')
        {
          n--;
          file->crlf |= file->lines->len == 0;
        }
      g_ptr_array_add (file->lines, parse_line (&parser, text + from, n, file->lines->len + 1));
      from = end + 1;
    }
  file->open = length > 0 && text[length - 1] != '\n';
  g_hash_table_unref (parser.groups);
  g_hash_table_unref (parser.keys);
  return file;
}

char *
alcove_conf_file_to_text (const AlcoveConfFile *file, gsize *ret_length)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < file->lines->len; i++)
    {
      g_string_append (text, line_at (file, i)->raw);
      if (!file->open || i + 1 < file->lines->len)
        g_string_append (text, file->crlf ? "\r\n" : "\n");
    }
  if (ret_length != NULL)
    *ret_length = text->len;
  return g_string_free (text, FALSE);
}

guint
alcove_conf_file_get_n_groups (const AlcoveConfFile *file)
{
  guint n = 0;

  for (guint i = 0; i < file->lines->len; i++)
    n += line_at (file, i)->type == LINE_GROUP;
  return n;
}

const char *
alcove_conf_file_get_group (const AlcoveConfFile *file, guint index, guint *ret_line)
{
  for (guint i = 0; i < file->lines->len; i++)
    if (line_at (file, i)->type == LINE_GROUP && index-- == 0)
      {
        if (ret_line != NULL)
          *ret_line = i + 1;
        return line_at (file, i)->name;
      }
  return NULL;
}

/* Index of the group's header line, -1 without. *ret_end: the line after the group's last one. */
static int
find_group (const AlcoveConfFile *file, const char *group, guint *ret_end)
{
  for (guint i = 0; i < file->lines->len; i++)
    {
      guint end;

      if (line_at (file, i)->type != LINE_GROUP || strcmp (line_at (file, i)->name, group) != 0)
        continue;
      for (end = i + 1; end < file->lines->len; end++)
        if (line_at (file, end)->type == LINE_GROUP)
          break;
      if (ret_end != NULL)
        *ret_end = end;
      return (int)i;
    }
  return -1;
}

/* Index of the key's line, -1 without. */
static int
find_key (const AlcoveConfFile *file, const char *group, const char *key)
{
  guint end;
  int from = find_group (file, group, &end);

  if (from < 0)
    return -1;
  for (guint i = (guint)from + 1; i < end; i++)
    if (line_at (file, i)->type == LINE_KEY && strcmp (line_at (file, i)->name, key) == 0)
      return (int)i;
  return -1;
}

gboolean
alcove_conf_file_has_group (const AlcoveConfFile *file, const char *group)
{
  return find_group (file, group, NULL) >= 0;
}

void
alcove_conf_file_foreach_key (const AlcoveConfFile *file,
                              const char *group,
                              AlcoveConfKeyFunc func,
                              gpointer user_data)
{
  guint end;
  int from = find_group (file, group, &end);

  if (from < 0)
    return;
  for (guint i = (guint)from + 1; i < end; i++)
    {
      Line *line = line_at (file, i);
      g_autofree char *value = NULL;

      if (line->type != LINE_KEY)
        continue;
      value = line_dup_value (line, NULL);
      func (i + 1, line->name, value, user_data);
    }
}

typedef struct
{
  AlcoveConfFile *to;
  const char *group;
} CopyKeys;

static void
copy_key (guint line, const char *key, const char *value, gpointer user_data)
{
  CopyKeys *copy = user_data;

  alcove_conf_file_set_value (copy->to, copy->group, key, value);
}

void
alcove_conf_file_copy_group (AlcoveConfFile *to, const AlcoveConfFile *from, const char *group)
{
  CopyKeys copy = { to, group };

  alcove_conf_file_foreach_key (from, group, copy_key, &copy);
}

char *
alcove_conf_file_dup_value (const AlcoveConfFile *file, const char *group, const char *key)
{
  int at = find_key (file, group, key);

  return at < 0 ? NULL : line_dup_value (line_at (file, (guint)at), NULL);
}

void
alcove_conf_file_add_group (AlcoveConfFile *file, const char *group, const char *comment)
{
  if (alcove_conf_file_has_group (file, group))
    return;
  if (file->lines->len > 0 && *line_at (file, file->lines->len - 1)->raw != '\0')
    g_ptr_array_add (file->lines, line_new (LINE_OTHER, g_strdup (""), NULL, 0));
  if (comment != NULL)
    g_ptr_array_add (file->lines,
                     line_new (LINE_COMMENT, g_strdup_printf ("# %s", comment), NULL, 0));
  g_ptr_array_add (file->lines,
                   line_new (LINE_GROUP, g_strdup_printf ("[%s]", group), g_strdup (group), 0));
}

void
alcove_conf_file_set_value (AlcoveConfFile *file,
                            const char *group,
                            const char *key,
                            const char *value)
{
  g_autofree char *text = escape (value);
  int at = find_key (file, group, key);
  guint end, last;
  int from;

  if (at >= 0)
    {
      Line *line = line_at (file, (guint)at);
      char *raw = g_strdup_printf ("%.*s%s", (int)line->value_from, line->raw, text);

      g_free (line->raw);
      line->raw = raw;
      return;
    }
  alcove_conf_file_add_group (file, group, NULL);
  from = find_group (file, group, &end);
  last = (guint)from;
  for (guint i = (guint)from + 1; i < end; i++)
    if (line_at (file, i)->type == LINE_KEY)
      last = i;
  g_ptr_array_insert (file->lines, (int)last + 1,
                      line_new (LINE_KEY, g_strdup_printf ("%s = %s", key, text), g_strdup (key),
                                strlen (key) + 3));
}

gboolean
alcove_conf_file_remove_key (AlcoveConfFile *file, const char *group, const char *key)
{
  int at = find_key (file, group, key);

  if (at < 0)
    return FALSE;
  g_ptr_array_remove_index (file->lines, (guint)at);
  return TRUE;
}

gboolean
alcove_conf_file_remove_group (AlcoveConfFile *file, const char *group)
{
  guint end, above;
  int from = find_group (file, group, &end);

  if (from < 0)
    return FALSE;
  if (end < file->lines->len)
    while (end > (guint)from + 1 && line_at (file, end - 1)->type == LINE_COMMENT)
      end--;
  above = (guint)from;
  while (above > 0 && line_at (file, above - 1)->type == LINE_COMMENT)
    above--;
  if (above > 0)
    from = (int)above;
  g_ptr_array_remove_range (file->lines, (guint)from, end - (guint)from);
  return TRUE;
}
