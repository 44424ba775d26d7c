/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/confine.h"

#include <errno.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "vmm/error.h"

/* Refused with EPERM, so that a library that tries one takes its own error path. */
static const int refused[] = {
  /* running and tracing programs */
  SCMP_SYS (execve),
  SCMP_SYS (execveat),
  SCMP_SYS (ptrace),
  SCMP_SYS (process_vm_readv),
  SCMP_SYS (process_vm_writev),
  SCMP_SYS (kcmp),
  SCMP_SYS (pidfd_getfd),
  SCMP_SYS (perf_event_open),
  SCMP_SYS (bpf),
  /* file systems and namespaces */
  SCMP_SYS (mount),
  SCMP_SYS (umount2),
  SCMP_SYS (move_mount),
  SCMP_SYS (fsopen),
  SCMP_SYS (fsconfig),
  SCMP_SYS (fsmount),
  SCMP_SYS (fspick),
  SCMP_SYS (open_tree),
  SCMP_SYS (mount_setattr),
  SCMP_SYS (pivot_root),
  SCMP_SYS (chroot),
  SCMP_SYS (setns),
  SCMP_SYS (unshare),
  SCMP_SYS (open_by_handle_at),
  SCMP_SYS (swapon),
  SCMP_SYS (swapoff),
  SCMP_SYS (quotactl),
  /* the kernel itself */
  SCMP_SYS (init_module),
  SCMP_SYS (finit_module),
  SCMP_SYS (delete_module),
  SCMP_SYS (kexec_load),
  SCMP_SYS (kexec_file_load),
  SCMP_SYS (reboot),
  SCMP_SYS (acct),
  SCMP_SYS (settimeofday),
  SCMP_SYS (clock_settime),
  SCMP_SYS (adjtimex),
  SCMP_SYS (sethostname),
  SCMP_SYS (setdomainname),
  SCMP_SYS (iopl),
  SCMP_SYS (ioperm),
  SCMP_SYS (modify_ldt),
  /* keys */
  SCMP_SYS (add_key),
  SCMP_SYS (request_key),
  SCMP_SYS (keyctl),
  /* whoever wants in must have been let in before */
  SCMP_SYS (listen),
};

static int
add_rules (scmp_filter_ctx filter)
{
  static const guint64 namespaces[] = { CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,   CLONE_NEWUSER,
                                        CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP };
  int result = 0;

  for (guint i = 0; result == 0 && i < G_N_ELEMENTS (refused); i++)
    result = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), refused[i], 0);

  /* Threads, yes; namespaces, no. clone3 hides its flags in memory that the filter cannot read:
   * ENOSYS makes libc fall back to clone. */
  if (result == 0)
    result = seccomp_rule_add (filter, SCMP_ACT_ERRNO (ENOSYS), SCMP_SYS (clone3), 0);
  for (guint i = 0; result == 0 && i < G_N_ELEMENTS (namespaces); i++)
    result = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), SCMP_SYS (clone), 1,
                               SCMP_A0 (SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
  /* Typing into the terminal that started us. Only the low 32 bits of the request count. */
  if (result == 0)
    result = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), SCMP_SYS (ioctl), 1,
                               SCMP_A1 (SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCSTI));
  return result;
}

gboolean
runner_confine (GError **error)
{
  scmp_filter_ctx filter;
  int result;

  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return vmm_error_set_errno (error, -errno, "Cannot give up new privileges");

  filter = seccomp_init (SCMP_ACT_ALLOW);
  if (filter == NULL)
    return vmm_error_set_errno (error, -ENOMEM, "Cannot make the system call filter");
  result = seccomp_attr_set (filter, SCMP_FLTATR_CTL_TSYNC, 1);
  /* 32-bit and x32 system calls would be a way round the rules above. */
  if (result == 0)
    result = seccomp_attr_set (filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (result == 0)
    result = add_rules (filter);
  if (result == 0)
    result = seccomp_load (filter);
  seccomp_release (filter);
  if (result < 0)
    return vmm_error_set_errno (error, result,
                                "Cannot confine the machine's process: this kernel needs seccomp "
                                "filters (CONFIG_SECCOMP_FILTER)");
  return TRUE;
}
