/* SPDX-License-Identifier: Apache-2.0 */
/* drv.c - the ErlDrvEntry: every callback goes to the port's own kind.
 *
 *   open_port({spawn_driver, "py_drv zygote"}, [binary])
 *   open_port({spawn_driver, "py_drv load"}, [binary])
 *   open_port({spawn_driver, "py_drv fds"}, [binary])
 *
 * The port of a helper is made by a zygote's (DRV_OP_TAKE); tests, which have
 * no zygote, open "py_drv helper SOCKET STDOUT STDERR PIDFD LANE HATCH FLAGS".
 *
 * docs/internals.md describes what each kind of port takes and sends. */
#include "drv.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct drv_port *
as_port(ErlDrvData data)
{
    return (struct drv_port *)data;
}

static const char *
match(const char *command, const char *kind)
{
    size_t n = strlen(kind);
    return strncmp(command, kind, n) == 0 ? command + n : NULL;
}

static ErlDrvData
drv_start(ErlDrvPort port, char *command)
{
    const char *args;
    struct drv_port *p = NULL;
    errno = EINVAL;
    if ((args = match(command, "py_drv zygote")) != NULL)
        p = drv_zygote_start(port, args);
    else if ((args = match(command, "py_drv helper ")) != NULL)
        p = drv_helper_start(port, args);
    else if (match(command, "py_drv load") != NULL)
        p = drv_load_start(port);
    else if (match(command, "py_drv fds") != NULL)
        p = drv_fds_start(port);
    if (p == NULL)
        return ERL_DRV_ERROR_ERRNO;
    set_port_control_flags(port, PORT_CONTROL_FLAG_BINARY);
    return (ErlDrvData)p;
}

static void
drv_stop(ErlDrvData data)
{
    as_port(data)->ops->stop(as_port(data));
}

static ErlDrvSSizeT
drv_control(ErlDrvData data, unsigned op, char *body, ErlDrvSizeT n,
            char **rbuf, ErlDrvSizeT rlen)
{
    struct drv_port *p = as_port(data);
    struct drv_reply r = {.buf = rbuf, .cap = rlen};
    return p->ops->control(p, op, (const uint8_t *)body, n, &r);
}

static void
drv_outputv(ErlDrvData data, ErlIOVec *ev)
{
    as_port(data)->ops->outputv(as_port(data), ev);
}

static void
drv_ready_input(ErlDrvData data, ErlDrvEvent event)
{
    as_port(data)->ops->ready_input(as_port(data), (int)(intptr_t)event);
}

static void
drv_ready_output(ErlDrvData data, ErlDrvEvent event)
{
    as_port(data)->ops->ready_output(as_port(data), (int)(intptr_t)event);
}

static void
drv_timeout(ErlDrvData data)
{
    as_port(data)->ops->timeout(as_port(data));
}

static void
drv_flush(ErlDrvData data)
{
    as_port(data)->ops->flush(as_port(data));
}

static void
drv_process_exit(ErlDrvData data, ErlDrvMonitor *m)
{
    as_port(data)->ops->process_exit(as_port(data), m);
}

static void
drv_stop_select(ErlDrvEvent event, void *reserved)
{
    (void)reserved;
    close((int)(intptr_t)event);
}

/* ERTS writes into the entry while it loads the driver, hence not const. */
static ErlDrvEntry entry = {
    .start = drv_start,
    .stop = drv_stop,
    .ready_input = drv_ready_input,
    .ready_output = drv_ready_output,
    .driver_name = "py_drv",
    .control = drv_control,
    .timeout = drv_timeout,
    .outputv = drv_outputv,
    .flush = drv_flush,
    .extended_marker = (int)ERL_DRV_EXTENDED_MARKER,
    .major_version = ERL_DRV_EXTENDED_MAJOR_VERSION,
    .minor_version = ERL_DRV_EXTENDED_MINOR_VERSION,
    .driver_flags = ERL_DRV_FLAG_USE_PORT_LOCKING | ERL_DRV_FLAG_SOFT_BUSY,
    .process_exit = drv_process_exit,
    .stop_select = drv_stop_select,
};

DRIVER_INIT(py_drv);
DRIVER_INIT(py_drv)
{
    return &entry;
}
