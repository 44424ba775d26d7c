/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/typing.h"

#include <linux/input-event-codes.h>
#include <string.h>

#include "vmm/error.h"

#define CHORD_MAX   8
#define TEXT_MAX    65536
#define HOLD_MS     40
#define HOLD_MS_MAX 10000
#define TEXT_MS     15 /* between key events of text: a PS/2 keyboard's buffer holds 16 bytes */

/* One step: a key event (key 0: none), then a pause. done (nullable) ends a request. */
typedef struct
{
  guint16 key;
  gboolean down;
  guint pause_ms;
  RunnerTypingDone done;
  gpointer user_data;
} Step;

struct _RunnerTyping
{
  InputRouter *router; /* borrowed */
  GQueue steps;        /* of Step */
  guint timeout;
};

RunnerTyping *
runner_typing_new (InputRouter *router)
{
  RunnerTyping *typing = g_new0 (RunnerTyping, 1);

  typing->router = router;
  g_queue_init (&typing->steps);
  return typing;
}

void
runner_typing_free (RunnerTyping *typing)
{
  if (typing == NULL)
    return;
  g_clear_handle_id (&typing->timeout, g_source_remove);
  g_queue_clear_full (&typing->steps, g_free);
  input_router_release_all (typing->router);
  g_free (typing);
}

static gboolean
play (gpointer user_data)
{
  RunnerTyping *typing = user_data;
  guint pause_ms = 0;

  typing->timeout = 0;
  while (pause_ms == 0)
    {
      g_autofree Step *step = g_queue_pop_head (&typing->steps);

      if (step == NULL)
        return G_SOURCE_REMOVE;
      if (step->key != 0)
        {
          input_router_key (typing->router, step->key, step->down);
          input_router_sync (typing->router);
        }
      if (step->done != NULL)
        step->done (step->user_data);
      pause_ms = step->pause_ms;
    }
  typing->timeout = g_timeout_add (pause_ms, play, typing);
  return G_SOURCE_REMOVE;
}

static void
push (RunnerTyping *typing, guint16 key, gboolean down, guint pause_ms)
{
  Step *step = g_new0 (Step, 1);

  step->key = key;
  step->down = down;
  step->pause_ms = pause_ms;
  g_queue_push_tail (&typing->steps, step);
}

static void
push_done (RunnerTyping *typing, RunnerTypingDone done, gpointer user_data)
{
  Step *step = g_new0 (Step, 1);

  step->done = done;
  step->user_data = user_data;
  g_queue_push_tail (&typing->steps, step);
  if (typing->timeout == 0)
    typing->timeout = g_timeout_add (0, play, typing);
}

gboolean
runner_typing_send_keys (RunnerTyping *typing,
                         const guint32 *keys,
                         guint n_keys,
                         guint hold_ms,
                         RunnerTypingDone done,
                         gpointer user_data,
                         GError **error)
{
  if (n_keys == 0 || n_keys > CHORD_MAX || hold_ms > HOLD_MS_MAX)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "A key combination has 1 to %d keys and is held for at most %d ms", CHORD_MAX,
                   HOLD_MS_MAX);
      return FALSE;
    }
  for (guint i = 0; i < n_keys; i++)
    if (keys[i] == 0 || keys[i] >= BTN_MISC)
      {
        g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "%u is not a key code", keys[i]);
        return FALSE;
      }
  for (guint i = 0; i < n_keys; i++)
    push (typing, keys[i], TRUE, i + 1 < n_keys ? 5 : (hold_ms != 0 ? hold_ms : HOLD_MS));
  for (guint i = n_keys; i-- > 0;)
    push (typing, keys[i], FALSE, i > 0 ? 5 : TEXT_MS);
  push_done (typing, done, user_data);
  return TRUE;
}

/* The key of an ASCII character on a US keyboard; 0 when there is none. */
static guint16
key_of (gunichar c, gboolean *ret_shift)
{
  static const guint16 letters[26] = { KEY_A, KEY_B, KEY_C, KEY_D, KEY_E, KEY_F, KEY_G,
                                       KEY_H, KEY_I, KEY_J, KEY_K, KEY_L, KEY_M, KEY_N,
                                       KEY_O, KEY_P, KEY_Q, KEY_R, KEY_S, KEY_T, KEY_U,
                                       KEY_V, KEY_W, KEY_X, KEY_Y, KEY_Z };
  static const struct
  {
    guint16 key;
    char plain, shifted;
  } others[] = {
    { KEY_1, '1', '!' },         { KEY_2, '2', '@' },           { KEY_3, '3', '#' },
    { KEY_4, '4', '$' },         { KEY_5, '5', '%' },           { KEY_6, '6', '^' },
    { KEY_7, '7', '&' },         { KEY_8, '8', '*' },           { KEY_9, '9', '(' },
    { KEY_0, '0', ')' },         { KEY_MINUS, '-', '_' },       { KEY_EQUAL, '=', '+' },
    { KEY_LEFTBRACE, '[', '{' }, { KEY_RIGHTBRACE, ']', '}' },  { KEY_BACKSLASH, '\\', '|' },
    { KEY_SEMICOLON, ';', ':' }, { KEY_APOSTROPHE, '\'', '"' }, { KEY_GRAVE, '`', '~' },
    { KEY_COMMA, ',', '<' },     { KEY_DOT, '.', '>' },         { KEY_SLASH, '/', '?' },
    { KEY_SPACE, ' ', 0 },       { KEY_ENTER, '\n', 0 },        { KEY_TAB, '\t', 0 },
    { KEY_BACKSPACE, '\b', 0 },  { KEY_ESC, '\033', 0 },
  };

  *ret_shift = FALSE;
  if (c >= 'a' && c <= 'z')
    return letters[c - 'a'];
  if (c >= 'A' && c <= 'Z')
    {
      *ret_shift = TRUE;
      return letters[c - 'A'];
    }
  for (guint i = 0; i < G_N_ELEMENTS (others) && c != 0; i++)
    if (c == (gunichar)others[i].plain || c == (gunichar)others[i].shifted)
      {
        *ret_shift = c == (gunichar)others[i].shifted;
        return others[i].key;
      }
  return 0;
}

gboolean
runner_typing_type (RunnerTyping *typing,
                    const char *text,
                    RunnerTypingDone done,
                    gpointer user_data,
                    GError **error)
{
  gboolean shift;

  if (strlen (text) > TEXT_MAX)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "The text is longer than %d bytes",
                   TEXT_MAX);
      return FALSE;
    }
  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    if (key_of (g_utf8_get_char (p), &shift) == 0)
      {
        g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                     "A US keyboard has no key for “%.*s” (U+%04X)",
                     (int)(g_utf8_next_char (p) - p), p, g_utf8_get_char (p));
        return FALSE;
      }
  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    {
      guint16 key = key_of (g_utf8_get_char (p), &shift);

      if (shift)
        push (typing, KEY_LEFTSHIFT, TRUE, TEXT_MS);
      push (typing, key, TRUE, TEXT_MS);
      push (typing, key, FALSE, TEXT_MS);
      if (shift)
        push (typing, KEY_LEFTSHIFT, FALSE, TEXT_MS);
    }
  push_done (typing, done, user_data);
  return TRUE;
}
