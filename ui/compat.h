/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one place that knows which GTK and libadwaita are underneath. The floor is GTK 4.8 and
 * libadwaita 1.2 (Debian 12); where newer ones have a better way, it is taken here and only here.
 * Main thread only.
 */
#pragma once

#include <adwaita.h>

G_BEGIN_DECLS

#if GTK_CHECK_VERSION(4, 12, 0)
#define ALCOVE_COMPAT_ROLE_APPLICATION GTK_ACCESSIBLE_ROLE_APPLICATION
#else
#define ALCOVE_COMPAT_ROLE_APPLICATION GTK_ACCESSIBLE_ROLE_IMG
#endif

/**
 * AlcoveCompatConfirmFunc:
 *
 * The user said yes.
 */
typedef void (*AlcoveCompatConfirmFunc) (gpointer user_data);

/**
 * AlcoveCompatFileFunc:
 * @file: (nullable): what was chosen, %NULL if nothing
 */
typedef void (*AlcoveCompatFileFunc) (GFile *file, gpointer user_data);

void alcove_compat_snapshot_scaled_texture (GtkSnapshot *snapshot,
                                            GdkTexture *texture,
                                            const graphene_rect_t *bounds);
void alcove_compat_confirm (GtkWidget *parent,
                            const char *heading,
                            const char *body,
                            const char *action_label,
                            AlcoveCompatConfirmFunc func,
                            gpointer user_data,
                            GDestroyNotify destroy);
void alcove_compat_ask (GtkWidget *parent,
                        const char *heading,
                        const char *body,
                        GtkWidget *extra,
                        const char *action_label,
                        gboolean destructive,
                        AlcoveCompatConfirmFunc func,
                        gpointer user_data,
                        GDestroyNotify destroy);
void alcove_compat_choose_file (GtkWidget *parent,
                                const char *title,
                                const char *const *patterns,
                                const char *patterns_name,
                                AlcoveCompatFileFunc func,
                                gpointer user_data);
void alcove_compat_save_file (GtkWidget *parent,
                              const char *title,
                              const char *name,
                              GFile *folder,
                              AlcoveCompatFileFunc func,
                              gpointer user_data);
void alcove_compat_present_about (GtkWidget *parent, const char *app_id, const char *version);
void alcove_compat_present_shortcuts (GtkWindow *parent, const char *resource);
void alcove_compat_announce (GtkWidget *widget, const char *message);

G_END_DECLS
