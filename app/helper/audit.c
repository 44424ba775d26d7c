/* SPDX-License-Identifier: GPL-3.0-or-later */
#define G_LOG_DOMAIN "alcove-helper"
#include "app/helper/audit.h"

#include <string.h>

#define TEXT_MAX 1024

/* What a caller wrote must not look like another line, or fill the journal. (transfer full) */
static char *
make_printable (const char *text)
{
  g_autofree char *start = g_strndup (text != NULL ? text : "", TEXT_MAX), *valid = NULL;
  GString *result = g_string_new (NULL);

  valid = g_utf8_make_valid (start, -1);
  for (const char *p = valid; *p != 0; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (g_unichar_isprint (c))
        g_string_append_unichar (result, c);
      else
        g_string_append_printf (result, "\\x%02x", c);
    }
  if (text != NULL && strlen (text) > TEXT_MAX)
    g_string_append (result, "…");
  return g_string_free (result, FALSE);
}

void
helper_audit (const HelperAudit *audit, HelperOutcome outcome, const char *detail)
{
  static const char *const outcomes[] = { "done", "refused", "failed" };
  g_autofree char *arguments = make_printable (audit->arguments);
  g_autofree char *why = make_printable (detail);
  g_autofree char *uid = g_strdup_printf ("%" G_GINT64_FORMAT, audit->uid);
  g_autofree char *pid = g_strdup_printf ("%" G_GINT64_FORMAT, audit->pid);
  g_autofree char *message =
      g_strdup_printf ("%s %s for user %s (process %s): %s%s%s", audit->method, arguments, uid, pid,
                       outcomes[outcome], detail != NULL ? ": " : "", why);
  const GLogField fields[] = {
    { "MESSAGE", message, -1 },
    { "MESSAGE_ID", HELPER_AUDIT_ID, -1 },
    { "PRIORITY", outcome == HELPER_DONE ? "5" : "4", -1 },
    { "GLIB_DOMAIN", G_LOG_DOMAIN, -1 },
    { "ALCOVE_METHOD", audit->method, -1 },
    { "ALCOVE_ARGUMENTS", arguments, -1 },
    { "ALCOVE_CALLER", audit->sender, -1 },
    { "ALCOVE_UID", uid, -1 },
    { "ALCOVE_PID", pid, -1 },
    { "ALCOVE_RESULT", outcomes[outcome], -1 },
    { "ALCOVE_DETAIL", why, -1 },
  };

  g_log_structured_array (G_LOG_LEVEL_MESSAGE, fields, G_N_ELEMENTS (fields));
}
