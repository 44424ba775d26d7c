/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove screenshot, send-keys, type, console: what goes to and comes from a guest. */
#include <errno.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>
#include "app/cli/cli-private.h"
#include "app/keys.h"
#include "app/picture.h"

static int
save_picture (Cli *cli, AlcoveMachine *machine, const AlcovePicture *picture, const char *file)
{
  GError *error = NULL;
  g_autofree char *made = NULL;

  if (g_strcmp0 (file, "-") == 0)
    {
      g_autoptr (GBytes) png = alcove_picture_to_png (picture, &error);

      if (png == NULL)
        return cli_fail (cli, error);
      if (fwrite (g_bytes_get_data (png, NULL), g_bytes_get_size (png), 1, stdout) != 1)
        {
          cli_say ("stdout cannot be written: %s", g_strerror (errno));
          return ALCOVE_EXIT_FAILED;
        }
      return ALCOVE_EXIT_DONE;
    }
  if (file == NULL)
    {
      g_autoptr (GDateTime) now = g_date_time_new_now_local ();
      g_autofree char *time = g_date_time_format (now, "%Y-%m-%d-%H%M%S");

      made = g_strdup_printf ("%s-%s.png", alcove_machine_get_id (machine), time);
    }
  if (!alcove_picture_save_png (picture, file != NULL ? file : made, &error))
    return cli_fail (cli, error);
  if (made != NULL)
    puts (made);
  return ALCOVE_EXIT_DONE;
}

int
cli_screenshot (Cli *cli, int argc, char **argv)
{
  int scanout = 0;
  const GOptionEntry entries[] = { { "scanout", 0, 0, G_OPTION_ARG_INT, &scanout,
                                     "Which screen, from 0", "N" },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (AlcovePicture) picture = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 2, &arguments, &status))
    return status;
  if (scanout < 0 || scanout > 15)
    return cli_usage (cli, "--scanout must be 0 to 15");
  machine = cli_find (cli, arguments[0], &status);
  if (machine == NULL)
    return status;
  alcove_machine_screenshot_async (machine, (guint)scanout, NULL, cli_on_ready, &result);
  cli_wait (&result);
  picture = alcove_machine_screenshot_finish (machine, result, &error);
  return picture != NULL ? save_picture (cli, machine, picture, arguments[1])
                         : cli_fail (cli, error);
}

int
cli_send_keys (Cli *cli, int argc, char **argv)
{
  int hold = 50;
  const GOptionEntry entries[] = { { "hold", 0, 0, G_OPTION_ARG_INT, &hold,
                                     "How long they stay down (50)", "MS" },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  GError *error = NULL;
  guint keys[ALCOVE_CHORD_MAX];
  int status;

  if (!cli_parse (cli, entries, argc, argv, 2, -1, &arguments, &status))
    return status;
  if (hold < 0 || hold > 60000)
    return cli_usage (cli, "--hold must be 0 to 60000 milliseconds");
  /* All are checked before the first is pressed. */
  for (guint i = 1; arguments[i] != NULL; i++)
    if (alcove_keys_parse_chord (arguments[i], keys, &error) == 0)
      {
        status = cli_usage (cli, "%s", error->message);
        g_error_free (error);
        return status;
      }
  machine = cli_find (cli, arguments[0], &status);
  if (machine == NULL)
    return status;
  for (guint i = 1; arguments[i] != NULL; i++)
    {
      g_autoptr (GAsyncResult) result = NULL;
      guint n = alcove_keys_parse_chord (arguments[i], keys, NULL);

      alcove_machine_send_keys_async (machine, keys, n, (guint)hold, NULL, cli_on_ready, &result);
      cli_wait (&result);
      if (!alcove_machine_finish (machine, result, &error))
        return cli_fail (cli, error);
    }
  return ALCOVE_EXIT_DONE;
}

#define TYPE_MAX (64 * 1024)

/* All of stdin, as text. */
static char *
read_stdin (GError **error)
{
  GString *text = g_string_new (NULL);
  char chunk[4096];
  gsize n;

  while ((n = fread (chunk, 1, sizeof chunk, stdin)) > 0 && text->len <= TYPE_MAX)
    g_string_append_len (text, chunk, (gssize)n);
  if (text->len > TYPE_MAX || !g_utf8_validate (text->str, (gssize)text->len, NULL))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "stdin must be text of at most %d bytes", TYPE_MAX);
      g_string_free (text, TRUE);
      return NULL;
    }
  return g_string_free (text, FALSE);
}

int
cli_type (Cli *cli, int argc, char **argv)
{
  gboolean enter = FALSE;
  const GOptionEntry entries[] = { { "enter", 'e', 0, G_OPTION_ARG_NONE, &enter,
                                     "Press Enter at the end", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autofree char *text = NULL, *with_enter = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 2, &arguments, &status))
    return status;
  text = arguments[1] != NULL ? g_strdup (arguments[1]) : read_stdin (&error);
  if (text == NULL)
    return cli_fail (cli, error);
  if (!g_utf8_validate (text, -1, NULL) || strlen (text) > TYPE_MAX)
    return cli_usage (cli, "TEXT must be UTF-8 of at most %d bytes", TYPE_MAX);
  with_enter = g_strconcat (text, enter ? "\n" : "", NULL);
  machine = cli_find (cli, arguments[0], &status);
  if (machine == NULL)
    return status;
  alcove_machine_type_async (machine, with_enter, NULL, cli_on_ready, &result);
  cli_wait (&result);
  return alcove_machine_finish (machine, result, &error) ? ALCOVE_EXIT_DONE : cli_fail (cli, error);
}

