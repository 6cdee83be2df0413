/* SPDX-License-Identifier: Apache-2.0 */
/* check_sandbox_profile.c - profiles put on a process, layer by layer, that
 * then tries what it must not.  Each test of a refusal does the same without
 * the layer first, where it works.  What namespaces do is tried by another user
 * as well, if we are root. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "landlock.h"
#include "profile.h"
#include "self.h"
#include "support_check.h"
#include "support_process.h"
#include "support_sandbox.h"

enum { WRONG = 201 };

static struct profile_host host;
static char *readable[] = {"/usr", "/lib", "/lib64", "/etc/alternatives", NULL};
static char why[400];
static unsigned missing;
static struct process_folder folder;

static void
set_up(void)
{
    host.readable.v = readable;
    host.readable.count = 4;
    host.prefix = "/usr";
    process_make_folder(&folder);
    chmod(folder.path, 0777);
    process_write_file(&folder, "secret", "x");
}

static void
tear_down(void)
{
    process_remove_folder(&folder);
}

/* Run by whom: some tests are looped over these. */
enum { AS_WE_ARE, AS_NOBODY, USERS };

static int
begin_as(int user)
{
    if (user == AS_WE_ARE)
        return 1;
    tear_down(); /* what is not its own it could not remove */
    int is = process_become_nobody();
    set_up();
    return is;
}

/* ---- policies ------------------------------------------------------------ */

static struct ctl_out out;

static void
begin(const char *level)
{
    ctl_begin(&out);
    ctl_put_str(&out, "level", level);
}

static void
put(const char *key, const char *value)
{
    char *v = (char *)value;
    ctl_put_strs(&out, key, &v, 1);
}

static int
make(struct profile *p)
{
    struct ctl_in in;
    struct ctl_map m;
    why[0] = 0;
    ck_ok(ctl_end(&out));
    ck_ok(ctl_open(&in, out.bytes.data, out.bytes.len, &m));
    int e = profile_make(p, &m, &host, &missing, why, sizeof why);
    ctl_close(&in);
    ctl_free(&out);
    return e;
}

/* Without these layers, by their names. */
static void
without(const char *const *layers, size_t n)
{
    ctl_put_strs(&out, "without", (char *const *)layers, n);
}

/* The profile of what has been put since begin, in one attempt. */
static int
outcome(int (*attempt)(void))
{
    struct profile p;
    int e = make(&p);
    ck_assert_msg(e == 0, "%s", why);
    int r = under(&p, attempt);
    ck_assert_int_eq(under_begun(&p, attempt), r);
    profile_free(&p);
    return r;
}

static int
is_root(void)
{
    return geteuid() == 0;
}

/* ---- attempts: 0 or errno ------------------------------------------------ */

static const char *
in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder.path, name);
    return path;
}

static int
result(long r)
{
    return r >= 0 ? 0 : errno;
}

static int
read_secret(void)
{
    return result(open(in_folder("secret"), O_RDONLY));
}
static int
stat_secret(void)
{
    struct stat s;
    return result(stat(in_folder("secret"), &s));
}
static int
write_new(void)
{
    int fd = open(in_folder("new"), O_WRONLY | O_CREAT, 0644);
    return fd < 0 ? errno : result(write(fd, "x", 1));
}
static int
write_tmp(void)
{
    int fd = open("/tmp/new", O_RDWR | O_CREAT, 0644);
    return fd < 0 ? errno : result(write(fd, "x", 1));
}
static int
fill_tmp(void)
{
    static char block[65536];
    int fd = open("/tmp/full", O_RDWR | O_CREAT, 0644);
    for (int i = 0; i < 1000; i++)
        if (write(fd, block, sizeof block) < 0)
            return errno;
    return 0;
}
static int
read_library(void)
{
    return result(open("/usr/lib/os-release", O_RDONLY));
}
static int
escape(void)
{
    char path[200];
    snprintf(path, sizeof path, "/usr/../%s", in_folder("secret"));
    return result(open(path, O_RDONLY));
}
static int
signal_parent(void)
{
    return result(kill(getppid(), 0));
}
static int
signal_everyone(void)
{
    return result(kill(-1, 0));
}
/* To a listener of the test, at the address of this machine itself. */
static uint16_t listening;
static int
connect_tcp(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(listening),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? errno
                  : result(connect(fd, (struct sockaddr *)&a, sizeof a));
}

