/* SPDX-License-Identifier: Apache-2.0 */
#include "err.h"

const char *
err_str(int code)
{
    switch (code) {
#define X(name, number, text)                                                  \
    case name:                                                                 \
        return text;
        ERR_LIST(X)
#undef X
    default:
        return "unknown error";
    }
}

const char *
err_name(int code)
{
    switch (code) {
#define X(name, number, text)                                                  \
    case name:                                                                 \
        return #name;
        ERR_LIST(X)
#undef X
    default:
        return "E_UNKNOWN";
    }
}
