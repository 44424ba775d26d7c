/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/passthrough-page.h"

#include <glib/gi18n.h>
#include <stdbool.h>

#include "app/error.h"
#include "app/passthrough.h"
#include "ui/accessible.h"
#include "ui/card-row.h"
#include "ui/card-steps.h"
#include "ui/check-view.h"
#include "ui/compat.h"
#include "ui/page-bar.h"
#include "ui/spinner.h"

#define RELEASE_MS 30000 /* how long a guest may take to let go of a card */

struct _AlcovePassthroughPage
{
  AdwBin parent;

  AlcoveMachine *machine;
  GCancellable *busy;  /* of the operation under way */
  char *shown;         /* what the rows show */
  char *focus;         /* (nullable) id of the card whose switch gets the keyboard back */
  bool looking, again; /* a look is under way; what it sees is old */
  bool said;           /* the user asked for the look, and is told of its end */

  AlcovePageBar *bar;
  GtkStack *stack;
  AdwStatusPage *off_page;
  AdwBin *off_remedy;
  AdwStatusPage *failed_page;
  GtkWidget *host_box;
  GtkListBox *host_list;
  GtkLabel *display_note;
  GtkWidget *graphics_box;
  GtkListBox *graphics_list;
  GtkWidget *other_box;
  GtkListBox *other_list;
};

G_DEFINE_FINAL_TYPE (AlcovePassthroughPage, alcove_passthrough_page, ADW_TYPE_BIN)

/* --- the lists --- */

static void reload (AlcovePassthroughPage *self);
static void on_request (AlcoveCardRow *row, const char *what, AlcovePassthroughPage *self);

static void
clear_list (GtkListBox *list)
{
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (list))))
    gtk_list_box_remove (list, child);
}

static void
append_check (GString *text, const AlcoveCardCheck *check)
{
  g_string_append_printf (text, "%s %d %s %s\n", check->id, (int)check->verdict, check->text,
                          check->command ? check->command : "");
}

static void
append_parts (GString *text, GPtrArray *parts)
{
  for (guint i = 0; i < parts->len; i++)
    {
      const AlcoveCardPart *part = g_ptr_array_index (parts, i);

      g_string_append_printf (text, "%s %s %s %d %s %s %u\n", part->address, part->name,
                              part->driver ? part->driver : "", part->group,
                              part->place ? part->place : "",
                              part->interrupts ? part->interrupts : "", part->vectors);
      for (char **note = part->notes; note && *note; note++)
        g_string_append_printf (text, "%s\n", *note);
    }
}

static void
append_card (GString *text, const AlcoveCard *card)
{
  g_string_append_printf (text, "%s %s %d %s %d %d %d %d %d %s %s\n", card->id, card->name,
                          (int)card->verdict, card->summary, (int)card->state, card->given,
                          card->kept, card->missing, card->asked_back,
                          card->along ? card->along : "", card->holder ? card->holder : "");
  append_parts (text, card->parts);
  append_parts (text, card->mates);
  for (guint i = 0; i < card->users->len; i++)
    {
      const AlcoveCardUser *user = g_ptr_array_index (card->users, i);

      g_string_append_printf (text, "%d %s\n", user->pid, user->name);
    }
  for (guint i = 0; i < card->checks->len; i++)
    append_check (text, g_ptr_array_index (card->checks, i));
}

