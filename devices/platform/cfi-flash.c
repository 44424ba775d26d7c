/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/cfi-flash.h"

#include "vmm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Commands */
#define CMD_PROGRAM_ALT  0x10
#define CMD_ERASE        0x20
#define CMD_PROGRAM      0x40
#define CMD_CLEAR_STATUS 0x50
#define CMD_LOCK         0x60
#define CMD_READ_STATUS  0x70
#define CMD_READ_ID      0x90
#define CMD_CFI_QUERY    0x98
#define CMD_CONFIRM      0xd0
#define CMD_WRITE_BUFFER 0xe8
#define CMD_READ_ARRAY   0xff

/* Status register */
#define STATUS_READY         (1u << 7)
#define STATUS_ERASE_ERROR   (1u << 5)
#define STATUS_PROGRAM_ERROR (1u << 4)
#define STATUS_LOCKED        (1u << 1)

#define BUFFER_SIZE 128 /* bytes; CFI 2Ah says so */
#define QUIET_NS    VMM_NSEC_PER_SEC
#define RETRY_NS    (30 * VMM_NSEC_PER_SEC)
#define MAX_SIZE    (16u << 20)

typedef enum
{
  MODE_ARRAY,
  MODE_STATUS,
  MODE_ID,
  MODE_QUERY,
  MODE_PROGRAM,        /* the next write is data */
  MODE_ERASE,          /* the next write must be CONFIRM */
  MODE_LOCK,           /* the next write is the lock action */
  MODE_BUFFER_COUNT,   /* the next write is the count less one */
  MODE_BUFFER_DATA,    /* data */
  MODE_BUFFER_CONFIRM, /* the next write must be CONFIRM */
  MODE_LAST,
} Mode;

struct _CfiFlash
{
  VmmDevice parent;
  struct
  {
    guint64 base, size;
    char *path;
    gboolean read_only;
  } config;
  struct
  {
    guint8 mode; /* Mode */
    guint8 status;
    guint8 buffer[BUFFER_SIZE];
    guint8 buffer_used[BUFFER_SIZE];
    guint32 buffer_start; /* a multiple of BUFFER_SIZE */
    guint8 buffer_left;   /* bytes still expected */
  } guest;
  struct
  {
    VmmRegion region;
    VmmRamBlock *block;
    VmmMapping *mapping;
    VmmTimer *quiet;
    gboolean dirty; /* contents differ from the file */
    gint64 last_write_ns;
    GMutex write_mutex; /* one write-back at a time; outside the device's lock */
    guint64 n_write_errors;
    int folder; /* O_PATH, where the file is replaced; -1 when read-only */
    char *name; /* in the folder; symbolic links were followed */
    guint file_mode;
  } host;
};

static guint8 *
contents (CfiFlash *flash)
{
  return vmm_ram_block_get_data (flash->host.block);
}

/* Maps the array for reading, or takes it away so that reads trap. */
static void
set_mode (CfiFlash *flash, Mode mode)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (flash->parent.machine);

  flash->guest.mode = (guint8)mode;
  if (mode == MODE_ARRAY && flash->host.mapping == NULL)
    flash->host.mapping =
        vmm_guest_memory_map (memory, flash->host.block, 0, vmm_gpa (flash->config.base),
                              flash->config.size, VMM_MAP_READONLY, NULL);
  else if (mode != MODE_ARRAY && flash->host.mapping != NULL)
    {
      vmm_guest_memory_unmap (memory, flash->host.mapping);
      flash->host.mapping = NULL;
    }
}

static void
mark_dirty (CfiFlash *flash, guint64 offset, guint64 length)
{
  gint64 now = vmm_clock_get_ns (vmm_machine_get_clock (flash->parent.machine));

  vmm_ram_block_mark_dirty (flash->host.block, offset, length);
  flash->host.last_write_ns = now;
  /* Firmware writes byte by byte: the timer is set once and looks again when it fires. */
  if (!flash->host.dirty)
    vmm_timer_set (flash->host.quiet, now + QUIET_NS);
  flash->host.dirty = TRUE;
}

