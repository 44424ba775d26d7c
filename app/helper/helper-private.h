/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of the service share. */
#pragma once
#include "app/helper/audit.h"
#include "app/helper/caller.h"
#include "app/helper/service.h"
#include "vfio/bind/bind.h"

typedef enum
{
  HELPER_BIND,
  HELPER_RELEASE,
  HELPER_GRANT_GROUP,
  HELPER_RAISE_MEMLOCK,
  HELPER_LIST_BOUND,
  HELPER_GIVE_BACK, /* no call: an owner has left the bus */
} HelperMethod;

typedef struct
{
  HelperMethod method;
  VfioAddress functions[BIND_SET_MAX];
  guint n_functions;
  gboolean when_gone;
  guint32 group, pid;
  guint64 bytes;
} HelperArguments;

/* work.c: what a call names, checked as far as can be without looking at the host. Nothing but
 * addresses and numbers comes out. Errors: INVALID. */
gboolean helper_arguments_parse (HelperMethod method,
                                 GVariant *parameters,
                                 HelperArguments *ret,
                                 GError **error);
/* For the journal and polkit: valid UTF-8 of a bounded length, whatever the call says. (transfer full) */
char *helper_arguments_describe (GVariant *parameters);

/* work.c: blocks. check_only: the rules alone. owner: of GIVE_BACK; else (nullable) the bus name with
 * whose end the functions go back. Returns: (transfer floating): the answer. Thread: any, one at a
 * time. */
GVariant *helper_work (const HelperConfig *config,
                       const HelperArguments *arguments,
                       guint32 uid,
                       const char *owner,
                       gboolean check_only,
                       GError **error);
/* Functions that are taken in this boot: (element-type VfioBinding) (transfer full). Errors: the
 * ledger cannot be opened. */
GPtrArray *helper_list (const HelperConfig *config, GError **error);

/* owners.c: who has left the bus. */
typedef struct _HelperOwners HelperOwners;
typedef void (*HelperOwnerGone) (const char *owner, gpointer user_data);

HelperOwners *helper_owners_new (GDBusConnection *bus, HelperOwnerGone gone, gpointer user_data);
void helper_owners_free (HelperOwners *owners);
/* gone is called once when it leaves the bus, or soon if it is not on it. */
void helper_owners_watch (HelperOwners *owners, const char *owner);
/* gone is called again in a while: something of the owner is still open. */
void helper_owners_retry (HelperOwners *owners, const char *owner);
void helper_owners_forget (HelperOwners *owners, const char *owner);
/* It is watched, and has not left as far as is known. */
gboolean helper_owners_is_here (HelperOwners *owners, const char *owner);
guint helper_owners_get_n_gone (HelperOwners *owners);
