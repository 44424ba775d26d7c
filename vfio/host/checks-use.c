/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the host and its programs need of a card and its mates: the hard stops, and what can be
 * ended. */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "vfio/host/checks-private.h"

/* "The card", or which of its companions. (transfer full) */
static char *
whose (const VfioJudge *judge, const VfioFunction *function)
{
  if (function->card == judge->verdict->card)
    return vfio_function_describe (function);
  return g_strdup_printf (_ ("%s (%s), which shares the card's isolation group,"), function->name,
                          function->id);
}

static const char *
other_slot (const VfioJudge *judge, const VfioFunction *function, const char *otherwise)
{
  return function->card == judge->verdict->card ? otherwise
                                                : _ ("Move the card to another slot of the board");
}

static void
add_board (VfioJudge *judge, const VfioFunction *function)
{
  g_autofree char *name = whose (judge, function);
  VfioCheck *check;

  if (function->card->kind != HOST_CARD_CHIPSET)
    return;
  check = host_check_add (judge->verdict->checks, "mainboard", _ ("Part of the mainboard"),
                          HOST_SEVERITY_BLOCK, function,
                          g_strdup_printf (_ ("%s is a part of the mainboard"), name),
                          g_strdup (_ ("The host cannot run without it")));
  check->remedy = g_strdup (function->card != judge->verdict->card
                                ? _ ("Move the card to another slot of the board")
                                : _ ("Give the machine another device"));
}

/* ---- Disks ---- */

static void
add_disk (VfioJudge *judge, const VfioFunction *function, const VfioDisk *disk)
{
  g_autofree char *name = whose (judge, function), *mounts = NULL;
  VfioCheck *check;

  if (disk->mounts != NULL)
    mounts = g_strjoinv (", ", disk->mounts);
  if (disk->root)
    {
      check = host_check_add (
          judge->verdict->checks, "system-disk", _ ("The system's disk"), HOST_SEVERITY_BLOCK,
          function, g_strdup_printf (_ ("%s holds the disk %s with %s"), name, disk->name, mounts),
          g_strdup (_ ("The host runs from that disk and would stop at once")));
      check->remedy = g_strdup (other_slot (judge, function, _ ("Give the machine another drive")));
    }
  else if (mounts != NULL || disk->swap)
    {
      check = host_check_add (
          judge->verdict->checks, "disk-in-use", _ ("Disk in use"), HOST_SEVERITY_STEP, function,
          mounts != NULL
              ? g_strdup_printf (_ ("%s holds the disk %s, mounted on %s"), name, disk->name,
                                 mounts)
              : g_strdup_printf (_ ("%s holds the disk %s with swap space"), name, disk->name),
          g_strdup (_ ("What is not written yet would be lost")));
      check->remedy =
          g_strdup_printf (_ ("Unmount what is on %s, and turn its swap space off"), disk->name);
      if (mounts != NULL)
        {
          GString *commands = g_string_new (NULL);

          for (guint i = 0; disk->mounts[i] != NULL; i++)
            {
              g_autofree char *quoted = g_shell_quote (disk->mounts[i]);

              g_string_append_printf (commands, "%ssudo umount %s", i > 0 ? "\n" : "", quoted);
            }
          check->command = g_string_free (commands, FALSE);
        }
    }
  else if (!judge->inventory->platform.root_disk_known)
    {
      check = host_check_add (
          judge->verdict->checks, "system-disk-unknown", _ ("Where the system's disk is"),
          HOST_SEVERITY_BLOCK, function,
          g_strdup_printf (_ ("%s holds the disk %s, and which disk the host runs from could not "
                              "be found out"),
                           name, disk->name),
          g_strdup (_ ("If it is this one, the host would stop at once")));
      check->remedy = g_strdup (
          other_slot (judge, function,
                      _ ("Have the disk reserved when the host starts, which shows whether "
                         "the host starts without it")));
    }
}

/* ---- Networks ---- */

