/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the verbs of "alcove pci" share. */
#pragma once
#include "app/cli/cli-private.h"
#include "vfio/host/checks.h"

/* The host, or what ALCOVE_HOST_ROOT names. (transfer full) (nullable): said why, *ret_status. */
VfioInventory *cli_pci_read (Cli *cli, VfioTree **ret_tree, int *ret_status);
/* The function at an address that a person typed. (transfer none) (nullable): said, *ret_status. */
VfioFunction *
cli_pci_find (Cli *cli, const VfioInventory *inventory, const char *text, int *ret_status);

/* The whole inventory: "platform", "functions", "groups", "cards". (transfer full) */
JsonNode *cli_pci_inventory_to_json (const VfioInventory *inventory);

/* "platform" (checks) and "cards" (verdicts). verdicts: (element-type VfioVerdict). (transfer full) */
JsonNode *cli_pci_verdicts_to_json (GPtrArray *platform, GPtrArray *verdicts);

/* pci-given.c: what a machine is given, where it is now, what the machine says of it. */
JsonArray *cli_pci_given_to_json (AlcoveMachine *machine); /* (transfer full) */
void cli_pci_print_given (AlcoveMachine *machine);         /* nothing when it is given nothing */
int cli_pci_list_given (Cli *cli, const char *name, gboolean json);

/* The verbs of pci. argv[0] is the verb's last word. */
int cli_pci_check (Cli *cli, int argc, char **argv);
int cli_pci_list (Cli *cli, int argc, char **argv);
int cli_pci_attach (Cli *cli, int argc, char **argv);
int cli_pci_detach (Cli *cli, int argc, char **argv);
/* pci-bind.c */
int cli_pci_bind (Cli *cli, int argc, char **argv);
int cli_pci_release (Cli *cli, int argc, char **argv);
int cli_pci_list_bound (Cli *cli, int argc, char **argv);
