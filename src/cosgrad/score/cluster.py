"""The connection to a Dask cluster, and a cluster of local processes."""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from cosgrad.require import require
from cosgrad.score.failures import reading
from cosgrad.score.patience import within
from cosgrad.score.rows import SourceError
from cosgrad.score.signals import shielded
from cosgrad.score.watch import NOTICE, EngineError

LOCAL = {"n_workers": 0, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": "CRITICAL"}
CLOSING, STARTING = 20, 60  # seconds
OFF = logging.CRITICAL + 1


@contextmanager
def connected(scheduler: str | None, wait: float, say: Callable[[str], None]) -> Iterator[Any]:
    """Yield a client of the cluster at an address, or of local processes that are closed with the client.

    Args:
        scheduler: The address, or the file in which the scheduler wrote it.
        wait: Seconds to wait for a connection.
        say: A function that shows a sentence.

    Raises:
        SourceError: `scheduler` is neither an address nor such a file.
        EngineError: The cluster cannot be reached.
    """
    distributed: Any = require("distributed", "dask", "2024.1", user="cosgrad score --engine dask")
    from dask.system import CPU_COUNT

    address = None if scheduler is None else _address(scheduler)
    slow = "starting a Dask cluster on this machine"
    if address is not None:
        slow = f"waiting for a connection to {scheduler} (for {wait:g} s at most, see --wait)"
    _silence()
    with _loop() as loop, ExitStack() as stack:
        with _reminder(say, slow):
            target: Any = address
            if address is None:
                try:
                    target = within(STARTING, lambda: distributed.LocalCluster(loop=loop, **LOCAL))
                except Exception as error:  # of many types: no port, no folder, no process
                    raise EngineError(
                        f"no Dask cluster can be started on this machine: {_why(error)}"
                    ) from None
                stack.callback(_close, target)
                target.scale(CPU_COUNT)  # later than the cluster, or an interrupt would leave processes
            client = _client(distributed, target, loop, wait, say)
        stack.callback(_close, client)
        yield client


def _client(distributed: Any, target: Any, loop: Any, wait: float, say: Callable[[str], None]) -> Any:
    """Return a client. Show a message if its versions differ from those of the cluster."""
    # The finalizer of a client that has not connected prints a traceback. `connected` closes the others.
    kind = type("Client", (distributed.Client,), {"__del__": lambda _: None})

    def connect() -> Any:
        return kind(target, loop=loop, timeout=wait, set_as_default=False)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            client = within(wait + 1, connect)
        except ValueError as error:
            raise SourceError(f"--scheduler {target} is no address: {error}") from None
        except ImportError as error:
            raise EngineError(f"{target} needs another version of Dask: {error}") from None
        except Exception as error:  # of many types, if something other than a scheduler answers
            raise EngineError(f"no scheduler answers at --scheduler {target}: {_why(error)}") from None
    for warning in caught:
        if warning.category.__name__ == "VersionMismatchWarning":
            say(f"{target} has other versions than this process, which may fail. {warning.message}")
    return client


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _address(scheduler: str) -> str:
    """Return the address of a scheduler: the argument, or the address in a file of the scheduler."""
    path = Path(scheduler)
    if "://" in scheduler or not (path.exists() or path.suffix == ".json"):
        return scheduler
    if not path.is_file():
        raise SourceError(f"--scheduler {scheduler} is no file, and no address as tcp://HOST:PORT")
    with reading(path):
        text = path.read_bytes()
    try:
        address = json.loads(text)["address"]
    except (ValueError, KeyError, TypeError):
        address = None
    if not isinstance(address, str):
        raise SourceError(
            f"--scheduler {scheduler} is a file without the address of a scheduler; "
            f"dask scheduler --scheduler-file {scheduler} writes it"
        )
    return address


def _close(closeable: Any) -> None:
    """Close a client or a cluster, which may have lost its connections."""
    with shielded(), suppress(Exception):  # the command continues after any failure
        within(CLOSING, lambda: closeable.close(timeout=CLOSING))


@contextmanager
def _loop() -> Iterator[Any]:
    """Yield an event loop that runs in a thread in which SIGINT is blocked.

    Processes inherit the blocked signals of the thread that starts them. A terminal sends SIGINT to all
    processes of the command. Without the block, every worker would print a traceback.
    """
    from multiprocessing.resource_tracker import ensure_running

    from tornado.ioloop import IOLoop

    ensure_running()  # it unblocks SIGINT in the thread in which it starts
    ready: queue.SimpleQueue[tuple[Any, asyncio.Event]] = queue.SimpleQueue()

    async def serve() -> None:
        stop = asyncio.Event()
        ready.put((IOLoop.current(), stop))
        await stop.wait()

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        thread = threading.Thread(target=lambda: asyncio.run(serve()), name="Dask", daemon=True)
        thread.start()
        loop, stop = ready.get()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield loop
    finally:
        with shielded():
            loop.add_callback(stop.set)
            thread.join(CLOSING)


def _silence() -> None:
    """Silence the logs of Dask and its event loop until the process ends. We report errors ourselves."""
    for name in "distributed", "tornado", "asyncio":
        logger = logging.getLogger(name)
        logger.setLevel(OFF)
        for handler in logger.handlers:
            handler.setLevel(OFF)


@contextmanager
def _reminder(say: Callable[[str], None], sentence: str) -> Iterator[None]:
    """Show a sentence if the block takes longer than `NOTICE` seconds."""
    timer = threading.Timer(NOTICE, say, (sentence,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
