/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/cpuid-private.h"

#include <string.h>

typedef struct kvm_cpuid_entry2 Entry;

enum
{
  EAX,
  EBX,
  ECX,
  EDX,
};

#define BIT(n) (1u << (n))

/* Leaf 1 */
#define F1_ECX_VMX            BIT (5)
#define F1_ECX_X2APIC         BIT (21)
#define F1_ECX_TSC_DEADLINE   BIT (24)
#define F1_ECX_OSXSAVE        BIT (27)
#define F1_ECX_HYPERVISOR     BIT (31)
#define F1_EDX_HTT            BIT (28)
/* Leaf 7.0: SGX, processor trace, SGX launch control */
#define F7_EBX_SGX            BIT (2)
#define F7_EBX_PT             BIT (25)
#define F7_ECX_SGX_LC         BIT (30)
/* Leaf 0x80000001 */
#define FX_ECX_CMP_LEGACY     BIT (1)
#define FX_ECX_SVM            BIT (2)
#define FX_ECX_TOPOEXT        BIT (22)
/* Leaf 0x80000007 */
#define FX7_EDX_INVARIANT_TSC BIT (8)

/* The words that levels restrict. required: the psABI's list for the level (x86-64 psABI 1.0, table
 * 3.1); extra: what every processor of that level has besides, or what mends speculation faults. */
typedef struct
{
  guint32 leaf, sub;
  guint reg;
  guint32 required[3], extra[3]; /* v2, v3, v4: each adds to the one before */
} LevelWord;

/* FPU TSC MSR CX8 CMOV MMX FXSR SSE SSE2 */
#define F1_EDX_BASE                                                                                \
  (BIT (0) | BIT (4) | BIT (5) | BIT (8) | BIT (15) | BIT (23) | BIT (24) | BIT (25) | BIT (26))
/* VME DE PSE PAE MCE APIC SEP MTRR PGE MCA PAT PSE36 CLFSH */
#define F1_EDX_SYSTEM                                                                              \
  (BIT (1) | BIT (2) | BIT (3) | BIT (6) | BIT (7) | BIT (9) | BIT (11) | BIT (12) | BIT (13) |    \
   BIT (14) | BIT (16) | BIT (17) | BIT (19))

static const LevelWord level_words[] = {
  /* SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT; FMA MOVBE XSAVE AVX F16C; PCLMUL AES RDRAND x2APIC
   * TSC-deadline hypervisor */
  { 1,
    0,
    ECX,
    { BIT (0) | BIT (9) | BIT (13) | BIT (19) | BIT (20) | BIT (23),
      BIT (12) | BIT (22) | BIT (26) | BIT (28) | BIT (29), 0 },
    { BIT (21) | BIT (24) | BIT (31), BIT (1) | BIT (25) | BIT (30), 0 } },
  { 1, 0, EDX, { F1_EDX_BASE, 0, 0 }, { F1_EDX_SYSTEM, 0, 0 } },
  /* BMI1 AVX2 BMI2; AVX512F DQ CD BW VL; FSGSBASE SMEP ERMS, RDSEED ADX SMAP CLFLUSHOPT */
  { 7,
    0,
    EBX,
    { 0, BIT (3) | BIT (5) | BIT (8), BIT (16) | BIT (17) | BIT (28) | BIT (30) | BIT (31) },
    { 0, BIT (0) | BIT (7) | BIT (9), BIT (18) | BIT (19) | BIT (20) | BIT (23) } },
  { 7, 0, ECX, { 0, 0, 0 }, { 0, 0, 0 } },
  /* MD_CLEAR SPEC_CTRL STIBP ARCH_CAPABILITIES SSBD */
  { 7, 0, EDX, { 0, 0, 0 }, { BIT (10) | BIT (26) | BIT (27) | BIT (29) | BIT (31), 0, 0 } },
  /* LAHF, then LZCNT; CR8 and topology extensions of AMD */
  { 0x80000001,
    0,
    ECX,
    { BIT (0), BIT (5), 0 },
    { FX_ECX_CMP_LEGACY | BIT (4) | FX_ECX_TOPOEXT, 0, 0 } },
  /* SYSCALL NX LM; the copies of leaf 1 that AMD keeps, RDTSCP */
  { 0x80000001,
    0,
    EDX,
    { BIT (11) | BIT (20) | BIT (29), 0, 0 },
    { 0x0183f3ff | BIT (27), BIT (26), 0 } },
  { 0x80000007, 0, EDX, { 0, 0, 0 }, { FX7_EDX_INVARIANT_TSC, 0, 0 } },
  /* AMD's speculation controls: IBPB IBRS STIBP SSBD VIRT_SSBD */
  { 0x80000008,
    0,
    EBX,
    { 0, 0, 0 },
    { BIT (12) | BIT (14) | BIT (15) | BIT (24) | BIT (25), 0, 0 } },
  /* XSAVEOPT; XSAVEC XGETBV1 */
  { 0xd, 1, EAX, { 0, 0, 0 }, { 0, BIT (0), BIT (1) | BIT (2) } },
};

