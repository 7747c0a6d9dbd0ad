/* EveryStep: a signal handler calls in after every single instruction of a call of the same thread, or after one of them,
 * another one each time: of a call that works, is turned away or waits, of attaching and detaching, of a stop or a trim.
 * Each handler's call runs, or is turned away where the interrupted one would be; nothing is lost.
 * source: ours
 * arch: x86_64
 * stdout: OK
 * timeout: 60
 * case nested_stacks
 * args: nested_stacks
 * case stopped
 * args: stopped
 * case stopping
 * args: stopping
 * case trimming
 * args: trimming
 * case restarted
 * args: restarted
 * case attach
 * args: attach
 * case detach
 * args: detach
 * case stop
 * args: stop
 * case trim
 * args: trim
 */
#include "scenario.h"

#include <signal.h>
#include <ucontext.h>

static volatile long step, only;     /* only: the step whose handler calls in, the last one then; 0: all of them */
static volatile int ran, answers[3]; /* OK, STOPPED, anything else */

static void run(UNUSED void *arg)
{
    ran++;
}

static void call_here(void)
{
    int before = ran, status = W->call(run, NULL);
    CHECK_EQ(ran - before, status == WHARF_OK);
    answers[status == WHARF_OK ? 0 : status == WHARF_STOPPED ? 1 : 2]++;
}

enum { TRAP_FLAG = 0x100 };

static void handler(UNUSED int signal, UNUSED siginfo_t *info, void *context)
{
    step++;
    if (only == 0 || step == only)
        call_here();
    if (step == only)
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

/* Does `work` in single steps. */
static void stepped(void (*work)(void))
{
    step = 0;
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
    work();
    __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

/* Does `work`, which steps, with a handler's call at one step, for each step. `again` makes things as they were. */
static void one_by_one(void (*work)(void), void (*again)(void))
{
    only = 0;
    do {
        only++;
        again();
        work();
    } while (step == only);
    only = 0;
}

/* ---- nested calls: of two that need one more stack at the same moment, each gets one, and both are kept ---- */

static void works(void)
{
    call(run, NULL);
}

static void detach(void)
{
    CHECK_EQ(W->detach(), WHARF_OK);
    works();
}

static void step_out(UNUSED void *arg)
{
    stepped(works);
}

static void step_nested(UNUSED void *arg)
{
    on_host(step_out, NULL);
}

static void nested(void)
{
    call(step_nested, NULL);
}

static void nested_stacks(void)
{
    wharf_stats before = {0};
    for (int round = 0; round < 10; round++) {
        one_by_one(nested, detach); /* the next call's M has one stack */
        if (round == 0)
            before = stats();
    }
    CHECK(answers[0] > 100);
    CHECK_EQ(answers[1] + answers[2], 0);
    wharf_stats after = stats();
    CHECK_EQ(after.stacks_used, 0);
    CHECK_EQ(after.stacks_made, before.stacks_made);
}

/* ---- calls that are turned away ---- */

static void is_stopped(void)
{
    CHECK_EQ(W->call(run, NULL), WHARF_STOPPED);
}

static void only_stopped(void)
{
    CHECK(answers[1] > 10);
    CHECK_EQ(answers[0] + answers[2], 0);
}

static void only_ok(void)
{
    CHECK(answers[0] > 10);
    CHECK_EQ(answers[1] + answers[2], 0);
}

static void stop(void)
{
    CHECK_EQ(W->stop(W->after(INT64_C(5000000000))), WHARF_OK);
}

static void start(void)
{
    CHECK_EQ(W->start(NULL), WHARF_OK);
}

static void stopped(void)
{
    stop();
    stepped(is_stopped);
    only_stopped();
}

static pthread_barrier_t turn;
static volatile int let_go;

static void stay(UNUSED void *arg)
{
    pthread_barrier_wait(&turn);
    while (!let_go)
        usleep(1000);
}

static void *staying_thread(UNUSED void *arg)
{
    call(stay, NULL);
    return NULL;
}

static void *stopping_thread(UNUSED void *arg)
{
    stop();
    return NULL;
}

static void stopping(void)
{
    CHECK_EQ(pthread_barrier_init(&turn, NULL, 2), 0);
    pthread_t staying = spawn(0, staying_thread, NULL);
    pthread_barrier_wait(&turn);
    pthread_t stopping = spawn(0, stopping_thread, NULL);
    while (W->running())
        usleep(1000);
    usleep(20000);
    stepped(is_stopped);
    only_stopped();
    let_go = 1;
    join(staying);
    join(stopping);
}

/* ---- calls that wait, or make the thread fit again ---- */

static void *trimming_thread(UNUSED void *arg)
{
    while (!let_go)
        CHECK_EQ(W->trim(), WHARF_OK);
    return NULL;
}

static void trimming(void)
{
    pthread_t trimming = spawn(0, trimming_thread, NULL);
    int64_t end = W->after(INT64_C(2000000000));
    while (W->now() < end)
        stepped(works);
    let_go = 1;
    join(trimming);
    only_ok();
}

static void restart(void)
{
    stop();
    start();
}

static void step_call(void)
{
    stepped(works);
}

static void restarted(void)
{
    one_by_one(step_call, restart);
    only_ok();
}

static void attaches(void)
{
    wharf_attach_options options = WHARF_ATTACH_OPTIONS_INIT;
    options.touch_bytes = 4096;
    CHECK_EQ(W->attach(&options), WHARF_OK);
}

static void step_attach(void)
{
    stepped(attaches);
}

static void attach(void)
{
    one_by_one(step_attach, restart);
    only_ok();
}

static void detaches(void)
{
    CHECK_EQ(W->detach(), WHARF_OK);
}

static void step_detach(void)
{
    stepped(detaches);
}

/* The handler may tie the thread up anew, before or after the detach is done. */
static void detached(void)
{
    one_by_one(step_detach, works);
    only_ok();
    works();
    CHECK_EQ(stats().threads_bound, 1);
    CHECK(stats().threads_made <= 3);
    detaches();
    CHECK_EQ(stats().threads_bound, 0);
    CHECK_EQ(stats().stacks_used, 0);
}

/* ---- the rare side itself is interrupted ---- */

static void stop_itself(void)
{
    for (int round = 0; round < 3; round++) {
        stepped(stop);
        CHECK(answers[0] > 0 && answers[1] > 0);
        CHECK_EQ(answers[2], 0);
        is_stopped();
        start();
        works();
    }
}

static void trims(void)
{
    CHECK_EQ(W->trim(), WHARF_OK);
}

static void trim_itself(void)
{
    for (int round = 0; round < 3; round++)
        stepped(trims);
    only_ok();
    CHECK_EQ(stats().stacks_used, 0);
}

int main(UNUSED int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"nested_stacks", nested_stacks}, {"stopped", stopped}, {"stopping", stopping}, {"trimming", trimming},
        {"restarted", restarted}, {"attach", attach}, {"detach", detached}, {"stop", stop_itself}, {"trim", trim_itself},
    };
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    CHECK_EQ(sigaction(SIGTRAP, &action, NULL), 0);
    load_wharf();
    CHECK_EQ(W->start(NULL), WHARF_OK);
    call(run, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (is_case(argv, cases[i].name)) {
            cases[i].run();
            puts("OK");
        }
    }
    return 0;
}
