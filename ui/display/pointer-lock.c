/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/display/pointer-lock.h"

#include "ui-config.h"

#ifdef ALCOVE_HAVE_X11
#include <X11/Xlib.h>
#include <gdk/x11/gdkx.h>
#endif

/**
 * alcove_pointer_warp:
 * @widget: a widget in a window on the screen
 * @x: where to, in the widget's units
 * @y: the same
 *
 * Moves the desktop's pointer. GTK 4 has no call for it; on X11 the X server is asked.
 * DEVIATION: Wayland would need the pointer-constraints protocol, which is not bound yet; there the
 * guest's mouse stops at the edge of the window until the pointer is moved back.
 *
 * Returns: %TRUE if the pointer was moved
 */
bool
alcove_pointer_warp (GtkWidget *widget, double x, double y)
{
#ifdef ALCOVE_HAVE_X11
  GtkNative *native = gtk_widget_get_native (widget);
  GdkSurface *surface = native ? gtk_native_get_surface (native) : NULL;

  if (surface && GDK_IS_X11_SURFACE (surface))
    {
      Display *display = gdk_x11_display_get_xdisplay (gdk_surface_get_display (surface));
      int scale = gdk_surface_get_scale_factor (surface);
      double native_x, native_y, surface_x, surface_y;

      gtk_native_get_surface_transform (native, &surface_x, &surface_y);
      if (!gtk_widget_translate_coordinates (widget, GTK_WIDGET (native), x, y, &native_x,
                                             &native_y))
        return false;
      XWarpPointer (display, None, gdk_x11_surface_get_xid (surface), 0, 0, 0, 0,
                    (int)((native_x + surface_x) * scale), (int)((native_y + surface_y) * scale));
      XFlush (display);
      return true;
    }
#endif
  return false;
}
