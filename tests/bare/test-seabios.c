/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The distribution's SeaBIOS on this machine's own KVM: it finds the board, its processors, tables
 * and keyboard, and gets as far as looking for something to boot. Also after a reset, and in two
 * machines of one process. It boots from a SATA disk and from a SATA CD-ROM, as the order says. */
#include "devices/backends/char/char.h"
#include "devices/board/q35.h"
#include "devices/storage/ahci.h"
#include "vmm/vm.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define BIOS     "/usr/share/seabios/bios-256k.bin"
#define DEADLINE (150 * G_TIME_SPAN_SECOND)

/* Collects the debug console; whoever waits for a text is woken. */
typedef struct
{
  CharBackend parent;
  GMutex lock;
  GCond cond;
  GString *text;
} Log;

static gsize
log_write (CharBackend *backend, const guint8 *data, gsize length)
{
  Log *log = (Log *)backend;

  g_mutex_lock (&log->lock);
  if (log->text->len < (1 << 20))
    g_string_append_len (log->text, (const char *)data, (gssize)length);
  g_cond_broadcast (&log->cond);
  g_mutex_unlock (&log->lock);
  return length;
}

static const CharBackendOps log_ops = { .name = "log", .write = log_write };

/* The n-th occurrence (from 1) has to come before the deadline. */
static void
wait_for (Log *log, const char *text, guint n)
{
  gint64 end = g_get_monotonic_time () + DEADLINE;
  guint found = 0;

  g_mutex_lock (&log->lock);
  for (;;)
    {
      const char *at = log->text->str;

      for (found = 0; (at = strstr (at, text)) != NULL; at++)
        found++;
      if (found >= n || !g_cond_wait_until (&log->cond, &log->lock, end))
        break;
    }
  if (found < n)
    g_test_message ("the debug console says:\n%s", log->text->str);
  g_mutex_unlock (&log->lock);
  g_assert_cmpuint (found, >=, n);
}

typedef struct
{
  VmmKvm *kvm;
  VmmVm *vm;
  Q35Board *board;
  Log log;
} Machine;

static gboolean
can_run (void)
{
  g_autoptr (GError) error = NULL;
  VmmKvm *kvm;

  if (access (BIOS, R_OK) != 0)
    {
      g_test_skip ("SeaBIOS is not installed");
      return FALSE;
    }
  kvm = vmm_kvm_open (NULL, &error);
  if (kvm == NULL)
    {
      g_test_skip (error->message);
      return FALSE;
    }
  vmm_kvm_close (kvm);
  return TRUE;
}

/* plug: (nullable) before the machine starts. */
static void
start_with (Machine *m, guint n_vcpus, void (*plug) (Machine *m, gpointer data), gpointer data)
{
  g_autoptr (GError) error = NULL;
  VmmVmConfig vm_config = { .n_vcpus = n_vcpus };
  Q35Config config = {
    .ram_size = 128 << 20,
    .n_vcpus = n_vcpus,
    .firmware = Q35_FIRMWARE_BIOS,
    .firmware_code = BIOS,
    .hpet = TRUE,
    .i8042 = TRUE,
    .debug_console = TRUE,
    .debug_console_char = &m->log,
    .sata = plug != NULL,
    .n_root_ports = 2,
  };

  memset (m, 0, sizeof *m);
  m->log.parent.ops = &log_ops;
  m->log.text = g_string_new (NULL);
  g_mutex_init (&m->log.lock);
  g_cond_init (&m->log.cond);
  m->kvm = vmm_kvm_open (NULL, &error);
  g_assert_no_error (error);
  m->vm = vmm_vm_new (m->kvm, &vm_config, &error);
  g_assert_no_error (error);
  config.phys_bits = vmm_vm_get_phys_bits (m->vm);
  m->board = q35_board_new (vmm_vm_get_machine (m->vm), &config, &error);
  g_assert_no_error (error);
  if (plug != NULL)
    plug (m, data);
  vmm_vm_create_vcpus (m->vm, &error);
  g_assert_no_error (error);
  vmm_vm_start (m->vm, FALSE, &error);
  g_assert_no_error (error);
}

