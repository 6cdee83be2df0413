#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print, as make variables, how to compile against the running interpreter.

Run by the Makefile with the Python that PYTHON= names.  The static library is
preferred: pure Python runs measurably faster with it than with Debian's
shared one.
"""

import os
import sys
import sysconfig


def link_flags(version):
    """Return linker flags for libpython: static if there, else shared."""
    get = sysconfig.get_config_var
    system = " ".join(filter(None, (get("LIBS"), get("SYSLIBS"))))
    static = os.path.join(get("LIBPL") or "", get("LIBRARY") or "")
    if os.path.isfile(static) and not os.environ.get("PYTHON_SHARED"):
        modules = get("MODLIBS") or ""
        whole = f"-Wl,--whole-archive {static} -Wl,--no-whole-archive"
        # The objects in it are not always position-independent.  The code can be
        # put in huge pages (c_src/zygote/program.h).
        link = "-no-pie -Wl,-z,max-page-size=0x200000 -Wl,--export-dynamic"
        return f"{link} {whole} {modules} {system}"
    libdir = get("LIBDIR")
    suffix = version + (getattr(sys, "abiflags", "") or "")
    return f"-L{libdir} -Wl,-rpath,{libdir} -lpython{suffix} {system}"


def main():
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not (3, 10) <= sys.version_info[:2] <= (3, 14):
        sys.exit(f"Terrarium needs Python 3.10 to 3.14, not {version}")
    include = sysconfig.get_path("include")
    if not os.path.isfile(os.path.join(include, "Python.h")):
        sys.exit(f"no Python.h in {include}: install the python3-dev package")
    executable = os.path.realpath(sys.executable)
    print(f"PY_VERSION := {version}")
    print(f"PY_EXECUTABLE := {executable}")
    print(f"PY_CFLAGS := -I{include}")
    print(f"PY_LDLIBS := {link_flags(version)}")


if __name__ == "__main__":
    main()
