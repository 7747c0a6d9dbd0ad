/* PanicFatal: panics that cannot come back, although a try or a deferred call stands, say why: a catch (...) that does not
 * throw on, a noexcept function; and those that nobody waits for: outside callbacks, on a fiber whose frames do not lead
 * to the try, in a scope that an exception unwinds. A catch (...) that throws on lets them pass.
 * source: Go TestCgoToGoCallGoexit, PanicFromC; DESIGN.md decision 4
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * status: signal SIGABRT
 * case swallowed
 * args: swallowed
 * stderr~ ^panic: BOOM \[swallowed by catch \(\.\.\.\)\]\n\ngoroutine [1-9][0-9]* \[running, locked to thread\]:\n
 * stderr!~ terminate called
 * frames: swallow wharf_try main <libc> _start <end>
 * case swallowed_recovered
 * args: swallowed_recovered
 * stderr~ ^panic: BOOM \[recovered\] \[swallowed by catch \(\.\.\.\)\]\n\ngoroutine
 * frames: swallow wharf_call
 * case thrown_on
 * args: thrown_on
 * status: 0
 * stdout: BOOM
 * case noexcept
 * args: noexcept
 * stderr~ ^panic: BOOM \[stopped by noexcept\]\n\ngoroutine [1-9][0-9]* \[running, locked to thread\]:\n
 * stderr!~ terminate called
 * frames: wharf_panic boom not_throwing wharf_try main <libc> _start <end>
 * case noexcept_held
 * args: noexcept_held
 * stderr~ ^panic: BOOM \[stopped by noexcept\]\n\ngoroutine
 * stderr!~ terminate called
 * case noexcept_outside
 * args: noexcept_outside
 * status: 0
 * stdout: BOOM
 * case unattached
 * args: unattached
 * stderr~ ^panic: BOOM\n\nhost thread [1-9][0-9]* \[running\]:\n
 * case attached
 * args: attached
 * stderr~ ^panic: BOOM\n\nhost thread [1-9][0-9]* \[running\]:\n
 * case other_thread
 * args: other_thread
 * stderr~ ^panic: BOOM\n\nhost thread [1-9][0-9]* \[running\]:\n
 * case goexit
 * args: goexit
 * stderr~ ^panic: wharf_goexit outside a callback\n\nhost thread [1-9][0-9]* \[running\]:\n
 * case goexit_thread
 * args: goexit_thread
 * stderr~ ^panic: wharf_goexit outside a callback\n\nhost thread [1-9][0-9]* \[running\]:\n
 * case fiber
 * args: fiber
 * stderr~ ^panic: BOOM\n\n
 * case fiber_call
 * args: fiber_call
 * stderr~ ^panic: BOOM\n\ngoroutine [1-9][0-9]* \[running, locked to thread\]:\n
 * stderr~ \nboom\+0x(.|\n)*\nwharf_call\+0x(.|\n)*\nin_fiber_call\+0x
 * stderr!~ main\+0x
 * case fiber_goexit
 * args: fiber_goexit
 * status: 0
 * stdout: canceled
 * case unwound
 * args: unwound
 * stderr~ ^panic: in a destructor of sorts\n\ngoroutine
 * frames: raise_it wharf_call catches main <libc> _start <end>
 * case unwound_goexit
 * args: unwound_goexit
 * stderr~ ^panic: wharf_goexit in a deferred call that somebody else's unwinding runs\n\ngoroutine
 * case null
 * args: null
 * stderr~ ^panic: wharf_panic was given NULL\n\n
 * case lines
 * args: lines
 * stderr~ ^panic: important multi-line\n\tstring message\n\n
 * case from_c
 * args: from_c
 * stderr~ ^panic: from elsewhere\n\ngoroutine
 * frames: from_elsewhere wharf_call main
 */
#include "scenario.h"

#include <ucontext.h>

extern "C" void boom(void *)
{
    W->panic("BOOM");
}

static void recover(void *)
{
    wharf_panic_info *info = W->recover();
    CHECK(info != nullptr);
    W->panic_info_free(info);
}

extern "C" void swallow(void *arg)
{
    try {
        if (arg != nullptr)
            CHECK_EQ(W->call(boom, nullptr), 99);
        else
            boom(nullptr);
    } catch (...) {
    }
    puts("swallowed");
}

static void swallow_recovered(void *)
{
    CHECK_EQ(W->defer(recover, nullptr), WHARF_OK);
    swallow(nullptr);
}

static void throw_on(void *)
{
    try {
        boom(nullptr);
    } catch (...) {
        throw;
    }
}

