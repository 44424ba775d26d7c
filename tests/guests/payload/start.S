/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Multiboot 1 (section 3.1.1) entry of a payload guest: 32-bit protected mode, paging off. */
        .set MAGIC, 0x1badb002
        .set FLAGS, 0x2 /* memory information wanted */

        .section .multiboot, "a"
        .align 4
        .long MAGIC
        .long FLAGS
        .long -(MAGIC + FLAGS)

        .section .bss
        .align 16
        .skip 65536
stack_top:

        .section .text
        .globl start
start:
        cli
        cld
        movl $stack_top, %esp
        lgdt gdt_pointer
        ljmp $0x08, $1f
1:      movw $0x10, %cx
        movw %cx, %ds
        movw %cx, %es
        movw %cx, %fs
        movw %cx, %gs
        movw %cx, %ss
        pushl %ebx /* multiboot information */
        pushl %eax /* magic */
        call payload_main
        pushl %eax
        call payload_exit
2:      hlt
        jmp 2b

/* Interrupt vectors 32..79: push the number, call payload_interrupt. */
        .altmacro
        .macro stub n
vector_\n:
        pushl $\n
        jmp interrupt_common
        .endm
        .set i, 32
        .rept 48
        stub %i
        .set i, i + 1
        .endr
interrupt_common:
        pushal
        pushl 32(%esp)
        cld
        call payload_interrupt
        addl $4, %esp
        popal
        addl $4, %esp
        /* Not iret: software KVM back ends do not emulate it in protected mode without paging. */
        pushl 8(%esp)
        popfl
        ret $8

        .section .rodata
        .macro address n
        .long vector_\n
        .endm
        .globl payload_vectors
payload_vectors:
        .set i, 32
        .rept 48
        address %i
        .set i, i + 1
        .endr

        .align 8
gdt:    .quad 0
        .quad 0x00cf9b000000ffff /* 0x08: flat code */
        .quad 0x00cf93000000ffff /* 0x10: flat data */
gdt_pointer:
        .word gdt_pointer - gdt - 1
        .long gdt

/* An application processor starts here in real mode, copied to 0x8000 (SIPI vector 8); once in
 * protected mode it goes to payload_ap_entry with the stack of payload_ap_stack. */
        .section .text
        .globl payload_ap_start, payload_ap_end
        .code16
payload_ap_start:
        cli
        xorw %ax, %ax
        movw %ax, %ds
        lgdtl 0x8000 + ap_gdt_pointer - payload_ap_start
        movl %cr0, %eax
        orl $1, %eax
        movl %eax, %cr0
        ljmpl $0x08, $ap32
        .align 4
ap_gdt_pointer:
        .word 23
        .long gdt
payload_ap_end:
        .code32
ap32:   movw $0x10, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movl $4096, %eax
        lock xaddl %eax, payload_ap_stack
        movl %eax, %esp
        call payload_ap_entry
3:      cli
        hlt
        jmp 3b

        .section .note.GNU-stack, "", @progbits
