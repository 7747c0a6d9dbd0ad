/* PanicShape: panics in deferred calls, recovered, raised again, mixed with goexits: what is printed of all of them, in
 * which order. Each shape runs four times, each time in a process of its own: with nobody to catch it, so that it is
 * reported; in a try; in a try with the host's stack between; in a try after a callback that panicked before. What the
 * report begins with and what a try gives out is the same text.
 * source: Go TestRecursivePanic to 5, TestRepanicked*, TestDoublePanic, TestGoexit*, Test*PanicAfterGoexit*, TestPanicTraceback
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * case all
 * args: all
 * stdout: OK
 * timeout: 60
 * case traceback
 * args: traceback
 * status: signal SIGABRT
 * stderr~ ^panic: hello\n\tpanic: panic pt2\n\tpanic: panic pt1\n\ngoroutine [1-9][0-9]* \[running, locked to thread\]:\n
 * frames: panic_pt1 wharf_panic panic_pt2 wharf_panic pt2 wharf_call pt1 wharf_call report main <libc> _start <end>
 * symbols: yes
 * case traceback_out
 * args: traceback_out
 * status: signal SIGABRT
 * stderr~ ^panic: hello\n\tpanic: panic pt2\n\tpanic: panic pt1\n\ngoroutine
 * frames: panic_pt1 panic_pt2 pt2 wharf_call pt2_from_host wharf_on_host pt1_out wharf_call report main <libc> _start <end>
 * symbols: yes
 */
#include "scenario.h"

#include <sys/mman.h>
#include <signal.h>
#include <sys/wait.h>

/* What a shape says on its way, shared with the process that runs it. */
static char *said;

static void say(const char *text)
{
    strcat(strcat(said, text), "\n");
}

/* ---- what is deferred ---- */

static void defer(wharf_fn fn, const char *arg)
{
    CHECK_EQ(W->defer(fn, (void *)(uintptr_t)arg), WHARF_OK);
}

static void say_it(void *text)
{
    say((const char *)text);
}

static void say_recovered(UNUSED void *arg)
{
    wharf_panic_info *info = W->recover();
    say(info != NULL ? info->message : "nothing");
    W->panic_info_free(info);
}

static void recover(UNUSED void *arg)
{
    W->panic_info_free(W->recover());
}

static void raise_it(void *text)
{
    W->panic((const char *)text);
}

static void recover_and_raise(void *text)
{
    recover(NULL);
    W->panic((const char *)text);
}

static void say_recovered_and_raise(void *text)
{
    say_recovered(NULL);
    W->panic((const char *)text);
}

static void repanic(UNUSED void *arg)
{
    char message[64];
    wharf_panic_info *info = W->recover();
    CHECK(info != NULL);
    snprintf(message, sizeof message, "%s", info->message);
    W->panic_info_free(info);
    W->panic(message);
}

static void wrap(UNUSED void *arg)
{
    char message[64];
    wharf_panic_info *info = W->recover();
    CHECK(info != NULL);
    snprintf(message, sizeof message, "wrap: %s", info->message);
    W->panic_info_free(info);
    W->panic(message);
}

static void leave(UNUSED void *arg)
{
    W->goexit();
}

/* ---- the shapes ---- */

static void bad(UNUSED void *arg)
{
    defer(wrap, NULL);
    W->panic("bad");
}

static void said_bad(UNUSED void *arg)
{
    defer(say_recovered, NULL);
    call(bad, NULL);
}

static void recursive(UNUSED void *arg)
{
    CHECK_EQ(W->call(said_bad, NULL), WHARF_RECOVERED);
    W->panic("again");
}

static void first_second(UNUSED void *arg)
{
    defer(raise_it, "second panic");
    defer(say_recovered, NULL);
    W->panic("first panic");
}

static void said_first_second(UNUSED void *arg)
{
    defer(say_recovered, NULL);
    int status = W->call(first_second, NULL);
    CHECK(status < 0);
}

static void recursive2(UNUSED void *arg)
{
    CHECK_EQ(W->call(said_first_second, NULL), WHARF_RECOVERED);
    W->panic("third panic");
}

static void second_recovered(UNUSED void *arg)
{
    defer(recover, NULL);
    W->panic("second panic");
}

static void call_second(UNUSED void *arg)
{
    CHECK_EQ(W->call(second_recovered, NULL), WHARF_RECOVERED);
}

static void recursive3(UNUSED void *arg)
{
    defer(call_second, NULL);
    W->panic("first panic");
}

static void try_second(UNUSED void *arg)
{
    char message[] = "second panic";
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(raise_it, message, &info), WHARF_PANICKED);
    say(info->message);
    W->panic_info_free(info);
}

static void recursive3_try(UNUSED void *arg)
{
    defer(try_second, NULL);
    W->panic("first panic");
}

static void recursive4(UNUSED void *arg)
{
    defer(recover_and_raise, "second panic");
    W->panic("first panic");
}

static void three(UNUSED void *arg)
{
    defer(say_it, "three is done");
    defer(say_recovered, NULL);
    defer(say_recovered_and_raise, "second panic");
    W->panic("first panic");
}

