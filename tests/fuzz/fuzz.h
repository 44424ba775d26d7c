/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a fuzz target defines; libFuzzer or replay-main.c calls it. It must survive any input, keep
 * no state between calls, and return 0. */
#pragma once
#include <stddef.h>
#include <stdint.h>

__attribute__ ((visibility ("default"))) int LLVMFuzzerTestOneInput (const uint8_t *data,
                                                                     size_t size);
