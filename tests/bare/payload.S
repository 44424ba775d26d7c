/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guest of the bare tests: flat 32-bit protected mode, loaded and entered at 0x10000, the test
 * number in EBX. Port 0xf4 ends it. A counter lives at 0x9000, boots are counted at 0x9004. */
        .code32
        .text
        .globl _start
_start:
        lgdt    gdt_pointer
        ljmp    $0x10, $1f
1:      mov     $0x18, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $0x20000, %esp
        incl    0x9004
        cmp     $11, %ebx
        ja      fail
        jmp     *table(,%ebx,4)

table:  .long   hello, mmio, smp, spin, triple, msi, doorbell, slot, reboot, msr, strings, aps

fail:   mov     $0xee, %al
leave:  out     %al, $0xf4
2:      hlt
        jmp     2b

/* 0: text on the console */
hello:  mov     $message, %esi
        mov     $0x3f8, %edx
1:      lodsb
        test    %al, %al
        jz      2f
        out     %al, %dx
        jmp     1b
2:      mov     $0x10, %al
        jmp     leave
message:
        .asciz  "hello from the guest\n"

/* 1: an echo device at 0xd0000000 gives back the complement of what was written */
mmio:   mov     $0xd0000000, %edi
        movl    $0x12345678, (%edi)
        cmpl    $0xedcba987, (%edi)
        jne     fail
        movb    $0x5a, 1(%edi)
        cmpb    $0xa5, 1(%edi)
        jne     fail
        movw    $0x1234, 2(%edi)
        cmpw    $0xedcb, 2(%edi)
        jne     fail
        /* nothing there: all ones */
        cmpl    $-1, 0xd0001000
        jne     fail
        mov     $0x11, %al
        jmp     leave

/* 2: INIT, SIPI to all others; each adds to the counter; wait for as many as 0x9008 says */
start_aps:
        mov     $trampoline, %esi
        mov     $0x8000, %edi
        mov     $(trampoline_end - trampoline), %ecx
        rep movsb
        orl     $0x100, 0xfee000f0
        movl    $0x000c4500, 0xfee00300
        mov     $100, %ecx
1:      in      $0x80, %al
        loop    1b
        movl    $0x000c4608, 0xfee00300
        ret
smp:    movl    $0, 0x9000
        call    start_aps
1:      pause
        mov     0x9008, %eax
        cmp     %eax, 0x9000
        jne     1b
        mov     0x9000, %al
        add     $0x20, %al
        jmp     leave

/* 11: the same, then all of them count for ever */
aps:    movl    $1, 0x900c
        call    start_aps
        jmp     spin

/* 3: count for ever */
spin:   lock incl 0x9000
        jmp     spin

/* 4: no interrupt table */
triple: lidt    no_idt
        mov     $0x48, %eax             /* past the GDT's end */
        mov     %eax, %ds
        jmp     fail

/* 5: take vector 0x40 with the local APIC on, waiting in HLT */
msi:    movl    $on_msi, %eax
        mov     %ax, idt + 0x40 * 8
        shr     $16, %eax
        mov     %ax, idt + 0x40 * 8 + 6
        movw    $0x10, idt + 0x40 * 8 + 2
        movw    $0x8e00, idt + 0x40 * 8 + 4
        lidt    idt_pointer
        orl     $0x1ff, 0xfee000f0
        mov     $0x55, %al
        out     %al, $0xe0
        sti
1:      hlt
        jmp     1b
on_msi: movl    $0, 0xfee000b0
        mov     $0x15, %al
        jmp     leave

/* 6: ring doorbells: port 0x500 and 0xd0002000, ten times each */
doorbell:
        mov     $10, %ecx
        mov     $0x500, %edx
1:      out     %ax, %dx
        movl    $7, 0xd0002000
        loop    1b
        mov     $0x16, %al
        jmp     leave

/* 7: memory that appears at 0x40000000 on a write to port 0xe0 and is gone after 0xe1 */
slot:   cmpl    $-1, 0x40000000
        jne     fail
        out     %al, $0xe0
        cmpl    $0xcafe, 0x40000000
        jne     fail
        movl    $0xbeef, 0x40000004
        out     %al, $0xe1
        cmpl    $-1, 0x40000000
        jne     fail
        mov     $0x17, %al
        jmp     leave

/* 8: reset until the third boot */
reboot: cmpl    $3, 0x9004
        jae     1f
        out     %al, $0xe2
        jmp     fail
1:      mov     $0x18, %al
        jmp     leave

/* 9: an MSR that nobody has */
msr:    mov     $0x3fff0123, %ecx
        mov     $1, %eax
        wrmsr
        rdmsr
        or      %edx, %eax
        jnz     fail
        mov     $0x19, %al
        jmp     leave

/* 10: REP OUTS to the console, REP INS from port 0xe3 that counts up from 1 */
strings:
        mov     $message, %esi
        mov     $21, %ecx
        mov     $0x3f8, %edx
        rep outsb
        mov     $0x9100, %edi
        mov     $8, %ecx
        mov     $0xe3, %edx
        rep insb
        cmpl    $0x04030201, 0x9100
        jne     fail
        cmpl    $0x08070605, 0x9104
        jne     fail
        mov     $0x1a, %al
        jmp     leave

/* Where the other processors begin: real mode, 0x8000 */
        .code16
trampoline:
        cli
        xor     %ax, %ax
        mov     %ax, %ds
        lock incl 0x9000
        cmpl    $0, 0x900c
        jne     3f
2:      hlt
        jmp     2b
3:      lock incl 0x9000
        jmp     3b
trampoline_end:
        .code32

        .balign 8
gdt:    .quad   0, 0
        .quad   0x00cf9b000000ffff
        .quad   0x00cf93000000ffff
gdt_pointer:
        .word   4 * 8 - 1
        .long   gdt
no_idt: .word   0
        .long   0
idt_pointer:
        .word   0x41 * 8 - 1
        .long   idt
        .balign 8
idt:    .fill   0x41, 8, 0
