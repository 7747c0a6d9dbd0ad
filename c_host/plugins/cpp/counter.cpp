/* A plugin that adds numbers up: "1 2 3" is 6. A word that is no number is the asker's mistake, and thrown; a sum that does
 * not fit is a bug, and a panic. */
#include "plugin.h"
#include "wharf.hpp"

#include <atomic>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

const host *owner;
std::atomic<long> objects;

/* The numbers of a question; counted, to show that it does not outlive what goes wrong. */
class Numbers {
public:
    explicit Numbers(const std::string &text)
    {
        std::istringstream words(text);
        for (std::string word; words >> word;) {
            std::size_t used = 0;
            values.push_back(std::stol(word, &used));
            if (used != word.size())
                throw std::invalid_argument("no number: " + word);
        }
        objects++;
    }
    Numbers(const Numbers &) = delete;
    ~Numbers() { objects--; }

    std::vector<long> values;
};

long checked_add(long left, long right)
{
    if (right > 0 && left > std::numeric_limits<long>::max() - right) {
        std::ostringstream text;
        text << "the sum is too large: " << left << " and " << right;
        wharf::runtime(owner->wharf).panic(text.str());
    }
    return left + right;
}

long answer(const char *question)
{
    const Numbers numbers(question);
    long sum = 0;
    for (const long value : numbers.values)
        sum = checked_add(sum, value);
    return sum;
}

long alive()
{
    return objects;
}

} // namespace

extern "C" const plugin *plugin_open(const host *host)
{
    static const plugin self = {"counter", answer, alive};
    owner = host;
    return &self;
}