static void two(UNUSED void *arg)
{
    defer(say_it, "two is done");
    CHECK_EQ(W->call(three, NULL), WHARF_RECOVERED);
}

static void recursive5(UNUSED void *arg)
{
    call(two, NULL);
    W->panic("third panic");
}

static void repanicked(UNUSED void *arg)
{
    defer(repanic, NULL);
    W->panic("message");
}

static void inner(UNUSED void *arg)
{
    defer(recover_and_raise, "middle");
    W->panic("inner");
}

static void middle(UNUSED void *arg)
{
    defer(repanic, NULL);
    call(inner, NULL);
}

static void repanicked_middle(UNUSED void *arg)
{
    defer(recover_and_raise, "outer");
    call(middle, NULL);
}

static void sandwiched(UNUSED void *arg)
{
    defer(recover_and_raise, "inner");
    W->panic("outer");
}

static void sandwich(UNUSED void *arg)
{
    defer(recover_and_raise, "outer");
    call(sandwiched, NULL);
}

static void twice(UNUSED void *arg)
{
    defer(raise_it, "YYY");
    W->panic("XXX");
}

static void same_twice(UNUSED void *arg)
{
    defer(raise_it, "message");
    W->panic("message");
}

static void many(UNUSED void *arg)
{
    defer(raise_it, "four\nlines 4");
    defer(raise_it, "three");
    defer(say_it, "between");
    defer(raise_it, "two");
    W->panic("one\nand a line");
}

static void many_recovered(UNUSED void *arg)
{
    defer(say_recovered, NULL);
    defer(raise_it, "three");
    defer(raise_it, "two");
    W->panic("one");
}

static void goexit_in_panic(UNUSED void *arg)
{
    defer(say_recovered, NULL);
    defer(leave, NULL);
    W->panic("hello");
}

static void goexit_defer(UNUSED void *arg)
{
    defer(say_it, "last");
    defer(say_recovered, NULL);
    W->goexit();
}

static void goexit_twice(UNUSED void *arg)
{
    defer(say_it, "last");
    defer(leave, NULL);
    W->goexit();
}

static void panic_after_goexit(UNUSED void *arg)
{
    defer(raise_it, "hello");
    W->goexit();
}

static void hello_recovered(UNUSED void *arg)
{
    defer(recover, NULL);
    W->panic("hello");
}

static void call_hello(UNUSED void *arg)
{
    CHECK_EQ(W->call(hello_recovered, NULL), WHARF_RECOVERED);
}

static void recovered_after_goexit(UNUSED void *arg)
{
    defer(call_hello, NULL);
    W->goexit();
}

static void recover_before_goexit(UNUSED void *arg)
{
    defer(say_recovered, NULL);
    defer(say_recovered, NULL);
    defer(raise_it, "hello");
    W->goexit();
}

/* The recovery is two scopes out: the goexit that the panic took the place of is that of the inner one. */
static void recover_outside_goexit(UNUSED void *arg)
{
    defer(say_recovered, NULL);
    CHECK_EQ(W->call(panic_after_goexit, NULL), WHARF_OK);
}

static void panic_pt1(UNUSED void *arg)
{
    W->panic("panic pt1");
}

static void panic_pt2(UNUSED void *arg)
{
    W->panic("panic pt2");
}

static void pt2(UNUSED void *arg)
{
    defer(panic_pt2, NULL);
    W->panic("hello");
}

static void pt1(UNUSED void *arg)
{
    defer(panic_pt1, NULL);
    call(pt2, NULL);
}

static void pt2_from_host(UNUSED void *arg)
{
    call(pt2, NULL);
}

static void pt1_out(UNUSED void *arg)
{
    defer(panic_pt1, NULL);
    on_host(pt2_from_host, NULL);
}

typedef struct shape {
    const char *name;
    wharf_fn fn;
    int status;       /* what a try around it returns */
    const char *said; /* on its way */
    const char *text; /* of the panic, "" where none gets out */
} shape;

