/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "vmm/cpuid-private.h"

typedef struct kvm_cpuid_entry2 Entry;

/* A made-up processor with everything. vendor: EBX, EDX, ECX of leaf 0. */
static guint
make_host (Entry *out, gboolean amd)
{
  const Entry entries[] = {
    { .function = 0,
      .eax = 0x20,
      .ebx = amd ? 0x68747541 : 0x756e6547,
      .ecx = amd ? 0x444d4163 : 0x6c65746e,
      .edx = amd ? 0x69746e65 : 0x49656e69 },
    { .function = 1, .eax = 0x000906ea, .ebx = 0xff800800, .ecx = 0xfffaffff, .edx = 0xffffffff },
    { .function = 4, .index = 0, .flags = 1, .eax = 0x7c004121 },
    { .function = 4, .index = 1, .flags = 1, .eax = 0x7c004143 },
    { .function = 4, .index = 2, .flags = 1, .eax = 0x7c03c163 },
    { .function = 4, .index = 3, .flags = 1, .eax = 0 },
    { .function = 7, .index = 0, .flags = 1, .eax = 1, .ebx = ~0u, .ecx = ~0u, .edx = ~0u },
    { .function = 7, .index = 1, .flags = 1, .eax = ~0u },
    { .function = 0xb, .index = 0, .flags = 1, .eax = 9, .edx = 77 },
    { .function = 0xd, .index = 0, .flags = 1, .eax = 0x2e7, .ebx = 576, .ecx = 2696 },
    { .function = 0xd, .index = 1, .flags = 1, .eax = 0xf, .ecx = 0x1800 },
    { .function = 0xd, .index = 2, .flags = 1, .eax = 256, .ebx = 576 },
    { .function = 0xd, .index = 5, .flags = 1, .eax = 64, .ebx = 1088 },
    { .function = 0xd, .index = 9, .flags = 1, .eax = 8, .ebx = 2688 },
    { .function = 0xd, .index = 11, .flags = 1, .eax = 16 },
    { .function = 0x12, .index = 0, .flags = 1, .eax = 1 },
    { .function = 0x14, .index = 0, .flags = 1, .eax = 1 },
    { .function = 0x40000000,
      .eax = 0x40000001,
      .ebx = 0x4b4d564b,
      .ecx = 0x564b4d56,
      .edx = 0x4d },
    { .function = 0x40000001, .eax = 0x0103feff },
    { .function = 0x80000000, .eax = 0x80000021 },
    { .function = 0x80000001, .ecx = ~0u, .edx = ~0u },
    { .function = 0x80000002, .eax = 1 },
    { .function = 0x80000003, .eax = 2 },
    { .function = 0x80000004, .eax = 3 },
    { .function = 0x80000007, .edx = 0x100 },
    { .function = 0x80000008, .eax = 0x003a3030, .ebx = ~0u, .ecx = 0x7007 },
    { .function = 0x8000000a, .eax = 1 },
    { .function = 0x8000001d, .index = 0, .flags = 1, .eax = 0x4121 },
    { .function = 0x8000001d, .index = 1, .flags = 1, .eax = 0x4143 },
    { .function = 0x8000001d, .index = 2, .flags = 1, .eax = 0x1c163 },
    { .function = 0x8000001e, .eax = 99 },
    { .function = 0x8000001f, .eax = 1 },
    { .function = 0xc0000000, .eax = 1 },
  };

  memcpy (out, entries, sizeof entries);
  return G_N_ELEMENTS (entries);
}

static const Entry *
find (const Entry *entries, guint n, guint32 leaf, guint32 sub)
{
  for (guint i = 0; i < n; i++)
    if (entries[i].function == leaf && entries[i].index == sub)
      return &entries[i];
  return NULL;
}

static const Entry *
need (const Entry *entries, guint n, guint32 leaf, guint32 sub)
{
  const Entry *entry = find (entries, n, leaf, sub);

  if (entry == NULL)
    g_error ("leaf %x.%x is missing", leaf, sub);
  return entry;
}

static void
test_apic_ids (void)
{
  const VmmCpuidPolicy flat = { .sockets = 1, .cores = 6, .threads = 1 };
  const VmmCpuidPolicy odd = { .sockets = 2, .cores = 3, .threads = 2 };
  const guint want[] = { 0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13 };

  for (guint i = 0; i < 6; i++)
    g_assert_cmpuint (vmm_cpuid_apic_id (&flat, i), ==, i);
  for (guint i = 0; i < G_N_ELEMENTS (want); i++)
    g_assert_cmpuint (vmm_cpuid_apic_id (&odd, i), ==, want[i]);
}

