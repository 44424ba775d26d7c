/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the host has: its PCI functions, their IOMMU groups, the cards they make up, and the
 * platform below them. Plain structs, read once from a VfioTree; nothing here judges (checks.h
 * does) and nothing changes the host. Pointers between the structs are borrowed and live as long as
 * the inventory. All text is valid UTF-8. Thread: any; a full read takes some 10 ms for a desktop
 * (the walk over processes is most of it).
 *
 * Ids are stable: a function's is its address, a group's its number, a card's the address of its
 * first function. */
#pragma once
#include "vfio/host/address.h"
#include "vfio/host/tree.h"

typedef struct _VfioInventory VfioInventory;
typedef struct _VfioFunction VfioFunction;
typedef struct _VfioGroup VfioGroup;
typedef struct _VfioCard VfioCard;

#define VFIO_HOST_N_BARS 6
#define VFIO_HOST_ROM    6 /* the expansion ROM's place behind the BARs */

typedef struct
{
  guint64 start; /* 0 with a size: firmware and kernel gave it no address */
  guint64 size;  /* bytes; 0: there is none */
  guint64 flags; /* the kernel's IORESOURCE_ flags */
  gboolean io, is_64bit, prefetchable;
  guint64 resizable; /* bit n: 1 MiB << n is possible; 0: not resizable, or not known */
} VfioBar;

/* A device node of a function or of something behind it: /dev/NAME. */
typedef struct
{
  char *name; /* "dri/card1" */
  guint32 major, minor;
  gboolean block;
} VfioNode;

/* A process that has one of a function's device nodes open. */
typedef struct
{
  gint pid;
  char *name; /* "gnome-shell" */
  char *node; /* "dri/card1" */
} VfioHolder;

typedef struct
{
  char *name; /* "DP-1" */
  gboolean connected, enabled;
} VfioConnector;

typedef struct
{
  char *name;             /* "eth0" */
  gboolean up;            /* has a carrier and is in use */
  gboolean default_route; /* the way to everywhere else leads over it, also by bridge or bond */
} VfioNet;

typedef struct
{
  char *name;    /* "nvme0n1" */
  char **mounts; /* (nullable) where it or what lies on it is mounted, sorted */
  gboolean root; /* "/" or another folder the system cannot be without */
  gboolean swap; /* swap space lies on it */
} VfioDisk;

/* A kind of mediated device: virtual functions that a driver makes by itself, without SR-IOV. */
typedef struct
{
  char *id;          /* the folder's name: "i915-GVTg_V5_4" */
  char *name;        /* (nullable) "GVTg_V5_4" */
  char *description; /* (nullable) the driver's own words, one line */
  guint available;   /* how many more can be made */
} VfioMediatedType;

/* One that is there; given to a machine by its UUID. */
typedef struct
{
  char *uuid;
  char *type; /* its kind's name, or id */
  int group;  /* -1: none, so it cannot be opened */
} VfioMediated;

struct _VfioFunction
{
  VfioAddress address;
  char id[VFIO_ADDRESS_TEXT_SIZE]; /* "0000:01:00.0" */
  char *path;                      /* "/sys/bus/pci/devices/0000:01:00.0" */
  char *real_path;                 /* "/sys/devices/pci0000:00/…" */

  guint16 vendor, device, subsystem_vendor, subsystem_device;
  guint32 class_code; /* 24 bits: class, subclass, interface */
  guint8 revision;
  char *vendor_name, *device_name; /* (nullable) from the distribution's pci.ids */
  char *class_name;                /* (nullable) */
  char *name;                      /* for people, never NULL: "NVIDIA GeForce RTX 3070" */

  guint8 header_type; /* without the multifunction bit; 0 endpoint, 1 bridge */
  gboolean bridge;    /* the kernel's sense: any header but 0 */
  gboolean has_parent;
  VfioAddress parent; /* the bridge above; has_parent FALSE on a root bus */

  char *driver;          /* (nullable) bound now */
  char *driver_override; /* (nullable) */
  gboolean driver_vfio;  /* bound to vfio-pci or a variant of it */
  char *vfio_dev;        /* (nullable) "vfio0": /dev/vfio/devices/vfio0 */
  VfioGroup *group;      /* (nullable) none without an IOMMU */
  VfioCard *card;        /* never NULL, but for bridges */

