/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "err.h"
#include "io.h"
#include "pages.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum {
    LARGEST = 64 << 20, /* of all together */
    HUGE_PAGE = 2 << 20,
    LINE = 4096 + 256
};

/* ---- what there is ------------------------------------------------------- */

/* A mapping, as smaps tells of it line by line. */
struct mapping {
    struct image_span span; /* of no size: none for us */
    unsigned long own;      /* KiB that are no file's */
    unsigned long huge;     /* of those: in huge pages */
};

/* Private memory that is no code, and not the kernel's own. */
static int
is_private(const char *permissions, const char *name)
{
    return permissions[0] == 'r' && permissions[2] == '-' &&
           permissions[3] == 'p' &&
           (name[0] != '[' || strncmp(name, "[heap]", 6) == 0 ||
            strncmp(name, "[anon:", 6) == 0);
}

/* Nor such of which somebody wants more than that: that a child finds it empty
 * (the state of a generator of random numbers), has none, or that it is locked.
 */
static int
is_plain(const char *flags)
{
    static const char known[] = "rd wr mr mw me ac sd hg nh";
    char flag[4];
    int n;
    for (; sscanf(flags, "%3s%n", flag, &n) == 1; flags += n)
        if (strstr(known, flag) == NULL)
            return 0;
    return 1;
}

/* 1 if the line begins a mapping. */
static int
begin_mapping(const char *line, struct mapping *m)
{
    char permissions[5];
    unsigned long from, to;
    int at = 0, protection = PROT_READ;
    if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %n", &from, &to, permissions,
               &at) != 3 ||
        at == 0)
        return 0;
    if (permissions[1] == 'w')
        protection |= PROT_WRITE;
    *m = (struct mapping){{from, to - from, protection}, 0, 0};
    if (!is_private(permissions, line + at))
        m->span.size = 0;
    return 1;
}

/* Is it one for us?  Only what has pages of its own costs something at a fork;
 * huge ones that are only read cost next to nothing. */
static int
is_wanted(const struct mapping *m)
{
    return m->span.size > 0 && m->own > 0 &&
           (m->huge == 0 || (m->span.protection & PROT_WRITE));
}

/* In smaps a mapping's flags come last of what is said of it. */
static size_t
find_spans(struct image *im)
{
    char line[LINE];
    size_t sum = 0;
    struct mapping m = {{0, 0, 0}, 0, 0};
    FILE *f = fopen("/proc/self/smaps", "re");
    while (f != NULL && im->count < IMAGE_SPANS &&
           fgets(line, sizeof line, f) != NULL) {
        if (begin_mapping(line, &m) ||
            sscanf(line, "Anonymous: %lu", &m.own) == 1 ||
            sscanf(line, "AnonHugePages: %lu", &m.huge) == 1)
            continue;
        if (strncmp(line, "VmFlags:", 8) == 0 && is_wanted(&m) &&
            is_plain(line + 8)) {
            im->spans[im->count++] = m.span;
            sum += m.span.size;
        }
    }
    if (f != NULL)
        fclose(f);
    return sum;
}

/* ---- to a file and back -------------------------------------------------- */

/* What is too long for a file would end us by a signal. */
static int
open_file(size_t size)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 ||
        (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < size))
        return -1;
    int fd = memfd_create("terrarium-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && ftruncate(fd, (off_t)size) != 0)
        io_close(&fd);
    return fd;
}

/* Pages that nobody has touched as well: else the first helper to read one
 * would add it. */
static int
fill(int fd, const struct image *im)
{
    off_t at = 0;
    for (int i = 0; i < im->count; i++) {
        const struct image_span *s = &im->spans[i];
        for (size_t done = 0; done < s->size;) {
            ssize_t k = pwrite(fd, (const char *)s->from + done, // NOLINT
                               s->size - done, at + (off_t)done);
            if (k > 0)
                done += (size_t)k;
            else if (k == 0 || errno != EINTR)
                return E_SYS;
        }
        at += (off_t)s->size;
    }
    return 0;
}

