/* LentAltstack: with handlers for faults, a thread has an alternate stack from its attaching to its detaching: its own if that
 * is large enough, else one that is lent. What is lent works after the stop too, and the next load takes it back.
 * source: Go TestSigStackSwapping (22930), Sigaltstack; DESIGN.md decisions 1 and 2
 * stdout: OK
 * case none
 * args: none
 * case small
 * args: small
 * case large
 * args: large
 * case stop
 * args: stop
 * case stop_elsewhere
 * needs: dlclose()
 * args: stop_elsewhere
 * case lazy_first
 * args: lazy_first
 * case swapped
 * args: swapped
 * case threads
 * args: threads
 */
#include <signal.h>
#include <sys/mman.h>

#include "scenario.h"

enum { SMALL_BYTES = 2048, LARGE_BYTES = 64 << 10 };

static char **options;
static volatile sig_atomic_t handled;
static uintptr_t handled_at;

static void nothing(UNUSED void *arg) {}

static void handler(UNUSED int signal)
{
    handled_at = HERE();
    handled++;
}

static stack_t altstack(void)
{
    stack_t now;
    memset(&now, 0, sizeof now);
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    return now;
}

static void set(void *memory, size_t bytes)
{
    stack_t stack;
    memset(&stack, 0, sizeof stack);
    stack.ss_sp = memory;
    stack.ss_size = bytes;
    stack.ss_flags = memory == NULL ? SS_DISABLE : 0;
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
}

static int has(const void *memory, size_t bytes)
{
    stack_t now = altstack();
    if (memory == NULL)
        return now.ss_flags == SS_DISABLE;
    return now.ss_flags == 0 && now.ss_sp == memory && now.ss_size == bytes;
}

static void check_it_works(void)
{
    stack_t now = altstack();
    bounds inside_it = {(uintptr_t)now.ss_sp, (uintptr_t)now.ss_sp + now.ss_size};
    int before = handled;
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(handled, before + 1);
    CHECK_EQ(inside(inside_it, handled_at), 1);
}

static void check_lent(const void *not_this)
{
    stack_t now = altstack();
    CHECK_EQ(now.ss_flags, 0);
    CHECK(now.ss_sp != not_this);
    CHECK(now.ss_size > 32 << 10);
    check_it_works();
}

/* A thread that has `bytes` of its own at `memory`. */
static void attach_and_detach(void *memory, size_t bytes, int is_kept)
{
    set(memory, bytes);
    for (int i = 0; i < 3; i++) {
        if (i == 1)
            CHECK_EQ(W->attach(NULL), WHARF_OK);
        call(nothing, NULL);
        if (is_kept)
            CHECK(has(memory, bytes));
        else
            check_lent(memory);
        CHECK_EQ(W->detach(), WHARF_OK);
        CHECK(has(memory, bytes));
    }
}

static void *sized(UNUSED void *arg)
{
    static char small[SMALL_BYTES], large[LARGE_BYTES];
    if (is_case(options, "small"))
        attach_and_detach(small, SMALL_BYTES, 0);
    else if (is_case(options, "large"))
        attach_and_detach(large, LARGE_BYTES, 1);
    else
        attach_and_detach(NULL, 0, 0);
    call(nothing, NULL);
    return NULL; /* attached */
}

static void *stops(UNUSED void *arg)
{
    CHECK_EQ(W->start(NULL), WHARF_OK);
    call(nothing, NULL);
    check_lent(NULL);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    CHECK(has(NULL, 0));
    wharf_config config = WHARF_CONFIG_INIT;
    config.signals = WHARF_SIGNALS_NONE;
    CHECK_EQ(W->start(&config), WHARF_OK);
    call(nothing, NULL);
    CHECK(has(NULL, 0));
    return NULL;
}

/* What was lent stays with the thread, over the end of the library too. */
static pthread_barrier_t step;

static void *lives_on(UNUSED void *arg)
{
    call(nothing, NULL);
    check_lent(NULL);
    stack_t lent = altstack();
    pthread_barrier_wait(&step);
    pthread_barrier_wait(&step);
    CHECK(has(lent.ss_sp, lent.ss_size));
    check_it_works();
    load_wharf();
    CHECK_EQ(W->start(NULL), WHARF_OK);
    call(nothing, NULL);
    CHECK(has(lent.ss_sp, lent.ss_size));
    CHECK_EQ(W->detach(), WHARF_OK);
    CHECK(has(NULL, 0));
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    return NULL;
}

static void stop_elsewhere(void *handle)
{
    CHECK_EQ(pthread_barrier_init(&step, NULL, 2), 0);
    pthread_t thread = spawn(0, lives_on, NULL);
    pthread_barrier_wait(&step);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    CHECK_EQ(dlclose(handle), 0);
    CHECK(dlopen(getenv("WHARF_LIB"), RTLD_NOW | RTLD_NOLOAD) == NULL);
    pthread_barrier_wait(&step);
    join(thread);
}

/* The host takes its own away again while it is attached. */
static void *swaps(UNUSED void *arg)
{
    void *own = mmap(NULL, LARGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(own != MAP_FAILED);
    set(own, LARGE_BYTES);
    call(nothing, NULL);
    CHECK_EQ(W->detach(), WHARF_OK);
    set(NULL, 0);
    CHECK_EQ(mprotect(own, LARGE_BYTES, PROT_NONE), 0);
    call(nothing, NULL);
    check_lent(own);
    CHECK_EQ(mprotect(own, LARGE_BYTES, PROT_READ | PROT_WRITE), 0);
    set(own, LARGE_BYTES); /* and the other way round: what was lent is forgotten */
    call(nothing, NULL);
    CHECK_EQ(W->trim(), WHARF_OK);
    CHECK(has(own, LARGE_BYTES));
    CHECK_EQ(W->detach(), WHARF_OK);
    CHECK(has(own, LARGE_BYTES));
    return NULL;
}

static void *calls(UNUSED void *arg)
{
    call(nothing, NULL);
    check_lent(NULL);
    return NULL;
}

static void threads(void)
{
    on_thread(calls, NULL);
    long before = map_count();
    for (int i = 0; i < 500; i++)
        on_thread(calls, NULL);
    long after = map_count();
    if (after > before + 16)
        fprintf(stderr, "%ld mappings, then %ld\n", before, after);
    CHECK(after <= before + 16);
}

int main(UNUSED int argc, char **argv)
{
    options = argv;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_ONSTACK;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    void *handle = load_wharf();
    if (is_case(argv, "stop")) {
        on_thread(stops, NULL);
        puts("OK");
        return 0;
    }
    if (is_case(argv, "lazy_first")) {
        call(nothing, NULL);
        CHECK(has(NULL, 0));
    }
    CHECK_EQ(W->start(NULL), WHARF_OK);
    if (is_case(argv, "lazy_first")) {
        CHECK_EQ(W->attach(NULL), WHARF_OK);
        check_lent(NULL);
    } else if (is_case(argv, "stop_elsewhere")) {
        stop_elsewhere(handle);
    } else if (is_case(argv, "swapped")) {
        on_thread(swaps, NULL);
    } else if (is_case(argv, "threads")) {
        threads();
    } else {
        on_thread(sized, NULL);
    }
    puts("OK");
    return 0;
}
