/* SPDX-License-Identifier: Apache-2.0 */
/* fresh_main.h - `terrarium_py helper': a helper that was begun by exec
 * (fresh.h).
 * Used by: main. */
#ifndef TERRARIUM_ZYGOTE_FRESH_MAIN_H
#define TERRARIUM_ZYGOTE_FRESH_MAIN_H

/* argv[0] is "helper", then as for the zygote, whose command line this is but
 * for --control, which says where the order is. */
int fresh_main(int argc, char **argv);

#endif
