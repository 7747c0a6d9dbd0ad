/* What trying, deferring and panicking cost: loops in turns, in ns per turn of the loop.
 *
 *     bench_panics                   figures
 *     bench_panics loop NAME COUNT   only runs that loop, for a tool that counts or samples
 */
#include "bench.h"

enum { BATCHES = 25, CALLS = 100000, PANICS = 2000, FURTHER = 16, DEFERRED = 32 };

/* Not a constant for the compiler. */
static const wharf_api *volatile wharf;

/* ---- without a panic ---- */

static void defers(UNUSED void *arg)
{
    for (int i = 0; i < DEFERRED; i++)
        wharf->defer(empty, nullptr);
}

static void defer_plain_loop(long count)
{
    for (long i = 0; i < count; i++)
        plain(nullptr);
}

static void call_loop(long count)
{
    for (long i = 0; i < count; i++)
        wharf->call(empty, nullptr);
}

static void try_loop(long count)
{
    for (long i = 0; i < count; i++)
        wharf->try_(empty, nullptr, nullptr);
}

static void defer_loop(long count)
{
    for (long i = 0; i < count; i += DEFERRED)
        wharf->call(defers, nullptr);
}

/* ---- with one ---- */

static NOINLINE void panics(UNUSED void *arg)
{
    wharf->panic("the end");
}

/* Not seen through, as a function that never returns. */
static wharf_fn volatile innermost = panics;

/* A frame of C: tables to unwind by, nothing to run. */
static NOINLINE void plain_frames(int further)
{
    if (further == 0)
        innermost(nullptr);
    else
        plain_frames(further - 1);
    __asm__ volatile("" ::: "memory");
}

static long destroyed;

struct Object {
    ~Object() { destroyed++; }
};

static NOINLINE void cpp_frames(int further)
{
    Object object;
    if (further == 0)
        innermost(nullptr);
    else
        cpp_frames(further - 1);
}

static void below_plain_frames(UNUSED void *arg)
{
    plain_frames(FURTHER - 1);
}

static void below_cpp_frames(UNUSED void *arg)
{
    cpp_frames(FURTHER - 1);
}

static void caught(wharf_fn fn, long count)
{
    for (long i = 0; i < count; i++) {
        wharf_panic_info *info;
        CHECK_EQ(wharf->try_(fn, nullptr, &info), WHARF_PANICKED);
        wharf->panic_info_free(info);
    }
}

static void caught_loop(long count)
{
    caught(panics, count);
}

static void plain_frames_loop(long count)
{
    caught(below_plain_frames, count);
}

static void cpp_frames_loop(long count)
{
    caught(below_cpp_frames, count);
    CHECK(destroyed % FURTHER == 0);
}

/* A C++ exception over the same frames, caught by type: what the language takes for it. */
struct Refusal {
};

static NOINLINE void throws(UNUSED void *arg)
{
    throw Refusal();
}

static void thrown_loop(long count)
{
    for (long i = 0; i < count; i++) {
        try {
            wharf->call(throws, nullptr);
            CHECK(!"nothing was thrown");
        } catch (const Refusal &) {
        }
    }
}

typedef struct loop {
    const char *name;
    void (*run)(long count);
    long count;
    double batches[BATCHES];
} loop;

static loop loops[] = {
    {"try.call", call_loop, CALLS, {}},
    {"try", try_loop, CALLS, {}},
    {"defer.plain", defer_plain_loop, CALLS, {}},
    {"defer", defer_loop, CALLS, {}},
    {"caught", caught_loop, PANICS, {}},
    {"caught.plain", plain_frames_loop, PANICS, {}},
    {"caught.cpp", cpp_frames_loop, PANICS, {}},
    {"thrown", thrown_loop, PANICS, {}},
};
enum { LOOPS = sizeof loops / sizeof *loops };

static double run_loop(const loop *loop, long count)
{
    double start = now_ns();
    loop->run(count);
    return (now_ns() - start) / (double)count;
}

static double found(const char *name)
{
    for (int i = 0; i < LOOPS; i++) {
        if (strcmp(loops[i].name, name) == 0)
            return least(loops[i].batches, BATCHES);
    }
    fail(__FILE__, __LINE__, name);
    return 0;
}

int main(int argc, char **argv)
{
    load_wharf();
    wharf = W;
    if (argc == 4) {
        for (int i = 0; i < LOOPS; i++) {
            if (strcmp(loops[i].name, argv[2]) == 0)
                run_loop(&loops[i], atol(argv[3]));
        }
        return 0;
    }
    for (int batch = 0; batch < BATCHES; batch++) {
        for (int i = 0; i < LOOPS; i++)
            loops[i].batches[batch] = run_loop(&loops[i], loops[i].count);
    }
    for (int i = 0; i < LOOPS; i++)
        say(loops[i].name, found(loops[i].name));
    double base = found("caught");
    say("frame.plain", (found("caught.plain") - base) / FURTHER);
    say("frame.cpp", (found("caught.cpp") - base) / FURTHER);
    return 0;
}
