# SPDX-License-Identifier: Apache-2.0
"""What Erlang's py_import asks of contexts that run."""

import importlib
import sys
from typing import Any, Optional


def ensure(module: str, function: Optional[str]) -> None:
    """Import a module, and look whether it has that function."""
    found: Any = importlib.import_module(str(module))
    if function is not None:
        for name in function.split("."):
            found = getattr(found, name)


def add_path(directory: str) -> None:
    """Put a directory before sys.path."""
    if directory not in sys.path:
        sys.path.insert(0, str(directory))
        importlib.invalidate_caches()
