/* SPDX-License-Identifier: Apache-2.0 */
/* policy.h - what a context may do, as the VM says it in a spawn message.
 *
 * The VM has checked it (py_policy.erl) and filled in what its level means;
 * here it is read again, strictly: a key of the wrong type is an error and
 * never a limit that does not hold.  Missing keys grant nothing and limit
 * nothing; `level' is the one that must be there.
 * Used by: sandbox, zygote.   Knows: control messages.
 * Ownership: a policy owns its lists.
 * Errors: E_FORMAT and E_LIMIT with the key in `why', E_NOMEM.
 * Threads: none of its own. */
#ifndef TERRARIUM_SANDBOX_POLICY_H
#define TERRARIUM_SANDBOX_POLICY_H

#include <stdint.h>

#include "args.h"
#include "ctl.h"
#include "layers.h"

enum policy_level { LEVEL_TRUSTED, LEVEL_DEFAULT, LEVEL_STRICT };

enum { POLICY_NO_LIMIT = 0 };

struct policy {
    enum policy_level level;
    unsigned require; /* layers that must hold, or the helper does not start */
    unsigned without; /* layers not to be used: for tests of poorer hosts */
    int threads;      /* may start threads */
    int exec_memory;  /* may map memory both writable and executable */
    int exec;         /* each helper is a process begun anew */
    int diagnose;     /* a forbidden system call leaves its name */
    int unguarded;    /* not of the VM: files of its user that are not granted
                         are neither hidden nor another's (profile.c) */
    struct args_list read;    /* paths to be read, beside what imports need */
    struct args_list write;   /* paths to be read and written */
    struct args_list import;  /* directories of modules */
    struct args_list preload; /* modules, imported before it is locked up */
    uint16_t *ports;          /* to connect to by TCP */
    size_t port_count;
    uint64_t tmp_bytes; /* size of a /tmp of its own; 0: none */
    /* Limits; POLICY_NO_LIMIT: none. */
    uint64_t memory, address_space, open_files, file_bytes, thread_count,
        cpu_ms;
    uint64_t procs; /* processes and threads together, beside the first */
};

int policy_read(struct policy *p, const struct ctl_map *m, char *why, size_t n);
void policy_free(struct policy *p);

/* May it reach the file system by path, at all? */
static inline int
policy_has_files(const struct policy *p)
{
    return p->level != LEVEL_STRICT || p->read.count > 0 ||
           p->write.count > 0 || p->import.count > 0 || p->tmp_bytes > 0;
}
static inline int
policy_may_write(const struct policy *p)
{
    return p->write.count > 0 || p->tmp_bytes > 0;
}

#endif
