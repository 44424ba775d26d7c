/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/ram-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/crc32c.h"

#define PAGE           VMM_RAM_FILE_PAGE
#define VERSION        1
#define BLOCK_AT       64
#define BLOCK_SIZE     96
#define HEADER_CRC_AT  4092
#define MAX_RUN        256 /* pages written at once */
#define MAX_FILE_BYTES (G_GUINT64_CONSTANT (1) << 62)

G_STATIC_ASSERT (BLOCK_AT + VMM_RAM_FILE_MAX_BLOCKS * BLOCK_SIZE <= HEADER_CRC_AT);

static const char magic[8] = { 'A', 'L', 'C', 'O', 'V', 'R', 'A', 'M' };

static void
put_le (guint8 *p, guint64 value, guint n)
{
  for (guint i = 0; i < n; i++)
    p[i] = (guint8)(value >> (8 * i));
}

static guint64
get_le (const guint8 *p, guint n)
{
  guint64 value = 0;

  for (guint i = 0; i < n; i++)
    value |= (guint64)p[i] << (8 * i);
  return value;
}

gboolean
vmm_ram_page_is_zero (gconstpointer page)
{
  const guint8 *bytes = page;

  return bytes[0] == 0 && memcmp (bytes, bytes + 1, PAGE - 1) == 0;
}

guint32
vmm_ram_page_check (gconstpointer page)
{
  guint32 crc = vmm_crc32c (0, page, PAGE);

  return crc != 0 ? crc : 1;
}

static guint64
align_up (guint64 value, guint64 to)
{
  return (value + to - 1) & ~(to - 1);
}

/* Where everything lies; the sums cannot overflow below VMM_RAM_FILE_MAX_SIZE. */
static void
lay_out (VmmRamFileBlock *blocks, guint n, guint64 *ret_pages, guint64 *ret_end)
{
  guint64 pages = 0, at;

  for (guint i = 0; i < n; i++)
    pages += blocks[i].size / PAGE;
  at = PAGE + pages * sizeof (guint32);
  for (guint i = 0; i < n; i++)
    {
      at = align_up (at, VMM_RAM_FILE_ALIGN);
      blocks[i].offset = at;
      at += blocks[i].size;
    }
  *ret_pages = pages;
  *ret_end = at;
}

/* Writer */

struct _VmmRamWriter
{
  char *path;
  int fd;
  guint8 id[16];
  VmmRamFileBlock blocks[VMM_RAM_FILE_MAX_BLOCKS];
  guint32 *table[VMM_RAM_FILE_MAX_BLOCKS];
  guint n_blocks;
  guint32 *pages; /* the whole table; shared memory, so that a child can fill it */
  guint64 n_pages, end;
};

static int
write_all (int fd, gconstpointer data, gsize length, guint64 offset)
{
  const guint8 *from = data;

  while (length > 0)
    {
      ssize_t n = pwrite (fd, from, length, (off_t)offset);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return n < 0 ? -errno : -EIO;
      from += n;
      offset += (guint64)n;
      length -= (gsize)n;
    }
  return 0;
}