  VfioBar bars[VFIO_HOST_N_BARS + 1]; /* [VFIO_HOST_ROM]: the ROM */
  gsize config_size;    /* bytes that could be read: 64 for users, up to 4096 for root */
  gboolean config_dead; /* reads as all ones: gone, or did not wake up */

  gboolean reset;       /* the kernel knows a way to reset it */
  char **reset_methods; /* (nullable) in the kernel's order: "flr", "pm", "bus",
                         * "device_specific", "acpi"; NULL on kernels that do not tell (< 5.15) */
  char *power_state;    /* (nullable) "D0" … "D3cold" */
  char *runtime_status; /* (nullable) "active", "suspended", … */
  int d3cold_allowed;   /* -1 not told */

  guint link_speed, link_speed_max; /* in 0.1 GT/s; 0: no link, or not told */
  guint link_width, link_width_max;

  int boot_vga;          /* -1 no VGA device, else 0 or 1 */
  char **framebuffers;   /* (nullable) what a boot framebuffer holds in its BARs: "BOOTFB" */
  char *drm_card;        /* (nullable) "card1" */
  GPtrArray *connectors; /* (element-type VfioConnector) */
  GPtrArray *nodes;      /* (element-type VfioNode), sorted by name */
  GPtrArray *holders;    /* (element-type VfioHolder), by pid; one entry for a process and node */
  GPtrArray *nets;       /* (element-type VfioNet) */
  GPtrArray *disks;      /* (element-type VfioDisk) */

  guint sriov_total, sriov_on; /* virtual functions: possible, present */
  gboolean is_vf;
  VfioAddress physfn;        /* of a virtual function */
  GPtrArray *mediated_types; /* (element-type VfioMediatedType), by id; may be empty */
  GPtrArray *mediated;       /* (element-type VfioMediated) that are there; may be empty */
  int numa_node;             /* -1 none */
};

typedef struct
{
  guint64 start, end; /* both included */
  char *type;         /* "direct", "msi", "reserved", "direct-relaxable" */
} VfioReservedRegion;

/* A member of a group that is no PCI function (AMD's ACPI devices). */
typedef struct
{
  char *name;
  char *driver; /* (nullable) */
} VfioGroupOther;

struct _VfioGroup
{
  guint id;
  char *type;           /* (nullable) "DMA", "DMA-FQ", "identity", "blocked" */
  GPtrArray *functions; /* (element-type VfioFunction) borrowed, by address */
  GPtrArray *others;    /* (element-type VfioGroupOther) */
  GArray *reserved;     /* of VfioReservedRegion */
  gboolean noiommu;     /* a pretence of a group: no isolation at all */
};

typedef enum
{
  HOST_CARD_GRAPHICS,
  HOST_CARD_AUDIO,
  HOST_CARD_NETWORK,
  HOST_CARD_STORAGE,
  HOST_CARD_USB,
  HOST_CARD_CHIPSET, /* part of the main board: never given away */
  HOST_CARD_OTHER,
} VfioCardKind;
/* "graphics", "audio", … for JSON and icons. */
const char *vfio_card_kind_to_string (VfioCardKind kind);

/* What a person takes for one thing: the functions of a slot. Functions that the kernel isolates
 * from each other and that work alone (virtual functions, the ports of a network card, what a
 * processor or chipset has built in) are cards of their own. */
struct _VfioCard
{
  char id[VFIO_ADDRESS_TEXT_SIZE]; /* of the first function */
  VfioCardKind kind;
  const char *name;     /* the main function's */
  GPtrArray *functions; /* (element-type VfioFunction) borrowed, by address; at least one */
  VfioFunction *main;   /* (never NULL) graphics before anything else, else the first */
};

/* What makes the first RAM disk here: it decides how a card is reserved at start-up. */
typedef enum
{
  HOST_INITRAMFS_UNKNOWN,
  HOST_INITRAMFS_TOOLS,  /* Debian, Ubuntu: update-initramfs */
  HOST_INITRAMFS_DRACUT, /* Fedora, openSUSE */
  HOST_INITRAMFS_MKINITCPIO,
  HOST_INITRAMFS_OSTREE, /* rpm-ostree: Silverblue, Bazzite */
} VfioInitramfs;

typedef enum
{
  HOST_IOMMU_ON,
  HOST_IOMMU_OFF_KERNEL,   /* the firmware describes one, the kernel does not use it */
  HOST_IOMMU_OFF_FIRMWARE, /* nothing describes one */
} VfioIommuState;

