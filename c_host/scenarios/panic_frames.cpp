/* PanicFrames: what a panic that a try gets does to the frames between. D2, inward of C code without unwind tables, is
 * destroyed; D1, outward of it, is not, and the panic says that it was cut. Without such code all are destroyed, on every
 * stack on the way, before the deferred calls of their callback run. Where the panic is not caught but recovered, deferred
 * calls run before anything is destroyed.
 * also: panic_frames_bare.c
 * cflags: -fno-inline
 * source: DESIGN.md decision 4; SCENARIOS O16
 * stdout: OK
 * timeout: 60
 * case main
 * args: main
 * case thread
 * args: thread
 */
#include <vector>

#include "scenario.h"

enum { ROUNDS = 200 };

/* Without tables. */
extern "C" void bare_call(wharf_fn fn, void *arg);
extern "C" void bare_panic(void *panic);
extern "C" void bare_wharf_call(int (*call)(wharf_fn, void *), wharf_fn fn, void *arg);

static thread_local int destroyed_1, destroyed_2, deferred;

struct D1 {
    ~D1() { destroyed_1++; }
};

struct D2 {
    ~D2() { destroyed_2++; }
};

static void boom(void *)
{
    W->panic("BOOM");
}

static void boom_on_host(void *)
{
    D2 here;
    on_host(boom, nullptr);
}

static void inward(void *)
{
    D2 here;
    W->panic("BOOM");
}

static void inward_by_call(void *)
{
    D2 here;
    call(boom_on_host, nullptr);
}

/* Tries fn and says whether the panic was cut. */
static bool is_cut(wharf_fn fn, void *arg)
{
    wharf_panic_info *info = nullptr;
    destroyed_1 = destroyed_2 = deferred = 0;
    CHECK_EQ(W->try_(fn, arg, &info), WHARF_PANICKED);
    CHECK(info != nullptr);
    CHECK(strcmp(info->message, "BOOM") == 0);
    CHECK(info->trace_count > 0);
    bool cut = info->cut != 0;
    char text[8192];
    CHECK(W->panic_info_format(info, text, sizeof text) < sizeof text);
    CHECK_EQ(strstr(text, "cut at a frame without unwind information\n") != nullptr, cut);
    W->panic_info_free(info);
    return cut;
}

/* ---- D1, bare C, D2 ---- */

static void mixed(void *fn)
{
    D1 here;
    bare_call(reinterpret_cast<wharf_fn>(fn), nullptr);
}

static void mixed_by_call(void *)
{
    D1 here;
    bare_wharf_call(W->call, inward, nullptr);
}

static void mixed_on_host(void *fn)
{
    D1 here;
    on_host(mixed, fn);
}

static void mixed_further(void *fn)
{
    D1 here;
    call(mixed_on_host, fn);
}

static void mixed_in_callback_on_host(void *fn)
{
    call(mixed, fn);
}

static void mixed_two_stacks(void *fn)
{
    D1 here;
    on_host(mixed_in_callback_on_host, fn);
}

static void *as_arg(wharf_fn fn)
{
    return reinterpret_cast<void *>(fn);
}

static void cuts()
{
    for (wharf_fn outer : {mixed, mixed_on_host, mixed_further, mixed_in_callback_on_host, mixed_two_stacks}) {
        CHECK(is_cut(outer, as_arg(inward)));
        CHECK_EQ(destroyed_2, 1);
        CHECK_EQ(destroyed_1, 0);
        CHECK(is_cut(outer, as_arg(boom)));
        CHECK_EQ(destroyed_2, 0);
        CHECK(is_cut(outer, as_arg(inward_by_call)));
        CHECK_EQ(destroyed_2, 2);
        CHECK_EQ(destroyed_1, 0);
        CHECK_EQ(stats().stacks_used, 0);
    }
    CHECK(is_cut(mixed_by_call, nullptr));
    CHECK_EQ(destroyed_2, 1);
    CHECK_EQ(destroyed_1, 0);
}

/* The function that cannot be unwound is the last of the trace. */
static void names_the_cut()
{
    wharf_panic_info *info = nullptr;
    CHECK_EQ(W->try_(bare_panic, reinterpret_cast<void *>(W->panic), &info), WHARF_PANICKED);
    CHECK_EQ(info->cut, 1);
    CHECK_EQ(info->trace_count, 1);
    CHECK((uintptr_t)info->trace[0] - reinterpret_cast<uintptr_t>(bare_panic) < 64);
    W->panic_info_free(info);
}

/* Cut in an inner callback with deferred calls: from there on it goes on as if nothing was cut. */
static void count_deferred(void *)
{
    deferred++;
}

static void deferring(void *fn)
{
    D1 here;
    CHECK_EQ(W->defer(count_deferred, nullptr), WHARF_OK);
    bare_call(reinterpret_cast<wharf_fn>(fn), nullptr);
}

static void deferring_inside(void *fn)
{
    D1 here;
    call(deferring, fn);
}

