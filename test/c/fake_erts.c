/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_erts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MESSAGES = 4096, MAX_TEXT = 512, MAX_MONITORS = 65536 };
enum { MAX_ATOMS = 64, MAX_FD = 1024 };

static ErlDrvEntry *entry;
static ErlDrvTermData caller;
static ErlDrvData created; /* of the last port that the driver made itself */
static char messages[MAX_MESSAGES][MAX_TEXT];
static int message_count;
static unsigned char *last_binary;
static size_t last_binary_len;
static struct {
    ErlDrvTermData pid;
    uint64_t serial;
} monitors[MAX_MONITORS];
static int monitor_count;
static uint64_t serial;
static char atoms[MAX_ATOMS][32];
static int watched[MAX_FD];
static int binaries;
static int busy;
static long timer_ms;
static ErlDrvTime now_ms;
static unsigned char *queue;
static size_t queue_len;
static SysIOVec queue_iov;
static long fail_countdown;

static int
must_fail(void)
{
    return fail_countdown > 0 && --fail_countdown == 0;
}

void
fake_fail_at(long n)
{
    fail_countdown = n;
}

void
fake_begin(void)
{
    created = NULL;
    entry = driver_init();
    message_count = 0;
    monitor_count = 0;
    memset(watched, 0, sizeof watched);
    binaries = 0;
    busy = 0;
    timer_ms = -1;
    now_ms = 1000;
    queue_len = 0;
    fail_countdown = 0;
}

int
fake_end(void)
{
    int left = binaries;
    for (int i = 0; i < MAX_FD; i++)
        left += watched[i] != 0;
    free(queue);
    queue = NULL;
    queue_len = 0;
    free(last_binary);
    last_binary = NULL;
    return left;
}

/* ---- what a test asks ---------------------------------------------------- */

void
fake_set_caller(ErlDrvTermData pid)
{
    caller = pid;
}

long
fake_control(ErlDrvData port, unsigned op, const void *body, size_t n,
             unsigned char *out, size_t cap)
{
    char small[64];
    char *r = small;
    char *copy = malloc(n + 1);
    memcpy(copy, body, n);
    long len = (long)entry->control(port, op, copy, n, &r, sizeof small);
    free(copy);
    if (len > 0) {
        ErlDrvBinary *b = (ErlDrvBinary *)r;
        const char *from = r == small ? small : b->orig_bytes;
        memcpy(out, from, (size_t)len < cap ? (size_t)len : cap);
        if (r != small)
            driver_free_binary(b);
    }
    return len;
}

void
fake_command(ErlDrvData port, const void *body, size_t n)
{
    ErlDrvBinary *b = driver_alloc_binary(n);
    SysIOVec iov = {b->orig_bytes, n};
    ErlIOVec ev = {1, n, &iov, &b};
    memcpy(b->orig_bytes, body, n);
    entry->outputv(port, &ev);
    driver_free_binary(b);
}

int
fake_messages(void)
{
    return message_count;
}

const char *
fake_message(int i)
{
    return i < message_count ? messages[i] : NULL;
}

const unsigned char *
fake_last_binary(size_t *n)
{
    *n = last_binary_len;
    return last_binary;
}

void
fake_forget_messages(void)
{
    message_count = 0;
}

int
fake_busy(void)
{
    return busy;
}

long
fake_timer(void)
{
    return timer_ms;
}

void
fake_sleep(long ms)
{
    now_ms += ms;
}

size_t
fake_queue(void)
{
    return queue_len;
}

int
fake_watched(int fd)
{
    return watched[fd];
}

/* ---- memory ---------------------------------------------------------------
 */

void *
driver_alloc(ErlDrvSizeT n)
{
    return must_fail() ? NULL : malloc(n ? n : 1);
}

void *
driver_realloc(void *p, ErlDrvSizeT n)
{
    return must_fail() ? NULL : realloc(p, n ? n : 1);
}

void
driver_free(void *p)
{
    free(p);
}

/* The reference count stands before the binary. */
static long *
refc(ErlDrvBinary *b)
{
    return (long *)(void *)((char *)b - 16);
}

ErlDrvBinary *
driver_alloc_binary(ErlDrvSizeT n)
{
    if (must_fail())
        return NULL;
    char *p = malloc(16 + sizeof(ErlDrvBinary) + n);
    ErlDrvBinary *b = (ErlDrvBinary *)(void *)(p + 16);
    *refc(b) = 1;
    b->orig_size = (ErlDrvSInt)n;
    binaries++;
    return b;
}

ErlDrvBinary *
driver_realloc_binary(ErlDrvBinary *b, ErlDrvSizeT n)
{
    if (must_fail())
        return NULL;
    char *p = realloc((char *)b - 16, 16 + sizeof(ErlDrvBinary) + n);
    b = (ErlDrvBinary *)(void *)(p + 16);
    b->orig_size = (ErlDrvSInt)n;
    return b;
}

