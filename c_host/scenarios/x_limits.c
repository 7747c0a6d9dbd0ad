/* Limits: little address space, data, lockable memory or threads. A call gets a status or works, never a crash, and
 * works once the limit is lifted; memory figures hold under mlockall and huge pages.
 * source: ours (DESIGN 1.8, section 2 on huge pages and mlockall)
 * timeout: 60
 * stdout~ ^OK$
 * case address_space
 * args: address_space
 * case address_space_nested
 * args: address_space_nested
 * case data
 * args: data
 * case data_nested
 * args: data_nested
 * case memlock
 * args: memlock
 * case memlock_nested
 * args: memlock_nested
 * case max_threads
 * args: max_threads
 * case max_threads_lowered
 * args: max_threads_lowered
 */
#include "scenario.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { THREADS = 24, STEP_KB = 128, STEPS = 40, NOBODY = 65534 };

static const char *name;

static int named(const char *part)
{
    return strstr(name, part) != NULL;
}

static void add(void *arg)
{
    ++*(int *)arg;
}

static __thread int nested_status;

static void call_nested(void *arg)
{
    nested_status = W->call(add, arg);
}

static void add_nested(void *arg)
{
    nested_status = WHARF_OK;
    CHECK_EQ(W->on_host(call_nested, arg), WHARF_OK);
}

/* What may be answered where there is no memory. */
static int acceptable(int status)
{
    return status == WHARF_OK || status == WHARF_ENOMEM || status == WHARF_ELIMIT || status == WHARF_ESYS;
}

/* ---- threads that wait for the limit, and for its end ---- */

static pthread_barrier_t turn;
static int statuses[THREADS];

static void *thread(void *arg)
{
    int *status = (int *)arg, count = 0;
    wharf_fn fn = named("nested") ? add_nested : add;
    pthread_barrier_wait(&turn); /* all are made before the limit is set */
    pthread_barrier_wait(&turn);
    *status = W->call(fn, &count);
    if (*status == WHARF_OK && named("nested"))
        *status = nested_status;
    CHECK(acceptable(*status));
    CHECK_EQ(count, *status == WHARF_OK);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* lifted again */
    count = 0;
    call(fn, &count);
    CHECK_EQ(count, 1);
    return NULL;
}

static int resource(void)
{
    return named("address") ? RLIMIT_AS : named("data") ? RLIMIT_DATA : RLIMIT_MEMLOCK;
}

/* Sets the limit so much above what is in use; negative: lifts it. */
static void set_limit(long more_kb)
{
    if (named("memlock") && more_kb < 0) {
        CHECK_EQ(munlockall(), 0);
        return;
    }
    long now_kb = figure("/proc/self/status", named("data") ? "VmData" : "VmSize");
    struct rlimit limit;
    CHECK_EQ(getrlimit(resource(), &limit), 0);
    rlim_t wanted = (rlim_t)(now_kb + more_kb) << 10;
    limit.rlim_cur = more_kb < 0 || wanted > limit.rlim_max ? limit.rlim_max : wanted;
    CHECK_EQ(setrlimit(resource(), &limit), 0);
}

/* Locks all memory, now and later, and gives the privilege up: from here on the limit counts. */
static void lock_memory(void)
{
    CHECK_EQ(mlockall(MCL_CURRENT | MCL_FUTURE), 0);
    CHECK_EQ(setresuid(NOBODY, NOBODY, NOBODY), 0);
}

static void run_limited(long more_kb)
{
    pthread_t threads[THREADS];
    load_wharf();
    if (named("memlock"))
        lock_memory();
    CHECK_EQ(pthread_barrier_init(&turn, NULL, THREADS + 1), 0);
    for (int i = 0; i < THREADS; i++)
        threads[i] = spawn(32 << 10, thread, &statuses[i]);
    pthread_barrier_wait(&turn);
    set_limit(more_kb);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    set_limit(-1);
    pthread_barrier_wait(&turn);
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
}

/* Each step in a process of its own: the first call of a process meets the limit, too. */
static int run_step(long more_kb)
{
    int pipes[2];
    CHECK_EQ(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        run_limited(more_kb);
        CHECK_EQ(write(pipes[1], statuses, sizeof statuses), sizeof statuses);
        _exit(0);
    }
    close(pipes[1]);
    ssize_t got = read(pipes[0], statuses, sizeof statuses);
    close(pipes[0]);
    int status, worked = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (status != 0)
        fprintf(stderr, "with %ld KiB more: wait status %#x\n", more_kb, (unsigned)status);
    CHECK_EQ(status, 0);
    CHECK_EQ(got, sizeof statuses);
    for (int i = 0; i < THREADS; i++)
        worked += statuses[i] == WHARF_OK;
    return worked;
}

