/* SPDX-License-Identifier: Apache-2.0 */
#include "drv_spawn.h"

#include <erl_driver.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>

#include "handoff.h"

/* Point into body at each NUL-ended string: the count, or -1 (malformed). */
static long
split(char *p, size_t n, char **to)
{
    long count = 0;
    if (n > 0 && p[n - 1] != '\0')
        return -1;
    for (size_t at = 0; at < n; at += strlen(p + at) + 1)
        to[count++] = p + at;
    return count;
}

static int
attributes(posix_spawnattr_t *a)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int r = posix_spawnattr_init(a);
    if (r == 0)
        r = posix_spawnattr_setsigmask(a, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(a, &all);
    if (r == 0)
        r = posix_spawnattr_setflags(a, POSIX_SPAWN_SETSIGMASK |
                                            POSIX_SPAWN_SETSIGDEF);
    return r;
}

static int
actions(posix_spawn_file_actions_t *fa, int socket)
{
    int r = posix_spawn_file_actions_init(fa);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(fa, socket, HANDOFF_CONTROL_FD);
    if (r == 0)
        r = posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(fa,
                                                     HANDOFF_CONTROL_FD + 1);
    return r;
}

static int
spawn(char **argv, char **envp, int socket, pid_t *pid)
{
    posix_spawnattr_t a;
    posix_spawn_file_actions_t fa;
    int r = attributes(&a);
    if (r != 0)
        return r;
    r = actions(&fa, socket);
    if (r == 0)
        r = posix_spawn(pid, argv[0], &fa, &a, argv, envp);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&a);
    return r;
}

int
drv_spawn(const uint8_t *body, size_t n, int socket, pid_t *pid)
{
    uint32_t argc;
    if (n < sizeof argc)
        return EINVAL;
    memcpy(&argc, body, sizeof argc);
    n -= sizeof argc;
    /* At most n strings, and a NULL after argv and after envp. */
    char **v = driver_alloc((n + 2) * sizeof *v);
    char *bytes = driver_alloc(n + 1);
    int r = ENOMEM;
    if (v == NULL || bytes == NULL)
        goto out;
    memcpy(bytes, body + sizeof argc, n);
    long count = split(bytes, n, v);
    r = EINVAL;
    if (argc < 1 || count < (long)argc)
        goto out;
    memmove(v + argc + 1, v + argc, ((size_t)count - argc) * sizeof *v);
    v[argc] = NULL;
    v[count + 1] = NULL;
    r = spawn(v, v + argc + 1, socket, pid);
out:
    if (v != NULL)
        driver_free(v);
    if (bytes != NULL)
        driver_free(bytes);
    return r;
}
