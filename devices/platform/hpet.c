/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/hpet.h"

#include "vmm/machine.h"

/* Register map (IA-PC HPET 1.0a, 2.3), all 64 bit, in halves or whole:
 *   000 capabilities RO   010 configuration RW 0   020 interrupt status W1C 0   0f0 counter RW 0
 *   100+20n timer configuration RW   108+20n comparator RW all-ones   110+20n FSB route (absent) */
#define REG_CAPABILITIES 0x000
#define REG_CONFIG       0x010
#define REG_STATUS       0x020
#define REG_COUNTER      0x0f0
#define REG_TIMERS       0x100
#define TIMER_STRIDE     0x20
#define TIMER_CONFIG     0x00
#define TIMER_COMPARATOR 0x08

#define CAPABILITIES                                                                               \
  (G_GUINT64_CONSTANT (0x8086) << 16 | 1 /* revision */ | (HPET_N_TIMERS - 1) << 8 |               \
   1 << 13 /* 64-bit counter */ | G_GUINT64_CONSTANT (10000000) << 32 /* fs a tick */)

#define CONFIG_ENABLE 1u

#define TIMER_LEVEL     (1u << 1)
#define TIMER_ENABLE    (1u << 2)
#define TIMER_PERIODIC  (1u << 3)
#define TIMER_VALUE_SET (1u << 6)
#define TIMER_32BIT     (1u << 8)
#define TIMER_ROUTE(c)  (((c) >> 9) & 31)
#define TIMER_WRITABLE                                                                             \
  (TIMER_LEVEL | TIMER_ENABLE | TIMER_PERIODIC | TIMER_VALUE_SET | TIMER_32BIT | 31u << 9)
/* Periodic capable, 64 bit, IOAPIC pins 16 to 23. */
#define TIMER_FIXED (1u << 4 | 1u << 5 | G_GUINT64_CONSTANT (0x00ff0000) << 32)
#define ROUTE_FIRST 16
#define ROUTE_LAST  23

/* The shortest period that is honoured one by one; what a guest asks beyond is merged. */
#define MIN_PERIOD_TICKS (100000 / HPET_PERIOD_NS)
/* A comparator further away is looked at again after this: keeps nanoseconds in range. */
#define MAX_WAIT_TICKS   (G_GUINT64_CONSTANT (3600) * VMM_NSEC_PER_SEC / HPET_PERIOD_NS)

typedef struct _Hpet Hpet;

typedef struct
{
  Hpet *hpet;
  guint index;
  VmmTimer *timer;
  VmmIrqLine line;
} HpetTimer;

struct _Hpet
{
  VmmDevice parent;
  struct
  {
    guint64 base;
  } config;
  struct
  {
    guint64 enabled; /* the configuration register */
    guint64 status;
    guint64 counter; /* its value at since_ns; while halted, its value */
    gint64 since_ns;
    guint64 timer_config[HPET_N_TIMERS];
    guint64 comparator[HPET_N_TIMERS];
    guint64 period[HPET_N_TIMERS]; /* ticks */
  } guest;
  struct
  {
    VmmRegion region;
    HpetTimer timers[HPET_N_TIMERS];
  } host;
};

static gint64
now_ns (Hpet *hpet)
{
  return vmm_clock_get_ns (vmm_machine_get_clock (hpet->parent.machine));
}

static guint64
get_counter (Hpet *hpet)
{
  if ((hpet->guest.enabled & CONFIG_ENABLE) == 0)
    return hpet->guest.counter;
  return hpet->guest.counter + (guint64)(now_ns (hpet) - hpet->guest.since_ns) / HPET_PERIOD_NS;
}

static guint64
width_mask (Hpet *hpet, guint n)
{
  return hpet->guest.timer_config[n] & TIMER_32BIT ? G_MAXUINT32 : G_MAXUINT64;
}

/* Lock held, for all of the following. Arms the host timer for the comparator's next match. */
static void
arm (Hpet *hpet, guint n)
{
  VmmTimer *timer = hpet->host.timers[n].timer;
  guint64 wait;

  if ((hpet->guest.enabled & CONFIG_ENABLE) == 0)
    {
      vmm_timer_set (timer, VMM_CLOCK_NEVER);
      return;
    }
  wait = (hpet->guest.comparator[n] - get_counter (hpet)) & width_mask (hpet, n);
  wait = MIN (wait, MAX_WAIT_TICKS);
  vmm_timer_set (timer, now_ns (hpet) + (gint64)wait * HPET_PERIOD_NS);
}

