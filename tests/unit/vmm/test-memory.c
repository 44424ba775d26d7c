/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/harness/harness.h"

#define PAGE 4096u

typedef struct
{
  VmmGuestMemory *memory;
  VmmRamBlock *low, *high, *rom;
  VmmMapping *low_map, *high_map, *rom_map;
} Fixture;

/* low at 0..4 pages, high right behind it (2 pages of a 4-page block, from its second), rom apart */
static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  f->memory = vmm_guest_memory_new ();
  f->low = vmm_ram_block_new ("low", 4 * PAGE, VMM_RAM_NONE, &error);
  g_assert_no_error (error);
  f->high = vmm_ram_block_new ("high", 4 * PAGE, VMM_RAM_NONE, &error);
  f->rom = vmm_ram_block_new ("rom", PAGE, VMM_RAM_DEVICE, &error);
  f->low_map =
      vmm_guest_memory_map (f->memory, f->low, 0, vmm_gpa (0), 4 * PAGE, VMM_MAP_NONE, &error);
  f->high_map = vmm_guest_memory_map (f->memory, f->high, PAGE, vmm_gpa (4 * PAGE), 2 * PAGE,
                                      VMM_MAP_NONE, &error);
  f->rom_map = vmm_guest_memory_map (f->memory, f->rom, 0, vmm_gpa (0xfffff000), PAGE,
                                     VMM_MAP_READONLY, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vmm_guest_memory_free (f->memory);
  vmm_ram_block_unref (f->low);
  vmm_ram_block_unref (f->high);
  vmm_ram_block_unref (f->rom);
}

static void
test_copy (Fixture *f, gconstpointer data)
{
  guint8 in[300], out[300];

  for (guint i = 0; i < sizeof in; i++)
    in[i] = (guint8)(i * 7);
  /* over the seam of two blocks */
  g_assert_true (vmm_guest_memory_write (f->memory, vmm_gpa (4 * PAGE - 100), in, sizeof in));
  g_assert_true (vmm_guest_memory_read (f->memory, vmm_gpa (4 * PAGE - 100), out, sizeof out));
  g_assert_cmpmem (in, sizeof in, out, sizeof out);
  g_assert_cmpmem (vmm_ram_block_get_data (f->high) + PAGE, 200, in + 100, 200);

  /* ends: the last byte is in, one more is out */
  g_assert_true (vmm_guest_memory_write (f->memory, vmm_gpa (6 * PAGE - 1), in, 1));
  g_assert_false (vmm_guest_memory_write (f->memory, vmm_gpa (6 * PAGE - 1), in, 2));
  g_assert_false (vmm_guest_memory_read (f->memory, vmm_gpa (6 * PAGE), out, 1));
  g_assert_false (vmm_guest_memory_read (f->memory, vmm_gpa (G_MAXUINT64), out, 1));
  g_assert_false (vmm_guest_memory_read (f->memory, vmm_gpa (G_MAXUINT64 - 3), out, 8));
  g_assert_true (vmm_guest_memory_read (f->memory, vmm_gpa (G_MAXUINT64), out, 0));

  g_assert_true (vmm_guest_memory_read (f->memory, vmm_gpa (0xffffffff), out, 1));
  g_assert_false (vmm_guest_memory_read (f->memory, vmm_gpa (0xffffffff), out, 2));
  g_assert_false (vmm_guest_memory_write (f->memory, vmm_gpa (0xfffff000), in, 1));
  g_assert_true (vmm_guest_memory_fill (f->memory, vmm_gpa (PAGE), 0xaa, 5 * PAGE));
  g_assert_false (vmm_guest_memory_fill (f->memory, vmm_gpa (PAGE), 0xbb, 6 * PAGE));
  g_assert_cmphex (vmm_ram_block_get_data (f->low)[PAGE], ==, 0xaa);
}

static void
test_check (Fixture *f, gconstpointer data)
{
  g_assert_true (vmm_guest_memory_check (f->memory, vmm_gpa (0), 6 * PAGE, TRUE));
  g_assert_false (vmm_guest_memory_check (f->memory, vmm_gpa (0), 6 * PAGE + 1, FALSE));
  g_assert_false (vmm_guest_memory_check (f->memory, vmm_gpa (1), G_MAXUINT64, FALSE));
  g_assert_true (vmm_guest_memory_check (f->memory, vmm_gpa (0xfffff000), PAGE, FALSE));
  g_assert_false (vmm_guest_memory_check (f->memory, vmm_gpa (0xfffff000), PAGE, TRUE));
  g_assert_true (vmm_guest_memory_check (f->memory, vmm_gpa (0x123456789), 0, TRUE));
}

