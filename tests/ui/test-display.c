/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The display widget against a SPICE server in this process, on a real X server: what arrives on
 * the screen is read back from X, and keys and clicks are made by xdotool. Run it under Xvfb with
 * GDK_BACKEND=x11 and GSK_RENDERER=cairo.
 */
#include <X11/Xlib.h>
#include <X11/Xutil.h>
#include <gdk/x11/gdkx.h>
#include <string.h>

#include "tests/ui/spice-fixture.h"
#include "ui/display/display.h"

typedef struct
{
  SpiceFixture *server;
  GtkWidget *window;
  GtkWidget *other; /* something else that can have the focus */
  AlcoveDisplay *display;
  GString *log;
  guint resize_width;
  guint resize_height;
  guint n_resizes;
  bool released;
} Fixture;

static GString *seen; /* the log of the test that runs, for its failure message */

static void
on_log (const char *line, gpointer data)
{
  GString *log = data;

  g_string_append (log, line);
  g_string_append_c (log, '\n');
}

static void
attach (AlcoveDisplay *display, int fd, gpointer data)
{
  Fixture *f = data;

  g_assert_true (spice_fixture_add_client (f->server, fd));
}

static void
on_resize (AlcoveDisplay *display, guint width, guint height, gpointer data)
{
  Fixture *f = data;

  f->resize_width = width;
  f->resize_height = height;
  f->n_resizes++;
}

static void
follow_resize (AlcoveDisplay *display, guint width, guint height, gpointer data)
{
  Fixture *f = data;

  on_resize (display, width, height, data);
  spice_fixture_set_size (f->server, width, height);
}

static void
on_released (Fixture *f)
{
  f->released = true;
}

static gboolean
timed_out (gpointer data)
{
  *(bool *)data = true;
  return G_SOURCE_REMOVE;
}

/* Runs the main loop until a condition holds, 60 s at most. */
#define wait_for(condition)                                                                        \
  do                                                                                               \
    {                                                                                              \
      bool late = false;                                                                           \
      guint source = g_timeout_add_seconds (60, timed_out, &late);                                 \
                                                                                                   \
      while (!(condition) && !late)                                                                \
        g_main_context_iteration (NULL, TRUE);                                                     \
      if (late)                                                                                    \
        g_error ("%s\nwaited in vain for: %s", seen->str, #condition);                             \
      g_source_remove (source);                                                                    \
    }                                                                                              \
  while (0)

static void
rest (guint ms)
{
  bool over = false;

  g_timeout_add (ms, timed_out, &over);
  while (!over)
    g_main_context_iteration (NULL, TRUE);
}

static void
on_tool_done (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  g_subprocess_wait_check_finish (G_SUBPROCESS (source), result, &error);
  g_assert_no_error (error);
  *(bool *)data = true;
}

static void
xdotool (const char *arguments)
{
  g_autofree char *line = g_strdup_printf ("xdotool %s", arguments);
  g_auto (GStrv) argv = NULL;
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GError) error = NULL;
  bool done = false;

  g_assert_true (g_shell_parse_argv (line, NULL, &argv, &error));
  process = g_subprocess_newv ((const char *const *)argv, G_SUBPROCESS_FLAGS_NONE, &error);
  g_assert_no_error (error);
  g_subprocess_wait_check_async (process, NULL, on_tool_done, &done);
  wait_for (done);
}

static Display *
x_display (void)
{
  return gdk_x11_display_get_xdisplay (gdk_display_get_default ());
}

static int
scale_of (Fixture *f)
{
  return gtk_widget_get_scale_factor (f->window);
}

/* In device pixels: the suite runs at scale 1 and 2. */
static void
set_display_size (Fixture *f, int width, int height)
{
  gtk_widget_set_size_request (GTK_WIDGET (f->display), width / scale_of (f),
                               height / scale_of (f));
}