/* The console. */

#define ESCAPE 0x1d /* Ctrl-] */

typedef struct
{
  int fd; /* of the guest's port */
  GMainLoop *loop;
  gboolean raw;
  int status;
} Console;

static gboolean
write_all (int fd, const char *data, gsize n)
{
  while (n > 0)
    {
      ssize_t done = write (fd, data, n);

      if (done < 0 && errno == EINTR)
        continue;
      if (done <= 0)
        return FALSE;
      data += done;
      n -= (gsize)done;
    }
  return TRUE;
}

static gboolean
on_guest (int fd, GIOCondition condition, gpointer user_data)
{
  Console *console = user_data;
  char buffer[8192];
  ssize_t n = read (fd, buffer, sizeof buffer);

  if (n < 0 && (errno == EINTR || errno == EAGAIN))
    return G_SOURCE_CONTINUE;
  if (n <= 0)
    {
      g_main_loop_quit (console->loop); /* the machine has stopped */
      return G_SOURCE_REMOVE;
    }
  if (!write_all (STDOUT_FILENO, buffer, (gsize)n))
    {
      console->status = ALCOVE_EXIT_FAILED;
      g_main_loop_quit (console->loop);
      return G_SOURCE_REMOVE;
    }
  return G_SOURCE_CONTINUE;
}

static gboolean
on_stdin (int fd, GIOCondition condition, gpointer user_data)
{
  Console *console = user_data;
  char buffer[4096];
  ssize_t n = read (fd, buffer, sizeof buffer);
  const char *escape;

  if (n < 0 && (errno == EINTR || errno == EAGAIN))
    return G_SOURCE_CONTINUE;
  if (n <= 0)
    {
      if (console->raw)
        g_main_loop_quit (console->loop);
      return G_SOURCE_REMOVE; /* a script's input is over; the guest's output goes on */
    }
  escape = console->raw ? memchr (buffer, ESCAPE, (gsize)n) : NULL;
  if (escape != NULL)
    n = escape - buffer;
  if (!write_all (console->fd, buffer, (gsize)n) || escape != NULL)
    {
      g_main_loop_quit (console->loop);
      return G_SOURCE_REMOVE;
    }
  return G_SOURCE_CONTINUE;
}

static gboolean
on_signal (gpointer user_data)
{
  g_main_loop_quit (user_data);
  return G_SOURCE_CONTINUE;
}

static void
run_console (Console *console)
{
  struct termios before, raw;
  const int signals[] = { SIGINT, SIGTERM, SIGHUP };
  guint sources[G_N_ELEMENTS (signals)];

  console->loop = g_main_loop_new (NULL, FALSE);
  console->raw = isatty (STDIN_FILENO) && tcgetattr (STDIN_FILENO, &before) == 0;
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    sources[i] = g_unix_signal_add (signals[i], on_signal, console->loop);
  if (console->raw)
    {
      raw = before;
      cfmakeraw (&raw);
      (void)tcsetattr (STDIN_FILENO, TCSADRAIN, &raw);
    }
  g_unix_fd_add (console->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_guest, console);
  g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, on_stdin, console);
  g_main_loop_run (console->loop);
  if (console->raw)
    {
      (void)tcsetattr (STDIN_FILENO, TCSADRAIN, &before);
      fputs ("\n", stderr);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    g_source_remove (sources[i]);
  g_main_loop_unref (console->loop);
}

static int
list_consoles (Cli *cli, AlcoveMachine *machine)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_auto (GStrv) names = NULL;
  GError *error = NULL;

  alcove_machine_list_consoles_async (machine, NULL, cli_on_ready, &result);
  cli_wait (&result);
  names = alcove_machine_list_consoles_finish (machine, result, &error);
  if (names == NULL)
    return cli_fail (cli, error);
  for (guint i = 0; names[i] != NULL; i++)
    puts (names[i]);
  return ALCOVE_EXIT_DONE;
}

int
cli_console (Cli *cli, int argc, char **argv)
{
  gboolean list = FALSE;
  const GOptionEntry entries[] = { { "list", 'l', 0, G_OPTION_ARG_NONE, &list,
                                     "Print the names of the ports", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  GError *error = NULL;
  Console console = { 0 };
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 2, &arguments, &status) ||
      (machine = cli_find (cli, arguments[0], &status)) == NULL)
    return status;
  if (list)
    return list_consoles (cli, machine);
  alcove_machine_open_console_async (machine, arguments[1], NULL, cli_on_ready, &result);
  cli_wait (&result);
  console.fd = alcove_machine_open_console_finish (machine, result, &error);
  if (console.fd < 0)
    return cli_fail (cli, error);
  if (isatty (STDIN_FILENO))
    cli_say ("Connected to %s. Ctrl-] leaves.", alcove_machine_get_name (machine));
  run_console (&console);
  close (console.fd);
  return console.status;
}
