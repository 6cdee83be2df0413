/* SPDX-License-Identifier: Apache-2.0 */
#include "user.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "args.h"
#include "err.h"

enum { SPEC = 256, ENTRY = 65536 };

/* Ids that mean "do not change" to the kernel are none. */
static const unsigned long most_id = UINT_MAX - 1;

struct identity {
    struct passwd user; /* its strings are in `entry' */
    int known;          /* 0: a number that nobody has */
    uid_t uid;
    gid_t gid;
    int alone; /* in that group and no other */
    char entry[ENTRY];
};

static int
is_number(const char *text, unsigned long *id)
{
    char why[64];
    return text[0] != 0 && strspn(text, "0123456789") == strlen(text) &&
           args_number(text, 0, most_id, id, why, sizeof why) == 0;
}

static int
find_user(struct identity *who, const char *name, char *why, size_t n)
{
    unsigned long id;
    struct passwd *found = NULL;
    int numeric = is_number(name, &id);
    if (numeric)
        (void)getpwuid_r((uid_t)id, &who->user, who->entry, ENTRY, &found);
    else
        (void)getpwnam_r(name, &who->user, who->entry, ENTRY, &found);
    who->known = found != NULL;
    if (!who->known && !numeric) {
        snprintf(why, n, "--user: there is no user '%.80s'", name);
        return E_ARG;
    }
    who->uid = numeric ? (uid_t)id : who->user.pw_uid;
    who->gid = who->known ? who->user.pw_gid : (gid_t)who->uid;
    who->alone = !who->known;
    return 0;
}

static int
find_group(struct identity *who, const char *name, char *why, size_t n)
{
    unsigned long id;
    char entry[ENTRY];
    struct group group, *found = NULL;
    who->alone = 1;
    if (is_number(name, &id)) {
        who->gid = (gid_t)id;
        return 0;
    }
    (void)getgrnam_r(name, &group, entry, sizeof entry, &found);
    if (found == NULL) {
        snprintf(why, n, "--user: there is no group '%.80s'", name);
        return E_ARG;
    }
    who->gid = group.gr_gid;
    return 0;
}

static int
find(struct identity *who, const char *spec, char *why, size_t n)
{
    char name[SPEC];
    if ((size_t)snprintf(name, sizeof name, "%s", spec) >= sizeof name) {
        snprintf(why, n, "--user: is too long");
        return E_ARG;
    }
    char *group = strchr(name, ':');
    if (group != NULL)
        *group++ = 0;
    int e = find_user(who, name, why, n);
    return e != 0 || group == NULL ? e : find_group(who, group, why, n);
}

static int
is_already(const struct identity *who)
{
    uid_t r, e, s;
    gid_t gr, ge, gs;
    return getresuid(&r, &e, &s) == 0 && getresgid(&gr, &ge, &gs) == 0 &&
           r == who->uid && e == who->uid && s == who->uid && gr == who->gid &&
           ge == who->gid && gs == who->gid;
}

/* Whoever keeps rights over the change, by the process's secure bits, could
 * come back. */
static int
change(const struct identity *who)
{
    int e = who->alone ? setgroups(1, &who->gid)
                       : initgroups(who->user.pw_name, who->gid);
    if (e != 0 || setresgid(who->gid, who->gid, who->gid) != 0 ||
        setresuid(who->uid, who->uid, who->uid) != 0)
        return E_SYS;
    if (who->uid != 0 && setresuid((uid_t)-1, 0, (uid_t)-1) == 0)
        return E_REFUSED;
    return 0;
}

static int
tell_environment(const struct identity *who)
{
    const struct passwd *user = &who->user;
    if (!who->known)
        return setenv("HOME", "/", 1) != 0 || unsetenv("USER") != 0 ||
                       unsetenv("LOGNAME") != 0
                   ? E_SYS
                   : 0;
    return setenv("HOME", user->pw_dir, 1) != 0 ||
                   setenv("USER", user->pw_name, 1) != 0 ||
                   setenv("LOGNAME", user->pw_name, 1) != 0
               ? E_SYS
               : 0;
}

int
user_become(const char *spec, char *why, size_t n)
{
    struct identity who;
    int e = find(&who, spec, why, n);
    if (e != 0 || is_already(&who))
        return e;
    if (geteuid() != 0) {
        snprintf(why, n, "--user: only root can become another user");
        return E_REFUSED;
    }
    e = change(&who);
    if (e == 0)
        e = tell_environment(&who);
    if (e == E_REFUSED)
        snprintf(why, n, "--user: rights of root outlast the change of user");
    else if (e != 0)
        snprintf(why, n, "--user: cannot become '%.80s': %s", spec,
                 strerror(errno));
    return e;
}
