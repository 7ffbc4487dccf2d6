"""One library in its own process, so that its threads, memory and crashes do not affect others."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from functools import cache
from multiprocessing.connection import Connection, Pipe
from typing import Any, Literal

import numpy as np

from cosgrad.bench import memory
from cosgrad.bench.rivals import LIBRARIES
from cosgrad.bench.rivals.base import Floats
from cosgrad.bench.timing import Work, repeats, sample
from cosgrad.verify.adapters.base import RaisedError

TIMEOUT = 180.0
"""Seconds after which a call counts as hanging. The longest known call is a compiler's first call."""

ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Idle threads of GNU OpenMP spin for 15 ms by default, into the next library's turn. This makes it 1 ms.
    "GOMP_SPINCOUNT": "20000",
}

TILE = 2048
"""The number of random rows. Larger inputs repeat them, and no library can use that."""

KEPT = 16_000_000
"""In bytes. If the memory in use of a library with a memory pool has grown by more since its first small
task, the growth is the pool. Smaller growth comes from programs that were compiled since."""

Kind = Literal["forward", "loss"]


class FailedError(Exception):
    """The library is missing, raised, crashed or hangs. The message gives the reason in one sentence."""

    def __init__(self, why: str, *, missing: bool = False) -> None:
        super().__init__(why)
        self.missing = missing


def inputs(rows: int, length: int, seed: int) -> tuple[Floats, Floats]:
    """Return two seeded arrays of normally distributed numbers."""
    x, y = (np.resize(part, (rows, length)) for part in _tile(length, seed))
    return x, y


@cache
def _tile(length: int, seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal((2, TILE, length), np.float32)


class Library:
    """The library in the process, and its current task."""

    def __init__(self, name: str) -> None:
        self.functions = LIBRARIES[name].build()
        self.pool = LIBRARIES[name].pool
        gc.collect()
        gc.freeze()  # objects of the import stay alive, so later collections can skip them
        self.work: Work = lambda: None
        self.count = 1
        self.given = 0
        self.base: int | None = None

    def values(self, quantity: Any, x: Floats, y: Floats) -> Any:
        """Return S or D of the rows. See `Functions.values`."""
        return self.functions.values(quantity, x, y)

    def prepare(self, kind: Kind, rows: int, length: int, seed: int) -> bool:
        """Make the inputs and warm up. Return False if the library lacks this kind of work."""
        self.work = lambda: None
        gc.collect()
        make = self.functions.forward if kind == "forward" else self.functions.backward
        work = make(*inputs(rows, length, seed))
        if work is None:
            return False
        work()
        self.work, self.count = work, repeats(work)
        self.given = 2 * rows * length * np.dtype(np.float32).itemsize
        gc.collect()
        gc.disable()
        if self.base is None:
            self.base = memory.in_use() - self.given
        return True

    def sample(self) -> float:
        """Return the seconds that the work takes."""
        return sample(self.work, self.count)

    def peak(self) -> int:
        """Return the bytes that the work takes beside its inputs, including memory that the library keeps."""
        gc.enable()
        kept = memory.in_use() - (self.base or 0) - self.given
        return memory.extra(self.work) + (kept if self.pool and kept > KEPT else 0)


def serve(name: str, connection: Connection) -> None:
    """Answer requests until the parent is gone."""
    library: Library | None = None
    try:
        while True:
            method, arguments = connection.recv()
            try:
                if library is None:
                    library = Library(name)
                connection.send((True, getattr(library, method)(*arguments) if method else None))
            except Exception as error:  # a library may raise any exception
                connection.send((False, (str(RaisedError(error)), isinstance(error, ImportError))))
    except (EOFError, OSError):
        # Exit without the library's exit handlers, and without waiting for its threads.
        os._exit(0)


class Worker:
    """The parent's end of the connection. Its constructor starts the import of the library."""

    def __init__(self, name: str, timeout: float = TIMEOUT) -> None:
        self.name, self.timeout = name, timeout
        self.connection, other = Pipe()
        self.process = subprocess.Popen(
            # -P: a user's file with the same name as one of our imports must not be imported instead of it.
            [sys.executable, "-P", "-W", "ignore", "-m", "cosgrad.bench.worker", name, str(other.fileno())],
            pass_fds=(other.fileno(),),
            env=ENVIRONMENT | os.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # only the parent handles Ctrl-C
        )
        other.close()
        self.tell("")

    def tell(self, method: str, *arguments: Any) -> None:
        """Send a request without waiting. `answer` must follow."""
        try:
            self.connection.send((method, arguments))
        except OSError as error:
            raise FailedError(self._end()) from error

    def answer(self) -> Any:
        """Return the answer to the last request.

        Raises:
            FailedError: The library raised, or its process hangs or is gone.
        """
        try:
            if not self.connection.poll(self.timeout):
                self.kill()
                raise FailedError(f"it hangs: no answer for {self.timeout:g} s")
            good, answer = self.connection.recv()
        except (EOFError, OSError) as error:
            raise FailedError(self._end()) from error
        if not good:
            raise FailedError(answer[0], missing=answer[1])
        return answer

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call `tell`, then `answer`."""
        self.tell(method, *arguments)
        return self.answer()

    def _end(self) -> str:
        code = self.process.wait()
        if code < 0:
            return f"it crashed: its process was killed by {signal.Signals(-code).name}"
        return f"it ended its process (exit {code})"

    def gone(self) -> bool:
        """Return whether the process has ended."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """Kill the process and the processes that it has started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Kill the process and close the connection."""
        self.kill()
        self.connection.close()


if __name__ == "__main__":
    serve(sys.argv[1], Connection(int(sys.argv[2])))