VmmRamWriter *
vmm_ram_writer_new (
    const char *path, const guint8 id[16], const VmmRamFileBlock *blocks, guint n, GError **error)
{
  VmmRamWriter *writer = g_new0 (VmmRamWriter, 1);
  guint64 total = 0, first = 0;
  gpointer table;

  g_assert (n > 0 && n <= VMM_RAM_FILE_MAX_BLOCKS);
  writer->path = g_strdup (path);
  writer->n_blocks = n;
  memcpy (writer->id, id, sizeof writer->id);
  memcpy (writer->blocks, blocks, n * sizeof *blocks);
  for (guint i = 0; i < n; i++)
    {
      g_assert (blocks[i].size <= VMM_RAM_FILE_MAX_SIZE && blocks[i].size % PAGE == 0);
      total += blocks[i].size;
    }
  g_assert (total > 0 && total <= VMM_RAM_FILE_MAX_SIZE);
  lay_out (writer->blocks, n, &writer->n_pages, &writer->end);
  writer->fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (writer->fd < 0 || ftruncate (writer->fd, (off_t)writer->end) < 0)
    {
      vmm_error_set_errno (error, -errno, "Cannot make the file “%s” for the machine's memory",
                           path);
      vmm_ram_writer_free (writer);
      return NULL;
    }
  table = mmap (NULL, writer->n_pages * sizeof (guint32), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (table == MAP_FAILED)
    {
      vmm_error_set_errno (error, -errno, "Cannot save the machine's memory");
      vmm_ram_writer_free (writer);
      return NULL;
    }
  writer->pages = table;
  for (guint i = 0; i < n; i++)
    {
      writer->table[i] = writer->pages + first;
      first += writer->blocks[i].size / PAGE;
    }
  return writer;
}

int
vmm_ram_writer_put (VmmRamWriter *writer, guint block, guint64 first, gconstpointer data, guint64 n)
{
  guint32 *table = writer->table[block] + first;
  const guint8 *pages = data;
  guint64 run = 0; /* pages before i that are to be written */
  int r;

  for (guint64 i = 0; i <= n; i++)
    {
      gboolean write = FALSE;

      if (i < n)
        {
          gboolean zero = vmm_ram_page_is_zero (pages + i * PAGE);

          /* A page that was something else in an earlier round must become zero again. */
          write = !zero || table[i] != 0;
          table[i] = zero ? 0 : vmm_ram_page_check (pages + i * PAGE);
        }
      run += write;
      if (run > 0 && (!write || run == MAX_RUN))
        {
          guint64 from = write ? i + 1 - run : i - run;

          r = write_all (writer->fd, pages + from * PAGE, run * PAGE,
                         writer->blocks[block].offset + (first + from) * PAGE);
          if (r < 0)
            return r;
          run = 0;
        }
    }
  return 0;
}

static void
fill_header (VmmRamWriter *writer, guint8 header[PAGE])
{
  memcpy (header, magic, sizeof magic);
  put_le (header + 8, VERSION, 4);
  put_le (header + 12, PAGE, 4);
  memcpy (header + 16, writer->id, 16);
  put_le (header + 32, writer->n_blocks, 4);
  put_le (header + 36, vmm_crc32c (0, writer->pages, writer->n_pages * sizeof (guint32)), 4);
  put_le (header + 40, PAGE, 8);
  put_le (header + 48, writer->n_pages * sizeof (guint32), 8);
  put_le (header + 56, writer->end, 8);
  for (guint i = 0; i < writer->n_blocks; i++)
    {
      guint8 *at = header + BLOCK_AT + (gsize)i * BLOCK_SIZE;

      memcpy (at, writer->blocks[i].name, VMM_RAM_FILE_NAME_SIZE);
      put_le (at + 64, writer->blocks[i].size, 8);
      put_le (at + 72, writer->blocks[i].offset, 8);
    }
  put_le (header + HEADER_CRC_AT, vmm_crc32c (0, header, HEADER_CRC_AT), 4);
}

gboolean
vmm_ram_writer_finish (VmmRamWriter *writer, GError **error)
{
  guint8 header[PAGE] = { 0 };
  int r;

#if G_BYTE_ORDER != G_LITTLE_ENDIAN
#error "the table is written as it lies in memory"
#endif
  fill_header (writer, header);
  r = write_all (writer->fd, writer->pages, writer->n_pages * sizeof (guint32), PAGE);
  /* Data before the header that vouches for it. */
  if (r == 0 && fdatasync (writer->fd) < 0)
    r = -errno;
  if (r == 0)
    r = write_all (writer->fd, header, sizeof header, 0);
  if (r == 0 && fsync (writer->fd) < 0)
    r = -errno;
  /* Nobody has a reason to write it again; a restore maps it. */
  if (r == 0 && fchmod (writer->fd, 0400) < 0)
    r = -errno;
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot write the machine's memory to “%s”",
                                writer->path);
  return TRUE;
}

guint64
vmm_ram_writer_get_stored (VmmRamWriter *writer)
{
  guint64 n = 0;

  for (guint64 i = 0; i < writer->n_pages; i++)
    n += writer->pages[i] != 0;
  return n * PAGE;
}

int
vmm_ram_writer_get_fd (VmmRamWriter *writer)
{
  return writer->fd;
}

void
vmm_ram_writer_free (VmmRamWriter *writer)
{
  if (writer == NULL)
    return;
  if (writer->pages != NULL)
    munmap (writer->pages, writer->n_pages * sizeof (guint32));
  if (writer->fd >= 0)
    close (writer->fd);
  g_free (writer->path);
  g_free (writer);
}

