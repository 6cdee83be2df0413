/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_lane.c - a helper's port over a lane, with the input as the other side.
 *
 * An input is a sequence of commands: a byte that says what, a byte that says
 * how much of it, and for some of them so many bytes.  The enemy's commands
 * write to the segment and to the socket, others are the port's own callbacks.
 * Answers are built where the input only says which request they are for: the
 * fuzzer cannot guess an id.  The port must survive, and nothing may be left.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fake_erts.h"
#include "fake_helper.h"
#include "lane_layout.h"

enum { REQUESTS = 16, ARG = 255, SUBMITS_MAX = 64, LARGEST = LANE_RING + 16 };

enum what {
    ENEMY_WORDS,  /* the bytes go over the words, `much` from their start */
    ENEMY_RECORD, /* the bytes become a record, as they are */
    ENEMY_MARKER, /* so much is announced to come over the socket */
    ENEMY_RAW,    /* the bytes go where the next record would begin */
    ENEMY_HEAD,   /* says that so many words of 8 bytes are there */
    ENEMY_TAIL,   /* says that it has taken everything */
    ENEMY_ASLEEP, /* says that it sleeps for this */
    ENEMY_SOCKET, /* the bytes go over the socket */
    ENEMY_HOLE,   /* the segment is zeroes from here on */
    ENEMY_GONE,
    HELPER_READS,
    HELPER_ANSWERS, /* as an honest one, with these bytes as the body */
    PORT_SUBMITS,   /* so many times 2^k bytes */
    PORT_ATTACHES,
    PORT_CANCELS,
    PORT_NOTICES,
    PORT_CALLER_DIES,
    PORT_PUMPED,
    PORT_TIMEOUT,
    PORT_FAILS,
    COMMANDS,
    HELPER_ASKS = 0xF0, /* a good question */
    PORT_RESUMES,
};

struct game {
    struct fake_helper f;
    struct lane_shared *shared;
    uint64_t ids[REQUESTS];
    unsigned requests;
    uint64_t head; /* of what the helper has written */
};

/* ---- the enemy ----------------------------------------------------------- */

static void
put(struct game *g, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        g->shared->up[(g->head + i) % LANE_RING] = p[i];
}

static void
record(struct game *g, const uint8_t *p, size_t n, uint64_t kind)
{
    uint8_t bytes[RING_HEADER + WIRE_LIMIT_HEADER_SIZE + ARG];
    uint64_t header = kind << 32 | n;
    size_t size = kind == RING_MARKER ? 0 : n;
    memcpy(bytes, &header, RING_HEADER);
    if (size > 0)
        memcpy(bytes + RING_HEADER, p, size);
    put(g, bytes, RING_HEADER + size);
    g->head += ring_record_size((uint32_t)size);
    atomic_store(&g->shared->helper.head, g->head);
}

