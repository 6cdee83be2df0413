/* SPDX-License-Identifier: Apache-2.0 */
#include "support_zygote.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "handoff.h"
#include "layers.h"
#include "support_process.h"
#include "wire.h"

enum { END_MS = 1000, MAX_ARGS = 32, CHILDREN = 128 };

/* ---- life --------------------------------------------------------------- */

static _Noreturn void
be_zygote(int socket, const char *const *args, void (*prepare)(void))
{
    const char *argv[MAX_ARGS] = {process_priv("terrarium_py"), "zygote",
                                  "--control", "3"};
    int n = 4;
    while (args != NULL && *args != NULL && n < MAX_ARGS - 1)
        argv[n++] = *args++;
    if (prepare != NULL)
        prepare();
    dup2(socket, HANDOFF_CONTROL_FD);
    io_set_cloexec(HANDOFF_CONTROL_FD, 0);
    execv(argv[0], (char *const *)argv);
    _exit(99);
}

void
zyg_start(struct zyg *z, const char *const *args, void (*prepare)(void))
{
    int pair[2];
    ck_assert_int_eq(io_vouched_pair(pair), 0);
    z->pid = fork();
    ck_assert_int_ge(z->pid, 0);
    if (z->pid == 0)
        be_zygote(pair[1], args, prepare);
    close(pair[1]);
    z->control = pair[0];
}

static void
open_by(struct zyg *z, const char *const *args, void (*prepare)(void))
{
    struct zyg_message m;
    zyg_start(z, args, prepare);
    zyg_expect(z, CTL_ready, &m);
    zyg_message_free(&m);
    zyg_send_hello(z, WIRE_LIMIT_VERSION, WIRE_FINGERPRINT, 0);
    zyg_expect(z, CTL_hello, &m);
    zyg_message_free(&m);
}

void
zyg_open(struct zyg *z, const char *const *args)
{
    open_by(z, args, NULL);
}

static void
be_nobody(void)
{
    (void)process_become_nobody();
}

static int
nobody_can_run_it(void)
{
    int status = -1;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        be_nobody();
        execl(process_priv("terrarium_py"), "terrarium_py", "python", "-c", "",
              (char *)NULL);
        _exit(1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status == 0;
}

int
zyg_restart(struct zyg *z, int user, const char *const *args)
{
    if (user == ZYG_AS_NOBODY && (geteuid() != 0 || !nobody_can_run_it())) {
        puts("skipped: nobody else can run it");
        return 0;
    }
    zyg_close(z);
    open_by(z, args, user == ZYG_AS_NOBODY ? be_nobody : NULL);
    return 1;
}

int
zyg_wait(struct zyg *z)
{
    int status = -1;
    ck_assert_msg(process_wait_exit(z->pid, &status, END_MS),
                  "the zygote did not end within a second");
    io_close(&z->control);
    return status;
}

void
zyg_close(struct zyg *z)
{
    io_close(&z->control);
    int status = zyg_wait(z);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), HANDOFF_EXIT_OK);
}

void
zyg_wait_children(const struct zyg *z, size_t n)
{
    pid_t pids[CHILDREN];
    long end = process_now_ms() + ZYG_WAIT_MS;
    while (process_children(z->pid, pids, CHILDREN) != n) {
        ck_assert_msg(process_now_ms() < end, "not %zu children in time", n);
        process_sleep_ms(5);
    }
}

/* ---- messages ----------------------------------------------------------- */

int
zyg_send(struct zyg *z, struct ctl_out *m)
{
    ck_assert_int_eq(ctl_end(m), 0);
    int e = io_send_packet(z->control, m->bytes.data, m->bytes.len, NULL, 0);
    ctl_free(m);
    return e;
}

void
zyg_send_hello(struct zyg *z, uint64_t version, uint64_t fingerprint,
               uint64_t vm_pid)
{
    struct ctl_out m;
    ctl_begin(&m);
    ctl_put_type(&m, CTL_hello);
    ctl_put_uint(&m, "version", version);
    ctl_put_uint(&m, "fingerprint", fingerprint);
    if (vm_pid != 0)
        ctl_put_uint(&m, "vm_pid", vm_pid);
    ck_assert_int_eq(zyg_send(z, &m), 0);
}

void
zyg_send_spawn(struct zyg *z, uint64_t id, size_t boot_padding)
{
    struct ctl_out m, boot;
    char *padding = calloc(1, boot_padding + 1);
    ck_assert_ptr_nonnull(padding);
    memset(padding, 'x', boot_padding);
    ctl_begin(&boot);
    ctl_put_str(&boot, "name", "test");
    ctl_put_str(&boot, "padding", padding);
    ck_assert_int_eq(ctl_end(&boot), 0);
    ctl_begin(&m);
    ctl_put_type(&m, CTL_spawn);
    ctl_put_uint(&m, "id", id);
    ctl_put_map(&m, "boot", &boot);
    ck_assert_int_eq(zyg_send(z, &m), 0);
    ctl_free(&boot);
    free(padding);
}

void
zyg_send_type(struct zyg *z, const char *type)
{
    struct ctl_out m;
    ctl_begin(&m);
    ctl_put_type(&m, type);
    ck_assert_int_eq(zyg_send(z, &m), 0);
}

int
zyg_receive(struct zyg *z, struct zyg_message *m)
{
    static char bytes[WIRE_LIMIT_MAX_CONTROL];
    struct pollfd p = {.fd = z->control, .events = POLLIN};
    size_t n = 0;
    m->count = 0;
    ck_assert_msg(poll(&p, 1, ZYG_WAIT_MS) == 1, "no message in time");
    int e =
        io_recv_packet(z->control, bytes, sizeof bytes, &n, m->fds, &m->count);
    if (e == E_EOF)
        return 0;
    ck_assert_int_eq(e, 0);
    ck_assert_int_eq(ctl_open(&m->in, bytes, n, &m->map), 0);
    return 1;
}

