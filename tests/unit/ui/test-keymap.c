/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/display/keymap.h"

#include <linux/input-event-codes.h>

static void
test_codes (void)
{
  static const struct
  {
    guint evdev;
    guint xt;
  } cases[] = {
    { KEY_ESC, 0x01 },
    { KEY_A, 0x1e },
    { KEY_SPACE, 0x39 },
    { KEY_F12, 0x58 },
    { KEY_102ND, 0x56 },
    { KEY_UP, 0x148 },
    { KEY_DELETE, 0x153 },
    { KEY_RIGHTCTRL, 0x11d },
    { KEY_LEFTMETA, 0x15b },
    { KEY_KPENTER, 0x11c },
    { KEY_SYSRQ, 0x137 },
    { KEY_PAUSE, ALCOVE_XT_PAUSE_PREFIX },
    { 0, 0 },
    { KEY_MICMUTE, 0 },
    { 0xffffffffu, 0 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    g_assert_cmphex (alcove_keymap_evdev_to_xt (cases[i].evdev), ==, cases[i].xt);
}

/* No two keys share a scan code, and none leaves what spice-client-glib keeps of it (0x37f). */
static void
test_unique (void)
{
  bool seen[0x400] = { false };

  for (guint evdev = 0; evdev < 0x300; evdev++)
    {
      guint xt = alcove_keymap_evdev_to_xt (evdev);

      if (!xt)
        continue;
      g_assert_cmphex (xt & ~0x37fu, ==, 0);
      g_assert_false (seen[xt]);
      seen[xt] = true;
    }
}

static void
test_hardware (void)
{
  g_assert_cmpuint (alcove_keymap_hardware_to_evdev (38), ==, KEY_A);
  g_assert_cmpuint (alcove_keymap_hardware_to_evdev (0), ==, 0);
  g_assert_cmpuint (alcove_keymap_hardware_to_evdev (8), ==, 0);
  g_assert_cmpuint (alcove_keymap_hardware_to_evdev (0xffffffffu), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ui/keymap/codes", test_codes);
  g_test_add_func ("/ui/keymap/unique", test_unique);
  g_test_add_func ("/ui/keymap/hardware", test_hardware);
  return g_test_run ();
}
