/* CxxException: a C++ exception thrown in a callback reaches the host frame that catches it, through the stack switch and the
 * way back to the host; the objects on both stacks are destroyed, and the thread goes on calling.
 * source: DESIGN.md decision 4
 * stdout: OK
 */
#include <stdexcept>
#include <string>

#include "scenario.h"

static thread_local int alive, destroyed;

struct Object {
    Object() { alive++; }
    ~Object()
    {
        alive--;
        destroyed++;
    }
};

static void thrower(void *)
{
    Object here;
    throw std::runtime_error(std::string("BOOM"));
}

static void by_host(void *)
{
    Object here;
    W->on_host(thrower, nullptr);
}

static void caught_inside(void *arg)
{
    Object here;
    try {
        W->on_host(thrower, nullptr);
    } catch (const std::runtime_error &) {
        ++*static_cast<int *>(arg);
    }
}

static void look(void *arg)
{
    CHECK_EQ(stats().stacks_used, 1);
    ++*static_cast<int *>(arg);
}

static int caught(wharf_fn fn)
{
    Object here;
    try {
        W->call(fn, nullptr);
    } catch (const std::exception &error) {
        CHECK(strcmp(error.what(), "BOOM") == 0);
        return 1;
    }
    return 0;
}

static void *host_thread(void *)
{
    for (int i = 0; i < 100; i++) {
        int count = 0;
        destroyed = 0;
        CHECK_EQ(caught(thrower), 1);
        CHECK_EQ(destroyed, 2);
        CHECK_EQ(caught(by_host), 1);
        CHECK_EQ(destroyed, 5);
        call(look, &count);
        call(caught_inside, &count);
        CHECK_EQ(count, 2);
        CHECK_EQ(alive, 0);
        CHECK_EQ(stats().stacks_used, 0);
    }
    return nullptr;
}

int main()
{
    load_wharf();
    host_thread(nullptr);
    on_thread(host_thread, nullptr);
    puts("OK");
    return 0;
}
