# SPDX-License-Identifier: Apache-2.0
"""CPython's own tests of asyncio, run on ErlangEventLoop.

    terrarium_py python asyncio_tests.py PROGRAM EXCEPTIONS [MODULE...]

PROGRAM is terrarium_py; each module of test.test_asyncio runs in a process of its
own, where erlang.install() has been called and asyncio.SelectorEventLoop is our
class, since most of these tests name it.  Interpreters without the `test` package
(Debian's) are skipped with a word.  EXCEPTIONS says what is left out or may fail,
and why; an exception that is none any more is a failure too.
"""

import fnmatch
import importlib.util
import os
import re
import subprocess
import sys
import unittest

LIMIT = 300
"""Seconds for a module."""

VERSION = "%d.%d" % sys.version_info[:2]


class Exceptions:
    """Lines of `PATTERN VERSIONS REASON`; VERSIONS is `*` or `3.12,3.13`."""

    def __init__(self, path):
        self.patterns = []
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if line.strip() and not line.startswith("#"):
                    pattern, versions, _reason = line.split(None, 2)
                    if versions == "*" or VERSION in versions.split(","):
                        self.patterns.append(pattern)

    def match(self, name):
        """Return the patterns that this name (module.Class.method) has."""
        return [p for p in self.patterns if fnmatch.fnmatchcase(name, p)]

    def of(self, module):
        """Return those that are about tests of a module."""
        return {p for p in self.patterns if p.split(".")[0] == module and "." in p}


def short(test):
    """test.test_asyncio.test_x.Class.method => test_x.Class.method.

    What goes wrong in setUpClass and the like is called after that.
    """
    name = re.sub(r"^(\w+) \((.*)\)$", r"\2.\1", test.id())
    return name.replace("test.test_asyncio.", "")


def count_loops():
    """Make our class asyncio's one; return a list that grows with each loop."""
    import asyncio

    import erlang
    from erlang._event_loop import ErlangEventLoop

    made = []
    before = ErlangEventLoop.__init__

    def init(self, selector=None):
        before(self, selector)
        made.append(None)

    ErlangEventLoop.__init__ = init
    for name in ("SelectorEventLoop", "EventLoop"):  # the latter from 3.13 on
        if hasattr(asyncio, name):
            setattr(asyncio, name, ErlangEventLoop)
    erlang.install()
    return made


def run_module(module, exceptions):
    """Run one module in this process; return its exit status."""
    import warnings

    warnings.simplefilter("ignore", DeprecationWarning)
    made = count_loops()
    from test import support

    support.use_resources = []
    suite = unittest.defaultTestLoader.loadTestsFromName(f"test.test_asyncio.{module}")
    result = unittest.TextTestRunner(stream=open(os.devnull, "w")).run(suite)
    used, wrong = set(), 0
    for case, text in result.failures + result.errors:
        patterns = exceptions.match(short(case))
        used.update(patterns)
        if not patterns:
            wrong += 1
            print(f"FAILED {short(case)}\n{text}")
    for pattern in sorted(exceptions.of(module) - used):
        wrong += 1
        print(f"FAILED {pattern}: is an exception no more")
    excepted = len(result.failures + result.errors)
    print(
        f"{module}: {result.testsRun} tests, {len(result.skipped)} skipped, "
        f"{excepted} failed, {wrong} of them not expected; {len(made)} loops"
    )
    return 1 if wrong else 0


def run_child(program, path, module):
    """Run one module in a process of its own; True: all is well."""
    command = [program, "python", __file__, "--module", path, module]
    try:
        done = subprocess.run(command, timeout=LIMIT, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        print(f"FAILED {module}: not through after {LIMIT} seconds")
        return False
    return done.returncode == 0


def modules(exceptions):
    """Return the names of all modules of tests that are not left out."""
    spec = importlib.util.find_spec("test.test_asyncio")
    names = os.listdir(os.path.dirname(spec.origin))
    found = sorted(n[:-3] for n in names if re.fullmatch(r"test_\w+\.py", n))
    return [name for name in found if not exceptions.match(name)]


def has_tests():
    """Has this interpreter CPython's tests?"""
    try:
        return importlib.util.find_spec("test.test_asyncio") is not None
    except ModuleNotFoundError:
        return False


def main(argv):
    """Run them all, or one with --module."""
    if argv[0] == "--module":
        return run_module(argv[2], Exceptions(argv[1]))
    if not has_tests():
        print(f"Skipped 1 suite: Python {VERSION} here has no package `test`")
        return 0
    program, path, *named = argv
    names = named or modules(Exceptions(path))
    failed = [name for name in names if not run_child(program, path, name)]
    for name in failed:
        print(f"{name} failed")
    passed = len(names) - len(failed)
    print(f"modules of Python {VERSION}: {passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