/* Level: the line follows the status bit while the timer is enabled. */
static void
update_line (Hpet *hpet, guint n)
{
  guint64 config = hpet->guest.timer_config[n];

  vmm_irq_line_set (&hpet->host.timers[n].line,
                    (config & (TIMER_LEVEL | TIMER_ENABLE)) == (TIMER_LEVEL | TIMER_ENABLE) &&
                        (hpet->guest.status >> n & 1) != 0);
}

static void
match (Hpet *hpet, guint n)
{
  guint64 config = hpet->guest.timer_config[n];

  if ((config & TIMER_LEVEL) != 0)
    {
      hpet->guest.status |= 1u << n;
      update_line (hpet, n);
    }
  else if ((config & TIMER_ENABLE) != 0)
    vmm_irq_line_pulse (&hpet->host.timers[n].line);
}

static void
on_timer (gpointer user_data)
{
  HpetTimer *timer = user_data;
  Hpet *hpet = timer->hpet;
  guint n = timer->index;
  guint64 mask, late;

  g_mutex_lock (&hpet->parent.lock);
  mask = width_mask (hpet, n);
  late = (get_counter (hpet) - hpet->guest.comparator[n]) & mask;
  if ((hpet->guest.enabled & CONFIG_ENABLE) != 0 && late <= mask / 2)
    {
      match (hpet, n);
      if ((hpet->guest.timer_config[n] & TIMER_PERIODIC) != 0 && hpet->guest.period[n] != 0)
        {
          /* Matches that were missed are merged into this one. */
          guint64 period = MAX (hpet->guest.period[n], MIN_PERIOD_TICKS);

          hpet->guest.comparator[n] =
              (hpet->guest.comparator[n] + (late / period + 1) * period) & mask;
          arm (hpet, n);
        }
      else
        /* The next match is a whole turn of the counter away. */
        vmm_timer_set (timer->timer,
                       now_ns (hpet) + (gint64)MIN (mask, MAX_WAIT_TICKS) * HPET_PERIOD_NS);
    }
  else
    arm (hpet, n);
  g_mutex_unlock (&hpet->parent.lock);
}

/* Bits [shift, shift + size * 8) of old replaced by value. */
static guint64
merge (guint64 old, guint64 value, guint shift, guint size)
{
  guint64 mask = size == 8 ? G_MAXUINT64 : (guint64)G_MAXUINT32 << shift;

  return (old & ~mask) | ((value << shift) & mask);
}

static VmmIoResult
read_register (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  Hpet *hpet = opaque;
  guint64 reg = offset & ~(guint64)7;
  guint n = (guint)(reg - REG_TIMERS) / TIMER_STRIDE;
  VmmIoResult result = VMM_IO_OK;

  if (reg == REG_CAPABILITIES)
    *value = CAPABILITIES;
  else if (reg == REG_CONFIG)
    *value = hpet->guest.enabled;
  else if (reg == REG_STATUS)
    *value = hpet->guest.status;
  else if (reg == REG_COUNTER)
    *value = get_counter (hpet);
  else if (reg >= REG_TIMERS && n < HPET_N_TIMERS && (reg & 0x1f) == TIMER_CONFIG)
    *value = hpet->guest.timer_config[n] | TIMER_FIXED;
  else if (reg >= REG_TIMERS && n < HPET_N_TIMERS && (reg & 0x1f) == TIMER_COMPARATOR)
    *value = hpet->guest.comparator[n];
  else
    result = VMM_IO_UNKNOWN;
  *value >>= (offset & 7) * 8;
  if (size == 4)
    *value &= G_MAXUINT32;
  return result;
}

static void
write_config (Hpet *hpet, guint64 value)
{
  gboolean was = hpet->guest.enabled & CONFIG_ENABLE;
  gboolean is = value & CONFIG_ENABLE;

  if (was && !is)
    hpet->guest.counter = get_counter (hpet);
  if (!was && is)
    hpet->guest.since_ns = now_ns (hpet);
  hpet->guest.enabled = value & CONFIG_ENABLE;
  for (guint n = 0; n < HPET_N_TIMERS; n++)
    arm (hpet, n);
}

