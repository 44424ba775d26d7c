/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Library and machines against a VM process without a VM (fake-vmm.c): the lock, the launch, the
 * control connection and the monitors are the real ones. */
#include "app/library.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "app-dirs.h"
#include "app/control.h"
#include "app/definition-edit.h"
#include "app/launch.h"
#include "app/lock.h"
#include "app/picture.h"

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **)user_data = g_object_ref (result);
}

static GAsyncResult *
wait_for (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return *result;
}

static gboolean
on_deadline (gpointer user_data)
{
  g_error ("it did not happen in time: %s", (const char *)user_data);
  return G_SOURCE_REMOVE;
}

#define WAIT_UNTIL(condition)                                                                      \
  G_STMT_START                                                                                     \
  {                                                                                                \
    char what_[] = #condition;                                                                     \
    guint deadline_ = g_timeout_add_seconds (20, on_deadline, what_);                              \
    while (!(condition))                                                                           \
      g_main_context_iteration (NULL, TRUE);                                                       \
    g_source_remove (deadline_);                                                                   \
  }                                                                                                \
  G_STMT_END

static AlcoveMachine *
create (AlcoveLibrary *library, const char *name, const char *os)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  AlcoveCreateSpec spec;
  AlcoveMachine *machine;

  alcove_create_spec_init (&spec);
  spec.name = name;
  spec.os = os;
  spec.disk_bytes = 1024 * 1024;
  alcove_library_create_async (library, &spec, NULL, NULL, NULL, on_ready, &result);
  machine = alcove_library_create_finish (library, wait_for (&result), &error);
  g_assert_no_error (error);
  g_assert_nonnull (machine);
  return machine;
}

typedef void (*Operation) (AlcoveMachine *, GCancellable *, GAsyncReadyCallback, gpointer);

static gboolean
operate (AlcoveMachine *machine, Operation operation, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  operation (machine, NULL, on_ready, &result);
  return alcove_machine_finish (machine, wait_for (&result), error);
}

static gboolean
start (AlcoveMachine *machine, AlcoveStartFlags flags, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  alcove_machine_start_async (machine, flags, NULL, on_ready, &result);
  return alcove_machine_finish (machine, wait_for (&result), error);
}

static void
assert_start (AlcoveMachine *machine, AlcoveStartFlags flags)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (start (machine, flags, &error) || error != NULL);
  g_assert_no_error (error);
}

static void
assert_operate (AlcoveMachine *machine, Operation operation)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (operate (machine, operation, &error) || error != NULL);
  g_assert_no_error (error);
}

static void
assert_log (AlcoveMachine *machine, const char *expected)
{
  g_autofree char *path =
      g_build_filename (alcove_machine_get_folder (machine), "log", "fake", NULL);
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, expected);
}

