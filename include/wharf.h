/*
 * wharf: threads of a C program call in, and their callbacks run on managed stacks.
 *
 * Every function returns WHARF_OK (0) or a negative status, unless it says otherwise. Nothing needs
 * to be called before wharf_call. A host that loads the library by dlopen takes wharf_dl.h and calls
 * through the table of wharf_get_api; every function has its place there, under its name without
 * the prefix (wharf_try is try_ there, since try is a keyword of C++).
 *
 * Contracts. Threads: every function may be called on any thread at any time. "Context" says from
 * where else; "Signals: safe" means async-signal-safe. A pointer is the caller's before, during and
 * after the call, and is only looked at during the call, unless the contract says otherwise. A thread
 * has thread-local storage of its own: not so a raw clone without CLONE_SETTLS, and the child of a vfork,
 * which must not call in.
 */
#ifndef WHARF_H
#define WHARF_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define WHARF_NORETURN __attribute__((__noreturn__))
#else
#define WHARF_NORETURN
#endif

#if defined(__GNUC__)
#define WHARF_PRINTF(format, first) __attribute__((__format__(__printf__, format, first)))
#else
#define WHARF_PRINTF(format, first)
#endif

/* A struct of options with its defaults: wharf_config config = WHARF_CONFIG_INIT; */
#define WHARF_CONFIG_INIT \
  { (uint32_t)sizeof(wharf_config), 0, 0, 0, 0, 0, 0, 0, 0, 0, { 0, 0, 0, 0 } }
#define WHARF_ATTACH_OPTIONS_INIT \
  { (uint32_t)sizeof(wharf_attach_options), 0, 0, 0, { 0, 0, 0, 0 } }
#define WHARF_STATS_INIT { (uint32_t)sizeof(wharf_stats), 0, 0, 0, 0, 0, 0, 0, 0 }


// The call did what it says.
#define WHARF_OK 0

// The deadline passed first.
#define WHARF_TIMEOUT -3

// `wharf_goexit` ended the callback.
#define WHARF_CANCELED -4

// The callback ended by a panic; what `wharf_try` gave out says more.
#define WHARF_PANICKED -5

// The callback ended by a panic that a deferred call recovered.
#define WHARF_RECOVERED -6

// The runtime is stopping or stopped; only `wharf_start` brings it back.
#define WHARF_STOPPED -7

// An argument is NULL, out of range, or a struct's `size` is not one that this version knows.
#define WHARF_EINVAL -16

// The system gave no memory or address space.
#define WHARF_ENOMEM -17

// Not possible in this state or from this place.
#define WHARF_ESTATE -18

// The library does not speak this ABI.
#define WHARF_EABI -19

// The system refused; errno says why.
#define WHARF_ESYS -20

// A limit was reached: `max_threads`, or nothing to be had in a signal handler.
#define WHARF_ELIMIT -21

// `wharf_panic_info.kind`: raised by `wharf_panic`.
#define WHARF_PANIC_MESSAGE 1

// `wharf_panic_info.kind`: SIGSEGV, SIGBUS, SIGFPE or SIGILL, with `WHARF_FAULTS_PANIC`.
#define WHARF_PANIC_FAULT 2

// `wharf_panic_info.kind`: the callback has outgrown its stack, with `WHARF_FAULTS_PANIC`.
#define WHARF_PANIC_OVERFLOW 3

// `wharf_config.signals`: no handler is installed.
#define WHARF_SIGNALS_NONE 1

// `wharf_config.signals`: handlers for SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT.
#define WHARF_SIGNALS_FAULTS 2

// `wharf_config.fault_policy`: the process dies.
#define WHARF_FAULTS_DIE 1

// `wharf_config.fault_policy`: a `wharf_try` gets them.
#define WHARF_FAULTS_PANIC 2

// The ABI that this header describes; what `wharf_get_api` is asked for.
#define WHARF_ABI 1

// `wharf_config.traceback`: what the environment says, else `WHARF_TRACEBACK_SINGLE`.
#define WHARF_TRACEBACK_DEFAULT 0

// A report is its message alone.
#define WHARF_TRACEBACK_NONE 1

// The message and the trace of the thread that dies.
#define WHARF_TRACEBACK_SINGLE 2

// ... and the traces of the other threads that are inside callbacks, the first hundred, as far as
// they can be told without stopping them: of one that is out on the host's stack the frames from
// there outward; of one that is inside its callback the host's frames below it.
#define WHARF_TRACEBACK_ALL 3

