/* SPDX-License-Identifier: Apache-2.0 */
#include "cell.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "io.h"
#include "root.h"

/* Who may connect has the host's network, and Landlock's rules for it. */
static int
wants(const struct policy *p, enum cell_namespace which)
{
    return which != CELL_NET || p->port_count == 0;
}

static int
all_but_user(const struct policy *p)
{
    return CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS |
           (wants(p, CELL_NET) ? CLONE_NEWNET : 0);
}

static const struct {
    const char *name;
    int type;
} namespaces[CELL_NAMESPACES] = {
    [CELL_USER] = {"user", CLONE_NEWUSER}, [CELL_MOUNT] = {"mnt", CLONE_NEWNS},
    [CELL_NET] = {"net", CLONE_NEWNET},    [CELL_IPC] = {"ipc", CLONE_NEWIPC},
    [CELL_UTS] = {"uts", CLONE_NEWUTS},
};

void
cell_init(struct cell *c)
{
    for (int i = 0; i < CELL_NAMESPACES; i++)
        c->fds[i] = -1;
    c->pids = c->own_pids = -1;
    c->first = 0;
}

void
cell_close_pids(struct cell *c)
{
    io_close(&c->pids);
    io_close(&c->own_pids);
}

void
cell_close(struct cell *c)
{
    for (int i = 0; i < CELL_NAMESPACES; i++)
        io_close(&c->fds[i]);
    cell_close_pids(c);
}

static void
end(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

void
cell_free(struct cell *c)
{
    cell_close(c);
    if (c->first > 0)
        end(c->first);
    c->first = 0;
}

/* ---- process ids --------------------------------------------------------- */

int
cell_fork_begin(const struct cell *c)
{
    return c->pids < 0 || setns(c->pids, CLONE_NEWPID) == 0 ? 0 : E_SYS;
}

int
cell_fork_end(const struct cell *c)
{
    return c->pids < 0 || setns(c->own_pids, CLONE_NEWPID) == 0 ? 0 : E_SYS;
}

/* The child that makes the namespaces: where that can be, the first process of
 * one of process ids.  *is_first: it is. */
static pid_t
fork_builder(struct cell *c, const struct policy *p, int *is_first)
{
    *is_first = 0;
    if (geteuid() == 0 && !(p->without & LAYER_PIDS)) {
        c->own_pids = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
        *is_first = c->own_pids >= 0 && unshare(CLONE_NEWPID) == 0;
    }
    pid_t builder = fork();
    int saved = errno;
    if (builder != 0 && *is_first && setns(c->own_pids, CLONE_NEWPID) != 0) {
        saved = errno; /* out of memory: nobody could be forked any more */
        if (builder > 0)
            end(builder);
        builder = -1;
    }
    errno = saved;
    return builder;
}

/* Those whose parents have ended are its own then: nobody waits for them.  It
 * keeps nothing open, and dies with the zygote, and all of them with it. */
static _Noreturn void
be_first(void)
{
    close_range(0, UINT_MAX, 0);
    signal(SIGCHLD, SIG_IGN);
    prctl(PR_SET_NAME, CELL_FIRST_NAME);
    prctl(PR_SET_DUMPABLE, 0);
    for (;;)
        pause();
}

/* ---- the builder --------------------------------------------------------- */

static int
write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return E_SYS;
    int e = io_write_all(fd, text, strlen(text));
    close(fd);
    return e;
}

/* A user namespace in which we are who we are outside. */
static int
become_ourselves(unsigned uid, unsigned gid)
{
    char map[64];
    snprintf(map, sizeof map, "%u %u 1", uid, uid);
    if (write_file("/proc/self/setgroups", "deny") != 0 ||
        write_file("/proc/self/uid_map", map) != 0)
        return E_SYS;
    snprintf(map, sizeof map, "%u %u 1", gid, gid);
    return write_file("/proc/self/gid_map", map);
}

static int
leave(const struct policy *p)
{
    int others = all_but_user(p);
    unsigned uid = geteuid(), gid = getegid();
    if (uid == 0)
        return unshare(others) == 0 ? 0 : E_SYS;
    if (unshare(CLONE_NEWUSER) != 0)
        return E_SYS;
    int e = become_ourselves(uid, gid);
    return e != 0 || unshare(others) == 0 ? e : E_SYS;
}

