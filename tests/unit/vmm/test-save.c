/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Saving and restoring a machine without KVM. Its "guest" is a thread that numbers its writes: page
 * n % PAGES gets n, then page 0 gets n. A saved memory in which page 0 says n must hold, in every
 * other page, the last number before or at n that belongs there: anything else is of two instants. */
#include "vmm/save-private.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/platform/hpet.h"
#include "devices/platform/rtc.h"
#include "tests/unit/harness/harness.h"
#include "vmm/fingerprint.h"
#include "vmm/memory-private.h"

#define PAGE      VMM_RAM_FILE_PAGE
#define PAGES     1500 /* two chunks and a part, beyond page 0 */
#define RAM_SIZE  (8u << 20)
#define MUTATIONS 4000

typedef struct
{
  HarnessMachine *h;
  VmmRamBlock *ram;
  GMutex lock; /* held by the guest for one step, by the save while frozen */
  gint running, stop;
  GThread *thread;
  guint64 n;
  char *folder;
  gint n_points;
  gboolean fail_point;
  GMutex done_lock;
  GCond done_cond;
  gboolean done;
} Fixture;

static gpointer
guest (gpointer data)
{
  Fixture *f = data;
  VmmGuestMemory *memory = vmm_machine_get_memory (f->h->machine);

  while (g_atomic_int_get (&f->stop) == 0)
    {
      g_mutex_lock (&f->lock);
      for (guint i = 0; i < 64; i++)
        {
          guint64 n = ++f->n, page = n % PAGES;

          if (page != 0)
            g_assert_true (vmm_guest_memory_write (memory, vmm_gpa (page * PAGE + 8 * (n % 100)),
                                                   &n, sizeof n));
          if (page != 0)
            g_assert_true (vmm_guest_memory_write (memory, vmm_gpa (page * PAGE), &n, sizeof n));
          g_assert_true (vmm_guest_memory_write (memory, vmm_gpa (0), &n, sizeof n));
        }
      g_mutex_unlock (&f->lock);
      g_thread_yield ();
    }
  return NULL;
}

static HarnessMachine *
make_machine (VmmRamFlags flags, guint64 size, VmmRamBlock **ret_ram)
{
  g_autoptr (GError) error = NULL;
  HarnessMachine *h = harness_new (0);

  *ret_ram = vmm_ram_block_new ("ram", size, flags, &error);
  g_assert_no_error (error);
  g_assert_nonnull (vmm_guest_memory_map (vmm_machine_get_memory (h->machine), *ret_ram, 0,
                                          vmm_gpa (0), size, VMM_MAP_NONE, &error));
  harness_realize (h, vmm_device_new (&rtc_ops, "rtc"));
  harness_realize (h, vmm_device_new (&hpet_ops, "hpet"));
  vmm_machine_reset_devices (h->machine, VMM_RESET_COLD);
  return h;
}

static void
free_machine (HarnessMachine *h, VmmRamBlock *ram)
{
  harness_free (h);
  vmm_ram_block_unref (ram);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  f->h = make_machine ((VmmRamFlags)GPOINTER_TO_UINT (data), RAM_SIZE, &f->ram);
  f->folder = g_dir_make_tmp ("save-XXXXXX", &error);
  g_assert_no_error (error);
  f->running = 1;
  f->thread = g_thread_new ("guest", guest, f);
}

static void
remove_files (const char *folder)
{
  g_autofree char *ram = g_build_filename (folder, VMM_SAVE_RAM_FILE, NULL);
  g_autofree char *state = g_build_filename (folder, VMM_SAVE_STATE_FILE, NULL);

  (void)g_unlink (ram);
  (void)g_unlink (state);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_atomic_int_set (&f->stop, 1);
  g_thread_join (f->thread);
  free_machine (f->h, f->ram);
  remove_files (f->folder);
  g_assert_cmpint (g_rmdir (f->folder), ==, 0);
  g_free (f->folder);
}

/* The target: freezing is taking the guest's lock. */

static gboolean
is_running (gpointer owner)
{
  return ((Fixture *)owner)->running != 0;
}

static gboolean
freeze (gpointer owner, GError **error)
{
  Fixture *f = owner;

  g_mutex_lock (&f->lock);
  vmm_machine_quiesce_devices (f->h->machine);
  return TRUE;
}

static void
thaw (gpointer owner, gboolean keep_paused)
{
  Fixture *f = owner;

  vmm_machine_resume_devices (f->h->machine);
  f->running = !keep_paused;
  g_mutex_unlock (&f->lock);
}

