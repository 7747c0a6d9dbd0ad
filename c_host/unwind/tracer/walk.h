/* Walks over the frames of a stopped thread from outside, by libunwind and the .eh_frame of the loaded files. */
#ifndef WALK_H
#define WALK_H

#include <stdint.h>
#include <sys/types.h>

enum { MAX_FRAMES = 64, SAVED = 6 };

typedef struct frame {
    uintptr_t pc;
    uintptr_t cfa;          /* where the caller's frame ends; 0 in the outermost frame */
    uintptr_t saved[SAVED]; /* the callee-saved registers in this frame */
} frame;

typedef struct walk {
    int count;
    frame frames[MAX_FRAMES]; /* the innermost first */
    char problem[128];        /* why it went no further; "" if it came to the end of the thread */
} walk;

/* Once, when all files are mapped that the thread will run. */
void walk_open(pid_t thread);

/* The thread has stopped anew: where. */
uintptr_t walk_pc(void);

/* Walks over its frames, after walk_pc. */
void walk_frames(walk *out);

#endif
