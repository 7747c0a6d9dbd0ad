/* RandomPlace: where the stacks lie is drawn anew by each start, and is not told by what the kernel gave the process at
 * its exec, of which libc makes the stack protector's canary.
 * source: ours
 * arch: x86_64
 * stdout: OK
 */
#include "scenario.h"

#include <sys/wait.h>

enum { CHILDREN = 4 };

static void tell(void *arg)
{
    *(uintptr_t *)arg = HERE();
}

/* Where a callback of a forked child runs. */
static uintptr_t place_in_child(void)
{
    uintptr_t place = 0;
    int pipes[2], status;
    CHECK_EQ(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        load_wharf();
        call(tell, &place);
        CHECK_EQ(write(pipes[1], &place, sizeof place), sizeof place);
        _exit(0);
    }
    CHECK_EQ(read(pipes[0], &place, sizeof place), sizeof place);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    close(pipes[0]);
    close(pipes[1]);
    return place;
}

int main(void)
{
    const uintptr_t spread = (uintptr_t)32 << 30, low = (uintptr_t)64 << 30, near = 32 << 20;
    uintptr_t canary, places[CHILDREN];
    int told = 0, same = 0;
    __asm__("mov %%fs:0x28, %0" : "=r"(canary));
    uintptr_t guess = low + canary % spread;
    for (int i = 0; i < CHILDREN; i++) {
        places[i] = place_in_child();
        told += places[i] - guess < near;
        same += places[i] == places[0];
    }
    CHECK(told < CHILDREN);
    CHECK(same < CHILDREN);
    puts("OK");
    return 0;
}
