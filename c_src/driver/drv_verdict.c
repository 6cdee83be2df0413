/* SPDX-License-Identifier: Apache-2.0 */
/* drv_verdict.c - a helper has done what it must not: it is killed, and its
 * port says why.
 *
 * Used by: the other files of a helper's port.   Knows: the port.
 * Ownership, errors: none.   Threads: the port's. */
#include "drv_helper.h"

#include "err.h"

void
helper_violation(struct helper *h, const char *text)
{
    helper_kill(h);
    helper_close(h, "protocol", text);
}

void
helper_over(struct helper *h, const char *limit)
{
    helper_kill(h);
    helper_close(h, "limit", limit);
}

void
helper_wrong_frame(struct helper *h, int e)
{
    const char *limit = drv_reader_limit(&h->reader, e);
    if (limit != NULL)
        helper_over(h, limit);
    else
        helper_violation(h, err_str(e));
}