static gboolean
save_state (gpointer owner, VmmStateWriter *writer, GError **error)
{
  return vmm_machine_save_devices (((Fixture *)owner)->h->machine, writer, error);
}

static gboolean
on_point (gpointer user_data, GError **error)
{
  Fixture *f = user_data;

  g_atomic_int_inc (&f->n_points);
  if (f->fail_point)
    g_set_error_literal (error, VMM_ERROR, VMM_ERROR_FAILED, "The disk is full");
  return !f->fail_point;
}

static void
on_done (VmmSave *save, gpointer user_data)
{
  Fixture *f = user_data;

  g_mutex_lock (&f->done_lock);
  f->done = TRUE;
  g_cond_signal (&f->done_cond);
  g_mutex_unlock (&f->done_lock);
}

static gboolean
save (Fixture *f, VmmSaveMethod method, VmmSaveResult *ret_result, GError **error)
{
  const VmmSaveTarget target = { f, f->h->machine, is_running, freeze, thaw, save_state };
  const VmmSaveOptions options = {
    .folder = f->folder, .method = method, .at_point = on_point, .done = on_done, .user_data = f
  };
  VmmSave *object = vmm_save_new_for (&target, &options, error);
  gboolean ok;

  if (object == NULL)
    return FALSE;
  g_mutex_lock (&f->done_lock);
  while (!f->done)
    g_cond_wait (&f->done_cond, &f->done_lock);
  f->done = FALSE;
  g_mutex_unlock (&f->done_lock);
  ok = vmm_save_get_result (object, ret_result, error);
  vmm_save_free (object);
  return ok;
}

/* Restoring */

static void
check_memory (VmmGuestMemory *memory)
{
  guint64 last, n;

  g_assert_true (vmm_guest_memory_read (memory, vmm_gpa (0), &last, sizeof last));
  for (guint64 page = 1; page < PAGES; page++)
    {
      guint64 want = last < page ? 0 : last - (last - page) % PAGES;

      g_assert_true (vmm_guest_memory_read (memory, vmm_gpa (page * PAGE), &n, sizeof n));
      g_assert_cmpuint (n, ==, want);
    }
  for (guint64 page = PAGES; page < RAM_SIZE / PAGE; page++)
    {
      g_assert_true (vmm_guest_memory_read (memory, vmm_gpa (page * PAGE), &n, sizeof n));
      g_assert_cmpuint (n, ==, 0);
    }
}

typedef struct
{
  gint done; /* atomic */
  GError *error;
} Fetch;

static void
on_fetched (const GError *error, gpointer user_data)
{
  Fetch *fetch = user_data;

  fetch->error = error != NULL ? g_error_copy (error) : NULL;
  g_atomic_int_set (&fetch->done, 1);
}

static void
check_restore (const char *folder, VmmRamFlags flags)
{
  g_autoptr (GError) error = NULL;
  VmmRamBlock *ram;
  HarnessMachine *h = make_machine (flags, RAM_SIZE, &ram);
  VmmGuestMemory *memory = vmm_machine_get_memory (h->machine);
  VmmRestore *restore = vmm_restore_open (folder, &error);
  VmmStateReader *reader;
  Fetch fetch = { 0 };
  guint64 junk = 0x5a5a;

  g_assert_no_error (error);
  /* What the machine's memory held before is gone. */
  g_assert_true (vmm_guest_memory_write (memory, vmm_gpa (RAM_SIZE - 8), &junk, 8));
  reader = vmm_restore_apply (restore, h->machine, &error);
  g_assert_no_error (error);
  g_assert_true (vmm_machine_load_devices (h->machine, reader, &error));
  g_assert_no_error (error);
  check_memory (memory);
  /* The guest writes while the rest is fetched; its page stays its own. */
  junk = 42;
  g_assert_true (vmm_guest_memory_write (memory, vmm_gpa (0), &junk, sizeof junk));
  g_assert_true (vmm_restore_prefetch (restore, 0, on_fetched, &fetch, &error));
  while (g_atomic_int_get (&fetch.done) == 0)
    g_thread_yield ();
  g_assert_no_error (fetch.error);
  vmm_restore_free (restore);
  g_assert_true (vmm_guest_memory_read (memory, vmm_gpa (0), &junk, sizeof junk));
  g_assert_cmpuint (junk, ==, 42);
  free_machine (h, ram);
}

