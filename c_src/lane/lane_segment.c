/* SPDX-License-Identifier: Apache-2.0 */
/* lane_segment.c - the sealed memory that a lane lies in. */
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "err.h"
#include "io.h"
#include "lane.h"
#include "lane_layout.h"

_Static_assert(offsetof(struct lane_shared, vm) == 0 &&
                   offsetof(struct lane_shared, helper) ==
                       sizeof(struct lane_words),
               "both sides' words come first");

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

int
lane_segment_create(int *out)
{
    int fd = memfd_create("terrarium-lane", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return E_SYS;
    /* A new file is all zeroes: empty rings.  Nobody serves them yet, so both
     * sides begin asleep for data. */
    const struct lane_words words[] = {{.asleep = LANE_DATA},
                                       {.asleep = LANE_DATA}};
    if (ftruncate(fd, sizeof(struct lane_shared)) != 0 ||
        pwrite(fd, words, sizeof words, 0) != sizeof words ||
        fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
        io_close(&fd);
        return E_SYS;
    }
    *out = fd;
    return 0;
}

/* Only a segment that can't shrink may be mapped: a truncated one would end
 * whoever touches it by SIGBUS. */
int
lane_segment_check(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    /* Not by fstat: glibc makes that one a call that a strict sandbox refuses,
     * since it could ask about paths as well.  Nobody minds the offset. */
    off_t size = lseek(fd, 0, SEEK_END);
    if (seals < 0 || size < 0)
        return E_SYS;
    if ((seals & SEALS) != SEALS || size != sizeof(struct lane_shared))
        return E_FORMAT;
    return 0;
}
