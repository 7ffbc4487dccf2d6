"""The process in which the checks run, so that a target may hang or crash.

It writes one JSON object per line to its parent. The parent holds the other end of standard input. If that
end closes, the parent is gone, and this process exits, even if a call hangs.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

BEAT_SECONDS = 0.5


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


def _beat(emit: Callable[..., None]) -> Callable[[], None]:
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last > BEAT_SECONDS:
            last = time.monotonic()
            emit("alive")

    return beat


def main() -> None:
    """Test the subject given on standard input. Write events to the file descriptor given as argument."""
    request = json.loads(os.read(0, 65536))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    out = os.fdopen(int(sys.argv[1]), "w", buffering=1)
    sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115

    def emit(event: str, **fields: Any) -> None:
        out.write(json.dumps({"event": event, **fields}) + "\n")

    try:
        _judge(request, emit)
        emit("done")
    except BaseException as error:
        from cosgrad.verify.adapters import UnavailableError
        from cosgrad.verify.adapters.base import RaisedError
        from cosgrad.verify.subject import TargetError

        known = isinstance(error, TargetError | UnavailableError | RaisedError)
        emit("error", text=str(error) if known else f"verify itself failed\n{traceback.format_exc()}")
    out.close()
    # Exit without the target's exit handlers, and without waiting for its threads.
    os._exit(0)


def _judge(request: dict[str, Any], emit: Callable[..., None]) -> None:
    from cosgrad.verify import adapters
    from cosgrad.verify.subject import Subject, judge

    subject = Subject(**request)
    adapters.load(subject.framework, own=subject.target is None)
    emit("alive")
    if subject.target is None:
        from cosgrad.verify.example import by_frontend

        emit("example", values=by_frontend(subject.framework).as_dict())
    for done, of, name, row in judge(subject, _beat(emit)):
        emit("check", done=done, of=of, name=name, row=None if row is None else row.as_dict())


if __name__ == "__main__":
    main()
