#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure files and functions, and refuse those over the limits.

C functions are found by the layout that clang-format gives them (the name at
the start of a line, both braces alone on theirs), Erlang forms by their first
column, Python functions by the ast module.
"""

import ast
import re
import subprocess
import sys
from os.path import exists

# kind, glob pathspecs, file limit, function limit
LIMITS = [
    ("C", ["c_src/*.c", "c_src/*.h"], 500, 80),
    ("C tests", ["test/*.c", "test/*.h"], 600, 80),
    ("Erlang", ["erl/*.erl"], 400, 30),
    ("Erlang tests", ["test/*.erl"], 600, 40),
    ("Python", ["py/*.py", "scripts/*.py"], 500, 40),
    ("Python tests", ["test/*.py"], 600, 60),
    ("scripts", ["scripts/*", ".ci/run"], 400, 40),
]
# What is mostly documentation, or a table.
FILE_LIMITS = {
    "erl/api/py.erl": 900,
    "erl/context/py_context.erl": 440,
}
SWITCH_LIMIT = 120  # a C function that is one dispatch switch
MEDIAN_LIMIT = 15  # of all C functions in c_src


def tracked(patterns):
    command = ["git", "ls-files", "-co", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, check=True, capture_output=True, text=True)
    return sorted(name for name in set(names.stdout.split()) if exists(name))


def c_functions(lines):
    """Yield (name, length, limit factor)."""
    start = name = None
    for number, line in enumerate(lines):
        match = re.match(r"([A-Za-z_]\w*)\(", line)
        if match and start is None:
            name, head = match.group(1), number
        elif line == "{" and name:
            start = head
        elif line == "}" and start is not None:
            body = lines[start : number + 1]
            switches = [row for row in body if re.match(r" {4}switch \(", row)]
            yield name, len(body), bool(switches)
            start = name = None


def erlang_functions(lines):
    """Yield (name, lines of the longest clause)."""
    start = None
    for number, line in enumerate(lines):
        code = re.sub(r"(?<!\$)%.*", "", line).rstrip()
        if start is None:
            match = re.match(r"([a-z][\w@]*|'[^']+')\(", code)
            if not match:
                continue
            start, name = number, match.group(1)
        if code.endswith((".", ";")) and (
            code.endswith(".") or clause_starts(lines, number + 1, name)
        ):
            yield name, number - start + 1
            start = None


def clause_starts(lines, number, name):
    while number < len(lines) and lines[number].lstrip().startswith("%"):
        number += 1
    return number < len(lines) and lines[number].startswith(name + "(")


def python_functions(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.end_lineno - node.lineno + 1


def functions(path, source):
    """Yield (name, length, is a dispatch switch)."""
    lines = source.split("\n")
    if path.endswith((".c", ".h")):
        yield from c_functions(lines)
    elif path.endswith(".erl"):
        yield from ((name, length, False) for name, length in erlang_functions(lines))
    elif path.endswith(".py"):
        yield from ((name, length, False) for name, length in python_functions(source))


def measure(paths, file_limit, function_limit):
    """Return (lengths of functions, lines in all, complaints)."""
    lengths, total, bad = [], 0, []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            source = file.read()
        count = source.count("\n")
        total += count
        limit = FILE_LIMITS.get(path, file_limit)
        if count > limit:
            bad.append(f"{path}: {count} lines (limit {limit})")
        for name, length, switch in functions(path, source):
            lengths.append(length)
            limit = SWITCH_LIMIT if switch else function_limit
            if length > limit:
                bad.append(f"{path}: {name}: {length} lines (limit {limit})")
    return sorted(lengths), total, bad


def report(kind, files, total, lengths):
    line = f"{kind:13} {files:4} files {total:6} lines"
    if lengths:
        median = lengths[len(lengths) // 2]
        p90 = lengths[len(lengths) * 9 // 10]
        line += f"  {len(lengths):5} functions"
        line += f", median {median}, p90 {p90}, max {lengths[-1]}"
    print(line)


def main():
    failures = []
    for kind, patterns, file_limit, function_limit in LIMITS:
        paths = tracked(patterns)
        if kind != "scripts":
            paths = [p for p in paths if p.endswith((".c", ".h", ".erl", ".py"))]
        lengths, total, bad = measure(paths, file_limit, function_limit)
        report(kind, len(paths), total, lengths)
        failures += bad
        if kind == "C" and lengths and lengths[len(lengths) // 2] > MEDIAN_LIMIT:
            failures.append(f"C functions: median over {MEDIAN_LIMIT} lines")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