static void cut_to_deferred()
{
    CHECK(is_cut(deferring_inside, as_arg(inward)));
    CHECK_EQ(destroyed_2, 1);
    CHECK_EQ(deferred, 1);
    CHECK_EQ(destroyed_1, 1); /* that of deferring_inside */
}

/* Cut on the host's stack inside a callback that goes on: it is back on its own stack, and gets out again. */
static NOINLINE void where(void *at)
{
    *static_cast<uintptr_t *>(at) = HERE();
}

static void bare_boom_on_host(void *)
{
    on_host(mixed, as_arg(boom));
}

static void try_on_host(void *)
{
    deeper(16384, bare_boom_on_host, nullptr);
}

static void goes_on(void *)
{
    uintptr_t out;
    int cut = is_cut(try_on_host, nullptr);
    on_host(where, &out);
    CHECK(cut);
    CHECK(inside(thread_stack(), out));
}

/* ---- all with tables ---- */

static void whole(void *fn)
{
    D1 here;
    call(reinterpret_cast<wharf_fn>(fn), nullptr);
}

static void whole_on_host(void *fn)
{
    D1 here;
    on_host(whole, fn);
}

static void whole_twice(void *fn)
{
    D1 here;
    call(whole_on_host, fn);
}

static void whole_ways()
{
    int expected = 1;
    for (wharf_fn outer : {whole, whole_on_host, whole_twice}) {
        CHECK(!is_cut(outer, as_arg(inward)));
        CHECK_EQ(destroyed_2, 1);
        CHECK_EQ(destroyed_1, expected);
        CHECK(!is_cut(outer, as_arg(inward_by_call)));
        CHECK_EQ(destroyed_2, 2);
        CHECK_EQ(destroyed_1, expected++);
    }
}

/* ---- what an object reads in its destructor, the deferred call frees ---- */

struct Reader {
    const std::vector<int> *numbers;
    ~Reader()
    {
        CHECK_EQ(numbers->size(), 3);
        CHECK_EQ((*numbers)[2], 42);
        destroyed_2++;
    }
};

static void free_numbers(void *numbers)
{
    CHECK_EQ(destroyed_2, 1);
    delete static_cast<std::vector<int> *>(numbers);
    deferred++;
}

static void reads(void *)
{
    auto *numbers = new std::vector<int>{1, 2, 42};
    CHECK_EQ(W->defer(free_numbers, numbers), WHARF_OK);
    Reader here{numbers};
    boom_on_host(nullptr);
}

static void reads_further_in(void *)
{
    D1 here;
    call(reads, nullptr);
}

static void readers()
{
    /* boom_on_host has a D2 of its own, which is destroyed first; only the Reader's counts for the deferred call. */
    destroyed_2 = -1;
    wharf_panic_info *info = nullptr;
    CHECK_EQ(W->try_(reads, nullptr, &info), WHARF_PANICKED);
    CHECK_EQ(deferred, 1);
    W->panic_info_free(info);
    destroyed_2 = -1;
    CHECK_EQ(W->try_(reads_further_in, nullptr, nullptr), WHARF_PANICKED);
    CHECK_EQ(deferred, 2);
}

/* ---- recovered, not caught: the frames stand while deferred calls run, and are destroyed then ---- */

static void recover(void *)
{
    CHECK_EQ(destroyed_1 + destroyed_2, 0);
    W->panic_info_free(W->recover());
    deferred++;
}

static void recovers(void *fn)
{
    D1 here;
    CHECK_EQ(W->defer(recover, nullptr), WHARF_OK);
    call(whole_on_host, fn);
}

static void recovered(wharf_fn inmost, int d1, int d2)
{
    destroyed_1 = destroyed_2 = deferred = 0;
    CHECK_EQ(W->call(recovers, as_arg(inmost)), WHARF_RECOVERED);
    CHECK_EQ(deferred, 1);
    CHECK_EQ(destroyed_1, d1);
    CHECK_EQ(destroyed_2, d2);
    CHECK_EQ(stats().stacks_used, 0);
}

static void bare_boom(void *)
{
    bare_call(boom, nullptr);
}

static void bare_inward(void *)
{
    bare_call(inward, nullptr);
}

static void recoveries()
{
    recovered(inward, 3, 1);
    recovered(inward_by_call, 3, 2);
    recovered(bare_boom, 0, 0);
    recovered(bare_inward, 0, 1);
}

static void all()
{
    cuts();
    names_the_cut();
    cut_to_deferred();
    call(goes_on, nullptr);
    whole_ways();
    deferred = 0;
    readers();
    recoveries();
}

static void *host_thread(void *)
{
    for (int i = 0; i < ROUNDS; i++)
        all();
    CHECK_EQ(stats().stacks_used, 0);
    return nullptr;
}

int main(int, char **argv)
{
    load_wharf();
    if (is_case(argv, "thread"))
        on_thread(host_thread, nullptr);
    else
        host_thread(nullptr);
    CHECK_EQ(stats().stacks_used, 0);
    CHECK(stats().stacks_made <= 4);
    puts("OK");
    return 0;
}