/* Where the widget's corner is on the screen; the window manager is absent, the window at 0,0. */
static void
get_origin (Fixture *f, int *x, int *y)
{
  double dx, dy, tx, ty;
  int wx, wy;
  Window child;

  gtk_widget_translate_coordinates (GTK_WIDGET (f->display), f->window, 0, 0, &dx, &dy);
  gtk_native_get_surface_transform (GTK_NATIVE (f->window), &tx, &ty);
  XTranslateCoordinates (x_display (),
                         gdk_x11_surface_get_xid (gtk_native_get_surface (GTK_NATIVE (f->window))),
                         DefaultRootWindow (x_display ()), 0, 0, &wx, &wy, &child);
  /* The window's corner came from X in device pixels, the rest is GTK's. */
  *x = wx + (int)(dx + tx) * scale_of (f);
  *y = wy + (int)(dy + ty) * scale_of (f);
}

/* How many pixels of the screen differ from the picture of the server. */
static guint
count_wrong_pixels (Fixture *f)
{
  guint width, height, wrong = 0;
  const guint32 *pixels = spice_fixture_get_pixels (f->server, &width, &height);
  XImage *image;
  int x, y;

  get_origin (f, &x, &y);
  image = XGetImage (x_display (), DefaultRootWindow (x_display ()), x, y, width, height, AllPlanes,
                     ZPixmap);
  g_assert_nonnull (image);
  g_assert_cmpint (image->bits_per_pixel, ==, 32);
  for (guint line = 0; line < height; line++)
    for (guint column = 0; column < width; column++)
      {
        guint32 shown =
            *(guint32 *)(void *)(image->data + line * (guint)image->bytes_per_line + column * 4);

        wrong += (shown & 0xffffff) != pixels[(gsize)line * width + column];
      }
  XDestroyImage (image);
  return wrong;
}

static void
setup (Fixture *f, SpiceFixtureMode mode, guint width, guint height, bool tablet)
{
  g_autoptr (GError) error = NULL;
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0);

  memset (f, 0, sizeof *f);
  seen = f->log = g_string_new (NULL);
  f->server = spice_fixture_new (mode, width, height, tablet, on_log, f->log);
  f->window = gtk_window_new ();
  f->display = ALCOVE_DISPLAY (alcove_display_new ());
  f->other = gtk_button_new_with_label ("other");
  gtk_box_append (GTK_BOX (box), GTK_WIDGET (f->display));
  gtk_box_append (GTK_BOX (box), f->other);
  gtk_window_set_child (GTK_WINDOW (f->window), box);
  gtk_window_set_decorated (GTK_WINDOW (f->window), FALSE);
  set_display_size (f, 800, 600);
  g_signal_connect_swapped (f->display, "released", G_CALLBACK (on_released), f);
  alcove_display_set_resize_func (f->display, on_resize, f, NULL);
  gtk_window_present (GTK_WINDOW (f->window));
  wait_for (gtk_widget_get_mapped (GTK_WIDGET (f->display)));
  g_assert_true (alcove_display_connect (f->display, attach, f, NULL, &error));
  g_assert_no_error (error);
  wait_for (alcove_display_get_guest_width (f->display) == width);
}

static void
teardown (Fixture *f)
{
  alcove_display_disconnect (f->display);
  g_assert_false (alcove_display_get_connected (f->display));
  gtk_window_destroy (GTK_WINDOW (f->window));
  rest (50);
  spice_fixture_free (f->server);
  g_string_free (f->log, TRUE);
  seen = NULL;
}

/* Gives the window the X focus (there is no window manager) and the display the GTK focus. */
static void
focus_display (Fixture *f)
{
  int x, y;
  g_autofree char *click = NULL;

  XSetInputFocus (x_display (),
                  gdk_x11_surface_get_xid (gtk_native_get_surface (GTK_NATIVE (f->window))),
                  RevertToParent, CurrentTime);
  XFlush (x_display ());
  wait_for (gtk_window_is_active (GTK_WINDOW (f->window)));
  get_origin (f, &x, &y);
  click = g_strdup_printf ("mousemove %d %d click 1", x + 400, y + 300);
  xdotool (click);
  wait_for (gtk_widget_has_focus (GTK_WIDGET (f->display)));
}

static bool
log_has (Fixture *f, const char *lines)
{
  return strstr (f->log->str, lines) != NULL;
}

