/* Altstack: signal handlers that call in, on alternate stacks above and below the thread's own, inside one of its live
 * frames and inside a live frame of a managed stack, and on the interrupted stack itself: while nothing, a callback, an
 * on_host function and a nested callback are on, and while the thread never called at all. `storm` interrupts the calls
 * themselves, wherever they are.
 * source: Go TestSigStackSwapping (22930), Sigaltstack; SCENARIOS O10
 * stdout: OK
 * timeout: 60
 * case above
 * args: above
 * case below
 * args: below
 * case local
 * args: local
 * case heap
 * args: heap
 * case managed
 * args: managed
 * case managed_out
 * args: managed_out
 * case none
 * args: none
 * case autodisarm_above
 * args: autodisarm_above
 * case autodisarm_local
 * args: autodisarm_local
 * case jump_above
 * args: jump_above
 * case jump_local
 * args: jump_local
 * case jump_none
 * args: jump_none
 * case storm_above
 * args: storm_above
 * case storm_below
 * args: storm_below
 * case storm_local
 * args: storm_local
 * case storm_none
 * args: storm_none
 * case storm_main
 * args: storm_main
 * case storm_jumps_above
 * args: storm_jumps_above
 * case storm_jumps_none
 * args: storm_jumps_none
 * case storm_jumps_inside
 * args: storm_jumps_inside
 */
#include "scenario.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

enum { ALT_BYTES = 64 << 10, OWN_BYTES = 256 << 10, WORDS = 64, ROUNDS = 200, STORM_SIGNALS = 20000 };

static const char *name;
static char *mapped; /* [alt][own][alt], without guards between */
static bounds alternate;
static volatile sig_atomic_t handled, depth_wanted, jump_wanted;
static volatile long long storm_calls, storm_limits;
static sigjmp_buf out;

static int named(const char *part)
{
    return strstr(name, part) != NULL;
}

/* ---- frames that know their own contents ---- */

typedef struct contents {
    volatile uintptr_t words[WORDS];
} contents;

static void fill(contents *own)
{
    for (int i = 0; i < WORDS; i++)
        own->words[i] = (uintptr_t)own + (uintptr_t)i;
}

static void check(contents *own)
{
    for (int i = 0; i < WORDS; i++)
        CHECK(own->words[i] == (uintptr_t)own + (uintptr_t)i);
}

/* ---- the handler ---- */

static NOINLINE void on_managed(void *arg)
{
    contents own;
    fill(&own);
    if (!named("managed")) /* there, the alternate stack is a part of the managed one */
        CHECK(!inside(alternate, HERE()));
    ++*(volatile sig_atomic_t *)arg;
    check(&own);
}

static NOINLINE void back_on_handlers(void *arg)
{
    contents own;
    fill(&own);
    if (!named("none") && !named("managed"))
        CHECK(inside(alternate, HERE()));
    call(on_managed, arg); /* takes a third stack */
    check(&own);
}

/* With SS_AUTODISARM a second signal can come on top: it is handled on the stack that it meets. */
static NOINLINE void handler_callback(void *arg)
{
    contents own;
    fill(&own);
    on_managed(arg);
    if (!named("autodisarm") && alternate.high != 0)
        on_host(back_on_handlers, arg);
    else
        on_managed(arg);
    if (depth_wanted > 0) {
        depth_wanted--;
        raise(SIGUSR1);
    }
    if (jump_wanted)
        siglongjmp(out, 1);
    check(&own);
}

static NOINLINE void handler(UNUSED int signal)
{
    contents own;
    fill(&own);
    int saved = errno;
    if (!named("none") && !named("autodisarm"))
        CHECK(inside(alternate, HERE()));
    call(handler_callback, (void *)&handled);
    CHECK_EQ(errno, saved);
    check(&own);
}

/* In a storm it may come in the middle of anything, of the thread's first call too. */
static void storm_handler(UNUSED int signal)
{
    contents own;
    fill(&own);
    int before = handled;
    int status = W->call(on_managed, (void *)&handled);
    storm_calls++;
    if (status == WHARF_ELIMIT)
        storm_limits++;
    else
        CHECK_EQ(status, WHARF_OK);
    CHECK_EQ(handled, before + (status == WHARF_OK));
    check(&own);
}

static void signal_me(void)
{
    int before = handled;
    if (named("autodisarm"))
        depth_wanted = 2;
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK(handled >= before + 2);
}

/* ---- what is interrupted ---- */

static NOINLINE void work_nested(UNUSED void *arg)
{
    contents own;
    fill(&own);
    signal_me();
    check(&own);
}

static NOINLINE void work_on_host(UNUSED void *arg)
{
    contents own;
    fill(&own);
    signal_me();
    call(work_nested, NULL);
    signal_me();
    check(&own);
}

static NOINLINE void work(UNUSED void *arg)
{
    contents own;
    fill(&own);
    signal_me();
    if (strcmp(name, "managed") != 0)
        on_host(work_on_host, NULL);
    call(work_nested, NULL);
    signal_me();
    check(&own);
}

static void set_altstack(char *low)
{
    stack_t altstack;
    memset(&altstack, 0, sizeof altstack);
    altstack.ss_sp = low;
    altstack.ss_size = ALT_BYTES;
    if (named("autodisarm"))
        altstack.ss_flags = (int)(1u << 31); /* SS_AUTODISARM */
    CHECK_EQ(sigaltstack(&altstack, NULL), 0);
    alternate.low = (uintptr_t)low;
    alternate.high = (uintptr_t)low + ALT_BYTES;
}

