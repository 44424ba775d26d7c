/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The host's cards of a machine, over faked hosts, and under a VM process without a VM (fake-vmm.c)
 * where it runs. */
#include "app/passthrough.h"

#include <string.h>
#include <unistd.h>
#include "app-dirs.h"
#include "app/definition-pci.h"
#include "app/passthrough-starts.h"
#include "tests/unit/vfio/host/fake-host.h"
#include "vfio/bind/ledger.h"

#define GPU   "0000:0d:00.0"
#define SOUND "0000:0d:00.1"
#define BOUND "function " GPU "\ndriver vfio-pci\nfunction " SOUND "\ndriver vfio-pci\n"

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **)user_data = g_object_ref (result);
}

static GAsyncResult *
wait_for (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return *result;
}

/* A machine on disk, on that host; extra: more groups. */
static AlcoveMachine *
create (const FakeHost *host, const char *name, const char *extra)
{
  g_autofree char *parent = alcove_paths_dup_machines ();
  g_autofree char *folder = g_build_filename (parent, name, NULL);
  g_autofree char *conf = g_build_filename (folder, "machine.conf", NULL);
  g_autofree char *uuid = g_uuid_string_random ();
  g_autofree char *text = g_strdup_printf (
      "[machine]\nuuid=%s\nname=%s\nmemory=1024\nfirmware=bios\nos=fake\n%s", uuid, name, extra);

  g_setenv ("ALCOVE_HOST_ROOT", host->folder, TRUE);
  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (conf, text, -1, NULL));
  return alcove_machine_new (folder);
}

static AlcoveCards *
look (AlcoveMachine *machine)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  AlcoveCards *cards;

  alcove_machine_look_at_cards_async (machine, NULL, on_ready, &result);
  cards = alcove_machine_look_at_cards_finish (machine, wait_for (&result), &error);
  g_assert_no_error (error);
  return cards;
}

static AlcoveCard *
find (AlcoveCards *cards, const char *id)
{
  for (guint i = 0; i < cards->cards->len; i++)
    {
      AlcoveCard *card = g_ptr_array_index (cards->cards, i);

      if (strcmp (card->id, id) == 0)
        return card;
    }
  g_error ("there is no card %s", id);
}

/* (transfer full): one card, looked at now. */
static AlcoveCard *
look_at (AlcoveMachine *machine, const char *id)
{
  g_autoptr (AlcoveCards) cards = look (machine);

  return alcove_card_ref (find (cards, id));
}

static void
give (AlcoveMachine *machine,
      AlcoveCard *card,
      GCancellable *cancellable,
      GAsyncReadyCallback callback,
      gpointer user_data)
{
  alcove_machine_give_card_async (machine, card, NULL, cancellable, callback, user_data);
}

typedef void (*Change) (
    AlcoveMachine *, AlcoveCard *, GCancellable *, GAsyncReadyCallback, gpointer);

static gboolean
change (AlcoveMachine *machine, const char *id, Change func, GError **error)
{
  g_autoptr (AlcoveCard) card = look_at (machine, id);
  g_autoptr (GAsyncResult) result = NULL;

  func (machine, card, NULL, on_ready, &result);
  return alcove_machine_finish (machine, wait_for (&result), error);
}

static gboolean
take (AlcoveMachine *machine, const char *id, gboolean forget, GError **error)
{
  g_autoptr (AlcoveCard) card = look_at (machine, id);
  g_autoptr (GAsyncResult) result = NULL;

  alcove_machine_take_card_async (machine, card, forget, 1000, NULL, on_ready, &result);
  return alcove_machine_finish (machine, wait_for (&result), error);
}

static guint
count_given (AlcoveMachine *machine)
{
  guint n;

  alcove_machine_reload (machine);
  (void)alcove_definition_get_pcis (alcove_machine_get_definition (machine), &n);
  return n;
}

