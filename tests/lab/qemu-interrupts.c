/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Preloaded into the lab's QEMU. A wrapper round the hook by which TCG asks a CPU to look at an
 * interrupt mends two faults of its SVM:
 *
 * - A guest that writes CR8 while a virtual interrupt is pending makes it call the hook without the
 *   big lock, and QEMU aborts ("assertion failed: (qemu_mutex_iothread_locked())"). OVMF and Windows
 *   write CR8 all the time. The wrapper takes the lock when the caller does not hold it.
 * - At each VMRUN and #VMEXIT the CPU's thread changes its word of requests without the lock, by an
 *   instruction that is not atomic. A request that another thread makes in that instant is lost:
 *   the local APIC has an interrupt that nobody looks at. When it was the one of its timer and nothing
 *   else happens, the machine stands still for good. The wrapper has the CPU's own thread make
 *   requests of this kind (CPU_INTERRUPT_POLL), so that no two threads write at once.
 *
 * The hook is a function pointer in the class of the type "tcg-accel-ops". It is found by value:
 * the word of that class which holds the address of tcg_handle_interrupt. So no offset is tied to
 * one version of QEMU. Where a symbol is not exported the preload does nothing but say so.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPU_INTERRUPT_POLL 0x10 /* "look at the local APIC": harmless when there is nothing */

typedef void (*Hook) (void *cpu, int mask);

typedef union /* QEMU's run_on_cpu_data */
{
  int word;
  unsigned long value;
  void *pointer;
} Data;

static Hook original;
static bool (*is_self) (void *cpu);
static void (*run_later) (void *cpu, void (*work) (void *cpu, Data data), Data data);
static bool (*is_locked) (void);
static void (*lock) (const char *file, int line);
static void (*unlock) (void);
static int state; /* 0 not tried, 1 done, -1 given up */

/* On the CPU's own thread, outside of what it emulates, with the lock. */
static void
request (void *cpu, Data data)
{
  original (cpu, data.word);
}

static void
hook_with_lock (void *cpu, int mask)
{
  bool held = is_locked ();

  if (!held)
    lock (__FILE__, __LINE__);
  if (mask == CPU_INTERRUPT_POLL && run_later && !is_self (cpu))
    run_later (cpu, request, (Data){ .word = mask });
  else
    original (cpu, mask);
  if (!held)
    unlock ();
}

/* The first name that exists; QEMU 8.2 renamed the lock's functions. */
static void *
symbol (const char *name, const char *newer)
{
  void *s = dlsym (RTLD_DEFAULT, name);

  return s ? s : dlsym (RTLD_DEFAULT, newer);
}

/* The hook that QEMU installs. Debian's TCG is a module, and modules are loaded with their
   symbols private: so its file is looked for among the loaded ones. */
static int
look_in (struct dl_phdr_info *info, size_t size, void *found)
{
  void *module;

  (void)size;
  if (!info->dlpi_name || !strstr (info->dlpi_name, "accel-tcg"))
    return 0;
  module = dlopen (info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
  if (!module)
    return 0;
  *(void **)found = dlsym (module, "tcg_handle_interrupt");
  dlclose (module);
  return *(void **)found != NULL;
}

static void *
find_hook (void)
{
  void *found = dlsym (RTLD_DEFAULT, "tcg_handle_interrupt");

  if (!found)
    dl_iterate_phdr (look_in, &found);
  return found;
}

static void
install (void)
{
  void *(*class_by_name) (const char *) = dlsym (RTLD_DEFAULT, "object_class_by_name");
  void *tcg = find_hook ();
  unsigned char *class;

  if (!class_by_name || !tcg)
    return; /* the accelerator's module is not loaded yet */
  class = class_by_name ("tcg-accel-ops");
  if (!class)
    return;

  is_locked = symbol ("qemu_mutex_iothread_locked", "bql_locked");
  lock = symbol ("qemu_mutex_lock_iothread_impl", "bql_lock_impl");
  unlock = symbol ("qemu_mutex_unlock_iothread", "bql_unlock");
  is_self = dlsym (RTLD_DEFAULT, "qemu_cpu_is_self");
  run_later = is_self ? dlsym (RTLD_DEFAULT, "async_run_on_cpu") : NULL;
  if (!is_locked || !lock || !unlock)
    {
      state = -1;
      return;
    }
  for (size_t at = 64; at < 512; at += sizeof (void *))
    {
      void *word;

      memcpy (&word, class + at, sizeof word);
      if (word == tcg)
        {
          Hook wrapper = hook_with_lock;

          original = (Hook)tcg;
          memcpy (class + at, &wrapper, sizeof wrapper);
          state = 1;
          if (getenv ("LAB_DEBUG"))
            fprintf (stderr, "lab: interrupt hook in place (class offset %zu, %s)\n", at,
                     run_later ? "by the CPU's own thread" : "with the lock only");
          return;
        }
    }
}

/* vCPU threads are created after the accelerator's class is ready, so that is when to look. */
int
pthread_create (pthread_t *thread, const pthread_attr_t *attr, void *(*start) (void *), void *arg)
{
  static int (*next) (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

  if (!next)
    next = dlsym (RTLD_NEXT, "pthread_create");
  if (state == 0)
    {
      install ();
      if (state < 0)
        fprintf (stderr, "lab: this QEMU hides what the interrupt hook needs\n");
    }
  return next (thread, attr, start, arg);
}
