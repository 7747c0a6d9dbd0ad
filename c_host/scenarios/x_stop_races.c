/* StopRaces: stops beside what other threads do at that moment: end, attach, detach, look in. None crashes or hangs, and
 * what a stop leaves behind works.
 * source: ours
 * stdout: OK
 * timeout: 30
 * case end_while_waiting
 * args: end_while_waiting
 * case attach
 * args: attach
 * case detach
 * args: detach
 * case attach_detach
 * args: attach_detach
 * case detach_loop
 * args: detach_loop
 * case panic
 * args: panic
 * case slow_reader
 * args: slow_reader
 */
#include "scenario.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define MS INT64_C(1000000)

static volatile int let_go, leave;
static pthread_barrier_t turn;

static void add(void *arg)
{
    ++*(int *)arg;
}

static void *one_call(UNUSED void *arg)
{
    int count = 0;
    call(add, &count);
    CHECK_EQ(count, 1);
    return NULL;
}

/* ---- a thread ends while a stop waits for another, and gives up ---- */

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

static void *ending_thread(UNUSED void *arg)
{
    one_call(NULL);
    pthread_barrier_wait(&turn);
    while (W->running())
        sched_yield(); /* until the stop waits */
    return NULL;
}

static void end_while_waiting(void)
{
    CHECK_EQ(pthread_barrier_init(&turn, NULL, 2), 0);
    CHECK_EQ(W->start(NULL), WHARF_OK);
    pthread_t staying = spawn(0, staying_thread, NULL);
    pthread_barrier_wait(&turn);
    pthread_t ending = spawn(0, ending_thread, NULL);
    pthread_barrier_wait(&turn);
    CHECK_EQ(W->stop(W->after(100 * MS)), WHARF_TIMEOUT);
    join(ending);
    on_thread(one_call, NULL); /* gets what that one left */
    let_go = 1;
    join(staying);
    CHECK_EQ(W->stop(W->after(1000 * MS)), WHARF_OK);
}

/* ---- attaching and detaching threads ---- */

enum { ROUNDS_MS = 3000, THREADS = 2, TOUCHED = SCALED(1 << 20) };

static long done[2];

static int allowed(int status)
{
    return status == WHARF_OK || status == WHARF_STOPPED;
}

static void *attaching_thread(void *arg)
{
    const char *what = (const char *)arg;
    wharf_attach_options options = WHARF_ATTACH_OPTIONS_INIT;
    options.touch_bytes = strcmp(what, "detach") == 0 ? 0 : TOUCHED;
    while (!leave) {
        int status = W->attach(&options);
        CHECK(allowed(status));
        done[0] += status == WHARF_OK;
        if (strcmp(what, "attach") != 0) {
            status = W->detach(); /* a first attach that was turned away has tied up nothing */
            CHECK(status == WHARF_OK || status == WHARF_ESTATE);
            done[1] += status == WHARF_OK;
        }
    }
    return NULL;
}

static void stops_beside(const char *what)
{
    pthread_t threads[THREADS];
    int64_t end = W->after(ROUNDS_MS * MS);
    CHECK_EQ(W->start(NULL), WHARF_OK);
    for (int i = 0; i < THREADS; i++)
        threads[i] = spawn(0, attaching_thread, (void *)what);
    for (unsigned i = 0; W->now() < end; i++) {
        usleep(i * 37 % 300);
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
        CHECK_EQ(W->start(NULL), WHARF_OK);
    }
    leave = 1;
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
    CHECK(done[0] > 0);
    check_bound(0);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
}

/* A thread that comes back finds its M and its stack again. */
static void detach_loop(void)
{
    CHECK_EQ(W->start(NULL), WHARF_OK);
    for (int i = 0; i < 100; i++) {
        one_call(NULL);
        CHECK_EQ(stats().threads_bound, 1);
        CHECK_EQ(W->detach(), WHARF_OK);
        CHECK_EQ(W->detach(), WHARF_ESTATE);
        if (i % 2 == 0) {
            wharf_stats now = stats();
            CHECK_EQ(now.threads_bound, 0);
            CHECK_EQ(now.threads_spare, 1);
        }
    }
    CHECK_EQ(stats().threads_made, 1);
    one_call(NULL);
    CHECK_EQ(W->detach(), WHARF_OK);
    CHECK_EQ(W->stop(0), WHARF_OK);
    CHECK_EQ(stats().bytes_reserved, 0);
}

/* ---- a thread outside callbacks dies while others stop ---- */

enum { DEATHS = 150 };

static void *panicking_thread(void *arg)
{
    usleep((unsigned)(intptr_t)arg);
    W->panic("outside");
    return NULL;
}

static void dies(int number)
{
    CHECK(freopen("/dev/null", "w", stderr) != NULL);
    pthread_t attached;
    CHECK_EQ(pthread_barrier_init(&turn, NULL, 2), 0);
    for (int round = 0;; round++) {
        CHECK_EQ(W->start(NULL), WHARF_OK);
        attached = spawn(0, one_call, NULL);
        join(attached);
        if (round == 2)
            spawn(0, panicking_thread, (void *)(intptr_t)(number * 17 % 1000));
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    }
}

static void panic_beside(void)
{
    for (int i = 0; i < DEATHS; i++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            dies(i);
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), SIGABRT);
    }
}

/* ---- a stop waits for a dump that nobody reads, and sleeps meanwhile ---- */

static void *dumping_thread(void *arg)
{
    pthread_barrier_wait(&turn);
    W->dump(*(int *)arg);
    return NULL;
}

static int64_t cpu_ns(void)
{
    struct timespec at;
    CHECK_EQ(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at), 0);
    return (int64_t)at.tv_sec * 1000 * MS + at.tv_nsec;
}

static void *stays_attached(UNUSED void *arg)
{
    one_call(NULL);
    pthread_barrier_wait(&turn);
    while (!let_go)
        usleep(1000);
    return NULL;
}

static void slow_reader(void)
{
    pthread_t attached[64];
    int pipes[2];
    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(fcntl(pipes[1], F_SETPIPE_SZ, 4096), 4096);
    CHECK_EQ(fcntl(pipes[1], F_SETFL, O_NONBLOCK), 0);
    while (write(pipes[1], "", 1) == 1) {}
    CHECK_EQ(W->start(NULL), WHARF_OK);
    CHECK_EQ(pthread_barrier_init(&turn, NULL, 2), 0);
    for (int i = 0; i < 64; i++) { /* so much that the printer must write before its end */
        attached[i] = spawn(64 << 10, stays_attached, NULL);
        pthread_barrier_wait(&turn);
    }
    pthread_t dumping = spawn(0, dumping_thread, &pipes[1]);
    pthread_barrier_wait(&turn);
    usleep(100000);
    int64_t cpu = cpu_ns(), before = W->now();
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    int64_t took_ms = (W->now() - before) / MS, cpu_ms = (cpu_ns() - cpu) / MS;
    if (cpu_ms > 100)
        fprintf(stderr, "%lld ms of CPU in %lld ms\n", (long long)cpu_ms, (long long)took_ms);
    CHECK(took_ms > 1000);
    CHECK(cpu_ms <= 100);
    let_go = 1;
    join(dumping);
    for (int i = 0; i < 64; i++)
        join(attached[i]);
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "end_while_waiting"))
        end_while_waiting();
    else if (is_case(argv, "detach_loop"))
        detach_loop();
    else if (is_case(argv, "panic"))
        panic_beside();
    else if (is_case(argv, "slow_reader"))
        slow_reader();
    else
        stops_beside(argv[1]);
    puts("OK");
    return 0;
}
