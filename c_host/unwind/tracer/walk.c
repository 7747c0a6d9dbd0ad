#include "walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libunwind-ptrace.h>

#define UNUSED __attribute__((unused))

static unw_addr_space_t space;
static void *thread_info;
static unw_accessors_t accessors;

/* Where call frame information was looked for in vain: there libunwind goes on by guessing, which does not count. */
static unw_word_t missing;

/* What was found for each address so far: libunwind would open the file anew for each question. */
enum { KNOWN = 1 << 15 };
static struct {
    unw_word_t pc;
    unw_proc_info_t info;
} known[KNOWN];

static int find_proc_info(unw_addr_space_t as, unw_word_t pc, unw_proc_info_t *info, UNUSED int whole, void *arg)
{
    size_t at = pc % KNOWN;
    while (known[at].pc != 0 && known[at].pc != pc)
        at = (at + 1) % KNOWN;
    if (known[at].pc == 0) {
        int status = _UPT_find_proc_info(as, pc, &known[at].info, 1, arg);
        if (status < 0) {
            missing = pc;
            return status;
        }
        known[at].pc = pc;
    }
    *info = known[at].info;
    return 0;
}

static void put_unwind_info(UNUSED unw_addr_space_t as, UNUSED unw_proc_info_t *info, UNUSED void *arg) {}

void walk_open(pid_t thread)
{
    accessors = _UPT_accessors;
    accessors.find_proc_info = find_proc_info;
    accessors.put_unwind_info = put_unwind_info;
    space = unw_create_addr_space(&accessors, 0);
    thread_info = _UPT_create(thread);
    if (space == NULL || thread_info == NULL) {
        fprintf(stderr, "libunwind cannot begin\n");
        exit(1);
    }
}

void walk_close(void)
{
    _UPT_destroy(thread_info);
    unw_destroy_addr_space(space);
}

/* Fills one frame but its CFA. */
static int fill(unw_cursor_t *cursor, frame *out)
{
    static const int registers[SAVED] = {UNW_X86_64_RSP, UNW_X86_64_RBP, UNW_X86_64_RBX, UNW_X86_64_R12,
                                         UNW_X86_64_R13, UNW_X86_64_R14, UNW_X86_64_R15};
    unw_word_t value;
    unw_proc_info_t info;
    if (unw_get_reg(cursor, UNW_REG_IP, &value) < 0)
        return 0;
    out->pc = value;
    out->cfa = 0;
    for (int i = 0; i < SAVED; i++) {
        if (unw_get_reg(cursor, registers[i], &value) < 0)
            return 0;
        out->saved[i] = value;
    }
    memset(&info, 0, sizeof info);
    if (unw_get_proc_info(cursor, &info) < 0)
        return 0;
    out->start = info.start_ip;
    out->end = info.end_ip;
    return 1;
}

void walk_frames(walk *out)
{
    unw_cursor_t cursor;
    int status = unw_init_remote(&cursor, space, thread_info);
    out->count = 0;
    out->problem[0] = 0;
    missing = 0;
    if (status < 0) {
        snprintf(out->problem, sizeof out->problem, "no start: %s", unw_strerror(status));
        return;
    }
    while (out->count < MAX_FRAMES) {
        int filled = fill(&cursor, &out->frames[out->count++]);
        if (missing != 0) {
            snprintf(out->problem, sizeof out->problem, "no call frame information at %#lx", (long)missing);
            return;
        }
        if (!filled) {
            snprintf(out->problem, sizeof out->problem, "a register is lost in frame %d", out->count - 1);
            return;
        }
        status = unw_step(&cursor);
        if (status < 0) {
            snprintf(out->problem, sizeof out->problem, "no step from frame %d: %s", out->count - 1, unw_strerror(status));
            return;
        }
        if (status == 0)
            return;
        unw_word_t sp;
        unw_get_reg(&cursor, UNW_REG_SP, &sp);
        out->frames[out->count - 1].cfa = sp;
    }
    snprintf(out->problem, sizeof out->problem, "more than %d frames", MAX_FRAMES);
}

const char *walk_name(uintptr_t pc)
{
    static char name[256];
    unw_word_t offset;
    if (_UPT_get_proc_name(space, pc, name, sizeof name, &offset, thread_info) < 0)
        return "?";
    return name;
}
