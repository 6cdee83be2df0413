/* SPDX-License-Identifier: Apache-2.0 */
/* check_ctl.c - control messages: written, read, and refused. */
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "support_check.h"
#include "wire.h"

static char *const words[] = {"one", "", "three"};

/* One of everything; 0 or the error. */
static int
write_sample(struct ctl_out *o)
{
    struct ctl_out sub;
    ctl_begin(&sub);
    ctl_put_str(&sub, "PATH", "/bin");
    ctl_put_bin(&sub, "raw", "\xff\x00z", 3);
    int e = ctl_end(&sub);
    ctl_begin(o);
    ctl_put_type(o, CTL_spawn);
    ctl_put_uint(o, "most", UINT64_MAX);
    ctl_put_uint(o, "few", 7);
    ctl_put_int(o, "least", INT64_MIN);
    ctl_put_int(o, "plus", 300);
    ctl_put_bool(o, "yes", 5);
    ctl_put_bool(o, "no", 0);
    ctl_put_strs(o, "words", words, 3);
    ctl_put_strs(o, "none", NULL, 0);
    ctl_put_map(o, "env", &sub);
    ctl_put_raw(o, "raw", "\xc0", 1); /* nil */
    if (e == 0)
        e = ctl_end(o);
    ctl_free(&sub);
    return e;
}

static void
same_bytes(const char *p, size_t n, const char *expected, size_t len)
{
    ck_assert_uint_eq(n, len);
    ck_assert_mem_eq(p, expected, len);
}

START_TEST(what_was_written_is_read)
{
    struct ctl_out o;
    struct ctl_in in;
    struct ctl_map m;
    uint64_t u = 0;
    int64_t i = 0;
    int b = -1;
    ck_ok(write_sample(&o));
    ck_ok(ctl_open(&in, o.bytes.data, o.bytes.len, &m));
    ck_assert_uint_eq(ctl_map_len(&m), 11);
    ck_assert_int_eq(ctl_is(&m, CTL_spawn), 1);
    ck_assert_int_eq(ctl_is(&m, "spa"), 0);
    ck_assert_int_eq(ctl_is(&m, CTL_spawned), 0);
    ck_assert_int_eq(ctl_get_uint(&m, "most", &u), 1);
    ck_assert(u == UINT64_MAX);
    ck_assert_int_eq(ctl_get_int(&m, "most", &i), 0);
    ck_assert_int_eq(ctl_get_int(&m, "least", &i), 1);
    ck_assert(i == INT64_MIN);
    ck_assert_int_eq(ctl_get_uint(&m, "least", &u), 0);
    ck_assert_int_eq(ctl_get_uint(&m, "plus", &u), 1);
    ck_assert_int_eq(ctl_get_int(&m, "few", &i), 1);
    ck_assert(u == 300 && i == 7);
    ck_assert_int_eq(ctl_get_bool(&m, "yes", &b), 1);
    ck_assert_int_eq(b, 1);
    ck_assert_int_eq(ctl_get_bool(&m, "no", &b), 1);
    ck_assert_int_eq(b, 0);
    ctl_close(&in);
    ctl_close(&in);
    ctl_free(&o);
}
END_TEST

START_TEST(lists_and_maps_inside_are_read)
{
    struct ctl_out o;
    struct ctl_in in;
    struct ctl_map m, env;
    const char *p, *k;
    size_t n, kn;
    ck_ok(write_sample(&o));
    ck_ok(ctl_open(&in, o.bytes.data, o.bytes.len, &m));
    ck_assert_uint_eq(ctl_list_len(&m, "words"), 3);
    ck_assert_uint_eq(ctl_list_len(&m, "none"), 0);
    ck_assert_uint_eq(ctl_list_len(&m, "env"), 0);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(ctl_list_bytes(&m, "words", i, &p, &n), 1);
        same_bytes(p, n, words[i], strlen(words[i]));
    }
    ck_assert_int_eq(ctl_list_bytes(&m, "words", 3, &p, &n), 0);
    ck_assert_int_eq(ctl_list_bytes(&m, "env", 0, &p, &n), 0);
    ck_assert_int_eq(ctl_get_map(&m, "words", &env), 0);
    ck_assert_int_eq(ctl_get_map(&m, "env", &env), 1);
    ck_assert_uint_eq(ctl_map_len(&env), 2);
    ck_assert_int_eq(ctl_pair(&env, 0, &k, &kn, &p, &n), 1);
    same_bytes(k, kn, "PATH", 4);
    same_bytes(p, n, "/bin", 4);
    ck_assert_int_eq(ctl_pair(&env, 1, &k, &kn, &p, &n), 1);
    same_bytes(p, n, "\xff\x00z", 3);
    ck_assert_int_eq(ctl_pair(&env, 2, &k, &kn, &p, &n), 0);
    ck_assert_int_eq(ctl_pair(&m, 1, &k, &kn, &p, &n), 0); /* a number */
    ctl_close(&in);
    ctl_free(&o);
}
END_TEST