static void
over_socket(struct game *g, const uint8_t *p, size_t n)
{
    if (g->f.channel.fd >= 0)
        (void)!send(g->f.channel.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
words(struct game *g, const uint8_t *p, size_t n)
{
    size_t at = n > 0 ? p[0] : 0;
    if (n > 0 && at + n - 1 <= 2 * sizeof(struct lane_words))
        memcpy((uint8_t *)g->shared + at, p + 1, n - 1);
}

static void
answer(struct game *g, const uint8_t *p, size_t n)
{
    uint8_t frame[WIRE_LIMIT_HEADER_SIZE + ARG];
    if (n < 2)
        return;
    struct wire_header h = {.length = (uint32_t)(n - 2),
                            .opcode = p[1],
                            .id = g->ids[p[0] % REQUESTS]};
    wire_put_header(frame, &h);
    memcpy(frame + sizeof h, p + 2, n - 2);
    record(g, frame, sizeof h + n - 2, 0);
}

static void
ask(struct game *g, size_t much)
{
    uint8_t frame[WIRE_LIMIT_HEADER_SIZE + 22] = {0};
    static const uint8_t body[22] = {131, 104, 4, 110, 8,   0,   1,   0,   0,
                                     0,   0,   0, 0,   128, 106, 106, 106, 116};
    struct wire_header h = {.length = sizeof body,
                            .opcode = WIRE_CALLBACK,
                            .id = much ? g->ids[much % REQUESTS] : 0};
    wire_put_header(frame, &h);
    memcpy(frame + sizeof h, body, sizeof body);
    record(g, frame, sizeof frame, 0);
}

static void
resume(struct game *g, size_t much)
{
    uint8_t body[2 * 8 + 4] = {0}, reply[64];
    memcpy(body, &g->ids[much % REQUESTS], 8);
    memcpy(body + 16, (uint8_t[]){WIRE_CALLED, 131, 97, 1}, 4);
    fake_control(g->f.port, DRV_OP_RESUME, body, sizeof body, reply, 64);
}

static void
read_some(struct game *g)
{
    static uint8_t p[1 << 16];
    if (g->f.channel.fd >= 0)
        fake_helper_read(&g->f, p, sizeof p);
}

static void
enemy(struct game *g, enum what what, const uint8_t *p, size_t n, size_t much)
{
    switch (what) {
    case ENEMY_WORDS:
        words(g, p, n);
        break;
    case ENEMY_RECORD:
        record(g, p, n, 0);
        break;
    case ENEMY_MARKER:
        record(g, NULL, much, RING_MARKER);
        break;
    case ENEMY_RAW:
        put(g, p, n);
        break;
    case ENEMY_HEAD:
        g->head += much * RING_ALIGN;
        atomic_store(&g->shared->helper.head, g->head);
        break;
    case ENEMY_TAIL:
        atomic_store(&g->shared->helper.tail, atomic_load(&g->shared->vm.head));
        break;
    case ENEMY_ASLEEP:
        atomic_store(&g->shared->helper.asleep, (uint32_t)much);
        break;
    case ENEMY_SOCKET:
        over_socket(g, p, n);
        break;
    case ENEMY_HOLE:
        memset((uint8_t *)g->shared + much * LANE_PAGE % sizeof *g->shared, 0,
               LANE_PAGE);
        break;
    case HELPER_READS:
        read_some(g);
        break;
    case HELPER_ANSWERS:
        answer(g, p, n);
        break;
    default: /* its end of the socket; the mapping stays to be written to */
        if (g->f.channel.fd >= 0)
            shutdown(g->f.channel.fd, SHUT_RDWR);
    }
}

/* ---- the port ------------------------------------------------------------ */

/* Not more than a fuzzer has the time for. */
static void
submit(struct game *g, size_t much)
{
    size_t bytes = (much & 15) << (much >> 4);
    if (g->requests < SUBMITS_MAX)
        g->ids[g->requests++ % REQUESTS] =
            fake_helper_submit(&g->f, bytes < LARGEST ? bytes : LARGEST);
}

static void
port(struct game *g, enum what what, const uint8_t *p, size_t n, size_t much)
{
    static const uint8_t etf[] = {131, 97, 1};
    uint8_t notice[1 + ARG] = {WIRE_RELEASE}, reply[64];
    uint64_t id = g->ids[much % REQUESTS];
    switch (what) {
    case PORT_SUBMITS:
        submit(g, much);
        break;
    case PORT_ATTACHES:
        fake_helper_attach(&g->f, id, "#1");
        break;
    case PORT_CANCELS:
        fake_helper_cancel(&g->f, id);
        break;
    case PORT_NOTICES:
        memcpy(notice + 1, p, n);
        fake_control(g->f.port, DRV_OP_NOTICE, notice, n + 1, reply, 64);
        break;
    case PORT_CALLER_DIES:
        fake_exit_process(g->f.port, 1 + much % 2);
        fake_set_caller(1 + much / 2 % 2);
        break;
    case PORT_TIMEOUT:
        fake_sleep((long)much * 100);
        driver_init()->timeout(g->f.port);
        break;
    case PORT_FAILS:
        fake_control(g->f.port, DRV_OP_FAIL, etf, sizeof etf, reply, 64);
        break;
    default:
        fake_helper_pump(&g->f);
    }
}

static int
has_bytes(enum what what)
{
    return what == ENEMY_WORDS || what == ENEMY_RECORD || what == ENEMY_RAW ||
           what == ENEMY_SOCKET || what == HELPER_ANSWERS ||
           what == PORT_NOTICES;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct game g;
    memset(&g, 0, sizeof g);
    fake_helper_start_over(&g.f, 0, 1);
    g.shared = g.f.channel.lane.shared;
    if (size > 0 && data[0] & 1)
        fake_helper_hello(&g.f);
    g.head = atomic_load(&g.shared->helper.head);
    for (size_t at = 1; at + 2 <= size;) {
        enum what what =
            data[at] < HELPER_ASKS ? data[at] % COMMANDS : data[at];
        size_t much = data[at + 1], n = has_bytes(what) ? much : 0;
        at += 2;
        n = n < size - at ? n : size - at;
        if (what == HELPER_ASKS)
            ask(&g, much);
        else if (what == PORT_RESUMES)
            resume(&g, much);
        else if (what <= HELPER_ANSWERS)
            enemy(&g, what, data + at, n, much);
        else
            port(&g, what, data + at, n, much);
        at += n;
    }
    if (fake_helper_stop(&g.f) != 0)
        abort();
    return 0;
}
