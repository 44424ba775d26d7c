/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/card-steps.h"

#include <glib/gi18n.h>
#include <stdbool.h>
#include <string.h>

#define HEIGHT_MAX 320
#define WIDTH      440

struct _AlcoveCardSteps
{
  AdwBin parent;
  AlcoveCard *card;
  GtkListBox *list;
  GPtrArray *choices; /* of GtkSwitch: with "mate", the index of its first function */
  guint n;            /* steps so far */
};

G_DEFINE_FINAL_TYPE (AlcoveCardSteps, alcove_card_steps, ADW_TYPE_BIN)

static GtkWidget *
new_label (const char *text, const char *css_class)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GtkWidget *label = gtk_label_new (valid);

  gtk_label_set_xalign (GTK_LABEL (label), 0);
  gtk_label_set_wrap (GTK_LABEL (label), TRUE);
  gtk_label_set_wrap_mode (GTK_LABEL (label), PANGO_WRAP_WORD_CHAR);
  if (css_class)
    gtk_widget_add_css_class (label, css_class);
  return label;
}

/* A row can have the keyboard: the list scrolls with it. */
static GtkWidget *
add_row (AlcoveCardSteps *self, const char *name)
{
  GtkWidget *row = gtk_list_box_row_new ();
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 3);
  g_autofree char *valid = g_utf8_make_valid (name, -1);

  gtk_widget_set_margin_top (box, 6);
  gtk_widget_set_margin_bottom (box, 6);
  gtk_widget_set_margin_start (box, 9);
  gtk_widget_set_margin_end (box, 9);
  gtk_list_box_row_set_activatable (GTK_LIST_BOX_ROW (row), FALSE);
  gtk_list_box_row_set_child (GTK_LIST_BOX_ROW (row), box);
  gtk_accessible_update_property (GTK_ACCESSIBLE (row), GTK_ACCESSIBLE_PROPERTY_LABEL, valid, -1);
  gtk_list_box_append (self->list, row);
  return box;
}

static void
add_caption (GtkWidget *box, const char *text)
{
  GtkWidget *label = new_label (text, "caption");

  gtk_widget_add_css_class (label, "dim-label");
  gtk_box_append (GTK_BOX (box), label);
}

static void
add_title (AlcoveCardSteps *self, const char *text)
{
  gtk_box_append (GTK_BOX (add_row (self, text)), new_label (text, "caption-heading"));
}

/* undo: (nullable) nothing is to be undone. */
static void
add_step (AlcoveCardSteps *self, const char *step, const char *undo)
{
  /* Translators: the number of a step, and what it does */
  g_autofree char *text = g_strdup_printf (_ ("%u. %s"), ++self->n, step);
  GtkWidget *box = add_row (self, text);

  gtk_box_append (GTK_BOX (box), new_label (text, NULL));
  if (undo)
    {
      g_autofree char *caption = g_strdup_printf (_ ("To undo: %s"), undo);

      add_caption (box, caption);
    }
}

static void
add_remedies (AlcoveCardSteps *self)
{
  bool any = false;

  for (guint i = 0; i < self->card->checks->len; i++)
    {
      const AlcoveCardCheck *check = g_ptr_array_index (self->card->checks, i);
      g_autofree char *text = NULL;

      if (check->verdict != ALCOVE_VERDICT_STEP || !check->remedy)
        continue;
      if (!any)
        add_title (self, _ ("By you, before that:"));
      any = true;
      text = g_strdup_printf ("%s: %s", check->title, check->remedy);
      gtk_box_append (GTK_BOX (add_row (self, text)), new_label (text, NULL));
    }
}

/* --- what comes along --- */

static const AlcoveCardPart *
get_mate (AlcoveCardSteps *self, guint i)
{
  return i < self->card->mates->len ? g_ptr_array_index (self->card->mates, i) : NULL;
}

/* "0000:0f:00.3" and "0000:0f:00.4" are parts of one card. */
static bool
same_card (const AlcoveCardPart *a, const AlcoveCardPart *b)
{
  const char *dot = strrchr (a->address, '.');

  return dot && strncmp (a->address, b->address, (gsize)(dot - a->address) + 1) == 0;
}

static void
add_choice (AlcoveCardSteps *self, GtkWidget *box, const char *text, guint mate)
{
  GtkWidget *line = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 9);
  GtkWidget *label = new_label (text, NULL);
  GtkWidget *choice = gtk_switch_new ();

  gtk_widget_set_hexpand (label, TRUE);
  gtk_widget_set_valign (choice, GTK_ALIGN_CENTER);
  gtk_accessible_update_property (GTK_ACCESSIBLE (choice), GTK_ACCESSIBLE_PROPERTY_LABEL, text, -1);
  g_object_set_data (G_OBJECT (choice), "mate", GUINT_TO_POINTER (mate));
  g_ptr_array_add (self->choices, choice);
  gtk_box_append (GTK_BOX (line), label);
  gtk_box_append (GTK_BOX (line), choice);
  gtk_box_append (GTK_BOX (box), line);
}

