/* AttachStorm: 10 000 threads wait at a barrier, then make their first call all at once. All get through in time
 * (a second on a quiet machine, which `make bench` shows; five here), all are bound at the same time, and when they have ended, none is.
 * source: ours (O2); Go needs 18 s for 2000
 * serial: yes
 * timeout: 60
 * case lazy
 * args: lazy
 * stdout: OK
 * case started
 * args: started
 * stdout: OK
 * case attach
 * args: attach
 * stdout: OK
 * case again
 * args: again
 * stdout: OK
 */
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "scenario.h"

enum { MOST = sizeof(void *) == 8 ? 10000 : 1000 };

static atomic_int waiting, go, done, end;
static int attach_first;

static void futex_wait_while(atomic_int *word, int value)
{
    while (atomic_load(word) == value)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void open_gate(atomic_int *gate)
{
    atomic_store(gate, 1);
    syscall(SYS_futex, gate, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void callback(void *arg)
{
    ++*(int *)arg;
}

static void *host_thread(UNUSED void *arg)
{
    int calls = 0;
    atomic_fetch_add(&waiting, 1);
    futex_wait_while(&go, 0);
    if (attach_first)
        CHECK_EQ(W->attach(NULL), WHARF_OK);
    call(callback, &calls);
    CHECK_EQ(calls, 1);
    atomic_fetch_add(&done, 1);
    futex_wait_while(&end, 0);
    call(callback, &calls);
    CHECK_EQ(calls, 2);
    return NULL;
}

/* From the opening of the gate to the end of the last first call, in ns. */
static int64_t storm(void)
{
    static pthread_t threads[MOST];
    int count = share(MOST);
    atomic_store(&waiting, 0);
    atomic_store(&go, 0);
    atomic_store(&done, 0);
    atomic_store(&end, 0);
    for (int i = 0; i < count; i++)
        threads[i] = spawn(32 << 10, host_thread, NULL);
    while (atomic_load(&waiting) < count)
        usleep(1000);
    usleep(20000);
    int64_t start = W->now();
    open_gate(&go);
    while (atomic_load(&done) < count)
        usleep(100);
    int64_t time = W->now() - start;
    CHECK_EQ(stats().threads_bound, count);
    open_gate(&end);
    for (int i = 0; i < count; i++)
        join(threads[i]);
    CHECK_EQ(stats().threads_bound, 0);
    CHECK_EQ(stats().stacks_used, 0);
    return time;
}

static void in_time(int64_t time)
{
    if (time >= 5000000000)
        fprintf(stderr, "%lld ms\n", (long long)time / 1000000);
    CHECK(time < 5000000000);
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    attach_first = is_case(argv, "attach");
    if (is_case(argv, "started"))
        CHECK_EQ(W->start(NULL), WHARF_OK);
    in_time(storm());
    if (is_case(argv, "again")) {
        uint32_t made = stats().threads_made;
        in_time(storm());
        CHECK(stats().threads_made <= made + 8);
        CHECK_EQ(W->trim(), WHARF_OK);
        in_time(storm());
    }
    puts("OK");
    return 0;
}
