/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a person writes to have a card reserved for machines when the host starts, before a driver of
 * the host can take it: files and commands for this distribution, as text to look at and apply, and
 * their undo. Nothing here writes anything. Thread: any. */
#pragma once
#include "vfio/host/inventory.h"

typedef struct
{
  char *path; /* "/etc/modprobe.d/alcove-0000-01-00.conf" */
  char *text; /* all of it, with the last newline */
  guint mode; /* 0644, or 0755 for a script */
} VfioBootFile;

typedef struct
{
  VfioInitramfs tool;
  gboolean by_address; /* an equal card stays with the host: ids would take both */
  GPtrArray *files;    /* (element-type VfioBootFile) to be written first */
  char *apply;         /* commands then, lines; the last one restarts */
  char *undo;          /* commands that take all of it back, lines */
  char *note;          /* (nullable) what a person has to do by themselves */
} VfioBootFiles;

/**
 * vfio_boot_files_new:
 * @functions: (element-type VfioFunction): a verdict's takes; bridges are left out
 *
 * Returns: (transfer full)
 */
VfioBootFiles *vfio_boot_files_new (const VfioInventory *inventory, GPtrArray *functions);
void vfio_boot_files_free (VfioBootFiles *files);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfioBootFiles, vfio_boot_files_free)
/* All of it as one shell script that a person can read. (transfer full) */
char *vfio_boot_files_to_text (const VfioBootFiles *files);

/* How an argument gets onto the kernel's command line here, and off it again: lines. argument: of
 * letters, digits, '_', '=' and the like, as the kernel has them. (transfer full) */
char *vfio_boot_add_argument (const VfioPlatform *platform, const char *argument);
char *vfio_boot_remove_argument (const VfioPlatform *platform, const char *argument);
