/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include <stdio.h>
#include <string.h>

#include "err.h"
#include "mem.h"

enum { MOST_PORTS = 1024 };

struct reader {
    struct policy *policy;
    const struct ctl_map *map;
    char *why;
    size_t n;
};

static int
bad(const struct reader *r, const char *key, const char *what)
{
    snprintf(r->why, r->n, "policy: %s: %s", key, what);
    return E_FORMAT;
}

static int
read_level(struct reader *r)
{
    static const char *const names[] = {"trusted", "default", "strict"};
    const char *s;
    size_t n;
    if (!ctl_get_bytes(r->map, "level", &s, &n))
        return bad(r, "level", "missing, or no text");
    for (int i = 0; i < 3; i++) {
        if (strlen(names[i]) == n && memcmp(names[i], s, n) == 0) {
            r->policy->level = (enum policy_level)i;
            return 0;
        }
    }
    return bad(r, "level", "unknown");
}

/* By default they are forked. */
static int
read_spawn(struct reader *r)
{
    const char *s;
    size_t n;
    if (!ctl_has(r->map, "spawn"))
        return 0;
    if (!ctl_get_bytes(r->map, "spawn", &s, &n))
        return bad(r, "spawn", "no text");
    r->policy->exec = n == 4 && memcmp(s, "exec", 4) == 0;
    return r->policy->exec || (n == 4 && memcmp(s, "fork", 4) == 0)
               ? 0
               : bad(r, "spawn", "neither fork nor exec");
}

/* ---- lists --------------------------------------------------------------- */

/* `each' gets every text of the list under key. */
static int
read_list(struct reader *r, const char *key,
          int (*each)(struct reader *, void *, const char *, const char *,
                      size_t),
          void *to)
{
    size_t count = ctl_list_len(r->map, key);
    if (ctl_has(r->map, key) && !ctl_is_list(r->map, key))
        return bad(r, key, "not a list");
    for (size_t i = 0; i < count; i++) {
        const char *s;
        size_t n;
        if (!ctl_list_bytes(r->map, key, i, &s, &n))
            return bad(r, key, "holds what is no text");
        int e = each(r, to, key, s, n);
        if (e != 0)
            return e;
    }
    return 0;
}

/* A layer that we do not know can not hold: refuse rather than leave out. */
static int
add_layer(struct reader *r, void *to, const char *key, const char *s, size_t n)
{
    unsigned bit = layer_named(s, n);
    if (bit == 0)
        return bad(r, key, "no such layer");
    *(unsigned *)to |= bit;
    return 0;
}

static int
add_path(struct reader *r, void *to, const char *key, const char *s, size_t n)
{
    if (n == 0 || s[0] != '/' || memchr(s, 0, n) != NULL)
        return bad(r, key, "not an absolute path");
    return args_list_dup(to, s, n);
}

static int
add_name(struct reader *r, void *to, const char *key, const char *s, size_t n)
{
    if (n == 0 || memchr(s, 0, n) != NULL)
        return bad(r, key, "not a name");
    return args_list_dup(to, s, n);
}

/* In decimal, since lists hold texts (ctl.h). */
static int
add_port(struct reader *r, void *to, const char *key, const char *s, size_t n)
{
    struct policy *p = to;
    char text[8] = "", why[64];
    unsigned long v;
    if (n >= sizeof text)
        return bad(r, key, "not a port");
    memcpy(text, s, n);
    if (args_number(text, 1, 65535, &v, why, sizeof why) != 0)
        return bad(r, key, "not a port");
    if (p->port_count == MOST_PORTS) {
        (void)bad(r, key, "too many");
        return E_LIMIT;
    }
    if (p->ports == NULL)
        p->ports = mem_alloc(MOST_PORTS * sizeof *p->ports);
    if (p->ports == NULL)
        return E_NOMEM;
    p->ports[p->port_count++] = (uint16_t)v;
    return 0;
}

static int
read_lists(struct reader *r)
{
    struct policy *p = r->policy;
    int e = read_list(r, "require", add_layer, &p->require);
    if (e == 0)
        e = read_list(r, "without", add_layer, &p->without);
    if (e == 0)
        e = read_list(r, "read", add_path, &p->read);
    if (e == 0)
        e = read_list(r, "write", add_path, &p->write);
    if (e == 0)
        e = read_list(r, "import", add_path, &p->import);
    if (e == 0)
        e = read_list(r, "preload", add_name, &p->preload);
    if (e == 0)
        e = read_list(r, "connect", add_port, p);
    return e;
}

/* ---- scalars ------------------------------------------------------------- */

static int
read_flags(struct reader *r)
{
    struct policy *p = r->policy;
    const struct {
        const char *key;
        int *to;
    } flags[] = {{"threads", &p->threads},
                 {"exec_memory", &p->exec_memory},
                 {"diagnose", &p->diagnose}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (ctl_has(r->map, flags[i].key) &&
            !ctl_get_bool(r->map, flags[i].key, flags[i].to))
            return bad(r, flags[i].key, "neither true nor false");
    return 0;
}

static int
read_numbers(struct reader *r)
{
    struct policy *p = r->policy;
    const struct {
        const char *key;
        uint64_t *to;
    } numbers[] = {{"tmp", &p->tmp_bytes},
                   {"memory", &p->memory},
                   {"address_space", &p->address_space},
                   {"open_files", &p->open_files},
                   {"file_bytes", &p->file_bytes},
                   {"thread_count", &p->thread_count},
                   {"cpu_ms", &p->cpu_ms},
                   {"procs", &p->procs}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (!ctl_has(r->map, numbers[i].key))
            continue;
        if (!ctl_get_uint(r->map, numbers[i].key, numbers[i].to) ||
            *numbers[i].to == 0)
            return bad(r, numbers[i].key, "not a positive number");
    }
    return 0;
}

int
policy_read(struct policy *p, const struct ctl_map *m, char *why, size_t n)
{
    struct reader r = {p, m, why, n};
    memset(p, 0, sizeof *p);
    int e = read_level(&r);
    if (e == 0)
        e = read_spawn(&r);
    if (e == 0)
        e = read_flags(&r);
    if (e == 0)
        e = read_numbers(&r);
    if (e == 0)
        e = read_lists(&r);
    if (e == E_NOMEM)
        snprintf(why, n, "policy: %s", err_str(e));
    if (e != 0)
        policy_free(p);
    return e;
}

void
policy_free(struct policy *p)
{
    args_list_free(&p->read);
    args_list_free(&p->write);
    args_list_free(&p->import);
    args_list_free(&p->preload);
    mem_free(p->ports);
    p->ports = NULL;
    p->port_count = 0;
}
