/* SPDX-License-Identifier: Apache-2.0 */
/* suites.h - the suites that need neither Python nor ERTS. */
SUITE(args)
SUITE(err)
SUITE(mem)
SUITE(buf)
SUITE(rd)
SUITE(io)
SUITE(channel)
SUITE(wire)
SUITE(frame)
SUITE(ctl)
SUITE(ctl_etf)
SUITE(etf_check)
