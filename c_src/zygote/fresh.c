/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "fresh.h"
#include "fresh_main.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "err.h"
#include "handoff.h"
#include "helper.h"
#include "host.h"
#include "interp.h"
#include "io.h"
#include "lockup.h"
#include "mem.h"
#include "nested.h"
#include "self.h"
#include "shut.h"

/* As it lies in the memfd; both sides are the same program.  The policy's bytes
 * follow, then the filter's instructions. */
struct order {
    int fds[FRESH_FDS];
    int landlock;
    int cell[CELL_NAMESPACES];
    int abi;
    unsigned layers;
    size_t policy_size;
    size_t instructions;
};

void
fresh_close_others(const struct profile *p, const int fds[FRESH_FDS], int also)
{
    enum { OWN = FRESH_FDS + 2 };
    int keep[OWN + CELL_NAMESPACES];
    for (int i = 0; i < FRESH_FDS; i++)
        keep[i] = fds[i];
    keep[FRESH_FDS] = p->landlock;
    keep[FRESH_FDS + 1] = also;
    for (int i = 0; i < CELL_NAMESPACES; i++)
        keep[OWN + i] = p->cell.fds[i];
    shut_all_but(keep, sizeof keep / sizeof keep[0]);
}

/* ---- before the exec ----------------------------------------------------- */

static _Noreturn void
fail(const char *what)
{
    dprintf(STDERR_FILENO, "spawn exec: %s: %s\n", what, strerror(errno));
    _exit(HANDOFF_EXIT_SANDBOX);
}

/* The memfd, open across the exec. */
static int
write_order(const struct breed *b, const int fds[FRESH_FDS])
{
    const struct profile *p = &b->profile;
    struct order o = {.landlock = p->landlock,
                      .abi = p->abi,
                      .layers = p->layers,
                      .policy_size = b->key.len,
                      .instructions = p->filter.count};
    memcpy(o.fds, fds, sizeof o.fds);
    memcpy(o.cell, p->cell.fds, sizeof o.cell);
    int fd = memfd_create("terrarium-order", MFD_CLOEXEC);
    if (fd < 0 || io_write_all(fd, &o, sizeof o) != 0 ||
        io_write_all(fd, b->key.data, b->key.len) != 0 ||
        (p->filter.count > 0 &&
         io_write_all(fd, p->filter.code,
                      p->filter.count * sizeof *p->filter.code) != 0))
        fail("order");
    return fd;
}

static void
keep_open(int fd)
{
    if (fd >= 0 && io_set_cloexec(fd, 0) != 0)
        fail("descriptors");
}

_Noreturn void
fresh_exec(struct zygote *z, const struct breed *b, const int fds[FRESH_FDS])
{
    enum { MORE = 5 };
    char number[16];
    int order = write_order(b, fds);
    /* It was born in its user namespace, with all rights there. */
    if ((b->profile.layers & LAYER_PIDS) &&
        b->profile.cell.fds[CELL_USER] >= 0 && self_keep_capabilities() != 0)
        fail("capabilities");
    char **argv = calloc((size_t)z->argc + MORE, sizeof *argv);
    if (argv == NULL)
        fail("arguments");
    snprintf(number, sizeof number, "%d", order);
    int n = 0;
    argv[n++] = z->program;
    argv[n++] = "helper";
    for (int i = 1; i < z->argc; i++)
        argv[n++] = z->argv[i];
    argv[n++] = "--control";
    argv[n] = number;
    keep_open(order);
    for (int i = 0; i < FRESH_FDS; i++)
        keep_open(fds[i]);
    keep_open(b->profile.landlock);
    for (int i = 0; i < CELL_NAMESPACES; i++)
        keep_open(b->profile.cell.fds[i]);
    syscall(SYS_execveat, z->program_fd, "", argv, environ, AT_EMPTY_PATH);
    fail("execveat");
}

/* ---- after it ------------------------------------------------------------ */

static int
complain(const char *why, int status)
{
    fprintf(stderr, "terrarium_py helper: %s\n", why);
    return status;
}

