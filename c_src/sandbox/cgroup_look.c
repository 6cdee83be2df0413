/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_look.c - what a group says of those who were in it. */
#include "cgroup.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"

/* Bytes below a limit that are still at it. */
enum { NEARLY = 4 << 20 };

/* Bytes that may still be charged to a group that goes to the next: what the
 * kernel keeps ready for each processor, and has not freed yet. */
enum { LEFT = 2 << 20 };

/* ---- numbers ------------------------------------------------------------- */

/* What follows key at the beginning of a line; NULL: no line is like that. */
static const char *
line_with(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *line = text; line != NULL && *line != 0;) {
        if (strncmp(line, key, n) == 0)
            return line + n;
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return NULL;
}

unsigned long long
cgroup_read(int at, const char *file, const char *key)
{
    char text[1024];
    cgroup_text(at, file, text, sizeof text);
    const char *found = line_with(text, key);
    return found != NULL ? strtoull(found, NULL, 10) : 0;
}

/* ---- the end of one ------------------------------------------------------ */

static int
has_failed(int at)
{
    return cgroup_read(at, "memory.failcnt", "") > 0 ||
           cgroup_read(at, "memory.memsw.failcnt", "") > 0;
}

/* Newer kernels do not count failures; what did not fit may have been a huge
 * page.  So this much and no more is had by who was never at the limit. */
static unsigned long long
below_limit(int at)
{
    unsigned long long limit = cgroup_read(at, "memory.limit_in_bytes", "");
    return limit > NEARLY ? limit - NEARLY - 1 : 0;
}

static int
was_at_limit(int at)
{
    return has_failed(at) ||
           cgroup_read(at, "memory.max_usage_in_bytes", "") > below_limit(at);
}

/* Few are killed like that, and the rest is only asked of those. */
static void
look_at(int at, int version, struct cgroup_end *end)
{
    const char *file = version == 1 ? "memory.oom_control" : "memory.events";
    end->was_killed = cgroup_read(at, file, "oom_kill ") > 0;
    if (end->was_killed)
        end->was_full =
            version == 1 ? was_at_limit(at) : cgroup_read(at, file, "oom ") > 0;
}

void
cgroup_look(const struct cgroup_host *h, const struct cgroup *g,
            struct cgroup_end *end)
{
    *end = (struct cgroup_end){0};
    for (int i = 0; i < h->count; i++) {
        const struct cgroup_place *p = &h->places[i];
        int at =
            p->controllers & 1u << CGROUP_MEMORY ? cgroup_open(h, p, g) : -1;
        if (at < 0)
            continue;
        look_at(at, p->version, end);
        close(at);
    }
}

/* ---- another one in it --------------------------------------------------- */

/* Is the number after each of the keys at most this?  No, where one is not
 * there. */
static int
are_at_most(int at, const char *file, const char *const *keys,
            unsigned long long most)
{
    char text[1024];
    if (cgroup_text(at, file, text, sizeof text) == 0)
        return 0;
    for (; *keys != NULL; keys++) {
        const char *found = line_with(text, *keys);
        if (found == NULL || strtoull(found, NULL, 10) > most)
            return 0;
    }
    return 1;
}

static const char *const first[] = {"", NULL};

static int
memory_is_spotless(int at, int version)
{
    static const char *const events[] = {"max ", "oom ", "oom_kill ", NULL};
    static const char *const kills[] = {"oom_kill ", NULL};
    if (version == 2)
        return are_at_most(at, "memory.current", first, LEFT) &&
               are_at_most(at, "memory.events", events, 0);
    return are_at_most(at, "memory.usage_in_bytes", first, LEFT) &&
           are_at_most(at, "memory.oom_control", kills, 0) && !has_failed(at) &&
           are_at_most(at, "memory.max_usage_in_bytes", first, below_limit(at));
}

/* Who was in one place was in all of them; only `pids' also counts who is dead
 * and waits to be reaped. */
int
cgroup_is_spotless(const struct cgroup_host *h, const struct cgroup *g)
{
    int is = 1, counted = 0;
    for (int i = 0; is && i < h->count; i++) {
        const struct cgroup_place *p = &h->places[i];
        int at = cgroup_open(h, p, g);
        is = at >= 0;
        if (is && (p->controllers & 1u << CGROUP_PIDS)) {
            is = are_at_most(at, "pids.current", first, 0);
            counted = 1;
        }
        if (is && (p->controllers & 1u << CGROUP_MEMORY))
            is = memory_is_spotless(at, p->version);
        io_close(&at);
    }
    return is && counted;
}
