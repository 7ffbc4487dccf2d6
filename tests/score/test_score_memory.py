"""Tests of the resident memory of scoring, and of errors of the operating system."""

import contextlib
import errno
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cosgrad.score import command, job, parts, signals, sources

ROWS, LENGTH = 40_000, 256  # 41 MB


def resident():
    """Return the bytes of mapped files that are in the resident memory of this process."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")
    line = next(line for line in status.read_text().splitlines() if line.startswith("RssFile"))
    return 1024 * int(line.split()[1])


@pytest.mark.parametrize("kind", ["npy", "fortran", "arrow", "stream", "lists", "one batch"])
def test_pages_of_a_file_that_is_read_do_not_stay(kind, tmp_path):
    values = np.arange(ROWS * LENGTH, dtype=np.float32).reshape(ROWS, LENGTH)
    path = tmp_path / ("x.npy" if kind in ("npy", "fortran") else "x.arrow")
    if kind in ("npy", "fortran"):
        np.save(path, np.asfortranarray(values) if kind == "fortran" else values)
    else:
        column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), LENGTH)
        if kind == "lists":
            column = column.cast(pa.list_(pa.float32()))
        batch = pa.record_batch([column], names=["v"])
        opened = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
        with pa.OSFile(str(path), "wb") as file, opened(file, batch.schema) as writer:
            for start in range(0, ROWS, ROWS if kind == "one batch" else 1000):
                writer.write_batch(batch.slice(start, ROWS if kind == "one batch" else 1000))
    file = sources.source(str(path))
    list(file.lengths())
    before = resident()
    for start in range(0, ROWS, 1700):
        rows, reasons = file.read(start, min(start + 1700, ROWS), LENGTH)
        np.testing.assert_array_equal(rows, values[start : start + 1700])
        assert not reasons.any()
        assert resident() - before < values.nbytes // 8


@pytest.mark.parametrize("fortran", [False, True])
def test_a_file_that_becomes_shorter_is_an_error(fortran, tmp_path):
    path = tmp_path / "x.npy"
    values = np.ones((1000, 8))
    np.save(path, np.asfortranarray(values) if fortran else values)
    file = sources.source(str(path))
    os.truncate(path, 30_000)
    with pytest.raises(
        ValueError, match=r"x\.npy cannot be read, rows 500 to 900: the file ends at byte 30,000"
    ):
        file.read(500, 900, 8)


@pytest.fixture
def score(tmp_path, rng, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "PART_BYTES", 10 * 2 * 4 * 8)
    np.save("x.npy", rng.standard_normal((30, 4)))

    def scored(**options):
        code = command.run(command.Options("x.npy", "x.npy", Path("out.npy"), **options))
        return code, capsys.readouterr().err

    return scored


def failing(function, number, name):
    """Return the function with this error for all paths that end with the name."""

    def called(path, *arguments, **options):
        if str(path).endswith(name):
            raise OSError(number, os.strerror(number))
        return function(path, *arguments, **options)

    return called


READ, WRITTEN = "cannot be read: Input/output error", "cannot be written: No space left on device"


@pytest.mark.parametrize(("module", "function", "number", "name", "message"), [
    (np, "load", errno.EIO, "-00000001.npy", f"-00000001.npy {READ}"),
    (Path, "read_text", errno.EIO, "-00000001.json", f"-00000001.json {READ}"),
    (Path, "iterdir", errno.EIO, ".parts", f"out.npy.parts {READ}"),
    (Path, "replace", errno.ENOSPC, ".unfinished", f"job.json {WRITTEN}"),
    (Path, "mkdir", errno.ENOSPC, ".parts", WRITTEN),
    (parts, "_remove", errno.ENOSPC, ".parts", f"out.npy.parts {WRITTEN}"),
    (sources, "npy_rows", errno.EIO, "x.npy", "x.npy cannot be read, rows 0 to 10: Input/output error"),
    (sources.npy_file, "header", errno.EIO, "x.npy", f"x.npy {READ}"),
    (Path, "stat", errno.EIO, "x.npy", f"x.npy {READ}"),
])  # fmt: skip
def test_an_error_names_the_file_and_whether_it_is_read(
    module, function, number, name, message, score, monkeypatch
):
    with monkeypatch.context() as broken:
        broken.setattr(module, function, failing(getattr(module, function), number, name))
        code, told = score()
    assert code == 2
    assert message in told
    assert ("written" in told) == ("written" in message)
    assert score(overwrite=True)[0] == 0


def test_a_damaged_part_is_named(score, tmp_path, monkeypatch):
    with monkeypatch.context() as unfinished:
        unfinished.setattr(parts, "finish", lambda work: None)
        assert score()[0] == 0
    values, report = (
        sorted((tmp_path / "out.npy.parts").glob(f"*-00000001.{end}"))[0] for end in ("npy", "json")
    )
    whole = report.read_text()
    report.write_text("{")
    code, told = score()
    assert code == 2
    assert f"{report.name} cannot be read" in told
    report.write_text(whole)
    values.write_bytes(values.read_bytes()[:40])
    code, told = score()
    assert code == 2
    assert f"{values.name} cannot be read" in told
    assert "remove it, and run the same command" in told
    values.unlink()
    assert score()[0] == 0
    assert json.loads(whole)["bad"] == {"left": {}, "right": {}}


def test_options_of_a_cluster_without_one_are_refused(score):
    code, told = score(wait=5.0)
    assert code == 2
    assert "--wait 5 belongs to --engine dask" in told


def lost():
    """Raise a signal in this process and lose its exception, as Python does in some callbacks."""
    with contextlib.suppress(signals.Terminated):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)  # the signal interrupts this


def test_a_signal_that_python_loses_is_raised_later():
    before = signal.getsignal(signal.SIGTERM)
    with signals.interruptible():
        lost()
        with pytest.raises(signals.Terminated):
            signals.check()
    assert signal.getsignal(signal.SIGTERM) is before
    signals.check()


@pytest.fixture
def keyboard():
    """Handle SIGINT as Python does by default. A process may have inherited that SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("keyboard")
def test_a_signal_waits_for_the_end_of_a_shield():
    with signals.interruptible():
        with signals.shielded():
            os.kill(os.getpid(), signal.SIGINT)
            signals.check()
        with pytest.raises(KeyboardInterrupt):
            signals.check()
