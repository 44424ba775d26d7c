/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The SPICE back end against a real client. */
#include "devices/backends/spice/scancode.h"
#include "spice-fixture.h"
#include <linux/input-event-codes.h>
#include <sys/socket.h>
#include <unistd.h>

static void
test_scanout (void)
{
  Server *s = server_new (FALSE, NULL);
  DisplaySurface *a = new_picture (64, 48, 1), *b = new_picture (100, 50, 2);
  Client *c;
  guint before;

  display_scanout_set_surface (s->scanout, a);
  g_assert_cmpint (g_atomic_int_get (&s->watched), ==, 0);
  c = client_new (s, TRUE, NULL);
  WAIT (c->n_draws > 0);
  g_assert_true (shows (c, a));
  g_assert_cmpint (g_atomic_int_get (&s->watched), ==, 1);
  g_assert_cmpuint (spice_backend_get_n_clients (s->spice), ==, 1);

  /* The memory is shared: what the guest draws is there, and the draw message says where. */
  WAIT (c->draw[2] == 64);
  before = c->n_draws;
  paint (a, 10, 20, 5, 6, 9);
  display_scanout_damage (s->scanout, 10, 20, 5, 6);
  WAIT (c->n_draws == before + 1);
  g_assert_cmpuint (c->draw[0], ==, 10);
  g_assert_cmpuint (c->draw[1], ==, 20);
  g_assert_cmpuint (c->draw[2], ==, 5);
  g_assert_cmpuint (c->draw[3], ==, 6);
  g_assert_true (shows (c, a));

  /* A client that is slow gets one draw, then one for all that was missed. */
  c->hold_draws = TRUE;
  before = c->n_draws;
  display_scanout_damage (s->scanout, 0, 0, 1, 1);
  WAIT (c->n_draws == before + 1);
  display_scanout_damage (s->scanout, 2, 3, 4, 4);
  display_scanout_damage (s->scanout, 20, 30, 4, 4);
  for (guint i = 0; i < 20; i++)
    g_main_context_iteration (NULL, FALSE);
  g_assert_cmpuint (c->n_draws, ==, before + 1);
  c->hold_draws = FALSE;
  spice_display_channel_gl_draw_done (c->display);
  WAIT (c->n_draws == before + 2);
  g_assert_cmpuint (c->draw[0], ==, 2);
  g_assert_cmpuint (c->draw[1], ==, 3);
  g_assert_cmpuint (c->draw[2], ==, 22);
  g_assert_cmpuint (c->draw[3], ==, 31);

  /* Another mode; damage of the larger old one is clipped to it. */
  display_scanout_set_surface (s->scanout, b);
  WAIT (shows (c, b) && c->draw[2] == 100);
  display_scanout_set_surface (s->scanout, a);
  WAIT (shows (c, a) && c->draw[2] == 64);
  g_assert_cmpuint (c->n_primaries, ==, 0);

  /* Paused machines are shown too. */
  spice_backend_set_running (s->spice, FALSE);
  before = c->n_draws;
  display_scanout_damage (s->scanout, 0, 0, 8, 8);
  WAIT (c->n_draws == before + 1);

  client_free (c);
  WAIT (g_atomic_int_get (&s->watched) == 0);
  g_assert_cmpuint (spice_backend_get_n_clients (s->spice), ==, 0);
  server_free (s);
  display_surface_unref (a);
  display_surface_unref (b);
}

static void
test_drawables (void)
{
  Server *s = server_new (TRUE, NULL);
  DisplaySurface *a = new_picture (320, 200, 1), *b = new_picture (101, 57, 2);
  Client *c;

  display_scanout_set_surface (s->scanout, a);
  c = client_new (s, FALSE, NULL);
  WAIT (shows (c, a));
  g_assert_cmpuint (c->n_scanouts, ==, 0);

  paint (a, 30, 40, 50, 60, 7);
  display_scanout_damage (s->scanout, 30, 40, 50, 60);
  WAIT (shows (c, a));
  /* A burst: whatever is left out on the way, the last picture arrives. */
  for (guint i = 0; i < 200; i++)
    {
      paint (a, i, i / 2, 33, 20, i);
      display_scanout_damage (s->scanout, i, i / 2, 33, 20);
    }
  WAIT (shows (c, a));

  display_scanout_set_surface (s->scanout, b);
  WAIT (shows (c, b));
  display_scanout_set_surface (s->scanout, NULL);
  WAIT (c->pixels == NULL);
  display_scanout_set_surface (s->scanout, a);
  WAIT (shows (c, a));

  client_free (c);
  WAIT (g_atomic_int_get (&s->watched) == 0);
  /* Connected while paused: the picture comes with the surface. */
  spice_backend_set_running (s->spice, FALSE);
  c = client_new (s, FALSE, NULL);
  WAIT (shows (c, a));
  client_free (c);
  server_free (s);
  display_surface_unref (a);
  display_surface_unref (b);
}

