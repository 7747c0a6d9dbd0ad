/* What std and wharf use of glibc that 2.17 has not. Linked in where the library is to need no more: make GLIBC=2.17. */
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Calls whose structure is glibc's stat64; with 32 bits they have that name. */
#ifndef SYS_fstat64
#define SYS_fstat64 SYS_fstat
#define SYS_fstatat64 SYS_newfstatat
#endif

int fstat64(int fd, void *stat)
{
    return (int)syscall(SYS_fstat64, fd, stat);
}

int stat64(const char *path, void *stat)
{
    return (int)syscall(SYS_fstatat64, AT_FDCWD, path, stat, 0);
}

/* ENOSYS, where the kernel is old too, is what std expects. */
int statx(int fd, const char *path, int flags, unsigned mask, void *stat)
{
    return (int)syscall(SYS_statx, fd, path, flags, mask, stat);
}

pid_t gettid(void)
{
    return (pid_t)syscall(SYS_gettid);
}
