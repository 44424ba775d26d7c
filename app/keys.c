/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/keys.h"

#include <linux/input-event-codes.h>
#include <string.h>
#include "app/error.h"
#include "app/suggest.h"

/* The formatter does not come to rest on this list. */
/* clang-format off */
#define KEYS(X)                                                                                                             \
  X ("esc", KEY_ESC)                                                                                                        \
  X ("escape", KEY_ESC)                                                                                                     \
  X ("1", KEY_1)                                                                                                            \
  X ("2", KEY_2)                                                                                                            \
  X ("3", KEY_3)                                                                                                            \
  X ("4", KEY_4) X ("5", KEY_5) X ("6", KEY_6) X ("7", KEY_7) X ("8", KEY_8) X ("9", KEY_9) X (                             \
      "0", KEY_0) X ("minus", KEY_MINUS) X ("equal", KEY_EQUAL) X ("backspace", KEY_BACKSPACE)                              \
      X ("tab", KEY_TAB) X ("q", KEY_Q) X ("w", KEY_W) X ("e", KEY_E) X ("r", KEY_R) X (                                    \
          "t", KEY_T) X ("y", KEY_Y) X ("u", KEY_U) X ("i", KEY_I) X ("o", KEY_O) X ("p", KEY_P)                            \
          X ("bracketleft", KEY_LEFTBRACE) X ("bracketright", KEY_RIGHTBRACE)                                               \
              X ("enter", KEY_ENTER) X ("return", KEY_ENTER) X ("ret", KEY_ENTER) X (                                       \
                  "ctrl", KEY_LEFTCTRL) X ("control",                                                                       \
                                           KEY_LEFTCTRL) X ("leftctrl",                                                     \
                                                            KEY_LEFTCTRL) X ("a", KEY_A)                                    \
                  X ("s", KEY_S) X ("d", KEY_D) X ("f", KEY_F) X ("g", KEY_G) X ("h", KEY_H) X (                            \
                      "j",                                                                                                  \
                      KEY_J) X ("k",                                                                                        \
                                KEY_K) X ("l", KEY_L)                                                                       \
                      X ("semicolon", KEY_SEMICOLON) X ("apostrophe", KEY_APOSTROPHE) X (                                   \
                          "grave",                                                                                          \
                          KEY_GRAVE) X ("shift",                                                                            \
                                        KEY_LEFTSHIFT) X ("leftshift", KEY_LEFTSHIFT)                                       \
                          X ("backslash", KEY_BACKSLASH) X ("z", KEY_Z) X ("x", KEY_X) X ("c", KEY_C) X ("v", KEY_V) X (    \
                              "b",                                                                                          \
                              KEY_B) X ("n",                                                                                \
                                        KEY_N) X ("m", KEY_M)                                                               \
                              X ("comma", KEY_COMMA) X ("dot", KEY_DOT) X ("period", KEY_DOT) X (                           \
                                  "slash",                                                                                  \
                                  KEY_SLASH) X ("rightshift",                                                               \
                                                KEY_RIGHTSHIFT) X ("kpasterisk",                                            \
                                                                   KEY_KPASTERISK) X ("alt", KEY_LEFTALT)                   \
                                  X ("leftalt", KEY_LEFTALT) X ("space", KEY_SPACE) X (                                     \
                                      "spc",                                                                                \
                                      KEY_SPACE) X ("capslock",                                                             \
                                                    KEY_CAPSLOCK) X ("f1", KEY_F1)                                          \
                                      X ("f2", KEY_F2) X ("f3", KEY_F3) X ("f4", KEY_F4) X (                                \
                                          "f5", KEY_F5) X ("f6",                                                            \
                                                           KEY_F6) X ("f7", KEY_F7)                                         \
                                          X ("f8", KEY_F8) X ("f9", KEY_F9) X ("f10", KEY_F10) X (                          \
                                              "numlock",                                                                    \
                                              KEY_NUMLOCK) X ("scrolllock", KEY_SCROLLLOCK)                                 \
                                              X ("kp7", KEY_KP7) X ("kp8", KEY_KP8) X ("kp9", KEY_KP9) X (                  \
                                                  "kpminus",                                                                \
                                                  KEY_KPMINUS) X ("kp4", KEY_KP4)                                           \
                                                  X ("kp5", KEY_KP5) X ("kp6", KEY_KP6) X (                                 \
                                                      "kpplus", KEY_KPPLUS) X ("kp1", KEY_KP1)                              \
                                                      X ("kp2", KEY_KP2) X ("kp3", KEY_KP3) X (                             \
                                                          "kp0",                                                            \
                                                          KEY_KP0) X ("kpdot", KEY_KPDOT)                                   \
                                                          X ("102nd", KEY_102ND) X ("f11", KEY_F11) X (                     \
                                                              "f12",                                                        \
                                                              KEY_F12) X ("kpenter", KEY_KPENTER)                           \
                                                              X ("rightctrl", KEY_RIGHTCTRL) X ("kpslash", KEY_KPSLASH) X ( \
                                                                  "sysrq",                                                  \
                                                                  KEY_SYSRQ) X ("print",                                    \
                                                                                KEY_SYSRQ)                                  \
                                                                  X ("rightalt", KEY_RIGHTALT) X (                          \
                                                                      "altgr",                                              \
                                                                      KEY_RIGHTALT) X ("home",                              \
                                                                                       KEY_HOME) X ("up",                   \
                                                                                                    KEY_UP)                 \
                                                                      X ("pageup", KEY_PAGEUP) X ("left", KEY_LEFT) X (     \
                                                                          "right",                                          \
                                                                          KEY_RIGHT) X ("end",                              \
                                                                                        KEY_END) X ("down", KEY_DOWN)       \
                                                                          X ("pagedown", KEY_PAGEDOWN) X (                  \
                                                                              "insert", KEY_INSERT) X ("delete",            \
                                                                                                       KEY_DELETE)          \
                                                                              X ("del", KEY_DELETE) X (                     \
                                                                                  "mute",                                   \
                                                                                  KEY_MUTE) X ("v"                          \
                                                                                               "o"                          \
                                                                                               "l"                          \
                                                                                               "u"                          \
                                                                                               "m"                          \
                                                                                               "e"                          \
                                                                                               "d"                          \
                                                                                               "o"                          \
                                                                                               "w"                          \
                                                                                               "n",                         \
                                                                                               KEY_VOLUMEDOWN)              \
                                                                                  X ("volumeup", KEY_VOLUMEUP) X (          \
                                                                                      "power",                              \
                                                                                      KEY_POWER) X ("pause",                \
                                                                                                    KEY_PAUSE)              \
                                                                                      X ("super", KEY_LEFTMETA) X (         \
                                                                                          "meta",                           \
                                                                                          KEY_LEFTMETA) X ("win",           \
                                                                                                           KEY_LEFTMETA)    \
                                                                                          X ("rig"                          \
                                                                                             "hts"                          \
                                                                                             "upe"                          \
                                                                                             "r",                           \
                                                                                             KEY_RIGHTMETA)                 \
                                                                                              X ("menu",                    \
                                                                                                 KEY_COMPOSE)               \
                                                                                                  X ("sleep",               \
                                                                                                     KEY_SLEEP)             \
                                                                                                      X ("wakeup",          \
                                                                                                         KEY_WAKEUP)
