/* Fork: in the child of any thread callbacks work at once, and so does all else: threads of its own, looking in, detaching,
 * stopping and starting again. Whoever the parent's other threads were is gone, with what they held.
 * source: ours (FEATURES.md 1.2, no runtime can; Go and the JVM forbid it)
 * stdout: OK
 * timeout: 60
 * case outside
 * args: outside
 * case inside
 * args: inside
 * case on_host
 * args: on_host
 * case nested
 * args: nested
 * case never_seen
 * args: never_seen
 * case raw_clone
 * args: raw_clone
 * case before_start
 * args: before_start
 * case after_stop
 * args: after_stop
 * case vfork
 * args: vfork
 * case storm
 * args: storm
 * case stop_storm
 * args: stop_storm
 * case new_thread_first
 * args: new_thread_first
 * case new_thread_first_inside
 * args: new_thread_first_inside
 * case while_stopping
 * args: while_stopping
 * case trim_storm
 * args: trim_storm
 * case panic_in_child
 * args: panic_in_child
 */
#include "scenario.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* HANGS_S: what has taken a child that long, in seconds, is no lack of processors. */
enum { OTHERS = 4, FORKS = 200, HANGS_S = 50 };

static int enders; /* others that end between storms */

static void count(void *arg)
{
    ++*(int *)arg;
}

static void *call_on_new_thread(void *arg)
{
    call(count, arg);
    return NULL;
}

static void quiet_panic(UNUSED void *arg)
{
    W->panic("in the child");
}

/* All that a child may want, from where `W->detach` gives `detached`. */
static void use_everything(int detached)
{
    int calls = 0;
    call(count, &calls);
    for (int i = 0; i < 3; i++)
        on_thread(call_on_new_thread, &calls);
    CHECK_EQ(calls, 4);
    CHECK_EQ(W->try_(quiet_panic, NULL, NULL), WHARF_PANICKED);
    CHECK(stats().threads_bound >= 1);
    CHECK(stats().threads_bound <= 2); /* one more was only looked at, and had no time to be freed */
    int nowhere = open("/dev/null", O_WRONLY);
    CHECK_EQ(W->dump(nowhere), WHARF_OK);
    CHECK_EQ(W->trim(), WHARF_OK);
    CHECK_EQ(W->detach(), detached);
    call(count, &calls);
    CHECK_EQ(calls, 5);
}

static void stop_and_start(void)
{
    int calls = 0;
    CHECK_EQ(W->stop(W->after(1000000000)), WHARF_OK);
    CHECK_EQ(W->call(count, &calls), WHARF_STOPPED);
    CHECK_EQ(W->start(NULL), WHARF_OK);
    use_everything(WHARF_OK);
    CHECK_EQ(W->stop(W->after(1000000000)), WHARF_OK);
}

static void wait_for(pid_t child, int status)
{
    int ended;
    CHECK_EQ(waitpid(child, &ended, 0), child);
    CHECK_EQ(ended, status);
}

/* ---- the parent's other threads: in callbacks, out on the host's stack, outside ---- */

static int stay;
static int ready;

static void sit(UNUSED void *arg)
{
    __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&stay, __ATOMIC_SEQ_CST))
        usleep(1000);
}

static void sit_out(UNUSED void *arg)
{
    on_host(sit, NULL);
}

static void *other(void *number)
{
    call((uintptr_t)number % 2 == 0 ? sit : sit_out, NULL);
    return NULL;
}

static void *churn(UNUSED void *arg)
{
    int calls = 0;
    while (__atomic_load_n(&stay, __ATOMIC_SEQ_CST)) {
        if (enders)
            on_thread(call_on_new_thread, &calls);
        else
            call(count, &calls);
        W->detach();
    }
    return NULL;
}

static pthread_t others[OTHERS];

static void begin_others(thread_fn fn, int wait)
{
    stay = 1;
    for (uintptr_t i = 0; i < OTHERS; i++)
        others[i] = spawn(0, fn, (void *)i);
    while (wait && __atomic_load_n(&ready, __ATOMIC_SEQ_CST) < OTHERS)
        usleep(100);
}

static void end_others(void)
{
    __atomic_store_n(&stay, 0, __ATOMIC_SEQ_CST);
    for (int i = 0; i < OTHERS; i++)
        join(others[i]);
}