/* (transfer full): everything that is shown, to see whether it changed. */
static char *
dup_shown (const AlcoveCards *cards)
{
  g_autoptr (GString) text = g_string_new (NULL);

  g_string_append_printf (text, "%d %d\n", cards->isolation, cards->display);
  for (guint i = 0; i < cards->checks->len; i++)
    append_check (text, g_ptr_array_index (cards->checks, i));
  for (guint i = 0; i < cards->cards->len; i++)
    append_card (text, g_ptr_array_index (cards->cards, i));
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
add_row (AlcovePassthroughPage *self, const AlcoveCards *cards, AlcoveCard *card)
{
  bool graphics = g_str_equal (card->kind, "graphics");
  GtkWidget *row = alcove_card_row_new (card, cards->checks);

  g_signal_connect (row, "request", G_CALLBACK (on_request), self);
  gtk_list_box_append (graphics ? self->graphics_list : self->other_list, row);
  if (g_strcmp0 (self->focus, card->id) == 0 && gtk_widget_get_mapped (GTK_WIDGET (self)))
    alcove_card_row_focus_switch (ALCOVE_CARD_ROW (row));
}

/* What is out comes first, then what can be given. */
static int
get_rank (const AlcoveCard *card)
{
  if (card->given || card->kept)
    return 0;
  return card->verdict < ALCOVE_VERDICT_BLOCKED ? 1 : 2;
}

static void
add_rows (AlcovePassthroughPage *self, const AlcoveCards *cards)
{
  for (int rank = 0; rank <= 2; rank++)
    for (guint i = 0; i < cards->cards->len; i++)
      {
        AlcoveCard *card = g_ptr_array_index (cards->cards, i);

        if (get_rank (card) == rank)
          add_row (self, cards, card);
      }
}

/* What the host lacks, or should be known to lack; what is as it should be is not news. */
static void
show_host (AlcovePassthroughPage *self, const AlcoveCards *cards)
{
  guint n = 0;

  clear_list (self->host_list);
  for (guint i = 0; i < cards->checks->len; i++)
    {
      const AlcoveCardCheck *check = g_ptr_array_index (cards->checks, i);
      GtkWidget *row, *view;

      if (check->verdict < ALCOVE_VERDICT_NOTE)
        continue;
      row = gtk_list_box_row_new ();
      view = alcove_check_view_new (check);
      gtk_widget_set_margin_top (view, 12);
      gtk_widget_set_margin_bottom (view, 12);
      gtk_widget_set_margin_start (view, 12);
      gtk_widget_set_margin_end (view, 12);
      gtk_list_box_row_set_activatable (GTK_LIST_BOX_ROW (row), FALSE);
      gtk_list_box_row_set_child (GTK_LIST_BOX_ROW (row), view);
      gtk_accessible_update_property (GTK_ACCESSIBLE (row), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                      check->title, -1);
      gtk_list_box_append (self->host_list, row);
      n++;
    }
  gtk_widget_set_visible (self->host_box, n > 0);
}

/* A passed-through card shows nothing on its own before the guest has its driver. */
static void
show_display_note (AlcovePassthroughPage *self, const AlcoveCards *cards)
{
  bool given = false;

  for (guint i = 0; i < cards->cards->len; i++)
    {
      const AlcoveCard *card = g_ptr_array_index (cards->cards, i);

      given = given || (card->given && g_str_equal (card->kind, "graphics"));
    }
  gtk_label_set_text (
      self->display_note,
      cards->display
          ? _ ("The machine keeps its own screen in this window beside the graphics card. It shows "
               "the guest until the guest’s driver for the card is up, and whenever the card shows "
               "nothing.")
          : _ ("The machine has no screen of its own in this window. Nothing shows the guest until "
               "the guest’s driver for the card is up. To have one, add a group “[display screen]” "
               "to the "
               "machine’s definition, machine.conf."));
  gtk_widget_set_visible (GTK_WIDGET (self->display_note), given);
}

/* Nothing can be given to any machine: the whole page says why. */
static void
show_off (AlcovePassthroughPage *self, const AlcoveCards *cards)
{
  for (guint i = 0; i < cards->checks->len; i++)
    {
      const AlcoveCardCheck *check = g_ptr_array_index (cards->checks, i);
      g_autofree char *escaped = NULL;

      if (!g_str_equal (check->id, "iommu"))
        continue;
      escaped = g_markup_escape_text (check->text, -1);
      adw_status_page_set_description (self->off_page, escaped);
      adw_bin_set_child (self->off_remedy, alcove_check_view_new_remedy (check));
    }
  gtk_stack_set_visible_child_name (self->stack, "off");
}

static void
show_cards (AlcovePassthroughPage *self, const AlcoveCards *cards)
{
  g_autofree char *shown = dup_shown (cards);

  /* Rows that stay what they are keep the focus, and what is unfolded in them. */
  if (g_strcmp0 (shown, self->shown) != 0)
    {
      g_free (self->shown);
      self->shown = g_steal_pointer (&shown);
      show_host (self, cards);
      show_display_note (self, cards);
      clear_list (self->graphics_list);
      clear_list (self->other_list);
      gtk_stack_set_visible_child_name (self->stack, cards->cards->len > 0 ? "list" : "empty");
      add_rows (self, cards);
      gtk_widget_set_visible (self->graphics_box,
                              gtk_list_box_get_row_at_index (self->graphics_list, 0) != NULL);
      gtk_widget_set_visible (self->other_box,
                              gtk_list_box_get_row_at_index (self->other_list, 0) != NULL);
    }
  if (!cards->isolation)
    show_off (self, cards);
  g_clear_pointer (&self->focus, g_free);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcovePassthroughPage) self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveCards) cards =
      alcove_machine_look_at_cards_finish (ALCOVE_MACHINE (source), result, &error);

  self->looking = false;
  if (!self->machine)
    return;
  if (!cards)
    {
      g_autofree char *escaped = g_markup_escape_text (error->message, -1);

      g_clear_pointer (&self->shown, g_free);
      adw_status_page_set_description (self->failed_page, escaped);
      gtk_stack_set_visible_child_name (self->stack, "failed");
    }
  else if (!self->again)
    show_cards (self, cards);
  if (self->again)
    reload (self);
  else if (self->said)
    {
      self->said = false;
      alcove_compat_announce (GTK_WIDGET (self), _ ("The list is up to date"));
    }
}

