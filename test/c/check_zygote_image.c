/* SPDX-License-Identifier: Apache-2.0 */
/* check_zygote_image.c - memory that became a file is as it was, each child
 * writes its own copy, and what it writes is found and can be had at once.
 * With a sanitizer there is no image. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image.h"

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

enum { PAGES = 256, OTHER = 40 };

static size_t page;
static unsigned char *memory;
static unsigned char in_data[1 << 20] = {1};

static void
set_up(void)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    memory = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    for (size_t i = 0; i < PAGES; i++)
        memory[i * page] = (unsigned char)(i + 1);
}

static int
holds(const struct image_span *s, int n, const void *p)
{
    for (int i = 0; i < n; i++)
        if ((uintptr_t)p - s[i].from < s[i].size)
            return 1;
    return 0;
}

/* Is all as set_up made it, but for one page? */
static int
is_whole(size_t but)
{
    for (size_t i = 0; i < PAGES; i++)
        if (i != but && memory[i * page] != (unsigned char)(i + 1))
            return 0;
    return 1;
}

static int
in_child(int (*live)(void *), void *arg)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(live(arg));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
write_one(void *arg)
{
    (void)arg;
    memory[3 * page] = 77;
    return is_whole(3) ? 0 : 1;
}

START_TEST(keeps_what_there_is)
{
    static struct image im;
    char *heap = malloc(512);
    strcpy(heap, "on the heap");
    in_data[4096] = 5;
    ck_assert_int_eq(image_take(&im), 0);
    ck_assert_int_eq(im.count > 0, !SANITIZED);
    ck_assert(is_whole(PAGES));
    ck_assert_str_eq(heap, "on the heap");
    ck_assert_uint_eq(in_data[4096], 5);
    ck_assert_int_eq(holds(im.spans, im.count, memory), !SANITIZED);
    ck_assert_int_eq(holds(im.spans, im.count, in_data), !SANITIZED);
    free(heap);
}
END_TEST

START_TEST(each_process_has_its_own)
{
    struct image im;
    ck_assert_int_eq(image_take(&im), 0);
    ck_assert_int_eq(in_child(write_one, NULL), 0);
    ck_assert(is_whole(PAGES));
    memory[OTHER * page] = 99; /* a sibling that is forked later has this */
    ck_assert_int_eq(in_child(write_one, NULL), 1);
    memory[OTHER * page] = OTHER + 1;
    ck_assert_int_eq(in_child(write_one, NULL), 0);
}
END_TEST

static int
write_small(void *small)
{
    *(volatile char *)small = 1;
    return 0;
}

/* As what a linker has filled in and locked then. */
START_TEST(takes_what_can_only_be_read_by_now)
{
    static struct image im;
    char *small = mmap(NULL, page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(small, MAP_FAILED);
    strcpy(small, "small");
    ck_assert_int_eq(mprotect(small, page, PROT_READ), 0);
    ck_assert_int_eq(image_take(&im), 0);
    ck_assert_int_eq(holds(im.spans, im.count, small), !SANITIZED);
    ck_assert_str_eq(small, "small");
    ck_assert_int_ne(in_child(write_small, small), 0);
}
END_TEST

/* Who wants a mapping to be empty in a child, has it so. */
START_TEST(leaves_alone_what_is_wiped)
{
    struct image im;
    ck_assert_int_eq(madvise(memory, PAGES * page, MADV_WIPEONFORK), 0);
    ck_assert_int_eq(image_take(&im), 0);
    ck_assert(!holds(im.spans, im.count, memory));
    ck_assert_int_eq(in_child(write_one, NULL), 1);
}
END_TEST

static int
faults_of_writing(void *arg)
{
    const struct image *im = arg;
    struct rusage before, after;
    image_warm(im);
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < OTHER; i++)
        memory[i * page]++;
    getrusage(RUSAGE_SELF, &after);
    return (int)(after.ru_minflt - before.ru_minflt);
}

START_TEST(finds_what_is_written)
{
    static struct image im, none;
    ck_assert_int_eq(image_take(&im), 0);
    if (SANITIZED)
        return;
    none = im;
    for (size_t i = 0; i < OTHER; i++)
        memory[i * page]++;
    image_look(&im);
    ck_assert(holds(im.hot, im.hot_count, memory));
    ck_assert(holds(im.hot, im.hot_count, memory + (OTHER - 1) * page));
    ck_assert(!holds(im.hot, im.hot_count, memory + OTHER * page));
    int cold = in_child(faults_of_writing, &none);
    ck_assert_int_ge(cold, OTHER);
    /* An older kernel has no such advice. */
    if (madvise(memory, page, 23) == 0)
        ck_assert_int_lt(in_child(faults_of_writing, &im), OTHER / 2);
}
END_TEST

START_TEST(does_without_a_file)
{
    struct image im;
    struct rlimit small = {4096, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ck_assert_int_eq(image_take(&im), 0);
    ck_assert_int_eq(im.count, 0);
    ck_assert_int_eq(in_child(write_one, NULL), 0);
}
END_TEST

Suite *make_zygote_image_suite(void);

Suite *
make_zygote_image_suite(void)
{
    Suite *s = suite_create("zygote_image");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, NULL);
    tcase_add_test(all, keeps_what_there_is);
    tcase_add_test(all, each_process_has_its_own);
    tcase_add_test(all, takes_what_can_only_be_read_by_now);
    tcase_add_test(all, leaves_alone_what_is_wiped);
    tcase_add_test(all, finds_what_is_written);
    tcase_add_test(all, does_without_a_file);
    suite_add_tcase(s, all);
    return s;
}
