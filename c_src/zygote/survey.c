/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "survey.h"

#include <stdio.h>

#include "handoff.h"
#include "host.h"
#include "interp.h"
#include "layers.h"
#include "profile.h"

static int
set_executable(void *target, const char *value, char *why, size_t n)
{
    (void)why, (void)n;
    ((struct interp_options *)target)->executable = value;
    return 0;
}

static const struct args_option table[] = {
    {"--executable", "PYTHON", set_executable, "for sys.executable"},
};

static int
complain(const char *why, int status)
{
    fprintf(stderr, "terrarium_py check: %s\n", why);
    return status;
}

/* The policy that asks for a level and nothing else. */
static int
make(struct profile *p, const char *level, const struct profile_host *host,
     char *why, size_t n)
{
    struct ctl_out out;
    struct ctl_in in;
    struct ctl_map m;
    unsigned missing;
    ctl_begin(&out);
    ctl_put_str(&out, "level", level);
    int e = ctl_end(&out);
    if (e == 0)
        e = ctl_open(&in, out.bytes.data, out.bytes.len, &m);
    if (e == 0) {
        e = profile_make(p, &m, host, &missing, why, n);
        ctl_close(&in);
    }
    ctl_free(&out);
    return e;
}

static const char *
meaning(int layer)
{
    static const char *const texts[] = {
#define X(bit, name, text) text,
        LAYER_LIST(X)
#undef X
    };
    return texts[layer];
}

/* Of a layer that is not there because of what can be changed. */
static void
say_why_not(const struct profile *p, const struct profile_host *host)
{
    char why[200];
    if (!(p->layers & LAYER_CGROUP) &&
        cgroup_host_probe(host->cgroups, why, sizeof why) != 0)
        printf("\n%s\n", why);
}

static int
report(const struct profile_host *host)
{
    const unsigned needed = LAYER_SECCOMP | LAYER_LANDLOCK;
    struct profile p;
    char why[400] = "";
    if (make(&p, "default", host, why, sizeof why) != 0)
        return complain(why, HANDOFF_EXIT_SANDBOX);
    for (int i = 0; i < LAYER_COUNT; i++) {
        const char *holds = p.layers & (1u << i) ? "yes" : "no";
        printf("%-15s %-4s %s\n", layer_name(i), holds, meaning(i));
    }
    say_why_not(&p, host);
    int all = (p.layers & needed) == needed;
    printf("\nlevels that start by themselves: trusted%s\n",
           all ? ", default, strict" : "");
    profile_free(&p);
    return all ? 0 : 1;
}

int
survey_main(int argc, char **argv)
{
    char why[400] = "";
    struct profile_host host = {0};
    struct interp_options i = {0};
    struct cgroup_host cgroups;
    int at = 1;
    if (args_parse(table, 1, &i, argc, argv, &at, NULL, why, sizeof why) != 0)
        return complain(why, HANDOFF_EXIT_USAGE);
    int status = HANDOFF_EXIT_INIT;
    cgroup_host_init(&cgroups, "");
    host.cgroups = &cgroups;
    if (interp_init(&i, why, sizeof why) != 0 || host_find(&host) != 0)
        complain(why, status);
    else
        status = report(&host);
    cgroup_host_close(&cgroups);
    args_list_free(&host.readable);
    return status;
}
