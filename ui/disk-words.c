/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/disk-words.h"

#include <glib/gi18n.h>

char *
alcove_disk_dup_doing (const AlcoveDiskWork *spec)
{
  switch (spec->kind)
    {
    case ALCOVE_DISK_WORK_REPAIR:
      return g_strdup_printf (_ ("Repairing “%s”…"), spec->disk);
    case ALCOVE_DISK_WORK_COMPACT:
      return g_strdup_printf (_ ("Compacting “%s”…"), spec->disk);
    case ALCOVE_DISK_WORK_RESIZE:
      return g_strdup_printf (_ ("Resizing “%s”…"), spec->disk);
    case ALCOVE_DISK_WORK_CHECK:
    default:
      return g_strdup_printf (_ ("Checking “%s”…"), spec->disk);
    }
}

char *
alcove_disk_dup_check_text (const AlcoveDiskResult *result)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *time = g_date_time_format (now, "%X");
  g_autoptr (GString) text = g_string_new (NULL);
  gulong fixed = result->corruptions_fixed + result->leaks_fixed;
  gulong damaged = result->corruptions, lost = result->leaks, unread = result->errors;

  g_string_append_printf (text, _ ("Checked at %s:"), time);
  if (fixed > 0)
    g_string_append_printf (
        text, ngettext (" %lu cluster repaired.", " %lu clusters repaired.", fixed), fixed);
  if (damaged > 0)
    g_string_append_printf (
        text, ngettext (" %lu cluster is damaged.", " %lu clusters are damaged.", damaged),
        damaged);
  if (lost > 0)
    g_string_append_printf (text,
                            ngettext (" %lu cluster is lost to no use, which is harmless.",
                                      " %lu clusters are lost to no use, which is harmless.", lost),
                            lost);
  if (unread > 0)
    g_string_append_printf (
        text, ngettext (" %lu cluster cannot be read.", " %lu clusters cannot be read.", unread),
        unread);
  if (fixed + damaged + lost + unread == 0)
    g_string_append (text, _ (" no damage was found."));
  return g_string_free (g_steal_pointer (&text), FALSE);
}

char *
alcove_disk_dup_done (AlcoveDiskWorkKind kind, const char *disk, const AlcoveDiskResult *result)
{
  g_autofree char *before = g_format_size_full (result->before, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *after = g_format_size_full (result->after, G_FORMAT_SIZE_IEC_UNITS);

  switch (kind)
    {
    case ALCOVE_DISK_WORK_COMPACT:
      return g_strdup_printf (_ ("“%s” took %s, and takes %s now"), disk, before, after);
    case ALCOVE_DISK_WORK_RESIZE:
      return g_strdup_printf (_ ("“%s” has its new size. Partitions and file systems are as they "
                                 "were"),
                              disk);
    case ALCOVE_DISK_WORK_CHECK:
    case ALCOVE_DISK_WORK_REPAIR:
    default:
      return NULL;
    }
}
