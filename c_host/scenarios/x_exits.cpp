/* Exits: every way out of a callback that is not a return, directly and through call -> on_host -> call -> call,
 * a thousand times each: objects on both kinds of stack are destroyed (not by longjmp), a thread that lives on
 * calls on, and neither Ms nor stacks are lost.
 * source: DESIGN.md decision 4; Go Test6997, issue 8588's neighbours; SCENARIOS O16
 * timeout: 60
 * case throw
 * args: throw
 * stdout: OK
 * case throw_nested
 * args: throw_nested
 * stdout: OK
 * case throw_each
 * args: throw_each
 * stdout: OK
 * case rethrow
 * args: rethrow
 * stdout: OK
 * case longjmp
 * args: longjmp
 * stdout: OK
 * case longjmp_nested
 * args: longjmp_nested
 * stdout: OK
 * case pthread_exit
 * args: pthread_exit
 * stdout: OK
 * case pthread_exit_nested
 * args: pthread_exit_nested
 * stdout: OK
 * case cancel_self
 * args: cancel_self
 * stdout: OK
 * case cancel_self_nested
 * args: cancel_self_nested
 * stdout: OK
 * case cancel_blocked
 * args: cancel_blocked
 * stdout: OK
 * case cancel_blocked_nested
 * args: cancel_blocked_nested
 * stdout: OK
 * case cancel_async
 * args: cancel_async
 * stdout: OK
 * case cancel_async_nested
 * args: cancel_async_nested
 * stdout: OK
 * case exit_nested
 * args: exit_nested
 * stdout: atexit
 * stdout: called in atexit 1
 * status: 7
 * case main_exit_nested
 * args: main_exit_nested
 * stdout: destroyed 5
 * stdout: the other thread called
 * case uncaught
 * args: uncaught
 * status: signal SIGABRT
 * stderr~ ^terminate called after throwing an instance of 'Oops'
 * case uncaught_nested
 * args: uncaught_nested
 * status: signal SIGABRT
 * stderr~ ^terminate called after throwing an instance of 'Oops'
 */
#include "scenario.h"

#include <atomic>
#include <csetjmp>
#include <csignal>

enum { ROUNDS = 1000 };

/* Marks of the nested chain: the host's frame and four functions; of the direct one: the host's and one. */
enum { NESTED_MARKS = 5, DIRECT_MARKS = 2 };

struct Oops {
    int depth;
};

static std::atomic<int> made, destroyed;

struct Mark {
    uint64_t cookie = 0x5ca1ab1e;
    Mark() { made++; }
    ~Mark()
    {
        CHECK(cookie == 0x5ca1ab1e); /* its stack is still its own */
        destroyed++;
    }
};

static const char *name;
static thread_local jmp_buf out;
static pthread_barrier_t inside_now;
static void (*leave)();

static bool named(const char *part)
{
    return strstr(name, part) != nullptr;
}

static NOINLINE void jump()
{
    longjmp(out, 1);
}

static NOINLINE void throw_oops()
{
    throw Oops{4};
}

static NOINLINE void exit_thread()
{
    pthread_exit(nullptr);
}

static NOINLINE void exit_process()
{
    exit(7);
}

static NOINLINE void cancel_self()
{
    CHECK_EQ(pthread_cancel(pthread_self()), 0);
    pthread_testcancel();
}

static NOINLINE void block()
{
    pthread_barrier_wait(&inside_now);
    for (;;)
        pause();
}

/* Has no calls and no objects: any of its instructions may be the last. */
static NOINLINE void spin()
{
    static std::atomic<long> turns;
    int old;
    pthread_barrier_wait(&inside_now);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    for (;;)
        turns++;
}

static void level(void *)
{
    Mark mark;
    leave();
    CHECK(!"leave came back");
}

static void level_call(void *)
{
    Mark mark;
    W->call(level, nullptr);
    CHECK(!"wharf_call came back");
}

static void level_host(void *)
{
    Mark mark;
    W->call(level_call, nullptr);
    CHECK(!"wharf_call came back");
}

static void level_top(void *)
{
    Mark mark;
    W->on_host(level_host, nullptr);
    CHECK(!"wharf_on_host came back");
}

static wharf_fn chain()
{
    return named("nested") ? level_top : level;
}

static int marks()
{
    return named("nested") ? NESTED_MARKS : DIRECT_MARKS;
}

/* What a thread that lives on must be able to do after each exit. */
static void one_stack(void *arg)
{
    /* What a jump left untouched counts on: a fiber might come back to it. */
    CHECK(stats().stacks_used <= (named("longjmp") ? 3 : 1));
    ++*static_cast<int *>(arg);
}

static void call_on()
{
    int count = 0;
    call(one_stack, &count);
    CHECK_EQ(count, 1);
    if (named("longjmp"))
        CHECK_EQ(W->detach(), WHARF_OK);
    CHECK_EQ(stats().stacks_used, 0);
}

/* ---- exits that the thread survives ---- */

static NOINLINE void throw_once()
{
    bool caught = false;
    try {
        Mark mark;
        W->call(chain(), nullptr);
    } catch (const Oops &oops) {
        caught = oops.depth == 4;
    }
    CHECK(caught);
    CHECK_EQ(stats().stacks_used, 0); /* at once, without a further call */
}

