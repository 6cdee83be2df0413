# SPDX-License-Identifier: Apache-2.0
"""The only import of the builtin module `_erlang`.

Its contract is `_erlang.pyi`.  Outside a helper the builtin does not exist,
and the import says so.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from erlang._erlang import (
        Atom,
        BitString,
        Continuation,
        DecodeError,
        EncodeError,
        FrozenList,
        FrozenMap,
        Fun,
        ImproperList,
        Pid,
        Port,
        Ref,
        SharedMemory,
        SharedMemoryError,
        StaleReference,
        _begin_call,
        _detached_answer,
        _detached_cancelled,
        _detached_fileno,
        call,
        consume_time_slice,
        decode,
        encode,
        _filenos,
        _look,
        _passed,
        _max_frame,
        _pump,
        _request,
        _send,
        _span,
        _traced,
    )
else:
    try:
        from _erlang import (
            Atom,
            BitString,
            Continuation,
            DecodeError,
            EncodeError,
            FrozenList,
            FrozenMap,
            Fun,
            ImproperList,
            Pid,
            Port,
            Ref,
            SharedMemory,
            SharedMemoryError,
            StaleReference,
            _begin_call,
            _detached_answer,
            _detached_cancelled,
            _detached_fileno,
            call,
            consume_time_slice,
            decode,
            encode,
            _filenos,
            _look,
            _passed,
            _max_frame,
            _pump,
            _request,
            _send,
            _span,
            _traced,
        )
    except ModuleNotFoundError as error:
        if error.name != "_erlang":
            raise
        raise ImportError(
            "the package 'erlang' needs the builtin module '_erlang': "
            "run inside a Terrarium helper or with `terrarium_py python`",
            name="_erlang",
        ) from None

__all__ = [
    "Atom",
    "BitString",
    "Continuation",
    "DecodeError",
    "EncodeError",
    "FrozenList",
    "FrozenMap",
    "Fun",
    "ImproperList",
    "Pid",
    "Port",
    "Ref",
    "SharedMemory",
    "SharedMemoryError",
    "StaleReference",
    "_begin_call",
    "_detached_answer",
    "_detached_cancelled",
    "_detached_fileno",
    "call",
    "consume_time_slice",
    "decode",
    "encode",
    "_filenos",
    "_look",
    "_passed",
    "_max_frame",
    "_pump",
    "_request",
    "_send",
    "_span",
    "_traced",
]
