/* SPDX-License-Identifier: Apache-2.0 */
/* handoff.h - what one program inherits from another: environment variables,
 * descriptor numbers, command lines, exit statuses.
 * Used by: launcher, zygote, driver (and quoted by terrarium_config.erl). */
#ifndef TERRARIUM_HANDOFF_H
#define TERRARIUM_HANDOFF_H

/* Launcher to VM: "name=fd,name=fd", one control socket per runtime.  The
 * Erlang side removes the variable once it has adopted the descriptors. */
#define HANDOFF_ENV "TERRARIUM_RUNTIMES"

/* Command line of the zygote, built by the launcher and by py_runtime.erl:
 *   terrarium_py zygote --control FD [--name N] [--executable PYTHON]
 *                [--preload MODULE]... [--path DIR]... [--spares N]
 * FD is this number: whoever starts it moves the socket there. */
#define HANDOFF_CONTROL_FD 3

/* Exit statuses of terrarium_py as zygote and helper. */
enum handoff_exit {
    HANDOFF_EXIT_OK = 0,
    HANDOFF_EXIT_USAGE = 64,    /* bad command line (EX_USAGE) */
    HANDOFF_EXIT_PROTOCOL = 76, /* a frame that makes no sense (EX_PROTOCOL) */
    HANDOFF_EXIT_INIT = 70,     /* Python could not be initialised */
    HANDOFF_EXIT_SYSTEM = 71,   /* a system call failed (EX_OSERR) */
    HANDOFF_EXIT_SANDBOX = 77   /* it could not be locked up (EX_NOPERM) */
};

#endif
