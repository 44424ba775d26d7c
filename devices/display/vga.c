/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/display/vga-private.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "devices/display/edid.h"

#define REFRESH_NS      (VMM_NSEC_PER_SEC / 60)
#define REFRESH_IDLE_NS (VMM_NSEC_PER_SEC / 20)
#define IDLE_UPDATES    60

static void
arm (Vga *vga)
{
  gint64 period = vga->n_idle > IDLE_UPDATES ? REFRESH_IDLE_NS : REFRESH_NS;

  if (vga->watched && vga->shown && !vga->quiesced)
    vmm_timer_set (vga->timer, vmm_clock_get_ns (vmm_machine_get_clock (vga->machine)) + period);
  else
    vmm_timer_set (vga->timer, VMM_CLOCK_NEVER);
}

static void
refresh (gpointer user_data)
{
  Vga *vga = user_data;

  g_mutex_lock (vga->lock);
  vga_draw (vga, FALSE);
  arm (vga);
  g_mutex_unlock (vga->lock);
}

/* Another adapter may own the legacy ports: then this one lives without them. */
static void
map_legacy (Vga *vga)
{
  VmmBus *pio = vmm_machine_get_pio (vga->machine), *mmio = vmm_machine_get_mmio (vga->machine);

  vmm_region_init (&vga->ports_low, &vga_low_port_ops, vga, vga->lock, 0x0c);
  vmm_region_init (&vga->ports_high, &vga_high_port_ops, vga, vga->lock, 0x20);
  vmm_region_init (&vga->vbe_ports, &vga_vbe_port_ops, vga, vga->lock, 4);
  vmm_region_init (&vga->legacy, &vga_legacy_ops, vga, vga->lock, VGA_LEGACY_SIZE);
  if (!vmm_bus_map (pio, 0x3c0, &vga->ports_high, NULL))
    return;
  (void)vmm_bus_map (pio, 0x3b0, &vga->ports_low, NULL);
  (void)vmm_bus_map (pio, 0x1ce, &vga->vbe_ports, NULL);
  (void)vmm_bus_map (mmio, VGA_LEGACY_BASE, &vga->legacy, NULL);
}

gboolean
vga_init (Vga *vga,
          VmmMachine *machine,
          GMutex *lock,
          DisplayScanout *scanout,
          guint width,
          guint height,
          GError **error)
{
  vga->machine = machine;
  vga->lock = lock;
  vga->scanout = scanout;
  vga->vram = vmm_ram_block_new ("vga.vram", VGA_VRAM_SIZE, VMM_RAM_DEVICE, error);
  if (vga->vram == NULL)
    return FALSE;
  vga->timer = vmm_timer_new (vmm_machine_get_clock (machine), vmm_machine_get_worker (machine),
                              refresh, vga);
  vga->shown = TRUE;
  vga->dirty = TRUE;
  vga_reset_registers (&vga->r);
  vga_set_preferred_locked (vga, width, height);
  map_legacy (vga);
  return TRUE;
}

void
vga_finish (Vga *vga)
{
  if (vga->timer != NULL)
    {
      VmmRegion *regions[] = { &vga->ports_low, &vga->ports_high, &vga->vbe_ports, &vga->legacy };

      for (guint i = 0; i < G_N_ELEMENTS (regions); i++)
        {
          vmm_bus_unmap (regions[i]);
          vmm_region_drain (regions[i]);
        }
      vmm_timer_free (vga->timer);
      vga->timer = NULL;
    }
  g_clear_pointer (&vga->vram, vmm_ram_block_unref);
  g_clear_pointer (&vga->surface, display_surface_unref);
  g_clear_pointer (&vga->row, g_free);
}

/* Makes all of it zero and gives the pages back: memory that no guest draws into costs nothing. */
static void
clear_vram (Vga *vga)
{
  if (vmm_ram_block_clear (vga->vram, 0, VGA_VRAM_SIZE) < 0)
    memset (vmm_ram_block_get_data (vga->vram), 0, VGA_VRAM_SIZE);
  vmm_ram_block_mark_dirty (vga->vram, 0, VGA_VRAM_SIZE);
}

void
vga_reset (Vga *vga)
{
  g_mutex_lock (vga->lock);
  vga_reset_registers (&vga->r);
  clear_vram (vga);
  vga->dirty = TRUE;
  arm (vga);
  g_mutex_unlock (vga->lock);
}

void
vga_quiesce (Vga *vga)
{
  g_mutex_lock (vga->lock);
  vga->quiesced = TRUE;
  arm (vga);
  g_mutex_unlock (vga->lock);
}

void
vga_resume (Vga *vga)
{
  g_mutex_lock (vga->lock);
  vga->quiesced = FALSE;
  vga->dirty = TRUE;
  arm (vga);
  g_mutex_unlock (vga->lock);
}

void
vga_set_preferred_locked (Vga *vga, guint width, guint height)
{
  vga->preferred_width = width != 0 ? width : VGA_DEFAULT_WIDTH;
  vga->preferred_height = height != 0 ? height : VGA_DEFAULT_HEIGHT;
  edid_make (vga->preferred_width, vga->preferred_height,
             display_scanout_get_index (vga->scanout) + 1, vga->edid);
}

