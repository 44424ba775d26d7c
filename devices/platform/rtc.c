/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/rtc.h"

#include "vmm/machine.h"

#include <string.h>

#define SECONDS       0
#define SECONDS_ALARM 1
#define MINUTES       2
#define MINUTES_ALARM 3
#define HOURS         4
#define HOURS_ALARM   5
#define DAY_OF_WEEK   6
#define DAY           7
#define MONTH         8
#define YEAR          9
#define REG_A         10
#define REG_B         11
#define REG_C         12
#define REG_D         13
#define CENTURY       0x32

#define A_UIP        (1u << 7)
#define A_DV         0x70u
#define A_RS         0x0fu
#define A_DV_RUNNING 0x20u

#define B_SET (1u << 7)
#define B_PIE (1u << 6)
#define B_AIE (1u << 5)
#define B_UIE (1u << 4)
#define B_DM  (1u << 2) /* binary, not BCD */
#define B_24H (1u << 1)

#define C_IRQF (1u << 7)
#define C_PF   (1u << 6)
#define C_AF   (1u << 5)
#define C_UF   (1u << 4)

#define D_VRT (1u << 7)

#define CMOS_SIZE   128
#define USEC        G_GINT64_CONSTANT (1000000)
/* UIP rises 244 µs before the update. MC146818A, "Update cycle". */
#define UIP_LEAD_US 244
/* What the guest may be away from the host's clock, either way: 10,000 years. */
#define OFFSET_MAX  (G_GINT64_CONSTANT (10000) * 366 * 86400 * USEC)

struct _Rtc
{
  VmmDevice parent;
  struct
  {
    gboolean localtime;
  } config;
  struct
  {
    guint8 index;
    guint8 cmos[CMOS_SIZE]; /* time registers are valid only while B_SET */
    guint64 offset_us;      /* guest time less host wall time, as two's complement */
    guint64 seen_s;         /* the second up to which UF and AF are worked out */
    guint64 next_periodic_ns;
  } guest;
  struct
  {
    VmmRegion region;
    VmmIrqLine irq;
    VmmClock *clock;
    VmmTimer *periodic, *update;
    guint8 initial[CMOS_SIZE];
    gboolean started;
  } host;
};

static gint64
guest_now_us (Rtc *rtc)
{
  return (gint64)((guint64)vmm_clock_get_wall_us (rtc->host.clock) + rtc->guest.offset_us);
}

static gint64
floor_seconds (gint64 us)
{
  return us >= 0 ? us / USEC : -((-us + USEC - 1) / USEC);
}

static gboolean
running (Rtc *rtc)
{
  return (rtc->guest.cmos[REG_B] & B_SET) == 0 && (rtc->guest.cmos[REG_A] & A_DV) <= A_DV_RUNNING;
}

static guint8
encode (Rtc *rtc, guint value)
{
  if ((rtc->guest.cmos[REG_B] & B_DM) != 0)
    return (guint8)value;
  return (guint8)(value / 10 % 10 << 4 | value % 10);
}

static guint
decode (Rtc *rtc, guint8 value)
{
  if ((rtc->guest.cmos[REG_B] & B_DM) != 0)
    return value;
  return (value >> 4u) * 10u + (value & 15u);
}

static guint8
encode_hours (Rtc *rtc, guint hours)
{
  guint8 byte;

  if ((rtc->guest.cmos[REG_B] & B_24H) != 0)
    return encode (rtc, hours);
  byte = encode (rtc, hours % 12 == 0 ? 12 : hours % 12);
  return hours >= 12 ? byte | 0x80 : byte;
}

static guint
decode_hours (Rtc *rtc, guint8 byte)
{
  guint hours;

  if ((rtc->guest.cmos[REG_B] & B_24H) != 0)
    return decode (rtc, byte);
  hours = decode (rtc, byte & 0x7f) % 12;
  return (byte & 0x80) != 0 ? hours + 12 : hours;
}

