/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/host/boot-files.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include "vfio/host/inventory-private.h"

static void
file_free (gpointer data)
{
  VfioBootFile *file = data;

  g_free (file->path);
  g_free (file->text);
  g_free (file);
}

static void
add_file (VfioBootFiles *files, const char *path, guint mode, char *text)
{
  VfioBootFile *file = g_new0 (VfioBootFile, 1);

  file->path = g_strdup (path);
  file->text = text;
  file->mode = mode;
  g_ptr_array_add (files->files, file);
}

static gboolean
is_taken (GPtrArray *functions, const VfioFunction *function)
{
  return g_ptr_array_find (functions, function, NULL);
}

/* Does the host keep a device with the same ids as one of these? */
static gboolean
needs_addresses (const VfioInventory *inventory, GPtrArray *functions)
{
  for (guint i = 0; i < functions->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (functions, i);

      for (guint k = 0; k < inventory->functions->len; k++)
        {
          const VfioFunction *other = g_ptr_array_index (inventory->functions, k);

          if (other->vendor == function->vendor && other->device == function->device &&
              !is_taken (functions, other))
            return TRUE;
        }
    }
  return FALSE;
}

static void
add_word (GPtrArray *words, const char *word)
{
  if (!g_ptr_array_find_with_equal_func (words, word, g_str_equal, NULL))
    g_ptr_array_add (words, g_strdup (word));
}

/* The modules that could take a device before vfio-pci does. */
static void
add_rivals (GPtrArray *modules, const VfioFunction *function)
{
  static const struct
  {
    guint16 vendor;
    const char *modules[4];
  } graphics[] = { { 0x10de, { "nouveau", "nvidia", "nvidia_drm" } },
                   { 0x1002, { "amdgpu", "radeon" } },
                   { 0x8086, { "i915", "xe" } } };

  if (function->driver != NULL && !function->driver_vfio)
    add_word (modules, strcmp (function->driver, "xhci_hcd") == 0 ? "xhci_pci" : function->driver);
  if (HOST_CLASS_BASE (function) == 0x03)
    {
      for (guint i = 0; i < G_N_ELEMENTS (graphics); i++)
        for (guint k = 0; graphics[i].vendor == function->vendor && k < 4; k++)
          if (graphics[i].modules[k] != NULL)
            add_word (modules, graphics[i].modules[k]);
    }
  else if (HOST_CLASS_SUB (function) == 0x0403)
    add_word (modules, "snd_hda_intel");
  else if (HOST_CLASS_SUB (function) == 0x0c03)
    add_word (modules, "xhci_pci");
  else if (HOST_CLASS_SUB (function) == 0x0108)
    add_word (modules, "nvme");
}

/* A module's name as the kernel and modprobe take it: nothing that a shell or the file could
 * misunderstand. */
static gboolean
is_module_name (const char *name)
{
  for (const char *p = name; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && *p != '_' && *p != '-')
      return FALSE;
  return *name != '\0' && strlen (name) < 64;
}

static char *
modprobe_text (const VfioBootFiles *files, GPtrArray *functions, const char *ids)
{
  g_autoptr (GPtrArray) rivals = g_ptr_array_new_with_free_func (g_free);
  GString *text = g_string_new ("# Written for Alcove: reserves devices for machines.\n");

  for (guint i = 0; i < functions->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (functions, i);

      g_string_append_printf (text, "#   %s\n", function->id);
      add_rivals (rivals, function);
    }
  if (files->by_address)
    {
      g_string_append (text, "install vfio-pci for d in");
      for (guint i = 0; i < functions->len; i++)
        g_string_append_printf (text, " %s",
                                ((VfioFunction *)g_ptr_array_index (functions, i))->id);
      g_string_append (text, "; do echo vfio-pci > /sys/bus/pci/devices/$d/driver_override; done; "
                             "modprobe --ignore-install vfio-pci\n");
    }
  else
    g_string_append_printf (text, "options vfio-pci ids=%s\n", ids);
  for (guint i = 0; i < rivals->len; i++)
    if (is_module_name (g_ptr_array_index (rivals, i)))
      g_string_append_printf (text, "softdep %s pre: vfio-pci\n",
                              (char *)g_ptr_array_index (rivals, i));
  return g_string_free (text, FALSE);
}

static char *
ids_of (GPtrArray *functions)
{
  g_autoptr (GPtrArray) ids = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < functions->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (functions, i);
      g_autofree char *id = g_strdup_printf ("%04x:%04x", function->vendor, function->device);

      add_word (ids, id);
    }
  g_ptr_array_add (ids, NULL);
  return g_strjoinv (",", (char **)ids->pdata);
}