/* Programming clears bits only; erasing sets them. */
static void
program (CfiFlash *flash, guint64 offset, guint8 byte)
{
  if (flash->config.read_only)
    {
      flash->guest.status |= STATUS_PROGRAM_ERROR | STATUS_LOCKED;
      return;
    }
  contents (flash)[offset] &= byte;
  mark_dirty (flash, offset, 1);
}

static void
erase (CfiFlash *flash, guint64 offset)
{
  guint64 start = offset & ~(guint64)(CFI_FLASH_BLOCK - 1);

  if (flash->config.read_only)
    {
      flash->guest.status |= STATUS_ERASE_ERROR | STATUS_LOCKED;
      return;
    }
  memset (contents (flash) + start, 0xff, CFI_FLASH_BLOCK);
  mark_dirty (flash, start, CFI_FLASH_BLOCK);
}

static void
write_buffer (CfiFlash *flash)
{
  for (guint i = 0; i < BUFFER_SIZE; i++)
    if (flash->guest.buffer_used[i] != 0)
      program (flash, flash->guest.buffer_start + i, flash->guest.buffer[i]);
}

/* JESD68.01: "QRY" at 10h, command set 0001, then voltages, timings, geometry. One region of
 * erase blocks; sizes as powers of two. */
static guint8
query_byte (CfiFlash *flash, guint64 offset)
{
  guint blocks = (guint)(flash->config.size / CFI_FLASH_BLOCK) - 1;

  switch (offset)
    {
    case 0x10:
      return 'Q';
    case 0x11:
      return 'R';
    case 0x12:
      return 'Y';
    case 0x13:
      return 0x01; /* Intel/Sharp extended command set */
    case 0x15:
      return 0x31; /* extended query table */
    case 0x1b:
      return 0x45; /* 4.5 to 5.5 V */
    case 0x1c:
      return 0x55;
    case 0x1f:
    case 0x20:
      return 0x07; /* 128 µs to program */
    case 0x21:
      return 0x0a; /* 1 s to erase */
    case 0x23:
    case 0x24:
    case 0x25:
      return 0x04;
    case 0x27:
      /* Rounded up: the size need not be a power of two. */
      return (guint8)g_bit_storage (flash->config.size - 1);
    case 0x2a:
      return 7; /* 128-byte write buffer */
    case 0x2c:
      return 1;
    case 0x2d:
      return (guint8)blocks;
    case 0x2e:
      return (guint8)(blocks >> 8);
    case 0x2f:
      return (guint8)(CFI_FLASH_BLOCK >> 8);
    case 0x30:
      return (guint8)(CFI_FLASH_BLOCK >> 16);
    case 0x31:
      return 'P';
    case 0x32:
      return 'R';
    case 0x33:
      return 'I';
    case 0x34:
      return '1';
    case 0x35:
      return '0';
    default:
      return 0;
    }
}

static guint8
read_one (CfiFlash *flash, guint64 offset)
{
  switch ((Mode)flash->guest.mode)
    {
    case MODE_ARRAY:
      return contents (flash)[offset];
    case MODE_ID:
      return (offset & 0xff) == 0 ? 0x89 : (offset & 0xff) == 1 ? 0x18 : 0;
    case MODE_QUERY:
      return query_byte (flash, offset & 0xff);
    case MODE_STATUS:
    case MODE_PROGRAM:
    case MODE_ERASE:
    case MODE_LOCK:
    case MODE_BUFFER_COUNT:
    case MODE_BUFFER_DATA:
    case MODE_BUFFER_CONFIRM:
    case MODE_LAST:
      break;
    }
  return flash->guest.status;
}

static VmmIoResult
flash_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  CfiFlash *flash = opaque;

  for (guint i = 0; i < size; i++)
    *value |= (guint64)read_one (flash, offset + i) << (i * 8);
  return VMM_IO_OK;
}

