/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/card-row.h"

#include <glib/gi18n.h>
#include <stdbool.h>

#include "ui/check-view.h"

struct _AlcoveCardRow
{
  GtkListBoxRow parent;

  AlcoveCard *card;
  bool settling; /* the switch is set by us */

  GtkImage *icon;
  GtkLabel *title;
  GtkLabel *details;
  GtkImage *verdict_icon;
  GtkLabel *verdict;
  GtkLabel *state;
  GtkButton *back_button;
  GtkSwitch *give_switch;
  GtkBox *body;
};

enum
{
  REQUEST,
  N_SIGNALS
};
static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (AlcoveCardRow, alcove_card_row, GTK_TYPE_LIST_BOX_ROW)

static const char *
get_icon (const AlcoveCard *card)
{
  static const struct
  {
    const char *kind, *icon;
  } icons[] = { { "graphics", "video-display-symbolic" },
                { "audio", "audio-card-symbolic" },
                { "network", "network-wired-symbolic" },
                { "storage", "drive-harddisk-symbolic" },
                { "usb", "media-removable-symbolic" } };

  for (gsize i = 0; i < G_N_ELEMENTS (icons); i++)
    if (g_str_equal (icons[i].kind, card->kind))
      return icons[i].icon;
  return "application-x-executable-symbolic";
}

static const AlcoveCardPart *
get_part (GPtrArray *parts, guint i)
{
  return g_ptr_array_index (parts, i);
}

/* "0000:01:00.0 · isolation group 13 · driver nouveau". */
static char *
dup_details (const AlcoveCard *card)
{
  const AlcoveCardPart *first = get_part (card->parts, 0);
  g_autoptr (GString) text = g_string_new (first->address);

  if (first->group >= 0)
    g_string_append_printf (text, _ (" · isolation group %d"), first->group);
  if (first->driver)
    g_string_append_printf (text, _ (" · driver %s"), first->driver);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* (transfer full) (nullable): where it is. */
static char *
dup_state (const AlcoveCard *card)
{
  if (card->missing)
    return g_strdup (_ ("Given to this machine, but no longer in this computer"));
  switch (card->state)
    {
    case ALCOVE_CARD_CHOSEN:
      if (card->kept)
        return g_strdup (_ ("Taken from the host. This machine gets it when it starts"));
      return g_strdup (_ ("This machine gets it when it starts"));
    case ALCOVE_CARD_LATER:
      return g_strdup (_ ("This machine gets it at its next start"));
    case ALCOVE_CARD_LIVE:
      return g_strdup (card->asked_back
                           ? _ ("In use by this machine. The host asked for it back, and "
                                "the guest keeps it")
                           : _ ("In use by this machine"));
    case ALCOVE_CARD_LEAVING:
      return g_strdup (card->asked_back
                           ? _ ("The host asked for it back: the guest was asked to let "
                                "go of it")
                           : _ ("The guest was asked to let go of it"));
    case ALCOVE_CARD_ELSEWHERE:
      return g_strdup_printf (_ ("In use by the machine “%s”"), card->holder);
    case ALCOVE_CARD_FREE:
    default:
      break;
    }
  if (card->along)
    return g_strdup_printf (_ ("Taken from the host along with %s; no machine uses it"),
                            card->along);
  if (card->kept)
    return g_strdup (_ ("Taken from the host; no machine uses it"));
  if (card->holder)
    return g_strdup_printf (_ ("Given to the machine “%s”, which is off"), card->holder);
  return NULL;
}

static GtkWidget *
new_label (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GtkWidget *label = gtk_label_new (valid);

  gtk_label_set_xalign (GTK_LABEL (label), 0);
  gtk_label_set_wrap (GTK_LABEL (label), TRUE);
  gtk_label_set_wrap_mode (GTK_LABEL (label), PANGO_WRAP_WORD_CHAR);
  return label;
}

/* A heading, and a line for each. */
static void
add_parts (AlcoveCardRow *self, const char *heading, GPtrArray *parts)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0);
  GtkWidget *label = new_label (heading);

  gtk_widget_add_css_class (label, "caption-heading");
  gtk_box_append (GTK_BOX (box), label);
  for (guint i = 0; i < parts->len; i++)
    {
      const AlcoveCardPart *part = get_part (parts, i);
      g_autofree char *text = g_strdup_printf ("%s (%s)", part->name, part->address);

      gtk_box_append (GTK_BOX (box), new_label (text));
    }
  gtk_box_append (self->body, box);
}

/* (transfer full): how the guest gets the part's interrupts. */
static char *
dup_interrupts (const AlcoveCardPart *part)
{
  static const struct
  {
    const char *id, *name;
  } kinds[] = { { "intx", "INTx" }, { "msi", "MSI" }, { "msix", "MSI-X" } };

  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (g_strcmp0 (part->interrupts, kinds[i].id) == 0)
      return part->vectors > 1
                 ? g_strdup_printf (ngettext ("%s interrupts, %u vector",
                                              "%s interrupts, %u vectors", part->vectors),
                                    kinds[i].name, part->vectors)
                 /* Translators: a kind of interrupts, such as MSI */
                 : g_strdup_printf (_ ("%s interrupts"), kinds[i].name);
  return g_strdup (_ ("no interrupts"));
}

