/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/typing.h"

#include <linux/input-event-codes.h>

#include "vmm/error.h"

typedef struct
{
  InputRouter *router;
  RunnerTyping *typing;
  GMainLoop *loop;
  GString *log; /* "+code" and "-code" */
} Fixture;

static void
on_key (gpointer sink, guint keycode, gboolean down)
{
  g_string_append_printf (((Fixture *)sink)->log, "%c%u ", down ? '+' : '-', keycode);
}

static const InputSinkOps sink_ops = { .key = on_key };

static void
on_done (gpointer user_data)
{
  g_main_loop_quit (((Fixture *)user_data)->loop);
}

static void
setup (Fixture *f, gconstpointer data)
{
  f->router = input_router_new ();
  input_router_add_sink (f->router, &sink_ops, f);
  input_router_set_ready (f->router, f, TRUE);
  f->typing = runner_typing_new (f->router);
  f->loop = g_main_loop_new (NULL, FALSE);
  f->log = g_string_new (NULL);
}

static void
teardown (Fixture *f, gconstpointer data)
{
  runner_typing_free (f->typing);
  input_router_remove_sink (f->router, f);
  input_router_free (f->router);
  g_main_loop_unref (f->loop);
  g_string_free (f->log, TRUE);
}

static void
test_chord (Fixture *f, gconstpointer data)
{
  const guint32 keys[] = { KEY_LEFTCTRL, KEY_LEFTALT, KEY_DELETE };

  g_assert_true (runner_typing_send_keys (f->typing, keys, 3, 1, on_done, f, NULL));
  g_main_loop_run (f->loop);
  g_assert_cmpstr (f->log->str, ==, "+29 +56 +111 -111 -56 -29 ");
}

static void
test_text (Fixture *f, gconstpointer data)
{
  g_assert_true (runner_typing_type (f->typing, "aB?\n", on_done, f, NULL));
  g_main_loop_run (f->loop);
  g_assert_cmpstr (f->log->str, ==, "+30 -30 +42 +48 -48 -42 +42 +53 -53 -42 +28 -28 ");
}

static void
test_all_of_ascii (Fixture *f, gconstpointer data)
{
  for (char c = ' '; c < 127; c++)
    {
      const char text[2] = { c, 0 };

      g_assert_true (runner_typing_type (f->typing, text, NULL, NULL, NULL));
    }
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  const guint32 bad[] = { 0 }, high[] = { BTN_LEFT };
  g_autoptr (GError) error = NULL;

  g_assert_false (runner_typing_send_keys (f->typing, bad, 1, 0, NULL, NULL, NULL));
  g_assert_false (runner_typing_send_keys (f->typing, high, 1, 0, NULL, NULL, NULL));
  g_assert_false (runner_typing_send_keys (f->typing, NULL, 0, 0, NULL, NULL, NULL));
  g_assert_false (runner_typing_type (f->typing, "ab€", on_done, f, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "U+20AC"));
  /* Nothing of a refused text was typed. */
  while (g_main_context_iteration (NULL, FALSE))
    continue;
  g_assert_cmpstr (f->log->str, ==, "");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, func) g_test_add (path, Fixture, NULL, setup, func, teardown)
  ADD ("/typing/chord", test_chord);
  ADD ("/typing/text", test_text);
  ADD ("/typing/all-of-ascii", test_all_of_ascii);
  ADD ("/typing/refused", test_refused);
  return g_test_run ();
}
