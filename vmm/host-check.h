/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What this host's KVM can do, told in sentences for people. Used by `alcove check` and try.sh.
 * Thread: any. */
#pragma once
#include <glib.h>

typedef struct
{
  gboolean available; /* /dev/kvm can be opened */
  gboolean hardware;  /* VT-x or AMD-V stands behind it: unmodified systems run */
  char backend[32];   /* "kvm_intel", "kvm_amd", "kvm_pvm", "unknown", "" without KVM */
  char *sentence;     /* what that means */
  char *remedy;       /* (nullable) what mends it */
} VmmHostCheck;

/* Opens and closes /dev/kvm; makes no machine. Clear with vmm_host_check_clear. */
void vmm_host_check_probe (VmmHostCheck *ret_check);
void vmm_host_check_clear (VmmHostCheck *check);

/* Name of the module behind KVM, read below sysfs_root ("/sys" but for tests). Never NULL. */
const char *vmm_host_check_backend (const char *sysfs_root);
/* Can the backend run unmodified operating systems? */
gboolean vmm_host_check_is_hardware (const char *backend);
