# SPDX-License-Identifier: Apache-2.0
"""What Python code sees of Erlang: its values as Python types.

This package works inside a Terrarium helper, and in `terrarium_py python`.
"""

from erlang._atom import atom
from erlang._bridge import (
    Atom,
    BitString,
    DecodeError,
    EncodeError,
    FrozenList,
    FrozenMap,
    Fun,
    ImproperList,
    Pid,
    Port,
    Ref,
    decode,
    encode,
)

__all__ = [
    "Atom",
    "BitString",
    "DecodeError",
    "EncodeError",
    "FrozenList",
    "FrozenMap",
    "Fun",
    "ImproperList",
    "Pid",
    "Port",
    "Ref",
    "atom",
    "decode",
    "encode",
]
