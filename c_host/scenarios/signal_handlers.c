/* SignalHandlers: the host's handlers for SIGIO, SIGSEGV and SIGPIPE go on working, on its own stack, inside a callback
 * and on the way back from one, whether they were installed before the library was loaded (`early`: before
 * main), after it, or after the first call.
 * source: Go TestSignalHandlers (main4.c), TestSignalHandlersWithNotify (main5.c), TestEarlySignalHandler
 * stdout: OK
 * case before
 * args: before
 * case after
 * args: after
 * case late
 * args: late
 * case early
 * args: early
 * env: EARLY=1
 */
#include <setjmp.h>
#include <signal.h>

#include "scenario.h"

static volatile sig_atomic_t io_count, pipe_count, segv_count, on_altstack;
static void *volatile segv_address;
static __thread sigjmp_buf recovery;
static __thread bounds altstack;

static void note_stack(void)
{
    on_altstack += inside(altstack, HERE()) != 0;
}

static NOINLINE void on_io(UNUSED int signal)
{
    note_stack();
    io_count++;
}

static NOINLINE void on_pipe(UNUSED int signal)
{
    note_stack();
    pipe_count++;
}

static NOINLINE void on_segv(UNUSED int signal, siginfo_t *info, UNUSED void *context)
{
    note_stack();
    segv_count++;
    segv_address = info->si_addr;
    siglongjmp(recovery, 1);
}

static void install(int signal, void (*plain)(int), void (*with_info)(int, siginfo_t *, void *))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_flags = SA_ONSTACK;
    if (with_info != NULL) {
        action.sa_sigaction = with_info;
        action.sa_flags |= SA_SIGINFO;
    } else {
        action.sa_handler = plain;
    }
    CHECK_EQ(sigaction(signal, &action, NULL), 0);
}

static void install_all(void)
{
    install(SIGIO, on_io, NULL);
    install(SIGPIPE, on_pipe, NULL);
    install(SIGSEGV, NULL, on_segv);
}

__attribute__((constructor(200))) static void early(void)
{
    if (getenv("EARLY") != NULL)
        install_all();
}

static void use_altstack(size_t bytes)
{
    stack_t stack;
    memset(&stack, 0, sizeof stack);
    stack.ss_sp = malloc(bytes);
    stack.ss_size = bytes;
    CHECK(stack.ss_sp != NULL);
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    altstack.low = (uintptr_t)stack.ss_sp;
    altstack.high = altstack.low + bytes;
}

/* Each signal once, by the way that it comes in earnest. */
static NOINLINE void signals(UNUSED void *arg)
{
    int io = io_count, pipes = pipe_count, faults = segv_count, on = on_altstack;
    CHECK_EQ(raise(SIGIO), 0);
    CHECK_EQ(io_count, io + 1);

    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(close(ends[0]), 0);
    CHECK_EQ(write(ends[1], "x", 1), -1);
    CHECK_EQ(errno, EPIPE);
    CHECK_EQ(pipe_count, pipes + 1);
    CHECK_EQ(close(ends[1]), 0);

    segv_address = NULL;
    if (sigsetjmp(recovery, 1) == 0) {
        int *volatile bad = (int *)64;
        *bad = 1;
        CHECK(!"the store came back");
    }
    CHECK_EQ(segv_count, faults + 1);
    CHECK_EQ((uintptr_t)segv_address, 64);
    CHECK_EQ(on_altstack, on + (altstack.high != 0 ? 3 : 0));
}

static void callback(UNUSED void *arg)
{
    signals(NULL);
    on_host(signals, NULL);
    call(signals, NULL);
}

static void everywhere(void)
{
    signals(NULL);
    call(callback, NULL);
    signals(NULL);
    call(callback, NULL);
}

static void *host_thread(void *arg)
{
    if (arg != NULL)
        use_altstack(64 << 10);
    everywhere();
    return NULL;
}

static void nothing(UNUSED void *arg) {}

int main(UNUSED int argc, char **argv)
{
    if (is_case(argv, "before"))
        install_all();
    load_wharf();
    if (is_case(argv, "after"))
        install_all();
    if (is_case(argv, "late")) {
        CHECK_EQ(W->start(NULL), WHARF_OK);
        call(nothing, NULL);
        install_all();
    }
    everywhere();
    on_thread(host_thread, NULL);
    on_thread(host_thread, argv);
    /* With SIGNALS_FAULTS a fault in a callback is reported first: see FaultHandlers. */
    wharf_config config = WHARF_CONFIG_INIT;
    config.signals = is_case(argv, "late") ? WHARF_SIGNALS_FAULTS : WHARF_SIGNALS_NONE;
    CHECK_EQ(W->start(&config), WHARF_OK);
    everywhere();
    CHECK_EQ(segv_count, 4 * 8);
    CHECK_EQ(stats().stacks_used, 0);
    puts("OK");
    return 0;
}
