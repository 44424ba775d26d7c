/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define N_ROUTES_MAX 4096

typedef struct
{
  gboolean used;
  HarnessMsi msi;
} Route;

typedef struct
{
  int fd, resample_fd;
  guint gsi;
} IrqFd;

typedef struct
{
  int fd;
  gboolean pio, has_match;
  guint64 address, match;
  guint size;
} IoEventFd;

static HarnessMachine *
from_accel (gpointer accel)
{
  return accel;
}

static gboolean
on_map (gpointer user_data, VmmMapping *mapping, GError **error)
{
  from_accel (user_data)->n_slots++;
  return TRUE;
}

static void
on_unmap (gpointer user_data, VmmMapping *mapping)
{
  from_accel (user_data)->n_slots--;
}

static void
on_set_log_dirty (gpointer user_data, VmmMapping *mapping, gboolean on)
{
}

static int
on_sync_dirty (gpointer user_data, VmmMapping *mapping)
{
  return 0;
}

static int
set_gsi (VmmAccel *accel, guint gsi, gboolean level)
{
  HarnessMachine *h = from_accel (accel);

  g_assert_cmpuint (gsi, <, VMM_MACHINE_N_GSI);
  if (level && !h->gsi[gsi])
    h->gsi_raised[gsi]++;
  h->gsi[gsi] = level;
  return 0;
}

static int
signal_msi (VmmAccel *accel, guint64 address, guint32 data)
{
  HarnessMsi msi = { address, data };

  g_array_append_val (from_accel (accel)->msis, msi);
  return 0;
}

static void
note_routes (HarnessMachine *h)
{
  if (h->routes_held > 0)
    h->routes_changed = TRUE;
  else
    h->n_route_commits++;
}

static void
hold_routes (VmmAccel *accel)
{
  from_accel (accel)->routes_held++;
}

static void
release_routes (VmmAccel *accel)
{
  HarnessMachine *h = from_accel (accel);

  g_assert_cmpuint (h->routes_held, >, 0);
  if (--h->routes_held > 0 || !h->routes_changed)
    return;
  h->routes_changed = FALSE;
  h->n_route_commits++;
}

static gboolean
gsi_is_open (VmmAccel *accel, guint gsi)
{
  return gsi < VMM_MACHINE_N_GSI && (from_accel (accel)->open_gsis >> gsi & 1) != 0;
}

static int
set_vfio (VmmAccel *accel, int fd, gboolean add)
{
  HarnessMachine *h = from_accel (accel);

  g_assert_true (add || h->n_vfio > 0);
  h->n_vfio += add ? 1 : -1u;
  return 0;
}

static int
alloc_msi_route (VmmAccel *accel, guint64 address, guint32 data)
{
  HarnessMachine *h = from_accel (accel);
  Route route = { TRUE, { address, data } };
  guint i;

  if (h->no_irqfd)
    return -ENOSYS;
  for (i = 0; i < h->routes->len; i++)
    if (!g_array_index (h->routes, Route, i).used)
      break;
  if (i == N_ROUTES_MAX)
    return -ENOSPC;
  if (i == h->routes->len)
    g_array_append_val (h->routes, route);
  else
    g_array_index (h->routes, Route, i) = route;
  note_routes (h);
  return (int)(VMM_MACHINE_N_GSI + i);
}

static Route *
find_route (HarnessMachine *h, guint gsi)
{
  Route *route;

  g_assert_cmpuint (gsi, >=, VMM_MACHINE_N_GSI);
  g_assert_cmpuint (gsi - VMM_MACHINE_N_GSI, <, h->routes->len);
  route = &g_array_index (h->routes, Route, gsi - VMM_MACHINE_N_GSI);
  g_assert_true (route->used);
  return route;
}

static int
set_msi_route (VmmAccel *accel, guint gsi, guint64 address, guint32 data)
{
  find_route (from_accel (accel), gsi)->msi = (HarnessMsi){ address, data };
  note_routes (from_accel (accel));
  return 0;
}

static void
free_msi_route (VmmAccel *accel, guint gsi)
{
  HarnessMachine *h = from_accel (accel);

  find_route (h, gsi)->used = FALSE;
  for (guint i = 0; i < h->irqfds->len; i++)
    g_assert_cmpuint (g_array_index (h->irqfds, IrqFd, i).gsi, !=, gsi);
}

static int
set_irqfd (VmmAccel *accel, int eventfd, int resamplefd, guint gsi, gboolean assign)
{
  HarnessMachine *h = from_accel (accel);
  IrqFd entry = { eventfd, resamplefd, gsi };

  if (h->no_irqfd)
    return -ENOSYS;
  for (guint i = 0; i < h->irqfds->len; i++)
    {
      IrqFd *other = &g_array_index (h->irqfds, IrqFd, i);

      if (other->fd != eventfd)
        continue;
      if (assign)
        return -EBUSY;
      g_array_remove_index (h->irqfds, i);
      return 0;
    }
  if (!assign)
    return -ENOENT;
  g_array_append_val (h->irqfds, entry);
  return 0;
}

