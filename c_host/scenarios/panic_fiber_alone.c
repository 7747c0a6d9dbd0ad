/* PanicFiberAlone: a fiber's callback has deferred a recover, and its fiber waits; another fiber's callback panics. The first
 * has nothing to do with it, although its call began earlier on the same thread: the panic is fatal.
 * source: ours (DESIGN.md decision 5, scopes on fibers)
 * status: signal SIGABRT
 * stderr~ ^panic: B\n
 * stderr!~ deferred
 * needs: makecontext()
 */
#include "scenario.h"

#include <ucontext.h>

enum { STACK_BYTES = 128 << 10 };

static ucontext_t here, a, b;
static char stacks[2][STACK_BYTES];

static void recover(UNUSED void *arg)
{
    fprintf(stderr, "a's deferred call runs\n");
    W->panic_info_free(W->recover());
}

static void in_a(UNUSED void *arg)
{
    CHECK_EQ(W->defer(recover, NULL), WHARF_OK);
    swapcontext(&a, &here);
    CHECK(!"it never goes on");
}

static void in_b(UNUSED void *arg)
{
    W->panic("B");
}

static void fiber_a(void)
{
    call(in_a, NULL);
}

static void fiber_b(void)
{
    call(in_b, NULL);
}

static void make(ucontext_t *fiber, char *stack, void (*fn)(void))
{
    CHECK_EQ(getcontext(fiber), 0);
    fiber->uc_stack.ss_sp = stack;
    fiber->uc_stack.ss_size = STACK_BYTES;
    fiber->uc_link = &here;
    makecontext(fiber, fn, 0);
}

int main(void)
{
    load_wharf();
    make(&a, stacks[0], fiber_a);
    make(&b, stacks[1], fiber_b);
    CHECK_EQ(swapcontext(&here, &a), 0);
    CHECK_EQ(swapcontext(&here, &b), 0);
    return 0;
}
