/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/picture.h"

#include <png.h>

typedef struct
{
  GByteArray *bytes;
  char *problem;
} Sink;

static void
on_write (png_structp png, png_bytep data, png_size_t n)
{
  Sink *sink = png_get_io_ptr (png);

  g_byte_array_append (sink->bytes, data, (guint)n);
}

static void
on_flush (png_structp png)
{
}

/* libpng asks that this does not return: the caller's setjmp gets control. */
static void
on_error (png_structp png, png_const_charp message)
{
  Sink *sink = png_get_error_ptr (png);

  g_free (sink->problem);
  sink->problem = g_strdup (message);
  png_longjmp (png, 1);
}

static void
on_warning (png_structp png, png_const_charp message)
{
}

/* Nothing here is changed between setjmp and longjmp but what sink and row point to. */
static gboolean
write_all (const AlcovePicture *picture, png_structp png, png_infop info, guint8 *row)
{
  const guint8 *pixels = g_bytes_get_data (picture->pixels, NULL);

  if (setjmp (png_jmpbuf (png)) != 0)
    return FALSE;
  png_set_IHDR (png, info, picture->width, picture->height, 8, PNG_COLOR_TYPE_RGB,
                PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_compression_level (png, 3);
  png_write_info (png, info);
  for (guint y = 0; y < picture->height; y++)
    {
      const guint8 *from = pixels + (gsize)y * picture->stride;

      for (guint x = 0; x < picture->width; x++)
        {
          row[x * 3] = from[x * 4 + 2];
          row[x * 3 + 1] = from[x * 4 + 1];
          row[x * 3 + 2] = from[x * 4];
        }
      png_write_row (png, row);
    }
  png_write_end (png, info);
  return TRUE;
}

GBytes *
alcove_picture_to_png (const AlcovePicture *picture, GError **error)
{
  Sink sink = { .bytes = g_byte_array_new () };
  g_autofree guint8 *row = g_malloc ((gsize)picture->width * 3);
  png_structp png = png_create_write_struct (PNG_LIBPNG_VER_STRING, &sink, on_error, on_warning);
  png_infop info = png != NULL ? png_create_info_struct (png) : NULL;
  gboolean good = FALSE;

  if (info != NULL)
    {
      png_set_write_fn (png, &sink, on_write, on_flush);
      good = write_all (picture, png, info, row);
    }
  png_destroy_write_struct (&png, &info);
  if (!good)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED, "The picture cannot be made a PNG: %s",
                   sink.problem != NULL ? sink.problem : "not enough memory");
      g_free (sink.problem);
      g_byte_array_unref (sink.bytes);
      return NULL;
    }
  return g_byte_array_free_to_bytes (sink.bytes);
}

gboolean
alcove_picture_save_png (const AlcovePicture *picture, const char *path, GError **error)
{
  g_autoptr (GBytes) png = alcove_picture_to_png (picture, error);

  if (png == NULL)
    return FALSE;
  return g_file_set_contents_full (path, g_bytes_get_data (png, NULL),
                                   (gssize)g_bytes_get_size (png), G_FILE_SET_CONTENTS_CONSISTENT,
                                   0644, error);
}
