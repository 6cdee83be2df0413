/* SPDX-License-Identifier: Apache-2.0 */
#include "profile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "io.h"
#include "landlock.h"
#include "nested.h"
#include "self.h"
#include "split.h"

/* ---- made in the zygote -------------------------------------------------- */

static int
wants(const struct profile *p, unsigned layer)
{
    return p->policy.level != LEVEL_TRUSTED && !(p->policy.without & layer);
}

static int
make_filter(struct profile *p, char *why, size_t n)
{
    if (!wants(p, LAYER_SECCOMP) || !filter_available())
        return 0;
    int e = filter_make(&p->filter, &p->policy);
    if (e == 0 && filter_split(&p->filter, &p->early, &p->late) == E_NOMEM)
        e = E_NOMEM;
    if (e != 0)
        snprintf(why, n, "seccomp: %s", err_str(e));
    else
        p->layers |= LAYER_SECCOMP;
    return e;
}

/* Where the tests want a poorer kernel, it is one of an older ABI. */
static int
usable_abi(const struct profile *p)
{
    int abi = landlock_abi();
    if (!wants(p, LAYER_LANDLOCK))
        return 0;
    if (abi > 3 && !wants(p, LAYER_LANDLOCK_NET))
        return 3;
    if (abi > 5 && !wants(p, LAYER_LANDLOCK_SCOPE))
        return 5;
    return abi;
}

static int
make_landlock(struct profile *p, const struct profile_host *host, char *why,
              size_t n)
{
    int abi = p->abi = usable_abi(p);
    const char *bad = NULL;
    if (abi == 0)
        return 0;
    int e = landlock_ruleset(&p->policy, &host->readable, abi, 0, &p->landlock,
                             &bad);
    if (e != 0 && bad != NULL)
        snprintf(why, n, "%s: %s", bad, strerror(errno));
    else if (e != 0)
        snprintf(why, n, "landlock: %s", strerror(errno));
    else
        p->layers |= landlock_layers(abi);
    return e;
}

/* Without namespaces, or that of process ids, the others go on: why_not is only
 * told when they were required. */
static void
make_cell(struct profile *p, const struct profile_host *host, char *why_not,
          size_t n)
{
    if (wants(p, LAYER_NAMESPACES) &&
        cell_make(&p->cell, &p->policy, &host->readable, why_not, n) == 0)
        p->layers |= LAYER_NAMESPACES;
    if (p->cell.pids >= 0)
        p->layers |= LAYER_PIDS;
}

/* In a root of its own the way to Python is open to everyone. */
static void
look_at_user(struct profile *p, const struct profile_host *host)
{
    const char *needed = p->layers & LAYER_NAMESPACES ? NULL : host->prefix;
    if (wants(p, LAYER_OWN_UID) && self_can_change_user(needed))
        p->layers |= LAYER_OWN_UID;
}

/* Also of trusted helpers: the others are about what they may do, this is about
 * how much. */
static void
look_at_groups(struct profile *p, const struct profile_host *host,
               char *why_not, size_t n)
{
    if (host->cgroups != NULL && !(p->policy.without & LAYER_CGROUP) &&
        (cgroup_is_of_use(&p->policy) || p->policy.require & LAYER_CGROUP) &&
        cgroup_host_probe(host->cgroups, why_not, n) == 0)
        p->layers |= LAYER_CGROUP;
}

/* What a grant or a limit needs to be one, whatever the policy says of layers.
 */
static unsigned
needed(const struct policy *p)
{
    unsigned layers = p->require;
    if (p->tmp_bytes > 0)
        layers |= LAYER_NAMESPACES;
    if (p->port_count > 0)
        layers |= LAYER_LANDLOCK_NET;
    if (p->procs != POLICY_NO_LIMIT)
        layers |= LAYER_CGROUP;
    return layers;
}

static int
check(const struct profile *p, const char *why_no_cell,
      const char *why_no_group, unsigned *missing, char *why, size_t n)
{
    const unsigned of_cell = LAYER_NAMESPACES | LAYER_PIDS;
    size_t at = 0;
    *missing = needed(&p->policy) & ~p->layers;
    if (*missing == 0)
        return 0;
    for (int i = 0; i < LAYER_COUNT && at < n; i++)
        if (*missing & (1u << i))
            at += (size_t)snprintf(why + at, n - at, "%s%s", at > 0 ? ", " : "",
                                   layer_name(i));
    const char *why_not = *missing & of_cell        ? why_no_cell
                          : *missing & LAYER_CGROUP ? why_no_group
                                                    : "";
    if (why_not[0] != 0 && at < n)
        snprintf(why + at, n - at, " (%s)", why_not);
    return E_REFUSED;
}

int
profile_make(struct profile *p, const struct ctl_map *policy,
             const struct profile_host *host, unsigned *missing, char *why,
             size_t n)
{
    char why_no_cell[160] = "", why_no_group[160] = "";
    memset(p, 0, sizeof *p);
    cell_init(&p->cell);
    p->landlock = p->proc = -1;
    *missing = 0;
    p->host = host;
    int e = policy_read(&p->policy, policy, why, n);
    if (e != 0)
        return e;
    p->layers = LAYER_BASE | LAYER_RLIMITS;
    e = nested_leave_out(&p->policy);
    if (e == 0)
        e = make_landlock(p, host, why, n);
    if (e == 0) {
        make_cell(p, host, why_no_cell, sizeof why_no_cell);
        look_at_user(p, host);
        p->policy.unguarded = !(p->layers & (LAYER_NAMESPACES | LAYER_OWN_UID));
        e = make_filter(p, why, n);
    }
    if (e == 0) {
        look_at_groups(p, host, why_no_group, sizeof why_no_group);
        e = check(p, why_no_cell, why_no_group, missing, why, n);
    }
    if (e != 0)
        profile_free(p);
    return e;
}

