/* CgoCallbackX15: what the ABI says of registers holds over a call, whatever was in them. The host's callee-saved
 * registers come back; the callback and the way back to the host start with an aligned stack and a clear
 * direction flag; a host that keeps rubbish in xmm15 disturbs nobody.
 * source: Go TestCgoCallbackX15
 * arch: x86_64
 * cflags: -O2
 * stdout: OK
 */
#include "scenario.h"

/* Calls call(fn, arg) with marks in rbx, rbp, r12-r15 and rubbish in xmm15; a bit set for every mark that is lost, bit 6
 * for the direction flag, bit 7 for a stack pointer that came back changed. */
unsigned long kept(int (*call)(wharf_fn, void *), wharf_fn fn, void *arg);
__asm__(".text\n"
        ".type kept, @function\n"
        "kept:\n"
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
        "at_entry:\n" /* a wharf_fn: notes rsp, rflags, then goes on in entered(rsp, rflags, arg) */
        "    mov %rdi, %rdx\n    mov %rsp, %rdi\n    pushfq\n    pop %rsi\n    jmp entered\n"
        ".size at_entry, . - at_entry\n");
void at_entry(void *arg);
void entered(uintptr_t rsp, unsigned long rflags, void *arg) __attribute__((used));

static int entries;

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

static void bottom(UNUSED void *arg)
{
    clobber();
}

void entered(uintptr_t rsp, unsigned long rflags, void *arg)
{
    CHECK_EQ(rsp % 16, 8); /* as right after a call instruction */
    CHECK_EQ(rflags & 0x400, 0);
    entries++;
    clobber();
    uintptr_t level = (uintptr_t)arg;
    if (level == 0)
        return;
    CHECK_EQ(kept(W->call, bottom, NULL), 0);
    CHECK_EQ(kept(W->on_host, at_entry, NULL), 0);
    CHECK_EQ(kept(W->call, at_entry, (void *)(level - 1)), 0);
}

static void *host_thread(UNUSED void *arg)
{
    for (int i = 0; i < 100; i++)
        CHECK_EQ(kept(W->call, at_entry, (void *)3), 0);
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
