/* SPDX-License-Identifier: Apache-2.0 */
#include "python.h"

#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"

enum { VERSION_MAX = 16 };

int
python_own_folder(char *dir, size_t n)
{
    ssize_t len = readlink("/proc/self/exe", dir, n - 1);
    if (len <= 0 || (size_t)len >= n - 1)
        return E_SYS;
    dir[len] = 0;
    *strrchr(dir, '/') = 0;
    return 0;
}

/* ---- versions ----------------------------------------------------------- */

/* "3.12" at the start of "3.12.1" or "3.12": its length, or 0. */
static size_t
version_length(const char *s)
{
    size_t major = strspn(s, "0123456789");
    if (major == 0 || s[major] != '.')
        return 0;
    size_t minor = strspn(s + major + 1, "0123456789");
    if (minor == 0 || major + 1 + minor >= VERSION_MAX)
        return 0;
    return major + 1 + minor;
}

static int
take_version(const char *s, char *version)
{
    size_t len = version_length(s);
    memcpy(version, s, len);
    version[len] = 0;
    return len > 0;
}

/* A line "version = 3.11.2" (venv) or "version_info = 3.11.2" (others). */
static int
version_of_line(const char *line, char *version)
{
    static const char key[] = "version", info[] = "_info";
    if (strncmp(line, key, sizeof key - 1) != 0)
        return 0;
    line += sizeof key - 1;
    if (strncmp(line, info, sizeof info - 1) == 0)
        line += sizeof info - 1;
    line += strspn(line, " \t");
    if (*line != '=')
        return 0;
    line++;
    return take_version(line + strspn(line, " \t"), version);
}

/* From DIR/pyvenv.cfg: 1 found. */
static int
version_of_venv(const char *dir, char *version)
{
    char path[PATH_MAX], line[1024];
    int found = 0;
    if (snprintf(path, sizeof path, "%s/pyvenv.cfg", dir) >= (int)sizeof path)
        return 0;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    while (!found && fgets(line, sizeof line, f) != NULL)
        found = version_of_line(line, version);
    fclose(f);
    return found;
}

/* From a file name like python3.11. */
static int
version_of_name(const char *path, char *version)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    name += strcspn(name, "0123456789");
    return take_version(name, version);
}

/* By its name, by the name of what it links to, or by the pyvenv.cfg of the
 * virtual environment it is in (DIR/bin/python). */
static int
version_of_interpreter(const char *path, char *version)
{
    char real[PATH_MAX], dir[PATH_MAX];
    if (version_of_name(path, version))
        return 1;
    if (realpath(path, real) != NULL && version_of_name(real, version))
        return 1;
    if (snprintf(dir, sizeof dir, "%s", path) >= (int)sizeof dir)
        return 0;
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(dir, '/');
        if (slash == NULL)
            return 0;
        *slash = 0;
    }
    return version_of_venv(dir, version);
}

/* ---- programs ----------------------------------------------------------- */

/* "3.10 3.11": the versions there is a program for. */
static void
list_built(const char *dir, char *out, size_t n)
{
    char pattern[PATH_MAX];
    glob_t found;
    size_t len = 0;
    out[0] = 0;
    snprintf(pattern, sizeof pattern, "%s/terrarium_py-*", dir);
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc && len < n; i++) {
        const char *dash = strrchr(found.gl_pathv[i], '-');
        if (version_length(dash + 1) == strlen(dash + 1))
            len += (size_t)snprintf(out + len, n - len, "%s%s",
                                    len > 0 ? " " : "", dash + 1);
    }
    globfree(&found);
}

static int
find_program(const char *dir, const char *version, struct python *p, char *why,
             size_t n)
{
    char built[128];
    int len = snprintf(p->program, sizeof p->program, "%s/terrarium_py%s%s",
                       dir, version[0] != 0 ? "-" : "", version);
    if (len < (int)sizeof p->program && access(p->program, X_OK) == 0)
        return 0;
    list_built(dir, built, sizeof built);
    if (version[0] == 0)
        snprintf(why, n, "there is no %s: run make", p->program);
    else
        snprintf(why, n, "not built for Python %s (built for: %s)", version,
                 built[0] != 0 ? built : "none");
    return E_ARG;
}

static int
set_executable(struct python *p, const char *path, char *why, size_t n)
{
    if (access(path, X_OK) != 0) {
        snprintf(why, n, "there is no interpreter %.200s", path);
        return E_ARG;
    }
    /* The zygote keeps our working directory, a helper may change its own.
     * Not realpath: a venv's python is a link, and is a venv by its place. */
    char cwd[PATH_MAX] = "";
    if (path[0] != '/' && getcwd(cwd, sizeof cwd) == NULL)
        cwd[0] = 0;
    if (snprintf(p->executable, sizeof p->executable, "%s%s%s", cwd,
                 cwd[0] != 0 ? "/" : "", path) >= (int)sizeof p->executable) {
        snprintf(why, n, "the path is too long");
        return E_ARG;
    }
    return 0;
}

static int
resolve_venv(const char *dir, struct python *p, char *version, char *why,
             size_t n)
{
    char path[PATH_MAX];
    if (!version_of_venv(dir, version)) {
        snprintf(why, n, "--venv: no version in %.200s/pyvenv.cfg", dir);
        return E_ARG;
    }
    if (snprintf(path, sizeof path, "%s/bin/python", dir) >= (int)sizeof path) {
        snprintf(why, n, "--venv: the path is too long");
        return E_ARG;
    }
    return set_executable(p, path, why, n);
}

static int
resolve_python(const char *python, struct python *p, char *version, char *why,
               size_t n)
{
    if (version_length(python) == strlen(python))
        return take_version(python, version) ? 0 : E_ARG;
    if (strchr(python, '/') == NULL) {
        snprintf(why, n, "--python: '%.80s' is neither X.Y nor a path", python);
        return E_ARG;
    }
    if (!version_of_interpreter(python, version)) {
        snprintf(why, n,
                 "--python: the version of %.200s is not to be seen in its "
                 "name or in a pyvenv.cfg; give X.Y",
                 python);
        return E_ARG;
    }
    return set_executable(p, python, why, n);
}

int
python_resolve(const struct runtime_options *o, const char *dir,
               struct python *p, char *why, size_t n)
{
    char version[VERSION_MAX] = "";
    int e = 0;
    p->executable[0] = 0;
    if (o->venv != NULL && o->python != NULL) {
        snprintf(why, n, "--python and --venv exclude each other");
        return E_ARG;
    }
    if (o->venv != NULL)
        e = resolve_venv(o->venv, p, version, why, n);
    else if (o->python != NULL)
        e = resolve_python(o->python, p, version, why, n);
    return e != 0 ? e : find_program(dir, version, p, why, n);
}
