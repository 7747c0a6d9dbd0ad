/* QuietLoad: neither loading, nor a first call, nor start and stop change what is the host's: its threads, handlers, mask,
 * alternate stack, open files, environment; loading and a first call do not even read the environment.
 * source: DESIGN.md decision 1; Go TestSignalHandlersWithNotify (after stop nothing of the library's is left)
 * stdout: OK
 */
#include <fcntl.h>
#include <signal.h>

#include "scenario.h"

/* The host's own getenv, which the library would find. */
static int environment_reads;
extern char **environ;

static char *look_up(const char *name)
{
    size_t length = strlen(name);
    for (char **entry = environ; *entry != NULL; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    }
    return NULL;
}

char *getenv(const char *name)
{
    environment_reads++;
    return look_up(name);
}

char *secure_getenv(const char *name)
{
    environment_reads++;
    return look_up(name);
}

typedef struct property {
    struct sigaction handlers[65];
    sigset_t mask;
    stack_t altstack;
    long threads;
    int files;
    char **environment;
    char name[32];
} property;

static void handler(UNUSED int signal) {}

/* What can be compared byte for byte: the C library leaves rubbish in the mask's upper words. */
static void take(property *now)
{
    memset(now, 0, sizeof *now);
    for (int signal = 1; signal < 65; signal++) {
        struct sigaction action;
        if (sigaction(signal, NULL, &action) != 0)
            continue; /* the C library's own signals */
        now->handlers[signal].sa_handler = action.sa_handler;
        now->handlers[signal].sa_flags = action.sa_flags;
        for (int other = 1; other < 65; other++) {
            if (sigismember(&action.sa_mask, other) == 1)
                sigaddset(&now->handlers[signal].sa_mask, other);
        }
    }
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &now->mask), 0);
    CHECK_EQ(sigaltstack(NULL, &now->altstack), 0);
    now->threads = thread_count();
    for (int file = 0; file < 256; file++)
        now->files += fcntl(file, F_GETFD) != -1;
    now->environment = environ;
    CHECK_EQ(pthread_getname_np(pthread_self(), now->name, sizeof now->name), 0);
}

static void same(const property *before, const char *when)
{
    property now;
    take(&now);
    for (int signal = 1; signal < 65; signal++) {
        if (memcmp(&now.handlers[signal], &before->handlers[signal], sizeof now.handlers[signal]) != 0)
            fprintf(stderr, "the handler of signal %d changed\n", signal);
    }
    if (memcmp(&now, before, sizeof now) != 0)
        fprintf(stderr, "changed: %s\n", when);
    CHECK(memcmp(&now, before, sizeof now) == 0);
}

static void inside_it(void *arg)
{
    same((const property *)arg, "inside a callback");
}

static void nothing(UNUSED void *arg) {}

int main(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    sigset_t blocked;
    CHECK_EQ(sigemptyset(&blocked), 0);
    CHECK_EQ(sigaddset(&blocked, SIGCHLD), 0);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &blocked, NULL), 0);

    const char *path = look_up("WHARF_LIB");
    static property before;
    take(&before);
    wharf_dl opened;
    environment_reads = 0;
    CHECK_EQ(wharf_dl_open(path, &opened), WHARF_OK);
    W = opened.api;
    same(&before, "by loading");
    call(inside_it, &before);
    same(&before, "by a first call");
    CHECK_EQ(environment_reads, 0);
    wharf_config config = WHARF_CONFIG_INIT;
    config.signals = WHARF_SIGNALS_NONE;
    CHECK_EQ(W->start(&config), WHARF_OK);
    same(&before, "by start");
    call(inside_it, &before);
    CHECK_EQ(W->attach(NULL), WHARF_OK);
    same(&before, "by attach");
    CHECK_EQ(W->detach(), WHARF_OK);
    CHECK_EQ(W->stop(W->after(INT64_C(5000000000))), WHARF_OK);
    same(&before, "by stop");
    CHECK_EQ(W->start(NULL), WHARF_OK); /* with handlers, which the stop takes back */
    CHECK_EQ(W->attach(NULL), WHARF_OK);
    call(nothing, NULL);
    CHECK_EQ(W->stop(W->after(INT64_C(5000000000))), WHARF_OK);
    same(&before, "by a stop with handlers");
    CHECK_EQ(wharf_dl_close(&opened), WHARF_OK);
    same(&before, "by closing");
    puts("OK");
    return 0;
}
