/* SPDX-License-Identifier: Apache-2.0 */
#include "support_groups.h"

#include <check.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support_check.h"
#include "support_process.h"

int
groups_inside(const struct cgroup_host *h, const struct cgroup *g,
              void (*attempt)(void))
{
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (cgroup_join(h, g) != 0)
            _exit(99);
        attempt();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

void
groups_remove(const struct cgroup_host *h, struct cgroup *g)
{
    int e = -1;
    for (int i = 0; i < 1000 && (e = cgroup_remove(h, g)) != 0; i++)
        process_sleep_ms(10);
    ck_ok(e);
}

void
groups_share_much(void)
{
    enum { MUCH = 256 << 20 };
    int fd = memfd_create("much", MFD_CLOEXEC);
    for (int i = 0; ftruncate(fd, MUCH) == 0 && i < MUCH; i += 4096)
        if (pwrite(fd, "x", 1, i) != 1)
            return;
}

void
groups_fork_many(void)
{
    int n = 0, ends[2];
    char c;
    if (pipe(ends) != 0)
        _exit(99);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            close(ends[1]);
            _exit(read(ends[0], &c, 1) == 0 ? 0 : 1);
        }
        n += child > 0;
    }
    _exit(n);
}
