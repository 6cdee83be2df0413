/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "io.h"

/* So often what is in a group of version 1 is looked for, to be ended. */
enum { ROUNDS = 16 };

/* Processes of who may have one thread, by other means than this. */
enum { BEFORE_LOCK = 17 };

static const char prefix[] = "terrarium.";

static int
make_directory(int at, const char *name)
{
    return mkdirat(at, name, 0755);
}

static int
drop_directory(int at, const char *name)
{
    return unlinkat(at, name, AT_REMOVEDIR);
}

static const struct cgroup_ways kernel_ways = {make_directory, drop_directory};

void
cgroup_host_init(struct cgroup_host *h, const char *root)
{
    memset(h, 0, sizeof *h);
    h->root = root;
    h->ways = &kernel_ways;
    h->owner = getpid();
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        h->places[i].fd = -1;
}

void
cgroup_host_close(struct cgroup_host *h)
{
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        io_close(&h->places[i].fd);
    h->count = 0;
}

/* ---- names and files ----------------------------------------------------- */

static void
name_of(const struct cgroup_host *h, const struct cgroup *g,
        char name[CGROUP_NAME])
{
    snprintf(name, CGROUP_NAME, "%s%d.%u", prefix, (int)h->owner, g->number);
}

int
cgroup_open(const struct cgroup_host *h, const struct cgroup_place *p,
            const struct cgroup *g)
{
    char name[CGROUP_NAME];
    name_of(h, g, name);
    return openat(p->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int
cgroup_write(int at, const char *file, const char *text)
{
    int fd = openat(at, file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return E_SYS;
    int e = io_write_all(fd, text, strlen(text));
    close(fd);
    return e == 0 ? 0 : E_SYS;
}

static int
write_number(int at, const char *file, uint64_t v)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    return cgroup_write(at, file, text);
}

size_t
cgroup_text(int at, const char *file, char *text, size_t n)
{
    int fd = openat(at, file, O_RDONLY | O_CLOEXEC);
    ssize_t k = fd < 0 ? -1 : read(fd, text, n - 1);
    io_close(&fd);
    text[k > 0 ? k : 0] = 0;
    return k > 0 ? (size_t)k : 0;
}

/* ---- limits -------------------------------------------------------------- */

static uint64_t
most_memory(const struct policy *p)
{
    return p->memory + p->tmp_bytes + CGROUP_MARGIN;
}

/* Threads are processes to this controller; the first is the helper's own. */
static uint64_t
most_processes(const struct policy *p)
{
    if (p->procs != POLICY_NO_LIMIT)
        return p->procs + 1;
    if (p->level == LEVEL_TRUSTED)
        return p->thread_count == POLICY_NO_LIMIT ? 0 : p->thread_count + 1;
    /* A module may start some, and end them, before the lock. */
    if (!p->threads)
        return BEFORE_LOCK;
    return p->thread_count == POLICY_NO_LIMIT ? 0 : p->thread_count + 1;
}

int
cgroup_is_of_use(const struct policy *p)
{
    return p->memory != POLICY_NO_LIMIT || most_processes(p) != 0;
}

/* Without swap's accounting there is no file for it, and then no limit that
 * could be passed by swapping is known to this kernel. */
static int
limit_memory(int at, int version, uint64_t bytes)
{
    if (version == 1) {
        int e = write_number(at, "memory.limit_in_bytes", bytes);
        if (e == 0 &&
            faccessat(at, "memory.memsw.limit_in_bytes", W_OK, 0) == 0)
            e = write_number(at, "memory.memsw.limit_in_bytes", bytes);
        return e;
    }
    int e = write_number(at, "memory.max", bytes);
    if (e == 0 && faccessat(at, "memory.swap.max", W_OK, 0) == 0)
        e = write_number(at, "memory.swap.max", 0);
    if (e == 0 && faccessat(at, "memory.oom.group", W_OK, 0) == 0)
        e = write_number(at, "memory.oom.group", 1);
    return e;
}

static int
limit(int at, const struct cgroup_place *place, const struct policy *p)
{
    int e = 0;
    uint64_t processes = most_processes(p);
    if ((place->controllers & 1u << CGROUP_MEMORY) &&
        p->memory != POLICY_NO_LIMIT)
        e = limit_memory(at, place->version, most_memory(p));
    if (e == 0 && (place->controllers & 1u << CGROUP_PIDS) && processes != 0)
        e = write_number(at, "pids.max", processes);
    return e;
}

/* ---- one group ----------------------------------------------------------- */

static int
make_at(struct cgroup_host *h, const struct cgroup_place *place,
        const struct policy *p, const struct cgroup *g)
{
    char name[CGROUP_NAME];
    name_of(h, g, name);
    if (h->ways->make(place->fd, name) != 0)
        return E_SYS;
    int at = cgroup_open(h, place, g);
    int e = at < 0 ? E_SYS : limit(at, place, p);
    int saved = errno;
    io_close(&at);
    errno = saved;
    return e;
}

int
cgroup_make(struct cgroup_host *h, const struct policy *p, struct cgroup *g)
{
    int e = 0;
    g->number = ++h->last;
    for (int i = 0; e == 0 && i < h->count; i++)
        e = make_at(h, &h->places[i], p, g);
    if (e != 0) {
        int saved = errno;
        (void)cgroup_remove(h, g); /* it is empty */
        g->number = 0;
        errno = saved;
    }
    return e;
}

/* Moving a process, the kernel waits until no processor is in an old section of
 * its own, which takes milliseconds.  Moving one's own thread it does not, but
 * by version 2 a thread can not be moved alone. */
static int
open_door(const struct cgroup_host *h, const struct cgroup_place *p,
          const struct cgroup *g)
{
    const char *file = p->version == 1 ? "tasks" : "cgroup.procs";
    char name[CGROUP_NAME], path[2 * CGROUP_NAME];
    name_of(h, g, name);
    snprintf(path, sizeof path, "%s/%s", name, file);
    return openat(p->fd, path, O_WRONLY | O_CLOEXEC);
}

int
cgroup_doors(const struct cgroup_host *h, const struct cgroup *g,
             int doors[CGROUP_CONTROLLERS])
{
    int n = g->number == 0 ? 0 : h->count;
    for (int i = 0; i < n; i++) {
        doors[i] = open_door(h, &h->places[i], g);
        if (doors[i] >= 0)
            continue;
        int saved = errno;
        while (i > 0)
            io_close(&doors[--i]);
        errno = saved;
        return E_SYS;
    }
    return n;
}

int
cgroup_go(int door)
{
    return write(door, "0", 1) == 1 ? 0 : E_SYS;
}

int
cgroup_join(const struct cgroup_host *h, const struct cgroup *g)
{
    int doors[CGROUP_CONTROLLERS], e = 0;
    int n = cgroup_doors(h, g, doors);
    for (int i = 0; i < n; i++) {
        if (e == 0)
            e = cgroup_go(doors[i]);
        int saved = errno;
        io_close(&doors[i]);
        errno = saved;
    }
    return n < 0 ? n : e;
}

/* ---- its end ------------------------------------------------------------- */

size_t
cgroup_pids(int at, pid_t pids[CGROUP_PIDS_READ])
{
    char text[4096];
    size_t n = 0;
    cgroup_text(at, "cgroup.procs", text, sizeof text);
    for (char *s = text; *s >= '0' && *s <= '9' && n < CGROUP_PIDS_READ;) {
        long pid = strtol(s, &s, 10);
        if (*s++ != '\n') /* cut off by the end of the buffer */
            break;
        pids[n++] = (pid_t)pid;
    }
    return n;
}

/* Nothing new can begin, so what is there is fewer each time. */
static void
kill_listed(int at)
{
    pid_t pids[CGROUP_PIDS_READ];
    size_t n = CGROUP_PIDS_READ;
    for (int round = 0; round < ROUNDS && n > 0; round++) {
        n = cgroup_pids(at, pids);
        for (size_t i = 0; i < n; i++)
            if (pids[i] > 1)
                kill(pids[i], SIGKILL);
    }
}

static void
kill_all(const struct cgroup_host *h, const struct cgroup *g)
{
    for (int i = h->count; i-- > 0;) {
        int at = cgroup_open(h, &h->places[i], g);
        if (at < 0)
            continue;
        if (h->places[i].controllers & 1u << CGROUP_PIDS)
            (void)cgroup_write(at, "pids.max", "0");
        if (cgroup_write(at, "cgroup.kill", "1") != 0)
            kill_listed(at);
        close(at);
    }
}

static int
drop_all(const struct cgroup_host *h, const struct cgroup *g)
{
    char name[CGROUP_NAME];
    int e = 0;
    name_of(h, g, name);
    for (int i = 0; i < h->count; i++)
        if (h->ways->drop(h->places[i].fd, name) != 0 && errno != ENOENT)
            e = E_AGAIN;
    return e;
}

int
cgroup_remove(const struct cgroup_host *h, struct cgroup *g)
{
    int e = drop_all(h, g);
    if (e != 0) {
        kill_all(h, g);
        e = drop_all(h, g);
    }
    if (e == 0)
        g->number = 0;
    return e;
}

/* ---- trying it ----------------------------------------------------------- */

/* Is it the name of a group of a process that is gone?  Our own number, before
 * we have made any, was that of one before us. */
static int
is_orphan(const struct cgroup_host *h, const char *name)
{
    char *end;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return 0;
    long pid = strtol(name + sizeof prefix - 1, &end, 10);
    if (pid <= 0 || *end != '.')
        return 0;
    return pid == h->owner || (kill((pid_t)pid, 0) != 0 && errno == ESRCH);
}

/* Only empty ones go: what is in one may belong to a process that has another
 * number elsewhere. */
static void
drop_orphans(const struct cgroup_host *h, int place)
{
    int fd =
        openat(h->places[place].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        io_close(&fd);
        return;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (is_orphan(h, e->d_name))
            (void)h->ways->drop(h->places[place].fd, e->d_name);
    closedir(d);
}

/* A child enters a group as a helper would. */
static int
try_to_join(const struct cgroup_host *h, const struct cgroup *g)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(cgroup_join(h, g) == 0 ? 0 : errno != 0 ? errno & 0x7f : 1);
    if (child < 0)
        return E_SYS;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
    return errno == 0 ? 0 : E_SYS;
}

/* Limits that any helper fits in. */
static int
try_a_group(struct cgroup_host *h)
{
    struct policy p = {.level = LEVEL_TRUSTED, .procs = 100};
    struct cgroup g;
    p.memory = (uint64_t)1 << 40;
    int e = cgroup_make(h, &p, &g);
    if (e != 0)
        return e;
    e = try_to_join(h, &g);
    int saved = errno;
    for (int i = 0; i < ROUNDS && cgroup_remove(h, &g) == E_AGAIN; i++)
        usleep(1000);
    errno = saved;
    return e;
}

int
cgroup_host_probe(struct cgroup_host *h, char *why, size_t n)
{
    if (h->probed == 0) {
        int e = cgroup_find(h);
        for (int i = 0; e == 0 && i < h->count; i++)
            drop_orphans(h, i);
        if (e == 0 && (e = try_a_group(h)) != 0)
            snprintf(h->why_not, sizeof h->why_not, "control groups: %s",
                     strerror(errno));
        if (e != 0)
            cgroup_host_close(h);
        h->probed = e == 0 ? 1 : -1;
    }
    if (h->probed > 0)
        return 0;
    snprintf(why, n, "%s", h->why_not);
    return E_REFUSED;
}
