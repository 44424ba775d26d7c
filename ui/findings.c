/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/findings.h"

#include <glib/gi18n.h>

static GtkWidget *
create_group (GPtrArray *findings, AlcoveFindingKind kind)
{
  static const char *const titles[] = { [ALCOVE_FINDING_NOTE] = N_ ("Good to Know"),
                                        [ALCOVE_FINDING_CHANGED] = N_ ("Will Be Changed"),
                                        [ALCOVE_FINDING_LOST] = N_ ("Will Be Lost") };
  static const char *const icons[] = { [ALCOVE_FINDING_NOTE] = "dialog-information-symbolic",
                                       [ALCOVE_FINDING_CHANGED] = "view-refresh-symbolic",
                                       [ALCOVE_FINDING_LOST] = "dialog-warning-symbolic" };
  GtkWidget *group = NULL;

  for (guint i = 0; i < findings->len; i++)
    {
      const AlcoveFinding *finding = g_ptr_array_index (findings, i);
      GtkWidget *row, *icon;

      if (finding->kind != kind)
        continue;
      if (!group)
        {
          group = adw_preferences_group_new ();
          adw_preferences_group_set_title (ADW_PREFERENCES_GROUP (group), _ (titles[kind]));
        }
      row = adw_action_row_new ();
      /* Texts of documents: never markup. */
      g_object_set (row, "use-markup", FALSE, NULL);
      adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), finding->what);
      adw_action_row_set_subtitle (ADW_ACTION_ROW (row), finding->meaning);
      adw_action_row_set_title_lines (ADW_ACTION_ROW (row), 2);
      adw_action_row_set_subtitle_lines (ADW_ACTION_ROW (row), 6);
      icon = gtk_image_new_from_icon_name (icons[kind]);
      gtk_accessible_update_property (GTK_ACCESSIBLE (icon), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                      _ (titles[kind]), -1);
      adw_action_row_add_prefix (ADW_ACTION_ROW (row), icon);
      adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), row);
    }
  return group;
}

/**
 * alcove_findings_view_show:
 * @page: gets a group for each kind, gravest first
 *
 * In place of what the view showed before.
 */
void
alcove_findings_view_show (AlcoveFindingsView *view, AdwPreferencesPage *page, GPtrArray *findings)
{
  for (int kind = ALCOVE_FINDING_LOST; kind >= ALCOVE_FINDING_NOTE; kind--)
    {
      if (view->groups[kind])
        adw_preferences_page_remove (page, ADW_PREFERENCES_GROUP (view->groups[kind]));
      view->groups[kind] = create_group (findings, (AlcoveFindingKind)kind);
      if (view->groups[kind])
        adw_preferences_page_add (page, ADW_PREFERENCES_GROUP (view->groups[kind]));
    }
}
