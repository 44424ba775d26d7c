/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Taking and giving back, over a double of the kernel's driver core (fake-kernel.h): the rules, the
 * plan, what a failure or a kill at any step leaves behind. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "fake-kernel.h"
#include "vmm/error.h"

#define USER 1000

static const VfioBindFor for_user = { .uid = USER };

typedef struct
{
  FakeKernel k;
  char *before; /* the host's state */
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  fake_kernel_init (&f->k);
  f->before = fake_kernel_dup_state (&f->k);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  fake_kernel_set_kill (0);
  fake_kernel_clear (&f->k);
  g_free (f->before);
}

static void
assert_unchanged (Fixture *f)
{
  g_autofree char *after = fake_kernel_dup_state (&f->k), *ledger = fake_kernel_dup_ledger (&f->k);

  g_assert_cmpstr (after, ==, f->before);
  g_assert_cmpstr (ledger, ==, "");
}

static void
assert_driver (Fixture *f, const char *id, const char *driver)
{
  g_autofree char *now = fake_kernel_dup_driver (&f->k, id);

  g_assert_cmpstr (now, ==, driver);
}

/* ids: separated by spaces. */
static guint
parse (const char *ids, VfioAddress set[64])
{
  g_auto (GStrv) words = g_strsplit (ids, " ", 64);
  guint n = 0;

  for (; words[n] != NULL; n++)
    set[n] = fake_address (words[n]);
  return n;
}

static gboolean
take (Fixture *f, const char *ids, const VfioBindFor *whom, GError **error)
{
  VfioAddress set[64];
  guint n = parse (ids, set);

  if (vfio_bind_take (&f->k.host, set, n, whom, FALSE, NULL, error))
    return TRUE;
  if (error != NULL)
    g_test_message ("%s", (*error)->message);
  return FALSE;
}

static gboolean
give_back (Fixture *f, const char *ids, guint32 uid, GError **error)
{
  VfioAddress set[64];
  guint n = ids != NULL ? parse (ids, set) : 0;

  if (vfio_bind_give_back (&f->k.host, set, n, uid, FALSE, NULL, error))
    return TRUE;
  if (error != NULL)
    g_test_message ("%s", (*error)->message);
  return FALSE;
}

static void
refused (Fixture *f, const char *ids, VmmErrorCode code, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (take (f, ids, &for_user, &error));
  g_assert_error (error, VMM_ERROR, (int)code);
  if (strstr (error->message, words) == NULL)
    g_error ("“%s” lacks “%s”", error->message, words);
}

static void
test_round (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *ledger = NULL, *node = NULL;

  for (guint i = 0; i < 20; i++)
    {
      g_assert_true (take (f, FAKE_GPU " " FAKE_SOUND, &for_user, &error));
      g_assert_no_error (error);
      assert_driver (f, FAKE_GPU, "vfio-pci");
      assert_driver (f, FAKE_SOUND, "vfio-pci");
      assert_driver (f, FAKE_NET, "e1000e");
      g_free (ledger);
      ledger = fake_kernel_dup_ledger (&f->k);
      g_assert_cmpstr (ledger, ==, "function-" FAKE_GPU " function-" FAKE_SOUND);
      g_free (node);
      node = fake_kernel_dup_node (&f->k, "13");
      g_assert_cmpstr (node, ==, "0 0 600");
      g_assert_true (give_back (f, FAKE_GPU " " FAKE_SOUND, USER, &error));
      g_assert_no_error (error);
      assert_unchanged (f);
    }
  /* One without a driver goes back to having none. */
  g_assert_true (take (f, FAKE_PLAIN, &for_user, &error));
  assert_driver (f, FAKE_PLAIN, "vfio-pci");
  g_assert_true (give_back (f, NULL, USER, &error));
  g_assert_no_error (error);
  assert_unchanged (f);
  /* One that vfio-pci had since the start is not touched, but recorded. */
  g_assert_true (take (f, FAKE_VFIO, &for_user, &error));
  g_free (ledger);
  ledger = fake_kernel_dup_ledger (&f->k);
  g_assert_cmpstr (ledger, ==, "function-" FAKE_VFIO);
  g_assert_true (give_back (f, FAKE_VFIO, USER, &error));
  assert_unchanged (f);
}