// ... and the library's own frames, the registers that are known, its version and configuration.
#define WHARF_TRACEBACK_SYSTEM 4

// `wharf_attach_options.flags`: the thread must never wait for wharf. `wharf_trim` leaves its
// stack alone.
#define WHARF_ATTACH_REALTIME 1

// A deadline that never comes.
#define WHARF_NEVER INT64_MAX

// How the runtime is to be. Fill it with `WHARF_CONFIG_INIT`, then set fields; 0 is the default.
typedef struct wharf_config {
  // `sizeof(wharf_config)`. So that programs built with another version of this header go on
  // working, the library takes 8 up to the `sizeof` that it knows (fields that are missing are
  // 0), and more, up to 4096, where every byte beyond what it knows is 0. Any other `size` is
  // `WHARF_EINVAL`.
  uint32_t size;
  // The most host threads that may be attached at a time, 1 to 65536; default 65536. More is
  // `WHARF_EINVAL`. One thread too many gets `WHARF_ELIMIT`. Threads that were attached before a stop
  // stay so over a start that asks for fewer, and count.
  uint32_t max_threads;
  // Bytes of a callback's stack, 16 KiB to 1 GiB, rounded up to pages; default 8 MiB on 64-bit
  // machines, 256 KiB on 32-bit ones. Less or more is `WHARF_EINVAL`. Reserved, not spent: memory
  // is what callbacks touch.
  uint64_t callback_stack_bytes;
  // Bytes below each stack that nobody can access, one page to 1 GiB, rounded up to pages;
  // default 64 KiB. Less or more is `WHARF_EINVAL`. A single frame larger than this may jump over
  // it, into another stack: set more, or compile with `-fstack-clash-protection`.
  uint64_t guard_bytes;
  // The most frames that the trace of a caught panic keeps; default 32, at most 65536; less than
  // 0: none. A report's trace has no such bound.
  int64_t trace_depth;
  // How much a report tells: `WHARF_TRACEBACK_NONE` and so on. `WHARF_TRACEBACK_DEFAULT`: what the
  // environment variable `WHARF_TRACEBACK` says, `none`, `single`, `all` or `system`; if it says
  // nothing else, `single`. Another number is `WHARF_EINVAL`.
  uint32_t traceback;
  // Where a report goes, besides standard error, as JSON: an object a line, `{"wharf":"panic",
  // "message":…}` first, then one for each goroutine, `{"wharf":"end"}` last; always valid, whatever
  // bytes a message has (what is no UTF-8 becomes U+FFFD). A descriptor of the host's, open for
  // writing when the process dies; a reader that takes nothing is waited for half a second. 0 and
  // -1: none, so it cannot be descriptor 0; less is `WHARF_EINVAL`.
  int32_t report_fd;
  // A file to which the same is appended; NULL: none. Copied; at most 1023 bytes, and not empty, else
  // `WHARF_EINVAL`. It is opened at the start, made with mode 0600 if it is not there: a process that
  // dies may have no free descriptor, another root and fewer rights. If the host has closed that
  // descriptor by then (what it has opened under the same number is not written to), or the file was
  // removed, or could not be opened at the start, it is opened by its name then; relative to the
  // working directory of then. If that fails too, the report goes to standard error alone.
  const char *report_path;
  // `WHARF_SIGNALS_FAULTS`, the default of `wharf_start`: handlers for SIGSEGV, SIGBUS, SIGFPE, SIGILL
  // and SIGABRT stand before the host's until the stop. `WHARF_SIGNALS_NONE`: no handler; so it is
  // after a start by the first call. Else `WHARF_EINVAL`.
  //
  // A fault in a callback, be it out on the host's stack by `wharf_on_host`, is reported:
  // `SIGSEGV: segmentation violation`, PC and address, the goroutine, its trace. Then it goes to the
  // handler that the host had installed before the start; without one the process dies of the
  // signal, with the registers of the fault. One such report is made per start. So is `abort` in a
  // callback. A callback that outgrows its stack: `fatal error: stack overflow`, the trace, SIGABRT.
  //
  // Whatever else comes goes to the host's earlier handler at once, with the mask, stack and
  // arguments that it would have had; from out on the host's stack so does what the host has a handler for.
  // Without one the process dies of it, when a report that another thread is at is whole.
  // A handler that the host installs later takes our place; `wharf_stop` leaves it there, and it
  // must not pass signals on to the one before it after that. Another copy of wharf does: of several
  // with handlers, stop first the one that was started last. A host that lives on after faults in
  // callbacks, by handlers from before the start, wants `WHARF_SIGNALS_NONE`.
  //
  // A thread without an alternate stack, or with one of less than some 8 KiB, is lent one of 64 KiB when
  // it is attached, be it by a call; it gets back what it had by `wharf_detach`, or when it stops the
  // runtime. Other threads keep what was lent, which stays mapped, over `dlclose` too: until they end,
  // as long as the library is there to see it.
  uint32_t signals;
  // `WHARF_FAULTS_DIE`, the default: a fault in a callback ends the process, as `signals` says.
  // `WHARF_FAULTS_PANIC`, for `WHARF_SIGNALS_FAULTS` only: inside a `wharf_try` a fault in a callback,
  // or a callback that outgrows its stack, comes back as `WHARF_PANICKED`, with `kind` and `address`,
  // and the thread goes on. It is cut to the try, as by `siglongjmp`: no destructor runs, locks stay
  // held, what was deferred in scopes inside the try is dropped; what was deferred in the try's own
  // function runs. Signals are held back as in the callback, also where the fault is in a signal handler
  // that has interrupted it on its own stack, unless a frame between has no unwind tables, or on i386 a
  // handler there no `SA_SIGINFO`. The try must stand on the same managed stack: not beyond
  // `wharf_on_host`. A fault on the host's own stack, one whose stack pointer points nowhere, a signal
  // that was sent, and `abort` are not caught. Else `WHARF_EINVAL`.
  uint32_t fault_policy;
  // Zero.
  uint64_t reserved[4];
} wharf_config;