/* ---- the cases ---- */

static void fork_here(UNUSED void *arg)
{
    pid_t child = fork();
    if (child == 0) {
        use_everything(WHARF_ESTATE);
        _exit(7);
    }
    wait_for(child, 7 << 8);
}

static void fork_on_host(UNUSED void *arg)
{
    on_host(fork_here, NULL);
}

static void fork_nested(UNUSED void *arg)
{
    on_host(fork_on_host, NULL);
    call(fork_here, NULL);
}

/* The child goes on where the parent was, and comes back out of the callback. */
static void fork_and_return(void *arg)
{
    *(pid_t *)arg = fork();
}

static void inside_case(void)
{
    pid_t child = -1;
    call(fork_here, NULL);
    call(fork_and_return, &child);
    if (child == 0) {
        use_everything(WHARF_OK);
        stop_and_start();
        _exit(8);
    }
    wait_for(child, 8 << 8);
}

static void outside_case(pid_t (*forked)(void), int attached)
{
    pid_t child = forked();
    if (child == 0) {
        if (attached)
            CHECK_EQ(W->detach(), WHARF_OK);
        use_everything(WHARF_OK);
        stop_and_start();
        _exit(9);
    }
    wait_for(child, 9 << 8);
}

static pid_t raw_clone(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static void *never_seen(UNUSED void *arg)
{
    outside_case(fork, 0);
    return NULL;
}

static void after_stop_case(void)
{
    CHECK_EQ(W->start(NULL), WHARF_OK);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    pid_t child = fork();
    if (child == 0) {
        int calls = 0;
        CHECK_EQ(W->call(count, &calls), WHARF_STOPPED);
        CHECK_EQ(W->start(NULL), WHARF_OK);
        use_everything(WHARF_OK);
        _exit(10);
    }
    wait_for(child, 10 << 8);
}

static void vfork_case(void)
{
    int calls = 0;
    call(count, &calls);
    pid_t child = vfork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    wait_for(child, 0);
    use_everything(WHARF_OK);
}

static void panic_in_child_case(void)
{
    pid_t child = fork();
    if (child == 0) {
        close(2);
        W->call(quiet_panic, NULL);
        _exit(1);
    }
    wait_for(child, SIGABRT | (WCOREDUMP(0) ? 0x80 : 0));
}

/* Forks while others call, attach, detach and end as fast as they can. */
static void storm_case(void)
{
    int calls = 0;
    for (enders = 0; enders < 2; enders++) {
        begin_others(churn, 0);
        for (int i = 0; i < FORKS; i++) {
            pid_t child = fork();
            if (child == 0) {
                alarm(getenv("FORK_ALARM") ? 1000 : HANGS_S);
                use_everything(WHARF_OK);
                _exit(0);
            }
            wait_for(child, 0);
            call(count, &calls);
        }
        end_others();
    }
}

static void *stop_and_start_all_the_time(UNUSED void *arg)
{
    while (__atomic_load_n(&stay, __ATOMIC_SEQ_CST)) {
        CHECK_EQ(W->start(NULL), WHARF_OK);
        usleep(50);
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    }
    return NULL;
}

static void *trim_all_the_time(UNUSED void *arg)
{
    while (__atomic_load_n(&stay, __ATOMIC_SEQ_CST))
        CHECK_EQ(W->trim(), WHARF_OK);
    return NULL;
}

static void fork_and_call_out_here(UNUSED void *arg)
{
    int calls = 0;
    pid_t child = fork();
    if (child == 0) {
        alarm(HANGS_S);
        call(count, &calls);
        _exit(calls == 1 ? 0 : 1);
    }
    wait_for(child, 0);
}

/* A trim of the parent's holds what the child calls with. */
static void trim_storm(UNUSED void *arg)
{
    for (int i = 0; i < 5 * FORKS; i++)
        on_host(fork_and_call_out_here, NULL);
}

/* Whatever was left by the parent's start and stop, here a stop means that nothing is. */
static void stop_and_start_larger(void)
{
    wharf_config config = WHARF_CONFIG_INIT;
    config.callback_stack_bytes = 16 << 20;
    wharf_attach_options options = WHARF_ATTACH_OPTIONS_INIT;
    options.touch_bytes = 12 << 20;
    while (W->stop(WHARF_NEVER) == WHARF_OK)
        ;
    CHECK_EQ(W->running(), 0);
    CHECK_EQ(W->start(&config), WHARF_OK);
    CHECK_EQ(W->attach(&options), WHARF_OK);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    CHECK_EQ(W->running(), 0);
}

/* The child finds the runtime in whatever state, and can always make it run. */
static void stop_storm_case(void)
{
    stay = 1;
    pthread_t stopper = spawn(0, stop_and_start_all_the_time, NULL);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(getenv("FORK_ALARM") ? 1000 : HANGS_S);
            CHECK_EQ(W->start(NULL), WHARF_OK);
            int calls = 0;
            call(count, &calls);
            on_thread(call_on_new_thread, &calls);
            CHECK_EQ(calls, 2);
            stop_and_start_larger();
            _exit(0);
        }
        wait_for(child, 0);
    }
    stay = 0;
    join(stopper);
}

