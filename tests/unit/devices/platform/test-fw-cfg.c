/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/fw-cfg.h"
#include "tests/unit/harness/harness.h"

#include <string.h>

#define RAM (1u << 20)

typedef struct
{
  HarnessMachine *h;
  FwCfg *fw_cfg;
  guint n_selected, n_written;
  guint8 written[8];
} Fixture;

static void
on_select (gpointer user_data)
{
  Fixture *f = user_data;
  g_autofree char *text = g_strdup_printf ("late %u", ++f->n_selected);
  g_autoptr (GBytes) bytes = g_bytes_new (text, strlen (text));

  fw_cfg_replace_file (f->fw_cfg, "etc/late", bytes);
}

static void
on_written (gpointer user_data, const guint8 *data)
{
  Fixture *f = user_data;

  f->n_written++;
  memcpy (f->written, data, 8);
}

static void
set_up (Fixture *f)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static ("0123456789", 10);
  g_autoptr (GError) error = NULL;

  memset (f, 0, sizeof *f);
  f->h = harness_new (RAM);
  f->fw_cfg = (FwCfg *)harness_realize (f->h, vmm_device_new (&fw_cfg_ops, "fw-cfg"));
  fw_cfg_add_uint (f->fw_cfg, FW_CFG_KEY_N_CPUS, 3, 2);
  g_assert_true (fw_cfg_add_file (f->fw_cfg, "opt/z", bytes, &error));
  g_assert_true (fw_cfg_add_file (f->fw_cfg, "etc/a", bytes, &error));
  g_assert_true (fw_cfg_add_late_file (f->fw_cfg, "etc/late", bytes, on_select, f, &error));
  g_assert_true (fw_cfg_add_writable_file (f->fw_cfg, "etc/w", 8, on_written, f, &error));
}

static void
tear_down (Fixture *f)
{
  harness_free (f->h);
}

static void
select_key (Fixture *f, guint16 key)
{
  harness_out (f->h, 0x510, 2, key);
}

static guint64
read_be (Fixture *f, guint n)
{
  guint64 value = 0;

  while (n-- > 0)
    value = value << 8 | harness_in (f->h, 0x511, 1);
  return value;
}

static guint16
find (Fixture *f, const char *name, guint32 *ret_size)
{
  guint count;
  char previous[56] = "";
  guint16 found = 0;

  select_key (f, FW_CFG_KEY_DIRECTORY);
  count = (guint)read_be (f, 4);
  g_assert_cmpuint (count, ==, 4);
  for (guint i = 0; i < count; i++)
    {
      guint32 size = (guint32)read_be (f, 4);
      guint16 key = (guint16)read_be (f, 2);
      char entry[56];

      g_assert_cmpuint (read_be (f, 2), ==, 0);
      for (guint j = 0; j < sizeof entry; j++)
        entry[j] = (char)read_be (f, 1);
      g_assert_cmpint (strcmp (previous, entry), <, 0); /* sorted */
      memcpy (previous, entry, sizeof entry);
      if (strcmp (entry, name) == 0)
        {
          found = key;
          if (ret_size != NULL)
            *ret_size = size;
        }
    }
  return found;
}

static guint32
dma (Fixture *f, guint32 control, guint32 length, guint64 address)
{
  guint32 be[4] = { GUINT32_TO_BE (control), GUINT32_TO_BE (length),
                    GUINT32_TO_BE ((guint32)(address >> 32)), GUINT32_TO_BE ((guint32)address) };
  guint32 result;

  harness_write (f->h, 0x2000, be, sizeof be);
  harness_out (f->h, 0x514, 4, 0);
  harness_out (f->h, 0x518, 4, GUINT32_TO_BE (0x2000));
  harness_read (f->h, 0x2000, &result, 4);
  return GUINT32_FROM_BE (result);
}

