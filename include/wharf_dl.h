/* wharf_dl.h - opens the wharf library at run time, for programs that are not linked with it.
 *
 *     static wharf_dl rt;
 *
 *     if (wharf_dl_open(NULL, &rt) != WHARF_OK) {
 *         fprintf(stderr, "%s\n", rt.error);
 *         return 1;
 *     }
 *     rt.api->call(fn, arg);
 *
 * Header only; C99 or C++11. With a libc older than glibc 2.34, link with -ldl.
 */
#ifndef WHARF_DL_H
#define WHARF_DL_H

#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "wharf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The name that wharf_dl_open looks for when it is given none. */
#ifdef __APPLE__
#define WHARF_DL_NAME "libwharf.0.dylib"
#else
#define WHARF_DL_NAME "libwharf.so.0"
#endif

/* An open library. The program owns it; zeroed, it is closed. */
typedef struct wharf_dl {
    /* The library's functions, valid until wharf_dl_close; NULL while it is not open. */
    const wharf_api *api;
    /* What dlopen returned; NULL while the library is not open. */
    void *handle;
    /* After a failed wharf_dl_open or wharf_dl_close: what was tried and why it failed, one line
     * without a newline at its end, cut if it is too long. Else "". */
    char error[512];
} wharf_dl;

/* Opens the library `path` and fetches its functions.
 *
 * path   a file (a name with a '/'), or a name that the loader searches for, not ""; NULL =
 *        WHARF_DL_NAME, searched for
 * dl     out, not NULL, written in every case; it should be closed when it comes in
 *
 * Returns WHARF_OK, or, with dl->error written and dl closed:
 *   WHARF_EINVAL  path is "" (dlopen would answer with the program itself)
 *   WHARF_ESYS    the loader refused; dl->error has its reason (errno says nothing here)
 *   WHARF_EABI    the library is no wharf, or does not have what this header describes
 *
 * The library's symbols stay local to it (RTLD_LOCAL) and are bound at once (RTLD_NOW). Opening it
 * starts nothing. It may be opened more than once; each open wants its close.
 * Context: anywhere but in a signal handler. Threads: any, one at a time for the same dl. */
static inline int wharf_dl_open(const char *path, wharf_dl *dl)
{
    /* A pointer to data does not convert to one to a function in C; its bytes do, in POSIX. */
    const wharf_api *(*get_api)(uint32_t abi);
    void *symbol;
    const char *reason;
    const wharf_api *api;

    if (path == NULL)
        path = WHARF_DL_NAME;
    dl->api = NULL;
    dl->handle = NULL;
    dl->error[0] = '\0';
    if (path[0] == '\0') {
        snprintf(dl->error, sizeof dl->error,
                 "wharf: cannot open \"\": the path is empty (NULL searches for %s)", WHARF_DL_NAME);
        return WHARF_EINVAL;
    }
    dl->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (dl->handle == NULL) {
        reason = dlerror();
        snprintf(dl->error, sizeof dl->error, "wharf: cannot open \"%s\": %s", path,
                 reason != NULL ? reason : "the loader does not say why");
        return WHARF_ESYS;
    }
    symbol = dlsym(dl->handle, "wharf_get_api");
    if (symbol == NULL) {
        snprintf(dl->error, sizeof dl->error,
                 "wharf: \"%s\" is not the wharf library: it has no wharf_get_api", path);
    } else {
        memcpy(&get_api, &symbol, sizeof get_api);
        api = get_api(WHARF_ABI);
        if (api == NULL) {
            snprintf(dl->error, sizeof dl->error,
                     "wharf: \"%s\" does not know ABI %u, which this program was built for", path,
                     WHARF_ABI);
        } else if (api->size < sizeof *api) {
            snprintf(dl->error, sizeof dl->error,
                     "wharf: \"%s\" (version %s) is older than the header this program was built "
                     "with: its table has %lu bytes, %lu are needed",
                     path, api->version_string(), 0ul + api->size, 0ul + sizeof *api);
        } else {
            dl->api = api;
            return WHARF_OK;
        }
    }
    dlclose(dl->handle);
    dl->handle = NULL;
    return WHARF_EABI;
}

/* Gives the library back; dl->api is NULL from then on. Does nothing where dl is closed.
 *
 * A wharf that was started by `start` stays loaded until the last stop. One that was started by the
 * first call alone is stopped and unloaded, after waiting for running callbacks. Pointers into the
 * table that the program has kept must not be called after that.
 *
 * Returns WHARF_OK: the loader took this open back, which does not mean that the library is
 * unloaded: a start, another open or a program that is linked with it keeps it. Or WHARF_ESYS with
 * the loader's reason in dl->error.
 * Context: not in a callback, not in a signal handler. */
static inline int wharf_dl_close(wharf_dl *dl)
{
    void *handle = dl->handle;
    const char *reason;

    dl->api = NULL;
    dl->handle = NULL;
    dl->error[0] = '\0';
    if (handle != NULL && dlclose(handle) != 0) {
        reason = dlerror();
        snprintf(dl->error, sizeof dl->error, "wharf: cannot close the library: %s",
                 reason != NULL ? reason : "the loader does not say why");
        return WHARF_ESYS;
    }
    return WHARF_OK;
}

/*
 * wharf_panic with a message made by format, of at most 1023 bytes. For programs that open the
 * library, here `dl`; wharf.h has its like.
 */
WHARF_NORETURN static inline void wharf_dl_panicf(const wharf_dl *dl, const char *format, ...)
    WHARF_PRINTF(2, 3);
WHARF_NORETURN static inline void wharf_dl_panicf(const wharf_dl *dl, const char *format, ...)
{
    char message[1024];
    va_list args;

    va_start(args, format);
    if (vsnprintf(message, sizeof message, format, args) < 0)
        dl->api->panic(format);
    va_end(args);
    dl->api->panic(message);
}

#ifdef __cplusplus
}
#endif

#endif /* WHARF_DL_H */
