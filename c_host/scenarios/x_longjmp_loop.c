/* LongjmpLoop: 100 000 longjmps past wharf: out of callbacks and of what they run by wharf_on_host, to host frames at
 * varying depth of the host's stack, and to the callback itself. Stacks are used again, memory stays flat, and
 * neither stack position drifts: what runs next stands where the first one stood.
 * source: ours (DESIGN.md section 2, longjmp leaves its record behind); Go TestCallbackPanicLoop
 * stdout: OK
 * timeout: 60
 * case host
 * args: host
 * case host_from_on_host
 * args: host_from_on_host
 * case host_deep_chain
 * args: host_deep_chain
 * case callback
 * args: callback
 * case callback_deep_chain
 * args: callback_deep_chain
 * case on_host
 * args: on_host
 * case mixed
 * args: mixed
 * case main_thread
 * args: main_thread
 * case signal_mask
 * args: signal_mask
 * case shallow_after_deep
 * args: shallow_after_deep
 * case ever_shallower
 * args: ever_shallower
 * case stop_after_deep
 * args: stop_after_deep
 * case same_place
 * args: same_place
 */
#include "scenario.h"

#include <setjmp.h>
#include <signal.h>

enum { JUMPS = 100000, DEPTHS = 51, MAX_STACKS = 96, MAX_GROWTH_KB = 512 };

static const char *name;
static sigjmp_buf out; /* in the host's frames, at the bottom */
static jmp_buf inner; /* further in */
static volatile int jumps;
static uint32_t random_state = 1;

static int named(const char *part)
{
    return strstr(name, part) != NULL;
}

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* Keeps where something stood first; later ones must stand there, too. */
static void same_place(uintptr_t *first, uintptr_t now)
{
    if (*first == 0)
        *first = now;
    CHECK_EQ(now, *first);
}

static NOINLINE void leave(UNUSED void *arg)
{
    siglongjmp(out, 1);
}

static NOINLINE void leave_inner(UNUSED void *arg)
{
    longjmp(inner, 1);
}

/* ---- out of the callback, to the host ---- */

static void call_leave(void *arg)
{
    call(leave, arg);
}

static void on_host_leave(void *arg)
{
    on_host(leave, arg);
}

static void on_host_call_leave(void *arg)
{
    on_host(call_leave, arg);
}

static void deep_chain(void *arg)
{
    call(on_host_call_leave, arg);
}

static wharf_fn way_out(void)
{
    wharf_fn ways[] = {leave, on_host_leave, deep_chain, call_leave};
    if (named("mixed"))
        return ways[next_random() % 4];
    return named("from_on_host") ? on_host_leave : named("deep_chain") ? deep_chain : leave;
}

/* Calls in from so many frames further up the host's stack. */
static NOINLINE void host_at_depth(int depth, wharf_fn fn)
{
    volatile char frame[192];
    frame[0] = (char)depth;
    if (depth == 0)
        call(fn, NULL);
    else
        host_at_depth(depth - 1, fn);
    CHECK(frame[0] != (char)depth); /* not reached: all ways out jump */
}

static void host_loop(void)
{
    jumps = 0;
    if (sigsetjmp(out, named("signal_mask")) != 0)
        jumps++;
    if (jumps < JUMPS)
        host_at_depth((int)(next_random() % DEPTHS), way_out());
}

/* ---- to the callback ---- */

static uintptr_t host_place[4], callback_place;

static void land_on_host(UNUSED void *arg)
{
    same_place(&host_place[0], HERE());
    leave_inner(NULL);
}

static void call_leave_inner(UNUSED void *arg)
{
    same_place(&host_place[1], HERE());
    call(leave_inner, NULL);
}

/* Jumps from the host's stack, or from a second managed stack, to the frame of this callback. */
static void jumped_to(UNUSED void *arg)
{
    jumps = 0;
    if (setjmp(inner) != 0)
        jumps++;
    same_place(&callback_place, HERE());
    if (jumps < JUMPS)
        on_host(named("chain") ? call_leave_inner : land_on_host, NULL);
}

/* The same, where the target is what the callback runs by on_host: jumps from a managed stack. */
static void on_host_jumped_to(UNUSED void *arg)
{
    jumps = 0;
    if (setjmp(inner) != 0)
        jumps++;
    same_place(&host_place[2], HERE());
    if (jumps < JUMPS)
        call(jumps % 2 ? leave_inner : land_on_host, NULL);
}

