/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every group and key of machine.conf. The order is the one people read them in. */
#include "app/definition-private.h"

#include <string.h>

/* The parser writes enums and booleans as 32-bit integers. */
G_STATIC_ASSERT (sizeof (AlcoveCpuLevel) == sizeof (guint));
G_STATIC_ASSERT (sizeof (AlcoveDisplayType) == sizeof (guint));
G_STATIC_ASSERT (sizeof (gboolean) == sizeof (guint));

static const char *const cpu_words[] = { "host", "x86-64-v2", "x86-64-v3", "x86-64-v4", NULL };
static const char *const firmware_words[] = { "uefi", "bios", "none", NULL };
static const char *const msr_words[] = { "fault", "ignore", NULL };
static const char *const clock_words[] = { "utc", "localtime", NULL };
static const char *const event_words[] = { "reset", "stop", NULL };
static const char *const format_words[] = { "raw", "qcow2", NULL };
static const char *const bus_words[] = { "virtio", "nvme", "scsi", "sata", NULL };
static const char *const cache_words[] = { "writeback", "direct", NULL };
static const char *const error_words[] = { "report", "pause", NULL };
static const char *const nic_words[] = { "user", "tap", "none", NULL };
static const char *const display_words[] = { "virtio-vga", "vga", "none", NULL };
static const char *const char_words[] = { "console", "null", "file", "stdio", NULL };
static const char *const input_words[] = { "keyboard", "tablet", "mouse", NULL };

