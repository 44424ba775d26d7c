/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The VM process confines itself before the first guest instruction: no new privileges, and a
 * seccomp filter on all threads that refuses what no part of it needs any more: running programs,
 * tracing, mounting, namespaces, kernel modules, keys, raw port access, new listening sockets.
 * Whatever needs one of these (port forwards, a listener) is opened before. */
#pragma once
#include <glib.h>

/* Applies to every thread that exists, and to those made later. Irreversible. Errors: the kernel
 * has no seccomp. Thread: the main thread. */
gboolean runner_confine (GError **error);