static void jump_out_of(wharf_fn fn)
{
    jump_wanted = 1;
    if (sigsetjmp(out, 1) == 0) {
        call(fn, NULL);
        CHECK(!"the handler jumped");
    }
    jump_wanted = 0;
}

/* ---- storms ---- */

static void storm_leaf(void *arg)
{
    contents own;
    fill(&own);
    ++*(long *)arg;
    check(&own);
}

static void storm_host(void *arg)
{
    call(storm_leaf, arg);
}

static void storm_work(void *arg)
{
    contents own;
    fill(&own);
    call(storm_leaf, arg);
    on_host(storm_leaf, arg);
    on_host(storm_host, arg);
    check(&own);
}

/* Leaves by a jump, from a callback or from what it runs on the host's stack. */
static void storm_jump(void *arg)
{
    ++*(long *)arg;
    if (*(long *)arg % 2)
        siglongjmp(out, 0);
    on_host(storm_jump, arg);
}

static NOINLINE void call_from(int depth, long *count)
{
    volatile char frame[64] = {0};
    if (depth > 0)
        call_from(depth - 1, count);
    else
        call(storm_jump, count);
    CHECK(frame[0] == 1); /* not reached */
}

static void jump_about(void)
{
    long count = 0;
    static volatile int depth;
    if (sigsetjmp(out, 0) == 0)
        call_from(depth = (depth + 1) % 4, &count);
}

static void storm(UNUSED void *arg)
{
    contents own;
    fill(&own);
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR2;
    event.sigev_notify_thread_id = gettid();
    timer_t timer;
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    struct itimerspec times = {{0, 23000}, {0, 23000}};
    CHECK_EQ(timer_settime(timer, 0, &times, NULL), 0);
    long count = 0, wanted = 0;
    time_t until = time(NULL) + 15;
    while (storm_calls < STORM_SIGNALS && time(NULL) < until) {
        call(storm_work, &count);
        wanted += 3;
        if (named("jumps"))
            jump_about();
        else if (wanted % 300 == 0)
            CHECK_EQ(W->detach(), WHARF_OK); /* the next one is a first call again */
    }
    CHECK_EQ(timer_delete(timer), 0);
    CHECK_EQ(count, wanted);
    CHECK_EQ(storm_limits, 0); /* the runtime runs: nothing interrupted was its start */
    check(&own);
}

/* All of it under a callback that is out on the host's stack. */
static void storm_inside(UNUSED void *arg)
{
    contents own;
    fill(&own);
    on_host(storm, NULL);
    check(&own);
}

/* ---- the thread ---- */

static void rounds(void)
{
    signal_me(); /* the thread's first call ever is the handler's */
    for (int i = 0; i < ROUNDS; i++) {
        call(work, NULL);
        signal_me();
        if (named("jump")) {
            jump_out_of(work);
            jump_out_of(work_nested);
        }
    }
}

static void set_it_on_managed(UNUSED void *arg)
{
    char alt[ALT_BYTES] __attribute__((aligned(16)));
    set_altstack(alt);
    for (int i = 0; i < ROUNDS; i++)
        work(NULL);
    stack_t off = {.ss_flags = SS_DISABLE};
    CHECK_EQ(sigaltstack(&off, NULL), 0);
}

static void *thread(UNUSED void *arg)
{
    char alt[ALT_BYTES] __attribute__((aligned(16)));
    if (named("managed")) {
        call(set_it_on_managed, NULL);
        return NULL;
    }
    if (named("local") || named("main") || named("inside"))
        set_altstack(alt);
    else if (named("heap"))
        set_altstack((char *)malloc(ALT_BYTES));
    else if (!named("none"))
        set_altstack(named("below") ? mapped : mapped + ALT_BYTES + OWN_BYTES);
    if (named("storm")) {
        if (named("inside"))
            call(storm_inside, NULL);
        else
            storm(NULL);
        return NULL;
    }
    rounds();
    if (!named("jump"))
        CHECK_EQ(stats().stacks_used, 0);
    return NULL;
}

static pthread_t spawn_between(void)
{
    size_t all = OWN_BYTES + 2 * (size_t)ALT_BYTES;
    mapped = (char *)mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mapped != MAP_FAILED);
    pthread_attr_t attr;
    pthread_t made;
    CHECK_EQ(pthread_attr_init(&attr), 0);
    CHECK_EQ(pthread_attr_setstack(&attr, mapped + ALT_BYTES, OWN_BYTES), 0);
    CHECK_EQ(pthread_create(&made, &attr, thread, NULL), 0);
    return made;
}

int main(UNUSED int argc, char **argv)
{
    struct sigaction action;
    name = argv[1] != NULL ? argv[1] : "above";
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART | (named("none") ? 0 : SA_ONSTACK) | (named("autodisarm") ? SA_NODEFER : 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    action.sa_handler = storm_handler;
    CHECK_EQ(sigaction(SIGUSR2, &action, NULL), 0);
    load_wharf();
    if (named("storm")) { /* storms over the runtime's start: see HandlerAttach */
        CHECK_EQ(W->attach(NULL), WHARF_OK);
        CHECK_EQ(W->detach(), WHARF_OK);
    }
    if (named("main"))
        thread(NULL);
    else
        join(spawn_between());
    CHECK_EQ(stats().stacks_used, 0);
    CHECK(stats().stacks_made < 64);
    puts("OK");
    return 0;
}
