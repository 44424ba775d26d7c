/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/boot/image-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define CHUNK   (2 * 1024 * 1024)
#define MAX_IOV 8

/* Order matters: a multiboot kernel is an ELF file too. */
static const VmmBootLoader *const loaders[] = {
  &vmm_boot_multiboot,
  &vmm_boot_pvh,
  &vmm_boot_linux,
};

gboolean
vmm_boot_invalid (VmmBootImage *image, GError **error, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "kernel “%s” %s", image->kernel.path, what);
  return FALSE;
}

gboolean
vmm_boot_no_room (VmmBootLoad *load, GError **error, const char *what, guint64 needed)
{
  g_autofree char *have = g_format_size_full (load->low_end, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *need = g_format_size_full (needed, G_FORMAT_SIZE_IEC_UNITS);

  g_set_error (error, VMM_ERROR, VMM_ERROR_NO_MEMORY,
               "%s of “%s” does not fit into the machine's memory: it takes %s, and %s are there "
               "below 4 GiB; give the machine more memory",
               what, load->image->kernel.path, need, have);
  return FALSE;
}

static void
file_clear (VmmBootFile *file)
{
  if (file->fd >= 0)
    close (file->fd);
  file->fd = -1;
  g_clear_pointer (&file->path, g_free);
}

static gboolean
file_open (VmmBootFile *file, const char *what, const char *path, GError **error)
{
  struct stat st;

  file->path = g_strdup (path);
  /* O_NONBLOCK: a FIFO must not hang us; regular files do not mind. */
  file->fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file->fd < 0)
    return vmm_error_set_errno (error, -errno, "cannot open the %s “%s”", what, path);
  if (fstat (file->fd, &st) < 0)
    return vmm_error_set_errno (error, -errno, "cannot examine the %s “%s”", what, path);
  if (!S_ISREG (st.st_mode) || st.st_size == 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "the %s “%s” is %s", what, path,
                   S_ISREG (st.st_mode) ? "empty" : "not a regular file");
      return FALSE;
    }
  file->size = (guint64)st.st_size;
  return TRUE;
}

static gboolean
file_short (const VmmBootFile *file, GError **error)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
               "“%s” became shorter while the machine was running; stop the machine and start it "
               "again",
               file->path);
  return FALSE;
}

gboolean
vmm_boot_file_read (
    const VmmBootFile *file, guint64 offset, void *buffer, gsize length, GError **error)
{
  for (gsize done = 0; done < length;)
    {
      ssize_t n = pread (file->fd, (guint8 *)buffer + done, length - done, (off_t)(offset + done));

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return vmm_error_set_errno (error, -errno, "cannot read “%s”", file->path);
      if (n == 0)
        return file_short (file, error);
      done += (gsize)n;
    }
  return TRUE;
}

/* Moves past n bytes. Returns the number of vectors left. */
static guint
advance (struct iovec **iov, guint n_iov, gsize n)
{
  while (n_iov > 0 && n >= (*iov)->iov_len)
    {
      n -= (*iov)->iov_len;
      (*iov)++;
      n_iov--;
    }
  if (n_iov > 0)
    {
      (*iov)->iov_base = (guint8 *)(*iov)->iov_base + n;
      (*iov)->iov_len -= n;
    }
  return n_iov;
}

static gboolean
not_ram (VmmBootLoad *load, guint64 gpa, guint64 length, GError **error)
{
  return vmm_boot_invalid (load->image, error,
                           "needs memory at 0x%" G_GINT64_MODIFIER "x (%" G_GUINT64_FORMAT
                           " bytes), where the machine has none; give the machine more memory",
                           gpa, length);
}

gboolean
vmm_boot_file_to_guest (VmmBootLoad *load,
                        const VmmBootFile *file,
                        guint64 offset,
                        guint64 gpa,
                        guint64 length,
                        GError **error)
{
  while (length > 0)
    {
      guint64 chunk = MIN (length, CHUNK);
      struct iovec pinned[MAX_IOV], left[MAX_IOV], *iov = left;
      gboolean ok = TRUE;
      guint64 done = 0;
      guint n_left;
      int n;

      n = vmm_guest_memory_pin (load->memory, vmm_gpa (gpa), chunk, TRUE, pinned, MAX_IOV);
      if (n < 0)
        return not_ram (load, gpa, chunk, error);
      memcpy (left, pinned, sizeof left);
      n_left = (guint)n;
      while (ok && n_left > 0)
        {
          ssize_t got = preadv (file->fd, iov, (int)n_left, (off_t)(offset + done));

          if (got < 0 && errno == EINTR)
            continue;
          if (got < 0)
            ok = vmm_error_set_errno (error, -errno, "cannot read “%s”", file->path);
          else if (got == 0)
            ok = file_short (file, error);
          else
            {
              done += (guint64)got;
              n_left = advance (&iov, n_left, (gsize)got);
            }
        }
      vmm_guest_memory_unpin (load->memory, pinned, (guint)n, TRUE);
      if (!ok)
        return FALSE;
      offset += chunk;
      gpa += chunk;
      length -= chunk;
    }
  return TRUE;
}

