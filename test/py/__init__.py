# SPDX-License-Identifier: Apache-2.0
"""Python's unit tests; run by `make test-py` in `terrarium_py python`."""
