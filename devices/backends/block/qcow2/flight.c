/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operations under way. Each has a range of guest clusters: shared by those that leave the mapping
 * as it is (reads, writes in place), alone for those that change it. They queue in the order they
 * came, each waits for those before it that are in its way, and each holds one range only, so that
 * nothing waits in a circle and nobody starves. */
#include "devices/backends/block/qcow2/qcow2-private.h"

void
qcow2_wait (Qcow2 *q)
{
  q->n_waiting++;
  g_cond_wait (&q->changed, &q->lock);
  q->n_waiting--;
}

void
qcow2_wake (Qcow2 *q)
{
  if (q->n_waiting > 0)
    g_cond_broadcast (&q->changed);
}

/* Is anything in the way of op, of what came before `before` (NULL: at all)? */
static gboolean
in_the_way (Qcow2 *q, const Qcow2Op *op, const Qcow2Op *before)
{
  if (!op->alone && q->n_alone == 0)
    return FALSE;
  for (const Qcow2Op *other = q->oldest; other != before; other = other->next)
    if ((op->alone || other->alone) && op->first <= other->last && other->first <= op->last)
      return TRUE;
  return FALSE;
}

static void
append (Qcow2 *q, Qcow2Op *op)
{
  op->next = NULL;
  op->prev = q->newest;
  if (q->newest != NULL)
    q->newest->next = op;
  else
    q->oldest = op;
  q->newest = op;
  if (op->alone)
    q->n_alone++;
}

void
qcow2_op_begin (Qcow2 *q, Qcow2Op *op, guint64 first, guint64 last, gboolean alone)
{
  op->first = first;
  op->last = last;
  op->alone = alone;
  append (q, op);
  while (in_the_way (q, op, op))
    qcow2_wait (q);
}

gboolean
qcow2_op_try (Qcow2 *q, Qcow2Op *op, guint64 first, guint64 last, gboolean alone)
{
  op->first = first;
  op->last = last;
  op->alone = alone;
  if (in_the_way (q, op, NULL))
    return FALSE;
  append (q, op);
  return TRUE;
}

void
qcow2_op_end (Qcow2 *q, Qcow2Op *op)
{
  if (op->prev != NULL)
    op->prev->next = op->next;
  else
    q->oldest = op->next;
  if (op->next != NULL)
    op->next->prev = op->prev;
  else
    q->newest = op->prev;
  if (op->alone)
    q->n_alone--;
  qcow2_wake (q);
}

void
qcow2_control_begin (Qcow2 *q, Qcow2Op *op)
{
  g_mutex_lock (&q->lock);
  qcow2_op_begin (q, op, 0, G_MAXUINT64, TRUE);
  q->control = TRUE;
  while (q->flushing)
    qcow2_wait (q);
}

void
qcow2_control_end (Qcow2 *q, Qcow2Op *op)
{
  q->control = FALSE;
  qcow2_op_end (q, op);
  qcow2_wake (q);
  g_mutex_unlock (&q->lock);
}
