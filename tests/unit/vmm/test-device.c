/* SPDX-License-Identifier: GPL-3.0-or-later */
/* vmm/device.c and vmm/machine.c with a device that notes what is done to it. */
#include <string.h>

#include "tests/unit/harness/harness.h"

typedef struct
{
  VmmDevice device;
  struct
  {
    gboolean flag, fail;
    guint64 size;
    char *path;
    gpointer backend;
  } config;
  struct
  {
    guint32 value;
  } guest;
} Sample;

typedef struct
{
  GString *log;
} Log;

static void
say (VmmDevice *device, char what)
{
  Log *log = ((Sample *)device)->config.backend;

  if (log != NULL)
    g_string_append_printf (log->log, "%c%s ", what, device->id);
}

static gboolean
sample_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  g_assert_true (device->machine == machine);
  if (((Sample *)device)->config.fail)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_FAILED, "asked to fail");
      return FALSE;
    }
  say (device, '+');
  return TRUE;
}

static void
sample_unrealize (VmmDevice *device)
{
  say (device, '-');
}

static void
sample_reset (VmmDevice *device, VmmResetKind kind)
{
  ((Sample *)device)->guest.value = 0;
  say (device, kind == VMM_RESET_COLD ? 'c' : 'w');
}

static void
sample_quiesce (VmmDevice *device)
{
  say (device, 'q');
}

static void
sample_resume (VmmDevice *device)
{
  say (device, 'r');
}

static gboolean
sample_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  vmm_state_put_uint (writer, "value", ((Sample *)device)->guest.value);
  return TRUE;
}

static gboolean
sample_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  guint64 value;

  if (!vmm_state_get_uint (reader, "value", 1000, &value, error))
    return FALSE;
  ((Sample *)device)->guest.value = (guint32)value;
  return TRUE;
}

static const VmmProperty properties[] = {
  { .name = "flag",
    .type = VMM_PROPERTY_BOOL,
    .offset = G_STRUCT_OFFSET (Sample, config.flag),
    .default_uint = 1 },
  { .name = "fail", .type = VMM_PROPERTY_BOOL, .offset = G_STRUCT_OFFSET (Sample, config.fail) },
  { .name = "size",
    .type = VMM_PROPERTY_UINT,
    .offset = G_STRUCT_OFFSET (Sample, config.size),
    .min = 1,
    .max = 64,
    .default_uint = 8 },
  { .name = "path",
    .type = VMM_PROPERTY_STRING,
    .offset = G_STRUCT_OFFSET (Sample, config.path),
    .max = 10,
    .required = TRUE },
  { .name = "backend",
    .type = VMM_PROPERTY_POINTER,
    .offset = G_STRUCT_OFFSET (Sample, config.backend) },
  { 0 },
};

#define SAMPLE_OPS                                                                                 \
  .name = "sample", .summary = "A sample", .spec = "none", .instance_size = sizeof (Sample),       \
  .state_version = 2, .properties = properties, .realize = sample_realize,                         \
  .unrealize = sample_unrealize, .reset = sample_reset, .quiesce = sample_quiesce,                 \
  .resume = sample_resume, .save = sample_save, .load = sample_load
static const VmmDeviceOps sample_ops = { SAMPLE_OPS };
static const VmmDeviceOps unsavable_ops = { SAMPLE_OPS, .flags = VMM_DEVICE_UNSAVABLE };

static VmmDevice *
add (HarnessMachine *h, const VmmDeviceOps *ops, const char *id, Log *log)
{
  VmmDevice *device = vmm_device_new (ops, id);

  g_assert_true (vmm_device_set_string (device, "path", "x", NULL));
  g_assert_true (vmm_device_set_pointer (device, "backend", log, NULL));
  return harness_realize (h, device);
}