static int
take_policy(struct profile *p, const uint8_t *bytes, size_t n, char *why,
            size_t cap)
{
    struct ctl_in in;
    struct ctl_map m;
    int e = ctl_open(&in, bytes, n, &m);
    if (e != 0)
        return e;
    e = policy_read(&p->policy, &m, why, cap);
    ctl_close(&in);
    return e != 0 ? e : nested_leave_out(&p->policy);
}

static int
take_filter(struct filter *f, const uint8_t *bytes, size_t count)
{
    size_t n = count * sizeof *f->code;
    if (count == 0)
        return 0;
    f->code = mem_alloc(n);
    if (f->code == NULL)
        return E_NOMEM;
    memcpy(f->code, bytes, n);
    f->count = count;
    return 0;
}

/* Nothing of it stays open for what is executed later, if anything may be. */
static void
close_on_exec(const struct order *o)
{
    for (int i = 0; i < FRESH_FDS; i++)
        (void)io_set_cloexec(o->fds[i], 1);
    (void)io_set_cloexec(o->landlock, 1);
    for (int i = 0; i < CELL_NAMESPACES; i++)
        (void)io_set_cloexec(o->cell[i], 1);
}

static int
take(struct breed *b, struct order *o, const uint8_t *p, size_t n, char *why,
     size_t cap)
{
    if (n < sizeof *o)
        return E_SHORT;
    memcpy(o, p, sizeof *o);
    size_t rest = n - sizeof *o;
    if (o->policy_size > rest ||
        rest - o->policy_size != o->instructions * sizeof(struct sock_filter))
        return E_FORMAT;
    close_on_exec(o);
    b->profile.landlock = o->landlock;
    b->profile.proc = -1;
    memcpy(b->profile.cell.fds, o->cell, sizeof o->cell);
    b->profile.abi = o->abi;
    b->profile.layers = o->layers;
    p += sizeof *o;
    int e = take_policy(&b->profile, p, o->policy_size, why, cap);
    return e != 0 ? e
                  : take_filter(&b->profile.filter, p + o->policy_size,
                                o->instructions);
}

static int
read_order(int fd, struct breed *b, struct order *o, char *why, size_t cap)
{
    struct stat s;
    int e = E_SYS;
    void *p = MAP_FAILED;
    if (fstat(fd, &s) == 0 && s.st_size > 0)
        p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p != MAP_FAILED) {
        e = take(b, o, p, (size_t)s.st_size, why, cap);
        munmap(p, (size_t)s.st_size);
    }
    close(fd);
    return e;
}

/* As the zygote's, but nobody will be forked from it. */
static int
start_python(const struct zygote_options *z, struct profile_host *host,
             char *why, size_t n)
{
    struct interp_options o = {.executable = z->executable,
                               .paths = z->paths.v,
                               .path_count = z->paths.count,
                               .preload = z->preload.v,
                               .preload_count = z->preload.count};
    int e = interp_init(&o, why, n);
    return e != 0 ? e : host_find(host);
}

/* What of this process is for ever: helper_main does not return. */
static struct {
    struct zygote_options options;
    struct profile_host host;
    struct breed breed;
} fresh;

int
fresh_main(int argc, char **argv)
{
    char why[4096] = "";
    struct order o;
    if (zygote_options_parse(&fresh.options, argc, argv, why, sizeof why) != 0)
        return complain(why, HANDOFF_EXIT_USAGE);
    cell_init(&fresh.breed.profile.cell);
    fresh.breed.profile.host = &fresh.host;
    int e =
        read_order(fresh.options.control, &fresh.breed, &o, why, sizeof why);
    if (e != 0)
        return complain(why[0] != 0 ? why : err_str(e), HANDOFF_EXIT_SANDBOX);
    if (start_python(&fresh.options, &fresh.host, why, sizeof why) != 0)
        return complain(why, HANDOFF_EXIT_INIT);
    if (fresh.breed.profile.policy.level != LEVEL_TRUSTED)
        fresh_close_others(&fresh.breed.profile, o.fds, -1);
    struct helper_lock lock = {lockup, &fresh.breed};
    helper_main(o.fds[FRESH_SOCKET], o.fds[FRESH_BLACKBOX], o.fds[FRESH_LANE],
                o.fds[FRESH_HATCH], &lock);
}
