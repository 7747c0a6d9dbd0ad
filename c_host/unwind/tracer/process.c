#include "process.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MAX_MAPPINGS = 256, PAGE = 4096, PAGES = 8 };

static pid_t process;
static mapping mappings[MAX_MAPPINGS];
static int mapping_count;

/* Pages that were read since the thread stopped. */
static struct {
    uintptr_t at;
    char bytes[PAGE];
} pages[PAGES];
static int page_count;

static int read_memory(uintptr_t from, void *to, size_t bytes)
{
    struct iovec here = {to, bytes}, there = {(void *)from, bytes};
    return process_vm_readv(process, &here, 1, &there, 1, 0) == (ssize_t)bytes;
}

void process_open(pid_t of)
{
    char line[512], mode[8];
    process = of;
    snprintf(line, sizeof line, "/proc/%d/maps", process);
    FILE *maps = fopen(line, "r");
    while (maps != NULL && mapping_count < MAX_MAPPINGS && fgets(line, sizeof line, maps) != NULL) {
        mapping *is = &mappings[mapping_count];
        if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %255[^\n]", &is->low, &is->high, mode, is->file) < 4)
            continue;
        mapping_count++;
        is->runs = mode[2] == 'x';
        size_t bytes = is->high - is->low;
        is->copy = mode[1] == 'w' ? NULL : malloc(bytes);
        if (is->copy != NULL && !read_memory(is->low, is->copy, bytes)) {
            free(is->copy);
            is->copy = NULL;
        }
    }
    if (maps != NULL)
        fclose(maps);
}

mapping *mapping_at(uintptr_t address)
{
    for (int i = 0; i < mapping_count; i++) {
        if (mappings[i].low <= address && address < mappings[i].high)
            return &mappings[i];
    }
    return NULL;
}

void process_stopped(pid_t thread, struct user_regs_struct *registers)
{
    page_count = 0;
    if (ptrace(PTRACE_GETREGS, thread, NULL, registers) != 0) {
        perror("PTRACE_GETREGS");
        exit(2);
    }
}

int process_word(uintptr_t address, uintptr_t *out)
{
    mapping *is = mapping_at(address);
    if (is != NULL && is->copy != NULL && address + sizeof *out <= is->high) {
        memcpy(out, is->copy + (address - is->low), sizeof *out);
        return 1;
    }
    uintptr_t in_page = address % PAGE;
    if (in_page > PAGE - sizeof *out)
        return read_memory(address, out, sizeof *out);
    for (int i = 0; i < page_count; i++) {
        if (pages[i].at == address - in_page) {
            memcpy(out, pages[i].bytes + in_page, sizeof *out);
            return 1;
        }
    }
    int next = page_count < PAGES ? page_count : 0;
    if (!read_memory(address - in_page, pages[next].bytes, PAGE))
        return read_memory(address, out, sizeof *out);
    pages[next].at = address - in_page;
    page_count = page_count < PAGES ? page_count + 1 : page_count;
    memcpy(out, pages[next].bytes + in_page, sizeof *out);
    return 1;
}

/* ---- symbols ---- */

static const Elf64_Sym *symbol_in(const char *elf, const char *name)
{
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)elf;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(elf + head->e_shoff);
    for (int i = 0; i < head->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *symbols = (const Elf64_Sym *)(elf + sections[i].sh_offset);
        const char *names = elf + sections[sections[i].sh_link].sh_offset;
        for (size_t at = 0; at < sections[i].sh_size / sizeof *symbols; at++) {
            if (symbols[at].st_size != 0 && strcmp(names + symbols[at].st_name, name) == 0)
                return &symbols[at];
        }
    }
    return NULL;
}

/* The file's first byte: that is address 0 of what can be loaded anywhere. */
uintptr_t process_base(const char *file)
{
    for (int i = 0; i < mapping_count; i++) {
        if (strcmp(mappings[i].file, file) == 0)
            return mappings[i].low;
    }
    return 0;
}

int process_function(const char *file, const char *name, uintptr_t *low, uintptr_t *high)
{
    char whole[PATH_MAX];
    struct stat is;
    const char *found = realpath(file, whole);
    uintptr_t base = found != NULL ? process_base(whole) : 0;
    int fd = base != 0 ? open(whole, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &is) != 0)
        return 0;
    const char *elf = mmap(NULL, (size_t)is.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (elf == MAP_FAILED)
        return 0;
    const Elf64_Sym *symbol = symbol_in(elf, name);
    if (symbol != NULL) {
        *low = base + symbol->st_value;
        *high = *low + symbol->st_size;
    }
    munmap((void *)elf, (size_t)is.st_size);
    return symbol != NULL;
}
