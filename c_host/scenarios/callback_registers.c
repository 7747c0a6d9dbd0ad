/* CgoCallbackX15: what the ABI says of registers holds over a call, whatever was in them. The host's callee-saved
 * registers come back, the floating-point ones of AArch64, ARM and RISC-V too; the callback and the way back to the host
 * start with an aligned stack and a clear direction flag; a host that keeps rubbish in xmm15 disturbs nobody. A try that a
 * panic cuts to over frames without tables gives them back, too.
 * source: Go TestCgoCallbackX15
 * arch: x86_64 x86 aarch64 arm riscv64
 * cflags: -O2
 * stdout: OK
 */
#include "scenario.h"

/* Calls call(fn, arg) with marks in what a callee keeps and rubbish elsewhere; a bit set for every mark that is lost, for the
 * direction flag, for a stack pointer that came back changed. */
unsigned long kept(int (*call)(wharf_fn, void *), wharf_fn fn, void *arg);
/* A wharf_fn: notes the stack pointer and the flags, then goes on in entered(sp, flags, arg). */
void at_entry(void *arg);
void entered(uintptr_t sp, unsigned long flags, void *arg) __attribute__((used));

/* Of a stack, at a call. */
#ifdef __arm__
enum { ALIGNMENT = 8 };
#else
enum { ALIGNMENT = 16 };
#endif

#if defined(__x86_64__)
enum { AT_ENTRY = 8 }; /* of 16: right behind a call instruction */
__asm__(".text\n"
        ".type kept, @function\n"
        ".globl kept\nkept:\n"
        "    push %rbx\n    push %rbp\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
        "    sub $24, %rsp\n"
        "    mov %rsp, 8(%rsp)\n"
        "    mov %rdi, %rax\n    mov %rsi, %rdi\n    mov %rdx, %rsi\n"
        "    mov $0x1111, %rbx\n    mov $0x2222, %rbp\n    mov $0x3333, %r12\n"
        "    mov $0x4444, %r13\n    mov $0x5555, %r14\n    mov $0x6666, %r15\n"
        "    pcmpeqd %xmm15, %xmm15\n"
        "    call *%rax\n"
        "    xor %eax, %eax\n"
        "    cmp $0x1111, %rbx\n    je 1f\n    or $1, %eax\n"
        "1:  cmp $0x2222, %rbp\n    je 1f\n    or $2, %eax\n"
        "1:  cmp $0x3333, %r12\n    je 1f\n    or $4, %eax\n"
        "1:  cmp $0x4444, %r13\n    je 1f\n    or $8, %eax\n"
        "1:  cmp $0x5555, %r14\n    je 1f\n    or $16, %eax\n"
        "1:  cmp $0x6666, %r15\n    je 1f\n    or $32, %eax\n"
        "1:  pushfq\n    pop %rcx\n    test $0x400, %ecx\n    jz 1f\n    or $64, %eax\n"
        "1:  cmp %rsp, 8(%rsp)\n    je 1f\n    or $128, %eax\n"
        "1:  add $24, %rsp\n"
        "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbp\n    pop %rbx\n"
        "    ret\n"
        ".size kept, . - kept\n"
        ".type at_entry, @function\n"
        ".globl at_entry\nat_entry:\n"
        "    mov %rdi, %rdx\n    mov %rsp, %rdi\n    pushfq\n    pop %rsi\n    jmp entered\n"
        ".size at_entry, . - at_entry\n");