/* The window and a foreign viewer in turn on one machine: each gets its own kind of picture. */
static void
test_take_over (void)
{
  Server *s = server_new (TRUE, NULL);
  DisplaySurface *a = new_picture (80, 60, 3);
  Client *foreign, *window, *window2;

  display_scanout_set_surface (s->scanout, a);
  foreign = client_new (s, FALSE, NULL);
  WAIT (shows (foreign, a));
  window = client_new (s, TRUE, NULL);
  WAIT (shows (window, a) && window->n_draws > 0);
  WAIT (foreign->closed);
  g_assert_cmpuint (window->n_scanouts, >, 0);
  g_assert_cmpuint (spice_backend_get_n_clients (s->spice), ==, 1);

  window2 = client_new (s, TRUE, NULL);
  WAIT (shows (window2, a) && window2->n_draws > 0);
  WAIT (window->closed);
  client_free (foreign);
  client_free (window);
  paint (a, 0, 0, 80, 60, 8);
  display_scanout_damage (s->scanout, 0, 0, 80, 60);
  WAIT (shows (window2, a));
  g_assert_cmpuint (spice_backend_get_n_clients (s->spice), ==, 1);

  foreign = client_new (s, FALSE, NULL);
  WAIT (shows (foreign, a));
  WAIT (window2->closed);
  client_free (window2);
  client_free (foreign);
  for (guint i = 0; i < 5; i++)
    {
      window = client_new (s, i & 1, NULL);
      WAIT (shows (window, a));
      client_free (window);
      WAIT (spice_backend_get_n_clients (s->spice) == 0);
    }
  server_free (s);
  display_surface_unref (a);
}

static int
mouse_mode (Client *c)
{
  int mode;

  g_object_get (c->main, "mouse-mode", &mode, NULL);
  return mode;
}

static void
test_input (void)
{
  Server *s = server_new (FALSE, NULL);
  DisplaySurface *a = new_picture (640, 480, 1);
  Client *c;
  int modifiers = 0;
  const int buttons[] = { SPICE_MOUSE_BUTTON_LEFT, SPICE_MOUSE_BUTTON_MIDDLE,
                          SPICE_MOUSE_BUTTON_SIDE, SPICE_MOUSE_BUTTON_EXTRA };

  display_scanout_set_surface (s->scanout, a);
  c = client_new (s, TRUE, NULL);
  WAIT (c->inputs != NULL && c->n_channels >= 4 && c->n_draws > 0);
  WAIT (mouse_mode (c) == SPICE_MOUSE_MODE_SERVER);

  spice_inputs_channel_key_press (c->inputs, 0x1e);
  spice_inputs_channel_key_release (c->inputs, 0x1e);
  spice_inputs_channel_key_press (c->inputs, 0x148);
  spice_inputs_channel_key_release (c->inputs, 0x148);
  spice_inputs_channel_key_press (c->inputs, 0x58);
  spice_inputs_channel_key_release (c->inputs, 0x58);
  WAIT (log_is (s, "+30 -30 +103 -103 +88 -88 "));
  log_clear (s);

  spice_inputs_channel_motion (c->inputs, 5, -3, 0);
  WAIT (log_is (s, "+5-3 "));
  log_clear (s);
  spice_inputs_channel_button_press (c->inputs, SPICE_MOUSE_BUTTON_RIGHT,
                                     SPICE_MOUSE_BUTTON_MASK_RIGHT);
  spice_inputs_channel_button_release (c->inputs, SPICE_MOUSE_BUTTON_RIGHT, 0);
  WAIT (log_is (s, "mb4 mb0 "));
  log_clear (s);
  for (guint i = 0; i < G_N_ELEMENTS (buttons); i++)
    {
      spice_inputs_channel_button_press (c->inputs, buttons[i], 1 << (buttons[i] - 1));
      spice_inputs_channel_button_release (c->inputs, buttons[i], 0);
    }
  WAIT (log_is (s, "mb1 mb0 mb2 mb0 mb8 mb0 mb10 mb0 "));
  log_clear (s);

  /* The guest's tablet driver comes up: the client may send positions, and asks for it. */
  input_router_set_ready (s->router, &s->tablet, TRUE);
  WAIT (mouse_mode (c) == SPICE_MOUSE_MODE_CLIENT);
  spice_inputs_channel_position (c->inputs, 0, 479, 0, 0);
  WAIT (log_is (s, "@25,32733 "));
  log_clear (s);
  spice_inputs_channel_button_press (c->inputs, SPICE_MOUSE_BUTTON_LEFT,
                                     SPICE_MOUSE_BUTTON_MASK_LEFT);
  spice_inputs_channel_button_press (c->inputs, SPICE_MOUSE_BUTTON_UP,
                                     SPICE_MOUSE_BUTTON_MASK_LEFT | SPICE_MOUSE_BUTTON_MASK_UP);
  spice_inputs_channel_button_release (c->inputs, SPICE_MOUSE_BUTTON_UP,
                                       SPICE_MOUSE_BUTTON_MASK_LEFT);
  WAIT (log_is (s, "tb1 tw1,0 "));
  log_clear (s);
  input_router_set_leds (s->router, 2);
  WAIT ((g_object_get (c->inputs, "key-modifiers", &modifiers, NULL), modifiers == 2));

  /* The driver goes (the guest resets) with the button held. */
  input_router_set_ready (s->router, &s->tablet, FALSE);
  WAIT (mouse_mode (c) == SPICE_MOUSE_MODE_SERVER);
  input_router_set_ready (s->router, &s->tablet, TRUE);
  WAIT (mouse_mode (c) == SPICE_MOUSE_MODE_CLIENT);

  /* A client that vanishes leaves no key down. */
  log_clear (s);
  spice_inputs_channel_key_press (c->inputs, 0x2a);
  WAIT (log_is (s, "+42 "));
  client_free (c);
  WAIT (log_is (s, "+42 -42 tb0 "));
  server_free (s);
  display_surface_unref (a);
}

