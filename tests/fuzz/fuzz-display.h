/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Input bytes as a stream of numbers; zeroes when they run out. */
#pragma once
#include <stdint.h>
#include <string.h>
#include "tests/fuzz/fuzz.h"
#include "tests/unit/devices/display/display-harness.h"

typedef struct
{
  const uint8_t *data;
  size_t left;
} FuzzInput;

static inline guint64
fuzz_take (FuzzInput *in, guint size)
{
  guint64 value = 0;
  size_t n = MIN (in->left, size);

  memcpy (&value, in->data, n);
  in->data += n;
  in->left -= n;
  return value;
}