#define MACHINE(member) G_STRUCT_OFFSET (AlcoveMachineConfig, member)
static const AlcoveKeySpec machine_keys[] = {
  { .name = "uuid",
    .type = ALCOVE_KEY_UUID,
    .offset = MACHINE (uuid),
    .required = TRUE,
    .help = "the machine's identity; the guest sees it in SMBIOS" },
  { .name = "name",
    .type = ALCOVE_KEY_STRING,
    .offset = MACHINE (title),
    .min = 1,
    .max = 128,
    .required = TRUE,
    .help = "what people see" },
  { .name = "os",
    .type = ALCOVE_KEY_STRING,
    .offset = MACHINE (os),
    .min = 1,
    .max = 64,
    .help = "the guest system, as a libosinfo short id" },
  { .name = "memory",
    .type = ALCOVE_KEY_MIB,
    .offset = MACHINE (memory_mib),
    .min = 1,
    .max = 4194304,
    .required = TRUE,
    .help = "guest memory; a number of MiB, or with a suffix such as 4G" },
  { .name = "cpus",
    .type = ALCOVE_KEY_NUMBER,
    .offset = MACHINE (cpus),
    .min = 1,
    .max = 255,
    .fallback = "1",
    .help = "number of virtual CPUs" },
  { .name = "sockets",
    .type = ALCOVE_KEY_NUMBER,
    .offset = MACHINE (sockets),
    .min = 1,
    .max = 255,
    .help = "sockets x cores x threads must be cpus" },
  { .name = "cores",
    .type = ALCOVE_KEY_NUMBER,
    .offset = MACHINE (cores),
    .min = 1,
    .max = 255,
    .help = "cores a socket" },
  { .name = "threads",
    .type = ALCOVE_KEY_NUMBER,
    .offset = MACHINE (threads),
    .min = 1,
    .max = 255,
    .help = "threads a core" },
  { .name = "cpu",
    .type = ALCOVE_KEY_WORD,
    .offset = MACHINE (cpu),
    .words = cpu_words,
    .fallback = "host",
    .help = "CPU features: the host's, or a level for machines that move between hosts" },
  { .name = "nested",
    .type = ALCOVE_KEY_BOOLEAN,
    .offset = MACHINE (nested),
    .fallback = "false",
    .help = "the guest may run virtual machines of its own" },
  { .name = "hide-hypervisor",
    .type = ALCOVE_KEY_BOOLEAN,
    .offset = MACHINE (hide_hypervisor),
    .fallback = "false",
    .help = "no hypervisor leaves in CPUID" },
  { .name = "invariant-tsc",
    .type = ALCOVE_KEY_BOOLEAN,
    .offset = MACHINE (invariant_tsc),
    .fallback = "true",
    .help = "shows the invariant TSC when the host has it" },
  { .name = "pci-p2p",
    .type = ALCOVE_KEY_BOOLEAN,
    .offset = MACHINE (pci_p2p),
    .fallback = "false",
    .help = "devices that are passed through reach each other's memory, where this computer can; "
            "large cards start slower" },
  { .name = "unknown-msr",
    .type = ALCOVE_KEY_WORD,
    .offset = MACHINE (unknown_msr),
    .words = msr_words,
    .fallback = "fault",
    .help = "access to an unknown model-specific register: a fault, as hardware does, or ignored" },
  { .name = "clock",
    .type = ALCOVE_KEY_WORD,
    .offset = MACHINE (clock),
    .words = clock_words,
    .fallback = "utc",
    .help = "what the real-time clock shows; Windows expects localtime" },
  { .name = "firmware",
    .type = ALCOVE_KEY_WORD,
    .offset = MACHINE (firmware),
    .words = firmware_words,
    .fallback = "uefi",
    .help = "what starts the guest; none needs kernel" },
  { .name = "firmware-vars",
    .type = ALCOVE_KEY_PATH,
    .offset = MACHINE (firmware_vars),
    .fallback = "firmware-vars.fd",
    .help = "the UEFI variable store" },
  { .name = "boot-menu",
    .type = ALCOVE_KEY_BOOLEAN,
    .offset = MACHINE (boot_menu),
    .fallback = "true",
    .help = "BIOS: some time to press Esc for the menu of boot devices" },
  { .name = "kernel",
    .type = ALCOVE_KEY_PATH,
    .offset = MACHINE (kernel),
    .help = "a kernel to start (bzImage, ELF with PVH note, multiboot 1)" },
  { .name = "initrd",
    .type = ALCOVE_KEY_PATH,
    .offset = MACHINE (initrd),
    .help = "the kernel's initial RAM disk" },
  { .name = "cmdline",
    .type = ALCOVE_KEY_STRING,
    .offset = MACHINE (cmdline),
    .max = 2047,
    .help = "the kernel's command line" },
  { .name = "on-reboot",
    .type = ALCOVE_KEY_WORD,
    .offset = MACHINE (on_reboot),
    .words = event_words,
    .fallback = "reset",
    .help = "what a reset by the guest does" },
  { .name = "on-triple-fault",
    .type = ALCOVE_KEY_WORD,
    .offset = MACHINE (on_triple_fault),
    .words = event_words,
    .fallback = "reset",
    .help = "what a triple fault of the guest does" },
  { .name = "debug-exit",
    .type = ALCOVE_KEY_NUMBER,
    .offset = MACHINE (debug_exit),
    .min = 0x80,
    .max = 0xffff,
    .help = "I/O port of the debug exit device, such as 0xf4" },
  { .name = "debug-console",
    .type = ALCOVE_KEY_PATH,
    .offset = MACHINE (debug_console),
    .help = "file for what firmware writes to port 0x402" },
};

#define ADDRESS_KEY                                                                                \
  {                                                                                                \
    .name = "address", .type = ALCOVE_KEY_ADDRESS,                                                 \
    .offset = G_STRUCT_OFFSET (AlcoveDeviceConfig, address),                                       \
    .help =                                                                                        \
        "place on PCI, such as 00:03.0, or 02:00.0 in the second slot for hot-plug; written at "   \
        "creation, then kept"                                                                      \
  }
#define BOOT_INDEX_KEY                                                                             \
  {                                                                                                \
    .name = "boot-index", .type = ALCOVE_KEY_NUMBER,                                               \
    .offset = G_STRUCT_OFFSET (AlcoveDeviceConfig, boot_index), .min = 1, .max = 99,               \
    .help = "firmware tries 1 first"                                                               \
  }

