/* SPDX-License-Identifier: Apache-2.0 */
/* suites_drv.h - the suites of the driver, over fake_erts.c. */
SUITE(drv_calls)
SUITE(drv_detached)
SUITE(drv_callbacks)
SUITE(drv_callback_end)
SUITE(drv_callback_lies)
SUITE(drv_callback_yield)
SUITE(drv_hostile)
SUITE(drv_courier)
SUITE(drv_lane)
SUITE(drv_enemy)
SUITE(drv_pool)
SUITE(drv_zygote)
