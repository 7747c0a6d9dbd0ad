/* Fibers: makecontext fibers that leave and come back in the middle of callbacks. Every callback sees its own locals
 * whatever order they end in, wherever the fibers' stacks lie, and when one jumps out of its callback or is destroyed
 * inside it. Where all came back, no stack counts as used.
 * source: Go TestStackSwitchCallback (issue 62440); SCENARIOS O10
 * stdout: OK
 * timeout: 60
 * needs: makecontext()
 * case malloced
 * args: malloced
 * case mapped
 * args: mapped
 * case below
 * args: below
 * case above
 * args: above
 * case local
 * args: local
 * case local_main
 * args: local_main
 * case longjmp
 * args: longjmp
 * case longjmp_local
 * args: longjmp_local
 * case random_mapped
 * args: random_mapped
 * case random_local
 * args: random_local
 * case random_jumps
 * args: random_jumps
 * case random_jumps_local
 * args: random_jumps_local
 * case inside_mapped
 * args: inside_mapped
 * case inside_random
 * args: inside_random
 * case inside_local
 * args: inside_local
 * case migrate
 * args: migrate
 */
#include "scenario.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { FIBERS = 24, STACK_BYTES = 64 << 10, STEPS = 20000, WORDS = 40, MAX_DEPTH = 6 };

typedef struct fiber {
    ucontext_t context;
    jmp_buf base;
    uint32_t id, random;
    int done, callbacks, jumps, live;
} fiber;

static const char *name;
static fiber fibers[FIBERS];
static fiber *current;
static ucontext_t scheduler;
static int fiber_count;

