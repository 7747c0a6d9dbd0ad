#include "scenarios/scenario.h"

#include <execinfo.h>
#include <sys/mman.h>
#include <unwind.h>

enum { HOST_STACK_BYTES = 256 << 10 };

static bounds host_stack;
static int want_above; /* the managed stacks lie above the host's */

static void mark(void)
{
    __asm__ volatile("int3");
}

NOINLINE void stop_here(void);
NOINLINE void stop_here(void)
{
    __asm__ volatile("" : : : "memory");
}

static NOINLINE void on_managed(void)
{
    CHECK(want_above ? HERE() >= host_stack.high : HERE() < host_stack.low);
}

void callback(void *arg);
void leaf(void *arg);
void *host_thread(void *arg);
NOINLINE void leaf(UNUSED void *arg) { on_managed(); }
NOINLINE void callback(UNUSED void *arg) { on_managed(); }
static NOINLINE void again(UNUSED void *arg) { call(leaf, NULL); CHECK(W); }
static NOINLINE void outer(UNUSED void *arg) { on_host(again, NULL); CHECK(W); }

void *host_thread(UNUSED void *arg)
{
    host_stack = thread_stack();
    mark();
    call(callback, NULL);
    call(callback, NULL);
    call(outer, NULL);
    call(outer, NULL);
    mark();
    return NULL;
}

int main(int argc, char **argv)
{
    want_above = argc > 2 && strcmp(argv[2], "above") == 0;
    void *stack = mmap(want_above ? (void *)0x10000000 : NULL, HOST_STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    load_wharf();
    pthread_attr_t attr;
    pthread_t thread;
    CHECK_EQ(pthread_attr_init(&attr), 0);
    CHECK_EQ(pthread_attr_setstack(&attr, stack, HOST_STACK_BYTES), 0);
    CHECK_EQ(pthread_create(&thread, &attr, host_thread, NULL), 0);
    join(thread);
    return 0;
}
