/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The files of a saved machine. The first byte says which: even, the memory file (its header's
 * checksum is mended, and its length set as it says, when the second bit is set); odd, the state
 * file, from the fingerprint to the devices of a small machine. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/platform/rtc.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/harness/harness.h"
#include "vmm/crc32c.h"
#include "vmm/fingerprint.h"
#include "vmm/ram-file.h"

#define HEAD     4096
#define MAX_RAM  (1u << 20)
#define MAX_FILE (1u << 26) /* sparse */

static guint64
get_le (const guint8 *p, guint n)
{
  guint64 value = 0;

  for (guint i = 0; i < n; i++)
    value |= (guint64)p[i] << (8 * i);
  return value;
}

static void
mend (guint8 *file, gsize size)
{
  guint64 table = get_le (file + 48, 8);
  guint32 crc;

  if (table <= size - HEAD)
    {
      crc = GUINT32_TO_LE (vmm_crc32c (0, file + HEAD, table));
      memcpy (file + 36, &crc, sizeof crc);
    }
  crc = GUINT32_TO_LE (vmm_crc32c (0, file, HEAD - 4));
  memcpy (file + HEAD - 4, &crc, sizeof crc);
}

static void
read_memory (guint8 *file, gsize size, gboolean help)
{
  int fd = memfd_create ("fuzz", MFD_CLOEXEC);
  guint64 length = size;
  VmmRamReader *reader;

  g_assert (fd >= 0);
  if (help && size >= HEAD)
    {
      mend (file, size);
      length = MIN (get_le (file + 56, 8), MAX_FILE);
    }
  g_assert (write (fd, file, size) == (ssize_t)size && ftruncate (fd, (off_t)length) == 0);
  reader = vmm_ram_reader_new (fd, MAX_RAM, NULL);
  for (guint b = 0; reader != NULL && b < vmm_ram_reader_get_n_blocks (reader); b++)
    {
      guint64 bytes = vmm_ram_reader_get_block (reader, b)->size;
      g_autofree guint8 *pages = g_malloc0 (bytes);

      g_assert (bytes > 0 && bytes <= MAX_RAM && bytes % VMM_RAM_FILE_PAGE == 0);
      (void)vmm_ram_reader_read (reader, b, 0, pages, bytes / VMM_RAM_FILE_PAGE, NULL);
    }
  vmm_ram_reader_free (reader);
}

static void
read_state (const guint8 *file, gsize size)
{
  g_autoptr (GBytes) bytes = g_bytes_new (file, size);
  VmmStateReader *reader = vmm_state_reader_new (bytes, NULL);
  HarnessMachine *h;
  guint8 id[16];

  if (reader == NULL)
    return;
  h = harness_new (1 << 20);
  harness_realize (h, vmm_device_new (&rtc_ops, "rtc"));
  vmm_machine_reset_devices (h->machine, VMM_RESET_COLD);
  if (vmm_fingerprint_load (h->machine, reader, id, NULL))
    (void)vmm_machine_load_devices (h->machine, reader, NULL);
  vmm_state_reader_free (reader);
  harness_free (h);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree guint8 *copy = NULL;

  if (size < 2 || size > 1 << 20)
    return 0;
  copy = g_memdup2 (data + 1, size - 1);
  if ((data[0] & 1) == 0)
    read_memory (copy, size - 1, (data[0] & 2) != 0);
  else
    read_state (copy, size - 1);
  return 0;
}