static void
command (CfiFlash *flash, guint64 offset, guint8 byte)
{
  switch (byte)
    {
    case CMD_PROGRAM:
    case CMD_PROGRAM_ALT:
      set_mode (flash, MODE_PROGRAM);
      break;
    case CMD_ERASE:
      set_mode (flash, MODE_ERASE);
      break;
    case CMD_CLEAR_STATUS:
      /* DEVIATION: the ready bit is cleared with the others until the next operation ends. OVMF
       * takes a chip for flash only when the status then reads as 0, as the peer's does. */
      flash->guest.status = 0;
      set_mode (flash, MODE_ARRAY);
      break;
    case CMD_LOCK:
      set_mode (flash, MODE_LOCK);
      break;
    case CMD_READ_STATUS:
      set_mode (flash, MODE_STATUS);
      break;
    case CMD_READ_ID:
      set_mode (flash, MODE_ID);
      break;
    case CMD_CFI_QUERY:
      set_mode (flash, MODE_QUERY);
      break;
    case CMD_WRITE_BUFFER:
      flash->guest.status |= STATUS_READY; /* a buffer is free */
      memset (flash->guest.buffer_used, 0, sizeof flash->guest.buffer_used);
      flash->guest.buffer_start = (guint32)(offset & ~(guint64)(BUFFER_SIZE - 1));
      set_mode (flash, MODE_BUFFER_COUNT);
      break;
    default: /* READ_ARRAY, and anything unknown */
      set_mode (flash, MODE_ARRAY);
      break;
    }
}

/* An operation has ended, well or not: the status register is shown, with the ready bit. */
static void
finish (CfiFlash *flash)
{
  flash->guest.status |= STATUS_READY;
  set_mode (flash, MODE_STATUS);
}

/* The same, unless the byte was the command that leaves for the array. */
static void
finish_unless_array (CfiFlash *flash, guint8 byte)
{
  if (byte == CMD_READ_ARRAY)
    set_mode (flash, MODE_ARRAY);
  else
    finish (flash);
}

static void
write_one (CfiFlash *flash, guint64 offset, guint8 byte)
{
  switch ((Mode)flash->guest.mode)
    {
    case MODE_PROGRAM:
      program (flash, offset, byte);
      finish (flash);
      break;
    case MODE_ERASE:
      if (byte == CMD_CONFIRM)
        {
          erase (flash, offset);
          finish (flash);
        }
      else
        {
          /* Command sequence error: both bits. */
          flash->guest.status |= STATUS_ERASE_ERROR | STATUS_PROGRAM_ERROR;
          finish_unless_array (flash, byte);
        }
      break;
    case MODE_LOCK: /* block locks are accepted and not kept */
      finish_unless_array (flash, byte);
      break;
    case MODE_BUFFER_COUNT:
      if (byte < BUFFER_SIZE)
        {
          flash->guest.buffer_left = (guint8)(byte + 1);
          set_mode (flash, MODE_BUFFER_DATA);
        }
      else
        {
          flash->guest.status |= STATUS_PROGRAM_ERROR;
          finish (flash);
        }
      break;
    case MODE_BUFFER_DATA:
      if ((offset & ~(guint64)(BUFFER_SIZE - 1)) == flash->guest.buffer_start)
        {
          flash->guest.buffer[offset % BUFFER_SIZE] = byte;
          flash->guest.buffer_used[offset % BUFFER_SIZE] = 1;
        }
      else
        flash->guest.status |= STATUS_PROGRAM_ERROR;
      if (--flash->guest.buffer_left == 0)
        set_mode (flash, MODE_BUFFER_CONFIRM);
      break;
    case MODE_BUFFER_CONFIRM:
      if (byte == CMD_CONFIRM && (flash->guest.status & STATUS_PROGRAM_ERROR) == 0)
        write_buffer (flash);
      else
        flash->guest.status |= STATUS_PROGRAM_ERROR;
      finish_unless_array (flash, byte);
      break;
    case MODE_ARRAY:
    case MODE_STATUS:
    case MODE_ID:
    case MODE_QUERY:
    case MODE_LAST:
      command (flash, offset, byte);
      break;
    }
}

