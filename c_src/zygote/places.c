/* SPDX-License-Identifier: Apache-2.0 */
#include "places.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "err.h"
#include "io.h"
#include "mem.h"

enum { LISTS = 3 };

static const struct args_list *
list(const struct policy *policy, int i)
{
    const struct args_list *const lists[LISTS] = {&policy->read, &policy->write,
                                                  &policy->import};
    return lists[i];
}

int
places_open(struct places *p, const struct policy *policy)
{
    size_t count = 0;
    *p = (struct places){NULL, 0};
    for (int i = 0; i < LISTS; i++)
        count += list(policy, i)->count;
    if (count == 0)
        return 0;
    p->fds = mem_alloc(count * sizeof *p->fds);
    if (p->fds == NULL)
        return E_NOMEM;
    for (int i = 0; i < LISTS; i++)
        for (size_t k = 0; k < list(policy, i)->count; k++)
            p->fds[p->count++] =
                open(list(policy, i)->v[k], O_PATH | O_CLOEXEC);
    return 0;
}

static int
is_at(int fd, const char *path)
{
    struct stat held, found;
    int is_there = stat(path, &found) == 0;
    if (fd < 0 || !is_there)
        return fd < 0 && !is_there;
    return fstat(fd, &held) == 0 && held.st_dev == found.st_dev &&
           held.st_ino == found.st_ino;
}

int
places_moved(const struct places *p, const struct policy *policy)
{
    size_t at = 0;
    for (int i = 0; i < LISTS && at < p->count; i++)
        for (size_t k = 0; k < list(policy, i)->count; k++)
            if (!is_at(p->fds[at++], list(policy, i)->v[k]))
                return 1;
    return 0;
}

void
places_close(struct places *p)
{
    for (size_t i = 0; i < p->count; i++)
        io_close(&p->fds[i]);
}

void
places_free(struct places *p)
{
    places_close(p);
    mem_free(p->fds);
    *p = (struct places){NULL, 0};
}
