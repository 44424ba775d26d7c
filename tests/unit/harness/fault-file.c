/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/harness/fault-file.h"

#include "devices/backends/block/file-private.h"

typedef struct
{
  BlockFile parent;
  BlockFile *inner;
  HarnessFault *plan;
} FaultFile;

static BlockFile *
get_inner (BlockFile *file)
{
  return ((FaultFile *)file)->inner;
}

static gboolean
fails (BlockFile *file, HarnessFaultCalls call)
{
  HarnessFault *plan = ((FaultFile *)file)->plan;
  gboolean result;

  if (!(plan->calls & call))
    return FALSE;
  plan->n_calls++;
  result =
      plan->at != 0 && (plan->n_calls == plan->at || (plan->stays && plan->n_calls > plan->at));
  if (result)
    plan->n_failed++;
  return result;
}

static int
get_error (BlockFile *file)
{
  return -((FaultFile *)file)->plan->error;
}

static int
fault_readv (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  BlockFile *inner = get_inner (file);

  return fails (file, HARNESS_FAULT_READ) ? get_error (file)
                                          : inner->ops->readv (inner, offset, iov, n_iov);
}

static int
fault_writev (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  BlockFile *inner = get_inner (file);
  guint64 length;

  if (!fails (file, HARNESS_FAULT_WRITE))
    return inner->ops->writev (inner, offset, iov, n_iov);
  if (((FaultFile *)file)->plan->in_part && block_iov_length (iov, n_iov, &length))
    {
      guint n;
      g_autofree struct iovec *part = block_iov_slice (iov, n_iov, 0, length / 1024 * 512, &n);

      (void)inner->ops->writev (inner, offset, part, n);
    }
  return get_error (file);
}

static int
fault_flush (BlockFile *file)
{
  BlockFile *inner = get_inner (file);

  return fails (file, HARNESS_FAULT_FLUSH) ? get_error (file) : inner->ops->flush (inner);
}

static int
fault_truncate (BlockFile *file, guint64 size)
{
  BlockFile *inner = get_inner (file);

  return fails (file, HARNESS_FAULT_WRITE) ? get_error (file) : inner->ops->truncate (inner, size);
}

static int
fault_zero (BlockFile *file, guint64 offset, guint64 length, BlockFileZeroFlags flags)
{
  BlockFile *inner = get_inner (file);

  if (!fails (file, HARNESS_FAULT_WRITE))
    return inner->ops->zero (inner, offset, length, flags);
  if (((FaultFile *)file)->plan->in_part)
    (void)inner->ops->zero (inner, offset, length / 1024 * 512, flags);
  return get_error (file);
}

static int
fault_discard (BlockFile *file, guint64 offset, guint64 length)
{
  BlockFile *inner = get_inner (file);

  return inner->ops->discard (inner, offset, length);
}

static gint64
fault_get_size (BlockFile *file)
{
  BlockFile *inner = get_inner (file);

  return inner->ops->get_size (inner);
}

static gint64
fault_get_allocated (BlockFile *file)
{
  BlockFile *inner = get_inner (file);

  return inner->ops->get_allocated (inner);
}

static int
fault_map (BlockFile *file, guint64 offset, guint64 length, guint64 *ret_length, gboolean *ret_data)
{
  BlockFile *inner = get_inner (file);

  return inner->ops->map (inner, offset, length, ret_length, ret_data);
}

static int
fault_get_fd (BlockFile *file)
{
  return -1;
}

static void
fault_close (BlockFile *file)
{
  block_file_close (get_inner (file));
  g_free (file->name);
  g_free (file);
}

static const BlockFileOps fault_ops = {
  .name = "fault",
  .readv = fault_readv,
  .writev = fault_writev,
  .flush = fault_flush,
  .truncate = fault_truncate,
  .zero = fault_zero,
  .discard = fault_discard,
  .get_size = fault_get_size,
  .get_allocated = fault_get_allocated,
  .map = fault_map,
  .get_fd = fault_get_fd,
  .close = fault_close,
};

BlockFile *
harness_fault_file_new (BlockFile *inner, HarnessFault *plan)
{
  FaultFile *file = g_new0 (FaultFile, 1);

  file->parent.ops = &fault_ops;
  file->parent.name = g_strdup (inner->name);
  file->parent.readonly = inner->readonly;
  file->parent.request_align = inner->request_align;
  file->parent.memory_align = inner->memory_align;
  file->inner = inner;
  file->plan = plan;
  return &file->parent;
}
