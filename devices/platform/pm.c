/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/pm.h"

#include "vmm/machine.h"

#include <string.h>

/* Register map (offset, width, access, reset):
 *   00 PM1_STS  16 RW1C 0      02 PM1_EN 16 RW 0
 *   04 PM1_CNT  32 RW   1 (SCI_EN: there is no SMM that could hand ACPI over)
 *   08 PM1_TMR  32 RO   24-bit counter
 *   20 GPE0_STS 64 RW1C 0      28 GPE0_EN 64 RW 0
 *   30 SMI_EN   32 RW   20h (APMC_EN stays set: firmware takes SMM as set up and leaves it alone)
 *   34 SMI_STS  32 RW1C 0 */
#define TMR_STS         (1u << 0)
#define BM_STS          (1u << 4)
#define GBL_STS         (1u << 5)
#define PWRBTN_STS      (1u << 8)
#define SLPBTN_STS      (1u << 9)
#define RTC_STS         (1u << 10)
#define PCIEXP_WAKE_STS (1u << 14)
#define WAK_STS         (1u << 15)
#define PM1_STS_MASK                                                                               \
  (TMR_STS | BM_STS | GBL_STS | PWRBTN_STS | SLPBTN_STS | RTC_STS | PCIEXP_WAKE_STS | WAK_STS)
#define PM1_EN_MASK (TMR_STS | GBL_STS | PWRBTN_STS | SLPBTN_STS | RTC_STS | PCIEXP_WAKE_STS)

#define CNT_SCI_EN  (1u << 0)
#define CNT_BM_RLD  (1u << 1)
#define CNT_SLP_TYP (7u << 10)
#define CNT_SLP_EN  (1u << 13)
#define SLP_TYP_S5  0
#define SLP_TYP_S3  1
#define SLP_TYP_S4  2

#define SMI_APMC_EN (1u << 5)

struct _Pm
{
  VmmDevice parent;
  struct
  {
    guint64 sci_gsi;
  } config;
  struct
  {
    guint16 pm1_sts, pm1_en;
    guint32 pm1_cnt;
    guint64 gpe_sts, gpe_en;
    guint32 smi_en;
    guint64 overflow_ns; /* guest time of the next flip of timer bit 23 that sets TMR_STS */
  } guest;
  struct
  {
    VmmRegion events, timer, rest;
    VmmClock *clock;
    VmmTimer *overflow;
    VmmIrqLine sci;
  } host;
};

static guint64
ns_to_ticks (guint64 ns)
{
  return (guint64)((unsigned __int128)ns * PM_TIMER_HZ / VMM_NSEC_PER_SEC);
}

static guint64
ticks_to_ns (guint64 ticks)
{
  /* Rounded up, so that at that time the tick has happened. */
  return (guint64)(((unsigned __int128)ticks * VMM_NSEC_PER_SEC + PM_TIMER_HZ - 1) / PM_TIMER_HZ);
}

/* The next multiple of 2^23 ticks after now. ACPI 6.4, 4.8.3.3: TMR_STS is set each time bit 23
 * changes. */
static void
set_next_overflow (Pm *pm)
{
  guint64 ticks = ns_to_ticks ((guint64)vmm_clock_get_ns (pm->host.clock));

  pm->guest.overflow_ns = ticks_to_ns (((ticks >> 23) + 1) << 23);
}

static void
note_overflow (Pm *pm)
{
  if ((guint64)vmm_clock_get_ns (pm->host.clock) >= pm->guest.overflow_ns)
    pm->guest.pm1_sts |= TMR_STS;
}

/* Lock held. */
static void
update_sci (Pm *pm)
{
  gboolean level;

  note_overflow (pm);
  level = (pm->guest.pm1_sts & pm->guest.pm1_en & PM1_EN_MASK) != 0 ||
          (pm->guest.gpe_sts & pm->guest.gpe_en) != 0;
  vmm_irq_line_set (&pm->host.sci, level && (pm->guest.pm1_cnt & CNT_SCI_EN) != 0);
  /* Nobody wakes for the timer unless its interrupt is wanted. */
  if ((pm->guest.pm1_en & TMR_STS) != 0 && (pm->guest.pm1_sts & TMR_STS) == 0)
    vmm_timer_set (pm->host.overflow, (gint64)pm->guest.overflow_ns);
  else
    vmm_timer_set (pm->host.overflow, VMM_CLOCK_NEVER);
}