static void
run_method (Fixture *f, VmmSaveMethod method)
{
  g_autoptr (GError) error = NULL;
  VmmSaveResult result;

  /* Some writing first, so that there is something to mix up. */
  while (TRUE)
    {
      guint64 n;

      g_mutex_lock (&f->lock);
      n = f->n;
      g_mutex_unlock (&f->lock);
      if (n > 3 * PAGES)
        break;
      g_thread_yield ();
    }
  for (guint round = 0; round < 3; round++)
    {
      if (!save (f, method, &result, &error))
        {
          g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED);
          g_test_skip (error->message);
          return;
        }
      g_assert_cmpuint (result.ram_size, ==, RAM_SIZE);
      g_assert_cmpuint (result.ram_stored, ==, PAGES * PAGE);
      g_assert_cmpint (f->n_points, ==, (gint)round + 1);
      check_restore (f->folder, VMM_RAM_NONE);
      check_restore (f->folder, VMM_RAM_THP);
      remove_files (f->folder);
    }
}

static void
test_paused (Fixture *f, gconstpointer data)
{
  run_method (f, VMM_SAVE_PAUSED);
}

static void
test_fork (Fixture *f, gconstpointer data)
{
  run_method (f, VMM_SAVE_FORK);
}

static void
test_protect (Fixture *f, gconstpointer data)
{
  run_method (f, VMM_SAVE_WRITE_PROTECT);
}

static void
test_log (Fixture *f, gconstpointer data)
{
  run_method (f, VMM_SAVE_DIRTY_LOG);
}

static void
test_auto (Fixture *f, gconstpointer data)
{
  run_method (f, VMM_SAVE_AUTO);
}

/* A failure leaves nothing, and the guest goes on. */
static void
test_failed_point (Fixture *f, gconstpointer data)
{
  static const VmmSaveMethod methods[] = { VMM_SAVE_PAUSED, VMM_SAVE_DIRTY_LOG, VMM_SAVE_AUTO };
  g_autofree char *ram = g_build_filename (f->folder, VMM_SAVE_RAM_FILE, NULL);
  VmmSaveResult result;
  guint64 before, n;

  f->fail_point = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (save (f, methods[i], &result, &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_FAILED);
      g_assert_false (g_file_test (ram, G_FILE_TEST_EXISTS));
    }
  g_mutex_lock (&f->lock);
  before = n = f->n;
  g_mutex_unlock (&f->lock);
  while (n == before)
    {
      g_thread_yield ();
      g_mutex_lock (&f->lock);
      n = f->n;
      g_mutex_unlock (&f->lock);
    }
}

static void
test_cancel (Fixture *f, gconstpointer data)
{
  const VmmSaveTarget target = { f, f->h->machine, is_running, freeze, thaw, save_state };
  const VmmSaveOptions options = { .folder = f->folder, .method = VMM_SAVE_DIRTY_LOG };

  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (GError) error = NULL;
      VmmSave *object = vmm_save_new_for (&target, &options, &error);

      g_assert_no_error (error);
      vmm_save_free (object); /* cancels; it may have been too late */
      remove_files (f->folder);
    }
  g_assert_cmpint (vmm_guest_memory_start_dirty_log (vmm_machine_get_memory (f->h->machine), NULL),
                   ==, TRUE);
  vmm_guest_memory_stop_dirty_log (vmm_machine_get_memory (f->h->machine));
}

/* What does not fit, and what is damaged, is refused by name. */

static void
expect_refusal (const char *folder, HarnessMachine *h, const char *word)
{
  g_autoptr (GError) error = NULL;
  VmmRestore *restore = vmm_restore_open (folder, &error);

  if (restore != NULL)
    g_assert_null (vmm_restore_apply (restore, h->machine, &error));
  vmm_restore_free (restore);
  g_assert_nonnull (error);
  if (strstr (error->message, word) == NULL)
    g_error ("“%s” is not in: %s", word, error->message);
}

static void
test_mismatch (Fixture *f, gconstpointer data)
{
  VmmSaveResult result;
  VmmRamBlock *ram;
  HarnessMachine *h;
  VmmDevice *device;
  g_autofree char *path = g_build_filename (f->folder, VMM_SAVE_RAM_FILE, NULL);

  g_assert_true (save (f, VMM_SAVE_PAUSED, &result, NULL));
  h = make_machine (VMM_RAM_THP, RAM_SIZE * 2, &ram);
  expect_refusal (f->folder, h, "memory “ram” was 8192 KiB and is 16384 KiB");
  free_machine (h, ram);

  h = harness_new (0);
  ram = vmm_ram_block_new ("ram", RAM_SIZE, VMM_RAM_THP, NULL);
  g_assert_nonnull (vmm_guest_memory_map (vmm_machine_get_memory (h->machine), ram, 0, vmm_gpa (0),
                                          RAM_SIZE, VMM_MAP_NONE, NULL));
  device = vmm_device_new (&rtc_ops, "rtc");
  g_assert_true (vmm_device_set_bool (device, "localtime", TRUE, NULL));
  harness_realize (h, device);
  expect_refusal (f->folder, h, "localtime of “rtc” was off and is on");
  vmm_device_unrealize (device);
  vmm_device_free (device);
  harness_realize (h, vmm_device_new (&rtc_ops, "rtc"));
  expect_refusal (f->folder, h, "“hpet”");
  free_machine (h, ram);

  h = make_machine (VMM_RAM_THP, RAM_SIZE, &ram);
  g_assert_cmpint (g_unlink (path), ==, 0);
  expect_refusal (f->folder, h, "ram");
  free_machine (h, ram);
}

