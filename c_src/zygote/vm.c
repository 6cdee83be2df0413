/* SPDX-License-Identifier: Apache-2.0 */
#include "vm.h"

#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_GENERATIONS = 32 };

/* The parent of a process, or 0.  In the line "pid (name) S ppid ..." the
 * name may hold anything, also ") S 1"; its end is the last parenthesis. */
static pid_t
parent_of(pid_t pid)
{
    char path[32], line[512];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = 0;
    const char *end = strrchr(line, ')');
    if (end == NULL || sscanf(end + 1, " %*c %d", &parent) != 1)
        return 0;
    return parent;
}

static int
is_ours(pid_t pid)
{
    pid_t parent = getppid();
    if (parent == 1) /* everybody descends from it: that says nothing */
        return pid == 1;
    for (int i = 0; i < MAX_GENERATIONS && pid > 0; i++) {
        if (pid == parent)
            return 1;
        if (pid == 1)
            return 0;
        pid = parent_of(pid);
    }
    return 0;
}

/* A line of /proc/PID/status: its numbers, of that base; 0 if there are less.
 */
static int
read_status(uint64_t pid, const char *key, int base, unsigned long long *v,
            int count)
{
    char path[40], line[256];
    int n = 0;
    snprintf(path, sizeof path, "/proc/%llu/status", (unsigned long long)pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && n == 0 && fgets(line, sizeof line, f) != NULL) {
        char *at = line + strlen(key), *end;
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        while (n < count && (v[n] = strtoull(at, &end, base), end != at))
            n++, at = end;
    }
    if (f != NULL)
        fclose(f);
    return n == count;
}

int
vm_can_signal_us(uint64_t pid)
{
    unsigned long long user[2], rights; /* real and effective */
    if (!read_status(pid, "Uid:", 10, user, 2) ||
        !read_status(pid, "CapEff:", 16, &rights, 1))
        return 1;
    return (rights & 1ull << CAP_KILL) != 0 || user[0] == getuid() ||
           user[1] == getuid();
}

int
vm_watch(uint64_t pid)
{
    if (pid == 0 || pid > INT_MAX || (pid_t)pid == getpid())
        return -1;
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (fd >= 0 && !is_ours((pid_t)pid)) {
        close(fd);
        return -1;
    }
    return fd;
}
