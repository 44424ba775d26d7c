/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/definition-edit.h"

#include "app/definition-private.h"
#include "app/lock.h"

struct _AlcoveDefinitionEdit
{
  char *folder, *what;
  AlcoveLock *lock;    /* of the definition */
  AlcoveLock *machine; /* (nullable) while the machine runs, it has that itself */
  AlcoveDefinition *definition;
};

AlcoveDefinitionEdit *
alcove_definition_edit_begin (
    const char *folder, const char *conf, gboolean running, const char *what, GError **error)
{
  g_autoptr (AlcoveDefinitionEdit) self = g_new0 (AlcoveDefinitionEdit, 1);

  self->folder = g_strdup (folder);
  self->what = g_strdup (what);
  self->lock = alcove_lock_acquire_definition (folder, error);
  if (self->lock == NULL)
    return NULL;
  /* What looks as if it ran may be in use by somebody else: the message names who. */
  if (!running || (alcove_lock_is_held (folder, NULL) && alcove_lock_get_runner (folder) == 0))
    {
      self->machine = alcove_lock_acquire (folder, what, error);
      if (self->machine == NULL)
        return NULL;
    }
  self->definition = alcove_definition_load (conf, error);
  return self->definition != NULL ? g_steal_pointer (&self) : NULL;
}

AlcoveDefinition *
alcove_definition_edit_get_definition (AlcoveDefinitionEdit *self)
{
  return self->definition;
}

gboolean
alcove_definition_edit_save (AlcoveDefinitionEdit *self, GError **error)
{
  /* It ran, and has ended since. */
  if (self->machine == NULL && alcove_lock_get_runner (self->folder) == 0)
    {
      self->machine = alcove_lock_acquire (self->folder, self->what, error);
      if (self->machine == NULL)
        return FALSE;
    }
  return alcove_definition_write (self->definition, error);
}

void
alcove_definition_edit_end (AlcoveDefinitionEdit *self)
{
  if (self == NULL)
    return;
  g_clear_object (&self->definition);
  alcove_lock_release (self->machine);
  alcove_lock_release (self->lock);
  g_free (self->folder);
  g_free (self->what);
  g_free (self);
}