/* Is there another way out: up, and on nothing that goes to the machine? */
static gboolean
other_network (const VfioJudge *judge, gboolean default_route)
{
  for (guint i = 0; i < judge->inventory->functions->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (judge->inventory->functions, i);

      for (guint k = 0; !host_verdict_takes (judge->verdict, function) && k < function->nets->len;
           k++)
        {
          const VfioNet *net = g_ptr_array_index (function->nets, k);

          /* A virtual function goes where its physical one goes. */
          if (function->is_vf &&
              host_verdict_takes (judge->verdict,
                                  vfio_inventory_find (judge->inventory, function->physfn)))
            continue;
          if (default_route ? net->default_route : net->up)
            return TRUE;
        }
    }
  return FALSE;
}

static void
add_net (VfioJudge *judge, const VfioFunction *function, const VfioNet *net)
{
  g_autofree char *name = NULL;
  VfioCheck *check;

  if (!net->up && !net->default_route)
    return;
  name = whose (judge, function);
  if (net->default_route ? !other_network (judge, TRUE) : !other_network (judge, FALSE))
    {
      gboolean another = other_network (judge, FALSE);

      check = host_check_add (
          judge->verdict->checks, "only-network", _ ("The host's network"), HOST_SEVERITY_BLOCK,
          function,
          net->default_route
              ? g_strdup_printf (_ ("%s is the host's way to the network (%s)"), name, net->name)
              : g_strdup_printf (_ ("%s is the host's only connected network (%s)"), name,
                                 net->name),
          g_strdup (_ ("The host, and you if you work on it from afar, would be cut off")));
      check->remedy = g_strdup (
          another ? _ ("Let the host use its other network first, or give the machine an interface "
                       "of Alcove's, which shares this one")
                  : other_slot (judge, function,
                                _ ("Give the machine an interface of Alcove's, which shares this "
                                   "one, or put in a second network card")));
    }
  else
    {
      check = host_check_add (
          judge->verdict->checks, "network-in-use", _ ("Network in use"), HOST_SEVERITY_STEP,
          function, g_strdup_printf (_ ("%s is connected to a network (%s)"), name, net->name),
          g_strdup (_ ("Connections that use it would break")));
      check->remedy = g_strdup_printf (_ ("Disconnect %s first"), net->name);
      check->command = g_strdup_printf ("nmcli device disconnect %s   # or: sudo ip link set %s "
                                        "down",
                                        net->name, net->name);
      check->undo = g_strdup_printf ("nmcli device connect %s", net->name);
    }
}

/* ---- Programs ---- */

gboolean
vfio_function_is_desktop (const VfioInventory *inventory, const VfioFunction *function)
{
  static const char *const servers[] = {
    "gnome-shell", "kwin_wayland", "kwin_x11",    "Xorg",         "X",       "sway",
    "Hyprland",    "mutter",       "weston",      "labwc",        "wayfire", "cage",
    "niri",        "river",        "cosmic-comp", "gamescope-wl", "muffin",  "cinnamon",
    "budgie-wm",   "mir",          "phoc",        NULL,
  };
  gboolean server = FALSE, lit = FALSE;

  if (HOST_CLASS_BASE (function) != 0x03)
    return FALSE;
  for (guint i = 0; i < function->holders->len; i++)
    {
      const VfioHolder *holder = g_ptr_array_index (function->holders, i);

      /* Only what sets up screens opens the card itself; programs that draw use its render node. */
      server = server || g_str_has_prefix (holder->node, "dri/card") ||
               g_strv_contains (servers, holder->name);
    }
  for (guint i = 0; i < function->connectors->len; i++)
    lit = lit || ((VfioConnector *)g_ptr_array_index (function->connectors, i))->enabled;
  return server && (lit || function->boot_vga == 1 || host_count_graphics (inventory) == 1);
}

