/* SPDX-License-Identifier: Apache-2.0 */
#include "context.h"

#include <string.h>

int
context_init(struct context *c)
{
    memset(c, 0, sizeof *c);
    c->limits = etf_limits_default();
    c->max_frame = WIRE_LIMIT_MAX_FRAME;
    /* __main__ itself, so that what is defined here can be pickled and found
     * by name, as in an interactive session. */
    PyObject *main = PyImport_AddModule("__main__"); /* borrowed */
    if (main == NULL)
        return -1;
    c->namespace = PyModule_GetDict(main);
    Py_INCREF(c->namespace);
    c->others = PyDict_New();
    if (c->others == NULL)
        return -1;
    if (objref_init(&c->refs) < 0)
        return -1;
    c->limits.refs = &c->refs;
    if (code_cache_init(&c->eval, "eval") < 0)
        return -1;
    return code_cache_init(&c->exec, "exec");
}

void
context_fini(struct context *c)
{
    code_cache_fini(&c->exec);
    code_cache_fini(&c->eval);
    objref_fini(&c->refs);
    Py_CLEAR(c->others);
    Py_CLEAR(c->namespace);
}
