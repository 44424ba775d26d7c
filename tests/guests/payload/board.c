/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every register of the board as a guest sees it: reset values, read-only bits, side effects. */
#include "payload.h"

/* CMOS bytes, which survive a reset. */
#define RESET_FLAG 0x7e
#define FIRST_PAM  0x7d

static uint8_t
cmos (uint8_t index)
{
  outb (0x70, index);
  return inb (0x71);
}

static void
set_cmos (uint8_t index, uint8_t value)
{
  outb (0x70, index);
  outb (0x71, value);
}

static void
test_host_bridge (void)
{
  uint32_t ecam;

  check (pci_read (0, 0, 0, 4) == 0x29c08086, "host bridge is 8086:29c0");
  check (pci_read (0, 0, 0x2c, 4) == 0x11001af4, "host bridge subsystem is 1af4:1100");
  check (pci_read (0, 0, 8, 4) >> 8 == 0x060000, "host bridge class");
  check (pci_read (0, 0, 0xfc, 4) != 0xffffffff, "the end of configuration space answers");
  check (pci_read (0, 0x18, 0, 4) == 0xffffffff || pci_read (0, 0x18, 0, 4) != 0,
         "an empty slot is all-ones or a device");
  check (pci_read (7, 0, 0, 4) == 0xffffffff, "an absent bus is all-ones");

  /* PCIEXBAR: 256 MiB at 0xb0000000. */
  pci_write (0, 0, 0x64, 4, 0);
  pci_write (0, 0, 0x60, 4, 0xb0000001);
  ecam = 0xb0000000;
  check (read32 (ecam) == 0x29c08086, "configuration space is memory mapped");
  check (read16 (ecam + (0x1f << 15)) == 0x8086, "ECAM reaches the LPC bridge");
  write8 (ecam + (0x1f << 15) + 0x3c, 0x5a);
  check (pci_read (0, 0xf8, 0x3c, 1) == 0x5a, "an ECAM write is seen by CF8/CFC");
  pci_write (0, 0, 0x60, 4, 0xe0000001);
  check (read32 (0xe0000000) == 0x29c08086, "PCIEXBAR moves the window");
  check (read32 (ecam) == 0xffffffff, "and leaves the old place empty");
  pci_write (0, 0, 0x60, 4, 0xb0000001);

  outl (0xcf8, 0);
  check (inl (0xcfc) == 0xffffffff, "CFC without the enable bit is all-ones");
  outl (0xcf8, 0x80000000);
  check (inl (0xcf8) == 0x80000000, "CF8 reads back");
  check (inw (0xcfc + 2) == 0x29c0, "CFC in words");
}

static void
test_pam (void)
{
  uint8_t pam0 = (uint8_t)pci_read (0, 0, 0x90, 1);

  /* PAM0 high nibble: 0xf0000..0xfffff. */
  pci_write (0, 0, 0x90, 1, 0x30);
  write32 (0xf1000, 0x12345678);
  check (read32 (0xf1000) == 0x12345678, "PAM 3: RAM reads and writes");
  pci_write (0, 0, 0x90, 1, 0x10);
  write32 (0xf1000, 0xdeadbeef);
  check (read32 (0xf1000) == 0x12345678, "PAM 1: reads RAM, drops writes");
  pci_write (0, 0, 0x90, 1, 0x00);
  check (read32 (0xf1000) != 0x12345678, "PAM 0: RAM is hidden");
  write32 (0xf1000, 0x55aa55aa);
  pci_write (0, 0, 0x90, 1, 0x20);
  write32 (0xf1004, 0xcafef00d);
  pci_write (0, 0, 0x90, 1, 0x30);
  check (read32 (0xf1000) == 0x12345678, "PAM 0: writes did not reach RAM");
  check (read32 (0xf1004) == 0xcafef00d, "PAM 2: writes reach RAM");
  pci_write (0, 0, 0x90, 1, pam0);
  for (unsigned i = 0; i < 6; i++)
    {
      pci_write (0, 0, 0x91 + i, 1, 0x33);
      check (pci_read (0, 0, 0x91 + i, 1) == 0x33, "PAM%u keeps its bits", i + 1);
      write32 (0xc0000 + i * 0x8000, 0xa5a50000 + i);
      write32 (0xc4000 + i * 0x8000, 0x5a5a0000 + i);
    }
  for (unsigned i = 0; i < 6; i++)
    check (read32 (0xc0000 + i * 0x8000) == 0xa5a50000 + i &&
               read32 (0xc4000 + i * 0x8000) == 0x5a5a0000 + i,
           "segments of PAM%u are separate RAM", i + 1);
}