/* What the machine says of the parts that it has, a note each below. */
static void
add_live (AlcoveCardRow *self)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_VERTICAL, 0);
  GtkWidget *heading = new_label (_ ("In the running machine"));
  guint n_parts = self->card->parts->len;

  gtk_widget_add_css_class (heading, "caption-heading");
  gtk_box_append (GTK_BOX (box), heading);
  gtk_box_append (self->body, box);
  for (guint i = 0; i < n_parts; i++)
    {
      const AlcoveCardPart *part = get_part (self->card->parts, i);
      g_autofree char *interrupts = dup_interrupts (part);
      /* Translators: a part of a card, its address in the guest, how it gets its interrupts */
      g_autofree char *text = g_strdup_printf (_ ("%s: %s in the guest, %s"), part->name,
                                               part->place ? part->place : "", interrupts);

      if (!part->place)
        continue; /* not all of a card has to be given */
      gtk_box_append (GTK_BOX (box), new_label (text));
      for (char **note = part->notes; note && *note; note++)
        {
          g_autofree char *sentence = g_strdup_printf ("%s.", *note);
          const AlcoveCardCheck check = { .verdict = ALCOVE_VERDICT_NOTE,
                                          .title = part->name,
                                          .text = sentence };

          gtk_box_append (self->body, alcove_check_view_new (&check));
        }
    }
}

static void
add_users (AlcoveCardRow *self)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *line = NULL;

  for (guint i = 0; i < self->card->users->len; i++)
    {
      const AlcoveCardUser *user = g_ptr_array_index (self->card->users, i);

      /* Translators: a program and the number of its process */
      g_string_append_printf (text, i > 0 ? _ (", %s (process %d)") : _ ("%s (process %d)"),
                              user->name, user->pid);
    }
  if (text->len == 0)
    return;
  line = g_strdup_printf (_ ("Used now by %s"), text->str);
  gtk_box_append (self->body, new_label (line));
}

/* A machine has it: that it is in use is no obstacle then. */
static bool
is_out (const AlcoveCard *card)
{
  return card->state == ALCOVE_CARD_LIVE || card->state == ALCOVE_CARD_LEAVING ||
         card->state == ALCOVE_CARD_ELSEWHERE;
}

static bool
is_said (const AlcoveCard *card, GPtrArray *host, const AlcoveCardCheck *check)
{
  if (is_out (card) && g_str_equal (check->id, "in-use"))
    return true;
  for (guint i = 0; i < host->len; i++)
    {
      const AlcoveCardCheck *other = g_ptr_array_index (host, i);

      if (g_str_equal (other->id, check->id))
        return true;
    }
  return false;
}

/* What a person has to act on is there at once, the rest behind one click. */
static bool
is_urgent (const AlcoveCard *card, const AlcoveCardCheck *check)
{
  if (card->verdict == ALCOVE_VERDICT_BLOCKED)
    return check->verdict == ALCOVE_VERDICT_BLOCKED;
  return check->verdict >= ALCOVE_VERDICT_STEP ||
         (card->second_start && check->verdict >= ALCOVE_VERDICT_NOTE &&
          g_str_has_prefix (check->id, "reset"));
}

static void
add_checks (AlcoveCardRow *self, GPtrArray *host)
{
  GtkWidget *more = gtk_box_new (GTK_ORIENTATION_VERTICAL, 9);
  GtkWidget *expander;
  guint n = 0;

  g_object_ref_sink (more);
  for (guint i = 0; i < self->card->checks->len; i++)
    {
      const AlcoveCardCheck *check = g_ptr_array_index (self->card->checks, i);

      if (is_said (self->card, host, check))
        continue;
      if (is_urgent (self->card, check))
        gtk_box_append (self->body, alcove_check_view_new (check));
      else
        {
          gtk_box_append (GTK_BOX (more), alcove_check_view_new (check));
          n++;
        }
    }
  if (n > 0)
    {
      expander = gtk_expander_new (_ ("More about this device"));
      gtk_widget_set_margin_top (more, 9);
      gtk_expander_set_child (GTK_EXPANDER (expander), more);
      gtk_box_append (self->body, expander);
    }
  g_object_unref (more);
}

static void
show_verdict (AlcoveCardRow *self)
{
  const AlcoveCard *card = self->card;
  /* With something to know it is ready all the same. */
  AlcoveVerdict verdict =
      card->verdict == ALCOVE_VERDICT_NOTE ? ALCOVE_VERDICT_READY : card->verdict;
  const char *css_class = alcove_verdict_get_class (verdict);

  gtk_image_set_from_icon_name (self->verdict_icon, alcove_verdict_get_icon (verdict));
  gtk_label_set_text (self->verdict, card->summary);
  gtk_widget_set_visible (gtk_widget_get_parent (GTK_WIDGET (self->verdict)),
                          !card->missing && !is_out (card));
  if (css_class)
    gtk_widget_add_css_class (GTK_WIDGET (self->verdict_icon), css_class);
}