static void
test_le16 (Fixture *f, gconstpointer data)
{
  guint16 value;

  g_assert_true (vmm_guest_memory_store_le16 (f->memory, vmm_gpa (0x10), 0x1234));
  g_assert_cmphex (vmm_ram_block_get_data (f->low)[0x10], ==, 0x34);
  g_assert_true (vmm_guest_memory_load_le16 (f->memory, vmm_gpa (0x10), &value));
  g_assert_cmphex (value, ==, 0x1234);
  g_assert_false (vmm_guest_memory_load_le16 (f->memory, vmm_gpa (0x11), &value));
  g_assert_false (vmm_guest_memory_store_le16 (f->memory, vmm_gpa (0x11), 0));
  g_assert_false (vmm_guest_memory_load_le16 (f->memory, vmm_gpa (6 * PAGE), &value));
  g_assert_cmphex (value, ==, 0);
  g_assert_false (vmm_guest_memory_store_le16 (f->memory, vmm_gpa (0xfffff000), 0));
}

static void
test_map_errors (Fixture *f, gconstpointer data)
{
  const struct
  {
    guint64 offset, gpa, length;
    VmmErrorCode code;
  } cases[] = {
    { 0, 0x3000, PAGE, VMM_ERROR_BUSY },
    { 0, 0xffffe000, 2 * PAGE, VMM_ERROR_BUSY },
    { 0, 0x100001, PAGE, VMM_ERROR_INVALID },
    { 1, 0x100000, PAGE, VMM_ERROR_INVALID },
    { 0, 0x100000, 100, VMM_ERROR_INVALID },
    { 0, 0x100000, 0, VMM_ERROR_INVALID },
    { PAGE, 0x100000, 4 * PAGE, VMM_ERROR_INVALID },
    { 0, 0x100000, 5 * PAGE, VMM_ERROR_INVALID },
    { 0, ~(guint64)0xfff, 2 * PAGE, VMM_ERROR_INVALID },
    { ~(guint64)0xfff, 0x100000, PAGE, VMM_ERROR_INVALID },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (vmm_guest_memory_map (f->memory, f->low, cases[i].offset,
                                           vmm_gpa (cases[i].gpa), cases[i].length, VMM_MAP_NONE,
                                           &error));
      g_assert_error (error, VMM_ERROR, (gint)cases[i].code);
    }
}

/* A block lives as long as it is pinned, whatever is unmapped meanwhile. */
static void
test_pin (Fixture *f, gconstpointer data)
{
  struct iovec iov[4];
  g_autoptr (GError) error = NULL;
  guint64 bitmap;

  g_assert_true (vmm_guest_memory_start_dirty_log (f->memory, &error));
  g_assert_cmpint (vmm_guest_memory_pin (f->memory, vmm_gpa (4 * PAGE - 10), 30, TRUE, iov, 4), ==,
                   2);
  g_assert_cmpuint (iov[0].iov_len, ==, 10);
  g_assert_cmpuint (iov[1].iov_len, ==, 20);
  g_assert_cmpint (vmm_guest_memory_pin (f->memory, vmm_gpa (4 * PAGE - 10), 30, TRUE, iov + 2, 1),
                   ==, -E2BIG);
  g_assert_cmpint (vmm_guest_memory_pin (f->memory, vmm_gpa (6 * PAGE - 10), 30, FALSE, iov + 2, 2),
                   ==, -EFAULT);
  g_assert_cmpint (vmm_guest_memory_pin (f->memory, vmm_gpa (0xfffff000), 8, TRUE, iov + 2, 2), ==,
                   -EFAULT);
  vmm_guest_memory_unmap (f->memory, f->high_map);
  vmm_ram_block_unref (f->high);
  memset (iov[1].iov_base, 1, iov[1].iov_len); /* ASan or a fault would tell */
  f->high = NULL;
  vmm_guest_memory_unpin (f->memory, iov, 2, TRUE);
  g_assert_true (vmm_guest_memory_collect_dirty (f->memory, f->low, &bitmap, 1, &error));
  g_assert_cmphex (bitmap, ==, 0x8);
}