static void
add_mates (AlcoveCardSteps *self)
{
  for (guint i = 0, next; i < self->card->mates->len; i = next)
    {
      const AlcoveCardPart *mate = get_mate (self, i);
      g_autofree char *text = NULL;
      GtkWidget *box;

      for (next = i + 1; get_mate (self, next) && same_card (mate, get_mate (self, next)); next++)
        ;
      if (i == 0)
        add_title (self, _ ("Comes along, as it shares the card’s isolation group:"));
      /* Translators: another device and its address on the bus */
      text = next - i > 1
                 ? g_strdup_printf (_ ("Give the machine %s (%s) too, with all its parts"),
                                    mate->name, mate->address)
                 : g_strdup_printf (_ ("Give the machine %s (%s) too"), mate->name, mate->address);
      box = add_row (self, text);
      add_choice (self, box, text, i);
      add_caption (box,
                   _ ("The host is without it in any case while the machine has the card. If the "
                      "machine is not given it, nobody can use it until then."));
    }
}

GStrv
alcove_card_steps_dup_with (AlcoveCardSteps *self)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (guint i = 0; i < self->choices->len; i++)
    {
      GtkSwitch *choice = g_ptr_array_index (self->choices, i);
      guint first = GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (choice), "mate"));

      if (!gtk_switch_get_active (choice))
        continue;
      for (guint k = first;
           get_mate (self, k) && same_card (get_mate (self, first), get_mate (self, k)); k++)
        g_strv_builder_add (builder, get_mate (self, k)->address);
    }
  return g_strv_builder_end (builder);
}

/* What the machine has to do without, of which a balloon and merged pages are a part. */
static void
add_price (AlcoveCardSteps *self)
{
  const char *const lines[] = {
    _ ("All of the machine’s memory stays in this computer’s memory; none of it is shared or "
       "swapped "
       "out"),
    _ ("The running machine cannot be saved, and no snapshot of it can be taken; when it is off, "
       "snapshots of its disks can"),
  };

  add_title (self, _ ("While the machine has it:"));
  for (gsize i = 0; i < G_N_ELEMENTS (lines); i++)
    gtk_box_append (GTK_BOX (add_row (self, lines[i])), new_label (lines[i], NULL));
}

/* --- all of it --- */

static void
show (AlcoveCardSteps *self, bool runs)
{
  add_remedies (self);
  add_mates (self);
  if (!runs)
    {
      add_title (self, _ ("Now:"));
      add_step (self, _ ("Write the card into the machine’s definition"),
                _ ("turn the switch off"));
    }
  /* Without a title of their own the steps would seem to belong to what is above. */
  if (!runs || gtk_list_box_get_row_at_index (self->list, 0))
    add_title (self, runs ? _ ("Now:") : _ ("When the machine starts:"));
  for (guint i = 0; i < self->card->steps->len; i++)
    {
      const AlcoveCardStep *step = g_ptr_array_index (self->card->steps, i);

      add_step (self, step->text, step->undo);
    }
  if (runs)
    add_step (self, _ ("Plug the card into the running machine, and write it into its definition"),
              _ ("turn the switch off: the guest is asked to let go"));
  add_price (self);
}

static void
alcove_card_steps_finalize (GObject *object)
{
  AlcoveCardSteps *self = ALCOVE_CARD_STEPS (object);

  alcove_card_unref (self->card);
  g_ptr_array_unref (self->choices);
  G_OBJECT_CLASS (alcove_card_steps_parent_class)->finalize (object);
}

static void
alcove_card_steps_class_init (AlcoveCardStepsClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = alcove_card_steps_finalize;
}

static void
alcove_card_steps_init (AlcoveCardSteps *self)
{
  GtkWidget *window = gtk_scrolled_window_new ();

  self->choices = g_ptr_array_new ();
  self->list = GTK_LIST_BOX (gtk_list_box_new ());
  gtk_list_box_set_selection_mode (self->list, GTK_SELECTION_NONE);
  gtk_widget_add_css_class (GTK_WIDGET (self->list), "boxed-list");
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->list), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                  _ ("What will change"), -1);
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (window), GTK_POLICY_NEVER,
                                  GTK_POLICY_AUTOMATIC);
  gtk_scrolled_window_set_propagate_natural_height (GTK_SCROLLED_WINDOW (window), TRUE);
  gtk_scrolled_window_set_max_content_height (GTK_SCROLLED_WINDOW (window), HEIGHT_MAX);
  gtk_widget_set_size_request (window, WIDTH, -1);
  gtk_scrolled_window_set_child (GTK_SCROLLED_WINDOW (window), GTK_WIDGET (self->list));
  adw_bin_set_child (ADW_BIN (self), window);
}

GtkWidget *
alcove_card_steps_new (AlcoveCard *card, gboolean runs)
{
  AlcoveCardSteps *self = g_object_new (ALCOVE_TYPE_CARD_STEPS, NULL);

  self->card = alcove_card_ref (card);
  show (self, runs);
  return GTK_WIDGET (self);
}
