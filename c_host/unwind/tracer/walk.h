/* Walks over the frames of a stopped thread from outside, by libunwind and the .eh_frame of the loaded files. */
#ifndef WALK_H
#define WALK_H

#include <stdint.h>
#include <sys/types.h>

enum { MAX_FRAMES = 64, SAVED = 7 };

typedef struct frame {
    uintptr_t pc;
    uintptr_t cfa;          /* where the caller's frame ends; of the outermost frame 0 */
    uintptr_t start, end;   /* of the function, as .eh_frame has it */
    uintptr_t saved[SAVED]; /* sp and the callee-saved registers in this frame */
} frame;

typedef struct walk {
    int count;
    frame frames[MAX_FRAMES]; /* the innermost first */
    char problem[128];        /* why it went no further; "" if it came to the end of the thread */
} walk;

/* Begins with a thread of a process; there is one at a time. */
void walk_open(pid_t thread);
void walk_close(void);

void walk_frames(walk *out);

/* The name of the function at `pc`, or "?". Good until the next call. */
const char *walk_name(uintptr_t pc);

#endif