/* XCR0 components of a level: x87 and SSE, AVX, then AVX-512 (SDM volume 1, 13.1) */
static const guint64 level_xcr0[] = { 0x3, 0x7, 0xe7 };

static guint
bits_for (guint n)
{
  guint bits = 0;

  while ((1u << bits) < n)
    bits++;
  return bits;
}

guint
vmm_cpuid_apic_id (const VmmCpuidPolicy *policy, guint index)
{
  guint thread = index % policy->threads;
  guint core = index / policy->threads % policy->cores;
  guint socket = index / (policy->threads * policy->cores);
  guint thread_bits = bits_for (policy->threads);

  return (socket << (thread_bits + bits_for (policy->cores))) | (core << thread_bits) | thread;
}

static guint32 *
get_reg (Entry *entry, guint reg)
{
  switch (reg)
    {
    case EAX:
      return &entry->eax;
    case EBX:
      return &entry->ebx;
    case ECX:
      return &entry->ecx;
    default:
      return &entry->edx;
    }
}

static const Entry *
find (const Entry *entries, guint n, guint32 leaf, guint32 sub)
{
  for (guint i = 0; i < n; i++)
    if (entries[i].function == leaf && entries[i].index == sub)
      return &entries[i];
  return NULL;
}

static guint32
read_reg (const Entry *entries, guint n, guint32 leaf, guint32 sub, guint reg)
{
  const Entry *entry = find (entries, n, leaf, sub);
  Entry copy;

  if (entry == NULL)
    return 0;
  copy = *entry;
  return *get_reg (&copy, reg);
}

/* v2 is 0, v3 is 1, v4 is 2; host -1 */
static int
level_index (VmmCpuLevel level)
{
  switch (level)
    {
    case VMM_CPU_X86_64_V2:
      return 0;
    case VMM_CPU_X86_64_V3:
      return 1;
    case VMM_CPU_X86_64_V4:
      return 2;
    case VMM_CPU_HOST:
      break;
    }
  return -1;
}

gboolean
vmm_cpuid_check (const Entry *supported,
                 guint n_supported,
                 const VmmCpuidPolicy *policy,
                 GError **error)
{
  static const char *const reg_names[] = { "EAX", "EBX", "ECX", "EDX" };
  int level = level_index (policy->level);
  guint host_bits = read_reg (supported, n_supported, 0x80000008, 0, EAX) & 0xff;
  g_autoptr (GString) missing = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (level_words); i++)
    {
      const LevelWord *word = &level_words[i];
      guint32 have = read_reg (supported, n_supported, word->leaf, word->sub, word->reg);

      for (int l = 0; l <= level; l++)
        if ((word->required[l] & ~have) != 0)
          g_string_append_printf (missing, "%sCPUID %X.%s bits %08x", missing->len > 0 ? ", " : "",
                                  word->leaf, reg_names[word->reg], word->required[l] & ~have);
    }
  if (missing->len > 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                   "This computer's processor does not have all of x86-64-v%d (%s). Choose a lower "
                   "CPU level for the machine.",
                   level + 2, missing->str);
      return FALSE;
    }
  if (policy->phys_bits != 0 && (policy->phys_bits < 32 || policy->phys_bits > host_bits))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                   "The machine asks for %u physical address bits, this computer has %u",
                   policy->phys_bits, host_bits);
      return FALSE;
    }
  return TRUE;
}

