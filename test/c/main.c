/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the Check runner.
 *
 * Built once per list of suites (SUITES names the list's file): suites.h
 * needs neither Python nor ERTS, suites_py.h is linked with libpython,
 * suites_drv.h with stubs of the driver interface.  A list holds one line
 * SUITE(name) per suite and has no include guard; check_NAME.c defines
 * `Suite *make_NAME_suite(void)`.
 *
 * Each test runs in a process of its own.  The last line is Check's summary;
 * the exit status is 0 only if every check passed and at least one ran. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUITE(name) Suite *make_##name##_suite(void);
#include SUITES
#undef SUITE

static const struct entry {
    const char *name;
    Suite *(*make)(void);
} entries[] = {
#define SUITE(name) {#name, make_##name##_suite},
#include SUITES
#undef SUITE
};
enum { ENTRIES = sizeof(entries) / sizeof(entries[0]) };

static const char usage[] =
    "usage: check [-k NAME]... [-l] [-n] [-v]\n"
    "  -k NAME  run only this suite (may be repeated)\n"
    "  -l       list the suites\n"
    "  -n       run in one process (for a debugger)\n"
    "  -v       name every test, not only those that fail\n";

struct options {
    char wanted[ENTRIES];
    int any;
    enum print_output mode;
    enum fork_status fork;
};

static int
want(struct options *o, const char *name)
{
    for (int i = 0; i < ENTRIES; i++) {
        if (strcmp(entries[i].name, name) == 0) {
            o->wanted[i] = 1;
            o->any = 1;
            return 0;
        }
    }
    fprintf(stderr, "no suite named %s\n", name);
    return -1;
}

static void
list(void)
{
    for (int i = 0; i < ENTRIES; i++)
        puts(entries[i].name);
}

/* 0 go on, 1 done, -1 wrong usage. */
static int
parse(struct options *o, int argc, char **argv)
{
    for (int c; (c = getopt(argc, argv, "k:lnvh")) != -1;) {
        if (c == 'k' && want(o, optarg) < 0)
            return -1;
        if (c == 'l') {
            list();
            return 1;
        }
        if (c == 'n')
            o->fork = CK_NOFORK;
        if (c == 'v')
            o->mode = CK_VERBOSE;
        if (c == 'h' || c == '?') {
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 1 : -1;
        }
    }
    return optind == argc ? 0 : -1;
}

static int
run(const struct options *o)
{
    SRunner *runner = srunner_create(NULL);
    for (int i = 0; i < ENTRIES; i++) {
        if (!o->any || o->wanted[i])
            srunner_add_suite(runner, entries[i].make());
    }
    srunner_set_fork_status(runner, o->fork);
    srunner_run_all(runner, o->mode);
    int failed = srunner_ntests_failed(runner);
    int ran = srunner_ntests_run(runner);
    srunner_free(runner);
    return failed == 0 && ran > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
    struct options o = {.mode = CK_NORMAL, .fork = CK_FORK_GETENV};
    int r = parse(&o, argc, argv);
    if (r != 0)
        return r > 0 ? EXIT_SUCCESS : 64;
    /* Check's own four seconds are short for a busy machine; every suite's
     * time is still bounded. */
    setenv("CK_DEFAULT_TIMEOUT", "30", 0);
    return run(&o);
}