// What wharf calls back: a function of the host's and the pointer that the host gave with it.
typedef void (*wharf_fn)(void *arg);

// How a thread is to be attached. Fill it with `WHARF_ATTACH_OPTIONS_INIT`, then set fields.
typedef struct wharf_attach_options {
  // `sizeof(wharf_attach_options)`; what else is taken, and what is not, as in
  // `wharf_config.size`.
  uint32_t size;
  // 0 or `WHARF_ATTACH_REALTIME`.
  uint32_t flags;
  // The thread's name in `wharf_dump`, its first 15 bytes; copied. NULL: the system's name.
  const char *name;
  // Bytes of the callback stack to bring into memory now, so that no call faults them in; at
  // most what a stack has, more is `WHARF_EINVAL`.
  uint64_t touch_bytes;
  // Zero.
  uint64_t reserved[4];
} wharf_attach_options;

// What the runtime has and has done. Fill it with `WHARF_STATS_INIT`, then read.
//
// An M is wharf's record of an attached thread. When its thread ends or detaches, the M is kept
// for the next thread that attaches.
typedef struct wharf_stats {
  // In: `sizeof(wharf_stats)`, or any number of bytes that are there, 8 or more; less is
  // `WHARF_EINVAL`. Out: how many of them were filled: never more than the library knows.
  uint32_t size;
  // Ms made so far: the most threads that were attached at a time, about.
  uint32_t threads_made;
  // Ms of threads that are attached now.
  uint32_t threads_bound;
  // Ms that no thread has now, kept for the next ones.
  uint32_t threads_spare;
  // Managed stacks made. Each has a number, from 1, for as long as it exists: a report and
  // `wharf_dump` name it as `goroutine 3`. The number is that of the stack, so callbacks that run
  // on it one after the other have the same.
  uint32_t stacks_made;
  // Of those, how many a callback is on now; one that was left by `longjmp` counts until its
  // thread calls in again or ends.
  uint32_t stacks_used;
  // Calls that have returned since the start.
  uint64_t calls;
  // Address space held, in bytes.
  uint64_t bytes_reserved;
  // Of that, how much is in memory, in bytes.
  uint64_t bytes_committed;
} wharf_stats;

