/* SPDX-License-Identifier: Apache-2.0 */
/* layers.h - the walls that a sandbox is made of, each by its name.
 * Used by: everything here, the zygote (reports), tests.   Knows: nothing. */
#ifndef TERRARIUM_SANDBOX_LAYERS_H
#define TERRARIUM_SANDBOX_LAYERS_H

/*    bit name            what it is */
#define LAYER_LIST(X)                                                          \
    X(LAYER_BASE, "no_new_privs", "no_new_privs, undumpable, own session")     \
    X(LAYER_RLIMITS, "rlimits", "setrlimit(2)")                                \
    X(LAYER_SECCOMP, "seccomp", "a filter of system calls")                    \
    X(LAYER_LANDLOCK, "landlock", "files, by path")                            \
    X(LAYER_LANDLOCK_NET, "landlock_net", "TCP ports (ABI 4)")                 \
    X(LAYER_LANDLOCK_SCOPE, "landlock_scope", "signals, sockets (ABI 6)")      \
    X(LAYER_NAMESPACES, "namespaces", "private root, no network, no IPC")      \
    X(LAYER_OWN_UID, "own_uid", "a user id of the context's own")              \
    X(LAYER_PIDS, "pid_namespace", "no process ids but its own kind's")        \
    X(LAYER_CGROUP, "cgroup", "memory and processes, by a control group")

enum layer_index {
#define X(bit, name, text) bit##_INDEX,
    LAYER_LIST(X)
#undef X
        LAYER_COUNT
};

enum layer {
#define X(bit, name, text) bit = 1 << bit##_INDEX,
    LAYER_LIST(X)
#undef X
        LAYER_ALL = (1 << LAYER_COUNT) - 1
};

/* The name of the layer with this index; NULL past the last. */
const char *layer_name(int index);
/* The bit of a layer by its name, of n bytes; 0: there is none. */
unsigned layer_named(const char *name, unsigned long n);

#endif
