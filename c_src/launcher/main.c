/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the program terrarium: start the zygotes, wait until all are
 * ready, then become the command.
 *
 * Nothing of it stays in memory: the command inherits the control sockets,
 * whose numbers stand in $TERRARIUM_RUNTIMES, and becomes the zygotes' parent.
 * Knows: handoff.h.   Does not know: Python, ERTS, how a zygote works.
 * Errors: a sentence on standard error and an exit status (options.h); no
 * zygote stays behind.   Threads: none. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "options.h"
#include "python.h"
#include "run.h"
#include "runtime.h"
#include "user.h"
#include "wire.h"

static int
complain(int status, const char *why)
{
    fprintf(stderr, "terrarium: %s\n", why);
    return status;
}

/* No socket of ours may get a number below 3, where a command would take it
 * for its standard input; a descriptor that was closed is closed again when
 * the command runs. */
static int
fill_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
    return fd >= 0 ? 0 : -1;
}

static int
start_all(const struct launcher_options *o, struct runtime *r, size_t *started,
          char *why, size_t n)
{
    char dir[PATH_MAX], what[512];
    if (python_own_folder(dir, sizeof dir) != 0) {
        snprintf(why, n, "cannot find my own folder: %s", strerror(errno));
        return LAUNCHER_EXIT_SYSTEM;
    }
    for (size_t i = 0; i < o->count; i++) {
        int e = runtime_start(&r[i], &o->runtimes[i], dir, what, sizeof what);
        if (e != 0) {
            snprintf(why, n, "runtime %s: %s", o->runtimes[i].name, what);
            return LAUNCHER_EXIT_RUNTIME;
        }
        *started = i + 1;
    }
    return 0;
}

/* Returns only if it fails. */
static int
become(char **command, char *why, size_t n)
{
    execvp(command[0], command);
    int status = errno == ENOENT ? LAUNCHER_EXIT_NOT_FOUND
                                 : LAUNCHER_EXIT_NOT_EXECUTABLE;
    snprintf(why, n, "cannot execute %.200s: %s", command[0], strerror(errno));
    return status;
}

static int
launch(const struct launcher_options *o)
{
    char why[5000] = "";
    struct runtime r[LAUNCHER_MAX_RUNTIMES];
    size_t started = 0;
    int status = start_all(o, r, &started, why, sizeof why);
    if (status == 0 && runtime_wait_all(r, started, o->timeout_ms, o->quiet,
                                        why, sizeof why) != 0)
        status = LAUNCHER_EXIT_RUNTIME;
    if (status == 0 && runtime_hand_over(r, started) != 0) {
        snprintf(why, sizeof why, "cannot hand over: %s", strerror(errno));
        status = LAUNCHER_EXIT_SYSTEM;
    }
    if (status == 0)
        status = become(o->command, why, sizeof why);
    runtime_stop_all(r, started);
    return complain(status, why);
}

/* Become the program of the first runtime, which says it.  Returns only if that
 * fails. */
static int
check(const struct launcher_options *o)
{
    char dir[PATH_MAX], why[512] = "";
    struct python p;
    if (python_own_folder(dir, sizeof dir) != 0 ||
        python_resolve(&o->runtimes[0], dir, &p, why, sizeof why) != 0)
        return complain(LAUNCHER_EXIT_RUNTIME, why);
    char *argv[] = {p.program, "check", NULL, NULL, NULL};
    if (p.executable[0] != 0) {
        argv[2] = "--executable";
        argv[3] = p.executable;
    }
    int status = become(argv, why, sizeof why);
    return complain(status, why);
}

/* What the command line says, or `run' makes of it. */
static int
obey(int argc, char **argv)
{
    char why[512] = "";
    struct launcher_options o;
    int status = LAUNCHER_EXIT_OK, e = 0;
    if (launcher_options_parse(&o, argc, argv, why, sizeof why) != 0) {
        complain(LAUNCHER_EXIT_USAGE, why);
        fputs("terrarium --help lists the options\n", stderr);
        status = LAUNCHER_EXIT_USAGE;
    } else if (o.help) {
        launcher_options_help(stdout);
    } else if (o.version) {
        printf("terrarium, wire %d (%08x)\n", (int)WIRE_LIMIT_VERSION,
               (unsigned)WIRE_FINGERPRINT);
    } else if (o.user != NULL &&
               (e = user_become(o.user, why, sizeof why)) != 0) {
        status = complain(
            e == E_ARG ? LAUNCHER_EXIT_USAGE : LAUNCHER_EXIT_SYSTEM, why);
    } else if (o.check) {
        status = check(&o);
    } else if (fill_standard_descriptors() != 0) {
        status = complain(LAUNCHER_EXIT_SYSTEM, "cannot open /dev/null");
    } else {
        signal(SIGCHLD, SIG_DFL); /* ignored, it would hide how they end */
        status = launch(&o);
    }
    launcher_options_free(&o);
    return status;
}

static int
run(int argc, char **argv)
{
    char dir[PATH_MAX], why[512] = "";
    struct args_list command = {0};
    int help = 0, status = LAUNCHER_EXIT_OK;
    if (python_own_folder(dir, sizeof dir) != 0)
        return complain(LAUNCHER_EXIT_SYSTEM, "cannot find my own folder");
    if (run_command(&command, dir, argc, argv, &help, why, sizeof why) != 0)
        status = complain(LAUNCHER_EXIT_USAGE, why);
    else if (help)
        run_help(stdout);
    else
        status = obey((int)command.count, command.v);
    args_list_free(&command);
    return status;
}

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "run") == 0)
        return run(argc - 1, argv + 1);
    return obey(argc, argv);
}
