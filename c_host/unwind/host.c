/* Unwind: whoever walks over the frames of a thread in a callback, from outside or from inside, comes from each
 * managed stack, and from functions on the host's stack, to the start of the thread. tests/unwind.rs builds this
 * with -O0 and with -O2, and runs each case with the managed stacks below and above the host's, which is the last
 * argument. `tracer` is the program in tracer/; `core` is gdb with the core file that the host leaves; gdb looks at
 * the stripped library alone, and at one with its debug information beside it.
 * source: ours (DESIGN.md decision 4); Go TestGdbBacktrace
 * cflags: -rdynamic -fno-optimize-sibling-calls -fno-inline -fomit-frame-pointer
 * timeout: 120
 * case inside
 * args: inside
 * case step
 * args: step
 * arch: x86_64
 * wrap: tracer
 * stdout: [0-9]+ steps, [0-9]{3,} in the library; switch 8 times, 8 back, wharf_call 6, wharf_on_host 2; 0 problems
 * case step_panic
 * args: step_panic
 * arch: x86_64
 * wrap: tracer
 * stdout: [0-9]+ steps, [0-9]{3,} in the library; switch 2 times, 0 back, wharf_call 1, wharf_on_host 0; 0 problems
 * stderr~ 
 * case gdb
 * args: stop
 * needs: gdb
 * wrap: gdb -q -nx -batch -ex 'set debuginfod enabled off' -ex 'set breakpoint pending on' -ex 'break stop_here'
 * wrap: -ex run -ex bt -ex continue -ex continue -ex bt -ex continue -ex bt --args
 * stdout~ #1 .* stop .*\n#2 .* callback .*\n(#.*\n)*#.* wharf_call .*\n(#.*\n)*#.* host_thread .*\n#.* (start_thread|\?\?) .*\n#.* (clone3?|\?\?) .*\n([^#]|$)
 * stdout~ #1 .* stop .*\n#2 .* back_again .*\n(#.*\n)*#.* wharf_on_host .*\n(#.*\n)*#.* outer .*\n(#.*\n)*#.* wharf_call .*\n(#.*\n)*#.* host_thread .*\n#.* (start_thread|\?\?) .*\n#.* (clone3?|\?\?) .*\n([^#]|$)
 * stdout~ #1 .* stop .*\n#2 .* leaf .*\n(#.*\n)*#.* wharf_call .*\n(#.*\n)*#.* back_again .*\n(#.*\n)*#.* wharf_on_host .*\n(#.*\n)*#.* outer .*\n(#.*\n)*#.* wharf_call .*\n(#.*\n)*#.* host_thread .*\n#.* (start_thread|\?\?) .*\n#.* (clone3?|\?\?) .*\n([^#]|$)
 * stdout!~ previous frame|corrupt stack|Backtrace stopped
 * stderr~ 
 * case core
 * args: panic
 * needs: gdb
 * wrap: core gdb -q -nx -batch -ex 'set debuginfod enabled off' -ex bt
 * stdout~ #.* wharf_panic .*\n#.* boom .*\n(#.*\n)*#.* callback .*\n(#.*\n)*#.* wharf_call .*\n(#.*\n)*#.* host_thread .*\n#.* (start_thread|\?\?) .*\n#.* (clone3?|\?\?) .*\n([^#]|$)
 * stdout!~ previous frame|corrupt stack|Backtrace stopped
 * stderr~ 
 */
#include "scenarios/scenario.h"

#include <execinfo.h>
#include <signal.h>
#include <sys/mman.h>
#include <unwind.h>

enum { HOST_STACK_BYTES = 256 << 10, MAX_FRAMES = 64, LOW = 0x10000000 };

static int want_above; /* the managed stacks are to lie above the host's */
static bounds host_stack;
static wharf_fn act; /* what the callbacks do, with a list of who must be seen */

/* Who must be seen from where, from the inside out; then comes the C library. */
static const char *const in_callback[] = {"callback", "wharf_call", "host_thread", NULL};
static const char *const on_the_host[] = {"back_again", "wharf_on_host", "outer", "wharf_call", "host_thread", NULL};
static const char *const in_second[] = {"leaf",  "wharf_call", "back_again",  "wharf_on_host",
                                        "outer", "wharf_call", "host_thread", NULL};

