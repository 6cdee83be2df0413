/* SPDX-License-Identifier: Apache-2.0 */
#include "layers.h"

#include <stddef.h>
#include <string.h>

static const char *const names[] = {
#define X(bit, name, text) name,
    LAYER_LIST(X)
#undef X
};

const char *
layer_name(int index)
{
    return index >= 0 && index < LAYER_COUNT ? names[index] : NULL;
}

unsigned
layer_named(const char *name, unsigned long n)
{
    for (int i = 0; i < LAYER_COUNT; i++)
        if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0)
            return 1u << i;
    return 0;
}
