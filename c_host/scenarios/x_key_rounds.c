/* KeyRounds: the host's pthread key destructors call in, in each of the rounds that the libc runs, with keys made before
 * and after wharf's start; threads that end by the raw system call; a process without a free key. Nothing crashes, and
 * of a thousand threads nothing is left.
 * source: SCENARIOS O3, O4; DESIGN [exit]
 * stdout~ ^OK$
 * timeout: 60
 * case before
 * args: before
 * case after
 * args: after
 * case both
 * args: both
 * case first_call_in_destructor
 * args: first_call_in_destructor
 * case on_host_in_destructor
 * args: on_host_in_destructor
 * case detach_in_destructor
 * args: detach_in_destructor
 * case exit_in_callback
 * args: exit_in_callback
 * case raw_exit
 * args: raw_exit
 * case raw_exit_in_callback
 * args: raw_exit_in_callback
 * case raw_exit_same_tid
 * args: raw_exit_same_tid
 * case exhausted
 * args: exhausted
 * case exhausted_both
 * args: exhausted_both
 * case exhausted_after
 * args: exhausted_after
 */
#include "scenario.h"

#include <limits.h>
#include <sys/syscall.h>

enum { THREADS = 1000, ROUNDS = 4, KEYS = 40 };

static const char *name;
static pthread_key_t early[KEYS], late[KEYS];
static int early_count, late_count;
static long destructor_calls, destructor_runs;

static int named(const char *part)
{
    return strstr(name, part) != NULL;
}

static void add(void *arg)
{
    __atomic_fetch_add((long *)arg, 1, __ATOMIC_RELAXED);
}

static void add_on_host(void *arg)
{
    on_host(add, arg);
}

static void call_in(void)
{
    call(named("on_host") ? add_on_host : add, &destructor_calls);
}

/* The value is the number of rounds that it still wants. */
static void again(pthread_key_t *keys, int count, void *value)
{
    intptr_t left = (intptr_t)value / 100, index = (intptr_t)value % 100;
    CHECK(index < count);
    add(&destructor_runs);
    call_in();
    if (named("detach_in"))
        CHECK_EQ(W->detach(), WHARF_OK);
    if (left > 1)
        CHECK_EQ(pthread_setspecific(keys[index], (void *)((left - 1) * 100 + index)), 0);
    if (left % 2)
        call_in();
}

static void early_destructor(void *value)
{
    again(early, early_count, value);
}

static void late_destructor(void *value)
{
    again(late, late_count, value);
}

static void make_keys(pthread_key_t *keys, int *count, int wanted, void (*destructor)(void *))
{
    while (*count < wanted)
        CHECK_EQ(pthread_key_create(&keys[(*count)++], destructor), 0);
}

/* More rounds are asked for than run. */
static void set_values(pthread_key_t *keys, int count)
{
    for (intptr_t i = 0; i < count; i += 7)
        CHECK_EQ(pthread_setspecific(keys[i], (void *)((ROUNDS + 2) * 100 + i)), 0);
}

static void raw_exit(UNUSED void *arg)
{
    syscall(SYS_exit, 0);
}

static void exit_thread(UNUSED void *arg)
{
    pthread_exit(NULL);
}

static void *thread(UNUSED void *arg)
{
    long mine = 0;
    set_values(early, early_count);
    set_values(late, late_count);
    if (!named("first_call"))
        call(add, &mine);
    if (named("exit_in_callback"))
        call(named("raw") ? raw_exit : exit_thread, NULL);
    if (named("raw_exit"))
        raw_exit(NULL);
    return NULL;
}

/* A thread that was joined is still seen by the kernel for a moment. */
static void await_bound(uint32_t wanted)
{
    for (int i = 0; i < 1000 && stats().threads_bound > wanted; i++)
        usleep(1000);
    CHECK(stats().threads_bound <= wanted);
}

static void check_nothing_left(void)
{
    await_bound(0);
    CHECK_EQ(W->trim(), WHARF_OK);
    wharf_stats now = stats();
    if (now.threads_made >= 33 || now.threads_bound != 0)
        fprintf(stderr, "Ms %u, bound %u, stacks %u\n", now.threads_made, now.threads_bound, now.stacks_made);
    CHECK_EQ(now.threads_bound, 0);
    CHECK_EQ(now.stacks_used, 0);
    CHECK(now.threads_made < 33);
}

/* Takes every key there is, or all that wharf left. */
static int exhaust_keys(void)
{
    pthread_key_t key;
    int taken = 0;
    while (pthread_key_create(&key, NULL) == 0)
        taken++;
    return taken;
}

static void run_threads(void)
{
    for (int i = 0; i < THREADS; i++)
        (named("raw") ? on_raw_thread : on_thread)(thread, NULL);
    int keys = (early_count + 6) / 7 + (late_count + 6) / 7;
    if (!named("raw")) /* the libc runs at least these rounds, for every key */
        CHECK(destructor_runs >= (long)THREADS * keys * PTHREAD_DESTRUCTOR_ITERATIONS);
    CHECK(destructor_calls >= destructor_runs);
}

/* ---- a tid that comes round ---- */

static int32_t raw_tid;

/* Makes the kernel's next number the one of a thread that has ended, then looks that a new thread with the same tid
 * is not taken for the old one. Needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. */
static void *same_tid_thread(void *arg)
{
    *(int32_t *)arg = gettid();
    long mine = 0;
    call(add, &mine);
    await_bound(1); /* us: the dead one no more, although its tid lives, in us */
    CHECK_EQ(stats().threads_bound, 1);
    raw_exit(NULL);
    return NULL;
}

static int set_next_tid(int32_t tid)
{
    FILE *file = fopen("/proc/sys/kernel/ns_last_pid", "w");
    if (file == NULL)
        return 0;
    fprintf(file, "%d", tid - 1);
    return fclose(file) == 0;
}

static void run_same_tid(void)
{
    int same = 0;
    for (int i = 0; i < 200; i++) {
        int32_t tid = 0;
        if (raw_tid != 0 && !set_next_tid(raw_tid))
            break;
        on_raw_thread(same_tid_thread, &tid);
        same += tid == raw_tid;
        raw_tid = tid;
    }
    if (same == 0)
        puts("no tid came round");
}

int main(UNUSED int argc, char **argv)
{
    name = argv[1] != NULL ? argv[1] : "before";
    int want_early = named("before") || named("both") || named("destructor") || named("exit");
    if (want_early)
        make_keys(early, &early_count, KEYS, early_destructor);
    if (named("exhausted") && !named("after"))
        CHECK(exhaust_keys() > 0);
    load_wharf();
    if (!named("first_call")) {
        long mine = 0;
        call(add, &mine);
        CHECK_EQ(W->detach(), WHARF_OK);
    }
    if (named("after") && named("exhausted"))
        CHECK(exhaust_keys() > 0);
    if ((named("after") || named("both")) && !named("exhausted"))
        make_keys(late, &late_count, KEYS, late_destructor);
    if (named("same_tid"))
        run_same_tid();
    else
        run_threads();
    check_nothing_left();
    puts("OK");
    return 0;
}