static void
check_picture (SpiceFixtureMode mode)
{
  Fixture f;

  setup (&f, mode, 800, 600, true);
  wait_for (count_wrong_pixels (&f) == 0);

  /* A part that lies across four tiles, and one in the last corner. */
  spice_fixture_fill (f.server, 250, 250, 20, 20, 0x123456);
  spice_fixture_fill (f.server, 799, 599, 1, 1, 0xfedcba);
  wait_for (count_wrong_pixels (&f) == 0);

  /* Another size: the picture is scaled, so its middle has the middle's colour. */
  spice_fixture_set_size (f.server, 400, 300);
  wait_for (alcove_display_get_guest_width (f.display) == 400);
  spice_fixture_fill (f.server, 0, 0, 400, 300, 0x00ff80);
  wait_for (count_wrong_pixels (&f) == 0);

  spice_fixture_set_size (f.server, 800, 600);
  wait_for (alcove_display_get_guest_width (f.display) == 800);
  wait_for (count_wrong_pixels (&f) == 0);
  teardown (&f);
}

static void
test_memfd (void)
{
  check_picture (SPICE_FIXTURE_MEMFD);
}

static void
test_memfd_unsealed (void)
{
  check_picture (SPICE_FIXTURE_MEMFD_UNSEALED);
}

static void
test_drawables (void)
{
  check_picture (SPICE_FIXTURE_DRAWABLES);
}

/* Each frame is acknowledged once, shown or not. */
static void
test_acknowledge (void)
{
  Fixture f;
  guint before;

  setup (&f, SPICE_FIXTURE_MEMFD, 800, 600, true);
  wait_for (spice_fixture_get_frames_acked (f.server) > 0);
  for (guint i = 0; i < 20; i++)
    {
      before = spice_fixture_get_frames_acked (f.server);
      spice_fixture_fill (f.server, i, i, 4, 4, i);
      wait_for (spice_fixture_get_frames_acked (f.server) == before + 1);
    }
  gtk_widget_set_visible (f.window, FALSE);
  wait_for (!gtk_widget_get_mapped (GTK_WIDGET (f.display)));
  before = spice_fixture_get_frames_acked (f.server);
  spice_fixture_fill (f.server, 10, 10, 4, 4, 0xff);
  wait_for (spice_fixture_get_frames_acked (f.server) == before + 1);
  gtk_window_present (GTK_WINDOW (f.window));
  wait_for (gtk_widget_get_mapped (GTK_WIDGET (f.display)));
  wait_for (count_wrong_pixels (&f) == 0);
  teardown (&f);
}

static void
test_keys (void)
{
  Fixture f;

  setup (&f, SPICE_FIXTURE_MEMFD, 800, 600, true);
  focus_display (&f);
  g_string_truncate (f.log, 0);
  xdotool ("key a Up F11 Pause ctrl+alt+Delete");
  wait_for (
      log_has (&f, "key 1e\nkey 9e\n"                                         /* a */
                   "key e0\nkey 48\nkey e0\nkey c8\n"                         /* Up */
                   "key 57\nkey d7\n"                                         /* F11 */
                   "key e1\nkey 1d\nkey 45\nkey e1\nkey 9d\nkey c5\n"         /* Pause */
                   "key 1d\nkey 38\nkey e0\nkey 53\nkey 9d\nkey b8\nkey e0\n" /* C-A-Del; xdotool */
                   "key d3\n"));
  g_assert_false (f.released);

  /* What is held when the focus goes is let up. */
  g_string_truncate (f.log, 0);
  xdotool ("keydown s");
  wait_for (log_has (&f, "key 1f\n"));
  gtk_widget_grab_focus (f.other);
  wait_for (log_has (&f, "key 9f\n"));
  xdotool ("keyup s key d");
  rest (100);
  g_assert_false (log_has (&f, "key 20\n"));
  teardown (&f);
}

/* A key held down repeats to the guest and ends with one release. */
static guint
count_lines (Fixture *f, const char *line)
{
  guint n = 0;

  for (const char *p = f->log->str; (p = strstr (p, line)); p++)
    n++;
  return n;
}

