/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The least a port read can cost on this host: a machine of one page, and a loop that does nothing
 * but KVM_RUN. Prints "FLOOR cycles". */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <x86intrin.h>

#define MEMORY   (1 << 20)
#define CODE     0x1000
#define ROUNDS   200
#define ACCESSES 50

static struct
{
  struct kvm_cpuid2 head;
  struct kvm_cpuid_entry2 entries[100];
} cpuid;

/* A vCPU in flat 32-bit mode at in %dx, %eax; jmp back. */
static int
make_vcpu (int kvm, int vm, struct kvm_run **ret_run)
{
  static const uint8_t code[] = { 0xed, 0xeb, 0xfd };
  struct kvm_segment flat = {
    .limit = ~0u, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1
  };
  struct kvm_regs regs = { .rip = CODE, .rdx = 0x1234, .rflags = 2 };
  struct kvm_userspace_memory_region slot = { .memory_size = MEMORY };
  int size = ioctl (kvm, KVM_GET_VCPU_MMAP_SIZE, 0), vcpu;
  struct kvm_sregs sregs;
  uint8_t *memory;

  memory = mmap (NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return -1;
  memcpy (memory + CODE, code, sizeof code);
  slot.userspace_addr = (uintptr_t)memory;
  vcpu = ioctl (vm, KVM_CREATE_VCPU, 0);
  *ret_run = mmap (NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  cpuid.head.nent = 100;
  if (ioctl (vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0 || *ret_run == MAP_FAILED ||
      ioctl (kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0 ||
      ioctl (vcpu, KVM_SET_CPUID2, &cpuid) < 0 || ioctl (vcpu, KVM_GET_SREGS, &sregs) < 0)
    return -1;
  sregs.cr0 |= 1;
  sregs.cs = flat;
  flat.type = 3;
  flat.selector = 16;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
  if (ioctl (vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl (vcpu, KVM_SET_REGS, &regs) < 0)
    return -1;
  return vcpu;
}

int
main (void)
{
  int kvm = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
  int vm = ioctl (kvm, KVM_CREATE_VM, 0), vcpu;
  uint64_t least = UINT64_MAX;
  struct kvm_run *run;

  ioctl (vm, KVM_SET_TSS_ADDR, 0xfffbd000);
  if (ioctl (vm, KVM_CREATE_IRQCHIP, 0) < 0 || (vcpu = make_vcpu (kvm, vm, &run)) < 0)
    {
      perror ("KVM");
      return 1;
    }
  for (int r = 0; r < ROUNDS; r++)
    {
      uint64_t begin = __rdtsc (), cycles;

      for (int i = 0; i < ACCESSES; i++)
        {
          if (ioctl (vcpu, KVM_RUN, 0) < 0 || run->exit_reason != KVM_EXIT_IO)
            {
              fprintf (stderr, "floor: exit reason %u\n", run->exit_reason);
              return 1;
            }
          memset ((uint8_t *)run + run->io.data_offset, 0xff, 4);
        }
      cycles = (__rdtsc () - begin) / ACCESSES;
      if (cycles < least)
        least = cycles;
    }
  printf ("FLOOR %llu\n", (unsigned long long)least);
  return 0;
}