// A panic that has ended. It lives until `wharf_panic_info_free`, over `wharf_stop` too.
typedef struct wharf_panic_info {
  // Bytes of this struct, as the library knows it.
  uint32_t size;
  // `WHARF_PANIC_MESSAGE`, `WHARF_PANIC_FAULT` or `WHARF_PANIC_OVERFLOW`; later versions may know more
  // kinds.
  uint32_t kind;
  // What `wharf_panic` was given; of a fault what it is called, as in `wharf_config.signals`, and its address.
  const char *message;
  // Return addresses, from the caller of `wharf_panic` outward, as far as was unwound: up to the frame
  // without unwind tables, if it was cut. Of a fault, from where it was on, plus one, and past a try that is on
  // the host's stack.
  const void *const *trace;
  // How many there are, at most `trace_depth` of the configuration.
  uint32_t trace_count;
  // 1: frames without unwind tables were met, and all outward of them were given up at once: no
  // destructor of theirs has run. So it is after every fault.
  uint32_t cut;
  // The panic that this one took the place of, in a deferred call; or NULL. Freed with this one.
  const struct wharf_panic_info *earlier;
  // Of a fault: the address that could not be accessed, or of the instruction.
  const void *address;
} wharf_panic_info;

// What gets a report: its text, which is followed by a NUL, its bytes, and the pointer that the host gave.
typedef void (*wharf_fatal_fn)(const char *report, size_t bytes, void *arg);

// Every function of this header, for hosts that load the library by `dlopen`. What each does is
// said at its prototype.
typedef struct wharf_api {
  // Bytes of this table. New functions come at the end only.
  uint32_t size;
  // `WHARF_ABI` of the library.
  uint32_t abi;
  uint32_t (*version)(void);
  const char *(*version_string)(void);
  const char *(*strerror)(int status);
  const char *(*status_name)(int status);
  int (*start)(const struct wharf_config *config);
  int (*stop)(int64_t until);
  int (*running)(void);
  int (*trim)(void);
  int (*call)(wharf_fn fn, void *arg);
  int (*on_host)(wharf_fn fn, void *arg);
  int (*attach)(const struct wharf_attach_options *options);
  int (*detach)(void);
  void (*panic)(const char *msg) WHARF_NORETURN;
  int64_t (*now)(void);
  int64_t (*after)(int64_t ns);
  int (*stats_read)(struct wharf_stats *out);
  int (*dump)(int fd);
  int (*try_)(wharf_fn fn, void *arg, struct wharf_panic_info **out);
  void (*panic_from)(const char *msg, const void *const *trace, uint32_t count) WHARF_NORETURN;
  int (*recoverable)(void);
  int (*defer)(wharf_fn fn, void *arg);
  struct wharf_panic_info *(*recover)(void);
  void (*goexit)(void) WHARF_NORETURN;
  size_t (*panic_info_format)(const struct wharf_panic_info *info, char *out, size_t bytes);
  void (*panic_info_free)(struct wharf_panic_info *info);
  int (*on_fatal)(wharf_fatal_fn fn, void *arg);
} wharf_api;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The library's version as a number: major * 65536 + minor * 256 + patch.
//
// Context: any. Signals: safe.
uint32_t wharf_version(void);

// The library's version as text, "major.minor.patch". Static, never NULL.
//
// Context: any. Signals: safe.
const char *wharf_version_string(void);

// What a status means, in a few words. Static, never NULL, not for any program to parse.
//
// `status`: what a function of this header returned; an unknown number is answered too.
//
// Context: any. Signals: safe.
const char *wharf_strerror(int status);

// The name of a status, "WHARF_TIMEOUT" for -3. Static; "WHARF_?" if there is none of that number.
//
// Context: any. Signals: safe.
const char *wharf_status_name(int status);

// The table of all functions: the one name that a host which loads wharf by `dlopen` looks up.
//
// `abi`: `WHARF_ABI` of the header that the host was compiled with.
//
// Returns the table, static, valid until the library is unloaded (a call through it after that is
// a crash); NULL if this library does not speak that ABI. A later library of the same ABI has more
// functions at the table's end: look at its `size` before calling one that your header has and the
// library may not.
//
// Context: any. Signals: safe.
const struct wharf_api *wharf_get_api(uint32_t abi);

