/* CgoExternalThreadPanic: a callback panics that nobody recovers, and the report names every function from
 * the panicking one over the stack switch to the start of the host's thread; then the process aborts.
 * The case `seed` is the one that this project starts from: the library's first act in the process is
 * a callback on a fresh pthread, and the callback's first act is the panic.
 * source: Go TestCgoExternalThreadPanic (issue 8588)
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [1-9][0-9]* \[running, locked to thread\]:\n
 * symbols: yes
 * case seed
 * args: seed
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case main
 * args: main
 * frames: boom wharf_call main <libc> _start <end>
 * case started
 * args: started
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case attached
 * args: attached
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case warm
 * args: warm
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case nested
 * args: nested
 * frames: boom middle wharf_call outer wharf_call host_thread <libc> <libc> <end>
 * case host
 * args: host
 * frames: boom wharf_on_host outer_host wharf_call host_thread <libc> <libc> <end>
 * case deep
 * args: deep
 * frames: boom wharf_call on_host_again wharf_on_host outer_again wharf_call host_thread <libc> <libc> <end>
 * case small
 * args: small
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case nomain
 * args: nomain
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case together
 * args: together
 * frames: boom wharf_call together_thread <libc> <libc> <end>
 */
#include "scenario.h"

static void nothing(UNUSED void *arg) {}

static void boom(UNUSED void *arg)
{
    W->panic("BOOM");
    puts("wharf_panic came back");
}

static void middle(void *arg)
{
    boom(arg);
    puts("boom came back");
}

static void outer(UNUSED void *arg)
{
    call(middle, NULL);
}

static void outer_host(UNUSED void *arg)
{
    on_host(boom, NULL);
}

static void on_host_again(UNUSED void *arg)
{
    call(boom, NULL);
}

static void outer_again(UNUSED void *arg)
{
    on_host(on_host_again, NULL);
}

static wharf_fn act = boom;
static int warm, attached;

static void *host_thread(UNUSED void *arg)
{
    if (attached)
        CHECK_EQ(W->attach(NULL), WHARF_OK);
    for (int i = 0; i < warm; i++)
        call(nothing, NULL);
    W->call(act, NULL);
    puts("wharf_call came back");
    return NULL;
}

static pthread_barrier_t all_here;

static void *together_thread(UNUSED void *arg)
{
    pthread_barrier_wait(&all_here);
    W->call(boom, NULL);
    puts("wharf_call came back");
    return NULL;
}

static void together(void)
{
    pthread_t threads[8];
    CHECK_EQ(pthread_barrier_init(&all_here, NULL, 8), 0);
    for (int i = 0; i < 8; i++)
        threads[i] = spawn(0, together_thread, NULL);
    for (int i = 0; i < 8; i++)
        join(threads[i]);
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "main"))
        W->call(boom, NULL);
    if (is_case(argv, "together"))
        together();
    if (is_case(argv, "started"))
        CHECK_EQ(W->start(NULL), WHARF_OK);
    attached = is_case(argv, "attached");
    warm = is_case(argv, "warm") ? 1000 : 0;
    if (is_case(argv, "nested"))
        act = outer;
    if (is_case(argv, "host"))
        act = outer_host;
    if (is_case(argv, "deep"))
        act = outer_again;
    pthread_t thread = spawn(is_case(argv, "small") ? 16384 : 0, host_thread, NULL);
    if (is_case(argv, "nomain"))
        pthread_exit(NULL);
    join(thread);
    puts("the thread ended");
    return 0;
}
