# SPDX-License-Identifier: Apache-2.0
"""Atoms by name."""

import functools

from erlang._bridge import Atom


@functools.lru_cache(maxsize=1024)
def atom(name: str) -> Atom:
    """Return the atom with this name; the same object for recent names."""
    return Atom(name)