/* "gnome-shell (process 1893) and 2 others". (transfer full) */
static char *
holders_text (const VfioFunction *function)
{
  g_autoptr (GString) text = g_string_new (NULL);
  guint n = 0;
  gint last = -1;

  for (guint i = 0; i < function->holders->len; i++)
    {
      const VfioHolder *holder = g_ptr_array_index (function->holders, i);

      if (holder->pid == last)
        continue;
      last = holder->pid;
      if (++n <= 3)
        g_string_append_printf (text, _ ("%s%s (process %d)"), n > 1 ? ", " : "", holder->name,
                                holder->pid);
    }
  if (n > 3)
    g_string_append_printf (
        text, g_dngettext (GETTEXT_PACKAGE, " and %u other", " and %u others", n - 3), n - 3);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
add_busy (VfioJudge *judge, const VfioFunction *function)
{
  g_autofree char *name = NULL, *users = NULL;
  gboolean graphics = HOST_CLASS_BASE (function) == 0x03;
  VfioCheck *check;

  if (function->holders->len == 0)
    return;
  name = whose (judge, function);
  users = holders_text (function);
  if (function->driver_vfio)
    {
      check = host_check_add (judge->verdict->checks, "in-use", _ ("In use"), HOST_SEVERITY_STEP,
                              function, g_strdup_printf (_ ("%s is used by %s"), name, users),
                              g_strdup (_ ("A device is in one machine at a time")));
      check->remedy = g_strdup (_ ("Shut that machine down first, or take the device out of it"));
      return;
    }
  if (vfio_function_is_desktop (judge->inventory, function))
    {
      check = host_check_add (
          judge->verdict->checks, "desktop", _ ("The desktop's graphics card"), HOST_SEVERITY_BLOCK,
          function, g_strdup_printf (_ ("%s shows your desktop: %s"), name, users),
          g_strdup (_ ("Taking it away would end your session, or freeze the host")));
      if (host_count_graphics (judge->inventory) > 1)
        check->remedy = g_strdup (_ ("Plug your screens into the other graphics card, choose it as "
                                     "the primary one in the BIOS setup, and log in again"));
      else
        check->remedy = g_strdup (_ ("Put in a second graphics card, or turn on the processor's "
                                     "own graphics in the BIOS setup, and use that for the host"));
      return;
    }
  check = host_check_add (
      judge->verdict->checks, "in-use", _ ("In use"), HOST_SEVERITY_STEP, function,
      g_strdup_printf (_ ("%s is still used by %s"), name, users),
      g_strdup (graphics ? _ ("Taking a graphics card from a running program can freeze the host")
                         : _ ("That program would lose the device in the middle of its work")));
  check->remedy = graphics ? host_reserve_remedy (judge)
                           : g_strdup (_ ("End that program, or let it use another device"));
}

/* Who else: a user does not see what other users' processes hold. */
static void
add_unseen (VfioJudge *judge)
{
  const VfioFunction *main = judge->verdict->card->main;
  VfioCheck *check;

  if (judge->inventory->platform.processes_complete || main->driver == NULL || main->driver_vfio ||
      main->nodes->len == 0 || main->holders->len > 0)
    return;
  check =
      host_check_add (judge->verdict->checks, "users-unseen", _ ("Who uses it"), HOST_SEVERITY_NOTE,
                      main, g_strdup (_ ("Programs of other users could not be looked at")),
                      g_strdup (_ ("One of them may use the card; Alcove's helper looks again "
                                   "before it takes anything")));
  check->remedy = g_strdup_printf (_ ("To see all of them: sudo alcove pci check %s"),
                                   judge->verdict->card->id);
}

static void
add_input (VfioJudge *judge, const VfioFunction *function)
{
  gboolean input = FALSE;

  for (guint i = 0; i < function->nodes->len; i++)
    input = input || g_str_has_prefix (((VfioNode *)g_ptr_array_index (function->nodes, i))->name,
                                       "input/event");
  if (!input || HOST_CLASS_SUB (function) != 0x0c03)
    return;
  {
    g_autofree char *name = whose (judge, function);
    VfioCheck *check = host_check_add (
        judge->verdict->checks, "keyboard", _ ("Keyboard and mouse"), HOST_SEVERITY_NOTE, function,
        g_strdup_printf (_ ("%s has a keyboard or mouse plugged in"), name),
        g_strdup (_ ("They work in the machine only, while it has the device")));

    check->remedy = g_strdup (_ ("Plug those that the host needs into another socket"));
  }
}

/* ---- Driver and permissions ---- */

static void
add_driver (VfioJudge *judge)
{
  const VfioFunction *main = judge->verdict->card->main;

  if (judge->verdict->bound)
    host_check_add (judge->verdict->checks, "driver", _ ("Driver"), HOST_SEVERITY_OK, main,
                    g_strdup_printf (_ ("Reserved for machines (%s)"), main->driver),
                    g_strdup (_ ("No driver of the host touches it")));
  else if (main->driver_vfio)
    host_check_add (
        judge->verdict->checks, "driver", _ ("Driver"), HOST_SEVERITY_OK, main,
        g_strdup_printf (_ ("A part of it is reserved for machines (%s)"), main->driver),
        g_strdup (_ ("The rest follows when the machine starts")));
  else if (main->driver == NULL)
    host_check_add (judge->verdict->checks, "driver", _ ("Driver"), HOST_SEVERITY_OK, main,
                    g_strdup (_ ("No driver of the host uses it")),
                    g_strdup (_ ("It is reserved for the machine when that starts")));
  else
    host_check_add (judge->verdict->checks, "driver", _ ("Driver"), HOST_SEVERITY_OK, main,
                    g_strdup_printf (_ ("The host's driver is %s"), main->driver),
                    g_strdup (_ ("It lets go when the machine starts, and gets the card back when "
                                 "the machine ends")));
}

/* vfio_pci ids= takes every card with an id, also the one that the host wants to keep. */
static void
add_ids (VfioJudge *judge)
{
  const VfioFunction *main = judge->verdict->card->main;
  g_autofree char *id = g_strdup_printf ("%04x:%04x", main->vendor, main->device);
  VfioCheck *check;
  guint n = 0;

  for (guint i = 0; i < judge->inventory->cards->len; i++)
    {
      const VfioFunction *other =
          ((VfioCard *)g_ptr_array_index (judge->inventory->cards, i))->main;

      n += other->vendor == main->vendor && other->device == main->device && !other->is_vf;
    }
  if (n < 2 || main->is_vf)
    return;
  if (judge->inventory->platform.vfio_ids == NULL ||
      strstr (judge->inventory->platform.vfio_ids, id) == NULL)
    {
      host_check_add (judge->verdict->checks, "twins", _ ("Equal cards"), HOST_SEVERITY_OK, main,
                      g_strdup_printf (_ ("The host has %u of this card"), n),
                      g_strdup_printf (_ ("Only the one at %s is given to the machine"),
                                       judge->verdict->card->id));
      return;
    }
  check = host_check_add (
      judge->verdict->checks, "twins", _ ("Equal cards"), HOST_SEVERITY_NOTE, main,
      g_strdup_printf (_ ("The host has %u of this card, and reserves all of them (ids=%s)"), n,
                       judge->inventory->platform.vfio_ids),
      g_strdup (_ ("The host has no use of the others either")));
  check->remedy = host_reserve_remedy (judge);
}

static gboolean
user_in_group (guint32 user, gid_t group)
{
  struct passwd entry, *found = NULL;
  gid_t groups[256];
  char buffer[4096];
  int n = G_N_ELEMENTS (groups);

  if (getpwuid_r (user, &entry, buffer, sizeof buffer, &found) != 0 || found == NULL ||
      getgrouplist (found->pw_name, found->pw_gid, groups, &n) < 0)
    return FALSE;
  for (int i = 0; i < n; i++)
    if (groups[i] == group)
      return TRUE;
  return FALSE;
}

/* May the user read and write the node? For oneself the kernel's answer, which knows access lists;
 * for others the mode's. */
static gboolean
may_open (const VfioJudge *judge, const char *path, gboolean *ret_there, gboolean *ret_mode)
{
  guint32 user = judge->demand->other_user ? judge->demand->user : (guint32)geteuid ();
  struct stat status;
  gboolean may;
  int fd = vfio_tree_open_fd (judge->tree, path, O_PATH);

  *ret_there = fd >= 0 && fstat (fd, &status) == 0;
  if (!*ret_there)
    {
      if (fd >= 0)
        close (fd);
      return FALSE;
    }
  if (user == 0)
    may = TRUE;
  else if (status.st_uid == user)
    may = (status.st_mode & 0600) == 0600;
  else if ((status.st_mode & 0060) == 0060 && user_in_group (user, status.st_gid))
    may = TRUE;
  else
    may = (status.st_mode & 0006) == 0006;
  *ret_mode = may;
  if (!judge->demand->other_user)
    may = faccessat (fd, "", R_OK | W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0;
  close (fd);
  return may;
}

static void
add_permission (VfioJudge *judge)
{
  const VfioVerdict *verdict = judge->verdict;
  const VfioGroup *group = verdict->card->main->group;
  g_autofree char *path = NULL, *rule_path = NULL;
  GString *rule;
  gboolean there, mode = FALSE;
  VfioCheck *check;

  if (!verdict->bound || group == NULL)
    return; /* the node comes with the driver, and the helper opens it up */
  path = g_strdup_printf ("/dev/vfio/%u", group->id);
  if (may_open (judge, path, &there, &mode))
    {
      host_check_add (verdict->checks, "permission", _ ("Permission"), HOST_SEVERITY_OK, NULL,
                      g_strdup_printf (_ ("You may use %s"), path),
                      g_strdup (_ ("The machine can open the card")));
      return;
    }
  if (!there)
    return; /* a kernel without that node has the other way, which the helper opens too */
  if (mode && judge->inventory->platform.selinux_enforcing)
    {
      check = host_check_add (
          verdict->checks, "permission", _ ("Permission"), HOST_SEVERITY_STEP, NULL,
          g_strdup_printf (_ ("The mode of %s allows you to use it, but SELinux does not"), path),
          g_strdup (_ ("The machine cannot open the card")));
      check->remedy = g_strdup (_ ("Look up what SELinux refused, and allow that"));
      check->command = g_strdup ("sudo ausearch -m avc -ts recent");
      return;
    }
  check = host_check_add (verdict->checks, "permission", _ ("Permission"), HOST_SEVERITY_STEP, NULL,
                          g_strdup_printf (_ ("You may not use %s"), path),
                          g_strdup (_ ("The machine runs as you and cannot open the card")));
  check->remedy =
      g_strdup (_ ("Let Alcove's helper allow it when the machine starts, or write this "
                   "rule and restart the host"));
  rule = g_string_new (NULL);
  rule_path = g_strdup_printf ("/etc/udev/rules.d/70-alcove-%04x-%02x-%02x.rules",
                               verdict->card->main->address.domain,
                               verdict->card->main->address.bus, verdict->card->main->address.slot);
  g_string_append_printf (rule, "# %s\n", rule_path);
  g_string_append_printf (
      rule,
      "ACTION==\"bind\", SUBSYSTEM==\"pci\", KERNEL==\"%s\", DRIVER==\"vfio-pci\", "
      "RUN+=\"/bin/sh -c 'chown %u /dev/vfio/$$(basename $$(readlink /sys$devpath/iommu_group))'\"",
      verdict->card->main->id,
      judge->demand->other_user ? judge->demand->user : (guint32)geteuid ());
  check->command = g_string_free (rule, FALSE);
  check->undo = g_strdup_printf ("sudo rm %s", rule_path);
}

void
host_checks_add_use (VfioJudge *judge)
{
  for (guint i = 0; i < judge->verdict->takes->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (judge->verdict->takes, i);

      add_board (judge, function);
      for (guint k = 0; k < function->disks->len; k++)
        add_disk (judge, function, g_ptr_array_index (function->disks, k));
      for (guint k = 0; k < function->nets->len; k++)
        add_net (judge, function, g_ptr_array_index (function->nets, k));
      add_busy (judge, function);
      add_input (judge, function);
    }
  add_unseen (judge);
  add_driver (judge);
  add_ids (judge);
  add_permission (judge);
}