gboolean
vmm_boot_write (VmmBootLoad *load, guint64 gpa, const void *data, gsize length, GError **error)
{
  if (!vmm_guest_memory_write (load->memory, vmm_gpa (gpa), data, length))
    return not_ram (load, gpa, length, error);
  return TRUE;
}

gboolean
vmm_boot_load_segments (VmmBootLoad *load, guint64 *ret_end, GError **error)
{
  VmmBootImage *image = load->image;

  *ret_end = 0;
  for (guint i = 0; i < image->n_segments; i++)
    {
      const VmmBootSegment *segment = &image->segments[i];
      guint64 end = segment->gpa + segment->mem_size; /* the probe checked that it cannot wrap */

      if (segment->gpa < VMM_BOOT_DATA_END && end > VMM_BOOT_DATA_BASE)
        return vmm_boot_invalid (image, error,
                                 "wants to be at 0x%x to 0x%x, which is kept for start-up data",
                                 VMM_BOOT_DATA_BASE, VMM_BOOT_DATA_END - 1);
      if (end > load->low_end)
        return vmm_boot_no_room (load, error, "the kernel", end);
      if (!vmm_boot_file_to_guest (load, &image->kernel, segment->file_offset, segment->gpa,
                                   segment->file_size, error))
        return FALSE;
      if (segment->mem_size > segment->file_size &&
          !vmm_guest_memory_fill (load->memory, vmm_gpa (segment->gpa + segment->file_size), 0,
                                  segment->mem_size - segment->file_size))
        return not_ram (load, segment->gpa, segment->mem_size, error);
      *ret_end = MAX (*ret_end, end);
    }
  return TRUE;
}

gboolean
vmm_boot_load_initrd (VmmBootLoad *load, guint64 min, guint64 max, guint64 *ret_gpa, GError **error)
{
  VmmBootImage *image = load->image;
  const VmmBootFile *file = &image->modules[0].file;
  guint64 end;

  *ret_gpa = 0;
  if (image->n_modules == 0)
    return TRUE;
  end = MIN (load->low_end, max < G_MAXUINT64 ? max + 1 : max) & ~G_GUINT64_CONSTANT (0xfff);
  min = (min + 0xfff) & ~G_GUINT64_CONSTANT (0xfff);
  if (end <= min || end - min < file->size)
    return vmm_boot_no_room (load, error, "the initial RAM disk", min + file->size);
  *ret_gpa = (end - file->size) & ~G_GUINT64_CONSTANT (0xfff);
  return vmm_boot_file_to_guest (load, file, 0, *ret_gpa, file->size, error);
}

/* Modules: "path[ words],path[ words]…", ",," is a comma. */
static gboolean
open_modules (VmmBootImage *image, const char *list, GError **error)
{
  g_autoptr (GString) word = g_string_new (NULL);

  for (const char *p = list;; p++)
    {
      VmmBootModule *module;
      g_autofree char *path = NULL;

      if (*p == ',' && p[1] == ',')
        p++;
      else if (*p == ',' || *p == '\0')
        {
          if (image->n_modules == VMM_BOOT_MAX_MODULES)
            return vmm_boot_invalid (image, error, "can be given %d modules at most",
                                     VMM_BOOT_MAX_MODULES);
          module = &image->modules[image->n_modules++];
          module->file.fd = -1;
          module->string = g_strdup (word->str);
          path = g_strndup (word->str, strcspn (word->str, " "));
          if (!file_open (&module->file, "module", path, error))
            return FALSE;
          g_string_truncate (word, 0);
          if (*p == '\0')
            return TRUE;
          continue;
        }
      g_string_append_c (word, *p);
    }
}