/* Clobbers all that a callee may, and keeps what it must: through the compiler's own saves. */
static NOINLINE void clobber(void)
{
    __asm__ volatile("mov $-1, %%rbx\n mov $-1, %%r12\n mov $-1, %%r13\n mov $-1, %%r14\n mov $-1, %%r15\n"
                     "mov $-1, %%rax\n mov $-1, %%rcx\n mov $-1, %%rdx\n mov $-1, %%rsi\n mov $-1, %%rdi\n"
                     "mov $-1, %%r8\n mov $-1, %%r9\n mov $-1, %%r10\n mov $-1, %%r11\n pcmpeqd %%xmm15, %%xmm15\n"
                     :
                     :
                     : "rbx", "r12", "r13", "r14", "r15", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
                       "xmm15", "memory", "cc");
}
#elif defined(__i386__)
enum { AT_ENTRY = 12 };
__asm__(".text\n"
        ".type kept, @function\n"
        ".globl kept\nkept:\n"
        "    push %ebp\n    mov %esp, %ebp\n    push %ebx\n    push %esi\n    push %edi\n"
        "    sub $28, %esp\n"
        "    mov 12(%ebp), %eax\n    mov %eax, (%esp)\n    mov 16(%ebp), %eax\n    mov %eax, 4(%esp)\n"
        "    mov 8(%ebp), %eax\n    mov %ebp, 12(%esp)\n    mov %esp, 16(%esp)\n"
        "    mov $0x1111, %ebx\n    mov $0x2222, %ebp\n    mov $0x3333, %esi\n    mov $0x4444, %edi\n"
        "    call *%eax\n"
        "    xor %eax, %eax\n"
        "    cmp $0x1111, %ebx\n    je 1f\n    or $1, %eax\n"
        "1:  cmp $0x2222, %ebp\n    je 1f\n    or $2, %eax\n"
        "1:  cmp $0x3333, %esi\n    je 1f\n    or $4, %eax\n"
        "1:  cmp $0x4444, %edi\n    je 1f\n    or $8, %eax\n"
        "1:  pushf\n    pop %ecx\n    test $0x400, %ecx\n    jz 1f\n    or $64, %eax\n"
        "1:  cmp %esp, 16(%esp)\n    je 1f\n    or $128, %eax\n"
        "1:  mov 12(%esp), %ebp\n"
        "    add $28, %esp\n    pop %edi\n    pop %esi\n    pop %ebx\n    pop %ebp\n    ret\n"
        ".size kept, . - kept\n"
        ".type at_entry, @function\n"
        ".globl at_entry\nat_entry:\n"
        "    mov %esp, %eax\n    mov 4(%esp), %ecx\n    pushf\n    pop %edx\n"
        "    push %ecx\n    push %edx\n    push %eax\n    call entered\n    add $12, %esp\n    ret\n"
        ".size at_entry, . - at_entry\n");

/* Clobbers all that a callee may, and keeps what it must: through the compiler's own saves. */
static NOINLINE void clobber(void)
{
    __asm__ volatile("mov $-1, %%ebx\n mov $-1, %%esi\n mov $-1, %%edi\n mov $-1, %%eax\n mov $-1, %%ecx\n mov $-1, %%edx\n"
                     :
                     :
                     : "ebx", "esi", "edi", "eax", "ecx", "edx", "memory", "cc");
}
#elif defined(__riscv)
enum { AT_ENTRY = 0 };
/* The numbers of the callee-saved registers, s and fs. */
#define ALL "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"
__asm__(".text\n"
        ".type kept, %function\n"
        ".globl kept\nkept:\n"
        "    addi sp, sp, -224\n    sd ra, 208(sp)\n    sd sp, 200(sp)\n"
        "    .irp n, " ALL "\n    sd s\\n, 8*\\n(sp)\n    fsd fs\\n, 96+8*\\n(sp)\n    .endr\n"
        "    mv t1, a0\n    mv a0, a1\n    mv a1, a2\n"
        "    .irp n, " ALL "\n    li s\\n, 0x1111 + \\n\n    li t2, 0x2222 + \\n\n    fmv.d.x fs\\n, t2\n    .endr\n"
        "    jalr t1\n"
        "    li a0, 0\n"
        "    .irp n, " ALL "\n"
        "    li t1, 0x1111 + \\n\n    xor t1, t1, s\\n\n    snez t1, t1\n    slli t1, t1, 1 + \\n\n    or a0, a0, t1\n"
        "    li t1, 0x2222 + \\n\n    fmv.x.d t2, fs\\n\n    xor t1, t1, t2\n    snez t1, t1\n    slli t1, t1, 13 + \\n\n"
        "    or a0, a0, t1\n    .endr\n"
        "    ld t1, 200(sp)\n    xor t1, t1, sp\n    snez t1, t1\n    or a0, a0, t1\n"
        "    .irp n, " ALL "\n    ld s\\n, 8*\\n(sp)\n    fld fs\\n, 96+8*\\n(sp)\n    .endr\n"
        "    ld ra, 208(sp)\n    addi sp, sp, 224\n    ret\n"
        ".size kept, . - kept\n"
        ".type at_entry, %function\n"
        ".globl at_entry\nat_entry:\n"
        "    mv a2, a0\n    mv a0, sp\n    li a1, 0\n    tail entered\n"
        ".size at_entry, . - at_entry\n");