static void
test_dirty (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  guint8 byte = 1;
  guint64 bitmap = 0, two[2];

  g_assert_true (vmm_guest_memory_write (f->memory, vmm_gpa (0), &byte, 1)); /* before: not seen */
  g_assert_true (vmm_guest_memory_start_dirty_log (f->memory, &error));
  g_assert_false (vmm_guest_memory_start_dirty_log (f->memory, NULL));
  g_assert_true (vmm_guest_memory_write (f->memory, vmm_gpa (2 * PAGE), &byte, 1));
  g_assert_true (vmm_guest_memory_store_le16 (f->memory, vmm_gpa (5 * PAGE), 1));
  g_assert_true (vmm_guest_memory_collect_dirty (f->memory, f->low, &bitmap, 1, &error));
  g_assert_cmphex (bitmap, ==, 0x4);
  g_assert_true (vmm_guest_memory_collect_dirty (f->memory, f->high, &bitmap, 1, &error));
  g_assert_cmphex (bitmap, ==, 0x4); /* page 2 of the block: offset 1, second page of the mapping */
  g_assert_true (vmm_guest_memory_collect_dirty (f->memory, f->high, &bitmap, 1, &error));
  g_assert_cmphex (bitmap, ==, 0);
  g_assert_false (vmm_guest_memory_collect_dirty (f->memory, f->high, two, 2, &error));
  g_clear_error (&error);
  vmm_ram_block_mark_dirty (f->low, PAGE - 1, 2);
  vmm_ram_block_mark_dirty (f->low, 100 * PAGE, 2);
  vmm_ram_block_mark_dirty (f->low, 3 * PAGE, G_MAXUINT64);
  g_assert_true (vmm_guest_memory_collect_dirty (f->memory, f->low, &bitmap, 1, &error));
  g_assert_cmphex (bitmap, ==, 0xb);
  vmm_guest_memory_stop_dirty_log (f->memory);
  g_assert_true (vmm_guest_memory_write (f->memory, vmm_gpa (0), &byte, 1));
  g_assert_true (vmm_guest_memory_start_dirty_log (f->memory, &error));
  g_assert_true (vmm_guest_memory_collect_dirty (f->memory, f->low, &bitmap, 1, &error));
  g_assert_cmphex (bitmap, ==, 0);
}

typedef struct
{
  guint n_maps, n_unmaps, refuse_slot;
  guint64 slots;
} Follower;

static gboolean
follow_map (gpointer user_data, VmmMapping *mapping, GError **error)
{
  Follower *w = user_data;
  guint slot = vmm_mapping_get_slot (mapping);

  if (slot == w->refuse_slot)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_FAILED, "no");
      return FALSE;
    }
  g_assert_cmphex (w->slots >> slot & 1, ==, 0);
  w->slots |= G_GUINT64_CONSTANT (1) << slot;
  w->n_maps++;
  return TRUE;
}

static void
follow_unmap (gpointer user_data, VmmMapping *mapping)
{
  Follower *w = user_data;

  w->slots &= ~(G_GUINT64_CONSTANT (1) << vmm_mapping_get_slot (mapping));
  w->n_unmaps++;
}

static const VmmMemoryListener follower_ops = { .map = follow_map, .unmap = follow_unmap };