static void through_host(UNUSED void *arg)
{
    on_host(on_host_jumped_to, NULL);
}

/* ---- after it ---- */

static void add(void *arg)
{
    ++*(int *)arg;
}

static void one_loop(void)
{
    /* A thread's very first call stands a little deeper on the host's stack than its others. */
    memset(host_place, 0, sizeof host_place);
    callback_place = 0;
    if (named("callback"))
        call(jumped_to, NULL);
    else if (strcmp(name, "on_host") == 0)
        call(through_host, NULL);
    else
        host_loop();
    CHECK_EQ(jumps, JUMPS);
}

static void *thread(UNUSED void *arg)
{
    int count = 0;
    one_loop(); /* brings into memory what it needs */
    long before = rss_kb();
    one_loop();
    long after = rss_kb();
    call(add, &count);
    CHECK_EQ(count, 1);
    if (stats().stacks_made >= MAX_STACKS || after - before > MAX_GROWTH_KB)
        fprintf(stderr, "stacks %u, RSS %ld -> %ld KiB\n", stats().stacks_made, before, after);
    CHECK(stats().stacks_made < MAX_STACKS);
    CHECK(after - before <= MAX_GROWTH_KB);
    return NULL;
}

/* ---- what a jump leaves behind ---- */

static void one_stack(void *arg)
{
    CHECK_EQ(stats().stacks_used, 1);
    ++*(int *)arg;
}

static NOINLINE void jump_from(int depth)
{
    if (sigsetjmp(out, 0) == 0)
        host_at_depth(depth, leave);
}

/* The thread comes back to the top of its stack and calls on there: what it left further down, where it never
 * comes again, must not count as a running callback for good. */
static void *shallow_after_deep(UNUSED void *arg)
{
    int count = 0;
    for (int depth = 10; depth < DEPTHS; depth += 10)
        jump_from(depth);
    call(add, &count); /* may keep what stands untouched: a fiber may come back to it */
    CHECK_EQ(count, 1);
    CHECK_EQ(W->detach(), WHARF_OK);
    for (int i = 0; i < 3; i++)
        call(one_stack, &count);
    CHECK_EQ(count, 4);
    CHECK_EQ(stats().stacks_used, 0);
    return NULL;
}

/* Each jump leaves from a little higher than the one before, and nothing ever runs where those left. */
static void *ever_shallower(UNUSED void *arg)
{
    for (int depth = share(2000); depth > 0; depth--)
        jump_from(depth);
    CHECK(stats().stacks_used > 0); /* a fiber might come back to them */
    CHECK_EQ(W->detach(), WHARF_OK);
    CHECK_EQ(stats().stacks_used, 0);
    return NULL;
}

static void on_first_stack(UNUSED void *arg)
{
    static uintptr_t place;
    same_place(&place, HERE());
}

static NOINLINE void try_here(wharf_fn fn)
{
    W->try_(fn, NULL, NULL);
}

/* A call from where one was left: that one has ended, be there others further in. */
static void *from_same_place(UNUSED void *arg)
{
    for (int i = 0; i < 100; i++) {
        try_here(on_first_stack);
        if (sigsetjmp(out, 0) == 0)
            try_here(deep_chain);
    }
    return NULL;
}

static void *stop_after_deep(UNUSED void *arg)
{
    int count = 0;
    jump_from(DEPTHS);
    call(add, &count);
    CHECK_EQ(W->stop(W->after(100000000)), WHARF_OK);
    return NULL;
}

int main(UNUSED int argc, char **argv)
{
    name = argv[1] != NULL ? argv[1] : "host";
    load_wharf();
    if (named("main_thread"))
        thread(NULL);
    else if (named("after_deep"))
        on_thread(named("stop") ? stop_after_deep : shallow_after_deep, NULL);
    else if (named("same_place"))
        on_thread(from_same_place, NULL);
    else if (named("ever_shallower"))
        join(spawn(8 << 20, ever_shallower, NULL)); /* the usual may be less */
    else
        on_thread(thread, NULL);
    CHECK_EQ(stats().threads_bound, named("main_thread") ? 1 : 0);
    puts("OK");
    return 0;
}
