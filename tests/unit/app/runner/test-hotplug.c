/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Disks that come and go: hotplug.c with a definition of its own, and its neighbours made up here (the
 * machine's disks, the slots, the SCSI and NVMe controllers, whether the machine runs), so that every
 * answer of a guest and of the host comes when the test says so. */
#include "app/runner/hotplug.h"

#include <glib/gstdio.h>
#include <string.h>

#include "app/definition-disks.h"
#include "app/paths.h"
#include "app/runner/machine-private.h"
#include "devices/board/root-port.h"
#include "devices/storage/nvme.h"
#include "devices/virtio/scsi.h"

static const char conf[] = "[machine]\nuuid=12345678-1234-1234-1234-123456789abc\nname=x\n"
                           "memory=64M\n[disk system]\nfile=system.img\nformat=raw\n";

typedef struct
{
  VmmDevice parent;
  guint n_resets;
} FakeDevice;

/* What the made-up neighbours say and what was asked of them. */
static struct
{
  VmmRunState state;
  gboolean refuse_make, no_port, deaf, off, refuse_flush, scsi, scsi_listens;
  guint n_namespaces;
  guint n_announced, n_cancelled, n_flushed, n_told, n_detached, n_namespaces_removed;
  void (*released) (gpointer user_data);
  gpointer released_data;
  FakeDevice *device; /* of the last disk */
} world;

static PciDevice *
fake_port (void)
{
  return (PciDevice *)&world;
}

VmmRunState
vmm_vm_get_state (VmmVm *vm)
{
  return world.state;
}

PciBus *
pci_device_get_bus (PciDevice *device)
{
  return NULL;
}

void
pci_device_announce (PciDevice *device)
{
  world.n_announced++;
}

PciDevice *
q35_board_find_port (Q35Board *board, PciBus *bus)
{
  return world.no_port ? NULL : fake_port ();
}

void
q35_board_remove_boot_device (Q35Board *board, VmmDevice *device)
{
}

gboolean
pcie_root_port_is_heard (PciDevice *port)
{
  return !world.deaf;
}

gboolean
pcie_root_port_is_off (PciDevice *port)
{
  return world.off;
}

gboolean
pcie_root_port_request_eject (PciDevice *port, void (*done) (gpointer), gpointer user_data)
{
  world.released = done;
  world.released_data = user_data;
  return TRUE;
}

void
pcie_root_port_cancel_eject (PciDevice *port)
{
  g_assert_true (port == fake_port ());
  world.released = NULL;
  world.n_cancelled++;
}

guint
nvme_get_n_namespaces (VmmDevice *device)
{
  return world.n_namespaces;
}

gboolean
nvme_remove_namespace (VmmDevice *device, guint nsid, GError **error)
{
  world.n_namespaces_removed++;
  return TRUE;
}

gboolean
virtio_scsi_announce_removal (VmmDevice *device, const char *name, GError **error)
{
  g_assert_cmpstr (name, ==, "disk.more");
  world.n_told++;
  return world.scsi_listens;
}

gboolean
virtio_scsi_detach (VmmDevice *device, const char *name, GError **error)
{
  g_assert_cmpstr (name, ==, "disk.more");
  world.n_detached++;
  return TRUE;
}

static gboolean
fake_flush (BlockBackend *backend, GError **error)
{
  world.n_flushed++;
  if (world.refuse_flush)
    g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE, "the host is full");
  return !world.refuse_flush;
}

static const BlockBackendOps fake_backend_ops = { .name = "fake", .flush_sync = fake_flush };
static const BlockBackend fake_backend = { .ops = &fake_backend_ops };

static void
fake_reset (VmmDevice *device, VmmResetKind kind)
{
  ((FakeDevice *)device)->n_resets++;
}

static const VmmDeviceOps fake_device_ops = {
  .name = "fake",
  .instance_size = sizeof (FakeDevice),
  .reset = fake_reset,
};

void
runner_disk_free (gpointer data)
{
  RunnerDisk *disk = data;

  g_free (disk->name);
  g_free (disk);
}

gboolean
runner_disk_make (RunnerMachine *self, const AlcoveDiskConfig *config, GError **error)
{
  RunnerDisk *disk;

  if (world.refuse_make)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY, "the image is in use");
      return FALSE;
    }
  disk = g_new0 (RunnerDisk, 1);
  disk->name = g_strdup (config->base.name);
  disk->kind = ALCOVE_KIND_DISK;
  disk->backend = (BlockBackend *)&fake_backend;
  disk->device = vmm_device_new (&fake_device_ops, "disk.more");
  world.device = (FakeDevice *)disk->device;
  disk->own_function = !world.scsi;
  disk->target = world.scsi ? 3 : 0;
  disk->nsid = world.n_namespaces;
  g_ptr_array_add (self->disks, disk);
  return TRUE;
}

