/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/conf-file.h"

#include <string.h>

static AlcoveConfFile *
parse (const char *text, gssize length, char **ret_problems)
{
  g_auto (AlcoveProblems) problems = { 0 };
  g_autoptr (GError) error = NULL;
  AlcoveConfFile *file;

  alcove_problems_init (&problems, "f");
  file = alcove_conf_file_parse (text, length < 0 ? strlen (text) : (gsize)length, &problems);
  g_assert_nonnull (file);
  if (alcove_problems_to_error (&problems, &error))
    *ret_problems = NULL;
  else
    *ret_problems = g_strdup (error->message);
  return file;
}

static void
assert_problem (const char *text, gssize length, const char *expected)
{
  g_autofree char *problems = NULL;
  g_autoptr (AlcoveConfFile) file = parse (text, length, &problems);

  g_assert_nonnull (file);
  g_assert_nonnull (problems);
  if (strstr (problems, expected) == NULL)
    g_error ("\"%s\" is not in \"%s\"", expected, problems);
}

static AlcoveConfFile *
parse_good (const char *text)
{
  g_autofree char *problems = NULL;
  AlcoveConfFile *file = parse (text, -1, &problems);

  g_assert_cmpstr (problems, ==, NULL);
  return file;
}

static void
assert_text (AlcoveConfFile *file, const char *expected)
{
  g_autofree char *text = alcove_conf_file_to_text (file, NULL);

  g_assert_cmpstr (text, ==, expected);
}

static void
test_unchanged (void)
{
  static const char *const texts[] = {
    "",
    "\n\n",
    "# only a comment",
    "[a]\nk=v\n",
    "[a]\r\nk = v \r\n# c\r\n",
    "# head\n\n[a]  \n  k  =  v  \n\n#tail\n[b x]\nk2=\\s\\t\\n\\r\\\\\n",
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (AlcoveConfFile) file = parse_good (texts[i]);
      g_autoptr (AlcoveConfFile) copy = alcove_conf_file_copy (file);

      assert_text (file, texts[i]);
      assert_text (copy, texts[i]);
    }
}

static void
test_values (void)
{
  g_autoptr (AlcoveConfFile) file =
      parse_good ("[a]\nspaces =  x y  \nescapes=\\s\\t\\n\\r\\\\=\nempty=\n");
  g_autofree char *spaces = alcove_conf_file_dup_value (file, "a", "spaces");
  g_autofree char *escapes = alcove_conf_file_dup_value (file, "a", "escapes");
  g_autofree char *empty = alcove_conf_file_dup_value (file, "a", "empty");
  guint line;

  g_assert_cmpstr (spaces, ==, "x y");
  g_assert_cmpstr (escapes, ==, " \t\n\r\\=");
  g_assert_cmpstr (empty, ==, "");
  g_assert_null (alcove_conf_file_dup_value (file, "a", "none"));
  g_assert_null (alcove_conf_file_dup_value (file, "b", "empty"));
  g_assert_cmpuint (alcove_conf_file_get_n_groups (file), ==, 1);
  g_assert_cmpstr (alcove_conf_file_get_group (file, 0, &line), ==, "a");
  g_assert_cmpuint (line, ==, 1);
  g_assert_null (alcove_conf_file_get_group (file, 1, NULL));
}

/* What we write, the key file parser of GLib reads the same way. */
static void
test_agrees_with_glib (void)
{
  static const char *const values[] = { "plain",     " lead", "trail ", "a\tb", "back\\slash",
                                        "new\nline", "é€",    "a;b",    "" };

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    {
      g_autoptr (AlcoveConfFile) file = parse_good ("# c\n");
      g_autoptr (GKeyFile) key_file = g_key_file_new ();
      g_autofree char *text = NULL, *theirs = NULL, *ours = NULL, *problems = NULL;
      g_autoptr (AlcoveConfFile) again = NULL;

      alcove_conf_file_set_value (file, "disk system", "key", values[i]);
      text = alcove_conf_file_to_text (file, NULL);
      g_assert_true (g_key_file_load_from_data (key_file, text, -1, G_KEY_FILE_NONE, NULL));
      theirs = g_key_file_get_string (key_file, "disk system", "key", NULL);
      g_assert_cmpstr (theirs, ==, values[i]);
      again = parse (text, -1, &problems);
      g_assert_null (problems);
      ours = alcove_conf_file_dup_value (again, "disk system", "key");
      g_assert_cmpstr (ours, ==, values[i]);
    }
}