static void
test_again (Fixture *f, gconstpointer data)
{
  static const VfioBindFor other = { .uid = 1001 }, machine = { USER, ":1.7" },
                           second = { USER, ":1.8" };
  g_autoptr (GError) error = NULL;

  g_assert_true (take (f, FAKE_NET, &for_user, &error));
  g_assert_true (take (f, FAKE_NET, &for_user, &error));
  g_assert_true (take (f, FAKE_NET, &machine, &error));
  g_assert_no_error (error);
  g_assert_false (take (f, FAKE_NET, &second, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (take (f, FAKE_NET, &other, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (give_back (f, FAKE_NET, 1001, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_PERMISSION);
  g_clear_error (&error);
  /* Everything that 1001 has is nothing. */
  g_assert_true (give_back (f, NULL, 1001, &error));
  assert_driver (f, FAKE_NET, "vfio-pci");
  g_assert_true (vfio_bind_give_back_owner (&f->k.host, ":1.8", &error));
  assert_driver (f, FAKE_NET, "vfio-pci");
  g_assert_true (vfio_bind_give_back_owner (&f->k.host, ":1.7", &error));
  g_assert_no_error (error);
  assert_unchanged (f);
  g_assert_false (give_back (f, FAKE_NET, USER, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
}

static void
test_rules (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) many = g_string_new (FAKE_GPU);

  refused (f, FAKE_GPU, VMM_ERROR_INVALID, FAKE_SOUND " is a part of the same card");
  refused (f, FAKE_USB, VMM_ERROR_INVALID, "shares the isolation group");
  refused (f, "0000:00:01.0", VMM_ERROR_NOT_SUPPORTED, "is a bridge");
  refused (f, "0000:09:00.0", VMM_ERROR_NOT_FOUND, "0000:09:00.0");
  refused (f, FAKE_NET " " FAKE_NET, VMM_ERROR_INVALID, "twice");
  for (guint i = 0; i < BIND_SET_MAX; i++)
    g_string_append_printf (many, " 0000:20:%02x.0", i);
  refused (f, many->str, VMM_ERROR_INVALID, "33 devices");
  g_assert_false (vfio_bind_take (&f->k.host, NULL, 0, &for_user, FALSE, NULL, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  assert_unchanged (f);
  g_clear_error (&error);
  /* Both of the group together are fine. */
  g_assert_true (take (f, FAKE_USB " " FAKE_SATA, &for_user, &error));
  g_assert_no_error (error);
  g_assert_true (give_back (f, NULL, BIND_ANY_UID, &error));
  assert_unchanged (f);
}

/* A machine that has the group open keeps it. */
static void
test_in_use (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (take (f, FAKE_NET, &for_user, &error));
  fake_kernel_add_process (&f->k, 4711, "alcove-vmm", "vfio/15");
  g_assert_false (give_back (f, FAKE_NET, USER, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "alcove-vmm (process 4711)"));
  assert_driver (f, FAKE_NET, "vfio-pci");
  refused (f, FAKE_NET, VMM_ERROR_BUSY, "4711");
  g_clear_error (&error);
  fake_kernel_remove (&f->k, "proc/4711/fd/7");
  g_assert_true (give_back (f, FAKE_NET, USER, &error));
  fake_kernel_remove (&f->k, "proc/4711/comm");
  assert_unchanged (f);
}

/* What the host cannot be without, and what somebody uses. */
static void
test_needed (Fixture *f, gconstpointer data)
{
#define DISK "sys/devices/pci0000:00/" FAKE_NVME "/nvme/nvme0/nvme0n1"
#define DRM  "sys/devices/pci0000:00/" FAKE_GPU "/drm/card0"
  g_autofree char *now = NULL, *before = NULL;

  fake_kernel_put (&f->k, DISK "/dev", "259:0\n");
  fake_kernel_link (&f->k, "sys/class/block/nvme0n1", "../../../" DISK);
  fake_kernel_link (&f->k, "sys/dev/block/259:0", "../../../" DISK);
  fake_kernel_put (&f->k, "proc/1/mountinfo", "22 1 259:0 / / rw - ext4 /dev/nvme0n1 rw\n");
  fake_kernel_put (&f->k, DRM "/dev", "226:0\n");
  fake_kernel_put (&f->k, DRM "/uevent", "MAJOR=226\nMINOR=0\nDEVNAME=dri/card0\n");
  fake_kernel_link (&f->k, "sys/dev/char/226:0", "../../../" DRM);
  fake_kernel_add_process (&f->k, 1893, "gnome-shell", "dri/card0");
  before = fake_kernel_dup_state (&f->k);
  refused (f, FAKE_NVME, VMM_ERROR_NOT_SUPPORTED, "runs from");
  refused (f, FAKE_GPU " " FAKE_SOUND, VMM_ERROR_BUSY, "gnome-shell (process 1893");
  fake_kernel_put (&f->k, "proc/1/mountinfo", "22 1 259:0 / /data rw - ext4 /dev/nvme0n1 rw\n");
  refused (f, FAKE_NVME, VMM_ERROR_BUSY, "has mounted");
  now = fake_kernel_dup_state (&f->k);
  g_assert_cmpstr (now, ==, before);
}

static void
test_no_vfio (Fixture *f, gconstpointer data)
{
  fake_kernel_remove (&f->k, "sys/bus/pci/drivers/vfio-pci/bind");
  fake_kernel_remove (&f->k, "sys/bus/pci/drivers/vfio-pci/unbind");
  fake_kernel_remove (&f->k, "sys/bus/pci/drivers/vfio-pci/new_id");
  fake_kernel_remove (&f->k, "sys/bus/pci/drivers/vfio-pci");
  refused (f, FAKE_NET, VMM_ERROR_UNAVAILABLE, "modprobe vfio-pci");
}

static void
test_complete (Fixture *f, gconstpointer data)
{
  g_autoptr (VfioInventory) inventory = vfio_inventory_new (f->k.tree);
  VfioAddress one = fake_address (FAKE_SOUND), mate = fake_address (FAKE_SATA);
  g_autoptr (GArray) card = vfio_bind_complete (inventory, &one, 1, NULL);
  g_autoptr (GArray) group = vfio_bind_complete (inventory, &mate, 1, NULL);
  g_autofree char *a = NULL, *b = NULL;

  g_assert_cmpuint (card->len, ==, 2);
  a = vfio_address_to_string (g_array_index (card, VfioAddress, 0));
  g_assert_cmpstr (a, ==, FAKE_GPU);
  g_assert_cmpuint (group->len, ==, 2);
  b = vfio_address_to_string (g_array_index (group, VfioAddress, 0));
  g_assert_cmpstr (b, ==, FAKE_USB);
}

/* The dry run's steps are those that are done, and do nothing. */
static void
test_dry_run (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *kind, *path, *value;
  } expected[] = {
    { "record", NULL, NULL },
    { "record", NULL, NULL },
    { "override", "/sys/bus/pci/devices/" FAKE_SOUND "/driver_override", "vfio-pci\n" },
    { "unbind", "/sys/bus/pci/drivers/snd_hda_intel/unbind", FAKE_SOUND "\n" },
    { "probe", "/sys/bus/pci/drivers_probe", FAKE_SOUND "\n" },
    { "check", NULL, NULL },
    { "override", "/sys/bus/pci/devices/" FAKE_GPU "/driver_override", "vfio-pci\n" },
    { "unbind", "/sys/bus/pci/drivers/amdgpu/unbind", FAKE_GPU "\n" },
    { "probe", "/sys/bus/pci/drivers_probe", FAKE_GPU "\n" },
    { "check", NULL, NULL },
  };
  VfioAddress set[2] = { fake_address (FAKE_GPU), fake_address (FAKE_SOUND) };
  g_autoptr (VfioPlan) plan = NULL, real = NULL, back = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (vfio_bind_take (&f->k.host, set, 2, &for_user, TRUE, &plan, &error));
  g_assert_no_error (error);
  assert_unchanged (f);
  g_assert_cmpuint (plan->steps->len, ==, G_N_ELEMENTS (expected));
  g_assert_true (vfio_bind_take (&f->k.host, set, 2, &for_user, FALSE, &real, &error));
  for (guint i = 0; i < plan->steps->len; i++)
    {
      const VfioStep *step = g_ptr_array_index (plan->steps, i);
      const VfioStep *done = g_ptr_array_index (real->steps, i);

      g_assert_cmpstr (vfio_step_kind_to_string (step->kind), ==, expected[i].kind);
      g_assert_cmpstr (step->path, ==, expected[i].path);
      g_assert_cmpstr (step->value, ==, expected[i].value);
      g_assert_cmpstr (step->text, ==, done->text);
      g_assert_true (step->undo != NULL || step->kind == BIND_STEP_CHECK);
    }
  g_assert_true (vfio_bind_give_back (&f->k.host, set, 2, USER, TRUE, &back, &error));
  assert_driver (f, FAKE_GPU, "vfio-pci");
  /* override, unbind, attach, check, forget for each */
  g_assert_cmpuint (back->steps->len, ==, 10);
  g_assert_true (give_back (f, NULL, USER, &error));
  assert_unchanged (f);
}

/* Whatever write fails, everything is put back. */
static void
test_fail_each (Fixture *f, gconstpointer data)
{
  for (guint n = 1;; n++)
    {
      g_autoptr (GError) error = NULL;

      fake_kernel_fail (&f->k, n, EIO);
      if (take (f, FAKE_GPU " " FAKE_SOUND, &for_user, &error))
        {
          g_assert_cmpuint (n, ==, 7);
          break;
        }
      g_assert_nonnull (strstr (error->message, "Everything is as it was before"));
      assert_unchanged (f);
    }
}

static void
test_refused_by_vfio (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  fake_kernel_refuse (&f->k, "vfio-pci", FAKE_GPU, EBUSY);
  g_assert_false (take (f, FAKE_GPU " " FAKE_SOUND, &for_user, &error));
  g_assert_nonnull (strstr (error->message, "The driver vfio-pci did not take " FAKE_GPU));
  assert_unchanged (f);
}

/* The original driver will not have it back: said by name, the ledger keeps it, a second try
 * succeeds; the other function was given back at once. */
static void
test_not_taken_back (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *ledger = NULL;

  g_assert_true (take (f, FAKE_GPU " " FAKE_SOUND, &for_user, &error));
  fake_kernel_refuse (&f->k, "amdgpu", FAKE_GPU, EINVAL);
  g_assert_false (give_back (f, NULL, USER, &error));
  g_assert_nonnull (strstr (error->message, "amdgpu"));
  g_assert_nonnull (strstr (error->message, FAKE_GPU));
  ledger = fake_kernel_dup_ledger (&f->k);
  g_assert_cmpstr (ledger, ==, "function-" FAKE_GPU);
  assert_driver (f, FAKE_GPU, NULL);
  assert_driver (f, FAKE_SOUND, "snd_hda_intel");
  fake_kernel_refuse (&f->k, "amdgpu", FAKE_GPU, 0);
  g_clear_error (&error);
  g_assert_true (give_back (f, FAKE_GPU, USER, &error));
  g_assert_no_error (error);
  assert_unchanged (f);
}

/* The rollback fails too: the message says what to do, and that does it. */
static void
test_rollback_fails (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  fake_kernel_refuse (&f->k, "vfio-pci", FAKE_NET, EBUSY);
  fake_kernel_refuse (&f->k, "e1000e", FAKE_NET, EIO);
  g_assert_false (take (f, FAKE_NET, &for_user, &error));
  g_assert_nonnull (strstr (error->message, "could not all be put back"));
  g_assert_nonnull (strstr (error->message, "e1000e"));
  fake_kernel_refuse (&f->k, "vfio-pci", FAKE_NET, 0);
  fake_kernel_refuse (&f->k, "e1000e", FAKE_NET, 0);
  g_clear_error (&error);
  g_assert_true (give_back (f, NULL, BIND_ANY_UID, &error));
  assert_unchanged (f);
}

/* The device goes at any moment of taking. */
static void
test_vanish (Fixture *f, gconstpointer data)
{
  for (guint n = 1; n <= 3; n++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *ledger = NULL;
      Fixture own;

      set_up (&own, NULL);
      fake_kernel_vanish (&own.k, n, FAKE_NET);
      g_assert_false (take (&own, FAKE_NET, &for_user, &error));
      ledger = fake_kernel_dup_ledger (&own.k);
      g_assert_cmpstr (ledger, ==, "");
      if (n != 2)
        g_assert_nonnull (strstr (error->message, "gone"));
      tear_down (&own, NULL);
    }
}

/* The machine was restarted, or the card changed, or somebody else took care: nothing is undone that
 * is not there. */
static void
test_overtaken (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *ledger = NULL;

  g_assert_true (take (f, FAKE_NET, &for_user, &error));
  g_assert_true (take (f, FAKE_PLAIN, &for_user, &error));
  g_assert_true (take (f, FAKE_NVME, &for_user, &error));
  /* By hand. */
  fake_kernel_ops.write (f->k.tree, "/sys/bus/pci/drivers/vfio-pci/unbind", FAKE_NVME "\n");
  fake_kernel_ops.write (f->k.tree, "/sys/bus/pci/devices/" FAKE_NVME "/driver_override", "\n");
  fake_kernel_ops.write (f->k.tree, "/sys/bus/pci/drivers/nvme/bind", FAKE_NVME "\n");
  g_assert_true (give_back (f, FAKE_NVME, USER, &error));
  assert_driver (f, FAKE_NVME, "nvme");
  /* Another card. */
  fake_kernel_put (&f->k, "sys/devices/pci0000:00/" FAKE_PLAIN "/device", "0x1234\n");
  g_assert_true (give_back (f, FAKE_PLAIN, USER, &error));
  assert_driver (f, FAKE_PLAIN, "vfio-pci");
  /* Another boot. */
  fake_kernel_put (&f->k, "proc/sys/kernel/random/boot_id",
                   "5d9c7a4e-0000-4000-8000-000000000002\n");
  g_assert_true (give_back (f, NULL, USER, &error));
  g_assert_no_error (error);
  assert_driver (f, FAKE_NET, "vfio-pci");
  ledger = fake_kernel_dup_ledger (&f->k);
  g_assert_cmpstr (ledger, ==, "");
}

static void
test_grant (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *given = NULL, *back = NULL;

  g_assert_false (vfio_bind_grant (&f->k.host, 13, USER, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_PERMISSION);
  g_clear_error (&error);
  g_assert_true (take (f, FAKE_GPU " " FAKE_SOUND, &for_user, &error));
  g_assert_false (vfio_bind_grant (&f->k.host, 13, 1001, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_PERMISSION);
  g_clear_error (&error);
  g_assert_false (vfio_bind_grant (&f->k.host, 18, USER, &error));
  g_clear_error (&error);
  g_assert_true (vfio_bind_grant (&f->k.host, 13, USER, &error));
  g_assert_true (vfio_bind_grant (&f->k.host, 13, USER, &error));
  g_assert_no_error (error);
  given = fake_kernel_dup_node (&f->k, "13");
  g_assert_cmpstr (given, ==, "1000 0 600");
  g_assert_true (give_back (f, NULL, USER, &error));
  g_assert_no_error (error);
  assert_unchanged (f);
  /* A node that stays (the card was vfio-pci's) is root's again, whatever its mode became. */
  g_assert_true (take (f, FAKE_VFIO, &for_user, &error));
  g_assert_true (vfio_bind_grant (&f->k.host, 18, USER, &error));
  fake_kernel_put (&f->k, "dev/vfio/18", "1000 0 666");
  g_assert_true (give_back (f, NULL, USER, &error));
  back = fake_kernel_dup_node (&f->k, "18");
  g_assert_cmpstr (back, ==, "0 0 600");
  assert_unchanged (f);
}

/* A node that is not the kernel's is never touched: here with the kernel's own table of calls. */
static void
test_grant_link (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  VfioBindHost host = f->k.host;
  VfioNodeOwner before, to = { USER, G_MAXUINT32, 0600 };

  g_assert_true (take (f, FAKE_NET, &for_user, &error));
  fake_kernel_put (&f->k, "etc/shadow", "secret");
  fake_kernel_remove (&f->k, "dev/vfio/15");
  fake_kernel_link (&f->k, "dev/vfio/15", "../../etc/shadow");
  host.ops = &vfio_bind_ops_kernel;
  g_assert_false (vfio_bind_grant (&host, 15, USER, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_clear_error (&error);
  /* To a device even, but another one than sysfs says. */
  fake_kernel_remove (&f->k, "dev/vfio/15");
  fake_kernel_link (&f->k, "dev/vfio/15", "/dev/null");
  g_assert_false (vfio_bind_grant (&host, 15, USER, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_clear_error (&error);
  fake_kernel_remove (&f->k, "dev/vfio/15");
  fake_kernel_put (&f->k, "dev/vfio/15", "a file");
  g_assert_false (vfio_bind_grant (&host, 15, USER, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_assert_cmpint (vfio_bind_ops_kernel.set_owner (f->k.tree, "/dev/vfio/15", 242, 15, G_MAXUINT32,
                                                   &to, &before),
                   ==, -ENODEV);
  /* A device, but with other numbers. */
  if (g_file_test ("/dev/null", G_FILE_TEST_EXISTS))
    {
      g_autoptr (VfioTree) live = vfio_tree_open ("/", NULL);

      g_assert_cmpint (
          vfio_bind_ops_kernel.set_owner (live, "/dev/null", 1, 5, G_MAXUINT32, NULL, &before), ==,
          -ENODEV);
      g_assert_cmpint (
          vfio_bind_ops_kernel.set_owner (live, "/dev/null", 1, 3, G_MAXUINT32, NULL, &before), ==,
          0);
    }
}

/* A process that takes, grants and gives back, killed at its n-th step; then release. */
static void
child (Fixture *f, guint n, gboolean back)
{
  FakeKernel own;

  fake_kernel_open (&own, f->k.root);
  fake_kernel_set_kill (n);
  f->k = own;
  if (take (f, FAKE_GPU " " FAKE_SOUND, &for_user, NULL) &&
      vfio_bind_grant (&own.host, 13, USER, NULL) && (!back || give_back (f, NULL, USER, NULL)))
    _exit (0);
  _exit (1);
}

static void
test_kill (Fixture *f, gconstpointer data)
{
  guint n, killed = 0;

  for (n = 1; n < 400; n++)
    {
      g_autoptr (GError) error = NULL;
      pid_t pid = fork ();
      int status;

      if (pid == 0)
        child (f, n, TRUE);
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      /* "alcove pci release": nothing but the ledger tells it what to do. */
      g_assert_true (give_back (f, NULL, BIND_ANY_UID, &error));
      g_assert_no_error (error);
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
  g_test_message ("killed at %u steps", killed);
}

/* Giving back is killed at every step too, and then done again. */
static void
test_kill_release (Fixture *f, gconstpointer data)
{
  guint n;

  for (n = 1; n < 200; n++)
    {
      g_autoptr (GError) error = NULL;
      pid_t pid;
      int status;

      g_assert_true (take (f, FAKE_GPU " " FAKE_SOUND, &for_user, &error));
      g_assert_true (vfio_bind_grant (&f->k.host, 13, USER, &error));
      pid = fork ();
      if (pid == 0)
        {
          FakeKernel own;

          fake_kernel_open (&own, f->k.root);
          fake_kernel_set_kill (n);
          _exit (vfio_bind_give_back (&own.host, NULL, 0, USER, FALSE, NULL, NULL) ? 0 : 1);
        }
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      g_assert_true (give_back (f, NULL, BIND_ANY_UID, &error));
      g_assert_no_error (error);
      assert_unchanged (f);
      if (WIFEXITED (status))
        {
          g_assert_cmpint (WEXITSTATUS (status), ==, 0);
          break;
        }
    }
  g_assert_cmpuint (n, >, 20);
}

/* What somebody wrote into the ledger is never obeyed. */
static void
test_hostile_ledger (Fixture *f, gconstpointer data)
{
  static const char good[] = "alcove-binding 1\naddress=" FAKE_NET "\nvendor=8086\ndevice=10d3\n"
                             "driver=e1000e\noverride=\nuid=1000\nowner=\n"
                             "boot=5d9c7a4e-0000-4000-8000-000000000001\nsince=1\n";
  static const struct
  {
    const char *from, *to;
  } changes[] = {
    { "driver=e1000e", "driver=../../../etc" },
    { "driver=e1000e", "driver=a/b" },
    { "driver=e1000e", "driver=.." },
    { "override=", "override=x y" },
    { "address=" FAKE_NET, "address=" FAKE_GPU },
    { "uid=1000", "uid=-1" },
    { "uid=1000", "uid=99999999999" },
    { "since=1\n", "since=1" },
    { "since=1\n", "since=1\nmore=2\n" },
    { "vendor=8086", "vendor=18086" },
    { "owner=", "owner=/bin/sh" },
    { "boot=5d9c7a4e", "boot=/5d9c7a4e" },
  };
  g_autoptr (GError) error = NULL;
  g_autofree char *state = fake_kernel_dup_state (&f->k), *after = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (changes); i++)
    {
      g_autoptr (GString) text = g_string_new (good);

      g_assert_cmpuint (g_string_replace (text, changes[i].from, changes[i].to, 1), ==, 1);
      fake_kernel_put (&f->k, BIND_LEDGER_FOLDER "/function-" FAKE_NET, text->str);
      g_assert_false (give_back (f, NULL, BIND_ANY_UID, &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
      g_assert_nonnull (strstr (error->message, "function-" FAKE_NET));
      g_clear_error (&error);
      g_assert_false (give_back (f, FAKE_NET, BIND_ANY_UID, &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
      g_clear_error (&error);
      refused (f, FAKE_NET, VMM_ERROR_INVALID, "function-" FAKE_NET);
    }
  after = fake_kernel_dup_state (&f->k);
  g_assert_cmpstr (after, ==, state);
  /* The good one is obeyed: the driver has the card, so nothing is done and it goes. */
  fake_kernel_put (&f->k, BIND_LEDGER_FOLDER "/function-" FAKE_NET, good);
  g_assert_true (give_back (f, NULL, BIND_ANY_UID, &error));
  assert_unchanged (f);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    void (*run) (Fixture *f, gconstpointer data);
  } tests[] = {
    { "/vfio/bind/round", test_round },
    { "/vfio/bind/again", test_again },
    { "/vfio/bind/rules", test_rules },
    { "/vfio/bind/in-use", test_in_use },
    { "/vfio/bind/needed", test_needed },
    { "/vfio/bind/no-vfio", test_no_vfio },
    { "/vfio/bind/complete", test_complete },
    { "/vfio/bind/dry-run", test_dry_run },
    { "/vfio/bind/fail-each", test_fail_each },
    { "/vfio/bind/refused-by-vfio", test_refused_by_vfio },
    { "/vfio/bind/not-taken-back", test_not_taken_back },
    { "/vfio/bind/rollback-fails", test_rollback_fails },
    { "/vfio/bind/vanish", test_vanish },
    { "/vfio/bind/overtaken", test_overtaken },
    { "/vfio/bind/grant", test_grant },
    { "/vfio/bind/grant-link", test_grant_link },
    { "/vfio/bind/kill", test_kill },
    { "/vfio/bind/kill-release", test_kill_release },
    { "/vfio/bind/hostile-ledger", test_hostile_ledger },
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
  return g_test_run ();
}
