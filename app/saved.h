/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a machine that was saved keeps its memory and device state. */
#pragma once

#define ALCOVE_SAVED_FOLDER "saved"