static const shape shapes[] = {
    {"recursive", recursive, WHARF_PANICKED, "wrap: bad\n", "panic: again\n"},
    {"recursive2", recursive2, WHARF_PANICKED, "first panic\nsecond panic\n", "panic: third panic\n"},
    {"recursive3", recursive3, WHARF_PANICKED, "", "panic: first panic\n"},
    {"recursive3_try", recursive3_try, WHARF_PANICKED, "second panic\n", "panic: first panic\n"},
    {"recursive4", recursive4, WHARF_PANICKED, "", "panic: first panic [recovered]\n\tpanic: second panic\n"},
    {"recursive5", recursive5, WHARF_PANICKED, "first panic\nsecond panic\nthree is done\ntwo is done\n", "panic: third panic\n"},
    {"repanicked", repanicked, WHARF_PANICKED, "", "panic: message [recovered, repanicked]\n"},
    {"repanicked_middle", repanicked_middle, WHARF_PANICKED, "",
     "panic: inner [recovered]\n\tpanic: middle [recovered, repanicked]\n\tpanic: outer\n"},
    {"sandwich", sandwich, WHARF_PANICKED, "", "panic: outer [recovered]\n\tpanic: inner [recovered]\n\tpanic: outer\n"},
    {"twice", twice, WHARF_PANICKED, "", "panic: XXX\n\tpanic: YYY\n"},
    {"same_twice", same_twice, WHARF_PANICKED, "", "panic: message\n\tpanic: message\n"},
    {"many", many, WHARF_PANICKED, "between\n",
     "panic: one\n\tand a line\n\tpanic: two\n\tpanic: three\n\tpanic: four\n\tlines 4\n"},
    {"many_recovered", many_recovered, WHARF_RECOVERED, "three\n", ""},
    {"pt1", pt1, WHARF_PANICKED, "", "panic: hello\n\tpanic: panic pt2\n\tpanic: panic pt1\n"},
    {"pt1_out", pt1_out, WHARF_PANICKED, "", "panic: hello\n\tpanic: panic pt2\n\tpanic: panic pt1\n"},
    {"goexit_in_panic", goexit_in_panic, WHARF_CANCELED, "nothing\n", ""},
    {"goexit_defer", goexit_defer, WHARF_CANCELED, "nothing\nlast\n", ""},
    {"goexit_twice", goexit_twice, WHARF_CANCELED, "last\n", ""},
    {"panic_after_goexit", panic_after_goexit, WHARF_PANICKED, "", "panic: hello\n"},
    {"recovered_after_goexit", recovered_after_goexit, WHARF_CANCELED, "", ""},
    {"recover_before_goexit", recover_before_goexit, WHARF_CANCELED, "hello\nnothing\n", ""},
    {"recover_outside_goexit", recover_outside_goexit, WHARF_RECOVERED, "hello\n", ""},
};

/* ---- the ways to run one ---- */

static void check_none_left(void)
{
    CHECK_EQ(stats().stacks_used, 0);
    CHECK_EQ(W->recoverable(), 0);
    CHECK(W->recover() == NULL);
}

static void report(const shape *one)
{
    CHECK_EQ(W->call(one->fn, NULL), one->status);
    check_none_left();
}

static void tried(const shape *one, wharf_fn fn, void *arg)
{
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(fn, arg, &info), one->status);
    CHECK_EQ(info != NULL, one->status == WHARF_PANICKED);
    if (info != NULL) {
        char text[8192];
        CHECK(W->panic_info_format(info, text, sizeof text) < sizeof text);
        CHECK(write(2, text, strlen(text)) > 0);
        W->panic_info_free(info);
    }
    check_none_left();
}

static void in_try(const shape *one)
{
    tried(one, one->fn, NULL);
}

static void from_host(void *arg)
{
    CHECK_EQ(W->call(((const shape *)arg)->fn, NULL), ((const shape *)arg)->status);
}

static void out_and_in(void *arg)
{
    on_host(from_host, arg);
}

/* What does not come out of the shape itself ends it inside the try. */
static void in_try_over_host(const shape *one)
{
    if (one->status == WHARF_PANICKED)
        tried(one, out_and_in, (void *)(uintptr_t)one);
    else
        CHECK_EQ(W->try_(out_and_in, (void *)(uintptr_t)one, NULL), WHARF_OK);
}

static void after_another(const shape *one)
{
    CHECK_EQ(W->try_(twice, NULL, NULL), WHARF_PANICKED);
    CHECK_EQ(W->call(hello_recovered, NULL), WHARF_RECOVERED);
    in_try(one);
}

static void (*const ways[])(const shape *one) = {report, in_try, in_try_over_host, after_another};

static void check_shape(const shape *one, int way)
{
    static char text[16384];
    int status, errors = memfd_create("stderr", 0);
    said[0] = '\0';
    pid_t child = fork();
    if (child == 0) {
        dup2(errors, 2);
        alarm(10);
        load_wharf();
        ways[way](one);
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    ssize_t length = pread(errors, text, sizeof text - 1, 0);
    close(errors);
    text[length > 0 ? length : 0] = '\0';
    int dies = way == 0 && one->status == WHARF_PANICKED;
    int ended = dies ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT : status == 0;
    size_t head = strlen(one->text);
    int same = strncmp(text, one->text, head) == 0 && text[head] == (head > 0 ? '\n' : '\0');
    if (ended && same && strcmp(said, one->said) == 0)
        return;
    fprintf(stderr, "%s, way %d: wait status %#x\nsaid:\n%stext:\n%s", one->name, way, (unsigned)status, said, text);
    _exit(1);
}

int main(UNUSED int argc, char **argv)
{
    said = (char *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(said != MAP_FAILED);
    shape traced = {"traceback", is_case(argv, "traceback") ? pt1 : pt1_out, WHARF_PANICKED, "", ""};
    if (!is_case(argv, "all")) {
        load_wharf();
        report(&traced);
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int way = 0; way < 4; way++)
            check_shape(&shapes[i], way);
    }
    puts("OK");
    return 0;
}
