# SPDX-License-Identifier: Apache-2.0
"""How fast this machine forks and reaps an interpreter with the modules of a run.

Prints how many that were in so many milliseconds: of children that end at once, or
that run a line of Python before.  What locks a helper up, and what it says to the VM,
comes on top of that.
"""

import ctypes
import gc
import os
import sys
import time

import erlang._sandboxed


def count(milliseconds: int, runs: bool) -> int:
    """By the C library's fork alone: Python's hooks would be most of it."""
    fork = ctypes.PyDLL(None).fork
    end = time.monotonic() + milliseconds / 1000
    done = 0
    while time.monotonic() < end:
        pid = fork()
        if pid == 0:
            if runs:
                erlang._sandboxed.run("2 + 2", {}, {}, [], 1)
            os._exit(0)
        os.waitpid(pid, 0)
        done += 1
    return done


erlang._sandboxed.run("2 + 2", {}, {}, [], 1)
gc.collect()
gc.freeze()
print(count(int(sys.argv[1]), sys.argv[2] == "run"))
