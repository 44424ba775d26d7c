/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/save-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm/fingerprint.h"
#include "vmm/memory-private.h"

#define STEP_PAGES 512    /* between two looks at progress and cancel */
#define TELL_US    100000 /* between two reports of progress */

static const char *const method_names[] = {
  [VMM_SAVE_AUTO] = "auto",           [VMM_SAVE_PAUSED] = "paused",
  [VMM_SAVE_FORK] = "fork",           [VMM_SAVE_WRITE_PROTECT] = "write-protect",
  [VMM_SAVE_DIRTY_LOG] = "dirty-log",
};

const char *
vmm_save_method_to_string (VmmSaveMethod method)
{
  return (guint)method < G_N_ELEMENTS (method_names) ? method_names[method] : "auto";
}

gboolean
vmm_save_method_from_string (const char *text, VmmSaveMethod *ret_method)
{
  for (guint i = 0; i < G_N_ELEMENTS (method_names); i++)
    if (g_str_equal (method_names[i], text))
      {
        *ret_method = (VmmSaveMethod)i;
        return TRUE;
      }
  return FALSE;
}

static gint64
now_ns (void)
{
  return g_get_monotonic_time () * 1000;
}

/* What the methods share */

gboolean
vmm_save_check_cancel (VmmSave *save, GError **error)
{
  if (g_atomic_int_get (&save->cancelled) == 0)
    return FALSE;
  g_set_error_literal (error, VMM_ERROR, VMM_ERROR_CANCELLED,
                       "Saving the machine was cancelled; the machine goes on");
  return TRUE;
}

void
vmm_save_tell (VmmSave *save, guint64 done, guint64 total)
{
  gint64 now = g_get_monotonic_time ();

  if (save->options.progress == NULL || (now - save->told_us < TELL_US && done != total))
    return;
  save->told_us = now;
  save->options.progress (done, total, save->options.user_data);
}

gboolean
vmm_save_put (VmmSave *save, guint block, guint64 first, guint64 n_pages, GError **error)
{
  int r = vmm_ram_writer_put (save->writer, block, first,
                              save->blocks[block].data + first * VMM_RAM_FILE_PAGE, n_pages);

  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot write the machine's memory to “%s”",
                                save->folder);
  return TRUE;
}

gboolean
vmm_save_put_all (VmmSave *save, GError **error)
{
  guint64 done = 0;

  for (guint b = 0; b < save->n_blocks; b++)
    for (guint64 at = 0; at < save->blocks[b].n_pages; at += STEP_PAGES)
      {
        guint64 n = MIN (STEP_PAGES, save->blocks[b].n_pages - at);

        if (vmm_save_check_cancel (save, error) || !vmm_save_put (save, b, at, n, error))
          return FALSE;
        done += n * VMM_RAM_FILE_PAGE;
        vmm_save_tell (save, done, save->total);
      }
  return TRUE;
}

static gboolean
take_state (VmmSave *save, GError **error)
{
  VmmStateWriter *writer = vmm_state_writer_new ();
  gboolean ok;

  vmm_fingerprint_save (save->target.machine, save->id, writer);
  ok = save->target.save_state (save->target.owner, writer, error);
  if (ok)
    save->state = vmm_state_writer_finish (writer);
  vmm_state_writer_free (writer);
  return ok;
}

static gboolean
at_point (VmmSave *save, GError **error)
{
  return save->options.at_point == NULL || save->options.at_point (save->options.user_data, error);
}

gboolean
vmm_save_take_point (VmmSave *save, VmmSaveCapture capture, gpointer data, GError **error)
{
  gint64 begun = now_ns ();
  gboolean ok;

  if (!save->target.freeze (save->target.owner, error))
    return FALSE;
  /* What can fail for a reason of the guest's comes first, what holds resources last. */
  ok = take_state (save, error) && at_point (save, error) &&
       (capture == NULL || capture (save, data, error));
  save->target.thaw (save->target.owner, FALSE);
  save->result.pause_ns = (guint64)(now_ns () - begun);
  return ok;
}