static void
test_edits (void)
{
  g_autoptr (AlcoveConfFile) file = parse_good ("# top\n\n[a]\n k = 1\n# after k\n\n# of b\n[b]\n");

  alcove_conf_file_set_value (file, "a", "k", "2");
  alcove_conf_file_set_value (file, "a", "n", "3");
  alcove_conf_file_set_value (file, "b", "x", "4");
  alcove_conf_file_set_value (file, "c", "y", "5");
  assert_text (file,
               "# top\n\n[a]\n k = 2\nn = 3\n# after k\n\n# of b\n[b]\nx = 4\n\n[c]\ny = 5\n");
  g_assert_true (alcove_conf_file_remove_key (file, "a", "k"));
  g_assert_false (alcove_conf_file_remove_key (file, "a", "k"));
  g_assert_false (alcove_conf_file_remove_group (file, "zz"));
  g_assert_true (alcove_conf_file_remove_group (file, "a"));
  assert_text (file, "# top\n\n# of b\n[b]\nx = 4\n\n[c]\ny = 5\n");
  g_assert_true (alcove_conf_file_remove_group (file, "b"));
  assert_text (file, "# top\n\n[c]\ny = 5\n");
  g_assert_true (alcove_conf_file_remove_group (file, "c"));
  assert_text (file, "# top\n\n");
}

static void
test_edit_open_end (void)
{
  g_autoptr (AlcoveConfFile) file = parse_good ("[a]\nk=1");

  alcove_conf_file_set_value (file, "b", "k", "2");
  assert_text (file, "[a]\nk=1\n\n[b]\nk = 2");
}

static void
test_hostile (void)
{
  g_autoptr (GString) long_text = g_string_new ("[a]\n");
  g_autofree char *problems = NULL;
  g_autoptr (AlcoveConfFile) file = NULL;

  assert_problem ("k=v\n", -1, "f:1: k: this key stands before");
  assert_problem ("[a]\nnonsense\n", -1, "f:2: [a] this line is no group");
  assert_problem ("[a]\nk=1\nk=2\n", -1, "f:3: [a] k: this key is already on line 2");
  assert_problem ("[a]\n[b]\n[a]\n", -1, "f:3: [a] this group is already on line 1");
  assert_problem ("[a\n", -1, "f:1: a group header");
  assert_problem ("[]\n", -1, "f:1: a group header");
  assert_problem ("[a]b]\n", -1, "f:1: a group header");
  assert_problem ("[a[b]\n", -1, "f:1: a group header");
  assert_problem (" [a]\n", -1, "f:1: a group header must start");
  assert_problem ("[a]\nk=\\x\n", -1, "f:2: [a] k: only \\s");
  assert_problem ("[a]\nk=\\", -1, "f:2: [a] k: only \\s");
  assert_problem ("[a]\nk[de]=v\n", -1, "f:2: [a] the name before =");
  assert_problem ("[a]\n=v\n", -1, "f:2: [a] the name before =");
  assert_problem ("[a]\nk=\xff\n", -1, "f:2: the text is not UTF-8");
  assert_problem ("[a]\nk=a\0b\n", 10, "f:2: the text is not UTF-8");
  assert_problem ("[a]\nk=a\x01"
                  "b\n",
                  -1, "f:2: [a] the line has a control character (byte 0x01)");
  assert_problem ("[a]\nk=a\rb\n", -1, "control character (byte 0x0d)");
  for (guint i = 0; i < ALCOVE_CONF_FILE_LINES_MAX; i++)
    g_string_append (long_text, "#\n");
  assert_problem (long_text->str, -1, "more than 8192 lines");
  g_string_assign (long_text, "[a]\n");
  for (guint i = 0; i < 100; i++)
    g_string_append (long_text, "x\n");
  file = parse (long_text->str, -1, &problems);
  g_assert_nonnull (strstr (problems, "f: and 80 more mistakes"));
  while (long_text->len <= ALCOVE_CONF_FILE_SIZE_MAX)
    g_string_append (long_text, "################################################\n");
  assert_problem (long_text->str, -1, "no machine definition");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/conf-file/unchanged", test_unchanged);
  g_test_add_func ("/conf-file/values", test_values);
  g_test_add_func ("/conf-file/agrees-with-glib", test_agrees_with_glib);
  g_test_add_func ("/conf-file/edits", test_edits);
  g_test_add_func ("/conf-file/edit-open-end", test_edit_open_end);
  g_test_add_func ("/conf-file/hostile", test_hostile);
  return g_test_run ();
}