/* The two files of two saves. */
static void
test_mixed (Fixture *f, gconstpointer data)
{
  g_autofree char *state = g_build_filename (f->folder, VMM_SAVE_STATE_FILE, NULL);
  g_autofree char *contents = NULL;
  VmmSaveResult result;
  VmmRamBlock *block;
  HarnessMachine *h = make_machine (VMM_RAM_THP, RAM_SIZE, &block);
  gsize length;

  g_assert_true (save (f, VMM_SAVE_PAUSED, &result, NULL));
  g_assert_true (g_file_get_contents (state, &contents, &length, NULL));
  remove_files (f->folder);
  g_assert_true (save (f, VMM_SAVE_PAUSED, &result, NULL));
  g_assert_true (g_file_set_contents (state, contents, (gssize)length, NULL));
  expect_refusal (f->folder, h, "not of the same save");
  free_machine (h, block);
}

static void
test_mutations (Fixture *f, gconstpointer data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  g_autofree char *path = g_build_filename (f->folder, VMM_SAVE_STATE_FILE, NULL);
  g_autofree char *contents = NULL;
  VmmSaveResult result;
  VmmRamBlock *ram;
  HarnessMachine *h = make_machine (VMM_RAM_NONE, RAM_SIZE, &ram);
  gsize length;

  g_assert_true (save (f, VMM_SAVE_PAUSED, &result, NULL));
  g_assert_true (g_file_get_contents (path, &contents, &length, NULL));
  for (guint i = 0; i < MUTATIONS; i++)
    {
      g_autofree char *mutant = g_memdup2 (contents, length);
      gsize at = (gsize)g_rand_int_range (rand, 0, (gint32)length), n = length;
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (GError) error = NULL;
      VmmStateReader *reader;
      guint8 id[16];

      mutant[at] ^= (char)(1 << (g_rand_int (rand) & 7));
      if (g_rand_int_range (rand, 0, 8) == 0)
        n = at;
      bytes = g_bytes_new (mutant, n);
      reader = vmm_state_reader_new (bytes, &error);
      if (reader != NULL && vmm_fingerprint_load (h->machine, reader, id, &error))
        (void)vmm_machine_load_devices (h->machine, reader, &error);
      vmm_state_reader_free (reader);
      g_assert_nonnull (error);
    }
  free_machine (h, ram);
}

/* A page that was damaged after the save: found behind the running guest. */
static void
test_damage (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->folder, VMM_SAVE_RAM_FILE, NULL);
  g_autoptr (GError) error = NULL;
  Fetch fetch = { 0 };
  VmmSaveResult result;
  VmmRamBlock *ram;
  HarnessMachine *h = make_machine (VMM_RAM_THP, RAM_SIZE, &ram);
  VmmRestore *restore;
  int fd;

  if (vmm_ram_block_get_fd (ram) >= 0)
    g_test_message ("memory is shared by default here");
  /* The guest may not have come so far: a page of zeroes would not be in the file. */
  g_assert_true (vmm_guest_memory_write (vmm_machine_get_memory (f->h->machine),
                                         vmm_gpa (77 * PAGE + 2048), "damage", 6));
  g_assert_true (save (f, VMM_SAVE_PAUSED, &result, NULL));
  g_assert_cmpint (chmod (path, 0600), ==, 0);
  fd = open (path, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (pwrite (fd, "x", 1, (off_t)(VMM_RAM_FILE_ALIGN + 77 * PAGE)), ==, 1);
  close (fd);
  restore = vmm_restore_open (f->folder, &error);
  g_assert_no_error (error);
  g_assert_nonnull (vmm_restore_apply (restore, h->machine, &error));
  g_assert_cmpuint (vmm_restore_get_mapped (restore), >, 0);
  g_assert_true (vmm_restore_prefetch (restore, 0, on_fetched, &fetch, &error));
  while (g_atomic_int_get (&fetch.done) == 0)
    g_thread_yield ();
  g_assert_error (fetch.error, VMM_ERROR, VMM_ERROR_INVALID);
  g_assert_nonnull (strstr (fetch.error->message, "page 77"));
  g_clear_error (&fetch.error);
  vmm_restore_free (restore);
  free_machine (h, ram);
}