/* A wider write is a command in its lowest byte; as data, each byte is programmed. */
static VmmIoResult
flash_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  CfiFlash *flash = opaque;

  if (flash->guest.mode == MODE_PROGRAM)
    {
      for (guint i = 0; i < size; i++)
        program (flash, offset + i, (guint8)(value >> (i * 8)));
      finish (flash);
    }
  else if (flash->guest.mode == MODE_BUFFER_DATA)
    {
      for (guint i = 0; i < size && flash->guest.mode == MODE_BUFFER_DATA; i++)
        write_one (flash, offset + i, (guint8)(value >> (i * 8)));
    }
  else
    write_one (flash, offset, (guint8)value);
  return VMM_IO_OK;
}

static const VmmRegionOps region_ops = {
  .name = "cfi-flash",
  .min_size = 1,
  .max_size = 8,
  .read = flash_read,
  .write = flash_write,
};

static gboolean
write_all (int fd, const guint8 *data, gsize length)
{
  while (length > 0)
    {
      gssize n = write (fd, data, length);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return FALSE;
      data += n;
      length -= (gsize)n;
    }
  return TRUE;
}

/* The new contents become the file by one rename, after they have reached the disk. The folder was
 * opened at realize: a confined process opens nothing by path. */
static gboolean
replace_file (CfiFlash *flash, const guint8 *data, GError **error)
{
  g_autofree char *temporary = g_strdup_printf ("%s.new", flash->host.name);
  int folder = flash->host.folder, e;
  int fd = openat (folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                   flash->host.file_mode);

  if (fd >= 0 && write_all (fd, data, flash->config.size) && fsync (fd) == 0)
    {
      if (close (fd) == 0 && renameat (folder, temporary, folder, flash->host.name) == 0)
        return TRUE;
      fd = -1;
    }
  e = errno;
  if (fd >= 0)
    close (fd);
  (void)unlinkat (folder, temporary, 0);
  return vmm_error_set_errno (
      error, -e,
      "The firmware variables could not be written to “%s”. Free some space or check the folder's "
      "permissions",
      flash->config.path);
}

gboolean
cfi_flash_flush (CfiFlash *flash, GError **error)
{
  g_autofree guint8 *copy = NULL;
  gboolean ok;

  g_mutex_lock (&flash->host.write_mutex);
  g_mutex_lock (&flash->parent.lock);
  if (flash->host.dirty)
    {
      copy = g_memdup2 (contents (flash), flash->config.size);
      flash->host.dirty = FALSE;
    }
  g_mutex_unlock (&flash->parent.lock);
  ok = copy == NULL || replace_file (flash, copy, error);
  if (!ok)
    {
      g_mutex_lock (&flash->parent.lock);
      flash->host.dirty = TRUE;
      flash->host.n_write_errors++;
      if (flash->host.quiet != NULL)
        vmm_timer_set (flash->host.quiet,
                       vmm_clock_get_ns (vmm_machine_get_clock (flash->parent.machine)) + RETRY_NS);
      g_mutex_unlock (&flash->parent.lock);
    }
  g_mutex_unlock (&flash->host.write_mutex);
  return ok;
}

/* A failed write is counted; the contents stay dirty and are tried again later, at quiesce and at
 * flush, which tells its caller. */
static void
on_quiet (gpointer user_data)
{
  CfiFlash *flash = user_data;
  gint64 now = vmm_clock_get_ns (vmm_machine_get_clock (flash->parent.machine)), next;
  gboolean ready;

  g_mutex_lock (&flash->parent.lock);
  next = flash->host.last_write_ns + QUIET_NS;
  ready = now >= next && flash->guest.mode == MODE_ARRAY;
  if (flash->host.dirty && !ready)
    vmm_timer_set (flash->host.quiet, MAX (next, now + QUIET_NS / 4));
  g_mutex_unlock (&flash->parent.lock);
  if (ready)
    (void)cfi_flash_flush (flash, NULL);
}

GBytes *
cfi_flash_dup_contents (CfiFlash *flash)
{
  return g_bytes_new (contents (flash), flash->config.size);
}

guint64
cfi_flash_get_n_write_errors (CfiFlash *flash)
{
  return flash->host.n_write_errors;
}

