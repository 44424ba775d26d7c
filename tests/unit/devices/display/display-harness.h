/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine with a root bus and one display device in slot 1, and a consumer that adds up damage. */
#pragma once
#include "devices/display/scanout.h"
#include "devices/pci/pci.h"
#include "devices/registry.h"
#include "tests/unit/harness/harness.h"

#define DISPLAY_BAR0 G_GUINT64_CONSTANT (0xe0000000)
#define DISPLAY_BAR2 G_GUINT64_CONSTANT (0xe2000000)
#define DISPLAY_BAR4 G_GUINT64_CONSTANT (0xe3000000)
#define DISPLAY_ROM  G_GUINT64_CONSTANT (0xe4000000)
#define DISPLAY_FN   PCI_MAKE_DEVFN (1, 0)

typedef struct
{
  HarnessMachine *h;
  PciBus *bus;
  DisplayScanout *scanout;
  VmmDevice *device;
  /* consumer */
  gboolean watching;
  guint n_damages, n_surfaces;
  guint x0, y0, x1, y1; /* union of damage */
  guint width, height;  /* of the surface, 0 when off */
  guint cursor_width, cursor_height, hot_x, hot_y;
  guint32 cursor[4];
  int cursor_x, cursor_y;
  gboolean cursor_visible;
} DisplayFixture;

static inline void
fixture_set_intx (gpointer opaque, guint slot, guint pin, gboolean level)
{
}

static inline void
fixture_surface (gpointer consumer, DisplaySurface *surface)
{
  DisplayFixture *f = consumer;

  f->n_surfaces++;
  f->width = surface != NULL ? display_surface_get_width (surface) : 0;
  f->height = surface != NULL ? display_surface_get_height (surface) : 0;
}

static inline void
fixture_damage (gpointer consumer, guint x, guint y, guint width, guint height)
{
  DisplayFixture *f = consumer;

  if (f->n_damages++ == 0)
    {
      f->x0 = x;
      f->y0 = y;
      f->x1 = x + width;
      f->y1 = y + height;
      return;
    }
  f->x0 = MIN (f->x0, x);
  f->y0 = MIN (f->y0, y);
  f->x1 = MAX (f->x1, x + width);
  f->y1 = MAX (f->y1, y + height);
}

static inline void
fixture_cursor (gpointer consumer, const DisplayCursor *cursor)
{
  DisplayFixture *f = consumer;

  f->cursor_width = cursor->width;
  f->cursor_height = cursor->height;
  f->hot_x = cursor->hot_x;
  f->hot_y = cursor->hot_y;
  for (guint i = 0; i < 4; i++)
    f->cursor[i] = i < cursor->width * cursor->height ? cursor->argb[i] : 0;
}

static inline void
fixture_cursor_moved (gpointer consumer, int x, int y, gboolean visible)
{
  DisplayFixture *f = consumer;

  f->cursor_x = x;
  f->cursor_y = y;
  f->cursor_visible = visible;
}

static inline void
fixture_watch (DisplayFixture *f, gboolean watch)
{
  static const DisplayConsumerOps ops = { fixture_surface, fixture_damage, fixture_cursor,
                                          fixture_cursor_moved };

  if (watch && !f->watching)
    display_scanout_add_consumer (f->scanout, &ops, f);
  else if (!watch && f->watching)
    display_scanout_remove_consumer (f->scanout, f);
  f->watching = watch;
}

static inline void
fixture_config (DisplayFixture *f, guint offset, guint size, guint32 value)
{
  pci_bus_config_write (f->bus, 0, DISPLAY_FN, offset, size, value);
}

static inline void
fixture_place_bars (DisplayFixture *f)
{
  fixture_config (f, 0x10, 4, (guint32)DISPLAY_BAR0);
  fixture_config (f, 0x18, 4, (guint32)DISPLAY_BAR2);
  fixture_config (f, 0x20, 4, (guint32)DISPLAY_BAR4);
  fixture_config (f, 0x30, 4, (guint32)DISPLAY_ROM | 1);
  fixture_config (f, 4, 2, 7);
}

static inline VmmDevice *
fixture_add_device (DisplayFixture *f, const char *type, guint devfn, DisplayScanout *scanout)
{
  g_autofree char *id = g_strdup_printf ("display.%x", devfn);
  VmmDevice *device = vmm_device_new (device_registry_find (type), id);

  g_assert_true (vmm_device_set_pointer (device, "bus", f->bus, NULL));
  g_assert_true (vmm_device_set_uint (device, "devfn", devfn, NULL));
  g_assert_true (vmm_device_set_pointer (device, "scanout", scanout, NULL));
  g_assert_true (vmm_device_set_uint (device, "width", 1024, NULL));
  g_assert_true (vmm_device_set_uint (device, "height", 768, NULL));
  return harness_realize (f->h, device);
}

static inline DisplayFixture *
fixture_new (const char *type)
{
  static const PciBusOps bus_ops = { .set_intx = fixture_set_intx };
  DisplayFixture *f = g_new0 (DisplayFixture, 1);

  f->h = harness_new (640 * 1024);
  f->bus = pci_bus_new (f->h->machine, "pcie.0", &bus_ops, f);
  f->scanout = display_scanout_new (0);
  f->device = fixture_add_device (f, type, DISPLAY_FN, f->scanout);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
  fixture_place_bars (f);
  return f;
}

static inline void
fixture_free (DisplayFixture *f)
{
  PciBus *bus = f->bus;
  HarnessMachine *h = f->h;

  fixture_watch (f, FALSE);
  vmm_device_unrealize (f->device);
  vmm_device_free (f->device);
  pci_bus_free (bus);
  harness_free (h);
  display_scanout_free (f->scanout);
  g_free (f);
}

static inline void
fixture_forget_damage (DisplayFixture *f)
{
  f->n_damages = 0;
  f->x0 = f->y0 = f->x1 = f->y1 = 0;
}

/* The pixel as a viewer sees it, after an update. */
static inline guint32
fixture_pixel (DisplayFixture *f, guint x, guint y)
{
  DisplaySurface *surface = display_scanout_dup_surface (f->scanout);
  guint32 pixel;

  g_assert_nonnull (surface);
  g_assert_cmpuint (x, <, display_surface_get_width (surface));
  g_assert_cmpuint (y, <, display_surface_get_height (surface));
  pixel = ((guint32 *)(gpointer)display_surface_get_data (
              surface))[y * display_surface_get_width (surface) + x] &
          0xffffff;
  display_surface_unref (surface);
  return pixel;
}

static inline void
fixture_expect_size (DisplayFixture *f, guint width, guint height)
{
  DisplaySurface *surface = display_scanout_dup_surface (f->scanout);

  g_assert_nonnull (surface);
  g_assert_cmpuint (display_surface_get_width (surface), ==, width);
  g_assert_cmpuint (display_surface_get_height (surface), ==, height);
  display_surface_unref (surface);
}
