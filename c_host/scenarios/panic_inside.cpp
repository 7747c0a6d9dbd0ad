/* PanicInside: what runs because of a panic panics itself. A try in a destructor or a catch (...) keeps its own panic, and
 * the one because of which it runs goes on as it was; nothing there can recover that one. A panic that was given out lives
 * until it is freed, with those that it took the place of, whichever is freed first and wherever it was left. A deferred
 * call that an exception leaves has ended its panic. A thousand panics in a row are told on a small stack.
 * source: ours
 * cflags: -fno-inline
 * case destructor
 * args: destructor
 * stdout: OK
 * case earlier
 * args: earlier
 * stdout: OK
 * case exception
 * args: exception
 * stdout: OK
 * case many
 * args: many
 * stdout: OK
 * case many_fatal
 * args: many_fatal
 * status: signal SIGABRT
 * stderr~ ^panic: first\n\t\.\.\.950 panics elided\.\.\.\n\tpanic: next\n\t(panic: next\n\t){48}panic: next\n\ngoroutine
 * case goexit
 * args: goexit
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\tpanic: wharf_goexit \[stopped by noexcept\]\n\ngoroutine
 * case left_destructor
 * args: left_destructor
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine
 * case valgrind
 * args: destructor earlier exception
 * stdout: OK
 * needs: valgrind
 * wrap: valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect,possible
 * stderr!~ ==[0-9]+==
 * timeout: 120
 */
#include <csetjmp>

#include "scenario.h"

static int destroyed, deferred;

static void defer(wharf_fn fn, void *arg)
{
    CHECK_EQ(W->defer(fn, arg), WHARF_OK);
}

static void boom(void *message)
{
    W->panic((const char *)message);
}

static void recover(void *)
{
    wharf_panic_info *info = W->recover();
    CHECK(info != nullptr);
    W->panic_info_free(info);
}

static void recover_nothing(void *)
{
    CHECK(W->recover() == nullptr);
    deferred++;
}

/* Tries `fn`, whose panic must say `message`. */
static void try_for(wharf_fn fn, const char *message)
{
    wharf_panic_info *info = nullptr;
    CHECK_EQ(W->try_(fn, const_cast<char *>(message), &info), WHARF_PANICKED);
    CHECK(strcmp(info->message, message) == 0 && info->earlier == nullptr);
    W->panic_info_free(info);
}

/* ---- destructors ---- */

static void defers(void *)
{
    defer(recover_nothing, nullptr);
}

static void recovers(void *)
{
    defer(recover, nullptr);
    boom(const_cast<char *>("recovered"));
}

static void use_everything(void *)
{
    CHECK(W->recover() == nullptr);
    try_for(boom, "inner");
    CHECK_EQ(W->call(defers, nullptr), WHARF_OK);
    CHECK_EQ(W->call(recovers, nullptr), WHARF_RECOVERED);
    destroyed++;
}

struct Uses {
    ~Uses()
    {
        use_everything(nullptr);
        call(use_everything, nullptr);
        on_host(use_everything, nullptr);
    }
};

static void panics_over_destructor(void *message)
{
    Uses uses;
    boom(message);
}

/* The panic has come back to the inner call before, for its deferred call. */
static void panics_in_call(void *message)
{
    Uses uses;
    Uses once_more;
    auto inner = [](void *message) {
        defer([](void *) {}, nullptr);
        defer([](void *) { try_for(panics_over_destructor, "in a deferred call"); }, nullptr);
        panics_over_destructor(message);
    };
    W->call(inner, message);
}

static void panics_over_catch(void *message)
{
    try {
        panics_over_destructor(message);
    } catch (...) {
        use_everything(nullptr);
        throw;
    }
}

static void destructors()
{
    try_for(panics_over_destructor, "outer");
    try_for(panics_over_catch, "outer");
    for (int i = 0; i < 100; i++) {
        destroyed = deferred = 0;
        auto fn = [](void *) {
            auto recovered = [](void *message) {
                defer([](void *) { W->panic_info_free(W->recover()); }, nullptr);
                panics_over_destructor(message);
            };
            CHECK_EQ(W->call(recovered, const_cast<char *>("recovered")), WHARF_RECOVERED);
            panics_in_call(const_cast<char *>("outer"));
        };
        wharf_panic_info *info = nullptr;
        CHECK_EQ(W->try_(fn, nullptr, &info), WHARF_PANICKED);
        CHECK(strcmp(info->message, "outer") == 0);
        W->panic_info_free(info);
        CHECK_EQ(destroyed, 15);
        CHECK_EQ(W->recoverable(), 0);
    }
    CHECK_EQ(stats().stacks_used, 0);
}

