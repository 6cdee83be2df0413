/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "greeting.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "handoff.h"
#include "io.h"
#include "vm.h"
#include "wire.h"

static void
begin_failed(struct ctl_out *m, const char *reason)
{
    ctl_begin(m);
    ctl_put_type(m, CTL_failed);
    ctl_put_str(m, "reason", reason);
}

void
greeting_failed(int fd, const char *reason)
{
    struct ctl_out m;
    begin_failed(&m, reason);
    if (ctl_end(&m) == 0)
        (void)io_send_packet(fd, m.bytes.data, m.bytes.len, NULL, 0);
    ctl_free(&m);
}

void
greeting_ready(struct zygote *z)
{
    struct ctl_out m;
    if (z->threads > 1)
        state_log(z, "warning",
                  "the preloaded modules have started %u thread(s): helpers "
                  "will not have them, and may inherit locks they held",
                  z->threads - 1);
    ctl_begin(&m);
    ctl_put_type(&m, CTL_ready);
    ctl_put_str(&m, "name", z->options.name);
    ctl_put_int(&m, "pid", z->pid);
    state_send(z, &m, NULL, 0);
}

/* ---- hello -------------------------------------------------------------- */

/* "3.11.2" of Python's longer text. */
static void
put_python(struct ctl_out *m)
{
    char version[32];
    const char *all = Py_GetVersion();
    snprintf(version, sizeof version, "%.*s", (int)strcspn(all, " "), all);
    ctl_put_str(m, "python", version);
}

static void
put_executable(struct ctl_out *m)
{
    PyObject *o = PySys_GetObject("executable"); /* borrowed */
    PyObject *bytes = o != NULL ? PyUnicode_EncodeFSDefault(o) : NULL;
    if (bytes != NULL)
        ctl_put_str(m, "executable", PyBytes_AsString(bytes));
    PyErr_Clear();
    Py_XDECREF(bytes);
}

/* Our whole command line: whoever starts it again gets the same zygote. */
static void
put_argv(struct ctl_out *m, const struct zygote *z)
{
    struct args_list all = {0};
    int e = args_list_add(&all, z->program);
    for (int i = 0; i < z->argc && e == 0; i++)
        e = args_list_add(&all, z->argv[i]);
    if (e == 0)
        ctl_put_strs(m, "argv", all.v, all.count);
    else
        m->error = e;
    args_list_free(&all);
}

static void
send_hello(struct zygote *z)
{
    struct ctl_out m;
    ctl_begin(&m);
    ctl_put_type(&m, CTL_hello);
    ctl_put_uint(&m, "version", WIRE_LIMIT_VERSION);
    ctl_put_uint(&m, "fingerprint", WIRE_FINGERPRINT);
    ctl_put_int(&m, "pid", z->pid);
    ctl_put_str(&m, "name", z->options.name);
    put_python(&m);
    put_executable(&m);
    put_argv(&m, z);
    ctl_put_strs(&m, "preload", z->options.preload.v, z->options.preload.count);
    ctl_put_uint(&m, "threads", z->threads);
    state_send(z, &m, NULL, 0);
}

static void
refuse(struct zygote *z, const char *why)
{
    struct ctl_out m;
    begin_failed(&m, why);
    state_send(z, &m, NULL, 0);
    z->end = HANDOFF_EXIT_PROTOCOL;
}

static void
refuse_version(struct zygote *z, uint64_t version, uint64_t fingerprint)
{
    char why[200];
    snprintf(why, sizeof why,
             "wire version %d (%08" PRIx32 ") here, %" PRIu64 " (%08" PRIx64
             ") in the VM: the two were not built together",
             (int)WIRE_LIMIT_VERSION, (uint32_t)WIRE_FINGERPRINT, version,
             fingerprint);
    refuse(z, why);
}

/* What is trusted runs as who we are: whoever may ask us for that must be the
 * same already, or more.  It could not signal helpers of ours either. */
int
greeting_serves(struct zygote *z, int64_t user)
{
    char why[200];
    if (user == (int64_t)getuid() || user == 0)
        return 1;
    snprintf(why, sizeof why,
             "this runtime is user %u's, and the VM is user %" PRId64
             "'s, which would be given more rights than it has: see terrarium "
             "--user",
             (unsigned)getuid(), user);
    refuse(z, why);
    return 0;
}

void
greeting_receive(struct zygote *z, const struct ctl_map *m)
{
    uint64_t version = 0, fingerprint = 0, pid;
    (void)ctl_get_uint(m, "version", &version);
    (void)ctl_get_uint(m, "fingerprint", &fingerprint);
    if (version != WIRE_LIMIT_VERSION || fingerprint != WIRE_FINGERPRINT) {
        refuse_version(z, version, fingerprint);
        return;
    }
    if (ctl_get_uint(m, "vm_pid", &pid)) {
        io_close(&z->vm);
        z->vm = vm_watch(pid);
    }
    if (z->vm >= 0 && !vm_can_signal_us(pid)) {
        refuse(z, "the VM runs as another user than its launcher did, and "
                  "could neither interrupt nor end helpers");
        return;
    }
    z->greeted = 1;
    send_hello(z);
}