static int
listen_tcp(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    listening = ntohs(a.sin_port);
    return fd;
}

static int
open_socket(void)
{
    return result(socket(AF_INET, SOCK_DGRAM, 0));
}
static int
see_no_network(void)
{
    return result(access("/sys/class/net/lo/ifindex", F_OK));
}
static int
count_files(void)
{
    int n = 0;
    while (dup(0) >= 0)
        n++;
    return n;
}
static int
allocate(void)
{
    return sbrk(64 << 20) == (void *)-1 ? ENOMEM : 0;
}
/* Filled, then read-only: RLIMIT_DATA counts that no more. */
static int
hide_pages(void)
{
    enum { BLOCK = 16 << 20 };
    for (int i = 0; i < 64; i++) {
        char *p = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return errno;
        p[0] = 1;
        if (mprotect(p, BLOCK, PROT_READ) != 0)
            return errno;
    }
    return 0;
}
static int
write_much(void)
{
    static char block[8192];
    signal(SIGXFSZ, SIG_IGN);
    int fd = open(in_folder("secret"), O_WRONLY);
    return write(fd, block, sizeof block) == sizeof block ? 0 : 1;
}
static int
dump_core(void)
{
    struct rlimit l;
    return getrlimit(RLIMIT_CORE, &l) == 0 && l.rlim_max == 0 ? 0 : WRONG;
}
static int was_root;

static int
has_no_rights(void)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2] = {{0}};
    if (syscall(SYS_capget, &h, d) != 0)
        return errno;
    return (d[0].effective | d[0].permitted | d[0].inheritable |
            d[1].effective | d[1].permitted | d[1].inheritable) == 0 &&
                   prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
                   (!was_root || prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 0) &&
                   prctl(PR_GET_DUMPABLE) == 0
               ? 0
               : WRONG;
}
static int
is_someone_else(void)
{
    return getuid() == SELF_FIRST_UID + (unsigned)getpid() &&
                   getgid() == getuid() && getgroups(0, NULL) == 0
               ? 0
               : WRONG;
}

static int abstract = -1;
static int listener; /* its pid out here */

/* To a socket of the test, outside. */
static int
connect_abstract(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "terrarium-check-%d",
             listener);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return result(connect(fd, (struct sockaddr *)&a, sizeof a));
}

static void
listen_abstract(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    listener = (int)getpid();
    snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "terrarium-check-%d",
             listener);
    abstract = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(abstract, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(abstract, 5), 0);
}

/* ---- each layer alone ---------------------------------------------------- */

static const char *const not_landlock[] = {"seccomp", "namespaces", "own_uid"};
static const char *const not_namespaces[] = {"seccomp", "landlock", "own_uid"};
static const char *const not_seccomp[] = {"landlock", "namespaces", "own_uid"};
static const char *const not_own_uid[] = {"seccomp", "landlock", "namespaces"};
static const char *const only_limits[] = {"seccomp", "landlock", "namespaces",
                                          "own_uid"};

/* A host that lacks a layer has its own tests: require. */
static int
host_has(unsigned layer)
{
    struct profile p;
    begin("default");
    ck_ok(make(&p));
    unsigned layers = p.layers;
    profile_free(&p);
    if (!(layers & layer))
        fprintf(stderr, "skipped: this host has no such layer (%#x)\n", layer);
    return (layers & layer) != 0;
}

START_TEST(landlock_closes_files)
{
    if (!host_has(LAYER_LANDLOCK))
        return;
    ck_assert_int_eq(under(NULL, read_secret), 0);
    begin("default"), without(not_landlock, 3);
    ck_assert_int_eq(outcome(read_secret), EACCES);
    begin("default"), without(not_landlock, 3);
    ck_assert_int_eq(outcome(escape), EACCES);
    begin("default"), without(not_landlock, 3);
    ck_assert_int_eq(outcome(write_new), EACCES);
    begin("default"), without(not_landlock, 3);
    ck_assert_int_eq(outcome(read_library), 0);
    begin("strict"), without(not_landlock, 3);
    ck_assert_int_eq(outcome(read_library), EACCES);
    begin("strict"), without(not_landlock, 3), put("read", folder.path);
    ck_assert_int_eq(outcome(read_secret), 0);
    begin("strict"), without(not_landlock, 3), put("read", folder.path);
    ck_assert_int_eq(outcome(write_new), EACCES);
    begin("strict"), without(not_landlock, 3), put("write", folder.path);
    ck_assert_int_eq(outcome(write_new), 0);
}
END_TEST

