/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup.h - a control group for each helper: a hard limit on its memory, the
 * kernel's share of it included, and on its processes and threads.
 *
 * Groups are made below the one that this process is in: by version 1 in the
 * hierarchies `memory' and `pids', by version 2 in one directory (for which it
 * and all that are in its group may have to go to a group below that,
 * cgroup_unified.c).  Where they can be made is found out by doing it, once,
 * when the first policy asks.
 * Their names are terrarium.<pid of the zygote>.<n>.
 * Used by: profiles, the zygote, tests.
 * Ownership: a host owns its descriptors; a group is a name until it is made,
 * and whoever made it removes it.
 * Errors: E_REFUSED (none can be had) with a sentence, E_SYS, E_AGAIN.
 * Threads: none. */
#ifndef TERRARIUM_SANDBOX_CGROUP_H
#define TERRARIUM_SANDBOX_CGROUP_H

#include <limits.h>
#include <sys/types.h>

#include "policy.h"

enum cgroup_controller { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CONTROLLERS };

enum {
    CGROUP_NAME = 64,
    /* Above what Python may allocate: page tables, stacks, pipes. */
    CGROUP_MARGIN = 32 << 20
};

/* How a group is made and removed: tests have files in place of a kernel's. */
struct cgroup_ways {
    int (*make)(int at, const char *name);
    int (*drop)(int at, const char *name);
};

/* By version 2 both controllers have the same directory, in one place. */
struct cgroup_place {
    int fd; /* of the directory in which groups are made */
    int version;
    unsigned controllers; /* bits, 1 << cgroup_controller */
};

struct cgroup_host {
    const char *root; /* "" but in tests */
    const struct cgroup_ways *ways;
    pid_t owner; /* whose groups these are */
    int probed;  /* 0: not tried; 1: it works; -1: it does not */
    char why_not[128];
    struct cgroup_place places[CGROUP_CONTROLLERS];
    int count; /* of places */
    unsigned last;
};

/* One group, in all places; 0: none. */
struct cgroup {
    unsigned number;
};

struct cgroup_end {
    int was_killed; /* a process in it, for want of memory, by whomever */
    int was_full;   /* and its own limit was what was reached */
};

void cgroup_host_init(struct cgroup_host *h, const char *root);
void cgroup_host_close(struct cgroup_host *h);
/* Can groups be made, limited, entered and removed here?  Removes the empty
 * groups of zygotes that are gone. */
int cgroup_host_probe(struct cgroup_host *h, char *why, size_t n);

/* Has the policy something that a group limits? */
int cgroup_is_of_use(const struct policy *p);

int cgroup_make(struct cgroup_host *h, const struct policy *p,
                struct cgroup *g);
/* Put this process, which must have one thread, into it. */
int cgroup_join(const struct cgroup_host *h, const struct cgroup *g);
/* The same by descriptors, for a process that has no way to the group: how many
 * there are (of none: 0), or E_SYS.  They are the caller's. */
int cgroup_doors(const struct cgroup_host *h, const struct cgroup *g,
                 int doors[CGROUP_CONTROLLERS]);
/* Go through one of them. */
int cgroup_go(int door);
/* End what is in it, and remove it: 0, then it is none; E_AGAIN: something in
 * it has still to end. */
int cgroup_remove(const struct cgroup_host *h, struct cgroup *g);

/* ---- cgroup_look.c ------------------------------------------------------- */

void cgroup_look(const struct cgroup_host *h, const struct cgroup *g,
                 struct cgroup_end *end);
/* Can the next one with its limits have it, and find nothing of the last: no
 * process, no failure or death that was counted, and little that is charged? */
int cgroup_is_spotless(const struct cgroup_host *h, const struct cgroup *g);

/* ---- cgroup_find.c ------------------------------------------------------- */

/* Fill places: where this process's own groups are.  0 or E_REFUSED. */
int cgroup_find(struct cgroup_host *h);
/* The directory of this process's group in the hierarchy of this controller
 * (NULL: of version 2), and the top of the mount in which it is seen.  0: it is
 * not to be seen.  root is "" but in tests. */
int cgroup_own(const char *root, const char *controller, char path[PATH_MAX],
               char top[PATH_MAX]);

/* ---- between its files --------------------------------------------------- */

/* The directory of a group in a place: a descriptor, or -1. */
int cgroup_open(const struct cgroup_host *h, const struct cgroup_place *p,
                const struct cgroup *g);
/* Small files of a group: the text of one, cut to n - 1 bytes, and its length.
 */
int cgroup_write(int at, const char *file, const char *text);
size_t cgroup_text(int at, const char *file, char *text, size_t n);
/* The processes in it, without those for which there is no room. */
enum { CGROUP_PIDS_READ = 512 };
size_t cgroup_pids(int at, pid_t pids[CGROUP_PIDS_READ]);
/* The number after key ("oom_kill "; "": the first) in a file; 0: none. */
unsigned long long cgroup_read(int at, const char *file, const char *key);

const char *cgroup_name(int controller);
/* Is it one of the names in "a,b c\n"? */
int cgroup_is_listed(const char *list, const char *name);
/* Are both of one directory? */
int cgroup_same(int a, int b);
/* A directory of version 2 that gives these controllers (bits) to groups below
 * it: a descriptor, or -1 and why. */
int cgroup_unified(const struct cgroup_host *h, unsigned wanted,
                   const char **why);

#endif
