"""A time limit for calls that may never return."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from cosgrad.score.signals import check

STEP = 1.0  # seconds in which a lost signal is noticed


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """Return the result of a call, or raise its exception.

    The call runs in another thread. After a time-out it continues there, and ends with the process.

    Raises:
        TimeoutError: The call has not returned in time.
    """
    ended: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put((call(), None))
        except BaseException as error:  # raised in the waiting thread
            ended.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    deadline = monotonic() + seconds
    while (left := deadline - monotonic()) > 0:
        try:
            result, error = ended.get(timeout=min(left, STEP))
        except queue.Empty:
            check()
            continue
        if error is not None:
            raise error
        return result
    raise TimeoutError(f"no answer in {seconds:g} s")
