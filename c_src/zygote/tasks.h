/* SPDX-License-Identifier: Apache-2.0 */
/* tasks.h - how many threads this process has.
 * Used by: zygote.   Errors: 1 where nobody can tell.   Threads: any. */
#ifndef TERRARIUM_ZYGOTE_TASKS_H
#define TERRARIUM_ZYGOTE_TASKS_H

unsigned tasks_count(void);

#endif