static void run_steps(void)
{
    int last = -1;
    long kb = 0;
    for (int i = 0; i < STEPS; i++, kb = i < STEPS / 2 ? i * STEP_KB : kb * 5 / 4) {
        int worked = run_step(kb);
        if (worked != last)
            printf("with %ld KiB more: %d of %d\n", kb, worked, THREADS);
        last = worked;
    }
    /* With memlock the hard limit may be less; nested, each thread may get one stack and none its second. */
    if (!named("memlock") && !named("nested"))
        CHECK(run_step(64 << 10) >= 1);
}

/* ---- max_threads ---- */

static pthread_barrier_t bound, leave;

static void *bound_thread(UNUSED void *arg)
{
    int count = 0;
    call(add, &count);
    pthread_barrier_wait(&bound);
    pthread_barrier_wait(&leave);
    call(add, &count);
    return NULL;
}

static void *fifth_thread(void *arg)
{
    pthread_t *fourth = (pthread_t *)arg;
    int count = 0;
    pthread_barrier_wait(&bound);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(W->call(add, &count), WHARF_ELIMIT);
    CHECK_EQ(W->attach(NULL), WHARF_ELIMIT);
    CHECK_EQ(count, 0);
    CHECK_EQ(stats().threads_bound, 4);
    pthread_barrier_wait(&leave);
    join(*fourth);
    call(add, &count);
    CHECK_EQ(count, 1);
    return NULL;
}

static void run_max_threads(void)
{
    wharf_config config = WHARF_CONFIG_INIT;
    config.max_threads = 4;
    load_wharf();
    CHECK_EQ(W->start(&config), WHARF_OK);
    for (int round = 0; round < 20; round++) {
        pthread_t threads[4], fifth;
        CHECK_EQ(pthread_barrier_init(&bound, NULL, 5), 0);
        CHECK_EQ(pthread_barrier_init(&leave, NULL, 5), 0);
        for (int i = 0; i < 4; i++)
            threads[i] = spawn(0, bound_thread, NULL);
        fifth = spawn(0, fifth_thread, &threads[3]);
        for (int i = 0; i < 3; i++)
            join(threads[i]);
        join(fifth);
        CHECK_EQ(stats().threads_bound, 0);
        CHECK_EQ(stats().threads_made, 4);
    }
}

/* ---- max_threads of a start that finds Ms of the one before ---- */

static int status_of[8];

static void *tries(void *arg)
{
    int count = 0;
    *(int *)arg = W->call(add, &count);
    pthread_barrier_wait(&bound);
    pthread_barrier_wait(&leave);
    return NULL;
}

/* How many of eight more threads can be attached at a time. */
static int attachable(void)
{
    pthread_t threads[8];
    int worked = 0;
    CHECK_EQ(pthread_barrier_init(&bound, NULL, 9), 0);
    CHECK_EQ(pthread_barrier_init(&leave, NULL, 9), 0);
    for (int i = 0; i < 8; i++)
        threads[i] = spawn(0, tries, &status_of[i]);
    pthread_barrier_wait(&bound);
    for (int i = 0; i < 8; i++) {
        CHECK(status_of[i] == WHARF_OK || status_of[i] == WHARF_ELIMIT);
        worked += status_of[i] == WHARF_OK;
    }
    pthread_barrier_wait(&leave);
    for (int i = 0; i < 8; i++)
        join(threads[i]);
    return worked;
}

static void restart(uint32_t max_threads)
{
    wharf_config config = WHARF_CONFIG_INIT;
    config.max_threads = max_threads;
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    CHECK_EQ(W->start(&config), WHARF_OK);
}

static void *stays_bound(UNUSED void *arg)
{
    int count = 0;
    call(add, &count);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    return NULL;
}

static void run_max_threads_lowered(void)
{
    pthread_t others[3];
    int count = 0;
    load_wharf();
    call(add, &count); /* the main thread stays attached all the while, and keeps the table */
    CHECK_EQ(attachable(), 8);
    restart(3);
    for (int round = 0; round < 5; round++)
        CHECK_EQ(attachable(), 2);
    restart(6);
    CHECK_EQ(attachable(), 5);
    CHECK_EQ(pthread_barrier_init(&turn, NULL, 4), 0);
    for (int i = 0; i < 3; i++)
        others[i] = spawn(0, stays_bound, NULL);
    pthread_barrier_wait(&turn);
    restart(2); /* four are attached, and stay so */
    CHECK_EQ(stats().threads_bound, 4);
    CHECK_EQ(attachable(), 0);
    pthread_barrier_wait(&turn);
    for (int i = 0; i < 3; i++)
        join(others[i]);
    for (int round = 0; round < 5; round++)
        CHECK_EQ(attachable(), 1);
    restart(0);
    CHECK_EQ(attachable(), 8);
}

int main(UNUSED int argc, char **argv)
{
    name = argv[1] != NULL ? argv[1] : "address_space";
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (named("lowered"))
        run_max_threads_lowered();
    else if (named("max_threads"))
        run_max_threads();
    else if (named("memlock") && geteuid() != 0)
        puts("not tested: needs root");
    else
        run_steps();
    puts("OK");
    return 0;
}
