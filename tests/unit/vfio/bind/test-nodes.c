/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The nodes of functions, /dev/vfio/devices/vfioN, which newer kernels have beside a group's node or
 * instead of it: in the hands of a user and back, over a double of the kernel (fake-kernel.h). */
#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "fake-kernel.h"
#include "vmm/error.h"

#define USER  1000
#define OTHER 1001

static const VfioBindFor for_user = { .uid = USER };
static const char *const card[] = { FAKE_GPU, FAKE_SOUND };

typedef struct
{
  FakeKernel k;
  char *before;
} Fixture;

/* As the kernel makes it when vfio-pci takes the function; here it is there from the start. */
static void
add_node (Fixture *f, const char *id, const char *name)
{
  g_autofree char *folder =
      g_strdup_printf ("sys/devices/pci0000:00/%s/vfio-dev/%s/uevent", id, name);
  g_autofree char *numbers = g_strdup_printf ("sys/class/vfio-dev/%s/dev", name);
  g_autofree char *node = g_strdup_printf ("dev/vfio/devices/%s", name);

  fake_kernel_put (&f->k, folder, "");
  fake_kernel_put (&f->k, numbers, "242:0\n");
  fake_kernel_put (&f->k, node, "0 0 600");
}

static void
set_up (Fixture *f, gconstpointer data)
{
  fake_kernel_init (&f->k);
  add_node (f, FAKE_GPU, "vfio0");
  add_node (f, FAKE_SOUND, "vfio7");
  add_node (f, FAKE_USB, "vfio3");
  add_node (f, FAKE_SATA, "vfio4");
  f->before = fake_kernel_dup_state (&f->k);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  fake_kernel_clear (&f->k);
  g_free (f->before);
}

static void
assert_node (Fixture *f, const char *name, const char *wanted)
{
  g_autofree char *now = fake_kernel_dup_node (&f->k, name);

  g_assert_cmpstr (now, ==, wanted);
}

static void
assert_ledger (Fixture *f, const char *wanted)
{
  g_autofree char *ledger = fake_kernel_dup_ledger (&f->k);

  g_assert_cmpstr (ledger, ==, wanted);
}

static void
assert_unchanged (Fixture *f)
{
  g_autofree char *after = fake_kernel_dup_state (&f->k);

  g_assert_cmpstr (after, ==, f->before);
  assert_ledger (f, "");
}

static gboolean
take_on (const VfioBindHost *host, GError **error)
{
  const VfioAddress set[] = { fake_address (card[0]), fake_address (card[1]) };

  return vfio_bind_take (host, set, G_N_ELEMENTS (set), &for_user, FALSE, NULL, error);
}

static void
take (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  take_on (&f->k.host, &error);
  g_assert_no_error (error);
}

static void
give_back (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  vfio_bind_give_back (&f->k.host, NULL, 0, BIND_ANY_UID, FALSE, NULL, &error);
  g_assert_no_error (error);
}

static void
grant (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  vfio_bind_grant (&f->k.host, 13, USER, &error);
  g_assert_no_error (error);
}

static void
refuse (Fixture *f, guint32 uid, int code)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (vfio_bind_grant (&f->k.host, 13, uid, &error));
  g_assert_error (error, VMM_ERROR, code);
}

#define TAKEN "function-" FAKE_GPU " function-" FAKE_SOUND

static void
test_both (Fixture *f, gconstpointer data)
{
  refuse (f, USER, VMM_ERROR_PERMISSION);
  take (f);
  refuse (f, OTHER, VMM_ERROR_PERMISSION);
  assert_ledger (f, TAKEN);
  grant (f);
  grant (f);
  assert_node (f, "13", "1000 0 600");
  assert_node (f, "devices/vfio0", "1000 0 600");
  assert_node (f, "devices/vfio7", "1000 0 600");
  assert_node (f, "devices/vfio3", "0 0 600");
  assert_ledger (f, TAKEN " node-13 node-vfio0 node-vfio7");
  give_back (f);
  assert_unchanged (f);
}

static void
remove_group (Fixture *f)
{
  fake_kernel_remove (&f->k, "sys/class/vfio/13/dev");
  fake_kernel_remove (&f->k, "dev/vfio/13");
}

/* A kernel without groups. */
static void
test_no_group (Fixture *f, gconstpointer data)
{
  take (f);
  remove_group (f);
  grant (f);
  assert_node (f, "13", NULL);
  assert_node (f, "devices/vfio0", "1000 0 600");
  assert_ledger (f, TAKEN " node-vfio0 node-vfio7");
  give_back (f);
  assert_unchanged (f);
}

static void
test_none (Fixture *f, gconstpointer data)
{
  take (f);
  remove_group (f);
  fake_kernel_remove (&f->k, "sys/class/vfio-dev/vfio0/dev");
  fake_kernel_remove (&f->k, "sys/class/vfio-dev/vfio7/dev");
  refuse (f, USER, VMM_ERROR_NOT_FOUND);
  assert_node (f, "devices/vfio0", "0 0 600");
  assert_ledger (f, TAKEN);
}