static void
fill_tool (VfioBootFiles *files, const char *modprobe_path, const char *tag, const char *ids)
{
  g_autofree char *path = NULL;
  const char *restart = "sudo systemctl reboot\n";

  switch (files->tool)
    {
    case HOST_INITRAMFS_TOOLS:
      path = g_strdup_printf ("/etc/initramfs-tools/hooks/alcove-%s", tag);
      add_file (files, path, 0755,
                g_strdup ("#!/bin/sh\n"
                          "# Written for Alcove: vfio-pci is loaded before other drivers.\n"
                          "[ \"$1\" = prereqs ] && exit 0\n"
                          ". /usr/share/initramfs-tools/hook-functions\n"
                          "force_load vfio-pci\n"));
      files->apply = g_strconcat ("sudo update-initramfs -u -k all\n", restart, NULL);
      files->undo = g_strdup_printf ("sudo rm %s %s\nsudo update-initramfs -u -k all\n%s",
                                     modprobe_path, path, restart);
      break;
    case HOST_INITRAMFS_DRACUT:
      path = g_strdup_printf ("/etc/dracut.conf.d/alcove-%s.conf", tag);
      add_file (files, path, 0644,
                g_strdup_printf ("# Written for Alcove: vfio-pci is loaded before other drivers.\n"
                                 "force_drivers+=\" vfio-pci \"\n"
                                 "install_items+=\" %s \"\n",
                                 modprobe_path));
      files->apply = g_strconcat ("sudo dracut --force --regenerate-all\n", restart, NULL);
      files->undo = g_strdup_printf ("sudo rm %s %s\nsudo dracut --force --regenerate-all\n%s",
                                     modprobe_path, path, restart);
      break;
    case HOST_INITRAMFS_MKINITCPIO:
      path = g_strdup_printf ("/etc/mkinitcpio.conf.d/alcove-%s.conf", tag);
      add_file (files, path, 0644,
                g_strdup_printf ("# Written for Alcove: vfio-pci is loaded before other drivers.\n"
                                 "MODULES=(vfio_pci vfio_iommu_type1 \"${MODULES[@]}\")\n"
                                 "FILES+=(%s)\n",
                                 modprobe_path));
      files->apply = g_strconcat ("sudo mkinitcpio -P\n", restart, NULL);
      files->undo =
          g_strdup_printf ("sudo rm %s %s\nsudo mkinitcpio -P\n%s", modprobe_path, path, restart);
      break;
    case HOST_INITRAMFS_OSTREE:
      if (files->by_address)
        {
          files->apply = g_strdup_printf (
              "sudo rpm-ostree initramfs --enable --arg=--force-drivers --arg=vfio-pci\n"
              "sudo rpm-ostree initramfs-etc --track=%s\n%s",
              modprobe_path, restart);
          files->undo = g_strdup_printf ("sudo rpm-ostree initramfs-etc --untrack=%s\n"
                                         "sudo rm %s\n"
                                         "sudo rpm-ostree initramfs --disable\n%s",
                                         modprobe_path, modprobe_path, restart);
        }
      else
        {
          files->apply = g_strdup_printf (
              "sudo rpm-ostree initramfs --enable --arg=--force-drivers --arg=vfio-pci\n"
              "sudo rpm-ostree kargs --append-if-missing=rd.driver.pre=vfio-pci "
              "--append-if-missing=vfio-pci.ids=%s\n%s",
              ids, restart);
          files->undo =
              g_strdup_printf ("sudo rm %s\n"
                               "sudo rpm-ostree kargs --delete-if-present=rd.driver.pre=vfio-pci "
                               "--delete-if-present=vfio-pci.ids=%s\n"
                               "sudo rpm-ostree initramfs --disable\n%s",
                               modprobe_path, ids, restart);
        }
      files->note = g_strdup (_ ("If you use \"rpm-ostree initramfs\" for something else too, keep "
                                 "its arguments"));
      break;
    case HOST_INITRAMFS_UNKNOWN:
    default:
      files->apply = g_strdup (restart);
      files->undo = g_strdup_printf ("sudo rm %s\n%s", modprobe_path, restart);
      files->note = g_strdup (_ ("Before the restart make your distribution's first RAM disk anew, "
                                 "with this file and the module vfio-pci in it"));
      break;
    }
}

