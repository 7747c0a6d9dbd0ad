/* HandlerAttach: ten threads send a hundred signals each at a thread that makes its first calls; every handler's first
 * act is a call, too, so it may have to tie up the thread that it interrupted while that is being tied up, or even
 * start the runtime under its own start. No deadlock, no call lost, no M lost.
 * source: Go TestNeedmDeadlock (issue 42207)
 * timeout: 120
 * stdout~ ^OK\n
 * case warm
 * args: warm
 * case cold
 * args: cold
 * case silent
 * args: silent
 * case altstack
 * args: altstack
 * case cold_altstack
 * args: cold_altstack
 * case cold_timer
 * args: cold_timer
 * case many
 * args: many
 */
#include "scenario.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { SIGNALLERS = 10, SIGNALS = 100, ROUNDS = 40, COLD_ROUNDS = 60, TIMER_ROUNDS = 1500, TARGETS = 8 };

static const char *name;
static pthread_t targets[TARGETS];
static int target_count = 1;
static pthread_barrier_t ready, finish;
static long handler_calls, handler_ok, handler_limits, ran, own_calls;

static int named(const char *part)
{
    return strstr(name, part) != NULL;
}

static void add(void *arg)
{
    __atomic_fetch_add((long *)arg, 1, __ATOMIC_RELAXED);
}

static timer_t timer;
static int timer_is_on;

/* Counted from the handler's end, so that what it interrupts always gets on a little. */
static void set_timer(long ns)
{
    struct itimerspec times = {{0, 0}, {0, ns}};
    CHECK_EQ(timer_settime(timer, 0, &times, NULL), 0);
}

static void handler(UNUSED int signal)
{
    int saved = errno;
    int status = W->call(add, &ran);
    add(&handler_calls);
    if (status != WHARF_ELIMIT)
        CHECK_EQ(status, WHARF_OK);
    add(status == WHARF_OK ? &handler_ok : &handler_limits);
    if (timer_is_on)
        set_timer(500 + handler_calls * 700 % 20000);
    CHECK_EQ(errno, saved);
}

static void *target(UNUSED void *arg)
{
    static _Thread_local char space[32 << 10];
    stack_t altstack = {.ss_sp = space, .ss_size = sizeof space};
    if (named("altstack"))
        CHECK_EQ(sigaltstack(&altstack, NULL), 0);
    pthread_barrier_wait(&ready);
    for (int i = 0; i < 10 && !named("silent"); i++) {
        call(add, &ran); /* never WHARF_ELIMIT: only who interrupts may meet a start half done */
        add(&own_calls);
    }
    pthread_barrier_wait(&finish); /* signals until here */
    return NULL;
}

static void *signaller(UNUSED void *arg)
{
    pthread_barrier_wait(&ready);
    for (int i = 0; i < SIGNALS; i++) {
        CHECK_EQ(pthread_kill(targets[i % target_count], SIGUSR1), 0);
        if (i % 10 == 9)
            usleep(50); /* signals of one number that wait are one signal: let some through */
    }
    pthread_barrier_wait(&finish);
    return NULL;
}

static void one_round(void)
{
    pthread_t signallers[SIGNALLERS];
    unsigned all = SIGNALLERS + (unsigned)target_count;
    CHECK_EQ(pthread_barrier_init(&ready, NULL, all), 0);
    CHECK_EQ(pthread_barrier_init(&finish, NULL, all), 0);
    for (int i = 0; i < target_count; i++)
        targets[i] = spawn(0, target, NULL);
    for (int i = 0; i < SIGNALLERS; i++)
        signallers[i] = spawn(0, signaller, NULL);
    for (int i = 0; i < SIGNALLERS; i++)
        join(signallers[i]);
    for (int i = 0; i < target_count; i++)
        join(targets[i]);
}

static void check_round(void)
{
    CHECK_EQ(ran, own_calls + handler_ok);
    wharf_stats now = stats();
    CHECK_EQ(now.threads_bound, 0);
    CHECK_EQ(now.stacks_used, 0);
    if (now.threads_made > 16 + 2 * (uint32_t)target_count)
        fprintf(stderr, "Ms %u, stacks %u\n", now.threads_made, now.stacks_made);
    CHECK(now.threads_made <= 16 + 2 * (uint32_t)target_count);
    if (!named("cold"))
        CHECK_EQ(handler_limits, 0); /* the runtime runs already */
}

static void add_nothing(UNUSED void *arg) {}

/* A finer storm, from a timer that is on before the first call: it interrupts the start at all its instructions. */
static void timer_round(void)
{
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event.sigev_notify_thread_id = gettid();
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    timer_is_on = 1;
    set_timer(1 + getpid() % 128 * 250);
    while (handler_calls < 20) {
        call(add, &ran);
        add(&own_calls);
    }
    timer_is_on = 0;
    CHECK_EQ(timer_delete(timer), 0);
    CHECK_EQ(W->detach(), WHARF_OK);
}

/* Each in a process of its own: the storm meets the very first call. */
static void cold_rounds(void)
{
    int rounds = named("timer") ? TIMER_ROUNDS : COLD_ROUNDS;
    for (int i = 0; i < rounds; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(10);
            load_wharf();
            if (named("timer"))
                timer_round();
            else
                one_round();
            check_round();
            _exit(handler_limits > 0 ? 3 : 0);
        }
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3))
            fprintf(stderr, "round %d: wait status %#x\n", i, (unsigned)status);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3);
        handler_limits += WEXITSTATUS(status) == 3;
    }
    printf("OK\nrounds with WHARF_ELIMIT: %ld of %d\n", handler_limits, rounds);
}

int main(UNUSED int argc, char **argv)
{
    struct sigaction action;
    name = argv[1] != NULL ? argv[1] : "warm";
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART | (named("altstack") ? SA_ONSTACK : 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    if (named("cold")) {
        cold_rounds();
        return 0;
    }
    target_count = named("many") ? TARGETS : 1;
    load_wharf();
    CHECK_EQ(W->call(add_nothing, NULL), WHARF_OK);
    CHECK_EQ(W->detach(), WHARF_OK);
    for (int i = 0; i < ROUNDS; i++) {
        one_round();
        check_round();
    }
    CHECK(handler_calls > 0);
    printf("OK\n%ld calls in handlers, %ld WHARF_ELIMIT\n", handler_calls, handler_limits);
    return 0;
}
