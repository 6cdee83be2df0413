/* SPDX-License-Identifier: Apache-2.0 */
#include "tasks.h"

#include <dirent.h>
#include <stddef.h>

unsigned
tasks_count(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/task");
    if (d == NULL)
        return 1;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}