static void
write_counter (Hpet *hpet, guint64 value, guint shift, guint size)
{
  hpet->guest.counter = merge (get_counter (hpet), value, shift, size);
  hpet->guest.since_ns = now_ns (hpet);
  for (guint n = 0; n < HPET_N_TIMERS; n++)
    arm (hpet, n);
}

static void
set_route (Hpet *hpet, guint n)
{
  guint route = (guint)TIMER_ROUTE (hpet->guest.timer_config[n]);
  VmmIrqLine *line = &hpet->host.timers[n].line;

  route = CLAMP (route, ROUTE_FIRST, ROUTE_LAST);
  if (line->gsi != route)
    {
      vmm_irq_line_set (line, FALSE);
      vmm_irq_line_init (line, hpet->parent.machine, route);
    }
  update_line (hpet, n);
}

static void
write_timer_config (Hpet *hpet, guint n, guint64 value)
{
  guint route = (guint)TIMER_ROUTE (value);

  value &= TIMER_WRITABLE;
  /* 2.3.8: a route that is not allowed does not read back. */
  if (route < ROUTE_FIRST || route > ROUTE_LAST)
    value &= ~(guint64)(31u << 9);
  hpet->guest.timer_config[n] = value;
  if ((value & TIMER_32BIT) != 0)
    {
      hpet->guest.comparator[n] &= G_MAXUINT32;
      hpet->guest.period[n] &= G_MAXUINT32;
    }
  set_route (hpet, n);
  arm (hpet, n);
}

static void
write_comparator (Hpet *hpet, guint n, guint64 value, guint shift, guint size)
{
  guint64 config = hpet->guest.timer_config[n];
  gboolean periodic = (config & TIMER_PERIODIC) != 0;

  if ((config & TIMER_32BIT) != 0 && shift != 0)
    return;
  /* 2.3.9.2.2: a periodic timer takes the period here, and the first match too with VAL_SET. */
  if (!periodic || (config & TIMER_VALUE_SET) != 0)
    hpet->guest.comparator[n] =
        merge (hpet->guest.comparator[n], value, shift, size) & width_mask (hpet, n);
  if (periodic)
    hpet->guest.period[n] =
        merge (hpet->guest.period[n], value, shift, size) & width_mask (hpet, n);
  if (shift != 0 || size == 8 || (config & TIMER_32BIT) != 0)
    hpet->guest.timer_config[n] &= ~(guint64)TIMER_VALUE_SET;
  arm (hpet, n);
}

static VmmIoResult
write_register (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Hpet *hpet = opaque;
  guint64 reg = offset & ~(guint64)7;
  guint shift = (guint)(offset & 7) * 8;
  guint n = (guint)(reg - REG_TIMERS) / TIMER_STRIDE;

  if (reg == REG_CAPABILITIES)
    return VMM_IO_OK; /* read only */
  if (reg == REG_CONFIG)
    {
      if (shift == 0)
        write_config (hpet, value);
    }
  else if (reg == REG_STATUS)
    {
      if (shift == 0)
        hpet->guest.status &= ~value;
      for (guint i = 0; i < HPET_N_TIMERS; i++)
        update_line (hpet, i);
    }
  else if (reg == REG_COUNTER)
    write_counter (hpet, value, shift, size);
  else if (reg >= REG_TIMERS && n < HPET_N_TIMERS && (reg & 0x1f) == TIMER_CONFIG)
    {
      if (shift == 0)
        write_timer_config (hpet, n, value);
    }
  else if (reg >= REG_TIMERS && n < HPET_N_TIMERS && (reg & 0x1f) == TIMER_COMPARATOR)
    write_comparator (hpet, n, value, shift, size);
  else
    return VMM_IO_UNKNOWN;
  return VMM_IO_OK;
}

static const VmmRegionOps region_ops = {
  .name = "hpet",
  .min_size = 4,
  .max_size = 8,
  .read = read_register,
  .write = write_register,
};