// Starts the runtime, or counts one more start of a running one.
//
// Optional: the first `wharf_call` starts it with defaults (that start is not counted), reads no
// environment and touches nothing of the host's: no thread is made, no handler installed. An explicit
// start installs handlers for faults, unless `signals` says otherwise. Of the environment the first
// `wharf_start` reads `WHARF_TRACEBACK`, but not in a process that runs with more rights than whoever
// started it. From here to the last stop the library holds a reference on itself, and `dlclose`
// unloads nothing; after a start by the first call alone, `dlclose` waits for running callbacks,
// stops, and unloads. It has the loader's lock meanwhile: a callback that needs that before it ends
// (`dlopen`, `dlsym`, `getaddrinfo`, a thread's first `pthread_exit`) hangs both; stop first.
// `dlclose` inside a callback is forbidden: the code that the callback returns to may be gone. So
// are calls through a table or a pointer that was got before the library was unloaded. Both crash.
//
// `config`: what is wanted; NULL is all defaults; read during the call. Of a runtime that was started
// so nothing here can be changed; of one that a first call has started, what is not about threads and stacks can.
// A field that asks for something else than is in force is `WHARF_ESTATE`, and `wharf_dump` names it.
//
// Returns `WHARF_OK`; `WHARF_EINVAL`: a field is out of range, `size` is none that is taken (see
// there), or a reserved word is not zero; `WHARF_ESTATE`: see above; `WHARF_STOPPED`: the runtime
// is just being stopped; `WHARF_ENOMEM`.
//
// Context: any thread, in a callback too (then it runs already). Signals: not safe.
//
// # Safety
// `config` is NULL or readable for its `size`, and its `report_path` NULL or a string.
int wharf_start(const struct wharf_config *config);

// Takes one start back; the last one stops the runtime.
//
// Stopping: new calls get `WHARF_STOPPED`, calls inside running callbacks still work, and this
// waits until the callbacks have returned. Then threads are let go, memory goes back, the pthread
// key is deleted, and the library's reference on itself is dropped: a plain `dlclose` unloads it,
// although threads that once called in live on. Only `wharf_start` brings the runtime back.
//
// `until`: when to give up, in ns on the clock of `wharf_now`; `WHARF_NEVER`; a time that has
// passed tries once.
//
// Returns `WHARF_OK`; `WHARF_TIMEOUT`: a callback was still on (`wharf_dump` shows which), the
// runtime runs as before; `WHARF_STOPPED`: it was stopped already; `WHARF_ESTATE`: never started,
// or called from inside a callback. A callback that was left by `longjmp` counts as on until its
// thread calls in again or ends.
//
// Context: a host thread outside callbacks. Signals: not safe.
int wharf_stop(int64_t until);

// 1 if the runtime runs, else 0.
//
// Context: any. Signals: safe.
int wharf_running(void);

// Gives memory back that nobody uses: what threads that have ended left, stacks in the pool, and
// what callbacks of threads that are outside now once used deep down in their stacks (not of
// threads that attached as real-time). A thread that calls in meanwhile may wait a moment.
//
// Returns `WHARF_OK`; `WHARF_ESTATE`: not started; `WHARF_STOPPED`.
//
// Context: any thread, in a callback too. Signals: not safe.
int wharf_trim(void);

// Runs `fn(arg)` as a callback: on a managed stack, with the thread's own stack kept for
// `wharf_on_host` and for whoever unwinds. Returns when `fn` has returned.
//
// The first call of a thread ties the thread up (starting the runtime if nothing has); this lasts
// until the thread ends or detaches. After that a call takes no lock, no system call, no memory and
// no atomic read-modify-write. Called from inside a callback it runs `fn` on the stack it is on.
// Called on any other stack of the thread while a callback is on (from `wharf_on_host`, a fiber, a
// handler on an alternate stack) it takes another managed stack; such calls may end in any order,
// on the thread that they began on.
//
// The callback has the host's floating-point environment, signal mask and errno, and what it
// changes of them stays changed, as with any C call. A C++ exception, `pthread_exit` and
// `pthread_cancel` pass through to the host's frames; `longjmp` to a frame of the host's is
// allowed. What it leaves untouched on the host's stack keeps its managed stack until it is written
// over, or the thread detaches, stops the runtime or ends.
//
// Not for fibers whose stacks are copied or made inaccessible while a callback of theirs is on, or lie
// in a callback's own frames. An `mlockall(MCL_CURRENT)` brings the managed stacks of attached threads
// into memory whole. In the child of a `fork` everything works on (before Linux 4.14: warm calls only).
//
// `fn`: not NULL. `arg`: handed on, never looked at.
//
// Returns `WHARF_OK`: `fn` has returned; `WHARF_RECOVERED`: it panicked, and one of its deferred calls
// recovered; `WHARF_CANCELED`: it called `wharf_goexit`. Otherwise it has not run: `WHARF_EINVAL`:
// `fn` is NULL; `WHARF_STOPPED`; `WHARF_ENOMEM`; `WHARF_ELIMIT`: `max_threads` are attached, or a
// signal handler interrupted the start of the runtime or a trim on this thread.
//
// Context: any thread, any stack with 1 KiB left (256 bytes once the thread is attached). Signals:
// safe, but for the call that starts the runtime: it takes locks of libc's, and may wait for ever in
// a handler that interrupted `malloc` or `exit`. Source: Go's cgocallback.
//
// # Safety
// `fn` may be called with `arg`.
int wharf_call(wharf_fn fn,
               void *arg);