static void
start (Machine *m, guint n_vcpus)
{
  start_with (m, n_vcpus, NULL, NULL);
}

static void
stop (Machine *m)
{
  vmm_vm_stop (m->vm);
  q35_board_free (m->board);
  vmm_vm_free (m->vm);
  vmm_kvm_close (m->kvm);
  g_mutex_clear (&m->log.lock);
  g_cond_clear (&m->log.cond);
  g_string_free (m->log.text, TRUE);
}

static void
test_boot (void)
{
  Machine m;

  if (!can_run ())
    return;
  start (&m, 2);
  wait_for (&m.log, "Running on QEMU (q35)", 1);
  wait_for (&m.log, "QEMU fw_cfg DMA interface supported", 1);
  wait_for (&m.log, "PCIe: using q35 mmconfig at 0xb0000000", 1);
  wait_for (&m.log, "Found 2 cpu(s) max supported 2 cpu(s)", 1);
  wait_for (&m.log, "Copying SMBIOS 3.0", 1);
  wait_for (&m.log, "PS2 keyboard initialized", 1);
  wait_for (&m.log, "enter handle_19", 1);
  stop (&m);
}

static void
test_reset (void)
{
  g_autoptr (GError) error = NULL;
  Machine m;

  if (!can_run ())
    return;
  start (&m, 1);
  for (guint i = 1; i <= 3; i++)
    {
      wait_for (&m.log, "enter handle_19", i);
      vmm_vm_reset (m.vm, &error);
      g_assert_no_error (error);
    }
  wait_for (&m.log, "enter handle_19", 4);
  stop (&m);
}

static void
test_two_machines (void)
{
  Machine a, b;

  if (!can_run ())
    return;
  start (&a, 1);
  start (&b, 1);
  wait_for (&a.log, "enter handle_19", 1);
  wait_for (&b.log, "enter handle_19", 1);
  stop (&a);
  g_assert_cmpint (vmm_vm_get_state (b.vm), ==, VMM_STATE_RUNNING);
  stop (&b);
}

/* ---- booting from SATA ---- */

#define SECTOR    512
#define CD_SECTOR 2048

/* A boot sector that prints a line to the debug console, and halts. */
static void
put_boot_code (guint8 *sector, const char *line)
{
  static const guint8 code[] = {
    0x31, 0xc0,       /* xor ax, ax */
    0x8e, 0xd8,       /* mov ds, ax */
    0xba, 0x02, 0x04, /* mov dx, 0x402 */
    0xbe, 0x16, 0x7c, /* mov si, 0x7c00 + sizeof code */
    0xfc,             /* cld */
    0xac,             /* 1: lodsb */
    0x84, 0xc0,       /* test al, al */
    0x74, 0x03,       /* jz 2f */
    0xee,             /* out dx, al */
    0xeb, 0xf8,       /* jmp 1b */
    0xf4,             /* 2: hlt */
    0xeb, 0xfd,       /* jmp 2b */
  };

  G_STATIC_ASSERT (sizeof code == 0x16);
  memcpy (sector, code, sizeof code);
  strcpy ((char *)sector + sizeof code, line);
  sector[510] = 0x55;
  sector[511] = 0xaa;
}

/* El Torito 1.0: a boot record, a catalogue with one entry without emulation, and what it loads. */
static void
put_cd (guint8 *cd, const char *line)
{
  guint8 *volume = cd + 16 * CD_SECTOR, *record = volume + CD_SECTOR, *catalogue;
  guint16 sum = 0;

  memcpy (volume, "\1CD001\1", 7);
  memcpy (record, "\0CD001\1EL TORITO SPECIFICATION", 30);
  record[0x47] = 18;
  catalogue = record + CD_SECTOR;
  catalogue[0] = 1;
  catalogue[30] = 0x55;
  catalogue[31] = 0xaa;
  for (guint i = 0; i < 32; i += 2)
    sum += (guint16)(catalogue[i] | catalogue[i + 1] << 8);
  catalogue[28] = (guint8)-sum;
  catalogue[29] = (guint8)((guint16)-sum >> 8);
  catalogue[32] = 0x88; /* bootable */
  catalogue[38] = 4;    /* sectors of 512 bytes */
  catalogue[40] = 19;
  put_boot_code (catalogue + CD_SECTOR, line);
}

