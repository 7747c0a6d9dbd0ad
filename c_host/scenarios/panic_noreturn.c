/* PanicNoreturn: a panic unwinds a function that does not return, and so has not kept its caller's registers: C compilers
 * make such code (gcc 14 on x86-64; on ARM since long). wharf's own frames outward of it end what they began.
 * source: gcc, -fno-exceptions, functions declared noreturn
 * arch: x86_64
 * stdout: OK
 * case all
 * case valgrind
 * needs: valgrind
 * wrap: valgrind -q --error-exitcode=9
 */
#include "scenario.h"

static int deferred;

__attribute__((used)) static void boom(void)
{
    W->panic("BOOM");
}

void loses_registers(void *arg);

__asm__(".text\n"
        ".type loses_registers, @function\n"
        "loses_registers:\n"
        ".cfi_startproc\n"
        "sub $8, %rsp\n"
        ".cfi_adjust_cfa_offset 8\n"
        "xor %ebx, %ebx\n"
        "xor %r12d, %r12d\n"
        "xor %r13d, %r13d\n"
        "xor %r14d, %r14d\n"
        "xor %r15d, %r15d\n"
        "call boom\n"
        "ud2\n"
        ".cfi_endproc\n"
        ".size loses_registers, . - loses_registers\n");

static void count(UNUSED void *arg)
{
    deferred++;
}

static void defers_and_calls(UNUSED void *arg)
{
    CHECK_EQ(W->defer(count, NULL), WHARF_OK);
    W->call(loses_registers, NULL);
}

static void tries_inside(UNUSED void *arg)
{
    CHECK_EQ(W->try_(defers_and_calls, NULL, NULL), WHARF_PANICKED);
    CHECK_EQ(W->try_(loses_registers, NULL, NULL), WHARF_PANICKED);
    defers_and_calls(NULL);
}

static void calls(UNUSED void *arg)
{
    W->call(loses_registers, NULL);
}

static void calls_from_host(UNUSED void *arg)
{
    W->on_host(calls, NULL);
}

int main(void)
{
    wharf_fn each[] = {loses_registers, tries_inside, calls_from_host};
    load_wharf();
    for (int i = 0; i < 3 * 3; i++)
        CHECK_EQ(W->try_(each[i % 3], NULL, NULL), WHARF_PANICKED);
    CHECK_EQ(deferred, 3 * 2);
    CHECK_EQ(stats().stacks_used, 0);
    puts("OK");
    return 0;
}
