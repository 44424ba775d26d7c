/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AHCI registers (AHCI 1.3.1, chapter 3).
 *
 *   offset  width  access  register                      after reset
 *   00h     32     RO      CAP                           S64A SNCQ SSNTF SCLO SAM PMD, 6 Gb/s, 32
 *                                                        slots, 6 ports
 *   04h     32     RW      GHC (HR, IE)                  80000000h: AE
 *   08h     32     W1C     IS                            0
 *   0Ch     32     RO      PI                            3Fh
 *   10h     32     RO      VS                            00010301h
 *   14h..2Bh       RO      CCC, EM, CAP2, BOHC           0: not offered
 *   100h + 80h * port:
 *   00h     64     RW      PxCLB, bits 63:10             0
 *   08h     64     RW      PxFB, bits 63:8               0
 *   10h     32     W1C     PxIS (PCS, PRCS: from PxSERR) 0
 *   14h     32     RW      PxIE                          0
 *   18h     32     mixed   PxCMD                         6: SUD POD
 *   20h     32     RO      PxTFD                         7Fh; with a drive what it reports
 *   24h     32     RO      PxSIG                         FFFFFFFFh
 *   28h     32     RO      PxSSTS                        by drive and PxSCTL
 *   2Ch     32     RW      PxSCTL, bits 11:0             0
 *   30h     32     W1C     PxSERR                        0
 *   34h     32     W1S     PxSACT                        0
 *   38h     32     W1S     PxCI                          0
 *   3Ch     32     W1C     PxSNTF, bits 15:0             0
 *   40h..7Fh       RO      FBS, DEVSLP, vendor           0: not offered
 *
 * Accesses of 1, 2 and 4 bytes, aligned; 8 bytes are two of 4. */
#include "devices/storage/ahci-private.h"

#define CAP_S64A  (1u << 31)
#define CAP_SNCQ  (1u << 30)
#define CAP_SSNTF (1u << 29)
#define CAP_SCLO  (1u << 24)
#define CAP_ISS_3 (3u << 20)
#define CAP_SAM   (1u << 18)
#define CAP_PMD   (1u << 15)
#define CAP_VALUE                                                                                  \
  (CAP_S64A | CAP_SNCQ | CAP_SSNTF | CAP_SCLO | CAP_ISS_3 | CAP_SAM | CAP_PMD |                    \
   (AHCI_N_SLOTS - 1) << 8 | (AHCI_N_PORTS - 1))

enum
{
  REG_CAP = 0x00,
  REG_GHC = 0x04,
  REG_IS = 0x08,
  REG_PI = 0x0c,
  REG_VS = 0x10,
  REG_GENERIC_END = 0x2c,
  REG_PORTS = 0x100,

  PORT_CLB = 0x00,
  PORT_CLBU = 0x04,
  PORT_FB = 0x08,
  PORT_FBU = 0x0c,
  PORT_IS = 0x10,
  PORT_IE = 0x14,
  PORT_CMD = 0x18,
  PORT_TFD = 0x20,
  PORT_SIG = 0x24,
  PORT_SSTS = 0x28,
  PORT_SCTL = 0x2c,
  PORT_SERR = 0x30,
  PORT_SACT = 0x34,
  PORT_CI = 0x38,
  PORT_SNTF = 0x3c,
  PORT_END = 0x80,

  IDP_INDEX = 0x10,
  IDP_DATA = 0x14,
};

/* ---- reading ---- */

static guint32
read_port (AhciPort *port, guint offset)
{
  switch (offset)
    {
    case PORT_CLB:
      return (guint32)port->guest.clb;
    case PORT_CLBU:
      return port->guest.clb >> 32;
    case PORT_FB:
      return (guint32)port->guest.fb;
    case PORT_FBU:
      return port->guest.fb >> 32;
    case PORT_IS:
      return ahci_port_get_is (port);
    case PORT_IE:
      return port->guest.ie;
    case PORT_CMD:
      return port->guest.cmd;
    case PORT_TFD:
      return port->guest.tfd;
    case PORT_SIG:
      return port->guest.sig;
    case PORT_SSTS:
      return ahci_port_get_ssts (port);
    case PORT_SCTL:
      return port->guest.sctl;
    case PORT_SERR:
      return port->guest.serr;
    case PORT_SACT:
      return port->guest.sact;
    case PORT_CI:
      return port->guest.ci;
    case PORT_SNTF:
      return port->guest.sntf;
    default:
      return 0;
    }
}

