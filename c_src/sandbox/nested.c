/* SPDX-License-Identifier: Apache-2.0 */
/* nested.c - the way of a path is gone here as the kernel goes it, name by name
 * and link by link, up to the first directory that may be written: what is
 * behind it has been somebody else's to change. */
#include "nested.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "io.h"
#include "mem.h"

enum { MOST_LINKS = 40 };

/* What may be written. */
struct places {
    struct stat *all;
    size_t count;
};

/* Somebody on the way: the directory, and the names that are left. */
struct way {
    int at;
    char rest[PATH_MAX];
    int links;
};

static int
is_one_of(const struct places *w, int fd)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return 0;
    for (size_t i = 0; i < w->count; i++)
        if (w->all[i].st_dev == s.st_dev && w->all[i].st_ino == s.st_ino)
            return 1;
    return 0;
}

/* Take the next name; 0: there is none. */
static int
next_name(struct way *way, char name[NAME_MAX + 1])
{
    const char *from = way->rest + strspn(way->rest, "/");
    size_t n = strcspn(from, "/");
    if (n == 0 || n > NAME_MAX)
        return 0;
    memcpy(name, from, n);
    name[n] = 0;
    memmove(way->rest, from + n, strlen(from + n) + 1);
    return 1;
}

static int
move_to(struct way *way, int fd)
{
    close(way->at);
    way->at = fd;
    return fd >= 0;
}

/* The link's target goes before what is left. */
static int
follow(struct way *way, int link)
{
    char target[PATH_MAX], rest[PATH_MAX];
    ssize_t n = readlinkat(link, "", target, sizeof target - 1);
    if (n <= 0 || ++way->links > MOST_LINKS)
        return 0;
    target[n] = 0;
    int k = snprintf(rest, sizeof rest, "%s%s", target, way->rest);
    if (k < 0 || (size_t)k >= sizeof rest)
        return 0;
    memcpy(way->rest, rest, (size_t)k + 1);
    return target[0] != '/' || move_to(way, open("/", O_PATH | O_CLOEXEC));
}

/* One name further; 0: it goes no further, and others will say why. */
static int
step(struct way *way, const char *name)
{
    struct stat s;
    int fd = openat(way->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (fstat(fd, &s) != 0 || !S_ISLNK(s.st_mode))
        return move_to(way, fd);
    int can = follow(way, fd);
    close(fd);
    return can;
}

static int
goes_through(const struct places *w, const char *path)
{
    char name[NAME_MAX + 1];
    struct way way = {.at = open("/", O_PATH | O_CLOEXEC)};
    int found = 0;
    if (way.at < 0 || strlen(path) >= sizeof way.rest) {
        io_close(&way.at);
        return 0;
    }
    memcpy(way.rest, path, strlen(path) + 1);
    while (way.at >= 0 && next_name(&way, name)) {
        if (strcmp(name, ".") == 0)
            continue;
        found = is_one_of(w, way.at);
        if (found || !step(&way, name))
            break;
    }
    io_close(&way.at);
    return found;
}

static void
filter(struct args_list *l, const struct places *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (goes_through(w, l->v[i])) {
            if (l->owned[i])
                mem_free(l->v[i]);
            continue;
        }
        l->owned[kept] = l->owned[i];
        l->v[kept++] = l->v[i];
    }
    l->count = kept;
    if (l->v != NULL)
        l->v[kept] = NULL;
}

/* One that is not there is an error of whoever opens it. */
int
nested_leave_out(struct policy *p)
{
    struct places w = {NULL, 0};
    if (p->write.count == 0)
        return 0;
    w.all = mem_alloc(p->write.count * sizeof *w.all);
    if (w.all == NULL)
        return E_NOMEM;
    for (size_t i = 0; i < p->write.count; i++)
        if (stat(p->write.v[i], &w.all[w.count]) == 0 &&
            S_ISDIR(w.all[w.count].st_mode))
            w.count++;
    filter(&p->read, &w);
    filter(&p->import, &w);
    filter(&p->write, &w);
    mem_free(w.all);
    return 0;
}
