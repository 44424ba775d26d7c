/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/bind/ledger.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"

#define BINDING_PREFIX   "function-"
#define GRANT_PREFIX     "node-"
#define NEW_NAME         ".new"
#define LOCK_NAME        ".lock"
#define LOCK_WAIT_US     50000
#define LOCK_TRIES       200
#define FOLDER_MODE      0755
#define FILE_MODE        0644
#define OTHERS_CAN_WRITE 022

struct _VfioLedger
{
  char *folder;
  int fd;
  int lock_fd; /* -1: not locked */
};

/* Makes one folder and syncs its parent, so that what is put in it later is not lost with it. */
static gboolean
make_folder (const char *path, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (path);
  int fd;

  if (mkdir (path, FOLDER_MODE) < 0)
    return errno == EEXIST ? TRUE : vmm_error_set_errno (error, -errno, "%s cannot be made", path);
  fd = open (parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0)
    {
      if (fsync (fd) < 0)
        g_debug ("%s is not synced: %s", parent, g_strerror (errno));
      close (fd);
    }
  return TRUE;
}

static gboolean
check_folder (int fd, const char *folder, GError **error)
{
  struct stat status;

  if (fstat (fd, &status) < 0)
    return vmm_error_set_errno (error, -errno, "%s", folder);
  if ((status.st_uid != geteuid () && status.st_uid != 0) ||
      (status.st_mode & OTHERS_CAN_WRITE) != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                   "The record of bindings in %s is not believed: others may write to it. Remove "
                   "the folder if nobody needs it",
                   folder);
      return FALSE;
    }
  return TRUE;
}

VfioLedger *
vfio_ledger_open (const char *folder, gboolean create, GError **error)
{
  g_autoptr (VfioLedger) ledger = g_new0 (VfioLedger, 1);
  g_autofree char *parent = g_path_get_dirname (folder);

  ledger->fd = ledger->lock_fd = -1;
  ledger->folder = g_strdup (folder);
  if (create && (!make_folder (parent, error) || !make_folder (folder, error)))
    return NULL;
  ledger->fd = open (folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (ledger->fd < 0)
    {
      vmm_error_set_errno (error, -errno, "The record of bindings %s cannot be opened", folder);
      return NULL;
    }
  return check_folder (ledger->fd, folder, error) ? g_steal_pointer (&ledger) : NULL;
}

void
vfio_ledger_free (VfioLedger *ledger)
{
  if (ledger == NULL)
    return;
  vfio_ledger_unlock (ledger);
  if (ledger->fd >= 0)
    close (ledger->fd);
  g_free (ledger->folder);
  g_free (ledger);
}

const char *
vfio_ledger_get_folder (VfioLedger *ledger)
{
  return ledger->folder;
}

gboolean
vfio_ledger_lock (VfioLedger *ledger, GError **error)
{
  g_assert (ledger->lock_fd < 0);
  ledger->lock_fd = openat (ledger->fd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (ledger->lock_fd < 0)
    return vmm_error_set_errno (error, -errno, "The record of bindings %s cannot be changed",
                                ledger->folder);
  for (guint i = 0; i < LOCK_TRIES; i++)
    {
      if (flock (ledger->lock_fd, LOCK_EX | LOCK_NB) == 0)
        {
          unlinkat (ledger->fd, NEW_NAME, 0); /* half a record of a process that was killed */
          return TRUE;
        }
      if (errno != EWOULDBLOCK && errno != EINTR)
        break;
      g_usleep (LOCK_WAIT_US);
    }
  vfio_ledger_unlock (ledger);
  g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
               "Another process is binding or giving back devices and does not come to an end. A "
               "driver that will not let go of its device is the usual reason: see \"journalctl "
               "-k\"");
  return FALSE;
}

void
vfio_ledger_unlock (VfioLedger *ledger)
{
  if (ledger == NULL)
    return;
  if (ledger->lock_fd >= 0)
    close (ledger->lock_fd);
  ledger->lock_fd = -1;
}

char *
vfio_ledger_dup_boot (VfioTree *tree)
{
  char *boot = vfio_tree_read_line (tree, "/proc/sys/kernel/random/boot_id");
  gsize n = boot != NULL ? strspn (boot, "0123456789abcdef-") : 0;

  if (boot == NULL || boot[n] != 0 || n > 36)
    {
      g_free (boot);
      return g_strdup ("");
    }
  return boot;
}

/* (transfer full) (nullable): at most BIND_LEDGER_FILE_MAX bytes of a regular file. */
static char *
read_file (VfioLedger *ledger, const char *name, gsize *ret_length, GError **error)
{
  g_autofree char *text = g_malloc (BIND_LEDGER_FILE_MAX + 1);
  struct stat status;
  ssize_t n = -1;
  int fd = openat (ledger->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

  if (fd < 0)
    {
      vmm_error_set_errno (error, -errno, "It cannot be read");
      return NULL;
    }
  if (fstat (fd, &status) < 0 || !S_ISREG (status.st_mode) ||
      (status.st_uid != geteuid () && status.st_uid != 0) ||
      (status.st_mode & OTHERS_CAN_WRITE) != 0)
    g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "It is not a file that Alcove made");
  else if (status.st_size > BIND_LEDGER_FILE_MAX)
    g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "It is too long");
  else if ((n = read (fd, text, BIND_LEDGER_FILE_MAX)) < 0)
    vmm_error_set_errno (error, -errno, "It cannot be read");
  close (fd);
  if (n < 0)
    return NULL;
  text[n] = 0;
  *ret_length = (gsize)n;
  return g_steal_pointer (&text);
}