static void
test_host (void)
{
  Entry host[64], out[VMM_CPUID_MAX_ENTRIES];
  guint n_host = make_host (host, FALSE), n;
  const VmmCpuidPolicy policy = {
    .level = VMM_CPU_HOST, .sockets = 2, .cores = 3, .threads = 2, .tsc_deadline = TRUE
  };
  const Entry *e;

  g_assert_true (vmm_cpuid_check (host, n_host, &policy, NULL));
  n = vmm_cpuid_build (host, n_host, &policy, 13, out);
  e = need (out, n, 1, 0);
  g_assert_cmphex (e->eax, ==, 0x000906ea);
  g_assert_cmphex (e->ebx, ==, 0x0d080800);   /* APIC id 13, 8 ids a package */
  g_assert_cmphex (e->ecx >> 31, ==, 1);      /* hypervisor */
  g_assert_cmphex (e->ecx & 1u << 5, ==, 0);  /* VMX */
  g_assert_cmphex (e->ecx & 1u << 27, ==, 0); /* OSXSAVE is KVM's */
  g_assert_cmphex (e->ecx >> 24 & 1, ==, 1);
  g_assert_cmphex (e->edx >> 28 & 1, ==, 1);
  e = need (out, n, 4, 0); /* L1: two threads */
  g_assert_cmphex (e->eax, ==, 0x0c004121);
  e = need (out, n, 4, 2); /* L3: the package */
  g_assert_cmphex (e->eax, ==, 0x0c01c163);
  e = need (out, n, 7, 0);
  g_assert_cmphex (e->ebx, ==, ~(1u << 2 | 1u << 25));
  e = need (out, n, 0xb, 0);
  g_assert_cmphex (e->eax, ==, 1);
  g_assert_cmphex (e->ebx, ==, 2);
  g_assert_cmphex (e->ecx, ==, 0x100);
  g_assert_cmphex (e->edx, ==, 13);
  e = need (out, n, 0xb, 1);
  g_assert_cmphex (e->eax, ==, 3);
  g_assert_cmphex (e->ebx, ==, 6);
  g_assert_cmphex (e->ecx, ==, 0x201);
  g_assert_cmphex (need (out, n, 0xb, 2)->ecx, ==, 2);
  g_assert_cmphex (need (out, n, 0x1f, 1)->edx, ==, 13);
  g_assert_cmphex (need (out, n, 0, 0)->eax, ==, 0x1f);
  g_assert_null (find (out, n, 0x12, 0));
  g_assert_null (find (out, n, 0x14, 0));
  g_assert_null (find (out, n, 0x8000000a, 0));
  g_assert_null (find (out, n, 0x8000001f, 0));
  g_assert_null (find (out, n, 0x8000001d, 0));
  g_assert_null (find (out, n, 0xc0000000, 0));
  g_assert_cmphex (need (out, n, 0x40000001, 0)->eax, ==, 0x0100feff);
  g_assert_cmphex (need (out, n, 0x80000001, 0)->ecx & (1u << 2 | 1u << 22), ==, 0);
  g_assert_cmphex (need (out, n, 0x80000007, 0)->edx, ==, 0);
  g_assert_cmphex (need (out, n, 0x80000008, 0)->eax, ==, 0x3030);
  g_assert_cmphex (need (out, n, 0xd, 9)->eax, ==, 8);
  /* a leaf once only */
  for (guint i = 0; i < n; i++)
    for (guint j = 0; j < i; j++)
      g_assert_false (out[i].function == out[j].function && out[i].index == out[j].index);
}

