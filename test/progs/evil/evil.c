/* SPDX-License-Identifier: Apache-2.0 */
#include "evil.h"

#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "err.h"
#include "io.h"

static const uint8_t forty_two[] = {131, 97, 42};

void
evil_broken(const char *what)
{
    fprintf(stderr, "evil helper: %s\n", what);
    _exit(EVIL_BROKEN);
}

void
evil_wait(void)
{
    for (;;)
        pause();
}

void
evil_sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* ---- up ------------------------------------------------------------------ */

void
evil_say(struct evil *e, const void *p, size_t n)
{
    const uint8_t *at = p;
    while (n > 0) {
        struct iovec v = {(void *)at, n};
        size_t k = 0;
        int r = channel_writev(&e->channel, &v, 1, &k);
        if (r == E_AGAIN)
            channel_wait(&e->channel, CHANNEL_WRITE, 50);
        else if (r != 0)
            evil_wait(); /* the VM has had enough */
        at += k;
        n -= k;
    }
    channel_ring(&e->channel);
}

void
evil_header(struct evil *e, uint32_t length, uint8_t opcode, uint8_t flags,
            uint16_t zero, uint64_t id)
{
    uint8_t head[WIRE_LIMIT_HEADER_SIZE];
    struct wire_header h = {length, opcode, flags, zero, id};
    wire_put_header(head, &h);
    head[6] = (uint8_t)zero;
    evil_say(e, head, sizeof head);
}

void
evil_frame(struct evil *e, uint8_t opcode, uint64_t id, const void *body,
           size_t n)
{
    evil_header(e, (uint32_t)n, opcode, 0, 0, id);
    evil_say(e, body, n);
}

void
evil_answer(struct evil *e, uint64_t id)
{
    evil_frame(e, WIRE_RESULT, id, forty_two, sizeof forty_two);
}

void
evil_hello(struct evil *e, uint64_t version, uint64_t fingerprint)
{
    struct ctl_out m;
    ctl_begin(&m);
    ctl_put_uint(&m, "version", version);
    ctl_put_uint(&m, "fingerprint", fingerprint);
    ctl_put_int(&m, "pid", getpid());
    ctl_put_str(&m, "python", "3.11.0");
    if (ctl_end(&m) != 0)
        evil_broken("hello");
    evil_frame(e, WIRE_HELLO, 0, m.bytes.data, m.bytes.len);
    ctl_free(&m);
}

size_t
evil_question(uint8_t *to, uint64_t number)
{
    static const uint8_t head[] = {131, 104, 4, 110, 8, 0};
    number = htole64(number | 1ull << 63);
    memcpy(to, head, sizeof head);
    memcpy(to + sizeof head, &number, 8);
    return sizeof head + 8;
}

/* ---- down ---------------------------------------------------------------- */

static void
fill(struct evil *e)
{
    uint8_t *p;
    size_t cap, n = 0;
    if (frame_reader_space(&e->in, 65536, &p, &cap) != 0)
        evil_broken("no memory");
    channel_polled(&e->channel);
    int r = channel_read(&e->channel, p, cap, &n);
    if (r == 0)
        frame_reader_filled(&e->in, n);
    else if (r == E_AGAIN)
        channel_wait(&e->channel, CHANNEL_READ, 50);
    else
        _exit(0); /* the VM has closed the connection */
}

void
evil_next(struct evil *e)
{
    struct frame f;
    for (;;) {
        while (frame_next(&e->in, &f) != 0)
            fill(e);
        e->opcode = f.h.opcode;
        e->id = f.h.id;
        if (wire_is_request(f.h.opcode) || f.h.opcode == WIRE_CANCEL)
            return;
        if (f.h.opcode == WIRE_STOP)
            _exit(0);
    }
}

void
evil_serve(struct evil *e)
{
    for (;;) {
        evil_next(e);
        if (e->opcode != WIRE_CANCEL)
            evil_answer(e, e->id);
    }
}

/* ---- life ---------------------------------------------------------------- */

static void
read_exactly(int fd, void *to, size_t n)
{
    uint8_t *p = to;
    while (n > 0) {
        ssize_t k = read(fd, p, n);
        if (k <= 0)
            _exit(0); /* nobody wanted this helper */
        p += k;
        n -= (size_t)k;
    }
}

/* BOOT comes over the socket alone: the deed's name, and whether there is a
 * lane. */
static int
boot(struct evil *e)
{
    static uint8_t body[WIRE_LIMIT_MAX_CONTROL];
    uint8_t head[WIRE_LIMIT_HEADER_SIZE];
    struct wire_header h;
    struct ctl_in in;
    struct ctl_map map;
    const char *name;
    size_t n;
    int lane = 0;
    read_exactly(e->sock, head, sizeof head);
    if (wire_get_header(head, &h) != 0 || h.opcode != WIRE_BOOT ||
        h.length > sizeof body)
        evil_broken("no boot frame");
    read_exactly(e->sock, body, h.length);
    if (ctl_open(&in, body, h.length, &map) != 0 ||
        !ctl_get_bytes(&map, "name", &name, &n) || n >= sizeof e->name)
        evil_broken("no deed is named");
    memcpy(e->name, name, n);
    (void)ctl_get_bool(&map, "lane", &lane);
    ctl_close(&in);
    return lane;
}

static const struct deed *
find(const struct deed *list, const char *name)
{
    for (; list->name != NULL; list++)
        if (strcmp(list->name, name) == 0)
            return list;
    return NULL;
}

static const struct deed *
find_any(const char *name)
{
    const struct deed *const all[] = {deeds_frames, deeds_answers,
                                      deeds_lane,   deeds_floods,
                                      deeds_fds,    deeds_policy};
    const struct deed *d = NULL;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && d == NULL; i++)
        d = find(all[i], name);
    return d;
}

/* One request, one deed; those whose deed is no more than a body are served
 * with it each time. */
static void
commit(struct evil *e)
{
    const struct deed *d = find_any(e->name);
    size_t n;
    const uint8_t *body = etf_named(e->name, &n);
    for (;;) {
        evil_next(e);
        if (e->opcode == WIRE_CANCEL)
            continue;
        if (d != NULL) {
            d->run(e);
            evil_wait();
        }
        if (body != NULL)
            evil_frame(e, WIRE_RESULT, e->id, body, n);
        else if (!etf_build(e))
            evil_broken("no such deed");
    }
}

void
evil_main(int sock, int hatch, int segment)
{
    static struct evil e;
    e.sock = sock;
    e.hatch = hatch;
    e.segment = segment;
    int lane = boot(&e);
    frame_reader_init(&e.in, WIRE_DOWN, WIRE_LIMIT_MAX_FRAME);
    int r = lane ? channel_lane_init(&e.channel, LANE_HELPER, segment, sock)
                 : channel_socket_init(&e.channel, sock);
    if (r != 0)
        evil_broken("no channel");
    const struct deed *d = find(deeds_boot, e.name);
    if (d != NULL) {
        d->run(&e);
        evil_wait();
    }
    evil_hello(&e, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT);
    if (strcmp(e.name, "honest") == 0)
        evil_serve(&e);
    commit(&e);
    evil_wait();
}