static void
test_lpc (void)
{
  check (pci_read (0, 0xf8, 0, 4) == 0x29188086, "LPC bridge is 8086:2918");
  check (pci_read (0, 0xf8, 0x0e, 1) & 0x80, "LPC bridge is multifunction");
  check ((pci_read (0, 0xf8, 0x40, 4) & 0xff81) == 0x601 || (pci_read (0, 0xf8, 0x40, 4) & 1) == 1,
         "PMBASE is an I/O register");
  for (unsigned i = 0; i < 4; i++)
    {
      pci_write (0, 0xf8, 0x60 + i, 1, 0x0b);
      pci_write (0, 0xf8, 0x68 + i, 1, 0x8a);
      check (pci_read (0, 0xf8, 0x60 + i, 1) == 0x0b && pci_read (0, 0xf8, 0x68 + i, 1) == 0x8a,
             "PIRQ%c and PIRQ%c routes keep their value", 'A' + i, 'E' + i);
    }
}

static void
test_pm (void)
{
  uint32_t a, b;
  uint64_t start;

  /* Direct boot: the PM block is enabled at 0x600 already, or by this. */
  pci_write (0, 0xf8, 0x40, 4, 0x601);
  pci_write (0, 0xf8, 0x44, 1, 0x80);
  a = pm_timer ();
  start = rdtsc ();
  while (rdtsc () - start < 10000000)
    continue;
  b = pm_timer ();
  check (a != b, "the PM timer counts");
  check (inw (0x604) & 1, "SCI_EN is set");
  outw (0x602, 0x0120);
  check (inw (0x602) == 0x0120, "PM1 enable keeps its bits");
  outw (0x602, 0);
  outw (0x600, 0xffff);
  check ((inw (0x600) & 0x0100) == 0, "no power button press pends");
  outw (0x600, 0x0001);
  check (inl (0x630) & 0x20, "SMI_EN reports APMC_EN, so firmware sets up no SMM");
}

static void
test_rtc (void)
{
  uint8_t seconds;
  bool changed = false;

  check ((cmos (0x0d) & 0x80) != 0, "RTC: valid RAM and time");
  check ((cmos (0x0a) & 0x7f) == 0x26, "RTC: divider and rate at reset");
  while (cmos (0x0a) & 0x80)
    continue;
  seconds = cmos (0);
  for (unsigned i = 0; i < 1500 && !changed; i++)
    {
      delay_us (1000);
      changed = cmos (0) != seconds;
    }
  check (changed, "RTC: seconds go on");
  set_cmos (0x40, 0x5c);
  check (cmos (0x40) == 0x5c, "CMOS RAM keeps a byte");

  /* Memory size: 0x34/0x35 in 64 KiB above 16 MiB. */
  check (cmos (0x34) | cmos (0x35), "CMOS tells memory above 16 MiB");
  check (cmos (0x5f) <= 63, "CMOS tells the processors");
}

/* Nothing may be printed while the UART is in a special state: the values are looked at after. */
static void
test_serial (void)
{
  uint8_t lcr = inb (COM1 + 3), mcr = inb (COM1 + 4), fifo, modem, ready, byte;
  uint16_t divisor;

  outb (COM1 + 7, 0x5a);
  check (inb (COM1 + 7) == 0x5a, "UART: scratch register");
  while ((inb (COM1 + 5) & 0x40) == 0)
    continue;
  outb (COM1 + 3, lcr | 0x80);
  outb (COM1 + 0, 0x34);
  outb (COM1 + 1, 0x12);
  divisor = (uint16_t)(inb (COM1) | inb (COM1 + 1) << 8);
  outb (COM1 + 0, 1);
  outb (COM1 + 1, 0);
  outb (COM1 + 3, 3);
  check (divisor == 0x1234, "UART: divisor latch");
  outb (COM1 + 2, 0x07);
  fifo = inb (COM1 + 2);
  check ((fifo & 0xc0) == 0xc0, "UART: FIFOs are on");
  while ((inb (COM1 + 5) & 0x40) == 0)
    continue;
  outb (COM1 + 4, 0x1b); /* loopback with OUT1 clear */
  modem = inb (COM1 + 6);
  outb (COM1, 0x7e);
  delay_us (2000);
  ready = inb (COM1 + 5);
  byte = inb (COM1);
  outb (COM1 + 4, mcr);
  check ((modem & 0xf0) == 0xb0, "UART: loopback of the modem lines");
  check ((ready & 1) && byte == 0x7e, "UART: loopback of a byte");
}