static void
test_ports (void)
{
  Fixture f;

  set_up (&f);
  select_key (&f, FW_CFG_KEY_SIGNATURE);
  g_assert_cmphex (read_be (&f, 4), ==, 0x51454d55);
  g_assert_cmphex (read_be (&f, 4), ==, 0); /* beyond the end */
  select_key (&f, FW_CFG_KEY_ID);
  g_assert_cmphex (read_be (&f, 4), ==, 0x03000000);
  select_key (&f, FW_CFG_KEY_N_CPUS);
  g_assert_cmphex (read_be (&f, 2), ==, 0x0300);
  select_key (&f, 0x3ff);
  g_assert_cmphex (read_be (&f, 8), ==, 0);
  g_assert_cmphex (harness_in (f.h, 0x514, 4), ==, GUINT32_TO_BE (0x51454d55));
  g_assert_cmphex (harness_in (f.h, 0x518, 4), ==, GUINT32_TO_BE (0x20434647));
  /* Registers that do not exist at this size. */
  g_assert_cmphex (harness_in (f.h, 0x510, 2), ==, 0);
  harness_out (f.h, 0x511, 1, 5);
  harness_out (f.h, 0x514, 1, 5);
  tear_down (&f);
}

static void
test_files (void)
{
  Fixture f;
  guint32 size;
  guint16 key;
  char data[11] = "";

  set_up (&f);
  key = find (&f, "etc/a", &size);
  g_assert_cmpuint (size, ==, 10);
  select_key (&f, key);
  for (guint i = 0; i < 10; i++)
    data[i] = (char)read_be (&f, 1);
  g_assert_cmpstr (data, ==, "0123456789");
  /* Late files are made when the directory is read, and again when selected. */
  key = find (&f, "etc/late", &size);
  g_assert_cmpuint (size, ==, 6);
  select_key (&f, key);
  g_assert_cmpuint (f.n_selected, >=, 2);
  g_assert_cmphex (read_be (&f, 4), ==, 0x6c617465);
  tear_down (&f);
}

