/* SPDX-License-Identifier: Apache-2.0 */
/* survey.h - say which layers of a sandbox this host gives: `terrarium_py
 * check`.
 *
 * Used by: the main function of terrarium_py.   Threads: none. */
#ifndef TERRARIUM_ZYGOTE_SURVEY_H
#define TERRARIUM_ZYGOTE_SURVEY_H

/* argv[0] is "check"; --executable PYTHON may follow.  A table on standard
 * output; 0 if contexts of all levels could start, 1 if not, else a
 * handoff_exit. */
int survey_main(int argc, char **argv);

#endif