// `wharf_call` that a panic does not get past: a panic inside `fn` that no deferred call recovers ends
// `fn`, and comes back here as a status. So does a panic inside callbacks that `fn` makes, also
// through host functions (`wharf_on_host`), as long as no other `wharf_try` is further inward.
//
// The frames between are unwound: C++ and Rust destructors run, deferred calls run. At the first
// frame without unwind tables (C that was compiled without them, a JIT's) the rest is cut: those
// frames are left as by `longjmp`, and `cut` says so. C compiled with `-fexceptions` may have
// cleanups of its own. What is locked in C frames stays locked.
//
// A panic out of a signal handler of the host's leaves that handler's signals held back, as `longjmp` does.
//
// A C++ exception of the host's passes through untouched. A `catch (...)` between that does not
// throw on, or a `noexcept` function that is met, makes the panic fatal.
//
// `fn`: not NULL. `arg`: handed on. `out`: where the panic is written to, only for
// `WHARF_PANICKED`; then the caller's, to be freed by `wharf_panic_info_free`. NULL: not wanted.
//
// Returns `WHARF_OK`; `WHARF_PANICKED`; `WHARF_RECOVERED`: a deferred call of `fn`'s own recovered;
// `WHARF_CANCELED`: by `wharf_goexit`; else as `wharf_call`, and `fn` has not run.
//
// Context: as `wharf_call`. Signals: safe; a panic inside allocates. Source: Go's recover.
//
// # Safety
// `fn` may be called with `arg`; `out` is NULL or writable.
int wharf_try(wharf_fn fn,
              void *arg,
              struct wharf_panic_info **out);

// Runs `fn(arg)` on the host's stack, below the frames that made the call: from inside a callback,
// for host functions that want the thread's own stack. On a host's stack already, it is a plain
// call.
//
// `fn`: not NULL. `arg`: handed on, never looked at.
//
// Returns `WHARF_OK`: `fn` has run; `WHARF_EINVAL`: `fn` is NULL.
//
// Context: any. Signals: safe. Source: Go's systemstack.
//
// # Safety
// `fn` may be called with `arg`.
int wharf_on_host(wharf_fn fn, void *arg);

// Ties the calling thread up before its first call, for threads that must not pay then. Starts the
// runtime if nothing has. On a thread that is attached already, applies the options.
//
// `options`: NULL is all defaults; read during the call.
//
// Returns `WHARF_OK`; `WHARF_EINVAL`: an unknown flag, `size` or non-zero reserved word, or more
// `touch_bytes` than a stack has: then the thread is attached, without the options; `WHARF_ESTATE`:
// from inside a callback; else as `wharf_call`.
//
// Context: a host thread outside callbacks. Signals: safe on a thread that is not attached, once the
// runtime runs (see `wharf_call`). Source: Go's needm.
//
// # Safety
// `options` is NULL or readable for its `size`; its name is NULL or a string.
int wharf_attach(const struct wharf_attach_options *options);

// Lets the calling thread go before it ends. Its next call ties it up anew.
//
// Returns `WHARF_OK`; `WHARF_ESTATE`: it is not attached, or inside a callback.
//
// Context: a host thread outside callbacks. Signals: not safe. Source: Go's dropm.
int wharf_detach(void);

