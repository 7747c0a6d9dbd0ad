/* Callback: a callback gets its argument, runs on a managed stack on the thread that called, and has run when wharf_call
 * returns; the way back to the host leads to the host's stack; calls nest to any depth, each on the stack that it should.
 * source: Go TestCallback, TestZeroArgCallback, TestCallGoWithString
 * stdout: OK
 */
#include "scenario.h"

enum { DEPTH = 30 };

static __thread bounds own_stack;

/* ---- arguments ---- */

typedef struct message {
    const char *text;
    size_t length;
    int seen;
} message;

static void zero_arg(void *arg)
{
    CHECK(arg == NULL);
}

static void with_string(void *arg)
{
    message *now = (message *)arg;
    CHECK_EQ(strlen(now->text), now->length);
    now->seen = 1;
}

static void arguments(void)
{
    message now = {"hello there", 11, 0};
    call(zero_arg, NULL);
    call(with_string, &now);
    CHECK_EQ(now.seen, 1);
    CHECK_EQ(W->call(NULL, &now), WHARF_EINVAL);
    CHECK_EQ(W->on_host(NULL, &now), WHARF_EINVAL);
}

/* ---- which stack ---- */

static NOINLINE void where(void *arg)
{
    *(uintptr_t *)arg = HERE();
}

static NOINLINE void callback(void *arg)
{
    uintptr_t nested, back;
    CHECK(!inside(own_stack, HERE()));
    call(where, &nested);
    CHECK(nested < HERE() && HERE() - nested < 4096); /* a plain call */
    on_host(where, &back);
    CHECK(inside(own_stack, back));
    CHECK(back < *(uintptr_t *)arg); /* below the frame that called in */
}

static NOINLINE void stacks(void)
{
    uintptr_t mine = HERE(), plain;
    CHECK(inside(own_stack, mine));
    call(callback, &mine);
    on_host(where, &plain); /* from the host's stack: a plain call */
    CHECK(plain < mine && mine - plain < 4096);
}

/* ---- nesting: call, on_host, call, ... each further call on a stack of its own ---- */

static __thread uintptr_t managed[DEPTH];

static void down(void *arg);

static NOINLINE void down_on_host(void *arg)
{
    CHECK(inside(own_stack, HERE()));
    call(down, arg);
}

static NOINLINE void down(void *arg)
{
    int level = *(int *)arg;
    uintptr_t here = HERE();
    CHECK(!inside(own_stack, here));
    for (int outer = 0; outer < level; outer++)
        CHECK(here - managed[outer] > 65536 && managed[outer] - here > 65536);
    managed[level] = here;
    CHECK_EQ(W->attach(NULL), WHARF_ESTATE);
    CHECK_EQ(W->detach(), WHARF_ESTATE);
    ++*(int *)arg;
    if (level + 1 < DEPTH)
        on_host(down_on_host, arg);
    else
        CHECK(stats().stacks_used >= DEPTH);
}

static void *host_thread(UNUSED void *arg)
{
    own_stack = thread_stack();
    int before = errno = 99;
    arguments();
    CHECK_EQ(errno, before);
    for (int i = 0; i < 3; i++) {
        int level = 0;
        stacks();
        call(down, &level);
        CHECK_EQ(level, DEPTH);
        CHECK_EQ(stats().stacks_used, 0);
    }
    return NULL;
}

int main(void)
{
    load_wharf();
    host_thread(NULL);
    on_thread(host_thread, NULL);
    uint32_t made = stats().stacks_made;
    on_thread(host_thread, NULL);
    CHECK_EQ(stats().stacks_made, made); /* the stacks of the nested calls are used again */
    puts("OK");
    return 0;
}
