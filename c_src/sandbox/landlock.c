/* SPDX-License-Identifier: Apache-2.0 */
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "err.h"
#include "io.h"
#include "landlock_abi.h"

enum {
    READING = LL_READ_FILE | LL_READ_DIR,
    WRITING = LL_WRITE_FILE | LL_REMOVE_DIR | LL_REMOVE_FILE | LL_MAKE_DIR |
              LL_MAKE_REG | LL_MAKE_SYM | LL_REFER | LL_TRUNCATE,
    /* Nobody makes devices, sockets and pipes, and nothing is executed. */
    NEVER = LL_EXECUTE | LL_MAKE_CHAR | LL_MAKE_SOCK | LL_MAKE_FIFO |
            LL_MAKE_BLOCK | LL_IOCTL_DEV,
    ON_FILES = LL_READ_FILE | LL_WRITE_FILE | LL_TRUNCATE
};

int
landlock_abi(void)
{
    long v = syscall(LL_CREATE_RULESET, NULL, 0, LL_GET_VERSION);
    return v > 0 ? (int)v : 0;
}

unsigned
landlock_layers(int abi)
{
    return (abi >= 1 ? LAYER_LANDLOCK : 0u) |
           (abi >= 4 ? LAYER_LANDLOCK_NET : 0u) |
           (abi >= 6 ? LAYER_LANDLOCK_SCOPE : 0u);
}

/* The rights that this kernel knows. */
static uint64_t
known(int abi)
{
    uint64_t all = READING | WRITING | NEVER;
    if (abi < 2)
        all &= ~(uint64_t)LL_REFER;
    if (abi < 3)
        all &= ~(uint64_t)LL_TRUNCATE;
    if (abi < 5)
        all &= ~(uint64_t)LL_IOCTL_DEV;
    return all;
}

/* Older kernels refuse a longer structure only if its rest is not zero. */
static int
create(int abi)
{
    struct ll_ruleset r = {.fs = known(abi)};
    if (abi >= 4)
        r.net = LL_BIND_TCP | LL_CONNECT_TCP;
    if (abi >= 6)
        r.scoped = LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL;
    return (int)syscall(LL_CREATE_RULESET, &r, sizeof r, 0);
}

static int
allow_path(int ruleset, const char *path, uint64_t rights)
{
    struct stat s;
    int fd = open(path, O_PATH | O_CLOEXEC), r = E_SYS;
    if (fd >= 0 && fstat(fd, &s) == 0) {
        uint64_t fitting = S_ISDIR(s.st_mode) ? rights : rights & ON_FILES;
        struct ll_path rule = {fitting, fd};
        if (syscall(LL_ADD_RULE, ruleset, LL_RULE_PATH, &rule, 0) == 0)
            r = 0;
    }
    io_close(&fd);
    return r;
}

static int
allow_all(int ruleset, const struct args_list *paths, uint64_t rights,
          const char **bad)
{
    for (size_t i = 0; i < paths->count; i++) {
        if (allow_path(ruleset, paths->v[i], rights) == 0)
            continue;
        *bad = paths->v[i];
        return E_SYS;
    }
    return 0;
}

static int
allow_ports(int ruleset, const struct policy *p)
{
    for (size_t i = 0; i < p->port_count; i++) {
        struct ll_port rule = {LL_CONNECT_TCP, p->ports[i]};
        if (syscall(LL_ADD_RULE, ruleset, LL_RULE_PORT, &rule, 0) != 0)
            return E_SYS;
    }
    return 0;
}

/* What is missing here, nobody can read. */
static void
allow_some(int ruleset, const struct args_list *paths)
{
    for (size_t i = 0; i < paths->count; i++)
        (void)allow_path(ruleset, paths->v[i], READING);
}

int
landlock_ruleset(const struct policy *p, const struct args_list *readable,
                 int abi, int tmp, int *fd, const char **bad)
{
    uint64_t all = known(abi);
    *bad = NULL;
    int ruleset = abi > 0 ? create(abi) : -1;
    if (ruleset < 0)
        return E_REFUSED;
    int e = 0;
    if (policy_has_files(p)) {
        (void)allow_path(ruleset, "/dev/null", (READING | LL_WRITE_FILE) & all);
        allow_some(ruleset, readable);
        e = allow_all(ruleset, &p->read, READING, bad);
    }
    if (e == 0)
        e = allow_all(ruleset, &p->import, READING, bad);
    if (e == 0)
        e = allow_all(ruleset, &p->write, (READING | WRITING) & all, bad);
    if (e == 0 && tmp && allow_path(ruleset, "/tmp", (READING | WRITING) & all))
        e = E_SYS;
    if (e == 0 && abi >= 4)
        e = allow_ports(ruleset, p);
    if (e != 0)
        io_close(&ruleset);
    else
        *fd = ruleset;
    return e;
}

int
landlock_restrict(int fd)
{
    return syscall(LL_RESTRICT_SELF, fd, 0) == 0 ? 0 : E_SYS;
}
