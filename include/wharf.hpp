/* wharf.hpp - wharf for C++: callables instead of a function and a pointer, values and errors that
 * come back, panics as objects.
 *
 *     int n = wharf::call([&] { return parse(line); });         // a program linked with wharf
 *
 *     wharf::runtime rt(dl.api);                                // one that loads it: wharf_dl.h
 *     wharf::result<int> n = rt.try_call([&] { return parse(line); });
 *     if (!n.ok())
 *         std::cerr << n.panic().text();
 *
 * Header only, C++11 to C++20. Every function of namespace wharf is also a member of
 * wharf::runtime, which holds the library's table; those of the namespace use the library that the
 * program is linked with, and nothing refers to it where they are not used.
 *
 * What a panic unwinds are frames of this header too: nothing here catches anything, and nothing
 * that runs the program's code is noexcept. A callable that is noexcept makes a panic in it fatal.
 *
 * Where a status has no other way out, wharf::error is thrown. With -fno-exceptions it is a panic
 * with the same text.
 */
#ifndef WHARF_HPP
#define WHARF_HPP

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "wharf.h"

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#define WHARF_HPP_EXCEPTIONS 1
#else
#define WHARF_HPP_EXCEPTIONS 0
#endif

namespace wharf {

/* Code with and without exceptions may be linked together: they are not the same functions. */
#if WHARF_HPP_EXCEPTIONS
inline namespace throwing {
#else
inline namespace panicking {
#endif

class runtime;

/* ---- Errors ---------------------------------------------------------------------------------- */

#if WHARF_HPP_EXCEPTIONS
/* A status other than WHARF_OK, where a function has nothing else to give back. */
class __attribute__((__visibility__("default"))) error : public std::runtime_error {
public:
    error(int status, const std::string &text) : std::runtime_error(text), status_(status) {}

    int status() const noexcept { return status_; }

private:
    int status_;
};
#endif

namespace detail {

using names = const char *(*)(int status);

[[noreturn]] inline void fail(int status, names name, names meaning, void (*panic)(const char *msg),
                              const char *more = "")
{
    const std::string text = std::string(name(status)) + ": " + meaning(status) + more;
#if WHARF_HPP_EXCEPTIONS
    (void)panic;
    throw error(status, text);
#else
    panic(text.c_str());
    std::abort();
#endif
}

inline void check(const wharf_api *api, int status)
{
    if (status != WHARF_OK)
        fail(status, api->status_name, api->strerror, api->panic);
}

} // namespace detail

/* ---- Panics ---------------------------------------------------------------------------------- */

/* Return addresses, from the panic outward; valid as long as their panic_info. */
class trace_view {
public:
    trace_view(const void *const *first, std::size_t count) noexcept : first_(first), count_(count) {}

    const void *const *begin() const noexcept { return first_; }
    const void *const *end() const noexcept { return first_ + count_; }
    std::size_t size() const noexcept { return count_; }
    bool empty() const noexcept { return count_ == 0; }
    const void *operator[](std::size_t at) const noexcept { return first_[at]; }

private:
    const void *const *first_;
    std::size_t count_;
};

/* A panic that has ended, or nothing. Frees what wharf_try or wharf_recover gave out. */
class panic_info {
public:
    panic_info() noexcept : api_(nullptr), info_(nullptr) {}
    panic_info(const wharf_api *api, wharf_panic_info *info) noexcept : api_(api), info_(info) {}
    panic_info(panic_info &&other) noexcept : api_(other.api_), info_(other.release()) {}
    panic_info &operator=(panic_info &&other) noexcept
    {
        std::swap(api_, other.api_);
        std::swap(info_, other.info_);
        return *this;
    }
    ~panic_info()
    {
        if (info_ != nullptr)
            api_->panic_info_free(info_);
    }

    /* Whether there is one. */
    explicit operator bool() const noexcept { return info_ != nullptr; }

    /* What the panic was raised with; "" if there is none. Valid as long as this. */
    const char *message() const noexcept { return info_ != nullptr ? info_->message : ""; }

    trace_view trace() const noexcept
    {
        return info_ != nullptr ? trace_view(info_->trace, info_->trace_count) : trace_view(nullptr, 0);
    }

    /* Whether frames without unwind tables were met: outward of them no destructor has run. */
    bool cut() const noexcept { return info_ != nullptr && info_->cut != 0; }

    /* As the report would print it, with the names of the trace. */
    std::string text() const
    {
        std::string out;
        if (info_ == nullptr)
            return out;
        out.resize(api_->panic_info_format(info_, nullptr, 0) + 1);
        const std::size_t length = api_->panic_info_format(info_, &out[0], out.size());
        out.resize(length < out.size() ? length : out.size() - 1);
        return out;
    }

    /* The C struct, which this keeps; NULL if there is none. */
    const wharf_panic_info *get() const noexcept { return info_; }

    /* The C struct, which is the caller's now. */
    wharf_panic_info *release() noexcept
    {
        wharf_panic_info *const info = info_;
        info_ = nullptr;
        return info;
    }

private:
    const wharf_api *api_;
    wharf_panic_info *info_;
};

/* ---- Values that come out of a callback -------------------------------------------------------- */

namespace detail {

/* Room for what a callable returns. */
template <class T> class slot {
    using value_type = typename std::remove_cv<T>::type;

public:
    slot() noexcept : full_(false) {}
    slot(slot &&other) noexcept(std::is_nothrow_move_constructible<value_type>::value) : full_(false)
    {
        take_over(other);
    }
    slot &operator=(slot &&other) noexcept(std::is_nothrow_move_constructible<value_type>::value)
    {
        if (this != &other) {
            clear();
            take_over(other);
        }
        return *this;
    }
    ~slot() { clear(); }

    template <class F> void fill(F &&f)
    {
        ::new (static_cast<void *>(&bytes_)) value_type(std::forward<F>(f)());
        full_ = true;
    }
    value_type &get() noexcept { return *static_cast<value_type *>(static_cast<void *>(&bytes_)); }
    const value_type &get() const noexcept
    {
        return *static_cast<const value_type *>(static_cast<const void *>(&bytes_));
    }
    T take() { return std::move(get()); }

private:
    void clear() noexcept
    {
        if (full_)
            get().~value_type();
        full_ = false;
    }
    void take_over(slot &other)
    {
        if (other.full_) {
            ::new (static_cast<void *>(&bytes_)) value_type(std::move(other.get()));
            full_ = true;
        }
    }

    alignas(value_type) unsigned char bytes_[sizeof(value_type)];
    bool full_;
};

template <class T> class slot<T &> {
public:
    template <class F> void fill(F &&f) { to_ = std::addressof(std::forward<F>(f)()); }
    T &get() const noexcept { return *to_; }
    T &take() noexcept { return *to_; }

private:
    T *to_ = nullptr;
};

template <class T> class slot<T &&> {
public:
    template <class F> void fill(F &&f)
    {
        T &&to = std::forward<F>(f)();
        to_ = std::addressof(to);
    }
    T &get() const noexcept { return *to_; }
    T &&take() noexcept { return static_cast<T &&>(*to_); }

private:
    T *to_ = nullptr;
};

template <> class slot<void> {
public:
    template <class F> void fill(F &&f) { static_cast<void>(std::forward<F>(f)()); }
    void get() const noexcept {}
    void take() const noexcept {}
};

template <class F> using returned = decltype(std::declval<F>()());

/* A value that is left where it is. */
template <class T> using looked_at = decltype(std::declval<const slot<T> &>().get());

/* A callable and where its value goes: what the C function gets. */
template <class F> struct frame {
    F &&f;
    slot<returned<F>> *out;

    static void run(void *arg)
    {
        frame &self = *static_cast<frame *>(arg);
        self.out->fill(std::forward<F>(self.f));
    }
};

/* A callable that fits into the pointer itself needs no memory. */
template <class F>
using fits = std::integral_constant<bool, sizeof(F) <= sizeof(void *) && alignof(F) <= alignof(void *) &&
                                              std::is_trivially_copyable<F>::value>;

template <class F> void run_small(void *arg)
{
    alignas(F) unsigned char bytes[sizeof(void *)];
    std::memcpy(bytes, &arg, sizeof arg);
    static_cast<void>(std::move(*static_cast<F *>(static_cast<void *>(bytes)))());
}

template <class F> void run_kept(void *arg)
{
    const std::unique_ptr<F> f(static_cast<F *>(arg));
    static_cast<void>(std::move(*f)());
}

template <class F> int defer(const wharf_api *api, F &&f, std::true_type)
{
    using callable = typename std::decay<F>::type;
    void *arg = nullptr;
    const callable copy(std::forward<F>(f));
    std::memcpy(&arg, static_cast<const void *>(&copy), sizeof copy);
    return api->defer(run_small<callable>, arg);
}

template <class F> int defer(const wharf_api *api, F &&f, std::false_type)
{
    using callable = typename std::decay<F>::type;
    std::unique_ptr<callable> kept(new callable(std::forward<F>(f)));
    const int status = api->defer(run_kept<callable>, kept.get());
    if (status == WHARF_OK)
        kept.release();
    return status;
}

} // namespace detail

/* What became of a try_call: a value if ok(), a panic if status() is WHARF_PANICKED. */
template <class T> class result {
public:
    result(result &&) = default;
    result &operator=(result &&) = default;

    bool ok() const noexcept { return status_ == WHARF_OK; }
    explicit operator bool() const noexcept { return ok(); }
    int status() const noexcept { return status_; }

    /* What the callable returned; where it has not, wharf::error with the panic's message. */
    typename std::add_lvalue_reference<T>::type value() &
    {
        check();
        return slot_.get();
    }
    detail::looked_at<T> value() const &
    {
        check();
        return slot_.get();
    }
    T value() &&
    {
        check();
        return slot_.take();
    }

    /* The panic; an empty one for any other status. */
    const panic_info &panic() const noexcept { return panic_; }
    panic_info &panic() noexcept { return panic_; }

private:
    friend class runtime;
    explicit result(const wharf_api *api) noexcept : api_(api), status_(WHARF_OK) {}
    void check() const
    {
        if (status_ != WHARF_OK)
            detail::fail(status_, api_->status_name, api_->strerror, api_->panic,
                         (panic_ ? std::string(": ") + panic_.message() : std::string()).c_str());
    }

    const wharf_api *api_;
    int status_;
    panic_info panic_;
    detail::slot<T> slot_;
};

/* ---- The library ------------------------------------------------------------------------------- */

/* A library to call: a pointer, to be copied at will. It is valid as long as its table. */
class runtime {
public:
    /* The library that the program is linked with; wharf::error, WHARF_EABI, if it is too old. */
    runtime() : api_(wharf_get_api(WHARF_ABI))
    {
        if (api_ == nullptr || api_->size < sizeof *api_)
            detail::fail(WHARF_EABI, wharf_status_name, wharf_strerror, wharf_panic);
    }
    /* A library that was opened: `api` of wharf_dl, not NULL. */
    explicit runtime(const wharf_api *api) noexcept : api_(api) {}

    /* Its functions, for all that has no member here. */
    const wharf_api *operator->() const noexcept { return api_; }

    /* Runs f() as a callback, and gives back what it returns: nothing, a value, a reference. An
     * exception of f comes out as it is; so does a panic, to whoever tries. Any status but WHARF_OK
     * is thrown as wharf::error: WHARF_RECOVERED and WHARF_CANCELED say that f was ended, the
     * others that it has not run. */
    template <class F> detail::returned<F> call(F &&f) const { return through(api_->call, std::forward<F>(f)); }

    /* As call, but a panic in f ends here, and comes back in the result as any other status does.
     * Nothing is thrown but the exceptions of f. */
    template <class F> result<detail::returned<F>> try_call(F &&f) const
    {
        result<detail::returned<F>> out(api_);
        detail::frame<F> frame{std::forward<F>(f), &out.slot_};
        wharf_panic_info *info = nullptr;
        out.status_ = api_->try_(detail::frame<F>::run, &frame, &info);
        out.panic_ = panic_info(api_, info);
        return out;
    }

    /* Runs f() on the thread's own stack, and gives back what it returns. */
    template <class F> detail::returned<F> on_host(F &&f) const
    {
        return through(api_->on_host, std::forward<F>(f));
    }

    /* Has a copy of f called when the innermost call or try_call ends, however it ends. What f
     * returns is dropped. A copy larger than a pointer, or not trivial, is kept on the heap until it
     * has run; a longjmp that leaves the call does not run it, and loses that memory. */
    template <class F> void defer(F &&f) const
    {
        detail::check(api_, detail::defer(api_, std::forward<F>(f),
                                          detail::fits<typename std::decay<F>::type>()));
    }

    /* In a deferred callable: ends the panic because of which it runs, and gives it out. Empty if
     * there is none to recover. */
    panic_info recover() const noexcept { return panic_info(api_, api_->recover()); }

    /* Whether a panic here and now would not end the process. */
    bool recoverable() const noexcept { return api_->recoverable() != 0; }

    /* Ends the innermost call or try_call with WHARF_CANCELED. */
    [[noreturn]] void goexit() const { api_->goexit(); }

    [[noreturn]] void panic(const char *message) const { api_->panic(message); }
    [[noreturn]] void panic(const std::string &message) const { api_->panic(message.c_str()); }

private:
    template <class F> detail::returned<F> through(int (*how)(wharf_fn fn, void *arg), F &&f) const
    {
        detail::slot<detail::returned<F>> out;
        detail::frame<F> frame{std::forward<F>(f), &out};
        detail::check(api_, how(detail::frame<F>::run, &frame));
        return out.take();
    }

    const wharf_api *api_;
};

/* ---- For programs that are linked with the library: see runtime -------------------------------- */

template <class F> detail::returned<F> call(F &&f)
{
    return runtime().call(std::forward<F>(f));
}

template <class F> result<detail::returned<F>> try_call(F &&f)
{
    return runtime().try_call(std::forward<F>(f));
}

template <class F> detail::returned<F> on_host(F &&f)
{
    return runtime().on_host(std::forward<F>(f));
}

template <class F> void defer(F &&f)
{
    runtime().defer(std::forward<F>(f));
}

inline panic_info recover()
{
    return runtime().recover();
}

inline bool recoverable()
{
    return runtime().recoverable();
}

[[noreturn]] inline void goexit()
{
    runtime().goexit();
}

[[noreturn]] inline void panic(const char *message)
{
    runtime().panic(message);
}

[[noreturn]] inline void panic(const std::string &message)
{
    runtime().panic(message);
}

} // inline namespace
} // namespace wharf

#endif /* WHARF_HPP */