static void
test_cursor (void)
{
  Server *s = server_new (FALSE, NULL);
  DisplaySurface *a = new_picture (64, 48, 1);
  guint32 argb[6] = { 0xff102030, 0x80402010, 0, 0xffffffff, 0x01010101, 0xff000000 };
  DisplayCursor cursor = { 3, 2, 1, 1, argb };
  Client *c;
  guint before;

  display_scanout_set_surface (s->scanout, a);
  display_scanout_set_cursor (s->scanout, &cursor);
  display_scanout_move_cursor (s->scanout, 11, 12, TRUE);
  c = client_new (s, TRUE, NULL);
  WAIT (c->n_cursors > 0 && c->cursor_width == 3);
  g_assert_cmpuint (c->cursor_height, ==, 2);
  g_assert_cmpuint (c->cursor_hot_x, ==, 1);
  g_assert_cmpuint (c->cursor_hot_y, ==, 1);
  /* RGBA in memory, straight alpha. */
  g_assert_cmphex (GUINT32_FROM_BE (c->cursor[0]), ==, 0x102030ff);
  g_assert_cmphex (GUINT32_FROM_BE (c->cursor[1]), ==, 0x80402080);
  g_assert_cmphex (GUINT32_FROM_BE (c->cursor[2]), ==, 0);
  g_assert_cmphex (GUINT32_FROM_BE (c->cursor[4]), ==, 0xffffff01);

  display_scanout_move_cursor (s->scanout, 33, 44, TRUE);
  WAIT (c->cursor_x == 33 && c->cursor_y == 44);
  before = c->n_hides;
  display_scanout_move_cursor (s->scanout, 33, 44, FALSE);
  WAIT (c->n_hides > before);
  before = c->n_cursors;
  display_scanout_move_cursor (s->scanout, 33, 44, TRUE);
  WAIT (c->n_cursors > before && c->cursor_width == 3);
  before = c->n_hides;
  display_scanout_set_cursor (s->scanout, NULL);
  WAIT (c->n_hides > before);
  client_free (c);
  server_free (s);
  display_surface_unref (a);
}

static void
test_password (void)
{
  Server *s = server_new (TRUE, "sesame");
  DisplaySurface *a = new_picture (64, 48, 1);
  Client *c;

  display_scanout_set_surface (s->scanout, a);
  c = client_new (s, FALSE, "wrong");
  WAIT (c->auth_failed);
  g_assert_null (c->pixels);
  client_free (c);
  c = client_new (s, FALSE, "sesame");
  WAIT (shows (c, a));
  client_free (c);
  /* Holding the fd is the permission. */
  c = client_new (s, TRUE, NULL);
  WAIT (shows (c, a));
  client_free (c);
  server_free (s);
  display_surface_unref (a);
}