/* Leaves of the host's that we build ourselves or never show. */
static gboolean
is_dropped (const VmmCpuidPolicy *policy, const Entry *entry)
{
  switch (entry->function)
    {
    case 0xb: /* topology: built */
    case 0x1f:
    case 0x8000001d:
    case 0x8000001e:
    case 0x12:       /* SGX */
    case 0x14:       /* processor trace */
    case 0x8000001f: /* memory encryption */
      return TRUE;
    case 0x8000000a: /* SVM */
      return !policy->nested;
    case 0x2: /* the host's cache descriptors and power management say nothing about a guest of a */
    case 0x5: /* named level */
    case 0xa: /* performance counters */
    case 0x1d:
    case 0x1e:
    case 0x80000022:
      return policy->level != VMM_CPU_HOST;
    case 0xd:
      return policy->level == VMM_CPU_X86_64_V2;
    default:
      break;
    }
  if (entry->function >= 0x40000000 && entry->function < 0x50000000)
    return policy->hide_hypervisor || entry->function > 0x40000001;
  return entry->function >= 0xc0000000;
}

/* KVM asks for this in the signature leaf: the highest paravirtual leaf. */
static void
apply_paravirt (Entry *entry)
{
  if (entry->function == 0x40000000)
    entry->eax = 0x40000001;
  else if (entry->function == 0x40000001)
    /* HC_MAP_GPA_RANGE and MIGRATION_CONTROL need work of user space that we do not do. */
    entry->eax &= ~(BIT (16) | BIT (17));
}

static void
apply_level (Entry *entry, int level)
{
  if (level < 0)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (level_words); i++)
    {
      const LevelWord *word = &level_words[i];
      guint32 mask = 0;

      if (word->leaf != entry->function || word->sub != entry->index)
        continue;
      for (int l = 0; l <= level; l++)
        mask |= word->required[l] | word->extra[l];
      *get_reg (entry, word->reg) &= mask;
    }
  if (entry->function == 7 && entry->index == 0)
    entry->eax = 0; /* no further subleaves */
}

/* XSAVE areas (SDM volume 1, 13.2): only the components of the level. FALSE drops the subleaf. */
static gboolean
apply_xsave (Entry *entry, int level)
{
  if (entry->function != 0xd || level < 0)
    return TRUE;
  if (entry->index == 0)
    {
      entry->eax &= (guint32)level_xcr0[level];
      entry->edx = 0;
    }
  else if (entry->index == 1)
    entry->ecx = entry->edx = 0; /* no supervisor components */
  else
    return entry->index < 32 && (level_xcr0[level] >> entry->index & 1) != 0;
  return TRUE;
}

/* Family, model and stepping that stand for a level: Westmere, Haswell, Skylake-SP, and K10, Zen 1,
 * Zen 4 of AMD. */
static guint32
level_signature (int level, gboolean amd)
{
  static const guint32 intel[] = { 0x000206c1, 0x000306c3, 0x00050654 };
  static const guint32 amds[] = { 0x00100f43, 0x00800f12, 0x00a10f11 };

  return amd ? amds[level] : intel[level];
}

