/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The small library of the payload guests: freestanding, 32-bit, one processor unless said. Output
 * is TAP on COM1; the end is the debug exit port: 0 for success (exit status 1 of the VMM). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COM1       0x3f8
#define DEBUG_EXIT 0xf4

/* Each payload has one. Its result is the exit value. */
uint32_t payload_main (uint32_t magic, uint32_t info);
void payload_exit (uint32_t value) __attribute__ ((noreturn));

static inline void
outb (uint16_t port, uint8_t value)
{
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
static inline void
outw (uint16_t port, uint16_t value)
{
  __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
static inline void
outl (uint16_t port, uint32_t value)
{
  __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
static inline uint8_t
inb (uint16_t port)
{
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
static inline uint16_t
inw (uint16_t port)
{
  uint16_t value;
  __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
static inline uint32_t
inl (uint16_t port)
{
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

static inline uint8_t
read8 (uintptr_t address)
{
  return *(volatile uint8_t *)address;
}
static inline uint16_t
read16 (uintptr_t address)
{
  return *(volatile uint16_t *)address;
}
static inline uint32_t
read32 (uintptr_t address)
{
  return *(volatile uint32_t *)address;
}
static inline void
write8 (uintptr_t address, uint8_t value)
{
  *(volatile uint8_t *)address = value;
}
static inline void
write16 (uintptr_t address, uint16_t value)
{
  *(volatile uint16_t *)address = value;
}
static inline void
write32 (uintptr_t address, uint32_t value)
{
  *(volatile uint32_t *)address = value;
}
static inline uint64_t
rdtsc (void)
{
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (uint64_t)high << 32 | low;
}

void *memset (void *to, int byte, size_t n);
void *memcpy (void *to, const void *from, size_t n);
int memcmp (const void *a, const void *b, size_t n);
size_t strlen (const char *text);

/* %s %c %d %u %x with width and zero fill, %%. */
void print (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/* TAP: "ok N - name" or "not ok N - name"; the plan comes last, from payload_done. */
bool check (bool ok, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
void skip (const char *name, const char *reason);
uint32_t payload_done (void); /* the exit value: 0 when nothing failed */

/* The decimal number behind the first `key` in a command line. */
uint32_t payload_number (const char *text, const char *key, uint32_t otherwise);

/* Before a reset that the payload asked for, and after it: TRUE when this is the second life. */
void payload_keep (void);
bool payload_was_kept (void);

/* The ACPI PM timer at 0x608 (3.579545 MHz, 24 bits or more). */
uint32_t pm_timer (void);
void delay_us (uint32_t us);

/* Interrupts: PIC remapped to 32..47, APIC vectors 48..79. Counts per vector. */
extern volatile uint32_t payload_interrupts[80];
void interrupts_init (void);
void pic_unmask (unsigned irq);
void interrupts_enable (bool on);

/* Memory for rings and buffers: page aligned, zeroed, never freed. */
void *alloc_pages (unsigned n);

/* -- PCI by CF8/CFC -- */
uint32_t pci_read (unsigned bus, unsigned devfn, unsigned offset, unsigned size);
void pci_write (unsigned bus, unsigned devfn, unsigned offset, unsigned size, uint32_t value);
/* devfn on bus 0 of the n-th function with these ids, or -1. device 0xffff: any. */
int pci_find (uint16_t vendor, uint16_t device, unsigned n);
/* Sizes and places all BARs of a bus 0 function and turns on I/O, memory and bus mastering. */
void pci_place (unsigned devfn);
/* Address of a BAR (low 4 GiB), flags cut off. */
uint32_t pci_bar (unsigned devfn, unsigned bar);
/* Offset of a capability after `from` (0: the first), or 0. */
unsigned pci_capability (unsigned devfn, uint8_t id, unsigned from);
