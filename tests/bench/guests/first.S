/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A firmware image of 64 KiB whose first instructions write a line to COM1, and then halt: the time
 * to it is the time to the first guest instruction. */
        .code16
        .text
        .globl _start
        .org 0
_start:
        mov     $0x3f8, %dx
        mov     $'!', %al
        out     %al, %dx
        mov     $'\n', %al
        out     %al, %dx
1:      cli
        hlt
        jmp     1b
        .org    0xfff0
        .byte   0xe9            /* the reset vector: jmp _start */
        .word   _start - . - 2
        .org    0xffff
        .byte   0