/* offset: multiple of 4. Returns FALSE where nothing is. */
static gboolean
read_register (Ahci *ahci, guint offset, guint32 *value)
{
  *value = 0;
  switch (offset)
    {
    case REG_CAP:
      *value = CAP_VALUE;
      return TRUE;
    case REG_GHC:
      *value = ahci->guest.ghc;
      return TRUE;
    case REG_IS:
      *value = ahci->guest.is;
      return TRUE;
    case REG_PI:
      *value = (1u << AHCI_N_PORTS) - 1;
      return TRUE;
    case REG_VS:
      *value = 0x00010301;
      return TRUE;
    default:
      break;
    }
  if (offset < REG_PORTS)
    return offset < REG_GENERIC_END;
  if (offset >= REG_PORTS + AHCI_N_PORTS * PORT_END)
    return FALSE;
  *value = read_port (&ahci->ports[(offset - REG_PORTS) / PORT_END], offset % PORT_END);
  return TRUE;
}

/* ---- writing ---- */

void
ahci_reset_registers (Ahci *ahci)
{
  /* 10.4.3: all but PxCLB and PxFB. */
  ahci->guest.ghc = AHCI_GHC_AE;
  ahci->guest.is = 0;
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    ahci_port_reset (&ahci->ports[i]);
  for (guint i = 0; i < AHCI_N_PORTS; i++)
    if (ahci->ports[i].draining)
      ahci->guest.ghc |= AHCI_GHC_HR;
}

static void
write_ghc (Ahci *ahci, guint32 value)
{
  if (value & AHCI_GHC_HR)
    {
      ahci->n_resets++;
      ahci_reset_registers (ahci);
      return;
    }
  /* AE is RO with CAP.SAM. */
  ahci->guest.ghc = (ahci->guest.ghc & ~AHCI_GHC_IE) | (value & AHCI_GHC_IE);
}

static void
write_cmd (AhciPort *port, guint32 value)
{
  guint32 *cmd = &port->guest.cmd;
  guint32 changed = *cmd ^ value;
  guint32 plain = AHCI_CMD_ATAPI | AHCI_CMD_DLAE;

  *cmd = (*cmd & ~plain) | (value & plain);
  /* 3.3.7: CLO has an effect with ST clear only. */
  if ((value & AHCI_CMD_CLO) && !(*cmd & AHCI_CMD_ST))
    port->guest.tfd &= ~(guint32)(ATA_BSY | ATA_DRQ);
  if (changed & AHCI_CMD_FRE)
    {
      *cmd ^= AHCI_CMD_FRE;
      *cmd &= ~AHCI_CMD_FR;
      if (*cmd & AHCI_CMD_FRE)
        {
          *cmd |= AHCI_CMD_FR;
          ahci_port_post_held_fis (port);
        }
    }
  if (!(changed & AHCI_CMD_ST))
    return;
  *cmd ^= AHCI_CMD_ST;
  *cmd &= ~(0x1fu << AHCI_CMD_CCS_SHIFT);
  port->guest.halted = FALSE;
  port->next_slot = 0;
  if (*cmd & AHCI_CMD_ST)
    {
      *cmd |= AHCI_CMD_CR;
      return;
    }
  /* 3.3.7 and 10.3.2: PxCI and PxSACT are cleared; CR goes when nothing is under way. */
  port->guest.ci = port->guest.sact = 0;
  ahci_port_abort (port);
  if (!port->draining)
    *cmd &= ~AHCI_CMD_CR;
}

static void
write_sctl (AhciPort *port, guint32 value)
{
  guint before = port->guest.sctl & 0xf, now = value & 0xf;

  port->guest.sctl = value & 0xfff;
  /* 3.3.11: 1 is COMRESET for as long as it stands there, 4 takes the Phy off line. */
  if ((now == 1 || now == 4) && now != before)
    {
      port->ahci->n_resets++;
      ahci_port_link_down (port);
    }
  else if (now != 1 && now != 4 && (before == 1 || before == 4))
    ahci_port_link_up (port);
}

