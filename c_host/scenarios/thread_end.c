/* ThreadEnd: however a thread ends, its M and its stack go back: by return, by pthread_exit outside and inside a callback and on
 * the way back to the host, by cancellation inside a callback, after an explicit detach.
 * source: DESIGN.md [exit]; Go gcc_libinit_unix.c's key destructor, Test6997
 * stdout: OK
 * case return
 * args: return
 * case exit
 * args: exit
 * case inside
 * args: inside
 * case host
 * args: host
 * case cancel
 * args: cancel
 * case detach
 * args: detach
 */
#include "scenario.h"

enum { ROUNDS = 200 };

static const char *how;
static int cleaned;
static pthread_barrier_t inside_now;

static void clean(UNUSED void *arg)
{
    cleaned++;
}

static void leave(UNUSED void *arg)
{
    pthread_exit(NULL);
}

static void callback(UNUSED void *arg)
{
    CHECK_EQ(stats().threads_bound, 1);
    pthread_cleanup_push(clean, NULL);
    if (strcmp(how, "inside") == 0)
        pthread_exit(NULL);
    if (strcmp(how, "host") == 0)
        W->on_host(leave, NULL);
    if (strcmp(how, "cancel") == 0) {
        pthread_barrier_wait(&inside_now);
        for (;;)
            pause();
    }
    pthread_cleanup_pop(1);
}

static void *host_thread(UNUSED void *arg)
{
    pthread_cleanup_push(clean, NULL);
    call(callback, NULL);
    if (strcmp(how, "exit") == 0)
        pthread_exit(NULL);
    if (strcmp(how, "detach") == 0) {
        CHECK_EQ(W->detach(), WHARF_OK);
        CHECK_EQ(W->detach(), WHARF_ESTATE);
        CHECK_EQ(stats().threads_bound, 0);
    }
    pthread_cleanup_pop(1);
    return NULL;
}

int main(int argc, char **argv)
{
    CHECK_EQ(argc, 2);
    how = argv[1];
    load_wharf();
    CHECK_EQ(pthread_barrier_init(&inside_now, NULL, 2), 0);
    uint32_t made = 0;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread = spawn(0, host_thread, NULL);
        if (strcmp(how, "cancel") == 0) {
            pthread_barrier_wait(&inside_now);
            CHECK_EQ(pthread_cancel(thread), 0);
        }
        join(thread);
        CHECK_EQ(stats().threads_bound, 0);
        CHECK_EQ(stats().stacks_used, 0);
        made = i == 0 ? stats().stacks_made : made;
    }
    CHECK_EQ(cleaned, 2 * ROUNDS);
    CHECK_EQ(stats().stacks_made, made);
    puts("OK");
    return 0;
}
