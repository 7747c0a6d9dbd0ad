/* EightPanics: eight threads panic at the same moment. One of them is reported, whole; the others add nothing
 * and end nothing early. `once` shows one such end; `rounds` looks at forty of them, in four settings.
 * source: Go TestPanicRace, ours
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * timeout: 120
 * case once
 * args: once
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM [0-7]\n\ngoroutine [1-9][0-9]* \[running, locked to thread\]:\n
 * stderr!~ panic: (.|\n)*panic:
 * frames: boom wharf_call host_thread
 * case rounds
 * args: rounds
 * stdout: OK
 */
#include "scenario.h"

#include <poll.h>
#include <sys/wait.h>
#include <time.h>

enum { THREADS = 8, ROUNDS = 40 };

/* How a round differs from the plain one, as bits. */
enum { ON_HOST = 1, WARM = 2 };

static pthread_barrier_t all_here;
static int setting;

/* The last step before the panic, on the managed stack, is the barrier: they panic as one. */
static void boom(void *arg)
{
    char message[16];
    snprintf(message, sizeof message, "BOOM %d", (int)(intptr_t)arg);
    pthread_barrier_wait(&all_here);
    W->panic(message);
    puts("wharf_panic came back");
}

static void through_host(void *arg)
{
    on_host(boom, arg);
}

static void nothing(UNUSED void *arg) {}

static void *host_thread(void *arg)
{
    if (setting & WARM)
        call(nothing, NULL);
    int odd = (int)((intptr_t)arg & 1);
    W->call(odd && (setting & ON_HOST) ? through_host : boom, arg);
    puts("wharf_call came back");
    return NULL;
}

static void panic_together(void)
{
    load_wharf();
    CHECK_EQ(pthread_barrier_init(&all_here, NULL, THREADS), 0);
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++)
        threads[i] = spawn(0, host_thread, (void *)i);
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
}

/* Runs one round in a child; returns what it wrote on stderr, and how it ended in *status. */
static char *round_in_child(int *status)
{
    int pipes[2];
    CHECK_EQ(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], 2);
        close(pipes[0]);
        close(pipes[1]);
        alarm(10);
        panic_together();
        _exit(0);
    }
    close(pipes[1]);
    static char text[1 << 20];
    size_t length = 0;
    ssize_t got;
    while ((got = read(pipes[0], text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = 0;
    close(pipes[0]);
    CHECK_EQ(waitpid(child, status, 0), child);
    return text;
}

static int count(const char *text, const char *part)
{
    int found = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        found++;
    return found;
}

/* The report of exactly one of them, from its first word to the thread's start. */
static void check_report(const char *text, int status)
{
    int whole = count(text, "panic: ") == 1 && strncmp(text, "panic: BOOM ", 12) == 0
        && count(text, "[running, locked to thread]:") == 1 && strstr(text, "\nboom+0x") != NULL
        && strstr(text, "\nwharf_call+0x") != NULL && strstr(text, "\nhost_thread+0x") != NULL
        && text[strlen(text) - 1] == '\n';
    if (!whole || !WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        fprintf(stderr, "setting %d, wait status %#x:\n%s", setting, (unsigned)status, text);
    CHECK(whole);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
}

int main(UNUSED int argc, char **argv)
{
    if (is_case(argv, "once")) {
        panic_together();
        return 0;
    }
    for (int round = 0; round < ROUNDS; round++) {
        int status;
        setting = round % 4;
        char *text = round_in_child(&status);
        check_report(text, status);
    }
    puts("OK");
    return 0;
}
