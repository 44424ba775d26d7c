/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A private message bus (the real dbus-daemon) that anybody may be on, and on it a DOUBLE of polkit's
 * authority, which answers as it is told and keeps what it was asked. */
#pragma once
#include <gio/gio.h>

typedef struct
{
  GSubprocess *daemon;
  char *folder; /* its configuration; services/ is where it looks for what to start */
  char *address;
} PrivateBus;

/* FALSE: there is no dbus-daemon. */
gboolean private_bus_start (PrivateBus *bus);
void private_bus_stop (PrivateBus *bus);
/* A connection of its own; uid: whom the bus takes it for (root alone can be another). */
GDBusConnection *private_bus_connect (PrivateBus *bus, guint32 uid);

typedef enum
{
  POLKIT_YES,
  POLKIT_NO,
  POLKIT_CHALLENGE, /* a password, and nobody to ask */
  POLKIT_DISMISSED,
  POLKIT_LATER, /* answers when fake_polkit_answer is called */
} PolkitAnswer;

typedef struct
{
  GDBusConnection *connection;
  guint object;
  PolkitAnswer answer;
  GPtrArray *asked;   /* "ACTION SUBJECT-KIND SUBJECT-NAME DETAIL FLAGS" */
  GPtrArray *waiting; /* (element-type GDBusMethodInvocation) */
} FakePolkit;

void fake_polkit_start (FakePolkit *polkit, PrivateBus *bus);
void fake_polkit_answer (FakePolkit *polkit, gboolean yes);
void fake_polkit_stop (FakePolkit *polkit);