static gboolean
open_initrd (VmmBootImage *image, const char *initrd, GError **error)
{
  if (image->protocol == VMM_BOOT_MULTIBOOT)
    return open_modules (image, initrd, error);
  image->n_modules = 1;
  image->modules[0].file.fd = -1;
  return file_open (&image->modules[0].file, "initial RAM disk", initrd, error);
}

static gboolean
probe (VmmBootImage *image, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (loaders); i++)
    {
      VmmBootProbe result = loaders[i]->probe (image, error);

      if (result == VMM_BOOT_PROBE_ERROR)
        return FALSE;
      if (result == VMM_BOOT_PROBE_NO)
        continue;
      image->loader = loaders[i];
      image->protocol = loaders[i]->protocol;
      return TRUE;
    }
  return vmm_boot_invalid (
      image, error,
      "cannot be started directly: it is no Linux bzImage, no ELF file with a PVH entry, and no "
      "multiboot image; to start a disk image, give it to the machine as a disk");
}

VmmBootImage *
vmm_boot_image_new (const VmmBootFiles *files, GError **error)
{
  g_autoptr (VmmBootImage) image = g_new0 (VmmBootImage, 1);
  gboolean ok;

  image->kernel.fd = -1;
  image->cmdline = g_strdup (files->cmdline != NULL ? files->cmdline : "");
  if (!file_open (&image->kernel, "kernel", files->kernel, error))
    return NULL;
  if (strlen (image->cmdline) >= VMM_BOOT_MAX_CMDLINE)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "the kernel's command line has more than %d characters; shorten it",
                   VMM_BOOT_MAX_CMDLINE - 1);
      return NULL;
    }
  image->head_size = MIN (image->kernel.size, VMM_BOOT_HEAD_SIZE);
  image->head = g_malloc (image->head_size);
  ok = vmm_boot_file_read (&image->kernel, 0, image->head, image->head_size, error) &&
       probe (image, error);
  g_clear_pointer (&image->head, g_free);
  if (!ok || (files->initrd != NULL && !open_initrd (image, files->initrd, error)))
    return NULL;
  return g_steal_pointer (&image);
}

void
vmm_boot_image_free (VmmBootImage *image)
{
  if (image == NULL)
    return;
  file_clear (&image->kernel);
  for (guint i = 0; i < image->n_modules; i++)
    {
      file_clear (&image->modules[i].file);
      g_free (image->modules[i].string);
    }
  g_free (image->cmdline);
  g_free (image->head);
  g_free (image);
}

VmmBootProtocol
vmm_boot_image_get_protocol (VmmBootImage *image)
{
  return image->protocol;
}

void
vmm_boot_image_set_platform (VmmBootImage *image, const VmmBootPlatform *platform)
{
  image->platform = *platform;
}

/* The descriptor table: null, unused, code at 0x10, data at 0x18. */
static gboolean
write_gdt (VmmBootLoad *load, GError **error)
{
  gboolean long_mode = load->image->protocol == VMM_BOOT_LINUX;
  guint8 gdt[32] = { 0 };

  vmm_boot_put_le (gdt + 0x10, long_mode ? 0x00af9a000000ffff : 0x00cf9a000000ffff, 8);
  vmm_boot_put_le (gdt + 0x18, 0x00cf92000000ffff, 8);
  load->entry->gdt = VMM_BOOT_GDT;
  return vmm_boot_write (load, VMM_BOOT_GDT, gdt, sizeof gdt, error);
}

gboolean
vmm_boot_image_load (VmmMachine *machine, VmmEntry *ret_entry, gpointer user_data, GError **error)
{
  VmmBootImage *image = user_data;
  VmmBootLoad load = { .image = image, .memory = vmm_machine_get_memory (machine) };
  guint64 area, area_length;

  memset (ret_entry, 0, sizeof *ret_entry);
  load.entry = ret_entry;
  load.low_end = image->platform.layout.low_ram;
  if (load.low_end < 2 * 1024 * 1024)
    return vmm_boot_no_room (&load, error, "the kernel", 2 * 1024 * 1024);
  if (!vmm_e820_build_direct (&load.map, &image->platform.layout))
    return vmm_boot_invalid (image, error, "cannot be told the machine's memory map");
  if (vmm_e820_get_acpi_area (load.low_end, &area, &area_length))
    load.low_end = area;
  if (image->platform.place_tables != NULL &&
      !image->platform.place_tables (machine, &load.rsdp, image->platform.user_data, error))
    return FALSE;
  ret_entry->stack = VMM_BOOT_STACK;
  return write_gdt (&load, error) && image->loader->load (&load, error);
}