static NOINLINE void longjmp_once()
{
    if (setjmp(out) == 0) {
        Mark mark;
        W->call(chain(), nullptr);
    }
}

/* Catches at each level and goes on there: calls, leaves again, from one level further out. */
static void each_inner(void *)
{
    Mark mark;
    throw Oops{3};
}

static void each_host(void *)
{
    Mark mark;
    try {
        W->call(each_inner, nullptr);
        CHECK(!"the inner callback threw");
    } catch (Oops &oops) {
        CHECK_EQ(oops.depth, 3);
        int count = 0;
        call([](void *arg) { ++*static_cast<int *>(arg); }, &count);
        CHECK_EQ(count, 1);
    }
    throw Oops{2};
}

static void each_top(void *)
{
    Mark mark;
    try {
        W->on_host(each_host, nullptr);
        CHECK(!"the host function threw");
    } catch (Oops &oops) {
        CHECK_EQ(oops.depth, 2);
        int count = 0;
        call(one_stack, &count); /* on this same stack: what on_host took has gone back */
        CHECK_EQ(count, 1);
    }
    throw Oops{1};
}

static void rethrow_top(void *)
{
    Mark mark;
    try {
        level_top(nullptr);
    } catch (...) {
        throw;
    }
}

static NOINLINE void each_once()
{
    try {
        Mark mark;
        W->call(named("rethrow") ? rethrow_top : each_top, nullptr);
        CHECK(!"the callback threw");
    } catch (const Oops &oops) {
        CHECK_EQ(oops.depth, named("rethrow") ? 4 : 1);
    }
}

static void *surviving_thread(void *)
{
    void (*once)() = named("throw_each") || named("rethrow") ? each_once : named("throw") ? throw_once : longjmp_once;
    for (int i = 0; i < ROUNDS; i++) {
        once();
        call_on();
    }
    if (!named("longjmp"))
        CHECK_EQ(destroyed, made);
    else
        CHECK_EQ(made, ROUNDS * marks());
    return nullptr;
}

/* ---- exits that end the thread ---- */

static void *ending_thread(void *)
{
    Mark mark;
    if (named("async"))
        leave = spin;
    W->call(chain(), nullptr);
    CHECK(!"wharf_call came back");
    return nullptr;
}

static void end_threads()
{
    bool waits = named("blocked") || named("async");
    CHECK_EQ(pthread_barrier_init(&inside_now, nullptr, 2), 0);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread = spawn(0, ending_thread, nullptr);
        if (waits) {
            pthread_barrier_wait(&inside_now);
            CHECK_EQ(pthread_cancel(thread), 0);
        }
        void *result;
        CHECK_EQ(pthread_join(thread, &result), 0);
        CHECK(named("cancel") ? result == PTHREAD_CANCELED : result == nullptr);
        CHECK_EQ(destroyed, made);
        CHECK_EQ(made, (i + 1) * marks());
    }
}

static void check_no_leak()
{
    CHECK_EQ(W->trim(), WHARF_OK);
    wharf_stats now = stats();
    CHECK_EQ(now.threads_bound, 0);
    CHECK_EQ(now.stacks_used, 0);
    if (now.threads_made >= 8 || now.stacks_made >= 32)
        fprintf(stderr, "Ms %u, stacks %u\n", now.threads_made, now.stacks_made);
    CHECK(now.threads_made < 8);
    CHECK(now.stacks_made < 32);
}

/* ---- the ends of the process ---- */

static void called(void *arg)
{
    ++*static_cast<int *>(arg);
}

static void at_exit()
{
    int count = 0;
    puts("atexit");
    call(called, &count);
    printf("called in atexit %d\n", count);
}

static void *outlives_main(void *arg)
{
    CHECK_EQ(pthread_join(*static_cast<pthread_t *>(arg), nullptr), 0);
    printf("destroyed %d\n", destroyed.load());
    int count = 0;
    call(called, &count);
    puts("the other thread called");
    exit(count == 1 ? 0 : 1);
}

static void end_process()
{
    static pthread_t main_thread = pthread_self();
    Mark mark;
    if (named("exit_nested") && !named("main"))
        atexit(at_exit);
    if (named("main"))
        spawn(0, outlives_main, &main_thread);
    W->call(chain(), nullptr);
    CHECK(!"wharf_call came back");
}

int main(int, char **argv)
{
    name = argv[1] != nullptr ? argv[1] : "throw";
    leave = named("throw") || named("uncaught") ? throw_oops : named("longjmp") ? jump : named("cancel_self") ? cancel_self
        : named("cancel_blocked") ? block : named("pthread_exit") || named("main_exit") ? exit_thread : exit_process;
    load_wharf();
    if (strncmp(name, "exit", 4) == 0 || named("main_exit")) {
        end_process();
    } else if (named("uncaught")) {
        on_thread(ending_thread, nullptr);
    } else if (named("throw") || named("longjmp")) {
        on_thread(surviving_thread, nullptr);
        check_no_leak();
    } else {
        end_threads();
        check_no_leak();
    }
    puts("OK");
    return 0;
}