/* Days since 1970-01-01 of a civil date (proleptic Gregorian). month 1..12, day 1..31. */
static gint64
days_from_civil (gint64 year, guint month, guint day)
{
  gint64 shifted = month <= 2 ? year - 1 : year; /* years begin in March */
  gint64 era = (shifted >= 0 ? shifted : shifted - 399) / 400;
  gint64 year_of_era = shifted - era * 400;
  gint64 day_of_year = (153 * (gint64)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
         719468;
}

static void
civil_from_days (gint64 days, gint64 *ret_year, guint *ret_month, guint *ret_day)
{
  gint64 shifted = days + 719468;
  gint64 era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  gint64 doe = shifted - era * 146097;
  gint64 yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  gint64 doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  gint64 mp = (5 * doy + 2) / 153;

  *ret_day = (guint)(doy - (153 * mp + 2) / 5 + 1);
  *ret_month = (guint)(mp < 10 ? mp + 3 : mp - 9);
  *ret_year = yoe + era * 400 + (*ret_month <= 2 ? 1 : 0);
}

/* Writes the time of day into the registers. */
static void
time_to_registers (Rtc *rtc, gint64 seconds)
{
  gint64 days = seconds >= 0 ? seconds / 86400 : -((-seconds + 86399) / 86400), year;
  guint of_day = (guint)(seconds - days * 86400), month, day;
  guint8 *cmos = rtc->guest.cmos;

  civil_from_days (days, &year, &month, &day);
  cmos[SECONDS] = encode (rtc, of_day % 60);
  cmos[MINUTES] = encode (rtc, of_day / 60 % 60);
  cmos[HOURS] = encode_hours (rtc, of_day / 3600);
  cmos[DAY_OF_WEEK] = encode (rtc, (guint)(((days + 4) % 7 + 7) % 7) + 1);
  cmos[DAY] = encode (rtc, day);
  cmos[MONTH] = encode (rtc, month);
  cmos[YEAR] = encode (rtc, (guint)((year % 100 + 100) % 100));
  cmos[CENTURY] = encode (rtc, (guint)((year / 100 % 100 + 100) % 100));
}

static gint64
registers_to_time (Rtc *rtc)
{
  const guint8 *cmos = rtc->guest.cmos;
  guint month = CLAMP (decode (rtc, cmos[MONTH]), 1, 12);
  guint day = CLAMP (decode (rtc, cmos[DAY]), 1, 31);
  gint64 year = (gint64)decode (rtc, cmos[CENTURY]) * 100 + decode (rtc, cmos[YEAR]);

  return days_from_civil (year, month, day) * 86400 +
         (gint64)MIN (decode_hours (rtc, cmos[HOURS]), 23) * 3600 +
         (gint64)MIN (decode (rtc, cmos[MINUTES]), 59) * 60 + MIN (decode (rtc, cmos[SECONDS]), 59);
}

/* The guest wrote the time: what it is away from the wall clock from now on. */
static void
adopt_time (Rtc *rtc)
{
  gint64 wall = vmm_clock_get_wall_us (rtc->host.clock);
  gint64 offset = registers_to_time (rtc) * USEC - wall;

  rtc->guest.offset_us = (guint64)CLAMP (offset, -OFFSET_MAX, OFFSET_MAX);
  rtc->guest.seen_s = (guint64)floor_seconds (guest_now_us (rtc));
}

/* MC146818A, "Alarm": the two top bits set mean any value. */
static gboolean
alarm_matches (Rtc *rtc, gint64 second)
{
  const guint8 *cmos = rtc->guest.cmos;
  guint of_day = (guint)(((second % 86400) + 86400) % 86400);

  return (cmos[SECONDS_ALARM] >= 0xc0 || decode (rtc, cmos[SECONDS_ALARM]) == of_day % 60) &&
         (cmos[MINUTES_ALARM] >= 0xc0 || decode (rtc, cmos[MINUTES_ALARM]) == of_day / 60 % 60) &&
         (cmos[HOURS_ALARM] >= 0xc0 || decode_hours (rtc, cmos[HOURS_ALARM]) == of_day / 3600);
}

static void
update_irq (Rtc *rtc)
{
  guint8 *cmos = rtc->guest.cmos;

  if ((cmos[REG_C] & cmos[REG_B] & (C_PF | C_AF | C_UF)) != 0)
    cmos[REG_C] |= C_IRQF;
  vmm_irq_line_set (&rtc->host.irq, (cmos[REG_C] & C_IRQF) != 0);
}

/* Sets UF and AF for the seconds that passed since they were last worked out, and the next timer
 * when an interrupt depends on it. */
static void
catch_up (Rtc *rtc)
{
  gint64 now_us, now, from;

  if (!running (rtc))
    {
      vmm_timer_set (rtc->host.update, VMM_CLOCK_NEVER);
      return;
    }
  now_us = guest_now_us (rtc);
  now = floor_seconds (now_us);
  from = (gint64)rtc->guest.seen_s;
  if (now != from)
    {
      rtc->guest.cmos[REG_C] |= C_UF;
      /* A day holds every alarm, so nothing older needs to be looked at. */
      if (from > now || now - from > 86400)
        from = now - 86400;
      for (gint64 s = from + 1; s <= now && (rtc->guest.cmos[REG_C] & C_AF) == 0; s++)
        if (alarm_matches (rtc, s))
          rtc->guest.cmos[REG_C] |= C_AF;
      rtc->guest.seen_s = (guint64)now;
    }
  if ((rtc->guest.cmos[REG_B] & (B_AIE | B_UIE)) != 0)
    vmm_timer_set (rtc->host.update,
                   vmm_clock_get_ns (rtc->host.clock) + ((now + 1) * USEC - now_us + 1) * 1000);
  else
    vmm_timer_set (rtc->host.update, VMM_CLOCK_NEVER);
}

static void
on_update (gpointer user_data)
{
  Rtc *rtc = user_data;

  g_mutex_lock (&rtc->parent.lock);
  catch_up (rtc);
  update_irq (rtc);
  g_mutex_unlock (&rtc->parent.lock);
}

/* Periodic rates: 1 and 2 are 256 and 128 Hz, n >= 3 is 65536 >> n Hz. 0: off. */
static gint64
periodic_ns (Rtc *rtc)
{
  guint rs = rtc->guest.cmos[REG_A] & A_RS;

  if (rs == 0 || (rtc->guest.cmos[REG_A] & A_DV) > A_DV_RUNNING)
    return 0;
  if (rs < 3)
    rs += 7;
  return VMM_NSEC_PER_SEC * (G_GINT64_CONSTANT (1) << (rs - 1)) / 32768;
}

static void
restart_periodic (Rtc *rtc)
{
  gint64 period = periodic_ns (rtc);

  if (period == 0 || (rtc->guest.cmos[REG_B] & B_PIE) == 0)
    {
      rtc->guest.next_periodic_ns = (guint64)VMM_CLOCK_NEVER;
      vmm_timer_set (rtc->host.periodic, VMM_CLOCK_NEVER);
      return;
    }
  rtc->guest.next_periodic_ns = (guint64)(vmm_clock_get_ns (rtc->host.clock) + period);
  vmm_timer_set (rtc->host.periodic, (gint64)rtc->guest.next_periodic_ns);
}

/* Ticks that nobody fetched run together; the next one keeps the raster. */
static void
on_periodic (gpointer user_data)
{
  Rtc *rtc = user_data;
  gint64 period, now;

  g_mutex_lock (&rtc->parent.lock);
  period = periodic_ns (rtc);
  now = vmm_clock_get_ns (rtc->host.clock);
  if (period > 0 && (rtc->guest.cmos[REG_B] & B_PIE) != 0 &&
      rtc->guest.next_periodic_ns <= (guint64)now)
    {
      gint64 next = (gint64)rtc->guest.next_periodic_ns;

      rtc->guest.cmos[REG_C] |= C_PF;
      next += (1 + (now - next) / period) * period;
      rtc->guest.next_periodic_ns = (guint64)next;
      vmm_timer_set (rtc->host.periodic, next);
    }
  update_irq (rtc);
  g_mutex_unlock (&rtc->parent.lock);
}

static guint8
read_register (Rtc *rtc, guint index)
{
  guint8 *cmos = rtc->guest.cmos, value;
  gint64 now_us;

  switch (index)
    {
    case SECONDS:
    case MINUTES:
    case HOURS:
    case DAY_OF_WEEK:
    case DAY:
    case MONTH:
    case YEAR:
    case CENTURY:
      if (running (rtc))
        time_to_registers (rtc, floor_seconds (guest_now_us (rtc)));
      return cmos[index];
    case REG_A:
      now_us = guest_now_us (rtc);
      if (running (rtc) && now_us - floor_seconds (now_us) * USEC >= USEC - UIP_LEAD_US)
        return cmos[REG_A] | A_UIP;
      return cmos[REG_A];
    case REG_C:
      catch_up (rtc);
      update_irq (rtc);
      value = cmos[REG_C];
      cmos[REG_C] = 0;
      update_irq (rtc);
      return value;
    case REG_D:
      return D_VRT;
    default:
      return cmos[index];
    }
}

static void
write_register (Rtc *rtc, guint index, guint8 value)
{
  guint8 *cmos = rtc->guest.cmos;
  gboolean was_running = running (rtc);

  catch_up (rtc);
  switch (index)
    {
    case SECONDS:
    case MINUTES:
    case HOURS:
    case DAY_OF_WEEK:
    case DAY:
    case MONTH:
    case YEAR:
    case CENTURY:
      if (was_running)
        time_to_registers (rtc, floor_seconds (guest_now_us (rtc)));
      cmos[index] = value;
      if (was_running)
        adopt_time (rtc);
      break;
    case REG_A:
    case REG_B:
      if (was_running)
        time_to_registers (rtc, floor_seconds (guest_now_us (rtc)));
      /* SET clears UIE. MC146818A, register B. */
      if (index == REG_B && (value & B_SET) != 0)
        value &= (guint8)~B_UIE;
      cmos[index] = index == REG_A ? value & (guint8)~A_UIP : value;
      if (!was_running && running (rtc))
        adopt_time (rtc);
      restart_periodic (rtc);
      break;
    case REG_C:
    case REG_D:
      break; /* read-only */
    default:
      cmos[index] = value;
      break;
    }
  catch_up (rtc);
  update_irq (rtc);
}

static VmmIoResult
rtc_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  Rtc *rtc = opaque;

  /* The index port is write-only. */
  *value = offset == 0 ? 0xff : read_register (rtc, rtc->guest.index);
  return VMM_IO_OK;
}

