/* PanicExits: every way out of a try that is no panic, with deferred calls on the way: C++ exceptions pass through
 * untouched, deferred calls run once, the thread goes on; so with pthread_exit and pthread_cancel. What longjmp jumps over
 * is dropped, deferred calls too, and the thread tries, panics and recovers as before.
 * source: DESIGN.md decision 4; SCENARIOS O16
 * timeout: 60
 * stdout: OK
 * case throw
 * args: throw
 * case pthread_exit
 * args: pthread_exit
 * case cancel_self
 * args: cancel_self
 * case cancel_blocked
 * args: cancel_blocked
 * case longjmp
 * args: longjmp
 * case valgrind
 * args: throw
 * needs: valgrind
 * wrap: valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite
 * timeout: 120
 */
#include <atomic>
#include <csetjmp>
#include <exception>
#include <initializer_list>

#include "scenario.h"

static std::atomic<int> deferred, destroyed;

struct Mark {
    ~Mark() { destroyed++; }
};

static void count(void *)
{
    CHECK(W->recover() == nullptr); /* whatever ends the callback, it is no panic */
    deferred++;
}

static void count_only(void *)
{
    deferred++;
}

static void defer(wharf_fn fn, void *arg)
{
    CHECK_EQ(W->defer(fn, arg), WHARF_OK);
}

static void boom(void *)
{
    W->panic("BOOM");
}

static void recover(void *)
{
    wharf_panic_info *info = W->recover();
    CHECK(info != nullptr);
    W->panic_info_free(info);
}

static void recovers(void *)
{
    defer(recover, nullptr);
    boom(nullptr);
}

/* The thread's panics work as on the first day. */
static void check_sound()
{
    wharf_panic_info *info = nullptr;
    CHECK_EQ(W->try_(boom, nullptr, &info), WHARF_PANICKED);
    CHECK(info->earlier == nullptr);
    CHECK_EQ(info->cut, 0);
    W->panic_info_free(info);
    CHECK_EQ(W->call(recovers, nullptr), WHARF_RECOVERED);
    CHECK(W->recover() == nullptr);
}

/* So far; grows no more after a few rounds. */
static void check_stacks(int round)
{
    static uint32_t made;
    if (round <= 3)
        made = stats().stacks_made;
    CHECK_EQ(stats().stacks_made, made);
}

/* ---- the way in: try, call, on_host, try, call; deferred calls and objects in each ---- */

static void (*leave)();
enum { SCOPES = 4, OBJECTS = 5 };

static void inmost(void *)
{
    Mark here;
    defer(count, nullptr);
    leave();
}

static void inner_try(void *)
{
    Mark here;
    defer(count, nullptr);
    W->call(inmost, nullptr);
}

static void in_host(void *)
{
    Mark here;
    W->try_(inner_try, nullptr, nullptr);
}

static void outer_call(void *)
{
    Mark here;
    defer(count, nullptr);
    on_host(in_host, nullptr);
}

static void outer_try(void *)
{
    Mark here;
    defer(count, nullptr);
    W->call(outer_call, nullptr);
}

/* ---- exceptions ---- */

struct Oops {
    int depth;
};

static NOINLINE void throw_oops()
{
    throw Oops{42};
}

/* A deferred call that throws and catches, one that tries, and one that makes a callback. */
static void throw_and_catch(void *)
{
    try {
        throw 7;
    } catch (int number) {
        CHECK_EQ(number, 7);
    }
    deferred++;
}

static void check_sound_deferred(void *)
{
    check_sound();
    deferred++;
}

static void busy_exception(void *)
{
    defer(count, nullptr);
    defer(throw_and_catch, nullptr);
    defer(check_sound_deferred, nullptr);
    throw Oops{43};
}

static void throws_from_deferred(void *)
{
    throw Oops{44};
}

static void returns_into_throw(void *)
{
    Mark here;
    defer(count, nullptr);
    defer(throws_from_deferred, nullptr);
}

static int depth_thrown(wharf_fn fn, bool tried)
{
    deferred = destroyed = 0;
    wharf_panic_info *untouched = reinterpret_cast<wharf_panic_info *>(&deferred), *info = untouched;
    try {
        CHECK_EQ(tried ? W->try_(fn, nullptr, &info) : W->call(fn, nullptr), 99);
    } catch (const Oops &oops) {
        CHECK(info == untouched);
        CHECK(std::uncaught_exceptions() == 0);
        return oops.depth;
    }
    return -1;
}

static void catch_between(void *)
{
    CHECK_EQ(depth_thrown(outer_try, true), 42);
    CHECK_EQ(deferred.load(), SCOPES);
    W->panic("after");
}

