/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/cli/run-options.h"

#include <string.h>
#include "app/conf-file.h"
#include "app/error.h"

#define DEBUG_EXIT_PORT "0xf4" /* where the peer's test kernels look for it */

void
run_options_clear (RunOptions *options)
{
  g_free (options->name);
  g_free (options->memory);
  g_free (options->cpu);
  g_free (options->kernel);
  g_free (options->initrd);
  g_free (options->append);
  g_free (options->firmware);
  g_free (options->serial);
  g_free (options->display);
  g_free (options->debug_exit);
  g_free (options->debug_console);
  g_strfreev (options->disks);
  g_strfreev (options->cdroms);
  g_strfreev (options->nics);
}

gboolean
run_options_use_stdio (const RunOptions *options)
{
  return options->serial == NULL || strcmp (options->serial, "stdio") == 0;
}

gboolean
run_options_want_window (const RunOptions *options)
{
  return options->window || g_strcmp0 (options->display, "window") == 0;
}

static gboolean
bad_option (GError **error, const char *option, const char *value, const char *remedy)
{
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s \"%s\": %s", option, value, remedy);
  return FALSE;
}

static void
set_path (AlcoveConfFile *file, const char *group, const char *key, const char *path)
{
  g_autofree char *absolute = g_canonicalize_filename (path, NULL);

  alcove_conf_file_set_value (file, group, key, absolute);
}

/* "a,b,,c" to "a" and "b,c": a doubled comma stands for one. */
static GPtrArray *
split_commas (const char *text)
{
  GPtrArray *parts = g_ptr_array_new_with_free_func (g_free);
  GString *part = g_string_new (NULL);

  for (const char *p = text; *p != '\0'; p++)
    {
      if (*p == ',' && p[1] == ',')
        p++;
      else if (*p == ',')
        {
          g_ptr_array_add (parts, g_strdup (part->str));
          g_string_truncate (part, 0);
          continue;
        }
      g_string_append_c (part, *p);
    }
  g_ptr_array_add (parts, g_string_free (part, FALSE));
  return parts;
}

/* KEY=VALUE or KEY (true) of an option, as keys of the group: the definition checks them. */
static gboolean
set_option (
    AlcoveConfFile *file, const char *group, const char *option, const char *text, GError **error)
{
  const char *equals = strchr (text, '=');
  g_autofree char *key =
      equals != NULL ? g_strndup (text, (gsize)(equals - text)) : g_strdup (text);

  if (*key == '\0' || strspn (key, "abcdefghijklmnopqrstuvwxyz-") != strlen (key))
    return bad_option (error, option, text, "write KEY=VALUE after the comma");
  if (strchr (text, '\n') != NULL)
    return bad_option (error, option, text, "a line break is not possible");
  alcove_conf_file_set_value (file, group, key, equals != NULL ? equals + 1 : "true");
  return TRUE;
}

static gboolean
add_disks (
    AlcoveConfFile *file, const char *kind, const char *option, char *const *values, GError **error)
{
  for (guint i = 0; values != NULL && values[i] != NULL; i++)
    {
      g_autoptr (GPtrArray) parts = split_commas (values[i]);
      g_autofree char *group = g_strdup_printf ("%s %s%u", kind, kind, i);

      if (*(const char *)g_ptr_array_index (parts, 0) == '\0')
        return bad_option (error, option, values[i], "it starts with a file name");
      set_path (file, group, "file", g_ptr_array_index (parts, 0));
      for (guint j = 1; j < parts->len; j++)
        if (!set_option (file, group, option, g_ptr_array_index (parts, j), error))
          return FALSE;
    }
  return TRUE;
}

static gboolean
add_nics (AlcoveConfFile *file, char *const *values, GError **error)
{
  guint n = 0;

  for (guint i = 0; values != NULL && values[i] != NULL; i++)
    {
      g_autoptr (GPtrArray) parts = split_commas (values[i]);
      const char *backend = g_ptr_array_index (parts, 0);
      g_autofree char *group = g_strdup_printf ("nic nic%u", n);

      if (strcmp (backend, "none") == 0 && parts->len == 1)
        continue;
      if (strcmp (backend, "user") != 0 && strcmp (backend, "tap") != 0)
        return bad_option (error, "--nic", values[i], "it is user, tap or none");
      alcove_conf_file_set_value (file, group, "backend", backend);
      for (guint j = 1; j < parts->len; j++)
        if (!set_option (file, group, "--nic", g_ptr_array_index (parts, j), error))
          return FALSE;
      n++;
    }
  return TRUE;
}