#define DISK(member) G_STRUCT_OFFSET (AlcoveDiskConfig, member)
#define DISK_KEYS(readonly_default, needs_file, bus_default)                                       \
  { .name = "file",                                                                                \
    .type = ALCOVE_KEY_PATH,                                                                       \
    .offset = DISK (file),                                                                         \
    .required = needs_file,                                                                        \
    .help = "image file, block device, or nbd:// address; a cdrom without it is empty" },          \
      { .name = "format",                                                                          \
        .type = ALCOVE_KEY_WORD,                                                                   \
        .offset = DISK (format),                                                                   \
        .words = format_words,                                                                     \
        .fallback = "raw",                                                                         \
        .help = "never guessed from the contents, which the guest writes" },                       \
      { .name = "bus",                                                                             \
        .type = ALCOVE_KEY_WORD,                                                                   \
        .offset = DISK (bus),                                                                      \
        .words = bus_words,                                                                        \
        .fallback = bus_default,                                                                   \
        .help = "the controller the guest sees" },                                                 \
      { .name = "target",                                                                          \
        .type = ALCOVE_KEY_NUMBER,                                                                 \
        .offset = DISK (target),                                                                   \
        .min = 1,                                                                                  \
        .max = 255,                                                                                \
        .help = "scsi: place on the controller; written at creation, then kept" },                 \
      { .name = "port",                                                                            \
        .type = ALCOVE_KEY_NUMBER,                                                                 \
        .offset = DISK (port),                                                                     \
        .min = 1,                                                                                  \
        .max = ALCOVE_N_SATA_PORTS,                                                                \
        .help = "sata: place on the controller; written at creation, then kept" },                 \
      { .name = "serial",                                                                          \
        .type = ALCOVE_KEY_STRING,                                                                 \
        .offset = DISK (serial),                                                                   \
        .min = 1,                                                                                  \
        .max = 20,                                                                                 \
        .help = "serial number the guest sees, up to 20 ASCII characters" },                       \
  {                                                                                                \
    .name = "readonly", .type = ALCOVE_KEY_BOOLEAN, .offset = DISK (readonly),                     \
    .fallback = readonly_default, .help = "the guest cannot write"                                 \
  }

#define LIMIT_KEY(key, member, text)                                                               \
  {                                                                                                \
    .name = key, .type = ALCOVE_KEY_NUMBER, .offset = DISK (member), .min = 1, .max = 100000000,   \
    .help = text                                                                                   \
  }
#define BANDWIDTH_KEY(key, member, text)                                                           \
  {                                                                                                \
    .name = key, .type = ALCOVE_KEY_MIB, .offset = DISK (member), .min = 1, .max = 1048576,        \
    .help = text                                                                                   \
  }

static const AlcoveKeySpec disk_keys[] = {
  DISK_KEYS ("false", TRUE, "virtio"),
  { .name = "passthrough",
    .type = ALCOVE_KEY_BOOLEAN,
    .offset = DISK (passthrough),
    .fallback = "false",
    .help = "scsi: file is a SCSI device of the host, whose commands the guest gives itself" },
  { .name = "discard",
    .type = ALCOVE_KEY_BOOLEAN,
    .offset = DISK (discard),
    .fallback = "true",
    .help = "space the guest frees goes back to the host" },
  { .name = "snapshot",
    .type = ALCOVE_KEY_BOOLEAN,
    .offset = DISK (snapshot),
    .fallback = "true",
    .help = "part of the machine's snapshots; false leaves it out and as it is by a revert" },
  { .name = "cache",
    .type = ALCOVE_KEY_WORD,
    .offset = DISK (cache),
    .words = cache_words,
    .fallback = "writeback",
    .help = "writeback through the host's page cache, or direct past it" },
  { .name = "controller",
    .type = ALCOVE_KEY_STRING,
    .offset = DISK (controller),
    .min = 1,
    .max = 32,
    .help = "nvme: disks with the same name here are namespaces of one controller" },
  { .name = "namespace",
    .type = ALCOVE_KEY_NUMBER,
    .offset = DISK (nsid),
    .min = 1,
    .max = 32,
    .help = "nvme: the disk's number on its controller; written at creation, then kept" },
  { .name = "queues",
    .type = ALCOVE_KEY_NUMBER,
    .offset = DISK (queues),
    .min = 1,
    .max = 64,
    .help = "request queues; as many as CPUs, at most 4, when left out" },
  { .name = "on-error",
    .type = ALCOVE_KEY_WORD,
    .offset = DISK (on_error),
    .words = error_words,
    .fallback = "report",
    .help = "when the host's storage fails: report it to the guest, or pause until it is mended; a "
            "lack of space always pauses" },
  LIMIT_KEY ("iops", iops, "reads and writes a second, at most"),
  LIMIT_KEY ("iops-read", iops_read, "reads a second, at most"),
  LIMIT_KEY ("iops-write", iops_write, "writes a second, at most"),
  BANDWIDTH_KEY ("bandwidth", bandwidth, "MiB read and written a second, at most"),
  BANDWIDTH_KEY ("bandwidth-read", bandwidth_read, "MiB read a second, at most"),
  BANDWIDTH_KEY ("bandwidth-write", bandwidth_write, "MiB written a second, at most"),
  { .name = "burst",
    .type = ALCOVE_KEY_NUMBER,
    .offset = DISK (burst_ms),
    .min = 1,
    .max = 600000,
    .fallback = "100",
    .help = "how many milliseconds' worth of a limit may be used at once after a rest" },
  ADDRESS_KEY,
  BOOT_INDEX_KEY,
};