static void throws()
{
    leave = throw_oops;
    for (int i = 0; i < (getenv("LD_PRELOAD") != nullptr ? 3 : 300); i++) {
        for (int tried = 0; tried < 2; tried++) {
            CHECK_EQ(depth_thrown(outer_try, tried), 42);
            CHECK_EQ(deferred.load(), SCOPES);
            CHECK_EQ(destroyed.load(), OBJECTS);
            CHECK_EQ(depth_thrown(busy_exception, tried), 43);
            CHECK_EQ(deferred.load(), 3);
            CHECK_EQ(depth_thrown(returns_into_throw, tried), 44);
            CHECK_EQ(deferred.load(), 1);
            check_sound();
        }
        CHECK_EQ(W->try_(catch_between, nullptr, nullptr), WHARF_PANICKED);
        check_sound();
        CHECK_EQ(stats().stacks_used, 0);
        check_stacks(i);
    }
}

/* ---- the thread's end ---- */

static NOINLINE void exit_thread()
{
    pthread_exit(nullptr);
}

static NOINLINE void cancel_self()
{
    pthread_cancel(pthread_self());
    pthread_testcancel();
}

static pthread_barrier_t blocked;

static NOINLINE void block()
{
    pthread_barrier_wait(&blocked);
    for (;;)
        pause();
}

static void *ending_thread(void *)
{
    W->try_(outer_try, nullptr, nullptr);
    fail(__FILE__, __LINE__, "not reached");
    return nullptr;
}

static void ends(void (*how)())
{
    leave = how;
    CHECK_EQ(pthread_barrier_init(&blocked, nullptr, 2), 0);
    for (int i = 0; i < 100; i++) {
        deferred = destroyed = 0;
        pthread_t thread = spawn(0, ending_thread, nullptr);
        if (how == block) {
            pthread_barrier_wait(&blocked);
            CHECK_EQ(pthread_cancel(thread), 0);
        }
        join(thread);
        CHECK_EQ(deferred.load(), SCOPES);
        CHECK_EQ(destroyed.load(), OBJECTS);
        check_sound();
        CHECK_EQ(stats().stacks_used, 0);
        check_stacks(i);
    }
}

/* ---- longjmp: over callbacks with plain C frames ---- */

static jmp_buf out;

static void jump(void *)
{
    longjmp(out, 1);
}

static void dropped(void *)
{
    fail(__FILE__, __LINE__, "a deferred call that was jumped over");
}

static void plain_inmost(void *)
{
    defer(dropped, nullptr);
    jump(nullptr);
}

static void plain_call(void *)
{
    defer(dropped, nullptr);
    W->call(plain_inmost, nullptr);
}

static void plain_host(void *)
{
    W->try_(plain_call, nullptr, nullptr);
}

static void plain_try(void *)
{
    defer(dropped, nullptr);
    on_host(plain_host, nullptr);
}

static void deferred_jump(void *)
{
    defer(dropped, nullptr);
    defer(jump, nullptr);
}

static void panic_and_jump(void *)
{
    deferred_jump(nullptr);
    W->panic("jumped from");
}

static void goexit_and_jump(void *)
{
    deferred_jump(nullptr);
    W->goexit();
}

static const wharf_fn jumps[] = {plain_inmost, plain_call, plain_try, deferred_jump, panic_and_jump, goexit_and_jump};

/* Jumps out of fn, by a call or by a try, to the caller's stack. */
static NOINLINE void jump_over(wharf_fn fn, bool tried)
{
    if (setjmp(out) == 0) {
        tried ? W->try_(fn, nullptr, nullptr) : W->call(fn, nullptr);
        fail(__FILE__, __LINE__, "not reached");
    }
}

/* Inside a callback: what is deferred in it lives on, what was deferred inside is gone. */
static void jumps_inside(void *)
{
    for (wharf_fn fn : jumps) {
        for (int tried = 0; tried < 2; tried++) {
            defer(count_only, nullptr);
            jump_over(fn, tried);
            CHECK(W->recover() == nullptr);
            defer(count_only, nullptr);
            CHECK_EQ(W->try_(boom, nullptr, nullptr), WHARF_PANICKED);
            CHECK_EQ(W->call(recovers, nullptr), WHARF_RECOVERED);
            jump_over(fn, tried);
        }
    }
}

static void jumps_inside_and_panics(void *)
{
    jumps_inside(nullptr);
    jump_over(plain_call, true);
    W->panic("BOOM");
}

