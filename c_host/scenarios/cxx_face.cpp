/* CxxFace: the C++ header passes values, references, exceptions and panics of callables, on the host's stack, in a callback, and
 * out on the host's stack again; objects on the way are destroyed.
 * linked: yes
 * stdout: OK
 * case linked
 * args: linked
 * case opened
 */
#include "wharf.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "scenario.h"

static thread_local int alive;

struct Object {
    Object() { alive++; }
    Object(const Object &) { alive++; }
    Object(Object &&) noexcept { alive++; }
    ~Object() { alive--; }
};

struct OnlyMoves : Object {
    explicit OnlyMoves(int number) : number(new int(number)) {}
    OnlyMoves(OnlyMoves &&) = default;
    std::unique_ptr<int> number;
};

struct Refusal {
    int code;
};

static int seven()
{
    return 7;
}

NOINLINE static void boom(const wharf::runtime &rt, const std::string &what)
{
    Object here;
    rt.panic("boom: " + what);
}

static void values(const wharf::runtime &rt)
{
    int number = 3;
    CHECK_EQ(rt.call([&] { return number + 1; }), 4);
    CHECK_EQ(rt.call(seven), 7);
    rt.call([&] { number = 5; });
    CHECK_EQ(number, 5);
    int &same = rt.call([&]() -> int & { return number; });
    CHECK(&same == &number);
    int &&moved = rt.on_host([&]() -> int && { return std::move(number); });
    CHECK(&moved == &number);
    CHECK_EQ(*rt.call([] { return OnlyMoves(6); }).number, 6);
    CHECK(rt.call([&]() -> const std::string { return std::string(1000, 'x'); }).size() == 1000);
    Object captured;
    CHECK_EQ(rt.call([captured]() mutable { return 8; }), 8);
    const wharf::result<OnlyMoves> kept = rt.try_call([] { return OnlyMoves(9); });
    CHECK(kept.ok() && !kept.panic() && *kept.value().number == 9);
    CHECK_EQ(*rt.try_call([] { return OnlyMoves(9); }).value().number, 9);
    const wharf::result<void> nothing = rt.try_call([] {});
    CHECK(nothing.ok());
    nothing.value();
    wharf::result<int &> reference = rt.try_call([&]() -> int & { return number; });
    CHECK(&reference.value() == &number);
    CHECK_EQ(rt.call([&] { return rt.on_host([&] { return rt.call([&] { return number; }); }); }), 5);
}

/* Exceptions of the callable, unchanged, through both kinds of call and through the host's stack. */
static void exceptions(const wharf::runtime &rt)
{
    int caught = 0;
    for (int i = 0; i < 3; i++) {
        const auto refuse = [&] {
            Object here;
            throw Refusal{i};
        };
        try {
            i == 0 ? rt.call(refuse) : i == 1 ? (void)rt.try_call(refuse) : rt.call([&] { rt.on_host(refuse); });
        } catch (const Refusal &refusal) {
            CHECK_EQ(refusal.code, i);
            caught++;
        }
        CHECK_EQ(alive, 0);
    }
    CHECK_EQ(caught, 3);
    try {
        rt.call([&] { rt.goexit(); });
    } catch (const wharf::error &error) {
        CHECK_EQ(error.status(), WHARF_CANCELED);
        CHECK(strncmp(error.what(), "WHARF_CANCELED: ", 16) == 0);
        caught++;
    }
    CHECK_EQ(caught, 4);
    try {
        rt.defer([] {});
    } catch (const wharf::error &error) {
        CHECK_EQ(error.status(), WHARF_ESTATE);
        caught++;
    }
    CHECK_EQ(caught, 5);
}

static void panics(const wharf::runtime &rt)
{
    CHECK(!rt.recoverable());
    wharf::result<OnlyMoves> failed = rt.try_call([&] {
        Object outer;
        CHECK(rt.recoverable());
        rt.call([&] { rt.on_host([&] { boom(rt, "deep"); }); });
        return OnlyMoves(1);
    });
    CHECK_EQ(alive, 0);
    CHECK(!failed && failed.status() == WHARF_PANICKED);
    CHECK(strcmp(failed.panic().message(), "boom: deep") == 0);
    CHECK(!failed.panic().cut() && failed.panic().trace().size() > 4);
    const std::string text = failed.panic().text();
    CHECK(text.compare(0, 19, "panic: boom: deep\n\n") == 0 && text.find("boom") != std::string::npos);
    CHECK(text.find('\0') == std::string::npos && text[text.size() - 1] == '\n');
    try {
        CHECK(failed.value().number != nullptr);
        CHECK(!"a value that is not there");
    } catch (const wharf::error &error) {
        CHECK_EQ(error.status(), WHARF_PANICKED);
        CHECK(strstr(error.what(), ": boom: deep") != nullptr);
    }
    wharf::panic_info taken = std::move(failed.panic());
    CHECK(taken && !failed.panic());
    taken = wharf::panic_info();
    CHECK(!taken && *taken.message() == '\0' && taken.text().empty() && taken.trace().empty());
}

