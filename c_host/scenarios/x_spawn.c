/* Spawn: processes are started in every way, by posix_spawn, vfork, fork and exec, system and popen, from callbacks and from
 * outside, while other threads attach, call, detach and end: no deadlock, and each gets its child's status.
 * source: Go testplugin ForkExec, Test18146; issue 5
 * stdout: OK
 * timeout: 60
 * case outside
 * args: outside
 * case inside
 * args: inside
 * case threads
 * args: threads
 * case stopping
 * args: stopping
 */
#include "scenario.h"

#include <spawn.h>
#include <sys/wait.h>

enum { CHURNING = 4, ROUNDS = 60, WAYS = 5 };

static const char *name;
static int over;
static long done;

static int is_over(void)
{
    return __atomic_load_n(&over, __ATOMIC_SEQ_CST);
}

static void nothing(UNUSED void *arg) {}

static void *call_and_end(UNUSED void *arg)
{
    W->call(nothing, NULL);
    return NULL;
}

static void *churn(void *arg)
{
    for (long i = (long)(intptr_t)arg; !is_over(); i++) {
        W->call(nothing, NULL);
        if (i % 3 == 0)
            W->detach();
        if (i % 5 == 0)
            on_thread(call_and_end, NULL);
    }
    return NULL;
}

static void *stop_and_start(UNUSED void *arg)
{
    while (!is_over()) {
        CHECK_EQ(W->start(NULL), WHARF_OK);
        usleep(200);
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    }
    return NULL;
}

extern char **environ;

static int status_of(pid_t child)
{
    int status;
    CHECK(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status;
}

static int start_child(int way)
{
    char *const command[] = {(char *)"sh", (char *)"-c", (char *)"exit 3", NULL};
    pid_t child;
    switch (way) {
    case 0:
        CHECK_EQ(posix_spawn(&child, "/bin/sh", NULL, NULL, command, environ), 0);
        return status_of(child);
    case 1:
        child = vfork();
        if (child == 0) {
            execv("/bin/sh", command);
            _exit(1);
        }
        return status_of(child);
    case 2:
        child = fork();
        if (child == 0) {
            W->call(nothing, NULL); /* OK or STOPPED */
            execv("/bin/sh", command);
            _exit(1);
        }
        return status_of(child);
    case 3:
        return system("exit 3");
    default: {
        FILE *pipe = popen("exit 3", "r");
        CHECK(pipe != NULL);
        CHECK_EQ(getc(pipe), EOF);
        return pclose(pipe);
    }
    }
}

static void start_one(void *arg)
{
    CHECK_EQ(start_child((int)(intptr_t)arg), 3 << 8);
    __atomic_fetch_add(&done, 1, __ATOMIC_RELAXED);
}

static void start_out(void *arg)
{
    on_host(start_one, arg);
}

static void *start_all(UNUSED void *arg)
{
    for (intptr_t i = 0; i < ROUNDS; i++) {
        void *way = (void *)(i % WAYS);
        wharf_fn fn = i % 2 == 0 ? start_one : start_out;
        if (strcmp(name, "outside") == 0 || strcmp(name, "stopping") == 0)
            start_one(way);
        else
            call(fn, way);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t churning[CHURNING], others[2];
    CHECK(argc == 2);
    name = argv[1];
    load_wharf();
    CHECK_EQ(W->call(nothing, NULL), WHARF_OK);
    for (intptr_t i = 0; i < CHURNING; i++)
        churning[i] = spawn(64 << 10, i == 0 && strcmp(name, "stopping") == 0 ? stop_and_start : churn, (void *)i);
    int more = strcmp(name, "threads") == 0 ? 2 : 0;
    for (int i = 0; i < more; i++)
        others[i] = spawn(0, start_all, NULL);
    start_all(NULL);
    for (int i = 0; i < more; i++)
        join(others[i]);
    __atomic_store_n(&over, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < CHURNING; i++)
        join(churning[i]);
    CHECK_EQ(done, (1 + more) * ROUNDS);
    puts("OK");
    return 0;
}
