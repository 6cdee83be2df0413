# SPDX-License-Identifier: Apache-2.0
# Tests, each runner also alone.
