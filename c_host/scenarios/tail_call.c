/* TailCall: a callback that ends by a tail call to libc's syscall(), which reads its seventh argument above the first
 * frame of the stack, whether it was given or not.
 * cflags: -O2
 * stdout: OK
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "scenario.h"

static void ask(UNUSED void *arg)
{
    syscall(SYS_getuid);
}

int main(void)
{
    load_wharf();
    call(ask, NULL);
    puts("OK");
    return 0;
}