static VmmIoResult
rtc_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Rtc *rtc = opaque;

  if (offset == 0)
    rtc->guest.index = (guint8)value & 0x7f; /* bit 7 masks NMI: there is none */
  else
    write_register (rtc, rtc->guest.index, (guint8)value);
  return VMM_IO_OK;
}

static const VmmRegionOps region_ops = {
  .name = "rtc",
  .min_size = 1,
  .max_size = 1,
  .flags = VMM_REGION_SPLIT,
  .read = rtc_read,
  .write = rtc_write,
};

void
rtc_set_cmos (Rtc *rtc, guint index, guint8 value)
{
  g_assert (index > REG_D && index < CMOS_SIZE);
  rtc->host.initial[index] = value;
  rtc->guest.cmos[index] = value;
}

static gboolean
rtc_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  Rtc *rtc = (Rtc *)device;
  VmmWorker *worker = vmm_machine_get_worker (machine);

  device->machine = machine;
  rtc->host.clock = vmm_machine_get_clock (machine);
  vmm_region_init (&rtc->host.region, &region_ops, rtc, &device->lock, 2);
  if (!vmm_bus_map (vmm_machine_get_pio (machine), 0x70, &rtc->host.region, error))
    return FALSE;
  vmm_irq_line_init (&rtc->host.irq, machine, 8);
  rtc->host.periodic = vmm_timer_new (rtc->host.clock, worker, on_periodic, rtc);
  rtc->host.update = vmm_timer_new (rtc->host.clock, worker, on_update, rtc);
  return TRUE;
}

