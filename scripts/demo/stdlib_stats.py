# SPDX-License-Identifier: Apache-2.0
"""Parse one Python source file and say what is in it (used by the demo)."""

import ast
import tokenize

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def length(node):
    """Return how many lines a definition spans."""
    return node.end_lineno - node.lineno + 1


def imports(tree):
    """Return the top-level names of the modules that are imported."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return sorted(names)


def measure(path):
    """Return a dict about the file, or one with only "error" in it."""
    try:
        with tokenize.open(path) as source:
            text = source.read()
        tree = ast.parse(text, path)
    except (SyntaxError, UnicodeDecodeError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, FUNCTIONS)]
    longest = max(functions, key=length, default=None)
    return {
        "lines": text.count("\n"),
        "nodes": len(nodes),
        "functions": len(functions),
        "classes": sum(isinstance(node, ast.ClassDef) for node in nodes),
        "longest": (longest.name, length(longest)) if longest else ("", 0),
        "imports": imports(tree),
    }