/* What this release writes for a small machine; a later one must go on reading it. */
static void
test_golden (void)
{
  g_autofree char *path =
      g_test_build_filename (G_TEST_DIST, "vmm", "golden", "state-0.1.0.bin", NULL);
  const guint8 id[16] = "a golden state..";
  g_autoptr (GBytes) now = NULL;
  g_autoptr (GBytes) kept = NULL;
  g_autoptr (GError) error = NULL;
  VmmStateWriter *writer = vmm_state_writer_new ();
  VmmStateReader *reader;
  VmmRamBlock *ram;
  HarnessMachine *h = make_machine (VMM_RAM_NONE, 1 << 20, &ram);
  guint8 read_id[16];
  char *contents;
  gsize length;

  harness_out (h, 0x70, 1, 0x40);
  harness_out (h, 0x71, 1, 0xa5);
  vmm_fingerprint_save (h->machine, id, writer);
  g_assert_true (vmm_machine_save_devices (h->machine, writer, &error));
  now = vmm_state_writer_finish (writer);
  vmm_state_writer_free (writer);
  if (g_getenv ("ALCOVE_WRITE_GOLDEN") != NULL)
    g_assert_true (g_file_set_contents (path, g_bytes_get_data (now, NULL),
                                        (gssize)g_bytes_get_size (now), &error));
  g_assert_true (g_file_get_contents (path, &contents, &length, &error));
  g_assert_no_error (error);
  kept = g_bytes_new_take (contents, length);
  free_machine (h, ram);

  h = make_machine (VMM_RAM_NONE, 1 << 20, &ram);
  reader = vmm_state_reader_new (kept, &error);
  g_assert_no_error (error);
  g_assert_true (vmm_fingerprint_load (h->machine, reader, read_id, &error));
  g_assert_no_error (error);
  g_assert_cmpmem (read_id, 16, id, 16);
  g_assert_true (vmm_machine_load_devices (h->machine, reader, &error));
  g_assert_no_error (error);
  vmm_state_reader_free (reader);
  harness_out (h, 0x70, 1, 0x40);
  g_assert_cmphex (harness_in (h, 0x71, 1), ==, 0xa5);
  free_machine (h, ram);
}

static void
test_method_names (void)
{
  VmmSaveMethod method;

  for (guint i = VMM_SAVE_AUTO; i <= VMM_SAVE_DIRTY_LOG; i++)
    {
      g_assert_true (
          vmm_save_method_from_string (vmm_save_method_to_string ((VmmSaveMethod)i), &method));
      g_assert_cmpuint (method, ==, i);
    }
  g_assert_false (vmm_save_method_from_string ("", &method));
  g_assert_false (vmm_save_method_from_string ("Fork", &method));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/save/method-names", test_method_names);
  g_test_add_func ("/save/golden", test_golden);
#define ADD(name, flags, func)                                                                     \
  g_test_add (name, Fixture, GUINT_TO_POINTER (flags), set_up, func, tear_down)
  ADD ("/save/paused", VMM_RAM_NONE, test_paused);
  ADD ("/save/paused-private", VMM_RAM_THP, test_paused);
  ADD ("/save/fork", VMM_RAM_THP, test_fork);
  ADD ("/save/fork-shared", VMM_RAM_NONE, test_fork);
  ADD ("/save/write-protect", VMM_RAM_THP, test_protect);
  ADD ("/save/write-protect-shared", VMM_RAM_NONE, test_protect);
  ADD ("/save/dirty-log", VMM_RAM_NONE, test_log);
  ADD ("/save/auto", VMM_RAM_NONE, test_auto);
  ADD ("/save/failed-point", VMM_RAM_NONE, test_failed_point);
  ADD ("/save/cancel", VMM_RAM_NONE, test_cancel);
  ADD ("/save/mismatch", VMM_RAM_NONE, test_mismatch);
  ADD ("/save/mixed", VMM_RAM_NONE, test_mixed);
  ADD ("/save/mutations", VMM_RAM_NONE, test_mutations);
  ADD ("/save/damage", VMM_RAM_NONE, test_damage);
  return g_test_run ();
}