/* ---- panics that were given out ---- */

static wharf_panic_info *second;
static jmp_buf out;

static void keep_and_go_on(void *)
{
    second = W->recover();
    CHECK(second != nullptr);
    W->panic("third");
}

static void three(void *)
{
    defer(keep_and_go_on, nullptr);
    defer(boom, const_cast<char *>("second"));
    W->panic("first");
}

static void leaves(void *)
{
    longjmp(out, 1);
}

/* Is left when its second panic has come back, and the first is kept by that one. */
static void leaves_two(void *)
{
    defer(leaves, nullptr);
    defer(boom, const_cast<char *>("second"));
    W->panic("first");
}

static void check_second()
{
    char text[4096];
    CHECK(strcmp(second->message, "second") == 0 && strcmp(second->earlier->message, "first") == 0);
    W->panic_info_format(second, text, sizeof text);
    CHECK(strncmp(text, "panic: first\n\tpanic: second [recovered]\n", 40) == 0);
}

static void earlier()
{
    for (int i = 0; i < 4; i++) {
        wharf_panic_info *third = nullptr;
        CHECK_EQ(W->try_(three, nullptr, i < 2 ? &third : nullptr), WHARF_PANICKED);
        check_second();
        CHECK(third == nullptr || third->earlier == second);
        if (i == 0)
            W->panic_info_free(third);
        check_second();
        W->panic_info_free(second);
        if (i == 1) {
            CHECK(strcmp(third->earlier->earlier->message, "first") == 0);
            W->panic_info_free(third);
        }
    }
    for (int i = 0; i < 100; i++) {
        if (setjmp(out) == 0)
            W->try_(leaves_two, nullptr, nullptr);
        try_for(boom, "after");
    }
}

/* ---- exceptions out of deferred calls ---- */

static void throws(void *)
{
    throw 1;
}

static void throws_over_deferred(void *)
{
    defer(recover_nothing, nullptr);
    defer(recover_nothing, nullptr);
    defer(throws, nullptr);
    W->panic("lost");
}

static void catches(void *)
{
    for (int how = 0; how < 2; how++) {
        deferred = 0;
        try {
            how == 0 ? W->try_(throws_over_deferred, nullptr, nullptr) : W->call(throws_over_deferred, nullptr);
            CHECK(false);
        } catch (int) {
            CHECK_EQ(deferred, 2);
        }
        try_for(boom, "after");
    }
}

static void exceptions()
{
    catches(nullptr);
    call(catches, nullptr);
    CHECK_EQ(W->try_(catches, nullptr, nullptr), WHARF_OK);
    CHECK_EQ(W->recoverable(), 0);
}

/* ---- very many, and goexit ---- */

static void many(void *)
{
    for (int i = 0; i < 1000; i++)
        defer(boom, const_cast<char *>("next"));
    W->panic("first");
}

static void *format(void *info)
{
    char text[2048];
    size_t length = W->panic_info_format((wharf_panic_info *)info, text, sizeof text);
    CHECK(length < sizeof text && strstr(text, "panic: first\n\t...950 panics elided...\n\tpanic: next\n") == text);
    W->panic_info_free((wharf_panic_info *)info);
    return nullptr;
}

struct Exits {
    ~Exits() { W->goexit(); }
};

static void exits(void *)
{
    Exits exits;
    W->panic("BOOM");
}

/* A panic ends where its destructor is left. */
struct Leaves {
    ~Leaves() { longjmp(out, 1); }
};

static void left_destructor(void *)
{
    if (setjmp(out) == 0) {
        auto fn = [](void *) {
            Leaves leaves;
            W->panic("left");
        };
        W->try_(fn, nullptr, nullptr);
    }
    W->panic("BOOM");
}

int main(int argc, char **argv)
{
    load_wharf();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "destructor") == 0)
            destructors();
        else if (strcmp(argv[i], "earlier") == 0)
            earlier();
        else if (strcmp(argv[i], "exception") == 0)
            exceptions();
        else if (strcmp(argv[i], "goexit") == 0)
            W->try_(exits, nullptr, nullptr);
        else if (strcmp(argv[i], "left_destructor") == 0)
            W->call(left_destructor, nullptr);
        else if (strcmp(argv[i], "many_fatal") == 0)
            W->call(many, nullptr);
        else {
            wharf_panic_info *info = nullptr;
            CHECK_EQ(W->try_(many, nullptr, &info), WHARF_PANICKED);
            pthread_join(spawn(32768, format, info), nullptr);
        }
    }
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    puts("OK");
    return 0;
}
