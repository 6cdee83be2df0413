/* SPDX-License-Identifier: Apache-2.0 */
#include "requests.h"

#include <stdio.h>

#include "breeds.h"
#include "budget.h"
#include "err.h"
#include "greeting.h"
#include "handoff.h"
#include "mem.h"
#include "spares.h"
#include "spawn.h"
#include "wire.h"

/* ---- spawn -------------------------------------------------------------- */

/* The whole BOOT frame; a request without a boot map boots with defaults. */
static int
make_boot(const struct zygote *z, const struct ctl_map *m, struct buf *frame)
{
    static const uint8_t empty_map = 0x80;
    uint8_t header[WIRE_LIMIT_HEADER_SIZE] = {0};
    /* It is no longer than the message, and so never moves (buf_wipe). */
    int e = buf_reserve(frame, z->in_size + sizeof header);
    if (e == 0)
        e = buf_put(frame, header, sizeof header);
    if (e == 0)
        e = ctl_get_packed(m, "boot", frame);
    if (e == E_FORMAT)
        e = buf_put_u8(frame, empty_map);
    if (e != 0)
        return e;
    struct wire_header h = {.length = (uint32_t)(frame->len - sizeof header),
                            .opcode = WIRE_BOOT};
    wire_put_header(frame->data, &h);
    return 0;
}

/* From the first one on that is wanted with a lane, all of a breed have one:
 * the spares that have none go. */
static void
see_lane(struct zygote *z, struct breed *b, const struct ctl_map *m)
{
    struct ctl_map boot;
    int wanted = 0;
    if (b->lanes || !ctl_get_map(m, "boot", &boot) ||
        !ctl_get_bool(&boot, "lane", &wanted) || !wanted)
        return;
    b->lanes = 1;
    while (b->spares > 0)
        spawn_doom(spares_oldest(z, b));
}

/* A spare may have died a moment ago: then the next one. */
static struct child *
boot_spare(struct zygote *z, struct breed *b, const struct buf *frame)
{
    struct child *c;
    while ((c = spares_oldest(z, b)) != NULL) {
        if (spawn_boot(c, frame) == 0)
            return c;
        spawn_doom(c);
    }
    return NULL;
}

static struct child *
boot_new(struct zygote *z, struct breed *b, const struct buf *frame, char *why,
         size_t n)
{
    struct child *c;
    if (spawn_fork(z, b, &c, why, n) != 0)
        return NULL;
    int e = spawn_boot(c, frame);
    if (e == 0 || e == E_EOF) /* it is dead already: how, is told as of any */
        return c;
    snprintf(why, n, "boot frame: %s", err_str(e));
    spawn_doom(c);
    return NULL;
}

static void
send_spawned(struct zygote *z, struct child *c, uint64_t id, int spare)
{
    struct ctl_out m;
    int fds[CHILD_FDS];
    c->id = id;
    spares_used(c);
    for (int i = 0; i < CHILD_FDS; i++) {
        fds[i] = c->fds[i];
        c->fds[i] = -1;
    }
    ctl_begin(&m);
    ctl_put_type(&m, CTL_spawned);
    ctl_put_uint(&m, "id", id);
    ctl_put_int(&m, "pid", c->pid);
    ctl_put_bool(&m, "spare", spare);
    ctl_put_bool(&m, "nested", c->nested);
    breeds_put_layers(&m, "layers", c->breed->profile.layers);
    state_send(z, &m, fds, CHILD_FDS);
}

static void
send_spawn_failed(struct zygote *z, uint64_t id, unsigned missing,
                  const char *why)
{
    struct ctl_out m;
    ctl_begin(&m);
    ctl_put_type(&m, CTL_spawn_failed);
    ctl_put_uint(&m, "id", id);
    ctl_put_str(&m, "reason", why);
    if (missing != 0)
        breeds_put_layers(&m, "missing", missing);
    state_send(z, &m, NULL, 0);
}

/* A helper of this breed with that boot frame, whose budget runs from now on;
 * NULL with a reason. */
static struct child *
get_helper(struct zygote *z, struct breed *b, const struct buf *frame,
           int *spare, char *why, size_t n)
{
    uint64_t ms = b->profile.policy.cpu_ms;
    struct child *c = boot_spare(z, b, frame);
    *spare = c != NULL;
    if (c == NULL)
        c = boot_new(z, b, frame, why, n);
    if (c != NULL && ms > 0 && budget_begin(c, ms) != 0) {
        snprintf(why, n, "no timer for cpu_ms");
        spawn_doom(c);
        c = NULL;
    }
    return c;
}