static VfioBinding *
read_binding (VfioLedger *ledger, const char *name, GError **error)
{
  g_autofree char *text = NULL, *expected = NULL, *address = NULL;
  g_autoptr (VfioBinding) binding = NULL;
  gsize length;

  text = read_file (ledger, name, &length, error);
  binding = text != NULL ? vfio_binding_from_text (text, length, error) : NULL;
  if (binding == NULL)
    return NULL;
  address = vfio_address_to_string (binding->address);
  expected = g_strconcat (BINDING_PREFIX, address, NULL);
  if (strcmp (name, expected) != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "It tells of another function (%s)",
                   address);
      return NULL;
    }
  return g_steal_pointer (&binding);
}

/* "devices/vfio0" has a slash. */
static char *
grant_file (const char *node)
{
  return g_strconcat (
      GRANT_PREFIX, g_str_has_prefix (node, "devices/") ? node + strlen ("devices/") : node, NULL);
}

static VfioGrant *
read_grant (VfioLedger *ledger, const char *name, GError **error)
{
  g_autofree char *text = NULL, *expected = NULL;
  g_autoptr (VfioGrant) grant = NULL;
  gsize length;

  text = read_file (ledger, name, &length, error);
  grant = text != NULL ? vfio_grant_from_text (text, length, error) : NULL;
  if (grant == NULL)
    return NULL;
  expected = grant_file (grant->name);
  if (strcmp (name, expected) != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "It tells of another node");
      return NULL;
    }
  return g_steal_pointer (&grant);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* (transfer full): names of files, sorted, at most BIND_LEDGER_ENTRIES_MAX. */
static GPtrArray *
list_names (VfioLedger *ledger, const char *prefix)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  int fd = ledger != NULL ? openat (ledger->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  DIR *dir = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;

  if (dir == NULL)
    {
      if (fd >= 0)
        close (fd);
      return names;
    }
  while (names->len < BIND_LEDGER_ENTRIES_MAX && (entry = readdir (dir)) != NULL)
    if (g_str_has_prefix (entry->d_name, prefix))
      g_ptr_array_add (names, g_strdup (entry->d_name));
  closedir (dir);
  g_ptr_array_sort (names, compare_names);
  return names;
}

static int
compare_bindings (gconstpointer a, gconstpointer b)
{
  const VfioBinding *x = *(VfioBinding *const *)a, *y = *(VfioBinding *const *)b;

  return vfio_address_compare (x->address, y->address);
}

GPtrArray *
vfio_ledger_list (VfioLedger *ledger, GStrv *ret_problems)
{
  GPtrArray *bindings = g_ptr_array_new_with_free_func ((GDestroyNotify)vfio_binding_free);
  g_autoptr (GPtrArray) names = list_names (ledger, BINDING_PREFIX);
  g_autoptr (GStrvBuilder) problems = g_strv_builder_new ();

  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      g_autoptr (GError) problem = NULL;
      VfioBinding *binding = read_binding (ledger, name, &problem);

      if (binding != NULL)
        g_ptr_array_add (bindings, binding);
      else if (!g_error_matches (problem, VMM_ERROR, VMM_ERROR_NOT_FOUND)) /* gone meanwhile */
        {
          g_autofree char *shown = g_utf8_make_valid (name, -1);
          g_autofree char *text =
              g_strdup_printf ("%s/%s is left alone: %s", ledger->folder, shown, problem->message);

          g_strv_builder_add (problems, text);
        }
    }
  g_ptr_array_sort (bindings, compare_bindings);
  if (ret_problems != NULL)
    *ret_problems = g_strv_builder_end (problems);
  return bindings;
}