typedef struct
{
  char *disk_path, *cd_path;
  BlockBackend *disk, *cd;
  gboolean cd_first;
} Media;

static BlockBackend *
make_image (char **path, const guint8 *data, gsize length, gboolean readonly)
{
  BlockOpenFlags flags = { .readonly = readonly };
  g_autoptr (GError) error = NULL;
  BlockBackend *backend;
  int fd = g_file_open_tmp ("alcove-boot-XXXXXX", path, &error);

  g_assert_no_error (error);
  g_assert_cmpint (write (fd, data, length), ==, length);
  /* A cylinder at least: SeaBIOS counts in them. */
  g_assert_cmpint (ftruncate (fd, 16 << 20), ==, 0);
  close (fd);
  backend = block_raw_open (*path, &flags, &error);
  g_assert_no_error (error);
  return backend;
}

static VmmDevice *
plug_drive (Machine *m, const VmmDeviceOps *ops, const char *id, guint port, BlockBackend *backend)
{
  g_autoptr (GError) error = NULL;
  VmmDevice *drive = vmm_device_new (ops, id);

  vmm_device_set_pointer (drive, "controller", q35_board_get_sata (m->board), &error);
  g_assert_no_error (error);
  vmm_device_set_uint (drive, "port", port, &error);
  g_assert_no_error (error);
  vmm_device_set_pointer (drive, "backend", backend, &error);
  g_assert_no_error (error);
  vmm_device_realize (drive, vmm_vm_get_machine (m->vm), &error);
  g_assert_no_error (error);
  return drive;
}

static void
plug_media (Machine *m, gpointer data)
{
  Media *media = data;
  VmmDevice *disk = plug_drive (m, &ahci_disk_device_ops, "disk.a", 1, media->disk);
  VmmDevice *cd = plug_drive (m, &ahci_cdrom_device_ops, "cdrom.b", 4, media->cd);

  q35_board_add_boot_device (m->board, disk, media->cd_first ? 2 : 1);
  q35_board_add_boot_device (m->board, cd, media->cd_first ? 1 : 2);
}

static void
test_boot_sata (gconstpointer data)
{
  g_autofree guint8 *bytes = g_malloc0 (64 * CD_SECTOR);
  Media media = { .cd_first = GPOINTER_TO_INT (data) };
  Machine m;

  if (!can_run ())
    return;
  put_boot_code (bytes, "booted from the disk\n");
  media.disk = make_image (&media.disk_path, bytes, 64 * CD_SECTOR, FALSE);
  memset (bytes, 0, 64 * CD_SECTOR);
  put_cd (bytes, "booted from the CD\n");
  media.cd = make_image (&media.cd_path, bytes, 64 * CD_SECTOR, TRUE);
  start_with (&m, 1, plug_media, &media);
  wait_for (&m.log, media.cd_first ? "booted from the CD" : "booted from the disk", 1);
  stop (&m);
  block_backend_close (media.disk);
  block_backend_close (media.cd);
  g_unlink (media.disk_path);
  g_unlink (media.cd_path);
  g_free (media.disk_path);
  g_free (media.cd_path);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/bare/seabios/boot", test_boot);
  g_test_add_func ("/bare/seabios/reset", test_reset);
  g_test_add_func ("/bare/seabios/two-machines", test_two_machines);
  g_test_add_data_func ("/bare/seabios/sata-disk", GINT_TO_POINTER (FALSE), test_boot_sata);
  g_test_add_data_func ("/bare/seabios/sata-cdrom", GINT_TO_POINTER (TRUE), test_boot_sata);
  return g_test_run ();
}
