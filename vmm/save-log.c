/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Saving with the hypervisor's dirty log: RAM is written while the guest runs, then what it wrote
 * meanwhile, and so on; the rest at the point, which is the end. */
#include "vmm/save-private.h"

#include "vmm/memory-private.h"

#define MAX_ROUNDS     24
#define PAUSE_NS       20000000 /* aimed at: the rest must be written in this time */
#define MIN_REST_PAGES 256      /* small enough in any case */

typedef struct
{
  guint64 *bitmap[VMM_RAM_FILE_MAX_BLOCKS]; /* pages to write */
  guint64 *fresh;
  guint64 done, total; /* bytes, for progress */
} Log;

static gsize
n_words (const VmmSaveBlock *block)
{
  return (block->n_pages + 63) / 64;
}

/* Adds what was written since the last time. Returns the pages to write, or -1. */
static gint64
collect (VmmSave *save, Log *log, GError **error)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (save->target.machine);
  gint64 n = 0;

  for (guint b = 0; b < save->n_blocks; b++)
    {
      gsize words = n_words (&save->blocks[b]);

      if (!vmm_guest_memory_collect_dirty (memory, save->blocks[b].block, log->fresh, words, error))
        return -1;
      for (gsize i = 0; i < words; i++)
        {
          log->bitmap[b][i] |= log->fresh[i];
          n += __builtin_popcountll (log->bitmap[b][i]);
        }
    }
  return n;
}

static gboolean
is_set (const guint64 *bitmap, guint64 page)
{
  return (bitmap[page / 64] >> (page % 64) & 1) != 0;
}

/* Writes the marked pages and unmarks them. */
static gboolean
put_marked (VmmSave *save, Log *log, gboolean may_cancel, GError **error)
{
  for (guint b = 0; b < save->n_blocks; b++)
    for (guint64 page = 0; page < save->blocks[b].n_pages;)
      {
        guint64 *bitmap = log->bitmap[b], n = 0;

        if (page % 64 == 0 && bitmap[page / 64] == 0)
          {
            page += 64;
            continue;
          }
        while (page + n < save->blocks[b].n_pages && n < 512 && is_set (bitmap, page + n))
          {
            bitmap[(page + n) / 64] &= ~(G_GUINT64_CONSTANT (1) << ((page + n) % 64));
            n++;
          }
        if (n == 0)
          {
            page++;
            continue;
          }
        if ((may_cancel && vmm_save_check_cancel (save, error)) ||
            !vmm_save_put (save, b, page, n, error))
          return FALSE;
        page += n;
        log->done += n * VMM_RAM_FILE_PAGE;
        if (may_cancel)
          vmm_save_tell (save, log->done, log->total);
      }
  return TRUE;
}

static gboolean
capture (VmmSave *save, gpointer data, GError **error)
{
  return collect (save, data, error) >= 0 && put_marked (save, data, FALSE, error);
}

/* Rounds until the rest takes less than the pause that is aimed at. */
static gboolean
converge (VmmSave *save, Log *log, GError **error)
{
  gint64 begun = g_get_monotonic_time ();

  if (!vmm_save_put_all (save, error))
    return FALSE;
  log->done = log->total = save->total;
  for (guint round = 0; round < MAX_ROUNDS; round++)
    {
      gint64 pages = collect (save, log, error);
      gint64 spent = MAX (g_get_monotonic_time () - begun, 1);
      guint64 rest_pages = log->done / VMM_RAM_FILE_PAGE * (PAUSE_NS / 1000) / (guint64)spent;

      if (pages < 0)
        return FALSE;
      if ((guint64)pages <= MAX (rest_pages, MIN_REST_PAGES))
        break;
      log->total = log->done + (guint64)pages * VMM_RAM_FILE_PAGE;
      if (!put_marked (save, log, TRUE, error))
        return FALSE;
      save->result.rounds++;
    }
  return TRUE;
}

gboolean
vmm_save_by_log (VmmSave *save, GError **error)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (save->target.machine);
  Log log = { 0 };
  gsize most = 0;
  gboolean ok;

  if (!vmm_guest_memory_start_dirty_log (memory, error))
    return FALSE;
  for (guint b = 0; b < save->n_blocks; b++)
    {
      log.bitmap[b] = g_new0 (guint64, n_words (&save->blocks[b]));
      most = MAX (most, n_words (&save->blocks[b]));
    }
  log.fresh = g_new0 (guint64, most);
  ok = converge (save, &log, error) && vmm_save_take_point (save, capture, &log, error);
  vmm_guest_memory_stop_dirty_log (memory);
  for (guint b = 0; b < save->n_blocks; b++)
    g_free (log.bitmap[b]);
  g_free (log.fresh);
  return ok;
}