typedef struct
{
  VfioIommuState iommu;
  gboolean intel, amd;        /* the processor's maker */
  gboolean vtd, amdvi;        /* which kind of IOMMU there is, or the firmware describes */
  char **iommus;              /* (nullable) names in /sys/class/iommu: "dmar0", "ivhd0" */
  guint iommu_bits;           /* smallest address width of Intel units; 0 not told */
  int interrupt_remapping;    /* 1 yes, 0 no, -1 not known */
  gboolean unsafe_interrupts; /* vfio_iommu_type1 allow_unsafe_interrupts */
  gboolean noiommu_mode;      /* vfio enable_unsafe_noiommu_mode, or a noiommu group is open */
  char *acs_override;         /* (nullable) its value on the kernel's command line */
  char *cmdline;              /* (nullable) the kernel's command line */
  char *kernel;               /* (nullable) "6.1.0-28-amd64" */
  guint kernel_version;       /* major << 16 | minor; 0 not known */
  gboolean vfio_loaded;       /* vfio and vfio_pci are there, loaded or built in */
  gboolean vfio_available;    /* … or can be loaded */
  gboolean vfio_node;         /* /dev/vfio/vfio is there */
  gboolean iommufd_node;      /* /dev/iommu is there */
  int disable_idle_d3;        /* vfio_pci parameters: -1 not loaded */
  int disable_vga;
  char *vfio_ids;          /* (nullable) vfio_pci ids= that are in force */
  guint64 dma_entry_limit; /* 0 not told */
  guint64 memlock;         /* bytes this process may lock; G_MAXUINT64: any */
  gboolean selinux_enforcing;
  char *os_id;      /* (nullable) os-release: "debian", "fedora", "arch", … */
  char *os_like;    /* (nullable) ID_LIKE */
  char *os_name;    /* (nullable) PRETTY_NAME */
  gboolean ostree;  /* the system's files come as one image (Silverblue, Bazzite) */
  gboolean sandbox; /* in a Flatpak: the host's own files are elsewhere */
  VfioInitramfs initramfs;
  gboolean ksm;                       /* merges equal pages */
  gboolean thp;                       /* transparent huge pages can be had for shared memory */
  guint64 hugepages_1g, hugepages_2m; /* free ones */
  gboolean processes_complete;        /* FALSE: processes of others could not be looked at */
  gboolean root_disk_known;           /* FALSE: what "/" lies on could not be found out */
} VfioPlatform;

struct _VfioInventory
{
  VfioPlatform platform;
  GPtrArray *functions; /* (element-type VfioFunction), by address */
  GPtrArray *groups;    /* (element-type VfioGroup), by id */
  GPtrArray *cards;     /* (element-type VfioCard), by address */
};

/**
 * vfio_inventory_new:
 *
 * Never fails: what cannot be read is not there. A host without PCI has no functions.
 *
 * Returns: (transfer full)
 */
VfioInventory *vfio_inventory_new (VfioTree *tree);
void vfio_inventory_free (VfioInventory *inventory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfioInventory, vfio_inventory_free)

/* (transfer none) (nullable): NULL when there is none. */
VfioFunction *vfio_inventory_find (const VfioInventory *inventory, VfioAddress address);
VfioGroup *vfio_inventory_find_group (const VfioInventory *inventory, guint id);
/* (transfer none) (nullable); ret_parent: (nullable) the function whose driver made it. */
const VfioMediated *vfio_inventory_find_mediated (const VfioInventory *inventory,
                                                  const char *uuid,
                                                  const VfioFunction **ret_parent);
VfioCard *vfio_inventory_find_card (const VfioInventory *inventory, VfioAddress any_function);

/**
 * vfio_inventory_driver_is_harmless:
 * @driver: (nullable): the driver of a group's member; NULL: none
 * @bridge: whether the member is a bridge
 *
 * The kernel's rule (drivers/vfio and drivers/iommu): a member does not keep its group from being
 * used when it has no driver, a driver that leaves DMA to others (pci-stub, pcieport), or one of
 * vfio. Kernels before 5.19 let any driver of a bridge pass.
 */
gboolean vfio_inventory_driver_is_harmless (const VfioInventory *inventory,
                                            const char *driver,
                                            gboolean driver_vfio,
                                            gboolean bridge);
/* Would the kernel hand out this group now (VFIO_GROUP_FLAGS_VIABLE)? */
gboolean vfio_inventory_group_is_viable (const VfioInventory *inventory, const VfioGroup *group);