static void
rtc_unrealize (VmmDevice *device)
{
  Rtc *rtc = (Rtc *)device;

  vmm_bus_unmap (&rtc->host.region);
  vmm_region_drain (&rtc->host.region);
  g_clear_pointer (&rtc->host.periodic, vmm_timer_free);
  g_clear_pointer (&rtc->host.update, vmm_timer_free);
  vmm_irq_line_set (&rtc->host.irq, FALSE);
}

/* Microseconds local time is ahead of UTC at this moment of the host's clock. */
static gint64
local_offset_us (Rtc *rtc)
{
  g_autoptr (GTimeZone) zone = g_time_zone_new_local ();
  gint64 now = vmm_clock_get_wall_us (rtc->host.clock) / USEC;
  gint interval = g_time_zone_find_interval (zone, G_TIME_TYPE_UNIVERSAL, now);

  return interval < 0 ? 0 : (gint64)g_time_zone_get_offset (zone, interval) * USEC;
}

/* The battery keeps time and memory over every reset; RESET# clears the interrupt enables and
 * flags only. Power-on for the first time sets both. */
static void
rtc_reset (VmmDevice *device, VmmResetKind kind)
{
  Rtc *rtc = (Rtc *)device;

  g_mutex_lock (&device->lock);
  if (!rtc->host.started)
    {
      rtc->host.started = TRUE;
      rtc->guest.cmos[REG_A] = 0x26;
      rtc->guest.cmos[REG_B] = B_24H;
      rtc->guest.offset_us = rtc->config.localtime ? (guint64)local_offset_us (rtc) : 0;
      rtc->guest.seen_s = (guint64)floor_seconds (guest_now_us (rtc));
    }
  if (kind == VMM_RESET_COLD)
    for (guint i = REG_D + 1; i < CMOS_SIZE; i++)
      if (i != CENTURY)
        rtc->guest.cmos[i] = rtc->host.initial[i];
  rtc->guest.index = 0;
  rtc->guest.cmos[REG_B] &= (guint8) ~(B_PIE | B_AIE | B_UIE | B_SET);
  rtc->guest.cmos[REG_C] = 0;
  restart_periodic (rtc);
  catch_up (rtc);
  rtc->guest.cmos[REG_C] = 0;
  update_irq (rtc);
  g_mutex_unlock (&device->lock);
}

