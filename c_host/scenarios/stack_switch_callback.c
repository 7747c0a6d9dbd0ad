/* StackSwitchCallback: one thread calls in from its own stack and from two makecontext stacks; then another
 * thread calls in whose stack is the very memory of the first one's context. Each callback's way back to the host
 * leads to the stack that the call came from.
 * source: Go TestStackSwitchCallback (issue 62440)
 * stdout: OK
 * needs: makecontext()
 */
#include <sys/mman.h>
#include <ucontext.h>

#include "scenario.h"

enum { STACK_BYTES = 128 << 10, ROUNDS = 100 };

static bounds expected; /* the stack that the present call comes from */
static int calls;

static NOINLINE void back_home(UNUSED void *arg)
{
    CHECK(inside(expected, HERE()));
    calls++;
}

static NOINLINE void callback(UNUSED void *arg)
{
    CHECK(!inside(expected, HERE()));
    on_host(back_home, NULL);
}

static NOINLINE void call_from(bounds stack)
{
    expected = stack;
    CHECK(inside(stack, HERE()));
    call(callback, NULL);
    call(callback, NULL);
}

static bounds context_stack[2];
static ucontext_t home, contexts[2];

static void context_main(int which)
{
    for (;;) {
        call_from(context_stack[which]);
        CHECK_EQ(swapcontext(&contexts[which], &home), 0);
    }
}

static void enter(int which)
{
    CHECK_EQ(swapcontext(&home, &contexts[which]), 0);
}

static void make_context(int which, char *memory)
{
    context_stack[which].low = (uintptr_t)memory;
    context_stack[which].high = (uintptr_t)memory + STACK_BYTES;
    CHECK_EQ(getcontext(&contexts[which]), 0);
    contexts[which].uc_stack.ss_sp = memory;
    contexts[which].uc_stack.ss_size = STACK_BYTES;
    contexts[which].uc_link = NULL;
    makecontext(&contexts[which], (void (*)(void))context_main, 1, which);
}

static void *first_thread(void *arg)
{
    char *memory = (char *)arg;
    call_from(thread_stack());
    make_context(0, memory);
    make_context(1, memory + STACK_BYTES);
    for (int i = 0; i < ROUNDS; i++) {
        enter(i % 2);
        enter(0);
        call_from(thread_stack());
        enter(1);
    }
    CHECK_EQ(stats().stacks_used, 0);
    return NULL;
}

static void *second_thread(UNUSED void *arg)
{
    call_from(thread_stack());
    return NULL;
}

int main(void)
{
    load_wharf();
    int protection = PROT_READ | PROT_WRITE;
    char *memory = (char *)mmap(NULL, 2 * STACK_BYTES, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != (char *)MAP_FAILED);
    on_thread(first_thread, memory);

    pthread_attr_t attr;
    pthread_t thread;
    CHECK_EQ(pthread_attr_init(&attr), 0);
    CHECK_EQ(pthread_attr_setstack(&attr, memory + STACK_BYTES / 2, STACK_BYTES), 0);
    CHECK_EQ(pthread_create(&thread, &attr, second_thread, NULL), 0);
    join(thread);
    CHECK_EQ(calls, 2 * (2 + 4 * ROUNDS));
    CHECK_EQ(stats().threads_bound, 0);
    CHECK_EQ(stats().stacks_used, 0);
    puts("OK");
    return 0;
}
