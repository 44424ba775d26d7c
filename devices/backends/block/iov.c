/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "devices/backends/block/file-private.h"

gboolean
block_iov_length (const struct iovec *iov, guint n_iov, guint64 *ret_length)
{
  guint64 length = 0;

  for (guint i = 0; i < n_iov; i++)
    {
      if (iov[i].iov_len > (guint64)G_MAXINT64 - length)
        return FALSE;
      length += iov[i].iov_len;
    }
  *ret_length = length;
  return TRUE;
}

void
block_iov_copy (
    const struct iovec *iov, guint n_iov, guint64 skip, void *buffer, gsize length, gboolean to_iov)
{
  guint8 *bytes = buffer;

  for (guint i = 0; i < n_iov && length > 0; i++)
    {
      gsize room = iov[i].iov_len, piece;
      guint8 *base;

      if (skip >= room)
        {
          skip -= room;
          continue;
        }
      piece = MIN (room - skip, length);
      base = (guint8 *)iov[i].iov_base + skip;
      if (bytes == NULL)
        memset (base, 0, piece);
      else if (to_iov)
        memcpy (base, bytes, piece);
      else
        memcpy (bytes, base, piece);
      if (bytes != NULL)
        bytes += piece;
      length -= piece;
      skip = 0;
    }
}

struct iovec *
block_iov_slice (const struct iovec *iov, guint n_iov, guint64 skip, guint64 length, guint *ret_n)
{
  struct iovec *slice = g_new (struct iovec, MAX (n_iov, 1));
  guint n = 0;

  for (guint i = 0; i < n_iov && length > 0; i++)
    {
      gsize room = iov[i].iov_len, piece;

      if (skip >= room)
        {
          skip -= room;
          continue;
        }
      piece = MIN (room - skip, length);
      slice[n++] = (struct iovec){ (guint8 *)iov[i].iov_base + skip, piece };
      length -= piece;
      skip = 0;
    }
  *ret_n = n;
  return slice;
}
