/* SPDX-License-Identifier: Apache-2.0 */
/* args.h - command lines by table, and growing lists of strings.
 *
 * A table holds one line per option; the same line parses it, checks it and
 * explains it in --help.  "--name value" and "--name=value" are both fine.
 * Used by: launcher, zygote.   Does not know: what the options mean.
 * Ownership: parsed values point into argv; an args_list owns its array and
 * those strings that args_list_dup made.
 * Errors: E_ARG with a sentence in `why`, E_NOMEM.   Threads: pure. */
#ifndef TERRARIUM_ARGS_H
#define TERRARIUM_ARGS_H

#include <stddef.h>
#include <stdio.h>

struct args_option {
    const char *name;  /* with its dashes: "--spares" */
    const char *value; /* what to call the value in --help; NULL: takes none */
    /* Store the value in target: 0, or E_ARG with a reason in why (the
     * parser puts the option's name before it), or E_NOMEM. */
    int (*set)(void *target, const char *value, char *why, size_t n);
    const char *help;
};

/* Parse argv[*at..argc) up to the first argument that is not an option, or
 * beyond a "--".  *at becomes the index of what follows; *dashes, unless
 * NULL, tells whether there was a "--". */
int args_parse(const struct args_option *table, size_t count, void *target,
               int argc, char **argv, int *at, int *dashes, char *why,
               size_t n);

/* One aligned line per option. */
void args_help(FILE *to, const struct args_option *table, size_t count);

/* A whole decimal number within [min, max]. */
int args_number(const char *value, unsigned long min, unsigned long max,
                unsigned long *out, char *why, size_t n);

/* A list of strings with a NULL behind its last one. */
struct args_list {
    char **v;
    size_t count;
    char *owned; /* one byte per string: made by args_list_dup? */
};

int args_list_add(struct args_list *l, const char *s);           /* borrows s */
int args_list_dup(struct args_list *l, const char *s, size_t n); /* copies */
void args_list_free(struct args_list *l);

#endif