START_TEST(missing_keys_and_other_types_are_not_there)
{
    struct ctl_out o;
    struct ctl_in in;
    struct ctl_map m, sub;
    const char *p = NULL;
    size_t n = 77;
    uint64_t u = 77;
    int64_t i = 77;
    int b = 77;
    ck_ok(write_sample(&o));
    ck_ok(ctl_open(&in, o.bytes.data, o.bytes.len, &m));
    static const char *const keys[] = {"absent", "raw", "words", "env", ""};
    for (size_t k = 0; k < 5; k++) {
        ck_assert_int_eq(ctl_get_bytes(&m, keys[k], &p, &n), 0);
        ck_assert_int_eq(ctl_get_uint(&m, keys[k], &u), 0);
        ck_assert_int_eq(ctl_get_int(&m, keys[k], &i), 0);
        ck_assert_int_eq(ctl_get_bool(&m, keys[k], &b), 0);
        ck_assert_ptr_null(ctl_dup(&m, keys[k]));
    }
    ck_assert(p == NULL && n == 77 && u == 77 && i == 77 && b == 77);
    ck_assert_int_eq(ctl_get_map(&m, "absent", &sub), 0);
    ck_assert_uint_eq(ctl_list_len(&m, "absent"), 0);
    ck_assert_int_eq(ctl_get_bytes(&m, "few", &p, &n), 0);
    ctl_close(&in);
    ctl_free(&o);
}
END_TEST

/* msgpack-c has NULL for an empty string; its readers get an address. */
START_TEST(empty_strings_have_an_address)
{
    struct ctl_in in;
    struct ctl_map m;
    const char *p = NULL, *k = NULL;
    size_t n = 1, kn = 1;
    ck_ok(ctl_open(&in,
                   "\x82\xa0\xa0\xa1"
                   "b\xc4\0",
                   7, &m));
    ck_assert_int_eq(ctl_pair(&m, 0, &k, &kn, &p, &n), 1);
    ck_assert(k != NULL && kn == 0 && p != NULL && n == 0);
    p = NULL;
    ck_assert_int_eq(ctl_get_bytes(&m, "", &p, &n), 1);
    ck_assert_ptr_nonnull(p);
    p = NULL;
    ck_assert_int_eq(ctl_get_bytes(&m, "b", &p, &n), 1);
    ck_assert_ptr_nonnull(p);
    char *copy = ctl_dup(&m, "");
    ck_assert_str_eq(copy, "");
    mem_free(copy);
    ctl_close(&in);
}
END_TEST

START_TEST(dup_copies_text_but_no_nul)
{
    struct ctl_out o;
    struct ctl_in in;
    struct ctl_map m;
    ctl_begin(&o);
    ctl_put_str(&o, "text", "abc");
    ctl_put_str(&o, "empty", "");
    ctl_put_bin(&o, "nul", "a\0b", 3);
    ck_ok(ctl_end(&o));
    ck_ok(ctl_open(&in, o.bytes.data, o.bytes.len, &m));
    char *text = ctl_dup(&m, "text"), *empty = ctl_dup(&m, "empty");
    ck_assert_str_eq(text, "abc");
    ck_assert_str_eq(empty, "");
    ck_assert_ptr_null(ctl_dup(&m, "nul"));
    mem_fail_at(1);
    ck_assert_ptr_null(ctl_dup(&m, "text"));
    mem_fail_at(0);
    ctl_close(&in);
    ctl_free(&o);
    mem_free(text);
    mem_free(empty);
}
END_TEST

/* What is read belongs to the message, not to the bytes it came in. */
START_TEST(strings_outlive_the_packet)
{
    struct ctl_out o;
    struct ctl_in in;
    struct ctl_map m;
    const char *p;
    size_t n;
    ck_ok(write_sample(&o));
    uint8_t *packet = malloc(o.bytes.len);
    memcpy(packet, o.bytes.data, o.bytes.len);
    ck_ok(ctl_open(&in, packet, o.bytes.len, &m));
    memset(packet, 0xee, o.bytes.len);
    free(packet);
    ck_assert_int_eq(ctl_list_bytes(&m, "words", 0, &p, &n), 1);
    same_bytes(p, n, "one", 3);
    ck_assert_int_eq(ctl_is(&m, CTL_spawn), 1);
    ctl_close(&in);
    ctl_free(&o);
}
END_TEST

