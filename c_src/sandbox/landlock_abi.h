/* SPDX-License-Identifier: Apache-2.0 */
/* landlock_abi.h - Landlock's system calls and numbers (landlock(7), the
 * kernel's include/uapi/linux/landlock.h), since that of Debian 12 stops at
 * ABI 2.   Used by: landlock.c and its tests. */
#ifndef TERRARIUM_SANDBOX_LANDLOCK_ABI_H
#define TERRARIUM_SANDBOX_LANDLOCK_ABI_H

#include <stdint.h>

enum {
    LL_CREATE_RULESET = 444,
    LL_ADD_RULE = 445,
    LL_RESTRICT_SELF = 446,
    LL_GET_VERSION = 1,
    LL_RULE_PATH = 1,
    LL_RULE_PORT = 2
};

/* Rights on files, each with the ABI that brought it. */
enum {
    LL_EXECUTE = 1 << 0,
    LL_WRITE_FILE = 1 << 1,
    LL_READ_FILE = 1 << 2,
    LL_READ_DIR = 1 << 3,
    LL_REMOVE_DIR = 1 << 4,
    LL_REMOVE_FILE = 1 << 5,
    LL_MAKE_CHAR = 1 << 6,
    LL_MAKE_DIR = 1 << 7,
    LL_MAKE_REG = 1 << 8,
    LL_MAKE_SOCK = 1 << 9,
    LL_MAKE_FIFO = 1 << 10,
    LL_MAKE_BLOCK = 1 << 11,
    LL_MAKE_SYM = 1 << 12,
    LL_REFER = 1 << 13,    /* 2 */
    LL_TRUNCATE = 1 << 14, /* 3 */
    LL_IOCTL_DEV = 1 << 15 /* 5 */
};
enum { LL_BIND_TCP = 1 << 0, LL_CONNECT_TCP = 1 << 1 };        /* 4 */
enum { LL_SCOPE_ABSTRACT = 1 << 0, LL_SCOPE_SIGNAL = 1 << 1 }; /* 6 */

/* The kernel takes a shorter one from whoever knows less. */
struct ll_ruleset {
    uint64_t fs;
    uint64_t net;
    uint64_t scoped;
};
struct ll_path {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));
struct ll_port {
    uint64_t allowed;
    uint64_t port;
};

#endif