/* The machine stays frozen; the caller thaws. */
static gboolean
save_paused (VmmSave *save, gboolean *ret_frozen, GError **error)
{
  save->result.method = VMM_SAVE_PAUSED;
  if (!save->target.freeze (save->target.owner, error))
    return FALSE;
  *ret_frozen = TRUE;
  return take_state (save, error) && at_point (save, error) && vmm_save_put_all (save, error);
}

static gboolean
save_running (VmmSave *save, GError **error)
{
  static const struct
  {
    VmmSaveMethod method;
    gboolean (*run) (VmmSave *save, GError **error);
  } methods[] = {
    { VMM_SAVE_FORK, vmm_save_by_fork },
    { VMM_SAVE_WRITE_PROTECT, vmm_save_by_protect },
    { VMM_SAVE_DIRTY_LOG, vmm_save_by_log },
  };

  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    {
      g_autoptr (GError) local = NULL;
      gboolean last = save->options.method != VMM_SAVE_AUTO || i + 1 == G_N_ELEMENTS (methods);

      if (save->options.method != VMM_SAVE_AUTO && save->options.method != methods[i].method)
        continue;
      save->result.method = methods[i].method;
      if (methods[i].run (save, &local))
        return TRUE;
      if (!last && g_error_matches (local, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED))
        continue;
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  g_assert_not_reached ();
}

static int
write_file (const char *path, GBytes *bytes)
{
  gsize length;
  const guint8 *data = g_bytes_get_data (bytes, &length);
  int fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  int r = fd < 0 ? -errno : 0;

  while (r == 0 && length > 0)
    {
      ssize_t n = write (fd, data, length);

      if (n < 0 && errno != EINTR)
        r = -errno;
      else if (n > 0)
        {
          data += n;
          length -= (gsize)n;
        }
    }
  if (r == 0 && fsync (fd) < 0)
    r = -errno;
  if (fd >= 0 && close (fd) < 0 && r == 0)
    r = -errno;
  return r;
}

static int
sync_folder (const char *folder)
{
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int r = fd < 0 || fsync (fd) < 0 ? -errno : 0;

  if (fd >= 0)
    close (fd);
  return r;
}

static gboolean
finish_files (VmmSave *save, GError **error)
{
  g_autofree char *path = g_build_filename (save->folder, VMM_SAVE_STATE_FILE, NULL);
  int r;

  if (vmm_save_check_cancel (save, error) || !vmm_ram_writer_finish (save->writer, error))
    return FALSE;
  r = write_file (path, save->state);
  if (r == 0)
    r = sync_folder (save->folder);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot write the machine's state to “%s”", path);
  save->result.ram_stored = vmm_ram_writer_get_stored (save->writer);
  return TRUE;
}

static void
remove_files (VmmSave *save)
{
  g_autofree char *ram = g_build_filename (save->folder, VMM_SAVE_RAM_FILE, NULL);
  g_autofree char *state = g_build_filename (save->folder, VMM_SAVE_STATE_FILE, NULL);

  (void)unlink (ram);
  (void)unlink (state);
}

static gpointer
run (gpointer data)
{
  VmmSave *save = data;
  VmmSaveMethod method = save->options.method;
  gboolean frozen = FALSE, ok;

  save->begun_ns = now_ns ();
  save->result.rounds = 1;
  save->result.ram_size = save->total;
  if (method == VMM_SAVE_PAUSED ||
      (method == VMM_SAVE_AUTO &&
       (save->options.keep_paused || !save->target.is_running (save->target.owner))))
    ok = save_paused (save, &frozen, &save->error);
  else
    ok = save_running (save, &save->error);
  if (frozen && !save->options.keep_paused)
    {
      save->target.thaw (save->target.owner, FALSE);
      frozen = FALSE;
      save->result.pause_ns = (guint64)(now_ns () - save->begun_ns);
    }
  ok = ok && finish_files (save, &save->error);
  if (frozen)
    {
      save->result.pause_ns = (guint64)(now_ns () - save->begun_ns);
      save->target.thaw (save->target.owner, ok);
    }
  save->result.duration_ns = (guint64)(now_ns () - save->begun_ns);
  if (!ok)
    remove_files (save);
  g_atomic_int_set (&save->finished, ok ? 1 : 2);
  if (save->options.done != NULL)
    save->options.done (save, save->options.user_data);
  return NULL;
}

/* The object */

static void
add_block (VmmRamBlock *block, gpointer user_data)
{
  VmmSave *save = user_data;

  if ((vmm_ram_block_get_flags (block) & VMM_RAM_DEVICE) != 0)
    return;
  if (save->n_blocks < VMM_RAM_FILE_MAX_BLOCKS)
    {
      guint64 size = vmm_ram_block_get_size (block);

      save->blocks[save->n_blocks] =
          (VmmSaveBlock){ block, vmm_ram_block_get_data (block), size, size / VMM_RAM_FILE_PAGE };
      save->total += size;
    }
  save->n_blocks++;
}

static gboolean
prepare (VmmSave *save, GError **error)
{
  VmmRamFileBlock blocks[VMM_RAM_FILE_MAX_BLOCKS] = { 0 };
  g_autofree char *path = g_build_filename (save->folder, VMM_SAVE_RAM_FILE, NULL);

  if (!vmm_machine_check_savable (save->target.machine, error))
    return FALSE;
  vmm_guest_memory_foreach_block (vmm_machine_get_memory (save->target.machine), add_block, save);
  if (save->n_blocks == 0 || save->n_blocks > VMM_RAM_FILE_MAX_BLOCKS)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "A machine with %u pieces of memory cannot be saved", save->n_blocks);
      save->n_blocks = 0;
      return FALSE;
    }
  for (guint i = 0; i < save->n_blocks; i++)
    {
      g_strlcpy (blocks[i].name, vmm_ram_block_get_name (save->blocks[i].block),
                 sizeof blocks[i].name);
      blocks[i].size = save->blocks[i].size;
      vmm_ram_block_ref (save->blocks[i].block);
    }
  for (guint i = 0; i < sizeof save->id; i += 4)
    {
      guint32 word = g_random_int ();

      memcpy (save->id + i, &word, sizeof word);
    }
  save->writer = vmm_ram_writer_new (path, save->id, blocks, save->n_blocks, error);
  return save->writer != NULL;
}