/* clang-format on */

#define NAME_OF(name, code) name,
#define CODE_OF(name, code) code,
static const char *const names[] = { KEYS (NAME_OF) };
static const guint codes[] = { KEYS (CODE_OF) };

const char *const *
alcove_keys_get_names (gsize *ret_n)
{
  *ret_n = G_N_ELEMENTS (names);
  return names;
}

guint
alcove_keys_get_code (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_ascii_strcasecmp (name, names[i]) == 0)
      return codes[i];
  return 0;
}

static gboolean
unknown_key (const char *name, GError **error)
{
  g_autofree char *lower = g_ascii_strdown (name, -1);
  const char *nearest = alcove_suggest (lower, names, G_N_ELEMENTS (names));

  if (*name == '\0')
    g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                         "A key is missing: write names joined by \"-\", as ctrl-alt-delete (the "
                         "dash itself is called minus)");
  else if (nearest != NULL)
    g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                 "There is no key \"%s\": did you mean \"%s\"?", name, nearest);
  else
    g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                 "There is no key \"%s\": keys are named as ctrl, alt, shift, super, a, f1, enter, "
                 "esc, delete, pageup",
                 name);
  return FALSE;
}

guint
alcove_keys_parse_chord (const char *text, guint ret_keys[ALCOVE_CHORD_MAX], GError **error)
{
  g_auto (GStrv) parts = g_strsplit_set (text, "-+", ALCOVE_CHORD_MAX + 1);
  guint n = g_strv_length (parts);

  if (n > ALCOVE_CHORD_MAX)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "\"%s\" has more than %d keys", text,
                   ALCOVE_CHORD_MAX);
      return 0;
    }
  if (n == 0)
    return unknown_key ("", error);
  for (guint i = 0; i < n; i++)
    {
      ret_keys[i] = alcove_keys_get_code (parts[i]);
      if (ret_keys[i] == 0)
        return unknown_key (parts[i], error);
    }
  return n;
}