/* Clobbers all that a callee may, and keeps what it must: through the compiler's own saves. */
static NOINLINE void clobber(void)
{
    __asm__ volatile(".irp n, 0, 1, 2, 3, 4, 5, 6\n li t\\n, -1\n fcvt.d.w ft\\n, t\\n\n .endr\n"
                     ".irp n, 0, 1, 2, 3, 4, 5, 6, 7\n li a\\n, -1\n fcvt.d.w fa\\n, a\\n\n .endr\n"
                     ".irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n li s\\n, -1\n fcvt.d.w fs\\n, s\\n\n .endr\n"
                     "fcvt.d.w fs0, t0\n"
                     :
                     :
                     : "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "s1", "s2", "s3",
                       "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "fa0",
                       "fa1", "fa2", "fa3", "fa4", "fa5", "fa6", "fa7", "fs0", "fs1", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7",
                       "fs8", "fs9", "fs10", "fs11", "memory");
}
#elif defined(__arm__)
enum { AT_ENTRY = 0 };
/* ARM code; the compiler's may be Thumb. */
__asm__(".text\n"
        ".syntax unified\n.arm\n.p2align 2\n"
        ".type kept, %function\n"
        ".globl kept\nkept:\n"
        "    .fnstart\n"
        "    push {r4-r11, lr}\n    .save {r4-r11, lr}\n    vpush {d8-d15}\n    .vsave {d8-d15}\n"
        "    sub sp, sp, #12\n    .pad #12\n    str sp, [sp]\n"
        "    mov r12, r0\n    mov r0, r1\n    mov r1, r2\n"
        "    .irp n, 4, 5, 6, 7, 8, 9, 10, 11\n    movw r\\n, #0x1111 + \\n\n    .endr\n"
        "    .irp n, 8, 9, 10, 11, 12, 13, 14, 15\n    movw r3, #0x2222 + \\n\n    vmov d\\n, r3, r3\n    .endr\n"
        "    blx r12\n"
        "    mov r0, #0\n"
        "    .irp n, 4, 5, 6, 7, 8, 9, 10, 11\n    movw r3, #0x1111 + \\n\n    cmp r\\n, r3\n"
        "    orrne r0, r0, #1 << \\n\n    .endr\n"
        "    .irp n, 8, 9, 10, 11, 12, 13, 14, 15\n    movw r1, #0x2222 + \\n\n    vmov r2, r3, d\\n\n    cmp r2, r1\n"
        "    cmpeq r3, r1\n    orrne r0, r0, #0x100 << \\n\n    .endr\n"
        "    ldr r3, [sp]\n    cmp r3, sp\n    orrne r0, r0, #1\n"
        "    add sp, sp, #12\n    vpop {d8-d15}\n    pop {r4-r11, pc}\n"
        "    .fnend\n"
        ".size kept, . - kept\n"
        ".type at_entry, %function\n"
        ".globl at_entry\nat_entry:\n"
        "    .fnstart\n"
        "    mov r2, r0\n    mov r0, sp\n    mov r1, #0\n    b entered\n"
        "    .fnend\n"
        ".size at_entry, . - at_entry\n");

/* Clobbers all that a callee may, and keeps what it must: through the compiler's own saves, but for the frame pointers. */
static NOINLINE void clobber(void)
{
    __asm__ volatile(".irp n, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12\n mov r\\n, #-1\n .endr\n"
                     ".irp n, 8, 9, 10, 11, 12, 13, 14, 15\n vmov.f64 d\\n, #1.0\n .endr\n"
                     :
                     :
                     : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r12", "d8", "d9", "d10", "d11", "d12",
                       "d13", "d14", "d15", "memory", "cc");
}
#else
enum { AT_ENTRY = 0 };
__asm__(".text\n"
        ".type kept, %function\n"
        ".globl kept\nkept:\n"
        "    stp x29, x30, [sp, #-176]!\n"
        "    stp x19, x20, [sp, #16]\n    stp x21, x22, [sp, #32]\n    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n    stp x27, x28, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n    stp d10, d11, [sp, #112]\n    stp d12, d13, [sp, #128]\n    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n    str x9, [sp, #160]\n"
        "    mov x9, x0\n    mov x0, x1\n    mov x1, x2\n"
        "    .irp n, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n    mov x\\n, #0x1111 + \\n\n    .endr\n"
        "    .irp n, 8, 9, 10, 11, 12, 13, 14, 15\n    mov x10, #0x2222 + \\n\n    fmov d\\n, x10\n    .endr\n"
        "    blr x9\n"
        "    mov x0, #0\n"
        "    .irp n, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n    mov x10, #0x1111 + \\n\n    cmp x\\n, x10\n"
        "    cset x10, ne\n    orr x0, x0, x10, lsl #\\n\n    .endr\n"
        "    .irp n, 8, 9, 10, 11, 12, 13, 14, 15\n    mov x10, #0x2222 + \\n\n    fmov x11, d\\n\n    cmp x10, x11\n"
        "    cset x10, ne\n    orr x0, x0, x10, lsl #\\n\n    .endr\n"
        "    mov x9, sp\n    ldr x10, [sp, #160]\n    cmp x9, x10\n    cset x10, ne\n    orr x0, x0, x10\n"
        "    ldp d8, d9, [sp, #96]\n    ldp d10, d11, [sp, #112]\n    ldp d12, d13, [sp, #128]\n    ldp d14, d15, [sp, #144]\n"
        "    ldp x27, x28, [sp, #80]\n    ldp x25, x26, [sp, #64]\n    ldp x23, x24, [sp, #48]\n"
        "    ldp x21, x22, [sp, #32]\n    ldp x19, x20, [sp, #16]\n"
        "    ldp x29, x30, [sp], #176\n    ret\n"
        ".size kept, . - kept\n"
        ".type at_entry, %function\n"
        ".globl at_entry\nat_entry:\n"
        "    mov x2, x0\n    mov x0, sp\n    mov x1, #0\n    b entered\n"
        ".size at_entry, . - at_entry\n");