static void
on_overflow (gpointer user_data)
{
  Pm *pm = user_data;

  g_mutex_lock (&pm->parent.lock);
  update_sci (pm);
  g_mutex_unlock (&pm->parent.lock);
}

static void
sleep_to (Pm *pm, guint type)
{
  if (type == SLP_TYP_S5 || type == SLP_TYP_S4)
    vmm_machine_request (pm->parent.machine, VMM_REQUEST_POWEROFF, type, NULL);
  else
    {
      /* DEVIATION: suspend to RAM is not offered in ACPI; a guest that asks nevertheless is awake
       * again at once. */
      pm->guest.pm1_sts |= WAK_STS;
      if (type == SLP_TYP_S3)
        vmm_machine_request (pm->parent.machine, VMM_REQUEST_SUSPEND, type,
                             "Suspend to RAM is not supported; the guest stays awake.");
    }
}

static guint8
read_byte (Pm *pm, guint offset)
{
  if (offset < 2)
    return (guint8)(pm->guest.pm1_sts >> (offset * 8));
  if (offset < 4)
    return (guint8)(pm->guest.pm1_en >> ((offset - 2) * 8));
  if (offset < 8)
    return (guint8)(pm->guest.pm1_cnt >> ((offset - 4) * 8));
  if (offset >= 0x20 && offset < 0x28)
    return (guint8)(pm->guest.gpe_sts >> ((offset - 0x20) * 8));
  if (offset >= 0x28 && offset < 0x30)
    return (guint8)(pm->guest.gpe_en >> ((offset - 0x28) * 8));
  if (offset >= 0x30 && offset < 0x34)
    return (guint8)(pm->guest.smi_en >> ((offset - 0x30) * 8));
  return 0;
}

static gboolean
is_register (guint offset)
{
  return offset < 8 || (offset >= 0x20 && offset < 0x38);
}

static void
set_byte64 (guint64 *value, guint index, guint8 byte)
{
  *value = (*value & ~(G_GUINT64_CONSTANT (0xff) << (index * 8))) | (guint64)byte << (index * 8);
}

static void
write_byte (Pm *pm, guint offset, guint8 byte)
{
  if (offset < 2)
    {
      guint16 clear = (guint16)((guint)byte << (offset * 8)) & PM1_STS_MASK;

      if ((clear & TMR_STS) != 0)
        set_next_overflow (pm);
      pm->guest.pm1_sts &= (guint16)~clear;
    }
  else if (offset < 4)
    {
      guint shift = (offset - 2) * 8;

      pm->guest.pm1_en =
          (guint16)(((pm->guest.pm1_en & ~(0xffu << shift)) | (guint)byte << shift) & PM1_EN_MASK);
    }
  else if (offset < 8)
    {
      guint shift = (offset - 4) * 8;

      /* SLP_EN reads as zero; GBL_RLS is write-only. */
      pm->guest.pm1_cnt = ((pm->guest.pm1_cnt & ~(0xffu << shift)) | (guint32)byte << shift) &
                          (CNT_SCI_EN | CNT_BM_RLD | CNT_SLP_TYP);
      if (offset == 5 && ((guint)byte << 8 & CNT_SLP_EN) != 0)
        sleep_to (pm, (pm->guest.pm1_cnt & CNT_SLP_TYP) >> 10);
    }
  else if (offset >= 0x20 && offset < 0x28)
    pm->guest.gpe_sts &= ~((guint64)byte << ((offset - 0x20) * 8));
  else if (offset >= 0x28 && offset < 0x30)
    set_byte64 (&pm->guest.gpe_en, offset - 0x28, byte);
  else if (offset >= 0x30 && offset < 0x34)
    {
      guint shift = (offset - 0x30) * 8;

      pm->guest.smi_en = (pm->guest.smi_en & ~(0xffu << shift)) | (guint32)byte << shift;
      pm->guest.smi_en |= SMI_APMC_EN;
    }
}

