/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_program.c - what is put in huge pages holds the same, with the
 * same rights, and what can not be stays as it is. */
#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

enum { HUGE_PAGE = 2 << 20, SIZE = 3 << 20, ROOM = 8 << 20 };

static unsigned char *part;

/* Three MiB that begin at a huge page, with nothing behind them. */
static void
set_up(void)
{
    char *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(room, MAP_FAILED);
    part = (unsigned char *)room + (-(uintptr_t)room & (HUGE_PAGE - 1));
    for (size_t i = 0; i < SIZE; i++)
        part[i] = (unsigned char)(i % 251);
    munmap(part + SIZE, (size_t)(room + ROOM - (char *)part) - SIZE);
    ck_assert_int_eq(mprotect(part, SIZE, PROT_READ), 0);
}

static int
is_whole(void)
{
    for (size_t i = 0; i < SIZE; i++)
        if (part[i] != i % 251)
            return 0;
    return 1;
}

static int
can_be_written(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        *(volatile unsigned char *)part = 1;
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status);
}

/* In KiB, of the mapping that begins there. */
static unsigned long
in_huge_pages(void)
{
    char line[4096], start[32];
    unsigned long found = 0, n;
    int here = 0;
    FILE *f = fopen("/proc/self/smaps", "re");
    ck_assert_ptr_nonnull(f);
    snprintf(start, sizeof start, "%lx-", (unsigned long)(uintptr_t)part);
    while (fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, start, strlen(start)) == 0)
            here = 1;
        if (here && sscanf(line, "AnonHugePages: %lu", &n) == 1) {
            found = n;
            break;
        }
    }
    fclose(f);
    return found;
}

START_TEST(holds_the_same_with_the_same_rights)
{
    int is = program_enlarge_part((uintptr_t)part, SIZE, PROT_READ);
    ck_assert(is_whole());
    ck_assert(!can_be_written());
    if (is) /* else this kernel has none to give */
        ck_assert_uint_eq(in_huge_pages(), 2 * HUGE_PAGE / 1024);
}
END_TEST

START_TEST(needs_room_behind_it)
{
    unsigned char *behind =
        mmap(part + SIZE, 4096, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    ck_assert_ptr_eq(behind, part + SIZE);
    behind[0] = 7;
    ck_assert(!program_enlarge_part((uintptr_t)part, SIZE, PROT_READ));
    ck_assert(is_whole());
    ck_assert_uint_eq(behind[0], 7);
}
END_TEST

START_TEST(begins_at_a_huge_page_and_is_worth_it)
{
    ck_assert(
        !program_enlarge_part((uintptr_t)part + 4096, SIZE - 4096, PROT_READ));
    ck_assert(!program_enlarge_part((uintptr_t)part, 4096, PROT_READ));
    ck_assert(is_whole());
    ck_assert_uint_eq(in_huge_pages(), 0);
}
END_TEST

/* This program runs on, whatever is done of it. */
START_TEST(goes_on_in_them)
{
    program_enlarge();
    program_enlarge();
    ck_assert(is_whole());
}
END_TEST

Suite *make_zygote_program_suite(void);

Suite *
make_zygote_program_suite(void)
{
    Suite *s = suite_create("zygote_program");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, NULL);
    tcase_add_test(all, holds_the_same_with_the_same_rights);
    tcase_add_test(all, needs_room_behind_it);
    tcase_add_test(all, begins_at_a_huge_page_and_is_worth_it);
    tcase_add_test(all, goes_on_in_them);
    suite_add_tcase(s, all);
    return s;
}
