/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pages.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum {
    HUGE_PAGE = 2 << 20,
    WORTH = 1 << 20 /* smaller parts are left as they are */
};

static uintptr_t
round_up(uintptr_t v, uintptr_t to)
{
    return (v + to - 1) & ~(to - 1);
}

/* A copy in huge pages, within *room, which has one more than it needs. */
static char *
copy_of(const void *from, size_t size, size_t whole, char **room)
{
    *room = mmap(NULL, whole + HUGE_PAGE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*room == MAP_FAILED)
        return NULL;
    char *copy = *room + (-(uintptr_t)*room & (HUGE_PAGE - 1));
    (void)madvise(copy, whole, MADV_HUGEPAGE);
    memcpy(copy, from, size);
    return madvise(copy, whole, MADV_COLLAPSE) == 0 ? copy : NULL;
}

/* The part itself may be what runs, so it goes in one step. */
static int
put(void *part, size_t size, size_t whole, int protection)
{
    char *room, *copy = copy_of(part, size, whole, &room);
    int is_put =
        copy != NULL && mprotect(copy, whole, protection) == 0 &&
        mremap(copy, whole, whole, MREMAP_MAYMOVE | MREMAP_FIXED, part) == part;
    if (room != MAP_FAILED)
        munmap(room, whole + HUGE_PAGE); /* what is left of it */
    return is_put;
}

int
program_enlarge_part(uintptr_t from, size_t size, int protection)
{
    size_t end = round_up(size, (uintptr_t)sysconf(_SC_PAGESIZE));
    size_t whole = round_up(size, HUGE_PAGE);
    char *part = (char *)from; // NOLINT: the linker's number
    if (from % HUGE_PAGE != 0 || size < WORTH)
        return 0;
    char *rest = part + end;
    if (end < whole) {
        void *at =
            mmap(rest, whole - end, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (at != rest && at != MAP_FAILED) /* an older kernel's idea */
            munmap(at, whole - end);
        if (at != rest)
            return 0;
    }
    if (put(part, size, whole, protection))
        return 1;
    if (end < whole)
        munmap(rest, whole - end);
    return 0;
}

/* The program comes first, and is all we want to hear of. */
static int
enlarge_parts(struct dl_phdr_info *program, size_t n, void *arg)
{
    (void)n;
    (void)arg;
    for (int i = 0; i < program->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &program->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || (p->p_flags & PF_W))
            continue;
        (void)program_enlarge_part(program->dlpi_addr + p->p_vaddr, p->p_memsz,
                                   PROT_READ |
                                       (p->p_flags & PF_X ? PROT_EXEC : 0));
    }
    return 1;
}

void
program_enlarge(void)
{
    static int done;
    if (PAGES_REPLACEABLE && !done)
        dl_iterate_phdr(enlarge_parts, NULL);
    done = 1;
}