START_TEST(landlock_scopes_signals_and_sockets)
{
    if (!host_has(LAYER_LANDLOCK_SCOPE))
        return;
    listen_abstract();
    ck_assert_int_eq(under(NULL, signal_parent), 0);
    ck_assert_int_eq(under(NULL, connect_abstract), 0);
    begin("default"), without(not_landlock, 3);
    ck_assert_int_eq(outcome(signal_parent), EPERM);
    begin("default"), without(not_landlock, 3);
    ck_assert_int_eq(outcome(connect_abstract), EPERM);
    close(abstract);
}
END_TEST

START_TEST(a_cell_has_a_root_of_its_own)
{
    if (!begin_as(_i) || !host_has(LAYER_NAMESPACES))
        return;
    ck_assert_int_eq(under(NULL, stat_secret), 0);
    begin("default"), without(not_namespaces, 3);
    ck_assert_int_eq(outcome(stat_secret), ENOENT);
    begin("default"), without(not_namespaces, 3);
    ck_assert_int_eq(outcome(read_library), 0);
    begin("default"), without(not_namespaces, 3);
    ck_assert_int_eq(outcome(see_no_network), ENOENT);
    begin("default"), without(not_namespaces, 3), put("read", folder.path);
    ck_assert_int_eq(outcome(read_secret), 0);
    begin("default"), without(not_namespaces, 3), put("read", folder.path);
    ck_assert_int_eq(outcome(write_new), EROFS);
    begin("default"), without(not_namespaces, 3), put("write", folder.path);
    ck_assert_int_eq(outcome(write_new), 0);
    listen_abstract();
    begin("default"), without(not_namespaces, 3);
    ck_assert_int_eq(outcome(connect_abstract), ECONNREFUSED);
    close(abstract);
}
END_TEST

/* Its own: as large as it says, and empty for the next. */
START_TEST(tmp_is_its_own_and_full_in_time)
{
    if (!begin_as(_i) || !host_has(LAYER_NAMESPACES))
        return;
    begin("default"), ctl_put_uint(&out, "tmp", 1 << 20);
    ck_assert_int_eq(outcome(write_tmp), 0);
    ck_assert_int_eq(access("/tmp/new", F_OK), -1);
    begin("default"), ctl_put_uint(&out, "tmp", 1 << 20);
    ck_assert_int_eq(outcome(fill_tmp), ENOSPC);
    begin("default");
    ck_assert_int_ne(outcome(write_tmp), 0);
}
END_TEST

START_TEST(seccomp_alone_holds)
{
    if (!host_has(LAYER_SECCOMP))
        return;
    ck_assert_int_eq(under(NULL, open_socket), 0);
    begin("default"), without(not_seccomp, 3);
    ck_assert_int_eq(outcome(open_socket), EPERM);
    begin("default"), without(not_seccomp, 3);
    ck_assert_int_eq(outcome(signal_parent), EPERM);
    begin("default"), without(not_seccomp, 3);
    ck_assert_int_eq(outcome(signal_everyone), EPERM);
}
END_TEST

START_TEST(connects_to_granted_ports_only)
{
    char port[8];
    if (!host_has(LAYER_LANDLOCK_NET))
        return;
    int fd = listen_tcp(), other = listen_tcp();
    snprintf(port, sizeof port, "%d", listening);
    ck_assert_int_eq(under(NULL, connect_tcp), 0);
    begin("default");
    ck_assert_int_eq(outcome(connect_tcp), EPERM);
    begin("default"), put("connect", "1");
    ck_assert_int_eq(outcome(connect_tcp), EACCES);
    begin("default"), put("connect", port);
    ck_assert_int_eq(outcome(connect_tcp), 0);
    begin("default"), put("connect", port);
    ck_assert_int_eq(outcome(open_socket), EPERM);
    close(fd);
    close(other);
}
END_TEST

START_TEST(a_user_of_its_own)
{
    if (!is_root() || !host_has(LAYER_OWN_UID))
        return;
    chmod(in_folder("secret"), 0600);
    begin("default"), without(not_own_uid, 3);
    ck_assert_int_eq(outcome(is_someone_else), 0);
    begin("default"), without(not_own_uid, 3);
    ck_assert_int_eq(outcome(read_secret), EACCES);
    begin("default"), without(not_own_uid, 3);
    ck_assert_int_eq(outcome(signal_parent), EPERM);
}
END_TEST

