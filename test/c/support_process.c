/* SPDX-License-Identifier: Apache-2.0 */
#include "support_process.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STEP_MS = 5, REMOVE_DEPTH = 8 };

long
process_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000L + t.tv_nsec / 1000000;
}

void
process_sleep_ms(int ms)
{
    poll(NULL, 0, ms);
}

/* ---- /proc -------------------------------------------------------------- */

/* The state letter of a process and its parent; 0 if there is none. */
static char
state_of(pid_t pid, pid_t *parent)
{
    char path[64], line[512], state = 0;
    int ppid = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = 0;
    const char *end = strrchr(line, ')');
    if (end == NULL || sscanf(end + 1, " %c %d", &state, &ppid) != 2)
        return 0;
    if (parent != NULL)
        *parent = ppid;
    return state;
}

int
process_alive(pid_t pid)
{
    char state = state_of(pid, NULL);
    return state != 0 && state != 'Z' && state != 'X';
}

int
process_wait_gone(pid_t pid, int ms)
{
    for (long end = process_now_ms() + ms; process_alive(pid);) {
        if (process_now_ms() >= end)
            return 0;
        process_sleep_ms(STEP_MS);
    }
    return 1;
}

int
process_wait_exit(pid_t pid, int *status, int ms)
{
    for (long end = process_now_ms() + ms;
         waitpid(pid, status, WNOHANG) == 0;) {
        if (process_now_ms() >= end)
            return 0;
        process_sleep_ms(STEP_MS);
    }
    return 1;
}

/* What keeps a sandbox's namespace of process ids is no helper. */
static int
keeps_a_cell(pid_t pid)
{
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    int is = fgets(name, sizeof name, f) != NULL &&
             strcmp(name, "terrarium-cell\n") == 0;
    fclose(f);
    return is;
}

size_t
process_children(pid_t pid, pid_t *out, size_t max)
{
    size_t n = 0;
    DIR *d = opendir("/proc");
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d)) != NULL && n < max;) {
        pid_t candidate = atoi(e->d_name), parent = 0;
        char state = candidate > 0 ? state_of(candidate, &parent) : 0;
        if (state != 0 && state != 'Z' && parent == pid &&
            !keeps_a_cell(candidate))
            out[n++] = candidate;
    }
    closedir(d);
    return n;
}

int
process_count_fds(pid_t pid, const char *prefix)
{
    char path[64], name[PATH_MAX], target[PATH_MAX];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        ssize_t n = readlink(name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        count += n > 0 && strncmp(target, prefix, strlen(prefix)) == 0;
    }
    closedir(d);
    return count;
}

int
process_is_cloexec(pid_t pid, int fd)
{
    char path[64], line[128];
    unsigned flags = 0;
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)pid, fd);
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL)
        (void)sscanf(line, "flags: %o", &flags);
    fclose(f);
    return (flags & O_CLOEXEC) != 0;
}

unsigned long long
process_status(pid_t pid, const char *field, int base)
{
    char path[64], line[256];
    unsigned long long value = 0;
    size_t len = strlen(field);
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, field, len) == 0 && line[len] == ':')
            value = strtoull(line + len + 1, NULL, base);
    }
    fclose(f);
    return value;
}

/* ---- users ----------------------------------------------------------------
 */

int
process_become_nobody(void)
{
    enum { NOBODY = 65534 };
    if (geteuid() != 0)
        return 0;
    ck_assert_int_eq(setgroups(0, NULL), 0);
    ck_assert_int_eq(setresgid(NOBODY, NOBODY, NOBODY), 0);
    ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
    return 1;
}

/* ---- running a program -------------------------------------------------- */

static _Noreturn void
be_program(char *const *argv, const int *out, const int *err)
{
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    execvp(argv[0], argv);
    _exit(99);
}

/* One read; 0 at the end of the pipe. */
static int
collect(struct pollfd *p, char *text, size_t cap, size_t *len)
{
    char chunk[4096];
    if (p->fd < 0 || p->revents == 0)
        return 1;
    ssize_t n = read(p->fd, chunk, sizeof chunk);
    if (n <= 0) {
        p->fd = -1;
        return 0;
    }
    size_t room = cap - 1 - *len, take = (size_t)n < room ? (size_t)n : room;
    memcpy(text + *len, chunk, take);
    *len += take;
    text[*len] = 0;
    return 1;
}

/* The pipes may outlive the program (in a zygote that is about to end). */
int
process_run(char *const *argv, struct process_output *o, int ms)
{
    int out[2], err[2], status = -1;
    size_t out_len = 0, err_len = 0;
    long end = process_now_ms() + ms;
    memset(o, 0, sizeof *o);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(err, O_CLOEXEC), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        be_program(argv, out, err);
    close(out[1]);
    close(err[1]);
    struct pollfd p[2] = {{.fd = out[0], .events = POLLIN},
                          {.fd = err[0], .events = POLLIN}};
    while ((p[0].fd >= 0 || p[1].fd >= 0) && process_now_ms() < end) {
        if (poll(p, 2, 50) <= 0)
            continue;
        collect(&p[0], o->out, sizeof o->out, &out_len);
        collect(&p[1], o->err, sizeof o->err, &err_len);
    }
    close(out[0]);
    close(err[0]);
    if (!process_wait_exit(pid, &status, (int)(end - process_now_ms()) + 1)) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return -1;
    }
    return status;
}

const char *
process_priv(const char *name)
{
    static char path[PATH_MAX];
    const char *dir = getenv("TERRARIUM_PRIV");
    snprintf(path, sizeof path, "%s/%s", dir != NULL ? dir : "priv", name);
    return path;
}

/* ---- folders ------------------------------------------------------------ */

void
process_make_folder(struct process_folder *f)
{
    snprintf(f->path, sizeof f->path, "/tmp/terrarium-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->path));
}

void
process_write_file(const struct process_folder *f, const char *name,
                   const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    for (char *at = path + strlen(f->path) + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        ck_assert(mkdir(path, 0755) == 0 || errno == EEXIST);
        *at = '/';
    }
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void
remove_tree(const char *path, int depth)
{
    DIR *d = depth < REMOVE_DEPTH ? opendir(path) : NULL;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char inner[PATH_MAX];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, e->d_name) >=
                (int)sizeof inner ||
            lstat(inner, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            remove_tree(inner, depth + 1);
        else
            unlink(inner);
    }
    if (d != NULL)
        closedir(d);
    rmdir(path);
}

void
process_remove_folder(const struct process_folder *f)
{
    remove_tree(f->path, 0);
}
