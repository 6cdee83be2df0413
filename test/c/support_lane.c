/* SPDX-License-Identifier: Apache-2.0 */
#include "support_lane.h"

#include <check.h>
#include <sys/socket.h>

#include "io.h"
#include "support_check.h"

void
lane_pair(struct channel *vm, struct channel *helper)
{
    int s[2], segment;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
    ck_ok(lane_segment_create(&segment));
    ck_ok(channel_lane_init(vm, LANE_VM, segment, s[0]));
    ck_ok(channel_lane_init(helper, LANE_HELPER, segment, s[1]));
    io_close(&segment);
}