VmmSave *
vmm_save_new_for (const VmmSaveTarget *target, const VmmSaveOptions *options, GError **error)
{
  VmmSave *save = g_new0 (VmmSave, 1);

  save->target = *target;
  save->options = *options;
  save->options.folder = NULL;
  save->folder = g_strdup (options->folder);
  if (!prepare (save, error))
    {
      vmm_save_free (save);
      return NULL;
    }
  save->thread = g_thread_try_new ("save", run, save, error);
  if (save->thread == NULL)
    {
      remove_files (save);
      vmm_save_free (save);
      return NULL;
    }
  return save;
}

void
vmm_save_cancel (VmmSave *save)
{
  g_atomic_int_set (&save->cancelled, 1);
}

gboolean
vmm_save_get_result (VmmSave *save, VmmSaveResult *ret_result, GError **error)
{
  switch (g_atomic_int_get (&save->finished))
    {
    case 1:
      *ret_result = save->result;
      return TRUE;
    case 2:
      if (error != NULL)
        *error = g_error_copy (save->error);
      return FALSE;
    default:
      return FALSE;
    }
}

void
vmm_save_free (VmmSave *save)
{
  if (save == NULL)
    return;
  if (save->thread != NULL)
    {
      vmm_save_cancel (save);
      g_thread_join (save->thread);
    }
  vmm_ram_writer_free (save->writer);
  for (guint i = 0; i < save->n_blocks; i++)
    vmm_ram_block_unref (save->blocks[i].block);
  g_clear_pointer (&save->state, g_bytes_unref);
  g_clear_error (&save->error);
  g_free (save->folder);
  g_free (save);
}