static void
test_repeat (void)
{
  Fixture f;

  setup (&f, SPICE_FIXTURE_MEMFD, 800, 600, true);
  focus_display (&f);
  g_string_truncate (f.log, 0);
  xdotool ("keydown k");
  wait_for (count_lines (&f, "key 25\n") >= 3);
  g_assert_cmpuint (count_lines (&f, "key a5\n"), ==, 0);
  xdotool ("keyup k");
  wait_for (log_has (&f, "key a5\n"));
  g_assert_cmpuint (count_lines (&f, "key a5\n"), ==, 1);
  teardown (&f);
}

static void
test_grab (void)
{
  Fixture f;

  setup (&f, SPICE_FIXTURE_MEMFD, 800, 600, true);
  focus_display (&f);
  alcove_display_grab (f.display);
  g_assert_true (alcove_display_get_grabbed (f.display));

  /* The chord within another combination is the guest's. */
  xdotool ("key ctrl+alt+t");
  wait_for (log_has (&f, "key 94\n"));
  g_assert_true (alcove_display_get_grabbed (f.display));
  g_assert_false (f.released);

  g_string_truncate (f.log, 0);
  xdotool ("key ctrl+alt");
  wait_for (f.released);
  g_assert_false (alcove_display_get_grabbed (f.display));
  wait_for (log_has (&f, "key b8\n") && log_has (&f, "key 9d\n"));

  /* Another chord. */
  f.released = false;
  g_object_set (f.display, "release-chord", ALCOVE_CHORD_RIGHT_CTRL, NULL);
  focus_display (&f);
  alcove_display_grab (f.display);
  xdotool ("key ctrl+alt");
  rest (100);
  g_assert_false (f.released);
  xdotool ("key 105"); /* as a key code: xdotool would add the left one */
  wait_for (f.released);
  teardown (&f);
}

static void
test_tablet (void)
{
  Fixture f;
  g_autofree char *move = NULL;
  int x, y;

  setup (&f, SPICE_FIXTURE_MEMFD, 800, 600, true);
  focus_display (&f);
  get_origin (&f, &x, &y);
  move = g_strdup_printf ("mousemove %d %d", x + 123, y + 456);
  xdotool (move);
  wait_for (log_has (&f, "position 123 456 0\n"));
  g_string_truncate (f.log, 0);
  xdotool ("click 1 click 3 click 2 click 4 click 5");
  wait_for (log_has (&f, "wheel 1\n"));
  g_assert_nonnull (strstr (f.log->str, "buttons 1\n"));
  g_assert_nonnull (strstr (f.log->str, "wheel -1\n"));

  /* Half the size: the pointer is mapped. */
  spice_fixture_set_size (f.server, 400, 300);
  wait_for (alcove_display_get_guest_width (f.display) == 400);
  g_string_truncate (f.log, 0);
  g_free (move);
  move = g_strdup_printf ("mousemove %d %d", x + 200, y + 100);
  xdotool (move);
  wait_for (log_has (&f, "position 100 50 0\n"));
  teardown (&f);
}

/* A guest with only a mouse: the first click takes the pointer, movement arrives as differences,
 * and the pointer does not stick at the edge. */
static void
test_relative (void)
{
  Fixture f;
  int total = 0;

  setup (&f, SPICE_FIXTURE_MEMFD, 800, 600, false);
  focus_display (&f);
  wait_for (alcove_display_get_grabbed (f.display));
  g_assert_false (log_has (&f, "buttons 1"));
  rest (200);
  g_string_truncate (f.log, 0);
  for (int i = 0; i < 40; i++)
    {
      xdotool ("mousemove_relative 50 0");
      rest (20);
    }
  rest (200);
  for (const char *p = f.log->str; (p = strstr (p, "motion ")); p++)
    total += atoi (p + strlen ("motion "));
  /* More than the widget is wide: it did not stick. A busy machine may lose a little. */
  g_assert_cmpint (total, >=, 1000);
  g_assert_cmpint (total, <=, 2100);
  teardown (&f);
}

