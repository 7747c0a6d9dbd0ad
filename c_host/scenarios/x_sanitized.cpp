/* Sanitized: hosts under valgrind, and built with AddressSanitizer or ThreadSanitizer (x_sanitized_*.cpp), get no false report
 * whatever way callbacks end, and no warning of stacks that change; a bug in a callback is found as anywhere else.
 * source: ours (Go testsanitizers)
 * also: x_sanitized_bare.c
 * cflags: -w
 * timeout: 120
 * case clean
 * args: clean
 * stdout: OK
 * case valgrind
 * needs: valgrind
 * wrap: valgrind --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite
 * args: clean
 * stdout: OK
 * stderr~ ERROR SUMMARY: 0 errors
 * stderr!~ switching stacks
 * case valgrind_heap
 * needs: valgrind
 * wrap: valgrind --error-exitcode=9
 * args: heap
 * stdout: OK
 * status: 9
 * stderr~ Invalid read of size 1\n.* at 0x[0-9A-F]+: reads_freed\(
 * case valgrind_undefined
 * needs: valgrind
 * wrap: valgrind --error-exitcode=9
 * args: undefined
 * stdout: OK
 * status: 9
 * stderr~ depends on uninitialised value\(s\)\n.* at 0x[0-9A-F]+: decides\(
 */
#include "scenario.h"

#include <csetjmp>
#include <stdexcept>
#include <string>

/* In x_sanitized_bare.c, which has no unwind tables: a panic's frames are cut there. */
extern "C" void bare(wharf_fn fn, void *arg);

static thread_local volatile char sink;

/* Frames with variables that a sanitizer fences in, down to `inner`. */
static NOINLINE void frames(int depth, wharf_fn inner, void *arg)
{
    volatile char local[100];
    memset(const_cast<char *>(local), depth, sizeof local);
    if (depth > 0)
        frames(depth - 1, inner, arg);
    else
        inner(arg);
    sink = local[depth];
}

static void nothing(void *)
{
}

static void uses_stack(void *)
{
    frames(20, nothing, nullptr);
}

/* ---- every way to end ---- */

static void throws(void *)
{
    throw std::runtime_error("the host's");
}

static void panics(void *)
{
    W->panic("deep");
}

static void exits(void *)
{
    pthread_exit(nullptr);
}

static thread_local jmp_buf back;

static void jumps(void *)
{
    longjmp(back, 1);
}

/* The same from frames in a callback, and from frames in a callback on the host's stack in a callback. */
static void ends_deep(void *end)
{
    frames(10, reinterpret_cast<wharf_fn>(end), nullptr);
}

static void calls_that(void *end)
{
    std::string held(10, 'x');
    frames(5, [](void *inner) { W->call(ends_deep, inner); }, end);
}

static void ends_further(void *end)
{
    std::string held(10, 'y');
    frames(5, [](void *inner) { W->on_host(calls_that, inner); }, end);
}

static void ends_past_c(void *end)
{
    bare(ends_further, end);
}

/* What the host does between: the sanitizers look at what it hands to libc. */
static void goes_on(void)
{
    char text[3000];
    snprintf(text, sizeof text, "%2000d", 7);
    frames(30, nothing, nullptr);
    call(uses_stack, nullptr);
    call([](void *) { W->on_host(uses_stack, nullptr); }, nullptr);
    call([](void *) {
        char inside[3000];
        snprintf(inside, sizeof inside, "%2000d", 8);
        sink = inside[2999 - 1000];
    }, nullptr);
    try {
        frames(3, throws, nullptr);
    } catch (const std::runtime_error &) {
    }
}

static void ends(wharf_fn way)
{
    try {
        W->call(way, reinterpret_cast<void *>(throws));
        CHECK(!"nothing was thrown");
    } catch (const std::runtime_error &) {
    }
    goes_on();
    CHECK_EQ(W->try_(way, reinterpret_cast<void *>(panics), nullptr), WHARF_PANICKED);
    goes_on();
}

static void *all(void *)
{
    for (int i = 0; i < 10; i++) {
        ends(ends_deep);
        ends(ends_further);
        call([](void *) { ends(ends_further); }, nullptr);
        CHECK_EQ(W->try_(ends_past_c, reinterpret_cast<void *>(panics), nullptr), WHARF_PANICKED);
        goes_on();
        call([](void *) {
            CHECK_EQ(W->try_(ends_past_c, reinterpret_cast<void *>(panics), nullptr), WHARF_PANICKED);
            frames(30, nothing, nullptr);
        }, nullptr);
        if (setjmp(back) == 0)
            W->call(ends_further, reinterpret_cast<void *>(jumps));
        /* It is the next call that tells the sanitizer where we are. */
        call(nothing, nullptr);
        goes_on();
    }
    return nullptr;
}

static void *exits_inside(void *way)
{
    W->call(reinterpret_cast<wharf_fn>(way), reinterpret_cast<void *>(exits));
    return nullptr;
}

static void clean(void)
{
    all(nullptr);
    on_thread(exits_inside, reinterpret_cast<void *>(ends_deep));
    on_thread(exits_inside, reinterpret_cast<void *>(ends_further));
    pthread_t threads[4];
    for (auto &thread : threads)
        thread = spawn(0, all, nullptr);
    for (auto &thread : threads)
        join(thread);
}

/* ---- bugs ---- */

static NOINLINE void overruns(void *)
{
    char local[10];
    volatile int at = 12;
    local[at] = 1;
    sink = local[at];
}

static NOINLINE void reads_freed(void *)
{
    char *volatile block = static_cast<char *>(malloc(10));
    free(block);
    sink = block[3];
}

static NOINLINE void leaks(void *)
{
    char *volatile block = static_cast<char *>(malloc(1000));
    block = nullptr;
}

static NOINLINE void decides(void *)
{
    volatile char local[10];
    if (local[3] == 7)
        sink = 1;
}

/* What a caller left on the stack, looked at after. */
static char *volatile dangling;

static NOINLINE void leaves_pointer(void *)
{
    char local[10] = "abc";
    dangling = local;
    sink = local[1];
}

static NOINLINE void returns_local(void *)
{
    leaves_pointer(nullptr);
    sink = dangling[1];
}

static volatile int common;

static NOINLINE void counts(void *)
{
    common = common + 1;
}

static pthread_barrier_t both;

static void *counts_in_callback(void *)
{
    call(counts, nullptr);
    pthread_barrier_wait(&both);
    return nullptr;
}

static void races(void)
{
    pthread_barrier_init(&both, nullptr, 2);
    pthread_t one = spawn(0, counts_in_callback, nullptr), other = spawn(0, counts_in_callback, nullptr);
    join(one);
    join(other);
}

int main(int, char **argv)
{
    load_wharf();
    CHECK_EQ(W->start(nullptr), WHARF_OK);
    if (is_case(argv, "clean"))
        clean();
    call(uses_stack, nullptr);
    if (is_case(argv, "stack"))
        call(overruns, nullptr);
    if (is_case(argv, "heap"))
        call(reads_freed, nullptr);
    if (is_case(argv, "leak"))
        call(leaks, nullptr);
    if (is_case(argv, "undefined"))
        call(decides, nullptr);
    if (is_case(argv, "returned"))
        call(returns_local, nullptr);
    if (is_case(argv, "race"))
        races();
    puts("OK");
    return 0;
}
