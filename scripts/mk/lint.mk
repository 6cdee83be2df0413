# SPDX-License-Identifier: Apache-2.0
# Style, static analysis, sizes.