RunnerDisk *
runner_disk_find (RunnerMachine *self, AlcoveKind kind, const char *name)
{
  for (guint i = 0; i < self->disks->len; i++)
    {
      RunnerDisk *disk = g_ptr_array_index (self->disks, i);

      if (disk->kind == kind && strcmp (disk->name, name) == 0)
        return disk;
    }
  return NULL;
}

void
runner_disk_forget (RunnerMachine *self, RunnerDisk *disk)
{
  g_ptr_array_remove (self->disks, disk);
}

/* ---- the machine ---- */

typedef struct
{
  RunnerMachine machine;
  char *folder;
  gboolean hold;
  guint n_done;
  GError *error;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;

  memset (&world, 0, sizeof world);
  world.state = VMM_STATE_RUNNING;
  f->folder = g_dir_make_tmp ("alcove-hotplug-XXXXXX", NULL);
  path = g_build_filename (f->folder, "machine.conf", NULL);
  g_assert_true (g_file_set_contents (path, conf, -1, NULL));
  f->machine.definition = alcove_definition_load (path, &error);
  g_assert_no_error (error);
  f->machine.disks = g_ptr_array_new_with_free_func (runner_disk_free);
  runner_hotplug_init (&f->machine);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  runner_hotplug_cancel_all (&f->machine);
  for (guint i = 0; i < f->machine.disks->len; i++)
    if (!world.scsi && world.n_namespaces < 2)
      vmm_device_free (((RunnerDisk *)g_ptr_array_index (f->machine.disks, i))->device);
  if (world.scsi || world.n_namespaces > 1)
    vmm_device_free (&world.device->parent); /* the controller's */
  g_ptr_array_unref (f->machine.disks);
  g_ptr_array_unref (f->machine.ejects);
  g_object_unref (f->machine.definition);
  alcove_paths_remove_tree (f->folder);
  g_free (f->folder);
  g_clear_error (&f->error);
}

static void
plug (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *group =
      runner_hotplug_add_disk (&f->machine,
                               world.scsi ? "[disk more]\nfile=/more.img\nformat=raw\nbus=scsi\n"
                                          : "[disk more]\nfile=/more.img\nformat=raw\n",
                               &error);

  g_assert_no_error (error);
  g_assert_nonnull (strstr (group, "[disk more]"));
}

static void
on_done (const GError *error, gpointer user_data)
{
  Fixture *f = user_data;

  f->n_done++;
  g_clear_error (&f->error);
  f->error = error != NULL ? g_error_copy (error) : NULL;
}

static void
take_out (Fixture *f, gboolean force, guint timeout_ms)
{
  runner_hotplug_remove_disk (&f->machine, "more", force, timeout_ms, on_done, f);
}

static void
run (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    continue;
}

static void
assert_is_in (Fixture *f, gboolean in)
{
  g_assert_true ((alcove_definition_find_disk (f->machine.definition, "more") != NULL) == in);
  g_assert_true ((runner_disk_find (&f->machine, ALCOVE_KIND_DISK, "more") != NULL) == in);
}