static void
test_life (void)
{
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);
  g_autoptr (AlcoveLibrary) other = alcove_library_new (NULL);
  g_autoptr (AlcoveMachine) machine = create (library, "Life", NULL);
  g_autoptr (GError) error = NULL;
  AlcoveMachine *seen;

  g_assert_cmpstr (alcove_machine_get_id (machine), ==, "life");
  g_assert_cmpint (alcove_machine_get_state (machine), ==, ALCOVE_MACHINE_STOPPED);
  g_assert_false (operate (machine, alcove_machine_pause_async, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE);
  g_clear_error (&error);

  /* A second window sees the machine appear and start, without being told. */
  WAIT_UNTIL (g_list_model_get_n_items (G_LIST_MODEL (other)) == 1);
  seen = alcove_library_find (other, "life", &error);
  g_assert_no_error (error);
  assert_start (machine, ALCOVE_START_NONE);
  g_assert_cmpint (alcove_machine_get_state (machine), ==, ALCOVE_MACHINE_RUNNING);
  g_assert_cmpuint (alcove_machine_get_pid (machine), >, 1);
  WAIT_UNTIL (alcove_machine_get_state (seen) == ALCOVE_MACHINE_RUNNING);
  g_assert_false (start (machine, ALCOVE_START_NONE, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE);
  g_clear_error (&error);
  g_assert_false (alcove_library_delete (library, machine, NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE);
  g_clear_error (&error);

  assert_operate (machine, alcove_machine_pause_async);
  WAIT_UNTIL (alcove_machine_get_state (machine) == ALCOVE_MACHINE_PAUSED);
  WAIT_UNTIL (alcove_machine_get_state (seen) == ALCOVE_MACHINE_PAUSED);
  g_assert_false (operate (seen, alcove_machine_pause_async, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE);
  g_assert_cmpstr (error->message, ==, "The machine is paused already"); /* no D-Bus prefix */
  g_clear_error (&error);
  assert_operate (seen, alcove_machine_resume_async);
  WAIT_UNTIL (alcove_machine_get_state (machine) == ALCOVE_MACHINE_RUNNING);
  assert_operate (machine, alcove_machine_power_button_async);
  WAIT_UNTIL (alcove_machine_get_state (machine) == ALCOVE_MACHINE_STOPPED);
  g_assert_cmpstr (alcove_machine_get_state_reason (machine), ==, "guest-shutdown");
  WAIT_UNTIL (alcove_machine_get_state (seen) == ALCOVE_MACHINE_STOPPED);

  /* At once again, paused this time. */
  assert_start (machine, ALCOVE_START_PAUSED);
  g_assert_cmpint (alcove_machine_get_state (machine), ==, ALCOVE_MACHINE_PAUSED);
  assert_operate (machine, alcove_machine_force_off_async);
  WAIT_UNTIL (alcove_machine_get_state (machine) == ALCOVE_MACHINE_STOPPED);
  g_assert_true (alcove_library_delete (library, machine, NULL, &error));
  WAIT_UNTIL (g_list_model_get_n_items (G_LIST_MODEL (other)) == 0);
}

static void
test_calls (void)
{
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);
  g_autoptr (AlcoveMachine) machine = create (library, "Calls", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GAsyncResult) r1 = NULL, r2 = NULL, r3 = NULL, r4 = NULL, r5 = NULL, r6 = NULL,
                           r7 = NULL, r8 = NULL;
  g_autoptr (AlcovePicture) picture = NULL, none = NULL;
  g_autoptr (GVariant) stats = NULL;
  g_autoptr (GBytes) png = NULL;
  const guint keys[] = { 29, 56, 111 };
  const guint8 *pixels;
  char text[16] = "";
  guint64 exits;
  int fd, pair[2];

  assert_start (machine, ALCOVE_START_NONE);
  alcove_machine_send_keys_async (machine, keys, 3, 50, NULL, on_ready, &r1);
  g_assert_true (alcove_machine_finish (machine, wait_for (&r1), &error));
  alcove_machine_type_async (machine, "a b\n", NULL, on_ready, &r2);
  g_assert_true (alcove_machine_finish (machine, wait_for (&r2), &error));
  alcove_machine_resize_display_async (machine, 0, 800, 600, NULL, on_ready, &r3);
  g_assert_true (alcove_machine_finish (machine, wait_for (&r3), &error));
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  alcove_machine_attach_spice_async (machine, pair[1], NULL, on_ready, &r4);
  g_assert_true (alcove_machine_finish (machine, wait_for (&r4), &error));
  g_assert_no_error (error);
  g_assert_cmpint (read (pair[0], text, sizeof text), ==, 4);
  g_assert_cmpstr (text, ==, "REDQ");
  g_assert_cmpint (read (pair[0], text, sizeof text), ==, 0); /* nobody else holds the other end */
  close (pair[0]);
  assert_log (machine, "keys [29, 56, 111] hold 50\ntype a b\\n\nresize 0 800x600\nspice\n");

  alcove_machine_screenshot_async (machine, 0, NULL, on_ready, &r5);
  picture = alcove_machine_screenshot_finish (machine, wait_for (&r5), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (picture->width, ==, 5);
  g_assert_cmpuint (picture->height, ==, 3);
  g_assert_cmpuint (picture->stride, ==, 32);
  pixels = g_bytes_get_data (picture->pixels, NULL);
  g_assert_cmpuint (pixels[33], ==, 33);
  png = alcove_picture_to_png (picture, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (png, NULL), 8, "\x89PNG\r\n\x1a\n", 8);
  alcove_machine_screenshot_async (machine, 1, NULL, on_ready, &r6);
  none = alcove_machine_screenshot_finish (machine, wait_for (&r6), &error);
  g_assert_null (none);
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
  g_clear_error (&error);

  alcove_machine_get_stats_async (machine, NULL, on_ready, &r7);
  stats = alcove_machine_get_stats_finish (machine, wait_for (&r7), &error);
  g_assert_true (g_variant_lookup (stats, "vcpu.exits", "t", &exits));
  g_assert_cmpuint (exits, ==, 7);
  alcove_machine_open_console_async (machine, NULL, NULL, on_ready, &r8);
  fd = alcove_machine_open_console_finish (machine, wait_for (&r8), &error);
  g_assert_no_error (error);
  g_assert_cmpint (read (fd, text, 6), ==, 6);
  g_assert_cmpmem (text, 6, "hello\n", 6);
  g_assert_cmpint (write (fd, "abc", 3), ==, 3);
  g_assert_cmpint (read (fd, text, 3), ==, 3);
  g_assert_cmpmem (text, 3, "ABC", 3);
  close (fd);
  assert_operate (machine, alcove_machine_force_off_async);
}

static void
test_bad_starts (void)
{
  static const struct
  {
    const char *os, *message;
  } cases[] = {
    { "fake-refuse", "The fake refuses" },
    { "fake-babble", "ready!" },
    { "fake-die", "ended with status 1 before it was ready: The fake's last words. Its log is " },
  };
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (AlcoveMachine) machine = create (library, cases[i].os, cases[i].os);
      g_autoptr (GError) error = NULL;

      g_assert_false (start (machine, ALCOVE_START_NONE, &error));
      g_assert_nonnull (strstr (error->message, cases[i].message));
      g_assert_cmpint (alcove_machine_get_state (machine), ==, ALCOVE_MACHINE_STOPPED);
      g_assert_false (alcove_lock_is_held (alcove_machine_get_folder (machine), NULL));
    }
}

static void
test_liar (void)
{
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);
  g_autoptr (AlcoveMachine) machine = create (library, "Liar", "fake-liar");
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  assert_start (machine, ALCOVE_START_NONE);
  alcove_machine_screenshot_async (machine, 0, NULL, on_ready, &result);
  g_assert_null (alcove_machine_screenshot_finish (machine, wait_for (&result), &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  assert_operate (machine, alcove_machine_force_off_async);
}

static void
test_crash (void)
{
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);
  g_autoptr (AlcoveMachine) machine = create (library, "Crash", NULL);

  assert_start (machine, ALCOVE_START_NONE);
  g_assert_cmpint (kill ((pid_t)alcove_machine_get_pid (machine), SIGKILL), ==, 0);
  WAIT_UNTIL (alcove_machine_get_state (machine) == ALCOVE_MACHINE_FAILED);
  g_assert_cmpstr (alcove_machine_get_state_reason (machine), ==, "process-ended");
  g_assert_nonnull (strstr (alcove_machine_get_state_detail (machine), "vmm.log"));
  g_assert_false (alcove_machine_is_active (machine));
  assert_start (machine, ALCOVE_START_NONE); /* over the socket it left behind */
  assert_operate (machine, alcove_machine_force_off_async);
}

static void
test_same_uuid (void)
{
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);
  g_autoptr (AlcoveMachine) machine = create (library, "Original", NULL);
  g_autofree char *conf =
      g_build_filename (alcove_machine_get_folder (machine), ALCOVE_DEFINITION_FILE, NULL);
  g_autofree char *copy_folder =
      g_build_filename (alcove_library_get_folder (library), "copied", NULL);
  g_autofree char *copy_conf = g_build_filename (copy_folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autofree char *text = NULL;
  g_autoptr (AlcoveMachine) copy = NULL;
  g_autoptr (GError) error = NULL;

  assert_start (machine, ALCOVE_START_NONE);
  g_assert_true (g_file_get_contents (conf, &text, NULL, NULL));
  g_assert_cmpint (g_mkdir (copy_folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (copy_conf, text, -1, NULL));
  copy = alcove_machine_new (copy_folder);
  assert_operate (copy, alcove_machine_refresh_async);
  g_assert_cmpint (alcove_machine_get_state (copy), ==, ALCOVE_MACHINE_STOPPED);
  g_assert_false (start (copy, ALCOVE_START_NONE, &error));
  g_assert_nonnull (strstr (error->message, "same uuid"));
  assert_operate (machine, alcove_machine_force_off_async);
}

static void
test_invalid (void)
{
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);
  g_autoptr (AlcoveMachine) machine = create (library, "Invalid", NULL);
  g_autofree char *conf =
      g_build_filename (alcove_machine_get_folder (machine), ALCOVE_DEFINITION_FILE, NULL);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (g_file_get_contents (conf, &text, NULL, NULL));
  g_assert_true (g_file_set_contents (conf, "[machine]\nmemory=x\n", -1, NULL));
  WAIT_UNTIL (alcove_machine_get_state (machine) == ALCOVE_MACHINE_INVALID);
  g_assert_nonnull (strstr (alcove_machine_get_error (machine), ":2: [machine] memory: "));
  g_assert_cmpstr (alcove_machine_get_name (machine), ==, "invalid");
  g_assert_false (start (machine, ALCOVE_START_NONE, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_assert_true (g_file_set_contents (conf, text, -1, NULL));
  WAIT_UNTIL (alcove_machine_get_state (machine) == ALCOVE_MACHINE_STOPPED);
  g_assert_cmpstr (alcove_machine_get_name (machine), ==, "Invalid");
}

static void
test_library_order_and_find (void)
{
  g_autofree char *folder = g_build_filename (app_dirs_root, "ordered", NULL);
  g_autoptr (AlcoveLibrary) library = alcove_library_new (folder);
  g_autoptr (AlcoveMachine) b = create (library, "Bee 10", NULL);
  g_autoptr (AlcoveMachine) a = create (library, "bee 9", NULL);
  g_autoptr (AlcoveMachine) twin = create (library, "BEE 9", NULL);
  g_autoptr (AlcoveMachine) first = g_list_model_get_item (G_LIST_MODEL (library), 0);
  g_autoptr (GError) error = NULL;
  g_autofree char *token = NULL;

  g_assert_true (first == a || first == twin); /* 9 before 10 */
  g_assert_cmpstr (alcove_machine_get_id (twin), ==, "bee-9-2");
  g_assert_true (alcove_library_find (library, "bee-10", &error) == b);
  g_assert_true (alcove_library_find (library, "BEE 10", &error) == b);
  g_assert_true (alcove_library_find (library, alcove_machine_get_uuid (a), &error) == a);
  g_assert_null (alcove_library_find (library, "Bee 9", &error));
  g_assert_nonnull (strstr (error->message, "Several machines"));
  g_clear_error (&error);
  g_assert_null (alcove_library_find (library, "bee-1o", &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "did you mean \"bee-10\""));
  g_clear_error (&error);
  g_assert_null (alcove_library_find (library, "\xff", &error));
  g_clear_error (&error);

  g_assert_true (alcove_library_delete (library, b, &token, &error));
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (library)), ==, 2);
  g_assert_false (g_file_test (alcove_machine_get_folder (b), G_FILE_TEST_EXISTS));
  g_assert_nonnull (alcove_library_restore (library, token, &error));
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (library)), ==, 3);
  g_assert_null (alcove_library_restore (library, token, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_null (alcove_library_restore (library, "../../etc", &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
}

static void
test_lock (void)
{
  g_autoptr (GError) error = NULL;
  AlcoveLock *lock = alcove_lock_acquire (app_dirs_root, "tests it", &error);
  g_autofree char *expected = g_strdup_printf ("process %u tests it", (guint)getpid ());
  guint pid;

  g_assert_no_error (error);
  g_assert_true (alcove_lock_is_held (app_dirs_root, &pid));
  g_assert_cmpuint (pid, ==, getpid ());
  g_assert_null (alcove_lock_acquire (app_dirs_root, "also", &error)); /* even in one process */
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, expected));
  g_clear_error (&error);
  alcove_lock_release (lock);
  g_assert_false (alcove_lock_is_held (app_dirs_root, &pid));
  lock = alcove_lock_acquire (app_dirs_root, "again", &error);
  g_assert_nonnull (lock);
  alcove_lock_release (lock);
  alcove_lock_release (NULL);
  g_assert_null (alcove_lock_acquire ("/nonexistent", "x", &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
}

static void
test_edit (void)
{
  static const char text[] =
      "[machine]\nname=Edited\nmemory=64\nuuid=6d0d1ce4-6d0d-4c11-9a6e-000000000001\n";
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_build_filename (app_dirs_root, "edited", NULL);
  g_autofree char *conf = g_build_filename (folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autofree char *saved = NULL;
  AlcoveLock *lock;
  AlcoveDefinitionEdit *edit;

  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  g_assert_null (alcove_definition_edit_begin (folder, conf, FALSE, "tests it", &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (conf, text, -1, NULL));

  /* One at a time; and the machine stays off. */
  edit = alcove_definition_edit_begin (folder, conf, FALSE, "tests it", &error);
  g_assert_no_error (error);
  g_assert_true (alcove_lock_is_held (folder, NULL));
  g_assert_null (alcove_definition_edit_begin (folder, conf, TRUE, "also", &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_null (alcove_lock_acquire (folder, ALCOVE_LOCK_RUNS, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_true (alcove_definition_set_value (alcove_definition_edit_get_definition (edit),
                                              "machine", "cpus", "2", &error));
  g_assert_true (alcove_definition_edit_save (edit, &error));
  alcove_definition_edit_end (edit);
  g_assert_false (alcove_lock_is_held (folder, NULL));
  g_assert_true (g_file_get_contents (conf, &saved, NULL, NULL));
  g_assert_nonnull (strstr (saved, "cpus"));

  /* A machine that runs has its own lock; one that ended, and is used by another, is not written. */
  lock = alcove_lock_acquire (folder, ALCOVE_LOCK_RUNS, &error);
  g_assert_null (alcove_definition_edit_begin (folder, conf, FALSE, "tests it", &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
  g_clear_error (&error);
  edit = alcove_definition_edit_begin (folder, conf, TRUE, "tests it", &error);
  g_assert_no_error (error);
  g_assert_true (alcove_definition_edit_save (edit, &error));
  alcove_lock_release (lock);
  lock = alcove_lock_acquire (folder, "reverts it", &error);
  g_assert_false (alcove_definition_edit_save (edit, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "reverts it"));
  alcove_definition_edit_end (edit);
  alcove_lock_release (lock);
}

static void
test_ready_line (void)
{
  static const char *const bad[] = {
    "", "x", "[]", "{", "\"ok\"", "{\"ok\":1e999}", "{\"ok\":false}", "{\"error\":[]}", "{}", "null"
  };
  g_autoptr (GError) error = NULL;

  g_assert_true (alcove_launch_parse_ready ("{\"ok\":true}", &error));
  g_assert_false (alcove_launch_parse_ready ("{\"error\":\"no\"}", &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED);
  g_assert_cmpstr (error->message, ==, "no");
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) each = NULL;

      g_assert_false (alcove_launch_parse_ready (bad[i], &each));
      g_assert_nonnull (each);
    }
}

int
main (int argc, char **argv)
{
  int status;

  app_dirs_init ();
  g_setenv ("ALCOVE_LIBEXECDIR", ALCOVE_FAKE_LIBEXECDIR, TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/machine/life", test_life);
  g_test_add_func ("/machine/calls", test_calls);
  g_test_add_func ("/machine/bad-starts", test_bad_starts);
  g_test_add_func ("/machine/liar", test_liar);
  g_test_add_func ("/machine/crash", test_crash);
  g_test_add_func ("/machine/same-uuid", test_same_uuid);
  g_test_add_func ("/machine/invalid", test_invalid);
  g_test_add_func ("/library/order-and-find", test_library_order_and_find);
  g_test_add_func ("/lock", test_lock);
  g_test_add_func ("/edit", test_edit);
  g_test_add_func ("/launch/ready-line", test_ready_line);
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
