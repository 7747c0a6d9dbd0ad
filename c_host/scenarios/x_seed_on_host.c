/* SeedOnHost: the library's first act in the process is a callback on a fresh pthread, whose first act is
 * wharf_on_host, where it panics; and panics on a second thread that got the M of a first, finished one.
 * The call of wharf_panic is the last instruction of its function: the return address belongs to the next one.
 * source: Go issue 8588, TestCgoExternalThreadPanic, TestEnsureDropM
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [1-9][0-9]* \[running, locked to thread\]:\npcs: [^\n]+\n([^\n\t]+\+0x[0-9a-f]+\n\t[^\n]+\+0x[0-9a-f]+\n)+
 * symbols: yes
 * case first
 * args: first
 * frames: boom wharf_on_host callback wharf_call host_thread <libc> <libc> <end>
 * case second
 * args: second
 * frames: boom wharf_on_host callback wharf_call host_thread <libc> <libc> <end>
 * case second_plain
 * args: second_plain
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case second_after_exit
 * args: second_after_exit
 * frames: boom wharf_on_host callback wharf_call host_thread <libc> <libc> <end>
 */
#include "scenario.h"

static uintptr_t callback_at;

/* Ends in the call itself: only an unwinder that looks one byte back names it right. */
static NOINLINE void boom(UNUSED void *arg)
{
    W->panic("BOOM");
}

/* Stands behind boom, so that a wrong look-up finds this name. */
static NOINLINE void behind_boom(UNUSED void *arg)
{
    callback_at = HERE();
}

static void callback(UNUSED void *arg)
{
    W->on_host(boom, NULL);
    puts("wharf_on_host came back");
}

static void leave_thread(UNUSED void *arg)
{
    callback_at = HERE();
    pthread_exit(NULL);
}

static void *host_thread(void *arg)
{
    wharf_fn fn = *(wharf_fn *)arg;
    W->call(fn, NULL);
    if (fn == callback || fn == boom)
        puts("wharf_call came back");
    return NULL;
}

static void run(wharf_fn fn)
{
    on_thread(host_thread, &fn);
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "second") || is_case(argv, "second_plain"))
        run(behind_boom);
    if (is_case(argv, "second_after_exit"))
        run(leave_thread);
    run(is_case(argv, "second_plain") ? boom : callback);
    puts("the thread came back");
    return 0;
}