void
profile_free(struct profile *p)
{
    policy_free(&p->policy);
    filter_free(&p->filter);
    filter_free(&p->early);
    filter_free(&p->late);
    profile_close(p);
    cell_free(&p->cell);
}

/* ---- put on by the helper ------------------------------------------------ */

static int
join(const struct profile *p)
{
    return p->layers & LAYER_NAMESPACES ? cell_join(&p->cell) : 0;
}

/* Joining comes first, for it needs all rights; then what takes rights away,
 * from the outside to the inside.  The user's change clears PDEATHSIG. */
static int
become(struct profile *p, const char **step)
{
    unsigned id = geteuid();
    pid_t parent = getppid();
    pid_t outer = p->outer > 0 ? p->outer : self_outer_pid(p->proc);
    *step = "address space";
    if (!p->begun && self_mapped(&p->mapped) != 0)
        return E_SYS;
    *step = "process id";
    if ((p->layers & LAYER_OWN_UID) && outer <= 0)
        return E_SYS;
    if (p->layers & LAYER_OWN_UID)
        id = SELF_FIRST_UID + (unsigned)outer;
    *step = "namespaces";
    if (!p->begun && join(p) != 0)
        return E_SYS;
    if ((p->layers & LAYER_NAMESPACES) && cell_own_tmp(&p->policy, id) != 0)
        return E_SYS;
    *step = "limits";
    if (self_limit(&p->policy, p->mapped) != 0)
        return E_SYS;
    if (p->policy.level == LEVEL_TRUSTED)
        return 0;
    if (!p->begun)
        self_drop_bounding();
    *step = "user";
    if ((p->layers & LAYER_OWN_UID) && self_change_user(id) != 0)
        return E_SYS;
    *step = "counts";
    if (p->cell.fds[CELL_USER] >= 0 && self_own_count() != 0)
        return E_SYS;
    if (((p->layers & LAYER_OWN_UID) || p->cell.fds[CELL_USER] >= 0) &&
        self_limit_counts(&p->policy) != 0)
        return E_SYS;
    *step = "capabilities";
    if (self_drop_capabilities() != 0)
        return E_SYS;
    umask(077);
    *step = "directory";
    if (chdir("/") != 0)
        return E_SYS;
    *step = "parent";
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent ? 0
                                                                        : E_SYS;
}

/* A /tmp of its own is in nobody else's ruleset. */
static int
restrict_files(const struct profile *p)
{
    const char *bad;
    int own = -1;
    if (p->policy.tmp_bytes == 0)
        return landlock_restrict(p->landlock);
    int e =
        landlock_ruleset(&p->policy, &p->host->readable, p->abi, 1, &own, &bad);
    if (e == 0)
        e = landlock_restrict(own);
    io_close(&own);
    return e;
}

static int
install_filters(struct profile *p)
{
    struct sock_filter selfkill[SELFKILL_COUNT];
    if (p->begun) {
        filter_of(&p->late, getpid());
        return filter_install(p->late.code, p->late.count);
    }
    selfkill_make(selfkill, getpid());
    int e = filter_install(selfkill, SELFKILL_COUNT);
    return e != 0 ? e : filter_install(p->filter.code, p->filter.count);
}

static int
shut(struct profile *p, const char **step)
{
    *step = "no_new_privs";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return E_SYS;
    *step = "landlock";
    if (p->landlock >= 0 && restrict_files(p) != 0)
        return E_SYS;
    *step = "seccomp";
    return p->layers & LAYER_SECCOMP ? install_filters(p) : 0;
}

static int
can_open_root(void)
{
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), can = fd >= 0;
    io_close(&fd);
    return can;
}

static int
can_open_netlink(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW, 0), can = fd >= 0;
    io_close(&fd);
    return can;
}

/* A wall that does not stand is worse than none: try each. */
static int
prove(const struct profile *p, const char **step)
{
    *step = "proof of landlock";
    errno = EINVAL;
    int granted = p->policy.read.count + p->policy.write.count > 0;
    if ((p->layers & LAYER_LANDLOCK) && !granted && can_open_root())
        return E_SYS;
    *step = "proof of namespaces";
    if ((p->layers & LAYER_NAMESPACES) && access("/proc/self", F_OK) == 0)
        return E_SYS;
    *step = "proof of process ids"; /* our parent has none here */
    if ((p->layers & LAYER_PIDS) && getppid() != 0)
        return E_SYS;
    *step = "proof of seccomp";
    if ((p->layers & LAYER_SECCOMP) &&
        (kill(getppid(), 0) == 0 || can_open_netlink()))
        return E_SYS;
    return 0;
}

void
profile_close(struct profile *p)
{
    io_close(&p->landlock);
    io_close(&p->proc);
    cell_close(&p->cell);
}

/* Without a filter, or one that can be split, there is little to begin with. */
int
profile_begin(struct profile *p)
{
    if (p->policy.level == LEVEL_TRUSTED || p->early.count == 0)
        return 0;
    p->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (p->proc < 0 || self_mapped(&p->mapped) != 0 || join(p) != 0)
        return E_SYS;
    self_drop_bounding();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return E_SYS;
    p->begun = 1;
    return filter_install(p->early.code, p->early.count);
}

int
profile_apply(struct profile *p, char *why, size_t n)
{
    const char *step = "";
    int e = become(p, &step);
    if (e == 0)
        e = shut(p, &step);
    if (e == 0)
        e = prove(p, &step);
    if (e != 0)
        snprintf(why, n, "sandbox: %s: %s", step, strerror(errno));
    profile_close(p);
    return e;
}