static bool
i8042_wait (uint8_t mask, uint8_t value)
{
  for (unsigned i = 0; i < 10000; i++)
    {
      if ((inb (0x64) & mask) == value)
        return true;
      delay_us (10);
    }
  return false;
}

static int
i8042_read (void)
{
  return i8042_wait (1, 1) ? inb (0x60) : -1;
}

static void
test_i8042 (void)
{
  while (inb (0x64) & 1)
    inb (0x60);
  outb (0x64, 0xaa);
  check (i8042_read () == 0x55, "i8042: self test");
  outb (0x64, 0xab);
  check (i8042_read () == 0, "i8042: keyboard interface test");
  outb (0x64, 0xa9);
  check (i8042_read () == 0, "i8042: auxiliary interface test");
  outb (0x64, 0x20);
  check (i8042_read () >= 0, "i8042: command byte");
  outb (0x64, 0xae);
  outb (0x60, 0xf2);
  check (i8042_read () == 0xfa, "keyboard: acknowledges identify");
  check (i8042_read () == 0xab, "keyboard: first identifier byte");
  check (i8042_read () >= 0, "keyboard: second identifier byte");
  outb (0x60, 0xff);
  check (i8042_read () == 0xfa && i8042_read () == 0xaa, "keyboard: reset and self test");
  outb (0x64, 0xa8);
  outb (0x64, 0xd4);
  outb (0x60, 0xff);
  check (i8042_read () == 0xfa && i8042_read () == 0xaa && i8042_read () == 0,
         "mouse: reset, self test, identifier");
  outb (0x92, 0x02);
  check (inb (0x92) & 2, "port 92: A20");
}

static uint32_t
swap32 (uint32_t v)
{
  return v << 24 | (v & 0xff00) << 8 | (v >> 8 & 0xff00) | v >> 24;
}

static void
test_fw_cfg (void)
{
  static volatile struct
  {
    uint32_t control, length, address_high, address_low;
  } __attribute__ ((packed, aligned (16))) dma;
  static volatile uint8_t buffer[4096];
  char text[5] = "";
  uint32_t files;

  outw (0x510, 0);
  for (unsigned i = 0; i < 4; i++)
    text[i] = (char)inb (0x511);
  check (memcmp (text, "QEMU", 4) == 0, "fw_cfg: signature");
  outw (0x510, 1);
  check ((inb (0x511) & 2) != 0, "fw_cfg: offers DMA");
  check (swap32 (inl (0x514)) == 0x51454d55, "fw_cfg: DMA signature");
  outw (0x510, 5);
  check (inb (0x511) >= 1, "fw_cfg: processors");

  dma.control = swap32 (0x19u << 16 | 8 | 2);
  dma.length = swap32 (sizeof buffer);
  dma.address_low = swap32 ((uint32_t)buffer);
  outl (0x514, 0);
  outl (0x518, swap32 ((uint32_t)&dma));
  check (dma.control == 0, "fw_cfg: DMA of the directory is done");
  files = (uint32_t)buffer[0] << 24 | buffer[1] << 16 | buffer[2] << 8 | buffer[3];
  check (files >= 1 && files < 100, "fw_cfg: %u files", files);
  for (uint32_t i = 1; i < files && i < 60; i++)
    {
      const volatile uint8_t *entry = buffer + 4 + i * 64;
      int order = 0;

      for (unsigned j = 0; order == 0 && j < 56; j++)
        order = (int)entry[8 + j] - (int)entry[8 + j - 64];
      if (order <= 0)
        {
          check (false, "fw_cfg: the directory is sorted at %u", i);
          break;
        }
    }
  /* A transfer to where no RAM is: the error bit, and nothing else. */
  dma.control = swap32 (0x19u << 16 | 8 | 2);
  dma.length = swap32 (16);
  dma.address_low = swap32 (0xfed10000);
  outl (0x514, 0);
  outl (0x518, swap32 ((uint32_t)&dma));
  check (swap32 (dma.control) & 1, "fw_cfg: DMA to a hole tells an error");
  dma.control = swap32 (0xffffu << 16 | 8 | 2);
  dma.length = swap32 (16);
  dma.address_low = swap32 ((uint32_t)buffer);
  buffer[0] = 0xee;
  outl (0x518, swap32 ((uint32_t)&dma));
  check (dma.control == 0 && buffer[0] == 0, "fw_cfg: an absent item reads as zeroes");
}