VfioBootFiles *
vfio_boot_files_new (const VfioInventory *inventory, GPtrArray *functions)
{
  VfioBootFiles *files = g_new0 (VfioBootFiles, 1);
  g_autoptr (GPtrArray) devices = g_ptr_array_new ();
  g_autofree char *tag = NULL, *path = NULL, *ids = NULL;

  files->files = g_ptr_array_new_with_free_func (file_free);
  files->tool = inventory->platform.initramfs;
  for (guint i = 0; i < functions->len; i++)
    if (!((VfioFunction *)g_ptr_array_index (functions, i))->bridge)
      g_ptr_array_add (devices, g_ptr_array_index (functions, i));
  if (devices->len == 0)
    {
      files->apply = g_strdup ("");
      files->undo = g_strdup ("");
      return files;
    }
  {
    const VfioAddress a = ((VfioFunction *)g_ptr_array_index (devices, 0))->address;

    tag = g_strdup_printf ("%04x-%02x-%02x-%x", a.domain, a.bus, a.slot, a.function);
  }
  path = g_strdup_printf ("/etc/modprobe.d/alcove-%s.conf", tag);
  ids = ids_of (devices);
  files->by_address = needs_addresses (inventory, devices);
  add_file (files, path, 0644, modprobe_text (files, devices, ids));
  fill_tool (files, path, tag, ids);
  return files;
}

void
vfio_boot_files_free (VfioBootFiles *files)
{
  if (files == NULL)
    return;
  g_ptr_array_unref (files->files);
  g_free (files->apply);
  g_free (files->undo);
  g_free (files->note);
  g_free (files);
}

char *
vfio_boot_files_to_text (const VfioBootFiles *files)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < files->files->len; i++)
    {
      const VfioBootFile *file = g_ptr_array_index (files->files, i);

      g_string_append_printf (text, "sudo tee %s >/dev/null <<'END'\n%sEND\n", file->path,
                              file->text);
      if (file->mode == 0755)
        g_string_append_printf (text, "sudo chmod 755 %s\n", file->path);
    }
  g_string_append (text, files->apply);
  g_string_append (text, "\n# ");
  g_string_append (text, _ ("To undo it:"));
  g_string_append_c (text, '\n');
  {
    g_auto (GStrv) lines = g_strsplit (files->undo, "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++)
      if (*lines[i] != '\0')
        g_string_append_printf (text, "#   %s\n", lines[i]);
  }
  if (files->note != NULL)
    g_string_append_printf (text, "\n# %s\n", files->note);
  return g_string_free (text, FALSE);
}

/* How a change of /etc/default/grub takes effect. */
static const char *
grub_update (const VfioPlatform *platform)
{
  if (platform->initramfs == HOST_INITRAMFS_TOOLS)
    return "sudo update-grub";
  return platform->initramfs == HOST_INITRAMFS_DRACUT
             ? "sudo grub2-mkconfig -o /boot/grub2/grub.cfg"
             : "sudo grub-mkconfig -o /boot/grub/grub.cfg";
}

/* Fedora and its relatives; openSUSE has dracut too, but not this. */
static gboolean
has_grubby (const VfioPlatform *platform)
{
  return platform->initramfs == HOST_INITRAMFS_DRACUT &&
         (platform->os_id == NULL || strstr (platform->os_id, "suse") == NULL);
}

char *
vfio_boot_add_argument (const VfioPlatform *platform, const char *argument)
{
  if (platform->initramfs == HOST_INITRAMFS_OSTREE)
    return g_strdup_printf ("sudo rpm-ostree kargs --append-if-missing=%s", argument);
  if (has_grubby (platform))
    return g_strdup_printf ("sudo grubby --update-kernel=ALL --args=%s", argument);
  return g_strdup_printf ("sudo sed -i 's/^GRUB_CMDLINE_LINUX_DEFAULT=\"/&%s /' /etc/default/grub\n"
                          "%s\n"
                          "# without GRUB: in the options of /boot/loader/entries/*.conf",
                          argument, grub_update (platform));
}

char *
vfio_boot_remove_argument (const VfioPlatform *platform, const char *argument)
{
  if (platform->initramfs == HOST_INITRAMFS_OSTREE)
    return g_strdup_printf ("sudo rpm-ostree kargs --delete-if-present=%s", argument);
  if (has_grubby (platform))
    return g_strdup_printf ("sudo grubby --update-kernel=ALL --remove-args=%s", argument);
  return g_strdup_printf ("sudo sed -i '/^GRUB_CMDLINE_LINUX/s/\\b%s\\b//' /etc/default/grub\n"
                          "%s\n"
                          "# without GRUB: in the options of /boot/loader/entries/*.conf",
                          argument, grub_update (platform));
}
