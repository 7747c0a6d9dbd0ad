/* ReportLevels: how much a report tells, by the environment and by the configuration, which wins. A start by the
 * first call reads no environment, nor does one in a process that runs with more rights than whoever started it.
 * source: Go GOTRACEBACK
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * status: signal SIGABRT
 * case env_none
 * env: WHARF_TRACEBACK=none
 * stderr: panic: BOOM
 * case env_single
 * env: WHARF_TRACEBACK=single
 * args: others
 * stderr!~ (.|\n)\ngoroutine(.|\n)*\ngoroutine
 * frames: boom wharf_call main <libc> _start <end>
 * case env_all
 * env: WHARF_TRACEBACK=all
 * args: others
 * stderr!~ idle_thread
 * stderr!~ __morestack
 * stderr!~ ^(rax|rbx|eax|ebx|r0|r4|r19|sp) 
 * stderr~ \n\ngoroutine [0-9]+ \[running, locked to thread [0-9]+\]:\n\tgoroutine running on other thread; stack unavailable\nwharf_call\+.*\n.*\ncall\+.*\n.*\ninside_thread\+0x
 * stderr~ \n\ngoroutine [0-9]+ \[on the host's stack, locked to thread [0-9]+\]:\nwharf_on_host\+.*\n.*\non_host\+.*\n.*\ngo_out\+.*\n.*\nwharf_call\+.*\n.*\ncall\+.*\n.*\nout_thread\+0x
 * stderr~ \n\ngoroutine [0-9]+ \[running, locked to thread [0-9]+\]:\n.*unavailable\nwharf_call\+.*\n.*\ncall\+.*\n.*\nagain\+.*\n.*\nwharf_on_host\+.*\n.*\non_host\+.*\n.*\ngo_again\+.*\n.*\nwharf_call\+.*\n.*\ncall\+.*\n.*\nnested_thread\+0x
 * stderr!~ (.|\n)*(\ngoroutine(.|\n)*){5}
 * frames: boom wharf_call main <libc> _start <end>
 * case env_all_alone
 * env: WHARF_TRACEBACK=all
 * stderr!~ (.|\n)\ngoroutine(.|\n)*\ngoroutine
 * frames: boom wharf_call main <libc> _start <end>
 * case env_all_outside
 * env: WHARF_TRACEBACK=all
 * args: others outside
 * stderr~ ^panic: BOOM\n\nhost thread [0-9]+ \[running\]:\n
 * stderr~ \ninside_thread\+0x
 * stderr~ \nout_thread\+0x
 * case env_all_crowd
 * env: WHARF_TRACEBACK=all
 * args: crowd
 * stderr~ \n\n\.\.\.50 more threads\n
 * frames: boom wharf_call main <libc> _start <end>
 * case env_system
 * env: WHARF_TRACEBACK=system
 * args: others
 * stderr~ \ninside_thread\+0x
 * stderr~ \nout_thread\+0x
 * stderr~ \n\n((rbx|ebx|r19|r4) +0x[0-9a-f]+\n(.*\n)*([re]bp|r29|fp) +0x[0-9a-f]+\n([re]sp|sp)|sp +0x[0-9a-f]+\ns0) +0x[0-9a-f]+\n(.*\n)*(rip|eip|pc) +0x[0-9a-f]+\n
 * stderr~ \nwharf [0-9]+\.[0-9]+\.[0-9]+: .*traceback system
 * frames: boom __morestack wharf_call main <libc> _start <end>
 * case env_unknown
 * env: WHARF_TRACEBACK=ALL
 * args: others
 * stderr!~ (.|\n)\ngoroutine(.|\n)*\ngoroutine
 * frames: boom wharf_call main <libc> _start <end>
 * case config_none
 * args: config=1
 * stderr: panic: BOOM
 * case config_single
 * args: config=2
 * frames: boom wharf_call main <libc> _start <end>
 * case config_all
 * args: config=3 others
 * stderr~ \ninside_thread\+0x
 * stderr!~ ^wharf [0-9]
 * case config_system
 * args: config=4
 * stderr~ \nwharf [0-9]+\.[0-9]+\.[0-9]+: .*traceback system
 * case config_wins
 * env: WHARF_TRACEBACK=system
 * args: config=1
 * stderr: panic: BOOM
 * case config_wins_upward
 * env: WHARF_TRACEBACK=none
 * args: config=2
 * frames: boom wharf_call main <libc> _start <end>
 * case lazy
 * env: WHARF_TRACEBACK=none
 * args: lazy
 * frames: boom wharf_call main <libc> _start <end>
 * case lazy_then_start
 * env: WHARF_TRACEBACK=none
 * args: lazy start
 * stderr: panic: BOOM
 * case stopped
 * env: WHARF_TRACEBACK=none
 * args: stopped
 * stderr~ ^panic: BOOM\n\nhost thread [0-9]+ \[running\]:\n(.|\n)*\nmain\+0x
 * case refused
 * args: refused
 * status: 0
 * stdout: OK
 * case secure
 * env: WHARF_TRACEBACK=none
 * args: secure
 * status: 0
 * stdout: (OK|SKIPPED: .*)
 */
#include "scenario.h"

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CROWD 150