/* What is not the kernel's node is left alone. */
static void
test_false_nodes (Fixture *f, gconstpointer data)
{
  g_autofree char *secret = g_build_filename (f->k.root, "etc/shadow", NULL), *text = NULL;

  take (f);
  remove_group (f);
  fake_kernel_put (&f->k, "etc/shadow", "0 0 600");
  fake_kernel_remove (&f->k, "dev/vfio/devices/vfio0");
  fake_kernel_link (&f->k, "dev/vfio/devices/vfio0", "../../../etc/shadow");
  refuse (f, USER, VMM_ERROR_NOT_FOUND);
  g_assert_true (g_file_get_contents (secret, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "0 0 600");
  /* A link to another function's: that one is not this one. */
  fake_kernel_remove (&f->k, "dev/vfio/devices/vfio0");
  fake_kernel_link (&f->k, "dev/vfio/devices/vfio0", "vfio3");
  refuse (f, USER, VMM_ERROR_NOT_FOUND);
  assert_node (f, "devices/vfio3", "0 0 600");
  /* Other numbers than sysfs has, and none that can be. */
  fake_kernel_remove (&f->k, "dev/vfio/devices/vfio0");
  fake_kernel_put (&f->k, "dev/vfio/devices/vfio0", "0 0 600");
  fake_kernel_put (&f->k, "sys/class/vfio-dev/vfio0/dev", "242:1\n");
  refuse (f, USER, VMM_ERROR_NOT_FOUND);
  fake_kernel_put (&f->k, "sys/class/vfio-dev/vfio0/dev", "8:0\n");
  refuse (f, USER, VMM_ERROR_NOT_FOUND);
  fake_kernel_put (&f->k, "sys/class/vfio-dev/vfio0/dev", "-1:99999999999999999999\n");
  grant (f); /* no such node: the other function's is the group's */
  assert_node (f, "devices/vfio0", "0 0 600");
  assert_node (f, "devices/vfio7", "1000 0 600");
  /* With the kernel's own calls: a file is no node. */
  {
    VfioNodeOwner before, to = { USER, G_MAXUINT32, 0600 };

    g_assert_cmpint (vfio_bind_ops_kernel.set_owner (f->k.tree, "/dev/vfio/devices/vfio0", 242, 0,
                                                     G_MAXUINT32, &to, &before),
                     ==, -ENODEV);
  }
}

/* Names that no kernel gives: sysfs is not believed. */
static void
test_false_names (Fixture *f, gconstpointer data)
{
  static const char *const names[] = {
    "vfio", "vfio00", "vfio0x", "vfio1234567890", "null", "..x"
  };

  take (f);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *node = g_strconcat ("devices/", names[i], NULL);

      g_assert_false (vfio_grant_is_name (node));
      add_node (f, FAKE_GPU, names[i]);
    }
  grant (f);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *node = g_strconcat ("devices/", names[i], NULL);

      assert_node (f, node, "0 0 600");
    }
  assert_ledger (f, TAKEN " node-13 node-vfio0 node-vfio7");
}

/* A node that was made anew (the card was given back and taken, by hand) is not taken from its owner. */
static void
test_made_anew (Fixture *f, gconstpointer data)
{
  take (f);
  grant (f);
  fake_kernel_put (&f->k, "dev/vfio/devices/vfio0", "42 0 600");
  give_back (f);
  assert_node (f, "devices/vfio0", "42 0 600");
  assert_ledger (f, "");
}

/* A process that takes, grants and gives back, killed at its n-th step; then release. */
static void
test_kill (Fixture *f, gconstpointer data)
{
  guint n, killed = 0;

  for (n = 1; n < 400; n++)
    {
      pid_t pid = fork ();
      int status;

      if (pid == 0)
        {
          FakeKernel own;

          fake_kernel_open (&own, f->k.root);
          fake_kernel_set_kill (n);
          _exit (take_on (&own.host, NULL) && vfio_bind_grant (&own.host, 13, USER, NULL) &&
                         vfio_bind_give_back (&own.host, NULL, 0, USER, FALSE, NULL, NULL)
                     ? 0
                     : 1);
        }
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      give_back (f);
      assert_unchanged (f);
      if (WIFEXITED (status))
        {
          g_assert_cmpint (WEXITSTATUS (status), ==, 0);
          break;
        }
      g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
      killed++;
    }
  g_assert_cmpuint (killed, >, 40);
}

/* A group that is open by the function's node is in use. */
static void
test_used (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  take (f);
  grant (f);
  fake_kernel_add_process (&f->k, 4711, "alcove-vmm", "vfio/devices/vfio7");
  g_assert_false (vfio_bind_give_back (&f->k.host, NULL, 0, BIND_ANY_UID, FALSE, NULL, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "4711"));
  fake_kernel_remove (&f->k, "proc/4711/fd/7");
  give_back (f);
  assert_unchanged (f);
}

/* What a machine opens must be there and open to this process. */
static void
test_ready (Fixture *f, gconstpointer data)
{
  VfioAddress gpu = fake_address (FAKE_GPU);

  g_assert_false (vfio_bind_is_ready (f->k.tree, gpu));
  take (f);
  g_assert_true (vfio_bind_is_ready (f->k.tree, gpu)); /* by its group */
  remove_group (f);
  g_assert_false (vfio_bind_is_ready (f->k.tree, gpu)); /* its own node, but no /dev/iommu */
  fake_kernel_put (&f->k, "dev/iommu", "");
  g_assert_true (vfio_bind_is_ready (f->k.tree, gpu));
  fake_kernel_remove (&f->k, "dev/vfio/devices/vfio0");
  g_assert_false (vfio_bind_is_ready (f->k.tree, gpu));
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    void (*run) (Fixture *f, gconstpointer data);
  } tests[] = {
    { "/vfio/nodes/both", test_both },
    { "/vfio/nodes/no-group", test_no_group },
    { "/vfio/nodes/none", test_none },
    { "/vfio/nodes/false-nodes", test_false_nodes },
    { "/vfio/nodes/false-names", test_false_names },
    { "/vfio/nodes/made-anew", test_made_anew },
    { "/vfio/nodes/kill", test_kill },
    { "/vfio/nodes/used", test_used },
    { "/vfio/nodes/ready", test_ready },
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
  return g_test_run ();
}
