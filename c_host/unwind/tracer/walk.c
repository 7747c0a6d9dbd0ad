#include "walk.h"

#include <stdio.h>
#include <stdlib.h>

#include <libunwind-ptrace.h>

#include "process.h"

#define UNUSED __attribute__((unused))

static pid_t traced;
static unw_addr_space_t space;
static struct user_regs_struct registers;

/* Where call frame information was looked for in vain: there libunwind goes on by guessing, which does not count. */
static unw_word_t missing;

/* Hands libunwind's own search an info for each mapping: with one for all it opens the files anew for each frame. */
static int find_proc_info(unw_addr_space_t as, unw_word_t pc, unw_proc_info_t *info, int whole, UNUSED void *arg)
{
    mapping *at = mapping_at(pc);
    if (at != NULL && at->unwinds == NULL)
        at->unwinds = _UPT_create(traced);
    int status = at != NULL ? _UPT_find_proc_info(as, pc, info, whole, at->unwinds) : -UNW_ENOINFO;
    if (status < 0)
        missing = pc;
    return status;
}

static int access_mem(UNUSED unw_addr_space_t as, unw_word_t address, unw_word_t *value, int write, UNUSED void *arg)
{
    return !write && process_word(address, value) ? 0 : -UNW_EINVAL;
}

static int access_reg(UNUSED unw_addr_space_t as, unw_regnum_t number, unw_word_t *value, int write, UNUSED void *arg)
{
    const unw_word_t *const values[] = {
        (unw_word_t *)&registers.rax, (unw_word_t *)&registers.rdx, (unw_word_t *)&registers.rcx,
        (unw_word_t *)&registers.rbx, (unw_word_t *)&registers.rsi, (unw_word_t *)&registers.rdi,
        (unw_word_t *)&registers.rbp, (unw_word_t *)&registers.rsp, (unw_word_t *)&registers.r8,
        (unw_word_t *)&registers.r9,  (unw_word_t *)&registers.r10, (unw_word_t *)&registers.r11,
        (unw_word_t *)&registers.r12, (unw_word_t *)&registers.r13, (unw_word_t *)&registers.r14,
        (unw_word_t *)&registers.r15, (unw_word_t *)&registers.rip,
    };
    if (write || number < 0 || number >= (int)(sizeof values / sizeof *values))
        return -UNW_EBADREG;
    *value = *values[number];
    return 0;
}

void walk_open(pid_t thread)
{
    static unw_accessors_t accessors;
    accessors = _UPT_accessors;
    accessors.find_proc_info = find_proc_info;
    accessors.access_mem = access_mem;
    accessors.access_reg = access_reg;
    traced = thread;
    space = unw_create_addr_space(&accessors, 0);
    if (space == NULL) {
        fprintf(stderr, "libunwind cannot begin\n");
        exit(2);
    }
}

/* Fills one frame but its CFA. */
static int fill(unw_cursor_t *cursor, frame *out)
{
    static const int saved[SAVED] = {UNW_X86_64_RBP, UNW_X86_64_RBX, UNW_X86_64_R12,
                                     UNW_X86_64_R13, UNW_X86_64_R14, UNW_X86_64_R15};
    out->cfa = 0;
    if (unw_get_reg(cursor, UNW_REG_IP, &out->pc) < 0)
        return 0;
    for (int i = 0; i < SAVED; i++) {
        if (unw_get_reg(cursor, saved[i], &out->saved[i]) < 0)
            return 0;
    }
    return 1;
}

/* Goes from the innermost frame to the outermost; returns what went wrong. */
static const char *go(unw_cursor_t *cursor, walk *out)
{
    for (;;) {
        frame *at = &out->frames[out->count++];
        if (!fill(cursor, at))
            return "a register is lost";
        int status = unw_step(cursor);
        if (missing != 0)
            return "no call frame information";
        if (status < 0)
            return unw_strerror(status);
        if (status == 0)
            return NULL;
        if (out->count == MAX_FRAMES)
            return "no end";
        unw_get_reg(cursor, UNW_REG_SP, &at->cfa);
    }
}

uintptr_t walk_pc(void)
{
    process_stopped(traced, &registers);
    return registers.rip;
}

void walk_frames(walk *out)
{
    unw_cursor_t cursor;
    out->count = 0;
    out->problem[0] = 0;
    missing = 0;
    int status = unw_init_remote(&cursor, space, &registers);
    const char *problem = status < 0 ? unw_strerror(status) : go(&cursor, out);
    if (problem != NULL)
        snprintf(out->problem, sizeof out->problem, "the walk ends at frame %d: %s", out->count - 1, problem);
}