static void
reload (AlcovePassthroughPage *self)
{
  self->again = self->looking;
  if (self->looking || !gtk_widget_get_mapped (GTK_WIDGET (self)))
    return; /* a page that nobody sees looks when it is shown */
  self->looking = true;
  alcove_machine_look_at_cards_async (self->machine, NULL, on_looked, g_object_ref (self));
}

static void
on_refresh (AlcovePassthroughPage *self)
{
  self->said = true;
  alcove_page_bar_hide_problem (self->bar);
  reload (self);
}

static void
on_map (AlcovePassthroughPage *self)
{
  if (self->machine)
    reload (self);
}

/* --- operations --- */

/* What one is about, until it ends. */
typedef struct
{
  AlcovePassthroughPage *self;
  AlcoveCardRow *row; /* of a question: its switch is set back */
  AlcoveCard *card;
  const char *what;
  AlcoveCardSteps *steps; /* (nullable) of a question: what was chosen in them */
} Work;

static Work *
work_new (AlcovePassthroughPage *self, AlcoveCardRow *row, AlcoveCard *card, const char *what)
{
  Work *work = g_new0 (Work, 1);

  work->self = g_object_ref (self);
  work->row = row ? g_object_ref (row) : NULL;
  work->card = alcove_card_ref (card);
  work->what = what;
  return work;
}

static void
work_free (gpointer data)
{
  Work *work = data;

  if (work->row)
    {
      alcove_card_row_settle (work->row);
      if (gtk_widget_get_mapped (GTK_WIDGET (work->row)))
        alcove_card_row_focus_switch (work->row);
    }
  g_clear_object (&work->row);
  g_clear_object (&work->steps);
  g_object_unref (work->self);
  alcove_card_unref (work->card);
  g_free (work);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Work, work_free)

static bool
is_cancelled (AlcovePassthroughPage *self, const GError *error)
{
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
         g_error_matches (error, ALCOVE_ERROR, ALCOVE_ERROR_CANCELLED) ||
         g_cancellable_is_cancelled (self->busy);
}