static void
reset (VmmDevice *device, VmmResetKind kind)
{
  Hpet *hpet = (Hpet *)device;

  g_mutex_lock (&device->lock);
  hpet->guest.enabled = 0;
  hpet->guest.status = 0;
  hpet->guest.counter = 0;
  hpet->guest.since_ns = 0;
  for (guint n = 0; n < HPET_N_TIMERS; n++)
    {
      hpet->guest.timer_config[n] = 0;
      hpet->guest.comparator[n] = G_MAXUINT64;
      hpet->guest.period[n] = 0;
      set_route (hpet, n);
      arm (hpet, n);
    }
  g_mutex_unlock (&device->lock);
}

static gboolean
realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  Hpet *hpet = (Hpet *)device;

  vmm_region_init (&hpet->host.region, &region_ops, hpet, &device->lock, HPET_SIZE);
  if (!vmm_bus_map (vmm_machine_get_mmio (machine), hpet->config.base, &hpet->host.region, error))
    return FALSE;
  for (guint n = 0; n < HPET_N_TIMERS; n++)
    {
      HpetTimer *timer = &hpet->host.timers[n];

      timer->hpet = hpet;
      timer->index = n;
      timer->timer = vmm_timer_new (vmm_machine_get_clock (machine),
                                    vmm_machine_get_worker (machine), on_timer, timer);
      vmm_irq_line_init (&timer->line, machine, ROUTE_FIRST);
    }
  reset (device, VMM_RESET_COLD);
  return TRUE;
}

static void
unrealize (VmmDevice *device)
{
  Hpet *hpet = (Hpet *)device;

  vmm_bus_unmap (&hpet->host.region);
  vmm_region_drain (&hpet->host.region);
  for (guint n = 0; n < HPET_N_TIMERS; n++)
    {
      vmm_timer_free (hpet->host.timers[n].timer);
      vmm_irq_line_set (&hpet->host.timers[n].line, FALSE);
    }
}

/* The machine's clock stands still: no timer fires between quiesce and resume. */
static void
quiesce (VmmDevice *device)
{
}

static void
resume (VmmDevice *device)
{
}

static const VmmStateField fields[] = {
  VMM_STATE_FIELD (Hpet, guest.enabled, VMM_STATE_U64),
  VMM_STATE_FIELD (Hpet, guest.status, VMM_STATE_U64),
  VMM_STATE_ARRAY (Hpet, guest.timer_config, VMM_STATE_U64, HPET_N_TIMERS),
  VMM_STATE_ARRAY (Hpet, guest.comparator, VMM_STATE_U64, HPET_N_TIMERS),
  VMM_STATE_ARRAY (Hpet, guest.period, VMM_STATE_U64, HPET_N_TIMERS),
};

static gboolean
save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  Hpet *hpet = (Hpet *)device;

  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), hpet);
  vmm_state_put_uint (writer, "counter", get_counter (hpet));
  return TRUE;
}

static gboolean
load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  Hpet *hpet = (Hpet *)device;

  if (!vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), hpet, error) ||
      !vmm_state_get_uint (reader, "counter", G_MAXUINT64, &hpet->guest.counter, error))
    return FALSE;
  hpet->guest.since_ns = now_ns (hpet);
  hpet->guest.enabled &= CONFIG_ENABLE;
  hpet->guest.status &= (1u << HPET_N_TIMERS) - 1;
  for (guint n = 0; n < HPET_N_TIMERS; n++)
    {
      hpet->guest.timer_config[n] &= TIMER_WRITABLE;
      hpet->guest.comparator[n] &= width_mask (hpet, n);
      hpet->guest.period[n] &= width_mask (hpet, n);
      set_route (hpet, n);
      arm (hpet, n);
    }
  return TRUE;
}

static const VmmProperty properties[] = {
  { "base", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (Hpet, config.base), 0, G_MAXUINT64 - HPET_SIZE,
    .default_uint = 0xfed00000 },
  { NULL },
};

const VmmDeviceOps hpet_ops = {
  .name = "hpet",
  .summary = "High precision event timer",
  .spec = "IA-PC HPET 1.0a",
  .instance_size = sizeof (Hpet),
  .state_version = 1,
  .properties = properties,
  .realize = realize,
  .unrealize = unrealize,
  .reset = reset,
  .quiesce = quiesce,
  .resume = resume,
  .save = save,
  .load = load,
};