static const AlcoveKeySpec cdrom_keys[] = {
  DISK_KEYS ("true", FALSE, "sata"),
  ADDRESS_KEY,
  BOOT_INDEX_KEY,
};

#define NIC(member) G_STRUCT_OFFSET (AlcoveNicConfig, member)
static const AlcoveKeySpec nic_keys[] = {
  { .name = "backend",
    .type = ALCOVE_KEY_WORD,
    .offset = NIC (backend),
    .words = nic_words,
    .fallback = "user",
    .help = "user networking needs no rights; tap an interface; none: an unplugged cable" },
  { .name = "mac",
    .type = ALCOVE_KEY_MAC,
    .offset = NIC (mac),
    .help = "hardware address; derived from uuid and name when left out" },
  { .name = "forward",
    .type = ALCOVE_KEY_FORWARDS,
    .offset = NIC (forwards),
    .help = "user: ports of the host handed to the guest, tcp:127.0.0.1:2222:22;..." },
  { .name = "ifname",
    .type = ALCOVE_KEY_STRING,
    .offset = NIC (ifname),
    .min = 1,
    .max = 15,
    .help = "tap: the interface" },
  { .name = "vhost",
    .type = ALCOVE_KEY_BOOLEAN,
    .offset = NIC (vhost),
    .fallback = "true",
    .help = "tap: the kernel moves the packets when /dev/vhost-net can be opened" },
  ADDRESS_KEY,
  BOOT_INDEX_KEY,
};

#define DISPLAY(member) G_STRUCT_OFFSET (AlcoveDisplayConfig, member)
static const AlcoveKeySpec display_keys[] = {
  { .name = "type",
    .type = ALCOVE_KEY_WORD,
    .offset = DISPLAY (type),
    .words = display_words,
    .fallback = "virtio-vga",
    .help = "the adapter" },
  { .name = "width",
    .type = ALCOVE_KEY_NUMBER,
    .offset = DISPLAY (width),
    .min = 320,
    .max = 8192,
    .fallback = "1280",
    .help = "preferred mode at start, in device pixels" },
  { .name = "height",
    .type = ALCOVE_KEY_NUMBER,
    .offset = DISPLAY (height),
    .min = 200,
    .max = 8192,
    .fallback = "800",
    .help = "preferred mode at start, in device pixels" },
  ADDRESS_KEY,
};

#define CHAR(member) G_STRUCT_OFFSET (AlcoveCharConfig, member)
#define CHAR_KEYS                                                                                  \
  { .name = "backend",                                                                             \
    .type = ALCOVE_KEY_WORD,                                                                       \
    .offset = CHAR (backend),                                                                      \
    .words = char_words,                                                                           \
    .fallback = "console",                                                                         \
    .help = "console: reached with alcove console; null; file; stdio of alcove run" },             \
  {                                                                                                \
    .name = "file", .type = ALCOVE_KEY_PATH, .offset = CHAR (file),                                \
    .help = "file: where output goes"                                                              \
  }

