/* PanicRecover: what wharf_try returns, what wharf_recover gives and where it gives nothing, what is deferred where and
 * when it runs: in tries inside tries, inside deferred calls, on both sides of the way back to the host; with nobody to
 * catch a panic, when deferred calls run on top of the frames that panicked; and the deferred calls of deferred calls.
 * source: Go TestCallbackPanic, recover.go, defer.go of its tests
 * stdout: OK
 * case plain
 * args: plain
 * case in_try
 * args: in_try
 * case in_call
 * args: in_call
 * case on_host
 * args: on_host
 * case handler
 * args: handler
 * case valgrind
 * args: plain
 * needs: valgrind
 * wrap: valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect,possible
 * timeout: 120
 */
#include "scenario.h"

#include <signal.h>

/* What ran, in order: a letter each. */
static char trail[256];

static void step(char letter)
{
    size_t length = strlen(trail);
    CHECK(length + 1 < sizeof trail);
    trail[length] = letter;
    trail[length + 1] = '\0';
}

static void check_trail(int line, const char *expected)
{
    if (strcmp(trail, expected) != 0) {
        fprintf(stderr, "%s:%d: ran %s, expected %s\n", __FILE__, line, trail, expected);
        _exit(1);
    }
    trail[0] = '\0';
}

#define TRAIL(expected) check_trail(__LINE__, expected)

static void defer(wharf_fn fn, void *arg)
{
    CHECK_EQ(W->defer(fn, arg), WHARF_OK);
}

static void note(void *letter)
{
    step(*(const char *)letter);
}

/* Defers the note of a letter. */
static void defer_note(const char *letter)
{
    defer(note, (void *)(uintptr_t)letter);
}

static void boom(UNUSED void *arg)
{
    step('!');
    W->panic("BOOM");
    step('?');
}

static void check_message(wharf_panic_info *info, const char *message)
{
    CHECK(info != NULL);
    CHECK_EQ(info->kind, WHARF_PANIC_MESSAGE);
    CHECK(info->size >= sizeof *info);
    CHECK(strcmp(info->message, message) == 0);
    W->panic_info_free(info);
}

static void tried(wharf_fn fn, void *arg, const char *message)
{
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(fn, arg, &info), WHARF_PANICKED);
    check_message(info, message);
}

static wharf_panic_info *untouched = (wharf_panic_info *)&untouched;

/* A try that gives out no panic. */
static void quietly(wharf_fn fn, void *arg, int status)
{
    wharf_panic_info *info = untouched;
    CHECK_EQ(W->try_(fn, arg, &info), status);
    CHECK(info == untouched);
}

static void recover(UNUSED void *arg)
{
    wharf_panic_info *info = W->recover();
    step(info != NULL ? 'r' : '0');
    W->panic_info_free(info);
}

static void recover_none(UNUSED void *arg)
{
    CHECK(W->recover() == NULL);
    step('0');
}

/* ---- tries ---- */

static void nothing(UNUSED void *arg) {}

static void try_inside(UNUSED void *arg)
{
    defer_note("c");
    defer_note("b");
    tried(boom, NULL, "BOOM");
    step('a');
}

static void try_and_raise(UNUSED void *arg)
{
    defer_note("c");
    tried(boom, NULL, "BOOM");
    W->panic("after");
}

static void try_in_deferred(UNUSED void *arg)
{
    defer(try_inside, NULL);
    W->panic("outer");
}

static void raise_in_deferred(UNUSED void *arg)
{
    defer_note("d");
    defer(try_and_raise, NULL);
    W->panic("outer");
}

static void leave(UNUSED void *arg)
{
    defer_note("l");
    W->goexit();
}

static void leave_inside(UNUSED void *arg)
{
    quietly(leave, NULL, WHARF_CANCELED);
    CHECK_EQ(W->call(leave, NULL), WHARF_CANCELED);
    step('a');
}

static void tries(void)
{
    quietly(nothing, NULL, WHARF_OK);
    quietly(NULL, NULL, WHARF_EINVAL);
    CHECK_EQ(W->try_(boom, NULL, NULL), WHARF_PANICKED);
    TRAIL("!");
    quietly(try_inside, NULL, WHARF_OK);
    TRAIL("!abc");
    tried(try_and_raise, NULL, "after");
    TRAIL("!c");
    tried(try_in_deferred, NULL, "outer");
    /* The deferred calls of a deferred call are those of the callback that it runs for. */
    TRAIL("!abc");
    tried(raise_in_deferred, NULL, "after");
    TRAIL("!cd");
    quietly(leave_inside, NULL, WHARF_OK);
    TRAIL("lla");
}