static void
test_hpet (void)
{
  uint32_t a;

  check (read32 (0xfed00000) >> 16 == 0x8086, "HPET: vendor");
  check (read32 (0xfed00004) > 0 && read32 (0xfed00004) <= 100000000, "HPET: period");
  write32 (0xfed00010, 1);
  a = read32 (0xfed000f0);
  delay_us (1000);
  check (read32 (0xfed000f0) != a, "HPET: the main counter runs");
  write32 (0xfed00010, 0);
  a = read32 (0xfed000f0);
  delay_us (1000);
  check (read32 (0xfed000f0) == a, "HPET: and halts");
}

static void
test_interrupts (void)
{
  interrupts_init ();
  /* PIT channel 0, mode 2, about 1 kHz. */
  outb (0x43, 0x34);
  outb (0x40, 0xa9);
  outb (0x40, 0x04);
  pic_unmask (0);
  interrupts_enable (true);
  delay_us (50000);
  interrupts_enable (false);
  check (payload_interrupts[32] >= 10, "PIT interrupts arrive (%u)", payload_interrupts[32]);

  /* RTC periodic interrupt on line 8. */
  set_cmos (0x0b, cmos (0x0b) | 0x40);
  cmos (0x0c);
  pic_unmask (8);
  interrupts_enable (true);
  delay_us (20000);
  interrupts_enable (false);
  set_cmos (0x0b, cmos (0x0b) & ~0x40);
  check (payload_interrupts[40] >= 1, "RTC interrupts arrive (%u)", payload_interrupts[40]);
  cmos (0x0c);
}

static void
test_others (void)
{
  check (inb (0x505) == 1 || (inb (0x505) & 1), "pvpanic tells its events");
  check (inb (0x402) == 0xe9, "the debug console is there");
  outb (0x402, 'A');
  outb (0x80, 0x11);
  check (inb (0x1234) == 0xff && inw (0x1234) == 0xffff && inl (0x1234) == 0xffffffff,
         "an empty port is all-ones");
  check (read32 (0xfeb00000) == 0xffffffff, "empty memory is all-ones");
}

uint32_t
payload_main (uint32_t magic, uint32_t info)
{
  if (payload_was_kept ())
    {
      check (cmos (RESET_FLAG) == 0xa7, "cf9 resets the machine; RAM and CMOS survive");
      check (pci_read (0, 0, 0x91, 1) == cmos (FIRST_PAM), "and PAM is as at the start");
      return payload_done ();
    }
  check (magic == 0x2badb002, "the boot loader speaks multiboot");
  check ((read32 (info) & 1) != 0 && read32 (info + 8) > 1024, "and tells memory: %u KiB",
         read32 (info + 8));
  set_cmos (FIRST_PAM, (uint8_t)pci_read (0, 0, 0x91, 1));
  test_host_bridge ();
  test_lpc ();
  test_pm ();
  test_pam ();
  test_rtc ();
  test_serial ();
  test_i8042 ();
  test_fw_cfg ();
  test_hpet ();
  test_interrupts ();
  test_others ();
  pci_write (0, 0, 0x91, 1, 0x11);
  set_cmos (RESET_FLAG, 0xa7);
  payload_keep ();
  outb (0xcf9, 0x02);
  outb (0xcf9, 0x06);
  delay_us (100000);
  check (false, "cf9 resets the machine");
  return payload_done ();
}