void
driver_free_binary(ErlDrvBinary *b)
{
    if (--*refc(b) > 0)
        return;
    free((char *)b - 16);
    binaries--;
}

ErlDrvSInt
driver_binary_inc_refc(ErlDrvBinary *b)
{
    return ++*refc(b);
}

/* ---- terms ----------------------------------------------------------------
 */

ErlDrvTermData
driver_mk_atom(char *name)
{
    for (int i = 0; i < MAX_ATOMS; i++) {
        if (atoms[i][0] == '\0')
            snprintf(atoms[i], sizeof atoms[i], "%.31s", name);
        if (strcmp(atoms[i], name) == 0)
            return (ErlDrvTermData)i;
    }
    abort();
}

ErlDrvTermData
driver_mk_port(ErlDrvPort port)
{
    (void)port;
    return 99;
}

/* Those that the driver tells of. */
char *
erl_errno_id(int error)
{
    static char ebadf[] = "ebadf", einval[] = "einval", other[] = "unknown";
    return error == EBADF ? ebadf : error == EINVAL ? einval : other;
}

/* The port has no place of its own: its data is what the test needs. */
ErlDrvPort
driver_create_port(ErlDrvPort from, ErlDrvTermData owner, char *name,
                   ErlDrvData data)
{
    (void)from;
    (void)name;
    if (owner == 0)
        return (ErlDrvPort)-1;
    created = data;
    return NULL;
}

ErlDrvData
fake_created(void)
{
    return created;
}

ErlDrvTermData
driver_caller(ErlDrvPort port)
{
    (void)port;
    return caller;
}

static void
text_of_binary(char *to, const unsigned char *p, size_t n)
{
    free(last_binary);
    last_binary = malloc(n + 1);
    memcpy(last_binary, p, n);
    last_binary_len = n;
    if (n > 40) {
        snprintf(to, MAX_TEXT, "<<%zu bytes>>", n);
        return;
    }
    size_t at = (size_t)snprintf(to, MAX_TEXT, "<<");
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(to + at, MAX_TEXT - at, i ? ",%d" : "%d", p[i]);
    snprintf(to + at, MAX_TEXT - at, ">>");
}

/* Pop k texts off the stack and push them as one. */
static void
fold(char stack[][MAX_TEXT], int *depth, int k, const char *brackets)
{
    char all[MAX_TEXT * 2];
    size_t at = (size_t)snprintf(all, sizeof all, "%c", brackets[0]);
    for (int i = *depth - k; i < *depth; i++)
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s",
                               i > *depth - k ? "," : "", stack[i]);
    snprintf(all + at, sizeof all - at, "%c", brackets[1]);
    *depth -= k;
    memcpy(stack[*depth], all, MAX_TEXT - 1);
    stack[(*depth)++][MAX_TEXT - 1] = '\0';
}

/* Read one instruction of a term specification; its length in words. */
static int
instruction(const ErlDrvTermData *s, char stack[][MAX_TEXT], int *depth)
{
    char *top = stack[*depth];
    const ErlDrvBinary *b;
    switch (s[0]) {
    case ERL_DRV_ATOM:
        snprintf(top, MAX_TEXT, "%s", atoms[s[1]]);
        ++*depth;
        return 2;
    case ERL_DRV_PORT:
        snprintf(top, MAX_TEXT, "Port");
        ++*depth;
        return 2;
    case ERL_DRV_INT:
    case ERL_DRV_UINT:
        snprintf(top, MAX_TEXT, "%ld", (long)s[1]);
        ++*depth;
        return 2;
    case ERL_DRV_NIL:
        snprintf(top, MAX_TEXT, "[]");
        ++*depth;
        return 1;
    case ERL_DRV_EXT2TERM: /* tests give the reference's text itself */
        snprintf(top, MAX_TEXT, "%.*s", (int)s[2], (const char *)s[1]);
        ++*depth;
        return 3;
    case ERL_DRV_BUF2BINARY:
        text_of_binary(top, (const unsigned char *)s[1], s[2]);
        ++*depth;
        return 3;
    case ERL_DRV_BINARY:
        b = (const ErlDrvBinary *)s[1];
        if (s[3] + s[2] > (ErlDrvTermData)b->orig_size)
            abort();
        text_of_binary(top, (const unsigned char *)b->orig_bytes + s[3], s[2]);
        ++*depth;
        return 4;
    case ERL_DRV_TUPLE:
        fold(stack, depth, (int)s[1], "{}");
        return 2;
    case ERL_DRV_LIST:
        fold(stack, depth, (int)s[1], "[]");
        return 2;
    default:
        abort();
    }
}

static int
record(ErlDrvTermData *spec, int len)
{
    static char stack[32][MAX_TEXT];
    int depth = 0;
    for (int at = 0; at < len;)
        at += instruction(spec + at, stack, &depth);
    if (depth != 1)
        abort();
    if (message_count < MAX_MESSAGES)
        memcpy(messages[message_count++], stack[0], MAX_TEXT);
    return 1;
}

