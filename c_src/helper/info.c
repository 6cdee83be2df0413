/* SPDX-License-Identifier: Apache-2.0 */
#include "info.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Values of "Name:   123 kB" lines, in bytes. */
static void
read_smaps(unsigned long long *rss, unsigned long long *pss)
{
    char line[256];
    unsigned long long kb;
    *rss = *pss = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "re");
    if (f == NULL)
        return;
    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "Rss: %llu kB", &kb) == 1)
            *rss = kb * 1024;
        else if (sscanf(line, "Pss: %llu kB", &kb) == 1)
            *pss = kb * 1024;
    }
    fclose(f);
}

static int
count_threads(void)
{
    char line[256];
    int n = 0;
    FILE *f = fopen("/proc/self/status", "re");
    if (f == NULL)
        return 0;
    while (n == 0 && fgets(line, sizeof line, f) != NULL)
        (void)sscanf(line, "Threads: %d", &n);
    fclose(f);
    return n;
}

/* sys.name, or None; new reference. */
static PyObject *
of_sys(const char *name)
{
    PyObject *v = PySys_GetObject(name); /* borrowed */
    if (v == NULL)
        v = Py_None;
    Py_INCREF(v);
    return v;
}

static PyObject *
gc_counts(void)
{
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *counts = gc ? PyObject_CallMethod(gc, "get_count", NULL) : NULL;
    Py_XDECREF(gc);
    return counts;
}

PyObject *
info_get(struct context *c, PyObject *body)
{
    (void)body;
    unsigned long long rss, pss;
    PyObject *gc = gc_counts();
    if (gc == NULL)
        return NULL;
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    read_smaps(&rss, &pss);
    return Py_BuildValue("{s:s,s:N,s:N,s:i,s:K,s:K,s:i,s:n,s:N,s:n}", "version",
                         PY_VERSION, "executable", of_sys("executable"),
                         "prefix", of_sys("prefix"), "pid", (int)getpid(),
                         "rss", rss, "pss", pss, "threads", count_threads(),
                         "refs", objref_count(&c->refs), "gc", gc, "modules",
                         PyMapping_Size(modules));
}