static gboolean
same_ioeventfd (const IoEventFd *a, const IoEventFd *b)
{
  return a->pio == b->pio && a->address == b->address && a->size == b->size &&
         a->has_match == b->has_match && (!a->has_match || a->match == b->match);
}

static int
set_ioeventfd (VmmAccel *accel,
               int eventfd,
               gboolean pio,
               guint64 address,
               guint size,
               gboolean has_match,
               guint64 match,
               gboolean assign)
{
  HarnessMachine *h = from_accel (accel);
  IoEventFd entry = { eventfd, pio, has_match, address, match, size };

  if (h->no_ioeventfd)
    return -ENOSYS;
  for (guint i = 0; i < h->ioeventfds->len; i++)
    {
      if (!same_ioeventfd (&g_array_index (h->ioeventfds, IoEventFd, i), &entry))
        continue;
      if (assign)
        return -EEXIST;
      g_array_remove_index (h->ioeventfds, i);
      return 0;
    }
  if (!assign)
    return -ENOENT;
  g_array_append_val (h->ioeventfds, entry);
  return 0;
}

static const VmmAccelOps accel_ops = {
  .name = "harness",
  .memory = { on_map, on_unmap, on_set_log_dirty, on_sync_dirty },
  .set_gsi = set_gsi,
  .signal_msi = signal_msi,
  .alloc_msi_route = alloc_msi_route,
  .set_msi_route = set_msi_route,
  .free_msi_route = free_msi_route,
  .irqfd = set_irqfd,
  .ioeventfd = set_ioeventfd,
  .hold_routes = hold_routes,
  .release_routes = release_routes,
  .gsi_is_open = gsi_is_open,
  .set_vfio = set_vfio,
};

static void
clear_request (gpointer data)
{
  g_free (((HarnessRequest *)data)->detail);
}

static void
on_request (
    VmmMachine *machine, VmmRequest request, guint64 value, const char *detail, gpointer user_data)
{
  HarnessMachine *h = user_data;
  HarnessRequest entry = { request, value, g_strdup (detail) };

  g_array_append_val (h->requests, entry);
}

HarnessMachine *
harness_new (guint64 ram_size)
{
  HarnessMachine *h = g_new0 (HarnessMachine, 1);
  g_autoptr (GError) error = NULL;

  h->accel.ops = &accel_ops;
  h->msis = g_array_new (FALSE, TRUE, sizeof (HarnessMsi));
  h->requests = g_array_new (FALSE, TRUE, sizeof (HarnessRequest));
  g_array_set_clear_func (h->requests, clear_request);
  h->routes = g_array_new (FALSE, TRUE, sizeof (Route));
  h->irqfds = g_array_new (FALSE, TRUE, sizeof (IrqFd));
  h->ioeventfds = g_array_new (FALSE, TRUE, sizeof (IoEventFd));
  h->alloc_next = 0x10000;
  h->clock = vmm_clock_new_fake (HARNESS_START_NS, HARNESS_START_WALL_US);
  h->machine = vmm_machine_new (&h->accel, h->clock, &error);
  g_assert_no_error (error);
  vmm_machine_set_request_func (h->machine, on_request, h);
  if (ram_size > 0)
    {
      h->ram = vmm_ram_block_new ("ram", ram_size, VMM_RAM_NONE, &error);
      g_assert_no_error (error);
      h->ram_size = ram_size;
      g_assert_nonnull (vmm_guest_memory_map (vmm_machine_get_memory (h->machine), h->ram, 0,
                                              vmm_gpa (0), ram_size, VMM_MAP_NONE, &error));
    }
  return h;
}

void
harness_free (HarnessMachine *h)
{
  if (h == NULL)
    return;
  vmm_machine_free (h->machine);
  g_assert_cmpuint (h->n_slots, ==, 0);
  /* A device that leaves fds behind in the hypervisor would signal into the void. */
  g_assert_cmpuint (h->irqfds->len, ==, 0);
  g_assert_cmpuint (h->ioeventfds->len, ==, 0);
  vmm_ram_block_unref (h->ram);
  g_array_unref (h->msis);
  g_array_unref (h->requests);
  g_array_unref (h->routes);
  g_array_unref (h->irqfds);
  g_array_unref (h->ioeventfds);
  g_free (h);
}