static VmmIoResult
block_read (Pm *pm, guint offset, guint size, guint64 *value)
{
  VmmIoResult result = VMM_IO_UNKNOWN;

  update_sci (pm);
  for (guint i = 0; i < size; i++)
    {
      *value |= (guint64)read_byte (pm, offset + i) << (i * 8);
      if (is_register (offset + i))
        result = VMM_IO_OK;
    }
  return result;
}

static VmmIoResult
block_write (Pm *pm, guint offset, guint size, guint64 value)
{
  VmmIoResult result = VMM_IO_UNKNOWN;

  update_sci (pm);
  for (guint i = 0; i < size; i++)
    {
      write_byte (pm, offset + i, (guint8)(value >> (i * 8)));
      if (is_register (offset + i))
        result = VMM_IO_OK;
    }
  update_sci (pm);
  return result;
}

static VmmIoResult
events_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  return block_read (opaque, (guint)offset, size, value);
}

static VmmIoResult
events_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  return block_write (opaque, (guint)offset, size, value);
}

static VmmIoResult
rest_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  return block_read (opaque, (guint)offset + 12, size, value);
}

static VmmIoResult
rest_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  return block_write (opaque, (guint)offset + 12, size, value);
}

/* Firmware spins on this register millions of times a boot: no lock, no state. 24 bits wide, as the
 * FADT says (TMR_VAL_EXT clear). */
static VmmIoResult
timer_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  Pm *pm = opaque;
  guint64 ticks = ns_to_ticks ((guint64)vmm_clock_get_ns (pm->host.clock)) & 0xffffff;

  *value = ticks >> (offset * 8);
  if (size < 4)
    *value &= (1u << (size * 8)) - 1;
  return VMM_IO_OK;
}

static VmmIoResult
timer_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  return VMM_IO_UNKNOWN; /* read-only */
}

static const VmmRegionOps events_region_ops = {
  .name = "pm-events",
  .min_size = 1,
  .max_size = 4,
  .read = events_read,
  .write = events_write,
};
static const VmmRegionOps timer_region_ops = {
  .name = "pm-timer",
  .min_size = 1,
  .max_size = 4,
  .flags = VMM_REGION_LOCKLESS,
  .read = timer_read,
  .write = timer_write,
};
static const VmmRegionOps rest_region_ops = {
  .name = "pm-gpe",
  .min_size = 1,
  .max_size = 4,
  .read = rest_read,
  .write = rest_write,
};

void
pm_set_base (Pm *pm, int base)
{
  VmmBus *pio = vmm_machine_get_pio (pm->parent.machine);

  vmm_bus_unmap (&pm->host.events);
  vmm_bus_unmap (&pm->host.timer);
  vmm_bus_unmap (&pm->host.rest);
  if (base <= 0)
    return;
  /* A place that is taken is the guest's mistake: that part is not decoded. */
  (void)vmm_bus_map (pio, (guint64)base, &pm->host.events, NULL);
  (void)vmm_bus_map (pio, (guint64)base + 8, &pm->host.timer, NULL);
  (void)vmm_bus_map (pio, (guint64)base + 12, &pm->host.rest, NULL);
}

void
pm_press_power_button (Pm *pm)
{
  g_mutex_lock (&pm->parent.lock);
  pm->guest.pm1_sts |= PWRBTN_STS;
  update_sci (pm);
  g_mutex_unlock (&pm->parent.lock);
}

void
pm_raise_gpe (Pm *pm, guint bit)
{
  g_assert (bit < 64);
  g_mutex_lock (&pm->parent.lock);
  pm->guest.gpe_sts |= G_GUINT64_CONSTANT (1) << bit;
  update_sci (pm);
  g_mutex_unlock (&pm->parent.lock);
}