static void
test_look (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("desktop", "process 77 ollama /dev/dri/renderD129");
  g_autoptr (AlcoveMachine) machine = create (host, "look", "[display screen]\n");
  g_autoptr (AlcoveCards) cards = look (machine);
  AlcoveCard *gpu = find (cards, GPU), *desktop = find (cards, "0000:0c:00.0");
  const AlcoveCardUser *user = g_ptr_array_index (gpu->users, 0);
  const AlcoveCardCheck *check = alcove_card_find_check (desktop, "desktop");
  gboolean taken = FALSE;

  g_assert_true (cards->isolation);
  g_assert_true (cards->display);
  g_assert_cmpstr (gpu->kind, ==, "graphics");
  g_assert_cmpuint (gpu->parts->len, ==, 2);
  g_assert_cmpuint (gpu->mates->len, ==, 0);
  g_assert_cmpint (gpu->verdict, ==, ALCOVE_VERDICT_STEP);
  g_assert_cmpint (gpu->state, ==, ALCOVE_CARD_FREE);
  g_assert_cmpuint (gpu->users->len, ==, 1);
  g_assert_cmpint (user->pid, ==, 77);
  g_assert_cmpstr (user->name, ==, "ollama");
  for (guint i = 0; i < gpu->steps->len; i++)
    {
      const AlcoveCardStep *step = g_ptr_array_index (gpu->steps, i);

      taken = taken || (strstr (step->text, "Take " GPU) != NULL && step->undo != NULL);
    }
  g_assert_true (taken);
  g_assert_cmpint (desktop->verdict, ==, ALCOVE_VERDICT_BLOCKED);
  g_assert_nonnull (check);
  g_assert_nonnull (check->remedy);
  g_assert_null (alcove_card_find_check (desktop, "nonsense"));
}

static void
test_mates (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("desktop", "function 0000:0f:00.3\ngroup 15");
  g_autoptr (AlcoveMachine) machine = create (host, "mates", "");
  g_autoptr (AlcoveCards) cards = look (machine);
  AlcoveCard *gpu = find (cards, GPU);

  g_assert_false (cards->display);
  g_assert_cmpuint (gpu->mates->len, ==, 1);
  g_assert_cmpstr (((AlcoveCardPart *)g_ptr_array_index (gpu->mates, 0))->address, ==,
                   "0000:0f:00.3");
}

static void
test_no_isolation (void)
{
  g_autoptr (FakeHost) host =
      fake_host_new ("desktop", "remove /sys/kernel/iommu_groups\nremove /sys/class/iommu");
  g_autoptr (AlcoveMachine) machine = create (host, "off", "");
  g_autoptr (AlcoveCards) cards = look (machine);
  const AlcoveCardCheck *check = g_ptr_array_index (cards->checks, 0);

  g_assert_false (cards->isolation);
  g_assert_cmpstr (check->id, ==, "iommu");
  g_assert_cmpint (check->verdict, ==, ALCOVE_VERDICT_BLOCKED);
}