static void
test_in (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  plug (f);
  assert_is_in (f, TRUE);
  g_assert_cmpuint (world.device->n_resets, ==, 1);
  g_assert_cmpuint (world.n_announced, ==, 1);
  /* Twice the same, and what is no disk: nothing has changed. */
  g_assert_null (runner_hotplug_add_disk (&f->machine, "[disk more]\nfile=/other.img\n", &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  g_assert_null (runner_hotplug_add_disk (&f->machine, "[machine]\nmemory=1\n", &error));
  g_assert_nonnull (error);
  g_assert_cmpuint (f->machine.disks->len, ==, 1);
}

static void
test_in_fails (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  world.refuse_make = TRUE;
  g_assert_null (
      runner_hotplug_add_disk (&f->machine, "[disk more]\nfile=/m.img\nformat=raw\n", &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
  assert_is_in (f, FALSE);
  world.refuse_make = FALSE;
  plug (f);
}

static void
test_released (Fixture *f, gconstpointer data)
{
  plug (f);
  take_out (f, FALSE, 60000);
  g_assert_cmpuint (f->n_done, ==, 0);
  /* The same once more is refused, the first goes on. */
  take_out (f, FALSE, 60000);
  g_assert_cmpuint (f->n_done, ==, 1);
  g_assert_error (f->error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE);
  world.released (world.released_data);
  assert_is_in (f, TRUE); /* on the main thread, later */
  run ();
  g_assert_cmpuint (f->n_done, ==, 2);
  g_assert_no_error (f->error);
  g_assert_cmpuint (world.n_flushed, ==, 1);
  assert_is_in (f, FALSE);
  take_out (f, FALSE, 60000);
  g_assert_error (f->error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
}

/* The guest releases a disk while a save is under way: it goes after that. */
static gboolean
is_held (gpointer user_data)
{
  return ((Fixture *)user_data)->hold;
}

static void
test_held (Fixture *f, gconstpointer data)
{
  plug (f);
  runner_hotplug_set_hold_func (&f->machine, is_held, f);
  f->hold = TRUE;
  take_out (f, FALSE, 60000);
  world.released (world.released_data);
  run ();
  g_assert_cmpuint (f->n_done, ==, 0);
  assert_is_in (f, TRUE);
  f->hold = FALSE;
  while (f->n_done == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_no_error (f->error);
  assert_is_in (f, FALSE);
}

static void
test_late (Fixture *f, gconstpointer data)
{
  plug (f);
  take_out (f, FALSE, 1);
  while (f->n_done == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_error (f->error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED);
  g_assert_cmpuint (world.n_cancelled, ==, 1);
  assert_is_in (f, TRUE);
  /* Released after all, and by force. */
  take_out (f, TRUE, 1000);
  g_assert_cmpuint (f->n_done, ==, 2);
  g_assert_no_error (f->error);
  assert_is_in (f, FALSE);
}

/* Force ends a wait; an answer that was on its way comes to nothing. */
static void
test_force_while_waiting (Fixture *f, gconstpointer data)
{
  plug (f);
  take_out (f, FALSE, 60000);
  world.released (world.released_data);
  take_out (f, TRUE, 1000);
  g_assert_cmpuint (f->n_done, ==, 2);
  g_assert_no_error (f->error);
  assert_is_in (f, FALSE);
  run ();
  g_assert_cmpuint (f->n_done, ==, 2);
}

static void
test_end (Fixture *f, gconstpointer data)
{
  plug (f);
  take_out (f, FALSE, 60000);
  world.released (world.released_data);
  runner_hotplug_cancel_all (&f->machine);
  g_assert_cmpuint (f->n_done, ==, 1);
  g_assert_error (f->error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE);
  run ();
  g_assert_cmpuint (f->n_done, ==, 1);
  assert_is_in (f, TRUE);
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  plug (f);
  world.state = VMM_STATE_PAUSED;
  take_out (f, FALSE, 1000);
  g_assert_error (f->error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE);
  world.state = VMM_STATE_RUNNING;
  world.deaf = TRUE;
  take_out (f, FALSE, 1000);
  g_assert_error (f->error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE);
  world.no_port = TRUE;
  for (guint force = 0; force < 2; force++)
    {
      take_out (f, force, 1000);
      g_assert_error (f->error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED);
    }
  assert_is_in (f, TRUE);
  /* A slot without power: no driver needs to be asked. What the host cannot write is told. */
  world.no_port = FALSE;
  world.off = world.refuse_flush = TRUE;
  take_out (f, FALSE, 1000);
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_UNAVAILABLE);
  assert_is_in (f, FALSE);
}

static void
test_scsi (Fixture *f, gconstpointer data)
{
  world.scsi = world.scsi_listens = TRUE;
  plug (f);
  g_assert_cmpuint (alcove_definition_find_disk (f->machine.definition, "more")->target, ==, 3);
  g_assert_cmpuint (world.n_announced, ==, 0);
  take_out (f, FALSE, 1000);
  g_assert_error (f->error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED);
  take_out (f, TRUE, 1);
  g_assert_cmpuint (world.n_told, ==, 1);
  g_assert_cmpuint (world.n_detached, ==, 0); /* its driver gets its time */
  while (f->n_done == 1)
    g_main_context_iteration (NULL, TRUE);
  g_assert_no_error (f->error);
  g_assert_cmpuint (world.n_detached, ==, 1);
  assert_is_in (f, FALSE);
}

static void
test_namespaces (Fixture *f, gconstpointer data)
{
  world.n_namespaces = 2;
  plug (f);
  g_assert_cmpuint (world.n_announced, ==, 0); /* its controller told the driver */
  take_out (f, FALSE, 1000);
  g_assert_error (f->error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED);
  take_out (f, TRUE, 1000);
  g_assert_no_error (f->error);
  g_assert_cmpuint (world.n_namespaces_removed, ==, 1);
  assert_is_in (f, FALSE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/hotplug/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("in", test_in);
  ADD ("in-fails", test_in_fails);
  ADD ("released", test_released);
  ADD ("held", test_held);
  ADD ("late", test_late);
  ADD ("force-while-waiting", test_force_while_waiting);
  ADD ("end", test_end);
  ADD ("refused", test_refused);
  ADD ("scsi", test_scsi);
  ADD ("namespaces", test_namespaces);
  return g_test_run ();
}
