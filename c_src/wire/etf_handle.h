/* SPDX-License-Identifier: Apache-2.0 */
/* etf_handle.h - how a pid, port or reference looks that is only a handle.
 *
 * A helper that is not trusted gets and gives identifiers in this form only: of
 * a node that there can not be, with a number that means something in the VM's
 * table for that helper and nowhere else (erl/context/value/py_handles.erl,
 * which makes them).  All of one kind differ in that number alone, so whatever
 * a helper makes up costs the VM no second entry in its table of nodes.
 *
 * Used by: etf_check, the helper's encoder.   Errors: none.   Threads: pure. */
#ifndef TERRARIUM_ETF_HANDLE_H
#define TERRARIUM_ETF_HANDLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "etf_tags.h"

/* Is this identifier, all of which is there and well formed, a handle? */
static inline int
etf_is_handle(const uint8_t *p, size_t n)
{
    static const uint8_t node[] = {
        ETF_SMALL_ATOM_UTF8, 9, 'p', 'y', '_', 'h', 'a', 'n', 'd', 'l', 'e'};
    static const uint8_t creation[] = {0, 0, 0, 1};
    enum { NODE = sizeof node, PID = 1 + NODE + 12, PORT = 1 + NODE + 8 };
    enum { REF = 3 + NODE + 16 }; /* of three words */
    size_t at = p[0] == ETF_NEWER_REFERENCE ? 3 : 1;
    size_t size = p[0] == ETF_NEW_PID           ? PID
                  : p[0] == ETF_NEW_PORT        ? PORT
                  : p[0] == ETF_NEWER_REFERENCE ? REF
                                                : 0;
    if (n != size || memcmp(p + at, node, NODE) != 0)
        return 0;
    at = p[0] == ETF_NEWER_REFERENCE ? at + NODE : n - sizeof creation;
    return memcmp(p + at, creation, sizeof creation) == 0;
}

#endif
