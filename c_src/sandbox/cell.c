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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "copy.h"
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

/* ---- its first process --------------------------------------------------- */

/* How it is to be made, as its child has to know it. */
struct plan {
    const struct policy *policy;
    const struct args_list *readable;
    int has_pids; /* the child is its first process */
    unsigned uid, gid;
    int socket; /* the child's end */
};

/* The way back from another namespace of process ids.  Root of a user namespace
 * only may be able to leave ours, which is somebody else's, and not to return:
 * then whatever it forks later would be in a dead one, which can not be. */
static int
open_return(struct cell *c)
{
    c->own_pids = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (c->own_pids >= 0 && setns(c->own_pids, CLONE_NEWPID) == 0)
        return 0;
    int saved = errno;
    io_close(&c->own_pids);
    errno = saved;
    return E_SYS;
}

/* Out of memory on the way back, nobody could be forked any more. */
static pid_t
fork_first_as_root(struct cell *c)
{
    if (open_return(c) != 0 || unshare(CLONE_NEWPID) != 0)
        return -1;
    pid_t first = fork();
    int saved = errno;
    if (first != 0 && setns(c->own_pids, CLONE_NEWPID) != 0) {
        saved = errno;
        if (first > 0)
            end(first);
        first = -1;
    }
    errno = saved;
    return first;
}

/* Who is not root needs a user namespace for it to belong to.  Threads that a
 * module has started may hold libc's locks; what the copy does takes none. */
static pid_t
fork_first(struct cell *c)
{
    int *tid = copy_tid();
    if (geteuid() == 0)
        return fork_first_as_root(c);
    if (tid != NULL)
        return copy_fork(tid, CLONE_NEWUSER | CLONE_NEWPID, NULL);
    errno = ENOSYS;
    return -1;
}

/* Those whose parents have ended are its own then: nobody waits for them.  It
 * keeps nothing open, and dies with the zygote, and all of them with it.  From
 * now on nobody can look at it. */
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

/* The first process was born in its user namespace. */
static int
leave(const struct plan *plan)
{
    int others = all_but_user(plan->policy);
    if (plan->uid == 0)
        return unshare(others) == 0 ? 0 : E_SYS;
    if (!plan->has_pids && unshare(CLONE_NEWUSER) != 0)
        return E_SYS;
    int e = become_ourselves(plan->uid, plan->gid);
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
 * our parent has died before PDEATHSIG, nobody has the other end. */
static _Noreturn void
build(const struct plan *plan)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    errno = 0;
    int e = leave(plan);
    if (e == 0)
        e = furnish(plan->policy, plan->readable);
    int how = e == 0 ? 0 : errno != 0 ? errno : EINVAL;
    if (write(plan->socket, &how, sizeof how) != sizeof how)
        _exit(1);
    while (read(plan->socket, &how, sizeof how) < 0 && errno == EINTR)
        continue;
    if (plan->has_pids)
        be_first();
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
hold(struct cell *c, const struct plan *plan, pid_t builder)
{
    int how = plan->has_pids ? open_namespace(builder, "pid", &c->pids) : 0;
    for (int i = 0; how == 0 && i < CELL_NAMESPACES; i++)
        if ((i != CELL_USER || plan->uid != 0) &&
            wants(plan->policy, (enum cell_namespace)i))
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

/* 0, or errno and there is none. */
static int
make(struct cell *c, const struct policy *p, const struct args_list *readable,
     int has_pids)
{
    struct plan plan = {.policy = p,
                        .readable = readable,
                        .has_pids = has_pids,
                        .uid = geteuid(),
                        .gid = getegid()};
    int ends[2];
    cell_init(c);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return errno;
    plan.socket = ends[1];
    pid_t builder = has_pids ? fork_first(c) : fork();
    if (builder == 0) {
        close(ends[0]); /* whose closing it waits for */
        build(&plan);
    }
    int how = builder < 0 ? errno : 0;
    close(ends[1]);
    if (how == 0)
        how = read_outcome(ends[0]);
    if (how == 0)
        how = hold(c, &plan, builder);
    close(ends[0]);
    if (has_pids && builder > 0)
        c->first = builder;
    else if (builder > 0)
        end(builder);
    if (how == 0 && has_pids && plan.uid != 0 && !cell_fork_works(c))
        how = errno;
    if (how != 0)
        cell_free(c);
    return how;
}

int
cell_make(struct cell *c, const struct policy *p,
          const struct args_list *readable, char *why, size_t n)
{
    int how = -1; /* not tried */
    why[0] = 0;
    if (!(p->without & LAYER_PIDS))
        how = make(c, p, readable, 1);
    if (how > 0)
        snprintf(why, n, "process ids: %s", strerror(how));
    if (how != 0)
        how = make(c, p, readable, 0);
    if (how == 0)
        return 0;
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

/* Who was forked by another is in the user namespace, which nobody can join
 * again. */
static int
is_in(int user)
{
    struct stat it, ours;
    return fstat(user, &it) == 0 && stat("/proc/self/ns/user", &ours) == 0 &&
           it.st_dev == ours.st_dev && it.st_ino == ours.st_ino;
}

int
cell_join(const struct cell *c)
{
    for (int i = 0; i < CELL_NAMESPACES; i++) {
        if (c->fds[i] < 0 || (i == CELL_USER && is_in(c->fds[i])))
            continue;
        if (setns(c->fds[i], namespaces[i].type) != 0)
            return E_SYS;
    }
    return chdir("/") == 0 ? 0 : E_SYS;
}