static void
test_resize (void)
{
  Fixture f;
  guint before;
  gint64 began, took;

  setup (&f, SPICE_FIXTURE_MEMFD, 800, 600, true);
  wait_for (f.resize_width == 800 && f.resize_height == 600);
  before = f.n_resizes;
  alcove_display_set_resize_func (f.display, follow_resize, &f, NULL);
  began = g_get_monotonic_time ();
  for (int i = 0; i < 10; i++)
    {
      set_display_size (&f, 810 + i * 10, 610);
      rest (20);
    }
  took = g_get_monotonic_time () - began;
  wait_for (alcove_display_get_guest_width (f.display) == 900);
  g_assert_cmpuint (alcove_display_get_guest_height (f.display), ==, 610);
  /* Sizes that follow each other quickly are one question; on a busy machine they may not. */
  if (took < G_USEC_PER_SEC / 2)
    g_assert_cmpuint (f.n_resizes, <=, before + 3);
  wait_for (count_wrong_pixels (&f) == 0);

  g_object_set (f.display, "resize-guest", FALSE, NULL);
  before = f.n_resizes;
  set_display_size (&f, 950, 610);
  rest (500);
  g_assert_cmpuint (f.n_resizes, ==, before);
  teardown (&f);
}

static void
test_cursor (void)
{
  Fixture f;

  setup (&f, SPICE_FIXTURE_MEMFD, 800, 600, true);
  spice_fixture_set_cursor (f.server, true);
  wait_for (gtk_widget_get_cursor (GTK_WIDGET (f.display)) &&
            gdk_cursor_get_texture (gtk_widget_get_cursor (GTK_WIDGET (f.display))));
  g_assert_cmpint (gdk_cursor_get_hotspot_x (gtk_widget_get_cursor (GTK_WIDGET (f.display))), ==,
                   4);
  spice_fixture_set_cursor (f.server, false);
  wait_for (
      !g_strcmp0 (gdk_cursor_get_name (gtk_widget_get_cursor (GTK_WIDGET (f.display))), "none"));
  teardown (&f);
}

/* The machine goes away: the widget notices, keeps the picture, and connects again. */
static void
test_disconnect (void)
{
  Fixture f;
  g_autoptr (GError) error = NULL;

  setup (&f, SPICE_FIXTURE_MEMFD, 800, 600, true);
  wait_for (alcove_display_get_connected (f.display));
  wait_for (count_wrong_pixels (&f) == 0);
  spice_fixture_free (f.server);
  wait_for (!alcove_display_get_connected (f.display));
  g_assert_cmpuint (alcove_display_get_guest_width (f.display), ==, 800);
  f.server = spice_fixture_new (SPICE_FIXTURE_MEMFD, 640, 480, true, on_log, f.log);
  g_assert_true (alcove_display_connect (f.display, attach, &f, NULL, &error));
  wait_for (alcove_display_get_guest_width (f.display) == 640);
  teardown (&f);
}

int
main (int argc, char **argv)
{
  static const char *const ours[] = {
    "Gtk", "Gdk", "GLib", "GLib-GObject", "GLib-GIO", "alcove-ui"
  };

  gtk_test_init (&argc, &argv, NULL);
  /* spice-server warns about ordinary things, such as a client that went away. */
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  for (guint i = 0; i < G_N_ELEMENTS (ours); i++)
    g_log_set_fatal_mask (ours[i], G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
  g_test_add_func ("/ui/display/memfd", test_memfd);
  g_test_add_func ("/ui/display/memfd-unsealed", test_memfd_unsealed);
  g_test_add_func ("/ui/display/drawables", test_drawables);
  g_test_add_func ("/ui/display/acknowledge", test_acknowledge);
  g_test_add_func ("/ui/display/keys", test_keys);
  g_test_add_func ("/ui/display/repeat", test_repeat);
  g_test_add_func ("/ui/display/grab", test_grab);
  g_test_add_func ("/ui/display/tablet", test_tablet);
  g_test_add_func ("/ui/display/relative", test_relative);
  g_test_add_func ("/ui/display/resize", test_resize);
  g_test_add_func ("/ui/display/cursor", test_cursor);
  g_test_add_func ("/ui/display/disconnect", test_disconnect);
  return g_test_run ();
}
