/* SPDX-License-Identifier: Apache-2.0 */
/* echo_drv.c - a driver whose port_control gives back what it got, copied
 * once: what any call through a driver costs at least. */
#include <erl_driver.h>
#include <string.h>

static ErlDrvData
start(ErlDrvPort port, char *command)
{
    (void)command;
    return (ErlDrvData)port;
}

static ErlDrvSSizeT
control(ErlDrvData data, unsigned op, char *buf, ErlDrvSizeT n, char **rbuf,
        ErlDrvSizeT rlen)
{
    (void)data;
    (void)op;
    if (n > rlen)
        return -1;
    memcpy(*rbuf, buf, n);
    return (ErlDrvSSizeT)n;
}

static ErlDrvEntry entry = {
    .start = start,
    .driver_name = "echo_drv",
    .control = control,
    .extended_marker = ERL_DRV_EXTENDED_MARKER,
    .major_version = ERL_DRV_EXTENDED_MAJOR_VERSION,
    .minor_version = ERL_DRV_EXTENDED_MINOR_VERSION,
    .driver_flags = ERL_DRV_FLAG_USE_PORT_LOCKING,
};

DRIVER_INIT(echo_drv)
{
    return &entry;
}