/* Off: nothing of the host changes, the definition gets all parts in one slot. */
static void
test_give (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("desktop", NULL);
  g_autoptr (AlcoveMachine) machine = create (host, "give", "");
  g_autoptr (AlcoveCard) given = NULL;
  g_autoptr (GError) error = NULL;
  const AlcovePciConfig *gpu, *sound;

  g_assert_true (change (machine, GPU, give, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (count_given (machine), ==, 2);
  gpu = alcove_definition_find_pci (alcove_machine_get_definition (machine), "gpu");
  sound = alcove_definition_find_pci (alcove_machine_get_definition (machine), "gpu.1");
  g_assert_cmpstr (gpu->host, ==, GPU);
  g_assert_cmpstr (sound->host, ==, SOUND);
  g_assert_cmpuint (gpu->base.address.bus, ==, sound->base.address.bus);
  given = look_at (machine, GPU);
  g_assert_true (given->given);
  g_assert_cmpint (given->state, ==, ALCOVE_CARD_CHOSEN);
  /* Once more is no error, and changes nothing. */
  g_assert_true (change (machine, GPU, give, &error));
  g_assert_cmpuint (count_given (machine), ==, 2);
  g_assert_false (take (machine, GPU, FALSE, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE);
  g_clear_error (&error);
  g_assert_true (take (machine, GPU, TRUE, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (count_given (machine), ==, 0);
}

/* What comes along is given too when that is wanted: in a slot of its own. */
static void
test_give_mates (void)
{
  g_autoptr (FakeHost) host =
      fake_host_new ("desktop", "function 0000:0f:00.3\ngroup 15\nremove /proc/1893");
  g_autoptr (AlcoveMachine) machine = create (host, "give-mates", "");
  g_autoptr (AlcoveCard) card = look_at (machine, GPU);
  g_autoptr (AlcoveCard) one = NULL, nothing = NULL;
  g_autoptr (GAsyncResult) result = NULL, looked = NULL, missed = NULL;
  g_autoptr (GError) error = NULL;
  const char *const with[] = { "0000:0f:00.3", "0000:00:00.0", NULL };
  const AlcoveGiveOptions options = { .name = "card", .vga = TRUE, .with = with };
  const AlcovePciConfig *gpu, *mate;
  g_auto (GStrv) names = NULL;

  alcove_machine_give_card_async (machine, card, &options, NULL, on_ready, &result);
  names = alcove_machine_give_card_finish (machine, wait_for (&result), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_strv_length (names), ==, 3);
  g_assert_cmpuint (count_given (machine), ==, 3);
  gpu = alcove_definition_find_pci (alcove_machine_get_definition (machine), "card");
  mate = alcove_definition_find_pci_host (alcove_machine_get_definition (machine), with[0]);
  g_assert_true (gpu->vga);
  g_assert_false (mate->vga);
  g_assert_cmpuint (mate->base.address.bus, !=, gpu->base.address.bus);
  g_assert_cmpuint (mate->base.address.function, ==, 0);
  /* One card, by any of its parts. */
  alcove_machine_look_at_card_async (machine, SOUND, NULL, on_ready, &looked);
  one = alcove_machine_look_at_card_finish (machine, wait_for (&looked), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (one->id, ==, GPU);
  g_assert_true (one->given);
  alcove_machine_look_at_card_async (machine, "0000:66:00.0", NULL, on_ready, &missed);
  nothing = alcove_machine_look_at_card_finish (machine, wait_for (&missed), &error);
  g_assert_null (nothing);
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
  /* The mate is a card of its own, and goes by itself. */
  g_assert_true (take (machine, GPU, TRUE, NULL));
  g_assert_cmpuint (count_given (machine), ==, 1);
  g_assert_true (take (machine, with[0], TRUE, NULL));
  g_assert_cmpuint (count_given (machine), ==, 0);
}

/* What others are given, what is gone, what was taken and not given back. */
static void
test_places (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("desktop", BOUND);
  g_autoptr (AlcoveMachine) owner = create (host, "owner", "[pci gpu]\nhost=" GPU "\n");
  g_autoptr (AlcoveMachine) machine = create (host, "places", "[pci gone]\nhost=0000:77:00.0\n");
  g_autoptr (AlcoveCards) cards = look (machine);
  AlcoveCard *gone = find (cards, "0000:77:00.0");

  g_assert_cmpstr (find (cards, GPU)->holder, ==, alcove_machine_get_name (owner));
  g_assert_cmpint (find (cards, GPU)->state, ==, ALCOVE_CARD_FREE);
  g_assert_true (gone->missing);
  g_assert_true (gone->given);
  g_assert_true (take (machine, "0000:77:00.0", TRUE, NULL));
  g_assert_cmpuint (count_given (machine), ==, 0);
}

/* Taken and not given back: told, and given back by who may do it, whose refusal is heard. */
static void
check_kept (const char *changes, const char *refusal)
{
  g_autoptr (FakeHost) host = fake_host_new ("desktop", changes);
  g_autoptr (AlcoveMachine) machine = create (host, "kept", "");
  g_autofree char *folder = g_build_filename (host->folder, BIND_LEDGER_FOLDER, NULL);
  g_autofree char *parent = g_path_get_dirname (folder);
  g_autofree char *boot = vfio_ledger_dup_boot (host->tree);
  VfioBinding binding = { .vendor = 0x10de, .device = 0x2484, .uid = getuid (), .boot = boot };
  g_autoptr (VfioLedger) ledger = NULL;
  g_autoptr (AlcoveCard) before = look_at (machine, GPU);
  g_autoptr (AlcoveCard) card = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_false (before->kept);
  /* What was never taken is given back at once. */
  g_assert_true (change (machine, GPU, alcove_machine_release_card_async, &error));
  g_assert_cmpint (g_mkdir_with_parents (parent, 0755), ==, 0);
  ledger = vfio_ledger_open (folder, TRUE, &error);
  g_assert_no_error (error);
  g_assert_true (vfio_address_parse (GPU, &binding.address));
  binding.driver = (char *)"nouveau";
  g_assert_true (vfio_ledger_lock (ledger, &error));
  g_assert_true (vfio_ledger_put (ledger, &binding, &error));
  vfio_ledger_unlock (ledger);
  card = look_at (machine, GPU);
  g_assert_true (card->kept);
  g_assert_cmpint (card->state, ==, ALCOVE_CARD_FREE);
  /* No kernel moves the driver here, which is seen and said. */
  g_assert_false (change (machine, GPU, alcove_machine_release_card_async, &error));
  g_assert_nonnull (strstr (error->message, refusal));
}

static void
test_kept (void)
{
  check_kept (BOUND "file /sys/bus/pci/drivers_probe \"\"", GPU);
  /* Without the right, and without the helper. */
  g_setenv ("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", TRUE);
  check_kept (BOUND, "sudo alcove pci release " GPU);
}

static void
test_second_start (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("apu", NULL);
  g_autoptr (AlcoveMachine) machine = create (host, "twice", "[pci gpu]\nhost=0000:03:00.0\n");
  g_autoptr (AlcoveCard) card = NULL;

  for (int start = 0; start < 2; start++)
    {
      g_autoptr (GAsyncResult) result = NULL;
      g_autoptr (GError) error = NULL;

      alcove_machine_find_risky_card_async (machine, NULL, on_ready, &result);
      card = alcove_machine_find_risky_card_finish (machine, wait_for (&result), &error);
      g_assert_no_error (error);
      g_assert_true ((card != NULL) == (start == 1));
      alcove_passthrough_starts_add (alcove_machine_get_definition (machine), NULL);
    }
  g_assert_cmpstr (card->id, ==, "0000:03:00.0");
  g_assert_true (card->started);
  /* Names that are no addresses are no file names. */
  alcove_passthrough_starts_add (NULL, (const char *const[]){ "../../x", "", NULL });
  g_assert_false (alcove_passthrough_starts_has ("../../x"));
  g_assert_false (alcove_passthrough_starts_has ("0000:04:00.0"));
}

int
main (int argc, char **argv)
{
  int status;

  app_dirs_init ();
  g_setenv ("ALCOVE_QUIRKS", VFIO_QUIRKS, TRUE);
  g_setenv ("XDG_STATE_HOME", g_getenv ("XDG_DATA_HOME"), TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/app/passthrough/look", test_look);
  g_test_add_func ("/app/passthrough/mates", test_mates);
  g_test_add_func ("/app/passthrough/no-isolation", test_no_isolation);
  g_test_add_func ("/app/passthrough/give", test_give);
  g_test_add_func ("/app/passthrough/give-mates", test_give_mates);
  g_test_add_func ("/app/passthrough/places", test_places);
  g_test_add_func ("/app/passthrough/kept", test_kept);
  g_test_add_func ("/app/passthrough/second-start", test_second_start);
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