static int named(const char *part)
{
    return strstr(name, part) != NULL;
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* ---- frames that know their own contents ---- */

typedef struct contents {
    volatile uint64_t words[WORDS];
} contents;

static void fill(contents *own, fiber *me, int depth)
{
    for (int i = 0; i < WORDS; i++)
        own->words[i] = ((uint64_t)me->id << 48) ^ ((uint64_t)depth << 32) ^ (uint64_t)(uintptr_t)own ^ (uint64_t)i;
}

static void check(contents *own, fiber *me, int depth)
{
    CHECK(current == me);
    for (int i = 0; i < WORDS; i++)
        CHECK(own->words[i] == (((uint64_t)me->id << 48) ^ ((uint64_t)depth << 32) ^ (uint64_t)(uintptr_t)own ^ (uint64_t)i));
}

static void leave_fiber(fiber *me)
{
    CHECK_EQ(swapcontext(&me->context, &scheduler), 0);
}

static void enter_fiber(fiber *me)
{
    current = me;
    CHECK_EQ(swapcontext(&scheduler, &me->context), 0);
    current = NULL;
}

/* ---- A in, B in, A out, B out ---- */

static void nothing(UNUSED void *arg) {}

static void on_host_leave(void *arg)
{
    fiber *me = (fiber *)arg;
    contents own;
    fill(&own, me, 7);
    leave_fiber(me);
    check(&own, me, 7);
}

/* A call from inside a callback runs on its stack, also where the thread's first stack is free again. */
static void in_place(void *outer)
{
    CHECK((uintptr_t)outer - HERE() < 8 << 10);
}

static void callback(void *arg)
{
    fiber *me = (fiber *)arg;
    contents own;
    fill(&own, me, 1);
    leave_fiber(me); /* in: the first stop */
    check(&own, me, 1);
    call(in_place, (void *)HERE());
    on_host(on_host_leave, me); /* the second stop */
    check(&own, me, 1);
    call(in_place, (void *)HERE());
    if (named("longjmp") && me->id == 0 && me->jumps++ == 0)
        longjmp(me->base, 1);
    me->callbacks++;
}

static void simple_fiber(void)
{
    fiber *me = current;
    contents own;
    fill(&own, me, 0);
    setjmp(me->base); /* comes again where the case is longjmp */
    call(callback, me);
    check(&own, me, 0);
    me->done = 1;
}

/* All pairs of orders: in each round every fiber that still runs makes one step, forwards or backwards. */
static void run_simple(void)
{
    int left = 1;
    for (int round = 0; left > 0; round++) {
        left = 0;
        for (int i = 0; i < fiber_count; i++) {
            fiber *next = &fibers[round % 2 ? fiber_count - 1 - i : i];
            if (!next->done)
                enter_fiber(next);
            left += !next->done;
        }
        call(nothing, NULL); /* and the thread itself calls, too */
    }
    for (int i = 0; i < fiber_count; i++)
        CHECK_EQ(fibers[i].callbacks, 1);
}

/* ---- at random ---- */

static void walk(void *arg);

/* Goes on, leaves the fiber, calls in, goes out to the host, or jumps back to the fiber's start. */
static NOINLINE void step(fiber *me, int depth)
{
    contents own;
    fill(&own, me, depth);
    for (int i = 0; i < 3; i++) {
        switch (next_random(&me->random) % 8) {
        case 0:
        case 1:
        case 2:
            leave_fiber(me);
            break;
        case 3:
        case 4:
            if (depth < MAX_DEPTH)
                call(walk, me);
            break;
        case 5:
        case 6:
            if (depth < MAX_DEPTH)
                on_host(walk, me);
            break;
        default:
            if (named("jumps") && next_random(&me->random) % 4 == 0)
                longjmp(me->base, 1);
        }
        check(&own, me, depth);
    }
}

static void walk(void *arg)
{
    fiber *me = (fiber *)arg;
    me->live++;
    step(me, me->live);
    me->live--;
    me->callbacks++;
}

static volatile int stopping;

static void random_fiber(void)
{
    fiber *me = current;
    setjmp(me->base);
    me->live = 0;
    while (!stopping)
        step(me, 0);
    me->done = 1;
}

static void run_random(void)
{
    uint32_t random = 7;
    for (int i = 0; i < STEPS; i++) {
        enter_fiber(&fibers[next_random(&random) % (uint32_t)fiber_count]);
        if (next_random(&random) % 8 == 0)
            call(nothing, NULL);
    }
    stopping = 1;
    for (int i = 0; i < fiber_count; i++) {
        while (!fibers[i].done)
            enter_fiber(&fibers[i]);
        CHECK(fibers[i].callbacks > 100);
    }
}

/* ---- between calls, a fiber may go to another thread ---- */

static void migrating_fiber(void)
{
    fiber *me = current;
    for (int i = 0; i < 100; i++) {
        call(nothing, NULL);
        leave_fiber(me);
    }
    me->done = 1;
}

static void *one_step(UNUSED void *arg)
{
    enter_fiber(&fibers[0]);
    return NULL;
}

static void run_migrating(void)
{
    while (!fibers[0].done) {
        on_thread(one_step, NULL);
        if (!fibers[0].done)
            enter_fiber(&fibers[0]);
    }
}

/* ---- where the stacks lie ---- */

static void make_fiber(fiber *made, char *low, void (*body)(void))
{
    CHECK_EQ(getcontext(&made->context), 0);
    made->context.uc_stack.ss_sp = low;
    made->context.uc_stack.ss_size = STACK_BYTES;
    made->context.uc_link = &scheduler;
    makecontext(&made->context, body, 0);
}

static void make_fibers(char *stacks, void (*body)(void))
{
    memset(fibers, 0, sizeof fibers);
    for (int i = 0; i < fiber_count; i++) {
        fibers[i].id = (uint32_t)i;
        fibers[i].random = (uint32_t)i + 1;
        make_fiber(&fibers[i], stacks != NULL ? stacks + (size_t)i * STACK_BYTES : (char *)malloc(STACK_BYTES), body);
    }
}

/* The thread's stack can lie between the fibers', which touch it. */
static char *mapped;

static void run_all(char *stacks)
{
    fiber_count = named("malloced") || strcmp(name, "longjmp") == 0 ? 2 : FIBERS;
    make_fibers(stacks, named("random") ? random_fiber : named("migrate") ? migrating_fiber : simple_fiber);
    if (named("random"))
        run_random();
    else if (named("migrate"))
        run_migrating();
    else
        run_simple();
    call(nothing, NULL);
    if (!named("jumps")) /* those may leave records on stacks of fibers that ended */
        CHECK_EQ(stats().stacks_used, named("inside") ? 1 : 0);
}

static NOINLINE void run_local(void)
{
    char stacks[FIBERS * STACK_BYTES] __attribute__((aligned(16)));
    run_all(stacks);
}

static void run_somewhere(UNUSED void *arg)
{
    if (named("local"))
        run_local();
    else
        run_all(named("malloced") ? NULL : mapped);
}

/* `inside`: the fibers are made by a callback, which is their scheduler, and call in from inside it. */
static void *thread(UNUSED void *arg)
{
    if (named("inside"))
        call(run_somewhere, NULL);
    else
        run_somewhere(NULL);
    return NULL;
}

/* One mapping, without guards: [fibers][thread's stack] or [thread's stack][fibers]. */
static pthread_t spawn_beside(void)
{
    size_t own = 256 << 10, all = own + (size_t)FIBERS * STACK_BYTES;
    char *low = (char *)mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(low != MAP_FAILED);
    mapped = named("below") ? low : low + own;
    char *stack = named("below") ? low + all - own : low;
    pthread_attr_t attr;
    pthread_t made;
    CHECK_EQ(pthread_attr_init(&attr), 0);
    CHECK_EQ(pthread_attr_setstack(&attr, stack, own), 0);
    CHECK_EQ(pthread_create(&made, &attr, thread, NULL), 0);
    return made;
}

int main(UNUSED int argc, char **argv)
{
    name = argv[1] != NULL ? argv[1] : "malloced";
    load_wharf();
    if (named("inside")) {
        wharf_config config = WHARF_CONFIG_INIT;
        config.callback_stack_bytes = 8 << 20; /* less on 32-bit machines */
        CHECK_EQ(W->start(&config), WHARF_OK);
    }
    if (named("main"))
        thread(NULL);
    else
        join(named("local") ? spawn(8 << 20, thread, NULL) : spawn_beside());
    CHECK_EQ(stats().threads_bound, named("main") ? 1 : 0);
    if (!named("main"))
        CHECK_EQ(stats().stacks_used, 0);
    puts("OK");
    return 0;
}