void
zyg_expect(struct zyg *z, const char *type, struct zyg_message *m)
{
    ck_assert_msg(zyg_receive(z, m), "end-of-file instead of %s", type);
    while (ctl_is(&m->map, CTL_log) && strcmp(type, CTL_log) != 0) {
        zyg_message_free(m);
        ck_assert_msg(zyg_receive(z, m), "end-of-file instead of %s", type);
    }
    char *is = ctl_dup(&m->map, "type"), *why = ctl_dup(&m->map, "reason");
    ck_assert_msg(ctl_is(&m->map, type), "%s (%s) instead of %s",
                  is != NULL ? is : "nothing", why != NULL ? why : "", type);
    free(is);
    free(why);
}

void
zyg_message_free(struct zyg_message *m)
{
    while (m->count > 0)
        io_close(&m->fds[--m->count]);
    ctl_close(&m->in);
}

uint64_t
zyg_uint(const struct zyg_message *m, const char *key)
{
    uint64_t v = 0;
    ck_assert_msg(ctl_get_uint(&m->map, key, &v), "no number %s", key);
    return v;
}

int
zyg_has(const struct zyg_message *m, const char *key, const char *text)
{
    const char *p = "";
    size_t n = 0;
    ck_assert_msg(ctl_get_bytes(&m->map, key, &p, &n), "no text %s", key);
    return memmem(p, n, text, strlen(text)) != NULL;
}

unsigned
zyg_layers(const struct zyg_message *m, const char *key)
{
    unsigned layers = 0;
    const char *s;
    size_t n;
    for (size_t i = 0; ctl_list_bytes(&m->map, key, i, &s, &n); i++)
        layers |= layer_named(s, n);
    return layers;
}

/* ---- helpers ------------------------------------------------------------ */

void
zyg_take_helper(struct zyg_message *m, struct zyg_helper *h)
{
    ck_assert_int_eq(m->count, 6);
    h->id = zyg_uint(m, "id");
    h->pid = (pid_t)zyg_uint(m, "pid");
    ck_assert(ctl_get_bool(&m->map, "spare", &h->spare));
    h->socket = m->fds[0];
    h->out = m->fds[1];
    h->err = m->fds[2];
    h->pidfd = m->fds[3];
    h->lane = m->fds[4];
    io_close(&m->fds[5]); /* the hatch: nothing is passed here */
    m->count = 0;
    zyg_message_free(m);
}

void
zyg_spawn(struct zyg *z, uint64_t id, struct zyg_helper *h)
{
    struct zyg_message m;
    zyg_send_spawn(z, id, 0);
    zyg_expect(z, CTL_spawned, &m);
    zyg_take_helper(&m, h);
    ck_assert_uint_eq(h->id, id);
    ck_assert_int_eq(zyg_frame(h, NULL), WIRE_HELLO);
}

void
zyg_helper_close(struct zyg_helper *h)
{
    io_close(&h->socket);
    io_close(&h->out);
    io_close(&h->err);
    io_close(&h->pidfd);
    io_close(&h->lane);
}

void
zyg_bury(struct zyg *z, struct zyg_helper *h)
{
    struct zyg_message m;
    zyg_helper_close(h);
    zyg_expect(z, CTL_exited, &m);
    zyg_message_free(&m);
}

static void
write_all(int fd, const void *data, size_t n)
{
    const char *at = data;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    while (n > 0) {
        ck_assert_msg(poll(&p, 1, ZYG_WAIT_MS) == 1, "cannot write");
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        ck_assert_int_gt(k, 0);
        at += k;
        n -= (size_t)k;
    }
}

/* {Code} as ETF: 131, a tuple of one, a binary. */
void
zyg_exec(const struct zyg_helper *h, uint64_t request, const char *code)
{
    uint8_t bytes[WIRE_LIMIT_HEADER_SIZE + 8];
    uint8_t *etf = bytes + WIRE_LIMIT_HEADER_SIZE;
    size_t n = strlen(code);
    struct wire_header head = {
        .length = (uint32_t)(8 + n), .opcode = WIRE_EXEC, .id = request};
    wire_put_header(bytes, &head);
    memcpy(etf, "\203h\001m", 4);
    put_be32(etf + 4, (uint32_t)n);
    write_all(h->socket, bytes, sizeof bytes);
    write_all(h->socket, code, n);
}

/* 0 at end-of-file (or reset). */
static int
read_all(int fd, uint8_t *to, size_t n)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (n > 0) {
        ck_assert_msg(poll(&p, 1, ZYG_WAIT_MS) == 1, "no frame in time");
        ssize_t k = read(fd, to, n);
        if (k <= 0)
            return 0;
        to += k;
        n -= (size_t)k;
    }
    return 1;
}

int
zyg_frame(const struct zyg_helper *h, uint64_t *request)
{
    uint8_t bytes[WIRE_LIMIT_HEADER_SIZE], skipped;
    struct wire_header head;
    if (!read_all(h->socket, bytes, sizeof bytes))
        return 0;
    ck_assert_int_eq(wire_get_header(bytes, &head), 0);
    for (uint32_t i = 0; i < head.length; i++) {
        if (!read_all(h->socket, &skipped, 1))
            return 0;
    }
    if (request != NULL)
        *request = head.id;
    return head.opcode;
}
