/* HostStack: how much of the host's stack a call uses, measured by painting what lies below the stack pointer: at most 1024
 * bytes for a thread's first call, at most 256 for the others; and threads that have no more than that left can call.
 * source: SCENARIOS O9
 * arch: x86_64
 * stdout~ ^OK$
 * case measured
 * args: measured
 * case edge_first
 * args: edge_first
 * case edge_warm
 * args: edge_warm
 * case smallest_threads
 * args: smallest_threads
 */
#include "scenario.h"

#include <limits.h>
#include <sys/mman.h>

/* Elsewhere than in glibc the way to a loaded library's thread-local word is longer. */
#ifdef __GLIBC__
#define WARM_MOST 256
#else
#define WARM_MOST 320
#endif

enum { PAINTED = 16 << 10, FIRST_MOST = 1024 };

#define PAINT UINT64_C(0xa5a55a5a3c3cc3c3)

static void nothing(UNUSED void *arg) {}

static void out_and_back(UNUSED void *arg)
{
    on_host(nothing, NULL);
}

/* As a call from the host's own code would use: nothing but this call's return address and less. */
static int plain_call(wharf_fn fn, void *arg)
{
    fn(arg);
    return WHARF_OK;
}

/* Paints below this frame, calls, and tells how deep the paint was touched. No function of the libc may run between: a signal
 * or a lazily bound symbol would count, too. */
static NOINLINE long used_by(int (*function)(wharf_fn, void *), wharf_fn fn)
{
    char *sp;
    __asm__ volatile("mov %%rsp, %0" : "=r"(sp));
    volatile uint64_t *low = (volatile uint64_t *)(((uintptr_t)sp - PAINTED) & ~(uintptr_t)15);
    volatile uint64_t *high = (volatile uint64_t *)((uintptr_t)sp & ~(uintptr_t)15);
    for (volatile uint64_t *at = low; at < high; at++)
        *at = PAINT;
    int status = function(fn, NULL);
    volatile uint64_t *at = low;
    while (at < high && *at == PAINT)
        at++;
    CHECK_EQ(status, WHARF_OK);
    return (long)((char *)high - (char *)at);
}

static long first_used, second_used, warm_used, nested_used, control_used;

static void nested(UNUSED void *arg)
{
    nested_used = used_by(W->call, nothing);
}

static void *measured_thread(UNUSED void *arg)
{
    char space[PAINTED + 4096]; /* in memory before, so that no fault is taken */
    memset(space, 0, sizeof space);
    __asm__ volatile("" : : "r"(space) : "memory");
    control_used = used_by(plain_call, nothing);
    first_used = used_by(W->call, nothing);
    second_used = used_by(W->call, nothing);
    for (int i = 0; i < 100; i++) {
        long now = used_by(W->call, nothing);
        warm_used = now > warm_used ? now : warm_used;
    }
    call(nested, NULL);
    return NULL;
}

static int all_good = 1;

static void show(const char *which)
{
    printf("%s: first %ld, second %ld, warm %ld, nested %ld, a plain call %ld\n", which, first_used, second_used, warm_used,
           nested_used, control_used);
    int good = first_used > 0 && first_used <= FIRST_MOST && second_used <= WARM_MOST && warm_used <= WARM_MOST
        && nested_used <= WARM_MOST;
    if (!good)
        fprintf(stderr, "%s: first %ld, warm %ld\n", which, first_used, warm_used);
    all_good &= good;
}

static void measured(void)
{
    on_thread(measured_thread, NULL);
    show("the process's first thread");
    on_thread(measured_thread, NULL);
    show("its second thread, with the first one's M");
    CHECK_EQ(W->attach(NULL), WHARF_OK); /* so that the next thread gets an M of its own */
    on_thread(measured_thread, NULL);
    show("its third thread, with a new M");
    CHECK(all_good);
}

/* ---- at the edge ---- */

static long left_wanted;
static int calls_before;

/* Uses the stack up to so many bytes from its end, then calls. Below lies a guard, or the mapping's end. */
static NOINLINE void call_at_edge(uintptr_t low)
{
    uintptr_t here;
    __asm__ volatile("mov %%rsp, %0" : "=r"(here));
    /* The array, and at most 48 bytes for its alignment and what is pushed besides. */
    size_t bytes = (here - low - (size_t)left_wanted - 48) & ~(size_t)15;
    volatile char *array = (volatile char *)__builtin_alloca(bytes);
    array[0] = 1;
    uintptr_t now;
    __asm__ volatile("mov %%rsp, %0" : "=r"(now));
    if (W->call(out_and_back, NULL) != WHARF_OK || array[0] != 1)
        _exit(3);
    if (now - low < (uintptr_t)left_wanted || now - low > (uintptr_t)left_wanted + 64)
        _exit(4); /* the host's own arithmetic */
}

static char *edge_stack;
enum { EDGE_BYTES = 64 << 10 };

static void *edge_thread(UNUSED void *arg)
{
    for (int i = 0; i < calls_before; i++)
        call(out_and_back, NULL);
    call_at_edge((uintptr_t)edge_stack);
    return NULL;
}

static void edge(void)
{
    char *low = (char *)mmap(NULL, EDGE_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(low != MAP_FAILED);
    CHECK_EQ(mprotect(low, 4096, PROT_NONE), 0);
    edge_stack = low + 4096;
    for (int i = 0; i < 20; i++) {
        pthread_attr_t attr;
        pthread_t thread;
        CHECK_EQ(pthread_attr_init(&attr), 0);
        CHECK_EQ(pthread_attr_setstack(&attr, edge_stack, EDGE_BYTES), 0);
        CHECK_EQ(pthread_create(&thread, &attr, edge_thread, NULL), 0);
        join(thread);
    }
}

/* ---- the smallest threads that the libc makes ---- */

static void deep_callback(UNUSED void *arg)
{
    deeper(512 << 10, out_and_back, NULL); /* on the managed stack there is room */
}

static void *small_thread(UNUSED void *arg)
{
    for (int i = 0; i < 10; i++)
        call(deep_callback, NULL);
    return NULL;
}

static void smallest_threads(void)
{
    for (int i = 0; i < 500; i++)
        join(spawn((size_t)PTHREAD_STACK_MIN, small_thread, NULL));
    CHECK_EQ(stats().threads_bound, 0);
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "measured"))
        measured();
    left_wanted = is_case(argv, "edge_warm") ? WARM_MOST : FIRST_MOST;
    calls_before = is_case(argv, "edge_warm") ? 3 : 0;
    if (is_case(argv, "edge_first") || is_case(argv, "edge_warm"))
        edge();
    if (is_case(argv, "smallest_threads"))
        smallest_threads();
    puts("OK");
    return 0;
}