static void
spawn(struct zygote *z, const struct ctl_map *m, uint64_t id)
{
    char why[400] = "";
    struct buf frame;
    struct breed *b;
    unsigned missing;
    uint64_t ahead;
    int spare = 0;
    struct child *c = NULL;
    buf_init(&frame, WIRE_LIMIT_MAX_CONTROL + WIRE_LIMIT_HEADER_SIZE);
    int e = breeds_find(z, m, &b, &missing, why, sizeof why);
    if (e == 0 && (e = make_boot(z, m, &frame)) != 0)
        snprintf(why, sizeof why, "boot frame: %s", err_str(e));
    if (e == 0) {
        see_lane(z, b, m);
        c = get_helper(z, b, &frame, &spare, why, sizeof why);
    }
    buf_wipe(&frame);
    if (e == 0 && b != &z->plain && ctl_get_uint(m, "ahead", &ahead))
        breeds_used(b, ahead);
    if (c != NULL)
        send_spawned(z, c, id, spare);
    else
        send_spawn_failed(z, id, missing, why);
}

static void
on_spawn(struct zygote *z, const struct ctl_map *m)
{
    uint64_t id;
    if (!ctl_get_uint(m, "id", &id))
        state_log(z, "warning", "spawn without an id: ignored");
    else if (!z->greeted)
        send_spawn_failed(z, id, 0, "no hello came before it");
    else
        spawn(z, m, id);
}

/* ---- the others --------------------------------------------------------- */

static void
on_settings(struct zygote *z, const struct ctl_map *m)
{
    uint64_t spares;
    if (!ctl_get_uint(m, "spares", &spares))
        return;
    if (spares > ZYGOTE_MAX_SPARES) {
        state_log(z, "warning", "spares: %d is the most", ZYGOTE_MAX_SPARES);
        spares = ZYGOTE_MAX_SPARES;
    }
    z->plain.wanted = (unsigned)spares;
    z->plain.throttle = (struct throttle){0};
}

static void
on_probe(struct zygote *z, const struct ctl_map *m)
{
    char why[400] = "";
    struct ctl_out out;
    struct breed *b;
    unsigned missing;
    uint64_t id;
    if (!ctl_get_uint(m, "id", &id)) {
        state_log(z, "warning", "probe without an id: ignored");
        return;
    }
    int e = breeds_find(z, m, &b, &missing, why, sizeof why);
    ctl_begin(&out);
    ctl_put_type(&out, CTL_probed);
    ctl_put_uint(&out, "id", id);
    if (e == 0) {
        breeds_put_layers(&out, "layers", b->profile.layers);
    } else {
        ctl_put_str(&out, "reason", why);
        breeds_put_layers(&out, "missing", missing);
    }
    state_send(z, &out, NULL, 0);
}

static void
on_budget(struct zygote *z, const struct ctl_map *m)
{
    uint64_t id;
    int renew;
    if (ctl_get_uint(m, "id", &id) && ctl_get_bool(m, "renew", &renew))
        budget_answered(z, id, renew);
    else
        state_log(z, "warning", "budget without id or renew: ignored");
}

static void
on_shutdown(struct zygote *z, const struct ctl_map *m)
{
    (void)m;
    z->end = HANDOFF_EXIT_OK;
}

static const struct {
    const char *type;
    void (*handle)(struct zygote *z, const struct ctl_map *m);
} table[] = {
    {CTL_hello, greeting_receive}, {CTL_spawn, on_spawn},
    {CTL_probe, on_probe},         {CTL_settings, on_settings},
    {CTL_budget, on_budget},       {CTL_shutdown, on_shutdown},
};

static void
dispatch(struct zygote *z, const struct ctl_map *m)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (ctl_is(m, table[i].type)) {
            table[i].handle(z, m);
            return;
        }
    }
    char *type = ctl_dup(m, "type");
    state_log(z, "warning", "unknown control message '%.40s': ignored",
              type != NULL ? type : "");
    mem_free(type);
}

void
requests_handle(struct zygote *z, const void *p, size_t n)
{
    struct ctl_in in;
    struct ctl_map m;
    int e = ctl_open(&in, p, n, &m);
    if (e != 0) {
        state_log(z, "warning", "control message ignored: %s", err_str(e));
        return;
    }
    dispatch(z, &m);
    ctl_close(&in);
}