static void
test_names (void)
{
  Fixture f;
  g_autoptr (GBytes) bytes = g_bytes_new_static ("x", 1);
  g_autofree char *longest = g_strnfill (56, 'n');
  const char *bad[] = { "", "with space", "tab\t", longest };
  g_autoptr (GError) error = NULL;

  set_up (&f);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_false (fw_cfg_add_file (f.fw_cfg, bad[i], bytes, &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
      g_clear_error (&error);
    }
  g_assert_false (fw_cfg_add_file (f.fw_cfg, "etc/a", bytes, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  for (guint i = 0; i < 300; i++)
    {
      g_autofree char *name = g_strdup_printf ("opt/%u", i);

      if (!fw_cfg_add_file (f.fw_cfg, name, bytes, &error))
        break;
    }
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  tear_down (&f);
}

static void
test_dma (void)
{
  Fixture f;
  guint16 key;
  char data[16];
  guint64 value;

  set_up (&f);
  key = find (&f, "opt/z", NULL);
  harness_write (f.h, 0x3000, "xxxxxxxxxxxxxxxx", 16);
  g_assert_cmphex (dma (&f, (guint32)key << 16 | 8 | 2, 4, 0x3000), ==, 0);
  harness_read (f.h, 0x3000, data, 16);
  g_assert_cmpmem (data, 5, "0123x", 5);
  /* Skip, then read over the end: the rest is zero. */
  g_assert_cmphex (dma (&f, 4, 3, 0), ==, 0);
  g_assert_cmphex (dma (&f, 2, 6, 0x3000), ==, 0);
  harness_read (f.h, 0x3000, data, 16);
  g_assert_cmpmem (data, 7, "789\0\0\0x", 7);
  /* Write to a writable file, partly, then to a read-only one. */
  key = find (&f, "etc/w", NULL);
  harness_write (f.h, 0x3000, "ABCDEFGH", 8);
  g_assert_cmphex (dma (&f, (guint32)key << 16 | 8 | 16, 8, 0x3000), ==, 0);
  g_assert_cmpmem (f.written, 8, "ABCDEFGH", 8);
  g_assert_cmphex (dma (&f, 16, 1, 0x3000), ==, 1);
  g_assert_cmpuint (f.n_written, ==, 1);
  key = find (&f, "etc/a", NULL);
  g_assert_cmphex (dma (&f, (guint32)key << 16 | 8 | 16, 1, 0x3000), ==, 1);
  value = read_be (&f, 1);
  g_assert_cmphex (value, ==, '0');
  tear_down (&f);
}

/* Addresses and lengths that a guest may get wrong or choose with care. */
static void
test_hostile_dma (void)
{
  Fixture f;
  guint16 key, writable;
  GRand *rand = g_rand_new_with_seed (4);

  set_up (&f);
  key = find (&f, "etc/a", NULL);
  writable = find (&f, "etc/w", NULL);
  g_assert_cmphex (dma (&f, (guint32)key << 16 | 8 | 2, 4, RAM - 2), ==, 1);
  g_assert_cmphex (dma (&f, (guint32)key << 16 | 8 | 2, 4, G_MAXUINT64 - 1), ==, 1);
  g_assert_cmphex (dma (&f, (guint32)key << 16 | 8 | 2, G_MAXUINT32, 0x3000), ==, 1);
  g_assert_cmphex (dma (&f, (guint32)writable << 16 | 8 | 16, 9, 0x3000), ==, 1);
  g_assert_cmphex (dma (&f, (guint32)writable << 16 | 8 | 16, 8, RAM - 4), ==, 1);
  g_assert_cmphex (dma (&f, (guint32)key << 16 | 8, 0, 0), ==, 0);
  /* Skips that would wrap the offset stay at the end. */
  g_assert_cmphex (dma (&f, 4, G_MAXUINT32, 0), ==, 0);
  g_assert_cmphex (dma (&f, 4, G_MAXUINT32, 0), ==, 0);
  g_assert_cmphex (read_be (&f, 1), ==, 0);
  /* A descriptor at the end of RAM, outside of it, at the end of the address space. */
  harness_out (f.h, 0x518, 4, GUINT32_TO_BE (RAM - 8));
  harness_out (f.h, 0x518, 4, GUINT32_TO_BE (0xfffffff0));
  harness_out (f.h, 0x514, 4, 0xffffffff);
  harness_out (f.h, 0x518, 4, 0xffffffff);
  for (guint i = 0; i < 20000; i++)
    (void)dma (
        &f, g_rand_int (rand) & 0x003f001f, g_rand_int (rand) >> g_rand_int_range (rand, 0, 32),
        g_rand_boolean (rand) ? g_rand_int (rand) : (guint)g_rand_int_range (rand, 0x3000, RAM));
  g_rand_free (rand);
  tear_down (&f);
}

static void
test_reset_save_load (void)
{
  Fixture f, g;
  guint16 key;

  set_up (&f);
  set_up (&g);
  key = find (&f, "etc/w", NULL);
  harness_write (f.h, 0x3000, "ABCDEFGH", 8);
  g_assert_cmphex (dma (&f, (guint32)key << 16 | 8 | 16, 8, 0x3000), ==, 0);
  select_key (&f, find (&f, "etc/a", NULL));
  read_be (&f, 3);
  harness_check_save_load (f.h);
  harness_check_save_load_into (f.h, g.h);
  g_assert_cmphex (read_be (&g, 1), ==, '3');
  g_assert_cmpmem (g.written, 8, "ABCDEFGH", 8);
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmphex (read_be (&f, 4), ==, 0x51454d55);
  select_key (&f, key);
  g_assert_cmphex (read_be (&f, 8), ==, 0);
  {
    g_autoptr (GBytes) state = harness_save (f.h);

    harness_storm_load (f.h, state, 3, 2000);
  }
  tear_down (&f);
  tear_down (&g);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/platform/fw-cfg/ports", test_ports);
  g_test_add_func ("/platform/fw-cfg/files", test_files);
  g_test_add_func ("/platform/fw-cfg/names", test_names);
  g_test_add_func ("/platform/fw-cfg/dma", test_dma);
  g_test_add_func ("/platform/fw-cfg/hostile-dma", test_hostile_dma);
  g_test_add_func ("/platform/fw-cfg/reset-save-load", test_reset_save_load);
  return g_test_run ();
}
