/* A plugin that has another one do the work: it asks "counter", and notes how it went. "carefully ..." outlives a panic of the
 * other: the answer is -1 then. */
#include "plugin.h"
#include "wharf.hpp"

#include <atomic>
#include <cstring>
#include <mutex>
#include <string>

namespace {

const host *owner;
std::atomic<long> objects;
std::mutex busy;

/* One question at a time, however it ends. */
class Turn {
public:
    Turn() : lock(busy) { objects++; }
    Turn(const Turn &) = delete;
    ~Turn() { objects--; }

private:
    const std::lock_guard<std::mutex> lock;
};

long ask(const char *question)
{
    const wharf::runtime rt(owner->wharf);
    return rt.on_host([&] { return owner->ask("counter", question); });
}

long ask_carefully(const char *question)
{
    const wharf::runtime rt(owner->wharf);
    const wharf::result<long> answered = rt.try_call([&] { return ask(question); });
    return answered.ok() ? answered.value() : -1;
}

long answer(const char *question)
{
    static const char carefully[] = "carefully ";
    const Turn turn;
    const std::string kept(question);
    objects++;
    wharf::runtime(owner->wharf).defer([kept] { objects--; });
    if (kept.compare(0, std::strlen(carefully), carefully) == 0)
        return ask_carefully(question + std::strlen(carefully));
    return ask(question);
}

long alive()
{
    return objects;
}

} // namespace

extern "C" const plugin *plugin_open(const host *host)
{
    static const plugin self = {"teller", answer, alive};
    owner = host;
    return &self;
}
