/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Log pages (Base 1.4, 5.14.1): errors, health, firmware slot, changed namespaces, effects. */
#include "devices/storage/nvme-private.h"

#include <string.h>

/* Bit 1 of the critical warning: the temperature is past a threshold. */
guint
nvme_smart_warning (Nvme *nvme)
{
  return NVME_TEMPERATURE >= nvme->guest.over_temperature ||
                 NVME_TEMPERATURE <= nvme->guest.under_temperature
             ? 2
             : 0;
}

static guint64
load (const guint64 *counter)
{
  return __atomic_load_n (counter, __ATOMIC_RELAXED);
}

static void
log_smart (Nvme *nvme, guint8 *log)
{
  guint64 on = nvme->guest.powered_ns +
               (guint64)MAX (vmm_clock_get_ns (vmm_machine_get_clock (nvme->host.machine)) -
                                 nvme->host.powered_since,
                             0);

  log[0] = nvme_smart_warning (nvme);
  nvme_put_le (log + 1, NVME_TEMPERATURE, 2);
  log[3] = 100; /* available spare, per cent */
  log[4] = 10;  /* its threshold */
  /* Units of 1000 blocks of 512 bytes, rounded up. */
  nvme_put_le (log + 32, (load (&nvme->guest.blocks_read) + 999) / 1000, 8);
  nvme_put_le (log + 48, (load (&nvme->guest.blocks_written) + 999) / 1000, 8);
  nvme_put_le (log + 64, load (&nvme->guest.n_reads), 8);
  nvme_put_le (log + 80, load (&nvme->guest.n_writes), 8);
  nvme_put_le (log + 96, load (&nvme->guest.busy_ns) / VMM_NSEC_PER_SEC / 60, 8);
  nvme_put_le (log + 112, 1, 8); /* power cycles */
  nvme_put_le (log + 128, on / VMM_NSEC_PER_SEC / 3600, 8);
  nvme_put_le (log + 160, load (&nvme->guest.n_media_errors), 8);
  nvme_put_le (log + 176, nvme->guest.n_errors, 8);
}

/* Newest first. */
static void
log_errors (Nvme *nvme, guint8 *log)
{
  g_mutex_lock (&nvme->host.log_lock);
  for (guint i = 0; i < MIN (nvme->guest.n_errors, NVME_N_ERRORS); i++)
    memcpy (log + i * 64, nvme->guest.errors[(nvme->guest.n_errors - 1 - i) % NVME_N_ERRORS], 64);
  g_mutex_unlock (&nvme->host.log_lock);
}

static void
log_changed (Nvme *nvme, guint8 *log)
{
  for (guint i = 0; i < NVME_MAX_NAMESPACES; i++)
    if (nvme->guest.changed[i])
      {
        nvme_put_le (log, i + 1, 4);
        log += 4;
      }
}

/* Which commands there are; bit 1: may change contents. */
static void
log_effects (guint8 *log)
{
  static const guint8 admin[] = {
    0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c, 0x7c
  };
  static const guint8 io[][2] = { { 0x00, 1 }, { 0x01, 3 }, { 0x02, 1 },
                                  { 0x05, 1 }, { 0x08, 3 }, { 0x09, 3 } };

  for (guint i = 0; i < G_N_ELEMENTS (admin); i++)
    log[admin[i] * 4] = 1;
  for (guint i = 0; i < G_N_ELEMENTS (io); i++)
    log[1024 + io[i][0] * 4] = io[i][1];
}

NvmeStatus
nvme_get_log (Nvme *nvme, const NvmeCommand *command, guint8 *data, guint32 length)
{
  guint64 offset = command->dw[2] | (guint64)command->dw[3] << 32;
  guint8 log[4096] = { 0 };
  gsize size;

  switch (command->dw[0] & 0xff)
    {
    case NVME_LOG_ERROR:
      log_errors (nvme, log);
      size = NVME_N_ERRORS * 64;
      break;
    case NVME_LOG_SMART:
      /* For the whole controller only (LPA bit 0). */
      if (command->nsid != 0 && command->nsid != NVME_BROADCAST)
        return NVME_INVALID_FIELD;
      log_smart (nvme, log);
      size = 512;
      break;
    case NVME_LOG_FIRMWARE:
      log[0] = 1; /* slot 1 is active */
      memcpy (log + 8, "1.0     ", 8);
      size = 512;
      break;
    case NVME_LOG_CHANGED:
      log_changed (nvme, log);
      size = 4096;
      break;
    case NVME_LOG_EFFECTS:
      log_effects (log);
      size = 4096;
      break;
    default:
      return NVME_INVALID_LOG;
    }
  if (offset % 4 != 0 || offset > size)
    return NVME_INVALID_FIELD;
  memcpy (data, log + offset, MIN (length, size - offset));
  return NVME_OK;
}