/* Reader */

struct _VmmRamReader
{
  int fd;
  guint8 id[16];
  VmmRamFileBlock blocks[VMM_RAM_FILE_MAX_BLOCKS];
  const guint32 *table[VMM_RAM_FILE_MAX_BLOCKS];
  guint n_blocks;
  guint32 *pages;
};

static gboolean
invalid (GError **error, const char *message)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "The saved memory cannot be used: %s", message);
  return FALSE;
}

static gboolean
read_all (int fd, gpointer data, gsize length, guint64 offset, GError **error)
{
  guint8 *to = data;

  while (length > 0)
    {
      ssize_t n = pread (fd, to, length, (off_t)offset);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return vmm_error_set_errno (error, -errno, "Cannot read the saved memory");
      if (n == 0)
        return invalid (error, "the file is too short");
      to += n;
      offset += (guint64)n;
      length -= (gsize)n;
    }
  return TRUE;
}

static gboolean
name_is_proper (const char name[VMM_RAM_FILE_NAME_SIZE])
{
  gsize n = strnlen (name, VMM_RAM_FILE_NAME_SIZE);

  if (n == 0 || n == VMM_RAM_FILE_NAME_SIZE)
    return FALSE;
  for (gsize i = 0; i < VMM_RAM_FILE_NAME_SIZE; i++)
    if (i < n ? !g_ascii_isgraph (name[i]) : name[i] != 0)
      return FALSE;
  return TRUE;
}

/* The blocks, as far as they can be judged one by one. Sets their sizes and names, adds the sizes. */
static gboolean
parse_blocks (VmmRamReader *reader, const guint8 *header, guint64 max_size, GError **error)
{
  guint64 total = 0;

  for (guint i = 0; i < reader->n_blocks; i++)
    {
      const guint8 *at = header + BLOCK_AT + (gsize)i * BLOCK_SIZE;
      VmmRamFileBlock *block = &reader->blocks[i];

      memcpy (block->name, at, VMM_RAM_FILE_NAME_SIZE);
      block->size = get_le (at + 64, 8);
      if (!name_is_proper (block->name))
        return invalid (error, "a block of it has no proper name");
      for (guint j = 0; j < i; j++)
        if (strcmp (reader->blocks[j].name, block->name) == 0)
          return invalid (error, "two blocks of it have the same name");
      if (block->size == 0 || block->size % PAGE != 0)
        return invalid (error, "a block of it has an impossible size");
      if (block->size > max_size || total > max_size - block->size)
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                       "The saved memory is larger than this machine's (%" G_GUINT64_FORMAT
                       " MiB): the machine's memory was changed after it was saved. Change it "
                       "back, or discard the saved state.",
                       max_size >> 20);
          return FALSE;
        }
      total += block->size;
    }
  return TRUE;
}

/* There is one layout for a list of blocks, so the offsets are not trusted but compared. */
static gboolean
check_layout (VmmRamReader *reader,
              const guint8 *header,
              guint64 file_size,
              guint64 *ret_pages,
              GError **error)
{
  guint64 end;

  lay_out (reader->blocks, reader->n_blocks, ret_pages, &end);
  for (guint i = 0; i < reader->n_blocks; i++)
    if (get_le (header + BLOCK_AT + (gsize)i * BLOCK_SIZE + 72, 8) != reader->blocks[i].offset)
      return invalid (error, "a block of it lies at another place than it must");
  if (get_le (header + 40, 8) != PAGE || get_le (header + 48, 8) != *ret_pages * sizeof (guint32) ||
      get_le (header + 56, 8) != end)
    return invalid (error, "its header contradicts itself");
  if (file_size != end)
    return invalid (error, "the file is not as long as it was written");
  return TRUE;
}

