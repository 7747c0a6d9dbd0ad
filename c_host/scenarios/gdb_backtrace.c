/* GdbBacktrace: gdb, without any script, walks from a callback over the stack switch to the start of the host's thread, and from a
 * function on the way back to the host through both switches.
 * source: Go TestGdbBacktrace; DESIGN.md decision 4
 * needs: gdb
 * timeout: 60
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * wrap: gdb -q -nx -batch -ex 'set debuginfod enabled off' -ex 'set breakpoint pending on' -ex 'break stop_here' -ex run -ex bt --args
 * stderr~ 
 * stdout!~ previous frame inner|corrupt stack
 * case callback
 * args: callback
 * stdout~ #0 +stop_here .*\n#1 .* callback .*\n(#[0-9]+ .*\n)*#[0-9]+ .*wharf_call.*\n(#[0-9]+ .*\n)*#[0-9]+ .*host_thread .*\n#[0-9]+ .*
 * case host
 * args: host
 * stdout~ #0 +stop_here .*\n#1 .* callback .*\n(#[0-9]+ .*\n)*#[0-9]+ .*wharf_on_host.*\n(#[0-9]+ .*\n)*#[0-9]+ .* outer .*\n(#[0-9]+ .*\n)*#[0-9]+ .*wharf_call.*\n(#[0-9]+ .*\n)*#[0-9]+ .*host_thread .*\n
 */
#include "scenario.h"

void stop_here(void);
void stop_here(void)
{
    __asm__ volatile("" : : : "memory");
}

static void callback(UNUSED void *arg)
{
    stop_here();
    CHECK(W != NULL);
}

static void outer(void *arg)
{
    on_host(callback, arg);
}

static void *host_thread(void *arg)
{
    call(arg != NULL ? outer : callback, NULL);
    return NULL;
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    on_thread(host_thread, is_case(argv, "host") ? argv : NULL);
    return 0;
}
