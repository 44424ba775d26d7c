/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A model of the kernel's VFIO behind the same system calls: groups and iommufd, and functions with
 * configuration space, BARs, a ROM and interrupts. It answers as the documentation and the source of
 * Linux say, no more: no real device and no real kernel stands behind what a test with it shows (the
 * lab has those). What is wrong in the calls of who is tested fails the test here.
 *
 * The ways to the IOMMU (vfio_iommu_type1.c, drivers/iommu/iommufd) refuse what Linux refuses, with
 * its errors: test-double.c holds them against a table of that. They map nothing anywhere, know one
 * kind of IOMMU and of page, make page tables by attaching only (nobody here asks for one with
 * HWPT_ALLOC), and count locked memory for the whole model.
 *
 * Every call can be made to fail: set fail_at to its number. */
#pragma once
#include <linux/vfio.h>
#include "vfio/device/kernel.h"

#define FAKE_BARS      6u
#define FAKE_IRQ_KINDS 5u
#define FAKE_IRQS_MAX  64u
#define FAKE_EXTRAS    4u
#define FAKE_RANGES    80u

typedef struct
{
  guint64 iova, length;
  gpointer address;
  guint32 ioas; /* 0: of the container */
} FakeMap;

/* A region of a vendor's. */
typedef struct
{
  guint32 type, subtype;
  guint8 *data; /* owned */
  gsize length; /* of data */
  guint64 size; /* that the kernel tells */
  gboolean unreadable;
} FakeExtra;

/* What VFIO_DEVICE_BIND_IOMMUFD knows of a token. */
typedef enum
{
  FAKE_BIND_TOKEN,    /* Linux 6.18 */
  FAKE_BIND_NO_PLACE, /* 6.17: the flag is known, and what lies behind the structure has to be zero */
  FAKE_BIND_OLD,      /* 6.6: no flag is known */
} FakeBind;

typedef struct _FakeFunction FakeFunction;
struct _FakeFunction
{
  const char *name; /* 0000:01:00.0 */
  int group;
  guint8 config[4096];
  guint8 wmask[4096]; /* what a write changes */
  guint config_size;
  guint64 bar_size[FAKE_BARS];
  gboolean bar_mappable[FAKE_BARS];
  gboolean msix_mappable;
  struct vfio_region_sparse_mmap_area sparse[4]; /* of BAR 0 */
  guint n_sparse;
  const guint8 *rom;
  gsize rom_size;
  guint n_irqs[FAKE_IRQ_KINDS];
  guint msix_available; /* 0: all; else how many the host can give */
  gboolean has_reset, has_hot_reset, has_low_power;
  gboolean has_vga;
  guint8 vga[0xc0000]; /* the VGA region */
  FakeExtra extras[FAKE_EXTRAS];
  guint n_extras;
  gboolean gone;      /* nothing can be read */
  gboolean vanished;  /* it left sysfs, too */
  gboolean emulated;  /* a mediated device: its driver emulates it, it does no DMA by itself */
  const char *physfn; /* (nullable) of a virtual function */
  const char *token;  /* (nullable) the UUID that its physical function's user has set */
  const char *hot_reset_mates[4];

  /* (nullable): registers that are no memory. TRUE: the access of a BAR is done. */
  gboolean (*access) (FakeFunction *function,
                      guint bar,
                      guint64 offset,
                      guint size,
                      gboolean write,
                      guint64 *value);
  gpointer registers; /* of access */

  /* what was done to it */
  gboolean open;
  int bar_fd; /* memfd with all BARs, BAR n at n << 32 */
  int irq_fds[FAKE_IRQ_KINDS][FAKE_IRQS_MAX];
  guint n_enabled[FAKE_IRQ_KINDS];
  int unmask_fd;
  gboolean intx_masked;
  int ioevent_fd; /* -1 */
  guint64 ioevent_offset, ioevent_value;
  guint n_resets, n_hot_resets, n_writes, n_low_power;
  guint command_at_reset;
  guint rom_read_after_resets; /* n_resets + n_hot_resets when the ROM was read, + 1; 0: never */
};

typedef struct
{
  VfioKernel kernel; /* first */
  gboolean no_groups, no_iommufd;
  gboolean no_iommu_permission; /* of /dev/iommu */
  gboolean not_viable, no_permission, busy;
  gboolean no_msi_isolation;
  FakeBind bind;
  gboolean no_p2p;     /* registers of devices cannot be mapped for DMA */
  gboolean no_entries; /* the limit on mappings is used up */
  guint64 memlock;     /* bytes; 0: no limit */
  struct
  {
    guint64 start, end;
  } ranges[FAKE_RANGES]; /* inclusive */
  guint n_ranges;
  FakeFunction *functions[4];
  guint n_functions;

  guint fail_at; /* the call with this number fails, from 1; 0: none */
  int error;
  guint n_calls;

  GArray *maps;    /* of FakeMap */
  GArray *bars;    /* of FakeMap: where BARs were mapped into the process */
  GArray *fds;     /* private */
  GArray *objects; /* private: of iommufds */
  guint32 last_id;
  guint n_open; /* descriptors that are open */
} FakeKernel;

void fake_kernel_init (FakeKernel *fake);
/* Fails the test when anything is left open or mapped. */
void fake_kernel_clear (FakeKernel *fake);
/* A function with a header, nothing else. */
FakeFunction *fake_function_new (const char *name, int group, guint16 vendor, guint16 device);
void fake_function_free (FakeFunction *function);
void fake_kernel_add (FakeKernel *fake, FakeFunction *function);
/* Little endian, into configuration space. */
void fake_function_set (FakeFunction *function, guint offset, guint size, guint32 value);
/* Adds a BAR of memory. flags: PCI_BASE_ADDRESS_* bits. */
void fake_function_add_bar (FakeFunction *function, guint index, guint64 size, guint flags);
/* A graphics card: BAR 0 of 16 MiB with MSI-X in its upper half (table 0x800000, n vectors, pending
 * bits 0x801000), BAR 2 of 256 MiB 64-bit prefetchable, BAR 5 of ports; power management, MSI with 4
 * vectors, PCI Express, MSI-X; extended: AER, SR-IOV, resizable BARs, a serial number. */
FakeFunction *fake_gpu_new (const char *name, int group);
/* Graphics in a processor of Intel's (Alder Lake): BAR 0 of 16 MiB and BAR 2 of 256 MiB, both 64-bit,
 * BAR 4 of ports; MSI with 1 vector; 64 MiB of stolen memory, the host's addresses in BDSM and ASLS.
 * Its regions: an OpRegion of 8 KiB with a table of outputs, the host bridge, the LPC bridge. */
FakeFunction *fake_igd_new (const char *name, int group);
/* data is copied; the region tells its length. */
FakeExtra *fake_function_add_extra (
    FakeFunction *function, guint32 type, guint32 subtype, gconstpointer data, gsize length);
/* The host's own view of a BAR. (transfer none) */
guint32 fake_function_peek (FakeFunction *function, guint bar, guint64 offset);
void fake_function_poke (FakeFunction *function, guint bar, guint64 offset, guint32 value);
/* The device interrupts. FALSE: nobody is told (masked, or no descriptor). */
gboolean fake_function_interrupt (FakeFunction *function, guint index, guint vector);
/* The resample descriptor was signalled: the kernel unmasks INTx. TRUE when it was. */
gboolean fake_function_resample (FakeFunction *function);
