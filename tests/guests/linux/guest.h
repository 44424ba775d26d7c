/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The test program inside the small Linux guest: one static binary, which is process 1 of the
 * guest and also its tools. The tools that touch only files (disk) run on the host too, so that
 * the pattern a guest wrote is verified by the same code from outside.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

int guest_init (void);
int guest_banner (int argc, char **argv);
int guest_bar (int argc, char **argv);
int guest_bench (int argc, char **argv);
int guest_disk (int argc, char **argv);
int guest_draw (int argc, char **argv);
int guest_efi (int argc, char **argv);
int guest_events (int argc, char **argv);
int guest_frame (int argc, char **argv);
int guest_memory (int argc, char **argv);
int guest_nvme (int argc, char **argv);
int guest_report (int argc, char **argv);
int guest_sound (int argc, char **argv);

/* The value of NAME=... on the kernel command line, up to the next blank, or (rest) up to the end
   of the line. NULL when it is not there. The text lives for ever. */
const char *guest_parameter (const char *name, bool rest);

/* The pixel (red from bit 16, green, blue) at X,Y of the picture that a test looks for: draw.c says
   what it is. */
uint32_t guest_picture (uint32_t x, uint32_t y, uint32_t width, uint32_t height);