/* Of what lies in huge pages the kernel finds, and gives up, many pages at a
 * time, though each is mapped alone.  A hint, from Linux 6.1 on. */
static void
want_huge_pages(int fd, size_t size)
{
    char *room = mmap(NULL, size + HUGE_PAGE, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return;
    char *at = room + (-(uintptr_t)room & (HUGE_PAGE - 1));
    if (mmap(at, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == at)
        (void)madvise(at, size, MADV_COLLAPSE);
    munmap(room, size + HUGE_PAGE);
}

/* Now it is as it will be. */
static int
seal(int fd)
{
    int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    return fcntl(fd, F_ADD_SEALS, seals) == 0 ? 0 : E_SYS;
}

static int
lay(int fd, const struct image *im)
{
    off_t at = 0;
    for (int i = 0; i < im->count; i++) {
        const struct image_span *s = &im->spans[i];
        if (mmap((void *)s->from, s->size, s->protection, // NOLINT
                 MAP_PRIVATE | MAP_FIXED, fd, at) == MAP_FAILED)
            return E_SYS;
        at += (off_t)s->size;
    }
    return 0;
}

/* What is written between the two is lost, so all here is on the stack, which
 * is no part of it. */
static int
replace(int fd, size_t size, const struct image *im, int *laid)
{
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    *laid = 0;
    if (fill(fd, im) == 0) {
        want_huge_pages(fd, size);
        *laid = seal(fd) == 0;
    }
    int e = *laid ? lay(fd, im) : 0;
    sigprocmask(SIG_SETMASK, &old, NULL);
    return e;
}

int
image_take(struct image *im)
{
    struct image now = {.count = 0};
    int laid = 0;
    im->count = im->hot_count = 0;
    size_t size = PAGES_REPLACEABLE ? find_spans(&now) : 0;
    size = (size + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1);
    int fd = size > 0 && size <= LARGEST ? open_file(size) : -1;
    if (fd < 0)
        return 0;
    int e = replace(fd, size, &now, &laid);
    io_close(&fd);
    if (laid)
        *im = now;
    return e;
}

/* ---- what is hot --------------------------------------------------------- */

/* Bits of /proc/self/pagemap: it is there, and it is of the file. */
#define PRESENT (1ull << 63)
#define OF_FILE (1ull << 61)

static void
note(struct image *im, uintptr_t page, size_t size)
{
    struct image_span *last =
        im->hot_count > 0 ? &im->hot[im->hot_count - 1] : NULL;
    if (last != NULL && last->from + last->size == page)
        last->size += size;
    else if (im->hot_count < IMAGE_HOT)
        im->hot[im->hot_count++] = (struct image_span){page, size, 0};
}

void
image_look(struct image *im)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < im->count; i++) {
        uintptr_t at = im->spans[i].from, end = at + im->spans[i].size;
        while (at < end) {
            uint64_t entries[256];
            size_t want = (end - at) / page;
            if (want > 256)
                want = 256;
            ssize_t k = pread(fd, entries, want * sizeof entries[0],
                              (off_t)(at / page * sizeof entries[0]));
            if (k <= 0)
                break;
            for (size_t j = 0; j < (size_t)k / sizeof entries[0]; j++)
                if ((entries[j] & (PRESENT | OF_FILE)) == PRESENT)
                    note(im, at + j * page, page);
            at += (size_t)k / sizeof entries[0] * page;
        }
    }
    io_close(&fd);
}

void
image_warm(const struct image *im)
{
    int saved = errno;
    for (int i = 0; i < im->hot_count; i++)
        if (madvise((void *)im->hot[i].from, im->hot[i].size, // NOLINT
                    MADV_POPULATE_WRITE) != 0 &&
            errno == EINVAL) /* an older kernel */
            break;
    errno = saved;
}
