/* PanicFibers: tries on makecontext fibers. A panic ends at the try of its own fiber, whatever callbacks and tries of the
 * others are on meanwhile, on the thread's stack or below; with deferred calls, across the way back to the host, and
 * when the fibers take turns in the middle of their callbacks.
 * source: SCENARIOS O10, O16; Go issue 62440
 * stdout: OK
 * needs: makecontext()
 * case malloced
 * args: malloced
 * case local
 * args: local
 */
#include "scenario.h"

#include <ucontext.h>

enum { FIBERS = 8, STACK_BYTES = 128 << 10, ROUNDS = 200 };

typedef struct fiber {
    ucontext_t context;
    int number, turns, caught, deferred, done;
} fiber;

static fiber fibers[FIBERS];
static fiber *current;
static ucontext_t scheduler;

static void pause_fiber(fiber *me)
{
    CHECK_EQ(swapcontext(&me->context, &scheduler), 0);
    CHECK(current == me);
}

static void count_deferred(void *me)
{
    ((fiber *)me)->deferred++;
    CHECK(current == me);
}

static void boom(void *arg)
{
    fiber *me = (fiber *)arg;
    char message[32];
    pause_fiber(me);
    snprintf(message, sizeof message, "fiber %d, turn %d", me->number, me->turns);
    W->panic(message);
}

static void boom_on_host(void *arg)
{
    pause_fiber((fiber *)arg);
    on_host(boom, arg);
}

static void callback(void *arg)
{
    fiber *me = (fiber *)arg;
    CHECK_EQ(W->defer(count_deferred, me), WHARF_OK);
    pause_fiber(me);
    call(me->turns % 2 ? boom_on_host : boom, arg);
}

static void check_caught(fiber *me, wharf_panic_info *info)
{
    char message[32];
    snprintf(message, sizeof message, "fiber %d, turn %d", me->number, me->turns);
    CHECK(info != NULL);
    CHECK(strcmp(info->message, message) == 0);
    W->panic_info_free(info);
    me->caught++;
}

static void recover(void *me)
{
    check_caught((fiber *)me, W->recover());
}

static void recovers(void *arg)
{
    CHECK_EQ(W->defer(recover, arg), WHARF_OK);
    callback(arg);
}

static void run_fiber(void)
{
    fiber *me = current;
    for (me->turns = 0; me->turns < ROUNDS; me->turns++) {
        wharf_panic_info *info = NULL;
        if ((me->turns + me->number) % 3 == 0) {
            CHECK_EQ(W->call(recovers, me), WHARF_RECOVERED);
        } else {
            CHECK_EQ(W->try_(callback, me, &info), WHARF_PANICKED);
            check_caught(me, info);
        }
    }
    me->done = 1;
}

static void make_fiber(fiber *made, char *low)
{
    CHECK_EQ(getcontext(&made->context), 0);
    made->context.uc_stack.ss_sp = low;
    made->context.uc_stack.ss_size = STACK_BYTES;
    made->context.uc_link = &scheduler;
    makecontext(&made->context, run_fiber, 0);
}

static void schedule(void *memory)
{
    int left = FIBERS;
    uint32_t random = 12345;
    for (int i = 0; i < FIBERS; i++) {
        fibers[i].number = i;
        make_fiber(&fibers[i], (char *)memory + i * STACK_BYTES);
    }
    while (left > 0) {
        random = random * 1664525 + 1013904223;
        current = &fibers[(random >> 16) % FIBERS];
        if (current->done)
            continue;
        CHECK_EQ(swapcontext(&scheduler, &current->context), 0);
        left -= current->done;
    }
    for (int i = 0; i < FIBERS; i++) {
        CHECK_EQ(fibers[i].caught, ROUNDS);
        CHECK_EQ(fibers[i].deferred, ROUNDS);
        fibers[i].done = 0;
        fibers[i].caught = fibers[i].deferred = 0;
    }
}

static void schedule_on_host(void *memory)
{
    on_host(schedule, memory);
}

/* From the thread, from a callback that is out, from a try of which the fibers know nothing. */
static void everywhere(void *memory)
{
    schedule(memory);
    CHECK_EQ(stats().stacks_used, 0);
    call(schedule_on_host, memory);
    CHECK_EQ(stats().stacks_used, 0);
    CHECK_EQ(W->try_(schedule_on_host, memory, NULL), WHARF_OK);
    CHECK_EQ(stats().stacks_used, 0);
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "local")) {
        char memory[FIBERS * STACK_BYTES];
        everywhere(memory);
    } else {
        void *memory = malloc((size_t)FIBERS * STACK_BYTES);
        everywhere(memory);
        free(memory);
    }
    puts("OK");
    return 0;
}
