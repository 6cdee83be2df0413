/* SPDX-License-Identifier: Apache-2.0 */
/* baseline.c - what the machine itself can do, measured in the same run as
 * the benchmark: each line of output is `name value`, times in nanoseconds.
 *
 *   socket_block   round trip C to C over a socketpair, both ends sleeping
 *   socket_spin    the same, both ends polling
 *   shm_spin       round trip over two shared words, both ends polling
 *   syscall        the cheapest system call
 *   memcpy         bytes per second of a 64 MiB copy into warm memory */
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, COPY = 64 << 20 };

static double
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void
report(const char *name, double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, compare);
    printf("%s_p50 %.0f\n%s_p90 %.0f\n%s_p99 %.0f\n", name, v[n / 2], name,
           v[n * 9 / 10], name, v[n * 99 / 100]);
}

static ssize_t
get(int fd, char *p, int flags)
{
    ssize_t k;
    do
        k = recv(fd, p, MESSAGE, flags);
    while (k < 0 && (errno == EAGAIN || errno == EINTR));
    return k;
}

static void
echo(int fd, int flags)
{
    char p[MESSAGE];
    while (get(fd, p, flags) > 0)
        if (send(fd, p, MESSAGE, MSG_NOSIGNAL) < 0)
            break;
    _exit(0);
}

static void
socket_round_trips(const char *name, int flags, int n)
{
    int sv[2];
    char p[MESSAGE] = {0};
    double *v = calloc((size_t)n, sizeof *v);
    if (v == NULL || socketpair(AF_UNIX, SOCK_STREAM, 0, sv) != 0)
        exit(1);
    pid_t pid = fork();
    if (pid == 0) {
        close(sv[0]);
        echo(sv[1], flags);
    }
    close(sv[1]);
    for (int i = 0; i < n; i++) {
        double t = now_ns();
        if (send(sv[0], p, MESSAGE, 0) < 0 || get(sv[0], p, flags) <= 0)
            exit(1);
        v[i] = now_ns() - t;
    }
    close(sv[0]);
    waitpid(pid, NULL, 0);
    report(name, v, n);
    free(v);
}

struct words {
    _Alignas(64) _Atomic uint32_t request;
    _Alignas(64) _Atomic uint32_t answer;
};

static void
shm_round_trips(int n)
{
    struct words *w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double *v = calloc((size_t)n, sizeof *v);
    if (w == MAP_FAILED || v == NULL)
        exit(1);
    pid_t pid = fork();
    if (pid == 0) {
        for (uint32_t i = 1; i <= (uint32_t)n; i++) {
            while (atomic_load_explicit(&w->request, memory_order_acquire) < i)
                continue;
            atomic_store_explicit(&w->answer, i, memory_order_release);
        }
        _exit(0);
    }
    for (uint32_t i = 1; i <= (uint32_t)n; i++) {
        double t = now_ns();
        atomic_store_explicit(&w->request, i, memory_order_release);
        while (atomic_load_explicit(&w->answer, memory_order_acquire) < i)
            continue;
        v[i - 1] = now_ns() - t;
    }
    waitpid(pid, NULL, 0);
    report("shm_spin", v, n);
    free(v);
    munmap(w, sizeof *w);
}

static void
system_calls(int n)
{
    double t = now_ns();
    for (int i = 0; i < n; i++)
        syscall(SYS_getppid);
    printf("syscall %.0f\n", (now_ns() - t) / n);
}

static void
copies(int n)
{
    char *a = malloc(COPY), *b = malloc(COPY);
    if (a == NULL || b == NULL)
        exit(1);
    memset(a, 1, COPY);
    memset(b, 2, COPY);
    double best = 0;
    for (int i = 0; i < n; i++) {
        double t = now_ns();
        memcpy(i & 1 ? a : b, i & 1 ? b : a, COPY);
        double rate = COPY / ((now_ns() - t) / 1e9);
        best = rate > best ? rate : best;
    }
    printf("memcpy %.0f\n", best);
    free(a);
    free(b);
}

int
main(void)
{
    socket_round_trips("socket_block", 0, 20000);
    socket_round_trips("socket_spin", MSG_DONTWAIT, 100000);
    shm_round_trips(500000);
    system_calls(200000);
    copies(10);
    return 0;
}
