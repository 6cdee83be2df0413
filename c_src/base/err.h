/* SPDX-License-Identifier: Apache-2.0 */
/* err.h - the negative result codes that every C function here returns.
 * Used by: all.   Knows: nothing.   Threads: pure.
 * A function returns 0 (or a count) on success and one of these on failure;
 * out-parameters are written on success only. */
#ifndef TERRARIUM_ERR_H
#define TERRARIUM_ERR_H

/*            name         code  text */
#define ERR_LIST(X)                                                            \
    X(E_AGAIN, -1, "more bytes are needed")                                    \
    X(E_EOF, -2, "the peer closed the connection")                             \
    X(E_SYS, -3, "a system call failed")                                       \
    X(E_NOMEM, -4, "out of memory")                                            \
    X(E_LIMIT, -5, "a limit was exceeded")                                     \
    X(E_SHORT, -6, "the data ends too early")                                  \
    X(E_TRAILING, -7, "bytes remain after the end of the data")                \
    X(E_FORMAT, -8, "malformed data")                                          \
    X(E_DEPTH, -9, "nested too deeply")                                        \
    X(E_REFUSED, -10, "not permitted here")                                    \
    X(E_VERSION, -11, "the two sides were built from different wire versions") \
    X(E_ARG, -12, "invalid argument")                                          \
    X(E_WORDS, -13, "a term that would take too much memory")

enum err {
#define X(name, code, text) name = code,
    ERR_LIST(X)
#undef X
};

/* A static English text for a code; never NULL. */
const char *err_str(int code);
/* The code's own name ("E_LIMIT"); never NULL. */
const char *err_name(int code);

#endif
