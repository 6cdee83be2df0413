/* SPDX-License-Identifier: Apache-2.0 */
/* support_lane.h - the two ends of a lane, in one process. */
#ifndef TERRARIUM_SUPPORT_LANE_H
#define TERRARIUM_SUPPORT_LANE_H

#include "channel.h"

/* Both belong to the caller. */
void lane_pair(struct channel *vm, struct channel *helper);

#endif
