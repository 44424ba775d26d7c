/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The record of a saved machine: any bytes are either refused with a message that says how to go on,
 * or they agree with the disk as it is. "@SIZE", "@SECONDS", "@NANOSECONDS" and "@HEAD" in the input
 * become what is true of the disk, so that the whole comparison is reached. */
#include <sys/stat.h>

#include "app/definition.h"
#include "app/saved.h"
#include "fuzz-folder.h"
#include "fuzz.h"
#include "vmm/crc32c.h"

#define RECORD_MAX (64 * 1024)

static const char contents[] = "what the guest wrote";

static char *
make_record (const char *folder, const char *data, gsize size)
{
  g_autofree char *path = g_build_filename (folder, "disk.img", NULL);
  g_autoptr (GString) record = g_string_new_len (data, (gssize)size);
  g_autofree char *seconds = NULL, *nanoseconds = NULL, *head = NULL, *length = NULL;
  struct stat st;

  g_assert_cmpint (stat (path, &st), ==, 0);
  length = g_strdup_printf ("%zu", strlen (contents));
  seconds = g_strdup_printf ("%lld", (long long)st.st_mtim.tv_sec);
  nanoseconds = g_strdup_printf ("%lld", (long long)st.st_mtim.tv_nsec);
  head = g_strdup_printf ("%u", vmm_crc32c (0, contents, strlen (contents)));
  if (memchr (data, 0, size) == NULL)
    {
      g_string_replace (record, "@SIZE", length, 4);
      g_string_replace (record, "@SECONDS", seconds, 4);
      g_string_replace (record, "@NANOSECONDS", nanoseconds, 4);
      g_string_replace (record, "@HEAD", head, 4);
    }
  fuzz_folder_write (folder, "saved/" ALCOVE_SAVED_RECORD, record->str, record->len);
  return g_string_free (g_steal_pointer (&record), FALSE);
}

/* What a record that was accepted must have said. */
static void
check_accepted (const char *record)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();

  g_assert_true (g_key_file_load_from_data (file, record, strlen (record), G_KEY_FILE_NONE, NULL));
  g_assert_cmpint (g_key_file_get_integer (file, "saved", "version", NULL), >=, 1);
  g_assert_cmpint (g_key_file_get_integer (file, "saved", "version", NULL), <=, 2);
  g_assert_cmpuint (g_key_file_get_uint64 (file, "disk d", "size", NULL), ==, strlen (contents));
  g_assert_cmpuint (g_key_file_get_uint64 (file, "disk d", "head", NULL), ==,
                    vmm_crc32c (0, contents, strlen (contents)));
  g_assert_true (g_key_file_has_key (file, "disk d", "seconds", NULL));
  g_assert_true (g_key_file_has_key (file, "disk d", "nanoseconds", NULL));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  char *folder;
  g_autofree char *saved = NULL, *conf = NULL, *text = NULL, *record = NULL;
  g_autoptr (AlcoveDefinition) definition = NULL;
  g_autoptr (GError) error = NULL;

  if (size == 0 || size > RECORD_MAX)
    return 0;
  folder = fuzz_folder_new ();
  saved = g_build_filename (folder, "saved", NULL);
  conf = g_build_filename (folder, ALCOVE_DEFINITION_FILE, NULL);
  text = g_strdup ("[machine]\nuuid=6e1f1f0a-53a5-4b39-9b8e-0a2f3c4d5e6f\nname=m\nmemory=64\n"
                   "firmware=bios\n[disk d]\nfile=disk.img\nformat=raw\n");
  fuzz_folder_write (folder, "disk.img", contents, strlen (contents));
  definition = alcove_definition_new_from_text (text, -1, conf, &error);
  g_assert_no_error (error);
  record = make_record (folder, (const char *)data, size);
  if (alcove_saved_check_record (saved, definition, &error))
    {
      g_assert_no_error (error);
      check_accepted (record);
    }
  else
    {
      g_assert_nonnull (strstr (error->message, "--discard-saved"));
      fuzz_check_text (error->message);
    }
  fuzz_folder_free (folder);
  return 0;
}
