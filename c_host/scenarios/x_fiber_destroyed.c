/* FiberDestroyed: fibers that are destroyed while they are inside callbacks: their stacks are unmapped, freed or made
 * inaccessible, or their memory is used by the next fiber. The thread and its other fibers call on, stacks of
 * the dead callbacks are found again while the thread lives, and nothing is left when it ends.
 * source: ours (DESIGN [record])
 * stdout: OK
 * timeout: 60
 * needs: makecontext()
 * case unmapped
 * args: unmapped
 * case unmapped_on_host
 * args: unmapped_on_host
 * case same_place
 * args: same_place
 * case same_place_on_host
 * args: same_place_on_host
 * case freed
 * args: freed
 * case protected
 * args: protected
 * case main_unmapped
 * args: main_unmapped
 */
#include "scenario.h"

#include <sys/mman.h>
#include <ucontext.h>

enum { DESTROYED = 1000, STACK_BYTES = 64 << 10, CALLS = 10000, MAX_STACKS = 32, WORDS = 100 };

static const char *name;
static ucontext_t host, dying, survivor;
static int survivor_done;

static int named(const char *part)
{
    return strstr(name, part) != NULL;
}

static void add(void *arg)
{
    ++*(int *)arg;
}

static void leave_for_good(UNUSED void *arg)
{
    CHECK_EQ(swapcontext(&dying, &host), 0);
    CHECK(!"a destroyed fiber came back");
}

static void on_host_leave(UNUSED void *arg)
{
    on_host(leave_for_good, NULL);
}

static void dying_body(void)
{
    call(named("on_host") ? on_host_leave : leave_for_good, NULL);
}

/* In a callback all the while; its frame must be the same whenever it is looked at. */
static void survive(UNUSED void *arg)
{
    volatile int words[WORDS];
    for (int i = 0; i < WORDS; i++)
        words[i] = i;
    for (int round = 0; !survivor_done; round++) {
        CHECK_EQ(swapcontext(&survivor, &host), 0);
        for (int i = 0; i < WORDS; i++)
            CHECK_EQ(words[i], i + round);
        for (int i = 0; i < WORDS; i++)
            words[i]++;
        int count = 0;
        on_host(add, &count);
        call(add, &count);
        CHECK_EQ(count, 2);
    }
}

static void survivor_body(void)
{
    call(survive, NULL);
}

static void make(ucontext_t *context, char *low, void (*body)(void))
{
    CHECK_EQ(getcontext(context), 0);
    context->uc_stack.ss_sp = low;
    context->uc_stack.ss_size = STACK_BYTES;
    context->uc_link = &host;
    makecontext(context, body, 0);
}

static char *map(void *at)
{
    int fixed = at != NULL ? MAP_FIXED : 0;
    char *low = (char *)mmap(at, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
    CHECK(low != MAP_FAILED);
    return low;
}

/* Keeps the place, but not the contents. */
static char *kept;

static char *new_stack(void)
{
    if (named("freed"))
        return (char *)malloc(STACK_BYTES);
    return map(named("same_place") ? kept : NULL);
}

static void destroy(char *low)
{
    if (named("freed"))
        free(low);
    else if (named("protected"))
        CHECK_EQ(mprotect(low, STACK_BYTES, PROT_NONE), 0);
    else if (!named("same_place"))
        CHECK_EQ(munmap(low, STACK_BYTES), 0);
}

static void destroy_one(void)
{
    char *low = new_stack();
    make(&dying, low, dying_body);
    CHECK_EQ(swapcontext(&host, &dying), 0);
    destroy(low);
}

static void *thread(UNUSED void *arg)
{
    kept = map(NULL);
    make(&survivor, map(NULL), survivor_body);
    CHECK_EQ(swapcontext(&host, &survivor), 0);
    int count = 0;
    for (int i = 0; i < DESTROYED; i++) {
        destroy_one();
        call(add, &count);
        CHECK_EQ(swapcontext(&host, &survivor), 0);
    }
    for (int i = 0; i < CALLS; i++)
        call(add, &count);
    CHECK_EQ(count, DESTROYED + CALLS);
    survivor_done = 1;
    CHECK_EQ(swapcontext(&host, &survivor), 0);
    call(add, &count);
    if (stats().stacks_made >= MAX_STACKS)
        fprintf(stderr, "stacks %u, used %u\n", stats().stacks_made, stats().stacks_used);
    CHECK(stats().stacks_made < MAX_STACKS);
    return NULL;
}

int main(UNUSED int argc, char **argv)
{
    name = argv[1] != NULL ? argv[1] : "unmapped";
    load_wharf();
    if (named("main"))
        thread(NULL);
    else
        on_thread(thread, NULL);
    CHECK_EQ(stats().threads_bound, named("main") ? 1 : 0);
    if (!named("main"))
        CHECK_EQ(stats().stacks_used, 0);
    puts("OK");
    return 0;
}
