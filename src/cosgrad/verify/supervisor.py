"""The parent process: runs each subject in its own process, and survives crashes and hangs there."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cosgrad.verify.example import Worked
from cosgrad.verify.findings import Row
from cosgrad.verify.subject import Subject, TargetError


@dataclass
class Report:
    """The results of a subject so far."""

    subject: Subject
    rows: list[Row] = field(default_factory=list)
    example: Worked | None = None
    current: str = "start"
    done: int = 0
    of: int = 1


class Worker:
    """One child process."""

    def __init__(self, subject: Subject) -> None:
        self.report = Report(subject)
        self.finished = False
        self.error: dict[str, Any] | None = None
        self.pending = b""
        self.heard = time.monotonic()
        self.fd, write = os.pipe()
        # -P: a user's file with the same name as one of our imports must not be imported instead of it.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cosgrad.verify.child", str(write)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(write,),
            start_new_session=True,  # only the parent handles Ctrl-C
        )
        os.close(write)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asdict(subject)).encode())
        self.process.stdin.flush()

    def read(self) -> bool:
        """Read the events that have arrived. Return False at the end of the stream."""
        data = os.read(self.fd, 1 << 20)
        self.heard = time.monotonic()
        *lines, self.pending = (self.pending + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(data)

    def _take(self, event: dict[str, Any]) -> None:
        report = self.report
        match event["event"]:
            case "example":
                report.example = Worked(**event["values"])
            case "check":
                report.done, report.of, report.current = event["done"], event["of"], event["name"]
                if event["row"] is not None:
                    report.rows.append(Row.from_dict(event["row"]))
            case "error":
                self.error = event
            case "done":
                self.finished = True

    def kill(self) -> None:
        """Kill the process group and wait for the process."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def close(self) -> None:
        """Kill the process and close the pipe."""
        self.kill()
        os.close(self.fd)

    def trouble(self) -> str | None:
        """Return the reason why the child ended early, or None."""
        if self.finished:
            return None
        if self.error is not None:
            return str(self.error["text"])
        code = self.process.wait()
        what = (
            f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended the process (exit {code})"
        )
        return f"{self.report.subject.name} {what} in {_place(self.report)}"


def _place(report: Report) -> str:
    return "the first call" if report.current == "start" else f'the check "{report.current}"'


def supervise(
    subjects: Sequence[Subject], timeout: float, progress: Callable[[Sequence[Report]], None]
) -> list[Report]:
    """Test all subjects at the same time.

    Args:
        subjects: The functions under test.
        timeout: Seconds without an event after which a subject counts as hanging.
        progress: Called with all reports after every wait for events.

    Returns:
        One report per subject. If a frontend of the package crashes or hangs, its report has a failed row.

    Raises:
        TargetError: The user's function cannot be tested.
    """
    workers = [Worker(s) for s in subjects]
    reports = [w.report for w in workers]
    try:
        with selectors.DefaultSelector() as selector:
            for w in workers:
                selector.register(w.fd, selectors.EVENT_READ, w)
            while selector.get_map():
                for key, _ in selector.select(timeout=0.1):
                    if not key.data.read():
                        selector.unregister(key.fd)
                        _end(key.data, key.data.trouble())
                for key in list(selector.get_map().values()):
                    if time.monotonic() - key.data.heard > timeout:
                        selector.unregister(key.fd)
                        key.data.kill()
                        name, place = key.data.report.subject.name, _place(key.data.report)
                        _end(key.data, f"{name} hangs: no call returned for {timeout:g} s, in {place}")
                progress(reports)
    finally:
        for w in workers:
            w.close()
    return reports


def _end(worker: Worker, trouble: str | None) -> None:
    if trouble is None:
        return
    if worker.report.subject.target is not None:
        raise TargetError(trouble)
    name = worker.report.subject.name
    worker.report.rows.append(Row(name, worker.report.current, "", "fail", why=trouble))