static void
report_done (AlcovePassthroughPage *self, const Work *work)
{
  bool runs = alcove_machine_is_active (self->machine);
  const char *name = work->card->name;
  g_autofree char *message = NULL;

  if (g_str_equal (work->what, "give"))
    message = g_strdup_printf (
        runs ? _ ("The machine has %s now") : _ ("The machine gets %s when it starts"), name);
  else if (g_str_equal (work->what, "take"))
    message = g_strdup_printf (work->card->missing ? _ ("The machine does without %s")
                                                   : _ ("%s stays with the host"),
                               name);
  else
    message = g_strdup_printf (_ ("The host has %s again"), name);
  alcove_page_bar_report (self->bar, message);
}

static void
on_done (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (Work) work = data;
  AlcovePassthroughPage *self = work->self;
  g_autoptr (GError) error = NULL;
  bool good = alcove_machine_finish (ALCOVE_MACHINE (source), result, &error);

  if (self->machine)
    {
      alcove_page_bar_end (self->bar);
      gtk_widget_set_sensitive (GTK_WIDGET (self->stack), TRUE);
      if (good)
        report_done (self, work);
      else if (!is_cancelled (self, error))
        alcove_page_bar_show_problem (self->bar, error->message);
      g_free (self->focus);
      self->focus = g_strdup (work->card->id);
      reload (self);
    }
  g_clear_object (&self->busy);
}

/* what: as the row's signal; with: (nullable) mates that are given too. */
static void
start_work (AlcovePassthroughPage *self,
            AlcoveCard *card,
            const char *what,
            const char *const *with)
{
  bool give = g_str_equal (what, "give");
  bool forget = g_str_equal (what, "take");
  bool runs = alcove_machine_is_active (self->machine);
  g_autofree char *text = g_strdup_printf (
      give ? _ ("Giving %s to the machine…") : _ ("Giving %s back to the host…"), card->name);
  Work *work = work_new (self, NULL, card, give ? "give" : forget ? "take" : "back");

  self->busy = g_cancellable_new ();
  alcove_page_bar_begin (self->bar, text, FALSE, runs);
  gtk_widget_set_sensitive (GTK_WIDGET (self->stack), FALSE);
  if (give)
    {
      const AlcoveGiveOptions options = { .with = with };

      alcove_machine_give_card_async (self->machine, card, &options, self->busy, on_done, work);
    }
  else if (g_str_equal (what, "release"))
    alcove_machine_release_card_async (self->machine, card, self->busy, on_done, work);
  else
    alcove_machine_take_card_async (self->machine, card, forget, RELEASE_MS, self->busy, on_done,
                                    work);
}

static void
on_cancel (AlcovePassthroughPage *self)
{
  if (self->busy)
    g_cancellable_cancel (self->busy);
}

/* --- questions --- */

static void
do_work (gpointer data)
{
  Work *work = data;
  AlcovePassthroughPage *self = work->self;

  g_auto (GStrv) with = work->steps ? alcove_card_steps_dup_with (work->steps) : NULL;

  if (!self->busy && self->machine)
    start_work (self, work->card, work->what, (const char *const *)with);
}

static void
ask_give (AlcovePassthroughPage *self, AlcoveCardRow *row, AlcoveCard *card)
{
  g_autofree char *heading = g_strdup_printf (_ ("Give %s to This Machine?"), card->name);
  g_autoptr (GString) body = g_string_new (NULL);
  Work *work = work_new (self, row, card, "give");

  if (alcove_machine_is_active (self->machine))
    g_string_append (body, _ ("The machine runs: it gets the card at once. This is what changes, "
                              "in this order:"));
  else
    g_string_append (body, _ ("Nothing of the host changes now. This is what happens, in this "
                              "order, and all of it is undone when the machine ends:"));
  if (card->second_start)
    g_string_append_printf (
        body, "\n\n%s", _ ("This card may not start a second time until you restart the host."));
  work->steps = g_object_ref_sink (
      ALCOVE_CARD_STEPS (alcove_card_steps_new (card, alcove_machine_is_active (self->machine))));
  alcove_compat_ask (GTK_WIDGET (self), heading, body->str, GTK_WIDGET (work->steps), _ ("_Give"),
                     false, do_work, work, work_free);
}