static void
test_properties (void)
{
  VmmDevice *device = vmm_device_new (&sample_ops, "a");
  Sample *sample = (Sample *)device;
  g_autoptr (GError) error = NULL;
  HarnessMachine *h = harness_new (0);

  g_assert_true (sample->config.flag);
  g_assert_cmpuint (sample->config.size, ==, 8);
  g_assert_true (vmm_device_set_uint (device, "size", 64, NULL));
  g_assert_false (vmm_device_set_uint (device, "size", 65, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_false (vmm_device_set_uint (device, "size", 0, NULL));
  g_assert_cmpuint (sample->config.size, ==, 64);
  g_assert_false (vmm_device_set_uint (device, "nothing", 1, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_false (vmm_device_set_bool (device, "size", TRUE, NULL));
  g_assert_false (vmm_device_set_string (device, "path", "much too long", NULL));

  /* required */
  g_assert_false (vmm_device_realize (device, h->machine, &error));
  g_assert_nonnull (strstr (error->message, "path"));
  g_clear_error (&error);
  g_assert_true (vmm_device_set_string (device, "path", "p", NULL));
  g_assert_true (vmm_device_set_bool (device, "fail", TRUE, NULL));
  g_assert_false (vmm_device_realize (device, h->machine, &error));
  g_assert_null (device->machine);
  g_assert_null (vmm_machine_find_device (h->machine, "a"));
  g_clear_error (&error);
  g_assert_true (vmm_device_set_bool (device, "fail", FALSE, NULL));
  g_assert_true (vmm_device_realize (device, h->machine, NULL));
  g_assert_true (vmm_machine_find_device (h->machine, "a") == device);
  g_assert_false (vmm_device_set_uint (device, "size", 1, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (vmm_device_realize (device, h->machine, NULL));
  vmm_device_unrealize (device);
  vmm_device_unrealize (device);
  g_assert_null (vmm_machine_find_device (h->machine, "a"));
  vmm_device_free (device);
  vmm_device_free (NULL);
  harness_free (h);
}

static void
test_validate (void)
{
  VmmDeviceOps ops = sample_ops;
  g_autoptr (GError) error = NULL;

  g_assert_true (vmm_device_ops_validate (&ops, NULL));
  ops.quiesce = NULL;
  g_assert_false (vmm_device_ops_validate (&ops, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "quiesce"));
  ops = sample_ops;
  ops.state_version = 0;
  g_assert_false (vmm_device_ops_validate (&ops, NULL));
  ops = sample_ops;
  ops.instance_size = 4;
  g_assert_false (vmm_device_ops_validate (&ops, NULL));
  ops = sample_ops;
  ops.name = NULL;
  g_assert_false (vmm_device_ops_validate (&ops, NULL));
}

static void
test_order (void)
{
  HarnessMachine *h = harness_new (0);
  Log log = { g_string_new (NULL) };
  VmmDevice *twice;

  add (h, &sample_ops, "a", &log);
  add (h, &sample_ops, "b", &log);
  twice = vmm_device_new (&sample_ops, "a");
  g_assert_true (vmm_device_set_string (twice, "path", "x", NULL));
  g_assert_false (vmm_device_realize (twice, h->machine, NULL));
  vmm_device_free (twice);
  vmm_machine_reset_devices (h->machine, VMM_RESET_COLD);
  vmm_machine_reset_devices (h->machine, VMM_RESET_WARM);
  vmm_machine_quiesce_devices (h->machine);
  vmm_machine_resume_devices (h->machine);
  harness_free (h);
  g_assert_cmpstr (log.log->str, ==, "+a +b ca cb wa wb qb qa ra rb -b -a ");
  g_string_free (log.log, TRUE);
}

static void
test_save (void)
{
  HarnessMachine *h = harness_new (0), *other = harness_new (0);
  Sample *a = (Sample *)add (h, &sample_ops, "a", NULL);
  Sample *b = (Sample *)add (h, &sample_ops, "b", NULL);
  Sample *other_a = (Sample *)add (other, &sample_ops, "a", NULL);
  g_autoptr (GBytes) state = NULL;
  g_autoptr (GError) error = NULL;
  VmmStateWriter *writer;

  a->guest.value = 5;
  b->guest.value = 1000;
  harness_check_save_load (h);
  state = harness_save (h);
  a->guest.value = b->guest.value = 0;
  g_assert_true (harness_load (h, state, &error));
  g_assert_cmpuint (a->guest.value, ==, 5);
  g_assert_cmpuint (b->guest.value, ==, 1000);
  harness_storm_load (h, state, 1, 300);

  /* a device too many, then one too few */
  g_assert_false (harness_load (other, state, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  add (other, &sample_ops, "b", NULL);
  g_assert_true (harness_load (other, state, &error));
  g_assert_cmpuint (other_a->guest.value, ==, 5);
  add (other, &sample_ops, "c", NULL);
  g_assert_false (harness_load (other, state, &error));
  g_assert_nonnull (strstr (error->message, "“c”"));
  g_clear_error (&error);

  /* a value the device refuses; a newer version */
  b->guest.value = 1001;
  g_clear_pointer (&state, g_bytes_unref);
  state = harness_save (h);
  g_assert_false (harness_load (h, state, &error));
  g_clear_error (&error);
  writer = vmm_state_writer_new ();
  vmm_state_writer_begin (writer, "a", "sample", 3);
  vmm_state_writer_end (writer);
  g_clear_pointer (&state, g_bytes_unref);
  state = vmm_state_writer_finish (writer);
  vmm_state_writer_free (writer);
  g_assert_false (harness_load (h, state, &error));
  g_assert_nonnull (strstr (error->message, "version"));
  g_clear_error (&error);

  add (h, &unsavable_ops, "gpu", NULL);
  writer = vmm_state_writer_new ();
  g_assert_false (vmm_machine_save_devices (h->machine, writer, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "gpu"));
  vmm_state_writer_free (writer);
  harness_free (h);
  harness_free (other);
}

static void
test_requests (void)
{
  HarnessMachine *h = harness_new (4096);
  guint64 value;

  g_assert_cmpint (harness_take_request (h, NULL), ==, VMM_REQUEST_NONE);
  vmm_machine_request (h->machine, VMM_REQUEST_DEBUG_EXIT, 42, "why");
  g_assert_cmpint (harness_take_request (h, &value), ==, VMM_REQUEST_DEBUG_EXIT);
  g_assert_cmpuint (value, ==, 42);
  vmm_machine_set_request_func (h->machine, NULL, NULL);
  vmm_machine_request (h->machine, VMM_REQUEST_RESET, 0, NULL);
  g_assert_true (vmm_machine_get_worker (h->machine) == vmm_machine_get_worker (h->machine));
  g_assert_true (vmm_machine_add_worker (h->machine, "x", VMM_WORKER_NONE, NULL) !=
                 vmm_machine_get_worker (h->machine));
  harness_free (h);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmm/device/properties", test_properties);
  g_test_add_func ("/vmm/device/validate", test_validate);
  g_test_add_func ("/vmm/machine/order", test_order);
  g_test_add_func ("/vmm/machine/save", test_save);
  g_test_add_func ("/vmm/machine/requests", test_requests);
  return g_test_run ();
}
