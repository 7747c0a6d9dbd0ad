/* PanicLeft: a deferred call of a panic's jumps, by longjmp, back into a callback that goes on: that panic is over. The
 * one because of which the callback runs, if there is one, goes on and can be recovered; a call that comes to lie where
 * the other had come back to does not get it.
 * source: DESIGN.md decision 4
 * case all
 * stdout: OK
 * case report
 * args: report
 * status: signal SIGABRT
 * stderr~ ^panic: NEW\n\ngoroutine 1 \[running, locked to thread\]:\n
 * frames: panics_anew goes_on wharf_call main
 * case valgrind
 * stdout: OK
 * needs: valgrind
 * wrap: valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite
 * timeout: 120
 */
#include <alloca.h>
#include <setjmp.h>

#include "scenario.h"

static jmp_buf back;
static int quietly_deferred;

/* What of it is done. */
enum { BY_TRY = 1, CALLS_AGAIN = 2, DEEPER = 4, OUTER = 8, RECOVERS = 16, ALL = 32 };
static int how;

static void defer(wharf_fn fn, void *arg)
{
    CHECK_EQ(W->defer(fn, arg), WHARF_OK);
}

static void jump(UNUSED void *arg)
{
    longjmp(back, 1);
}

static void panics(UNUSED void *arg)
{
    defer(jump, NULL);
    W->panic("LEFT");
}

static void count(void *arg)
{
    ++*(int *)arg;
}

static void quiet(UNUSED void *arg)
{
    defer(count, &quietly_deferred);
}

static NOINLINE void call_again(void)
{
    quietly_deferred = 0;
    CHECK_EQ(W->call(quiet, NULL), WHARF_OK);
    CHECK_EQ(quietly_deferred, 1);
}

static NOINLINE void call_again_deeper(void)
{
    volatile char below[8192];
    below[0] = 0;
    call_again();
    (void)below[0];
}

static void leaves(UNUSED void *arg)
{
    if (!setjmp(back)) {
        if (how & BY_TRY)
            W->try_(panics, NULL, NULL);
        else
            W->call(panics, NULL);
        CHECK(!"it came back");
    }
    if (how & CALLS_AGAIN)
        how & DEEPER ? call_again_deeper() : call_again();
}

static void recover(UNUSED void *arg)
{
    volatile char below[8192];
    below[0] = 0;
    wharf_panic_info *info = W->recover();
    CHECK(info != NULL);
    CHECK_EQ(strcmp(info->message, "OUTER"), 0);
    CHECK(info->earlier == NULL);
    W->panic_info_free(info);
    (void)below[0];
}

static void outer(UNUSED void *arg)
{
    if (how & RECOVERS)
        defer(recover, NULL);
    defer(leaves, NULL);
    if (how & OUTER)
        W->panic("OUTER");
}

static void tries_inside(UNUSED void *arg)
{
    defer(count, &quietly_deferred);
    CHECK_EQ(W->try_(outer, NULL, NULL), how & RECOVERS ? WHARF_RECOVERED : how & OUTER ? WHARF_PANICKED : WHARF_OK);
}

/* In the callback that it has left, from further in than its deferred call stood: it is over there, too. */
static size_t depth = 8192;

static NOINLINE void further_in(wharf_fn fn)
{
    fn(NULL);
    __asm__ volatile("");
}

static void goes_on(void *fn)
{
    if (!setjmp(back))
        panics(NULL);
    volatile char *below = (volatile char *)alloca(depth);
    below[0] = 0;
    further_in(*(wharf_fn *)fn);
    (void)below[0];
}

static void recovers_none(UNUSED void *arg)
{
    CHECK_EQ(W->recover() == NULL, 1);
}

static void panics_anew(UNUSED void *arg)
{
    W->panic("NEW");
}

static void catches_new(UNUSED void *arg)
{
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(panics_anew, NULL, &info), WHARF_PANICKED);
    CHECK(info->earlier == NULL);
    W->panic_info_free(info);
}

static void calls_recovering(UNUSED void *arg)
{
    CHECK_EQ(W->call(recovers_none, NULL), WHARF_OK);
}

static void over_further_in(void)
{
    wharf_fn then[] = {recovers_none, calls_recovering, catches_new};
    for (size_t i = 0; i < sizeof then / sizeof *then; i++)
        CHECK_EQ(W->call(goes_on, &then[i]), WHARF_OK);
    for (depth = 16; depth < 4096; depth += 16) /* be it just where that was */
        CHECK_EQ(W->call(goes_on, &then[0]), WHARF_OK);
}

/* The same of a call that has not panicked: what was deferred before goes on. */
static char order[16];

static void note(void *arg)
{
    strcat(order, (const char *)arg);
}

static void jumps(UNUSED void *arg)
{
    defer(note, "LOST");
    longjmp(back, 1);
}

static void leaves_call(UNUSED void *arg)
{
    if (!setjmp(back))
        W->call(jumps, NULL);
}

static void returns(UNUSED void *arg)
{
    defer(note, "A");
    defer(leaves_call, NULL);
    defer(note, "B");
}

static void calls_returning(void *arg)
{
    call(returns, arg);
}

static void in_order(wharf_fn fn)
{
    order[0] = '\0';
    call(fn, NULL);
    CHECK_EQ(strcmp(order, "BA"), 0);
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "report")) {
        wharf_fn then = panics_anew;
        call(goes_on, &then);
    }
    over_further_in();
    in_order(returns);
    in_order(calls_returning);
    for (how = 0; how < ALL; how++) {
        if (how & RECOVERS && !(how & OUTER))
            continue;
        wharf_panic_info *info = NULL;
        int32_t status = W->try_(outer, NULL, &info);
        if (how & OUTER && !(how & RECOVERS)) {
            CHECK_EQ(status, WHARF_PANICKED);
            CHECK_EQ(strcmp(info->message, "OUTER"), 0);
            CHECK(info->earlier == NULL);
            W->panic_info_free(info);
        } else {
            CHECK_EQ(status, how & RECOVERS ? WHARF_RECOVERED : WHARF_OK);
        }
        if (how & RECOVERS)
            CHECK_EQ(W->call(outer, NULL), WHARF_RECOVERED);
        CHECK_EQ(W->call(tries_inside, NULL), WHARF_OK);
    }
    CHECK_EQ(stats().stacks_used, 0);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    puts("OK");
    return 0;
}