START_TEST(limits_hold)
{
    begin("default"), without(only_limits, 4);
    ctl_put_uint(&out, "open_files", 20);
    ck_assert_int_lt(outcome(count_files), 20);
    ck_assert_int_eq(under(NULL, allocate), 0);
    begin("default"), without(only_limits, 4);
    ctl_put_uint(&out, "memory", 32 << 20);
    ck_assert_int_eq(outcome(allocate), ENOMEM);
    ck_assert_int_eq(under(NULL, hide_pages), 0);
    begin("default"), without(only_limits, 4);
    ctl_put_uint(&out, "memory", 32 << 20);
    ck_assert_int_eq(outcome(hide_pages), ENOMEM);
    ck_assert_int_eq(under(NULL, write_much), 0);
    begin("default"), without(only_limits, 4);
    ctl_put_uint(&out, "file_bytes", 4096);
    ck_assert_int_eq(outcome(write_much), 1);
    begin("default"), without(only_limits, 4);
    ck_assert_int_eq(outcome(dump_core), 0);
    begin("trusted");
    ctl_put_uint(&out, "memory", 32 << 20);
    ck_assert_int_eq(outcome(allocate), ENOMEM);
}
END_TEST

START_TEST(no_capability_is_left)
{
    if (!begin_as(_i))
        return;
    was_root = is_root();
    begin("default"), without(only_limits, 4);
    ck_assert_int_eq(outcome(has_no_rights), 0);
    begin("default"), without(not_own_uid, 3);
    ck_assert_int_eq(outcome(has_no_rights), 0);
}
END_TEST

/* ---- what is missing ----------------------------------------------------- */

START_TEST(refuses_without_what_is_required)
{
    static const char *const layers[] = {"landlock", "namespaces"};
    struct profile p;
    int before = open_descriptors();
    begin("default"), without(layers, 2);
    ctl_put_strs(&out, "require", (char *const *)layers, 2);
    ck_err(make(&p), E_REFUSED);
    ck_assert_uint_eq(missing, LAYER_LANDLOCK | LAYER_NAMESPACES);
    ck_assert_ptr_nonnull(strstr(why, "landlock, namespaces"));
    ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* A grant that rests on a layer needs it, whatever is required. */
START_TEST(grants_need_their_layers)
{
    static const char *const layers[] = {"landlock_net", "namespaces"};
    struct profile p;
    begin("default"), without(layers, 2), put("connect", "80");
    ck_err(make(&p), E_REFUSED);
    ck_assert_uint_eq(missing, LAYER_LANDLOCK_NET);
    begin("default"), without(layers, 2), ctl_put_uint(&out, "tmp", 1 << 20);
    ck_err(make(&p), E_REFUSED);
    ck_assert_uint_eq(missing, LAYER_NAMESPACES);
}
END_TEST

START_TEST(names_a_grant_that_is_not_there)
{
    struct profile p;
    begin("default"), put("read", "/no/such/place");
    ck_assert_int_lt(make(&p), 0);
    ck_assert_ptr_nonnull(strstr(why, "/no/such/place"));
}
END_TEST

START_TEST(keeps_nothing_open)
{
    struct profile p;
    int before = open_descriptors();
    for (int i = 0; i < 3; i++) {
        begin("default"), put("read", folder.path);
        ck_ok(make(&p));
        profile_free(&p);
    }
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* nor a child */
}
END_TEST

Suite *
make_sandbox_profile_suite(void)
{
    const TTest *const tests[] = {landlock_closes_files,
                                  landlock_scopes_signals_and_sockets,
                                  seccomp_alone_holds,
                                  connects_to_granted_ports_only,
                                  a_user_of_its_own,
                                  limits_hold,
                                  refuses_without_what_is_required,
                                  grants_need_their_layers,
                                  names_a_grant_that_is_not_there,
                                  keeps_nothing_open};
    const TTest *const by_users[] = {a_cell_has_a_root_of_its_own,
                                     tmp_is_its_own_and_full_in_time,
                                     no_capability_is_left};
    Suite *s = suite_create("sandbox_profile");
    TCase *c = tcase_create("sandbox_profile");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(c, tests[i]);
    for (size_t i = 0; i < sizeof by_users / sizeof by_users[0]; i++)
        tcase_add_loop_test(c, by_users[i], 0, USERS);
    suite_add_tcase(s, c);
    return s;
}
