/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Preloaded into the lab's QEMU. A guest that writes CR8 while a virtual interrupt is pending
 * makes QEMU's TCG call its interrupt hook without the big lock, and QEMU aborts ("assertion
 * failed: (qemu_mutex_iothread_locked())"). OVMF and Windows write CR8 all the time. This puts a
 * wrapper round the hook that takes the lock when the caller does not hold it.
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

typedef void (*Hook) (void *cpu, int mask);

static Hook original;
static bool (*is_locked) (void);
static void (*lock) (const char *file, int line);
static void (*unlock) (void);
static int state; /* 0 not tried, 1 done, -1 given up */

static void
hook_with_lock (void *cpu, int mask)
{
  bool held = is_locked ();

  if (!held)
    lock (__FILE__, __LINE__);
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
            fprintf (stderr, "lab: CR8 work-around in place (class offset %zu)\n", at);
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
        fprintf (stderr, "lab: this QEMU hides what the CR8 work-around needs\n");
    }
  return next (thread, attr, start, arg);
}