static gboolean
parse_header (VmmRamReader *reader, guint64 max_size, guint64 *ret_pages, GError **error)
{
  guint8 header[PAGE];
  struct stat st;

  if (fstat (reader->fd, &st) < 0)
    return vmm_error_set_errno (error, -errno, "Cannot look at the saved memory");
  if (!S_ISREG (st.st_mode) || st.st_size < (off_t)PAGE || (guint64)st.st_size > MAX_FILE_BYTES)
    return invalid (error, "it is no file, or too short");
  if (!read_all (reader->fd, header, sizeof header, 0, error))
    return FALSE;
  if (memcmp (header, magic, sizeof magic) != 0)
    return invalid (error, "it was not written by Alcove, or not to its end");
  if (get_le (header + 8, 4) != VERSION)
    return invalid (error, "its format is of another version of Alcove");
  if (get_le (header + HEADER_CRC_AT, 4) != vmm_crc32c (0, header, HEADER_CRC_AT))
    return invalid (error, "the checksum of its header is wrong, the file is damaged");
  if (get_le (header + 12, 4) != PAGE)
    return invalid (error, "it has another page size");
  reader->n_blocks = (guint)get_le (header + 32, 4);
  if (reader->n_blocks == 0 || reader->n_blocks > VMM_RAM_FILE_MAX_BLOCKS)
    return invalid (error, "it has an impossible number of blocks");
  memcpy (reader->id, header + 16, 16);
  if (!parse_blocks (reader, header, MIN (max_size, VMM_RAM_FILE_MAX_SIZE), error) ||
      !check_layout (reader, header, (guint64)st.st_size, ret_pages, error))
    return FALSE;
  reader->pages = g_try_malloc_n (*ret_pages, sizeof (guint32));
  if (reader->pages == NULL)
    {
      g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NO_MEMORY,
                           "There is not enough memory to read the saved machine");
      return FALSE;
    }
  if (!read_all (reader->fd, reader->pages, *ret_pages * sizeof (guint32), PAGE, error))
    return FALSE;
  if (get_le (header + 36, 4) != vmm_crc32c (0, reader->pages, *ret_pages * sizeof (guint32)))
    return invalid (error, "the checksum of its page table is wrong, the file is damaged");
  return TRUE;
}

VmmRamReader *
vmm_ram_reader_new (int fd, guint64 max_size, GError **error)
{
  VmmRamReader *reader = g_new0 (VmmRamReader, 1);
  guint64 n_pages, first = 0;

  reader->fd = fd;
  if (!parse_header (reader, max_size, &n_pages, error))
    {
      vmm_ram_reader_free (reader);
      return NULL;
    }
  for (guint i = 0; i < reader->n_blocks; i++)
    {
      reader->table[i] = reader->pages + first;
      first += reader->blocks[i].size / PAGE;
    }
  return reader;
}

void
vmm_ram_reader_free (VmmRamReader *reader)
{
  if (reader == NULL)
    return;
  if (reader->fd >= 0)
    close (reader->fd);
  g_free (reader->pages);
  g_free (reader);
}

const guint8 *
vmm_ram_reader_get_id (VmmRamReader *reader)
{
  return reader->id;
}

guint
vmm_ram_reader_get_n_blocks (VmmRamReader *reader)
{
  return reader->n_blocks;
}

const VmmRamFileBlock *
vmm_ram_reader_get_block (VmmRamReader *reader, guint block)
{
  return &reader->blocks[block];
}

const guint32 *
vmm_ram_reader_get_table (VmmRamReader *reader, guint block)
{
  return reader->table[block];
}

int
vmm_ram_reader_get_fd (VmmRamReader *reader)
{
  return reader->fd;
}

gboolean
vmm_ram_reader_read (
    VmmRamReader *reader, guint block, guint64 first, gpointer data, guint64 n, GError **error)
{
  const guint32 *table = reader->table[block] + first;
  guint8 *pages = data;

  for (guint64 i = 0; i < n;)
    {
      guint64 run = 0;

      while (i + run < n && table[i + run] != 0)
        run++;
      if (run == 0)
        {
          i++;
          continue;
        }
      if (!read_all (reader->fd, pages + i * PAGE, run * PAGE,
                     reader->blocks[block].offset + (first + i) * PAGE, error))
        return FALSE;
      for (guint64 end = i + run; i < end; i++)
        if (vmm_ram_page_check (pages + i * PAGE) != table[i])
          {
            g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                         "The saved memory is damaged: page %" G_GUINT64_FORMAT
                         " of “%s” is not what was saved. Go back to another snapshot, or discard "
                         "the saved state and start the machine afresh.",
                         first + i, reader->blocks[block].name);
            return FALSE;
          }
    }
  return TRUE;
}