static gboolean
add_serial (AlcoveConfFile *file, const char *value, GError **error)
{
  static const char *const backends[] = { "stdio", "null", "console" };

  if (value == NULL)
    value = "stdio";
  if (strcmp (value, "none") == 0)
    return TRUE;
  if (g_str_has_prefix (value, "file:") && value[5] != '\0')
    {
      alcove_conf_file_set_value (file, "serial com1", "backend", "file");
      set_path (file, "serial com1", "file", value + 5);
      return TRUE;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (backends); i++)
    if (strcmp (value, backends[i]) == 0)
      {
        alcove_conf_file_set_value (file, "serial com1", "backend", value);
        return TRUE;
      }
  return bad_option (error, "--serial", value, "it is stdio, file:PATH, console, null or none");
}

static gboolean
set_boot (AlcoveConfFile *file, const RunOptions *options, GError **error)
{
  const char *firmware = options->firmware;
  const char *port = options->debug_exit;

  if (firmware == NULL)
    firmware = options->kernel != NULL ? "none" : "uefi";
  alcove_conf_file_set_value (file, "machine", "firmware", firmware);
  if (options->kernel != NULL)
    set_path (file, "machine", "kernel", options->kernel);
  if (options->initrd != NULL)
    set_path (file, "machine", "initrd", options->initrd);
  if (options->append != NULL)
    {
      if (strpbrk (options->append, "\r\n") != NULL)
        return bad_option (error, "--append", options->append, "a line break is not possible");
      alcove_conf_file_set_value (file, "machine", "cmdline", options->append);
    }
  /* Test kernels end by this port; with a firmware nothing is put in a guest's way unasked. */
  if (port == NULL && options->kernel != NULL)
    port = DEBUG_EXIT_PORT;
  if (port != NULL && strcmp (port, "none") != 0)
    alcove_conf_file_set_value (file, "machine", "debug-exit", port);
  if (options->debug_console != NULL)
    set_path (file, "machine", "debug-console", options->debug_console);
  return TRUE;
}

static gboolean
set_display (AlcoveConfFile *file, const RunOptions *options, GError **error)
{
  gboolean picture = run_options_want_window (options);

  if (options->display != NULL && strcmp (options->display, "window") != 0 &&
      strcmp (options->display, "none") != 0)
    return bad_option (error, "--display", options->display, "it is window or none");
  alcove_conf_file_set_value (file, "display main", "type", picture ? "virtio-vga" : "none");
  if (picture)
    {
      alcove_conf_file_set_value (file, "input keyboard", "type", "keyboard");
      alcove_conf_file_set_value (file, "input tablet", "type", "tablet");
    }
  return TRUE;
}

char *
run_options_to_text (const RunOptions *options, GError **error)
{
  g_auto (AlcoveProblems) problems = { 0 };
  g_autoptr (AlcoveConfFile) file = NULL;
  g_autofree char *uuid = g_uuid_string_random ();
  g_autofree char *cpus = g_strdup_printf ("%d", options->cpus > 0 ? options->cpus : 1);

  alcove_problems_init (&problems, "alcove run");
  file = alcove_conf_file_parse ("", 0, &problems);
  alcove_conf_file_set_value (file, "machine", "uuid", uuid);
  alcove_conf_file_set_value (file, "machine", "name",
                              options->name != NULL ? options->name : "throw-away");
  alcove_conf_file_set_value (file, "machine", "memory",
                              options->memory != NULL ? options->memory : "512M");
  alcove_conf_file_set_value (file, "machine", "cpus", cpus);
  if (options->cpu != NULL)
    alcove_conf_file_set_value (file, "machine", "cpu", options->cpu);
  if (options->no_reboot)
    {
      alcove_conf_file_set_value (file, "machine", "on-reboot", "stop");
      alcove_conf_file_set_value (file, "machine", "on-triple-fault", "stop");
    }
  if (!set_boot (file, options, error) ||
      !add_disks (file, "disk", "--disk", options->disks, error) ||
      !add_disks (file, "cdrom", "--cdrom", options->cdroms, error) ||
      !add_nics (file, options->nics, error) || !add_serial (file, options->serial, error) ||
      !set_display (file, options, error))
    return NULL;
  return alcove_conf_file_to_text (file, NULL);
}
