/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/device/igd.h"

#include <string.h>

#define MIB (G_GUINT64_CONSTANT (1) << 20)

/* First match. Not here: what is older than Sandy Bridge or is in processors without an IOMMU
 * (Bay Trail, Braswell), and cards. */
static const VfioIgdFamily families[] = {
  { 0x0100, 0xffc0, 6, FALSE, "Sandy Bridge" },  { 0x0140, 0xffc0, 7, FALSE, "Ivy Bridge" },
  { 0x0400, 0xff00, 7, FALSE, "Haswell" },       { 0x0a84, 0xffff, 9, FALSE, "Broxton" },
  { 0x0a00, 0xff00, 7, FALSE, "Haswell" },       { 0x0c00, 0xff00, 7, FALSE, "Haswell" },
  { 0x0d00, 0xff00, 7, FALSE, "Haswell" },       { 0x1600, 0xff00, 8, FALSE, "Broadwell" },
  { 0x1900, 0xff00, 9, FALSE, "Skylake" },       { 0x1a84, 0xfffe, 9, FALSE, "Broxton" },
  { 0x3184, 0xfffe, 9, FALSE, "Gemini Lake" },   { 0x3e00, 0xff00, 9, FALSE, "Coffee Lake" },
  { 0x4500, 0xff00, 11, FALSE, "Elkhart Lake" }, { 0x4600, 0xff00, 12, FALSE, "Alder Lake" },
  { 0x4c00, 0xff00, 12, FALSE, "Rocket Lake" },  { 0x4e00, 0xff00, 11, FALSE, "Jasper Lake" },
  { 0x5900, 0xff00, 9, FALSE, "Kaby Lake" },     { 0x5a40, 0xffe0, 10, FALSE, "Cannon Lake" },
  { 0x5a84, 0xfffe, 9, FALSE, "Apollo Lake" },   { 0x6400, 0xff00, 20, TRUE, "Lunar Lake" },
  { 0x7d00, 0xff00, 12, TRUE, "Meteor Lake" },   { 0x87c0, 0xfff0, 9, FALSE, "Amber Lake" },
  { 0x8a00, 0xff00, 11, FALSE, "Ice Lake" },     { 0x9a00, 0xff00, 12, FALSE, "Tiger Lake" },
  { 0x9b00, 0xff00, 9, FALSE, "Comet Lake" },    { 0xa700, 0xff00, 12, FALSE, "Raptor Lake" },
  { 0xb000, 0xff00, 30, TRUE, "Panther Lake" },  { 0xb640, 0xffff, 12, TRUE, "Arrow Lake" },
  { 0xfd80, 0xfffe, 30, TRUE, "Wildcat Lake" },
};

const VfioIgdFamily *
vfio_igd_find (guint16 device)
{
  for (guint i = 0; i < G_N_ELEMENTS (families); i++)
    if ((device & families[i].mask) == families[i].value)
      return &families[i];
  return NULL;
}

/* ---- GGC ---- */

/* Bits 7:3 up to generation 7, 15:8 from 8 on. */
static guint16
stolen_mask (const VfioIgdFamily *family)
{
  return family->generation < 8 ? 0x00f8 : 0xff00;
}

guint64
vfio_igd_get_stolen_size (const VfioIgdFamily *family, guint16 ggc)
{
  guint value = (ggc & stolen_mask (family)) >> (family->generation < 8 ? 3 : 8);

  if (family->own_window)
    return 0;
  /* 512 MiB were the most; then smaller steps were added above. */
  if (family->generation < 9)
    return value <= 0x10 ? value * 32 * MIB : 0;
  return value < 0xf0 ? value * 32 * MIB : (value - 0xf0 + 1) * 4 * MIB;
}

guint16
vfio_igd_without_stolen (const VfioIgdFamily *family, guint16 ggc)
{
  return family->own_window ? ggc : (guint16)(ggc & ~stolen_mask (family));
}

/* ---- OpRegion ---- */

/* Offset, width and meaning; little endian.
 *   0x000 16  signature
 *   0x010 4   its size in KiB
 *   0x016 1   version, the minor number; 0x017 1 the major one
 *   0x3ba 8   where a table of outputs is that found no room: in version 2.0 an address of the
 *             host, from 2.1 on counted from the beginning of the OpRegion
 *   0x3c2 4   its size in bytes
 *   0x400 6 KiB  the table of outputs, when there is room */
#define SIGNATURE  "IntelGraphicsMem"
#define SIZE_AT    0x10
#define VERSION_AT 0x16
#define RVDA_AT    0x3ba
#define RVDS_AT    0x3c2
#define VBT_AT     0x400
#define VBT        "$VBT"

static guint64
get_le (const guint8 *bytes, guint n)
{
  guint64 value = 0;

  for (guint i = 0; i < n; i++)
    value |= (guint64)bytes[i] << (i * 8);
  return value;
}

/* The table behind: kept when all of it is in what the guest gets. */
static gboolean
check_table_behind (guint8 *bytes, gsize size)
{
  guint64 at = get_le (bytes + RVDA_AT, 8), length = get_le (bytes + RVDS_AT, 4);
  guint version = (guint)get_le (bytes + VERSION_AT, 2);

  if (version >= 0x0201 && at >= VFIO_IGD_OPREGION_SIZE && at < size && length >= strlen (VBT) &&
      length <= size - at)
    return memcmp (bytes + at, VBT, strlen (VBT)) == 0;
  if (version >= 0x0200)
    {
      memset (bytes + RVDA_AT, 0, 8);
      memset (bytes + RVDS_AT, 0, 4);
    }
  return FALSE;
}

char *
vfio_igd_check_opregion (guint8 *bytes, gsize size, gboolean *ret_has_vbt)
{
  guint64 said;

  *ret_has_vbt = FALSE;
  if (size < VFIO_IGD_OPREGION_SIZE || size > VFIO_IGD_OPREGION_MAX)
    return g_strdup_printf ("it is %zu bytes long, and it should be %u to %u", size,
                            VFIO_IGD_OPREGION_SIZE, VFIO_IGD_OPREGION_MAX);
  if (memcmp (bytes, SIGNATURE, strlen (SIGNATURE)) != 0)
    return g_strdup ("it does not begin with " SIGNATURE);
  said = get_le (bytes + SIZE_AT, 4) * 1024;
  if (said < VFIO_IGD_OPREGION_SIZE || said > size)
    return g_strdup_printf ("it says to be %" G_GUINT64_FORMAT " bytes long and %zu are there",
                            said, size);
  *ret_has_vbt = check_table_behind (bytes, size);
  *ret_has_vbt |= memcmp (bytes + VBT_AT, VBT, strlen (VBT)) == 0;
  return NULL;
}