static gboolean
deliver_irqfds (HarnessMachine *h)
{
  gboolean any = FALSE;

  for (guint i = 0; i < h->irqfds->len; i++)
    {
      IrqFd *entry = &g_array_index (h->irqfds, IrqFd, i);
      guint64 n;

      if (read (entry->fd, &n, sizeof n) != sizeof n)
        continue;
      any = TRUE;
      if (entry->gsi < VMM_MACHINE_N_GSI)
        {
          set_gsi (&h->accel, entry->gsi, TRUE);
          if (entry->resample_fd < 0)
            set_gsi (&h->accel, entry->gsi, FALSE);
        }
      else
        g_array_append_val (h->msis, find_route (h, entry->gsi)->msi);
    }
  return any;
}

void
harness_run (HarnessMachine *h)
{
  gboolean more = TRUE;

  /* Bounded: two devices that wake each other for ever are a bug that a test should show. */
  for (guint turns = 0; more; turns++)
    {
      g_assert_cmpuint (turns, <, 100000);
      more = vmm_machine_iterate (h->machine);
      more |= deliver_irqfds (h);
    }
}

void
harness_advance (HarnessMachine *h, gint64 ns)
{
  vmm_clock_advance (h->clock, ns);
  harness_run (h);
}

void
harness_end_interrupt (HarnessMachine *h, guint gsi)
{
  const guint64 one = 1;

  set_gsi (&h->accel, gsi, FALSE);
  for (guint i = 0; i < h->irqfds->len; i++)
    {
      IrqFd *entry = &g_array_index (h->irqfds, IrqFd, i);

      if (entry->gsi == gsi && entry->resample_fd >= 0)
        g_assert_cmpint (write (entry->resample_fd, &one, sizeof one), ==, sizeof one);
    }
}

/* As the kernel does it: exact address; the size must match unless it is 0. */
static gboolean
hit_ioeventfd (HarnessMachine *h, gboolean pio, guint64 address, guint size, guint64 value)
{
  const guint64 one = 1;

  for (guint i = 0; i < h->ioeventfds->len; i++)
    {
      IoEventFd *entry = &g_array_index (h->ioeventfds, IoEventFd, i);

      if (entry->pio != pio || entry->address != address ||
          (entry->size != 0 && entry->size != size) || (entry->has_match && entry->match != value))
        continue;
      g_assert_cmpint (write (entry->fd, &one, sizeof one), ==, sizeof one);
      return TRUE;
    }
  return FALSE;
}

gboolean
harness_has_ioeventfd (HarnessMachine *h, gboolean pio, guint64 address)
{
  for (guint i = 0; i < h->ioeventfds->len; i++)
    {
      IoEventFd *entry = &g_array_index (h->ioeventfds, IoEventFd, i);

      if (entry->pio == pio && entry->address == address)
        return TRUE;
    }
  return FALSE;
}

guint64
harness_in (HarnessMachine *h, guint16 port, guint size)
{
  guint64 value = 0;

  (void)vmm_bus_read (vmm_machine_get_pio (h->machine), port, size, &value);
  return value;
}

void
harness_out (HarnessMachine *h, guint16 port, guint size, guint64 value)
{
  if (!hit_ioeventfd (h, TRUE, port, size, value))
    (void)vmm_bus_write (vmm_machine_get_pio (h->machine), port, size, value);
}

guint64
harness_mmio_read (HarnessMachine *h, guint64 address, guint size)
{
  guint64 value = 0;

  (void)vmm_bus_read (vmm_machine_get_mmio (h->machine), address, size, &value);
  return value;
}

void
harness_mmio_write (HarnessMachine *h, guint64 address, guint size, guint64 value)
{
  if (!hit_ioeventfd (h, FALSE, address, size, value))
    (void)vmm_bus_write (vmm_machine_get_mmio (h->machine), address, size, value);
}

void
harness_write (HarnessMachine *h, guint64 gpa, gconstpointer data, gsize length)
{
  g_assert_true (
      vmm_guest_memory_write (vmm_machine_get_memory (h->machine), vmm_gpa (gpa), data, length));
}

void
harness_read (HarnessMachine *h, guint64 gpa, gpointer data, gsize length)
{
  g_assert_true (
      vmm_guest_memory_read (vmm_machine_get_memory (h->machine), vmm_gpa (gpa), data, length));
}

guint64
harness_read_le (HarnessMachine *h, guint64 gpa, guint size)
{
  guint64 value = 0;

  harness_read (h, gpa, &value, size);
  return GUINT64_FROM_LE (value);
}

void
harness_write_le (HarnessMachine *h, guint64 gpa, guint size, guint64 value)
{
  value = GUINT64_TO_LE (value);
  harness_write (h, gpa, &value, size);
}

guint64
harness_alloc (HarnessMachine *h, guint64 size, guint64 align)
{
  guint64 gpa = (h->alloc_next + align - 1) & ~(align - 1);

  g_assert_cmpuint (gpa + size, <=, h->ram_size);
  h->alloc_next = gpa + size;
  return gpa;
}