/* Flags are worked out when somebody looks; a save is a look. */
static void
rtc_quiesce (VmmDevice *device)
{
  Rtc *rtc = (Rtc *)device;

  g_mutex_lock (&device->lock);
  catch_up (rtc);
  update_irq (rtc);
  g_mutex_unlock (&device->lock);
}

static void
rtc_resume (VmmDevice *device)
{
  Rtc *rtc = (Rtc *)device;

  /* The wall clock went on while guest time stood. */
  g_mutex_lock (&device->lock);
  catch_up (rtc);
  update_irq (rtc);
  g_mutex_unlock (&device->lock);
}

static const VmmStateField fields[] = {
  VMM_STATE_FIELD (Rtc, guest.index, VMM_STATE_U8),
  VMM_STATE_ARRAY (Rtc, guest.cmos, VMM_STATE_U8, CMOS_SIZE),
  VMM_STATE_FIELD (Rtc, guest.offset_us, VMM_STATE_U64),
  VMM_STATE_FIELD (Rtc, guest.seen_s, VMM_STATE_U64),
  VMM_STATE_FIELD (Rtc, guest.next_periodic_ns, VMM_STATE_U64),
};

static gboolean
rtc_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), device);
  return TRUE;
}

static gboolean
rtc_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  Rtc *rtc = (Rtc *)device;
  gint64 offset;

  if (!vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), device, error))
    return FALSE;
  g_mutex_lock (&device->lock);
  rtc->host.started = TRUE;
  rtc->guest.index &= 0x7f;
  rtc->guest.cmos[REG_A] &= (guint8)~A_UIP;
  offset = (gint64)rtc->guest.offset_us;
  rtc->guest.offset_us = (guint64)CLAMP (offset, -OFFSET_MAX, OFFSET_MAX);
  if (periodic_ns (rtc) == 0 || (rtc->guest.cmos[REG_B] & B_PIE) == 0)
    restart_periodic (rtc);
  else
    {
      gint64 now = vmm_clock_get_ns (rtc->host.clock);

      if (rtc->guest.next_periodic_ns > (guint64)now + (guint64)periodic_ns (rtc))
        rtc->guest.next_periodic_ns = (guint64)now;
      vmm_timer_set (rtc->host.periodic, (gint64)rtc->guest.next_periodic_ns);
    }
  vmm_irq_line_set (&rtc->host.irq, (rtc->guest.cmos[REG_C] & C_IRQF) != 0);
  g_mutex_unlock (&device->lock);
  return TRUE;
}

static const VmmProperty properties[] = {
  { "localtime", VMM_PROPERTY_BOOL, G_STRUCT_OFFSET (Rtc, config.localtime), 0, 1, 0 },
  { NULL },
};

const VmmDeviceOps rtc_ops = {
  .name = "rtc",
  .summary = "Real-time clock",
  .spec = "Motorola MC146818A",
  .instance_size = sizeof (Rtc),
  .state_version = 1,
  .properties = properties,
  .realize = rtc_realize,
  .unrealize = rtc_unrealize,
  .reset = rtc_reset,
  .quiesce = rtc_quiesce,
  .resume = rtc_resume,
  .save = rtc_save,
  .load = rtc_load,
};
