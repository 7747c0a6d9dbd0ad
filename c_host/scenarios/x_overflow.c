/* Overflow: a callback that outgrows its stack ends the process with the limit, the two ends of its trace, and SIGABRT; so
 * does a single frame that is larger than what is left, as long as the guard is larger than the frame.
 * source: Go TestStackOverflow; DESIGN.md part Faults of crash fidelity
 * status: signal SIGABRT
 * stderr~ ^wharf: goroutine stack exceeds [1-9][0-9]*-byte limit\nfatal error: stack overflow\n\ngoroutine [1-9][0-9]* \[running, locked to thread\]:\n
 * case recursion
 * args: recursion
 * stderr~ exceeds (8388608|262144)-byte limit\n
 * stderr~ \nrecurse\+0x(.|\n)*\n\.\.\.[1-9][0-9]* frames elided\.\.\.\n(.|\n)*\nrecurse\+0x(.|\n)*\ncallback\+0x(.|\n)*\nwharf_call\+0x(.|\n)*\nhost_thread\+0x
 * case recursion_small
 * args: recursion small
 * stderr~ exceeds 16384-byte limit\n
 * case recursion_main
 * args: recursion main
 * stderr~ exceeds (8388608|262144)-byte limit\n
 * case recursion_altstack
 * args: recursion altstack
 * stderr~ exceeds (8388608|262144)-byte limit\n
 * case recursion_thread_small
 * args: recursion thread_small
 * stderr~ exceeds (8388608|262144)-byte limit\n
 * case large_frame
 * args: large
 * stderr~ exceeds (8388608|262144)-byte limit\n
 * frames: large_frame use_most callback wharf_call host_thread
 * case large_frame_second
 * args: large second
 * stderr~ exceeds (8388608|262144)-byte limit\n
 * case probed
 * args: probed
 * stderr~ exceeds (8388608|262144)-byte limit\n
 * case handler
 * args: recursion handler
 * stdout: ABRT
 */
#include <signal.h>

#include "scenario.h"

static char **options;

static int with(const char *option)
{
    for (char **at = options; *at != NULL; at++) {
        if (strcmp(*at, option) == 0)
            return 1;
    }
    return 0;
}

static volatile int never;

static NOINLINE int recurse(int depth)
{
    volatile char frame[200];
    frame[0] = (char)depth;
    return never ? 0 : recurse(depth + 1) + frame[0];
}

/* More than a guard has; and what use_most leaves. */
enum { WIDE = sizeof(void *) == 8, LARGE = WIDE ? 1 << 20 : 128 << 10, LEFT = WIDE ? 256 << 10 : 32 << 10 };

/* Touches its lowest byte first: far from the frames before. */
static NOINLINE int large_frame(void)
{
    volatile char frame[LARGE];
    frame[0] = 1;
    frame[sizeof frame - 1] = 2;
    return frame[0] + frame[sizeof frame - 1];
}

static NOINLINE __attribute__((optimize("stack-clash-protection"))) int probed_frame(void)
{
    volatile char frame[LARGE];
    frame[0] = 1;
    return frame[0];
}

static NOINLINE int use_most(void)
{
    volatile char most[SCALED(8 << 20) - LEFT];
    most[0] = 1;
    return (with("probed") ? probed_frame() : large_frame()) + most[0];
}

static NOINLINE void callback(UNUSED void *arg)
{
    int result = with("recursion") ? recurse(0) : use_most();
    CHECK(!"it fitted" + result);
}

static NOINLINE void *host_thread(UNUSED void *arg)
{
    static char memory[16 << 10];
    stack_t altstack = {.ss_sp = memory, .ss_size = sizeof memory};
    if (with("altstack"))
        CHECK_EQ(sigaltstack(&altstack, NULL), 0);
    call(callback, NULL);
    CHECK(!"the call came back");
    return NULL;
}

static void calls(UNUSED void *arg)
{
    host_thread(NULL);
}

/* A thread with the stack below. */
static pthread_barrier_t attached;

static void nothing(UNUSED void *arg) {}

static void *other_thread(UNUSED void *arg)
{
    call(nothing, NULL);
    pthread_barrier_wait(&attached);
    pause();
    return NULL;
}

static void on_abort(UNUSED int signal)
{
    CHECK_EQ(write(1, "ABRT\n", 5), 5);
}

static void on_fault(UNUSED int signal)
{
    CHECK_EQ(write(1, "SEGV\n", 5), 5);
    _exit(3);
}

int main(UNUSED int argc, char **argv)
{
    options = argv;
    if (with("handler")) {
        signal(SIGSEGV, on_fault);
        signal(SIGABRT, on_abort);
    }
    load_wharf();
    wharf_config config = WHARF_CONFIG_INIT;
    if (with("small"))
        config.callback_stack_bytes = 16 << 10;
    if (with("large"))
        config.guard_bytes = 2 << 20;
    CHECK_EQ(W->start(&config), WHARF_OK);
    if (with("second")) {
        CHECK_EQ(pthread_barrier_init(&attached, NULL, 2), 0);
        spawn(0, other_thread, NULL);
        pthread_barrier_wait(&attached);
    }
    if (with("main"))
        calls(NULL);
    join(spawn(with("thread_small") ? 16 << 10 : 0, host_thread, NULL));
    return 1;
}
