/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "err.h"
#include "handoff.h"
#include "io.h"
#include "text.h"
#include "wire.h"

int64_t
now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void
state_send(struct zygote *z, struct ctl_out *m, const int *fds, int count)
{
    int e = outbox_put(&z->out, m, fds, count);
    if (e != 0 && z->end == ZYGOTE_GO_ON) {
        fprintf(stderr, "terrarium zygote %s: cannot report to the VM: %s\n",
                z->options.name, err_str(e));
        z->end = HANDOFF_EXIT_SYSTEM;
    }
}

void
state_log(struct zygote *z, const char *level, const char *format, ...)
{
    char raw[1024], text[1024];
    struct ctl_out m;
    va_list args;
    if (!outbox_has_room(&z->out))
        return;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    text_clean(text, sizeof text, raw, sizeof raw);
    ctl_begin(&m);
    ctl_put_type(&m, CTL_log);
    ctl_put_str(&m, "level", level);
    ctl_put_str(&m, "text", text);
    state_send(z, &m, NULL, 0);
}

void
state_close_in_child(struct zygote *z, struct child *self)
{
    io_close(&z->control);
    io_close(&z->signals.fd);
    io_close(&z->vm);
    cgroup_host_close(&z->cgroups);
    outbox_close_fds(&z->out);
    for (struct child *c = z->children; c != NULL; c = c->next) {
        for (int i = 0; i < CHILD_FDS; i++)
            io_close(&c->fds[i]);
        if (c != self)
            io_close(&c->blackbox);
    }
    for (int i = 0; i < CHILD_FDS; i++)
        io_close(&self->fds[i]);
    for (struct breed *b = z->plain.next; b != NULL; b = b->next) {
        nest_close(&b->nest);
        places_close(&b->places);
        if (b != self->breed)
            profile_close(&b->profile);
    }
}
