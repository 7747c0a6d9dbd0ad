/* StopDump: while a stop waits, and after it gave up, wharf_dump names who is in its way, with thread, M, stacks and state.
 * One that looks in for long is waited for, and nobody looks at what a stop takes away.
 * source: issue 5
 * timeout: 30
 * case blockers
 * args: blockers
 * stdout~ ^while it waits\nwharf [0-9.]+: stopping\nstacks: [1-9][0-9]* of (8388608|262144) bytes, guards 65536 bytes$
 * stdout~ ^after it gave up\nwharf [0-9.]+: running\nstacks: [1-9][0-9]* of (8388608|262144) bytes, guards 65536 bytes$
 * stdout~ ^M[0-9]+ tid [0-9]+ "sits": in a callback, depth 1\n  goroutine [0-9]+ stack \[0x[0-9a-f]+, 0x[0-9a-f]+\) [0-9]+ bytes in memory$
 * stdout~ ^M[0-9]+ tid [0-9]+ "sits out": in a callback, out on the host's stack, depth 1\n  goroutine [0-9]+ stack .* memory$
 * stdout~ ^M[0-9]+ tid [0-9]+ "sits deep": in a callback, out on the host's stack, depth 2\n  goroutine [0-9]+ stack .* memory\n  goroutine [0-9]+ stack .* memory$
 * stdout~ ^M[0-9]+ tid [0-9]+ "idle": outside, depth 0\n  goroutine [0-9]+ stack .* memory, idle$
 * stdout~ ^OK$
 * case storm
 * args: storm
 * stdout: OK
 */
#include "scenario.h"

#include <fcntl.h>

enum { KINDS = 4, MS = 1000000 };

static pthread_barrier_t turn;
static volatile int let_go;

static void sit(UNUSED void *arg)
{
    pthread_barrier_wait(&turn);
    while (!let_go)
        usleep(1000);
}

static void sit_out(UNUSED void *arg)
{
    on_host(sit, NULL);
}

static void call_sit(UNUSED void *arg)
{
    call(sit, NULL);
}

static void sit_deep(UNUSED void *arg)
{
    on_host(call_sit, NULL);
}

static void *thread(void *arg)
{
    static const struct {
        const char *name;
        wharf_fn fn;
    } kinds[KINDS] = {{"sits", sit}, {"sits out", sit_out}, {"sits deep", sit_deep}, {"idle", NULL}};
    intptr_t kind = (intptr_t)arg;
    wharf_attach_options options = WHARF_ATTACH_OPTIONS_INIT;
    options.name = kinds[kind].name;
    CHECK_EQ(W->attach(&options), WHARF_OK);
    if (kinds[kind].fn != NULL)
        call(kinds[kind].fn, NULL);
    else
        sit(NULL);
    return NULL;
}

static int text_of(char *text, size_t room)
{
    int pipes[2];
    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(W->dump(pipes[1]), WHARF_OK);
    close(pipes[1]);
    ssize_t length = read(pipes[0], text, room - 1);
    CHECK(length > 0);
    text[length] = 0;
    close(pipes[0]);
    return (int)length;
}

static void *dump_meanwhile(UNUSED void *arg)
{
    char text[8192];
    while (W->running())
        usleep(1000);
    usleep(20000);
    text_of(text, sizeof text);
    printf("while it waits\n%s", text);
    return NULL;
}

static void blockers(void)
{
    pthread_t threads[KINDS];
    char text[8192];
    CHECK_EQ(pthread_barrier_init(&turn, NULL, KINDS + 1), 0);
    CHECK_EQ(W->start(NULL), WHARF_OK);
    for (intptr_t i = 0; i < KINDS; i++)
        threads[i] = spawn(0, thread, (void *)i);
    pthread_barrier_wait(&turn);
    pthread_t dumping = spawn(0, dump_meanwhile, NULL);
    CHECK_EQ(W->stop(W->after(INT64_C(500) * MS)), WHARF_TIMEOUT);
    join(dumping);
    text_of(text, sizeof text);
    printf("after it gave up\n%s", text);
    let_go = 1;
    CHECK_EQ(W->stop(W->after(INT64_C(5000) * MS)), WHARF_OK);
    for (int i = 0; i < KINDS; i++)
        join(threads[i]);
    text_of(text, sizeof text);
    CHECK(strstr(text, ": stopped\n") != NULL);
}

/* ---- many look in while the runtime comes and goes ---- */

static void nothing(UNUSED void *arg) {}

static void *look_in(UNUSED void *arg)
{
    int nowhere = open("/dev/null", O_WRONLY);
    while (!let_go) {
        CHECK_EQ(W->dump(nowhere), WHARF_OK);
        W->call(nothing, NULL);
    }
    close(nowhere);
    return NULL;
}

static void storm(void)
{
    pthread_t threads[KINDS];
    for (int i = 0; i < KINDS; i++)
        threads[i] = spawn(0, look_in, NULL);
    int64_t end = W->after(INT64_C(1500) * MS);
    for (unsigned i = 0; W->now() < end; i++) {
        CHECK_EQ(W->start(NULL), WHARF_OK);
        usleep(i * 37 % 500);
        int status = W->stop(i % 2 == 0 ? WHARF_NEVER : W->after(MS));
        CHECK(status == WHARF_OK || status == WHARF_TIMEOUT);
        while (status != WHARF_OK)
            status = W->stop(WHARF_NEVER);
    }
    let_go = 1;
    for (int i = 0; i < KINDS; i++)
        join(threads[i]);
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "blockers"))
        blockers();
    else
        storm();
    puts("OK");
    return 0;
}