static void
apply_leaf1 (Entry *entry, const VmmCpuidPolicy *policy, guint apic_id, gboolean amd)
{
  guint n_logical = policy->cores * policy->threads;
  int level = level_index (policy->level);

  if (level >= 0)
    entry->eax = level_signature (level, amd);
  /* Bits 23-16: logical processors a package, as a power of two (SDM, leaf 1) */
  entry->ebx &= 0x0000ffff;
  entry->ebx |= (apic_id & 0xff) << 24 | MIN (1u << bits_for (n_logical), 255) << 16;
  if (n_logical > 1)
    entry->edx |= F1_EDX_HTT;
  else
    entry->edx &= ~F1_EDX_HTT;
  if (!policy->nested)
    entry->ecx &= ~F1_ECX_VMX;
  entry->ecx &= ~(F1_ECX_OSXSAVE | F1_ECX_HYPERVISOR | F1_ECX_TSC_DEADLINE); /* OSXSAVE: KVM's */
  entry->ecx |= F1_ECX_X2APIC; /* KVM emulates it on any host */
  /* The supported list never has it: it depends on the in-kernel APIC. */
  if (policy->tsc_deadline)
    entry->ecx |= F1_ECX_TSC_DEADLINE;
  if (!policy->hide_hypervisor)
    entry->ecx |= F1_ECX_HYPERVISOR;
}

/* Leaf 4: L1 and L2 belong to a core, what is above to a package. */
static void
apply_leaf4 (Entry *entry, const VmmCpuidPolicy *policy)
{
  guint cache_level = entry->eax >> 5 & 7;
  guint n_logical = policy->cores * policy->threads;
  guint sharing = cache_level <= 2 ? policy->threads : n_logical;

  if ((entry->eax & 0x1f) == 0)
    return;
  entry->eax &= 0x00003fff;
  entry->eax |= ((1u << bits_for (sharing)) - 1) << 14;
  entry->eax |= MIN ((1u << bits_for (policy->cores)) - 1, 63) << 26;
}

static void
apply_extended (Entry *entry, const VmmCpuidPolicy *policy, gboolean amd)
{
  guint n_logical = policy->cores * policy->threads;

  switch (entry->function)
    {
    case 0x80000001:
      if (!policy->nested)
        entry->ecx &= ~FX_ECX_SVM;
      if (!amd)
        entry->ecx &= ~(FX_ECX_TOPOEXT | FX_ECX_CMP_LEGACY);
      else if (n_logical > 1)
        entry->ecx |= FX_ECX_CMP_LEGACY;
      else
        entry->ecx &= ~FX_ECX_CMP_LEGACY;
      break;
    case 0x80000007:
      if (!policy->invariant_tsc)
        entry->edx &= ~FX7_EDX_INVARIANT_TSC;
      break;
    case 0x80000008:
      if (policy->phys_bits != 0)
        entry->eax = (entry->eax & ~0xffu) | policy->phys_bits;
      entry->eax &= 0xffff; /* bits 23-16: the guest's own width, 0 for the same */
      entry->ecx = 0;
      if (amd && n_logical > 1)
        entry->ecx = (MIN (n_logical, 256) - 1) | bits_for (n_logical) << 12;
      break;
    default:
      break;
    }
}

static void
apply_brand (Entry *entry, int level)
{
  static const char *const names[] = { "Alcove x86-64-v2", "Alcove x86-64-v3", "Alcove x86-64-v4" };
  char text[48] = { 0 };

  if (level < 0 || entry->function < 0x80000002 || entry->function > 0x80000004)
    return;
  g_strlcpy (text, names[level], sizeof text);
  memcpy (&entry->eax, text + (entry->function - 0x80000002) * 16, 4);
  memcpy (&entry->ebx, text + (entry->function - 0x80000002) * 16 + 4, 4);
  memcpy (&entry->ecx, text + (entry->function - 0x80000002) * 16 + 8, 4);
  memcpy (&entry->edx, text + (entry->function - 0x80000002) * 16 + 12, 4);
}

static void
add (Entry *out, guint *n, guint32 leaf, guint32 sub, guint32 a, guint32 b, guint32 c, guint32 d)
{
  if (*n == VMM_CPUID_MAX_ENTRIES)
    return;
  out[(*n)++] = (Entry){ .function = leaf,
                         .index = sub,
                         .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                         .eax = a,
                         .ebx = b,
                         .ecx = c,
                         .edx = d };
}