int
erl_drv_output_term(ErlDrvTermData port, ErlDrvTermData *data, int len)
{
    (void)port;
    return record(data, len);
}

int
erl_drv_send_term(ErlDrvTermData port, ErlDrvTermData to, ErlDrvTermData *data,
                  int len)
{
    (void)port;
    (void)to;
    return record(data, len);
}

/* ---- processes ------------------------------------------------------------
 */

int
driver_monitor_process(ErlDrvPort port, ErlDrvTermData pid, ErlDrvMonitor *m)
{
    (void)port;
    if (monitor_count == MAX_MONITORS)
        abort();
    memset(m, 0, sizeof *m);
    serial++;
    memcpy(m, &serial, sizeof serial);
    monitors[monitor_count].pid = pid;
    monitors[monitor_count++].serial = serial;
    return 0;
}

int
driver_demonitor_process(ErlDrvPort port, const ErlDrvMonitor *m)
{
    uint64_t s;
    (void)port;
    memcpy(&s, m, sizeof s);
    for (int i = 0; i < monitor_count; i++)
        if (monitors[i].serial == s) {
            monitors[i] = monitors[--monitor_count];
            return 0;
        }
    return 1;
}

int
driver_compare_monitors(const ErlDrvMonitor *a, const ErlDrvMonitor *b)
{
    return memcmp(a, b, sizeof(uint64_t));
}

void
fake_exit_process(ErlDrvData port, ErlDrvTermData pid)
{
    for (int i = 0; i < monitor_count;) {
        if (monitors[i].pid != pid) {
            i++;
            continue;
        }
        ErlDrvMonitor m;
        memset(&m, 0, sizeof m);
        memcpy(&m, &monitors[i].serial, sizeof(uint64_t));
        monitors[i] = monitors[--monitor_count];
        entry->process_exit(port, &m);
        i = 0;
    }
}

/* ---- descriptors, timer, queue ---------------------------------------------
 */

int
driver_select(ErlDrvPort port, ErlDrvEvent event, int mode, int on)
{
    int fd = (int)(intptr_t)event;
    (void)port;
    if (on) {
        watched[fd] |= mode;
        return 0;
    }
    watched[fd] &= ~mode;
    if (mode & ERL_DRV_USE)
        entry->stop_select(event, NULL);
    return 0;
}

int
driver_set_timer(ErlDrvPort port, unsigned long ms)
{
    (void)port;
    timer_ms = (long)ms;
    return 0;
}

int
driver_cancel_timer(ErlDrvPort port)
{
    (void)port;
    timer_ms = -1;
    return 0;
}

ErlDrvTime
erl_drv_monotonic_time(ErlDrvTimeUnit unit)
{
    (void)unit;
    return now_ms;
}

void
set_busy_port(ErlDrvPort port, int on)
{
    (void)port;
    busy = on;
}

void
set_port_control_flags(ErlDrvPort port, int flags)
{
    (void)port;
    (void)flags;
}

ErlDrvSizeT
driver_sizeq(ErlDrvPort port)
{
    (void)port;
    return queue_len;
}

int
driver_enq(ErlDrvPort port, char *p, ErlDrvSizeT n)
{
    (void)port;
    queue = realloc(queue, queue_len + n);
    memcpy(queue + queue_len, p, n);
    queue_len += n;
    return 0;
}

int
driver_enq_bin(ErlDrvPort port, ErlDrvBinary *b, ErlDrvSizeT at, ErlDrvSizeT n)
{
    if (at + n > (ErlDrvSizeT)b->orig_size)
        abort();
    return driver_enq(port, b->orig_bytes + at, n);
}

int
driver_enqv(ErlDrvPort port, ErlIOVec *ev, ErlDrvSizeT skip)
{
    for (int i = 0; i < ev->vsize; i++) {
        size_t n = ev->iov[i].iov_len;
        size_t k = skip < n ? skip : n;
        skip -= k;
        driver_enq(port, ev->iov[i].iov_base + k, n - k);
    }
    return 0;
}

SysIOVec *
driver_peekq(ErlDrvPort port, int *count)
{
    (void)port;
    *count = queue_len > 0;
    queue_iov.iov_base = (char *)queue;
    queue_iov.iov_len = queue_len;
    return &queue_iov;
}

ErlDrvSizeT
driver_deq(ErlDrvPort port, ErlDrvSizeT n)
{
    (void)port;
    if (n > 0)
        memmove(queue, queue + n, queue_len - n);
    queue_len -= n;
    return queue_len;
}

ErlDrvSizeT
driver_vec_to_buf(ErlIOVec *ev, char *to, ErlDrvSizeT n)
{
    size_t at = 0;
    for (int i = 0; i < ev->vsize && at < n; i++) {
        size_t k = ev->iov[i].iov_len;
        k = k < n - at ? k : n - at;
        memcpy(to + at, ev->iov[i].iov_base, k);
        at += k;
    }
    return at;
}
