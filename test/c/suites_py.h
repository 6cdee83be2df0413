/* SPDX-License-Identifier: Apache-2.0 */
/* suites_py.h - the suites that need Python. */
SUITE(zygote)
SUITE(zygote_helper)
SUITE(zygote_load)
SUITE(helper)
SUITE(helper_interrupt)
SUITE(launcher)
SUITE(zygote_parts)
SUITE(helper_error)
SUITE(helper_crash)
SUITE(etf)