guint
harness_get_n_msis (HarnessMachine *h)
{
  deliver_irqfds (h);
  return h->msis->len;
}

HarnessMsi
harness_get_msi (HarnessMachine *h, guint i)
{
  g_assert_cmpuint (i, <, h->msis->len);
  return g_array_index (h->msis, HarnessMsi, i);
}

void
harness_clear_msis (HarnessMachine *h)
{
  deliver_irqfds (h);
  g_array_set_size (h->msis, 0);
}

guint
harness_count_msi (HarnessMachine *h, guint32 data)
{
  guint n = 0;

  deliver_irqfds (h);
  for (guint i = 0; i < h->msis->len; i++)
    if (g_array_index (h->msis, HarnessMsi, i).data == data)
      n++;
  return n;
}

VmmRequest
harness_take_request (HarnessMachine *h, guint64 *ret_value)
{
  HarnessRequest *last;
  VmmRequest request;

  if (h->requests->len == 0)
    return VMM_REQUEST_NONE;
  last = &g_array_index (h->requests, HarnessRequest, h->requests->len - 1);
  request = last->request;
  if (ret_value != NULL)
    *ret_value = last->value;
  g_array_set_size (h->requests, 0);
  return request;
}

VmmDevice *
harness_realize (HarnessMachine *h, VmmDevice *device)
{
  g_autoptr (GError) error = NULL;

  vmm_device_realize (device, h->machine, &error);
  g_assert_no_error (error);
  return device;
}

GBytes *
harness_save (HarnessMachine *h)
{
  g_autoptr (GError) error = NULL;
  VmmStateWriter *writer = vmm_state_writer_new ();
  GBytes *bytes;

  vmm_machine_quiesce_devices (h->machine);
  vmm_machine_save_devices (h->machine, writer, &error);
  g_assert_no_error (error);
  bytes = vmm_state_writer_finish (writer);
  vmm_state_writer_free (writer);
  vmm_machine_resume_devices (h->machine);
  return bytes;
}

gboolean
harness_load (HarnessMachine *h, GBytes *state, GError **error)
{
  VmmStateReader *reader = vmm_state_reader_new (state, error);
  gboolean ok;

  if (reader == NULL)
    return FALSE;
  vmm_machine_quiesce_devices (h->machine);
  ok = vmm_machine_load_devices (h->machine, reader, error);
  vmm_machine_resume_devices (h->machine);
  vmm_state_reader_free (reader);
  return ok;
}

static void
assert_same (GBytes *a, GBytes *b)
{
  g_assert_cmpmem (g_bytes_get_data (a, NULL), g_bytes_get_size (a), g_bytes_get_data (b, NULL),
                   g_bytes_get_size (b));
}

void
harness_check_save_load (HarnessMachine *h)
{
  harness_check_save_load_into (h, h);
}

void
harness_check_save_load_into (HarnessMachine *from, HarnessMachine *to)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) first = harness_save (from), second = NULL;

  harness_load (to, first, &error);
  g_assert_no_error (error);
  second = harness_save (to);
  assert_same (first, second);
}

/* The checksum of every section, so that damage reaches the devices' own checks. */
static guint32
crc32c_slow (const guint8 *data, gsize length)
{
  guint32 crc = 0xffffffff;

  for (gsize i = 0; i < length; i++)
    {
      crc ^= data[i];
      for (guint bit = 0; bit < 8; bit++)
        crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
    }
  return ~crc;
}

static void
mend_checksums (guint8 *data, gsize size)
{
  gsize at = 16;

  while (at + 24 <= size && memcmp (data + at, "SECT", 4) == 0)
    {
      guint64 length;
      guint16 names[2];
      gsize total;
      guint32 crc;

      memcpy (names, data + at + 12, sizeof names);
      memcpy (&length, data + at + 16, sizeof length);
      total = 24u + names[0] + names[1];
      if (at + total > size || length > size - at - total)
        return;
      total += length;
      crc = crc32c_slow (data + at + 8, total - 8);
      memcpy (data + at + 4, &crc, sizeof crc);
      at += total;
    }
}

void
harness_storm_load (HarnessMachine *h, GBytes *state, guint32 seed, guint n_rounds)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  gsize size = g_bytes_get_size (state);

  for (guint round = 0; round < n_rounds; round++)
    {
      g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (state, NULL), size);
      g_autoptr (GBytes) damaged = NULL;
      gsize length = size;

      if (round % 8 == 7)
        length = (gsize)g_rand_int_range (rand, 0, (gint)size);
      else
        for (guint n = (guint)g_rand_int_range (rand, 1, 5); n > 0; n--)
          copy[g_rand_int_range (rand, 16, (gint)size)] = (guint8)g_rand_int (rand);
      mend_checksums (copy, length);
      damaged = g_bytes_new (copy, length);
      (void)harness_load (h, damaged, NULL);
    }
}
