/* SPDX-License-Identifier: Apache-2.0 */
/* baseline.c - what the machine itself can do, measured between the rounds of
 * the benchmark.
 *
 *   baseline block|spin|shm|syscall N   N round trips, each in nanoseconds, as
 *                                       32-bit numbers in binary
 *     block     C to C over a socketpair, both ends sleeping
 *     spin      the same, both ends polling
 *     shm       over two words of shared memory, both ends polling
 *     syscall   the cheapest system call
 *   baseline memcpy SIZE MS             nanoseconds of a copy of SIZE bytes
 *                                       between warm buffers, as text
 *
 * What two looks at the clock take is subtracted.  The process and its partner
 * end by themselves: with their parent, and after a minute. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, CLOCKS = 2001, COPIES = 100000, LIFE_S = 60 };

static uint64_t clock_ns;

static uint64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
live_shortly(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(LIFE_S);
}

static int
compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t
median(uint32_t *v, size_t n)
{
    qsort(v, n, sizeof *v, compare);
    return v[n / 2];
}

static uint32_t
since(uint64_t t)
{
    uint64_t d = now_ns() - t;
    d = d > clock_ns ? d - clock_ns : 0;
    return d > UINT32_MAX ? UINT32_MAX : (uint32_t)d;
}

static void
look_at_the_clock(void)
{
    uint32_t v[CLOCKS];
    for (int i = 0; i < CLOCKS; i++) {
        uint64_t t = now_ns();
        v[i] = since(t);
    }
    clock_ns = median(v, CLOCKS);
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
    live_shortly();
    while (get(fd, p, flags) > 0)
        if (send(fd, p, MESSAGE, MSG_NOSIGNAL) < 0)
            break;
    _exit(0);
}

static int
socket_round_trips(int flags, uint32_t *v, size_t n)
{
    int sv[2];
    char p[MESSAGE] = {0};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        close(sv[0]);
        echo(sv[1], flags);
    }
    close(sv[1]);
    int r = pid < 0 ? -1 : 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        uint64_t t = now_ns();
        if (send(sv[0], p, MESSAGE, MSG_NOSIGNAL) < 0 ||
            get(sv[0], p, flags) <= 0)
            r = -1;
        v[i] = since(t);
    }
    close(sv[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return r;
}

struct words {
    _Alignas(64) _Atomic uint32_t request;
    _Alignas(64) _Atomic uint32_t answer;
};

static void
answer_words(struct words *w, uint32_t n)
{
    live_shortly();
    for (uint32_t i = 1; i <= n; i++) {
        while (atomic_load_explicit(&w->request, memory_order_acquire) < i)
            continue;
        atomic_store_explicit(&w->answer, i, memory_order_release);
    }
    _exit(0);
}

static int
shm_round_trips(uint32_t *v, size_t n)
{
    struct words *w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (w == MAP_FAILED)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        answer_words(w, (uint32_t)n);
    for (uint32_t i = 1; pid > 0 && i <= (uint32_t)n; i++) {
        uint64_t t = now_ns();
        atomic_store_explicit(&w->request, i, memory_order_release);
        while (atomic_load_explicit(&w->answer, memory_order_acquire) < i)
            continue;
        v[i - 1] = since(t);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
    munmap(w, sizeof *w);
    return pid > 0 ? 0 : -1;
}

static int
system_calls(uint32_t *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t t = now_ns();
        syscall(SYS_getppid);
        v[i] = since(t);
    }
    return 0;
}

static int
measure(const char *what, uint32_t *v, size_t n)
{
    if (strcmp(what, "block") == 0)
        return socket_round_trips(0, v, n);
    if (strcmp(what, "spin") == 0)
        return socket_round_trips(MSG_DONTWAIT, v, n);
    if (strcmp(what, "shm") == 0)
        return shm_round_trips(v, n);
    return strcmp(what, "syscall") == 0 ? system_calls(v, n) : -1;
}

/* The first tenth warms up and is not written. */
static int
round_trips(const char *what, size_t n)
{
    size_t warm = n / 10;
    uint32_t *v = calloc(n + warm + 1, sizeof *v);
    int r = -1;
    if (v != NULL && n > 0 && measure(what, v, n + warm) == 0 &&
        fwrite(v + warm, sizeof *v, n, stdout) == n)
        r = fflush(stdout);
    free(v);
    return r;
}

/* Small copies are timed by the dozen. */
static uint32_t
copy(char *to, const char *from, size_t size, size_t times)
{
    uint64_t t = now_ns();
    for (size_t i = 0; i < times; i++) {
        memcpy(to, from, size);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    return since(t);
}

static int
copies(size_t size, uint64_t ms)
{
    char *a = malloc(size), *b = malloc(size);
    uint32_t *v = calloc(COPIES, sizeof *v);
    size_t n = 0, times = size < 1 << 20 ? (1 << 20) / size : 1;
    int r = -1;
    if (a == NULL || b == NULL || v == NULL)
        goto out;
    memset(a, 1, size);
    memset(b, 2, size);
    uint64_t until = now_ns() + ms * 1000000u;
    while (n < COPIES && (n < 3 || now_ns() < until)) {
        v[n] = copy(n & 1 ? a : b, n & 1 ? b : a, size, times);
        n++;
    }
    r = printf("%.1f\n", (double)median(v, n) / (double)times) > 0 ? 0 : -1;
out:
    free(a);
    free(b);
    free(v);
    return r;
}

int
main(int argc, char **argv)
{
    live_shortly();
    look_at_the_clock();
    if (argc == 4 && strcmp(argv[1], "memcpy") == 0 && atol(argv[2]) > 0)
        return copies((size_t)atol(argv[2]), (uint64_t)atol(argv[3])) != 0;
    if (argc == 3)
        return round_trips(argv[1], (size_t)atol(argv[2])) != 0;
    return 64;
}