static void
show (AlcoveCardRow *self, GPtrArray *host)
{
  const AlcoveCard *card = self->card;
  g_autofree char *name = g_utf8_make_valid (card->name, -1);
  g_autofree char *details = dup_details (card);
  g_autofree char *state = dup_state (card);
  g_autofree char *give = g_strdup_printf (_ ("Give %s to this machine"), name);
  g_autofree char *back = g_strdup_printf (_ ("Give %s back to the host now"), name);
  g_autofree char *description =
      g_strdup_printf ("%s\n%s\n%s", details, card->summary, state ? state : "");
  /* What came along goes back with the card that it came with. */
  bool out = card->state == ALCOVE_CARD_LIVE ||
             (card->kept && !card->along && card->state != ALCOVE_CARD_LEAVING &&
              card->state != ALCOVE_CARD_ELSEWHERE);

  gtk_image_set_from_icon_name (self->icon, get_icon (card));
  gtk_label_set_text (self->title, name);
  gtk_label_set_text (self->details, details);
  gtk_label_set_text (self->state, state ? state : "");
  gtk_widget_set_visible (GTK_WIDGET (self->state), state != NULL);
  gtk_widget_set_visible (GTK_WIDGET (self->back_button), out);
  gtk_widget_set_visible (GTK_WIDGET (self->give_switch),
                          card->given || card->verdict < ALCOVE_VERDICT_BLOCKED);
  gtk_widget_set_sensitive (GTK_WIDGET (self->give_switch),
                            card->state != ALCOVE_CARD_LEAVING &&
                                (card->given || card->state != ALCOVE_CARD_ELSEWHERE));
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->give_switch), give);
  /* Two cards of one kind have one name: their places tell them apart. */
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->give_switch), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                  give, GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, details, -1);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->back_button), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                  back, GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, details, -1);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, name,
                                  GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, description, -1);
  show_verdict (self);
  if (card->state == ALCOVE_CARD_LIVE || card->state == ALCOVE_CARD_LEAVING)
    add_live (self);
  else if (card->parts->len > 1)
    add_parts (self, _ ("Parts of the card, which go together"), card->parts);
  if (card->mates->len > 0)
    add_parts (self, _ ("Comes along: the host loses these too while a machine has the card"),
               card->mates);
  if (!is_out (card))
    add_users (self);
  add_checks (self, host);
  gtk_widget_set_visible (GTK_WIDGET (self->body),
                          gtk_widget_get_first_child (GTK_WIDGET (self->body)) != NULL);
  alcove_card_row_settle (self);
}

static gboolean
on_state_set (AlcoveCardRow *self, gboolean wanted)
{
  if (self->settling || wanted == self->card->given)
    return FALSE;
  g_signal_emit (self, signals[REQUEST], 0, wanted ? "give" : "take");
  return TRUE; /* it shows the other state when that is so */
}

static void
on_back (AlcoveCardRow *self)
{
  g_signal_emit (self, signals[REQUEST], 0,
                 self->card->state == ALCOVE_CARD_LIVE ? "back" : "release");
}

static void
alcove_card_row_dispose (GObject *object)
{
  g_clear_pointer (&ALCOVE_CARD_ROW (object)->card, alcove_card_unref);
  G_OBJECT_CLASS (alcove_card_row_parent_class)->dispose (object);
}

static void
alcove_card_row_class_init (AlcoveCardRowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = alcove_card_row_dispose;
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/card-row.ui");
#define BIND(child) gtk_widget_class_bind_template_child (widget_class, AlcoveCardRow, child)
  BIND (icon);
  BIND (title);
  BIND (details);
  BIND (verdict_icon);
  BIND (verdict);
  BIND (state);
  BIND (back_button);
  BIND (give_switch);
  BIND (body);
#undef BIND
  gtk_widget_class_bind_template_callback (widget_class, on_state_set);
  gtk_widget_class_bind_template_callback (widget_class, on_back);
  signals[REQUEST] = g_signal_new ("request", ALCOVE_TYPE_CARD_ROW, G_SIGNAL_RUN_LAST, 0, NULL,
                                   NULL, NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void
alcove_card_row_init (AlcoveCardRow *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
}

GtkWidget *
alcove_card_row_new (AlcoveCard *card, GPtrArray *host)
{
  AlcoveCardRow *self = g_object_new (ALCOVE_TYPE_CARD_ROW, NULL);

  self->card = alcove_card_ref (card);
  show (self, host);
  return GTK_WIDGET (self);
}

AlcoveCard *
alcove_card_row_get_card (AlcoveCardRow *self)
{
  return self->card;
}

void
alcove_card_row_settle (AlcoveCardRow *self)
{
  if (!self->card)
    return;
  self->settling = true;
  gtk_switch_set_active (self->give_switch, self->card->given);
  gtk_switch_set_state (self->give_switch, self->card->given);
  self->settling = false;
}

void
alcove_card_row_focus_switch (AlcoveCardRow *self)
{
  gtk_widget_grab_focus (GTK_WIDGET (self->give_switch));
}