/* A frame that looks at all that passes, and lets it pass. */
NOINLINE static void boom_in_catch_all(const wharf::runtime &rt)
{
    try {
        boom(rt, "past catch (...)");
    } catch (const std::exception &) {
        CHECK(!"a panic is no exception");
    } catch (...) {
        alive += 100;
        throw;
    }
}

static void panics_past_catch_all(const wharf::runtime &rt)
{
    const wharf::result<void> ended = rt.try_call([&] { boom_in_catch_all(rt); });
    CHECK(strcmp(ended.panic().message(), "boom: past catch (...)") == 0);
    CHECK_EQ(alive, 100);
    alive = 0;
}

/* Small callables and large ones, in order, however the call ends. */
static void deferred(const wharf::runtime &rt)
{
    std::vector<int> order;
    Object object;
    const auto both = [&] {
        rt.defer([&order] { order.push_back(1); });
        rt.defer([&order, object] { order.push_back(2); });
        CHECK_EQ(alive, 2);
    };
    rt.call(both);
    CHECK_EQ(alive, 1);
    CHECK(order == (std::vector<int>{2, 1}));
    wharf::result<void> ended = rt.try_call([&] {
        both();
        boom(rt, "with two deferred");
    });
    CHECK(ended.status() == WHARF_PANICKED && alive == 1 && order.size() == 4);
    std::string recovered;
    ended = rt.try_call([&] {
        rt.defer([&recovered, &rt, object] { recovered = rt.recover().message(); });
        CHECK(!rt.recover());
        boom(rt, "no matter");
    });
    CHECK(ended.status() == WHARF_RECOVERED && !ended.panic() && recovered == "boom: no matter");
    ended = rt.try_call([&] {
        rt.defer([object, &rt] { boom(rt, "second"); });
        boom(rt, "first");
    });
    CHECK(strcmp(ended.panic().message(), "boom: second") == 0 && alive == 1);
    CHECK(strcmp(ended.panic().get()->earlier->message, "boom: first") == 0);
    try {
        rt.call([&] {
            rt.defer([object, &order] { order.clear(); });
            throw Refusal{1};
        });
    } catch (const Refusal &) {
    }
    CHECK(order.empty() && alive == 1);
}

/* The functions of the namespace are the members of runtime. */
static void of_the_namespace()
{
    CHECK_EQ(wharf::call([] { return wharf::on_host([] { return 2; }); }), 2);
    const wharf::result<void> ended = wharf::try_call([] {
        wharf::defer([] { CHECK(wharf::recover()); });
        CHECK(wharf::recoverable());
        wharf::panic("ended");
    });
    CHECK_EQ(ended.status(), WHARF_RECOVERED);
    CHECK_EQ(wharf::try_call([] { wharf::goexit(); }).status(), WHARF_CANCELED);
    CHECK(wharf::try_call([] { wharf::panic(std::string("text")); }).panic().text().size() > 10);
}

static void all(const wharf::runtime &rt)
{
    values(rt);
    CHECK_EQ(alive, 0);
    exceptions(rt);
    panics(rt);
    panics_past_catch_all(rt);
    deferred(rt);
    CHECK_EQ(alive, 0);
}

static void *on_a_thread(void *rt)
{
    all(*static_cast<wharf::runtime *>(rt));
    return nullptr;
}

int main(int, char **argv)
{
    wharf::runtime rt(nullptr);
    if (is_case(argv, "linked")) {
        rt = wharf::runtime();
        of_the_namespace();
    } else {
        load_wharf();
        rt = wharf::runtime(W);
    }
    all(rt);
    on_thread(on_a_thread, &rt);
    puts("OK");
    return 0;
}
