"""Conversion of SIGINT and SIGTERM to exceptions that cannot get lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

DEFAULTS: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
_arrived: list[int] = []
_shields: list[None] = []


class Terminated(KeyboardInterrupt):
    """The process has received SIGTERM."""


def _handle(number: int, _: object) -> None:
    _arrived.append(number)
    check()


def check() -> None:
    """Raise the exception of a signal that arrived in the block of `interruptible`.

    Python loses an exception that a signal raises in a callback of an import or of the garbage collector.
    A loop that calls this function ends in this case, too.
    """
    if _arrived and not _shields and threading.current_thread() is threading.main_thread():
        raise Terminated if _arrived[0] == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def shielded() -> Iterator[None]:
    """Delay signals until the end of the block, which must take at most some seconds."""
    _shields.append(None)
    try:
        yield
    finally:
        _shields.pop()


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `KeyboardInterrupt` or `Terminated` if SIGINT or SIGTERM arrives in the block.

    Only signals that have Python's default handlers are handled, and only in the main thread.
    """
    _arrived.clear()
    ours = threading.current_thread() is threading.main_thread()
    handled = [number for number, default in DEFAULTS.items() if ours and signal.getsignal(number) is default]
    try:
        for number in handled:
            signal.signal(number, _handle)
        yield
    finally:
        for number in handled:
            signal.signal(number, DEFAULTS[number])
        _arrived.clear()