static gboolean
open_folder (CfiFlash *flash, GError **error)
{
  g_autofree char *real = realpath (flash->config.path, NULL);
  g_autofree char *folder = real == NULL ? NULL : g_path_get_dirname (real);

  if (folder != NULL)
    {
      flash->host.folder = open (folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
      flash->host.name = g_path_get_basename (real);
    }
  if (folder != NULL && flash->host.folder >= 0)
    return TRUE;
  return vmm_error_set_errno (error, -errno, "The folder of “%s” cannot be opened",
                              flash->config.path);
}

static gboolean
load_file (CfiFlash *flash, GError **error)
{
  const char *path = flash->config.path;
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  gsize done = 0;

  if (fd < 0)
    return vmm_error_set_errno (error, -errno, "The firmware file “%s” cannot be opened", path);
  if (fstat (fd, &st) != 0 || !S_ISREG (st.st_mode) || (guint64)st.st_size != flash->config.size)
    {
      close (fd);
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The firmware file “%s” is not a file of %" G_GUINT64_FORMAT
                   " bytes any more. Choose the firmware again.",
                   path, flash->config.size);
      return FALSE;
    }
  while (done < flash->config.size)
    {
      gssize n = pread (fd, contents (flash) + done, flash->config.size - done, (off_t)done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        {
          int e = n < 0 ? errno : EIO;

          close (fd);
          return vmm_error_set_errno (error, -e, "The firmware file “%s” cannot be read", path);
        }
      done += (gsize)n;
    }
  close (fd);
  flash->host.file_mode = st.st_mode & 0777;
  return flash->config.read_only || open_folder (flash, error);
}

static void
cfi_flash_unrealize (VmmDevice *device)
{
  CfiFlash *flash = (CfiFlash *)device;

  g_clear_pointer (&flash->host.quiet, vmm_timer_free);
  vmm_bus_unmap (&flash->host.region);
  vmm_region_drain (&flash->host.region);
  if (flash->host.dirty)
    (void)cfi_flash_flush (flash, NULL);
  if (flash->host.mapping != NULL)
    vmm_guest_memory_unmap (vmm_machine_get_memory (device->machine), flash->host.mapping);
  flash->host.mapping = NULL;
  g_clear_pointer (&flash->host.block, vmm_ram_block_unref);
  if (flash->host.folder >= 0)
    close (flash->host.folder);
  flash->host.folder = -1;
  g_clear_pointer (&flash->host.name, g_free);
  g_mutex_clear (&flash->host.write_mutex);
}

static gboolean
cfi_flash_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  CfiFlash *flash = (CfiFlash *)device;

  device->machine = machine;
  if (flash->config.size == 0 || flash->config.size > MAX_SIZE ||
      flash->config.size % CFI_FLASH_BLOCK != 0 || flash->config.base % CFI_FLASH_BLOCK != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The firmware file “%s” has %" G_GUINT64_FORMAT
                   " bytes; flash is a multiple of 4096, at most 16 MiB.",
                   flash->config.path, flash->config.size);
      return FALSE;
    }
  g_mutex_init (&flash->host.write_mutex);
  flash->host.folder = -1;
  flash->host.block = vmm_ram_block_new (device->id, flash->config.size, VMM_RAM_DEVICE, error);
  vmm_region_init (&flash->host.region, &region_ops, flash, &device->lock, flash->config.size);
  if (flash->host.block != NULL && load_file (flash, error) &&
      vmm_bus_map (vmm_machine_get_mmio (machine), flash->config.base, &flash->host.region, error))
    {
      flash->host.quiet = vmm_timer_new (vmm_machine_get_clock (machine),
                                         vmm_machine_get_worker (machine), on_quiet, flash);
      flash->guest.status = STATUS_READY;
      flash->host.mapping = vmm_guest_memory_map (
          vmm_machine_get_memory (machine), flash->host.block, 0, vmm_gpa (flash->config.base),
          flash->config.size, VMM_MAP_READONLY, error);
      if (flash->host.mapping != NULL)
        return TRUE;
    }
  cfi_flash_unrealize (device);
  return FALSE;
}

static void
cfi_flash_reset (VmmDevice *device, VmmResetKind kind)
{
  CfiFlash *flash = (CfiFlash *)device;

  g_mutex_lock (&device->lock);
  memset (&flash->guest, 0, sizeof flash->guest);
  flash->guest.status = STATUS_READY;
  set_mode (flash, MODE_ARRAY);
  g_mutex_unlock (&device->lock);
}