// Panics. If a `wharf_try` stands on this thread, it gets the panic; else if a deferred call recovers,
// its callback ends with `WHARF_RECOVERED`; else the process ends with a report: `panic: msg`, a
// blank line, `goroutine N [running, locked to thread]:` (outside callbacks `host thread N`) and
// the trace of the calling thread, from the caller through `wharf_call` down to the host's thread
// function; then SIGABRT, with the host's handler in its place.
//
// The report goes to standard error, and where `report_fd` and `report_path` of `wharf_config` say;
// `traceback` there says how much it tells. It is made on a stack that is kept for it, allocates
// nothing, takes no lock, and has five seconds, of which a reader who takes nothing gets four; then
// the process dies whatever holds it up. One thread reports; others that panic meanwhile wait for
// the end, and for the host's handler of SIGABRT, however long that takes. If the handler jumps out
// (`siglongjmp`), the thread's next panic is a death of its own, with a report; another thread's is
// as soon as the thread has ended, or has let SIGABRT through for 0.3 seconds: not after a `longjmp`
// that leaves the mask as it was, nor where the handler has `SA_NODEFER`, which looks the same while
// it is at work.
//
// `msg`: a string, copied; NULL is said to be NULL. Line breaks are indented.
//
// Never returns. Without memory for a panic that is waited for, it is fatal. Context: any. Signals: safe
// where it is fatal; else it allocates. Source: Go's panic.
//
// # Safety
// `msg` is NULL or a string.
void wharf_panic(const char *msg) WHARF_NORETURN;

// `wharf_panic` for languages that have unwound their own frames already, and know from where.
//
// `msg`: as for `wharf_panic`. `trace`: return addresses, from the panic outward; copied. `count`: how
// many there are.
//
// Never returns. Context: any. Signals: as `wharf_panic`.
//
// # Safety
// `msg` is NULL or a string; `trace` is readable for `count` addresses.
void wharf_panic_from(const char *msg,
                      const void *const *trace,
                      uint32_t count) WHARF_NORETURN;

// Whether a panic here and now has a chance: 1 if a `wharf_try` or a deferred call stands on this
// thread, 0 if it would end the process.
//
// Context: any. Signals: safe, as the process's unwinder is: not in a program linked by `-static`, in a
// handler that interrupts an unwinding.
int wharf_recoverable(void);

// Has `fn(arg)` called when the innermost `wharf_call` or `wharf_try` ends, however it ends: by a
// return, a panic, `wharf_goexit`, a C++ exception, `pthread_exit`. Last deferred, first called.
// Not when a `longjmp` leaves it.
//
// Deferred calls run on the callback's stack. In a panic that a `wharf_try` gets, the frames inside
// are unwound when they run; else the panicking frames still stand. Out of one that an exception or
// `pthread_exit` runs no panic gets, and no `wharf_goexit`: that is fatal.
//
// `fn`: not NULL. `arg`: handed on, never looked at.
//
// Returns `WHARF_OK`; `WHARF_EINVAL`: `fn` is NULL; `WHARF_ESTATE`: not inside a callback;
// `WHARF_ENOMEM`.
//
// Context: inside a callback, a deferred call too. Signals: only in a callback that the handler made
// itself. Source: Go's defer.
//
// # Safety
// `fn` may be called with `arg` then.
int wharf_defer(wharf_fn fn,
                void *arg);

// In a deferred call that runs because of a panic: the panic ends here. When the deferred call
// returns, the `wharf_call` or `wharf_try` that it was deferred in returns `WHARF_RECOVERED`, after
// the deferred calls that are left.
//
// Returns the panic, the caller's, to be freed by `wharf_panic_info_free`; NULL where there is none to
// recover: outside deferred calls, in a callback that a deferred call makes, without a panic, in a
// `wharf_goexit`, for the second time.
//
// Context: any. Signals: not safe. Source: Go's recover.
struct wharf_panic_info *wharf_recover(void);

// Ends the innermost `wharf_call` or `wharf_try` with `WHARF_CANCELED`, after its deferred calls. The
// frames between are unwound as in a panic. No deferred call can recover it. (Go dies there.)
//
// Never returns. Outside a callback it is a panic. Context: inside a callback. Signals: not safe.
// Source: Go's runtime.Goexit.
void wharf_goexit(void) WHARF_NORETURN;

// Prints a panic as the report would: `panic: msg`, those before it, a blank line and the trace with
// names and source lines, for which it reads files, each time anew: milliseconds where there is DWARF. A
// file that is cut short while it is read is left alone with `WHARF_SIGNALS_FAULTS`, and a SIGBUS
// without. The modules of the trace must still be loaded to be named.
//
// `info`: not NULL. `out`: gets the text, cut to what has room, and a NUL; NULL if `bytes` is 0.
// `bytes`: room at `out`.
//
// Returns the length of the whole text without the NUL, as `snprintf` does.
//
// Context: any thread. Signals: not safe.
//
// # Safety
// `info` was given out and not freed; `out` is writable for `bytes`.
size_t wharf_panic_info_format(const struct wharf_panic_info *info,
                               char *out,
                               size_t bytes);

