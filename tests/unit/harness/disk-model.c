/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/harness/disk-model.h"

#include <string.h>

#define SECTOR 512u

typedef enum
{
  CHANGE_WRITE,
  CHANGE_ZEROES,
  CHANGE_DISCARD,
} ChangeKind;

typedef struct
{
  guint op;
  ChangeKind kind;
} Change;

typedef struct
{
  gboolean is_flush, done, ok;
  guint begin, end; /* positions */
} Op;

struct _DiskModel
{
  guint64 size;
  GArray **sectors; /* of Change, in order */
  GArray *ops;      /* of Op; 0 is the beginning */
};

typedef struct
{
  guint64 op, sector, fill[SECTOR / 8 - 2];
} Contents;
G_STATIC_ASSERT (sizeof (Contents) == SECTOR);

DiskModel *
disk_model_new (guint64 size)
{
  const Op beginning = { FALSE, TRUE, TRUE, 0, 0 };
  DiskModel *model = g_new0 (DiskModel, 1);

  model->size = size;
  model->sectors = g_new0 (GArray *, size / SECTOR);
  model->ops = g_array_new (FALSE, TRUE, sizeof (Op));
  g_array_append_val (model->ops, beginning);
  return model;
}

void
disk_model_free (DiskModel *model)
{
  for (guint64 i = 0; i < model->size / SECTOR; i++)
    if (model->sectors[i] != NULL)
      g_array_unref (model->sectors[i]);
  g_free (model->sectors);
  g_array_unref (model->ops);
  g_free (model);
}

static void
make_contents (Contents *contents, guint op, guint64 sector)
{
  contents->op = op;
  contents->sector = sector;
  for (guint i = 0; i < G_N_ELEMENTS (contents->fill); i++)
    contents->fill[i] = (op * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)) ^ (sector << 8) ^ i;
}

static guint
begin (DiskModel *model, guint position, gboolean is_flush)
{
  const Op op = { is_flush, FALSE, FALSE, position, 0 };

  g_array_append_val (model->ops, op);
  return model->ops->len - 1;
}

static void
change (DiskModel *model, guint op, ChangeKind kind, guint64 offset, guint64 length)
{
  const Change entry = { op, kind };

  g_assert (offset % SECTOR == 0 && length % SECTOR == 0 && offset + length <= model->size);
  for (guint64 i = offset / SECTOR; i < (offset + length) / SECTOR; i++)
    {
      if (model->sectors[i] == NULL)
        model->sectors[i] = g_array_new (FALSE, FALSE, sizeof (Change));
      g_array_append_val (model->sectors[i], entry);
    }
}

void
disk_model_begin_write (
    DiskModel *model, guint position, guint64 offset, guint64 length, guint8 *ret_buffer)
{
  guint op = begin (model, position, FALSE);

  change (model, op, CHANGE_WRITE, offset, length);
  for (guint64 at = 0; at < length; at += SECTOR)
    {
      Contents contents;

      make_contents (&contents, op, (offset + at) / SECTOR);
      memcpy (ret_buffer + at, &contents, SECTOR);
    }
}

void
disk_model_begin_zeroes (DiskModel *model, guint position, guint64 offset, guint64 length)
{
  change (model, begin (model, position, FALSE), CHANGE_ZEROES, offset, length);
}

void
disk_model_begin_discard (DiskModel *model, guint position, guint64 offset, guint64 length)
{
  change (model, begin (model, position, FALSE), CHANGE_DISCARD, offset, length);
}

void
disk_model_begin_flush (DiskModel *model, guint position)
{
  (void)begin (model, position, TRUE);
}

void
disk_model_end (DiskModel *model, guint position, int result)
{
  Op *op = &g_array_index (model->ops, Op, model->ops->len - 1);

  g_assert (!op->done);
  op->done = TRUE;
  op->ok = result == 0;
  op->end = position;
}

/* The first operation whose effect may be missing. */
static guint
find_unsure (DiskModel *model, guint position)
{
  if (position == G_MAXUINT)
    return model->ops->len;
  for (guint i = model->ops->len - 1; i > 0; i--)
    {
      const Op *op = &g_array_index (model->ops, Op, i);

      if (op->is_flush && op->ok && op->end <= position)
        return i;
    }
  return 1;
}

static gboolean
is_zeroes (const Contents *contents)
{
  static const Contents zeroes;

  return memcmp (contents, &zeroes, sizeof zeroes) == 0;
}

static gboolean
is_write (const Contents *contents, guint op, guint64 sector)
{
  Contents wanted;

  make_contents (&wanted, op, sector);
  return memcmp (contents, &wanted, sizeof wanted) == 0;
}

/* From the newest change back to the one that must be there; what a discard covers stays possible. */
static gboolean
may_be (DiskModel *model, guint64 sector, const Contents *contents, guint unsure, guint position)
{
  GArray *changes = model->sectors[sector];

  for (guint i = changes != NULL ? changes->len : 0; i > 0; i--)
    {
      const Change *entry = &g_array_index (changes, Change, i - 1);
      const Op *op = &g_array_index (model->ops, Op, entry->op);

      if (position != G_MAXUINT && op->begin >= position)
        continue;
      if (entry->kind == CHANGE_WRITE ? is_write (contents, entry->op, sector)
                                      : is_zeroes (contents))
        return TRUE;
      if (entry->op < unsure && op->ok && entry->kind != CHANGE_DISCARD)
        return FALSE;
    }
  return is_zeroes (contents);
}

char *
disk_model_compare (DiskModel *model, BlockImage *image, guint position)
{
  const guint64 step = 65536;
  g_autofree guint8 *buffer = g_malloc (step);
  guint unsure = find_unsure (model, position);

  for (guint64 at = 0; at < model->size; at += step)
    {
      guint64 length = MIN (step, model->size - at);
      int result = block_image_read (image, at, buffer, length);

      if (result < 0)
        return g_strdup_printf ("cannot read at %" G_GUINT64_FORMAT ": %s", at,
                                g_strerror (-result));
      for (guint64 i = 0; i < length; i += SECTOR)
        {
          guint64 sector = (at + i) / SECTOR;
          Contents contents;

          memcpy (&contents, buffer + i, SECTOR);
          if (!may_be (model, sector, &contents, unsure, position))
            return g_strdup_printf (
                "sector %" G_GUINT64_FORMAT " holds operation %" G_GUINT64_FORMAT
                " of sector %" G_GUINT64_FORMAT " (cut at %u, sure before operation %u)",
                sector, contents.op, contents.sector, position, unsure);
        }
    }
  return NULL;
}
