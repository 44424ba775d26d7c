/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "payload.h"

#include <stdarg.h>

#define PM_TIMER 0x608

volatile uint32_t payload_interrupts[80];
extern const uint32_t payload_vectors[48];
extern char payload_end[];

/* Below 64 KiB, where a boot loader puts nothing: counts go on over a reset. */
#define KEPT       0x6000
#define KEPT_MAGIC 0x7e57ca5e

static unsigned n_checks, n_failed;
static uint8_t *heap;
static uint64_t idt[80];

/* Payloads with several processors have their own. */
__attribute__ ((weak)) uint32_t payload_ap_stack;
__attribute__ ((weak)) void payload_ap_entry (void);
__attribute__ ((weak)) void
payload_ap_entry (void)
{
}

void *
memset (void *to, int byte, size_t n)
{
  void *p = to;

  __asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(byte) : "memory");
  return to;
}

void *
memcpy (void *to, const void *from, size_t n)
{
  void *p = to;

  __asm__ volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(n) : : "memory");
  return to;
}

int
memcmp (const void *a, const void *b, size_t n)
{
  const uint8_t *x = a, *y = b;

  for (size_t i = 0; i < n; i++)
    if (x[i] != y[i])
      return x[i] - y[i];
  return 0;
}

size_t
strlen (const char *text)
{
  size_t n = 0;

  while (text[n] != 0)
    n++;
  return n;
}

static void
put (char c)
{
  while ((inb (COM1 + 5) & 0x20) == 0)
    continue;
  outb (COM1, c);
}

static void
put_number (uint32_t value, unsigned base, unsigned width, char fill)
{
  char digits[12];
  unsigned n = 0;

  do
    digits[n++] = "0123456789abcdef"[value % base];
  while ((value /= base) != 0);
  for (; width > n; width--)
    put (fill);
  while (n > 0)
    put (digits[--n]);
}

static void
vprint (const char *p, va_list args)
{
  for (; *p != 0; p++)
    {
      char fill = ' ';
      unsigned width = 0;

      if (*p != '%')
        {
          put (*p);
          continue;
        }
      if (*++p == '0')
        fill = *p++;
      while (*p >= '0' && *p <= '9')
        width = width * 10 + (unsigned)(*p++ - '0');
      switch (*p)
        {
        case 's':
          for (const char *s = va_arg (args, const char *); *s != 0; s++)
            put (*s);
          break;
        case 'c':
          put ((char)va_arg (args, int));
          break;
        case 'd':
          {
            int value = va_arg (args, int);

            if (value < 0)
              put ('-');
            put_number (value < 0 ? 0u - (uint32_t)value : (uint32_t)value, 10, width, fill);
            break;
          }
        case 'u':
          put_number (va_arg (args, unsigned), 10, width, fill);
          break;
        case 'x':
          put_number (va_arg (args, unsigned), 16, width, fill);
          break;
        default:
          put (*p);
        }
    }
}

void
print (const char *format, ...)
{
  va_list args;

  va_start (args, format);
  vprint (format, args);
  va_end (args);
}

bool
check (bool ok, const char *format, ...)
{
  va_list args;

  print ("%sok %u - ", ok ? "" : "not ", ++n_checks);
  va_start (args, format);
  vprint (format, args);
  va_end (args);
  put ('\n');
  if (!ok)
    n_failed++;
  return ok;
}

void
skip (const char *name, const char *reason)
{
  print ("ok %u - %s # SKIP %s\n", ++n_checks, name, reason);
}

void
payload_keep (void)
{
  write32 (KEPT, KEPT_MAGIC);
  write32 (KEPT + 4, n_checks);
  write32 (KEPT + 8, n_failed);
}

uint32_t
payload_number (const char *text, const char *key, uint32_t otherwise)
{
  for (size_t n = strlen (key); *text != 0; text++)
    if (memcmp (text, key, n) == 0)
      {
        uint32_t result = 0;

        for (text += n; *text >= '0' && *text <= '9'; text++)
          result = result * 10 + (uint32_t)(*text - '0');
        return result;
      }
  return otherwise;
}

bool
payload_was_kept (void)
{
  if (read32 (KEPT) != KEPT_MAGIC)
    return false;
  write32 (KEPT, 0);
  n_checks = read32 (KEPT + 4);
  n_failed = read32 (KEPT + 8);
  return true;
}

uint32_t
payload_done (void)
{
  print ("1..%u\n", n_checks);
  return n_failed != 0 || n_checks == 0;
}

void
payload_exit (uint32_t value)
{
  while ((inb (COM1 + 5) & 0x40) == 0)
    continue;
  outl (DEBUG_EXIT, value);
  for (;;)
    __asm__ volatile("cli; hlt");
}

uint32_t
pm_timer (void)
{
  return inl (PM_TIMER);
}

void
delay_us (uint32_t us)
{
  /* Pieces short enough for a 24-bit counter. */
  while (us > 0)
    {
      uint32_t piece = us < 100000 ? us : 100000;
      uint32_t ticks = piece * 3 + piece * 579 / 1000 + 1;
      uint32_t start = pm_timer ();

      while (((pm_timer () - start) & 0xffffff) < ticks)
        __asm__ volatile("pause");
      us -= piece;
    }
}

void payload_interrupt (uint32_t vector);

void
payload_interrupt (uint32_t vector)
{
  payload_interrupts[vector]++;
  if (vector >= 48)
    write32 (0xfee000b0, 0);
  else
    {
      if (vector >= 40)
        outb (0xa0, 0x20);
      outb (0x20, 0x20);
    }
}

void
interrupts_init (void)
{
  struct
  {
    uint16_t limit;
    uint32_t base;
  } __attribute__ ((packed)) pointer = { sizeof idt - 1, (uint32_t)idt };

  for (unsigned i = 0; i < 48; i++)
    idt[32 + i] = (uint64_t)(payload_vectors[i] & 0xffff0000) << 32 | 0x00008e0000000000ull |
                  0x00080000 | (payload_vectors[i] & 0xffff);
  __asm__ volatile("lidt %0" : : "m"(pointer));
  /* 8259A initialization words: edge, cascade, vectors 32 and 40, 8086 mode; all masked. */
  outb (0x20, 0x11);
  outb (0xa0, 0x11);
  outb (0x21, 32);
  outb (0xa1, 40);
  outb (0x21, 4);
  outb (0xa1, 2);
  outb (0x21, 1);
  outb (0xa1, 1);
  outb (0x21, 0xfb);
  outb (0xa1, 0xff);
  write32 (0xfee000f0, 0x1ff); /* local APIC on */
}

void
pic_unmask (unsigned irq)
{
  uint16_t port = irq < 8 ? 0x21 : 0xa1;

  outb (port, inb (port) & ~(1u << (irq & 7)));
}

void
interrupts_enable (bool on)
{
  if (on)
    __asm__ volatile("sti");
  else
    __asm__ volatile("cli");
}

void *
alloc_pages (unsigned n)
{
  uint8_t *pages;

  if (heap == NULL)
    heap = (uint8_t *)(((uintptr_t)payload_end + 4095) & ~4095u);
  pages = heap;
  heap += n * 4096;
  memset (pages, 0, n * 4096);
  return pages;
}
