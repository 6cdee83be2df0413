/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_of.c - how much processor time processes have used.
 *
 *   cpu_of MS PID...   nanoseconds of each, one line each; with MS > 0, what
 *                      was used during so many milliseconds
 *
 * All threads count, to the nanosecond: the kernel's clocks of processes are
 * finer than the ticks of /proc. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t
used_ns(pid_t pid)
{
    clockid_t id;
    struct timespec t;
    if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) != 0)
        return 0;
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int
main(int argc, char **argv)
{
    if (argc < 3)
        return 64;
    long ms = atol(argv[1]);
    int n = argc - 2;
    int64_t *v = calloc((size_t)n, sizeof *v);
    if (v == NULL)
        return 1;
    struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
    if (ms > 0) {
        for (int i = 0; i < n; i++)
            v[i] = used_ns((pid_t)atol(argv[i + 2]));
        nanosleep(&wait, NULL);
    }
    for (int i = 0; i < n; i++)
        printf("%lld\n", (long long)(used_ns((pid_t)atol(argv[i + 2])) - v[i]));
    free(v);
    return 0;
}
