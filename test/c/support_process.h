/* SPDX-License-Identifier: Apache-2.0 */
/* support_process.h - look at processes: who lives, what is open, what came
 * out.  Every wait is bounded.
 * Used by: the suites of zygote and launcher.   Threads: none. */
#ifndef TERRARIUM_SUPPORT_PROCESS_H
#define TERRARIUM_SUPPORT_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

long process_now_ms(void);
void process_sleep_ms(int ms);

/* 1 if there is such a process and it is not a zombie. */
int process_alive(pid_t pid);
/* Wait until it is not: 1, or 0 after ms. */
int process_wait_gone(pid_t pid, int ms);
/* waitpid with an end: 1 and *status, or 0 after ms. */
int process_wait_exit(pid_t pid, int *status, int ms);

/* The children of a process, up to max; zombies are left out, and what keeps a
 * sandbox's namespace of process ids. */
size_t process_children(pid_t pid, pid_t *out, size_t max);

/* What the descriptors of a process are ("socket:[1]", "/dev/null"): those
 * that start with prefix are counted; "" counts all. */
int process_count_fds(pid_t pid, const char *prefix);
/* Is /proc/PID/fd/FD close-on-exec? */
int process_is_cloexec(pid_t pid, int fd);
/* A field of /proc/PID/status, e.g. "PPid", as a number of that base. */
unsigned long long process_status(pid_t pid, const char *field, int base);

/* Root becomes a user who may do nothing in particular, and can be looked at by
 * its like: 1.  Whoever is not root is that already: 0. */
int process_become_nobody(void);

/* Run a program to its end, at most ms; collects stdout and stderr as text.
 * Returns the wait status, -1 when it had to be killed. */
struct process_output {
    char out[16384];
    char err[16384];
};
int process_run(char *const *argv, struct process_output *o, int ms);

/* Path of a program in the priv folder (TERRARIUM_PRIV, else priv). */
const char *process_priv(const char *name);

/* A new folder, files in it (in folders of their own where the name has a
 * slash), and the removal of it all. */
struct process_folder {
    char path[64];
};
void process_make_folder(struct process_folder *f);
void process_write_file(const struct process_folder *f, const char *name,
                        const char *text);
void process_remove_folder(const struct process_folder *f);

#endif
