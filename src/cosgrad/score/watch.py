"""A watch on a Dask cluster. It explains why no part is finished, and ends the wait for an idle cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from cosgrad.score.patience import within

NOTICE = 5.0  # seconds without a finished part before we ask the cluster for the reason
TICK = 2.0  # seconds between two calls of `look`
SILENT = 15.0  # seconds without a heartbeat; Dask sends one every 5 seconds or more often


class EngineError(RuntimeError):
    """A cluster cannot continue. The finished parts are kept."""


class Watch:
    """A watch on the cluster of a client.

    Args:
        client: The client.
        wait: Seconds to wait for a cluster that computes nothing.
        say: A function that shows a sentence.
    """

    def __init__(self, client: Any, wait: float, say: Callable[[str], None]) -> None:
        self._client, self._wait, self._say = client, wait, say
        self.address = client.scheduler.address
        self._heartbeats: dict[
            str, tuple[float, float]
        ] = {}  # the last heartbeat of a worker, and the time of its arrival
        self.advanced()

    def advanced(self) -> None:
        """Start the wait again, because a part is finished."""
        self._advanced = self._alive = self._asked = monotonic()
        self._told: set[str] = set()

    def look(self) -> None:
        """Ask the cluster why no part is finished, if none has been finished for some seconds.

        Raises:
            EngineError: The cluster has computed nothing for `wait` seconds.
        """
        now = monotonic()
        if now - self._asked < min(NOTICE, self._wait):
            return
        information = self._information()
        busy, reason = diagnosis(information, self._silent(information, now))
        self._asked = now = monotonic()
        if busy:
            self._alive = now
        elif now - self._alive >= self._wait:
            raise EngineError(f"{self.address} did nothing for {now - self._alive:.0f} s: {reason}")
        patience = self._wait if busy else 0.0  # a part may take longer than NOTICE
        if reason not in self._told and now - self._advanced >= patience:
            self._told.add(reason)
            limit = "" if busy else f" (for {self._wait:g} s at most, see --wait)"
            self._say(f"waiting{limit} for {self.address}: {reason}")

    def lost(self) -> str:
        """Return the reason why the scheduler has dropped the parts."""
        if self._client.status != "running" or not self._information():
            return f"the connection to the scheduler {self.address} is lost"
        return f"the scheduler {self.address} was restarted, or dropped the parts that were not done"

    def _information(self) -> Mapping[str, Any]:
        """Return the scheduler's description of itself and its workers, empty if it does not answer."""
        try:
            return dict(within(max(self._wait / 4, 1), self._identity))
        except (OSError, TimeoutError, RuntimeError):
            return {}

    def _identity(self) -> Any:
        return self._client.sync(self._client.scheduler.identity)

    def _silent(self, information: Mapping[str, Any], now: float) -> set[str]:
        """Return the workers that have sent no heartbeat for `SILENT` seconds."""
        workers = information.get("workers", {})
        for address, worker in workers.items():
            if self._heartbeats.get(address, (None, now))[0] != worker["last_seen"]:
                self._heartbeats[address] = worker["last_seen"], now
        return {address for address in workers if now - self._heartbeats[address][1] >= SILENT}


def diagnosis(information: Mapping[str, Any], silent: set[str]) -> tuple[bool, str]:
    """Return whether a worker computes, and a sentence on the state of the cluster.

    Args:
        information: The description that a Dask scheduler returns of itself and its workers.
        silent: The addresses of workers that have sent no heartbeat for some time.
    """
    if not information:
        return False, "the scheduler does not answer"
    workers = information["workers"]
    if not workers:
        return False, "it has no workers; start some with: dask worker ADDRESS"
    heard = [worker for address, worker in workers.items() if address not in silent]
    busy = [worker for worker in heard if worker["metrics"].get("task_counts", {}).get("executing")]
    paused = [worker for worker in heard if worker["status"] == "paused"]
    found = []
    if busy:
        found.append(f"{_of(len(busy), workers)} compute, these parts or other tasks")
    if paused:
        found.append(
            f"{_of(len(paused), workers)} are paused, since they use most of their memory limit "
            f"({max(worker['memory_limit'] for worker in paused) / 1e6:,.0f} MB); give them more memory"
        )
    if silent:
        found.append(f"{_of(len(silent), workers)} send no heartbeat, as {min(silent)}")
    if not found:
        found.append(f"{_of(len(heard), workers)} run, but compute nothing")
    return bool(busy), "; ".join(found)


def _of(count: int, workers: Mapping[str, Any]) -> str:
    return f"{count} of {len(workers)} workers"