void
vga_set_shown_locked (Vga *vga, gboolean shown)
{
  if (vga->shown == !!shown)
    return;
  vga->shown = !!shown;
  vga->dirty = TRUE;
  /* The scanout carries somebody else's surface in between: hand ours over again. */
  if (shown && vga->surface != NULL)
    display_scanout_set_surface (vga->scanout, vga->surface);
  arm (vga);
}

void
vga_set_watched (Vga *vga, gboolean watched)
{
  g_mutex_lock (vga->lock);
  vga->watched = watched;
  vga->dirty = TRUE;
  vga->n_idle = 0;
  arm (vga);
  g_mutex_unlock (vga->lock);
}

void
vga_update (Vga *vga)
{
  g_mutex_lock (vga->lock);
  vga_draw (vga, TRUE);
  g_mutex_unlock (vga->lock);
}

/* ---- state ---- */

#define FIELD(member) VMM_STATE_FIELD (VgaRegisters, member, VMM_STATE_U8)
#define BYTES(member)                                                                              \
  VMM_STATE_ARRAY (VgaRegisters, member, VMM_STATE_U8,                                             \
                   G_N_ELEMENTS (((VgaRegisters *)NULL)->member))
static const VmmStateField register_fields[] = {
  FIELD (sr_index),
  FIELD (gr_index),
  FIELD (ar_index),
  FIELD (cr_index),
  FIELD (ar_data_next),
  BYTES (sr),
  BYTES (gr),
  BYTES (ar),
  BYTES (cr),
  FIELD (misc),
  FIELD (feature),
  FIELD (status0),
  FIELD (status1),
  FIELD (dac_mask),
  FIELD (dac_read),
  FIELD (dac_write),
  FIELD (dac_component),
  FIELD (dac_reading),
  BYTES (dac_cache),
  BYTES (palette),
  VMM_STATE_FIELD (VgaRegisters, latch, VMM_STATE_U32),
  VMM_STATE_FIELD (VgaRegisters, vbe_index, VMM_STATE_U16),
  VMM_STATE_ARRAY (VgaRegisters, vbe, VMM_STATE_U16, VGA_N_VBE),
};

void
vga_save (Vga *vga, VmmStateWriter *writer)
{
  g_mutex_lock (vga->lock);
  vmm_state_save_fields (writer, register_fields, G_N_ELEMENTS (register_fields), &vga->r);
  vmm_state_put_bytes (writer, "vram", vmm_ram_block_get_data (vga->vram),
                       vmm_ram_block_get_used (vga->vram));
  g_mutex_unlock (vga->lock);
}

/* Values that index something are checked; all others may be anything a guest could write. */
static gboolean
registers_are_sane (const VgaRegisters *r)
{
  return r->sr_index < 8 && r->gr_index < 16 && r->dac_component < 3 && r->ar_data_next <= 1 &&
         r->vbe[VBE_XRES] <= VGA_MAX_WIDTH && r->vbe[VBE_XRES] % 8 == 0 &&
         r->vbe[VBE_YRES] <= VGA_MAX_HEIGHT && r->vbe[VBE_BANK] < VGA_VRAM_SIZE / 65536 &&
         r->vbe[VBE_VIDEO_MEMORY_64K] == VGA_VRAM_SIZE / 65536;
}

gboolean
vga_load (Vga *vga, VmmStateReader *reader, GError **error)
{
  VgaRegisters r;
  const guint8 *vram;
  gsize length;

  if (!vmm_state_load_fields (reader, register_fields, G_N_ELEMENTS (register_fields), &r, error) ||
      !vmm_state_get_blob (reader, "vram", VGA_VRAM_SIZE, &vram, &length, error))
    return FALSE;
  if (!registers_are_sane (&r))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state of the display is damaged: a VGA register has a value that it "
                   "cannot hold.");
      return FALSE;
    }
  g_mutex_lock (vga->lock);
  vga->r = r;
  clear_vram (vga);
  memcpy (vmm_ram_block_get_data (vga->vram), vram, length);
  vga->dirty = TRUE;
  g_mutex_unlock (vga->lock);
  return TRUE;
}

GBytes *
vga_find_rom (const char *name)
{
  static const char *const dirs[] = { "/usr/share/seabios", "/usr/share/vgabios", "/usr/share/qemu",
                                      "/usr/share/edk2/vgabios" };

  for (guint i = 0; i < G_N_ELEMENTS (dirs); i++)
    {
      g_autofree char *path = g_build_filename (dirs[i], name, NULL);
      char *contents;
      gsize length;

      if (!g_file_get_contents (path, &contents, &length, NULL))
        continue;
      /* An option ROM starts with 55 aa. */
      if (length >= 512 && length <= 1024 * 1024 && (guint8)contents[0] == 0x55 &&
          (guint8)contents[1] == 0xaa)
        return g_bytes_new_take (contents, length);
      g_free (contents);
    }
  return NULL;
}
