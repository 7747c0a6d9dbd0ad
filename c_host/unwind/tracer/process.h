/* What is mapped in a stopped process, its memory and a thread's registers. What cannot change is read once. */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

typedef struct mapping {
    uintptr_t low, high;
    int runs;       /* executable */
    char *copy;     /* what it holds, if nobody may write to it */
    char file[256]; /* "" if none */
    void *unwinds;  /* what the walk keeps for it */
} mapping;

/* Looks at the mappings of the process; those of files are not to change from here on. */
void process_open(pid_t process);

/* The thread has stopped anew: reads its registers, forgets what its memory held. */
void process_stopped(pid_t thread, struct user_regs_struct *registers);

/* Reads a word; whether it can be read. */
int process_word(uintptr_t address, uintptr_t *out);

mapping *mapping_at(uintptr_t address);

/* Where address 0 of a mapped file's symbols lies. */
uintptr_t process_base(const char *file);

/* Where a function that the file's .symtab names lies in the process; whether it was found. */
int process_function(const char *file, const char *name, uintptr_t *low, uintptr_t *high);

#endif
