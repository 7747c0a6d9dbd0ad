/* FaultCore: in the core file of a fault in a callback, thread 1 is the one that faulted, with the signal, its address and the
 * registers of the fault; gdb walks from there to the start of the thread. Of an overflow it is the one that overflowed.
 * source: Go TestGdbCoreSignalBacktrace, TestGdbCoreCrashThreadBacktrace; SCENARIOS O7
 * needs: gdb
 * timeout: 60
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * stdout!~ previous frame inner|corrupt stack
 * case segv
 * args: segv
 * stderr~ ^SIGSEGV: segmentation violation\n
 * stdout~ Program terminated with signal SIGSEGV
 * stdout~ \n\* 1 .*fault \(
 * stdout~ \n#0 .*fault \(.*\n(.*\n)*#1 .* callback .*\n(.*\n)*#[0-9]+ .*wharf_call.*\n(.*\n)*#[0-9]+ .*host_thread .*\n
 * stdout~ si_addr = 0x10
 * case host_handler
 * args: segv host_handler
 * stderr~ ^SIGSEGV: segmentation violation\n
 * stdout~ Program terminated with signal SIGSEGV
 * stdout~ \n#0 .*fault \(.*\n(.*\n)*#1 .* callback .*\n
 * case sent
 * args: sent
 * stderr~ ^SIGSEGV: segmentation violation\n
 * stdout~ Program terminated with signal SIGSEGV
 * stdout~ \n#[0-9]+ .*sent \(.*\n(.*\n)*#[0-9]+ .* callback .*\n
 * stdout~ si_code = -6
 * case overflow
 * args: overflow
 * stderr~ ^wharf: goroutine stack exceeds
 * stdout~ Program terminated with signal SIGABRT
 * stdout~ \n#[0-9]+ .*<signal handler called>\n#[0-9]+ .*recurse \(.*\n#[0-9]+ .*recurse \(
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "scenario.h"

static char **options;

static int with(const char *option)
{
    for (char **at = options; *at != NULL; at++) {
        if (strcmp(*at, option) == 0)
            return 1;
    }
    return 0;
}

static NOINLINE void fault(void)
{
    volatile int *volatile nowhere = (volatile int *)16;
    *nowhere = 1;
}

static NOINLINE void sent(void)
{
    syscall(SYS_tgkill, getpid(), gettid(), SIGSEGV);
    CHECK(!"it came back");
}

static NOINLINE int recurse(int depth)
{
    volatile char frame[200];
    frame[0] = (char)depth;
    return depth < 0 ? 0 : recurse(depth + 1) + frame[0];
}

static NOINLINE void callback(UNUSED void *arg)
{
    if (with("segv"))
        fault();
    if (with("sent"))
        sent();
    CHECK(recurse(0) == 1);
}

static NOINLINE void *host_thread(UNUSED void *arg)
{
    call(callback, NULL);
    CHECK(!"it came back");
    return NULL;
}

static NOINLINE void *other_thread(UNUSED void *arg)
{
    pause();
    return NULL;
}

static void gives_up(int number)
{
    signal(number, SIG_DFL);
    raise(number);
}

static void patient(void)
{
    struct rlimit most;
    CHECK_EQ(getrlimit(RLIMIT_CORE, &most), 0);
    most.rlim_cur = most.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_CORE, &most), 0);
    if (with("host_handler"))
        signal(SIGSEGV, gives_up);
    load_wharf();
    CHECK_EQ(W->start(NULL), WHARF_OK);
    for (int i = 0; i < 3; i++)
        spawn(0, other_thread, NULL);
    join(spawn(0, host_thread, NULL));
    _exit(1);
}

int main(UNUSED int argc, char **argv)
{
    options = argv;
    char dir[] = "core.XXXXXX", host[4096], library[4096];
    CHECK(realpath("/proc/self/exe", host) != NULL);
    CHECK(realpath(getenv("WHARF_LIB"), library) != NULL);
    CHECK_EQ(setenv("WHARF_LIB", library, 1), 0);
    CHECK_EQ(chdir(getenv("SCENARIO_DIR")), 0);
    CHECK(mkdtemp(dir) != NULL);
    CHECK_EQ(chdir(dir), 0);
    pid_t child = fork();
    if (child == 0)
        patient();
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WCOREDUMP(status));
    char command[9000];
    snprintf(command, sizeof command,
             "gdb -q -nx -batch -ex 'set debuginfod enabled off' -ex 'info threads' -ex 'bt 60'%s -ex 'print $_siginfo' "
             "'%s' core* 2>/dev/null; rm -r ../%s",
             with("overflow") ? " -ex 'bt 20'" : "", host, dir);
    fflush(stdout);
    return system(command) != 0;
}