/* ---- recover ---- */

static void recovers(UNUSED void *arg)
{
    defer_note("z");
    defer(recover, NULL);
    boom(NULL);
}

static void recover_twice(UNUSED void *arg)
{
    recover(NULL);
    recover(NULL);
    CHECK_EQ(W->call(recover_none, NULL), WHARF_OK);
}

static void recovers_twice(UNUSED void *arg)
{
    defer(recover_none, NULL); /* runs after it, in the same callback */
    defer(recover_twice, NULL);
    boom(NULL);
}

static void look_further_in(UNUSED void *arg)
{
    CHECK_EQ(W->call(recover_none, NULL), WHARF_OK);
    quietly(recover_none, NULL, WHARF_OK);
}

static void recover_on_host(UNUSED void *arg)
{
    on_host(recover, NULL);
    recover_none(NULL);
}

static void recovers_on_host(UNUSED void *arg)
{
    defer(recover_on_host, NULL);
    boom(NULL);
}

static void wrong_places(UNUSED void *arg)
{
    defer(recover_none, NULL); /* no panic, when it runs */
    CHECK_EQ(W->call(recovers, NULL), WHARF_RECOVERED);
    recover_none(NULL);
    on_host(recover_none, NULL);
}

static void in_goexit(UNUSED void *arg)
{
    defer(recover_none, NULL);
    W->goexit();
}

static void further_in(UNUSED void *arg)
{
    defer(recover, NULL);
    defer(look_further_in, NULL);
    boom(NULL);
}

static void boom_from_host(UNUSED void *arg)
{
    on_host(boom, NULL);
}

static void recovers_from_host(UNUSED void *arg)
{
    defer(recover, NULL);
    CHECK_EQ(W->call(boom_from_host, NULL), 99);
}

static void call_boom(UNUSED void *arg)
{
    defer_note("m");
    call(boom, NULL);
    step('?');
}

static void recovers_outward(UNUSED void *arg)
{
    defer_note("z");
    defer(recover, NULL);
    call(call_boom, NULL);
    step('?');
}

static void in_place(int line, wharf_fn fn, const char *expected)
{
    CHECK_EQ(W->call(fn, NULL), WHARF_RECOVERED);
    check_trail(line, expected);
    quietly(fn, NULL, WHARF_RECOVERED);
    check_trail(line, expected);
}

#define recovers_in_place(fn, expected) in_place(__LINE__, fn, expected)

static void recoveries(void)
{
    CHECK(W->recover() == NULL);
    recovers_in_place(recovers, "!rz");
    recovers_in_place(recovers_twice, "!r000");
    CHECK_EQ(W->call(wrong_places, NULL), WHARF_OK);
    TRAIL("!rz000");
    CHECK_EQ(W->call(in_goexit, NULL), WHARF_CANCELED);
    TRAIL("0");
    recovers_in_place(further_in, "!00r");
    recovers_in_place(recovers_on_host, "!r0");
    recovers_in_place(recovers_from_host, "!r");
    recovers_in_place(recovers_outward, "!mrz");
}

/* ---- deferred calls that defer ---- */

/* More of them than there were marks and deferred calls in the callbacks that have ended. */
static void defer_more(UNUSED void *arg)
{
    step('d');
    for (int i = 0; i < 5; i++)
        defer_note(&"12345"[i]);
}

static void defer_more_and_recover(UNUSED void *arg)
{
    defer_more(NULL);
    recover(NULL);
}

static void recovers_and_defers(UNUSED void *arg)
{
    defer(defer_more_and_recover, NULL);
    call(call_boom, NULL);
}

static void defers_then_recovers(UNUSED void *arg)
{
    defer(recover, NULL);
    defer(defer_more, NULL);
    call(call_boom, NULL);
}

static void defers_between(UNUSED void *arg)
{
    defer(defer_more, NULL);
    call(call_boom, NULL);
}

static void defers_further_in(UNUSED void *arg)
{
    defer(recover, NULL);
    call(defers_between, NULL);
}

static void from_host_again(UNUSED void *arg)
{
    call(call_boom, NULL);
}

static void out_and_in(UNUSED void *arg)
{
    on_host(from_host_again, NULL);
}

static void defers_over_host(UNUSED void *arg)
{
    defer(recover, NULL);
    defer(defer_more, NULL);
    call(out_and_in, NULL);
}

static void defers_in_return(UNUSED void *arg)
{
    defer(defer_more, NULL);
}

