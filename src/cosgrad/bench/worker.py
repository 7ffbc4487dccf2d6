"""One library in a process of its own: its threads, its memory and its crashes stay there."""

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
"""Seconds after which a call counts as hanging; a compiler's first call is the longest that is known."""

ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Idle threads of GNU's OpenMP would spin for 15 ms, into the turn of whoever is next: these for 1 ms.
    "GOMP_SPINCOUNT": "20000",
}

TILE = 2048
"""Rows that are random; larger inputs repeat them, which no library can know."""

KEPT = 16_000_000
"""Bytes: what a library with a pool of memory has in use beyond that, since its first small piece of work, is
the pool; what is less is programs that were compiled since."""

Kind = Literal["forward", "loss"]


class FailedError(Exception):
    """The library is missing, raised, crashed or hangs, with the reason in one sentence."""

    def __init__(self, why: str, *, missing: bool = False) -> None:
        super().__init__(why)
        self.missing = missing


def inputs(rows: int, length: int, seed: int) -> tuple[Floats, Floats]:
    """Two seeded normal arrays."""
    x, y = (np.resize(part, (rows, length)) for part in _tile(length, seed))
    return x, y


@cache
def _tile(length: int, seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal((2, TILE, length), np.float32)


class Library:
    """What runs in the process: the library, and the piece of work at hand."""

    def __init__(self, name: str) -> None:
        self.functions = LIBRARIES[name].build()
        self.pool = LIBRARIES[name].pool
        gc.collect()
        gc.freeze()  # what the import has made stays: later collections need not look at it
        self.work: Work = lambda: None
        self.count = 1
        self.given = 0
        self.base: int | None = None

    def values(self, quantity: Any, x: Floats, y: Floats) -> Any:
        """See `Functions.values`."""
        return self.functions.values(quantity, x, y)

    def prepare(self, kind: Kind, rows: int, length: int, seed: int) -> bool:
        """Make the inputs and warm up; False where the library has no such thing."""
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
        """Seconds that the work takes."""
        return sample(self.work, self.count)

    def peak(self) -> int:
        """Bytes that the work takes beside its inputs, with what the library keeps for the next time."""
        gc.enable()
        kept = memory.in_use() - (self.base or 0) - self.given
        return memory.extra(self.work) + (kept if self.pool and kept > KEPT else 0)


def serve(name: str, connection: Connection) -> None:
    """Answer until the parent is gone."""
    library: Library | None = None
    try:
        while True:
            method, arguments = connection.recv()
            try:
                if library is None:
                    library = Library(name)
                connection.send((True, getattr(library, method)(*arguments) if method else None))
            except Exception as error:  # whatever a library raises is a line of the report
                connection.send((False, (str(RaisedError(error)), isinstance(error, ImportError))))
    except (EOFError, OSError):
        # threads and exit handlers of a library have no say in how this ends
        os._exit(0)


class Worker:
    """The parent's end; the library is being imported when it has been made."""

    def __init__(self, name: str, timeout: float = TIMEOUT) -> None:
        self.name, self.timeout = name, timeout
        self.connection, other = Pipe()
        self.process = subprocess.Popen(
            # -P: a file of the user's that is called like one of our imports must not be found in place of it
            [sys.executable, "-P", "-W", "ignore", "-m", "cosgrad.bench.worker", name, str(other.fileno())],
            pass_fds=(other.fileno(),),
            env=ENVIRONMENT | os.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        other.close()
        self.tell("")

    def tell(self, method: str, *arguments: Any) -> None:
        """Ask without waiting; `answer` must follow."""
        try:
            self.connection.send((method, arguments))
        except OSError as error:
            raise FailedError(self._end()) from error

    def answer(self) -> Any:
        """What it answered.

        Raises:
            FailedError: It raised, or it is gone.
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
        """`tell`, then `answer`."""
        self.tell(method, *arguments)
        return self.answer()

    def _end(self) -> str:
        code = self.process.wait()
        if code < 0:
            return f"it crashed: its process was killed by {signal.Signals(-code).name}"
        return f"it ended its process (exit {code})"

    def gone(self) -> bool:
        """Whether nothing can be asked any more."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """End the process and what it has started, whatever they do."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Leave nothing behind."""
        self.kill()
        self.connection.close()


if __name__ == "__main__":
    serve(sys.argv[1], Connection(int(sys.argv[2])))