static char **args;

static int has(const char *name)
{
    for (char **arg = args + 1; *arg != NULL; arg++) {
        if (strcmp(*arg, name) == 0)
            return 1;
    }
    return 0;
}

/* ---- the threads beside ---- */

static pthread_barrier_t there;

static void wait_here(UNUSED void *arg)
{
    pthread_barrier_wait(&there);
    for (;;)
        pause();
}

static void nothing(UNUSED void *arg) {}

static void go_out(UNUSED void *arg)
{
    on_host(wait_here, NULL);
}

static void again(UNUSED void *arg)
{
    call(wait_here, NULL);
}

static void go_again(UNUSED void *arg)
{
    on_host(again, NULL);
}

static void *inside_thread(UNUSED void *arg)
{
    call(wait_here, NULL);
    return NULL;
}

static void *out_thread(UNUSED void *arg)
{
    call(go_out, NULL);
    return NULL;
}

static void *nested_thread(UNUSED void *arg)
{
    call(go_again, NULL);
    return NULL;
}

static void *idle_thread(UNUSED void *arg)
{
    call(nothing, NULL);
    wait_here(NULL);
    return NULL;
}

static void start_others(void)
{
    CHECK_EQ(pthread_barrier_init(&there, NULL, 5), 0);
    spawn(0, inside_thread, NULL);
    spawn(0, out_thread, NULL);
    spawn(0, nested_thread, NULL);
    spawn(0, idle_thread, NULL);
    pthread_barrier_wait(&there);
}

static void start_crowd(void)
{
    CHECK_EQ(pthread_barrier_init(&there, NULL, CROWD + 1), 0);
    for (int i = 0; i < CROWD; i++)
        spawn(65536, i % 2 == 0 ? inside_thread : out_thread, NULL);
    pthread_barrier_wait(&there);
}

/* ---- the end ---- */

static void boom(UNUSED void *arg)
{
    W->panic("BOOM");
}

static void refused(void)
{
    wharf_config config = WHARF_CONFIG_INIT;
    config.traceback = 5;
    CHECK_EQ(W->start(&config), WHARF_EINVAL);
    config.traceback = WHARF_TRACEBACK_ALL;
    CHECK_EQ(W->start(&config), WHARF_OK);
    CHECK_EQ(W->start(&config), WHARF_OK);
    CHECK_EQ(W->start(NULL), WHARF_OK);
    config.traceback = WHARF_TRACEBACK_SINGLE;
    CHECK_EQ(W->start(&config), WHARF_ESTATE);
    int pipes[2];
    char text[1024];
    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(W->dump(pipes[1]), WHARF_OK);
    ssize_t length = read(pipes[0], text, sizeof text - 1);
    CHECK(length > 0);
    text[length] = '\0';
    CHECK(strstr(text, "start refused: a running runtime cannot change traceback\n") != NULL);
    puts("OK");
    exit(0);
}

/* In a copy of this host that belongs to another group and runs with its rights. */
static void secure_child(void)
{
    if (!getauxval(AT_SECURE))
        _exit(77);
    load_wharf();
    CHECK_EQ(W->start(NULL), WHARF_OK);
    W->call(boom, NULL);
}

static void secure(void)
{
    char copy[512], command[2048], text[4096] = "";
    snprintf(copy, sizeof copy, "%s.secure", args[0]);
    snprintf(command, sizeof command, "cp '%s' '%s' && chgrp 65534 '%s' && chmod 2755 '%s'", args[0], copy, copy, copy);
    int status, report = memfd_create("stderr", 0), made = system(command) == 0;
    pid_t child = made ? fork() : 0;
    if (made && child == 0) {
        dup2(report, 2);
        execl(copy, copy, "secure_child", (char *)NULL);
        _exit(77);
    }
    if (made)
        CHECK_EQ(waitpid(child, &status, 0), child);
    unlink(copy);
    if (!made || (WIFEXITED(status) && WEXITSTATUS(status) == 77)) {
        puts("SKIPPED: no process with more rights than ours can be made here");
        exit(0);
    }
    CHECK(pread(report, text, sizeof text - 1, 0) > 0);
    CHECK(WIFSIGNALED(status) && strncmp(text, "panic: BOOM\n\ngoroutine ", 23) == 0);
    puts("OK");
    exit(0);
}

int main(UNUSED int argc, char **argv)
{
    wharf_config config = WHARF_CONFIG_INIT;
    args = argv;
    if (has("secure"))
        secure();
    if (has("secure_child"))
        secure_child();
    load_wharf();
    if (has("refused"))
        refused();
    for (uint32_t level = 1; level <= 4; level++) {
        char name[16];
        snprintf(name, sizeof name, "config=%u", level);
        if (has(name))
            config.traceback = level;
    }
    if (has("lazy"))
        call(nothing, NULL);
    if (!has("lazy") || has("start"))
        CHECK_EQ(W->start(&config), WHARF_OK);
    if (has("stopped"))
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    if (has("others"))
        start_others();
    if (has("crowd"))
        start_crowd();
    if (has("outside") || has("stopped"))
        boom(NULL);
    W->call(boom, NULL);
    puts("wharf_call came back");
    return 0;
}