/* Deferred calls, in a panic, that jump about inside themselves. */
static void recover_after_jumps(void *)
{
    int before = deferred;
    jump_over(plain_call, true);
    jump_over(panic_and_jump, false);
    jump_over(panic_and_jump, true);
    recover(nullptr);
    CHECK_EQ(deferred.load(), before);
}

static void recovers_after_jumps(void *)
{
    defer(recover_after_jumps, nullptr);
    W->panic("BOOM");
}

/* What was jumped over lies further out than what goes on, in frames that have long been others. */
static void boom_and_count(void *)
{
    defer(count_only, nullptr);
    boom(nullptr);
}

static void goexit(void *)
{
    W->goexit();
}

static void jump_then_deeper(void *fn)
{
    jump_over(plain_inmost, true);
    jump_over(plain_inmost, false);
    deeper(65536, reinterpret_cast<wharf_fn>(fn), nullptr);
}

/* In frames that have left all of it untouched. */
static NOINLINE void hollow(wharf_fn fn)
{
    volatile char untouched[16384];
    untouched[0] = 0;
    fn(nullptr);
    (void)untouched[0];
}

static void jump_then_hollow(void *fn)
{
    jump_over(plain_inmost, false);
    jump_over(plain_inmost, true);
    hollow(reinterpret_cast<wharf_fn>(fn));
}

static void call_between(void *fn)
{
    jump_over(plain_inmost, true);
    deeper(65536, jump_then_deeper, fn);
}

static void recovers_deeper(void *fn)
{
    defer(recover, nullptr);
    jump_then_deeper(fn);
}

static void defer_count(void *)
{
    defer(count_only, nullptr);
}

static void jumps_overlaid()
{
    for (wharf_fn outer : {jump_then_deeper, call_between}) {
        deferred = 0;
        CHECK_EQ(W->try_(outer, reinterpret_cast<void *>(boom), nullptr), WHARF_PANICKED);
        CHECK_EQ(W->try_(outer, reinterpret_cast<void *>(goexit), nullptr), WHARF_CANCELED);
        CHECK_EQ(W->call(outer, reinterpret_cast<void *>(goexit)), WHARF_CANCELED);
        CHECK_EQ(W->try_(outer, reinterpret_cast<void *>(boom_and_count), nullptr), WHARF_PANICKED);
        CHECK_EQ(deferred.load(), 1);
        CHECK_EQ(W->call(outer, reinterpret_cast<void *>(defer_count)), WHARF_OK);
        CHECK_EQ(deferred.load(), 2);
    }
    CHECK_EQ(W->try_(jump_then_hollow, reinterpret_cast<void *>(boom), nullptr), WHARF_PANICKED);
    CHECK_EQ(W->call(jump_then_hollow, reinterpret_cast<void *>(goexit)), WHARF_CANCELED);
    CHECK_EQ(W->call(recovers_deeper, reinterpret_cast<void *>(boom_and_count)), WHARF_RECOVERED);
    CHECK_EQ(deferred.load(), 3);
    CHECK_EQ(W->try_(recovers_deeper, reinterpret_cast<void *>(boom), nullptr), WHARF_RECOVERED);
}

enum { COUNTED = 2 * 2 * sizeof jumps / sizeof *jumps };

static void longjmps()
{
    for (int i = 0; i < 300; i++) {
        for (wharf_fn fn : jumps) {
            jump_over(fn, false);
            check_sound();
            jump_over(fn, true);
            check_sound();
        }
        deferred = 0;
        CHECK_EQ(W->try_(jumps_inside, nullptr, nullptr), WHARF_OK);
        CHECK_EQ(deferred.load(), COUNTED);
        check_sound();
        CHECK_EQ(W->call(jumps_inside, nullptr), WHARF_OK);
        CHECK_EQ(deferred.load(), 2 * COUNTED);
        CHECK_EQ(W->try_(jumps_inside_and_panics, nullptr, nullptr), WHARF_PANICKED);
        CHECK_EQ(W->try_(recovers_after_jumps, nullptr, nullptr), WHARF_RECOVERED);
        CHECK_EQ(W->call(recovers_after_jumps, nullptr), WHARF_RECOVERED);
        jumps_overlaid();
        check_sound();
        check_stacks(i);
    }
    CHECK_EQ(W->detach(), WHARF_OK);
    CHECK_EQ(stats().stacks_used, 0);
}

int main(int, char **argv)
{
    load_wharf();
    if (is_case(argv, "throw"))
        throws();
    else if (is_case(argv, "pthread_exit"))
        ends(exit_thread);
    else if (is_case(argv, "cancel_self"))
        ends(cancel_self);
    else if (is_case(argv, "cancel_blocked"))
        ends(block);
    else
        longjmps();
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    puts("OK");
    return 0;
}
