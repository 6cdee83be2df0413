# SPDX-License-Identifier: Apache-2.0
"""The package as a whole: its stub, its floors, its life outside a helper."""

import ast
import importlib
import inspect
import os
import pathlib
import subprocess
import sys
import unittest

import erlang

_erlang = importlib.import_module("_erlang")
PACKAGE = pathlib.Path(__file__).parent.parent.parent / "py" / "erlang"


def public(names: object) -> set[str]:
    """Return the names that do not start with an underscore."""
    return {n for n in names if not n.startswith("_")}  # type: ignore[attr-defined]


class Stub:
    """The names that _erlang.pyi promises."""

    def __init__(self) -> None:
        tree = ast.parse((PACKAGE / "_erlang.pyi").read_text("utf-8"))
        self.classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
        self.functions = {
            n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)
        }

    def methods(self, name: str) -> dict[str, ast.FunctionDef]:
        """Return what a class has, from its bases in the stub too."""
        node = self.classes[name]
        found: dict[str, ast.FunctionDef] = {}
        for base in node.bases:
            if isinstance(base, ast.Name) and base.id in self.classes:
                found.update(self.methods(base.id))
        found.update({m.name: m for m in node.body if isinstance(m, ast.FunctionDef)})
        return found


def arguments(node: ast.FunctionDef) -> list[str]:
    """Return the names of a function's arguments, without self or cls."""
    a = node.args
    names = [x.arg for x in a.posonlyargs + a.args + a.kwonlyargs]
    names += [x.arg for x in (a.vararg, a.kwarg) if x is not None]
    return [n for n in names if n not in ("self", "cls")]


class StubTest(unittest.TestCase):
    def setUp(self) -> None:
        self.stub = Stub()

    def test_names(self) -> None:
        promised = public(self.stub.classes) | public(self.stub.functions)
        self.assertEqual(promised, public(dir(_erlang)))

    def test_bases(self) -> None:
        for name in public(self.stub.classes):
            kind = getattr(_erlang, name)
            for base in (str, tuple, ValueError, TypeError):
                mentioned = any(
                    base.__name__ == ast.unparse(b).partition("[")[0]
                    for b in self.stub.classes[name].bases
                )
                self.assertEqual(mentioned, base in kind.__mro__, (name, base))

    def test_members(self) -> None:
        for name in public(self.stub.classes):
            kind = getattr(_erlang, name)
            promised = self.stub.methods(name)
            self.assertEqual(public(promised), public(vars(kind)), name)
            for method in promised:
                if method == "__buffer__" and sys.version_info < (3, 12):
                    continue  # only C sees it there (PEP 688)
                self.assertTrue(hasattr(kind, method), f"{name}.{method}")

    def test_arguments(self) -> None:
        for name, node in self.stub.functions.items():
            real = inspect.signature(getattr(_erlang, name))
            self.assertEqual(list(real.parameters), arguments(node), name)


class PackageTest(unittest.TestCase):
    def test_all(self) -> None:
        self.assertEqual(sorted(erlang.__all__), erlang.__all__)
        for name in erlang.__all__:
            self.assertTrue(hasattr(erlang, name), name)
        self.assertLessEqual(public(dir(_erlang)), set(erlang.__all__))

    def test_is_typed(self) -> None:
        self.assertTrue((PACKAGE / "py.typed").exists())

    def test_one_bridge(self) -> None:
        for path in PACKAGE.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [a.name for a in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                if "_erlang" in names:
                    self.assertEqual(path.name, "_bridge.py")

    def test_imports_no_package(self) -> None:
        # An import that a timeout interrupts can leave a package that can not
        # be imported again; and asyncio is slow.
        code = "import sys, erlang; sys.exit('asyncio' in sys.modules)"
        program = [os.readlink("/proc/self/exe"), "python", "-c", code]
        run = subprocess.run(program, timeout=60, check=False)
        self.assertEqual(run.returncode, 0)

    def test_outside_a_helper(self) -> None:
        run = subprocess.run(
            [sys.executable, "-c", "import erlang"],
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(run.returncode, 1)
        self.assertIn("ImportError: the package 'erlang' needs", run.stderr)
        self.assertIn("terrarium_py python", run.stderr)


if __name__ == "__main__":
    unittest.main()
