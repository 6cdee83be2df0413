/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mem.h"

/* ---- parsing ------------------------------------------------------------ */

/* The table's line for an argument; *value is what stands behind a '='. */
static const struct args_option *
find(const struct args_option *table, size_t count, const char *arg,
     const char **value)
{
    size_t len = strcspn(arg, "=");
    *value = arg[len] == '=' ? arg + len + 1 : NULL;
    for (size_t i = 0; i < count; i++) {
        if (strlen(table[i].name) == len &&
            memcmp(table[i].name, arg, len) == 0)
            return &table[i];
    }
    return NULL;
}

static int
apply(const struct args_option *o, void *target, const char *value, char *why,
      size_t n)
{
    char reason[256] = "";
    int e = o->set(target, value, reason, sizeof reason);
    if (e != 0)
        snprintf(why, n, "%s: %s", o->name,
                 reason[0] != 0 ? reason : err_str(e));
    return e;
}

/* One option at argv[*at]; *at moves behind it and its value. */
static int
parse_one(const struct args_option *table, size_t count, void *target, int argc,
          char **argv, int *at, char *why, size_t n)
{
    const char *arg = argv[*at], *value;
    const struct args_option *o = find(table, count, arg, &value);
    if (o == NULL) {
        snprintf(why, n, "unknown option %s", arg);
        return E_ARG;
    }
    (*at)++;
    if (o->value == NULL && value != NULL) {
        snprintf(why, n, "%s takes no value", o->name);
        return E_ARG;
    }
    if (o->value != NULL && value == NULL) {
        if (*at >= argc) {
            snprintf(why, n, "%s needs a value (%s)", o->name, o->value);
            return E_ARG;
        }
        value = argv[(*at)++];
    }
    return apply(o, target, value, why, n);
}

int
args_parse(const struct args_option *table, size_t count, void *target,
           int argc, char **argv, int *at, int *dashes, char *why, size_t n)
{
    if (dashes != NULL)
        *dashes = 0;
    while (*at < argc && argv[*at][0] == '-' && argv[*at][1] != 0) {
        if (strcmp(argv[*at], "--") == 0) {
            (*at)++;
            if (dashes != NULL)
                *dashes = 1;
            return 0;
        }
        int e = parse_one(table, count, target, argc, argv, at, why, n);
        if (e != 0)
            return e;
    }
    return 0;
}

void
args_help(FILE *to, const struct args_option *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char left[40];
        const char *value = table[i].value;
        snprintf(left, sizeof left, "%s%s%s", table[i].name,
                 value != NULL ? " " : "", value != NULL ? value : "");
        fprintf(to, "  %-24s %s\n", left, table[i].help);
    }
}

int
args_number(const char *value, unsigned long min, unsigned long max,
            unsigned long *out, char *why, size_t n)
{
    char *end = NULL;
    errno = 0;
    unsigned long v = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != 0 || errno != 0 ||
        v < min || v > max) {
        snprintf(why, n, "'%.60s' is not a number from %lu to %lu", value, min,
                 max);
        return E_ARG;
    }
    *out = v;
    return 0;
}

/* ---- lists -------------------------------------------------------------- */

static int
append(struct args_list *l, char *s, char owned)
{
    char **v = mem_realloc(l->v, (l->count + 2) * sizeof *v);
    if (v == NULL)
        return E_NOMEM;
    l->v = v;
    char *flags = mem_realloc(l->owned, l->count + 1);
    if (flags == NULL)
        return E_NOMEM;
    l->owned = flags;
    l->owned[l->count] = owned;
    l->v[l->count++] = s;
    l->v[l->count] = NULL;
    return 0;
}

int
args_list_add(struct args_list *l, const char *s)
{
    return append(l, (char *)s, 0);
}

int
args_list_dup(struct args_list *l, const char *s, size_t n)
{
    char *copy = mem_alloc(n + 1);
    if (copy == NULL)
        return E_NOMEM;
    memcpy(copy, s, n);
    copy[n] = 0;
    int e = append(l, copy, 1);
    if (e != 0)
        mem_free(copy);
    return e;
}

void
args_list_free(struct args_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->owned[i])
            mem_free(l->v[i]);
    }
    mem_free(l->v);
    mem_free(l->owned);
    *l = (struct args_list){0};
}