/* What imports need may be missing; what the policy names may not. */
static int
show_all(const struct args_list *l, int how, int must)
{
    for (size_t i = 0; i < l->count; i++) {
        int e = root_show(l->v[i], how);
        if (e != 0 && (must || errno != ENOENT))
            return e;
    }
    return 0;
}

static int
furnish(const struct policy *p, const struct args_list *readable)
{
    static const char *const devices[] = {"/dev/null", "/dev/zero",
                                          "/dev/urandom", "/dev/random"};
    int e = root_begin();
    for (int i = 0; e == 0 && policy_has_files(p) && i < 4; i++)
        e = root_show(devices[i], ROOT_WRITABLE);
    if (e == 0 && policy_has_files(p))
        e = show_all(readable, ROOT_READ_ONLY, 0);
    if (e == 0)
        e = show_all(&p->import, ROOT_READ_ONLY, 1);
    if (e == 0)
        e = show_all(&p->read, ROOT_READ_ONLY, 1);
    if (e == 0)
        e = show_all(&p->write, ROOT_WRITABLE, 1);
    if (e == 0 && p->tmp_bytes > 0)
        e = root_directory("/tmp");
    if (e == 0)
        e = root_enter();
    return e;
}

/* In the child: say how it went (0 or errno), then wait to be looked at.  If
 * our parent has died before PDEATHSIG, nobody has the pipe's other end. */
static _Noreturn void
build(const struct policy *p, const struct args_list *readable, int pipe_fd,
      int is_first)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    errno = 0;
    int e = leave(p);
    if (e == 0)
        e = furnish(p, readable);
    int how = e == 0 ? 0 : errno != 0 ? errno : EINVAL;
    if (write(pipe_fd, &how, sizeof how) != sizeof how)
        _exit(1);
    if (is_first)
        be_first();
    pause();
    _exit(0);
}

/* ---- around it ----------------------------------------------------------- */

static int
open_namespace(pid_t pid, const char *name, int *fd)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, name);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd >= 0 ? 0 : errno;
}

static int
hold(struct cell *c, const struct policy *p, pid_t builder, int is_first)
{
    int how = is_first ? open_namespace(builder, "pid", &c->pids) : 0;
    for (int i = 0; how == 0 && i < CELL_NAMESPACES; i++)
        if ((i != CELL_USER || geteuid() != 0) &&
            wants(p, (enum cell_namespace)i))
            how = open_namespace(builder, namespaces[i].name, &c->fds[i]);
    return how;
}

static int
read_outcome(int fd)
{
    int how;
    ssize_t k;
    do
        k = read(fd, &how, sizeof how);
    while (k < 0 && errno == EINTR);
    return k == sizeof how ? how : EPIPE;
}

int
cell_make(struct cell *c, const struct policy *p,
          const struct args_list *readable, char *why, size_t n)
{
    int ends[2], is_first;
    cell_init(c);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return E_SYS;
    pid_t builder = fork_builder(c, p, &is_first);
    if (builder == 0)
        build(p, readable, ends[1], is_first);
    int how = builder < 0 ? errno : 0;
    close(ends[1]);
    if (how == 0)
        how = read_outcome(ends[0]);
    if (how == 0)
        how = hold(c, p, builder, is_first);
    close(ends[0]);
    if (how == 0 && is_first)
        c->first = builder;
    else if (builder > 0)
        end(builder);
    if (how == 0)
        return 0;
    cell_free(c);
    snprintf(why, n, "namespaces: %s", strerror(how));
    return E_REFUSED;
}

/* ---- a helper joins ------------------------------------------------------ */

static int
mount_tmp(const struct policy *p, unsigned owner)
{
    char options[96];
    snprintf(options, sizeof options,
             "size=%llu,nr_inodes=%llu,mode=700,uid=%u,gid=%u",
             (unsigned long long)p->tmp_bytes,
             (unsigned long long)(p->tmp_bytes / 4096 + 64), owner, owner);
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              options) != 0)
        return E_SYS;
    return 0;
}

int
cell_own_tmp(const struct policy *p, unsigned owner)
{
    if (p->tmp_bytes == 0)
        return 0;
    int e = mount_tmp(p, owner);
    return e != 0 || chdir("/") == 0 ? e : E_SYS;
}

int
cell_join(const struct cell *c)
{
    for (int i = 0; i < CELL_NAMESPACES; i++)
        if (c->fds[i] >= 0 && setns(c->fds[i], namespaces[i].type) != 0)
            return E_SYS;
    return chdir("/") == 0 ? 0 : E_SYS;
}