static void
test_switches (void)
{
  Entry host[64], out[VMM_CPUID_MAX_ENTRIES];
  guint n_host = make_host (host, TRUE), n;
  VmmCpuidPolicy policy = { .sockets = 1,
                            .cores = 1,
                            .threads = 1,
                            .nested = TRUE,
                            .hide_hypervisor = TRUE,
                            .invariant_tsc = TRUE,
                            .phys_bits = 40 };
  g_autoptr (GError) error = NULL;

  n = vmm_cpuid_build (host, n_host, &policy, 0, out);
  g_assert_null (find (out, n, 0x40000000, 0));
  g_assert_cmphex (need (out, n, 1, 0)->ecx >> 31, ==, 0);
  g_assert_cmphex (need (out, n, 1, 0)->ecx >> 24 & 1, ==, 0); /* no TSC deadline in KVM */
  g_assert_cmphex (need (out, n, 1, 0)->edx >> 28 & 1, ==, 0); /* one logical processor */
  g_assert_cmphex (need (out, n, 0x80000001, 0)->ecx >> 2 & 1, ==, 1);
  g_assert_nonnull (find (out, n, 0x8000000a, 0));
  g_assert_cmphex (need (out, n, 0x80000007, 0)->edx, ==, 0x100);
  g_assert_cmphex (need (out, n, 0x80000008, 0)->eax, ==, 0x3028);
  policy.phys_bits = 49;
  g_assert_false (vmm_cpuid_check (host, n_host, &policy, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE);
}

static void
test_amd (void)
{
  Entry host[64], out[VMM_CPUID_MAX_ENTRIES];
  guint n_host = make_host (host, TRUE), n;
  const VmmCpuidPolicy policy = { .sockets = 2, .cores = 4, .threads = 2 };
  const Entry *e;

  n = vmm_cpuid_build (host, n_host, &policy, 13, out); /* socket 1, core 2, thread 1 */
  e = need (out, n, 0x8000001e, 0);
  g_assert_cmphex (e->eax, ==, 13);
  g_assert_cmphex (e->ebx, ==, 0x102);
  g_assert_cmphex (e->ecx, ==, 1);
  g_assert_cmphex (need (out, n, 0x8000001d, 0)->eax, ==, 0x4121 | 1 << 14 >> 0);
  g_assert_cmphex (need (out, n, 0x8000001d, 2)->eax, ==, (0x1c163 & 0x3fff) | 7 << 14);
  g_assert_cmphex (need (out, n, 0x8000001d, 3)->eax, ==, 0);
  e = need (out, n, 0x80000008, 0);
  g_assert_cmphex (e->ecx, ==, 0x3007);
  g_assert_cmphex (need (out, n, 0x80000001, 0)->ecx >> 1 & 1, ==, 1);
  g_assert_null (find (out, n, 0x1f, 0));
  g_assert_cmphex (need (out, n, 0x80000000, 0)->eax, ==, 0x8000001e);
}

static void
test_levels (void)
{
  Entry host[64], out[VMM_CPUID_MAX_ENTRIES];
  guint n_host = make_host (host, FALSE), n;
  VmmCpuidPolicy policy = { .level = VMM_CPU_X86_64_V2, .sockets = 1, .cores = 2, .threads = 1 };
  g_autoptr (GError) error = NULL;
  const Entry *e;
  char brand[17] = { 0 };

  n = vmm_cpuid_build (host, n_host, &policy, 1, out);
  e = need (out, n, 1, 0);
  g_assert_cmphex (e->ecx & (1u << 28 | 1u << 26 | 1u << 12), ==, 0); /* AVX, XSAVE, FMA */
  g_assert_cmphex (e->ecx & (1u << 20 | 1u << 23), ==, 1u << 20 | 1u << 23);
  g_assert_null (find (out, n, 0xd, 0));
  g_assert_cmphex (need (out, n, 7, 0)->ebx, ==, 0);
  g_assert_cmphex (need (out, n, 7, 0)->eax, ==, 0);
  memcpy (brand, &need (out, n, 0x80000002, 0)->eax, 4);
  memcpy (brand + 4, &need (out, n, 0x80000002, 0)->ebx, 4);
  g_assert_cmpstr (brand, ==, "Alcove x");

  policy.level = VMM_CPU_X86_64_V3;
  n = vmm_cpuid_build (host, n_host, &policy, 1, out);
  g_assert_cmphex (need (out, n, 7, 0)->ebx & 1u << 5, ==, 1u << 5);
  g_assert_cmphex (need (out, n, 7, 0)->ebx & 1u << 16, ==, 0);
  g_assert_cmphex (need (out, n, 0xd, 0)->eax, ==, 7);
  g_assert_cmphex (need (out, n, 0xd, 1)->eax, ==, 1);
  g_assert_nonnull (find (out, n, 0xd, 2));
  g_assert_null (find (out, n, 0xd, 5));
  g_assert_null (find (out, n, 0xd, 11));

  policy.level = VMM_CPU_X86_64_V4;
  n = vmm_cpuid_build (host, n_host, &policy, 1, out);
  g_assert_cmphex (need (out, n, 7, 0)->ebx >> 16 & 1, ==, 1);
  g_assert_nonnull (find (out, n, 0xd, 5));
  g_assert_null (find (out, n, 0xd, 9));

  /* a host without AVX2 */
  g_assert_true (vmm_cpuid_check (host, n_host, &policy, NULL));
  for (guint i = 0; i < n_host; i++)
    if (host[i].function == 7 && host[i].index == 0)
      host[i].ebx &= ~(1u << 5);
  g_assert_false (vmm_cpuid_check (host, n_host, &policy, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE);
  g_assert_nonnull (strstr (error->message, "x86-64-v4"));
  policy.level = VMM_CPU_X86_64_V2;
  g_assert_true (vmm_cpuid_check (host, n_host, &policy, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmm/cpuid/apic-ids", test_apic_ids);
  g_test_add_func ("/vmm/cpuid/host", test_host);
  g_test_add_func ("/vmm/cpuid/switches", test_switches);
  g_test_add_func ("/vmm/cpuid/amd", test_amd);
  g_test_add_func ("/vmm/cpuid/levels", test_levels);
  return g_test_run ();
}