/* mask: the bits that the access covers. */
static void
write_port (AhciPort *port, guint offset, guint32 value, guint32 mask)
{
  guint64 low = value & mask, low_mask = mask;

  switch (offset)
    {
    case PORT_CLB:
      port->guest.clb = ((port->guest.clb & ~low_mask) | low) & ~G_GUINT64_CONSTANT (0x3ff);
      break;
    case PORT_CLBU:
      port->guest.clb = (port->guest.clb & ~(low_mask << 32)) | low << 32;
      break;
    case PORT_FB:
      port->guest.fb = ((port->guest.fb & ~low_mask) | low) & ~G_GUINT64_CONSTANT (0xff);
      break;
    case PORT_FBU:
      port->guest.fb = (port->guest.fb & ~(low_mask << 32)) | low << 32;
      break;
    case PORT_IS:
      port->guest.is &= ~(value & mask);
      break;
    case PORT_IE:
      port->guest.ie = ((port->guest.ie & ~mask) | (value & mask)) & AHCI_IS_ALL;
      break;
    case PORT_CMD:
      write_cmd (port, (port->guest.cmd & ~mask) | (value & mask));
      break;
    case PORT_SCTL:
      write_sctl (port, (port->guest.sctl & ~mask) | (value & mask));
      break;
    case PORT_SERR:
      port->guest.serr &= ~(value & mask);
      break;
    case PORT_SACT:
      /* 3.3.13 and 3.3.14: taken while ST is set. */
      if (port->guest.cmd & AHCI_CMD_ST)
        port->guest.sact |= value & mask;
      break;
    case PORT_CI:
      if (port->guest.cmd & AHCI_CMD_ST)
        port->guest.ci |= value & mask;
      break;
    case PORT_SNTF:
      port->guest.sntf &= ~(value & mask);
      break;
    default: /* read-only */
      break;
    }
  ahci_port_kick (port);
}

static gboolean
write_register (Ahci *ahci, guint offset, guint32 value, guint32 mask)
{
  guint32 old;
  gboolean again = FALSE;

  if (offset == REG_GHC)
    {
      again = (value & mask & ~ahci->guest.ghc & AHCI_GHC_IE) != 0;
      write_ghc (ahci, (ahci->guest.ghc & ~mask) | (value & mask));
    }
  else if (offset == REG_IS)
    {
      ahci->guest.is &= ~(value & mask);
      again = TRUE;
    }
  else if (offset < REG_PORTS || offset >= REG_PORTS + AHCI_N_PORTS * PORT_END)
    return read_register (ahci, offset, &old);
  else
    write_port (&ahci->ports[(offset - REG_PORTS) / PORT_END], offset % PORT_END, value, mask);
  ahci_update_interrupt (ahci, again);
  return TRUE;
}

/* ---- the two ways in ---- */

static VmmIoResult
abar_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  guint32 whole;
  gboolean known = read_register (opaque, (guint)offset & ~3u, &whole);

  *value = whole >> (8 * (offset & 3));
  if (size < 4)
    *value &= (1u << (8 * size)) - 1;
  return known ? VMM_IO_OK : VMM_IO_UNKNOWN;
}

static VmmIoResult
abar_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  guint shift = 8 * (offset & 3);
  guint32 mask = size == 4 ? G_MAXUINT32 : ((1u << (8 * size)) - 1) << shift;

  return write_register (opaque, (guint)offset & ~3u, (guint32)value << shift, mask)
             ? VMM_IO_OK
             : VMM_IO_UNKNOWN;
}

const VmmRegionOps ahci_abar_ops = {
  .name = "ahci",
  .min_size = 1,
  .max_size = 4,
  .flags = VMM_REGION_SPLIT,
  .read = abar_read,
  .write = abar_write,
};

/* AHCI 1.3.1, 2.3.2: an index and data pair; dword accesses. */
static VmmIoResult
idp_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  Ahci *ahci = opaque;
  guint32 whole;

  if (offset == IDP_INDEX)
    *value = ahci->guest.idp_index;
  else if (offset == IDP_DATA)
    {
      (void)read_register (ahci, ahci->guest.idp_index, &whole);
      *value = whole;
    }
  else
    return VMM_IO_UNKNOWN;
  return VMM_IO_OK;
}

static VmmIoResult
idp_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Ahci *ahci = opaque;

  if (offset == IDP_INDEX)
    ahci->guest.idp_index = (guint32)value & (AHCI_ABAR_LEN - 4);
  else if (offset == IDP_DATA)
    (void)write_register (ahci, ahci->guest.idp_index, (guint32)value, G_MAXUINT32);
  else
    return VMM_IO_UNKNOWN;
  return VMM_IO_OK;
}

const VmmRegionOps ahci_idp_ops = {
  .name = "ahci-idp",
  .min_size = 4,
  .max_size = 4,
  .flags = VMM_REGION_WIDEN,
  .read = idp_read,
  .write = idp_write,
};
