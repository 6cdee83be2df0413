# SPDX-License-Identifier: Apache-2.0
"""What Python code sees of Erlang: its values as Python types.

This package works inside a Terrarium helper, and in `terrarium_py python`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from erlang._async import async_call
from erlang._atom import atom
from erlang._bridge import (
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
    consume_time_slice,
    decode,
    encode,
)
from erlang._call import Function as _Function
from erlang._call import call
from erlang._errors import ErlangError, ProcessError
from erlang._logging import ErlangHandler, setup_logging
from erlang._messages import Monitor, monitor, reply, self, send, whereis
from erlang._schedule import schedule, schedule_inline, schedule_py
from erlang._semaphore import Semaphore
from erlang._state import (
    SharedDict,
    state_clear,
    state_decr,
    state_delete,
    state_get,
    state_incr,
    state_keys,
    state_set,
)
from erlang._trace import Span, trace
from erlang.channel import (
    ByteChannel,
    ByteChannelClosed,
    Channel,
    ChannelBusy,
    ChannelClosed,
    PyBuffer,
)
from erlang._tasks import (
    get_event_loop_policy,
    install,
    new_event_loop,
    run,
    sleep,
    spawn_task,
)

if TYPE_CHECKING:
    from erlang import reactor, server
    from erlang._event_loop import ErlangEventLoop, EventLoopPolicy

__all__ = [
    "Atom",
    "BitString",
    "ByteChannel",
    "ByteChannelClosed",
    "Channel",
    "ChannelBusy",
    "ChannelClosed",
    "Continuation",
    "DecodeError",
    "EncodeError",
    "ErlangError",
    "ErlangEventLoop",
    "ErlangHandler",
    "EventLoopPolicy",
    "FrozenList",
    "FrozenMap",
    "Fun",
    "ImproperList",
    "Monitor",
    "Pid",
    "Port",
    "ProcessError",
    "PyBuffer",
    "Ref",
    "Semaphore",
    "SharedDict",
    "SharedMemory",
    "SharedMemoryError",
    "Span",
    "StaleReference",
    "async_call",
    "atom",
    "call",
    "consume_time_slice",
    "decode",
    "encode",
    "get_event_loop_policy",
    "install",
    "monitor",
    "new_event_loop",
    "reactor",
    "reply",
    "run",
    "schedule",
    "schedule_inline",
    "schedule_py",
    "self",
    "send",
    "server",
    "setup_logging",
    "sleep",
    "spawn_task",
    "state_clear",
    "state_decr",
    "state_delete",
    "state_get",
    "state_incr",
    "state_keys",
    "state_set",
    "trace",
    "whereis",
]


def __getattr__(name: str) -> Any:
    """Registered Erlang functions are attributes of this module.

    The classes of the event loop are found here too: asyncio comes with them.  And
    the modules that few use.
    """
    if name in ("reactor", "server"):
        return importlib.import_module("erlang." + name)
    if name in ("ErlangEventLoop", "EventLoopPolicy"):
        import erlang._event_loop

        return getattr(erlang._event_loop, name)
    if name.startswith("_"):
        raise AttributeError(f"module 'erlang' has no attribute {name!r}")
    return _Function(name)