static void *look_and_stop(void *bound)
{
    int calls = 0;
    call(count, &calls);
    CHECK_EQ(stats().threads_bound, (uintptr_t)bound + 1);
    CHECK_EQ(stats().stacks_used, (uintptr_t)bound);
    CHECK_EQ(W->stop(W->after(bound ? 0 : WHARF_NEVER)), bound ? WHARF_TIMEOUT : WHARF_OK);
    return NULL;
}

/* The first to look in the child is not the thread that forked: what the parent's others had is gone for it too. */
static void new_thread_first(void *bound)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(HANGS_S);
        on_thread(look_and_stop, bound);
        _exit(0);
    }
    wait_for(child, 0);
}

static void *stop_in_vain(UNUSED void *arg)
{
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    return NULL;
}

static void *stay_inside(UNUSED void *arg)
{
    call(sit, NULL);
    return NULL;
}

/* A stop waits for a callback: in the child both are gone, and the runtime runs with the start that it had. */
static void while_stopping_case(void)
{
    CHECK_EQ(W->start(NULL), WHARF_OK);
    stay = 1;
    pthread_t insider = spawn(0, stay_inside, NULL);
    while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) == 0)
        usleep(1000);
    pthread_t stopper = spawn(0, stop_in_vain, NULL);
    while (W->running())
        usleep(1000);
    pid_t child = fork();
    if (child == 0) {
        alarm(HANGS_S);
        int calls = 0;
        CHECK_EQ(W->running(), 1);
        call(count, &calls);
        CHECK_EQ(calls, 1);
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
        CHECK_EQ(W->running(), 0);
        stop_and_start_larger();
        _exit(0);
    }
    wait_for(child, 0);
    stay = 0;
    join(insider);
    join(stopper);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    load_wharf();
    if (is_case(argv, "before_start"))
        outside_case(fork, 0);
    else if (is_case(argv, "after_stop"))
        after_stop_case();
    else if (is_case(argv, "vfork"))
        vfork_case();
    else if (is_case(argv, "storm"))
        storm_case();
    else if (is_case(argv, "stop_storm"))
        stop_storm_case();
    else if (is_case(argv, "trim_storm")) {
        stay = 1;
        CHECK_EQ(W->start(NULL), WHARF_OK);
        pthread_t trimmer = spawn(0, trim_all_the_time, NULL);
        call(trim_storm, NULL);
        stay = 0;
        join(trimmer);
    } else if (is_case(argv, "while_stopping"))
        while_stopping_case();
    else {
        int calls = 0;
        call(count, &calls);
        begin_others(other, 1);
        if (is_case(argv, "outside"))
            outside_case(fork, 1);
        else if (is_case(argv, "raw_clone"))
            outside_case(raw_clone, 1);
        else if (is_case(argv, "inside"))
            inside_case();
        else if (is_case(argv, "on_host"))
            call(fork_on_host, NULL);
        else if (is_case(argv, "nested"))
            call(fork_nested, NULL);
        else if (is_case(argv, "new_thread_first_inside"))
            call(new_thread_first, (void *)1);
        else if (is_case(argv, "new_thread_first")) {
            CHECK_EQ(W->detach(), WHARF_OK);
            new_thread_first(NULL);
        } else if (is_case(argv, "never_seen"))
            on_thread(never_seen, NULL);
        else
            panic_in_child_case();
        end_others();
    }
    puts("OK");
    return 0;
}