static void
test_listener (Fixture *f, gconstpointer data)
{
  Follower a = { .refuse_slot = 99 }, b = { .refuse_slot = 3 };
  g_autoptr (GError) error = NULL;
  VmmMapping *map;

  g_assert_true (vmm_guest_memory_add_listener (f->memory, &follower_ops, &a, &error));
  g_assert_cmphex (a.slots, ==, 0x7);
  g_assert_true (vmm_guest_memory_add_listener (f->memory, &follower_ops, &b, &error));
  /* b refuses slot 3: a must forget it again, and the map stays as it was */
  g_assert_null (
      vmm_guest_memory_map (f->memory, f->low, 0, vmm_gpa (0x100000), PAGE, VMM_MAP_NONE, &error));
  g_assert_cmphex (a.slots, ==, 0x7);
  g_assert_false (vmm_guest_memory_check (f->memory, vmm_gpa (0x100000), 1, FALSE));
  g_clear_error (&error);
  vmm_guest_memory_remove_listener (f->memory, &b);
  g_assert_cmphex (b.slots, ==, 0);
  /* slots are reused */
  vmm_guest_memory_unmap (f->memory, f->rom_map);
  g_assert_cmphex (a.slots, ==, 0x3);
  map = vmm_guest_memory_map (f->memory, f->low, PAGE, vmm_gpa (0x100000), PAGE, VMM_MAP_NONE,
                              &error);
  g_assert_cmpuint (vmm_mapping_get_slot (map), ==, 2);
  g_assert_cmphex (vmm_mapping_get_offset (map), ==, PAGE);
  b.refuse_slot = 1;
  g_assert_false (vmm_guest_memory_add_listener (f->memory, &follower_ops, &b, &error));
  g_assert_cmphex (b.slots, ==, 0);
  vmm_guest_memory_remove_listener (f->memory, &a);
}

static void
test_block (void)
{
  g_autoptr (GError) error = NULL;
  VmmRamBlock *block;

  g_assert_null (vmm_ram_block_new ("odd", 100, VMM_RAM_NONE, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_null (vmm_ram_block_new ("none", 0, VMM_RAM_NONE, NULL));
  g_assert_null (vmm_ram_block_new ("huge", G_GUINT64_CONSTANT (1) << 45, VMM_RAM_NONE, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NO_MEMORY);
  g_assert_nonnull (strstr (error->message, "MiB"));
  g_clear_error (&error);

  block = vmm_ram_block_new ("big", 4 << 20, VMM_RAM_THP, &error);
  g_assert_no_error (error);
  g_assert_cmphex ((guintptr)vmm_ram_block_get_data (block) & ((2 << 20) - 1), ==, 0);
  vmm_ram_block_get_data (block)[(4 << 20) - 1] = 1;
  vmm_ram_block_unref (block);

  block = vmm_ram_block_new ("shared", 4 << 20, VMM_RAM_NONE, &error);
  g_assert_no_error (error);
  g_assert_cmphex ((guintptr)vmm_ram_block_get_data (block) & ((2 << 20) - 1), ==, 0);
  g_assert_cmpint (fcntl (vmm_ram_block_get_fd (block), F_GETFD), ==, FD_CLOEXEC);
  /* nobody can take the pages away */
  g_assert_cmpint (ftruncate (vmm_ram_block_get_fd (block), 0), ==, -1);
  g_assert_cmpuint (vmm_ram_block_get_size (block), ==, 4 << 20);
  vmm_ram_block_unref (block);
}

/* Readers while another thread maps and unmaps. */
typedef struct
{
  VmmGuestMemory *memory;
  gint stop;
} Race;

static gpointer
race_thread (gpointer data)
{
  Race *race = data;
  guint8 buffer[64];
  guint n = 0;

  while (!g_atomic_int_get (&race->stop))
    n += vmm_guest_memory_read (race->memory, vmm_gpa (0x100000), buffer, sizeof buffer) ? 1 : 0;
  return GUINT_TO_POINTER (n);
}

static void
test_race (Fixture *f, gconstpointer data)
{
  Race race = { .memory = f->memory };
  GThread *thread = g_thread_new ("reader", race_thread, &race);

  for (guint i = 0; i < 2000; i++)
    {
      VmmRamBlock *block = vmm_ram_block_new ("block", PAGE, VMM_RAM_DEVICE, NULL);
      VmmMapping *map =
          vmm_guest_memory_map (f->memory, block, 0, vmm_gpa (0x100000), PAGE, VMM_MAP_NONE, NULL);

      vmm_ram_block_unref (block);
      g_assert_nonnull (map);
      vmm_guest_memory_unmap (f->memory, map);
    }
  g_atomic_int_set (&race.stop, TRUE);
  g_thread_join (thread);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/vmm/memory/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("copy", test_copy);
  ADD ("check", test_check);
  ADD ("le16", test_le16);
  ADD ("map-errors", test_map_errors);
  ADD ("pin", test_pin);
  ADD ("dirty", test_dirty);
  ADD ("listener", test_listener);
  ADD ("race", test_race);
  g_test_add_func ("/vmm/memory/block", test_block);
  return g_test_run ();
}