static const AlcoveKeySpec serial_keys[] = {
  CHAR_KEYS,
  { .name = "port",
    .type = ALCOVE_KEY_NUMBER,
    .offset = CHAR (port),
    .min = 1,
    .max = 4,
    .help = "COM port; in file order when left out" },
};

static const AlcoveKeySpec console_keys[] = {
  CHAR_KEYS,
  ADDRESS_KEY,
};

static const AlcoveKeySpec input_keys[] = {
  { .name = "type",
    .type = ALCOVE_KEY_WORD,
    .offset = G_STRUCT_OFFSET (AlcoveInputConfig, type),
    .words = input_words,
    .required = TRUE,
    .help = "a virtio input device (PS/2 keyboard and mouse are always there)" },
  ADDRESS_KEY,
};

static const AlcoveKeySpec rng_keys[] = {
  ADDRESS_KEY,
};

#define FRAMES(member) G_STRUCT_OFFSET (AlcoveFramesConfig, member)
static const AlcoveKeySpec frames_keys[] = {
  { .name = "size",
    .type = ALCOVE_KEY_NUMBER,
    .offset = FRAMES (size),
    .max = 1024,
    .fallback = "0",
    .help = "MiB of shared memory, a power of two; 0: what width and height need" },
  { .name = "width",
    .type = ALCOVE_KEY_NUMBER,
    .offset = FRAMES (width),
    .min = 320,
    .max = 8192,
    .fallback = "1920",
    .help = "the largest mode of the passed-through GPU, in pixels" },
  { .name = "height",
    .type = ALCOVE_KEY_NUMBER,
    .offset = FRAMES (height),
    .min = 200,
    .max = 8192,
    .fallback = "1080",
    .help = "the largest mode of the passed-through GPU, in pixels" },
  ADDRESS_KEY,
};

static const AlcoveKeySpec scsi_keys[] = {
  { .name = "queues",
    .type = ALCOVE_KEY_NUMBER,
    .offset = G_STRUCT_OFFSET (AlcoveScsiConfig, queues),
    .min = 1,
    .max = 16,
    .help = "request queues; as many as CPUs, at most 4, when left out" },
  ADDRESS_KEY,
};

static const char *const igd_words[] = { "on", "off", "legacy", NULL };

#define PCI(member) G_STRUCT_OFFSET (AlcovePciConfig, member)
static const AlcoveKeySpec pci_keys[] = {
  { .name = "host",
    .type = ALCOVE_KEY_STRING,
    .offset = PCI (host),
    .min = 1,
    .max = 36,
    .required = TRUE,
    .help = "the host's device: 0000:01:00.0, or the UUID of a mediated device" },
  { .name = "rom",
    .type = ALCOVE_KEY_BOOLEAN,
    .offset = PCI (rom),
    .fallback = "true",
    .help = "the guest's firmware sees the card's start-up program" },
  { .name = "rom-file",
    .type = ALCOVE_KEY_PATH,
    .offset = PCI (rom_file),
    .help = "a file with that program, for cards that do not let theirs be read" },
  { .name = "vga",
    .type = ALCOVE_KEY_BOOLEAN,
    .offset = PCI (vga),
    .fallback = "false",
    .help = "the legacy VGA ports and memory are this card's: for BIOS firmware on it" },
  { .name = "igd",
    .type = ALCOVE_KEY_WORD,
    .offset = PCI (igd),
    .words = igd_words,
    .fallback = "on",
    .help =
        "for graphics of Intel's processors: the guest gets the table of outputs (on), also "
        "memory set aside and the chipset's name for its start-up program, at 00:02.0 (legacy), "
        "or nothing of it (off)" },
  { .name = "vf-token",
    .type = ALCOVE_KEY_UUID,
    .offset = PCI (vf_token),
    .help = "the secret of a virtual function whose physical function another program has" },
  ADDRESS_KEY,
  BOOT_INDEX_KEY,
};