static void defers_in_goexit(UNUSED void *arg)
{
    defer(defer_more, NULL);
    W->goexit();
}

static void recover_and_call(UNUSED void *arg)
{
    recover(NULL);
    CHECK_EQ(W->call(recovers, NULL), WHARF_RECOVERED);
    tried(boom, NULL, "BOOM");
}

static void calls_when_recovered(UNUSED void *arg)
{
    defer(recover_and_call, NULL);
    call(call_boom, NULL);
}

static void of_deferred(void)
{
    CHECK_EQ(W->call(defers_in_return, NULL), WHARF_OK);
    TRAIL("d54321");
    CHECK_EQ(W->call(defers_in_goexit, NULL), WHARF_CANCELED);
    TRAIL("d54321");
    recovers_in_place(recovers_and_defers, "!mdr54321");
    recovers_in_place(defers_then_recovers, "!md54321r");
    recovers_in_place(defers_further_in, "!md54321r");
    recovers_in_place(calls_when_recovered, "!mr!rz!");
    recovers_in_place(defers_over_host, "!md54321r");
}

/* ---- many at once ---- */

enum { MANY = sizeof(void *) == 8 ? 1000 : 250 };
static int counted;

static void count_down(void *at)
{
    CHECK_EQ(counted--, (intptr_t)at);
}

static void defer_many(UNUSED void *arg)
{
    defer(recover, NULL);
    for (counted = 0; counted < MANY;)
        defer(count_down, (void *)(intptr_t)++counted);
    boom(NULL);
}

static void deep(void *depth)
{
    defer(note, &"x"[1]); /* a NUL: nothing is added */
    if ((intptr_t)depth == 0)
        boom(NULL);
    call(deep, (void *)((intptr_t)depth - 1));
}

static void recovers_deep(UNUSED void *arg)
{
    defer(recover, NULL);
    deep((void *)(intptr_t)MANY);
}

static void many(void)
{
    recovers_in_place(defer_many, "!r");
    CHECK_EQ(counted, 0);
    recovers_in_place(recovers_deep, "!r");
    tried(deep, (void *)(intptr_t)MANY, "BOOM");
    TRAIL("!");
}

/* ---- recoverable ---- */

static void recoverable_here(void *expected)
{
    CHECK_EQ(W->recoverable(), (intptr_t)expected);
}

static void is_recoverable(UNUSED void *arg)
{
    recoverable_here((void *)1);
    on_host(recoverable_here, (void *)1);
    call(recoverable_here, (void *)1);
}

static void with_deferred(UNUSED void *arg)
{
    defer(recover_none, NULL);
    is_recoverable(NULL);
}

static void recoverable(void)
{
    quietly(is_recoverable, NULL, WHARF_OK);
    call(with_deferred, NULL);
    TRAIL("0");
}

/* ---- where all this runs ---- */

static void everything(UNUSED void *arg)
{
    tries();
    recoveries();
    of_deferred();
    many();
    recoverable();
    CHECK_EQ(W->defer(NULL, NULL), WHARF_EINVAL);
}

static void on_host_everything(UNUSED void *arg)
{
    on_host(everything, NULL);
}

static void handler(UNUSED int signal)
{
    everything(NULL);
}

static void raise_signal(UNUSED void *arg)
{
    raise(SIGUSR1);
}

/* A handler on its own stack, above the host's and above a callback. */
static void in_handler(void)
{
    static char alternate[256 << 10];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    raise_signal(NULL);
    call(raise_signal, NULL);
    quietly(raise_signal, NULL, WHARF_OK);
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    CHECK_EQ(W->recoverable(), 0);
    CHECK_EQ(W->defer(nothing, NULL), WHARF_ESTATE);
    quietly(nothing, NULL, WHARF_OK);
    call(recoverable_here, NULL); /* the try is over */
    int rounds = getenv("LD_PRELOAD") != NULL ? 1 : 3; /* valgrind's */
    for (int round = 0; round < rounds; round++) {
        if (is_case(argv, "plain"))
            everything(NULL);
        else if (is_case(argv, "in_try"))
            quietly(everything, NULL, WHARF_OK);
        else if (is_case(argv, "in_call"))
            call(everything, NULL);
        else if (is_case(argv, "on_host"))
            call(on_host_everything, NULL);
        else
            in_handler();
        CHECK_EQ(stats().stacks_used, 0);
        CHECK_EQ(W->recoverable(), 0);
    }
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    puts("OK");
    return 0;
}
