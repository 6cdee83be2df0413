# SPDX-License-Identifier: Apache-2.0
"""What py_maintenance asks each context for."""

import gc
import importlib
import os
import sys
import threading
import tracemalloc
from typing import Any, Dict

_NUMBERS = {"Rss": "rss", "Pss": "pss", "Private_Dirty": "private"}


def _smaps() -> Dict[str, int]:
    """Return the process' memory in bytes, as the kernel counts it."""
    found = dict.fromkeys(_NUMBERS.values(), 0)
    try:
        with open("/proc/self/smaps_rollup", encoding="ascii") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name in _NUMBERS:
                    found[_NUMBERS[name]] = int(rest.split()[0]) * 1024
    except OSError:  # where the system has none
        pass
    return found


def memory() -> Dict[str, Any]:
    """Return what is known of this context's memory."""
    current, peak = 0, 0
    if tracemalloc.is_tracing():
        current, peak = tracemalloc.get_traced_memory()
    return {
        **_smaps(),
        "pid": os.getpid(),
        "threads": threading.active_count(),
        "modules": len(sys.modules),
        "gc_count": gc.get_count(),
        "gc_threshold": gc.get_threshold(),
        "gc_stats": gc.get_stats(),
        "traced_memory_current": current,
        "traced_memory_peak": peak,
    }


def collect(generation: int) -> int:
    """Run the collector; how many objects it found."""
    return gc.collect(generation)


def trace_start(frames: int) -> None:
    """Begin to trace allocations; fine if they are."""
    if not tracemalloc.is_tracing():
        tracemalloc.start(frames)


def trace_stop() -> None:
    """Trace them no longer."""
    tracemalloc.stop()


def reload(name: str) -> bool:
    """Reload a module, if it is loaded."""
    module = sys.modules.get(name)
    if module is None:
        return False
    importlib.reload(module)
    return True