static void
ask_out (AlcovePassthroughPage *self, AlcoveCardRow *row, AlcoveCard *card, const char *what)
{
  g_autofree char *heading =
      g_strdup_printf (_ ("Take %s out of the Running Machine?"), card->name);

  alcove_compat_ask (GTK_WIDGET (self), heading,
                     g_str_equal (what, "take")
                         ? _ ("The guest is asked to let go of it. Then the host’s drivers get it "
                              "back, and the machine does not get it again.")
                         : _ ("The guest is asked to let go of it. Then the host’s drivers get it "
                              "back. The machine gets it again at its next start."),
                     NULL, _ ("_Take Out"), false, do_work, work_new (self, row, card, what),
                     work_free);
}

static void
on_request (AlcoveCardRow *row, const char *what, AlcovePassthroughPage *self)
{
  g_autoptr (AlcoveCard) card = alcove_card_ref (alcove_card_row_get_card (row));

  if (self->busy || !self->machine)
    alcove_card_row_settle (row);
  else if (g_str_equal (what, "give"))
    ask_give (self, row, card);
  else if (card->state == ALCOVE_CARD_LIVE)
    ask_out (self, row, card, g_str_equal (what, "take") ? "take" : "back");
  else
    start_work (self, card, what, NULL);
}

/* --- life --- */

static void
alcove_passthrough_page_dispose (GObject *object)
{
  AlcovePassthroughPage *self = ALCOVE_PASSTHROUGH_PAGE (object);

  if (self->machine)
    g_signal_handlers_disconnect_by_data (self->machine, self);
  g_clear_object (&self->machine);
  G_OBJECT_CLASS (alcove_passthrough_page_parent_class)->dispose (object);
}

static void
alcove_passthrough_page_finalize (GObject *object)
{
  AlcovePassthroughPage *self = ALCOVE_PASSTHROUGH_PAGE (object);

  g_free (self->shown);
  g_free (self->focus);
  G_OBJECT_CLASS (alcove_passthrough_page_parent_class)->finalize (object);
}

static void
alcove_passthrough_page_class_init (AlcovePassthroughPageClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = alcove_passthrough_page_dispose;
  G_OBJECT_CLASS (klass)->finalize = alcove_passthrough_page_finalize;
  g_type_ensure (ALCOVE_TYPE_SPINNER);
  g_type_ensure (ALCOVE_TYPE_PAGE_BAR);
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/passthrough-page.ui");
#define BIND(child)                                                                                \
  gtk_widget_class_bind_template_child (widget_class, AlcovePassthroughPage, child)
  BIND (bar);
  BIND (stack);
  BIND (off_page);
  BIND (off_remedy);
  BIND (failed_page);
  BIND (host_box);
  BIND (host_list);
  BIND (display_note);
  BIND (graphics_box);
  BIND (graphics_list);
  BIND (other_box);
  BIND (other_list);
#undef BIND
  gtk_widget_class_bind_template_callback (widget_class, on_cancel);
  gtk_widget_class_bind_template_callback (widget_class, on_refresh);
}

static void
alcove_passthrough_page_init (AlcovePassthroughPage *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  alcove_accessible_watch_stack (self->stack);
  g_signal_connect (self, "map", G_CALLBACK (on_map), NULL);
}

void
alcove_passthrough_page_set_machine (AlcovePassthroughPage *self, AlcoveMachine *machine)
{
  self->machine = g_object_ref (machine);
  g_signal_connect_swapped (machine, "notify::definition", G_CALLBACK (reload), self);
  g_signal_connect_swapped (machine, "notify::state", G_CALLBACK (reload), self);
  g_signal_connect_swapped (machine, "pci-changed", G_CALLBACK (reload), self);
  reload (self);
}