/* ---- writing that fails ------------------------------------------------- */

START_TEST(the_first_error_sticks)
{
    struct ctl_out o, sub;
    char *huge = malloc(WIRE_LIMIT_MAX_CONTROL + 2);
    memset(huge, 'x', WIRE_LIMIT_MAX_CONTROL + 1);
    huge[WIRE_LIMIT_MAX_CONTROL + 1] = 0;
    ctl_begin(&o);
    ctl_put_str(&o, "a", huge);
    size_t len = o.bytes.len;
    ctl_put_str(&o, "b", NULL);
    ctl_put_uint(&o, "c", 1);
    ck_assert_uint_eq(o.bytes.len, len);
    ck_err(ctl_end(&o), E_LIMIT);
    ctl_begin(&sub);
    ctl_put_map(&sub, "o", &o);
    ck_err(ctl_end(&sub), E_LIMIT);
    ctl_free(&sub);
    ctl_free(&o);
    ctl_free(&o);
    ctl_begin(&o);
    ctl_put_str(&o, "b", NULL);
    ck_err(ctl_end(&o), E_ARG);
    ctl_free(&o);
    ctl_begin(&o);
    ctl_put_raw(&o, "b", "", 0);
    ck_err(ctl_end(&o), E_ARG);
    ctl_free(&o);
    char *const holes[] = {"a", NULL};
    ctl_begin(&o);
    ctl_put_strs(&o, "list", holes, 2);
    ck_err(ctl_end(&o), E_ARG);
    ctl_free(&o);
    free(huge);
}
END_TEST

START_TEST(a_message_is_as_long_as_may_be_and_no_longer)
{
    char *text = malloc(WIRE_LIMIT_MAX_CONTROL);
    for (size_t n = WIRE_LIMIT_MAX_CONTROL - 20; n < WIRE_LIMIT_MAX_CONTROL;
         n++) {
        struct ctl_out o;
        struct ctl_in in;
        struct ctl_map m;
        memset(text, 'x', n);
        text[n] = 0;
        ctl_begin(&o);
        ctl_put_str(&o, "t", text);
        int fits = 5 + 2 + 5 + n <= WIRE_LIMIT_MAX_CONTROL;
        ck_err(ctl_end(&o), fits ? 0 : E_LIMIT);
        if (fits) {
            ck_ok(ctl_open(&in, o.bytes.data, o.bytes.len, &m));
            ctl_close(&in);
        }
        ctl_free(&o);
    }
    free(text);
}
END_TEST

static int
write_once(void)
{
    struct ctl_out o;
    int e = write_sample(&o);
    ctl_free(&o);
    return e;
}

static struct ctl_out sample;

static int
open_once(void)
{
    struct ctl_in in = {0};
    struct ctl_map m = {0};
    int e = ctl_open(&in, sample.bytes.data, sample.bytes.len, &m);
    if (e != 0)
        ck_assert(in.tree == NULL && m.map == NULL);
    else
        ctl_close(&in);
    return e;
}

START_TEST(without_memory_it_says_so)
{
    each_allocation_fails(write_once);
    ck_ok(write_sample(&sample));
    each_allocation_fails(open_once);
    ctl_free(&sample);
}
END_TEST

/* ---- bytes that are refused --------------------------------------------- */

static int
open_bytes(const void *p, size_t n)
{
    struct ctl_in in = {0};
    struct ctl_map m;
    uint8_t *exact = malloc(n ? n : 1); /* a sanitizer sees steps beyond */
    memcpy(exact, p, n);
    int e = ctl_open(&in, exact, n, &m);
    if (e == 0)
        ctl_close(&in);
    else
        ck_assert_ptr_null(in.tree);
    free(exact);
    return e;
}
#define REFUSED(text) ck_err(open_bytes(text, sizeof(text) - 1), E_FORMAT)
#define ACCEPTED(text) ck_ok(open_bytes(text, sizeof(text) - 1))

START_TEST(only_maps_with_string_keys_are_messages)
{
    ACCEPTED("\x80");
    ACCEPTED("\x81\xa1k\x01");
    ACCEPTED("\x81\xd9\x01k\x01");
    ACCEPTED("\xde\x00\x01\xda\x00\x01k\xdb\x00\x00\x00\x01v");
    ACCEPTED("\xdf\x00\x00\x00\x01\xa1k\xc4\x01v");
    ACCEPTED("\x81\xa1k\x93\x01\x81\xa1i\xc0\x90");
    REFUSED("");
    REFUSED("\x01");
    REFUSED("\xa1k");
    REFUSED("\x91\x01");
    REFUSED("\x90");
    REFUSED("\xc0");
    REFUSED("\x81\x01\x01");
    REFUSED("\x81\xc4\x01k\x01");
    REFUSED("\x81\x80\x01");
    REFUSED("\x81\xa1k\x81\x01\x01");
    REFUSED("\x81\xa1k\x92\x01\x81\xc0\x01");
    REFUSED("\x80\x80");
    REFUSED("\x81\xa1k\x01\x01");
}
END_TEST