// Frees what `wharf_try` or `wharf_recover` gave out.
//
// `info`: NULL does nothing.
//
// Context: any thread, after `wharf_stop` too. Signals: not safe.
//
// # Safety
// `info` was given out and not freed.
void wharf_panic_info_free(struct wharf_panic_info *info);

// Has `fn(report, bytes, arg)` called when a report is finished and written, before the process ends
// as it will.
//
// `report` is the text that went to standard error, its first 64 KiB, then `...cut...`; a NUL follows.
// It and the function's stack, 64 KiB at least, are there until the function returns. It runs on the
// thread that dies, with all signals held back but faults and SIGABRT, while other threads go on, and
// whatever lock the thread had it still has: a function that is fit for a signal handler is fit for
// this. Signals that came for the thread meanwhile stay held back in a handler of the host's that gets
// the death's signal: no other is what the process ends by.
//
// It cannot keep the process alive. If it has not returned five seconds after the report began, or
// has jumped away, SIGABRT is sent; if a handler of the host's comes back from that, five seconds
// later, SIGKILL. A panic in it, caught or not, a fault, and an exception or `pthread_exit` that leaves it
// end the process at once.
//
// `fn`: NULL takes away what was set before; else it takes its place. Kept over `wharf_stop`: the code
// must be there as long as the library is. `arg`: for `fn`.
//
// Returns `WHARF_OK`; `WHARF_ESTATE`: a signal handler has interrupted this very function;
// `WHARF_TIMEOUT`: another thread was in this function for a second.
//
// Context: any. Signals: safe. Source: none of Go's; its `debug.SetCrashOutput` is `report_fd`.
//
// # Safety
// `fn` may be called with `arg` at any time from now on.
int wharf_on_fatal(wharf_fatal_fn fn,
                   void *arg);

// Now, in ns since an arbitrary moment (CLOCK_MONOTONIC): what deadlines are told in.
//
// Context: any. Signals: safe. Source: Go's nanotime.
int64_t wharf_now(void);

// The deadline `ns` nanoseconds from now; `WHARF_NEVER` if that is out of range.
//
// Context: any. Signals: safe.
int64_t wharf_after(int64_t ns);

// Counts what the runtime has. Finds threads that have ended first.
//
// `out`: not NULL, its `size` set; written only on success, as much as both sides know: the first
// `size` bytes of the struct, or all of it if `size` is larger.
//
// Returns `WHARF_OK`; in a runtime that does not run, all is 0. `WHARF_EINVAL`: `out` is NULL, or
// its `size` is less than 8.
//
// Context: any thread, in a callback too. The figures of other threads may be a moment old.
// Signals: not safe.
//
// # Safety
// `out` is NULL or writable for its `size`.
int wharf_stats_read(struct wharf_stats *out);

// Prints what the runtime has, as text for people: its state and sizes, and for each attached
// thread a line with its M (`M3`, the number of wharf's record of it), tid, name, state and depth
// of callbacks, then a line for each managed stack that it holds (`goroutine 3`, the number of the
// stack) with its bounds and use. While a stop waits, and after it gave up, these are who is in its way.
//
// `fd`: where to; stays the caller's. A reader that takes nothing is waited for, two seconds in all.
//
// Returns `WHARF_OK`; `WHARF_EINVAL`: `fd` is negative; `WHARF_ESYS`: not all could be written, errno
// says why, EAGAIN if the reader was too slow.
//
// Context: any. Signals: safe; errno is kept on success.
int wharf_dump(int fd);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#ifdef __cplusplus
extern "C" {
#endif

/*
 * wharf_panic with a message made by format, of at most 1023 bytes. For programs that are linked
 * with the library; wharf_dl.h has its like.
 */
WHARF_NORETURN static inline void wharf_panicf(const char *format, ...) WHARF_PRINTF(1, 2);
WHARF_NORETURN static inline void wharf_panicf(const char *format, ...)
{
  char msg[1024];
  va_list args;
  va_start(args, format);
  if (vsnprintf(msg, sizeof msg, format, args) < 0)
    wharf_panic(format);
  va_end(args);
  wharf_panic(msg);
}

#ifdef __cplusplus
}
#endif

#endif /* WHARF_H */