/* ---- the functions that are to be seen: not static, for dladdr ---- */

void stop_here(void);
void callback(void *arg), outer(void *arg), back_again(void *arg), leaf(void *arg);
void *host_thread(void *arg);

static NOINLINE void check_order(void)
{
    CHECK(want_above ? HERE() >= host_stack.high : HERE() < host_stack.low);
}

void callback(UNUSED void *arg)
{
    check_order();
    act((void *)in_callback);
    CHECK(W != NULL); /* more to do: the call is none to leave by */
}

void leaf(UNUSED void *arg)
{
    check_order();
    act((void *)in_second);
    CHECK(W != NULL);
}

void back_again(UNUSED void *arg)
{
    CHECK(inside(host_stack, HERE()));
    act((void *)on_the_host);
    call(leaf, NULL);
    CHECK(W != NULL);
}

void outer(UNUSED void *arg)
{
    check_order();
    on_host(back_again, NULL);
    CHECK(W != NULL);
}

/* ---- what they do ---- */

static void nothing(UNUSED void *arg)
{
}

void stop_here(void)
{
    __asm__ volatile("" : : : "memory");
}

static void stop(UNUSED void *arg)
{
    stop_here();
    CHECK(W != NULL);
}

static void boom(UNUSED void *arg)
{
    W->panic("BOOM");
}

/* Checks that the frames name the functions of the list in its order, and that the C library comes then. */
static void check_frames(void **pcs, int count, const char *const *names)
{
    Dl_info info;
    int at = 0;
    CHECK(count < MAX_FRAMES);
    for (; at < count && *names != NULL; at++) {
        if (dladdr((char *)pcs[at] - 1, &info) != 0 && info.dli_sname != NULL && strcmp(info.dli_sname, *names) == 0)
            names++;
    }
    if (*names != NULL)
        fprintf(stderr, "%s is missing in %d frames\n", *names, count);
    CHECK(*names == NULL);
    CHECK(at < count && dladdr((char *)pcs[at] - 1, &info) != 0 && strstr(info.dli_fname, "libc.so") != NULL);
}

typedef struct list {
    int count;
    void *pcs[MAX_FRAMES];
} list;

static _Unwind_Reason_Code add(struct _Unwind_Context *context, void *arg)
{
    list *to = arg;
    to->pcs[to->count++] = (void *)_Unwind_GetIP(context);
    return to->count < MAX_FRAMES ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

static void walk(void *names)
{
    list frames = {0};
    frames.count = backtrace(frames.pcs, MAX_FRAMES);
    check_frames(frames.pcs, frames.count, names);
    frames.count = 0;
    _Unwind_Backtrace(add, &frames);
    check_frames(frames.pcs, frames.count, names);
}

/* ---- the thread ---- */

/* Where the tracer begins and ends. */
static void mark(void)
{
    CHECK_EQ(raise(SIGTRAP), 0);
}

static void end_of_report(UNUSED int signal)
{
    mark();
    _exit(0);
}

void *host_thread(void *arg)
{
    int traced = arg != NULL;
    host_stack = thread_stack();
    if (traced)
        mark();
    call(callback, NULL);
    call(callback, NULL);
    call(outer, NULL);
    call(outer, NULL);
    if (traced)
        mark();
    return NULL;
}

/* A thread whose stack lies where no mapping of the kernel's choice comes below it, or none above. */
static void run_thread(void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    void *stack = mmap(want_above ? (void *)(uintptr_t)LOW : NULL, HOST_STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    load_wharf();
    CHECK_EQ(pthread_attr_init(&attr), 0);
    CHECK_EQ(pthread_attr_setstack(&attr, stack, HOST_STACK_BYTES), 0);
    CHECK_EQ(pthread_create(&thread, &attr, host_thread, arg), 0);
    join(thread);
}

int main(UNUSED int argc, char **argv)
{
    int traced = strncmp(argv[1], "step", 4) == 0;
    want_above = strcmp(argv[2], "above") == 0;
    act = is_case(argv, "inside") ? walk : is_case(argv, "stop") ? stop : is_case(argv, "step") ? nothing : boom;
    if (is_case(argv, "step_panic"))
        CHECK(signal(SIGABRT, end_of_report) != SIG_ERR);
    run_thread(traced ? argv : NULL);
    return 0;
}