START_TEST(every_value_tag_is_bounded)
{
    ACCEPTED("\x81\xa1k\xca\x3f\x80\x00\x00");
    ACCEPTED("\x81\xa1k\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00");
    ACCEPTED("\x81\xa1k\xcf\xff\xff\xff\xff\xff\xff\xff\xff");
    ACCEPTED("\x81\xa1k\xd3\x80\x00\x00\x00\x00\x00\x00\x00");
    ACCEPTED("\x81\xa1k\xff");
    ACCEPTED("\x81\xa1k\xdc\x00\x01\xc3");
    ACCEPTED("\x81\xa1k\xdd\x00\x00\x00\x01\xc2");
    ACCEPTED("\x81\xa1k\xc5\x00\x01v");
    ACCEPTED("\x81\xa1k\xc6\x00\x00\x00\x01v");
    REFUSED("\x81\xa1k\xc1");          /* never used */
    REFUSED("\x81\xa1k\xc7\x01\x05v"); /* extensions */
    REFUSED("\x81\xa1k\xd4\x05v");
    REFUSED("\x81\xa1k\xd6\xff\x00\x00\x00\x00");
    REFUSED("\x81\xa1k\xdd\xff\xff\xff\xff"); /* 64 GiB of array */
    REFUSED("\x81\xa1k\xdf\xff\xff\xff\xff");
    REFUSED("\x81\xa1k\xdb\xff\xff\xff\xff");
    REFUSED("\x81\xa1k\xc6\xff\xff\xff\xff");
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    struct ctl_out o;
    ck_ok(write_sample(&o));
    for (size_t n = 0; n < o.bytes.len; n++)
        ck_err(open_bytes(o.bytes.data, n), E_FORMAT);
    ck_ok(open_bytes(o.bytes.data, o.bytes.len));
    ck_ok(buf_put_u8(&o.bytes, 0xc0));
    ck_err(open_bytes(o.bytes.data, o.bytes.len), E_FORMAT);
    ctl_free(&o);
}
END_TEST

START_TEST(depth_and_size_have_limits)
{
    uint8_t p[200];
    for (size_t lists = 28; lists < 36; lists++) {
        for (int empty = 0; empty < 2; empty++) {
            memcpy(p, "\x81\xa1k", 3);
            memset(p + 3, 0x91, lists);
            p[3 + lists] = empty ? 0x90 : 0x01;
            size_t depth = 1 + lists + (size_t)empty;
            ck_err(open_bytes(p, 4 + lists), depth <= 32 ? 0 : E_FORMAT);
        }
    }
    uint8_t *big = calloc(1, WIRE_LIMIT_MAX_CONTROL + 1);
    big[0] = 0x80;
    ck_err(open_bytes(big, WIRE_LIMIT_MAX_CONTROL + 1), E_LIMIT);
    ck_err(open_bytes(big, WIRE_LIMIT_MAX_CONTROL), E_FORMAT);
    free(big);
}
END_TEST

/* Any single bit flipped: read or refused, and all that is read is inside. */
START_TEST(flipped_bits_do_no_harm)
{
    struct ctl_out o;
    int accepted = 0;
    ck_ok(write_sample(&o));
    for (size_t bit = 0; bit < 8 * o.bytes.len; bit++) {
        o.bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int e = open_bytes(o.bytes.data, o.bytes.len);
        ck_assert(e == 0 || e == E_FORMAT);
        accepted += e == 0;
        o.bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_int_gt(accepted, 0);
    ctl_free(&o);
}
END_TEST

Suite *
make_ctl_suite(void)
{
    const TTest *const tests[] = {what_was_written_is_read,
                                  lists_and_maps_inside_are_read,
                                  missing_keys_and_other_types_are_not_there,
                                  empty_strings_have_an_address,
                                  dup_copies_text_but_no_nul,
                                  strings_outlive_the_packet,
                                  the_first_error_sticks,
                                  a_message_is_as_long_as_may_be_and_no_longer,
                                  without_memory_it_says_so,
                                  only_maps_with_string_keys_are_messages,
                                  every_value_tag_is_bounded,
                                  every_truncation_is_refused,
                                  depth_and_size_have_limits,
                                  flipped_bits_do_no_harm,
                                  NULL};
    return suite_of("ctl", tests, 30);
}
