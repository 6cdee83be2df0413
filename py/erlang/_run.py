# SPDX-License-Identifier: Apache-2.0
"""Run a program until it ends, or until nobody waits for it any more.

    terrarium_py python -I _run.py PROGRAM [ARGUMENT...]

The program gets a session of its own and no standard input.  Ours is a pipe
from the VM: when that closes (the time is up, the caller or the VM has ended)
the whole process group is killed.  A script, not a part of the package.
"""

import os
import select
import signal
import subprocess
import sys


def wait(pid: int) -> bool:
    """True: the program has ended; False: nobody waits for it."""
    program = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([program, 0], [], [])
        return program in ready
    finally:
        os.close(program)


def main(argv: list[str]) -> int:
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        wait(child.pid)
    finally:
        # Also what it left behind: it is not reaped yet, so its number is its own.
        os.killpg(child.pid, signal.SIGKILL)
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
