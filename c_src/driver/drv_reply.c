/* SPDX-License-Identifier: Apache-2.0 */
/* drv_reply.c - the few shapes in which the driver talks to Erlang. */
#include "drv.h"

#include <string.h>

#include "wire.h"

#define SPEC_SIZE(spec) ((int)(sizeof(spec) / sizeof((spec)[0])))

ErlDrvSSizeT
drv_reply(struct drv_reply *r, uint8_t code)
{
    **r->buf = (char)code;
    return 1;
}

char *
drv_reply_room(struct drv_reply *r, size_t n)
{
    if (n <= r->cap)
        return *r->buf;
    ErlDrvBinary *b = driver_alloc_binary((ErlDrvSizeT)n);
    if (b == NULL)
        return NULL;
    *r->buf = (char *)b;
    return b->orig_bytes;
}

ErlDrvSSizeT
drv_reply_data(struct drv_reply *r, uint8_t code, const void *p, size_t n)
{
    char *to = drv_reply_room(r, n + 1);
    if (to == NULL)
        return 0;
    to[0] = (char)code;
    if (n > 0)
        memcpy(to + 1, p, n);
    return (ErlDrvSSizeT)n + 1;
}

ErlDrvSSizeT
drv_reply_answer(struct drv_reply *r, uint8_t opcode, const void *body,
                 size_t n)
{
    size_t head = opcode == WIRE_RESULT ? 0 : 2;
    char *to = drv_reply_room(r, head + n);
    if (to == NULL)
        return 0;
    if (head > 0) {
        to[0] = DRV_REPLY_ANSWER;
        to[1] = (char)opcode;
    }
    if (n > 0)
        memcpy(to + head, body, n);
    return (ErlDrvSSizeT)(head + n);
}

ErlDrvSSizeT
drv_reply_callback(struct drv_reply *r, uint64_t id, const void *body, size_t n)
{
    char *to = drv_reply_room(r, 9 + n);
    if (to == NULL)
        return 0;
    to[0] = DRV_REPLY_CALLBACK;
    memcpy(to + 1, &id, sizeof id);
    memcpy(to + 9, body, n);
    return (ErlDrvSSizeT)(9 + n);
}

ErlDrvSSizeT
drv_reply_refused(struct drv_reply *r, const char *text)
{
    return drv_reply_data(r, DRV_REPLY_REFUSED, text, strlen(text));
}

static ErlDrvTermData
atom(const char *name)
{
    return driver_mk_atom((char *)name);
}

void
drv_tell_binary(struct drv_port *p, const char *tag, const void *data, size_t n)
{
    ErlDrvTermData spec[] = {ERL_DRV_PORT,
                             p->term,
                             ERL_DRV_ATOM,
                             atom(tag),
                             ERL_DRV_BUF2BINARY,
                             (ErlDrvTermData)data,
                             (ErlDrvTermData)n,
                             ERL_DRV_TUPLE,
                             2,
                             ERL_DRV_TUPLE,
                             2};
    erl_drv_output_term(p->term, spec, SPEC_SIZE(spec));
}

void
drv_tell_output(struct drv_port *p, const char *stream, const void *data,
                size_t n)
{
    ErlDrvTermData spec[] = {ERL_DRV_PORT,
                             p->term,
                             ERL_DRV_ATOM,
                             atom("output"),
                             ERL_DRV_ATOM,
                             atom(stream),
                             ERL_DRV_BUF2BINARY,
                             (ErlDrvTermData)data,
                             (ErlDrvTermData)n,
                             ERL_DRV_TUPLE,
                             3,
                             ERL_DRV_TUPLE,
                             2};
    erl_drv_output_term(p->term, spec, SPEC_SIZE(spec));
}

void
drv_tell_atom(struct drv_port *p, const char *tag)
{
    ErlDrvTermData spec[] = {ERL_DRV_PORT, p->term,       ERL_DRV_ATOM,
                             atom(tag),    ERL_DRV_TUPLE, 2};
    erl_drv_output_term(p->term, spec, SPEC_SIZE(spec));
}

void
drv_tell_closed(struct drv_port *p, const char *why, const char *text)
{
    ErlDrvTermData spec[16];
    int n = 0;
    spec[n++] = ERL_DRV_PORT;
    spec[n++] = p->term;
    spec[n++] = ERL_DRV_ATOM;
    spec[n++] = atom("closed");
    spec[n++] = ERL_DRV_ATOM;
    spec[n++] = atom(why);
    if (text != NULL) {
        spec[n++] = ERL_DRV_BUF2BINARY;
        spec[n++] = (ErlDrvTermData)text;
        spec[n++] = (ErlDrvTermData)strlen(text);
        spec[n++] = ERL_DRV_TUPLE;
        spec[n++] = 2;
    }
    spec[n++] = ERL_DRV_TUPLE;
    spec[n++] = 2;
    spec[n++] = ERL_DRV_TUPLE;
    spec[n++] = 2;
    erl_drv_output_term(p->term, spec, n);
}

void
drv_watch(struct drv_port *p, int fd, int mode, int on)
{
    if (on)
        mode |= ERL_DRV_USE;
    driver_select(p->port, (ErlDrvEvent)(intptr_t)fd, mode, on);
}

void
drv_unwatch_close(struct drv_port *p, int *fd)
{
    if (*fd >= 0)
        driver_select(p->port, (ErlDrvEvent)(intptr_t)*fd,
                      ERL_DRV_READ | ERL_DRV_WRITE | ERL_DRV_USE, 0);
    *fd = -1;
}