static guint
count_fds (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* A client that never answers a draw, while everything else goes on around it. */
static void
test_stuck_client (void)
{
  DisplaySurface *a = new_picture (64, 48, 1), *b = new_picture (48, 64, 2);

  for (guint i = 0; i < 4; i++)
    {
      Server *s = server_new (FALSE, NULL);
      Client *c, *c2;

      display_scanout_set_surface (s->scanout, a);
      c = client_new (s, TRUE, NULL);
      c->hold_draws = TRUE;
      WAIT (c->n_draws == 1);
      display_scanout_set_surface (s->scanout, b);
      display_scanout_set_surface (s->scanout, NULL);
      display_scanout_set_surface (s->scanout, b);
      display_scanout_damage (s->scanout, 0, 0, 10, 10);
      if (i & 1)
        {
          c2 = client_new (s, TRUE, NULL);
          WAIT (shows (c2, b));
          c2->hold_draws = TRUE;
          display_scanout_damage (s->scanout, 0, 0, 10, 10);
          server_free (s);
          client_free (c2);
        }
      else
        {
          server_free (s);
        }
      client_free (c);
    }
  display_surface_unref (a);
  display_surface_unref (b);
}

/* Clients come and go, machines too: no fd stays behind. */
static void
test_fds (void)
{
  DisplaySurface *a = new_picture (64, 48, 1), *b = new_picture (48, 64, 2);
  guint n_fds = 0;

  for (guint i = 0; i < 6; i++)
    {
      Server *s = server_new (TRUE, NULL);
      Client *c;

      display_scanout_set_surface (s->scanout, a);
      for (guint j = 0; j < 2; j++)
        {
          c = client_new (s, (i ^ j) & 1, NULL);
          WAIT (shows (c, a));
          display_scanout_set_surface (s->scanout, b);
          WAIT (shows (c, b));
          client_free (c);
          WAIT (spice_backend_get_n_clients (s->spice) == 0);
          display_scanout_set_surface (s->scanout, a);
        }
      server_free (s);
      while (g_main_context_iteration (NULL, FALSE))
        ;
      /* Libraries open things once. */
      if (i == 1)
        n_fds = count_fds ();
    }
  g_assert_cmpuint (count_fds (), <=, n_fds);
  display_surface_unref (a);
  display_surface_unref (b);
}

static void
test_two_machines (void)
{
  Server *s[2] = { server_new (FALSE, NULL), server_new (TRUE, NULL) };
  DisplaySurface *a[2] = { new_picture (64, 48, 1), new_picture (48, 64, 2) };
  Client *c[2];

  for (guint i = 0; i < 2; i++)
    {
      display_scanout_set_surface (s[i]->scanout, a[i]);
      c[i] = client_new (s[i], TRUE, NULL);
    }
  WAIT (shows (c[0], a[0]) && shows (c[1], a[1]));
  client_free (c[0]);
  WAIT (spice_backend_get_n_clients (s[0]->spice) == 0);
  g_assert_cmpuint (spice_backend_get_n_clients (s[1]->spice), ==, 1);
  server_free (s[0]); /* with the other one's client still there */
  paint (a[1], 0, 0, 10, 10, 9);
  display_scanout_damage (s[1]->scanout, 0, 0, 10, 10);
  WAIT (shows (c[1], a[1]));
  server_free (s[1]); /* before its client */
  WAIT (c[1]->closed);
  client_free (c[1]);
  display_surface_unref (a[0]);
  display_surface_unref (a[1]);
}

static void
expect_refused (SpiceConfig *config)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (spice_backend_new (config, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
}

static void
test_bad_config (void)
{
  g_autofree char *long_path = g_strnfill (200, 'x');
  InputRouter *router = input_router_new ();
  SpiceConfig config = { .name = "test", .router = router };
  SpiceBackend *spice;
  g_autoptr (GError) error = NULL;
  int fds[2];

  config.listen_tcp = "127.0.0.1:5999";
  expect_refused (&config); /* no password */
  config.password = "x";
  config.listen_unix = "/nonexistent/spice";
  expect_refused (&config); /* two of them */
  config.listen_unix = NULL;
  config.listen_tcp = "127.0.0.1:70000";
  expect_refused (&config);
  config.listen_tcp = "127.0.0.1";
  expect_refused (&config);
  config.listen_tcp = NULL;
  config.listen_unix = long_path;
  expect_refused (&config);
  config.listen_unix = NULL;
  config.password = long_path;
  expect_refused (&config);
  config.password = NULL;
  config.listen_unix = "/nonexistent/spice";
  g_assert_null (spice_backend_new (&config, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "/nonexistent/spice"));
  g_clear_error (&error);

  /* No scanout at all is fine; fds that are no stream sockets are refused and closed. */
  config.listen_unix = NULL;
  spice = spice_backend_new (&config, &error);
  g_assert_no_error (error);
  g_assert_cmpint (pipe (fds), ==, 0);
  g_assert_false (spice_backend_add_client (spice, fds[0], &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_cmpint (close (fds[0]), <, 0);
  close (fds[1]);
  g_assert_false (spice_backend_add_client (spice, -1, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);

  /* A peer that talks nonsense, and one that says nothing and goes. */
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
      g_clear_error (&error);
      g_assert_true (spice_backend_add_client (spice, fds[1], &error));
      if (i == 0)
        g_assert_cmpint (send (fds[0], long_path, 200, MSG_NOSIGNAL), ==, 200);
      close (fds[0]);
    }
  spice_backend_set_running (spice, TRUE);
  g_assert_cmpuint (spice_backend_get_n_clients (spice), ==, 0);
  spice_backend_free (spice);
  spice_backend_free (NULL);
  input_router_free (router);
}

static void
test_scancodes (void)
{
  static const struct
  {
    guint8 bytes[4];
    guint n;
    int keycode; /* negative: up; 0: nothing */
  } cases[] = {
    { { 0x01 }, 1, KEY_ESC },
    { { 0x81 }, 1, -KEY_ESC },
    { { 0x53 }, 1, KEY_KPDOT },
    { { 0x56 }, 1, KEY_102ND },
    { { 0x57 }, 1, KEY_F11 },
    { { 0xd8 }, 1, -KEY_F12 },
    { { 0x64 }, 1, KEY_F13 },
    { { 0x73 }, 1, KEY_RO },
    { { 0xe0, 0x1d }, 2, KEY_RIGHTCTRL },
    { { 0xe0, 0xdb }, 2, -KEY_LEFTMETA },
    { { 0xe0, 0x37 }, 2, KEY_SYSRQ },
    { { 0xe0, 0x2a }, 2, 0 }, /* false shift */
    { { 0xe0, 0xaa }, 2, 0 },
    { { 0xe0, 0xe0, 0x48 }, 3, KEY_UP },
    { { 0xe1, 0x1d, 0x45 }, 3, KEY_PAUSE },
    { { 0xe1, 0x9d, 0xc5 }, 3, -KEY_PAUSE },
    { { 0xe1, 0x9d, 0x12 }, 3, 0 },
    { { 0x00 }, 1, 0 },
    { { 0x7f }, 1, 0 },
    { { 0x80 }, 1, 0 },
    { { 0xff }, 1, 0 },
    { { 0x1e }, 1, KEY_A }, /* whatever came before is forgotten */
  };
  SpiceScanState state = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      int got = 0;

      for (guint j = 0; j < cases[i].n; j++)
        {
          guint keycode;
          gboolean down;

          if (spice_input_decode (&state, cases[i].bytes[j], &keycode, &down))
            got = down ? (int)keycode : -(int)keycode;
        }
      g_assert_cmpint (got, ==, cases[i].keycode);
    }
}

int
main (int argc, char **argv)
{
  g_autofree char *module_dir = g_path_get_dirname (SPICE_MODULE_PATH);

  g_test_init (&argc, &argv, NULL);
  g_setenv ("ALCOVE_SPICE_MODULE_DIR", module_dir, TRUE);
  /* Clients that go without a word make the libraries warn; ours have GErrors. */
  g_log_set_always_fatal (G_LOG_LEVEL_ERROR | G_LOG_FLAG_FATAL);
  g_test_add_func ("/spice/scancodes", test_scancodes);
  g_test_add_func ("/spice/bad-config", test_bad_config);
  g_test_add_func ("/spice/scanout", test_scanout);
  g_test_add_func ("/spice/drawables", test_drawables);
  g_test_add_func ("/spice/take-over", test_take_over);
  g_test_add_func ("/spice/input", test_input);
  g_test_add_func ("/spice/cursor", test_cursor);
  g_test_add_func ("/spice/password", test_password);
  g_test_add_func ("/spice/stuck-client", test_stuck_client);
  g_test_add_func ("/spice/fds", test_fds);
  g_test_add_func ("/spice/two-machines", test_two_machines);
  return g_test_run ();
}