/* Leaves 0xB and 0x1F: threads, then cores, then the end (SDM volume 2A, CPUID) */
static void
add_topology (Entry *out, guint *n, guint32 leaf, const VmmCpuidPolicy *policy, guint apic_id)
{
  guint thread_bits = bits_for (policy->threads);
  guint core_bits = thread_bits + bits_for (policy->cores);

  add (out, n, leaf, 0, thread_bits, policy->threads, 0 | 1 << 8, apic_id);
  add (out, n, leaf, 1, core_bits, policy->cores * policy->threads, 1 | 2 << 8, apic_id);
  add (out, n, leaf, 2, 0, 0, 2, apic_id);
}

/* AMD's cache and core topology (APM volume 3, E.4.15 and E.4.16) */
static void
add_amd_topology (Entry *out,
                  guint *n,
                  const Entry *supported,
                  guint n_supported,
                  const VmmCpuidPolicy *policy,
                  guint apic_id)
{
  guint core = apic_id >> bits_for (policy->threads) & ((1u << bits_for (policy->cores)) - 1);
  guint n_logical = policy->cores * policy->threads;
  guint32 sub = 0;

  for (guint i = 0; i < n_supported; i++)
    {
      Entry cache = supported[i];
      guint sharing;

      if (cache.function != 0x8000001d || (cache.eax & 0x1f) == 0)
        continue;
      sharing = (cache.eax >> 5 & 7) <= 2 ? policy->threads : n_logical;
      cache.eax = (cache.eax & 0x3fff) | (MIN (sharing, 4096) - 1) << 14;
      add (out, n, 0x8000001d, sub++, cache.eax, cache.ebx, cache.ecx, cache.edx);
    }
  add (out, n, 0x8000001d, sub, 0, 0, 0, 0);
  add (out, n, 0x8000001e, 0, apic_id, (core & 0xff) | (policy->threads - 1) << 8,
       MIN (apic_id >> (bits_for (policy->threads) + bits_for (policy->cores)), 255), 0);
  out[*n - 1].flags = 0;
}

static void
set_limits (Entry *out, guint n)
{
  guint32 max_basic = 0, max_extended = 0x80000000;

  for (guint i = 0; i < n; i++)
    if (out[i].function < 0x40000000)
      max_basic = MAX (max_basic, out[i].function);
    else if (out[i].function >= 0x80000000)
      max_extended = MAX (max_extended, out[i].function);
  for (guint i = 0; i < n; i++)
    if (out[i].function == 0)
      out[i].eax = max_basic;
    else if (out[i].function == 0x80000000)
      out[i].eax = max_extended;
}

guint
vmm_cpuid_build (const Entry *supported,
                 guint n_supported,
                 const VmmCpuidPolicy *policy,
                 guint apic_id,
                 Entry *out)
{
  const Entry *zero = find (supported, n_supported, 0, 0);
  /* "Auth", "Hygo": EBX of the vendor's name */
  gboolean amd = zero != NULL && (zero->ebx == 0x68747541 || zero->ebx == 0x6f677948);
  int level = level_index (policy->level);
  guint n = 0;

  for (guint i = 0; i < n_supported && n < VMM_CPUID_MAX_ENTRIES - 16; i++)
    {
      Entry entry = supported[i];

      if (is_dropped (policy, &entry))
        continue;
      apply_paravirt (&entry);
      apply_level (&entry, level);
      if (!apply_xsave (&entry, level))
        continue;
      if (entry.function == 1)
        apply_leaf1 (&entry, policy, apic_id, amd);
      else if (entry.function == 4)
        apply_leaf4 (&entry, policy);
      else if (entry.function == 7 && entry.index == 0)
        {
          entry.ebx &= ~(F7_EBX_SGX | F7_EBX_PT);
          entry.ecx &= ~F7_ECX_SGX_LC;
        }
      apply_extended (&entry, policy, amd);
      apply_brand (&entry, level);
      out[n++] = entry;
    }
  add_topology (out, &n, 0xb, policy, apic_id);
  if (zero != NULL && zero->eax >= 0x1f && !amd && level < 0)
    add_topology (out, &n, 0x1f, policy, apic_id);
  if (amd)
    add_amd_topology (out, &n, supported, n_supported, policy, apic_id);
  set_limits (out, n);
  return n;
}