static void
cfi_flash_quiesce (VmmDevice *device)
{
  (void)cfi_flash_flush ((CfiFlash *)device, NULL);
}

static void
cfi_flash_resume (VmmDevice *device)
{
}

static const VmmStateField fields[] = {
  VMM_STATE_FIELD (CfiFlash, guest.mode, VMM_STATE_U8),
  VMM_STATE_FIELD (CfiFlash, guest.status, VMM_STATE_U8),
  VMM_STATE_ARRAY (CfiFlash, guest.buffer, VMM_STATE_U8, BUFFER_SIZE),
  VMM_STATE_ARRAY (CfiFlash, guest.buffer_used, VMM_STATE_U8, BUFFER_SIZE),
  VMM_STATE_FIELD (CfiFlash, guest.buffer_start, VMM_STATE_U32),
  VMM_STATE_FIELD (CfiFlash, guest.buffer_left, VMM_STATE_U8),
};

/* Contents of a writable flash belong to the machine's state; of a read-only one to its file. */
static gboolean
cfi_flash_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  CfiFlash *flash = (CfiFlash *)device;

  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), device);
  if (!flash->config.read_only)
    vmm_state_put_bytes (writer, "contents", contents (flash), flash->config.size);
  return TRUE;
}

static gboolean
cfi_flash_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  CfiFlash *flash = (CfiFlash *)device;
  gboolean sane;

  if (!vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), device, error))
    return FALSE;
  sane = flash->guest.mode < MODE_LAST && flash->guest.buffer_start % BUFFER_SIZE == 0 &&
         flash->guest.buffer_start <= flash->config.size - BUFFER_SIZE &&
         flash->guest.buffer_left <= BUFFER_SIZE &&
         (flash->guest.mode != MODE_BUFFER_DATA || flash->guest.buffer_left > 0);
  if (!sane)
    {
      memset (&flash->guest, 0, sizeof flash->guest);
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state of “%s” has a command that the flash does not know.",
                   device->id);
      return FALSE;
    }
  g_mutex_lock (&device->lock);
  set_mode (flash, (Mode)flash->guest.mode);
  g_mutex_unlock (&device->lock);
  if (flash->config.read_only)
    return TRUE;
  if (!vmm_state_get_bytes (reader, "contents", contents (flash), flash->config.size, error))
    return FALSE;
  g_mutex_lock (&device->lock);
  mark_dirty (flash, 0, flash->config.size);
  g_mutex_unlock (&device->lock);
  return TRUE;
}

static void
cfi_flash_stats (VmmDevice *device,
                 void (*add) (gpointer user_data, const char *name, guint64 value),
                 gpointer user_data)
{
  add (user_data, "write-errors", ((CfiFlash *)device)->host.n_write_errors);
}

static const VmmProperty properties[] = {
  { "base", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (CfiFlash, config.base), 0, G_MAXUINT32,
    .required = TRUE },
  { "size", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (CfiFlash, config.size), 0, MAX_SIZE,
    .required = TRUE },
  { "path", VMM_PROPERTY_STRING, G_STRUCT_OFFSET (CfiFlash, config.path), 0, 4096,
    .required = TRUE },
  { "read-only", VMM_PROPERTY_BOOL, G_STRUCT_OFFSET (CfiFlash, config.read_only), 0, 1, 0 },
  { NULL },
};

const VmmDeviceOps cfi_flash_ops = {
  .name = "cfi-flash",
  .summary = "Firmware flash",
  .spec = "JEDEC JESD68.01, Intel command set",
  .instance_size = sizeof (CfiFlash),
  .state_version = 1,
  .properties = properties,
  .realize = cfi_flash_realize,
  .unrealize = cfi_flash_unrealize,
  .reset = cfi_flash_reset,
  .quiesce = cfi_flash_quiesce,
  .resume = cfi_flash_resume,
  .save = cfi_flash_save,
  .load = cfi_flash_load,
  .stats = cfi_flash_stats,
};
