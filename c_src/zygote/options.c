/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <limits.h>
#include <stdio.h>

#include "err.h"

static int
set_control(void *target, const char *value, char *why, size_t n)
{
    struct zygote_options *o = target;
    unsigned long fd;
    int e = args_number(value, 3, INT_MAX, &fd, why, n);
    if (e == 0)
        o->control = (int)fd;
    return e;
}

static int
set_name(void *target, const char *value, char *why, size_t n)
{
    (void)why, (void)n;
    ((struct zygote_options *)target)->name = value;
    return 0;
}

static int
set_executable(void *target, const char *value, char *why, size_t n)
{
    (void)why, (void)n;
    ((struct zygote_options *)target)->executable = value;
    return 0;
}

static int
add_preload(void *target, const char *value, char *why, size_t n)
{
    (void)why, (void)n;
    return args_list_add(&((struct zygote_options *)target)->preload, value);
}

static int
add_path(void *target, const char *value, char *why, size_t n)
{
    (void)why, (void)n;
    return args_list_add(&((struct zygote_options *)target)->paths, value);
}

static int
set_spares(void *target, const char *value, char *why, size_t n)
{
    struct zygote_options *o = target;
    unsigned long v;
    int e = args_number(value, 0, ZYGOTE_MAX_SPARES, &v, why, n);
    if (e == 0)
        o->spares = (unsigned)v;
    return e;
}

static const struct args_option table[] = {
    {"--control", "FD", set_control, "descriptor of the control socket"},
    {"--name", "NAME", set_name, "of the runtime, for messages"},
    {"--executable", "PYTHON", set_executable, "sys.executable"},
    {"--preload", "MODULE", add_preload, "import it before any fork"},
    {"--path", "DIR", add_path, "put it before sys.path"},
    {"--spares", "N", set_spares, "helpers to keep forked ahead"},
};

int
zygote_options_parse(struct zygote_options *o, int argc, char **argv, char *why,
                     size_t n)
{
    int at = 1;
    *o = (struct zygote_options){
        .control = -1, .name = "default", .spares = ZYGOTE_DEFAULT_SPARES};
    int e = args_parse(table, sizeof table / sizeof table[0], o, argc, argv,
                       &at, NULL, why, n);
    if (e != 0)
        return e;
    if (at != argc) {
        snprintf(why, n, "unexpected argument %s", argv[at]);
        return E_ARG;
    }
    if (o->control < 0) {
        snprintf(why, n, "--control FD is needed");
        return E_ARG;
    }
    return 0;
}

void
zygote_options_free(struct zygote_options *o)
{
    args_list_free(&o->preload);
    args_list_free(&o->paths);
}
