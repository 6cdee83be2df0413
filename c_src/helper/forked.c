/* SPDX-License-Identifier: Apache-2.0 */
/* forked.c - what fork() leaves of a helper in the child. */
#include "forked.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "backtrace.h"
#include "crash.h"
#include "err.h"
#include "hatch.h"
#include "interrupt.h"

static struct {
    int sock;
    int is_child;
} state = {.sock = -1};

/* pthread_atfork rather than os.register_at_fork: it also sees the forks of
 * C code, and runs before any Python does. */
static void
in_child(void)
{
    state.is_child = 1;
    close(state.sock);
    hatch_close();
    interrupt_off();
    crash_detach();
    backtrace_detach();
}

int
forked_init(int sock)
{
    state.sock = sock;
    return pthread_atfork(NULL, NULL, in_child) == 0 ? 0 : E_NOMEM;
}

int
forked(void)
{
    return state.is_child;
}

void
forked_exit(PyObject *exc)
{
    int status = 0;
    if (exc != NULL) {
        py_err_give(exc);
        PyErr_Print(); /* ends the process for SystemExit */
        status = 1;
    }
    if (Py_FinalizeEx() < 0)
        status = 120; /* as python does when it can't flush */
    exit(status);
}
