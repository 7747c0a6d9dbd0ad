/* ThreadChurn: 100 000 threads one after another, each makes one call; no memory is lost and the same few Ms serve them
 * all. Barrier4000: 4000 threads stand at a barrier, then all make their first call; when they have ended and the
 * pool is trimmed, the memory is back where 4000 threads without a call leave it.
 * source: SCENARIOS O2; Go TestEnsureDropM, EnsureBindM
 * stdout: OK
 * timeout: 120
 * case sequential
 * args: sequential
 * case overlapping
 * args: overlapping
 * case barrier
 * args: barrier
 * serial: yes
 */
#include "scenario.h"

enum { THREADS = 100000, WARM = 1000, MAX_GROWTH_KB = 1024, CROWD = 4000, MAX_LEFT_KB = 3072, BESIDE = 4 };

static void check_growth(long before, long after, long most)
{
    if (EMULATED)
        return;
    if (after - before > most)
        fprintf(stderr, "RSS %ld -> %ld KiB\n", before, after);
    CHECK(after - before <= most);
}

static long ran;

static void add(void *arg)
{
    __atomic_fetch_add((long *)arg, 1, __ATOMIC_RELAXED);
}

static void *one_call(UNUSED void *arg)
{
    call(add, &ran);
    return NULL;
}

static void check_few(uint32_t most)
{
    wharf_stats now = stats();
    if (now.threads_made >= most)
        fprintf(stderr, "Ms %u, stacks %u\n", now.threads_made, now.stacks_made);
    CHECK(now.threads_made < most);
    CHECK_EQ(now.threads_bound, 0);
    CHECK_EQ(now.stacks_used, 0);
}

/* So many threads, `beside` of them at a time. */
static void churn(int count, int beside)
{
    pthread_t threads[BESIDE];
    for (int i = 0; i < count; i++) {
        if (i >= beside)
            join(threads[i % beside]);
        threads[i % beside] = spawn(64 << 10, one_call, NULL);
    }
    for (int i = 0; i < beside; i++)
        join(threads[i]);
}

static void run_churn(int beside)
{
    churn(WARM, beside);
    long before = rss_kb();
    churn(share(THREADS) - WARM, beside);
    long after = rss_kb();
    CHECK_EQ(ran, share(THREADS));
    check_growth(before, after, MAX_GROWTH_KB);
    check_few(beside == 1 ? 8 : 33); /* 16 may be made before the first look for ended ones */
}

/* ---- a crowd ---- */

static pthread_barrier_t all_here, all_called;
static int crowd_calls;

static void *crowd_thread(UNUSED void *arg)
{
    pthread_barrier_wait(&all_here);
    if (crowd_calls)
        call(add, &ran);
    pthread_barrier_wait(&all_called);
    return NULL;
}

static void crowd(int calls)
{
    static pthread_t threads[CROWD];
    int count = share(CROWD);
    crowd_calls = calls;
    CHECK_EQ(pthread_barrier_init(&all_here, NULL, count + 1), 0);
    CHECK_EQ(pthread_barrier_init(&all_called, NULL, count + 1), 0);
    for (int i = 0; i < count; i++)
        threads[i] = spawn(64 << 10, crowd_thread, NULL);
    pthread_barrier_wait(&all_here);
    pthread_barrier_wait(&all_called);
    for (int i = 0; i < count; i++)
        join(threads[i]);
}

static void run_barrier(void)
{
    crowd(0);
    call(add, &ran);
    CHECK_EQ(W->detach(), WHARF_OK);
    CHECK_EQ(W->trim(), WHARF_OK);
    crowd(0);
    long before = rss_kb();
    crowd(1);
    CHECK_EQ(ran, share(CROWD) + 1);
    CHECK_EQ(W->trim(), WHARF_OK);
    long after = rss_kb();
    check_growth(before, after, MAX_LEFT_KB);
    CHECK_EQ(stats().threads_bound, 0);
    CHECK_EQ(stats().stacks_used, 0);
    ran = 0;
    crowd(1); /* and again: the Ms of the first crowd serve the second */
    CHECK_EQ(ran, share(CROWD));
    uint32_t most = share(CROWD + CROWD / 10);
    if (stats().threads_made > most)
        fprintf(stderr, "Ms %u\n", stats().threads_made);
    CHECK(stats().threads_made <= most);
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "barrier"))
        run_barrier();
    else
        run_churn(is_case(argv, "overlapping") ? BESIDE : 1);
    puts("OK");
    return 0;
}
