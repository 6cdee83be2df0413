/* SPDX-License-Identifier: Apache-2.0 */
#include "drv_held.h"

#include <string.h>

void
held_close(int *fds, int count)
{
    for (int i = 0; i < count; i++)
        io_close(&fds[i]);
}

struct held *
held_put(struct held_table *t, const int *fds, int count)
{
    for (int i = 0; i < HELD_MAX; i++) {
        struct held *x = &t->all[i];
        if (x->token != 0)
            continue;
        if (++t->next_token == 0)
            t->next_token = 1;
        x->token = t->next_token;
        x->count = count;
        memcpy(x->fds, fds, sizeof *fds * (size_t)count);
        return x;
    }
    return NULL;
}

struct held *
held_find(struct held_table *t, uint32_t token)
{
    for (int i = 0; i < HELD_MAX; i++)
        if (token != 0 && t->all[i].token == token)
            return &t->all[i];
    return NULL;
}

void
held_drop(struct held *x)
{
    held_close(x->fds, x->count);
    x->token = 0;
}

void
held_drop_all(struct held_table *t)
{
    for (int i = 0; i < HELD_MAX; i++)
        if (t->all[i].token != 0)
            held_drop(&t->all[i]);
}
