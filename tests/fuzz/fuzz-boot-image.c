/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kernels for direct boot. The first byte chooses how much RAM there is, the rest is the file. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/harness/harness.h"
#include "vmm/boot/image.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  char path[64];
  VmmBootFiles files = { .kernel = path, .cmdline = "console=ttyS0" };
  VmmBootPlatform platform = { 0 };
  VmmBootImage *image;
  VmmEntry entry;
  int fd;

  if (size < 2 || size > 1024 * 1024)
    return 0;
  fd = memfd_create ("kernel", MFD_CLOEXEC);
  g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  g_assert_cmpint (pwrite (fd, data + 1, size - 1, 0), ==, (ssize_t)(size - 1));
  image = vmm_boot_image_new (&files, NULL);
  if (image != NULL)
    {
      HarnessMachine *h = harness_new ((1 + (data[0] & 31)) * 1024 * 1024);

      platform.layout.low_ram = h->ram_size;
      vmm_boot_image_set_platform (image, &platform);
      if (vmm_boot_image_load (h->machine, &entry, image, NULL))
        g_assert_true (vmm_guest_memory_check (vmm_machine_get_memory (h->machine),
                                               vmm_gpa (entry.info), 56, TRUE));
      vmm_boot_image_free (image);
      harness_free (h);
    }
  close (fd);
  return 0;
}