GPtrArray *
vfio_ledger_list_grants (VfioLedger *ledger)
{
  GPtrArray *grants = g_ptr_array_new_with_free_func ((GDestroyNotify)vfio_grant_free);
  g_autoptr (GPtrArray) names = list_names (ledger, GRANT_PREFIX);

  for (guint i = 0; i < names->len; i++)
    {
      VfioGrant *grant = read_grant (ledger, g_ptr_array_index (names, i), NULL);

      if (grant != NULL)
        g_ptr_array_add (grants, grant);
    }
  return grants;
}

static char *
binding_file (VfioAddress address)
{
  char text[VFIO_ADDRESS_TEXT_SIZE];

  return g_strconcat (BINDING_PREFIX, vfio_address_format (address, text), NULL);
}

VfioBinding *
vfio_ledger_find (VfioLedger *ledger, VfioAddress address, GError **error)
{
  g_autofree char *name = binding_file (address);
  g_autoptr (GError) problem = NULL;
  VfioBinding *binding;

  if (ledger == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "Nothing was ever taken");
      return NULL;
    }
  binding = read_binding (ledger, name, &problem);
  if (binding == NULL)
    g_propagate_prefixed_error (error, g_steal_pointer (&problem), "%s/%s: ", ledger->folder, name);
  return binding;
}

static gboolean
write_all (int fd, const char *text)
{
  gsize length = strlen (text);

  while (length > 0)
    {
      ssize_t n = write (fd, text, length);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return FALSE;
      text += n;
      length -= (gsize)n;
    }
  return TRUE;
}

/* A new file, then the rename: the name never stands for half a file. */
static gboolean
put_file (VfioLedger *ledger, const char *name, const char *text, GError **error)
{
  gboolean ok;
  int fd, problem;

  g_assert (ledger->lock_fd >= 0);
  fd = openat (ledger->fd, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
               FILE_MODE);
  ok = fd >= 0 && fchmod (fd, FILE_MODE) == 0 && write_all (fd, text) && fsync (fd) == 0;
  problem = errno;
  if (fd >= 0)
    close (fd);
  if (ok)
    {
      ok = renameat (ledger->fd, NEW_NAME, ledger->fd, name) == 0 && fsync (ledger->fd) == 0;
      problem = errno;
    }
  if (!ok)
    unlinkat (ledger->fd, NEW_NAME, 0);
  return ok || vmm_error_set_errno (error, -problem,
                                    "%s/%s cannot be written, and without this "
                                    "record nothing is taken from the host",
                                    ledger->folder, name);
}

static gboolean
remove_file (VfioLedger *ledger, const char *name, GError **error)
{
  g_assert (ledger->lock_fd >= 0);
  if ((unlinkat (ledger->fd, name, 0) < 0 && errno != ENOENT) || fsync (ledger->fd) < 0)
    return vmm_error_set_errno (error, -errno, "%s/%s cannot be removed", ledger->folder, name);
  return TRUE;
}

gboolean
vfio_ledger_put (VfioLedger *ledger, const VfioBinding *binding, GError **error)
{
  g_autofree char *name = binding_file (binding->address), *text = vfio_binding_to_text (binding);

  return put_file (ledger, name, text, error);
}

gboolean
vfio_ledger_remove (VfioLedger *ledger, VfioAddress address, GError **error)
{
  g_autofree char *name = binding_file (address);

  return remove_file (ledger, name, error);
}

gboolean
vfio_ledger_put_grant (VfioLedger *ledger, const VfioGrant *grant, GError **error)
{
  g_autofree char *name = grant_file (grant->name), *text = vfio_grant_to_text (grant);

  return put_file (ledger, name, text, error);
}

gboolean
vfio_ledger_remove_grant (VfioLedger *ledger, const char *name, GError **error)
{
  g_autofree char *file = grant_file (name);

  return remove_file (ledger, file, error);
}