/* Clobbers all that a callee may, and keeps what it must: through the compiler's own saves. */
static NOINLINE void clobber(void)
{
    __asm__ volatile(".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28\n"
                     " mov x\\n, #-1\n .endr\n"
                     ".irp n, 8, 9, 10, 11, 12, 13, 14, 15\n fmov d\\n, #1.0\n .endr\n"
                     :
                     :
                     : "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",
                       "x17", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "d8", "d9", "d10", "d11", "d12",
                       "d13", "d14", "d15", "memory", "cc");
}
#endif

static int entries;

static void bottom(UNUSED void *arg)
{
    clobber();
}

void entered(uintptr_t sp, unsigned long flags, void *arg)
{
    CHECK_EQ(sp % ALIGNMENT, AT_ENTRY);
    CHECK_EQ(flags & 0x400, 0);
    entries++;
    clobber();
    uintptr_t level = (uintptr_t)arg;
    if (level == 0)
        return;
    CHECK_EQ(kept(W->call, bottom, NULL), 0);
    CHECK_EQ(kept(W->on_host, at_entry, NULL), 0);
    CHECK_EQ(kept(W->call, at_entry, (void *)(level - 1)), 0);
}

/* Without tables: a panic has nothing to go by from here. */
__asm__(".text\n.globl bare\nbare:\n"
#if defined(__x86_64__)
        "    sub $8, %rsp\n    call panics\n    add $8, %rsp\n    ret\n");
#elif defined(__i386__)
        "    sub $12, %esp\n    call panics\n    add $12, %esp\n    ret\n");
#elif defined(__riscv)
        "    addi sp, sp, -16\n    sd ra, 8(sp)\n    call panics\n    ld ra, 8(sp)\n    addi sp, sp, 16\n    ret\n");
#elif defined(__arm__)
        /* As the linker has it of code without tables. */
        "    .arm\n    .fnstart\n    .cantunwind\n    push {r4, lr}\n    bl panics\n    pop {r4, pc}\n    .fnend\n");
#else
        "    stp x29, x30, [sp, #-16]!\n    bl panics\n    ldp x29, x30, [sp], #16\n    ret\n");
#endif
void bare(void *arg);
void panics(void) __attribute__((used));

void panics(void)
{
    clobber();
    W->panic("cut");
}

static int try_it(wharf_fn fn, void *arg)
{
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(fn, arg, &info), WHARF_PANICKED);
    CHECK_EQ(info->cut, 1);
    W->panic_info_free(info);
    return WHARF_PANICKED;
}

static void cut_inside(UNUSED void *arg)
{
    CHECK_EQ(kept(try_it, bare, NULL), 0);
}

static void *host_thread(UNUSED void *arg)
{
    for (int i = 0; i < 100; i++)
        CHECK_EQ(kept(W->call, at_entry, (void *)3), 0);
    CHECK_EQ(kept(try_it, bare, NULL), 0);
    call(cut_inside, NULL);
    CHECK_EQ(kept(W->on_host, bottom, NULL), 0);
    return NULL;
}

int main(void)
{
    load_wharf();
    host_thread(NULL);
    on_thread(host_thread, NULL);
    CHECK_EQ(entries, 2 * 100 * (4 + 3));
    puts("OK");
    return 0;
}