static gboolean
pm_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  Pm *pm = (Pm *)device;

  device->machine = machine;
  pm->host.clock = vmm_machine_get_clock (machine);
  pm->host.overflow =
      vmm_timer_new (pm->host.clock, vmm_machine_get_worker (machine), on_overflow, pm);
  vmm_irq_line_init (&pm->host.sci, machine, (guint)pm->config.sci_gsi);
  vmm_region_init (&pm->host.events, &events_region_ops, pm, &device->lock, 8);
  vmm_region_init (&pm->host.timer, &timer_region_ops, pm, NULL, 4);
  vmm_region_init (&pm->host.rest, &rest_region_ops, pm, &device->lock, PM_BLOCK_SIZE - 12);
  return TRUE;
}

static void
pm_unrealize (VmmDevice *device)
{
  Pm *pm = (Pm *)device;

  pm_set_base (pm, -1);
  vmm_region_drain (&pm->host.events);
  vmm_region_drain (&pm->host.timer);
  vmm_region_drain (&pm->host.rest);
  g_clear_pointer (&pm->host.overflow, vmm_timer_free);
  vmm_irq_line_set (&pm->host.sci, FALSE);
}

static void
pm_reset (VmmDevice *device, VmmResetKind kind)
{
  Pm *pm = (Pm *)device;

  g_mutex_lock (&device->lock);
  memset (&pm->guest, 0, sizeof pm->guest);
  pm->guest.pm1_cnt = CNT_SCI_EN;
  pm->guest.smi_en = SMI_APMC_EN;
  set_next_overflow (pm);
  update_sci (pm);
  g_mutex_unlock (&device->lock);
}

static void
pm_quiesce (VmmDevice *device)
{
}

static void
pm_resume (VmmDevice *device)
{
}

static const VmmStateField fields[] = {
  VMM_STATE_FIELD (Pm, guest.pm1_sts, VMM_STATE_U16),
  VMM_STATE_FIELD (Pm, guest.pm1_en, VMM_STATE_U16),
  VMM_STATE_FIELD (Pm, guest.pm1_cnt, VMM_STATE_U32),
  VMM_STATE_FIELD (Pm, guest.gpe_sts, VMM_STATE_U64),
  VMM_STATE_FIELD (Pm, guest.gpe_en, VMM_STATE_U64),
  VMM_STATE_FIELD (Pm, guest.smi_en, VMM_STATE_U32),
  VMM_STATE_FIELD (Pm, guest.overflow_ns, VMM_STATE_U64),
};

/* What the timer has set by now is written although nobody has looked: whoever loads it does look,
 * and saves the same. */
static gboolean
pm_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  Pm now = *(const Pm *)device;

  note_overflow (&now);
  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), &now);
  return TRUE;
}

static gboolean
pm_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  Pm *pm = (Pm *)device;

  if (!vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), device, error))
    return FALSE;
  pm->guest.pm1_sts &= PM1_STS_MASK;
  pm->guest.pm1_en &= PM1_EN_MASK;
  pm->guest.pm1_cnt &= CNT_SCI_EN | CNT_BM_RLD | CNT_SLP_TYP;
  pm->guest.smi_en |= SMI_APMC_EN;
  pm->guest.overflow_ns = MIN (pm->guest.overflow_ns, (guint64)VMM_CLOCK_NEVER);
  g_mutex_lock (&device->lock);
  update_sci (pm);
  g_mutex_unlock (&device->lock);
  return TRUE;
}

static const VmmProperty properties[] = {
  { "sci-gsi", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (Pm, config.sci_gsi), 0, 23, 9 },
  { NULL },
};

const VmmDeviceOps pm_ops = {
  .name = "ich9-pm",
  .summary = "ACPI power management",
  .spec = "Intel ICH9 datasheet 316972, ACPI 6.4",
  .instance_size = sizeof (Pm),
  .state_version = 1,
  .properties = properties,
  .realize = pm_realize,
  .unrealize = pm_unrealize,
  .reset = pm_reset,
  .quiesce = pm_quiesce,
  .resume = pm_resume,
  .save = pm_save,
  .load = pm_load,
};
