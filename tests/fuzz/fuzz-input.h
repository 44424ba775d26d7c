/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Takes numbers from a fuzzer's bytes; zero when they are used up. */
#pragma once
#include <glib.h>
#include <string.h>

typedef struct
{
  const guint8 *data;
  gsize left;
} FuzzInput;

static inline guint64
fuzz_take (FuzzInput *input, guint size)
{
  guint64 value = 0;
  gsize n = MIN (input->left, size);

  memcpy (&value, input->data, n);
  input->data += n;
  input->left -= n;
  return GUINT64_FROM_LE (value);
}
