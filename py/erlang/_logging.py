# SPDX-License-Identifier: Apache-2.0
"""Python's logging to Erlang's logger; py_logger is the other end."""

import logging
import sys
from typing import Any, Dict, Optional, Union

from erlang import _bridge

_PUT = ("log", "put")


class _NoLock:
    """A call to Erlang needs no lock, and holding one meanwhile could block."""

    def acquire(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *exc: object) -> None:
        """Do nothing."""


def _metadata(record: logging.LogRecord) -> Dict[str, Any]:
    return {
        "file": record.pathname,
        "line": record.lineno,
        "function": record.funcName or "",
        "logger": record.name,
        "thread": record.threadName or "",
        "time": int(record.created * 1000000),
    }


class ErlangHandler(logging.Handler):
    """Hands records to Erlang's logger.

    The event's metadata has file, line and time of the record, python_function,
    python_logger, python_thread and the context.  In a request it is logged by
    the process that made the request.  What can not be handed over is written
    to standard error.
    """

    def createLock(self) -> None:
        """Have none."""
        self.lock = _NoLock()  # type: ignore[assignment]

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over one record."""
        try:
            self._hand_over(record, self.format(record))
        except Exception:  # as all handlers do
            self.handleError(record)

    def _hand_over(self, record: logging.LogRecord, text: str) -> None:
        try:
            _bridge.call(_PUT, (record.levelno, text, _metadata(record)), {})
        except (RuntimeError, NameError):  # a policy may forbid it
            sys.stderr.write(f"{record.levelname}:{record.name}:{text}\n")


_handler: Optional[ErlangHandler] = None


def setup_logging(
    level: Union[int, str] = logging.INFO, format: Optional[str] = None
) -> ErlangHandler:
    """Let the root logger hand records of this level and above to Erlang.

    It has one such handler, however often this is called.  The format is as in
    logging.Formatter; without one it is the message alone.
    """
    global _handler
    root = logging.getLogger()
    if _handler is None or _handler not in root.handlers:
        _handler = ErlangHandler()
        root.addHandler(_handler)
    _handler.setLevel(level)
    _handler.setFormatter(logging.Formatter(format) if format else None)
    root.setLevel(level)
    return _handler


def _configure(level: int) -> None:
    """As py:configure_logging/1 wants it."""
    setup_logging(level)
