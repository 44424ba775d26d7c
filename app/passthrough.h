/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The host's cards as people choose among them for one machine: what a card is made of, what comes
 * along, who uses it, the verdict with its reasons and remedies, what would change and how it is
 * undone, and where the card is now. Text from vfio/host and vfio/bind, copied: nothing here borrows.
 *
 * Looking reads the host's files on a thread; giving, taking and releasing are asynchronous too.
 * Nothing of the host changes when a card is given to a machine that is off: that happens when it
 * starts. Errors are for people. Thread: the machine's main context. */
#pragma once
#include "app/machine.h"

typedef enum
{
  ALCOVE_VERDICT_READY,
  ALCOVE_VERDICT_NOTE,    /* ready; there is something to know */
  ALCOVE_VERDICT_STEP,    /* something has to be done first */
  ALCOVE_VERDICT_BLOCKED, /* a hard stop */
} AlcoveVerdict;

typedef struct
{
  char *id; /* stable: "iommu", "group-mates" */
  AlcoveVerdict verdict;
  char *title, *text;
  char *remedy;  /* (nullable) the next step, in words */
  char *command; /* (nullable) lines */
  char *undo;    /* (nullable) lines or words */
} AlcoveCardCheck;

typedef struct
{
  char *address, *name;
  char *kind;    /* (nullable) "VGA compatible controller" */
  char *driver;  /* (nullable) */
  gboolean main; /* what the card is for */
  int group;     /* -1: none */
  /* In this machine, while it has it: */
  char *place;      /* (nullable) its address in the guest; NULL: the machine does not have it */
  char *interrupts; /* (nullable) "none", "intx", "msi" or "msix", of so many vectors */
  guint vectors;
  GStrv notes; /* (nullable) what the machine says of it: sentences without their end */
} AlcoveCardPart;

typedef struct
{
  int pid;
  char *name;
} AlcoveCardUser;

typedef struct
{
  char *text;
  char *undo; /* (nullable) nothing is to be undone */
} AlcoveCardStep;

typedef enum
{
  ALCOVE_CARD_FREE,      /* the host has it */
  ALCOVE_CARD_CHOSEN,    /* this machine gets it when it starts */
  ALCOVE_CARD_LATER,     /* the same; it runs, without the card */
  ALCOVE_CARD_LIVE,      /* this machine has it now */
  ALCOVE_CARD_LEAVING,   /* the guest was asked to let go */
  ALCOVE_CARD_ELSEWHERE, /* another machine that runs has it */
} AlcoveCardState;

typedef struct
{
  char *id;   /* address of the first part */
  char *kind; /* "graphics", "network"… */
  char *name;
  AlcoveVerdict verdict;
  char *summary;
  GPtrArray *parts;  /* (element-type AlcoveCardPart) */
  GPtrArray *mates;  /* (element-type AlcoveCardPart) other devices that come along */
  GPtrArray *users;  /* (element-type AlcoveCardUser) by pid */
  GPtrArray *checks; /* (element-type AlcoveCardCheck) gravest first */
  GPtrArray *steps;  /* (element-type AlcoveCardStep) what a start changes on the host */

  AlcoveCardState state;
  gboolean given;        /* this machine's definition has a part of it */
  gboolean kept;         /* taken from the host for this user */
  gboolean missing;      /* it is given, and the host has it no more */
  gboolean asked_back;   /* LIVE or LEAVING: the host waits for it */
  gboolean second_start; /* it may not start twice between two boots of the host … */
  gboolean started;      /* … and did start once */
  char *along;           /* (nullable) kept: the name of the card with which it was taken */
  char *holder;          /* (nullable) ELSEWHERE: that machine's name; else of one that is off, and
                          * is given the card too */
} AlcoveCard;
AlcoveCard *alcove_card_ref (AlcoveCard *card);
void alcove_card_unref (gpointer card);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AlcoveCard, alcove_card_unref)
/* (nullable): the first check with this id. */
const AlcoveCardCheck *alcove_card_find_check (const AlcoveCard *card, const char *id);

typedef struct
{
  gboolean isolation; /* FALSE: no card can be given to any machine; "iommu" of checks says why */
  gboolean display;   /* the machine has an emulated display */
  GPtrArray *checks;  /* (element-type AlcoveCardCheck) of the host as a whole */
  GPtrArray *cards; /* (element-type AlcoveCard) by address; parts of the mainboard are left out */
} AlcoveCards;
AlcoveCards *alcove_cards_ref (AlcoveCards *cards);
void alcove_cards_unref (gpointer cards);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AlcoveCards, alcove_cards_unref)

void alcove_machine_look_at_cards_async (AlcoveMachine *self,
                                         GCancellable *cancellable,
                                         GAsyncReadyCallback callback,
                                         gpointer user_data);
/* (transfer full) */
AlcoveCards *
alcove_machine_look_at_cards_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);

/* One card, by the address of any part, or the UUID of a virtual device; also a part of the mainboard. Errors: NOT_FOUND. End with
 * alcove_machine_look_at_card_finish. */
void alcove_machine_look_at_card_async (AlcoveMachine *self,
                                        const char *address,
                                        GCancellable *cancellable,
                                        GAsyncReadyCallback callback,
                                        gpointer user_data);
/* (transfer full) */
AlcoveCard *
alcove_machine_look_at_card_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);

/* ---- changes (passthrough-changes.c); each ends with alcove_machine_finish ---- */

/* How a card is given; all zero: as it is, alone. */
typedef struct
{
  const char *name; /* (nullable) of its [pci NAME]; its other parts are NAME.1... */
  const char *only; /* (nullable) address of a part: this one alone */
  const char
      *rom_file; /* (nullable) of the main part, or the one that goes alone: its start-up program */
  gboolean no_rom, vga;    /* of the same */
  const char *const *with; /* (nullable) addresses of mates that the machine is given too */
} AlcoveGiveOptions;

/* Writes the card into the definition, all its parts in one slot. Each card among the mates that are
 * given too gets a slot of its own; the other mates are taken from the host, and nobody has them. A
 * machine that runs gets all at once: it is taken from the host, for which a password may be asked, and
 * plugged in; on error nothing has changed, unless it is a mate that cannot be had: then the message
 * says that the machine has the card itself. options: (nullable). */
void alcove_machine_give_card_async (AlcoveMachine *self,
                                     AlcoveCard *card,
                                     const AlcoveGiveOptions *options,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data);
/* (transfer full) (nullable): the names of the [pci NAME] groups; alcove_machine_finish does, too. */
GStrv alcove_machine_give_card_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);
/* Takes it out of the machine when that runs: the guest is asked to let go, within timeout_ms; then
 * the host has it again. forget: also out of the definition. */
void alcove_machine_take_card_async (AlcoveMachine *self,
                                     AlcoveCard *card,
                                     gboolean forget,
                                     guint timeout_ms,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data);
/* Gives a card that no machine uses back to the host's drivers. */
void alcove_machine_release_card_async (AlcoveMachine *self,
                                        AlcoveCard *card,
                                        GCancellable *cancellable,
                                        GAsyncReadyCallback callback,
                                        gpointer user_data);

/**
 * alcove_machine_find_risky_card_async:
 *
 * Before a start: is there a card in the definition that has started once since the host's own start,
 * and may not do it again? Nothing is read when no card did. End with
 * alcove_machine_find_risky_card_finish.
 */
void alcove_machine_find_risky_card_async (AlcoveMachine *self,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback,
                                           gpointer user_data);
/* (transfer full) (nullable): NULL without error: none. */
AlcoveCard *
alcove_machine_find_risky_card_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);