extern "C" void not_throwing(void *) noexcept
{
    boom(nullptr);
    puts("came back");
}

struct Held {
    ~Held() { puts("destroyed"); }
};

/* With something to destroy before it terminates. */
static void not_throwing_held(void *) noexcept
{
    Held held;
    boom(nullptr);
}

/* A noexcept function that is not met: the try is further in. */
static void tried(wharf_fn fn) noexcept
{
    wharf_panic_info *info = nullptr;
    CHECK_EQ(W->try_(fn, nullptr, &info), WHARF_PANICKED);
    puts(info->message);
    W->panic_info_free(info);
}

static void *boom_thread(void *)
{
    boom(nullptr);
    return nullptr;
}

static void *goexit_thread(void *)
{
    W->goexit();
    return nullptr;
}

/* A try on one thread is none for another. */
static void other_thread(void *)
{
    on_thread(boom_thread, nullptr);
}

/* ---- fibers: their frames end with them ---- */

static char fiber_stack[256 << 10];
static ucontext_t outside, fiber;

static void enter_fiber(void *fn)
{
    CHECK_EQ(getcontext(&fiber), 0);
    fiber.uc_stack.ss_sp = fiber_stack;
    fiber.uc_stack.ss_size = sizeof fiber_stack;
    fiber.uc_link = &outside;
    makecontext(&fiber, reinterpret_cast<void (*)()>(fn), 0);
    CHECK_EQ(swapcontext(&outside, &fiber), 0);
}

static void in_fiber()
{
    boom(nullptr);
}

extern "C" void in_fiber_call()
{
    W->call(boom, nullptr);
}

static void goexit_now(void *)
{
    W->goexit();
}

static void in_fiber_goexit()
{
    if (W->call(goexit_now, nullptr) == WHARF_CANCELED)
        puts("canceled");
}

static void try_fiber(void (*fn)())
{
    CHECK_EQ(W->try_(enter_fiber, reinterpret_cast<void *>(fn), nullptr), WHARF_OK);
}

static void fiber_on_host(void *fn)
{
    on_host(enter_fiber, fn);
}

/* ---- a scope that an exception unwinds ---- */

extern "C" void raise_it(void *)
{
    W->panic("in a destructor of sorts");
}

static void throws(void *fn)
{
    CHECK_EQ(W->defer(reinterpret_cast<wharf_fn>(fn), nullptr), WHARF_OK);
    throw 1;
}

extern "C" void catches(void *fn)
{
    try {
        W->call(throws, fn);
    } catch (int) {
        puts("caught");
    }
}

extern "C" void from_elsewhere(void *)
{
    const void *trace[] = {reinterpret_cast<const void *>(boom)};
    W->panic_from("from elsewhere", trace, 1);
}

int main(int, char **argv)
{
    load_wharf();
    if (is_case(argv, "swallowed"))
        W->try_(swallow, nullptr, nullptr);
    if (is_case(argv, "swallowed_recovered"))
        W->call(swallow_recovered, nullptr);
    if (is_case(argv, "thrown_on"))
        tried(throw_on);
    if (is_case(argv, "noexcept"))
        W->try_(not_throwing, nullptr, nullptr);
    if (is_case(argv, "noexcept_held"))
        W->try_(not_throwing_held, nullptr, nullptr);
    if (is_case(argv, "noexcept_outside"))
        tried(boom);
    if (is_case(argv, "unattached"))
        on_thread(boom_thread, nullptr);
    if (is_case(argv, "attached")) {
        CHECK_EQ(W->attach(nullptr), WHARF_OK);
        boom(nullptr);
    }
    if (is_case(argv, "other_thread"))
        W->try_(other_thread, nullptr, nullptr);
    if (is_case(argv, "goexit"))
        W->goexit();
    if (is_case(argv, "goexit_thread"))
        on_thread(goexit_thread, nullptr);
    if (is_case(argv, "fiber"))
        W->try_(fiber_on_host, reinterpret_cast<void *>(in_fiber), nullptr);
    if (is_case(argv, "fiber_call"))
        try_fiber(in_fiber_call);
    if (is_case(argv, "fiber_goexit"))
        try_fiber(in_fiber_goexit);
    if (is_case(argv, "unwound"))
        catches(reinterpret_cast<void *>(raise_it));
    if (is_case(argv, "unwound_goexit"))
        catches(reinterpret_cast<void *>(goexit_now));
    if (is_case(argv, "null"))
        W->panic(nullptr);
    if (is_case(argv, "lines"))
        W->panic("important multi-line\nstring message");
    if (is_case(argv, "from_c"))
        W->call(from_elsewhere, nullptr);
    return 0;
}
