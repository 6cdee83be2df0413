/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the zygote's command line (its shape is in handoff.h).
 * Used by: zygote.   Ownership: values point into argv.
 * Errors: E_ARG with a sentence in why, E_NOMEM. */
#ifndef TERRARIUM_ZYGOTE_OPTIONS_H
#define TERRARIUM_ZYGOTE_OPTIONS_H

#include "args.h"

enum {
    ZYGOTE_DEFAULT_SPARES = 2,
    ZYGOTE_MAX_SPARES = 64 /* forked ahead; helpers in use have no maximum */
};

struct zygote_options {
    int control;            /* descriptor of the control socket; -1: none */
    const char *name;       /* of the runtime */
    const char *executable; /* sys.executable; NULL: as built */
    struct args_list preload;
    struct args_list paths;
    unsigned spares;
};

/* argv[0] is "zygote", the options follow. */
int zygote_options_parse(struct zygote_options *o, int argc, char **argv,
                         char *why, size_t n);
void zygote_options_free(struct zygote_options *o);

#endif
