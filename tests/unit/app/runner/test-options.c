/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/options.h"

static gboolean
parse (RunnerOptions *options, ...)
{
  const char *argv[16] = { "alcove-vmm" };
  int argc = 1;
  va_list args;

  va_start (args, options);
  while ((argv[argc] = va_arg (args, const char *)) != NULL)
    argc++;
  va_end (args);
  return runner_options_parse (options, argc, (char **)argv, NULL);
}

static void
test_good (void)
{
  RunnerOptions options;

  g_assert_true (parse (&options, "--machine", "/m", "--runtime-dir", "/r", "--ready-fd", "5",
                        "--paused", NULL));
  g_assert_cmpstr (options.machine, ==, "/m");
  g_assert_cmpstr (options.runtime_dir, ==, "/r");
  g_assert_cmpint (options.ready_fd, ==, 5);
  g_assert_true (options.paused);
  runner_options_clear (&options);
  g_assert_true (parse (&options, "--machine", "/m", "--discard-saved", NULL));
  g_assert_true (options.discard);
  runner_options_clear (&options);
  g_assert_true (parse (&options, "--conf", "/c", "--linger", NULL));
  g_assert_cmpint (options.ready_fd, ==, -1);
  g_assert_true (options.wait);
  runner_options_clear (&options);
}

static void
test_bad (void)
{
  RunnerOptions options;

  g_assert_false (parse (&options, NULL));
  runner_options_clear (&options);
  g_assert_false (parse (&options, "--machine", "/m", "--conf", "/c", NULL));
  runner_options_clear (&options);
  g_assert_false (parse (&options, "--machine", "/m", "extra", NULL));
  runner_options_clear (&options);
  g_assert_false (parse (&options, "--machine", "/m", "--discard-saved", "--restore", "/s", NULL));
  runner_options_clear (&options);
  g_assert_false (parse (&options, "--machine", "/m", "--ready-fd", "x", NULL));
  runner_options_clear (&options);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/options/good", test_good);
  g_test_add_func ("/options/bad", test_bad);
  return g_test_run ();
}