#define SPICE(member) G_STRUCT_OFFSET (AlcoveSpiceConfig, member)
static const AlcoveKeySpec spice_keys[] = {
  { .name = "listen",
    .type = ALCOVE_KEY_LISTEN,
    .offset = SPICE (listen),
    .required = TRUE,
    .help = "for other SPICE clients: unix:PATH or tcp:HOST:PORT" },
  { .name = "password-file",
    .type = ALCOVE_KEY_PATH,
    .offset = SPICE (password_file),
    .help = "a file whose first line is the password; tcp needs it" },
  { .name = "tls-certificate",
    .type = ALCOVE_KEY_PATH,
    .offset = SPICE (tls_certificate),
    .help = "PEM; needed to listen on other addresses than this host's own" },
  { .name = "tls-key", .type = ALCOVE_KEY_PATH, .offset = SPICE (tls_key), .help = "PEM" },
};

#define SNAPSHOTS(member) G_STRUCT_OFFSET (AlcoveSnapshotsConfig, member)
static const AlcoveKeySpec snapshots_keys[] = {
  { .name = "every",
    .type = ALCOVE_KEY_NUMBER,
    .offset = SNAPSHOTS (every),
    .max = 43200,
    .fallback = "0",
    .help = "minutes between automatic snapshots while the machine runs; 0: none" },
  { .name = "keep",
    .type = ALCOVE_KEY_NUMBER,
    .offset = SNAPSHOTS (keep),
    .min = 1,
    .max = 1000,
    .fallback = "24",
    .help = "how many automatic snapshots there are at most; the oldest go first" },
};

#define KEYS(array) .keys = array, .n_keys = G_N_ELEMENTS (array)
const AlcoveGroupSpec alcove_group_specs[ALCOVE_N_KINDS] = {
  { ALCOVE_KIND_MACHINE, "machine", FALSE, 1, sizeof (AlcoveMachineConfig), KEYS (machine_keys) },
  { ALCOVE_KIND_DISK, "disk", TRUE, 24, sizeof (AlcoveDiskConfig), KEYS (disk_keys) },
  { ALCOVE_KIND_CDROM, "cdrom", TRUE, 4, sizeof (AlcoveDiskConfig), KEYS (cdrom_keys) },
  { ALCOVE_KIND_NIC, "nic", TRUE, 8, sizeof (AlcoveNicConfig), KEYS (nic_keys) },
  { ALCOVE_KIND_DISPLAY, "display", TRUE, 1, sizeof (AlcoveDisplayConfig), KEYS (display_keys) },
  { ALCOVE_KIND_SERIAL, "serial", TRUE, 4, sizeof (AlcoveCharConfig), KEYS (serial_keys) },
  { ALCOVE_KIND_CONSOLE, "console", TRUE, 15, sizeof (AlcoveCharConfig), KEYS (console_keys) },
  { ALCOVE_KIND_INPUT, "input", TRUE, 8, sizeof (AlcoveInputConfig), KEYS (input_keys) },
  { ALCOVE_KIND_RNG, "rng", TRUE, 1, sizeof (AlcoveRngConfig), KEYS (rng_keys) },
  { ALCOVE_KIND_SPICE, "spice", FALSE, 1, sizeof (AlcoveSpiceConfig), KEYS (spice_keys) },
  { ALCOVE_KIND_SNAPSHOTS, "snapshots", FALSE, 1, sizeof (AlcoveSnapshotsConfig),
    KEYS (snapshots_keys) },
  { ALCOVE_KIND_SCSI, "scsi", TRUE, 1, sizeof (AlcoveScsiConfig), KEYS (scsi_keys) },
  { ALCOVE_KIND_PCI, "pci", TRUE, 16, sizeof (AlcovePciConfig), KEYS (pci_keys) },
  { ALCOVE_KIND_FRAMES, "frames", TRUE, 1, sizeof (AlcoveFramesConfig), KEYS (frames_keys) },
};

const char *
alcove_kind_to_string (AlcoveKind kind)
{
  return alcove_group_specs[kind].word;
}

const AlcoveKeySpec *
alcove_group_spec_find_key (const AlcoveGroupSpec *spec, const char *name)
{
  for (gsize i = 0; i < spec->n_keys; i++)
    if (strcmp (spec->keys[i].name, name) == 0)
      return &spec->keys[i];
  return NULL;
}
