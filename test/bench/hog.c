/* SPDX-License-Identifier: Apache-2.0 */
/* hog.c - keeps one core busy for so many seconds, or until its parent ends. */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : 0;
    if (seconds < 1)
        return 64;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm((unsigned)seconds);
    for (volatile unsigned long n = 0;; n++)
        continue;
}
