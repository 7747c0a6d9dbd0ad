/* PluginsCpp: two plugins in C++ answer a host that must not fall with them. Values, exceptions and panics come out, also through
 * both at once; objects on the way are destroyed, locks let go, deferred calls run; the plugins go on answering, on two threads
 * at once, and are unloaded.
 * library: ../plugins/cpp/counter.cpp ../plugins/cpp/teller.cpp
 * stdout: OK
 */
#include <stdexcept>
#include <string>

#include "plugins/plugin.h"
#include "scenario.h"
#include "wharf.hpp"

enum { ROUNDS = 300 };

/* The largest long. */
#define MOST (sizeof(long) == 8 ? std::string("9223372036854775807") : std::string("2147483647"))
static const std::string too_much_text = MOST + " 1";
static const char *const TOO_MUCH = too_much_text.c_str();

struct Opened {
    std::string path;
    void *library;
    const plugin *is;
};

static Opened opened[2];

static const plugin &named(const char *name)
{
    for (const Opened &one : opened) {
        if (strcmp(one.is->name, name) == 0)
            return *one.is;
    }
    throw std::out_of_range(std::string("no plugin: ") + name);
}

/* In a callback, without a try: what goes wrong goes on to who asked. */
static long ask(const char *name, const char *question)
{
    const plugin &one = named(name);
    return wharf::runtime(W).call([&] { return one.answer(question); });
}

/* As the host asks: a panic ends here. */
static wharf::result<long> ask_safely(const char *name, const char *question)
{
    return wharf::runtime(W).try_call([&] { return ask(name, question); });
}

static void load_plugin(Opened &to, const char *name)
{
    static host self;
    self.wharf = W;
    self.ask = ask;
    to.path = std::string(getenv("SCENARIO_DIR")) + "/" + name + ".so";
    to.library = dlopen(to.path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (to.library == nullptr)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(to.library != nullptr);
    void *symbol = dlsym(to.library, PLUGIN_OPEN);
    CHECK(symbol != nullptr);
    plugin_open_fn open;
    memcpy(&open, &symbol, sizeof symbol);
    to.is = open(&self);
}

static void refuses(const char *name, const char *question)
{
    try {
        ask_safely(name, question);
        CHECK(!"a refusal");
    } catch (const std::invalid_argument &error) {
        CHECK(strcmp(error.what(), "no number: 3x") == 0);
    }
}

/* Which file each return address lies in. */
static bool passes(const wharf::panic_info &panic, const std::string &path)
{
    for (const void *pc : panic.trace()) {
        Dl_info place;
        if (dladdr(pc, &place) != 0 && path == place.dli_fname)
            return true;
    }
    return false;
}

static void round_of_questions()
{
    CHECK_EQ(ask_safely("counter", "1 2 3").value(), 6);
    CHECK_EQ(ask_safely("teller", "4 5").value(), 9);
    refuses("counter", "1 3x");
    refuses("teller", "1 3x");

    for (const Opened &one : opened) {
        const wharf::result<long> failed = ask_safely(one.is->name, TOO_MUCH);
        CHECK_EQ(failed.status(), WHARF_PANICKED);
        CHECK(failed.panic().message() == "the sum is too large: " + MOST + " and 1");
        CHECK(!failed.panic().cut());
        CHECK(passes(failed.panic(), one.path) && passes(failed.panic(), opened[0].path));
    }
    CHECK_EQ(ask_safely("teller", ("carefully " + MOST + " 1").c_str()).value(), -1);
    CHECK_EQ(ask_safely("teller", "carefully 7 1").value(), 8);
}

static void *asks(void *)
{
    for (int i = 0; i < ROUNDS; i++)
        round_of_questions();
    return nullptr;
}

static bool is_mapped(const std::string &path)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != nullptr);
    char line[4096];
    bool found = false;
    while (fgets(line, sizeof line, maps) != nullptr)
        found |= strstr(line, path.c_str()) != nullptr;
    fclose(maps);
    return found;
}

int main()
{
    load_wharf();
    load_plugin(opened[0], "counter");
    load_plugin(opened[1], "teller");
    pthread_t other = spawn(0, asks, nullptr);
    asks(nullptr);
    join(other);
    const std::string text = ask_safely("teller", TOO_MUCH).panic().text();
    CHECK(text.find("teller.so+0x") != std::string::npos && text.find("counter.so+0x") != std::string::npos);
    CHECK_EQ(stats().stacks_used, 0);
    for (Opened &one : opened) {
        CHECK_EQ(one.is->alive(), 0);
        CHECK_EQ(dlclose(one.library), 0);
        CHECK(!is_mapped(one.path));
    }
    puts("OK");
    return 0;
}
